//! Alarms told to whoever is to be called.

use jiff::SignedDuration;
use openai_scim_bridge::alarms::Courier;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::alarm::Sighting;
use openai_scim_bridge::store::{Store, StoreError};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::database::Database;
use crate::harness::receiver::{Call, Receiver};

async fn sight(store: &Store, database: &Database, cause: &str, size: i64) {
    let (cause, now) = (cause.to_owned(), database.clock.now());
    store
        .write::<_, StoreError>(move |tx| {
            let sighting = Sighting { cause: cause.clone(), size, text: format!("{cause}: {size}") };
            Box::pin(async move {
                assert!(tx.sight(&TenantId::default_tenant(), &sighting, now, true).await?.is_some());
                Ok(())
            })
        })
        .await
        .unwrap();
}

fn body(call: &Call) -> Value {
    serde_json::from_str(&call.body).unwrap()
}

#[tokio::test]
async fn alarms_arrive_in_order_signed_and_again_until_they_are_taken_even_over_a_restart() {
    let database = Database::sqlite();
    let (store, receiver) = (database.open().await, Receiver::start().await);
    sight(&store, &database, "held.mass-removal", 3).await;
    sight(&store, &database, "key.refused", 1).await;
    database.clock.advance(SignedDuration::from_secs(5));
    sight(&store, &database, "held.mass-removal", 0).await;
    let start = |store: &Store| {
        let courier = Courier::new(
            store.clone(),
            database.clock.clone(),
            TenantId::default_tenant(),
            receiver.url(),
            "hook-secret".into(),
        );
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(courier.unwrap().run(stop)))
    };
    let (stop, task) = start(&store);
    let first = receiver.next_in_time(&database.clock).await;
    let id = first.headers["webhook-id"].clone();
    assert!(first.headers["webhook-signature"].starts_with("v1,"));
    assert_eq!(first.headers["webhook-timestamp"].parse::<i64>().unwrap(), database.clock.now().as_second());
    assert_eq!(body(&first)["type"], "alarm.raised");
    assert_eq!(body(&first)["data"]["cause"], "held.mass-removal");
    assert_eq!(body(&first)["data"]["size"], 3);
    first.answer(500, &[], "").await;
    let again = receiver.next_in_time(&database.clock).await;
    assert_eq!(again.headers["webhook-id"], id);
    // The answer is lost with the program.
    stop.cancel();
    task.await.unwrap();
    drop(again);
    store.close().await;
    drop(store);

    let store = database.open().await;
    let (stop, task) = start(&store);
    let mut told = Vec::new();
    for _ in 0..3 {
        let call = receiver.next_in_time(&database.clock).await;
        let (body, id) = (body(&call), call.headers["webhook-id"].clone());
        told.push((id, body["type"].as_str().unwrap().to_owned(), body["data"]["cause"].clone()));
        call.answer(200, &[], "").await;
    }
    assert_eq!(told[0].0, id);
    let told: Vec<_> = told.iter().map(|(_, kind, cause)| (kind.as_str(), cause.as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("alarm.raised", "held.mass-removal"),
            ("alarm.raised", "key.refused"),
            ("alarm.cleared", "held.mass-removal")
        ]
    );
    stop.cancel();
    task.await.unwrap();
}
