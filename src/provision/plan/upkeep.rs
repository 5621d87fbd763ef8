//! What comes up while people are looked after: invites that run out, an administrator's word, changes that somebody
//! else made upstream, and members whom no identity provider has claimed yet.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::withdraw::End;
use super::{Change, Flow, Planner, Read, Step, later};
use crate::ids::{ProjectId, UserId};
use crate::model::grant::OrgRole;
use crate::model::hold::Guard;
use crate::model::mapping::Origin;
use crate::model::observed::Member;
use crate::model::operation::{Action, Lane};
use crate::model::policy::{OnDrift, Resend};
use crate::model::upkeep::{Drift, DriftClass, Instruction, Wanted};
use crate::provision::guard;

impl Planner<'_> {
    /// Whether an invite that ran out is to be replaced now. `Stop` when it is left as it is, at least for a while.
    pub(super) fn may_replace_expired(&mut self, expired_at: Option<Timestamp>) -> Flow {
        if self.wants_resend() {
            return Flow::Continue;
        }
        if self.policy.resend == Resend::Never {
            return self.push(
                Lane::Read,
                Step::Expire,
                "the invite ran out; the policy is not to send another",
            );
        }
        let sent = self.mapping.upkeep.invites_sent.max(1);
        if sent > self.policy.max_resends {
            let ran_out =
                if sent == 1 { "the invite ran out".to_owned() } else { format!("{sent} invites ran out") };
            let reason = format!(
                "{ran_out} and no other is sent (invites.max_resends); `scim-bridge invites resend` sends one"
            );
            return self.push(Lane::Read, Step::Expire, reason);
        }
        // What was turned down is listed as expired before its time.
        let expired_at = expired_at.unwrap_or(self.now).min(self.now);
        let next_at = later(expired_at, self.policy.resend_pause);
        if self.now < next_at {
            let reason = format!("the invite ran out; the next one is sent at {next_at}");
            self.push(Lane::Read, Step::Expire, reason.clone());
            return self.wait(Some(next_at), reason);
        }
        Flow::Continue
    }

    /// The administrator's word about the person, if it is this one.
    fn instruction(&self, wanted: &Wanted) -> Option<&Instruction> {
        self.mapping.upkeep.instruction.as_ref().filter(|instruction| instruction.what == *wanted)
    }

    /// Whether an administrator asked for a new invite.
    pub(super) fn wants_resend(&self) -> bool {
        self.instruction(&Wanted::Resend).is_some()
    }

    /// Whether an administrator asked for a new invite after this instant.
    pub(super) fn wants_resend_since(&self, instant: Timestamp) -> bool {
        self.instruction(&Wanted::Resend).is_some_and(|instruction| instruction.at > instant)
    }

    /// Ends the invite of somebody whose invite an administrator withdrew. `Continue` when that is not so, or when the
    /// person came in by it all the same.
    pub(super) fn withhold(&mut self) -> Flow {
        let Some(instruction) = self.instruction(&Wanted::Withhold) else { return Flow::Continue };
        let why = format!("an administrator withdrew the invite ({instruction})");
        if let Some(invite) = self.mapping.invite_id.clone() {
            match self.end_invite(&invite, Lane::Revoke, &why) {
                End::Open => return Flow::Stop,
                End::Joined => return Flow::Continue,
                End::Gone => self.record(Change::UnbindInvite, "the invite is gone"),
            }
        }
        self.hold(format!("{why}; `scim-bridge invites resend` sends a new one"))
    }

    /// Binds the member whom an administrator named. `Continue` when nobody was named, or when they are bound.
    pub(super) fn link_as_told(&mut self) -> Flow {
        let Some(Instruction { what: Wanted::Link(user), .. }) = &self.mapping.upkeep.instruction else {
            return Flow::Continue;
        };
        let (user, told) = (user.clone(), self.mapping.upkeep.instruction.clone());
        let Some(member) = self.member(&user) else {
            let look = Read::Member(user.clone());
            if self.missed_at(&look).is_none() {
                return self.read(look, "an administrator named this member, find them");
            }
            return self.hold(format!("{user}, whom an administrator named, is not a member"));
        };
        if self.wait_for_claim(user.as_str()) == Flow::Stop {
            return Flow::Stop;
        }
        if let Some(reason) = guard::untouchable(member, self.policy) {
            return self.pass(Guard::Untouchable, self.lane(), "link the account".to_owned(), reason);
        }
        let told = told.map(|told| told.to_string()).unwrap_or_default();
        self.bind_member(member, Origin::Imported, format!("an administrator approved the link ({told})"));
        Flow::Continue
    }

    /// Whether the person is a member shown to identity providers whom none of them has written yet.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.mapping.origin == Origin::Unclaimed && self.observed.version <= 1 && self.desired.wants_access
    }

    /// Keeps what is shown of an unclaimed member true, and touches nothing.
    pub(super) fn keep_unclaimed(&mut self) -> Flow {
        let Some(user) = self.mapping.user_id.clone() else { return self.hold(UNCLAIMED_GONE) };
        let Some(member) = self.member(&user) else {
            let look = Read::Member(user);
            if self.missed_at(&look).is_none() {
                return self.read(look, "the member was not there in the last reading, look twice");
            }
            self.record(Change::UnbindMember, "the member is gone");
            return self.hold(UNCLAIMED_GONE);
        };
        if self.mapping.effective_role != member.role {
            self.record(Change::Effective { role: member.role, projects: Vec::new() }, "seen upstream");
        }
        Flow::Continue
    }

    /// Notes that an identity provider has written somebody who was unclaimed until then.
    pub(super) fn note_claim(&mut self) {
        if self.mapping.origin == Origin::Unclaimed && !self.is_unclaimed() {
            self.record(Change::Claim, "an identity provider claimed the user");
        }
    }

    /// Notes a change that somebody else made, and tells what the policy says to it.
    pub(super) fn drift(&mut self, drift: Drift, words: &str) -> OnDrift {
        let reaction = self.policy.drift.of(drift.class);
        self.drifts.insert(drift.clone());
        if !self.mapping.upkeep.drift.contains(&drift) {
            self.record(Change::Drift { drift, is_so: true }, words);
        }
        reaction
    }

    /// Whether this change was noted before and has not ended since.
    pub(super) fn has_drifted(&self, drift: &Drift) -> bool {
        self.mapping.upkeep.drift.contains(drift)
    }

    /// Goes on believing in a change that was noted before, because it cannot be told whether it is still so.
    pub(super) fn keep_drift(&mut self, drift: Drift) {
        if self.has_drifted(&drift) {
            self.drifts.insert(drift);
        }
    }

    /// Forgets changes that are no longer so.
    pub(super) fn end_drift(&mut self) {
        let over: Vec<Drift> = self.mapping.upkeep.drift.difference(&self.drifts).cloned().collect();
        for drift in over {
            self.record(Change::Drift { drift, is_so: false }, "it is no longer so");
        }
    }

    /// A member who is bound is gone, and not by the bridge. `Continue` when they are to be invited again.
    pub(super) fn lose_member(&mut self, user: &UserId) -> Flow {
        let drift = Drift { class: DriftClass::MemberRemoved, subject: user.to_string() };
        match self.drift(drift, "the member was removed outside the bridge") {
            _ if self.wants_resend() => {
                self.record(
                    Change::UnbindMember,
                    "the member is gone; an administrator asked for a new invite",
                );
                Flow::Continue
            }
            OnDrift::Revert => {
                self.record(Change::UnbindMember, "the member is gone; the policy is to invite again");
                Flow::Continue
            }
            OnDrift::Report | OnDrift::Adopt => self.hold(
                "the member was removed outside the bridge; `scim-bridge invites resend` invites them again",
            ),
        }
    }

    /// A role that differs from what it should be: was it somebody else who changed it? Then the policy decides.
    pub(super) fn role_drift(&mut self, member: &Member, role: OrgRole) -> Option<OnDrift> {
        let wished = self.desired.invited_role();
        let subject = format!("{} is {role}, not {wished}", member.id);
        let drift = Drift { class: DriftClass::RoleChanged, subject };
        let changed = self.mapping.effective_role.is_some_and(|before| before != role)
            && !self.observed.set_role_last(&member.id, role);
        (changed || self.has_drifted(&drift))
            .then(|| self.drift(drift, "the role was changed outside the bridge"))
    }

    /// A managed project without a grant: put there by somebody else, or a grant that is gone? `None` when it is to be
    /// taken away.
    pub(super) fn meet_added_project(
        &mut self,
        member: &Member,
        project: &ProjectId,
        before: &BTreeSet<ProjectId>,
    ) -> Option<Flow> {
        if before.contains(project) || self.observed.gave_project_last(&member.id, project) == Some(true) {
            return None;
        }
        let drift = Drift { class: DriftClass::ProjectAdded, subject: project.to_string() };
        match self.drift(drift, "the member was put into the project outside the bridge") {
            OnDrift::Revert => None,
            OnDrift::Adopt => Some(Flow::Continue),
            OnDrift::Report => Some(self.hold(format!(
                "the member was put into {project} outside the bridge and no grant gives it; it is left so \
                 (drift.project_added)"
            ))),
        }
    }

    /// A project that is granted and missing: taken away by somebody else, or not given yet? `None` when it is to be
    /// given.
    pub(super) fn meet_removed_project(
        &mut self,
        member: &Member,
        project: &ProjectId,
        before: &BTreeSet<ProjectId>,
    ) -> Option<Flow> {
        let drift = Drift { class: DriftClass::ProjectRemoved, subject: project.to_string() };
        let was_there =
            before.contains(project) && self.observed.gave_project_last(&member.id, project) != Some(false);
        if !was_there && !self.has_drifted(&drift) {
            return None;
        }
        match self.drift(drift, "the member was taken out of the project outside the bridge") {
            OnDrift::Revert => None,
            OnDrift::Adopt => Some(Flow::Continue),
            OnDrift::Report => Some(self.hold(format!(
                "the member was taken out of {project} outside the bridge, although it is granted; it is left so \
                 (drift.project_removed)"
            ))),
        }
    }

    /// Lowers an owner to the role that is granted, if the guard lets it.
    pub(super) fn lower_owner(&mut self, member: &Member, why: &str) -> Flow {
        let lower = Action::SetRole { user: member.id.clone(), role: OrgRole::Reader, lowers: true };
        self.take_away(member, lower, Lane::Reduce, why)
    }
}

/// Why nothing is done about an unclaimed user whose member is gone.
const UNCLAIMED_GONE: &str = "the member was removed before any identity provider claimed the user; a create for them invites anew, a delete \
     takes the user away";
