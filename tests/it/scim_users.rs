//! Creating, reading, replacing, restoring and deleting users, with the requests that Okta and Entra ID send.

use openai_scim_bridge::ids::{PersonId, TenantId, UserId};
use openai_scim_bridge::model::grant::OrgRole;
use openai_scim_bridge::model::mapping::{Mapping, Status};
use openai_scim_bridge::model::observed::Member;
use openai_scim_bridge::model::policy::{OnAddressChange, OnExistingMember, Policy};
use openai_scim_bridge::provision::handle::{Handle, Message, Settlement};
use openai_scim_bridge::store::StoreError;
use serde_json::{Value, json};

use crate::harness::bridge::{TestBridge, user};
use crate::harness::trail::trail_of_default;

const OPENAI: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// What Okta sends to create a user.
fn okta_create() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "test.user@okta.example",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": "test.user@okta.example", "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true
    })
}

/// What Entra ID sends to create a user.
fn entra_create() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "active": true,
        "emails": [{"primary": true, "type": "work", "value": "Test_User_11bb11bb@testuser.example"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
        "roles": []
    })
}

fn id_of(user: &Value) -> &str {
    user["id"].as_str().unwrap()
}

fn path_of(user: &Value) -> String {
    format!("/Users/{}", id_of(user))
}

fn version_of(user: &Value) -> &str {
    user["meta"]["version"].as_str().unwrap()
}

/// Notes in the mirror that this address is a member.
async fn observe_member(bridge: &TestBridge, id: &str, email: &str) {
    let member = Member {
        id: UserId::from(id),
        email: Some(email.to_owned()),
        name: None,
        role: Some(OrgRole::Reader),
        is_service_account: false,
        is_scim_managed: false,
        is_default: false,
        added_at: bridge.clock.now(),
    };
    let now = bridge.clock.now();
    let written: Result<(), StoreError> = bridge
        .store
        .write(move |tx| {
            let member = member.clone();
            Box::pin(async move { tx.observe_members(&TenantId::default_tenant(), &[member], now).await })
        })
        .await;
    written.unwrap();
}

/// Writes the mapping row of somebody, as the engine would.
async fn map(bridge: &TestBridge, id: &str, status: Status, user_id: Option<&str>, address: &str) {
    let mapping = Mapping {
        status,
        user_id: user_id.map(UserId::from),
        address: Some(openai_scim_bridge::model::address::Address::parse(address).unwrap()),
        ..Mapping::new(TenantId::default_tenant(), id.parse::<PersonId>().unwrap())
    };
    let written: Result<(), StoreError> = bridge
        .store
        .write(move |tx| {
            let mapping = mapping.clone();
            Box::pin(async move { tx.save_mapping(&mapping).await })
        })
        .await;
    written.unwrap();
}

/// A handle whose engine answers every wait with this.
fn engine_that_answers(settlement: &Settlement) -> Handle {
    let (handle, inboxes) = Handle::new([TenantId::default_tenant()]);
    for (_, mut inbox) in inboxes {
        let settlement = settlement.clone();
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                if let Message::Settle(_, reply) = message {
                    let _gone = reply.send(settlement.clone()).is_err();
                }
            }
        });
    }
    handle
}

#[tokio::test]
async fn what_okta_creates_is_answered_whole() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let lookup = "/Users?filter=userName%20eq%20%22test.user%40okta.example%22&startIndex=1&count=100";
    assert_eq!(okta.get(lookup).await.expect(200)["totalResults"], 0);

    let created = okta.post("/Users", &okta_create()).await;
    let user = created.expect(201);
    assert_eq!(created.header("content-type"), Some("application/scim+json; charset=utf-8"));
    assert_eq!(created.header("etag"), Some("W/\"1\""));
    assert_eq!(created.header("location"), user["meta"]["location"].as_str());
    assert!(id_of(&user).parse::<PersonId>().is_ok());
    insta::assert_json_snapshot!(user, { ".id" => "[id]", ".meta.location" => "[location]" }, @r#"
    {
      "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User"
      ],
      "id": "[id]",
      "userName": "test.user@okta.example",
      "name": {
        "givenName": "Test",
        "familyName": "User"
      },
      "emails": [
        {
          "primary": true,
          "value": "test.user@okta.example",
          "type": "work"
        }
      ],
      "displayName": "Test User",
      "locale": "en-US",
      "externalId": "00ujl29u0le5T6Aj10h7",
      "active": true,
      "urn:ietf:params:scim:schemas:extension:openai:2.0:User": {
        "status": "pending"
      },
      "meta": {
        "resourceType": "User",
        "created": "2026-01-01T00:00:00Z",
        "lastModified": "2026-01-01T00:00:00Z",
        "location": "[location]",
        "version": "W/\"1\""
      }
    }
    "#);
    assert_eq!(user["meta"]["location"], format!("https://scim.example.com/scim/v2{}", path_of(&user)));

    assert_eq!(okta.get(&path_of(&user)).await.expect(200), user);
    assert_eq!(okta.get(lookup).await.expect(200)["Resources"], json!([user]));
}

#[tokio::test]
async fn what_entra_creates_is_answered_whole() {
    let bridge = TestBridge::start().await;
    let entra = bridge.entra();
    let user = entra.create(&entra_create()).await;
    insta::assert_json_snapshot!(user, { ".id" => "[id]", ".meta.location" => "[location]" }, @r#"
    {
      "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User"
      ],
      "id": "[id]",
      "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
      "userName": "Test_User_00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
      "active": true,
      "emails": [
        {
          "primary": true,
          "type": "work",
          "value": "Test_User_11bb11bb@testuser.example"
        }
      ],
      "name": {
        "formatted": "givenName familyName",
        "familyName": "familyName",
        "givenName": "givenName"
      },
      "urn:ietf:params:scim:schemas:extension:openai:2.0:User": {
        "status": "pending"
      },
      "meta": {
        "resourceType": "User",
        "created": "2026-01-01T00:00:00Z",
        "lastModified": "2026-01-01T00:00:00Z",
        "location": "[location]",
        "version": "W/\"1\""
      }
    }
    "#);
}

#[tokio::test]
async fn a_create_takes_nulls_foreign_schemas_and_unlisted_extensions() {
    let bridge = TestBridge::start().await;
    let user = bridge
        .entra()
        .create(&json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:unknown"],
            "id": "chosen-by-the-client",
            "userName": "jane@x.example",
            "addresses": null, "phoneNumbers": null, "title": null, "roles": [],
            "favouriteColour": "green",
            "urn:example:unknown": {"a": 1},
            ENTERPRISE: {"department": "Retail", "manager": "00aa", "unknown": 1},
        }))
        .await;
    assert_ne!(id_of(&user), "chosen-by-the-client");
    assert_eq!(user[ENTERPRISE], json!({"department": "Retail", "manager": {"value": "00aa"}}));
    assert_eq!(user["active"], true);
    for absent in ["addresses", "title", "roles", "favouriteColour", "urn:example:unknown"] {
        assert_eq!(user.get(absent), None, "{absent}");
    }
    let schemas = json!(["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, OPENAI]);
    assert_eq!(user["schemas"], schemas);
}

#[tokio::test]
async fn the_minimal_create_of_administrators_guides_works_below_the_alias() {
    let bridge = TestBridge::start().await;
    let user = bridge.okta().at("/v1/scim/v2").create(&user("jane@x.example")).await;
    assert_eq!(user["meta"]["location"], format!("https://scim.example.com/scim/v2{}", path_of(&user)));
    assert_eq!(bridge.okta().get(&path_of(&user)).await.expect(200), user);
}

#[tokio::test]
async fn a_password_is_kept_nowhere() {
    let bridge = TestBridge::start().await;
    let user = bridge.okta().create(&okta_create()).await;
    bridge.okta().put(&path_of(&user), &okta_create()).await.expect(200);
    let set = json!([{"op": "replace", "path": "password", "value": "1mz050nq"},
                     {"op": "replace", "value": {"password": "1mz050nq", "title": "Boss"}}]);
    bridge.okta().patch(&path_of(&user), &set).await.expect(200);
    for entry in bridge.database.folder().into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"1mz050nq"));
    }
}

#[tokio::test]
async fn an_echo_of_what_was_read_changes_nothing() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    bridge.clock.advance(jiff::SignedDuration::from_secs(60));

    let mut echo = user.clone();
    echo["groups"] = json!([]);
    echo["password"] = json!("another");
    for _ in 0..2 {
        assert_eq!(okta.put(&path_of(&user), &echo).await.expect(200), user);
    }
    let same = json!([{"op": "replace", "value": {"active": true, "displayName": "Test User"}}]);
    assert_eq!(okta.patch(&path_of(&user), &same).await.expect(200), user);
    assert_eq!(audit_events(&bridge).await, ["user.create"]);
}

#[tokio::test]
async fn a_replacement_cannot_say_what_only_the_server_says() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let created = okta.create(&okta_create()).await;
    let mut body = created.clone();
    body["id"] = json!("another");
    body["meta"] = json!({"resourceType": "Group", "version": "W/\"9\"", "created": "1970-01-01T00:00:00Z"});
    body["groups"] = json!([{"value": "g", "display": "Owners"}]);
    body["urn:ietf:params:scim:schemas:extension:openai:2.0:User"] =
        json!({"status": "member", "userId": "user-1", "effectiveRole": "owner"});
    body["urn:example:nobody:knows"] = json!({"x": 1});
    assert_eq!(okta.put(&path_of(&created), &body).await.expect(200), created);
}

#[tokio::test]
async fn a_replacement_drops_what_it_does_not_name_but_never_touches_access_by_silence() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let created = okta.create(&okta_create()).await;
    let path = path_of(&created);
    bridge.clock.advance(jiff::SignedDuration::from_secs(60));
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    okta.patch(&path, &off).await.expect(200);

    let replaced =
        okta.put(&path, &json!({"userName": "test.user@okta.example", "title": "Boss"})).await.expect(200);
    assert_eq!(replaced["title"], "Boss");
    assert_eq!(replaced.get("displayName"), None);
    assert_eq!(replaced["active"], false);
    assert_eq!(version_of(&replaced), "W/\"3\"");
    assert_eq!(replaced["meta"]["created"], created["meta"]["created"]);
    assert_eq!(replaced["meta"]["lastModified"], "2026-01-01T00:01:00Z");
    assert_eq!(replaced["id"], created["id"]);
}

#[tokio::test]
async fn okta_deactivates_and_reactivates_in_both_of_its_dialects() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let mut user = okta.create(&okta_create()).await;
    let path = path_of(&user);
    for active in [false, true] {
        let change = json!([{"op": "replace", "value": {"active": active}}]);
        let answer = okta.patch(&path, &change).await.expect(200);
        assert_eq!((&answer["active"], &answer["id"]), (&json!(active), &user["id"]));
        assert_eq!(answer[OPENAI]["status"], if active { "pending" } else { "parked" });
    }
    for active in [false, true] {
        user["active"] = json!(active);
        let answer = okta.put(&path, &user).await.expect(200);
        assert_eq!((&answer["active"], &answer["id"]), (&json!(active), &user["id"]));
    }
    let events = ["user.create", "user.deactivate", "user.activate", "user.deactivate", "user.activate"];
    assert_eq!(audit_events(&bridge).await, events);
}

#[tokio::test]
async fn an_inactive_user_is_still_found_by_id_and_by_filter() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    okta.patch(&path_of(&user), &off).await.expect(200);
    assert_eq!(okta.get(&path_of(&user)).await.expect(200)["active"], false);
    let found = okta.find("userName eq \"TEST.USER@okta.example\"").await.expect(200);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &user["id"]));
}

#[tokio::test]
async fn a_rename_together_with_a_deactivation_acts_on_the_stored_person() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let created = okta.create(&okta_create()).await;
    let mut leaver = created.clone();
    leaver["userName"] = json!("zz-former@okta.example");
    leaver["emails"] = json!([{"value": "no longer an address", "primary": true}]);
    leaver["active"] = json!(false);
    let answer = okta.put(&path_of(&created), &leaver).await.expect(200);
    assert_eq!((&answer["id"], &answer["active"]), (&created["id"], &json!(false)));

    let other = okta.create(&user("jane@x.example")).await;
    let both = json!([{"op": "Replace", "path": "userName", "value": "left@x.example"},
                      {"op": "Replace", "path": "active", "value": "False"}]);
    let answer = okta.patch(&path_of(&other), &both).await.expect(200);
    assert_eq!((&answer["id"], &answer["userName"]), (&other["id"], &json!("left@x.example")));
    assert_eq!(answer["active"], false);
}

#[tokio::test]
async fn a_create_of_a_parked_user_restores_them_under_the_same_id() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    okta.patch(&path_of(&user), &off).await.expect(200);

    let mut again = okta_create();
    again["userName"] = json!("TEST.user@okta.example");
    again["displayName"] = json!("Back Again");
    again.as_object_mut().unwrap().remove("locale");
    let answer = okta.post("/Users", &again).await;
    let restored = answer.expect(201);
    assert_eq!(restored["id"], user["id"]);
    assert_eq!((&restored["active"], &restored["displayName"]), (&json!(true), &json!("Back Again")));
    assert_eq!((restored.get("locale"), version_of(&restored)), (None, "W/\"3\""));

    okta.patch(&path_of(&user), &off).await.expect(200);
    let mut renamed = okta_create();
    renamed["userName"] = json!("new.name@okta.example");
    renamed["emails"][0]["value"] = json!("new.name@okta.example");
    assert_eq!(okta.create(&renamed).await["id"], user["id"]);
    assert_eq!(okta.find("userName pr").await.expect(200)["totalResults"], 1);
}

#[tokio::test]
async fn a_create_of_an_active_user_is_a_conflict() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let created = okta.create(&okta_create()).await;
    okta.post("/Users", &okta_create()).await.expect_error(409, Some("uniqueness"));

    let mut other_case = okta_create();
    other_case["userName"] = json!("Test.User@OKTA.example");
    other_case["externalId"] = json!("another");
    okta.post("/Users", &other_case).await.expect_error(409, Some("uniqueness"));

    let mut same_external_id = user("other@x.example");
    same_external_id["externalId"] = created["externalId"].clone();
    okta.post("/Users", &same_external_id).await.expect_error(409, Some("uniqueness"));

    let mut same_address = user("other@x.example");
    same_address["emails"][0]["value"] = json!("TEST.USER@okta.example");
    okta.post("/Users", &same_address).await.expect_error(409, Some("uniqueness"));
    assert_eq!(okta.find("userName pr").await.expect(200)["totalResults"], 1);
}

#[tokio::test]
async fn a_create_that_means_two_people_is_a_conflict() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    for (name, external_id) in [("a@x.example", "ext-a"), ("b@x.example", "ext-b")] {
        let mut body = user(name);
        body["externalId"] = json!(external_id);
        let created = okta.create(&body).await;
        okta.patch(&path_of(&created), &off).await.expect(200);
    }
    let mut both = user("a@x.example");
    both["externalId"] = json!("ext-b");
    okta.post("/Users", &both).await.expect_error(409, Some("uniqueness"));
}

#[tokio::test]
async fn a_user_name_is_taken_from_nobody() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let one = okta.create(&user("one@x.example")).await;
    okta.create(&user("two@x.example")).await;
    let rename = json!([{"op": "Replace", "path": "userName", "value": "TWO@x.example"}]);
    okta.patch(&path_of(&one), &rename).await.expect_error(409, Some("uniqueness"));
    let move_mail =
        json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "two@x.example"}]);
    okta.patch(&path_of(&one), &move_mail).await.expect_error(409, Some("uniqueness"));
    assert_eq!(okta.get(&path_of(&one)).await.expect(200), one);
    let rename = json!([{"op": "Replace", "path": "userName", "value": "ONE@x.example"}]);
    assert_eq!(okta.patch(&path_of(&one), &rename).await.expect(200)["userName"], "ONE@x.example");
}

#[tokio::test]
async fn a_user_created_inactive_is_parked() {
    let bridge = TestBridge::start().await;
    let mut body = okta_create();
    body["active"] = json!("False");
    let parked = bridge.okta().create(&body).await;
    assert_eq!((&parked["active"], &parked[OPENAI]["status"]), (&json!(false), &json!("parked")));
}

#[tokio::test]
async fn an_address_must_be_one_plain_mailbox() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    for bad in ["a@x.example,b@x.example", "Jane <a@x.example>", "not an address", "a@x.example;b@x.example"]
    {
        let mut body = user("jane@x.example");
        body["emails"][0]["value"] = json!(bad);
        let detail = okta.post("/Users", &body).await.expect_error(400, Some("invalidValue"));
        assert!(detail.starts_with("emails"), "{detail}");
    }
    let detail =
        okta.post("/Users", &json!({"userName": "jane"})).await.expect_error(400, Some("invalidValue"));
    assert!(detail.starts_with("emails"), "{detail}");
    assert_eq!(okta.find("userName pr").await.expect(200)["totalResults"], 0);
}

#[tokio::test]
async fn an_address_outside_the_allowed_domains_is_refused() {
    let policy = Policy { allowed_domains: ["x.example".to_owned()].into(), ..Policy::default() };
    let bridge = TestBridge::builder().policy(policy).start().await;
    let okta = bridge.okta();
    let detail = okta.post("/Users", &okta_create()).await.expect_error(400, Some("invalidValue"));
    assert!(detail.contains("okta.example"), "{detail}");
    let jane = okta.create(&user("jane@X.example")).await;
    let away =
        json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "jane@y.example"}]);
    okta.patch(&path_of(&jane), &away).await.expect_error(400, Some("invalidValue"));
}

#[tokio::test]
async fn an_existing_member_is_a_conflict_where_the_policy_says_so() {
    let policy = Policy { on_existing_member: OnExistingMember::Conflict, ..Policy::default() };
    let bridge = TestBridge::builder().policy(policy).start().await;
    observe_member(&bridge, "user-1", "Jane@x.example").await;
    bridge.okta().post("/Users", &user("jane@x.example")).await.expect_error(409, Some("uniqueness"));

    let bridge = TestBridge::start().await;
    observe_member(&bridge, "user-1", "Jane@x.example").await;
    bridge.okta().create(&user("jane@x.example")).await;
}

#[tokio::test]
async fn an_address_whose_member_stands_for_another_user_is_a_conflict() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let id = okta.create_named("old@x.example").await;
    observe_member(&bridge, "user-1", "old@x.example").await;
    map(&bridge, &id, Status::Member, Some("user-1"), "old@x.example").await;
    let moved =
        json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@x.example"}]);
    okta.patch(&format!("/Users/{id}"), &moved).await.expect(200);
    okta.post("/Users", &user("old@x.example")).await.expect_error(409, Some("uniqueness"));
    okta.patch(&format!("/Users/{id}"), &json!([{"op": "remove", "path": "nickName"}])).await.expect(200);

    let mut newcomer = user("x@x.example");
    newcomer["emails"][0]["value"] = json!("old@x.example");
    okta.post("/Users", &newcomer).await.expect_error(409, Some("uniqueness"));
}

#[tokio::test]
async fn a_deleted_user_leaves_the_name_and_the_address_free() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let id = okta.create_named("jane@x.example").await;
    observe_member(&bridge, "user-1", "jane@x.example").await;
    map(&bridge, &id, Status::Member, Some("user-1"), "jane@x.example").await;
    okta.delete(&format!("/Users/{id}")).await.expect(204);
    let again = okta.create_named("jane@x.example").await;
    assert_ne!(again, id);
}

#[tokio::test]
async fn a_protected_account_keeps_its_access() {
    let policy = Policy { protected: ["breakglass@x.example".to_owned()].into(), ..Policy::default() };
    let bridge = TestBridge::builder().policy(policy).start().await;
    let okta = bridge.okta();
    let user = okta.create(&user("BreakGlass@x.example")).await;
    map(&bridge, id_of(&user), Status::Member, Some("user-1"), "breakglass@x.example").await;
    let path = path_of(&user);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    let renamed = json!([{"op": "replace", "value": {"active": false, "userName": "other@x.example",
        "emails": [{"value": "other@x.example", "primary": true}]}}]);
    let moved =
        json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "other@x.example"}]);
    for change in [&off, &renamed, &moved] {
        let detail = okta.patch(&path, change).await.expect_error(403, None);
        assert!(detail.contains("protected"), "{detail}");
    }
    let mut inactive = user.clone();
    inactive["active"] = json!(false);
    okta.put(&path, &inactive).await.expect_error(403, None);
    okta.delete(&path).await.expect_error(403, None);
    assert_eq!(okta.get(&path).await.expect(200)["meta"]["version"], "W/\"1\"");
    okta.patch(&path, &json!([{"op": "add", "path": "title", "value": "Spare"}])).await.expect(200);
}

#[tokio::test]
async fn the_address_of_a_member_stays_where_the_policy_says_so() {
    let policy = Policy { on_address_change: OnAddressChange::Refuse, ..Policy::default() };
    let bridge = TestBridge::builder().policy(policy).start().await;
    let okta = bridge.okta();
    let id = okta.create_named("jane@x.example").await;
    let path = format!("/Users/{id}");
    let move_to = |address: &str| json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": address}]);
    okta.patch(&path, &move_to("jane.doe@x.example")).await.expect(200);
    map(&bridge, &id, Status::Member, Some("user-1"), "jane.doe@x.example").await;
    okta.patch(&path, &move_to("jane@x.example")).await.expect_error(400, Some("mutability"));
    okta.patch(&path, &json!([{"op": "Replace", "path": "userName", "value": "jd@x.example"}]))
        .await
        .expect(200);
}

#[tokio::test]
async fn roles_that_cannot_be_given_are_refused() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    for extension in
        [json!({"role": "billing"}), json!({"role": "owner"}), json!({"projects": [{"role": "member"}]})]
    {
        let mut body = user("jane@x.example");
        body[OPENAI] = extension;
        let detail = okta.post("/Users", &body).await.expect_error(400, Some("invalidValue"));
        assert!(detail.contains("role") || detail.contains("projects"), "{detail}");
    }
    let mut body = user("jane@x.example");
    body[OPENAI] =
        json!({"role": "member", "projects": [{"value": "proj_1", "role": "owner"}], "status": "member"});
    let created = okta.create(&body).await;
    assert_eq!(
        created[OPENAI],
        json!({"role": "member", "projects": [{"value": "proj_1", "role": "owner"}], "status": "pending"})
    );
    let promote = json!([{"op": "replace", "path": format!("{OPENAI}:role"), "value": "owner"}]);
    okta.patch(&path_of(&created), &promote).await.expect_error(400, Some("invalidValue"));
    let forge = json!([{"op": "replace", "path": format!("{OPENAI}:status"), "value": "member"}]);
    okta.patch(&path_of(&created), &forge).await.expect_error(400, Some("mutability"));
}

#[tokio::test]
async fn what_the_engine_knows_is_shown() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let id = okta.create_named("jane@x.example").await;
    let path = format!("/Users/{id}");
    map(&bridge, &id, Status::Member, Some("user-1"), "jane@x.example").await;
    let user = okta.get(&path).await.expect(200);
    assert_eq!(user[OPENAI], json!({"status": "member", "userId": "user-1"}));
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    assert_eq!(okta.patch(&path, &off).await.expect(200)[OPENAI]["status"], "removing");
    map(&bridge, &id, Status::Parked, None, "jane@x.example").await;
    assert_eq!(okta.get(&path).await.expect(200)[OPENAI]["status"], "parked");
    let on = json!([{"op": "replace", "value": {"active": true}}]);
    assert_eq!(okta.patch(&path, &on).await.expect(200)[OPENAI]["status"], "pending");
}

#[tokio::test]
async fn a_create_that_openai_refuses_leaves_nothing_behind() {
    let refusal = Settlement::Refused("This e-mail domain is blocked.".to_owned());
    let bridge = TestBridge::builder().engine(engine_that_answers(&refusal)).start().await;
    let okta = bridge.okta();
    let detail = okta.post("/Users", &okta_create()).await.expect_error(400, Some("invalidValue"));
    assert!(detail.contains("This e-mail domain is blocked."), "{detail}");
    assert_eq!(okta.find("userName pr").await.expect(200)["totalResults"], 0);
    okta.post("/Users", &okta_create()).await.expect_error(400, Some("invalidValue"));
}

#[tokio::test]
async fn a_restore_that_openai_refuses_leaves_the_user_as_they_were() {
    let refusal = Settlement::Refused("no".to_owned());
    let bridge = TestBridge::builder().engine(engine_that_answers(&refusal)).start().await;
    let okta = bridge.okta();
    let mut parked = okta_create();
    parked["active"] = json!(false);
    let before = okta.create(&parked).await;
    let mut again = okta_create();
    again["displayName"] = json!("Another");
    okta.post("/Users", &again).await.expect_error(400, Some("invalidValue"));
    let after = okta.get(&path_of(&before)).await.expect(200);
    assert_eq!((&after["active"], &after["displayName"]), (&json!(false), &before["displayName"]));
}

#[tokio::test]
async fn a_client_that_does_not_want_to_wait_need_not() {
    let (handle, _inboxes) = Handle::new([TenantId::default_tenant()]);
    let bridge = TestBridge::builder().engine(handle).start().await;
    let impatient = bridge.okta().with("Prefer", "wait=0");
    let user = impatient.create(&okta_create()).await;
    assert_eq!(user[OPENAI]["status"], "pending");
}

#[tokio::test]
async fn a_deleted_user_is_gone() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    let path = path_of(&user);
    let deleted = okta.delete(&path).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    okta.delete(&path).await.expect_error(404, None);
    okta.get(&path).await.expect_error(404, None);
    okta.put(&path, &okta_create()).await.expect_error(404, None);
    okta.patch(&path, &json!([{"op": "replace", "value": {"active": true}}])).await.expect_error(404, None);
    assert_eq!(okta.find("userName pr").await.expect(200)["totalResults"], 0);
    assert_ne!(okta.create(&okta_create()).await["id"], user["id"]);
}

#[tokio::test]
async fn versions_guard_against_lost_updates() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    let path = path_of(&user);
    let unchanged = okta.clone().with("If-None-Match", "W/\"1\"").get(&path).await;
    assert_eq!(
        (unchanged.status, unchanged.body.as_str(), unchanged.header("etag")),
        (304, "", Some("W/\"1\""))
    );

    let change = json!([{"op": "add", "path": "title", "value": "Boss"}]);
    let changed = okta.clone().with("If-Match", "W/\"1\"").patch(&path, &change).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("W/\"2\"")));
    let stale = okta.clone().with("If-Match", "W/\"1\"");
    stale
        .patch(&path, &json!([{"op": "add", "path": "title", "value": "Chief"}]))
        .await
        .expect_error(412, None);
    stale.put(&path, &user).await.expect_error(412, None);
    stale.delete(&path).await.expect_error(412, None);
    let read = okta.clone().with("If-None-Match", "W/\"1\"").get(&path).await.expect(200);
    assert_eq!(read["title"], "Boss");
    okta.clone().with("If-Match", "*").delete(&path).await.expect(204);
}

#[tokio::test]
async fn an_answer_holds_what_is_asked_for() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    let path = path_of(&user);
    let keys = |body: Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let few = okta.get(&format!("{path}?attributes=userName,NAME.givenName")).await.expect(200);
    assert_eq!(few["name"], json!({"givenName": "Test"}));
    assert_eq!(keys(few), ["schemas", "id", "userName", "name"]);
    let fewer = okta.get(&format!("{path}?excludedAttributes=emails,{OPENAI}")).await.expect(200);
    assert!(!keys(fewer.clone()).contains(&"emails".to_owned()) && fewer.get(OPENAI).is_none());
    assert_eq!(okta.get(&format!("{path}?attributes=")).await.expect(200), user);
    let list = okta.get("/Users?attributes=id").await.expect(200);
    assert_eq!(list["Resources"], json!([{"schemas": user["schemas"], "id": user["id"]}]));
}

#[tokio::test]
async fn every_change_is_in_the_audit_trail_with_who_asked() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let user = okta.create(&okta_create()).await;
    let change = json!([{"op": "add", "path": "title", "value": "Boss"}]);
    let changed = okta.patch(&path_of(&user), &change).await;
    okta.delete(&path_of(&user)).await.expect(204);
    assert_eq!(audit_events(&bridge).await, ["user.create", "user.update", "user.delete"]);
    assert!(changed.header("x-request-id").is_some());
}

/// The events of the default tenant's audit trail, oldest first.
async fn audit_events(bridge: &TestBridge) -> Vec<String> {
    trail_of_default(&bridge.store).await.into_iter().map(|told| told.event).collect()
}
