//! `/organization/projects`

use serde_json::{Value, json};

use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::Project;
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

/// Places where a project's data may be kept.
const RESIDENCIES: [&str; 15] = [
    "GLOBAL",
    "US_STORAGE_PROCESSING",
    "EU_STORAGE_PROCESSING",
    "JP_STORAGE",
    "JP_STORAGE_PROCESSING",
    "KR_STORAGE",
    "CA_STORAGE",
    "SG_STORAGE",
    "IN_STORAGE",
    "IN_STORAGE_PROCESSING",
    "AU_STORAGE",
    "AU_STORAGE_PROCESSING",
    "GB_STORAGE",
    "AE_STORAGE",
    "AE_STORAGE_PROCESSING",
];

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let with_archived = call.query.flag("include_archived")?;
    let rows = organization
        .projects
        .rows()
        .filter(|row| organization.is_listed(row) && (with_archived || row.value.archived_at.is_none()));
    let items: Vec<_> = rows.map(|row| (row.id.as_str(), &row.value)).collect();
    ById { call, options: &organization.options, max: 100, missing: Missing::NotFound }
        .page(&items, |project| wire::project(project))
}

/// The project that the path names.
pub(in crate::simulator) fn find<'a>(
    organization: &'a Organization,
    call: &Call,
) -> Result<&'a Project, Refusal> {
    let id = call.path("project_id");
    organization.projects.get(id).ok_or_else(|| unknown(id))
}

/// The project that the path names, which must not be archived.
pub(in crate::simulator) fn find_active<'a>(
    organization: &'a Organization,
    call: &Call,
) -> Result<&'a Project, Refusal> {
    let project = find(organization, call)?;
    match project.archived_at {
        None => Ok(project),
        Some(_) => Err(Refusal::bad(format!("The project {} is archived.", project.id))),
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(404, format!("The project {id} was not found.")).code("project_not_found")
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let id = call.path("project_id");
    let row = organization.projects.row(id).filter(|row| organization.is_readable(row));
    Answer::ok(wire::project(&row.ok_or_else(|| unknown(id))?.value))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let name = call.required_text("name")?;
    if name.is_empty() {
        return Err(Refusal::invalid_type("name", "a name"));
    }
    let residency = call.text("residency")?.map(str::to_owned);
    if residency.as_deref().is_some_and(|residency| !RESIDENCIES.contains(&residency)) {
        return Err(Refusal::invalid_type("residency", "a place of storage"));
    }
    let key = call.text("external_key_id")?.map(str::to_owned);
    let id = organization.add_project(name.to_owned(), false);
    if let Some(project) = organization.projects.get_mut(&id) {
        project.residency = residency;
        project.external_key_id = key;
    }
    let detail = json!({"id": id, "data": {"name": name, "title": name}});
    organization.record(&call.actor, "project.created", Some(&id), detail);
    Answer::created(&organization.options, show(organization, &id)?)
}

fn show(organization: &Organization, id: &str) -> Result<Value, Refusal> {
    organization.projects.get(id).map(wire::project).ok_or_else(|| unknown(id))
}

pub(in crate::simulator) fn update(organization: &mut Organization, call: &Call) -> Outcome {
    let project = find(organization, call)?;
    if project.is_default {
        return Err(Refusal::bad("The default project cannot be changed."));
    }
    let id = project.id.clone();
    let name = call.text("name")?.map(str::to_owned);
    let key = call.text("external_key_id")?.map(str::to_owned);
    let detail = json!({"id": id, "changes_requested": {"title": name.clone().unwrap_or_default()}});
    if let Some(project) = organization.projects.get_mut(&id) {
        project.name = name.or(project.name.take());
        project.external_key_id = key.or(project.external_key_id.take());
    }
    organization.record(&call.actor, "project.updated", Some(&id), detail);
    Answer::ok(show(organization, &id)?)
}

pub(in crate::simulator) fn archive(organization: &mut Organization, call: &Call) -> Outcome {
    let project = find(organization, call)?;
    if project.is_default {
        return Err(Refusal::bad("The default project cannot be archived."));
    }
    if project.archived_at.is_some() {
        return Err(Refusal::bad("The project is already archived."));
    }
    let (id, now) = (project.id.clone(), organization.seconds());
    if let Some(project) = organization.projects.get_mut(&id) {
        project.archived_at = Some(now);
    }
    organization.record(&call.actor, "project.archived", Some(&id), json!({"id": id}));
    Answer::ok(show(organization, &id)?)
}
