//! `scim-bridge serve`: the bridge itself.

use anyhow::{Context, bail};
use clap::Args;
use secrecy::ExposeSecret;

use super::{Global, out, token};
use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::{Config, Flags};
use crate::ids::TenantId;
use crate::model::scope::Scopes;
use crate::store::Store;
use crate::telemetry;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    OPENAI_ADMIN_KEY=sk-admin-... scim-bridge serve\n  \
    OPENAI_ADMIN_KEY_FILE=/run/secrets/openai scim-bridge serve --config /etc/scim-bridge.toml --log-format json")]
pub(super) struct Serve {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help = "The address under which identity providers reach the bridge, such as https://scim.example.com"
    )]
    public_url: Option<String>,
    #[arg(long, value_name = "URL", help = "The OpenAI API, if it is not https://api.openai.com/v1")]
    base_url: Option<String>,
    /// What is logged: a level, or levels by module [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Serve {
    /// Runs until it is told to stop.
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let flags = Flags {
            listen: self.listen,
            public_url: self.public_url,
            base_url: self.base_url,
            log: self.log,
            log_format: self.log_format,
            ..Flags::default()
        };
        let read = global.reader(flags);
        let config = read()?;
        telemetry::init(config.log_format.value, &config.log_filter.value)?;
        let stop = app::stop_signal()?;
        let clock = Clock::system();
        // A missing key is told before anything is made or opened.
        app::check(&config)?;
        let store = Store::open(config.database_url.value.expose_secret(), clock.clone())
            .await
            .with_context(|| format!("the database {} cannot be used", config.database_label()))?;
        let listener = app::listen(config.listen.value).await?;
        let app = App::start(&config, listener, store.clone(), clock.clone()).await?;
        app.keep_up(read);
        first_token(&config, &store, &clock, &app).await?;
        stop.await;
        let at_once = app::stop_signal()?;
        tokio::select! {
            () = app.stop() => Ok(()),
            () = at_once => bail!("stopped at once: what was under way is looked after at the next start"),
        }
    }
}

/// Makes a token if nobody could come in without, and prints it: this once.
async fn first_token(config: &Config, store: &Store, clock: &Clock, app: &App) -> anyhow::Result<()> {
    let tenant = TenantId::default_tenant();
    let Some(settings) = config.tenants.get(&tenant).filter(|_| app.serves(&tenant)) else { return Ok(()) };
    if settings.static_token.is_some() || !store.reader().await?.list_tokens(&tenant).await?.is_empty() {
        return Ok(());
    }
    let label = "made at the first start".to_owned();
    let (text, _) = token::issue(store, clock, tenant.clone(), label, Scopes::provisioning(), None).await?;
    out::print(format!(
        "\nThis is the first start, so a token was made. It is shown this once; the store keeps its hash.\n\n  \
         SCIM base URL  {}\n  \
         Bearer token   {}\n\n\
         Next: enter both in the SCIM settings of your identity provider. It will want HTTPS: give the bridge a certificate,\n\
         or put a TLS proxy in front, and tell the bridge its public address with --public-url. More tokens: scim-bridge token create\n",
        app.scim_url(&tenant),
        text.expose_secret(),
    ))?;
    Ok(())
}
