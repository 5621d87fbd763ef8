//! Off-boarding evidence and the access review, on the real program.

use jiff::SignedDuration;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::simulator::{Feature, OrgRole, ProjectRole};
use serde_json::{Value, json};

use crate::harness::engine::Bridge;
use crate::harness::program::{FAST, Running, call, create, fail, folder, program, serving, succeed, until};
use crate::harness::standin::upstream;

// The stand-in answers while this test waits for a command.
#[tokio::test(flavor = "multi_thread")]
async fn who_left_is_told_with_the_keys_left_behind_and_the_review_finds_them_too() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    let project = simulator.seed_project("Research");
    simulator.seed_member("root@example.com", OrgRole::Owner);
    simulator.seed_member("stray@example.com", OrgRole::Reader);
    simulator.seed_invite("late@example.com", OrgRole::Reader);
    std::fs::write(folder.path().join("settings.toml"), FAST).unwrap();
    let mut serve = serving(folder.path(), upstream);
    let (_serving, address) = Running::serve(serve.args(["--config", "settings.toml"])).await;
    let bridge = |args: &[&str]| {
        let mut command = program(folder.path());
        command.args(args).args(["--config", "settings.toml"]);
        command
            .env("OPENAI_ADMIN_KEY", "sk-admin-simulator")
            .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"));
        command
    };
    let read = |args: &[&str]| -> Value { serde_json::from_str(&succeed(&mut bridge(args))).unwrap() };

    let jane = create(address, "jane@example.com").await;
    let path = format!("/scim/v2/Users/{}", jane["id"].as_str().unwrap());
    until("invited", async || simulator.accept_invite("jane@example.com").is_ok()).await;
    let status = async || {
        let shown = call(address, "GET", &path, None).await.unwrap().expect(200);
        shown["urn:ietf:params:scim:schemas:extension:openai:2.0:User"]["status"].as_str().unwrap().to_owned()
    };
    until("a member", async || status().await == "member").await;
    simulator.seed_project_user(&project, "jane@example.com", ProjectRole::Member).unwrap();
    let key = simulator.seed_project_key(&project, "jane@example.com", "notebook").unwrap();

    let before = read(&["evidence", "jane@example.com", "--read", "--json"]);
    assert_eq!((&before["asked"], &before["confirmed_at"]), (&Value::Null, &Value::Null), "{before}");
    assert_eq!(before["keys_remaining"][0]["id"], json!(key), "{before:#}");
    assert_eq!(before["keys_remaining"][0]["owner_has_access"], json!(true));

    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    });
    call(address, "PATCH", &path, Some(&patch)).await.unwrap().expect(200);
    until("parked", async || status().await == "parked").await;

    // Nobody has looked at the keys since, and it says so.
    let unread = read(&["evidence", "jane@example.com", "--json"]);
    assert!(unread["caveats"][0].as_str().unwrap().contains("before the removal was confirmed"), "{unread}");
    let after = read(&["evidence", "jane@example.com", "--read", "--json"]);
    assert_eq!(after["asked"]["event"], "user.deactivate", "{after}");
    assert!(after["asked"]["audit_hash"].is_string() && after["asked"]["request"].is_string());
    assert_eq!(after["calls"][0]["kind"], "delete_user");
    assert_eq!(after["confirmed_at"], after["calls"][0]["settled_at"]);
    assert_eq!(after["keys_before"][0]["id"], json!(key));
    assert_eq!(after["keys_remaining"][0]["owner_has_access"], json!(false), "it outlives its owner here");
    assert_eq!(after["caveats"], json!([]));
    let text = succeed(&mut bridge(&["evidence", "jane@example.com"]));
    for words in ["asked      20", "confirmed  20", "notebook", "its owner has no access any more"] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    simulator.set_options(|options| options.project_keys_of_removed_members = Feature::On);
    let live = read(&["evidence", "jane@example.com", "--read", "--json"]);
    assert_eq!((&after["keys_live"], &live["keys_live"][0]["id"]), (&json!([]), &json!(key)), "{live:#}");
    let text = succeed(&mut bridge(&["evidence", "jane@example.com"]));
    assert!(text.contains("KEYS THAT ARE LIVE"), "{text}");
    simulator.set_options(|options| options.project_keys_of_removed_members = Feature::Off);
    read(&["evidence", "jane@example.com", "--read", "--json"]);
    fail(&mut bridge(&["evidence", "nobody@example.com"]), 1);

    let review = read(&["review", "--format", "json"]);
    let found = |kind: &str, email: Option<&str>| {
        let rows = review.as_array().unwrap().iter();
        rows.filter(|row| row["finding"] == kind && email.is_none_or(|email| row["email"] == email)).count()
    };
    assert_eq!(found("owner", Some("root@example.com")), 1, "{review:#}");
    assert_eq!(found("no-idp-link", Some("stray@example.com")), 1, "{review:#}");
    assert_eq!(found("no-idp-link", Some("jane@example.com")), 0, "{review:#}");
    assert_eq!(found("pending-invite", Some("late@example.com")), 1, "{review:#}");
    assert_eq!(found("inactive-owner-key", None), 1, "{review:#}");
    let table = succeed(&mut bridge(&["review", "--finding", "inactive-owner-key"]));
    assert!(table.starts_with("FINDING") && table.contains("notebook"), "{table}");
    assert!(!table.contains("root@example.com"), "{table}");
    let rows = succeed(&mut bridge(&["review", "--format", "csv"]));
    assert_eq!(rows.lines().count(), 1 + review.as_array().unwrap().len());
    assert!(rows.starts_with("finding,id,email,role,"), "{rows}");
}

#[tokio::test]
async fn a_key_that_outlives_the_access_of_its_owner_is_a_finding_of_its_own() {
    let policy = Policy { census_interval: Some(SignedDuration::from_mins(10)), ..Policy::default() };
    let bridge =
        Bridge::with(policy, |options| options.project_keys_of_removed_members = Feature::On, |_| {}).await;
    let project = bridge.sim.seed_project("Research");
    let jane = bridge.create("jane").await;
    bridge.join("jane").await;
    bridge.sim.seed_project_user(&project, "jane@example.com", ProjectRole::Member).unwrap();
    let key = bridge.sim.seed_project_key(&project, "jane@example.com", "notebook").unwrap();
    let (owner, _) = bridge.member("jane").unwrap();
    bridge.minutes(12).await;
    let folder = folder();
    let keys = || -> Vec<Value> {
        let mut review = program(folder.path());
        review.args([
            "review",
            "--finding",
            "live-key",
            "--finding",
            "inactive-owner-key",
            "--format",
            "json",
        ]);
        serde_json::from_str(&succeed(review.args(["--database-url", &bridge.database.url]))).unwrap()
    };
    assert_eq!(keys(), [Value::Null; 0], "a member may have a key");

    bridge.deactivate(jane).await;
    bridge.minutes(5).await;
    let live = keys();
    assert_eq!((live.len(), &live[0]["finding"], &live[0]["id"]), (1, &json!("live-key"), &json!(owner)));
    assert!(live[0]["detail"].as_str().unwrap().contains(&key), "{live:#?}");

    bridge.sim.set_options(|options| options.project_keys_of_removed_members = Feature::Off);
    bridge.minutes(12).await;
    let inactive = keys();
    assert_eq!((inactive.len(), &inactive[0]["finding"]), (1, &json!("inactive-owner-key")));
}
