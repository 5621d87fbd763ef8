//! API keys and service accounts of projects, as last seen.

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::model::credential::{Credential, CredentialKind};
use openai_scim_bridge::store::{Store, StoreError};

use super::{other_tenant, tenant};
use crate::harness::database::Database;

on_both! {
    what_a_reading_no_longer_has_is_gone_and_may_come_back
    an_older_reading_changes_nothing
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
