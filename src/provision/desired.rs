//! What a person should have upstream, worked out from the directory and the tenant's policy. Pure.
//!
//! Access is the union of grants: the tenant's defaults, the person's own attributes in our SCIM extension, and the
//! rules for the groups they are in. The strongest role wins; every access remembers all of its sources, so that it
//! can be explained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::ids::ProjectId;
use crate::model::address::Address;
use crate::model::grant::{OrgRole, ProjectGrant, ProjectRole};
use crate::model::group::GroupName;
use crate::model::person::{Person, key_of};
use crate::model::policy::{GroupRule, GroupSelector, Policy};

/// The URN of our extension of the SCIM user, under which a person's own grants stand.
pub const EXTENSION: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

/// Where a grant comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The tenant gives it to everybody.
    Default,
    /// The person's own attributes name it.
    Attribute,
    /// A rule gives it to the members of this group.
    Group(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the tenant's default"),
            Self::Attribute => f.write_str("the user's own attributes"),
            Self::Group(name) => write!(f, "the group `{name}`"),
        }
    }
}

/// A role with all the grants that give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted<R> {
    /// The role.
    pub role: R,
    /// Who gives it; never empty.
    pub sources: BTreeSet<Source>,
}

impl<R> Granted<R> {
    /// The sources in words, for a plan's reason.
    pub fn why(&self) -> String {
        let sources: Vec<String> = self.sources.iter().map(Source::to_string).collect();
        sources.join(" and ")
    }
}

/// What a person should have upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Whether they should have access at all. If not, nothing else here matters.
    pub wants_access: bool,
    /// The address to invite.
    pub address: Option<Address>,
    /// The organization role that some grant names. `None`: an invite says `reader`, and a member's role is left
    /// as it is, because nobody asked for another.
    pub org_role: Option<Granted<OrgRole>>,
    /// The projects and the role in each.
    pub projects: BTreeMap<ProjectId, Granted<ProjectRole>>,
    /// Wishes that were not granted, each with its reason, for administrators.
    pub refused: Vec<String>,
}

impl Desired {
    /// The organization role an invite carries.
    pub fn invited_role(&self) -> OrgRole {
        self.org_role.as_ref().map_or(OrgRole::Reader, |granted| granted.role)
    }

    /// The projects an invite carries: always said, and none for an owner, who has them all.
    pub fn invited_projects(&self) -> Vec<ProjectGrant> {
        if self.invited_role() == OrgRole::Owner {
            return Vec::new();
        }
        self.projects
            .iter()
            .map(|(id, granted)| ProjectGrant { id: id.clone(), role: granted.role })
            .collect()
    }

    fn grant_role(&mut self, role: OrgRole, source: Source) {
        merge(&mut self.org_role, role, source);
    }

    fn grant_project(&mut self, project: ProjectId, role: ProjectRole, source: Source) {
        let mut held = self.projects.remove(&project);
        merge(&mut held, role, source);
        if let Some(granted) = held {
            self.projects.insert(project, granted);
        }
    }
}

/// The stronger role wins; a source of a weaker one is no longer what gives it.
fn merge<R: Ord + Copy>(held: &mut Option<Granted<R>>, role: R, source: Source) {
    match held {
        Some(granted) if granted.role > role => {}
        Some(granted) if granted.role == role => {
            granted.sources.insert(source);
        }
        _ => *held = Some(Granted { role, sources: BTreeSet::from([source]) }),
    }
}

/// Works out what `person`, a member of `groups`, should have.
pub fn desired(person: &Person, groups: &[GroupName], policy: &Policy) -> Desired {
    let mut desired = Desired {
        wants_access: person.wants_access(),
        address: person.address.clone(),
        ..Desired::default()
    };
    if !desired.wants_access {
        return desired;
    }
    for project in &policy.default_projects {
        desired.grant_project(project.id.clone(), project.role, Source::Default);
    }
    grant_by_attributes(&mut desired, person);
    for rule in &policy.group_rules {
        for group in groups.iter().filter(|group| selects(&rule.group, group)) {
            grant_by_rule(&mut desired, rule, group, policy);
        }
    }
    desired
}

fn grant_by_attributes(desired: &mut Desired, person: &Person) {
    let Some(extension) = person.attributes.get(EXTENSION) else { return };
    match extension.get("role").and_then(Value::as_str).map(str::parse) {
        Some(Ok(OrgRole::Owner)) => desired.refused.push(
            "`role` asks for owner, which only a group rule that names the group by its id or externalId can give"
                .to_owned(),
        ),
        Some(Ok(role)) => desired.grant_role(role, Source::Attribute),
        Some(Err(unknown)) => desired.refused.push(format!("`role` is not granted: {unknown}")),
        None => {}
    }
    for project in extension.get("projects").and_then(Value::as_array).into_iter().flatten() {
        let Some(id) = project.get("value").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
            continue;
        };
        match project.get("role").and_then(Value::as_str).unwrap_or("member").parse() {
            Ok(role) => desired.grant_project(ProjectId::from(id), role, Source::Attribute),
            Err(unknown) => desired.refused.push(format!("project `{id}` is not granted: {unknown}")),
        }
    }
}

fn grant_by_rule(desired: &mut Desired, rule: &GroupRule, group: &GroupName, policy: &Policy) {
    let source = Source::Group(group.display_name.clone());
    if let Some(role) = rule.effect.org_role {
        // A display name can be chosen by whoever may make groups; it must not lead to everything.
        let by_name = matches!(rule.group, GroupSelector::Name(_));
        if role == OrgRole::Owner && !policy.allow_owner_grants {
            desired.refused.push(format!(
                "{source} asks for owner, but the tenant does not allow owner grants (allow_owner_grants)"
            ));
        } else if role == OrgRole::Owner && by_name {
            desired.refused.push(format!(
                "{source} asks for owner, but its rule names the group by display name; use group_id or external_id"
            ));
        } else {
            desired.grant_role(role, source.clone());
        }
    }
    if let Some((project, role)) = &rule.effect.project {
        desired.grant_project(project.clone(), *role, source);
    }
}

fn selects(selector: &GroupSelector, group: &GroupName) -> bool {
    match selector {
        GroupSelector::Name(pattern) => matches_glob(&key_of(pattern), &key_of(&group.display_name)),
        GroupSelector::Id(id) => *id == group.id.to_string(),
        GroupSelector::ExternalId(id) => group.external_id.as_ref() == Some(id),
    }
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any text, none included. Takes time in
/// proportion to the product of the lengths at worst: the last `*` is the only one that is ever tried again.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(tail)
}

/// The projects that the tenant's policy names: those in which the bridge keeps order.
pub fn managed_projects(policy: &Policy) -> BTreeSet<ProjectId> {
    let defaults = policy.default_projects.iter().map(|grant| grant.id.clone());
    let rules =
        policy.group_rules.iter().filter_map(|rule| rule.effect.project.as_ref().map(|(id, _)| id.clone()));
    defaults.chain(rules).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Clock;
    use crate::ids::{PersonId, TenantId};
    use crate::model::policy::RuleEffect;

    fn person(extension: &Value) -> Person {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let attributes = json!({ EXTENSION: extension }).as_object().unwrap().clone();
        Person {
            tenant: TenantId::default_tenant(),
            id: PersonId::new(&clock),
            user_name: "jane".into(),
            external_id: None,
            address: Address::parse("jane@example.com").ok(),
            active: true,
            deleted_at: None,
            version: 1,
            created_at: clock.now(),
            modified_at: clock.now(),
            attributes,
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

    fn rule(
        group: GroupSelector,
        org_role: Option<OrgRole>,
        project: Option<(&str, ProjectRole)>,
    ) -> GroupRule {
        let project = project.map(|(id, role)| (ProjectId::from(id), role));
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
        let desired = desired(&jane, &[group("engineering"), group("Sales")], &policy);
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
            let desired = desired(&person(&json!({})), &[group("Admins")], &policy);
            assert_eq!(desired.invited_role() == OrgRole::Owner, granted);
            assert_eq!(desired.refused.len(), usize::from(!granted));
        }
        let policy = Policy { allow_owner_grants: true, ..Policy::default() };
        let asked = desired(&person(&json!({ "role": "owner" })), &[], &policy);
        assert_eq!(asked.org_role, None);
        assert_eq!(asked.refused.len(), 1);
    }

    #[test]
    fn nobody_inactive_is_granted_anything() {
        let policy = Policy {
            default_projects: vec![ProjectGrant { id: "proj_a".into(), role: ProjectRole::Member }],
            ..Policy::default()
        };
        let jane = Person { active: false, ..person(&json!({ "role": "reader" })) };
        let desired = desired(&jane, &[], &policy);
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
}
