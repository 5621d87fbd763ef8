//! `/organization/groups` and their users.

use serde_json::json;

use super::users;
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Group, Principal};
use crate::simulator::options::{Duplicate, Feature, Policy};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ByNext, Order};
use crate::simulator::wire;

/// Refuses when the organization has no groups at all.
pub(in crate::simulator) fn check_feature(organization: &Organization) -> Result<(), Refusal> {
    match organization.options.groups {
        Feature::On => Ok(()),
        Feature::Off => Err(Refusal::new(404, "Groups are not available for this organization.")),
    }
}

/// The group that the path names.
pub(in crate::simulator) fn find<'a>(
    organization: &'a Organization,
    call: &Call,
) -> Result<&'a Group, Refusal> {
    check_feature(organization)?;
    let id = call.path("group_id");
    organization.groups.get(id).ok_or_else(|| Refusal::unknown("group", id))
}

/// The id of the group that the path names, which must not belong to OpenAI's directory sync.
fn find_writable(organization: &Organization, call: &Call) -> Result<String, Refusal> {
    let group = find(organization, call)?;
    if group.is_scim_managed {
        let status = organization.options.scim_managed_write_status;
        return Err(Refusal::new(status, "The group is managed by directory sync and cannot be changed."));
    }
    Ok(group.id.clone())
}

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    check_feature(organization)?;
    let rows = organization.groups.rows().filter(|row| organization.is_listed(row));
    let items = rows.map(|row| (row.id.as_str(), &row.value)).collect();
    ByNext { call, options: &organization.options, max: 1000, default: 100, order: Order::Ascending }
        .page(items, |group| wire::group(group))
}

/// The name asked for, if it may be taken.
fn name(organization: &Organization, call: &Call, own_id: &str) -> Result<String, Refusal> {
    let name = call.required_text("name")?;
    if !(1..=255).contains(&name.chars().count()) {
        return Err(Refusal::invalid_type("name", "1 to 255 characters"));
    }
    let is_taken = organization.groups.values().any(|group| group.name == name && group.id != own_id);
    if is_taken && organization.options.duplicate_group_names == Policy::Refuse {
        return Err(Refusal::bad(format!("A group named '{name}' already exists.")).param("name"));
    }
    Ok(name.to_owned())
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    check_feature(organization)?;
    let name = name(organization, call, "")?;
    if organization.groups.len() >= organization.options.max_groups {
        return Err(Refusal::new(422, "The organization has reached its number of groups."));
    }
    let id = organization.add_group(&name, false);
    let detail = json!({"id": id, "data": {"group_name": name}});
    organization.record(&call.actor, "group.created", None, detail);
    let group = organization.groups.get(&id).ok_or_else(|| Refusal::unknown("group", &id))?;
    Answer::ok(wire::group(group))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    check_feature(organization)?;
    let id = call.path("group_id");
    let row = organization.groups.row(id).filter(|row| organization.is_readable(row));
    Answer::ok(wire::group(&row.ok_or_else(|| Refusal::unknown("group", id))?.value))
}

pub(in crate::simulator) fn update(organization: &mut Organization, call: &Call) -> Outcome {
    let id = find_writable(organization, call)?;
    let name = name(organization, call, &id)?;
    let detail = json!({"id": id, "changes_requested": {"group_name": name}});
    if let Some(group) = organization.groups.get_mut(&id) {
        group.name = name;
    }
    organization.record(&call.actor, "group.updated", None, detail);
    Answer::ok(wire::updated_group(find(organization, call)?))
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let id = find_writable(organization, call)?;
    organization.groups.remove(&id);
    for project in organization.projects.values_mut() {
        project.groups.remove(&id);
    }
    organization.assignments.retain(|assigned, _| assigned.principal != Principal::Group(id.clone()));
    organization.record(&call.actor, "group.deleted", None, json!({"id": id}));
    Answer::deleted("group.deleted", &id)
}

pub(in crate::simulator) fn list_users(organization: &mut Organization, call: &Call) -> Outcome {
    let group = find(organization, call)?;
    let rows = group.users.rows().filter(|row| organization.is_listed(row));
    let items = rows.filter_map(|row| Some((row.id.as_str(), organization.members.get(&row.id)?))).collect();
    ByNext { call, options: &organization.options, max: 1000, default: 100, order: Order::Descending }.page(
        items,
        |member| json!({"id": member.id, "name": member.name.as_deref().unwrap_or(""), "email": member.email}),
    )
}

pub(in crate::simulator) fn add_user(organization: &mut Organization, call: &Call) -> Outcome {
    let id = find_writable(organization, call)?;
    let user_id = call.required_text("user_id")?.to_owned();
    users::find(organization, &user_id)?;
    let is_member = find(organization, call)?.users.contains(&user_id);
    let message = format!("User {user_id} already exists in group {id}.");
    match organization.options.duplicate_group_member {
        Duplicate::Conflict if is_member => return Err(Refusal::new(409, message)),
        Duplicate::BadRequest if is_member => return Err(Refusal::bad(message)),
        Duplicate::Conflict | Duplicate::BadRequest | Duplicate::Accept => {}
    }
    let (now, added_at) = (organization.now, organization.seconds());
    if let Some(group) = organization.groups.get_mut(&id).filter(|_| !is_member) {
        group.users.insert(&user_id, now, added_at);
        organization.record(&call.actor, "group.updated", None, json!({"id": id}));
    }
    Answer::ok(json!({"object": "group.user", "user_id": user_id, "group_id": id}))
}

pub(in crate::simulator) fn retrieve_user(organization: &mut Organization, call: &Call) -> Outcome {
    let group = find(organization, call)?;
    let id = call.path("user_id");
    let member = group.users.get(id).and_then(|_| organization.members.get(id));
    let member = member.ok_or_else(|| Refusal::unknown("group user", id))?;
    Answer::ok(json!({
        "id": member.id,
        "name": member.name.as_deref().unwrap_or(""),
        "email": member.email,
        "picture": null,
        "is_service_account": member.is_service_account,
        "user_type": "user",
    }))
}

pub(in crate::simulator) fn remove_user(organization: &mut Organization, call: &Call) -> Outcome {
    let id = find_writable(organization, call)?;
    let user_id = call.path("user_id");
    let removed = organization.groups.get_mut(&id).and_then(|group| group.users.remove(user_id));
    removed.ok_or_else(|| Refusal::unknown("group user", user_id))?;
    organization.record(&call.actor, "group.updated", None, json!({"id": id}));
    Answer::removed("group.user.deleted")
}
