//! A person as a SCIM user: the stored attributes, plus everything that only the server may say.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::wish::OPENAI_USER;
use super::{Caller, Directory, user_type};
use crate::model::grant::ProjectGrant;
use crate::model::group::GroupName;
use crate::model::mapping::{Mapping, Status};
use crate::model::person::Person;
use crate::scim::etag::Version;
use crate::scim::resource::Resource;

/// A resource as the client gets to see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The whole resource; leaving attributes out is the caller's business.
    pub resource: Resource,
    /// Where it is found.
    pub location: String,
    /// How many times it was written; the number in its entity tag.
    pub version: i64,
}

impl Directory {
    pub(super) fn render(
        &self,
        caller: &Caller,
        person: &Person,
        mapping: Option<&Mapping>,
        groups: &[GroupName],
    ) -> Shown {
        let base = self.base_url(&caller.tenant);
        let location = format!("{base}/Users/{}", person.id);
        let mut resource = resource(person, mapping, &location);
        if !groups.is_empty() {
            resource.set("groups", groups.iter().map(|group| reference(&base, group)).collect::<Value>());
        }
        Shown { resource, location, version: person.version }
    }
}

/// A group as one of its members shows it.
fn reference(base: &str, group: &GroupName) -> Value {
    json!({
        "value": group.id.to_string(),
        "$ref": format!("{base}/Groups/{}", group.id),
        "display": group.display_name,
        "type": "direct",
    })
}

/// What the server knows about a resource as such (RFC 7643 §3.1).
pub(super) fn meta(
    resource_type: &str,
    (created_at, modified_at): (Timestamp, Timestamp),
    location: &str,
    version: i64,
) -> Value {
    json!({
        "resourceType": resource_type,
        "created": created_at.to_string(),
        "lastModified": modified_at.to_string(),
        "location": location,
        "version": Version(version).to_string(),
    })
}

fn resource(person: &Person, mapping: Option<&Mapping>, location: &str) -> Resource {
    let mut map = Map::new();
    // First in the answer; the value follows once it is known which schemas have content.
    map.insert("schemas".to_owned(), Value::Null);
    map.insert("id".to_owned(), person.id.to_string().into());
    let (extensions, core): (Vec<_>, Vec<_>) =
        person.attributes.iter().partition(|(name, _)| name.starts_with("urn:"));
    for (name, value) in core.into_iter().chain(extensions) {
        map.insert(name.clone(), value.clone());
    }
    let mut extension = match map.shift_remove(OPENAI_USER) {
        Some(Value::Object(extension)) => extension,
        _ => Map::new(),
    };
    describe(&mut extension, person, mapping);
    map.insert(OPENAI_USER.to_owned(), extension.into());
    let times = (person.created_at, person.modified_at);
    map.insert("meta".to_owned(), meta("User", times, location, person.version));
    let mut resource = Resource::from(map);
    let schemas = user_type().schemas_of(&resource);
    resource.as_map_mut().insert("schemas".to_owned(), schemas);
    resource
}

/// Adds the read-only attributes of our extension.
fn describe(extension: &mut Map<String, Value>, person: &Person, mapping: Option<&Mapping>) {
    let mut put = |name: &str, value: Value| {
        extension.insert(name.to_owned(), value);
    };
    put("status", Status::shown(person.wants_access(), mapping).as_str().into());
    let Some(mapping) = mapping else { return };
    if let Some(reason) = &mapping.status_reason {
        put("statusReason", reason.as_str().into());
    }
    if let Some(user) = &mapping.user_id {
        put("userId", user.as_str().into());
    }
    if let Some(invite) = &mapping.invite_id {
        put("inviteId", invite.as_str().into());
    }
    if let Some(end) = mapping.invite_expires_at {
        put("inviteExpiresAt", end.to_string().into());
    }
    if let Some(role) = mapping.effective_role {
        put("effectiveRole", role.as_str().into());
    }
    if !mapping.effective_projects.is_empty() {
        let project = |grant: &ProjectGrant| json!({"value": grant.id.as_str(), "role": grant.role.as_str()});
        put("effectiveProjects", mapping.effective_projects.iter().map(project).collect());
    }
    if let Some(synced) = mapping.last_synced_at {
        put("lastSynced", synced.to_string().into());
    }
}
