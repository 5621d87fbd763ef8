//! HTTPS in the program itself: a certificate that can be changed while serving, TLS 1.2 and 1.3.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The only protocol that is spoken on connections of clients (RFC 7301).
pub(crate) const HTTP: &[u8] = b"http/1.1";

/// HTTPS cannot be served with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate cannot be read.
    #[error("the certificate {} cannot be read; it must be a PEM file with the certificate and its chain", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// The key cannot be read.
    #[error("the key {} cannot be read; it must be a PEM file with an unencrypted private key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// They do not go together.
    #[error("the certificate {} and the key {} cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// What connections are encrypted with. Clones share it, so that all of them see a change.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<RwLock<Arc<ServerConfig>>>,
    asks: Arc<AtomicBool>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Reads the certificate with its chain and the private key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let asks = Arc::new(AtomicBool::new(false));
        let config = read(certificate, key, Arc::clone(&asks))?;
        Ok(Self { current: Arc::new(RwLock::new(config)), asks })
    }

    /// Reads them again, for the connections from now on. If they cannot be used, the present ones stay.
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        let config = read(certificate, key, Arc::clone(&self.asks))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// With certificates that `resolver` has. `protocol` is agreed on as well, and it is not for requests.
    #[cfg(feature = "acme")]
    pub(super) fn resolving(
        resolver: Arc<dyn ResolvesServerCert>,
        protocol: &[u8],
    ) -> Result<Self, rustls::Error> {
        let asks = Arc::new(AtomicBool::new(false));
        let mut config = serving(resolver, Arc::clone(&asks))?;
        config.alpn_protocols.push(protocol.to_vec());
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(config))), asks })
    }

    /// Whether clients are asked for certificates. Which are good, and who needs one, is decided per tenant.
    pub fn ask_for_certificates(&self, asks: bool) {
        self.asks.store(asks, Ordering::Relaxed);
    }

    /// Takes one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

/// When the certificate in this file ends; `None` if it cannot be understood.
pub fn valid_until(certificate: &Path) -> Option<Timestamp> {
    let certificate = CertificateDer::from_pem_file(certificate).ok()?;
    let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn read(certificate: &Path, key: &Path, asks: Arc<AtomicBool>) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |source| TlsError::Certificate { path: certificate.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unreadable)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(TlsError::Empty(certificate.to_owned()));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
    let config = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())
        .and_then(|own| serving(Arc::new(SingleCertAndKey::from(own)), asks));
    let config = config.map_err(|source| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    Ok(Arc::new(config))
}

fn serving(
    resolver: Arc<dyn ResolvesServerCert>,
    asks: Arc<AtomicBool>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Possession { provider: Arc::clone(&provider), asks });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(config)
}

/// Has a client that presents a certificate prove that it holds the key. Whether the certificate is good depends on
/// the tenant, which is known only once a request has come.
#[derive(Debug)]
struct Possession {
    provider: Arc<CryptoProvider>,
    asks: Arc<AtomicBool>,
}

impl ClientCertVerifier for Possession {
    fn offer_client_auth(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
