//! The PostgreSQL server: how it is connected to.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Executor as _};

use super::StoreError;
use super::error::classify;
use super::migrate;

/// Connections of one process; several processes share the server.
const CONNECTIONS: u32 = 10;

/// How long a caller waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A commit is durable before it is answered, whatever the server's default; nobody waits for ever.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
    SET lock_timeout = '5s';
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s';";

/// Connects to the server and brings its schema up to date.
pub(super) async fn open(url: &str) -> Result<AnyPool, StoreError> {
    let options = AnyConnectOptions::from_str(url)
        .map_err(|error| StoreError::Unusable(format!("the database URL is not usable: {error}")))?
        .disable_statement_logging();

    // Before the settings, so that waiting for another process's migration is not cut short.
    let mut connection = options.connect().await.map_err(|error| classify(error).0)?;
    let migrated = migrate::postgres(&mut connection).await;
    super::session::discard(connection).await;
    migrated?;

    Ok(AnyPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SETTINGS).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options))
}
