//! Keeping an OpenAI group for every SCIM group, where the policy says so. One call about a group at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Flight, POLL, Report, STORE_PAUSE};
use crate::ids::{GroupId, OpenAiGroupId};
use crate::model::group::GroupName;
use crate::model::group_link::{GroupCall, GroupLink};
use crate::model::hold::Hold;
use crate::model::observed::{Collection, OpenAiGroup};
use crate::model::operation::Lane;
use crate::model::policy::GroupMode;
use crate::provision::admit::lapse;
use crate::provision::desired::{GroupWish, group_wish};
use crate::provision::execute::Outcome;
use crate::provision::group_call::{GroupOrder, carry_out, save_link};
use crate::provision::group_plan::{Next, Scene, over_holds_of, plan_group};
use crate::provision::pace::{backoff, later};
use crate::store::{Column, GroupCondition, Sequence, Spot, StoreError};

/// SCIM groups loaded at a time.
const CHUNK: usize = 1000;
/// The pause after a call whose budget was used up.
const BUDGET_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// What is to be done about groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// When to plan anew; `None`: when something changes.
    look_at: Option<Timestamp>,
    /// What can be done now, first served first.
    orders: Vec<GroupOrder>,
    /// When a kept group that a list left out was last looked for, and whether it was there.
    looks: BTreeMap<OpenAiGroupId, (Timestamp, bool)>,
    /// Calls in a row that brought no answer.
    failures: u32,
    /// What waits for a human, as it was when that was last looked at.
    holds: Vec<Hold>,
    /// When to see whether somebody decided.
    heed_at: Timestamp,
}

impl Groups {
    /// Has the groups looked at soon.
    pub(super) fn look(&mut self) {
        self.look_at = Some(Timestamp::MIN);
    }
}

impl Driver {
    /// Plans for all groups, if it is time to.
    pub(super) async fn tend_groups(&mut self) -> Result<(), StoreError> {
        if self.store_paused_until.is_some() || self.flights.contains_key(&Flight::Group) {
            return Ok(());
        }
        let now = self.context.clock.now();
        self.heed_decisions(now).await?;
        let Some(facts) = &self.facts else { return Ok(()) };
        match self.groups.look_at {
            Some(at) if at <= now => {}
            Some(at) => {
                self.wake(at);
                return Ok(());
            }
            None => return Ok(()),
        }
        // Where OpenAI offers no groups, or they were not read yet, the next reading says when to look.
        self.groups.look_at = None;
        self.groups.orders.clear();
        let holds = self.groups.holds.clone();
        if self.context.policy.groups != GroupMode::Mirror {
            return self.keep_links(Vec::new(), Vec::new(), holds).await;
        }
        if !facts.inventory.groups.is_read() {
            return Ok(());
        }
        let (wishes, links, groups) = self.load_groups().await?;
        let Some(facts) = &self.facts else { return Ok(()) };
        let linked: BTreeSet<OpenAiGroupId> =
            links.values().filter_map(|link| link.openai_id.clone()).collect();
        let scene = Scene {
            now,
            settle_time: self.context.policy.settle_time,
            groups: &groups,
            linked: &linked,
            sweeps: &facts.sweeps,
            inventory: &facts.inventory,
            looks: &self.groups.looks,
            on_deleted: self.context.policy.drift.group_deleted,
            holds: &holds,
        };
        let (mut orders, mut kept, mut over) = (Vec::new(), Vec::new(), Vec::new());
        let (mut reads, mut waits, mut over_holds) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for group in wishes.keys().chain(links.keys()).collect::<BTreeSet<_>>() {
            let before = links.get(group).cloned();
            let before = before.unwrap_or_else(|| GroupLink::new(self.context.tenant.clone(), *group));
            let (link, next) = plan_group(&before, wishes.get(group), &scene);
            over_holds.extend(over_holds_of(&link, wishes.get(group), &scene).into_iter().cloned());
            if link != before {
                kept.push((before, link.clone()));
            }
            match next {
                Some(Next::Call(call, reason)) => {
                    orders.push(GroupOrder { link, call, is_look: false, reason });
                }
                Some(Next::LookBack(call)) => {
                    let reason = "what came of the call, or of the group, is not known";
                    orders.push(GroupOrder { link, call, is_look: true, reason });
                }
                Some(Next::Read(collection)) => drop(reads.insert(collection)),
                Some(Next::Wait(until)) => drop(waits.insert(until)),
                Some(Next::Forget) => over.push(*group),
                None => {}
            }
        }
        orders.sort_by_key(GroupOrder::lane);
        self.groups.orders = orders;
        self.groups.looks.retain(|group, _| linked.contains(group));
        self.sweeps.ask(reads);
        if let Some(at) = waits.first() {
            self.groups.look_at = Some(*at);
            self.wake(*at);
        }
        self.keep_links(kept, over, over_holds).await
    }

    /// Learns from the store what waits for a human, and has the groups looked at if somebody decided.
    async fn heed_decisions(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let plans = self.groups.look_at.is_some_and(|at| at <= now);
        let polls = self.context.policy.groups == GroupMode::Mirror && self.groups.heed_at <= now;
        if !plans && !polls {
            return Ok(());
        }
        let holds = self.context.store.reader().await?.standing_group_holds(&self.context.tenant).await?;
        self.groups.heed_at = later(now, POLL);
        if holds != self.groups.holds {
            self.groups.holds = holds;
            self.groups.look();
        }
        Ok(())
    }

    async fn load_groups(
        &self,
    ) -> Result<(BTreeMap<GroupId, GroupWish>, BTreeMap<GroupId, GroupLink>, Vec<OpenAiGroup>), StoreError>
    {
        let (tenant, policy) = (&self.context.tenant, &self.context.policy);
        let mut reader = self.context.store.reader().await?;
        let mut wishes = BTreeMap::new();
        if let Some(facts) = &self.facts {
            let mut after = None;
            loop {
                let (all, by_id) = (GroupCondition::All, Sequence::by(Column::Id));
                let chunk = reader.scan_groups(tenant, &all, by_id, after.as_ref(), CHUNK).await?;
                let Some(last) = chunk.last() else { break };
                after = Some(Spot { key: None, id: last.id.to_string() });
                for group in chunk {
                    let name = GroupName {
                        id: group.id,
                        display_name: group.display_name,
                        external_id: group.external_id,
                    };
                    wishes.insert(name.id, group_wish(&name, policy, &facts.inventory));
                }
            }
        }
        let links = reader.group_links(tenant).await?.into_iter().map(|link| (link.group, link)).collect();
        Ok((wishes, links, reader.openai_groups(tenant).await?))
    }

    /// Keeps what the plans record.
    async fn keep_links(
        &mut self,
        kept: Vec<(GroupLink, GroupLink)>,
        over: Vec<GroupId>,
        over_holds: Vec<Hold>,
    ) -> Result<(), StoreError> {
        if kept.is_empty() && over.is_empty() && over_holds.is_empty() {
            return Ok(());
        }
        let now = self.context.clock.now();
        let is_lost = |(before, link): &&(GroupLink, GroupLink)| link.lost != before.lost;
        let lost: Vec<OpenAiGroupId> =
            kept.iter().filter(is_lost).filter_map(|(_, link)| link.lost.clone()).collect();
        let told = lost.iter().map(|group| self.deleted_group(group)).collect::<Vec<_>>();
        let (tenant, work) =
            (self.context.tenant.clone(), Arc::new((kept, over, lost.clone(), told, over_holds)));
        self.context
            .store
            .write(move |tx| {
                let (tenant, work) = (tenant.clone(), Arc::clone(&work));
                Box::pin(async move {
                    let (kept, over, lost, told, over_holds) = &*work;
                    for (group, entry) in lost.iter().zip(told) {
                        tx.forget_openai_group(&tenant, group).await?;
                        tx.append_audit(entry).await?;
                    }
                    let standing = tx.standing_group_holds(&tenant).await?;
                    // Whatever was decided meanwhile is looked at once more.
                    for hold in over_holds.iter().filter(|hold| standing.contains(hold)) {
                        lapse(tx, hold, now).await?;
                    }
                    for (before, link) in kept {
                        save_link(tx, before, link).await?;
                    }
                    for group in over {
                        tx.forget_group_link(&tenant, *group).await?;
                    }
                    Ok::<(), StoreError>(())
                })
            })
            .await?;
        self.tell_deleted_groups(&lost);
        self.renew_inventory().await
    }

    /// Starts the first call about a group that can start.
    pub(super) fn start_group_call(&mut self, now: Timestamp) {
        if self.flights.contains_key(&Flight::Group) {
            return;
        }
        let changes_wait = self.changes_wait();
        let orders: Vec<_> =
            self.groups.orders.iter().map(|order| (order.is_look, order.lane(), order.endpoint())).collect();
        let mut closed = BTreeSet::new();
        let place = orders.into_iter().position(|(is_look, lane, endpoint)| {
            (is_look || !changes_wait)
                && !closed.contains(&endpoint)
                && (self.can_start(lane, endpoint, now) || !closed.insert(endpoint))
        });
        let Some(place) = place else { return };
        let order = self.groups.orders.remove(place);
        let (context, at) = (self.context.clone(), self.ticker.next(now));
        self.fly(Flight::Group, order.lane(), order.endpoint(), async move {
            let outcome = carry_out(&context, &order, at).await;
            Report::GroupCalled { call: order.call, is_look: order.is_look, at, outcome }
        });
    }

    /// Takes in what came of a call about a group.
    pub(super) async fn take_group_call(
        &mut self,
        call: &GroupCall,
        is_look: bool,
        at: Timestamp,
        outcome: Outcome,
    ) {
        let now = self.context.clock.now();
        self.groups.look();
        self.groups.orders.clear();
        if outcome == Outcome::Unwritten {
            self.answers_lost_at = Some(now);
        }
        if let (GroupCall::Delete { group }, true, Outcome::Done | Outcome::Superseded) =
            (call, is_look, &outcome)
        {
            self.groups.looks.insert(group.clone(), (at, outcome == Outcome::Superseded));
        }
        match outcome {
            Outcome::Done => {
                self.gate.answered(true);
                if matches!(call, GroupCall::Delete { .. }) && !is_look {
                    self.sweeps.judge(&Collection::Groups).note_removal();
                }
            }
            Outcome::Refused => {
                self.gate.answered(true);
                // Perhaps the group is gone, or OpenAI does not offer groups any more.
                self.sweeps.ask([Collection::Groups]);
            }
            Outcome::RateLimited => self.groups.look_at = Some(later(now, BUDGET_PAUSE)),
            Outcome::Superseded | Outcome::Held => {}
            Outcome::Braked => self.brake_at = Timestamp::MIN,
            Outcome::NotSent | Outcome::Unknown | Outcome::Unwritten => self.gate.failed(now),
            Outcome::KeyRefused { status } => self.refuse_key(status, true),
            Outcome::Unrecorded => self.pause_for(STORE_PAUSE),
        }
        self.groups.failures = match outcome {
            Outcome::NotSent | Outcome::Unknown | Outcome::Unwritten => {
                self.groups.failures.saturating_add(1)
            }
            _ => 0,
        };
        if self.groups.failures > 0 {
            let pause = backoff(&self.context.clock, Lane::Grant, self.groups.failures);
            self.groups.look_at = Some(later(now, pause));
        }
        if let Err(error) = self.renew_inventory().await {
            self.pause_for_store(&error);
        }
    }
}
