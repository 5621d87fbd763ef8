//! Operations whose outcome is open: what a reading says of them, and when a reading says enough.

use super::{CALL_SETTLE, Change, Flow, Planner, Read, Step, later};
use crate::model::mapping::Origin;
use crate::model::observed::{Collection, Invite, InviteStatus};
use crate::model::operation::{Action, Operation, OperationState};

impl Planner<'_> {
    /// Finds out what came of every open operation before anything else is decided.
    pub(super) fn settle_open_operations(&mut self) -> Flow {
        for operation in &self.observed.open {
            let flow = match &operation.action {
                Action::CreateInvite { address, .. } => self.settle_invite(operation, address),
                _ => self.settle_repeatable(operation),
            };
            if flow == Flow::Stop {
                return Flow::Stop;
            }
        }
        Flow::Continue
    }

    /// A grant that OpenAI refused and that is there all the same, such as a project that the invite had carried: the
    /// refusal says nothing about giving it again, should somebody take it away.
    pub(super) fn forget_needless_refusals(&mut self) {
        for operation in &self.observed.recent {
            if operation.state == OperationState::Refused && self.is_given(&operation.action) {
                self.conclude(
                    operation,
                    OperationState::Failed,
                    "it was so already, or came to be so otherwise",
                );
            }
        }
    }

    fn is_given(&self, action: &Action) -> bool {
        match action {
            Action::AddToProject { project, user, .. } => self.project_member(project, user).is_some(),
            Action::Assign { .. }
            | Action::SetRole { lowers: false, .. }
            | Action::SetProjectRole { lowers: false, .. } => self.took_effect(action),
            _ => false,
        }
    }

    fn conclude(&mut self, operation: &Operation, state: OperationState, reason: &str) {
        self.push(operation.action.lane(), Step::Conclude(operation.id, state), reason);
    }

    /// An invite that may have been sent. It cannot be sent again to find out: that would be a second e-mail, or a
    /// second invite. Finding it is proof at any time; not finding it proves something only after the settle time.
    fn settle_invite(&mut self, operation: &Operation, address: &str) -> Flow {
        let key = address.to_ascii_lowercase();
        // An accepted invite may be an older one; only the member it led to would prove anything.
        let pending = |invite: &&Invite| invite.status == InviteStatus::Pending;
        if let Some(invite) = self.own_invites(&key).into_iter().find(pending) {
            self.conclude(operation, OperationState::Done, "a reading shows the invite");
            let bind = Change::BindInvite {
                invite: invite.id.clone(),
                address: self.address_from(&invite.email),
                expires_at: invite.expires_at,
                origin: Origin::Invited,
            };
            self.record(bind, "the invite was sent, although no answer came");
            return Flow::Continue;
        }
        if self.mapping.user_id.is_none()
            && let Some(member) = self.bindable_at(&key)
        {
            self.conclude(operation, OperationState::Done, "a reading shows the member");
            self.bind_member(
                member,
                Origin::Invited,
                "the invite was sent and accepted, although no answer came",
            );
            return Flow::Continue;
        }
        let readable_at = later(operation.under_way_until(), self.policy.settle_time);
        if self.now < readable_at {
            return self.wait(Some(readable_at), "no answer came to the invite; it may still appear");
        }
        let why = "no answer came to the invite; find out whether it was sent";
        let invites = self.need_sweep(Collection::Invites, Some(readable_at), why);
        let members = self.need_sweep(Collection::Members, Some(readable_at), why);
        if invites == Flow::Stop || members == Flow::Stop {
            return Flow::Stop;
        }
        self.conclude(
            operation,
            OperationState::Failed,
            "a complete reading shows neither invite nor member",
        );
        Flow::Continue
    }

    /// A call that may be made again without harm: one look tells whether it is still needed.
    fn settle_repeatable(&mut self, operation: &Operation) -> Flow {
        let read = effect_of(&operation.action);
        // What is wished otherwise by now is not called again to find out: it must not come late and stay so.
        let settle_time =
            if self.may_linger(&operation.action) { self.policy.settle_time } else { CALL_SETTLE };
        let readable_at = later(operation.under_way_until(), settle_time);
        if self.seen_at(&read) < Some(readable_at) {
            if self.now < readable_at {
                return self.wait(Some(readable_at), "no answer came; look soon what happened");
            }
            return self.read(read, "no answer came; look what happened");
        }
        if !self.took_effect(&operation.action) {
            self.conclude(operation, OperationState::Failed, "a reading shows that it took no effect");
            return Flow::Continue;
        }
        // A member who came in a moment ago may not be shown yet: only later does their absence say that they are gone.
        let shown_at = later(operation.under_way_until(), self.policy.settle_time);
        if matches!(operation.action, Action::DeleteUser { .. }) && self.seen_at(&read) < Some(shown_at) {
            if self.now < shown_at {
                return self.wait(Some(shown_at), "the member is not shown; make sure that they are gone");
            }
            return self.read(read, "the member was not shown; make sure that they are gone");
        }
        self.conclude(operation, OperationState::Done, "a reading shows that it took effect");
        if let Action::DeleteUser { user } = &operation.action
            && self.mapping.user_id.as_ref() == Some(user)
        {
            self.record(Change::UnbindMember, "the member is gone");
        }
        Flow::Continue
    }

    /// Whether this gives somebody who is to stay what they are not to have by now, or takes what they are to have.
    fn may_linger(&self, action: &Action) -> bool {
        let is_wished = match action {
            Action::Assign { what, .. } => self.desired.assignments.contains_key(what),
            Action::Unassign { what, .. } => !self.desired.assignments.contains_key(what),
            Action::AddToProject { project, .. } => self.desired.projects.contains_key(project),
            Action::RemoveFromProject { project, .. } => !self.desired.projects.contains_key(project),
            _ => true,
        };
        self.desired.wants_access && !is_wished
    }

    fn took_effect(&self, action: &Action) -> bool {
        match action {
            Action::CreateInvite { .. } => false,
            Action::DeleteInvite { invite } => self.invite(invite).is_none(),
            Action::DeleteUser { user } => self.member(user).is_none(),
            Action::SetRole { user, role, .. } => {
                self.member(user).is_some_and(|member| member.role == Some(*role))
            }
            Action::AddToProject { project, user, role }
            | Action::SetProjectRole { project, user, role, .. } => {
                self.project_member(project, user).is_some_and(|membership| membership.role == Some(*role))
            }
            Action::RemoveFromProject { project, user } => self.project_member(project, user).is_none(),
            Action::Assign { what, user } => self.has(what, user),
            Action::Unassign { what, user } => !self.has(what, user),
        }
    }
}

/// What to look at to see the effect of a call.
pub(super) fn effect_of(action: &Action) -> Read {
    match action {
        Action::CreateInvite { address, .. } => Read::MemberAt(address.to_ascii_lowercase()),
        Action::DeleteInvite { invite } => Read::Invite(invite.clone()),
        Action::DeleteUser { user } | Action::SetRole { user, .. } => Read::Member(user.clone()),
        Action::AddToProject { project, user, .. }
        | Action::SetProjectRole { project, user, .. }
        | Action::RemoveFromProject { project, user } => Read::ProjectMember(project.clone(), user.clone()),
        Action::Assign { what, user } | Action::Unassign { what, user } => {
            Read::Assignment(what.clone(), user.clone())
        }
    }
}
