//! Looking groups up. No filter ever needs a whole member list: it may ask for members by their id, and the database
//! tells which of those few are in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::compile::{Compiled, compile};
use super::super::list::{CHUNK, Found, Matches, window};
use super::super::{Caller, Directory, DirectoryError};
use super::{ShownGroup, render_member};
use crate::ids::{GroupId, PersonId};
use crate::model::group::Group;
use crate::model::scope::Scope;
use crate::scim::error::ScimError;
use crate::scim::filter::{Comparand, CompareOp, Field, ResolvedFilter};
use crate::scim::list::Page;
use crate::store::GroupCondition;

impl Directory {
    /// One page of the groups that satisfy the filter, in the order of their ids, which is that of their making.
    ///
    /// # Errors
    ///
    /// 400 `invalidFilter` for a question about members that does not say whom it is about.
    pub async fn list_groups(
        &self,
        caller: &Caller,
        filter: Option<ResolvedFilter>,
        page: Page,
    ) -> Result<Found<ShownGroup>, DirectoryError> {
        caller.require(Scope::GroupsRead)?;
        let asked = filter.as_ref().map(Asked::of).transpose()?.unwrap_or_default();
        let (condition, is_exact) = filter.as_ref().map_or((GroupCondition::All, true), compile);
        let Found { total, page: groups } = match filter.filter(|_| !is_exact) {
            None => self.page_groups(caller, &condition, page).await?,
            Some(filter) => self.scan_groups(caller, &condition, &filter, &asked, page).await?,
        };
        Ok(Found { total, page: groups.iter().map(|group| self.render_group(caller, group)).collect() })
    }

    /// The page of a condition that the database decides alone.
    async fn page_groups(
        &self,
        caller: &Caller,
        condition: &GroupCondition,
        page: Page,
    ) -> Result<Found<Group>, DirectoryError> {
        let mut reader = self.store.reader().await?;
        let total = reader.count_groups(&caller.tenant, condition).await?;
        let groups = match window(page, total) {
            Some((offset, limit)) => reader.page_groups(&caller.tenant, condition, offset, limit).await?,
            None => Vec::new(),
        };
        Ok(Found { total: total.unsigned_abs(), page: groups })
    }

    /// The page of a filter that has to be evaluated on each candidate; memory holds one chunk and the page.
    async fn scan_groups(
        &self,
        caller: &Caller,
        condition: &GroupCondition,
        filter: &ResolvedFilter,
        asked: &Asked,
        page: Page,
    ) -> Result<Found<Group>, DirectoryError> {
        let (mut matches, mut after) = (Matches::of(page), None);
        loop {
            let mut reader = self.store.reader().await?;
            let chunk = reader.scan_groups(&caller.tenant, condition, after, CHUNK).await?;
            drop(reader);
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { break };
            after = Some(last.id);
            let mut members = self.asked_members(caller, asked, (first.id, last.id)).await?;
            for group in chunk {
                let mut candidate = self.render_group(caller, &group).shown.resource;
                if let Some(members) = members.remove(&group.id) {
                    candidate.set("members", members);
                }
                if filter.matches(&candidate) {
                    matches.add(group);
                }
            }
        }
        Ok(matches.found)
    }

    /// As many members of the groups in this range as it takes to answer what is asked.
    async fn asked_members(
        &self,
        caller: &Caller,
        asked: &Asked,
        range: (GroupId, GroupId),
    ) -> Result<BTreeMap<GroupId, Vec<Value>>, DirectoryError> {
        let mut members: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let base = self.base_url(&caller.tenant);
        let mut reader = self.store.reader().await?;
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

/// What a filter wants to know about members.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Whether these are in.
    people: BTreeSet<PersonId>,
    /// Whether anybody is in.
    anybody: bool,
}

impl Asked {
    fn of(filter: &ResolvedFilter) -> Result<Self, ScimError> {
        let mut asked = Self::default();
        asked.read(filter)?;
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
    use super::super::super::group_type;
    use super::*;
    use crate::scim::filter::Filter;

    const G: &str = "00000000-0000-7000-8000-00000000000a";
    const U: &str = "00000000-0000-7000-8000-00000000000b";

    fn resolve(filter: &str) -> ResolvedFilter {
        Filter::parse(filter).unwrap().resolve(group_type()).unwrap()
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
            assert_eq!(compile(&resolve(&filter)), (expected, true), "{filter}");
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
