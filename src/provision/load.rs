//! Reads from the store what a plan is made of.

use std::collections::BTreeSet;

use super::desired::{Desired, desired};
use super::inventory::load_inventory;
use super::plan::{Claim, Facts, Look, Observed};
use super::sweeps::periodic;
use crate::ids::{PersonId, TenantId};
use crate::model::address::Address;
use crate::model::inventory::Inventory;
use crate::model::mapping::Status;
use crate::model::observed::Collection;
use crate::model::operation::{Action, OperationState};
use crate::model::policy::Policy;
use crate::model::upkeep::{Instruction, Wanted};
use crate::store::{MappingFilter, Reader, StoreError, Work};

/// How many of a person's latest operations a plan looks back on.
const RECENT_OPERATIONS: i64 = 32;

/// How many others with the same address are looked at; former users of one address, as a rule.
const MOST_NAMESAKES: i64 = 100;

/// One person, ready to be planned for.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) work: Work,
    pub(super) desired: Desired,
    pub(super) observed: Observed,
}

/// Loads a person or tombstone; `None` when there is no such row any more.
pub(super) async fn load_person(
    tenant: &TenantId,
    policy: &Policy,
    reader: &mut Reader,
    inventory: &Inventory,
    person: PersonId,
    looks: &[Look],
) -> Result<Option<Loaded>, StoreError> {
    let Some(work) = reader.load_work(tenant, person).await? else { return Ok(None) };
    let groups = if policy.heeds_groups() { reader.groups_of(tenant, person).await? } else { Vec::new() };
    let desired = desired(&work.person, &groups, policy, inventory);
    let mut observed = Observed {
        mapping: work.mapping.clone(),
        open: work.open.clone(),
        recent: reader.list_operations(tenant, person, RECENT_OPERATIONS).await?,
        looks: looks.to_vec(),
        holds: reader.standing_holds(tenant, person).await?,
        ..Observed::nothing_of(&work.person)
    };
    observed.recent.retain(|operation| !operation.state.is_open());
    load_mirror(reader, &desired, &mut observed).await?;
    load_claims(reader, &desired, &mut observed).await?;
    Ok(Some(Loaded { work, desired, observed }))
}

/// What the mirror shows under the person's ids and addresses.
async fn load_mirror(
    reader: &mut Reader,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), StoreError> {
    let tenant = &observed.tenant.clone();
    if let Some(mapping) = &observed.mapping {
        if let Some(user) = &mapping.user_id {
            observed.members.extend(reader.member(tenant, user).await?);
        }
        if let Some(invite) = &mapping.invite_id {
            observed.invites.extend(reader.invite(tenant, invite).await?);
        }
        if let Some(Instruction { what: Wanted::Link(user), .. }) = &mapping.upkeep.instruction {
            observed.members.extend(reader.member(tenant, user).await?);
        }
    }
    for key in address_keys(desired, observed) {
        for member in reader.members_by_address(tenant, &key).await? {
            if !observed.members.iter().any(|seen| seen.id == member.id) {
                observed.members.push(member);
            }
        }
        for invite in reader.invites_by_address(tenant, &key).await? {
            if !observed.invites.iter().any(|seen| seen.id == invite.id) {
                observed.invites.push(invite);
            }
        }
    }
    observed.invites.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    for member in &observed.members {
        observed.projects.extend(reader.project_memberships(tenant, &member.id).await?);
        observed.assignments.extend(reader.assignments_of(tenant, &member.id).await?);
    }
    Ok(())
}

/// Whose these invites and members are, if somebody else's; and who else wants the address of somebody who leaves.
async fn load_claims(
    reader: &mut Reader,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), StoreError> {
    let (tenant, person) = (&observed.tenant.clone(), observed.person);
    let mut claimed: Vec<(String, PersonId)> = Vec::new();
    for member in &observed.members {
        if let Some(other) = reader.bound_to_other(tenant, &member.id, person).await? {
            claimed.push((member.id.to_string(), other));
        }
    }
    for invite in &observed.invites {
        if let Some(other) = reader.invite_bound_to_other(tenant, &invite.id, person).await? {
            claimed.push((invite.id.to_string(), other));
        }
    }
    for (id, other) in claimed {
        let work = reader.load_work(tenant, other).await?;
        let leaving = work.is_none_or(|work| !work.person.wants_access());
        observed.claims.insert(id, Claim { person: other, leaving });
    }
    if !desired.wants_access {
        for key in address_keys(desired, observed) {
            let people = reader.find_people_by_address(tenant, &key).await?;
            observed.address_wanted_elsewhere |=
                people.iter().any(|other| other.id != person && other.wants_access());
        }
    } else if let Some(address) = &desired.address {
        let is_tied = observed.mapping.as_ref().is_some_and(|mapping| {
            mapping.address.as_ref() == Some(address)
                && (mapping.user_id.is_some() || mapping.invite_id.is_some())
        });
        if !is_tied {
            let filter = MappingFilter { email: Some(address.key()), ..MappingFilter::default() };
            let rows = reader.list_mappings(tenant, &filter, None, MOST_NAMESAKES).await?;
            observed.address_in_transit = rows.iter().any(|row| {
                row.person.id != person && !row.person.wants_access() && row.mapping.status != Status::Parked
            });
        }
    }
    Ok(())
}

/// The keys of the addresses that concern a person: the wished one, the bound one, and former ones at which an invite
/// may still appear.
fn address_keys(desired: &Desired, observed: &Observed) -> BTreeSet<String> {
    let bound = observed.mapping.as_ref().and_then(|mapping| mapping.address.as_ref());
    let mut keys: BTreeSet<String> = desired.address.iter().chain(bound).map(Address::key).collect();
    let unproven = observed.recent.iter().filter(|operation| operation.state == OperationState::Failed);
    for operation in observed.open.iter().chain(unproven) {
        if let Action::CreateInvite { address, .. } = &operation.action {
            keys.insert(address.to_ascii_lowercase());
        }
    }
    keys
}

/// Loads what is known of the tenant as a whole. `not_offered` are the lists that OpenAI does not offer to it.
pub(super) async fn load_facts(
    tenant: &TenantId,
    policy: &Policy,
    reader: &mut Reader,
    not_offered: &BTreeSet<Collection>,
) -> Result<Facts, StoreError> {
    let inventory = load_inventory(tenant, policy, reader, not_offered).await?;
    let (owners, granted_projects) = (reader.owners(tenant).await?, reader.granted_projects(tenant).await?);
    let mut facts = Facts { owners, inventory, granted_projects, ..Facts::default() };
    for collection in periodic(policy, &facts) {
        if let Some(sweep) = reader.last_sweep(tenant, &collection).await? {
            facts.sweeps.insert(collection, sweep);
        }
    }
    Ok(facts)
}
