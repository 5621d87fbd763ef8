//! The one writer of a SQLite database: puts the writes that wait into one transaction, so that they share one
//! flush to disk.
//!
//! A write that fails before it changed anything leaves its batch alone. One that fails later takes the batch back,
//! and its members run again, each in its own transaction. Nobody is answered before the commit, because even a
//! refusal may rest on what another member of the batch wrote.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use sqlx::AnyConnection;
use tokio::sync::{mpsc, oneshot};

use super::error::{Harm, classify};
use super::session::{self, Ran, discard, sql};
use super::sqlite::SqliteFile;
use super::{StoreError, Tx};
use crate::clock::Clock;
use crate::planted;

/// The most writes in one commit: more would make the first wait without making the flush cheaper.
pub(super) const MAX_BATCH: usize = 64;

/// How many writes may wait before further callers wait to be let in.
const MAX_WAITING: usize = 1024;

/// The end of the writer that its callers hold.
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
    /// Whether the last transaction could not be written.
    ailing: Arc<AtomicBool>,
}

enum Message {
    Write(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("ailing", &self.is_ailing()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the writer on its connection. It ends when all its callers are gone.
    pub(super) fn start(file: SqliteFile, connection: AnyConnection, clock: Clock) -> Self {
        let (messages, inbox) = mpsc::channel(MAX_WAITING);
        let ailing = Arc::new(AtomicBool::new(false));
        let desk = Desk { file, connection: Some(connection), clock, ailing: Arc::clone(&ailing) };
        tokio::spawn(desk.serve(inbox));
        Self { messages, ailing }
    }

    /// Runs `work` in the next batch and returns once that is durable.
    pub(super) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Request { work, result: None, reply };
        // Without a writer the store is being closed: the same write may be tried on the next start.
        if self.messages.send(Message::Write(Box::new(request))).await.is_err() {
            return Err(closed().into());
        }
        answer.await.unwrap_or_else(|_gone| Err(closed().into()))
    }

    /// Whether the last transaction could not be written, or the writer is gone.
    pub(super) fn is_ailing(&self) -> bool {
        self.ailing.load(Ordering::Relaxed) || self.messages.is_closed()
    }

    /// Finishes what was accepted, refuses the rest, and moves the log into the database file.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.messages.send(Message::Close(reply)).await.is_ok() {
            let _finished = closed.await.is_ok();
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable(sqlx::Error::PoolClosed)
}

/// A write that waits for its turn and its answer.
trait Job: Send {
    /// Does the work in the given transaction and keeps the result.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Ran>;

    /// Answers with the result of the last run, or with the failure that undid it.
    fn answer(self: Box<Self>, fate: Result<(), StoreError>);
}

struct Request<F, T, E> {
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Request<F, T, E>
where
    F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Ran> {
        Box::pin(async move {
            let (result, ran) = session::run(&self.work, tx).await;
            self.result = Some(result);
            ran
        })
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        let result = match (fate, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(closed().into()),
            (Err(error), _) => Err(error.into()),
        };
        // Who gave up waiting finds the outcome in the database.
        let _heard = self.reply.send(result).is_ok();
    }
}

/// The writer's own side.
struct Desk {
    file: SqliteFile,
    /// `None` after a failure, until the next transaction connects anew.
    connection: Option<AnyConnection>,
    clock: Clock,
    ailing: Arc<AtomicBool>,
}

impl Desk {
    async fn serve(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut closing = Vec::new();
        while let Some(message) = inbox.recv().await {
            let mut next = Some(message);
            while let Some(message) = next.take() {
                match message {
                    Message::Write(job) => batch.push(job),
                    Message::Close(reply) => {
                        inbox.close();
                        closing.push(reply);
                    }
                }
                if batch.len() < MAX_BATCH {
                    next = inbox.try_recv().ok();
                }
            }
            if !batch.is_empty() {
                self.write_together(std::mem::take(&mut batch)).await;
            }
        }
        if let Some(mut connection) = self.connection.take() {
            let _moved = sql("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&mut connection).await.is_ok();
            discard(connection).await;
        }
        for reply in closing {
            let _heard = reply.send(()).is_ok();
        }
    }

    async fn write_together(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let mut tx = match self.begin().await {
            Ok(tx) => tx,
            Err(error) => return answer_all(batch, Err(error)),
        };
        for job in &mut batch {
            if job.run(&mut tx).await == Ran::Spoilt {
                self.roll_back(tx).await;
                return self.write_singly(batch).await;
            }
        }
        let fate = self.commit(tx).await;
        answer_all(batch, if planted!(AckBeforeCommit) { Ok(()) } else { fate });
    }

    async fn write_singly(&mut self, batch: Vec<Box<dyn Job>>) {
        for mut job in batch {
            let fate = match self.begin().await {
                Ok(tx) => self.write_one(&mut *job, tx).await,
                Err(error) => Err(error),
            };
            job.answer(fate);
        }
    }

    async fn write_one(&mut self, job: &mut dyn Job, mut tx: Tx) -> Result<(), StoreError> {
        if job.run(&mut tx).await == Ran::Done {
            self.commit(tx).await
        } else {
            self.roll_back(tx).await;
            Ok(())
        }
    }

    async fn begin(&mut self) -> Result<Tx, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.file.connect().await.inspect_err(|_| self.set_ailing(true))?,
        };
        match sql("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Ok(Tx::of_writer(connection, self.clock.clone())),
            Err(error) => {
                self.set_ailing(true);
                discard(connection).await;
                Err(classify(error).0)
            }
        }
    }

    async fn commit(&mut self, mut tx: Tx) -> Result<(), StoreError> {
        if let Err(error) = tx.write_trail().await {
            self.roll_back(tx).await;
            return Err(error.into_unavailable());
        }
        let Some(mut connection) = tx.into_connection() else { return Ok(()) };
        let committed = if planted::commit_fails() {
            Err(sqlx::Error::WorkerCrashed)
        } else {
            sql("COMMIT").execute(&mut connection).await.map(drop)
        };
        match committed {
            Ok(()) => {
                self.set_ailing(false);
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                self.set_ailing(true);
                discard(connection).await;
                Err(StoreError::Unavailable(error))
            }
        }
    }

    /// After an outage SQLite may have rolled back on its own, so that connection is not used again.
    async fn roll_back(&mut self, tx: Tx) {
        let harm = tx.harm();
        let Some(mut connection) = tx.into_connection() else { return };
        let rolled_back = sql("ROLLBACK").execute(&mut connection).await.is_ok();
        self.set_ailing(harm == Some(Harm::Outage));
        if rolled_back && !matches!(harm, Some(Harm::Outage | Harm::Defect)) {
            self.connection = Some(connection);
        } else {
            discard(connection).await;
        }
    }

    fn set_ailing(&self, ailing: bool) {
        self.ailing.store(ailing, Ordering::Relaxed);
    }
}

fn answer_all(batch: Vec<Box<dyn Job>>, fate: Result<(), StoreError>) {
    match fate {
        Ok(()) => batch.into_iter().for_each(|job| job.answer(Ok(()))),
        Err(error) => batch.into_iter().for_each(|job| job.answer(Err(error.again()))),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use jiff::Timestamp;
    use serde_json::Value;
    use sqlx::{Connection as _, Executor as _};

    use super::*;
    use crate::ids::{PersonId, TenantId};
    use crate::model::operation::Lane;
    use crate::model::person::Person;
    use crate::store::{Condition, Store};

    struct Bench {
        store: Store,
        clock: Clock,
        file: SqliteFile,
        _folder: tempfile::TempDir,
    }

    async fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let path = folder.path().join("bridge.db");
        let path = path.to_str().unwrap();
        let store = Store::open(&format!("sqlite://{path}"), clock.clone()).await.unwrap();
        Bench { store, clock, file: SqliteFile::at(path).unwrap(), _folder: folder }
    }

    impl Bench {
        fn person(&self, title: &str) -> Person {
            let id = PersonId::new(&self.clock);
            Person {
                tenant: TenantId::default_tenant(),
                id,
                user_name: id.to_string(),
                external_id: None,
                address: None,
                active: true,
                deleted_at: None,
                version: 1,
                created_at: self.clock.now(),
                modified_at: self.clock.now(),
                attributes: [("title".to_owned(), Value::from(title))].into_iter().collect(),
            }
        }

        /// Adds a person, after the given words to the database.
        async fn insert(&self, first: Option<&'static str>, person: Person) -> Result<(), StoreError> {
            self.store
                .write(move |tx| {
                    let person = person.clone();
                    Box::pin(async move {
                        if let Some(first) = first {
                            tx.fetch_all(sql(first)).await?;
                        }
                        tx.insert_person(&person, Lane::Invite).await
                    })
                })
                .await
        }

        async fn people(&self) -> i64 {
            let mut reader = self.store.reader().await.unwrap();
            reader.count_people(&TenantId::default_tenant(), &Condition::All).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_lock_held_too_long_is_unavailable_and_then_over() {
        let bench = bench().await;
        bench.insert(Some("PRAGMA busy_timeout = 1"), bench.person("before")).await.unwrap();
        let mut holder = bench.file.connect().await.unwrap();
        holder.execute("BEGIN IMMEDIATE").await.unwrap();
        let refused = bench.insert(None, bench.person("meanwhile")).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(bench.people().await, 1);
        holder.execute("ROLLBACK").await.unwrap();
        bench.store.health().await.unwrap();
        bench.insert(None, bench.person("after")).await.unwrap();
        assert_eq!(bench.people().await, 2);
        holder.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_and_loses_nothing() {
        const FULL: &str = "PRAGMA max_page_count = 1";
        let bench = bench().await;
        bench.insert(None, bench.person("before")).await.unwrap();
        let long = "x".repeat(1 << 20);
        let writes = (0..16).map(|number| {
            let is_too_much = number % 4 == 3;
            let title = if is_too_much { &long } else { "short" };
            bench.insert(is_too_much.then_some(FULL), bench.person(title))
        });
        for (number, result) in join_all(writes).await.into_iter().enumerate() {
            let refused = matches!(result, Err(StoreError::Unavailable(_)));
            assert_eq!((refused, result.is_ok()), (number % 4 == 3, number % 4 != 3), "{number}: {result:?}");
        }
        assert_eq!(bench.people().await, 13);
        bench.store.health().await.unwrap();
        bench.insert(None, bench.person(&long)).await.unwrap();
        assert_eq!(bench.people().await, 14);
    }

    #[tokio::test]
    async fn a_refusal_before_the_first_change_does_not_take_the_batch_back() {
        let bench = bench().await;
        let taken = bench.person("taken");
        bench.insert(None, taken.clone()).await.unwrap();
        let runs = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let good = {
            let (runs, person) = (Arc::clone(&runs), bench.person("good"));
            bench.store.write::<(), StoreError>(move |tx| {
                runs.fetch_add(1, Ordering::Relaxed);
                let person = person.clone();
                Box::pin(async move { tx.insert_person(&person, Lane::Invite).await })
            })
        };
        // The first occupies the writer, so that the next two share a batch.
        let (first, good, bad) =
            tokio::join!(bench.insert(None, bench.person("first")), good, bench.insert(None, taken));
        assert!(first.is_ok() && good.is_ok() && matches!(bad, Err(StoreError::Taken)));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
