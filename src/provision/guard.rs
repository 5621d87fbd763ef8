//! The guard: what must not be done even if the directory asks for it. Pure.
//!
//! A guard never loses the wish. It turns a call into a hold with a reason, and every later plan judges anew. What
//! counts removals over time and what an administrator approves belongs here as well: [`judge_loss`] is the one gate
//! that every removal and demotion passes.

use jiff::{SignedDuration, Timestamp};

use crate::model::grant::OrgRole;
use crate::model::observed::{Collection, Member};
use crate::model::policy::Policy;
use crate::provision::plan::Facts;

/// How old a complete reading of the members may be for the number of owners to be judged by it.
const OWNERS_FRESH: SignedDuration = SignedDuration::from_secs(60);

/// What the guard says to taking rights from a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go ahead.
    Allowed,
    /// Not known: the members must be read anew first.
    Unsure,
    /// Not without a human; the reason.
    Held(String),
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
        return Verdict::Held(reason);
    }
    if member.role != Some(OrgRole::Owner) {
        return Verdict::Allowed;
    }
    let read_at = facts.sweeps.get(&Collection::Members).map(|sweep| sweep.finished_at);
    if read_at.is_none_or(|read_at| now.duration_since(read_at) > OWNERS_FRESH) {
        return Verdict::Unsure;
    }
    let floor = policy.min_owners.max(1);
    let stay = |owner: &&Member| owner.id != member.id && !facts.leaving_owners.contains(&owner.id);
    let remaining = facts.owners.iter().filter(stay).count();
    if remaining >= floor {
        return Verdict::Allowed;
    }
    Verdict::Held(format!(
        "{remaining} owners would remain, fewer than the {floor} that must (safety.min_owners); make somebody else an \
         owner first"
    ))
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
        assert!(matches!(judge_loss(at(9), &a, &facts(&["a", "b"]), &policy), Verdict::Held(_)));
        let mut leaving = facts(&["a", "b", "c"]);
        leaving.leaving_owners.insert("b".into());
        assert!(matches!(judge_loss(at(9), &a, &leaving, &policy), Verdict::Held(_)));
    }

    #[test]
    fn the_floor_is_never_below_one() {
        let policy = Policy { min_owners: 0, ..Policy::default() };
        let a = member("a", OrgRole::Owner);
        assert!(matches!(judge_loss(at(9), &a, &facts(&["a"]), &policy), Verdict::Held(_)));
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
            assert!(matches!(judge_loss(at(0), &untouched, &facts(&[]), &policy), Verdict::Held(_)));
        }
        assert_eq!(untouchable(&plain, &policy), None);
    }
}
