//! `scim-bridge why`: one person explained. What they should have and which grant gives it, what they have, where they
//! stand, what would be done next, and what was done last.

use clap::Args;
use serde_json::{Value, json};

use super::holds::GroupNames;
use super::out;
use super::plan::{Share, shares, step_to_json};
use super::who::find_person;
use super::{Desk, Global};
use crate::ids::TenantId;
use crate::model::hold::Hold;
use crate::model::operation::Operation;
use crate::provision::desired::{Desired, in_words};
use crate::provision::preview::{Effort, Preview, Previews, budgets};

/// How many of the latest calls are shown.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scim-bridge why jane@example.com\n  \
    scim-bridge why user-abc123 --json")]
pub(super) struct Why {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// SCIM id, userName, e-mail address, externalId, invite id or OpenAI user id
    person: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Why {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        Desk::open(global, &self.tenant.clone(), async |desk| {
            let row = find_person(desk, &self.tenant, &self.person).await?;
            let now = desk.clock.now();
            let mut reader = desk.store.reader().await?;
            let mut previews =
                Previews::load(&mut reader, &self.tenant, &desk.settings(&self.tenant)?.policy).await?;
            let preview = previews.of(&mut reader, row.person.id, now).await?;
            let Some(preview) = preview else { anyhow::bail!("the user is gone") };
            let per_minute = desk.settings(&self.tenant)?.requests_per_minute.value;
            let limiter = budgets(&mut reader, &self.tenant, per_minute).await?;
            let mut effort = Effort::default();
            effort.add(&preview.plan);
            let shares = shares(&effort.calls(&previews.facts), &limiter, now);
            let standstill = previews.standstill.as_deref();
            if self.json {
                let names = GroupNames::load(&mut reader, &self.tenant, &preview.holds).await?;
                let told = to_json(&preview, &names, standstill, &shares);
                out::print(serde_json::to_string_pretty(&told)?)?;
            } else {
                for line in lines(&preview, standstill, &shares) {
                    out::print(line)?;
                }
            }
            Ok(())
        })
        .await
    }
}

/// The explanation, line by line.
fn lines(preview: &Preview, standstill: Option<&str>, shares: &[Share]) -> Vec<String> {
    let Preview { person, mapping, plan, .. } = preview;
    let mut lines = vec![format!("{}  SCIM id {}", person.user_name, person.id)];
    let reason = mapping.status_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    lines.push(format!("Status      {}{reason}", mapping.status));
    let wish = match (person.deleted_at, person.active) {
        (Some(at), _) => format!("deleted by the identity provider at {at:.0}"),
        (None, true) => format!("access, since version {} of {:.0}", person.version, person.modified_at),
        (None, false) => format!("no access, since version {} of {:.0}", person.version, person.modified_at),
    };
    lines.push(format!("Wish        {wish}"));
    let mut ties = Vec::new();
    ties.extend(mapping.user_id.as_ref().map(|user| format!("member {user}, {}", mapping.origin.as_str())));
    ties.extend(mapping.invite_id.as_ref().map(|invite| {
        let end = mapping.invite_expires_at.map(|at| format!(" until {at:.0}")).unwrap_or_default();
        format!("invite {invite}{end}")
    }));
    ties.extend(mapping.former_user_id.as_ref().map(|user| format!("formerly {user}")));
    lines.push(format!(
        "Upstream    {}",
        if ties.is_empty() { "nothing".to_owned() } else { ties.join("; ") }
    ));
    lines.extend(
        mapping.upkeep.instruction.as_ref().map(|told| format!("Told        by {told} ({:.0})", told.at)),
    );
    lines.extend(mapping.upkeep.drift.iter().map(|drift| format!("Changed     outside the bridge: {drift}")));
    lines.extend(preview.holds.iter().map(held));
    lines.extend(standstill.map(|why| format!("Standstill  no change is made at present: {why}")));
    lines.push("Should have".to_owned());
    lines.extend(grants(&preview.desired).into_iter().map(|(what, why)| format!("  {what}  by {why}")));
    lines.extend(preview.desired.refused.iter().map(|refused| format!("  not granted: {refused}")));
    lines.push("Has".to_owned());
    lines.extend(mapping.effective_role.map(|role| format!("  organization role {role}")));
    lines.extend(mapping.effective_projects.iter().map(|grant| format!("  {} as {}", grant.id, grant.role)));
    lines.extend(mapping.effective_assignments.iter().map(|assignment| format!("  {assignment}")));
    lines.push("Next".to_owned());
    lines.extend(plan.iter().map(|planned| format!("  {planned}")));
    if plan.is_empty() {
        lines.push("  nothing to do".to_owned());
    }
    lines.extend(shares.iter().map(|share| format!("  takes {share}")));
    lines.push("Latest calls".to_owned());
    lines.extend(preview.operations.iter().take(SHOWN).map(call));
    lines
}

/// What is granted, with what gives it.
fn grants(desired: &Desired) -> Vec<(String, String)> {
    let role = desired.org_role.as_ref();
    let role = role.map(|granted| (format!("organization role {}", granted.role), granted.why()));
    let projects = desired.projects.iter();
    let projects = projects.map(|(id, granted)| (format!("{id} as {}", granted.role), granted.why()));
    let everybody = desired.wants_access.then(|| {
        let words = "membership of the organization".to_owned();
        (words, "the assignment in the identity provider".to_owned())
    });
    let assignments = desired.assignments.iter();
    let assignments = assignments.map(|(assignment, sources)| (assignment.to_string(), in_words(sources)));
    everybody.into_iter().chain(role).chain(projects).chain(assignments).collect()
}

fn held(hold: &Hold) -> String {
    let decision = hold.decision.as_ref();
    let by = decision.map(|decision| format!(" by {}", decision.by)).unwrap_or_default();
    format!(
        "Held        {} since {:.0}, guard {}, {}{by}: {}",
        hold.id,
        hold.made_at,
        hold.guard,
        hold.state.as_str(),
        hold.subject
    )
}

fn call(operation: &Operation) -> String {
    let words = operation.outcome.as_deref().map(|words| format!(" ({words})")).unwrap_or_default();
    let request = operation.upstream_request_id.as_deref();
    let request = request.map(|id| format!(", request {id}")).unwrap_or_default();
    format!(
        "  {:.0}  {} {}{words}: {}{request}",
        operation.sent_at,
        operation.action.kind(),
        operation.state.as_str(),
        operation.reason,
    )
}

fn to_json(preview: &Preview, names: &GroupNames, standstill: Option<&str>, shares: &[Share]) -> Value {
    let Preview { person, mapping, plan, desired, .. } = preview;
    let grants: Vec<Value> =
        grants(desired).into_iter().map(|(what, why)| json!({ "access": what, "given_by": why })).collect();
    let operations = preview.operations.iter().take(SHOWN).map(|operation| {
        json!({
            "sent_at": operation.sent_at,
            "action": operation.action,
            "state": operation.state.as_str(),
            "reason": operation.reason,
            "outcome": operation.outcome,
            "upstream_request_id": operation.upstream_request_id,
        })
    });
    json!({
        "scim_id": person.id,
        "user_name": person.user_name,
        "external_id": person.external_id,
        "wants_access": desired.wants_access,
        "status": mapping.status,
        "status_reason": mapping.status_reason,
        "origin": mapping.origin,
        "user_id": mapping.user_id,
        "invite_id": mapping.invite_id,
        "invite_expires_at": mapping.invite_expires_at,
        "invites_sent": mapping.upkeep.invites_sent,
        "instruction": mapping.upkeep.instruction,
        "drift": mapping.upkeep.drift,
        "grants": grants,
        "not_granted": desired.refused,
        "effective_role": mapping.effective_role,
        "effective_projects": mapping.effective_projects,
        "next": plan.iter().map(step_to_json).collect::<Vec<_>>(),
        "holds": names.to_json(&preview.holds),
        "standstill": standstill,
        "calls": shares.iter().map(Share::to_json).collect::<serde_json::Map<_, _>>(),
        "looked_at_next": preview.due_at,
        "operations": operations.collect::<Vec<_>>(),
    })
}
