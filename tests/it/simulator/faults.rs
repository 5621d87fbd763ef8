//! Faults, and the ledger that none of them touches.

use super::*;

const USER: &str = "/organization/users/{user_id}";

#[tokio::test]
async fn a_scripted_status_meets_the_next_calls_and_has_no_effect() {
    let standin = Standin::plain().await;
    for status in [400, 401, 403, 404, 409, 429, 500, 502, 503] {
        standin.fail("POST", INVITES, Fault::status(status));
        assert_eq!(standin.invite("a@example.com").await.status, status);
    }
    assert!(standin.simulator.invites().is_empty());
    assert_eq!(standin.simulator.effects("*", "*"), 0);
    assert_eq!(standin.invite("a@example.com").await.status, 200);
}

#[tokio::test]
async fn a_fault_can_name_code_message_and_delay_and_come_after_the_effect() {
    let standin = Standin::plain().await;
    let fault = Fault::Status {
        status: 503,
        code: Some("overloaded".to_owned()),
        message: Some("later".to_owned()),
        retry_after_seconds: Some(3),
        effect: Effect::Now,
    };
    standin.fail("POST", INVITES, fault);
    let answer = standin.invite("a@example.com").await;
    assert_eq!(answer.json()["error"]["code"], "overloaded");
    assert_eq!((answer.status, answer.message().as_str()), (503, "later"));
    assert_eq!(answer.headers["retry-after"], "3");
    assert_eq!(standin.simulator.pending_invites("a@example.com").len(), 1);
}

#[tokio::test]
async fn html_and_broken_json_are_told_apart_by_their_effect() {
    let standin = Standin::plain().await;
    standin.fail("POST", INVITES, Fault::Html { status: 502, effect: Effect::Never });
    let html = standin.invite("a@example.com").await;
    assert_eq!((html.status, &html.headers["content-type"]), (502, &"text/html".parse().unwrap()));
    standin.fail("POST", INVITES, Fault::Malformed);
    let broken = standin.invite("b@example.com").await;
    assert_eq!(broken.status, 200);
    assert!(serde_json::from_str::<Value>(&broken.text).is_err());
    let held: Vec<_> = standin.simulator.invites().into_iter().map(|invite| invite.email).collect();
    assert_eq!(held, ["b@example.com"]);
}

/// Whether an error comes from a connection that the other side reset.
fn is_reset(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset)
        || error.source().is_some_and(is_reset)
}

#[tokio::test]
async fn a_reset_is_a_real_one_before_or_after_the_effect() {
    let standin = Standin::plain().await;
    let send = |email: &'static str| {
        let body = json!({"email": email, "role": "reader"});
        standin.request("POST", "/v1/organization/invites").json(&body).send()
    };
    standin.fail("POST", INVITES, Fault::reset_before());
    assert!(is_reset(&send("a@example.com").await.unwrap_err()));
    standin.fail("POST", INVITES, Fault::reset_after());
    assert!(is_reset(&send("b@example.com").await.unwrap_err()));
    let held: Vec<_> = standin.simulator.invites().into_iter().map(|invite| invite.email).collect();
    assert_eq!(held, ["b@example.com"]);
    let ledger = standin.simulator.ledger();
    assert_eq!((ledger[0].status, ledger[0].outcome, ledger[0].effect_at), (None, None, None));
    assert_eq!((ledger[1].status, ledger[1].outcome), (None, Some(200)));
    assert!(ledger[1].effect_at.is_some());
}

#[tokio::test]
async fn an_effect_can_land_after_the_caller_gave_up() {
    let standin = Standin::plain().await;
    standin.fail("POST", INVITES, Fault::late(45_000));
    let body = json!({"email": "a@example.com", "role": "reader"});
    assert!(standin.request("POST", "/v1/organization/invites").json(&body).send().await.is_err());
    assert!(standin.simulator.invites().is_empty());
    let due = standin.simulator.ledger()[0].due_at.unwrap();
    standin.simulator.advance(SignedDuration::from_secs(60));
    assert_eq!(standin.simulator.invites()[0].created_at, due);
    assert_eq!(standin.simulator.ledger()[0].effect_at, Some(due));
}

#[tokio::test]
async fn a_late_effect_that_comes_too_late_changes_nothing() {
    let standin = Standin::plain().await;
    standin.fail("POST", INVITES, Fault::late(45_000));
    let body = json!({"email": "a@example.com", "role": "reader"});
    assert!(standin.request("POST", "/v1/organization/invites").json(&body).send().await.is_err());
    standin.invite("a@example.com").await;
    standin.simulator.advance(SignedDuration::from_secs(60));
    assert_eq!(standin.simulator.pending_invites("a@example.com").len(), 1);
    let first = &standin.simulator.ledger()[0];
    assert_eq!((first.outcome, first.effect_at), (Some(400), None));
}

#[tokio::test]
async fn a_slow_answer_waits_for_the_clock_but_not_its_effect() {
    let standin = Standin::plain().await;
    standin.fail("POST", INVITES, Fault::Slow { milliseconds: 30_000 });
    let body = json!({"email": "a@example.com", "role": "reader"});
    let call = tokio::spawn(standin.request("POST", "/v1/organization/invites").json(&body).send());
    standin.simulator.until(|simulator| simulator.invites().len() == 1).await;
    assert!(!call.is_finished());
    standin.simulator.advance(SignedDuration::from_secs(30));
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_silent_connection_is_cut_when_the_server_stops() {
    let standin = Standin::plain().await;
    standin.fail("DELETE", USER, Fault::Silence { effect: Effect::Now });
    let id = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let call = tokio::spawn(standin.request("DELETE", &format!("/v1{USERS}/{id}")).send());
    standin.simulator.until(|simulator| simulator.calls("DELETE", USER) == 1).await;
    assert!(standin.simulator.member(&id).is_none());
    assert!(!call.is_finished());
    drop(standin);
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn lists_can_be_cut_emptied_repeated_or_lie_about_their_end() {
    let standin = Standin::plain().await;
    let ids: Vec<String> =
        (0..4).map(|number| standin.simulator.seed_group(&format!("g{number}"), false)).collect();
    let groups = "/organization/groups";
    let page = |page| standin.fail("GET", groups, Fault::Page { page });
    page(PageFault::Truncated);
    let cut = standin.get("/organization/groups?limit=2").await;
    assert_eq!((cut.ids(), &cut.json()["has_more"]), (vec![ids[0].clone()], &json!(false)));
    assert_eq!(cut.json()["next"], Value::Null);
    page(PageFault::Empty);
    assert!(standin.get(groups).await.ids().is_empty());
    page(PageFault::HasMoreInverted);
    assert_eq!(standin.get(groups).await.json()["has_more"], true);
    page(PageFault::Repeated);
    let repeated = standin.get(&format!("{groups}?limit=2&after={}", ids[1])).await;
    assert_eq!(repeated.ids(), ids[..2]);
    standin.fail("GET", USERS, Fault::Page { page: PageFault::Truncated });
    let users = standin.get(USERS).await;
    assert_eq!(users.json()["last_id"], users.ids()[0]);
}

#[tokio::test]
async fn chance_follows_its_seed_and_rules_can_skip() {
    let met = |seed| async move {
        let standin = Standin::plain().await;
        let rule = FaultRule::sometimes("*", "*", Fault::status(500), 0.5, seed);
        standin.simulator.add_fault(rule).unwrap();
        let mut met = Vec::new();
        for _ in 0..20 {
            met.push(standin.get(USERS).await.status == 500);
        }
        met
    };
    let (first, again, other) = (met(1).await, met(1).await, met(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.contains(&true) && first.contains(&false));

    let standin = Standin::plain().await;
    let rule = FaultRule { skip: 1, ..FaultRule::next("GET", USERS, Fault::status(502), 1) };
    standin.simulator.add_fault(rule).unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(standin.get(USERS).await.status);
    }
    assert_eq!(statuses, [200, 502, 200]);
    assert!(standin.simulator.faults().is_empty());
}

#[tokio::test]
async fn a_rule_for_a_path_that_does_not_exist_is_refused() {
    let standin = Standin::plain().await;
    assert!(standin.simulator.fail_next("GET", "/organization/user", Fault::status(500), 1).is_err());
}

#[tokio::test]
async fn the_ledger_has_every_call_with_what_became_of_it() {
    let standin = Standin::plain().await;
    let answer = standin.invite("a@example.com").await;
    standin.get("/organization/nothing?x=1").await;
    let ledger = standin.simulator.ledger();
    let sent = &ledger[0];
    assert_eq!((sent.method.as_str(), sent.template), ("POST", Some(INVITES)));
    assert_eq!(sent.body["email"], "a@example.com");
    assert_eq!(
        (sent.status, sent.outcome, sent.effect_at),
        (Some(200), Some(200), Some(standin.simulator.now()))
    );
    assert_eq!(answer.headers["x-request-id"], sent.request_id);
    assert!(sent.key.as_ref().unwrap().starts_with("key_"));
    assert_eq!((ledger[1].path.as_str(), ledger[1].status), ("/organization/nothing?x=1", Some(404)));
    standin.simulator.clear_ledger();
    assert!(standin.simulator.ledger().is_empty());
}
