//! The control calls over HTTP.

use super::*;

async fn control(standin: &Standin, method: &str, path: &str, body: Value) -> Answer {
    let request = standin.http.request(method.parse().unwrap(), format!("{}/control{path}", standin.base));
    Standin::send(request.json(&body)).await
}

#[tokio::test]
async fn people_can_be_moved_from_outside() {
    let standin = Standin::plain().await;
    standin.invite("a@example.com").await;
    let accepted = control(&standin, "POST", "/invites/accept", json!({"invite": "a@example.com"})).await;
    assert_eq!(accepted.json()["user_id"], standin.simulator.member("a@example.com").unwrap().id);
    let again = control(&standin, "POST", "/invites/accept", json!({"invite": "a@example.com"})).await;
    assert_eq!(again.status, 409);
    let nobody = control(&standin, "POST", "/invites/accept", json!({"invite": "b@example.com"})).await;
    assert_eq!(nobody.status, 404);
    standin.invite("b@example.com").await;
    assert_eq!(
        control(&standin, "POST", "/invites/decline", json!({"invite": "b@example.com"})).await.status,
        200
    );
    assert!(standin.simulator.pending_invites("b@example.com").is_empty());

    let body = json!({"email": "c@example.com", "is_scim_managed": true});
    assert_eq!(control(&standin, "POST", "/members", body).await.status, 200);
    assert!(standin.simulator.member("c@example.com").unwrap().is_scim_managed);
    let role = control(&standin, "POST", "/members/c@example.com/role", json!({"role": "owner"})).await;
    assert_eq!(role.status, 200);
    assert_eq!(standin.simulator.member("c@example.com").unwrap().role, OrgRole::Owner);
    assert_eq!(control(&standin, "DELETE", "/members/c@example.com", Value::Null).await.status, 200);
    assert!(standin.simulator.member("c@example.com").is_none());

    control(&standin, "POST", "/invites", json!({"email": "d@example.com", "role": "owner"})).await;
    assert_eq!(control(&standin, "DELETE", "/invites/d@example.com", Value::Null).await.status, 200);
    assert!(standin.simulator.pending_invites("d@example.com").is_empty());
}

#[tokio::test]
async fn things_can_be_put_in_place_from_outside() {
    let standin = Standin::plain().await;
    control(&standin, "POST", "/members", json!({"email": "a@example.com"})).await;
    let project =
        control(&standin, "POST", "/projects", json!({"name": "Research"})).await.json()["project_id"]
            .as_str()
            .unwrap()
            .to_owned();
    let user = json!({"member": "a@example.com"});
    assert_eq!(control(&standin, "POST", &format!("/projects/{project}/users"), user).await.status, 200);
    let key = json!({"member": "a@example.com", "name": "laptop"});
    assert_eq!(control(&standin, "POST", &format!("/projects/{project}/keys"), key).await.status, 200);
    let group = json!({"name": "Engineers", "members": ["a@example.com"]});
    assert_eq!(control(&standin, "POST", "/groups", group).await.status, 200);
    assert_eq!(control(&standin, "POST", "/service_accounts", json!({"name": "robot"})).await.status, 200);
    let state = control(&standin, "GET", "/state", Value::Null).await.json();
    assert_eq!(state["projects"][1]["users"].as_array().unwrap().len(), 1);
    assert_eq!(state["groups"][0]["users"].as_array().unwrap().len(), 1);
    assert_eq!(state["service_accounts"].as_array().unwrap().len(), 2);
    assert_eq!(
        control(&standin, "DELETE", "/keys", json!({"value": "sk-admin-simulator"})).await.status,
        200
    );
    assert_eq!(standin.get(USERS).await.status, 401);
}

#[tokio::test]
async fn faults_limits_switches_and_time_can_be_set_from_outside() {
    let standin = Standin::plain().await;
    let rule =
        json!({"method": "GET", "template": USERS, "times": 1, "fault": {"kind": "status", "status": 503}});
    assert_eq!(control(&standin, "POST", "/faults", rule).await.status, 200);
    assert_eq!(control(&standin, "GET", "/faults", Value::Null).await.json()["faults"][0]["times"], 1);
    assert_eq!(standin.get(USERS).await.status, 503);
    let reset = json!({"fault": {"kind": "reset", "effect": {"late": {"milliseconds": 5}}}, "chance": 1.0});
    assert_eq!(control(&standin, "POST", "/faults", reset).await.status, 200);
    assert_eq!(control(&standin, "DELETE", "/faults", Value::Null).await.status, 200);
    assert_eq!(control(&standin, "POST", "/faults", json!({"fault": {"kind": "flood"}})).await.status, 400);

    let limiter = json!({"enabled": true, "requests": 1, "dialect": "retry_after"});
    assert_eq!(control(&standin, "PUT", "/limiter", limiter).await.status, 200);
    assert_eq!((standin.get(USERS).await.status, standin.get(USERS).await.status), (200, 429));
    let moved = control(&standin, "POST", "/clock", json!({"advance_seconds": 60})).await.json();
    assert_eq!(moved["now"], "2026-01-01T00:01:00Z");
    assert_eq!(standin.get(USERS).await.status, 200);

    let changed = control(&standin, "PATCH", "/options", json!({"groups": "off"})).await;
    assert_eq!(changed.json()["groups"], "off");
    assert_eq!(standin.get("/organization/groups").await.status, 404);
    assert_eq!(control(&standin, "PATCH", "/options", json!({"group": "off"})).await.status, 400);

    let all =
        control(&standin, "GET", "/ledger?method=GET&template=/organization/users", Value::Null).await.json();
    assert_eq!(all["entries"].as_array().unwrap().len(), 4);
    control(&standin, "DELETE", "/ledger", Value::Null).await;
    assert!(standin.simulator.ledger().is_empty());
    assert_eq!(control(&standin, "POST", "/reset", Value::Null).await.status, 200);
    assert_eq!(standin.get("/organization/groups").await.status, 200);
    assert!(!standin.simulator.options().limiter.enabled);
}

#[tokio::test]
async fn the_clock_can_be_moved_on_the_machine_clock_too() {
    let simulator = Simulator::new(Options::default(), Clock::system());
    let before = simulator.now();
    simulator.advance(SignedDuration::from_hours(24));
    assert!(simulator.now().duration_since(before) >= SignedDuration::from_hours(24));
}
