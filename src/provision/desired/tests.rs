//! What the grants of a person come to.

use serde_json::json;

use super::*;
use crate::ids::TenantId;
use crate::model::observed::{OpenAiGroup, Project, Role};
use crate::model::policy::{Alias, GroupNaming, GroupRule};

fn person(extension: &Value) -> Person {
    person_with(&json!({ EXTENSION: extension }))
}

fn person_with(attributes: &Value) -> Person {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    Person {
        tenant: TenantId::default_tenant(),
        id: "00000000-0000-7000-8000-000000000000".parse().unwrap(),
        user_name: "jane".into(),
        external_id: None,
        address: Address::parse("jane@example.com").ok(),
        active: true,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: attributes.as_object().unwrap().clone(),
    }
}

/// An id that tells names of different lengths apart.
fn group_id(name: &str) -> String {
    format!("00000000-0000-7000-8000-{:012}", name.len())
}

fn group(name: &str) -> GroupName {
    GroupName {
        id: group_id(name).parse().unwrap(),
        external_id: Some(format!("x-{name}")),
        display_name: name.into(),
    }
}

fn rule(group: GroupSelector, org_role: Option<OrgRole>, project: Option<(&str, ProjectRole)>) -> GroupRule {
    let project = project.map(|(id, role)| (id.to_owned(), role));
    GroupRule { group, effect: RuleEffect { org_role, project, ..RuleEffect::default() } }
}

#[test]
fn the_strongest_grant_wins_and_names_its_sources() {
    let policy = Policy {
        default_projects: vec![ProjectGrant { id: "proj_a".into(), role: ProjectRole::Member }],
        group_rules: vec![
            rule(GroupSelector::Name("Eng*".into()), None, Some(("proj_a", ProjectRole::Owner))),
            rule(GroupSelector::Id(group_id("Ops")), None, Some(("proj_b", ProjectRole::Member))),
        ],
        ..Policy::default()
    };
    let jane = person(&json!({ "projects": [{ "value": "proj_a", "role": "owner" }] }));
    let desired = desired(&jane, &[group("engineering"), group("Sales")], &policy, &Inventory::default());
    let a = &desired.projects[&ProjectId::from("proj_a")];
    assert_eq!(a.role, ProjectRole::Owner);
    assert_eq!(a.why(), "the user's own attributes and the group `engineering`");
    assert_eq!(desired.projects.len(), 1);
    assert_eq!(desired.invited_role(), OrgRole::Reader);
}

#[test]
fn owner_needs_permission_and_a_group_named_by_id() {
    let owner = Some(OrgRole::Owner);
    for (allowed, selector, granted) in [
        (false, GroupSelector::Id(group_id("Admins")), false),
        (true, GroupSelector::Name("Admins".into()), false),
        (true, GroupSelector::Id(group_id("Admins")), true),
        (true, GroupSelector::ExternalId("x-Admins".into()), true),
    ] {
        let policy = Policy {
            allow_owner_grants: allowed,
            group_rules: vec![rule(selector, owner, None)],
            ..Policy::default()
        };
        let desired = desired(&person(&json!({})), &[group("Admins")], &policy, &Inventory::default());
        assert_eq!(desired.invited_role() == OrgRole::Owner, granted);
        assert_eq!(desired.refused.len(), usize::from(!granted));
    }
    let policy = Policy { allow_owner_grants: true, ..Policy::default() };
    let asked = desired(&person(&json!({ "role": "owner" })), &[], &policy, &Inventory::default());
    assert_eq!(asked.org_role, None);
    assert_eq!(asked.refused.len(), 1);
}

/// One project of this name, two of another, a custom role and two OpenAI groups.
fn inventory() -> Inventory {
    let project = |(id, name): (&str, &str)| Project { id: id.into(), name: Some(name.to_owned()) };
    let projects = [("proj_1", "Research"), ("proj_2", "Ops"), ("proj_3", "Ops"), ("proj_4", "Lab: East")];
    let role = Role { id: "role_1".into(), name: "Auditor".into(), description: None, is_predefined: false };
    let group = |id: &str, name: &str, is_scim_managed| OpenAiGroup {
        id: id.into(),
        name: name.to_owned(),
        is_scim_managed,
        created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    Inventory {
        projects: Listing::Read(projects.map(project).to_vec()),
        roles: Listing::Read(vec![role]),
        groups: Listing::Read(vec![group("group_1", "Staff", false), group("group_2", "Synced", true)]),
        ..Inventory::default()
    }
}

fn alias(value: &str, effect: RuleEffect) -> Alias {
    Alias { value: value.to_owned(), effect }
}

#[test]
fn values_are_explained_by_aliases_then_by_the_catalogue_and_never_guessed() {
    let policy = Policy {
        aliases: vec![
            alias("Power User", RuleEffect { custom_role: Some("auditor".into()), ..RuleEffect::default() }),
            alias(
                "Researcher",
                RuleEffect {
                    project: Some(("Research".into(), ProjectRole::Owner)),
                    ..RuleEffect::default()
                },
            ),
        ],
        ..Policy::default()
    };
    let jane = person_with(&json!({
        "roles": [
            {"value": "power user", "primary": true}, {"value": "x-1", "display": "Researcher"},
            {"value": "User"}, {"value": "Admin"}, {"value": "Janitor"}, {"value": "org:reader"},
        ],
        "entitlements": [{"value": "project:proj_2:member", "type": "project"}, {"value": "role:role_9"}],
    }));
    let desired = desired(&jane, &[], &policy, &inventory());
    assert_eq!(
        desired.org_role.unwrap().why(),
        "`User` in the user's roles and `org:reader` in the user's roles"
    );
    let projects: Vec<_> = desired.projects.iter().map(|(id, held)| (id.as_str(), held.role)).collect();
    assert_eq!(projects, [("proj_1", ProjectRole::Owner), ("proj_2", ProjectRole::Member)]);
    assert_eq!(desired.assignments.keys().collect::<Vec<_>>(), [&Assignment::Role { role: "role_1".into() }]);
    let refused = desired.refused.join("\n");
    assert_eq!(desired.refused.len(), 3, "{refused}");
    for words in ["`Admin` in the user's roles): the role owner", "`Janitor`", "no custom role `role_9`"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
}

#[test]
fn a_groups_name_says_the_project_and_the_role_in_it() {
    let own = str::to_owned;
    let naming = GroupNaming { prefix: own("OpenAI:"), separator: own(":"), suffix: own("") };
    let policy = Policy { group_naming: Some(naming), ..Policy::default() };
    let groups =
        ["openai:research:owner", "OpenAI:Lab: East:member", "OpenAI:Ops:member", "OpenAI:Research:boss"];
    let groups = [&groups[..], &["OpenAI:Nowhere:member", "OpenAI:Research", "Staff"]].concat();
    let groups: Vec<_> = groups.into_iter().map(group).collect();
    let desired = desired(&person(&json!({})), &groups, &policy, &inventory());
    let projects: Vec<_> = desired.projects.iter().map(|(id, held)| (id.as_str(), held.role)).collect();
    assert_eq!(projects, [("proj_1", ProjectRole::Owner), ("proj_4", ProjectRole::Member)]);
    assert_eq!(desired.refused.len(), 3, "{:?}", desired.refused);
    assert_eq!(desired.doubtful_projects, ["proj_2".into(), "proj_3".into()].into());
}

#[test]
fn openai_groups_come_by_rule_and_synced_ones_are_left_alone() {
    let into = |name: &str| RuleEffect { openai_group: Some(name.to_owned()), ..RuleEffect::default() };
    let rules = ["Staff", "group_2", "Gone"]
        .map(|name| GroupRule { group: GroupSelector::Name("*".into()), effect: into(name) });
    let policy = Policy { group_rules: rules.to_vec(), ..Policy::default() };
    let given = desired(&person(&json!({})), &[group("Eng")], &policy, &inventory());
    let staff = Assignment::Group { group: "group_1".into() };
    assert_eq!(given.assignments.keys().collect::<Vec<_>>(), [&staff]);
    assert_eq!(given.refused.len(), 2, "{:?}", given.refused);
    let off = Inventory { groups: Listing::NotOffered, ..inventory() };
    let without = desired(&person(&json!({})), &[group("Eng")], &policy, &off);
    assert_eq!(
        (without.assignments.len(), without.refused.len()),
        (0, 0),
        "nobody is told what the plan lacks"
    );
    let policy = Policy { groups: GroupMode::Off, ..policy };
    assert!(desired(&person(&json!({})), &[group("Eng")], &policy, &inventory()).assignments.is_empty());
}

#[test]
fn nobody_inactive_is_granted_anything() {
    let policy = Policy {
        default_projects: vec![ProjectGrant { id: "proj_a".into(), role: ProjectRole::Member }],
        ..Policy::default()
    };
    let jane = Person { active: false, ..person(&json!({ "role": "reader" })) };
    let desired = desired(&jane, &[], &policy, &Inventory::default());
    assert!(!desired.wants_access && desired.projects.is_empty() && desired.org_role.is_none());
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, matches) in [
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("*", "", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("a*bc", "abc", true),
        ("ab*bc", "abc", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXcYb", false),
    ] {
        assert_eq!(matches_glob(pattern, text), matches, "{pattern} {text}");
    }
}
