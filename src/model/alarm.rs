//! Alarms: what an administrator should know without asking, once per cause.

use jiff::{SignedDuration, Timestamp};

use crate::ids::{AlarmId, TenantId};

/// How soon a cause that has grown is told again.
pub const REPEAT_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Whether a cause began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// It is there, or has grown.
    Raised,
    /// It is over.
    Cleared,
}

impl AlarmState {
    /// The word used in the store and towards receivers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
        }
    }
}

/// What a look at a cause showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The cause, as a dotted word such as `held.mass-removal`.
    pub cause: String,
    /// How much of it there is; 0 when it is not there.
    pub size: i64,
    /// What is the matter and what to do, in a sentence for administrators. Holds no address and no secret.
    pub text: String,
}

/// A cause that was told of and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How much of it there was when it was last told.
    pub size: i64,
    /// When it was last told.
    pub told_at: Timestamp,
}

/// One alarm of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The tenant.
    pub tenant: TenantId,
    /// Its id; a receiver that gets it twice knows it by this.
    pub id: AlarmId,
    /// The cause.
    pub cause: String,
    /// Whether it began or ended.
    pub state: AlarmState,
    /// How much of it there is.
    pub size: i64,
    /// In words.
    pub text: String,
    /// When it was raised.
    pub at: Timestamp,
}

/// Whether a look at a cause is to be told, given what was told of it before: when it appears, when it has grown and
/// the last word is old, and when it is over.
pub fn is_news(standing: Option<Standing>, size: i64, now: Timestamp) -> Option<AlarmState> {
    match standing {
        None => (size > 0).then_some(AlarmState::Raised),
        Some(_) if size <= 0 => Some(AlarmState::Cleared),
        Some(standing) => {
            let is_old = now.duration_since(standing.told_at) >= REPEAT_AFTER;
            (size > standing.size && is_old).then_some(AlarmState::Raised)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_when_it_appears_when_it_has_grown_for_long_and_when_it_is_over() {
        let at = |minute: i64| Timestamp::from_second(1_800_000_000 + minute * 60).unwrap();
        let standing = Some(Standing { size: 2, told_at: at(0) });
        assert_eq!(is_news(None, 0, at(0)), None);
        assert_eq!(is_news(None, 2, at(0)), Some(AlarmState::Raised));
        assert_eq!(is_news(standing, 900, at(59)), None);
        assert_eq!(is_news(standing, 900, at(60)), Some(AlarmState::Raised));
        assert_eq!(is_news(standing, 2, at(600)), None);
        assert_eq!(is_news(standing, 1, at(600)), None);
        assert_eq!(is_news(standing, 0, at(1)), Some(AlarmState::Cleared));
    }
}
