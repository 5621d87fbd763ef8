//! Integration tests: everything through the outermost door.

// `cfg(test)` holds for all of this binary; saying it lets the helpers unwrap and index as tests may.
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod openai_client;
#[cfg(test)]
mod simulator;
mod prop_filter;
mod prop_patch;
