//! Secrets that all processes of one database share, made by whichever needs one first.

use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError, Tx};

impl Reader {
    /// The secret of this name, if it was made.
    pub async fn secret(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.fetch_optional(sql("SELECT value FROM meta WHERE name = $1").bind(name)).await?;
        row.map(|row| Row(&row).text("value")).transpose()
    }
}

impl Tx {
    /// Keeps `fresh` as the secret of this name unless there is one; tells which it is.
    pub async fn secret_or(&mut self, name: &str, fresh: &str) -> Result<String, StoreError> {
        self.execute(
            sql("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
                .bind(name)
                .bind(fresh),
        )
        .await?;
        Ok(self.secret(name).await?.unwrap_or_else(|| fresh.to_owned()))
    }
}
