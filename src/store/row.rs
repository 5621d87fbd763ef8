//! Reading rows back: a stored value that does not read back is a defect, never a guess.

use std::error::Error;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::StoreError;

/// A row with typed access by column name.
#[derive(Clone, Copy)]
pub(super) struct Row<'r>(pub(super) &'r AnyRow);

impl Row<'_> {
    pub(super) fn text(self, column: &str) -> Result<String, StoreError> {
        self.0.try_get(column).map_err(StoreError::broken)
    }

    pub(super) fn optional_text(self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.try_get(column).map_err(StoreError::broken)
    }

    pub(super) fn bytes(self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.0.try_get(column).map_err(StoreError::broken)
    }

    pub(super) fn optional_bytes(self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.try_get(column).map_err(StoreError::broken)
    }

    pub(super) fn int(self, column: &str) -> Result<i64, StoreError> {
        self.0.try_get(column).map_err(StoreError::broken)
    }

    pub(super) fn optional_int(self, column: &str) -> Result<Option<i64>, StoreError> {
        self.0.try_get(column).map_err(StoreError::broken)
    }

    pub(super) fn flag(self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub(super) fn time(self, column: &str) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(self.int(column)?).map_err(StoreError::broken)
    }

    pub(super) fn optional_time(self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        self.optional_int(column)?
            .map(|micros| Timestamp::from_microsecond(micros).map_err(StoreError::broken))
            .transpose()
    }

    /// A text with a form of its own: an id, a role, a status.
    pub(super) fn parsed<T>(self, column: &str) -> Result<T, StoreError>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        self.text(column)?.parse().map_err(StoreError::broken)
    }

    pub(super) fn optional_parsed<T>(self, column: &str) -> Result<Option<T>, StoreError>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        self.optional_text(column)?.map(|text| text.parse().map_err(StoreError::broken)).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(StoreError::broken)
    }
}

/// The text of a value that is kept as JSON.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::broken)
}

/// Microseconds since 1970, as every time is kept.
pub(super) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_microsecond)
}
