//! What a durable create and a look-up cost on SQLite: `cargo bench --bench store`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::audit::{Actor, AuditEntry};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{Condition, Sequence, Store, StoreError};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How many people one write of the preparation adds.
const CHUNK: u64 = 500;

struct Bench {
    store: Store,
    clock: Clock,
    numbers: AtomicU64,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Arc<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let clock = Clock::system();
        let url = format!("sqlite://{}", folder.path().join("bench.db").display());
        let store = Store::open(&url, clock.clone()).await.unwrap();
        Arc::new(Self { store, clock, numbers: AtomicU64::new(0), _folder: folder })
    }

    fn next_person(&self) -> Person {
        person(&self.clock, self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    async fn fill(&self, count: u64) {
        for _ in 0..count / CHUNK {
            let people: Vec<Person> = (0..CHUNK).map(|_| self.next_person()).collect();
            let people = Arc::new(people);
            self.store
                .write::<_, StoreError>(move |tx| {
                    let people = Arc::clone(&people);
                    Box::pin(async move {
                        for person in people.iter() {
                            tx.insert_person(person, Lane::Invite).await?;
                        }
                        Ok(())
                    })
                })
                .await
                .unwrap();
        }
    }

    /// What a SCIM create does in its transaction: match, insert, audit.
    async fn create(&self) {
        let person = Arc::new(self.next_person());
        let entry = Arc::new(AuditEntry {
            tenant: person.tenant.clone(),
            at: person.created_at,
            actor: Actor::Token("bench".to_owned()),
            request: None,
            person: Some(person.id),
            event: "user.create".to_owned(),
            detail: json!({ "attributes": ["userName", "name", "emails", "active"] }),
        });
        self.store
            .write::<_, StoreError>(move |tx| {
                let (person, entry) = (Arc::clone(&person), Arc::clone(&entry));
                Box::pin(async move {
                    let key = person.user_name_key();
                    let found = tx.find_people(&person.tenant, &key, person.external_id.as_deref()).await?;
                    assert!(found.is_empty());
                    tx.insert_person(&person, Lane::Invite).await?;
                    tx.append_audit(&entry).await
                })
            })
            .await
            .unwrap();
    }
}

fn person(clock: &Clock, number: u64) -> Person {
    let name = format!("Person.{number}@Example.com");
    let attributes = json!({
        "userName": name,
        "externalId": format!("00u{number}"),
        "active": true,
        "displayName": format!("Person {number}"),
        "name": { "givenName": "Person", "familyName": number.to_string() },
        "emails": [{ "value": name, "type": "work", "primary": true }],
        "title": "Engineer",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Research", "employeeNumber": number.to_string()
        },
    });
    Person {
        tenant: TenantId::default_tenant(),
        id: PersonId::new(clock),
        address: Some(Address::parse(&name).unwrap()),
        external_id: Some(format!("00u{number}")),
        user_name: name,
        active: true,
        deleted_at: None,
        version: 1,
        created_at: clock.now(),
        modified_at: clock.now(),
        attributes: attributes.as_object().unwrap().clone(),
    }
}

fn durable_creates(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let mut group = criterion.benchmark_group("durable_create");
    group.throughput(Throughput::Elements(1));
    for clients in [1_u64, 32] {
        group.bench_function(BenchmarkId::new("clients", clients), |bencher| {
            bencher.iter_custom(|creates| runtime.block_on(time_creates(&bench, clients, creates)));
        });
    }
    group.finish();
}

/// The time for `creates` creates, shared out among the clients.
async fn time_creates(bench: &Arc<Bench>, clients: u64, creates: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(creates));
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (bench, left) = (Arc::clone(bench), Arc::clone(&left));
            tokio::spawn(async move {
                let take = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    bench.create().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

fn look_ups(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("user_name_eq");
    for people in [1_000_u64, 100_000] {
        let bench = runtime.block_on(async {
            let bench = Bench::new().await;
            bench.fill(people).await;
            bench
        });
        let mut number = 0;
        group.bench_function(BenchmarkId::new("people", people), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                number = (number + 7919) % people;
                let condition = Condition::UserNameEq(format!("person.{number}@example.com"));
                let bench = Arc::clone(&bench);
                async move {
                    let mut reader = bench.store.reader().await.unwrap();
                    let found = reader
                        .page_people(&TenantId::default_tenant(), &condition, Sequence::default(), 0, 100)
                        .await;
                    assert_eq!(black_box(found).unwrap().len(), 1);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, durable_creates, look_ups);
criterion_main!(benches);
