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
    /// Where the server's write-ahead log stood when [`Self::watched`] was called.
    since: Option<String>,
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
        Self { url, clock: clock(), secrets: Mutex::default(), folder: Some(folder), since: None }
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
            since: None,
        })
    }

    /// From now on everything the database writes can be read, see [`Self::written`]: a PostgreSQL server logs every
    /// statement with its parameters. Only an account that may read the server's files can have that.
    pub(crate) async fn watched(mut self) -> Self {
        if self.folder.is_none() {
            let mut server = PgConnection::connect(&self.url).await.unwrap();
            let superuser = sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
            if superuser.fetch_one(&mut server).await.unwrap() {
                let now = sqlx::query_scalar("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
                self.since = Some(now.fetch_one(&mut server).await.unwrap());
                self.url.push_str("&options[log_statement]=all");
            } else {
                let mut stderr = std::io::stderr();
                writeln!(stderr, "\n*** {SERVER} is no superuser: THE SERVER'S FILES ARE NOT SEARCHED ***\n")
                    .unwrap();
            }
        }
        self
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

    /// Everything that was written, what is deleted since included: the files of a SQLite database; of the other, if it
    /// is [`Self::watched`], the files of all its tables, the write-ahead log and the server's log.
    pub(crate) async fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut written = self.stored().await;
        if let Some(since) = &self.since {
            written.extend(server_files(&self.url, since).await);
        }
        written
    }

    /// How the names of the places begin that [`Self::written`] tells, and each of which shows what was stored.
    pub(crate) fn kinds_of_places(&self) -> &'static [&'static str] {
        match (&self.folder, &self.since) {
            (Some(_), _) => &["the database "],
            (None, None) => &["the table "],
            (None, Some(_)) => &[
                "the table ",
                "the server's file base/",
                "the server's file pg_wal/",
                "the server's file log/",
            ],
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

/// What the server has on its disk: of this schema the tables, of everybody the logs, one of them `since` this segment.
async fn server_files(url: &str, since: &str) -> Vec<(String, Vec<u8>)> {
    let mut server = PgConnection::connect(url).await.unwrap();
    // First, because a checkpoint lets go of the write-ahead log.
    let mut files = read_files(
        &mut server,
        "SELECT 'pg_wal/' || name FROM pg_ls_waldir()
         WHERE name >= $1 AND name <= pg_walfile_name(pg_current_wal_insert_lsn()) ORDER BY name",
        since,
    )
    .await;
    assert!(!files.is_empty(), "the write-ahead log since {since}");
    server.execute("CHECKPOINT").await.unwrap();
    let tables = "SELECT pg_relation_filepath(own.oid) FROM pg_class own LEFT JOIN pg_class main ON own.oid = main.reltoastrelid
         WHERE $1 IN (own.relnamespace::regnamespace::text, main.relnamespace::regnamespace::text)
           AND pg_relation_filepath(own.oid) IS NOT NULL";
    let schema = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut server);
    let schema: String = schema.await.unwrap();
    files.extend(read_files(&mut server, tables, &schema).await);
    let log = read_files(&mut server, "SELECT pg_current_logfile() WHERE $1 <> ''", since).await;
    assert!(!log.is_empty(), "the server writes a log, into a file of its own");
    files.extend(log);
    files
}

/// The files that a query names.
async fn read_files(
    server: &mut PgConnection,
    query: &'static str,
    parameter: &str,
) -> Vec<(String, Vec<u8>)> {
    let names: Vec<String> = sqlx::query_scalar(query).bind(parameter).fetch_all(&mut *server).await.unwrap();
    let mut files = Vec::new();
    for name in names {
        let bytes = sqlx::query_scalar("SELECT pg_read_binary_file($1)").bind(&name);
        let bytes: Vec<u8> = bytes.fetch_one(&mut *server).await.unwrap();
        files.push((format!("the server's file {name}"), bytes));
    }
    files
}

fn clock() -> Clock {
    Clock::manual("2026-01-01T00:00:00Z".parse().unwrap())
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "which databases to test on is the caller's word")]
    std::env::var(name).ok()
}
