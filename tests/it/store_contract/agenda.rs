//! The agenda: who is to be looked at, when, and how urgently.

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::ids::PersonId;
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::store::{LaneDepth, Store, StoreError, Work};

use super::{insert, person, tenant, update};
use crate::harness::database::Database;

on_both! {
    who_is_written_is_due_at_once
    lanes_are_served_in_order_and_each_by_age
    what_was_looked_at_waits_for_its_time
    a_write_after_the_look_wins
    a_person_who_waits_keeps_place_and_lane
    a_retry_in_the_future_keeps_its_lane_when_a_name_changes
}

async fn load(store: &Store, id: PersonId) -> Work {
    store.reader().await.unwrap().load_work(&tenant(), id).await.unwrap().unwrap()
}

async fn schedule(store: &Store, work: &Work, due_at: Option<Timestamp>, lane: Lane, attempts: u32) -> bool {
    let (id, mark) = (work.person.id, work.mark);
    write!(store, [], |tx| tx.schedule(&tenant(), id, mark, due_at, lane, attempts).await).unwrap()
}

async fn who_is_written_is_due_at_once(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 10).await.unwrap(), [jane.id]);
    assert_eq!(reader.next_due_at(&tenant()).await.unwrap(), Some(db.clock.now()));
    let depths = reader.lane_depths(&tenant(), db.clock.now()).await.unwrap();
    assert_eq!(depths, [LaneDepth { lane: Lane::Invite, depth: 1, oldest_at: db.clock.now() }]);
}

async fn lanes_are_served_in_order_and_each_by_age(db: &Database) {
    let store = db.open().await;
    let mut ids = Vec::new();
    for (number, lane) in
        [Lane::Grant, Lane::Revoke, Lane::Invite, Lane::Revoke, Lane::Read].iter().enumerate()
    {
        let person = person(&db.clock, &format!("p{number}@example.com"));
        let lane = *lane;
        write!(store, [person], |tx| tx.insert_person(&person, lane).await).unwrap();
        ids.push(person.id);
        db.clock.advance(SignedDuration::from_secs(1));
    }
    let mut reader = store.reader().await.unwrap();
    let due = reader.due_people(&tenant(), db.clock.now(), 10).await.unwrap();
    assert_eq!(due, [ids[1], ids[3], ids[2], ids[0], ids[4]]);
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 3).await.unwrap(), due[..3]);
    let lanes: Vec<_> = reader.lane_depths(&tenant(), db.clock.now()).await.unwrap();
    let lanes: Vec<_> = lanes.iter().map(|lane| (lane.lane, lane.depth)).collect();
    assert_eq!(lanes, [(Lane::Revoke, 2), (Lane::Invite, 1), (Lane::Grant, 1), (Lane::Read, 1)]);
}

async fn what_was_looked_at_waits_for_its_time(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let later = db.clock.now() + SignedDuration::from_mins(5);
    assert!(schedule(&store, &load(&store, jane.id).await, Some(later), Lane::Read, 3).await);
    let work = load(&store, jane.id).await;
    assert_eq!((work.due_at, work.attempts), (Some(later), 3));
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 10).await.unwrap(), []);
    assert_eq!(reader.next_due_at(&tenant()).await.unwrap(), Some(later));
    assert_eq!(reader.lane_depths(&tenant(), db.clock.now()).await.unwrap(), []);
    assert_eq!(reader.due_people(&tenant(), later, 10).await.unwrap(), [jane.id]);
    drop(reader);
    assert!(schedule(&store, &work, None, Lane::Read, 0).await);
    assert_eq!(store.reader().await.unwrap().next_due_at(&tenant()).await.unwrap(), None);
}

async fn a_write_after_the_look_wins(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let work = load(&store, jane.id).await;
    jane.active = false;
    update(&store, &mut jane, Lane::Revoke).await.unwrap();
    assert!(!schedule(&store, &work, None, Lane::Read, 0).await);
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 10).await.unwrap(), [jane.id]);
}

async fn a_person_who_waits_keeps_place_and_lane(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let first = db.clock.now();
    jane.active = false;
    update(&store, &mut jane, Lane::Revoke).await.unwrap();
    db.clock.advance(SignedDuration::from_secs(30));
    update(&store, &mut jane, Lane::Grant).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    let depths = reader.lane_depths(&tenant(), db.clock.now()).await.unwrap();
    assert_eq!(depths, [LaneDepth { lane: Lane::Revoke, depth: 1, oldest_at: first }]);
}

async fn a_retry_in_the_future_keeps_its_lane_when_a_name_changes(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    jane.active = false;
    insert(&store, &jane).await.unwrap();
    let retry = db.clock.now() + SignedDuration::from_mins(4);
    assert!(schedule(&store, &load(&store, jane.id).await, Some(retry), Lane::Revoke, 7).await);
    update(&store, &mut jane, Lane::Grant).await.unwrap();
    let work = load(&store, jane.id).await;
    assert_eq!((work.due_at, work.attempts), (Some(db.clock.now()), 0));
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.lane_depths(&tenant(), db.clock.now()).await.unwrap()[0].lane, Lane::Revoke);
}
