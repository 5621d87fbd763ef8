//! `/organization/users`

use serde_json::json;

use super::assignments;
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Member, OrgRole, Scope};
use crate::simulator::options::{EmailsFilter, Policy};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let wanted = call.query.many("emails");
    let matches = |member: &Member| {
        let Some(email) = member.email.as_deref() else { return wanted.is_empty() };
        wanted.is_empty()
            || match organization.options.emails_filter {
                EmailsFilter::Correct => {
                    wanted.iter().any(|wanted| wanted.to_lowercase() == email.to_lowercase())
                }
                EmailsFilter::CaseSensitive => wanted.contains(&email),
                EmailsFilter::AlwaysEmpty => false,
            }
    };
    let rows = organization.members.rows().filter(|row| organization.is_listed(row) && matches(&row.value));
    let items: Vec<_> = rows.map(|row| (row.id.as_str(), &row.value)).collect();
    let missing = Missing::Other(organization.options.users_unknown_cursor);
    ById { call, options: &organization.options, max: 100, missing }.page(&items, |member| wire::user(member))
}

pub(in crate::simulator) fn find<'a>(
    organization: &'a Organization,
    id: &str,
) -> Result<&'a Member, Refusal> {
    organization.members.get(id).ok_or_else(|| Refusal::unknown("user", id))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let id = call.path("user_id");
    let row = organization.members.row(id).filter(|row| organization.is_readable(row));
    Answer::ok(wire::user(&row.ok_or_else(|| Refusal::unknown("user", id))?.value))
}

pub(in crate::simulator) fn update(organization: &mut Organization, call: &Call) -> Outcome {
    let id = call.path("user_id").to_owned();
    find(organization, &id)?;
    let role = match call.text("role")? {
        None => None,
        Some(name) => {
            let role = OrgRole::parse(name);
            Some(role.ok_or_else(|| Refusal::invalid_type("role", "'owner' or 'reader'"))?)
        }
    };
    let (technical_level, developer_persona) = (
        call.text("technical_level")?.map(str::to_owned),
        call.text("developer_persona")?.map(str::to_owned),
    );
    let role_id = call.text("role_id")?;
    if let Some(role_id) = role_id
        && organization.role(&Scope::Organization, role_id).is_none()
    {
        return Err(Refusal::bad(format!("The role {role_id} was not found.")).param("role_id"));
    }
    if let Some(role) = role {
        set_role(organization, &id, role)?;
    }
    if let Some(role_id) = role_id {
        assignments::give_organization_role(organization, call, &id, role_id)?;
    }
    if let Some(member) = organization.members.get_mut(&id) {
        member.technical_level = technical_level.or(member.technical_level.take());
        member.developer_persona = developer_persona.or(member.developer_persona.take());
    }
    let changes = call.text("role")?.map_or_else(|| json!({}), |role| json!({"role": role}));
    let detail = json!({"id": id, "changes_requested": changes});
    organization.record(&call.actor, "user.updated", None, detail);
    Answer::ok(wire::user(find(organization, &id)?))
}

/// Sets the classic role; the last owner keeps it.
pub(in crate::simulator) fn set_role(
    organization: &mut Organization,
    id: &str,
    role: OrgRole,
) -> Result<(), Refusal> {
    if role == OrgRole::Reader {
        guard_last_owner(organization, id)?;
    }
    if let Some(member) = organization.members.get_mut(id) {
        member.role = role;
    }
    Ok(())
}

fn guard_last_owner(organization: &Organization, id: &str) -> Result<(), Refusal> {
    let is_owner = organization.members.get(id).is_some_and(|member| member.role == OrgRole::Owner);
    if is_owner && organization.owners() <= 1 && organization.options.last_owner_removal == Policy::Refuse {
        return Err(Refusal::bad("The organization must keep at least one owner."));
    }
    Ok(())
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let id = call.path("user_id").to_owned();
    if find(organization, &id)?.is_service_account {
        return Err(Refusal::bad("A service account is removed through its project."));
    }
    guard_last_owner(organization, &id)?;
    organization.remove_member(&id, &call.actor);
    Answer::deleted("organization.user.deleted", &id)
}
