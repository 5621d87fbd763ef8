//! `/organization/projects` with their users, service accounts and keys.

use super::*;

const PROJECTS: &str = "/organization/projects";

#[tokio::test]
async fn a_project_is_made_renamed_and_archived_for_good() {
    let standin = Standin::plain().await;
    let id =
        standin.post(PROJECTS, json!({"name": "Research", "residency": "EU_STORAGE_PROCESSING"})).await.id();
    let path = format!("{PROJECTS}/{id}");
    let renamed = standin.post(&path, json!({"name": "Labs"})).await.json();
    assert_eq!((&renamed["name"], &renamed["status"]), (&json!("Labs"), &json!("active")));
    let archive = || {
        Standin::send(standin.request("POST", &format!("/v1{path}/archive")).header("content-length", "0"))
    };
    assert_eq!(archive().await.json()["status"], "archived");
    assert_eq!(archive().await.status, 400);
    assert_eq!(standin.get(&path).await.json()["archived_at"], 1_767_225_600);
    assert_eq!(standin.get(PROJECTS).await.ids().len(), 1);
    assert_eq!(standin.get(&format!("{PROJECTS}?include_archived=true")).await.ids().len(), 2);
    assert_eq!(standin.get(&format!("{path}/users")).await.status, 400);
    let added =
        standin.post(&format!("{path}/users"), json!({"email": "owner@example.com", "role": "member"})).await;
    assert_eq!(added.status, 400);
}

#[tokio::test]
async fn the_default_project_is_protected_and_an_unknown_one_is_404() {
    let standin = Standin::plain().await;
    let path = format!("{PROJECTS}/{}", standin.simulator.default_project().unwrap());
    assert_eq!(standin.post(&path, json!({"name": "Other"})).await.status, 400);
    assert_eq!(standin.post(&format!("{path}/archive"), json!({})).await.status, 400);
    let unknown = standin.get(&format!("{PROJECTS}/proj_none")).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!("project_not_found")));
    standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    standin.simulator.set_options(|options| options.default_project_members = Policy::Refuse);
    let body = json!({"email": "a@example.com", "role": "member"});
    assert_eq!(standin.post(&format!("{path}/users"), body).await.status, 400);
    assert_eq!(standin.post(PROJECTS, json!({})).await.status, 400);
    assert_eq!(standin.post(PROJECTS, json!({"name": "x", "residency": "MARS"})).await.status, 400);
}

#[tokio::test]
async fn a_project_user_is_added_by_id_or_address_changed_and_removed() {
    let standin = Standin::plain().await;
    let simulator = &standin.simulator;
    let users = format!("{PROJECTS}/{}/users", simulator.seed_project("Research"));
    let a = simulator.seed_member("a@example.com", OrgRole::Reader);
    let b = simulator.seed_member("b@example.com", OrgRole::Reader);
    assert_eq!(standin.post(&users, json!({"user_id": a, "role": "member"})).await.id(), a);
    assert_eq!(standin.post(&users, json!({"email": "B@example.com", "role": "owner"})).await.id(), b);
    assert_eq!(standin.post(&format!("{users}/{a}"), json!({"role": "owner"})).await.json()["role"], "owner");
    assert_eq!(standin.delete(&format!("{users}/{a}")).await.status, 200);
    assert_eq!(standin.get(&format!("{users}/{a}")).await.status, 404);
    assert_eq!(standin.delete(&format!("{users}/{a}")).await.status, 404);
    for body in [json!({"user_id": a}), json!({"role": "member"}), json!({"user_id": a, "role": "viewer"})] {
        assert_eq!(standin.post(&users, body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn somebody_only_invited_cannot_be_added() {
    let standin = Standin::plain().await;
    let users = format!("{PROJECTS}/{}/users", standin.simulator.seed_project("Research"));
    standin.invite("a@example.com").await;
    assert_eq!(standin.post(&users, json!({"email": "a@example.com", "role": "member"})).await.status, 404);
    assert_eq!(standin.post(&users, json!({"user_id": "user-none", "role": "member"})).await.status, 404);
}

#[tokio::test]
async fn adding_twice_is_409_or_400_or_nothing() {
    let standin = Standin::plain().await;
    let users = format!("{PROJECTS}/{}/users", standin.simulator.seed_project("Research"));
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let add = || standin.post(&users, json!({"user_id": a, "role": "member"}));
    assert_eq!(add().await.status, 200);
    assert_eq!(add().await.status, 409);
    standin.simulator.set_options(|options| options.duplicate_project_user = Duplicate::BadRequest);
    let refused = add().await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("already exists in project"));
    standin.simulator.set_options(|options| options.duplicate_project_user = Duplicate::Accept);
    assert_eq!(add().await.status, 200);
    assert_eq!(standin.simulator.effects("POST", "/organization/projects/{project_id}/users"), 1);
}

#[tokio::test]
async fn owners_of_the_organization_own_every_project_and_stay() {
    let standin = Standin::plain().await;
    let users = format!("{PROJECTS}/{}/users", standin.simulator.seed_project("Research"));
    let listed = standin.get(&users).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert_eq!(listed["data"][0]["role"], "owner");
    let path = format!("{users}/{}", standin.simulator.member("owner@example.com").unwrap().id);
    for answer in [standin.delete(&path).await, standin.post(&path, json!({"role": "member"})).await] {
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!("user_organization_owner"))
        );
    }
    standin.simulator.set_options(|options| options.owners_in_projects = Feature::Off);
    assert!(standin.get(&users).await.ids().is_empty());
}

#[tokio::test]
async fn a_service_account_comes_with_a_key_and_a_user_and_goes_with_both() {
    let standin = Standin::plain().await;
    let project = standin.simulator.seed_project("Research");
    let path = format!("{PROJECTS}/{project}/service_accounts");
    let created = standin.post(&path, json!({"name": "robot", "expires_in_seconds": 60})).await;
    assert_eq!(created.json()["api_key"]["expires_at"], 1_767_225_660);
    let item = format!("{path}/{}", created.id());
    let renamed = standin.post(&item, json!({"name": "droid", "role": "owner"})).await.json();
    assert_eq!((&renamed["name"], &renamed["role"]), (&json!("droid"), &json!("owner")));
    assert!(standin.simulator.members().iter().any(|member| member.name.as_deref() == Some("droid")));
    let keys = format!("{PROJECTS}/{project}/api_keys");
    let key = standin.get(&keys).await.ids().remove(0);
    assert_eq!(standin.delete(&format!("{keys}/{key}")).await.status, 400);
    assert_eq!(standin.delete(&item).await.status, 200);
    assert_eq!(standin.get(&item).await.status, 404);
    assert!(standin.get(&keys).await.ids().is_empty());
    assert!(!standin.simulator.members().iter().any(|member| member.name.as_deref() == Some("droid")));
    let without_key = standin.post(&path, json!({"name": "x", "create_service_account_only": true})).await;
    assert_eq!(without_key.json()["api_key"], Value::Null);
}

#[tokio::test]
async fn keys_are_chosen_by_the_access_of_their_owner() {
    let standin = Standin::plain().await;
    let simulator = &standin.simulator;
    let project = simulator.seed_project("Research");
    simulator.seed_member("a@example.com", OrgRole::Reader);
    simulator.seed_project_user(&project, "a@example.com", ProjectRole::Member).unwrap();
    let key = simulator.seed_project_key(&project, "a@example.com", "laptop").unwrap();
    let keys = format!("{PROJECTS}/{project}/api_keys");
    assert_eq!(
        standin.get(&format!("{keys}?owner_project_access=active")).await.ids(),
        std::slice::from_ref(&key)
    );
    assert!(standin.get(&format!("{keys}?owner_project_access=inactive")).await.ids().is_empty());
    assert_eq!(standin.get(&format!("{keys}?owner_project_access=some")).await.status, 400);
    assert_eq!(standin.get(&format!("{keys}/{key}")).await.json()["owner"]["user"]["email"], "a@example.com");
    assert_eq!(standin.delete(&format!("{keys}/{key}")).await.status, 200);
    assert_eq!(standin.get(&format!("{keys}/{key}")).await.status, 404);
}
