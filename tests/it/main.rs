//! Integration tests: everything through the outermost door.

mod prop_filter;
mod prop_patch;
