//! Judging signed tokens (RFC 7519, with the advice of RFC 8725): whether one was signed by whom it should, is meant
//! for us, and is good at a given instant. Pure: keys, expectations and the time are arguments.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Header, Validation};
use serde_json::{Map, Value};

use super::keys::KeySet;
use crate::model::trust::Issuer;

/// How far the clocks of an issuer and ours may be apart, in seconds.
const LEEWAY: f64 = 60.0;
/// The longest token that is looked at, in bytes; the head of a request holds no longer one.
const MAX_BYTES: usize = 16 * 1024;

/// Why a token is not taken. The words are for logs and metrics, never for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no signed token.
    Malformed,
    /// Its header names an algorithm or a feature that is never taken, such as `none`, `jku` or `crit`.
    Header,
    /// It is a token of another kind, such as an event (`typ`).
    Kind,
    /// No key of the issuer has its name and may be used for its algorithm.
    Key,
    /// The signature is wrong.
    Signature,
    /// Somebody issued it whom the tenant does not trust.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// A claim that must be there is not, or has the wrong type.
    Claims,
    /// It was issued to somebody whom the settings do not name.
    Client,
    /// It lacks the scope that the settings ask for.
    Scope,
}

impl Fault {
    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Header => "jwt header",
            Self::Kind => "jwt kind",
            Self::Key => "jwt key",
            Self::Signature => "jwt signature",
            Self::Issuer => "jwt issuer",
            Self::Audience => "jwt audience",
            Self::Expired => "expired",
            Self::NotYet => "not yet valid",
            Self::Claims => "jwt claims",
            Self::Client => "jwt client",
            Self::Scope => "jwt scope",
        }
    }
}

/// Which kinds of token there are, and the types (`typ`) that they may say they are (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An access token of somebody else. Not all issuers say so: Okta names no type, Entra ID calls it `JWT`.
    Access,
    /// An access token of ours (RFC 9068 §2.1).
    OwnAccess,
    /// What a client proves itself with (RFC 7523 §3).
    Assertion,
}

impl Kind {
    fn takes(self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else { return self != Self::OwnAccess };
        let typ = typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        match self {
            Self::Access => ["jwt", "at+jwt"].contains(&typ),
            Self::OwnAccess => typ == "at+jwt",
            Self::Assertion => ["jwt", "client-authentication+jwt"].contains(&typ),
        }
    }
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// What it is.
    pub kind: Kind,
    /// Who issued it.
    pub issuer: &'a str,
    /// Whom it may be meant for.
    pub audiences: &'a [&'a str],
}

/// What a token says of itself before anything of it is proven: enough to choose the keys to prove it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    /// Who is said to have issued it.
    pub issuer: String,
    /// The name of the key.
    pub key_id: Option<String>,
}

impl Unproven {
    /// Reads it; `None` if it is no signed token with an issuer.
    pub fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let read = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let (header, payload) = (read(header)?, read(payload)?);
        let key_id = header.get("kid").and_then(Value::as_str).map(str::to_owned);
        Some(Self { issuer: payload.get("iss")?.as_str()?.to_owned(), key_id })
    }
}

/// Whether a text has the form of a signed token.
pub fn is_jwt(text: &str) -> bool {
    text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The claims of a proven token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A claim that is an instant (RFC 7519 §2); `None` if there is none.
    pub fn instant(&self, name: &str) -> Result<Option<f64>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().filter(|at| at.is_finite()).map(Some).ok_or(Fault::Claims),
        }
    }

    /// The words of a claim that is a list, or a text with blanks between.
    fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        let (text, list) = match self.0.get(name) {
            Some(Value::String(text)) => (text.as_str(), &[][..]),
            Some(Value::Array(list)) => ("", list.as_slice()),
            _ => ("", &[][..]),
        };
        text.split_ascii_whitespace().chain(list.iter().filter_map(Value::as_str))
    }
}

/// Proves a token by `keys` and checks that it says what it must at `now`.
pub fn prove(token: &str, keys: &KeySet, expected: Expected<'_>, now: Timestamp) -> Result<Claims, Fault> {
    if token.len() > MAX_BYTES || !is_jwt(token) {
        return Err(Fault::Malformed);
    }
    // An algorithm that is not known, `none` above all, is no header at all.
    let header = jsonwebtoken::decode_header(token).map_err(|_unreadable| Fault::Header)?;
    if brings_own_key(&header) || header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(Fault::Header);
    }
    if !expected.kind.takes(header.typ.as_deref()) {
        return Err(Fault::Kind);
    }
    let key = keys.find(header.kid.as_deref(), header.alg).ok_or(Fault::Key)?;
    // The time is not the machine's, and types are checked more strictly here than there: the library proves the
    // signature alone.
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let proven = jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation);
    let claims = Claims(proven.map_err(|_unproven| Fault::Signature)?.claims);

    if claims.text("iss") != Some(expected.issuer) {
        return Err(Fault::Issuer);
    }
    let is_meant =
        |value: &Value| value.as_str().is_some_and(|audience| expected.audiences.contains(&audience));
    match claims.0.get("aud") {
        Some(Value::Array(list)) if list.iter().any(is_meant) => {}
        Some(one @ Value::String(_)) if is_meant(one) => {}
        Some(Value::Array(_) | Value::String(_)) => return Err(Fault::Audience),
        _ => return Err(Fault::Claims),
    }
    let now = now.as_duration().as_secs_f64();
    if claims.instant("exp")?.ok_or(Fault::Claims)? + LEEWAY <= now {
        return Err(Fault::Expired);
    }
    for name in ["nbf", "iat"] {
        if claims.instant(name)?.is_some_and(|at| at > now + LEEWAY) {
            return Err(Fault::NotYet);
        }
    }
    Ok(claims)
}

/// Whether a header says where to take the key from: keys come from the settings alone.
fn brings_own_key(header: &Header) -> bool {
    header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some()
}

/// Checks what the settings ask of an issuer's tokens beyond [`prove`]; tells whose it is, in a word of the settings.
pub fn check_holder<'i>(claims: &Claims, issuer: &'i Issuer) -> Result<&'i str, Fault> {
    if let Some(directory) = &issuer.directory
        && claims.text("tid") != Some(directory)
    {
        return Err(Fault::Issuer);
    }
    let among = |names: &[&str], known: &'i [String]| {
        let given = names.iter().find_map(|name| claims.text(name));
        known.iter().find(|known| given == Some(known)).map(String::as_str)
    };
    let client = among(&["appid", "azp", "client_id", "cid"], &issuer.clients);
    let subject = among(&["sub"], &issuer.subjects);
    if client.is_none() && !issuer.clients.is_empty() || subject.is_none() && !issuer.subjects.is_empty() {
        return Err(Fault::Client);
    }
    if let Some(required) = &issuer.required_scope
        && !["scope", "scp", "roles"].iter().any(|name| claims.words(name).any(|word| word == required))
    {
        return Err(Fault::Scope);
    }
    // Nobody in particular is nobody: an issuer has more clients than the one that is meant.
    client.or(subject).ok_or(Fault::Client)
}
