//! Carries one call out: on record before the first byte, settled after.
//!
//! The record is what makes it safe to crash at any moment: an operation that is still `sending` after a restart may
//! or may not have happened, so what happened is read back before anything is repeated.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::admit::{Admission, admit};
use super::context::Context;
use super::observe::domain;
use super::plan::Change;
use super::status::status;
use crate::ids::{HoldId, OperationId, PersonId, ProjectId, TenantId, UserId};
use crate::model::address::Address;
use crate::model::audit::{Actor, AuditEntry};
use crate::model::grant::Assignment;
use crate::model::hold::{About, Hold};
use crate::model::mapping::{Mapping, Origin};
use crate::model::observed::{Assigned, Invite, Member, ProjectMember};
use crate::model::operation::{Action, Lane, Operation, OperationState};
use crate::openai::{Answer, Client, Endpoint, Failure, FailureKind, NewInvite, wire};
use crate::store::{StoreError, Tx, Work};

/// How often the outcome of a call is tried to be written down before it is left to be read back.
const SETTLE_TRIES: u32 = 5;
/// The pause between these tries.
const SETTLE_PAUSE: SignedDuration = SignedDuration::from_millis(500);

/// A call that the plan wants made now.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) person: PersonId,
    pub(super) version: i64,
    pub(super) action: Action,
    pub(super) lane: Lane,
    pub(super) reason: String,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It took effect, or was so already.
    Done,
    /// OpenAI refused it.
    Refused,
    /// Certainly not executed, for lack of budget.
    RateLimited,
    /// Certainly not executed, for lack of a connection.
    NotSent,
    /// Perhaps executed.
    Unknown,
    /// Answered, and the answer could not be written down.
    Unwritten,
    /// Not executed: OpenAI refuses the key.
    KeyRefused {
        /// The HTTP status.
        status: Option<u16>,
    },
    /// Not sent: the person changed since the plan was made, or another call for them is open.
    Superseded,
    /// Not sent: it could not be put on record.
    Unrecorded,
    /// Not sent: a guard holds it.
    Held,
    /// Not sent: no change may be made at present.
    Braked,
}

/// Why an operation was not put on record.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("the person changed since the plan was made")]
    Superseded,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a call left upstream, to be kept in mirror and mapping.
#[derive(Debug, Clone)]
enum Effect {
    Invited(Invite),
    InviteGone,
    UserGone,
    Member(Member),
    ProjectMember(ProjectMember),
    ProjectMemberGone(ProjectMember),
    Assigned(Assigned),
    Unassigned,
    /// A 404: nothing there to take away. A second look decides what that means.
    Missing,
}

/// The endpoint that a call needs.
pub(super) fn endpoint_of(action: &Action) -> Endpoint {
    match action {
        Action::CreateInvite { .. } => Endpoint::CreateInvite,
        Action::DeleteInvite { .. } => Endpoint::DeleteInvite,
        Action::DeleteUser { .. } => Endpoint::DeleteUser,
        Action::SetRole { .. } => Endpoint::UpdateUser,
        Action::AddToProject { .. } => Endpoint::AddProjectUser,
        Action::SetProjectRole { .. } => Endpoint::UpdateProjectUser,
        Action::RemoveFromProject { .. } => Endpoint::RemoveProjectUser,
        Action::Assign { what, .. } => match what {
            Assignment::Group { .. } => Endpoint::AddGroupUser,
            Assignment::Role { .. } => Endpoint::AssignUserRole,
            Assignment::ProjectRole { .. } => Endpoint::AssignProjectUserRole,
        },
        Action::Unassign { what, .. } => match what {
            Assignment::Group { .. } => Endpoint::RemoveGroupUser,
            Assignment::Role { .. } => Endpoint::UnassignUserRole,
            Assignment::ProjectRole { .. } => Endpoint::UnassignProjectUserRole,
        },
    }
}

/// Carries out an order. `sent_at` is its instant on record.
pub(super) async fn execute(context: &Context, order: &Order, sent_at: Timestamp) -> Outcome {
    let operation = Operation {
        tenant: context.tenant.clone(),
        id: OperationId::new(&context.clock),
        person: order.person,
        person_version: order.version,
        action: order.action.clone(),
        reason: order.reason.clone(),
        state: OperationState::Sending,
        sent_at,
        unanswered_at: None,
        settled_at: None,
        upstream_request_id: None,
        outcome: None,
    };
    match record(context, &operation).await {
        Ok(Admission::Granted) => {}
        Ok(Admission::Held(hold)) => {
            context.metrics.operation(context.tenant.as_str(), order.action.kind(), Outcome::Held.word());
            tracing::info!(
                tenant = %context.tenant, person.id = %order.person, hold.id = %hold.id, guard = %hold.guard,
                "operation {} for person {} is held by the guard {}; it waits for `scim-bridge holds approve` or `reject`",
                order.action.kind(), order.person, hold.guard
            );
            return Outcome::Held;
        }
        Ok(Admission::Braked) => return Outcome::Braked,
        Err(RecordError::Superseded | RecordError::Store(StoreError::Taken | StoreError::Stale)) => {
            return Outcome::Superseded;
        }
        Err(RecordError::Store(error)) => {
            tracing::warn!(
                tenant = %context.tenant, person.id = %order.person,
                "call {} not made, it could not be put on record: {}", order.action.kind(), chain(&error)
            );
            return Outcome::Unrecorded;
        }
    }
    let result = call(context, &order.action).await;
    let settlement = Settlement::of(&order.action, result);
    context.metrics.operation(context.tenant.as_str(), order.action.kind(), settlement.outcome.word());
    tracing::info!(
        tenant = %context.tenant, person.id = %order.person, operation.id = %operation.id,
        operation.kind = order.action.kind(), operation.lane = order.lane.as_str(),
        operation.outcome = settlement.outcome.word(),
        upstream.request_id = settlement.upstream_request_id.as_deref(),
        "operation {} for person {}: {}", order.action.kind(), order.person, settlement.outcome.word()
    );
    let outcome = settlement.outcome.clone();
    if settle(context, &operation, settlement).await { outcome } else { outcome.unwritten() }
}

/// Puts the operation on record, if the person is still the one that was planned for and no guard holds it.
async fn record(context: &Context, operation: &Operation) -> Result<Admission, RecordError> {
    let (operation, policy) = (operation.clone(), context.policy.clone());
    let hold_id = HoldId::new(&context.clock);
    context
        .store
        .write(move |tx| {
            let (operation, policy) = (operation.clone(), policy.clone());
            Box::pin(async move {
                let work = tx.load_work(&operation.tenant, operation.person).await?;
                let is_as_planned = |work: Work| work.person.version == operation.person_version;
                if !work.is_some_and(is_as_planned) {
                    return Err(RecordError::Superseded);
                }
                match admit(tx, &policy, &operation, hold_id).await? {
                    Admission::Granted => {}
                    hindrance => return Ok(hindrance),
                }
                tx.record_operation(&operation).await?;
                let detail = json!({
                    "operation": operation.id.to_string(),
                    "kind": operation.action.kind(),
                    "reason": operation.reason,
                });
                let entry =
                    entry(&operation.tenant, operation.person, operation.sent_at, "operation.send", detail);
                if !planted!(AuditAfterCall) {
                    tx.append_audit(&entry).await?;
                }
                Ok(Admission::Granted)
            })
        })
        .await
}

async fn call(context: &Context, action: &Action) -> Result<Answer<Effect>, Failure> {
    let client = &context.client;
    match action {
        Action::CreateInvite { address, role, projects } => {
            let projects: Vec<wire::ProjectGrant> = projects
                .iter()
                .map(|grant| wire::ProjectGrant {
                    id: grant.id.to_string(),
                    role: grant.role.as_str().to_owned(),
                })
                .collect();
            let invite = NewInvite { email: address, role: role.as_str(), projects: &projects };
            let answer = client.create_invite(&invite).await?;
            Ok(answer.map(|invite| Effect::Invited(domain::invite(invite))))
        }
        Action::DeleteInvite { invite } => {
            Ok(client.delete_invite(invite.as_str()).await?.map(|_| Effect::InviteGone))
        }
        Action::DeleteUser { user } => Ok(client.delete_user(user.as_str()).await?.map(|_| Effect::UserGone)),
        Action::SetRole { user, role, .. } => {
            let answer = client.set_user_role(user.as_str(), role.as_str()).await?;
            Ok(answer.map(|user| Effect::Member(domain::member(user))))
        }
        Action::AddToProject { project, user, role } => {
            let answer = client.add_project_user(project.as_str(), user.as_str(), role.as_str()).await?;
            Ok(answer.map(|user| in_project(project, user)))
        }
        Action::SetProjectRole { project, user, role, .. } => {
            let answer = client.update_project_user(project.as_str(), user.as_str(), role.as_str()).await?;
            Ok(answer.map(|user| in_project(project, user)))
        }
        Action::RemoveFromProject { project, user } => {
            let answer = client.remove_project_user(project.as_str(), user.as_str()).await?;
            let gone = ProjectMember { project: project.clone(), user: user.clone(), role: None };
            Ok(answer.map(|_| Effect::ProjectMemberGone(gone)))
        }
        Action::Assign { what, user } => assign(client, what, user).await,
        Action::Unassign { what, user } => unassign(client, what, user).await,
    }
}

async fn assign(client: &Client, what: &Assignment, user: &UserId) -> Result<Answer<Effect>, Failure> {
    let id = user.as_str();
    let done = match what {
        Assignment::Group { group } => client.add_group_user(group.as_str(), id).await?.map(drop),
        Assignment::Role { role } => client.assign_user_role(id, role.as_str()).await?.map(drop),
        Assignment::ProjectRole { project, role } => {
            client.assign_project_user_role(project.as_str(), id, role.as_str()).await?.map(drop)
        }
    };
    Ok(done.map(|()| Effect::Assigned(Assigned { what: what.clone(), user: user.clone() })))
}

async fn unassign(client: &Client, what: &Assignment, user: &UserId) -> Result<Answer<Effect>, Failure> {
    let id = user.as_str();
    let done = match what {
        Assignment::Group { group } => client.remove_group_user(group.as_str(), id).await?.map(drop),
        Assignment::Role { role } => client.unassign_user_role(id, role.as_str()).await?.map(drop),
        Assignment::ProjectRole { project, role } => {
            client.unassign_project_user_role(project.as_str(), id, role.as_str()).await?.map(drop)
        }
    };
    Ok(done.map(|()| Effect::Unassigned))
}

fn in_project(project: &ProjectId, user: wire::ProjectUser) -> Effect {
    Effect::ProjectMember(domain::project_member(project, user))
}

/// What is written down after a call.
#[derive(Debug, Clone)]
struct Settlement {
    outcome: Outcome,
    state: OperationState,
    effect: Option<Effect>,
    upstream_request_id: Option<String>,
    words: Option<String>,
}

impl Settlement {
    /// Sorts the answer to a call by what it means for the operation.
    fn of(action: &Action, result: Result<Answer<Effect>, Failure>) -> Self {
        let failure = match result {
            Ok(answer) => {
                return Self {
                    outcome: Outcome::Done,
                    state: OperationState::Done,
                    effect: Some(answer.value),
                    upstream_request_id: answer.request_id,
                    words: None,
                };
            }
            Err(failure) => failure,
        };
        let takes_away = matches!(
            action,
            Action::DeleteInvite { .. }
                | Action::DeleteUser { .. }
                | Action::RemoveFromProject { .. }
                | Action::Unassign { .. }
        );
        let is_assignment = matches!(action, Action::Assign { .. } | Action::Unassign { .. });
        let (outcome, state, effect) = match failure.kind {
            FailureKind::NotFound if takes_away => {
                (Outcome::Done, OperationState::Done, Some(Effect::Missing))
            }
            FailureKind::NotFound | FailureKind::Conflict | FailureKind::Rejected => {
                (Outcome::Refused, OperationState::Refused, None)
            }
            // A key without the scope for groups and roles is good for everything else.
            FailureKind::KeyRefused if is_assignment && failure.status == Some(403) => {
                (Outcome::Refused, OperationState::Refused, None)
            }
            FailureKind::RateLimited { .. } => (Outcome::RateLimited, OperationState::Failed, None),
            FailureKind::NotSent => (Outcome::NotSent, OperationState::Failed, None),
            FailureKind::Unknown => (Outcome::Unknown, OperationState::Unknown, None),
            FailureKind::KeyRefused => {
                (Outcome::KeyRefused { status: failure.status }, OperationState::Failed, None)
            }
        };
        let words = if effect.is_some() { "it was gone already".to_owned() } else { failure.message };
        Self { outcome, state, effect, upstream_request_id: failure.request_id, words: Some(words) }
    }
}

impl Outcome {
    /// What is left of it where it could not be written down. That the key is refused holds for everything, and is not
    /// forgotten for that.
    pub(super) fn unwritten(self) -> Self {
        match self {
            Self::KeyRefused { status } => Self::KeyRefused { status },
            _ => Self::Unwritten,
        }
    }

    /// The word for metrics and logs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::RateLimited => "rate_limited",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Unwritten => "unwritten",
            Self::KeyRefused { .. } => "key_refused",
            Self::Superseded => "superseded",
            Self::Unrecorded => "unrecorded",
            Self::Held => "held",
            Self::Braked => "braked",
        }
    }
}

/// Writes down what came of the call. If that cannot be done, the operation stays `sending` and is read back later.
async fn settle(context: &Context, operation: &Operation, settlement: Settlement) -> bool {
    let at = context.clock.now().max(operation.sent_at);
    // That the key is refused must stop all others now.
    let tries = if matches!(settlement.outcome, Outcome::KeyRefused { .. }) { 1 } else { SETTLE_TRIES };
    for tries_left in (0..tries).rev() {
        let (operation, settlement) = (operation.clone(), settlement.clone());
        let written = context
            .store
            .write(move |tx| {
                let (operation, settlement) = (operation.clone(), settlement.clone());
                Box::pin(async move {
                    let work = tx.load_work(&operation.tenant, operation.person).await?;
                    tx.settle_operation(
                        &operation.tenant,
                        operation.id,
                        settlement.state,
                        at,
                        settlement.upstream_request_id.as_deref(),
                        settlement.words.as_deref(),
                    )
                    .await?;
                    if let Some(effect) = &settlement.effect {
                        keep_effect(tx, &operation, effect, at).await?;
                        if let Some(work) = work {
                            keep_tie(tx, &operation, work, effect, at).await?;
                        }
                    }
                    let detail = json!({
                        "operation": operation.id.to_string(),
                        "kind": operation.action.kind(),
                        "outcome": settlement.outcome.word(),
                        "upstream_request_id": settlement.upstream_request_id,
                        "words": settlement.words,
                    });
                    let entry = entry(&operation.tenant, operation.person, at, "operation.settle", detail);
                    tx.append_audit(&entry).await
                })
            })
            .await;
        match written {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(
                    tenant = %context.tenant, "outcome of a call not written down: {}", chain(&error)
                );
                if tries_left > 0 {
                    let pause = context.clock.now().checked_add(SETTLE_PAUSE).unwrap_or(Timestamp::MAX);
                    context.clock.sleep_until(pause).await;
                }
            }
        }
    }
    false
}

/// Keeps in the mirror what the call showed.
async fn keep_effect(
    tx: &mut Tx,
    operation: &Operation,
    effect: &Effect,
    at: Timestamp,
) -> Result<(), StoreError> {
    let tenant = &operation.tenant;
    match effect {
        Effect::Invited(invite) => tx.observe_invites(tenant, std::slice::from_ref(invite), at).await,
        Effect::Member(member) => tx.observe_members(tenant, std::slice::from_ref(member), at).await,
        Effect::ProjectMember(member) => {
            tx.observe_project_members(tenant, std::slice::from_ref(member), at).await
        }
        Effect::ProjectMemberGone(member) => tx.forget_project_member(tenant, member).await,
        Effect::Assigned(assigned) => {
            tx.observe_assignments(tenant, std::slice::from_ref(assigned), at).await
        }
        Effect::InviteGone | Effect::UserGone | Effect::Unassigned | Effect::Missing => {
            match &operation.action {
                Action::DeleteInvite { invite } => tx.forget_invite(tenant, invite).await,
                Action::DeleteUser { user } => tx.forget_member(tenant, user).await,
                // Nothing but the mirror says that there is something to look up after a 404.
                Action::Unassign { what, user } if !matches!(effect, Effect::Missing) => {
                    let gone = Assigned { what: what.clone(), user: user.clone() };
                    tx.forget_assignment(tenant, &gone).await
                }
                _ => Ok(()),
            }
        }
    }
}

/// Keeps in the mapping row what the call changed there.
async fn keep_tie(
    tx: &mut Tx,
    operation: &Operation,
    work: Work,
    effect: &Effect,
    at: Timestamp,
) -> Result<(), StoreError> {
    let wanted = work.person.wants_access();
    let mut mapping =
        work.mapping.unwrap_or_else(|| Mapping::new(operation.tenant.clone(), operation.person));
    let Some(change) = change_of(effect, &operation.action, &mapping) else { return Ok(()) };
    change.apply(&mut mapping);
    (mapping.status, mapping.status_reason) = status(wanted, &mapping, &[]);
    mapping.last_synced_at = Some(at);
    tx.save_mapping(&mapping).await
}

/// What a confirmed call changes in the mapping row. A 404 changes nothing there: the next plan looks twice.
fn change_of(effect: &Effect, action: &Action, mapping: &Mapping) -> Option<Change> {
    match (effect, action) {
        (Effect::Invited(invite), Action::CreateInvite { address, .. }) => Some(Change::BindInvite {
            invite: invite.id.clone(),
            address: Address::parse(address).ok(),
            expires_at: invite.expires_at,
            origin: Origin::Invited,
        }),
        (Effect::InviteGone, Action::DeleteInvite { invite })
            if mapping.invite_id.as_ref() == Some(invite) =>
        {
            Some(Change::UnbindInvite)
        }
        (Effect::UserGone, Action::DeleteUser { user }) if mapping.user_id.as_ref() == Some(user) => {
            Some(Change::UnbindMember)
        }
        _ => None,
    }
}

/// An audit entry of the engine about a person.
pub(super) fn entry(
    tenant: &TenantId,
    person: PersonId,
    at: Timestamp,
    event: &str,
    detail: serde_json::Value,
) -> AuditEntry {
    AuditEntry { person: Some(person), ..AuditEntry::by(Actor::Engine, tenant, at, event, detail) }
}

/// The audit entry of the engine about what became of a hold.
pub(super) fn hold_entry(hold: &Hold, at: Timestamp) -> AuditEntry {
    let mut detail = json!({
        "hold": hold.id.to_string(),
        "guard": hold.guard.as_str(),
        "subject": hold.subject,
        "reason": hold.reason,
    });
    if let (About::Group { id, losers }, Some(fields)) = (hold.about, detail.as_object_mut()) {
        fields.insert("group".to_owned(), json!(id.to_string()));
        fields.insert("losers".to_owned(), json!(losers));
    }
    let event = format!("hold.{}", hold.state.as_str());
    let person = hold.about.person();
    AuditEntry { person, ..AuditEntry::by(Actor::Engine, &hold.tenant, at, &event, detail) }
}

/// An error with all its causes, for the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
