//! What things cost, in calls and in time, where each endpoint lets seven calls a minute through.
//!
//! `SCIM_BRIDGE_PEOPLE=5000 cargo test --test it budget -- --nocapture` tells it for a directory of another size.

use std::collections::BTreeMap;
use std::io::Write as _;

use jiff::SignedDuration;
use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::{Policy, RemovalLimits};
use openai_scim_bridge::simulator::{Entry, Options, OrgRole, Simulator};
use serde_json::json;

use crate::harness::database::Database;
use crate::harness::engine::{Bridge, INVITE, INVITES, PROJECTS, USER, USERS};
use crate::harness::stage::Stage;

/// How many people are in the directory; `SCIM_BRIDGE_PEOPLE` says otherwise.
const PEOPLE: usize = 700;
const OTHER_NUMBER: &str = "SCIM_BRIDGE_PEOPLE";
/// What an endpoint lets through in a minute.
const PER_MINUTE: usize = 7;
const ROLES: &str = "/organization/roles";

fn people() -> usize {
    #[expect(clippy::disallowed_methods, reason = "how many they are is the caller's word")]
    let number = std::env::var(OTHER_NUMBER);
    number.map_or(PEOPLE, |number| number.parse().unwrap())
}

fn tell(line: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{line}").unwrap();
}

fn name(number: usize) -> String {
    format!("p{number:05}")
}

fn mail(number: usize) -> String {
    format!("{}@example.com", name(number))
}

/// The least time in which an endpoint takes so many calls.
fn bound(calls: usize) -> SignedDuration {
    SignedDuration::from_mins(i64::try_from(calls.div_ceil(PER_MINUTE)).unwrap())
}

/// Calls by endpoint.
fn calls<'e>(ledger: impl Iterator<Item = &'e Entry>) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for entry in ledger {
        let endpoint = format!("{} {}", entry.method, entry.template.unwrap_or_default());
        *calls.entry(endpoint).or_default() += 1;
    }
    calls
}

/// People who once accepted an invite, which OpenAI lists for ever.
fn seed_members(simulator: &Simulator, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let invite = simulator.seed_invite(&mail(number), OrgRole::Reader);
        simulator.accept_invite(&invite).unwrap();
    }
}

/// A policy under which nobody is asked before many are removed.
fn unguarded() -> Policy {
    let removals = RemovalLimits {
        max_removals: 10_000,
        max_removal_percent: 100,
        max_removals_per_day: 10_000,
        max_removal_percent_per_day: 100,
        ..RemovalLimits::default()
    };
    Policy { removals, ..Policy::default() }
}

#[tokio::test]
async fn a_first_sync_takes_one_call_each_and_little_more_and_is_as_fast_as_the_limiter_lets_it() {
    let people = people();
    let bridge = Bridge::start().await;
    bridge.sim.clear_ledger();
    bridge.insert_all((0..people).map(name)).await;
    bridge.pass(bound(people) * 11 / 10).await;
    let ledger = bridge.sim.ledger();
    let invited: Vec<&Entry> = ledger.iter().filter(|entry| entry.effect_at.is_some()).collect();
    assert_eq!(invited.len(), people, "all are invited within 1.1 times what the limiter takes");
    let end = invited.last().unwrap().at;
    let calls = calls(ledger.iter().filter(|entry| entry.at <= end));
    let (invites, all) = (calls[&format!("POST {INVITES}")], calls.values().sum::<usize>());
    tell(&format!("{people} people were invited in {} with {calls:?}", end.duration_since(ledger[0].at)));
    assert!(invites * 100 <= people * 105, "{calls:?}");
    assert!(all * 100 <= people * 115, "{all} calls for {people} people: {calls:?}");
}

#[tokio::test]
async fn deactivations_in_the_middle_of_a_first_sync_wait_for_their_own_endpoints_alone() {
    const LEAVING: usize = 100;
    let bridge = Bridge::with(unguarded(), |_| {}, |sim| seed_members(sim, 0..LEAVING)).await;
    let members = bridge.insert_all((0..LEAVING).map(name)).await;
    bridge.pass(SignedDuration::from_secs(6)).await;
    let others = bridge.insert_all((LEAVING..people()).map(name)).await;
    bridge.minutes(30).await;
    let mut invited = Vec::new();
    for person in others {
        if bridge.status(person).await == Status::Invited {
            invited.push(person);
        }
    }
    assert!(invited.len() > LEAVING, "the sync is well under way");
    invited.truncate(LEAVING);
    bridge.deactivate_all(&[members.clone(), invited.clone()].concat()).await;
    bridge.pass(bound(LEAVING)).await;
    for person in members.into_iter().chain(invited) {
        assert_eq!(bridge.status(person).await, Status::Parked);
    }
    assert_eq!((bridge.sim.calls("DELETE", USER), bridge.sim.calls("DELETE", INVITE)), (LEAVING, LEAVING));
}

#[tokio::test]
async fn people_who_are_settled_cost_nothing_beyond_the_sweep() {
    const HOURS: i64 = 2;
    let people = people();
    let policy = Policy::default();
    let sweeps = 60 * HOURS / policy.reconcile_interval.as_mins();
    let bridge = Bridge::with(policy, |_| {}, |sim| seed_members(sim, 0..people)).await;
    let mut ids = Vec::new();
    while ids.len() < people {
        ids.extend(bridge.insert_all((ids.len()..people.min(ids.len() + 500)).map(name)).await);
        bridge.minutes(1).await;
    }
    bridge.minutes(60).await;
    assert_eq!(bridge.status(ids[people - 1]).await, Status::Member);
    bridge.sim.clear_ledger();
    bridge.minutes(60 * HOURS).await;
    let calls = calls(bridge.sim.ledger().iter());
    tell(&format!("{people} settled people took in {HOURS} hours {calls:?}"));
    // What one sweep reads: a page for each hundred of them and of their invites, and what little there is else.
    let long = usize::try_from(sweeps).unwrap() * (people / 100 + 1);
    let swept = [(USERS, long), (INVITES, long), (PROJECTS, long), (ROLES, long)];
    let swept: BTreeMap<_, _> = swept.map(|(path, calls)| (format!("GET {path}"), calls)).into();
    // One in a hundred of what an endpoint lets through.
    let spare = 60 * usize::try_from(HOURS).unwrap() * PER_MINUTE / 100;
    for (endpoint, calls) in &calls {
        assert!(*calls <= swept.get(endpoint).unwrap_or(&0) + spare, "{endpoint}: {calls} calls");
    }
}

#[tokio::test]
async fn a_directory_that_is_sent_again_as_it_is_costs_no_call() {
    let database = Database::sqlite();
    let simulator = Simulator::new(Options::default(), database.clock.clone());
    let user = |number: usize| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": mail(number),
            "externalId": name(number),
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": true, "value": mail(number), "type": "work"}],
            "active": true,
        })
    };
    // A few are invited, and all others are members.
    let people = people();
    seed_members(&simulator, PER_MINUTE..people);
    let mut stage = Stage::new(database, Policy::default(), simulator).await;
    let okta = stage.bridge.okta();
    let mut ids = Vec::new();
    for number in 0..people {
        let made = okta.post("/Users", &user(number)).await.expect(201);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    stage.settle().await;
    assert_eq!(stage.simulator.effects("POST", INVITES), PER_MINUTE);
    stage.simulator.clear_ledger();
    for (number, id) in ids.iter().enumerate() {
        okta.put(&format!("/Users/{id}"), &user(number)).await.expect(200);
    }
    stage.settle().await;
    assert_eq!(stage.simulator.ledger(), []);
}
