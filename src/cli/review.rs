//! `scim-bridge review`: who has access to the organization, and what about it an administrator should look at.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::evidence::{describe, read_now, tell};
use super::out::{self, Table};
use super::{Desk, Global};
use crate::ids::{PersonId, ProjectId, TenantId};
use crate::model::credential::{CredentialKind, Sighting};
use crate::model::grant::OrgRole;
use crate::model::observed::{Collection, InviteStatus, Member};

/// How many rows are read at a time.
const PAGE: i64 = 500;
/// The columns of the table and of the CSV file.
const COLUMNS: [&str; 8] = ["finding", "id", "email", "role", "scim_id", "since", "last_activity", "detail"];

#[derive(Debug, Args)]
#[command(
    after_help = "Findings: owner, pending-invite, expired-invite, no-idp-link (a member for whom the identity provider has no \
    user), inactive-owner-key (an API key whose owner has no access to its project any more), live-key (one that OpenAI shows as live all the same, although its owner was removed). It is made from what was \
    last read of the organization; keys are read with --read. The last activity is the last use of one of the member's \
    project keys, where OpenAI tells it.\n\nExamples:\n  \
    scim-bridge review --read\n  \
    scim-bridge review --format csv > review.csv\n  \
    scim-bridge review --finding owner --finding no-idp-link --format json"
)]
pub(super) struct Review {
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: TenantId,
    /// Only these findings
    #[arg(long)]
    finding: Vec<Kind>,
    /// Read the keys and service accounts of all projects first, with the admin key; takes as long as the budget needs
    #[arg(long)]
    read: bool,
    /// How to print it
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// What there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Kind {
    Owner,
    PendingInvite,
    ExpiredInvite,
    NoIdpLink,
    InactiveOwnerKey,
    LiveKey,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::PendingInvite => "pending-invite",
            Self::ExpiredInvite => "expired-invite",
            Self::NoIdpLink => "no-idp-link",
            Self::InactiveOwnerKey => "inactive-owner-key",
            Self::LiveKey => "live-key",
        }
    }
}

/// One thing to look at.
#[derive(Debug)]
struct Finding {
    kind: Kind,
    /// The OpenAI id of the member, the invite, or the owner of the key.
    id: String,
    email: Option<String>,
    role: Option<OrgRole>,
    person: Option<PersonId>,
    since: Option<Timestamp>,
    last_activity: Option<Timestamp>,
    detail: String,
}

impl Review {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        Desk::open(global, &self.tenant.clone(), async |desk| {
            if self.read {
                tell(&read_now(global, desk, &self.tenant).await?);
            }
            let mut findings = find(desk, &self.tenant).await?;
            if !self.finding.is_empty() {
                findings.retain(|finding| self.finding.contains(&finding.kind));
            }
            show(&findings, self.format)
        })
        .await
    }
}

async fn find(desk: &Desk, tenant: &TenantId) -> anyhow::Result<Vec<Finding>> {
    let mut reader = desk.store.reader().await?;
    ensure!(
        reader.last_sweep(tenant, &Collection::Members).await?.is_some(),
        "the organization has not been read yet: start the server and try again a little later"
    );
    let keys = reader.credentials(tenant).await?;
    let last_uses = last_uses(&keys);
    let left = reader.keys_left_behind(tenant).await?;
    let live: BTreeSet<(&ProjectId, &str)> =
        left.iter().filter(|key| key.is_live()).map(|key| (&key.project, &*key.id)).collect();
    let mut findings = Vec::new();
    let (mut members, mut after) = (BTreeMap::new(), None);
    loop {
        let page = reader.members_with_person(tenant, after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.id.clone());
        for (member, bound) in page {
            let person = bound.map(|bound| bound.person);
            let last_activity = last_uses.get(member.id.as_str()).copied();
            let finding = |kind| of_member(kind, &member, person, last_activity);
            if member.role == Some(OrgRole::Owner) {
                findings.push(finding(Kind::Owner));
            }
            if person.is_none() && !member.is_service_account {
                findings.push(finding(Kind::NoIdpLink));
            }
            members.insert(member.id.as_str().to_owned(), (member, person));
        }
    }
    let mut after = None;
    loop {
        let page = reader.open_invites_with_person(tenant, after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.id.clone());
        let now = desk.clock.now();
        findings.extend(page.into_iter().map(|(invite, bound)| {
            // OpenAI may be late to call an invite expired.
            let is_over =
                invite.status == InviteStatus::Expired || invite.expires_at.is_some_and(|at| at <= now);
            Finding {
                kind: if is_over { Kind::ExpiredInvite } else { Kind::PendingInvite },
                id: invite.id.to_string(),
                email: Some(invite.email),
                role: invite.role,
                person: bound.map(|bound| bound.person),
                since: Some(invite.created_at),
                last_activity: None,
                detail: invite.expires_at.map(|at| format!("expires {at:.0}")).unwrap_or_default(),
            }
        }));
    }
    let of_people = keys.iter().filter(|seen| {
        let credential = &seen.credential;
        let is_key = credential.kind == CredentialKind::UserKey && seen.gone_at.is_none();
        // A member who left has no access, whatever was said when the key was last read.
        let has_left = credential.owner.as_ref().is_some_and(|owner| !members.contains_key(owner));
        is_key && (credential.owner_has_access == Some(false) || has_left)
    });
    for seen in of_people {
        let owner = seen.credential.owner.clone().unwrap_or_default();
        let found = members.get(&owner);
        let is_live = live.contains(&(&seen.credential.project, &*seen.credential.id));
        let finding = Finding {
            kind: if is_live { Kind::LiveKey } else { Kind::InactiveOwnerKey },
            email: found.and_then(|(member, _)| member.email.clone()),
            role: found.and_then(|(member, _)| member.role),
            person: found.and_then(|(_, person)| *person),
            id: owner,
            since: seen.credential.created_at,
            last_activity: seen.credential.last_used_at,
            detail: describe(seen),
        };
        findings.push(finding);
    }
    findings.sort_by(|a, b| (a.kind, &a.email, &a.id, &a.detail).cmp(&(b.kind, &b.email, &b.id, &b.detail)));
    Ok(findings)
}

/// When each owner's keys were last used.
fn last_uses(keys: &[Sighting]) -> BTreeMap<&str, Timestamp> {
    let mut last_uses = BTreeMap::new();
    for seen in keys.iter().filter(|seen| seen.credential.kind == CredentialKind::UserKey) {
        if let (Some(owner), Some(at)) = (&seen.credential.owner, seen.credential.last_used_at) {
            let last = last_uses.entry(owner.as_str()).or_insert(at);
            *last = at.max(*last);
        }
    }
    last_uses
}

fn of_member(
    kind: Kind,
    member: &Member,
    person: Option<PersonId>,
    last_activity: Option<Timestamp>,
) -> Finding {
    let marks = [
        (member.is_service_account, "service account"),
        (member.is_scim_managed, "managed by OpenAI's own directory sync"),
        (member.is_default, "the organization's default user"),
        (person.is_none() && kind == Kind::Owner, "no user of the identity provider"),
    ];
    let marks: Vec<_> = marks.into_iter().filter_map(|(holds, words)| holds.then_some(words)).collect();
    Finding {
        kind,
        id: member.id.to_string(),
        email: member.email.clone(),
        role: member.role,
        person,
        since: Some(member.added_at),
        last_activity,
        detail: marks.join(", "),
    }
}

fn show(findings: &[Finding], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => {
            let header = COLUMNS.map(|name| name.to_uppercase().replace('_', " "));
            let mut table = Table::new(&header.each_ref().map(String::as_str));
            for finding in findings {
                table.row(finding.cells());
            }
            out::print(table)?;
        }
        Format::Csv => {
            let mut target = csv::Writer::from_writer(Vec::new());
            target.write_record(COLUMNS)?;
            for finding in findings {
                target.write_record(finding.cells())?;
            }
            let text = String::from_utf8(target.into_inner()?)?;
            out::print(text.trim_end())?;
        }
        Format::Json => {
            let findings: Vec<Value> = findings.iter().map(Finding::to_json).collect();
            out::print(serde_json::to_string_pretty(&findings)?)?;
        }
    }
    Ok(())
}

impl Finding {
    fn cells(&self) -> [String; COLUMNS.len()] {
        let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}")).unwrap_or_default();
        [
            self.kind.as_str().to_owned(),
            self.id.clone(),
            self.email.clone().unwrap_or_default(),
            self.role.map(|role| role.as_str().to_owned()).unwrap_or_default(),
            self.person.map(|person| person.to_string()).unwrap_or_default(),
            time(self.since),
            time(self.last_activity),
            self.detail.clone(),
        ]
    }

    fn to_json(&self) -> Value {
        json!({
            "finding": self.kind.as_str(),
            "id": self.id,
            "email": self.email,
            "role": self.role.map(OrgRole::as_str),
            "scim_id": self.person.map(|person| person.to_string()),
            "since": self.since,
            "last_activity": self.last_activity,
            "detail": self.detail,
        })
    }
}
