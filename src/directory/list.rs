//! Looking people up: what the database can decide of a filter it decides, the rest is evaluated on the candidates.

use serde_json::Value;

use super::compile::compile;
use super::render::User;
use super::{Caller, Directory, DirectoryError, parse_id};
use crate::scim::filter::ResolvedFilter;
use crate::scim::list::{ListResponse, Page};
use crate::store::Condition;

/// Candidates read at a time while a filter is evaluated in memory.
const CHUNK: i64 = 500;

impl Directory {
    /// The user with this id, active or not.
    pub async fn get_user(&self, caller: &Caller, id: &str) -> Result<User, DirectoryError> {
        self.show(caller, parse_id(id)?).await
    }

    /// One page of the users who satisfy the filter, in the order of their ids, which is that of their making.
    /// `show` makes the answer of each.
    pub async fn list_users(
        &self,
        caller: &Caller,
        filter: Option<ResolvedFilter>,
        page: Page,
        show: &(dyn Fn(User) -> Value + Sync),
    ) -> Result<ListResponse, DirectoryError> {
        let (condition, is_exact) = filter.as_ref().map_or((Condition::All, true), compile);
        match filter.filter(|_| !is_exact) {
            None => self.page_users(caller, &condition, page, show).await,
            Some(filter) => self.scan_users(caller, &condition, &filter, page, show).await,
        }
    }

    /// The page of a condition that the database decides alone.
    async fn page_users(
        &self,
        caller: &Caller,
        condition: &Condition,
        page: Page,
        show: &(dyn Fn(User) -> Value + Sync),
    ) -> Result<ListResponse, DirectoryError> {
        let mut reader = self.store.reader().await?;
        let total = reader.count_people(&caller.tenant, condition).await?;
        let (offset, limit) = (to_i64(page.offset()), to_i64(page.count));
        let people = if limit > 0 && offset < total {
            reader.page_people(&caller.tenant, condition, offset, limit).await?
        } else {
            Vec::new()
        };
        let resources = people
            .into_iter()
            .map(|(person, mapping)| show(self.render(caller, &person, mapping.as_ref())))
            .collect();
        Ok(ListResponse { total_results: total.unsigned_abs(), start_index: page.start_index, resources })
    }

    /// The page of a filter that has to be evaluated on each candidate; memory holds one chunk and the page.
    async fn scan_users(
        &self,
        caller: &Caller,
        condition: &Condition,
        filter: &ResolvedFilter,
        page: Page,
        show: &(dyn Fn(User) -> Value + Sync),
    ) -> Result<ListResponse, DirectoryError> {
        let wanted = page.offset()..page.offset().saturating_add(page.count);
        let (mut total, mut after, mut resources) = (0_u64, None, Vec::new());
        loop {
            // Connections for reading are few, so a long scan gives its own back between two chunks.
            let chunk =
                self.store.reader().await?.scan_people(&caller.tenant, condition, after, CHUNK).await?;
            let Some((last, _)) = chunk.last() else { break };
            after = Some(last.id);
            for (person, mapping) in chunk {
                let user = self.render(caller, &person, mapping.as_ref());
                if !filter.matches(&user.resource) {
                    continue;
                }
                if wanted.contains(&total) {
                    resources.push(show(user));
                }
                total = total.saturating_add(1);
            }
        }
        Ok(ListResponse { total_results: total, start_index: page.start_index, resources })
    }
}

fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
