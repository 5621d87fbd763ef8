//! The real program against conformance tools that others wrote.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::program::{Running, TOKEN, folder, serving};
use crate::harness::python::{self, tell};
use crate::harness::standin::upstream;

/// scim2-tester looks at every attribute that a schema offers, so a thinner schema passes fewer checks than this.
const SCIM2_TESTER_CHECKS: usize = 144;
/// scim-sanity's steps through the lives of a user and a group, with discovery, search and errors.
const SCIM_SANITY_CHECKS: usize = 25;

/// What scim2-tester takes for errors and are none, by the check's name and the first words of its finding. It compares
/// complex values as a whole with what it sent, and does not allow for what is the server's to say: how far a user is,
/// in our extension (RFC 7643 §7, `readOnly`), and the name of a member, which is that of the user (RFC 7643 §2.4,
/// `display`).
const EXPECTED: [(&str, &str); 5] = [
    (
        "check_add_attribute",
        "PATCH modify() returned unexpected value for 'urn:ietf:params:scim:schemas:extension:openai:2.0:User'.",
    ),
    (
        "check_replace_attribute",
        "PATCH modify() returned unexpected value for 'urn:ietf:params:scim:schemas:extension:openai:2.0:User'.",
    ),
    (
        "check_remove_attribute",
        "PATCH modify() did not remove attribute 'urn:ietf:params:scim:schemas:extension:openai:2.0:User'",
    ),
    ("check_add_attribute", "Attribute 'members' was not added or has unexpected value"),
    ("check_replace_attribute", "Attribute 'members' was not replaced or has unexpected value"),
];
/// What scim-sanity takes for a failure and is none, by the check's name, its message, and the RFC line that decides.
const EXPECTED_OF_SANITY: [(&str, &str, &str); 3] = [
    (
        "PATCH /Groups/{id}",
        "Expected HTTP 200, got 204 (RFC 7644 §3.3); Response body is empty",
        "RFC 7644 §3.5.2: the answer to a PATCH is 200 with the resource or 204 without; a group of 100,000 members is \
         not sent back for one change",
    ),
    (
        "PATCH /Groups/{id} add member",
        "Expected 200, got 400",
        "RFC 7643 §4.2: a member is a resource of this server by its id; `fake-member-id` is none, and answering \
         success for access that nobody can get would be a promise not kept",
    ),
    ("PATCH /Groups/{id} remove members", "Expected 200, got 204", "RFC 7644 §3.5.2: as above"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scim2_tester_finds_no_errors() {
    let Some(mut command) = python::script("tests/conformance/scim2.py") else { return };
    let subject = Subject::start().await;
    command
        .args(["--url", &subject.url(), "test"])
        .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {TOKEN}"))
        .env("PROJECT", &subject.project);
    let output = python::run(command).await;
    let told = String::from_utf8_lossy(&output.stdout);
    let findings = findings(&told);
    let of = |status: &str| findings.iter().filter(|found| found.status == status).collect::<Vec<_>>();
    let (passed, skipped) = (of("SUCCESS"), of("SKIPPED"));
    let mut errors = of("ERROR");
    for (check, words) in EXPECTED {
        let found = errors.iter().position(|error| error.check == check && error.words == words);
        errors.remove(found.unwrap_or_else(|| panic!("{check} no longer finds {words}: {told}")));
    }
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(skipped.is_empty(), "{skipped:#?}");
    assert_eq!(passed.len() + EXPECTED.len() + skipped.len(), findings.len(), "another status: {told}");
    assert!(passed.len() >= SCIM2_TESTER_CHECKS, "{} checks: {told}{output:?}", passed.len());
    tell(&format!(
        "scim2-tester: {} checks passed, {} excluded, {} skipped",
        passed.len(),
        EXPECTED.len(),
        skipped.len()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scim_sanity_finds_no_failures() {
    let Some(mut command) = python::module("scim_sanity") else { return };
    let subject = Subject::start().await;
    command.args(["probe", &subject.url(), "--token", TOKEN]);
    command.args(["--strict", "--json-output", "--i-accept-side-effects"]);
    let output = python::run(command).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let results = report["results"].as_array().unwrap();
    let of = |status: &str| results.iter().filter(|result| result["status"] == status).collect::<Vec<_>>();
    let (passed, skipped) = (of("pass"), of("skip"));
    let mut failed: Vec<_> =
        results.iter().filter(|result| !passed.contains(result) && !skipped.contains(result)).collect();
    for (check, message, line) in EXPECTED_OF_SANITY {
        let found = failed.iter().position(|result| result["name"] == check && result["message"] == message);
        failed.remove(
            found.unwrap_or_else(|| panic!("{check} no longer finds {message} ({line}): {report:#}")),
        );
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(passed.len() >= SCIM_SANITY_CHECKS, "{report:#}");
    tell(&format!(
        "scim-sanity: {} checks passed, {} excluded, {} skipped",
        passed.len(),
        EXPECTED_OF_SANITY.len(),
        skipped.len()
    ));
}

/// The program, served from an empty SQLite file against a stand-in.
struct Subject {
    address: SocketAddr,
    /// A project that exists upstream.
    project: String,
    _program: Running,
    _folder: TempDir,
}

impl Subject {
    async fn start() -> Self {
        let (folder, (simulator, upstream)) = (folder(), upstream().await);
        let project = simulator.seed_project("Conformance");
        let (program, address) = Self::serve(folder.path(), upstream).await;
        Self { address, project, _program: program, _folder: folder }
    }

    async fn serve(folder: &Path, upstream: SocketAddr) -> (Running, SocketAddr) {
        std::fs::write(folder.join("settings.toml"), "[upstream]\nrequests_per_minute = 60000\n").unwrap();
        Running::serve(serving(folder, upstream).args(["--config", "settings.toml"])).await
    }

    fn url(&self) -> String {
        format!("http://{}/scim/v2", self.address)
    }
}

/// One line of scim2-tester's report, with the first of the indented ones that explain it.
#[derive(Debug)]
struct Finding<'a> {
    status: &'a str,
    check: &'a str,
    words: &'a str,
}

fn findings(report: &str) -> Vec<Finding<'_>> {
    let lines: Vec<_> = report.lines().skip_while(|line| !line.starts_with("Performing")).skip(1).collect();
    let is_finding = |line: &str| {
        line.split_once(' ')
            .is_some_and(|(status, _)| status.chars().all(|letter| letter.is_ascii_uppercase()))
            && !line.starts_with(' ')
    };
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| is_finding(line))
        .map(|(number, line)| {
            let (status, check) = line.split_once(' ').unwrap();
            let words = lines.get(number + 1).and_then(|next| next.strip_prefix("  ")).unwrap_or_default();
            Finding { status, check, words }
        })
        .collect()
}
