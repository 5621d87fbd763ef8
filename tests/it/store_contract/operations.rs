//! Operations on record.

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::ids::{GroupId, OperationId, PersonId, UserId};
use openai_scim_bridge::model::group_link::{GroupCall, GroupLink};
use openai_scim_bridge::model::operation::{Action, Operation, OperationState};
use openai_scim_bridge::store::StoreError;

use super::{insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    a_person_has_at_most_one_open_operation
    an_outcome_is_written_once
    an_unknown_outcome_stays_open
    what_nobody_waits_for_any_more_was_under_way_until_that_was_noted
    a_person_with_an_open_operation_cannot_be_erased
}

fn removal(db: &Database, person: PersonId) -> Operation {
    Operation {
        tenant: tenant(),
        id: OperationId::new(&db.clock),
        person,
        person_version: 1,
        action: Action::DeleteUser { user: UserId::from("user-1") },
        reason: "the person is not active".to_owned(),
        state: OperationState::Sending,
        sent_at: db.clock.now(),
        unanswered_at: None,
        settled_at: None,
        upstream_request_id: None,
        outcome: None,
    }
}

async fn a_person_has_at_most_one_open_operation(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let (first, second) = (removal(db, jane.id), removal(db, jane.id));
    write!(store, [first], |tx| tx.record_operation(&first).await).unwrap();
    let refused = write!(store, [second], |tx| tx.record_operation(&second).await);
    assert!(matches!(refused, Err(StoreError::Taken)));

    let mut reader = store.reader().await.unwrap();
    let work = reader.load_work(&tenant(), jane.id).await.unwrap().unwrap();
    assert_eq!(work.open, std::slice::from_ref(&first));
    assert!(reader.has_open_operations(&tenant()).await.unwrap());
    assert!(!reader.has_open_operations(&other_tenant()).await.unwrap());
    drop(reader);

    let (id, at) = (first.id, db.clock.now());
    write!(store, [], |tx| tx
        .settle_operation(&tenant(), id, OperationState::Done, at, Some("req_1"), None)
        .await)
    .unwrap();
    write!(store, [second], |tx| tx.record_operation(&second).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    let listed = reader.list_operations(&tenant(), jane.id, 10).await.unwrap();
    let mut ids: Vec<_> = listed.iter().map(|operation| operation.id).collect();
    ids.reverse();
    assert!(ids.is_sorted() && ids.len() == 2);
    assert_eq!(reader.list_operations(&tenant(), jane.id, 1).await.unwrap().len(), 1);
    assert_eq!(reader.list_operations(&other_tenant(), jane.id, 10).await.unwrap(), []);
}

async fn an_outcome_is_written_once(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let operation = removal(db, jane.id);
    write!(store, [operation], |tx| tx.record_operation(&operation).await).unwrap();
    let settle = async |state| {
        let (id, at) = (operation.id, db.clock.now());
        write!(store, [], |tx| tx.settle_operation(&tenant(), id, state, at, None, Some("said so")).await)
    };
    settle(OperationState::Done).await.unwrap();
    settle(OperationState::Done).await.unwrap();
    assert!(matches!(settle(OperationState::Failed).await, Err(StoreError::Stale)));
    let mut reader = store.reader().await.unwrap();
    let stored = reader.list_operations(&tenant(), jane.id, 1).await.unwrap().remove(0);
    assert_eq!(
        stored,
        Operation {
            state: OperationState::Done,
            settled_at: Some(db.clock.now()),
            outcome: Some("said so".to_owned()),
            ..operation
        }
    );
}

async fn an_unknown_outcome_stays_open(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let operation = removal(db, jane.id);
    write!(store, [operation], |tx| tx.record_operation(&operation).await).unwrap();
    let (id, at) = (operation.id, db.clock.now());
    write!(store, [], |tx| tx
        .settle_operation(&tenant(), id, OperationState::Unknown, at, None, Some("timed out"))
        .await)
    .unwrap();
    let work = store.reader().await.unwrap().load_work(&tenant(), jane.id).await.unwrap().unwrap();
    let open = &work.open[0];
    assert_eq!((open.state, open.unanswered_at, open.settled_at), (OperationState::Unknown, Some(at), None));
}

async fn what_nobody_waits_for_any_more_was_under_way_until_that_was_noted(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let operation = removal(db, jane.id);
    write!(store, [operation], |tx| tx.record_operation(&operation).await).unwrap();
    let mut link = GroupLink::new(tenant(), GroupId::new(&db.clock));
    link.begin(GroupCall::Create { name: "Staff".to_owned() }, OperationId::new(&db.clock), db.clock.now());
    write!(store, [link], |tx| tx.save_group_link(&link).await).unwrap();
    let idle = GroupLink::new(tenant(), GroupId::new(&db.clock));
    write!(store, [idle], |tx| tx.save_group_link(&idle).await).unwrap();
    let open = async || {
        let mut reader = store.reader().await.unwrap();
        let work = reader.load_work(&tenant(), jane.id).await.unwrap().unwrap();
        let links = reader.group_links(&tenant()).await.unwrap();
        let mut links: Vec<_> =
            links.into_iter().map(|link| (link.open.is_some(), link.unanswered_at)).collect();
        links.sort();
        ((work.open[0].state, work.open[0].unanswered_at), links)
    };

    write!(store, [], |tx| tx.abandon_calls(&other_tenant(), Timestamp::UNIX_EPOCH).await).unwrap();
    assert_eq!(open().await, ((OperationState::Sending, None), vec![(false, None), (true, None)]));
    db.clock.advance(SignedDuration::from_hours(200));
    let at = db.clock.now();
    write!(store, [], |tx| tx.abandon_calls(&tenant(), at).await).unwrap();
    let abandoned = ((OperationState::Unknown, Some(at)), vec![(false, None), (true, Some(at))]);
    assert_eq!(open().await, abandoned);
    db.clock.advance(SignedDuration::from_hours(1));
    let later = db.clock.now();
    write!(store, [], |tx| tx.abandon_calls(&tenant(), later).await).unwrap();
    assert_eq!(open().await, abandoned, "once is enough");
}

async fn a_person_with_an_open_operation_cannot_be_erased(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let operation = removal(db, jane.id);
    write!(store, [operation], |tx| tx.record_operation(&operation).await).unwrap();
    let erased = write!(store, [jane], |tx| tx.erase_person(&tenant(), jane.id, 1).await);
    assert!(matches!(erased, Err(StoreError::Stale)));
}
