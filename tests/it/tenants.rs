//! Tenants that come and go while the real program serves, and what it refuses to serve.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{Options, Simulator};
use serde_json::{Value, json};

use crate::harness::program::{
    Running, access_token, call, call_as, fail, folder, program, serving, succeed,
};
use crate::harness::standin;
use crate::scim_tls;

const MASTER_KEY: &str = "8f1d4c3b2a19080706050403020100ff8f1d4c3b2a19080706050403020100ff";
const OTHER_KEY: &str = "sk-admin-of-acme";

/// A stand-in that takes the keys of two organizations.
async fn upstream() -> (Simulator, SocketAddr) {
    let options = Options {
        admin_keys: vec!["sk-admin-simulator".to_owned(), OTHER_KEY.to_owned()],
        ..Options::default()
    };
    let simulator = Simulator::new(options, Clock::system());
    let (address, _task) = standin::serve(&simulator).await;
    (simulator, address)
}

/// `scim-bridge` beside a server, with the master key.
fn beside(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(folder);
    command.args(arguments).env("SCIM_BRIDGE_MASTER_KEY", MASTER_KEY);
    command
}

/// Runs a command with this on standard input; tells everything it printed.
fn with_input(command: &mut Command, input: &str) -> String {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = [output.stdout, output.stderr].concat();
    let shown = String::from_utf8(shown).unwrap();
    assert!(output.status.success(), "{shown}");
    shown
}

/// Asks until the answer has this status.
async fn until(status: u16, token: &str, address: SocketAddr, path: &str) -> Value {
    loop {
        let answer = call_as(token, address, "GET", path, None).await.unwrap();
        if answer.status == status {
            return answer.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn user(address: &str) -> Value {
    json!({ "userName": address, "emails": [{ "value": address, "primary": true }], "active": true })
}

#[tokio::test]
async fn a_tenant_of_the_database_lives_while_the_bridge_serves_and_its_key_is_shown_nowhere() {
    let folder = folder();
    let (simulator, upstream) = upstream().await;
    let mut command = serving(folder.path(), upstream);
    let (serving, address) = Running::serve(command.env("SCIM_BRIDGE_MASTER_KEY", MASTER_KEY)).await;

    let mut shown = with_input(
        &mut beside(folder.path(), &["tenant", "add", "acme", "--profile", "okta", "--key-stdin"]),
        &format!("{OTHER_KEY}\n"),
    );
    let url = format!("upstream.base_url=http://{upstream}/v1");
    succeed(&mut beside(folder.path(), &["tenant", "set", "acme", &url, "safety.min_owners=3"]));
    let token = succeed(&mut beside(folder.path(), &["token", "create", "--tenant", "acme"]));
    let token = token.trim();
    let users = "/tenants/acme/scim/v2/Users";
    until(200, token, address, users).await;
    let jane = user("jane@x.example");
    let jane = call_as(token, address, "POST", users, Some(&jane)).await.unwrap().expect(201);
    simulator.until(|simulator| simulator.calls("POST", "/organization/invites") == 1).await;
    call(address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);
    let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
    assert_eq!(ready["components"]["upstream:acme"], "ok", "{ready}");

    let listings: [&[&str]; 3] =
        [&["tenant", "list"], &["tenant", "list", "--json"], &["tenant", "show", "acme"]];
    for arguments in listings {
        shown += &succeed(&mut beside(folder.path(), arguments));
    }
    assert!(
        shown.contains("min_owners = 3") && shown.contains("database") && shown.contains("okta"),
        "{shown}"
    );

    let mut doctor = beside(folder.path(), &["doctor"]);
    // The stand-in must be able to answer it meanwhile.
    let looked = tokio::task::spawn_blocking(move || succeed(&mut doctor)).await.unwrap();
    assert!(looked.contains("answers and takes the key") && !looked.contains("WRONG"), "{looked}");
    let judged = fail(&mut beside(folder.path(), &["doctor", "--ipsie"]), 1);
    assert!(judged.contains("not met"), "{judged}");
    let mut without_master_key = program(folder.path());
    let told = fail(without_master_key.arg("doctor"), 1);
    assert!(told.contains("something is wrong"), "{told}");
    shown += &(looked + &judged + &told);

    let told = fail(&mut beside(folder.path(), &["tenant", "remove", "acme", "--yes"]), 1);
    assert!(told.contains("tenant disable acme"), "{told}");
    succeed(&mut beside(folder.path(), &["tenant", "disable", "acme"]));
    until(401, token, address, users).await;
    call(address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);
    succeed(&mut beside(folder.path(), &["tenant", "enable", "acme"]));
    let found = until(200, token, address, users).await;
    assert_eq!(found["Resources"][0]["id"], jane["id"], "nothing is lost");

    succeed(&mut beside(folder.path(), &["tenant", "disable", "acme"]));
    let told = fail(&mut beside(folder.path(), &["tenant", "remove", "acme"]), 1);
    assert!(told.contains("--yes"), "{told}");
    succeed(&mut beside(folder.path(), &["tenant", "remove", "acme", "--yes"]));
    until(401, token, address, users).await;
    let told = fail(&mut beside(folder.path(), &["token", "list", "--tenant", "acme"]), 1);
    assert!(told.contains("no tenant `acme`"), "{told}");

    serving.ask_to_stop();
    let (status, stdout, log) = serving.ended().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("tenant acme is served from now on"), "{log}");
    let kept = std::fs::read(folder.path().join("scim-bridge.db")).unwrap();
    let kept = String::from_utf8_lossy(&kept);
    for (place, text) in [("output", &*shown), ("stdout", &stdout), ("log", &log), ("database", &kept)] {
        assert!(!text.contains(OTHER_KEY) && !text.contains(MASTER_KEY), "a key is in the {place}");
    }
}

#[tokio::test]
async fn a_bridge_whose_tenants_are_all_in_the_database_starts_without_another_key() {
    let folder = folder();
    let (_simulator, upstream) = upstream().await;
    let url = format!("upstream.base_url=http://{upstream}/v1");
    with_input(&mut beside(folder.path(), &["tenant", "add", "acme", "--key-stdin", &url]), OTHER_KEY);
    let token = succeed(&mut beside(folder.path(), &["token", "create", "--tenant", "acme"]));
    let mut command = beside(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    let (serving, address) = Running::serve(&mut command).await;
    let answer = call_as(token.trim(), address, "GET", "/tenants/acme/scim/v2/Users", None).await.unwrap();
    answer.expect(200);
    drop(serving);

    let mut without = program(folder.path());
    let (_serving, address) =
        Running::serve(without.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])).await;
    let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
    assert_eq!(ready["components"]["tenant:acme"], "degraded", "{ready}");
    let list = succeed(program(folder.path()).args(["tenant", "list"]));
    assert!(list.contains("SCIM_BRIDGE_MASTER_KEY"), "{list}");
}

#[tokio::test]
async fn tenants_in_a_folder_come_and_go_with_their_files_and_a_mistake_changes_nothing() {
    let folder = folder();
    let (_simulator, upstream) = upstream().await;
    let tenants = folder.path().join("tenants.d");
    std::fs::create_dir(&tenants).unwrap();
    let text = "[upstream]\nadmin_key_env = \"ACME_KEY\"\n";
    std::fs::write(tenants.join("acme.toml"), text).unwrap();
    let mut command = serving(folder.path(), upstream);
    command.env("SCIM_BRIDGE_TENANTS_DIR", "tenants.d").env("ACME_KEY", OTHER_KEY);
    let (serving, address) = Running::serve(&mut command).await;
    let token = |tenant: &str| {
        let mut command = program(folder.path());
        command.args(["token", "create", "--tenant", tenant]);
        command.env("SCIM_BRIDGE_TENANTS_DIR", "tenants.d").env("ACME_KEY", OTHER_KEY);
        succeed(&mut command).trim().to_owned()
    };
    let acme = token("acme");
    call_as(&acme, address, "GET", "/tenants/acme/scim/v2/Users", None).await.unwrap().expect(200);

    std::fs::write(tenants.join("beta.toml"), text).unwrap();
    let beta = token("beta");
    until(200, &beta, address, "/tenants/beta/scim/v2/Users").await;
    std::fs::write(tenants.join("gamma.toml"), "[upstream]\nadmin_key_envy = \"X\"\n").unwrap();
    std::fs::remove_file(tenants.join("beta.toml")).unwrap();
    serving.signal("HUP");
    serving.until_logged("the settings have a mistake").await;
    call_as(&beta, address, "GET", "/tenants/beta/scim/v2/Users", None).await.unwrap().expect(200);
    std::fs::remove_file(tenants.join("gamma.toml")).unwrap();
    until(401, &beta, address, "/tenants/beta/scim/v2/Users").await;
    call_as(&acme, address, "GET", "/tenants/acme/scim/v2/Users", None).await.unwrap().expect(200);
    let log = serving.stderr();
    assert_eq!(log.matches("tenant acme is served").count(), 0, "acme was never started anew: {log}");
}

#[tokio::test]
async fn clear_text_beyond_this_machine_needs_to_be_said() {
    let folder = folder();
    let (_simulator, upstream) = upstream().await;
    let everywhere = || {
        let mut command = program(folder.path());
        command.args(["serve", "--listen", "0.0.0.0:0", "--log-format", "json"]);
        command.env("OPENAI_ADMIN_KEY", "k").env("OPENAI_BASE_URL", format!("http://{upstream}/v1"));
        command
    };
    let told = fail(&mut everywhere(), 1);
    assert!(told.contains("insecure_http = true") && told.contains("tls_certificate_file"), "{told}");
    assert!(!folder.path().join("scim-bridge.db").exists(), "nothing was made");
    let (serving, _) = Running::serve(everywhere().env("SCIM_BRIDGE_INSECURE_HTTP", "true")).await;
    serving.until_logged("without TLS").await;
}

#[tokio::test]
async fn https_is_served_from_files_and_a_new_certificate_is_taken_up_by_itself() {
    let folder = folder();
    let (_simulator, upstream) = upstream().await;
    let authority = scim_tls::authority();
    let files = scim_tls::Files::of(&scim_tls::identity(&authority, "first", &["scim.example.com"]));
    let mut command = serving(folder.path(), upstream);
    command.env("SCIM_BRIDGE_TLS_CERTIFICATE_FILE", &files.certificate);
    let told = fail(&mut command, 1);
    assert!(told.contains("needs tls_key_file"), "{told}");
    let (serving, address) = Running::serve(command.env("SCIM_BRIDGE_TLS_KEY_FILE", &files.key)).await;
    let (answer, first) = scim_tls::get(address, &authority, None, "/readyz", "").await.unwrap();
    answer.expect(200);
    files.write(&scim_tls::identity(&authority, "second", &["scim.example.com"]));
    serving.until_logged("the certificate was read anew").await;
    let (_, second) = scim_tls::get(address, &authority, None, "/readyz", "").await.unwrap();
    assert_ne!(first, second);
}

/// Asks a listener for something that is open to all.
async fn open_to_all(address: SocketAddr, path: &str) -> u16 {
    call(address, "GET", path, None).await.unwrap().status
}

#[tokio::test]
async fn clients_and_event_feeds_begin_with_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let (_simulator, upstream) = upstream().await;
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, "").unwrap();
    let mut command = serving(folder.path(), upstream);
    let (serving, address) = Running::serve(command.env("SCIM_BRIDGE_CONFIG", &settings)).await;
    for path in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(open_to_all(address, path).await, 404);
    }
    assert_eq!(call(address, "POST", "/scim/v2/Events", Some(&json!({}))).await.unwrap().status, 501);

    let on = "[server]\nmax_connections = 7\n[log]\nfilter = 'debug'\n[auth]\noauth = true\n[events]\nenabled = true\n";
    std::fs::write(&settings, on).unwrap();
    serving.signal("HUP");
    serving.until_logged("tenant default is served from now on").await;
    serving.until_logged("at its start alone: server.max_connections, log.filter").await;
    for path in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(open_to_all(address, path).await, 200);
    }
    let poll = json!({ "returnImmediately": true });
    call(address, "POST", "/scim/v2/Events", Some(&poll)).await.unwrap().expect(200);
    let made = succeed(program(folder.path()).args(["client", "add", "--json"]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let token = access_token(address, id, secret).await;
    call_as(&token, address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);
}

#[tokio::test]
async fn settings_for_which_nothing_can_be_signed_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_simulator, upstream) = upstream().await;
    let settings = folder.path().join("settings.toml");
    let place = "[server]\nsigning_key_file = 'nowhere/key'\n";
    std::fs::write(&settings, place).unwrap();
    let mut command = serving(folder.path(), upstream);
    let (serving, address) = Running::serve(command.env("SCIM_BRIDGE_CONFIG", &settings)).await;
    std::fs::write(&settings, format!("{place}[auth]\noauth = true\n")).unwrap();
    serving.signal("HUP");
    serving.until_logged("the new settings of tenant default cannot be taken up").await;
    serving.until_logged("nowhere/key").await;
    call(address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);
    let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
    assert_eq!(ready["components"]["tenant:default"], "degraded", "{ready}");

    std::fs::create_dir(folder.path().join("nowhere")).unwrap();
    serving.signal("HUP");
    serving.until_logged("tenant default is served from now on").await;
    assert_eq!(open_to_all(address, "/.well-known/jwks.json").await, 200);
    let ready = call(address, "GET", "/readyz", None).await.unwrap().expect(200);
    assert_eq!(ready["components"].get("tenant:default"), None, "{ready}");
}

#[test]
fn no_two_tenants_take_the_same_signed_tokens_wherever_they_are_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let entra = "auth.entra.directory_id=cbb1a5ac-f33b-45fa-9bf5-f37db0fed422";
    let add = |name: &str, setting: &str| {
        let mut command = beside(folder.path(), &["tenant", "add", name, "--key-env", "KEY", setting]);
        command.env("KEY", OTHER_KEY);
        command
    };
    succeed(&mut add("acme", entra));
    let told = fail(&mut add("beta", entra), 1);
    assert!(told.contains("`acme`") && told.contains("`beta`") && told.contains("same tokens"), "{told}");
    succeed(&mut add("beta", "safety.min_owners=3"));
    let told = fail(beside(folder.path(), &["tenant", "set", "beta", entra]).env("KEY", OTHER_KEY), 1);
    assert!(told.contains("same tokens"), "{told}");
    // Those of the settings are judged with those of the database.
    std::fs::write(
        folder.path().join("settings.toml"),
        "[auth.entra]\ndirectory_id = 'cbb1a5ac-f33b-45fa-9bf5-f37db0fed422'\n",
    )
    .unwrap();
    let mut list = beside(folder.path(), &["tenant", "list", "--config", "settings.toml"]);
    let list = succeed(list.env("KEY", OTHER_KEY).env("OPENAI_ADMIN_KEY", OTHER_KEY));
    assert!(list.contains("unusable") && list.contains("same tokens"), "{list}");
}
