//! The inventory: what there is in the organization to give access to, as last read, and how a name leads to an id.
//!
//! A name that leads nowhere, or to several things, is told and never guessed. What cannot be known yet, or what
//! OpenAI does not offer to this organization at all, is no fault of anybody's grants: then nothing is said of it.

use std::collections::BTreeMap;

use crate::ids::{GroupId, OpenAiGroupId, ProjectId, RoleId};
use crate::model::observed::{OpenAiGroup, Project, Role};
use crate::model::person::key_of;

/// A list, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listing<T> {
    /// It was never read.
    #[default]
    Unread,
    /// OpenAI does not offer it to this organization, or not to this key.
    NotOffered,
    /// It was read.
    Read(Vec<T>),
}

/// The OpenAI group that the bridge keeps for a SCIM group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirrored {
    /// It is this one.
    As(OpenAiGroupId),
    /// There is none, for this reason.
    Refused(String),
}

/// What there is to give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Projects that are not archived.
    pub projects: Listing<Project>,
    /// Roles of the organization.
    pub roles: Listing<Role>,
    /// OpenAI groups, without those that the bridge made itself.
    pub groups: Listing<OpenAiGroup>,
    /// OpenAI groups that the bridge keeps for SCIM groups.
    pub mirrored: BTreeMap<GroupId, Mirrored>,
}

/// A name that leads to no one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved<I> {
    /// Why, for an administrator.
    pub words: String,
    /// The things of which each could be meant.
    pub candidates: Vec<I>,
    /// Whether nothing has this name.
    pub is_missing: bool,
}

/// Where a name leads: to an id, to nothing that can be known yet, or nowhere.
pub type Lookup<I> = Result<Option<I>, Unresolved<I>>;

impl<T> Listing<T> {
    /// Whether it was read.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}

impl Inventory {
    /// A project by id or name. An id is believed before the first reading.
    pub fn project(&self, name: &str) -> Lookup<ProjectId> {
        let Listing::Read(projects) = &self.projects else {
            return Ok(name.starts_with("proj").then(|| name.into()));
        };
        let names = projects.iter().map(|project| (&project.id, project.name.as_deref()));
        find(names, ProjectId::as_str, name, ("project", "archived"))
    }

    /// Whether the project may be there: not if a reading shows that it is archived or gone.
    pub fn may_have(&self, project: &ProjectId) -> bool {
        match &self.projects {
            Listing::Read(projects) => projects.iter().any(|known| known.id == *project),
            Listing::Unread | Listing::NotOffered => true,
        }
    }

    /// A custom role by id or name.
    pub fn role(&self, name: &str) -> Lookup<RoleId> {
        let Listing::Read(roles) = &self.roles else { return Ok(None) };
        let custom = roles.iter().filter(|role| !role.is_predefined);
        let names = custom.map(|role| (&role.id, Some(role.name.as_str())));
        find(names, RoleId::as_str, name, ("custom role", "deleted"))
    }

    /// An OpenAI group by id or name, unless OpenAI's own directory sync manages it.
    pub fn group(&self, name: &str) -> Lookup<OpenAiGroupId> {
        let Listing::Read(groups) = &self.groups else { return Ok(None) };
        let names = groups.iter().map(|group| (&group.id, Some(group.name.as_str())));
        let found = find(names, OpenAiGroupId::as_str, name, ("OpenAI group", "deleted"))?;
        let is_managed = |group: &OpenAiGroup| group.is_scim_managed && Some(&group.id) == found.as_ref();
        if groups.iter().any(is_managed) {
            let words = format!(
                "the OpenAI group `{name}` is managed by OpenAI's own directory sync, and the bridge leaves it alone"
            );
            return Err(Unresolved { words, candidates: Vec::new(), is_missing: false });
        }
        Ok(found)
    }
}

/// The thing with this id, else the only one with this name. `kind` is the word for it, and what it may have become
/// if it is not there.
fn find<'a, I: Clone + 'a>(
    things: impl Iterator<Item = (&'a I, Option<&'a str>)>,
    text: impl Fn(&I) -> &str,
    wanted: &str,
    (kind, end): (&str, &str),
) -> Lookup<I> {
    let mut named = Vec::new();
    for (id, name) in things {
        if text(id) == wanted {
            return Ok(Some(id.clone()));
        }
        if name.is_some_and(|name| key_of(name) == key_of(wanted)) {
            named.push(id.clone());
        }
    }
    let words = match named.as_slice() {
        [one] => return Ok(Some(one.clone())),
        [] => format!("there is no {kind} `{wanted}`; does the name have a slip, or was it {end}?"),
        several => {
            format!(
                "`{wanted}` is the name of {} {kind}s; name the one that is meant by its id",
                several.len()
            )
        }
    };
    Err(Unresolved { words, is_missing: named.is_empty(), candidates: named })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(id: &str, name: &str) -> Project {
        Project { id: id.into(), name: Some(name.to_owned()) }
    }

    #[test]
    fn a_name_leads_to_one_thing_or_to_a_reason() {
        let projects = [("proj_1", "Research"), ("proj_2", "Ops"), ("proj_3", "OPS"), ("proj_4", "proj_1")];
        let projects = projects.map(|(id, name)| project(id, name)).to_vec();
        let inventory = Inventory { projects: Listing::Read(projects), ..Inventory::default() };
        assert_eq!(inventory.project("research"), Ok(Some("proj_1".into())));
        assert_eq!(inventory.project("proj_1"), Ok(Some("proj_1".into())), "an id comes before a name");
        assert_eq!(inventory.project("Ops").unwrap_err().candidates, ["proj_2".into(), "proj_3".into()]);
        assert!(inventory.project("proj_9").unwrap_err().words.contains("archived"));
    }

    #[test]
    fn before_the_first_reading_ids_are_believed_and_names_wait() {
        let inventory = Inventory::default();
        assert_eq!(inventory.project("proj_1"), Ok(Some("proj_1".into())));
        assert_eq!(inventory.project("Research"), Ok(None));
        assert_eq!(inventory.role("Auditor"), Ok(None));
        let off: Listing<OpenAiGroup> = Listing::NotOffered;
        assert_eq!(Inventory { groups: off, ..inventory }.group("Staff"), Ok(None));
    }
}
