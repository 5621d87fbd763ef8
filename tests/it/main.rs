//! Integration tests: everything through the outermost door.

mod harness;
mod store_contract;
