//! The audit trail and the tokens.

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;
use openai_scim_bridge::ids::{PersonId, RequestId, TenantId};
use openai_scim_bridge::model::audit::{Actor, AuditEntry};
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::model::token::TokenRecord;
use openai_scim_bridge::store::StoreError;
use serde_json::json;

use super::{other_tenant, tenant};
use crate::harness::database::Database;

on_both! {
    the_trail_reads_back_in_order
    the_trail_of_each_tenant_has_no_gaps
    a_token_lives_until_it_is_revoked
    the_use_of_a_token_is_noted_to_the_minute
}

fn entry(db: &Database, tenant: TenantId, event: &str) -> AuditEntry {
    AuditEntry {
        tenant,
        at: db.clock.now(),
        actor: Actor::Token("abc:def".to_owned()),
        request: Some(RequestId::new(&db.clock)),
        person: Some(PersonId::new(&db.clock)),
        event: event.to_owned(),
        detail: json!({ "attributes": ["active"] }),
    }
}

async fn the_trail_reads_back_in_order(db: &Database) {
    let store = db.open().await;
    let first = entry(db, tenant(), "user.create");
    let second =
        AuditEntry { actor: Actor::Engine, request: None, person: None, ..entry(db, tenant(), "sweep.end") };
    let third = AuditEntry { actor: Actor::CommandLine, ..entry(db, tenant(), "mapping.import") };
    let entries = vec![first, second, third];
    write!(store, [entries], |tx| {
        for entry in &entries {
            tx.append_audit(entry).await?;
        }
        Ok(())
    })
    .unwrap();
    let mut reader = store.reader().await.unwrap();
    let links = reader.list_links(&tenant(), None, 0, 10).await.unwrap();
    assert_eq!(links.len(), entries.len());
    for ((link, entry), seq) in links.iter().zip(&entries).zip(1..) {
        assert_eq!(
            (link.seq, link.at, &link.actor),
            (seq, entry.at.as_microsecond(), &entry.actor.as_text())
        );
        assert_eq!(link.request, entry.request.map(|request| request.to_string()));
        assert_eq!(link.person, entry.person.map(|person| person.to_string()));
        assert_eq!((&link.event, &link.detail), (&entry.event, &entry.detail.to_string()));
    }
    assert_eq!(reader.list_links(&tenant(), None, 1, 1).await.unwrap(), links[1..2]);
    assert_eq!(reader.list_links(&tenant(), entries[2].person, 0, 10).await.unwrap(), links[2..]);
    assert_eq!(reader.list_links(&other_tenant(), None, 0, 10).await.unwrap(), []);
}

async fn the_trail_of_each_tenant_has_no_gaps(db: &Database) {
    let store = Arc::new(db.open().await);
    let writes = (0..64).map(|number| {
        let tenant = if number % 2 == 0 { tenant() } else { other_tenant() };
        let entry = entry(db, tenant, "user.create");
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            write!(store, [entry], |tx| {
                tx.append_audit(&entry).await?;
                if number % 8 == 7 { Err(StoreError::Stale) } else { Ok(()) }
            })
        })
    });
    let results = join_all(writes).await;
    assert_eq!(results.into_iter().filter(|result| matches!(result, Ok(Ok(())))).count(), 56);
    let mut reader = store.reader().await.unwrap();
    for (tenant, count) in [(tenant(), 32), (other_tenant(), 24)] {
        let links = reader.list_links(&tenant, None, 0, 100).await.unwrap();
        let numbers: Vec<_> = links.iter().map(|link| link.seq).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    }
}

fn token(db: &Database, id: &str) -> TokenRecord {
    TokenRecord {
        tenant: tenant(),
        id: id.to_owned(),
        label: "Okta".to_owned(),
        scopes: Scopes::provisioning(),
        replaces: None,
        secret_hash: db.clock.random_bytes(),
        created_at: db.clock.now(),
        expires_at: Some(db.clock.now() + SignedDuration::from_hours(1)),
        revoked_at: None,
        last_used_at: None,
    }
}

async fn a_token_lives_until_it_is_revoked(db: &Database) {
    let store = db.open().await;
    let first = token(db, "b");
    db.clock.advance(SignedDuration::from_secs(1));
    let second = TokenRecord { expires_at: None, ..token(db, "a") };
    for token in [&first, &second] {
        write!(store, [token], |tx| tx.insert_token(&token).await).unwrap();
    }
    let again = write!(store, [first], |tx| tx.insert_token(&first).await);
    assert!(matches!(again, Err(StoreError::Taken)));

    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_token("b").await.unwrap(), Some(first.clone()));
    assert_eq!(reader.load_token("c").await.unwrap(), None);
    assert_eq!(reader.list_tokens(&tenant()).await.unwrap(), [first, second]);
    assert_eq!(reader.list_tokens(&other_tenant()).await.unwrap(), []);
    drop(reader);

    let at = db.clock.now();
    let revoke = async |tenant: TenantId| {
        write!(store, [tenant], |tx| tx.revoke_token(&tenant, "b", at).await).unwrap()
    };
    assert!(!revoke(other_tenant()).await);
    assert!(revoke(tenant()).await);
    assert!(!revoke(tenant()).await);
    let stored = store.reader().await.unwrap().load_token("b").await.unwrap().unwrap();
    assert_eq!(stored.revoked_at, Some(at));
}

async fn the_use_of_a_token_is_noted_to_the_minute(db: &Database) {
    let store = db.open().await;
    let token = token(db, "a");
    write!(store, [token], |tx| tx.insert_token(&token).await).unwrap();
    let minute = db.clock.now();
    for (seconds, expected) in [(5, minute), (59, minute), (61, minute + SignedDuration::from_mins(1))] {
        let at = minute + SignedDuration::from_secs(seconds);
        write!(store, [], |tx| tx.touch_token("a", at).await).unwrap();
        let stored = store.reader().await.unwrap().load_token("a").await.unwrap().unwrap();
        assert_eq!(stored.last_used_at, Some(expected));
    }
}
