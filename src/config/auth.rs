//! The door of a tenant: in which dresses a token is taken, and whose tokens besides our own.

use std::collections::BTreeMap;

use toml::Spanned;
use url::{Host, Url};

use crate::config::file::{Auth, Entra, IssuerTable, Source};
use crate::config::origin::{ConfigError, Origin, Setting};
use crate::config::tenant::{TenantConfig, is_local, parse};
use crate::ids::TenantId;
use crate::model::scope::Scopes;
use crate::model::trust::{Issuer, Trust};
use crate::scim::profile::Profile;

/// Whom Entra ID's provisioning service says its own tokens are meant for, unless the application is in its gallery.
const ENTRA_AUDIENCE: &str = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";
/// The application that is Entra ID's provisioning service (Microsoft.Azure.SyncFabric).
const ENTRA_CLIENT: &str = "00000014-0000-0000-c000-000000000000";

/// Reads the table `[auth]`. What it leaves out depends on how the identity provider is known to present tokens.
pub(super) fn read(auth: Auth, profile: Profile, source: &Source) -> Result<Setting<Trust>, ConfigError> {
    let Auth { bare, basic, oauth, entra, issuers } = auth;
    let mut origin = Origin::Default;
    let mut trusted = Vec::new();
    for entry in issuers {
        let entry = source.setting(entry).try_map(read_issuer)?;
        origin = entry.origin;
        trusted.push(entry.value);
    }
    if let Some(entra) = entra {
        let entra = source.setting(entra).try_map(|entra| read_entra(&entra))?;
        origin = entra.origin;
        trusted.push(entra.value);
    }
    let flag = |field: Option<Spanned<bool>>, default| field.map_or(default, Spanned::into_inner);
    let value = Trust {
        bare: flag(bare, matches!(profile, Profile::Generic | Profile::Okta)),
        basic: flag(basic, profile == Profile::Pingone),
        oauth: flag(oauth, false),
        issuers: trusted,
    };
    Ok(Setting { value, origin })
}

fn read_issuer(table: IssuerTable) -> Result<Issuer, String> {
    let IssuerTable { issuer, audience, jwks_url, clients, subjects, required_scope, scopes, allow_private } =
        table;
    let is_empty = |list: &[String]| list.iter().any(|word| word.trim().is_empty());
    if audience.trim().is_empty() || is_empty(&clients) || is_empty(&subjects) {
        return Err(
            "an issuer has an empty audience, client or subject; write what its tokens hold".to_owned()
        );
    }
    if clients.is_empty() && subjects.is_empty() {
        return Err(
            "an issuer needs clients or subjects: it gives tokens to others than the one that is to be let in".to_owned(),
        );
    }
    let allow_private = allow_private.unwrap_or_default();
    check_address(&issuer, allow_private)?;
    let jwks_url = jwks_url.map(|text| check_address(&text, allow_private)).transpose()?;
    let scopes = scopes.map_or_else(|| Ok(Scopes::provisioning()), |words| parse(&words.join(" ")))?;
    Ok(Issuer {
        issuer,
        audience,
        jwks_url,
        clients,
        subjects,
        directory: None,
        required_scope,
        scopes,
        allow_private,
    })
}

fn read_entra(table: &Entra) -> Result<Issuer, String> {
    let id = &table.directory_id;
    let is_id = id.len() == 36 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if !is_id {
        return Err(format!(
            "`{id}` is no directory id; copy the Tenant ID from the overview of Entra ID, in lower case"
        ));
    }
    let keys = format!("https://login.microsoftonline.com/{id}/discovery/keys");
    Ok(Issuer {
        issuer: format!("https://sts.windows.net/{id}/"),
        audience: table.audience.clone().unwrap_or_else(|| ENTRA_AUDIENCE.to_owned()),
        jwks_url: Some(check_address(&keys, false)?),
        clients: vec![ENTRA_CLIENT.to_owned()],
        subjects: Vec::new(),
        directory: Some(id.clone()),
        required_scope: None,
        scopes: Scopes::provisioning(),
        allow_private: false,
    })
}

/// Where an issuer is: `https`, and not on this machine or in the own network unless that is allowed. What a name
/// resolves to is looked at when it is asked.
fn check_address(text: &str, allow_private: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not an address ({error})"))?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_name = matches!(url.host(), Some(Host::Domain(name)) if name != "localhost");
    match url.scheme() {
        "https" | "http" if !is_plain => Err(format!("write `{text}` without user name and fragment")),
        "https" if is_name || allow_private => Ok(url),
        "http" if is_local(&url) && allow_private => Ok(url),
        "https" => Err(format!("`{text}` names no public host; set allow_private = true if that is meant")),
        _ => {
            Err(format!("`{text}` is no https address; keys that come in clear can be exchanged on the way"))
        }
    }
}

/// Refuses settings by which one token opens two tenants.
///
/// # Errors
/// [`ConfigError::Invalid`], which names both.
pub fn check_apart(tenants: &BTreeMap<TenantId, TenantConfig>) -> Result<(), ConfigError> {
    let all: Vec<_> = tenants
        .iter()
        .flat_map(|(id, tenant)| tenant.trust.value.issuers.iter().map(move |issuer| (id, tenant, issuer)))
        .collect();
    for (at, (id, tenant, issuer)) in all.iter().enumerate() {
        for (other, _, same) in all.iter().take(at).filter(|(other, ..)| other != id) {
            let overlap = |ours: &[String], theirs: &[String]| {
                ours.is_empty() || theirs.is_empty() || ours.iter().any(|word| theirs.contains(word))
            };
            if issuer.issuer == same.issuer
                && issuer.audience == same.audience
                && overlap(&issuer.clients, &same.clients)
                && overlap(&issuer.subjects, &same.subjects)
            {
                return Err(tenant.trust.origin.clone().refuses(format!(
                    "the tenants `{other}` and `{id}` take the same tokens of {}; give them different audiences or clients",
                    issuer.issuer
                )));
            }
        }
    }
    Ok(())
}
