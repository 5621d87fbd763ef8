//! The mapping table, its filters, and its way out and in.

use jiff::SignedDuration;
use openai_scim_bridge::ids::{PersonId, ProjectId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::grant::{Assignment, OrgRole, ProjectGrant, ProjectRole};
use openai_scim_bridge::model::mapping::{Mapping, Origin, Status};
use openai_scim_bridge::model::upkeep::Upkeep;
use openai_scim_bridge::store::{
    ImportError, Imported, MappingFilter, MappingRecord, MappingRow, Store, StoreError,
};

use super::{delete, insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    a_row_reads_back_as_written
    one_invite_and_one_member_stand_for_one_person
    every_filter_finds_its_rows
    people_are_counted_by_status
    what_was_exported_imports_into_an_empty_directory_without_loss
    what_was_exported_before_assignments_were_kept_imports
    an_import_makes_nobody_due
    an_import_updates_whom_it_knows_and_leaves_their_wishes
    an_import_of_what_is_there_changes_nothing
    an_import_steals_nothing
}

/// A mapping with something in every field.
fn full_mapping(db: &Database, person: PersonId) -> Mapping {
    Mapping {
        tenant: tenant(),
        person,
        address: Some(Address::parse("Old.Jane@Example.com").unwrap()),
        origin: Origin::Linked,
        invite_id: Some("invite-1".into()),
        invite_expires_at: Some(db.clock.now() + SignedDuration::from_micros(1)),
        user_id: Some("user-1".into()),
        former_user_id: Some("user-0".into()),
        status: Status::Held,
        status_reason: Some("\"quoted\", with, commas\nand lines".to_owned()),
        effective_role: Some(OrgRole::Owner),
        effective_projects: vec![ProjectGrant { id: ProjectId::from("proj_a"), role: ProjectRole::Owner }],
        effective_assignments: vec![
            Assignment::Group { group: "group_a".into() },
            Assignment::ProjectRole { project: "proj_a".into(), role: "role_a".into() },
        ],
        last_synced_at: Some(db.clock.now()),
        upkeep: Upkeep::default(),
    }
}

async fn save(store: &Store, mapping: &Mapping) -> Result<(), StoreError> {
    write!(store, [mapping], |tx| tx.save_mapping(&mapping).await)
}

async fn list(store: &Store, filter: MappingFilter) -> Vec<MappingRow> {
    store.reader().await.unwrap().list_mappings(&tenant(), &filter, None, 100).await.unwrap()
}

async fn export(store: &Store, tenant: &openai_scim_bridge::ids::TenantId) -> Vec<MappingRecord> {
    let mut reader = store.reader().await.unwrap();
    let rows = reader.list_mappings(tenant, &MappingFilter::default(), None, 100).await.unwrap();
    rows.iter().map(MappingRecord::from).collect()
}

async fn import(store: &Store, record: &MappingRecord, other: bool) -> Result<Imported, ImportError> {
    let tenant = if other { other_tenant() } else { tenant() };
    let record = record.clone();
    store
        .write(move |tx| {
            let (tenant, record) = (tenant.clone(), record.clone());
            Box::pin(async move { tx.import_mapping(&tenant, &record).await })
        })
        .await
}

async fn a_row_reads_back_as_written(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let rows = list(&store, MappingFilter::default()).await;
    assert_eq!(rows, [MappingRow { person: jane.clone(), mapping: Mapping::new(tenant(), jane.id) }]);
    for mapping in [full_mapping(db, jane.id), Mapping::new(tenant(), jane.id)] {
        save(&store, &mapping).await.unwrap();
        let mut reader = store.reader().await.unwrap();
        let loaded = reader.load_person_and_mapping(&tenant(), jane.id).await.unwrap();
        assert_eq!(loaded, Some((jane.clone(), Some(mapping))));
    }
}

async fn one_invite_and_one_member_stand_for_one_person(db: &Database) {
    let store = db.open().await;
    let (jane, joe) = (person(&db.clock, "jane@example.com"), person(&db.clock, "joe@example.com"));
    insert(&store, &jane).await.unwrap();
    insert(&store, &joe).await.unwrap();
    save(&store, &full_mapping(db, jane.id)).await.unwrap();
    let blank = Mapping::new(tenant(), joe.id);
    let stolen_member = Mapping { user_id: Some("user-1".into()), ..blank.clone() };
    assert!(matches!(save(&store, &stolen_member).await, Err(StoreError::Taken)));
    let stolen_invite = Mapping { invite_id: Some("invite-1".into()), ..blank };
    assert!(matches!(save(&store, &stolen_invite).await, Err(StoreError::Taken)));
    let mut reader = store.reader().await.unwrap();
    let (member, invite) = ("user-1".into(), "invite-1".into());
    assert_eq!(reader.bound_to_other(&tenant(), &member, joe.id).await.unwrap(), Some(jane.id));
    assert_eq!(reader.bound_to_other(&tenant(), &member, jane.id).await.unwrap(), None);
    assert_eq!(reader.invite_bound_to_other(&tenant(), &invite, joe.id).await.unwrap(), Some(jane.id));
    assert_eq!(reader.invite_bound_to_other(&tenant(), &invite, jane.id).await.unwrap(), None);
}

async fn every_filter_finds_its_rows(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    let joe = person(&db.clock, "joe@example.com");
    insert(&store, &jane).await.unwrap();
    insert(&store, &joe).await.unwrap();
    save(&store, &full_mapping(db, jane.id)).await.unwrap();
    delete(&store, &db.clock, &mut jane).await;

    let check = async |filter: MappingFilter, expected: &[PersonId]| {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let found: Vec<_> = list(&store, filter.clone()).await.iter().map(|row| row.person.id).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let none = MappingFilter::default;
    let text = |text: &str| Some(text.to_owned());
    check(none(), &[jane.id, joe.id]).await;
    check(MappingFilter { scim_id: Some(joe.id), ..none() }, &[joe.id]).await;
    check(MappingFilter { external_id: text("ext-joe@example.com"), ..none() }, &[joe.id]).await;
    check(MappingFilter { user_name: text("JANE@example.com"), ..none() }, &[jane.id]).await;
    check(MappingFilter { email: text("JANE@example.com"), ..none() }, &[jane.id]).await;
    check(MappingFilter { email: text("old.jane@example.com"), ..none() }, &[jane.id]).await;
    check(MappingFilter { invite_id: Some("invite-1".into()), ..none() }, &[jane.id]).await;
    check(MappingFilter { user_id: Some("user-1".into()), ..none() }, &[jane.id]).await;
    check(MappingFilter { user_id: Some("user-0".into()), ..none() }, &[jane.id]).await;
    check(MappingFilter { status: Some(Status::Held), ..none() }, &[jane.id]).await;
    check(MappingFilter { status: Some(Status::Pending), ..none() }, &[joe.id]).await;
    check(MappingFilter { scim_id: Some(joe.id), user_id: Some("user-1".into()), ..none() }, &[]).await;

    let mut reader = store.reader().await.unwrap();
    let first = reader.list_mappings(&tenant(), &none(), None, 1).await.unwrap();
    let second = reader.list_mappings(&tenant(), &none(), Some(first[0].person.id), 1).await.unwrap();
    assert!(first[0].person.id < second[0].person.id);
}

async fn people_are_counted_by_status(db: &Database) {
    let store = db.open().await;
    for (number, status) in [Status::Member, Status::Invited, Status::Member].into_iter().enumerate() {
        let person = person(&db.clock, &format!("p{number}@example.com"));
        insert(&store, &person).await.unwrap();
        save(&store, &Mapping { status, ..Mapping::new(tenant(), person.id) }).await.unwrap();
    }
    insert(&store, &person(&db.clock, "new@example.com")).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    let counts = reader.count_by_status(&tenant()).await.unwrap();
    assert_eq!(counts, [(Status::Pending, 1), (Status::Invited, 1), (Status::Member, 2)]);
    assert_eq!(reader.count_invited(&tenant()).await.unwrap(), 1);
}

/// A person of every kind: bound, new, with empty texts, deleted.
async fn fill(db: &Database, store: &Store) {
    let jane = person(&db.clock, "Jane@Example.com");
    insert(store, &jane).await.unwrap();
    save(store, &full_mapping(db, jane.id)).await.unwrap();
    let mut bare = person(&db.clock, "bare@example.com");
    bare.external_id = None;
    bare.address = None;
    insert(store, &bare).await.unwrap();
    let mut empty = person(&db.clock, "empty@example.com");
    empty.external_id = Some(String::new());
    empty.user_name = String::from("\"empty\"");
    insert(store, &empty).await.unwrap();
    save(store, &Mapping { status_reason: Some(String::new()), ..Mapping::new(tenant(), empty.id) })
        .await
        .unwrap();
    let mut gone = person(&db.clock, "gone@example.com");
    insert(store, &gone).await.unwrap();
    db.clock.advance(SignedDuration::from_micros(1));
    delete(store, &db.clock, &mut gone).await;
}

async fn what_was_exported_imports_into_an_empty_directory_without_loss(db: &Database) {
    let store = db.open().await;
    fill(db, &store).await;
    let records = export(&store, &tenant()).await;
    let lines: Vec<_> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    let table: Vec<_> = records.iter().map(|record| record.to_fields().unwrap()).collect();

    for (line, fields) in lines.iter().zip(&table) {
        let from_line: MappingRecord = serde_json::from_str(line).unwrap();
        let fields = fields.iter().map(String::as_str);
        let from_table = MappingRecord::from_fields(&MappingRecord::COLUMNS, fields).unwrap();
        assert_eq!(from_line, from_table);
        assert_eq!(import(&store, &from_table, true).await.unwrap(), Imported::Added);
    }
    let again = export(&store, &other_tenant()).await;
    assert_eq!(again, records);
    let lines_again: Vec<_> = again.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    assert_eq!(lines_again, lines);
    let jane =
        store.reader().await.unwrap().find_people(&other_tenant(), "jane@example.com", None).await.unwrap();
    assert_eq!(jane[0].attributes["userName"], "Jane@Example.com");
    assert_eq!(jane[0].attributes["emails"][0]["value"], "Jane@Example.com");
}

async fn an_import_makes_nobody_due(db: &Database) {
    let store = db.open().await;
    fill(db, &store).await;
    for record in export(&store, &tenant()).await {
        import(&store, &record, true).await.unwrap();
    }
    assert_eq!(store.reader().await.unwrap().next_due_at(&other_tenant()).await.unwrap(), None);
}

async fn an_import_updates_whom_it_knows_and_leaves_their_wishes(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let mapping = full_mapping(db, jane.id);
    let mut stranger = jane.clone();
    stranger.user_name = String::from("somebody else");
    stranger.active = false;
    let record = MappingRecord::from(&MappingRow { person: stranger, mapping: mapping.clone() });
    assert_eq!(import(&store, &record, false).await.unwrap(), Imported::Updated);
    let mut reader = store.reader().await.unwrap();
    let loaded = reader.load_person_and_mapping(&tenant(), jane.id).await.unwrap();
    assert_eq!(loaded, Some((jane, Some(mapping))));
}

async fn an_import_of_what_is_there_changes_nothing(db: &Database) {
    let store = db.open().await;
    fill(db, &store).await;
    for record in export(&store, &tenant()).await {
        assert_eq!(import(&store, &record, false).await.unwrap(), Imported::Unchanged);
    }
}

async fn an_import_steals_nothing(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    save(&store, &full_mapping(db, jane.id)).await.unwrap();
    let before = export(&store, &tenant()).await;

    let newcomer = person(&db.clock, "new@example.com");
    let blank = Mapping::new(tenant(), newcomer.id);
    let with = |mapping: Mapping| MappingRecord::from(&MappingRow { person: newcomer.clone(), mapping });
    let mut namesake = with(blank.clone());
    namesake.user_name = String::from("JANE@example.com");
    let mut nonsense = with(blank.clone());
    nonsense.bound_email = Some("a@b.co, c@d.co".to_owned());
    for (record, word) in [
        (with(Mapping { user_id: Some("user-1".into()), ..blank.clone() }), "user-1"),
        (with(Mapping { invite_id: Some("invite-1".into()), ..blank.clone() }), "invite-1"),
        (namesake, "userName"),
        (nonsense, "bound_email"),
    ] {
        match import(&store, &record, false).await {
            Err(ImportError::Refused(message)) => {
                assert!(message.contains(word) && message.contains(&newcomer.id.to_string()), "{message}");
            }
            other => panic!("{word}: {other:?}"),
        }
    }
    assert_eq!(export(&store, &tenant()).await, before);
}

async fn what_was_exported_before_assignments_were_kept_imports(db: &Database) {
    let store = db.open().await;
    fill(db, &store).await;
    for record in export(&store, &tenant()).await {
        let mut line = serde_json::to_value(&record).unwrap();
        line.as_object_mut().unwrap().remove("effective_assignments").unwrap();
        let from_line: MappingRecord = serde_json::from_value(line).unwrap();
        let mut table: Vec<_> = MappingRecord::COLUMNS.into_iter().zip(record.to_fields().unwrap()).collect();
        table.retain(|(column, _)| *column != "effective_assignments");
        let (columns, fields): (Vec<_>, Vec<_>) = table.into_iter().unzip();
        let from_table = MappingRecord::from_fields(&columns, fields.iter().map(String::as_str)).unwrap();
        assert_eq!(from_line, MappingRecord { effective_assignments: Vec::new(), ..record });
        assert_eq!(from_table, from_line);
        assert_eq!(import(&store, &from_table, true).await.unwrap(), Imported::Added);
    }
}

#[test]
fn a_table_of_other_columns_is_refused() {
    let mut columns = MappingRecord::COLUMNS;
    columns[3] = "activ";
    let error = MappingRecord::from_fields(&columns, [""; 20]).unwrap_err().to_string();
    assert!(error.contains("scim_id") && error.contains("activ,"), "{error}");
    for columns in [&MappingRecord::COLUMNS[1..], &[&MappingRecord::COLUMNS[..], &["active"]].concat()] {
        assert!(MappingRecord::from_fields(columns, [""; 22]).is_err(), "{columns:?}");
    }
}
