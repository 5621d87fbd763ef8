//! The composition root: settings in, running services out, and the order in which they stop.
//!
//! Whoever stops the program loses nothing: answers under way are finished, calls to OpenAI under way are given time
//! to come to an end, and everything else is in the store for the next start.

#[cfg(feature = "acme")]
mod acme;
mod admin_key;
mod board;
mod certificate;
mod fleet;
mod reload;
mod tenants;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Entrance, TenantConfig};
use crate::directory::Directory;
use crate::events::Feed;
use crate::http::{self, Gate, Limits, Readiness};
use crate::ids::TenantId;
use crate::provision::handle::Handle;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::tls::server::ServerTls;
use certificate::Surroundings;
use fleet::Fleet;
use reload::Watch;

pub use certificate::{Kept, kept as kept_certificate};
pub use fleet::client_settings;
pub use reload::Reader;
pub use tenants::settings_of;
pub(crate) use tenants::{Wanted, wanted};

/// How long whoever guesses tokens waits for each further answer.
const GUESSING_PAUSE: Duration = Duration::from_secs(1);
/// How often the high-water mark of the database is moved.
const MARK_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// The running program.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    fleet: Arc<Fleet>,
    tls: Option<ServerTls>,
    config: Config,
    revisions: tenants::Revisions,
    server: JoinHandle<()>,
    tasks: TaskTracker,
    stop_serving: CancellationToken,
    stop_tasks: CancellationToken,
}

impl App {
    /// Starts everything: an engine for each tenant, and the listener.
    pub async fn start(
        config: &Config,
        listener: TcpListener,
        store: Store,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let wanted = wanted(config, &store).await?;
        check_keys(wanted.tenants.values())?;
        let address = listener.local_addr()?;
        let entrance = &config.entrance;
        let metrics = Metrics::new();
        let readiness = Readiness::default();
        wanted.report(&readiness);
        let (tasks, stop_tasks) = (TaskTracker::new(), CancellationToken::new());
        let tls = entrance.tls.as_ref().map(|tls| {
            let (clock, metrics, readiness) = (&clock, &metrics, &readiness);
            certificate::open(
                tls,
                &Surroundings { clock, metrics, readiness, tasks: &tasks, stop: &stop_tasks },
            )
        });
        let tls = tls.transpose()?;

        let public_url = match &config.public_url {
            Some(url) => url.value.to_string(),
            None if tls.is_some() => format!("https://{address}"),
            None => format!("http://{address}"),
        };
        let handle = Handle::default();
        let directory = Directory::new(store.clone(), handle.clone(), clock.clone(), [], &public_url)
            .with_lasting_cursors()
            .await?;
        let hang_ups = reload::hang_ups(stop_tasks.clone())?;
        tasks.spawn(keep_high_water(store.clone(), clock.clone(), stop_tasks.clone()));
        let feed = Feed::new(store.clone(), clock.clone());
        let directory = directory.with_feed(feed.clone());
        tasks.spawn(directory.clone().tend_feeds(stop_tasks.clone()));
        let door = Door::new(store.clone(), clock.clone(), &[]);
        tasks.spawn(door.refusals().clone().tend(stop_tasks.clone()));
        let gate = Gate::new(
            clock.clone(),
            entrance.trusted_proxies.clone(),
            entrance.failed_logins_per_minute.value,
        )
        .with_pause(GUESSING_PAUSE);
        let router = http::router(http::State {
            directory: directory.clone(),
            door: door.clone(),
            gate: gate.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            clock: clock.clone(),
        });
        let fleet = Fleet {
            store,
            clock,
            metrics,
            readiness,
            handle,
            directory,
            door,
            gate,
            feed,
            hang_ups,
            public_url: public_url.clone(),
            signing_key: OnceLock::new(),
            served: Mutex::default(),
        };
        for tenant in wanted.tenants.into_values() {
            fleet.start(tenant, config)?;
        }

        let stop_serving = CancellationToken::new();
        let limits = limits(entrance);
        let server = match &tls {
            Some(tls) => {
                tls.ask_for_certificates(fleet.gate.asks_for_certificates());
                let serving = http::serve_tls(listener, router, limits, tls.clone(), stop_serving.clone());
                tokio::spawn(serving)
            }
            None => tokio::spawn(http::serve(listener, router, limits, stop_serving.clone())),
        };
        tracing::info!(%address, public_url, tls = tls.is_some(), version = env!("CARGO_PKG_VERSION"), "serving");
        if tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "listening beyond this machine without TLS, as insecure_http allows: tokens can be read on the way \
                 unless a TLS proxy stands in front and only it reaches this address"
            );
        }
        let (config, revisions) = (config.clone(), wanted.revisions);
        let fleet = Arc::new(fleet);
        Ok(Self { address, fleet, tls, config, revisions, server, tasks, stop_serving, stop_tasks })
    }

    /// Takes up changes of the settings from now on; `read` reads them anew.
    pub fn keep_up(&self, read: Reader) {
        let (fleet, config, tls) = (Arc::clone(&self.fleet), self.config.clone(), self.tls.clone());
        let revisions = self.revisions.clone();
        let told = self.fleet.hang_ups.clone();
        let (began_with, later) = (config.clone(), Vec::new());
        let watch = Watch { fleet, began_with, config, later, read, tls, revisions, told };
        self.tasks.spawn(watch.run(self.stop_tasks.clone()));
    }

    /// Where the program listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the tenant is served.
    pub fn serves(&self, tenant: &TenantId) -> bool {
        self.fleet.directory.serves(tenant)
    }

    /// The SCIM base URL of a tenant, as identity providers are told it.
    pub fn scim_url(&self, tenant: &TenantId) -> String {
        self.fleet.directory.base_url(tenant)
    }

    /// Stops: no new connections, then the answers under way, then the engines, then the store.
    pub async fn stop(self) {
        tracing::info!("stopping: answers under way are finished, the rest is kept for the next start");
        self.stop_serving.cancel();
        self.fleet.feed.close().await;
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the listener broke down");
        }
        self.stop_tasks.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.fleet.drain().await;
        note_high_water(&self.fleet.store).await;
        self.fleet.store.close().await;
        tracing::info!("stopped");
    }
}

/// Moves the high-water mark of the database from time to time.
async fn keep_high_water(store: Store, clock: Clock, stop: CancellationToken) {
    loop {
        note_high_water(&store).await;
        let again = clock.now().checked_add(MARK_EVERY).unwrap_or(Timestamp::MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(again) => {}
        }
    }
}

async fn note_high_water(store: &Store) {
    if let Err(error) = store.keep_high_water().await {
        tracing::debug!(%error, "the high-water mark cannot be moved at the moment");
    }
}

fn limits(entrance: &Entrance) -> Limits {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        connections: size(entrance.max_connections.value),
        per_address: size(entrance.max_connections_per_address.value),
        unlimited: entrance.trusted_proxies.clone(),
        ..Limits::default()
    }
}

/// Checks what the settings alone cannot know to be missing: that every tenant has a key, event feeds theirs, and
/// that nothing is served in clear by mistake.
pub fn check(config: &Config) -> anyhow::Result<()> {
    check_entrance(config)?;
    // The database may have tenants; then nothing is missing.
    if config.wants_default() || config.tenants.len() > 1 || !config.has_database() {
        check_keys(config.tenants.values())?;
    }
    config.signing_key_path()?;
    Ok(())
}

fn check_keys<'t>(tenants: impl IntoIterator<Item = &'t TenantConfig>) -> Result<(), ConfigError> {
    tenants.into_iter().try_for_each(|tenant| tenant.require_admin_key().map(|_key| ()))
}

/// Refuses to serve in clear beyond this machine unless told to, and to ask for certificates where there is no TLS.
fn check_entrance(config: &Config) -> anyhow::Result<()> {
    let Entrance { tls, insecure_http, .. } = &config.entrance;
    let listen = config.listen.value;
    if let Some(tls) = tls {
        return certificate::check(tls);
    }
    if let Some(tenant) = config.tenants.values().find(|tenant| tenant.network.client_certificate.is_some()) {
        bail!(
            "tenant `{}` wants client certificates, which takes HTTPS in the program itself: set tls_certificate_file and \
             tls_key_file or the table [server.acme] under [server], or let the proxy in front ask for them and take client_ca_file out",
            tenant.tenant
        );
    }
    if !listen.ip().is_loopback() && !insecure_http.value {
        bail!(
            "{}: {listen} can be reached from other machines, and tokens would go there in clear. Set \
             tls_certificate_file and tls_key_file under [server] (or SCIM_BRIDGE_TLS_CERTIFICATE_FILE and \
             SCIM_BRIDGE_TLS_KEY_FILE) or the table [server.acme] for HTTPS; or, if only a TLS proxy can reach this address, say so with \
             insecure_http = true (or SCIM_BRIDGE_INSECURE_HTTP=true)",
            config.listen.origin
        );
    }
    Ok(())
}

/// Takes the address, or says why it cannot be had.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!(
                "{address} is in use by another program: stop that one, or choose another address with --listen"
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// Resolves when the program is told to stop: by Ctrl-C, or by the signal that service managers send.
#[cfg(unix)]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves when the program is told to stop by Ctrl-C.
#[cfg(not(unix))]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        let _told = tokio::signal::ctrl_c().await.is_ok();
    })
}
