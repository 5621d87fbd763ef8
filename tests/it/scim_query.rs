//! Sorting, paging by cursor, queries by POST and across types.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use openai_scim_bridge::ids::{GroupId, TenantId};
use openai_scim_bridge::model::group::Group;
use openai_scim_bridge::scim::schema::limits::MAX_EXAMINED;
use openai_scim_bridge::store::StoreError;
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge, user};

const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Four people, and two groups that John is in.
async fn staff(bridge: &TestBridge) -> Actor {
    let okta = bridge.okta();
    for (name, title, email) in [
        ("Carol", Some("Clerk"), "x@x.example"),
        ("alice", None, "z@x.example"),
        ("Bob", Some("boss"), "Y@x.example"),
        ("john", Some("Aide"), "w@x.example"),
    ] {
        let mut body = json!({
            "userName": format!("{name}@x.example"),
            "externalId": name,
            "active": name != "Bob",
            "emails": [{"value": "a@first.example", "type": "home"}, {"value": email, "type": "work", "primary": true}],
        });
        if let Some(title) = title {
            body["title"] = title.into();
            body["displayName"] = title.into();
        }
        let created = okta.create(&body).await;
        bridge.clock.advance(SignedDuration::from_mins(1));
        if name == "john" {
            for group in ["Staff", "Crew"] {
                let body = json!({"displayName": group, "members": [{"value": created["id"]}]});
                okta.post("/Groups", &body).await.expect(201);
                bridge.clock.advance(SignedDuration::from_mins(1));
            }
        }
    }
    okta
}

/// Short names of what a list shows: of users the local part, of others the name or id.
fn names(list: &Value) -> Vec<String> {
    let name = |resource: &Value| {
        let name = ["userName", "displayName", "id"].into_iter().find_map(|key| resource[key].as_str());
        name.unwrap().replace("@x.example", "")
    };
    let resources = list["Resources"].as_array().unwrap();
    assert_eq!(list["itemsPerPage"], resources.len());
    resources.iter().map(name).collect()
}

/// All pages of a query by cursor, forward, and then the same back.
async fn pages(actor: &Actor, path: &str, count: usize) -> Vec<Vec<String>> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let page = async |cursor: &str| {
        actor.get(&format!("{path}{separator}count={count}&cursor={cursor}")).await.expect(200)
    };
    let (mut forward, mut list) = (Vec::new(), page("").await);
    assert_eq!((list.get("previousCursor"), list.get("startIndex")), (None, None));
    loop {
        forward.push(names(&list));
        let Some(next) = list["nextCursor"].as_str() else { break };
        list = page(next).await;
    }
    let mut backward = vec![names(&list)];
    while let Some(previous) = list["previousCursor"].as_str() {
        list = page(previous).await;
        assert!(list["nextCursor"].is_string());
        backward.push(names(&list));
    }
    backward.reverse();
    assert_eq!(forward.concat(), backward.concat(), "{path}");
    forward
}

#[tokio::test]
async fn every_order_is_the_same_by_index_by_cursor_and_by_post() {
    let bridge = TestBridge::start().await;
    let okta = staff(&bridge).await;
    for (by, ascending) in [
        ("userName", ["alice", "Bob", "Carol", "john"]),
        ("USERNAME", ["alice", "Bob", "Carol", "john"]),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", ["alice", "Bob", "Carol", "john"]),
        ("externalId", ["Bob", "Carol", "alice", "john"]),
        ("displayName", ["john", "Bob", "Carol", "alice"]),
        ("title", ["john", "Bob", "Carol", "alice"]),
        ("emails", ["john", "Carol", "Bob", "alice"]),
        ("emails.value", ["john", "Carol", "Bob", "alice"]),
        ("emails.type", ["Carol", "alice", "Bob", "john"]),
        ("active", ["Bob", "Carol", "alice", "john"]),
        ("meta.created", ["Carol", "alice", "Bob", "john"]),
        ("meta.lastModified", ["Carol", "alice", "Bob", "john"]),
        ("id", ["Carol", "alice", "Bob", "john"]),
        ("groups.display", ["john", "Carol", "alice", "Bob"]),
        ("nickName", ["Carol", "alice", "Bob", "john"]),
    ] {
        for (order, filter) in [
            ("ascending", ""),
            ("Descending", ""),
            ("ascending", "id pr"),
            ("descending", "userName co \"@\""),
            ("descending", "emails.type eq \"home\""),
        ] {
            let mut expected: Vec<_> = ascending.to_vec();
            if order.eq_ignore_ascii_case("descending") {
                expected.reverse();
            }
            let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
            let path = format!("/Users?sortBy={by}&sortOrder={order}&filter={encoded}");
            let list = okta.get(&path).await.expect(200);
            assert_eq!(names(&list), expected, "{path}");
            let third = okta.get(&format!("{path}&startIndex=3&count=1")).await.expect(200);
            assert_eq!((names(&third), &third["totalResults"]), (vec![expected[2].to_owned()], &json!(4)));
            assert_eq!(pages(&okta, &path, 3).await, [&expected[..3], &expected[3..]]);
            let mut body = json!({"schemas": [SEARCH], "sortBy": by, "sortOrder": order, "count": 4});
            if !filter.is_empty() {
                body["filter"] = filter.into();
            }
            assert_eq!(okta.post("/Users/.search", &body).await.expect(200)["Resources"], list["Resources"]);
        }
    }
    for (by, ascending) in
        [("displayName", ["Crew", "Staff"]), ("members.value", ["Staff", "Crew"]), ("id", ["Staff", "Crew"])]
    {
        let list = okta.get(&format!("/Groups?sortBy={by}")).await.expect(200);
        assert_eq!(names(&list), ascending, "{by}");
        assert_eq!(pages(&okta, &format!("/Groups?sortBy={by}"), 1).await.concat(), ascending, "{by}");
    }
    assert_eq!(
        pages(&okta, "/Roles?sortBy=display&sortOrder=descending", 1).await.concat(),
        ["org:reader", "org:owner"]
    );
}

#[tokio::test]
async fn what_has_no_order_is_refused() {
    let bridge = TestBridge::start().await;
    let okta = staff(&bridge).await;
    for (query, status, scim_type) in [
        ("sortBy=unknown", 400, "invalidValue"),
        ("sortBy=name", 400, "invalidValue"),
        ("sortBy=members", 400, "invalidValue"),
        ("sortBy=userName&sortOrder=up", 400, "invalidValue"),
        ("sortBy=password", 403, "sensitive"),
        ("sortBy=x509Certificates", 400, "invalidValue"),
        ("sortBy=userName&sortBy=id", 400, "invalidValue"),
        ("cursor=&count=0", 400, "invalidCount"),
        ("cursor=&count=-1", 400, "invalidCount"),
        ("cursor=&count=many", 400, "invalidCount"),
        ("cursor=&startIndex=2", 400, "invalidValue"),
        ("cursor=x", 400, "invalidCursor"),
        ("cursor=%F0%9F%A6%80", 400, "invalidCursor"),
    ] {
        okta.get(&format!("/Users?{query}")).await.expect_error(status, Some(scim_type));
    }
    assert_eq!(okta.get("/Users?sortBy=&sortOrder=descending").await.expect(200)["totalResults"], 4);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_query_and_its_time_alone() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let okta = staff(&bridge).await;
    let path = "/Users?sortBy=userName&filter=active%20eq%20true&count=1";
    let first = okta.get(&format!("{path}&cursor")).await.expect(200);
    assert_eq!((names(&first), &first["totalResults"]), (vec!["alice".to_owned()], &json!(3)));
    let next = first["nextCursor"].as_str().unwrap().to_owned();

    // The number and the part of the resources may change; so may the way the query is put.
    let second =
        okta.get(&format!("{path}&cursor={next}&attributes=userName&startIndex=1")).await.expect(200);
    assert_eq!(names(&second), ["Carol"]);
    let body = json!({
        "schemas": [SEARCH], "sortBy": "userName", "filter": "active EQ true", "cursor": next, "count": 5,
        "excludedAttributes": ["emails", "meta"],
    });
    let second = okta.post("/Users/.search", &body).await.expect(200);
    assert_eq!(
        (names(&second), second.get("nextCursor")),
        (vec!["Carol".to_owned(), "john".to_owned()], None)
    );
    assert_eq!((second["Resources"][0].get("emails"), second["Resources"][0].get("meta")), (None, None));

    let foreign = bridge.client_of("acme").await;
    let mut forged = next.clone();
    let other = if forged.remove(10) == 'A' { 'B' } else { 'A' };
    forged.insert(10, other);
    for (actor, path) in [
        (&okta, format!("/Users?sortBy=userName&filter=active%20eq%20false&cursor={next}")),
        (&okta, format!("/Users?filter=active%20eq%20true&cursor={next}")),
        (&okta, format!("{path}&sortOrder=descending&cursor={next}")),
        (&okta, format!("/?sortBy=userName&filter=active%20eq%20true&cursor={next}")),
        (&okta, format!("/Groups?cursor={next}")),
        (&okta, format!("{path}&cursor={forged}")),
        (&okta, format!("{path}&cursor={}", "A".repeat(7_000))),
        (&foreign, format!("{path}&cursor={next}")),
    ] {
        let answer = actor.get(&path).await;
        answer.expect_error(400, Some("invalidCursor"));
        assert!(answer.json().get("Resources").is_none());
    }
    bridge.clock.advance(SignedDuration::from_secs(3_599));
    okta.get(&format!("{path}&cursor={next}")).await.expect(200);
    bridge.clock.advance(SignedDuration::from_secs(1));
    okta.get(&format!("{path}&cursor={next}")).await.expect_error(400, Some("expiredCursor"));
}

#[tokio::test]
async fn a_cursor_outlives_the_process_and_those_who_were_at_its_place() {
    let bridge = TestBridge::start().await;
    let okta = staff(&bridge).await;
    let first = okta.get("/Users?sortBy=userName&count=2&cursor=").await.expect(200);
    assert_eq!(names(&first), ["alice", "Bob"]);
    let path = format!("/Users?sortBy=userName&count=2&cursor={}", first["nextCursor"].as_str().unwrap());
    let last = okta.get(&path).await.expect(200);
    let ids = |list: &Value| -> Vec<String> {
        let ids = list["Resources"].as_array().unwrap().iter();
        ids.map(|user| user["id"].as_str().unwrap().to_owned()).collect()
    };
    for id in ids(&first) {
        okta.delete(&format!("/Users/{id}")).await;
    }
    let (database, keys) = bridge.leave().await;
    let bridge = TestBridge::builder().start_on(database, keys).await;
    let okta = bridge.okta();
    let at = async |cursor: &Value| {
        okta.get(&format!("/Users?sortBy=userName&count=2&cursor={}", cursor.as_str().unwrap()))
            .await
            .expect(200)
    };
    assert_eq!(names(&at(&first["nextCursor"]).await), ["Carol", "john"]);

    // Before the last page there is nobody any more; from there the way on leads to the beginning.
    let empty = at(&last["previousCursor"]).await;
    assert_eq!((names(&empty), empty.get("previousCursor")), (vec![], None));
    assert_eq!(names(&at(&empty["nextCursor"]).await), ["Carol", "john"]);
    for id in ids(&last) {
        okta.delete(&format!("/Users/{id}")).await;
    }
    okta.create(&user("aaron@x.example")).await;
    let empty = at(&first["nextCursor"]).await;
    assert_eq!((names(&empty), empty.get("nextCursor")), (vec![], None));
    assert_eq!(names(&at(&empty["previousCursor"]).await), ["aaron"]);
}

#[tokio::test]
async fn a_query_without_an_endpoint_is_about_all_types() {
    let bridge = TestBridge::start().await;
    let okta = staff(&bridge).await;
    let everything = okta.get("/").await.expect(200);
    assert_eq!(everything["totalResults"], 8);
    let all = names(&everything);
    let found: BTreeSet<_> = all.iter().map(String::as_str).collect();
    assert_eq!(
        found,
        BTreeSet::from(["Carol", "alice", "Bob", "john", "Staff", "Crew", "org:owner", "org:reader"])
    );
    for size in [1, 3, 8] {
        assert_eq!(pages(&okta, "/", size).await.concat(), all);
        let mut by_index = Vec::new();
        while by_index.len() < all.len() {
            let path = format!("/?startIndex={}&count={size}", by_index.len() + 1);
            by_index.extend(names(&okta.get(&path).await.expect(200)));
        }
        assert_eq!(by_index, all);
    }
    for (filter, expected) in [
        ("meta.resourceType eq \"User\"", vec!["Carol", "alice", "Bob", "john"]),
        ("meta.resourceType eq \"Group\"", vec!["Staff", "Crew"]),
        ("meta.resourceType ne \"User\" and id sw \"org:\"", vec!["org:owner", "org:reader"]),
        (
            "(meta.resourceType eq \"User\") or (meta.resourceType eq \"Group\" and displayName sw \"s\")",
            vec!["Carol", "alice", "Bob", "john", "Staff"],
        ),
        ("displayName co \"a\"", vec!["john", "Staff"]),
        ("userName eq \"bob@x.example\"", vec!["Bob"]),
        ("userName eq \"bob@x.example\" or displayName eq \"crew\"", vec!["Bob", "Crew"]),
        ("meta.resourceType eq \"Device\"", vec![]),
        ("active eq false or supported eq false", vec!["Bob", "org:owner"]),
    ] {
        let list = okta.find_in("/", filter).await.expect(200);
        assert_eq!(
            (names(&list), &list["totalResults"]),
            (to_owned(&expected), &json!(expected.len())),
            "{filter}"
        );
        let posted = okta.post("/.search", &json!({"schemas": [SEARCH], "filter": filter})).await.expect(200);
        assert_eq!(posted, list, "{filter}");
        let posted =
            okta.post("/.search", &json!({"filter": filter, "cursor": "", "count": 200})).await.expect(200);
        assert_eq!(posted["Resources"], list["Resources"], "{filter}");
    }
    let sorted = okta.get("/?sortBy=displayName&filter=displayName%20pr").await.expect(200);
    assert_eq!(names(&sorted), ["john", "Bob", "Carol", "Crew", "Staff"]);
    assert_eq!(sorted["Resources"][3]["members"][0]["display"], "john@x.example");
    let path = "/?sortBy=displayName&sortOrder=descending&filter=displayName%20pr";
    assert_eq!(pages(&okta, path, 2).await.concat(), ["Staff", "Crew", "Carol", "Bob", "john"]);
    let narrow =
        okta.get("/?attributes=members.display,title&filter=displayName%20sw%20%22c%22").await.expect(200);
    let resources = narrow["Resources"].as_array().unwrap();
    assert_eq!(resources[0]["title"], "Clerk");
    assert_eq!((resources[0].get("userName"), resources[1].get("displayName")), (None, None));
    assert_eq!(resources[1]["members"], json!([{"display": "john@x.example"}]));

    okta.find_in("/", "nobodyKnows pr").await.expect_error(400, Some("invalidFilter"));
    okta.find_in("/", "password eq \"x\"").await.expect_error(403, Some("sensitive"));
    okta.get("/?startIndex=10002").await.expect(200);
    bridge.anonymous().get("/scim/v2/").await.expect_error(401, None);
}

fn to_owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_search_is_refused_unless_it_is_one() {
    let bridge = TestBridge::start().await;
    let okta = staff(&bridge).await;
    for path in ["/.search", "/Users/.search", "/Groups/.search", "/Roles/.search", "/Entitlements/.search"] {
        assert!(okta.post(path, &json!({"schemas": [SEARCH]})).await.expect(200)["totalResults"].is_u64());
        for (body, scim_type) in [
            (json!([]), "invalidSyntax"),
            (json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}), "invalidSyntax"),
            (json!({"filter": 1}), "invalidFilter"),
            (json!({"filter": {}}), "invalidSyntax"),
            (json!({"filter": ""}), "invalidFilter"),
            (json!({"filter": "nobodyKnows pr"}), "invalidFilter"),
            (json!({"attributes": [1]}), "invalidSyntax"),
            (json!({"cursor": "", "count": 0}), "invalidCount"),
        ] {
            okta.post(path, &body).await.expect_error(400, Some(scim_type));
        }
        okta.send("POST", path, Some(b"")).await.expect_error(400, Some("invalidSyntax"));
        okta.send("POST", path, Some(&b" ".repeat(1_048_577))).await.expect_error(413, None);
        okta.clone().with_content_type("text/plain").post(path, &json!({})).await.expect_error(415, None);
        bridge.anonymous().at("/scim/v2").post(path, &json!({})).await.expect_error(401, None);
        assert_eq!(okta.send("OPTIONS", path, None).await.header("allow"), Some("POST"), "{path}");
    }
}

/// Adds two groups more than one request has looked at one by one, named by their number.
async fn many_groups(bridge: &TestBridge) {
    let now = bridge.clock.now();
    let group = |number: usize| Group {
        tenant: TenantId::default_tenant(),
        id: GroupId::new(&bridge.clock),
        display_name: format!("Group {number:05}"),
        external_id: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: json!({"displayName": format!("Group {number:05}")}).as_object().unwrap().clone(),
    };
    let mut groups: Vec<_> = (0..MAX_EXAMINED + 2).map(group).collect();
    // All were made in one millisecond, in which ids are in no order.
    let mut ids: Vec<_> = groups.iter().map(|group| group.id).collect();
    ids.sort_unstable();
    groups.iter_mut().zip(ids).for_each(|(group, id)| group.id = id);
    let groups = Arc::new(groups);
    let written = bridge.store.write::<_, StoreError>(move |tx| {
        let groups = Arc::clone(&groups);
        Box::pin(async move {
            for group in groups.iter() {
                tx.insert_group(group).await?;
            }
            Ok(())
        })
    });
    written.await.unwrap();
}

#[tokio::test]
async fn what_would_be_looked_at_without_end_is_refused_by_index_and_had_by_cursor() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    okta.create(&json!({"userName": "zoe@x.example", "displayName": "Zoe 01"})).await;
    many_groups(&bridge).await;
    let ends = |end: &str| format!("filter=displayName%20ew%20%22{end}%22");

    let refused = okta.get(&format!("/Groups?{}", ends("01"))).await;
    assert!(refused.expect_error(400, Some("tooMany")).contains("cursor"));
    okta.get(&format!("/?{}", ends("01"))).await.expect_error(400, Some("tooMany"));
    okta.get(&format!("/Groups?count=0&{}", ends("01"))).await.expect_error(400, Some("tooMany"));
    assert_eq!(names(&okta.get(&format!("/Users?{}", ends("01"))).await.expect(200)), ["zoe"]);
    let narrow = format!("/Groups?{}%20and%20displayName%20eq%20%22Group%2000001%22", ends("01"));
    assert_eq!(names(&okta.get(&narrow).await.expect(200)), ["Group 00001"]);

    let mut found: Vec<_> =
        (1..MAX_EXAMINED + 2).step_by(100).map(|number| format!("Group {number:05}")).collect();
    for order in ["", "&sortBy=displayName"] {
        for count in [1, 4, 100] {
            let path = format!("/Groups?{}{order}", ends("01"));
            assert_eq!(pages(&okta, &path, count).await.concat(), found, "{path}");
        }
        let last = format!("/Groups?{}{order}", ends(&format!("{:05}", MAX_EXAMINED + 1)));
        assert_eq!(pages(&okta, &last, 100).await, [&[][..], &found[found.len() - 1..]]);
    }
    found.push("zoe".to_owned());
    for count in [1, 4, 100] {
        let path = format!("/?{}&sortBy=displayName", ends("01"));
        assert_eq!(pages(&okta, &path, count).await.concat(), found, "{path}");
    }
}

#[tokio::test]
async fn what_would_be_sorted_in_memory_without_end_is_refused_and_can_be_had_otherwise() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    many_groups(&bridge).await;

    let refused = okta.get("/Groups?sortBy=members.display&count=1").await;
    assert!(refused.expect_error(400, Some("tooMany")).contains("displayName"));
    okta.get("/Groups?sortBy=members.display&cursor=").await.expect_error(400, Some("tooMany"));
    okta.get("/?sortBy=members.display").await.expect_error(400, Some("tooMany"));
    let one = okta.get("/Groups?sortBy=members.display&filter=displayName%20eq%20%22group%2000007%22").await;
    assert_eq!(names(&one.expect(200)), ["Group 00007"]);
    let last = okta.get("/Groups?sortBy=displayName&sortOrder=descending&cursor=&count=1").await.expect(200);
    assert_eq!(names(&last), [format!("Group {:05}", MAX_EXAMINED + 1)]);
    let deep = format!("/Groups?sortBy=displayName&startIndex={}&count=1", MAX_EXAMINED + 2);
    assert_eq!(names(&okta.get(&deep).await.expect(200)), names(&last));

    let deep = format!("/?startIndex={}&count=1", MAX_EXAMINED + 2);
    assert!(okta.get(&deep).await.expect_error(400, Some("tooMany")).contains("cursor"));
    assert_eq!(okta.get("/?cursor=&count=1").await.expect(200)["totalResults"], MAX_EXAMINED + 4);
}

#[tokio::test]
async fn lists_are_compressed_and_have_heads_wherever_they_are() {
    let bridge = TestBridge::start().await;
    let okta = staff(&bridge).await;
    let zipped = okta.clone().with("Accept-Encoding", "gzip");
    for path in ["/", "/Users", "/Groups", "/Roles", "/Users?cursor=&count=1", "/?sortBy=title"] {
        let head = okta.send("HEAD", path, None).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(zipped.get(path).await.header("content-encoding"), Some("gzip"), "{path}");
    }
    for path in ["/.search", "/Users/.search", "/Groups/.search"] {
        let answer = zipped.post(path, &json!({})).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")), "{path}");
    }
    let options = okta.send("OPTIONS", "/", None).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD")));
}
