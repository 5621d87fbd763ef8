//! What the server says of itself: discovery documents, health and metrics.

use openai_scim_bridge::http::Condition;
use serde_json::{Value, json};

use crate::harness::bridge::TestBridge;

#[tokio::test]
async fn the_service_provider_config_tells_what_is_offered() {
    let bridge = TestBridge::start().await;
    let config = bridge.okta().get("/ServiceProviderConfig").await.expect(200);
    for (feature, offered) in [
        ("patch", true),
        ("filter", true),
        ("etag", true),
        ("bulk", true),
        ("sort", true),
        ("changePassword", false),
    ] {
        assert_eq!(config[feature]["supported"], offered, "{feature}");
    }
    assert_eq!(config["filter"]["maxResults"], 200);
    let pagination = json!({
        "cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 100,
        "maxPageSize": 200, "cursorTimeout": 3_600,
    });
    assert_eq!(config["pagination"], pagination);
    assert_eq!(config["meta"]["location"], "https://scim.example.com/scim/v2/ServiceProviderConfig");
}

#[tokio::test]
async fn resource_types_and_schemas_are_listed_and_found_one_by_one() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let okta = bridge.okta();
    let names = |list: &Value, key: &str| {
        let resources = list["Resources"].as_array().unwrap();
        resources.iter().map(|resource| resource[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let types = okta.get("/ResourceTypes").await.expect(200);
    assert_eq!(names(&types, "name"), ["User", "Group", "Role", "Entitlement"]);
    assert_eq!(okta.get("/ResourceTypes/User").await.expect(200), types["Resources"][0]);
    okta.get("/ResourceTypes/Device").await.expect_error(404, None);

    let schemas = okta.get("/Schemas").await.expect(200);
    for urn in names(&schemas, "id") {
        assert_eq!(okta.get(&format!("/Schemas/{urn}")).await.expect(200)["id"], urn);
    }
    assert!(
        names(&schemas, "id").contains(&"urn:ietf:params:scim:schemas:extension:openai:2.0:User".to_owned())
    );
    okta.get("/Schemas/urn:nobody").await.expect_error(404, None);
    okta.get("/Schemas?filter=id%20pr").await.expect_error(403, None);

    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(token);
    let location = &acme.get("/ResourceTypes/User").await.expect(200)["meta"]["location"];
    assert_eq!(location, "https://scim.example.com/tenants/acme/scim/v2/ResourceTypes/User");
}

#[tokio::test]
async fn health_tells_of_the_process_and_readiness_of_its_parts() {
    let bridge = TestBridge::start().await;
    let anonymous = bridge.anonymous();
    assert_eq!(anonymous.get("/healthz").await.expect(200), json!({"status": "ok"}));
    let ready = json!({"status": "ready", "components": {"database": "ok"}});
    assert_eq!(anonymous.get("/readyz").await.expect(200), ready);

    bridge.readiness.set("upstream:default", Condition::Degraded);
    let degraded =
        json!({"status": "ready", "components": {"database": "ok", "upstream:default": "degraded"}});
    assert_eq!(anonymous.get("/readyz").await.expect(200), degraded);

    bridge.readiness.set("upstream:default", Condition::Down);
    let down = json!({"status": "not ready", "components": {"database": "ok", "upstream:default": "down"}});
    assert_eq!(anonymous.get("/readyz").await.expect(503), down);
    anonymous.post("/healthz", &json!({})).await.expect_error(405, None);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let id = okta.create_named("jane@x.example").await;
    okta.get(&format!("/Users/{id}")).await.expect(200);
    bridge.anonymous().get("/scim/v2/Users").await.expect_error(401, None);
    let page = bridge.anonymous().get("/metrics").await;
    assert_eq!(page.status, 200);
    for line in [
        "scim_bridge_requests_total{method=\"POST\",route=\"/scim/v2/Users\",status=\"201\"} 1",
        "scim_bridge_requests_total{method=\"GET\",route=\"/scim/v2/Users/{id}\",status=\"200\"} 1",
        "scim_bridge_tokens_refused_total{reason=\"missing\"} 1",
    ] {
        assert!(page.body.contains(line), "{line} is not in\n{}", page.body);
    }
    assert!(!page.body.contains(&id) && !page.body.contains("jane"));
}
