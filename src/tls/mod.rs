//! TLS, on both sides. [`server`]: HTTPS of our own; `acme`: certificates for it that come by themselves, in a build
//! with the feature of that name; [`client_certificate`]: which of its clients' certificates are good.
//!
//! Here: clients of ours, and whom they trust. The machine's root certificates, or Mozilla's where the machine has none.
//! The machine's come first, so that a company's own authority (an inspecting gateway) is trusted once it is
//! installed there; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured. A bare container image has none at all, and
//! `https://api.openai.com` must work there too.

#[cfg(feature = "acme")]
pub mod acme;
pub mod client_certificate;
pub mod server;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
#[cfg(feature = "acme")]
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, Error, RootCertStore};

/// TLS for a client of `https` addresses. No process-wide default is read or set.
pub(crate) fn verifying() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    with_roots(roots)
}

/// The same, trusting the authorities in this PEM text and nobody else.
#[cfg(feature = "acme")]
fn trusting(authorities: &str) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        let certificate = certificate.map_err(|error| Error::General(error.to_string()))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(Error::General("there is no certificate in it".to_owned()));
    }
    with_roots(roots)
}

/// TLS that trusts nobody, for a client that speaks to a plain `http` address alone.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, Error> {
    with_roots(RootCertStore::empty())
}

/// A client of ours, which says who it is and does what it is told once: it follows no redirects, asks no second time and
/// goes through no proxy.
pub(crate) fn client(tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}
