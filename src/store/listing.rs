//! Lists of people: counted, page by page, and on from a place.

use sqlx::any::AnyRow;

use super::mappings::mapping_columns;
use super::people::{from_people_and_mappings, person_and_mapping, person_columns};
use super::query::{Condition, Sql};
use super::row::Row;
use super::sequence::{Sequence, Spot, Stretch, Table};
use super::{Reader, StoreError};
use crate::ids::TenantId;
use crate::model::mapping::Mapping;
use crate::model::person::Person;

const SELECT_PEOPLE_AND_MAPPINGS: &str =
    concat!("SELECT ", person_columns!(), ", ", mapping_columns!(), from_people_and_mappings!());

fn count(tenant: &TenantId, condition: &Condition) -> Sql {
    let mut sql = Sql::new("SELECT COUNT(*) AS count FROM people AS p WHERE p.tenant = ");
    sql.text(tenant.as_str()).push(" AND p.deleted_at IS NULL AND ").condition(tenant, condition);
    sql
}

/// A part of an order, skipping `skip`.
fn page(
    tenant: &TenantId,
    condition: &Condition,
    sequence: Sequence,
    stretch: Stretch<'_>,
    skip: i64,
    limit: i64,
) -> Sql {
    // What is skipped is skipped in the index: the inner question needs no row of the table.
    let mut sql = Sql::new(SELECT_PEOPLE_AND_MAPPINGS);
    sql.push("WHERE p.tenant = ").text(tenant.as_str());
    sql.push(" AND p.id IN (SELECT p.id FROM people AS p WHERE p.tenant = ").text(tenant.as_str());
    sql.push(" AND p.deleted_at IS NULL").within(Table::People, sequence, stretch);
    sql.push(" AND ").condition(tenant, condition).in_order_within(Table::People, sequence, stretch);
    sql.push(" LIMIT ").int(limit).push(" OFFSET ").int(skip);
    sql.push(")").in_order_within(Table::People, sequence, stretch);
    sql
}

/// How many there are in a part of an order.
fn count_within(tenant: &TenantId, condition: &Condition, sequence: Sequence, stretch: Stretch<'_>) -> Sql {
    let mut sql = count(tenant, condition);
    sql.within(Table::People, sequence, stretch);
    sql
}

fn scan(
    tenant: &TenantId,
    condition: &Condition,
    sequence: Sequence,
    stretch: Stretch<'_>,
    limit: i64,
) -> Sql {
    let mut sql = Sql::new(SELECT_PEOPLE_AND_MAPPINGS);
    sql.push("WHERE p.tenant = ").text(tenant.as_str()).push(" AND p.deleted_at IS NULL");
    sql.within(Table::People, sequence, stretch);
    sql.push(" AND ").condition(tenant, condition);
    sql.in_order_within(Table::People, sequence, stretch).push(" LIMIT ").int(limit);
    sql
}

impl Reader {
    /// How many live people meet the condition.
    pub async fn count_people(
        &mut self,
        tenant: &TenantId,
        condition: &Condition,
    ) -> Result<i64, StoreError> {
        let row = self.fetch_one(count(tenant, condition).statement()).await?;
        Row(&row).int("count")
    }

    /// The live people who meet the condition, in this order, skipping `offset`, at most `limit`.
    pub async fn page_people(
        &mut self,
        tenant: &TenantId,
        condition: &Condition,
        sequence: Sequence,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<(Person, Option<Mapping>)>, StoreError> {
        let part =
            |stretch: Stretch<'_>, skip, limit| page(tenant, condition, sequence, stretch, skip, limit);
        let count = |stretch: Stretch<'_>| count_within(tenant, condition, sequence, stretch);
        people_and_mappings(tenant, &self.page(sequence, offset, limit, part, count).await?)
    }

    /// The next live people after `after` who meet the condition, in this order, at most `limit`. Costs the same
    /// wherever it begins.
    pub async fn scan_people(
        &mut self,
        tenant: &TenantId,
        condition: &Condition,
        sequence: Sequence,
        after: Option<&Spot>,
        limit: usize,
    ) -> Result<Vec<(Person, Option<Mapping>)>, StoreError> {
        let part = |stretch: Stretch<'_>, limit| scan(tenant, condition, sequence, stretch, limit);
        people_and_mappings(tenant, &self.scan(sequence, after, limit, part).await?)
    }
}

fn people_and_mappings(
    tenant: &TenantId,
    rows: &[AnyRow],
) -> Result<Vec<(Person, Option<Mapping>)>, StoreError> {
    rows.iter().map(|row| person_and_mapping(tenant, row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::ids::PersonId;
    use crate::store::{Column, Key, Store};

    /// How SQLite would answer these.
    async fn plan<const N: usize>(reader: &mut Reader, statements: [Sql; N]) -> String {
        let mut plan = String::new();
        for sql in statements {
            for row in reader.fetch_all(sql.explained()).await.unwrap() {
                plan.push_str(&Row(&row).text("detail").unwrap());
                plan.push('\n');
            }
        }
        plan
    }

    #[tokio::test]
    async fn a_look_up_reads_no_more_in_a_large_directory() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let url = format!("sqlite://{}", folder.path().join("bridge.db").display());
        let store = Store::open(&url, clock.clone()).await.unwrap();
        let (tenant, text) = (TenantId::default_tenant(), "x".to_owned());
        let mut reader = store.reader().await.unwrap();

        for condition in [
            Condition::IdEq(PersonId::new(&clock)),
            Condition::UserNameEq(text.clone()),
            Condition::UserNameStartsWith(text.clone()),
            Condition::ExternalIdEq(text.clone()),
            Condition::EmailEq(text.clone()),
            Condition::DisplayNameEq(text.clone()),
            Condition::UserIdEq("x".into()),
            Condition::InviteIdEq("x".into()),
            Condition::Or(vec![Condition::UserNameEq(text.clone()), Condition::ExternalIdEq(text.clone())]),
            Condition::And(vec![Condition::UserNameEq(text.clone()), Condition::Active(true)]),
        ] {
            let all = Stretch::All(None);
            let statements =
                [count(&tenant, &condition), page(&tenant, &condition, Sequence::default(), all, 0, 10)];
            let plan = plan(&mut reader, statements).await;
            let by_tenant_alone = plan.contains("(tenant=?)") || plan.contains("SCAN");
            assert!(!by_tenant_alone, "{condition:?}:\n{plan}");
        }
        for condition in [Condition::All, Condition::Active(true)] {
            let all = Stretch::All(None);
            let statements =
                [count(&tenant, &condition), page(&tenant, &condition, Sequence::default(), all, 50_000, 10)];
            let plan = plan(&mut reader, statements).await;
            assert_eq!(plan.matches("COVERING INDEX people_live (tenant=?)").count(), 2, "{plan}");
        }
    }

    #[tokio::test]
    async fn a_page_costs_the_same_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let url = format!("sqlite://{}", folder.path().join("bridge.db").display());
        let store = Store::open(&url, clock.clone()).await.unwrap();
        let tenant = TenantId::default_tenant();
        let mut reader = store.reader().await.unwrap();
        let id = PersonId::new(&clock).to_string();
        for (column, index) in [
            (Column::Id, "sqlite_autoindex_people_1"),
            (Column::Name, "people_user_name"),
            (Column::DisplayName, "people_display_name"),
            (Column::ExternalId, "people_external_id"),
            (Column::Modified, "people_modified"),
            (Column::Created, "people_created"),
        ] {
            let key = match column {
                Column::Id => None,
                Column::Modified | Column::Created => Some(Key::Time(clock.now())),
                _ => Some(Key::Text("m".to_owned())),
            };
            let spot = Spot { key, id: id.clone() };
            for sequence in [Sequence::by(column), Sequence::by(column).reversed()] {
                for condition in [Condition::All, Condition::Active(true)] {
                    let stretches = sequence.stretches(Some(&spot));
                    let sql = scan(&tenant, &condition, sequence, stretches[0], 10);
                    let plan = plan(&mut reader, [sql]).await;
                    // The index gives the order and the place to begin.
                    let begins = if column == Column::Id { "id" } else { "" };
                    assert!(
                        plan.contains(&format!("{index} (tenant=? AND {begins}")),
                        "{sequence:?}:\n{plan}"
                    );
                    assert!(!plan.contains("B-TREE"), "{sequence:?}:\n{plan}");
                }
            }
        }
        for column in [Column::DisplayName, Column::ExternalId, Column::Modified, Column::Created] {
            for sequence in [Sequence::by(column), Sequence::by(column).reversed()] {
                for stretch in sequence.stretches(None) {
                    let condition = Condition::Active(true);
                    let skipped = page(&tenant, &condition, sequence, stretch, 50_000, 10);
                    let counted = count_within(&tenant, &condition, sequence, stretch);
                    let plan = plan(&mut reader, [skipped, counted]).await;
                    // What is passed over is passed over in the index; only the page itself is sorted.
                    assert_eq!(plan.matches("COVERING INDEX people_").count(), 2, "{sequence:?}:\n{plan}");
                    assert!(plan.matches("B-TREE").count() <= 1, "{sequence:?}:\n{plan}");
                }
            }
        }
        for (column, index) in
            [(Column::DisplayName, "people_no_display_name"), (Column::ExternalId, "people_no_external_id")]
        {
            let spot = Spot { key: None, id: id.clone() };
            for sequence in [Sequence::by(column), Sequence::by(column).reversed()] {
                let stretches = sequence.stretches(Some(&spot));
                let plan =
                    plan(&mut reader, [scan(&tenant, &Condition::All, sequence, stretches[0], 10)]).await;
                assert!(plan.contains(&format!("{index} (tenant=? AND id")), "{sequence:?}:\n{plan}");
                assert!(!plan.contains("B-TREE"), "{sequence:?}:\n{plan}");
            }
        }
    }
}
