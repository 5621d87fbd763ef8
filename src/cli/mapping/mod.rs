//! `scim-bridge mapping`: the external-ID mapping table, to look at, to take away and to bring along.

mod import;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use super::out::{self, Table};
use super::{Desk, Global};
use crate::ids::{PersonId, TenantId};
use crate::model::mapping::Status;
use crate::store::{MappingFilter, MappingRecord, Store};

/// How many rows are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who is who: SCIM id, externalId, userName, invite and OpenAI user, with the status
    #[command(after_help = "Examples:\n  \
        scim-bridge mapping list --status invited\n  \
        scim-bridge mapping list --user-id user-abc --json")]
    List(List),
    /// Write the whole table to a file or to standard output, losslessly
    #[command(after_help = "Examples:\n  \
        scim-bridge mapping export --output mapping.csv\n  \
        scim-bridge mapping export --format jsonl | jq .user_name")]
    Export(Export),
    /// Read rows from a file and write them into the table: all of them, or none
    #[command(
        after_help = "The file has the columns (or keys) of an export. People whom the directory knows by SCIM \
        id keep what the identity provider wishes: only their ids of the OpenAI side and what was last seen there are \
        written. People whom it does not know are added. By itself an import calls nobody.\n\nExamples:\n  \
        scim-bridge mapping import mapping.csv --dry-run\n  \
        scim-bridge mapping import rows.jsonl"
    )]
    Import(Import),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    #[command(flatten)]
    filter: Filter,
    /// Print a JSON array with every column instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Filter {
    /// Only the user with this SCIM id
    #[arg(long, value_name = "ID")]
    scim_id: Option<PersonId>,
    /// Only users with this externalId
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Only users with this userName, in any case
    #[arg(long, value_name = "NAME")]
    user_name: Option<String>,
    /// Only users with this address, wished or upstream, in any case
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Only the user whom this invite stands for
    #[arg(long, value_name = "ID")]
    invite_id: Option<String>,
    /// Only users who are or were this OpenAI user
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// Only users in this status: pending, invited, expired, member, removing, parked, held or refused
    #[arg(long)]
    status: Option<Status>,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The format; without it the ending of the file decides, else it is CSV
    #[arg(long)]
    format: Option<Format>,
    /// The file to write; without it the table goes to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// The format; without it the ending of the file decides, else it is CSV
    #[arg(long)]
    format: Option<Format>,
    /// Check the file and tell what would be done, but do nothing
    #[arg(long)]
    dry_run: bool,
    /// The file to read; `-` is standard input
    file: PathBuf,
}

/// How rows are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Comma-separated values under a header
    Csv,
    /// One JSON object a line
    Jsonl,
}

impl Format {
    fn of(given: Option<Self>, file: Option<&PathBuf>) -> Self {
        let is_json = file.and_then(|file| file.extension()).is_some_and(|ending| ending == "jsonl");
        given.unwrap_or(if is_json { Self::Jsonl } else { Self::Csv })
    }
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let tenant = match &command {
        Command::List(List { tenant, .. })
        | Command::Export(Export { tenant, .. })
        | Command::Import(Import { tenant, .. }) => tenant.clone(),
    };
    Desk::open(global, &tenant, async |desk| match command {
        Command::List(list) => list.run(desk).await,
        Command::Export(export) => export.run(desk).await,
        Command::Import(import) => import::run(desk, &import).await,
    })
    .await
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let filter = MappingFilter {
            scim_id: self.filter.scim_id,
            external_id: self.filter.external_id,
            user_name: self.filter.user_name,
            email: self.filter.email,
            invite_id: self.filter.invite_id.map(Into::into),
            user_id: self.filter.user_id.map(Into::into),
            status: self.filter.status,
        };
        let mut rows = Vec::new();
        for_each(&desk.store, &self.tenant, &filter, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        if self.json {
            out::print(serde_json::to_string_pretty(&rows)?)?;
        } else {
            out::print(table(&rows))?;
        }
        Ok(())
    }
}

/// The columns that people look at.
fn table(rows: &[MappingRecord]) -> Table {
    let mut table =
        Table::new(&["USER NAME", "STATUS", "SCIM ID", "EXTERNAL ID", "E-MAIL", "INVITE", "OPENAI USER"]);
    for row in rows {
        let row = row.clone();
        table.row([
            row.user_name,
            row.status.to_string(),
            row.scim_id.to_string(),
            row.external_id.unwrap_or_default(),
            row.bound_email.or(row.email).unwrap_or_default(),
            row.invite_id.map(|id| id.to_string()).unwrap_or_default(),
            row.user_id.map(|id| id.to_string()).unwrap_or_default(),
        ]);
    }
    table
}

impl Export {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let format = Format::of(self.format, self.output.as_ref());
        let Some(path) = &self.output else {
            return write_all(desk, &self.tenant, format, io::stdout()).await.map(drop);
        };
        let cannot_write = || format!("cannot write {}", path.display());
        let file = File::create(path).with_context(cannot_write)?;
        let count = write_all(desk, &self.tenant, format, &file).await.with_context(cannot_write)?;
        file.sync_all().with_context(cannot_write)?;
        out::note(format!("{count} rows written to {}", path.display()));
        Ok(())
    }
}

/// Writes every row; returns how many there were.
async fn write_all(
    desk: &Desk,
    tenant: &TenantId,
    format: Format,
    target: impl Write,
) -> anyhow::Result<usize> {
    let everything = MappingFilter::default();
    let mut count = 0;
    let mut target = BufWriter::new(target);
    match format {
        Format::Csv => {
            let mut target = csv::Writer::from_writer(&mut target);
            target.write_record(MappingRecord::COLUMNS)?;
            for_each(&desk.store, tenant, &everything, |row| {
                count += 1;
                Ok(target.write_record(row.to_fields()?)?)
            })
            .await?;
            target.flush()?;
        }
        Format::Jsonl => {
            for_each(&desk.store, tenant, &everything, |row| {
                count += 1;
                Ok(writeln!(target, "{}", serde_json::to_string(&row)?)?)
            })
            .await?;
        }
    }
    target.flush()?;
    Ok(count)
}

/// Calls `each` with the rows that meet the filter, by SCIM id.
async fn for_each(
    store: &Store,
    tenant: &TenantId,
    filter: &MappingFilter,
    mut each: impl FnMut(MappingRecord) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = store.reader().await?;
    let mut after = None;
    loop {
        let page = reader.list_mappings(tenant, filter, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.person.id);
        for stored in &page {
            each(stored.into())?;
        }
    }
}
