//! What the store promises, on both databases.

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{Store, StoreError};
use serde_json::json;

/// Runs each of these on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            use crate::harness::database::Database;
            $(#[tokio::test]
            async fn $test() {
                super::$test(&Database::sqlite()).await;
            })*
        }

        mod postgres {
            use crate::harness::database::Database;
            $(#[tokio::test]
            async fn $test() {
                if let Some(database) = Database::postgres().await {
                    super::$test(&database).await;
                }
            })*
        }
    };
}

/// Runs a write with copies of the variables in brackets.
macro_rules! write {
    ($store:expr, [$($captured:ident),*], |$tx:ident| $work:expr) => {{
        $(let $captured = $captured.clone();)*
        $store.write::<_, StoreError>(move |$tx| {
            $(let $captured = $captured.clone();)*
            Box::pin(async move { $work })
        }).await
    }};
}

mod agenda;
mod budgets;
mod chain;
mod credentials;
mod durability;
mod events;
mod grants;
mod groups;
mod guards;
mod mappings;
mod mirror;
mod operations;
mod people;
mod tenants;
mod trail;

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn other_tenant() -> TenantId {
    "other".parse().unwrap()
}

/// An active person whose `userName` is an address.
fn person(clock: &Clock, user_name: &str) -> Person {
    let now = clock.now();
    let attributes = json!({
        "userName": user_name,
        "active": true,
        "displayName": format!("The {user_name}"),
        "emails": [
            { "value": user_name, "type": "work", "primary": true },
            { "value": format!("Private.{user_name}"), "type": "home" },
        ],
    });
    Person {
        tenant: tenant(),
        id: PersonId::new(clock),
        user_name: user_name.to_owned(),
        external_id: Some(format!("ext-{user_name}")),
        address: Some(Address::parse(user_name).unwrap()),
        active: true,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: attributes.as_object().unwrap().clone(),
    }
}

async fn insert(store: &Store, person: &Person) -> Result<(), StoreError> {
    write!(store, [person], |tx| tx.insert_person(&person, Lane::Invite).await)
}

/// Writes the next version of a person.
async fn update(store: &Store, person: &mut Person, lane: Lane) -> Result<(), StoreError> {
    person.version += 1;
    write!(store, [person], |tx| tx.update_person(&person, person.version - 1, lane).await)
}

/// Makes a person a tombstone.
async fn delete(store: &Store, clock: &Clock, person: &mut Person) {
    person.active = false;
    person.deleted_at = Some(clock.now());
    person.attributes.clear();
    update(store, person, Lane::Revoke).await.unwrap();
}
