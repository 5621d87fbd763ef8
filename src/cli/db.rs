//! `scim-bridge db`: the database as a whole.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use secrecy::ExposeSecret;

use super::{Global, out};
use crate::clock::Clock;
use crate::config::Flags;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create the database or bring it to this version; `serve` does the same at its start
    Migrate,
    /// Write a complete copy of a SQLite database to a new file, also while it is being served
    #[command(after_help = "PostgreSQL has tools of its own for this: pg_dump, or continuous archiving.\n\n\
        Example:\n  scim-bridge db backup /backup/scim-bridge.db")]
    Backup {
        /// The file to write; it must not exist yet
        path: PathBuf,
    },
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let config = global.load(Flags::default())?;
    let label = config.database_label();
    let url = config.database_url.value.expose_secret();
    // A migration needs the database to itself, as a server does.
    let store = match command {
        Command::Migrate => Store::open(url, Clock::system()).await,
        Command::Backup { .. } => Store::open_beside(url, Clock::system()).await,
    };
    let store = store.with_context(|| format!("the database {label} cannot be used"))?;
    match command {
        Command::Migrate => out::note(format!("the database {label} is ready for this version")),
        Command::Backup { path } => {
            store.backup_to(&path).await.context("no backup was made")?;
            out::note(format!("a copy of {label} is in {}", path.display()));
        }
    }
    store.close().await;
    Ok(())
}
