//! Durable state: SQLite or PostgreSQL behind one concrete type, with one SQL text for both.
//!
//! Reads go through a [`Reader`], writes through a [`Tx`]. A `Tx` is also a `Reader`. On SQLite all writes of the
//! process pass through one writer, which puts what waits into one commit; on PostgreSQL each write is its own
//! transaction, and the server groups the commits.
//!
//! Every question carries the tenant. Columns are text, 64-bit integers and bytes only, because that is what reads
//! the same from both databases: times are microseconds since 1970, flags are 0 or 1, documents are JSON text.

mod agenda;
mod alarms;
mod assignments;
mod audit;
mod backup;
mod budgets;
mod catalogue;
mod chain;
mod clients;
mod credentials;
mod error;
mod events;
mod group_links;
mod groups;
mod guards;
mod high_water;
mod holds;
mod listing;
mod mappings;
mod memberships;
mod migrate;
mod observed;
mod operations;
mod people;
mod postgres;
mod query;
mod record;
mod row;
mod secret;
mod sequence;
mod session;
mod shelf;
mod sqlite;
mod survey;
mod sweeps;
mod tenants;
mod tokens;
mod upkeep;
mod writer;

use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::AnyPool;

pub use agenda::{LaneDepth, Mark};
pub use chain::{Break, ChainHead, Link, Verdict};
pub use error::StoreError;
pub use guards::Losses;
pub use holds::HoldFilter;
pub use mappings::{MappingFilter, MappingRow};
pub use memberships::MemberDelta;
pub use people::Work;
pub use query::{Condition, GroupCondition, Order};
pub use record::{ImportError, Imported, MappingRecord, RecordError};
pub use sequence::{Column, Key, Sequence, Spot};
pub use session::{Reader, Tx};
pub use survey::Bound;

use crate::clock::Clock;
use error::{Harm, classify};
use session::Ran;
use shelf::Shelf;
use sqlite::{Lock, SqliteFile};
use writer::Writer;

/// How often a write is tried anew when another transaction came first.
const CONFLICT_RETRIES: usize = 5;

/// How long [`Store::close`] waits for reads that are under way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Which database keeps the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The embedded one: a file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// The store. Clones share one pool and one writer.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Clock,
}

enum Database {
    Sqlite { writer: Writer, shelf: Shelf, file: SqliteFile, _lock: Option<Lock> },
    Postgres { pool: AnyPool },
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?})", self.backend())
    }
}

impl Store {
    /// Opens the database at `url` (`sqlite://path` or `postgres://…`) for serving, creating and migrating it as
    /// needed.
    ///
    /// A SQLite file is checked for damage, and locked: a second process cannot serve it. If it is older than what was
    /// last seen of it, a brake keeps every engine from making changes.
    ///
    /// # Errors
    ///
    /// `Unusable`: served by another process, written by a newer program, damaged or not ours; the message says what
    /// to do. `Unavailable`: cannot be reached or written at the moment.
    pub async fn open(url: &str, clock: Clock) -> Result<Self, StoreError> {
        let store = Self::connect(url, clock, true).await?;
        store.check_high_water().await?;
        Ok(store)
    }

    /// Opens the database for the short transactions of a command that may run while a server is serving it.
    ///
    /// It neither takes the server's lock nor checks the whole file. It creates and migrates the database only if no
    /// server is running.
    pub async fn open_beside(url: &str, clock: Clock) -> Result<Self, StoreError> {
        Self::connect(url, clock, false).await
    }

    async fn connect(url: &str, clock: Clock, serve: bool) -> Result<Self, StoreError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);

        let database = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Database::Postgres { pool: postgres::open(url).await? }
        } else if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            let file = SqliteFile::at(path)?;
            let (connection, lock) = file.open(serve).await?;
            let writer = Writer::start(file.clone(), connection, clock.clone());
            Database::Sqlite { writer, shelf: Shelf::new(file.clone()), file, _lock: lock }
        } else {
            let message = "the database URL must begin with sqlite:// or postgres://".to_owned();
            return Err(StoreError::Unusable(message));
        };
        let store = Self(Arc::new(Inner { database, clock }));
        store.chain_trails_of_before().await?;
        Ok(store)
    }

    /// Which database keeps the state.
    pub fn backend(&self) -> Backend {
        match self.0.database {
            Database::Sqlite { .. } => Backend::Sqlite,
            Database::Postgres { .. } => Backend::Postgres,
        }
    }

    /// A connection for reading. Give it back (drop it) soon: there are few.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        match &self.0.database {
            Database::Sqlite { shelf, .. } => shelf.take().await.map(Reader::shelved),
            Database::Postgres { pool } => match pool.acquire().await {
                Ok(connection) => Ok(Reader::pooled(connection)),
                Err(error) => Err(classify(error).0),
            },
        }
    }

    /// Runs `work` in a transaction and returns once it is durable.
    ///
    /// `work` may run more than once (after a stale row, or when a batch it was in is replayed), so it must not have
    /// effects outside the transaction. An error it returns leaves no trace. After a statement failed, `work` must
    /// return an error: the transaction cannot go on.
    ///
    /// # Errors
    ///
    /// What `work` returned; or, as an `E`, [`StoreError::Unavailable`] when the database cannot take the write now.
    /// If the connection was lost in the commit itself, the write may have become durable all the same.
    pub async fn write<T, E>(
        &self,
        work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.database {
            Database::Sqlite { writer, .. } => writer.write(work).await,
            Database::Postgres { pool } => self.write_alone(pool, work).await,
        }
    }

    async fn write_alone<T, E, F>(&self, pool: &AnyPool, work: F) -> Result<T, E>
    where
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
        E: From<StoreError>,
    {
        let mut tries_left = CONFLICT_RETRIES;
        loop {
            let transaction = pool.begin().await.map_err(|error| classify(error).0)?;
            let mut tx = Tx::alone(transaction, self.0.clock.clone());
            let (result, ran) = session::run(&work, &mut tx).await;
            let harm = tx.harm();
            let harm = if ran == Ran::Done {
                match tx.commit().await {
                    Ok(()) => return result,
                    Err((error, harm)) if harm != Harm::Conflict || tries_left == 0 => {
                        return Err(error.into());
                    }
                    Err((_, harm)) => Some(harm),
                }
            } else {
                tx.roll_back().await;
                harm
            };
            if !matches!(harm, Some(Harm::Stale | Harm::Conflict)) || tries_left == 0 {
                return result;
            }
            tries_left -= 1;
        }
    }

    /// How many writes may be begun at once without giving up their order: they are made in the order in which they
    /// were begun, and become durable together.
    pub fn writes_at_once(&self) -> usize {
        match &self.0.database {
            Database::Sqlite { .. } => writer::MAX_BATCH,
            // Each is a transaction of its own, and whichever is faster comes first.
            Database::Postgres { .. } => 1,
        }
    }

    /// Whether the database can be read and written at the moment.
    ///
    /// Cheap: it writes only while writes are failing, to learn when that is over.
    pub async fn health(&self) -> Result<(), StoreError> {
        self.reader().await?.probe().await?;
        match &self.0.database {
            Database::Sqlite { writer, .. } if writer.is_ailing() => {
                self.write(|tx| Box::pin(tx.write_probe())).await
            }
            _ => Ok(()),
        }
    }

    /// Finishes the writes that were accepted, refuses further ones, and leaves a database file that needs no
    /// recovery. A store that is dropped instead loses nothing that was acknowledged.
    pub async fn close(&self) {
        match &self.0.database {
            Database::Sqlite { writer, shelf, .. } => {
                writer.close().await;
                shelf.close();
            }
            Database::Postgres { pool } => {
                // A reader that somebody still holds is cut off when the process ends.
                let _in_time = tokio::time::timeout(CLOSE_PATIENCE, pool.close()).await.is_ok();
            }
        }
    }
}
