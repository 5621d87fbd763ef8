//! Looking users up: every filter that identity providers are known to send, and what cannot be understood.

use openai_scim_bridge::directory::OPENAI_USER;
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Jane with everything, John with little, and Ann who is inactive.
async fn three_people(bridge: &TestBridge) -> (Actor, String) {
    let okta = bridge.okta();
    let jane = okta
        .create(&json!({
            "userName": "Jane@X.example",
            "externalId": "00uJANE",
            "displayName": "Jane Doe",
            "title": "Boss \"of\" all \\ 50%",
            "emails": [{"type": "work", "value": "jane.doe@x.example", "primary": true},
                       {"type": "home", "value": "jane@home.example"}],
            "roles": [{"value": "Admin", "primary": true}],
            ENTERPRISE: {"employeeNumber": "701984", "manager": {"value": "m-1"}},
        }))
        .await;
    bridge.clock.advance(jiff::SignedDuration::from_hours(24));
    okta.create(&json!({"userName": "john@x.example", "externalId": "00ujane"})).await;
    okta.create(
        &json!({"userName": "änn@x.example", "active": false, "emails": [{"value": "ann@x.example"}]}),
    )
    .await;
    (okta, jane["id"].as_str().unwrap().to_owned())
}

async fn found(actor: &Actor, filter: &str) -> Vec<String> {
    let list = actor.find(filter).await.expect(200);
    let resources = list["Resources"].as_array().unwrap();
    assert_eq!(list["totalResults"], resources.len(), "{filter}");
    assert_eq!(list["itemsPerPage"], resources.len(), "{filter}");
    resources.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_filter_seen_in_the_field_finds_whom_it_means() {
    let bridge = TestBridge::start().await;
    let (okta, id) = three_people(&bridge).await;
    let (jane, john, ann) = ("Jane@X.example", "john@x.example", "änn@x.example");
    for (filter, expected) in [
        ("userName eq \"jane@x.EXAMPLE\"".to_owned(), vec![jane]),
        ("userName eq \"ÄNN@x.example\"".to_owned(), vec![ann]),
        (format!("id eq \"{id}\""), vec![jane]),
        (format!("id eq \"{}\"", id.to_uppercase()), vec![]),
        ("externalId eq \"00uJANE\"".to_owned(), vec![jane]),
        ("externalId eq \"00UJANE\"".to_owned(), vec![]),
        ("emails.value eq \"Jane@home.example\"".to_owned(), vec![jane]),
        ("emails eq \"jane.doe@x.example\"".to_owned(), vec![jane]),
        ("emails[type eq \"work\"].value eq \"jane.doe@x.example\"".to_owned(), vec![jane]),
        ("emails[type eq \"work\"].value eq \"jane@home.example\"".to_owned(), vec![]),
        ("emails.value eq \"john@x.example\"".to_owned(), vec![]),
        ("displayName eq \"jane doe\"".to_owned(), vec![jane]),
        ("displayName EQ \"Jane Doe\"".to_owned(), vec![jane]),
        ("username Eq \"john@x.example\"".to_owned(), vec![john]),
        ("email Co \"X.example\"".to_owned(), vec![jane, ann]),
        (format!("id eq \"{id}\" and manager eq \"m-1\""), vec![jane]),
        (format!("manager eq \"m-1\" AND id eq {id}"), vec![jane]),
        (format!("id eq \"{id}\" and {ENTERPRISE}:manager eq \"m-2\""), vec![]),
        (format!("id eq \"{id}\" and manager.value eq \"m-1\""), vec![jane]),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"john@x.example\"".to_owned(), vec![john]),
        (format!("{ENTERPRISE}:employeeNumber eq \"701984\""), vec![jane]),
        ("active eq true".to_owned(), vec![jane, john]),
        ("active eq \"False\"".to_owned(), vec![ann]),
        ("roles[primary eq \"True\"].value eq \"admin\"".to_owned(), vec![jane]),
        ("meta.lastModified gt \"2026-01-01T00:00:00Z\"".to_owned(), vec![john, ann]),
        ("meta.lastModified ge \"2026-01-01T00:00:00Z\"".to_owned(), vec![jane, john, ann]),
        ("meta.created lt \"2026-01-01T00:00:00.0000001Z\"".to_owned(), vec![jane]),
        ("userName sw \"j\"".to_owned(), vec![jane, john]),
        ("userName co \"@X.\"".to_owned(), vec![jane, john, ann]),
        ("userName co \"%\"".to_owned(), vec![]),
        ("title eq \"boss \\\"of\\\" all \\\\ 50%\"".to_owned(), vec![jane]),
        ("not (userName sw \"j\")".to_owned(), vec![ann]),
        ("title pr".to_owned(), vec![jane]),
        ("userName eq \"john@x.example\" or title pr and active eq false".to_owned(), vec![john]),
        ("(userName eq \"john@x.example\" or title pr) and active eq true".to_owned(), vec![jane, john]),
        (format!("{OPENAI_USER}:status eq \"parked\""), vec![ann]),
        (format!("{OPENAI_USER}:status eq \"pending\""), vec![jane, john]),
        ("externalId eq \"'; DROP TABLE people; --\"".to_owned(), vec![]),
    ] {
        assert_eq!(found(&okta, &filter).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_query_is_read_in_every_spelling() {
    let bridge = TestBridge::start().await;
    let (okta, _) = three_people(&bridge).await;
    for query in [
        "filter=userName%20eq%20%22john%40x.example%22",
        "filter=userName+eq+%22john@x.example%22",
        "filter=userName+eq+\"john@x.example\"",
        "filter=userName%20eq%20\"john@x.example\"&startIndex=1&count=100",
        "aadOptscim062020&filter=userName+eq+\"john@x.example\"&attributes=&sortBy=&unknown=1",
        "Filter=userName+eq+\"john@x.example\"",
    ] {
        let list = okta.get(&format!("/Users?{query}")).await.expect(200);
        assert_eq!(list["totalResults"], 1, "{query}");
    }
    assert_eq!(okta.get("/Users/?filter=").await.expect(200)["totalResults"], 3);
}

#[tokio::test]
async fn no_hit_is_an_empty_list() {
    let bridge = TestBridge::start().await;
    let expected = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": [],
    });
    for filter in ["userName eq \"4f8e7f9e-0000-4000-8000-5f5e8d2a4f8e\"", "title eq \"x\"", "id eq \"x\""] {
        assert_eq!(bridge.entra().find(filter).await.expect(200), expected);
    }
    assert_eq!(bridge.entra().get("/Users").await.expect(200), expected);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_never_means_everybody() {
    let bridge = TestBridge::start().await;
    let (okta, _) = three_people(&bridge).await;
    let deep = format!("{}userName pr{}", "(".repeat(1_000), ")".repeat(1_000));
    for filter in [
        "userName eq \"a\" and",
        "userName eq",
        "eq \"a\"",
        "userName is \"a\"",
        "userName eq 'a'",
        "userName eq \"a",
        "nobodyKnows eq \"a\"",
        "active gt true",
        "meta.lastModified gt \"yesterday\"",
        "emails[type eq \"work\"",
        "()",
        "🦀",
        &deep,
    ] {
        let body = okta.find(filter).await;
        body.expect_error(400, Some("invalidFilter"));
        assert_eq!(body.json().get("Resources"), None);
    }
    okta.find("password eq \"x\"").await.expect_error(403, Some("sensitive"));
    okta.find("userName eq \"a\\u0000\"").await.expect_error(400, Some("invalidFilter"));
    let many = vec!["userName eq \"a\""; 51].join(" or ");
    okta.find(&many).await.expect_error(400, Some("invalidFilter"));
}

#[tokio::test]
async fn a_filter_beside_a_projection_sees_the_whole_user() {
    let bridge = TestBridge::start().await;
    let (okta, id) = three_people(&bridge).await;
    let query = format!("/Users?filter=id%20eq%20%22{id}%22%20and%20manager%20eq%20%22m-1%22&attributes=id");
    let list: Value = okta.get(&query).await.expect(200);
    assert_eq!(list["Resources"][0]["id"], id.as_str());
    assert_eq!(list["Resources"][0].get("userName"), None);
}
