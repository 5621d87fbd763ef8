//! The chain of the audit trail: every way of tampering that it promises to show, it shows.

use std::sync::Arc;

use futures_util::future::join_all;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::audit::{Actor, AuditEntry};
use openai_scim_bridge::store::{Break, ChainHead, Store, StoreError, Verdict};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{other_tenant, tenant};
use crate::harness::database::Database;

on_both! {
    writers_at_once_and_several_processes_make_one_chain
    what_is_rolled_back_is_no_link
    a_changed_entry_is_named
    an_entry_taken_out_is_named
    an_entry_put_in_behind_the_head_is_named
    an_end_cut_off_is_named_because_the_head_is_kept_apart
    an_end_cut_off_with_its_head_shows_only_against_a_head_kept_elsewhere
    a_chain_made_anew_shows_only_against_a_head_kept_elsewhere
    a_broken_trail_keeps_nobody_from_writing_and_stays_broken
    a_trail_of_before_is_chained_once
}

fn entry(db: &Database, tenant: TenantId, number: usize) -> AuditEntry {
    AuditEntry {
        tenant,
        at: db.clock.now(),
        actor: Actor::Engine,
        request: None,
        person: None,
        event: "operation".to_owned(),
        detail: json!({ "number": number, "outcome": "don\u{e9}\n" }),
    }
}

async fn append(db: &Database, store: &Store, count: usize) {
    for number in 0..count {
        let entry = entry(db, tenant(), number);
        write!(store, [entry], |tx| tx.append_audit(&entry).await).unwrap();
    }
}

async fn verdict(store: &Store, known: Option<&ChainHead>) -> Verdict {
    store.reader().await.unwrap().verify_trail(&tenant(), known).await.unwrap()
}

#[track_caller]
fn head(verdict: Verdict) -> ChainHead {
    match verdict {
        Verdict::Sound(head) => head,
        Verdict::Broken(at) => panic!("{at:?}"),
    }
}

#[track_caller]
fn broken(verdict: &Verdict, seq: i64, what: &str) {
    let Verdict::Broken(Break { seq: found, what: said }) = verdict else { panic!("{verdict:?}") };
    assert_eq!(*found, seq, "{verdict:?}");
    assert!(said.contains(what), "{verdict:?}");
}

/// Does something to the database past the program.
async fn tamper(db: &Database, script: &str) {
    let mut connection = db.connect().await;
    connection.execute(AssertSqlSafe(script.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

async fn writers_at_once_and_several_processes_make_one_chain(db: &Database) {
    let first = db.open().await;
    // As a command at the terminal, or another replica, has it.
    let second = Store::open_beside(&db.url, db.clock.clone()).await.unwrap();
    let stores = Arc::new([first.clone(), second]);
    let writes = (0..96).map(|number| {
        let tenant = if number % 3 == 0 { other_tenant() } else { tenant() };
        let entries = [entry(db, tenant, number), entry(db, self::tenant(), number)];
        let stores = Arc::clone(&stores);
        tokio::spawn(async move {
            write!(stores[number % 2], [entries], |tx| {
                for entry in &entries {
                    tx.append_audit(entry).await?;
                }
                Ok(())
            })
        })
    });
    for result in join_all(writes).await {
        result.unwrap().unwrap();
    }
    assert_eq!(head(verdict(&first, None).await).seq, 96 + 64);
    let mut reader = first.reader().await.unwrap();
    assert_eq!(head(reader.verify_trail(&other_tenant(), None).await.unwrap()).seq, 32);
    assert_eq!(reader.trail_tenants().await.unwrap(), [tenant(), other_tenant()]);
    // An export can be followed without the database.
    let links = reader.list_links(&tenant(), None, 0, 1_000).await.unwrap();
    for pair in links.windows(2) {
        assert_eq!(pair[1].previous, pair[0].hash);
        let hash = pair[1].hash_after(pair[0].hash.as_deref().unwrap(), &tenant());
        assert_eq!(pair[1].hash, Some(hash));
    }
}

async fn what_is_rolled_back_is_no_link(db: &Database) {
    let store = db.open().await;
    append(db, &store, 1).await;
    let refused = entry(db, tenant(), 1);
    let result = write!(store, [refused], |tx| {
        tx.append_audit(&refused).await?;
        Err::<(), _>(StoreError::Taken)
    });
    assert!(matches!(result, Err(StoreError::Taken)));
    append(db, &store, 1).await;
    assert_eq!(head(verdict(&store, None).await).seq, 2);
}

async fn a_changed_entry_is_named(db: &Database) {
    let store = db.open().await;
    append(db, &store, 5).await;
    for (change, back) in [
        ("detail = '{}'", "detail = '{\"number\":2,\"outcome\":\"doné\\n\"}'"),
        ("at = at + 1", "at = at - 1"),
        ("actor = 'nonsense'", "actor = 'engine'"),
        ("person = ''", "person = NULL"),
        ("request = ''", "request = NULL"),
        ("event = 'user.create'", "event = 'operation'"),
        ("hash = NULL", ""),
    ] {
        tamper(db, &format!("UPDATE audit SET {change} WHERE seq = 3")).await;
        broken(&verdict(&store, None).await, 3, "not as it was written");
        if !back.is_empty() {
            tamper(db, &format!("UPDATE audit SET {back} WHERE seq = 3")).await;
            head(verdict(&store, None).await);
        }
    }
}

async fn an_entry_taken_out_is_named(db: &Database) {
    let store = db.open().await;
    append(db, &store, 5).await;
    tamper(db, "DELETE FROM audit WHERE seq = 2").await;
    broken(&verdict(&store, None).await, 2, "missing");
    // Closing the gap does not help.
    tamper(db, "UPDATE audit SET seq = 2 WHERE seq = 3").await;
    broken(&verdict(&store, None).await, 2, "not as it was written");
}

async fn an_entry_put_in_behind_the_head_is_named(db: &Database) {
    let store = db.open().await;
    append(db, &store, 2).await;
    tamper(
        db,
        "INSERT INTO audit (tenant, seq, at, actor, event, detail, hash)
         SELECT tenant, 3, at, actor, event, detail, hash FROM audit WHERE seq = 2",
    )
    .await;
    broken(&verdict(&store, None).await, 3, "put in");
}

async fn an_end_cut_off_is_named_because_the_head_is_kept_apart(db: &Database) {
    let store = db.open().await;
    append(db, &store, 5).await;
    tamper(db, "DELETE FROM audit WHERE seq > 3").await;
    broken(&verdict(&store, None).await, 4, "cut off");
    tamper(db, "DELETE FROM audit").await;
    broken(&verdict(&store, None).await, 1, "cut off");
}

async fn an_end_cut_off_with_its_head_shows_only_against_a_head_kept_elsewhere(db: &Database) {
    let store = db.open().await;
    append(db, &store, 3).await;
    let early = head(verdict(&store, None).await);
    append(db, &store, 2).await;
    let late = head(verdict(&store, Some(&early)).await);
    tamper(
        db,
        "DELETE FROM audit WHERE seq > 3;
         UPDATE audit_heads SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
    )
    .await;
    assert_eq!(head(verdict(&store, None).await), early);
    assert_eq!(head(verdict(&store, Some(&early)).await), early);
    broken(&verdict(&store, Some(&late)).await, 4, "given head");
}

async fn a_chain_made_anew_shows_only_against_a_head_kept_elsewhere(db: &Database) {
    let store = db.open().await;
    append(db, &store, 3).await;
    let known = head(verdict(&store, None).await);
    store.close().await;
    drop(store);
    tamper(db, "UPDATE audit SET event = 'nothing' WHERE seq = 2; UPDATE audit_heads SET seq = 0, hash = ''")
        .await;
    let store = db.open().await;
    head(verdict(&store, None).await);
    broken(&verdict(&store, Some(&known)).await, 3, "given head");
}

async fn a_broken_trail_keeps_nobody_from_writing_and_stays_broken(db: &Database) {
    let store = db.open().await;
    append(db, &store, 3).await;
    tamper(db, "DELETE FROM audit WHERE seq = 3").await;
    append(db, &store, 2).await;
    broken(&verdict(&store, None).await, 3, "missing");
    store.close().await;
    drop(store);
    let store = db.open().await;
    append(db, &store, 1).await;
    broken(&verdict(&store, None).await, 3, "missing");

    tamper(db, "UPDATE audit SET seq = 17 WHERE seq = 6").await;
    append(db, &store, 1).await;
    assert_eq!(store.reader().await.unwrap().chain_head(&tenant()).await.unwrap().unwrap().seq, 18);
}

async fn a_trail_of_before_is_chained_once(db: &Database) {
    let store = db.open().await;
    append(db, &store, 3).await;
    store.close().await;
    drop(store);
    tamper(
        db,
        "DROP TABLE audit_heads; ALTER TABLE audit DROP COLUMN hash;
         DELETE FROM _sqlx_migrations WHERE version = 6",
    )
    .await;
    let more = "INSERT INTO audit (tenant, seq, at, actor, event, detail)
        SELECT tenant, seq + (SELECT MAX(seq) FROM audit), at, actor, event, detail FROM audit;";
    // More than one page of them.
    tamper(db, &more.repeat(9)).await;

    let store = db.open().await;
    let known = head(verdict(&store, None).await);
    assert_eq!(known.seq, 3 * 512 + 1);
    let links = store.reader().await.unwrap().list_links(&tenant(), None, 3 * 512, 10).await.unwrap();
    assert_eq!(links[0].event, "audit.chain");
    assert_eq!(links[0].detail, json!({ "entries": 3 * 512 }).to_string());
    store.close().await;
    drop(store);

    let store = db.open().await;
    assert_eq!(head(verdict(&store, Some(&known)).await), known);
    append(db, &store, 1).await;
    assert_eq!(head(verdict(&store, Some(&known)).await).seq, known.seq + 1);
}
