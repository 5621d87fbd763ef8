//! Who may come in, and what they may do: static tokens, signed tokens of trusted issuers, and access tokens of our own
//! token endpoint.
//!
//! [`token`], [`keys`] and [`jwt`] judge texts and are pure. [`door`] decides about a presented credential with what
//! the store and the issuers know; [`oauth`] gives access tokens to clients; [`refusals`] keeps account of those who
//! were turned away, and [`expiry`] of tokens that will soon stop working. Nothing here knows HTTP's side of a request.

pub mod client;
pub mod door;
pub mod expiry;
mod fetch;
mod issuer;
pub mod jwt;
pub mod keys;
pub mod oauth;
pub mod refusals;
pub mod token;

pub use door::{Admission, Attempt, Door, Form, Refusal, Verdict};
pub use fetch::FetchError;

use crate::store::StoreError;

/// Nothing can be decided at the moment.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys of an issuer cannot be read.
    #[error("the keys of the token's issuer cannot be read at the moment")]
    NoKeys,
}
