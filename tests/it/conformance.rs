//! The real program against conformance tools that others wrote.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::program::{Running, TOKEN, folder, serving};
use crate::harness::python::{self, tell};
use crate::harness::standin::upstream;

/// scim2-tester looks at every attribute that a schema offers, so a thinner schema passes fewer checks than this.
const SCIM2_TESTER_CHECKS: usize = 149;
/// scim-sanity's steps through the lives of a user and a group, with discovery, search and errors.
const SCIM_SANITY_CHECKS: usize = 28;

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
    let statuses = statuses(&told);
    let passed = statuses.iter().filter(|status| **status == "SUCCESS").count();
    assert_eq!(passed, statuses.len(), "errors, or checks left out: {told}");
    assert!(passed >= SCIM2_TESTER_CHECKS, "{passed} checks: {told}{output:?}");
    tell(&format!("scim2-tester: {passed} checks passed, 0 errors"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scim_sanity_finds_no_failures() {
    let Some(mut command) = python::script("tests/conformance/sanity.py") else { return };
    let subject = Subject::start().await;
    command.args(["probe", &subject.url(), "--token", TOKEN]);
    command.args(["--strict", "--json-output", "--i-accept-side-effects"]);
    let output = python::run(command).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let results = report["results"].as_array().unwrap();
    let of = |status: &str| results.iter().filter(|result| result["status"] == status).collect::<Vec<_>>();
    let (passed, skipped) = (of("pass"), of("skip"));
    let failed: Vec<_> =
        results.iter().filter(|result| !passed.contains(result) && !skipped.contains(result)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(passed.len() >= SCIM_SANITY_CHECKS, "{report:#}");
    tell(&format!("scim-sanity: {} checks passed, 0 failures, {} skipped", passed.len(), skipped.len()));
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

/// How each check of scim2-tester's report ended: the first word of every line that is not indented.
fn statuses(report: &str) -> Vec<&str> {
    let lines = report.lines().skip_while(|line| !line.starts_with("Performing")).skip(1);
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(status, _)| status)
        .filter(|status| !status.is_empty() && status.chars().all(|letter| letter.is_ascii_uppercase()))
        .collect()
}
