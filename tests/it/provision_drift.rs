//! What somebody else changes upstream: noticed, told, and met as the settings say; never where nothing is managed.

use openai_scim_bridge::ids::{PersonId, ProjectId};
use openai_scim_bridge::model::grant::{ProjectGrant, ProjectRole};
use openai_scim_bridge::model::mapping::{Origin, Status};
use openai_scim_bridge::model::policy::{DriftPolicy, GroupRule, GroupSelector, OnDrift, Policy, RuleEffect};
use openai_scim_bridge::provision::desired::EXTENSION;
use openai_scim_bridge::simulator::{self as sim, OrgRole};
use openai_scim_bridge::store::{Condition, Sequence};
use serde_json::json;

use crate::harness::engine::{Bridge, INVITES, PROJECT_USER, PROJECT_USERS, USER};
use crate::harness::trail::trail;

async fn with_drift(drift: DriftPolicy) -> Bridge {
    Bridge::with_policy(Policy { drift, ..Policy::default() }).await
}

/// Lets the bridge read everything twice: what is missing is looked at again before it counts.
async fn notice(bridge: &Bridge) {
    bridge.minutes(11).await;
}

async fn found(bridge: &Bridge) -> Vec<String> {
    let trail = trail(&bridge.store, &bridge.tenant).await;
    let found = trail.iter().filter(|told| told.event == "drift.found");
    found.map(|told| told.detail["class"].as_str().unwrap().to_owned()).collect()
}

async fn member(bridge: &Bridge, name: &str) -> PersonId {
    let (person, _) = bridge.create_member(name).await;
    assert_eq!(bridge.status(person).await, Status::Member);
    person
}

/// A member with one project from a default, in a bridge with this policy on drift.
async fn in_project(drift: DriftPolicy) -> (Bridge, String, PersonId, String) {
    let mut bridge = Bridge::start().await;
    let project = bridge.sim.seed_project("Research");
    bridge.sweep();
    bridge.quiet().await;
    bridge.stop().await;
    let grant = ProjectGrant { id: ProjectId::from(project.as_str()), role: ProjectRole::Member };
    bridge.set_policy(Policy { drift, default_projects: vec![grant], ..Policy::default() });
    bridge.run();
    let jane = member(&bridge, "jane").await;
    notice(&bridge).await;
    let (user, _) = bridge.member("jane").unwrap();
    assert_eq!(bridge.sim.project_users(&project).len(), 1);
    (bridge, project, jane, user)
}

/// A bridge with a project that a group rule gives, to nobody so far.
async fn with_managed_project(drift: DriftPolicy) -> (Bridge, String) {
    let mut bridge = Bridge::start().await;
    let project = bridge.sim.seed_project("Research");
    bridge.stop().await;
    let effect =
        RuleEffect { project: Some((project.as_str().into(), ProjectRole::Member)), ..RuleEffect::default() };
    let rule = GroupRule { group: GroupSelector::Name("Research".into()), effect };
    bridge.set_policy(Policy { drift, group_rules: vec![rule], ..Policy::default() });
    bridge.run();
    (bridge, project)
}

#[tokio::test]
async fn a_member_removed_by_hand_is_reported_and_told_once() {
    let bridge = Bridge::start().await;
    let jane = member(&bridge, "jane").await;
    bridge.sim.remove_member("jane@example.com").unwrap();
    notice(&bridge).await;
    notice(&bridge).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    assert_eq!(found(&bridge).await, ["member_removed"]);
    assert_eq!(bridge.sim.effects("POST", INVITES), 1);
    let line = "scim_bridge_drift_total{tenant=\"default\",class=\"member_removed\",reaction=\"report\"} 1";
    assert!(bridge.metrics.render().contains(line));
}

#[tokio::test]
async fn a_member_removed_by_hand_is_invited_again_if_the_policy_says_so() {
    let bridge = with_drift(DriftPolicy { member_removed: OnDrift::Revert, ..DriftPolicy::default() }).await;
    let jane = member(&bridge, "jane").await;
    bridge.sim.remove_member("jane@example.com").unwrap();
    notice(&bridge).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    bridge.join("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
}

#[tokio::test]
async fn an_invite_withdrawn_by_hand_is_met_as_the_policy_says() {
    for (reaction, status, invites) in
        [(OnDrift::Report, Status::Held, 1), (OnDrift::Revert, Status::Invited, 2)]
    {
        let bridge = with_drift(DriftPolicy { invite_withdrawn: reaction, ..DriftPolicy::default() }).await;
        let jane = bridge.create("jane").await;
        bridge.minutes(2).await;
        bridge.sim.remove_invite("jane@example.com").unwrap();
        notice(&bridge).await;
        assert_eq!(bridge.status(jane).await, status);
        assert_eq!(bridge.sim.effects("POST", INVITES), invites);
        assert_eq!(found(&bridge).await, ["invite_withdrawn"]);
    }
}

#[tokio::test]
async fn somebody_made_an_owner_by_hand_is_met_as_the_policy_says() {
    for (reaction, status, role) in [
        (OnDrift::Report, Status::Held, OrgRole::Owner),
        (OnDrift::Adopt, Status::Member, OrgRole::Owner),
        (OnDrift::Revert, Status::Member, OrgRole::Reader),
    ] {
        let policy = Policy {
            drift: DriftPolicy { role_changed: reaction, ..DriftPolicy::default() },
            min_owners: 1,
            ..Policy::default()
        };
        let bridge = Bridge::with_policy(policy).await;
        let jane = member(&bridge, "jane").await;
        bridge.sim.set_role("jane@example.com", OrgRole::Owner).unwrap();
        notice(&bridge).await;
        notice(&bridge).await;
        assert_eq!(bridge.status(jane).await, status, "{reaction:?}");
        assert_eq!(bridge.member("jane").unwrap().1, role, "{reaction:?}");
        assert_eq!(found(&bridge).await, ["role_changed"], "{reaction:?}");
    }
}

#[tokio::test]
async fn a_project_taken_away_by_hand_is_met_as_the_policy_says() {
    for (reaction, status, members) in [
        (OnDrift::Report, Status::Held, 0),
        (OnDrift::Adopt, Status::Member, 0),
        (OnDrift::Revert, Status::Member, 1),
    ] {
        let drift = DriftPolicy { project_removed: reaction, ..DriftPolicy::default() };
        let (bridge, project, jane, user) = in_project(drift).await;
        bridge.sim.remove_project_user(&project, &user).unwrap();
        notice(&bridge).await;
        notice(&bridge).await;
        assert_eq!(bridge.status(jane).await, status, "{reaction:?}");
        assert_eq!(bridge.sim.project_users(&project).len(), members, "{reaction:?}");
        assert_eq!(bridge.sim.effects("POST", PROJECT_USERS), members, "{reaction:?}");
        assert_eq!(found(&bridge).await, ["project_removed"], "{reaction:?}");
    }
}

/// OpenAI refuses to put somebody into a project who is in it, which says nothing about putting them back later.
#[tokio::test]
async fn a_project_whose_grant_was_refused_because_it_was_there_is_put_back_too() {
    let (bridge, project) = with_managed_project(DriftPolicy::default()).await;
    let jane = member(&bridge, "jane").await;
    notice(&bridge).await;
    let (user, _) = bridge.member("jane").unwrap();
    bridge.sim.seed_project_user(&project, &user, sim::ProjectRole::Member).unwrap();
    let own = json!({ "projects": [{ "value": project, "role": "member" }] });
    bridge.set(jane, EXTENSION, own).await;
    notice(&bridge).await;
    assert_eq!(bridge.sim.calls("POST", PROJECT_USERS), 1);
    assert_eq!(bridge.mapping(jane).await.effective_projects.len(), 1);
    bridge.sim.remove_project_user(&project, &user).unwrap();
    notice(&bridge).await;
    notice(&bridge).await;
    assert_eq!(bridge.sim.project_users(&project).len(), 1);
}

/// Somebody to whom only their own attributes give a project, each of the ways in which they can.
async fn with_a_project_of_their_own(drift: DriftPolicy) -> (Bridge, String, PersonId, String) {
    let bridge = with_drift(drift).await;
    let project = bridge.sim.seed_project("Research");
    let jane = member(&bridge, "jane").await;
    let own = json!({ "projects": [{ "value": project, "role": "member" }] });
    bridge.set(jane, EXTENSION, own).await;
    notice(&bridge).await;
    let (user, _) = bridge.member("jane").unwrap();
    assert_eq!(bridge.sim.project_users(&project).len(), 1);
    (bridge, project, jane, user)
}

#[tokio::test]
async fn a_project_that_only_own_attributes_give_is_put_back_too() {
    let (mut bridge, project, jane, user) = with_a_project_of_their_own(DriftPolicy::default()).await;
    for restarts in [false, true] {
        if restarts {
            bridge.stop().await;
            bridge.run();
        }
        bridge.sim.remove_project_user(&project, &user).unwrap();
        notice(&bridge).await;
        assert_eq!(bridge.sim.project_users(&project).len(), 1, "after a restart: {restarts}");
        assert_eq!(bridge.status(jane).await, Status::Member);
    }
    assert_eq!(found(&bridge).await, ["project_removed", "project_removed"]);
}

#[tokio::test]
async fn a_project_of_ones_own_that_is_reported_is_watched_until_it_is_put_right() {
    let report = DriftPolicy { project_removed: OnDrift::Report, ..DriftPolicy::default() };
    let (mut bridge, project, jane, user) = with_a_project_of_their_own(report).await;
    bridge.sim.remove_project_user(&project, &user).unwrap();
    notice(&bridge).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    bridge.stop().await;
    bridge.run();
    bridge.minutes(90).await;
    bridge.sim.seed_project_user(&project, &user, sim::ProjectRole::Member).unwrap();
    notice(&bridge).await;
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert_eq!(found(&bridge).await, ["project_removed"]);
}

#[tokio::test]
async fn a_project_that_an_entitlement_of_the_catalogue_gives_is_put_back_too() {
    let bridge = Bridge::start().await;
    let project = bridge.sim.seed_project("Research");
    let jane = bridge.insert("jane").await;
    let value = format!("project:{project}:member");
    bridge.set(jane, "entitlements", json!([{ "value": value }])).await;
    bridge.join("jane").await;
    notice(&bridge).await;
    let (user, _) = bridge.member("jane").unwrap();
    bridge.sim.remove_project_user(&project, &user).unwrap();
    notice(&bridge).await;
    assert_eq!(bridge.sim.project_users(&project).len(), 1);
    assert_eq!(found(&bridge).await, ["project_removed"]);
}

#[tokio::test]
async fn a_project_that_nobody_has_by_a_grant_any_more_is_read_no_longer() {
    let (bridge, project, jane, _) = with_a_project_of_their_own(DriftPolicy::default()).await;
    bridge.change(jane, |person| person.attributes.clear()).await;
    bridge.minutes(70).await;
    let reads = bridge.sim.calls("GET", PROJECT_USERS);
    assert!(reads > 0 && bridge.sim.project_users(&project).is_empty());
    bridge.minutes(30).await;
    assert_eq!(bridge.sim.calls("GET", PROJECT_USERS), reads);
}

#[tokio::test]
async fn what_is_put_right_by_hand_is_no_drift_any_more() {
    let drift = DriftPolicy { project_removed: OnDrift::Report, ..DriftPolicy::default() };
    let (bridge, project, jane, user) = in_project(drift).await;
    bridge.sim.remove_project_user(&project, &user).unwrap();
    notice(&bridge).await;
    assert_eq!(bridge.mapping(jane).await.upkeep.drift.len(), 1);
    bridge.sim.seed_project_user(&project, &user, sim::ProjectRole::Member).unwrap();
    notice(&bridge).await;
    let mapping = bridge.mapping(jane).await;
    assert_eq!((mapping.status, mapping.upkeep.drift.len()), (Status::Member, 0));
}

#[tokio::test]
async fn a_managed_project_given_by_hand_is_met_as_the_policy_says() {
    for (reaction, status, members) in [
        (OnDrift::Revert, Status::Member, 0),
        (OnDrift::Report, Status::Held, 1),
        (OnDrift::Adopt, Status::Member, 1),
    ] {
        let drift = DriftPolicy { project_added: reaction, ..DriftPolicy::default() };
        let (bridge, project) = with_managed_project(drift).await;
        let jane = member(&bridge, "jane").await;
        let (user, _) = bridge.member("jane").unwrap();
        bridge.sim.seed_project_user(&project, &user, sim::ProjectRole::Member).unwrap();
        notice(&bridge).await;
        notice(&bridge).await;
        assert_eq!(bridge.status(jane).await, status, "{reaction:?}");
        assert_eq!(bridge.sim.project_users(&project).len(), members, "{reaction:?}");
        assert_eq!(bridge.sim.effects("DELETE", PROJECT_USER), 1 - members, "{reaction:?}");
        assert_eq!(found(&bridge).await, ["project_added"], "{reaction:?}");
    }
}

#[tokio::test]
async fn what_the_bridge_itself_does_is_no_drift() {
    let bridge = Bridge::start().await;
    let research = bridge.sim.seed_project("Research");
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    for projects in [json!([{ "value": research, "role": "member" }]), json!([])] {
        bridge.set(jane, EXTENSION, json!({ "projects": projects })).await;
        notice(&bridge).await;
    }
    bridge.deactivate(jane).await;
    notice(&bridge).await;
    assert_eq!(found(&bridge).await, Vec::<String>::new());
    assert_eq!(bridge.sim.effects("DELETE", USER), 1);
}

#[tokio::test]
async fn a_newcomer_without_a_user_is_told_of_and_left_alone() {
    let bridge = Bridge::start().await;
    bridge.sim.seed_member("stranger@example.com", OrgRole::Reader);
    bridge.sim.seed_service_account("robot");
    notice(&bridge).await;
    notice(&bridge).await;
    assert_eq!(found(&bridge).await, ["new_member"]);
    // The owner of the stand-in, and the stranger.
    assert!(bridge.metrics.render().contains("scim_bridge_unmanaged_members{tenant=\"default\"} "));
    assert_eq!(bridge.writes(), 0);
    // Whom the bridge brings in is no stranger.
    member(&bridge, "jane").await;
    notice(&bridge).await;
    assert_eq!(found(&bridge).await.len(), 1);
}

#[tokio::test]
async fn a_newcomer_is_shown_to_identity_providers_if_the_policy_says_so() {
    let bridge = with_drift(DriftPolicy { new_member: OnDrift::Adopt, ..DriftPolicy::default() }).await;
    bridge.sim.seed_member("stranger@example.com", OrgRole::Reader);
    bridge.sim.seed_member("boss@example.com", OrgRole::Owner);
    bridge.sim.seed_scim_managed_member("managed@example.com");
    notice(&bridge).await;
    let mut reader = bridge.store.reader().await.unwrap();
    let people =
        reader.page_people(&bridge.tenant, &Condition::All, Sequence::default(), 0, 100).await.unwrap();
    drop(reader);
    let [(person, Some(mapping))] = &people[..] else { panic!("one user: {people:?}") };
    assert_eq!(person.user_name, "stranger@example.com");
    assert_eq!((mapping.origin, mapping.status), (Origin::Unclaimed, Status::Member));
    // Nothing about them is changed, also not when they are made an owner or leave.
    bridge.sim.set_role("stranger@example.com", OrgRole::Owner).unwrap();
    notice(&bridge).await;
    bridge.sim.remove_member("stranger@example.com").unwrap();
    notice(&bridge).await;
    assert_eq!(bridge.status(person.id).await, Status::Held);
    assert_eq!(bridge.writes(), 0);
}
