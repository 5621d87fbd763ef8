//! Guards, the stop switch and the rotation of the admin key, on the real program.

use std::net::SocketAddr;
use std::process::Command;

use openai_scim_bridge::simulator::{OrgRole, ProjectRole, Simulator};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::program::{
    self, FAST, PATIENCE, Running, call, fail, folder, program, serving, succeed, until,
};
use crate::harness::receiver::Receiver;
use crate::harness::standin::upstream;

async fn create(address: SocketAddr, name: &str) -> String {
    program::create(address, name).await["id"].as_str().unwrap().to_owned()
}

async fn status(address: SocketAddr, id: &str) -> String {
    let read = call(address, "GET", &format!("/scim/v2/Users/{id}"), None).await.unwrap().expect(200);
    read["urn:ietf:params:scim:schemas:extension:openai:2.0:User"]["status"].as_str().unwrap().to_owned()
}

async fn deactivate(address: SocketAddr, id: &str) {
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    });
    call(address, "PATCH", &format!("/scim/v2/Users/{id}"), Some(&patch)).await.unwrap().expect(200);
}

/// So many people who are members.
async fn members(address: SocketAddr, simulator: &Simulator, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let name = format!("m{number}@example.com");
        ids.push(create(address, &name).await);
        until("invited", async || simulator.accept_invite(&name).is_ok()).await;
    }
    for id in &ids {
        until("a member", async || status(address, id).await == "member").await;
    }
    ids
}

fn settings(folder: &TempDir, more: &str) {
    std::fs::write(folder.path().join("settings.toml"), format!("{FAST}{more}")).unwrap();
}

fn serve(folder: &TempDir, upstream: SocketAddr) -> Command {
    let mut command = serving(folder.path(), upstream);
    command.args(["--config", "settings.toml"]);
    command
}

fn bridge(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = program(folder.path());
    command.args(args).args(["--config", "settings.toml"]);
    command
}

#[tokio::test]
async fn a_held_removal_is_listed_and_done_when_it_is_approved() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    settings(&folder, "");
    let (_serving, address) = Running::serve(&mut serve(&folder, upstream)).await;
    let people = members(address, &simulator, 5).await;
    for id in &people {
        deactivate(address, id).await;
    }
    let list = || -> Value {
        serde_json::from_str(&succeed(&mut bridge(&folder, &["holds", "list", "--json"]))).unwrap()
    };
    until("two holds", async || list().as_array().unwrap().len() == 2).await;
    let held = list();
    assert_eq!((&held[0]["guard"], &held[0]["state"]), (&json!("mass-removal"), &json!("open")));
    assert!(held[0]["what"].as_str().unwrap().starts_with("delete_user user-"));
    let table = succeed(&mut bridge(&folder, &["holds", "list", "--guard", "mass-removal"]));
    assert!(table.contains("REASON") && table.contains("safety.max_removals"), "{table}");
    let id = held[0]["id"].as_str().unwrap();
    let plan: Value = serde_json::from_str(&succeed(&mut bridge(&folder, &["plan", "--json"]))).unwrap();
    assert_eq!(plan["people"].as_array().unwrap().len(), 2);
    assert_eq!(plan["people"][0]["steps"][0]["held"]["guard"], "mass-removal");
    assert_eq!((&plan["losses_before_a_human_is_asked"], &plan["standstill"]), (&json!(0), &Value::Null));
    let why = succeed(&mut bridge(&folder, &["why", held[0]["person"].as_str().unwrap()]));
    assert!(why.contains(&format!("Held        {id} since")), "{why}");
    succeed(&mut bridge(&folder, &["holds", "approve", id, "--by", "ann", "--reason", "asked HR"]));
    let other = held[1]["id"].as_str().unwrap();
    succeed(&mut bridge(&folder, &["holds", "reject", other, "--by", "ann", "--reason", "wrong group"]));
    let approved = held[0]["person"].as_str().unwrap();
    until("removed", async || status(address, approved).await == "parked").await;
    assert_eq!(status(address, held[1]["person"].as_str().unwrap()).await, "held");
    let left = list();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["decision"]["by"]), (1, &json!("ann")));
    let told = fail(&mut bridge(&folder, &["holds", "approve", id]), 1);
    assert!(told.contains("holds list"), "{told}");
    fail(&mut bridge(&folder, &["holds", "approve"]), 2);
}

/// Rules that give so many projects to the group Staff, which is kept as an OpenAI group.
fn group_settings(folder: &TempDir, projects: &[&str]) {
    let rule = |project: &&str| {
        format!("[[group_rules]]\ngroup = \"Staff\"\nproject = \"{project}\"\nrole = \"member\"\n")
    };
    let rules = projects.iter().map(rule).collect::<Vec<_>>().concat();
    let text = format!("groups = \"mirror\"\n{FAST}[drift]\nproject_removed = \"adopt\"\n{rules}");
    std::fs::write(folder.path().join("settings.toml"), text).unwrap();
}

#[tokio::test]
async fn a_held_call_about_a_group_is_listed_decided_and_done() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    let projects = [simulator.seed_project("Research"), simulator.seed_project("Sales")];
    // Among so many others, it is plausible that four are out of the projects.
    for number in 0..45 {
        let other = simulator.seed_member(&format!("o{number}@example.com"), OrgRole::Reader);
        for project in &projects {
            simulator.seed_project_user(project, &other, ProjectRole::Member).unwrap();
        }
    }
    group_settings(&folder, &["Research", "Sales"]);
    let (running, address) = Running::serve(&mut serve(&folder, upstream)).await;
    let people = members(address, &simulator, 4).await;
    let values: Vec<Value> = people.iter().map(|id| json!({ "value": id })).collect();
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Staff",
        "members": values,
    });
    let staff = call(address, "POST", "/scim/v2/Groups", Some(&group)).await.unwrap().expect(201);
    let ours = people.iter().zip(0..).map(|(_, number)| simulator.member(&format!("m{number}@example.com")));
    let ours: Vec<String> = ours.map(|member| member.unwrap().id).collect();
    let is_in = |project: &String| {
        let users: Vec<String> = simulator.project_users(project).into_iter().map(|(user, _)| user).collect();
        simulator.project_groups(project).len() == 1 && ours.iter().all(|user| users.contains(user))
    };
    until("in the group and the projects", async || {
        let groups = simulator.groups();
        groups.first().is_some_and(|(id, _)| simulator.group_members(id).len() == 4)
            && projects.iter().all(is_in)
    })
    .await;
    // From now on the group alone gives the projects.
    for project in &projects {
        for user in &ours {
            simulator.remove_project_user(project, user).unwrap();
        }
    }
    let why = |id: &String| -> Value {
        serde_json::from_str(&succeed(&mut bridge(&folder, &["why", id, "--json"]))).unwrap()
    };
    for id in &people {
        until("read", async || why(id)["effective_projects"] == json!([])).await;
    }
    running.ask_to_stop();
    running.ended().await;
    group_settings(&folder, &[]);
    let (_running, address) = Running::serve(&mut serve(&folder, upstream)).await;

    let list = || -> Vec<Value> {
        let listed = succeed(&mut bridge(&folder, &["holds", "list", "--guard", "mass-removal", "--json"]));
        serde_json::from_str(&listed).unwrap()
    };
    until("two holds", async || list().len() == 2).await;
    let held = list();
    let named = json!({ "id": staff["id"], "name": "Staff", "losers": 4 });
    for hold in &held {
        assert_eq!((&hold["group"], &hold["person"], &hold["state"]), (&named, &Value::Null, &json!("open")));
        assert!(hold["what"].as_str().unwrap().starts_with("remove_group_from_project group"), "{hold}");
        assert!(hold["since"].is_string() && hold["can_be_approved"] == true, "{hold}");
    }
    let whose = format!("group `Staff` {}, 4 people", staff["id"].as_str().unwrap());
    let table = succeed(&mut bridge(&folder, &["holds", "list"]));
    assert!(table.contains(&whose) && table.contains("safety.max_removals"), "{table}");
    for named in ["staff", staff["id"].as_str().unwrap()] {
        assert_eq!(succeed(&mut bridge(&folder, &["holds", "list", "--group", named])), table);
    }
    let refused = fail(&mut bridge(&folder, &["holds", "approve", "--group", "Stuff"]), 1);
    assert!(refused.contains("no group is known by `Stuff`"), "{refused}");
    let plan: Value = serde_json::from_str(&succeed(&mut bridge(&folder, &["plan", "--json"]))).unwrap();
    assert_eq!(plan["group_holds"].as_array().unwrap().len(), 2);
    for args in [&["plan"][..], &["plan", "--diff"]] {
        let plan = succeed(&mut bridge(&folder, args));
        assert!(plan.contains(&whose) && plan.contains("2 calls about groups are held"), "{plan}");
    }
    assert_eq!(why(&people[0])["holds"].as_array().unwrap().len(), 2);
    until("told at /readyz", async || {
        let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
        ready["details"]["upstream:default"]["open_holds"] == 2
    })
    .await;

    let (done, kept) = (held[0]["id"].as_str().unwrap(), held[1]["id"].as_str().unwrap());
    succeed(&mut bridge(&folder, &["holds", "reject", kept, "--by", "ann", "--reason", "wrong rule"]));
    succeed(&mut bridge(&folder, &["holds", "approve", done, "--by", "ann", "--reason", "asked HR"]));
    let in_projects = || -> usize { projects.iter().map(|id| simulator.project_groups(id).len()).sum() };
    until("out of one project", async || in_projects() == 1).await;
    let left = list();
    assert_eq!((left.len(), &left[0]["id"], &left[0]["state"]), (1, &json!(kept), &json!("rejected")));
    let trail: Vec<Value> =
        serde_json::from_str(&succeed(&mut bridge(&folder, &["audit", "list", "--json"]))).unwrap();
    for (event, id, why) in [("hold.approve", done, "asked HR"), ("hold.reject", kept, "wrong rule")] {
        let told = trail.iter().find(|entry| entry["event"] == event).unwrap();
        let detail = json!({ "hold": id, "group": staff["id"], "by": "ann", "why": why });
        for (field, expected) in detail.as_object().unwrap() {
            assert_eq!(&told["detail"][field], expected, "{told}");
        }
    }
}

#[tokio::test]
async fn stop_ends_all_changes_and_resume_lets_them_go_on() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    settings(&folder, "");
    let (_serving, address) = Running::serve(&mut serve(&folder, upstream)).await;
    let people = members(address, &simulator, 1).await;
    succeed(&mut bridge(&folder, &["stop", "--by", "ann", "--reason", "drill"]));
    deactivate(address, &people[0]).await;
    for command in [&["plan"][..], &["why", &people[0]]] {
        let told = succeed(&mut bridge(&folder, command));
        assert!(told.contains("delete_user") && told.contains("stopped by ann: drill"), "{told}");
    }
    until("degraded", async || {
        let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
        ready["components"]["upstream:default"] == "degraded"
            && ready["details"]["upstream:default"]["standstill"] == true
    })
    .await;
    assert!(simulator.member("m0@example.com").is_some());
    assert_eq!(status(address, &people[0]).await, "removing");
    succeed(&mut bridge(&folder, &["resume", "--by", "ann"]));
    until("removed", async || simulator.member("m0@example.com").is_none()).await;
}

#[tokio::test]
async fn a_key_in_a_file_is_exchanged_while_the_program_runs_and_alarms_say_so() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    let receiver = Receiver::start().await;
    settings(&folder, &format!("[alarms]\nurl = \"{}\"\nsecret_env = \"HOOK\"\n", receiver.url()));
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-admin-simulator\n").unwrap();
    let mut command = serve(&folder, upstream);
    command.env_remove("OPENAI_ADMIN_KEY").env("OPENAI_ADMIN_KEY_FILE", &key).env("HOOK", "hook-secret");
    let (serving, address) = Running::serve(&mut command).await;
    let jane = create(address, "jane@example.com").await;
    until("invited", async || status(address, &jane).await == "invited").await;

    simulator.revoke_key("sk-admin-simulator").unwrap();
    let john = create(address, "john@example.com").await;
    deactivate(address, &jane).await;
    let raised = tokio::time::timeout(PATIENCE, receiver.next()).await.unwrap();
    let told: Value = serde_json::from_str(&raised.body).unwrap();
    assert_eq!(
        (&told["type"], &told["data"]["cause"]),
        (&json!("alarm.raised"), &json!("key.refused")),
        "{told}"
    );
    raised.accept().await;
    let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
    let detail = &ready["details"]["upstream:default"];
    assert!(
        detail["key"].as_str().unwrap().contains("401") && detail["oldest_removal_since"].is_string(),
        "{ready}"
    );
    let budget = &detail["calls"]["create_invite"];
    assert!(
        budget["per_minute"].is_u64() && budget["left_now"].is_f64() && budget["waiting"].is_u64(),
        "{ready}"
    );
    assert_eq!(status(address, &john).await, "pending");

    simulator.seed_admin_key("sk-admin-second", false);
    std::fs::write(&key, "sk-admin-second\n").unwrap();
    serving.signal("HUP");
    until("invited", async || status(address, &john).await == "invited").await;
    until("withdrawn", async || status(address, &jane).await == "parked").await;
    let cleared = tokio::time::timeout(PATIENCE, receiver.next()).await.unwrap();
    let told: Value = serde_json::from_str(&cleared.body).unwrap();
    assert_eq!(
        (&told["type"], &told["data"]["cause"]),
        (&json!("alarm.cleared"), &json!("key.refused")),
        "{told}"
    );
    cleared.accept().await;
    assert!(!serving.stderr().contains("sk-admin-"), "no key in the log");
}

#[tokio::test]
async fn a_database_put_back_from_a_backup_changes_nothing_until_somebody_has_looked() {
    let (folder, (simulator, upstream)) = (folder(), upstream().await);
    settings(&folder, "");
    let mut command = serve(&folder, upstream);
    let (serving, address) = Running::serve(&mut command).await;
    create(address, "jane@example.com").await;
    until("invited", async || !simulator.pending_invites("jane@example.com").is_empty()).await;
    succeed(&mut bridge(&folder, &["db", "backup", "old.db"]));
    create(address, "john@example.com").await;
    until("invited", async || !simulator.pending_invites("john@example.com").is_empty()).await;
    serving.ask_to_stop();
    serving.ended().await;
    for file in ["scim-bridge.db-wal", "scim-bridge.db-shm"] {
        let _gone = std::fs::remove_file(folder.path().join(file)).is_ok();
    }
    std::fs::copy(folder.path().join("old.db"), folder.path().join("scim-bridge.db")).unwrap();

    let (_serving, address) = Running::serve(&mut command).await;
    let kim = create(address, "kim@example.com").await;
    until("degraded", async || {
        let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
        ready["details"]["upstream:default"]["standstill"] == true
    })
    .await;
    assert_eq!(status(address, &kim).await, "pending");
    assert!(simulator.pending_invites("kim@example.com").is_empty());
    succeed(&mut bridge(&folder, &["resume", "--by", "ann", "--reason", "a drill"]));
    until("invited", async || status(address, &kim).await == "invited").await;
}
