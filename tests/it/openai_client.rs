//! The stand-in against the official Python client, which also validates its answers against OpenAI's description.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{Options, Simulator};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_official_client_can_use_every_operation() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = interpreter(&root) else {
        assert!(!is_set("CI"), "CI must run the official client: set SCIM_BRIDGE_TEST_PYTHON or make .venv");
        announce(
            "the official OpenAI client was NOT run: no SCIM_BRIDGE_TEST_PYTHON and no .venv (./test makes it)",
        );
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = tokio::spawn({
        let (simulator, stop) = (Simulator::new(Options::default(), Clock::system()), stop.clone());
        async move { simulator.serve(listener, stop.cancelled_owned()).await }
    });
    let mut script = Command::new(python);
    script.arg(root.join("tests/openai_client/test_admin.py")).env("SIMULATOR_URL", url).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || script.output()).await.unwrap().unwrap();
    stop.cancel();
    server.await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    if told.contains("NOT validated") {
        announce("answers were NOT validated: OPENAI_ADMIN_OPENAPI names no API description");
    }
}

/// The Python that has the official client.
fn interpreter(root: &Path) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test script tells tests their tools by the environment"
    )]
    let named = std::env::var("SCIM_BRIDGE_TEST_PYTHON").ok().filter(|path| !path.is_empty());
    let local = root.join(".venv/bin/python");
    named.map(PathBuf::from).or_else(|| local.is_file().then_some(local))
}

fn is_set(name: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "CI is told by the environment")]
    let value = std::env::var(name);
    value.is_ok_and(|value| value == "true")
}

/// Tells something that must not go unnoticed: past the test harness, which keeps what a passing test prints.
fn announce(message: &str) {
    let bar = "!".repeat(100);
    std::io::stderr().write_all(format!("\n{bar}\n{message}\n{bar}\n").as_bytes()).unwrap();
}
