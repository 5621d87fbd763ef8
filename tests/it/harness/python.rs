//! The Python that holds the oracles: other people's clients and parsers, pinned in `requirements.txt` files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command that runs `script`, a path within the repository; `None`, said loudly, without an interpreter.
///
/// # Panics
///
/// In CI, where nothing may be left out.
pub(crate) fn script(script: &str) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = interpreter(root) else {
        assert!(!is_set("CI"), "CI must run {script}: set SCIM_BRIDGE_TEST_PYTHON or make .venv");
        announce(&format!("{script} was NOT run: no SCIM_BRIDGE_TEST_PYTHON and no .venv (./test makes it)"));
        return None;
    };
    let mut command = Command::new(python);
    command.arg(root.join(script)).stdin(Stdio::null());
    Some(command)
}

/// Runs a command to its end, beside the test's own tasks.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("Python can be started")
}

fn interpreter(root: &Path) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test script tells tests their tools by the environment"
    )]
    let named = std::env::var("SCIM_BRIDGE_TEST_PYTHON").ok().filter(|path| !path.is_empty());
    let local = root.join(".venv/bin/python");
    named.map(PathBuf::from).or_else(|| local.is_file().then_some(local))
}

pub(crate) fn is_set(name: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "CI is told by the environment")]
    let value = std::env::var(name);
    value.is_ok_and(|value| value == "true")
}

/// Tells something that must not go unnoticed: past the test harness, which keeps what a passing test prints.
pub(crate) fn announce(message: &str) {
    let bar = "!".repeat(100);
    std::io::stderr().write_all(format!("\n{bar}\n{message}\n{bar}\n").as_bytes()).unwrap();
}

/// Prints a line, likewise.
pub(crate) fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}
