//! Tools written in Python: the interpreter that has them, and what happens when there is none.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The interpreter with the pinned tools: `SCIM_BRIDGE_TEST_PYTHON`, or the one in `.venv`, which `./test` makes.
/// Without one the test is left out, loudly; under `CI=true` it fails.
pub(crate) fn interpreter(what_is_left_out: &str) -> Option<PathBuf> {
    let named = variable("SCIM_BRIDGE_TEST_PYTHON").filter(|path| !path.is_empty()).map(PathBuf::from);
    let local = || Some(root().join(".venv/bin/python")).filter(|path| path.is_file());
    let found = named.or_else(local);
    if found.is_none() {
        let message = format!(
            "{what_is_left_out} was NOT run: no SCIM_BRIDGE_TEST_PYTHON and no .venv (./test makes it)"
        );
        assert_ne!(variable("CI").as_deref(), Some("true"), "{message}");
        announce(&message);
    }
    found
}

/// A script below `tests/`, to be run with this interpreter.
pub(crate) fn script(interpreter: &Path, path: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(root().join("tests").join(path)).stdin(Stdio::null());
    command
}

/// Runs a command to its end beside the test's own tasks.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("Python can be started")
}

/// Tells something that must not go unnoticed: past the test harness, which keeps what a passing test prints.
pub(crate) fn announce(message: &str) {
    let bar = "!".repeat(100);
    tell(&format!("\n{bar}\n{message}\n{bar}"));
}

/// Prints a line past the test harness.
pub(crate) fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test script tells tests their tools by the environment"
    )]
    std::env::var(name).ok()
}
