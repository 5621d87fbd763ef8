//! `/organization/invites`

use super::*;

#[tokio::test]
async fn an_invite_runs_from_pending_to_accepted_and_makes_a_member() {
    let standin = Standin::plain().await;
    let project = standin.simulator.seed_project("Research");
    let body = json!({
        "email": "Ada@Example.com", "role": "reader", "projects": [{"id": project, "role": "owner"}],
    });
    let invite = standin.post(INVITES, body).await;
    assert_eq!(invite.status, 200);
    let sent = invite.json();
    assert_eq!(sent["email"], "Ada@Example.com");
    assert_eq!(sent["status"], "pending");
    assert_eq!(sent["created_at"], 1_767_225_600);
    assert_eq!(sent["expires_at"], 1_767_225_600 + 7 * 24 * 3600);
    let user = standin.simulator.accept_invite("ada@example.com").unwrap();
    let accepted = standin.get(&format!("{INVITES}/{}", invite.id())).await.json();
    assert_eq!((&accepted["status"], &accepted["accepted_at"]), (&json!("accepted"), &json!(1_767_225_600)));
    let member = standin.get(&format!("{USERS}/{user}")).await.json();
    assert_eq!((&member["email"], &member["role"]), (&json!("Ada@Example.com"), &json!("reader")));
    assert_eq!(standin.simulator.project_users(&project), [(user, ProjectRole::Owner)]);
    let deleted = standin.delete(&format!("{INVITES}/{}", invite.id())).await;
    assert_eq!(deleted.status, 400);
    assert!(deleted.message().contains("already accepted"));
}

#[tokio::test]
async fn leaving_out_projects_means_the_default_project_and_an_empty_list_none() {
    let standin = Standin::plain().await;
    let default = standin.simulator.default_project().unwrap();
    standin.post(INVITES, json!({"email": "a@example.com", "role": "reader"})).await;
    standin.invite("b@example.com").await;
    let a = standin.simulator.accept_invite("a@example.com").unwrap();
    standin.simulator.accept_invite("b@example.com").unwrap();
    assert_eq!(standin.simulator.project_users(&default), [(a, ProjectRole::Member)]);
}

#[tokio::test]
async fn inviting_a_member_or_an_invitee_in_any_case_is_400() {
    let standin = Standin::plain().await;
    standin.invite("a@example.com").await;
    let again = standin.invite("A@EXAMPLE.com").await;
    assert_eq!(again.status, 400);
    assert!(again.message().contains("already been invited"));
    let member = standin.invite("Owner@example.com").await;
    assert_eq!(member.status, 400);
    assert!(member.message().contains("already exists in this organization"));
    assert_eq!(standin.simulator.invites().len(), 1);
}

#[tokio::test]
async fn bad_addresses_roles_and_projects_are_400() {
    let standin = Standin::plain().await;
    for body in [
        json!({"email": "nobody", "role": "reader"}),
        json!({"email": "a b@example.com", "role": "reader"}),
        json!({"email": "a@example.com", "role": "member"}),
        json!({"email": "a@example.com", "role": "reader", "projects": [{"id": "proj_none", "role": "member"}]}),
        json!({"email": "a@example.com", "role": "reader", "projects": [{"id": "proj_none"}]}),
    ] {
        assert_eq!(standin.post(INVITES, body.clone()).await.status, 400, "{body}");
    }
    assert!(standin.simulator.invites().is_empty());
}

#[tokio::test]
async fn an_invite_expires_with_the_clock_and_stays_listed() {
    let standin = Standin::plain().await;
    let id = standin.invite("a@example.com").await.id();
    standin.simulator.advance(SignedDuration::from_hours(7 * 24));
    assert_eq!(standin.get(INVITES).await.json()["data"][0]["status"], "expired");
    assert!(standin.simulator.accept_invite("a@example.com").is_err());
    assert_eq!(standin.invite("a@example.com").await.status, 200);
    assert_eq!(standin.delete(&format!("{INVITES}/{id}")).await.status, 200);
    assert_eq!(standin.delete(&format!("{INVITES}/{id}")).await.status, 404);
    assert_eq!(standin.simulator.pending_invites("A@example.com").len(), 1);
}

#[tokio::test]
async fn an_expired_invite_can_be_made_to_stand_in_the_way() {
    let standin = Standin::start(|options| {
        options.expired_reinvite = Policy::Refuse;
        options.expired_invite_deletion = Policy::Refuse;
    })
    .await;
    let id = standin.invite("a@example.com").await.id();
    standin.simulator.decline_invite(&id).unwrap();
    assert_eq!(standin.invite("a@example.com").await.status, 400);
    assert_eq!(standin.delete(&format!("{INVITES}/{id}")).await.status, 400);
    assert_eq!(standin.simulator.invites()[0].status(standin.simulator.now()), InviteStatus::Expired);
}

#[tokio::test]
async fn old_field_name_created_status_and_status_lag_can_be_chosen() {
    let standin = Standin::start(|options| {
        options.invite_timestamp = InviteTimestamp::InvitedAt;
        options.created_status = CreatedStatus::Created;
        options.status_lag_ms = 5000;
    })
    .await;
    let invite = standin.invite("a@example.com").await;
    assert_eq!(invite.status, 201);
    assert!(invite.json().get("created_at").is_none());
    assert_eq!(invite.json()["invited_at"], 1_767_225_600);
    standin.simulator.accept_invite("a@example.com").unwrap();
    let path = format!("{INVITES}/{}", invite.id());
    assert_eq!(standin.get(&path).await.json()["status"], "pending");
    assert_eq!(standin.delete(&path).await.status, 400);
    standin.simulator.advance(SignedDuration::from_secs(5));
    assert_eq!(standin.get(&path).await.json()["status"], "accepted");
}

#[tokio::test]
async fn new_objects_can_be_invisible_for_a_while() {
    let standin = Standin::start(|options| {
        options.not_found_lag_ms = 1000;
        options.list_lag_ms = 2000;
    })
    .await;
    let id = standin.invite("a@example.com").await.id();
    let path = format!("{INVITES}/{id}");
    assert_eq!(standin.get(&path).await.status, 404);
    standin.simulator.advance(SignedDuration::from_secs(1));
    assert_eq!(standin.get(&path).await.status, 200);
    assert!(standin.get(INVITES).await.ids().is_empty());
    standin.simulator.advance(SignedDuration::from_secs(1));
    assert_eq!(standin.get(INVITES).await.ids(), [id]);
}

#[tokio::test]
async fn an_invite_can_be_accepted_under_another_address_and_name() {
    let standin = Standin::plain().await;
    standin.invite("ada@example.com").await;
    let user = standin
        .simulator
        .accept_invite_as("ada@example.com", Some("ada@home.example"), Some("Ada L"))
        .unwrap();
    let member = standin.simulator.member(&user).unwrap();
    assert_eq!(member.email.as_deref(), Some("ada@home.example"));
    assert_eq!(member.name.as_deref(), Some("Ada L"));
}

#[tokio::test]
async fn who_comes_back_has_the_same_user_id_unless_told_otherwise() {
    let standin = Standin::plain().await;
    let first = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    standin.simulator.remove_member("a@example.com").unwrap();
    standin.invite("A@example.com").await;
    assert_eq!(standin.simulator.accept_invite("a@example.com").unwrap(), first);
    standin.simulator.remove_member(&first).unwrap();
    standin.simulator.set_options(|options| options.rejoin = Rejoin::NewId);
    standin.invite("a@example.com").await;
    assert_ne!(standin.simulator.accept_invite("a@example.com").unwrap(), first);
}
