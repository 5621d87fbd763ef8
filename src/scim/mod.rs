//! The SCIM protocol core (RFC 7643, RFC 7644): documents, filters, paths and patches as plain values.
//!
//! It knows no HTTP, no SQL, no OpenAI and no clock, and imports nothing else of this crate. A request goes through it
//! in four steps:
//!
//! 1. [`schema::validate()`] or [`patch::PatchRequest::parse`] checks a body and puts it into canonical form;
//!    [`filter::Filter::parse`], [`list::Page::parse`] and [`project::Projection::parse`] do so for the query;
//! 2. [`patch::PatchRequest::apply`] changes a [`resource::Resource`] and says what changed;
//! 3. [`filter::ResolvedFilter`] finds resources, in memory or compiled by the store;
//! 4. [`project::Projection::apply`], [`list::ListResponse`] and [`error::ScimError`] make the answer.
//!
//! What identity providers do otherwise than the RFCs is in [`dialect`], and nowhere else.

pub mod dialect;
pub mod error;
pub mod etag;
pub mod filter;
pub mod list;
pub mod patch;
pub mod path;
pub mod project;
pub mod resource;
pub mod schema;
