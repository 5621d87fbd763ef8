//! Parsing, resolving and evaluating filters, and applying patches, as identity providers send them.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use openai_scim_bridge::scim::filter::Filter;
use openai_scim_bridge::scim::patch::PatchRequest;
use openai_scim_bridge::scim::resource::Resource;
use openai_scim_bridge::scim::schema::Registry;
use serde_json::{Value, json};

fn filters(c: &mut Criterion) {
    let user = Registry::builtin().resource_type("User").expect("built in");
    let jane = Resource::try_from(json!({
        "id": "1", "userName": "jane@example.com", "externalId": "00u1", "active": true,
        "emails": [{"type": "work", "value": "jane@example.com", "primary": true}]
    }))
    .expect("an object");
    let longest = vec!["emails[type eq \"work\" and value co \"nobody\"]"; 25].join(" or ");
    for (name, text) in [
        ("user_name", r#"userName eq "jane@example.com""#),
        ("value_path", r#"emails[type eq "work"].value eq "jane@example.com""#),
        ("longest", &*longest),
    ] {
        c.bench_function(&format!("filter_parse/{name}"), |b| {
            b.iter(|| Filter::parse(black_box(text)));
        });
        let resolved = Filter::parse(text).and_then(|filter| filter.resolve(user)).expect("well-formed");
        c.bench_function(&format!("filter_matches/{name}"), |b| {
            b.iter(|| resolved.matches(black_box(&jane)));
        });
    }
}

/// A PATCH from the parsed body to the change set; the copies of body and resource are not counted.
fn patches(c: &mut Criterion) {
    let jane = json!({
        "userName": "jane@example.com", "active": true, "name": {"givenName": "Jane", "familyName": "Smith"},
        "emails": [{"type": "work", "value": "jane@example.com", "primary": true}]
    });
    let team = json!({"displayName": "team", "members": members(0..10_000)});
    let profile = json!([
        {"op": "Replace", "path": "name.familyName", "value": "Miller"},
        {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "miller@example.com"},
        {"op": "Replace", "value": {"title": "Engineer", "active": "True"}}
    ]);
    let mut group = c.benchmark_group("patch");
    group.throughput(Throughput::Elements(1));
    for (name, type_name, before, operations) in [
        ("deactivate", "User", &jane, json!([{"op": "Replace", "path": "active", "value": "False"}])),
        ("profile", "User", &jane, profile),
        (
            "member_of_10000",
            "Group",
            &team,
            json!([{"op": "add", "path": "members", "value": members(20_000..20_001)}]),
        ),
        (
            "members_1000",
            "Group",
            &team,
            json!([{"op": "add", "path": "members", "value": members(20_000..21_000)}]),
        ),
    ] {
        let resource_type = Registry::builtin().resource_type(type_name).expect("built in");
        let before = Resource::try_from(before.clone()).expect("an object");
        let body = json!({"Operations": operations});
        group.bench_function(name, |b| {
            b.iter_batched(
                || (body.clone(), before.clone()),
                |(body, mut resource)| {
                    let request = PatchRequest::parse(black_box(body)).expect("well-formed");
                    let changes = request.apply(resource_type, &mut resource).expect("allowed");
                    (changes, resource)
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn members(range: std::ops::Range<u32>) -> Value {
    range.map(|n| json!({"value": format!("01890f2e-7b5c-7cc0-98d1-{n:012}")})).collect()
}

criterion_group!(benches, filters, patches);
criterion_main!(benches);
