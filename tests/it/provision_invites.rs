//! The life of an invite: it runs out and is replaced as often as the settings allow, an administrator sends another
//! one or withdraws it, and its acceptance is noticed whatever lags behind.

use openai_scim_bridge::ids::{PersonId, UserId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::mapping::{Origin, Status};
use openai_scim_bridge::model::policy::{OnAddressChange, OnExistingMember, Policy};
use openai_scim_bridge::model::upkeep::{Instruction, Upkeep, Wanted};
use openai_scim_bridge::simulator::{Fault, OrgRole};

use crate::harness::engine::{AUDIT_LOG, Bridge, INVITE, INVITES, PROJECT_USERS, USER, USERS};

/// How long an invite lasts here, in minutes.
const LIFETIME: i64 = 60;

/// A bridge with this policy and invites that run out soon.
async fn short(policy: Policy) -> Bridge {
    Bridge::with(policy, |options| options.invite_lifetime_seconds = 3600, |_| {}).await
}

async fn tell(bridge: &Bridge, person: PersonId, what: Wanted) {
    let told = Instruction { what, at: bridge.clock.now(), by: "kim".into(), why: "asked".into() };
    let tenant = bridge.tenant.clone();
    bridge
        .write(move |tx| {
            let (tenant, told) = (tenant.clone(), told.clone());
            Box::pin(async move { tx.instruct(&tenant, person, told).await })
        })
        .await;
    bridge.nudge(person);
    bridge.quiet().await;
}

async fn reason(bridge: &Bridge, person: PersonId) -> String {
    bridge.mapping(person).await.status_reason.unwrap_or_default()
}

#[tokio::test]
async fn an_invite_is_replaced_as_often_as_the_policy_allows_and_then_given_up_visibly() {
    let bridge = short(Policy { max_resends: 2, ..Policy::default() }).await;
    let jane = bridge.create("jane").await;
    for invites in 1..=3 {
        assert_eq!(bridge.sim.effects("POST", INVITES), invites);
        assert_eq!(bridge.mapping(jane).await.upkeep.invites_sent, u32::try_from(invites).unwrap());
        assert_eq!(bridge.status(jane).await, Status::Invited);
        bridge.minutes(LIFETIME + 10).await;
    }
    assert_eq!(bridge.status(jane).await, Status::Expired);
    assert!(reason(&bridge, jane).await.contains("3 invites ran out"));
    bridge.minutes(4 * LIFETIME).await;
    assert_eq!(bridge.sim.effects("POST", INVITES), 3);

    // Activating the person anew begins a new count.
    bridge.deactivate(jane).await;
    assert_eq!(bridge.mapping(jane).await.upkeep, Upkeep::default());
    bridge.activate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.mapping(jane).await.upkeep.invites_sent, 1);
}

#[tokio::test]
async fn the_pause_between_two_invites_is_kept_and_told() {
    let policy = Policy { resend_pause: jiff::SignedDuration::from_hours(2), ..Policy::default() };
    let bridge = short(policy).await;
    let jane = bridge.create("jane").await;
    bridge.minutes(LIFETIME + 60).await;
    assert_eq!(bridge.status(jane).await, Status::Expired);
    assert!(reason(&bridge, jane).await.contains("the next one is sent at"));
    assert_eq!(bridge.sim.effects("POST", INVITES), 1);
    bridge.minutes(70).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
}

#[tokio::test]
async fn an_administrator_has_a_pending_invite_replaced() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    let first = bridge.pending("jane");
    tell(&bridge, jane, Wanted::Resend).await;
    let second = bridge.pending("jane");
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
    assert_eq!(bridge.mapping(jane).await.upkeep.instruction, None);
    bridge.minutes(30).await;
    assert_eq!((bridge.sim.effects("POST", INVITES), bridge.sim.effects("DELETE", INVITE)), (2, 1));
}

#[tokio::test]
async fn an_administrator_sends_one_more_to_somebody_who_was_given_up() {
    let bridge = short(Policy { max_resends: 0, ..Policy::default() }).await;
    let jane = bridge.create("jane").await;
    bridge.minutes(LIFETIME + 10).await;
    assert_eq!(bridge.status(jane).await, Status::Expired);
    tell(&bridge, jane, Wanted::Resend).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    bridge.join("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(bridge.mapping(jane).await.upkeep, Upkeep::default());
}

#[tokio::test]
async fn a_withdrawn_invite_stays_withdrawn_until_somebody_asks_for_another() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    tell(&bridge, jane, Wanted::Withhold).await;
    bridge.minutes(120).await;
    assert_eq!(bridge.pending("jane").len(), 0);
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert!(reason(&bridge, jane).await.contains("kim: asked"));
    tell(&bridge, jane, Wanted::Resend).await;
    assert_eq!(bridge.pending("jane").len(), 1);
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

#[tokio::test]
async fn an_invite_that_was_accepted_before_it_could_be_withdrawn_leads_to_the_member() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.accept("jane");
    tell(&bridge, jane, Wanted::Withhold).await;
    bridge.minutes(10).await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert!(bridge.member("jane").is_some());
}

#[tokio::test]
async fn a_new_invite_whose_answer_was_lost_is_not_sent_twice_when_asked_for() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.sim.fail_next("POST", INVITES, Fault::reset_after(), 1).unwrap();
    tell(&bridge, jane, Wanted::Resend).await;
    bridge.minutes(15).await;
    assert_eq!(bridge.pending("jane").len(), 1);
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

#[tokio::test]
async fn an_acceptance_is_noticed_although_status_and_list_lag_behind() {
    let lags = |options: &mut openai_scim_bridge::simulator::Options| {
        options.status_lag_ms = 60_000;
        options.list_lag_ms = 20_000;
    };
    let bridge = Bridge::with(Policy::default(), lags, |_| {}).await;
    let jane = bridge.create("jane").await;
    bridge.minutes(2).await;
    bridge.sweep();
    bridge.quiet().await;
    bridge.accept("jane");
    bridge.minutes(12).await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(bridge.writes(), 1);
}

// ------------------------------------------------------------------------------------------------- e-mail, parking

fn rename(person: &mut openai_scim_bridge::model::person::Person, name: &str) {
    person.address = Address::parse(&format!("{name}@example.com")).ok();
}

#[tokio::test]
async fn another_address_begins_a_new_count_of_invites() {
    let bridge = short(Policy { max_resends: 0, ..Policy::default() }).await;
    let jane = bridge.create("jane").await;
    bridge.minutes(LIFETIME + 10).await;
    assert_eq!(bridge.status(jane).await, Status::Expired);
    bridge.change(jane, |person| rename(person, "doe")).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!((bridge.pending("jane").len(), bridge.pending("doe").len()), (0, 1));
    assert_eq!(bridge.mapping(jane).await.upkeep.invites_sent, 1);
}

#[tokio::test]
async fn a_move_to_a_domain_that_may_not_be_invited_leaves_the_membership_alone() {
    let policy = Policy {
        on_address_change: OnAddressChange::Reinvite,
        allowed_domains: ["example.com".to_owned()].into(),
        ..Policy::default()
    };
    let bridge = Bridge::with_policy(policy).await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.change(jane, |person| person.address = Address::parse("jane@elsewhere.org").ok()).await;
    bridge.minutes(10).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert!(bridge.member("jane").is_some());
    assert_eq!(bridge.writes(), 1);
}

#[tokio::test]
async fn whoever_is_parked_and_restored_has_their_grants_again() {
    let bridge = Bridge::start().await;
    let research = bridge.sim.seed_project("Research");
    bridge.sweep();
    bridge.quiet().await;
    let jane = bridge.insert("jane").await;
    let projects = serde_json::json!({ "projects": [{ "value": research, "role": "owner" }] });
    bridge
        .change(jane, |person| {
            let extension = openai_scim_bridge::provision::desired::EXTENSION;
            person.attributes.insert(extension.to_owned(), projects.clone());
        })
        .await;
    bridge.join("jane").await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    bridge.deactivate(jane).await;
    let parked = bridge.mapping(jane).await;
    assert_eq!((parked.status, parked.user_id), (Status::Parked, None));
    assert!(parked.former_user_id.is_some());
    assert_eq!(bridge.sim.project_users(&research).len(), 0);
    bridge.activate(jane).await;
    bridge.join("jane").await;
    let restored = bridge.mapping(jane).await;
    assert_eq!(restored.status, Status::Member);
    assert_eq!(restored.effective_projects.len(), 1);
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    // The projects travelled with both invites.
    assert_eq!((bridge.sim.effects("POST", INVITES), bridge.sim.calls("POST", PROJECT_USERS)), (2, 0));
}

// ---------------------------------------------------------------------------------------------------- as was told

#[tokio::test]
async fn a_member_is_linked_when_an_administrator_says_so() {
    let policy = Policy { on_existing_member: OnExistingMember::Hold, ..Policy::default() };
    let bridge =
        Bridge::with(policy, |_| {}, |sim| drop(sim.seed_member("jane@example.com", OrgRole::Owner))).await;
    let jane = bridge.create("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    let (user, _) = bridge.member("jane").unwrap();
    tell(&bridge, jane, Wanted::Link(UserId::from(user.as_str()))).await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!((mapping.status, mapping.origin), (Status::Member, Origin::Imported));
    assert_eq!(mapping.user_id, Some(UserId::from(user)));
    assert_eq!(bridge.writes(), 0);
}

#[tokio::test]
async fn nobody_is_linked_to_a_member_who_does_not_exist() {
    let bridge = Bridge::start().await;
    let jane = bridge.insert("jane").await;
    tell(&bridge, jane, Wanted::Link(UserId::from("user-nobody"))).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert_eq!((bridge.writes(), bridge.sim.calls("GET", USER)), (0, 1));
}

// -------------------------------------------------------------------------------------------------- the audit log

/// A bridge that reads everything once an hour, and the audit log in between.
async fn following() -> Bridge {
    let reconcile_interval = jiff::SignedDuration::from_hours(1);
    Bridge::with_policy(Policy { follow_audit_log: true, reconcile_interval, ..Policy::default() }).await
}

#[tokio::test]
async fn the_audit_log_tells_of_an_acceptance_for_the_price_of_one_look_up() {
    let bridge = following().await;
    let jane = bridge.create("jane").await;
    let joe = bridge.create("joe").await;
    bridge.minutes(3).await;
    let before = (bridge.sim.calls("GET", USERS), bridge.sim.calls("GET", INVITES));
    bridge.accept("jane");
    bridge.minutes(2).await;
    assert_eq!((bridge.status(jane).await, bridge.status(joe).await), (Status::Member, Status::Invited));
    assert_eq!((bridge.sim.calls("GET", USERS), bridge.sim.calls("GET", INVITES)), (before.0 + 1, before.1));
    // What was read stays in the log for a while, and is not acted on again.
    bridge.minutes(10).await;
    assert_eq!(bridge.sim.calls("GET", USERS), before.0 + 1);
}

#[tokio::test]
async fn what_the_audit_log_says_is_looked_up_before_it_counts() {
    let bridge = following().await;
    let (jane, joe) = (bridge.create("jane").await, bridge.create("joe").await);
    bridge.join("jane").await;
    bridge.minutes(2).await;
    bridge.sim.remove_member("jane@example.com").unwrap();
    bridge.sim.remove_invite(&bridge.pending("joe")[0]).unwrap();
    bridge.minutes(3).await;
    assert!(reason(&bridge, jane).await.contains("the member was removed outside the bridge"));
    assert!(reason(&bridge, joe).await.contains("the invite was withdrawn outside the bridge"));
    assert_eq!((bridge.sim.calls("GET", USER), bridge.sim.calls("GET", INVITE)), (1, 1));
    assert_eq!(bridge.writes(), 2);
}

#[tokio::test]
async fn a_key_that_may_not_read_the_audit_log_is_no_key_trouble() {
    let bridge = following().await;
    bridge.sim.fail_next("GET", AUDIT_LOG, Fault::status(403), 100).unwrap();
    let jane = bridge.create("jane").await;
    bridge.minutes(5).await;
    bridge.accept("jane");
    bridge.minutes(70).await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(bridge.sim.calls("GET", AUDIT_LOG), 2);
}
