//! The writes of groups: create, replace, patch, delete. Each is one transaction that may run more than once.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::error::GROUP_NAME_TAKEN;
use super::super::feed::{Method, Reply, paths, success};
use super::super::write::{Order, audit};
use super::super::{Caller, Directory, DirectoryError, group_type};
use super::{ShownGroup, no_such_group, parse_id, take_turn};
use crate::ids::{GroupId, PersonId, TenantId};
use crate::model::event::{Event, EventKind};
use crate::model::group::Group;
use crate::model::operation::Lane;
use crate::model::scope::Scope;
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::etag::{Condition, Version};
use crate::scim::patch::{ChangeSet, GROUP_AS_MEMBER, MemberChange, PatchRequest, member_ids};
use crate::scim::resource::Resource;
use crate::scim::schema::{Mode, replace, validate};
use crate::store::{MemberDelta, StoreError, Tx};

/// Members named in one entry of the audit trail, of those who joined and of those who left.
const NAMED_IN_AUDIT: usize = 100;
/// People of one write whom the engine is told of; it finds the others in the store.
const NUDGED: usize = 100;
/// Unknown members named in one refusal.
const NAMED_IN_REFUSAL: usize = 5;

/// A group resource as the identity provider wants it to be, but for its members.
#[derive(Debug, Clone)]
struct Wish {
    display_name: String,
    external_id: Option<String>,
    attributes: Map<String, Value>,
}

/// Whose membership changes.
#[derive(Debug, Clone, Default)]
struct Members {
    /// Whether everybody leaves who does not join.
    replace: bool,
    join: BTreeSet<PersonId>,
    leave: BTreeSet<PersonId>,
}

/// What a write came to.
#[derive(Debug)]
struct Written {
    group: Group,
    /// Of whom the engine should take notice.
    concerned: Vec<PersonId>,
}

impl Directory {
    /// Creates a group with its members.
    pub async fn create_group(
        &self,
        caller: &Caller,
        body: Value,
    ) -> Result<Reply<ShownGroup>, DirectoryError> {
        caller.require(Scope::GroupsWrite)?;
        let resource = validate(group_type(), body, Mode::Create)?;
        let members = Members::all_of(&resource)?;
        let wish = Wish::read(resource)?;
        let order = self.order(caller, (GroupId::new(&self.clock), wish, members))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move { create(tx, &order).await })
            })
            .await?;
        self.answer_group(caller, Method::Post, &written).await
    }

    /// Replaces a group's attributes by the body (RFC 7644 §3.5.1), and its members if the body has any or says that
    /// there are none ([`dialect::gives`]).
    pub async fn replace_group(
        &self,
        caller: &Caller,
        id: &str,
        body: Value,
        if_match: Option<Condition>,
    ) -> Result<Reply<ShownGroup>, DirectoryError> {
        caller.require(Scope::GroupsWrite)?;
        let id = parse_id(id)?;
        let gives_members = dialect::gives(group_type(), &body, "members");
        let resource = validate(group_type(), body, Mode::Replace)?;
        let members = if gives_members { Members::all_of(&resource)? } else { Members::default() };
        let order = self.order(caller, (id, resource, members, if_match))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move {
                    let (id, resource, members, if_match) = &order.what;
                    let before = load(tx, &order.caller, *id, if_match.as_ref()).await?;
                    let attributes = before.attributes.clone().into();
                    let wish = Wish::read(replace(group_type(), &attributes, resource.clone())?)?;
                    change(tx, &order, Method::Put, before, wish, members).await
                })
            })
            .await?;
        self.answer_group(caller, Method::Put, &written).await
    }

    /// Changes some of a group's attributes and members (RFC 7644 §3.5.2).
    pub async fn patch_group(
        &self,
        caller: &Caller,
        id: &str,
        body: Value,
        if_match: Option<Condition>,
    ) -> Result<Reply<ShownGroup>, DirectoryError> {
        caller.require(Scope::GroupsWrite)?;
        let id = parse_id(id)?;
        let (patch, members) = PatchRequest::parse(body)?.split_members(group_type())?;
        let order = self.order(caller, (id, patch, Members::read(members)?, if_match))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move {
                    let (id, patch, members, if_match) = &order.what;
                    let before = load(tx, &order.caller, *id, if_match.as_ref()).await?;
                    let mut resource = Resource::from(before.attributes.clone());
                    // Okta repeats the id that it knows with every rename.
                    resource.set("id", before.id.to_string());
                    let _changes = patch.apply(group_type(), &mut resource)?;
                    change(tx, &order, Method::Patch, before, Wish::read(resource)?, members).await
                })
            })
            .await?;
        self.answer_group(caller, Method::Patch, &written).await
    }

    /// Deletes a group. Its members stay users, without what the group gave them.
    pub async fn delete_group(
        &self,
        caller: &Caller,
        id: &str,
        if_match: Option<Condition>,
    ) -> Result<Reply<()>, DirectoryError> {
        caller.require(Scope::GroupsWrite)?;
        let id = parse_id(id)?;
        let order = self.order(caller, (id, if_match))?;
        let written = self
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move { delete(tx, &order).await })
            })
            .await?;
        self.nudge_all(caller, &written.concerned);
        self.engine.nudge_groups(&caller.tenant);
        self.answer_deletion(caller, subject(id)).await
    }

    /// Answers a write, which never waits for the engine: what a group gives, its members show.
    async fn answer_group(
        &self,
        caller: &Caller,
        method: Method,
        written: &Written,
    ) -> Result<Reply<ShownGroup>, DirectoryError> {
        self.nudge_all(caller, &written.concerned);
        self.engine.nudge_groups(&caller.tenant);
        let group = self.render_group(caller, &written.group);
        let outcome = success(method.as_str(), &group.shown.location, group.shown.version);
        self.answer_at_once(caller, subject(group.id), outcome, group).await
    }

    fn nudge_all(&self, caller: &Caller, people: &[PersonId]) {
        for person in people {
            self.engine.nudge(&caller.tenant, *person);
        }
    }
}

impl Wish {
    fn read(resource: Resource) -> Result<Self, ScimError> {
        let mut attributes = resource.into_map();
        for dropped in ["schemas", "id", "meta", "members"] {
            attributes.shift_remove(dropped);
        }
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let display_name = text("displayName")
            .ok_or_else(|| ScimError::invalid_value("displayName is required and must not be empty"))?;
        Ok(Self {
            display_name: display_name.to_owned(),
            external_id: text("externalId").map(str::to_owned),
            attributes,
        })
    }
}

impl Members {
    /// Those of a validated body are all the members there are to be.
    fn all_of(resource: &Resource) -> Result<Self, ScimError> {
        Self::read(MemberChange::to(member_ids(resource.values("members"))?))
    }

    fn read(change: MemberChange) -> Result<Self, ScimError> {
        let mut join = BTreeSet::new();
        for id in change.join {
            // What is no id of ours is nobody's.
            join.insert(id.parse().map_err(|_malformed| unknown_members(&[id]))?);
        }
        let leave = change.leave.iter().filter_map(|id| id.parse().ok()).collect();
        let replace = change.replace || (planted!(AddReplaces) && !join.is_empty());
        Ok(Self { replace, join, leave })
    }
}

fn unknown_members(ids: &[String]) -> ScimError {
    let named = ids.iter().take(NAMED_IN_REFUSAL).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
    let more = match ids.len().saturating_sub(NAMED_IN_REFUSAL) {
        0 => String::new(),
        more => format!(" and of {more} more"),
    };
    ScimError::invalid_value(format!(
        "members: there is no user with the id {named}{more}; provision the users first, then add them"
    ))
}

async fn create(tx: &mut Tx, order: &Order<(GroupId, Wish, Members)>) -> Result<Written, DirectoryError> {
    let (id, wish, members) = &order.what;
    let tenant = &order.caller.tenant;
    check_known(tx, tenant, &members.join).await?;
    let group = Group {
        tenant: tenant.clone(),
        id: *id,
        display_name: wish.display_name.clone(),
        external_id: wish.external_id.clone(),
        version: 1,
        created_at: order.now,
        modified_at: order.now,
        attributes: wish.attributes.clone(),
    };
    tx.insert_group(&group).await.map_err(name_taken)?;
    let delta = MemberDelta { added: join(tx, &group, members).await?, removed: Vec::new() };
    let concerned = make_due(tx, order, &delta).await?;
    let names: Vec<_> = group.attributes.keys().collect();
    let detail = detail(&group, "attributes", &json!(names), &delta);
    tx.append_audit(&audit(&order.caller, order.now, None, "group.create", detail)).await?;
    let mut told = paths(&group.attributes);
    told.extend(delta_path(&delta));
    order.publisher.defer(tx, Method::Post, subject(group.id), group.version).await?;
    publish(tx, order, &group, EventKind::Create, told).await?;
    Ok(Written { group, concerned })
}

/// Brings a stored group to what is wished.
async fn change<T>(
    tx: &mut Tx,
    order: &Order<T>,
    method: Method,
    before: Group,
    wish: Wish,
    members: &Members,
) -> Result<Written, DirectoryError> {
    let tenant = &order.caller.tenant;
    let path = subject(before.id);
    check_known(tx, tenant, &members.join).await?;
    let delta = if members.replace {
        tx.replace_members(tenant, before.id, &members.join).await?
    } else {
        let removed = match &members.leave {
            leave if leave.is_empty() => Vec::new(),
            leave => tx.remove_members(tenant, before.id, leave).await?,
        };
        MemberDelta { added: join(tx, &before, members).await?, removed }
    };
    if delta.is_empty() && wish.attributes == before.attributes {
        order.publisher.defer(tx, method, path, before.version).await?;
        return Ok(Written { group: before, concerned: Vec::new() });
    }
    let group = Group {
        display_name: wish.display_name,
        external_id: wish.external_id,
        version: before.version.saturating_add(1),
        modified_at: order.now,
        attributes: wish.attributes,
        ..before.clone()
    };
    tx.update_group(&group, before.version).await.map_err(name_taken)?;
    let concerned = make_due(tx, order, &delta).await?;
    let is_renamed = group.display_name != before.display_name || group.external_id != before.external_id;
    if is_renamed && has_rules(order) {
        tx.make_members_due(tenant, group.id, Lane::Reduce).await?;
    }
    let changes = ChangeSet::between(&before.attributes.clone().into(), &group.attributes.clone().into());
    let changed: Vec<_> = changes.paths().collect();
    let detail = detail(&group, "changed", &json!(changed), &delta);
    tx.append_audit(&audit(&order.caller, order.now, None, "group.update", detail)).await?;
    let told = changes.paths().map(str::to_owned).chain(delta_path(&delta)).collect();
    order.publisher.defer(tx, method, path, group.version).await?;
    publish(tx, order, &group, method.notice(), told).await?;
    Ok(Written { group, concerned })
}

async fn delete(tx: &mut Tx, order: &Order<(GroupId, Option<Condition>)>) -> Result<Written, DirectoryError> {
    let (id, if_match) = &order.what;
    let tenant = &order.caller.tenant;
    let group = load(tx, &order.caller, *id, if_match.as_ref()).await?;
    let count = tx.count_members(tenant, *id).await?;
    let first = i64::try_from(NAMED_IN_AUDIT).unwrap_or(i64::MAX);
    let members = tx.page_members(tenant, *id, None, first).await?;
    let removed: Vec<_> = members.into_iter().map(|member| member.id).collect();
    if has_rules(order) {
        tx.make_members_due(tenant, *id, Lane::Reduce).await?;
    }
    tx.delete_group(tenant, *id, group.version).await?;
    let detail = json!({
        "group": id.to_string(),
        "displayName": group.display_name,
        "removed": count,
        "removedIds": removed.iter().map(PersonId::to_string).collect::<Vec<_>>(),
    });
    tx.append_audit(&audit(&order.caller, order.now, None, "group.delete", detail)).await?;
    order.publisher.defer(tx, Method::Delete, subject(*id), 0).await?;
    order.publisher.publish(tx, subject(*id), |event| event.with(EventKind::Delete)).await?;
    Ok(Written { group, concerned: if has_rules(order) { removed } else { Vec::new() } })
}

/// The stored group, provided it is the version that the client knows.
async fn load(
    tx: &mut Tx,
    caller: &Caller,
    id: GroupId,
    if_match: Option<&Condition>,
) -> Result<Group, DirectoryError> {
    take_turn(tx, &caller.tenant, id).await?;
    let group = tx.load_group(&caller.tenant, id).await?.ok_or_else(no_such_group)?;
    if let Some(if_match) = if_match {
        if_match.require(Version(group.version))?;
    }
    Ok(group)
}

async fn join(tx: &mut Tx, group: &Group, members: &Members) -> Result<Vec<PersonId>, StoreError> {
    if members.join.is_empty() {
        return Ok(Vec::new());
    }
    tx.add_members(&group.tenant, group.id, &members.join).await
}

/// Refuses members whom nobody knows: what is acknowledged is not sent again, so nobody may be left out silently.
async fn check_known(
    tx: &mut Tx,
    tenant: &TenantId,
    people: &BTreeSet<PersonId>,
) -> Result<(), DirectoryError> {
    if people.is_empty() {
        return Ok(());
    }
    let live = tx.live_people(tenant, people).await?;
    let unknown: Vec<_> = people.difference(&live).map(PersonId::to_string).collect();
    let Some(first) = unknown.first() else { return Ok(()) };
    if let Ok(id) = first.parse::<GroupId>()
        && tx.load_group(tenant, id).await?.is_some()
    {
        return Err(ScimError::invalid_value(GROUP_AS_MEMBER).into());
    }
    Err(unknown_members(&unknown).into())
}

/// Has the engine look at those whose groups changed, if groups give anything here; tells some of them.
async fn make_due<T>(
    tx: &mut Tx,
    order: &Order<T>,
    delta: &MemberDelta,
) -> Result<Vec<PersonId>, StoreError> {
    if !has_rules(order) {
        return Ok(Vec::new());
    }
    let tenant = &order.caller.tenant;
    for (people, lane) in [(&delta.removed, Lane::Reduce), (&delta.added, Lane::Grant)] {
        if !people.is_empty() {
            tx.make_due(tenant, people, lane).await?;
        }
    }
    Ok(delta.removed.iter().chain(&delta.added).take(NUDGED).copied().collect())
}

fn has_rules<T>(order: &Order<T>) -> bool {
    order.policy.heeds_groups()
}

fn name_taken(error: StoreError) -> DirectoryError {
    match error {
        StoreError::Taken => ScimError::uniqueness(GROUP_NAME_TAKEN).into(),
        other => other.into(),
    }
}

/// Tells which attributes of a group were written.
async fn publish<T>(
    tx: &mut Tx,
    order: &Order<T>,
    group: &Group,
    kind: EventKind,
    attributes: Vec<String>,
) -> Result<(), StoreError> {
    let version = Version(group.version).to_string();
    let told = |event: Event| event.with_notice(kind, attributes.iter().map(String::as_str), &version);
    order.publisher.publish(tx, subject(group.id), told).await
}

/// The path of a group below the SCIM base.
fn subject(id: GroupId) -> String {
    format!("/Groups/{id}")
}

/// The path of the attribute that a change of members changes.
fn delta_path(delta: &MemberDelta) -> Option<String> {
    (!delta.is_empty()).then(|| "members".to_owned())
}

/// The account of a write: the attributes concerned, and who joined and left, the first of them by id.
fn detail(group: &Group, key: &str, attributes: &Value, delta: &MemberDelta) -> Value {
    let first =
        |people: &[PersonId]| people.iter().take(NAMED_IN_AUDIT).map(PersonId::to_string).collect::<Vec<_>>();
    json!({
        "group": group.id.to_string(),
        key: attributes,
        "added": delta.added.len(),
        "addedIds": first(&delta.added),
        "removed": delta.removed.len(),
        "removedIds": first(&delta.removed),
    })
}
