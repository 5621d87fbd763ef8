//! Tokens and clients at the command line, while the bridge serves.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::program::{Running, access_token, call_as, fail, folder, program, serving, succeed};
use crate::harness::standin::upstream;

fn listed(folder: &Path, what: &str) -> Value {
    serde_json::from_str(&succeed(program(folder).args([what, "list", "--json"]))).unwrap()
}

async fn status(address: SocketAddr, token: &str) -> u16 {
    call_as(token, address, "GET", "/scim/v2/Users", None).await.unwrap().status
}

#[tokio::test]
async fn a_token_is_exchanged_without_an_outage() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let folder = folder.path();
    let (_serving, address) = Running::serve(&mut serving(folder, upstream)).await;
    let rotate = |step: &str, id: &str| {
        let mut command = program(folder);
        command.args(["token", "rotate", step, id]);
        command
    };
    let old = succeed(program(folder).args(["token", "create", "--label", "okta", "--expires", "20d"]));
    let old_id = listed(folder, "token")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed(folder, "token")[0]["stops_soon"], true);
    assert!(fail(&mut rotate("complete", &old_id), 1).contains("rotate start"));

    let new = succeed(&mut rotate("start", &old_id));
    let tokens = listed(folder, "token");
    let made = tokens.as_array().unwrap().iter().find(|token| token["replaces"] == json!(old_id)).unwrap();
    let new_id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((&made["label"], &made["scopes"]), (&tokens[0]["label"], &tokens[0]["scopes"]));
    let table = succeed(program(folder).args(["token", "list"]));
    assert!(table.contains(&format!("being replaced by {new_id}")), "{table}");
    assert!(table.contains(&format!("replaces {old_id}")), "{table}");
    assert!(fail(&mut rotate("start", &old_id), 1).contains("already"));
    assert!(fail(&mut rotate("complete", &old_id), 1).contains("nobody has used"));
    assert_eq!(status(address, old.trim()).await, 200);
    assert_eq!(status(address, new.trim()).await, 200);

    // The use is noted off the request's path.
    loop {
        let tokens = listed(folder, "token");
        let new = tokens.as_array().unwrap().iter().find(|token| token["id"] == json!(new_id)).unwrap();
        if !new["last_used_at"].is_null() {
            break;
        }
    }
    succeed(&mut rotate("complete", &new_id));
    assert_eq!(listed(folder, "token")[0]["state"], "revoked");
    assert_eq!(status(address, new.trim()).await, 200);

    succeed(&mut rotate("start", &new_id));
    succeed(&mut rotate("cancel", &new_id));
    assert_eq!(status(address, new.trim()).await, 200);
    let working = listed(folder, "token");
    let working = working.as_array().unwrap().iter().filter(|token| token["state"] == "working").count();
    assert_eq!(working, 1);
}

#[tokio::test]
async fn a_client_is_made_shown_once_used_and_removed() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let folder = folder.path();
    let settings = folder.join("bridge.toml");
    std::fs::write(&settings, "[auth]\noauth = true\n").unwrap();
    let mut command = serving(folder, upstream);
    let (_serving, address) = Running::serve(command.env("SCIM_BRIDGE_CONFIG", &settings)).await;

    let made = succeed(program(folder).args(["client", "add", "--label", "okta", "--json"]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let shown = listed(folder, "client");
    assert_eq!((&shown[0]["client_id"], &shown[0]["proof"]), (&json!(id), &json!("secret")));
    assert!(!shown.to_string().contains(secret));

    let token = access_token(address, id, secret).await;
    assert_eq!(status(address, &token).await, 200);
    succeed(program(folder).args(["client", "remove", id]));
    assert_eq!(status(address, &token).await, 401);
    assert!(fail(program(folder).args(["client", "remove", id]), 1).contains("no client"));

    let keys = folder.join("keys.json");
    std::fs::write(&keys, json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }).to_string()).unwrap();
    let told = fail(program(folder).args(["client", "add", "--keys"]).arg(&keys), 1);
    assert!(told.contains("cannot be used"), "{told}");
}
