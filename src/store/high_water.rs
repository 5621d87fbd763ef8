//! The high-water mark: how far the trail of a SQLite database had come, kept in a file beside it.
//!
//! A backup that is put back knows less than the program did before: people who left since would come back, and what
//! was counted would be forgotten. The file says so, because it is not part of the backup. An older database is used
//! all the same, but no change is made upstream until an administrator has looked.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::row::Row;
use super::session::sql;
use super::{Database, Reader, Store, StoreError};
use crate::files::private;
use crate::model::hold::{Brake, BrakeCause};

impl Store {
    /// Puts the brake on for all tenants if the database is older than its mark.
    pub(super) async fn check_high_water(&self) -> Result<(), StoreError> {
        let Some(path) = self.mark() else { return Ok(()) };
        let Some(mark) = read(&path) else { return Ok(()) };
        let present = self.reader().await?.trail_length().await?;
        if present >= mark {
            return Ok(());
        }
        let brake = Brake {
            cause: BrakeCause::Restored,
            reason: format!(
                "the database is older than what was last seen of it ({present} of {mark} entries of its trail): a \
                 backup was put back, or a file was exchanged"
            ),
            by: "store".to_owned(),
            at: self.0.clock.now(),
        };
        tracing::error!("{}; nothing is changed upstream until `scim-bridge resume`", brake.reason);
        self.write::<_, StoreError>(move |tx| {
            let brake = brake.clone();
            Box::pin(async move { tx.put_brake(None, &brake).await })
        })
        .await
    }

    /// Moves the mark up to where the database is. Only what is durable is marked.
    pub async fn keep_high_water(&self) -> Result<(), StoreError> {
        let Some(path) = self.mark() else { return Ok(()) };
        let present = self.reader().await?.trail_length().await?;
        if read(&path) == Some(present) {
            return Ok(());
        }
        if let Err(error) = write(&path, present) {
            tracing::warn!(%error, "the high-water mark {} cannot be written", path.display());
        }
        Ok(())
    }

    fn mark(&self) -> Option<PathBuf> {
        match &self.0.database {
            Database::Sqlite { file, .. } => Some(file.beside("mark")),
            // The server's own continuous archiving knows which time it was put back to.
            Database::Postgres { .. } => None,
        }
    }
}

impl Reader {
    /// How many entries the trails of all tenants have.
    async fn trail_length(&mut self) -> Result<i64, StoreError> {
        let (mut sum, mut last) = (0_i64, String::new());
        loop {
            // One tenant after the other, because the end of each trail is found by its index and their sum is not.
            let row = self
                .fetch_one(
                    sql("SELECT next.tenant AS tenant,
                            (SELECT MAX(seq) FROM audit WHERE tenant = next.tenant) AS length
                         FROM (SELECT MIN(tenant) AS tenant FROM audit WHERE tenant > $1) AS next")
                    .bind(last),
                )
                .await?;
            let row = Row(&row);
            let Some(tenant) = row.optional_text("tenant")? else { return Ok(sum) };
            sum = sum.saturating_add(row.optional_int("length")?.unwrap_or_default());
            last = tenant;
        }
    }
}

fn read(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Does not wait for the disk, and uses one draft for ever, because only one process has the database and many are killed.
fn write(path: &Path, mark: i64) -> io::Result<()> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = private(fs::OpenOptions::new().write(true).create(true).truncate(true)).open(&draft)?;
    writeln!(file, "{mark}")?;
    fs::rename(draft, path)
}
