//! Users as a list has them.

use std::collections::BTreeMap;

use super::source::{self, Rows};
use super::{Entry, Found, Start};
use crate::directory::render::Shown;
use crate::directory::{Caller, Directory, DirectoryError, parse_id, user_type};
use crate::ids::PersonId;
use crate::model::group::GroupName;
use crate::model::mapping::Mapping;
use crate::model::person::Person;
use crate::model::scope::Scope;
use crate::scim::filter::Field;
use crate::scim::resource::Resource;
use crate::scim::search::ResolvedQuery;
use crate::store::{Column, Condition, Sequence, Spot};

impl Directory {
    /// The user with this id, active or not.
    pub async fn get_user(&self, caller: &Caller, id: &str) -> Result<Shown, DirectoryError> {
        caller.require(Scope::UsersRead)?;
        self.show(caller, parse_id(id)?).await
    }

    /// A stretch of the users who satisfy the query.
    pub(super) async fn seek_users(
        &self,
        caller: &Caller,
        query: &ResolvedQuery,
        start: &Start,
        limit: usize,
        want_total: bool,
    ) -> Result<Found, DirectoryError> {
        let users = Users {
            directory: self,
            caller,
            judged_by_groups: query.looks_at("groups"),
            shown_with_groups: query.projection.wants(user_type(), "groups"),
        };
        source::seek(&users, query, start, limit, want_total).await
    }
}

/// The users of a tenant.
struct Users<'a> {
    directory: &'a Directory,
    caller: &'a Caller,
    /// Whether filter or order look at the groups that users are in.
    judged_by_groups: bool,
    /// Whether the answer has them.
    shown_with_groups: bool,
}

type Row = (Person, Option<Mapping>);

impl Rows for Users<'_> {
    type Row = Row;
    type Condition = Condition;

    const NAME: &'static str = "User";

    fn column(field: &Field) -> Option<Column> {
        match field.path.as_str() {
            "id" => Some(Column::Id),
            "userName" => Some(Column::Name),
            "displayName" => Some(Column::DisplayName),
            "externalId" => Some(Column::ExternalId),
            "meta.created" => Some(Column::Created),
            "meta.lastModified" => Some(Column::Modified),
            _ => None,
        }
    }

    async fn count(&self, condition: &Condition) -> Result<i64, DirectoryError> {
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.count_people(&self.caller.tenant, condition).await?)
    }

    async fn page(
        &self,
        condition: &Condition,
        sequence: Sequence,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Row>, DirectoryError> {
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.page_people(&self.caller.tenant, condition, sequence, offset, limit).await?)
    }

    async fn scan(
        &self,
        condition: &Condition,
        sequence: Sequence,
        after: Option<&Spot>,
        limit: usize,
    ) -> Result<Vec<Row>, DirectoryError> {
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.scan_people(&self.caller.tenant, condition, sequence, after, limit).await?)
    }

    async fn candidates(&self, rows: &[Row]) -> Result<Vec<Resource>, DirectoryError> {
        self.render(rows, self.judged_by_groups).await
    }

    async fn entries(&self, rows: &[Row]) -> Result<Vec<Entry>, DirectoryError> {
        let entry = |resource| Entry { resource_type: user_type(), resource, group: None };
        Ok(self.render(rows, self.shown_with_groups).await?.into_iter().map(entry).collect())
    }
}

impl Users<'_> {
    async fn render(&self, rows: &[Row], with_groups: bool) -> Result<Vec<Resource>, DirectoryError> {
        let groups = if with_groups { self.groups_of_each(rows).await? } else { BTreeMap::new() };
        let render = |(person, mapping): &Row| {
            let groups = groups.get(&person.id).map(Vec::as_slice).unwrap_or_default();
            self.directory.render(self.caller, person, mapping.as_ref(), groups).resource
        };
        Ok(rows.iter().map(render).collect())
    }

    async fn groups_of_each(
        &self,
        rows: &[Row],
    ) -> Result<BTreeMap<PersonId, Vec<GroupName>>, DirectoryError> {
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let people: Vec<_> = rows.iter().map(|(person, _)| person.id).collect();
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.groups_of_each(&self.caller.tenant, &people).await?)
    }
}
