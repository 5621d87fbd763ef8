//! What a person may have in the organization: its roles, its projects, its groups, and the names of all that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{OpenAiGroupId, ProjectId, RoleId};

/// A word that names no role. Unknown words are refused, never guessed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a role; use one of: {1}")]
pub struct RoleError(String, &'static str);

/// The classic organization role. `Owner` is the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrgRole {
    /// An ordinary member, called `reader` on the wire.
    Reader,
    /// May change everything, owns every project implicitly.
    Owner,
}

impl OrgRole {
    /// The word the Admin API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Owner => "owner",
        }
    }
}

impl FromStr for OrgRole {
    type Err = RoleError;

    /// Reads the words administrators use: owner/admin, and member/reader/user.
    fn from_str(word: &str) -> Result<Self, RoleError> {
        match word.to_ascii_lowercase().as_str() {
            "owner" | "admin" => Ok(Self::Owner),
            "reader" | "member" | "user" => Ok(Self::Reader),
            _ => Err(RoleError(word.to_owned(), "owner, reader")),
        }
    }
}

impl fmt::Display for OrgRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role inside one project. `Owner` is the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectRole {
    /// May use the project.
    Member,
    /// May change the project.
    Owner,
}

impl ProjectRole {
    /// The word the Admin API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Owner => "owner",
        }
    }
}

impl FromStr for ProjectRole {
    type Err = RoleError;

    fn from_str(word: &str) -> Result<Self, RoleError> {
        match word.to_ascii_lowercase().as_str() {
            "owner" | "admin" => Ok(Self::Owner),
            "member" | "reader" | "user" => Ok(Self::Member),
            _ => Err(RoleError(word.to_owned(), "owner, member")),
        }
    }
}

impl fmt::Display for ProjectRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Membership of one project with one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProjectGrant {
    /// The project, by its OpenAI id: names are not unique there.
    pub id: ProjectId,
    /// The role inside it.
    pub role: ProjectRole,
}

/// Something that a member has or has not, beside the classic role and the projects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Assignment {
    /// Membership of an OpenAI group.
    Group {
        /// The group.
        group: OpenAiGroupId,
    },
    /// A custom role in the organization.
    Role {
        /// The role.
        role: RoleId,
    },
    /// A custom role in a project, which only members of the project can have.
    ProjectRole {
        /// The project.
        project: ProjectId,
        /// The role.
        role: RoleId,
    },
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { group } => write!(f, "the OpenAI group {group}"),
            Self::Role { role } => write!(f, "the role {role}"),
            Self::ProjectRole { project, role } => write!(f, "the role {role} in {project}"),
        }
    }
}

/// The name of a role or entitlement in the catalogue that identity providers can list, which is also its value in
/// `roles` and `entitlements` of a user: `org:reader`, `role:role_…`, `project:proj_…:member`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueId {
    /// A classic role in the organization.
    Organization(OrgRole),
    /// A custom role in the organization.
    Role(RoleId),
    /// A role in a project.
    Project(ProjectId, ProjectRole),
}

impl CatalogueId {
    /// Reads a value; `None` for one that does not even begin like a name of the catalogue. Only the words that the
    /// catalogue itself uses are read.
    pub fn read(value: &str) -> Option<Result<Self, RoleError>> {
        let unknown = |known| RoleError(value.to_owned(), known);
        if let Some(word) = value.strip_prefix("org:") {
            let role = [OrgRole::Reader, OrgRole::Owner].into_iter().find(|role| role.as_str() == word);
            return Some(role.map(Self::Organization).ok_or_else(|| unknown("org:reader")));
        }
        if let Some(role) = value.strip_prefix("role:") {
            let known = Some(role).filter(|role| !role.is_empty());
            return Some(known.map(|role| Self::Role(role.into())).ok_or_else(|| unknown("role:ID")));
        }
        let (project, word) = value.strip_prefix("project:")?.rsplit_once(':').unwrap_or_default();
        let role = [ProjectRole::Member, ProjectRole::Owner].into_iter().find(|role| role.as_str() == word);
        let known = role.filter(|_| !project.is_empty());
        Some(
            known
                .map(|role| Self::Project(project.into(), role))
                .ok_or_else(|| unknown("project:ID:member, project:ID:owner")),
        )
    }
}

impl fmt::Display for CatalogueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(role) => write!(f, "org:{role}"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Project(project, role) => write!(f, "project:{project}:{role}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_catalogue_reads_back() {
        for value in ["org:reader", "org:owner", "role:role_1", "project:proj_1:member", "project:a:b:owner"]
        {
            assert_eq!(CatalogueId::read(value).unwrap().unwrap().to_string(), value);
        }
        for value in ["Admin", "reader", "organization:reader", ""] {
            assert_eq!(CatalogueId::read(value), None, "{value}");
        }
        for value in ["org:admin", "role:", "project:proj_1", "project:proj_1:boss", "project::member"] {
            assert!(CatalogueId::read(value).unwrap().is_err(), "{value}");
        }
    }
}
