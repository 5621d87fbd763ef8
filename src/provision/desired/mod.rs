//! What a person should have upstream, worked out from the directory and the tenant's policy. Pure.
//!
//! Access is the union of grants: the tenant's defaults, the person's own attributes (our SCIM extension, `roles` and
//! `entitlements`), and what the groups give that they are in. The strongest role wins; every access remembers all of
//! its sources, so that it can be explained, and a wish that is not granted remembers why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::ids::{OpenAiGroupId, ProjectId};
use crate::model::address::Address;
use crate::model::grant::{Assignment, CatalogueId, OrgRole, ProjectGrant, ProjectRole};
use crate::model::group::GroupName;
use crate::model::inventory::{Inventory, Listing, Mirrored, Unresolved};
use crate::model::observed::Collection;
use crate::model::person::{Person, key_of};
use crate::model::policy::{GroupMode, GroupSelector, Policy, RuleEffect};

/// The URN of our extension of the SCIM user, under which a person's own grants stand.
pub const EXTENSION: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

/// Why no attribute makes anybody an owner.
const NOT_BY_ATTRIBUTE: &str = "the role owner is given by no attribute, only by a group rule that names the group by its id or externalId";

/// Where a grant comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The tenant gives it to everybody.
    Default,
    /// The person's own attributes name it.
    Attribute,
    /// This value in `roles` or `entitlements` names it.
    Value(&'static str, String),
    /// The members of this group get it.
    Group(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the tenant's default"),
            Self::Attribute => f.write_str("the user's own attributes"),
            Self::Value(attribute, value) => write!(f, "`{value}` in the user's {attribute}"),
            Self::Group(name) => write!(f, "the group `{name}`"),
        }
    }
}

/// What the OpenAI group that stands for a SCIM group should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupWish {
    /// Its name.
    pub name: String,
    /// The projects that its members get by it.
    pub projects: BTreeMap<ProjectId, ProjectRole>,
    /// The name of a project leads nowhere at present, so that it is not known which projects are too many.
    pub is_doubtful: bool,
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
        in_words(&self.sources)
    }
}

/// Sources in words, for a plan's reason.
pub fn in_words(sources: &BTreeSet<Source>) -> String {
    let sources: Vec<String> = sources.iter().map(Source::to_string).collect();
    sources.join(" and ")
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
    /// The OpenAI groups and custom roles, with who gives them.
    pub assignments: BTreeMap<Assignment, BTreeSet<Source>>,
    /// Projects of which each could be what an ambiguous name means: nothing is given there, and nothing taken away.
    pub doubtful_projects: BTreeSet<ProjectId>,
    /// Groups and roles likewise.
    pub doubtful_assignments: BTreeSet<Assignment>,
    /// A project's name cannot be looked up yet, so that it is not known which projects are too many.
    pub awaits_projects: bool,
    /// Wishes that were not granted, each with its reason, for administrators.
    pub refused: Vec<String>,
    /// Those among them that rest on something missing in a list: it may be newer than the last reading.
    pub missing: BTreeMap<String, Collection>,
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

/// Works out what `person`, a member of `groups`, should have of what there is to give.
pub fn desired(person: &Person, groups: &[GroupName], policy: &Policy, inventory: &Inventory) -> Desired {
    let desired = Desired {
        wants_access: person.wants_access(),
        address: person.address.clone(),
        ..Desired::default()
    };
    if !desired.wants_access {
        return desired;
    }
    let mut grants = Grants { desired, policy, inventory };
    for project in &policy.default_projects {
        grants.give_project(project.id.as_str(), project.role, &Source::Default);
    }
    grants.give_by_extension(person);
    for attribute in ["roles", "entitlements"] {
        grants.give_by_values(person, attribute);
    }
    for group in groups {
        grants.give_by_group(group);
    }
    grants.desired
}

/// Grants being added up.
struct Grants<'a> {
    desired: Desired,
    policy: &'a Policy,
    inventory: &'a Inventory,
}

impl Grants<'_> {
    /// Notes a wish that is not granted.
    fn refuse(&mut self, source: &Source, words: &str) {
        let refusal = refusal(source, words);
        if !self.desired.refused.contains(&refusal) {
            self.desired.refused.push(refusal);
        }
    }

    /// Notes a wish whose name leads to no one thing; returns what it may mean.
    fn refuse_name<I>(&mut self, source: &Source, unresolved: Unresolved<I>, list: Collection) -> Vec<I> {
        self.refuse(source, &unresolved.words);
        if unresolved.is_missing {
            self.desired.missing.insert(refusal(source, &unresolved.words), list);
        }
        unresolved.candidates
    }

    /// What the attributes of our own extension ask for.
    fn give_by_extension(&mut self, person: &Person) {
        let Some(extension) = person.attributes.get(EXTENSION) else { return };
        let source = Source::Attribute;
        match text(extension, "role").map(str::parse) {
            Some(Ok(role)) => self.give_role(role, &source, Some(NOT_BY_ATTRIBUTE)),
            Some(Err(unknown)) => self.refuse(&source, &unknown.to_string()),
            None => {}
        }
        for project in elements(extension.get("projects")) {
            let Some(name) = text(project, "value") else { continue };
            match text(project, "role").unwrap_or("member").parse() {
                Ok(role) => self.give_project(name, role, &source),
                Err(unknown) => self.refuse(&source, &format!("project `{name}`: {unknown}")),
            }
        }
    }

    /// What `roles` or `entitlements` ask for: by an alias, by a name of the catalogue, or by one of the plain words
    /// for a role in the organization. What else stands there is told, never guessed.
    fn give_by_values(&mut self, person: &Person, attribute: &'static str) {
        for element in elements(person.attributes.get(attribute)) {
            let Some(value) = text(element, "value") else { continue };
            let source = Source::Value(attribute, value.to_owned());
            let effects = self.effects_of(value, text(element, "display"));
            for effect in &effects {
                self.give(effect, &source, Some(NOT_BY_ATTRIBUTE));
            }
            if !effects.is_empty() {
                continue;
            }
            match (CatalogueId::read(value), value.parse::<OrgRole>()) {
                (Some(Ok(CatalogueId::Organization(role))), _) => {
                    self.give_role(role, &source, Some(NOT_BY_ATTRIBUTE));
                }
                (Some(Ok(CatalogueId::Role(role))), _) => self.give_custom_role(role.as_str(), &source),
                (Some(Ok(CatalogueId::Project(project, role))), _) => {
                    self.give_project(project.as_str(), role, &source);
                }
                (Some(Err(malformed)), _) => self.refuse(&source, &malformed.to_string()),
                (None, Ok(role)) if attribute == "roles" => {
                    self.give_role(role, &source, Some(NOT_BY_ATTRIBUTE));
                }
                (None, _) => {
                    self.refuse(&source, "neither an alias in the settings nor the catalogue knows it");
                }
            }
        }
    }

    /// What the aliases give for a value, or else for what it is called.
    fn effects_of(&self, value: &str, display: Option<&str>) -> Vec<RuleEffect> {
        let called = |name: &str| -> Vec<RuleEffect> {
            let meant = self.policy.aliases.iter().filter(|alias| key_of(&alias.value) == key_of(name));
            meant.map(|alias| alias.effect.clone()).collect()
        };
        let effects = called(value);
        if effects.is_empty() { display.map(called).unwrap_or_default() } else { effects }
    }

    fn give_by_group(&mut self, group: &GroupName) {
        let (policy, source) = (self.policy, Source::Group(group.display_name.clone()));
        for rule in policy.group_rules.iter().filter(|rule| selects(&rule.group, group)) {
            // A display name can be chosen by whoever may make groups; it must not lead to everything.
            let no_owner = match rule.group {
                GroupSelector::Name(_) => {
                    Some("its rule names the group by display name; for owner, use group_id or external_id")
                }
                GroupSelector::Id(_) | GroupSelector::ExternalId(_) => None,
            };
            self.give(&rule.effect, &source, no_owner);
        }
        if let Some((project, role)) =
            policy.group_naming.as_ref().and_then(|naming| naming.read(&group.display_name))
        {
            match role.parse() {
                Ok(role) => self.give_project(project, role, &source),
                Err(unknown) => self.refuse(&source, &format!("project `{project}`: {unknown}")),
            }
        }
        if policy.groups == GroupMode::Mirror && self.inventory.groups != Listing::NotOffered {
            match self.inventory.mirrored.get(&group.id) {
                Some(Mirrored::As(mirror)) => {
                    self.assign(Assignment::Group { group: mirror.clone() }, &source);
                }
                Some(Mirrored::Refused(words)) => self.refuse(&source, words),
                None => {}
            }
        }
    }

    /// Gives everything of an effect. `no_owner` says why it cannot make anybody an owner, if so.
    fn give(&mut self, effect: &RuleEffect, source: &Source, no_owner: Option<&str>) {
        if let Some(role) = effect.org_role {
            self.give_role(role, source, no_owner);
        }
        if let Some((project, role)) = &effect.project {
            self.give_project(project, *role, source);
            if let (Some(role), Ok(Some(project)), true) =
                (&effect.project_role, self.inventory.project(project), self.inventory.roles.is_read())
            {
                self.assign(Assignment::ProjectRole { project, role: role.clone() }, source);
            }
        }
        if let Some(role) = &effect.custom_role {
            self.give_custom_role(role, source);
        }
        if let Some(group) = effect.openai_group.as_ref().filter(|_| self.policy.groups != GroupMode::Off) {
            match self.inventory.group(group) {
                Ok(Some(group)) => self.assign(Assignment::Group { group }, source),
                Ok(None) => {}
                Err(unresolved) => {
                    let doubtful = self.refuse_name(source, unresolved, Collection::Groups);
                    let doubtful = doubtful.into_iter().map(|group| Assignment::Group { group });
                    self.desired.doubtful_assignments.extend(doubtful);
                }
            }
        }
    }

    fn give_role(&mut self, role: OrgRole, source: &Source, no_owner: Option<&str>) {
        match no_owner {
            Some(words) if role == OrgRole::Owner => self.refuse(source, words),
            None if role == OrgRole::Owner && !self.policy.allow_owner_grants => self.refuse(
                source,
                "the tenant does not allow grants of the role owner (safety.allow_owner_grants)",
            ),
            _ => merge(&mut self.desired.org_role, role, source.clone()),
        }
    }

    fn give_project(&mut self, name: &str, role: ProjectRole, source: &Source) {
        match self.inventory.project(name) {
            Ok(Some(project)) => {
                let mut held = self.desired.projects.remove(&project);
                merge(&mut held, role, source.clone());
                self.desired.projects.extend(held.map(|granted| (project, granted)));
            }
            Ok(None) => self.desired.awaits_projects = true,
            Err(unresolved) => {
                let doubtful = self.refuse_name(source, unresolved, Collection::Projects);
                self.desired.doubtful_projects.extend(doubtful);
            }
        }
    }

    fn give_custom_role(&mut self, name: &str, source: &Source) {
        match self.inventory.role(name) {
            Ok(Some(role)) => self.assign(Assignment::Role { role }, source),
            Ok(None) => {}
            Err(unresolved) => {
                let doubtful = self.refuse_name(source, unresolved, Collection::Roles);
                let doubtful = doubtful.into_iter().map(|role| Assignment::Role { role });
                self.desired.doubtful_assignments.extend(doubtful);
            }
        }
    }

    fn assign(&mut self, what: Assignment, source: &Source) {
        self.desired.assignments.entry(what).or_default().insert(source.clone());
    }
}

fn refusal(source: &Source, words: &str) -> String {
    format!("not granted ({source}): {words}")
}

fn text<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn elements(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
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
pub fn managed_projects(policy: &Policy, inventory: &Inventory) -> BTreeSet<ProjectId> {
    let defaults = policy.default_projects.iter().map(|grant| grant.id.as_str());
    let given = policy.effects().filter_map(|effect| effect.project.as_ref().map(|(name, _)| name.as_str()));
    defaults.chain(given).filter_map(|name| inventory.project(name).ok().flatten()).collect()
}

/// What the OpenAI group of this SCIM group should be.
pub fn group_wish(group: &GroupName, policy: &Policy, inventory: &Inventory) -> GroupWish {
    let mut grants = Grants { desired: Desired::default(), policy, inventory };
    grants.give_by_group(group);
    let Desired { projects, awaits_projects, doubtful_projects, missing, .. } = grants.desired;
    GroupWish {
        name: group.display_name.clone(),
        projects: projects.into_iter().map(|(project, granted)| (project, granted.role)).collect(),
        is_doubtful: awaits_projects || !doubtful_projects.is_empty() || !missing.is_empty(),
    }
}

/// The OpenAI groups that the policy names or the bridge keeps for SCIM groups: likewise.
pub fn managed_groups(policy: &Policy, inventory: &Inventory) -> BTreeSet<OpenAiGroupId> {
    if policy.groups == GroupMode::Off || inventory.groups == Listing::NotOffered {
        return BTreeSet::new();
    }
    let mirrored = inventory.mirrored.values().filter_map(|mirrored| match mirrored {
        Mirrored::As(group) if policy.groups == GroupMode::Mirror => Some(group.clone()),
        _ => None,
    });
    let named = named_groups(policy, inventory);
    named.into_iter().chain(mirrored).collect()
}

/// The OpenAI groups that the policy names.
pub fn named_groups(policy: &Policy, inventory: &Inventory) -> BTreeSet<OpenAiGroupId> {
    let named = policy.effects().filter_map(|effect| effect.openai_group.as_ref());
    named.filter_map(|name| inventory.group(name).ok().flatten()).collect()
}

#[cfg(test)]
mod tests;
