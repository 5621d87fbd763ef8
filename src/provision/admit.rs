//! The last look before a call is put on record: brakes, approvals, and the guards that count.
//!
//! It happens in the transaction of the record itself, on what the store holds, so that no restart, no second process
//! and no order of events lets more through than the limits say.

use jiff::{SignedDuration, Timestamp};

use super::execute::hold_entry;
use super::guard::{self, Tally};
use super::plan::subject_of;
use crate::ids::{HoldId, TenantId};
use crate::model::group_link::{GroupCall, GroupLink};
use crate::model::hold::{About, Brake, BrakeCause, Guard, Hold, HoldState};
use crate::model::operation::{Action, Operation};
use crate::model::policy::Policy;
use crate::store::{Losses, Reader, StoreError, Tx};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes, and it is counted.
    Granted,
    /// No: the reason is written down as a hold.
    Held(Box<Hold>),
    /// No call may be made at present.
    Braked,
}

/// Decides about a call that is about to be put on record. `id` is that of the hold, should it become one.
pub(super) async fn admit(
    tx: &mut Tx,
    policy: &Policy,
    operation: &Operation,
    id: HoldId,
) -> Result<Admission, StoreError> {
    let tenant = &operation.tenant;
    if is_braked(tx, policy, tenant).await? && !planted!(StopIgnored) {
        return Ok(Admission::Braked);
    }
    let about = About::Person { id: operation.person, version: operation.person_version };
    let (subject, now) = (subject_of(&operation.action), operation.sent_at);
    let mut standing = tx.standing_holds(tenant, operation.person).await?;
    standing.retain(|hold| hold.subject == subject);
    let approves = |hold: &&Hold| hold.is_approved_for(&about);
    let verdict = if standing.iter().any(|hold| approves(&hold) && hold.guard.judges_calls()) {
        None
    } else {
        judge(tx, policy, operation, standing.iter().any(|hold| approves(&hold))).await?
    };
    if let Some((guard, reason)) = verdict {
        let hold = Hold::new(tenant.clone(), id, about, guard, subject, reason, now);
        let before = standing.into_iter().find(|hold| hold.guard == guard);
        return keep(tx, hold, before).await;
    }
    let mut is_approved = false;
    for hold in &standing {
        if approves(&hold) {
            is_approved = true;
            tx.use_approval(hold, operation.id).await?;
        } else if hold.guard.judges_calls() {
            lapse(tx, hold, now).await?;
        }
    }
    tx.tally(operation, is_approved).await?;
    Ok(Admission::Granted)
}

/// Decides about the open call of a group's link, which is about to be put on record. `id` is that of the hold, should it
/// become one.
///
/// A group that leaves a project takes the project from those of its members who are not in it by themselves. Whose own
/// membership was taken away was counted then; the others are counted here, each of them. A hold stays until a human
/// decides, or until nobody would lose anything any more.
pub(super) async fn admit_group_call(
    tx: &mut Tx,
    policy: &Policy,
    link: &GroupLink,
    id: HoldId,
) -> Result<Admission, StoreError> {
    let tenant = &link.tenant;
    if is_braked(tx, policy, tenant).await? {
        return Ok(Admission::Braked);
    }
    let (Some(call @ GroupCall::Expel { group, project }), Some(operation), Some(now)) =
        (&link.open, link.operation, link.sent_at)
    else {
        return Ok(Admission::Granted);
    };
    let people = tx.losers_of_expulsion(tenant, group, project).await?;
    let losers = i64::try_from(people.len()).unwrap_or(i64::MAX);
    let (about, subject) = (About::Group { id: link.group, losers }, call.to_string());
    let mut standing = tx.standing_group_holds(tenant).await?;
    standing.retain(|hold| hold.about.group() == Some(link.group) && hold.subject == subject);
    let standing = standing.pop();
    let is_approved = standing.as_ref().is_some_and(|hold| hold.is_approved_for(&about));
    if losers > 0 && !is_approved {
        tx.take_turn(tenant, "losses").await?;
        let (mut window, mut day) = tallies(tx, policy, tenant, now).await?;
        // The last of them must pass as well.
        let others = losers - 1;
        (window.losses, day.losses) =
            (window.losses.saturating_add(others), day.losses.saturating_add(others));
        let judged = guard::judge_tally(&policy.removals, window, day)
            .map(|reason| format!("people would lose {project} with the group: {reason}"));
        if let Some(reason) = judged.or_else(|| standing.as_ref().map(|hold| hold.reason.clone())) {
            let hold = Hold::new(tenant.clone(), id, about, Guard::MassRemoval, subject, reason, now);
            return keep(tx, hold, standing).await;
        }
    }
    match &standing {
        Some(hold) if is_approved => tx.use_approval(hold, operation).await?,
        Some(hold) => lapse(tx, hold, now).await?,
        None => {}
    }
    tx.tally_group_losses(tenant, operation, &people, now, is_approved).await?;
    Ok(Admission::Granted)
}

/// Writes a hold down, or what it has become if it was there before. The trail tells when a human is asked.
async fn keep(tx: &mut Tx, hold: Hold, before: Option<Hold>) -> Result<Admission, StoreError> {
    let state = before.as_ref().map(|before| before.state);
    let hold = match before {
        // Whoever rejected the loss of some is not asked about more of them.
        Some(Hold { state: HoldState::Rejected, id, made_at, decision, .. })
            if hold.about.group().is_some() =>
        {
            Hold { state: HoldState::Rejected, id, made_at, decision, ..hold }
        }
        Some(Hold { id, made_at, .. }) => Hold { id, made_at, ..hold },
        None => hold,
    };
    tx.save_hold(&hold).await?;
    if state != Some(hold.state) {
        tx.append_audit(&hold_entry(&hold, hold.judged_at)).await?;
    }
    Ok(Admission::Held(Box::new(hold)))
}

/// Ends a hold that nobody has to decide any more.
pub(super) async fn lapse(tx: &mut Tx, hold: &Hold, now: Timestamp) -> Result<(), StoreError> {
    let lapsed = Hold { state: HoldState::Lapsed, ..hold.clone() };
    tx.save_hold(&lapsed).await?;
    tx.append_audit(&hold_entry(&lapsed, now)).await
}

/// Whether no change may be made at present, by the settings or by somebody's word.
pub(super) async fn is_braked(tx: &mut Tx, policy: &Policy, tenant: &TenantId) -> Result<bool, StoreError> {
    Ok(policy.standstill.is_some() || tx.brake(tenant).await?.is_some())
}

/// That no change is made at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Halt {
    /// Why, in words for administrators.
    pub(super) reason: String,
    /// Whether this seems to be another organization, so that nothing it shows is believed.
    pub(super) is_elsewhere: bool,
}

/// Whether no change is made at present, by the settings or by somebody's word, and why.
pub(super) fn halt(policy: &Policy, brake: Option<&Brake>) -> Option<Halt> {
    let by_settings = policy.standstill.map(|standstill| standstill.as_str().to_owned());
    let reason = by_settings.or_else(|| brake.map(in_words))?;
    let is_elsewhere = brake.is_some_and(|brake| brake.cause == BrakeCause::Organization);
    Some(Halt { reason, is_elsewhere })
}

fn in_words(brake: &Brake) -> String {
    let (reason, by) = (&brake.reason, &brake.by);
    match brake.cause {
        BrakeCause::Stop => {
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("stopped by {by}{reason} (scim-bridge resume lets it go on)")
        }
        BrakeCause::Restored | BrakeCause::Organization => {
            format!("observing only: {reason} (if that is right, scim-bridge resume lets it go on)")
        }
    }
}

/// The losses of access in the window of the settings, and in the last 24 hours.
pub(super) async fn tallies(
    reader: &mut Reader,
    policy: &Policy,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<(Tally, Tally), StoreError> {
    let window = tally(reader.losses(tenant, before(now, policy.removals.window)).await?);
    Ok((window, tally(reader.losses(tenant, before(now, DAY)).await?)))
}

/// Asks the guards that count.
async fn judge(
    tx: &mut Tx,
    policy: &Policy,
    operation: &Operation,
    is_approved: bool,
) -> Result<Option<(Guard, String)>, StoreError> {
    let (tenant, now) = (&operation.tenant, operation.sent_at);
    if operation.action.takes_access() && !is_approved {
        // Of two losses at once the second counts the first.
        tx.take_turn(tenant, "losses").await?;
        let (window, day) = tallies(tx, policy, tenant, now).await?;
        let reason = guard::judge_tally(&policy.removals, window, day);
        return Ok(reason.map(|reason| (Guard::MassRemoval, reason)));
    }
    let Action::CreateInvite { address, .. } = &operation.action else { return Ok(None) };
    tx.take_turn(tenant, "invites").await?;
    let sent = tx.invites_to(tenant, &address.to_ascii_lowercase(), before(now, DAY)).await?;
    if let Some(reason) = guard::judge_invites(policy.max_invites_per_address, sent) {
        return Ok(Some((Guard::InviteBudget, reason)));
    }
    let Some(limit) = policy.seat_limit else { return Ok(None) };
    let taken = tx.seats_taken(tenant).await?;
    Ok(guard::judge_seats(Some(limit), taken).map(|reason| (Guard::SeatLimit, reason)))
}

fn tally(losses: Losses) -> Tally {
    Tally { losses: losses.count, members: losses.members }
}

fn before(now: Timestamp, span: SignedDuration) -> Timestamp {
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}
