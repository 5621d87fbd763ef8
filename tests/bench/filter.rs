//! Parsing, resolving and evaluating filters as identity providers send them.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use openai_scim_bridge::scim::filter::Filter;
use openai_scim_bridge::scim::resource::Resource;
use openai_scim_bridge::scim::schema::Registry;

fn filters(c: &mut Criterion) {
    let user = Registry::builtin().resource_type("User").expect("built in");
    let jane = Resource::try_from(serde_json::json!({
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

criterion_group!(benches, filters);
criterion_main!(benches);
