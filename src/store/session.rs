//! A connection in use: reading through a [`Reader`], writing through a [`Tx`].

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Connection as _, Transaction};

use super::error::{Harm, classify};
use super::shelf::Shelved;
use super::{Backend, StoreError};
use crate::clock::Clock;
use crate::ids::{EventId, TenantId};
use crate::model::audit::AuditEntry;
use crate::model::event::Event;

/// A statement with its parameters.
pub(super) type Statement<'q> = Query<'q, Any, AnyArguments>;

/// A statement whose text is fixed; `$1`, `$2`… stand for the parameters.
pub(super) fn sql<'q>(text: &'static str) -> Statement<'q> {
    sqlx::query(text)
}

/// A connection that reads committed state.
pub struct Reader {
    link: Link,
    backend: Backend,
    /// The worst that happened since the present write began.
    harm: Option<Harm>,
    /// Whether the present write has changed a row.
    wrote: bool,
}

enum Link {
    /// Goes back to the pool of the PostgreSQL server.
    Pooled(PoolConnection<Any>),
    /// Goes back to the shelf of the SQLite file.
    Shelved(Shelved),
    /// A transaction of its own; rolled back when dropped.
    Alone(Transaction<'static, Any>),
    /// The writer's connection, which the writer begins, commits and rolls back.
    Writer(AnyConnection),
}

/// A write in progress: everything done through it becomes durable together, or not at all.
pub struct Tx {
    reader: Reader,
    clock: Clock,
    /// Entries of the trail that are written with the commit.
    pub(super) trail: Vec<AuditEntry>,
    /// Events of the feeds that are written with the commit.
    pub(super) feed: Vec<(EventId, Event)>,
}

impl Reader {
    pub(super) fn pooled(connection: PoolConnection<Any>) -> Self {
        Self::new(Link::Pooled(connection), Backend::Postgres)
    }

    pub(super) fn shelved(connection: Shelved) -> Self {
        Self::new(Link::Shelved(connection), Backend::Sqlite)
    }

    fn new(link: Link, backend: Backend) -> Self {
        Self { link, backend, harm: None, wrote: false }
    }

    pub(super) fn backend(&self) -> Backend {
        self.backend
    }

    pub(super) async fn fetch_all(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        let rows = statement.fetch_all(self.link.connection()).await;
        self.note(rows)
    }

    pub(super) async fn fetch_optional(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<AnyRow>, StoreError> {
        let row = statement.fetch_optional(self.link.connection()).await;
        self.note(row)
    }

    pub(super) async fn fetch_one(&mut self, statement: Statement<'_>) -> Result<AnyRow, StoreError> {
        let row = statement.fetch_one(self.link.connection()).await;
        self.note(row)
    }

    /// Whether the database answers, and as one that can be written.
    pub(super) async fn probe(&mut self) -> Result<(), StoreError> {
        let question = match self.backend {
            Backend::Sqlite => "SELECT 0 AS read_only",
            Backend::Postgres => {
                "SELECT CASE current_setting('transaction_read_only') WHEN 'on' THEN 1 ELSE 0 END AS read_only"
            }
        };
        let row = self.fetch_one(sql(question)).await?;
        if super::row::Row(&row).flag("read_only")? {
            let error = sqlx::Error::Protocol("the server only reads at the moment".to_owned());
            return Err(StoreError::Unavailable(error));
        }
        Ok(())
    }

    fn note<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let (error, harm) = classify(error);
            self.harm = Some(harm);
            if let Link::Shelved(shelved) = &mut self.link {
                shelved.condemn();
            }
            error
        })
    }
}

impl Tx {
    /// A transaction of its own.
    pub(super) fn alone(transaction: Transaction<'static, Any>, clock: Clock) -> Self {
        Self::new(Reader::new(Link::Alone(transaction), Backend::Postgres), clock)
    }

    /// The transaction that the writer has begun on its connection.
    pub(super) fn of_writer(connection: AnyConnection, clock: Clock) -> Self {
        Self::new(Reader::new(Link::Writer(connection), Backend::Sqlite), clock)
    }

    fn new(reader: Reader, clock: Clock) -> Self {
        Self { reader, clock, trail: Vec::new(), feed: Vec::new() }
    }

    /// The store's clock.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time of the store's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs a statement that changes rows; tells how many.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let done = statement.execute(self.link.connection()).await;
        let rows = self.note(done)?.rows_affected();
        self.wrote |= rows > 0;
        Ok(rows)
    }

    /// Runs a statement that changes rows and returns something of each.
    pub(super) async fn execute_returning(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let rows = self.fetch_all(statement).await?;
        self.wrote |= !rows.is_empty();
        Ok(rows)
    }

    /// Runs a statement that must find its row.
    pub(super) async fn execute_or_stale(&mut self, statement: Statement<'_>) -> Result<(), StoreError> {
        if self.execute(statement).await? == 0 { Err(self.stale()) } else { Ok(()) }
    }

    /// Waits until no other transaction of the tenant holds this turn, and holds it to the end of this one. What is
    /// read afterwards stays true. On SQLite a write is alone anyway.
    ///
    /// Whoever takes several turns takes them in the same order as everybody else.
    pub async fn take_turn(&mut self, tenant: &TenantId, what: &str) -> Result<(), StoreError> {
        if self.backend() == Backend::Postgres {
            let turn =
                sql("SELECT 1 AS held FROM (SELECT pg_advisory_xact_lock(hashtextextended($1, 0))) AS turn");
            self.fetch_one(turn.bind(format!("{what}:{tenant}"))).await?;
        }
        Ok(())
    }

    /// Notes that the row is not as the caller knew it.
    pub(super) fn stale(&mut self) -> StoreError {
        self.harm = Some(Harm::Stale);
        StoreError::Stale
    }

    /// A write without meaning, to learn whether writing works.
    pub(super) async fn write_probe(&mut self) -> Result<(), StoreError> {
        let now = self.now().to_string();
        self.execute(
            sql("INSERT INTO meta (name, value) VALUES ('last_write_probe', $1)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// The worst that happened since the present write began.
    pub(super) fn harm(&self) -> Option<Harm> {
        self.harm
    }

    /// Commits a transaction of its own.
    pub(super) async fn commit(mut self) -> Result<(), (StoreError, Harm)> {
        if let Err(error) = self.write_trail().await {
            return Err((error, self.harm().unwrap_or(Harm::Defect)));
        }
        match self.reader.link {
            Link::Alone(transaction) => transaction.commit().await.map_err(|error| match classify(error) {
                (error, Harm::Conflict) => (error, Harm::Conflict),
                (error, harm) => (error.into_unavailable(), harm),
            }),
            Link::Pooled(_) | Link::Shelved(_) | Link::Writer(_) => Ok(()),
        }
    }

    /// Rolls a transaction of its own back; should that fail, dropping the connection does it.
    pub(super) async fn roll_back(self) {
        if let Link::Alone(transaction) = self.reader.link {
            let _rolled_back = transaction.rollback().await.is_ok();
        }
    }

    /// Hands the writer its connection back.
    pub(super) fn into_connection(self) -> Option<AnyConnection> {
        match self.reader.link {
            Link::Writer(connection) => Some(connection),
            Link::Pooled(_) | Link::Shelved(_) | Link::Alone(_) => None,
        }
    }
}

/// How a write ended, short of its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// It is to be committed.
    Done,
    /// It failed before it changed anything.
    Refused,
    /// It failed and the transaction must be rolled back.
    Spoilt,
}

/// Runs one write in a transaction that may have carried others before.
pub(super) async fn run<T, E, F>(work: &F, tx: &mut Tx) -> (Result<T, E>, Ran)
where
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    E: From<StoreError>,
{
    tx.reader.harm = None;
    tx.reader.wrote = false;
    let (trail_before, feed_before) = (tx.trail.len(), tx.feed.len());
    let caught = AssertUnwindSafe(async { work(tx).await }).catch_unwind().await;
    let usable = matches!(tx.harm, None | Some(Harm::Stale | Harm::Taken));
    if !matches!(caught, Ok(Ok(_))) {
        tx.trail.truncate(trail_before);
        tx.feed.truncate(feed_before);
    }
    match caught {
        Ok(Ok(_)) if tx.harm.is_some_and(|harm| harm != Harm::Stale) => {
            (Err(StoreError::broken("a write went on after a failed statement").into()), Ran::Spoilt)
        }
        Ok(Ok(value)) => (Ok(value), Ran::Done),
        Ok(Err(error)) if usable && !tx.wrote => (Err(error), Ran::Refused),
        Ok(Err(error)) => (Err(error), Ran::Spoilt),
        Err(_panic) => (Err(StoreError::broken("a write panicked").into()), Ran::Spoilt),
    }
}

impl Link {
    fn connection(&mut self) -> &mut AnyConnection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Shelved(shelved) => shelved.connection(),
            Self::Alone(transaction) => transaction,
            Self::Writer(connection) => connection,
        }
    }
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

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({:?})", self.backend)
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tx({:?})", self.backend)
    }
}

/// Closes a connection that is of no more use; SQLite rolls back what it had begun.
pub(super) async fn discard(connection: AnyConnection) {
    let _closed = connection.close().await.is_ok();
}
