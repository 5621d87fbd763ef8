//! The settings: a TOML file, overridden by the environment, overridden by flags. Every value knows where it came
//! from, and every error says where the mistake stands and what to write instead.
//!
//! The file's top level describes the tenant `default`; `[tenants.NAME]` takes the same tables for another one.
//! Secrets are never in the file: they are in the environment or in files of their own.

mod acme;
mod alarms;
mod auth;
mod events;
mod file;
mod grants;
mod network;
mod origin;
mod server;
mod source;
mod stored;
mod tenant;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::file::{SettingsFile, Source};
use crate::config::stored::Common;
use crate::ids::TenantId;
use crate::telemetry::{LogFormat, check_filter};

pub use acme::Acme;
pub use alarms::AlarmSettings;
pub use auth::check_apart;
pub use events::{EventSettings, PushSettings};
pub use network::{CertificateRules, NetworkRules, Rate};
pub use origin::{ConfigError, Origin, Setting};
pub use server::{Entrance, Tls, TlsFiles};
pub use source::{Flags, Sources};
pub use stored::edit as edit_stored;
pub use tenant::TenantConfig;

/// Where the Admin API is, unless settings say otherwise.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// The secret that is a file's only content, as it is now.
///
/// # Errors
/// The file cannot be read or holds no secret.
pub fn read_secret(path: &std::path::Path) -> Result<Setting<SecretString>, ConfigError> {
    source::secret_in_file(path, Origin::SecretFile(path.to_owned()))
}

/// All settings of one run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: Setting<SocketAddr>,
    /// How it is reached.
    pub entrance: Entrance,
    /// The address that clients reach the bridge under; it goes into `meta.location`.
    pub public_url: Option<Setting<Url>>,
    /// Where the data is. May hold a password; [`Config::database_label`] is for showing.
    pub database_url: Setting<SecretString>,
    /// The file of the key that events are signed with, if it is not where it is by default.
    pub signing_key_file: Option<Setting<PathBuf>>,
    /// Which events are logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: Setting<String>,
    /// How log lines look.
    pub log_format: Setting<LogFormat>,
    /// The tenants. `default` is left out if other tenants are set up and it has neither a key nor a token.
    pub tenants: BTreeMap<TenantId, TenantConfig>,
    /// A folder with a file for each further tenant.
    pub tenants_dir: Option<Setting<PathBuf>>,
    /// The key that admin keys in the database are encrypted with.
    pub master_key: Option<Setting<SecretString>>,
    common: Common,
}

impl Config {
    /// Reads and checks everything; the first mistake is reported.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let source = match sources.settings_file() {
            Some((path, named_by)) => {
                let text = fs::read_to_string(&path);
                let unreadable = |source| ConfigError::Unreadable { named_by, path: path.clone(), source };
                Source::new(&path, text.map_err(unreadable)?)
            }
            None => Source::new("no file".as_ref(), String::new()),
        };
        let mut file: SettingsFile = source.parse()?;
        let mut default_tables = file.take_default_tables();
        let flags = &sources.flags;
        let base_url = sources.text(
            ("--base-url", flags.base_url.as_ref()),
            "OPENAI_BASE_URL",
            default_tables.upstream.base_url.take().map(|field| source.setting(field)),
            DEFAULT_BASE_URL,
        );
        let common = Common { sources: sources.clone(), base_url };
        let dir = sources.variable("SCIM_BRIDGE_TENANTS_DIR");
        let dir = dir.map(|Setting { value, origin }| Setting { value: PathBuf::from(value), origin });
        let tenants_dir = dir.or_else(|| file.server.tenants_dir.take().map(|dir| source.setting(dir)));
        let entrance = server::entrance(&mut file.server, sources, &source)?;
        let in_file = |field: Option<_>| field.map(|field| source.setting(field));

        let public_url = sources.text(
            ("--public-url", flags.public_url.as_ref()),
            "SCIM_BRIDGE_PUBLIC_URL",
            in_file(file.server.public_url),
            "",
        );
        Ok(Self {
            listen: sources
                .text(
                    ("--listen", flags.listen.as_ref()),
                    "SCIM_BRIDGE_LISTEN",
                    in_file(file.server.listen),
                    "127.0.0.1:8080",
                )
                .try_map(|text| parse_listen(&text))?,
            public_url: match public_url.origin {
                Origin::Default => entrance.certified_url(),
                _ => Some(public_url.try_map(|text| parse_public_url(&text))?),
            },
            entrance,
            database_url: database_url(sources, in_file(file.server.database_url))?,
            signing_key_file: file.server.signing_key_file.map(|path| source.setting(path)),
            log_filter: sources
                .text(("--log", flags.log.as_ref()), "SCIM_BRIDGE_LOG", in_file(file.log.filter), "info")
                .try_map(|filter| {
                    check_filter(&filter).map(|()| filter).map_err(|error| error.to_string())
                })?,
            log_format: sources
                .text(
                    ("--log-format", flags.log_format.as_ref()),
                    "SCIM_BRIDGE_LOG_FORMAT",
                    in_file(file.log.format),
                    LogFormat::Text.as_str(),
                )
                .try_map(|word| word.parse::<LogFormat>().map_err(|error| error.to_string()))?,
            tenants: tenants(&common, &source, default_tables, file.tenants, tenants_dir.as_ref())?,
            tenants_dir,
            master_key: sources.secret("SCIM_BRIDGE_MASTER_KEY")?,
            common,
        })
    }

    /// The file of the key that events are signed with: the one that is named, else one beside the SQLite database.
    /// `None` if no tenant has an event feed or clients of the token endpoint.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if there must be a key and no file is named for it.
    pub fn signing_key_path(&self) -> Result<Option<PathBuf>, ConfigError> {
        let must_be = self.tenants.values().any(TenantConfig::signs);
        must_be.then(|| self.signing_key_place()).transpose()
    }

    /// The same, whether or not a tenant of the settings has an event feed.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if no file is named for the key and none can be guessed.
    pub fn signing_key_place(&self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.signing_key_file {
            return Ok(path.value.clone());
        }
        let url = self.database_url.value.expose_secret();
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        let beside = path.map(|path| PathBuf::from(format!("{path}.signing-key")));
        beside.ok_or_else(|| {
            self.database_url.origin.clone().refuses(
                "with a PostgreSQL database, event feeds and clients need signing_key_file under [server]: the file of the \
                 key that events and access tokens are signed with, the same for every process; it is made if there is none",
            )
        })
    }

    /// The SCIM base URL of a tenant, as far as the settings tell where the program is reached.
    pub fn scim_url(&self, tenant: &TenantId) -> String {
        let base = match (&self.public_url, &self.entrance.tls) {
            (Some(url), _) => url.value.to_string(),
            (None, Some(_)) => format!("https://{}", self.listen.value),
            (None, None) => format!("http://{}", self.listen.value),
        };
        let base = base.trim_end_matches('/');
        if *tenant == TenantId::default_tenant() {
            format!("{base}/scim/v2")
        } else {
            format!("{base}/tenants/{tenant}/scim/v2")
        }
    }

    /// The settings that count from the next start alone and are others in `new`, by their names in the file.
    pub fn differs_for_the_next_start(&self, new: &Self) -> Vec<&'static str> {
        let of = |config: &Self| {
            let Entrance {
                tls,
                insecure_http: _,
                trusted_proxies,
                max_connections,
                max_connections_per_address,
                failed_logins_per_minute,
            } = &config.entrance;
            [
                ("server.listen", config.listen.value.to_string()),
                ("server.public_url", format!("{:?}", config.public_url)),
                ("server.database_url", config.database_url.value.expose_secret().to_owned()),
                ("server.signing_key_file", format!("{:?}", config.signing_key_file)),
                ("server.tls_certificate_file", matches!(tls, Some(Tls::Files(_))).to_string()),
                ("server.acme", format!("{:?}", config.entrance.acme())),
                ("server.trusted_proxies", format!("{trusted_proxies:?}")),
                ("server.max_connections", max_connections.value.to_string()),
                ("server.max_connections_per_address", max_connections_per_address.value.to_string()),
                ("server.failed_logins_per_minute", failed_logins_per_minute.value.to_string()),
                ("log.filter", config.log_filter.value.clone()),
                ("log.format", config.log_format.value.to_string()),
            ]
        };
        let pairs = of(self).into_iter().zip(of(new));
        pairs.filter(|((_, old), (_, new))| old != new).map(|((name, _), _)| name).collect()
    }

    /// Whether anything says that the tenant `default` is wanted: a key or a token.
    pub fn wants_default(&self) -> bool {
        let default = self.tenants.get(&TenantId::default_tenant());
        default.is_some_and(|default| default.admin_key.is_some() || default.static_token.is_some())
    }

    /// Whether there can be data: a PostgreSQL database, or a SQLite file that exists.
    pub fn has_database(&self) -> bool {
        let url = self.database_url.value.expose_secret();
        let file = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        file.is_none_or(|file| std::path::Path::new(file.split('?').next().unwrap_or(file)).exists())
    }

    /// Where the data is, without any password.
    pub fn database_label(&self) -> String {
        let url = self.database_url.value.expose_secret();
        match Url::parse(url) {
            Ok(parsed) if parsed.scheme().starts_with("postgres") => {
                let host = parsed.host_str().unwrap_or("localhost");
                let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("postgres://{host}{port}{}", parsed.path())
            }
            _ => url.to_owned(),
        }
    }

    /// Name, value and origin of what an administrator asks about first; secrets show that they are set.
    pub fn describe(&self) -> Vec<(String, String, Origin)> {
        let mut lines = vec![
            ("listen".to_owned(), self.listen.value.to_string(), self.listen.origin.clone()),
            ("database".to_owned(), self.database_label(), self.database_url.origin.clone()),
            ("log".to_owned(), self.log_filter.value.clone(), self.log_filter.origin.clone()),
            ("log format".to_owned(), self.log_format.value.to_string(), self.log_format.origin.clone()),
        ];
        lines.extend(self.public_url.as_ref().map(|url| {
            let Setting { value, origin } = url;
            ("public URL".to_owned(), value.to_string(), origin.clone())
        }));
        lines.extend(self.entrance.tls.as_ref().map(|tls| match tls {
            Tls::Files(TlsFiles { certificate, .. }) => (
                "certificate".to_owned(),
                certificate.value.display().to_string(),
                certificate.origin.clone(),
            ),
            Tls::Acme(Setting { value, origin }) => {
                let by = format!("of {} for {}", value.directory, value.domains.join(", "));
                ("certificate".to_owned(), by, origin.clone())
            }
        }));
        lines.extend(self.tenants.values().flat_map(TenantConfig::describe));
        lines
    }
}

fn tenants(
    common: &Common,
    source: &Source,
    default_tables: file::Tables,
    others: BTreeMap<String, toml::Spanned<file::Tables>>,
    folder: Option<&Setting<PathBuf>>,
) -> Result<BTreeMap<TenantId, TenantConfig>, ConfigError> {
    let Common { sources, base_url } = common;
    let mut tenants = BTreeMap::new();
    for (name, tables) in others {
        let Setting { value: mut tables, origin } = source.setting(tables);
        let id = Setting { value: name, origin }.try_map(|name| stored::tenant_name(&name))?;
        let own_url = tables.upstream.base_url.take().map(|field| source.setting(field));
        let url = own_url.unwrap_or_else(|| base_url.clone());
        tenants.insert(id.value.clone(), tenant::read(id.value, tables, url, sources, source)?);
    }
    for tenant in folder.map(|folder| common.read_folder(folder)).transpose()?.unwrap_or_default() {
        if tenants.contains_key(&tenant.tenant) {
            let name = &tenant.tenant;
            let twice = format!(
                "tenant `{name}` has a file here and a table [tenants.{name}] in the settings file; keep one"
            );
            return Err(folder.map_or(Origin::Default, |folder| folder.origin.clone()).refuses(twice));
        }
        tenants.insert(tenant.tenant.clone(), tenant);
    }

    let id = TenantId::default_tenant();
    let mut default = tenant::read(id.clone(), default_tables, base_url.clone(), sources, source)?;
    default.admin_key = sources.secret("OPENAI_ADMIN_KEY")?.or(default.admin_key);
    default.static_token = sources.secret("SCIM_BRIDGE_TOKEN")?.map(source::long_enough).transpose()?;
    if tenants.is_empty() || default.admin_key.is_some() || default.static_token.is_some() {
        tenants.insert(id, default);
    }
    check_apart(&tenants)?;
    Ok(tenants)
}

fn database_url(
    sources: &Sources,
    in_file: Option<Setting<String>>,
) -> Result<Setting<SecretString>, ConfigError> {
    let flag = ("--database-url", sources.flags.database_url.as_ref());
    let setting = sources.text(flag, "SCIM_BRIDGE_DATABASE_URL", in_file, "sqlite://scim-bridge.db");
    let setting = match (&setting.origin, sources.secret("SCIM_BRIDGE_DATABASE_URL")?) {
        (Origin::Flag(_), _) | (_, None) => setting,
        (_, Some(Setting { value, origin })) => Setting { value: value.expose_secret().to_owned(), origin },
    };
    setting.try_map(|url| {
        if url.starts_with("sqlite:") || url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(SecretString::from(url))
        } else {
            Err("the database URL must start with sqlite:// or postgres://, e.g. sqlite://scim-bridge.db"
                .to_owned())
        }
    })
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_malformed| format!("`{text}` is no IP address with a port; write e.g. 127.0.0.1:8080"))
}

fn parse_public_url(text: &str) -> Result<Url, String> {
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text)
        .ok()
        .filter(plain)
        .ok_or_else(|| format!("`{text}` is no public address; write e.g. https://scim.example.com"))
}

#[cfg(test)]
mod tests;
