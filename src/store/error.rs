//! What can go wrong with the store, in the classes a caller can act on.

use std::error::Error as StdError;

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique key is taken: for people, the `userName`; for groups, the `displayName`.
    #[error("the unique key is taken")]
    Taken,
    /// The row changed since it was read; read again and decide anew.
    #[error("the row changed since it was read")]
    Stale,
    /// Locked, full, read-only or gone for the moment: nothing was written, the same request may be tried later.
    #[error("the database cannot be written at the moment")]
    Unavailable(#[source] Error),
    /// The database was written by a newer program, or is not ours.
    #[error("{0}")]
    Unusable(String),
    /// A defect: a statement failed, or a stored value does not read back.
    #[error("the database gave an unexpected answer")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
}

impl StoreError {
    pub(super) fn broken(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Broken(cause.into())
    }

    /// A failure of a commit: whatever it was, the same request may be tried later.
    pub(super) fn into_unavailable(self) -> Self {
        match self {
            Self::Unavailable(error) => Self::Unavailable(error),
            other => Self::Unavailable(Error::Protocol(other.to_string())),
        }
    }

    /// The same failure for one more caller: one commit carries the writes of many.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Taken => Self::Taken,
            Self::Stale => Self::Stale,
            Self::Unavailable(error) => Self::Unavailable(Error::Protocol(error.to_string())),
            Self::Unusable(message) => Self::Unusable(message.clone()),
            Self::Broken(error) => Self::broken(error.to_string()),
        }
    }
}

/// What a failure means for the transaction it happened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// None: the statement found something else than the caller hoped for.
    Stale,
    /// A unique key was violated: the statement left no trace.
    Taken,
    /// The server gave another transaction precedence; the same work may succeed at once.
    Conflict,
    /// The database cannot serve at the moment; the transaction may be gone.
    Outage,
    /// Anything else.
    Defect,
}

/// Sorts a failure of the driver into its class.
pub(super) fn classify(error: Error) -> (StoreError, Harm) {
    let harm = match &error {
        Error::Database(answer) => harm_of_answer(&**answer),
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed => Harm::Outage,
        _ => Harm::Defect,
    };
    let error = match harm {
        Harm::Stale => StoreError::Stale,
        Harm::Taken => StoreError::Taken,
        Harm::Conflict | Harm::Outage => StoreError::Unavailable(error),
        Harm::Defect => StoreError::broken(error),
    };
    (error, harm)
}

fn harm_of_answer(answer: &dyn DatabaseError) -> Harm {
    let code = answer.code().unwrap_or_default();
    if answer.is_unique_violation() {
        Harm::Taken
    } else if answer.try_downcast_ref::<SqliteError>().is_some() {
        code.parse().map_or(Harm::Defect, harm_of_sqlite_code)
    } else if answer.try_downcast_ref::<PgDatabaseError>().is_some() {
        harm_of_sqlstate(&code)
    } else {
        Harm::Defect
    }
}

/// <https://www.sqlite.org/rescode.html>: the low byte is the primary code.
fn harm_of_sqlite_code(code: i32) -> Harm {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READONLY: i32 = 8;
    const IOERR: i32 = 10;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    const PROTOCOL: i32 = 15;
    match code & 0xff {
        BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN | PROTOCOL => Harm::Outage,
        _ => Harm::Defect,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn harm_of_sqlstate(code: &str) -> Harm {
    match code {
        // serialization failure, deadlock
        "40001" | "40P01" => Harm::Conflict,
        // lock not available, statement cancelled, a standby that only reads
        "55P03" | "57014" | "25006" => Harm::Outage,
        // connection exceptions, insufficient resources, operator intervention, system errors
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Harm::Outage,
        _ => Harm::Defect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_unavailable_and_what_does_not_is_a_defect() {
        for extended in [5, 261, 517, 6, 8, 1032, 10, 778, 13, 14] {
            assert_eq!(harm_of_sqlite_code(extended), Harm::Outage, "{extended}");
        }
        for code in ["08006", "53100", "53300", "57P01", "57P03", "58030", "55P03", "25006"] {
            assert_eq!(harm_of_sqlstate(code), Harm::Outage, "{code}");
        }
        assert_eq!(harm_of_sqlstate("40P01"), Harm::Conflict);
        assert_eq!(harm_of_sqlstate("42601"), Harm::Defect);
        assert_eq!(harm_of_sqlite_code(1), Harm::Defect);
        assert_eq!(harm_of_sqlite_code(11), Harm::Defect);
    }
}
