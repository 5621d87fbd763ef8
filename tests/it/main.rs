//! Integration tests: everything through the outermost door.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod access_cli;
mod access_jwt;
mod access_matrix;
mod access_oauth;
mod access_tokens;
mod acme;
mod alarms;
mod architecture;
mod bad_input;
mod budget;
mod canary;
mod cli;
mod cli_adopt;
mod cli_audit;
mod cli_evidence;
mod cli_guards;
mod conformance;
mod crash;
mod differential_filter;
mod fuzz_seeds;
mod harness;
mod model_patch;
mod openai;
mod openai_client;
mod plans;
mod profiles;
mod prop_converge;
mod prop_filter;
mod prop_patch;
mod prop_query;
mod provision;
mod provision_budgets;
mod provision_census;
mod provision_drift;
mod provision_grants;
mod provision_group_holds;
mod provision_groups;
mod provision_guards;
mod provision_invites;
mod readme;
mod regressions;
mod scim_auth;
mod scim_bulk;
mod scim_catalogue;
mod scim_discovery;
mod scim_errors;
mod scim_events;
mod scim_events_push;
mod scim_filter;
mod scim_gate;
mod scim_groups;
mod scim_hostile;
mod scim_listener;
mod scim_log;
mod scim_paging;
mod scim_patch;
mod scim_query;
mod scim_tenants;
mod scim_tls;
mod scim_users;
mod simulation;
mod simulator;
mod store_contract;
mod supply_chain;
mod tenants;
mod transcripts;
