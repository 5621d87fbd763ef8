//! `/organization/audit_logs`

use serde_json::Value;

use crate::simulator::call::{Call, Outcome, Refusal};
use crate::simulator::objects::{Actor, Event};
use crate::simulator::options::Feature;
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

/// The newest event comes first.
pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let filter = Filter::parse(call)?;
    let is_on = organization.options.audit_log == Feature::On;
    let rows = organization
        .events
        .rows()
        .rev()
        .filter(|row| is_on && organization.is_listed(row) && filter.matches(organization, &row.value));
    let items: Vec<_> = rows.map(|row| (row.id.as_str(), row)).collect();
    ById { call, options: &organization.options, max: 100, missing: Missing::NotFound }
        .page(&items, |row| wire::event(organization, &row.id, &row.value))
}

struct Filter<'a> {
    after: Option<i64>,
    from: Option<i64>,
    before: Option<i64>,
    to: Option<i64>,
    projects: Vec<&'a str>,
    kinds: Vec<&'a str>,
    actor_ids: Vec<&'a str>,
    actor_emails: Vec<&'a str>,
    resources: Vec<&'a str>,
    is_tenant_only: bool,
}

impl<'a> Filter<'a> {
    fn parse(call: &'a Call) -> Result<Self, Refusal> {
        let query = &call.query;
        Ok(Self {
            after: query.number("effective_at[gt]")?,
            from: query.number("effective_at[gte]")?,
            before: query.number("effective_at[lt]")?,
            to: query.number("effective_at[lte]")?,
            projects: query.many("project_ids"),
            kinds: query.many("event_types"),
            actor_ids: query.many("actor_ids"),
            actor_emails: query.many("actor_emails"),
            resources: query.many("resource_ids"),
            is_tenant_only: query.flag("tenant_only")?,
        })
    }

    fn matches(&self, organization: &Organization, event: &Event) -> bool {
        let at = event.effective_at;
        let person = match &event.actor {
            Actor::Key(key) => organization.admin_keys.get(key).map(|key| key.owner.as_str()),
            Actor::Person(id) => Some(id.as_str()),
            Actor::System => None,
        };
        let email =
            person.and_then(|id| organization.members.get(id)).and_then(|member| member.email.as_deref());
        !self.is_tenant_only
            && self.after.is_none_or(|bound| at > bound)
            && self.from.is_none_or(|bound| at >= bound)
            && self.before.is_none_or(|bound| at < bound)
            && self.to.is_none_or(|bound| at <= bound)
            && is_among(&self.kinds, Some(event.kind))
            && is_among(&self.projects, event.project.as_deref())
            && is_among(&self.resources, event.detail.get("id").and_then(Value::as_str))
            && is_among(&self.actor_ids, person)
            && is_among(&self.actor_emails, email)
    }
}

fn is_among(wanted: &[&str], found: Option<&str>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(&found))
}
