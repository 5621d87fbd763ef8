//! Where a setting came from, and what is said when it cannot be used.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::ids::TenantId;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A file that holds a secret and nothing else.
    SecretFile(PathBuf),
    /// The database, where it is kept encrypted.
    Database,
    /// A flag on the command line.
    Flag(&'static str),
}

impl Origin {
    /// The error that what came from here cannot be used.
    pub(super) fn refuses(self, message: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { origin: self, message: message.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::SecretFile(path) => write!(f, "file {}", path.display()),
            Self::Database => f.write_str("database"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value that knows where it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// The value alone, so that settings which mean the same show the same, wherever they stand.
impl<T: fmt::Debug> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Setting<T> {
    /// The same setting with its value read by `read`, whose error says what is wrong with it.
    pub(super) fn try_map<U>(
        self,
        read: impl FnOnce(T) -> Result<U, String>,
    ) -> Result<Setting<U>, ConfigError> {
        match read(self.value) {
            Ok(value) => Ok(Setting { value, origin: self.origin }),
            Err(message) => Err(self.origin.refuses(message)),
        }
    }
}

/// The settings cannot be used. The message says where the mistake is and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named cannot be read.
    #[error("{named_by}: cannot read {}", path.display())]
    Unreadable {
        /// Which setting names the file.
        named_by: Origin,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value cannot be used.
    #[error("{origin}: {message}")]
    Invalid {
        /// Where it stands.
        origin: Origin,
        /// What is wrong and what to write.
        message: String,
    },
    /// There is no key for a tenant.
    #[error("{}", missing_key(tenant))]
    MissingKey {
        /// The tenant.
        tenant: TenantId,
    },
}

fn missing_key(tenant: &TenantId) -> String {
    let how = if *tenant == TenantId::default_tenant() {
        "set OPENAI_ADMIN_KEY to it, or OPENAI_ADMIN_KEY_FILE to the path of a file that holds it".to_owned()
    } else {
        format!(
            "in the settings file, under [tenants.{tenant}.upstream], write admin_key_env = \"NAME_OF_A_VARIABLE\" or \
             admin_key_file = \"/path/of/a/file\"; if the tenant is in the database, `scim-bridge tenant set {tenant} \
             --key-stdin` stores one"
        )
    };
    format!(
        "tenant `{tenant}` has no OpenAI admin key: {how}. An organization owner makes one at \
         https://platform.openai.com/settings/organization/admin-keys"
    )
}
