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

#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod shared;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::{Caller, Directory, Reply};
use openai_scim_bridge::ids::{GroupId, PersonId};
use openai_scim_bridge::model::person::Person;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// People in the directory, whatever the size of the group.
const PEOPLE: usize = 100_001;

struct Bench {
    directory: Directory,
    caller: Caller,
    people: Vec<PersonId>,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (folder, store, clock) = shared::database().await;
        let people = (0..PEOPLE).map(|number| person(&clock, number)).collect();
        let people = shared::fill(&store, people).await;
        let caller = shared::caller(&clock);
        Self { directory: shared::directory(store, clock), caller, people, _folder: folder }
    }

    /// A group of the first so many people.
    async fn group(&self, size: usize) -> GroupId {
        let body = json!({"displayName": format!("Group of {size}")});
        let Reply::Now(group) = self.directory.create_group(&self.caller, body).await.unwrap() else {
            panic!("an answer at once")
        };
        let group = group.id;
        for chunk in self.people[..size].chunks(shared::CHUNK) {
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

fn person(clock: &Clock, number: usize) -> Person {
    let name = format!("person.{number}@example.com");
    let attributes = json!({"userName": name, "active": true});
    shared::person(clock, name, &attributes)
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
