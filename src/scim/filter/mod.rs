//! Filters of RFC 7644 §3.4.2.2: text → [`Filter`] → [`ResolvedFilter`] → a yes or no for a resource.
//!
//! Parsing knows the grammar alone; resolving asks the schema what the names mean, and refuses what cannot be compared.
//! The text is at most 4 KiB with 50 comparisons, nested 10 deep, so that no filter costs more than a normal one.

mod ast;
mod eval;
mod lexer;
mod parser;
mod resolve;

pub use ast::{CompareOp, Filter, Literal, Operand};
pub(in crate::scim) use parser::parse_patch_path;
pub use resolve::{Comparand, Field, ResolvedFilter};
pub(in crate::scim) use resolve::{fold, instant};

#[cfg(test)]
mod tests;
