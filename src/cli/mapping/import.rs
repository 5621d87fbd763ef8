//! `mapping import`: reads a whole file, checks every row, then writes all of them in one transaction.

use std::fs;
use std::io::{self, Read};
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;

use super::{Format, Import};
use crate::cli::{Desk, out};
use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::audit::{Actor, AuditEntry};
use crate::store::{Imported, MappingRecord, Tx};

/// A row and where it stands in the file, for messages.
#[derive(Debug)]
struct Line {
    number: u64,
    record: MappingRecord,
}

/// What an import came to.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    added: usize,
    changed: usize,
    unchanged: usize,
}

/// Ends the transaction of a dry run, so that nothing of it stays.
#[derive(Debug, thiserror::Error)]
#[error("nothing was written")]
struct DryRun(Tally);

pub(super) async fn run(desk: &Desk, import: &Import) -> anyhow::Result<()> {
    let name = import.file.display();
    let lines = read(import).with_context(|| format!("nothing was imported from {name}"))?;
    let lines = Arc::new(lines);
    let (tenant, clock, dry_run) = (import.tenant.clone(), desk.clock.clone(), import.dry_run);
    let written = desk
        .store
        .write(move |tx| {
            let (lines, tenant, clock) = (Arc::clone(&lines), tenant.clone(), clock.clone());
            Box::pin(async move {
                let tally = write(tx, &tenant, &clock, &lines).await?;
                if dry_run { Err(anyhow::Error::new(DryRun(tally))) } else { Ok(tally) }
            })
        })
        .await;
    let (Tally { added, changed, unchanged }, verb) = match written {
        Ok(tally) => (tally, ""),
        Err(error) => match error.downcast::<DryRun>() {
            Ok(DryRun(tally)) => (tally, "would be "),
            Err(error) => return Err(error.context(format!("nothing was imported from {name}"))),
        },
    };
    out::note(format!("{added} {verb}added, {changed} {verb}changed, {unchanged} unchanged"));
    Ok(())
}

fn read(import: &Import) -> anyhow::Result<Vec<Line>> {
    let text = if import.file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        text
    } else {
        fs::read_to_string(&import.file)?
    };
    match Format::of(import.format, Some(&import.file)) {
        Format::Csv => parse_csv(&text),
        Format::Jsonl => parse_jsonl(&text),
    }
}

fn parse_csv(text: &str) -> anyhow::Result<Vec<Line>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let columns: Vec<_> = header.iter().collect();
    let mut lines = Vec::new();
    for row in reader.records() {
        let row = row?;
        let number = row.position().map_or(0, csv::Position::line);
        let record = MappingRecord::from_fields(&columns, &row).with_context(|| format!("line {number}"))?;
        lines.push(Line { number, record });
    }
    Ok(lines)
}

fn parse_jsonl(text: &str) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let record = serde_json::from_str(line).with_context(|| format!("line {number}"))?;
        lines.push(Line { number, record });
    }
    Ok(lines)
}

async fn write(tx: &mut Tx, tenant: &TenantId, clock: &Clock, lines: &[Line]) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for Line { number, record } in lines {
        let imported = tx.import_mapping(tenant, record).await.with_context(|| format!("line {number}"))?;
        let event = match imported {
            Imported::Unchanged => {
                tally.unchanged += 1;
                continue;
            }
            Imported::Updated => {
                tally.changed += 1;
                "mapping.import"
            }
            Imported::Added => {
                tally.added += 1;
                "user.import"
            }
        };
        let detail = json!({ "invite_id": record.invite_id, "user_id": record.user_id });
        let entry = AuditEntry {
            person: Some(record.scim_id),
            ..AuditEntry::by(Actor::CommandLine, tenant, clock.now(), event, detail)
        };
        tx.append_audit(&entry).await?;
    }
    Ok(tally)
}
