//! Taking access away: done only when neither an invite nor a member is left.

use jiff::Timestamp;

use super::observed::may_have_joined_by;
use super::outcome::effect_of;
use super::{Change, Flow, Planner, Read, Step, later};
use crate::ids::InviteId;
use crate::model::mapping::{Origin, Status};
use crate::model::observed::{Collection, Invite, InviteStatus};
use crate::model::operation::{Action, Lane, Operation, OperationState};
use crate::model::upkeep::Upkeep;

/// What became of an invite that was to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is gone, and nobody came in by it.
    Gone,
    /// It was accepted: the member is bound now.
    Joined,
    /// More must be done or known first; the steps are planned.
    Open,
}

impl Planner<'_> {
    /// Plans for somebody who should have no access. Only what is bound to the person is touched.
    pub(super) fn withdraw(&mut self) -> Flow {
        const WHY: &str = "the directory wants no access";
        if self.mapping.user_id.is_some() && self.remove_member(WHY) == Flow::Stop {
            return Flow::Stop;
        }
        self.claim_late_invite();
        if self.claim_late_member() && self.remove_member(WHY) == Flow::Stop {
            return Flow::Stop;
        }
        if let Some(invite) = self.mapping.invite_id.clone() {
            match self.end_invite(&invite, Lane::Revoke, WHY) {
                End::Open => return Flow::Stop,
                End::Gone => self.record(Change::UnbindInvite, "the invite is gone"),
                End::Joined => {
                    if self.remove_member(WHY) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
            }
        }
        if self.withdraw_surplus(None) == Flow::Stop || self.outlast_unanswered_invite() == Flow::Stop {
            return Flow::Stop;
        }
        if self.mapping.upkeep != Upkeep::default() {
            self.record(Change::Forget, "nothing is left upstream");
        }
        Flow::Continue
    }

    /// An invite of ours that appeared after its sending was believed to have failed stands for the person.
    fn claim_late_invite(&mut self) {
        if self.mapping.invite_id.is_some()
            || self.mapping.user_id.is_some()
            || self.observed.address_wanted_elsewhere
        {
            return;
        }
        let late = |key: String| {
            let came_in = self.unclaimed_at(&key).is_some();
            self.own_invites(&key).into_iter().find(|invite| {
                self.observed.failed_around(&key, invite)
                    && (invite.status == InviteStatus::Pending || came_in)
            })
        };
        // It may have gone to a former address.
        if let Some(invite) = self.bound_key().into_iter().chain(self.observed.failed_keys()).find_map(late) {
            let bind = Change::BindInvite {
                invite: invite.id.clone(),
                address: self.address_from(&invite.email),
                expires_at: invite.expires_at,
                origin: Origin::Invited,
            };
            self.record(bind, "an invite of ours appeared late");
        }
    }

    /// Whoever came in at an address after an invite of ours was sent there without an answer stands for the person, even
    /// if no list ever showed the invite: one that was accepted may not be listed any more. Another user with the address
    /// waits until this one is gone; whoever is there after that is theirs.
    fn claim_late_member(&mut self) -> bool {
        let is_theirs = self.observed.address_wanted_elsewhere && self.mapping.status == Status::Parked;
        if self.mapping.invite_id.is_some() || self.mapping.user_id.is_some() || is_theirs {
            return false;
        }
        let late = |(key, sent): (String, &Operation)| {
            self.bindable_at(&key).filter(|member| may_have_joined_by(member, sent))
        };
        let Some(member) = self.observed.unanswered_invites().find_map(late) else { return false };
        self.bind_member(
            member,
            Origin::Invited,
            "an invite of ours had an effect, although no answer came and no list showed it",
        );
        true
    }

    /// One list may have left out what an unanswered invite led to. Nobody is gone before others, a while later, leave it
    /// out as well.
    fn outlast_unanswered_invite(&mut self) -> Flow {
        const WHY: &str = "an invite got no answer and seems to have had no effect; make sure of that";
        let settled_at = self.observed.unanswered_invites().filter_map(|(_, sent)| sent.settled_at).max();
        let Some(settled_at) = settled_at else { return Flow::Continue };
        let listed_at = later(settled_at, self.policy.settle_time / 2);
        if self.now < listed_at {
            return self.wait(Some(listed_at), WHY);
        }
        self.sweep_people(Some(listed_at), WHY)
    }

    /// Removes the bound member, if the guard lets it. `Continue` when no member is left.
    pub(super) fn remove_member(&mut self, why: &str) -> Flow {
        let Some(user) = self.mapping.user_id.clone() else { return Flow::Continue };
        let look = Read::Member(user.clone());
        let Some(member) = self.member(&user) else {
            if self.missed_at(&look).is_none() {
                return self
                    .read(look, format!("{why}; the member was not there in the last reading, look twice"));
            }
            self.record(Change::UnbindMember, "the member is gone");
            return Flow::Continue;
        };
        self.take_away(member, Action::DeleteUser { user }, Lane::Revoke, why)
    }

    /// Ends an invite that stands for the person, and makes sure that nobody came in by it. The row keeps the invite
    /// unless the member is bound in its place.
    pub(super) fn end_invite(&mut self, invite: &InviteId, lane: Lane, why: &str) -> End {
        let look = Read::Invite(invite.clone());
        let status = self.invite(invite).map(|invite| invite.status);
        let delete = Action::DeleteInvite { invite: invite.clone() };
        let gone_at = match status {
            // An earlier look than the list that says so may have been before the acceptance.
            Some(InviteStatus::Accepted) => match self.looked_at(&look) {
                Some(looked_at) if Some(looked_at) >= self.swept_at(&Collection::Invites) => looked_at,
                _ => {
                    return self.look_first(look, lane, format!("{why}; the invite was accepted, look when"));
                }
            },
            Some(InviteStatus::Expired) if self.observed.refusal_of(&delete).is_some() => return End::Gone,
            Some(InviteStatus::Pending | InviteStatus::Expired) => {
                self.insist(delete, lane, why);
                return End::Open;
            }
            None => match self.missed_at(&look).filter(|missed_at| self.is_late_enough(*missed_at)) {
                Some(missed_at) => missed_at,
                None => {
                    return self.look_first(
                        look,
                        lane,
                        format!("{why}; the invite is not listed, look twice"),
                    );
                }
            },
        };
        self.find_joined(status.is_some(), gone_at, lane, why)
    }

    /// Whether a look at the bound invite that did not find it says that it is gone: a young invite may not be shown yet,
    /// so once it should be, an earlier look says nothing.
    fn is_late_enough(&self, missed_at: Timestamp) -> bool {
        let sent_at = self.bound_key().and_then(|key| self.observed.invited_at(&key));
        let shown_at = sent_at.map(|sent_at| later(sent_at, self.policy.settle_time));
        shown_at.is_none_or(|shown_at| missed_at >= shown_at || self.now < shown_at)
    }

    fn look_first(&mut self, look: Read, lane: Lane, reason: String) -> End {
        self.push(lane, Step::Read(look), reason);
        End::Open
    }

    /// The invite is over: is there a member who came in by it?
    fn find_joined(&mut self, was_accepted: bool, gone_at: Timestamp, lane: Lane, why: &str) -> End {
        let Some(key) = self.bound_key() else { return End::Gone };
        if let Some(member) = self.unclaimed_at(&key) {
            if self.mapping.user_id.as_ref().is_some_and(|bound| *bound != member.id) {
                return End::Gone;
            }
            self.bind_member(member, self.mapping.origin, "the invite was accepted");
            return End::Joined;
        }
        let at = Read::MemberAt(key.clone());
        if self.seen_at(&at) < Some(gone_at) {
            self.push(lane, Step::Read(at), format!("{why}; the invite may have been accepted"));
            return End::Open;
        }
        // The list of members may lag behind: behind an acceptance, and behind an invite that is very young.
        let quiet_at = if was_accepted {
            Some(later(gone_at, self.policy.settle_time / 2))
        } else {
            self.observed.invited_at(&key).map(|at| later(at, self.policy.settle_time))
        };
        let swept_at = self.swept_at(&Collection::Members);
        if swept_at >= quiet_at.max(Some(gone_at)) {
            return End::Gone;
        }
        match quiet_at {
            Some(quiet_at) if self.now < quiet_at && swept_at >= Some(gone_at) => {
                self.push(lane, Step::Wait(Some(quiet_at)), "the list of members may still lag behind");
            }
            _ => {
                let sweep = Step::Read(Read::Sweep(Collection::Members));
                self.push(lane, sweep, format!("{why}; make sure that nobody came in by the invite"));
            }
        }
        End::Open
    }

    /// Withdraws invites of ours to the person's address beyond the one that is kept: one person, one live invite.
    pub(super) fn withdraw_surplus(&mut self, kept: Option<&InviteId>) -> Flow {
        let Some(key) = self.bound_key() else { return Flow::Continue };
        let is_pending = |invite: &&Invite| invite.status == InviteStatus::Pending;
        if self.observed.address_wanted_elsewhere {
            // Another user of the directory may take an invite over, but not the one by which the person had come in.
            let is_any_out = self.invites_at(&key).any(|invite| is_pending(&invite));
            return if is_any_out { self.outlast_removal() } else { Flow::Continue };
        }
        let surplus = self.own_invites(&key).into_iter().filter(is_pending);
        let surplus = surplus.map(|invite| invite.id.clone()).find(|invite| Some(invite) != kept);
        match surplus {
            Some(invite) => self.insist(
                Action::DeleteInvite { invite },
                Lane::Revoke,
                "a second invite of ours to the same address",
            ),
            None => Flow::Continue,
        }
    }

    /// Makes a call that takes something away, as often as it takes. After a refusal, and after OpenAI said that there
    /// was no such thing, it looks first: perhaps it is gone.
    pub(super) fn insist(&mut self, action: Action, lane: Lane, why: &str) -> Flow {
        let Some(former) = self.observed.in_vain(&action) else {
            return self.push(lane, Step::Call(action), why);
        };
        let reason = match (former.state, &former.outcome) {
            (OperationState::Refused, words) => {
                format!("{why}; OpenAI refused before: {}", words.as_deref().unwrap_or_default())
            }
            _ => why.to_owned(),
        };
        let look = effect_of(&action);
        if self.seen_at(&look) < Some(former.settled_at.unwrap_or(former.sent_at)) {
            return self.push(lane, Step::Read(look), reason);
        }
        self.push(lane, Step::Call(action), reason)
    }
}
