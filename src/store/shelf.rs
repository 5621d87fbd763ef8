//! The reading connections of a SQLite file.
//!
//! A pool of the driver's would ask a connection whether it is alive each time it is given back, which takes as long
//! as a look-up. A file does not hang up, so here it is just put back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::AnyConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;
use super::sqlite::SqliteFile;

/// Reads that may run side by side.
const READERS: usize = 4;

/// How long a caller waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where connections wait for their next reader. Clones share one shelf.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    file: SqliteFile,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<AnyConnection>>,
}

/// A connection that goes back to its shelf when dropped, unless it failed.
pub(super) struct Shelved {
    connection: Option<AnyConnection>,
    shelf: Shelf,
    sound: bool,
    /// Given back last.
    _permit: OwnedSemaphorePermit,
}

impl Shelf {
    /// An empty shelf; connections are made when first needed.
    pub(super) fn new(file: SqliteFile) -> Self {
        let permits = Arc::new(Semaphore::new(READERS));
        Self(Arc::new(Inner { file, permits, idle: Mutex::new(Vec::with_capacity(READERS)) }))
    }

    /// A connection for reading.
    pub(super) async fn take(&self) -> Result<Shelved, StoreError> {
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.permits).acquire_owned())
            .await
            .map_err(|_elapsed| StoreError::Unavailable(sqlx::Error::PoolTimedOut))?
            .map_err(|_closed| StoreError::Unavailable(sqlx::Error::PoolClosed))?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.0.file.connect_to_read().await?,
        };
        Ok(Shelved { connection: Some(connection), shelf: self.clone(), sound: true, _permit: permit })
    }

    /// Refuses further readers and closes the connections, those in use as soon as they come back.
    pub(super) fn close(&self) {
        self.0.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<AnyConnection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelved {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        #[expect(clippy::expect_used, reason = "only the drop takes it away")]
        self.connection.as_mut().expect("a connection until the drop")
    }

    /// Notes that the connection failed and must not be used again.
    pub(super) fn condemn(&mut self) {
        self.sound = false;
    }
}

impl Drop for Shelved {
    fn drop(&mut self) {
        if self.sound && !self.shelf.0.permits.is_closed() {
            self.shelf.idle().extend(self.connection.take());
        }
    }
}
