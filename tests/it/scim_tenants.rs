//! Each tenant by itself: no endpoint and no id leads to another one's.

use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::scim::profile::Profile;
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge, user};
use crate::harness::wire::Answer;

const NOBODY: &str = "0191e5a0-0000-7000-8000-000000000000";

/// Every path below the base, with `{}` where an id stands, and the methods that it takes.
const ENDPOINTS: [(&str, &[&str]); 17] = [
    ("", &["GET"]),
    ("/Users", &["GET", "POST"]),
    ("/Users/{}", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/Groups", &["GET", "POST"]),
    ("/Groups/{}", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/Roles", &["GET"]),
    ("/Roles/{}", &["GET"]),
    ("/Entitlements", &["GET"]),
    ("/Entitlements/{}", &["GET"]),
    ("/ServiceProviderConfig", &["GET"]),
    ("/ResourceTypes", &["GET"]),
    ("/Schemas", &["GET"]),
    ("/Events", &["POST"]),
    ("/Transactions/{}", &["GET"]),
    ("/Bulk", &["POST"]),
    ("/.search", &["POST"]),
    ("/Users/.search", &["POST"]),
];

/// Two tenants with an event feed each, and a client of each.
async fn two() -> (TestBridge, Actor, Actor) {
    let bridge =
        TestBridge::builder().tenant("ours").tenant("theirs").feed("ours").feed("theirs").start().await;
    let (ours, theirs) = (bridge.client_of("ours").await, bridge.client_of("theirs").await);
    (bridge, ours, theirs)
}

fn id_of(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

fn body_for(method: &str, path: &str) -> Option<Value> {
    match method {
        "POST" | "PUT" if path.starts_with("/Users") => Some(user("mallory@x.example")),
        "POST" | "PUT" if path.starts_with("/Groups") => Some(json!({ "displayName": "Mallory" })),
        "PATCH" => Some(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "value": { "displayName": "Mallory" } }],
        })),
        "POST" => Some(json!({ "returnImmediately": true })),
        _ => None,
    }
}

async fn send(actor: &Actor, method: &str, path: &str) -> Answer {
    let body = body_for(method, path).map(|body| body.to_string());
    actor.send(method, path, body.as_deref().map(str::as_bytes)).await
}

#[tokio::test]
async fn a_token_of_another_tenant_opens_no_endpoint() {
    let (_bridge, ours, theirs) = two().await;
    let jane = ours.create_named("jane@x.example").await;
    let before = ours.get(&format!("/Users/{jane}")).await.expect(200);
    let intruder = theirs.clone().at("/tenants/ours/scim/v2");
    for (template, methods) in ENDPOINTS {
        for id in [jane.as_str(), NOBODY] {
            let path = template.replace("{}", id);
            for method in methods {
                let refused = send(&intruder, method, &path).await;
                refused.expect_error(401, None);
                assert!(!refused.body.contains(&jane), "{method} {path}: {}", refused.body);
            }
        }
    }
    assert_eq!(ours.get(&format!("/Users/{jane}")).await.expect(200), before);
}

#[tokio::test]
async fn a_foreign_id_is_an_unknown_one_everywhere() {
    let (_bridge, ours, theirs) = two().await;
    let jane = ours.create(&user("jane@x.example")).await;
    let staff = json!({ "displayName": "Staff", "members": [{ "value": id_of(&jane) }] });
    let staff = ours.post("/Groups", &staff).await.expect(201);
    let deferred = ours.clone().with("Prefer", "respond-async");
    let deferred = deferred.post("/Users", &user("late@x.example")).await;
    let txn = deferred.header("set-txn").expect("a transaction").to_owned();

    for (template, id) in [
        ("/Users/{}", id_of(&jane)),
        ("/Groups/{}", id_of(&staff)),
        ("/Roles/{}", "org:owner"),
        ("/Entitlements/{}", id_of(&staff)),
        ("/Transactions/{}", txn.as_str()),
    ] {
        let methods = ENDPOINTS.iter().find(|(path, _)| *path == template).unwrap().1;
        for method in methods {
            let foreign = send(&theirs, method, &template.replace("{}", id)).await;
            if template == "/Roles/{}" {
                // The same in every organization.
                continue;
            }
            let unknown = send(&theirs, method, &template.replace("{}", NOBODY)).await;
            assert_eq!(
                foreign.expect_error(404, None),
                unknown.expect_error(404, None),
                "{method} {template}"
            );
        }
    }
    assert_eq!(ours.get(&format!("/Users/{}", id_of(&jane))).await.expect(200)["meta"], jane["meta"]);
    assert_eq!(ours.get(&format!("/Groups/{}", id_of(&staff))).await.expect(200)["meta"], staff["meta"]);
}

#[tokio::test]
async fn no_filter_and_no_list_finds_another_tenants_resources() {
    let (_bridge, ours, theirs) = two().await;
    let mut jane = user("jane@x.example");
    jane["externalId"] = json!("00u1");
    let jane = ours.create(&jane).await;
    let staff = json!({ "displayName": "Staff", "externalId": "g1", "members": [{ "value": id_of(&jane) }] });
    let staff = ours.post("/Groups", &staff).await.expect(201);
    for (path, filter) in [
        ("/Users", format!("id eq \"{}\"", id_of(&jane))),
        ("/Users", "userName eq \"jane@x.example\"".to_owned()),
        ("/Users", "userName sw \"jane\"".to_owned()),
        ("/Users", "externalId eq \"00u1\"".to_owned()),
        ("/Users", "emails[value eq \"jane@x.example\"]".to_owned()),
        ("/Users", "id pr".to_owned()),
        ("/Groups", format!("id eq \"{}\"", id_of(&staff))),
        ("/Groups", "displayName eq \"Staff\"".to_owned()),
        ("/Groups", "externalId eq \"g1\"".to_owned()),
        ("/Groups", format!("members eq \"{}\"", id_of(&jane))),
        ("/Groups", format!("members[value eq \"{}\"]", id_of(&jane))),
    ] {
        let found = theirs.find_in(path, &filter).await;
        if found.status == 200 {
            assert_eq!(found.json()["totalResults"], 0, "{path} {filter}");
        } else {
            found.expect_error(400, Some("invalidFilter"));
        }
    }
    for path in ["/Users", "/Groups", "/Users?count=0", "/Users?startIndex=1&count=200"] {
        assert_eq!(theirs.get(path).await.expect(200)["totalResults"], 0, "{path}");
    }
}

#[tokio::test]
async fn a_group_takes_no_member_of_another_tenant() {
    let (_bridge, ours, theirs) = two().await;
    let jane = ours.create_named("jane@x.example").await;
    let group = theirs.post("/Groups", &json!({ "displayName": "Mine" })).await.expect(201);
    let path = format!("/Groups/{}", id_of(&group));
    let members = json!([{ "value": jane }]);
    let unknown = json!([{ "value": NOBODY }]);
    for (members, nobody) in [(&members, &unknown)] {
        let add = |value: &Value| json!([{ "op": "add", "path": "members", "value": value }]);
        let with = |value: &Value| json!({ "displayName": "Another", "members": value });
        let foreign = theirs.patch(&path, &add(members)).await;
        let same = theirs.patch(&path, &add(nobody)).await;
        assert_eq!(foreign.status, same.status, "{} {}", foreign.body, same.body);
        assert_eq!(foreign.body.replace(&jane, NOBODY), same.body);
        let foreign = theirs.post("/Groups", &with(members)).await;
        assert_eq!(foreign.status, theirs.post("/Groups", &with(nobody)).await.status, "{}", foreign.body);
    }
    let shown = theirs.get(&path).await.expect(200);
    assert!(!shown.to_string().contains(&jane), "{shown}");
    let jane = ours.get(&format!("/Users/{jane}")).await.expect(200);
    assert!(jane.get("groups").is_none_or(|groups| groups.as_array().unwrap().is_empty()), "{jane}");
}

#[tokio::test]
async fn names_are_unique_within_a_tenant_and_free_in_another() {
    let (_bridge, ours, theirs) = two().await;
    let mut jane = user("jane@x.example");
    jane["externalId"] = json!("00u1");
    let group = json!({ "displayName": "Staff", "externalId": "g1" });
    let mut ids = Vec::new();
    for actor in [&ours, &theirs] {
        ids.push(id_of(&actor.create(&jane).await).to_owned());
        ids.push(id_of(&actor.post("/Groups", &group).await.expect(201)).to_owned());
        actor.post("/Users", &jane).await.expect_error(409, Some("uniqueness"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert_eq!(theirs.delete(&format!("/Users/{}", ids[0])).await.status % 100, 4, "one of the two knows it");
}

#[tokio::test]
async fn events_are_told_to_their_own_tenant_alone() {
    let (_bridge, ours, theirs) = two().await;
    ours.create_named("jane@x.example").await;
    let poll = json!({ "returnImmediately": true });
    let sets = ours.post("/Events", &poll).await.expect(200)["sets"].clone();
    let id = sets.as_object().unwrap().keys().next().expect("an event").clone();
    let poll_and_acknowledge = json!({ "returnImmediately": true, "ack": [id] });
    assert_eq!(theirs.post("/Events", &poll_and_acknowledge).await.expect(200)["sets"], json!({}));
    let still = ours.post("/Events", &poll).await.expect(200)["sets"].clone();
    assert!(
        still.as_object().unwrap().contains_key(&id),
        "another tenant's acknowledgement counts for nothing"
    );
}

#[tokio::test]
async fn a_tenant_that_is_let_go_is_served_no_longer_and_the_others_are() {
    let (bridge, ours, theirs) = two().await;
    let jane = ours.create_named("jane@x.example").await;
    bridge.directory.let_go(&"ours".parse().unwrap());
    ours.get("/Users").await.expect_error(401, None);
    theirs.get("/Users").await.expect(200);
    bridge.directory.take_on("ours".parse().unwrap(), Policy::default(), Profile::default());
    assert_eq!(ours.get(&format!("/Users/{jane}")).await.expect(200)["id"], jane.as_str());
}
