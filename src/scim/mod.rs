//! The SCIM protocol core (RFC 7643, RFC 7644): documents, filters, paths and patches as plain values.
//!
//! It knows no HTTP, no SQL, no OpenAI and no clock, and imports nothing else of this crate. A request goes through it
//! in four steps:
//!
//! 1. [`schema::validate()`] or [`patch::PatchRequest::parse`] checks a body and puts it into canonical form;
//!    [`search::Query`] does so for a query, and [`bulk::BulkRequest::parse`] for many requests in one;
//! 2. [`patch::PatchRequest::apply`] changes a [`resource::Resource`] and says what changed;
//! 3. [`filter::ResolvedFilter`] finds resources and [`sort::ResolvedSort`] orders them, in memory or compiled by the
//!    store; [`cursor::Cursor`] remembers the place between two pages;
//! 4. [`project::Projection::apply`], [`list::ListResponse`] and [`error::ScimError`] make the answer.
//!
//! What identity providers do otherwise than the RFCs is in [`dialect`], and nowhere else; [`profile`] names each
//! such deviation and says for whom it is chosen.

pub mod bulk;
pub mod cursor;
pub mod dialect;
pub mod error;
pub mod etag;
pub mod filter;
pub mod list;
pub mod patch;
pub mod path;
pub mod profile;
pub mod project;
pub mod resource;
pub mod schema;
pub mod search;
pub mod sort;
