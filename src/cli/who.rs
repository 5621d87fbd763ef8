//! Whom a command is about, and on whose word it acts.

use anyhow::bail;
use clap::Args;

use super::Desk;
use crate::ids::TenantId;
use crate::model::audit::{Actor, AuditEntry};
use crate::model::group::Group;
use crate::model::person::key_of;
use crate::store::{GroupCondition, MappingFilter, MappingRow, Sequence};

/// Namesakes that are told of when somebody is not named unmistakably.
const MOST_NAMESAKES: i64 = 5;

/// Who says something, and why.
#[derive(Debug, Clone, Args)]
pub(super) struct Word {
    /// Why; kept with the person and in the audit trail
    #[arg(long, default_value = "")]
    pub(super) reason: String,
    /// Who says so; kept likewise
    #[arg(long, env = "USER", default_value = "somebody at the command line", hide_env_values = true)]
    pub(super) by: String,
}

/// The one person who is meant by a SCIM id, a userName, an e-mail address, an externalId, or the id of an invite or of
/// an OpenAI user.
pub(super) async fn find_person(desk: &Desk, tenant: &TenantId, text: &str) -> anyhow::Result<MappingRow> {
    let none = MappingFilter::default;
    let filters = [
        text.parse().ok().map(|id| MappingFilter { scim_id: Some(id), ..none() }),
        Some(MappingFilter { user_name: Some(text.to_owned()), ..none() }),
        Some(MappingFilter { email: Some(text.to_owned()), ..none() }),
        Some(MappingFilter { external_id: Some(text.to_owned()), ..none() }),
        Some(MappingFilter { user_id: Some(text.into()), ..none() }),
        Some(MappingFilter { invite_id: Some(text.into()), ..none() }),
    ];
    let mut reader = desk.store.reader().await?;
    for filter in filters.into_iter().flatten() {
        let mut found = reader.list_mappings(tenant, &filter, None, MOST_NAMESAKES).await?;
        if found.len() > 1 {
            // A user of today is meant rather than a deleted one of the same name.
            let is_live = |row: &MappingRow| row.person.deleted_at.is_none();
            if found.iter().filter(|row| is_live(row)).count() == 1 {
                found.retain(is_live);
            }
        }
        let ids: Vec<String> = found.iter().map(|row| row.person.id.to_string()).collect();
        match (found.pop(), found.is_empty()) {
            (Some(row), true) => return Ok(row),
            (Some(_), false) => bail!("`{text}` means several users; use the SCIM id: {}", ids.join(", ")),
            (None, _) => {}
        }
    }
    bail!("nobody is known by `{text}`; `scim-bridge mapping list` shows everybody")
}

/// The one group that is meant by a SCIM id, a displayName or an externalId.
pub(super) async fn find_group(desk: &Desk, tenant: &TenantId, text: &str) -> anyhow::Result<Group> {
    let conditions = [
        text.parse().ok().map(GroupCondition::IdEq),
        Some(GroupCondition::DisplayNameEq(key_of(text))),
        Some(GroupCondition::ExternalIdEq(text.to_owned())),
    ];
    let mut reader = desk.store.reader().await?;
    for condition in conditions.into_iter().flatten() {
        let found = reader.scan_groups(tenant, &condition, Sequence::default(), None, 2).await?;
        match <[Group; 1]>::try_from(found) {
            Ok([group]) => return Ok(group),
            Err(several) if !several.is_empty() => bail!("`{text}` means several groups; use the SCIM id"),
            Err(_) => {}
        }
    }
    bail!("no group is known by `{text}`; give its SCIM id, displayName or externalId")
}

/// An entry of the audit trail about what somebody did at the command line.
pub(super) fn entry(
    desk: &Desk,
    tenant: &TenantId,
    person: Option<crate::ids::PersonId>,
    event: &str,
    detail: serde_json::Value,
) -> AuditEntry {
    AuditEntry { person, ..AuditEntry::by(Actor::CommandLine, tenant, desk.clock.now(), event, detail) }
}
