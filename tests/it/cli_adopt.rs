//! Taking over an organization that has people in it, looking ahead, and looking after single people: at the command
//! line of the real program, beside a server and without one.

use std::net::SocketAddr;
use std::path::Path;

use openai_scim_bridge::simulator::OrgRole;
use serde_json::{Value, json};

use super::harness::program::{
    Running, call, create, fail, folder, program, run, serving, succeed, until, user,
};
use super::harness::standin::upstream;

const EXTENSION: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

fn settings(folder: &Path, text: &str) {
    std::fs::write(folder.join("bridge.toml"), text).unwrap();
}

/// Settings, an admin key and the way to the stand-in, for commands that act.
fn acting(folder: &Path, upstream: SocketAddr) -> std::process::Command {
    let mut command = program(folder);
    command
        .env("OPENAI_ADMIN_KEY", "sk-admin-simulator")
        .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
        .env("USER", "kim");
    command
}

fn printed(command: &mut std::process::Command) -> Value {
    serde_json::from_str(&succeed(command)).unwrap()
}

#[tokio::test]
async fn an_organization_is_surveyed_and_what_was_approved_is_linked() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    settings(
        folder.path(),
        "[invites]\non_existing_member = \"hold\"\n[safety]\nprotected = [\"safe@example.com\"]\n",
    );
    simulator.seed_member("jane@example.com", OrgRole::Reader);
    simulator.seed_member("joe@example.com", OrgRole::Reader);
    simulator.seed_member("boss@example.com", OrgRole::Owner);
    simulator.seed_member("safe@example.com", OrgRole::Reader);
    simulator.seed_scim_managed_member("managed@example.com");
    simulator.seed_service_account("robot");
    simulator.seed_invite("new@example.com", OrgRole::Reader);
    let told = fail(program(folder.path()).args(["adopt", "plan"]), 1);
    assert!(told.contains("has not been read yet"), "{told}");

    let config = ["--config", "bridge.toml"];
    let (serving, bridge) = Running::serve(serving(folder.path(), upstream).args(config)).await;
    for address in ["jane@example.com", "boss@example.com"] {
        assert_eq!(create(bridge, address).await[EXTENSION]["status"], "held");
    }
    let lines = printed(program(folder.path()).args(["adopt", "plan", "--json"]).args(config));
    let kind = |email: &str| {
        let line = lines.as_array().unwrap().iter().find(|line| line["email"] == email);
        line.unwrap_or_else(|| panic!("{email} is not in {lines}"))["kind"].as_str().unwrap()
    };
    for (email, expected) in [
        ("jane@example.com", "match"),
        ("boss@example.com", "match"),
        ("joe@example.com", "unmanaged"),
        ("safe@example.com", "protected"),
        ("managed@example.com", "scim-managed"),
        ("new@example.com", "unmanaged"),
    ] {
        assert_eq!(kind(email), expected, "{email}");
    }
    assert!(lines.to_string().contains("service-account"));

    // Every match but the owner.
    succeed(
        program(folder.path()).args(["adopt", "apply", "--all-matches", "--reason", "CHG-1"]).args(config),
    );
    let is_linked = |email: &str| {
        let lines = printed(program(folder.path()).args(["adopt", "plan", "--json"]).args(config));
        lines.as_array().unwrap().iter().any(|line| line["email"] == email && line["kind"] == "linked")
    };
    until("the link", async || is_linked("jane@example.com")).await;
    assert!(!is_linked("boss@example.com"));

    // An owner by a line of a file.
    let csv = succeed(program(folder.path()).args(["adopt", "plan", "--csv"]).args(config));
    let mut approved: Vec<_> = csv.lines().take(1).collect();
    approved.extend(csv.lines().filter(|line| line.contains("boss@example.com")));
    std::fs::write(folder.path().join("lines.csv"), approved.join("\n")).unwrap();
    let apply = ["adopt", "apply", "lines.csv", "--reason", "CHG-2", "--by", "alex"];
    succeed(program(folder.path()).args(apply).args(config));
    until("the owner's link", async || is_linked("boss@example.com")).await;
    let told = fail(program(folder.path()).args(apply).args(config), 1);
    assert!(told.contains("stands for this user already") && told.contains("line 2"), "{told}");
    let why = succeed(program(folder.path()).args(["why", "boss@example.com"]).args(config));
    assert!(why.contains("member user-") && why.contains("organization role owner"), "{why}");
    assert_eq!(simulator.ledger().iter().filter(|entry| entry.method != "GET").count(), 0);
    drop(serving);
}

#[tokio::test]
async fn imported_members_are_found_by_identity_providers_and_claimed_by_a_create() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    simulator.seed_member("jane@example.com", OrgRole::Reader);
    simulator.seed_member("boss@example.com", OrgRole::Owner);
    let (_serving, bridge) = Running::serve(&mut serving(folder.path(), upstream)).await;
    until("the reading", async || run(program(folder.path()).args(["import", "--dry-run"])).status.success())
        .await;
    let users = || async { call(bridge, "GET", "/scim/v2/Users", None).await.unwrap().expect(200) };
    assert_eq!(users().await["totalResults"], 0);
    let told = String::from_utf8(run(program(folder.path()).arg("import")).stderr).unwrap();
    assert!(told.contains("1 shown to identity providers"), "{told}");
    let again = String::from_utf8(run(program(folder.path()).arg("import")).stderr).unwrap();
    assert!(!again.contains("shown to identity providers"), "{again}");

    let path = "/scim/v2/Users?filter=userName%20eq%20%22jane@example.com%22";
    let found = call(bridge, "GET", path, None).await.unwrap().expect(200);
    let shown = &found["Resources"][0];
    assert_eq!((&shown["active"], &shown[EXTENSION]["status"]), (&json!(true), &json!("member")));
    let claimed = create(bridge, "Jane@example.com").await;
    assert_eq!(claimed["id"], shown["id"]);
    assert_eq!(claimed["externalId"], user("Jane@example.com")["externalId"]);
    let twice = call(bridge, "POST", "/scim/v2/Users", Some(&user("jane@example.com"))).await.unwrap();
    assert_eq!(twice.status, 409);
    assert_eq!(users().await["totalResults"], 1);

    // What was claimed is managed like everybody else.
    let path = format!("/scim/v2/Users/{}", claimed["id"].as_str().unwrap());
    call(bridge, "DELETE", &path, None).await.unwrap();
    until("the removal", async || {
        simulator.members().iter().all(|member| member.email.as_deref() != Some("jane@example.com"))
    })
    .await;
}

// The stand-in has to answer while the test waits for the program.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_shown_without_a_server_and_carried_out_by_apply() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    // Somebody whom a server took up that never came to act.
    let record = concat!(
        r#"{"scim_id":"01934b60-0000-7000-8000-000000000001","user_name":"jane@example.com","external_id":null,"#,
        r#""active":true,"email":"jane@example.com","version":1,"created_at":"2026-01-01T00:00:00Z","#,
        r#""modified_at":"2026-01-01T00:00:00Z","deleted_at":null,"status":"pending","status_reason":null,"#,
        r#""origin":"invited","bound_email":null,"invite_id":null,"invite_expires_at":null,"user_id":null,"#,
        r#""former_user_id":null,"effective_role":null,"effective_projects":[],"effective_assignments":[],"last_synced_at":null}"#
    );
    std::fs::write(folder.path().join("rows.jsonl"), record).unwrap();
    succeed(program(folder.path()).args(["mapping", "import", "rows.jsonl"]));
    let plan = succeed(program(folder.path()).arg("plan"));
    assert!(plan.contains("all members") && plan.contains("has not been read yet"), "{plan}");
    assert_eq!(simulator.ledger().len(), 0);

    let done = succeed(acting(folder.path(), upstream).args(["apply", "--seconds", "10"]));
    assert!(done.contains("create_invite") && done.contains("1 calls were made"), "{done}");
    assert_eq!(simulator.pending_invites("jane@example.com").len(), 1);
    let plan = succeed(program(folder.path()).arg("plan"));
    assert!(plan.contains("Nothing to do."), "{plan}");

    let json = printed(program(folder.path()).args(["plan", "jane@example.com", "--json"]));
    assert_eq!(json["people"][0]["status"], "invited");
    let why = printed(program(folder.path()).args(["why", "JANE@example.com", "--json"]));
    assert_eq!((&why["status"], &why["invites_sent"]), (&json!("invited"), &json!(1)));
    assert_eq!(why["operations"][0]["action"]["kind"], "create_invite");
    assert!(why["operations"][0]["upstream_request_id"].is_string(), "{why}");
    fail(program(folder.path()).args(["why", "nobody@example.com"]), 1);
}

#[tokio::test]
async fn apply_leaves_the_work_to_a_server_that_runs() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (_serving, _) = Running::serve(&mut serving(folder.path(), upstream)).await;
    let told = fail(acting(folder.path(), upstream).arg("apply"), 1);
    assert!(told.contains("already served by another scim-bridge process"), "{told}");
    succeed(program(folder.path()).arg("plan"));
}

#[tokio::test]
async fn invites_are_resent_and_revoked_while_the_bridge_serves() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    let (_serving, bridge) = Running::serve(&mut serving(folder.path(), upstream)).await;
    assert_eq!(create(bridge, "jane@example.com").await[EXTENSION]["status"], "invited");
    let invite = || simulator.pending_invites("jane@example.com").first().map(|invite| invite.id.clone());
    let first = invite().unwrap();
    succeed(program(folder.path()).args(["invites", "resend", "jane@example.com", "--reason", "lost"]));
    until("the new invite", async || invite().is_some_and(|second| second != first)).await;
    let external_id = user("jane@example.com")["externalId"].as_str().unwrap().to_owned();
    succeed(program(folder.path()).args(["invites", "revoke", &external_id]));
    until("the withdrawal", async || invite().is_none()).await;
    let is_held = || succeed(program(folder.path()).args(["invites", "list"])).contains("held");
    until("the hold", async || is_held()).await;
    let diff = succeed(program(folder.path()).args(["plan", "jane@example.com", "--diff"]));
    assert!(diff.contains("! hold") && diff.contains("an administrator withdrew the invite"), "{diff}");
    fail(program(folder.path()).args(["invites", "resend", "joe@example.com"]), 1);
}
