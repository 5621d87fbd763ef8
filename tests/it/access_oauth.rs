//! The token endpoint: who gets an access token, what it opens, and how it ends.

use jiff::SignedDuration;
use openai_scim_bridge::access::client;
use openai_scim_bridge::config::{NetworkRules, Rate};
use openai_scim_bridge::http::Gate;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::client::ClientRecord;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::model::trust::Trust;
use openai_scim_bridge::store::StoreError;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::harness::bridge::{PUBLIC_URL, TestBridge};
use crate::harness::database::Database;
use crate::harness::issuer::TestKey;
use crate::harness::wire::Answer;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn start() -> TestBridge {
    let oauth = || Trust { oauth: true, ..Trust::default() };
    let builder = TestBridge::builder().tenant("acme").tenant("plain");
    builder.trust("default", oauth()).trust("acme", oauth()).start().await
}

async fn keep(bridge: &TestBridge, record: &ClientRecord) {
    let record = record.clone();
    let kept: Result<(), StoreError> = bridge
        .store
        .write(move |tx| {
            let record = record.clone();
            Box::pin(async move { tx.insert_client(&record).await })
        })
        .await;
    kept.unwrap();
}

pub(crate) async fn with_secret(bridge: &TestBridge, tenant: &str, scopes: &str) -> (String, String) {
    let scopes = scopes.parse::<Scopes>().unwrap();
    let (secret, record) =
        client::with_secret(&bridge.clock, tenant.parse().unwrap(), "test".to_owned(), scopes);
    keep(bridge, &record).await;
    bridge.database.hand_out(secret.expose_secret());
    (record.id, secret.expose_secret().to_owned())
}

pub(crate) async fn with_key(bridge: &TestBridge, key: &TestKey) -> String {
    let keys = json!({ "keys": [key.public()] });
    let record = client::with_keys(
        &bridge.clock,
        TenantId::default_tenant(),
        "test".to_owned(),
        Scopes::provisioning(),
        keys,
    );
    let record = record.unwrap();
    keep(bridge, &record).await;
    record.id
}

/// Sends a form.
pub(crate) async fn ask(bridge: &TestBridge, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let client = bridge.anonymous().with_content_type("application/x-www-form-urlencoded");
    client.send("POST", path, Some(form.as_bytes())).await
}

async fn ask_with_secret(bridge: &TestBridge, id: &str, secret: &str, scope: &str) -> Answer {
    ask(
        bridge,
        "/oauth/token",
        &[
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope),
        ],
    )
    .await
}

pub(crate) async fn ask_with_assertion(bridge: &TestBridge, assertion: &str) -> Answer {
    ask(
        bridge,
        "/oauth/token",
        &[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        ],
    )
    .await
}

async fn status(bridge: &TestBridge, base: &str, token: &str, path: &str) -> u16 {
    bridge.anonymous().at(base).with_authorization(format!("Bearer {token}")).get(path).await.status
}

pub(crate) fn token_of(answer: &Answer) -> String {
    answer.expect(200)["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_with_its_secret_gets_a_token_that_opens_its_tenant_for_ten_minutes() {
    let bridge = start().await;
    let (id, secret) = with_secret(&bridge, "acme", "users:read groups:read").await;
    let answer = ask_with_secret(&bridge, &id, &secret, "").await;
    let body = answer.expect(200);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(body["scope"], "users:read groups:read");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = token_of(&answer);
    let acme = "/tenants/acme/scim/v2";
    assert_eq!(status(&bridge, acme, &token, "/Users").await, 200);
    assert_eq!(status(&bridge, acme, &token, "/Groups").await, 200);
    assert_eq!(status(&bridge, "/scim/v2", &token, "/Users").await, 401);
    assert_eq!(status(&bridge, "/tenants/plain/scim/v2", &token, "/Users").await, 401);
    bridge.clock.advance(SignedDuration::from_secs(659));
    assert_eq!(status(&bridge, acme, &token, "/Users").await, 200);
    bridge.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(status(&bridge, acme, &token, "/Users").await, 401);
    let narrow = token_of(&ask_with_secret(&bridge, &id, &secret, "users:read").await);
    assert_eq!(status(&bridge, acme, &narrow, "/Users").await, 200);
    assert_eq!(status(&bridge, acme, &narrow, "/Groups").await, 403);
}

#[tokio::test]
async fn a_client_that_asks_for_tokens_too_often_or_from_elsewhere_gets_none() {
    let database = Database::sqlite();
    let gate = Gate::new(database.clock.clone(), Vec::new(), 1_000);
    let busy = NetworkRules { per_token: Rate { per_second: 1, burst: 1 }, ..NetworkRules::default() };
    gate.take_on("acme".parse().unwrap(), &busy).unwrap();
    let far = NetworkRules { allow_from: vec!["203.0.113.0/24".parse().unwrap()], ..NetworkRules::default() };
    gate.take_on(TenantId::default_tenant(), &far).unwrap();
    let oauth = || Trust { oauth: true, ..Trust::default() };
    let builder = TestBridge::builder().tenant("acme").gate(gate).on(database);
    let bridge = builder.trust("default", oauth()).trust("acme", oauth()).start().await;

    let (id, secret) = with_secret(&bridge, "acme", "users:read").await;
    ask_with_secret(&bridge, &id, &secret, "").await.expect(200);
    let refused = ask_with_secret(&bridge, &id, &secret, "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
    bridge.clock.advance(SignedDuration::from_secs(2));
    ask_with_secret(&bridge, &id, &secret, "").await.expect(200);

    let (id, secret) = with_secret(&bridge, "default", "users:read").await;
    assert_eq!(ask_with_secret(&bridge, &id, &secret, "").await.expect(401)["error"], "invalid_client");
}

#[tokio::test]
async fn a_client_may_prove_itself_by_basic_authentication() {
    use base64::Engine as _;
    let bridge = start().await;
    let (id, secret) = with_secret(&bridge, "default", "users:read").await;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let client = bridge.anonymous().with_content_type("application/x-www-form-urlencoded");
    let send = |authorization: String, form: &'static str| {
        let client = client.clone().with_authorization(authorization);
        async move { client.send("POST", "/oauth/token", Some(form.as_bytes())).await }
    };
    let good = format!("Basic {}", encode(&format!("{id}:{secret}")));
    send(good.clone(), "grant_type=client_credentials").await.expect(200);
    let bad = format!("Basic {}", encode(&format!("{id}:{secret}x")));
    let refused = send(bad, "grant_type=client_credentials").await;
    assert_eq!(refused.expect(401)["error"], "invalid_client");
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
    let twice = send(good, "grant_type=client_credentials&client_secret=x").await;
    assert_eq!(twice.expect(400)["error"], "invalid_request");
}

#[tokio::test]
async fn nothing_is_given_for_less_than_a_proof() {
    let bridge = start().await;
    let (id, secret) = with_secret(&bridge, "default", "users:read").await;
    let (other, _) = with_secret(&bridge, "default", "users:read").await;
    let (plain, of_plain) = with_secret(&bridge, "plain", "users:read").await;
    let grant = ("grant_type", "client_credentials");
    for (parameters, status, error) in [
        (vec![grant], 401, "invalid_client"),
        (vec![grant, ("client_id", &*id)], 401, "invalid_client"),
        (vec![grant, ("client_id", &*id), ("client_secret", "")], 401, "invalid_client"),
        (vec![grant, ("client_id", &*id), ("client_secret", "x")], 401, "invalid_client"),
        (vec![grant, ("client_id", &*other), ("client_secret", &*secret)], 401, "invalid_client"),
        (vec![grant, ("client_id", "nobody"), ("client_secret", &*secret)], 401, "invalid_client"),
        // This tenant's settings give no tokens.
        (vec![grant, ("client_id", &*plain), ("client_secret", &*of_plain)], 401, "invalid_client"),
        (vec![("client_id", &*id), ("client_secret", &*secret)], 400, "invalid_request"),
        (vec![grant, grant, ("client_id", &*id), ("client_secret", &*secret)], 400, "invalid_request"),
        (
            vec![("grant_type", "password"), ("client_id", &*id), ("client_secret", &*secret)],
            400,
            "unsupported_grant_type",
        ),
        (
            vec![grant, ("client_id", &*id), ("client_secret", &*secret), ("scope", "admin")],
            400,
            "invalid_scope",
        ),
        (
            vec![grant, ("client_id", &*id), ("client_secret", &*secret), ("scope", "nonsense")],
            400,
            "invalid_scope",
        ),
    ] {
        let answer = ask(&bridge, "/oauth/token", &parameters).await;
        assert_eq!(answer.expect(status)["error"], error, "{parameters:?}");
    }
    let json = bridge.anonymous().post("/oauth/token", &json!({ "grant_type": "client_credentials" })).await;
    assert_eq!(json.expect(400)["error"], "invalid_request");
    // The secret of a client is no token, and neither is its name.
    for credential in [&secret, &id] {
        assert_eq!(status_of_users(&bridge, credential).await, 401);
    }
}

async fn status_of_users(bridge: &TestBridge, token: &str) -> u16 {
    status(bridge, "/scim/v2", token, "/Users").await
}

#[tokio::test]
async fn an_assertion_opens_once_and_only_if_it_says_all_it_must() {
    let bridge = start().await;
    let key = TestKey::new("mine");
    let id = with_key(&bridge, &key).await;
    let now = bridge.clock.now().as_second();
    let good = |jti: &str| json!({ "iss": id, "sub": id, "aud": PUBLIC_URL, "jti": jti, "iat": now, "exp": now + 300 });
    let first = key.sign(&good("1"));
    let token = token_of(&ask_with_assertion(&bridge, &first).await);
    assert_eq!(status_of_users(&bridge, &token).await, 200);
    assert_eq!(ask_with_assertion(&bridge, &first).await.expect(401)["error"], "invalid_client");
    let mut endpoint = good("2");
    endpoint["aud"] = json!([format!("{PUBLIC_URL}/oauth/token")]);
    token_of(&ask_with_assertion(&bridge, &key.sign(&endpoint)).await);

    let with = |name: &str, value: Value| {
        let mut claims = good(&format!("bad {name}"));
        claims[name] = value;
        key.sign(&claims)
    };
    for (case, assertion) in [
        ("another key", TestKey::new("mine").sign(&good("3"))),
        ("another audience", with("aud", json!("https://idp.example.com"))),
        ("the SCIM endpoint as audience", with("aud", json!(format!("{PUBLIC_URL}/scim/v2")))),
        ("another subject", with("sub", json!("somebody"))),
        ("another issuer", with("iss", json!("somebody"))),
        ("no id", with("jti", Value::Null)),
        ("an empty id", with("jti", json!(""))),
        ("a long id", with("jti", json!("x".repeat(129)))),
        ("no end", with("exp", Value::Null)),
        ("a far end", with("exp", json!(now + 3600))),
        ("expired", with("exp", json!(now - 61))),
        ("an access token", token.clone()),
        ("rubbish", "ey.x.y".to_owned()),
    ] {
        let answer = ask_with_assertion(&bridge, &assertion).await;
        assert_eq!(answer.expect(401)["error"], "invalid_client", "{case}");
    }
    // An assertion is no token.
    assert_eq!(status_of_users(&bridge, &key.sign(&good("4"))).await, 401);
}

#[tokio::test]
async fn an_assertion_stays_spent_after_a_restart_and_its_memory_is_bounded() {
    let bridge = start().await;
    let key = TestKey::new("mine");
    let id = with_key(&bridge, &key).await;
    let sign = |jti: &str, bridge: &TestBridge| {
        let now = bridge.clock.now().as_second();
        key.sign(&json!({ "iss": id, "sub": id, "aud": PUBLIC_URL, "jti": jti, "exp": now + 600 }))
    };
    let shown = sign("once", &bridge);
    ask_with_assertion(&bridge, &shown).await.expect(200);
    let (database, keys) = bridge.leave().await;
    let oauth = Trust { oauth: true, ..Trust::default() };
    let bridge = TestBridge::builder().trust("default", oauth).start_on(database, keys).await;
    bridge.clock.advance(SignedDuration::from_secs(659));
    ask_with_assertion(&bridge, &shown).await.expect(401);
    bridge.clock.advance(SignedDuration::from_mins(10));
    ask_with_assertion(&bridge, &sign("later", &bridge)).await.expect(200);
    let mut reader = bridge.store.reader().await.unwrap();
    assert!(!reader.is_spent(&id, "assertion:once").await.unwrap());
    assert!(reader.is_spent(&id, "assertion:later").await.unwrap());
}

#[tokio::test]
async fn a_revoked_token_and_those_of_a_removed_client_work_no_more() {
    let bridge = start().await;
    let (id, secret) = with_secret(&bridge, "default", "users:read").await;
    let (other, of_other) = with_secret(&bridge, "default", "users:read").await;
    let (one, two) = (
        token_of(&ask_with_secret(&bridge, &id, &secret, "").await),
        token_of(&ask_with_secret(&bridge, &id, &secret, "").await),
    );
    let revoke = |id: String, secret: String, token: String| {
        let bridge = &bridge;
        async move {
            let form = [("client_id", &*id), ("client_secret", &*secret), ("token", &*token)];
            ask(bridge, "/oauth/revoke", &form).await.status
        }
    };
    // Of somebody else's token nothing is told and nothing is changed (RFC 7009 §2.1).
    assert_eq!(revoke(other.clone(), of_other, one.clone()).await, 200);
    assert_eq!(status_of_users(&bridge, &one).await, 200);
    assert_eq!(revoke(id.clone(), "wrong".to_owned(), one.clone()).await, 401);
    assert_eq!(revoke(id.clone(), secret.clone(), "rubbish".to_owned()).await, 200);
    assert_eq!(revoke(id.clone(), secret.clone(), one.clone()).await, 200);
    assert_eq!(status_of_users(&bridge, &one).await, 401);
    assert_eq!(status_of_users(&bridge, &two).await, 200);

    let (client, now) = (id.clone(), bridge.clock.now());
    let removed: Result<bool, StoreError> = bridge
        .store
        .write(move |tx| {
            let client = client.clone();
            Box::pin(async move { tx.revoke_client(&TenantId::default_tenant(), &client, now).await })
        })
        .await;
    assert!(removed.unwrap());
    assert_eq!(status_of_users(&bridge, &two).await, 401);
    ask_with_secret(&bridge, &id, &secret, "").await.expect(401);
}

#[tokio::test]
async fn the_metadata_names_what_there_is_and_without_clients_there_is_nothing() {
    let bridge = start().await;
    let metadata = bridge.anonymous().get("/.well-known/oauth-authorization-server").await.expect(200);
    assert_eq!(metadata["issuer"], PUBLIC_URL);
    assert_eq!(metadata["token_endpoint"], format!("{PUBLIC_URL}/oauth/token"));
    let keys = bridge.anonymous().get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    let without = TestBridge::start().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
        without.anonymous().get(path).await.expect_error(404, None);
    }
    ask(&without, "/oauth/token", &[("grant_type", "client_credentials")]).await.expect_error(404, None);
}
