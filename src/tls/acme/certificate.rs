//! The certificate that is served, and those that show an authority that a name is ours (RFC 8737).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use instant_acme::CertificateIdentifier;
use jiff::Timestamp;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::{self, sign::any_supported_type};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What an authority and the program agree on for its question (RFC 8737 §6.2).
pub(super) const CHALLENGE: &[u8] = b"acme-tls/1";

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first instant.
    pub begins: Timestamp,
    /// Its last.
    pub ends: Timestamp,
}

impl Validity {
    /// When another one is asked for: with a third of the time left.
    pub fn renewal(self) -> Timestamp {
        let third = self.ends.duration_since(self.begins) / 3;
        self.ends.checked_sub(third).unwrap_or(self.ends)
    }
}

/// Why a certificate is not served.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The certificate or the key cannot be understood.
    #[error("it is not a certificate with its key in PEM")]
    Unreadable,
    /// They do not go together.
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// It is for somebody else.
    #[error("it is for {}", .0.join(", "))]
    OtherNames(Vec<String>),
}

/// A certificate with its key and its chain.
#[derive(Clone)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    pub(super) validity: Validity,
    /// What its authority calls it (RFC 9773 §4.1).
    pub(super) id: Option<CertificateIdentifier<'static>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads key and chain, the own certificate first. It must be for these names and no others.
    pub(super) fn read(pem: &str, domains: &[String]) -> Result<Self, Unusable> {
        let private =
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_malformed| Unusable::Unreadable)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_malformed| Unusable::Unreadable)?;
        let own = chain.first().ok_or(Unusable::Unreadable)?;
        let id = CertificateIdentifier::try_from(own).ok().map(CertificateIdentifier::into_owned);
        let (_, parsed) = X509Certificate::from_der(own).map_err(|_malformed| Unusable::Unreadable)?;
        let instant = |seconds| Timestamp::from_second(seconds).map_err(|_far_off| Unusable::Unreadable);
        let validity = Validity {
            begins: instant(parsed.validity().not_before.timestamp())?,
            ends: instant(parsed.validity().not_after.timestamp())?,
        };
        let names = names(&parsed);
        if names != domains.iter().cloned().collect() {
            return Err(Unusable::OtherNames(names.into_iter().collect()));
        }
        let key =
            CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(Unusable::Pair)?;
        Ok(Self { key: Arc::new(key), validity, id })
    }
}

fn names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    names
        .map(|name| match name {
            GeneralName::DNSName(name) => name.to_ascii_lowercase(),
            other => other.to_string(),
        })
        .collect()
}

/// What is shown in handshakes. Clients are shown the certificate, if there is one; an authority that asks whether a
/// name is ours is shown the answer, if there is one.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Certificates>);

#[derive(Debug, Default)]
struct Certificates {
    own: Option<Arc<CertifiedKey>>,
    answers: BTreeMap<String, Arc<CertifiedKey>>,
}

impl Shown {
    pub(super) fn serve(&self, certificate: &Certificate) {
        self.lock().own = Some(Arc::clone(&certificate.key));
    }

    /// Answers the authority's question about a name with this digest of the key authorization (RFC 8737 §3).
    pub(super) fn answer(&self, name: &str, digest: &[u8]) -> Result<(), rcgen::Error> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let key =
            any_supported_type(&private.into()).map_err(|_unusable| rcgen::Error::CouldNotParseKeyPair)?;
        // Nothing checks that they go together: the checks know no certificate with this extension, which is critical.
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        self.lock().answers.insert(name.to_owned(), Arc::new(certified));
        Ok(())
    }

    /// Answers no question any more.
    pub(super) fn fall_silent(&self) {
        self.lock().answers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Certificates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks = hello
            .alpn()
            .is_some_and(|mut protocols| protocols.next() == Some(CHALLENGE) && protocols.next().is_none());
        let certificates = self.lock();
        if asks {
            certificates.answers.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
        } else {
            certificates.own.clone()
        }
    }
}
