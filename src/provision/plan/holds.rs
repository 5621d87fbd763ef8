//! What waits for a human inside a plan: guarded steps pass by an approval, and wait without one.

use jiff::{SignedDuration, Timestamp};

use super::{Flow, Observed, Planned, Planner, Read, Step, Summary, later};
use crate::ids::HoldId;
use crate::model::hold::{Decision, Guard, Hold, HoldState};
use crate::model::mapping::Origin;
use crate::model::observed::{Collection, Member};
use crate::model::operation::{Action, Lane};
use crate::provision::guard::{self, Verdict};

/// A call is judged a moment after the look that asked for it; the look an interval later is late enough all the same.
const GRACE: SignedDuration = SignedDuration::from_secs(1);

/// What waits, and what makes it wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The guard.
    pub guard: Guard,
    /// What would be done, in a few words; the same words mean the same thing.
    pub subject: String,
}

/// The words that a hold of this call is known by. An invite is the same one whatever it carries.
pub fn subject_of(action: &Action) -> String {
    match action {
        Action::CreateInvite { address, .. } => invite_subject(address),
        _ => Summary(action).to_string(),
    }
}

pub(super) fn invite_subject(address: &str) -> String {
    format!("invite {address}")
}

impl Planner<'_> {
    /// Lets a guarded step pass if an administrator approved it for this version of the person; holds it otherwise.
    pub(super) fn pass(
        &mut self,
        guard: Guard,
        lane: Lane,
        subject: String,
        reason: impl Into<String>,
    ) -> Flow {
        let standing = self.observed.holds.iter().find(|hold| hold.guard == guard && hold.subject == subject);
        let about = self.observed.about();
        if let Some(hold) = standing.filter(|hold| hold.is_approved_for(&about)) {
            self.note_approval(hold, lane);
            return Flow::Continue;
        }
        let rejection = standing.and_then(|hold| hold.rejection_for(&about)).map(words);
        let reason = rejection.unwrap_or_else(|| reason.into());
        self.push(lane, Step::Hold(Held { guard, subject }), reason)
    }

    /// Takes access away, if the guard or an administrator lets it. What one rejected is not done because the guard lets
    /// it by now.
    pub(super) fn take_away(&mut self, member: &Member, action: Action, lane: Lane, why: &str) -> Flow {
        let (subject, about) = (subject_of(&action), self.observed.about());
        let rejects = |hold: &Hold| Some((hold.guard, words(hold.rejection_for(&about)?)));
        let mut same = self.observed.holds.iter().filter(|hold| hold.subject == subject);
        if let Some((guard, rejection)) = same.find_map(rejects) {
            return self.push(lane, Step::Hold(Held { guard, subject }), rejection);
        }
        match guard::judge_loss(self.now, member, self.facts, self.policy) {
            Verdict::Allowed => self.insist(action, lane, why),
            Verdict::Held(guard, reason) => match self.pass(guard, lane, subject, reason) {
                Flow::Continue => self.insist(action, lane, why),
                Flow::Stop => Flow::Stop,
            },
            Verdict::Unsure => self.push(
                lane,
                Step::Read(Read::Sweep(Collection::Members)),
                "the member is an owner; count the owners first",
            ),
        }
    }

    /// Binds a member who was there before, if an administrator approved it.
    pub(super) fn adopt_if_approved(&mut self, member: &Member, reason: &str) -> Flow {
        let subject = format!("link {}", member.id);
        if self.pass(Guard::ExistingMember, self.lane(), subject, reason) == Flow::Stop {
            return Flow::Stop;
        }
        self.bind_member(
            member,
            Origin::Imported,
            "a member with this address exists; an administrator approved the link",
        );
        Flow::Continue
    }

    /// A call that was held when it was about to be made waits until an administrator approves it, or until it is
    /// time to see whether there is room by now.
    pub(super) fn face_holds(&mut self, lane: Lane, step: Step, reason: String) -> (Step, String) {
        let Step::Call(action) = &step else { return (step, reason) };
        let (subject, about) = (subject_of(action), self.observed.about());
        let judged = |hold: &&Hold| hold.guard.judges_calls() && hold.subject == subject;
        for hold in self.observed.holds.iter().filter(judged) {
            if hold.is_approved_for(&about) {
                self.note_approval(hold, lane);
                continue;
            }
            let is_rejected = hold.rejection_for(&about).map(words);
            let again_at = later(hold.judged_at, self.policy.reconcile_interval - GRACE);
            let waits = hold.guard.insists_on_a_human() || self.now < again_at;
            if waits || is_rejected.is_some() {
                let held = Held { guard: hold.guard, subject };
                return (Step::Hold(held), is_rejected.unwrap_or_else(|| hold.reason.clone()));
            }
        }
        (step, reason)
    }

    fn note_approval(&mut self, hold: &Hold, lane: Lane) {
        let by = hold.decision.as_ref().map_or("an administrator", |decision| decision.by.as_str());
        let reason = format!("{} approved: {}", by, hold.subject);
        self.push(lane, Step::Approved(hold.id), reason);
    }
}

/// A rejection in words.
fn words(decision: &Decision) -> String {
    let why = decision.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("rejected by {}{why}; it waits until the identity provider changes the user", decision.by)
}

/// What a plan means for the holds of its person: those to be written, as they are to be.
///
/// A hold is over when a plan that leaves nothing open does not speak of it any more. An approval or rejection that
/// was about another version of the person is open again.
pub fn settle_holds(
    now: Timestamp,
    plan: &[Planned],
    observed: &Observed,
    mut new_id: impl FnMut() -> HoldId,
) -> Vec<Hold> {
    let mut changed = Vec::new();
    let about = observed.about();
    for planned in plan {
        let Step::Hold(held) = &planned.step else { continue };
        let is_same = |hold: &&Hold| hold.guard == held.guard && hold.subject == held.subject;
        let Some(standing) = observed.holds.iter().find(is_same) else {
            if changed.iter().any(|hold| is_same(&hold)) {
                continue;
            }
            let (tenant, subject) = (observed.tenant.clone(), held.subject.clone());
            let reason = planned.reason.clone();
            changed.push(Hold::new(tenant, new_id(), about, held.guard, subject, reason, now));
            continue;
        };
        if standing.rejection_for(&about).is_some() {
            continue;
        }
        let is_old = standing.about != about || standing.reason != planned.reason;
        if is_old || standing.state != HoldState::Open {
            changed.push(Hold {
                about,
                reason: planned.reason.clone(),
                state: HoldState::Open,
                decision: None,
                ..standing.clone()
            });
        }
    }
    let leaves_nothing_open = !plan.iter().any(|planned| {
        matches!(planned.step, Step::Call(_) | Step::Read(_) | Step::Wait(Some(_)) | Step::Conclude(..))
    });
    if leaves_nothing_open {
        let is_spoken_of = |hold: &Hold| {
            plan.iter().any(|planned| match &planned.step {
                Step::Hold(held) => held.guard == hold.guard && held.subject == hold.subject,
                Step::Approved(id) => *id == hold.id,
                _ => false,
            })
        };
        changed.extend(observed.holds.iter().filter(|hold| !is_spoken_of(hold)).map(|hold| {
            let state = if hold.is_approved_for(&about) { HoldState::Used } else { HoldState::Lapsed };
            Hold { state, ..hold.clone() }
        }));
    }
    changed
}
