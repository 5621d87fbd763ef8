//! Working out: loading who is due, planning for them, keeping what the plan records.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Driver, MAX_AGENDA, PLANS_PER_ROUND, POLL, SOON, STORE_PAUSE, WINDOW};
use crate::ids::{HoldId, OperationId, PersonId, TenantId};
use crate::model::hold::Hold;
use crate::model::mapping::{Mapping, Status};
use crate::model::observed::Collection;
use crate::model::operation::{Lane, OperationState};
use crate::model::upkeep::Drift;
use crate::provision::admit::Halt;
use crate::provision::agenda::{Need, Turn, next_need};
use crate::provision::budgets::recall;
use crate::provision::execute;
use crate::provision::handle::Settlement;
use crate::provision::load::{Loaded, load_facts, load_person};
use crate::provision::pace::later;
use crate::provision::plan::{Change, Facts, Planned, Step, plan_person, settle_holds};
use crate::provision::status::status;
use crate::store::{Reader, StoreError};

/// How the reason of somebody begins for whom nothing is done because nothing is done at all.
const STANDSTILL: &str = "not carried out: ";
/// How often projects are looked for that nobody has by a grant any more; new ones are noted at once.
const GRANTED_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How soon such a person is looked at again if nothing else says so.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

impl Driver {
    /// What was sent by a machine that then stood still for days may have reached OpenAI until then.
    async fn abandon_calls(&self, lost_at: Timestamp) -> Result<(), StoreError> {
        let tenant = self.context.tenant.clone();
        let write = self.context.store.write(move |tx| {
            let tenant = tenant.clone();
            Box::pin(async move { tx.abandon_calls(&tenant, lost_at).await })
        });
        write.await
    }

    /// Loads who is due and works out what they need. Tells whether more is to be worked out.
    pub(super) async fn work_out(&mut self) -> Result<bool, StoreError> {
        let now = self.context.clock.now();
        if let Some(until) = self.store_paused_until.filter(|until| *until > now) {
            self.wake(until);
            return Ok(false);
        }
        self.store_paused_until = None;
        if let Some(lost_at) = self.answers_lost_at {
            self.abandon_calls(lost_at).await?;
            self.answers_lost_at = None;
        }
        if self.facts.is_none() {
            let mut reader = self.context.store.reader().await?;
            let not_offered = self.not_offered.borrow().clone();
            let (tenant, policy) = (&self.context.tenant, &self.context.policy);
            let facts = load_facts(tenant, policy, &mut reader, &not_offered).await?;
            // What was removed since the last reading explains why the next one shows less.
            for (collection, sweep) in &facts.sweeps {
                let gone = reader.count_gone(&self.context.tenant, collection, sweep.started_at).await?;
                self.sweeps.judge(collection).note_removals(gone);
            }
            recall(self.context.client.limiter(), &reader.budgets(&self.context.tenant).await?);
            self.kept_budgets = self.context.client.limiter().learnt(now);
            self.facts = Some(facts);
            self.granted_at = later(now, GRANTED_EVERY);
            self.groups.look();
        }
        if let (true, Some(facts)) = (self.granted_at <= now, &mut self.facts) {
            let mut reader = self.context.store.reader().await?;
            facts.granted_projects = reader.granted_projects(&self.context.tenant).await?;
            self.granted_at = later(now, GRANTED_EVERY);
        }
        if let (true, Some(facts)) = (self.owners_changed, &mut self.facts) {
            facts.owners = self.context.store.reader().await?.owners(&self.context.tenant).await?;
            self.owners_changed = false;
        }
        self.look_at_organization(now).await?;
        self.look_at_brake(now).await?;
        self.refill(now).await?;
        // Whoever is waited for comes first.
        let waited_for = self.waiters.keys().copied().filter(|person| self.agenda.is_stale(*person));
        let others = self.agenda.stale().filter(|person| !self.waiters.contains_key(person));
        let stale = waited_for.chain(others).filter(|person| !self.busy.contains_key(person));
        let stale: Vec<PersonId> = stale.take(PLANS_PER_ROUND + 1).collect();
        for person in stale.iter().take(PLANS_PER_ROUND) {
            self.work_out_person(*person).await?;
        }
        Ok(stale.len() > PLANS_PER_ROUND)
    }

    /// Puts due people onto the agenda: the most urgent ones at each poll, and more of them when those on it are
    /// nearly done or can all not start.
    async fn refill(&mut self, now: Timestamp) -> Result<(), StoreError> {
        while let Some(person) = self.put_off.take_due(now) {
            self.agenda.add(person, now);
        }
        let extends = self.more_due && (self.extend_agenda || self.agenda.len() < WINDOW / 2);
        let due_now = self.next_due_at.is_some_and(|due_at| due_at <= now);
        if self.refill_at > now && !extends && !due_now {
            return Ok(());
        }
        self.extend_agenda = false;
        let limit = if extends { (self.agenda.len() + WINDOW).min(MAX_AGENDA) } else { WINDOW };
        let mut reader = self.context.store.reader().await?;
        let tenant = &self.context.tenant;
        let due = reader.due_people(tenant, now, i64::try_from(limit).unwrap_or(i64::MAX)).await?;
        let (is_full, before) = (due.len() >= limit, self.agenda.len());
        for person in due {
            // The order of the store is kept: by lane, then by how long they wait.
            let since = self.ticker.next(now);
            self.agenda.add(person, since);
        }
        let has_new = self.agenda.len() > before;
        self.more_due = is_full && (has_new || (self.more_due && !extends));
        self.next_due_at = reader.next_due_at(tenant).await?.filter(|due_at| *due_at > now);
        self.refill_at = later(now, POLL);
        Ok(())
    }

    /// Plans for one person, keeps what the plan records, and notes what is needed next.
    async fn work_out_person(&mut self, person: PersonId) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let looks = self.looks.get(&person).map(Vec::as_slice).unwrap_or_default();
        let Some(facts) = &mut self.facts else { return Ok(()) };
        let mut reader = self.context.store.reader().await?;
        let (tenant, policy) = (&self.context.tenant, &self.context.policy);
        let loaded = load_person(tenant, policy, &mut reader, &facts.inventory, person, looks).await?;
        let Some(loaded) = loaded else {
            self.agenda.remove(person);
            self.looks.remove(&person);
            self.removing.remove(&person);
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
        load_missing_sweeps(&self.context.tenant, &mut reader, facts, &loaded).await?;
        drop(reader);
        for operation in &loaded.observed.open {
            facts.leaving_owners.extend(facts.owner_lost_by(&operation.action));
        }
        let plan = plan_person(now, &loaded.desired, &loaded.observed, facts, &self.context.policy);
        let mut finding = Finding::new(loaded, plan);
        if let Some(Halt { reason, is_elsewhere: true }) = &self.halt {
            finding.believe_nothing(reason);
            return self.follow(finding, now).await;
        }
        if let Some(Halt { reason, .. }) = &self.halt {
            finding.stand_still(reason);
        }
        finding.holds =
            settle_holds(now, &finding.plan, &finding.loaded.observed, || HoldId::new(&self.context.clock));
        self.follow(finding, now).await
    }

    /// Keeps what a plan records and settles, then notes the next need or lets the person rest.
    async fn follow(&mut self, finding: Finding, now: Timestamp) -> Result<(), StoreError> {
        let person = finding.loaded.observed.person;
        let rest = finding.rest(now, self.context.policy.reconcile_interval);
        let took = match self.keep(&finding, rest, now).await {
            Err(StoreError::Taken) => {
                // Somebody else was bound to the same thing a moment ago; the next look sees it.
                self.put_off_until(person, later(now, STORE_PAUSE));
                self.answer(person, &Settlement::Queued);
                return Ok(());
            }
            kept => kept?,
        };
        if !took {
            // Written while being planned for: plan again.
            self.refresh(person);
            return Ok(());
        }
        self.note_conclusions(&finding);
        let work = &finding.loaded.work;
        if finding.mapping.status == Status::Removing {
            self.removing.entry(person).or_insert(work.person.modified_at);
        } else {
            self.removing.remove(&person);
        }
        match finding.next.clone() {
            Some((lane, _)) if lane != Lane::Revoke && self.agenda.len() > MAX_AGENDA => {
                // They are due in the store and found there when it is their turn.
                self.agenda.remove(person);
                self.looks.remove(&person);
                self.more_due = true;
                self.answer(person, &Settlement::Queued);
            }
            Some((lane, need)) => {
                self.agenda.set(person, Turn { lane, need, mark: work.mark, attempts: work.attempts });
            }
            None => self.let_rest(&finding, rest.and_then(|rest| rest.due_at)),
        }
        Ok(())
    }

    /// Takes somebody off the agenda for whom nothing can be done now.
    fn let_rest(&mut self, finding: &Finding, due_at: Option<Timestamp>) {
        let person = finding.loaded.observed.person;
        let soon = later(self.context.clock.now(), SOON);
        if due_at.is_none_or(|due_at| due_at >= soon) {
            self.looks.remove(&person);
        }
        if let Some(due_at) = due_at {
            self.put_off_until(person, due_at);
        } else {
            self.put_off.remove(person);
            self.agenda.remove(person);
        }
        self.answer(person, &finding.settlement());
    }

    /// Writes down what a look at a person came to, if it is news. Tells whether it still held: not if the person,
    /// their mapping or their operations were written meanwhile.
    async fn keep(&self, finding: &Finding, rest: Option<Rest>, now: Timestamp) -> Result<bool, StoreError> {
        let work = &finding.loaded.work;
        let moves = rest.is_some_and(|rest| work.due_at != rest.due_at || work.attempts != rest.attempts);
        let is_new = finding.mapping != finding.before;
        let concluded = finding.concluded();
        if !is_new && !moves && concluded.is_empty() && finding.holds.is_empty() {
            return Ok(true);
        }
        let mut mapping = finding.mapping.clone();
        mapping.last_synced_at = Some(now);
        let (tenant, person, mark) = (self.context.tenant.clone(), mapping.person, work.mark);
        let is_told = mapping.status != finding.before.status || !finding.changes().is_empty();
        let news = json!({
            "status": mapping.status.as_str(),
            "reason": mapping.status_reason,
            "changes": finding.changes(),
        });
        let known = (work.mapping.clone(), work.open.clone());
        let drifts: Vec<_> = finding.drifts().map(drift_detail).collect();
        let holds = (finding.holds.clone(), finding.loaded.observed.holds.clone());
        let kept = Arc::new((mapping, concluded, news, known, holds, drifts));
        self.context
            .store
            .write(move |tx| {
                let (tenant, kept) = (tenant.clone(), kept.clone());
                Box::pin(async move {
                    let (mapping, concluded, news, known, (holds, known_holds), drifts) = &*kept;
                    let work = tx.load_work(&tenant, person).await?;
                    if work.is_none_or(|work| (work.mapping, work.open) != *known) {
                        return Ok(false);
                    }
                    if !holds.is_empty() && tx.standing_holds(&tenant, person).await? != *known_holds {
                        // An administrator decided meanwhile.
                        return Ok(false);
                    }
                    for hold in holds {
                        tx.save_hold(hold).await?;
                        tx.append_audit(&execute::hold_entry(hold, now)).await?;
                    }
                    for (operation, state, words) in concluded {
                        tx.settle_operation(&tenant, *operation, *state, now, None, Some(words)).await?;
                        let detail = json!({
                            "operation": operation.to_string(),
                            "outcome": state.as_str(),
                            "words": words,
                        });
                        let entry = execute::entry(&tenant, person, now, "operation.conclude", detail);
                        tx.append_audit(&entry).await?;
                    }
                    if is_new {
                        tx.save_mapping(mapping).await?;
                    }
                    if is_new && is_told {
                        let entry = execute::entry(&tenant, person, now, "mapping.change", news.clone());
                        tx.append_audit(&entry).await?;
                    }
                    for detail in drifts {
                        let entry = execute::entry(&tenant, person, now, "drift.found", detail.clone());
                        tx.append_audit(&entry).await?;
                    }
                    match rest {
                        Some(rest) => {
                            tx.schedule(&tenant, person, mark, rest.due_at, rest.lane, rest.attempts).await
                        }
                        None => Ok(true),
                    }
                })
            })
            .await
    }

    /// What settled operations and new ties mean for the rest of the engine.
    fn note_conclusions(&mut self, finding: &Finding) {
        for (id, state, _) in finding.concluded() {
            let open = &finding.loaded.observed.open;
            let Some(operation) = open.iter().find(|open| open.id == id) else { continue };
            let (tenant, kind) = (self.context.tenant.as_str(), operation.action.kind());
            self.context.metrics.operation(tenant, kind, state.as_str());
            self.forget_leaving(&operation.action);
        }
        if let Some(facts) = &mut self.facts {
            facts.granted_projects.extend(finding.mapping.granted_projects());
        }
        for drift in finding.drifts() {
            self.tell_drift(drift.class);
            tracing::info!(
                tenant = %self.context.tenant, person.id = %finding.mapping.person,
                drift.class = drift.class.as_str(),
                "person {} was changed outside the bridge: {}", finding.mapping.person, drift.class
            );
        }
        let binds = |planned: &Planned| matches!(&planned.step, Step::Record(Change::BindMember { .. }));
        if finding.before.invite_id.is_some() && finding.plan.iter().any(binds) {
            // OpenAI may stop listing an invite that was accepted.
            self.sweeps.judge(&Collection::Invites).note_removal();
        }
    }
}

/// Readings of projects that only this person's grants speak of.
async fn load_missing_sweeps(
    tenant: &TenantId,
    reader: &mut Reader,
    facts: &mut Facts,
    loaded: &Loaded,
) -> Result<(), StoreError> {
    for project in loaded.desired.projects.keys() {
        let collection = Collection::ProjectMembers(project.clone());
        if !facts.sweeps.contains_key(&collection)
            && let Some(sweep) = reader.last_sweep(tenant, &collection).await?
        {
            facts.sweeps.insert(collection, sweep);
        }
    }
    Ok(())
}

/// A change by somebody else, for the audit trail.
fn drift_detail(drift: &Drift) -> serde_json::Value {
    json!({ "class": drift.class.as_str(), "subject": drift.subject })
}

/// What a look at a person came to.
#[derive(Debug)]
struct Finding {
    loaded: Loaded,
    plan: Vec<Planned>,
    /// The mapping row as it is stored.
    before: Mapping,
    /// The row as the plan leaves it.
    mapping: Mapping,
    next: Option<(Lane, Need)>,
    /// The holds to be written.
    holds: Vec<Hold>,
    /// Whether the plan is shown and not carried out.
    stands_still: bool,
}

/// When to look again at somebody for whom nothing can be done now.
#[derive(Debug, Clone, Copy)]
struct Rest {
    due_at: Option<Timestamp>,
    lane: Lane,
    attempts: u32,
}

impl Finding {
    fn new(loaded: Loaded, plan: Vec<Planned>) -> Self {
        let observed = &loaded.observed;
        let before = observed
            .mapping
            .clone()
            .unwrap_or_else(|| Mapping::new(observed.tenant.clone(), observed.person));
        let mut mapping = before.clone();
        for planned in &plan {
            if let Step::Record(change) = &planned.step {
                change.apply(&mut mapping);
            }
        }
        (mapping.status, mapping.status_reason) = status(loaded.desired.wants_access, &mapping, &plan);
        let next = next_need(&plan, observed.version);
        let tells_of_standstill = |reason: &String| reason.starts_with(STANDSTILL);
        if next.is_some()
            && mapping.status == before.status
            && !before.status_reason.as_ref().is_some_and(tells_of_standstill)
        {
            // A reason that only tells of the next step is not worth a write.
            mapping.status_reason.clone_from(&before.status_reason);
        }
        Self { loaded, plan, before, mapping, next, holds: Vec::new(), stands_still: false }
    }

    /// No change may be made: tells what would be done instead.
    fn stand_still(&mut self, why: &str) {
        let Some((_, Need::Call(order))) = &self.next else { return };
        let step = Step::Call(order.action.clone());
        self.mapping.status_reason = Some(format!("{STANDSTILL}{why}; otherwise: {step}: {}", order.reason));
        (self.next, self.stands_still) = (None, true);
    }

    /// What is observed is of another organization, as it seems: nothing is concluded from it, and no tie is cut.
    fn believe_nothing(&mut self, why: &str) {
        self.plan.clear();
        self.mapping = self.before.clone();
        if !self.loaded.desired.wants_access {
            self.mapping.status = status(false, &self.before, &[]).0;
        }
        self.mapping.status_reason = Some(format!("{STANDSTILL}{why}"));
        (self.next, self.stands_still) = (None, true);
    }

    /// The operations that the plan settles, with the reasons.
    fn concluded(&self) -> Vec<(OperationId, OperationState, String)> {
        let concluded = self.plan.iter().filter_map(|planned| match &planned.step {
            Step::Conclude(id, state) => Some((*id, *state, planned.reason.clone())),
            _ => None,
        });
        concluded.collect()
    }

    /// The recorded changes of ties in words, for the audit.
    fn changes(&self) -> Vec<String> {
        let changes = self.plan.iter().filter_map(|planned| match &planned.step {
            Step::Record(Change::Effective { .. } | Change::Drift { is_so: true, .. }) => None,
            Step::Record(change) => Some(format!("{change}: {}", planned.reason)),
            _ => None,
        });
        changes.collect()
    }

    /// What somebody else changed, as far as it is news.
    fn drifts(&self) -> impl Iterator<Item = &Drift> {
        self.plan.iter().filter_map(|planned| match &planned.step {
            Step::Record(Change::Drift { drift, is_so: true }) => Some(drift),
            _ => None,
        })
    }

    /// When to look again, if the plan has nothing to do now.
    fn rest(&self, now: Timestamp, interval: SignedDuration) -> Option<Rest> {
        if self.next.is_some() {
            return None;
        }
        let due_at = self.plan.iter().filter_map(|planned| match &planned.step {
            Step::Wait(until) => *until,
            // A hold is judged anew, because the world may have changed.
            Step::Hold(_) => Some(later(now, interval)),
            _ => None,
        });
        let due_at = due_at.chain(self.stands_still.then(|| later(now, LOOK_AGAIN)));
        let waits_for_outcome = !self.loaded.observed.open.is_empty() && self.concluded().is_empty();
        let lowest = if self.loaded.desired.wants_access { Lane::Read } else { Lane::Revoke };
        Some(Rest {
            due_at: due_at.min(),
            lane: self.plan.iter().map(|planned| planned.lane).min().unwrap_or(lowest).min(lowest),
            attempts: if waits_for_outcome { self.loaded.work.attempts } else { 0 },
        })
    }

    /// What a waiting request learns.
    fn settlement(&self) -> Settlement {
        let refused = self.plan.iter().find(|planned| planned.step == Step::Refuse);
        match (refused, self.mapping.status) {
            (Some(refused), Status::Refused) => Settlement::Refused(refused.reason.clone()),
            (_, Status::Pending | Status::Removing) => Settlement::Queued,
            _ => Settlement::Settled,
        }
    }
}
