//! `scim-bridge demo`: the whole house on one machine, with a stand-in for OpenAI, and a played session.

mod client;
mod payloads;
mod script;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::Door;
use self::script::{Epilogue, Play};
use self::show::Stage;
use crate::app::{self, App};
use crate::cli::{out, token};
use crate::clock::Clock;
use crate::config::{Config, Flags, Sources};
use crate::ids::TenantId;
use crate::model::scope::Scopes;
use crate::simulator::{LimiterOptions, Options, Simulator};
use crate::store::Store;
use crate::telemetry::{self, LogFormat};

/// Where the bridge listens if that is free.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// What the stand-in lets pass in ten seconds, per endpoint: a limit as the real API has one, but for impatient eyes.
const REQUESTS_PER_10_SECONDS: u32 = 30;
/// How often the bridge looks at the whole organization; five minutes in real life.
const RECONCILE_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scim-bridge demo           play the session, then stay up to be tried\n  \
    scim-bridge demo --exit    play the session and end; the exit code says whether all went as told")]
pub(super) struct Demo {
    /// End after the session instead of staying up
    #[arg(long)]
    exit: bool,
    /// Where the bridge listens [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Demo {
    /// Plays the session.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let stop = app::stop_signal()?;
        // The show tells what happens; the log speaks up only if something breaks.
        telemetry::init(LogFormat::Text, "error")?;
        let clock = Clock::system();
        let number = u32::from_be_bytes(clock.random_bytes());
        let folder = Folder(std::env::temp_dir().join(format!("scim-bridge-demo-{number:08x}")));
        let house = House::build(&folder.0, self.listen, &clock).await?;
        let stage = Stage::new();
        house.introduce(&stage)?;

        let mut play = house.play(stage)?;
        tokio::pin!(stop);
        let played = tokio::select! {
            played = play.run() => Some(played),
            () = &mut stop => None,
        };
        let ended = match played {
            Some(Ok(epilogue)) if !self.exit => {
                house.invite_to_try(&play, &epilogue)?;
                stop.await;
                Ok(())
            }
            Some(Ok(_)) => Ok(play.stage.heading("Everything went as told.")?),
            Some(Err(error)) => Err(error.context("the demo went otherwise than told")),
            None => Ok(()),
        };
        house.clear_up().await;
        ended
    }
}

/// The folder of the demo's database; gone when the demo is.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays for the system's own cleaning of temporary files.
        let _removed = fs::remove_dir_all(&self.0).is_ok();
    }
}

/// The stand-in and the bridge, up and running.
struct House {
    app: App,
    store: Store,
    database_url: String,
    scim: Door,
    standin: SocketAddr,
    admin_key: String,
    simulator: JoinHandle<()>,
    stop_simulator: CancellationToken,
}

impl House {
    async fn build(folder: &Path, listen: Option<SocketAddr>, clock: &Clock) -> anyhow::Result<Self> {
        let options = Options {
            limiter: LimiterOptions {
                requests: REQUESTS_PER_10_SECONDS,
                window_seconds: 10,
                ..LimiterOptions::default()
            },
            ..Options::default()
        };
        let admin_key = options.admin_keys.first().cloned().unwrap_or_default();
        let standin_listener = app::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let standin = standin_listener.local_addr()?;
        let stop_simulator = CancellationToken::new();
        let simulator = tokio::spawn({
            let (simulator, stop) = (Simulator::new(options, clock.clone()), stop_simulator.clone());
            async move {
                if let Err(error) = simulator.serve(standin_listener, stop.cancelled_owned()).await {
                    tracing::error!(%error, "the stand-in broke down");
                }
            }
        });

        let listener = listener(listen).await?;
        let database_url = format!("sqlite://{}", folder.join("scim-bridge.db").display());
        let config = settings(&admin_key, standin, &database_url)?;
        let store = Store::open(&database_url, clock.clone()).await?;
        let tenant = TenantId::default_tenant();
        let (token, _) =
            token::issue(&store, clock, tenant.clone(), "demo".to_owned(), Scopes::admin(), None).await?;
        let app = App::start(&config, listener, store.clone(), clock.clone()).await?;
        let scim = Door::new(&app.scim_url(&tenant), token.expose_secret())?;
        Ok(Self { app, store, database_url, scim, standin, admin_key, simulator, stop_simulator })
    }

    fn introduce(&self, stage: &Stage) -> anyhow::Result<()> {
        stage.heading("SCIM bridge for OpenAI: a demo. Nothing leaves this machine.")?;
        stage.label("OpenAI", format!("a stand-in at http://{}/v1,", self.standin))?;
        stage.label("", format!("limited to {REQUESTS_PER_10_SECONDS} requests in 10 s per endpoint"))?;
        stage.label("SCIM", self.scim.base())?;
        stage.label("Database", &self.database_url)?;
        Ok(())
    }

    fn play(&self, stage: Stage) -> anyhow::Result<Play> {
        Ok(Play {
            stage,
            bridge: self.scim.clone(),
            control: Door::new(&format!("http://{}", self.standin), &self.admin_key)?,
            store: self.store.clone(),
            shown: BTreeSet::new(),
        })
    }

    /// What to do with the bridge now that it is there.
    fn invite_to_try(&self, play: &Play, epilogue: &Epilogue) -> anyhow::Result<()> {
        let (stage, address, base, token) =
            (&play.stage, self.app.address(), self.scim.base(), self.scim.token());
        let auth = format!("-H \"Authorization: Bearer {token}\"");
        stage.heading("Your turn: all of it stays up until Ctrl-C.")?;
        stage.label("Base URL", base)?;
        stage.label("Token", token)?;
        stage.heading("Create a person (OpenAI then holds an invite):")?;
        out::print(format!(
            "curl -X POST http://{address}/v1/scim/v2/Users \\\n  {auth} \\\n  \
             -H \"Content-Type: application/scim+json\" \\\n  \
             -d '{{\"userName\":\"jane.doe@example.com\",\"name\":{{\"givenName\":\"Jane\",\"familyName\":\"Doe\"}},\
             \"emails\":[{{\"value\":\"jane.doe@example.com\",\"primary\":true}}],\"active\":true}}'"
        ))?;
        stage.heading("Look a person up:")?;
        out::print(format!(
            "curl -G {base}/Users \\\n  {auth} \\\n  \
             --data-urlencode 'filter=userName eq \"jane.doe@example.com\"'"
        ))?;
        stage.heading("Deactivate a person (the one whom Entra assigned loses the membership):")?;
        out::print(format!(
            "curl -X PATCH {base}/Users/{} \\\n  {auth} \\\n  \
             -H \"Content-Type: application/scim+json\" \\\n  \
             -d '{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\
             \"Operations\":[{{\"op\":\"replace\",\"path\":\"active\",\"value\":false}}]}}'",
            epilogue.member
        ))?;
        Ok(())
    }

    async fn clear_up(self) {
        self.app.stop().await;
        self.stop_simulator.cancel();
        let _ended = self.simulator.await.is_ok();
    }
}

/// The usual address if it is free and nobody asked for another.
async fn listener(wanted: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = wanted {
        return app::listen(address).await;
    }
    match TcpListener::bind(USUAL_ADDRESS).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            app::listen(SocketAddr::new(USUAL_ADDRESS.ip(), 0)).await
        }
        bound => bound.with_context(|| format!("cannot listen on {USUAL_ADDRESS}")),
    }
}

/// The settings of the demo; neither the environment nor a settings file has a say in it.
fn settings(admin_key: &str, standin: SocketAddr, database_url: &str) -> anyhow::Result<Config> {
    let variables = [
        ("OPENAI_ADMIN_KEY", admin_key.to_owned()),
        ("OPENAI_BASE_URL", format!("http://{standin}/v1")),
        ("SCIM_BRIDGE_DATABASE_URL", database_url.to_owned()),
    ];
    let env: BTreeMap<_, _> = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut config = Config::load(&Sources { file: None, env, flags: Flags::default() })?;
    for tenant in config.tenants.values_mut() {
        tenant.policy.reconcile_interval = RECONCILE_INTERVAL;
        tenant.requests_per_minute.value = REQUESTS_PER_10_SECONDS * 6;
    }
    Ok(config)
}
