//! The event feed of a tenant. Off unless the settings turn it on; polling then works at once, pushing needs an
//! address.

use secrecy::SecretString;
use toml::Spanned;
use url::Url;

use crate::config::file::{Events, Source};
use crate::config::origin::{ConfigError, Setting};
use crate::config::source::Sources;
use crate::config::tenant::{is_local, secret};

/// The settings of a tenant's event feed.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// Whom events are meant for; the address of the feed, if nobody says otherwise.
    pub audience: Option<String>,
    /// Where events are pushed to, if they are.
    pub push: Option<PushSettings>,
}

/// Where events are pushed to.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// The address.
    pub url: Setting<Url>,
    /// What the bridge shows to be let in.
    pub token: Option<Setting<SecretString>>,
}

/// Reads the table `[events]`.
pub(super) fn read(
    events: Events,
    sources: &Sources,
    source: &Source,
) -> Result<Option<EventSettings>, ConfigError> {
    let Events { enabled, audience, push_url, push_token_env, push_token_file, allow_http } = events;
    let is_enabled = enabled.is_some_and(Spanned::into_inner);
    let allow_http = allow_http.is_some_and(Spanned::into_inner);
    let audience = audience.map(|text| source.setting(text).try_map(parse_audience)).transpose()?;
    let url = push_url.map(|text| {
        source.setting(text).try_map(|text| parse_receiver(("push_url", "events"), &text, allow_http))
    });
    let url = url.transpose()?;
    let names = ("push_token_env", "push_token_file");
    let token = secret(names, push_token_env, push_token_file, sources, source)?;
    let push = match (url, token) {
        (Some(url), token) => Some(PushSettings { url, token }),
        (None, None) => None,
        (None, Some(token)) => {
            return Err(token.origin.refuses("a push token needs push_url under [events]"));
        }
    };
    match push {
        Some(push) if !is_enabled => Err(push
            .url
            .origin
            .refuses("push_url needs enabled = true beside it; without it no event is made")),
        push => Ok(is_enabled.then(|| EventSettings { audience: audience.map(|text| text.value), push })),
    }
}

fn parse_audience(text: String) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the audience is empty; write what the receiver expects, or leave it out".to_owned());
    }
    Ok(text)
}

/// The address of somebody who is called: what is sent there must not be read on the way, nor the address be a secret.
pub(super) fn parse_receiver(
    (key, table): (&str, &str),
    text: &str,
    allow_http: bool,
) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{key} is not an address ({error})"))?;
    let instead = if table == "events" { "use push_token_file" } else { "what is sent is signed" };
    match url.scheme() {
        "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
            Err(format!("write {key} without user name and password; {instead}"))
        }
        "https" => Ok(url),
        "http" if is_local(&url) || allow_http => Ok(url),
        "http" => Err(format!(
            "{key} would send {table} in clear; use https, or set allow_http = true under [{table}] if the way there is \
             private"
        )),
        _ => Err(format!("{key} is neither an https nor an http address")),
    }
}
