//! `/organization/users` and the audit log.

use super::*;

#[tokio::test]
async fn the_start_has_two_owners_and_a_service_account() {
    let standin = Standin::plain().await;
    let users = standin.get(USERS).await.json();
    let shown: Vec<_> =
        users["data"].as_array().unwrap().iter().map(|it| (&it["email"], &it["role"])).collect();
    assert_eq!(shown[0], (&json!("owner@example.com"), &json!("owner")));
    assert_eq!(shown[1], (&json!("second.owner@example.com"), &json!("owner")));
    assert_eq!(shown[2].0, &Value::Null);
    assert_eq!(users["data"][0]["is_default"], true);
    assert_eq!(users["data"][2]["is_service_account"], true);
}

#[tokio::test]
async fn a_role_can_be_changed_but_nothing_else_is_invented() {
    let standin = Standin::plain().await;
    let id = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let path = format!("{USERS}/{id}");
    let updated = standin.post(&path, json!({"role": "owner", "technical_level": "high"})).await.json();
    assert_eq!((&updated["role"], &updated["technical_level"]), (&json!("owner"), &json!("high")));
    assert_eq!(standin.post(&path, json!({"role": "member"})).await.status, 400);
    assert_eq!(standin.post(&path, json!({"role_id": "role_none"})).await.status, 400);
    assert_eq!(standin.post(&format!("{USERS}/user-none"), json!({"role": "owner"})).await.status, 404);
    let body = json!({"email": "b@example.com", "role": "reader"});
    assert_eq!(standin.post(USERS, body).await.status, 405);
}

#[tokio::test]
async fn the_last_owner_can_neither_go_nor_be_demoted_unless_allowed() {
    let standin = Standin::start(|options| options.keys_of_removed_members = Feature::On).await;
    standin.simulator.set_role("second.owner@example.com", OrgRole::Reader).unwrap();
    let path = format!("{USERS}/{}", standin.simulator.member("owner@example.com").unwrap().id);
    assert_eq!(standin.delete(&path).await.status, 400);
    assert_eq!(standin.post(&path, json!({"role": "reader"})).await.status, 400);
    standin.simulator.set_options(|options| options.last_owner_removal = Policy::Allow);
    assert_eq!(standin.delete(&path).await.status, 200);
}

#[tokio::test]
async fn deleting_a_member_ends_memberships_but_not_keys() {
    let standin = Standin::plain().await;
    let simulator = &standin.simulator;
    let id = simulator.seed_member("a@example.com", OrgRole::Reader);
    let (project, group) = (simulator.seed_project("Research"), simulator.seed_group("Engineers", false));
    simulator.seed_project_user(&project, &id, ProjectRole::Member).unwrap();
    simulator.seed_group_member(&group, &id).unwrap();
    let key = simulator.seed_project_key(&project, &id, "laptop").unwrap();
    assert_eq!(standin.delete(&format!("{USERS}/{id}")).await.json()["object"], "organization.user.deleted");
    assert!(simulator.project_users(&project).is_empty());
    assert!(simulator.group_members(&group).is_empty());
    assert_eq!(standin.delete(&format!("{USERS}/{id}")).await.status, 404);
    let keys = format!("/organization/projects/{project}/api_keys?owner_project_access=inactive");
    assert_eq!(standin.get(&keys).await.ids(), [key]);
}

#[tokio::test]
async fn a_service_account_is_not_deleted_as_a_user() {
    let standin = Standin::plain().await;
    let service = standin.simulator.members().into_iter().find(|member| member.is_service_account).unwrap();
    assert_eq!(standin.delete(&format!("{USERS}/{}", service.id)).await.status, 400);
}

#[tokio::test]
async fn the_emails_filter_works_in_every_spelling_and_in_each_of_its_modes() {
    let standin = Standin::plain().await;
    let id = standin.simulator.seed_member("Ada@Example.com", OrgRole::Reader);
    let ids = |query: &'static str| {
        let path = format!("{USERS}?{query}");
        let standin = &standin;
        async move { standin.get(&path).await.ids() }
    };
    for query in ["emails[]=ada@example.com", "emails%5B%5D=ada%40example.com", "emails=ada@example.com"] {
        assert_eq!(ids(query).await, std::slice::from_ref(&id), "{query}");
    }
    assert_eq!(ids("emails[]=ada@example.com&emails[]=owner@example.com").await.len(), 2);
    assert!(ids("emails[]=nobody@example.com").await.is_empty());
    standin.simulator.set_options(|options| options.emails_filter = EmailsFilter::CaseSensitive);
    assert!(ids("emails[]=ada@example.com").await.is_empty());
    assert_eq!(ids("emails[]=Ada@Example.com").await, std::slice::from_ref(&id));
    standin.simulator.set_options(|options| options.emails_filter = EmailsFilter::AlwaysEmpty);
    assert!(ids("emails[]=Ada@Example.com").await.is_empty());
    assert_eq!(ids("").await.len(), 4);
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_newest_first_and_can_be_filtered() {
    let standin = Standin::plain().await;
    let logs = |query: String| {
        let standin = &standin;
        async move { standin.get(&format!("/organization/audit_logs?{query}")).await }
    };
    let invite = standin.invite("a@example.com").await.id();
    standin.simulator.advance(SignedDuration::from_secs(100));
    let user = standin.simulator.accept_invite(&invite).unwrap();
    standin.simulator.advance(SignedDuration::from_secs(100));
    standin.delete(&format!("{USERS}/{user}")).await;

    let all = logs(String::new()).await.json();
    let kinds: Vec<_> =
        all["data"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["user.deleted", "user.added", "invite.accepted", "invite.sent"]);
    let sent = &all["data"][3];
    assert_eq!(
        sent["invite.sent"],
        json!({"id": invite, "data": {"email": "a@example.com", "role": "member"}})
    );
    assert_eq!(sent["actor"]["api_key"]["user"]["email"], "owner@example.com");

    let count = |query: String| async { logs(query).await.ids().len() };
    assert_eq!(count("event_types[]=user.added&event_types%5B%5D=user.deleted".into()).await, 2);
    assert_eq!(count(format!("resource_ids[]={invite}")).await, 2);
    assert_eq!(count(format!("actor_ids[]={user}")).await, 2);
    assert_eq!(count("actor_emails[]=owner@example.com".into()).await, 2);
    assert_eq!(count("effective_at[gte]=1767225700".into()).await, 3);
    assert_eq!(count("effective_at%5Bgt%5D=1767225700&effective_at[lte]=1767225800".into()).await, 1);
    assert_eq!(count("effective_at[lt]=1767225700".into()).await, 1);
    assert_eq!(count("project_ids[]=proj_none".into()).await, 0);
    assert_eq!(logs("effective_at[gt]=x".into()).await.status, 400);

    let oldest = all["data"][3]["id"].as_str().unwrap();
    let newest = all["data"][0]["id"].as_str().unwrap();
    assert_eq!(count(format!("after={newest}")).await, 3);
    assert_eq!(
        logs(format!("before={oldest}&limit=1")).await.ids(),
        [all["data"][2]["id"].as_str().unwrap()]
    );
    assert_eq!(logs("after=audit_log-none".into()).await.status, 404);
    standin.simulator.set_options(|options| options.audit_log = Feature::Off);
    assert_eq!(count(String::new()).await, 0);
}
