//! What was learnt of OpenAI's rate limits outlives the engine, and says how long the work will take.

use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::provision::preview::budgets;

use crate::harness::engine::{Bridge, INVITES};

/// A bridge that has learnt how few invites a minute pass, in front of an organization that lets four through.
async fn taught() -> (Bridge, Vec<openai_scim_bridge::ids::PersonId>) {
    let bridge = Bridge::with(Policy::default(), |options| options.limiter.requests = 4, |_| {}).await;
    let mut people = Vec::new();
    for n in 0..40 {
        let person = bridge.insert(&format!("p{n}")).await;
        bridge.nudge(person);
        people.push(person);
    }
    bridge.minutes(3).await;
    (bridge, people)
}

fn refused(bridge: &Bridge) -> usize {
    bridge.sim.ledger().iter().filter(|entry| entry.status == Some(429)).count()
}

#[tokio::test]
async fn a_restart_forgets_no_budget() {
    let (mut bridge, people) = taught().await;
    assert!(refused(&bridge) > 0, "it was learnt from a refusal");
    let stored = bridge.store.reader().await.unwrap().budgets(&bridge.tenant).await.unwrap();
    let invites = stored.iter().find(|budget| budget.endpoint == "create_invite").unwrap();
    assert!((1..7).contains(&invites.allowed), "{invites:?}");
    for kill in [false, true] {
        // A budget that was just written down is known after a crash as well.
        bridge.minutes(1).await;
        if kill {
            bridge.kill().await;
        } else {
            bridge.stop().await;
        }
        bridge.sim.clear_ledger();
        bridge.run();
        bridge.minutes(2).await;
        assert!(
            refused(&bridge) <= 1,
            "killed: {kill}; {} of {}",
            refused(&bridge),
            bridge.sim.ledger().len()
        );
    }
    bridge.minutes(20).await;
    for person in people {
        assert_eq!(bridge.status(person).await, Status::Invited);
    }
}

#[tokio::test]
async fn what_is_left_and_when_the_work_is_done_can_be_told_from_the_store() {
    let (bridge, people) = taught().await;
    bridge.pass(jiff::SignedDuration::from_secs(20)).await;
    let now = bridge.clock.now();
    let mut reader = bridge.store.reader().await.unwrap();
    let limiter = budgets(&mut reader, &bridge.tenant, 600).await.unwrap();
    drop(reader);
    let endpoint = openai_scim_bridge::openai::Endpoint::CreateInvite;
    let sent = bridge.sim.effects("POST", INVITES);
    let waiting = u64::try_from(people.len() - sent).unwrap();
    assert!(waiting > 10);
    let told = limiter.last_start(endpoint, waiting, now);
    let backlog = bridge.health().backlog;
    assert_eq!(backlog.queues["create_invite"].waiting, waiting, "{backlog:?}");
    let by_engine = backlog.last_start.unwrap();
    assert!(by_engine.duration_since(told).as_mins().abs() <= 1, "{by_engine} and {told}");
    let mut passed = 0;
    while bridge.sim.effects("POST", INVITES) < people.len() {
        bridge.minutes(1).await;
        passed += 1;
    }
    let took = told.duration_since(now).as_mins();
    assert!((passed - took).abs() <= 3, "told {took} minutes, took {passed}");
}
