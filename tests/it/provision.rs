//! The engine against a real store and a real HTTP stand-in: every path of a person's life, the races in it, and
//! what happens when answers are lost.

use jiff::SignedDuration;
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::grant::{ProjectGrant, ProjectRole};
use openai_scim_bridge::model::mapping::{Origin, Status};
use openai_scim_bridge::model::observed::Collection;
use openai_scim_bridge::model::operation::OperationState;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::{OnAddressChange, OnExistingMember, Policy, Resend};
use openai_scim_bridge::provision::desired::EXTENSION;
use openai_scim_bridge::provision::handle::Settlement;
use openai_scim_bridge::simulator as sim;
use openai_scim_bridge::simulator::{Dialect, Effect, Fault, Feature, OrgRole, PageFault};

use crate::harness::engine::{Bridge, INVITE, INVITES, PROJECT_USER, PROJECT_USERS, PROJECTS, USER, USERS};

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

fn project(id: &str, role: ProjectRole) -> ProjectGrant {
    ProjectGrant { id: id.into(), role }
}

/// A policy under which everybody gets the project that is made with [`seed_project`].
fn policy_with_default(id: &str) -> Policy {
    Policy { default_projects: vec![project(id, ProjectRole::Member)], ..Policy::default() }
}

/// Puts a person's own projects into their attributes.
fn set_projects(person: &mut Person, projects: &[(&str, &str)]) {
    let projects: Vec<_> =
        projects.iter().map(|(id, role)| serde_json::json!({ "value": id, "role": role })).collect();
    person.attributes.insert(EXTENSION.to_owned(), serde_json::json!({ "projects": projects }));
}

// ---------------------------------------------------------------------------------------------------- coming back

#[tokio::test]
async fn reactivation_invites_again_under_the_same_scim_id() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.deactivate(jane).await;
    bridge.activate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    bridge.join("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
}

#[tokio::test]
async fn a_deleted_person_leaves_nothing_upstream_but_keeps_the_mapping() {
    let bridge = Bridge::start().await;
    let (invited, member) = (bridge.create("invited").await, bridge.create("member").await);
    bridge.join("member").await;
    bridge.delete(invited).await;
    bridge.delete(member).await;
    for (id, name) in [(invited, "invited"), (member, "member")] {
        assert_eq!(bridge.status(id).await, Status::Parked);
        assert_eq!((bridge.pending(name).len(), bridge.member(name)), (0, None));
    }
    assert!(bridge.mapping(member).await.former_user_id.is_some());
}

#[tokio::test]
async fn a_new_person_takes_over_the_address_of_a_deleted_one() {
    let bridge = Bridge::start().await;
    let old = bridge.create("jane").await;
    let now = bridge.clock.now();
    bridge.edit(old, |person| person.deleted_at = Some(now)).await;
    let new = bridge.create("jane").await;
    bridge.minutes(2).await;
    assert_eq!(bridge.status(old).await, Status::Parked);
    assert_eq!(bridge.status(new).await, Status::Invited);
    let pending = bridge.pending("jane");
    assert_eq!(bridge.mapping(new).await.invite_id.map(|id| id.to_string()), pending.first().cloned());
    assert_eq!(pending.len(), 1);
}

#[tokio::test]
async fn deactivation_before_anything_was_sent_sends_nothing() {
    let bridge = Bridge::start().await;
    let jane = bridge.insert("jane").await;
    bridge.deactivate(jane).await;
    assert_eq!(bridge.writes(), 0);
    assert_eq!(bridge.status(jane).await, Status::Parked);
}

// ------------------------------------------------------------------------------------------------- what was there

#[tokio::test]
async fn an_existing_member_is_linked_without_any_call() {
    let bridge = Bridge::with(
        Policy::default(),
        |_| {},
        |sim| {
            sim.seed_member("jane@example.com", OrgRole::Reader);
        },
    )
    .await;
    bridge.sim.clear_ledger();
    let jane = bridge.create("Jane").await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!((mapping.status, mapping.origin), (Status::Member, Origin::Linked));
    assert_eq!(bridge.sim.ledger().len(), 0);
}

#[tokio::test]
async fn existing_accounts_that_are_not_ours_are_held() {
    let policy = Policy { protected: ["safe@example.com".to_owned()].into(), ..Policy::default() };
    let bridge = Bridge::with(
        policy,
        |_| {},
        |sim| {
            sim.seed_scim_managed_member("managed@example.com");
            sim.seed_member("safe@example.com", OrgRole::Reader);
            sim.seed_member("boss@example.com", OrgRole::Owner);
        },
    )
    .await;
    for name in ["managed", "safe", "boss", "owner"] {
        let person = bridge.create(name).await;
        assert_eq!(bridge.status(person).await, Status::Held, "{name}");
        bridge.deactivate(person).await;
        assert!(bridge.member(name).is_some(), "{name}");
    }
    assert_eq!(bridge.writes(), 0);
}

#[tokio::test]
async fn an_existing_member_waits_for_an_administrator_if_the_policy_says_so() {
    for on_existing_member in [OnExistingMember::Hold, OnExistingMember::Conflict] {
        let policy = Policy { on_existing_member, ..Policy::default() };
        let bridge = Bridge::with(
            policy,
            |_| {},
            |sim| {
                sim.seed_member("jane@example.com", OrgRole::Reader);
            },
        )
        .await;
        let jane = bridge.create("jane").await;
        assert_eq!(bridge.status(jane).await, Status::Held);
        assert_eq!(bridge.writes(), 0);
    }
}

#[tokio::test]
async fn an_existing_invite_is_bound_instead_of_sending_one() {
    let bridge = Bridge::with(
        Policy::default(),
        |_| {},
        |sim| {
            sim.seed_invite("Jane@Example.com", OrgRole::Reader);
        },
    )
    .await;
    let jane = bridge.create("jane").await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!((mapping.status, mapping.origin), (Status::Invited, Origin::Linked));
    assert_eq!(bridge.writes(), 0);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.sim.invites().iter().filter(|invite| invite.accepted_at.is_none()).count(), 0);
}

#[tokio::test]
async fn a_member_who_appeared_since_the_last_reading_is_found_after_the_refusal() {
    let bridge = Bridge::start().await;
    bridge.sim.seed_member("jane@example.com", OrgRole::Reader);
    let jane = bridge.create("jane").await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!((mapping.status, mapping.origin), (Status::Member, Origin::Linked));
    assert_eq!(bridge.sim.calls("POST", INVITES), 1);
}

#[tokio::test]
async fn an_invite_that_appeared_since_the_last_reading_is_found_after_the_refusal() {
    let bridge = Bridge::start().await;
    bridge.sim.seed_invite("jane@example.com", OrgRole::Reader);
    let jane = bridge.create("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.pending("jane").len(), 1);
}

#[tokio::test]
async fn a_refused_invite_is_told_in_openais_words_and_tried_again_after_a_change() {
    let bridge = Bridge::start().await;
    let no = Fault::Status {
        status: 400,
        code: None,
        message: Some("This address is not welcome".into()),
        retry_after_seconds: None,
        effect: Effect::Never,
    };
    bridge.sim.fail_next("POST", INVITES, no, 1).unwrap();
    let jane = bridge.insert("jane").await;
    let Settlement::Refused(words) = bridge.settle(jane).await else { panic!("refused") };
    assert!(words.contains("not welcome"), "{words}");
    assert_eq!(bridge.status(jane).await, Status::Refused);
    bridge.minutes(60).await;
    assert_eq!(bridge.sim.calls("POST", INVITES), 1);
    bridge.change(jane, |person| person.user_name = "jane.doe@example.com".into()).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

// --------------------------------------------------------------------------------------------------------- expiry

#[tokio::test]
async fn an_expired_invite_is_replaced() {
    for deletion in [sim::Policy::Allow, sim::Policy::Refuse] {
        let short = |options: &mut sim::Options| {
            options.expired_invite_deletion = deletion;
            options.invite_lifetime_seconds = 3600;
        };
        let bridge = Bridge::with(Policy::default(), short, |_| {}).await;
        let jane = bridge.create("jane").await;
        let first = bridge.pending("jane");
        bridge.minutes(90).await;
        assert_eq!(bridge.status(jane).await, Status::Invited);
        assert_eq!(bridge.pending("jane").len(), 1);
        assert_ne!(bridge.pending("jane"), first);
        assert_eq!(bridge.sim.effects("POST", INVITES), 2);
    }
}

#[tokio::test]
async fn an_expired_invite_stays_so_if_the_policy_says_never() {
    let policy = Policy { resend: Resend::Never, ..Policy::default() };
    let bridge = Bridge::with(policy, |options| options.invite_lifetime_seconds = 3600, |_| {}).await;
    let jane = bridge.create("jane").await;
    bridge.minutes(90).await;
    assert_eq!(bridge.status(jane).await, Status::Expired);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    bridge.activate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
}

// ------------------------------------------------------------------------------------------------------- addresses

fn rename(person: &mut Person, name: &str) {
    person.address = Address::parse(&format!("{name}@example.com")).ok();
}

#[tokio::test]
async fn a_changed_address_of_an_invited_person_moves_the_invite() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.change(jane, |person| rename(person, "doe")).await;
    assert_eq!((bridge.pending("jane").len(), bridge.pending("doe").len()), (0, 1));
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

#[tokio::test]
async fn a_changed_address_of_a_member_is_held() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.change(jane, |person| rename(person, "doe")).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert_eq!(bridge.writes(), 1);
    bridge.change(jane, |person| rename(person, "jane")).await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.member("jane"), None);
}

#[tokio::test]
async fn a_member_moves_to_a_new_address_without_losing_access_meanwhile() {
    let policy = Policy { on_address_change: OnAddressChange::Reinvite, ..Policy::default() };
    let bridge = Bridge::with_policy(policy).await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.change(jane, |person| rename(person, "doe")).await;
    assert_eq!(bridge.pending("doe").len(), 1);
    assert!(bridge.member("jane").is_some());
    bridge.join("doe").await;
    assert_eq!(bridge.member("jane"), None);
    let mapping = bridge.mapping(jane).await;
    assert_eq!(mapping.status, Status::Member);
    assert_eq!(mapping.user_id.map(|id| id.to_string()), bridge.member("doe").map(|(id, _)| id));
}

#[tokio::test]
async fn an_address_outside_the_allowed_domains_is_not_invited() {
    let policy = Policy { allowed_domains: ["example.org".to_owned()].into(), ..Policy::default() };
    let bridge = Bridge::with_policy(policy).await;
    let jane = bridge.create("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert_eq!(bridge.writes(), 0);
}

// -------------------------------------------------------------------------------------------------- roles, projects

#[tokio::test]
async fn projects_travel_with_the_invite_and_need_no_call_after_it() {
    let bridge = Bridge::start().await;
    let research = bridge.sim.seed_project("Research");
    bridge.minutes(2).await;
    let jane = bridge.insert("jane").await;
    bridge.change(jane, |person| set_projects(person, &[(&research, "owner")])).await;
    bridge.join("jane").await;
    let (user, _) = bridge.member("jane").unwrap();
    assert_eq!(bridge.sim.project_users(&research), [(user, sim::ProjectRole::Owner)]);
    assert_eq!(bridge.writes(), 1);
    assert_eq!(bridge.mapping(jane).await.effective_projects, [project(&research, ProjectRole::Owner)]);
}

#[tokio::test]
async fn projects_that_did_not_take_effect_are_given_after_acceptance() {
    let bridge =
        Bridge::with(Policy::default(), |options| options.invite_projects = Feature::Off, |_| {}).await;
    let research = bridge.sim.seed_project("Research");
    let jane = bridge.insert("jane").await;
    bridge.change(jane, |person| set_projects(person, &[(&research, "member")])).await;
    bridge.join("jane").await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    assert_eq!(bridge.sim.effects("POST", PROJECT_USERS), 1);
}

#[tokio::test]
async fn a_project_follows_its_grant_up_down_and_away() {
    let bridge = Bridge::start().await;
    let research = bridge.sim.seed_project("Research");
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    for (role, held) in [
        ("member", sim::ProjectRole::Member),
        ("owner", sim::ProjectRole::Owner),
        ("member", sim::ProjectRole::Member),
    ] {
        bridge.change(jane, |person| set_projects(person, &[(&research, role)])).await;
        assert_eq!(bridge.sim.project_users(&research)[0].1, held);
    }
    bridge.change(jane, |person| set_projects(person, &[])).await;
    assert_eq!(bridge.sim.project_users(&research).len(), 0);
    assert_eq!(bridge.sim.effects("DELETE", PROJECT_USER), 1);
    assert_eq!(bridge.status(jane).await, Status::Member);
}

#[tokio::test]
async fn a_project_that_was_gone_when_it_was_taken_away_is_looked_up_before_that_is_believed() {
    for is_gone in [false, true] {
        let bridge = Bridge::start().await;
        let research = bridge.sim.seed_project("Research");
        let jane = bridge.create("jane").await;
        bridge.join("jane").await;
        bridge.change(jane, |person| set_projects(person, &[(&research, "member")])).await;
        let (user, _) = bridge.sim.project_users(&research)[0].clone();
        if is_gone {
            bridge.sim.remove_project_user(&research, &user).unwrap();
        } else {
            bridge.sim.fail_next("DELETE", PROJECT_USER, Fault::status(404), 1).unwrap();
        }
        bridge.sim.clear_ledger();
        bridge.change(jane, |person| set_projects(person, &[])).await;
        assert_eq!(bridge.sim.project_users(&research), [], "gone before: {is_gone}");
        let calls = (bridge.sim.calls("DELETE", PROJECT_USER), bridge.sim.calls("GET", PROJECT_USER));
        assert_eq!(calls, (if is_gone { 1 } else { 2 }, 1));
        assert_eq!(bridge.mapping(jane).await.effective_projects, []);
    }
}

#[tokio::test]
async fn projects_that_no_grant_speaks_of_are_left_alone() {
    let bridge = Bridge::with(
        Policy::default(),
        |_| {},
        |sim| {
            let user = sim.seed_member("jane@example.com", OrgRole::Reader);
            let project = sim.seed_project("Private");
            sim.seed_project_user(&project, &user, sim::ProjectRole::Owner).unwrap();
        },
    )
    .await;
    let jane = bridge.create("jane").await;
    bridge.minutes(30).await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(bridge.writes(), 0);
}

#[tokio::test]
async fn drift_in_a_managed_project_is_repaired() {
    let mut bridge = Bridge::start().await;
    let research = bridge.sim.seed_project("Research");
    bridge.stop().await;
    bridge.set_policy(policy_with_default(&research));
    bridge.run();
    let (jane, user) = bridge.create_member("jane").await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    assert_eq!(bridge.status(jane).await, Status::Member);
    bridge.sim.remove_member(&user).unwrap();
    bridge.sim.seed_member("jane@example.com", OrgRole::Reader);
    bridge.minutes(12).await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1, "given again");
}

#[tokio::test]
async fn a_person_in_a_project_already_is_no_error() {
    for duplicate in [sim::Duplicate::Conflict, sim::Duplicate::BadRequest] {
        let bridge =
            Bridge::with(Policy::default(), |options| options.duplicate_project_user = duplicate, |_| {})
                .await;
        let research = bridge.sim.seed_project("Research");
        let jane = bridge.create("jane").await;
        bridge.join("jane").await;
        // Lost: the project is read, then somebody is faster, then the bridge adds.
        bridge.sim.fail_next("GET", PROJECT_USER, Fault::status(404), 1).unwrap();
        let (user, _) = bridge.member("jane").unwrap();
        bridge.sim.seed_project_user(&research, &user, sim::ProjectRole::Member).unwrap();
        bridge.change(jane, |person| set_projects(person, &[(&research, "member")])).await;
        assert_eq!(bridge.status(jane).await, Status::Member);
        assert_eq!(bridge.mapping(jane).await.status_reason, None);
        assert_eq!(bridge.mapping(jane).await.effective_projects.len(), 1);
    }
}

#[tokio::test]
async fn a_refused_project_leaves_a_member_a_member() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.change(jane, |person| set_projects(person, &[("proj_nowhere", "member")])).await;
    bridge.minutes(60).await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!(mapping.status, Status::Member);
    assert!(mapping.status_reason.unwrap().contains("proj_nowhere"));
    assert_eq!(bridge.sim.calls("POST", PROJECT_USERS), 0);
}

// --------------------------------------------------------------------------------------------------------- guards

#[tokio::test]
async fn an_owner_made_outside_is_removed_only_while_enough_owners_stay() {
    let bridge = Bridge::start().await;
    let (a, b) = (bridge.create("a").await, bridge.create("b").await);
    for name in ["a", "b"] {
        bridge.accept(name);
        let (user, _) = bridge.member(name).unwrap();
        bridge.sweep();
        bridge.quiet().await;
        bridge.sim.set_role(&user, OrgRole::Owner).unwrap();
    }
    // The default user is an owner too, but no human that counts; one seeded owner and these two remain.
    bridge.minutes(6).await;
    bridge.edit(a, |person| person.active = false).await;
    bridge.edit(b, |person| person.active = false).await;
    bridge.nudge(a);
    bridge.nudge(b);
    bridge.minutes(1).await;
    let left: Vec<_> = ["a", "b"].into_iter().filter(|name| bridge.member(name).is_some()).collect();
    assert_eq!(left.len(), 1, "one of the two stays, held");
    let mut statuses = [bridge.status(a).await, bridge.status(b).await];
    statuses.sort();
    assert_eq!(statuses, [Status::Parked, Status::Held]);
    // Another owner comes, and the hold is judged anew.
    bridge.sim.seed_member("new.owner@example.com", OrgRole::Owner);
    bridge.minutes(12).await;
    assert_eq!((bridge.member("a"), bridge.member("b")), (None, None));
}

#[tokio::test]
async fn a_member_removed_outside_is_reported_and_not_invited_again() {
    let bridge = Bridge::start().await;
    let (jane, user) = bridge.create_member("jane").await;
    bridge.sim.remove_member(&user).unwrap();
    bridge.minutes(60).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert_eq!(bridge.sim.calls("POST", INVITES), 1);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    bridge.activate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

#[tokio::test]
async fn an_invite_withdrawn_outside_is_reported_and_not_sent_again() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.sim.remove_invite(&bridge.pending("jane")[0]).unwrap();
    bridge.minutes(60).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert_eq!(bridge.sim.calls("POST", INVITES), 1);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
}

// ------------------------------------------------------------------------------------------------------- readings

#[tokio::test]
async fn a_suspicious_reading_concludes_nothing() {
    for page in [PageFault::Empty, PageFault::Truncated, PageFault::HasMoreInverted] {
        let bridge = Bridge::start().await;
        let mut people = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f"] {
            people.push(bridge.create(name).await);
            bridge.accept(name);
        }
        bridge.minutes(6).await;
        bridge.sim.clear_ledger();
        bridge.sim.fail_next("GET", USERS, Fault::Page { page }, 2).unwrap();
        bridge.sim.fail_next("GET", INVITES, Fault::Page { page }, 2).unwrap();
        bridge.minutes(6).await;
        for person in &people {
            assert_eq!(bridge.status(*person).await, Status::Member, "{page:?}");
        }
        assert_eq!(bridge.writes(), 0);
    }
}

#[tokio::test]
async fn nobody_is_invited_before_the_organization_was_read() {
    let mut bridge = Bridge::start().await;
    bridge.stop().await;
    let fresh = Bridge::with(
        Policy::default(),
        |_| {},
        |sim| {
            sim.fail_next("GET", USERS, Fault::status(500), 4).unwrap();
            sim.seed_member("jane@example.com", OrgRole::Reader);
        },
    )
    .await;
    let jane = fresh.create("jane").await;
    assert_eq!(fresh.status(jane).await, Status::Pending);
    assert_eq!(fresh.writes(), 0);
    fresh.minutes(5).await;
    assert_eq!(fresh.status(jane).await, Status::Member);
    assert_eq!(fresh.writes(), 0);
}

#[tokio::test]
async fn an_organization_of_many_pages_is_read_whole() {
    let bridge = Bridge::with(
        Policy::default(),
        |options| options.page_cap = Some(3),
        |sim| {
            for n in 0..20 {
                sim.seed_member(&format!("m{n}@example.com"), OrgRole::Reader);
            }
        },
    )
    .await;
    let last = bridge.create("m19").await;
    bridge.minutes(10).await;
    assert_eq!(bridge.status(last).await, Status::Member);
    assert_eq!(bridge.writes(), 0);
}

// -------------------------------------------------------------------------------------------------- lost answers

#[tokio::test]
async fn an_invite_whose_answer_was_lost_is_found_and_not_sent_again() {
    for fault in
        [Fault::reset_after(), Fault::status_after_effect(502), Fault::Malformed, Fault::late(40_000)]
    {
        let bridge = Bridge::start().await;
        bridge.sim.fail_next("POST", INVITES, fault.clone(), 1).unwrap();
        let jane = bridge.create("jane").await;
        assert_eq!(bridge.status(jane).await, Status::Pending, "{fault:?}");
        bridge.minutes(3).await;
        assert_eq!(bridge.status(jane).await, Status::Invited, "{fault:?}");
        assert_eq!(bridge.pending("jane").len(), 1);
        assert_eq!(bridge.sim.calls("POST", INVITES), 1, "{fault:?}");
        let states: Vec<_> = bridge.operations(jane).await.into_iter().map(|op| op.state).collect();
        assert_eq!(states, [OperationState::Done]);
    }
}

#[tokio::test]
async fn an_invite_whose_answer_was_lost_is_withdrawn_after_a_change_of_address() {
    for (fault, active) in [
        (Fault::reset_after(), true),
        (Fault::reset_after(), false),
        (Fault::late(40_000), true),
        (Fault::late(40_000), false),
    ] {
        let bridge = Bridge::start().await;
        bridge.sim.fail_next("POST", INVITES, fault.clone(), 1).unwrap();
        let jane = bridge.create("jane").await;
        let moved = |person: &mut Person| {
            person.user_name = "jane.doe@example.com".to_owned();
            person.address = Some(Address::parse("jane.doe@example.com").unwrap());
            person.active = active;
        };
        bridge.change(jane, moved).await;
        bridge.minutes(5).await;
        let left = (bridge.pending("jane").len(), bridge.pending("jane.doe").len());
        assert_eq!(left, (0, usize::from(active)), "{fault:?}");
    }
}

#[tokio::test]
async fn an_invite_that_never_happened_is_sent_once_more() {
    for fault in
        [Fault::reset_before(), Fault::status(500), Fault::Html { status: 503, effect: Effect::Never }]
    {
        let bridge = Bridge::start().await;
        bridge.sim.fail_next("POST", INVITES, fault, 1).unwrap();
        let jane = bridge.create("jane").await;
        bridge.minutes(3).await;
        assert_eq!(bridge.status(jane).await, Status::Invited);
        assert_eq!(bridge.sim.calls("POST", INVITES), 2);
        assert_eq!(bridge.sim.effects("POST", INVITES), 1);
    }
}

#[tokio::test]
async fn our_own_removals_explain_a_shorter_reading_after_a_restart_too() {
    let mut bridge = Bridge::start().await;
    let mut people = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        people.push(bridge.create(name).await);
        bridge.accept(name);
    }
    bridge.sweep();
    bridge.quiet().await;
    bridge.minutes(1).await;
    for person in people.iter().take(3) {
        bridge.deactivate(*person).await;
    }
    bridge.kill().await;
    bridge.run();
    bridge.sweep();
    bridge.quiet().await;
    let last = bridge.store.reader().await.unwrap().last_sweep(&bridge.tenant, &Collection::Members).await;
    assert_eq!(last.unwrap().unwrap().count, i64::try_from(bridge.sim.members().len()).unwrap());
}

#[tokio::test]
async fn a_person_deactivated_while_their_invite_is_unknown_ends_without_one() {
    for fault in [Fault::reset_after(), Fault::late(40_000), Fault::reset_before()] {
        let bridge = Bridge::start().await;
        bridge.sim.fail_next("POST", INVITES, fault.clone(), 1).unwrap();
        let jane = bridge.create("jane").await;
        bridge.deactivate(jane).await;
        bridge.minutes(3).await;
        assert_eq!(bridge.status(jane).await, Status::Parked, "{fault:?}");
        assert_eq!(bridge.pending("jane").len(), 0, "{fault:?}");
        assert_eq!(bridge.sim.calls("POST", INVITES), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_removal_whose_answer_was_lost_is_looked_up_and_repeated_only_if_needed() {
    for (fault, deletes) in [
        (Fault::reset_after(), 1),
        (Fault::Malformed, 1),
        (Fault::reset_before(), 2),
        (Fault::status(503), 2),
    ] {
        let bridge = Bridge::start().await;
        let jane = bridge.create("jane").await;
        bridge.join("jane").await;
        bridge.sim.fail_next("DELETE", USER, fault.clone(), 1).unwrap();
        bridge.deactivate(jane).await;
        bridge.pass(SignedDuration::from_secs(10)).await;
        assert_eq!(bridge.member("jane"), None, "{fault:?}");
        // One who came in lately might only not be shown yet.
        bridge.pass(SignedDuration::from_secs(60)).await;
        assert_eq!(bridge.status(jane).await, Status::Parked, "{fault:?}");
        assert_eq!(bridge.sim.calls("DELETE", USER), deletes, "{fault:?}");
    }
}

#[tokio::test]
async fn a_removal_is_tried_until_it_succeeds() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.sim.fail_next("DELETE", USER, Fault::status(500), 30).unwrap();
    bridge.deactivate(jane).await;
    bridge.hours(4).await;
    assert_eq!(bridge.member("jane"), None);
    assert_eq!(bridge.sim.calls("DELETE", USER), 31);
}

#[tokio::test]
async fn a_removal_that_openai_refuses_goes_on_being_tried() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.sim.fail_next("DELETE", USER, Fault::status(400), 5).unwrap();
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Removing);
    bridge.sim.fail_next("DELETE", USER, Fault::status(400), 200).unwrap();
    bridge.minutes(30).await;
    let age = "scim_bridge_lane_oldest_age_seconds{tenant=\"default\",lane=\"revoke\"} 1800.0";
    assert!(bridge.metrics.render().contains(age), "{}", bridge.metrics.render());
    bridge.sim.clear_faults();
    bridge.minutes(10).await;
    assert_eq!(bridge.member("jane"), None);
    assert_eq!(bridge.status(jane).await, Status::Parked);
    let age = "scim_bridge_lane_oldest_age_seconds{tenant=\"default\",lane=\"revoke\"} 0.0";
    assert!(bridge.metrics.render().contains(age), "{}", bridge.metrics.render());
}

#[tokio::test]
async fn a_member_who_is_gone_already_needs_a_second_look_and_no_more() {
    let bridge = Bridge::start().await;
    let (jane, user) = bridge.create_member("jane").await;
    bridge.sim.remove_member(&user).unwrap();
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    assert_eq!((bridge.sim.calls("DELETE", USER), bridge.sim.calls("GET", USER)), (1, 1));
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_call_is_read_back() {
    let mut bridge = Bridge::start().await;
    // Answered late enough for the engine to be gone, on a clock that stands still.
    bridge.sim.fail_next("POST", INVITES, Fault::Slow { milliseconds: 5_000 }, 1).unwrap();
    let jane = bridge.insert("jane").await;
    bridge.nudge(jane);
    bridge.sim.until(|sim| sim.effects("POST", INVITES) == 1).await;
    bridge.kill().await;
    assert_eq!(bridge.operations(jane).await[0].state, OperationState::Sending);
    bridge.run();
    bridge.minutes(3).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.sim.calls("POST", INVITES), 1);
}

#[tokio::test]
async fn a_lost_nudge_costs_time_only() {
    let bridge = Bridge::start().await;
    let jane = bridge.insert("jane").await;
    bridge.pass(SignedDuration::from_secs(6)).await;
    bridge.quiet().await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

// ------------------------------------------------------------------------------------------------- budget and key

#[tokio::test]
async fn a_bulk_of_creates_is_paced_and_every_person_gets_one_invite() {
    for dialect in [Dialect::DelayInText, Dialect::RetryAfter, Dialect::PlainText] {
        let bridge = Bridge::with(
            Policy::default(),
            |options| {
                options.limiter.requests = 5;
                options.limiter.dialect = dialect;
            },
            |_| {},
        )
        .await;
        for n in 0..30 {
            bridge.insert(&format!("p{n}")).await;
        }
        bridge.minutes(30).await;
        for n in 0..30 {
            assert_eq!(bridge.pending(&format!("p{n}")).len(), 1, "{dialect:?}");
        }
        assert_eq!(bridge.sim.effects("POST", INVITES), 30);
        let refused = bridge.sim.ledger().iter().filter(|entry| entry.status == Some(429)).count();
        assert!(refused <= 10, "{refused} calls were refused for pace");
    }
}

#[tokio::test]
async fn a_deactivation_does_not_wait_behind_a_bulk_of_creates() {
    let bridge = Bridge::start().await;
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    for n in 0..60 {
        bridge.insert(&format!("p{n}")).await;
    }
    bridge.pass(SignedDuration::from_secs(10)).await;
    bridge.deactivate(jane).await;
    assert_eq!(bridge.member("jane"), None);
}

#[tokio::test]
async fn who_must_wait_for_the_budget_is_told_so_at_once() {
    let bridge = Bridge::start().await;
    let mut told = Vec::new();
    for n in 0..12 {
        let person = bridge.insert(&format!("p{n}")).await;
        told.push(bridge.settle(person).await);
    }
    assert_eq!(told.iter().filter(|told| **told == Settlement::Settled).count(), 7);
    assert_eq!(told.last(), Some(&Settlement::Queued));
}

#[tokio::test]
async fn a_refused_key_stops_all_calls_and_loses_nothing() {
    let bridge = Bridge::start().await;
    bridge.sim.fail_next("*", "*", Fault::status(401), 3).unwrap();
    let people = [bridge.insert("a").await, bridge.insert("b").await];
    assert_eq!(bridge.settle(people[0]).await, Settlement::Queued);
    bridge.sim.clear_ledger();
    bridge.minutes(4).await;
    assert_eq!(bridge.sim.ledger().len(), 0, "nothing is sent while the key is refused");
    for person in people {
        assert_eq!(bridge.status(person).await, Status::Pending);
    }
    bridge.minutes(20).await;
    for person in people {
        assert_eq!(bridge.status(person).await, Status::Invited);
    }
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
}

#[tokio::test]
async fn nothing_is_read_for_nothing() {
    let bridge = Bridge::start().await;
    for name in ["a", "b", "c"] {
        bridge.create(name).await;
    }
    bridge.sim.clear_ledger();
    bridge.minutes(60).await;
    // Four collections of one page each, every five minutes.
    assert!(bridge.sim.ledger().len() <= 52, "{} calls in an hour", bridge.sim.ledger().len());
    assert_eq!(bridge.writes(), 0);
}

#[tokio::test]
async fn many_who_join_at_once_are_looked_up_by_one_reading() {
    let mut bridge = Bridge::start().await;
    let research = bridge.sim.seed_project("Research");
    bridge.minutes(2).await;
    bridge.stop().await;
    bridge.set_policy(policy_with_default(&research));
    bridge.run();
    for n in 0..20 {
        let person = bridge.insert(&format!("p{n}")).await;
        bridge.nudge(person);
    }
    bridge.minutes(4).await;
    for n in 0..20 {
        bridge.accept(&format!("p{n}"));
    }
    bridge.sim.clear_ledger();
    bridge.minutes(6).await;
    for n in 0..20 {
        assert!(bridge.member(&format!("p{n}")).is_some());
    }
    assert_eq!(bridge.sim.project_users(&research).len(), 20);
    assert!(bridge.sim.ledger().len() <= 12, "{} calls", bridge.sim.ledger().len());
    assert_eq!(bridge.writes(), 0);
}

#[tokio::test]
async fn the_gauges_tell_where_people_stand() {
    let bridge = Bridge::start().await;
    bridge.create("a").await;
    bridge.minutes(1).await;
    let page = bridge.metrics.render();
    for line in [
        "scim_bridge_people{tenant=\"default\",status=\"invited\"} 1",
        "scim_bridge_operations_total{tenant=\"default\",kind=\"create_invite\",outcome=\"done\"} 1",
        "scim_bridge_lane_depth{tenant=\"default\",lane=\"revoke\"} 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

/// The names in the mirror of projects and custom roles.
async fn catalogue(bridge: &Bridge) -> (Vec<String>, Vec<String>) {
    let mut reader = bridge.store.reader().await.unwrap();
    let projects = reader.scan_projects(&bridge.tenant, None, 100).await.unwrap();
    let roles = reader.roles(&bridge.tenant).await.unwrap();
    let projects =
        projects.into_iter().filter_map(|project| project.name).filter(|name| name != "Default project");
    let roles = roles.into_iter().filter(|role| !role.is_predefined).map(|role| role.name);
    (projects.collect(), roles.collect())
}

#[tokio::test]
async fn projects_and_roles_are_read_with_the_rest_and_archived_projects_are_left_out() {
    let bridge = Bridge::with(
        Policy::default(),
        |_| {},
        |sim| {
            sim.seed_project("Research");
            let old = sim.seed_project("Old");
            sim.archive_project(&old).unwrap();
            sim.seed_role("Auditor", Some("Reads the audit log"));
        },
    )
    .await;
    assert_eq!(catalogue(&bridge).await, (vec!["Research".to_owned()], vec!["Auditor".to_owned()]));
    bridge.sim.seed_project("Search");
    bridge.minutes(6).await;
    assert_eq!(catalogue(&bridge).await.0.len(), 2);
}

#[tokio::test]
async fn an_organization_without_roles_and_a_key_that_may_not_read_projects_stop_nothing() {
    let bridge = Bridge::with(
        Policy::default(),
        |options| options.roles = Feature::Off,
        |sim| sim.fail_next("GET", PROJECTS, Fault::status(403), u32::MAX).unwrap(),
    )
    .await;
    assert_eq!(catalogue(&bridge).await, (Vec::new(), Vec::new()));
    let jane = bridge.create("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    bridge.minutes(11).await;
    bridge.sim.clear_faults();
    bridge.sim.set_options(|options| options.roles = Feature::On);
    bridge.sim.seed_role("Auditor", None);
    bridge.sim.seed_project("Research");
    bridge.minutes(60).await;
    assert_eq!(catalogue(&bridge).await, (vec!["Research".to_owned()], vec!["Auditor".to_owned()]));
}
