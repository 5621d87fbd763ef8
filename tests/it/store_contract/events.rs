//! The event feed, and the requests that are answered later.

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;
use openai_scim_bridge::ids::{RequestId, TenantId, Txn};
use openai_scim_bridge::model::event::{Deferred, Delivery, Event, EventKind, EventRecord};
use openai_scim_bridge::store::{Store, StoreError};
use serde_json::json;

use super::{other_tenant, tenant};
use crate::harness::database::Database;

on_both! {
    events_read_back_in_order_until_they_are_told
    each_way_of_telling_keeps_its_own_account
    a_feed_has_the_order_of_the_commits_and_no_failed_write
    the_oldest_events_are_forgotten_in_batches
    a_deferred_request_has_one_outcome
    a_deferred_request_that_is_answered_after_all_is_forgotten
}

fn event(db: &Database, tenant: TenantId, subject: &str) -> Event {
    Event::new(tenant, RequestId::new(&db.clock).into(), db.clock.now(), subject.to_owned())
        .with_notice(EventKind::Patch, ["active"], "W/\"2\"")
        .with(EventKind::Deactivate)
}

async fn append(store: &Store, event: &Event) {
    write!(store, [event], |tx| tx.append_event(event.clone()).await.map(drop)).unwrap();
}

async fn waiting(store: &Store, tenant: &TenantId, delivery: Delivery) -> Vec<EventRecord> {
    store.reader().await.unwrap().waiting_events(tenant, delivery, 100).await.unwrap()
}

async fn events_read_back_in_order_until_they_are_told(db: &Database) {
    let store = db.open().await;
    let events = ["/Users/a", "/Users/b", "/Users/c"].map(|subject| event(db, tenant(), subject));
    for event in &events {
        append(&store, event).await;
    }
    let records = waiting(&store, &tenant(), Delivery::Poll).await;
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(records.iter().map(|record| record.event.clone()).collect::<Vec<_>>(), events);
    assert_eq!(waiting(&store, &other_tenant(), Delivery::Poll).await, []);

    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.waiting_events(&tenant(), Delivery::Poll, 2).await.unwrap(), records[..2]);
    assert_eq!(reader.load_event(&tenant(), records[1].id).await.unwrap().as_ref(), Some(&records[1]));
    assert_eq!(reader.load_event(&other_tenant(), records[1].id).await.unwrap(), None);
}

async fn each_way_of_telling_keeps_its_own_account(db: &Database) {
    let store = db.open().await;
    for subject in ["/Users/a", "/Users/b"] {
        append(&store, &event(db, tenant(), subject)).await;
    }
    let records = waiting(&store, &tenant(), Delivery::Poll).await;
    let second = records[1].id;
    for tenant in [other_tenant(), tenant()] {
        write!(store, [tenant], |tx| {
            tx.settle_events(&tenant, Delivery::Poll, &[(second, "accepted".to_owned())]).await
        })
        .unwrap();
    }
    assert_eq!(waiting(&store, &tenant(), Delivery::Poll).await, records[..1]);
    assert_eq!(waiting(&store, &tenant(), Delivery::Push).await, records);
}

async fn a_feed_has_the_order_of_the_commits_and_no_failed_write(db: &Database) {
    let store = Arc::new(db.open().await);
    let writes = (0..64).map(|number| {
        let tenant = if number % 2 == 0 { tenant() } else { other_tenant() };
        let (event, store) = (event(db, tenant, &format!("/Users/{number}")), Arc::clone(&store));
        tokio::spawn(async move {
            write!(store, [event], |tx| {
                tx.append_event(event).await?;
                if number % 8 == 7 { Err(StoreError::Stale) } else { Ok(()) }
            })
        })
    });
    let results = join_all(writes).await;
    assert_eq!(results.into_iter().filter(|result| matches!(result, Ok(Ok(())))).count(), 56);
    for (tenant, count) in [(tenant(), 32), (other_tenant(), 24)] {
        let numbers: Vec<_> =
            waiting(&store, &tenant, Delivery::Push).await.iter().map(|record| record.seq).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    }
}

async fn the_oldest_events_are_forgotten_in_batches(db: &Database) {
    let store = db.open().await;
    for number in 0..6 {
        append(&store, &event(db, tenant(), &format!("/Users/{number}"))).await;
        db.clock.advance(SignedDuration::from_hours(1));
    }
    append(&store, &event(db, other_tenant(), "/Users/other")).await;
    let start = db.clock.now() - SignedDuration::from_hours(6);
    let prune = async |before, keep, batch| {
        write!(store, [], |tx| tx.prune_events(&tenant(), before, keep, batch).await).unwrap()
    };
    let left = async || {
        waiting(&store, &tenant(), Delivery::Poll).await.iter().map(|record| record.seq).collect::<Vec<_>>()
    };
    assert_eq!(prune(start, 100, 10).await, 0);
    assert_eq!(prune(start + SignedDuration::from_mins(90), 100, 1).await, 1);
    assert_eq!(prune(start + SignedDuration::from_mins(90), 100, 10).await, 1);
    assert_eq!(left().await, [3, 4, 5, 6]);
    assert_eq!(prune(start, 3, 10).await, 1);
    assert_eq!(left().await, [4, 5, 6]);
    append(&store, &event(db, tenant(), "/Users/7")).await;
    assert_eq!(left().await, [4, 5, 6, 7]);
    assert_eq!(waiting(&store, &other_tenant(), Delivery::Poll).await.len(), 1);
}

fn deferred(db: &Database) -> Deferred {
    Deferred {
        tenant: tenant(),
        txn: RequestId::new(&db.clock).into(),
        method: "PATCH".to_owned(),
        subject: "/Users/a".to_owned(),
        version: 2,
        made_at: db.clock.now(),
    }
}

async fn a_deferred_request_has_one_outcome(db: &Database) {
    let store = db.open().await;
    let request = deferred(db);
    write!(store, [request], |tx| tx.insert_deferred(&request).await).unwrap();
    let load = async |tenant: TenantId, txn: Txn| {
        store.reader().await.unwrap().load_deferred(&tenant, &txn).await.unwrap()
    };
    assert_eq!(load(tenant(), request.txn.clone()).await, Some((request.clone(), None)));
    assert_eq!(load(other_tenant(), request.txn.clone()).await, None);
    let open =
        async |before| store.reader().await.unwrap().open_deferred(&tenant(), before, 9).await.unwrap();
    assert_eq!(open(db.clock.now()).await, []);
    db.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(open(db.clock.now()).await, std::slice::from_ref(&request));

    let operation = json!({ "method": "PATCH", "status": "200" });
    let event = event(db, tenant(), "/Users/a").with_outcome(operation.clone());
    let txn = request.txn.clone();
    let settle = async || {
        write!(store, [txn, operation, event], |tx| tx.settle_deferred(&txn, &operation, &event).await)
            .unwrap()
    };
    assert!(settle().await);
    assert!(!settle().await);
    let (_, outcome) = load(tenant(), request.txn.clone()).await.unwrap();
    let outcome = outcome.unwrap();
    assert_eq!((outcome.at, outcome.operation), (db.clock.now(), operation.clone()));
    let told = waiting(&store, &tenant(), Delivery::Poll).await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].id, &told[0].event), (outcome.event, &event));
    assert_eq!(open(db.clock.now()).await, []);

    let prune =
        async |before| write!(store, [], |tx| tx.prune_deferred(&tenant(), before, 10).await).unwrap();
    assert_eq!(prune(db.clock.now()).await, 0);
    assert_eq!(prune(db.clock.now() + SignedDuration::from_secs(1)).await, 1);
    assert_eq!(load(tenant(), request.txn.clone()).await, None);
}

async fn a_deferred_request_that_is_answered_after_all_is_forgotten(db: &Database) {
    let store = db.open().await;
    let request = deferred(db);
    write!(store, [request], |tx| tx.insert_deferred(&request).await).unwrap();
    let txn = request.txn.clone();
    let forget = async || write!(store, [txn], |tx| tx.forget_deferred(&tenant(), &txn).await).unwrap();
    assert!(forget().await);
    assert!(!forget().await);
    assert_eq!(waiting(&store, &tenant(), Delivery::Poll).await, []);
}
