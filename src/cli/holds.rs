//! `scim-bridge holds`: what waits for a human, and the human's word. A server that runs notices by itself.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::out::{self, Table};
use super::who::{Word, entry, find_group, find_person};
use super::{Desk, Global};
use crate::ids::{GroupId, HoldId, TenantId};
use crate::model::audit::AuditEntry;
use crate::model::hold::{About, Decision, Guard, Hold};
use crate::store::{HoldFilter, Reader, StoreError};

/// How many are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what waits for a decision, and what was decided and is not done
    #[command(after_help = "Examples:\n  \
        scim-bridge holds list --guard mass-removal\n  \
        scim-bridge holds list --group Engineering\n  \
        scim-bridge holds list --person jane@example.com --all --json")]
    List(List),
    /// Let what is held happen, once
    #[command(
        after_help = "The approval is for exactly what is held. If the identity provider changes the user first, it \
        has to be given again; likewise if more people would lose something with a group.\n\nExamples:\n  \
        scim-bridge holds approve 0199… --reason \"asked HR\"\n  \
        scim-bridge holds approve --guard mass-removal --reason \"the Berlin office closes\""
    )]
    Approve(Decide),
    /// Do not let it happen: the wish stays held until the identity provider changes the user, or as long as the group
    /// is to lose it
    #[command(
        after_help = "Example:\n  scim-bridge holds reject --guard mass-removal --reason \"wrong group\""
    )]
    Reject(Decide),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    #[command(flatten)]
    whose: Whose,
    /// Only those of this guard, such as mass-removal, min-owners or seat-limit
    #[arg(long)]
    guard: Option<Guard>,
    /// Those that are over as well
    #[arg(long)]
    all: bool,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// Whose wish waits.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Whose {
    /// Only those of this person: SCIM id, userName, e-mail address, externalId, or an OpenAI id
    #[arg(long)]
    person: Option<String>,
    /// Only those of this group: SCIM id, displayName or externalId
    #[arg(long)]
    group: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Decide {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The holds, as `holds list` shows them
    #[arg(value_name = "ID", required_unless_present_any = ["person", "group", "guard"],
        conflicts_with_all = ["person", "group"])]
    ids: Vec<HoldId>,
    #[command(flatten)]
    whose: Whose,
    /// All holds of this guard
    #[arg(long, conflicts_with = "ids")]
    guard: Option<Guard>,
    #[command(flatten)]
    word: Word,
    /// Print a JSON array of what was decided
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let tenant = match &command {
        Command::List(List { tenant, .. })
        | Command::Approve(Decide { tenant, .. })
        | Command::Reject(Decide { tenant, .. }) => tenant.clone(),
    };
    Desk::open(global, &tenant, async |desk| match command {
        Command::List(list) => list.run(desk).await,
        Command::Approve(decide) => decide.run(desk, true).await,
        Command::Reject(decide) => decide.run(desk, false).await,
    })
    .await
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let Self { tenant, whose, guard, all, json } = self;
        let is_over = if all { None } else { Some(false) };
        let filter = HoldFilter { guard, is_over, ..whose.filter(desk, &tenant).await? };
        let holds = read(desk, &tenant, &filter).await?;
        let names = GroupNames::load(&mut desk.store.reader().await?, &tenant, &holds).await?;
        if json {
            return Ok(out::print(serde_json::to_string_pretty(&names.to_json(&holds))?)?);
        }
        let mut table = Table::new(&["ID", "STATE", "GUARD", "WHAT", "FOR", "SINCE", "REASON", "DECIDED"]);
        for hold in holds {
            let decision = hold.decision.as_ref().map(|Decision { by, why, .. }| match why {
                Some(why) => format!("{by}: {why}"),
                None => by.clone(),
            });
            let whose = names.whose(&hold);
            table.row([
                hold.id.to_string(),
                hold.state.as_str().to_owned(),
                hold.guard.to_string(),
                hold.subject,
                whose,
                format!("{:.0}", hold.made_at),
                hold.reason,
                decision.unwrap_or_default(),
            ]);
        }
        Ok(out::print(table)?)
    }
}

impl Decide {
    async fn run(self, desk: &Desk, approve: bool) -> anyhow::Result<()> {
        let mut holds = Vec::new();
        for id in &self.ids {
            let filter = HoldFilter { id: Some(*id), is_over: Some(false), ..HoldFilter::default() };
            let found = read(desk, &self.tenant, &filter).await?;
            ensure!(!found.is_empty(), "no hold {id} waits; see `scim-bridge holds list`");
            holds.extend(found);
        }
        if self.ids.is_empty() {
            let filter = self.whose.filter(desk, &self.tenant).await?;
            let filter = HoldFilter { guard: self.guard, is_over: Some(false), ..filter };
            holds = read(desk, &self.tenant, &filter).await?;
            ensure!(!holds.is_empty(), "nothing of that kind is held; see `scim-bridge holds list`");
        }
        if approve {
            // Of many, those for which a word is not enough are left out; when named, that is an error.
            let (able, unable): (Vec<_>, Vec<_>) =
                holds.into_iter().partition(|hold| hold.guard.can_be_approved());
            if let Some(hold) = unable.iter().find(|_| !self.ids.is_empty() || able.is_empty()) {
                bail!("hold {} of the guard {} cannot be approved: {}", hold.id, hold.guard, hold.reason);
            }
            holds = able;
        }
        let mut decided = Vec::new();
        for hold in holds {
            if self.decide(desk, &hold, approve).await? {
                decided.push(hold);
            } else {
                out::note(format!("hold {} has changed meanwhile and is left as it is; look again", hold.id));
            }
        }
        if self.json {
            let names = GroupNames::load(&mut desk.store.reader().await?, &self.tenant, &decided).await?;
            out::print(serde_json::to_string_pretty(&names.to_json(&decided))?)?;
        }
        let (count, what) = (decided.len(), if approve { "approved" } else { "rejected" });
        ensure!(count > 0, "nothing was decided");
        out::note(format!("{what}: {count} {}", if count == 1 { "hold" } else { "holds" }));
        Ok(())
    }

    async fn decide(&self, desk: &Desk, hold: &Hold, approve: bool) -> anyhow::Result<bool> {
        let Word { reason, by } = self.word.clone();
        let why = Some(reason).filter(|reason| !reason.is_empty());
        let decision = Decision { at: desk.clock.now(), by, why };
        let entry = audit(desk, hold, approve, &decision);
        let hold = hold.clone();
        let decided = desk
            .store
            .write(move |tx| {
                let (hold, decision, entry) = (hold.clone(), decision.clone(), entry.clone());
                Box::pin(async move {
                    let decided = tx.decide_hold(&hold, approve, &decision).await?;
                    if decided {
                        tx.append_audit(&entry).await?;
                    }
                    Ok::<_, StoreError>(decided)
                })
            })
            .await?;
        Ok(decided)
    }
}

impl Whose {
    async fn filter(&self, desk: &Desk, tenant: &TenantId) -> anyhow::Result<HoldFilter> {
        let person = match &self.person {
            Some(person) => Some(find_person(desk, tenant, person).await?.person.id),
            None => None,
        };
        let group = match &self.group {
            Some(group) => Some(find_group(desk, tenant, group).await?.id),
            None => None,
        };
        Ok(HoldFilter { person, group, ..HoldFilter::default() })
    }
}

/// All holds that meet the filter.
async fn read(desk: &Desk, tenant: &TenantId, filter: &HoldFilter) -> anyhow::Result<Vec<Hold>> {
    let mut reader = desk.store.reader().await?;
    let mut holds: Vec<Hold> = Vec::new();
    loop {
        let page = reader.list_holds(tenant, filter, holds.last().map(|hold| hold.id), PAGE).await?;
        if page.is_empty() {
            return Ok(holds);
        }
        holds.extend(page);
    }
}

fn audit(desk: &Desk, hold: &Hold, approve: bool, decision: &Decision) -> AuditEntry {
    let event = if approve { "hold.approve" } else { "hold.reject" };
    let detail = json!({
        "hold": hold.id.to_string(),
        "guard": hold.guard.as_str(),
        "subject": hold.subject,
        "group": hold.about.group().map(|group| group.to_string()),
        "by": decision.by,
        "why": decision.why,
    });
    entry(desk, &hold.tenant, hold.about.person(), event, detail)
}

/// The names of the groups that holds are about, as far as these are still there.
#[derive(Debug)]
pub(super) struct GroupNames(BTreeMap<GroupId, String>);

impl GroupNames {
    pub(super) async fn load(
        reader: &mut Reader,
        tenant: &TenantId,
        holds: &[Hold],
    ) -> Result<Self, StoreError> {
        let mut names = BTreeMap::new();
        for group in holds.iter().filter_map(|hold| hold.about.group()) {
            if let Some(found) = reader.load_group(tenant, group).await? {
                names.insert(group, found.display_name);
            }
        }
        Ok(Self(names))
    }

    /// Whose wish waits: the id of a person, or a group and how many people it is about.
    pub(super) fn whose(&self, hold: &Hold) -> String {
        match hold.about {
            About::Person { id, .. } => id.to_string(),
            About::Group { id, losers } => {
                let name = self.0.get(&id).map(|name| format!("`{name}` ")).unwrap_or_default();
                format!("group {name}{id}, {losers} {}", if losers == 1 { "person" } else { "people" })
            }
        }
    }

    pub(super) fn to_json(&self, holds: &[Hold]) -> Vec<Value> {
        holds.iter().map(|hold| self.one_to_json(hold)).collect()
    }

    fn one_to_json(&self, hold: &Hold) -> Value {
        let decision =
            hold.decision.as_ref().map(|Decision { at, by, why }| json!({ "at": at, "by": by, "why": why }));
        let group = match hold.about {
            About::Person { .. } => Value::Null,
            About::Group { id, losers } => {
                json!({ "id": id.to_string(), "name": self.0.get(&id), "losers": losers })
            }
        };
        json!({
            "id": hold.id.to_string(),
            "tenant": hold.tenant,
            "state": hold.state.as_str(),
            "guard": hold.guard.as_str(),
            "can_be_approved": hold.guard.can_be_approved(),
            "what": hold.subject,
            "person": hold.about.person().map(|person| person.to_string()),
            "group": group,
            "reason": hold.reason,
            "since": hold.made_at,
            "decision": decision,
            "operation": hold.operation.map(|operation| operation.to_string()),
        })
    }
}
