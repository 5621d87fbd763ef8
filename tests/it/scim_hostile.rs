//! Whatever a client sends, the answer is no 5xx: those make an identity provider stop altogether.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use crate::harness::bridge::{TestBridge, user};
use crate::harness::wire::Answer;

const CASES: u32 = 150;

/// Names and URNs that the schemas know, and some that nobody knows.
fn name() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "userName",
        "USERNAME",
        "externalId",
        "id",
        "meta",
        "schemas",
        "active",
        "name",
        "name.givenName",
        "emails",
        "value",
        "type",
        "primary",
        "displayName",
        "roles",
        "groups",
        "password",
        "members",
        "manager",
        "$ref",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User",
        "role",
        "projects",
        "status",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
        "x509Certificates",
        "__proto__",
        "emails[type eq \"work\"].value",
        "addresses[type eq \"work\"]",
        "op",
        "path",
        "Operations",
    ];
    prop_oneof![4 => proptest::sample::select(KNOWN).prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn text() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "",
        "true",
        "False",
        "a@x.example",
        "work",
        "owner",
        "2026-01-01T00:00:00Z",
        "{\"value\":\"Admin\"}",
        "\u{0}",
    ];
    prop_oneof![proptest::sample::select(ODD).prop_map(str::to_owned), ".{0,40}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name(), inner), 0..5)
                .prop_map(|pairs| Value::Object(Map::from_iter(pairs))),
        ]
    })
}

fn operation() -> impl Strategy<Value = Value> {
    let op = proptest::sample::select(&["add", "Replace", "remove", "move"][..]);
    (op, proptest::option::of(name()), proptest::option::of(value())).prop_map(|(op, path, value)| {
        let mut operation = json!({"op": op});
        if let Some(path) = path {
            operation["path"] = path.into();
        }
        if let Some(value) = value {
            operation["value"] = value;
        }
        operation
    })
}

/// Draws the same values on every run.
fn draws<S: Strategy>(strategy: &S) -> Vec<S::Value> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[track_caller]
fn check(answer: &Answer, sent: &impl std::fmt::Debug) {
    match answer.status {
        200 | 201 => {}
        400..=499 => {
            let scim_type = answer.json()["scimType"].as_str().map(str::to_owned);
            assert!(!answer.expect_error(answer.status, scim_type.as_deref()).is_empty());
        }
        status => panic!("{status} for {sent:?}: {}", answer.body),
    }
}

#[tokio::test]
async fn no_body_is_answered_by_a_5xx() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    for body in draws(&value()) {
        check(&okta.post("/Users", &body).await, &body);
        check(&okta.put(&path, &body).await, &body);
        let mut plausible = user("john@x.example");
        if let (Some(plausible), Value::Object(odd)) = (plausible.as_object_mut(), &body) {
            plausible.extend(odd.clone());
        }
        check(&okta.post("/Users", &plausible).await, &plausible);
        check(&okta.put(&path, &plausible).await, &plausible);
    }
}

#[tokio::test]
async fn no_patch_is_answered_by_a_5xx_and_a_refused_one_changes_nothing() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    for operations in draws(&proptest::collection::vec(operation(), 0..4)) {
        let operations = Value::from(operations);
        let before = okta.get(&path).await.expect(200);
        let answer = okta.patch(&path, &operations).await;
        check(&answer, &operations);
        let after = okta.get(&path).await.expect(200);
        assert_eq!(after, if answer.status == 200 { answer.json() } else { before }, "{operations}");
    }
}

#[tokio::test]
async fn no_filter_is_answered_by_a_5xx_and_what_is_refused_lists_nobody() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    okta.create_named("jane@x.example").await;
    let word = prop_oneof![
        name(),
        text().prop_map(|text| Value::from(text).to_string()),
        proptest::sample::select(
            &["eq", "co", "pr", "gt", "and", "or", "not", "(", ")", "[", "]", "true", "1"][..]
        )
        .prop_map(str::to_owned),
    ];
    let plausible = (name(), proptest::sample::select(&["eq", "ne", "co", "sw", "gt", "le"][..]), text())
        .prop_map(|(name, op, text)| vec![name, op.to_owned(), Value::from(text).to_string()]);
    for words in draws(&prop_oneof![proptest::collection::vec(word, 0..8), plausible]) {
        let filter = words.join(" ");
        let answer = okta.find(&filter).await;
        check(&answer, &filter);
        assert!(answer.status == 200 || answer.json().get("Resources").is_none(), "{filter}");
    }
}
