//! What a person may have in the organization: its roles, its projects, and where each grant comes from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ProjectId;

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
