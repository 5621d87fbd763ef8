//! `scim-bridge token rotate`: a token exchanged for a new one in steps, so that the identity provider is never locked
//! out.

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::token::{audit, keep, parse_lifetime, show_once};
use super::{Desk, out};
use crate::access::token;
use crate::ids::TenantId;
use crate::model::token::TokenRecord;
use crate::store::StoreError;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the new token; the old one goes on working
    #[command(after_help = "Example:\n  scim-bridge token rotate start 1f2e3d4c5b6a --expires 180d")]
    Start(Start),
    /// Revoke the old token, once the new one is in use
    Complete(Complete),
    /// Revoke the new token, and stay with the old one
    Cancel(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    which: Which,
    /// When the new one stops working (12h, 90d, 26w); without it, it works as long as the old one was made for
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    expires: Option<SignedDuration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Complete {
    #[command(flatten)]
    which: Which,
    /// Even if nobody has used the new token yet
    #[arg(long)]
    unused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The id of the token, as `token list` shows it; while two are being exchanged, that of either
    id: String,
}

impl Command {
    /// The tenant whose token it is.
    pub(super) fn tenant(&self) -> &TenantId {
        match self {
            Self::Start(Start { which, .. })
            | Self::Complete(Complete { which, .. })
            | Self::Cancel(which) => &which.tenant,
        }
    }

    /// Runs the step.
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let tokens = desk.store.reader().await?.list_tokens(self.tenant()).await?;
        match self {
            Self::Start(start) => start.run(desk, &tokens).await,
            Self::Complete(Complete { which, unused }) => {
                let (old, new) = which.pair(&tokens, desk.clock.now())?;
                ensure!(
                    unused || new.last_used_at.is_some(),
                    "nobody has used token {} yet: enter it at the identity provider and test the connection there, \
                     then complete; or add --unused",
                    new.id
                );
                revoke(desk, old, "token.rotate.complete").await?;
                out::note(format!("token {} is revoked; {} has taken its place", old.id, new.id));
                Ok(())
            }
            Self::Cancel(which) => {
                let (old, new) = which.pair(&tokens, desk.clock.now())?;
                revoke(desk, new, "token.rotate.cancel").await?;
                out::note(format!("token {} is revoked; {} stays", new.id, old.id));
                Ok(())
            }
        }
    }
}

impl Start {
    async fn run(self, desk: &Desk, tokens: &[TokenRecord]) -> anyhow::Result<()> {
        let now = desk.clock.now();
        let Which { tenant, id } = self.which;
        let old = tokens.iter().find(|token| token.id == id && token.is_live(now));
        let old = old.with_context(|| {
            format!("tenant `{tenant}` has no working token `{id}`; see `scim-bridge token list`")
        })?;
        if let Some(new) = successor(old, tokens, now) {
            bail!("token {id} is being replaced by {} already: complete that, or cancel it", new.id);
        }
        let lifetime = self.expires.or_else(|| Some(old.expires_at?.duration_since(old.created_at)));
        let expires_at = lifetime.map(|lifetime| now.checked_add(lifetime)).transpose()?;
        let (text, record) =
            token::mint(&desk.clock, tenant, old.label.clone(), old.scopes.clone(), expires_at);
        let record = TokenRecord { replaces: Some(old.id.clone()), ..record };
        keep(&desk.store, &desk.clock, &record, "token.rotate.start").await?;
        show_once(&text, &record, now, self.json)?;
        out::note(format!(
            "Both tokens work now. Enter the new one at the identity provider, test the connection there, then:\n  \
             scim-bridge token rotate complete {}",
            record.id
        ));
        Ok(())
    }
}

impl Which {
    /// The old and the new token of an exchange that is under way.
    fn pair<'t>(
        &self,
        tokens: &'t [TokenRecord],
        now: Timestamp,
    ) -> anyhow::Result<(&'t TokenRecord, &'t TokenRecord)> {
        let given = tokens.iter().find(|token| token.id == self.id);
        let pair = given.and_then(|given| match successor(given, tokens, now) {
            Some(new) => Some((given, new)),
            None => Some((predecessor(given, tokens, now)?, given)),
        });
        pair.with_context(|| {
            format!("token `{}` is not being exchanged; begin with `scim-bridge token rotate start`", self.id)
        })
    }
}

/// The working token that is to take the place of this working one.
pub(super) fn successor<'t>(
    token: &TokenRecord,
    all: &'t [TokenRecord],
    now: Timestamp,
) -> Option<&'t TokenRecord> {
    let replaces = |other: &&TokenRecord| other.replaces.as_ref() == Some(&token.id) && other.is_live(now);
    all.iter().find(replaces).filter(|_| token.is_live(now))
}

/// The working token whose place this working one is to take.
pub(super) fn predecessor<'t>(
    token: &TokenRecord,
    all: &'t [TokenRecord],
    now: Timestamp,
) -> Option<&'t TokenRecord> {
    let is_replaced = |other: &&TokenRecord| token.replaces.as_ref() == Some(&other.id) && other.is_live(now);
    all.iter().find(is_replaced).filter(|_| token.is_live(now))
}

async fn revoke(desk: &Desk, token: &TokenRecord, event: &str) -> anyhow::Result<()> {
    let entry = audit(&desk.clock, &token.tenant, event, &token.id);
    let (tenant, id, at) = (token.tenant.clone(), token.id.clone(), desk.clock.now());
    let revoked: Result<bool, StoreError> = desk
        .store
        .write(move |tx| {
            let (tenant, id, entry) = (tenant.clone(), id.clone(), entry.clone());
            Box::pin(async move {
                tx.append_audit(&entry).await?;
                tx.revoke_token(&tenant, &id, at).await
            })
        })
        .await;
    revoked.map(|_was_live| ()).context("the token cannot be revoked")
}
