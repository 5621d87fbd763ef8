//! SCIM bearer tokens, and the secrets of clients, as texts: made here, taken apart here, compared here. Nothing is
//! looked up here.
//!
//! A token reads `scim_<id>_<secret>_<checksum>`, all in lower-case hexadecimal. The prefix and the checksum let
//! secret scanners find a leaked one; the id names it in lists and logs; the secret has 256 random bits, so a plain
//! SHA-256 is enough to store it.

use std::fmt::Write;

use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::scope::Scopes;
use crate::model::token::TokenRecord;

const PREFIX: &str = "scim";
const CLIENT_PREFIX: &str = "scimclient";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A token that somebody presents, not yet proven.
#[derive(Debug)]
pub struct Presented {
    /// The public part.
    pub id: String,
    secret_hash: [u8; 32],
}

impl Presented {
    /// Takes a token apart; `None` if it was not made by [`mint`] or was mistyped.
    pub fn parse(text: &str) -> Option<Self> {
        let (body, checksum) = text.rsplit_once('_')?;
        let mut parts = body.split('_');
        let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = parts.next().is_none()
            && prefix == PREFIX
            && is_hex(id, ID_BYTES)
            && is_hex(secret, SECRET_BYTES)
            && checksum == checksum_of(body);
        well_formed.then(|| Self { id: id.to_owned(), secret_hash: hash(secret) })
    }

    /// A token that nobody has, to do the same work for one that is not well-formed.
    pub fn nobody() -> Self {
        Self { id: "nobody".to_owned(), secret_hash: hash("") }
    }

    /// Whether the secret is the one on record. Takes the same time whatever the answer.
    pub fn matches(&self, secret_hash: &[u8; 32]) -> bool {
        self.secret_hash.ct_eq(secret_hash).into()
    }
}

/// Makes a token: the text to hand over once, and the record to keep.
pub fn mint(
    clock: &Clock,
    tenant: TenantId,
    label: String,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> (SecretString, TokenRecord) {
    let (id, secret, text) = make(clock, PREFIX);
    let record = TokenRecord {
        tenant,
        id,
        label,
        scopes,
        replaces: None,
        secret_hash: hash(&secret),
        created_at: clock.now(),
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    (text, record)
}

/// Makes the name and the secret of a client of the token endpoint. The secret opens nothing as a bearer token.
pub fn mint_client(clock: &Clock) -> (String, SecretString) {
    let (id, _, text) = make(clock, CLIENT_PREFIX);
    (id, text)
}

/// Draws an id and a secret; the text of both together is the third.
fn make(clock: &Clock, prefix: &str) -> (String, String, SecretString) {
    let id = to_hex(&clock.random_bytes::<ID_BYTES>());
    let secret = to_hex(&clock.random_bytes::<SECRET_BYTES>());
    let body = format!("{prefix}_{id}_{secret}");
    let text = format!("{body}_{}", checksum_of(&body));
    (id, secret, text.into())
}

/// SHA-256, the form in which every token is kept and compared.
pub fn hash(secret: &str) -> [u8; 32] {
    #[cfg(test)]
    work::HASHES.set(work::HASHES.get() + 1);
    Sha256::digest(secret.as_bytes()).into()
}

fn checksum_of(body: &str) -> String {
    to_hex(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}").is_ok();
        text
    })
}

/// What judging a token has cost this thread so far.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        pub(in crate::access) static HASHES: Cell<u32> = const { Cell::new(0) };
        pub(in crate::access) static LOOKS: Cell<u32> = const { Cell::new(0) };
    }

    /// Hashes, and looks into the store, since the last call.
    pub(in crate::access) fn taken() -> (u32, u32) {
        (HASHES.take(), LOOKS.take())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn minted() -> (String, TokenRecord) {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let (text, record) =
            mint(&clock, TenantId::default_tenant(), "okta".to_owned(), Scopes::admin(), None);
        (text.expose_secret().to_owned(), record)
    }

    #[test]
    fn a_minted_token_opens_with_its_record_alone() {
        let (text, record) = minted();
        let presented = Presented::parse(&text).unwrap();
        assert_eq!(presented.id, record.id);
        assert!(presented.matches(&record.secret_hash));
        assert!(!presented.matches(&hash("another")));
    }

    #[test]
    fn a_mistyped_token_is_not_looked_up() {
        let (text, _) = minted();
        for bad in [
            String::new(),
            text.chars().take(text.len() - 1).collect(),
            text.replace("scim_", "scin_"),
            text.to_uppercase(),
            format!("{text}_"),
            format!("{text} "),
            text.replacen('_', "_0", 1),
            text.replacen(|c: char| c.is_ascii_digit(), "f", 1),
        ] {
            assert!(Presented::parse(&bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_record_and_debug_output_do_not_hold_the_secret() {
        let (text, record) = minted();
        let secret = text.split('_').nth(2).unwrap();
        assert!(!format!("{record:?}").contains(secret));
        assert!(!format!("{:?}", Presented::parse(&text)).contains(secret));
    }
}
