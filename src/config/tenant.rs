//! Turns a tenant's tables into what the rooms use: an upstream, a policy and the limits of removal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;
use url::{Host, Url};

use crate::config::alarms::{self, AlarmSettings};
use crate::config::auth;
use crate::config::events::{self, EventSettings};
use crate::config::file::{Drift, Field, Invites, Safety, Source, Tables, Upstream};
use crate::config::grants::{self, Grants};
use crate::config::network::{self, NetworkRules};
use crate::config::origin::{ConfigError, Origin, Setting};
use crate::config::source::{Sources, checked, secret_in_file};
use crate::ids::TenantId;
use crate::model::address::Address;
use crate::model::policy::{
    DriftPolicy, OnAddressChange, OnDrift, OnExistingMember, Policy, RemovalLimits, Resend, RoleChange,
    Standstill,
};
use crate::model::trust::Trust;
use crate::scim::profile::Profile;

/// The settings of one tenant.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// The tenant.
    pub tenant: TenantId,
    /// The identity provider at the other end, as far as answers depend on it.
    pub profile: Setting<Profile>,
    /// The Admin API's address.
    pub base_url: Setting<Url>,
    /// The most upstream calls per minute and endpoint.
    pub requests_per_minute: Setting<u32>,
    /// The organization's admin key, if one is set; [`TenantConfig::require_admin_key`] explains when none is.
    pub admin_key: Option<Setting<SecretString>>,
    /// The static bearer token, which only the tenant `default` can have.
    pub static_token: Option<Setting<SecretString>>,
    /// What plans depend on.
    pub policy: Policy,
    /// Who is called when something needs a human, if somebody is.
    pub alarms: Option<AlarmSettings>,
    /// The event feed, if the tenant has one.
    pub events: Option<EventSettings>,
    /// What clients must show besides a token, and how much they may ask.
    pub network: NetworkRules,
    /// What its door accepts.
    pub trust: Setting<Trust>,
}

impl TenantConfig {
    /// Name, value and origin of what an administrator asks about first; secrets show that they are set.
    pub fn describe(&self) -> Vec<(String, String, Origin)> {
        let named = |name: &str| format!("{}: {name}", self.tenant);
        let secret = |setting: &Option<Setting<SecretString>>| match setting {
            Some(setting) => ("set".to_owned(), setting.origin.clone()),
            None => ("not set".to_owned(), Origin::Default),
        };
        let (key, key_origin) = secret(&self.admin_key);
        let (token, token_origin) = secret(&self.static_token);
        let rate = &self.requests_per_minute;
        let mut lines = vec![
            (named("profile"), self.profile.value.to_string(), self.profile.origin.clone()),
            (named("upstream"), self.base_url.value.to_string(), self.base_url.origin.clone()),
            (named("admin key"), key, key_origin),
            (named("static token"), token, token_origin),
            (named("requests per minute"), rate.value.to_string(), rate.origin.clone()),
        ];
        lines.extend(
            self.trust
                .value
                .issuers
                .iter()
                .map(|issuer| (named("takes tokens of"), issuer.issuer.clone(), self.trust.origin.clone())),
        );
        let called = self.alarms.as_ref().map(|alarms| &alarms.url);
        lines.extend(called.map(|url| {
            (named("alarms sent to"), url.value.origin().ascii_serialization(), url.origin.clone())
        }));
        let push = self.events.as_ref().and_then(|events| events.push.as_ref());
        lines.extend(push.map(|push| {
            // The path and the query of such an address can be a secret.
            let origin = push.url.value.origin().ascii_serialization();
            (named("events pushed to"), origin, push.url.origin.clone())
        }));
        lines
    }

    /// Whether nothing was changed that matters to who serves the tenant.
    pub fn means_the_same(&self, other: &Self) -> bool {
        fn secrets(config: &TenantConfig) -> [Option<&str>; 4] {
            // A key in a file is exchanged while its user goes on.
            let is_fixed = |key: &&Setting<SecretString>| !matches!(key.origin, Origin::SecretFile(_));
            let push = config.events.as_ref().and_then(|events| events.push.as_ref()?.token.as_ref());
            let alarms = config.alarms.as_ref().map(|alarms| &alarms.secret);
            [config.admin_key.as_ref().filter(is_fixed), config.static_token.as_ref(), push, alarms]
                .map(|secret| secret.map(|secret| secret.value.expose_secret()))
        }
        // The debug form shows every value and, of secrets, nothing; it does not show where values stand.
        secrets(self) == secrets(other) && format!("{self:?}") == format!("{other:?}")
    }

    /// Whether anything is signed for the tenant: events, or access tokens.
    pub fn signs(&self) -> bool {
        self.events.is_some() || self.trust.value.oauth
    }

    /// The admin key.
    ///
    /// # Errors
    /// [`ConfigError::MissingKey`], which says how to set it.
    pub fn require_admin_key(&self) -> Result<&SecretString, ConfigError> {
        let key = self.admin_key.as_ref().map(|setting| &setting.value);
        key.ok_or_else(|| ConfigError::MissingKey { tenant: self.tenant.clone() })
    }
}

/// Reads one tenant's tables; `base_url` is what holds when they name none.
pub(super) fn read(
    tenant: TenantId,
    tables: Tables,
    base_url: Setting<String>,
    sources: &Sources,
    source: &Source,
) -> Result<TenantConfig, ConfigError> {
    let Tables {
        profile,
        mode,
        mut upstream,
        reconcile,
        invites,
        safety,
        drift,
        groups,
        group_names,
        group_rules,
        aliases,
        events,
        auth,
        alarms,
        network,
    } = tables;
    let grants = Grants { groups, group_names, group_rules, aliases };
    let allow_http = upstream.allow_http.take().is_some_and(Spanned::into_inner);
    let observes = word(mode, source, &[("act", false), ("observe", true)])?;
    let (alarms, late_removal) = alarms::read(alarms, sources, source)?;
    let policy = policy(invites, safety, grants, source)?;
    let policy = Policy {
        reconcile_interval: seconds(number(reconcile.interval_seconds, 300, 10..=86_400, source)?.value),
        census_interval: census_interval(number(reconcile.keys_interval_hours, 24, 0..=8_760, source)?.value),
        follow_audit_log: reconcile.audit_log.is_some_and(Spanned::into_inner),
        settle_time: seconds(number(upstream.settle_seconds.take(), 60, 1..=600, source)?.value),
        drift: drift_policy(drift, source)?,
        late_removal,
        standstill: policy.standstill.or(observes.then_some(Standstill::Observe)),
        ..policy
    };
    let profile = match profile {
        Some(word) => source.setting(word).try_map(|word| parse(&word))?,
        None => Setting { value: Profile::default(), origin: Origin::Default },
    };
    Ok(TenantConfig {
        tenant,
        trust: auth::read(auth, profile.value, source)?,
        profile,
        base_url: base_url.try_map(|text| parse_base_url(&text, allow_http))?,
        requests_per_minute: number(upstream.requests_per_minute.take(), 7, 1..=60_000, source)?,
        admin_key: admin_key(upstream, sources, source)?,
        static_token: None,
        policy,
        alarms,
        events: events::read(events, sources, source)?,
        network: network::read(network, source)?,
    })
}

/// The admin key that the tables point to: they never hold it themselves.
fn admin_key(
    upstream: Upstream,
    sources: &Sources,
    source: &Source,
) -> Result<Option<Setting<SecretString>>, ConfigError> {
    let names = ("admin_key_env", "admin_key_file");
    secret(names, upstream.admin_key_env, upstream.admin_key_file, sources, source)
}

/// The secret in the variable or in the file that one of two keys names.
pub(super) fn secret(
    (env_key, file_key): (&str, &str),
    variable: Field<String>,
    file: Field<PathBuf>,
    sources: &Sources,
    source: &Source,
) -> Result<Option<Setting<SecretString>>, ConfigError> {
    match (variable, file) {
        (None, None) => Ok(None),
        (Some(_), Some(path)) => {
            let both = format!("{env_key} is set as well as {file_key}; set one of them");
            Err(source.setting(path).origin.refuses(both))
        }
        (Some(variable), None) => {
            let Setting { value: name, origin } = source.setting(variable);
            let setting = sources.variable(&name);
            let missing = || origin.refuses(format!("the environment variable {name} is not set"));
            checked(setting.ok_or_else(missing)?).map(Some)
        }
        (None, Some(path)) => {
            let Setting { value, origin } = source.setting(path);
            secret_in_file(&value, origin).map(Some)
        }
    }
}

/// Whether the address is on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn parse_base_url(text: &str, allow_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not an address ({error})"))?;
    let is_local = is_local(&url);
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().or(url.fragment()).is_none();
    match url.scheme() {
        "https" | "http" if !is_plain => {
            Err("write the address without user name, query or fragment, e.g. https://api.openai.com/v1"
                .to_owned())
        }
        "https" => Ok(url),
        "http" if is_local || allow_http => Ok(url),
        "http" => Err(format!(
            "`{text}` would send the admin key in clear; use https, or set allow_http = true under [upstream] if \
             the way there is private"
        )),
        _ => Err(format!("`{text}` is neither an https nor an http address")),
    }
}

fn policy(invites: Invites, safety: Safety, given: Grants, source: &Source) -> Result<Policy, ConfigError> {
    let allow_owner_grants = safety.allow_owner_grants.as_ref().is_some_and(|allowed| *allowed.get_ref());
    let stops = safety.stop.as_ref().is_some_and(|stop| *stop.get_ref());
    let limit = |field| number(Some(field), 0, 1..=1_000_000, source);
    let seat_limit = safety.seat_limit.clone().map(limit).transpose()?;
    let removals = removal_limits(&safety, source)?;
    let min_owners = number(safety.min_owners, 2, 1..=1000, source)?.value;
    let defaults = grants::read(given, allow_owner_grants, source)?;
    Ok(Policy {
        protected: collect(safety.protected, source, |text| {
            let address = Address::parse(text).map_err(|error| format!("`{text}` is {error}"))?;
            Ok(address.key())
        })?,
        min_owners: usize::try_from(min_owners).unwrap_or(usize::MAX),
        allow_owner_grants,
        allowed_domains: collect(invites.allowed_domains, source, parse_domain)?,
        on_existing_member: word(
            invites.on_existing_member,
            source,
            &[
                ("link", OnExistingMember::Link),
                ("hold", OnExistingMember::Hold),
                ("conflict", OnExistingMember::Conflict),
            ],
        )?,
        on_address_change: word(
            invites.on_address_change,
            source,
            &[
                ("hold", OnAddressChange::Hold),
                ("reinvite", OnAddressChange::Reinvite),
                ("refuse", OnAddressChange::Refuse),
            ],
        )?,
        removals,
        seat_limit: seat_limit.map(|limit| limit.value),
        max_invites_per_address: number(invites.max_per_address, 5, 1..=1_000, source)?.value,
        standstill: stops.then_some(Standstill::Stop),
        resend: word(invites.resend, source, &[("auto", Resend::Auto), ("never", Resend::Never)])?,
        max_resends: number(invites.max_resends, defaults.max_resends, 0..=1000, source)?.value,
        resend_pause: SignedDuration::from_hours(i64::from(
            number(invites.resend_pause_hours, 0, 0..=8760, source)?.value,
        )),
        role_change: word(
            invites.role_change,
            source,
            &[("after_acceptance", RoleChange::AfterAcceptance), ("reinvite", RoleChange::Reinvite)],
        )?,
        default_projects: grants::default_projects(invites.default_projects, source)?,
        ..defaults
    })
}

/// 0 hours: never.
fn census_interval(hours: u32) -> Option<SignedDuration> {
    (hours > 0).then(|| SignedDuration::from_hours(i64::from(hours)))
}

/// What to do about changes by others. A removal cannot be adopted, because the identity provider still wants the
/// person in, and a new member cannot be reverted, because nobody manages them.
fn drift_policy(drift: Drift, source: &Source) -> Result<DriftPolicy, ConfigError> {
    const REPORT: (&str, OnDrift) = ("report", OnDrift::Report);
    const REVERT: (&str, OnDrift) = ("revert", OnDrift::Revert);
    const ADOPT: (&str, OnDrift) = ("adopt", OnDrift::Adopt);
    let read = |field, default, words: &[_]| word_or(field, default, source, words);
    let DriftPolicy {
        member_removed,
        invite_withdrawn,
        role_changed,
        project_added,
        project_removed,
        new_member,
        group_deleted,
    } = DriftPolicy::default();
    Ok(DriftPolicy {
        member_removed: read(drift.member_removed, member_removed, &[REPORT, REVERT])?,
        invite_withdrawn: read(drift.invite_withdrawn, invite_withdrawn, &[REPORT, REVERT])?,
        role_changed: read(drift.role_changed, role_changed, &[REPORT, REVERT, ADOPT])?,
        project_added: read(drift.project_added, project_added, &[REPORT, REVERT, ADOPT])?,
        project_removed: read(drift.project_removed, project_removed, &[REPORT, REVERT, ADOPT])?,
        new_member: read(drift.new_member, new_member, &[REPORT, ADOPT])?,
        group_deleted: read(drift.group_deleted, group_deleted, &[REPORT, REVERT, ADOPT])?,
    })
}

fn removal_limits(safety: &Safety, source: &Source) -> Result<RemovalLimits, ConfigError> {
    let percent = |field: &Field<u32>, default| number(field.clone(), default, 0..=100, source);
    let count = |field: &Field<u32>, default| number(field.clone(), default, 0..=1_000_000, source);
    Ok(RemovalLimits {
        max_removals: count(&safety.max_removals, 100)?.value,
        max_removal_percent: percent(&safety.max_removal_percent, 10)?.value,
        window: seconds(number(safety.removal_window_seconds.clone(), 3600, 60..=86_400, source)?.value),
        max_removals_per_day: count(&safety.max_removals_per_day, 200)?.value,
        max_removal_percent_per_day: percent(&safety.max_removal_percent_per_day, 20)?.value,
    })
}

fn parse_domain(text: &str) -> Result<String, String> {
    // A domain is good if an address in it is.
    match Address::parse(&format!("someone@{text}")) {
        Ok(address) => Ok(address.domain()),
        Err(_) => Err(format!("`{text}` is not a domain; write e.g. example.com")),
    }
}

pub(super) fn parse<T: FromStr>(word: &str) -> Result<T, String>
where
    T::Err: ToString,
{
    word.parse().map_err(|error: T::Err| error.to_string())
}

fn collect<T: Ord>(
    values: Vec<Spanned<String>>,
    source: &Source,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<BTreeSet<T>, ConfigError> {
    values.into_iter().map(|value| Ok(source.setting(value).try_map(|text| read(&text))?.value)).collect()
}

/// One of a few words; the type's default if none is given.
pub(super) fn word<T: Copy + Default>(
    field: Field<String>,
    source: &Source,
    words: &[(&str, T)],
) -> Result<T, ConfigError> {
    word_or(field, T::default(), source, words)
}

/// One of a few words, or what holds if none is given.
fn word_or<T: Copy>(
    field: Field<String>,
    default: T,
    source: &Source,
    words: &[(&str, T)],
) -> Result<T, ConfigError> {
    let Some(field) = field else { return Ok(default) };
    let read = |given: String| {
        let known = words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
        known.ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("`{given}` means nothing here; use one of: {}", known.join(", "))
        })
    };
    Ok(source.setting(field).try_map(read)?.value)
}

/// A number within bounds.
pub(super) fn number(
    field: Field<u32>,
    default: u32,
    bounds: std::ops::RangeInclusive<u32>,
    source: &Source,
) -> Result<Setting<u32>, ConfigError> {
    let Some(field) = field else { return Ok(Setting { value: default, origin: Origin::Default }) };
    source.setting(field).try_map(|number| {
        if bounds.contains(&number) {
            return Ok(number);
        }
        Err(format!("{number} is out of bounds; use {} to {}", bounds.start(), bounds.end()))
    })
}

fn seconds(number: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(number))
}
