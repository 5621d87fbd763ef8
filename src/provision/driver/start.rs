//! Starting what can start: places, budgets, the gate, and who is served first.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::{Driver, Flight, MAX_AGENDA, MAX_IN_FLIGHT, Report, WINDOW};
use crate::ids::PersonId;
use crate::model::observed::Collection;
use crate::model::operation::Lane;
use crate::openai::Endpoint;
use crate::provision::agenda::{Need, Place, Turn};
use crate::provision::execute::execute;
use crate::provision::observe::{self, look};
use crate::provision::pace::later;
use crate::provision::sweeps::periodic;

/// The most objects on one page of a list.
const PAGE_SIZE: i64 = 100;
/// Whom a reading as young as this did not help is looked up by themselves.
const WHOLE_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The next thing to start out of several queues; the least is served first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    lane: Lane,
    since: Timestamp,
    at: At,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// A call for somebody, at this endpoint.
    Person(PersonId, Endpoint),
    /// A page of a collection, not before this instant.
    Page(Timestamp, Collection),
}

impl Driver {
    /// Starts whatever can start now, first served first, and notes when the next thing can.
    pub(super) fn start_jobs(&mut self) {
        let now = self.context.clock.now();
        if let Some(until) = self.store_paused_until {
            self.wake(until);
            return;
        }
        let due_at = [self.next_due_at, self.put_off.first()].into_iter().flatten().min();
        if let Some(due_at) = due_at {
            self.wake(due_at.max(now));
        }
        self.ask_owner(now);
        if let Some(probe_at) = self.gate.key_probe_at() {
            self.start_probe(probe_at, now);
            return;
        }
        self.start_hints(now);
        self.read_whole_where_cheaper(now);
        let Some(facts) = &self.facts else { return };
        let waiting = self.agenda.waiting();
        let limiter = self.context.client.limiter().clone();
        let pages = self.sweeps.next_pages(
            facts,
            self.context.policy.reconcile_interval,
            &periodic(&self.context.policy, facts),
            &waiting,
            |collection| limiter.left(observe::list_endpoint(collection), now),
        );
        let mut heads: BTreeSet<Head> = pages
            .into_iter()
            .map(|page| Head { lane: page.lane, since: page.since, at: At::Page(page.from, page.collection) })
            .collect();
        heads.extend(self.agenda.queues().into_iter().filter_map(|queue| self.head(queue, None)));
        while let Some(Head { lane, since, at }) = heads.pop_first() {
            match at {
                At::Page(from, _) if from > now => self.wake(from),
                At::Page(_, collection) => self.start_page(collection, lane, now),
                At::Person(person, endpoint) => {
                    if self.start_person(person, lane, endpoint, now) {
                        heads.extend(self.head((lane, endpoint), Some((since, person))));
                    }
                }
            }
        }
        self.start_group_call(now);
        self.start_census(now);
        if self.more_due && self.flights.is_empty() && self.agenda.len() + WINDOW <= MAX_AGENDA {
            // Everybody on the agenda waits for a budget; somebody behind them may not have to.
            self.extend_agenda = true;
            self.wake(now);
        }
    }

    /// Where more people wait to be looked up one by one than their collection has pages, reads it whole instead.
    fn read_whole_where_cheaper(&mut self, now: Timestamp) {
        let Some(facts) = &self.facts else { return };
        for (collection, people) in self.agenda.lookups() {
            let last = facts.sweeps.get(&collection);
            let pages =
                last.map_or(1, |sweep| usize::try_from(sweep.count / PAGE_SIZE).unwrap_or_default() + 1);
            let was_just_read = last.is_some_and(|sweep| now < later(sweep.started_at, WHOLE_AGAIN_AFTER));
            if people > pages && !was_just_read && !self.sweeps.is_failing(&collection) {
                self.agenda.read_whole(&collection);
            }
        }
    }

    /// The next in a queue, after this place or at its head.
    fn head(&self, queue: (Lane, Endpoint), after: Option<Place>) -> Option<Head> {
        let (since, person) = self.agenda.next_in(queue, after)?;
        Some(Head { lane: queue.0, since, at: At::Person(person, queue.1) })
    }

    /// Whether there is a place, a budget and an open gate for a call; notes when there may be.
    pub(super) fn can_start(&mut self, lane: Lane, endpoint: Endpoint, now: Timestamp) -> bool {
        if let Some(opens_at) = self.gate.opens_at(lane, now) {
            self.wake(opens_at);
            return false;
        }
        let limiter = self.context.client.limiter();
        let ready_at = limiter.ready_at(endpoint, now);
        if ready_at > now {
            self.wake(ready_at);
            return false;
        }
        // A call that has started may not have taken its share yet, so it is counted a second time.
        let on_their_way = self.flights.values().filter(|(_, taken)| *taken == endpoint).count();
        let left = limiter.left(endpoint, now) - f64::from(u32::try_from(on_their_way).unwrap_or(u32::MAX));
        left >= 1.0 && self.has_place(lane)
    }

    fn has_place(&self, lane: Lane) -> bool {
        let others = self.flights.values().filter(|(taken, _)| *taken != Lane::Revoke).count();
        self.flights.len() < MAX_IN_FLIGHT && (lane == Lane::Revoke || others + 1 < MAX_IN_FLIGHT)
    }

    /// Whether no change may be made at present, or not before it is known whose key is in use.
    pub(super) fn changes_wait(&self) -> bool {
        self.halt.is_some() || !self.key.asked
    }

    /// Starts what this person needs, if it can start. Tells whether those behind them in the queue can.
    fn start_person(&mut self, person: PersonId, lane: Lane, endpoint: Endpoint, now: Timestamp) -> bool {
        if self.busy.contains_key(&person) {
            return true;
        }
        let changes = matches!(self.agenda.turn(person), Some(Turn { need: Need::Call(_), .. }));
        if changes && self.changes_wait() {
            return false;
        }
        if !self.can_start(lane, endpoint, now) {
            return false;
        }
        let Some(need) = self.agenda.turn(person).map(|turn| turn.need.clone()) else { return true };
        let context = self.context.clone();
        let at = self.ticker.next(now);
        match need {
            Need::Call(order) => {
                if let Some(facts) = &self.facts
                    && let Some(owner) = facts.owner_lost_by(&order.action)
                {
                    if !facts.leaving_owners.is_empty() {
                        // One owner at a time: whether the next may go is judged when this one is settled.
                        return true;
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
        true
    }

    fn start_page(&mut self, collection: Collection, lane: Lane, now: Timestamp) {
        let endpoint = observe::list_endpoint(&collection);
        if self.flights.contains_key(&Flight::Page(collection.clone()))
            || !self.can_start(lane, endpoint, now)
        {
            return;
        }
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

    pub(super) fn fly(
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
            // A defect in it is contained, and the flight is known to have ended.
            let report = AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Report::Lost);
            (flight, report)
        });
    }
}
