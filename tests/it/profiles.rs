//! Profiles: every named deviation in force for exactly the profiles it is chosen for, and for no other tenant.

use openai_scim_bridge::scim::profile::{Deviation, Profile};
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, Builder, TestBridge, user};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A user of the client, made for one test.
struct Jane {
    client: Actor,
    path: String,
}

impl Jane {
    async fn new(client: Actor) -> Self {
        let id = client.create_named("jane@x.example").await;
        Self { client, path: format!("/Users/{id}") }
    }

    /// What a PATCH with this body makes of the user; `None` if it is refused.
    async fn after(&self, body: Value) -> Option<Value> {
        let answer = self.client.send("PATCH", &self.path, Some(body.to_string().as_bytes())).await;
        (answer.status == 200).then(|| answer.json())
    }

    async fn after_operation(&self, operation: Value) -> Option<Value> {
        self.after(json!({"schemas": [PATCH], "Operations": [operation]})).await
    }
}

/// What is made of a user with these attributes.
async fn created(client: &Actor, attributes: Value) -> Value {
    let mut body = user("john@x.example");
    let given = attributes.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(given);
    client.post("/Users", &body).await.json()
}

async fn group_of_two(client: &Actor) -> (String, [String; 2]) {
    let people = [client.create_named("a@x.example").await, client.create_named("b@x.example").await];
    let members: Vec<_> = people.iter().map(|id| json!({"value": id})).collect();
    let group = client.post("/Groups", &json!({"displayName": "Team", "members": members})).await.expect(201);
    (format!("/Groups/{}", group["id"].as_str().unwrap()), people)
}

async fn members(client: &Actor, group: &str) -> Vec<String> {
    let group = client.get(group).await.expect(200);
    let members = group["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}

/// Whether the deviation is in force for the tenant of this client. Without a wildcard, so that none is forgotten.
async fn is_in_force(deviation: Deviation, bridge: &TestBridge, jane: &Jane) -> bool {
    let client = &jane.client;
    let found = async |filter: &str| client.find(filter).await.expect(200)["totalResults"] == 1;
    match deviation {
        Deviation::BooleansAsTexts => {
            let off = json!({"op": "replace", "path": "active", "value": "False"});
            jane.after_operation(off).await.is_some_and(|jane| jane["active"] == false)
        }
        Deviation::BareWords => found("userName eq jane@x.example").await,
        Deviation::BareExtensionNames => {
            let boss = json!({"op": "add", "path": "manager", "value": {"value": "m1"}});
            let patched = jane.after_operation(boss).await.unwrap();
            patched[ENTERPRISE]["manager"]["value"] == "m1" && found("manager.value eq \"m1\"").await
        }
        Deviation::EmailForEmails => found("email co \"jane@\"").await,
        Deviation::DisplayNameForDisplay => {
            let john = created(client, json!({"roles": [{"value": "a", "displayName": "A"}]})).await;
            john["roles"] == json!([{"value": "a", "display": "A"}])
        }
        Deviation::LoneValues => {
            let john = created(client, json!({"roles": {"value": "a"}})).await;
            john["roles"] == json!([{"value": "a"}])
        }
        Deviation::LoneElements => {
            let john = created(client, json!({ENTERPRISE: {"manager": [{"value": "m1"}]}})).await;
            john[ENTERPRISE]["manager"] == json!({"value": "m1"})
        }
        Deviation::PlainValues => {
            let john = created(client, json!({ENTERPRISE: {"manager": "m1"}})).await;
            john[ENTERPRISE]["manager"] == json!({"value": "m1"})
        }
        Deviation::PackedRoles => {
            let packed = json!({"id": "1", "value": "Admin", "displayName": "The admin"}).to_string();
            let add = json!({"op": "add", "path": "roles", "value": [{"value": packed}]});
            let roles = json!([{"value": "Admin", "display": "The admin"}]);
            jane.after_operation(add).await.is_some_and(|jane| jane["roles"] == roles)
        }
        Deviation::KeysInAnyCase => {
            let operation = json!({"OP": "replace", "Path": "title", "VALUE": "T"});
            let body = json!({"SCHEMAS": [PATCH], "operations": [operation]});
            jane.after(body).await.is_some_and(|jane| jane["title"] == "T")
        }
        Deviation::UndeclaredMessages => {
            let body = json!({"Operations": [{"op": "replace", "path": "title", "value": "T"}]});
            jane.after(body).await.is_some_and(|jane| jane["title"] == "T")
        }
        Deviation::OpInAnyCase => {
            let replace = json!({"op": "Replace", "path": "title", "value": "T"});
            jane.after_operation(replace).await.is_some_and(|jane| jane["title"] == "T")
        }
        Deviation::PathsAsKeys => {
            let department = format!("{ENTERPRISE}:department");
            let value = json!({"name.givenName": "J", department: "D"});
            let jane = jane.after_operation(json!({"op": "replace", "value": value})).await.unwrap();
            jane["name"]["givenName"] == "J" && jane[ENTERPRISE]["department"] == "D"
        }
        Deviation::EmptyPath => {
            let replace = json!({"op": "replace", "path": "", "value": {"title": "T"}});
            jane.after_operation(replace).await.is_some_and(|jane| jane["title"] == "T")
        }
        Deviation::RemoveListed => {
            let (group, [a, b]) = group_of_two(client).await;
            let remove = json!([{"op": "remove", "path": "members", "value": [{"value": a}]}]);
            assert!(client.patch(&group, &remove).await.status < 300);
            members(client, &group).await == [b]
        }
        Deviation::PutWithoutMembers => {
            let (group, people) = group_of_two(client).await;
            client.put(&group, &json!({"displayName": "Renamed"})).await.expect(200);
            members(client, &group).await.len() == people.len()
        }
        Deviation::SeedByFilter => {
            let path = "emails[type eq \"home\"].value";
            let add = json!({"op": "replace", "path": path, "value": "home@x.example"});
            let home = json!({"type": "home", "value": "home@x.example"});
            let jane = jane.after_operation(add).await;
            jane.is_some_and(|jane| jane["emails"].as_array().unwrap().contains(&home))
        }
        Deviation::BareToken => {
            let token = client.authorization().strip_prefix("Bearer ").unwrap().to_owned();
            client.clone().with_authorization(token).get(&jane.path).await.status == 200
        }
        Deviation::OktaCatalogue => {
            let schema = client.get("/ResourceTypes/Role").await.expect(200)["schema"].clone();
            let shown = client.get("/Roles/org:reader").await.expect(200);
            assert_eq!(shown["schemas"], json!([schema]));
            schema.as_str().unwrap().starts_with("urn:okta:")
        }
        Deviation::BusyIsTooMany => {
            bridge.store.close().await;
            let answer = client.get("/Users").await;
            assert_eq!(answer.header("retry-after"), Some("5"));
            answer.expect_error(answer.status, None);
            assert!([429, 503].contains(&answer.status), "{answer:?}");
            answer.status == 429
        }
    }
}

/// A bridge with a tenant for each profile, named after it.
async fn bridge_of_all() -> TestBridge {
    let with_each = |builder: Builder, profile: &Profile| builder.tenant_of(profile.as_str(), *profile);
    Profile::ALL.iter().fold(TestBridge::builder(), with_each).start().await
}

#[tokio::test]
async fn each_deviation_is_in_force_for_exactly_the_profiles_it_is_chosen_for() {
    for deviation in Deviation::ALL {
        let bridge = bridge_of_all().await;
        let mut janes = Vec::new();
        for profile in Profile::ALL {
            janes.push((*profile, Jane::new(bridge.client_of(profile.as_str()).await).await));
        }
        for (profile, jane) in janes {
            let expected = profile.has(*deviation);
            assert_eq!(is_in_force(*deviation, &bridge, &jane).await, expected, "{profile}: {deviation:?}");
        }
    }
}

/// What a client gets to see, with the ids of resources made alike.
async fn conversation(client: &Actor, tenant: &str) -> Vec<String> {
    let jane = client.create(&user("jane@x.example")).await;
    let id = jane["id"].as_str().unwrap().to_owned();
    let group = client.post("/Groups", &json!({"displayName": "Team", "members": [{"value": id}]})).await;
    let group_id = group.expect(201)["id"].as_str().unwrap().to_owned();
    let mut answers = vec![jane.to_string(), group.body];
    for path in [
        "/ServiceProviderConfig".to_owned(),
        "/ResourceTypes".to_owned(),
        "/Schemas".to_owned(),
        "/Roles".to_owned(),
        "/Entitlements".to_owned(),
        "/Users?filter=userName%20eq%20jane@x.example".to_owned(),
        "/Users?filter=nonsense".to_owned(),
        "/Nowhere".to_owned(),
        format!("/Groups/{group_id}"),
    ] {
        let answer = client.get(&path).await;
        answers.push(format!("{} {}", answer.status, answer.body));
    }
    for operation in [
        json!({"op": "Replace", "path": "active", "value": "False"}),
        json!({"op": "Add", "path": "manager", "value": "m1"}),
        json!({"op": "nonsense"}),
    ] {
        let answer = client.patch(&format!("/Users/{id}"), &json!([operation])).await;
        answers.push(format!("{} {}", answer.status, answer.body));
    }
    let blind = |text: String| {
        text.replace(&id, "JANE").replace(&group_id, "TEAM").replace(&format!("/tenants/{tenant}/"), "/")
    };
    answers.into_iter().map(blind).collect()
}

#[tokio::test]
async fn one_tenants_profile_never_changes_anothers_answers() {
    // All in one bridge, each asked the same at the same instant.
    let mixed = bridge_of_all().await;
    for profile in Profile::ALL {
        let name = profile.as_str();
        let alone = TestBridge::builder().tenant_of(name, *profile).start().await;
        let among_others = conversation(&mixed.client_of(name).await, name).await;
        assert_eq!(among_others, conversation(&alone.client_of(name).await, name).await, "{name}");
    }
}

#[tokio::test]
async fn whoever_chooses_no_deviation_of_its_own_is_answered_as_generic() {
    let bridge = bridge_of_all().await;
    let generic = conversation(&bridge.client_of("generic").await, "generic").await;
    for profile in Profile::ALL {
        let name = profile.as_str();
        if *profile == Profile::Generic {
            continue;
        }
        let answers = conversation(&bridge.client_of(name).await, name).await;
        let differing: Vec<_> =
            (0..generic.len()).filter(|index| answers[*index] != generic[*index]).collect();
        if profile.deviations().all(Deviation::is_for_everyone) {
            assert_eq!(differing, [0; 0], "{name}");
        } else {
            // The resource types, the schemas and the roles; there is no project.
            assert_eq!(differing, [3, 4, 5], "{name}");
        }
    }
}
