//! People: the desired state, and the agenda of who is to be looked at.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::any::AnyRow;

use super::agenda::{Mark, rank};
use super::mappings::{joined_mapping, mapping_columns};
use super::query::Sql;
use super::row::{Row, micros, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{PersonId, TenantId};
use crate::model::address::Address;
use crate::model::mapping::{Mapping, Status};
use crate::model::operation::{Lane, Operation};
use crate::model::person::{Person, key_of};

/// Everything stored about one person that a plan needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The person, or their tombstone.
    pub person: Person,
    /// Their row of the mapping table, if the engine made one.
    pub mapping: Option<Mapping>,
    /// Operations whose outcome is open, oldest first.
    pub open: Vec<Operation>,
    /// How many times in a row the engine has tried in vain.
    pub attempts: u32,
    /// Since when the person waits to be looked at.
    pub due_at: Option<Timestamp>,
    /// The reasons to look that were there when this was read; [`Tx::schedule`] ticks off these and no later ones.
    pub mark: Mark,
}

/// The columns of `people AS p` that make a [`Person`].
macro_rules! person_columns {
    () => {
        "p.id, p.user_name, p.external_id, p.address, p.active, p.deleted_at, p.version, p.created_at, \
         p.modified_at, p.attributes"
    };
}
pub(super) use person_columns;

/// People and, where there is one, their row of the mapping table.
macro_rules! from_people_and_mappings {
    () => {
        " FROM people AS p LEFT JOIN mappings AS m ON m.tenant = p.tenant AND m.person = p.id "
    };
}
pub(super) use from_people_and_mappings;

pub(super) fn person(tenant: &TenantId, row: &AnyRow) -> Result<Person, StoreError> {
    let row = Row(row);
    let address = row.optional_text("address")?.map(|text| Address::parse(&text)).transpose();
    Ok(Person {
        tenant: tenant.clone(),
        id: row.parsed("id")?,
        user_name: row.text("user_name")?,
        external_id: row.optional_text("external_id")?,
        address: address.map_err(StoreError::broken)?,
        active: row.flag("active")?,
        deleted_at: row.optional_time("deleted_at")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        modified_at: row.time("modified_at")?,
        attributes: row.json("attributes")?,
    })
}

pub(super) fn person_and_mapping(
    tenant: &TenantId,
    row: &AnyRow,
) -> Result<(Person, Option<Mapping>), StoreError> {
    let person = person(tenant, row)?;
    let mapping = joined_mapping(tenant, person.id, row)?;
    Ok((person, mapping))
}

impl Reader {
    /// The live person with this id.
    pub async fn load_person(
        &mut self,
        tenant: &TenantId,
        id: PersonId,
    ) -> Result<Option<Person>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            person_columns!(),
            " FROM people AS p WHERE p.tenant = $1 AND p.id = $2 AND p.deleted_at IS NULL"
        );
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(id.to_string())).await?;
        row.map(|row| person(tenant, &row)).transpose()
    }

    /// The live person with their mapping row, as SCIM shows them.
    pub async fn load_person_and_mapping(
        &mut self,
        tenant: &TenantId,
        id: PersonId,
    ) -> Result<Option<(Person, Option<Mapping>)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            person_columns!(),
            ", ",
            mapping_columns!(),
            from_people_and_mappings!(),
            "WHERE p.tenant = $1 AND p.id = $2 AND p.deleted_at IS NULL"
        );
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(id.to_string())).await?;
        row.map(|row| person_and_mapping(tenant, &row)).transpose()
    }

    /// Live people whose `userName` key or `externalId` equals one of these: whom a create may be about.
    pub async fn find_people(
        &mut self,
        tenant: &TenantId,
        user_name_key: &str,
        external_id: Option<&str>,
    ) -> Result<Vec<Person>, StoreError> {
        // Two questions with an index each; an OR would leave the choice of index to luck.
        const SQL: &str = concat!(
            "SELECT ",
            person_columns!(),
            " FROM people AS p WHERE p.tenant = $1 AND p.id IN (
                SELECT id FROM people WHERE tenant = $1 AND deleted_at IS NULL AND user_name_key = $2
                UNION
                SELECT id FROM people WHERE tenant = $1 AND deleted_at IS NULL AND external_id = $3)
              ORDER BY p.id"
        );
        let rows =
            self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(user_name_key).bind(external_id)).await?;
        rows.iter().map(|row| person(tenant, row)).collect()
    }

    /// Live people with this address key, in no order: asked for one, SQLite would rather walk over everybody in that
    /// order than look the address up.
    pub async fn find_people_by_address(
        &mut self,
        tenant: &TenantId,
        address_key: &str,
    ) -> Result<Vec<Person>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            person_columns!(),
            " FROM people AS p
              WHERE p.tenant = $1 AND p.address_key = $2 AND p.deleted_at IS NULL"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(address_key)).await?;
        rows.iter().map(|row| person(tenant, row)).collect()
    }

    /// What a plan needs to know of a person or tombstone.
    pub async fn load_work(&mut self, tenant: &TenantId, id: PersonId) -> Result<Option<Work>, StoreError> {
        const SQL: &str = concat!(
            "SELECT p.due_at, p.attempts, p.mark, ",
            person_columns!(),
            ", ",
            mapping_columns!(),
            from_people_and_mappings!(),
            "WHERE p.tenant = $1 AND p.id = $2"
        );
        let Some(row) = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(id.to_string())).await?
        else {
            return Ok(None);
        };
        let (person, mapping) = person_and_mapping(tenant, &row)?;
        let open = self.open_operations(tenant, id).await?;
        let row = Row(&row);
        Ok(Some(Work {
            person,
            mapping,
            open,
            attempts: u32::try_from(row.int("attempts")?).map_err(StoreError::broken)?,
            due_at: row.optional_time("due_at")?,
            mark: Mark::new(row.int("mark")?),
        }))
    }

    /// How many live people stand in each status; a status that nobody has is left out.
    pub async fn count_by_status(&mut self, tenant: &TenantId) -> Result<Vec<(Status, i64)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT COALESCE(m.status, 'pending') AS status, COUNT(*) AS count",
            from_people_and_mappings!(),
            "WHERE p.tenant = $1 AND p.deleted_at IS NULL GROUP BY COALESCE(m.status, 'pending')"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        let mut counts = rows
            .iter()
            .map(|row| Ok((Row(row).parsed("status")?, Row(row).int("count")?)))
            .collect::<Result<Vec<(Status, i64)>, StoreError>>()?;
        counts.sort_unstable();
        Ok(counts)
    }

    /// The person with this id, or their tombstone.
    pub(super) async fn load_person_or_tombstone(
        &mut self,
        tenant: &TenantId,
        id: PersonId,
    ) -> Result<Option<Person>, StoreError> {
        let mut sql = Sql::new("SELECT ");
        sql.push(person_columns!()).push(" FROM people AS p WHERE p.tenant = ").text(tenant.as_str());
        sql.push(" AND p.id = ").text(id.to_string());
        let row = self.fetch_optional(sql.statement()).await?;
        row.map(|row| person(tenant, &row)).transpose()
    }
}

impl Tx {
    /// Adds a person and makes them due at once in `lane`. `Taken` when the `userName` is in use.
    pub async fn insert_person(&mut self, person: &Person, lane: Lane) -> Result<(), StoreError> {
        let now = self.now();
        self.insert_person_due(person, Some(now), lane).await
    }

    pub(super) async fn insert_person_due(
        &mut self,
        person: &Person,
        due_at: Option<Timestamp>,
        lane: Lane,
    ) -> Result<(), StoreError> {
        let keys = Keys::of(person);
        self.execute(
            sql(
                "INSERT INTO people (tenant, id, user_name, user_name_key, external_id, address, address_key,
                                     display_name_key, active, deleted_at, version, created_at, modified_at,
                                     attributes, due_at, lane, attempts, mark)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, 1)",
            )
            .bind(person.tenant.as_str())
            .bind(person.id.to_string())
            .bind(&*person.user_name)
            .bind(person.user_name_key())
            .bind(person.external_id.as_deref())
            .bind(person.address.as_ref().map(Address::as_str))
            .bind(keys.address)
            .bind(keys.display_name)
            .bind(i64::from(person.active))
            .bind(micros(person.deleted_at))
            .bind(person.version)
            .bind(person.created_at.as_microsecond())
            .bind(person.modified_at.as_microsecond())
            .bind(to_json(&person.attributes)?)
            .bind(micros(due_at))
            .bind(rank(lane)),
        )
        .await?;
        self.insert_other_emails(person, keys.other_emails).await
    }

    /// Writes a changed person (also one that became a tombstone) and makes them due at once in `lane`.
    ///
    /// A person who waits already keeps their place, and the more urgent of the two lanes: a deactivation that is
    /// being retried must not fall behind because a name changed.
    ///
    /// `Stale` unless the stored version is `previous_version`; `Taken` when the `userName` is in use.
    pub async fn update_person(
        &mut self,
        person: &Person,
        previous_version: i64,
        lane: Lane,
    ) -> Result<(), StoreError> {
        let keys = Keys::of(person);
        let now = self.now();
        self.execute_or_stale(
            sql("UPDATE people SET user_name = $4, user_name_key = $5, external_id = $6, address = $7,
                        address_key = $8, display_name_key = $9, active = $10, deleted_at = $11, version = $12,
                        modified_at = $13, attributes = $14,
                        due_at = CASE WHEN due_at <= $15 THEN due_at ELSE $15 END,
                        lane = CASE WHEN due_at IS NOT NULL AND lane < $16 THEN lane ELSE $16 END,
                        attempts = 0, mark = mark + 1
                 WHERE tenant = $1 AND id = $2 AND version = $3")
            .bind(person.tenant.as_str())
            .bind(person.id.to_string())
            .bind(previous_version)
            .bind(&*person.user_name)
            .bind(person.user_name_key())
            .bind(person.external_id.as_deref())
            .bind(person.address.as_ref().map(Address::as_str))
            .bind(keys.address)
            .bind(keys.display_name)
            .bind(i64::from(person.active))
            .bind(micros(person.deleted_at))
            .bind(person.version)
            .bind(person.modified_at.as_microsecond())
            .bind(to_json(&person.attributes)?)
            .bind(now.as_microsecond())
            .bind(rank(lane)),
        )
        .await?;
        self.execute(
            sql("DELETE FROM person_emails WHERE tenant = $1 AND person = $2")
                .bind(person.tenant.as_str())
                .bind(person.id.to_string()),
        )
        .await?;
        self.insert_other_emails(person, keys.other_emails).await
    }

    /// Removes a person without a trace: only for a create that OpenAI refused before it was acknowledged.
    ///
    /// `Stale` when the person was written after `version`, or has an operation whose outcome is open.
    pub async fn erase_person(
        &mut self,
        tenant: &TenantId,
        id: PersonId,
        version: i64,
    ) -> Result<(), StoreError> {
        // Mapping, operations and e-mail values go with the person.
        self.execute_or_stale(
            sql("DELETE FROM people WHERE tenant = $1 AND id = $2 AND version = $3
                 AND NOT EXISTS (SELECT 1 FROM operations AS o WHERE o.tenant = $1 AND o.person = $2
                                 AND o.state IN ('sending', 'unknown'))")
            .bind(tenant.as_str())
            .bind(id.to_string())
            .bind(version),
        )
        .await
    }

    async fn insert_other_emails(
        &mut self,
        person: &Person,
        emails: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        for email in emails {
            self.execute(
                sql("INSERT INTO person_emails (tenant, person, email_key) VALUES ($1, $2, $3)")
                    .bind(person.tenant.as_str())
                    .bind(person.id.to_string())
                    .bind(email),
            )
            .await?;
        }
        Ok(())
    }
}

/// What a person is looked up by, besides the plain columns.
struct Keys {
    address: Option<String>,
    display_name: Option<String>,
    /// E-mail values beside the address.
    other_emails: BTreeSet<String>,
}

impl Keys {
    fn of(person: &Person) -> Self {
        let address = person.address.as_ref().map(Address::key);
        let display_name = person.attributes.get("displayName").and_then(Value::as_str).map(key_of);
        let emails = person.attributes.get("emails").and_then(Value::as_array);
        let other_emails = emails
            .into_iter()
            .flatten()
            .filter_map(|email| email.get("value").and_then(Value::as_str).map(key_of))
            .filter(|key| Some(key) != address.as_ref())
            .collect();
        Self { address, display_name, other_emails }
    }
}
