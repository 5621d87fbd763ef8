//! What can go wrong with a directory operation, in the classes that the edge answers differently.

use std::error::Error;

use crate::scim::error::ScimError;
use crate::store::StoreError;

/// A failed operation. Whatever the class, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The request cannot be granted as it is; the words are for the client.
    #[error(transparent)]
    Refused(#[from] ScimError),
    /// Not now: the same request may be sent again later.
    #[error("the directory cannot be reached at the moment")]
    Unavailable(#[source] StoreError),
    /// A defect of ours.
    #[error("the directory is broken")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken => ScimError::uniqueness(USER_NAME_TAKEN).into(),
            // The store has tried several times: the row is being written by many at once.
            StoreError::Stale | StoreError::Unavailable(_) => Self::Unavailable(error),
            StoreError::Unusable(_) | StoreError::Broken(_) => Self::Broken(Box::new(error)),
        }
    }
}

/// Said when the only unique key of people is in use.
pub(super) const USER_NAME_TAKEN: &str =
    "userName belongs to another user; look it up with a filter and update that one";

/// Said when the only unique key of groups is in use.
pub(super) const GROUP_NAME_TAKEN: &str =
    "displayName belongs to another group; look it up with a filter and update that one";
