//! Who is called when something needs a human.

use jiff::SignedDuration;
use secrecy::SecretString;
use toml::Spanned;
use url::Url;

use crate::config::events::parse_receiver;
use crate::config::file::{Alarms, Source};
use crate::config::origin::{ConfigError, Setting};
use crate::config::source::Sources;
use crate::config::tenant::{number, secret};

/// The settings of a tenant's alarms.
#[derive(Debug, Clone)]
pub struct AlarmSettings {
    /// Where they are sent to.
    pub url: Setting<Url>,
    /// What they are signed with.
    pub secret: Setting<SecretString>,
}

/// Reads the table `[alarms]`: who is called, and how long a removal may wait before that.
pub(super) fn read(
    alarms: Alarms,
    sources: &Sources,
    source: &Source,
) -> Result<(Option<AlarmSettings>, SignedDuration), ConfigError> {
    let Alarms { url, secret_env, secret_file, allow_http, late_removal_minutes } = alarms;
    let minutes = number(late_removal_minutes, 2, 1..=10_080, source)?.value;
    let late = SignedDuration::from_mins(i64::from(minutes));
    let allow_http = allow_http.is_some_and(Spanned::into_inner);
    let parse = |text: String| parse_receiver(("url", "alarms"), &text, allow_http);
    let url = url.map(|text| source.setting(text).try_map(parse)).transpose()?;
    let secret = secret(("secret_env", "secret_file"), secret_env, secret_file, sources, source)?;
    match (url, secret) {
        (None, None) => Ok((None, late)),
        (Some(url), Some(secret)) => Ok((Some(AlarmSettings { url, secret }), late)),
        (Some(url), None) => Err(url.origin.refuses(
            "alarms are signed, so that nobody else can raise them: set secret_file or secret_env beside url under \
             [alarms]",
        )),
        (None, Some(secret)) => Err(secret.origin.refuses("the secret of alarms needs url under [alarms]")),
    }
}
