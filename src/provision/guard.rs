//! The guards: what must not be done even if the directory asks for it. Pure.
//!
//! A guard never loses the wish. It turns a call into a hold with a reason, and every later plan judges anew.
//! [`judge_loss`] is asked while a removal or demotion is planned; it knows the member and the owners. What depends on
//! what other calls do meanwhile ([`judge_tally`], [`judge_seats`], [`judge_invites`]) is asked when a call is about to
//! be made, with counts from the store. What an administrator approves passes, once.

use jiff::{SignedDuration, Timestamp};

use crate::model::grant::OrgRole;
use crate::model::hold::Guard;
use crate::model::observed::{Collection, Member};
use crate::model::policy::{Policy, RemovalLimits};
use crate::provision::plan::Facts;

/// How old a complete reading of the members may be for the number of owners to be judged by it.
const OWNERS_FRESH: SignedDuration = SignedDuration::from_secs(60);

/// So many losses of access pass in a window, and in a day, however small the organization is.
const ALWAYS_IN_WINDOW: i64 = 3;
const ALWAYS_IN_DAY: i64 = 5;

/// What the guard says to taking rights from a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go ahead.
    Allowed,
    /// Not known: the members must be read anew first.
    Unsure,
    /// Not without a human: what guards it, and the reason.
    Held(Guard, String),
}

/// Why this member is never bound and never changed, if so.
pub fn untouchable(member: &Member, policy: &Policy) -> Option<String> {
    let reason = if member.is_service_account {
        "the member is a service account"
    } else if member.is_default {
        "the member is the organization's default user"
    } else if member.is_scim_managed {
        "the member is managed by OpenAI's own directory sync"
    } else if member.email.as_deref().is_some_and(|email| is_protected(email, policy)) {
        "the address is protected by the settings (safety.protected)"
    } else {
        return None;
    };
    Some(format!("{reason}; the bridge never changes such an account"))
}

/// Whether this address is never changed, demoted or removed.
pub fn is_protected(address: &str, policy: &Policy) -> bool {
    policy.protected.contains(&address.to_ascii_lowercase())
}

/// Judges the removal or demotion of a member.
pub fn judge_loss(now: Timestamp, member: &Member, facts: &Facts, policy: &Policy) -> Verdict {
    if let Some(reason) = untouchable(member, policy) {
        return Verdict::Held(Guard::Untouchable, reason);
    }
    if facts.key_owners.contains(&member.id) {
        let reason = "the member owns the admin key in use, which would stop working; give the bridge another \
                      owner's key first";
        return Verdict::Held(Guard::KeyOwner, reason.to_owned());
    }
    if member.role != Some(OrgRole::Owner) {
        return Verdict::Allowed;
    }
    let read_at = facts.sweeps.get(&Collection::Members).map(|sweep| sweep.finished_at);
    // A reading that lies ahead was made before the clock was set back, nobody knows how long ago.
    let is_old = read_at.is_none_or(|read_at| read_at > now || now.duration_since(read_at) > OWNERS_FRESH);
    if is_old {
        return Verdict::Unsure;
    }
    let floor = policy.min_owners.max(1);
    let stay = |owner: &&Member| owner.id != member.id && !facts.leaving_owners.contains(&owner.id);
    let remaining = facts.owners.iter().filter(stay).count();
    if remaining >= floor {
        return Verdict::Allowed;
    }
    if remaining == 0 {
        let reason = "no owner would remain; make somebody else an owner first";
        return Verdict::Held(Guard::LastOwner, reason.to_owned());
    }
    let reason = format!(
        "{remaining} owners would remain, fewer than the {floor} that must (safety.min_owners); make somebody else an \
         owner first"
    );
    Verdict::Held(Guard::MinOwners, reason)
}

/// What was counted in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Losses of access in it that nobody approved: removals, demotions, memberships of projects and groups.
    pub losses: i64,
    /// Managed members when it began.
    pub members: i64,
}

/// How many losses of access pass in a window, given the managed members.
pub fn window_allowance(limits: &RemovalLimits, members: i64) -> i64 {
    allowance(limits.max_removals, limits.max_removal_percent, members, ALWAYS_IN_WINDOW)
}

/// How many losses of access pass in 24 hours, given the managed members.
pub fn day_allowance(limits: &RemovalLimits, members: i64) -> i64 {
    allowance(limits.max_removals_per_day, limits.max_removal_percent_per_day, members, ALWAYS_IN_DAY)
}

fn allowance(number: u32, percent: u32, members: i64, always: i64) -> i64 {
    let share = members.max(0).saturating_mul(i64::from(percent)) / 100;
    share.min(i64::from(number)).max(always)
}

/// Judges one more loss of access, given what was counted in the window and in the last 24 hours: the reason to hold
/// it, if there is one.
pub fn judge_tally(limits: &RemovalLimits, window: Tally, day: Tally) -> Option<String> {
    let in_window = window_allowance(limits, window.members);
    let in_day = day_allowance(limits, day.members);
    let (allowed, span, members) = if window.losses >= in_window {
        (in_window, span_of(limits.window), window.members)
    } else if day.losses >= in_day {
        (in_day, "24 hours".to_owned(), day.members)
    } else {
        return None;
    };
    Some(format!(
        "more access would be taken away than may be without a human: {allowed} removals, demotions and lost \
         memberships in {span}, with {members} managed members (safety.max_removals and its kin)"
    ))
}

/// How many losses of access still pass before one is held.
pub fn losses_left(limits: &RemovalLimits, window: Tally, day: Tally) -> i64 {
    let in_window = window_allowance(limits, window.members) - window.losses;
    let in_day = day_allowance(limits, day.members) - day.losses;
    in_window.min(in_day).max(0)
}

fn span_of(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    if seconds % 60 == 0 { format!("{} minutes", seconds / 60) } else { format!("{seconds} seconds") }
}

/// Judges one more invite by the people who take a seat: the reason to hold it, if there is one.
pub fn judge_seats(limit: Option<u32>, taken: i64) -> Option<String> {
    let limit = limit.filter(|limit| taken >= i64::from(*limit))?;
    Some(format!(
        "{taken} of {limit} seats are taken (safety.seat_limit), counting members and pending invites; it goes out when \
         one is free"
    ))
}

/// Judges one more invite to an address that was invited `sent` times in the last 24 hours.
pub fn judge_invites(limit: u32, sent: i64) -> Option<String> {
    (sent >= i64::from(limit)).then(|| {
        format!("the address was invited {sent} times in 24 hours, which is as often as may be (invites.max_per_address)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observed::Sweep;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn member(id: &str, role: OrgRole) -> Member {
        Member {
            id: id.into(),
            email: Some(format!("{id}@example.com")),
            name: None,
            role: Some(role),
            is_service_account: false,
            is_scim_managed: false,
            is_default: false,
            added_at: at(0),
        }
    }

    fn facts(owners: &[&str]) -> Facts {
        let sweep = Sweep { started_at: at(0), finished_at: at(0), count: 9 };
        Facts {
            sweeps: [(Collection::Members, sweep)].into(),
            owners: owners.iter().map(|id| member(id, OrgRole::Owner)).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn removal_of_one_owner_too_many_is_held() {
        let policy = Policy::default();
        let a = member("a", OrgRole::Owner);
        assert_eq!(judge_loss(at(9), &a, &facts(&["a", "b", "c"]), &policy), Verdict::Allowed);
        assert!(matches!(
            judge_loss(at(9), &a, &facts(&["a", "b"]), &policy),
            Verdict::Held(Guard::MinOwners, _)
        ));
        let mut leaving = facts(&["a", "b", "c"]);
        leaving.leaving_owners.insert("b".into());
        assert!(matches!(judge_loss(at(9), &a, &leaving, &policy), Verdict::Held(Guard::MinOwners, _)));
    }

    #[test]
    fn the_floor_is_never_below_one() {
        let policy = Policy { min_owners: 0, ..Policy::default() };
        let a = member("a", OrgRole::Owner);
        assert!(matches!(judge_loss(at(9), &a, &facts(&["a"]), &policy), Verdict::Held(Guard::LastOwner, _)));
    }

    #[test]
    fn the_owner_of_the_key_in_use_is_held() {
        let facts = Facts { key_owners: ["a".into()].into(), ..facts(&["a", "b", "c", "d"]) };
        let policy = Policy::default();
        let verdict = judge_loss(at(9), &member("a", OrgRole::Owner), &facts, &policy);
        assert!(matches!(verdict, Verdict::Held(Guard::KeyOwner, _)));
        assert_eq!(judge_loss(at(9), &member("b", OrgRole::Owner), &facts, &policy), Verdict::Allowed);
    }

    #[test]
    fn the_stricter_limit_holds_and_the_first_few_always_pass() {
        let limits = RemovalLimits::default();
        for (members, in_window, in_day) in [
            (0, 3, 5),
            (29, 3, 5),
            (39, 3, 7),
            (40, 4, 8),
            (999, 99, 199),
            (1_000, 100, 200),
            (50_000, 100, 200),
        ] {
            assert_eq!(window_allowance(&limits, members), in_window, "{members}");
            assert_eq!(day_allowance(&limits, members), in_day, "{members}");
        }
        let none = RemovalLimits { max_removals: 0, max_removals_per_day: 0, ..limits };
        assert_eq!((window_allowance(&none, 9_999), day_allowance(&none, 9_999)), (3, 5));
    }

    #[test]
    fn one_loss_beyond_the_window_or_the_day_is_held() {
        let limits = RemovalLimits::default();
        let tally = |losses, members| Tally { losses, members };
        assert_eq!(judge_tally(&limits, tally(9, 100), tally(19, 100)), None);
        assert_eq!(losses_left(&limits, tally(9, 100), tally(18, 100)), 1);
        assert_eq!(losses_left(&limits, tally(10, 100), tally(21, 100)), 0);
        assert!(judge_tally(&limits, tally(10, 100), tally(10, 100)).unwrap().contains("10 removals"));
        assert!(judge_tally(&limits, tally(0, 100), tally(20, 100)).unwrap().contains("in 24 hours"));
    }

    #[test]
    fn a_seat_or_an_invite_too_many_is_held() {
        assert_eq!((judge_seats(None, 9_999), judge_seats(Some(10), 9)), (None, None));
        assert!(judge_seats(Some(10), 10).is_some());
        assert_eq!(judge_invites(5, 4), None);
        assert!(judge_invites(5, 5).is_some());
    }

    #[test]
    fn owners_are_counted_on_a_fresh_reading_only() {
        let a = member("a", OrgRole::Owner);
        let old = facts(&["a", "b", "c", "d"]);
        assert_eq!(judge_loss(at(61), &a, &old, &Policy::default()), Verdict::Unsure);
        assert_eq!(
            judge_loss(at(61), &member("r", OrgRole::Reader), &old, &Policy::default()),
            Verdict::Allowed
        );
    }

    #[test]
    fn accounts_that_are_not_ours_are_untouchable() {
        let policy = Policy { protected: ["p@example.com".to_owned()].into(), ..Policy::default() };
        let plain = member("r", OrgRole::Reader);
        for untouched in [
            Member { is_service_account: true, ..plain.clone() },
            Member { is_scim_managed: true, ..plain.clone() },
            Member { is_default: true, ..plain.clone() },
            Member { email: Some("P@Example.com".into()), ..plain.clone() },
        ] {
            assert!(matches!(
                judge_loss(at(0), &untouched, &facts(&[]), &policy),
                Verdict::Held(Guard::Untouchable, _)
            ));
        }
        assert_eq!(untouchable(&plain, &policy), None);
    }
}
