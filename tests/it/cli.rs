//! The command line, on the real program.

use std::net::SocketAddr;
use std::process::Stdio;

use openai_scim_bridge::simulator::{Fault, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::harness::program::{
    Running, TOKEN, call, call_as, create, fail, folder, program, run, serving, succeed, user,
};
use super::harness::standin::upstream;

#[test]
fn the_demo_plays_to_its_end() {
    let folder = folder();
    let output = run(program(folder.path()).args(["demo", "--exit"]).env("TMPDIR", folder.path()));
    let (shown, complaints) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}{complaints}");
    assert_eq!(complaints, "");
    for expected in [
        "1. Okta tests the connection",
        "planned  create_invite, done",
        "invite  test.user@okta.local, pending",
        "planned  delete_invite, done",
        "invite  TestBcwqnm@test.microsoft.com, pending",
        "accepts the invite",
        "member  test.user@okta.local, reader",
        "planned  delete_user, done",
        "none, was user-",
        "Everything went as told.",
    ] {
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colour without a terminal");
    assert!(!shown.contains("1mz050nq"), "no password, not even a placeholder");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_demo_stays_up_and_takes_the_minimal_create_of_its_own_advice() {
    let folder = folder();
    // Somebody else has the usual port, or gets it now.
    let _usual = TcpListener::bind("127.0.0.1:8080").await;
    let mut command = program(folder.path());
    let (demo, ()) = Running::start(command.arg("demo").env("TMPDIR", folder.path()), |line| {
        line.contains("Deactivate a person").then_some(())
    })
    .await;
    let shown = demo.stdout();
    let after = |start: &str, end: &[char]| {
        let (_, rest) = shown.split_once(start).unwrap_or_else(|| panic!("`{start}` is not in:\n{shown}"));
        rest.split(end).next().unwrap().to_owned()
    };
    let address: SocketAddr = after("curl -X POST http://", &['/']).parse().unwrap();
    assert_ne!(address.port(), 8080);
    let token = after("Authorization: Bearer ", &['"']);
    let body: Value = serde_json::from_str(&after("-d '", &['\''])).unwrap();
    let created = call_as(&token, address, "POST", "/v1/scim/v2/Users", Some(&body)).await.unwrap();
    assert_eq!(created.expect(201)["userName"], "jane.doe@example.com");
    demo.ask_to_stop();
    let (status, ..) = demo.ended().await;
    assert!(status.success());
}

#[test]
fn a_missing_key_is_told_with_the_way_to_set_it() {
    let folder = folder();
    let told = fail(program(folder.path()).args(["serve", "--listen", "127.0.0.1:0"]), 1);
    assert!(told.contains("set OPENAI_ADMIN_KEY"), "{told}");
    assert!(!folder.path().join("scim-bridge.db").exists(), "nothing is made before the settings are sound");
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    let folder = folder();
    for args in [
        &["serv"][..],
        &[],
        &["token", "create", "--expires", "soon"],
        &["mapping", "list", "--status", "happy"],
    ] {
        fail(program(folder.path()).args(args), 2);
    }
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = folder();
    let address = taken.local_addr().unwrap();
    let mut command = program(folder.path());
    let told =
        fail(command.args(["serve", "--listen", &address.to_string()]).env("OPENAI_ADMIN_KEY", "sk"), 1);
    assert!(told.contains(&format!("{address} is in use")) && told.contains("--listen"), "{told}");
}

#[tokio::test]
async fn the_first_start_makes_a_token_and_later_ones_do_not() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let mut command = serving(folder.path(), upstream);
    let command = command.env_remove("SCIM_BRIDGE_TOKEN");
    let (first, token) =
        Running::start(command, |line| Some(line.split_once("Bearer token")?.1.trim().to_owned())).await;
    let shown = first.stdout();
    let base = shown.split_once("http://").unwrap().1;
    let address: SocketAddr = base.split('/').next().unwrap().parse().unwrap();
    let answer = call_as(&token, address, "GET", "/scim/v2/Users", None).await.unwrap();
    answer.expect(200);
    call_as("another-token-that-is-long-enough", address, "GET", "/scim/v2/Users", None)
        .await
        .unwrap()
        .expect(401);
    first.ask_to_stop();
    first.ended().await;

    let (second, address) = Running::serve(command).await;
    call_as(&token, address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);
    assert_eq!(second.stdout(), "");
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_while_the_bridge_serves() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (_serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    let made =
        succeed(program(folder.path()).args(["token", "create", "--label", "okta", "--expires", "90d"]));
    let token = made.trim();
    call_as(token, address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);

    let listed: Value =
        serde_json::from_str(&succeed(program(folder.path()).args(["token", "list", "--json"]))).unwrap();
    assert_eq!((&listed[0]["label"], &listed[0]["state"]), (&json!("okta"), &json!("working")), "{listed}");
    assert!(!listed.to_string().contains(token));
    let id = listed[0]["id"].as_str().unwrap();
    succeed(program(folder.path()).args(["token", "revoke", id]));
    fail(program(folder.path()).args(["token", "revoke", id]), 1);
    assert!(succeed(program(folder.path()).args(["token", "list"])).contains("revoked"));
    fail(program(folder.path()).args(["token", "list", "--tenant", "nobody"]), 1);
}

#[tokio::test]
async fn the_mapping_table_survives_both_formats() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    for name in ["jane@example.com", "joe@example.com"] {
        create(address, name).await;
    }
    serving.ask_to_stop();
    serving.ended().await;

    for format in ["csv", "jsonl"] {
        let file = folder.path().join(format!("table.{format}"));
        let other = format!("sqlite://{format}.db");
        succeed(program(folder.path()).args(["mapping", "export", "--output"]).arg(&file));
        let written = std::fs::read_to_string(&file).unwrap();
        let checked = run(program(folder.path())
            .args(["mapping", "import", "--dry-run", "--database-url", &other])
            .arg(&file));
        assert!(String::from_utf8_lossy(&checked.stderr).contains("2 would be added"), "{checked:?}");
        succeed(program(folder.path()).args(["mapping", "import", "--database-url", &other]).arg(&file));
        let again = succeed(program(folder.path()).args([
            "mapping",
            "export",
            "--format",
            format,
            "--database-url",
            &other,
        ]));
        assert_eq!(again, written);
        let repeated =
            run(program(folder.path()).args(["mapping", "import", "--database-url", &other]).arg(&file));
        assert!(String::from_utf8_lossy(&repeated.stderr).contains("2 unchanged"), "{repeated:?}");
    }
}

#[tokio::test]
async fn the_mapping_table_is_filtered_by_any_id() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (_serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    for name in ["jane@example.com", "joe@example.com"] {
        create(address, name).await;
    }
    let list = |args: &[&str]| {
        let printed = succeed(program(folder.path()).args(["mapping", "list", "--json"]).args(args));
        serde_json::from_str::<Vec<Value>>(&printed).unwrap()
    };
    let rows = list(&["--status", "invited"]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let jane = &rows[0];
    for (flag, column) in [
        ("--scim-id", "scim_id"),
        ("--external-id", "external_id"),
        ("--user-name", "user_name"),
        ("--email", "email"),
        ("--invite-id", "invite_id"),
    ] {
        let value = jane[column].as_str().unwrap();
        assert_eq!(list(&[flag, value]), std::slice::from_ref(jane), "{flag} {value}");
    }
    assert!(list(&["--user-id", "user-nobody"]).is_empty());
    let table = succeed(program(folder.path()).args(["mapping", "list", "--user-name", "JANE@example.com"]));
    assert!(table.contains("jane@example.com  invited"), "{table}");
}

#[test]
fn an_import_with_a_bad_row_imports_nothing() {
    let folder = folder();
    let good = concat!(
        r#"{"scim_id":"01934b60-0000-7000-8000-000000000001","user_name":"jane@example.com","external_id":null,"#,
        r#""active":true,"email":null,"version":1,"created_at":"2026-01-01T00:00:00Z","#,
        r#""modified_at":"2026-01-01T00:00:00Z","deleted_at":null,"status":"pending","status_reason":null,"#,
        r#""origin":"imported","bound_email":null,"invite_id":null,"invite_expires_at":null,"user_id":null,"#,
        r#""former_user_id":null,"effective_role":null,"effective_projects":[],"effective_assignments":[],"last_synced_at":null}"#
    );
    let file = folder.path().join("rows.jsonl");
    std::fs::write(&file, format!("{good}\n{}\n", good.replace("8000-000000000001", "8000-000000000002")))
        .unwrap();
    let told = fail(program(folder.path()).args(["mapping", "import"]).arg(&file), 1);
    assert!(told.contains("nothing was imported") && told.contains("line 2"), "{told}");
    assert_eq!(succeed(program(folder.path()).args(["mapping", "export", "--format", "jsonl"])), "");
}

#[tokio::test]
async fn a_backup_is_taken_while_the_bridge_serves() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (_serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    create(address, "jane@example.com").await;
    succeed(program(folder.path()).args(["db", "backup", "copy.db"]));
    create(address, "joe@example.com").await;
    let table =
        succeed(program(folder.path()).args(["mapping", "list", "--database-url", "sqlite://copy.db"]));
    assert!(table.contains("jane@example.com") && !table.contains("joe@example.com"), "{table}");
    let told = fail(program(folder.path()).args(["db", "backup", "copy.db"]), 1);
    assert!(told.contains("exists already"), "{told}");
}

#[tokio::test]
async fn a_second_bridge_on_the_same_file_is_refused() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (_serving, _) = Running::serve(&mut serving(folder.path(), upstream)).await;
    let told = fail(&mut serving(folder.path(), upstream), 1);
    assert!(told.contains("already served by another scim-bridge process"), "{told}");
    fail(program(folder.path()).args(["db", "migrate"]), 1);
}

#[tokio::test]
async fn an_answer_under_way_is_finished_when_the_bridge_is_told_to_stop() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    let (serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    simulator.fail_next("POST", "/organization/invites", Fault::Slow { milliseconds: 1000 }, 1).unwrap();
    let request = tokio::spawn(async move {
        call(address, "POST", "/scim/v2/Users", Some(&user("jane@example.com"))).await
    });
    simulator.until(|simulator| simulator.calls("POST", "/organization/invites") == 1).await;
    serving.ask_to_stop();
    let answer = request.await.unwrap().expect("a whole answer");
    let created = answer.expect(201);
    let extension = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";
    assert_eq!(created[extension]["status"], "invited", "{created}");
    let (status, _, log) = serving.ended().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[tokio::test]
async fn secrets_and_addresses_are_not_logged() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    create(address, "jane@example.com").await;
    let path = "/scim/v2/Users?filter=userName%20eq%20%22jane@example.com%22";
    call(address, "GET", path, None).await.unwrap().expect(200);
    serving.ask_to_stop();
    let (_, shown, log) = serving.ended().await;
    assert!(log.lines().count() > 3, "{log}");
    for secret in [TOKEN, "sk-admin-simulator", "jane@example.com", "jane%40example.com"] {
        assert!(!log.contains(secret) && !shown.contains(secret), "{secret} is in:\n{shown}{log}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = folder();
    let mut listing = program(folder.path())
        .args(["mapping", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(listing.stdout.take());
    let output = listing.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn a_refused_key_shows_in_readyz_and_loses_nothing() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    simulator.fail_next("*", "*", Fault::status(401), u32::MAX).unwrap();
    let (_serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    assert_eq!(create(address, "jane@example.com").await["active"], true);
    simulator.until(|simulator| !simulator.ledger().is_empty()).await;
    loop {
        let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
        if ready["components"]["upstream:default"] == "degraded" {
            break;
        }
        assert_eq!(ready["components"]["upstream:default"], "ok", "{ready}");
        tokio::task::yield_now().await;
    }
    let metrics = call(address, "GET", "/metrics", None).await.unwrap();
    assert_eq!(metrics.status, 200);
}

#[tokio::test]
async fn membership_of_a_group_gives_and_takes_what_a_rule_says() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    let project = simulator.seed_project("Research");
    let settings = folder.path().join("bridge.toml");
    std::fs::write(
        &settings,
        format!(
            "[reconcile]\ninterval_seconds = 10\n[[group_rules]]\ngroup = \"Research*\"\nproject = \"{project}\"\nrole = \"member\"\n"
        ),
    )
    .unwrap();
    let mut command = serving(folder.path(), upstream);
    let (_serving, address) = Running::serve(command.env("SCIM_BRIDGE_CONFIG", &settings)).await;
    let user = create(address, "jane@example.com").await;
    // On a busy machine the answer comes before the invite is out.
    simulator.until(|simulator| !simulator.pending_invites("jane@example.com").is_empty()).await;
    let member = simulator.accept_invite("jane@example.com").unwrap();
    let group = json!({ "displayName": "Researchers", "members": [{ "value": user["id"] }] });
    let group = call(address, "POST", "/scim/v2/Groups", Some(&group)).await.unwrap().expect(201);
    let is_in =
        |simulator: &Simulator| simulator.project_users(&project).iter().any(|(user, _)| *user == member);
    simulator.until(is_in).await;

    let leave = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "remove", "path": format!("members[value eq {}]", user["id"]) }],
    });
    let path = format!("/scim/v2/Groups/{}", group["id"].as_str().unwrap());
    assert_eq!(call(address, "PATCH", &path, Some(&leave)).await.unwrap().status, 204);
    simulator.until(|simulator| !is_in(simulator)).await;
    assert_eq!(
        simulator.member(&member).map(|member| member.id),
        Some(member.clone()),
        "still in the organization"
    );
}

#[tokio::test]
async fn events_are_signed_with_a_key_that_is_made_once_and_beside_the_database() {
    let (_, upstream) = upstream().await;
    let folder = folder();
    let settings = folder.path().join("bridge.toml");
    // The discard port: nobody takes what is pushed, and nothing else suffers from that.
    let text = "[events]\nenabled = true\npush_url = \"http://127.0.0.1:9/events?key=push-secret\"\n";
    std::fs::write(&settings, text).unwrap();
    let mut keys = Vec::new();
    for name in ["jane@x.example", "joe@x.example"] {
        let mut command = serving(folder.path(), upstream);
        let (bridge, address) = Running::serve(command.arg("--config").arg(&settings)).await;
        create(address, name).await;
        let poll = json!({ "returnImmediately": true });
        let told = call(address, "POST", "/scim/v2/Events", Some(&poll)).await.unwrap().expect(200);
        assert!(!told["sets"].as_object().unwrap().is_empty());
        keys.push(call(address, "GET", "/.well-known/jwks.json", None).await.unwrap().expect(200));
        bridge.ask_to_stop();
        let (status, _, log) = bridge.ended().await;
        assert!(status.success(), "{log}");
        assert!(!log.contains("push-secret"), "{log}");
    }
    assert_eq!(keys[0], keys[1]);
    let key = folder.path().join("scim-bridge.db.signing-key");
    assert!(std::fs::read_to_string(key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
}
