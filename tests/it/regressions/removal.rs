//! Who loses access, who keeps it, and who must not get more.

use jiff::SignedDuration;
use openai_scim_bridge::model::grant::OrgRole as Role;
use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::{GroupRule, GroupSelector, Policy, RuleEffect};
use openai_scim_bridge::simulator::{Fault, Feature, OrgRole, PageFault, ProjectRole};
use serde_json::json;

use super::{OPENAI, calls, path_of, stage};
use crate::harness::bridge::user;
use crate::harness::engine::{Bridge, INVITES, USERS};
use crate::harness::stage::Stage;
use crate::harness::trail::trail;

/// R25, Keycloak 50473 and 52675: an account that was safe as a user was not so as a member of a group.
#[tokio::test]
async fn a_protected_account_is_safe_from_groups_as_well() {
    let rule = GroupRule {
        group: GroupSelector::Name("Admins".to_owned()),
        effect: RuleEffect { org_role: Some(Role::Owner), ..RuleEffect::default() },
    };
    let policy = Policy {
        protected: ["safe@x.example".to_owned()].into(),
        group_rules: vec![rule],
        ..Policy::default()
    };
    let mut stage = stage(policy, |simulator| {
        simulator.seed_member("safe@x.example", OrgRole::Reader);
        simulator.seed_service_account("robot");
    })
    .await;
    let okta = stage.bridge.okta();
    let safe = okta.create_named("safe@x.example").await;
    stage.settle().await;
    let before = stage.simulator.members();
    let member = json!([{"value": safe}]);
    let admins = okta.post("/Groups", &json!({"displayName": "Admins", "members": member})).await;
    if admins.status == 201 {
        let path = path_of("/Groups", &admins.json());
        okta.patch(&path, &json!([{"op": "add", "path": "members", "value": member}])).await;
        okta.put(&path, &json!({"displayName": "Admins", "members": member})).await;
        okta.patch(&path, &json!([{"op": "remove", "path": "members"}])).await;
        okta.delete(&path).await;
    }
    let called = calls(&stage.settle().await);
    assert!(called.is_empty(), "{called:?}");
    assert_eq!(stage.simulator.members(), before);
    // The service account has no user, and no id of OpenAI's makes it one.
    let robot = before.iter().find(|member| member.is_service_account).unwrap();
    okta.post("/Groups", &json!({"displayName": "Robots", "members": [{"value": robot.id}]}))
        .await
        .expect_error(400, Some("invalidValue"));
}

/// R28, CVE-2026-94000: whoever joined a group that gives everything got everything.
#[tokio::test]
async fn nobody_becomes_owner_by_a_group_of_that_name() {
    let rule = GroupRule {
        group: GroupSelector::Name("Owners".to_owned()),
        effect: RuleEffect { org_role: Some(Role::Owner), ..RuleEffect::default() },
    };
    let policy = Policy { group_rules: vec![rule], ..Policy::default() };
    let mut stage = stage(policy, |_| {}).await;
    let okta = stage.bridge.okta();
    let owners = |stage: &Stage| {
        stage.simulator.members().iter().filter(|member| member.role == OrgRole::Owner).count()
    };
    let before = owners(&stage);
    let eve = okta.create_named("eve@x.example").await;
    stage.settle().await;
    stage.accept("eve@x.example");
    stage.settle().await;
    okta.post("/Groups", &json!({"displayName": "Owners", "members": [{"value": eve}]})).await;
    stage.settle().await;
    for (number, role) in ["owner", "Owner", "OWNER"].into_iter().enumerate() {
        let mut mallory = user(&format!("m{number}@x.example"));
        mallory["roles"] = json!([{"value": role, "primary": true}]);
        let answer = okta.post("/Users", &mallory).await;
        assert!(matches!(answer.status, 201 | 400), "{answer:?}");
    }
    stage.settle().await;
    assert_eq!(owners(&stage), before);
    for call in stage.simulator.ledger().iter().filter(|call| call.method != "GET") {
        assert_ne!(call.body["role"], "owner", "{call:?}");
    }
}

/// R39, idp-scim-sync 70: a directory that answered in part had 72 groups deleted.
#[tokio::test]
async fn a_list_that_is_cut_short_removes_nobody() {
    let faults = [
        Fault::Page { page: PageFault::Truncated },
        Fault::Page { page: PageFault::Empty },
        Fault::Page { page: PageFault::Repeated },
        Fault::Page { page: PageFault::HasMoreInverted },
        Fault::status(500),
        Fault::Malformed,
    ];
    for fault in faults {
        let bridge = Bridge::start().await;
        let mut people = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f"] {
            people.push(bridge.create(name).await);
            bridge.accept(name);
        }
        bridge.minutes(6).await;
        let before = bridge.sim.members();
        bridge.sim.clear_ledger();
        bridge.sim.fail_next("GET", USERS, fault.clone(), 3).unwrap();
        bridge.sim.fail_next("GET", INVITES, fault.clone(), 3).unwrap();
        bridge.minutes(15).await;
        assert_eq!(bridge.writes(), 0, "{fault:?}");
        assert_eq!(bridge.sim.members(), before, "{fault:?}");
        for person in people {
            assert_eq!(bridge.status(person).await, Status::Member, "{fault:?}");
        }
    }
}

/// So many members, by the paths of their users.
async fn staff(stage: &mut Stage, count: usize) -> Vec<String> {
    let okta = stage.bridge.okta();
    let mut paths = Vec::new();
    for number in 0..count {
        let address = format!("s{number}@x.example");
        paths.push(format!("/Users/{}", okta.create_named(&address).await));
        stage.settle().await;
        stage.accept(&address);
    }
    stage.settle().await;
    paths
}

/// What is left of the members when these are deactivated, so long one after the other: of the users, how many wait for
/// a human, and how many accounts OpenAI has lost.
async fn deactivate(stage: &mut Stage, paths: &[String], pause: SignedDuration) -> (usize, usize) {
    let okta = stage.bridge.okta();
    let before = stage.simulator.members().len();
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    for path in paths {
        // The identity provider is told that its word is taken down, not that it failed.
        okta.patch(path, &off).await.expect(200);
        stage.rest().await;
        stage.bridge.clock.advance(pause);
    }
    stage.settle().await;
    let mut held = 0;
    for path in paths {
        let user = okta.get(path).await.expect(200);
        assert_eq!(user["active"], false);
        held += usize::from(user[OPENAI]["status"] == "held");
    }
    (held, before - stage.simulator.members().len())
}

/// R40, an incident of a SCIM bridge in 2026: an empty source suspended everybody within a minute.
#[tokio::test]
async fn a_company_that_vanishes_at_once_is_held_but_for_a_few() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let paths = staff(&mut stage, 20).await;
    let (held, lost) = deactivate(&mut stage, &paths, SignedDuration::from_secs(2)).await;
    assert_eq!((held, lost), (17, 3), "of 20 members, no more than 3 at once");
}

/// R41, a wrong classification in a payroll system: many accounts were cut over a while.
#[tokio::test]
async fn a_part_of_the_company_within_an_hour_is_held_beyond_a_tenth() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let paths = staff(&mut stage, 40).await;
    let (held, lost) = deactivate(&mut stage, &paths[..6], SignedDuration::from_mins(8)).await;
    assert_eq!((held, lost), (2, 4), "15 % within an hour, of which a tenth goes");
}

/// R45, CVE-2026-22640 (Grafana): the last administrator could be deleted.
#[tokio::test]
async fn the_last_owners_stay() {
    let bridge = Bridge::start().await;
    let mut people = Vec::new();
    for name in ["a", "b", "c"] {
        people.push(bridge.create(name).await);
        bridge.join(name).await;
        let (user, _) = bridge.member(name).unwrap();
        bridge.sim.set_role(&user, OrgRole::Owner).unwrap();
    }
    bridge.minutes(6).await;
    for person in people {
        bridge.deactivate(person).await;
        bridge.pass(SignedDuration::from_mins(6)).await;
        let owners = bridge.sim.members().into_iter();
        let owners = owners.filter(|member| member.role == OrgRole::Owner && !member.is_default).count();
        assert!(owners >= Policy::default().min_owners, "{owners}");
    }
}

/// R55, authentik 5396: a member who was removed outside was looked for without end.
#[tokio::test]
async fn who_was_removed_outside_is_reported_once_and_not_looked_for_for_ever() {
    let bridge = Bridge::start().await;
    let (jane, user) = bridge.create_member("jane").await;
    bridge.sim.remove_member(&user).unwrap();
    bridge.minutes(30).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    bridge.sim.clear_ledger();
    bridge.minutes(60).await;
    assert_eq!(bridge.writes(), 0);
    // What is left are the regular readings of whole lists.
    let single = bridge.sim.ledger().into_iter().filter(|call| call.path.contains(&user)).count();
    assert_eq!(single, 0);
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
}

/// R42, agent-bom 3535: the account was deactivated, and its keys went on working.
#[tokio::test]
async fn a_key_that_is_live_after_its_owner_was_removed_is_an_alarm() {
    for outlives in [Feature::On, Feature::Off] {
        let policy = Policy { census_interval: Some(SignedDuration::from_mins(10)), ..Policy::default() };
        let bridge =
            Bridge::with(policy, |options| options.project_keys_of_removed_members = outlives, |_| {}).await;
        let project = bridge.sim.seed_project("Research");
        let jane = bridge.create("jane").await;
        bridge.join("jane").await;
        bridge.sim.seed_project_user(&project, "jane@example.com", ProjectRole::Member).unwrap();
        let key = bridge.sim.seed_project_key(&project, "jane@example.com", "notebook").unwrap();
        bridge.minutes(12).await;
        bridge.deactivate(jane).await;
        assert_eq!(bridge.status(jane).await, Status::Parked);
        bridge.minutes(5).await;
        let mut reader = bridge.store.reader().await.unwrap();
        let seen = reader.credentials(&bridge.tenant).await.unwrap();
        let seen = seen.iter().find(|seen| seen.credential.id == key).unwrap();
        assert_eq!(seen.credential.owner_has_access, Some(outlives == Feature::On));
        let causes = reader.standing_causes(&bridge.tenant).await.unwrap();
        drop(reader);
        let told = told_of_keys(&bridge).await;
        let alarms = causes.iter().filter(|(cause, _)| cause == "key.outlives").count();
        assert_eq!((told, alarms), if outlives == Feature::On { (1, 1) } else { (0, 0) });
        if told == 0 {
            continue;
        }
        // It is over once it is, and told once.
        bridge.sim.set_options(|options| options.project_keys_of_removed_members = Feature::Off);
        bridge.minutes(12).await;
        let mut reader = bridge.store.reader().await.unwrap();
        let causes = reader.standing_causes(&bridge.tenant).await.unwrap();
        assert!(causes.iter().all(|(cause, _)| cause != "key.outlives"), "{causes:?}");
        drop(reader);
        assert_eq!(told_of_keys(&bridge).await, told);
    }
}

/// How often it was told that a key outlives its owner's access.
async fn told_of_keys(bridge: &Bridge) -> usize {
    trail(&bridge.store, &bridge.tenant).await.iter().filter(|told| told.event == "key.outlives").count()
}
