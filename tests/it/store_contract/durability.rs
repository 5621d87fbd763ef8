//! What was acknowledged stays, what was refused leaves no trace, and a database that is not ours is left alone.

use std::fs;
use std::sync::Arc;

use futures_util::future::join_all;
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{Condition, Sequence, Store, StoreError};
use sqlx::{Connection as _, Executor as _};

use super::{insert, person, tenant, update};
use crate::harness::database::Database;

on_both! {
    parallel_writers_do_not_hurt_each_other
    one_of_many_equal_creates_wins
    concurrent_changes_of_one_row_all_take_effect
    a_refused_write_leaves_no_trace
    a_write_that_panics_hurts_nobody_else
    a_write_must_not_go_on_after_a_failure
    what_was_acknowledged_survives_without_close
    a_newer_database_is_refused
    processes_that_start_at_once_take_turns
    a_closed_store_takes_no_writes
    a_store_in_good_health_says_so
}

async fn people(store: &Store) -> i64 {
    store.reader().await.unwrap().count_people(&tenant(), &Condition::All).await.unwrap()
}

async fn parallel_writers_do_not_hurt_each_other(db: &Database) {
    let store = db.open().await;
    let taken = person(&db.clock, "taken@example.com");
    insert(&store, &taken).await.unwrap();
    let writes = (0..32).map(|number| {
        let store = store.clone();
        let good = person(&db.clock, &format!("p{number}@example.com"));
        let bad = person(&db.clock, "Taken@example.com");
        tokio::spawn(async move {
            write!(store, [good, bad], |tx| {
                if number % 8 == 0 {
                    // Fails before it wrote anything.
                    tx.insert_person(&bad, Lane::Invite).await?;
                }
                tx.insert_person(&good, Lane::Invite).await?;
                if number % 8 == 4 {
                    // Fails after it wrote something.
                    tx.insert_person(&bad, Lane::Invite).await?;
                }
                Ok(())
            })
        })
    });
    for (number, result) in join_all(writes).await.into_iter().enumerate() {
        let result = result.unwrap();
        assert_eq!(matches!(result, Err(StoreError::Taken)), number % 4 == 0, "{number}: {result:?}");
        assert_eq!(result.is_ok(), number % 4 != 0, "{number}: {result:?}");
    }
    assert_eq!(people(&store).await, 1 + 24);
}

async fn one_of_many_equal_creates_wins(db: &Database) {
    let store = db.open().await;
    let writes = (0..16).map(|_| {
        let (store, jane) = (store.clone(), person(&db.clock, "jane@example.com"));
        tokio::spawn(async move { insert(&store, &jane).await })
    });
    let results: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::Taken))).count(), 15);
}

async fn concurrent_changes_of_one_row_all_take_effect(db: &Database) {
    const WRITERS: usize = 4;
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let id = jane.id;
    let writes = (0..WRITERS).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            write!(store, [], |tx| {
                let mut jane = tx.load_person(&tenant(), id).await?.ok_or(StoreError::Stale)?;
                jane.attributes.insert(format!("attribute{number}"), true.into());
                jane.version += 1;
                tx.update_person(&jane, jane.version - 1, Lane::Grant).await
            })
        })
    });
    for result in join_all(writes).await {
        result.unwrap().unwrap();
    }
    let jane = store.reader().await.unwrap().load_person(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(jane.version, 5);
    assert_eq!(
        (0..WRITERS).filter(|n| jane.attributes.contains_key(&format!("attribute{n}"))).count(),
        WRITERS
    );
}

async fn a_refused_write_leaves_no_trace(db: &Database) {
    #[derive(Debug)]
    enum Refusal {
        ByUs,
        Store,
    }
    impl From<StoreError> for Refusal {
        fn from(_: StoreError) -> Self {
            Self::Store
        }
    }
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    let refused = store
        .write::<(), Refusal>(move |tx| {
            let jane = jane.clone();
            Box::pin(async move {
                tx.insert_person(&jane, Lane::Invite).await?;
                Err(Refusal::ByUs)
            })
        })
        .await;
    assert!(matches!(refused, Err(Refusal::ByUs)));
    assert_eq!(people(&store).await, 0);
}

async fn a_write_that_panics_hurts_nobody_else(db: &Database) {
    let store = db.open().await;
    let writes = (0..16).map(|number| {
        let (store, person) = (store.clone(), person(&db.clock, &format!("p{number}@example.com")));
        tokio::spawn(async move {
            write!(store, [person], |tx| {
                tx.insert_person(&person, Lane::Invite).await?;
                assert_ne!(number, 7, "this one panics on purpose");
                Ok(())
            })
        })
    });
    for (number, result) in join_all(writes).await.into_iter().enumerate() {
        assert_eq!(matches!(result.unwrap(), Err(StoreError::Broken(_))), number == 7);
    }
    assert_eq!(people(&store).await, 15);
}

async fn a_write_must_not_go_on_after_a_failure(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    let (again, joe) = (person(&db.clock, "jane@example.com"), person(&db.clock, "joe@example.com"));
    let result = write!(store, [again, joe], |tx| {
        let _taken = tx.insert_person(&again, Lane::Invite).await;
        let _too_late = tx.insert_person(&joe, Lane::Invite).await;
        Ok(())
    });
    assert!(matches!(result, Err(StoreError::Broken(_))), "{result:?}");
    assert_eq!(people(&store).await, 1);
}

async fn what_was_acknowledged_survives_without_close(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    insert(&store, &jane).await.unwrap();
    jane.active = false;
    update(&store, &mut jane, Lane::Revoke).await.unwrap();
    drop(store);
    let store = db.open().await;
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_person(&tenant(), jane.id).await.unwrap(), Some(jane.clone()));
    assert_eq!(reader.due_people(&tenant(), db.clock.now(), 10).await.unwrap(), [jane.id]);
}

async fn a_newer_database_is_refused(db: &Database) {
    db.open().await.close().await;
    let mut connection = db.connect().await;
    connection
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'of the future', TRUE, '', 0)",
        )
        .await
        .unwrap();
    connection.close().await.unwrap();
    for opened in [db.try_open().await, Store::open_beside(&db.url, db.clock.clone()).await] {
        let message = opened.unwrap_err().to_string();
        assert!(message.contains("newer version") && message.contains("9999"), "{message}");
        assert!(message.contains("upgrade the program or restore a backup"), "{message}");
    }
}

async fn processes_that_start_at_once_take_turns(db: &Database) {
    let opened = join_all((0..4).map(|_| Store::open_beside(&db.url, db.clock.clone()))).await;
    let stores: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    db.open().await.close().await;
    let store = &stores[0];
    insert(store, &person(&db.clock, "jane@example.com")).await.unwrap();
    assert_eq!(people(store).await, 1);
}

async fn a_closed_store_takes_no_writes(db: &Database) {
    let store = db.open().await;
    insert(&store, &person(&db.clock, "jane@example.com")).await.unwrap();
    store.close().await;
    let late = insert(&store, &person(&db.clock, "joe@example.com")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))));
    assert!(store.health().await.is_err());
    drop(store);
    assert_eq!(people(&db.open().await).await, 1);
}

async fn a_store_in_good_health_says_so(db: &Database) {
    db.open().await.health().await.unwrap();
}

#[tokio::test]
async fn a_file_is_served_by_one_process_at_a_time() {
    let db = Database::sqlite();
    let store = db.open().await;
    let message = db.try_open().await.unwrap_err().to_string();
    assert!(message.contains("already served"), "{message}");
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    drop(store);
    db.open().await;
}

#[tokio::test]
async fn a_command_works_beside_the_server() {
    let db = Database::sqlite();
    let served = db.open().await;
    let beside = Store::open_beside(&db.url, db.clock.clone()).await.unwrap();
    insert(&beside, &person(&db.clock, "jane@example.com")).await.unwrap();
    insert(&served, &person(&db.clock, "joe@example.com")).await.unwrap();
    assert_eq!((people(&served).await, people(&beside).await), (2, 2));
    beside.close().await;
    insert(&served, &person(&db.clock, "jack@example.com")).await.unwrap();
    // Without a server it makes the database, and does not keep a server from starting.
    let fresh = Database::sqlite();
    let beside = Store::open_beside(&fresh.url, fresh.clock.clone()).await.unwrap();
    insert(&beside, &person(&fresh.clock, "jane@example.com")).await.unwrap();
    assert_eq!(people(&fresh.open().await).await, 1);
}

#[tokio::test]
async fn a_command_beside_the_server_refuses_a_schema_that_is_not_whole() {
    let check = async |damage: &str, expected: &str| {
        let db = Database::sqlite();
        let _served = db.open().await;
        let mut connection = db.connect().await;
        connection.execute(sqlx::AssertSqlSafe(damage)).await.unwrap();
        let refused = Store::open_beside(&db.url, db.clock.clone()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
        assert!(refused.to_string().contains(expected), "{damage}: {refused}");
    };
    check("DELETE FROM _sqlx_migrations WHERE version > 5", "older scim-bridge").await;
    check("DELETE FROM _sqlx_migrations WHERE version = 5", "step 5 of the database's schema is missing")
        .await;
    check(
        "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 5",
        "step 5 of the database's schema is not",
    )
    .await;
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let text = Database::sqlite();
    let letter = "Dear diary, ".repeat(1000);
    fs::write(text.file(), &letter).unwrap();
    let message = text.try_open().await.unwrap_err().to_string();
    assert!(message.contains("not a SQLite database"), "{message}");
    assert_eq!(fs::read_to_string(text.file()).unwrap(), letter);

    let foreign = Database::sqlite();
    fs::write(foreign.file(), "").unwrap();
    let mut connection = foreign.connect().await;
    connection.execute("CREATE TABLE recipes (cake TEXT)").await.unwrap();
    connection.close().await.unwrap();
    let before = fs::read(foreign.file()).unwrap();
    let message = foreign.try_open().await.unwrap_err().to_string();
    assert!(message.contains("another program"), "{message}");
    assert_eq!(fs::read(foreign.file()).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_kept() {
    let db = Database::sqlite();
    let store = db.open().await;
    for number in 0..200 {
        insert(&store, &person(&db.clock, &format!("p{number}@example.com"))).await.unwrap();
    }
    store.close().await;
    drop(store);
    let mut bytes = fs::read(db.file()).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0x55);
    fs::write(db.file(), &bytes).unwrap();
    let message = db.try_open().await.unwrap_err().to_string();
    assert!(message.contains("damaged") && message.contains("restore a backup"), "{message}");
    assert_eq!(fs::read(db.file()).unwrap(), bytes);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut db = Database::sqlite();
    let nested = db.file().with_file_name("made/for/it/bridge.db");
    db.url = format!("sqlite://{}", nested.display());
    let store = db.open().await;
    insert(&store, &person(&db.clock, "jane@example.com")).await.unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(nested.parent().unwrap()), 0o700);
    for file in fs::read_dir(nested.parent().unwrap()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_path_is_taken_literally() {
    let mut db = Database::sqlite();
    let odd = db.file().with_file_name("50% über #1.db");
    db.url = format!("sqlite://{}", odd.display());
    db.open().await;
    assert!(odd.exists());
    for url in ["sqlite::memory:", "sqlite://", "sqlite://a.db?mode=ro", "mysql://x/y", "bridge.db"] {
        db.url = url.to_owned();
        assert!(matches!(db.try_open().await, Err(StoreError::Unusable(_))), "{url}");
    }
}

#[tokio::test]
async fn a_backup_is_whole_while_writes_go_on() {
    let db = Database::sqlite();
    let store = db.open().await;
    for number in 0..50 {
        insert(&store, &person(&db.clock, &format!("p{number}@example.com"))).await.unwrap();
    }
    let copy = Database::sqlite();
    let (store, db) = (Arc::new(store), Arc::new(db));
    let writer = tokio::spawn({
        let (store, db) = (Arc::clone(&store), Arc::clone(&db));
        async move {
            for number in 50..100 {
                insert(&store, &person(&db.clock, &format!("p{number}@example.com"))).await.unwrap();
            }
        }
    });
    store.backup_to(&copy.file()).await.unwrap();
    writer.await.unwrap();
    let restored = copy.open().await;
    let count = people(&restored).await;
    assert!((50..=100).contains(&count), "{count}");
    let everybody = restored
        .reader()
        .await
        .unwrap()
        .page_people(&tenant(), &Condition::All, Sequence::default(), 0, 200)
        .await;
    let everybody: Vec<Person> = everybody.unwrap().into_iter().map(|(person, _)| person).collect();
    assert_eq!(i64::try_from(everybody.len()).unwrap(), count);

    let before = fs::read(copy.file()).unwrap();
    let message = store.backup_to(&copy.file()).await.unwrap_err().to_string();
    assert!(message.contains("exists already"), "{message}");
    assert_eq!(fs::read(copy.file()).unwrap(), before);
}

#[tokio::test]
async fn a_postgresql_backup_is_left_to_its_tools() {
    if let Some(db) = Database::postgres().await {
        let folder = tempfile::tempdir().unwrap();
        let error = db.open().await.backup_to(&folder.path().join("copy.db")).await.unwrap_err();
        assert!(error.to_string().contains("pg_dump"));
    }
}

#[tokio::test]
async fn a_connection_lost_in_a_write_is_unavailable_and_then_over() {
    /// Ends every connection of this test but the one that says so.
    const CUT: &str = "SELECT CASE WHEN pg_terminate_backend(pid) THEN 1 ELSE 0 END FROM pg_stat_activity
         WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()";
    let Some(db) = Database::postgres().await else { return };
    let db = Arc::new(db);
    let store = db.open().await;
    for cut_at_commit in [false, true] {
        let (jane, joe) = (person(&db.clock, "jane@example.com"), person(&db.clock, "joe@example.com"));
        let lost = write!(store, [db, jane, joe], |tx| {
            tx.insert_person(&jane, Lane::Invite).await?;
            let mut scissors = db.connect().await;
            scissors.execute(CUT).await.unwrap();
            if !cut_at_commit {
                tx.insert_person(&joe, Lane::Invite).await?;
            }
            Ok(())
        });
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        store.health().await.unwrap();
        assert_eq!(people(&store).await, 0);
    }
    insert(&store, &person(&db.clock, "jane@example.com")).await.unwrap();
    assert_eq!(people(&store).await, 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let clock = openai_scim_bridge::clock::Clock::system();
    let opened = Store::open("postgres://nobody@127.0.0.1:1/nothing", clock).await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{opened:?}");
}
