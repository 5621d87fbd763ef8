//! What HTTPS is served with, wherever the certificate comes from.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[cfg(feature = "acme")]
use super::acme;
use crate::clock::Clock;
use crate::config::{Acme, Setting, Tls, TlsFiles};
use crate::http::Readiness;
use crate::telemetry::Metrics;
use crate::tls::server::{ServerTls, valid_until};

/// What keeping a certificate needs, and where it tells how it does.
#[cfg_attr(not(feature = "acme"), expect(dead_code, reason = "certificates from files need little"))]
pub(super) struct Surroundings<'a> {
    pub(super) clock: &'a Clock,
    pub(super) metrics: &'a Metrics,
    pub(super) readiness: &'a Readiness,
    pub(super) tasks: &'a TaskTracker,
    pub(super) stop: &'a CancellationToken,
}

/// A certificate that came by itself.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// When it ends.
    pub ends: Timestamp,
    /// When another one is asked for.
    pub renewal: Timestamp,
}

/// Checks what can be checked beforehand; changes nothing.
pub(super) fn check(tls: &Tls) -> anyhow::Result<()> {
    match tls {
        Tls::Files(files) => load(files).map(drop),
        Tls::Acme(settings) => acme::check(settings),
    }
}

/// What to serve with. What has to run for it runs from now on.
pub(super) fn open(tls: &Tls, surroundings: &Surroundings<'_>) -> anyhow::Result<ServerTls> {
    match tls {
        Tls::Files(files) => {
            let tls = load(files)?;
            tell_end(files, surroundings.metrics);
            Ok(tls)
        }
        Tls::Acme(settings) => acme::open(settings, surroundings),
    }
}

/// The certificate that was got by these settings, if there is one.
pub fn kept(settings: &Setting<Acme>) -> anyhow::Result<Option<Kept>> {
    acme::kept(settings)
}

fn load(files: &TlsFiles) -> anyhow::Result<ServerTls> {
    Ok(ServerTls::load(&files.certificate.value, &files.key.value)?)
}

/// Tells when the certificate in a file ends.
pub(super) fn tell_end(files: &TlsFiles, metrics: &Metrics) {
    if let Some(end) = valid_until(&files.certificate.value) {
        metrics.set_certificate_end("files", end.as_second());
    }
}

/// A build that knows of no authorities.
#[cfg(not(feature = "acme"))]
mod acme {
    use anyhow::anyhow;

    use super::{Acme, Kept, ServerTls, Setting, Surroundings};

    pub(super) fn check(settings: &Setting<Acme>) -> anyhow::Result<()> {
        Err(left_out(settings))
    }

    pub(super) fn open(settings: &Setting<Acme>, _: &Surroundings<'_>) -> anyhow::Result<ServerTls> {
        Err(left_out(settings))
    }

    pub(super) fn kept(settings: &Setting<Acme>) -> anyhow::Result<Option<Kept>> {
        Err(left_out(settings))
    }

    fn left_out(settings: &Setting<Acme>) -> anyhow::Error {
        anyhow!(
            "{}: this program was built without ACME: build it with `cargo build --release --features acme` or take the container \
             image, which has it; or set tls_certificate_file and tls_key_file under [server] instead of [server.acme]",
            settings.origin
        )
    }
}
