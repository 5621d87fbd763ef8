//! `scim-bridge client`: clients of the token endpoint, which exchange a secret or a signature for short-lived tokens.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::out::{self, Table};
use super::{Desk, Global};
use crate::access::client;
use crate::access::oauth::TOKEN_PATH;
use crate::ids::TenantId;
use crate::model::audit::{Actor, AuditEntry};
use crate::model::client::ClientRecord;
use crate::model::scope::Scopes;
use crate::store::StoreError;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a client and print its secret: this once, because only its hash is kept
    #[command(
        after_help = "The client proves itself by the secret, or with --keys by its own key (private_key_jwt).\n\n\
        Examples:\n  \
        scim-bridge client add --label okta\n  \
        scim-bridge client add --label hr --keys hr.jwks.json --scopes users:read"
    )]
    Add(Add),
    /// Show the clients
    List(List),
    /// Remove a client; its tokens stop working at once
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The tenant that its tokens open
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// What the client is for
    #[arg(long, default_value = "")]
    label: String,
    /// What its tokens may do, with commas between: users:read, users:write, groups:read, groups:write, events:read,
    /// admin
    #[arg(long, default_value_t = Scopes::provisioning())]
    scopes: Scopes,
    /// A file with the public keys of the client as a JSON Web Key Set; then it has no secret
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
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
pub(super) struct Remove {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The client's id, as `client list` shows it
    id: String,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let (Command::Add(Add { tenant, .. })
    | Command::List(List { tenant, .. })
    | Command::Remove(Remove { tenant, .. })) = &command;
    let tenant = tenant.clone();
    Desk::open(global, &tenant, async |desk| match command {
        Command::Add(add) => add.run(desk).await,
        Command::List(list) => list.run(desk).await,
        Command::Remove(remove) => remove.run(desk).await,
    })
    .await
}

impl Add {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let (secret, record) = match self.keys {
            None => {
                let (secret, record) = client::with_secret(&desk.clock, self.tenant, self.label, self.scopes);
                (Some(secret), record)
            }
            Some(path) => {
                let shown = path.display();
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
                let keys = serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
                let record = client::with_keys(&desk.clock, self.tenant, self.label, self.scopes, keys);
                (None, record.with_context(|| format!("{shown} cannot be used"))?)
            }
        };
        let entry = audit(desk, &record.tenant, "client.add", &record.id);
        let stored = record.clone();
        let kept: Result<(), StoreError> = desk
            .store
            .write(move |tx| {
                let (record, entry) = (stored.clone(), entry.clone());
                Box::pin(async move {
                    tx.insert_client(&record).await?;
                    tx.append_audit(&entry).await
                })
            })
            .await;
        kept.context("the client cannot be stored")?;
        if self.json {
            let mut value = to_json(&record);
            if let (Value::Object(object), Some(secret)) = (&mut value, &secret) {
                object.insert("client_secret".to_owned(), secret.expose_secret().into());
            }
            out::print(serde_json::to_string_pretty(&value)?)?;
        } else {
            out::print(format!("client_id      {}", record.id))?;
            if let Some(secret) = secret {
                out::print(format!("client_secret  {}", secret.expose_secret()))?;
                out::note("This is the only time the secret is shown; the store keeps its hash.");
            }
        }
        let base = desk.config.scim_url(&record.tenant);
        let address = base.split("/tenants/").next().unwrap_or(&base).trim_end_matches("/scim/v2");
        out::note(format!("Token endpoint: {address}{TOKEN_PATH}; its tokens open {base}"));
        let gives_tokens = desk.wanted.tenants.get(&record.tenant).is_some_and(|own| own.trust.value.oauth);
        if !gives_tokens {
            out::note(
                "It gives none to clients of this tenant until its settings say oauth = true under [auth].",
            );
        }
        Ok(())
    }
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let clients = desk.store.reader().await?.list_clients(&self.tenant).await?;
        if self.json {
            let clients: Vec<_> = clients.iter().map(to_json).collect();
            return Ok(out::print(serde_json::to_string_pretty(&clients)?)?);
        }
        let mut table = Table::new(&["ID", "LABEL", "STATE", "PROOF", "SCOPES", "CREATED", "LAST USED"]);
        let moment = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}")).unwrap_or_default();
        for client in clients {
            table.row([
                client.id.clone(),
                client.label.clone(),
                state_of(&client).to_owned(),
                proof_of(&client).to_owned(),
                client.scopes.to_string(),
                moment(Some(client.created_at)),
                moment(client.last_used_at),
            ]);
        }
        Ok(out::print(table)?)
    }
}

impl Remove {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let entry = audit(desk, &self.tenant, "client.remove", &self.id);
        let (tenant, id, at) = (self.tenant.clone(), self.id.clone(), desk.clock.now());
        let removed = desk
            .store
            .write(move |tx| {
                let (tenant, id, entry) = (tenant.clone(), id.clone(), entry.clone());
                Box::pin(async move {
                    let removed = tx.revoke_client(&tenant, &id, at).await?;
                    if removed {
                        tx.append_audit(&entry).await?;
                    }
                    Ok::<_, StoreError>(removed)
                })
            })
            .await?;
        let (id, tenant) = (self.id, self.tenant);
        ensure!(removed, "tenant `{tenant}` has no client `{id}`; see `scim-bridge client list`");
        out::note(format!("client {id} is removed, and its tokens work no more"));
        Ok(())
    }
}

fn audit(desk: &Desk, tenant: &TenantId, event: &str, id: &str) -> AuditEntry {
    AuditEntry::by(Actor::CommandLine, tenant, desk.clock.now(), event, json!({ "client_id": id }))
}

fn state_of(client: &ClientRecord) -> &'static str {
    if client.revoked_at.is_some() { "removed" } else { "working" }
}

fn proof_of(client: &ClientRecord) -> &'static str {
    if client.public_keys.is_some() { "key" } else { "secret" }
}

fn to_json(client: &ClientRecord) -> Value {
    json!({
        "client_id": client.id,
        "tenant": client.tenant,
        "label": client.label,
        "state": state_of(client),
        "proof": proof_of(client),
        "scopes": client.scopes.to_string(),
        "created_at": client.created_at,
        "removed_at": client.revoked_at,
        "last_used_at": client.last_used_at,
    })
}
