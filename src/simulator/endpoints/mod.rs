//! The endpoints of the administration API: each a function of the organization and the call.
//!
//! Nothing here waits, fails or counts; that is the work of the request's way in [`super::front`].

pub(super) mod admin_keys;
pub(super) mod assignments;
pub(super) mod audit_logs;
pub(super) mod groups;
pub(super) mod invites;
pub(super) mod project_groups;
pub(super) mod project_keys;
pub(super) mod project_users;
pub(super) mod projects;
pub(super) mod roles;
pub(super) mod service_accounts;
pub(super) mod users;
