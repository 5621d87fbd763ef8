//! Whether a whole reading is to be believed: absence from a list is never an order.

use std::collections::BTreeSet;

use crate::model::observed::Sweep;

/// A reading with fewer than this many percent of the former one's objects is not believed at once.
const PLAUSIBLE_PERCENT: i64 = 90;
/// So many short readings in a row that show the very same objects are believed after all.
const READINGS_TO_BELIEVE: u32 = 3;

/// Judges whole readings of one collection against the ones before.
#[derive(Debug, Default)]
pub(in crate::provision) struct Judge {
    /// Objects that the bridge itself took away since the last believed reading began.
    removed: i64,
    removed_before_start: i64,
    short: Option<(BTreeSet<String>, u32)>,
}

impl Judge {
    /// Notes that the bridge took an object away, or that one is about to change its place by itself.
    pub(in crate::provision) fn note_removal(&mut self) {
        self.removed = self.removed.saturating_add(1);
    }

    /// Notes what was taken away before the program was started anew.
    pub(in crate::provision) fn note_removals(&mut self, count: i64) {
        self.removed = self.removed.saturating_add(count);
    }

    /// Notes that a reading begins.
    pub(in crate::provision) fn note_start(&mut self) {
        self.removed_before_start = self.removed;
    }

    /// Whether what this complete reading does not show may be believed to be gone.
    pub(in crate::provision) fn believes(
        &mut self,
        ids: &BTreeSet<String>,
        last: Option<&Sweep>,
        may_be_empty: bool,
    ) -> bool {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let expected = last.map_or(0, |last| last.count.saturating_sub(self.removed).max(0));
        let is_short = count.saturating_mul(100) < expected.saturating_mul(PLAUSIBLE_PERCENT);
        let believed = if count == 0 && !may_be_empty {
            false
        } else if !is_short {
            true
        } else {
            let seen = match self.short.take() {
                Some((same, seen)) if same == *ids => seen.saturating_add(1),
                _ => 1,
            };
            self.short = Some((ids.clone(), seen));
            seen >= READINGS_TO_BELIEVE
        };
        if believed {
            self.short = None;
            self.removed = self.removed.saturating_sub(self.removed_before_start);
            self.removed_before_start = 0;
        }
        believed
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn ids(count: usize) -> BTreeSet<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    fn last(count: i64) -> Sweep {
        Sweep { started_at: Timestamp::UNIX_EPOCH, finished_at: Timestamp::UNIX_EPOCH, count }
    }

    #[test]
    fn a_short_reading_is_believed_when_it_comes_three_times() {
        let mut judge = Judge::default();
        assert!(judge.believes(&ids(90), Some(&last(100)), false));
        assert!(!judge.believes(&ids(89), Some(&last(100)), false));
        assert!(!judge.believes(&ids(88), Some(&last(100)), false));
        assert!(!judge.believes(&ids(88), Some(&last(100)), false));
        assert!(judge.believes(&ids(88), Some(&last(100)), false));
    }

    #[test]
    fn no_members_at_all_are_never_believed() {
        let mut judge = Judge::default();
        for last in [None, Some(&last(1)), Some(&last(0))] {
            for _ in 0..5 {
                assert!(!judge.believes(&ids(0), last, false));
            }
        }
    }

    #[test]
    fn our_own_removals_explain_a_shorter_reading() {
        let mut judge = Judge::default();
        for _ in 0..5 {
            judge.note_removal();
        }
        judge.note_start();
        judge.note_removal();
        assert!(judge.believes(&ids(4), Some(&last(10)), false));
        // The removal during the reading may still have been shown by it.
        judge.note_start();
        assert!(judge.believes(&ids(3), Some(&last(4)), false));
        judge.note_start();
        assert!(!judge.believes(&ids(2), Some(&last(3)), false));
    }
}
