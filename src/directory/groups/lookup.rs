//! Looking groups up. No filter ever needs a whole member list: it may ask for members by their id, and the database
//! tells which of those few are in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::compile::Compiled;
use super::super::list::{Entry, Found, Rows, Start, seek};
use super::super::{Caller, Directory, DirectoryError, group_type};
use super::render_member;
use crate::ids::{GroupId, PersonId};
use crate::model::group::Group;
use crate::scim::error::ScimError;
use crate::scim::filter::{Comparand, CompareOp, Field, ResolvedFilter};
use crate::scim::resource::Resource;
use crate::scim::search::ResolvedQuery;
use crate::store::{Column, GroupCondition, Sequence, Spot};

impl Directory {
    /// A stretch of the groups that satisfy the query.
    ///
    /// # Errors
    ///
    /// 400 `invalidFilter` for a question about members that does not say whom it is about.
    pub(in crate::directory) async fn seek_groups(
        &self,
        caller: &Caller,
        query: &ResolvedQuery,
        start: &Start,
        limit: usize,
        want_total: bool,
    ) -> Result<Found, DirectoryError> {
        let groups = Groups { directory: self, caller, asked: Asked::of(query)? };
        seek(&groups, query, start, limit, want_total).await
    }
}

/// The groups of a tenant.
struct Groups<'a> {
    directory: &'a Directory,
    caller: &'a Caller,
    asked: Asked,
}

impl Rows for Groups<'_> {
    type Row = Group;
    type Condition = GroupCondition;

    const NAME: &'static str = "Group";

    fn column(field: &Field) -> Option<Column> {
        match field.path.as_str() {
            "id" => Some(Column::Id),
            "displayName" => Some(Column::Name),
            "externalId" => Some(Column::ExternalId),
            "meta.created" => Some(Column::Created),
            "meta.lastModified" => Some(Column::Modified),
            _ => None,
        }
    }

    async fn count(&self, condition: &GroupCondition) -> Result<i64, DirectoryError> {
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.count_groups(&self.caller.tenant, condition).await?)
    }

    async fn page(
        &self,
        condition: &GroupCondition,
        sequence: Sequence,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Group>, DirectoryError> {
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.page_groups(&self.caller.tenant, condition, sequence, offset, limit).await?)
    }

    async fn scan(
        &self,
        condition: &GroupCondition,
        sequence: Sequence,
        after: Option<&Spot>,
        limit: usize,
    ) -> Result<Vec<Group>, DirectoryError> {
        let mut reader = self.directory.store.reader().await?;
        Ok(reader.scan_groups(&self.caller.tenant, condition, sequence, after, limit).await?)
    }

    async fn candidates(&self, groups: &[Group]) -> Result<Vec<Resource>, DirectoryError> {
        let mut members = self.asked_members(groups).await?;
        let render = |group: &Group| {
            let mut candidate = self.directory.render_group(self.caller, group).shown.resource;
            if let Some(members) = members.remove(&group.id) {
                candidate.set("members", members);
            }
            candidate
        };
        Ok(groups.iter().map(render).collect())
    }

    async fn entries(&self, groups: &[Group]) -> Result<Vec<Entry>, DirectoryError> {
        let entry = |group: &Group| Entry {
            resource_type: group_type(),
            resource: self.directory.render_group(self.caller, group).shown.resource,
            group: Some(group.id),
        };
        Ok(groups.iter().map(entry).collect())
    }
}

impl Groups<'_> {
    /// As many members of these groups as it takes to answer what is asked.
    async fn asked_members(&self, groups: &[Group]) -> Result<BTreeMap<GroupId, Vec<Value>>, DirectoryError> {
        let mut members: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let Self { directory, caller, asked } = self;
        let ids = || groups.iter().map(|group| group.id);
        let Some(range) = ids().min().zip(ids().max()) else { return Ok(members) };
        let base = directory.base_url(&caller.tenant);
        let mut reader = directory.store.reader().await?;
        if asked.anybody {
            for (group, member) in reader.any_members(&caller.tenant, range).await? {
                members.entry(group).or_default().push(render_member(&base, &member));
            }
        }
        if !asked.people.is_empty() {
            for (group, member) in reader.members_among(&caller.tenant, range, &asked.people).await? {
                members.entry(group).or_default().push(render_member(&base, &member));
            }
        }
        Ok(members)
    }
}

/// What a query wants to know about members.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Whether these are in.
    people: BTreeSet<PersonId>,
    /// Whether anybody is in, and who is the first.
    anybody: bool,
}

impl Asked {
    fn of(query: &ResolvedQuery) -> Result<Self, ScimError> {
        let is_sorted_by_members = query.sort.field.as_ref().is_some_and(|field| field.is_of("members"));
        let mut asked = Self { anybody: is_sorted_by_members, ..Self::default() };
        query.filter.iter().try_for_each(|filter| asked.read(filter))?;
        Ok(asked)
    }

    fn read(&mut self, filter: &ResolvedFilter) -> Result<(), ScimError> {
        match filter {
            ResolvedFilter::Or(parts) | ResolvedFilter::And(parts) => {
                parts.iter().try_for_each(|part| self.read(part))
            }
            ResolvedFilter::Not(inner) => self.read(inner),
            ResolvedFilter::Present(field) => {
                // Whoever is a member has all parts of one.
                self.anybody |= field.is_of("members");
                Ok(())
            }
            ResolvedFilter::Compare(field, ..) if !field.is_of("members") => Ok(()),
            ResolvedFilter::Any(field, _) if !field.is_of("members") => Ok(()),
            ResolvedFilter::Compare(field, ..) => self.name(filter, field),
            ResolvedFilter::Any(field, inner) => self.name(inner, field),
        }
    }

    /// Notes whom a question about one member is about.
    fn name(&mut self, question: &ResolvedFilter, field: &Field) -> Result<(), ScimError> {
        let named = question.named_values().ok_or_else(|| {
            ScimError::invalid_filter(format!(
                "filter: {}: groups are found by members only with eq and the id of a user, as in members.value eq \
                 \"…\"; list the members of a group with GET",
                field.path
            ))
        })?;
        // What is no id of ours is nobody's.
        self.people.extend(named.into_iter().filter_map(|id| id.parse::<PersonId>().ok()));
        Ok(())
    }
}

impl Compiled for GroupCondition {
    const ALL: Self = Self::All;
    const NOTHING: Self = Self::Nothing;

    fn and(parts: Vec<Self>) -> Self {
        Self::And(parts)
    }

    fn or(parts: Vec<Self>) -> Self {
        Self::Or(parts)
    }

    fn is_always_present(field: &Field) -> bool {
        matches!(field.path.as_str(), "id" | "displayName")
    }

    fn compare(field: &Field, op: CompareOp, comparand: &Comparand) -> Option<(Self, bool)> {
        let (Comparand::Text(text), CompareOp::Eq) = (comparand, op) else { return None };
        let condition = match field.path.as_str() {
            "id" => text.parse().map_or(Self::Nothing, Self::IdEq),
            "displayName" => Self::DisplayNameEq(field.key(text).into_owned()),
            "externalId" => Self::ExternalIdEq(text.clone()),
            "members.value" => text.parse().map_or(Self::Nothing, Self::MemberEq),
            _ => return None,
        };
        Some((condition, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::compile::compile;
    use crate::scim::search::Query;

    const G: &str = "00000000-0000-7000-8000-00000000000a";
    const U: &str = "00000000-0000-7000-8000-00000000000b";

    fn resolve(filter: &str) -> ResolvedQuery {
        Query::from_parameters([("filter", filter)]).unwrap().resolve(group_type(), &[]).unwrap()
    }

    #[test]
    fn the_database_decides_what_identity_providers_ask() {
        let member = || GroupCondition::MemberEq(U.parse().unwrap());
        let both = GroupCondition::And(vec![GroupCondition::IdEq(G.parse().unwrap()), member()]);
        for (filter, expected) in [
            (format!("members eq \"{U}\""), member()),
            (format!("members.value eq \"{U}\""), member()),
            (format!("members[value eq \"{U}\"]"), member()),
            (format!("id eq \"{G}\" and members eq \"{U}\""), both.clone()),
            (format!("id eq {G} and members[value eq \"{U}\"]"), both),
            ("displayName EQ \"Staff\"".to_owned(), GroupCondition::DisplayNameEq("staff".to_owned())),
            ("externalId eq \"8aA1\"".to_owned(), GroupCondition::ExternalIdEq("8aA1".to_owned())),
            ("members eq \"nobody\"".to_owned(), GroupCondition::Nothing),
            ("displayName pr".to_owned(), GroupCondition::All),
        ] {
            let resolved = resolve(&filter).filter.unwrap();
            assert_eq!(compile("Group", &resolved), (expected, true), "{filter}");
        }
    }

    #[test]
    fn members_are_asked_for_by_name() {
        let asked = |filter: &str| Asked::of(&resolve(filter));
        let named = Asked { people: BTreeSet::from([U.parse().unwrap()]), anybody: false };
        assert_eq!(asked(&format!("not (members eq \"{U}\")")), Ok(named));
        let gated = format!("members[value eq \"{U}\" and display sw \"j\"]");
        assert_eq!(asked(&gated).unwrap().people.len(), 1);
        assert!(asked("members pr").unwrap().anybody);
        assert_eq!(asked("displayName co \"x\""), Ok(Asked::default()));
        for filter in [
            "members ne \"x\"",
            "members.display eq \"x\"",
            "members co \"x\"",
            "members[type eq \"User\"]",
            "members[not (value eq \"x\")]",
            "displayName eq \"a\" or members[value eq \"x\" or type eq \"User\"]",
        ] {
            assert_eq!(asked(filter).unwrap_err().status, 400, "{filter}");
        }
    }
}
