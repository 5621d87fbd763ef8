//! Cursors of one query: places in its order as texts, and back.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::Start;
use crate::directory::{Caller, Directory};
use crate::scim::cursor::{Cursor, CursorKey, Direction, Fingerprint};
use crate::scim::error::{ScimError, ScimType};
use crate::scim::schema::features::CURSOR_SECONDS;
use crate::scim::search::Query;
use crate::scim::sort::{Place, SortOrder};
use crate::store::StoreError;

/// The name of the secret that the key is made of.
const SECRET: &str = "cursor_key";

/// What it takes to read and write the cursors of one query.
#[derive(Debug)]
pub(super) struct Cursors {
    key: CursorKey,
    query: Fingerprint,
    order: SortOrder,
    now: Timestamp,
}

impl Cursors {
    /// Where the page begins that a cursor leads to.
    pub(super) fn read(&self, text: &str) -> Result<Start, ScimError> {
        let Cursor { position, direction, .. } = Cursor::decode(text, &self.key, &self.query, self.now)?;
        let place = match position.as_slice() {
            [] => None,
            position => Some(Place::from_position(position, self.order).ok_or_else(|| {
                let detail =
                    "the cursor is of another version of this server; begin again with an empty cursor";
                ScimError::bad_request(ScimType::InvalidCursor, detail)
            })?),
        };
        Ok(match direction {
            Direction::Forward => Start::After(place),
            Direction::Backward => Start::Before(place),
        })
    }

    /// The cursor that leads on from a place; without one, from the beginning on or from the end back.
    pub(super) fn write(&self, place: Option<&Place>, direction: Direction) -> String {
        let position = place.map(Place::to_position).unwrap_or_default();
        let lifetime = SignedDuration::from_secs(CURSOR_SECONDS.into());
        let expires_at = self.now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
        Cursor { position, direction, expires_at }.encode(&self.key, &self.query)
    }
}

impl Directory {
    /// The same directory with a key for cursors that is kept in the store: all processes that serve it, now and after
    /// a restart, read each other's cursors.
    pub async fn with_lasting_cursors(self) -> Result<Self, StoreError> {
        let secret = self.store.secret(SECRET).await?;
        Ok(Self { cursor_key: CursorKey::new(Sha256::digest(secret).into()), ..self })
    }

    /// The cursors of a query at an endpoint.
    pub(super) fn cursors(&self, caller: &Caller, endpoint: &str, query: &Query) -> Cursors {
        Cursors {
            key: self.cursor_key.clone(),
            query: query.fingerprint(caller.tenant.as_str(), endpoint),
            order: query.sort.as_ref().map(|sort| sort.order).unwrap_or_default(),
            now: self.clock.now(),
        }
    }
}
