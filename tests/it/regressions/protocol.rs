//! What requests are taken to mean.

use std::collections::BTreeSet;

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::store::StoreError;
use serde_json::{Value, json};

use super::{OPENAI, path_of, stage, two_tenants};
use crate::harness::bridge::{Actor, TestBridge, user};

/// A group with three members, and their ids.
async fn staffed(okta: &Actor) -> (String, [String; 3]) {
    let ids = [
        okta.create_named("a@x.example").await,
        okta.create_named("b@x.example").await,
        okta.create_named("c@x.example").await,
    ];
    let members: Value = ids.iter().map(|id| json!({"value": id})).collect();
    let staff = okta.post("/Groups", &json!({"displayName": "Staff", "members": members})).await;
    (path_of("/Groups", &staff.expect(201)), ids)
}

async fn members(okta: &Actor, group: &str) -> BTreeSet<String> {
    let group = okta.get(group).await.expect(200);
    let members = group["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}

/// One of many.
fn person(clock: &Clock, number: u32) -> Person {
    let now = clock.now();
    Person {
        tenant: TenantId::default_tenant(),
        id: PersonId::new(clock),
        user_name: format!("u{number}@x.example"),
        external_id: None,
        address: None,
        active: true,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: serde_json::Map::new(),
    }
}

/// R13, CVE-2026-48170 (scim-patch): a path led to the prototype of all objects.
#[tokio::test]
async fn keys_of_a_language_are_names_like_any_other() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    let before = okta.get(&path).await.expect(200);
    for name in
        ["__proto__", "constructor", "prototype", "__proto__.isAdmin", "constructor.prototype.isAdmin"]
    {
        for operation in [
            json!({"op": "add", "path": name, "value": {"isAdmin": true}}),
            json!({"op": "replace", "path": name, "value": true}),
            json!({"op": "add", "value": {name: {"isAdmin": true}}}),
            json!({"op": "add", "path": "name", "value": {name: {"isAdmin": true}}}),
            json!({"op": "remove", "path": name}),
        ] {
            let answer = okta.patch(&path, &json!([operation])).await;
            assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        }
        let mut body = user("jane@x.example");
        body[name] = json!({"isAdmin": true});
        okta.put(&path, &body).await.expect(200);
    }
    assert_eq!(okta.get(&path).await.expect(200), before);
}

/// R19, Cogtrix 124: a filter that was not understood listed everybody.
#[tokio::test]
async fn a_filter_that_is_cut_short_lists_nobody() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    okta.create_named("a@x.example").await;
    for filter in
        ["userName eq \"a\" and", "userName eq", "userName", "and", "unknown eq \"a\"", "userName eq \"a"]
    {
        let answer = okta.find(filter).await;
        answer.expect_error(400, Some("invalidFilter"));
        assert!(answer.json().get("Resources").is_none());
    }
}

/// R20, the-dmz 309: what was taken for the value lay between the outermost quotation marks.
#[tokio::test]
async fn both_sides_of_an_or_count() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    for name in ["a@x.example", "b@x.example", "c@x.example"] {
        okta.create_named(name).await;
    }
    let both = okta.find("userName eq \"a@x.example\" or userName eq \"b@x.example\"").await.expect(200);
    assert_eq!(both["totalResults"], 2);
    let greedy = json!("a@x.example\" or userName eq \"b@x.example").to_string();
    assert_eq!(okta.find(&format!("userName eq {greedy}")).await.expect(200)["totalResults"], 0);
}

/// R21, Cogtrix 122: `active: false` was answered by 200 and did nothing.
#[tokio::test]
async fn who_is_deactivated_loses_access() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    stage.settle().await;
    stage.accept("jane@x.example");
    stage.settle().await;
    let id = okta.get(&path).await.expect(200)[OPENAI]["userId"].as_str().unwrap().to_owned();
    okta.patch(&path, &json!([{"op": "replace", "value": {"active": false}}])).await.expect(200);
    assert_eq!(okta.get(&path).await.expect(200)["active"], false);
    stage.settle().await;
    let removed = stage.simulator.ledger().into_iter().filter(|call| call.method == "DELETE");
    let removed: Vec<_> = removed.map(|call| call.path).collect();
    assert_eq!(removed, [format!("/organization/users/{id}")]);
}

/// R22, the dialect of Entra ID: `"False"` was taken for true.
#[tokio::test]
async fn false_in_any_letters_is_false() {
    let bridge = TestBridge::start().await;
    let okta = bridge.entra();
    for (number, text) in ["False", "false", "FALSE"].into_iter().enumerate() {
        let path = format!("/Users/{}", okta.create_named(&format!("u{number}@x.example")).await);
        okta.patch(&path, &json!([{"op": "Replace", "path": "active", "value": text}])).await.expect(200);
        assert_eq!(okta.get(&path).await.expect(200)["active"], false, "{text}");
    }
}

/// R23, Keycloak 46705: a list was as long as the client wished.
#[tokio::test]
async fn a_page_is_bounded_whatever_is_asked_for() {
    let bridge = TestBridge::start().await;
    let clock = bridge.clock.clone();
    let written = bridge.store.write(move |tx| {
        let clock = clock.clone();
        Box::pin(async move {
            for number in 0..10_000 {
                tx.insert_person(&person(&clock, number), Lane::Invite).await?;
            }
            Ok(())
        })
    });
    written.await.map_err(|error: StoreError| error).unwrap();
    for query in ["count=1000000", "count=99999999999999999999", "", "count=201", "startIndex=9990&count=500"]
    {
        let list = bridge.okta().get(&format!("/Users?{query}")).await.expect(200);
        assert_eq!(list["totalResults"], 10_000, "{query}");
        assert!(list["Resources"].as_array().unwrap().len() <= 200, "{query}");
    }
}

/// R26, Keycloak 51155: PATCH wrote what is never to be changed.
#[tokio::test]
async fn what_is_immutable_stays() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let (staff, [a, b, _]) = staffed(&okta).await;
    let jane = format!("/Users/{a}");
    let (user_before, staff_before) = (okta.get(&jane).await.expect(200), okta.get(&staff).await.expect(200));
    for (path, target) in [
        (&jane, "id"),
        (&jane, "meta.created"),
        (&jane, "meta"),
        (&jane, "groups"),
        (&staff, "id"),
        (&staff, "meta.created"),
    ] {
        for op in ["add", "replace", "remove"] {
            let operation = json!([{"op": op, "path": target, "value": "2020-01-01T00:00:00Z"}]);
            okta.patch(path, &operation).await.expect_error(400, Some("mutability"));
        }
    }
    let exchanged =
        json!([{"op": "replace", "path": format!("members[value eq \"{a}\"].value"), "value": b}]);
    okta.patch(&staff, &exchanged).await.expect_error(400, Some("mutability"));
    assert_eq!(okta.get(&jane).await.expect(200), user_before);
    assert_eq!(okta.get(&staff).await.expect(200), staff_before);
}

/// R27, Keycloak 50991 and 52210: what a policy reserved was written over SCIM.
#[tokio::test]
async fn what_the_bridge_reserves_no_verb_writes() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    let forged = json!({"status": "member", "userId": "user-forged", "inviteId": "invite-forged"});
    let mut body = user("jane@x.example");
    body[OPENAI] = forged.clone();
    let path = path_of("/Users", &okta.create(&body).await);
    stage.settle().await;
    let before = okta.get(&path).await.expect(200);
    assert_eq!(before[OPENAI]["status"], "invited");
    okta.put(&path, &body).await.expect(200);
    okta.patch(&path, &json!([{"op": "add", "value": {OPENAI: forged}}])).await.expect(200);
    let named = json!([{"op": "replace", "path": format!("{OPENAI}:userId"), "value": "user-forged"}]);
    okta.patch(&path, &named).await.expect_error(400, Some("mutability"));
    assert_eq!(okta.get(&path).await.expect(200)[OPENAI], before[OPENAI]);
    assert!(stage.settle().await.is_empty());
}

/// R30, CVE-2026-9099: a group became a part of one that gives rights.
#[tokio::test]
async fn a_group_is_part_of_no_group() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let (staff, _) = staffed(&okta).await;
    let before = okta.get(&staff).await.expect(200);
    let crew = okta.post("/Groups", &json!({"displayName": "Crew"})).await.expect(201);
    for member in [json!({"value": crew["id"]}), json!({"value": crew["id"], "type": "Group"})] {
        let mut body = before.clone();
        body["members"] = json!([member]);
        for answer in [
            okta.patch(&staff, &json!([{"op": "add", "path": "members", "value": [member]}])).await,
            okta.put(&staff, &body).await,
            okta.post("/Groups", &json!({"displayName": "Nested", "members": [member]})).await,
        ] {
            answer.expect_error(400, Some("invalidValue"));
        }
    }
    assert_eq!(okta.get(&staff).await.expect(200), before);
}

/// R35, agent-bom 3688: removing the listed members removed them all.
#[tokio::test]
async fn a_removal_takes_those_it_lists() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let (staff, [a, b, c]) = staffed(&okta).await;
    okta.patch(&staff, &json!([{"op": "remove", "path": "members", "value": [{"value": a}]}])).await;
    assert_eq!(members(&okta, &staff).await, BTreeSet::from([b.clone(), c.clone()]));
    // Whoever is listed and is no member takes nobody along.
    okta.patch(&staff, &json!([{"op": "remove", "path": "members", "value": [{"value": a}]}])).await;
    assert_eq!(members(&okta, &staff).await, BTreeSet::from([b, c]));
}

/// R36, Fleet 50724: of changes at the same time some were lost.
#[tokio::test]
async fn of_twelve_additions_at_once_all_count() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let (staff, before) = staffed(&okta).await;
    let mut expected = BTreeSet::from(before);
    let mut adding = Vec::new();
    for number in 0..12 {
        let id = okta.create_named(&format!("u{number}@x.example")).await;
        let (okta, staff) = (okta.clone(), staff.clone());
        expected.insert(id.clone());
        adding.push(tokio::spawn(async move {
            okta.patch(&staff, &json!([{"op": "add", "path": "members", "value": [{"value": id}]}]))
                .await
                .status
        }));
    }
    for added in adding {
        assert!(matches!(added.await.unwrap(), 200 | 204));
    }
    assert_eq!(members(&okta, &staff).await, expected);
}

/// R38, scimitar 6: an attribute that was not mentioned was cleared.
#[tokio::test]
async fn a_change_of_a_name_changes_the_name() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    let mut body = user("jane@x.example");
    body["roles"] = json!([{"value": "reader", "primary": true}]);
    body["title"] = json!("Boss");
    body["phoneNumbers"] = json!([{"value": "1", "type": "work"}, {"value": "2", "type": "mobile"}]);
    let path = path_of("/Users", &okta.create(&body).await);
    stage.settle().await;
    let mut expected = okta.get(&path).await.expect(200);
    okta.patch(&path, &json!([{"op": "replace", "path": "displayName", "value": "Jane"}])).await.expect(200);
    assert!(stage.settle().await.is_empty());
    let mut after = okta.get(&path).await.expect(200);
    assert_eq!(after["displayName"], "Jane");
    for resource in [&mut expected, &mut after] {
        for changed in ["displayName", "meta"] {
            resource.as_object_mut().unwrap().shift_remove(changed);
        }
    }
    assert_eq!(after, expected);
}

/// R44, WSO2 product-is 7040: a removal was answered by 200 and removed nothing.
#[tokio::test]
async fn a_removal_by_filter_removes_or_is_refused() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let (staff, [a, b, c]) = staffed(&okta).await;
    for (filter, removed) in [
        (format!("members[value eq \"{a}\" and type eq \"User\"]"), vec![&a]),
        (format!("members[value eq \"{b}\" or value eq \"{c}\"]"), vec![&b, &c]),
        (format!("members[value eq \"{a}\", value eq \"{b}\"]"), vec![&a, &b]),
        (format!("members[value eq \"{a},{b}\"]"), vec![]),
    ] {
        let everybody: Value = [&a, &b, &c].map(|id| json!({"value": id})).into_iter().collect();
        okta.patch(&staff, &json!([{"op": "replace", "path": "members", "value": everybody}])).await;
        let before = members(&okta, &staff).await;
        assert_eq!(before.len(), 3);
        let answer = okta.patch(&staff, &json!([{"op": "remove", "path": filter}])).await;
        let after = members(&okta, &staff).await;
        if answer.status == 400 {
            assert_eq!(after, before, "{filter}");
        } else {
            let gone: Vec<_> = before.difference(&after).collect();
            assert_eq!(gone.len(), removed.len(), "{filter}");
            assert!(removed.iter().all(|id| gone.contains(id)), "{filter}");
        }
    }
}

/// R56, RFC 9865 §6: a cursor is a place in a list and no right to read it.
#[tokio::test]
async fn a_cursor_opens_nothing() {
    let bridge = two_tenants().await;
    let okta = bridge.okta();
    for number in 0..5 {
        okta.create_named(&format!("u{number}@x.example")).await;
    }
    let first = okta.get("/Users?count=2&cursor=").await.expect(200);
    let path = format!("/Users?count=2&cursor={}", first["nextCursor"].as_str().unwrap());
    bridge.client_of("acme").await.get(&path).await.expect_error(400, Some("invalidCursor"));
    bridge.anonymous().at("/scim/v2").get(&path).await.expect_error(401, None);
    // Somebody who may read no users any more.
    let scopes = "groups:read".parse().unwrap();
    let (_, token) = bridge.mint_for("default", scopes, None).await;
    let narrowed = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    narrowed.get(&path).await.expect_error(403, None);
    let forged = path.replace("cursor=", "cursor=A");
    okta.get(&forged).await.expect_error(400, Some("invalidCursor"));
    okta.get(&path).await.expect(200);
}
