//! `scim-bridge tenant`: the tenants that are set up in the database, beside those of the settings files.

use std::io;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::out::{self, Table};
use super::{Desk, Global};
use crate::app;
use crate::config::{ConfigError, TenantConfig, check_apart, edit_stored};
use crate::ids::TenantId;
use crate::model::audit::{Actor, AuditEntry};
use crate::model::tenant::TenantRecord;
use crate::seal::MasterKey;
use crate::store::StoreError;

/// Where the settings say in which variable the key is.
const KEY_ENV: &str = "upstream.admin_key_env";
/// Where the settings say in which file the key is.
const KEY_FILE: &str = "upstream.admin_key_file";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set up a tenant: one more identity provider, or one more OpenAI organization
    #[command(
        after_help = "A running server takes it up within seconds. Settings are those of the file, as in \
        [tenants.NAME].\n\nExamples:\n  \
        scim-bridge tenant add acme --profile okta --key-stdin < key.txt\n  \
        scim-bridge tenant add acme --key-file /run/secrets/acme safety.min_owners=3\n  \
        scim-bridge token create --tenant acme --label okta"
    )]
    Add(Add),
    /// Show all tenants, of the settings and of the database
    List(List),
    /// Show the settings of a tenant; never its key
    Show(Show),
    /// Change settings or the key of a tenant
    #[command(after_help = "Examples:\n  \
        scim-bridge tenant set acme safety.min_owners=3 'invites.allowed_domains=[\"example.com\"]'\n  \
        scim-bridge tenant set acme --unset safety.min_owners\n  \
        scim-bridge tenant set acme --key-stdin < new-key.txt")]
    Set(Set),
    /// Stop serving a tenant, and keep everything
    Disable(Named),
    /// Serve a disabled tenant again
    Enable(Named),
    /// Forget a disabled tenant: settings, key, tokens and records, but not the audit trail; OpenAI is left as it is
    Remove(Remove),
}

/// Where the admin key is. It is never an argument.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct KeyPlace {
    /// The server finds the admin key in this environment variable of its own
    #[arg(long = "key-env", value_name = "VARIABLE")]
    env: Option<String>,
    /// The server finds the admin key in this file
    #[arg(long = "key-file", value_name = "FILE")]
    file: Option<String>,
    #[arg(
        long = "key-stdin",
        help = "Read the admin key from standard input and keep it in the database, encrypted with SCIM_BRIDGE_MASTER_KEY"
    )]
    stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The name: lower-case letters, digits and hyphens; it is part of the SCIM base URL
    name: TenantId,
    /// The identity provider: generic, okta, entra, …
    #[arg(long)]
    profile: Option<String>,
    #[command(flatten)]
    key: KeyPlace,
    #[arg(value_name = "KEY=VALUE", help = "Settings, such as safety.min_owners=3")]
    settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The tenant
    name: TenantId,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The tenant
    name: TenantId,
    #[command(flatten)]
    key: KeyPlace,
    #[arg(value_name = "KEY=VALUE", help = "Settings, such as safety.min_owners=3")]
    settings: Vec<String>,
    /// A setting to take out; may be given several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The tenant
    name: TenantId,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The tenant
    name: TenantId,
    /// Yes, forget it
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    Desk::open_for_all(global, async |desk| match command {
        Command::Add(add) => add.run(desk).await,
        Command::List(list) => list.run(desk).await,
        Command::Show(show) => show.run(desk).await,
        Command::Set(set) => set.run(desk).await,
        Command::Disable(Named { name }) => switch(desk, &name, false).await,
        Command::Enable(Named { name }) => switch(desk, &name, true).await,
        Command::Remove(remove) => remove.run(desk).await,
    })
    .await
}

impl KeyPlace {
    /// Writes into the record where the key is, or the key itself.
    fn put_into(self, desk: &Desk, record: &mut TenantRecord) -> anyhow::Result<()> {
        let place = match (self.env, self.file) {
            (Some(variable), _) => Some((KEY_ENV, variable)),
            (_, Some(file)) => Some((KEY_FILE, file)),
            (None, None) => None,
        };
        if place.is_none() && !self.stdin {
            return Ok(());
        }
        for other in [KEY_ENV, KEY_FILE] {
            // What is not set need not be taken out.
            record.settings =
                edit_stored(&record.settings, other, None).unwrap_or_else(|_not_set| record.settings.clone());
        }
        record.admin_key = None;
        if let Some((key, value)) = place {
            // As a text, whatever it looks like.
            let value = format!("{value:?}");
            record.settings = edit_stored(&record.settings, key, Some(&value))?;
            return Ok(());
        }
        let master = desk.config.master_key.as_ref().context(
            "to keep a key in the database it must be encrypted: make a master key with `openssl rand -hex 32`, and give \
             it to this command and to the server as SCIM_BRIDGE_MASTER_KEY or, in a file, SCIM_BRIDGE_MASTER_KEY_FILE. \
             Keep it apart from the database",
        )?;
        let master = MasterKey::parse(&master.value).with_context(|| master.origin.to_string())?;
        let sealed = master.seal(&desk.clock, &record.tenant, &read_key()?)?;
        record.admin_key = Some(sealed);
        Ok(())
    }
}

/// The key on standard input.
fn read_key() -> anyhow::Result<SecretString> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("the key cannot be read from standard input")?;
    let key = line.trim();
    ensure!(!key.is_empty(), "there is no key on standard input");
    ensure!(
        key.chars().all(|c| c.is_ascii_graphic()),
        "what is on standard input is no key: it holds blanks or other characters that no key has"
    );
    Ok(SecretString::from(key))
}

/// Puts KEY=VALUE into settings.
fn put_settings(text: &str, settings: &[String]) -> anyhow::Result<String> {
    settings.iter().try_fold(text.to_owned(), |text, setting| {
        let (key, value) = setting
            .split_once('=')
            .with_context(|| format!("`{setting}`: write KEY=VALUE, such as safety.min_owners=3"))?;
        ensure!(
            ![KEY_ENV, KEY_FILE].contains(&key.trim()),
            "`{}`: say --key-env or --key-file instead",
            key.trim()
        );
        Ok(edit_stored(&text, key.trim(), Some(value.trim()))?)
    })
}

/// Refuses settings that a server would refuse. The key is left out: it may be only where the server is.
fn check(desk: &Desk, record: &TenantRecord) -> anyhow::Result<()> {
    let without_key = [KEY_ENV, KEY_FILE].into_iter().fold(record.settings.clone(), |text, key| {
        edit_stored(&text, key, None).unwrap_or_else(|_not_set| text.clone())
    });
    let tenant = desk.config.read_stored(&record.tenant, &without_key, None)?;
    if tenant.signs() {
        desk.config.signing_key_place()?;
    }
    let mut tenants = desk.wanted.tenants.clone();
    tenants.insert(record.tenant.clone(), tenant);
    Ok(check_apart(&tenants)?)
}

impl Add {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let Self { name, profile, key, settings } = self;
        ensure!(
            name != TenantId::default_tenant() && !desk.config.tenants.contains_key(&name),
            "tenant `{name}` is set up in the settings; choose another name"
        );
        let now = desk.clock.now();
        let mut record = TenantRecord {
            tenant: name.clone(),
            settings: put_settings("", &settings)?,
            admin_key: None,
            disabled_at: None,
            created_at: now,
            revision: now.as_microsecond(),
        };
        if let Some(profile) = profile {
            record.settings = edit_stored(&record.settings, "profile", Some(&format!("{profile:?}")))?;
        }
        check(desk, &record)?;
        key.put_into(desk, &mut record)?;
        let has_key = record.admin_key.is_some() || record.settings.contains("admin_key_");
        match write(desk, Change::Add(record), "tenant.add").await {
            Err(StoreError::Taken) => {
                bail!("there is a tenant `{name}` already; see `scim-bridge tenant list`")
            }
            added => added?,
        }
        out::note(format!(
            "tenant {name} is set up. SCIM base URL: {}\nNext: scim-bridge token create --tenant {name} --label …",
            desk.config.scim_url(&name)
        ));
        if !has_key {
            out::note(format!(
                "It has no OpenAI admin key yet and is not served until it has: scim-bridge tenant set {name} --key-stdin"
            ));
        }
        Ok(())
    }
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let records = desk.store.reader().await?.list_tenants().await?;
        let mut rows = Vec::new();
        for config in desk.config.tenants.values() {
            if records.is_empty()
                || config.tenant != TenantId::default_tenant()
                || desk.config.wants_default()
            {
                rows.push((config.tenant.clone(), "settings", State::of(config), Some(config.clone())));
            }
        }
        for record in &records {
            let config = app::settings_of(&desk.config, record);
            let unusable = desk.wanted.unusable.iter().find(|(unusable, _)| *unusable == record.tenant);
            let state = match (&config, unusable) {
                _ if record.disabled_at.is_some() => State::Disabled,
                (_, Some((_, error))) | (Err(error), None) => State::of_error(error),
                (Ok(config), None) => State::of(config),
            };
            // Without its key, the rest may still be shown.
            let shown =
                config.or_else(|_unusable| desk.config.read_stored(&record.tenant, &record.settings, None));
            rows.push((record.tenant.clone(), "database", state, shown.ok()));
        }
        let mut reasons = Vec::new();
        let mut table = Table::new(&["NAME", "FROM", "STATE", "PROFILE", "KEY", "TOKENS"]);
        let mut values = Vec::new();
        for (tenant, from, state, config) in rows {
            let tokens = desk.store.reader().await?.list_tokens(&tenant).await?;
            let working = tokens.iter().filter(|token| token.revoked_at.is_none()).count();
            let profile = config.as_ref().map(|config| config.profile.value.to_string()).unwrap_or_default();
            let key = config.and_then(|config| config.admin_key).map(|key| key.origin.to_string());
            values.push(json!({
                "name": tenant, "from": from, "state": state.word(), "reason": state.reason(), "profile": profile,
                "key": key, "tokens": working,
            }));
            reasons.extend(state.reason().map(|reason| format!("\n{tenant}: {reason}")));
            let word = state.word().to_owned();
            let cells = [from.to_owned(), word, profile, key.unwrap_or_default(), working.to_string()];
            table.row([tenant.to_string()].into_iter().chain(cells));
        }
        if self.json {
            out::print(serde_json::to_string_pretty(&values)?)?;
        } else {
            out::print(table)?;
            for reason in reasons {
                out::print(reason)?;
            }
        }
        Ok(())
    }
}

/// Whether a tenant is served.
enum State {
    Enabled,
    Disabled,
    NoKey,
    Unusable(String),
}

impl State {
    fn of(config: &TenantConfig) -> Self {
        if config.admin_key.is_some() { Self::Enabled } else { Self::NoKey }
    }

    fn of_error(error: &anyhow::Error) -> Self {
        match error.downcast_ref() {
            Some(ConfigError::MissingKey { .. }) => Self::NoKey,
            _ => Self::Unusable(format!("{error:#}")),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::NoKey => "no key",
            Self::Unusable(_) => "unusable",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Unusable(reason) => Some(reason),
            _ => None,
        }
    }
}

impl Show {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let name = self.name;
        let record = desk.store.reader().await?.load_tenant(&name).await?;
        let (mut lines, text) = match (desk.config.tenants.get(&name), record) {
            (Some(config), _) => (config.describe(), None),
            (None, Some(record)) => {
                let config = app::settings_of(&desk.config, &record).or_else(|_no_key| {
                    Ok::<_, anyhow::Error>(desk.config.read_stored(&name, &record.settings, None)?)
                });
                let lines = config.as_ref().map(TenantConfig::describe).unwrap_or_default();
                (lines, Some(record.settings))
            }
            (None, None) => bail!("there is no tenant `{name}`; see `scim-bridge tenant list`"),
        };
        let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
        for (setting, value, origin) in lines.drain(..) {
            table.row([setting, value, origin.to_string()]);
        }
        out::print(format!("SCIM base URL  {}\n\n{table}", desk.config.scim_url(&name)))?;
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out::print(format!("\nAs it would stand in a file:\n\n{}", text.trim_end()))?;
        }
        Ok(())
    }
}

impl Set {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let Self { name, key, settings, unset } = self;
        let mut record = load(desk, &name).await?;
        record.settings = put_settings(&record.settings, &settings)?;
        for key in &unset {
            record.settings = edit_stored(&record.settings, key, None)?;
        }
        check(desk, &record)?;
        key.put_into(desk, &mut record)?;
        update(desk, record, "tenant.set").await?;
        out::note(format!("tenant {name} is changed; a running server takes it up within seconds"));
        Ok(())
    }
}

async fn switch(desk: &Desk, name: &TenantId, enabled: bool) -> anyhow::Result<()> {
    let mut record = load(desk, name).await?;
    record.disabled_at = (!enabled).then(|| desk.clock.now());
    update(desk, record, if enabled { "tenant.enable" } else { "tenant.disable" }).await?;
    out::note(if enabled {
        format!("tenant {name} is enabled; a running server takes it up within seconds")
    } else {
        format!(
            "tenant {name} is disabled: within seconds its tokens open nothing, and nothing is changed in its OpenAI \
             organization, not even removals that wait"
        )
    });
    Ok(())
}

impl Remove {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let name = self.name;
        let record = load(desk, &name).await?;
        ensure!(
            record.disabled_at.is_some(),
            "tenant `{name}` is served; first `scim-bridge tenant disable {name}`"
        );
        ensure!(
            self.yes,
            "this forgets the settings, the key, the tokens and all records of tenant `{name}`, among them who is who at \
             OpenAI (`scim-bridge mapping export --tenant {name}` keeps that); members and invites there stay as they \
             are. Say --yes to do it"
        );
        write(desk, Change::Remove(name.clone()), "tenant.remove").await?;
        out::note(format!("tenant {name} is forgotten"));
        Ok(())
    }
}

async fn load(desk: &Desk, name: &TenantId) -> anyhow::Result<TenantRecord> {
    let record = desk.store.reader().await?.load_tenant(name).await?;
    let in_settings = desk.config.tenants.contains_key(name);
    record.with_context(|| {
        if in_settings {
            format!("tenant `{name}` is set up in the settings files; change it there")
        } else {
            format!("there is no tenant `{name}` in the database; see `scim-bridge tenant list`")
        }
    })
}

async fn update(desk: &Desk, record: TenantRecord, event: &str) -> anyhow::Result<()> {
    let name = record.tenant.clone();
    match write(desk, Change::Update(record), event).await {
        Err(StoreError::Stale) => bail!("somebody else changed tenant `{name}` meanwhile; try again"),
        done => Ok(done?),
    }
}

/// What can be done to a tenant on record.
#[derive(Debug, Clone)]
enum Change {
    Add(TenantRecord),
    Update(TenantRecord),
    Remove(TenantId),
}

/// Changes a tenant, with a note in its audit trail.
async fn write(desk: &Desk, change: Change, event: &str) -> Result<(), StoreError> {
    let (Change::Add(TenantRecord { tenant, .. })
    | Change::Update(TenantRecord { tenant, .. })
    | Change::Remove(tenant)) = &change;
    let entry = AuditEntry::by(Actor::CommandLine, tenant, desk.clock.now(), event, Value::Null);
    let work = desk.store.write(move |tx| {
        let (change, entry) = (change.clone(), entry.clone());
        Box::pin(async move {
            match change {
                Change::Add(record) => tx.insert_tenant(&record).await?,
                Change::Update(record) => tx.update_tenant(&record).await?,
                Change::Remove(tenant) => tx.delete_tenant(&tenant).await?,
            }
            tx.append_audit(&entry).await
        })
    });
    work.await
}
