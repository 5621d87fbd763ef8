//! What a test may see of the truth: the organization as it is, and the ledger.

use serde_json::{Value, json};

use super::Simulator;
use super::control::find_member;
use super::ledger::Entry;
use super::objects::{Group, Invite, InviteStatus, Member, Project};
use super::routes;
use super::wire;

impl Simulator {
    /// Every method and path template that is served.
    pub fn operations() -> Vec<(&'static str, &'static str)> {
        routes::operations().collect()
    }

    /// All members, service accounts included, in the order of joining.
    pub fn members(&self) -> Vec<Member> {
        self.lock().organization.members.values().cloned().collect()
    }

    /// The member with a user id or an address, in any case.
    pub fn member(&self, member: &str) -> Option<Member> {
        let world = self.lock();
        let id = find_member(&world.organization, member).ok()?;
        world.organization.members.get(&id).cloned()
    }

    /// All invites that were not deleted, oldest first.
    pub fn invites(&self) -> Vec<Invite> {
        self.lock().organization.invites.values().cloned().collect()
    }

    /// The invites of an address, in any case, that can still be accepted.
    pub fn pending_invites(&self, email: &str) -> Vec<Invite> {
        let world = self.lock();
        let organization = &world.organization;
        let is_pending = |invite: &&Invite| invite.status(organization.now) == InviteStatus::Pending;
        organization.invites_of(email).filter(is_pending).cloned().collect()
    }

    /// Every call since the start, or since the ledger was cleared.
    pub fn ledger(&self) -> Vec<Entry> {
        self.lock().ledger.entries().to_vec()
    }

    /// Forgets the calls so far.
    pub fn clear_ledger(&self) {
        self.lock().ledger.clear();
    }

    /// How many calls of a method (or `*`) and path template (or `*`) came, however they were answered.
    pub fn calls(&self, method: &str, template: &str) -> usize {
        self.count(method, template, |_| true)
    }

    /// How many such calls changed something.
    pub fn effects(&self, method: &str, template: &str) -> usize {
        self.count(method, template, |entry| entry.effect_at.is_some())
    }

    fn count(&self, method: &str, template: &str, is_wanted: impl Fn(&Entry) -> bool) -> usize {
        let is_counted = |entry: &&Entry| {
            (method == "*" || entry.method == method)
                && (template == "*" || entry.template == Some(template))
                && is_wanted(entry)
        };
        self.lock().ledger.entries().iter().filter(is_counted).count()
    }

    /// The whole organization as JSON, every object in its wire form.
    pub fn state(&self) -> Value {
        let world = self.lock();
        let organization = &world.organization;
        let project = |project: &Project| {
            let mut shown = wire::project(project);
            let users: Vec<Value> =
                project.users.rows().map(|row| json!({"id": row.id, "role": row.value.role})).collect();
            let groups: Vec<&String> = project.groups.rows().map(|row| &row.id).collect();
            if let Some(members) = shown.as_object_mut() {
                members.insert("is_default".to_owned(), json!(project.is_default));
                members.insert("users".to_owned(), json!(users));
                members.insert("groups".to_owned(), json!(groups));
            }
            shown
        };
        let group = |group: &Group| {
            let mut shown = wire::group(group);
            if let Some(members) = shown.as_object_mut() {
                let users: Vec<&String> = group.users.rows().map(|row| &row.id).collect();
                members.insert("users".to_owned(), json!(users));
            }
            shown
        };
        json!({
            "now": organization.now.to_string(),
            "organization_id": organization.options.organization_id,
            "users": organization.members.values().map(wire::user).collect::<Vec<_>>(),
            "invites": organization.invites.values().map(|it| wire::invite(organization, it)).collect::<Vec<_>>(),
            "projects": organization.projects.values().map(project).collect::<Vec<_>>(),
            "groups": organization.groups.values().map(group).collect::<Vec<_>>(),
            "roles": organization.roles.values().map(wire::role).collect::<Vec<_>>(),
            "service_accounts":
                organization.service_accounts.values().map(wire::service_account).collect::<Vec<_>>(),
        })
    }
}
