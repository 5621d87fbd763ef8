//! Who comes in, and who does not: tokens, tenants and the door in front of every SCIM path.

use jiff::SignedDuration;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::store::StoreError;
use serde_json::json;

use crate::harness::bridge::{Actor, STATIC_TOKEN, TestBridge, user};

async fn revoke(bridge: &TestBridge, id: &str) {
    let (id, now) = (id.to_owned(), bridge.clock.now());
    let revoked: Result<bool, StoreError> = bridge
        .store
        .write(move |tx| {
            let id = id.clone();
            Box::pin(async move { tx.revoke_token(&TenantId::default_tenant(), &id, now).await })
        })
        .await;
    assert!(revoked.unwrap());
}

async fn expect_refused(actor: &Actor, path: &str) {
    let answer = actor.get(path).await;
    answer.expect_error(401, None);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"SCIM\""));
}

#[tokio::test]
async fn the_token_of_the_settings_opens_in_all_its_dresses() {
    let bridge = TestBridge::start().await;
    for value in [format!("Bearer {STATIC_TOKEN}"), format!("bearer {STATIC_TOKEN}"), STATIC_TOKEN.to_owned()]
    {
        bridge.anonymous().at("/scim/v2").with_authorization(value).get("/Users").await.expect(200);
    }
}

#[tokio::test]
async fn a_minted_token_opens_its_tenant() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let (id, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(format!("Bearer {token}"));
    let created = acme.create(&user("jane@x.example")).await;
    let location = created["meta"]["location"].as_str().unwrap();
    assert!(location.starts_with("https://scim.example.com/tenants/acme/scim/v2/Users/"), "{location}");

    // The use of the token is noted off the request's path; the write that follows waits its turn behind it.
    acme.create_named("john@x.example").await;
    let record = bridge.store.reader().await.unwrap().load_token(&id).await.unwrap().unwrap();
    assert_eq!(record.last_used_at, Some(bridge.clock.now()));
}

#[tokio::test]
async fn nothing_else_opens() {
    let bridge = TestBridge::start().await;
    let (_, token) = bridge.mint("default", None).await;
    let anonymous = bridge.anonymous().at("/scim/v2");
    expect_refused(&anonymous, "/Users").await;
    let mut other_secret = token.clone();
    let last_of_secret = token.rfind('_').unwrap() - 1;
    let swapped = if token.as_bytes()[last_of_secret] == b'0' { "1" } else { "0" };
    other_secret.replace_range(last_of_secret..=last_of_secret, swapped);
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer wrong".to_owned(),
        format!("Basic {STATIC_TOKEN}"),
        format!("Bearer {STATIC_TOKEN} x"),
        format!("Bearer {}", STATIC_TOKEN.split_at(20).0),
        format!("Bearer {other_secret}"),
        format!("Bearer {}", token.to_uppercase()),
    ] {
        expect_refused(&anonymous.clone().with_authorization(value), "/Users").await;
    }
    let twice = anonymous.clone().with_authorization(STATIC_TOKEN).with("Authorization", STATIC_TOKEN);
    expect_refused(&twice, "/Users").await;
    expect_refused(&anonymous.clone().with("X-Api-Key", STATIC_TOKEN), "/Users").await;
    expect_refused(&anonymous.clone().with("Cookie", format!("token={STATIC_TOKEN}")), "/Users").await;
    expect_refused(&anonymous, &format!("/Users?access_token={STATIC_TOKEN}")).await;
}

#[tokio::test]
async fn the_door_comes_before_the_route_and_the_body() {
    let bridge = TestBridge::start().await;
    let anonymous = bridge.anonymous();
    for path in [
        "/scim/v2",
        "/scim/v2/",
        "/scim/v2/nothing",
        "/scim/v2/ServiceProviderConfig",
        "/scim/v2/Users/..%2f..%2fhealthz",
        "/v1/scim/v2/Users",
        "/tenants/default/scim/v2/Users",
        "/tenants/nobody/scim/v2/Users",
        "/tenants/NO%20TENANT/scim/v2/Users",
    ] {
        expect_refused(&anonymous, path).await;
    }
    anonymous.post("/scim/v2/Users", &json!("x".repeat(2_000_000))).await.expect_error(401, None);
}

#[tokio::test]
async fn a_token_opens_no_other_tenant() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(format!("Bearer {token}"));
    let okta = bridge.okta();
    for foreign in [
        acme.clone().at("/scim/v2"),
        acme.clone().at("/v1/scim/v2"),
        okta.clone().at("/tenants/acme/scim/v2"),
    ] {
        expect_refused(&foreign, "/Users").await;
    }
    let (_, of_nobody) = bridge.mint("gone", None).await;
    let gone =
        bridge.anonymous().at("/tenants/gone/scim/v2").with_authorization(format!("Bearer {of_nobody}"));
    expect_refused(&gone, "/Users").await;
}

#[tokio::test]
async fn a_tenant_sees_and_changes_only_its_own() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(format!("Bearer {token}"));
    let okta = bridge.okta();
    let mut jane = user("jane@x.example");
    jane["externalId"] = json!("00u1");
    let ours = okta.create(&jane).await;
    let path = format!("/Users/{}", ours["id"].as_str().unwrap());

    let foreign = acme.get(&path).await.expect_error(404, None);
    let unknown = acme.get("/Users/0191e5a0-0000-7000-8000-000000000000").await.expect_error(404, None);
    assert_eq!(foreign, unknown);
    acme.put(&path, &jane).await.expect_error(404, None);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    acme.patch(&path, &off).await.expect_error(404, None);
    acme.delete(&path).await.expect_error(404, None);
    for filter in ["userName eq \"jane@x.example\"", "externalId eq \"00u1\"", "title pr or userName pr"] {
        assert_eq!(acme.find(filter).await.expect(200)["totalResults"], 0, "{filter}");
    }
    // Names, labels and addresses are unique within a tenant alone: a 409 would tell of somebody else's people.
    let theirs = acme.create(&jane).await;
    assert_ne!(theirs["id"], ours["id"]);
    assert_eq!(okta.get(&path).await.expect(200), ours);
}

#[tokio::test]
async fn a_revoked_token_stops_working_within_a_second() {
    let bridge = TestBridge::start().await;
    let (id, token) = bridge.mint("default", None).await;
    let actor = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    actor.get("/Users").await.expect(200);
    revoke(&bridge, &id).await;
    bridge.clock.advance(SignedDuration::from_secs(1));
    expect_refused(&actor, "/Users").await;
}

#[tokio::test]
async fn an_expired_token_stops_working_at_once() {
    let bridge = TestBridge::start().await;
    let (_, token) = bridge.mint("default", Some("2026-01-01T01:00:00Z")).await;
    let actor = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    bridge.clock.advance(SignedDuration::from_secs(3599));
    actor.get("/Users").await.expect(200);
    bridge.clock.advance(SignedDuration::from_secs(1));
    expect_refused(&actor, "/Users").await;
}
