//! What the stand-in can be told to do differently: every behaviour that OpenAI's documentation leaves open is a
//! switch here, with the documented or observed behaviour as default.

use serde::{Deserialize, Serialize};

/// Settings of one [`Simulator`](super::Simulator); `Options::default()` behaves as documented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The organization's id.
    pub organization_id: String,
    /// Bearer keys with full rights. They appear among the admin keys, owned by the first owner.
    pub admin_keys: Vec<String>,
    /// Bearer keys that may only read; a write with one of them is a 403.
    pub read_only_keys: Vec<String>,
    /// Addresses of the owners present at the start; the first one is the organization's default user.
    pub owners: Vec<String>,
    /// The request limiter.
    pub limiter: LimiterOptions,
    /// No page holds more than this many items, whatever `limit` asks for.
    pub page_cap: Option<usize>,
    /// Seconds from the creation of an invite to its expiry.
    pub invite_lifetime_seconds: u32,
    /// Name of the invite's creation time.
    pub invite_timestamp: InviteTimestamp,
    /// Status of a successful creation where both 200 and 201 are documented.
    pub created_status: CreatedStatus,
    /// Inviting an address whose only invite has expired.
    pub expired_reinvite: Policy,
    /// Deleting an expired invite.
    pub expired_invite_deletion: Policy,
    /// Whether the projects of an invite take effect on acceptance.
    pub invite_projects: Feature,
    /// Whether an invite keeps the case of its address.
    pub email_case: EmailCase,
    /// Whether a person who comes back gets the former user id.
    pub rejoin: Rejoin,
    /// How the `emails` filter of the user list works.
    pub emails_filter: EmailsFilter,
    /// Answer of the user list to an `after` that names nobody.
    pub users_unknown_cursor: UnknownCursor,
    /// Deleting or demoting the last owner.
    pub last_owner_removal: Policy,
    /// Whether an admin key goes on working after its owner was removed.
    pub keys_of_removed_members: Feature,
    /// Whether the project keys of somebody who was removed are shown as active.
    pub project_keys_of_removed_members: Feature,
    /// Whether organization owners are shown in every project's user list.
    pub owners_in_projects: Feature,
    /// Adding somebody to the default project directly.
    pub default_project_members: Policy,
    /// Adding somebody to a project twice.
    pub duplicate_project_user: Duplicate,
    /// Adding somebody to a group twice.
    pub duplicate_group_member: Duplicate,
    /// Two groups of one name.
    pub duplicate_group_names: Policy,
    /// How many groups there may be; one more is a 422.
    pub max_groups: usize,
    /// Status of a write to a group that OpenAI's own directory sync manages.
    pub scim_managed_write_status: u16,
    /// The groups feature; off means 404 on the whole family.
    pub groups: Feature,
    /// The roles feature; off means 404 on roles and role assignments.
    pub roles: Feature,
    /// The audit log; off means it stays empty.
    pub audit_log: Feature,
    /// Form of the predefined roles' ids.
    pub role_ids: RoleIds,
    /// Form of the error in a 403.
    pub forbidden_body: ForbiddenBody,
    /// Milliseconds for which an accepted invite is still shown as pending.
    pub status_lag_ms: u32,
    /// Milliseconds for which a new object answers 404 to a GET of its item.
    pub not_found_lag_ms: u32,
    /// Milliseconds for which a new object is missing from lists.
    pub list_lag_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            organization_id: "org-simulator".to_owned(),
            admin_keys: vec!["sk-admin-simulator".to_owned()],
            read_only_keys: Vec::new(),
            owners: vec!["owner@example.com".to_owned(), "second.owner@example.com".to_owned()],
            limiter: LimiterOptions::default(),
            page_cap: None,
            invite_lifetime_seconds: 7 * 24 * 60 * 60,
            invite_timestamp: InviteTimestamp::CreatedAt,
            created_status: CreatedStatus::Ok,
            expired_reinvite: Policy::Allow,
            expired_invite_deletion: Policy::Allow,
            invite_projects: Feature::On,
            email_case: EmailCase::Kept,
            rejoin: Rejoin::SameId,
            emails_filter: EmailsFilter::Correct,
            users_unknown_cursor: UnknownCursor::BadRequest,
            last_owner_removal: Policy::Refuse,
            keys_of_removed_members: Feature::Off,
            project_keys_of_removed_members: Feature::Off,
            owners_in_projects: Feature::On,
            default_project_members: Policy::Allow,
            duplicate_project_user: Duplicate::Conflict,
            duplicate_group_member: Duplicate::Conflict,
            duplicate_group_names: Policy::Allow,
            max_groups: 1000,
            scim_managed_write_status: 400,
            groups: Feature::On,
            roles: Feature::On,
            audit_log: Feature::On,
            role_ids: RoleIds::Long,
            forbidden_body: ForbiddenBody::Text,
            status_lag_ms: 0,
            not_found_lag_ms: 0,
            list_lag_ms: 0,
        }
    }
}

/// The limiter: so many requests in a window, counted per method and path template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimiterOptions {
    /// Whether it limits at all.
    pub enabled: bool,
    /// Requests that pass in one window.
    pub requests: u32,
    /// Length of the window, which opens with the first request.
    pub window_seconds: u32,
    /// How the 429 tells the delay.
    pub dialect: Dialect,
}

impl Default for LimiterOptions {
    fn default() -> Self {
        Self { enabled: true, requests: 7, window_seconds: 60, dialect: Dialect::DelayInText }
    }
}

/// The forms in which a 429 has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `text/plain`, no header, no delay.
    PlainText,
    /// An error object with code `rate_limit_exceeded` and the delay in decimal seconds inside the message.
    DelayInText,
    /// An error object, and whole seconds in `Retry-After`.
    RetryAfter,
}

/// Whether something is accepted or refused with a 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It works.
    Allow,
    /// It is a 400.
    Refuse,
}

/// Whether something exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// Answer to adding what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicate {
    /// 409.
    Conflict,
    /// 400 with `already exists` in the message.
    BadRequest,
    /// 200, as if it were new.
    Accept,
}

/// Name of the invite's creation time on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InviteTimestamp {
    /// `created_at`, the present name.
    CreatedAt,
    /// `invited_at`, the name until 2026.
    InvitedAt,
}

/// Status of a successful creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreatedStatus {
    /// 200.
    Ok,
    /// 201.
    Created,
}

/// What becomes of the case of an invited address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailCase {
    /// It stays as sent.
    Kept,
    /// It is stored in lower case.
    Lowered,
}

/// User id of a person who joins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejoin {
    /// The former one.
    SameId,
    /// A new one.
    NewId,
}

/// How the `emails` filter works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailsFilter {
    /// Without regard to case.
    Correct,
    /// With regard to case.
    CaseSensitive,
    /// It never finds anybody, as has been reported of the real API.
    AlwaysEmpty,
}

/// Answer to an `after` that names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCursor {
    /// 400.
    BadRequest,
    /// An empty last page.
    EmptyPage,
}

/// Form of the predefined roles' ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleIds {
    /// `role-api-project-member__api-project__proj_…`
    Long,
    /// `role-api-project-member`
    Short,
}

/// Form of the error in a 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForbiddenBody {
    /// `{"error": "…"}`
    Text,
    /// `{"error": {"message": …}}`
    Object,
}
