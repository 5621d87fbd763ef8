//! `scim-bridge plan`: what would be done now. It reads the store, beside a server that runs or without one, and calls
//! nobody.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::holds::GroupNames;
use super::out::{self, Table};
use super::who::find_person;
use super::{Desk, Global};
use crate::ids::TenantId;
use crate::model::grant::ProjectGrant;
use crate::model::hold::{Guard, Hold};
use crate::model::operation::{Action, Lane};
use crate::openai::{Endpoint, Limiter};
use crate::provision::plan::{Planned, Step};
use crate::provision::preview::{Effort, Preview, Previews, budgets, least_time};

/// How many people are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Args)]
#[command(
    after_help = "The plan is made from what is stored: what identity providers wish, and what was last seen of the \
    organization. Nothing is called. A server that runs carries it out by itself.\n\nExamples:\n  \
    scim-bridge plan\n  \
    scim-bridge plan jane@example.com --diff\n  \
    scim-bridge plan --json | jq '.people[].steps[].reason'"
)]
pub(super) struct Plan {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Only this person: SCIM id, userName, e-mail address, externalId, invite id or OpenAI user id
    person: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "diff")]
    json: bool,
    /// Print what changes for each person, as a diff
    #[arg(long)]
    diff: bool,
}

/// Everybody for whom there is something to do, and what it takes.
#[derive(Debug)]
pub(super) struct Outlook {
    pub(super) people: Vec<Preview>,
    pub(super) calls: Vec<Share>,
    pub(super) at_least: SignedDuration,
    /// Calls that take access away, and how many of them pass before a human is asked.
    losses: (u64, u64),
    /// What waits for a human, of all groups.
    group_holds: Vec<Hold>,
    names: GroupNames,
    standstill: Option<String>,
    has_read: bool,
    read_at: Option<Timestamp>,
}

/// The calls of one endpoint, and what its budget makes of them.
#[derive(Debug)]
pub(super) struct Share {
    endpoint: &'static str,
    calls: u64,
    /// Calls that the endpoint lets through in a minute, as far as was learnt.
    per_minute: u32,
    /// How many of them may start now.
    left_now: f64,
    /// Until the last one can start.
    at_least: SignedDuration,
}

impl Plan {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        Desk::open(global, &self.tenant.clone(), async |desk| {
            let outlook = look(desk, &self.tenant, self.person.as_deref()).await?;
            if self.json {
                return Ok(out::print(serde_json::to_string_pretty(&outlook.to_json())?)?);
            }
            if self.diff {
                for preview in &outlook.people {
                    out::print(diff(preview))?;
                }
                for hold in &outlook.group_holds {
                    let whose = outlook.names.whose(hold);
                    out::print(format!(
                        "{whose}\n  ! {}    # {}",
                        held_in_full(hold.guard, &hold.subject),
                        hold.reason
                    ))?;
                }
            } else if !outlook.people.is_empty() || !outlook.group_holds.is_empty() {
                out::print(outlook.table())?;
            }
            Ok(out::print(outlook.summary())?)
        })
        .await
    }
}

/// Works out the plan of one person or of everybody.
pub(super) async fn look(desk: &Desk, tenant: &TenantId, person: Option<&str>) -> anyhow::Result<Outlook> {
    let only = match person {
        Some(person) => Some(find_person(desk, tenant, person).await?.person.id),
        None => None,
    };
    let now = desk.clock.now();
    let mut reader = desk.store.reader().await?;
    let mut previews = Previews::load(&mut reader, tenant, &desk.settings(tenant)?.policy).await?;
    let (mut people, mut effort, mut after) = (Vec::new(), Effort::default(), None);
    loop {
        let ids = match only {
            Some(id) if after.is_none() => vec![id],
            Some(_) => Vec::new(),
            None => reader.page_ids(tenant, after, PAGE).await?,
        };
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        for id in ids {
            let Some(preview) = previews.of(&mut reader, id, now).await? else { continue };
            effort.add(&preview.plan);
            if preview.has_news() || only.is_some() {
                people.push(preview);
            }
        }
    }
    people.sort_by_key(|preview| crate::provision::plan::lane_of(&preview.plan));
    let per_minute = desk.settings(tenant)?.requests_per_minute.value;
    let calls = effort.calls(&previews.facts);
    let limiter = budgets(&mut reader, tenant, per_minute).await?;
    let at_least = least_time(&calls, &limiter, now);
    let losses = (effort.losses(), previews.losses_left(&mut reader, now).await?);
    let read_at = previews.facts.sweeps.values().map(|sweep| sweep.started_at).min();
    let calls = shares(&calls, &limiter, now);
    let (has_read, standstill, mut group_holds) =
        (read_at.is_some(), previews.standstill, previews.group_holds);
    if only.is_some() {
        group_holds.clear();
    }
    let names = GroupNames::load(&mut reader, tenant, &group_holds).await?;
    Ok(Outlook { people, calls, at_least, losses, group_holds, names, standstill, has_read, read_at })
}

impl Outlook {
    fn table(&self) -> Table {
        let mut table = Table::new(&["USER NAME", "LANE", "STEP", "WHY"]);
        for preview in &self.people {
            for planned in &preview.plan {
                table.row([
                    preview.person.user_name.clone(),
                    planned.lane.to_string(),
                    in_full(&planned.step),
                    planned.reason.clone(),
                ]);
            }
        }
        for hold in &self.group_holds {
            table.row([
                self.names.whose(hold),
                Lane::Reduce.to_string(),
                held_in_full(hold.guard, &hold.subject),
                hold.reason.clone(),
            ]);
        }
        table
    }

    /// What remains, in sentences.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        let total: u64 = self.calls.iter().map(|share| share.calls).sum();
        let busy = self.people.iter().filter(|preview| preview.has_work()).count();
        let others = self.people.len().saturating_sub(busy);
        if self.people.is_empty() && self.group_holds.is_empty() {
            text.push_str("Nothing to do.");
        } else {
            // Writing to a String cannot fail.
            let _written =
                write!(text, "{busy} people with something to do, {others} who wait or are held.").is_ok();
        }
        if !self.group_holds.is_empty() {
            let count = self.group_holds.len();
            let what = if count == 1 { "call about a group is" } else { "calls about groups are" };
            let _written = write!(text, "\n{count} {what} held: `scim-bridge holds list`.").is_ok();
        }
        if total > 0 {
            let names: Vec<String> = self.calls.iter().map(Share::to_string).collect();
            let _written = write!(
                text,
                "\n{total} calls are known of now: {}. With what was learnt of OpenAI's rate limits, {}. More can follow from \
                 what they bring, and whoever is invited has to accept.",
                names.join(", "),
                match self.at_least.as_secs() {
                    0 => "all of them can start at once".to_owned(),
                    seconds => format!("the last one starts in about {}", in_words(seconds)),
                }
            )
            .is_ok();
        }
        if let (losses, left) = self.losses
            && losses > left
        {
            let _written = write!(
                text,
                "\n{losses} calls take access away, and {left} of them pass before a human is asked \
                 (safety.max_removals and its kin); the others become holds: `scim-bridge holds list`."
            )
            .is_ok();
        }
        if let Some(standstill) = &self.standstill {
            let _written = write!(text, "\nNothing of this is carried out at present: {standstill}.").is_ok();
        }
        if !self.has_read {
            text.push_str(
                "\nThe organization has not been read yet: start the server, or use `scim-bridge apply`.",
            );
        } else if let Some(at) = self.read_at {
            let _written = write!(text, "\nThe organization was last read from {at:.0} on.").is_ok();
        }
        text
    }

    fn to_json(&self) -> Value {
        let people: Vec<Value> = self.people.iter().map(to_json).collect();
        let calls: serde_json::Map<String, Value> = self.calls.iter().map(Share::to_json).collect();
        json!({
            "people": people,
            "calls": calls,
            "at_least_seconds": self.at_least.as_secs(),
            "losses": self.losses.0,
            "losses_before_a_human_is_asked": self.losses.1,
            "group_holds": self.names.to_json(&self.group_holds),
            "standstill": self.standstill,
            "organization_read_at": self.read_at,
        })
    }
}

/// What the budgets make of these calls.
pub(super) fn shares(calls: &BTreeMap<Endpoint, u64>, limiter: &Limiter, now: Timestamp) -> Vec<Share> {
    let shares = calls.iter().map(|(endpoint, calls)| Share {
        endpoint: endpoint.name(),
        calls: *calls,
        per_minute: limiter.allowed(*endpoint, now),
        left_now: limiter.left(*endpoint, now),
        at_least: limiter.last_start(*endpoint, *calls, now).duration_since(now),
    });
    shares.collect()
}

impl Share {
    /// The name of the endpoint, and the rest for programs to read.
    pub(super) fn to_json(&self) -> (String, Value) {
        let Self { endpoint, calls, per_minute, left_now, at_least } = self;
        let budget = json!({
            "calls": calls,
            "per_minute": per_minute,
            "left_now": left_now,
            "at_least_seconds": at_least.as_secs(),
        });
        ((*endpoint).to_owned(), budget)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, calls, per_minute, left_now, .. } = self;
        write!(f, "{calls} {endpoint} ({per_minute} a minute, {left_now} left now)")
    }
}

/// Seconds as somebody would say it.
fn in_words(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3_600),
    }
}

fn to_json(preview: &Preview) -> Value {
    let (status, reason) = &preview.status;
    json!({
        "scim_id": preview.person.id,
        "user_name": preview.person.user_name,
        "status": status,
        "status_reason": reason,
        "steps": preview.plan.iter().map(step_to_json).collect::<Vec<_>>(),
    })
}

/// One step, with what holds it.
fn in_full(step: &Step) -> String {
    match step {
        Step::Hold(held) => held_in_full(held.guard, &held.subject),
        _ => step.to_string(),
    }
}

fn held_in_full(guard: Guard, subject: &str) -> String {
    format!("hold ({guard}): {subject}")
}

/// One step for programs to read.
pub(super) fn step_to_json(planned: &Planned) -> Value {
    let text = planned.step.to_string();
    let kind = text.split(' ').next().unwrap_or_default();
    let action = match &planned.step {
        Step::Call(action) => json!(action),
        _ => Value::Null,
    };
    let held = match &planned.step {
        Step::Hold(held) => json!({ "guard": held.guard.as_str(), "subject": held.subject }),
        _ => Value::Null,
    };
    json!({
        "lane": planned.lane.as_str(),
        "kind": kind,
        "step": text,
        "action": action,
        "held": held,
        "reason": planned.reason,
    })
}

/// What changes for one person: `+` for what is given, `-` for what is taken, `~` for what is replaced, `!` for what
/// waits for somebody, `?` for what must be found out first.
fn diff(preview: &Preview) -> String {
    let mut text = format!("{} ({})", preview.person.user_name, preview.status.0);
    for planned in &preview.plan {
        let line = match &planned.step {
            Step::Call(action) => change(action, preview),
            Step::Read(read) => format!("? {read}"),
            Step::Record(change) => format!("  {change}"),
            Step::Wait(_) | Step::Conclude(..) => continue,
            step => format!("! {}", in_full(step)),
        };
        text.push_str("\n  ");
        text.push_str(&line);
        text.push_str("    # ");
        text.push_str(&planned.reason);
    }
    text
}

fn change(action: &Action, preview: &Preview) -> String {
    let roles = |projects: &[ProjectGrant]| {
        projects.iter().fold(String::new(), |text, grant| format!("{text}, {} as {}", grant.id, grant.role))
    };
    match action {
        Action::CreateInvite { address, role, projects } => {
            format!("+ invite to {address} as {role}{}", roles(projects))
        }
        Action::DeleteInvite { invite } => format!("- invite {invite}"),
        Action::DeleteUser { user } => format!("- member {user}"),
        Action::SetRole { role, .. } => {
            let before = preview.mapping.effective_role.map_or("unknown", |before| before.as_str());
            format!("~ role {before} -> {role}")
        }
        Action::AddToProject { project, role, .. } => format!("+ {project} as {role}"),
        Action::SetProjectRole { project, role, .. } => {
            let held = preview.mapping.effective_projects.iter().find(|grant| grant.id == *project);
            format!("~ {project} {} -> {role}", held.map_or("unknown", |grant| grant.role.as_str()))
        }
        Action::RemoveFromProject { project, .. } => format!("- {project}"),
        Action::Assign { what, .. } => format!("+ {what}"),
        Action::Unassign { what, .. } => format!("- {what}"),
    }
}
