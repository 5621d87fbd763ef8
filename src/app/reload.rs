//! Keeping up with settings that change while the program runs: tenants in the database and in files, certificates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;
use super::{certificate, tenants};
use crate::config::{Config, ConfigError, Tls};
use crate::tls::server::ServerTls;

/// How often the database and the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How the settings are read anew.
pub type Reader = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Watches what the settings are made of.
pub(super) struct Watch {
    pub(super) fleet: Arc<Fleet>,
    /// The settings that the program was started with.
    pub(super) began_with: Config,
    /// Those that it goes by now.
    pub(super) config: Config,
    /// What of them waits for the next start.
    pub(super) later: Vec<&'static str>,
    pub(super) read: Reader,
    pub(super) tls: Option<ServerTls>,
    pub(super) revisions: tenants::Revisions,
    /// Changes when the program is told to read everything anew.
    pub(super) told: watch::Receiver<()>,
}

impl Watch {
    /// Takes up changes until it is told to stop: of the database and of files by itself, of everything that can
    /// change at SIGHUP. Settings with a mistake change nothing.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut files = stamps(&self.config);
        loop {
            let is_told = tokio::select! {
                changed = self.told.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = stop.cancelled() => return,
            };
            let now = stamps(&self.config);
            if is_told || now != files {
                self.read_anew();
                files = stamps(&self.config);
                self.take_up(true).await;
            } else {
                self.take_up(false).await;
            }
        }
    }

    fn read_anew(&mut self) {
        match (self.read)() {
            Ok(config) => {
                self.config = config;
                tracing::info!("the settings were read anew");
                let later = self.began_with.differs_for_the_next_start(&self.config);
                if !later.is_empty() && later != self.later {
                    tracing::warn!(
                        "restart the program for what it takes up at its start alone: {}",
                        later.join(", ")
                    );
                }
                self.later = later;
            }
            Err(error) => {
                tracing::error!("the settings have a mistake, so the present ones stay: {error:#}");
            }
        }
        if let (Some(tls), Some(Tls::Files(_)), Some(Tls::Files(files))) =
            (&self.tls, &self.began_with.entrance.tls, &self.config.entrance.tls)
        {
            match tls.reload(&files.certificate.value, &files.key.value) {
                Ok(()) => {
                    certificate::tell_end(files, &self.fleet.metrics);
                    tracing::info!("the certificate was read anew");
                }
                Err(error) => {
                    tracing::error!("the certificate cannot be used, so the present one stays: {error:#}");
                }
            }
        }
    }

    /// Takes up what the database says of tenants, and with `all` what the settings say.
    async fn take_up(&mut self, all: bool) {
        match tenants::wanted(&self.config, &self.fleet.store).await {
            Ok(wanted) if all || wanted.revisions != self.revisions => {
                wanted.report(&self.fleet.readiness);
                self.revisions = wanted.revisions;
                self.fleet.apply(wanted.tenants, &self.config).await;
                if let Some(tls) = &self.tls {
                    tls.ask_for_certificates(self.fleet.gate.asks_for_certificates());
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!("the tenants in the database cannot be read at the moment: {error:#}");
            }
        }
    }
}

/// When the files last changed that settings are in, as far as they are watched.
fn stamps(config: &Config) -> BTreeMap<String, Option<(SystemTime, u64)>> {
    let stamp = |path: &Path| {
        let about = path.metadata().ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    let mut paths = Vec::new();
    if let Some(Tls::Files(tls)) = &config.entrance.tls {
        paths.extend([tls.certificate.value.clone(), tls.key.value.clone()]);
    }
    if let Some(folder) = &config.tenants_dir {
        let entries = std::fs::read_dir(&folder.value);
        paths.extend(entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())));
    }
    paths.into_iter().map(|path| (path.display().to_string(), stamp(&path))).collect()
}

/// Changes whenever the program is told to read its settings and keys again (SIGHUP).
#[cfg(unix)]
pub(super) fn hang_ups(stop: CancellationToken) -> std::io::Result<watch::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_up = signal(SignalKind::hangup())?;
    let (sender, receiver) = watch::channel(());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                told = hang_up.recv() => match told {
                    Some(()) => sender.send_replace(()),
                    None => return,
                },
            }
        }
    });
    Ok(receiver)
}

/// There is no such signal here: the file alone tells.
#[cfg(not(unix))]
pub(super) fn hang_ups(stop: CancellationToken) -> std::io::Result<watch::Receiver<()>> {
    let (sender, receiver) = watch::channel(());
    tokio::spawn(async move {
        stop.cancelled().await;
        drop(sender);
    });
    Ok(receiver)
}
