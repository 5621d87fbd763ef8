//! What the seeds must come to at least now and then: a simulation that never sees a late invite says nothing about
//! late invites.

use std::collections::BTreeMap;

macro_rules! points {
    ($($point:ident,)+) => {
        /// Something that happens in some seeds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Point {
            $($point,)+
        }

        impl Point {
            const ALL: &[Self] = &[$(Self::$point),+];
        }
    };
}

points! {
    InviteSent,
    InviteAccepted,
    InviteAcceptedByWhoIsToLeave,
    InviteAcceptedWhileItWasWithdrawn,
    InviteWithdrawn,
    InviteRanOut,
    InviteWithoutAnswer,
    InviteLanded,
    InviteLandedForWhoIsToLeave,
    MemberRemoved,
    MemberRemovedByHand,
    MemberThereBefore,
    OwnerMadeByHand,
    RemovalWithoutAnswer,
    ProjectGiven,
    ProjectTaken,
    GroupDeleted,
    PersonDeleted,
    PersonRestored,
    AddressChanged,
    RefusedByLimiter,
    PausedByRefusal,
    KeyRefused,
    ListCutShort,
    ListRepeated,
    KilledWithCallsUnderWay,
    KilledAndOpenedAnew,
    StoppedWithWorkToDo,
    HeldByGuard,
    HoldApproved,
    HoldRejected,
    HoldDecidedTooLate,
    RemovedByApproval,
    OutcomeReadBack,
    OutcomeReadBackAsFailed,
    DriftFound,
    RequestRefusedByStore,
    OutcomeNotWritten,
    Frozen,
    ClockSetBack,
    ClockSetForward,
    NeighbourHasTheSameAddress,
    NeighbourTriesOurIds,
    OldDatabasePutBack,
    CustomRoleGiven,
    CustomRoleTaken,
    OpenAiGroupMade,
    OpenAiGroupDeleted,
    OpenAiGroupGiven,
    OpenAiGroupTaken,
    OpenAiGroupChangedByHand,
}

/// How often each was come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach(BTreeMap<Point, usize>);

impl Reach {
    pub(super) fn note(&mut self, point: Point) {
        *self.0.entry(point).or_default() += 1;
    }

    pub(super) fn note_if(&mut self, is_so: bool, point: Point) {
        if is_so {
            self.note(point);
        }
    }

    /// Adds what another seed came to.
    pub(super) fn add(&mut self, other: &Self) {
        for (point, count) in &other.0 {
            *self.0.entry(*point).or_default() += count;
        }
    }

    /// What nothing came to.
    pub(super) fn missed(&self) -> Vec<Point> {
        Point::ALL.iter().filter(|point| !self.0.contains_key(point)).copied().collect()
    }
}
