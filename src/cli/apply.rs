//! `scim-bridge apply`: an engine for a short time, where no server runs one.

use anyhow::{Context, bail};
use clap::Args;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::out::{self, Table};
use super::plan::look;
use super::{Desk, Global};
use crate::app;
use crate::clock::Clock;
use crate::config::Flags;
use crate::ids::TenantId;
use crate::openai;
use crate::provision::Engine;
use crate::provision::handle::{Handle, Upstream};
use crate::store::{Backend, Store};
use crate::telemetry::Metrics;

/// The most calls that are told of one by one.
const MOST_TOLD: i64 = 1_000;

#[derive(Debug, Args)]
#[command(
    after_help = "A server that runs carries the plan out by itself, so `apply` is for when none does: it reads the \
    organization, does what is to be done, and reports. With SQLite it refuses to work beside a server.\n\nExamples:\n  \
    scim-bridge apply\n  \
    scim-bridge apply --seconds 600"
)]
pub(super) struct Apply {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// How long to go on while there is work and OpenAI's rate limit makes it wait
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// With PostgreSQL: say that no server is running, which cannot be found out
    #[arg(long)]
    no_server: bool,
}

impl Apply {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.load(Flags::default())?;
        let clock = Clock::system();
        let store = Store::open(config.database_url.value.expose_secret(), clock.clone())
            .await
            .with_context(|| format!("the database {} cannot be used", config.database_label()))?;
        if store.backend() == Backend::Postgres && !self.no_server {
            store.close().await;
            bail!(
                "with PostgreSQL, --no-server must say that no server is running; one that runs applies the plan itself"
            );
        }
        let desk = Desk::at(store, clock, config).await?;
        let done = self.apply(&desk).await;
        desk.store.close().await;
        done
    }

    async fn apply(&self, desk: &Desk) -> anyhow::Result<()> {
        let (metrics, settings) = (Metrics::new(), app::client_settings(desk.settings(&self.tenant)?)?);
        let client = openai::Client::new(settings, desk.clock.clone(), metrics.clone())?;
        let (clock, began_at) = (&desk.clock, desk.clock.now());
        self.wake(desk).await?;
        let (handle, inboxes) = Handle::new([self.tenant.clone()]);
        let Some((tenant, inbox)) = inboxes.into_iter().next() else { bail!("no engine was started") };
        let (policy, store) = (desk.settings(&self.tenant)?.policy.clone(), desk.store.clone());
        let engine = Engine::new(tenant, policy, store, client, clock.clone(), metrics, inbox);
        let (stop, upstream) = (CancellationToken::new(), engine.upstream());
        let running = tokio::spawn(engine.run(stop.clone()));
        handle.sweep(&self.tenant);
        let until = began_at.checked_add(SignedDuration::from_secs(i64::from(self.seconds)))?;
        let interrupted = app::stop_signal()?;
        tokio::select! {
            () = work_until(clock, &handle, &self.tenant, until) => {}
            () = interrupted => out::note("interrupted: calls under way are brought to their end"),
        }
        stop.cancel();
        running.await.context("the engine broke down")?;
        self.report(desk, began_at).await?;
        match *upstream.borrow() {
            Upstream::Ok => Ok(()),
            Upstream::KeyRefused => bail!("OpenAI refuses the admin key; see OPENAI_ADMIN_KEY"),
            Upstream::Unreachable => {
                bail!("OpenAI gives no answer at {}", desk.settings(&self.tenant)?.base_url.value)
            }
        }
    }

    /// Has everybody looked at for whom there is something to do, as after a change of the settings.
    async fn wake(&self, desk: &Desk) -> anyhow::Result<()> {
        let outlook = look(desk, &self.tenant, None).await?;
        for preview in outlook.people.iter().filter(|preview| preview.has_work()) {
            let (tenant, id) = (self.tenant.clone(), preview.person.id);
            let lane = crate::provision::plan::lane_of(&preview.plan);
            desk.store
                .write(move |tx| {
                    let tenant = tenant.clone();
                    Box::pin(async move { tx.wake(&tenant, id, lane).await })
                })
                .await
                .map_err(|error: crate::store::StoreError| error)?;
        }
        Ok(())
    }

    async fn report(&self, desk: &Desk, began_at: jiff::Timestamp) -> anyhow::Result<()> {
        let mut reader = desk.store.reader().await?;
        let operations = reader.operations_since(&self.tenant, began_at, MOST_TOLD).await?;
        let mut table = Table::new(&["USER NAME", "CALL", "OUTCOME", "WHY"]);
        for operation in &operations {
            let work = reader.load_work(&self.tenant, operation.person).await?;
            table.row([
                work.map(|work| work.person.user_name).unwrap_or_default(),
                operation.action.kind().to_owned(),
                operation.state.as_str().to_owned(),
                operation.reason.clone(),
            ]);
        }
        drop(reader);
        if !operations.is_empty() {
            out::print(table)?;
        }
        out::print(format!("{} calls were made that change something.", operations.len()))?;
        out::print(look(desk, &self.tenant, None).await?.summary())?;
        Ok(())
    }
}

/// Returns when nothing can be done before `until`.
async fn work_until(clock: &Clock, handle: &Handle, tenant: &TenantId, until: jiff::Timestamp) {
    while let Some(next) = handle.idle(tenant).await {
        if next > until {
            return;
        }
        clock.sleep_until(next).await;
    }
}
