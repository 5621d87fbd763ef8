//! The report on the draft profile "IPSIE AL1 SCIM 2.0" (openid/ipsie-scim-al1, December 2025): each requirement on the
//! application, in our words, with the evidence that it is met or the reason why it is not.
//!
//! What depends on the settings and on the tokens on record is judged on those. What the program does in any case is
//! met by the test that shows it, by name.

use anyhow::bail;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::out::{self, Table};
use super::super::{Desk, Global};
use crate::config::{Config, TenantConfig, Tls};
use crate::scim::filter::Filter;
use crate::scim::schema::Registry;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Met,
    NotMet,
    /// A requirement on the identity service, or on something outside this program.
    NotOurs,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::NotOurs => "not ours",
        }
    }

    fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::NotMet }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    section: &'static str,
    requirement: &'static str,
    verdict: Verdict,
    evidence: String,
}

fn row(
    section: &'static str,
    requirement: &'static str,
    verdict: Verdict,
    evidence: impl Into<String>,
) -> Row {
    Row { section, requirement, verdict, evidence: evidence.into() }
}

fn met(section: &'static str, requirement: &'static str, evidence: &str) -> Row {
    row(section, requirement, Verdict::Met, evidence)
}

/// What the settings and the database say.
struct Facts {
    /// Tenants that let clients in by something else than access tokens, or not at all by those.
    without_oauth: Vec<String>,
    /// Clients of the token endpoint that prove themselves by a secret.
    with_secret: usize,
    /// Clients that prove themselves by a signed assertion.
    with_key: usize,
    /// Static tokens without an end.
    endless_tokens: usize,
    is_encrypted: bool,
    transport: String,
}

/// Prints the report.
pub(super) async fn report(global: &Global, config: &Config, json: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    Desk::open_for_all(global, async |desk| {
        rows = judge(&facts(desk, config).await?);
        Ok(())
    })
    .await?;
    let count = |verdict: Verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let (met, not_met) = (count(Verdict::Met), count(Verdict::NotMet));
    if json {
        let value: Value =
            json!({ "profile": "IPSIE AL1 SCIM 2.0 (draft, December 2025)", "requirements": rows });
        out::print(serde_json::to_string_pretty(&value)?)?;
    } else {
        let mut table = Table::new(&["SECTION", "REQUIREMENT", "VERDICT", "EVIDENCE"]);
        for Row { section, requirement, verdict, evidence } in rows {
            table.row([section.to_owned(), requirement.to_owned(), verdict.as_str().to_owned(), evidence]);
        }
        out::print(table)?;
    }
    out::note(format!("IPSIE AL1 SCIM 2.0 (draft, December 2025): {met} met, {not_met} not met"));
    if not_met > 0 {
        bail!("the profile is not met in full; see above");
    }
    Ok(())
}

async fn facts(desk: &Desk, config: &Config) -> anyhow::Result<Facts> {
    let records = desk.store.reader().await?.list_tenants().await?;
    let stored = records.iter().filter(|record| record.disabled_at.is_none());
    let stored = stored.filter_map(|record| crate::app::settings_of(config, record).ok());
    let tenants: Vec<TenantConfig> = config.tenants.values().cloned().chain(stored).collect();
    let now = desk.clock.now();
    let (mut endless_tokens, mut with_secret, mut with_key) = (0, 0, 0);
    let mut without_oauth = Vec::new();
    for tenant in &tenants {
        let mut reader = desk.store.reader().await?;
        let tokens = reader.list_tokens(&tenant.tenant).await?;
        let clients = reader.list_clients(&tenant.tenant).await?;
        let live: Vec<_> = tokens.iter().filter(|token| token.is_live(now)).collect();
        let fixed = usize::from(tenant.static_token.is_some());
        endless_tokens += live.iter().filter(|token| token.expires_at.is_none()).count() + fixed;
        let working = || clients.iter().filter(|client| client.revoked_at.is_none());
        with_secret += working().filter(|client| client.secret_hash.is_some()).count();
        with_key += working().filter(|client| client.public_keys.is_some()).count();
        let trust = &tenant.trust.value;
        if (!trust.oauth && trust.issuers.is_empty()) || live.len() + fixed > 0 {
            without_oauth.push(tenant.tenant.to_string());
        }
    }
    let public = config.public_url.as_ref();
    let is_public_https = public.is_some_and(|url| url.value.scheme() == "https");
    let transport = match (&config.entrance.tls, is_public_https) {
        (Some(Tls::Acme(acme)), _) => {
            format!("HTTPS in the program, TLS 1.2 and 1.3 alone, certificates of {}", acme.value.directory)
        }
        (Some(Tls::Files(files)), _) => {
            format!("HTTPS in the program, TLS 1.2 and 1.3 alone, certificate {}", files.certificate.value.display())
        }
        (None, true) => {
            "clients come by https (public_url); see that the proxy in front takes TLS 1.2 or later alone".to_owned()
        }
        (None, false) => {
            "set tls_certificate_file and tls_key_file or the table [server.acme] under [server], or an https public_url behind a TLS proxy"
                .to_owned()
        }
    };
    let is_encrypted = config.entrance.tls.is_some() || is_public_https;
    Ok(Facts { without_oauth, with_secret, with_key, endless_tokens, is_encrypted, transport })
}

fn judge(facts: &Facts) -> Vec<Row> {
    let is_oauth = facts.without_oauth.is_empty();
    let oauth = if is_oauth {
        "every tenant takes access tokens, and no static token is live".to_owned()
    } else {
        format!("static tokens, or no OAuth, in: {}", facts.without_oauth.join(", "))
    };
    let serves = |name: &str| Registry::builtin().resource_type(name).is_some();
    let proof =
        format!("clients on record: {} with a key, {} with a secret", facts.with_key, facts.with_secret);
    let mut rows = vec![
        row("Authentication", "all SCIM requests by OAuth 2.0", Verdict::of(is_oauth), oauth),
        row(
            "Authentication",
            "clients authenticate by a signed JWT (RFC 7523)",
            Verdict::of(is_oauth && facts.with_key > 0 && facts.with_secret == 0),
            proof,
        ),
        met("Authentication", "the access token comes as Authorization: Bearer", "scim_auth"),
        row(
            "Authentication",
            "access tokens have the scope scim and no more",
            Verdict::NotMet,
            "scopes here are finer: users:read, users:write, groups:read and so on, each client with those it needs",
        ),
        met(
            "Authentication",
            "metadata of the authorization server (RFC 8414)",
            "served at /.well-known/oauth-authorization-server once a tenant has oauth = true; access_oauth",
        ),
        row(
            "Authentication",
            "a jwks_uri to verify signatures by",
            Verdict::NotOurs,
            "for the identity service to give",
        ),
        met("General", "what RFC 7643 and RFC 7644 ask of a service provider", "conformance, scim_* tests"),
        row(
            "General",
            "no changes to users and groups in the application itself",
            Verdict::NotMet,
            "OpenAI's own console stays open to its owners; what they change is noticed at the next reading",
        ),
    ];
    rows.extend(users());
    rows.extend([
        met("Groups", "POST", "scim_groups"),
        met("Groups", "GET of all, in pages, and by id, also without members", "scim_groups, scim_paging"),
        met("Groups", "GET with a filter", "scim_groups, differential_filter"),
        met("Groups", "PATCH: add members, remove one, remove all", "scim_groups, transcripts"),
        row(
            "Metadata",
            "/ResourceTypes, with users and groups",
            Verdict::of(serves("User") && serves("Group")),
            "resource types User and Group",
        ),
        met("Metadata", "/ServiceProviderConfig, true to what is served", "scim_discovery"),
        met("Metadata", "/Schemas, with users and groups", "scim_discovery"),
        row("Security", "TLS 1.2 or later", Verdict::of(facts.is_encrypted), facts.transport.clone()),
        met("Security", "errors as SCIM errors, without internals", "scim_errors, scim_hostile"),
        row(
            "Security",
            "access tokens expire",
            Verdict::of(facts.endless_tokens == 0),
            format!(
                "{} live tokens without an end; `token create --expires` gives one",
                facts.endless_tokens
            ),
        ),
        met(
            "Security",
            "every provisioning action and its outcome is on record",
            "store_contract::trail, crash",
        ),
        met("Security", "limits on all endpoints, answered by 429", "scim_gate"),
    ]);
    rows
}

/// The requirements on users.
fn users() -> Vec<Row> {
    let mut rows = vec![
        met("Users", "POST, with externalId and a primary e-mail address", "scim_users, transcripts"),
        met("Users", "PATCH", "scim_patch, model_patch"),
        met("Users", "deactivate and reactivate by PATCH", "scim_users, transcripts, provision"),
        met(
            "Users",
            "a deactivation takes effect within 5 minutes",
            "provision::a_deactivation_does_not_wait_behind_a_bulk_of_creates; its age is a metric",
        ),
        row(
            "Users",
            "a deactivation ends sessions, API tokens and keys too",
            Verdict::NotMet,
            "the membership is removed; that OpenAI then ends every session and key at once is not in its reference",
        ),
        met("Users", "DELETE, after which the userName is free", "scim_users"),
        met("Users", "GET of all, in pages", "scim_paging"),
        met(
            "Users",
            "429 with Retry-After beyond a limit",
            "scim_gate::one_token_too_busy_is_told_when_to_come_back_and_hinders_no_other",
        ),
        met("Users", "GET by id", "scim_users"),
    ];
    for (requirement, example) in [
        ("filter userName eq", "userName eq \"jane@example.com\""),
        ("filter externalId eq", "externalId eq \"00u1\""),
        ("filter emails[value eq]", "emails[value eq \"jane@example.com\"]"),
    ] {
        rows.push(row(
            "Users",
            requirement,
            Verdict::of(Filter::parse(example).is_ok()),
            format!("understood: {example}"),
        ));
    }
    rows
}
