//! Static tokens: scopes, dresses, the exchange of one for another, their end, and the account of the refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use openai_scim_bridge::access::expiry::Watch;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::model::trust::Trust;
use openai_scim_bridge::telemetry::Metrics;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::bridge::{STATIC_TOKEN, TestBridge, user};
use crate::harness::trail::trail_of_default;

#[tokio::test]
async fn a_dress_is_taken_only_where_the_tenant_allows_it() {
    let basic = format!("Basic {}", STANDARD.encode(format!("okta:{STATIC_TOKEN}")));
    for (bare, basic_allowed) in [(false, false), (true, false), (false, true), (true, true)] {
        let trust = Trust { bare, basic: basic_allowed, ..Trust::default() };
        let bridge = TestBridge::builder().trust("default", trust).start().await;
        for (value, allowed) in [
            (format!("Bearer {STATIC_TOKEN}"), true),
            (STATIC_TOKEN.to_owned(), bare),
            (basic.clone(), basic_allowed),
        ] {
            let client = bridge.anonymous().at("/scim/v2").with_authorization(value.clone());
            let expected = if allowed { 200 } else { 401 };
            assert_eq!(client.get("/Users").await.status, expected, "{bare} {basic_allowed} {value}");
        }
    }
}

#[tokio::test]
async fn a_missing_scope_is_named_and_nothing_is_done() {
    let bridge = TestBridge::start().await;
    let (_, token) = bridge.mint_for("default", "users:read".parse().unwrap(), None).await;
    let reader = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    let detail = reader.post("/Users", &user("jane@x.example")).await.expect_error(403, None);
    assert!(detail.contains("users:write"), "{detail}");
    assert_eq!(bridge.okta().get("/Users").await.expect(200)["totalResults"], 0);
}

#[tokio::test]
async fn each_operation_of_a_bulk_request_needs_its_own_scope() {
    let bridge = TestBridge::start().await;
    let (_, token) = bridge.mint_for("default", "users:write".parse().unwrap(), None).await;
    let writer = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    let group = json!({ "displayName": "Staff" });
    let request = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            { "method": "POST", "path": "/Groups", "bulkId": "1", "data": group },
            { "method": "POST", "path": "/Users", "bulkId": "2", "data": user("jane@x.example") },
            { "method": "DELETE", "path": "/Groups/0191e5a0-0000-7000-8000-000000000000" },
        ],
    });
    let answer = writer.post("/Bulk", &request).await.expect(200);
    let statuses: Vec<_> =
        answer["Operations"].as_array().unwrap().iter().map(|operation| &operation["status"]).collect();
    assert_eq!(statuses, ["403", "201", "403"]);
    assert_eq!(bridge.okta().get("/Groups").await.expect(200)["totalResults"], 0);
}

#[tokio::test]
async fn the_outcome_of_a_request_is_told_to_those_who_may_make_it() {
    let bridge = TestBridge::builder().feed("default").start().await;
    let later = bridge.okta().with("Prefer", "respond-async");
    let answer = later.post("/Groups", &json!({ "displayName": "Staff" })).await;
    assert_eq!(answer.status, 202);
    let path = format!("/Transactions/{}", answer.header("set-txn").unwrap());
    for (scopes, is_refused) in [("groups:write", false), ("users:write groups:read events:read", true)] {
        let (_, token) = bridge.mint_for("default", scopes.parse().unwrap(), None).await;
        let client = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
        assert_eq!(client.get(&path).await.status == 403, is_refused, "{scopes}");
    }
}

#[tokio::test]
async fn several_tokens_work_at_once_and_each_ends_alone() {
    let bridge = TestBridge::start().await;
    let (_, first) = bridge.mint("default", Some("2026-01-01T01:00:00Z")).await;
    let (_, second) = bridge.mint("default", None).await;
    let status = async |token: &str| {
        let client = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
        client.get("/Users").await.status
    };
    assert_eq!((status(&first).await, status(&second).await), (200, 200));
    bridge.clock.advance(SignedDuration::from_hours(1));
    assert_eq!((status(&first).await, status(&second).await), (401, 200));
}

#[tokio::test]
async fn tokens_that_end_within_30_days_are_told_of_once_a_day() {
    let bridge = TestBridge::start().await;
    let (soon, _) = bridge.mint("default", Some("2026-01-31T00:00:00Z")).await;
    bridge.mint("default", Some("2026-01-31T00:00:01Z")).await;
    bridge.mint("default", None).await;
    bridge.mint("default", Some("2025-12-31T00:00:00Z")).await;
    let metrics = Metrics::new();
    let tenants = [TenantId::default_tenant()];
    let mut watch = Watch::new(bridge.store.clone(), bridge.clock.clone(), metrics.clone(), tenants);
    assert_eq!(watch.look().await.unwrap(), [soon]);
    assert!(metrics.render().contains("scim_bridge_tokens_expiring{tenant=\"default\"} 1"));
    assert!(metrics.render().contains("scim_bridge_token_time_left_seconds{tenant=\"default\"} 2592000"));
    assert!(watch.look().await.unwrap().is_empty());
    bridge.clock.advance(SignedDuration::from_hours(24));
    assert_eq!(watch.look().await.unwrap().len(), 2);
}

#[tokio::test]
async fn everybody_who_is_refused_is_in_the_trail_and_a_flood_costs_two_entries() {
    let bridge = TestBridge::start().await;
    let (id, token) = bridge.mint("default", Some("2026-01-01T00:00:00Z")).await;
    let expired = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    for _ in 0..50 {
        expired.get("/Users").await.expect(401);
    }
    bridge.anonymous().at("/scim/v2").get("/Users").await.expect(401);
    let (reader_id, reader) = bridge.mint_for("default", "users:read".parse::<Scopes>().unwrap(), None).await;
    let reader = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {reader}"));
    reader.get("/Groups").await.expect(403);
    // Nobody's trail: the tenant does not exist.
    bridge.anonymous().at("/tenants/none/scim/v2").get("/Users").await.expect(401);
    bridge.clock.advance(SignedDuration::from_mins(1));
    bridge.door.refusals().settle(false).await;
    let trail = trail_of_default(&bridge.store).await;
    let refused = trail.iter().filter(|told| told.event == "access.refused");
    let mut refused: Vec<_> = refused.map(|told| told.detail.clone()).collect();
    refused.sort_by_key(ToString::to_string);
    let mut expected = [
        json!({ "reason": "expired", "token_id": id, "count": 1 }),
        json!({ "reason": "expired", "token_id": id, "count": 49 }),
        json!({ "reason": "missing", "token_id": null, "count": 1 }),
        json!({ "reason": "scope", "token_id": reader_id, "count": 1 }),
    ];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(refused, expected);
    assert!(trail.iter().all(|told| !told.detail.to_string().contains(&token)));
}

#[tokio::test]
async fn what_was_counted_is_in_the_trail_when_the_program_ends() {
    let bridge = TestBridge::start().await;
    for _ in 0..3 {
        bridge.anonymous().at("/scim/v2").get("/Users").await.expect(401);
    }
    let end = CancellationToken::new();
    end.cancel();
    bridge.door.refusals().clone().tend(end).await;
    let trail = trail_of_default(&bridge.store).await;
    let counts: Vec<_> = trail.iter().map(|told| &told.detail["count"]).collect();
    assert_eq!(counts, [1, 2]);
}
