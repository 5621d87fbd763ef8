//! API keys and service accounts of projects: read to tell what access is left, and never changed.

use jiff::Timestamp;
use serde::Deserialize;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::{Item, Page};
use crate::openai::wire::{null_is_default, unix_seconds};

/// An API key of a project, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProjectKey {
    /// `key_…`
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was made.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub created_at: Option<Timestamp>,
    /// When it was last used.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub last_used_at: Option<Timestamp>,
    /// `active` or `inactive`: whether the owner can still get at the project.
    #[serde(default)]
    pub owner_project_access: Option<String>,
    /// Whose it is.
    #[serde(default, deserialize_with = "null_is_default")]
    pub owner: ProjectKeyOwner,
}

/// Who owns an API key of a project: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ProjectKeyOwner {
    /// A person.
    #[serde(default)]
    pub user: Option<OwnerId>,
    /// A service account.
    #[serde(default)]
    pub service_account: Option<OwnerId>,
}

/// The id of an owner; what else is told of them is told better elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OwnerId {
    /// `user-…`, or the id of a service account.
    pub id: String,
}

/// A service account of a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServiceAccount {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was made.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub created_at: Option<Timestamp>,
}

impl Item for ProjectKey {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Item for ServiceAccount {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Client {
    /// One page of a project's API keys, also of those whose owner has no access any more; `limit` is 1 to 100.
    pub async fn list_project_keys(
        &self,
        project: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<ProjectKey>>, Failure> {
        let ids = [project];
        let mut call = Call::new(Endpoint::ListProjectKeys, &ids).with_page(after, limit);
        call.query.push(("owner_project_access", "any".to_owned()));
        self.send(call, |_| true).await
    }

    /// One page of a project's service accounts; `limit` is 1 to 100.
    pub async fn list_service_accounts(
        &self,
        project: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<ServiceAccount>>, Failure> {
        let ids = [project];
        self.send(Call::new(Endpoint::ListServiceAccounts, &ids).with_page(after, limit), |_| true).await
    }
}
