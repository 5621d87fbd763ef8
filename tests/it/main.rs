//! Integration tests: everything through the outermost door.

mod prop_filter;
mod prop_patch;
// `cfg(test)` holds for all of this binary; saying it lets the helpers unwrap and index as tests may.
#[cfg(test)]
mod harness;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod openai_client;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod prop_converge;
#[cfg(test)]
mod provision;
#[cfg(test)]
mod simulator;
#[cfg(test)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod harness;
mod store_contract;
