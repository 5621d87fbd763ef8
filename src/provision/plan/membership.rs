//! Somebody who is a member: their role, and the move to another address.

use super::outcome::effect_of;
use super::{Flow, Planner, Read, Step};
use crate::model::address::Address;
use crate::model::grant::OrgRole;
use crate::model::hold::Guard;
use crate::model::mapping::Origin;
use crate::model::observed::Member;
use crate::model::operation::{Action, Lane};
use crate::model::policy::{OnAddressChange, OnDrift};
use crate::provision::guard;

impl Planner<'_> {
    /// Plans for a bound member who should have access: rights first, then the address.
    ///
    /// Binding somebody changes nothing by itself: a role is changed only when a grant names another one, and a
    /// membership of a project is taken away only where a grant once gave it or the bridge brought the person in.
    pub(super) fn keep_member(&mut self) -> Flow {
        let Some(user) = self.mapping.user_id.clone() else { return Flow::Continue };
        let Some(member) = self.member(&user) else {
            let look = Read::Member(user.clone());
            if self.missed_at(&look).is_none() {
                return self.read(look, "the member was not there in the last reading, look twice");
            }
            return match self.lose_member(&user) {
                Flow::Stop => Flow::Stop,
                Flow::Continue => self.provide(),
            };
        };
        if let Some(reason) = guard::untouchable(member, self.policy) {
            return self.pass(Guard::Untouchable, self.lane(), "change the account".to_owned(), reason);
        }
        let role = self.arrange_role(member);
        let taken = self.take_assignments(member);
        let projects = self.arrange_projects(member);
        let assigned = self.give_assignments(member);
        self.end_drift();
        let address = self.arrange_address(member);
        if [role, taken, projects, assigned, address].contains(&Flow::Stop) {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }

    /// A role that is not one of the two classic ones is never acted on.
    fn arrange_role(&mut self, member: &Member) -> Flow {
        let Some(role) = member.role else { return Flow::Continue };
        let user = member.id.clone();
        let granted = self.desired.org_role.as_ref();
        match granted {
            Some(granted) if granted.role > role => {
                match self.role_drift(member, role) {
                    Some(OnDrift::Report) => {
                        return self.hold(format!(
                            "the role was lowered to {role} outside the bridge, although {} is granted; it is left so \
                             (drift.role_changed)",
                            granted.role
                        ));
                    }
                    Some(OnDrift::Adopt) => return Flow::Continue,
                    Some(OnDrift::Revert) | None => {}
                }
                let raise = Action::SetRole { user, role: granted.role, lowers: false };
                self.grant(raise, &format!("the role {} is granted by {}", granted.role, granted.why()))
            }
            _ if role == OrgRole::Owner && self.desired.invited_role() < OrgRole::Owner => {
                self.demote_owner(member)
            }
            _ => Flow::Continue,
        }
    }

    /// Only an owner whom the bridge made one is demoted by it.
    fn demote_owner(&mut self, member: &Member) -> Flow {
        match self.role_drift(member, OrgRole::Owner) {
            Some(OnDrift::Revert) => {
                return self.lower_owner(member, "the member was made an owner outside the bridge");
            }
            Some(OnDrift::Adopt) => return Flow::Continue,
            Some(OnDrift::Report) | None => {}
        }
        if !self.observed.invited_as_owner(&member.id) {
            if self.mapping.origin == Origin::Imported {
                return Flow::Continue;
            }
            return self
                .hold("the member was made an owner outside the bridge, which never demotes such an owner");
        }
        self.lower_owner(member, "no grant gives the role owner any more")
    }

    /// OpenAI cannot change a member's address, so another address means another membership.
    fn arrange_address(&mut self, member: &Member) -> Flow {
        if self.mapping.invite_id.is_some() && self.follow_invite() == Flow::Stop {
            return Flow::Stop;
        }
        // An administrator who imported a row has said that this member is meant, whatever the address.
        if self.mapping.origin == Origin::Imported {
            return Flow::Continue;
        }
        let present = member.email.as_ref().map(|email| email.to_ascii_lowercase());
        let present = present.or_else(|| self.mapping.address.as_ref().map(Address::key));
        let Some(wished) = self.desired.address.as_ref() else { return Flow::Continue };
        if present.is_none_or(|present| present == wished.key()) {
            return Flow::Continue;
        }
        match self.policy.on_address_change {
            OnAddressChange::Hold => {
                let reason = "the address changed; OpenAI cannot change a member's address, so the move waits for an \
                              administrator";
                let subject = format!("move to {}", wished.key());
                match self.pass(Guard::AddressChange, self.lane(), subject, reason) {
                    Flow::Continue => self.move_to(wished),
                    Flow::Stop => Flow::Stop,
                }
            }
            OnAddressChange::Refuse => self.hold(
                "the address changed; the policy is to refuse that, so the membership stays with the former address",
            ),
            OnAddressChange::Reinvite => self.move_to(wished),
        }
    }

    /// Invites the new address; the old membership stays until that is accepted.
    fn move_to(&mut self, wished: &Address) -> Flow {
        let key = wished.key();
        match self.members_at(&key).next() {
            None => match self.adopt(wished) {
                Flow::Stop => Flow::Stop,
                Flow::Continue if self.mapping.invite_id.is_some() => self.follow_invite(),
                Flow::Continue => self.send_invite(
                    wished,
                    "the address changed; the new one is invited, the old membership stays",
                ),
            },
            Some(_) if self.observed.invited_at(&key).is_some() => {
                self.remove_member("the membership moved to the new address")
            }
            Some(_) => self.hold("the new address belongs to another member of the organization already"),
        }
    }

    /// Makes a call that gives something. What was refused is not tried again until the person changes; before it is
    /// believed, a look shows whether it was so already.
    pub(super) fn grant(&mut self, action: Action, why: &str) -> Flow {
        let Some(refused) = self.observed.refusal_of(&action) else { return self.call(action, why) };
        let look = effect_of(&action);
        if self.seen_at(&look) < Some(refused.settled_at.unwrap_or(refused.sent_at)) {
            return self.read(look, format!("{why}; OpenAI refused, perhaps it is so already"));
        }
        if refused.person_version < self.observed.version {
            return self.call(action, why);
        }
        let words = refused.outcome.clone().unwrap_or_else(|| "OpenAI refused the grant".to_owned());
        self.push(Lane::Grant, Step::Refuse, words)
    }
}
