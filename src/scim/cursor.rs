//! Cursors (RFC 9865): a place in a list, as a text that only this server can make.
//!
//! A cursor says after which resource the next page begins, and until when. It is bound to its query: the code that
//! authenticates it is made over the query as well, so a cursor used with another filter or order, or made by somebody
//! else, is refused. It is signed, not encrypted: its position is that of a resource the client has been shown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::scim::error::{ScimError, ScimType};
use crate::scim::schema::limits::MAX_CURSOR_BYTES;

/// The form of the bytes within; another form is an invalid cursor.
const VERSION: u8 = 1;
/// Bytes of the authentication code: half of SHA-256, which nobody guesses.
const TAG: usize = 16;

/// The key that cursors are authenticated with; all servers of one directory share it.
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

impl CursorKey {
    /// A key of 32 random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        // HMAC fills a short key up to a block with zeros (RFC 2104 §2).
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(secret) {
            *to = from;
        }
        Self(Mac::new(&block.into()))
    }

    fn code(&self, query: &Fingerprint, payload: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(query.0).chain_update(payload)
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

/// What a cursor belongs to: a digest of tenant, endpoint, filter and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of `parts`; each is told from its neighbours.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let digest = parts.into_iter().fold(Sha256::new(), |digest, part| {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.chain_update(length.to_be_bytes()).chain_update(part)
        });
        Self(digest.finalize().into())
    }
}

/// Which way from its position a cursor leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the resources after the position (`nextCursor`).
    Forward,
    /// To the resources before the position (`previousCursor`).
    Backward,
}

/// A place in the results of a query.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::cursor::{Cursor, CursorKey, Direction, Fingerprint};
///
/// let key = CursorKey::new([7; 32]);
/// let query = Fingerprint::of(["default", "/Users", "active eq true"]);
/// let now = "2026-01-31T08:00:00Z".parse()?;
/// let cursor = Cursor {
///     position: vec!["jane".into(), "id-1".into()],
///     direction: Direction::Forward,
///     expires_at: "2026-01-31T09:00:00Z".parse()?,
/// };
/// let text = cursor.encode(&key, &query);
/// assert_eq!(Cursor::decode(&text, &key, &query, now)?, cursor);
///
/// let other = Fingerprint::of(["default", "/Users", "active eq false"]);
/// let error = Cursor::decode(&text, &key, &other, now).expect_err("of another query");
/// assert_eq!(error.to_json()["scimType"], "invalidCursor");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// The keys of the resource the page before ended with, most significant first; null for an absent one.
    pub position: Vec<Value>,
    /// Which way to go from there.
    pub direction: Direction,
    /// Until when the cursor is good, to the second.
    pub expires_at: Timestamp,
}

impl Cursor {
    /// The cursor as it is sent: characters that need no escape in an address (RFC 9865 §2).
    pub fn encode(&self, key: &CursorKey, query: &Fingerprint) -> String {
        let mut bytes = vec![VERSION, u8::from(self.direction == Direction::Backward)];
        bytes.extend(self.expires_at.as_second().to_be_bytes());
        bytes.extend(Value::from(self.position.clone()).to_string().into_bytes());
        let code = key.code(query, &bytes).finalize().into_bytes();
        bytes.extend(code.into_iter().take(TAG));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that was sent back with the query `query`, at the instant `now`.
    ///
    /// # Errors
    ///
    /// - 400 `invalidCursor`: not made here, or for another query.
    /// - 400 `expiredCursor`: no longer good; the client begins again without a cursor.
    pub fn decode(
        text: &str,
        key: &CursorKey,
        query: &Fingerprint,
        now: Timestamp,
    ) -> Result<Self, ScimError> {
        let invalid = || {
            ScimError::bad_request(
                ScimType::InvalidCursor,
                "the cursor was not made by this server for this query; begin again with an empty cursor",
            )
        };
        if text.len() > MAX_CURSOR_BYTES {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().ok_or_else(invalid)?;
        let (payload, code) =
            bytes.len().checked_sub(TAG).map(|at| bytes.split_at(at)).ok_or_else(invalid)?;
        key.code(query, payload).verify_truncated_left(code).ok().ok_or_else(invalid)?;
        let (version, rest) = payload.split_first().ok_or_else(invalid)?;
        let (direction, rest) = rest.split_first().ok_or_else(invalid)?;
        let (expiry, position) = rest.split_first_chunk().ok_or_else(invalid)?;
        let direction = match (version, direction) {
            (&VERSION, 0) => Direction::Forward,
            (&VERSION, 1) => Direction::Backward,
            _ => return Err(invalid()),
        };
        let expires_at = Timestamp::from_second(i64::from_be_bytes(*expiry)).ok().ok_or_else(invalid)?;
        let position = serde_json::from_slice(position).ok().ok_or_else(invalid)?;
        if expires_at <= now {
            return Err(ScimError::bad_request(
                ScimType::ExpiredCursor,
                format!("the cursor was good until {expires_at}; begin again with an empty cursor"),
            ));
        }
        Ok(Self { position, direction, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUERY: [&str; 3] = ["default", "/Users", "active eq true"];

    fn key() -> CursorKey {
        CursorKey::new([7; 32])
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn cursor() -> Cursor {
        // A number that comes back as its neighbour unless it is read to the last bit.
        let number = json!(1_066_661_066_666_610_666_666_f64);
        let position = vec![json!("jä\"ne"), json!(null), number, json!("id")];
        Cursor { position, direction: Direction::Backward, expires_at: at(1_000) }
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "checks read best with literals given by value")]
    fn check(text: &str, query: [&str; 3], now: i64, expected: Result<Cursor, ScimType>) {
        let decoded = Cursor::decode(text, &key(), &Fingerprint::of(query), at(now));
        assert_eq!(decoded.map_err(|error| error.scim_type.unwrap()), expected);
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_sent_and_needs_no_escape() {
        let text = cursor().encode(&key(), &Fingerprint::of(QUERY));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        check(&text, QUERY, 999, Ok(cursor()));
    }

    #[test]
    fn a_cursor_expires_at_its_instant() {
        let text = cursor().encode(&key(), &Fingerprint::of(QUERY));
        check(&text, QUERY, 1_000, Err(ScimType::ExpiredCursor));
    }

    #[test]
    fn a_cursor_of_another_query_is_invalid_and_parts_cannot_run_together() {
        let text = cursor().encode(&key(), &Fingerprint::of(QUERY));
        check(&text, ["default", "/Users", "active eq false"], 0, Err(ScimType::InvalidCursor));
        check(&text, ["default/", "Users", "active eq true"], 0, Err(ScimType::InvalidCursor));
    }

    #[test]
    fn every_changed_byte_makes_a_cursor_invalid() {
        let text = cursor().encode(&key(), &Fingerprint::of(QUERY));
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for index in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[index] ^= 1;
            check(&URL_SAFE_NO_PAD.encode(forged), QUERY, 0, Err(ScimType::InvalidCursor));
        }
        for length in 0..text.len() {
            check(text.get(..length).unwrap(), QUERY, 0, Err(ScimType::InvalidCursor));
        }
        check(&"A".repeat(MAX_CURSOR_BYTES + 1), QUERY, 0, Err(ScimType::InvalidCursor));
        check("not base64!", QUERY, 0, Err(ScimType::InvalidCursor));
        let other = CursorKey::new([8; 32]);
        check(&cursor().encode(&other, &Fingerprint::of(QUERY)), QUERY, 0, Err(ScimType::InvalidCursor));
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", key()), "CursorKey(..)");
    }
}
