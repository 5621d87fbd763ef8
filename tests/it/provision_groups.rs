//! OpenAI groups that are kept for SCIM groups, against the stand-in.

use jiff::SignedDuration;
use openai_scim_bridge::ids::{GroupId, OperationId};
use openai_scim_bridge::model::grant::ProjectRole;
use openai_scim_bridge::model::group_link::{GroupCall, GroupLink};
use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::{
    DriftPolicy, GroupMode, GroupRule, GroupSelector, OnDrift, Policy, RuleEffect, Standstill,
};
use openai_scim_bridge::simulator::{Fault, Feature, OrgRole, PageFault, Simulator};

use crate::harness::engine::Bridge;
use crate::harness::trail::trail;

const GROUPS: &str = "/organization/groups";
const GROUP: &str = "/organization/groups/{group_id}";
const GROUP_USER: &str = "/organization/groups/{group_id}/users/{user_id}";
const PROJECT_GROUPS: &str = "/organization/projects/{project_id}/groups";

fn mirror() -> Policy {
    Policy { groups: GroupMode::Mirror, ..Policy::default() }
}

async fn rename(bridge: &Bridge, id: GroupId, name: &str) {
    let mut group =
        bridge.store.reader().await.unwrap().load_group(&bridge.tenant, id).await.unwrap().unwrap();
    group.display_name = name.to_owned();
    group.version += 1;
    bridge
        .write(move |tx| {
            let group = group.clone();
            Box::pin(async move { tx.update_group(&group, group.version - 1).await })
        })
        .await;
    bridge.notice(&[]).await;
}

fn only_group(bridge: &Bridge) -> (String, String) {
    let mut groups = bridge.sim.groups();
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups.remove(0)
}

#[tokio::test]
async fn a_scim_group_gets_an_openai_group_with_its_members_and_its_name() {
    let bridge = Bridge::with_policy(mirror()).await;
    let (jane, user) = bridge.create_member("jane").await;
    let kim = bridge.create("kim").await;
    let staff = bridge.create_group("Staff", &[jane, kim]).await;
    bridge.minutes(1).await;
    let (id, name) = only_group(&bridge);
    assert_eq!((name.as_str(), bridge.sim.group_members(&id)), ("Staff", vec![user]));
    bridge.join("kim").await;
    bridge.minutes(6).await;
    assert_eq!(bridge.sim.group_members(&id).len(), 2);
    rename(&bridge, staff, "Crew").await;
    assert_eq!(only_group(&bridge), (id.clone(), "Crew".to_owned()));
    bridge.sim.clear_ledger();
    bridge.minutes(60).await;
    assert_eq!(bridge.writes(), 0);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.sim.group_members(&id).len(), 1);
}

#[tokio::test]
async fn an_openai_group_goes_after_its_last_member_and_not_with_somebody_in_it() {
    let bridge = Bridge::with_policy(mirror()).await;
    let (jane, _) = bridge.create_member("jane").await;
    let staff = bridge.create_group("Staff", &[jane]).await;
    bridge.minutes(1).await;
    let (id, _) = only_group(&bridge);
    let other = bridge.sim.seed_member("other@example.com", OrgRole::Reader);
    bridge.sim.seed_group_member(&id, &other).unwrap();
    bridge.delete_group(staff, &[jane]).await;
    bridge.minutes(20).await;
    assert_eq!(bridge.sim.group_members(&id), std::slice::from_ref(&other));
    bridge.sim.remove_group_member(&id, &other).unwrap();
    bridge.minutes(20).await;
    assert!(bridge.sim.groups().is_empty());
    assert_eq!(bridge.sim.calls("DELETE", GROUP), 1);
    assert!(bridge.store.reader().await.unwrap().group_links(&bridge.tenant).await.unwrap().is_empty());
}

#[tokio::test]
async fn that_a_group_is_gone_is_not_believed_before_a_list_shows_it() {
    let bridge = Bridge::with_policy(mirror()).await;
    let staff = bridge.create_group("Staff", &[]).await;
    bridge.minutes(1).await;
    only_group(&bridge);
    bridge.sim.fail_next("DELETE", GROUP, Fault::status(404), 1).unwrap();
    bridge.delete_group(staff, &[]).await;
    bridge.minutes(50).await;
    assert_eq!(bridge.sim.calls("DELETE", GROUP), 1);
    bridge.minutes(30).await;
    assert_eq!((bridge.sim.groups(), bridge.sim.calls("DELETE", GROUP)), (vec![], 2));
}

#[tokio::test]
async fn a_kept_group_has_the_projects_that_rules_give_to_its_scim_group() {
    let mut research = String::new();
    let prepare = |sim: &Simulator| research = sim.seed_project("Research");
    let bridge = Bridge::with(mirror(), |_| {}, prepare).await;
    let mut bridge = bridge;
    let with = |role| {
        let effect = RuleEffect { project: Some(("Research".to_owned(), role)), ..RuleEffect::default() };
        let rule = GroupRule { group: GroupSelector::Name("Staff".to_owned()), effect };
        Policy { group_rules: vec![rule], ..mirror() }
    };
    let mut expected = Vec::new();
    for (policy, role) in [
        (with(ProjectRole::Member), Some("member")),
        (with(ProjectRole::Owner), Some("owner")),
        (mirror(), None),
    ] {
        bridge.stop().await;
        bridge.set_policy(policy);
        bridge.run();
        if expected.is_empty() {
            bridge.create_group("Staff", &[]).await;
        }
        bridge.minutes(6).await;
        let (id, _) = only_group(&bridge);
        expected = role.map(|role| (id.clone(), role.to_owned())).into_iter().collect();
        assert_eq!(bridge.sim.project_groups(&research), expected);
        expected.push((id, String::new()));
    }
    assert_eq!(bridge.sim.calls("POST", PROJECT_GROUPS), 2);
}

#[tokio::test]
async fn a_group_of_the_same_name_that_was_there_is_left_alone_and_told() {
    let mut theirs = String::new();
    let prepare = |sim: &Simulator| theirs = sim.seed_group("Staff", false);
    let bridge = Bridge::with(mirror(), |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    let staff = bridge.create_group("staff", &[jane]).await;
    bridge.minutes(6).await;
    assert_eq!(only_group(&bridge).0, theirs);
    assert!(bridge.sim.group_members(&theirs).is_empty());
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert!(bridge.mapping(jane).await.status_reason.unwrap().contains("did not make"));
    rename(&bridge, staff, "Our staff").await;
    bridge.minutes(1).await;
    let ours = bridge.sim.groups().into_iter().find(|(_, name)| name == "Our staff").unwrap().0;
    assert_eq!(bridge.sim.group_members(&ours).len(), 1);
    assert_eq!(bridge.mapping(jane).await.status_reason, None);
}

#[tokio::test]
async fn an_unanswered_creation_is_found_and_not_repeated() {
    for after in [true, false] {
        let bridge = Bridge::with_policy(mirror()).await;
        let (jane, _) = bridge.create_member("jane").await;
        let fault = if after { Fault::reset_after() } else { Fault::status(500) };
        bridge.sim.fail_next("POST", GROUPS, fault, 1).unwrap();
        bridge.create_group("Staff", &[jane]).await;
        bridge.minutes(10).await;
        let (id, _) = only_group(&bridge);
        assert_eq!(bridge.sim.group_members(&id).len(), 1);
        assert_eq!(bridge.sim.calls("POST", GROUPS), if after { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_crash_during_the_creation_leaves_no_second_group() {
    let mut bridge = Bridge::with_policy(mirror()).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.sim.fail_next("POST", GROUPS, Fault::reset_after(), 1).unwrap();
    bridge.create_group("Staff", &[jane]).await;
    bridge.kill().await;
    bridge.run();
    bridge.minutes(10).await;
    let (id, _) = only_group(&bridge);
    assert_eq!((bridge.sim.calls("POST", GROUPS), bridge.sim.group_members(&id).len()), (1, 1));
}

#[tokio::test]
async fn a_group_that_a_machine_made_after_days_and_before_it_crashed_is_known() {
    let mut bridge = Bridge::with_policy(mirror()).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.stop().await;
    let mut link = GroupLink::new(bridge.tenant.clone(), bridge.create_group("Staff", &[jane]).await);
    let call = GroupCall::Create { name: "Staff".to_owned() };
    link.begin(call, OperationId::new(&bridge.clock), bridge.clock.now());
    bridge
        .write(move |tx| {
            let link = link.clone();
            Box::pin(async move { tx.save_group_link(&link).await })
        })
        .await;
    bridge.clock.advance(SignedDuration::from_hours(8 * 24));
    bridge.sim.seed_group("Staff", false);
    bridge.run();
    bridge.minutes(10).await;
    let (id, _) = only_group(&bridge);
    assert_eq!((bridge.sim.calls("POST", GROUPS), bridge.sim.group_members(&id).len()), (0, 1));
}

#[tokio::test]
async fn an_unanswered_admission_to_a_project_is_looked_up() {
    let mut research = String::new();
    let prepare = |sim: &Simulator| research = sim.seed_project("Research");
    let effect =
        RuleEffect { project: Some(("Research".to_owned(), ProjectRole::Member)), ..RuleEffect::default() };
    let rule = GroupRule { group: GroupSelector::Name("*".to_owned()), effect };
    let bridge = Bridge::with(Policy { group_rules: vec![rule], ..mirror() }, |_| {}, prepare).await;
    bridge.sim.fail_next("POST", PROJECT_GROUPS, Fault::reset_after(), 1).unwrap();
    bridge.create_group("Staff", &[]).await;
    bridge.minutes(6).await;
    assert_eq!(bridge.sim.project_groups(&research).len(), 1);
    assert_eq!(bridge.sim.calls("POST", PROJECT_GROUPS), 1);
    bridge.sim.clear_ledger();
    bridge.minutes(60).await;
    assert_eq!(bridge.writes(), 0);
}

#[tokio::test]
async fn a_group_that_may_not_be_made_is_tried_again_after_an_hour() {
    let bridge = Bridge::with(mirror(), |options| options.max_groups = 0, |_| {}).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Staff", &[jane]).await;
    bridge.minutes(50).await;
    assert_eq!(bridge.sim.calls("POST", GROUPS), 1);
    assert!(bridge.mapping(jane).await.status_reason.unwrap().contains("number of groups"));
    bridge.sim.set_options(|options| options.max_groups = 10);
    bridge.minutes(20).await;
    let (id, _) = only_group(&bridge);
    assert_eq!(bridge.sim.group_members(&id).len(), 1);
}

#[tokio::test]
async fn a_kept_group_that_was_deleted_by_hand_is_made_anew() {
    let bridge = Bridge::with_policy(mirror()).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Staff", &[jane]).await;
    bridge.minutes(10).await;
    let (id, _) = only_group(&bridge);
    bridge.sim.remove_group(&id).unwrap();
    bridge.pass(SignedDuration::from_mins(40)).await;
    let (again, _) = only_group(&bridge);
    assert_ne!(again, id);
    assert_eq!(bridge.sim.group_members(&again).len(), 1);
}

#[tokio::test]
async fn a_kept_group_that_a_list_leaves_out_is_looked_for_and_not_made_again() {
    let bridge = Bridge::with_policy(mirror()).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Staff", &[jane]).await;
    bridge.minutes(10).await;
    let (id, _) = only_group(&bridge);
    bridge.sim.fail_next("GET", GROUPS, Fault::Page { page: PageFault::Empty }, 4).unwrap();
    bridge.pass(SignedDuration::from_mins(60)).await;
    assert_eq!((only_group(&bridge).0, bridge.sim.faults().len()), (id.clone(), 0));
    assert_eq!((bridge.sim.calls("POST", GROUPS), deletions_told(&bridge).await), (1, 0));
    assert_eq!(bridge.sim.group_members(&id).len(), 1);
}

/// How often it was told that a group was deleted.
async fn deletions_told(bridge: &Bridge) -> usize {
    let trail = trail(&bridge.store, &bridge.tenant).await;
    trail.iter().filter(|told| told.event == "drift.found" && told.detail["class"] == "group_deleted").count()
}

#[tokio::test]
async fn a_kept_group_that_was_deleted_by_hand_is_met_as_the_policy_says() {
    for reaction in [OnDrift::Revert, OnDrift::Report, OnDrift::Adopt] {
        let drift = DriftPolicy { group_deleted: reaction, ..DriftPolicy::default() };
        let mut bridge = Bridge::with_policy(Policy { drift, ..mirror() }).await;
        let (jane, _) = bridge.create_member("jane").await;
        let staff = bridge.create_group("Staff", &[jane]).await;
        bridge.minutes(10).await;
        bridge.sim.remove_group(&only_group(&bridge).0).unwrap();
        bridge.sim.clear_ledger();
        bridge.minutes(40).await;
        bridge.stop().await;
        bridge.run();
        bridge.minutes(20).await;
        assert_eq!(deletions_told(&bridge).await, 1, "{reaction:?}");
        let line = format!(
            "scim_bridge_drift_total{{tenant=\"default\",class=\"group_deleted\",reaction=\"{}\"}} 1",
            reaction.as_str()
        );
        assert!(bridge.metrics.render().contains(&line), "{reaction:?}");
        assert_eq!(bridge.sim.groups().len(), usize::from(reaction == OnDrift::Revert), "{reaction:?}");
        assert_eq!(bridge.sim.calls("DELETE", GROUP_USER), 0, "nobody is taken out of what is gone");
        let mapping = bridge.mapping(jane).await;
        assert_eq!(mapping.status, Status::Member, "{reaction:?}");
        let told = mapping.status_reason.is_some_and(|reason| reason.contains("drift.group_deleted"));
        assert_eq!(told, reaction == OnDrift::Report, "{reaction:?}");
        if reaction == OnDrift::Report {
            bridge.stop().await;
            bridge.set_policy(mirror());
            bridge.run();
            bridge.minutes(6).await;
            assert_eq!(bridge.sim.group_members(&only_group(&bridge).0).len(), 1);
            assert_eq!(bridge.mapping(jane).await.status_reason, None);
        }
        bridge.delete_group(staff, &[jane]).await;
        bridge.minutes(20).await;
        assert!(bridge.sim.groups().is_empty(), "{reaction:?}");
        assert!(bridge.store.reader().await.unwrap().group_links(&bridge.tenant).await.unwrap().is_empty());
        assert_eq!(deletions_told(&bridge).await, 1, "the bridge's own deletion is no drift ({reaction:?})");
    }
}

#[tokio::test]
async fn a_deleted_group_that_a_rule_names_is_told_and_nobody_is_taken_out_of_it() {
    let mut group = String::new();
    let prepare = |sim: &Simulator| {
        group = sim.seed_group("Experts", false);
        sim.seed_group("Others", false);
    };
    let effect = RuleEffect { openai_group: Some("Experts".to_owned()), ..RuleEffect::default() };
    let rule = GroupRule { group: GroupSelector::Name("Staff".to_owned()), effect };
    let policy = Policy { group_rules: vec![rule], ..Policy::default() };
    let bridge = Bridge::with(policy, |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Staff", &[jane]).await;
    bridge.minutes(6).await;
    assert_eq!(bridge.sim.group_members(&group).len(), 1);
    bridge.sim.clear_ledger();
    for (id, _) in bridge.sim.groups() {
        bridge.sim.remove_group(&id).unwrap();
    }
    bridge.minutes(40).await;
    assert_eq!((deletions_told(&bridge).await, bridge.writes()), (1, 0));
    let mapping = bridge.mapping(jane).await;
    assert_eq!(mapping.status, Status::Member);
    assert!(mapping.status_reason.unwrap().contains("there is no OpenAI group `Experts`"));
}

#[tokio::test]
async fn without_the_feature_nothing_is_kept_and_nobody_is_blamed() {
    let bridge = Bridge::with(mirror(), |options| options.groups = Feature::Off, |_| {}).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Staff", &[jane]).await;
    bridge.minutes(30).await;
    assert_eq!((bridge.sim.calls("POST", GROUPS), bridge.sim.calls("GET", GROUPS)), (0, 1));
    assert_eq!(bridge.mapping(jane).await.status_reason, None);
    bridge.sim.set_options(|options| options.groups = Feature::On);
    bridge.minutes(61).await;
    let (id, _) = only_group(&bridge);
    assert_eq!(bridge.sim.group_members(&id).len(), 1);
}

#[tokio::test]
async fn while_no_change_may_be_made_no_group_is_made() {
    let mut bridge = Bridge::with_policy(Policy { standstill: Some(Standstill::Observe), ..mirror() }).await;
    bridge.create_group("Staff", &[]).await;
    bridge.minutes(10).await;
    assert_eq!(bridge.writes(), 0);
    bridge.stop().await;
    bridge.set_policy(mirror());
    bridge.run();
    bridge.minutes(1).await;
    assert_eq!(only_group(&bridge).1, "Staff");
}
