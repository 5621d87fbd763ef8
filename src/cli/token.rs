//! `scim-bridge token`: the bearer tokens that identity providers present.

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::out::{self, Table};
use super::{Desk, Global, rotate};
use crate::access::{expiry, token};
use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::audit::{Actor, AuditEntry};
use crate::model::scope::Scopes;
use crate::model::token::TokenRecord;
use crate::store::{Store, StoreError};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token and print it: this once, because only its hash is kept
    #[command(after_help = "The token alone goes to standard output.\n\nExamples:\n  \
        scim-bridge token create --label okta\n  \
        scim-bridge token create --label entra --expires 180d --json\n  \
        scim-bridge token create --label audit --scopes users:read,groups:read")]
    Create(Create),
    /// Show the tokens: what for, since when, until when, last used
    List(List),
    /// Exchange a token for a new one without an outage: both work until you complete it
    #[command(subcommand)]
    Rotate(rotate::Command),
    /// Make a token stop working, at once
    #[command(after_help = "Example:\n  scim-bridge token revoke 1f2e3d4c5b6a")]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The tenant that the token opens
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// What the token is for
    #[arg(long, default_value = "")]
    label: String,
    /// When it stops working: a number of hours, days or weeks (12h, 90d, 26w); without it never
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    expires: Option<SignedDuration>,
    /// What it may do, with commas between: users:read, users:write, groups:read, groups:write, events:read, admin
    #[arg(long, default_value_t = Scopes::provisioning())]
    scopes: Scopes,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The token's id, as `token list` shows it
    id: String,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let tenant = match &command {
        Command::Rotate(command) => command.tenant().clone(),
        Command::Create(Create { tenant, .. })
        | Command::List(List { tenant, .. })
        | Command::Revoke(Revoke { tenant, .. }) => tenant.clone(),
    };
    Desk::open(global, &tenant, async |desk| match command {
        Command::Create(create) => create.run(desk).await,
        Command::List(list) => list.run(desk).await,
        Command::Revoke(revoke) => revoke.run(desk).await,
        Command::Rotate(command) => command.run(desk).await,
    })
    .await
}

/// Makes a token and keeps its record; the text is not to be had again.
pub(super) async fn issue(
    store: &Store,
    clock: &Clock,
    tenant: TenantId,
    label: String,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> anyhow::Result<(SecretString, TokenRecord)> {
    let (text, record) = token::mint(clock, tenant, label, scopes, expires_at);
    keep(store, clock, &record, "token.create").await?;
    Ok((text, record))
}

/// Keeps the record of a new token, and enters the event in the trail.
pub(super) async fn keep(
    store: &Store,
    clock: &Clock,
    record: &TokenRecord,
    event: &str,
) -> anyhow::Result<()> {
    let entry = audit(clock, &record.tenant, event, &record.id);
    let stored = record.clone();
    store
        .write(move |tx| {
            let (record, entry) = (stored.clone(), entry.clone());
            Box::pin(async move {
                tx.insert_token(&record).await?;
                tx.append_audit(&entry).await
            })
        })
        .await
        .context("the token cannot be stored")
}

impl Create {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let expires_at = self.expires.map(|lifetime| desk.clock.now().checked_add(lifetime)).transpose()?;
        let (text, record) =
            issue(&desk.store, &desk.clock, self.tenant, self.label, self.scopes, expires_at).await?;
        show_once(&text, &record, desk.clock.now(), self.json)
    }
}

/// Prints a new token, this once.
pub(super) fn show_once(
    text: &SecretString,
    record: &TokenRecord,
    now: Timestamp,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let mut value = to_json(record, now);
        if let Value::Object(object) = &mut value {
            object.insert("token".to_owned(), text.expose_secret().into());
        }
        out::print(serde_json::to_string_pretty(&value)?)?;
    } else {
        out::note("This is the only time the token is shown; the store keeps its hash:");
        out::print(text.expose_secret())?;
    }
    Ok(())
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let tokens = desk.store.reader().await?.list_tokens(&self.tenant).await?;
        let now = desk.clock.now();
        if self.json {
            let tokens: Vec<_> = tokens.iter().map(|token| to_json(token, now)).collect();
            return Ok(out::print(serde_json::to_string_pretty(&tokens)?)?);
        }
        let mut table =
            Table::new(&["ID", "LABEL", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "NOTE"]);
        let moment = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}")).unwrap_or_default();
        for token in &tokens {
            table.row([
                token.id.clone(),
                token.label.clone(),
                state_of(token, now).to_owned(),
                token.scopes.to_string(),
                moment(Some(token.created_at)),
                moment(token.expires_at),
                moment(token.last_used_at),
                note_on(token, &tokens, now),
            ]);
        }
        Ok(out::print(table)?)
    }
}

impl Revoke {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let entry = audit(&desk.clock, &self.tenant, "token.revoke", &self.id);
        let (tenant, id, at) = (self.tenant.clone(), self.id.clone(), desk.clock.now());
        let revoked = desk
            .store
            .write(move |tx| {
                let (tenant, id, entry) = (tenant.clone(), id.clone(), entry.clone());
                Box::pin(async move {
                    let revoked = tx.revoke_token(&tenant, &id, at).await?;
                    if revoked {
                        tx.append_audit(&entry).await?;
                    }
                    Ok::<_, StoreError>(revoked)
                })
            })
            .await?;
        let (id, tenant) = (self.id, self.tenant);
        ensure!(revoked, "tenant `{tenant}` has no working token `{id}`; see `scim-bridge token list`");
        out::note(format!("token {id} is revoked"));
        Ok(())
    }
}

pub(super) fn audit(clock: &Clock, tenant: &TenantId, event: &str, id: &str) -> AuditEntry {
    AuditEntry::by(Actor::CommandLine, tenant, clock.now(), event, json!({ "token_id": id }))
}

/// What an administrator should know of a token: an exchange that is under way, an end that is near.
fn note_on(token: &TokenRecord, all: &[TokenRecord], now: Timestamp) -> String {
    let mut notes = Vec::new();
    if let Some(new) = rotate::successor(token, all, now) {
        notes.push(format!("being replaced by {}", new.id));
    }
    if let Some(old) = rotate::predecessor(token, all, now) {
        notes.push(format!("replaces {}", old.id));
    }
    notes.extend(expiry::time_left(token, now).map(|left| format!("stops in {}", expiry::in_words(left))));
    notes.join("; ")
}

fn state_of(token: &TokenRecord, now: Timestamp) -> &'static str {
    if token.revoked_at.is_some() {
        "revoked"
    } else if !token.is_live(now) {
        "expired"
    } else {
        "working"
    }
}

fn to_json(token: &TokenRecord, now: Timestamp) -> Value {
    json!({
        "id": token.id,
        "tenant": token.tenant,
        "label": token.label,
        "state": state_of(token, now),
        "scopes": token.scopes.to_string(),
        "replaces": token.replaces,
        "stops_soon": expiry::time_left(token, now).is_some(),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    })
}

/// Reads `12h`, `90d` or `26w`.
pub(super) fn parse_lifetime(text: &str) -> anyhow::Result<SignedDuration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let hours_per_unit = match text.strip_prefix(digits) {
        Some("h") => 1,
        Some("d") => 24,
        Some("w") => 7 * 24,
        _ => bail!("write a number and a unit: 12h, 90d or 26w"),
    };
    let hours = digits.parse::<u32>().map(i64::from)?.saturating_mul(hours_per_unit);
    ensure!(hours > 0, "a token must work for some time");
    SignedDuration::try_from_hours(hours)
        .ok_or_else(|| anyhow::anyhow!("that is too long; leave --expires out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_number_with_a_unit() {
        assert_eq!(parse_lifetime("12h").unwrap(), SignedDuration::from_hours(12));
        assert_eq!(parse_lifetime("90d").unwrap(), SignedDuration::from_hours(90 * 24));
        assert_eq!(parse_lifetime("2w").unwrap(), SignedDuration::from_hours(2 * 7 * 24));
        for bad in ["", "90", "d", "0d", "-1d", "1.5d", "90 d", "3y", "99999999999d"] {
            assert!(parse_lifetime(bad).is_err(), "{bad:?}");
        }
    }
}
