//! Secrets that sing: each is unlike anything else, is put wherever such a secret goes, and must then be found in
//! nothing that the program ever wrote: answers, logs at the finest level, metrics, the output of commands, the database.
//! Everything that knows a secret is switched on: two tenants, one with its key in the database, clients of the token
//! endpoint, a receiver of events and one of alarms, both of which repeat what they are sent.
//!
//! What the secrets of all other tests are looked for in, [`crate::harness::secrets`] tells.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{Effect, Fault, LimiterOptions, Options, Simulator};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::harness::issuer::TestKey;
use crate::harness::program::{PATIENCE, Running, call_as, program, run, serving};
use crate::harness::wire::{Answer, exchange};

const ADMIN_KEY: &str = "sk-admin-canary0Qx7pWk3Zt9RfLm2Vb8Ns5";
const STATIC_TOKEN: &str = "canary1-static-8hJd2kQz6wXn4rTy0pLs";
const PASSWORD: &str = "canary2-Passw0rd-3vGm7cBx1qEk";
const ALARM_SECRET: &str = "whsec_Y2FuYXJ5My1hbGFybS01dVRwOW5XejJrSGo3";
const MASTER_KEY: &str = "c0ffee4a6e8b2d1907f3a5c4e6d8b0a2c0ffee4a6e8b2d1907f3a5c4e6d8b0a2";
const STORED_KEY: &str = "sk-admin-canary6Xt4uHw9Pq7ZsKn1Ld";
const PUSH_TOKEN: &str = "canary7-push-5mQf3xRk8wJd2yTb";
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

/// A form for the token endpoint, and the same client by Basic authentication.
async fn ask_for_token(address: SocketAddr, path: &str, parameters: &[(&str, &str)], basic: &str) -> Answer {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let basic = if basic.is_empty() {
        String::new()
    } else {
        format!("Authorization: Basic {}\r\n", STANDARD.encode(basic))
    };
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: {}\r\n{basic}\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    );
    exchange(address, request.as_bytes()).await.unwrap()
}

/// A receiver of events and alarms that refuses all of them, and repeats in its refusal whatever it was sent.
async fn unkind_receiver() -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.unwrap_or_default();
            let told = String::from_utf8_lossy(&head[..count]).into_owned();
            all.lock().unwrap().push_str(&told);
            let body = json!({ "err": "authentication_failed", "description": told }).to_string();
            let answer = format!(
                "HTTP/1.1 400 X\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _cut = stream.write_all(answer.as_bytes()).await.is_err();
        }
    });
    (address, received)
}

/// OpenAI's errors may repeat what they were sent.
fn unkind_answer(simulator: &Simulator, method: &str, template: &str, status: u16) {
    let fault = Fault::Status {
        status,
        code: Some("invalid_api_key".to_owned()),
        message: Some(format!("Incorrect API key provided: {ADMIN_KEY}, or {STORED_KEY}.")),
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
    let limiter = LimiterOptions { enabled: false, ..LimiterOptions::default() };
    let admin_keys = vec![ADMIN_KEY.to_owned(), STORED_KEY.to_owned()];
    let options = Options { limiter, admin_keys, ..Options::default() };
    let simulator = Simulator::new(options, Clock::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn({
        let simulator = simulator.clone();
        async move { simulator.serve(listener, std::future::pending()).await }
    });
    let folder = tempfile::tempdir().unwrap();
    let (receiver, received) = unkind_receiver().await;
    let settings = format!(
        "[upstream]\nrequests_per_minute = 60000\n[reconcile]\ninterval_seconds = 10\n\
         [alarms]\nurl = 'http://{receiver}/hook'\nallow_http = true\nsecret_env = 'ALARM_SECRET'\n\
         [events]\nenabled = true\npush_url = 'http://{receiver}/events'\npush_token_env = 'PUSH_TOKEN'\n\
         [auth]\nbasic = true\noauth = true\n"
    );
    std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
    let secrets = [
        ("SCIM_BRIDGE_MASTER_KEY", MASTER_KEY),
        ("PUSH_TOKEN", PUSH_TOKEN),
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

    // A tenant whose key is in the database.
    let url = format!("upstream.base_url=http://{upstream}/v1");
    let mut add = command(&["tenant", "add", "acme", "--key-stdin", &url]);
    let mut adding = add.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(STORED_KEY.as_bytes()).unwrap();
    let added = adding.wait_with_output().unwrap();
    assert!(added.status.success(), "{added:?}");
    written.add("what `tenant add` says", [added.stdout, added.stderr].concat());
    bridge.until_logged("tenant acme is served from now on").await;
    let output = run(&mut command(&["token", "create", "--tenant", "acme"]));
    let of_acme = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let zoe = call_as(&of_acme, address, "POST", "/tenants/acme/scim/v2/Users", Some(&person("zoe"))).await;
    let zoe = zoe.unwrap();
    zoe.expect(201);
    written.add("the answer to a create of another tenant", format!("{zoe:?}"));

    // Clients of the token endpoint: one with a secret, one with a key.
    let output = run(&mut command(&["client", "add", "--json"]));
    let client: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (client, client_secret) =
        (client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
    let grant = ("grant_type", "client_credentials");
    let granted =
        ask_for_token(address, "/oauth/token", &[grant], &format!("{client}:{client_secret}")).await;
    let access = granted.expect(200)["access_token"].as_str().unwrap().to_owned();
    written.add("the answer with an access token beside it", granted.body.replacen(&access, "", 1));
    let key = TestKey::new("canary");
    std::fs::write(folder.path().join("keys.json"), json!({ "keys": [key.public()] }).to_string()).unwrap();
    let output = run(&mut command(&["client", "add", "--keys", "keys.json", "--json"]));
    let signer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let signer = signer["client_id"].as_str().unwrap();
    let ends = Clock::system().now().as_second() + 300;
    let issuer = format!("http://{address}");
    let assertion =
        key.sign(&json!({ "iss": signer, "sub": signer, "aud": issuer, "jti": "canary", "exp": ends }));
    let proof = [
        grant,
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &*assertion),
    ];
    ask_for_token(address, "/oauth/token", &proof, "").await.expect(200);
    let long_secret = format!("{client}:{client_secret}x");
    for (path, parameters, basic) in [
        ("/oauth/token", &proof[..], ""),
        ("/oauth/token", &[grant], &*long_secret),
        (
            "/oauth/token",
            &[grant, ("client_id", client), ("client_secret", client_secret), ("scope", client_secret)],
            "",
        ),
        ("/oauth/token", &[("grant_type", client_secret), ("client_id", client_secret)], ""),
        ("/oauth/token", &[("client_secret", client_secret), ("client_secret", client_secret)], ""),
        (
            "/oauth/revoke",
            &[("client_id", client), ("client_secret", client_secret), ("token", WRONG_TOKEN)],
            "",
        ),
    ] {
        let answer = ask_for_token(address, path, parameters, basic).await;
        assert!(matches!(answer.status, 200 | 400 | 401 | 429), "{answer:?}");
        written.add(format!("the answer of {path}"), format!("{answer:?}"));
    }

    let minted_secret = minted.rsplit('_').nth(1).unwrap_or(&minted).to_owned();
    for token in [STATIC_TOKEN, &minted, &access] {
        for (method, path, body) in requests(&id) {
            let body = (!body.is_null()).then_some(&body);
            let answer = call_as(token, address, method, &path, body).await.unwrap();
            assert!(answer.status < 500 || answer.status == 503, "{method} {path}: {answer:?}");
            written.add(format!("the answer to {method} {path}"), format!("{answer:?}"));
        }
    }
    for wrong in [
        WRONG_TOKEN,
        &format!("{minted}x"),
        &format!("{WRONG_BASIC}\u{e9}"),
        &format!("{access}x"),
        &assertion,
        client_secret,
        &of_acme,
        ADMIN_KEY,
        MASTER_KEY,
    ] {
        let answer = call_as(wrong, address, "GET", "/scim/v2/Users", None).await.unwrap();
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
        &["tenant", "list", "--json"],
        &["tenant", "show", "default"],
        &["tenant", "show", "acme"],
        &["client", "list", "--json"],
        &["doctor"],
        &["doctor", "--ipsie"],
        &["plan", "--json"],
        &["why", "ann@x.example"],
        &["review", "--format", "json"],
        &["audit", "list"],
        &["audit", "export"],
        &["audit", "export", "--tenant", "acme"],
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
    for sent in [format!("Bearer {PUSH_TOKEN}"), "webhook-signature: ".to_owned()] {
        assert!(received.lock().unwrap().contains(&sent), "nobody was told anything");
    }
    bridge.ask_to_stop();
    let (status, stdout, stderr) = bridge.ended().await;
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains("TRACE") || stderr.contains("DEBUG"), "the finest level is on");
    written.add("the log", stderr);
    written.add("the output", stdout);
    // The settings and the keys of a client are the administrator's own files.
    written.add_files(folder.path(), &["settings.toml", "keys.json"]);
    assert!(written.0.iter().any(|(place, _)| place.contains("backup.db")));

    for (what, secret) in [
        ("the admin key", ADMIN_KEY),
        ("the static token", STATIC_TOKEN),
        ("a password", PASSWORD),
        ("the secret of alarms", ALARM_SECRET),
        ("the secret of alarms", ALARM_SECRET.trim_start_matches("whsec_")),
        ("the master key", MASTER_KEY),
        ("the key of a tenant in the database", STORED_KEY),
        ("the token of an event receiver", PUSH_TOKEN),
        ("the secret of a client", client_secret),
        ("the secret part of a client's secret", client_secret.rsplit('_').nth(1).unwrap()),
        ("the signature of an assertion", assertion.rsplit('.').next().unwrap()),
        ("the signature of an access token", access.rsplit('.').next().unwrap()),
        ("the token of another tenant", &of_acme),
        ("a wrong token", WRONG_TOKEN),
        ("a wrong credential", WRONG_BASIC),
        ("a minted token", &minted),
        ("the secret of a minted token", &minted_secret),
    ] {
        written.must_not_have(what, secret);
    }
}
