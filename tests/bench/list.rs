//! What a page of a list costs by its depth, and how many changes a second there can be: `cargo bench --bench list`.
//!
//! By cursor the depth must make no difference; by index what lies before a page is counted in an index. Requests go
//! from the query or body to the resources, on SQLite, without HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark stops where its set-up fails"
)]

#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod shared;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::{Caller, Directory, Kind, Listing, Turn};
use openai_scim_bridge::ids::PersonId;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::scim::search::Query;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// People in the directory; few where the code is slow anyway and the run only shows that it works.
const PEOPLE: usize = if cfg!(debug_assertions) { 2_000 } else { 100_000 };
/// People on a page.
const COUNT: usize = 100;
/// The orders that are tried: none, one of an index, and one with people who have no value.
const ORDERS: [&str; 3] = ["", "userName", "displayName"];

struct Bench {
    directory: Directory,
    caller: Caller,
    people: Vec<PersonId>,
    numbers: AtomicU64,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (folder, store, clock) = shared::database().await;
        let people = (0..PEOPLE).map(|number| person(&clock, number)).collect();
        let people = shared::fill(&store, people).await;
        let caller = shared::caller(&clock);
        let directory = shared::directory(store, clock);
        Self { directory, caller, people, numbers: AtomicU64::new(0), _folder: folder }
    }

    async fn list(&self, query: &Query) -> Listing {
        self.directory.list(&self.caller, &[Kind::Users], query).await.unwrap()
    }

    /// The query for the page that begins at `depth`, reached page by page.
    async fn at(&self, order: &str, depth: usize) -> Query {
        let ask = |cursor: &str, count: usize| {
            let count = count.to_string();
            Query::from_parameters([("sortBy", order), ("cursor", cursor), ("count", &count)]).unwrap()
        };
        let (mut cursor, mut before) = (String::new(), depth - 1);
        while before > 0 {
            let count = before.min(200);
            let Turn::Cursor { next: Some(next), .. } = self.list(&ask(&cursor, count)).await.turn else {
                panic!("there are fewer than {depth}");
            };
            cursor = next;
            before -= count;
        }
        ask(&cursor, COUNT)
    }

    async fn patch(&self) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(number).unwrap() * 7_919 % PEOPLE;
        let id = self.people[index].to_string();
        let title = format!("Engineer {number}");
        let body = json!({"Operations": [{"op": "replace", "path": "title", "value": title}]});
        self.directory.patch_user(&self.caller, &id, body, None, None).await.unwrap();
    }
}

fn person(clock: &Clock, number: usize) -> Person {
    let name = format!("person.{number}@example.com");
    let mut attributes = json!({
        "userName": name,
        "active": true,
        "emails": [{"value": name, "type": "work", "primary": true}],
        "name": {"givenName": "Person", "familyName": number.to_string()},
    });
    if number.is_multiple_of(2) {
        attributes["displayName"] = format!("Person {number}").into();
    }
    shared::person(clock, name, &attributes)
}

fn pages(criterion: &mut Criterion, runtime: &Runtime, bench: &Bench) {
    for order in ORDERS {
        let by = if order.is_empty() { "id" } else { order };
        let mut benches = criterion.benchmark_group(format!("page_by_{by}"));
        for depth in [1, 1_000, PEOPLE - COUNT + 1] {
            let start = depth.to_string();
            let by_index = Query::from_parameters([
                ("sortBy", order),
                ("startIndex", &start),
                ("count", &COUNT.to_string()),
            ]);
            let ways = [("index", by_index.unwrap()), ("cursor", runtime.block_on(bench.at(order, depth)))];
            for (way, query) in &ways {
                benches.bench_function(BenchmarkId::new(*way, depth), |bencher| {
                    bencher.to_async(runtime).iter(async || {
                        assert_eq!(black_box(bench.list(query).await).entries.len(), COUNT);
                    });
                });
            }
        }
        benches.finish();
    }
}

/// The dearest pages that are given, and one that is refused: what they cost beside any other page is what the bounds are
/// chosen by.
fn bounds(criterion: &mut Criterion, runtime: &Runtime, bench: &Bench) {
    let mut benches = criterion.benchmark_group("bounds");
    let prefixes: Vec<_> = (100..103).map(|prefix| format!("userName sw \"person.{prefix}\"")).collect();
    let few = prefixes.join(" or ");
    let sorted = Query::from_parameters([("sortBy", "name.familyName"), ("filter", &*few), ("count", "100")]);
    let sorted = sorted.unwrap();
    benches.bench_function("sort_333_in_memory", |bencher| {
        bencher.to_async(runtime).iter(async || black_box(bench.list(&sorted).await));
    });
    let deep = Query::from_parameters([("startIndex", "1000"), ("count", "100")]).unwrap();
    benches.bench_function("all_types_at_1000", |bencher| {
        bencher
            .to_async(runtime)
            .iter(async || black_box(bench.directory.list(&bench.caller, &Kind::ALL, &deep).await.unwrap()));
    });
    let filtered = |filter: &str, cursor: Option<&str>| {
        let cursor = cursor.map(|cursor| ("cursor", cursor));
        Query::from_parameters([("filter", filter), ("count", "100")].into_iter().chain(cursor)).unwrap()
    };
    let status =
        |word: &str| format!("urn:ietf:params:scim:schemas:extension:openai:2.0:User:status eq \"{word}\"");
    let many = |term: &str, count: usize| vec![term; count].join(" or ");
    let part = "userName co \"nobody's\"";
    for (name, query) in [
        ("filter_without_index_by_index", filtered("title eq \"nobody's\"", None)),
        ("filter_without_index_by_cursor", filtered("title eq \"nobody's\"", Some(""))),
        ("filter_by_status", filtered(&status("member"), None)),
        ("filter_by_part_of_name", filtered(part, None)),
        ("filter_by_3_parts_of_names", filtered(&many(part, 3), None)),
        ("filter_by_3_statuses", filtered(&many(&status("member"), 3), None)),
        ("filter_by_50_parts_of_names", filtered(&many(part, 50), None)),
    ] {
        benches.bench_function(name, |bencher| {
            bencher.to_async(runtime).iter(async || {
                black_box(bench.directory.list(&bench.caller, &[Kind::Users], &query).await.is_ok())
            });
        });
    }
    benches.finish();
}

fn patches(criterion: &mut Criterion, runtime: &Runtime, bench: &Arc<Bench>) {
    let mut benches = criterion.benchmark_group("patch");
    benches.throughput(Throughput::Elements(1));
    for clients in [1, 32] {
        benches.bench_function(BenchmarkId::new("clients", clients), |bencher| {
            bencher.iter_custom(|patches| {
                let bench = Arc::clone(bench);
                runtime.block_on(shared::time(clients, patches, move |_| {
                    let bench = Arc::clone(&bench);
                    async move { bench.patch().await }
                }))
            });
        });
    }
    benches.finish();
}

fn all(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = Arc::new(runtime.block_on(Bench::new()));
    pages(criterion, &runtime, &bench);
    bounds(criterion, &runtime, &bench);
    patches(criterion, &runtime, &bench);
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
