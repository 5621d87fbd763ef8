//! The writes: create, replace, patch, delete. Each is one transaction that reads, decides and writes, with its entry
//! in the audit trail, and may run more than once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::feed::{Method, Publisher, Reply, paths, subject, with_access};
use super::render::Shown;
use super::rules::{self, Change};
use super::wish::{OPENAI_USER, Wish};
use super::{Caller, Directory, DirectoryError, no_such_user, parse_id, user_type};
use crate::ids::{PersonId, TenantId};
use crate::model::audit::{Actor, AuditEntry};
use crate::model::event::{Event, EventKind};
use crate::model::group::GroupName;
use crate::model::mapping::Mapping;
use crate::model::operation::Lane;
use crate::model::person::{Person, key_of};
use crate::model::policy::Policy;
use crate::model::scope::Scope;
use crate::scim::etag::{Condition, Version};
use crate::scim::patch::{ChangeSet, PatchRequest};
use crate::scim::resource::Resource;
use crate::scim::schema::{Mode, replace, validate};
use crate::store::Tx;

/// The attributes that can ask for access.
const GRANTING: [&str; 3] = [OPENAI_USER, "roles", "entitlements"];

/// What a write came to.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The person as they are stored now.
    pub(super) person: Person,
    /// Their mapping row.
    pub(super) mapping: Option<Mapping>,
    /// The groups they are in.
    pub(super) groups: Vec<GroupName>,
    /// The person as they were stored before.
    pub(super) before: Option<Person>,
    /// Whether anything was written.
    pub(super) changed: bool,
    /// Whether the engine may have something to do about it.
    pub(super) concerns_upstream: bool,
}

/// Everything a transaction needs, fixed before it first runs.
#[derive(Debug)]
pub(super) struct Order<T> {
    pub(super) caller: Caller,
    pub(super) policy: Arc<Policy>,
    pub(super) now: Timestamp,
    pub(super) publisher: Publisher,
    pub(super) what: T,
}

impl Directory {
    /// Creates a user, or restores a parked one who is meant. `wait` is how long the client would like to wait.
    pub async fn create_user(
        &self,
        caller: &Caller,
        body: Value,
        wait: Option<Duration>,
    ) -> Result<Reply<Shown>, DirectoryError> {
        caller.require(Scope::UsersWrite)?;
        let wish = Wish::read(validate(user_type(), body, Mode::Create)?.into_map())?;
        let order = self.order(caller, (PersonId::new(&self.clock), wish))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move { create(tx, &order).await })
            })
            .await?;
        let settle = |directory: Self, caller: Caller, written, wait| async move {
            directory.settle_create(&caller, written, wait).await
        };
        self.answer(caller, Method::Post, written, wait, settle).await
    }

    /// Replaces a user's attributes by the body (RFC 7644 §3.5.1). A body that says nothing of `active` leaves access
    /// as it is: what is not said is no order to take it away, or to give it.
    pub async fn replace_user(
        &self,
        caller: &Caller,
        id: &str,
        body: Value,
        if_match: Option<Condition>,
        wait: Option<Duration>,
    ) -> Result<Reply<Shown>, DirectoryError> {
        caller.require(Scope::UsersWrite)?;
        let id = parse_id(id)?;
        let resource = validate(user_type(), body, Mode::Replace)?;
        let order = self.order(caller, (id, resource, if_match))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move {
                    let (id, resource, if_match) = &order.what;
                    let (before, mapping) = load(tx, &order.caller, *id, if_match.as_ref()).await?;
                    let attributes = before.attributes.clone().into();
                    let after = replace(user_type(), &attributes, resource.clone())?;
                    change(tx, &order, Method::Put, before, mapping, Wish::read(after.into_map())?).await
                })
            })
            .await?;
        self.answer_change(caller, Method::Put, written, wait).await
    }

    /// Changes some of a user's attributes (RFC 7644 §3.5.2).
    pub async fn patch_user(
        &self,
        caller: &Caller,
        id: &str,
        body: Value,
        if_match: Option<Condition>,
        wait: Option<Duration>,
    ) -> Result<Reply<Shown>, DirectoryError> {
        caller.require(Scope::UsersWrite)?;
        let id = parse_id(id)?;
        let patch = PatchRequest::parse(body)?;
        let order = self.order(caller, (id, patch, if_match))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move {
                    let (id, patch, if_match) = &order.what;
                    let (before, mapping) = load(tx, &order.caller, *id, if_match.as_ref()).await?;
                    let mut resource = Resource::from(before.attributes.clone());
                    // A client may echo the id it knows, and only that one.
                    resource.set("id", before.id.to_string());
                    let applied = patch.apply(user_type(), &mut resource);
                    if !planted!(PatchNotAtomic) {
                        let _changes = applied?;
                    }
                    let wish = Wish::read(resource.into_map())?;
                    change(tx, &order, Method::Patch, before, mapping, wish).await
                })
            })
            .await?;
        self.answer_change(caller, Method::Patch, written, wait).await
    }

    /// Deletes a user: the resource is gone at once, the access as soon as the engine gets to it.
    pub async fn delete_user(
        &self,
        caller: &Caller,
        id: &str,
        if_match: Option<Condition>,
    ) -> Result<Reply<()>, DirectoryError> {
        caller.require(Scope::UsersWrite)?;
        let id = parse_id(id)?;
        let order = self.order(caller, (id, if_match))?;
        self.store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move { delete(tx, &order).await })
            })
            .await?;
        self.engine.nudge(&caller.tenant, id);
        self.answer_deletion(caller, subject(&id)).await
    }

    async fn answer_change(
        &self,
        caller: &Caller,
        method: Method,
        written: Written,
        wait: Option<Duration>,
    ) -> Result<Reply<Shown>, DirectoryError> {
        let settle = |directory: Self, caller: Caller, written, wait| async move {
            directory.settle_change(&caller, written, wait).await
        };
        self.answer(caller, method, written, wait, settle).await
    }

    pub(super) fn order<T>(&self, caller: &Caller, what: T) -> Result<Arc<Order<T>>, DirectoryError> {
        let policy = self.policy(caller)?;
        let now = self.clock.now();
        let publisher = self.publisher(caller, now);
        Ok(Arc::new(Order { caller: caller.clone(), policy, now, publisher, what }))
    }
}

async fn create(tx: &mut Tx, order: &Order<(PersonId, Wish)>) -> Result<Written, DirectoryError> {
    let (id, wish) = &order.what;
    let tenant = &order.caller.tenant;
    let found = tx.find_people(tenant, &key_of(&wish.user_name), wish.external_id.as_deref()).await?;
    let address = wish.address.clone()?;
    let claimable = rules::claimable(tx, tenant, &found, &address).await?;
    let before = rules::whom_a_create_is_about(wish, found, claimable)?;
    let mapping = match &before {
        Some(before) => tx.load_person_and_mapping(tenant, before.id).await?.and_then(|(_, mapping)| mapping),
        None => None,
    };
    let mut person = Person {
        tenant: tenant.clone(),
        id: *id,
        user_name: wish.user_name.clone(),
        external_id: wish.external_id.clone(),
        address: Some(address),
        active: wish.active.unwrap_or(true),
        deleted_at: None,
        version: 1,
        created_at: order.now,
        modified_at: order.now,
        attributes: wish.attributes.clone(),
    };
    person.attributes.insert("active".to_owned(), person.active.into());
    if let Some(before) = &before {
        person.id = before.id;
        person.created_at = before.created_at;
        person.version = before.version.saturating_add(1);
    }
    rules::check_domain(&order.policy, &person)?;
    let change = Change { before: before.as_ref(), after: &person, mapping: mapping.as_ref() };
    rules::check(tx, &order.policy, &change).await?;

    let event = match &before {
        None => "user.create",
        Some(before) if before.active => "user.claim",
        Some(_) => "user.restore",
    };
    let lane = lane(&change);
    match &before {
        Some(before) => tx.update_person(&person, before.version, lane).await?,
        None => tx.insert_person(&person, lane).await?,
    }
    let detail = json!({ "active": person.active, "attributes": names(&person.attributes) });
    tx.append_audit(&audit(&order.caller, order.now, person.id, event, detail)).await?;
    let path = subject(&person.id);
    order.publisher.defer(tx, Method::Post, path.clone(), person.version).await?;
    let told = |event: Event| {
        let version = Version(person.version).to_string();
        match &before {
            None => {
                let paths = paths(&person.attributes);
                event.with_notice(EventKind::Create, paths.iter().map(String::as_str), &version)
            }
            Some(before) => {
                let changes = changes(before, &person);
                let event = event.with_notice(EventKind::Put, changes.paths(), &version);
                with_access(event, before.active, person.active)
            }
        }
    };
    order.publisher.publish(tx, path, told).await?;
    let concerns_upstream = person.active;
    // Whoever is restored is still in their groups.
    let groups = tx.groups_of(tenant, person.id).await?;
    Ok(Written { person, mapping, groups, before, changed: true, concerns_upstream })
}

/// Brings a stored person to what is wished.
async fn change<T>(
    tx: &mut Tx,
    order: &Order<T>,
    method: Method,
    before: Person,
    mapping: Option<Mapping>,
    wish: Wish,
) -> Result<Written, DirectoryError> {
    let groups = tx.groups_of(&before.tenant, before.id).await?;
    // Saying nothing about `active` changes nothing about access.
    let active = wish.active.unwrap_or(before.active && !planted!(AbsenceDeactivates));
    let mut attributes = wish.attributes;
    attributes.insert("active".to_owned(), active.into());
    let path = subject(&before.id);
    if attributes == before.attributes {
        order.publisher.defer(tx, method, path, before.version).await?;
        return Ok(Written {
            person: before,
            mapping,
            groups,
            before: None,
            changed: false,
            concerns_upstream: false,
        });
    }
    let address = match wish.address {
        Ok(address) => Some(address),
        // Somebody who loses access, or has none, needs no address; nothing about it may stand in the way.
        Err(_) if !active => None,
        Err(error) => return Err(error.into()),
    };
    let person = Person {
        user_name: wish.user_name,
        external_id: wish.external_id,
        address,
        active,
        version: before.version.saturating_add(1),
        modified_at: order.now,
        attributes,
        ..before.clone()
    };
    let change = Change { before: Some(&before), after: &person, mapping: mapping.as_ref() };
    rules::check(tx, &order.policy, &change).await?;
    tx.update_person(&person, before.version, lane(&change)).await?;

    let event = match (before.active, person.active) {
        (true, false) => "user.deactivate",
        (false, true) => "user.activate",
        _ => "user.update",
    };
    let changes = changes(&before, &person);
    let detail = json!({ "changed": changes.paths().collect::<Vec<_>>() });
    tx.append_audit(&audit(&order.caller, order.now, person.id, event, detail)).await?;
    order.publisher.defer(tx, method, path.clone(), person.version).await?;
    let told = |event: Event| {
        let event = event.with_notice(method.notice(), changes.paths(), &Version(person.version).to_string());
        with_access(event, before.active, person.active)
    };
    order.publisher.publish(tx, path, told).await?;
    let concerns_upstream = before.active != person.active
        || (person.active
            && (before.address != person.address
                || GRANTING.iter().any(|name| before.attributes.get(*name) != person.attributes.get(*name))));
    Ok(Written { person, mapping, groups, before: Some(before), changed: true, concerns_upstream })
}

async fn delete(tx: &mut Tx, order: &Order<(PersonId, Option<Condition>)>) -> Result<(), DirectoryError> {
    let (id, if_match) = &order.what;
    let (before, mapping) = load(tx, &order.caller, *id, if_match.as_ref()).await?;
    let tombstone = Person {
        deleted_at: Some(order.now),
        version: before.version.saturating_add(1),
        modified_at: order.now,
        attributes: Map::new(),
        ..before.clone()
    };
    rules::check_protected(
        &order.policy,
        &Change { before: Some(&before), after: &tombstone, mapping: mapping.as_ref() },
    )?;
    tx.update_person(&tombstone, before.version, Lane::Revoke).await?;
    for group in tx.groups_of(&before.tenant, *id).await? {
        super::groups::take_turn(tx, &before.tenant, group.id).await?;
    }
    tx.leave_groups(&before.tenant, *id, order.now).await?;
    if planted!(TombstoneDroppedEarly) {
        tx.erase_person(&before.tenant, *id, tombstone.version).await?;
    }
    tx.append_audit(&audit(&order.caller, order.now, *id, "user.delete", json!({}))).await?;
    order.publisher.defer(tx, Method::Delete, subject(id), 0).await?;
    order.publisher.publish(tx, subject(id), |event| event.with(EventKind::Delete)).await?;
    Ok(())
}

/// Which attributes differ between two states of a person.
pub(super) fn changes(before: &Person, after: &Person) -> ChangeSet {
    ChangeSet::between(&before.attributes.clone().into(), &after.attributes.clone().into())
}

/// The stored person, provided it is the version that the client knows.
async fn load(
    tx: &mut Tx,
    caller: &Caller,
    id: PersonId,
    if_match: Option<&Condition>,
) -> Result<(Person, Option<Mapping>), DirectoryError> {
    // Changes of one person that come at once are made one after the other instead of failing.
    tx.take_turn(&caller.tenant, &format!("person:{id}")).await?;
    let elsewhere = planted!(TenantFromPath).then(TenantId::default_tenant);
    let found = tx.load_person_and_mapping(elsewhere.as_ref().unwrap_or(&caller.tenant), id).await?;
    let (person, mapping) = found.ok_or_else(no_such_user)?;
    if let Some(if_match) = if_match {
        if_match.require(Version(person.version))?;
    }
    Ok((person, mapping))
}

/// The class in which the engine takes the change up.
fn lane(change: &Change<'_>) -> Lane {
    let had_access = change.before.is_some_and(Person::wants_access);
    match (had_access, change.after.wants_access()) {
        (true, false) => Lane::Revoke,
        (false, true) => Lane::Invite,
        (true, true) if change.moves() => Lane::Invite,
        _ => Lane::Grant,
    }
}

pub(super) fn audit(
    caller: &Caller,
    at: Timestamp,
    person: impl Into<Option<PersonId>>,
    event: &str,
    detail: Value,
) -> AuditEntry {
    let actor = Actor::Token(caller.token.clone());
    AuditEntry {
        request: Some(caller.request),
        person: person.into(),
        ..AuditEntry::by(actor, &caller.tenant, at, event, detail)
    }
}

fn names(attributes: &Map<String, Value>) -> Vec<&str> {
    attributes.keys().map(String::as_str).collect()
}
