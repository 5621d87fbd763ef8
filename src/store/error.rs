//! What can go wrong with the store, in the classes a caller can act on.

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique key is taken: for people, the `userName`.
    #[error("the unique key is taken")]
    Taken,
    /// The row changed since it was read; read again and decide anew.
    #[error("the row changed since it was read")]
    Stale,
    /// Locked, full, read-only or gone for the moment: nothing was written, the same request may be tried later.
    #[error("the database cannot be written at the moment")]
    Unavailable(#[source] sqlx::Error),
    /// The database was written by a newer program, or is not ours.
    #[error("{0}")]
    Unusable(String),
    /// A defect: a statement failed, or a stored value does not read back.
    #[error("the database gave an unexpected answer")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}
