//! What happens beside the plain story: who was there before, a weak machine, a neighbour in the same database, humans who
//! decide about what is held, and a database that is put back.

use jiff::SignedDuration;
use openai_scim_bridge::model::hold::Decision;
use openai_scim_bridge::simulator::OrgRole;
use openai_scim_bridge::store::{HoldFilter, StoreError};
use serde_json::json;

use super::judge::STRANGER;
use super::reach::Point;
use super::seed::{Extras, Gifts};
use super::story::Story;
use super::world::Client;

/// Longer than an invite is good for.
const INVITES_RUN_OUT: SignedDuration = SignedDuration::from_hours(8 * 24);
/// How much the clock of the machine may be wrong; the bridge copes with five minutes.
const MOST_SECONDS_AHEAD: i64 = 240;
/// An id that nobody has.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

impl Story {
    /// Some are members, or invited by hand, before the directory ever speaks of them.
    pub(super) fn settle_in(&mut self) {
        if !self.setting.extras.settlers {
            return;
        }
        for slot in &mut self.model.slots {
            let settler = self.aside.below(6);
            slot.was_there = settler < 3;
            match settler {
                0 | 1 => drop(self.world.simulator.seed_member(&slot.address, OrgRole::Reader)),
                2 => drop(self.world.simulator.seed_invite(&slot.address, OrgRole::Reader)),
                _ => {}
            }
        }
        // By now they are in every list.
        self.world.go_on_to(self.world.now().checked_add(SignedDuration::from_mins(1)).unwrap());
    }

    /// Perhaps something happens.
    pub(super) async fn happen_aside(&mut self) {
        let extras = self.setting.extras;
        if extras.weak_machine && self.aside.percent(15) {
            self.stand_still().await;
            match self.aside.below(5) {
                0 => self.freeze(),
                1 => self.set_clock(),
                _ => self.fill_disk().await,
            }
        }
        if extras.neighbour && self.aside.percent(15) {
            self.neighbour_asks().await;
        }
        if (Extras { humans: false, ..extras }) != Extras::default() && self.aside.percent(15) {
            self.write_otherwise().await;
        }
        if self.setting.gifts != Gifts::default() && self.aside.percent(10) {
            self.change_groups();
        }
        if extras.humans && self.humans.percent(50) {
            self.decide().await;
        }
    }

    /// Everybody who is invited comes in, and all are deactivated, which a guard does not let happen at once: humans decide.
    pub(super) async fn dismiss_everybody(&mut self) {
        self.stand_still().await;
        for slot in &self.model.slots {
            let accepted = self.world.simulator.accept_invite(&slot.address);
            self.note(&format!("{} accepts: {accepted:?}", slot.address));
        }
        self.world.sweep();
        self.pass(SignedDuration::from_mins(10)).await;
        for (number, slot) in self.model.slots.clone().into_iter().enumerate() {
            if let Some(id) = slot.id.filter(|_| slot.active) {
                self.activate(number, &id).await;
            }
        }
        for _ in 0..4 {
            self.pass(SignedDuration::from_mins(5)).await;
            self.decide().await;
        }
    }

    /// A human decides about something that is held; perhaps not before the next time, when it may be about something else
    /// or over.
    async fn decide(&mut self) {
        self.stand_still().await;
        let hold = if let Some(hold) = self.shown.take() {
            hold
        } else {
            let standing = HoldFilter { is_over: Some(false), ..HoldFilter::default() };
            let mut reader = self.world.store().reader().await.unwrap();
            let holds = reader.list_holds(&self.world.tenant, &standing, None, 100).await.unwrap();
            if holds.is_empty() {
                return;
            }
            let hold = self.humans.of(&holds);
            if self.humans.percent(30) {
                self.shown = Some(hold);
                return;
            }
            hold
        };
        let approve = hold.guard.can_be_approved() && self.humans.percent(60);
        let decision = Decision { at: self.world.now(), by: "ann".to_owned(), why: None };
        let asked = hold.clone();
        let decided = self.world.store().write::<_, StoreError>(move |tx| {
            let (hold, decision) = (asked.clone(), decision.clone());
            Box::pin(async move { tx.decide_hold(&hold, approve, &decision).await })
        });
        let decided = decided.await.unwrap();
        let word = if approve { "approved" } else { "rejected" };
        self.note(&format!("{word} in time: {decided}: {} ({})", hold.subject, hold.guard));
        if decided {
            self.judge.see_decision(&hold, approve, &self.world.simulator);
        }
        self.reach(match (decided, approve) {
            (false, _) => Point::HoldDecidedTooLate,
            (true, true) => Point::HoldApproved,
            (true, false) => Point::HoldRejected,
        });
    }

    /// Somebody changes an OpenAI group by hand.
    fn change_groups(&mut self) {
        let kept = self.kept_groups();
        let groups: Vec<String> = kept.iter().chain([&self.named_group]).cloned().collect();
        let group = self.aside.of(&groups);
        let members = self.world.simulator.group_members(&group);
        let simulator = &self.world.simulator;
        let done = match self.aside.below(3) {
            0 if !members.is_empty() => {
                let member = self.aside.of(&members);
                self.note(&format!("{member} is taken out of {group} by hand"));
                simulator.remove_group_member(&group, &member).is_ok()
            }
            1 if kept.contains(&group) => {
                self.note(&format!("{group} is deleted by hand"));
                simulator.remove_group(&group).is_ok()
            }
            _ => {
                self.note(&format!("{STRANGER} is put into {group} by hand"));
                simulator.seed_group_member(&group, STRANGER).is_ok()
            }
        };
        self.reach_if(done, Point::OpenAiGroupChangedByHand);
    }

    /// The machine stands still; time does not.
    fn freeze(&mut self) {
        let is_long = self.long_freezes < 2 && self.aside.percent(30);
        let simulator = &self.world.simulator;
        let is_invited = |address: &String| !simulator.pending_invites(address).is_empty();
        self.reach_if(is_long && self.judge.managed.iter().any(is_invited), Point::InviteRanOut);
        self.reach(Point::Frozen);
        self.long_freezes += usize::from(is_long);
        let time = if is_long { INVITES_RUN_OUT } else { SignedDuration::from_mins(5) };
        self.note(&format!("nothing moves for {time}"));
        self.world.go_on_to(self.world.now().checked_add(time).unwrap());
    }

    /// The machine's clock is set. The bridge tells by it how long the organization had for showing what it did a moment
    /// ago, so a step is taken only when that is over: a limit of the bridge, known and left out here.
    fn set_clock(&mut self) {
        let before = self.world.now().checked_add(SignedDuration::from_mins(1)).unwrap();
        self.world.go_on_to(before);
        let ahead = self.aside.between(-MOST_SECONDS_AHEAD, MOST_SECONDS_AHEAD);
        self.world.set_ahead(SignedDuration::from_secs(ahead));
        let now = self.world.now();
        self.note(&format!("the clock was set, from {before}"));
        self.judge.see_clock_set(before, now);
        self.reach(if now < before { Point::ClockSetBack } else { Point::ClockSetForward });
    }

    /// Nothing can be written for a while.
    async fn fill_disk(&mut self) {
        self.note("the disk is full");
        self.world.fail_writes(true);
        let number = self.aside.below(self.model.slots.len());
        if let Some(id) = self.model.slots[number].id.clone() {
            let mut slot = self.model.slots[number].clone();
            slot.active = !slot.active;
            let body = Self::resource(&slot);
            self.refused("PUT", &format!("/Users/{id}"), &body, 503, number).await;
            self.reach(Point::RequestRefusedByStore);
        }
        for _ in 0..self.aside.below(8) {
            self.stand_still().await;
            self.reach_if(self.world.naps(), Point::OutcomeNotWritten);
            self.push().await;
        }
        self.stand_still().await;
        self.note("the disk has room again");
        self.world.fail_writes(false);
    }

    /// The identity provider of the other tenant creates somebody with an address of ours, or tries our ids.
    async fn neighbour_asks(&mut self) {
        self.stand_still().await;
        let number = self.aside.below(self.model.slots.len());
        let mut slot = self.model.slots[number].clone();
        match slot.id.clone() {
            Some(id) if self.aside.percent(70) => self.neighbour_tries(&id, &slot).await,
            _ => {
                slot.active = true;
                let body = Self::resource(&slot);
                let answer = self.world.ask_aside(Client::Neighbour, "POST", "/Users", Some(&body)).await;
                self.note(&format!("the neighbour creates {}: {}", slot.address, answer.status));
                let expected = if self.neighbours.contains_key(&number) { 409 } else { 201 };
                assert_eq!(
                    answer.status, expected,
                    "I10: {} at the neighbour: {}",
                    slot.address, answer.body
                );
                if let Some(id) = answer.body["id"].as_str().filter(|_| expected == 201) {
                    self.neighbours.insert(number, id.to_owned());
                    self.reach_if(slot.id.is_some(), Point::NeighbourHasTheSameAddress);
                }
            }
        }
        self.compare(number, "I10").await;
    }

    async fn neighbour_tries(&mut self, id: &str, slot: &super::story::Slot) {
        self.note(&format!("the neighbour tries {id}"));
        self.reach(Point::NeighbourTriesOurIds);
        let mut turned = slot.clone();
        turned.active = !slot.active;
        let put = Self::resource(&turned);
        let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "active", "value": turned.active}]});
        for (method, body) in [("GET", None), ("PUT", Some(&put)), ("PATCH", Some(&patch)), ("DELETE", None)]
        {
            let ours = self.world.ask_aside(Client::Neighbour, method, &format!("/Users/{id}"), body).await;
            let nobodys =
                self.world.ask_aside(Client::Neighbour, method, &format!("/Users/{NOBODY}"), body).await;
            assert_eq!((ours.status, &ours), (404, &nobodys), "I10: {method} of somebody else's user");
        }
    }

    /// Ways to write that identity providers have beside the usual ones: a body that says nothing of `active`, and a
    /// create of somebody who is parked.
    async fn write_otherwise(&mut self) {
        self.stand_still().await;
        let number = self.aside.below(self.model.slots.len());
        let Some(id) = self.model.slots[number].id.clone() else { return };
        let mut after = self.model.clone();
        if after.slots[number].active {
            let mut body = Self::resource(&after.slots[number]);
            body.as_object_mut().unwrap().remove("active");
            body["title"] = json!(format!("Title {}", self.aside.below(100)));
            self.change("PUT", &format!("/Users/{id}"), Some(&body), 200, after).await;
        } else {
            after.slots[number].active = true;
            let body = Self::resource(&after.slots[number]);
            let made = self.change("POST", "/Users", Some(&body), 201, after).await;
            assert_eq!(made.body["id"], id, "I11: somebody who comes back is somebody else");
        }
        self.compare(number, "I8").await;
    }

    /// In the end an old copy of the database takes its place: the bridge changes nothing before somebody has looked.
    pub(super) async fn put_back(&mut self) {
        self.stand_still().await;
        if !self.world.restore().await {
            return;
        }
        self.note("an old copy of the database is put back");
        self.reach(Point::OldDatabasePutBack);
        self.judge.forget_life();
        self.judge.is_braked = true;
        self.pass(SignedDuration::from_mins(10)).await;
    }
}
