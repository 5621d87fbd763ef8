//! Where a person stands, told from the mapping row and the plan. Pure.

use crate::model::hold::Guard;
use crate::model::mapping::{Mapping, Status};
use crate::provision::plan::{Planned, Step};

/// The status of a person and its reason, given the row as the plan's records leave it.
pub fn status(wants_access: bool, mapping: &Mapping, plan: &[Planned]) -> (Status, Option<String>) {
    let rest = |wanted: fn(&Step) -> bool| plan.iter().find(|planned| wanted(&planned.step));
    if let Some((held, guard)) = plan.iter().find_map(|planned| match &planned.step {
        Step::Hold(held) => Some((planned, held.guard)),
        _ => None,
    }) {
        return (Status::Held, Some(advise(&held.reason, guard)));
    }
    let under_way = rest(|step| matches!(step, Step::Call(_) | Step::Read(_) | Step::Wait(_)));
    if !wants_access {
        let bound = mapping.user_id.is_some() || mapping.invite_id.is_some();
        return match under_way {
            Some(planned) => (Status::Removing, Some(planned.reason.clone())),
            None if bound => (Status::Removing, None),
            None => (Status::Parked, None),
        };
    }
    let denied = reasons(plan, |step| *step == Step::Deny);
    if mapping.user_id.is_some() {
        // Somebody who is in stays in; what was refused or is not granted is the reason.
        return (Status::Member, reasons(plan, |step| matches!(step, Step::Refuse | Step::Deny)));
    }
    if let Some(refused) = rest(|step| *step == Step::Refuse) {
        return (Status::Refused, Some(refused.reason.clone()));
    }
    if let Some(expired) = rest(|step| *step == Step::Expire) {
        return (Status::Expired, Some(expired.reason.clone()));
    }
    if mapping.invite_id.is_some() {
        return (Status::Invited, denied);
    }
    (Status::Pending, denied.or(under_way.map(|planned| planned.reason.clone())))
}

/// The reasons of these steps in one text.
fn reasons(plan: &[Planned], wanted: fn(&Step) -> bool) -> Option<String> {
    let found = plan.iter().filter(|planned| wanted(&planned.step));
    let texts: Vec<&str> = found.map(|planned| planned.reason.as_str()).collect();
    if texts.is_empty() { None } else { Some(texts.join("; ")) }
}

/// Why somebody is held, and what an administrator can do about it.
fn advise(reason: &str, guard: Guard) -> String {
    if guard.can_be_approved() {
        format!("{reason} [guard {guard}; to decide: scim-bridge holds approve or reject]")
    } else {
        reason.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::ids::{PersonId, TenantId};
    use crate::model::operation::Lane;
    use crate::provision::plan::Held;

    fn check(wants_access: bool, member: bool, invite: bool, step: Option<Step>, expected: Status) {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let mut mapping = Mapping::new(TenantId::default_tenant(), PersonId::new(&clock));
        mapping.user_id = member.then(|| "user-1".into());
        mapping.invite_id = invite.then(|| "invite-1".into());
        let person = mapping.person;
        let plan: Vec<Planned> = step
            .into_iter()
            .map(|step| Planned { person, lane: Lane::Read, step, reason: "because".into() })
            .collect();
        assert_eq!(status(wants_access, &mapping, &plan).0, expected);
    }

    #[test]
    fn a_status_follows_from_row_and_plan() {
        check(true, false, false, None, Status::Pending);
        check(true, false, true, Some(Step::Wait(None)), Status::Invited);
        check(true, false, true, Some(Step::Expire), Status::Expired);
        check(true, false, false, Some(Step::Refuse), Status::Refused);
        check(true, true, false, Some(Step::Refuse), Status::Member);
        check(true, true, false, None, Status::Member);
        let hold = || Some(Step::Hold(Held { guard: Guard::Review, subject: String::new() }));
        check(true, true, false, hold(), Status::Held);
        check(false, true, false, hold(), Status::Held);
        check(false, true, false, Some(Step::Wait(None)), Status::Removing);
        check(false, false, false, None, Status::Parked);
    }
}
