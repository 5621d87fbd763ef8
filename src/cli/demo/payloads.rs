//! What Okta and Entra ID really send when a person is assigned, changed and unassigned.

use serde_json::{Value, json};

pub(super) const OKTA_USER_NAME: &str = "test.user@okta.local";
pub(super) const ENTRA_EXTERNAL_ID: &str = "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef";
pub(super) const ENTRA_FIRST_ADDRESS: &str = "Test_User_11bb11bb@testuser.com";
pub(super) const ENTRA_ADDRESS: &str = "TestBcwqnm@test.microsoft.com";

/// Okta's create: a placeholder password and an empty list of groups are always in it.
pub(super) fn okta_create() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": OKTA_USER_NAME,
        "name": { "givenName": "Test", "familyName": "User" },
        "emails": [{ "primary": true, "value": OKTA_USER_NAME, "type": "work" }],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true
    })
}

/// Okta's deactivation, in the dialect of catalogue apps: no path, an object as value.
pub(super) fn okta_deactivate() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "value": { "active": false } }]
    })
}

/// Entra's create: the enterprise schema is named although no attribute of it follows.
pub(super) fn entra_create() -> Value {
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "externalId": ENTRA_EXTERNAL_ID,
        "userName": "Test_User_00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "active": true,
        "emails": [{ "primary": true, "type": "work", "value": ENTRA_FIRST_ADDRESS }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName" },
        "roles": []
    })
}

/// Entra's update in its default dialect: capitalised operations, one attribute each, typed paths.
pub(super) fn entra_update() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [
            { "op": "Replace", "path": "displayName", "value": "Pvlo" },
            { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": ENTRA_ADDRESS },
            { "op": "Replace", "path": "name.givenName", "value": "Gtfd" },
            { "op": "Replace", "path": "name.familyName", "value": "Pkqf" },
            {
                "op": "Replace",
                "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber",
                "value": "Eqpj"
            }
        ]
    })
}
