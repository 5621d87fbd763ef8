//! Tests of PATCH: the RFC, what identity providers send, refusals and limits.

#![expect(clippy::needless_pass_by_value, reason = "checks read best with literals given by value")]

use serde_json::{Value, json};

use super::*;
use crate::scim::resource::Resource;
use crate::scim::schema::Registry;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const OPENAI: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

fn patched(type_name: &str, before: Value, operations: Value) -> Result<(Value, ChangeSet), ScimError> {
    let resource_type = Registry::builtin().resource_type(type_name).unwrap();
    let mut resource = Resource::try_from(before.clone()).unwrap();
    let request = PatchRequest::parse(json!({"schemas": [PATCH_URN], "Operations": operations}))?;
    match request.apply(resource_type, &mut resource) {
        Ok(changes) => Ok((resource.into(), changes)),
        Err(error) => {
            assert_eq!(Value::from(resource), before, "a refused PATCH changes nothing");
            Err(error)
        }
    }
}

/// Applies `operations` twice: the second time nothing may change.
#[track_caller]
fn check_on(type_name: &str, before: Value, operations: Value, expected: Value) {
    let (after, changes) = patched(type_name, before.clone(), operations.clone()).unwrap();
    assert_eq!(after, expected);
    assert_eq!(changes.is_empty(), before == expected);
    let (again, changes) = patched(type_name, after, operations).unwrap();
    assert_eq!(again, expected, "a repeated PATCH changes nothing");
    assert!(changes.is_empty());
}

/// Checks a PATCH of a user; `userName` is added to both sides.
#[track_caller]
fn check(before: Value, operations: Value, expected: Value) {
    let named = |mut user: Value| {
        if user.get("userName").is_none() {
            user["userName"] = json!("u");
        }
        user
    };
    check_on("User", named(before), operations, named(expected));
}

#[track_caller]
fn check_group(before: Value, operations: Value, expected: Value) {
    check_on("Group", before, operations, expected);
}

#[track_caller]
fn check_refused(before: Value, operations: Value, expected: &str) {
    let mut before = before;
    before["userName"] = json!("u");
    assert_eq!(patched("User", before, operations).unwrap_err().to_string(), expected);
}

fn group() -> Value {
    json!({"displayName": "g", "members": [{"value": "a", "display": "A"}, {"value": "b"}]})
}

// Okta

#[test]
fn okta_deactivates_without_a_path() {
    let operations = json!([{"op": "replace", "value": {"active": false}}]);
    check(json!({"active": true}), operations, json!({"active": false}));
}

#[test]
fn okta_renames_a_group_and_echoes_its_id() {
    let before = json!({"id": "g1", "displayName": "old"});
    let rename = |id: &str| json!([{"op": "replace", "value": {"id": id, "displayName": "Test SCIMv2"}}]);
    check_group(before.clone(), rename("g1"), json!({"id": "g1", "displayName": "Test SCIMv2"}));
    let error = patched("Group", before, rename("g2")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "400 mutability: Operations[0]: id is set by the server and cannot be changed"
    );
}

#[test]
fn okta_removes_and_adds_members_in_one_request() {
    let operations = json!([
        {"op": "remove", "path": "members[value eq \"a\"]"},
        {"op": "add", "path": "members", "value": [{"value": "c", "display": "test.user@okta.local"}]}
    ]);
    let members = json!([{"value": "b"}, {"value": "c"}]);
    check_group(group(), operations, json!({"displayName": "g", "members": members}));
}

#[test]
fn okta_replaces_all_members() {
    let members = json!([{"value": "c", "display": "C"}, {"value": "a", "display": "A"}]);
    let operations = json!([{"op": "replace", "path": "members", "value": members}]);
    check_group(
        group(),
        operations,
        json!({"displayName": "g", "members": [{"value": "c"}, {"value": "a"}]}),
    );
    let nobody = json!([{"op": "replace", "path": "members", "value": []}]);
    check_group(group(), nobody, json!({"displayName": "g"}));
}

// Entra ID

#[test]
fn entra_updates_attribute_by_attribute() {
    check(
        json!({"displayName": "Old", "emails": [{"type": "work", "value": "old@x.example", "primary": true}]}),
        json!([
            {"op": "Replace", "path": "displayName", "value": "Pvlo"},
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@x.example"},
            {"op": "Replace", "path": "name.givenName", "value": "Gtfd"},
            {"op": "Replace", "path": "name.familyName", "value": "Pkqf"},
            {"op": "Replace", "path": "externalId", "value": "Eqpj"},
            {"op": "Replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "Eqpj"}
        ]),
        json!({
            "displayName": "Pvlo", "emails": [{"type": "work", "value": "new@x.example", "primary": true}],
            "name": {"givenName": "Gtfd", "familyName": "Pkqf"}, "externalId": "Eqpj",
            ENTERPRISE: {"employeeNumber": "Eqpj"}
        }),
    );
}

#[test]
fn entra_with_its_flag_sends_dotted_and_urn_keys() {
    check(
        json!({}),
        json!([
            {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "t@test.example"},
            {"op": "replace", "value": {
                "displayName": "Bjfe", "name.givenName": "Kkom", "name.familyName": "Unua",
                (format!("{ENTERPRISE}:employeeNumber")): "Aklq"
            }}
        ]),
        json!({
            "emails": [{"type": "work", "value": "t@test.example"}], "displayName": "Bjfe",
            "name": {"givenName": "Kkom", "familyName": "Unua"}, ENTERPRISE: {"employeeNumber": "Aklq"}
        }),
    );
}

#[test]
fn entra_builds_one_value_by_several_operations() {
    check(
        json!({}),
        json!([
            {"op": "add", "path": "emails[type eq \"work\"].value", "value": "roberta_kuvalis@example.com"},
            {"op": "add", "path": "emails[type eq \"work\"].primary", "value": true},
            {"op": "add", "path": "addresses[type eq \"work\"].formatted", "value": "QQHYDJGFDRFX"},
            {"op": "add", "path": "addresses[type eq \"work\"].country", "value": "Uzbekistan"},
            {"op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "22-377-3428"},
            {"op": "add", "path": "roles[primary eq \"True\"].display", "value": "MSSEWRRJREQY"},
            {"op": "add", "path": "roles[primary eq \"True\"].value", "value": "CYDBGQIIERUP"},
            {"op": "add", "path": "roles[primary eq \"True\"].type", "value": "QRPQKXXKNVRS"},
            {"op": "add", "value": {
                "active": true, "title": "LOATBSFQQPBF", "name.givenName": "Adell",
                (format!("{ENTERPRISE}:department")): "TEUFEQIRBMVQ", "timezone": "Africa/Djibouti"
            }}
        ]),
        json!({
            "emails": [{"type": "work", "value": "roberta_kuvalis@example.com", "primary": true}],
            "addresses": [{"type": "work", "formatted": "QQHYDJGFDRFX", "country": "Uzbekistan"}],
            "phoneNumbers": [{"type": "mobile", "value": "22-377-3428"}],
            "roles": [{
                "primary": true, "display": "MSSEWRRJREQY", "value": "CYDBGQIIERUP", "type": "QRPQKXXKNVRS"
            }],
            "active": true, "title": "LOATBSFQQPBF", "name": {"givenName": "Adell"},
            ENTERPRISE: {"department": "TEUFEQIRBMVQ"}, "timezone": "Africa/Djibouti"
        }),
    );
}

#[test]
fn entra_adds_to_a_value_that_is_there() {
    check(
        json!({"emails": [{"type": "work", "value": "a@x.example"}, {"type": "home", "value": "h@x.example"}]}),
        json!([{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "x@example.com"},
               {"op": "Replace", "path": "addresses[type eq \"work\"].formatted", "value": "18/2111"},
               {"op": "Add", "path": format!("{ENTERPRISE}:department"), "value": "Retail"}]),
        json!({
            "emails": [{"type": "work", "value": "x@example.com"}, {"type": "home", "value": "h@x.example"}],
            "addresses": [{"type": "work", "formatted": "18/2111"}], ENTERPRISE: {"department": "Retail"}
        }),
    );
}

#[test]
fn entra_disables_and_restores_by_texts() {
    let set = |value: Value| json!([{"op": "Replace", "path": "active", "value": value}]);
    check(json!({"active": true}), set(json!("False")), json!({"active": false}));
    check(json!({"active": true}), set(json!(false)), json!({"active": false}));
    check(json!({"active": false}), set(json!("True")), json!({"active": true}));
}

#[test]
fn entra_packs_roles_into_texts() {
    check(
        json!({}),
        json!([{"op": "Add", "path": "roles", "value": [
            {"value": "{\"id\":\"06b07648\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"},
            {"value": "{\"id\":\"06b07649\",\"value\":\"User\",\"displayName\":\"User\"}"}]}]),
        json!({"roles": [{"value": "Admin", "display": "Admin"}, {"value": "User", "display": "User"}]}),
    );
    let roles = json!([{"primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "User",
                        "value": "User"}]);
    check(
        json!({"roles": [{"value": "Admin"}]}),
        json!([{"op": "replace", "path": "roles", "value": roles}]),
        json!({"roles": roles}),
    );
}

#[test]
fn entra_sets_and_clears_a_manager_in_every_form() {
    let manager = json!({ENTERPRISE: {"manager": {"value": "00aa"}}});
    for (op, path) in [("Add", "manager"), ("Add", &*format!("{ENTERPRISE}:manager"))] {
        check(json!({}), json!([{"op": op, "path": path, "value": "00aa"}]), manager.clone());
    }
    check(
        json!({ENTERPRISE: {"manager": {"value": "old"}}}),
        json!([{"op": "Replace", "path": format!("{ENTERPRISE}:manager"), "value": "00aa"}]),
        manager.clone(),
    );
    check(
        json!({}),
        json!([{"op": "Add", "path": "manager", "value": [{"$ref": "http://host/Users/00aa", "value": "00aa"}]}]),
        json!({ENTERPRISE: {"manager": {"$ref": "http://host/Users/00aa", "value": "00aa"}}}),
    );
    check(manager.clone(), json!([{"op": "Replace", "path": "manager", "value": ""}]), json!({}));
    check(manager, json!([{"op": "Remove", "path": format!("{ENTERPRISE}:manager")}]), json!({}));
}

#[test]
fn entra_changes_members_by_a_list_of_values() {
    check_group(
        group(),
        json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "c"}]}]),
        json!({"displayName": "g", "members": [{"value": "a", "display": "A"}, {"value": "b"}, {"value": "c"}]}),
    );
    check_group(
        group(),
        json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
        json!({"displayName": "g", "members": [{"value": "b"}]}),
    );
    check_group(group(), json!([{"op": "Remove", "path": "members", "value": []}]), group());
    check_group(group(), json!([{"op": "remove", "path": "members", "value": [{"display": "A"}]}]), group());
    check_group(
        group(),
        json!([{"op": "Replace", "path": "externalId", "value": "x"}, {"op": "Replace", "path": "foo", "value": 1}]),
        json!({"displayName": "g", "externalId": "x",
               "members": [{"value": "a", "display": "A"}, {"value": "b"}]}),
    );
}

// RFC 7644

#[test]
fn names_are_taken_in_any_case_and_unknown_keys_are_passed_over() {
    let user = Registry::builtin().resource_type("User").unwrap();
    let request = json!({"operations": [
        {"OP": "REPLACE", "Path": "NAME.GivenName", "VALUE": "J", "comment": {"x": 1}}
    ], "schemas": "anything"});
    let mut resource = Resource::try_from(json!({"userName": "u"})).unwrap();
    PatchRequest::parse(request).unwrap().apply(user, &mut resource).unwrap();
    assert_eq!(resource.get_str("name.givenName"), Some("J"));
}

#[test]
fn a_value_that_is_there_is_not_added_again() {
    let emails = json!([{"type": "work", "value": "a@x.example"}, {"value": "b@x.example"}]);
    let add = |value: Value| json!([{"op": "add", "path": "emails", "value": value}]);
    check(json!({"emails": emails}), add(json!([{"value": "A@X.example", "type": "WORK"}])), {
        json!({"emails": [{"type": "WORK", "value": "A@X.example"}, {"value": "b@x.example"}]})
    });
    check(
        json!({"emails": emails}),
        add(json!({"value": "b@x.example", "display": "B"})),
        json!({"emails": [{"type": "work", "value": "a@x.example"}, {"value": "b@x.example", "display": "B"}]}),
    );
    check(
        json!({"emails": emails}),
        add(json!([{"value": "a@x.example", "type": "home"}])),
        json!({"emails": [{"type": "work", "value": "a@x.example"}, {"value": "b@x.example"},
                          {"value": "a@x.example", "type": "home"}]}),
    );
    let address = json!({"locality": "Porto"});
    check(
        json!({"addresses": [address]}),
        json!([{"op": "add", "path": "addresses", "value": [address]}]),
        json!({"addresses": [address]}),
    );
    check_group(
        group(),
        json!([{"op": "add", "path": "members",
                "value": [{"value": "a", "display": "Other", "type": "User"}, {"value": "c"}, {"value": "c"}]}]),
        json!({"displayName": "g", "members": [
            {"value": "a", "display": "A", "type": "User"}, {"value": "b"}, {"value": "c"}]}),
    );
}

#[test]
fn a_new_primary_value_clears_the_others() {
    let before =
        json!({"emails": [{"type": "work", "value": "a", "primary": true}, {"type": "home", "value": "b"}]});
    check(
        before.clone(),
        json!([{"op": "add", "path": "emails", "value": [{"value": "c", "primary": true}]}]),
        json!({"emails": [{"type": "work", "value": "a", "primary": false}, {"type": "home", "value": "b"},
                          {"value": "c", "primary": true}]}),
    );
    check(
        before.clone(),
        json!([{"op": "replace", "path": "emails[type eq \"home\"].primary", "value": "True"}]),
        json!({"emails": [{"type": "work", "value": "a", "primary": false},
                          {"type": "home", "value": "b", "primary": true}]}),
    );
    check_refused(
        before,
        json!([{"op": "replace", "path": "emails.primary", "value": true}]),
        "400 invalidValue: Operations[0]: emails: primary may be true for one value only, and 2 are selected",
    );
}

#[test]
fn complex_attributes_are_completed_by_add_and_replace() {
    let before = json!({"name": {"givenName": "G", "familyName": "F"}});
    for op in ["add", "replace"] {
        check(
            before.clone(),
            json!([{"op": op, "path": "name", "value": {"GIVENNAME": "H", "formatted": "H F"}}]),
            json!({"name": {"givenName": "H", "familyName": "F", "formatted": "H F"}}),
        );
    }
    let clear = json!([{"op": "replace", "path": "name", "value": {"givenName": null}}]);
    check(before.clone(), clear, json!({"name": {"familyName": "F"}}));
    let unknown = json!([{"op": "replace", "path": "name", "value": {"unknown": 1}}]);
    check(before.clone(), unknown, before.clone());
    check(before.clone(), json!([{"op": "replace", "path": "name", "value": null}]), json!({}));
    check(before.clone(), json!([{"op": "add", "path": "name", "value": null}]), before);
}

#[test]
fn a_filter_selects_whole_values_or_parts_of_them() {
    let before = json!({"addresses": [
        {"type": "work", "locality": "Porto", "country": "PT"}, {"type": "home", "locality": "Oslo"}]});
    check(
        before.clone(),
        json!([{"op": "replace", "path": "addresses[type eq \"work\"]", "value": {"locality": "Faro"}}]),
        json!({"addresses": [{"type": "work", "locality": "Faro"}, {"type": "home", "locality": "Oslo"}]}),
    );
    check(
        before.clone(),
        json!([{"op": "add", "path": "addresses[type eq \"work\"]", "value": {"locality": "Faro"}}]),
        json!({"addresses": [{"type": "work", "locality": "Faro", "country": "PT"},
                             {"type": "home", "locality": "Oslo"}]}),
    );
    check(
        before.clone(),
        json!([{"op": "remove", "path": "addresses[type eq \"work\"].locality"}]),
        json!({"addresses": [{"type": "work", "country": "PT"}, {"type": "home", "locality": "Oslo"}]}),
    );
    check(
        before.clone(),
        json!([{"op": "remove", "path": "addresses[locality sw \"o\" or country eq \"PT\"]"}]),
        json!({}),
    );
    check(
        before,
        json!([{"op": "replace", "path": "addresses[type eq \"other\" and country eq \"SE\"]",
                "value": [{"locality": "Lund"}]}]),
        json!({"addresses": [
            {"type": "work", "locality": "Porto", "country": "PT"}, {"type": "home", "locality": "Oslo"},
            {"type": "other", "country": "SE", "locality": "Lund"}]}),
    );
}

#[test]
fn removing_what_is_not_there_succeeds() {
    for path in
        ["title", "name.givenName", "emails", "emails[type eq \"work\"]", "emails[type eq \"work\"].value"]
    {
        check(json!({}), json!([{"op": "remove", "path": path}]), json!({}));
    }
}

#[test]
fn extensions_are_patched_as_a_whole() {
    let before = json!({ENTERPRISE: {"department": "A", "division": "B"}});
    for value in [json!({"path": ENTERPRISE, "value": {"Department": "C", "unknown": 1}}), {
        json!({"value": {ENTERPRISE.to_uppercase(): {"department": "C"}}})
    }] {
        let mut operation = value;
        operation["op"] = json!("replace");
        check(before.clone(), json!([operation]), json!({ENTERPRISE: {"department": "C", "division": "B"}}));
    }
    check(before, json!([{"op": "remove", "path": ENTERPRISE}]), json!({}));
    check(
        json!({OPENAI: {"role": "reader", "status": "member"}}),
        json!([{"op": "remove", "path": OPENAI}]),
        json!({OPENAI: {"status": "member"}}),
    );
    check(
        json!({}),
        json!([{"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:User", "value": {"title": "T"}}]),
        json!({"title": "T"}),
    );
}

#[test]
fn foreign_attributes_schemas_and_password_are_passed_over() {
    check(
        json!({}),
        json!([
            {"op": "add", "path": "urn:example:foreign:2.0:User:x", "value": 1},
            {"op": "replace", "path": "shoeSize", "value": 44},
            {"op": "remove", "path": "name.unknown"},
            {"op": "add", "path": "schemas", "value": ["urn:example:foreign"]},
            {"op": "replace", "path": "password", "value": "secret"},
            {"op": "replace", "value": {"password": "secret", "__proto__": {"isAdmin": true}, "a b": 1,
                                        "constructor.prototype": 1, "meta": {"version": "x"}, "groups": [1]}}
        ]),
        json!({}),
    );
}

#[test]
fn schemas_follow_the_extensions_present() {
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    check(
        json!({"schemas": [core]}),
        json!([{"op": "add", "path": "department", "value": "D"}]),
        json!({"schemas": [core, ENTERPRISE], ENTERPRISE: {"department": "D"}}),
    );
}

#[test]
fn what_the_server_owns_is_refused_by_path() {
    for (path, named) in [
        ("id", "id"),
        ("meta.created", "meta.created"),
        ("groups", "groups"),
        ("groups[value eq \"g\"]", "groups"),
        (&*format!("{OPENAI}:status"), &*format!("{OPENAI}:status")),
        ("manager.displayName", &*format!("{ENTERPRISE}:manager.displayName")),
    ] {
        for op in ["add", "replace", "remove"] {
            check_refused(
                json!({}),
                json!([{"op": op, "path": path, "value": "x"}]),
                &format!("400 mutability: Operations[0]: {named} is set by the server and cannot be changed"),
            );
        }
    }
}

#[test]
fn members_are_themselves_and_cannot_become_others() {
    let refused = |operations: Value| patched("Group", group(), operations).unwrap_err().to_string();
    assert_eq!(
        refused(json!([{"op": "replace", "path": "members.value", "value": "x"}])),
        "400 mutability: Operations[0]: members.value cannot be changed once it is set"
    );
    assert_eq!(
        refused(json!([{"op": "remove", "path": "members[value eq \"a\"].value"}])),
        "400 mutability: Operations[0]: members.value cannot be removed"
    );
    assert_eq!(
        refused(json!([{"op": "replace", "path": "members[value eq \"x\"].display", "value": "X"}])),
        "400 mutability: Operations[0]: members.display is set by the server and cannot be changed"
    );
    assert_eq!(
        refused(json!([{"op": "add", "path": "members", "value": [{"type": "User"}]}])),
        "400 invalidValue: Operations[0]: members[0].value is required and must not be empty"
    );
}

#[test]
fn required_attributes_stay() {
    check_refused(
        json!({}),
        json!([{"op": "remove", "path": "userName"}]),
        "400 mutability: Operations[0]: userName is required and cannot be removed",
    );
    check_refused(
        json!({}),
        json!([{"op": "replace", "path": "userName", "value": ""}]),
        "400 invalidValue: userName is required and must not be empty",
    );
    check_refused(
        json!({OPENAI: {"projects": [{"value": "p", "role": "member"}]}}),
        json!([{"op": "remove", "path": format!("{OPENAI}:projects[role eq \"member\"].value")}]),
        &format!("400 mutability: Operations[0]: {OPENAI}:projects.value cannot be removed"),
    );
}

#[test]
fn malformed_requests_are_refused() {
    let refused = |body: Value| PatchRequest::parse(body).unwrap_err().to_string();
    assert_eq!(refused(json!([])), "400 invalidSyntax: a PATCH body must be a JSON object");
    assert_eq!(refused(json!({})), "400 invalidSyntax: a PATCH body must have Operations");
    assert_eq!(refused(json!({"Operations": {}})), "400 invalidSyntax: Operations must be a list");
    assert_eq!(refused(json!({"Operations": []})), "400 invalidSyntax: Operations must not be empty");
    assert_eq!(refused(json!({"Operations": [1]})), "400 invalidSyntax: Operations[0] must be an object");
    for (operation, expected) in [
        (json!({"op": "move"}), "400 invalidSyntax: Operations[0]: op must be add, remove or replace"),
        (
            json!({"op": "remove", "value": {"title": "x"}}),
            "400 noTarget: Operations[0]: remove needs a path",
        ),
        (json!({"op": "add", "path": "title"}), "400 invalidValue: Operations[0]: add needs a value"),
        (
            json!({"op": "add", "path": 5, "value": 1}),
            "400 invalidPath: Operations[0]: path must be a string",
        ),
        (
            json!({"op": "add", "path": "", "value": 1}),
            "400 invalidValue: Operations[0]: the value of an operation without a path must be an object",
        ),
        (
            json!({"op": "add", "path": "emails[", "value": 1}),
            "400 invalidPath: Operations[0]: path at character 8: the text ends where an attribute is expected",
        ),
    ] {
        assert_eq!(refused(json!({"Operations": [operation]})), expected);
    }
}

#[test]
fn values_and_paths_that_do_not_fit_are_refused() {
    check_refused(
        json!({}),
        json!([{"op": "add", "path": "title", "value": "x"}, {"op": "replace", "path": "active", "value": "no"}]),
        "400 invalidValue: Operations[1]: active must be true or false",
    );
    check_refused(
        json!({}),
        json!([{"op": "add", "path": "emails[type eq \"work\"].primary", "value": 1}]),
        "400 invalidValue: Operations[0]: emails.primary must be true or false",
    );
    check_refused(
        json!({}),
        json!([{"op": "replace", "path": "emails[type ne \"work\"].value", "value": "x"}]),
        "400 noTarget: Operations[0]: emails: no value matches, and none can be made of the filter",
    );
    check_refused(
        json!({}),
        json!([{"op": "replace", "path": "emails[value eq \"old\"].value", "value": "new"}]),
        "400 noTarget: Operations[0]: emails: no value matches, and none can be made of the filter",
    );
    check_refused(
        json!({}),
        json!([{"op": "replace", "path": "emails[colour eq \"red\"].value", "value": "x"}]),
        "400 invalidFilter: Operations[0]: filter at character 8: colour: unknown sub-attribute of emails",
    );
    check_refused(
        json!({}),
        json!([{"op": "replace", "path": "name[givenName eq \"x\"].familyName", "value": "x"}]),
        "400 invalidPath: Operations[0]: name has no list of values to choose from",
    );
}

#[test]
fn limits_are_kept() {
    let operations =
        |count: usize| json!(vec![json!({"op": "replace", "path": "title", "value": "t"}); count]);
    assert!(patched("User", json!({"userName": "u"}), operations(100)).is_ok());
    assert_eq!(patched("User", json!({"userName": "u"}), operations(101)).unwrap_err().status, 413);
    assert_eq!(patched("Group", json!({"displayName": "g"}), operations(1_001)).unwrap_err().status, 413);
    let one = |n: usize| json!({"op": "add", "path": "members", "value": [{"value": n.to_string()}]});
    let (after, _) =
        patched("Group", json!({"displayName": "g"}), (0..1_000).map(one).collect::<Vec<_>>().into())
            .unwrap();
    assert_eq!(after["members"].as_array().unwrap().len(), 1_000);
    let emails = (0..101).map(|n| json!({"op": "add", "path": "emails", "value": {"value": n.to_string()}}));
    let error = patched("User", json!({"userName": "u"}), emails.take(100).collect::<Vec<_>>().into());
    assert!(error.is_ok());
    let full = json!({"userName": "u", "emails": (0..100).map(|n| json!({"value": n.to_string()})).collect::<Vec<_>>()});
    let error =
        patched("User", full, json!([{"op": "add", "path": "emails", "value": {"value": "x"}}])).unwrap_err();
    assert_eq!(error.detail, "Operations[0]: emails would have 101 values; at most 100");
}

fn split(operations: Value) -> Result<(PatchRequest, MemberChange), ScimError> {
    let group = Registry::builtin().resource_type("Group").unwrap();
    PatchRequest::parse(json!({"Operations": operations}))?.split_members(group)
}

/// What the operations do to the members: who joins, who leaves, and `*` for everybody else.
#[track_caller]
fn check_members(operations: Value, join: &[&str], leave: &[&str]) {
    let (_, change) = split(operations).unwrap();
    assert_eq!(change.join.iter().map(String::as_str).collect::<Vec<_>>(), join);
    let rest = change.replace.then_some("*");
    assert_eq!(change.leave.iter().map(String::as_str).chain(rest).collect::<Vec<_>>(), leave);
}

#[test]
fn members_join_in_every_dialect() {
    for value in [
        json!([{"value": "a", "display": "a@x.example"}]),
        json!([{"$ref": null, "value": "a"}]),
        json!({"value": "a"}),
        json!([{"VALUE": "a", "type": "User"}]),
        json!(["a"]),
        json!("a"),
    ] {
        check_members(json!([{"op": "Add", "path": "members", "value": value}]), &["a"], &[]);
        check_members(json!([{"op": "add", "value": {"members": value}}]), &["a"], &[]);
        check_members(json!([{"op": "replace", "path": "MEMBERS", "value": value}]), &["a"], &["*"]);
        let urn = "urn:ietf:params:scim:schemas:core:2.0:Group";
        check_members(json!([{"op": "add", "value": {urn: {"Members": value}}}]), &["a"], &[]);
        check_members(json!([{"op": "add", "path": format!("{urn}:members"), "value": value}]), &["a"], &[]);
        check_members(json!([{"op": "replace", "path": urn, "value": {"members": value}}]), &["a"], &["*"]);
    }
    for value in
        [json!({"value": "a"}), json!([{"value": "a"}]), json!({"display": "A"}), json!("a"), json!({})]
    {
        check_members(json!([{"op": "add", "path": "members[value eq \"a\"]", "value": value}]), &["a"], &[]);
    }
}

#[test]
fn members_leave_in_every_dialect() {
    let or = "members[value eq \"a\" or value eq \"b\"]";
    for (operation, leave) in [
        (json!({"op": "remove", "path": "members[value eq \"a\"]"}), vec!["a"]),
        (json!({"op": "remove", "path": "members[value eq \"a\"]", "value": [{"value": "z"}]}), vec!["a"]),
        (json!({"op": "remove", "path": or}), vec!["a", "b"]),
        (json!({"op": "remove", "path": "members[type eq \"user\" and value eq \"a\"]"}), vec!["a"]),
        (json!({"op": "remove", "path": "members[type eq \"Group\" and value eq \"a\"]"}), vec![]),
        (json!({"op": "remove", "path": "members[value eq \"a\" and value eq \"b\"]"}), vec![]),
        (json!({"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}), vec!["a"]),
        (json!({"op": "Remove", "path": "members", "value": {"value": "a"}}), vec!["a"]),
        (json!({"op": "Remove", "path": "members", "value": ["a", "b"]}), vec!["a", "b"]),
        (json!({"op": "Remove", "path": "members", "value": "a"}), vec!["a"]),
        (json!({"op": "Remove", "path": "members", "value": []}), vec![]),
        (json!({"op": "Remove", "path": "members", "value": [{"display": "A"}]}), vec![]),
        (json!({"op": "remove", "path": "members"}), vec!["*"]),
        (json!({"op": "remove", "path": "members", "value": null}), vec!["*"]),
        (json!({"op": "replace", "path": "members", "value": []}), vec!["*"]),
        (json!({"op": "replace", "value": {"members": []}}), vec!["*"]),
        (json!({"op": "add", "path": "members", "value": []}), vec![]),
    ] {
        check_members(json!([operation]), &[], &leave);
    }
}

#[test]
fn later_operations_on_members_win() {
    let add = |id: &str| json!({"op": "add", "path": "members", "value": [{"value": id}]});
    let remove = |id: &str| json!({"op": "remove", "path": "members", "value": [{"value": id}]});
    let all = || json!({"op": "remove", "path": "members"});
    check_members(json!([add("a"), remove("a"), add("b")]), &["b"], &["a"]);
    check_members(json!([remove("a"), add("a")]), &["a"], &[]);
    check_members(json!([add("a"), all(), add("b"), remove("c")]), &["b"], &["*"]);
    check_members(json!([add("a"), add("b"), all()]), &[], &["*"]);
}

#[test]
fn what_is_left_after_the_members_keeps_its_place() {
    let (rest, change) = split(json!([
        {"op": "add", "path": "members", "value": [{"value": "a"}]},
        {"op": "replace", "value": {"id": "g", "displayName": "Staff", "members": [{"value": "b"}]}},
        {"op": "replace", "path": "displayName", "value": 1},
    ]))
    .unwrap();
    assert_eq!(change, MemberChange::to(["b".to_owned()].into()));
    assert_eq!(rest.operations[0].value, Some(json!({})));
    assert_eq!(rest.operations[1].value, Some(json!({"id": "g", "displayName": "Staff"})));
    let group = Registry::builtin().resource_type("Group").unwrap();
    let mut staff = Resource::try_from(json!({"id": "g", "displayName": "Old"})).unwrap();
    assert_eq!(
        rest.apply(group, &mut staff).unwrap_err().to_string(),
        "400 invalidValue: Operations[2]: displayName must be a string"
    );
}

#[test]
fn members_are_not_split_by_what_only_the_list_could_tell() {
    for (operation, refusal) in [
        (json!({"op": "remove", "path": "members[display eq \"A\"]"}), "400 invalidPath"),
        (json!({"op": "remove", "path": "members[value ne \"a\"]"}), "400 invalidPath"),
        (json!({"op": "remove", "path": "members[not (value eq \"a\")]"}), "400 invalidPath"),
        (json!({"op": "remove", "path": "members[value eq \"a\" or type eq \"User\"]"}), "400 invalidPath"),
        (json!({"op": "remove", "path": "members[value eq \"a\" and display eq \"A\"]"}), "400 invalidPath"),
        (json!({"op": "remove", "path": "members[colour eq \"a\"]"}), "400 invalidFilter"),
        (json!({"op": "remove", "path": "members.value"}), "400 mutability"),
        (json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "A"}), "400 mutability"),
        (
            json!({"op": "replace", "path": "members[value eq \"a\"]", "value": {"value": "b"}}),
            "400 mutability",
        ),
        (json!({"op": "add", "path": "members[value eq \"a\"]", "value": {"value": "b"}}), "400 mutability"),
        (
            json!({"op": "add", "path": "members", "value": [{"value": "g", "type": "group"}]}),
            "400 invalidValue",
        ),
        (json!({"op": "add", "path": "members", "value": [{"type": "User"}]}), "400 invalidValue"),
        (json!({"op": "add", "path": "members", "value": [1]}), "400 invalidValue"),
    ] {
        let error = split(json!([operation])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{refusal}: Operations[0]: ")), "{operation}: {error}");
    }
}
