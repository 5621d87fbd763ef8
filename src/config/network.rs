//! From where, with what and how often the clients of a tenant may come, besides their token.

use std::fs;

use ipnet::IpNet;

use super::file::{Network, Source};
use super::origin::{ConfigError, Setting};
use super::server::networks;
use super::tenant::number;

/// What a tenant's clients must show besides a token, and how much they may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkRules {
    /// Where they may come from; empty is anywhere.
    pub allow_from: Vec<IpNet>,
    /// The certificate that they must present, if they must.
    pub client_certificate: Option<CertificateRules>,
    /// How many requests the whole tenant may send.
    pub per_tenant: Rate,
    /// How many requests may be sent with one token.
    pub per_token: Rate,
}

/// Which client certificates are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRules {
    /// The authorities that issue them, in PEM.
    pub authorities: String,
    /// Names one of which the certificate must bear, as subject (`CN=…`) or as alternative name; empty is any.
    pub names: Vec<String>,
    /// SHA-256 of certificates one of which it must be; empty is any.
    pub fingerprints: Vec<[u8; 32]>,
}

/// Requests in a second, and how many at once before that counts. A bucket that holds `burst` and is filled by
/// `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a second, in the long run.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

impl Rate {
    /// What no client reaches.
    pub const UNLIMITED: Self = Self { per_second: 1_000_000, burst: 1_000_000 };
}

impl Default for Rate {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// Reads the table `[network]`.
pub(super) fn read(network: Network, source: &Source) -> Result<NetworkRules, ConfigError> {
    let Network {
        allow_from,
        client_ca_file,
        client_names,
        client_fingerprints,
        requests_per_second,
        burst,
        requests_per_second_per_token,
        burst_per_token,
    } = network;
    let pinned =
        client_names.first().or(client_fingerprints.first()).map(|word| source.setting(word.clone()));
    let names = client_names.into_iter().map(|name| source.setting(name).value).collect();
    let fingerprints = client_fingerprints.into_iter().map(|word| {
        let word = source.setting(word).try_map(|word| fingerprint(&word));
        word.map(|word| word.value)
    });
    let fingerprints = fingerprints.collect::<Result<_, _>>()?;
    let client_certificate = match (client_ca_file, pinned) {
        (Some(path), _) => {
            let Setting { value: path, origin } = source.setting(path);
            let unreadable =
                |source| ConfigError::Unreadable { named_by: origin.clone(), path: path.clone(), source };
            let authorities = fs::read_to_string(&path).map_err(unreadable)?;
            Some(CertificateRules { authorities, names, fingerprints })
        }
        (None, Some(pin)) => {
            let advice = "pins of client certificates need client_ca_file under [network]: the authority that issues them";
            return Err(pin.origin.refuses(advice));
        }
        (None, None) => None,
    };
    let rate = |per_second, burst, (usual, usual_burst): (u32, u32)| {
        let per_second = number(per_second, usual, 1..=Rate::UNLIMITED.per_second, source)?.value;
        let burst = number(burst, usual_burst.max(per_second), 1..=Rate::UNLIMITED.burst, source)?.value;
        Ok::<_, ConfigError>(Rate { per_second, burst })
    };
    Ok(NetworkRules {
        allow_from: networks(allow_from, source)?,
        client_certificate,
        per_tenant: rate(requests_per_second, burst, (200, 2_000))?,
        per_token: rate(requests_per_second_per_token, burst_per_token, (100, 1_000))?,
    })
}

/// SHA-256 in hexadecimal, with or without colons.
fn fingerprint(word: &str) -> Result<[u8; 32], String> {
    let digits: String = word.chars().filter(|c| *c != ':').collect();
    let bytes: Option<Vec<u8>> = (digits.len() == 64 && digits.is_ascii()).then(|| {
        let pairs = digits.as_bytes().chunks_exact(2);
        pairs.map_while(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
    });
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        format!("`{word}` is no SHA-256 fingerprint; `openssl x509 -noout -fingerprint -sha256` prints one")
    })
}
