//! `scim-bridge evidence`: what an auditor asks when somebody has left.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::out;
use super::who::find_person;
use super::{Desk, Global};
use crate::app;
use crate::config::Flags;
use crate::ids::{ProjectId, TenantId, UserId};
use crate::model::credential::{Credential, CredentialKind, Sighting};
use crate::model::mapping::Status;
use crate::model::operation::{Action, Operation, OperationState};
use crate::openai;
use crate::provision::{Census, take_census};
use crate::store::{Link, MappingRow};
use crate::telemetry::Metrics;

/// How many entries are read at a time.
const PAGE: i64 = 500;
/// The most calls of one person that are looked through.
const MOST_OPERATIONS: i64 = 1000;
/// What the identity provider says when somebody is to go.
const ASKED: [&str; 2] = ["user.deactivate", "user.delete"];

#[derive(Debug, Args)]
#[command(
    after_help = "It tells when the identity provider asked that the person go, when OpenAI confirmed it, which API keys the \
    person had in projects when it was asked, and which of them remain. Keys of service accounts belong to no person and \
    stay; those of the person's projects are listed, because who knows them is for you to say.\n\nExamples:\n  \
    scim-bridge evidence jane@example.com\n  \
    scim-bridge evidence jane@example.com --read --json > jane.json"
)]
pub(super) struct Evidence {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// SCIM id, userName, e-mail address, externalId, or an OpenAI id
    person: String,
    /// Read the keys and service accounts of all projects first, with the admin key; takes as long as the budget needs
    #[arg(long)]
    read: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is known of somebody's leaving.
#[derive(Debug)]
struct Findings {
    row: MappingRow,
    /// The wish, as the trail has it.
    asked: Option<Link>,
    /// The calls that carried it out.
    calls: Vec<Operation>,
    confirmed_at: Option<Timestamp>,
    keys: Vec<Sighting>,
    /// Service accounts, and their keys, of the projects that the person had something to do with.
    around: Vec<Sighting>,
    /// When those projects were first and last read.
    readings: BTreeMap<ProjectId, Option<(Timestamp, Timestamp)>>,
}

impl Evidence {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        Desk::open(global, &self.tenant.clone(), async |desk| {
            if self.read {
                tell(&read_now(global, desk, &self.tenant).await?);
            }
            let findings = find(desk, &self.tenant, &self.person).await?;
            let shown = if self.json {
                serde_json::to_string_pretty(&findings.to_json())?
            } else {
                findings.to_text()
            };
            Ok(out::print(shown)?)
        })
        .await
    }
}

/// Takes a census with the tenant's admin key.
pub(super) async fn read_now(global: &Global, desk: &Desk, tenant: &TenantId) -> anyhow::Result<Census> {
    let config = global.load(Flags::default())?;
    let settings = config.tenants.get(tenant).context("the tenant is in the settings")?;
    let client = openai::Client::new(app::client_settings(settings)?, desk.clock.clone(), Metrics::new())?;
    Ok(take_census(&client, &desk.store, &desk.clock, tenant).await?)
}

/// Says what a census could not read.
pub(super) fn tell(census: &Census) {
    for (project, why) in &census.unread {
        out::note(format!("the keys of project {project} could not be read: {why}"));
    }
    out::note(format!("read the keys and service accounts of {} projects", census.read));
}

async fn find(desk: &Desk, tenant: &TenantId, person: &str) -> anyhow::Result<Findings> {
    let row = find_person(desk, tenant, person).await?;
    let mut reader = desk.store.reader().await?;
    let (mut asked, mut after) = (None, 0);
    loop {
        let page = reader.list_links(tenant, Some(row.person.id), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        asked = page.into_iter().rfind(|link| ASKED.contains(&&*link.event)).or(asked);
    }
    let asked_at = asked.as_ref().and_then(|link| Timestamp::from_microsecond(link.at).ok());
    let mut calls = reader.list_operations(tenant, row.person.id, MOST_OPERATIONS).await?;
    calls.reverse();
    calls.retain(|call| {
        let takes_out = matches!(call.action, Action::DeleteUser { .. } | Action::DeleteInvite { .. });
        takes_out && asked_at.is_some_and(|asked| call.sent_at >= asked)
    });
    let is_gone = row.mapping.status == Status::Parked && row.mapping.user_id.is_none();
    let last_done = calls.iter().rev().find(|call| call.state == OperationState::Done);
    let confirmed_at = match last_done {
        _ if !is_gone => None,
        Some(call) => call.settled_at,
        // Nothing had to be done, or somebody else did it: then a reading has shown it.
        None => row.mapping.last_synced_at.filter(|at| asked_at.is_some_and(|asked| *at >= asked)),
    };

    let removed = calls.iter().filter_map(|call| match &call.action {
        Action::DeleteUser { user } => Some(user.clone()),
        _ => None,
    });
    let ids = [&row.mapping.user_id, &row.mapping.former_user_id].into_iter().flatten().cloned();
    let users: BTreeSet<UserId> = ids.chain(removed).collect();
    let (keys, others): (Vec<_>, Vec<_>) = reader.credentials(tenant).await?.into_iter().partition(|seen| {
        let owner = seen.credential.owner.as_deref();
        seen.credential.kind == CredentialKind::UserKey
            && users.iter().any(|user| Some(user.as_str()) == owner)
    });
    let mut projects: BTreeSet<ProjectId> = keys.iter().map(|seen| seen.credential.project.clone()).collect();
    for user in &users {
        projects.extend(reader.projects_of_user(tenant, user).await?);
    }
    let is_around = |seen: &Sighting| {
        seen.credential.kind != CredentialKind::UserKey
            && seen.gone_at.is_none()
            && projects.contains(&seen.credential.project)
    };
    let around = others.into_iter().filter(is_around).collect();
    let read = reader.credential_readings(tenant).await?;
    let readings =
        projects.into_iter().map(|project| (project.clone(), read.get(&project).copied())).collect();
    Ok(Findings { row, asked, calls, confirmed_at, keys, around, readings })
}

impl Findings {
    fn asked_at(&self) -> Option<Timestamp> {
        self.asked.as_ref().and_then(|link| Timestamp::from_microsecond(link.at).ok())
    }

    /// The person's keys when it was asked that they go; all that are left, if it was not.
    fn before(&self) -> impl Iterator<Item = &Sighting> {
        let at = self.asked_at();
        self.keys.iter().filter(move |seen| at.is_none_or(|at| seen.existed_at(at)))
    }

    fn remaining(&self) -> impl Iterator<Item = &Sighting> {
        self.keys.iter().filter(|seen| seen.gone_at.is_none())
    }

    /// Those of them that were live when they were looked at after the removal.
    fn live(&self) -> impl Iterator<Item = &Sighting> {
        self.remaining().filter(|seen| {
            let was_read_since = self.confirmed_at.is_some_and(|confirmed| seen.last_seen_at >= confirmed);
            was_read_since && seen.credential.owner_has_access != Some(false)
        })
    }

    /// What cannot be said, and why.
    fn caveats(&self) -> Vec<String> {
        let asked = self.asked_at();
        let mut caveats = Vec::new();
        if self.readings.is_empty() {
            caveats.push("no project of this person is known, so nothing is known of their keys".to_owned());
        }
        for (project, reading) in &self.readings {
            match reading {
                None => caveats.push(format!("the keys of project {project} were never read; use --read")),
                Some((first, _)) if asked.is_some_and(|asked| *first > asked) => caveats.push(format!(
                    "the keys of project {project} were first read at {first:.0}, after it was asked that the person go: \
                     a key that ended before is not known"
                )),
                Some((_, last)) if self.confirmed_at.is_some_and(|confirmed| *last < confirmed) => {
                    caveats.push(format!(
                        "the keys of project {project} were last read at {last:.0}, before the removal was confirmed; \
                         use --read"
                    ));
                }
                Some(_) => {}
            }
        }
        caveats
    }

    fn to_json(&self) -> Value {
        let Self { row, asked, calls, confirmed_at, around, readings, .. } = self;
        let asked = asked.as_ref().map(|link| {
            json!({
                "at": Timestamp::from_microsecond(link.at).ok(),
                "event": link.event,
                "by": link.actor,
                "request": link.request,
                "audit_entry": link.seq,
                "audit_hash": link.hash,
            })
        });
        let calls: Vec<Value> = calls
            .iter()
            .map(|call| {
                json!({
                    "operation": call.id.to_string(),
                    "kind": call.action.kind(),
                    "state": call.state.as_str(),
                    "sent_at": call.sent_at,
                    "settled_at": call.settled_at,
                    "upstream_request_id": call.upstream_request_id,
                    "outcome": call.outcome,
                })
            })
            .collect();
        let readings: Vec<Value> = readings
            .iter()
            .map(|(project, read)| {
                json!({
                    "project": project,
                    "first_read_at": read.map(|(first, _)| first),
                    "last_read_at": read.map(|(_, last)| last),
                })
            })
            .collect();
        json!({
            "tenant": row.person.tenant,
            "scim_id": row.person.id.to_string(),
            "user_name": row.person.user_name,
            "external_id": row.person.external_id,
            "user_id": row.mapping.user_id.as_ref().or(row.mapping.former_user_id.as_ref()),
            "active": row.person.active,
            "deleted_at": row.person.deleted_at,
            "status": row.mapping.status.as_str(),
            "status_reason": row.mapping.status_reason,
            "asked": asked,
            "calls": calls,
            "confirmed_at": confirmed_at,
            "keys_before": self.before().map(sighting_json).collect::<Vec<_>>(),
            "keys_remaining": self.remaining().map(sighting_json).collect::<Vec<_>>(),
            "keys_live": self.live().map(sighting_json).collect::<Vec<_>>(),
            "service_accounts": around.iter().map(sighting_json).collect::<Vec<_>>(),
            "readings": readings,
            "caveats": self.caveats(),
        })
    }

    fn to_text(&self) -> String {
        let Self { row, asked, calls, confirmed_at, around, .. } = self;
        let person = &row.person;
        let mut lines = vec![format!("{} (SCIM id {}), {}", person.user_name, person.id, row.mapping.status)];
        lines.push(match (asked, self.asked_at()) {
            (Some(link), Some(at)) => {
                let request = link.request.as_deref().unwrap_or("none");
                format!("asked      {at:.0} by {} ({}, request {request})", link.actor, link.event)
            }
            _ => "asked      never: the identity provider has not asked that this person go".to_owned(),
        });
        for call in calls {
            let (kind, state) = (call.action.kind(), call.state.as_str());
            lines.push(format!("called     {:.0} {kind}, {state}", call.sent_at));
        }
        lines.push(match confirmed_at {
            Some(at) => format!("confirmed  {at:.0}: neither membership nor invite is left"),
            None => "confirmed  not yet".to_owned(),
        });
        let mut list = |name: &str, seen: Vec<&Sighting>| {
            lines.push(if seen.is_empty() { format!("{name}: none known") } else { format!("{name}:") });
            lines.extend(seen.into_iter().map(|seen| format!("  {}", describe(seen))));
        };
        list("keys when it was asked", self.before().collect());
        list("keys that remain", self.remaining().collect());
        if self.live().next().is_some() {
            list("KEYS THAT ARE LIVE although their owner was removed", self.live().collect());
        }
        list("service accounts of the same projects, and their keys", around.iter().collect());
        lines.extend(self.caveats().into_iter().map(|caveat| format!("note: {caveat}")));
        lines.join("\n")
    }
}

/// A key or service account in a line.
pub(super) fn describe(seen: &Sighting) -> String {
    let Credential { project, kind, id, name, owner_has_access, last_used_at, .. } = &seen.credential;
    let name = name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let mut words = vec![format!("{} {id} in {project}{name}", kind.as_str())];
    if *owner_has_access == Some(false) {
        words.push("its owner has no access any more".to_owned());
    }
    words.extend(last_used_at.map(|at| format!("last used {at:.0}")));
    words.push(match seen.gone_at {
        Some(at) => format!("gone at {at:.0}"),
        None => format!("seen at {:.0}", seen.last_seen_at),
    });
    words.join(", ")
}

fn sighting_json(seen: &Sighting) -> Value {
    let credential = &seen.credential;
    json!({
        "project": credential.project,
        "kind": credential.kind.as_str(),
        "id": credential.id,
        "name": credential.name,
        "owner": credential.owner,
        "owner_has_access": credential.owner_has_access,
        "created_at": credential.created_at,
        "last_used_at": credential.last_used_at,
        "first_seen_at": seen.first_seen_at,
        "last_seen_at": seen.last_seen_at,
        "gone_at": seen.gone_at,
    })
}
