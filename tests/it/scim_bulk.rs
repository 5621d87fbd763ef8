//! Bulk requests: order, references, limits, and that each operation is what it would be alone.

use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::provision::handle::{Handle, Message};
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge, user};
use crate::harness::database::Database;

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn request(operations: &[Value]) -> Value {
    json!({"schemas": [BULK], "Operations": operations})
}

fn post(bulk_id: &str, path: &str, data: &Value) -> Value {
    json!({"method": "POST", "path": path, "bulkId": bulk_id, "data": data})
}

fn create(name: &str) -> Value {
    post(name, "/Users", &user(&format!("{name}@x.example")))
}

fn patch(path: &str, operations: &Value) -> Value {
    let data =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    json!({"method": "PATCH", "path": path, "data": data})
}

/// The answers of a bulk request.
async fn run(actor: &Actor, operations: &[Value]) -> Vec<Value> {
    answers(&actor.post("/Bulk", &request(operations)).await.expect(200))
}

fn answers(answer: &Value) -> Vec<Value> {
    assert_eq!(answer["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    answer["Operations"].as_array().unwrap().clone()
}

fn statuses(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["status"].as_str().unwrap()).collect()
}

/// The path of what an operation was about, below the base.
fn path_of(answer: &Value) -> &str {
    answer["location"].as_str().unwrap().strip_prefix("https://scim.example.com/scim/v2").unwrap()
}

fn id_of(answer: &Value) -> &str {
    path_of(answer).rsplit('/').next().unwrap()
}

#[tokio::test]
async fn references_are_resolved_whatever_comes_first_below_every_base_path() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let acme = bridge.client_of("acme").await;
    let actors = [bridge.okta(), bridge.entra().at("/v1/scim/v2"), acme];
    for (name, actor) in ["x", "y", "z"].into_iter().zip(actors) {
        let config = actor.get("/ServiceProviderConfig").await.expect(200);
        let offered = json!({"supported": true, "maxOperations": 1_000, "maxPayloadSize": 1_048_576});
        assert_eq!(config["bulk"], offered);
        let joins = json!([{"op": "add", "path": "members", "value": [{"value": "bulkId:b"}]}]);
        let mut managed = user(&format!("managed{name}@x.example"));
        managed[ENTERPRISE] = json!({"manager": {"value": "bulkId:b", "$ref": "../Users/bulkId:b"}});
        let told = run(
            &actor,
            &[
                patch("/Groups/bulkId:g", &joins),
                post("g", "/Groups", &json!({"displayName": name, "members": [{"value": "bulkId:a"}]})),
                post("a", "/Users", &managed),
                post("b", "/Users", &user(&format!("b{name}@x.example"))),
            ],
        )
        .await;
        assert_eq!(statuses(&told), ["200", "201", "201", "201"]);
        let of = |index: usize| told[index]["location"].as_str().unwrap().split("/scim/v2").nth(1).unwrap();
        assert_eq!(told[1]["bulkId"], "g");
        assert_eq!((of(0), &told[0]["version"]), (of(1), &json!("W/\"2\"")));
        let group = actor.get(of(1)).await.expect(200);
        assert_eq!(group["meta"]["location"], told[1]["location"]);
        assert_eq!(group["members"].as_array().unwrap().len(), 2);
        let manager = &actor.get(of(2)).await.expect(200)[ENTERPRISE]["manager"]["value"];
        assert_eq!(manager, of(3).rsplit('/').next().unwrap());
    }
}

async fn what_is_asked_first_is_done_first(database: Database) {
    let bridge = TestBridge::builder().on(database).start().await;
    let okta = bridge.okta();
    let jane = run(&okta, &[create("jane")]).await.remove(0);
    let path = path_of(&jane);
    let title = |title: &str| patch(path, &json!([{"op": "replace", "path": "title", "value": title}]));
    let put = json!({"method": "PUT", "path": path, "data": user("jane@x.example")});
    let told = run(
        &okta,
        &[
            title("1"),
            title("2"),
            put,
            title("3"),
            post("again", "/Users", &user("jane@x.example")),
            json!({"method": "DELETE", "path": path}),
            create("jane"),
            title("4"),
        ],
    )
    .await;
    assert_eq!(statuses(&told), ["200", "200", "200", "200", "409", "204", "201", "404"]);
    let versions: Vec<_> = told.iter().map(|answer| answer["version"].as_str().unwrap_or_default()).collect();
    assert_eq!(versions, ["W/\"2\"", "W/\"3\"", "W/\"4\"", "W/\"5\"", "", "", "W/\"1\"", ""]);
    assert_eq!(told[4]["response"]["scimType"], "uniqueness");
    assert_eq!((told[4].get("location"), &told[7]["location"]), (None, &jane["location"]));
    okta.get(path).await.expect_error(404, None);
    okta.get(path_of(&told[6])).await.expect(200);
}

#[tokio::test]
async fn what_is_asked_first_is_done_first_on_sqlite() {
    what_is_asked_first_is_done_first(Database::sqlite()).await;
}

#[tokio::test]
async fn what_is_asked_first_is_done_first_on_postgresql() {
    if let Some(database) = Database::postgres().await {
        what_is_asked_first_is_done_first(database).await;
    }
}

#[tokio::test]
async fn an_operation_fails_alone_and_whole() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    let foreign = bridge.client_of("acme").await.create_named("joe@x.example").await;
    let half =
        json!([{"op": "add", "path": "title", "value": "x"}, {"op": "add", "path": "id", "value": "x"}]);
    let told = run(
        &okta,
        &[
            create("a"),
            patch(&path, &half),
            json!({"method": "DELETE", "path": format!("/Users/{foreign}")}),
            post("r", "/Roles", &json!({})),
            json!({"method": "DELETE", "path": "/Entitlements/x"}),
            post("s", "/Schemas", &json!({})),
            post("n", "/Bulk", &request(&[create("nested")])),
            post("e", "/Users", &json!({"userName": ""})),
            json!({"method": "GET", "path": path}),
            create("b"),
        ],
    )
    .await;
    assert_eq!(statuses(&told), ["201", "400", "404", "405", "405", "404", "400", "400", "400", "201"]);
    let nested = told[6]["response"]["detail"].as_str().unwrap();
    assert!(nested.contains("bulk"), "{nested}");
    assert_eq!(okta.get(&path).await.expect(200)["meta"]["version"], "W/\"1\"");
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 3);
}

#[tokio::test]
async fn a_version_is_the_condition_of_its_operation() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    let group = okta.post("/Groups", &json!({"displayName": "g"})).await.expect(201);
    let group = format!("/Groups/{}", group["id"].as_str().unwrap());
    let with_version = |mut operation: Value, version: u8| {
        operation["version"] = format!("W/\"{version}\"").into();
        operation
    };
    let title = patch(&path, &json!([{"op": "replace", "path": "title", "value": "Clerk"}]));
    let name = patch(&group, &json!([{"op": "replace", "path": "displayName", "value": "h"}]));
    let told = run(
        &okta,
        &[
            with_version(title.clone(), 2),
            with_version(title, 1),
            with_version(name, 9),
            with_version(json!({"method": "DELETE", "path": group}), 1),
            with_version(json!({"method": "DELETE", "path": path}), 1),
        ],
    )
    .await;
    assert_eq!(statuses(&told), ["412", "200", "412", "204", "412"]);
    okta.get(&path).await.expect(200);
}

#[tokio::test]
async fn the_run_ends_after_the_errors_that_are_accepted() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let bad = |id: &str| post(id, "/Users", &json!({"userName": "no address"}));
    let mut body = request(&[create("a"), bad("1"), create("b"), bad("2"), create("c"), bad("3")]);
    body["failOnErrors"] = 2.into();
    let told = answers(&okta.post("/Bulk", &body).await.expect(200));
    assert_eq!(statuses(&told), ["201", "400", "201", "400"]);
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 2);
}

#[tokio::test]
async fn circles_are_conflicts_and_nothing_of_them_is_made() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let managed = |name: &str, manager: &str| {
        let mut body = user(&format!("{name}@x.example"));
        body[ENTERPRISE] = json!({"manager": {"value": format!("bulkId:{manager}")}});
        post(name, "/Users", &body)
    };
    let told = run(
        &okta,
        &[managed("a", "b"), managed("b", "a"), managed("self", "self"), managed("c", "a"), create("d")],
    )
    .await;
    assert_eq!(statuses(&told), ["409", "409", "409", "400", "201"]);
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 1);

    // As many as there can be, all in one circle.
    let ring: Vec<_> = (0..1_000).map(|n| managed(&n.to_string(), &((n + 1) % 1_000).to_string())).collect();
    let told = run(&okta, &ring).await;
    assert!(statuses(&told).iter().all(|status| *status == "409"));
    assert_eq!(told.len(), 1_000);
}

#[tokio::test]
async fn as_many_operations_as_there_may_be_are_all_done() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let members: Vec<_> = (0..999).map(|n| json!({"value": format!("bulkId:u{n}")})).collect();
    let mut operations = vec![post("all", "/Groups", &json!({"displayName": "all", "members": members}))];
    operations.extend((0..999).map(|n| create(&format!("u{n}"))));
    let told = run(&okta, &operations).await;
    assert!(statuses(&told).iter().all(|status| *status == "201"));
    let third = okta.get(path_of(&told[3])).await.expect(200);
    assert_eq!((&told[3]["bulkId"], &third["userName"]), (&json!("u2"), &json!("u2@x.example")));
    let group = okta.get(path_of(&told[0])).await.expect(200);
    assert_eq!(group["members"].as_array().unwrap().len(), 999);

    // All of them again are as many conflicts, and one too many is refused as a whole.
    let told = run(&okta, &operations).await;
    assert!(statuses(&told)[1..].iter().all(|status| *status == "409"));
    operations.push(create("more"));
    let detail = okta.post("/Bulk", &request(&operations)).await.expect_error(413, None);
    assert!(detail.contains("1000"), "{detail}");
}

#[tokio::test]
async fn a_long_chain_of_references_is_followed() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let managed = |n: usize| {
        let mut body = user(&format!("u{n}@x.example"));
        body[ENTERPRISE] = json!({"manager": {"value": format!("bulkId:{}", n + 1)}});
        post(&n.to_string(), "/Users", &body)
    };
    let mut operations: Vec<_> = (0..100).map(managed).collect();
    operations.push(post("100", "/Users", &user("top@x.example")));
    let told = run(&okta, &operations).await;
    assert!(statuses(&told).iter().all(|status| *status == "201"));
    for pair in told.windows(2) {
        let manager = &okta.get(path_of(&pair[0])).await.expect(200)[ENTERPRISE]["manager"]["value"];
        assert_eq!(manager, id_of(&pair[1]));
    }
}

#[tokio::test]
async fn what_is_no_bulk_request_is_refused() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let answer = okta.send(method, "/Bulk", Some(b"{}")).await;
        answer.expect_error(405, None);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    for body in
        [json!([]), json!({}), json!({"Operations": {}}), json!({"Operations": [], "failOnErrors": "x"})]
    {
        assert_eq!(okta.post("/Bulk", &body).await.status, 400, "{body}");
    }
    assert!(run(&okta, &[]).await.is_empty());
    let deep = format!("{{\"Operations\":[{}1{}]}}", "[".repeat(100), "]".repeat(100));
    okta.send("POST", "/Bulk", Some(deep.as_bytes())).await.expect_error(400, Some("invalidSyntax"));
    let giant = request(&[post("a", "/Users", &json!({"userName": "x".repeat(1 << 20)}))]);
    let detail = okta.post("/Bulk", &giant).await.expect_error(413, None);
    assert!(detail.contains("1048576"), "{detail}");
    bridge.anonymous().post("/scim/v2/Bulk", &request(&[create("a")])).await.expect_error(401, None);
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 0);
}

#[tokio::test]
async fn nobody_waits_for_openai_and_nothing_is_put_off() {
    let (handle, mut inboxes) = Handle::new([TenantId::default_tenant()]);
    let bridge = TestBridge::builder().engine(handle).feed("default").start().await;
    let patient = bridge.okta().with("Prefer", "respond-async, wait=2");
    let told = run(&patient, &[create("a"), create("b")]).await;
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    assert_eq!(statuses(&run(&patient, &[patch(path_of(&told[0]), &off)]).await), ["200"]);
    let mut nudged = Vec::new();
    while let Ok(message) = inboxes[0].1.try_recv() {
        match message {
            Message::Nudge(person) => nudged.push(person.to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(nudged, [id_of(&told[0]), id_of(&told[1]), id_of(&told[0])]);
}
