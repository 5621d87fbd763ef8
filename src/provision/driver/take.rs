//! Taking in what calls and readings brought.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Driver, Flight, READ_TRIES, Report, STORE_PAUSE};
use crate::ids::PersonId;
use crate::model::grant::Assignment;
use crate::model::observed::Collection;
use crate::model::operation::{Action, Lane};
use crate::openai::{Endpoint, Failure, FailureKind};
use crate::provision::execute::{Order, Outcome};
use crate::provision::handle::Settlement;
use crate::provision::observe::{self, Progress, ReadError, Reading};
use crate::provision::pace::{backoff, later};
use crate::provision::plan::{CALL_SETTLE, Look, Read};
use crate::provision::sweeps::REPEAT_AFTER;
use crate::store::StoreError;

/// The word under which whole readings are counted among the operations.
const READING: &str = "reading";

impl Driver {
    pub(super) async fn take(&mut self, done: Result<(Flight, Report), tokio::task::JoinError>) {
        let Ok((flight, report)) = done else { return };
        let lane = self.flights.remove(&flight).map_or(Lane::Read, |(lane, _)| lane);
        if let Flight::Person(person) = &flight {
            self.busy.remove(person);
        }
        match report {
            Report::Called { order, sent_at, outcome } => self.take_call(order, sent_at, outcome).await,
            Report::Looked { person, read, at, found } => self.take_look(person, read, at, found, lane).await,
            Report::Paged { reading, progress } => self.take_page(reading, progress).await,
            Report::Counted { order, count, counted } => self.take_count(order, count, counted).await,
            Report::GroupCalled { call, is_look, at, outcome } => {
                self.take_group_call(&call, is_look, at, outcome).await;
            }
            Report::Probed(result) => self.take_probe(result),
            Report::Hinted(page) => self.take_hints(page).await,
            Report::Owner(result) => self.take_owner(result),
            Report::Lost => {
                tracing::error!(tenant = %self.context.tenant, "a task of the engine broke off; its work is read back");
                self.answers_lost_at = Some(self.context.clock.now());
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
        if outcome == Outcome::Unwritten {
            self.answers_lost_at = Some(now);
        }
        if !matches!(outcome, Outcome::Unknown | Outcome::Unwritten) {
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
                    Action::Unassign { what: Assignment::Group { group }, .. } => {
                        self.sweeps.judge(&Collection::GroupMembers(group.clone())).note_removal();
                    }
                    _ => {}
                }
                self.refresh(person);
            }
            Outcome::Refused => {
                self.gate.answered(true);
                match &order.action {
                    // Perhaps there is no such thing any more, or OpenAI does not offer it any more.
                    Action::Assign { what: Assignment::Group { .. }, .. } => {
                        self.sweeps.ask([Collection::Groups]);
                    }
                    Action::Assign { .. } => self.sweeps.ask([Collection::Roles]),
                    Action::AddToProject { .. } => self.sweeps.ask([Collection::Projects]),
                    _ => {}
                }
                if order.lane == Lane::Revoke && attempts > 0 {
                    tracing::error!(
                        tenant = %self.context.tenant, person.id = %person,
                        "OpenAI goes on refusing to take away access of person {person}; it is tried again"
                    );
                }
                // The first refusal is looked into at once; one that comes again and again is not.
                let pause = (attempts > 0).then(|| backoff(&self.context.clock, order.lane, attempts));
                self.fail(person, order.lane, pause.map_or(now, |pause| later(now, pause))).await;
            }
            Outcome::RateLimited | Outcome::Superseded | Outcome::Held => self.refresh(person),
            Outcome::Braked => {
                self.brake_at = Timestamp::MIN;
                self.refresh(person);
            }
            Outcome::NotSent => {
                self.gate.failed(now);
                let pause = backoff(&self.context.clock, order.lane, attempts.saturating_add(1));
                self.fail(person, order.lane, later(now, pause)).await;
            }
            Outcome::Unknown | Outcome::Unwritten => {
                self.gate.failed(now);
                let is_invite = matches!(order.action, Action::CreateInvite { .. });
                let settled_at =
                    later(sent_at, if is_invite { self.context.policy.settle_time } else { CALL_SETTLE });
                // The first time it is read back as soon as that proves anything, then ever more slowly.
                let lane = if is_invite && attempts == 0 { Lane::Grant } else { order.lane };
                let pause = backoff(&self.context.clock, lane, attempts.saturating_add(1));
                self.fail(person, order.lane, later(now, pause).max(settled_at)).await;
            }
            Outcome::KeyRefused { status } => {
                self.refuse_key(status, true);
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
                    self.refuse_key(failure.status, false);
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
            Ok(Progress::NotOffered) => {
                self.gate.answered(false);
                if let Err(error) = self.note_not_offered(&collection).await {
                    self.pause_for_store(&error);
                }
            }
            Ok(Progress::Missing) => {
                self.gate.answered(false);
                let interval = self.context.policy.reconcile_interval;
                self.sweeps.failed(&collection, now, |_| interval);
                self.look_one_by_one(&collection);
            }
            Ok(Progress::Broken(reason)) => {
                self.context.metrics.operation(self.context.tenant.as_str(), READING, "contradictory");
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
                    self.refuse_key(failure.status, false);
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
                    self.look_one_by_one(&collection);
                }
            },
        }
    }

    /// Whoever waits for a list that could not be read is looked up by themselves.
    fn look_one_by_one(&mut self, collection: &Collection) {
        if matches!(collection, Collection::ProjectMembers(_) | Collection::GroupMembers(_)) {
            self.agenda.refresh_readers(collection);
        }
    }

    /// A walk reached its end: believe it, or conclude nothing.
    async fn finish_reading(&mut self, reading: &Reading, ids: &BTreeSet<String>) {
        let now = self.context.clock.now();
        let collection = reading.collection.clone();
        let Some(facts) = &mut self.facts else { return };
        let may_be_empty = collection != Collection::Members;
        if !self.sweeps.judge(&collection).believes(ids, facts.sweeps.get(&collection), may_be_empty) {
            self.context.metrics.operation(self.context.tenant.as_str(), READING, "implausible");
            tracing::warn!(
                tenant = %self.context.tenant, collection = ?collection, objects = ids.len(),
                "a reading is suspiciously short and concludes nothing; it is repeated"
            );
            self.sweeps.failed(&collection, now, |_| REPEAT_AFTER);
            return;
        }
        let known = if collection == Collection::Members {
            self.acquaintances().await.unwrap_or_default()
        } else {
            0
        };
        let Some(facts) = &mut self.facts else { return };
        match observe::finish(&self.context, reading, ids.len()).await {
            Ok((sweep, due)) => {
                let before = facts.sweeps.insert(collection.clone(), sweep);
                self.context.metrics.operation(self.context.tenant.as_str(), READING, "done");
                self.sweeps.succeeded(&collection);
                if due > 0 {
                    self.refill_at = now;
                }
                self.owners_changed |= collection == Collection::Members;
                if let Err(error) = self.note_offered(&collection).await {
                    self.pause_for_store(&error);
                }
                if matches!(collection, Collection::Groups | Collection::GroupMembers(_)) {
                    self.groups.look();
                }
                self.agenda.refresh_readers(&collection);
                if collection == Collection::Members
                    && let Err(error) = self.compare_members(known, before).await
                {
                    self.pause_for_store(&error);
                }
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
            Err(failure) if failure.kind == FailureKind::KeyRefused => self.refuse_key(failure.status, false),
            Err(_) => {
                self.gate.refuse_key(now, false);
            }
        }
    }

    /// The key is refused: everything stops, once and loudly, and no person is blamed.
    pub(super) fn refuse_key(&mut self, status: Option<u16>, by_a_change: bool) {
        if planted!(KeyRefusalIgnored) {
            return;
        }
        self.key.trouble = Some(match status {
            Some(401) => "OpenAI does not know the admin key (401): it is wrong, has run out or was revoked".to_owned(),
            _ => "OpenAI does not let the admin key do this (403): it lacks a scope, or is no admin key. It needs \
                  api.management.read and api.management.write"
                .to_owned(),
        });
        let may_read = by_a_change && status == Some(403);
        if self.gate.refuse_key(self.context.clock.now(), may_read) {
            tracing::error!(
                tenant = %self.context.tenant,
                "OpenAI refuses the admin key. No call is made until it is accepted again; all work is kept. Check that the key is live and has the scopes api.management.read and api.management.write"
            );
        }
    }

    /// Has somebody come back later after a failure that counts.
    pub(super) async fn fail(&mut self, person: PersonId, lane: Lane, until: Timestamp) {
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

    /// An owner's removal or demotion is settled: the others are judged anew.
    pub(super) fn forget_leaving(&mut self, action: &Action) {
        let Some(facts) = &mut self.facts else { return };
        let (Action::DeleteUser { user } | Action::SetRole { user, .. }) = action else { return };
        let was_owner = facts.leaving_owners.remove(user);
        if was_owner || matches!(action, Action::SetRole { .. }) {
            self.owners_changed = true;
            self.agenda.refresh_callers(Endpoint::DeleteUser, |_| true);
            self.agenda.refresh_callers(Endpoint::UpdateUser, |action| {
                matches!(action, Action::SetRole { lowers: true, .. })
            });
        }
    }
}
