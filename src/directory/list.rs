//! Looking people up: what the database can decide of a filter it decides, the rest is evaluated on the candidates.

use std::collections::BTreeMap;
use std::ops::Range;

use super::compile::compile;
use super::render::Shown;
use super::{Caller, Directory, DirectoryError, parse_id};
use crate::ids::PersonId;
use crate::model::group::GroupName;
use crate::model::mapping::Mapping;
use crate::model::person::Person;
use crate::model::scope::Scope;
use crate::scim::filter::ResolvedFilter;
use crate::scim::list::Page;
use crate::store::Condition;

/// Candidates read at a time while a filter is evaluated in memory.
pub(super) const CHUNK: i64 = 500;

/// What a query found.
#[derive(Debug, Clone)]
pub struct Found<T> {
    /// How many satisfy it on all pages.
    pub total: u64,
    /// Those of the page that was asked for.
    pub page: Vec<T>,
}

type Row = (Person, Option<Mapping>);

impl Directory {
    /// The user with this id, active or not.
    pub async fn get_user(&self, caller: &Caller, id: &str) -> Result<Shown, DirectoryError> {
        caller.require(Scope::UsersRead)?;
        self.show(caller, parse_id(id)?).await
    }

    /// One page of the users who satisfy the filter, in the order of their ids, which is that of their making; with
    /// the groups they are in, if wanted.
    pub async fn list_users(
        &self,
        caller: &Caller,
        filter: Option<ResolvedFilter>,
        page: Page,
        with_groups: bool,
    ) -> Result<Found<Shown>, DirectoryError> {
        caller.require(Scope::UsersRead)?;
        let (condition, is_exact) = filter.as_ref().map_or((Condition::All, true), compile);
        let Found { total, page: rows } = match filter.filter(|_| !is_exact) {
            None => self.page_users(caller, &condition, page).await?,
            Some(filter) => self.scan_users(caller, &condition, &filter, page).await?,
        };
        let groups = if with_groups { self.groups_of_each(caller, &rows).await? } else { BTreeMap::new() };
        let page = rows.iter().map(|row| self.render_row(caller, row, &groups)).collect();
        Ok(Found { total, page })
    }

    /// The page of a condition that the database decides alone.
    async fn page_users(
        &self,
        caller: &Caller,
        condition: &Condition,
        page: Page,
    ) -> Result<Found<Row>, DirectoryError> {
        let mut reader = self.store.reader().await?;
        let total = reader.count_people(&caller.tenant, condition).await?;
        let rows = match window(page, total) {
            Some((offset, limit)) => reader.page_people(&caller.tenant, condition, offset, limit).await?,
            None => Vec::new(),
        };
        Ok(Found { total: total.unsigned_abs(), page: rows })
    }

    /// The page of a filter that has to be evaluated on each candidate; memory holds one chunk and the page.
    async fn scan_users(
        &self,
        caller: &Caller,
        condition: &Condition,
        filter: &ResolvedFilter,
        page: Page,
    ) -> Result<Found<Row>, DirectoryError> {
        let (mut matches, mut after) = (Matches::of(page), None);
        let needs_groups = filter.looks_at("groups");
        loop {
            // Connections for reading are few, so a long scan gives its own back between two chunks.
            let chunk =
                self.store.reader().await?.scan_people(&caller.tenant, condition, after, CHUNK).await?;
            let Some((last, _)) = chunk.last() else { break };
            after = Some(last.id);
            let groups =
                if needs_groups { self.groups_of_each(caller, &chunk).await? } else { BTreeMap::new() };
            for row in chunk {
                if filter.matches(&self.render_row(caller, &row, &groups).resource) {
                    matches.add(row);
                }
            }
        }
        Ok(matches.found)
    }

    async fn groups_of_each(
        &self,
        caller: &Caller,
        rows: &[Row],
    ) -> Result<BTreeMap<PersonId, Vec<GroupName>>, DirectoryError> {
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let people: Vec<_> = rows.iter().map(|(person, _)| person.id).collect();
        Ok(self.store.reader().await?.groups_of_each(&caller.tenant, &people).await?)
    }

    fn render_row(
        &self,
        caller: &Caller,
        (person, mapping): &Row,
        groups: &BTreeMap<PersonId, Vec<GroupName>>,
    ) -> Shown {
        let groups = groups.get(&person.id).map(Vec::as_slice).unwrap_or_default();
        self.render(caller, person, mapping.as_ref(), groups)
    }
}

/// Counts what matches, and keeps what is on the page.
#[derive(Debug)]
pub(super) struct Matches<T> {
    wanted: Range<u64>,
    pub(super) found: Found<T>,
}

impl<T> Matches<T> {
    pub(super) fn of(page: Page) -> Self {
        let wanted = page.offset()..page.offset().saturating_add(page.count);
        Self { wanted, found: Found { total: 0, page: Vec::new() } }
    }

    pub(super) fn add(&mut self, row: T) {
        let Found { total, page } = &mut self.found;
        if self.wanted.contains(total) {
            page.push(row);
        }
        *total = total.saturating_add(1);
    }
}

/// Offset and limit of a page of `total` rows, unless there is nothing on it.
pub(super) fn window(page: Page, total: i64) -> Option<(i64, i64)> {
    let to_i64 = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let (offset, limit) = (to_i64(page.offset()), to_i64(page.count));
    (limit > 0 && offset < total).then_some((offset, limit))
}
