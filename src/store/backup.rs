//! A copy of the database while it is in use.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::error::classify;
use super::session::{discard, sql};
use super::{Database, Store, StoreError};
use crate::files::private;

impl Store {
    /// Writes a complete, consistent copy of a SQLite database to a new file, while reads and writes go on.
    ///
    /// # Errors
    ///
    /// `Unusable` when the file exists already, cannot be written, or the database is PostgreSQL, which has tools of
    /// its own for this.
    pub async fn backup_to(&self, path: &Path) -> Result<(), StoreError> {
        let Database::Sqlite { file, .. } = &self.0.database else {
            return Err(StoreError::Unusable(
                "a PostgreSQL database is backed up with its own tools: pg_dump for one copy, or continuous \
                 archiving"
                    .to_owned(),
            ));
        };
        let target = path.to_str().ok_or_else(|| unusable(path, "is not a usable path"))?;
        // SQLite fills an empty file; making it here settles who may read it and that nothing is overwritten.
        private(OpenOptions::new().write(true).create_new(true)).open(path).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AlreadyExists => unusable(path, "exists already; choose another name"),
                _ => unusable(path, &format!("cannot be created: {error}")),
            }
        })?;
        let mut connection = file.connect().await?;
        let copied = sql("VACUUM INTO $1").bind(target).execute(&mut connection).await;
        discard(connection).await;
        let flushed = match copied {
            Ok(_) => flush(path).map_err(|error| unusable(path, &format!("cannot be flushed: {error}"))),
            Err(error) => Err(classify(error).0),
        };
        if flushed.is_err() {
            // Half a copy must not be mistaken for a whole one.
            let _removed = fs::remove_file(path).is_ok();
        }
        flushed
    }
}

fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn unusable(path: &Path, what: &str) -> StoreError {
    StoreError::Unusable(format!("{} {what}", path.display()))
}
