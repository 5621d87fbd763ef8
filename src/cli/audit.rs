//! `scim-bridge audit`: the audit trail, to read, to take away and to check.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::out::{self, Table};
use super::who::find_person;
use super::{Desk, Global};
use crate::ids::{PersonId, TenantId};
use crate::store::{ChainHead, Link, Store, Verdict};

/// How many entries are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the newest entries, oldest first
    #[command(after_help = "Examples:\n  \
        scim-bridge audit list --limit 20\n  \
        scim-bridge audit list --person jane@example.com --json")]
    List(List),
    /// Write the trail as JSON lines, each entry with its hash and that of the entry before it
    #[command(after_help = "Examples:\n  \
        scim-bridge audit export --output trail.jsonl\n  \
        scim-bridge audit export --after 12000 >> trail.jsonl")]
    Export(Export),
    /// Check the chain of the trail, entry by entry; exit code 1 names the first that is not as it was written
    #[command(
        after_help = "Each entry's hash covers the one before it, so an entry that is changed, taken out or put \
        in shows. So does an end that was cut off, because the head of the chain is kept apart. Whoever can write to \
        the database could still make a whole new chain: note the head that this command prints in another place, \
        and give it with --head the next time.\n\nExamples:\n  \
        scim-bridge audit verify\n  \
        scim-bridge audit verify --tenant default --head 1234:5f2c…"
    )]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// The most entries to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    which: Which,
    /// The file to write; without it the entries go to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Which {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Only what concerns this person: SCIM id, userName, e-mail address, externalId, or an OpenAI id
    #[arg(long)]
    person: Option<String>,
    /// Only entries after the one of this number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Only the trail of this tenant; without it, every trail that the database has
    #[arg(long)]
    tenant: Option<TenantId>,
    /// A head that was printed before and kept elsewhere: it must still be a link of the chain
    #[arg(long, value_name = "NUMBER:HASH", requires = "tenant")]
    head: Option<ChainHead>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(list) => {
            let tenant = list.which.tenant.clone();
            Desk::open(global, &tenant, async |desk| list.run(desk).await).await
        }
        Command::Export(export) => {
            let tenant = export.which.tenant.clone();
            Desk::open(global, &tenant, async |desk| export.run(desk).await).await
        }
        Command::Verify(verify) => {
            Desk::open_for_all(global, async |desk| verify.run(&desk.store).await).await
        }
    }
}

impl Which {
    async fn person(&self, desk: &Desk) -> anyhow::Result<Option<PersonId>> {
        let Some(person) = &self.person else { return Ok(None) };
        Ok(Some(find_person(desk, &self.tenant, person).await?.person.id))
    }
}

impl List {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let Self { which, limit, json } = self;
        let person = which.person(desk).await?;
        let limit = i64::from(limit);
        let after = match (which.after, person) {
            (Some(after), _) => after,
            (None, Some(_)) => 0,
            // Without gaps, so many entries before the head are so many numbers before it.
            (None, None) => {
                let head = desk.store.reader().await?.chain_head(&which.tenant).await?;
                head.map_or(0, |head| (head.seq - limit).max(0))
            }
        };
        let mut newest = Vec::new();
        each_page(&desk.store, &which.tenant, person, after, |page| {
            newest.extend(page);
            let surplus = newest.len().saturating_sub(usize::try_from(limit)?);
            newest.drain(..surplus);
            Ok(())
        })
        .await?;
        if json {
            let links: Vec<Value> = newest.iter().map(|link| to_json(&which.tenant, link)).collect();
            return Ok(out::print(serde_json::to_string_pretty(&links)?)?);
        }
        let mut table = Table::new(&["NUMBER", "AT", "EVENT", "ACTOR", "PERSON", "REQUEST", "DETAIL"]);
        for link in newest {
            table.row([
                link.seq.to_string(),
                Timestamp::from_microsecond(link.at).map(|at| format!("{at:.0}")).unwrap_or_default(),
                link.event,
                link.actor,
                link.person.unwrap_or_default(),
                link.request.unwrap_or_default(),
                link.detail,
            ]);
        }
        Ok(out::print(table)?)
    }
}

impl Export {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let Self { which, output } = self;
        let person = which.person(desk).await?;
        let mut out: Box<dyn Write> = match &output {
            Some(path) => {
                let file =
                    File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
                Box::new(BufWriter::new(file))
            }
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let mut count = 0_usize;
        each_page(&desk.store, &which.tenant, person, which.after.unwrap_or_default(), |page| {
            count += page.len();
            for link in page {
                writeln!(out, "{}", to_json(&which.tenant, &link))?;
            }
            Ok(())
        })
        .await?;
        out.flush()?;
        if let Some(path) = output {
            out::note(format!("exported {count} entries to {}", path.display()));
        }
        Ok(())
    }
}

impl Verify {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let mut reader = store.reader().await?;
        let tenants = match &self.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => reader.trail_tenants().await?,
        };
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        for tenant in tenants {
            let verdict = reader.verify_trail(&tenant, self.head.as_ref()).await?;
            match &verdict {
                Verdict::Sound(head) if !self.json => {
                    out::print(format!(
                        "{tenant}: {} entries, all as they were written; head {head}",
                        head.seq
                    ))?;
                }
                Verdict::Sound(head) => found.push(json!({
                    "tenant": tenant, "sound": true, "entries": head.seq, "head": head.to_string(),
                })),
                Verdict::Broken(at) => {
                    found.push(json!({
                        "tenant": tenant, "sound": false, "first_broken": at.seq, "reason": at.what,
                    }));
                    broken.push(format!(
                        "the trail of tenant `{tenant}` is broken at entry {}: {}",
                        at.seq, at.what
                    ));
                }
            }
        }
        if self.json {
            out::print(serde_json::to_string_pretty(&found)?)?;
        }
        if broken.is_empty() { Ok(()) } else { bail!(broken.join("; ")) }
    }
}

/// Hands over the entries page by page, so that a long trail needs no more memory than a short one.
async fn each_page(
    store: &Store,
    tenant: &TenantId,
    person: Option<PersonId>,
    mut after: i64,
    mut take: impl FnMut(Vec<Link>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = store.reader().await?;
    loop {
        let page = reader.list_links(tenant, person, after, PAGE).await?;
        match page.last() {
            Some(last) => after = last.seq,
            None => return Ok(()),
        }
        take(page)?;
    }
}

fn to_json(tenant: &TenantId, link: &Link) -> Value {
    // What somebody has tampered with need not be JSON, or a time.
    let detail = serde_json::from_str(&link.detail).unwrap_or_else(|_| Value::from(&*link.detail));
    json!({
        "tenant": tenant,
        "seq": link.seq,
        "at": Timestamp::from_microsecond(link.at).ok(),
        "at_micros": link.at,
        "actor": link.actor,
        "request": link.request,
        "person": link.person,
        "event": link.event,
        "detail": detail,
        "previous": link.previous,
        "hash": link.hash,
    })
}
