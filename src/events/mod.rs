//! Telling other systems what happened (RFC 9967): feeds of signed security event tokens (RFC 8417).
//!
//! The directory appends events to a tenant's feed in the transaction of the change. From there they are told two
//! ways, each with its own account of what has arrived: [`poll`] answers a receiver that asks (RFC 8936), [`push`]
//! calls a receiver (RFC 8935). Both are at least once and in the order of the commits; a token is known by its
//! `jti` however often it arrives. [`set`] says what is in a token, [`key`] signs it.
//!
//! Events say which attributes of which resource were written, never with what values; an answer to a deferred
//! request says how it ended. What nobody fetches is forgotten after [`KEPT_FOR`], or beyond [`KEPT_EVENTS`].
//!
//! Knows nothing of what the events are about: that is the directory's business.

pub mod key;
pub mod poll;
pub mod push;
mod set;

use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::event::EventRecord;
use crate::roster::Roster;
use crate::store::{Store, StoreError};
use key::{KeyError, SigningKey};

/// How long an event is kept, told or not; outcomes of deferred requests as well.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many events of a tenant are kept.
pub const KEPT_EVENTS: i64 = 100_000;
/// How many rows are forgotten in one transaction.
const FORGET_AT_A_TIME: i64 = 1_000;
/// How often a feed is looked at even if nothing said so: another process may have added to it.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// What a tenant's receivers know the feed by.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Who issues the tokens (`iss`): the tenant's SCIM base URL.
    pub issuer: String,
    /// Whom they are meant for (`aud`).
    pub audience: String,
}

/// A failed look at a feed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A token cannot be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The tenant has no feed.
    #[error("the tenant has no event feed")]
    Closed,
}

/// The feeds of the tenants that have one. Clones share everything.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    channels: Roster<Arc<Channel>>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

struct Channel {
    stream: Stream,
    key: Arc<SigningKey>,
    /// Counts what was added by this process.
    news: watch::Sender<u64>,
    /// Places for receivers that wait for an answer.
    waiting: Semaphore,
}

impl Channel {
    fn new(stream: Stream, key: Arc<SigningKey>) -> Arc<Self> {
        let (news, waiting) = (watch::Sender::new(0), Semaphore::new(poll::MAX_WAITING));
        Arc::new(Self { stream, key, news, waiting })
    }
}

impl Feed {
    /// No feed as yet.
    pub fn new(store: Store, clock: Clock) -> Self {
        let (channels, closing, tasks) = (Roster::default(), CancellationToken::new(), TaskTracker::new());
        Self(Arc::new(Inner { store, clock, channels, closing, tasks }))
    }

    /// The tenants that have a feed.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.0.channels.tenants()
    }

    /// Has a feed of one more tenant, signed with the one key of the program.
    pub fn take_on(&self, tenant: TenantId, stream: Stream, key: Arc<SigningKey>) {
        self.0.channels.insert(tenant, Channel::new(stream, key));
    }

    /// Has no feed of the tenant any more; what it held is in the store.
    pub fn let_go(&self, tenant: &TenantId) {
        self.0.channels.remove(tenant);
    }

    /// Whether the tenant has a feed.
    pub fn serves(&self, tenant: &TenantId) -> bool {
        self.0.channels.contains(tenant)
    }

    /// Wakes those who wait for events of the tenant; to be called after a commit that may have added some.
    pub fn announce(&self, tenant: &TenantId) {
        if let Some(channel) = self.0.channels.get(tenant) {
            channel.news.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// The keys that tokens can be verified with (RFC 7517 §5); `None` if no tenant has a feed.
    pub fn keys(&self) -> Option<Value> {
        self.0.channels.values().first().map(|channel| channel.key.public_set())
    }

    /// The signed token of an event. The same event always has the same claims.
    pub fn token(&self, record: &EventRecord) -> Result<String, FeedError> {
        let channel = self.channel(&record.event.tenant)?;
        Ok(channel.key.sign(&set::claims(record, &channel.stream))?)
    }

    /// Does something beside a request, such as waiting for an outcome, until the feeds are closed.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let closing = self.0.closing.clone();
        self.0.tasks.spawn(async move {
            let _done = closing.run_until_cancelled(work).await;
        });
    }

    /// Answers every receiver that waits, ends what was spawned, and lets nobody wait any more: the program is about
    /// to stop. What did not come to its end is in the store.
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Forgets what is too old or too much, in transactions of a bounded size.
    pub async fn forget_old(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let before = self.0.clock.now().checked_sub(KEPT_FOR).unwrap_or(jiff::Timestamp::MIN);
        loop {
            let tenant = tenant.clone();
            let forgotten = self
                .0
                .store
                .write::<_, StoreError>(move |tx| {
                    let tenant = tenant.clone();
                    Box::pin(async move {
                        let events = tx.prune_events(&tenant, before, KEPT_EVENTS, FORGET_AT_A_TIME).await?;
                        let outcomes = tx.prune_deferred(&tenant, before, FORGET_AT_A_TIME).await?;
                        Ok(events.max(outcomes))
                    })
                })
                .await?;
            if forgotten < FORGET_AT_A_TIME.unsigned_abs() {
                return Ok(());
            }
        }
    }

    fn channel(&self, tenant: &TenantId) -> Result<Arc<Channel>, FeedError> {
        self.0.channels.get(tenant).ok_or(FeedError::Closed)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feed").field(&self.0.channels.tenants()).finish()
    }
}
