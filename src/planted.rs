//! Bugs and failures that a test plants, to show that the simulation of the whole program would find them.
//!
//! A test plants them for its own thread. In every other build this is nothing: without the feature `planted-bugs`,
//! which only the tests of this package ask for, and in a release build whatever is asked for, [`is_planted`] and
//! [`commit_fails`] are a constant `false`.

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $bug:ident,)+) => {
        /// A bug that can be planted. Each is in one place of the program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $what])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),+];
        }
    };
}

bugs! {
    /// A write is acknowledged although its commit failed.
    AckBeforeCommit,
    /// Somebody is invited before the organization was read.
    NoListBeforeInvite,
    /// A body that says nothing of `active` takes access away.
    AbsenceDeactivates,
    /// An operation that adds a member to a group puts it in place of the others.
    AddReplaces,
    /// A PATCH of which one operation fails keeps the others.
    PatchNotAtomic,
    /// Somebody who is deleted is forgotten before their access is taken away.
    TombstoneDroppedEarly,
    /// An invite without projects leaves them out.
    OmittedProjects,
    /// A call is on record only after it was made.
    AuditAfterCall,
    /// A refusal for lack of budget does not make the client pause.
    PauseIgnored,
    /// A refused admin key does not stop changes.
    KeyRefusalIgnored,
    /// The stop switch is not looked at before a call.
    StopIgnored,
    /// A resource of another tenant is found by its id.
    TenantFromPath,
}

#[cfg(all(feature = "planted-bugs", debug_assertions))]
mod soil {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static COMMITS_FAIL: Cell<bool> = const { Cell::new(false) };
    }

    /// Plants a bug in this thread, in place of another one, or takes it out again.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Lets every commit of SQLite's writer in this thread fail from now on, as it does when the disk is full, or none.
    pub fn fail_commits(fail: bool) {
        COMMITS_FAIL.set(fail);
    }

    pub(crate) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    pub(crate) fn commit_fails() -> bool {
        COMMITS_FAIL.get()
    }
}

#[cfg(not(all(feature = "planted-bugs", debug_assertions)))]
mod soil {
    use super::Bug;

    pub(crate) const fn is_planted(_bug: Bug) -> bool {
        false
    }

    pub(crate) const fn commit_fails() -> bool {
        false
    }
}

pub(crate) use soil::{commit_fails, is_planted};
#[cfg(all(feature = "planted-bugs", debug_assertions))]
pub use soil::{fail_commits, plant};

/// Whether this bug is planted: `false` in everything but a test that planted it.
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}

// The other is_planted is no constant.
#[cfg(not(debug_assertions))]
const _: () = assert!(!is_planted(Bug::AckBeforeCommit) && !commit_fails());
