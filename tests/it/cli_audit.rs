//! The audit trail at the command line, on the real program.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::harness::database::connect;
use crate::harness::program::{Running, create, fail, folder, program, serving, succeed};
use crate::harness::standin::upstream;

#[tokio::test]
async fn the_trail_is_shown_exported_and_checked() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (_serving, address) = Running::serve(&mut serving(folder.path(), upstream)).await;
    for name in ["jane@example.com", "john@example.com"] {
        create(address, name).await;
    }
    let bridge = |args: &[&str]| {
        let mut command = program(folder.path());
        command.arg("audit").args(args);
        command
    };

    let list = |args: &[&str]| -> Vec<Value> {
        let shown = succeed(bridge(&["list", "--json"]).args(args));
        serde_json::from_str(&shown).unwrap()
    };
    let of_jane = list(&["--person", "jane@example.com"]);
    assert_eq!(of_jane[0]["event"], "user.create");
    assert!(of_jane[0]["actor"].as_str().unwrap().starts_with("token:"));
    assert!(of_jane.iter().all(|entry| entry["person"] == of_jane[0]["person"]));
    let newest = list(&["--limit", "1"]);
    assert_eq!(newest.len(), 1);
    assert_eq!(list(&["--limit", "1", "--person", "jane@example.com"])[0], of_jane[of_jane.len() - 1]);
    let table = succeed(&mut bridge(&["list"]));
    assert!(table.starts_with("NUMBER") && table.contains("user.create"), "{table}");

    succeed(&mut bridge(&["export", "--output", "trail.jsonl"]));
    let exported = std::fs::read_to_string(folder.path().join("trail.jsonl")).unwrap();
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["seq"], 1);
    for pair in lines.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["previous"]);
    }

    let sound = succeed(&mut bridge(&["verify"]));
    let (_, head) = sound.trim_end().split_once("; head ").unwrap();
    succeed(&mut bridge(&["verify", "--tenant", "default", "--head", head]));
    let report: Value = serde_json::from_str(&succeed(&mut bridge(&["verify", "--json"]))).unwrap();
    assert_eq!(report[0]["sound"], json!(true));
    fail(&mut bridge(&["verify", "--tenant", "default", "--head", "17"]), 2);

    let url = format!("sqlite://{}", folder.path().join("scim-bridge.db").display());
    let mut connection = connect(&url).await;
    let script = "UPDATE audit SET actor = 'token:somebody' WHERE seq = 2".to_owned();
    connection.execute(AssertSqlSafe(script)).await.unwrap();
    connection.close().await.unwrap();
    let told = fail(&mut bridge(&["verify"]), 1);
    assert!(told.contains("tenant `default` is broken at entry 2"), "{told}");
    fail(&mut bridge(&["verify", "--json"]), 1);
}
