//! Random lives: whatever an identity provider, the invited people and the network do, once the faults stop the
//! organization is what the directory wishes, and nothing was done twice. The stand-in's ledger is the judge.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use openai_scim_bridge::ids::PersonId;
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::{OnAddressChange, Policy};
use openai_scim_bridge::provision::desired::EXTENSION;
use openai_scim_bridge::simulator::{Dialect, EmailsFilter, Fault, Options, PageFault, Rejoin};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::engine::{Bridge, INVITE, INVITES, PROJECT_USER, PROJECT_USERS, USER, USERS};

/// Lives per run, and moves per life. Deterministic: the same lives every time.
const LIVES: u32 = 32;
const MOVES: usize = 30;
const PEOPLE: usize = 4;

#[derive(Debug, Clone)]
enum Move {
    Create(usize),
    Activate(usize, bool),
    Delete(usize),
    Rename(usize),
    Grant(usize, bool),
    Accept(usize),
    /// Somebody takes member or invite away by hand.
    Evict(usize),
    Pass(i64),
    Sweep,
    Fault(&'static str, &'static str, Fault, u32),
    Kill,
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let who = 0..PEOPLE;
    let calls = prop_oneof![
        4 => Just(("POST", INVITES)),
        2 => Just(("DELETE", INVITE)),
        2 => Just(("DELETE", USER)),
        1 => Just(("GET", INVITES)),
        1 => Just(("GET", USERS)),
        1 => Just(("GET", USER)),
        1 => Just(("GET", INVITE)),
        1 => Just(("POST", PROJECT_USERS)),
        1 => Just(("GET", PROJECT_USER)),
        1 => Just(("*", "*")),
    ];
    let fault = prop_oneof![
        Just(Fault::reset_before()),
        Just(Fault::reset_after()),
        Just(Fault::late(40_000)),
        Just(Fault::status(500)),
        Just(Fault::status_after_effect(502)),
        Just(Fault::Malformed),
        Just(Fault::RateLimited { dialect: Dialect::DelayInText, milliseconds: 3_000 }),
        Just(Fault::Page { page: PageFault::Empty }),
        Just(Fault::status(401)),
    ];
    let step = prop_oneof![
        6 => who.clone().prop_map(Move::Create),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, active)| Move::Activate(who, active)),
        1 => who.clone().prop_map(Move::Delete),
        1 => who.clone().prop_map(Move::Rename),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, on)| Move::Grant(who, on)),
        5 => who.clone().prop_map(Move::Accept),
        1 => who.prop_map(Move::Evict),
        6 => (0..240_i64).prop_map(Move::Pass),
        2 => Just(Move::Sweep),
        5 => (calls, fault, 1..3_u32).prop_map(|((method, template), fault, times)| {
            Move::Fault(method, template, fault, times)
        }),
        1 => Just(Move::Kill),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(step, 1..MOVES)
}

/// What the documentation leaves open about the organization.
#[derive(Debug, Clone)]
struct World {
    status_lag_ms: u32,
    list_lag_ms: u32,
    not_found_lag_ms: u32,
    emails_filter: EmailsFilter,
    rejoin: Rejoin,
}

fn worlds() -> impl Strategy<Value = World> {
    let lag = |longest: u32| prop_oneof![2 => Just(0), 1 => 0..longest];
    let filter = prop_oneof![2 => Just(EmailsFilter::Correct), 1 => Just(EmailsFilter::AlwaysEmpty)];
    let rejoin = prop_oneof![Just(Rejoin::SameId), Just(Rejoin::NewId)];
    (lag(60_000), lag(10_000), lag(5_000), filter, rejoin).prop_map(
        |(status_lag_ms, list_lag_ms, not_found_lag_ms, emails_filter, rejoin)| World {
            status_lag_ms,
            list_lag_ms,
            not_found_lag_ms,
            emails_filter,
            rejoin,
        },
    )
}

/// One slot of the directory: who has it now, and what was asked for them.
#[derive(Debug, Default)]
struct Slot {
    person: Option<PersonId>,
    address: String,
    active: bool,
    granted: bool,
    /// Taken away by hand: the bridge reports that and does not invite again.
    evicted: bool,
}

#[test]
fn whatever_happens_the_organization_becomes_what_is_wished() {
    let config =
        Config { cases: LIVES, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runner
        .run(&(worlds(), moves()), |(world, moves)| {
            runtime.block_on(live(&world, &moves));
            Ok(())
        })
        .unwrap();
}

async fn live(world: &World, moves: &[Move]) {
    let policy = Policy { on_address_change: OnAddressChange::Reinvite, ..Policy::default() };
    let open = |options: &mut Options| {
        options.status_lag_ms = world.status_lag_ms;
        options.list_lag_ms = world.list_lag_ms;
        options.not_found_lag_ms = world.not_found_lag_ms;
        options.emails_filter = world.emails_filter;
        options.rejoin = world.rejoin;
    };
    let mut bridge = Bridge::with(policy, open, |_| {}).await;
    let project = bridge.sim.seed_project("Research");
    let mut slots: Vec<Slot> = (0..PEOPLE).map(|_| Slot::default()).collect();
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for step in moves {
        play(&mut bridge, &mut slots, &mut used, &project, step).await;
    }
    bridge.sim.clear_faults();
    bridge.minutes(180).await;
    judge(&bridge, &slots, &used, &project, moves).await;
}

async fn play(
    bridge: &mut Bridge,
    slots: &mut [Slot],
    used: &mut BTreeMap<String, usize>,
    project: &str,
    step: &Move,
) {
    match step {
        Move::Create(who) if slots[*who].person.is_none() => {
            // The same address again after a DELETE, as an identity provider does.
            let name =
                if slots[*who].address.is_empty() { format!("p{who}") } else { slots[*who].address.clone() };
            *used.entry(name.clone()).or_default() += 1;
            let person = bridge.insert(&name).await;
            slots[*who] =
                Slot { person: Some(person), address: name, active: true, granted: false, evicted: false };
            bridge.nudge(person);
        }
        Move::Activate(who, active) => {
            let Some(person) = slots[*who].person else { return };
            if *active && !slots[*who].active {
                *used.entry(slots[*who].address.clone()).or_default() += 1;
            }
            slots[*who].active = *active;
            bridge.edit(person, |person| person.active = *active).await;
            bridge.nudge(person);
        }
        Move::Delete(who) => {
            let Some(person) = slots[*who].person.take() else { return };
            let now = bridge.clock.now();
            bridge.edit(person, |person| person.deleted_at = Some(now)).await;
            bridge.nudge(person);
        }
        Move::Rename(who) => {
            let slot = &mut slots[*who];
            let Some(person) = slot.person else { return };
            slot.address = format!("{}x", slot.address);
            *used.entry(slot.address.clone()).or_default() += 1;
            let address = Address::parse(&format!("{}@example.com", slot.address)).unwrap();
            bridge.edit(person, |person| person.address = Some(address)).await;
            bridge.nudge(person);
        }
        Move::Grant(who, on) => {
            let Some(person) = slots[*who].person else { return };
            slots[*who].granted = *on;
            let projects = if *on {
                serde_json::json!([{ "value": project, "role": "member" }])
            } else {
                serde_json::json!([])
            };
            let extension = serde_json::json!({ "projects": projects });
            bridge.edit(person, |person| drop(person.attributes.insert(EXTENSION.into(), extension))).await;
            bridge.nudge(person);
        }
        Move::Accept(who) => {
            if let Some(invite) = bridge.pending(&slots[*who].address).first() {
                bridge.sim.accept_invite(invite).unwrap();
            }
        }
        Move::Evict(who) => {
            slots[*who].evicted = true;
            // Taken away before anybody could see it, it looks as if it had never been sent.
            *used.entry(slots[*who].address.clone()).or_default() += 1;
            let name = &slots[*who].address;
            for invite in bridge.pending(name) {
                bridge.sim.remove_invite(&invite).unwrap();
            }
            if let Some((user, _)) = bridge.member(name) {
                bridge.sim.remove_member(&user).unwrap();
            }
        }
        Move::Pass(seconds) => bridge.pass(SignedDuration::from_secs(*seconds)).await,
        Move::Sweep => bridge.sweep(),
        Move::Fault(method, template, fault, times) => {
            bridge.sim.fail_next(method, template, fault.clone(), *times).unwrap();
        }
        Move::Kill => {
            bridge.kill().await;
            bridge.run();
        }
        Move::Restart => {
            bridge.stop().await;
            bridge.run();
        }
        Move::Create(_) => {}
    }
}

async fn judge(
    bridge: &Bridge,
    slots: &[Slot],
    used: &BTreeMap<String, usize>,
    project: &str,
    moves: &[Move],
) {
    let mut wished = BTreeSet::new();
    for slot in slots {
        let Some(person) = slot.person else { continue };
        let mapping = bridge.mapping(person).await;
        let (status, name) = (mapping.status, &slot.address);
        if !slot.active {
            assert_eq!(status, Status::Parked, "{name}: {:?}\n{moves:?}", mapping.status_reason);
            continue;
        }
        wished.insert(name.clone());
        let (pending, member) = (bridge.pending(name).len(), bridge.member(name));
        if slot.evicted && status == Status::Held {
            assert_eq!((pending, member), (0, None), "{name} {mapping:?}\n{moves:?}");
            continue;
        }
        assert_eq!(pending + usize::from(member.is_some()), 1, "{name} {mapping:?}\n{moves:?}");
        let expected = if member.is_some() { Status::Member } else { Status::Invited };
        // While somebody moves to another address the old membership stays, so they are a member all the while.
        let moving = mapping.user_id.is_some() && mapping.invite_id.is_some();
        assert!(status == expected || (moving && status == Status::Member), "{name} {mapping:?}\n{moves:?}");
        if let Some((user, _)) = member {
            let is_in = bridge.sim.project_users(project).iter().any(|(in_it, _)| *in_it == user);
            assert_eq!(is_in, slot.granted, "{name} in the project {mapping:?}\n{moves:?}");
        }
        assert!(bridge.operations(person).await.iter().all(|operation| !operation.state.is_open()));
    }
    for (name, wishes) in used {
        let moved_from = slots.iter().any(|slot| {
            slot.person.is_some()
                && slot.active
                && slot.address != *name
                && slot.address.starts_with(name.as_str())
        });
        if !wished.contains(name) && !moved_from {
            assert_eq!((bridge.pending(name).len(), bridge.member(name)), (0, None), "{name}\n{moves:?}");
        }
        // Never more invites than there were reasons to send one: one per wish, and one for each that fell away
        // because the address changed to and fro.
        let email = format!("{name}@example.com");
        let sent = bridge
            .sim
            .ledger()
            .iter()
            .filter(|entry| {
                entry.method == "POST" && entry.effect_at.is_some() && entry.body["email"] == email.as_str()
            })
            .count();
        assert!(sent <= *wishes, "{sent} invites to {name} for {wishes} wishes\n{moves:?}");
    }
}
