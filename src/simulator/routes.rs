//! The table of endpoints: method and path template, as OpenAI's API description writes them.

use http::Method;
use percent_encoding::percent_decode_str;

use super::call::{Call, Outcome};
use super::endpoints::{
    admin_keys, assignments, audit_logs, groups, invites, project_groups, project_keys, project_users,
    projects, roles, service_accounts, users,
};
use super::organization::Organization;

/// One endpoint.
pub(super) type Endpoint = fn(&mut Organization, &Call) -> Outcome;

/// What a path and a method lead to.
pub(super) enum Found {
    Endpoint {
        template: &'static str,
        path: Vec<(&'static str, String)>,
        endpoint: Endpoint,
    },
    /// The path is known, the method is not.
    OtherMethod {
        template: &'static str,
    },
    Nothing,
}

/// Looks a path up that is relative to `/v1`.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut known = None;
    for (wanted, template, endpoint) in ROUTES {
        if let Some(path) = values(template, path) {
            if method.as_str() == *wanted {
                return Found::Endpoint { template, path, endpoint: *endpoint };
            }
            known = Some(*template);
        }
    }
    known.map_or(Found::Nothing, |template| Found::OtherMethod { template })
}

/// The method and the template of every endpoint.
pub(super) fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|(method, template, _)| (*method, *template))
}

/// Whether a template is one of the API's.
pub(super) fn is_template(template: &str) -> bool {
    ROUTES.iter().any(|(_, known, _)| *known == template)
}

/// The values of the template's parameters, if the path fits.
fn values(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut values = Vec::new();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(wanted), Some(given)) => {
                match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) if !given.is_empty() => {
                        values.push((name, percent_decode_str(given).decode_utf8_lossy().into_owned()));
                    }
                    None if wanted == given => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

const ROUTES: &[(&str, &str, Endpoint)] = &[
    ("GET", "/organization/admin_api_keys", admin_keys::list),
    ("POST", "/organization/admin_api_keys", admin_keys::create),
    ("GET", "/organization/admin_api_keys/{key_id}", admin_keys::retrieve),
    ("DELETE", "/organization/admin_api_keys/{key_id}", admin_keys::delete),
    ("GET", "/organization/audit_logs", audit_logs::list),
    ("GET", "/organization/groups", groups::list),
    ("POST", "/organization/groups", groups::create),
    ("GET", "/organization/groups/{group_id}", groups::retrieve),
    ("POST", "/organization/groups/{group_id}", groups::update),
    ("DELETE", "/organization/groups/{group_id}", groups::delete),
    ("GET", "/organization/groups/{group_id}/roles", assignments::list),
    ("POST", "/organization/groups/{group_id}/roles", assignments::create),
    ("GET", "/organization/groups/{group_id}/roles/{role_id}", assignments::retrieve),
    ("DELETE", "/organization/groups/{group_id}/roles/{role_id}", assignments::delete),
    ("GET", "/organization/groups/{group_id}/users", groups::list_users),
    ("POST", "/organization/groups/{group_id}/users", groups::add_user),
    ("GET", "/organization/groups/{group_id}/users/{user_id}", groups::retrieve_user),
    ("DELETE", "/organization/groups/{group_id}/users/{user_id}", groups::remove_user),
    ("GET", "/organization/invites", invites::list),
    ("POST", "/organization/invites", invites::create),
    ("GET", "/organization/invites/{invite_id}", invites::retrieve),
    ("DELETE", "/organization/invites/{invite_id}", invites::delete),
    ("GET", "/organization/projects", projects::list),
    ("POST", "/organization/projects", projects::create),
    ("GET", "/organization/projects/{project_id}", projects::retrieve),
    ("POST", "/organization/projects/{project_id}", projects::update),
    ("POST", "/organization/projects/{project_id}/archive", projects::archive),
    ("GET", "/organization/projects/{project_id}/api_keys", project_keys::list),
    ("GET", "/organization/projects/{project_id}/api_keys/{api_key_id}", project_keys::retrieve),
    ("DELETE", "/organization/projects/{project_id}/api_keys/{api_key_id}", project_keys::delete),
    ("GET", "/organization/projects/{project_id}/groups", project_groups::list),
    ("POST", "/organization/projects/{project_id}/groups", project_groups::create),
    ("GET", "/organization/projects/{project_id}/groups/{group_id}", project_groups::retrieve),
    ("DELETE", "/organization/projects/{project_id}/groups/{group_id}", project_groups::delete),
    ("GET", "/organization/projects/{project_id}/service_accounts", service_accounts::list),
    ("POST", "/organization/projects/{project_id}/service_accounts", service_accounts::create),
    (
        "GET",
        "/organization/projects/{project_id}/service_accounts/{service_account_id}",
        service_accounts::retrieve,
    ),
    (
        "POST",
        "/organization/projects/{project_id}/service_accounts/{service_account_id}",
        service_accounts::update,
    ),
    (
        "DELETE",
        "/organization/projects/{project_id}/service_accounts/{service_account_id}",
        service_accounts::delete,
    ),
    ("GET", "/organization/projects/{project_id}/users", project_users::list),
    ("POST", "/organization/projects/{project_id}/users", project_users::create),
    ("GET", "/organization/projects/{project_id}/users/{user_id}", project_users::retrieve),
    ("POST", "/organization/projects/{project_id}/users/{user_id}", project_users::update),
    ("DELETE", "/organization/projects/{project_id}/users/{user_id}", project_users::delete),
    ("GET", "/organization/roles", roles::list),
    ("POST", "/organization/roles", roles::create),
    ("GET", "/organization/roles/{role_id}", roles::retrieve),
    ("POST", "/organization/roles/{role_id}", roles::update),
    ("DELETE", "/organization/roles/{role_id}", roles::delete),
    ("GET", "/organization/users", users::list),
    ("GET", "/organization/users/{user_id}", users::retrieve),
    ("POST", "/organization/users/{user_id}", users::update),
    ("DELETE", "/organization/users/{user_id}", users::delete),
    ("GET", "/organization/users/{user_id}/roles", assignments::list),
    ("POST", "/organization/users/{user_id}/roles", assignments::create),
    ("GET", "/organization/users/{user_id}/roles/{role_id}", assignments::retrieve),
    ("DELETE", "/organization/users/{user_id}/roles/{role_id}", assignments::delete),
    // The roles of projects live outside `/organization`.
    ("GET", "/projects/{project_id}/groups/{group_id}/roles", assignments::list),
    ("POST", "/projects/{project_id}/groups/{group_id}/roles", assignments::create),
    ("GET", "/projects/{project_id}/groups/{group_id}/roles/{role_id}", assignments::retrieve),
    ("DELETE", "/projects/{project_id}/groups/{group_id}/roles/{role_id}", assignments::delete),
    ("GET", "/projects/{project_id}/roles", roles::list),
    ("POST", "/projects/{project_id}/roles", roles::create),
    ("GET", "/projects/{project_id}/roles/{role_id}", roles::retrieve),
    ("POST", "/projects/{project_id}/roles/{role_id}", roles::update),
    ("DELETE", "/projects/{project_id}/roles/{role_id}", roles::delete),
    ("GET", "/projects/{project_id}/users/{user_id}/roles", assignments::list),
    ("POST", "/projects/{project_id}/users/{user_id}/roles", assignments::create),
    ("GET", "/projects/{project_id}/users/{user_id}/roles/{role_id}", assignments::retrieve),
    ("DELETE", "/projects/{project_id}/users/{user_id}/roles/{role_id}", assignments::delete),
];
