//! What a tenant's door accepts: the dresses of a token, and the issuers whose tokens are taken.

use url::Url;

use crate::model::scope::Scopes;

/// What the settings of a tenant say about its door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Whether a token may stand in `Authorization` without a scheme, as in Okta's header mode.
    pub bare: bool,
    /// Whether a token may be the password of Basic authentication (RFC 7617).
    pub basic: bool,
    /// Whether clients of the tenant get access tokens from the bridge's own token endpoint.
    pub oauth: bool,
    /// Who else may issue tokens.
    pub issuers: Vec<Issuer>,
}

impl Default for Trust {
    /// Bearer tokens and bare ones, and no issuer.
    fn default() -> Self {
        Self { bare: true, basic: false, oauth: false, issuers: Vec::new() }
    }
}

/// Somebody whose signed tokens are taken, and which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The exact value of `iss`.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where the keys are; without it they are found by `OpenID` Connect Discovery below the issuer.
    pub jwks_url: Option<Url>,
    /// The clients that tokens are taken of: `appid`, `azp`, `client_id` or `cid`. Empty is any.
    pub clients: Vec<String>,
    /// The subjects (`sub`) that tokens are taken of. Empty is any.
    pub subjects: Vec<String>,
    /// What `tid` must be: the directory of Entra ID that issues the token.
    pub directory: Option<String>,
    /// A word that must be in `scope`, `scp` or `roles`.
    pub required_scope: Option<String>,
    /// What its tokens may do.
    pub scopes: Scopes,
    /// Whether keys may be fetched from addresses that are not public, and in clear from this machine.
    pub allow_private: bool,
}
