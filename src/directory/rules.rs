//! Who may be created, changed and removed: the rules that stand between a wish and its transaction.
//!
//! They are judged on the stored state, inside the transaction, whatever way a request takes to an effect.

use super::DirectoryError;
use super::wish::Wish;
use crate::ids::TenantId;
use crate::model::address::Address;
use crate::model::mapping::{Mapping, Origin};
use crate::model::person::{Person, key_of};
use crate::model::policy::{OnAddressChange, OnExistingMember, Policy};
use crate::scim::error::ScimError;
use crate::store::Tx;

/// A person before and after a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) before: Option<&'a Person>,
    pub(super) after: &'a Person,
    pub(super) mapping: Option<&'a Mapping>,
}

impl Change<'_> {
    /// Whether the address differs from the stored one.
    pub(super) fn moves(&self) -> bool {
        self.before.is_some_and(|before| before.address != self.after.address)
    }

    fn is_member(&self) -> bool {
        self.mapping.is_some_and(|mapping| mapping.user_id.is_some())
    }
}

/// Whom a create may claim: people with the `userName` or the address who are only shown to identity providers, because
/// the members they stand for were there before, and whom none of them has written yet.
pub(super) async fn claimable(
    tx: &mut Tx,
    tenant: &TenantId,
    found: &[Person],
    address: &Address,
) -> Result<Vec<Person>, DirectoryError> {
    let at_address = tx.find_people_by_address(tenant, &address.key()).await?;
    let mut claimable: Vec<Person> = Vec::new();
    for person in found.iter().cloned().chain(at_address) {
        // Whoever was written once is somebody's.
        if person.version > 1 || claimable.iter().any(|known| known.id == person.id) {
            continue;
        }
        let row = tx.load_person_and_mapping(tenant, person.id).await?;
        let origin = row.and_then(|(_, mapping)| mapping).map(|mapping| mapping.origin);
        if origin == Some(Origin::Unclaimed) {
            claimable.push(person);
        }
    }
    Ok(claimable)
}

/// The stored person that a create is about: `None` for a new one, else a parked one to restore, or an unclaimed one
/// to claim.
///
/// `found` are the live people with the `userName` or the `externalId` of the wish. An `externalId` is an opaque
/// label that need not be unique, so it identifies somebody only when one person alone has it.
pub(super) fn whom_a_create_is_about(
    wish: &Wish,
    mut found: Vec<Person>,
    mut claimable: Vec<Person>,
) -> Result<Option<Person>, DirectoryError> {
    found.retain(|person| !claimable.iter().any(|other| other.id == person.id));
    let key = key_of(&wish.user_name);
    let (named, labelled): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|person| person.user_name_key() == key);
    let is_labelled =
        |person: &Person| person.external_id.is_some() && person.external_id == wish.external_id;
    let labelled: Vec<_> = labelled.into_iter().filter(is_labelled).collect();
    let named = named.into_iter().next();
    if named.as_ref().is_some_and(|person| person.active) {
        return Err(ScimError::uniqueness(super::error::USER_NAME_TAKEN).into());
    }
    if labelled.iter().any(|person| person.active) {
        let detail =
            "externalId belongs to another active user; look it up with a filter and update that one";
        return Err(ScimError::uniqueness(detail).into());
    }
    let claimed = claimable.pop();
    if claimed.is_some() && (named.is_some() || !labelled.is_empty() || !claimable.is_empty()) {
        let detail = "userName, externalId and address belong to different users; delete one of them, or update the one \
                      that is meant";
        return Err(ScimError::uniqueness(detail).into());
    }
    match (named.or(claimed), labelled.len()) {
        (named, 0) => Ok(named),
        (None, 1) => Ok(labelled.into_iter().next()),
        _ => {
            let detail = "userName and externalId belong to different inactive users; delete one of them, or update \
                          the one that is meant";
            Err(ScimError::uniqueness(detail).into())
        }
    }
}

/// All rules for a write that leaves the person in the directory.
pub(super) async fn check(tx: &mut Tx, policy: &Policy, change: &Change<'_>) -> Result<(), DirectoryError> {
    check_protected(policy, change)?;
    let after = change.after;
    let Some(address) = after.address.as_ref().filter(|_| after.wants_access()) else { return Ok(()) };
    let had_access = change.before.is_some_and(Person::wants_access);
    if had_access && !change.moves() {
        return Ok(());
    }
    check_domain(policy, after)?;
    if change.moves() && change.is_member() && policy.on_address_change == OnAddressChange::Refuse {
        let detail = "the e-mail address of an OpenAI member cannot be changed; keep the address, or remove the user \
                      and create them anew";
        return Err(ScimError::mutability(detail).into());
    }
    check_address_is_free(tx, policy, change, address).await
}

/// Refuses to take a protected account's access away, be it by removal or by a move to another address.
pub(super) fn check_protected(policy: &Policy, change: &Change<'_>) -> Result<(), DirectoryError> {
    let Some(before) = change.before.filter(|before| before.wants_access()) else { return Ok(()) };
    let loses = !change.after.wants_access() || (change.moves() && change.is_member());
    let bound = change.mapping.and_then(|mapping| mapping.address.as_ref());
    let is_protected = |address: &Address| policy.protected.contains(&address.key());
    if loses && before.address.iter().chain(bound).any(is_protected) {
        let detail =
            "this account is protected by the settings of the bridge (safety.protected) and keeps its access";
        return Err(ScimError::forbidden(detail).into());
    }
    Ok(())
}

/// Refuses an address outside the allowed domains.
pub(super) fn check_domain(policy: &Policy, person: &Person) -> Result<(), DirectoryError> {
    let Some(address) = &person.address else { return Ok(()) };
    if policy.allowed_domains.is_empty() || policy.allowed_domains.contains(&address.domain()) {
        return Ok(());
    }
    let detail = format!(
        "emails: the domain {} is not among the domains that this bridge may invite; allow it in the settings, or send \
         another address",
        address.domain()
    );
    Err(ScimError::invalid_value(detail).into())
}

/// Refuses an address that another user wants or has.
async fn check_address_is_free(
    tx: &mut Tx,
    policy: &Policy,
    change: &Change<'_>,
    address: &Address,
) -> Result<(), DirectoryError> {
    let Person { tenant, id, .. } = change.after;
    let taken =
        || ScimError::uniqueness("emails: another user has this address; one address stands for one user");
    // Of two who come for one address at once, the second sees the first.
    tx.take_turn(tenant, &format!("address:{}", address.key())).await?;
    for other in tx.find_people_by_address(tenant, &address.key()).await? {
        if other.id == *id {
            continue;
        }
        if other.active {
            return Err(taken().into());
        }
        let mapping = tx.load_person_and_mapping(tenant, other.id).await?.and_then(|(_, mapping)| mapping);
        if mapping.is_some_and(|mapping| mapping.user_id.is_some() || mapping.invite_id.is_some()) {
            let detail = "emails: the access of an inactive user with this address is still being removed; try again \
                          in a minute";
            return Err(ScimError::uniqueness(detail).into());
        }
    }
    for member in tx.members_by_address(tenant, &address.key()).await? {
        if let Some(other) = tx.bound_to_other(tenant, &member.id, *id).await? {
            // Bound to a deleted user: the member is on the way out, and the engine waits for that.
            if tx.load_person(tenant, other).await?.is_some() {
                return Err(taken().into());
            }
            continue;
        }
        let is_own = change.mapping.is_some_and(|mapping| mapping.user_id.as_ref() == Some(&member.id));
        if !is_own && policy.on_existing_member == OnExistingMember::Conflict {
            let detail = "emails: this address is a member of the OpenAI organization already, and the settings say \
                          not to link existing members";
            return Err(ScimError::uniqueness(detail).into());
        }
    }
    Ok(())
}
