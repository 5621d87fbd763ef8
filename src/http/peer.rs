//! Who is at the other end of a connection, and behind which proxies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// What it presented in the handshake, its own certificate first; possession is proven and nothing else.
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
    pub(super) is_encrypted: bool,
}

/// Whether one of the networks holds the address.
pub(super) fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The address of the client: the peer's own, or, if that is a trusted proxy, what it says. The list is read from the
/// right, because only what trusted proxies have added can be believed; the first address that is not theirs counts.
pub(super) fn client_address(peer: IpAddr, proxies: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let mut address = peer.to_canonical();
    let values: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    for word in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        if !is_in(proxies, address) {
            break;
        }
        // Beyond a word that is no address nothing is known.
        let Some(before) = parse(word.trim()) else { break };
        address = before;
    }
    address
}

/// An address, perhaps with a port.
fn parse(word: &str) -> Option<IpAddr> {
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    let with_port = || word.parse::<SocketAddr>().map(|socket| socket.ip());
    bare.parse().or_else(|_not_bare| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_are_read_from_the_right_and_from_trusted_proxies_alone() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        let check = |peer: &str, forwarded: &[&str], expected: &str| {
            let headers: HeaderMap =
                forwarded.iter().map(|value| (X_FORWARDED_FOR, value.parse().unwrap())).collect();
            let found = client_address(peer.parse().unwrap(), &proxies, &headers);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        };
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("fd00::1", &["198.51.100.1:5060"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }
}
