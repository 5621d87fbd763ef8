//! The mapping table as a file: one flat record per person, written and read back without loss.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{MappingRow, StoreError, Tx};
use crate::ids::{InviteId, PersonId, TenantId, UserId};
use crate::model::address::Address;
use crate::model::grant::{Assignment, OrgRole, ProjectGrant};
use crate::model::mapping::{Mapping, Origin, Status};
use crate::model::operation::Lane;
use crate::model::person::Person;
use crate::model::upkeep::Upkeep;

/// A row of the mapping table with the person it belongs to. In JSON, what is absent is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingRecord {
    /// The SCIM id.
    pub scim_id: PersonId,
    /// `userName`.
    pub user_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// What the identity provider asked for.
    pub active: bool,
    /// The address the identity provider wishes.
    pub email: Option<String>,
    /// The version of the resource.
    pub version: i64,
    /// When the resource was made.
    #[serde(with = "instant")]
    pub created_at: Timestamp,
    /// When the resource last changed.
    #[serde(with = "instant")]
    pub modified_at: Timestamp,
    /// When the resource was deleted.
    #[serde(with = "optional_instant")]
    pub deleted_at: Option<Timestamp>,
    /// Where the person stands.
    pub status: Status,
    /// Why.
    pub status_reason: Option<String>,
    /// How the tie came about.
    pub origin: Origin,
    /// The address that is bound upstream.
    pub bound_email: Option<String>,
    /// The invite.
    pub invite_id: Option<InviteId>,
    /// When the invite runs out.
    #[serde(with = "optional_instant")]
    pub invite_expires_at: Option<Timestamp>,
    /// The member.
    pub user_id: Option<UserId>,
    /// The member of before.
    pub former_user_id: Option<UserId>,
    /// The role last seen upstream.
    pub effective_role: Option<OrgRole>,
    /// The projects last seen upstream.
    pub effective_projects: Vec<ProjectGrant>,
    /// The OpenAI groups and custom roles last seen upstream. Files of before these were kept do not have them.
    #[serde(default)]
    pub effective_assignments: Vec<Assignment>,
    /// When the upstream side was last confirmed.
    #[serde(with = "optional_instant")]
    pub last_synced_at: Option<Timestamp>,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file has not the columns it should have.
    #[error("the columns must be {known}; found {0}", known = MappingRecord::COLUMNS.join(","))]
    Columns(String),
    /// A field does not hold what its column demands.
    #[error("{0}")]
    Field(String),
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// The person was not known and was added.
    Added,
    /// The person was known; their mapping row was written.
    Updated,
    /// Everything was there already.
    Unchanged,
}

/// Why a record was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The record contradicts what is stored, or itself; nothing of it was imported.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&MappingRow> for MappingRecord {
    fn from(MappingRow { person, mapping }: &MappingRow) -> Self {
        Self {
            scim_id: person.id,
            user_name: person.user_name.clone(),
            external_id: person.external_id.clone(),
            active: person.active,
            email: person.address.as_ref().map(Address::to_string),
            version: person.version,
            created_at: person.created_at,
            modified_at: person.modified_at,
            deleted_at: person.deleted_at,
            status: mapping.status,
            status_reason: mapping.status_reason.clone(),
            origin: mapping.origin,
            bound_email: mapping.address.as_ref().map(Address::to_string),
            invite_id: mapping.invite_id.clone(),
            invite_expires_at: mapping.invite_expires_at,
            user_id: mapping.user_id.clone(),
            former_user_id: mapping.former_user_id.clone(),
            effective_role: mapping.effective_role,
            effective_projects: mapping.effective_projects.clone(),
            effective_assignments: mapping.effective_assignments.clone(),
            last_synced_at: mapping.last_synced_at,
        }
    }
}

impl MappingRecord {
    /// The columns of the table form, in order.
    pub const COLUMNS: [&'static str; 21] = [
        "scim_id",
        "user_name",
        "external_id",
        "active",
        "email",
        "version",
        "created_at",
        "modified_at",
        "deleted_at",
        "status",
        "status_reason",
        "origin",
        "bound_email",
        "invite_id",
        "invite_expires_at",
        "user_id",
        "former_user_id",
        "effective_role",
        "effective_projects",
        "effective_assignments",
        "last_synced_at",
    ];

    /// The columns whose fields are JSON.
    const JSON_COLUMNS: [&'static str; 4] =
        ["active", "version", "effective_projects", "effective_assignments"];

    /// The columns that files written by older versions lack.
    const LATER_COLUMNS: [&'static str; 1] = ["effective_assignments"];

    /// The fields of the table form, in the order of [`Self::COLUMNS`].
    ///
    /// What is absent is an empty field. A text that is empty, or begins with a quotation mark, is written as a JSON
    /// string, so that the two stay apart.
    pub fn to_fields(&self) -> Result<Vec<String>, RecordError> {
        let value = serde_json::to_value(self).map_err(|error| RecordError::Field(error.to_string()))?;
        Ok(Self::COLUMNS
            .iter()
            .map(|column| match value.get(column) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) if !text.is_empty() && !text.starts_with('"') => text.clone(),
                Some(other) => other.to_string(),
            })
            .collect())
    }

    /// Reads the table form back; `columns` is the file's first line, in any order but complete as far as the version
    /// that wrote it went.
    pub fn from_fields<'f>(
        columns: &[&str],
        fields: impl IntoIterator<Item = &'f str>,
    ) -> Result<Self, RecordError> {
        let given: BTreeSet<_> = columns.iter().collect();
        let mut missing = Self::COLUMNS.iter().filter(|known| !given.contains(known));
        let is_complete = missing.all(|known| Self::LATER_COLUMNS.contains(known));
        let is_known =
            given.len() == columns.len() && columns.iter().all(|name| Self::COLUMNS.contains(name));
        if !is_complete || !is_known {
            return Err(RecordError::Columns(columns.join(",")));
        }
        let mut object = Map::new();
        for (column, field) in columns.iter().zip(fields) {
            let value = if field.is_empty() {
                Value::Null
            } else if field.starts_with('"') || Self::JSON_COLUMNS.contains(column) {
                serde_json::from_str(field).map_err(|_malformed| {
                    RecordError::Field(format!("`{field}` in column {column} is not JSON"))
                })?
            } else {
                Value::String(field.to_owned())
            };
            object.insert((*column).to_owned(), value);
        }
        serde_json::from_value(Value::Object(object)).map_err(|error| RecordError::Field(error.to_string()))
    }

    fn mapping(&self, tenant: &TenantId) -> Result<Mapping, ImportError> {
        Ok(Mapping {
            tenant: tenant.clone(),
            person: self.scim_id,
            address: self.address("bound_email", self.bound_email.as_deref())?,
            origin: self.origin,
            invite_id: self.invite_id.clone(),
            invite_expires_at: self.invite_expires_at,
            user_id: self.user_id.clone(),
            former_user_id: self.former_user_id.clone(),
            status: self.status,
            status_reason: self.status_reason.clone(),
            effective_role: self.effective_role,
            effective_projects: self.effective_projects.clone(),
            effective_assignments: self.effective_assignments.clone(),
            last_synced_at: self.last_synced_at,
            upkeep: Upkeep::default(),
        })
    }

    fn person(&self, tenant: &TenantId) -> Result<Person, ImportError> {
        let mut attributes = Map::new();
        if self.deleted_at.is_none() {
            attributes.insert("userName".to_owned(), json!(self.user_name));
            if let Some(id) = &self.external_id {
                attributes.insert("externalId".to_owned(), json!(id));
            }
            attributes.insert("active".to_owned(), json!(self.active));
            if let Some(email) = &self.email {
                attributes.insert(
                    "emails".to_owned(),
                    json!([{ "value": email, "type": "work", "primary": true }]),
                );
            }
        }
        Ok(Person {
            tenant: tenant.clone(),
            id: self.scim_id,
            user_name: self.user_name.clone(),
            external_id: self.external_id.clone(),
            address: self.address("email", self.email.as_deref())?,
            active: self.active,
            deleted_at: self.deleted_at,
            version: self.version,
            created_at: self.created_at,
            modified_at: self.modified_at,
            attributes,
        })
    }

    fn address(&self, column: &str, text: Option<&str>) -> Result<Option<Address>, ImportError> {
        text.map(Address::parse)
            .transpose()
            .map_err(|error| ImportError::Refused(format!("SCIM id {}: {column} is {error}", self.scim_id)))
    }
}

impl Tx {
    /// Puts a record into the database: adds the person if the SCIM id is unknown, otherwise writes their mapping
    /// row and leaves what the identity provider wishes as it is.
    ///
    /// Makes nobody due: an import by itself causes no upstream call.
    ///
    /// # Errors
    ///
    /// `Refused` when the `userName`, invite or member of the record belongs to another person here; the message
    /// names them.
    pub async fn import_mapping(
        &mut self,
        tenant: &TenantId,
        record: &MappingRecord,
    ) -> Result<Imported, ImportError> {
        let mut mapping = record.mapping(tenant)?;
        self.refuse_stolen(tenant, record).await?;
        let Some(person) = self.load_person_or_tombstone(tenant, record.scim_id).await? else {
            let person = record.person(tenant)?;
            if person.deleted_at.is_none() {
                let holder = self.find_people(tenant, &person.user_name_key(), None).await?;
                if let Some(holder) = holder.first() {
                    return Err(refused(record, "the userName", holder.id));
                }
            }
            self.insert_person_due(&person, None, Lane::Read).await?;
            self.save_mapping(&mapping).await?;
            return Ok(Imported::Added);
        };
        let stored = self.load_work(tenant, person.id).await?.and_then(|work| work.mapping);
        let stored = stored.unwrap_or_else(|| Mapping::new(tenant.clone(), person.id));
        mapping.upkeep = stored.upkeep.clone();
        if stored == mapping {
            return Ok(Imported::Unchanged);
        }
        self.save_mapping(&mapping).await?;
        Ok(Imported::Updated)
    }

    async fn refuse_stolen(&mut self, tenant: &TenantId, record: &MappingRecord) -> Result<(), ImportError> {
        if let Some(invite) = &record.invite_id
            && let Some(holder) = self.invite_bound_to_other(tenant, invite, record.scim_id).await?
        {
            return Err(refused(record, &format!("invite {invite}"), holder));
        }
        if let Some(user) = &record.user_id
            && let Some(holder) = self.bound_to_other(tenant, user, record.scim_id).await?
        {
            return Err(refused(record, &format!("OpenAI user {user}"), holder));
        }
        Ok(())
    }
}

fn refused(record: &MappingRecord, what: &str, holder: PersonId) -> ImportError {
    ImportError::Refused(format!("SCIM id {}: {what} belongs to SCIM id {holder} here", record.scim_id))
}

/// An instant as RFC 3339 with microseconds, always of the same length.
mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.6}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_malformed| D::Error::custom(format_args!("`{text}` is not an RFC 3339 date")))
    }
}

/// The same for an instant that may be absent.
mod optional_instant {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::instant::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| {
                text.parse()
                    .map_err(|_malformed| D::Error::custom(format_args!("`{text}` is not an RFC 3339 date")))
            })
            .transpose()
    }
}
