//! Secrets that sing: each is unlike anything else, is put wherever such a secret goes, and must then be found in
//! nothing that the program ever wrote: answers, logs at the finest level, metrics, the output of commands, the database.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{Effect, Fault, Options, Simulator};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::program::{PATIENCE, Running, call_as, folder, program, run, serving};
use crate::harness::standin;
use crate::harness::wire::Answer;

const ADMIN_KEY: &str = "sk-admin-canary0Qx7pWk3Zt9RfLm2Vb8Ns5";
const STATIC_TOKEN: &str = "canary1-static-8hJd2kQz6wXn4rTy0pLs";
const PASSWORD: &str = "canary2-Passw0rd-3vGm7cBx1qEk";
const ALARM_SECRET: &str = "whsec_Y2FuYXJ5My1hbGFybS01dVRwOW5XejJrSGo3";
const WRONG_TOKEN: &str = "canary4-wrong-6yPf8sLd0aKj2mNb";
const WRONG_BASIC: &str = "Y2FuYXJ5NTpiYXNpYy05dFJlNHdRYQ==";

/// What was written, by where.
#[derive(Default)]
struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    fn add_files(&mut self, folder: &Path, but: &[&str]) {
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if file.file_type().unwrap().is_file() && !but.contains(&name.as_str()) {
                self.add(format!("the file {name}"), std::fs::read(file.path()).unwrap());
            }
        }
    }

    #[track_caller]
    fn must_not_have(&self, what: &str, secret: &str) {
        for (place, bytes) in &self.0 {
            let found = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
            if let Some(at) = found {
                let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + secret.len() + 50)];
                panic!("{what} is in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

fn person(name: &str) -> Value {
    let address = format!("{name}@x.example");
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": address,
        "emails": [{"value": address, "type": "work", "primary": true}],
        "active": true,
        "password": PASSWORD,
    })
}

/// Requests that carry a password wherever an identity provider, or its administrator, may put it.
fn requests(id: &str) -> Vec<(&'static str, String, Value)> {
    let patch = |operations: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    let path = format!("/scim/v2/Users/{id}");
    let mut replaced = person("ann");
    replaced["displayName"] = json!("Ann");
    vec![
        ("PUT", path.clone(), replaced),
        ("PATCH", path.clone(), patch(json!([{"op": "replace", "path": "password", "value": PASSWORD}]))),
        ("PATCH", path.clone(), patch(json!([{"op": "replace", "value": {"password": PASSWORD}}]))),
        ("PATCH", path.clone(), patch(json!([{"op": PASSWORD, "path": "active", "value": true}]))),
        ("PATCH", path.clone(), patch(json!([{"op": "add", "path": "password", "value": {"a": PASSWORD}}]))),
        ("POST", "/scim/v2/Users".to_owned(), json!({"schemas": [PASSWORD], "password": PASSWORD})),
        ("POST", "/scim/v2/Users".to_owned(), json!({"userName": 1, "password": PASSWORD})),
        (
            "POST",
            "/scim/v2/Bulk".to_owned(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                "Operations": [
                    {"method": "POST", "path": "/Users", "bulkId": "b", "data": person("bob")},
                    {"method": "PATCH", "path": format!("/Users/{id}"), "data": {"password": PASSWORD}},
                ],
            }),
        ),
        (
            "POST",
            "/scim/v2/Users/.search".to_owned(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
                "filter": format!("password eq \"{PASSWORD}\""),
            }),
        ),
        ("GET", format!("/scim/v2/Users?filter=password%20eq%20%22{PASSWORD}%22"), Value::Null),
        (
            "GET",
            format!("/scim/v2/Users?filter=userName%20eq%20%22a%22&access_token={STATIC_TOKEN}"),
            Value::Null,
        ),
        ("GET", path, Value::Null),
        ("GET", "/metrics".to_owned(), Value::Null),
        ("GET", "/readyz".to_owned(), Value::Null),
    ]
}

/// OpenAI's errors may repeat what they were sent.
fn unkind_answer(simulator: &Simulator, method: &str, template: &str, status: u16) {
    let fault = Fault::Status {
        status,
        code: Some("invalid_api_key".to_owned()),
        message: Some(format!("Incorrect API key provided: {ADMIN_KEY}.")),
        retry_after_seconds: None,
        effect: Effect::Never,
    };
    simulator.fail_next(method, template, fault, 3).unwrap();
}

/// Asks until the answer has this in it.
async fn answer_with(address: SocketAddr, path: &str, words: &str) -> Answer {
    let asked = async {
        loop {
            let answer = call_as(STATIC_TOKEN, address, "GET", path, None).await.unwrap();
            if answer.body.contains(words) {
                return answer;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{path} never says {words}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_that_is_ever_written() {
    let options = Options { admin_keys: vec![ADMIN_KEY.to_owned()], ..standin::unlimited() };
    let simulator = Simulator::new(options, Clock::system());
    let (upstream, _task) = standin::serve(&simulator).await;
    let folder = folder();
    let settings = "[upstream]\nrequests_per_minute = 60000\n[reconcile]\ninterval_seconds = 10\n[alarms]\n\
                    url = 'http://127.0.0.1:9/hook'\nallow_http = true\nsecret_env = 'ALARM_SECRET'\n";
    std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
    let secrets = [
        ("OPENAI_ADMIN_KEY", ADMIN_KEY),
        ("SCIM_BRIDGE_TOKEN", STATIC_TOKEN),
        ("ALARM_SECRET", ALARM_SECRET),
    ];
    let command = |arguments: &[&str]| {
        let mut command = program(folder.path());
        command.args(arguments).args(["--config", "settings.toml"]).envs(secrets);
        command
    };

    let mut written = Written::default();
    let mut serve = serving(folder.path(), upstream);
    let (bridge, address) =
        Running::serve(serve.args(["--config", "settings.toml", "--log", "trace"]).envs(secrets)).await;

    let ann = call_as(STATIC_TOKEN, address, "POST", "/scim/v2/Users", Some(&person("ann"))).await.unwrap();
    let id = ann.expect(201)["id"].as_str().unwrap().to_owned();
    written.add("the answer to a create", format!("{ann:?}"));
    let output = run(&mut command(&["token", "create", "--label", "canary"]));
    assert!(output.status.success(), "{output:?}");
    // The one place where a token is shown; it is never shown again.
    let told = String::from_utf8(output.stdout).unwrap();
    let minted = told.split_whitespace().max_by_key(|word| word.len()).unwrap().to_owned();
    written.add("what `token create` says beside the token", told.replacen(&minted, "", 1));

    let minted_secret = minted.rsplit('_').nth(1).unwrap_or(&minted).to_owned();
    for token in [STATIC_TOKEN, &minted] {
        for (method, path, body) in requests(&id) {
            let body = (!body.is_null()).then_some(&body);
            let answer = call_as(token, address, method, &path, body).await.unwrap();
            assert!(answer.status < 500 || answer.status == 503, "{method} {path}: {answer:?}");
            written.add(format!("the answer to {method} {path}"), format!("{answer:?}"));
        }
    }
    for wrong in [WRONG_TOKEN.to_owned(), format!("{minted}x"), format!("{WRONG_BASIC}\u{e9}")] {
        let answer = call_as(&wrong, address, "GET", "/scim/v2/Users", None).await.unwrap();
        assert_eq!(answer.status, 401, "{answer:?}");
        written.add("the answer to a wrong token", format!("{answer:?}"));
    }
    // What OpenAI says when it refuses somebody is told, without the key.
    unkind_answer(&simulator, "POST", "/organization/invites", 400);
    let carl = call_as(STATIC_TOKEN, address, "POST", "/scim/v2/Users", Some(&person("carl"))).await.unwrap();
    assert!(carl.body.contains("Incorrect API key provided"), "{carl:?}");
    written.add("the answer to a create that OpenAI refuses", format!("{carl:?}"));
    unkind_answer(&simulator, "*", "*", 401);
    let unready = answer_with(address, "/readyz", "the admin key (401)").await;
    written.add("readiness with a refused key", format!("{unready:?}"));

    for arguments in [
        &["token", "list"][..],
        &["token", "list", "--json"],
        &["mapping", "list", "--json"],
        &["mapping", "export"],
        &["holds", "list", "--json"],
        &["mapping", "list", "--email", PASSWORD],
        &["db", "backup", "backup.db"],
    ] {
        let output = run(&mut command(arguments));
        written.add(format!("the output of {arguments:?}"), output.stdout);
        // What the caller said may be repeated to them.
        if !arguments.contains(&PASSWORD) {
            written.add(format!("the errors of {arguments:?}"), output.stderr);
        }
    }
    bridge.ask_to_stop();
    let (status, stdout, stderr) = bridge.ended().await;
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains("TRACE") || stderr.contains("DEBUG"), "the finest level is on");
    written.add("the log", stderr);
    written.add("the output", stdout);
    written.add_files(folder.path(), &["settings.toml"]);
    assert!(written.0.iter().any(|(place, _)| place.contains("backup.db")));

    for (what, secret) in [
        ("the admin key", ADMIN_KEY),
        ("the static token", STATIC_TOKEN),
        ("a password", PASSWORD),
        ("the secret of alarms", ALARM_SECRET),
        ("the secret of alarms", ALARM_SECRET.trim_start_matches("whsec_")),
        ("a wrong token", WRONG_TOKEN),
        ("a wrong credential", WRONG_BASIC),
        ("a minted token", &minted),
        ("the secret of a minted token", &minted_secret),
    ] {
        written.must_not_have(what, secret);
    }
}
