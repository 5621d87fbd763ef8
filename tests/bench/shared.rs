//! What several benchmarks share: a database of their own, people in it, and clients who take turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::{Caller, Directory, Rights};
use openai_scim_bridge::ids::{PersonId, RequestId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::audit::{Actor, AuditEntry};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::provision::handle::Handle;
use openai_scim_bridge::store::{Store, StoreError};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How many people one write of the preparation adds.
pub(crate) const CHUNK: usize = 1_000;

/// An empty database, and the folder that it is in for as long as this lives.
pub(crate) async fn database() -> (TempDir, Store, Clock) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clock = Clock::system();
    let url = format!("sqlite://{}", folder.path().join("bench.db").display());
    let store = Store::open(&url, clock.clone()).await.unwrap();
    (folder, store, clock)
}

/// The directory with no engine behind it: OpenAI is not what is measured.
pub(crate) fn directory(store: Store, clock: Clock) -> Directory {
    let policies = [(TenantId::default_tenant(), Policy::default())];
    Directory::new(store, Handle::default(), clock, policies, "https://scim.example.com")
}

/// A caller who may do everything.
pub(crate) fn caller(clock: &Clock) -> Caller {
    Caller {
        tenant: TenantId::default_tenant(),
        token: "bench".to_owned(),
        rights: Rights::new(Scopes::admin()),
        request: RequestId::new(clock),
        prefers_async: false,
    }
}

/// An active person with these attributes, whose `userName` may be an address.
pub(crate) fn person(clock: &Clock, user_name: String, attributes: &Value) -> Person {
    let now = clock.now();
    Person {
        tenant: TenantId::default_tenant(),
        id: PersonId::new(clock),
        address: Address::parse(&user_name).ok(),
        external_id: Some(format!("00u-{user_name}")),
        user_name,
        active: true,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: attributes.as_object().unwrap().clone(),
    }
}

/// Adds people, many at a time; returns their ids.
pub(crate) async fn fill(store: &Store, people: Vec<Person>) -> Vec<PersonId> {
    let ids = people.iter().map(|person| person.id).collect();
    for chunk in people.chunks(CHUNK) {
        let chunk = Arc::new(chunk.to_vec());
        let written = store.write::<_, StoreError>(move |tx| {
            let chunk = Arc::clone(&chunk);
            Box::pin(async move {
                for person in chunk.iter() {
                    tx.insert_person(person, Lane::Invite).await?;
                }
                Ok(())
            })
        });
        written.await.unwrap();
    }
    ids
}

/// What a SCIM create does in its transaction: match, insert, audit.
pub(crate) async fn create(store: &Store, person: Person) {
    let actor = Actor::Token("bench".to_owned());
    let detail = json!({ "attributes": ["userName", "name", "emails", "displayName", "active"] });
    let entry = Arc::new(AuditEntry {
        person: Some(person.id),
        ..AuditEntry::by(actor, &person.tenant, person.created_at, "user.create", detail)
    });
    let person = Arc::new(person);
    let written = store.write::<_, StoreError>(move |tx| {
        let (person, entry) = (Arc::clone(&person), Arc::clone(&entry));
        Box::pin(async move {
            let key = person.user_name_key();
            let found = tx.find_people(&person.tenant, &key, person.external_id.as_deref()).await?;
            assert!(found.is_empty());
            tx.insert_person(&person, Lane::Invite).await?;
            tx.append_audit(&entry).await
        })
    });
    written.await.unwrap();
}

/// The time it takes to do something so many times, shared out among clients who do it at once. Each is told its
/// number.
pub(crate) async fn time<Done: Future<Output = ()> + Send>(
    clients: usize,
    times: u64,
    work: impl Fn(usize) -> Done + Clone + Send + 'static,
) -> Duration {
    let left = Arc::new(AtomicU64::new(times));
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (work, left) = (work.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let take = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    work(client).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}
