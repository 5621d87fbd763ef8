//! `/Roles` and `/Entitlements`: what access there is to give, in both schemas, and never to be written.

use openai_scim_bridge::ids::ProjectId;
use openai_scim_bridge::model::observed::{Project, Role};
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::scim::profile::Profile;
use openai_scim_bridge::simulator::Simulator;
use openai_scim_bridge::store::StoreError;
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge};
use crate::harness::engine::Bridge;

const ROLE: &str = "urn:ietf:params:scim:schemas:core:2.0:Role";
const OKTA_ROLE: &str = "urn:okta:scim:schemas:core:1.0:Role";
const OKTA_ENTITLEMENT: &str = "urn:okta:scim:schemas:core:1.0:Entitlement";

/// Puts projects and roles into the mirror of the default tenant, as a reading does.
async fn show(bridge: &TestBridge, projects: &[(&str, Option<&str>)], roles: &[Role]) {
    let project =
        |(id, name): &(&str, Option<&str>)| Project { id: (*id).into(), name: name.map(str::to_owned) };
    let (projects, roles) = (projects.iter().map(project).collect::<Vec<_>>(), roles.to_vec());
    let now = bridge.clock.now();
    let written = bridge.store.write::<_, StoreError>(move |tx| {
        let (projects, roles) = (projects.clone(), roles.clone());
        Box::pin(async move {
            let tenant = "default".parse().unwrap();
            tx.observe_projects(&tenant, &projects, now).await?;
            tx.observe_roles(&tenant, &roles, now).await
        })
    });
    written.await.unwrap();
}

fn auditor() -> Role {
    let description = Some("Reads the audit log".to_owned());
    Role { id: "role_1".into(), name: "Auditor".to_owned(), description, is_predefined: false }
}

fn ids(list: &Value) -> Vec<&str> {
    list["Resources"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

async fn find(actor: &Actor, path: &str, filter: &str) -> Vec<String> {
    let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    let list = actor.get(&format!("{path}?filter={filter}")).await.expect(200);
    ids(&list).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_the_engine_reads_at_openai_is_listed_and_nothing_is_asked_for_it() {
    let mut projects = Vec::new();
    let mut role = String::new();
    let prepare = |sim: &Simulator| {
        projects.extend(sim.default_project());
        projects.push(sim.seed_project("Research"));
        let old = sim.seed_project("Old");
        sim.archive_project(&old).unwrap();
        role = sim.seed_role("Auditor", None);
    };
    let engine = Bridge::with(Policy::default(), |_| {}, prepare).await;
    let bridge = TestBridge::builder().sharing(engine.store.clone(), engine.clock.clone()).start().await;
    let okta = bridge.okta();
    engine.sim.clear_ledger();

    let roles = okta.get("/Roles").await.expect(200);
    assert_eq!(ids(&roles), ["org:owner", "org:reader", &format!("role:{role}")]);
    assert_eq!(roles["totalResults"], 3);
    let mut expected: Vec<_> = projects
        .iter()
        .flat_map(|project| ["member", "owner"].map(|role| format!("project:{project}:{role}")))
        .collect();
    let mut found = find(&okta, "/Entitlements", "id pr").await;
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(engine.sim.ledger().len(), 0, "answers come from the mirror");

    engine.sim.archive_project(&projects[1]).unwrap();
    engine.minutes(10).await;
    assert_eq!(find(&okta, "/Entitlements", "id pr").await.len(), 2);
}

#[tokio::test]
async fn before_the_first_reading_only_the_roles_of_every_organization_are_there() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    assert_eq!(ids(&okta.get("/Roles").await.expect(200)), ["org:owner", "org:reader"]);
    let none = okta.get("/Entitlements").await.expect(200);
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn items_have_the_shape_of_the_draft() {
    let bridge = TestBridge::start().await;
    let predefined = Role { id: "role-api-organization-owner".into(), is_predefined: true, ..auditor() };
    show(&bridge, &[("proj_a", Some("Research")), ("proj_b", None)], &[auditor(), predefined]).await;
    let client = bridge.entra();
    let roles = client.get("/Roles").await.expect(200);
    assert_eq!(
        roles["Resources"],
        json!([
            {
                "schemas": [ROLE], "id": "org:owner", "value": "org:owner", "display": "Owner",
                "type": "organization", "supported": false, "limitedAssignmentsPermitted": false,
                "contains": ["org:reader"],
                "meta": {
                    "resourceType": "Role", "location": "https://scim.example.com/scim/v2/Roles/org:owner"
                },
            },
            {
                "schemas": [ROLE], "id": "org:reader", "value": "org:reader", "display": "Reader",
                "type": "organization", "supported": true, "limitedAssignmentsPermitted": false,
                "containedBy": ["org:owner"],
                "meta": {
                    "resourceType": "Role", "location": "https://scim.example.com/scim/v2/Roles/org:reader"
                },
            },
            {
                "schemas": [ROLE], "id": "role:role_1", "value": "role:role_1", "display": "Auditor",
                "type": "custom", "supported": true, "limitedAssignmentsPermitted": false,
                "meta": {
                    "resourceType": "Role", "location": "https://scim.example.com/scim/v2/Roles/role:role_1"
                },
            },
        ])
    );
    let owner = client.get("/Entitlements/project:proj_a:owner").await.expect(200);
    assert_eq!(
        owner,
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Entitlement"],
            "id": "project:proj_a:owner", "value": "project:proj_a:owner", "display": "Research: owner",
            "type": "project", "supported": true, "limitedAssignmentsPermitted": false,
            "contains": ["project:proj_a:member"],
            "meta": {
                "resourceType": "Entitlement",
                "location": "https://scim.example.com/scim/v2/Entitlements/project:proj_a:owner"
            },
        })
    );
    let nameless = client.get("/Entitlements/project:proj_b:member").await.expect(200);
    assert_eq!(nameless["display"], "proj_b: member");
    assert_eq!(nameless["containedBy"], json!(["project:proj_b:owner"]));
}

#[tokio::test]
async fn okta_finds_its_own_schemas_by_the_resource_types() {
    let bridge = TestBridge::builder().profile(Profile::Okta).start().await;
    show(&bridge, &[("proj_a", Some("Research"))], &[auditor()]).await;
    let okta = bridge.okta();
    let types = okta.get("/ResourceTypes").await.expect(200);
    let mut endpoints = Vec::new();
    for found in types["Resources"].as_array().unwrap() {
        if let Some(schema) = found["schema"].as_str().filter(|schema| schema.starts_with("urn:okta:")) {
            okta.get(&format!("/Schemas/{schema}")).await.expect(200);
            endpoints.push((schema.to_owned(), found["endpoint"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(
        endpoints,
        [
            (OKTA_ROLE.to_owned(), "/Roles".to_owned()),
            (OKTA_ENTITLEMENT.to_owned(), "/Entitlements".to_owned())
        ]
    );
    // An owner cannot be made here, and Okta's schema has no way to say so.
    assert_eq!(
        okta.get("/Roles?startIndex=1&count=100&attributes=displayName,description").await.expect(200)["Resources"],
        json!([
            {
                "schemas": [OKTA_ROLE], "id": "org:reader", "displayName": "Reader",
                "description": "Ordinary member of the organization",
            },
            {
                "schemas": [OKTA_ROLE], "id": "role:role_1", "displayName": "Auditor",
                "description": "Reads the audit log",
            },
        ])
    );
    okta.get("/Roles/org:owner").await.expect_error(404, None);
    assert_eq!(
        okta.get("/Entitlements/project:proj_a:member").await.expect(200),
        json!({
            "schemas": [OKTA_ENTITLEMENT], "id": "project:proj_a:member", "type": "Entitlement",
            "displayName": "Research: member", "description": "Use of the project proj_a",
            "meta": {
                "resourceType": "Entitlement",
                "location": "https://scim.example.com/scim/v2/Entitlements/project:proj_a:member"
            },
        })
    );
}

#[tokio::test]
async fn every_attribute_that_is_shown_stands_in_the_schema_that_is_published() {
    for profile in Profile::ALL {
        let bridge = TestBridge::builder().profile(*profile).start().await;
        show(&bridge, &[("proj_a", Some("Research"))], &[auditor()]).await;
        let client = bridge.okta();
        for (name, endpoint) in [("Role", "/Roles"), ("Entitlement", "/Entitlements")] {
            let found = client.get(&format!("/ResourceTypes/{name}")).await.expect(200);
            assert_eq!(found["endpoint"], endpoint);
            let urn = found["schema"].as_str().unwrap();
            let schema = client.get(&format!("/Schemas/{urn}")).await.expect(200);
            let attributes = schema["attributes"].as_array().unwrap();
            let known: Vec<_> =
                attributes.iter().map(|attribute| attribute["name"].as_str().unwrap()).collect();
            for item in client.get(endpoint).await.expect(200)["Resources"].as_array().unwrap() {
                assert_eq!(item["schemas"], json!([urn]));
                for key in item.as_object().unwrap().keys() {
                    assert!(
                        known.contains(&key.as_str()) || ["schemas", "id", "meta"].contains(&key.as_str()),
                        "{profile} {name} {key}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn the_owner_role_is_never_to_be_had_by_an_attribute() {
    let policy = Policy { allow_owner_grants: true, ..Policy::default() };
    let bridge = TestBridge::builder().policy(policy).tenant_of("acme", Profile::Okta).start().await;
    assert_eq!(bridge.okta().get("/Roles/org:owner").await.expect(200)["supported"], false);
    let acme = bridge.client_of("acme").await;
    assert_eq!(ids(&acme.get("/Roles").await.expect(200)), ["org:reader"]);
}

#[tokio::test]
async fn filters_and_attributes_work_as_for_other_resources() {
    let bridge = TestBridge::start().await;
    show(&bridge, &[("proj_a", Some("Research")), ("proj_b", Some("Search"))], &[auditor()]).await;
    let okta = bridge.okta();
    let member = ["project:proj_a:member".to_owned()];
    for filter in [
        "value eq \"project:proj_a:member\"",
        "display EQ \"research: MEMBER\"",
        "urn:ietf:params:scim:schemas:core:2.0:Entitlement:containedBy eq \"project:proj_a:owner\"",
        "display sw \"research\" and not (contains pr)",
    ] {
        assert_eq!(find(&okta, "/Entitlements", filter).await, member, "{filter}");
    }
    assert_eq!(find(&okta, "/Entitlements", "value eq \"PROJECT:proj_a:member\"").await, [""; 0]);
    assert_eq!(find(&okta, "/Roles", "supported eq false").await, ["org:owner"]);
    okta.get("/Roles?filter=userName%20pr").await.expect_error(400, Some("invalidFilter"));
    okta.get("/Roles?filter=").await.expect(200);
    let part = okta.get("/Roles/org:reader?attributes=display").await.expect(200);
    assert_eq!(part, json!({"schemas": [ROLE], "id": "org:reader", "display": "Reader"}));
    assert!(okta.get("/Roles/org:reader?excludedAttributes=meta").await.expect(200).get("meta").is_none());
}

#[tokio::test]
async fn pages_of_many_projects_show_each_entitlement_once() {
    let bridge = TestBridge::start().await;
    let projects: Vec<_> = (0..1_100).map(|n| format!("proj_{n:04}")).collect();
    show(&bridge, &projects.iter().map(|id| (id.as_str(), None)).collect::<Vec<_>>(), &[]).await;
    let okta = bridge.okta();
    let mut seen = Vec::new();
    for start in (1..=2_200).step_by(200) {
        let page = okta.get(&format!("/Entitlements?startIndex={start}&count=200")).await.expect(200);
        assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(2_200), &json!(200)));
        seen.extend(ids(&page).into_iter().map(str::to_owned));
    }
    let expected =
        projects.iter().flat_map(|id| ["member", "owner"].map(|role| format!("project:{id}:{role}")));
    assert!(expected.eq(seen));
    let count = okta.get("/Entitlements?count=0").await.expect(200);
    assert_eq!((&count["totalResults"], &count["Resources"]), (&json!(2_200), &json!([])));
    assert_eq!(find(&okta, "/Entitlements", "value ew \"_1099:owner\"").await.len(), 1);
}

#[tokio::test]
async fn each_location_leads_to_its_item_whatever_the_id_holds() {
    let bridge = TestBridge::start().await;
    let odd = ProjectId::from("proj:a/b c%2F?ü");
    show(&bridge, &[(odd.as_str(), None)], &[auditor()]).await;
    let okta = bridge.okta();
    for endpoint in ["/Roles", "/Entitlements"] {
        for item in okta.get(endpoint).await.expect(200)["Resources"].as_array().unwrap() {
            let location = item["meta"]["location"].as_str().unwrap();
            let path = location.strip_prefix("https://scim.example.com/scim/v2").unwrap();
            assert_eq!(&okta.get(path).await.expect(200), item);
        }
    }
    for unknown in
        ["/Roles/org:admin", "/Roles/project:proj_a:member", "/Entitlements/proj_a", "/Entitlements/project:"]
    {
        okta.get(unknown).await.expect_error(404, None);
    }
}

#[tokio::test]
async fn the_catalogue_cannot_be_written() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let body = json!({"schemas": [ROLE], "value": "org:king", "supported": true}).to_string();
    for path in ["/Roles", "/Roles/org:owner", "/Entitlements", "/Entitlements/project:proj_a:owner"] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = okta.send(method, path, Some(body.as_bytes())).await;
            answer.expect_error(405, None);
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
        assert_eq!(okta.send("OPTIONS", path, None).await.header("allow"), Some("GET,HEAD"));
    }
    assert_eq!(okta.send("HEAD", "/Roles", None).await.status, 200);
    bridge.anonymous().get("/scim/v2/Roles").await.expect_error(401, None);
}

#[tokio::test]
async fn a_tenant_sees_only_the_catalogue_of_its_own_organization() {
    let bridge = TestBridge::builder().tenant("acme").start().await;
    show(&bridge, &[("proj_a", Some("Research"))], &[auditor()]).await;
    let acme = bridge.client_of("acme").await;
    assert_eq!(ids(&acme.get("/Roles").await.expect(200)), ["org:owner", "org:reader"]);
    assert_eq!(acme.get("/Entitlements").await.expect(200)["totalResults"], 0);
    acme.get("/Entitlements/project:proj_a:owner").await.expect_error(404, None);
    acme.get("/Roles/role:role_1").await.expect_error(404, None);
}

#[tokio::test]
async fn values_of_the_catalogue_are_kept_on_users_but_for_the_role_that_none_can_give() {
    let bridge = TestBridge::start().await;
    show(&bridge, &[("proj_a", Some("Research"))], &[]).await;
    let okta = bridge.okta();
    let created = okta
        .create(&json!({
            "userName": "jane@x.example",
            "roles": [{"value": "org:reader"}],
            "entitlements": [{"value": "project:proj_a:owner", "type": "Entitlement"}],
        }))
        .await;
    assert_eq!(created["roles"], json!([{"value": "org:reader"}]));
    assert_eq!(created["entitlements"][0]["value"], "project:proj_a:owner");
    let extension = &created["urn:ietf:params:scim:schemas:extension:openai:2.0:User"];
    assert_eq!((extension.get("role"), extension.get("projects")), (None, None));
    let owner = json!({"userName": "o@x.example", "roles": [{"value": "org:owner"}]});
    okta.post("/Users", &owner).await.expect_error(400, Some("invalidValue"));
}
