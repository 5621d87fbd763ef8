//! The `scim-bridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    openai_scim_bridge::cli::run()
}
