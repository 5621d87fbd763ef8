//! Integration tests: everything through the outermost door.

// `cfg(test)` holds for all of this binary; saying it lets the helpers unwrap and index as tests may.
#[cfg(test)]
mod harness;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod prop_filter;
#[cfg(test)]
mod prop_patch;
#[cfg(test)]
mod scim_auth;
#[cfg(test)]
mod scim_discovery;
#[cfg(test)]
mod scim_errors;
#[cfg(test)]
mod scim_filter;
#[cfg(test)]
mod scim_groups;
#[cfg(test)]
mod scim_hostile;
#[cfg(test)]
mod scim_listener;
#[cfg(test)]
mod scim_log;
#[cfg(test)]
mod scim_paging;
#[cfg(test)]
mod scim_patch;
#[cfg(test)]
mod scim_users;
#[cfg(test)]
mod store_contract;
