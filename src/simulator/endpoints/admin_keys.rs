//! `/organization/admin_api_keys`

use serde_json::json;

use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Actor, AdminKey};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing, Order, order};
use crate::simulator::wire;

/// This list has no stated page limit; this is the stand-in's own.
const MAX_PAGE: usize = 1000;

/// The longest life of a key: a year.
const MAX_LIFETIME_SECONDS: i64 = 31_536_000;

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let mut items: Vec<_> = organization.admin_keys.rows().map(|row| (row.id.as_str(), &row.value)).collect();
    if order(call, Order::Ascending)? == Order::Descending {
        items.reverse();
    }
    ById { call, options: &organization.options, max: MAX_PAGE, missing: Missing::NotFound }
        .page(&items, |key| wire::admin_key(organization, key))
}

fn find<'a>(organization: &'a Organization, call: &Call) -> Result<&'a AdminKey, Refusal> {
    let id = call.path("key_id");
    organization.admin_keys.get(id).ok_or_else(|| Refusal::unknown("admin key", id))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    Answer::ok(wire::admin_key(organization, find(organization, call)?))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let name = call.required_text("name")?;
    let lifetime = call.number("expires_in_seconds", 1, MAX_LIFETIME_SECONDS)?;
    let owner = match &call.actor {
        Actor::Key(id) => organization.admin_keys.get(id).map(|key| key.owner.clone()).unwrap_or_default(),
        Actor::Person(id) => id.clone(),
        Actor::System => String::new(),
    };
    let value = organization.new_id("sk-admin-");
    let expires_at = lifetime.map(|lifetime| organization.seconds() + lifetime);
    let id = organization.add_admin_key(name, value.clone(), owner, false, expires_at);
    organization.record(&call.actor, "api_key.created", None, json!({"id": id, "data": {"scopes": []}}));
    let key = organization.admin_keys.get(&id).ok_or_else(|| Refusal::unknown("admin key", &id))?;
    let mut answer = wire::admin_key(organization, key);
    if let Some(members) = answer.as_object_mut() {
        members.insert("value".to_owned(), json!(value));
    }
    Answer::ok(answer)
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let id = find(organization, call)?.id.clone();
    organization.record(&call.actor, "api_key.deleted", None, json!({"id": id}));
    organization.admin_keys.remove(&id);
    Answer::deleted("organization.admin_api_key.deleted", &id)
}
