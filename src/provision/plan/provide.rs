//! Giving access: find what is there, follow the invite that is out, or send one.

use jiff::{SignedDuration, Timestamp};

use super::holds::invite_subject;
use super::withdraw::End;
use super::{Change, FRESH, Flow, Planner, Read, Step, later};
use crate::ids::{InviteId, ProjectId, UserId};
use crate::model::address::Address;
use crate::model::grant::{OrgRole, ProjectGrant};
use crate::model::hold::Guard;
use crate::model::mapping::{Origin, Status};
use crate::model::observed::{Collection, Invite, InviteStatus, Member, ProjectMember};
use crate::model::operation::{Action, Lane, Operation, OperationState};
use crate::model::policy::{OnDrift, OnExistingMember, RoleChange};
use crate::model::upkeep::{Drift, DriftClass};
use crate::provision::guard;

/// Why the organization is read before the first invite.
const BASELINE: &str = "nobody is invited before the organization was read once";
/// How soon to look again whether somebody who is being removed has let go of an address.
const CLAIM_RETRY: SignedDuration = SignedDuration::from_secs(5);

impl<'a> Planner<'a> {
    /// Plans for somebody who should have access.
    pub(super) fn provide(&mut self) -> Flow {
        let Some(address) = self.desired.address.as_ref() else {
            return self.hold("the user has no address that can be invited");
        };
        if self.mapping.user_id.is_none()
            && (self.link_as_told() == Flow::Stop
                || (self.mapping.user_id.is_none() && self.withhold() == Flow::Stop))
        {
            return Flow::Stop;
        }
        if self.mapping.user_id.is_none() && self.mapping.invite_id.is_none() {
            match self.adopt(address) {
                Flow::Stop => return Flow::Stop,
                Flow::Continue if self.mapping.user_id.is_none() && self.mapping.invite_id.is_none() => {
                    return self
                        .send_invite(address, "the directory wants access; neither member nor invited yet");
                }
                Flow::Continue => {}
            }
        }
        if self.mapping.user_id.is_some() {
            return self.keep_member();
        }
        if self.follow_invite() == Flow::Stop {
            return Flow::Stop;
        }
        if self.mapping.user_id.is_some() {
            return self.keep_member();
        }
        match self.adopt(address) {
            Flow::Stop => Flow::Stop,
            Flow::Continue if self.mapping.user_id.is_some() => self.keep_member(),
            Flow::Continue if self.mapping.invite_id.is_some() => self.follow_invite(),
            Flow::Continue => {
                self.send_invite(address, "the directory wants access; the former invite is gone")
            }
        }
    }

    /// Binds a member or a pending invite that was there before, as the policy says.
    pub(super) fn adopt(&mut self, address: &Address) -> Flow {
        if self.observed.address_in_transit {
            // What is there, or is about to appear, may be theirs, and goes with them.
            return self.wait_for_leaver();
        }
        let key = address.key();
        if let Some(member) = self.members_at(&key).next() {
            return self.adopt_member(member);
        }
        let pending = |invite: &&Invite| invite.status == InviteStatus::Pending;
        match self.invites_at(&key).find(pending) {
            Some(invite) => self.adopt_invite(invite),
            None => Flow::Continue,
        }
    }

    fn adopt_member(&mut self, member: &Member) -> Flow {
        if self.members_at(&member.email.as_deref().unwrap_or_default().to_ascii_lowercase()).count() > 1 {
            return self
                .hold("several members have this address; an administrator must say which one is meant");
        }
        if self.wait_for_claim(member.id.as_str()) == Flow::Stop {
            return Flow::Stop;
        }
        if let Some(reason) = guard::untouchable(member, self.policy) {
            return self.pass(Guard::Untouchable, self.lane(), "link the account".to_owned(), reason);
        }
        if member.role == Some(OrgRole::Owner) {
            let reason = "the address belongs to an owner of the organization, who is never bound by rule";
            return self.adopt_if_approved(member, reason);
        }
        match self.policy.on_existing_member {
            OnExistingMember::Link => {
                self.bind_member(
                    member,
                    Origin::Linked,
                    "a member with this address exists; the policy is to link",
                );
                Flow::Continue
            }
            OnExistingMember::Hold => {
                let reason = "a member with this address exists; the policy is to wait for an administrator";
                self.adopt_if_approved(member, reason)
            }
            OnExistingMember::Conflict => {
                self.hold("a member with this address exists; the policy is not to bind existing members")
            }
        }
    }

    fn adopt_invite(&mut self, invite: &Invite) -> Flow {
        if self.wait_for_claim(invite.id.as_str()) == Flow::Stop || self.outlast_removal() == Flow::Stop {
            return Flow::Stop;
        }
        if invite.role.is_none_or(|role| role > self.desired.invited_role()) {
            return self
                .hold("an invite to this address is out that carries a stronger role than is granted");
        }
        let key = invite.email.to_ascii_lowercase();
        let ours = self.observed.made_around(&key, invite);
        let look = Read::Invite(invite.id.clone());
        if !ours && self.seen_at(&look) < self.now.checked_sub(FRESH).ok() {
            // By this invite a former user of the address may have come in, and gone since.
            return self
                .read(look, "an invite to this address was listed; make sure that it is still pending");
        }
        let bind = Change::BindInvite {
            invite: invite.id.clone(),
            address: self.address_from(&invite.email),
            expires_at: invite.expires_at,
            origin: if ours { Origin::Invited } else { Origin::Linked },
        };
        self.record(bind, "a pending invite to this address exists");
        Flow::Continue
    }

    /// Where the bridge removed the person's member, what was listed until a moment after that may be the invite by which
    /// that member came in: it is not pending any more, however it looks.
    pub(super) fn outlast_removal(&mut self) -> Flow {
        const WHY: &str = "the person was removed lately; perhaps by this invite they had come in";
        let Some(removed_at) = self.observed.removed_at() else { return Flow::Continue };
        let listed_at = later(removed_at, self.policy.settle_time / 2);
        if self.now < listed_at {
            return self.wait(Some(listed_at), WHY);
        }
        self.need_sweep(Collection::Invites, Some(listed_at), WHY)
    }

    /// Stops if the invite or member stands for somebody else.
    pub(super) fn wait_for_claim(&mut self, id: &str) -> Flow {
        match self.observed.claims.get(id) {
            None => Flow::Continue,
            Some(claim) if claim.leaving => self.wait_for_leaver(),
            Some(_) => self.hold("the address already stands for another user of the directory"),
        }
    }

    fn wait_for_leaver(&mut self) -> Flow {
        let until = later(self.now, CLAIM_RETRY);
        self.wait(Some(until), "the address still stands for a user who is being removed")
    }

    /// Follows the bound invite. `Continue` when it is over: the member is bound, or nothing is.
    pub(super) fn follow_invite(&mut self) -> Flow {
        let (Some(id), Some(key)) = (self.mapping.invite_id.clone(), self.bound_key()) else {
            return Flow::Continue;
        };
        if let Some(member) = self.unclaimed_at(&key)
            && self.mapping.user_id.as_ref() != Some(&member.id)
        {
            return self.join(member);
        }
        let Some(invite) = self.invite(&id) else { return self.miss_invite(&id) };
        match invite.status {
            InviteStatus::Accepted => self.find_accepted(key),
            InviteStatus::Expired if !self.address_changed() => {
                let expired_at = invite.expires_at.or(self.mapping.invite_expires_at);
                match self.may_replace_expired(expired_at) {
                    Flow::Stop => Flow::Stop,
                    Flow::Continue => self.drop_invite(&id, "the invite ran out; a new one replaces it"),
                }
            }
            InviteStatus::Expired => self.drop_invite(&id, "the address changed and the invite ran out"),
            InviteStatus::Pending if self.wants_resend() => {
                self.drop_invite(&id, "an administrator asked for a new invite")
            }
            InviteStatus::Pending if self.address_changed() => {
                self.drop_invite(&id, "the address changed; the invite went to the former one")
            }
            InviteStatus::Pending if invite.role > Some(self.desired.invited_role()) => {
                self.drop_invite(&id, "the invite carries a stronger role than is granted now")
            }
            InviteStatus::Pending if self.says_something_else(&key, invite) => {
                self.drop_invite(&id, "the grants changed; the policy is to send another invite")
            }
            InviteStatus::Pending => self.wait_for_acceptance(invite),
        }
    }

    /// The invite says accepted, but no member with its address is known: the list may lag behind, or it was accepted
    /// under another address, or the member was removed since, perhaps by the bridge, which the invite told too late.
    fn find_accepted(&mut self, key: String) -> Flow {
        const WHY: &str = "the invite was accepted; find the member";
        let is_used_up = self.observed.removed_at() > self.observed.invited_at(&key);
        if self.mapping.status != Status::Held {
            let look = Read::MemberAt(key);
            let Some(looked_at) = self.looked_at(&look) else { return self.read(look, WHY) };
            let listed_at = later(looked_at, self.policy.settle_time / 2);
            if self.now < listed_at {
                return self.wait(
                    Some(listed_at),
                    "the invite was accepted; no member with its address is listed yet",
                );
            }
            if self.need_sweep(Collection::Members, Some(listed_at), WHY) == Flow::Stop {
                return Flow::Stop;
            }
        }
        let why = if is_used_up {
            "the invite is used up: the member was removed since, by the bridge"
        } else if self.wants_resend() {
            "the invite is used up; an administrator asked for a new one"
        } else {
            return self.hold(
                "the invite was accepted, but no member has its address: accepted under another address, or removed \
                 since; `scim-bridge invites resend` invites them again",
            );
        };
        self.record(Change::UnbindInvite, why);
        Flow::Continue
    }

    fn wait_for_acceptance(&mut self, invite: &Invite) -> Flow {
        if self.withdraw_surplus(Some(&invite.id)) == Flow::Stop {
            return Flow::Stop;
        }
        let look = Read::Invite(invite.id.clone());
        match invite.expires_at {
            Some(expires_at) if self.now < expires_at => {
                self.wait(Some(expires_at), "the invite is out; the person has to accept it")
            }
            Some(expires_at) if self.seen_at(&look) < Some(expires_at) => {
                self.read(look, "the invite should have run out")
            }
            _ => self.wait(None, "the invite is out; the person has to accept it"),
        }
    }

    /// The invited person is a member now.
    fn join(&mut self, member: &Member) -> Flow {
        if let Some(reason) = guard::untouchable(member, self.policy) {
            return self.pass(Guard::Untouchable, self.lane(), "link the account".to_owned(), reason);
        }
        if self.mapping.user_id.is_some() {
            // The person moves from one address to another: the new membership is there, the old one goes.
            return self.remove_member("the membership moved to the new address");
        }
        if member.role > Some(self.desired.invited_role()) && !self.observed.invited_as_owner(&member.id) {
            return self.hold("the member became an owner outside the bridge before they were bound");
        }
        self.bind_member(member, self.mapping.origin, "the invite was accepted");
        Flow::Continue
    }

    /// Withdraws the bound invite so that another can take its place.
    fn drop_invite(&mut self, id: &InviteId, why: &str) -> Flow {
        match self.end_invite(id, Lane::Invite, why) {
            End::Open => Flow::Stop,
            End::Joined => Flow::Continue,
            End::Gone => {
                self.record(Change::UnbindInvite, "the invite is gone");
                Flow::Continue
            }
        }
    }

    /// The bound invite is in no reading any more.
    fn miss_invite(&mut self, id: &InviteId) -> Flow {
        let ran_out = self.mapping.invite_expires_at.is_some_and(|expires_at| expires_at <= self.now);
        let ours = self.observed.tried(&Action::DeleteInvite { invite: id.clone() });
        if ran_out && !ours && !self.address_changed() {
            let expired_at = self.mapping.invite_expires_at;
            if self.may_replace_expired(expired_at) == Flow::Stop {
                return Flow::Stop;
            }
        }
        match self.end_invite(id, Lane::Read, "the person was invited") {
            End::Open => Flow::Stop,
            End::Joined => Flow::Continue,
            End::Gone if ours || ran_out || self.address_changed() || self.wants_resend() => {
                self.record(Change::UnbindInvite, "the invite is gone");
                Flow::Continue
            }
            End::Gone => self.lose_invite(id),
        }
    }

    /// The bound invite is gone, and not by the bridge. `Continue` when another is to be sent.
    fn lose_invite(&mut self, id: &InviteId) -> Flow {
        let drift = Drift { class: DriftClass::InviteWithdrawn, subject: id.to_string() };
        match self.drift(drift, "the invite was withdrawn outside the bridge") {
            OnDrift::Revert => {
                self.record(Change::UnbindInvite, "the invite is gone; the policy is to invite again");
                Flow::Continue
            }
            OnDrift::Report | OnDrift::Adopt => self.hold(
                "the invite was withdrawn outside the bridge; `scim-bridge invites resend` sends another",
            ),
        }
    }

    /// Sends an invite, once everything that could forbid it or make it superfluous is known.
    pub(super) fn send_invite(&mut self, address: &Address, why: &str) -> Flow {
        let domains = &self.policy.allowed_domains;
        if !domains.is_empty() && !domains.contains(&address.domain()) {
            let reason = "the address is outside the domains that may be invited (invites.allowed_domains)";
            let subject = invite_subject(address.as_str());
            if self.pass(Guard::AllowedDomains, self.lane(), subject, reason) == Flow::Stop {
                return Flow::Stop;
            }
        }
        if self.sweep_people(None, BASELINE) == Flow::Stop {
            return Flow::Stop;
        }
        let key = address.key();
        let leftover = self
            .invites_at(&key)
            .filter(|invite| invite.status == InviteStatus::Expired)
            .filter(|invite| !self.observed.claims.contains_key(invite.id.as_str()))
            .map(|invite| Action::DeleteInvite { invite: invite.id.clone() })
            .find(|delete| self.observed.refusal_of(delete).is_none());
        if let Some(delete) = leftover {
            return self.push(
                Lane::Invite,
                Step::Call(delete),
                "an expired invite to the same address is in the way",
            );
        }
        let create = self.invite_to(address, self.desired.invited_projects());
        let Some(refused) = self.lately_refused(&create) else { return self.call(create, why) };
        // One of the projects may be why: then the person comes in without them, and they are given one by one.
        let bare = self.invite_to(address, Vec::new());
        if bare == create {
            return self.face_refusal(refused);
        }
        if let Some(refused) = self.lately_refused(&bare) {
            return self.face_refusal(refused);
        }
        if self.look_after_refusal(refused) == Flow::Stop {
            return Flow::Stop;
        }
        self.call(bare, "OpenAI refused the invite with its projects; they are given after acceptance")
    }

    fn invite_to(&self, address: &Address, projects: Vec<ProjectGrant>) -> Action {
        Action::CreateInvite {
            address: address.as_str().to_owned(),
            role: self.desired.invited_role(),
            projects,
        }
    }

    /// The refusal of this call, if the person has not changed and nobody asked for another invite since.
    fn lately_refused(&self, action: &Action) -> Option<&'a Operation> {
        let observed = self.observed;
        let refused =
            observed.refusal_of(action).filter(|refused| refused.person_version >= observed.version);
        // What may have been in the way is gone.
        let is_cleared = |refused: &Operation| {
            observed.recent.iter().any(|operation| {
                operation.state == OperationState::Done
                    && operation.sent_at >= refused.sent_at
                    && matches!(operation.action, Action::DeleteInvite { .. })
            })
        };
        refused.filter(|refused| !self.wants_resend_since(refused.sent_at) && !is_cleared(refused))
    }

    /// Whether the grants changed since the bridge sent this invite, and the policy is to send another one then.
    fn says_something_else(&self, key: &str, invite: &Invite) -> bool {
        let Some(wished) = self.desired.address.as_ref() else { return false };
        if self.policy.role_change != RoleChange::Reinvite || !self.observed.made_around(key, invite) {
            return false;
        }
        let full = self.invite_to(wished, self.desired.invited_projects());
        let bare = self.invite_to(wished, Vec::new());
        let is_enough = |sent: &Action| *sent == full || (*sent == bare && self.observed.tried(&full));
        self.observed.last_invite(key).is_some_and(|sent| !is_enough(sent))
    }

    /// OpenAI refused the invite. That may mean that the address is invited or a member already, so the readings
    /// must be newer than the refusal before it is believed to be about the address; and if OpenAI says so, as new as it
    /// takes its lists to show it.
    fn face_refusal(&mut self, refused: &Operation) -> Flow {
        if self.look_after_refusal(refused) == Flow::Stop {
            return Flow::Stop;
        }
        let words = refused.outcome.clone().unwrap_or_else(|| "OpenAI refused the invite".to_owned());
        self.push(Lane::Invite, Step::Refuse, words)
    }

    fn look_after_refusal(&mut self, refused: &Operation) -> Flow {
        let refused_at = refused.settled_at.unwrap_or(refused.sent_at);
        let why = "OpenAI refused the invite; perhaps the address is a member or invited already";
        let flow = self.sweep_people(Some(refused_at), why);
        let is_said = refused.outcome.as_deref().is_some_and(|words| words.contains("already"));
        if flow == Flow::Stop || !is_said {
            return flow;
        }
        let listed_at = later(refused_at, self.policy.settle_time);
        if self.now < listed_at {
            return self.wait(
                Some(listed_at),
                "OpenAI says that the address is there already; its lists may lag behind",
            );
        }
        self.sweep_people(Some(listed_at), why)
    }

    /// Goes on once members and invites were read, after this instant if one is given.
    pub(super) fn sweep_people(&mut self, since: Option<Timestamp>, why: &str) -> Flow {
        let members = self.need_sweep(Collection::Members, since, why);
        let invites = self.need_sweep(Collection::Invites, since, why);
        if members == Flow::Stop || invites == Flow::Stop { Flow::Stop } else { Flow::Continue }
    }

    /// Whether the wished address is another one than the bound invite went to.
    fn address_changed(&self) -> bool {
        self.desired.address.as_ref().map(Address::key) != self.bound_key()
    }

    pub(super) fn members_at<'k>(&self, key: &'k str) -> impl Iterator<Item = &'a Member> + use<'a, 'k> {
        let observed = self.observed;
        let has_key = move |member: &&Member| {
            member.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(key))
        };
        observed.members.iter().filter(has_key)
    }

    pub(super) fn invites_at<'k>(&self, key: &'k str) -> impl Iterator<Item = &'a Invite> + use<'a, 'k> {
        let observed = self.observed;
        let has_key = move |invite: &&Invite| invite.email.eq_ignore_ascii_case(key);
        observed.invites.iter().filter(has_key)
    }

    /// The one member at this address who stands for nobody else.
    pub(super) fn unclaimed_at(&self, key: &str) -> Option<&'a Member> {
        self.members_at(key).find(|member| !self.observed.claims.contains_key(member.id.as_str()))
    }

    /// The member at this address whom an invite of ours may have brought in.
    pub(super) fn bindable_at(&self, key: &str) -> Option<&'a Member> {
        self.unclaimed_at(key).filter(|member| {
            guard::untouchable(member, self.policy).is_none() && member.role != Some(OrgRole::Owner)
        })
    }

    /// Live invites to this address that stand for nobody else and that the bridge made, oldest first: made about
    /// when it sent one.
    pub(super) fn own_invites(&self, key: &str) -> Vec<&'a Invite> {
        self.invites_at(key)
            .filter(|invite| invite.status != InviteStatus::Expired)
            .filter(|invite| !self.observed.claims.contains_key(invite.id.as_str()))
            .filter(|invite| self.observed.made_around(key, invite))
            .collect()
    }

    pub(super) fn project_member(&self, project: &ProjectId, user: &UserId) -> Option<&'a ProjectMember> {
        self.observed
            .projects
            .iter()
            .find(|membership| membership.project == *project && membership.user == *user)
    }

    /// Binds a member, with the address that they have at OpenAI.
    pub(super) fn bind_member(&mut self, member: &Member, origin: Origin, why: impl Into<String>) {
        let address = member.email.as_deref().and_then(|email| self.address_from(email));
        self.record(Change::BindMember { user: member.id.clone(), address, origin }, why);
    }

    pub(super) fn address_from(&self, email: &str) -> Option<Address> {
        Address::parse(email).ok().or_else(|| self.desired.address.clone())
    }
}
