//! A typed client of the OpenAI organization administration API
//! (<https://platform.openai.com/docs/api-reference/administration>).
//!
//! Every method makes **one** attempt and says what came of it: an [`Answer`], or a [`Failure`] whose kind tells
//! whether the call can have taken effect. Nothing is retried here, because whoever retries must first look at the
//! world again. All calls pass through one door, [`Client`]'s `send`, which holds the budget ([`Limiter`]), the
//! deadline, the classification, the log line and the metrics.
//!
//! Knows nothing of SCIM, of the store or of the domain's types: ids, roles and addresses are text here.

mod audit;
mod client;
mod credentials;
mod endpoint;
mod failure;
mod groups;
mod invites;
mod keys;
mod limiter;
mod page;
mod projects;
mod reply;
mod roles;
mod users;
pub mod wire;

pub use audit::AuditQuery;
pub use client::{Answer, Client, Settings, SetupError};
pub use credentials::{OwnerId, ProjectKey, ProjectKeyOwner, ServiceAccount};
pub use endpoint::Endpoint;
pub use failure::{Failure, FailureKind};
pub use invites::NewInvite;
pub use keys::{AdminKey, KeyOwner};
pub use limiter::{Learnt, Limiter};
pub use page::{End, Item, Page, Walk};
