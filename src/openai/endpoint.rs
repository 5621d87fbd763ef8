//! The endpoints in use: one per method and path template, which is also what OpenAI limits the rate of.

use std::fmt;

use http::Method;

macro_rules! endpoints {
    ($($name:ident = $method:ident $template:literal, $label:literal;)*) => {
        /// One method on one path template of the Admin API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each name says its method and noun; the table below says the rest")]
        pub enum Endpoint {
            $($name,)*
        }

        impl Endpoint {
            /// Every endpoint.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The HTTP method.
            pub fn method(self) -> Method {
                match self {
                    $(Self::$name => Method::$method,)*
                }
            }

            /// The path below the base URL, with `{…}` where an id goes.
            pub fn template(self) -> &'static str {
                match self {
                    $(Self::$name => $template,)*
                }
            }

            /// The word for metrics and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

endpoints! {
    ListInvites = GET "/organization/invites", "list_invites";
    CreateInvite = POST "/organization/invites", "create_invite";
    GetInvite = GET "/organization/invites/{invite_id}", "get_invite";
    DeleteInvite = DELETE "/organization/invites/{invite_id}", "delete_invite";
    ListUsers = GET "/organization/users", "list_users";
    GetUser = GET "/organization/users/{user_id}", "get_user";
    UpdateUser = POST "/organization/users/{user_id}", "update_user";
    DeleteUser = DELETE "/organization/users/{user_id}", "delete_user";
    ListProjects = GET "/organization/projects", "list_projects";
    GetProject = GET "/organization/projects/{project_id}", "get_project";
    ListProjectUsers = GET "/organization/projects/{project_id}/users", "list_project_users";
    AddProjectUser = POST "/organization/projects/{project_id}/users", "add_project_user";
    GetProjectUser = GET "/organization/projects/{project_id}/users/{user_id}", "get_project_user";
    UpdateProjectUser = POST "/organization/projects/{project_id}/users/{user_id}", "update_project_user";
    RemoveProjectUser = DELETE "/organization/projects/{project_id}/users/{user_id}", "remove_project_user";
    ListGroups = GET "/organization/groups", "list_groups";
    CreateGroup = POST "/organization/groups", "create_group";
    UpdateGroup = POST "/organization/groups/{group_id}", "update_group";
    DeleteGroup = DELETE "/organization/groups/{group_id}", "delete_group";
    ListGroupUsers = GET "/organization/groups/{group_id}/users", "list_group_users";
    AddGroupUser = POST "/organization/groups/{group_id}/users", "add_group_user";
    GetGroupUser = GET "/organization/groups/{group_id}/users/{user_id}", "get_group_user";
    RemoveGroupUser = DELETE "/organization/groups/{group_id}/users/{user_id}", "remove_group_user";
    ListRoles = GET "/organization/roles", "list_roles";
    ListUserRoles = GET "/organization/users/{user_id}/roles", "list_user_roles";
    GetUserRole = GET "/organization/users/{user_id}/roles/{role_id}", "get_user_role";
    AssignUserRole = POST "/organization/users/{user_id}/roles", "assign_user_role";
    UnassignUserRole = DELETE "/organization/users/{user_id}/roles/{role_id}", "unassign_user_role";
    ListProjectKeys = GET "/organization/projects/{project_id}/api_keys", "list_project_keys";
    ListServiceAccounts = GET "/organization/projects/{project_id}/service_accounts", "list_service_accounts";
    ListAdminKeys = GET "/organization/admin_api_keys", "list_admin_keys";
    ListProjectRoles = GET "/projects/{project_id}/roles", "list_project_roles";
    GetProjectUserRole = GET "/projects/{project_id}/users/{user_id}/roles/{role_id}", "get_project_user_role";
    AssignProjectUserRole = POST "/projects/{project_id}/users/{user_id}/roles", "assign_project_user_role";
    UnassignProjectUserRole = DELETE "/projects/{project_id}/users/{user_id}/roles/{role_id}", "unassign_project_user_role";
    AddProjectGroup = POST "/organization/projects/{project_id}/groups", "add_project_group";
    GetProjectGroup = GET "/organization/projects/{project_id}/groups/{group_id}", "get_project_group";
    RemoveProjectGroup = DELETE "/organization/projects/{project_id}/groups/{group_id}", "remove_project_group";
    ListAuditLogs = GET "/organization/audit_logs", "list_audit_logs";
}

impl Endpoint {
    /// Whether a call changes nothing, so that an unknown outcome means no more than "could not be read".
    pub fn is_read(self) -> bool {
        self.method() == Method::GET
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_endpoints_share_a_name_or_a_budget() {
        let names: BTreeSet<_> = Endpoint::ALL.iter().map(|e| e.name()).collect();
        let budgets: BTreeSet<_> =
            Endpoint::ALL.iter().map(|e| (e.method().to_string(), e.template())).collect();
        assert_eq!((names.len(), budgets.len()), (Endpoint::ALL.len(), Endpoint::ALL.len()));
    }
}
