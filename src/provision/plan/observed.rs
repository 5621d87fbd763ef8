//! What a plan is made against: everything stored about one person, and what is known of the tenant as a whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Read, later};
use crate::ids::{PersonId, ProjectId, TenantId, UserId};
use crate::model::grant::OrgRole;
use crate::model::hold::{About, Hold};
use crate::model::inventory::Inventory;
use crate::model::mapping::Mapping;
use crate::model::observed::{Assigned, Collection, Invite, Member, ProjectMember, Sweep};
use crate::model::operation::{Action, Operation, OperationState};
use crate::model::person::Person;

/// What is stored about one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The tenant.
    pub tenant: TenantId,
    /// The person.
    pub person: PersonId,
    /// The version of their resource.
    pub version: i64,
    /// Their row of the mapping table, if there is one.
    pub mapping: Option<Mapping>,
    /// Operations whose outcome is open, oldest first; nobody is waiting for an answer to them any more.
    pub open: Vec<Operation>,
    /// The latest settled operations, newest first.
    pub recent: Vec<Operation>,
    /// Members of the mirror that are bound to the person or have an address of theirs.
    pub members: Vec<Member>,
    /// Invites of the mirror that are bound to the person or went to an address of theirs, oldest first.
    pub invites: Vec<Invite>,
    /// Where those members are in the mirrored projects.
    pub projects: Vec<ProjectMember>,
    /// Which OpenAI groups and custom roles those members are known to have.
    pub assignments: Vec<Assigned>,
    /// Invites and members among these, by id, that stand for somebody else.
    pub claims: BTreeMap<String, Claim>,
    /// Somebody else who should have access wishes the same address.
    pub address_wanted_elsewhere: bool,
    /// Somebody else who should have no access is not rid of this address yet.
    pub address_in_transit: bool,
    /// What was looked up for this person lately.
    pub looks: Vec<Look>,
    /// What waits, or waited, for a human and is not over.
    pub holds: Vec<Hold>,
}

impl Observed {
    /// Where a person is known and nothing else about them.
    pub fn nothing_of(person: &Person) -> Self {
        Self {
            tenant: person.tenant.clone(),
            person: person.id,
            version: person.version,
            mapping: None,
            open: Vec::new(),
            recent: Vec::new(),
            members: Vec::new(),
            invites: Vec::new(),
            projects: Vec::new(),
            assignments: Vec::new(),
            claims: BTreeMap::new(),
            address_wanted_elsewhere: false,
            address_in_transit: false,
            looks: Vec::new(),
            holds: Vec::new(),
        }
    }

    /// What a hold of theirs is about now.
    pub fn about(&self) -> About {
        About::Person { id: self.person, version: self.version }
    }
}

/// Somebody else's tie to an invite or a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub person: PersonId,
    /// Whether they are about to lose it, because they should have no access.
    pub leaving: bool,
}

/// The result of looking one thing up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What was looked up.
    pub read: Read,
    /// When it was asked for.
    pub at: Timestamp,
    /// Whether it was there. What it looked like is in the mirror.
    pub found: bool,
}

/// What is known of the tenant's upstream side as a whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The last complete and plausible reading of each collection.
    pub sweeps: BTreeMap<Collection, Sweep>,
    /// The human owners in the mirror.
    pub owners: Vec<Member>,
    /// Owners whose removal or demotion is under way, for whomever.
    pub leaving_owners: BTreeSet<UserId>,
    /// The owner of the admin key in use, if OpenAI told; several if it told only what the key may be.
    pub key_owners: BTreeSet<UserId>,
    /// What there is to give access to.
    pub inventory: Inventory,
    /// Projects that somebody has by a grant, or had until somebody else took them away, whoever names them.
    pub granted_projects: BTreeSet<ProjectId>,
}

impl Facts {
    /// When the last complete reading of this collection began.
    pub fn swept_at(&self, collection: &Collection) -> Option<Timestamp> {
        self.sweeps.get(collection).map(|sweep| sweep.started_at)
    }

    /// The owner who would be lost by this call, if it is one.
    pub fn owner_lost_by(&self, action: &Action) -> Option<UserId> {
        let (Action::DeleteUser { user } | Action::SetRole { user, lowers: true, .. }) = action else {
            return None;
        };
        self.owners.iter().any(|owner| owner.id == *user).then(|| user.clone())
    }
}

impl Observed {
    /// The latest refusal of just this action, unless it took effect since.
    pub(super) fn refusal_of(&self, action: &Action) -> Option<&Operation> {
        let latest = self.recent.iter().find(|operation| operation.action == *action);
        latest.filter(|operation| operation.state == OperationState::Refused)
    }

    /// The latest attempt to take just this away, if it may be that it took nothing away: it was refused; or it is done
    /// and was not given since, and the mirror, which forgets what is taken away, shows it.
    pub(super) fn in_vain(&self, action: &Action) -> Option<&Operation> {
        let gives = |given: &Action| match (given, action) {
            (
                Action::AddToProject { project, user, .. },
                Action::RemoveFromProject { project: taken, user: from },
            ) => (project, user) == (taken, from),
            (Action::Assign { what, user }, Action::Unassign { what: taken, user: from }) => {
                (what, user) == (taken, from)
            }
            _ => false,
        };
        let is_in_mirror = matches!(action, Action::RemoveFromProject { .. } | Action::Unassign { .. });
        let is_done = |operation: &Operation| operation.state == OperationState::Done;
        let latest = self.recent.iter().find(|operation| {
            operation.action == *action || (is_done(operation) && gives(&operation.action))
        })?;
        let is_in_vain = latest.state == OperationState::Refused || (is_done(latest) && is_in_mirror);
        (latest.action == *action && is_in_vain).then_some(latest)
    }

    /// Whether one of the latest operations was this action, whatever came of it.
    pub(super) fn tried(&self, action: &Action) -> bool {
        self.recent.iter().any(|operation| operation.action == *action)
    }

    /// Whether the bridge gave this to the member and did not take it away since, going by the latest operations.
    pub(super) fn gave(&self, give: &Action, take: &Action) -> bool {
        if self.is_open(|action| action == give) {
            return true;
        }
        let latest = self.recent.iter().find(|operation| {
            operation.state == OperationState::Done
                && (operation.action == *give || operation.action == *take)
        });
        latest.is_some_and(|operation| operation.action == *give)
    }

    /// When the bridge last removed a member of the person, or may have.
    pub(super) fn removed_at(&self) -> Option<Timestamp> {
        let done = self.recent.iter().filter(|operation| operation.state == OperationState::Done);
        let removed = self
            .open
            .iter()
            .chain(done)
            .filter(|operation| matches!(operation.action, Action::DeleteUser { .. }));
        removed.map(|operation| operation.settled_at.unwrap_or(operation.sent_at)).max()
    }

    /// When the latest invite to this address key was sent with success.
    pub(super) fn invited_at(&self, key: &str) -> Option<Timestamp> {
        let sent = self.recent.iter().find(|operation| {
            operation.state == OperationState::Done
                && matches!(&operation.action, Action::CreateInvite { address, .. } if address.eq_ignore_ascii_case(key))
        });
        sent.map(|operation| operation.sent_at)
    }
}

/// How far OpenAI's clock and ours may be apart when what it made is matched with the call that asked for it.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Longer than an invite can be accepted.
const LONGEST_INVITE: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Observed {
    /// Whether the bridge sent an invite to this address at about the time at which this one was made.
    pub(super) fn made_around(&self, key: &str, invite: &Invite) -> bool {
        self.sendings(key).any(|sent| is_around(sent, invite))
    }

    /// The same, and that sending is not known to have had an effect: whether it had is open, or it was believed not to.
    pub(super) fn failed_around(&self, key: &str, invite: &Invite) -> bool {
        self.sendings(key).filter(|sent| may_have_failed(sent)).any(|sent| is_around(sent, invite))
    }

    /// The keys of the addresses to which an invite was sent and that is not known to have had an effect.
    pub(super) fn failed_keys(&self) -> impl Iterator<Item = String> {
        let failed = self.open.iter().chain(&self.recent).filter(|sent| may_have_failed(sent));
        failed.filter_map(|sent| match &sent.action {
            Action::CreateInvite { address, .. } => Some(address.to_ascii_lowercase()),
            _ => None,
        })
    }

    /// The invites that got no answer and are believed to have had no effect, each with the key of its address.
    pub(super) fn unanswered_invites(&self) -> impl Iterator<Item = (String, &Operation)> {
        let failed = self.recent.iter().filter(|sent| sent.state == OperationState::Failed);
        failed.filter(|sent| sent.unanswered_at.is_some()).filter_map(|sent| match &sent.action {
            Action::CreateInvite { address, .. } => Some((address.to_ascii_lowercase(), sent)),
            _ => None,
        })
    }

    /// The latest invite that was sent to this address, as it was sent.
    pub(super) fn last_invite(&self, key: &str) -> Option<&Action> {
        let taken = self.sendings(key).filter(|sent| sent.state == OperationState::Done);
        taken.max_by_key(|sent| sent.sent_at).map(|sent| &sent.action)
    }

    /// Whether the bridge made this member an owner, by an invite or afterwards.
    pub(super) fn invited_as_owner(&self, user: &UserId) -> bool {
        let makes_owner = |action: &Action| match action {
            Action::CreateInvite { role, .. } => *role == OrgRole::Owner,
            Action::SetRole { user: target, role, .. } => target == user && *role == OrgRole::Owner,
            _ => false,
        };
        let mut done = self.recent.iter().filter(|operation| operation.state == OperationState::Done);
        self.is_open(makes_owner) || done.any(|operation| makes_owner(&operation.action))
    }

    /// Whether the last change of this member's role by the bridge gave them this one.
    pub(super) fn set_role_last(&self, user: &UserId, role: OrgRole) -> bool {
        let gives = |action: &Action| matches!(action, Action::SetRole { user: target, role: given, .. } if target == user && *given == role);
        if self.is_open(gives) {
            return true;
        }
        let changes = |operation: &&Operation| matches!(&operation.action, Action::SetRole { user: target, .. } if target == user);
        let last =
            self.recent.iter().filter(|operation| operation.state == OperationState::Done).find(changes);
        last.is_some_and(|operation| gives(&operation.action))
    }

    /// What the bridge last did about this member and this project, if it was one of the latest operations: gave it
    /// (`true`), or took it away.
    pub(super) fn gave_project_last(&self, user: &UserId, project: &ProjectId) -> Option<bool> {
        let gives = |action: &Action| matches!(action, Action::AddToProject { project: target, user: whom, .. } if target == project && whom == user);
        if self.is_open(gives) {
            return Some(true);
        }
        let mut done = self.recent.iter().filter(|operation| operation.state == OperationState::Done);
        done.find_map(|operation| match &operation.action {
            Action::AddToProject { project: target, user: whom, .. }
            | Action::SetProjectRole { project: target, user: whom, .. } => {
                (target == project && whom == user).then_some(true)
            }
            Action::RemoveFromProject { project: target, user: whom } => {
                (target == project && whom == user).then_some(false)
            }
            Action::CreateInvite { projects, .. } => {
                projects.iter().any(|grant| grant.id == *project).then_some(true)
            }
            _ => None,
        })
    }

    /// Whether the outcome of such a call is open, or was until this plan: what it would have given and is there is its
    /// doing.
    fn is_open(&self, is_such: impl Fn(&Action) -> bool) -> bool {
        self.open.iter().any(|operation| is_such(&operation.action))
    }

    fn sendings(&self, key: &str) -> impl Iterator<Item = &Operation> {
        // What was refused was certainly not made.
        let sent = self.open.iter().chain(&self.recent).filter(|sent| sent.state != OperationState::Refused);
        sent.filter(move |operation| {
            matches!(&operation.action, Action::CreateInvite { address, .. } if address.eq_ignore_ascii_case(key))
        })
    }
}

fn may_have_failed(sent: &Operation) -> bool {
    !matches!(sent.state, OperationState::Done | OperationState::Refused)
}

/// Whether a member may have come in by an invite that was sent by this call.
pub(super) fn may_have_joined_by(member: &Member, sent: &Operation) -> bool {
    let until = later(sent.under_way_until(), LONGEST_INVITE);
    member.added_at.duration_since(sent.sent_at) >= -CLOCK_SKEW && member.added_at <= until
}

fn is_around(sent: &Operation, invite: &Invite) -> bool {
    may_be_of(invite.created_at, sent.sent_at, sent.under_way_until())
}

/// Whether something that OpenAI made at this instant may come of a call that was under way between these two.
pub(in crate::provision) fn may_be_of(made_at: Timestamp, sent_at: Timestamp, until: Timestamp) -> bool {
    made_at.duration_since(sent_at) >= -CLOCK_SKEW && made_at.duration_since(until) <= CLOCK_SKEW
}
