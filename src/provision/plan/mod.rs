//! The plan: what to do so that what is observed becomes what is desired. Pure, total, and the only place that
//! decides.
//!
//! There is no I/O here, no store, no client and no clock: the present time is part of the input. Whoever carries a
//! plan out makes no choice of their own, so a plan can be printed, compared and approved before anything happens.
//! A plan goes as far as can be seen: it ends where an answer from upstream is needed to know more, and the next plan,
//! made from what is then stored, goes on from there.

mod assignments;
mod holds;
mod membership;
mod observed;
mod outcome;
mod projects;
mod provide;
mod upkeep;
mod withdraw;

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

pub use holds::{Held, settle_holds, subject_of};
pub(super) use observed::may_be_of;
pub use observed::{Claim, Facts, Look, Observed};

use crate::ids::{HoldId, InviteId, OperationId, PersonId, ProjectId, UserId};
use crate::model::address::Address;
use crate::model::grant::{Assignment, OrgRole, ProjectGrant};
use crate::model::hold::Guard;
use crate::model::mapping::{Mapping, Origin};
use crate::model::observed::{Collection, Invite, Member};
use crate::model::operation::{Action, Lane, OperationState};
use crate::model::policy::Policy;
use crate::model::upkeep::{Drift, DriftClass, Upkeep, Wanted};
use crate::provision::desired::Desired;

/// How long to wait before reading back a call that may be repeated without harm.
pub const CALL_SETTLE: SignedDuration = SignedDuration::from_secs(2);

/// A reading as young as this shows what there is.
const FRESH: SignedDuration = SignedDuration::from_mins(1);

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Whom it serves.
    pub person: PersonId,
    /// Its priority class.
    pub lane: Lane,
    /// What to do.
    pub step: Step,
    /// Why, in a sentence for administrators.
    pub reason: String,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Change the person's row of the mapping table.
    Record(Change),
    /// Settle an operation whose outcome was open: a reading shows what came of it.
    Conclude(OperationId, OperationState),
    /// Make this call.
    Call(Action),
    /// Find this out, then plan again.
    Read(Read),
    /// Wait for an administrator, or for the world to change.
    Hold(Held),
    /// What follows passes a guard because an administrator approved it.
    Approved(HoldId),
    /// OpenAI refused this for good: wait until the person changes.
    Refuse,
    /// The invite ran out and the policy leaves it so: wait until the person changes.
    Expire,
    /// A wish that is not granted. It stands in the way of nothing else.
    Deny,
    /// Nothing to do until then; without an instant, until something changes.
    Wait(Option<Timestamp>),
}

/// What to find out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// Read the whole collection, beginning now.
    Sweep(Collection),
    /// Look one member up.
    Member(UserId),
    /// Look one invite up.
    Invite(InviteId),
    /// Ask for the member with this address key. An empty answer proves nothing.
    MemberAt(String),
    /// Look one membership of a project up.
    ProjectMember(ProjectId, UserId),
    /// Look up whether a member has this.
    Assignment(Assignment, UserId),
}

/// A change of a row of the mapping table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This invite stands for the person.
    BindInvite {
        /// The invite.
        invite: InviteId,
        /// Where it went.
        address: Option<Address>,
        /// When it runs out.
        expires_at: Option<Timestamp>,
        /// How the tie came about.
        origin: Origin,
    },
    /// The invite is gone.
    UnbindInvite,
    /// This member stands for the person; an invite no longer does.
    BindMember {
        /// The member.
        user: UserId,
        /// Their address, if it is shown.
        address: Option<Address>,
        /// How the tie came about.
        origin: Origin,
    },
    /// The member is gone.
    UnbindMember,
    /// What the member has was seen to be this.
    Effective {
        /// The organization role.
        role: Option<OrgRole>,
        /// The projects that grants speak of.
        projects: Vec<ProjectGrant>,
    },
    /// The groups and custom roles that grants speak of were seen to be these.
    EffectiveAssignments(Vec<Assignment>),
    /// An identity provider speaks of somebody who was only shown to it.
    Claim,
    /// Somebody else changed something upstream, or that is over.
    Drift {
        /// What was changed.
        drift: Drift,
        /// Whether it is so; else it is so no longer.
        is_so: bool,
    },
    /// Nothing is left upstream, and with it everything that was kept in mind.
    Forget,
}

impl Change {
    /// Carries the change out.
    pub fn apply(&self, mapping: &mut Mapping) {
        match self {
            Self::BindInvite { invite, address, expires_at, origin } => {
                if mapping.invite_id.as_ref() != Some(invite) {
                    count_invite(mapping, address.as_ref());
                }
                mapping.invite_id = Some(invite.clone());
                mapping.invite_expires_at = *expires_at;
                mapping.address.clone_from(address);
                mapping.origin = *origin;
            }
            Self::UnbindInvite => {
                mapping.invite_id = None;
                mapping.invite_expires_at = None;
            }
            Self::BindMember { user, address, origin } => {
                mapping.user_id = Some(user.clone());
                mapping.upkeep = Upkeep::default();
                mapping.invite_id = None;
                mapping.invite_expires_at = None;
                mapping.origin = *origin;
                if address.is_some() {
                    mapping.address.clone_from(address);
                }
            }
            Self::UnbindMember => {
                mapping.former_user_id = mapping.user_id.take();
                mapping.effective_role = None;
                mapping.effective_projects.clear();
                mapping.effective_assignments.clear();
            }
            Self::Effective { role, projects } => {
                mapping.effective_role = *role;
                mapping.effective_projects.clone_from(projects);
            }
            Self::EffectiveAssignments(assignments) => mapping.effective_assignments.clone_from(assignments),
            Self::Claim => mapping.origin = Origin::Linked,
            Self::Drift { drift, is_so: true } => {
                mapping.upkeep.drift.insert(drift.clone());
            }
            Self::Drift { drift, is_so: false } => {
                mapping.upkeep.drift.remove(drift);
            }
            Self::Forget => mapping.upkeep = Upkeep::default(),
        }
    }
}

/// One more invite stands for the person. An administrator who asked for it, and another address, begin a new count.
fn count_invite(mapping: &mut Mapping, address: Option<&Address>) {
    let upkeep = &mut mapping.upkeep;
    let asked = upkeep.instruction.as_ref().is_some_and(|instruction| instruction.what == Wanted::Resend);
    let is_same = mapping.address.as_ref() == address;
    upkeep.invites_sent = if asked || !is_same { 1 } else { upkeep.invites_sent.saturating_add(1) };
    upkeep.instruction = None;
    upkeep.drift.retain(|drift| drift.class != DriftClass::InviteWithdrawn);
}

/// Plans for everybody in `people`, in the order in which it will be served: by lane, and inside a lane as given.
pub fn plan<'a>(
    now: Timestamp,
    people: impl IntoIterator<Item = (&'a Desired, &'a Observed)>,
    facts: &Facts,
    policy: &Policy,
) -> Vec<Planned> {
    let mut plans: Vec<(Lane, Vec<Planned>)> = people
        .into_iter()
        .map(|(desired, observed)| plan_person(now, desired, observed, facts, policy))
        .filter(|steps| !steps.is_empty())
        .map(|steps| (lane_of(&steps), steps))
        .collect();
    plans.sort_by_key(|(lane, _)| *lane);
    plans.into_iter().flat_map(|(_, steps)| steps).collect()
}

/// Plans for one person. The steps are carried out in this order; nothing left to do is an empty plan.
pub fn plan_person(
    now: Timestamp,
    desired: &Desired,
    observed: &Observed,
    facts: &Facts,
    policy: &Policy,
) -> Vec<Planned> {
    let mut planner = Planner::new(now, desired, observed, facts, policy);
    if planner.settle_open_operations() == Flow::Continue {
        planner.forget_needless_refusals();
        planner.note_claim();
        if planner.is_unclaimed() {
            planner.keep_unclaimed();
        } else if desired.wants_access {
            if planner.check_what_is_missing() == Flow::Continue {
                planner.provide();
            }
        } else {
            planner.withdraw();
        }
    }
    for refused in &desired.refused {
        planner.push(Lane::Read, Step::Deny, refused);
    }
    planner.steps
}

/// The lane that a person's plan waits in: that of the first step that needs a turn.
pub fn lane_of(steps: &[Planned]) -> Lane {
    let acts = |planned: &&Planned| matches!(planned.step, Step::Call(_) | Step::Read(_));
    steps.iter().find(acts).or(steps.first()).map_or(Lane::Read, |planned| planned.lane)
}

/// Whether planning goes on, or what was planned must happen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

/// A plan in the making. `mapping` is the row as the recorded changes so far leave it.
struct Planner<'a> {
    now: Timestamp,
    desired: &'a Desired,
    observed: &'a Observed,
    facts: &'a Facts,
    policy: &'a Policy,
    mapping: Mapping,
    steps: Vec<Planned>,
    /// Changes by others that are still so.
    drifts: BTreeSet<Drift>,
}

impl<'a> Planner<'a> {
    fn new(
        now: Timestamp,
        desired: &'a Desired,
        observed: &'a Observed,
        facts: &'a Facts,
        policy: &'a Policy,
    ) -> Self {
        let mapping = observed
            .mapping
            .clone()
            .unwrap_or_else(|| Mapping::new(observed.tenant.clone(), observed.person));
        let (steps, drifts) = (Vec::new(), BTreeSet::new());
        Self { now, desired, observed, facts, policy, mapping, steps, drifts }
    }

    fn push(&mut self, lane: Lane, step: Step, reason: impl Into<String>) -> Flow {
        let (step, reason) = self.face_holds(lane, step, reason.into());
        self.steps.push(Planned { person: self.observed.person, lane, step, reason });
        Flow::Stop
    }

    fn record(&mut self, change: Change, reason: impl Into<String>) {
        change.apply(&mut self.mapping);
        self.push(self.lane(), Step::Record(change), reason);
    }

    fn call(&mut self, action: Action, reason: impl Into<String>) -> Flow {
        self.push(action.lane(), Step::Call(action), reason)
    }

    fn read(&mut self, read: Read, reason: impl Into<String>) -> Flow {
        self.push(self.lane(), Step::Read(read), reason)
    }

    /// Holds what an administrator cannot approve by a word: the reason says what has to change.
    fn hold(&mut self, reason: impl Into<String>) -> Flow {
        let reason = reason.into();
        self.pass(Guard::Review, self.lane(), reason.clone(), reason)
    }

    fn wait(&mut self, until: Option<Timestamp>, reason: impl Into<String>) -> Flow {
        self.push(self.lane(), Step::Wait(until), reason)
    }

    /// The lane of steps that only prepare: whoever takes access away reads with that priority too.
    fn lane(&self) -> Lane {
        if self.desired.wants_access { Lane::Read } else { Lane::Revoke }
    }

    /// The address key of whatever is bound, else of the wish.
    fn bound_key(&self) -> Option<String> {
        self.mapping.address.as_ref().or(self.desired.address.as_ref()).map(Address::key)
    }

    fn member(&self, id: &UserId) -> Option<&'a Member> {
        self.observed.members.iter().find(|member| member.id == *id)
    }

    fn invite(&self, id: &InviteId) -> Option<&'a Invite> {
        self.observed.invites.iter().find(|invite| invite.id == *id)
    }

    /// When this was last looked up, or read as part of a whole collection, whichever is later.
    fn seen_at(&self, read: &Read) -> Option<Timestamp> {
        self.looked_at(read).max(self.swept_at(&match read {
            Read::Member(_) | Read::MemberAt(_) => Collection::Members,
            Read::Invite(_) => Collection::Invites,
            Read::ProjectMember(project, _) => Collection::ProjectMembers(project.clone()),
            Read::Assignment(Assignment::Group { group }, _) => Collection::GroupMembers(group.clone()),
            // Nothing lists who has a role.
            Read::Assignment(..) => return self.looked_at(read),
            Read::Sweep(collection) => collection.clone(),
        }))
    }

    /// When the last complete reading of this collection began.
    fn swept_at(&self, collection: &Collection) -> Option<Timestamp> {
        self.facts.swept_at(collection).filter(|at| self.is_past(*at))
    }

    /// When this was last looked up by itself.
    fn looked_at(&self, read: &Read) -> Option<Timestamp> {
        self.looks(read).map(|look| look.at).max()
    }

    fn looks(&self, read: &Read) -> impl Iterator<Item = &'a Look> {
        self.observed.looks.iter().filter(move |look| look.read == *read && self.is_past(look.at))
    }

    /// Whether something was read before now. Where the clock was set back since, that cannot be told of what seems to
    /// lie ahead, and it is read anew.
    fn is_past(&self, at: Timestamp) -> bool {
        at <= later(self.now, CALL_SETTLE)
    }

    /// When this was last looked up by itself and not found.
    fn missed_at(&self, read: &Read) -> Option<Timestamp> {
        self.looks(read).max_by_key(|look| look.at).filter(|look| !look.found).map(|look| look.at)
    }

    /// What a name leads to may be younger than the last reading: before it is told that there is no such thing, the
    /// list is read anew, once.
    fn check_what_is_missing(&mut self) -> Flow {
        let told = self.mapping.status_reason.clone().unwrap_or_default();
        let since = self.now.checked_sub(FRESH).ok();
        for (refusal, list) in &self.desired.missing {
            let why = "a grant names something that was not in the last reading; perhaps it is new";
            if !told.contains(refusal) && self.need_sweep(list.clone(), since, why) == Flow::Stop {
                return Flow::Stop;
            }
        }
        Flow::Continue
    }

    /// Asks for a reading of the whole collection unless one began at `since` or later.
    fn need_sweep(&mut self, collection: Collection, since: Option<Timestamp>, reason: &str) -> Flow {
        let swept_at = self.swept_at(&collection);
        let is_enough = swept_at.is_some() || planted!(NoListBeforeInvite);
        if is_enough && swept_at >= since {
            return Flow::Continue;
        }
        self.read(Read::Sweep(collection), reason)
    }
}

/// `instant + by`, or the last instant there is.
fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6} | {}: {}", self.lane.as_str(), self.step, self.reason)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(change) => write!(f, "record {change}"),
            Self::Conclude(_, state) => write!(f, "conclude {}", state.as_str()),
            Self::Call(action) => write!(f, "call {}", Summary(action)),
            Self::Read(read) => write!(f, "read {read}"),
            Self::Hold(_) => f.write_str("hold"),
            Self::Approved(_) => f.write_str("approved"),
            Self::Refuse => f.write_str("refuse"),
            Self::Deny => f.write_str("deny"),
            Self::Expire => f.write_str("expire"),
            Self::Wait(Some(until)) => write!(f, "wait until {until}"),
            Self::Wait(None) => f.write_str("wait"),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sweep(Collection::Members) => f.write_str("all members"),
            Self::Sweep(Collection::Invites) => f.write_str("all invites"),
            Self::Sweep(Collection::ProjectMembers(project)) => write!(f, "all members of {project}"),
            Self::Sweep(Collection::Projects) => f.write_str("all projects"),
            Self::Sweep(Collection::Roles) => f.write_str("all roles"),
            Self::Sweep(Collection::Groups) => f.write_str("all OpenAI groups"),
            Self::Sweep(Collection::GroupMembers(group)) => write!(f, "all members of {group}"),
            Self::Member(user) => write!(f, "member {user}"),
            Self::Invite(invite) => write!(f, "invite {invite}"),
            Self::MemberAt(address) => write!(f, "member at {address}"),
            Self::ProjectMember(project, user) => write!(f, "{user} in {project}"),
            Self::Assignment(what, user) => write!(f, "{user} and {what}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BindInvite { invite, origin, .. } => write!(f, "invite {invite} as {}", origin.as_str()),
            Self::UnbindInvite => f.write_str("invite gone"),
            Self::BindMember { user, origin, .. } => write!(f, "member {user} as {}", origin.as_str()),
            Self::UnbindMember => f.write_str("member gone"),
            Self::Effective { role, projects } => {
                write!(f, "has {}{}", role.map_or("an unknown role", OrgRole::as_str), List(projects))
            }
            Self::EffectiveAssignments(assignments) if assignments.is_empty() => {
                f.write_str("has no OpenAI groups and custom roles")
            }
            Self::EffectiveAssignments(assignments) => {
                let names: Vec<String> = assignments.iter().map(Assignment::to_string).collect();
                write!(f, "has {}", names.join(", "))
            }
            Self::Claim => f.write_str("claimed"),
            Self::Drift { drift, is_so: true } => write!(f, "drift {drift}"),
            Self::Drift { drift, is_so: false } => write!(f, "end of drift {drift}"),
            Self::Forget => f.write_str("nothing left"),
        }
    }
}

/// An action in a few words.
struct Summary<'a>(&'a Action);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.kind();
        match self.0 {
            Action::CreateInvite { address, role, projects } => {
                write!(f, "{kind} {address} as {role}{}", List(projects))
            }
            Action::DeleteInvite { invite } => write!(f, "{kind} {invite}"),
            Action::DeleteUser { user } => write!(f, "{kind} {user}"),
            Action::SetRole { user, role, .. } => write!(f, "{kind} {user} to {role}"),
            Action::AddToProject { project, user, role } => write!(f, "{kind} {user} to {project} as {role}"),
            Action::SetProjectRole { project, user, role, .. } => {
                write!(f, "{kind} {user} in {project} to {role}")
            }
            Action::RemoveFromProject { project, user } => write!(f, "{kind} {user} from {project}"),
            Action::Assign { what, user } | Action::Unassign { what, user } => {
                write!(f, "{kind} {user}, {what}")
            }
        }
    }
}

/// Projects with their roles, or that there are none.
struct List<'a>(&'a [ProjectGrant]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(", no projects");
        }
        self.0.iter().try_for_each(|grant| write!(f, ", {} as {}", grant.id, grant.role))
    }
}
