//! `scim-bridge invites`: who is invited, since when and until when; sending again, and withdrawing.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::out::{self, Table};
use super::who::{Word, entry, find_person};
use super::{Desk, Global};
use crate::ids::TenantId;
use crate::model::mapping::{Mapping, Status};
use crate::model::upkeep::{Instruction, Wanted};
use crate::store::{MappingFilter, MappingRow, StoreError};

/// How many rows are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show invites that are out, ran out, were refused or are held, with the reason
    List(List),
    /// Send somebody a new invite: withdraws the one that is out, and begins to count anew
    #[command(after_help = "Examples:\n  \
        scim-bridge invites resend jane@example.com --reason \"never arrived\"\n  \
        scim-bridge invites resend --expired")]
    Resend(Resend),
    /// Withdraw somebody's invite and send no other until `invites resend`, or until they are activated anew
    #[command(
        after_help = "Example:\n  scim-bridge invites revoke jane@example.com --reason \"starts in May\""
    )]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Only those that ran out
    #[arg(long)]
    expired: bool,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Resend {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// SCIM id, userName, e-mail address, externalId, or invite id
    #[arg(required_unless_present = "expired")]
    person: Option<String>,
    /// Everybody whose invite ran out and is not replaced
    #[arg(long, conflicts_with = "person")]
    expired: bool,
    #[command(flatten)]
    word: Word,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// SCIM id, userName, e-mail address, externalId, or invite id
    person: String,
    #[command(flatten)]
    word: Word,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let tenant = match &command {
        Command::List(List { tenant, .. })
        | Command::Resend(Resend { tenant, .. })
        | Command::Revoke(Revoke { tenant, .. }) => tenant.clone(),
    };
    Desk::open(global, &tenant, async |desk| match command {
        Command::List(list) => list.run(desk).await,
        Command::Resend(resend) => resend.run(desk).await,
        Command::Revoke(revoke) => revoke.run(desk).await,
    })
    .await
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let statuses: &[Status] = if self.expired {
            &[Status::Expired]
        } else {
            &[Status::Invited, Status::Expired, Status::Refused, Status::Held]
        };
        let mut rows = Vec::new();
        for status in statuses {
            // Of those who are held only the ones who are not in yet.
            let found = with_status(desk, &self.tenant, *status).await?;
            rows.extend(found.into_iter().filter(|row| row.mapping.user_id.is_none()));
        }
        if self.json {
            let rows: Vec<Value> = rows.iter().map(to_json).collect();
            return Ok(out::print(serde_json::to_string_pretty(&rows)?)?);
        }
        let mut table = Table::new(&["USER NAME", "STATUS", "INVITE", "SENT", "RUNS OUT", "REASON"]);
        for MappingRow { person, mapping } in rows {
            table.row([
                person.user_name,
                mapping.status.to_string(),
                mapping.invite_id.as_ref().map(ToString::to_string).unwrap_or_default(),
                times(&mapping),
                mapping.invite_expires_at.map(|at| format!("{at:.0}")).unwrap_or_default(),
                mapping.status_reason.unwrap_or_default(),
            ]);
        }
        Ok(out::print(table)?)
    }
}

fn times(mapping: &Mapping) -> String {
    match mapping.upkeep.invites_sent {
        0 => String::new(),
        1 => "once".to_owned(),
        times => format!("{times} times"),
    }
}

fn to_json(MappingRow { person, mapping }: &MappingRow) -> Value {
    json!({
        "scim_id": person.id,
        "user_name": person.user_name,
        "status": mapping.status,
        "status_reason": mapping.status_reason,
        "invite_id": mapping.invite_id,
        "invites_sent": mapping.upkeep.invites_sent,
        "expires_at": mapping.invite_expires_at,
    })
}

async fn with_status(desk: &Desk, tenant: &TenantId, status: Status) -> anyhow::Result<Vec<MappingRow>> {
    let filter = MappingFilter { status: Some(status), ..MappingFilter::default() };
    let (mut rows, mut after) = (Vec::new(), None);
    let mut reader = desk.store.reader().await?;
    loop {
        let page = reader.list_mappings(tenant, &filter, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = Some(last.person.id);
        rows.extend(page.into_iter().filter(|row| row.person.deleted_at.is_none()));
    }
}

impl Resend {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let rows = match &self.person {
            Some(person) => vec![find_person(desk, &self.tenant, person).await?],
            None => with_status(desk, &self.tenant, Status::Expired).await?,
        };
        for row in &rows {
            check(row, true)?;
        }
        for row in &rows {
            instruct(desk, &self.tenant, row, Wanted::Resend, "invite.resend", &self.word).await?;
        }
        if self.person.is_none() {
            out::note(format!("asked for {} new invites; a server that runs sends them", rows.len()));
        }
        Ok(())
    }
}

impl Revoke {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let row = find_person(desk, &self.tenant, &self.person).await?;
        check(&row, false)?;
        instruct(desk, &self.tenant, &row, Wanted::Withhold, "invite.revoke", &self.word).await
    }
}

/// Refuses what would have no effect, and says what to do instead.
fn check(MappingRow { person, mapping }: &MappingRow, resends: bool) -> anyhow::Result<()> {
    let name = &person.user_name;
    if !person.wants_access() {
        bail!("{name} is deactivated or deleted; assign them in the identity provider to invite them");
    }
    // Somebody who was removed outside the bridge is held with the id of the former member.
    if mapping.user_id.is_some() && !(resends && mapping.status == Status::Held) {
        bail!("{name} is a member already; to take access away, deactivate them in the identity provider");
    }
    Ok(())
}

async fn instruct(
    desk: &Desk,
    tenant: &TenantId,
    row: &MappingRow,
    what: Wanted,
    event: &str,
    word: &Word,
) -> anyhow::Result<()> {
    let (id, at) = (row.person.id, desk.clock.now());
    let instruction = Instruction { what, at, by: word.by.clone(), why: word.reason.clone() };
    let detail = json!({ "by": word.by, "reason": word.reason });
    let entry = entry(desk, tenant, Some(id), event, detail);
    let tenant = tenant.clone();
    desk.store
        .write(move |tx| {
            let (tenant, instruction, entry) = (tenant.clone(), instruction.clone(), entry.clone());
            Box::pin(async move {
                tx.instruct(&tenant, id, instruction).await?;
                tx.append_audit(&entry).await
            })
        })
        .await
        .map_err(|error: StoreError| error)?;
    out::note(format!("{}: noted; a server that runs does it within seconds", row.person.user_name));
    Ok(())
}
