//! Roles and their assignments, in the organization and in projects.

use super::*;

const ROLES: &str = "/organization/roles";

#[tokio::test]
async fn predefined_roles_are_listed_in_either_form_and_cannot_be_changed() {
    let standin = Standin::plain().await;
    let project = standin.simulator.seed_project("Research");
    let long = standin.get(ROLES).await.ids();
    assert_eq!(long[0], "role-api-organization-owner__api-organization__org-simulator");
    assert_eq!(standin.get(&format!("/projects/{project}/roles")).await.ids().len(), 3);
    let path = format!("{ROLES}/{}", long[0]);
    assert_eq!(standin.get(&path).await.json()["predefined_role"], true);
    assert_eq!(standin.delete(&path).await.status, 400);
    assert_eq!(standin.post(&path, json!({"role_name": "x"})).await.status, 400);
    standin.simulator.set_options(|options| options.role_ids = RoleIds::Short);
    assert_eq!(standin.get(ROLES).await.ids()[0], "role-api-organization-owner");
}

#[tokio::test]
async fn a_custom_role_is_made_changed_and_deleted_with_its_assignments() {
    let standin = Standin::plain().await;
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let body = json!({"role_name": "Auditor", "permissions": ["api.audit.read"]});
    let role = standin.post(ROLES, body).await.id();
    let path = format!("{ROLES}/{role}");
    let updated =
        standin.post(&path, json!({"permissions": ["api.usage.read"], "description": "reads"})).await;
    assert_eq!(updated.json()["permissions"], json!(["api.usage.read"]));
    assert_eq!(updated.json()["name"], "Auditor");
    let roles = format!("{USERS}/{a}/roles");
    let assigned = standin.post(&roles, json!({"role_id": role})).await.json();
    assert_eq!((&assigned["object"], &assigned["user"]["id"]), (&json!("user.role"), &json!(a)));
    assert_eq!(standin.get(&roles).await.ids().len(), 2);
    assert_eq!(standin.delete(&path).await.json()["object"], "role.deleted");
    assert_eq!(standin.get(&roles).await.ids().len(), 1);
    assert_eq!(standin.post(&roles, json!({"role_id": role})).await.status, 404);
    assert_eq!(standin.post(ROLES, json!({"role_name": "x"})).await.status, 400);
}

#[tokio::test]
async fn a_role_through_a_group_shows_its_source_and_stays_with_the_group() {
    let standin = Standin::plain().await;
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let group = standin.simulator.seed_group("Auditors", false);
    standin.simulator.seed_group_member(&group, &a).unwrap();
    let role = standin.post(ROLES, json!({"role_name": "Auditor", "permissions": []})).await.id();
    let of_group = format!("/organization/groups/{group}/roles");
    let assigned = standin.post(&of_group, json!({"role_id": role})).await.json();
    assert_eq!(
        (&assigned["object"], &assigned["group"]["scim_managed"]),
        (&json!("group.role"), &json!(false))
    );
    let of_user = format!("{USERS}/{a}/roles/{role}");
    let shown = standin.get(&of_user).await.json();
    assert_eq!(shown["assignment_sources"], json!([{"principal_id": group, "principal_type": "group"}]));
    assert_eq!(standin.delete(&of_user).await.status, 400);
    let removed = standin.delete(&format!("{of_group}/{role}")).await.json();
    assert_eq!(removed, json!({"object": "group.role.deleted", "deleted": true}));
    assert_eq!(standin.get(&of_user).await.status, 404);
}

#[tokio::test]
async fn assigning_a_classic_role_replaces_it_and_it_is_not_unassigned() {
    let standin = Standin::plain().await;
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let owner = standin.get(ROLES).await.ids().remove(0);
    let roles = format!("{USERS}/{a}/roles");
    assert_eq!(standin.post(&roles, json!({"role_id": owner})).await.json()["user"]["role"], "owner");
    assert_eq!(standin.get(&roles).await.ids(), std::slice::from_ref(&owner));
    assert_eq!(standin.delete(&format!("{roles}/{owner}")).await.status, 400);
}

#[tokio::test]
async fn a_project_role_needs_membership_first() {
    let standin = Standin::plain().await;
    let simulator = &standin.simulator;
    let a = simulator.seed_member("a@example.com", OrgRole::Reader);
    let project = simulator.seed_project("Research");
    let body = json!({"role_name": "Tester", "permissions": ["api.evals.write"]});
    let role = standin.post(&format!("/projects/{project}/roles"), body).await.id();
    let roles = format!("/projects/{project}/users/{a}/roles");
    assert_eq!(standin.post(&roles, json!({"role_id": role})).await.status, 404);
    simulator.seed_project_user(&project, &a, ProjectRole::Member).unwrap();
    assert_eq!(standin.post(&roles, json!({"role_id": role})).await.status, 200);
    let held = standin.get(&roles).await.json();
    let names: Vec<_> =
        held["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["member", "Tester"]);
    assert_eq!(standin.delete(&format!("{roles}/{role}")).await.status, 200);
    assert_eq!(standin.delete(&format!("{roles}/{role}")).await.status, 404);
}

#[tokio::test]
async fn without_the_feature_roles_are_404() {
    let standin = Standin::start(|options| options.roles = Feature::Off).await;
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    assert_eq!(standin.get(ROLES).await.status, 404);
    assert_eq!(standin.get(&format!("{USERS}/{a}/roles")).await.status, 404);
}
