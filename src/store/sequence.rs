//! The orders in which rows are read, and reading on from a place in one: the cost of a page does not grow with its
//! depth.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::query::Sql;
use super::row::Row;
use super::{Reader, StoreError};

/// What rows are sorted by. Texts are in the order of their code points, and an empty one is no value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Column {
    /// The id alone, which is the order of making.
    #[default]
    Id,
    /// The key of the name that no two have: `userName` of people, `displayName` of groups.
    Name,
    /// The key of `displayName`.
    DisplayName,
    /// `externalId`.
    ExternalId,
    /// `meta.created`. People are not indexed by it.
    Created,
    /// `meta.lastModified`.
    Modified,
}

/// An order of rows: by a column, then by id. Rows without a value are last, and the descending order is the exact
/// reverse of the ascending one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequence {
    /// What is compared first.
    pub by: Column,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Sequence {
    /// By this column, the least first.
    pub fn by(column: Column) -> Self {
        Self { by: column, descending: false }
    }

    /// The other way round.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }
}

/// A place in a sequence. The row that it was taken from may be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The value in the sequence's column; `None` if the row has none, or the column is the id.
    pub key: Option<Key>,
    /// The id.
    pub id: String,
}

/// A value that rows are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Of a text column, in the form in which it is compared.
    Text(String),
    /// Of a time.
    Time(Timestamp),
}

/// A part of a sequence that one index reads from a place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch<'a> {
    /// The rows with a value.
    Valued(Option<(&'a Key, &'a str)>),
    /// The rows without one, by id.
    Bare(Option<&'a str>),
    /// All rows, by id.
    All(Option<&'a str>),
}

impl Sequence {
    /// What follows `after`, part by part.
    pub(super) fn stretches(self, after: Option<&Spot>) -> Vec<Stretch<'_>> {
        let id = after.map(|spot| spot.id.as_str());
        if self.by == Column::Id {
            return vec![Stretch::All(id)];
        }
        let valued = Stretch::Valued(after.and_then(|spot| Some((spot.key.as_ref()?, &*spot.id))));
        if !self.by.may_be_absent() {
            return vec![valued];
        }
        let is_bare = after.map(|spot| spot.key.is_none());
        match (self.descending, is_bare) {
            (false, Some(true)) => vec![Stretch::Bare(id)],
            (false, _) => vec![valued, Stretch::Bare(None)],
            (true, Some(false)) => vec![valued],
            (true, _) => vec![Stretch::Bare(id), Stretch::Valued(None)],
        }
    }
}

impl Reader {
    /// The rows of a sequence behind the first `offset`, at most `limit`. `part` asks for rows of a part, skipping some;
    /// `count` asks how many it has.
    pub(super) async fn page(
        &mut self,
        sequence: Sequence,
        offset: i64,
        limit: i64,
        part: impl Fn(Stretch<'_>, i64, i64) -> Sql,
        count: impl Fn(Stretch<'_>) -> Sql,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let (mut skip, mut left, mut found) = (offset.max(0), limit, Vec::new());
        for stretch in sequence.stretches(None) {
            if left <= 0 {
                break;
            }
            let rows = self.fetch_all(part(stretch, skip, left).statement()).await?;
            if rows.is_empty() && skip > 0 {
                let passed = self.fetch_one(count(stretch).statement()).await?;
                skip = skip.saturating_sub(Row(&passed).int("count")?).max(0);
            } else {
                skip = 0;
            }
            left = left.saturating_sub(to_limit(rows.len()));
            found.extend(rows);
        }
        Ok(found)
    }

    /// The next rows of a sequence after a place, at most `limit`. `part` asks for rows of a part.
    pub(super) async fn scan(
        &mut self,
        sequence: Sequence,
        after: Option<&Spot>,
        limit: usize,
        part: impl Fn(Stretch<'_>, i64) -> Sql,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut found = Vec::new();
        for stretch in sequence.stretches(after) {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            found.extend(self.fetch_all(part(stretch, to_limit(left)).statement()).await?);
        }
        Ok(found)
    }
}

/// A number of rows as the databases take it.
fn to_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl Column {
    fn may_be_absent(self) -> bool {
        matches!(self, Self::DisplayName | Self::ExternalId)
    }
}

/// The two tables that are read in sequences, by the name they go by in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// `people AS p`
    People,
    /// `groups AS g`
    Groups,
}

impl Table {
    fn id(self) -> &'static str {
        match self {
            Self::People => "p.id",
            Self::Groups => "g.id",
        }
    }

    fn column(self, column: Column) -> &'static str {
        match (self, column) {
            (_, Column::Id) => self.id(),
            (Self::People, Column::Name) => "p.user_name_key",
            (Self::People, Column::DisplayName) => "p.display_name_key",
            (Self::People, Column::ExternalId) => "p.external_id",
            (Self::People, Column::Created) => "p.created_at",
            (Self::People, Column::Modified) => "p.modified_at",
            (Self::Groups, Column::Name | Column::DisplayName) => "g.display_name_key",
            (Self::Groups, Column::ExternalId) => "g.external_id",
            (Self::Groups, Column::Created) => "g.created_at",
            (Self::Groups, Column::Modified) => "g.modified_at",
        }
    }
}

impl Sql {
    /// Appends the conditions that make a part of the sequence.
    pub(super) fn within(&mut self, table: Table, sequence: Sequence, stretch: Stretch<'_>) -> &mut Self {
        let (column, id) = (table.column(sequence.by), table.id());
        let beyond = if sequence.descending { " < " } else { " > " };
        let after = match stretch {
            Stretch::Valued(after) => {
                if sequence.by.may_be_absent() {
                    self.push(" AND ").push(column).push(" > ''");
                }
                if let Some((key, after)) = after {
                    self.push(" AND (").push(column).push(", ").push(id).push(")").push(beyond).push("(");
                    match key {
                        Key::Text(text) => self.text(text),
                        Key::Time(time) => self.int(time.as_microsecond()),
                    };
                    self.push(", ").text(after).push(")");
                }
                None
            }
            Stretch::Bare(after) => {
                self.push(" AND (").push(column).push(" IS NULL OR ").push(column).push(" = '')");
                after
            }
            Stretch::All(after) => after,
        };
        if let Some(after) = after {
            self.push(" AND ").push(id).push(beyond).text(after);
        }
        self
    }

    /// Appends the order of a part of the sequence.
    pub(super) fn in_order_within(
        &mut self,
        table: Table,
        sequence: Sequence,
        stretch: Stretch<'_>,
    ) -> &mut Self {
        let direction = if sequence.descending { " DESC" } else { "" };
        self.push(" ORDER BY ");
        if matches!(stretch, Stretch::Valued(_)) {
            self.push(table.column(sequence.by)).push(direction).push(", ");
        }
        self.push(table.id()).push(direction)
    }
}
