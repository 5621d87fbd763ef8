//! How the program is reached: TLS, proxies in front of it, and what connections may cost.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use toml::Spanned;
use url::Url;

use super::acme::{self, Acme};
use super::file::{Server, Source};
use super::origin::{ConfigError, Origin, Setting};
use super::source::Sources;
use super::tenant::number;

/// How the program is reached.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// What HTTPS is served with; without it it is HTTP.
    pub tls: Option<Tls>,
    /// Whether clear text may be served beyond this machine.
    pub insecure_http: Setting<bool>,
    /// Proxies whose word about a client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at once.
    pub max_connections: Setting<u32>,
    /// Connections at once from one address that is neither this machine nor a trusted proxy.
    pub max_connections_per_address: Setting<u32>,
    /// Refused tokens from one address in a minute, after which further ones are answered 429.
    pub failed_logins_per_minute: Setting<u32>,
}

impl Entrance {
    /// How certificates are had from an authority, if they are.
    pub fn acme(&self) -> Option<&Setting<Acme>> {
        match &self.tls {
            Some(Tls::Acme(acme)) => Some(acme),
            Some(Tls::Files(_)) | None => None,
        }
    }

    /// The address that the certificate of an authority is for: it comes only for names under which port 443 leads here.
    pub(super) fn certified_url(&self) -> Option<Setting<Url>> {
        let Setting { value, origin } = self.acme()?;
        let url = Url::parse(&format!("https://{}", value.domains.first()?)).ok()?;
        Some(Setting { value: url, origin: origin.clone() })
    }
}

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum Tls {
    /// From files that somebody else takes care of.
    Files(TlsFiles),
    /// From an authority, by itself.
    Acme(Setting<Acme>),
}

/// Where the certificate is.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate with its chain, in PEM.
    pub certificate: Setting<PathBuf>,
    /// Its private key, in PEM.
    pub key: Setting<PathBuf>,
}

/// Reads what the table `[server]` and the environment say about it.
pub(super) fn entrance(
    server: &mut Server,
    sources: &Sources,
    source: &Source,
) -> Result<Entrance, ConfigError> {
    let path = |variable: &str, field: Option<Spanned<PathBuf>>| {
        let in_environment = sources
            .variable(variable)
            .map(|Setting { value, origin }| Setting { value: PathBuf::from(value), origin });
        in_environment.or_else(|| field.map(|field| source.setting(field)))
    };
    let certificate = path("SCIM_BRIDGE_TLS_CERTIFICATE_FILE", server.tls_certificate_file.take());
    let key = path("SCIM_BRIDGE_TLS_KEY_FILE", server.tls_key_file.take());
    let acme = server.acme.take().map(|table| acme::read(table, source)).transpose()?;
    let tls = match (certificate, key, acme) {
        (Some(one), _, Some(_)) | (None, Some(one), Some(_)) => {
            return Err(one.origin.refuses(
                "a certificate from files and one by [server.acme] cannot both be served; take one of them out",
            ));
        }
        (None, None, acme) => acme.map(Tls::Acme),
        (Some(certificate), Some(key), None) => Some(Tls::Files(TlsFiles { certificate, key })),
        (Some(one), None, None) => {
            return Err(one.origin.refuses("a certificate needs tls_key_file beside it"));
        }
        (None, Some(one), None) => {
            return Err(one.origin.refuses("a key needs tls_certificate_file beside it"));
        }
    };
    let insecure_http = match sources.variable("SCIM_BRIDGE_INSECURE_HTTP") {
        Some(word) => word.try_map(|word| match word.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("write true or false".to_owned()),
        })?,
        None => match server.insecure_http.take() {
            Some(field) => source.setting(field),
            None => Setting { value: false, origin: Origin::Default },
        },
    };
    let trusted_proxies = match sources.variable("SCIM_BRIDGE_TRUSTED_PROXIES") {
        Some(list) => {
            let words = list.value.split(',').map(str::trim).filter(|word| !word.is_empty());
            let networks: Result<_, _> = words.map(network).collect();
            networks.map_err(|message| list.origin.clone().refuses(message))?
        }
        None => networks(std::mem::take(&mut server.trusted_proxies), source)?,
    };
    Ok(Entrance {
        tls,
        insecure_http,
        trusted_proxies,
        max_connections: number(server.max_connections.take(), 512, 1..=65_536, source)?,
        max_connections_per_address: number(
            server.max_connections_per_address.take(),
            32,
            1..=65_536,
            source,
        )?,
        failed_logins_per_minute: number(server.failed_logins_per_minute.take(), 20, 1..=1_000_000, source)?,
    })
}

/// Networks as a list in the file gives them.
pub(super) fn networks(words: Vec<Spanned<String>>, source: &Source) -> Result<Vec<IpNet>, ConfigError> {
    words.into_iter().map(|word| Ok(source.setting(word).try_map(|word| network(&word))?.value)).collect()
}

/// A network, or a single address.
fn network(word: &str) -> Result<IpNet, String> {
    let network = IpNet::from_str(word).or_else(|_no_network| word.parse::<IpAddr>().map(IpNet::from));
    network.map(|network| network.trunc()).map_err(|_malformed| {
        format!("`{word}` is no address and no network; write e.g. 203.0.113.7 or 203.0.113.0/24")
    })
}
