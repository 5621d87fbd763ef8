//! The brake: when no change is made at all, whatever is planned.
//!
//! The brake itself is in the store and is looked at in the transaction of every record, so it holds at once and on
//! every process. Here is only what the engine makes of it: plans that are shown and not carried out.

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Flight, POLL, Report};
use crate::ids::UserId;
use crate::model::hold::{Brake, BrakeCause};
use crate::model::operation::Lane;
use crate::openai::{AdminKey, Endpoint, Failure, FailureKind};
use crate::provision::admit::{Halt, halt};
use crate::provision::execute::chain;
use crate::provision::handle::Upstream;
use crate::provision::pace::later;
use crate::store::StoreError;

/// How often to ask whose the admin key is; sooner after a failure.
const ASK_OWNER_EVERY: SignedDuration = SignedDuration::from_hours(24);
const ASK_OWNER_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// From so many bound members on, none of whom is in the organization, it is taken for another one.
const MANY_STRANGERS: i64 = 3;

impl Driver {
    /// Learns from the store whether changes may be made. When they may again, everybody who waits for that is looked
    /// at once more.
    pub(super) async fn look_at_brake(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.brake_at > now {
            return Ok(());
        }
        let brake = self.context.store.reader().await?.brake(&self.context.tenant).await?;
        self.brake_at = later(now, POLL);
        let halt = halt(&self.context.policy, brake.as_ref());
        if halt == self.halt {
            return Ok(());
        }
        if let Some(Halt { reason, .. }) = &halt {
            tracing::warn!(tenant = %self.context.tenant, reason, "no change is made upstream");
            self.agenda.refresh_everybody();
        } else {
            tracing::info!(tenant = %self.context.tenant, "changes are made upstream again");
            self.put_off.hasten(now);
        }
        self.halt = halt;
        Ok(())
    }

    /// Compares the organization that answers with the one that the tenant's people belong to.
    pub(super) async fn look_at_organization(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let Some(organization) = self.context.client.organization() else { return Ok(()) };
        if self.organization.as_ref() == Some(&organization) {
            return Ok(());
        }
        let (tenant, named) = (self.context.tenant.clone(), organization.clone());
        let strange = self
            .context
            .store
            .write::<_, StoreError>(move |tx| {
                let (tenant, named) = (tenant.clone(), named.clone());
                Box::pin(async move {
                    match tx.bound_organization(&tenant).await? {
                        None => tx.bind_organization(&tenant, &named, now).await.map(|()| false),
                        Some(bound) if bound == named => Ok(false),
                        Some(bound) => {
                            let reason = format!(
                                "the admin key belongs to the organization {named}, and the database to {bound}"
                            );
                            tx.put_brake(Some(&tenant), &engine_brake(BrakeCause::Organization, reason, now)).await?;
                            Ok(true)
                        }
                    }
                })
            })
            .await?;
        self.organization = Some(organization);
        if strange {
            self.brake_at = Timestamp::MIN;
        }
        Ok(())
    }

    /// How many of the members that people stand for the mirror shows.
    pub(super) async fn acquaintances(&self) -> Result<i64, StoreError> {
        let (_, seen) = self.context.store.reader().await?.bound_members(&self.context.tenant).await?;
        Ok(seen)
    }

    /// After a reading of all members: if of several people who are bound some were there before and none is now, this
    /// is another organization, or its people were exchanged; nothing is done about it without a human. Tells whether
    /// that is so, or was found before.
    pub(super) async fn is_strange(&mut self, known: i64) -> Result<bool, StoreError> {
        let tenant = self.context.tenant.clone();
        let mut reader = self.context.store.reader().await?;
        let brake = reader.brake(&tenant).await?;
        if brake.is_some_and(|brake| brake.cause == BrakeCause::Organization) {
            return Ok(true);
        }
        let (bound, seen) = reader.bound_members(&tenant).await?;
        drop(reader);
        if bound < MANY_STRANGERS || seen > 0 || known == 0 {
            return Ok(false);
        }
        let now = self.context.clock.now();
        self.context
            .store
            .write::<_, StoreError>(move |tx| {
                let tenant = tenant.clone();
                let reason = format!(
                    "none of the {bound} members that the database knows is in the organization: the key belongs to \
                     another organization, or the database is an old one"
                );
                let brake = engine_brake(BrakeCause::Organization, reason, now);
                Box::pin(async move { tx.put_brake(Some(&tenant), &brake).await })
            })
            .await?;
        self.brake_at = Timestamp::MIN;
        Ok(true)
    }

    /// Asks, from time to time, whose the admin key is. The first answer, of whatever kind, comes before any change.
    pub(super) fn ask_owner(&mut self, now: Timestamp) {
        if self.key.ask_at > now || self.flights.contains_key(&Flight::Owner) {
            return;
        }
        if self.gate.upstream(now) != Upstream::Ok && self.key.asked {
            return;
        }
        let limiter = self.context.client.limiter();
        if limiter.ready_at(Endpoint::ListAdminKeys, now) > now {
            return;
        }
        let client = self.context.client.clone();
        self.fly(Flight::Owner, Lane::Read, Endpoint::ListAdminKeys, async move {
            Report::Owner(client.own_admin_keys().await)
        });
    }

    pub(super) fn take_owner(&mut self, result: Result<Vec<AdminKey>, Failure>) {
        let now = self.context.clock.now();
        if let Err(Failure { kind: FailureKind::KeyRefused, status: Some(401), .. }) = &result {
            // Not a key that may not read keys, but none at all: whose it is, is asked again when it is accepted.
            self.refuse_key(Some(401), false);
            self.key.ask_at = self.gate.key_probe_at().unwrap_or(now);
            return;
        }
        self.key.asked = true;
        match result {
            Ok(keys) => {
                self.key.ask_at = later(now, ASK_OWNER_EVERY);
                self.key.expires_at = keys.iter().filter_map(|key| key.expires_at).min();
                if let Some(facts) = &mut self.facts {
                    // Should several keys look alike, all their owners are spared.
                    let owners = keys.into_iter().filter_map(|key| key.owner?.id).map(UserId::from);
                    facts.key_owners = owners.collect();
                }
            }
            Err(failure) => {
                // A key that may not read keys is as good as any for everything else.
                let is_final = matches!(failure.kind, FailureKind::KeyRefused | FailureKind::NotFound);
                let again = if is_final { ASK_OWNER_EVERY } else { ASK_OWNER_AGAIN };
                self.key.ask_at = later(now, again);
                tracing::debug!(tenant = %self.context.tenant, "the owner of the admin key is not known: {}", chain(&failure));
            }
        }
    }
}

fn engine_brake(cause: BrakeCause, reason: String, at: Timestamp) -> Brake {
    Brake { cause, reason, by: "engine".to_owned(), at }
}
