//! What stands before the door besides a token: where a tenant's clients may come from, the certificate that they
//! must present, and how much they may ask.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::bucket::{Buckets, Pace};
use super::peer::{self, Peer};
use crate::clock::Clock;
use crate::config::NetworkRules;
use crate::ids::TenantId;
use crate::roster::Roster;
use crate::tls::client_certificate::{AuthorityError, ClientCertificates};

/// How many who guess are kept waiting at once. Each takes up a connection, of which there must be some left.
const MOST_WAITING: usize = 128;

/// The gates of all tenants. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    tenants: Roster<Arc<Rules>>,
    trusted_proxies: Vec<IpNet>,
    failures: Mutex<Buckets<IpAddr>>,
    pause: Duration,
    waiting: Semaphore,
}

#[derive(Debug)]
struct Rules {
    allow_from: Vec<IpNet>,
    certificates: Option<ClientCertificates>,
    all: Mutex<Buckets<()>>,
    tokens: Mutex<Buckets<String>>,
}

impl Gate {
    /// A gate that lets everybody through to the door, until tenants bring their rules.
    pub fn new(clock: Clock, trusted_proxies: Vec<IpNet>, failed_logins_per_minute: u32) -> Self {
        let failures = Mutex::new(Buckets::new(Pace::per_minute(failed_logins_per_minute)));
        let (pause, waiting) = (Duration::ZERO, Semaphore::new(MOST_WAITING));
        let tenants = Roster::default();
        Self(Arc::new(Inner { clock, tenants, trusted_proxies, failures, pause, waiting }))
    }

    /// The same gate, where whoever was refused too often waits this long for each further answer. Only before it is
    /// shared.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.pause = pause;
        }
        self
    }

    /// Takes the rules of a tenant, in place of earlier ones.
    pub fn take_on(&self, tenant: TenantId, network: &NetworkRules) -> Result<(), AuthorityError> {
        let NetworkRules { allow_from, client_certificate, per_tenant, per_token } = network.clone();
        let certificates = client_certificate
            .map(|rules| ClientCertificates::new(&rules.authorities, rules.names, rules.fingerprints))
            .transpose()?;
        let rules = Rules {
            allow_from,
            certificates,
            all: Mutex::new(Buckets::new(Pace::new(per_tenant))),
            tokens: Mutex::new(Buckets::new(Pace::new(per_token))),
        };
        self.0.tenants.insert(tenant, Arc::new(rules));
        Ok(())
    }

    /// Forgets the rules of a tenant that is not served any more.
    pub fn let_go(&self, tenant: &TenantId) {
        self.0.tenants.remove(tenant);
    }

    /// Whether any tenant wants to see client certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.0.tenants.values().iter().any(|rules| rules.certificates.is_some())
    }

    /// The address of the client that sent a request, if it came over a connection.
    pub(super) fn client_of(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let peer = extensions.get::<Peer>()?;
        Some(peer::client_address(peer.address, &self.0.trusted_proxies, headers))
    }

    /// Whether a request may come to the tenant's door at all.
    ///
    /// # Errors
    /// A word that says why not, for the account of those who were turned away and never for the caller.
    pub(super) fn check(
        &self,
        tenant: &TenantId,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), &'static str> {
        let Some(rules) = self.0.tenants.get(tenant) else { return Ok(()) };
        let now = self.0.clock.now();
        let address = self.client_of(headers, extensions);
        let is_near = rules.allow_from.is_empty()
            || address.is_some_and(|address| peer::is_in(&rules.allow_from, address));
        let is_certified = || {
            let peer = extensions.get::<Peer>();
            rules.certificates.as_ref().is_none_or(|certificates| {
                peer.is_some_and(|peer| certificates.takes(&peer.certificates, now))
            })
        };
        if !is_near {
            Err("address")
        } else if is_certified() {
            Ok(())
        } else {
            Err("certificate")
        }
    }

    /// Counts a request of a caller who was let in.
    ///
    /// # Errors
    /// The seconds to wait, if it is one too many.
    pub(super) fn spend(&self, tenant: &TenantId, token: &str) -> Result<(), i64> {
        let Some(rules) = self.0.tenants.get(tenant) else { return Ok(()) };
        let now = self.0.clock.now();
        rules.tokens.lock().unwrap_or_else(PoisonError::into_inner).take(&token.to_owned(), now)?;
        rules.all.lock().unwrap_or_else(PoisonError::into_inner).take(&(), now)
    }

    /// Counts a refused request of an address.
    ///
    /// # Errors
    /// The seconds to wait, if there were too many.
    pub(super) fn count_failure(&self, address: IpAddr) -> Result<(), i64> {
        let now = self.0.clock.now();
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner).take(&network_of(address), now)
    }

    /// Keeps somebody waiting who guesses, so that a flood comes no faster than it is answered. When too many wait
    /// already, the others go on at once.
    pub(super) async fn keep_waiting(&self) {
        if let Ok(_place) = self.0.waiting.try_acquire() {
            tokio::time::sleep(self.0.pause).await;
        }
    }
}

/// What is counted together: an address, or the /64 that a single client of IPv6 has to itself.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}
