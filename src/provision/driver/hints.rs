//! Hints from the organization's audit log, where an owner has switched it on: whom to look at sooner.
//!
//! One small call a minute, at an endpoint that nothing else uses, tells who accepted and who was removed. A hint only
//! makes the mirror doubt what it holds; what is so is looked up before anything is done, and what the log misses is
//! seen by the next reading.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Flight, Report};
use crate::ids::{InviteId, TenantId, UserId};
use crate::model::operation::Lane;
use crate::openai::wire::AuditEvent;
use crate::openai::{AuditQuery, Endpoint, Failure, FailureKind, Page};
use crate::provision::pace::later;
use crate::store::{StoreError, Tx};

/// How often the log is read.
const EVERY: SignedDuration = SignedDuration::from_secs(60);
/// How late an entry may appear in the log and still be seen; OpenAI documents no bound.
const LATEST: SignedDuration = SignedDuration::from_mins(10);
/// The pause after OpenAI said that this organization or this key has no audit log.
const UNAVAILABLE: SignedDuration = SignedDuration::from_hours(24);
/// The most entries of one answer; when more happened, everything is read instead.
const ENTRIES: u32 = 100;
const INVITE_ACCEPTED: &str = "invite.accepted";
const INVITE_DELETED: &str = "invite.deleted";
const USER_DELETED: &str = "user.deleted";

/// How far the log was read.
#[derive(Debug, Default)]
pub(super) struct Hints {
    next_at: Option<Timestamp>,
    /// Entries of the last answer; they come again for as long as they are young.
    seen: BTreeSet<String>,
}

impl Driver {
    /// Reads the newest entries, if the settings say so and it is time.
    pub(super) fn start_hints(&mut self, now: Timestamp) {
        if !self.context.policy.follow_audit_log || self.flights.contains_key(&Flight::Hints) {
            return;
        }
        let next_at = self.hints.next_at.unwrap_or(now);
        if next_at > now {
            self.wake(next_at);
            return;
        }
        if !self.can_start(Lane::Read, Endpoint::ListAuditLogs, now) {
            return;
        }
        self.hints.next_at = Some(later(now, EVERY));
        let client = self.context.client.clone();
        let since = now.checked_sub(LATEST).unwrap_or(now);
        self.fly(Flight::Hints, Lane::Read, Endpoint::ListAuditLogs, async move {
            let event_types = &[INVITE_ACCEPTED, INVITE_DELETED, USER_DELETED];
            let page = client.list_audit_logs(AuditQuery { since, event_types }, None, ENTRIES).await;
            Report::Hinted(page.map(|answer| answer.value))
        });
    }

    pub(super) async fn take_hints(&mut self, page: Result<Page<AuditEvent>, Failure>) {
        let now = self.context.clock.now();
        let page = match page {
            Ok(page) => page,
            Err(failure) => {
                let lacks_it = matches!(
                    failure.kind,
                    FailureKind::NotFound | FailureKind::Rejected | FailureKind::KeyRefused
                );
                if lacks_it {
                    tracing::warn!(
                        tenant = %self.context.tenant,
                        "OpenAI does not give out the audit log ({}); it is tried again in a day, or at the next start. \
                         An owner switches it on in the organization's data controls, and the admin key must be allowed \
                         to read it",
                        failure.kind.as_str()
                    );
                    self.hints.next_at = Some(later(now, UNAVAILABLE));
                }
                return;
            }
        };
        if page.next.is_some() {
            self.ask_for_everything();
        }
        let ids: BTreeSet<String> = page.data.iter().map(|event| event.id.clone()).collect();
        let news = page.data.into_iter().filter(|event| !self.hints.seen.contains(&event.id));
        let hints: Vec<Hint> = news.filter_map(|event| Hint::read(&event)).collect();
        if hints.is_empty() {
            self.hints.seen = ids;
            return;
        }
        match self.doubt(hints).await {
            Ok(()) => {
                self.hints.seen = ids;
                self.refill_at = now;
            }
            Err(error) => self.pause_for_store(&error),
        }
    }

    async fn doubt(&self, hints: Vec<Hint>) -> Result<(), StoreError> {
        let tenant = self.context.tenant.clone();
        let write = self.context.store.write(move |tx| {
            let (tenant, hints) = (tenant.clone(), hints.clone());
            Box::pin(async move {
                for hint in &hints {
                    hint.doubt(tx, &tenant).await?;
                }
                Ok(())
            })
        });
        write.await
    }
}

/// What an entry says, of things that may stand for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hint {
    Accepted(InviteId),
    Withdrawn(InviteId),
    Removed(UserId),
}

impl Hint {
    fn read(event: &AuditEvent) -> Option<Self> {
        let subject = event.subject.as_deref()?;
        match event.kind.as_str() {
            INVITE_ACCEPTED => Some(Self::Accepted(subject.into())),
            INVITE_DELETED => Some(Self::Withdrawn(subject.into())),
            USER_DELETED => Some(Self::Removed(subject.into())),
            _ => None,
        }
    }

    /// Has the mirror say what the log says, and the person looked at for whom the thing stands. What stands for nobody
    /// is of no concern: it was bound to nobody, or the bridge itself ended it.
    async fn doubt(&self, tx: &mut Tx, tenant: &TenantId) -> Result<(), StoreError> {
        let person = match self {
            Self::Accepted(invite) | Self::Withdrawn(invite) => tx.invite_bound_to(tenant, invite).await?,
            Self::Removed(user) => tx.bound_to(tenant, user).await?,
        };
        let Some(person) = person else { return Ok(()) };
        match self {
            Self::Accepted(invite) => tx.observe_acceptance(tenant, invite).await?,
            Self::Withdrawn(invite) => tx.forget_invite(tenant, invite).await?,
            Self::Removed(user) => tx.forget_member(tenant, user).await?,
        }
        tx.wake(tenant, person, Lane::Read).await
    }
}
