//! The driver: one actor per tenant that keeps plans being made and carried out.
//!
//! It takes no orders. A nudge says "look sooner" and no more; whom to look at and what to do comes from the store
//! and from the plan. At most one call is in flight per person, a few per tenant, and one of these few places is kept
//! for taking access away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agenda::{Agenda, Need, Turn, next_need};
use super::context::Context;
use super::desired::managed_projects;
use super::execute::{self, Order, Outcome, chain, execute};
use super::handle::{Message, Settlement};
use super::load::{Loaded, load_facts, load_person, load_project_sweep};
use super::observe::{self, Progress, ReadError, Reading, look};
use super::pace::{Gate, Ticker, backoff, later};
use super::plan::{CALL_SETTLE, Change, Facts, Look, Planned, Read, Step, plan_person};
use super::status::status;
use super::sweeps::{REPEAT_AFTER, Sweeps};
use crate::clock::Clock;
use crate::ids::{OperationId, PersonId, TenantId, UserId};
use crate::model::mapping::{Mapping, Status};
use crate::model::observed::Collection;
use crate::model::operation::{Action, Lane, OperationState};
use crate::model::policy::Policy;
use crate::openai::{Client, Endpoint, Failure, FailureKind};
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
}

impl Engine {
    /// An engine that drives the organization behind `client` by `policy`. `inbox` is its end of a
    /// [`Handle`](super::handle::Handle).
    pub fn new(
        tenant: TenantId,
        policy: Policy,
        store: Store,
        client: Client,
        clock: Clock,
        metrics: Metrics,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let context = Context { tenant, policy: Arc::new(policy), store, client, clock, metrics };
        Self { context, inbox }
    }

    /// Works until `cancel` is cancelled, then lets the calls in flight end (for at most 25 seconds). What is left
    /// is in the store and goes on at the next start.
    pub async fn run(self, cancel: CancellationToken) {
        Driver::new(self.context).run(self.inbox, &cancel).await;
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
    /// A task that broke off.
    Lost,
}

/// Something in flight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    Person(PersonId),
    Page(Collection),
    Probe,
}

struct Driver {
    context: Context,
    facts: Option<Facts>,
    agenda: Agenda,
    sweeps: Sweeps,
    looks: BTreeMap<PersonId, Vec<Look>>,
    gate: Gate,
    ticker: Ticker,
    flights: BTreeMap<Flight, (Lane, Endpoint)>,
    busy: BTreeMap<PersonId, Lane>,
    jobs: JoinSet<(Flight, Report)>,
    waiters: BTreeMap<PersonId, Vec<oneshot::Sender<Settlement>>>,
    idlers: Vec<oneshot::Sender<Option<Timestamp>>>,
    /// People whom this engine has put off, and until when.
    put_off: BTreeMap<PersonId, Timestamp>,
    refill_at: Timestamp,
    /// Whether the store holds more due people than are on the agenda.
    more_due: bool,
    next_due_at: Option<Timestamp>,
    store_paused_until: Option<Timestamp>,
    /// Whether the mirror's owners must be loaded anew.
    owners_changed: bool,
    gauges_at: Timestamp,
    /// The next instant at which something can start, worked out each round.
    wake_at: Option<Timestamp>,
}

impl Driver {
    fn new(context: Context) -> Self {
        Self {
            context,
            facts: None,
            agenda: Agenda::default(),
            sweeps: Sweeps::default(),
            looks: BTreeMap::new(),
            gate: Gate::default(),
            ticker: Ticker::new(),
            flights: BTreeMap::new(),
            busy: BTreeMap::new(),
            jobs: JoinSet::new(),
            waiters: BTreeMap::new(),
            idlers: Vec::new(),
            put_off: BTreeMap::new(),
            refill_at: Timestamp::MIN,
            more_due: false,
            next_due_at: None,
            store_paused_until: None,
            owners_changed: false,
            gauges_at: Timestamp::MIN,
            wake_at: None,
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
            self.start_jobs();
            self.answer_waiters();
            self.set_gauges().await;
            self.answer_idlers(&inbox);
            let poll_at = later(self.context.clock.now(), POLL);
            let wake_at = self.wake_at.map_or(poll_at, |at| at.min(poll_at));
            let clock = self.context.clock.clone();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                message = inbox.recv(), if is_reachable => match message {
                    Some(message) => self.hear(message),
                    None => is_reachable = false,
                },
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.take(done).await,
                () = clock.sleep_until(wake_at) => {}
            }
        }
        self.drain().await;
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
            Message::Sweep => self.sweeps.ask(self.periodic()),
        }
    }

    /// The collections that are read from time to time.
    fn periodic(&self) -> BTreeSet<Collection> {
        let projects = managed_projects(&self.context.policy).into_iter().map(Collection::ProjectMembers);
        [Collection::Members, Collection::Invites].into_iter().chain(projects).collect()
    }

    /// Loads who is due and works out what they need. Tells whether more is to be worked out.
    async fn work_out(&mut self) -> Result<bool, StoreError> {
        let now = self.context.clock.now();
        if let Some(until) = self.store_paused_until.filter(|until| *until > now) {
            self.wake(until);
            return Ok(false);
        }
        self.store_paused_until = None;
        if self.facts.is_none() {
            let mut reader = self.context.store.reader().await?;
            self.facts = Some(load_facts(&self.context, &mut reader).await?);
        }
        if let (true, Some(facts)) = (self.owners_changed, &mut self.facts) {
            facts.owners = self.context.store.reader().await?.owners(&self.context.tenant).await?;
            self.owners_changed = false;
        }
        self.refill(now).await?;
        let mut stale = self.agenda.stale(&self.busy);
        // Whoever is waited for comes first.
        stale.sort_by_key(|person| !self.waiters.contains_key(person));
        let more = stale.len() > PLANS_PER_ROUND;
        for person in stale.into_iter().take(PLANS_PER_ROUND) {
            self.work_out_person(person).await?;
        }
        Ok(more)
    }

    /// Puts due people onto the agenda.
    async fn refill(&mut self, now: Timestamp) -> Result<(), StoreError> {
        while let Some((person, _)) = self.put_off.iter().find(|(_, until)| **until <= now) {
            let person = *person;
            self.put_off.remove(&person);
            self.agenda.add(person, now);
        }
        let runs_low = self.more_due && self.agenda.len() < WINDOW / 2;
        let due_now = self.next_due_at.is_some_and(|due_at| due_at <= now);
        if self.refill_at > now && !runs_low && !due_now {
            return Ok(());
        }
        let limit = (self.agenda.len() + self.busy.len() + WINDOW).min(MAX_AGENDA);
        let mut reader = self.context.store.reader().await?;
        let tenant = &self.context.tenant;
        let due = reader.due_people(tenant, now, i64::try_from(limit).unwrap_or(i64::MAX)).await?;
        self.more_due = due.len() >= limit;
        for person in due {
            // The order of the store is kept: by lane, then by how long they wait.
            let since = self.ticker.next(now);
            self.agenda.add(person, since);
        }
        self.next_due_at = reader.next_due_at(tenant).await?.filter(|due_at| *due_at > now);
        self.refill_at = later(now, POLL);
        Ok(())
    }

    /// Plans for one person, keeps what the plan records, and notes what is needed next.
    async fn work_out_person(&mut self, person: PersonId) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let looks = self.looks.get(&person).map(Vec::as_slice).unwrap_or_default();
        let mut reader = self.context.store.reader().await?;
        let Some(loaded) = load_person(&self.context, &mut reader, person, looks).await? else {
            self.agenda.remove(person);
            self.looks.remove(&person);
            self.answer(person, &Settlement::Settled);
            return Ok(());
        };
        let pause = loaded.work.due_at.filter(|due_at| loaded.work.attempts > 0 && *due_at > now);
        if let Some(until) = pause {
            // Still pausing after a failure, and nobody wrote the person since.
            self.put_off_until(person, until);
            self.answer(person, &Settlement::Queued);
            return Ok(());
        }
        let Some(mut facts) = self.facts.take() else { return Ok(()) };
        let loading = self.load_missing_sweeps(&mut reader, &mut facts, &loaded).await;
        for operation in &loaded.observed.open {
            facts.leaving_owners.extend(self.owner_lost_by(&operation.action, &facts));
        }
        drop(reader);
        let plan = plan_person(now, &loaded.desired, &loaded.observed, &facts, &self.context.policy);
        self.facts = Some(facts);
        loading?;
        self.follow(person, &loaded, &plan, now).await
    }

    /// Readings of projects that only this person's grants speak of.
    async fn load_missing_sweeps(
        &self,
        reader: &mut crate::store::Reader,
        facts: &mut Facts,
        loaded: &Loaded,
    ) -> Result<(), StoreError> {
        for project in loaded.desired.projects.keys() {
            let collection = Collection::ProjectMembers(project.clone());
            if !facts.sweeps.contains_key(&collection)
                && let Some(sweep) = load_project_sweep(&self.context, reader, project.clone()).await?
            {
                facts.sweeps.insert(collection, sweep);
            }
        }
        Ok(())
    }

    /// Keeps what a plan records and settles, then notes the next need or lets the person rest.
    async fn follow(
        &mut self,
        person: PersonId,
        loaded: &Loaded,
        plan: &[Planned],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let before = loaded.work.mapping.clone();
        let mut mapping = before.clone().unwrap_or_else(|| Mapping::new(self.context.tenant.clone(), person));
        let unwritten = mapping.clone();
        for planned in plan {
            if let Step::Record(change) = &planned.step {
                change.apply(&mut mapping);
            }
        }
        (mapping.status, mapping.status_reason) = status(loaded.desired.wants_access, &mapping, plan);
        let next = next_need(plan, loaded.work.person.version);
        if next.is_some() && mapping.status == unwritten.status {
            // A reason that only tells of the next step is not worth a write.
            mapping.status_reason.clone_from(&unwritten.status_reason);
        }
        let concluded: Vec<(OperationId, OperationState, String)> = plan
            .iter()
            .filter_map(|planned| match &planned.step {
                Step::Conclude(id, state) => Some((*id, *state, planned.reason.clone())),
                _ => None,
            })
            .collect();
        let rest = if next.is_none() { Some(self.rest_of(loaded, plan, now)) } else { None };
        let is_new = mapping != unwritten;
        let moves = rest.is_some_and(|(due_at, attempts)| {
            loaded.work.due_at != due_at || loaded.work.attempts != attempts
        });
        let mut took = true;
        if is_new || moves || !concluded.is_empty() {
            mapping.last_synced_at = if is_new { Some(now) } else { mapping.last_synced_at };
            let keeping = Keeping {
                mapping: is_new.then(|| mapping.clone()),
                changes: changes_of(plan),
                concluded: concluded.clone(),
                rest: rest.map(|(due_at, attempts)| (due_at, lane_at_rest(plan, loaded), attempts)),
                was: unwritten.status,
            };
            took = match self.keep(loaded, keeping, now).await {
                Err(StoreError::Taken) => {
                    // Somebody else was bound to the same thing a moment ago; the next look sees it.
                    self.put_off_until(person, later(now, STORE_PAUSE));
                    self.answer(person, &Settlement::Queued);
                    return Ok(());
                }
                kept => kept?,
            };
        }
        self.note_conclusions(loaded, plan, &concluded);
        self.set_next(person, loaded, plan, next, rest, took, &mapping);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the last step of `follow`, on all it worked out")]
    fn set_next(
        &mut self,
        person: PersonId,
        loaded: &Loaded,
        plan: &[Planned],
        next: Option<(Lane, Need)>,
        rest: Option<(Option<Timestamp>, u32)>,
        took: bool,
        mapping: &Mapping,
    ) {
        if let Some((lane, need)) = next {
            let turn = Turn { lane, need, mark: loaded.work.mark, attempts: loaded.work.attempts };
            self.agenda.set(person, turn);
            return;
        }
        if !took {
            // Written while being planned for: plan again.
            self.agenda.refresh(person, self.context.clock.now());
            return;
        }
        if !matches!(mapping.status, Status::Pending | Status::Removing) {
            self.looks.remove(&person);
        }
        match rest.and_then(|(due_at, _)| due_at) {
            Some(due_at) => self.put_off_until(person, due_at),
            None => {
                self.put_off.remove(&person);
                self.agenda.remove(person);
            }
        }
        let refused = plan.iter().find(|planned| planned.step == Step::Refuse && mapping.user_id.is_none());
        let settlement = match (refused, mapping.status) {
            (Some(refused), _) => Settlement::Refused(refused.reason.clone()),
            (None, Status::Pending | Status::Removing) => Settlement::Queued,
            (None, _) => Settlement::Settled,
        };
        self.answer(person, &settlement);
    }

    /// When to look again at somebody whose plan has nothing to do, and the failures to remember.
    fn rest_of(&self, loaded: &Loaded, plan: &[Planned], now: Timestamp) -> (Option<Timestamp>, u32) {
        let due_at = plan.iter().filter_map(|planned| match &planned.step {
            Step::Wait(until) => *until,
            // A hold is judged anew, because the world may have changed.
            Step::Hold => Some(later(now, self.context.policy.reconcile_interval)),
            _ => None,
        });
        let waits_for_outcome = plan.iter().all(|planned| !matches!(planned.step, Step::Conclude(..)))
            && !loaded.observed.open.is_empty();
        (due_at.min(), if waits_for_outcome { loaded.work.attempts } else { 0 })
    }

    async fn keep(&self, loaded: &Loaded, keeping: Keeping, now: Timestamp) -> Result<bool, StoreError> {
        let (tenant, person, mark) = (self.context.tenant.clone(), loaded.observed.person, loaded.work.mark);
        let keeping = Arc::new(keeping);
        self.context
            .store
            .write(move |tx| {
                let (tenant, keeping) = (tenant.clone(), keeping.clone());
                Box::pin(async move {
                    for (operation, state, words) in &keeping.concluded {
                        tx.settle_operation(&tenant, *operation, *state, now, None, Some(words)).await?;
                        let detail = json!({
                            "operation": operation.to_string(),
                            "outcome": state.as_str(),
                            "words": words,
                        });
                        let entry = execute::entry(&tenant, person, now, "operation.conclude", detail);
                        tx.append_audit(&entry).await?;
                    }
                    if let Some(mapping) = &keeping.mapping {
                        tx.save_mapping(mapping).await?;
                        if mapping.status != keeping.was || !keeping.changes.is_empty() {
                            let detail = json!({
                                "status": mapping.status.as_str(),
                                "reason": mapping.status_reason,
                                "changes": keeping.changes,
                            });
                            let entry = execute::entry(&tenant, person, now, "mapping.change", detail);
                            tx.append_audit(&entry).await?;
                        }
                    }
                    match keeping.rest {
                        Some((due_at, lane, attempts)) => {
                            tx.schedule(&tenant, person, mark, due_at, lane, attempts).await
                        }
                        None => Ok(true),
                    }
                })
            })
            .await
    }

    /// What settled operations and new ties mean for the rest of the engine.
    fn note_conclusions(
        &mut self,
        loaded: &Loaded,
        plan: &[Planned],
        concluded: &[(OperationId, OperationState, String)],
    ) {
        for (id, state, _) in concluded {
            let Some(operation) = loaded.observed.open.iter().find(|open| open.id == *id) else { continue };
            self.context.metrics.operation(
                self.context.tenant.as_str(),
                operation.action.kind(),
                state.as_str(),
            );
            let action = operation.action.clone();
            self.forget_leaving(&action);
        }
        let joined =
            plan.iter().any(|planned| matches!(&planned.step, Step::Record(Change::BindMember { .. })));
        if joined && loaded.observed.mapping.as_ref().is_some_and(|mapping| mapping.invite_id.is_some()) {
            // OpenAI may stop listing an invite that was accepted.
            self.sweeps.judge(&Collection::Invites).note_removal();
        }
    }

    /// Starts whatever can start now, first served first, and notes when the next thing can.
    fn start_jobs(&mut self) {
        let now = self.context.clock.now();
        if let Some(until) = self.store_paused_until {
            self.wake(until);
            return;
        }
        let due_at = [self.next_due_at, self.put_off.values().min().copied()].into_iter().flatten().min();
        if let Some(due_at) = due_at {
            self.wake(due_at.max(now));
        }
        if let Some(probe_at) = self.gate.key_probe_at() {
            self.start_probe(probe_at, now);
            return;
        }
        let Some(facts) = &self.facts else { return };
        let waiting = self.agenda.waiting();
        let limiter = self.context.client.limiter().clone();
        let pages = self.sweeps.next_pages(
            facts,
            self.context.policy.reconcile_interval,
            &self.periodic(),
            &waiting,
            |collection| limiter.left(observe::list_endpoint(collection), now),
        );
        let mut queue: Vec<(Lane, Timestamp, Flight, Timestamp)> = self
            .agenda
            .in_order(&self.busy)
            .into_iter()
            .map(|(lane, since, person)| (lane, since, Flight::Person(person), Timestamp::MIN))
            .collect();
        queue.extend(
            pages.into_iter().map(|page| (page.lane, page.since, Flight::Page(page.collection), page.from)),
        );
        queue.sort();
        for (lane, _, flight, from) in queue {
            if from > now {
                self.wake(from);
            } else if !self.flights.contains_key(&flight) {
                self.start(lane, flight, now);
            }
        }
        if self.more_due && self.flights.is_empty() && self.agenda.len() < MAX_AGENDA {
            // Everybody on the agenda waits for a budget; somebody behind them may not have to.
            self.refill_at = now;
            if self.agenda.len() + self.busy.len() + WINDOW <= MAX_AGENDA {
                self.wake(now);
            }
        }
    }

    /// Starts this if there is a place, a budget and an open gate for it.
    fn start(&mut self, lane: Lane, flight: Flight, now: Timestamp) {
        let endpoint = match &flight {
            Flight::Page(collection) => observe::list_endpoint(collection),
            Flight::Person(person) => match self.agenda.turn(*person).map(|turn| &turn.need) {
                Some(Need::Call(order)) => execute::endpoint_of(&order.action),
                Some(Need::Look(read)) => observe::endpoint_of(read),
                Some(Need::Sweeps(_)) | None => return,
            },
            Flight::Probe => Endpoint::ListInvites,
        };
        if let Some(opens_at) = self.gate.opens_at(lane, now) {
            self.wake(opens_at);
            return;
        }
        let limiter = self.context.client.limiter();
        let ready_at = limiter.ready_at(endpoint, now);
        if ready_at > now {
            self.wake(ready_at);
            return;
        }
        // A call that has started may not have taken its share yet, so it is counted a second time.
        let on_their_way = self.flights.values().filter(|(_, taken)| *taken == endpoint).count();
        let left = limiter.left(endpoint, now) - f64::from(u32::try_from(on_their_way).unwrap_or(u32::MAX));
        if left < 1.0 || !self.has_place(lane) {
            return;
        }
        match flight {
            Flight::Person(person) => self.start_person(person, lane, endpoint, now),
            Flight::Page(collection) => self.start_page(collection, lane, endpoint, now),
            Flight::Probe => {}
        }
    }

    fn has_place(&self, lane: Lane) -> bool {
        let others = self.flights.values().filter(|(taken, _)| *taken != Lane::Revoke).count();
        self.flights.len() < MAX_IN_FLIGHT && (lane == Lane::Revoke || others + 1 < MAX_IN_FLIGHT)
    }

    fn start_person(&mut self, person: PersonId, lane: Lane, endpoint: Endpoint, now: Timestamp) {
        let Some(need) = self.agenda.turn(person).map(|turn| turn.need.clone()) else { return };
        let context = self.context.clone();
        let at = self.ticker.next(now);
        match need {
            Need::Call(order) => {
                if let Some(facts) = &self.facts
                    && let Some(owner) = self.owner_lost_by(&order.action, facts)
                {
                    if !facts.leaving_owners.is_empty() {
                        // One owner at a time: whether the next may go is judged when this one is settled.
                        return;
                    }
                    if let Some(facts) = &mut self.facts {
                        facts.leaving_owners.insert(owner);
                    }
                }
                self.fly(Flight::Person(person), lane, endpoint, async move {
                    let outcome = execute(&context, &order, at).await;
                    Report::Called { order, sent_at: at, outcome }
                });
            }
            Need::Look(read) => self.fly(Flight::Person(person), lane, endpoint, async move {
                let found = look(&context, &read, at).await;
                Report::Looked { person, read, at, found }
            }),
            Need::Sweeps(_) => {}
        }
    }

    fn start_page(&mut self, collection: Collection, lane: Lane, endpoint: Endpoint, now: Timestamp) {
        let context = self.context.clone();
        let at = self.ticker.next(now);
        let mut reading = self.sweeps.take(&collection, at);
        self.fly(Flight::Page(collection), lane, endpoint, async move {
            let progress = reading.read_page(&context, at).await;
            Report::Paged { reading, progress }
        });
    }

    /// While the key is refused nothing is sent but, from time to time, one small read.
    fn start_probe(&mut self, probe_at: Timestamp, now: Timestamp) {
        if self.flights.contains_key(&Flight::Probe) {
            return;
        }
        let ready_at = self.context.client.limiter().ready_at(Endpoint::ListInvites, now);
        if probe_at.max(ready_at) > now {
            self.wake(probe_at.max(ready_at));
            return;
        }
        let client = self.context.client.clone();
        self.fly(Flight::Probe, Lane::Read, Endpoint::ListInvites, async move {
            Report::Probed(client.list_invites(None, 1).await.map(|_| ()))
        });
    }

    fn fly(
        &mut self,
        flight: Flight,
        lane: Lane,
        endpoint: Endpoint,
        work: impl Future<Output = Report> + Send + 'static,
    ) {
        self.flights.insert(flight.clone(), (lane, endpoint));
        if let Flight::Person(person) = &flight {
            self.busy.insert(*person, lane);
        }
        self.jobs.spawn(async move {
            // A task of its own, so that a defect in it is contained and the flight is known to have ended.
            let report = tokio::spawn(work).await.unwrap_or(Report::Lost);
            (flight, report)
        });
    }

    async fn take(&mut self, done: Result<(Flight, Report), tokio::task::JoinError>) {
        let Ok((flight, report)) = done else { return };
        let lane = self.flights.remove(&flight).map_or(Lane::Read, |(lane, _)| lane);
        if let Flight::Person(person) = &flight {
            self.busy.remove(person);
        }
        match report {
            Report::Called { order, sent_at, outcome } => self.take_call(order, sent_at, outcome).await,
            Report::Looked { person, read, at, found } => self.take_look(person, read, at, found, lane).await,
            Report::Paged { reading, progress } => self.take_page(reading, progress).await,
            Report::Probed(result) => self.take_probe(result),
            Report::Lost => {
                tracing::error!(tenant = %self.context.tenant, "a task of the engine broke off; its work is read back");
                self.pause_for(STORE_PAUSE);
                if let Flight::Person(person) = flight {
                    self.agenda.refresh(person, self.context.clock.now());
                }
            }
        }
    }

    async fn take_call(&mut self, order: Order, sent_at: Timestamp, outcome: Outcome) {
        let (person, now) = (order.person, self.context.clock.now());
        // What was seen before the call says nothing about the time after it.
        self.looks.remove(&person);
        if outcome != Outcome::Unknown {
            self.forget_leaving(&order.action);
        }
        let attempts = self.agenda.turn(person).map_or(0, |turn| turn.attempts);
        match outcome {
            Outcome::Done => {
                self.gate.answered(true);
                match &order.action {
                    Action::DeleteUser { .. } => self.sweeps.judge(&Collection::Members).note_removal(),
                    Action::DeleteInvite { .. } => self.sweeps.judge(&Collection::Invites).note_removal(),
                    Action::RemoveFromProject { project, .. } => {
                        self.sweeps.judge(&Collection::ProjectMembers(project.clone())).note_removal();
                    }
                    _ => {}
                }
                self.refresh(person);
            }
            Outcome::Refused => {
                self.gate.answered(true);
                // The first refusal is looked into at once; one that comes again and again is not.
                let pause = (attempts > 0).then(|| backoff(&self.context.clock, order.lane, attempts));
                self.fail(person, order.lane, pause.map_or(now, |pause| later(now, pause))).await;
            }
            Outcome::RateLimited | Outcome::Superseded => self.refresh(person),
            Outcome::NotSent => {
                self.gate.failed(now);
                let pause = backoff(&self.context.clock, order.lane, attempts.saturating_add(1));
                self.fail(person, order.lane, later(now, pause)).await;
            }
            Outcome::Unknown => {
                self.gate.failed(now);
                let is_invite = matches!(order.action, Action::CreateInvite { .. });
                let settled_at =
                    later(sent_at, if is_invite { self.context.policy.settle_time } else { CALL_SETTLE });
                // The first time it is read back as soon as that proves anything, then ever more slowly.
                let lane = if is_invite && attempts == 0 { Lane::Grant } else { order.lane };
                let pause = backoff(&self.context.clock, lane, attempts.saturating_add(1));
                self.fail(person, order.lane, later(now, pause).max(settled_at)).await;
            }
            Outcome::KeyRefused(words) => {
                self.refuse_key(&words);
                self.refresh(person);
            }
            Outcome::Unrecorded => {
                self.pause_for(STORE_PAUSE);
                self.refresh(person);
            }
        }
    }

    async fn take_look(
        &mut self,
        person: PersonId,
        read: Read,
        at: Timestamp,
        found: Result<bool, ReadError>,
        lane: Lane,
    ) {
        let now = self.context.clock.now();
        match found {
            Ok(found) => {
                self.gate.answered(false);
                let looks = self.looks.entry(person).or_default();
                looks.retain(|look| look.read != read);
                looks.push(Look { read, at, found });
                self.refresh(person);
            }
            Err(ReadError::Store(error)) => {
                self.pause_for_store(&error);
                self.refresh(person);
            }
            Err(ReadError::Upstream(failure)) => match failure.kind {
                FailureKind::RateLimited { .. } => self.refresh(person),
                FailureKind::KeyRefused => {
                    self.refuse_key(&failure.message);
                    self.refresh(person);
                }
                _ => {
                    self.gate.failed(now);
                    let attempts = self.agenda.turn(person).map_or(0, |turn| turn.attempts).saturating_add(1);
                    let pause = backoff(&self.context.clock, Lane::Read, attempts);
                    self.fail(person, lane, later(now, pause)).await;
                }
            },
        }
    }

    async fn take_page(&mut self, reading: Reading, progress: Result<Progress, ReadError>) {
        let now = self.context.clock.now();
        let collection = reading.collection.clone();
        match progress {
            Ok(Progress::More) => {
                self.gate.answered(false);
                self.sweeps.put_back(reading);
            }
            Ok(Progress::Complete { ids }) => {
                self.gate.answered(false);
                self.finish_reading(&reading, &ids).await;
            }
            Ok(Progress::Broken(reason)) => {
                tracing::warn!(
                    tenant = %self.context.tenant, collection = ?collection,
                    "a reading contradicted itself and concludes nothing: {reason}"
                );
                self.sweeps.failed(&collection, now, |_| REPEAT_AFTER);
            }
            Err(ReadError::Store(error)) => {
                self.pause_for_store(&error);
                self.sweeps.failed(&collection, now, |_| STORE_PAUSE);
            }
            Err(ReadError::Upstream(failure)) => match failure.kind {
                FailureKind::RateLimited { .. } => self.sweeps.put_back(reading),
                FailureKind::KeyRefused => {
                    self.refuse_key(&failure.message);
                    self.sweeps.put_back(reading);
                }
                _ => {
                    self.gate.failed(now);
                    let (clock, interval) =
                        (self.context.clock.clone(), self.context.policy.reconcile_interval);
                    self.sweeps.put_back(reading);
                    self.sweeps.failed(&collection, now, |failures| {
                        if failures > READ_TRIES { interval } else { backoff(&clock, Lane::Read, failures) }
                    });
                }
            },
        }
    }

    /// A walk reached its end: believe it, or conclude nothing.
    async fn finish_reading(&mut self, reading: &Reading, ids: &BTreeSet<String>) {
        let now = self.context.clock.now();
        let collection = reading.collection.clone();
        let Some(facts) = &mut self.facts else { return };
        let may_be_empty = collection != Collection::Members;
        if !self.sweeps.judge(&collection).believes(ids, facts.sweeps.get(&collection), may_be_empty) {
            tracing::warn!(
                tenant = %self.context.tenant, collection = ?collection, objects = ids.len(),
                "a reading is suspiciously short and concludes nothing; it is repeated"
            );
            self.sweeps.failed(&collection, now, |_| REPEAT_AFTER);
            return;
        }
        match observe::finish(&self.context, reading, ids.len()).await {
            Ok((sweep, due)) => {
                facts.sweeps.insert(collection.clone(), sweep);
                self.sweeps.succeeded(&collection);
                if due > 0 {
                    self.refill_at = now;
                }
                self.owners_changed |= collection == Collection::Members;
                self.agenda.refresh_where(
                    |need| matches!(need, Need::Sweeps(collections) if collections.contains(&collection)),
                );
            }
            Err(StoreError::Stale) => self.sweeps.failed(&collection, now, |_| REPEAT_AFTER),
            Err(error) => {
                self.pause_for_store(&error);
                self.sweeps.failed(&collection, now, |_| STORE_PAUSE);
            }
        }
    }

    fn take_probe(&mut self, result: Result<(), Failure>) {
        let now = self.context.clock.now();
        match result {
            Ok(()) => {
                tracing::info!(tenant = %self.context.tenant, "OpenAI accepts the admin key again");
                self.gate.accept_key();
                self.gate.answered(false);
            }
            Err(failure) if failure.kind == FailureKind::KeyRefused => self.refuse_key(&failure.message),
            Err(_) => {
                self.gate.refuse_key(now);
            }
        }
    }

    /// The key is refused: everything stops, once and loudly, and no person is blamed.
    fn refuse_key(&mut self, words: &str) {
        if self.gate.refuse_key(self.context.clock.now()) {
            tracing::error!(
                tenant = %self.context.tenant,
                "OpenAI refuses the admin key: {words}. No call is made until it is accepted again; all work is kept. \
                 Check that the key is live and has the scopes api.management.read and api.management.write"
            );
        }
    }

    /// Has somebody come back later after a failure that counts.
    async fn fail(&mut self, person: PersonId, lane: Lane, until: Timestamp) {
        let Some(turn) = self.agenda.turn(person) else {
            self.refresh(person);
            return;
        };
        let (mark, attempts) = (turn.mark, turn.attempts.saturating_add(1));
        let (tenant, now) = (self.context.tenant.clone(), self.context.clock.now());
        let took = self
            .context
            .store
            .write(move |tx| {
                let tenant = tenant.clone();
                Box::pin(async move { tx.schedule(&tenant, person, mark, Some(until), lane, attempts).await })
            })
            .await;
        match took {
            Ok(true) if until > now => {
                self.put_off_until(person, until);
                self.answer(person, &Settlement::Queued);
            }
            Ok(_) => self.refresh(person),
            Err(error) => {
                self.pause_for_store(&error);
                self.refresh(person);
            }
        }
    }

    fn refresh(&mut self, person: PersonId) {
        self.agenda.refresh(person, self.context.clock.now());
    }

    fn put_off_until(&mut self, person: PersonId, until: Timestamp) {
        self.agenda.remove(person);
        self.put_off.insert(person, until);
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

    /// The owner who would be lost by this, if it is one.
    fn owner_lost_by(&self, action: &Action, facts: &Facts) -> Option<UserId> {
        let (Action::DeleteUser { user } | Action::SetRole { user, lowers: true, .. }) = action else {
            return None;
        };
        facts.owners.iter().any(|owner| owner.id == *user).then(|| user.clone())
    }

    /// An owner's removal or demotion is settled: the others are judged anew.
    fn forget_leaving(&mut self, action: &Action) {
        let Some(facts) = &mut self.facts else { return };
        let (Action::DeleteUser { user } | Action::SetRole { user, .. }) = action else { return };
        let was_owner = facts.leaving_owners.remove(user);
        if was_owner || matches!(action, Action::SetRole { .. }) {
            self.owners_changed = true;
            self.agenda.refresh_where(|need| {
                matches!(need, Need::Call(order) if matches!(order.action, Action::DeleteUser { .. } | Action::SetRole { lowers: true, .. }))
            });
        }
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

    async fn set_gauges(&mut self) {
        let now = self.context.clock.now();
        if self.gauges_at > now {
            return;
        }
        self.gauges_at = later(now, GAUGES_EVERY);
        let (tenant, metrics) = (self.context.tenant.as_str(), &self.context.metrics);
        let limiter = self.context.client.limiter();
        for endpoint in Endpoint::ALL {
            metrics.set_budget_left(tenant, endpoint.name(), limiter.left(*endpoint, now));
        }
        let Ok(mut reader) = self.context.store.reader().await else { return };
        if let Ok(depths) = reader.lane_depths(&self.context.tenant, now).await {
            for lane in Lane::ALL {
                let depth = depths.iter().find(|depth| depth.lane == lane);
                let age = depth.map_or(0.0, |depth| now.duration_since(depth.oldest_at).as_secs_f64());
                let waiting = depth.map_or(0, |depth| u64::try_from(depth.depth).unwrap_or_default());
                metrics.set_lane(tenant, lane.as_str(), waiting, age.max(0.0));
            }
        }
        if let Ok(counts) = reader.count_by_status(&self.context.tenant).await {
            for status in Status::ALL {
                let count =
                    counts.iter().find(|(counted, _)| *counted == status).map_or(0, |(_, count)| *count);
                metrics.set_people(tenant, status.as_str(), u64::try_from(count).unwrap_or_default());
            }
        }
    }
}

/// What one look at a person leaves in the store.
#[derive(Debug)]
struct Keeping {
    mapping: Option<Mapping>,
    /// The changes of ties, in words, for the audit.
    changes: Vec<String>,
    concluded: Vec<(OperationId, OperationState, String)>,
    rest: Option<(Option<Timestamp>, Lane, u32)>,
    was: Status,
}

/// The recorded changes of ties, each with its reason.
fn changes_of(plan: &[Planned]) -> Vec<String> {
    plan.iter()
        .filter_map(|planned| match &planned.step {
            Step::Record(Change::Effective { .. }) => None,
            Step::Record(change) => Some(format!("{change}: {}", planned.reason)),
            _ => None,
        })
        .collect()
}

/// The lane in which somebody waits who has nothing to do now.
fn lane_at_rest(plan: &[Planned], loaded: &Loaded) -> Lane {
    let lowest = if loaded.desired.wants_access { Lane::Read } else { Lane::Revoke };
    plan.iter().map(|planned| planned.lane).min().unwrap_or(lowest).min(lowest)
}
