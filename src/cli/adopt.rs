//! `scim-bridge adopt` and `scim-bridge import`: an organization that had people in it before the bridge came.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::out::{self, Table};
use super::who::{Word, entry};
use super::{Desk, Global};
use crate::ids::{PersonId, TenantId, UserId};
use crate::model::observed::Collection;
use crate::model::upkeep::{Instruction, Wanted};
use crate::provision::adopt::{
    Kind, Line, Shown, show_member, survey_invite, survey_member, why_not_linkable,
};
use crate::store::Tx;

/// How many rows are read at a time.
const PAGE: i64 = 500;
/// The columns of a file of lines.
const COLUMNS: [&str; 7] = ["kind", "id", "email", "role", "scim_id", "user_name", "note"];

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Hold members and invites against the directory: match, conflict, unmanaged, and what is not to be touched
    #[command(after_help = "Examples:\n  \
        scim-bridge adopt plan\n  \
        scim-bridge adopt plan --csv > lines.csv    strike what you do not mean, then: adopt apply lines.csv")]
    Plan(Survey),
    /// Link members to users, as approved: the lines of a file, or every match
    #[command(
        after_help = "A file has the columns `id` (the OpenAI user) and `scim_id`, and may have the others of `adopt \
        plan --csv`. All of its lines are linked, or none.\n\nExamples:\n  \
        scim-bridge adopt apply lines.csv --reason \"CHG-1234\"\n  \
        scim-bridge adopt apply --all-matches --reason \"CHG-1234\""
    )]
    Apply(Approve),
}

#[derive(Debug, Args)]
pub(super) struct Survey {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Leave out what is linked already
    #[arg(long)]
    open: bool,
    /// Print a JSON array instead of a table
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values, which `adopt apply` reads
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The file of approved lines; `-` is standard input
    #[arg(required_unless_present = "all_matches", conflicts_with = "all_matches")]
    file: Option<PathBuf>,
    /// Approve every member that matches one user, except owners
    #[arg(long)]
    all_matches: bool,
    #[command(flatten)]
    word: Word,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Each member becomes a SCIM user that identity providers find: Okta by its import, Entra ID when it \
    matches. Until one of them writes that user, or creates a user of the same name or address, the bridge changes nothing \
    about the member. Service accounts, protected accounts and whom OpenAI's own sync manages are left out.\n\nExamples:\n  \
    scim-bridge import --dry-run\n  \
    scim-bridge import"
)]
pub(super) struct Import {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Show owners as well
    #[arg(long)]
    owners: bool,
    /// Tell who would be shown, but do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let tenant = match &command {
        Command::Plan(Survey { tenant, .. }) | Command::Apply(Approve { tenant, .. }) => tenant.clone(),
    };
    Desk::open(global, &tenant, async |desk| match command {
        Command::Plan(survey) => survey.run(desk).await,
        Command::Apply(approve) => approve.run(desk).await,
    })
    .await
}

/// Every member and every pending invite, held against the directory.
async fn survey(desk: &Desk, tenant: &TenantId) -> anyhow::Result<Vec<Line>> {
    let mut reader = desk.store.reader().await?;
    ensure!(
        reader.last_sweep(tenant, &Collection::Members).await?.is_some(),
        "the organization has not been read yet: start the server, or use `scim-bridge apply`"
    );
    let policy = &desk.settings(tenant)?.policy;
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let members = reader.members_with_person(tenant, after.as_ref(), PAGE).await?;
        let Some((last, _)) = members.last() else { break };
        after = Some(last.id.clone());
        for (member, bound) in members {
            lines.push(survey_member(&mut reader, tenant, policy, &member, bound).await?);
        }
    }
    let mut after = None;
    loop {
        let invites = reader.open_invites_with_person(tenant, after.as_ref(), PAGE).await?;
        let Some((last, _)) = invites.last() else { break };
        after = Some(last.id.clone());
        for (invite, bound) in invites {
            lines.extend(survey_invite(&mut reader, tenant, &invite, bound).await?);
        }
    }
    lines.sort_by(|a, b| (a.is_invite, a.kind, &a.email, &a.id).cmp(&(b.is_invite, b.kind, &b.email, &b.id)));
    Ok(lines)
}

impl Survey {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let mut lines = survey(desk, &self.tenant).await?;
        if self.open {
            lines.retain(|line| line.kind != Kind::Linked);
        }
        if self.json {
            let lines: Vec<Value> = lines.iter().map(to_json).collect();
            return Ok(out::print(serde_json::to_string_pretty(&lines)?)?);
        }
        if self.csv {
            let mut target = csv::Writer::from_writer(Vec::new());
            target.write_record(COLUMNS)?;
            for line in &lines {
                target.write_record(fields(line))?;
            }
            let text = String::from_utf8(target.into_inner()?)?;
            return Ok(out::print(text.trim_end())?);
        }
        let mut table = Table::new(&["KIND", "ID", "E-MAIL", "ROLE", "SCIM ID", "USER NAME", "NOTE"]);
        for line in &lines {
            table.row(fields(line));
        }
        out::print(table)?;
        let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
        for line in lines.iter().filter(|line| !line.is_invite) {
            *counts.entry(line.kind).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())).collect();
        out::note(format!("members: {}", counts.join(", ")));
        Ok(())
    }
}

fn fields(line: &Line) -> [String; 7] {
    let (scim_id, user_name) =
        line.person.as_ref().map(|(id, name)| (id.to_string(), name.clone())).unwrap_or_default();
    [
        line.kind.as_str().to_owned(),
        line.id.clone(),
        line.email.clone().unwrap_or_default(),
        line.role.map(|role| role.to_string()).unwrap_or_default(),
        scim_id,
        user_name,
        line.note.clone(),
    ]
}

fn to_json(line: &Line) -> Value {
    let person = line.person.as_ref();
    json!({
        "kind": line.kind.as_str(),
        "what": if line.is_invite { "invite" } else { "member" },
        "id": line.id,
        "email": line.email,
        "role": line.role,
        "scim_id": person.map(|(id, _)| id),
        "user_name": person.map(|(_, name)| name),
        "note": line.note,
    })
}

/// A link that was approved.
#[derive(Debug, Clone)]
struct Approved {
    /// Where it stands, for messages.
    place: String,
    user: UserId,
    person: PersonId,
}

impl Approve {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let approved = match &self.file {
            Some(file) => {
                read(file).with_context(|| format!("nothing was linked from {}", file.display()))?
            }
            None => self.matches(desk).await?,
        };
        let count = approved.len();
        let order = Arc::new((
            approved,
            self.tenant.clone(),
            self.word.clone(),
            desk.settings(&self.tenant)?.policy.clone(),
        ));
        let entry = entry(desk, &self.tenant, None, "adopt.approve", Value::Null);
        let at = desk.clock.now();
        desk.store
            .write(move |tx| {
                let (order, entry) = (Arc::clone(&order), entry.clone());
                Box::pin(async move {
                    let (approved, tenant, word, policy) = &*order;
                    for Approved { place, user, person } in approved {
                        let refusal = why_not_linkable(tx, tenant, policy, *person, user).await?;
                        if let Some(refusal) = refusal {
                            bail!("{place}: {refusal}; nothing was linked");
                        }
                        let what = Wanted::Link(user.clone());
                        let told = Instruction { what, at, by: word.by.clone(), why: word.reason.clone() };
                        tx.instruct(tenant, *person, told).await?;
                        let mut entry = entry.clone();
                        entry.person = Some(*person);
                        entry.detail = json!({ "user_id": user, "by": word.by, "reason": word.reason });
                        tx.append_audit(&entry).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        out::note(format!("{count} links approved; a server that runs makes them within seconds"));
        Ok(())
    }

    async fn matches(&self, desk: &Desk) -> anyhow::Result<Vec<Approved>> {
        let is_meant = |line: &&Line| {
            line.kind == Kind::Match
                && !line.is_invite
                && line.role != Some(crate::model::grant::OrgRole::Owner)
        };
        let lines = survey(desk, &self.tenant).await?;
        let approved = lines.iter().filter(is_meant).filter_map(|line| {
            let (person, _) = line.person.as_ref()?;
            Some(Approved { place: line.id.clone(), user: line.id.as_str().into(), person: *person })
        });
        Ok(approved.collect())
    }
}

/// Reads approved lines.
fn read(file: &PathBuf) -> anyhow::Result<Vec<Approved>> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        text
    } else {
        fs::read_to_string(file)?
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        let place = header.iter().position(|known| known == name);
        place.with_context(|| {
            format!("the file has no column `{name}`; `scim-bridge adopt plan --csv` makes one")
        })
    };
    let (id, scim_id) = (column("id")?, column("scim_id")?);
    let mut approved = Vec::new();
    for row in reader.records() {
        let row = row?;
        let place = format!("line {}", row.position().map_or(0, csv::Position::line));
        let user = row.get(id).unwrap_or_default();
        let person = row.get(scim_id).unwrap_or_default();
        ensure!(!user.is_empty(), "{place}: the column `id` is empty");
        let person = person.parse().with_context(|| {
            format!("{place}: `{person}` in the column `scim_id` is no SCIM id; strike lines without one")
        })?;
        approved.push(Approved { place, user: user.into(), person });
    }
    Ok(approved)
}

/// Ends the transaction of a dry run, so that nothing of it stays.
#[derive(Debug, thiserror::Error)]
#[error("nothing was written")]
struct DryRun(BTreeMap<&'static str, usize>);

impl Import {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        Desk::open(global, &self.tenant.clone(), async |desk| self.import(desk).await).await
    }

    async fn import(&self, desk: &Desk) -> anyhow::Result<()> {
        let lines = survey(desk, &self.tenant).await?;
        let lines = lines.into_iter().filter(|line| !line.is_invite && line.kind == Kind::Unmanaged);
        let users: Vec<UserId> = lines.map(|line| line.id.as_str().into()).collect();
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for page in users.chunks(usize::try_from(PAGE)?) {
            for (word, count) in self.import_page(desk, page.to_vec()).await? {
                *counts.entry(word).or_default() += count;
            }
        }
        let mut parts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        if parts.is_empty() {
            parts.push("nobody to show".to_owned());
        }
        out::note(parts.join(", "));
        Ok(())
    }

    async fn import_page(
        &self,
        desk: &Desk,
        users: Vec<UserId>,
    ) -> anyhow::Result<BTreeMap<&'static str, usize>> {
        let entry = entry(desk, &self.tenant, None, "user.import", Value::Null);
        let order =
            (users, self.tenant.clone(), desk.clock.clone(), desk.settings(&self.tenant)?.policy.clone());
        let (order, owners, dry_run) = (Arc::new((order, entry)), self.owners, self.dry_run);
        let written = desk
            .store
            .write(move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move {
                    let ((users, tenant, clock, policy), entry) = &*order;
                    let mut counts = BTreeMap::new();
                    for user in users {
                        let Some(member) = tx.member(tenant, user).await? else { continue };
                        let (shown, person) = show_member(tx, clock, policy, tenant, &member, owners).await?;
                        *counts.entry(word(shown, dry_run)).or_default() += 1;
                        note_import(tx, entry, person, user).await?;
                    }
                    if dry_run { Err(anyhow::Error::new(DryRun(counts))) } else { Ok(counts) }
                })
            })
            .await;
        match written {
            Ok(counts) => Ok(counts),
            Err(error) => match error.downcast::<DryRun>() {
                Ok(DryRun(counts)) => Ok(counts),
                Err(error) => Err(error),
            },
        }
    }
}

async fn note_import(
    tx: &mut Tx,
    entry: &crate::model::audit::AuditEntry,
    person: Option<PersonId>,
    user: &UserId,
) -> anyhow::Result<()> {
    if person.is_some() {
        let mut entry = entry.clone();
        entry.person = person;
        entry.detail = json!({ "user_id": user });
        tx.append_audit(&entry).await?;
    }
    Ok(())
}

fn word(shown: Shown, dry_run: bool) -> &'static str {
    match shown {
        Shown::Added if dry_run => "would be shown",
        Shown::Added => "shown to identity providers",
        Shown::NoAddress => "left out because their address cannot be a user's",
        Shown::Taken => "left out because a user has their name",
        Shown::LeftOut => "left out because they are owners (--owners shows them) or not to be touched",
    }
}
