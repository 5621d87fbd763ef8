//! Rotation of the admin key while the program runs: a key in a file is read again when the file changes, and at once
//! when the program is told to (`SIGHUP`).

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Origin, Setting, read_secret};
use crate::ids::TenantId;
use crate::openai::Client;
use crate::provision::handle::Handle;
use secrecy::SecretString;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where a tenant's key is read from, and who uses it.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    tenant: TenantId,
    client: Client,
    engine: Handle,
}

impl Keeper {
    /// A keeper of this key; `None` if it does not come from a file.
    pub(super) fn of(
        key: &Setting<SecretString>,
        tenant: TenantId,
        client: Client,
        engine: Handle,
    ) -> Option<Self> {
        let Origin::SecretFile(path) = &key.origin else { return None };
        Some(Self { path: path.clone(), tenant, client, engine })
    }

    /// Works until `stop` is cancelled. `told` changes when the program is told to read its keys again.
    pub(super) async fn run(self, mut told: watch::Receiver<()>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => self.look(false).await,
                changed = told.changed() => match changed {
                    Ok(()) => self.look(true).await,
                    Err(_) => return,
                },
            }
        }
    }

    async fn look(&self, told: bool) {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read_secret(&path)).await;
        let Ok(read) = read else { return };
        let outcome = read
            .map_err(|error| error.to_string())
            .and_then(|key| self.client.set_key(&key.value).map_err(|error| error.to_string()));
        match outcome {
            Ok(true) => {
                tracing::info!(tenant = %self.tenant, path = %self.path.display(), "the admin key was exchanged");
                self.engine.key_changed(&self.tenant);
            }
            Ok(false) if told => {
                tracing::info!(tenant = %self.tenant, path = %self.path.display(), "the admin key is the same as before");
                self.engine.key_changed(&self.tenant);
            }
            Ok(false) => {}
            // A file that is being written is read whole the next time; the former key stays in use.
            Err(error) if told => {
                tracing::error!(tenant = %self.tenant, error, "the admin key cannot be read again; the former one stays");
            }
            Err(error) => {
                tracing::debug!(tenant = %self.tenant, error, "the admin key cannot be read at the moment");
            }
        }
    }
}
