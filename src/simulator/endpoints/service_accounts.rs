//! `/organization/projects/{project_id}/service_accounts`

use serde_json::{Value, json};

use super::projects;
use crate::simulator::call::{Answer, Call, Outcome, Refusal, object};
use crate::simulator::objects::{KeyOwner, ProjectRole, ServiceAccount};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

/// The longest life of a key: a year.
const MAX_LIFETIME_SECONDS: i64 = 31_536_000;

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let project = projects::find_active(organization, call)?;
    let items: Vec<_> = organization
        .service_accounts
        .rows()
        .filter(|row| row.value.project == project.id && organization.is_listed(row))
        .map(|row| (row.id.as_str(), &row.value))
        .collect();
    ById { call, options: &organization.options, max: 100, missing: Missing::NotFound }
        .page(&items, |account| wire::service_account(account))
}

fn find<'a>(organization: &'a Organization, call: &Call) -> Result<&'a ServiceAccount, Refusal> {
    let project = projects::find_active(organization, call)?;
    let id = call.path("service_account_id");
    let account = organization.service_accounts.get(id).filter(|account| account.project == project.id);
    account.ok_or_else(|| Refusal::unknown("service account", id))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let account = find(organization, call)?;
    let is_readable =
        organization.service_accounts.row(&account.id).is_some_and(|row| organization.is_readable(row));
    if !is_readable {
        return Err(Refusal::unknown("service account", &account.id));
    }
    Answer::ok(wire::service_account(account))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let project = projects::find_active(organization, call)?.id.clone();
    let name = call.required_text("name")?;
    let lifetime = call.number("expires_in_seconds", 1, MAX_LIFETIME_SECONDS)?;
    let without_key = call.flag("create_service_account_only")?;
    let id = organization.add_service_account(&project, name);
    let created_at = organization.seconds();
    let key = if without_key {
        Value::Null
    } else {
        let key =
            organization.add_project_key(&project, "Secret Key", KeyOwner::ServiceAccount { id: id.clone() });
        json!({
            "object": "organization.project.service_account.api_key",
            "id": key,
            "name": "Secret Key",
            "value": organization.new_id("sk-svcacct-"),
            "created_at": created_at,
            "expires_at": lifetime.map(|lifetime| created_at + lifetime),
        })
    };
    let detail = json!({"id": id, "data": {"role": "member"}});
    organization.record(&call.actor, "service_account.created", Some(&project), detail);
    let answer = object([
        ("object", Some(json!("organization.project.service_account"))),
        ("id", Some(json!(id))),
        ("name", Some(json!(name))),
        ("role", Some(json!("member"))),
        ("created_at", Some(json!(created_at))),
        ("api_key", Some(key)),
    ]);
    Answer::created(&organization.options, answer)
}

pub(in crate::simulator) fn update(organization: &mut Organization, call: &Call) -> Outcome {
    let account = find(organization, call)?;
    let (id, project, user_id) = (account.id.clone(), account.project.clone(), account.user_id.clone());
    let parse =
        |name| ProjectRole::parse(name).ok_or_else(|| Refusal::invalid_type("role", "'owner' or 'member'"));
    let role = call.text("role")?.map(parse).transpose()?;
    let name = call.text("name")?.map(str::to_owned);
    if let Some(user) = organization.members.get_mut(&user_id) {
        user.name = name.clone().or(user.name.take());
    }
    if let Some(account) = organization.service_accounts.get_mut(&id) {
        account.role = role.unwrap_or(account.role);
        if let Some(name) = name {
            account.name = name;
        }
    }
    let changes = role.map_or_else(|| json!({}), |role| json!({"role": role.name()}));
    let detail = json!({"id": id, "changes_requested": changes});
    organization.record(&call.actor, "service_account.updated", Some(&project), detail);
    Answer::ok(wire::service_account(find(organization, call)?))
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let account = find(organization, call)?;
    let (id, project, user_id) = (account.id.clone(), account.project.clone(), account.user_id.clone());
    organization.service_accounts.remove(&id);
    organization.members.remove(&user_id);
    organization
        .project_keys
        .retain(|key| !matches!(&key.owner, KeyOwner::ServiceAccount { id: owner } if *owner == id));
    organization.record(&call.actor, "service_account.deleted", Some(&project), json!({"id": id}));
    Answer::deleted("organization.project.service_account.deleted", &id)
}
