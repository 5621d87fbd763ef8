//! Tenants that are set up in the database.

use openai_scim_bridge::model::audit::{Actor, AuditEntry};
use openai_scim_bridge::model::tenant::TenantRecord;
use openai_scim_bridge::store::StoreError;
use serde_json::Value;
use sqlx::Row as _;

use super::{insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    a_tenant_is_kept_and_changed
    a_change_of_what_somebody_else_changed_is_refused
    a_removed_tenant_leaves_nothing_but_its_audit_trail
}

fn record(db: &Database) -> TenantRecord {
    TenantRecord {
        tenant: other_tenant(),
        settings: "profile = 'okta'".to_owned(),
        admin_key: Some(vec![1, 2, 3]),
        disabled_at: None,
        created_at: db.clock.now(),
        revision: 7,
    }
}

async fn a_tenant_is_kept_and_changed(db: &Database) {
    let store = db.open().await;
    let mut record = record(db);
    write!(store, [record], |tx| tx.insert_tenant(&record).await).unwrap();
    let again = write!(store, [record], |tx| tx.insert_tenant(&record).await);
    assert!(matches!(again, Err(StoreError::Taken)), "{again:?}");
    assert_eq!(store.reader().await.unwrap().list_tenants().await.unwrap(), std::slice::from_ref(&record));

    record.admin_key = None;
    record.disabled_at = Some(db.clock.now());
    write!(store, [record], |tx| tx.update_tenant(&record).await).unwrap();
    record.revision = 8;
    let loaded = store.reader().await.unwrap().load_tenant(&other_tenant()).await.unwrap();
    assert_eq!(loaded, Some(record));
    assert_eq!(store.reader().await.unwrap().load_tenant(&tenant()).await.unwrap(), None);
}

async fn a_change_of_what_somebody_else_changed_is_refused(db: &Database) {
    let store = db.open().await;
    let record = record(db);
    write!(store, [record], |tx| tx.insert_tenant(&record).await).unwrap();
    write!(store, [record], |tx| tx.update_tenant(&record).await).unwrap();
    let late = write!(store, [record], |tx| tx.update_tenant(&record).await);
    assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
}

async fn a_removed_tenant_leaves_nothing_but_its_audit_trail(db: &Database) {
    let store = db.open().await;
    let record = record(db);
    let mut theirs = person(&db.clock, "jane@x.example");
    let ours = theirs.clone();
    theirs.tenant = other_tenant();
    insert(&store, &ours).await.unwrap();
    insert(&store, &theirs).await.unwrap();
    let entry = AuditEntry {
        tenant: other_tenant(),
        at: db.clock.now(),
        actor: Actor::CommandLine,
        request: None,
        person: None,
        event: "tenant.add".to_owned(),
        detail: Value::Null,
    };
    write!(store, [record, entry], |tx| {
        tx.insert_tenant(&record).await?;
        tx.append_audit(&entry).await
    })
    .unwrap();
    let gone = other_tenant();
    write!(store, [gone], |tx| tx.delete_tenant(&gone).await).unwrap();

    let mut reader = store.reader().await.unwrap();
    assert!(reader.load_person(&other_tenant(), theirs.id).await.unwrap().is_none());
    assert!(reader.load_person(&tenant(), ours.id).await.unwrap().is_some(), "the others keep theirs");
    let mut connection = db.connect().await;
    let kept = sqlx::query("SELECT COUNT(*) FROM audit WHERE tenant = 'other'");
    assert_eq!(kept.fetch_one(&mut connection).await.unwrap().get::<i64, _>(0), 1);
}

#[tokio::test]
async fn every_table_with_rows_of_tenants_is_cleared() {
    let database = Database::sqlite();
    database.open().await.close().await;
    let tables = sqlx::query(
        "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND c.name = 'tenant' AND m.name NOT IN ('audit', 'audit_heads')",
    );
    let tables = tables.fetch_all(&mut database.connect().await).await.unwrap();
    assert!(tables.len() > 10);
    let source = include_str!("../../../src/store/tenants.rs");
    for table in tables {
        let clearance = format!("DELETE FROM {} WHERE tenant = $1", table.get::<String, _>(0));
        assert!(source.contains(&clearance), "add to CLEARANCE in src/store/tenants.rs: {clearance}");
    }
}
