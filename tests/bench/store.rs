//! What a durable create and a look-up cost on SQLite: `cargo bench --bench store`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run fails by panicking")]

#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod shared;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{Condition, Sequence, Store};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

struct Bench {
    store: Store,
    clock: Clock,
    numbers: AtomicU64,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Arc<Self> {
        let (folder, store, clock) = shared::database().await;
        Arc::new(Self { store, clock, numbers: AtomicU64::new(0), _folder: folder })
    }

    fn next_person(&self) -> Person {
        person(&self.clock, self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    async fn fill(&self, count: u64) {
        let people = (0..count).map(|_| self.next_person()).collect();
        shared::fill(&self.store, people).await;
    }

    async fn create(&self) {
        shared::create(&self.store, self.next_person()).await;
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
    shared::person(clock, name, &attributes)
}

fn durable_creates(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let mut group = criterion.benchmark_group("durable_create");
    group.throughput(Throughput::Elements(1));
    for clients in [1, 32] {
        group.bench_function(BenchmarkId::new("clients", clients), |bencher| {
            bencher.iter_custom(|creates| {
                let bench = Arc::clone(&bench);
                runtime.block_on(shared::time(clients, creates, move |_| {
                    let bench = Arc::clone(&bench);
                    async move { bench.create().await }
                }))
            });
        });
    }
    group.finish();
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
