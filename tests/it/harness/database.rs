//! A fresh database for each test, on either side.

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::store::{Store, StoreError};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use super::secrets;

/// Names the PostgreSQL server that tests may use: a URL whose user may create schemas.
const SERVER: &str = "SCIM_BRIDGE_TEST_POSTGRES";

/// An empty database and a clock that stands still. At the end none of the secrets that were handed out may be in it.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) clock: Clock,
    secrets: Mutex<Vec<String>>,
    folder: Option<TempDir>,
}

impl Drop for Database {
    fn drop(&mut self) {
        let secrets = self.secrets.lock().unwrap();
        if std::thread::panicking() || secrets.is_empty() {
            return;
        }
        // What is being dropped cannot be awaited.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = || runtime().block_on(self.stored());
        let stored = std::thread::scope(|scope| scope.spawn(read).join().unwrap());
        for (place, bytes) in stored {
            secrets::must_not_be_in(&place, &bytes, &secrets);
        }
    }
}

impl Database {
    /// A SQLite file in a folder that goes away with the test.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("bridge.db").display());
        Self { url, clock: clock(), secrets: Mutex::default(), folder: Some(folder) }
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
            secrets: Mutex::default(),
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
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// A connection past the store, as another program would have it.
    pub(crate) async fn connect(&self) -> AnyConnection {
        connect(&self.url).await
    }

    /// What is stored, byte for byte and each with its place: the files of a SQLite database, all tables of the other.
    pub(crate) async fn stored(&self) -> Vec<(String, Vec<u8>)> {
        match &self.folder {
            Some(folder) => secrets::database_files(folder.path()),
            None => tables(&self.url).await,
        }
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

/// What the server holds in each table of a schema.
async fn tables(url: &str) -> Vec<(String, Vec<u8>)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let names = sqlx::query_scalar("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()");
    let names: Vec<String> = names.fetch_all(&mut connection).await.unwrap();
    let mut tables = Vec::new();
    for name in names {
        let rows =
            connection.copy_out_raw(&format!("COPY \"{name}\" TO STDOUT (FORMAT binary)")).await.unwrap();
        let rows: Vec<Bytes> = rows.try_collect().await.unwrap();
        tables.push((format!("the table {name}"), rows.concat()));
    }
    tables
}

fn clock() -> Clock {
    Clock::manual("2026-01-01T00:00:00Z".parse().unwrap())
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "which databases to test on is the caller's word")]
    std::env::var(name).ok()
}
