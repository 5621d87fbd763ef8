//! The driver: one actor per tenant that keeps plans being made and carried out.
//!
//! It takes no orders. A nudge says "look sooner" and no more; whom to look at and what to do comes from the store
//! and from the plan. At most one call is in flight per person, a few per tenant, and one of these few places is kept
//! for taking access away.

mod alarms;
mod brake;
mod census;
mod drift;
mod gauges;
mod groups;
mod hints;
mod inventory;
mod start;
mod take;
mod work_out;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::census::Census;
use self::groups::Groups;
use self::hints::Hints;
use super::admit::Halt;
use super::agenda::{Agenda, Need, PutOff};
use super::census::{Count, Counted};
use super::context::Context;
use super::execute::{Order, Outcome, chain};
use super::handle::{Health, Message, Rest, Settlement, Upstream};
use super::observe::{Progress, ReadError, Reading};
use super::pace::{Gate, Ticker, later};
use super::plan::{Facts, Look, Read};
use super::sweeps::{Sweeps, periodic};
use crate::clock::Clock;
use crate::ids::{PersonId, TenantId};
use crate::model::group_link::GroupCall;
use crate::model::observed::Collection;
use crate::model::operation::Lane;
use crate::model::policy::Policy;
use crate::openai::wire::AuditEvent;
use crate::openai::{AdminKey, Client, Endpoint, Failure, Learnt, Page};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// People loaded onto the agenda at a time.
const WINDOW: usize = 500;
/// The most people on the agenda: enough that no lane starves behind another whose budget is used up.
const MAX_AGENDA: usize = 10_000;
/// People planned for between two looks at the inbox.
const PLANS_PER_ROUND: usize = 64;
/// Calls in flight; one of them only for taking access away.
const MAX_IN_FLIGHT: usize = 4;
/// People put off for less than this are kept in mind.
const SOON: SignedDuration = SignedDuration::from_mins(10);
/// How often the store is asked for due people even if nothing said so.
const POLL: SignedDuration = SignedDuration::from_secs(5);
/// The pause after the store failed.
const STORE_PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// How often a page is tried before its reading waits for the next period.
const READ_TRIES: u32 = 5;
/// How often the gauges are set.
const GAUGES_EVERY: SignedDuration = SignedDuration::from_secs(15);
/// How long calls in flight may take to end when the engine stops.
const DRAIN: SignedDuration = SignedDuration::from_secs(25);

/// The engine of one tenant.
#[derive(Debug)]
pub struct Engine {
    context: Context,
    inbox: mpsc::UnboundedReceiver<Message>,
    upstream: watch::Sender<Upstream>,
    health: watch::Sender<Health>,
    not_offered: watch::Sender<BTreeSet<Collection>>,
    rest: watch::Sender<Option<Rest>>,
}

impl Engine {
    /// An engine that drives the organization behind `client` by `policy`. `inbox` is its end of a
    /// [`Handle`](crate::provision::handle::Handle).
    pub fn new(
        tenant: TenantId,
        policy: Policy,
        store: Store,
        client: Client,
        clock: Clock,
        metrics: Metrics,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let context =
            Context { tenant, policy: Arc::new(policy), store, client, clock, metrics, queue_alarms: false };
        let (upstream, health) = (watch::Sender::default(), watch::Sender::default());
        let (not_offered, rest) = (watch::Sender::default(), watch::Sender::default());
        Self { context, inbox, upstream, health, not_offered, rest }
    }

    /// Tells which lists OpenAI does not offer to the organization, or not to its key, now and whenever that changes:
    /// what grants say of them waits.
    pub fn not_offered(&self) -> watch::Receiver<BTreeSet<Collection>> {
        self.not_offered.subscribe()
    }

    /// Tells how the organization looks from here, now and whenever that changes.
    pub fn upstream(&self) -> watch::Receiver<Upstream> {
        self.upstream.subscribe()
    }

    /// Tells how the engine does, now and whenever that changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Tells how the engine rests while it has nothing to do but wait, now and whenever that changes; `None` while it
    /// works.
    pub fn rest(&self) -> watch::Receiver<Option<Rest>> {
        self.rest.subscribe()
    }

    /// Has alarms put into the queue of those who are to be called.
    #[must_use]
    pub fn with_alarms(mut self) -> Self {
        self.context.queue_alarms = true;
        self
    }

    /// Works until `cancel` is cancelled, then lets the calls in flight end (for at most 25 seconds). What is left
    /// is in the store and goes on at the next start.
    pub async fn run(self, cancel: CancellationToken) {
        let driver = Driver::new(self.context, self.upstream, self.health, self.not_offered, self.rest);
        Box::pin(driver.run(self.inbox, &cancel)).await;
    }
}

/// A finished piece of work.
#[derive(Debug)]
enum Report {
    Called {
        order: Order,
        sent_at: Timestamp,
        outcome: Outcome,
    },
    Looked {
        person: PersonId,
        read: Read,
        at: Timestamp,
        found: Result<bool, ReadError>,
    },
    Paged {
        reading: Reading,
        progress: Result<Progress, ReadError>,
    },
    Probed(Result<(), Failure>),
    Hinted(Result<Page<AuditEvent>, Failure>),
    /// The admin keys that may be the one in use.
    Owner(Result<Vec<AdminKey>, Failure>),
    GroupCalled {
        call: GroupCall,
        is_look: bool,
        at: Timestamp,
        outcome: Outcome,
    },
    /// A page of a project's keys or service accounts.
    Counted {
        order: census::Order,
        count: Count,
        counted: Result<Counted, Failure>,
    },
    /// A task that broke off.
    Lost,
}

/// Something in flight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    Person(PersonId),
    Page(Collection),
    Group,
    Probe,
    Hints,
    Owner,
    Census,
}

/// What is known of the admin key in use.
#[derive(Debug, Default)]
struct KeyFacts {
    /// What the last refusal of it said.
    trouble: Option<String>,
    /// When to ask whose it is.
    ask_at: Timestamp,
    /// Whether that was asked yet.
    asked: bool,
    /// When it runs out, if it does.
    expires_at: Option<Timestamp>,
}

struct Driver {
    context: Context,
    facts: Option<Facts>,
    agenda: Agenda,
    sweeps: Sweeps,
    hints: Hints,
    looks: BTreeMap<PersonId, Vec<Look>>,
    gate: Gate,
    upstream: watch::Sender<Upstream>,
    health: watch::Sender<Health>,
    key: KeyFacts,
    /// Why no change is made, if none may be.
    halt: Option<Halt>,
    /// When to look into the store for that.
    brake_at: Timestamp,
    /// The organization that answers, as far as it was compared with the one that is known.
    organization: Option<String>,
    ticker: Ticker,
    flights: BTreeMap<Flight, (Lane, Endpoint)>,
    busy: BTreeMap<PersonId, Lane>,
    jobs: JoinSet<(Flight, Report)>,
    waiters: BTreeMap<PersonId, Vec<oneshot::Sender<Settlement>>>,
    idlers: Vec<oneshot::Sender<Option<Timestamp>>>,
    /// People whose access is being taken away, and since when that is wished.
    removing: BTreeMap<PersonId, Timestamp>,
    /// People whom this engine has put off, and until when.
    put_off: PutOff,
    refill_at: Timestamp,
    /// Whether the store holds more due people than are on the agenda.
    more_due: bool,
    /// Whether nobody on the agenda can start, so that those behind them are to be looked at.
    extend_agenda: bool,
    next_due_at: Option<Timestamp>,
    store_paused_until: Option<Timestamp>,
    /// When it was found that there may be calls on record whose answer nobody writes down any more: those of a program
    /// before this one, and those whose answer could not be written down.
    answers_lost_at: Option<Timestamp>,
    /// Whether the mirror's owners must be loaded anew.
    owners_changed: bool,
    /// When to load anew which projects somebody has by a grant.
    granted_at: Timestamp,
    /// Lists that OpenAI does not offer to this organization.
    not_offered: watch::Sender<BTreeSet<Collection>>,
    groups: Groups,
    census: Census,
    gauges_at: Timestamp,
    /// What the store knows of the budgets.
    kept_budgets: BTreeMap<Endpoint, Learnt>,
    /// The next instant at which something can start, worked out each round.
    wake_at: Option<Timestamp>,
    rest: watch::Sender<Option<Rest>>,
}

impl Driver {
    fn new(
        context: Context,
        upstream: watch::Sender<Upstream>,
        health: watch::Sender<Health>,
        not_offered: watch::Sender<BTreeSet<Collection>>,
        rest: watch::Sender<Option<Rest>>,
    ) -> Self {
        let answers_lost_at = Some(context.clock.now());
        Self {
            context,
            facts: None,
            agenda: Agenda::default(),
            sweeps: Sweeps::default(),
            hints: Hints::default(),
            looks: BTreeMap::new(),
            gate: Gate::default(),
            upstream,
            health,
            key: KeyFacts::default(),
            halt: None,
            brake_at: Timestamp::MIN,
            organization: None,
            ticker: Ticker::new(),
            flights: BTreeMap::new(),
            busy: BTreeMap::new(),
            jobs: JoinSet::new(),
            waiters: BTreeMap::new(),
            idlers: Vec::new(),
            removing: BTreeMap::new(),
            put_off: PutOff::default(),
            refill_at: Timestamp::MIN,
            more_due: false,
            extend_agenda: false,
            next_due_at: None,
            store_paused_until: None,
            answers_lost_at,
            owners_changed: false,
            granted_at: Timestamp::MIN,
            not_offered,
            groups: Groups::default(),
            census: Census::default(),
            gauges_at: Timestamp::MIN,
            kept_budgets: BTreeMap::new(),
            wake_at: None,
            rest,
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>, cancel: &CancellationToken) {
        let mut is_reachable = true;
        while !cancel.is_cancelled() {
            while let Ok(message) = inbox.try_recv() {
                self.hear(message);
            }
            self.wake_at = None;
            let unplanned = match self.work_out().await {
                Ok(unplanned) => unplanned,
                Err(error) => {
                    self.pause_for_store(&error);
                    false
                }
            };
            if unplanned {
                self.wake(self.context.clock.now());
            }
            if let Err(error) = self.tend_groups().await {
                self.groups.look();
                self.pause_for_store(&error);
            }
            if let Err(error) = self.tend_census().await {
                self.pause_for_store(&error);
            }
            self.start_jobs();
            self.answer_waiters();
            self.set_gauges().await;
            self.tell_upstream();
            self.answer_idlers(&inbox);
            let poll_at = later(self.context.clock.now(), POLL);
            let wake_at = self.wake_at.map_or(poll_at, |at| at.min(poll_at));
            let clock = self.context.clock.clone();
            self.tell_rest(&inbox);
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                message = inbox.recv(), if is_reachable => match message {
                    Some(message) => self.hear(message),
                    None => is_reachable = false,
                },
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    self.rest.send_replace(None);
                    self.take(done).await;
                }
                () = clock.sleep_until(wake_at) => {}
            }
            self.rest.send_replace(None);
        }
        self.drain().await;
    }

    /// Lets those who watch know when the organization looks different.
    fn tell_upstream(&self) {
        let seen = self.gate.upstream(self.context.clock.now());
        self.upstream.send_if_modified(|told| std::mem::replace(told, seen) != seen);
    }

    /// Lets those who watch know that nothing happens until something comes in.
    fn tell_rest(&self, inbox: &mpsc::UnboundedReceiver<Message>) {
        let now = self.context.clock.now();
        if inbox.is_empty() && self.wake_at.is_none_or(|at| at > now) {
            let rest =
                Rest { under_way: self.flights.len(), waiting: self.waiters.len(), wake_at: self.wake_at };
            self.rest.send_replace(Some(rest));
        }
    }

    /// Lets what is in flight end.
    async fn drain(mut self) {
        let clock = self.context.clock.clone();
        let deadline = later(clock.now(), DRAIN);
        while !self.jobs.is_empty() {
            tokio::select! {
                Some(done) = self.jobs.join_next() => self.take(done).await,
                () = clock.sleep_until(deadline) => break,
            }
        }
        let now = clock.now();
        self.keep_budgets(self.context.client.limiter().learnt(now), now).await;
    }

    fn hear(&mut self, message: Message) {
        let now = self.context.clock.now();
        match message {
            Message::Nudge(person) => self.agenda.refresh(person, now),
            Message::Settle(person, reply) => {
                self.agenda.refresh(person, now);
                self.waiters.entry(person).or_default().push(reply);
            }
            Message::Idle(reply) => self.idlers.push(reply),
            Message::KeyChanged => {
                self.gate.try_key(now);
                self.key.ask_at = now;
            }
            Message::Groups => self.groups.look(),
            Message::Sweep => self.ask_for_everything(),
        }
    }

    /// Has everything read that is read from time to time, soon.
    fn ask_for_everything(&mut self) {
        let unread = Facts::default();
        let facts = self.facts.as_ref().unwrap_or(&unread);
        self.sweeps.ask(periodic(&self.context.policy, facts));
    }

    fn refresh(&mut self, person: PersonId) {
        self.agenda.refresh(person, self.context.clock.now());
    }

    fn put_off_until(&mut self, person: PersonId, until: Timestamp) {
        self.agenda.remove(person);
        // Whoever is put off for longer is found in the store when the time comes.
        if until < later(self.context.clock.now(), SOON) {
            self.put_off.insert(person, until);
        } else {
            self.put_off.remove(person);
        }
    }

    fn pause_for_store(&mut self, error: &StoreError) {
        tracing::error!(tenant = %self.context.tenant, "the store failed, the engine pauses: {}", chain(error));
        self.pause_for(STORE_PAUSE);
    }

    fn pause_for(&mut self, pause: SignedDuration) {
        let until = later(self.context.clock.now(), pause);
        self.store_paused_until = Some(until);
        self.wake(until);
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earliest| earliest.min(at)));
    }

    fn answer(&mut self, person: PersonId, settlement: &Settlement) {
        for waiter in self.waiters.remove(&person).unwrap_or_default() {
            // Whoever asked may have stopped waiting.
            let _gone = waiter.send(settlement.clone()).is_err();
        }
    }

    /// Tells those to go on who would have to wait for a budget or for their turn.
    fn answer_waiters(&mut self) {
        let now = self.context.clock.now();
        let queued: Vec<PersonId> = self
            .waiters
            .keys()
            .copied()
            .filter(|person| !self.busy.contains_key(person))
            .filter(|person| match self.agenda.turn(*person).map(|turn| &turn.need) {
                Some(Need::Sweeps(collections)) => !collections.iter().all(|collection| {
                    self.flights.contains_key(&Flight::Page(collection.clone()))
                        && !self.sweeps.is_long(collection)
                        || self.is_swept(collection, now)
                }),
                Some(_) => true,
                // About to be worked out, unless the store is down.
                None => self.store_paused_until.is_some() || !self.agenda.contains(*person),
            })
            .collect();
        for person in queued {
            self.answer(person, &Settlement::Queued);
        }
    }

    /// Whether this collection was read just now, so that a wait for it is over.
    fn is_swept(&self, collection: &Collection, now: Timestamp) -> bool {
        let sweep = self.facts.as_ref().and_then(|facts| facts.sweeps.get(collection));
        sweep.is_some_and(|sweep| now.duration_since(sweep.finished_at) < STORE_PAUSE)
    }

    fn answer_idlers(&mut self, inbox: &mpsc::UnboundedReceiver<Message>) {
        let now = self.context.clock.now();
        let can_go_on = self.wake_at.is_some_and(|at| at <= now);
        if self.flights.is_empty() && inbox.is_empty() && !can_go_on {
            for idler in self.idlers.drain(..) {
                let _gone = idler.send(self.wake_at).is_err();
            }
        }
    }
}
