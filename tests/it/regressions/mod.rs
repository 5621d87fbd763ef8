//! What went wrong in other people's products: each published advisory or report of its kind, tried on ours.
//!
//! A case is named by the first line of its test's comment: `/// R11, CVE-2026-35030: …`. What cannot be tried yet
//! stands in [`OPEN`]; the two together are all of them.

mod credentials;
mod doors;
mod framing;
mod identity;
mod protocol;
mod removal;

use std::collections::BTreeMap;
use std::path::Path;

use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::simulator::{Entry, Simulator};
use serde_json::Value;

use crate::harness::bridge::TestBridge;
use crate::harness::database::Database;
use crate::harness::stage::Stage;
use crate::harness::standin;

/// The schema of what OpenAI knows of a user.
const OPENAI: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

/// How many cases there are.
const CASES: u32 = 56;

#[test]
fn every_case_is_tried() {
    let mut told: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/regressions");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(case) = line.strip_prefix("/// R") else { continue };
            let Some((number, _)) = case.split_once(", ") else { continue };
            let code = lines[at..].iter().find(|line| !line.starts_with("///")).unwrap();
            assert!(matches!(*code, "#[test]" | "#[tokio::test]"), "{line} is not above a test");
            told.entry(number.parse().unwrap()).or_default().push((*line).to_owned());
        }
    }
    for number in 1..=CASES {
        assert_eq!(told.get(&number).map_or(0, Vec::len), 1, "R{number}: {:?}", told.get(&number));
    }
    assert_eq!(told.len(), usize::try_from(CASES).unwrap());
}

/// A whole bridge in front of an organization that was prepared.
async fn stage(policy: Policy, prepare: impl FnOnce(&Simulator)) -> Stage {
    let database = Database::sqlite();
    let simulator = Simulator::new(standin::unlimited(), database.clock.clone());
    prepare(&simulator);
    Stage::new(database, policy, simulator).await
}

/// A bridge with two tenants.
async fn two_tenants() -> TestBridge {
    TestBridge::builder().tenant("acme").start().await
}

fn path_of(collection: &str, resource: &Value) -> String {
    format!("{collection}/{}", resource["id"].as_str().unwrap())
}

/// `METHOD path` of each call.
fn calls(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {}", entry.method, entry.path)).collect()
}
