//! `scim-bridge simulate`: the stand-in for the OpenAI administration API, alone.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::out;
use crate::app;
use crate::clock::Clock;
use crate::simulator::{LimiterOptions, Options, Simulator};

#[derive(Debug, Args)]
#[command(
    after_help = "The API is under /v1, the control calls (accept an invite, move the clock, inject faults) \
    are under /control and take no key.\n\n\
    Examples:\n  \
    scim-bridge simulate --no-limits\n  \
    OPENAI_BASE_URL=http://127.0.0.1:8090/v1 OPENAI_ADMIN_KEY=sk-admin-simulator scim-bridge serve\n  \
    curl http://127.0.0.1:8090/control/invites/accept -d '{\"invite\":\"jane@example.com\"}'"
)]
pub(super) struct Simulate {
    /// Where to listen; keep it on this machine, because the control calls ask for no key
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Every switch of the stand-in, as a JSON file; what it leaves out stays as documented by OpenAI
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Requests that pass in 60 seconds, per method and path template
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_limits")]
    requests_per_minute: Option<u32>,
    /// Let every request pass
    #[arg(long)]
    no_limits: bool,
}

impl Simulate {
    /// Runs until it is told to stop.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let options = self.options()?;
        let key = options.admin_keys.first().cloned().unwrap_or_default();
        let listener = app::listen(self.listen).await?;
        let address = listener.local_addr()?;
        let stop = app::stop_signal()?;
        out::print(format!("The stand-in for OpenAI is at http://{address}/v1, admin key {key}"))?;
        out::print(format!("Control calls are at http://{address}/control; stop it with Ctrl-C"))?;
        Simulator::new(options, Clock::system()).serve(listener, stop).await?;
        Ok(())
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut options = match &self.options {
            None => Options::default(),
            Some(path) => {
                let text =
                    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_str(&text).with_context(|| format!("cannot use {}", path.display()))?
            }
        };
        if let Some(requests) = self.requests_per_minute {
            options.limiter =
                LimiterOptions { enabled: true, requests, window_seconds: 60, ..options.limiter };
        }
        options.limiter.enabled &= !self.no_limits;
        Ok(options)
    }
}
