//! The SQLite file: where it is, who may use it, and whether it is sound.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _, Row as _};
use url::Url;

use super::StoreError;
use super::error::classify;
use super::migrate;
use super::session::sql;
use crate::files::{self, private};

/// Marks a file as ours (`PRAGMA application_id`): "SCIM" in ASCII.
const APPLICATION_ID: i64 = 0x5343_494d;

/// Full synchronisation makes a commit durable before it is answered; the log is kept from growing for ever.
const SETTINGS: &str = "PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA journal_size_limit = 67108864;";

/// How often, and how long apart, a process asks whether it is its turn to open the file.
const TURN_TRIES: u32 = 500;
const TURN_PAUSE: Duration = Duration::from_millis(20);

/// A database file.
#[derive(Debug, Clone)]
pub(super) struct SqliteFile {
    path: PathBuf,
    options: AnyConnectOptions,
}

/// Held while this process serves the file, or opens it; the operating system lets go of it however the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing alone would not do: a child process that is being started holds a copy of the open file for a moment.
    fn drop(&mut self) {
        let _unlocked = self.file.unlock().is_ok();
    }
}

impl SqliteFile {
    /// The file at `path`, which is taken literally.
    pub(super) fn at(path: &str) -> Result<Self, StoreError> {
        if path.is_empty() || path.contains([':', '?', '\0']) {
            return Err(StoreError::Unusable(
                "the database URL must name a file, as in sqlite://scim-bridge.db or sqlite:///var/lib/bridge.db"
                    .to_owned(),
            ));
        }
        let path = std::path::absolute(path)
            .map_err(|error| unusable(Path::new(path), "cannot be found", &error))?;
        let invalid = || StoreError::Unusable(format!("{} is not a usable path", path.display()));
        let url = Url::from_file_path(&path).map_err(|()| invalid())?;
        let url = Url::parse(&format!("sqlite://{}", url.path())).map_err(|_malformed| invalid())?;
        let options = AnyConnectOptions::from_url(&url).map_err(|_malformed| invalid())?;
        Ok(Self { path, options: options.disable_statement_logging() })
    }

    /// Makes the file usable and connects to it for writing.
    pub(super) async fn open(&self, serve: bool) -> Result<(AnyConnection, Option<Lock>), StoreError> {
        self.create()?;
        // Who opens the file takes turns with others who do, so that nobody finds it half made.
        let turn = self.turn().await?;
        let lock = self.lock("lock")?;
        if serve && lock.is_none() {
            return Err(StoreError::Unusable(format!(
                "{} is already served by another scim-bridge process{}; stop that one first, or give this one its \
                 own database",
                self.path.display(),
                self.holder().map(|pid| format!(" ({pid})")).unwrap_or_default(),
            )));
        }
        let mut connection = self.options.connect().await.map_err(|error| self.explain(error))?;
        self.check(&mut connection, serve).await?;
        connection.execute(SETTINGS).await.map_err(|error| classify(error).0)?;
        if lock.is_some() {
            migrate::sqlite(&mut connection).await?;
        } else {
            migrate::check_is_current(&mut connection).await?;
        }
        let lock = lock.filter(|_| serve);
        drop(turn);
        Ok((connection, lock))
    }

    /// One more connection for writing.
    pub(super) async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let mut connection = self.options.connect().await.map_err(|error| classify(error).0)?;
        connection.execute(SETTINGS).await.map_err(|error| classify(error).0)?;
        Ok(connection)
    }

    /// A connection that can only read.
    pub(super) async fn connect_to_read(&self) -> Result<AnyConnection, StoreError> {
        let mut connection = self.connect().await?;
        connection.execute("PRAGMA query_only = ON").await.map_err(|error| classify(error).0)?;
        Ok(connection)
    }

    /// Creates the file and its folder for the owner's eyes only; SQLite gives its side files the same mode.
    fn create(&self) -> Result<(), StoreError> {
        if let Some(folder) = self.path.parent() {
            files::make_folder(folder).map_err(|error| unusable(folder, "cannot be created", &error))?;
        }
        match private(OpenOptions::new().write(true).create_new(true)).open(&self.path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(unusable(&self.path, "cannot be created", &error)),
        }
    }

    /// Waits until nobody else is opening the file.
    async fn turn(&self) -> Result<Lock, StoreError> {
        for _ in 0..TURN_TRIES {
            if let Some(turn) = self.lock("setup")? {
                return Ok(turn);
            }
            tokio::time::sleep(TURN_PAUSE).await;
        }
        let message = "another process has been opening the database for too long".to_owned();
        Err(StoreError::Unavailable(sqlx::Error::Protocol(message)))
    }

    /// A lock in a file beside the database, unless somebody holds it.
    fn lock(&self, name: &str) -> Result<Option<Lock>, StoreError> {
        let path = self.beside(name);
        let cannot = |error: &io::Error| unusable(&path, "cannot be locked", error);
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(|error| cannot(&error))?;
        match file.try_lock() {
            Ok(()) => {
                // The number is a courtesy for messages; the lock does not depend on it.
                let noted = file.set_len(0).and_then(|()| file.rewind());
                let _noted = noted.and_then(|()| write!(file, "{}", std::process::id())).is_ok();
                Ok(Some(Lock { file }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(cannot(&error)),
        }
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(name);
        path.into()
    }

    fn holder(&self) -> Option<u32> {
        let mut text = String::new();
        File::open(self.beside("lock")).ok()?.take(16).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// Refuses what is not ours or is damaged, before anything is written to it.
    async fn check(&self, connection: &mut AnyConnection, thorough: bool) -> Result<(), StoreError> {
        let id = self.ask(connection, "PRAGMA application_id").await?;
        let tables = self.ask(connection, "SELECT COUNT(*) FROM sqlite_master").await?;
        if tables == 0 && id != APPLICATION_ID {
            // "SCIM", as in APPLICATION_ID: a pragma takes no parameter.
            connection
                .execute("PRAGMA application_id = 1396918605")
                .await
                .map_err(|error| self.explain(error))?;
        } else if id != APPLICATION_ID {
            return Err(StoreError::Unusable(format!(
                "{} is a database of another program; give scim-bridge a file of its own",
                self.path.display()
            )));
        }
        if thorough {
            let findings = sql("PRAGMA quick_check(1)")
                .fetch_one(&mut *connection)
                .await
                .map_err(|error| self.explain(error))?;
            let finding: String = findings.try_get(0).map_err(StoreError::broken)?;
            if finding != "ok" {
                return Err(self.damaged(&finding));
            }
        }
        Ok(())
    }

    async fn ask(&self, connection: &mut AnyConnection, question: &'static str) -> Result<i64, StoreError> {
        let row = sql(question).fetch_one(connection).await.map_err(|error| self.explain(error))?;
        row.try_get(0).map_err(StoreError::broken)
    }

    /// What a failure of the first statements means for the administrator.
    fn explain(&self, error: sqlx::Error) -> StoreError {
        const CORRUPT: &str = "11";
        const NOT_A_DATABASE: &str = "26";
        let code = error.as_database_error().and_then(|answer| answer.code().map(Cow::into_owned));
        match code.as_deref() {
            Some(NOT_A_DATABASE) => StoreError::Unusable(format!(
                "{} is not a SQLite database; give scim-bridge a file of its own",
                self.path.display()
            )),
            Some(CORRUPT) => self.damaged(&error.to_string()),
            _ => classify(error).0,
        }
    }

    fn damaged(&self, finding: &str) -> StoreError {
        StoreError::Unusable(format!(
            "the database {} is damaged ({finding}); keep the file for inspection and restore a backup",
            self.path.display()
        ))
    }
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!("{} {what}: {error}", path.display()))
}
