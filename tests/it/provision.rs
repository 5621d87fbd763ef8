//! The engine against a real store and a real HTTP stand-in: every path of a person's life, the races in it, and
//! what happens when answers are lost.

use jiff::SignedDuration;
use openai_scim_bridge::model::mapping::{Origin, Status};

use crate::harness::engine::{Bridge, INVITE, INVITES, USER};

#[tokio::test]
async fn a_new_person_gets_exactly_one_invite() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.pending("jane").len(), 1);
    bridge.minutes(30).await;
    assert_eq!(bridge.sim.calls("POST", INVITES), 1);
    assert_eq!(bridge.writes(), 1);
    let sent = bridge.sim.ledger().into_iter().find(|entry| entry.method == "POST").unwrap();
    assert_eq!(sent.body["projects"], serde_json::json!([]));
}

#[tokio::test]
async fn an_invited_person_becomes_a_member_on_acceptance() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.accept("jane");
    bridge.minutes(6).await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!(mapping.status, Status::Member);
    assert_eq!(mapping.user_id.map(|id| id.to_string()), bridge.member("jane").map(|(id, _)| id));
    assert_eq!(mapping.invite_id, None);
    assert_eq!(mapping.origin, Origin::Invited);
    assert_eq!(bridge.writes(), 1);
}

#[tokio::test]
async fn deactivation_of_an_invited_person_withdraws_the_invite() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    assert_eq!(bridge.pending("jane").len(), 0);
    assert_eq!(bridge.sim.calls("DELETE", INVITE), 1);
    assert_eq!(bridge.writes(), 2);
}

#[tokio::test]
async fn deactivation_of_a_member_is_one_delete_and_nothing_else() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.sim.clear_ledger();
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    assert_eq!(bridge.member("jane"), None);
    assert_eq!(bridge.sim.ledger().len(), 1);
    assert_eq!(bridge.sim.effects("DELETE", USER), 1);
    assert!(bridge.mapping(jane).await.former_user_id.is_some());
}

#[tokio::test]
async fn an_invite_accepted_while_it_is_withdrawn_ends_with_the_member_removed() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.accept("jane");
    bridge.deactivate(jane).await;
    bridge.pass(SignedDuration::from_secs(60)).await;
    assert_eq!(bridge.member("jane"), None);
    assert_eq!(bridge.status(jane).await, Status::Parked);
}

#[tokio::test]
async fn a_nudge_without_need_makes_no_call() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.sim.clear_ledger();
    for _ in 0..5 {
        bridge.nudge(jane);
        bridge.quiet().await;
    }
    assert_eq!(bridge.sim.ledger().len(), 0);
}
