//! Durable state: SQLite or PostgreSQL behind one concrete type, with one SQL text for both.
//!
//! Reads go through a [`Reader`], writes through a [`Tx`]. A `Tx` is also a `Reader`. On SQLite all writes of the
//! process pass through one writer, which puts what waits into one commit; on PostgreSQL each write is its own
//! transaction, and the server groups the commits.

mod error;
mod mappings;
mod observed;
mod operations;
mod people;
mod tokens;

use std::ops::{Deref, DerefMut};

use futures_util::future::BoxFuture;

pub use error::StoreError;
pub use mappings::{MappingFilter, MappingRow};
pub use operations::LaneDepth;
pub use people::{Condition, Work};

use crate::clock::Clock;
use crate::model::audit::AuditEntry;

/// The store. Clones share one pool and one writer.
#[derive(Debug, Clone)]
pub struct Store {}

/// A connection that reads committed state.
#[derive(Debug)]
pub struct Reader {}

/// A write in progress: everything done through it becomes durable together, or not at all.
#[derive(Debug)]
pub struct Tx {
    reader: Reader,
}

impl Deref for Tx {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }
}

impl Store {
    /// Opens the database at `url` (`sqlite://path` or `postgres://…`), creating and migrating it as needed.
    pub async fn open(_url: &str, _clock: Clock) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// A connection for reading.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        unimplemented!()
    }

    /// Runs `work` in a transaction and returns once it is durable.
    ///
    /// `work` may run more than once (after a stale row, or when a batch it was in is replayed), so it must not have
    /// effects outside the transaction. An error it returns leaves no trace.
    pub async fn write<T, E>(
        &self,
        _work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        unimplemented!()
    }
}

impl Tx {
    /// Adds an entry to the audit trail.
    pub async fn append_audit(&mut self, _entry: &AuditEntry) -> Result<(), StoreError> {
        unimplemented!()
    }
}
