//! Carries out one call about a group: on record before the first byte, settled after, like the calls for people.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::admit::{Admission, admit_group_call};
use super::context::Context;
use super::execute::{Outcome, chain};
use super::observe::domain;
use crate::ids::{HoldId, OpenAiGroupId, OperationId};
use crate::model::audit::{Actor, AuditEntry};
use crate::model::group_link::{GroupCall, GroupLink};
use crate::model::observed::OpenAiGroup;
use crate::model::operation::Lane;
use crate::openai::{Answer, Client, Endpoint, Failure, FailureKind, wire};
use crate::store::{StoreError, Tx};

/// When something that OpenAI refused is tried again.
const RETRY_REFUSED: SignedDuration = SignedDuration::from_hours(1);
/// The most roles on a page.
const ROLES: u32 = 1000;

/// Something to do about a group now.
#[derive(Debug, Clone)]
pub(super) struct GroupOrder {
    /// The row as it is stored.
    pub(super) link: GroupLink,
    pub(super) call: GroupCall,
    /// Whether only to look what came of the call.
    pub(super) is_look: bool,
    pub(super) reason: &'static str,
}

impl GroupOrder {
    /// The endpoint it needs.
    pub(super) fn endpoint(&self) -> Endpoint {
        match &self.call {
            GroupCall::Delete { .. } if self.is_look => Endpoint::ListGroupUsers,
            _ if self.is_look => Endpoint::GetProjectGroup,
            GroupCall::Create { .. } => Endpoint::CreateGroup,
            GroupCall::Rename { .. } => Endpoint::UpdateGroup,
            GroupCall::Delete { .. } => Endpoint::DeleteGroup,
            GroupCall::Admit { .. } => Endpoint::AddProjectGroup,
            GroupCall::Expel { .. } => Endpoint::RemoveProjectGroup,
        }
    }

    /// The priority class it belongs to.
    pub(super) fn lane(&self) -> Lane {
        if self.call.takes_away() { Lane::Reduce } else { Lane::Grant }
    }
}

/// Carries out an order. `sent_at` is its instant on record.
pub(super) async fn carry_out(context: &Context, order: &GroupOrder, sent_at: Timestamp) -> Outcome {
    if order.is_look {
        return look_back(context, order).await;
    }
    let mut link = order.link.clone();
    let operation = OperationId::new(&context.clock);
    let result = match send(context, order, &mut link, operation, sent_at).await {
        Ok(result) => result,
        Err(hindrance) => return hindrance,
    };
    let at = context.clock.now().max(sent_at);
    let (outcome, seen, request_id, words) = match result {
        Ok(answer) => {
            let made = answer.value.as_ref().map(|group| group.id.clone());
            link.conclude(&order.call, made, at);
            (Outcome::Done, answer.value, answer.request_id, None)
        }
        Err(failure) => {
            let outcome = settle_failure(&mut link, &order.call, &failure, at);
            (outcome, None, failure.request_id, Some(failure.message))
        }
    };
    let word = outcome.word();
    context.metrics.operation(context.tenant.as_str(), order.call.kind(), word);
    tracing::info!(
        tenant = %context.tenant, group.id = %link.group, operation.kind = order.call.kind(),
        operation.outcome = word, upstream.request_id = request_id.as_deref(),
        "operation {} for group {}: {word}", order.call.kind(), link.group
    );
    let detail = json!({
        "operation": operation.to_string(),
        "call": order.call.to_string(),
        "outcome": word,
        "upstream_request_id": request_id,
        "words": words,
    });
    let gone = matches!((&order.call, &outcome), (GroupCall::Delete { .. }, Outcome::Done));
    let effect = match seen {
        Some(group) => Some(Effect::Seen(group)),
        None if gone => order.link.openai_id.clone().map(Effect::Gone),
        None => None,
    };
    let in_vain = (outcome != Outcome::Done && link.open.is_none()).then_some(operation);
    match keep(context, order, &link, effect, in_vain, entry(&link, at, "group.settle", detail)).await {
        Ok(()) => outcome,
        Err(error) => {
            tracing::warn!(
                tenant = %context.tenant, "outcome of a call not written down: {}", chain(&error)
            );
            outcome.unwritten()
        }
    }
}

/// Puts the call on record and makes it, unless something stands in the way.
async fn send(
    context: &Context,
    order: &GroupOrder,
    link: &mut GroupLink,
    operation: OperationId,
    sent_at: Timestamp,
) -> Result<Result<Answer<Option<OpenAiGroup>>, Failure>, Outcome> {
    // Before the record: between that and the call there is no time for anybody to say stop.
    let role = match role_of(&context.client, &order.call).await {
        Ok(role) => role,
        Err(failure) => return Ok(Err(failure)),
    };
    link.begin(order.call.clone(), operation, sent_at);
    let kind = order.call.kind();
    let detail = json!({
        "operation": operation.to_string(),
        "call": order.call.to_string(),
        "reason": order.reason,
    });
    match record(context, order, link, entry(link, sent_at, "group.send", detail)).await {
        Ok(Some(Admission::Granted)) => Ok(call(&context.client, &order.call, &role).await),
        Ok(Some(Admission::Held(hold))) => {
            context.metrics.operation(context.tenant.as_str(), kind, Outcome::Held.word());
            tracing::info!(
                tenant = %context.tenant, group.id = %link.group, hold.id = %hold.id, guard = %hold.guard,
                "operation {kind} for group {} is held by the guard {}; it waits for `scim-bridge holds \
                 approve` or `reject`",
                link.group, hold.guard
            );
            Err(Outcome::Held)
        }
        Ok(Some(Admission::Braked)) => Err(Outcome::Braked),
        Ok(None) => Err(Outcome::Superseded),
        Err(error) => {
            tracing::warn!(
                tenant = %context.tenant,
                "call {kind} not made, it could not be put on record: {}", chain(&error)
            );
            Err(Outcome::Unrecorded)
        }
    }
}

fn retry_at(at: Timestamp) -> Timestamp {
    at.checked_add(RETRY_REFUSED).unwrap_or(Timestamp::MAX)
}

/// Sorts a failure by what it means for the link.
fn settle_failure(link: &mut GroupLink, call: &GroupCall, failure: &Failure, at: Timestamp) -> Outcome {
    let later = retry_at(at);
    match failure.kind {
        FailureKind::NotFound if call.takes_away() => {
            link.doubt(call.clone(), failure.message.clone(), later);
            Outcome::Refused
        }
        FailureKind::NotFound | FailureKind::Conflict | FailureKind::Rejected => {
            link.refuse(call.clone(), failure.message.clone(), later);
            Outcome::Refused
        }
        // A key without the scope for groups is good for everything else.
        FailureKind::KeyRefused if failure.status == Some(403) => {
            link.refuse(call.clone(), failure.message.clone(), later);
            Outcome::Refused
        }
        FailureKind::KeyRefused => {
            link.drop_open();
            Outcome::KeyRefused { status: failure.status }
        }
        FailureKind::RateLimited { .. } => {
            link.drop_open();
            Outcome::RateLimited
        }
        FailureKind::NotSent => {
            link.drop_open();
            Outcome::NotSent
        }
        FailureKind::Unknown => {
            link.unanswered_at = Some(at);
            Outcome::Unknown
        }
    }
}

/// Makes the call; the group as it is afterwards, where the answer shows it.
async fn call(client: &Client, call: &GroupCall, role: &str) -> Result<Answer<Option<OpenAiGroup>>, Failure> {
    match call {
        GroupCall::Create { name } => {
            Ok(client.create_group(name).await?.map(|group| Some(domain::group(group))))
        }
        GroupCall::Rename { group, name } => {
            Ok(client.rename_group(group.as_str(), name).await?.map(|group| Some(domain::group(group))))
        }
        GroupCall::Delete { group } => Ok(client.delete_group(group.as_str()).await?.map(|_| None)),
        GroupCall::Admit { group, project, .. } => {
            Ok(client.add_project_group(project.as_str(), group.as_str(), role).await?.map(|_| None))
        }
        GroupCall::Expel { group, project } => {
            Ok(client.remove_project_group(project.as_str(), group.as_str()).await?.map(|_| None))
        }
    }
}

/// The id of the predefined role in a project that a call gives, which is never guessed; empty for other calls.
async fn role_of(client: &Client, call: &GroupCall) -> Result<String, Failure> {
    let GroupCall::Admit { project, role, .. } = call else { return Ok(String::new()) };
    let roles = client.list_project_roles(project.as_str(), None, ROLES).await.map_err(|failure| {
        match failure.kind {
            // Nothing was changed yet, so there is nothing to find out.
            FailureKind::Unknown => Failure { kind: FailureKind::NotSent, ..failure },
            _ => failure,
        }
    })?;
    let is_meant = |known: &&wire::Role| known.predefined_role && known.name == role.as_str();
    match roles.value.data.iter().find(is_meant) {
        Some(role) => Ok(role.id.clone()),
        None => Err(Failure {
            kind: FailureKind::Rejected,
            status: None,
            code: None,
            message: format!("OpenAI lists no predefined role `{role}` in the project"),
            request_id: roles.request_id,
        }),
    }
}

/// Finds out whether a group is in a project, after a call about that brought no answer; or whether there is the group,
/// which is [`Outcome::Done`] if it is gone and [`Outcome::Superseded`] if not.
async fn look_back(context: &Context, order: &GroupOrder) -> Outcome {
    let client = &context.client;
    let found = match &order.call {
        GroupCall::Admit { group, project, .. } | GroupCall::Expel { group, project } => {
            client.get_project_group(project.as_str(), group.as_str()).await.map(drop)
        }
        GroupCall::Delete { group } => client.list_group_users(group.as_str(), None, 1).await.map(drop),
        GroupCall::Create { .. } | GroupCall::Rename { .. } => return Outcome::Superseded,
    };
    let is_about_group = matches!(order.call, GroupCall::Delete { .. });
    let is_in = match found {
        Ok(()) => true,
        Err(failure) => match failure.kind {
            FailureKind::Rejected | FailureKind::Conflict if is_about_group => return Outcome::Refused,
            FailureKind::NotFound | FailureKind::Rejected | FailureKind::Conflict => false,
            FailureKind::RateLimited { .. } => return Outcome::RateLimited,
            FailureKind::KeyRefused => return Outcome::KeyRefused { status: failure.status },
            FailureKind::NotSent | FailureKind::Unknown => return Outcome::NotSent,
        },
    };
    if is_about_group {
        return if is_in { Outcome::Superseded } else { Outcome::Done };
    }
    let (mut link, at) = (order.link.clone(), context.clock.now());
    let mut in_vain = None;
    if is_in == order.call.takes_away() {
        in_vain = link.operation;
        link.drop_open();
    } else {
        link.conclude(&order.call, None, at);
    }
    let detail = json!({ "call": order.call.to_string(), "took_effect": is_in != order.call.takes_away() });
    match keep(context, order, &link, None, in_vain, entry(&link, at, "group.conclude", detail)).await {
        Ok(()) => Outcome::Done,
        Err(_) => Outcome::Unrecorded,
    }
}

/// What a call left upstream.
#[derive(Debug, Clone)]
enum Effect {
    Seen(OpenAiGroup),
    Gone(OpenAiGroupId),
}

/// Puts a call on record, unless it may not be made at present. `None`: what it gives is for a SCIM group that is gone
/// since it was planned.
async fn record(
    context: &Context,
    order: &GroupOrder,
    link: &GroupLink,
    entry: AuditEntry,
) -> Result<Option<Admission>, StoreError> {
    let gives = !order.call.takes_away();
    let kept = Arc::new((context.policy.clone(), order.link.clone(), link.clone(), entry));
    let hold_id = HoldId::new(&context.clock);
    context
        .store
        .write(move |tx| {
            let kept = Arc::clone(&kept);
            Box::pin(async move {
                let (policy, before, link, entry) = &*kept;
                if gives && tx.load_group(&link.tenant, link.group).await?.is_none() {
                    return Ok(None);
                }
                let admission = admit_group_call(tx, policy, link, hold_id).await?;
                if admission == Admission::Granted {
                    save_link(tx, before, link).await?;
                    tx.append_audit(entry).await?;
                }
                Ok(Some(admission))
            })
        })
        .await
}

/// Writes a link down, with what was seen. Its members are looked at again if it leads elsewhere now. What guards counted
/// for a call in vain, and the approval that it used, are given back.
async fn keep(
    context: &Context,
    order: &GroupOrder,
    link: &GroupLink,
    effect: Option<Effect>,
    in_vain: Option<OperationId>,
    entry: AuditEntry,
) -> Result<(), StoreError> {
    let now = context.clock.now();
    let kept = Arc::new((order.link.clone(), link.clone(), effect, entry));
    context
        .store
        .write(move |tx| {
            let kept = Arc::clone(&kept);
            Box::pin(async move {
                let (before, link, effect, entry) = &*kept;
                match effect {
                    Some(Effect::Seen(group)) => {
                        tx.observe_openai_groups(&link.tenant, std::slice::from_ref(group), now).await?;
                    }
                    Some(Effect::Gone(group)) => tx.forget_openai_group(&link.tenant, group).await?,
                    None => {}
                }
                if let Some(operation) = in_vain {
                    tx.give_back(&link.tenant, operation).await?;
                }
                save_link(tx, before, link).await?;
                tx.append_audit(entry).await
            })
        })
        .await
}

/// Saves a link. Where it leads elsewhere than before, the members of the SCIM group are looked at again.
pub(super) async fn save_link(tx: &mut Tx, before: &GroupLink, link: &GroupLink) -> Result<(), StoreError> {
    tx.save_group_link(link).await?;
    if (&before.openai_id, before.refusal()) != (&link.openai_id, link.refusal()) {
        tx.make_members_due(&link.tenant, link.group, Lane::Grant).await?;
    }
    Ok(())
}

fn entry(link: &GroupLink, at: Timestamp, event: &str, mut detail: serde_json::Value) -> AuditEntry {
    if let Some(fields) = detail.as_object_mut() {
        fields.insert("group".to_owned(), json!(link.group.to_string()));
    }
    AuditEntry::by(Actor::Engine, &link.tenant, at, event, detail)
}
