//! Tests of validation: canonical form, refusals, limits.

#![expect(clippy::needless_pass_by_value, reason = "checks read best with literals given by value")]

use serde_json::json;

use super::super::Registry;
use super::*;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const OPENAI: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

fn user() -> &'static ResourceType {
    Registry::builtin().resource_type("User").unwrap()
}

fn validated(body: Value) -> Result<Value, ScimError> {
    validate(user(), body, Mode::Create).map(Value::from)
}

#[track_caller]
fn check(body: Value, expected: Value) {
    assert_eq!(validated(body).unwrap(), expected);
}

#[track_caller]
fn check_refused(body: Value, expected: &str) {
    assert_eq!(validated(body).unwrap_err().to_string(), expected);
}

#[test]
fn okta_create_loses_password_and_groups() {
    check(
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "test.user@okta.local",
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": true, "value": "test.user@okta.local", "type": "work"}],
            "displayName": "Test User", "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7",
            "groups": [], "password": "1mz050nq", "active": true
        }),
        json!({
            "userName": "test.user@okta.local",
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": true, "value": "test.user@okta.local", "type": "work"}],
            "displayName": "Test User", "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7", "active": true
        }),
    );
}

#[test]
fn okta_put_may_echo_what_the_server_owns() {
    check(
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "5fc0c238-1112-11e8-8e45-920c87bdbd75",
            "userName": "jane@test.com",
            "name": {"givenName": "Jane", "familyName": "Smith", "formatted": "Mona Octocat"},
            "groups": [{"value": "g", "display": 7}],
            "active": true,
            "meta": {"resourceType": "User", "created": "2018-02-13T15:05:24.000-08:00"},
            OPENAI: {"role": "reader", "status": "member", "userId": "user-1", "effectiveProjects": [{"value": "p"}]}
        }),
        json!({
            "userName": "jane@test.com",
            "name": {"givenName": "Jane", "familyName": "Smith", "formatted": "Mona Octocat"},
            "active": true,
            OPENAI: {"role": "reader"}
        }),
    );
}

#[test]
fn entra_create_with_nulls_foreign_schemas_and_unlisted_extensions_is_understood() {
    check(
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, "urn:example:foreign"],
            "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
            "userName": "Test_User", "active": true,
            "addresses": null, "phoneNumbers": null, "title": null, "department": null, "manager": null,
            "meta": {"resourceType": "User"}, "roles": [],
            "urn:ietf:params:scim:schemas:extension:custom:2.0:User": {"employeeNumber": "99887766"},
            OPENAI.to_uppercase(): {"PROJECTS": [{"Value": "proj_1", "role": "member"}], "unknown": [[[1]]]}
        }),
        json!({
            "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", "userName": "Test_User", "active": true,
            OPENAI: {"projects": [{"value": "proj_1", "role": "member"}]}
        }),
    );
}

#[test]
fn names_come_in_any_case_and_with_their_urn() {
    check(
        json!({
            "USERNAME": "u", "Emails": [{"PRIMARY": true, "Value": "a@b.example", "colour": "red"}],
            "urn:ietf:params:scim:schemas:core:2.0:User:displayName": "D",
            (format!("{ENTERPRISE}:department")): "Retail",
            ENTERPRISE.to_lowercase(): {"COSTCENTER": "4130"}
        }),
        json!({
            "userName": "u", "emails": [{"primary": true, "value": "a@b.example"}], "displayName": "D",
            ENTERPRISE: {"department": "Retail", "costCenter": "4130"}
        }),
    );
}

#[test]
fn prototype_keys_are_unknown_attributes() {
    check(
        json!({"userName": "u", "__proto__": {"isAdmin": true}, "constructor": {"prototype": 1}, "": 1, "a b": 2}),
        json!({"userName": "u"}),
    );
}

#[test]
fn wrong_types_are_refused_by_name() {
    check_refused(json!([]), "400 invalidSyntax: the new User must be a JSON object");
    check_refused(json!({}), "400 invalidValue: userName is required and must not be empty");
    check_refused(json!({"userName": " "}), "400 invalidValue: userName is required and must not be empty");
    check_refused(json!({"userName": ["a", "b"]}), "400 invalidValue: userName must be a string");
    check_refused(
        json!({"userName": "u", "active": "maybe"}),
        "400 invalidValue: active must be true or false",
    );
    check_refused(
        json!({"userName": "u", "emails": [{"value": "a"}, {"primary": 1}]}),
        "400 invalidValue: emails[1].primary must be true or false",
    );
    check_refused(json!({"userName": "u", "name": "Jane"}), "400 invalidValue: name must be an object");
    check_refused(json!({"userName": "u", "emails": [[]]}), "400 invalidValue: emails[0] must be an object");
    check_refused(
        json!({"userName": "u", ENTERPRISE: "x"}),
        &format!("400 invalidValue: {ENTERPRISE} must be an object"),
    );
    check_refused(
        json!({"userName": "u", ENTERPRISE: {"department": 5}}),
        &format!("400 invalidValue: {ENTERPRISE}:department must be a string"),
    );
    check_refused(
        json!({"userName": "u", OPENAI: {"projects": [{"role": "owner"}]}}),
        &format!("400 invalidValue: {OPENAI}:projects[0].value is required and must not be empty"),
    );
    check_refused(
        json!({"userName": "a\0b"}),
        "400 invalidValue: userName must not contain the character U+0000",
    );
}

#[test]
fn two_primary_values_and_two_spellings_of_a_name_are_refused() {
    check_refused(
        json!({"userName": "u", "emails": [{"value": "a", "primary": true}, {"value": "b", "primary": "True"}]}),
        "400 invalidValue: emails: primary may be true for one value only",
    );
    check_refused(
        json!({"userName": "u", "username": "v"}),
        "400 invalidSyntax: userName is given more than once",
    );
}

#[test]
fn a_body_of_another_type_is_refused() {
    check_refused(
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "g"}),
        "400 invalidSyntax: schemas names \"urn:ietf:params:scim:schemas:core:2.0:Group\", but /Users takes \
         urn:ietf:params:scim:schemas:core:2.0:User",
    );
    check_refused(
        json!({"schemas": [1], "userName": "u"}),
        "400 invalidSyntax: schemas must be a list of URIs",
    );
    check(json!({"schemas": [ENTERPRISE], "userName": "u"}), json!({"userName": "u"}));
    let group = Registry::builtin().resource_type("Group").unwrap();
    let entra = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group",
                    "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1", "displayName": "displayName", "meta": {"resourceType": "Group"}
    });
    let group = validate(group, entra, Mode::Create).unwrap();
    assert_eq!(Value::from(group), json!({"externalId": "8aa1", "displayName": "displayName"}));
}

#[test]
fn limits_are_kept() {
    check_refused(
        json!({"userName": "ü".repeat(MAX_ADDRESS + 1)}),
        "400 invalidValue: userName is longer than 254 characters",
    );
    assert!(validated(json!({"userName": "ü".repeat(MAX_ADDRESS)})).is_ok());
    check_refused(
        json!({"userName": "u", "title": "t".repeat(MAX_TEXT + 1)}),
        "400 invalidValue: title is longer than 1024 characters",
    );
    check_refused(
        json!({"userName": "u", "emails": vec![json!({"value": "a"}); 101]}),
        "400 invalidValue: emails has 101 values; at most 100 are accepted in one request",
    );
    let deep = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
    check_refused(
        json!({"userName": "u", "x": deep}),
        "400 invalidSyntax: the body is nested too deep; at most 32 levels and 2000 keys are accepted",
    );
    let many = (0..limits::MAX_KEYS).map(|n| (format!("k{n}"), json!(n))).collect::<Map<_, _>>();
    check_refused(
        json!({"userName": "u", "x": many}),
        "400 invalidSyntax: the body is too large: too many keys; at most 32 levels and 2000 keys are accepted",
    );
    let group = Registry::builtin().resource_type("Group").unwrap();
    let members = |count: usize| {
        let members = (0..count).map(|n| json!({"value": n.to_string(), "display": "d"})).collect::<Vec<_>>();
        validate(group, json!({"displayName": "g", "members": members}), Mode::Create)
    };
    assert_eq!(members(limits::MAX_MEMBERS).unwrap().values("members").len(), limits::MAX_MEMBERS);
    assert_eq!(members(limits::MAX_MEMBERS + 1).unwrap_err().status, 413);
}

/// A group whose name can be given once.
fn strict_group() -> ResourceType {
    let mut group = Registry::builtin().resource_type("Group").unwrap().clone();
    let schema = std::sync::Arc::make_mut(&mut group.schema);
    schema.attributes[0].mutability = Mutability::Immutable;
    schema.attributes[0].required = false;
    group
}

#[track_caller]
fn check_replace(resource_type: &ResourceType, before: Value, body: Value, expected: Result<Value, &str>) {
    let before = Resource::try_from(before).unwrap();
    let given = validate(resource_type, body, Mode::Replace).unwrap();
    let after = replace(resource_type, &before, given).map(Value::from).map_err(|error| error.to_string());
    assert_eq!(after.as_ref().map_err(String::as_str), expected.as_ref().map_err(|error| *error));
}

#[test]
fn a_put_cannot_change_what_is_immutable_and_set() {
    let group = strict_group();
    check_replace(
        &group,
        json!({"displayName": "a"}),
        json!({"displayName": "a"}),
        Ok(json!({"displayName": "a"})),
    );
    check_replace(&group, json!({}), json!({"displayName": "a"}), Ok(json!({"displayName": "a"})));
    check_replace(&group, json!({"displayName": "a"}), json!({}), Ok(json!({"displayName": "a"})));
    check_replace(
        &group,
        json!({"displayName": "a"}),
        json!({"displayName": "b"}),
        Err("400 mutability: displayName cannot be changed once it is set"),
    );
}

#[test]
fn a_put_keeps_what_the_server_owns_and_clears_the_rest() {
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    check_replace(
        user(),
        json!({
            "schemas": [core, ENTERPRISE, OPENAI], "id": "1", "externalId": "x", "userName": "jane", "title": "T",
            "groups": [{"value": "g"}], ENTERPRISE: {"department": "D"}, OPENAI: {"role": "reader", "status": "member"},
            "meta": {"version": "W/\"1\""}
        }),
        json!({
            "schemas": [core], "id": "2", "userName": "jane", "groups": [], "meta": {"version": "W/\"0\""},
            OPENAI: {"status": "held"}
        }),
        Ok(json!({
            "schemas": [core, OPENAI], "id": "1", "userName": "jane", "groups": [{"value": "g"}],
            OPENAI: {"status": "member"}, "meta": {"version": "W/\"1\""}
        })),
    );
}

#[test]
fn a_put_keeps_the_description_of_values_that_stay() {
    let manager = |value: Value| json!({"userName": "u", ENTERPRISE: {"manager": value}});
    let named = json!({"value": "m1", "displayName": "M. One"});
    check_replace(
        user(),
        manager(named.clone()),
        manager(json!({"value": "m1"})),
        Ok(manager(named.clone())),
    );
    check_replace(
        user(),
        manager(named),
        manager(json!({"value": "m2", "displayName": "M. One"})),
        Ok(manager(json!({"value": "m2"}))),
    );
    let members = |members: Value| json!({"displayName": "g", "members": members});
    check_replace(
        Registry::builtin().resource_type("Group").unwrap(),
        members(json!([{"value": "a", "type": "User", "display": "A"}, {"value": "b", "type": "User"}])),
        members(json!([{"value": "c"}, {"value": "a", "display": "outdated"}])),
        Ok(members(json!([{"value": "c"}, {"value": "a", "display": "A", "type": "User"}]))),
    );
}
