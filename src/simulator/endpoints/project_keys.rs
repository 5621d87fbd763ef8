//! `/organization/projects/{project_id}/api_keys`

use serde_json::json;

use super::{project_users, projects};
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{KeyOwner, Project, ProjectKey};
use crate::simulator::options::Feature;
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

/// Whether the key's owner can still get at the project.
fn is_active(organization: &Organization, project: &Project, key: &ProjectKey) -> bool {
    match &key.owner {
        KeyOwner::User { id, .. } => {
            let outlives = organization.options.project_keys_of_removed_members == Feature::On
                && !organization.members.contains(id);
            outlives || project_users::membership(organization, project, id).is_some()
        }
        KeyOwner::ServiceAccount { id } => organization.service_accounts.contains(id),
    }
}

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let project = projects::find_active(organization, call)?;
    let wanted = match call.query.one("owner_project_access") {
        None | Some("any") => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => {
            return Err(Refusal::invalid_type("owner_project_access", "'active', 'inactive' or 'any'"));
        }
    };
    let items: Vec<_> = organization
        .project_keys
        .rows()
        .filter(|row| row.value.project == project.id && organization.is_listed(row))
        .map(|row| (row.id.as_str(), (&row.value, is_active(organization, project, &row.value))))
        .filter(|(_, (_, is_active))| wanted.is_none_or(|wanted| wanted == *is_active))
        .collect();
    ById { call, options: &organization.options, max: 100, missing: Missing::NotFound }
        .page(&items, |(key, is_active)| wire::project_key(organization, key, *is_active))
}

fn find<'a>(organization: &'a Organization, call: &Call) -> Result<&'a ProjectKey, Refusal> {
    let project = projects::find_active(organization, call)?;
    let id = call.path("api_key_id");
    let key = organization.project_keys.get(id).filter(|key| key.project == project.id);
    key.ok_or_else(|| Refusal::unknown("project API key", id))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let key = find(organization, call)?;
    let is_active = is_active(organization, projects::find(organization, call)?, key);
    Answer::ok(wire::project_key(organization, key, is_active))
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let key = find(organization, call)?;
    if matches!(key.owner, KeyOwner::ServiceAccount { .. }) {
        return Err(Refusal::bad("The key of a service account goes with the service account."));
    }
    let (id, project) = (key.id.clone(), key.project.clone());
    organization.project_keys.remove(&id);
    organization.record(&call.actor, "api_key.deleted", Some(&project), json!({"id": id}));
    Answer::deleted("organization.project.api_key.deleted", &id)
}
