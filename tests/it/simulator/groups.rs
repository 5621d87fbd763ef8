//! `/organization/groups`, their users, and groups in projects.

use super::*;

const GROUPS: &str = "/organization/groups";

#[tokio::test]
async fn a_group_is_made_renamed_and_deleted() {
    let standin = Standin::plain().await;
    let id = standin.post(GROUPS, json!({"name": "Engineers"})).await.id();
    let path = format!("{GROUPS}/{id}");
    assert_eq!(standin.get(&path).await.json()["group_type"], "group");
    let renamed = standin.post(&path, json!({"name": "Makers"})).await.json();
    assert_eq!(renamed["name"], "Makers");
    assert!(renamed.get("group_type").is_none());
    assert_eq!(standin.delete(&path).await.json()["object"], "group.deleted");
    assert_eq!(standin.delete(&path).await.status, 404);
    for name in [json!(""), json!("x".repeat(256)), Value::Null] {
        assert_eq!(standin.post(GROUPS, json!({"name": name})).await.status, 400);
    }
}

#[tokio::test]
async fn two_groups_may_have_one_name_unless_told_otherwise_and_the_quota_is_422() {
    let standin = Standin::start(|options| options.max_groups = 2).await;
    let create = || standin.post(GROUPS, json!({"name": "Engineers"}));
    assert_eq!(create().await.status, 200);
    standin.simulator.set_options(|options| options.duplicate_group_names = Policy::Refuse);
    assert_eq!(create().await.status, 400);
    standin.simulator.set_options(|options| options.duplicate_group_names = Policy::Allow);
    assert_eq!(create().await.status, 200);
    assert_eq!(create().await.status, 422);
}

#[tokio::test]
async fn group_members_are_added_once_looked_up_and_removed() {
    let standin = Standin::plain().await;
    let users = format!("{GROUPS}/{}/users", standin.simulator.seed_group("Engineers", false));
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let add = || standin.post(&users, json!({"user_id": a}));
    assert_eq!(add().await.json()["object"], "group.user");
    assert_eq!(add().await.status, 409);
    standin.simulator.set_options(|options| options.duplicate_group_member = Duplicate::Accept);
    assert_eq!(add().await.status, 200);
    assert_eq!(standin.get(&users).await.json()["data"][0]["email"], "a@example.com");
    assert_eq!(standin.get(&format!("{users}/{a}")).await.json()["user_type"], "user");
    let removed = standin.delete(&format!("{users}/{a}")).await.json();
    assert_eq!(removed, json!({"object": "group.user.deleted", "deleted": true}));
    assert_eq!(standin.delete(&format!("{users}/{a}")).await.status, 404);
    assert_eq!(standin.post(&users, json!({"user_id": "user-none"})).await.status, 404);
}

#[tokio::test]
async fn a_group_of_directory_sync_refuses_writes() {
    let standin = Standin::plain().await;
    let path = format!("{GROUPS}/{}", standin.simulator.seed_group("Synced", true));
    let a = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    assert_eq!(standin.get(&path).await.json()["is_scim_managed"], true);
    assert_eq!(standin.delete(&path).await.status, 400);
    standin.simulator.set_options(|options| options.scim_managed_write_status = 409);
    assert_eq!(standin.post(&path, json!({"name": "Mine"})).await.status, 409);
    assert_eq!(standin.post(&format!("{path}/users"), json!({"user_id": a})).await.status, 409);
}

#[tokio::test]
async fn without_the_feature_the_whole_family_is_404() {
    let standin = Standin::plain().await;
    let group = standin.simulator.seed_group("Engineers", false);
    let project = standin.simulator.seed_project("Research");
    standin.simulator.set_options(|options| options.groups = Feature::Off);
    for path in [
        GROUPS.to_owned(),
        format!("{GROUPS}/{group}"),
        format!("{GROUPS}/{group}/users"),
        format!("{GROUPS}/{group}/roles"),
        format!("/organization/projects/{project}/groups"),
    ] {
        assert_eq!(standin.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(standin.post(GROUPS, json!({"name": "x"})).await.status, 404);
}

#[tokio::test]
async fn a_group_joins_a_project_with_a_role_that_is_read_from_its_assignments() {
    let standin = Standin::plain().await;
    let (group, project) =
        (standin.simulator.seed_group("Engineers", false), standin.simulator.seed_project("Research"));
    let roles = standin.get(&format!("/projects/{project}/roles")).await.json();
    let role =
        roles["data"].as_array().unwrap().iter().find(|role| role["name"] == "member").unwrap()["id"].clone();
    let path = format!("/organization/projects/{project}/groups");
    let join = || standin.post(&path, json!({"group_id": group, "role": role}));
    let joined = join().await.json();
    assert_eq!(joined["group_name"], "Engineers");
    assert!(joined.get("role").is_none());
    assert_eq!(join().await.status, 400);
    let assigned = standin.get(&format!("/projects/{project}/groups/{group}/roles")).await;
    assert_eq!(assigned.ids(), [role.as_str().unwrap()]);
    assert_eq!(standin.get(&format!("{path}/{group}?group_type=group")).await.status, 200);
    let left = standin.delete(&format!("{path}/{group}")).await.json();
    assert_eq!(left, json!({"object": "project.group.deleted", "deleted": true}));
    assert_eq!(standin.get(&format!("{path}/{group}")).await.status, 404);
    assert_eq!(standin.post(&path, json!({"group_id": group, "role": "role_none"})).await.status, 400);
    assert_eq!(standin.post(&path, json!({"group_id": "group_none", "role": role})).await.status, 404);
}
