//! Secrets that all processes of one database share, made by whichever needs one first.

use super::row::Row;
use super::session::sql;
use super::{Reader, Store, StoreError, Tx};

impl Store {
    /// The secret of this name: 32 hexadecimal digits, the same for everyone who opens the database, ever.
    pub async fn secret(&self, name: &'static str) -> Result<String, StoreError> {
        if let Some(known) = self.reader().await?.secret(name).await? {
            return Ok(known);
        }
        let fresh = format!("{:032x}", u128::from_be_bytes(self.0.clock.random_bytes()));
        let written = self.write(move |tx| {
            let fresh = fresh.clone();
            Box::pin(async move { tx.secret_or(name, fresh).await })
        });
        written.await
    }
}

impl Reader {
    async fn secret(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.fetch_optional(sql("SELECT value FROM meta WHERE name = $1").bind(name)).await?;
        row.map(|row| Row(&row).text("value")).transpose()
    }
}

impl Tx {
    /// Keeps `fresh` unless another process was first; tells whose it is.
    async fn secret_or(&mut self, name: &str, fresh: String) -> Result<String, StoreError> {
        self.execute(
            sql("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
                .bind(name)
                .bind(&fresh),
        )
        .await?;
        Ok(self.secret(name).await?.unwrap_or(fresh))
    }
}
