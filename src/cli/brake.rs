//! `scim-bridge stop` and `scim-bridge resume`: the one switch that ends all changes upstream, at once and for good.

use anyhow::bail;
use clap::Args;

use serde_json::json;

use super::out;
use super::who::{Word, entry};
use super::{Desk, Global};
use crate::ids::TenantId;
use crate::model::hold::{Brake, BrakeCause};
use crate::store::StoreError;

#[derive(Debug, Args)]
#[command(
    after_help = "Whatever identity providers ask is still taken and kept; calls under way come to their end. It \
    holds for every process on the database, and over restarts.\n\nExample:\n  \
    scim-bridge stop --reason \"the directory was deleted by mistake\""
)]
pub(super) struct Stop {
    /// Only this tenant; without it all of them
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    word: Word,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Also ends the standstill that begins when an older database was put back, or when the admin key \
    belongs to another organization than the database: look at `scim-bridge holds list` and the log first."
)]
pub(super) struct Resume {
    /// Only this tenant; without it all of them
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    word: Word,
}

impl Stop {
    /// Puts the brake on.
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let Self { tenant, word: Word { reason, by } } = self;
        let named = tenant.clone().unwrap_or_else(TenantId::default_tenant);
        open(global, tenant.clone(), async |desk| {
            let brake = Brake { cause: BrakeCause::Stop, reason, by, at: desk.clock.now() };
            let detail = json!({ "all": tenant.is_none(), "by": brake.by, "why": brake.reason });
            let entry = entry(desk, &named, None, "brake.stop", detail);
            desk.store
                .write::<_, StoreError>(move |tx| {
                    let (tenant, brake, entry) = (tenant.clone(), brake.clone(), entry.clone());
                    Box::pin(async move {
                        tx.put_brake(tenant.as_ref(), &brake).await?;
                        tx.append_audit(&entry).await
                    })
                })
                .await?;
            out::note("stopped: no change is made upstream until `scim-bridge resume`");
            Ok(())
        })
        .await
    }
}

impl Resume {
    /// Takes the brake off.
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let Self { tenant, word: Word { reason, by } } = self;
        let named = tenant.clone().unwrap_or_else(TenantId::default_tenant);
        open(global, tenant.clone(), async |desk| {
            let detail = json!({ "all": tenant.is_none(), "by": by, "why": reason });
            let entry = entry(desk, &named, None, "brake.resume", detail);
            let one = tenant.clone();
            let causes = desk
                .store
                .write::<_, StoreError>(move |tx| {
                    let (tenant, entry) = (tenant.clone(), entry.clone());
                    Box::pin(async move {
                        let causes = tx.release_brakes(tenant.as_ref()).await?;
                        if !causes.is_empty() {
                            tx.append_audit(&entry).await?;
                        }
                        Ok(causes)
                    })
                })
                .await?;
            let left = match &one {
                Some(tenant) => desk.store.reader().await?.brake(tenant).await?,
                None => None,
            };
            if left.is_some() {
                bail!(
                    "all tenants are stopped together; `scim-bridge resume` without --tenant lets them go on"
                );
            }
            if causes.is_empty() {
                out::note("nothing was stopped by a command; see mode and safety.stop in the settings");
            } else {
                out::note("changes are made upstream again");
            }
            Ok(())
        })
        .await
    }
}

async fn open(
    global: &Global,
    tenant: Option<TenantId>,
    work: impl AsyncFnOnce(&Desk) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match tenant {
        Some(tenant) => Desk::open(global, &tenant, work).await,
        None => Desk::open_for_all(global, work).await,
    }
}
