//! Admin keys: read to learn whose the key in use is and when it runs out, and never changed.

use jiff::Timestamp;
use serde::Deserialize;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::{Item, Page};
use crate::openai::wire::{null_is_default, unix_seconds};

/// How many keys are looked at.
const PAGE: u32 = 100;

/// An admin key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdminKey {
    /// `key_…`
    pub id: String,
    /// The beginning and the end of the key, as in `sk-admin...def`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub redacted_value: String,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<KeyOwner>,
    /// When it stops working, if it does.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub expires_at: Option<Timestamp>,
}

/// Who made an admin key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeyOwner {
    /// `user-…`, or the id of a service account.
    #[serde(default)]
    pub id: Option<String>,
}

impl AdminKey {
    /// Whether this may be the key: its beginning and its end are what is shown.
    pub(super) fn may_be(&self, key: &str) -> bool {
        let Some((start, end)) = self.redacted_value.split_once("...") else { return false };
        let end = end.trim_start_matches('.');
        !end.is_empty() && key.len() > start.len() + end.len() && key.starts_with(start) && key.ends_with(end)
    }
}

impl Item for AdminKey {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Client {
    /// The admin keys that may be the one in use, of the first hundred: usually exactly one.
    pub async fn own_admin_keys(&self) -> Result<Vec<AdminKey>, Failure> {
        let call = Call::new(Endpoint::ListAdminKeys, &[]).with_page(None, PAGE);
        let mut page: Answer<Page<AdminKey>> = self.send(call, |_| true).await?;
        page.value.data.retain(|shown| self.has_key(|key| shown.may_be(key)));
        Ok(page.value.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_beginning_and_its_end() {
        let shown = |redacted: &str| AdminKey {
            id: "key_1".into(),
            redacted_value: redacted.into(),
            owner: None,
            expires_at: None,
        };
        assert!(shown("sk-admin...def").may_be("sk-admin-1234def"));
        for other in ["sk-admin...abc", "sk-proj...def", "sk-admin...", "...", "", "sk-admin-1234def"] {
            assert!(!shown(other).may_be("sk-admin-1234def"), "{other}");
        }
    }
}
