//! Who gets what: grants of every kind against the stand-in, from the wish to what the organization has.

use jiff::SignedDuration;
use openai_scim_bridge::ids::PersonId;
use openai_scim_bridge::model::grant::{Assignment, ProjectRole};
use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::{
    Alias, GroupNaming, GroupRule, GroupSelector, Policy, RoleChange, RuleEffect,
};
use openai_scim_bridge::provision::desired::EXTENSION;
use openai_scim_bridge::simulator as sim;
use openai_scim_bridge::simulator::{Fault, Feature, Simulator};
use serde_json::json;

use crate::harness::engine::{Bridge, INVITE, INVITES, PROJECT_USER, PROJECT_USERS};

const GROUPS: &str = "/organization/groups";
const GROUP_USERS: &str = "/organization/groups/{group_id}/users";
const GROUP_USER: &str = "/organization/groups/{group_id}/users/{user_id}";
const USER_ROLES: &str = "/organization/users/{user_id}/roles";
const USER_ROLE: &str = "/organization/users/{user_id}/roles/{role_id}";
const PROJECT_ROLES: &str = "/projects/{project_id}/users/{user_id}/roles";

fn rule(group: &str, effect: RuleEffect) -> GroupRule {
    GroupRule { group: GroupSelector::Name(group.to_owned()), effect }
}

fn into_group(name: &str) -> RuleEffect {
    RuleEffect { openai_group: Some(name.to_owned()), ..RuleEffect::default() }
}

fn custom_role(name: &str) -> RuleEffect {
    RuleEffect { custom_role: Some(name.to_owned()), ..RuleEffect::default() }
}

fn in_project(name: &str, role: ProjectRole) -> RuleEffect {
    RuleEffect { project: Some((name.to_owned(), role)), ..RuleEffect::default() }
}

fn with_rules(rules: Vec<GroupRule>) -> Policy {
    Policy { group_rules: rules, ..Policy::default() }
}

async fn reason(bridge: &Bridge, person: PersonId) -> String {
    bridge.mapping(person).await.status_reason.unwrap_or_default()
}

// ---------------------------------------------------------------------------------------------- OpenAI groups by rule

#[tokio::test]
async fn a_rule_puts_people_into_an_openai_group_and_takes_them_out_again() {
    let mut staff = String::new();
    let prepare = |sim: &Simulator| staff = sim.seed_group("Staff", false);
    let policy = with_rules(vec![rule("Everybody", into_group("staff"))]);
    let bridge = Bridge::with(policy, |_| {}, prepare).await;
    let (jane, user) = bridge.create_member("jane").await;
    let everybody = bridge.create_group("Everybody", &[jane]).await;
    assert_eq!(bridge.sim.group_members(&staff), [user]);
    let held = Assignment::Group { group: staff.as_str().into() };
    assert_eq!(bridge.mapping(jane).await.effective_assignments, [held]);
    bridge.sim.clear_ledger();
    bridge.minutes(30).await;
    assert_eq!(bridge.writes(), 0);
    bridge.take_from_group(everybody, &[jane]).await;
    assert!(bridge.sim.group_members(&staff).is_empty());
    assert!(bridge.mapping(jane).await.effective_assignments.is_empty());
    assert_eq!(bridge.writes(), 1);
}

#[tokio::test]
async fn a_member_who_was_gone_from_a_group_already_is_looked_up_before_that_is_believed() {
    const GROUP_USER: &str = "/organization/groups/{group_id}/users/{user_id}";
    let mut staff = String::new();
    let prepare = |sim: &Simulator| staff = sim.seed_group("Staff", false);
    let bridge = Bridge::with(with_rules(vec![rule("*", into_group("Staff"))]), |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    let everybody = bridge.create_group("Everybody", &[jane]).await;
    bridge.sim.fail_next("DELETE", GROUP_USER, Fault::status(404), 1).unwrap();
    bridge.take_from_group(everybody, &[jane]).await;
    assert!(bridge.sim.group_members(&staff).is_empty());
    assert_eq!((bridge.sim.calls("DELETE", GROUP_USER), bridge.sim.calls("GET", GROUP_USER)), (2, 1));
}

#[tokio::test]
async fn an_invited_person_is_put_into_the_group_after_acceptance() {
    let mut staff = String::new();
    let prepare = |sim: &Simulator| staff = sim.seed_group("Staff", false);
    let bridge = Bridge::with(with_rules(vec![rule("*", into_group("Staff"))]), |_| {}, prepare).await;
    let jane = bridge.create("jane").await;
    bridge.create_group("Everybody", &[jane]).await;
    assert_eq!(bridge.sim.calls("POST", GROUP_USERS), 0);
    bridge.join("jane").await;
    assert_eq!(bridge.sim.group_members(&staff).len(), 1);
    assert_eq!(bridge.writes(), 2, "an invite and a membership");
}

#[tokio::test]
async fn groups_of_openais_own_sync_and_members_of_others_are_left_alone() {
    let (mut staff, mut synced) = (String::new(), String::new());
    let prepare = |sim: &Simulator| {
        (staff, synced) = (sim.seed_group("Staff", false), sim.seed_group("Synced", true));
        let other = sim.seed_member("other@example.com", sim::OrgRole::Reader);
        sim.seed_group_member(&staff, &other).unwrap();
        sim.seed_group_member(&synced, &other).unwrap();
    };
    let rules = vec![rule("*", into_group("Staff")), rule("*", into_group("Synced"))];
    let bridge = Bridge::with(with_rules(rules), |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Everybody", &[jane]).await;
    bridge.minutes(30).await;
    assert_eq!((bridge.sim.group_members(&staff).len(), bridge.sim.group_members(&synced).len()), (2, 1));
    assert_eq!(bridge.status(jane).await, Status::Member);
    assert!(reason(&bridge, jane).await.contains("OpenAI's own directory sync"));
}

#[tokio::test]
async fn an_unanswered_membership_call_is_looked_up_and_not_repeated() {
    let mut staff = String::new();
    let prepare = |sim: &Simulator| staff = sim.seed_group("Staff", false);
    let bridge = Bridge::with(with_rules(vec![rule("*", into_group("Staff"))]), |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.sim.fail_next("POST", GROUP_USERS, Fault::reset_after(), 1).unwrap();
    let everybody = bridge.create_group("Everybody", &[jane]).await;
    bridge.minutes(1).await;
    assert_eq!(bridge.sim.group_members(&staff).len(), 1);
    assert_eq!(bridge.sim.calls("POST", GROUP_USERS), 1);
    assert_eq!(bridge.sim.calls("GET", GROUP_USER), 1);
    bridge.sim.fail_next("DELETE", GROUP_USER, Fault::reset_after(), 1).unwrap();
    bridge.take_from_group(everybody, &[jane]).await;
    bridge.minutes(1).await;
    assert!(bridge.sim.group_members(&staff).is_empty());
    assert_eq!(bridge.sim.calls("DELETE", GROUP_USER), 1);
    assert!(bridge.operations(jane).await.iter().all(|operation| !operation.state.is_open()));
}

#[tokio::test]
async fn a_member_who_left_the_group_by_hand_is_put_back() {
    let mut staff = String::new();
    let prepare = |sim: &Simulator| staff = sim.seed_group("Staff", false);
    let bridge = Bridge::with(with_rules(vec![rule("*", into_group("Staff"))]), |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Everybody", &[jane]).await;
    bridge.sim.remove_group_member(&staff, "jane@example.com").unwrap();
    bridge.minutes(12).await;
    assert_eq!(bridge.sim.group_members(&staff).len(), 1);
}

// ------------------------------------------------------------------------------------------------------ custom roles

#[tokio::test]
async fn a_custom_role_comes_and_goes_with_its_grant() {
    let mut auditor = String::new();
    let prepare = |sim: &Simulator| auditor = sim.seed_role("Auditor", None);
    let policy = Policy {
        aliases: vec![Alias { value: "Audit".to_owned(), effect: custom_role("Auditor") }],
        ..Policy::default()
    };
    let bridge = Bridge::with(policy, |_| {}, prepare).await;
    let (jane, user) = bridge.create_member("jane").await;
    bridge.set(jane, "roles", json!([{"value": "audit"}])).await;
    assert_eq!(bridge.sim.assigned_roles(&user), [auditor.clone()]);
    let held = Assignment::Role { role: auditor.as_str().into() };
    assert_eq!(bridge.mapping(jane).await.effective_assignments, [held]);
    assert_eq!(bridge.sim.calls("POST", USER_ROLES), 1);
    bridge.set(jane, "roles", json!([])).await;
    assert!(bridge.sim.assigned_roles(&user).is_empty());
    assert_eq!(bridge.sim.calls("DELETE", USER_ROLE), 1);
    bridge.set(jane, "entitlements", json!([{"value": format!("role:{auditor}")}])).await;
    assert_eq!(bridge.sim.assigned_roles(&user), [auditor]);
}

#[tokio::test]
async fn a_custom_role_in_a_project_comes_after_the_project() {
    let (mut research, mut tester) = (String::new(), String::new());
    let prepare = |sim: &Simulator| {
        research = sim.seed_project("Research");
        tester = sim.seed_project_role(&research, "Tester");
    };
    let bridge = Bridge::with(Policy::default(), |_| {}, prepare).await;
    let effect = RuleEffect {
        project_role: Some(tester.as_str().into()),
        ..in_project("Research", ProjectRole::Member)
    };
    let mut bridge = bridge;
    bridge.stop().await;
    bridge.set_policy(with_rules(vec![rule("*", effect)]));
    bridge.run();
    let (jane, user) = bridge.create_member("jane").await;
    let everybody = bridge.create_group("Everybody", &[jane]).await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    assert_eq!(bridge.sim.calls("POST", PROJECT_ROLES), 1);
    assert_eq!(bridge.sim.assigned_roles(&user), [tester]);
    bridge.take_from_group(everybody, &[jane]).await;
    assert!(bridge.sim.assigned_roles(&user).is_empty());
    assert!(bridge.sim.project_users(&research).is_empty());
}

#[tokio::test]
async fn what_the_plan_of_the_organization_lacks_is_nobodys_error() {
    let policy = with_rules(vec![rule("*", into_group("Staff")), rule("*", custom_role("Auditor"))]);
    let off = |options: &mut sim::Options| (options.groups, options.roles) = (Feature::Off, Feature::Off);
    let bridge = Bridge::with(policy, off, |_| {}).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Everybody", &[jane]).await;
    bridge.minutes(50).await;
    assert_eq!((bridge.status(jane).await, reason(&bridge, jane).await), (Status::Member, String::new()));
    assert_eq!(bridge.sim.calls("GET", GROUPS), 1, "asked for rarely");
    let staff = bridge.sim.seed_group("Staff", false);
    bridge.sim.seed_role("Auditor", None);
    bridge.sim.set_options(|options| (options.groups, options.roles) = (Feature::On, Feature::On));
    bridge.minutes(61).await;
    assert_eq!(bridge.sim.group_members(&staff).len(), 1);
    assert_eq!(bridge.sim.effects("POST", USER_ROLES), 1);
}

#[tokio::test]
async fn a_feature_that_is_taken_away_takes_nothing_from_anybody() {
    let mut staff = String::new();
    let prepare = |sim: &Simulator| staff = sim.seed_group("Staff", false);
    let bridge = Bridge::with(with_rules(vec![rule("*", into_group("Staff"))]), |_| {}, prepare).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Everybody", &[jane]).await;
    bridge.sim.set_options(|options| options.groups = Feature::Off);
    bridge.minutes(20).await;
    let kim = bridge.create("kim").await;
    bridge.join("kim").await;
    bridge.create_group("Others", &[kim]).await;
    bridge.minutes(10).await;
    assert_eq!(reason(&bridge, kim).await, "");
    bridge.sim.set_options(|options| options.groups = Feature::On);
    assert_eq!(bridge.sim.group_members(&staff).len(), 1);
    bridge.minutes(70).await;
    assert_eq!(bridge.sim.group_members(&staff).len(), 2);
}

// ----------------------------------------------------------------------------------------------------------- projects

#[tokio::test]
async fn projects_are_given_by_name_and_by_the_name_of_a_group() {
    let (mut research, mut ops) = (String::new(), String::new());
    let prepare = |sim: &Simulator| (research, ops) = (sim.seed_project("Research"), sim.seed_project("Ops"));
    let own = str::to_owned;
    let naming = GroupNaming { prefix: own("OpenAI:"), separator: own(":"), suffix: own("") };
    let policy = Policy {
        group_naming: Some(naming),
        ..with_rules(vec![rule("Staff", in_project("research", ProjectRole::Member))])
    };
    let bridge = Bridge::with(policy, |_| {}, prepare).await;
    let (jane, user) = bridge.create_member("jane").await;
    let staff = bridge.create_group("Staff", &[jane]).await;
    bridge.create_group("OpenAI:Ops:owner", &[jane]).await;
    bridge.create_group("OpenAI:Nowhere:owner", &[jane]).await;
    assert_eq!(bridge.sim.project_users(&research), [(user.clone(), sim::ProjectRole::Member)]);
    assert_eq!(bridge.sim.project_users(&ops), [(user, sim::ProjectRole::Owner)]);
    assert!(reason(&bridge, jane).await.contains("no project `Nowhere`"));
    bridge.take_from_group(staff, &[jane]).await;
    assert!(bridge.sim.project_users(&research).is_empty());
}

#[tokio::test]
async fn a_project_that_is_made_later_is_given_when_it_is_read() {
    let policy = with_rules(vec![rule("*", in_project("Search", ProjectRole::Member))]);
    let bridge = Bridge::with_policy(policy).await;
    let (jane, _) = bridge.create_member("jane").await;
    bridge.create_group("Everybody", &[jane]).await;
    assert!(reason(&bridge, jane).await.contains("no project `Search`"));
    let search = bridge.sim.seed_project("Search");
    bridge.minutes(6).await;
    assert_eq!(bridge.sim.project_users(&search).len(), 1);
    assert_eq!(reason(&bridge, jane).await, "");
}

#[tokio::test]
async fn an_archived_project_and_the_default_one_block_nothing_else() {
    let (mut old, mut research, mut standard) = (String::new(), String::new(), String::new());
    let prepare = |sim: &Simulator| {
        (old, research) = (sim.seed_project("Old"), sim.seed_project("Research"));
        standard = sim.default_project().unwrap();
        sim.archive_project(&old).unwrap();
    };
    let refusing = |options: &mut sim::Options| options.default_project_members = sim::Policy::Refuse;
    let bridge = Bridge::with(Policy::default(), refusing, prepare).await;
    let jane = bridge.insert("jane").await;
    let projects = json!([{"value": old}, {"value": standard}, {"value": research, "role": "owner"}]);
    bridge.set(jane, EXTENSION, json!({ "projects": projects })).await;
    bridge.minutes(2).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    bridge.join("jane").await;
    bridge.minutes(5).await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    let told = reason(&bridge, jane).await;
    assert!(told.contains(&old) && told.contains("archived"), "{told}");
    assert_eq!(bridge.status(jane).await, Status::Member);
    bridge.sim.archive_project(&research).unwrap();
    bridge.sim.clear_ledger();
    bridge.minutes(60).await;
    assert_eq!(bridge.writes(), 0, "nobody is taken out of an archived project");
    assert!(reason(&bridge, jane).await.contains(&research));
}

// ------------------------------------------------------------------------------------------------ while the invite is
// out

#[tokio::test]
async fn a_grant_that_goes_before_acceptance_is_taken_away_after_it() {
    let mut research = String::new();
    let prepare = |sim: &Simulator| research = sim.seed_project("Research");
    let bridge = Bridge::with(Policy::default(), |_| {}, prepare).await;
    let jane = bridge.insert("jane").await;
    bridge.set(jane, EXTENSION, json!({ "projects": [{"value": research}] })).await;
    bridge.set(jane, EXTENSION, json!({ "projects": [] })).await;
    assert_eq!(bridge.sim.calls("POST", INVITES), 1, "no second e-mail");
    bridge.join("jane").await;
    bridge.minutes(6).await;
    assert!(bridge.sim.project_users(&research).is_empty());
    assert_eq!(bridge.sim.effects("DELETE", PROJECT_USER), 1);
    bridge.sim.clear_ledger();
    bridge.minutes(60).await;
    assert_eq!(bridge.sim.calls("GET", PROJECT_USER), 0);
}

#[tokio::test]
async fn by_policy_a_changed_grant_replaces_the_invite_once() {
    let mut research = String::new();
    let prepare = |sim: &Simulator| research = sim.seed_project("Research");
    let policy = Policy { role_change: RoleChange::Reinvite, ..Policy::default() };
    let bridge = Bridge::with(policy, |_| {}, prepare).await;
    let jane = bridge.create("jane").await;
    bridge.set(jane, EXTENSION, json!({ "projects": [{"value": research}] })).await;
    bridge.minutes(30).await;
    assert_eq!((bridge.sim.effects("DELETE", INVITE), bridge.sim.effects("POST", INVITES)), (1, 2));
    bridge.sim.clear_ledger();
    bridge.join("jane").await;
    assert_eq!(bridge.sim.project_users(&research).len(), 1);
    assert_eq!(bridge.sim.calls("POST", PROJECT_USERS), 0);
    bridge.pass(SignedDuration::from_mins(10)).await;
    assert_eq!(bridge.writes(), 0);
}
