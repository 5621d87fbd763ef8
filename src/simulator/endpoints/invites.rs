//! `/organization/invites`

use serde_json::{Value, json};

use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Invite, InviteStatus, OrgRole, ProjectRole};
use crate::simulator::options::Policy;
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let rows = organization.invites.rows().filter(|row| organization.is_listed(row));
    let items: Vec<_> = rows.map(|row| (row.id.as_str(), &row.value)).collect();
    ById { call, options: &organization.options, max: 100, missing: Missing::NotFound }
        .page(&items, |invite| wire::invite(organization, invite))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let email = call.required_text("email")?;
    if !is_address(email) {
        return Err(Refusal::invalid_type("email", "an e-mail address"));
    }
    let role = OrgRole::parse(call.required_text("role")?)
        .ok_or_else(|| Refusal::invalid_type("role", "'reader' or 'owner'"))?;
    let projects = call.list("projects")?.map(|items| parse_projects(organization, items)).transpose()?;
    if organization.member_by_email(email).is_some() {
        return Err(Refusal::bad(format!("User with email {email} already exists in this organization.")));
    }
    if organization.pending_invite(email).is_some() {
        return Err(Refusal::bad(format!("User with email {email} has already been invited.")));
    }
    let has_expired =
        organization.invites_of(email).any(|invite| invite.status(organization.now) == InviteStatus::Expired);
    if has_expired && organization.options.expired_reinvite == Policy::Refuse {
        return Err(Refusal::bad(format!("An expired invite for {email} must be deleted first.")));
    }
    let id = organization.add_invite(email, role, projects);
    let word = if role == OrgRole::Owner { "owner" } else { "member" };
    let detail = json!({"id": id, "data": {"email": email, "role": word}});
    organization.record(&call.actor, "invite.sent", None, detail);
    Answer::created(&organization.options, show(organization, &id)?)
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !text.contains(char::is_whitespace)
    })
}

fn parse_projects(
    organization: &Organization,
    items: &[Value],
) -> Result<Vec<(String, ProjectRole)>, Refusal> {
    let parse = |item: &Value| {
        let id = item.get("id").and_then(Value::as_str)?;
        let role = item.get("role").and_then(Value::as_str).and_then(ProjectRole::parse)?;
        Some((id.to_owned(), role))
    };
    let projects: Option<Vec<_>> = items.iter().map(parse).collect();
    let projects = projects.ok_or_else(|| {
        Refusal::invalid_type("projects", "objects with an id and a role 'member' or 'owner'")
    })?;
    for (id, _) in &projects {
        if organization.projects.get(id).is_none_or(|project| project.archived_at.is_some()) {
            return Err(
                Refusal::bad(format!("The project {id} was not found or is archived.")).param("projects")
            );
        }
    }
    Ok(projects)
}

fn find<'a>(organization: &'a Organization, call: &Call) -> Result<&'a Invite, Refusal> {
    let id = call.path("invite_id");
    organization.invites.get(id).ok_or_else(|| Refusal::unknown("invite", id))
}

fn show(organization: &Organization, id: &str) -> Result<Value, Refusal> {
    let invite = organization.invites.get(id).ok_or_else(|| Refusal::unknown("invite", id))?;
    Ok(wire::invite(organization, invite))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let id = call.path("invite_id");
    let row = organization.invites.row(id).filter(|row| organization.is_readable(row));
    let row = row.ok_or_else(|| Refusal::unknown("invite", id))?;
    Answer::ok(wire::invite(organization, &row.value))
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let invite = find(organization, call)?;
    match invite.status(organization.now) {
        InviteStatus::Accepted => {
            return Err(Refusal::bad("Invite cannot be deleted because it was already accepted."));
        }
        InviteStatus::Expired if organization.options.expired_invite_deletion == Policy::Refuse => {
            return Err(Refusal::bad("Invite cannot be deleted because it has expired."));
        }
        InviteStatus::Expired | InviteStatus::Pending => {}
    }
    let id = invite.id.clone();
    organization.remove_invite(&id);
    organization.record(&call.actor, "invite.deleted", None, json!({"id": id}));
    Answer::deleted("organization.invite.deleted", &id)
}
