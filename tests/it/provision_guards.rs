//! The guards against a real store and a real HTTP stand-in: what is held, what lets it go, and what nothing does.

use jiff::SignedDuration;
use openai_scim_bridge::ids::PersonId;
use openai_scim_bridge::model::hold::{Brake, BrakeCause, Guard};
use openai_scim_bridge::model::mapping::Status;
use openai_scim_bridge::model::policy::{DriftPolicy, OnDrift, Policy, Standstill};
use openai_scim_bridge::simulator::{Fault, OrgRole};

use crate::harness::engine::{Bridge, INVITES, USER};

/// An engine whose organization limits nothing.
async fn unlimited(policy: Policy) -> Bridge {
    Bridge::with(policy, |options| options.limiter.enabled = false, |_| {}).await
}

/// So many people who are members.
async fn members(bridge: &Bridge, count: usize) -> Vec<PersonId> {
    let mut people = Vec::new();
    for number in 0..count {
        people.push(bridge.create(&format!("m{number}")).await);
        // The budget fills up again.
        bridge.minutes(1).await;
        bridge.accept(&format!("m{number}"));
    }
    bridge.minutes(10).await;
    for person in &people {
        assert_eq!(bridge.status(*person).await, Status::Member);
    }
    people
}

async fn deactivate_all(bridge: &Bridge, people: &[PersonId]) {
    for person in people {
        bridge.deactivate(*person).await;
        bridge.pass(SignedDuration::from_secs(30)).await;
    }
}

async fn count(bridge: &Bridge, people: &[PersonId], status: Status) -> usize {
    let mut found = 0;
    for person in people {
        found += usize::from(bridge.status(*person).await == status);
    }
    found
}

#[tokio::test]
async fn removals_beyond_the_limit_wait_for_a_human_and_the_first_ones_do_not() {
    let bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 6).await;
    deactivate_all(&bridge, &people).await;
    assert_eq!(count(&bridge, &people, Status::Parked).await, 3);
    assert_eq!(count(&bridge, &people, Status::Held).await, 3);
    let held = bridge.holds().await;
    assert_eq!(held.iter().map(|hold| hold.guard).collect::<Vec<_>>(), [Guard::MassRemoval; 3]);
    let whose: Vec<_> = held.iter().filter_map(|hold| hold.about.person()).collect();
    let reason = bridge.mapping(whose[0]).await.status_reason.unwrap();
    assert!(reason.contains("safety.max_removals") && reason.contains("holds approve"), "{reason}");

    // There would be room again, and still nobody said so.
    bridge.hours(26).await;
    assert_eq!(count(&bridge, &people, Status::Held).await, 3);
    bridge.decide(&held[0], true).await;
    assert_eq!(bridge.status(whose[0]).await, Status::Parked);
    bridge.decide(&held[1], false).await;
    let reason = bridge.mapping(whose[1]).await.status_reason.unwrap();
    assert!(reason.contains("rejected by ann (asked HR)"), "{reason}");
    assert_eq!(bridge.sim.effects("DELETE", USER), 4);

    // Whoever is wanted again is as before, and nothing waits any more.
    bridge.activate(whose[1]).await;
    assert_eq!(bridge.status(whose[1]).await, Status::Member);
    let left: Vec<_> = bridge.holds().await.iter().filter_map(|hold| hold.about.person()).collect();
    assert_eq!(left, [whose[2]]);
}

#[tokio::test]
async fn removals_spread_over_a_day_are_counted_as_well() {
    let bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 7).await;
    deactivate_all(&bridge, &people[..3]).await;
    bridge.minutes(61).await;
    deactivate_all(&bridge, &people[3..]).await;
    assert_eq!(count(&bridge, &people, Status::Parked).await, 5);
    let held = bridge.holds().await;
    assert_eq!(held.len(), 2);
    assert!(held[0].reason.contains("in 24 hours"), "{}", held[0].reason);
}

#[tokio::test]
async fn a_restart_forgets_no_removal() {
    let mut bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 4).await;
    deactivate_all(&bridge, &people[..3]).await;
    bridge.stop().await;
    bridge.run();
    bridge.quiet().await;
    deactivate_all(&bridge, &people[3..]).await;
    assert_eq!(bridge.status(people[3]).await, Status::Held);
    assert_eq!(bridge.sim.calls("DELETE", USER), 3);
}

#[tokio::test]
async fn a_removal_that_had_no_effect_is_not_counted() {
    let bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 4).await;
    bridge.sim.fail_next("DELETE", USER, Fault::reset_before(), 2).unwrap();
    deactivate_all(&bridge, &people[..1]).await;
    bridge.minutes(10).await;
    deactivate_all(&bridge, &people[1..3]).await;
    assert_eq!(count(&bridge, &people, Status::Parked).await, 3);
    deactivate_all(&bridge, &people[3..]).await;
    assert_eq!(bridge.status(people[3]).await, Status::Held);
}

#[tokio::test]
async fn the_owner_of_the_key_in_use_stays_until_another_key_is_in_use() {
    let bridge = unlimited(Policy::default()).await;
    let jane = members(&bridge, 1).await[0];
    for name in ["b@example.com", "c@example.com"] {
        bridge.sim.seed_member(name, OrgRole::Owner);
    }
    bridge.sim.set_key_owner("sk-admin-simulator", "m0@example.com").unwrap();
    // Whose the key is, is asked once a day.
    bridge.hours(25).await;
    bridge.deactivate(jane).await;
    assert_eq!(bridge.status(jane).await, Status::Held);
    let held = bridge.holds().await;
    assert_eq!((held.len(), held[0].guard), (1, Guard::KeyOwner));
    bridge.decide(&held[0], true).await;
    assert_eq!(bridge.status(jane).await, Status::Held, "no word is enough to saw off the branch");
    bridge.sim.set_key_owner("sk-admin-simulator", "b@example.com").unwrap();
    bridge.hours(25).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    assert_eq!(bridge.holds().await, []);
}

#[tokio::test]
async fn an_invite_beyond_the_seats_goes_out_when_one_is_free() {
    // Two seats are taken by those who were there before.
    let bridge = unlimited(Policy { seat_limit: Some(3), ..Policy::default() }).await;
    let (first, second) = (bridge.create("first").await, bridge.create("second").await);
    bridge.minutes(1).await;
    assert_eq!(bridge.status(second).await, Status::Held);
    assert_eq!((bridge.holds().await[0].guard, bridge.pending("second").len()), (Guard::SeatLimit, 0));
    bridge.deactivate(first).await;
    bridge.minutes(6).await;
    assert_eq!(bridge.status(second).await, Status::Invited);
    assert_eq!(bridge.holds().await, []);
}

#[tokio::test]
async fn nobody_is_invited_more_often_than_the_settings_allow() {
    let bridge = unlimited(Policy { max_invites_per_address: 2, ..Policy::default() }).await;
    let jane = bridge.create("jane").await;
    for _ in 0..3 {
        bridge.minutes(2).await;
        bridge.deactivate(jane).await;
        bridge.minutes(2).await;
        bridge.activate(jane).await;
    }
    bridge.minutes(2).await;
    assert_eq!(bridge.sim.effects("POST", INVITES), 2);
    assert_eq!(
        (bridge.status(jane).await, bridge.holds().await[0].guard),
        (Status::Held, Guard::InviteBudget)
    );
    bridge.hours(24).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    assert_eq!(bridge.sim.effects("POST", INVITES), 3);
}

#[tokio::test]
async fn a_tenant_that_observes_plans_and_does_not_act() {
    let observing = Policy { standstill: Some(Standstill::Observe), ..Policy::default() };
    let mut bridge = unlimited(observing).await;
    let jane = bridge.create("jane").await;
    bridge.minutes(30).await;
    assert_eq!(bridge.writes(), 0);
    let reason = bridge.mapping(jane).await.status_reason.unwrap();
    assert!(
        reason.contains("observe-only") && reason.contains("call create_invite jane@example.com"),
        "{reason}"
    );
    bridge.stop().await;
    bridge.set_policy(Policy::default());
    bridge.run();
    bridge.minutes(2).await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
}

#[tokio::test]
async fn the_stop_switch_ends_all_changes_at_once_and_loses_no_wish() {
    let bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 1).await;
    let before = bridge.writes();
    let (tenant, at) = (bridge.tenant.clone(), bridge.clock.now());
    let brake = Brake { cause: BrakeCause::Stop, reason: "drill".into(), by: "ann".into(), at };
    bridge
        .write(move |tx| {
            let (tenant, brake) = (tenant.clone(), brake.clone());
            Box::pin(async move { tx.put_brake(Some(&tenant), &brake).await })
        })
        .await;
    // Before the engine has looked: the record of the call is refused.
    bridge.deactivate(people[0]).await;
    let new = bridge.create("new").await;
    bridge.minutes(10).await;
    assert_eq!(bridge.writes(), before);
    assert_eq!(bridge.status(people[0]).await, Status::Removing);
    let reason = bridge.mapping(new).await.status_reason.unwrap();
    assert!(reason.contains("stopped by ann: drill") && reason.contains("scim-bridge resume"), "{reason}");
    bridge
        .write({
            let tenant = bridge.tenant.clone();
            move |tx| {
                let tenant = tenant.clone();
                Box::pin(async move {
                    assert_eq!(tx.release_brakes(Some(&tenant)).await?, [BrakeCause::Stop]);
                    Ok(())
                })
            }
        })
        .await;
    bridge.pass(SignedDuration::from_secs(30)).await;
    assert_eq!(bridge.status(people[0]).await, Status::Parked);
    assert_eq!(bridge.status(new).await, Status::Invited);
}

#[tokio::test]
async fn nothing_is_changed_in_another_organization_than_the_known_one() {
    let mut bridge = unlimited(Policy::default()).await;
    let jane = bridge.create("jane").await;
    assert_eq!(bridge.status(jane).await, Status::Invited);
    bridge.stop().await;
    bridge.sim.set_options(|options| options.organization_id = "org-another".to_owned());
    bridge.run();
    bridge.quiet().await;
    bridge.deactivate(jane).await;
    bridge.minutes(10).await;
    assert_eq!(bridge.pending("jane").len(), 1);
    let brake = bridge.store.reader().await.unwrap().brake(&bridge.tenant).await.unwrap().unwrap();
    assert_eq!(brake.cause, BrakeCause::Organization);
    assert!(
        brake.reason.contains("org-another") && brake.reason.contains("org-simulator"),
        "{}",
        brake.reason
    );
}

#[tokio::test]
async fn what_another_organization_shows_cuts_no_tie() {
    let drift = DriftPolicy { member_removed: OnDrift::Revert, ..DriftPolicy::default() };
    let mut bridge = unlimited(Policy { drift, ..Policy::default() }).await;
    let people = members(&bridge, 2).await;
    bridge.stop().await;
    let before = bridge.writes();
    bridge.sim.set_options(|options| options.organization_id = "org-another".to_owned());
    bridge.sim.remove_member("m0@example.com").unwrap();
    bridge.sim.remove_member("m1@example.com").unwrap();
    bridge.run();
    bridge.quiet().await;
    bridge.deactivate(people[1]).await;
    bridge.minutes(30).await;
    assert_eq!(bridge.writes(), before);
    assert_eq!(
        (bridge.status(people[0]).await, bridge.status(people[1]).await),
        (Status::Member, Status::Removing)
    );
    for person in people {
        let mapping = bridge.mapping(person).await;
        assert!(mapping.user_id.is_some());
        assert!(mapping.status_reason.unwrap().contains("org-another"));
    }
}

#[tokio::test]
async fn members_who_were_perhaps_just_removed_make_no_organization_strange() {
    let mut bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 3).await;
    bridge.sim.fail_next("DELETE", USER, Fault::reset_after(), 3).unwrap();
    bridge.sim.fail_next("GET", USER, Fault::status(500), 1_000).unwrap();
    deactivate_all(&bridge, &people).await;
    bridge.kill().await;
    for number in 0..3 {
        // The list is as long as before.
        bridge.sim.seed_member(&format!("other{number}@example.com"), OrgRole::Reader);
    }
    bridge.run();
    bridge.minutes(2).await;
    assert_eq!(bridge.store.reader().await.unwrap().brake(&bridge.tenant).await.unwrap(), None);
    bridge.sim.clear_faults();
    bridge.minutes(10).await;
    for person in people {
        assert_eq!(bridge.status(person).await, Status::Parked);
    }
    assert_eq!(bridge.sim.calls("DELETE", USER), 3);
}

#[tokio::test]
async fn causes_of_alarm_are_told_once_and_told_to_be_over() {
    let bridge = unlimited(Policy::default()).await;
    let people = members(&bridge, 4).await;
    let causes = async || {
        bridge.pass(SignedDuration::from_secs(20)).await;
        let standing = bridge.store.reader().await.unwrap().standing_causes(&bridge.tenant).await.unwrap();
        standing.into_iter().map(|(cause, _)| cause).collect::<Vec<_>>()
    };
    assert_eq!(causes().await, [""; 0]);
    bridge.sim.fail_next("DELETE", USER, Fault::status(500), 1_000).unwrap();
    bridge.deactivate(people[0]).await;
    bridge.minutes(3).await;
    assert_eq!(causes().await, ["removal.late"]);
    bridge.sim.clear_faults();
    bridge.minutes(10).await;
    assert_eq!(causes().await, [""; 0]);
    deactivate_all(&bridge, &people[1..]).await;
    assert_eq!(causes().await, ["held.mass-removal"]);
    bridge.decide(&bridge.holds().await[0], true).await;
    assert_eq!(causes().await, [""; 0]);
}

#[tokio::test]
async fn a_refused_key_is_one_alarm_and_nobody_s_fault() {
    let bridge = unlimited(Policy::default()).await;
    let jane = bridge.create("jane").await;
    bridge.sim.fail_next("*", "*", Fault::status(401), 1_000).unwrap();
    bridge.deactivate(jane).await;
    let john = bridge.create("john").await;
    bridge.minutes(12).await;
    let standing = bridge.store.reader().await.unwrap().standing_causes(&bridge.tenant).await.unwrap();
    let causes: Vec<_> = standing.iter().map(|(cause, told)| (cause.as_str(), told.size)).collect();
    assert_eq!(causes, [("key.refused", 1), ("removal.late", 1)]);
    for (person, status) in [(jane, Status::Removing), (john, Status::Pending)] {
        assert_eq!(bridge.status(person).await, status);
        let work = bridge.store.reader().await.unwrap().load_work(&bridge.tenant, person).await.unwrap();
        assert_eq!(work.unwrap().attempts, 0, "the key is to blame");
    }
    bridge.sim.clear_faults();
    bridge.minutes(6).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    assert_eq!(bridge.status(john).await, Status::Invited);
    assert_eq!(bridge.store.reader().await.unwrap().standing_causes(&bridge.tenant).await.unwrap().len(), 0);
}

async fn causes(bridge: &Bridge) -> Vec<String> {
    bridge.pass(SignedDuration::from_secs(20)).await;
    let standing = bridge.store.reader().await.unwrap().standing_causes(&bridge.tenant).await.unwrap();
    standing.into_iter().map(|(cause, _)| cause).collect()
}

/// OpenAI says so in a 403 whose `error` is a bare string, and goes on answering reads.
#[tokio::test]
async fn a_key_without_the_scope_to_write_is_an_alarm_and_everything_goes_on_with_another_one() {
    let mut bridge = unlimited(Policy::default()).await;
    let jane = members(&bridge, 1).await[0];
    bridge.sim.seed_admin_key("sk-admin-reads-only", true);
    bridge.exchange_key("sk-admin-reads-only").await;
    let john = bridge.create("john").await;
    bridge.deactivate(jane).await;
    bridge.minutes(12).await;
    assert_eq!(causes(&bridge).await, ["key.refused", "removal.late"]);
    for (person, status) in [(jane, Status::Removing), (john, Status::Pending)] {
        assert_eq!(bridge.status(person).await, status);
        let work = bridge.store.reader().await.unwrap().load_work(&bridge.tenant, person).await.unwrap();
        assert_eq!(work.unwrap().attempts, 0, "the key is to blame");
    }
    let told = bridge.sim.ledger().iter().filter(|entry| entry.status == Some(403)).count();
    assert!((1..=6).contains(&told), "it is tried again from time to time and not for everybody: {told}");
    bridge.exchange_key("sk-admin-simulator").await;
    bridge.minutes(2).await;
    assert_eq!(bridge.status(jane).await, Status::Parked);
    assert_eq!(bridge.status(john).await, Status::Invited);
    assert_eq!(causes(&bridge).await, [""; 0]);
}

#[tokio::test]
async fn a_key_that_runs_out_is_an_alarm_before_and_when_it_does() {
    let mut bridge = unlimited(Policy::default()).await;
    let in_hours = |bridge: &Bridge, hours: i64| bridge.clock.now() + SignedDuration::from_hours(hours);
    bridge.sim.let_key_expire("sk-admin-simulator", in_hours(&bridge, 14 * 24 + 1)).unwrap();
    bridge.stop().await;
    bridge.run();
    assert_eq!(causes(&bridge).await, [""; 0]);
    bridge.minutes(70).await;
    assert_eq!(causes(&bridge).await, ["key.expiring"]);
    bridge.sim.let_key_expire("sk-admin-simulator", in_hours(&bridge, 1)).unwrap();
    bridge.minutes(70).await;
    assert!(causes(&bridge).await.contains(&"key.refused".to_owned()));
    bridge.sim.seed_admin_key("sk-admin-second", false);
    bridge.exchange_key("sk-admin-second").await;
    bridge.minutes(1).await;
    assert_eq!(causes(&bridge).await, [""; 0]);
}

#[tokio::test]
async fn a_standstill_is_an_alarm_until_it_is_over() {
    let observing = Policy { standstill: Some(Standstill::Observe), ..Policy::default() };
    let mut bridge = unlimited(observing).await;
    assert_eq!(causes(&bridge).await, ["standstill"]);
    bridge.stop().await;
    bridge.set_policy(Policy::default());
    bridge.run();
    assert_eq!(causes(&bridge).await, [""; 0]);
}
