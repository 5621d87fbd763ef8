//! Who is in the organization, held against the directory: whom a user stands for, whom nobody speaks of, and what is
//! not to be touched. And the user by which a member is shown to identity providers until one of them claims it.

use jiff::Timestamp;
use serde_json::{Map, json};

use super::guard;
use crate::clock::Clock;
use crate::ids::{PersonId, TenantId, UserId};
use crate::model::address::Address;
use crate::model::grant::OrgRole;
use crate::model::mapping::{Mapping, Origin, Status};
use crate::model::observed::{Invite, InviteStatus, Member};
use crate::model::operation::Lane;
use crate::model::person::{Person, key_of};
use crate::model::policy::Policy;
use crate::store::{Bound, Reader, StoreError, Tx};

/// How a member or an invite stands to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A user stands for it.
    Linked,
    /// A user stands for it whom no identity provider has claimed yet.
    Unclaimed,
    /// One user has its address and is bound to nobody: the two can be linked.
    Match,
    /// It is not plain which user is meant, or the user is bound to somebody else.
    Conflict,
    /// No user has its address.
    Unmanaged,
    /// OpenAI's own directory sync manages it.
    ScimManaged,
    /// A service account, or the organization's default user.
    ServiceAccount,
    /// The settings protect it.
    Protected,
}

impl Kind {
    /// The word shown in tables and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Unclaimed => "unclaimed",
            Self::Match => "match",
            Self::Conflict => "conflict",
            Self::Unmanaged => "unmanaged",
            Self::ScimManaged => "scim-managed",
            Self::ServiceAccount => "service-account",
            Self::Protected => "protected",
        }
    }
}

/// One line of the survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How it stands.
    pub kind: Kind,
    /// The id of the member or of the invite.
    pub id: String,
    /// Whether it is an invite.
    pub is_invite: bool,
    /// The address, if OpenAI shows one.
    pub email: Option<String>,
    /// The organization role, if it is one of the two classic ones.
    pub role: Option<OrgRole>,
    /// The user who stands for it, or could.
    pub person: Option<(PersonId, String)>,
    /// What else there is to know.
    pub note: String,
}

/// Holds one member against the directory, with the person whom they stand for.
pub async fn survey_member(
    reader: &mut Reader,
    tenant: &TenantId,
    policy: &Policy,
    member: &Member,
    bound: Option<Bound>,
) -> Result<Line, StoreError> {
    let line = |kind, person, note: &str| Line {
        kind,
        id: member.id.to_string(),
        is_invite: false,
        email: member.email.clone(),
        role: member.role,
        person,
        note: note.to_owned(),
    };
    if member.is_service_account || member.is_default {
        let note = if member.is_default { "the organization's default user" } else { "" };
        return Ok(line(Kind::ServiceAccount, None, note));
    }
    if member.is_scim_managed {
        return Ok(line(Kind::ScimManaged, None, "managed by OpenAI's own directory sync"));
    }
    if let Some(bound) = bound {
        // Shown to identity providers, and written by none of them.
        let is_unclaimed = bound.origin == Origin::Unclaimed && bound.version <= 1;
        let kind = if is_unclaimed { Kind::Unclaimed } else { Kind::Linked };
        return Ok(line(kind, Some((bound.person, bound.user_name)), ""));
    }
    let Some(email) = member.email.as_deref() else {
        return Ok(line(Kind::Unmanaged, None, "OpenAI shows no address"));
    };
    if guard::is_protected(email, policy) {
        return Ok(line(Kind::Protected, None, "protected by the settings (safety.protected)"));
    }
    let (kind, person, note) = match_address(reader, tenant, email).await?;
    if kind == Kind::Match && reader.members_by_address(tenant, &key_of(email)).await?.len() > 1 {
        let note = "several members have this address";
        return Ok(line(Kind::Conflict, person, note));
    }
    let is_owner = member.role == Some(OrgRole::Owner);
    let note = if kind == Kind::Match && is_owner { "an owner: link only what you mean" } else { note };
    Ok(line(kind, person, note))
}

/// Holds one invite against the directory, with the person whom it stands for; `None` for one that is over.
pub async fn survey_invite(
    reader: &mut Reader,
    tenant: &TenantId,
    invite: &Invite,
    bound: Option<Bound>,
) -> Result<Option<Line>, StoreError> {
    if invite.status != InviteStatus::Pending {
        return Ok(None);
    }
    let (kind, person, note) = match bound {
        Some(bound) => (Kind::Linked, Some((bound.person, bound.user_name)), ""),
        None => match_address(reader, tenant, &invite.email).await?,
    };
    let note = if kind == Kind::Match { "an invite: the bridge links it by itself" } else { note };
    Ok(Some(Line {
        kind,
        id: invite.id.to_string(),
        is_invite: true,
        email: Some(invite.email.clone()),
        role: invite.role,
        person,
        note: note.to_owned(),
    }))
}

/// The user with this address, if there is just one who could be meant.
async fn match_address(
    reader: &mut Reader,
    tenant: &TenantId,
    email: &str,
) -> Result<(Kind, Option<(PersonId, String)>, &'static str), StoreError> {
    let mut people = reader.find_people_by_address(tenant, &key_of(email)).await?;
    let Some(person) = people.pop() else { return Ok((Kind::Unmanaged, None, "")) };
    if !people.is_empty() {
        return Ok((Kind::Conflict, None, "several users have this address"));
    }
    let mapping = reader.load_person_and_mapping(tenant, person.id).await?.and_then(|(_, mapping)| mapping);
    let (is_active, person) = (person.active, Some((person.id, person.user_name)));
    if mapping.is_some_and(|mapping| mapping.user_id.is_some()) {
        return Ok((Kind::Conflict, person, "the user stands for another member"));
    }
    if !is_active {
        return Ok((Kind::Conflict, person, "the user is deactivated"));
    }
    Ok((Kind::Match, person, ""))
}

/// Why a member cannot be linked to a user at an administrator's word, if so.
pub async fn why_not_linkable(
    reader: &mut Reader,
    tenant: &TenantId,
    policy: &Policy,
    person: PersonId,
    user: &UserId,
) -> Result<Option<String>, StoreError> {
    let Some(member) = reader.member(tenant, user).await? else {
        return Ok(Some(format!("{user} is not a member, as far as was read")));
    };
    if let Some(reason) = guard::untouchable(&member, policy) {
        return Ok(Some(reason));
    }
    if let Some(other) = reader.bound_to(tenant, user).await? {
        let whose = if other == person { "this user" } else { "another user" };
        return Ok(Some(format!("{user} stands for {whose} already")));
    }
    let Some(work) = reader.load_work(tenant, person).await? else {
        return Ok(Some(format!("no user has the SCIM id {person}")));
    };
    if !work.person.wants_access() {
        return Ok(Some("the user is deactivated or deleted".to_owned()));
    }
    let bound = work.mapping.and_then(|mapping| mapping.user_id);
    Ok(bound.map(|bound| format!("the user stands for {bound} already")))
}

/// What became of showing a member to identity providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// There is a user for them now.
    Added,
    /// Their address cannot be a user's.
    NoAddress,
    /// Somebody has their address or name already.
    Taken,
    /// They are not to be touched, or owners whom nobody asked for.
    LeftOut,
}

/// Makes a member visible to identity providers as a user whom nobody has claimed. Until one writes it, the bridge
/// changes nothing about the member.
pub async fn show_member(
    tx: &mut Tx,
    clock: &Clock,
    policy: &Policy,
    tenant: &TenantId,
    member: &Member,
    with_owners: bool,
) -> Result<(Shown, Option<PersonId>), StoreError> {
    let is_owner = member.role == Some(OrgRole::Owner);
    if guard::untouchable(member, policy).is_some() || (is_owner && !with_owners) {
        return Ok((Shown::LeftOut, None));
    }
    let Some(address) = member.email.as_deref().and_then(|email| Address::parse(email).ok()) else {
        return Ok((Shown::NoAddress, None));
    };
    let key = address.key();
    let is_taken = !tx.find_people(tenant, &key, None).await?.is_empty()
        || !tx.find_people_by_address(tenant, &key).await?.is_empty()
        || tx.bound_to(tenant, &member.id).await?.is_some();
    if is_taken {
        return Ok((Shown::Taken, None));
    }
    let person = unclaimed_person(clock, tenant, member, address.clone());
    tx.insert_person(&person, Lane::Read).await?;
    let mapping = unclaimed_mapping(&person, member, address, clock.now());
    tx.save_mapping(&mapping).await?;
    Ok((Shown::Added, Some(person.id)))
}

fn unclaimed_person(clock: &Clock, tenant: &TenantId, member: &Member, address: Address) -> Person {
    let now = clock.now();
    let mut attributes = Map::new();
    attributes.insert("userName".to_owned(), json!(address.as_str()));
    if let Some(name) = member.name.as_deref().filter(|name| !name.is_empty()) {
        attributes.insert("displayName".to_owned(), json!(name));
        attributes.insert("name".to_owned(), json!({ "formatted": name }));
    }
    attributes
        .insert("emails".to_owned(), json!([{ "value": address.as_str(), "type": "work", "primary": true }]));
    attributes.insert("active".to_owned(), json!(true));
    Person {
        tenant: tenant.clone(),
        id: PersonId::new(clock),
        user_name: address.as_str().to_owned(),
        external_id: None,
        address: Some(address),
        active: true,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes,
    }
}

fn unclaimed_mapping(person: &Person, member: &Member, address: Address, now: Timestamp) -> Mapping {
    Mapping {
        address: Some(address),
        origin: Origin::Unclaimed,
        user_id: Some(member.id.clone()),
        status: Status::Member,
        effective_role: member.role,
        last_synced_at: Some(now),
        ..Mapping::new(person.tenant.clone(), person.id)
    }
}
