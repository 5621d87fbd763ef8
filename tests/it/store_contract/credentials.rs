//! API keys and service accounts of projects, as last seen.

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::model::credential::{Credential, CredentialKind};
use openai_scim_bridge::model::mapping::Mapping;
use openai_scim_bridge::store::{Store, StoreError};

use super::{insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    what_a_reading_no_longer_has_is_gone_and_may_come_back
    an_older_reading_changes_nothing
    keys_of_people_who_were_removed_are_found_until_they_are_inactive
}

fn credential(kind: CredentialKind, id: &str) -> Credential {
    Credential {
        project: "proj_1".into(),
        kind,
        id: id.to_owned(),
        name: Some("notebook".to_owned()),
        owner: (kind == CredentialKind::UserKey).then(|| "user-1".to_owned()),
        owner_has_access: Some(true),
        created_at: None,
        last_used_at: None,
    }
}

async fn observe(store: &Store, seen: &[Credential], at: Timestamp) {
    let seen = seen.to_vec();
    write!(store, [seen], |tx| tx.observe_credentials(&tenant(), &"proj_1".into(), &seen, at).await).unwrap();
}

async fn what_a_reading_no_longer_has_is_gone_and_may_come_back(db: &Database) {
    let store = db.open().await;
    let at = |minutes| db.clock.now() + SignedDuration::from_mins(minutes);
    let (key, account) =
        (credential(CredentialKind::UserKey, "key_1"), credential(CredentialKind::ServiceAccount, "svc_1"));
    observe(&store, &[key.clone(), account.clone()], at(0)).await;
    let used = Credential { last_used_at: Some(at(4)), owner_has_access: Some(false), ..key.clone() };
    observe(&store, std::slice::from_ref(&used), at(5)).await;

    let mut reader = store.reader().await.unwrap();
    let seen = reader.credentials(&tenant()).await.unwrap();
    assert_eq!((&seen[0].credential, seen[0].gone_at), (&account, Some(at(5))));
    assert_eq!((&seen[1].credential, seen[1].gone_at), (&used, None));
    assert_eq!((seen[1].first_seen_at, seen[1].last_seen_at), (at(0), at(5)));
    assert!(seen[0].existed_at(at(0)) && !seen[0].existed_at(at(5)));
    assert_eq!(reader.credential_readings(&tenant()).await.unwrap()[&"proj_1".into()], (at(0), at(5)));
    assert_eq!(reader.credentials(&other_tenant()).await.unwrap(), []);
    drop(reader);

    observe(&store, &[account], at(6)).await;
    let seen = store.reader().await.unwrap().credentials(&tenant()).await.unwrap();
    assert_eq!((seen[0].gone_at, seen[1].gone_at), (None, Some(at(6))));
}

async fn an_older_reading_changes_nothing(db: &Database) {
    let store = db.open().await;
    let now = db.clock.now();
    observe(&store, &[credential(CredentialKind::UserKey, "key_1")], now).await;
    observe(&store, &[], now - SignedDuration::from_secs(1)).await;
    let seen = store.reader().await.unwrap().credentials(&tenant()).await.unwrap();
    assert_eq!(seen[0].gone_at, None);
}

async fn keys_of_people_who_were_removed_are_found_until_they_are_inactive(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@x.example");
    insert(&store, &jane).await.unwrap();
    let mut mapping = Mapping::new(tenant(), jane.id);
    mapping.user_id = Some("user-1".into());
    mapping.last_synced_at = Some(db.clock.now());
    let save = async |mapping: &Mapping| {
        write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();
    };
    let left = async || store.reader().await.unwrap().keys_left_behind(&tenant()).await.unwrap();
    save(&mapping).await;
    let key = credential(CredentialKind::UserKey, "key_1");
    observe(&store, &[key.clone(), credential(CredentialKind::ServiceAccount, "svc_1")], db.clock.now())
        .await;
    assert_eq!(left().await, []);
    mapping.former_user_id = mapping.user_id.take();
    save(&mapping).await;
    let found = left().await;
    assert_eq!(
        (found.len(), found[0].person, &*found[0].id, found[0].is_live()),
        (1, jane.id, "key_1", false)
    );
    db.clock.advance(SignedDuration::from_mins(2));
    observe(&store, std::slice::from_ref(&key), db.clock.now()).await;
    let found = left().await;
    assert!(found[0].is_live() && !found[0].is_told);
    let told = found[0].clone();
    write!(store, [told], |tx| tx.note_key_told(&tenant(), &told).await).unwrap();
    assert!(left().await[0].is_told);
    assert_eq!(store.reader().await.unwrap().keys_left_behind(&other_tenant()).await.unwrap(), []);
    db.clock.advance(SignedDuration::from_mins(2));
    observe(&store, &[Credential { owner_has_access: Some(false), ..key }], db.clock.now()).await;
    assert_eq!(left().await, []);
}
