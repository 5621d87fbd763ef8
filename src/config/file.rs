//! The shape of the settings file. Unknown keys are refused: a misspelt guard must not be silently off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::config::origin::{ConfigError, Origin, Setting};

/// A key that may be left out, with its place in the file.
pub(super) type Field<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SettingsFile {
    pub(super) server: Server,
    pub(super) log: Log,
    pub(super) tenants: BTreeMap<String, Spanned<Tables>>,
    // What is set for the tenant `default`. Serde cannot both flatten and refuse unknown keys.
    profile: Field<String>,
    mode: Field<String>,
    upstream: Upstream,
    reconcile: Reconcile,
    invites: Invites,
    safety: Safety,
    drift: Drift,
    groups: Field<String>,
    group_names: Field<String>,
    group_rules: Vec<Spanned<GroupRule>>,
    aliases: Vec<Spanned<Alias>>,
    events: Events,
    auth: Auth,
    alarms: Alarms,
    network: Network,
}

impl SettingsFile {
    /// Takes out the tables of the tenant `default`.
    pub(super) fn take_default_tables(&mut self) -> Tables {
        Tables {
            profile: self.profile.take(),
            mode: self.mode.take(),
            upstream: std::mem::take(&mut self.upstream),
            reconcile: std::mem::take(&mut self.reconcile),
            invites: std::mem::take(&mut self.invites),
            safety: std::mem::take(&mut self.safety),
            drift: std::mem::take(&mut self.drift),
            groups: self.groups.take(),
            group_names: self.group_names.take(),
            group_rules: std::mem::take(&mut self.group_rules),
            aliases: std::mem::take(&mut self.aliases),
            events: std::mem::take(&mut self.events),
            auth: std::mem::take(&mut self.auth),
            alarms: std::mem::take(&mut self.alarms),
            network: std::mem::take(&mut self.network),
        }
    }
}

/// What can be set for each tenant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tables {
    pub(super) profile: Field<String>,
    pub(super) mode: Field<String>,
    pub(super) upstream: Upstream,
    pub(super) reconcile: Reconcile,
    pub(super) invites: Invites,
    pub(super) safety: Safety,
    pub(super) drift: Drift,
    pub(super) groups: Field<String>,
    pub(super) group_names: Field<String>,
    pub(super) group_rules: Vec<Spanned<GroupRule>>,
    pub(super) aliases: Vec<Spanned<Alias>>,
    pub(super) events: Events,
    pub(super) auth: Auth,
    pub(super) alarms: Alarms,
    pub(super) network: Network,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) listen: Field<String>,
    pub(super) public_url: Field<String>,
    pub(super) database_url: Field<String>,
    pub(super) signing_key_file: Field<PathBuf>,
    pub(super) tenants_dir: Field<PathBuf>,
    pub(super) tls_certificate_file: Field<PathBuf>,
    pub(super) tls_key_file: Field<PathBuf>,
    pub(super) acme: Field<Acme>,
    pub(super) insecure_http: Field<bool>,
    pub(super) trusted_proxies: Vec<Spanned<String>>,
    pub(super) max_connections: Field<u32>,
    pub(super) max_connections_per_address: Field<u32>,
    pub(super) failed_logins_per_minute: Field<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Acme {
    pub(super) domains: Vec<Spanned<String>>,
    pub(super) contact: Field<String>,
    pub(super) folder: Field<PathBuf>,
    pub(super) directory_url: Field<String>,
    pub(super) ca_file: Field<PathBuf>,
    pub(super) terms_agreed: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) allow_from: Vec<Spanned<String>>,
    pub(super) client_ca_file: Field<PathBuf>,
    pub(super) client_names: Vec<Spanned<String>>,
    pub(super) client_fingerprints: Vec<Spanned<String>>,
    pub(super) requests_per_second: Field<u32>,
    pub(super) burst: Field<u32>,
    pub(super) requests_per_second_per_token: Field<u32>,
    pub(super) burst_per_token: Field<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) filter: Field<String>,
    pub(super) format: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) base_url: Field<String>,
    pub(super) allow_http: Field<bool>,
    pub(super) requests_per_minute: Field<u32>,
    pub(super) settle_seconds: Field<u32>,
    pub(super) admin_key_env: Field<String>,
    pub(super) admin_key_file: Field<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reconcile {
    pub(super) interval_seconds: Field<u32>,
    pub(super) audit_log: Field<bool>,
    pub(super) keys_interval_hours: Field<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Invites {
    pub(super) resend: Field<String>,
    pub(super) max_resends: Field<u32>,
    pub(super) resend_pause_hours: Field<u32>,
    pub(super) default_projects: Vec<Spanned<Project>>,
    pub(super) allowed_domains: Vec<Spanned<String>>,
    pub(super) on_existing_member: Field<String>,
    pub(super) on_address_change: Field<String>,
    pub(super) max_per_address: Field<u32>,
    pub(super) role_change: Field<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) role: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Safety {
    pub(super) protected: Vec<Spanned<String>>,
    pub(super) min_owners: Field<u32>,
    pub(super) allow_owner_grants: Field<bool>,
    pub(super) max_removals: Field<u32>,
    pub(super) max_removal_percent: Field<u32>,
    pub(super) removal_window_seconds: Field<u32>,
    pub(super) max_removals_per_day: Field<u32>,
    pub(super) max_removal_percent_per_day: Field<u32>,
    pub(super) seat_limit: Field<u32>,
    pub(super) stop: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drift {
    pub(super) member_removed: Field<String>,
    pub(super) invite_withdrawn: Field<String>,
    pub(super) role_changed: Field<String>,
    pub(super) project_added: Field<String>,
    pub(super) project_removed: Field<String>,
    pub(super) new_member: Field<String>,
    pub(super) group_deleted: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Events {
    pub(super) enabled: Field<bool>,
    pub(super) audience: Field<String>,
    pub(super) push_url: Field<String>,
    pub(super) push_token_env: Field<String>,
    pub(super) push_token_file: Field<PathBuf>,
    pub(super) allow_http: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) bare: Field<bool>,
    pub(super) basic: Field<bool>,
    pub(super) oauth: Field<bool>,
    pub(super) entra: Option<Spanned<Entra>>,
    pub(super) issuers: Vec<Spanned<IssuerTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entra {
    pub(super) directory_id: String,
    pub(super) audience: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerTable {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) jwks_url: Option<String>,
    #[serde(default)]
    pub(super) clients: Vec<String>,
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    pub(super) required_scope: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) allow_private: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alarms {
    pub(super) url: Field<String>,
    pub(super) secret_env: Field<String>,
    pub(super) secret_file: Field<PathBuf>,
    pub(super) allow_http: Field<bool>,
    pub(super) late_removal_minutes: Field<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GroupRule {
    pub(super) group: Option<String>,
    pub(super) group_id: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) org_role: Option<String>,
    pub(super) project: Option<String>,
    pub(super) role: Option<String>,
    pub(super) project_role: Option<String>,
    pub(super) custom_role: Option<String>,
    pub(super) openai_group: Option<String>,
}

// Serde cannot both flatten and refuse unknown keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alias {
    pub(super) value: Option<String>,
    pub(super) org_role: Option<String>,
    pub(super) project: Option<String>,
    pub(super) role: Option<String>,
    pub(super) project_role: Option<String>,
    pub(super) custom_role: Option<String>,
    pub(super) openai_group: Option<String>,
}

/// The file's text, to tell lines from places in it.
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text }
    }

    /// Reads the text. Errors name the key and the line, and never quote the line: a secret may stand there by mistake.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|error| ConfigError::Invalid {
            origin: self.origin(error.span().map_or(0, |span| span.start)),
            message: match error.message() {
                message if message.starts_with("unknown field `admin_key`") => {
                    "a key does not belong in this file; write admin_key_env or admin_key_file instead"
                        .to_owned()
                }
                message if message.starts_with("unknown field `push_token`") => {
                    "a token does not belong in this file; write push_token_env or push_token_file instead"
                        .to_owned()
                }
                message
                    if message.starts_with("unknown field `secret`") && message.contains("secret_env") =>
                {
                    "a secret does not belong in this file; write secret_env or secret_file instead"
                        .to_owned()
                }
                message => message.to_owned(),
            },
        })
    }

    /// A value of the file with its origin.
    pub(super) fn setting<T>(&self, value: Spanned<T>) -> Setting<T> {
        let origin = self.origin(value.span().start);
        Setting { value: value.into_inner(), origin }
    }

    fn origin(&self, at: usize) -> Origin {
        let before = self.text.get(..at).unwrap_or_default();
        Origin::File { path: self.path.clone(), line: before.matches('\n').count() + 1 }
    }
}
