//! Which client certificates a tenant takes: issued by its authorities, and pinned where it says so.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The authorities of a tenant cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("client_ca_file holds no certificate of an authority that can be used; it must be in PEM")]
pub struct AuthorityError;

/// Judges client certificates.
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
    fingerprints: Vec<[u8; 32]>,
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ClientCertificates {
    /// Those that `authorities` (PEM) issue, bear one of `names` and are one of `fingerprints`; an empty list of
    /// either asks for nothing.
    pub(crate) fn new(
        authorities: &str,
        names: Vec<String>,
        fingerprints: Vec<[u8; 32]>,
    ) -> Result<Self, AuthorityError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            let certificate = certificate.map_err(|_malformed| AuthorityError)?;
            roots.add(certificate).map_err(|_unusable| AuthorityError)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { verifier: verifier.map_err(|_no_roots| AuthorityError)?, names, fingerprints })
    }

    /// Whether this chain, the client's own certificate first, is good at this time.
    pub(crate) fn takes(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((own, between)) = chain.split_first() else { return false };
        let since_1970 = std::time::Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH));
        let now = UnixTime::since_unix_epoch(since_1970.unwrap_or_default());
        self.verifier.verify_client_cert(own, between, now).is_ok()
            && (self.fingerprints.is_empty() || self.fingerprints.contains(&Sha256::digest(own).into()))
            && (self.names.is_empty() || self.bears_a_name(own))
    }

    fn bears_a_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let mut names: Vec<String> = common.map(|name| format!("CN={name}")).collect();
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
                    Some((*name).to_owned())
                }
                _ => None,
            }));
        }
        names.iter().any(|name| self.names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
    }
}
