//! Fetching an issuer's documents: only from where the settings say, and never from inside the network unless they
//! say that too.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::StatusCode;
use http::header::ACCEPT;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;
use url::{Host, Url};

use crate::tls;

/// How long an issuer may take altogether.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest document that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address may not be asked.
    #[error("{0} is not an https address of a public host")]
    Forbidden(String),
    /// No answer.
    #[error("there is no answer")]
    Unreachable(#[source] reqwest::Error),
    /// Another answer than 200; redirects are not followed.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// An answer that cannot be used.
    #[error("{0}")]
    Unusable(&'static str),
    /// The client cannot be made.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Fetches documents.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    http: reqwest::Client,
    allow_private: bool,
}

impl Fetcher {
    /// With `allow_private`, hosts of the own network may be asked, and this machine in clear.
    pub(super) fn new(allow_private: bool) -> Result<Self, FetchError> {
        let builder = tls::client(tls::verifying().map_err(FetchError::Tls)?).timeout(ANSWER);
        let builder = if allow_private { builder } else { builder.dns_resolver(PublicOnly) };
        Ok(Self { http: builder.build().map_err(FetchError::Unreachable)?, allow_private })
    }

    /// The JSON document at `url`.
    pub(super) async fn json(&self, url: &Url) -> Result<Value, FetchError> {
        if !may_be_asked(url, self.allow_private) {
            return Err(FetchError::Forbidden(url.to_string()));
        }
        let request = self.http.get(url.clone()).header(ACCEPT, "application/json");
        let mut response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len().saturating_add(chunk.len()) > MAX_BYTES {
                return Err(FetchError::Unusable("the document is larger than 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_not_json| FetchError::Unusable("the document is not JSON"))
    }
}

fn unreachable(error: reqwest::Error) -> FetchError {
    FetchError::Unreachable(error.without_url())
}

/// Whether an address may be asked as far as its text tells; names are looked at again when they are resolved.
fn may_be_asked(url: &Url, allow_private: bool) -> bool {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => None,
        None => return false,
    };
    match url.scheme() {
        "https" => allow_private || ip.is_none_or(is_public),
        "http" => allow_private && ip.is_some_and(|ip| ip.is_loopback()),
        _ => false,
    }
}

/// Whether an address is one of the public Internet (RFC 6890, and the registries that it names).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let is_special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                // Carrier-grade NAT, protocol assignments and benchmarks.
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19));
            !is_special
        }
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // An IPv4 address in other clothes, also behind a translator (RFC 6052) or 6to4 (RFC 3056), is judged as
        // itself.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => {
            let ([first, second], [third, fourth]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public(IpAddr::from([first, second, third, fourth]))
        }
        // Documentation; Teredo, benchmarks, ORCHID and the rest of the protocol assignments.
        [0x2001, 0xdb8 | 0..=0x1ff, ..] => false,
        // Global unicast is all that is given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// Resolves names to public addresses alone, so that a name cannot point inside.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(io::Error::other("the name has no public address").into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_told_from_public_ones() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for public in
            ["8.8.8.8", "20.190.128.1", "100.63.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn only_https_to_public_hosts_is_asked_unless_the_settings_allow_more() {
        let check = |text: &str, by_default: bool, allowed: bool| {
            let url: Url = text.parse().unwrap();
            assert_eq!(
                (may_be_asked(&url, false), may_be_asked(&url, true)),
                (by_default, allowed),
                "{text}"
            );
        };
        check("https://idp.example.com/jwks", true, true);
        check("https://10.0.0.1/jwks", false, true);
        check("https://[::1]/jwks", false, true);
        check("https://2130706433/jwks", false, true);
        check("http://127.0.0.1:9/jwks", false, true);
        check("http://10.0.0.1/jwks", false, false);
        check("http://idp.example.com/jwks", false, false);
        check("file:///etc/passwd", false, false);
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_resolved() {
        let fetched = Fetcher::new(false).unwrap().json(&"https://localhost:1/".parse().unwrap()).await;
        assert!(matches!(fetched, Err(FetchError::Unreachable(_))), "{fetched:?}");
        assert!(PublicOnly.resolve("localhost".parse().unwrap()).await.is_err());
    }
}
