//! A fresh database for each test, on either side.

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::store::{Store, StoreError};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

use super::secrets;

/// Names the PostgreSQL server that tests may use: a URL whose user may create schemas.
const SERVER: &str = "SCIM_BRIDGE_TEST_POSTGRES";

/// An empty database and a clock that stands still.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) clock: Clock,
    // Looked through before the folder goes.
    handed_out: HandedOut,
    folder: Option<TempDir>,
}

/// The secrets that whoever uses a database was given. None of them may be found in it at the end.
#[derive(Debug, Default)]
struct HandedOut {
    folder: Option<PathBuf>,
    secrets: Mutex<Vec<String>>,
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| !std::thread::panicking()) {
            secrets::must_not_be_stored(folder, &self.secrets.lock().unwrap());
        }
    }
}

impl Database {
    /// A SQLite file in a folder that goes away with the test.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("bridge.db").display());
        let handed_out = HandedOut { folder: Some(folder.path().to_owned()), secrets: Mutex::default() };
        Self { url, clock: clock(), handed_out, folder: Some(folder) }
    }

    /// A schema of its own on the test server. Without a server the test is left out, loudly; under `CI=true` it fails.
    pub(crate) async fn postgres() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static LEFT_OUT: Once = Once::new();
        let Some(server) = variable(SERVER) else {
            assert_ne!(variable("CI").as_deref(), Some("true"), "{SERVER} must name a PostgreSQL server");
            LEFT_OUT.call_once(|| {
                let mut stderr = std::io::stderr();
                writeln!(stderr, "\n*** {SERVER} is not set: NOTHING IS TESTED ON POSTGRESQL ***\n").unwrap();
            });
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("test_{}_{number}", std::process::id());
        let mut connection = connect(&server).await;
        let script = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        connection.execute(AssertSqlSafe(script)).await.unwrap();
        connection.close().await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        Some(Self {
            url: format!("{server}{separator}options[search_path]={schema}&application_name={schema}"),
            clock: clock(),
            handed_out: HandedOut::default(),
            folder: None,
        })
    }

    /// The store on this database; again, after it was closed or lost.
    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(&self.url, self.clock.clone()).await
    }

    /// Notes a secret that somebody is given.
    pub(crate) fn hand_out(&self, secret: &str) {
        self.handed_out.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// A connection past the store, as another program would have it.
    pub(crate) async fn connect(&self) -> AnyConnection {
        connect(&self.url).await
    }

    /// The folder of the SQLite file, if it is one.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// The SQLite file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.as_ref().expect("a SQLite database").path().join("bridge.db")
    }
}

/// A connection past the store, to any database.
pub(crate) async fn connect(url: &str) -> AnyConnection {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
    AnyConnectOptions::from_str(url).unwrap().connect().await.unwrap()
}

fn clock() -> Clock {
    Clock::manual("2026-01-01T00:00:00Z".parse().unwrap())
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "which databases to test on is the caller's word")]
    std::env::var(name).ok()
}
