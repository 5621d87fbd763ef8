//! People: uniqueness, versions, tombstones, conditions.

use jiff::SignedDuration;
use openai_scim_bridge::ids::{InviteId, PersonId, UserId};
use openai_scim_bridge::model::mapping::{Mapping, Status};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{
    Column, Condition, Condition as C, Key, MappingFilter, Order, Sequence, Spot, StoreError,
};

use super::{delete, insert, other_tenant, person, tenant, update};
use crate::harness::database::Database;

on_both! {
    a_person_reads_back_as_written
    a_user_name_is_unique_in_any_case_among_the_living
    a_user_name_is_taken_for_a_rename_as_well
    an_update_of_a_stale_version_changes_nothing
    a_tombstone_is_hidden_but_kept
    a_create_finds_whom_it_may_be_about
    every_condition_finds_its_people
    the_status_shown_is_the_one_that_is_found
    paging_shows_everybody_once
    every_order_is_read_on_from_every_place_in_it
    erasing_leaves_no_trace
    erasing_spares_a_person_who_was_written_since
    tenants_do_not_see_each_other
}

async fn a_person_reads_back_as_written(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "Jane@Example.com");
    jane.user_name = String::from("Jäne O'Neil \"%_\\' \u{1f600}");
    jane.attributes.insert("nickName".to_owned(), "a\u{0}b".into());
    insert(&store, &jane).await.unwrap();
    let loaded = store.reader().await.unwrap().load_person(&tenant(), jane.id).await.unwrap().unwrap();
    assert_eq!(loaded, jane);
    let order = |person: &Person| person.attributes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&loaded), order(&jane));
}

async fn a_user_name_is_unique_in_any_case_among_the_living(db: &Database) {
    let store = db.open().await;
    let mut first = person(&db.clock, "a@example.com");
    first.user_name = String::from("STRÄSSE@Example.com");
    insert(&store, &first).await.unwrap();
    let mut second = person(&db.clock, "b@example.com");
    second.user_name = String::from("strässe@example.COM");
    assert!(matches!(insert(&store, &second).await, Err(StoreError::Taken)));

    let mut elsewhere = second.clone();
    elsewhere.tenant = other_tenant();
    insert(&store, &elsewhere).await.unwrap();

    delete(&store, &db.clock, &mut first).await;
    insert(&store, &second).await.unwrap();
}

async fn a_user_name_is_taken_for_a_rename_as_well(db: &Database) {
    let store = db.open().await;
    let (a, mut b) = (person(&db.clock, "a@example.com"), person(&db.clock, "b@example.com"));
    insert(&store, &a).await.unwrap();
    insert(&store, &b).await.unwrap();
    b.user_name = String::from("A@EXAMPLE.COM");
    assert!(matches!(update(&store, &mut b, Lane::Grant).await, Err(StoreError::Taken)));
    let stored = store.reader().await.unwrap().load_person(&tenant(), b.id).await.unwrap().unwrap();
    assert_eq!((stored.user_name.as_str(), stored.version), ("b@example.com", 1));
}

async fn an_update_of_a_stale_version_changes_nothing(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let mut late = jane.clone();
    jane.active = false;
    update(&store, &mut jane, Lane::Revoke).await.unwrap();
    assert!(matches!(update(&store, &mut late, Lane::Grant).await, Err(StoreError::Stale)));
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_person(&tenant(), jane.id).await.unwrap(), Some(jane));
}

async fn a_tombstone_is_hidden_but_kept(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    delete(&store, &db.clock, &mut jane).await;
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_person(&tenant(), jane.id).await.unwrap(), None);
    assert_eq!(reader.load_person_and_mapping(&tenant(), jane.id).await.unwrap(), None);
    assert_eq!(reader.find_people_by_address(&tenant(), "jane@example.com").await.unwrap(), []);
    assert_eq!(reader.count_people(&tenant(), &Condition::All).await.unwrap(), 0);
    assert_eq!(reader.page_people(&tenant(), &Condition::All, Sequence::default(), 0, 10).await.unwrap(), []);
    assert_eq!(
        reader.scan_people(&tenant(), &Condition::All, Sequence::default(), None, 10).await.unwrap(),
        []
    );
    assert_eq!(reader.count_by_status(&tenant()).await.unwrap(), []);
    let work = reader.load_work(&tenant(), jane.id).await.unwrap().unwrap();
    assert_eq!(work.person, jane);
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 10).await.unwrap(), [jane.id]);
}

async fn a_create_finds_whom_it_may_be_about(db: &Database) {
    let store = db.open().await;
    let a = person(&db.clock, "a@example.com");
    let b = person(&db.clock, "b@example.com");
    for person in [&a, &b] {
        insert(&store, person).await.unwrap();
    }
    let mut reader = store.reader().await.unwrap();
    let mut both = vec![a.clone(), b.clone()];
    both.sort_by_key(|person| person.id);
    let found = reader.find_people(&tenant(), "a@example.com", Some("ext-b@example.com")).await.unwrap();
    assert_eq!(found, both);
    let found = reader.find_people(&tenant(), "a@example.com", Some("ext-a@example.com")).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&a));
    assert_eq!(reader.find_people(&tenant(), "a@example.com", None).await.unwrap(), [a]);
    assert_eq!(reader.find_people(&tenant(), "c@example.com", Some("EXT-B@example.com")).await.unwrap(), []);
}

async fn every_condition_finds_its_people(db: &Database) {
    let store = db.open().await;
    let mut a = person(&db.clock, "A@example.com");
    insert(&store, &a).await.unwrap();
    db.clock.advance(SignedDuration::from_mins(1));
    let mut b = person(&db.clock, "b_1@example.com");
    insert(&store, &b).await.unwrap();
    let noon = db.clock.now();
    db.clock.advance(SignedDuration::from_mins(1));
    b.active = false;
    b.modified_at = db.clock.now();
    update(&store, &mut b, Lane::Revoke).await.unwrap();
    a.attributes.insert("displayName".to_owned(), "Ärzte".into());
    update(&store, &mut a, Lane::Grant).await.unwrap();
    let mapping = Mapping {
        status: Status::Member,
        user_id: Some(UserId::from("user-1")),
        invite_id: Some(InviteId::from("invite-1")),
        ..Mapping::new(tenant(), b.id)
    };
    write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();

    let (a, b) = (a.id, b.id);
    let mut reader = store.reader().await.unwrap();
    let mut check = async |condition: Condition, mut expected: Vec<PersonId>| {
        expected.sort_unstable();
        let page = reader.page_people(&tenant(), &condition, Sequence::default(), 0, 10).await.unwrap();
        let ids: Vec<_> = page.iter().map(|(person, _)| person.id).collect();
        assert_eq!(ids, expected, "{condition:?}");
        let scanned = reader.scan_people(&tenant(), &condition, Sequence::default(), None, 10).await.unwrap();
        assert_eq!(scanned, page, "{condition:?}");
        let count = reader.count_people(&tenant(), &condition).await.unwrap();
        assert_eq!(count, i64::try_from(expected.len()).unwrap(), "{condition:?}");
    };
    let text = str::to_owned;
    check(C::All, vec![a, b]).await;
    check(C::Nobody, vec![]).await;
    check(C::And(vec![]), vec![a, b]).await;
    check(C::Or(vec![]), vec![]).await;
    check(C::IdEq(a), vec![a]).await;
    check(C::UserNameEq(text("a@example.com")), vec![a]).await;
    check(C::UserNameEq(text("A@example.com")), vec![]).await;
    check(C::UserNameStartsWith(text("b_")), vec![b]).await;
    check(C::UserNameStartsWith(text("")), vec![a, b]).await;
    check(C::UserNameContains(text("_1@")), vec![b]).await;
    check(C::UserNameContains(text("%")), vec![]).await;
    check(C::ExternalIdEq(text("ext-A@example.com")), vec![a]).await;
    check(C::ExternalIdEq(text("ext-a@example.com")), vec![]).await;
    check(C::EmailEq(text("private.a@example.com")), vec![a]).await;
    check(C::EmailEq(text("b_1@example.com")), vec![b]).await;
    check(C::DisplayNameEq(text("ärzte")), vec![a]).await;
    check(C::Active(true), vec![a]).await;
    check(C::Active(false), vec![b]).await;
    check(C::Created(Order::Before, noon), vec![a]).await;
    check(C::Created(Order::At, noon), vec![b]).await;
    check(C::Modified(Order::After, noon), vec![b]).await;
    check(C::Modified(Order::UpTo, noon), vec![a]).await;
    check(C::Modified(Order::From, noon), vec![b]).await;
    check(C::StatusEq(Status::Pending), vec![a]).await;
    check(C::StatusEq(Status::Removing), vec![b]).await;
    check(C::UserIdEq(UserId::from("user-1")), vec![b]).await;
    check(C::InviteIdEq(InviteId::from("invite-1")), vec![b]).await;
    check(C::And(vec![C::Active(true), C::UserNameEq(text("b_1@example.com"))]), vec![]).await;
    check(C::Or(vec![C::IdEq(a), C::EmailEq(text("b_1@example.com"))]), vec![a, b]).await;
}

/// The database and [`Status::shown`] follow the same rules.
async fn the_status_shown_is_the_one_that_is_found(db: &Database) {
    let store = db.open().await;
    let mut people = Vec::new();
    for (number, recorded) in Status::ALL.into_iter().map(Some).chain([None]).enumerate() {
        for (active, bound) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut person = person(&db.clock, &format!("p{number}.{active}.{bound}@example.com"));
            person.active = active;
            insert(&store, &person).await.unwrap();
            let mapping = recorded.map(|status| Mapping {
                status,
                user_id: (bound && number % 2 == 0).then(|| UserId::from(person.id.to_string().as_str())),
                invite_id: (bound && number % 2 == 1).then(|| InviteId::from(person.id.to_string().as_str())),
                ..Mapping::new(tenant(), person.id)
            });
            if let Some(mapping) = mapping.clone() {
                write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();
            }
            people.push((person.id, Status::shown(active, mapping.as_ref())));
        }
    }
    let mut reader = store.reader().await.unwrap();
    for status in Status::ALL {
        let mut expected: Vec<_> =
            people.iter().filter(|(_, shown)| *shown == status).map(|(id, _)| *id).collect();
        expected.sort_unstable();
        let condition = Condition::StatusEq(status);
        let found = reader.scan_people(&tenant(), &condition, Sequence::default(), None, 100).await.unwrap();
        assert_eq!(found.iter().map(|(person, _)| person.id).collect::<Vec<_>>(), expected, "{status}");
    }
}

/// The place of a person in the order of ids.
fn after(id: Option<&PersonId>) -> Option<Spot> {
    id.map(|id| Spot { key: None, id: id.to_string() })
}

async fn paging_shows_everybody_once(db: &Database) {
    let store = db.open().await;
    let mut ids = Vec::new();
    for number in 0..25 {
        let person = person(&db.clock, &format!("p{number}@example.com"));
        insert(&store, &person).await.unwrap();
        ids.push(person.id);
    }
    ids.sort_unstable();
    let mut reader = store.reader().await.unwrap();
    let (mut paged, mut scanned) = (Vec::new(), Vec::new());
    for offset in [0, 10, 20, 30] {
        let page =
            reader.page_people(&tenant(), &Condition::All, Sequence::default(), offset, 10).await.unwrap();
        paged.extend(page.iter().map(|(person, _)| person.id));
        let next = reader
            .scan_people(&tenant(), &Condition::All, Sequence::default(), after(scanned.last()).as_ref(), 10)
            .await
            .unwrap();
        scanned.extend(next.iter().map(|(person, _)| person.id));
    }
    assert_eq!(paged, ids);
    assert_eq!(scanned, ids);
    assert_eq!(reader.page_people(&tenant(), &Condition::All, Sequence::default(), 0, 0).await.unwrap(), []);
    assert_eq!(
        reader.page_people(&tenant(), &Condition::All, Sequence::default(), -5, -1).await.unwrap(),
        []
    );
}

async fn every_order_is_read_on_from_every_place_in_it(db: &Database) {
    let store = db.open().await;
    let mut people = Vec::new();
    for (number, name) in ["Ärzte", "b", "A", "é", "", "b", "Zoë", "𝕏", "~"].into_iter().enumerate() {
        let mut person = person(&db.clock, &format!("p{number}@example.com"));
        person.user_name = format!("{name}{number}");
        person.external_id = (number % 3 > 0).then(|| ["", "x", "X"][number % 3].to_owned());
        person.attributes.insert("displayName".to_owned(), name.into());
        if number % 4 == 0 {
            person.attributes.remove("displayName");
        }
        insert(&store, &person).await.unwrap();
        people.push(person);
        if number % 2 == 0 {
            db.clock.advance(SignedDuration::from_micros(1));
        }
    }
    let text = |key: Option<String>| key.filter(|key| !key.is_empty()).map(Key::Text);
    let key = |column: Column, person: &Person| match column {
        Column::Id => None,
        Column::Name => text(Some(person.user_name_key())),
        Column::DisplayName => {
            text(person.attributes.get("displayName").map(|name| name.as_str().unwrap().to_lowercase()))
        }
        Column::ExternalId => text(person.external_id.clone()),
        Column::Created => Some(Key::Time(person.created_at)),
        Column::Modified => Some(Key::Time(person.modified_at)),
    };
    let mut reader = store.reader().await.unwrap();
    for column in
        [Column::Id, Column::Name, Column::DisplayName, Column::ExternalId, Column::Created, Column::Modified]
    {
        let spot = |person: &Person| Spot { key: key(column, person), id: person.id.to_string() };
        let mut expected: Vec<_> = people.iter().map(spot).collect();
        expected.sort_by_cached_key(|spot| {
            let comparable = match spot.key.clone() {
                None => (1, String::new(), None),
                Some(Key::Text(text)) => (0, text, None),
                Some(Key::Time(time)) => (0, String::new(), Some(time)),
            };
            (comparable, spot.id.clone())
        });
        for sequence in [Sequence::by(column), Sequence::by(column).reversed()] {
            for place in 0..=expected.len() {
                let (offset, after) = (i64::try_from(place).unwrap(), expected[..place].last());
                let page = reader.page_people(&tenant(), &Condition::All, sequence, offset, 3).await.unwrap();
                let next = reader.scan_people(&tenant(), &Condition::All, sequence, after, 3).await.unwrap();
                let wanted: Vec<_> = expected[place..].iter().take(3).cloned().collect();
                let spots = |rows: &[(Person, Option<Mapping>)]| -> Vec<_> {
                    rows.iter().map(|(person, _)| spot(person)).collect()
                };
                assert_eq!(spots(&page), wanted, "{sequence:?} {place}");
                assert_eq!(spots(&next), wanted, "{sequence:?} {place}");
            }
            expected.reverse();
        }
    }
}

async fn erasing_leaves_no_trace(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let mapping = Mapping::new(tenant(), jane.id);
    write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();
    let id = jane.id;
    write!(store, [], |tx| tx.erase_person(&tenant(), id, 1).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_work(&tenant(), jane.id).await.unwrap(), None);
    let email = Condition::EmailEq("private.jane@example.com".to_owned());
    assert_eq!(reader.count_people(&tenant(), &email).await.unwrap(), 0);
    drop(reader);
    insert(&store, &jane).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    let (_, mapping) = reader.load_person_and_mapping(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(mapping, None);
}

async fn erasing_spares_a_person_who_was_written_since(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    update(&store, &mut jane, Lane::Grant).await.unwrap();
    let id = jane.id;
    let erased = write!(store, [], |tx| tx.erase_person(&tenant(), id, 1).await);
    assert!(matches!(erased, Err(StoreError::Stale)));
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_person(&tenant(), id).await.unwrap(), Some(jane));
}

async fn tenants_do_not_see_each_other(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let mapping = Mapping { user_id: Some(UserId::from("user-1")), ..Mapping::new(tenant(), jane.id) };
    write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();

    let foreign = other_tenant();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_person(&foreign, jane.id).await.unwrap(), None);
    assert_eq!(reader.load_work(&foreign, jane.id).await.unwrap(), None);
    assert_eq!(
        reader.find_people(&foreign, "jane@example.com", Some("ext-jane@example.com")).await.unwrap(),
        []
    );
    assert_eq!(reader.find_people_by_address(&foreign, "jane@example.com").await.unwrap(), []);
    for condition in [
        Condition::All,
        Condition::IdEq(jane.id),
        Condition::EmailEq("jane@example.com".to_owned()),
        Condition::UserIdEq(UserId::from("user-1")),
    ] {
        assert_eq!(reader.count_people(&foreign, &condition).await.unwrap(), 0, "{condition:?}");
    }
    assert_eq!(reader.due_people(&foreign, db.clock.now(), 10).await.unwrap(), []);
    assert_eq!(reader.next_due_at(&foreign).await.unwrap(), None);
    assert_eq!(reader.list_mappings(&foreign, &MappingFilter::default(), None, 10).await.unwrap(), []);
    assert_eq!(
        reader.bound_to_other(&foreign, &UserId::from("user-1"), PersonId::new(&db.clock)).await.unwrap(),
        None
    );
    drop(reader);
    let mut stolen = jane.clone();
    stolen.tenant = foreign.clone();
    assert!(matches!(update(&store, &mut stolen, Lane::Grant).await, Err(StoreError::Stale)));
    let erased = write!(store, [jane], |tx| tx.erase_person(&other_tenant(), jane.id, 1).await);
    assert!(matches!(erased, Err(StoreError::Stale)));
}
