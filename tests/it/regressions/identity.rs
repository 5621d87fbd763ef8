//! Who is taken for whom.

use std::collections::BTreeSet;

use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::simulator::OrgRole;
use serde_json::{Value, json};

use super::{calls, path_of, stage};
use crate::harness::bridge::{TestBridge, user};

const OPENAI: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

/// R1, CVE-2025-41115 (Grafana): an `externalId` was taken for an id of the product's own.
#[tokio::test]
async fn an_external_id_is_a_label_and_names_nobody() {
    let mut stage = stage(Policy::default(), |simulator| {
        simulator.seed_member("boss@x.example", OrgRole::Owner);
    })
    .await;
    let okta = stage.bridge.okta();
    let first = okta.create_named("first@x.example").await;
    stage.settle().await;
    let boss = stage
        .simulator
        .members()
        .into_iter()
        .find(|member| member.email.as_deref() == Some("boss@x.example"));
    let boss = boss.unwrap().id;
    for (number, external_id) in ["1", "0", "-1", boss.as_str(), first.as_str()].into_iter().enumerate() {
        let mut new = user(&format!("u{number}@x.example"));
        new["externalId"] = json!(external_id);
        let new = okta.create(&new).await;
        assert!(new["id"] != json!(first) && new["id"] != json!(external_id));
        okta.delete(&path_of("/Users", &new)).await.expect(204);
        let called = calls(&stage.settle().await);
        assert!(!called.iter().any(|call| call.contains(&boss)), "{called:?}");
    }
    assert!(stage.simulator.members().iter().any(|member| member.id == boss));
    okta.get(&format!("/Users/{first}")).await.expect(200);
}

/// R2, CVE-2022-1680 (GitLab): who changed an address took the account over.
#[tokio::test]
async fn a_new_address_of_a_member_takes_nothing_along() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    stage.settle().await;
    stage.accept("jane@x.example");
    stage.settle().await;
    let before = okta.get(&path).await.expect(200);
    assert_eq!(before[OPENAI]["status"], "member");
    let moved = json!([{"op": "replace", "value": {"userName": "eve@evil.example",
        "emails": [{"value": "eve@evil.example", "primary": true}]}}]);
    okta.patch(&path, &moved).await;
    let called = stage.settle().await;
    assert!(called.is_empty(), "{called:?}");
    let after = okta.get(&path).await.expect(200);
    assert_eq!(after[OPENAI]["userId"], before[OPENAI]["userId"]);
    assert_eq!(after[OPENAI]["status"], "held", "{after}");
}

/// R10, CVE-2026-55670 (ZITADEL): an id that was chosen or came again carried rights over.
#[tokio::test]
async fn an_id_is_never_chosen_and_never_comes_again() {
    let bridge = super::two_tenants().await;
    let okta = bridge.okta();
    let first = okta.create_named("jane@x.example").await;
    let staff = okta.post("/Groups", &json!({"displayName": "Staff", "members": [{"value": first}]})).await;
    let staff = path_of("/Groups", &staff.expect(201));
    okta.delete(&format!("/Users/{first}")).await.expect(204);
    let mut again = user("jane@x.example");
    again["id"] = json!(first);
    let second = okta.create(&again).await;
    assert_ne!(second["id"], json!(first));
    assert!(second.get("groups").is_none() && second[OPENAI].get("userId").is_none());
    assert!(okta.get(&staff).await.expect(200).get("members").is_none_or(|members| members == &json!([])));
    let theirs = bridge.client_of("acme").await.create(&again).await;
    assert_ne!(theirs["id"], json!(first));
}

/// R29, CVE-2026-18571: groups named at the creation of a user were joined.
#[tokio::test]
async fn nobody_is_created_into_a_group() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let staff = okta.post("/Groups", &json!({"displayName": "Staff"})).await.expect(201);
    let mut jane = user("jane@x.example");
    jane["groups"] = json!([{"value": staff["id"]}]);
    let jane = okta.create(&jane).await;
    assert!(jane.get("groups").is_none(), "{jane}");
    let staff = okta.get(&path_of("/Groups", &staff)).await.expect(200);
    assert!(staff.get("members").is_none_or(|members| members == &json!([])), "{staff}");
}

/// R31, langfuse 15997 and 16027: a password that was sent became a login.
#[tokio::test]
async fn a_password_that_is_sent_is_kept_nowhere() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let secret = "canary-Tr0ub4dor";
    let mut jane = user("jane@x.example");
    jane["password"] = json!(secret);
    let created = okta.create(&jane).await;
    let path = path_of("/Users", &created);
    let answers = [
        created,
        okta.put(&path, &jane).await.expect(200),
        okta.patch(&path, &json!([{"op": "replace", "path": "password", "value": secret}])).await.expect(200),
        okta.patch(&path, &json!([{"op": "add", "value": {"password": secret}}])).await.expect(200),
        okta.get(&format!("{path}?attributes=password,userName")).await.expect(200),
    ];
    assert!(answers.iter().all(|answer| !answer.to_string().contains("assword")), "{answers:?}");
    okta.find(&format!("password eq \"{secret}\"")).await.expect_error(403, Some("sensitive"));
    let (database, _keys) = bridge.leave().await;
    if let Some(folder) = database.folder() {
        for file in std::fs::read_dir(folder).unwrap() {
            // A connection that closes last takes the journal away.
            let Ok(bytes) = std::fs::read(file.unwrap().path()) else { continue };
            assert!(!String::from_utf8_lossy(&bytes).contains(secret));
        }
    }
}

/// R32, ciso-assistant 4658: a user was created over an existing account, which took the new role.
#[tokio::test]
async fn binding_an_existing_member_changes_nothing_about_them() {
    let mut stage = stage(Policy::default(), |simulator| {
        simulator.seed_member("jane@x.example", OrgRole::Reader);
        simulator.seed_member("boss@x.example", OrgRole::Owner);
    })
    .await;
    let okta = stage.bridge.okta();
    for (address, role, status) in
        [("jane@x.example", OrgRole::Reader, "member"), ("boss@x.example", OrgRole::Owner, "held")]
    {
        let mut body = user(address);
        body["displayName"] = json!("Somebody Else");
        body["roles"] = json!([{"value": "reader", "primary": true}]);
        let created = okta.create(&body).await;
        assert!(stage.settle().await.is_empty());
        let read = okta.get(&path_of("/Users", &created)).await.expect(200);
        assert_eq!(read[OPENAI]["status"], status, "{read}");
        let member =
            stage.simulator.members().into_iter().find(|member| member.email.as_deref() == Some(address));
        assert_eq!(member.unwrap().role, role);
    }
}

/// R34, CVE-2023-7028 (GitLab): a list of addresses sent one person's mail to two.
#[tokio::test]
async fn an_invite_goes_to_one_address_alone() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    let texts = [
        json!("jane@x.example,eve@evil.example"),
        json!("jane@x.example;eve@evil.example"),
        json!("jane@x.example eve@evil.example"),
        json!("Jane <eve@evil.example>"),
        json!("jane@x.example\neve@evil.example"),
        json!("jane@x.example%0aeve@evil.example"),
        json!("\"jane@x.example\"@evil.example"),
        json!(["jane@x.example", "eve@evil.example"]),
        json!({"value": "jane@x.example"}),
    ];
    for text in &texts {
        let by_name = json!({"userName": text});
        let by_email = json!({"userName": "jane", "emails": [{"value": text, "primary": true}]});
        for body in [by_name, by_email] {
            okta.post("/Users", &body).await.expect_error(400, Some("invalidValue"));
        }
    }
    assert!(stage.settle().await.is_empty());
    let mut two = user("jane@x.example");
    two["emails"] =
        json!([{"value": "jane@x.example", "primary": true}, {"value": "eve@evil.example", "type": "home"}]);
    okta.create(&two).await;
    let invited: BTreeSet<_> =
        stage.settle().await.iter().map(|call| call.body["email"].as_str().unwrap().to_owned()).collect();
    assert_eq!(invited, BTreeSet::from(["jane@x.example".to_owned()]));
}

/// R37, Fleet 49560: who was renamed and deactivated at once was looked for under the new name.
#[tokio::test]
async fn a_rename_that_deactivates_takes_access_from_the_one_it_was() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    for (number, verb) in ["PATCH", "PUT"].into_iter().enumerate() {
        let (old, new) = (format!("old{number}@x.example"), format!("new{number}@x.example"));
        let path = format!("/Users/{}", okta.create_named(&old).await);
        stage.settle().await;
        assert_eq!(stage.simulator.pending_invites(&old).len(), 1);
        let mut body = user(&new);
        body["active"] = json!(false);
        let answer = if verb == "PUT" {
            okta.put(&path, &body).await
        } else {
            okta.patch(&path, &json!([{"op": "replace", "value": body}])).await
        };
        assert_eq!(answer.expect(200)["active"], false);
        stage.settle().await;
        assert!(stage.simulator.pending_invites(&old).is_empty(), "{verb}");
        assert!(stage.simulator.pending_invites(&new).is_empty(), "{verb}");
    }
}

/// R43, openwork 4775: a user who was deleted stood in the way of their own return.
#[tokio::test]
async fn who_was_deleted_comes_back_as_one_person() {
    let mut stage = stage(Policy::default(), |_| {}).await;
    let okta = stage.bridge.okta();
    let first = okta.create_named("jane@x.example").await;
    stage.settle().await;
    // The invite is accepted, and nobody has told the bridge when the deletion comes.
    stage.simulator.accept_invite("jane@x.example").unwrap();
    okta.delete(&format!("/Users/{first}")).await.expect(204);
    stage.settle().await;
    let members = |stage: &crate::harness::stage::Stage| {
        let members = stage.simulator.members().into_iter();
        members.filter(|member| member.email.as_deref() == Some("jane@x.example")).count()
    };
    assert_eq!(members(&stage), 0);
    let second = okta.create(&user("jane@x.example")).await;
    assert_ne!(second["id"], Value::from(first));
    stage.settle().await;
    stage.accept("jane@x.example");
    stage.settle().await;
    assert_eq!(members(&stage), 1);
    let read = okta.get(&path_of("/Users", &second)).await.expect(200);
    assert_eq!(read[OPENAI]["status"], "member");
    okta.post("/Users", &user("jane@x.example")).await.expect_error(409, Some("uniqueness"));
}
