//! Secrets that are kept in the database: encrypted with a key that is not in the database.
//!
//! AES-256-GCM with a random nonce. What a secret belongs to is authenticated along with it, so that a sealed key
//! which is moved to another tenant's row does not open. A sealed text begins with the format and a fingerprint of
//! the key, so that a wrong key is told from damage.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::ids::TenantId;

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;
const FINGERPRINT_BYTES: usize = 8;
/// Before the name of the tenant in what is authenticated.
const PURPOSE: &str = "scim-bridge openai admin key of ";

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text of a master key is none.
    #[error(
        "the master key must be 32 random bytes as 64 hexadecimal digits or in base64, e.g. from `openssl rand -hex 32`"
    )]
    Key,
    /// The secret was sealed with another master key.
    #[error(
        "the stored admin key was sealed with another master key; give the bridge that one again, or store the admin \
         key anew with `scim-bridge tenant set NAME --key-stdin`"
    )]
    OtherKey,
    /// The sealed text was changed, or belongs to another tenant.
    #[error("the stored admin key is damaged; store it anew with `scim-bridge tenant set NAME --key-stdin`")]
    Damaged,
}

/// The key that secrets in the database are encrypted with.
pub struct MasterKey {
    key: LessSafeKey,
    fingerprint: [u8; FINGERPRINT_BYTES],
}

impl MasterKey {
    /// Reads 64 hexadecimal digits, or base64 of 32 bytes.
    ///
    /// # Errors
    /// [`SealError::Key`]
    pub fn parse(text: &SecretString) -> Result<Self, SealError> {
        let text = text.expose_secret();
        let bytes = if text.len() == 2 * KEY_BYTES { from_hex(text) } else { STANDARD.decode(text).ok() };
        let bytes = bytes.filter(|bytes| bytes.len() == KEY_BYTES).ok_or(SealError::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_unspecified| SealError::Key)?;
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        let hash = Sha256::new().chain_update("scim-bridge master key\0").chain_update(&bytes).finalize();
        fingerprint.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Ok(Self { key: LessSafeKey::new(key), fingerprint })
    }

    /// Seals the admin key of a tenant.
    ///
    /// # Errors
    /// [`SealError::Damaged`] if the cipher fails, which it does for texts beyond 64 GiB alone.
    pub fn seal(
        &self,
        clock: &Clock,
        tenant: &TenantId,
        secret: &SecretString,
    ) -> Result<Vec<u8>, SealError> {
        let nonce = clock.random_bytes::<NONCE_LEN>();
        let mut text = secret.expose_secret().as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated(tenant), &mut text)
            .map_err(|_unspecified| SealError::Damaged)?;
        Ok([&[FORMAT], self.fingerprint.as_slice(), &nonce, &text].concat())
    }

    /// Opens the sealed admin key of a tenant.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] and [`SealError::Damaged`]
    pub fn open(&self, tenant: &TenantId, sealed: &[u8]) -> Result<SecretString, SealError> {
        let (format, rest) = sealed.split_first().ok_or(SealError::Damaged)?;
        let (fingerprint, rest) = rest.split_at_checked(FINGERPRINT_BYTES).ok_or(SealError::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
        if *format != FORMAT {
            return Err(SealError::Damaged);
        }
        if fingerprint != self.fingerprint {
            return Err(SealError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_unspecified| SealError::Damaged)?;
        let mut text = text.to_vec();
        let opened = self.key.open_in_place(nonce, associated(tenant), &mut text);
        let opened = opened.map_err(|_unspecified| SealError::Damaged)?;
        str::from_utf8(opened).map(SecretString::from).map_err(|_not_text| SealError::Damaged)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

fn associated(tenant: &TenantId) -> Aad<String> {
    Aad::from(format!("{PURPOSE}{tenant}"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some((nibble(*high)? << 4) | nibble(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: char) -> MasterKey {
        MasterKey::parse(&SecretString::from(digit.to_string().repeat(64))).unwrap()
    }

    fn clock() -> Clock {
        Clock::manual("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn a_sealed_key_opens_for_its_tenant_alone() {
        let secret = SecretString::from("sk-admin-1");
        let clock = clock();
        let sealed = key('a').seal(&clock, &tenant("acme"), &secret).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("sk-admin"));
        assert_eq!(key('a').open(&tenant("acme"), &sealed).unwrap().expose_secret(), "sk-admin-1");
        assert_eq!(key('a').open(&tenant("other"), &sealed).unwrap_err(), SealError::Damaged);
        assert_eq!(key('b').open(&tenant("acme"), &sealed).unwrap_err(), SealError::OtherKey);
        let again = key('a').seal(&clock, &tenant("acme"), &secret).unwrap();
        assert_ne!(sealed, again, "no nonce is used twice");
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let sealed = key('a').seal(&clock(), &tenant("acme"), &SecretString::from("sk-admin-1")).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key('a').open(&tenant("acme"), &changed).is_err(), "{at}");
            assert!(key('a').open(&tenant("acme"), &sealed[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn a_master_key_is_32_bytes_in_hex_or_base64() {
        let parse = |text: &str| MasterKey::parse(&SecretString::from(text)).map(|key| key.fingerprint);
        assert_eq!(parse(&"aa".repeat(32)).unwrap(), parse(&STANDARD.encode([0xaa; 32])).unwrap());
        for bad in ["", "secret", &"a".repeat(63), &"g".repeat(64), &STANDARD.encode([1; 31])] {
            assert_eq!(parse(bad).unwrap_err(), SealError::Key, "{bad}");
        }
        assert_eq!(format!("{:?}", key('a')), "MasterKey");
    }
}
