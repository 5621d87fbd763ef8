//! PATCH of users as Okta and Entra ID send it, and what must not come through.

use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge, user};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

async fn one_user(bridge: &TestBridge) -> (Actor, String) {
    let entra = bridge.entra();
    let id = entra.create_named("jane@x.example").await;
    (entra, format!("/Users/{id}"))
}

/// What of `before` a PATCH with these operations changes.
async fn changed_by(actor: &Actor, path: &str, operations: Value) -> Value {
    let answer = actor.patch(path, &operations).await;
    let user = answer.expect(200);
    assert_eq!(actor.get(path).await.expect(200), user);
    user
}

#[tokio::test]
async fn entras_default_dialect_changes_one_attribute_by_operation() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let user = changed_by(
        &entra,
        &path,
        json!([
            {"op": "Replace", "path": "displayName", "value": "Pvlo"},
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "TestBcwqnm@test.example"},
            {"op": "Replace", "path": "name.givenName", "value": "Gtfd"},
            {"op": "Replace", "path": "name.familyName", "value": "Pkqf"},
            {"op": "Replace", "path": "externalId", "value": "Eqpj"},
            {"op": "Replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "Eqpj"},
        ]),
    )
    .await;
    insta::assert_json_snapshot!(user, { ".id" => "[id]", ".meta.location" => "[location]" }, @r#"
    {
      "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User"
      ],
      "id": "[id]",
      "userName": "jane@x.example",
      "name": {
        "givenName": "Gtfd",
        "familyName": "Pkqf"
      },
      "emails": [
        {
          "primary": true,
          "value": "TestBcwqnm@test.example",
          "type": "work"
        }
      ],
      "active": true,
      "displayName": "Pvlo",
      "externalId": "Eqpj",
      "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
        "employeeNumber": "Eqpj"
      },
      "urn:ietf:params:scim:schemas:extension:openai:2.0:User": {
        "status": "pending"
      },
      "meta": {
        "resourceType": "User",
        "created": "2026-01-01T00:00:00Z",
        "lastModified": "2026-01-01T00:00:00Z",
        "location": "[location]",
        "version": "W/\"2\""
      }
    }
    "#);
}

#[tokio::test]
async fn entras_flag_dialect_changes_several_attributes_by_dotted_keys() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let user = changed_by(
        &entra,
        &path,
        json!([
            {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "TestMhvaes@test.example"},
            {"op": "replace", "value": {
                "displayName": "Bjfe",
                "name.givenName": "Kkom",
                "name.familyName": "Unua",
                format!("{ENTERPRISE}:employeeNumber"): "Aklq",
            }},
        ]),
    )
    .await;
    assert_eq!(user["emails"][0]["value"], "TestMhvaes@test.example");
    assert_eq!(user["name"], json!({"givenName": "Kkom", "familyName": "Unua"}));
    assert_eq!(
        (&user["displayName"], &user[ENTERPRISE]),
        (&json!("Bjfe"), &json!({"employeeNumber": "Aklq"}))
    );
}

#[tokio::test]
async fn operations_on_values_that_do_not_exist_create_them_one_by_one() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let user = changed_by(
        &entra,
        &path,
        json!([
            {"op": "add", "path": "emails[type eq \"work\"].value", "value": "roberta_kuvalis@x.example"},
            {"op": "add", "path": "emails[type eq \"work\"].primary", "value": true},
            {"op": "add", "path": "addresses[type eq \"work\"].formatted", "value": "QQHYDJGFDRFX"},
            {"op": "add", "path": "addresses[type eq \"work\"].country", "value": "Uzbekistan"},
            {"op": "Replace", "path": "addresses[type eq \"other\"].locality", "value": "Graz"},
            {"op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "22-377-3428"},
            {"op": "add", "path": "roles[primary eq \"True\"].display", "value": "MSSEWRRJREQY"},
            {"op": "add", "path": "roles[primary eq \"True\"].value", "value": "CYDBGQIIERUP"},
            {"op": "add", "path": "roles[primary eq \"True\"].type", "value": "QRPQKXXKNVRS"},
            {"op": "add", "value": {
                "active": true, "displayName": "CDHQYEYIKBGB", "title": "LOATBSFQQPBF",
                "name.givenName": "Adell", "name.familyName": "Lesley",
                format!("{ENTERPRISE}:department"): "TEUFEQIRBMVQ",
                "userType": "XXEMRJMTGJYS", "nickName": "EZUFFGHXIFHD", "timezone": "Africa/Djibouti",
            }},
        ]),
    )
    .await;
    insta::assert_json_snapshot!(user, { ".id" => "[id]", ".meta.location" => "[location]" }, @r#"
    {
      "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User"
      ],
      "id": "[id]",
      "userName": "jane@x.example",
      "name": {
        "givenName": "Adell",
        "familyName": "Lesley"
      },
      "emails": [
        {
          "primary": true,
          "value": "roberta_kuvalis@x.example",
          "type": "work"
        }
      ],
      "active": true,
      "addresses": [
        {
          "type": "work",
          "formatted": "QQHYDJGFDRFX",
          "country": "Uzbekistan"
        },
        {
          "type": "other",
          "locality": "Graz"
        }
      ],
      "phoneNumbers": [
        {
          "type": "mobile",
          "value": "22-377-3428"
        }
      ],
      "roles": [
        {
          "primary": true,
          "display": "MSSEWRRJREQY",
          "value": "CYDBGQIIERUP",
          "type": "QRPQKXXKNVRS"
        }
      ],
      "displayName": "CDHQYEYIKBGB",
      "title": "LOATBSFQQPBF",
      "userType": "XXEMRJMTGJYS",
      "nickName": "EZUFFGHXIFHD",
      "timezone": "Africa/Djibouti",
      "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
        "department": "TEUFEQIRBMVQ"
      },
      "urn:ietf:params:scim:schemas:extension:openai:2.0:User": {
        "status": "pending"
      },
      "meta": {
        "resourceType": "User",
        "created": "2026-01-01T00:00:00Z",
        "lastModified": "2026-01-01T00:00:00Z",
        "location": "[location]",
        "version": "W/\"2\""
      }
    }
    "#);
}

#[tokio::test]
async fn roles_come_as_json_in_texts_and_as_objects() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let packed = json!([{"op": "Add", "path": "roles", "value": [
        {"value": "{\"id\":\"06b07648-ecfe-589f-9d2f-6325724a46ee\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"},
        {"value": "{\"id\":\"06b07648-ecfe-599f-9d2f-6325724a46ee\",\"value\":\"User\",\"displayName\":\"User\"}"}]}]);
    let user = changed_by(&entra, &path, packed).await;
    assert_eq!(
        user["roles"],
        json!([{"value": "Admin", "display": "Admin"}, {"value": "User", "display": "User"}])
    );
    let role = json!({"primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "User", "value": "User"});
    let user = changed_by(&entra, &path, json!([{"op": "replace", "path": "roles", "value": [role]}])).await;
    assert_eq!(user["roles"], json!([role]));
}

#[tokio::test]
async fn a_manager_comes_in_every_form_and_is_answered_as_an_object() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let urn = format!("{ENTERPRISE}:manager");
    for (number, (op, manager_path, value)) in [
        ("Add", "manager", json!([{"$ref": "http://host/scim/Users/m0", "value": "m0"}])),
        ("Add", urn.as_str(), json!("m1")),
        ("Replace", urn.as_str(), json!("m2")),
        ("replace", urn.as_str(), json!({"value": "m3"})),
    ]
    .into_iter()
    .enumerate()
    {
        let operation = json!([{"op": op, "path": manager_path, "value": value}]);
        let user = changed_by(&entra, &path, operation).await;
        assert_eq!(user[ENTERPRISE]["manager"]["value"], format!("m{number}"), "{value}");
    }
    let user = changed_by(&entra, &path, json!([{"op": "Replace", "path": urn, "value": ""}])).await;
    assert_eq!(user.get(ENTERPRISE), None);
}

#[tokio::test]
async fn every_spelling_of_inactive_is_understood() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    for (off, on) in [
        (
            json!({"op": "Replace", "path": "active", "value": "False"}),
            json!({"op": "Replace", "path": "active", "value": "True"}),
        ),
        (
            json!({"op": "replace", "path": "active", "value": false}),
            json!({"op": "replace", "path": "active", "value": true}),
        ),
        (
            json!({"op": "REPLACE", "value": {"active": "false"}}),
            json!({"op": "Add", "value": {"active": "true"}}),
        ),
        (
            json!({"op": "Add", "path": "Active", "value": "FALSE"}),
            json!({"op": "add", "path": "active", "value": true}),
        ),
        (
            json!({"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false}),
            json!({"op": "replace", "value": {"urn:ietf:params:scim:schemas:core:2.0:User:active": true}}),
        ),
    ] {
        assert_eq!(changed_by(&entra, &path, json!([off])).await["active"], false, "{off}");
        assert_eq!(changed_by(&entra, &path, json!([on])).await["active"], true, "{on}");
    }
}

#[tokio::test]
async fn a_repeated_patch_makes_no_new_version() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let operations = json!([{"op": "Replace", "path": "title", "value": "tester"},
                            {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "x@example.com"}]);
    let first = entra.patch(&path, &operations).await.expect(200);
    bridge.clock.advance(jiff::SignedDuration::from_mins(40));
    assert_eq!(entra.patch(&path, &operations).await.expect(200), first);
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    let off_once = entra.patch(&path, &off).await.expect(200);
    assert_eq!(entra.patch(&path, &off).await.expect(200), off_once);
}

#[tokio::test]
async fn a_refused_patch_changes_nothing_at_all() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let before = entra.get(&path).await.expect(200);
    let title = json!({"op": "add", "path": "title", "value": "Boss"});
    for (bad, scim_type) in [
        (json!({"op": "replace", "path": "active", "value": "perhaps"}), "invalidValue"),
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "meta.created", "value": "2020-01-01T00:00:00Z"}), "mutability"),
        (json!({"op": "replace", "value": {"id": "another"}}), "mutability"),
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (json!({"op": "remove", "path": "active"}), "mutability"),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "replace", "path": "emails[type eq", "value": "x"}), "invalidPath"),
        (
            json!({"op": "replace", "path": "emails[type gt \"zz\"].value", "value": "x@x.example"}),
            "noTarget",
        ),
        (json!({"op": "move", "path": "title", "value": "x"}), "invalidSyntax"),
        (json!({"op": "replace", "path": "title"}), "invalidValue"),
        (
            json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "nonsense"}),
            "invalidValue",
        ),
        (json!({"op": "replace", "path": "name", "value": 7}), "invalidValue"),
        (json!("op"), "invalidSyntax"),
    ] {
        let answer = entra.patch(&path, &json!([title, bad])).await;
        let body = answer.json();
        assert_eq!((answer.status, body["scimType"].as_str()), (400, Some(scim_type)), "{bad}: {body}");
        assert_eq!(entra.get(&path).await.expect(200), before, "{bad}");
    }
    for body in
        [json!({}), json!([]), json!({"Operations": []}), json!({"Operations": {}}), json!("x"), json!(null)]
    {
        let answer = entra.send("PATCH", &path, Some(body.to_string().as_bytes())).await;
        answer.expect_error(400, Some("invalidSyntax"));
    }
    let many = Value::Array(vec![title; 101]);
    entra.patch(&path, &many).await.expect_error(413, None);
    assert_eq!(entra.get(&path).await.expect(200), before);
}

#[tokio::test]
async fn unknown_attributes_and_keys_are_passed_over() {
    let bridge = TestBridge::start().await;
    let (entra, path) = one_user(&bridge).await;
    let before = entra.get(&path).await.expect(200);
    let operations = json!([
        {"op": "add", "path": "favouriteColour", "value": "green"},
        {"op": "add", "path": "urn:example:unknown:attribute", "value": 1, "because": "why not"},
        {"op": "add", "value": {"__proto__": {"isAdmin": true}, "constructor": 1, "groups": [], "schemas": []}},
    ]);
    assert_eq!(entra.patch(&path, &operations).await.expect(200), before);
}

#[tokio::test]
async fn of_many_patches_at_once_none_is_lost() {
    let bridge = TestBridge::start().await;
    let entra = bridge.entra();
    let id = entra.create_named("jane@x.example").await;
    let path = format!("/Users/{id}");
    let patches = (0..25).map(|number| {
        let (entra, path) = (entra.clone(), path.clone());
        let phone = json!({"type": format!("t{number}"), "value": format!("+43 1 {number}")});
        tokio::spawn(async move {
            entra
                .patch(&path, &json!([{"op": "add", "path": "phoneNumbers", "value": [phone]}]))
                .await
                .expect(200)
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap();
    }
    let user = entra.get(&path).await.expect(200);
    assert_eq!(user["phoneNumbers"].as_array().unwrap().len(), 25);
    assert_eq!(user["meta"]["version"], "W/\"26\"");
}

#[tokio::test]
async fn of_many_creates_at_once_one_succeeds() {
    let bridge = TestBridge::start().await;
    let same_name = (0..16).map(|_| user("jane@x.example"));
    assert_eq!(statuses_of(&bridge, same_name).await, [vec![201], vec![409; 15]].concat());
    let same_address = (0..16).map(|number| {
        let mut body = user("john@x.example");
        body["userName"] = json!(format!("john{number}"));
        body
    });
    assert_eq!(statuses_of(&bridge, same_address).await, [vec![201], vec![409; 15]].concat());
}

/// Creates all of them at once and tells the statuses in order of size.
async fn statuses_of(bridge: &TestBridge, bodies: impl Iterator<Item = Value>) -> Vec<u16> {
    let creates = bodies.map(|body| {
        let entra = bridge.entra();
        tokio::spawn(async move { entra.post("/Users", &body).await.status })
    });
    let mut statuses = Vec::new();
    for create in creates.collect::<Vec<_>>() {
        statuses.push(create.await.unwrap());
    }
    statuses.sort_unstable();
    statuses
}
