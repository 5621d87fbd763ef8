//! What the store promises, on both databases.

use crate::harness::database::Database;

/// Runs each of these on SQLite and on PostgreSQL.
macro_rules! contract {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Database::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                if let Some(database) = super::Database::postgres().await {
                    super::$test(&database).await;
                }
            })*
        }
    };
}

contract! {
    smoke
}

use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::*;

async fn smoke(db: &Database) {
    let store = db.open().await;
    let tenant = TenantId::default_tenant();
    let now = db.clock.now();
    let p = Person {
        tenant: tenant.clone(),
        id: PersonId::new(&db.clock),
        user_name: "A@x.com".into(),
        external_id: None,
        address: Some(Address::parse("A@x.com").unwrap()),
        active: true,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: Default::default(),
    };
    let q = p.clone();
    store
        .write::<_, StoreError>(move |tx| {
            let q = q.clone();
            Box::pin(async move { tx.insert_person(&q, Lane::Invite).await })
        })
        .await
        .unwrap();
    let mut r = store.reader().await.unwrap();
    assert_eq!(r.load_person(&tenant, p.id).await.unwrap(), Some(p.clone()));
    assert_eq!(r.page_people(&tenant, &Condition::All, 0, 10).await.unwrap().len(), 1);
    assert_eq!(r.count_people(&tenant, &Condition::EmailEq("a@x.com".into())).await.unwrap(), 1);
    assert_eq!(r.due_people(&tenant, now, 10).await.unwrap(), vec![p.id]);
    assert_eq!(r.next_due_at(&tenant).await.unwrap(), Some(now));
    assert_eq!(r.lane_depths(&tenant, now).await.unwrap().len(), 1);
    r.load_work(&tenant, p.id).await.unwrap().unwrap();
    r.count_by_status(&tenant).await.unwrap();
    store.health().await.unwrap();
}
