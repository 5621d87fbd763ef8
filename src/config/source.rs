//! Where settings are looked up: flags before the environment before the file. The only reader of the environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::origin::{ConfigError, Origin, Setting};

/// A file that holds a secret is shorter than this; anything else is not such a file.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// Everything the settings are made of.
#[derive(Clone, Default)]
pub struct Sources {
    /// The settings file; without one, `SCIM_BRIDGE_CONFIG` may name it.
    pub file: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The command line.
    pub flags: Flags,
}

/// The settings that the command line can override.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--public-url`
    pub public_url: Option<String>,
    /// `--database-url`
    pub database_url: Option<String>,
    /// `--base-url`
    pub base_url: Option<String>,
    /// `--log`
    pub log: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
}

impl Sources {
    /// The process's own environment with these flags. Variables that are not text are left out.
    pub fn of_process(file: Option<PathBuf>, flags: Flags) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file, env: env.collect(), flags }
    }

    /// The settings file's path and what named it, if there is one.
    pub(super) fn settings_file(&self) -> Option<(PathBuf, Origin)> {
        let by_flag = self.file.clone().map(|path| (path, Origin::Flag("--config")));
        by_flag.or_else(|| {
            let Setting { value, origin } = self.variable("SCIM_BRIDGE_CONFIG")?;
            Some((PathBuf::from(value), origin))
        })
    }

    /// A setting from the strongest source that has it.
    pub(super) fn text(
        &self,
        flag: (&'static str, Option<&String>),
        variable: &str,
        in_file: Option<Setting<String>>,
        default: &str,
    ) -> Setting<String> {
        let (flag, value) = flag;
        let by_flag = value.map(|value| Setting { value: value.clone(), origin: Origin::Flag(flag) });
        by_flag
            .or_else(|| self.variable(variable))
            .or(in_file)
            .unwrap_or_else(|| Setting { value: default.to_owned(), origin: Origin::Default })
    }

    /// The secret in `NAME`, or in the file that `NAME_FILE` names.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Setting<SecretString>>, ConfigError> {
        let in_file = self.variable(&format!("{name}_FILE"));
        match (self.variable(name), in_file) {
            (None, None) => Ok(None),
            (Some(_), Some(both)) => {
                Err(both.origin.refuses(format!("{name} is set as well; set one of them")))
            }
            (Some(setting), None) => checked(setting).map(Some),
            (None, Some(Setting { value, origin })) => secret_in_file(Path::new(&value), origin).map(Some),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<Setting<String>> {
        let value = self.env.get(name)?.clone();
        Some(Setting { value, origin: Origin::Environment(name.to_owned()) })
    }
}

impl std::fmt::Debug for Sources {
    /// Shows no value of the environment: most secrets of a machine are there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("env", &self.env.len())
            .finish_non_exhaustive()
    }
}

/// The secret that is a file's only content; a line end after it is not part of it.
pub(super) fn secret_in_file(path: &Path, named_by: Origin) -> Result<Setting<SecretString>, ConfigError> {
    let unreadable =
        |source| ConfigError::Unreadable { named_by: named_by.clone(), path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_SECRET_BYTES {
        return Err(named_by.refuses(format!("{} is too long for a secret ({length} bytes)", path.display())));
    }
    let value = fs::read_to_string(path).map_err(unreadable)?;
    checked(Setting { value, origin: Origin::SecretFile(path.to_owned()) })
}

/// Refuses what cannot be a secret: an empty one would let everybody in, or nobody.
pub(super) fn checked(setting: Setting<String>) -> Result<Setting<SecretString>, ConfigError> {
    setting.try_map(|value| match value.trim_end_matches(['\r', '\n']) {
        "" => Err("is set but empty; give it a value or unset it".to_owned()),
        secret if !secret.chars().all(|c| c.is_ascii_graphic()) => {
            Err("holds blanks, line breaks or non-ASCII characters; copy the secret alone, in one line"
                .to_owned())
        }
        secret => Ok(SecretString::from(secret)),
    })
}

/// Refuses a bearer token that could be guessed.
pub(super) fn long_enough(token: Setting<SecretString>) -> Result<Setting<SecretString>, ConfigError> {
    token.try_map(|token| match token.expose_secret().len() {
        length @ ..32 => Err(format!(
            "the token has {length} characters; use at least 32, e.g. from `openssl rand -hex 32`"
        )),
        _ => Ok(token),
    })
}
