//! What the directory tells other systems (RFC 9967): events of what was written, and the outcome of requests whose
//! client did not want to wait.
//!
//! Both are rows of the transaction of the write. A write says what happened in one line, through the [`Publisher`]
//! of its order, and nothing comes of it where the tenant has no feed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::render::Shown;
use super::write::Written;
use super::{Caller, Directory, DirectoryError, chain};
use crate::events::poll::PollRequest;
use crate::events::{Feed, FeedError};
use crate::ids::{TenantId, Txn};
use crate::model::event::{Deferred, Event, EventKind};
use crate::model::scope::Scope;
use crate::scim::error::ScimError;
use crate::scim::etag::Version;
use crate::store::{StoreError, Tx};

/// Where events are polled for, below the SCIM base.
pub const EVENTS: &str = "/Events";
/// Where the outcome of a deferred request is found, below the SCIM base and followed by its `Set-Txn`.
pub const TRANSACTIONS: &str = "/Transactions";

/// How long the outcome of a deferred request waits for the engine.
const OUTCOME_WAIT: Duration = Duration::from_secs(30);
/// When a deferred request without an outcome has nobody any more who waits for it: its process has ended.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// How often such requests, and events to forget, are looked for.
const TEND_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// How many abandoned requests are concluded before looking again.
const CONCLUDED_AT_A_TIME: i64 = 100;

/// A method that may be answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The event of a resource that was there before and was changed this way.
    pub(super) fn notice(self) -> EventKind {
        if self == Self::Patch { EventKind::Patch } else { EventKind::Put }
    }
}

/// The status of a deferred request that went well.
fn status_of(method: &str) -> &'static str {
    match method {
        "POST" => "201",
        "DELETE" => "204",
        _ => "200",
    }
}

/// The answer to a write.
#[derive(Debug, Clone)]
pub enum Reply<T> {
    /// What the client asked for.
    Now(T),
    /// It is stored and will be done; the outcome is told later (RFC 9967 §2.5.1.1).
    Later(Accepted),
}

/// A request that is answered later.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The transaction, for `Set-Txn`.
    pub txn: Txn,
    /// Where the outcome is found.
    pub location: String,
}

/// How a deferred request stands.
#[derive(Debug, Clone)]
pub enum Progress {
    /// There is no outcome yet.
    Pending,
    /// The outcome.
    Settled {
        /// The signed event that tells of it; `None` once that is forgotten.
        token: Option<String>,
        /// The answer, as an operation of a bulk answer (RFC 7644 §3.7.3).
        operation: Value,
    },
}

/// Tells of one request's writes, if its tenant has a feed.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    is_open: bool,
    defers: bool,
    tenant: TenantId,
    txn: Txn,
    at: Timestamp,
}

impl Publisher {
    /// Appends what happened to `subject`, such as `/Users/0190…`, to the tenant's feed; `describe` says what it was.
    pub(super) async fn publish(
        &self,
        tx: &mut Tx,
        subject: String,
        describe: impl FnOnce(Event) -> Event + Send,
    ) -> Result<(), StoreError> {
        if self.is_open {
            tx.append_event(describe(self.event(subject))).await?;
        }
        Ok(())
    }

    /// Notes that the client is answered later, if it asked for that.
    pub(super) async fn defer(
        &self,
        tx: &mut Tx,
        method: Method,
        subject: String,
        version: i64,
    ) -> Result<(), StoreError> {
        if !self.defers {
            return Ok(());
        }
        let deferred = Deferred {
            tenant: self.tenant.clone(),
            txn: self.txn.clone(),
            method: method.as_str().to_owned(),
            subject,
            version,
            made_at: self.at,
        };
        tx.insert_deferred(&deferred).await
    }

    /// Notes, for a client that is answered later, that its request was refused after all. `false` if it has been
    /// given another answer.
    pub(super) async fn refuse(
        &self,
        tx: &mut Tx,
        method: Method,
        subject: String,
        refusal: &ScimError,
    ) -> Result<bool, StoreError> {
        if !self.defers {
            return Ok(true);
        }
        let status = refusal.status.to_string();
        let operation =
            |response: Value| json!({ "method": method.as_str(), "status": status, "response": response });
        // The words may hold an address; the feed goes to others than the client, and holds none.
        let silent = ScimError {
            detail: format!("refused; the client reads why under {TRANSACTIONS}/{}", self.txn),
            ..refusal.clone()
        };
        let event = self.event(subject).with_outcome(operation(silent.to_json()));
        tx.settle_deferred(&self.txn, &operation(refusal.to_json()), &event).await
    }

    fn event(&self, subject: String) -> Event {
        Event::new(self.tenant.clone(), self.txn.clone(), self.at, subject)
    }
}

impl Directory {
    /// The same directory, telling what happens.
    #[must_use]
    pub fn with_feed(self, feed: Feed) -> Self {
        Self { feed: Some(feed), ..self }
    }

    /// Whether the tenant has an event feed.
    pub fn has_feed(&self, tenant: &TenantId) -> bool {
        self.feed(tenant).is_some()
    }

    /// The keys that events are signed with (RFC 7517 §5); `None` if no tenant has a feed.
    pub fn event_keys(&self) -> Option<Value> {
        self.feed.as_ref().and_then(Feed::keys)
    }

    /// Answers a receiver that polls for events (RFC 8936).
    pub async fn poll_events(&self, caller: &Caller, body: &Value) -> Result<Value, DirectoryError> {
        caller.require(Scope::EventsRead)?;
        let feed = self.feed(&caller.tenant).ok_or_else(no_feed)?;
        Ok(feed.poll(&caller.tenant, PollRequest::parse(body)?).await?)
    }

    /// How the deferred request with this `Set-Txn` stands.
    pub async fn progress(&self, caller: &Caller, txn: &str) -> Result<Progress, DirectoryError> {
        let feed = self.feed(&caller.tenant).ok_or_else(no_feed)?;
        let mut reader = self.store.reader().await?;
        let found = reader.load_deferred(&caller.tenant, &txn.into()).await?;
        let (deferred, outcome) =
            found.ok_or_else(|| ScimError::not_found("no deferred request has this id"))?;
        // Its outcome is told to those who may make such a request.
        let is_of_group = deferred.subject.starts_with("/Groups");
        caller.require(if is_of_group { Scope::GroupsWrite } else { Scope::UsersWrite })?;
        let Some(outcome) = outcome else { return Ok(Progress::Pending) };
        let event = reader.load_event(&caller.tenant, outcome.event).await?;
        let token = event.map(|event| feed.token(&event)).transpose()?;
        Ok(Progress::Settled { token, operation: outcome.operation })
    }

    /// Concludes deferred requests whose process has ended, and forgets old events, until `cancel` is cancelled.
    pub async fn tend_feeds(self, cancel: CancellationToken) {
        let Some(feed) = self.feed.clone() else { return };
        let tend = async {
            loop {
                for tenant in &feed.tenants() {
                    let concluded = self.conclude_abandoned(tenant).await;
                    let forgotten = feed.forget_old(tenant).await.map_err(DirectoryError::from);
                    if let Err(error) = concluded.and(forgotten) {
                        tracing::warn!(%tenant, error = chain(&error), "a feed cannot be tended now");
                    }
                }
                let again = self.clock.now().checked_add(TEND_EVERY).unwrap_or(Timestamp::MAX);
                self.clock.sleep_until(again).await;
            }
        };
        let _tended: Option<()> = cancel.run_until_cancelled(tend).await;
    }

    pub(super) fn publisher(&self, caller: &Caller, at: Timestamp) -> Publisher {
        let is_open = self.has_feed(&caller.tenant);
        Publisher {
            is_open,
            defers: is_open && caller.prefers_async,
            tenant: caller.tenant.clone(),
            txn: caller.request.into(),
            at,
        }
    }

    /// Wakes the receivers of events; after every write that published some.
    pub(super) fn announce(&self, tenant: &TenantId) {
        if let Some(feed) = &self.feed {
            feed.announce(tenant);
        }
    }

    /// Answers a write: at once after what `settle` brings, or, if the client would rather not wait, later.
    pub(super) async fn answer<S>(
        &self,
        caller: &Caller,
        method: Method,
        written: Written,
        wait: Option<Duration>,
        settle: impl FnOnce(Self, Caller, Written, Option<Duration>) -> S,
    ) -> Result<Reply<Shown>, DirectoryError>
    where
        S: Future<Output = Result<Shown, DirectoryError>> + Send + 'static,
    {
        self.announce(&caller.tenant);
        let feed = self.feed(&caller.tenant).filter(|_| caller.prefers_async);
        let Some(feed) = feed else {
            return Ok(Reply::Now(settle(self.clone(), caller.clone(), written, wait).await?));
        };
        let subject = subject(&written.person.id);
        let settled =
            settle(self.clone().with_answer_wait(OUTCOME_WAIT), caller.clone(), written, Some(OUTCOME_WAIT));
        let (sender, receiver) = oneshot::channel();
        // Without a word from the client on how long to wait, nobody waits (RFC 7240 §4.3).
        let waiting = wait.map(|wait| (wait.min(self.answer_wait), receiver));
        let (directory, asked_by) = (self.clone(), caller.clone());
        feed.spawn(async move {
            // Whoever still waits is answered; otherwise the outcome is told.
            if let Err(result) = sender.send(settled.await) {
                directory.conclude(&asked_by, method, subject, result).await;
            }
        });
        let in_time = match waiting {
            Some((wait, mut receiver)) => {
                let answered = tokio::time::timeout(wait, &mut receiver).await;
                // Should both happen at once, the outcome is told in one of the two ways and not in both.
                receiver.close();
                answered.ok().and_then(Result::ok).or_else(|| receiver.try_recv().ok())
            }
            None => None,
        };
        let Some(result) = in_time else { return Ok(Reply::Later(self.accepted(caller))) };
        if let Err(error) = self.forget_deferred(caller).await {
            // The outcome will be told as well, to nobody who waits for it.
            tell_delay(caller, &error);
        }
        result.map(Reply::Now)
    }

    /// Answers a deletion, which never waits for the engine.
    pub(super) async fn answer_deletion(
        &self,
        caller: &Caller,
        subject: String,
    ) -> Result<Reply<()>, DirectoryError> {
        let operation = json!({ "method": Method::Delete.as_str(), "status": status_of("DELETE") });
        self.answer_at_once(caller, subject, operation, ()).await
    }

    /// Answers a write whose outcome is known: `answer`, or, later, `operation`.
    pub(super) async fn answer_at_once<T>(
        &self,
        caller: &Caller,
        subject: String,
        operation: Value,
        answer: T,
    ) -> Result<Reply<T>, DirectoryError> {
        self.announce(&caller.tenant);
        if !(caller.prefers_async && self.has_feed(&caller.tenant)) {
            return Ok(Reply::Now(answer));
        }
        if let Err(error) = self.settle(&caller.tenant, &caller.request.into(), subject, operation).await {
            tell_delay(caller, &error);
        }
        Ok(Reply::Later(self.accepted(caller)))
    }

    fn accepted(&self, caller: &Caller) -> Accepted {
        let txn = Txn::from(caller.request);
        let location = format!("{}{TRANSACTIONS}/{txn}", self.base_url(&caller.tenant));
        Accepted { txn, location }
    }

    fn feed(&self, tenant: &TenantId) -> Option<&Feed> {
        self.feed.as_ref().filter(|feed| feed.serves(tenant))
    }

    /// Tells how a deferred request ended. A refusal by OpenAI was noted where the create was undone.
    async fn conclude(
        &self,
        caller: &Caller,
        method: Method,
        subject: String,
        result: Result<Shown, DirectoryError>,
    ) {
        let told = match result {
            Ok(user) => {
                let operation = success(method.as_str(), &user.location, user.version);
                self.settle(&caller.tenant, &caller.request.into(), subject, operation).await
            }
            Err(DirectoryError::Refused(_)) => {
                self.announce(&caller.tenant);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tell_delay(caller, &error);
        }
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        txn: &Txn,
        subject: String,
        operation: Value,
    ) -> Result<(), DirectoryError> {
        let event = Event::new(tenant.clone(), txn.clone(), self.clock.now(), subject)
            .with_outcome(operation.clone());
        let txn = txn.clone();
        self.store
            .write::<bool, StoreError>(move |tx| {
                let (txn, operation, event) = (txn.clone(), operation.clone(), event.clone());
                Box::pin(async move { tx.settle_deferred(&txn, &operation, &event).await })
            })
            .await?;
        self.announce(tenant);
        Ok(())
    }

    async fn forget_deferred(&self, caller: &Caller) -> Result<(), DirectoryError> {
        let (tenant, txn) = (caller.tenant.clone(), Txn::from(caller.request));
        self.store
            .write::<bool, StoreError>(move |tx| {
                let (tenant, txn) = (tenant.clone(), txn.clone());
                Box::pin(async move { tx.forget_deferred(&tenant, &txn).await })
            })
            .await?;
        Ok(())
    }

    /// What was asked for is stored, and nobody waits any more for what the engine makes of it: it went well.
    async fn conclude_abandoned(&self, tenant: &TenantId) -> Result<(), DirectoryError> {
        let before = self.clock.now().checked_sub(ABANDONED_AFTER).unwrap_or(Timestamp::MIN);
        let open = self.store.reader().await?.open_deferred(tenant, before, CONCLUDED_AT_A_TIME).await?;
        for deferred in open {
            let operation = if deferred.method == Method::Delete.as_str() {
                json!({ "method": deferred.method, "status": status_of(&deferred.method) })
            } else {
                let location = format!("{}{}", self.base_url(tenant), deferred.subject);
                success(&deferred.method, &location, deferred.version)
            };
            self.settle(tenant, &deferred.txn, deferred.subject, operation).await?;
        }
        Ok(())
    }
}

/// The path of a user below the SCIM base.
pub(super) fn subject(id: &crate::ids::PersonId) -> String {
    format!("/Users/{id}")
}

/// The paths of all these attributes, those of an extension one by one (RFC 7644 §3.5.2, `path`).
pub(super) fn paths(attributes: &Map<String, Value>) -> Vec<String> {
    let mut paths = vec!["id".to_owned()];
    for (name, value) in attributes {
        match value {
            Value::Object(extension) if name.starts_with("urn:") => {
                paths.extend(extension.keys().map(|part| format!("{name}:{part}")));
            }
            _ => paths.push(name.clone()),
        }
    }
    paths
}

/// The event of a change of access, if there was one.
pub(super) fn with_access(event: Event, had: bool, has: bool) -> Event {
    match (had, has) {
        (false, true) => event.with(EventKind::Activate),
        (true, false) => event.with(EventKind::Deactivate),
        _ => event,
    }
}

/// The outcome of a write that went well, as an operation of a bulk answer (RFC 7644 §3.7.3).
pub(super) fn success(method: &str, location: &str, version: i64) -> Value {
    let version = Version(version).to_string();
    json!({ "method": method, "location": location, "version": version, "status": status_of(method) })
}

fn no_feed() -> DirectoryError {
    ScimError::not_implemented(
        "this tenant has no event feed; the administrator of the bridge sets enabled = true under [events]",
    )
    .into()
}

fn tell_delay(caller: &Caller, error: &DirectoryError) {
    tracing::warn!(
        tenant = %caller.tenant, request.id = %caller.request, error = chain(error),
        "the outcome of a deferred request cannot be told now; it is told later"
    );
}

impl From<FeedError> for DirectoryError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Store(error) => error.into(),
            FeedError::Closed => no_feed(),
            FeedError::Key(error) => Self::Broken(Box::new(error)),
        }
    }
}
