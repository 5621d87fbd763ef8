//! Secrets that sing: each is unlike anything else, is put wherever such a secret goes, and must then be found in
//! nothing that the program ever wrote: answers, logs at the finest level, metrics, the output of commands, the database,
//! be it SQLite or PostgreSQL, with what was deleted there and what the server logs of it.
//! Everything that knows a secret is switched on: two tenants, one with its key in the database, clients of the token
//! endpoint, a receiver of events and one of alarms, both of which repeat what they are sent.
//!
//! What the secrets of all other tests are looked for in, [`crate::harness::secrets`] tells.

use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{Effect, Fault, Options, Simulator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::harness::bridge::TestBridge;
use crate::harness::database::Database;
use crate::harness::issuer::TestKey;
use crate::harness::program::{PATIENCE, Running, call_as, folder, program, run, send_form, serving};
use crate::harness::wire::Answer;
use crate::harness::{secrets, standin};

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
            if let Some(at) = position(bytes, secret) {
                let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + secret.len() + 50)];
                panic!("{what} is in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    memchr::memmem::find(bytes, text.as_bytes())
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

/// What the program finds in its environment.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("SCIM_BRIDGE_MASTER_KEY", MASTER_KEY),
    ("PUSH_TOKEN", PUSH_TOKEN),
    ("OPENAI_ADMIN_KEY", ADMIN_KEY),
    ("SCIM_BRIDGE_TOKEN", STATIC_TOKEN),
    ("ALARM_SECRET", ALARM_SECRET),
];

const DATABASE: &str = "SCIM_BRIDGE_DATABASE_URL";

/// The program, with all that it has written so far.
struct Played {
    folder: TempDir,
    database: Database,
    bridge: Running,
    address: SocketAddr,
    written: Written,
}

/// What clients of the token endpoint have proven themselves with, and been given.
struct Proofs {
    secret: String,
    assertion: String,
    access: String,
}

impl Played {
    async fn start(database: Database, upstream: SocketAddr, receiver: SocketAddr) -> Self {
        let folder = folder();
        let settings = format!(
            "[server]\nsigning_key_file = 'signing-key'\n\
             [upstream]\nrequests_per_minute = 60000\n[reconcile]\ninterval_seconds = 10\n\
             [alarms]\nurl = 'http://{receiver}/hook'\nallow_http = true\nsecret_env = 'ALARM_SECRET'\n\
             [events]\nenabled = true\npush_url = 'http://{receiver}/events'\npush_token_env = 'PUSH_TOKEN'\n\
             [auth]\nbasic = true\noauth = true\n"
        );
        std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
        let mut serve = serving(folder.path(), upstream);
        serve
            .args(["--config", "settings.toml", "--log", "trace"])
            .envs(ENVIRONMENT)
            .env(DATABASE, &database.url);
        let (bridge, address) = Running::serve(&mut serve).await;
        Self { folder, database, bridge, address, written: Written::default() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path());
        command.args(arguments).args(["--config", "settings.toml"]);
        command.envs(ENVIRONMENT).env(DATABASE, &self.database.url);
        command
    }

    /// Sends a request, and keeps the answer.
    async fn ask(&mut self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        let answer = call_as(token, self.address, method, path, body).await.unwrap();
        self.written.add(format!("the answer to {method} {path}"), format!("{answer:?}"));
        answer
    }

    /// Makes a token. Here alone it is shown, and never again.
    fn make_token(&mut self, tenant: &str) -> String {
        let output = run(&mut self.command(&["token", "create", "--tenant", tenant]));
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        let token = told.split_whitespace().max_by_key(|word| word.len()).unwrap().to_owned();
        self.written.add("what `token create` says beside the token", told.replacen(&token, "", 1));
        self.written.add("the notes of `token create`", output.stderr);
        token
    }

    /// Sets up a tenant whose key is in the database, and lets it work; tells a token of it.
    async fn another_tenant(&mut self, upstream: SocketAddr) -> String {
        let url = format!("upstream.base_url=http://{upstream}/v1");
        let mut add = self.command(&["tenant", "add", "acme", "--key-stdin", &url]);
        add.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut adding = add.spawn().unwrap();
        adding.stdin.take().unwrap().write_all(STORED_KEY.as_bytes()).unwrap();
        let added = adding.wait_with_output().unwrap();
        assert!(added.status.success(), "{added:?}");
        self.written.add("what `tenant add` says", [added.stdout, added.stderr].concat());
        self.bridge.until_logged("tenant acme is served from now on").await;
        let token = self.make_token("acme");
        self.ask(&token, "POST", "/tenants/acme/scim/v2/Users", &person("zoe")).await.expect(201);
        token
    }

    /// Makes a client with a secret and one with a key, and lets them ask well and badly.
    async fn clients(&mut self) -> Proofs {
        let grant = ("grant_type", "client_credentials");
        let made = |output: Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let client = made(run(&mut self.command(&["client", "add", "--json"])));
        let (id, secret) = (text(&client["client_id"]), text(&client["client_secret"]));
        let granted = send_form(self.address, "/oauth/token", Some((&id, &secret)), &[grant]).await;
        let access = text(&granted.expect(200)["access_token"]);
        self.written.add("what is beside an access token", granted.body.replacen(&access, "", 1));

        let key = TestKey::new("canary");
        let keys = json!({ "keys": [key.public()] });
        std::fs::write(self.folder.path().join("keys.json"), keys.to_string()).unwrap();
        let signer = made(run(&mut self.command(&["client", "add", "--keys", "keys.json", "--json"])));
        let (signer, issuer) = (&signer["client_id"], format!("http://{}", self.address));
        let ends = Clock::system().now().as_second() + 300;
        let assertion =
            key.sign(&json!({ "iss": signer, "sub": signer, "aud": issuer, "jti": "canary", "exp": ends }));
        let proof = [
            grant,
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &*assertion),
        ];
        send_form(self.address, "/oauth/token", None, &proof).await.expect(200);
        let own = [("client_id", &*id), ("client_secret", &*secret)];
        let more = |parameters: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            own.iter().chain(parameters).map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        for (path, parameters) in [
            ("/oauth/token", proof.map(|(name, value)| (name, value.to_owned())).to_vec()),
            ("/oauth/token", more(&[grant, ("scope", &secret)])),
            ("/oauth/token", more(&[("grant_type", &secret)])),
            ("/oauth/token", more(&[grant, ("client_secret", &secret)])),
            ("/oauth/token", more(&[grant, (WRONG_TOKEN, WRONG_TOKEN)])),
            ("/oauth/revoke", more(&[("token", WRONG_TOKEN)])),
        ] {
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = send_form(self.address, path, None, &parameters).await;
            assert!(matches!(answer.status, 200 | 400 | 401 | 429), "{answer:?}");
            // The one that is granted for a parameter which nobody knows gives a token of its own.
            self.written.add(format!("the answer of {path}"), format!("{answer:?}"));
        }
        let wrong =
            send_form(self.address, "/oauth/token", Some((&id, &format!("{secret}x"))), &[grant]).await;
        self.written.add("the answer to a wrong secret", format!("{wrong:?}"));
        Proofs { secret, assertion, access }
    }

    /// Runs every command that shows something.
    fn commands(&mut self) {
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
            let output = run(&mut self.command(arguments));
            self.written.add(format!("the output of {arguments:?}"), output.stdout);
            // What the caller said may be repeated to them.
            if !arguments.contains(&PASSWORD) {
                self.written.add(format!("the errors of {arguments:?}"), output.stderr);
            }
        }
    }

    /// Stops the program; tells all that was written, and the private key of the program itself.
    async fn end(self) -> (Written, String) {
        let Self { folder, database, bridge, mut written, .. } = self;
        bridge.ask_to_stop();
        let (status, stdout, stderr) = bridge.ended().await;
        assert!(status.success(), "{stderr}");
        assert!(stderr.contains("TRACE") || stderr.contains("DEBUG"), "the finest level is on");
        written.add("the log", stderr);
        written.add("the output", stdout);
        // The settings and the keys of a client are the administrator's own files.
        written.add_files(folder.path(), &["settings.toml", "keys.json", "signing-key"]);
        let has_backup = written.0.iter().any(|(place, _)| place == "the file backup.db");
        assert_eq!(has_backup, database.folder().is_some(), "PostgreSQL has tools of its own");
        let of_database = database.written().await;
        for kind in database.kinds_of_places() {
            let mut places = of_database.iter().filter(|(place, _)| place.starts_with(kind));
            let shows_ann = places.any(|(_, bytes)| position(bytes, "ann@x.example").is_some());
            assert!(shows_ann, "{kind}: can be read, and is what the program has worked on");
        }
        written.0.extend(of_database);
        let key = std::fs::read_to_string(folder.path().join("signing-key")).unwrap();
        (written, key.lines().nth(1).unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_that_is_ever_written_on_sqlite() {
    no_secret_is_in_anything_that_is_ever_written(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_that_is_ever_written_on_postgres() {
    if let Some(database) = Database::postgres().await {
        no_secret_is_in_anything_that_is_ever_written(database.watched().await).await;
    }
}

async fn no_secret_is_in_anything_that_is_ever_written(database: Database) {
    let on_server = url::Url::parse(&database.url).unwrap().password().unwrap_or_default().to_owned();
    let admin_keys = vec![ADMIN_KEY.to_owned(), STORED_KEY.to_owned()];
    let simulator = Simulator::new(Options { admin_keys, ..standin::unlimited() }, Clock::system());
    let (upstream, _task) = standin::serve(&simulator).await;
    let (receiver, received) = unkind_receiver().await;
    let mut played = Played::start(database, upstream, receiver).await;

    let ann = played.ask(STATIC_TOKEN, "POST", "/scim/v2/Users", &person("ann")).await;
    let id = ann.expect(201)["id"].as_str().unwrap().to_owned();
    let minted = played.make_token("default");
    let of_acme = played.another_tenant(upstream).await;
    let Proofs { secret, assertion, access } = played.clients().await;
    for token in [STATIC_TOKEN, &minted, &access] {
        for (method, path, body) in requests(&id) {
            let answer = played.ask(token, method, &path, &body).await;
            assert!(answer.status < 500 || answer.status == 503, "{method} {path}: {answer:?}");
        }
    }
    let (almost, not_text, forged) =
        (format!("{minted}x"), format!("{WRONG_BASIC}\u{e9}"), format!("{access}x"));
    for wrong in
        [WRONG_TOKEN, &almost, &not_text, &forged, &assertion, &secret, &of_acme, ADMIN_KEY, MASTER_KEY]
    {
        played.ask(wrong, "GET", "/scim/v2/Users", &Value::Null).await.expect(401);
    }
    // What OpenAI says when it refuses somebody is told, without the key.
    unkind_answer(&simulator, "POST", "/organization/invites", 400);
    let carl = played.ask(STATIC_TOKEN, "POST", "/scim/v2/Users", &person("carl")).await;
    assert!(carl.body.contains("Incorrect API key provided"), "{carl:?}");
    unkind_answer(&simulator, "*", "*", 401);
    let unready = answer_with(played.address, "/readyz", "the admin key (401)").await;
    played.written.add("readiness with a refused key", format!("{unready:?}"));
    played.commands();
    for sent in [format!("Bearer {PUSH_TOKEN}"), "webhook-signature: ".to_owned()] {
        let arrived = async {
            while !received.lock().unwrap().contains(&sent) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, arrived).await.expect("the receiver is told");
    }

    let (written, signing_key) = played.end().await;
    let (middle, end) = (
        |text: &str| text.rsplit('_').nth(1).unwrap().to_owned(),
        |text: &str| text.rsplit('.').next().unwrap().to_owned(),
    );
    for (what, secret) in [
        ("the admin key", ADMIN_KEY),
        ("the static token", STATIC_TOKEN),
        ("a password", PASSWORD),
        ("the secret of alarms", ALARM_SECRET),
        ("the secret of alarms", ALARM_SECRET.trim_start_matches("whsec_")),
        ("the master key", MASTER_KEY),
        ("the key of a tenant in the database", STORED_KEY),
        ("the token of an event receiver", PUSH_TOKEN),
        ("the private key of the program", &signing_key),
        ("the secret of a client", &middle(&secret)),
        ("the signature of an assertion", &end(&assertion)),
        ("the signature of an access token", &end(&access)),
        ("the token of another tenant", &middle(&of_acme)),
        ("a wrong token", WRONG_TOKEN),
        ("a wrong credential", WRONG_BASIC),
        ("the secret of a minted token", &middle(&minted)),
    ] {
        written.must_not_have(what, secret);
    }
    if on_server.len() >= secrets::SHORTEST {
        written.must_not_have("the password of the database", &on_server);
    }
}

/// Stores an address, says that it is a secret, and tells with what words the database is given up.
async fn gave_up_with_its_secret(database: Database) -> String {
    const STORED: &str = "ann.who.is.stored@x.example";
    let bridge = TestBridge::builder().on(database).start().await;
    bridge.okta().create_named(STORED).await;
    bridge.database.hand_out(STORED);
    let (database, _keys) = bridge.leave().await;
    let failed = std::panic::catch_unwind(AssertUnwindSafe(|| drop(database))).unwrap_err();
    *failed.downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_secret_that_a_test_stores_is_found() {
    let told = gave_up_with_its_secret(Database::sqlite()).await;
    assert!(told.contains("a secret is in the database bridge.db"), "{told}");
    if let Some(database) = Database::postgres().await {
        let told = gave_up_with_its_secret(database).await;
        assert!(told.contains("a secret is in the table "), "{told}");
    }
}
