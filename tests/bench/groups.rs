//! What it costs to add and remove one member, by the size of the group: `cargo bench --bench groups`.
//!
//! Each request is a PATCH as Entra ID sends it, from its body to its durable commit on SQLite. The size of the group
//! must make no difference.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark stops where its set-up fails"
)]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::{Caller, Directory, Reply, Rights};
use openai_scim_bridge::ids::{GroupId, PersonId, RequestId, TenantId};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::provision::handle::Handle;
use openai_scim_bridge::store::{Store, StoreError};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// People in the directory, whatever the size of the group.
const PEOPLE: usize = 100_001;
/// How many people one write of the preparation adds.
const CHUNK: usize = 1_000;

struct Bench {
    store: Store,
    directory: Directory,
    caller: Caller,
    people: Vec<PersonId>,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let clock = Clock::system();
        let url = format!("sqlite://{}", folder.path().join("bench.db").display());
        let store = Store::open(&url, clock.clone()).await.unwrap();
        let tenant = TenantId::default_tenant();
        let policies = [(tenant.clone(), Policy::default())];
        let (engine, url) = (Handle::default(), "https://scim.example.com");
        let directory = Directory::new(store.clone(), engine, clock.clone(), policies, url);
        let request = RequestId::new(&clock);
        let caller = Caller {
            tenant,
            token: "bench".to_owned(),
            rights: Rights::new(Scopes::admin()),
            request,
            prefers_async: false,
        };
        let people = (0..PEOPLE).map(|_| PersonId::new(&clock)).collect();
        let bench = Self { store, directory, caller, people, _folder: folder };
        bench.fill(&clock).await;
        bench
    }

    async fn fill(&self, clock: &Clock) {
        for (chunk, ids) in self.people.chunks(CHUNK).enumerate() {
            let people: Vec<_> =
                ids.iter().enumerate().map(|(index, id)| person(clock, *id, chunk * CHUNK + index)).collect();
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

    /// A group of the first so many people.
    async fn group(&self, size: usize) -> GroupId {
        let body = json!({"displayName": format!("Group of {size}")});
        let Reply::Now(group) = self.directory.create_group(&self.caller, body).await.unwrap() else {
            panic!("an answer at once")
        };
        let group = group.id;
        for chunk in self.people[..size].chunks(CHUNK) {
            self.change(group, "add", chunk).await;
        }
        group
    }

    async fn change(&self, group: GroupId, op: &str, people: &[PersonId]) {
        let values: Vec<_> = people.iter().map(|id| json!({"value": id.to_string()})).collect();
        let body = json!({"Operations": [{"op": op, "path": "members", "value": values}]});
        self.directory.patch_group(&self.caller, &group.to_string(), body, None).await.unwrap();
    }
}

fn person(clock: &Clock, id: PersonId, number: usize) -> Person {
    let name = format!("person.{number}@example.com");
    let attributes = json!({"userName": name, "active": true});
    Person {
        tenant: TenantId::default_tenant(),
        id,
        user_name: name,
        external_id: None,
        address: None,
        active: true,
        deleted_at: None,
        version: 1,
        created_at: clock.now(),
        modified_at: clock.now(),
        attributes: attributes.as_object().unwrap().clone(),
    }
}

fn single_member_changes(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let mut benches = criterion.benchmark_group("add_and_remove_one_member");
    for size in [10, 10_000, PEOPLE - 1] {
        let group = runtime.block_on(bench.group(size));
        let outsider = &bench.people[PEOPLE - 1..];
        benches.bench_function(BenchmarkId::new("members", size), |bencher| {
            bencher.to_async(&runtime).iter(async || {
                bench.change(group, "add", outsider).await;
                bench.change(group, "remove", outsider).await;
            });
        });
    }
    benches.finish();
}

criterion_group!(benches, single_member_changes);
criterion_main!(benches);
