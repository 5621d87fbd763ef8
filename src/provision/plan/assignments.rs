//! OpenAI groups and custom roles of a member. Each is there or not; there is no weaker and no stronger.
//!
//! What no list of OpenAI's can show, or what it does not offer to the organization, is neither given nor taken away.

use std::collections::BTreeSet;

use super::{Change, Flow, Planner};
use crate::ids::UserId;
use crate::model::grant::{Assignment, OrgRole};
use crate::model::mapping::Origin;
use crate::model::observed::Member;
use crate::model::operation::{Action, Lane};
use crate::provision::desired::{in_words, managed_groups};

impl Planner<'_> {
    /// Takes away what no grant gives any more: what a grant once gave, and of somebody whom the bridge brought in,
    /// membership of every OpenAI group that the policy manages.
    pub(super) fn take_assignments(&mut self, member: &Member) -> Flow {
        let mut concerned: BTreeSet<Assignment> =
            self.mapping.effective_assignments.iter().cloned().collect();
        concerned.extend(self.given_lately(&member.id));
        concerned.extend(self.desired.assignments.keys().cloned());
        self.note_assignments(member, &concerned);
        if self.mapping.origin == Origin::Invited {
            let managed = managed_groups(self.policy, &self.facts.inventory).into_iter();
            concerned.extend(managed.map(|group| Assignment::Group { group }));
        }
        let mut flow = Flow::Continue;
        for what in concerned {
            let keeps = self.desired.assignments.contains_key(&what)
                || self.desired.doubtful_assignments.contains(&what);
            if keeps || !self.has(&what, &member.id) || !self.can_change(&what, member) {
                continue;
            }
            let why = format!("no grant gives {what} any more");
            flow = self.insist(Action::Unassign { what, user: member.id.clone() }, Lane::Reduce, &why);
        }
        flow
    }

    /// Gives what is missing. A role in a project comes after the project.
    pub(super) fn give_assignments(&mut self, member: &Member) -> Flow {
        let mut flow = Flow::Continue;
        for (what, sources) in &self.desired.assignments {
            if self.has(what, &member.id) || !self.can_change(what, member) {
                continue;
            }
            let why = format!("{what} is granted by {}", in_words(sources));
            flow = self.grant(Action::Assign { what: what.clone(), user: member.id.clone() }, &why);
        }
        flow
    }

    /// Whether the member has it, as far as was seen.
    pub(super) fn has(&self, what: &Assignment, user: &UserId) -> bool {
        self.observed.assignments.iter().any(|assigned| assigned.what == *what && assigned.user == *user)
    }

    /// Whether it can be given and taken at present.
    fn can_change(&self, what: &Assignment, member: &Member) -> bool {
        let inventory = &self.facts.inventory;
        match what {
            Assignment::Group { .. } => inventory.groups.is_read(),
            Assignment::Role { .. } => inventory.roles.is_read(),
            // Owners own every project; others must be in it first, and lose the role with it.
            Assignment::ProjectRole { project, .. } => {
                inventory.roles.is_read()
                    && member.role != Some(OrgRole::Owner)
                    && self.desired.invited_role() != OrgRole::Owner
                    && self.project_member(project, &member.id).is_some()
            }
        }
    }

    /// What the latest operations gave, which may have been taken off the wishes before it was noted.
    fn given_lately(&self, user: &UserId) -> Vec<Assignment> {
        let assigned = self.observed.recent.iter().filter_map(|operation| match &operation.action {
            Action::Assign { what, user: whom } if whom == user => Some(what),
            _ => None,
        });
        let still = assigned.filter(|what| {
            let (what, user) = ((*what).clone(), user.clone());
            let take = Action::Unassign { what: what.clone(), user: user.clone() };
            self.observed.gave(&Action::Assign { what, user }, &take)
        });
        still.cloned().collect()
    }

    fn note_assignments(&mut self, member: &Member, concerned: &BTreeSet<Assignment>) {
        let seen: Vec<_> = concerned.iter().filter(|what| self.has(what, &member.id)).cloned().collect();
        if self.mapping.effective_assignments != seen {
            self.record(Change::EffectiveAssignments(seen), "seen upstream");
        }
    }
}
