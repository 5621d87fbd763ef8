//! Loads from the store what there is to give access to.

use std::collections::BTreeSet;

use crate::ids::{GroupId, TenantId};
use crate::model::group_link::GroupLink;
use crate::model::inventory::{Inventory, Listing, Mirrored};
use crate::model::observed::{Collection, Project};
use crate::model::policy::{GroupMode, Policy};
use crate::store::{Reader, StoreError};

/// Projects loaded at a time.
const CHUNK: i64 = 1000;

/// Loads the inventory. `not_offered` are the lists that OpenAI does not offer to the organization.
pub(super) async fn load_inventory(
    tenant: &TenantId,
    policy: &Policy,
    reader: &mut Reader,
    not_offered: &BTreeSet<Collection>,
) -> Result<Inventory, StoreError> {
    // Every organization has projects and roles: where the mirror has none, they were not read yet.
    let projects = load_projects(tenant, reader).await?;
    let mut inventory = Inventory {
        projects: listing(projects, not_offered.contains(&Collection::Projects)),
        roles: listing(reader.roles(tenant).await?, not_offered.contains(&Collection::Roles)),
        ..Inventory::default()
    };
    if not_offered.contains(&Collection::Groups) {
        inventory.groups = Listing::NotOffered;
    } else if policy.uses_openai_groups() && reader.last_sweep(tenant, &Collection::Groups).await?.is_some() {
        let mut groups = reader.openai_groups(tenant).await?;
        if policy.groups == GroupMode::Mirror {
            let links = reader.group_links(tenant).await?;
            let kept: BTreeSet<_> = links.iter().filter_map(|link| link.openai_id.as_ref()).collect();
            groups.retain(|group| !kept.contains(&group.id));
            inventory.mirrored = links.iter().filter_map(mirrored).collect();
        }
        inventory.groups = Listing::Read(groups);
    }
    Ok(inventory)
}

/// What is known of the OpenAI group that is kept for a SCIM group.
fn mirrored(link: &GroupLink) -> Option<(GroupId, Mirrored)> {
    let mirrored = match (&link.openai_id, link.refusal()) {
        (Some(group), _) => Mirrored::As(group.clone()),
        (None, Some(words)) => Mirrored::Refused(words.to_owned()),
        (None, None) => return None,
    };
    Some((link.group, mirrored))
}

async fn load_projects(tenant: &TenantId, reader: &mut Reader) -> Result<Vec<Project>, StoreError> {
    let mut projects: Vec<Project> = Vec::new();
    loop {
        let after = projects.last().map(|project| project.id.clone());
        let chunk = reader.scan_projects(tenant, after.as_ref(), CHUNK).await?;
        if chunk.is_empty() {
            return Ok(projects);
        }
        projects.extend(chunk);
    }
}

fn listing<T>(things: Vec<T>, is_not_offered: bool) -> Listing<T> {
    match (is_not_offered, things.is_empty()) {
        (true, _) => Listing::NotOffered,
        (false, true) => Listing::Unread,
        (false, false) => Listing::Read(things),
    }
}
