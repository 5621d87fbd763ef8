//! `scim-bridge doctor`: looks at everything that a server needs, and says what to do about what is wrong.

mod ipsie;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::net::TcpStream;

use super::out::{self, Table};
use super::{Desk, Global};
use crate::access::expiry::{NOTICE, in_words, time_left};
use crate::app;
use crate::clock::Clock;
use crate::config::{Acme, Config, Flags, Setting, TenantConfig, Tls};
use crate::ids::TenantId;
use crate::model::token::TokenRecord;
use crate::openai::{Client, FailureKind};
use crate::seal::MasterKey;
use crate::telemetry::Metrics;
use crate::tls::server::{ServerTls, valid_until};

/// How long something on this machine has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 if nothing is wrong, 1 otherwise. Nothing is changed anywhere.\n\nExamples:\n  \
    scim-bridge doctor --config /etc/scim-bridge.toml\n  \
    scim-bridge doctor --ipsie"
)]
pub(super) struct Doctor {
    /// Report on each requirement of the draft profile IPSIE SCIM AL1 instead: met or not, and by what evidence
    #[arg(long)]
    ipsie: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Wrong,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
        })
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    /// How it is and, unless it is well, what to do.
    detail: String,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn note(&mut self, what: impl Into<String>, state: State, detail: impl Into<String>) {
        self.0.push(Finding { what: what.into(), state, detail: detail.into() });
    }

    fn ok(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.note(what, State::Ok, detail);
    }

    fn warn(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.note(what, State::Warning, detail);
    }

    fn wrong(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.note(what, State::Wrong, detail);
    }

    fn show(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return Ok(out::print(serde_json::to_string_pretty(&self.0)?)?);
        }
        let mut table = Table::new(&["WHAT", "STATE", "DETAIL"]);
        for Finding { what, state, detail } in &self.0 {
            table.row([what.clone(), state.to_string(), detail.clone()]);
        }
        Ok(out::print(table)?)
    }
}

impl Doctor {
    /// Looks at everything; fails if something is wrong.
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut findings = Findings::default();
        match global.load(Flags::default()) {
            Err(error) => findings.wrong("settings", format!("{error:#}")),
            Ok(config) if self.ipsie => return ipsie::report(global, &config, self.json).await,
            Ok(config) => {
                findings.ok("settings", "can be read");
                look_at_entrance(&config, &Clock::system(), &mut findings).await;
                let looked = Desk::open_for_all(global, async |desk| {
                    findings.ok("database", format!("{} can be read and written", config.database_label()));
                    look_at_tenants(desk, &mut findings).await
                });
                if let Err(error) = looked.await {
                    findings.wrong("database", format!("{error:#}"));
                }
            }
        }
        findings.show(self.json)?;
        if findings.0.iter().any(|finding| finding.state == State::Wrong) {
            bail!("something is wrong; see above");
        }
        Ok(())
    }
}

/// How clients reach the program.
async fn look_at_entrance(config: &Config, clock: &Clock, findings: &mut Findings) {
    match app::check(config) {
        Ok(()) => findings.ok("what serve needs", "is there"),
        Err(error) => findings.wrong("what serve needs", format!("{error:#}")),
    }
    if let Some(Tls::Acme(settings)) = &config.entrance.tls {
        look_at_own_certificate(settings, clock, findings);
    } else if let Some(Tls::Files(files)) = &config.entrance.tls {
        let (certificate, key) = (&files.certificate.value, &files.key.value);
        match ServerTls::load(certificate, key).map_err(anyhow::Error::from).and_then(|_| ends(certificate)) {
            Ok(end) => {
                let left = end.duration_since(clock.now());
                expiry("certificate", left, "put a new one into the same files", findings);
            }
            Err(error) => findings.wrong("certificate", format!("{error:#}")),
        }
    } else if config.listen.value.ip().is_loopback() {
        findings
            .ok("TLS", "none here, and only this machine reaches the listener: a proxy in front must do it");
    } else {
        findings.warn("TLS", "none here; make sure that nobody but a TLS proxy reaches the listener");
    }
    match &config.public_url {
        Some(url) if url.value.scheme() == "https" => findings.ok("public URL", url.value.as_str()),
        Some(url) => findings.warn(
            "public URL",
            format!("{} is not https, which identity providers insist on", url.value),
        ),
        None => findings.warn(
            "public URL",
            "is not set, so meta.location names the listener; set SCIM_BRIDGE_PUBLIC_URL to what clients call",
        ),
    }
    let listener = tokio::time::timeout(PATIENCE, TcpStream::connect(config.listen.value)).await;
    let listen = config.listen.value;
    if matches!(listener, Ok(Ok(_))) {
        findings.ok("listener", format!("{listen} takes connections"));
    } else {
        findings.warn("listener", format!("nobody listens on {listen}; `scim-bridge serve` would"));
    }
}

/// A certificate that comes by itself: it is well while the next one is not due.
fn look_at_own_certificate(settings: &Setting<Acme>, clock: &Clock, findings: &mut Findings) {
    let now = clock.now();
    match app::kept_certificate(settings) {
        Ok(Some(kept)) if now < kept.renewal => {
            let (left, renewal) = (kept.ends.duration_since(now), kept.renewal.duration_since(now));
            let days = |left: SignedDuration| left.as_hours() / 24;
            let detail = format!("good for {} days, and renewed in {}", days(left), days(renewal));
            findings.ok("certificate", detail);
        }
        Ok(Some(kept)) => {
            let left = kept.ends.duration_since(now);
            let advice = "another one is due, and the log of `scim-bridge serve` says why there is none";
            if left.is_negative() {
                findings.wrong("certificate", format!("ended: {advice}"));
            } else {
                findings.warn("certificate", format!("ends in {}: {advice}", in_words(left)));
            }
        }
        Ok(None) => {
            let names = settings.value.domains.join(", ");
            let advice = "`scim-bridge serve` gets one once port 443 leads to it under";
            findings.warn("certificate", format!("none yet; {advice} {names}"));
        }
        Err(error) => findings.wrong("certificate", format!("{error:#}")),
    }
}

fn ends(certificate: &Path) -> anyhow::Result<Timestamp> {
    valid_until(certificate).with_context(|| format!("{} cannot be understood", certificate.display()))
}

/// Says when something ends, and what to do about it in time.
fn expiry(what: impl Into<String>, left: SignedDuration, advice: &str, findings: &mut Findings) {
    let days = left.as_hours() / 24;
    if left.is_negative() {
        findings.wrong(what, format!("ended: {advice}"));
    } else if left < NOTICE {
        findings.warn(what, format!("ends in {}: {advice}", in_words(left)));
    } else {
        findings.ok(what, format!("good for {days} days"));
    }
}

async fn look_at_tenants(desk: &Desk, findings: &mut Findings) -> anyhow::Result<()> {
    desk.store.health().await?;
    if let Some(master) = &desk.config.master_key {
        match MasterKey::parse(&master.value) {
            Ok(_) => findings.ok("master key", "is one"),
            Err(error) => findings.wrong("master key", format!("{}: {error}", master.origin)),
        }
    }
    let records = desk.store.reader().await?.list_tenants().await?;
    let mut tenants: Vec<TenantConfig> = desk.config.tenants.values().cloned().collect();
    if !records.is_empty() && !desk.config.wants_default() {
        tenants.retain(|tenant| tenant.tenant != TenantId::default_tenant());
    }
    for record in records {
        match app::settings_of(&desk.config, &record) {
            _ if record.disabled_at.is_some() => {
                findings.warn(format!("{}: settings", record.tenant), "disabled, so nothing is done for it");
            }
            Ok(tenant) => tenants.push(tenant),
            Err(error) => findings.wrong(format!("{}: settings", record.tenant), format!("{error:#}")),
        }
    }
    for tenant in tenants {
        look_at_key(desk, &tenant, findings).await;
        let tokens = desk.store.reader().await?.list_tokens(&tenant.tenant).await?;
        look_at_tokens(desk, &tenant, &tokens, findings);
    }
    Ok(())
}

/// Asks OpenAI for one member: shows that it is reached and that it takes the key.
async fn look_at_key(desk: &Desk, tenant: &TenantConfig, findings: &mut Findings) {
    let what = |part: &str| format!("{}: {part}", tenant.tenant);
    let client = app::client_settings(tenant)
        .map_err(anyhow::Error::from)
        .and_then(|settings| Ok(Client::new(settings, desk.clock.clone(), Metrics::new())?));
    let client = match client {
        Ok(client) => client,
        Err(error) => return findings.wrong(what("admin key"), format!("{error:#}")),
    };
    match client.list_users(None, 1).await {
        Ok(_) => findings.ok(what("OpenAI"), format!("{} answers and takes the key", tenant.base_url.value)),
        Err(failure) => match failure.kind {
            FailureKind::RateLimited { .. } => {
                findings.warn(
                    what("OpenAI"),
                    "reached, but the limit of calls is used up; ask again in a minute",
                );
            }
            FailureKind::KeyRefused => findings.wrong(what("admin key"), failure.to_string()),
            FailureKind::NotSent => findings.wrong(
                what("OpenAI"),
                format!("{failure}; may this machine connect to {}?", tenant.base_url.value),
            ),
            _ => findings.warn(what("OpenAI"), failure.to_string()),
        },
    }
}

fn look_at_tokens(desk: &Desk, tenant: &TenantConfig, tokens: &[TokenRecord], findings: &mut Findings) {
    let now = desk.clock.now();
    let working: Vec<_> = tokens.iter().filter(|token| token.is_live(now)).collect();
    let count = working.len() + usize::from(tenant.static_token.is_some());
    let trust = &tenant.trust.value;
    let what = |part: &str| format!("{}: {part}", tenant.tenant);
    if count > 0 {
        findings.ok(what("tokens"), format!("{count} work"));
    } else if trust.oauth || !trust.issuers.is_empty() {
        findings.ok(what("tokens"), "none; signed tokens let clients in");
    } else {
        let make = format!("none works; make one with `scim-bridge token create --tenant {}`", tenant.tenant);
        findings.warn(what("tokens"), make);
    }
    for token in working {
        if let Some(left) = time_left(token, now) {
            let advice = format!("`scim-bridge token rotate start {}`", token.id);
            expiry(what(&format!("token {}", token.id)), left, &advice, findings);
        }
    }
}
