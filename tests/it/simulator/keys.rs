//! Which key may do what.

use super::*;

#[tokio::test]
async fn a_call_without_or_with_an_unknown_key_is_401() {
    let standin = Standin::plain().await;
    let url = format!("{}/v1/organization/users", standin.base);
    let without = Standin::send(standin.http.get(&url)).await;
    assert_eq!(without.status, 401);
    let unknown =
        Standin::send(standin.http.get(&url).header("authorization", "Bearer sk-admin-other")).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(unknown.json()["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn a_project_key_is_403_with_a_bare_string_or_an_object() {
    let standin = Standin::plain().await;
    let ask = || {
        let url = format!("{}/v1/organization/users", standin.base);
        Standin::send(standin.http.get(url).header("authorization", "Bearer sk-proj-x"))
    };
    let text = ask().await;
    assert_eq!(text.status, 403);
    assert!(text.json()["error"].as_str().unwrap().contains("Missing scopes: api.management.read"));
    standin.simulator.set_options(|options| options.forbidden_body = ForbiddenBody::Object);
    assert!(ask().await.message().contains("Missing scopes"));
}

#[tokio::test]
async fn a_read_only_key_may_not_write() {
    let standin = Standin::start(|options| options.read_only_keys = vec!["sk-admin-read".to_owned()]).await;
    let url = format!("{}/v1{INVITES}", standin.base);
    let key = "Bearer sk-admin-read";
    assert_eq!(Standin::send(standin.http.get(&url).header("authorization", key)).await.status, 200);
    let body = json!({"email": "a@example.com", "role": "reader"});
    let written = Standin::send(standin.http.post(&url).header("authorization", key).json(&body)).await;
    assert_eq!(written.status, 403);
    assert!(standin.simulator.invites().is_empty());
}

#[tokio::test]
async fn a_created_key_works_until_it_expires_and_a_revoked_one_stops() {
    let standin = Standin::plain().await;
    let body = json!({"name": "second", "expires_in_seconds": 60});
    let created = standin.post("/organization/admin_api_keys", body).await;
    let key = format!("Bearer {}", created.json()["value"].as_str().unwrap());
    let ask = || {
        let url = format!("{}/v1{USERS}", standin.base);
        Standin::send(standin.http.get(url).header("authorization", &key))
    };
    assert_eq!(ask().await.status, 200);
    let read = standin.get(&format!("/organization/admin_api_keys/{}", created.id())).await;
    assert!(read.json().get("value").is_none());
    standin.simulator.advance(SignedDuration::from_secs(60));
    assert_eq!(ask().await.status, 401);
    standin.simulator.revoke_key("sk-admin-simulator").unwrap();
    assert_eq!(standin.get(USERS).await.status, 401);
}

#[tokio::test]
async fn removing_the_owner_of_the_key_stops_the_key() {
    let standin = Standin::plain().await;
    standin.simulator.remove_member("owner@example.com").unwrap();
    assert_eq!(standin.get(USERS).await.status, 401);
    standin.simulator.set_options(|options| options.keys_of_removed_members = Feature::On);
    assert_eq!(standin.get(USERS).await.status, 200);
}
