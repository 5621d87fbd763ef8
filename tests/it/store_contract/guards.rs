//! Guards: counts, holds and brakes.

use jiff::SignedDuration;
use openai_scim_bridge::ids::{GroupId, HoldId, OperationId, PersonId};
use openai_scim_bridge::model::group_link::GroupLink;
use openai_scim_bridge::model::hold::{About, Brake, BrakeCause, Decision, Guard, Hold, HoldState};
use openai_scim_bridge::model::operation::{Action, Lane, Operation, OperationState};
use openai_scim_bridge::store::{HoldFilter, Losses, Store, StoreError};

use super::{insert, other_tenant, person, tenant, update};
use crate::harness::database::Database;

on_both! {
    losses_are_counted_in_their_window_and_given_back_without_effect
    invites_are_counted_by_address
    a_decision_is_about_one_version_and_makes_the_person_due
    one_hold_of_a_kind_stands_at_a_time
    a_group_has_holds_as_long_as_it_is_kept
    a_brake_holds_for_one_tenant_or_for_all
}

fn operation(db: &Database, person: PersonId, action: Action) -> Operation {
    Operation {
        tenant: tenant(),
        id: OperationId::new(&db.clock),
        person,
        person_version: 1,
        action,
        reason: "a test".into(),
        state: OperationState::Sending,
        sent_at: db.clock.now(),
        unanswered_at: None,
        settled_at: None,
        upstream_request_id: None,
        outcome: None,
    }
}

async fn tally(store: &Store, operation: &Operation, approved: bool) {
    write!(store, [operation], |tx| {
        tx.record_operation(&operation).await?;
        tx.tally(&operation, approved).await
    })
    .unwrap();
}

async fn settle(store: &Store, db: &Database, operation: &Operation, state: OperationState) {
    let (id, now) = (operation.id, db.clock.now());
    write!(store, [], |tx| tx.settle_operation(&tenant(), id, state, now, None, None).await).unwrap();
}

async fn losses(store: &Store, db: &Database, hours: i64) -> i64 {
    let since = db.clock.now() - SignedDuration::from_hours(hours);
    let Losses { count, .. } = store.reader().await.unwrap().losses(&tenant(), since).await.unwrap();
    count
}

async fn losses_are_counted_in_their_window_and_given_back_without_effect(db: &Database) {
    let store = db.open().await;
    let mut made = Vec::new();
    for number in 0..3 {
        let person = person(&db.clock, &format!("p{number}@example.com"));
        insert(&store, &person).await.unwrap();
        let user = format!("user-{number}").as_str().into();
        let operation = operation(db, person.id, Action::DeleteUser { user });
        tally(&store, &operation, number == 2).await;
        made.push(operation);
    }
    assert_eq!(losses(&store, db, 1).await, 2, "the approved one does not count");
    settle(&store, db, &made[0], OperationState::Done).await;
    settle(&store, db, &made[1], OperationState::Failed).await;
    assert_eq!(losses(&store, db, 1).await, 1);
    db.clock.advance(SignedDuration::from_hours(2));
    assert_eq!((losses(&store, db, 1).await, losses(&store, db, 24).await), (0, 1));
    let since = db.clock.now() - SignedDuration::from_hours(24);
    let of_another = store.reader().await.unwrap().losses(&other_tenant(), since).await.unwrap();
    assert_eq!(of_another, Losses::default());
}

async fn invites_are_counted_by_address(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let action = Action::CreateInvite {
        address: "Jane@Example.com".into(),
        role: "reader".parse().unwrap(),
        projects: vec![],
    };
    let operation = operation(db, jane.id, action);
    tally(&store, &operation, false).await;
    let since = db.clock.now() - SignedDuration::from_hours(1);
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.invites_to(&tenant(), "jane@example.com", since).await.unwrap(), 1);
    assert_eq!(reader.invites_to(&tenant(), "john@example.com", since).await.unwrap(), 0);
    assert_eq!(reader.seats_taken(&tenant()).await.unwrap(), 1, "it is on its way");
    drop(reader);
    settle(&store, db, &operation, OperationState::Failed).await;
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.invites_to(&tenant(), "jane@example.com", since).await.unwrap(), 0);
    assert_eq!(reader.seats_taken(&tenant()).await.unwrap(), 0);
}

fn hold(db: &Database, person: PersonId) -> Hold {
    Hold {
        tenant: tenant(),
        id: HoldId::new(&db.clock),
        about: About::Person { id: person, version: 1 },
        guard: Guard::MassRemoval,
        subject: "delete_user user-1".into(),
        reason: "too many".into(),
        state: HoldState::Open,
        made_at: db.clock.now(),
        judged_at: db.clock.now(),
        decision: None,
        operation: None,
    }
}

async fn decide(store: &Store, db: &Database, hold: &Hold, approve: bool) -> bool {
    let decision = Decision { at: db.clock.now(), by: "ann".into(), why: None };
    write!(store, [hold, decision], |tx| tx.decide_hold(&hold, approve, &decision).await).unwrap()
}

async fn a_decision_is_about_one_version_and_makes_the_person_due(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    jane.active = false;
    insert(&store, &jane).await.unwrap();
    update(&store, &mut jane, Lane::Revoke).await.unwrap();
    let work = store.reader().await.unwrap().load_work(&tenant(), jane.id).await.unwrap().unwrap();
    let (id, mark) = (jane.id, work.mark);
    assert!(write!(store, [], |tx| tx.schedule(&tenant(), id, mark, None, Lane::Revoke, 3).await).unwrap());
    let held = hold(db, jane.id);
    write!(store, [held], |tx| tx.save_hold(&held).await).unwrap();
    let other = About::Person { id: jane.id, version: 2 };
    assert!(!decide(&store, db, &Hold { about: other, ..held.clone() }, true).await, "another version");
    assert_eq!(store.reader().await.unwrap().next_due_at(&tenant()).await.unwrap(), None);
    assert!(decide(&store, db, &held, true).await);
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 9).await.unwrap(), [jane.id]);
    let standing = reader.standing_holds(&tenant(), jane.id).await.unwrap();
    assert!(standing[0].is_approved_for(&held.about) && !standing[0].is_approved_for(&other));
    assert_eq!(reader.count_open_holds(&tenant()).await.unwrap(), []);
    drop(reader);

    // The call that uses it has no effect: the approval is there again.
    let operation = operation(db, jane.id, Action::DeleteUser { user: "user-1".into() });
    tally(&store, &operation, true).await;
    let (approved, used_by) = (standing[0].clone(), operation.id);
    write!(store, [approved], |tx| tx.use_approval(&approved, used_by).await).unwrap();
    assert!(!decide(&store, db, &held, false).await, "it is used");
    settle(&store, db, &operation, OperationState::Failed).await;
    let mut reader = store.reader().await.unwrap();
    assert!(reader.standing_holds(&tenant(), jane.id).await.unwrap()[0].is_approved_for(&held.about));
    let nobody = HoldFilter { is_over: Some(true), ..HoldFilter::default() };
    assert_eq!(reader.list_holds(&tenant(), &nobody, None, 9).await.unwrap(), []);
}

async fn one_hold_of_a_kind_stands_at_a_time(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let (first, second) = (hold(db, jane.id), hold(db, jane.id));
    write!(store, [first], |tx| tx.save_hold(&first).await).unwrap();
    let twice = write!(store, [second], |tx| tx.save_hold(&second).await);
    assert!(matches!(twice, Err(StoreError::Taken)), "{twice:?}");
    let lapsed = Hold { state: HoldState::Lapsed, ..first };
    write!(store, [lapsed, second], |tx| {
        tx.save_hold(&lapsed).await?;
        tx.save_hold(&second).await
    })
    .unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.count_open_holds(&tenant()).await.unwrap(), [(Guard::MassRemoval, 1)]);
    assert_eq!(reader.list_holds(&tenant(), &HoldFilter::default(), None, 9).await.unwrap().len(), 2);
}

async fn a_group_has_holds_as_long_as_it_is_kept(db: &Database) {
    let store = db.open().await;
    let (jane, link) =
        (person(&db.clock, "jane@example.com"), GroupLink::new(tenant(), GroupId::new(&db.clock)));
    insert(&store, &jane).await.unwrap();
    let of_group = |losers| Hold { about: About::Group { id: link.group, losers }, ..hold(db, jane.id) };
    let (first, second, of_jane) = (of_group(5), of_group(5), hold(db, jane.id));
    let stray = write!(store, [first], |tx| tx.save_hold(&first).await);
    assert!(stray.is_err(), "there is no such group");
    write!(store, [link, first, of_jane], |tx| {
        tx.save_group_link(&link).await?;
        tx.save_hold(&of_jane).await?;
        tx.save_hold(&first).await
    })
    .unwrap();
    let twice = write!(store, [second], |tx| tx.save_hold(&second).await);
    assert!(matches!(twice, Err(StoreError::Taken)), "{twice:?}");
    let standing = async || store.reader().await.unwrap().standing_group_holds(&tenant()).await.unwrap();
    assert_eq!(standing().await, std::slice::from_ref(&first));
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.standing_holds(&tenant(), jane.id).await.unwrap(), std::slice::from_ref(&of_jane));
    assert_eq!(reader.standing_group_holds(&other_tenant()).await.unwrap(), []);
    assert_eq!(reader.count_open_holds(&tenant()).await.unwrap(), [(Guard::MassRemoval, 2)]);
    drop(reader);

    let more = Hold { about: About::Group { id: link.group, losers: 6 }, ..first.clone() };
    write!(store, [more], |tx| tx.save_hold(&more).await).unwrap();
    assert!(!decide(&store, db, &first, true).await, "more people than were shown");
    assert!(decide(&store, db, &more, true).await);
    let approved = standing().await.remove(0);
    let about = |losers| About::Group { id: link.group, losers };
    assert!(approved.is_approved_for(&about(6)) && approved.is_approved_for(&about(1)));
    assert!(!approved.is_approved_for(&about(7)));
    let operation = OperationId::new(&db.clock);
    write!(store, [approved], |tx| tx.use_approval(&approved, operation).await).unwrap();
    assert_eq!(standing().await, []);
    write!(store, [], |tx| tx.give_back(&tenant(), operation).await).unwrap();
    assert_eq!(standing().await, std::slice::from_ref(&approved));

    let id = link.group;
    write!(store, [], |tx| tx.forget_group_link(&tenant(), id).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    let left = reader.list_holds(&tenant(), &HoldFilter::default(), None, 9).await.unwrap();
    assert_eq!(left, [of_jane]);
}

async fn a_brake_holds_for_one_tenant_or_for_all(db: &Database) {
    let store = db.open().await;
    let brake = |cause| Brake { cause, reason: "drill".into(), by: "ann".into(), at: db.clock.now() };
    let (one, all) = (brake(BrakeCause::Organization), brake(BrakeCause::Stop));
    write!(store, [one], |tx| tx.put_brake(Some(&tenant()), &one).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.brake(&tenant()).await.unwrap(), Some(one.clone()));
    assert_eq!(reader.brake(&other_tenant()).await.unwrap(), None);
    drop(reader);
    write!(store, [all], |tx| tx.put_brake(None, &all).await).unwrap();
    assert_eq!(store.reader().await.unwrap().brake(&other_tenant()).await.unwrap(), Some(all));
    let released = write!(store, [], |tx| tx.release_brakes(None).await).unwrap();
    assert_eq!(released.len(), 2);
    assert_eq!(store.reader().await.unwrap().brake(&tenant()).await.unwrap(), None);
}
