//! Groups: what is done to one is a set operation on rows, whatever the size of the group.
//!
//! - `write`: the transactions.
//! - `lookup`: finding groups by filter and page.
//!
//! An answer about a group is its name without the members, because they may be many: whoever shows them asks for them
//! page by page ([`Directory::page_members`]).

mod lookup;
mod write;

use serde_json::{Map, Value, json};

use super::render::{Shown, meta};
use super::{Caller, Directory, DirectoryError, group_type};
use crate::ids::{GroupId, PersonId, TenantId};
use crate::model::group::{Group, Member};
use crate::model::scope::Scope;
use crate::scim::error::ScimError;
use crate::scim::resource::Resource;
use crate::store::{StoreError, Tx};

/// Members read at a time.
const MEMBERS_PER_PAGE: i64 = 1_000;

/// A group as the client gets to see it, but for its members.
#[derive(Debug, Clone)]
pub struct ShownGroup {
    /// Which.
    pub id: GroupId,
    /// The resource without `members`.
    pub shown: Shown,
}

impl Directory {
    /// The group with this id.
    pub async fn get_group(&self, caller: &Caller, id: &str) -> Result<ShownGroup, DirectoryError> {
        caller.require(Scope::GroupsRead)?;
        let group = self.store.reader().await?.load_group(&caller.tenant, parse_id(id)?).await?;
        Ok(self.render_group(caller, &group.ok_or_else(no_such_group)?))
    }

    /// The next members of a group after `after`, as the group shows them, and after whom there may be more.
    ///
    /// Pages are read one by one, so that a long list costs no more memory than a short one. Whoever is a member all
    /// the while is on exactly one page.
    pub async fn page_members(
        &self,
        caller: &Caller,
        group: GroupId,
        after: Option<PersonId>,
    ) -> Result<(Vec<Value>, Option<PersonId>), DirectoryError> {
        let mut reader = self.store.reader().await?;
        let page = reader.page_members(&caller.tenant, group, after, MEMBERS_PER_PAGE).await?;
        let is_full = i64::try_from(page.len()).is_ok_and(|length| length == MEMBERS_PER_PAGE);
        let next = page.last().filter(|_| is_full).map(|last| last.id);
        let base = self.base_url(&caller.tenant);
        Ok((page.iter().map(|member| render_member(&base, member)).collect(), next))
    }

    fn render_group(&self, caller: &Caller, group: &Group) -> ShownGroup {
        let location = format!("{}/Groups/{}", self.base_url(&caller.tenant), group.id);
        let times = (group.created_at, group.modified_at);
        let mut map = Map::new();
        map.insert("schemas".to_owned(), json!([group_type().schema.id]));
        map.insert("id".to_owned(), group.id.to_string().into());
        map.extend(group.attributes.clone());
        map.insert("meta".to_owned(), meta("Group", times, &location, group.version));
        ShownGroup {
            id: group.id,
            shown: Shown { resource: Resource::from(map), location, version: group.version },
        }
    }
}

/// A member as their group shows them.
fn render_member(base: &str, member: &Member) -> Value {
    json!({
        "value": member.id.to_string(),
        "$ref": format!("{base}/Users/{}", member.id),
        "type": "User",
        "display": member.user_name,
    })
}

/// Waits for other changes of the group: those that come at once are made one after the other instead of failing.
pub(super) async fn take_turn(tx: &mut Tx, tenant: &TenantId, id: GroupId) -> Result<(), StoreError> {
    tx.take_turn(tenant, &format!("group:{id}")).await
}

/// The id in a URL; what is no id of ours names no group.
fn parse_id(id: &str) -> Result<GroupId, DirectoryError> {
    id.parse().map_err(|_malformed| no_such_group())
}

fn no_such_group() -> DirectoryError {
    ScimError::not_found("no group has this id").into()
}
