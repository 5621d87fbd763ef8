//! Signed tokens of other issuers: what is taken, what never is, and how their keys are found and kept.

use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openai_scim_bridge::model::trust::{Issuer, Trust};
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge, user};
use crate::harness::issuer::{TestIssuer, TestKey, TestRsaKey, forged};
use crate::harness::trail::trail_of_default;

const AUDIENCE: &str = "https://scim.example.com/scim/v2";

fn trusting(issuer: Issuer) -> Trust {
    Trust { issuers: vec![issuer], ..Trust::default() }
}

async fn start(rules: Issuer) -> TestBridge {
    TestBridge::builder().trust("default", trusting(rules)).start().await
}

fn holder(bridge: &TestBridge, token: &str) -> Actor {
    bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"))
}

async fn status(bridge: &TestBridge, token: &str) -> u16 {
    holder(bridge, token).get("/Users").await.status
}

#[tokio::test]
async fn a_token_of_a_trusted_issuer_opens_and_is_named_in_the_trail() {
    let issuer = TestIssuer::start().await;
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let token = issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock));
    holder(&bridge, &token).create(&user("jane@x.example")).await;
    assert_eq!(trail_of_default(&bridge.store).await[0].actor, "token:jwt:idp");
    assert_eq!(issuer.fetched(), 1);
}

#[tokio::test]
async fn no_trick_with_a_token_opens() {
    let issuer = TestIssuer::start().await;
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let good = issuer.claims(AUDIENCE, &bridge.clock);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let now = bridge.clock.now().as_second();
    let key = &issuer.key;
    let header = |change: &dyn Fn(&mut Header)| {
        let mut header = key.header();
        change(&mut header);
        key.sign_with(&header, &good)
    };
    let signed = key.sign(&good);
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let hmac = |secret: &[u8]| {
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let public = key.public();
    let forged_by = |alg: &str| forged(&json!({ "alg": alg, "typ": "JWT", "kid": key.id }), &good, b"");
    for (trick, token) in [
        ("none", forged_by("none")),
        ("None", forged_by("None")),
        ("no signature", forged_by("ES256")),
        ("an algorithm that is not known", forged_by("ES256K")),
        ("HMAC with the public key as JSON", hmac(public.to_string().as_bytes())),
        ("HMAC with a coordinate of the public key", hmac(public["x"].as_str().unwrap().as_bytes())),
        ("HMAC with nothing", hmac(b"")),
        ("somebody else's key under the right name", TestKey::new(&key.id).sign(&good)),
        ("a key that is not published", TestKey::new("key-2").sign(&good)),
        (
            "a signature of other claims",
            format!("{}.{signature}", TestKey::new("k").sign(&good).rsplit_once('.').unwrap().0),
        ),
        ("a signature cut short", format!("{head}.{}", signature.get(..40).unwrap())),
        (
            "claims exchanged",
            forged(&json!({"alg": "ES256", "kid": key.id}), &with("sub", json!("x")), signature.as_bytes()),
        ),
        ("jku", header(&|header| header.jku = Some(format!("{}/keys", issuer.url)))),
        ("x5u", header(&|header| header.x5u = Some(format!("{}/keys", issuer.url)))),
        ("jwk", header(&|header| header.jwk = serde_json::from_value(public.clone()).ok())),
        ("x5c", header(&|header| header.x5c = Some(vec!["AA==".to_owned()]))),
        ("crit", header(&|header| header.crit = Some(vec!["exp".to_owned()]))),
        ("an event", header(&|header| header.typ = Some("secevent+jwt".to_owned()))),
        ("a logout token", header(&|header| header.typ = Some("logout+jwt".to_owned()))),
        ("no exp", key.sign(&without("exp"))),
        ("exp as a text", key.sign(&with("exp", json!((now + 3600).to_string())))),
        ("exp as null", key.sign(&with("exp", Value::Null))),
        ("nbf as a text", key.sign(&with("nbf", json!(now.to_string())))),
        ("expired", key.sign(&with("exp", json!(now - 61)))),
        ("from the future", key.sign(&with("nbf", json!(now + 61)))),
        ("issued in the future", key.sign(&with("iat", json!(now + 61)))),
        ("no audience", key.sign(&without("aud"))),
        ("another audience", key.sign(&with("aud", json!("https://other.example.com")))),
        ("an audience that begins like ours", key.sign(&with("aud", json!(format!("{AUDIENCE}/x"))))),
        ("several audiences without ours", key.sign(&with("aud", json!(["a", "b"])))),
        ("an audience of the wrong type", key.sign(&with("aud", json!({ "x": AUDIENCE })))),
        ("another issuer", key.sign(&with("iss", json!("https://idp.example.com")))),
        ("no issuer", key.sign(&without("iss"))),
        ("another client", key.sign(&with("appid", json!("somebody")))),
        ("no client", key.sign(&without("appid"))),
        ("four parts", format!("{signed}.x")),
        ("two parts", head.to_owned()),
    ] {
        assert_eq!(status(&bridge, &token).await, 401, "{trick}");
    }
    // Also right after each other: nothing is remembered of a token but itself.
    assert_eq!(status(&bridge, &signed).await, 200);
    assert_eq!(status(&bridge, signed.get(..signed.len() - 1).unwrap()).await, 401);
}

#[tokio::test]
async fn clocks_may_be_a_minute_apart() {
    let issuer = TestIssuer::start().await;
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let now = bridge.clock.now().as_second();
    for (name, at, expected) in
        [("exp", now - 59, 200), ("exp", now - 60, 401), ("nbf", now + 60, 200), ("nbf", now + 61, 401)]
    {
        let mut claims = issuer.claims(AUDIENCE, &bridge.clock);
        claims[name] = json!(at);
        assert_eq!(status(&bridge, &issuer.key.sign(&claims)).await, expected, "{name} {at}");
    }
}

#[tokio::test]
async fn what_the_settings_ask_for_must_be_in_the_token() {
    let issuer = TestIssuer::start().await;
    let rules = Issuer {
        directory: Some("dir-1".to_owned()),
        required_scope: Some("scim".to_owned()),
        subjects: vec!["s".to_owned()],
        ..issuer.rules(AUDIENCE)
    };
    let bridge = start(rules).await;
    let mut good = issuer.claims(AUDIENCE, &bridge.clock);
    good["tid"] = json!("dir-1");
    for (name, scope) in
        [("scope", json!("openid scim")), ("scp", json!(["scim"])), ("roles", json!(["scim"]))]
    {
        let mut claims = good.clone();
        claims[name] = scope;
        assert_eq!(status(&bridge, &issuer.key.sign(&claims)).await, 200, "{name}");
        for (other, value) in
            [("tid", json!("dir-2")), ("sub", json!("t")), (name, json!("scimx")), ("appid", json!("other"))]
        {
            let mut claims = claims.clone();
            claims[other] = value;
            assert_eq!(status(&bridge, &issuer.key.sign(&claims)).await, 401, "{other}");
        }
    }
    assert_eq!(status(&bridge, &issuer.key.sign(&good)).await, 401);
}

#[tokio::test]
async fn entra_ids_own_token_opens_and_that_of_another_directory_or_application_does_not() {
    let (directory, application) =
        ("cbb1a5ac-f33b-45fa-9bf5-f37db0fed422", "00000014-0000-0000-c000-000000000000");
    let issuer = TestIssuer::start().await;
    let key = TestRsaKey::new("nOo3ZDrODXEK1jKWhXslHR_KXEg");
    issuer.publish(&json!({ "keys": [key.public()] }));
    let audience = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";
    let rules = Issuer {
        issuer: format!("https://sts.windows.net/{directory}/"),
        jwks_url: Some(format!("{}/keys", issuer.url).parse().unwrap()),
        clients: vec![application.to_owned()],
        directory: Some(directory.to_owned()),
        ..issuer.rules(audience)
    };
    let bridge = start(rules).await;
    let now = bridge.clock.now().as_second();
    let good = json!({
        "aud": audience, "iss": format!("https://sts.windows.net/{directory}/"), "iat": now - 300, "nbf": now - 300,
        "exp": now + 3600, "aio": "k2BgYNg", "appid": application, "appidacr": "2", "idp": "x", "oid": "y",
        "sub": "y", "tid": directory, "ver": "1.0",
    });
    assert_eq!(status(&bridge, &key.sign(&good)).await, 200);
    for (name, value) in [
        ("tid", "0bb1a5ac-f33b-45fa-9bf5-f37db0fed422"),
        ("iss", "https://sts.windows.net/0bb1a5ac-f33b-45fa-9bf5-f37db0fed422/"),
        ("appid", "10000014-0000-0000-c000-000000000000"),
        ("aud", "00000002-0000-0000-c000-000000000000"),
    ] {
        let mut claims = good.clone();
        claims[name] = json!(value);
        assert_eq!(status(&bridge, &key.sign(&claims)).await, 401, "{name}");
    }
    assert_eq!(status(&bridge, &TestRsaKey::new("nOo3ZDrODXEK1jKWhXslHR_KXEg").sign(&good)).await, 401);
}

#[tokio::test]
async fn a_token_for_one_tenant_opens_no_other() {
    let issuer = TestIssuer::start().await;
    let theirs = "https://scim.example.com/tenants/acme/scim/v2";
    let bridge = TestBridge::builder()
        .tenant("acme")
        .tenant("other")
        .trust("default", trusting(issuer.rules(AUDIENCE)))
        .trust("acme", trusting(issuer.rules(theirs)))
        .start()
        .await;
    for (audience, own) in [(AUDIENCE, "/scim/v2"), (theirs, "/tenants/acme/scim/v2")] {
        let token = issuer.key.sign(&issuer.claims(audience, &bridge.clock));
        for base in ["/scim/v2", "/tenants/acme/scim/v2", "/tenants/other/scim/v2", "/tenants/none/scim/v2"] {
            let expected = if base == own { 200 } else { 401 };
            assert_eq!(holder(&bridge, &token).at(base).get("/Users").await.status, expected, "{base}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_new_is_found_and_strangers_cause_no_flood_of_readings() {
    let issuer = TestIssuer::start().await;
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let claims = || issuer.claims(AUDIENCE, &bridge.clock);
    assert_eq!(status(&bridge, &issuer.key.sign(&claims())).await, 200);
    let new = TestKey::new("key-2");
    issuer.publish(&json!({ "keys": [issuer.key.public(), new.public()] }));
    // Within a minute of the last reading the keys are not read again, whatever tokens name.
    for n in 0..20 {
        assert_eq!(status(&bridge, &TestKey::new(&format!("made-up-{n}")).sign(&claims())).await, 401);
    }
    assert_eq!(status(&bridge, &new.sign(&claims())).await, 401);
    assert_eq!(issuer.fetched(), 1);
    bridge.clock.advance(SignedDuration::from_secs(60));
    assert_eq!(status(&bridge, &new.sign(&claims())).await, 200);
    assert_eq!(issuer.fetched(), 2);
    for n in 0..20 {
        assert_eq!(status(&bridge, &TestKey::new(&format!("made-up-{n}")).sign(&claims())).await, 401);
    }
    assert_eq!(issuer.fetched(), 2);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_works_no_longer_than_an_hour() {
    let issuer = TestIssuer::start().await;
    let bridge = start(issuer.rules(AUDIENCE)).await;
    assert_eq!(status(&bridge, &issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock))).await, 200);
    issuer.publish(&json!({ "keys": [TestKey::new("key-2").public()] }));
    bridge.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(status(&bridge, &issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock))).await, 401);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_reason_to_refuse_for_a_day_and_then_asks_for_patience() {
    let issuer = TestIssuer::start().await;
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let token = || issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock));
    assert_eq!(status(&bridge, &token()).await, 200);
    issuer.answer(500);
    bridge.clock.advance(SignedDuration::from_hours(23));
    assert_eq!(status(&bridge, &token()).await, 200);
    bridge.clock.advance(SignedDuration::from_hours(1));
    // 503, not 401: the identity provider should come again rather than give the connection up.
    let answer = holder(&bridge, &token()).get("/Users").await;
    answer.expect_error(503, None);
    assert_eq!(answer.header("retry-after"), Some("5"));
    issuer.answer(200);
    bridge.clock.advance(SignedDuration::from_secs(60));
    assert_eq!(status(&bridge, &token()).await, 200);
}

#[tokio::test]
async fn keys_are_only_taken_from_where_the_issuer_is_and_says() {
    for (case, discovery) in [
        ("another issuer", json!({ "issuer": "https://idp.example.com", "jwks_uri": "URL/keys" })),
        ("another host", json!({ "issuer": "URL", "jwks_uri": "http://127.0.0.1:1/keys" })),
        ("no place", json!({ "issuer": "URL" })),
        ("a file", json!({ "issuer": "URL", "jwks_uri": "file:///etc/passwd" })),
    ] {
        let issuer = TestIssuer::start().await;
        issuer.describe(serde_json::from_str(&discovery.to_string().replace("URL", &issuer.url)).unwrap());
        let bridge = start(issuer.rules(AUDIENCE)).await;
        let token = issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock));
        assert_eq!((status(&bridge, &token).await, issuer.fetched()), (503, 0), "{case}");
    }
    let issuer = TestIssuer::start().await;
    // A redirect is no answer.
    issuer.answer(302);
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let token = issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock));
    assert_eq!(status(&bridge, &token).await, 503);
}

#[tokio::test]
async fn an_issuer_inside_the_network_is_not_asked_unless_that_is_allowed() {
    let issuer = TestIssuer::start().await;
    let bridge = start(Issuer { allow_private: false, ..issuer.rules(AUDIENCE) }).await;
    let token = issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock));
    assert_eq!((status(&bridge, &token).await, issuer.fetched()), (503, 0));
}

#[tokio::test]
async fn a_key_set_with_symmetric_or_private_keys_is_of_no_use() {
    let issuer = TestIssuer::start().await;
    let mut private = issuer.key.public();
    private["d"] = json!("AAAA");
    let bridge = start(issuer.rules(AUDIENCE)).await;
    let token = issuer.key.sign(&issuer.claims(AUDIENCE, &bridge.clock));
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "key-1", "alg": "HS256" });
    for keys in [json!([private]), json!([secret]), json!([]), json!("x")] {
        issuer.publish(&json!({ "keys": keys }));
        bridge.clock.advance(SignedDuration::from_secs(60));
        assert_eq!(status(&bridge, &token).await, 503, "{keys}");
    }
}
