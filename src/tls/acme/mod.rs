//! Certificates by themselves: had from an authority that speaks ACME (RFC 8555), which looks at this program's own
//! port whether a name is ours (RFC 8737), and had anew in good time.
//!
//! [`Keeper`] is what runs; [`certificate`] is what handshakes show, [`authority`] the way to a certificate, [`folder`]
//! what outlasts the program.

mod authority;
mod certificate;
mod folder;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::{Clock, growing_pause};
use crate::telemetry::{chain, redact};
use crate::tls::server::ServerTls;
use authority::{Authority, Refusal};
use certificate::{Certificate, Shown};
use folder::{Folder, FolderError};

pub use certificate::{Unusable, Validity};

/// The first pause after a failure; each further one is twice as long, up to the last. Let's Encrypt takes five
/// failures an hour for each name.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How often the authority is asked whether it wants a certificate replaced before its time, which it does before it
/// revokes it (RFC 9773 §4.3).
const LOOK_EVERY: SignedDuration = SignedDuration::from_hours(6);
/// Characters of what an authority says that are logged.
const LOGGED: usize = 500;

/// How certificates are had.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The names, in lower case.
    pub domains: Vec<String>,
    /// An e-mail address that the authority may write to.
    pub contact: Option<String>,
    /// Where the account and the certificate are kept.
    pub folder: PathBuf,
    /// The directory of the authority.
    pub directory: Url,
    /// Who vouches for the authority's own address, in PEM, if it is nobody that the machine trusts anyway.
    pub roots: Option<String>,
}

/// Certificates cannot be had at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The authorities in `ca_file` cannot be used.
    #[error("ca_file holds no certificate of an authority that can be used; it must be in PEM")]
    Roots(#[source] rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The certificate in service, if there is one.
    pub certificate: Option<Validity>,
    /// How often in a row none could be had.
    pub failures: u32,
    /// When the next one is asked for.
    pub next: Option<Timestamp>,
}

/// Checks what can be checked without asking anybody or changing anything.
pub fn check(settings: &Settings) -> Result<(), SetupError> {
    authority::client(settings).map(drop)
}

/// The certificate that is kept for these settings, if there is one that can be used.
pub fn kept(settings: &Settings) -> Result<Option<Validity>, FolderError> {
    let folder = Folder::of(&settings.folder, &settings.directory);
    Ok(load(&folder, &settings.domains)?.map(|certificate| certificate.validity))
}

fn load(folder: &Folder, domains: &[String]) -> Result<Option<Certificate>, FolderError> {
    let Some(pem) = folder.certificate()? else { return Ok(None) };
    match Certificate::read(pem.expose_secret(), domains) {
        Ok(certificate) => Ok(Some(certificate)),
        Err(error) => {
            tracing::warn!("the certificate that was kept is not used: {}", chain(&error));
            Ok(None)
        }
    }
}

/// Keeps a certificate in service.
#[derive(Debug)]
pub struct Keeper {
    domains: Vec<String>,
    clock: Clock,
    authority: Authority,
    folder: Folder,
    shown: Arc<Shown>,
    current: Option<Certificate>,
    status: watch::Sender<Status>,
}

impl Keeper {
    /// Takes up what was kept. Handshakes fail until there is a certificate.
    pub fn open(settings: &Settings, clock: Clock) -> Result<(Self, ServerTls), SetupError> {
        let folder = Folder::of(&settings.folder, &settings.directory);
        folder.make()?;
        let authority = Authority::new(settings, folder.clone(), clock.clone())?;
        let shown = Arc::<Shown>::default();
        let tls = ServerTls::resolving(shown.clone(), certificate::CHALLENGE).map_err(SetupError::Tls)?;
        let current = load(&folder, &settings.domains)?;
        if let Some(certificate) = &current {
            shown.serve(certificate);
        }
        let status = Status { certificate: current.as_ref().map(|own| own.validity), ..Status::default() };
        let domains = settings.domains.clone();
        let keeper =
            Self { domains, clock, authority, folder, shown, current, status: watch::Sender::new(status) };
        Ok((keeper, tls))
    }

    /// How it stands, from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Gets certificates until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.keep() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep(mut self) {
        let mut failures = 0;
        let mut next = self.current.as_ref().map_or(self.clock.now(), |own| own.validity.renewal());
        loop {
            let validity = self.current.as_ref().map(|own| own.validity);
            self.status.send_replace(Status { certificate: validity, failures, next: Some(next) });
            let now = self.clock.now();
            if now < next {
                self.clock.sleep_until(next.min(later(now, LOOK_EVERY))).await;
                if failures == 0 && self.clock.now() < next {
                    next = next.min(self.wished_for().await.unwrap_or(next));
                }
                continue;
            }
            match self.renew(failures == 0).await {
                Ok(own) => {
                    tracing::info!(ends = %own.validity.ends, "a new certificate is in service");
                    failures = 0;
                    next = own.validity.renewal().max(later(self.clock.now(), FIRST_PAUSE));
                    self.current = Some(own);
                }
                Err(refusal) => {
                    failures = failures.saturating_add(1);
                    let now = self.clock.now();
                    next = later(now, pause(failures)).max(self.authority.leave_alone_until().unwrap_or(now));
                    self.complain(&refusal, next);
                }
            }
        }
    }

    /// A new certificate, in service and kept.
    async fn renew(&self, may_replace: bool) -> Result<Certificate, Refusal> {
        // An order that replaces a certificate can be made once; who has failed asks for one like anybody else.
        let former = self.current.as_ref().filter(|_| may_replace).and_then(|own| own.id.as_ref());
        let pem = self.authority.certificate(&self.shown, former).await?;
        let own = Certificate::read(pem.expose_secret(), &self.domains)?;
        self.shown.serve(&own);
        if let Err(error) = self.folder.keep_certificate(&pem) {
            tracing::error!("the new certificate is lost at the next start: {}", chain(&error));
        }
        Ok(own)
    }

    /// When the authority wishes the certificate replaced: an instant that is drawn from the window that it names
    /// (RFC 9773 §4.2).
    async fn wished_for(&self) -> Option<Timestamp> {
        let id = self.current.as_ref()?.id.as_ref()?;
        let (start, end) = self.authority.renewal_window(id).await?;
        let length = u64::try_from(end.duration_since(start).as_secs()).ok()?;
        let drawn = u64::from_le_bytes(self.clock.random_bytes()) % length.saturating_add(1);
        Some(later(start, SignedDuration::from_secs(i64::try_from(drawn).ok()?)))
    }

    fn complain(&self, refusal: &Refusal, next: Timestamp) {
        let error = redact::plain(&chain(refusal), LOGGED);
        match self.current.as_ref().map(|own| own.validity.ends) {
            None => tracing::warn!(error, %next, "no certificate could be had, so nobody can connect"),
            Some(ends) if ends <= self.clock.now() => {
                tracing::warn!(error, %next, %ends, "no new certificate could be had, and the present one has ended");
            }
            Some(ends) => {
                tracing::warn!(error, %next, %ends, "no new certificate could be had; the present one stays in service");
            }
        }
    }
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The pause after so many failures in a row.
fn pause(failures: u32) -> SignedDuration {
    growing_pause(FIRST_PAUSE, LONGEST_PAUSE, failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let minutes: Vec<_> = [1, 2, 3, 6, 7, 1_000, u32::MAX].map(|n| pause(n).as_mins()).into();
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
    }
}
