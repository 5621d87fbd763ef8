//! The command line: what can be asked for, and how the answer is printed.
//!
//! Every command reads the same settings ([`crate::config`]); the flags of this level override them. Exit codes: 0
//! when it is done, 1 when it failed, 2 when the command line makes no sense.

mod adopt;
mod apply;
mod audit;
mod brake;
mod client;
mod db;
mod demo;
mod doctor;
mod evidence;
mod holds;
mod invites;
mod mapping;
mod out;
mod plan;
mod review;
mod rotate;
mod serve;
mod simulate;
mod tenant;
mod token;
mod who;
mod why;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use secrecy::ExposeSecret;

use crate::app::{self, Wanted};
use crate::clock::Clock;
use crate::config::{Config, Flags, Sources, TenantConfig};
use crate::ids::TenantId;
use crate::store::Store;

/// SCIM 2.0 bridge: your identity provider's assignments become OpenAI invites, members and removals
#[derive(Debug, Parser)]
#[command(name = "scim-bridge", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Settings come from flags, else from the environment, else from the settings file. Secrets \
    are never flags: OPENAI_ADMIN_KEY and SCIM_BRIDGE_TOKEN, or OPENAI_ADMIN_KEY_FILE and SCIM_BRIDGE_TOKEN_FILE.\n\n\
    Examples:\n  \
    scim-bridge demo                                   see it work; nothing leaves this machine\n  \
    OPENAI_ADMIN_KEY=sk-admin-... scim-bridge serve    serve for real\n  \
    scim-bridge token create --label okta              a token for your identity provider";

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "The settings file (TOML); the environment variable SCIM_BRIDGE_CONFIG does the same"
    )]
    config: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "The database, sqlite://PATH or postgres://USER@HOST/NAME; one with a password belongs into the \
            environment, as SCIM_BRIDGE_DATABASE_URL [default: sqlite://scim-bridge.db]"
    )]
    database_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve identity providers and drive the OpenAI organization
    Serve(serve::Serve),
    /// Watch an Okta and an Entra ID session played against a stand-in for OpenAI, then try it yourself
    Demo(demo::Demo),
    /// Run the stand-in for the OpenAI administration API alone
    Simulate(simulate::Simulate),
    /// Make, show, exchange and revoke the bearer tokens of identity providers
    #[command(subcommand)]
    Token(token::Command),
    /// Make, show and remove clients of the token endpoint (OAuth 2.0 client credentials)
    #[command(subcommand)]
    Client(client::Command),
    /// Set up, show and change tenants: one identity provider and one OpenAI organization each
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Show, export and import the table that ties SCIM ids to OpenAI ids
    #[command(subcommand)]
    Mapping(mapping::Command),
    /// Show what waits for a human, and let it happen or not
    #[command(subcommand)]
    Holds(holds::Command),
    /// Show and export the audit trail, and check that nobody has changed it
    #[command(subcommand)]
    Audit(audit::Command),
    /// Tell when somebody was asked to go, when it was done, and which API keys remain
    Evidence(evidence::Evidence),
    /// List who has access and what about it to look at: owners, invites, members nobody vouches for, orphaned keys
    Review(review::Review),
    /// Make no more changes in the OpenAI organization, from now on
    Stop(brake::Stop),
    /// Make changes again after `stop`, or after an older database was put back
    Resume(brake::Resume),
    /// Look at everything that a server needs, and say what to do about what is wrong
    Doctor(doctor::Doctor),
    /// Show what would be done now, and how long it takes at least
    Plan(plan::Plan),
    /// Carry the plan out once and report, when no server does it
    Apply(apply::Apply),
    /// Explain one person: what they should have and why, where they stand, and what was done
    Why(why::Why),
    /// Show, resend and withdraw invites
    #[command(subcommand)]
    Invites(invites::Command),
    /// Link members who were there before the bridge
    #[command(subcommand)]
    Adopt(adopt::Command),
    /// Show existing members to identity providers, so that these can match and claim them
    Import(adopt::Import),
    /// Prepare or back up the database
    #[command(subcommand)]
    Db(db::Command),
}

/// Reads the command line, does what it says and returns the exit code.
pub fn run() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(async {
            match command {
                Command::Serve(serve) => Box::pin(serve.run(&global)).await,
                Command::Demo(demo) => Box::pin(demo.run()).await,
                Command::Simulate(simulate) => Box::pin(simulate.run()).await,
                Command::Token(command) => Box::pin(token::run(&global, command)).await,
                Command::Tenant(command) => Box::pin(tenant::run(&global, command)).await,
                Command::Client(command) => Box::pin(client::run(&global, command)).await,
                Command::Mapping(command) => Box::pin(mapping::run(&global, command)).await,
                Command::Holds(command) => Box::pin(holds::run(&global, command)).await,
                Command::Audit(command) => Box::pin(audit::run(&global, command)).await,
                Command::Evidence(evidence) => Box::pin(evidence.run(&global)).await,
                Command::Review(review) => Box::pin(review.run(&global)).await,
                Command::Stop(stop) => Box::pin(stop.run(&global)).await,
                Command::Resume(resume) => Box::pin(resume.run(&global)).await,
                Command::Doctor(doctor) => Box::pin(doctor.run(&global)).await,
                Command::Plan(plan) => Box::pin(plan.run(&global)).await,
                Command::Apply(apply) => Box::pin(apply.run(&global)).await,
                Command::Why(why) => Box::pin(why.run(&global)).await,
                Command::Invites(command) => Box::pin(invites::run(&global, command)).await,
                Command::Adopt(command) => Box::pin(adopt::run(&global, command)).await,
                Command::Import(import) => Box::pin(import.run(&global)).await,
                Command::Db(command) => Box::pin(db::run(&global, command)).await,
            }
        }),
        Err(error) => Err(error).context("the asynchronous runtime cannot be started"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if out::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format!("scim-bridge: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Global {
    /// The settings, with these flags on top.
    fn load(&self, flags: Flags) -> anyhow::Result<Config> {
        Ok(self.reader(flags)()?)
    }

    /// What reads the settings, as often as they change.
    fn reader(&self, flags: Flags) -> app::Reader {
        let flags = Flags { database_url: self.database_url.clone(), ..flags };
        let file = self.config.clone();
        Box::new(move || Config::load(&Sources::of_process(file.clone(), flags.clone())))
    }
}

/// What a command that works on stored data needs.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Store,
    clock: Clock,
    config: Config,
    wanted: Wanted,
}

impl Desk {
    /// Opens the database beside a server that may be running, lets `work` be done on it, and closes it in peace.
    async fn open(
        global: &Global,
        tenant: &TenantId,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        Self::open_for_all(global, async |desk| {
            desk.know(tenant).await?;
            work(desk).await
        })
        .await
    }

    /// A desk at an open database.
    async fn at(store: Store, clock: Clock, config: Config) -> anyhow::Result<Self> {
        let wanted = app::wanted(&config, &store).await?;
        Ok(Self { store, clock, config, wanted })
    }

    /// The settings of this tenant.
    fn settings(&self, tenant: &TenantId) -> anyhow::Result<&TenantConfig> {
        if let Some((_, error)) = self.wanted.unusable.iter().find(|(unusable, _)| unusable == tenant) {
            bail!("the settings of tenant `{tenant}` cannot be used: {error:#}");
        }
        let served = self.wanted.tenants.get(tenant);
        served.with_context(|| format!("tenant `{tenant}` is not served: it is disabled, or has no settings"))
    }

    /// Like [`Desk::open`], for whatever tenants there are.
    async fn open_for_all(
        global: &Global,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let config = global.load(Flags::default())?;
        let clock = Clock::system();
        let store = Store::open_beside(config.database_url.value.expose_secret(), clock.clone())
            .await
            .with_context(|| format!("the database {} cannot be used", config.database_label()))?;
        let desk = Self::at(store, clock, config).await?;
        let done = work(&desk).await;
        desk.store.close().await;
        done
    }

    /// Makes sure that there is such a tenant, in the settings or in the database.
    async fn know(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let stored = self.store.reader().await?.list_tenants().await?;
        let stored = stored.iter().map(|record| &record.tenant);
        let known: BTreeSet<_> = self.config.tenants.keys().chain(stored).map(TenantId::as_str).collect();
        if !known.contains(tenant.as_str()) {
            let known: Vec<_> = known.into_iter().collect();
            bail!(
                "there is no tenant `{tenant}` in the settings or in the database; there are: {}",
                known.join(", ")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// The words of a line for the shell, without its comment and what is read or written instead of the terminal.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars().chain([' ']) {
            match (quote, letter) {
                (None, '"' | '\'') => quote = Some(letter),
                (Some(open), _) if open == letter => quote = None,
                (None, '#' | '<' | '>') if word.is_empty() => break,
                (None, ' ') if word.is_empty() => {}
                (None, ' ') => words.push(std::mem::take(&mut word)),
                _ => word.push(letter),
            }
        }
        words
    }

    #[test]
    fn the_commands_that_the_readme_shows_are_understood() {
        let mut shown = 0;
        for line in include_str!("../../README.md").lines() {
            let line = line.strip_prefix("target/release/").unwrap_or(line);
            if !line.starts_with("scim-bridge ") {
                continue;
            }
            shown += 1;
            let understood = Arguments::try_parse_from(words(line));
            // Where the README says `ID`, no id stands.
            let is_known =
                understood.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::ValueValidation);
            assert!(is_known, "{line}: {understood:?}");
        }
        assert!(shown > 20, "{shown}");
    }
}
