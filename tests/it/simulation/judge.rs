//! The judge: what must hold after every step, read off the stand-in and the calls that reach it, never off the
//! bridge's own opinion. Each complaint begins with the number of its invariant.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::model::hold::{Guard, Hold};
use openai_scim_bridge::simulator::{Invite, OrgRole, Simulator};
use serde_json::Value;

use super::network::Name;
use super::seed::GROUP;

/// The owners that the organization begins with; nobody ever asks the bridge for anything about them.
pub(super) const KEY_OWNER: &str = "owner@example.com";
pub(super) const SECOND_OWNER: &str = "second.owner@example.com";
/// A member of whom the identity provider knows nothing.
pub(super) const STRANGER: &str = "stranger@example.com";
/// What the bridge may ask of one endpoint in a minute.
const CALLS_PER_MINUTE: usize = 7;
/// The losses that a guarded small organization allows in an hour and in a day.
const LOSSES_PER_HOUR: usize = 3;
const LOSSES_PER_DAY: usize = 5;
/// What must have been read before anybody is invited.
const LISTS: [&str; 2] = ["/organization/users?limit=100", "/organization/invites?limit=100"];
/// How long a call that was cut off may be on its way before it takes effect.
const LANDS_WITHIN: SignedDuration = SignedDuration::from_secs(46);
/// How far a list may lag behind, and how long an answer may be on its way.
const LISTS_LAG: SignedDuration = SignedDuration::from_secs(5);
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(10);
/// A change of the owners by hand that is younger than this need not be known to the bridge.
const OWNERS_FRESH: SignedDuration = SignedDuration::from_secs(61);

/// What the directory wishes, as far as the judge needs to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Addresses that are to have access.
    pub(super) wanted: BTreeSet<String>,
    /// Addresses, former ones too, of those who are in the group, and so are to have what it gives.
    pub(super) in_team: BTreeSet<String>,
    /// Whether there is the group.
    pub(super) has_team: bool,
    /// Whether it gives the project.
    pub(super) team_has_project: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub(super) struct Judge {
    /// Addresses that the identity provider ever named.
    pub(super) managed: BTreeSet<String>,
    /// What was acknowledged, and what is being asked for.
    pub(super) before: Wishes,
    pub(super) after: Wishes,
    pub(super) is_braked: bool,
    is_guarded: bool,
    /// People whose grants were reduced: an invite that says too much is replaced.
    pub(super) reduced: BTreeSet<String>,
    /// When somebody with this address was last deleted, on the organization's clock. What they had is to go even if
    /// somebody else has the address by now.
    deleted: BTreeMap<String, Timestamp>,
    /// When an invite to an address was last asked for, on the organization's clock.
    invited: BTreeMap<String, Timestamp>,
    /// Whether there was a group before the one that there is: what was kept for that one is to go.
    pub(super) had_team: bool,
    /// When the owners were last changed by hand.
    pub(super) owners_changed_at: Option<Timestamp>,
    /// Who was made an owner by hand, and when, on the organization's clock.
    promoted: BTreeMap<String, Timestamp>,
    /// Changes that concern a person, over all lives.
    pub(super) changes: usize,
    /// Removals that took effect and that a human had approved.
    pub(super) approved_removals: usize,
    key_refused: bool,
    /// Which lists were read in the life of the database.
    read: BTreeSet<&'static str>,
    /// When calls of one life came, by endpoint.
    calls: BTreeMap<(String, String), Vec<Timestamp>>,
    /// Until when an endpoint asked to be left alone.
    paused: BTreeMap<(String, String), Timestamp>,
    /// The pauses that answers on their way ask for.
    announced: BTreeMap<Name, SignedDuration>,
    /// Members whom it was tried to remove: when last, and whether a human had approved that.
    asked: BTreeMap<String, (Timestamp, bool)>,
    /// When it was asked for that those were removed whom no human approved.
    losses: Vec<Timestamp>,
    /// What humans said to the removal of a member, which a guard held.
    words: BTreeMap<(String, Guard), Word>,
}

/// What a human said, and whom it is about.
#[derive(Debug)]
struct Word {
    approve: bool,
    address: String,
}

impl Judge {
    /// A judge who has seen nothing; `is_guarded` if removals are counted.
    pub(super) fn new(is_guarded: bool) -> Self {
        Self { is_guarded, ..Self::default() }
    }

    /// Somebody who had these addresses is deleted.
    pub(super) fn see_deletion<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = &'a String>,
        at: Timestamp,
    ) {
        self.deleted.extend(addresses.into_iter().map(|address| (address.clone(), at)));
    }

    /// A human decides about a hold.
    pub(super) fn see_decision(&mut self, hold: &Hold, approve: bool, simulator: &Simulator) {
        let Some(user) = hold.subject.strip_prefix("delete_user ") else { return };
        let address = simulator.member(user).and_then(|member| member.email).unwrap_or_default();
        let word = Word { approve, address: address.to_lowercase() };
        self.words.insert((user.to_owned(), hold.guard), word);
    }

    /// The identity provider asks for something. What was rejected may be wished anew by it, and the approval to remove
    /// somebody who is to stay now is void.
    pub(super) fn see_request(&mut self, after: Wishes) {
        let is_void =
            |address: &String| after.wanted.contains(address) && !self.deleted.contains_key(address);
        self.words.retain(|_, word| word.approve && !is_void(&word.address));
        self.after = after;
    }

    /// A member is made an owner by hand.
    pub(super) fn see_promotion(&mut self, user: String, at: Timestamp) {
        self.promoted.insert(user, at);
    }

    /// A member is taken away by hand.
    pub(super) fn see_eviction(&mut self, user: &str) {
        self.asked.remove(user);
    }

    /// The organization was read before this judge came.
    pub(super) fn see_all_read(&mut self) {
        self.read.extend(LISTS);
    }

    /// Another engine started: it knows nothing of earlier refusals.
    pub(super) fn forget_life(&mut self) {
        self.key_refused = false;
        self.calls.clear();
        self.paused.clear();
        self.announced.clear();
    }

    /// The machine's clock was set. A budget that counts by it is not the worse for a step forward, and what was before
    /// a step back counts as if it had been at this instant.
    pub(super) fn see_clock_set(&mut self, before: Timestamp, now: Timestamp) {
        self.paused.retain(|_, until| *until > before);
        let asked = self.asked.values_mut().map(|(at, _)| at);
        for at in self.calls.values_mut().flatten().chain(&mut self.losses).chain(asked) {
            *at = (*at).min(now);
        }
        self.owners_changed_at = self.owners_changed_at.map(|at| at.min(now));
    }

    /// A call reaches the organization.
    pub(super) fn see_call(&mut self, name: &Name, simulator: &Simulator, now: Timestamp) {
        let (method, path, body) = name;
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let endpoint = endpoint(method, path);
        self.see_pressure(&endpoint, now);
        if method == "GET" {
            return;
        }
        assert!(
            !self.key_refused,
            "I21: {method} {path} although the key was refused and no read went through"
        );
        assert!(!self.is_braked, "I27: {method} {path} although changes are stopped");
        let words: Vec<&str> = path.split('?').next().unwrap().split('/').skip(2).collect();
        match (method.as_str(), words.as_slice()) {
            ("POST", ["invites"]) => self.see_invite(&body, simulator.now()),
            ("DELETE", ["invites", invite]) => self.see_withdrawal(invite, simulator),
            ("DELETE", ["users", user]) => {
                let address = self.see_target(user, simulator);
                let kept = |wishes: &Wishes| wishes.wanted.contains(&address);
                assert!(
                    !(kept(&self.before) && kept(&self.after)) || self.is_leftover(&address, simulator),
                    "I8: {address} is removed and nobody asked for it"
                );
                self.see_removal(user, simulator, now);
            }
            ("POST", ["projects" | "groups", _, "users", rest @ ..]) => {
                let user = body["user_id"].as_str().or(rest.first().copied()).unwrap();
                self.see_gift(user, &words, simulator);
            }
            ("POST", ["users", user, "roles"]) => self.see_gift(user, &words, simulator),
            ("DELETE", ["projects" | "groups", _, "users", user] | ["users", user, "roles", _]) => {
                let address = self.see_target(user, simulator);
                let kept = |wishes: &Wishes| wishes.in_team.contains(&address);
                // What stands for a group that was deleted is left, whatever one of the same name has since.
                let is_of_former = self.had_team && words.first() == Some(&"groups");
                assert!(
                    !(kept(&self.before) && kept(&self.after))
                        || is_of_former
                        || self.is_leftover(&address, simulator),
                    "I8: {address} loses {words:?} and nobody asked for it"
                );
            }
            ("POST", ["groups"] | ["projects", _, "groups"]) => {
                assert!(
                    body["name"].as_str().is_none_or(|name| name == GROUP),
                    "I6: nobody asked for {body}"
                );
                assert!(
                    self.before.has_team || self.after.has_team,
                    "I3: {words:?} for a group that is none"
                );
            }
            ("DELETE", ["groups", group] | ["projects", _, "groups", group]) => {
                let has_it = |wishes: &Wishes| {
                    wishes.has_team && (wishes.team_has_project || words.first() == Some(&"groups"))
                };
                let is_kept = |(id, name): (String, String)| id != *group || name == GROUP;
                assert!(simulator.groups().into_iter().all(is_kept), "I6: {words:?} is not the bridge's");
                assert!(
                    self.had_team || !(has_it(&self.before) && has_it(&self.after)),
                    "I8: {words:?} goes and nobody asked for it"
                );
            }
            _ => panic!("I6: nobody asked for {method} {path}"),
        }
        self.changes += 1;
    }

    /// Somebody is given what the group gives.
    fn see_gift(&self, user: &str, what: &[&str], simulator: &Simulator) {
        let address = self.see_target(user, simulator);
        let gains = |wishes: &Wishes| wishes.in_team.contains(&address);
        assert!(
            gains(&self.before) || gains(&self.after) || address.is_empty(),
            "I3: {address} gets {what:?}, which is not for them"
        );
    }

    fn see_invite(&mut self, body: &Value, now: Timestamp) {
        assert_eq!(self.read.len(), LISTS.len(), "I8: an invite before the organization was read");
        let address = body["email"].as_str().unwrap().to_lowercase();
        let may_gain = self.before.wanted.contains(&address) || self.after.wanted.contains(&address);
        assert!(may_gain, "I3: {address} is invited and is not to have access");
        assert_eq!(body["role"], "reader", "I9: an invite of {address} with too much in it");
        assert!(body["projects"].is_array(), "I9: an invite of {address} that leaves the projects open");
        self.invited.insert(address, now);
    }

    fn see_withdrawal(&self, invite: &str, simulator: &Simulator) {
        let Some(invite) = simulator.invites().into_iter().find(|known| known.id == invite) else { return };
        let address = invite.email.to_lowercase();
        assert!(self.managed.contains(&address), "I6: the invite of {address} is not the bridge's");
        let is_wanted = self.before.wanted.contains(&address) && self.after.wanted.contains(&address);
        let may_be_replaced = self.reduced.contains(&address)
            || self.is_from_before(&invite)
            || simulator.pending_invites(&address).len() != 1
            || simulator.member(&address).is_some()
            // It has let in whom it was for, and withdrawing it takes nothing away; a list on its way still showed it.
            || invite.accepted_at.is_some();
        assert!(
            !is_wanted || may_be_replaced,
            "I8: the invite of {address} is withdrawn and nobody asked for it"
        );
    }

    /// Whether an invite went out before somebody with its address was deleted, or was on its way then.
    fn is_from_before(&self, invite: &Invite) -> bool {
        let address = invite.email.to_lowercase();
        let Some(deleted_at) = self.deleted.get(&address) else { return false };
        let was_asked_for = self.invited.get(&address).is_some_and(|asked_at| asked_at <= deleted_at);
        was_asked_for || invite.created_at.duration_since(*deleted_at) <= LANDS_WITHIN
    }

    /// Whether the member at this address may be one who was deleted, or came in by an invite to them.
    fn is_leftover(&self, address: &str, simulator: &Simulator) -> bool {
        let Some(deleted_at) = self.deleted.get(address) else { return false };
        let invites = simulator.invites();
        let mut came_by = invites.iter().filter(|invite| invite.email.eq_ignore_ascii_case(address));
        simulator.member(address).is_some_and(|member| member.added_at <= deleted_at.as_second())
            || came_by.any(|invite| invite.accepted_at.is_some() && self.is_from_before(invite))
    }

    /// The address of a user whom a change is about.
    fn see_target(&self, user: &str, simulator: &Simulator) -> String {
        // Somebody who is gone cannot be harmed.
        let Some(member) = simulator.member(user) else { return String::new() };
        let address = member.email.unwrap_or_default().to_lowercase();
        assert!(
            self.managed.contains(&address),
            "I6: a change of {address}, of whom the directory knows nothing"
        );
        assert!(
            !member.is_default && !member.is_service_account,
            "I6: a change of {address}, who is untouchable"
        );
        address
    }

    fn words_on(&self, user: &str) -> impl Iterator<Item = (Guard, bool)> {
        let words = self.words.iter().filter(move |((about, _), _)| about == user);
        words.map(|((_, guard), word)| (*guard, word.approve))
    }

    /// It is tried to remove somebody.
    fn see_removal(&mut self, user: &str, simulator: &Simulator, now: Timestamp) {
        assert!(
            self.words_on(user).all(|(_, approve)| approve),
            "I7: {user} is removed although a human said no"
        );
        if simulator.member(user).is_some() {
            let is_approved = self.words_on(user).next().is_some();
            self.asked.insert(user.to_owned(), (now, is_approved));
        }
    }

    /// Counts those who were removed. Who was not, although that was tried, lost nothing.
    fn see_losses(&mut self, simulator: &Simulator) {
        let gone: Vec<String> =
            self.asked.keys().filter(|user| simulator.member(user).is_none()).cloned().collect();
        for user in gone {
            let Some((at, is_approved)) = self.asked.remove(&user) else { continue };
            self.words.retain(|(about, _), _| *about != user);
            if is_approved {
                self.approved_removals += 1;
            } else {
                self.losses.push(at);
            }
        }
        if !self.is_guarded {
            return;
        }
        for end in &self.losses {
            let within = |span: SignedDuration| {
                let is_within = |at: &&Timestamp| *at <= end && end.duration_since(**at) < span;
                self.losses.iter().filter(is_within).count()
            };
            let (hour, day) = (within(SignedDuration::from_hours(1)), within(SignedDuration::from_hours(24)));
            assert!(
                hour <= LOSSES_PER_HOUR && day <= LOSSES_PER_DAY,
                "I7: {hour} removals in an hour and {day} in a day without a human"
            );
        }
    }

    fn see_pressure(&mut self, endpoint: &(String, String), now: Timestamp) {
        let calls = self.calls.entry(endpoint.clone()).or_default();
        calls.retain(|at| now.duration_since(*at) < SignedDuration::from_secs(60));
        calls.push(now);
        assert!(
            calls.len() <= CALLS_PER_MINUTE,
            "I18: {} calls of {endpoint:?} within a minute",
            calls.len()
        );
        let until = self.paused.get(endpoint);
        assert!(until.is_none_or(|until| now >= *until), "I18: {endpoint:?} although it asked for a pause");
    }

    /// An answer reaches the bridge.
    pub(super) fn see_answer(&mut self, name: &Name, status: Option<u16>, now: Timestamp) {
        let pause = self.announced.remove(name);
        if name.0 == "GET" && status == Some(200) {
            self.read.extend(LISTS.iter().filter(|list| name.1 == **list));
        }
        match status {
            Some(401) => self.key_refused = true,
            Some(200..300) if name.0 == "GET" => self.key_refused = false,
            Some(429) => {
                let until = pause.and_then(|pause| now.checked_add(pause).ok());
                self.paused.extend(until.map(|until| (endpoint(&name.0, &name.1), until)));
            }
            _ => {}
        }
    }

    /// The answer that is on its way asks to leave the endpoint alone for a while.
    pub(super) fn see_pause(&mut self, name: &Name, pause: SignedDuration) {
        self.announced.insert(name.clone(), pause);
    }

    /// Whether somebody was made an owner by hand, and the members have not been read since: nobody counts owners before
    /// the removal of somebody who is none.
    fn is_owner_unread(&self, user: &str, simulator: &Simulator) -> bool {
        let Some(promoted_at) = self.promoted.get(user) else { return false };
        let reads =
            simulator.ledger().into_iter().filter(|entry| entry.path == LISTS[0] && entry.fault.is_none());
        let shows = |at: Timestamp| at.duration_since(*promoted_at) > LISTS_LAG;
        let has_come = |at: Timestamp| simulator.now().duration_since(at) > ANSWERED_WITHIN;
        !reads.map(|entry| entry.at).any(|at| shows(at) && has_come(at))
    }

    /// What must hold of the organization after a change has been served.
    pub(super) fn see_effect(
        &mut self,
        name: &Name,
        simulator: &Simulator,
        owners_before: usize,
        now: Timestamp,
    ) {
        for address in &self.managed {
            let pending = simulator.pending_invites(address);
            assert!(pending.len() <= 1, "I4: {} live invites of {address}", pending.len());
        }
        let owners = owners(simulator);
        let is_known = self.owners_changed_at.is_none_or(|at| now.duration_since(at) > OWNERS_FRESH);
        let user = name.1.trim_start_matches("/organization/users/");
        let is_approved = self.words_on(user).any(|word| word == (Guard::MinOwners, true));
        let must_be_counted = || is_known && !is_approved && !self.is_owner_unread(user, simulator);
        assert!(
            owners >= owners_before || owners >= 2 || (owners == 1 && !must_be_counted()),
            "I5: {} {} leaves {owners} owners",
            name.0,
            name.1
        );
        self.see_losses(simulator);
        for untouchable in [KEY_OWNER, STRANGER] {
            assert!(simulator.member(untouchable).is_some(), "I6: {untouchable} is gone");
        }
    }
}

/// How many people own the organization.
pub(super) fn owners(simulator: &Simulator) -> usize {
    simulator.members().iter().filter(|member| member.role == OrgRole::Owner).count()
}

/// The endpoint of a call: its path with the ids left out.
fn endpoint(method: &str, path: &str) -> (String, String) {
    let words = path.split('?').next().unwrap_or_default().split('/').map(|word| {
        let is_id = word.contains(['-', '_']) && word != "admin_api_keys" && word != "audit_logs";
        if is_id { "{}" } else { word }
    });
    (method.to_owned(), words.collect::<Vec<_>>().join("/"))
}
