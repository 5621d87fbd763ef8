//! Groups as the identity providers push them, and what must never happen to a member list.

use std::collections::BTreeSet;

use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::policy::{GroupRule, GroupSelector, Policy, RuleEffect};
use openai_scim_bridge::provision::handle::{Handle, Message};
use openai_scim_bridge::store::StoreError;
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge, user};
use crate::harness::database::Database;
use crate::harness::trail::{Told, trail_of_default};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// Creates users `a@…`, `b@…` and returns their ids.
async fn people<const N: usize>(actor: &Actor) -> [String; N] {
    let mut ids = Vec::new();
    for letter in ('a'..='z').take(N) {
        ids.push(actor.create_named(&format!("{letter}@x.example")).await);
    }
    ids.try_into().unwrap()
}

async fn create(actor: &Actor, name: &str, members: &[&String]) -> Value {
    let members: Vec<_> = members.iter().map(|id| json!({"value": id})).collect();
    let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
    actor.post("/Groups", &body).await.expect(201)
}

fn path_of(group: &Value) -> String {
    format!("/Groups/{}", group["id"].as_str().unwrap())
}

fn id_in(path: &str) -> &str {
    path.strip_prefix("/Groups/").unwrap()
}

async fn staff(actor: &Actor, members: &[&String]) -> String {
    path_of(&create(actor, "Staff", members).await)
}

fn members_in(group: &Value) -> BTreeSet<&str> {
    let members = group["members"].as_array().unwrap();
    let ids: BTreeSet<_> = members.iter().map(|member| member["value"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), members.len(), "nobody is shown twice");
    ids
}

/// Checks who is in, and which version the group has come to.
async fn check_members(actor: &Actor, path: &str, expected: &[&String], version: i64) {
    let group = actor.get(path).await.expect(200);
    let expected: BTreeSet<_> = expected.iter().map(|id| id.as_str()).collect();
    assert_eq!(members_in(&group), expected, "of version {}", group["meta"]["version"]);
    assert_eq!(group["meta"]["version"], format!("W/\"{version}\""));
}

async fn patch(actor: &Actor, path: &str, operations: Value) {
    let answer = actor.patch(path, &operations).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{operations}");
}

/// The paths of the groups found by a filter.
async fn found(actor: &Actor, filter: &str) -> BTreeSet<String> {
    let list = actor.find_in("/Groups", filter).await.expect(200);
    let groups = list["Resources"].as_array().unwrap();
    assert_eq!(list["totalResults"], groups.len(), "{filter}");
    groups.iter().map(path_of).collect()
}

async fn audit_of_groups(bridge: &TestBridge) -> Vec<Told> {
    let mut trail = trail_of_default(&bridge.store).await;
    trail.retain(|told| told.event.starts_with("group."));
    trail
}

#[tokio::test]
async fn a_group_is_answered_with_all_that_clients_look_for() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let body = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "id": "chosen-by-the-client",
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "DISPLAYNAME": "Staff",
        "members": [{"value": a, "display": "somebody else", "$ref": null}],
        "meta": {"resourceType": "Group"},
        "unknown": true,
    });
    let answer = okta.post("/Groups", &body).await;
    let group = answer.expect(201);
    assert_eq!(answer.header("location"), group["meta"]["location"].as_str());
    assert_eq!(answer.header("etag"), Some("W/\"1\""));
    assert_eq!(answer.header("content-type"), Some("application/scim+json; charset=utf-8"));
    let id = group["id"].as_str().unwrap();
    assert_eq!(
        group,
        json!({
            "schemas": [GROUP],
            "id": id,
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "Staff",
            "members": [{
                "value": a,
                "$ref": format!("https://scim.example.com/scim/v2/Users/{a}"),
                "type": "User",
                "display": "a@x.example",
            }],
            "meta": {
                "resourceType": "Group",
                "created": "2026-01-01T00:00:00Z",
                "lastModified": "2026-01-01T00:00:00Z",
                "location": format!("https://scim.example.com/scim/v2/Groups/{id}"),
                "version": "W/\"1\"",
            },
        })
    );
    assert_eq!(okta.get(&path_of(&group)).await.expect(200), group);
}

#[tokio::test]
async fn okta_wizard_pushes_a_group_by_put() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b, c] = people(&okta).await;
    assert!(found(&okta, "displayName eq \"APP-Users\"").await.is_empty());
    let group = create(&okta, "APP-Users", &[]).await;
    let path = path_of(&group);
    assert_eq!(okta.get(&path).await.expect(200)["members"], json!([]));

    let put = async |members: Value| {
        let body =
            json!({"schemas": [GROUP], "id": group["id"], "displayName": "APP-Users", "members": members});
        let answer = okta.put(&path, &body).await;
        assert_eq!(okta.get(&path).await.expect(200), answer.expect(200));
    };
    put(json!([])).await;
    check_members(&okta, &path, &[], 1).await;
    let member = |id: &str| json!({"value": id, "display": "test.user@okta.local"});
    put(json!([member(&a), member(&b)])).await;
    check_members(&okta, &path, &[&a, &b], 2).await;
    put(json!([member(&b), member(&a), member(&b)])).await;
    check_members(&okta, &path, &[&a, &b], 2).await;
    put(json!([member(&b), member(&c)])).await;
    check_members(&okta, &path, &[&b, &c], 3).await;
    put(json!([])).await;
    check_members(&okta, &path, &[], 4).await;
}

#[tokio::test]
async fn okta_catalogue_pushes_a_group_by_patch() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b, c] = people(&okta).await;
    let group = create(&okta, "Test SCIMv2", &[]).await;
    let path = path_of(&group);
    let rename = |name: &str| json!({"op": "replace", "value": {"id": group["id"], "displayName": name}});
    patch(&okta, &path, json!([rename("Test SCIMv2")])).await;
    check_members(&okta, &path, &[], 1).await;

    let full = json!({"op": "replace", "path": "members", "value": [
        {"value": a, "display": "test.user@okta.local"}, {"value": b, "display": "test.user@okta.local"}
    ]});
    patch(&okta, &path, json!([full])).await;
    check_members(&okta, &path, &[&a, &b], 2).await;
    patch(&okta, &path, json!([full])).await;
    check_members(&okta, &path, &[&a, &b], 2).await;

    let swap = json!([
        {"op": "remove", "path": format!("members[value eq \"{b}\"]")},
        {"op": "add", "path": "members", "value": [{"value": c, "display": "test.user@okta.local"}]}
    ]);
    patch(&okta, &path, swap.clone()).await;
    check_members(&okta, &path, &[&a, &c], 3).await;
    patch(&okta, &path, swap).await;
    check_members(&okta, &path, &[&a, &c], 3).await;

    patch(&okta, &path, json!([rename("Renamed")])).await;
    check_members(&okta, &path, &[&a, &c], 4).await;
    assert_eq!(okta.get(&path).await.expect(200)["displayName"], "Renamed");

    assert_eq!(okta.delete(&path).await.status, 204);
    okta.get(&path).await.expect_error(404, None);
    okta.delete(&path).await.expect_error(404, None);
    okta.get(&format!("/Users/{a}")).await.expect(200);
}

#[tokio::test]
async fn entras_default_dialect_changes_those_it_lists_and_no_others() {
    let bridge = TestBridge::start().await;
    let entra = bridge.entra();
    let [a, b, c] = people(&entra).await;
    let body = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": "displayName",
        "meta": {"resourceType": "Group"}
    });
    let group = entra.post("/Groups", &body).await.expect(201);
    let path = path_of(&group);
    let list = "/Groups?excludedAttributes=members";
    let listed = entra.find_in(list, "displayName eq \"displayName\"").await.expect(200);
    assert_eq!((&listed["totalResults"], &listed["itemsPerPage"]), (&json!(1), &json!(1)));
    let mut without = group.clone();
    without.as_object_mut().unwrap().shift_remove("members");
    assert_eq!(listed["Resources"][0], without);
    assert_eq!(entra.get(&format!("{path}?excludedAttributes=members")).await.expect(200), without);

    let add = |ids: &[&str]| {
        let values: Vec<_> = ids.iter().map(|id| json!({"$ref": null, "value": id})).collect();
        json!({"op": "Add", "path": "members", "value": values})
    };
    let remove = |value: Value| json!({"op": "Remove", "path": "members", "value": value});
    patch(&entra, &path, json!([add(&[&a]), add(&[&b, &c])])).await;
    check_members(&entra, &path, &[&a, &b, &c], 2).await;
    patch(&entra, &path, json!([remove(json!([{"$ref": null, "value": b}]))])).await;
    check_members(&entra, &path, &[&a, &c], 3).await;
    patch(&entra, &path, json!([remove(json!([]))])).await;
    patch(&entra, &path, json!([remove(json!([{"value": NOBODY}, {"value": "no id"}]))])).await;
    check_members(&entra, &path, &[&a, &c], 3).await;

    let others = json!([
        {"op": "Replace", "path": "displayName", "value": "1879db59updatedDisplayName"},
        {"op": "Replace", "path": "externalId", "value": "other"},
        {"op": "Replace", "path": "unknown", "value": "x"}
    ]);
    patch(&entra, &path, others).await;
    check_members(&entra, &path, &[&a, &c], 4).await;
    let group = entra.get(&path).await.expect(200);
    assert_eq!(group["displayName"], "1879db59updatedDisplayName");
    assert_eq!(group["externalId"], "other");
}

#[tokio::test]
async fn entras_flag_dialect_removes_by_filter() {
    let bridge = TestBridge::start().await;
    let entra = bridge.entra();
    let [a, b, c] = people(&entra).await;
    let path = staff(&entra, &[&a, &b, &c]).await;
    patch(&entra, &path, json!([{"op": "remove", "path": format!("members[value eq \"{a}\"]")}])).await;
    check_members(&entra, &path, &[&b, &c], 2).await;
    let or = format!("members[value eq \"{a}\" or value eq \"{b}\"]");
    patch(&entra, &path, json!([{"op": "remove", "path": or}])).await;
    check_members(&entra, &path, &[&c], 3).await;
    patch(&entra, &path, json!([{"op": "add", "value": {"members": [{"value": a}]}}])).await;
    check_members(&entra, &path, &[&a, &c], 4).await;
}

#[tokio::test]
async fn jumpcloud_tests_by_making_and_deleting() {
    let bridge = TestBridge::start().await;
    let client = bridge.okta();
    let [a] = people(&client).await;
    let path = staff(&client, &[]).await;
    patch(&client, &path, json!([{"op": "add", "path": "members", "value": [{"value": a}]}])).await;
    check_members(&client, &path, &[&a], 2).await;
    assert_eq!(client.delete(&format!("/Users/{a}")).await.status, 204);
    check_members(&client, &path, &[], 3).await;
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get("/Groups").await.expect(200)["totalResults"], 0);
}

#[tokio::test]
async fn authentik_sends_one_operation_per_member_and_adopts_by_name() {
    let bridge = TestBridge::start().await;
    let client = bridge.okta();
    let [a, b, c] = people(&client).await;
    let group = create(&client, "Staff", &[&a]).await;
    let path = path_of(&group);
    let one = |op: &str, id: &str| json!({"op": op, "path": "members", "value": [{"value": id}]});
    patch(&client, &path, json!([one("add", &b), one("add", &c), one("remove", &a)])).await;
    check_members(&client, &path, &[&b, &c], 2).await;
    let whole = json!({"schemas": [GROUP], "id": group["id"], "externalId": "uid", "displayName": "Crew"});
    patch(&client, &path, json!([{"op": "replace", "value": whole}])).await;
    check_members(&client, &path, &[&b, &c], 3).await;

    let again = client.post("/Groups", &json!({"displayName": "CREW"})).await;
    assert!(again.expect_error(409, Some("uniqueness")).contains("displayName"));
    assert_eq!(found(&client, "displayName eq \"CREW\"").await, BTreeSet::from([path]));
}

#[tokio::test]
async fn keycloak_puts_whole_groups_with_the_version_it_knows() {
    let bridge = TestBridge::start().await;
    let client = bridge.okta();
    let [a, b] = people(&client).await;
    let path = staff(&client, &[&a]).await;
    let mut group = client.get(&path).await.expect(200);
    group["members"] = json!([{"value": b, "type": "User", "$ref": format!("/Users/{b}")}]);
    let answer = client.clone().with("If-Match", "W/\"1\"").put(&path, &group).await;
    assert_eq!(answer.header("etag"), Some("W/\"2\""));
    assert_eq!(members_in(&answer.expect(200)), BTreeSet::from([b.as_str()]));
    client.clone().with("If-Match", "W/\"1\"").put(&path, &group).await.expect_error(412, None);
    client.clone().with("If-Match", "\"1\"").delete(&path).await.expect_error(412, None);
    let unchanged = client.clone().with("If-None-Match", "W/\"2\"").get(&path).await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    client.clone().with("If-None-Match", "W/\"1\"").get(&path).await.expect(200);
    check_members(&client, &path, &[&b], 2).await;
    let adding = json!([{"op": "add", "path": "members", "value": [{"value": a}]}]);
    client.clone().with("If-Match", "W/\"1\"").patch(&path, &adding).await.expect_error(412, None);
    let patched = client.clone().with("If-Match", "W/\"2\"").patch(&path, &adding).await;
    assert_eq!((patched.status, patched.header("etag")), (204, Some("W/\"3\"")));
}

#[tokio::test]
async fn an_echo_of_what_was_read_changes_nothing() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b] = people(&okta).await;
    let path = staff(&okta, &[&a, &b]).await;
    let group = okta.get(&path).await.expect(200);
    bridge.clock.advance(jiff::SignedDuration::from_secs(60));
    let mut echo = group.clone();
    echo["id"] = json!("another");
    echo["members"].as_array_mut().unwrap().reverse();
    echo["members"][0]["display"] = json!("Somebody");
    for _ in 0..2 {
        assert_eq!(okta.put(&path, &echo).await.expect(200), group);
    }
    assert_eq!(okta.get(&path).await.expect(200), group);
}

#[tokio::test]
async fn a_rename_by_put_strips_nobody() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let path = staff(&okta, &[&a]).await;
    okta.put(&path, &json!({"displayName": "Crew"})).await.expect(200);
    check_members(&okta, &path, &[&a], 2).await;
    okta.put(&path, &json!({"displayName": "Crew", "members": null})).await.expect(200);
    check_members(&okta, &path, &[&a], 2).await;
    okta.put(&path, &json!({"displayName": "Crew", format!("{GROUP}:members"): []})).await.expect(200);
    check_members(&okta, &path, &[], 3).await;
}

#[tokio::test]
async fn a_patch_that_asks_for_attributes_is_answered_with_them() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let path = staff(&okta, &[]).await;
    let adding = json!([{"op": "add", "path": "members", "value": [{"value": a}]}]);
    let answer = okta.patch(&format!("{path}?attributes=members.value"), &adding).await.expect(200);
    assert_eq!(answer, json!({"schemas": [GROUP], "id": id_in(&path), "members": [{"value": a}]}));
    let named = okta.get(&format!("{path}?attributes=displayName")).await.expect(200);
    assert_eq!(named, json!({"schemas": [GROUP], "id": id_in(&path), "displayName": "Staff"}));
}

#[tokio::test]
async fn a_patch_is_answered_with_the_resource_or_without_as_the_client_prefers() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let (user, group) = (format!("/Users/{a}"), staff(&okta, &[&a]).await);
    let to = |name: &str| json!([{"op": "replace", "path": "displayName", "value": name}]);
    let (full, minimal) = (
        okta.clone().with("Prefer", "return=representation"),
        okta.clone().with("Prefer", "wait=0, return=minimal"),
    );
    for path in [&user, &group] {
        let shown = full.patch(path, &to("One")).await.expect(200);
        assert_eq!(shown, okta.get(path).await.expect(200));
        let silent = minimal.patch(path, &to("Two")).await;
        assert_eq!((silent.status, silent.header("etag")), (204, Some("W/\"3\"")));
        assert_eq!(silent.body, "");
        let named = minimal.patch(&format!("{path}?attributes=displayName"), &to("Three")).await.expect(200);
        assert_eq!(named["displayName"], "Three", "attributes are asked for");
        assert_eq!(okta.get(path).await.expect(200)["meta"]["version"], "W/\"4\"");
    }
    assert_eq!(okta.patch(&user, &to("Four")).await.status, 200);
    assert_eq!(okta.patch(&group, &to("Four")).await.status, 204);
}

#[tokio::test]
async fn a_member_that_nobody_knows_is_refused_by_name_and_nothing_changes() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b, gone] = people(&okta).await;
    okta.delete(&format!("/Users/{gone}")).await;
    let path = staff(&okta, &[&a]).await;
    let trail = audit_of_groups(&bridge).await;
    for unknown in [NOBODY, "no id at all", &gone, "' OR 1=1 --"] {
        let members = json!([{"value": b}, {"value": unknown}]);
        let group = json!({"displayName": "Crew", "members": members});
        let operations = json!([
            {"op": "replace", "path": "displayName", "value": "Crew"},
            {"op": "remove", "path": format!("members[value eq \"{a}\"]")},
            {"op": "add", "path": "members", "value": members},
        ]);
        for answer in [
            okta.post("/Groups", &group).await,
            okta.put(&path, &group).await,
            okta.patch(&path, &operations).await,
        ] {
            let detail = answer.expect_error(400, Some("invalidValue"));
            assert!(detail.contains(&format!("{unknown:?}")), "{detail}");
        }
    }
    check_members(&okta, &path, &[&a], 1).await;
    assert_eq!(okta.get(&path).await.expect(200)["displayName"], "Staff");
    assert_eq!(okta.get("/Groups").await.expect(200)["totalResults"], 1);
    assert_eq!(audit_of_groups(&bridge).await, trail);
}

#[tokio::test]
async fn a_group_is_no_member_of_a_group() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let path = staff(&okta, &[&a]).await;
    let inner = create(&okta, "Inner", &[]).await;
    for member in [json!({"value": inner["id"]}), json!({"value": a, "type": "Group"})] {
        let adding = json!([{"op": "add", "path": "members", "value": [member]}]);
        for answer in [
            okta.patch(&path, &adding).await,
            okta.put(&path, &json!({"displayName": "Staff", "members": [member]})).await,
            okta.post("/Groups", &json!({"displayName": "Third", "members": [member]})).await,
        ] {
            let detail = answer.expect_error(400, Some("invalidValue"));
            assert!(detail.contains("a group cannot be a member of a group"), "{detail}");
        }
    }
    check_members(&okta, &path, &[&a], 1).await;
}

#[tokio::test]
async fn a_refused_operation_takes_the_others_with_it() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b] = people(&okta).await;
    let path = staff(&okta, &[&a]).await;
    create(&okta, "Crew", &[]).await;
    let add = json!({"op": "add", "path": "members", "value": [{"value": b}]});
    for (operation, status, scim_type) in [
        (json!({"op": "replace", "path": "displayName", "value": "crew"}), 409, "uniqueness"),
        (json!({"op": "replace", "path": "displayName", "value": ""}), 400, "invalidValue"),
        (json!({"op": "remove", "path": "displayName"}), 400, "mutability"),
        (json!({"op": "replace", "path": "id", "value": NOBODY}), 400, "mutability"),
        (json!({"op": "replace", "value": {"id": NOBODY}}), 400, "mutability"),
        (json!({"op": "replace", "path": "meta.created", "value": "x"}), 400, "mutability"),
        (json!({"op": "replace", "path": "members.value", "value": b}), 400, "mutability"),
        (json!({"op": "remove", "path": "members[display eq \"x\"]"}), 400, "invalidPath"),
        (json!({"op": "remove"}), 400, "noTarget"),
    ] {
        let detail = okta.patch(&path, &json!([add, operation])).await.expect_error(status, Some(scim_type));
        assert!(detail.contains("Operations[1]") || detail.contains("displayName"), "{detail}");
    }
    check_members(&okta, &path, &[&a], 1).await;
}

#[tokio::test]
async fn a_name_belongs_to_one_group_of_the_tenant() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let okta = bridge.okta();
    let group = create(&okta, "Staff", &[]).await;
    let other = create(&okta, "Crew", &[]).await;
    okta.post("/Groups", &json!({"displayName": "sTAFF"})).await.expect_error(409, Some("uniqueness"));
    okta.put(&path_of(&other), &json!({"displayName": "STAFF"})).await.expect_error(409, Some("uniqueness"));
    okta.put(&path_of(&group), &json!({"displayName": "STAFF"})).await.expect(200);
    for name in [json!(""), json!(" "), json!(null), json!(1), json!([])] {
        okta.post("/Groups", &json!({"displayName": name})).await.expect_error(400, Some("invalidValue"));
    }
    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(token);
    create(&acme, "Staff", &[]).await;
}

#[tokio::test]
async fn a_tenant_sees_and_fills_its_own_groups_only() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let path = staff(&okta, &[&a]).await;
    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(token);
    let own = path_of(&create(&acme, "Own", &[]).await);
    acme.get(&path).await.expect_error(404, None);
    acme.put(&path, &json!({"displayName": "Mine"})).await.expect_error(404, None);
    acme.patch(&path, &json!([{"op": "remove", "path": "members"}])).await.expect_error(404, None);
    acme.delete(&path).await.expect_error(404, None);
    assert_eq!(acme.get("/Groups").await.expect(200)["totalResults"], 1);
    let of_member = format!("members eq \"{a}\"");
    for filter in [of_member.as_str(), "displayName eq \"Staff\"", "members pr"] {
        assert!(found(&acme, filter).await.is_empty(), "{filter}");
    }
    let of_group = format!("groups.value eq \"{}\"", id_in(&path));
    assert_eq!(acme.find(&of_group).await.expect(200)["totalResults"], 0);
    let adding = json!([{"op": "add", "path": "members", "value": [{"value": a}]}]);
    acme.patch(&own, &adding).await.expect_error(400, Some("invalidValue"));
    check_members(&okta, &path, &[&a], 1).await;
}

#[tokio::test]
async fn every_filter_finds_its_groups() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b, c] = people(&okta).await;
    let staff = staff(&okta, &[&a, &b]).await;
    let body = json!({"displayName": "Crew", "externalId": "8aA1", "members": [{"value": b}]});
    let crew = path_of(&okta.post("/Groups", &body).await.expect(201));
    let empty = path_of(&create(&okta, "Empty", &[]).await);
    let g = id_in(&staff);
    for (filter, expected) in [
        ("displayName eq \"staff\"".to_owned(), vec![&staff]),
        ("DISPLAYNAME Eq \"STAFF\"".to_owned(), vec![&staff]),
        (format!("{GROUP}:displayName eq \"Staff\""), vec![&staff]),
        ("displayName sw \"st\" or displayName co \"RE\"".to_owned(), vec![&staff, &crew]),
        ("externalId eq \"8aA1\"".to_owned(), vec![&crew]),
        ("externalId eq \"8AA1\"".to_owned(), vec![]),
        ("not (externalId pr)".to_owned(), vec![&staff, &empty]),
        (format!("id eq \"{g}\""), vec![&staff]),
        (format!("id eq \"{g}\" and members eq \"{b}\""), vec![&staff]),
        (format!("id eq \"{g}\" and members.value eq \"{b}\""), vec![&staff]),
        (format!("id eq \"{g}\" and members[value eq \"{b}\"]"), vec![&staff]),
        (format!("id eq \"{g}\" and members eq \"{c}\""), vec![]),
        (format!("members.value eq \"{b}\""), vec![&staff, &crew]),
        (format!("members[value eq \"{a}\"]"), vec![&staff]),
        ("members eq \"nobody\"".to_owned(), vec![]),
        (format!("not (members eq \"{a}\")"), vec![&crew, &empty]),
        (format!("members eq \"{b}\" and displayName co \"ta\""), vec![&staff]),
        (format!("members eq \"{a}\" or displayName ew \"y\""), vec![&staff, &empty]),
        (format!("members[value eq \"{a}\" and type eq \"user\"]"), vec![&staff]),
        (format!("members[value eq \"{a}\" and display eq \"A@x.example\"]"), vec![&staff]),
        (format!("members[value eq \"{a}\" and not (display sw \"a\")]"), vec![]),
        ("members pr".to_owned(), vec![&staff, &crew]),
        ("not (members pr)".to_owned(), vec![&empty]),
        ("meta.created ge \"2026-01-01T00:00:00Z\"".to_owned(), vec![&staff, &crew, &empty]),
        ("meta.lastModified gt \"2026-01-01T00:00:00Z\"".to_owned(), vec![]),
    ] {
        assert_eq!(found(&okta, &filter).await, expected.into_iter().cloned().collect(), "{filter}");
    }
    for filter in [
        "members.display eq \"x\"",
        "members ne \"x\"",
        "members[type eq \"User\"]",
        "displayName eq \"a\" and members[not (value eq \"x\")]",
        "userName eq \"a\"",
        "displayName eq",
    ] {
        okta.find_in("/Groups", filter).await.expect_error(400, Some("invalidFilter"));
    }
}

#[tokio::test]
async fn a_list_shows_members_unless_they_are_not_wanted() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b] = people(&okta).await;
    let staff = create(&okta, "Staff", &[&a, &b]).await;
    let crew = create(&okta, "Crew", &[&b]).await;
    let list = okta.get("/Groups").await.expect(200);
    let mut expected = [&staff, &crew];
    expected.sort_by_key(|group| group["id"].as_str().unwrap());
    let envelope = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 2, "startIndex": 1, "itemsPerPage": 2, "Resources": expected,
    });
    assert_eq!(list, envelope);
    let second = okta.get("/Groups?startIndex=2&count=1&attributes=id").await.expect(200);
    assert_eq!((&second["totalResults"], &second["itemsPerPage"]), (&json!(2), &json!(1)));
    assert_eq!(second["Resources"], json!([{"schemas": [GROUP], "id": expected[1]["id"]}]));
    let none = okta.get("/Groups?count=0").await.expect(200);
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(2), &json!([])));
    let names = okta.get("/Groups?excludedAttributes=members,meta").await.expect(200);
    let keys = |group: &Value| group.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for group in names["Resources"].as_array().unwrap() {
        assert_eq!(keys(group), ["schemas", "id", "displayName"]);
    }
}

#[tokio::test]
async fn users_show_the_groups_they_are_in() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b] = people(&okta).await;
    let staff = create(&okta, "Staff", &[&a, &b]).await;
    let crew = create(&okta, "Crew", &[&a]).await;
    let reference = |group: &Value| {
        let (id, location) = (&group["id"], &group["meta"]["location"]);
        json!({"value": id, "$ref": location, "display": group["displayName"], "type": "direct"})
    };
    let mut both = vec![reference(&staff), reference(&crew)];
    both.sort_by_key(|group| group["value"].as_str().unwrap().to_owned());
    let path = format!("/Users/{a}");
    assert_eq!(okta.get(&path).await.expect(200)["groups"], json!(both));

    let listed = okta.get("/Users").await.expect(200);
    let of = |id: &str| {
        let users = listed["Resources"].as_array().unwrap();
        users.iter().find(|user| user["id"] == *id).unwrap()["groups"].clone()
    };
    assert_eq!((of(&a), of(&b)), (json!(both), json!([reference(&staff)])));
    let excluded = okta.get("/Users?excludedAttributes=groups").await.expect(200);
    assert!(excluded["Resources"].as_array().unwrap().iter().all(|user| user.get("groups").is_none()));

    let found = async |filter: String| {
        let list = okta.find(&filter).await.expect(200);
        list["Resources"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect::<Vec<_>>()
    };
    let crew_id = crew["id"].as_str().unwrap();
    assert_eq!(found(format!("groups.value eq \"{crew_id}\"")).await, [json!(a)]);
    assert_eq!(found(format!("groups[value eq \"{crew_id}\"]")).await, [json!(a)]);
    assert_eq!(found(format!("not (groups eq \"{crew_id}\")")).await, [json!(b)]);
    assert_eq!(found("groups.display eq \"crew\"".to_owned()).await, [json!(a)]);
    assert!(found(format!("groups eq \"{NOBODY}\"")).await.is_empty());
}

#[tokio::test]
async fn nobody_joins_or_leaves_a_group_through_the_user() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let group = create(&okta, "Staff", &[&a]).await;
    let path = format!("/Users/{a}");
    let groups = okta.get(&path).await.expect(200)["groups"].clone();
    let mut body = user("a@x.example");
    body["groups"] = json!([]);
    body["title"] = json!("Boss");
    assert_eq!(okta.put(&path, &body).await.expect(200)["groups"], groups);
    let titled = json!([{"op": "replace", "path": "title", "value": "x"}]);
    assert_eq!(okta.patch(&path, &titled).await.expect(200)["groups"], groups);
    let leaving = json!([{"op": "remove", "path": "groups"}]);
    okta.patch(&path, &leaving).await.expect_error(400, Some("mutability"));
    let mut newcomer = user("new@x.example");
    newcomer["groups"] = json!([{"value": group["id"]}]);
    assert!(okta.create(&newcomer).await.get("groups").is_none());
    check_members(&okta, &path_of(&group), &[&a], 1).await;
}

#[tokio::test]
async fn who_is_deactivated_stays_a_member_and_who_is_deleted_does_not() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b] = people(&okta).await;
    let path = staff(&okta, &[&a, &b]).await;
    let user_path = format!("/Users/{a}");
    let deactivated = json!([{"op": "replace", "path": "active", "value": false}]);
    okta.patch(&user_path, &deactivated).await.expect(200);
    check_members(&okta, &path, &[&a, &b], 1).await;
    let restored = okta.create(&user("a@x.example")).await;
    assert_eq!((&restored["id"], &restored["groups"][0]["display"]), (&json!(a), &json!("Staff")));
    okta.delete(&user_path).await;
    check_members(&okta, &path, &[&b], 2).await;
    assert!(found(&okta, &format!("members eq \"{a}\"")).await.is_empty());
    let again = okta.create(&user("a@x.example")).await;
    assert!(again["id"] != a.as_str() && again.get("groups").is_none());
}

#[tokio::test]
async fn every_change_of_a_group_is_in_the_audit_trail_and_nothing_else_is() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a, b] = people(&okta).await;
    let path = staff(&okta, &[&a]).await;
    let swap = json!([
        {"op": "remove", "path": format!("members[value eq \"{a}\"]")},
        {"op": "add", "path": "members", "value": [{"value": b}]},
        {"op": "replace", "path": "displayName", "value": "Crew"},
    ]);
    patch(&okta, &path, swap.clone()).await;
    patch(&okta, &path, swap).await;
    okta.get(&path).await.expect(200);
    okta.delete(&path).await;
    let entries = audit_of_groups(&bridge).await;
    let group = id_in(&path);
    let told: Vec<_> = entries.iter().map(|entry| (entry.event.as_str(), entry.detail.clone())).collect();
    let none: [&str; 0] = [];
    assert_eq!(
        told,
        [
            (
                "group.create",
                json!({"group": group, "attributes": ["displayName"],
                   "added": 1, "addedIds": [a], "removed": 0, "removedIds": none})
            ),
            (
                "group.update",
                json!({"group": group, "changed": ["displayName"],
                   "added": 1, "addedIds": [b], "removed": 1, "removedIds": [a]})
            ),
            ("group.delete", json!({"group": group, "displayName": "Crew", "removed": 1, "removedIds": [b]})),
        ]
    );
    assert!(entries.iter().all(|entry| entry.request.is_some()));
}

/// The people of the default tenant who are due, first served first; nobody is afterwards.
async fn take_due(bridge: &TestBridge) -> Vec<String> {
    let tenant = TenantId::default_tenant();
    let now = bridge.clock.now();
    let due = bridge.store.reader().await.unwrap().due_people(&tenant, now, 100).await.unwrap();
    for id in due.clone() {
        let mark = bridge.store.reader().await.unwrap().load_work(&tenant, id).await.unwrap().unwrap().mark;
        let settled: Result<_, StoreError> = bridge
            .store
            .write(move |tx| {
                Box::pin(async move {
                    tx.schedule(&TenantId::default_tenant(), id, mark, None, Lane::Read, 0).await
                })
            })
            .await;
        settled.unwrap();
    }
    due.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn with_group_rules_whose_groups_change_is_looked_at() {
    let rule = GroupRule { group: GroupSelector::Name("Staff".to_owned()), effect: RuleEffect::default() };
    let policy = Policy { group_rules: vec![rule], ..Policy::default() };
    let (engine, mut inboxes) = Handle::new([TenantId::default_tenant()]);
    let bridge = TestBridge::builder().policy(policy).engine(engine).start().await;
    let mut inbox = inboxes.remove(0).1;
    let okta = bridge.okta().with("Prefer", "wait=0");
    let [a, b, c] = people(&okta).await;
    take_due(&bridge).await;
    let mut nudged = || {
        let mut nudged = BTreeSet::new();
        while let Ok(message) = inbox.try_recv() {
            if let Message::Nudge(person) = message {
                nudged.insert(person.to_string());
            }
        }
        nudged
    };
    nudged();
    let path = staff(&okta, &[&a, &b]).await;
    let mut both = vec![a.clone(), b.clone()];
    both.sort_unstable();
    assert_eq!(take_due(&bridge).await, both);
    assert_eq!(nudged().into_iter().collect::<Vec<_>>(), both);

    // Who loses something comes before who gains something.
    let swap = json!([
        {"op": "add", "path": "members", "value": [{"value": c}]},
        {"op": "remove", "path": "members", "value": [{"value": b}]},
    ]);
    patch(&okta, &path, swap.clone()).await;
    assert_eq!(take_due(&bridge).await, [b.clone(), c.clone()]);
    assert_eq!(nudged(), BTreeSet::from([b.clone(), c.clone()]));
    patch(&okta, &path, swap).await;
    assert!(take_due(&bridge).await.is_empty() && nudged().is_empty());

    let mut members = vec![a.clone(), c.clone()];
    members.sort_unstable();
    patch(&okta, &path, json!([{"op": "replace", "path": "displayName", "value": "Crew"}])).await;
    assert_eq!(take_due(&bridge).await, members);
    okta.delete(&path).await;
    assert_eq!(take_due(&bridge).await, members);
}

#[tokio::test]
async fn without_group_rules_groups_concern_nobody_upstream() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    take_due(&bridge).await;
    let path = staff(&okta, &[&a]).await;
    okta.put(&path, &json!({"displayName": "Crew", "members": []})).await.expect(200);
    assert!(take_due(&bridge).await.is_empty());
}

#[tokio::test]
async fn a_long_member_list_is_complete_and_goes_out_in_parts() {
    const CROWD: usize = 2_500;
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let [a] = people(&okta).await;
    let path = staff(&okta, &[&a]).await;
    let tenant = TenantId::default_tenant();
    let id = a.parse().unwrap();
    let first = bridge.store.reader().await.unwrap().load_person(&tenant, id).await.unwrap().unwrap();
    let crowd: Vec<_> = (0..CROWD)
        .map(|number| {
            let mut person = first.clone();
            person.id = PersonId::new(&bridge.clock);
            person.user_name = format!("p{number}@x.example");
            person
        })
        .collect();
    let ids: BTreeSet<_> = crowd.iter().map(|person| person.id).collect();
    let (group, members) = (id_in(&path).parse().unwrap(), ids.clone());
    let written: Result<_, StoreError> = bridge
        .store
        .write(move |tx| {
            let (crowd, members) = (crowd.clone(), members.clone());
            Box::pin(async move {
                for person in &crowd {
                    tx.insert_person(person, Lane::Invite).await?;
                }
                tx.replace_members(&TenantId::default_tenant(), group, &members).await
            })
        })
        .await;
    assert_eq!(written.unwrap().added.len(), CROWD);
    let answer = okta.get(&path).await;
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let shown = answer.expect(200);
    let ids: BTreeSet<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(members_in(&shown), ids.iter().map(String::as_str).collect());
    let list = okta.get("/Groups?attributes=members.value").await.expect(200);
    assert_eq!(members_in(&list["Resources"][0]).len(), CROWD);

    patch(&okta, &path, json!([{"op": "add", "path": "members", "value": [{"value": a}]}])).await;
    assert_eq!(members_in(&okta.get(&path).await.expect(200)).len(), CROWD + 1);
}

async fn of_many_changes_at_once_none_is_lost(database: Database) {
    let bridge = TestBridge::builder().on(database).start().await;
    let entra = bridge.entra();
    let people: [String; 24] = people(&entra).await;
    let (before, joining) = people.split_at(4);
    let path = staff(&entra, &before.iter().collect::<Vec<_>>()).await;
    let mut requests = Vec::new();
    for id in joining {
        let (entra, path) = (entra.clone(), path.clone());
        let adding = json!([{"op": "Add", "path": "members", "value": [{"value": id}]}]);
        requests.push(tokio::spawn(async move { entra.patch(&path, &adding).await.status }));
    }
    // Amid the changes, others leave and one is deleted.
    for id in &before[..2] {
        let (entra, path) = (entra.clone(), path.clone());
        let removing = json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]);
        requests.push(tokio::spawn(async move { entra.patch(&path, &removing).await.status }));
    }
    let (actor, gone) = (entra.clone(), format!("/Users/{}", before[2]));
    requests.push(tokio::spawn(async move { actor.delete(&gone).await.status }));
    for request in requests {
        assert_eq!(request.await.unwrap(), 204);
    }
    let expected: Vec<_> = people[3..].iter().collect();
    check_members(&entra, &path, &expected, 24).await;
}

#[tokio::test]
async fn of_many_changes_at_once_none_is_lost_on_sqlite() {
    of_many_changes_at_once_none_is_lost(Database::sqlite()).await;
}

#[tokio::test]
async fn of_many_changes_at_once_none_is_lost_on_postgresql() {
    if let Some(database) = Database::postgres().await {
        of_many_changes_at_once_none_is_lost(database).await;
    }
}
