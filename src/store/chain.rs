//! The chain of the audit trail: every entry's hash covers the hash of the entry before it, so that none can be
//! changed, taken out or put in without all later ones showing it.
//!
//! The hash of an entry is the SHA-256, in lower-case hexadecimal, of a JSON array without white space:
//!
//! ```json
//! ["<hash of the entry before>","<tenant>",<seq>,<at>,"<actor>",<request>,<person>,"<event>",<detail>]
//! ```
//!
//! `at` is in microseconds since 1970, `request` and `person` are a string or `null`, `detail` is the JSON text as it
//! is stored, and before the first entry stand 64 zeros. Strings are escaped only where RFC 8259 §7 demands it, with
//! the short escapes where there are any. An array has one reading, so no two entries have one text.
//!
//! The head of each chain, its last number and hash, is kept in a table of its own. What this shows and what it cannot:
//! whoever changes entries alone is found out, and so is whoever removes the last ones and forgets the head. Whoever
//! can write to the database and knows this text can also make a whole new chain with its head. That is found only by
//! comparing with a head that was noted elsewhere before ([`Reader::verify_trail`]).

use std::fmt;
use std::str::FromStr;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use super::query::Sql;
use super::row::{Row, to_json};
use super::session::sql;
use super::{Backend, Reader, Store, StoreError, Tx};
use crate::ids::{PersonId, RequestId, TenantId};
use crate::model::audit::{Actor, AuditEntry};

/// What stands before the first entry.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How many entries are read, or chained afterwards, at a time.
const PAGE: i64 = 500;

/// An entry of the trail as it is stored, with its place in the chain. Nothing is taken for granted about the texts:
/// whoever tampers with a trail need not care for their form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The number in the tenant's trail, from 1.
    pub seq: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// The inbound request that led to it, if one did.
    pub request: Option<String>,
    /// The person concerned.
    pub person: Option<String>,
    /// What happened.
    pub event: String,
    /// The particulars, as JSON.
    pub detail: String,
    /// The hash that is stored with it.
    pub hash: Option<String>,
    /// The hash that is stored with the entry before it.
    pub previous: Option<String>,
}

/// The head of a chain: the number and the hash of its last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// The number; 0 before the first entry.
    pub seq: i64,
    /// The hash.
    pub hash: String,
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for ChainHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hash = |text: &str| text.len() == GENESIS.len() && text.bytes().all(|b| b.is_ascii_hexdigit());
        text.split_once(':')
            .filter(|(_, text)| hash(text))
            .and_then(|(seq, hash)| {
                Some(Self { seq: seq.parse().ok().filter(|seq| *seq >= 0)?, hash: hash.to_lowercase() })
            })
            .ok_or_else(|| "a head is written NUMBER:HASH, as `audit verify` prints it".to_owned())
    }
}

/// What a look at a whole chain has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is as it was written, up to this head.
    Sound(ChainHead),
    /// From this entry on nothing is vouched for.
    Broken(Break),
}

/// The first entry of a chain that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Its number.
    pub seq: i64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The end of a trail, held by a transaction that is about to extend it.
pub(super) struct End {
    /// The last number that was given.
    pub(super) last: i64,
    /// The hash that the next entry covers.
    pub(super) hash: String,
}

impl Link {
    /// The link that an entry becomes at the end of its tenant's trail.
    pub(super) fn after(end: &End, entry: &AuditEntry) -> Result<Self, StoreError> {
        let mut link = Self {
            seq: end.last + 1,
            at: entry.at.as_microsecond(),
            actor: entry.actor.as_text(),
            request: entry.request.as_ref().map(RequestId::to_string),
            person: entry.person.as_ref().map(PersonId::to_string),
            event: entry.event.clone(),
            detail: to_json(&entry.detail)?,
            hash: None,
            previous: Some(end.hash.clone()),
        };
        link.hash = Some(link.hash_after(&end.hash, &entry.tenant));
        Ok(link)
    }

    /// The hash of this entry after one with the hash `previous`.
    pub fn hash_after(&self, previous: &str, tenant: &TenantId) -> String {
        let Self { seq, at, actor, request, person, event, .. } = self;
        let mut text = json!([previous, tenant, seq, at, actor, request, person, event]).to_string();
        text.pop();
        let digest = Sha256::new()
            .chain_update(text)
            .chain_update(",")
            .chain_update(&self.detail)
            .chain_update("]")
            .finalize();
        format!("{digest:x}")
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let row = Row(row);
        Ok(Self {
            seq: row.int("seq")?,
            at: row.int("at")?,
            actor: row.text("actor")?,
            request: row.optional_text("request")?,
            person: row.optional_text("person")?,
            event: row.text("event")?,
            detail: row.text("detail")?,
            hash: row.optional_text("hash")?,
            previous: row.optional_text("previous")?,
        })
    }
}

impl Reader {
    /// The entries after number `after` as they are stored, in their order, at most `limit`; of one person, if asked.
    pub async fn list_links(
        &mut self,
        tenant: &TenantId,
        person: Option<PersonId>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Link>, StoreError> {
        const ALL: &str = "SELECT seq, at, actor, request, person, event, detail, hash,
                (SELECT b.hash FROM audit AS b WHERE b.tenant = a.tenant AND b.seq = a.seq - 1) AS previous
             FROM audit AS a WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        const OF_PERSON: &str = "SELECT seq, at, actor, request, person, event, detail, hash,
                (SELECT b.hash FROM audit AS b WHERE b.tenant = a.tenant AND b.seq = a.seq - 1) AS previous
             FROM audit AS a WHERE tenant = $1 AND seq > $2 AND person = $4 ORDER BY seq LIMIT $3";
        let statement = sql(if person.is_some() { OF_PERSON } else { ALL });
        let statement = statement.bind(tenant.as_str()).bind(after).bind(limit.max(0));
        let statement = match person {
            Some(person) => statement.bind(person.to_string()),
            None => statement,
        };
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(Link::read).collect()
    }

    /// The head of a tenant's chain; none before its first entry.
    pub async fn chain_head(&mut self, tenant: &TenantId) -> Result<Option<ChainHead>, StoreError> {
        const SQL: &str = "SELECT seq, hash FROM audit_heads WHERE tenant = $1";
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str())).await?;
        row.map(|row| Ok(ChainHead { seq: Row(&row).int("seq")?, hash: Row(&row).text("hash")? })).transpose()
    }

    /// The tenants that have a trail or the head of one.
    pub async fn trail_tenants(&mut self) -> Result<Vec<TenantId>, StoreError> {
        const SQL: &str = "SELECT tenant FROM audit_heads UNION SELECT tenant FROM audit ORDER BY tenant";
        let rows = self.fetch_all(sql(SQL)).await?;
        rows.iter().map(|row| Row(row).parsed("tenant")).collect()
    }

    /// Checks a tenant's chain from its first entry to its head, and, if a head is `known` from elsewhere, that it is
    /// a link of this chain. Entries may be added meanwhile.
    pub async fn verify_trail(
        &mut self,
        tenant: &TenantId,
        known: Option<&ChainHead>,
    ) -> Result<Verdict, StoreError> {
        let genesis = || ChainHead { seq: 0, hash: GENESIS.to_owned() };
        let mut at = genesis();
        loop {
            let head = self.chain_head(tenant).await?.unwrap_or_else(genesis);
            while at.seq < head.seq {
                let links = self.list_links(tenant, None, at.seq, PAGE.min(head.seq - at.seq)).await?;
                if links.is_empty() {
                    let what = "it and what follows it are missing: the end of the trail was cut off";
                    return Ok(Verdict::Broken(Break { seq: at.seq + 1, what }));
                }
                for link in links {
                    match follow(&at, &link, tenant, known) {
                        Ok(next) => at = next,
                        Err(found) => return Ok(Verdict::Broken(found)),
                    }
                }
            }
            if at != head {
                let what = "the head of the chain, which is kept apart, does not belong to it";
                return Ok(Verdict::Broken(Break { seq: at.seq, what }));
            }
            if !self.list_links(tenant, None, at.seq, 1).await?.is_empty() {
                if self.chain_head(tenant).await?.unwrap_or_else(genesis) != head {
                    // Somebody has added to the trail since.
                    continue;
                }
                let what = "it was put in behind the head of the chain";
                return Ok(Verdict::Broken(Break { seq: at.seq + 1, what }));
            }
            if known.is_some_and(|known| known.seq > at.seq) {
                let what = "it was there when the given head was noted, and is missing now";
                return Ok(Verdict::Broken(Break { seq: at.seq + 1, what }));
            }
            return Ok(Verdict::Sound(at));
        }
    }
}

/// One step along a chain.
fn follow(
    at: &ChainHead,
    link: &Link,
    tenant: &TenantId,
    known: Option<&ChainHead>,
) -> Result<ChainHead, Break> {
    if link.seq != at.seq + 1 {
        return Err(Break { seq: at.seq + 1, what: "it is missing" });
    }
    let hash = link.hash_after(&at.hash, tenant);
    if link.hash.as_ref() != Some(&hash) {
        return Err(Break { seq: link.seq, what: "it is not as it was written" });
    }
    if known.is_some_and(|known| known.seq == link.seq && known.hash != hash) {
        let what = "it is not the entry of the given head: it, or one before it, was written anew";
        return Err(Break { seq: link.seq, what });
    }
    Ok(ChainHead { seq: link.seq, hash })
}

impl Tx {
    /// Waits until no other transaction extends the tenant's trail, and keeps others from it to the end of this one.
    pub(super) async fn hold_end(&mut self, tenant: &TenantId) -> Result<End, StoreError> {
        // Numbers go on after the last entry even if something was put in past the program: that is for the
        // verification to find, and must not keep anybody from writing.
        const READ: &str = "SELECT h.seq AS seq, h.hash AS hash,
                COALESCE((SELECT MAX(a.seq) FROM audit AS a WHERE a.tenant = h.tenant), 0) AS last
             FROM audit_heads AS h WHERE h.tenant = $1";
        const READ_AND_LOCK: &str = "SELECT h.seq AS seq, h.hash AS hash,
                COALESCE((SELECT MAX(a.seq) FROM audit AS a WHERE a.tenant = h.tenant), 0) AS last
             FROM audit_heads AS h WHERE h.tenant = $1 FOR UPDATE";
        let text = match self.backend() {
            // On SQLite a write is alone anyway.
            Backend::Sqlite => READ,
            Backend::Postgres => READ_AND_LOCK,
        };
        if let Some(row) = self.fetch_optional(sql(text).bind(tenant.as_str())).await? {
            return end(&row);
        }
        self.execute(
            sql("INSERT INTO audit_heads (tenant, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING")
                .bind(tenant.as_str())
                .bind(GENESIS),
        )
        .await?;
        end(&self.fetch_one(sql(text).bind(tenant.as_str())).await?)
    }

    /// Moves the head of a tenant's chain.
    pub(super) async fn put_head(&mut self, tenant: &TenantId, end: &End) -> Result<(), StoreError> {
        self.execute(
            sql("UPDATE audit_heads SET seq = $2, hash = $3 WHERE tenant = $1")
                .bind(tenant.as_str())
                .bind(end.last)
                .bind(&*end.hash),
        )
        .await?;
        Ok(())
    }

    /// Chains the entries of a trail that was written before there were chains, and says so at its end. Tells how
    /// many; none if somebody else has done it meanwhile.
    async fn chain_afterwards(&mut self, tenant: &TenantId) -> Result<i64, StoreError> {
        let unchained = self.hold_end(tenant).await?;
        if !unchained.hash.is_empty() {
            return Ok(0);
        }
        let mut end = End { last: 0, hash: GENESIS.to_owned() };
        loop {
            let links = self.list_links(tenant, None, end.last, PAGE).await?;
            if links.is_empty() {
                break;
            }
            let mut sql = Sql::new("UPDATE audit SET hash = column2 FROM (VALUES ");
            for (index, link) in links.iter().enumerate() {
                end = End { last: link.seq, hash: link.hash_after(&end.hash, tenant) };
                sql.push(if index == 0 { "(" } else { ", (" }).int(link.seq);
                sql.push(", ").text(&*end.hash).push(")");
            }
            sql.push(") AS links WHERE seq = column1 AND tenant = ").text(tenant.as_str());
            self.execute(sql.statement().persistent(false)).await?;
        }
        self.put_head(tenant, &end).await?;
        let detail = json!({ "entries": end.last });
        let entry = AuditEntry::by(Actor::Engine, tenant, self.now(), "audit.chain", detail);
        self.append_audit(&entry).await?;
        Ok(end.last)
    }
}

fn end(row: &AnyRow) -> Result<End, StoreError> {
    let row = Row(row);
    Ok(End { last: row.int("seq")?.max(row.int("last")?), hash: row.text("hash")? })
}

impl Store {
    /// Chains the trails that were written before there were chains; there are some once, after the upgrade.
    pub(super) async fn chain_trails_of_before(&self) -> Result<(), StoreError> {
        const UNCHAINED: &str = "SELECT tenant FROM audit_heads WHERE hash = '' ORDER BY tenant";
        let rows = self.reader().await?.fetch_all(sql(UNCHAINED)).await?;
        for row in &rows {
            let tenant: TenantId = Row(row).parsed("tenant")?;
            let entries = self
                .write({
                    let tenant = tenant.clone();
                    move |tx| {
                        let tenant = tenant.clone();
                        Box::pin(async move { tx.chain_afterwards(&tenant).await })
                    }
                })
                .await?;
            tracing::info!(%tenant, entries, "the audit trail of before is a chain now");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            seq: 2,
            at: 1_767_225_600_000_000,
            actor: "token:abc".to_owned(),
            request: None,
            person: Some("0199-\"é\"\n".to_owned()),
            event: "user.create".to_owned(),
            detail: r#"{"attributes":["active"]}"#.to_owned(),
            hash: None,
            previous: None,
        }
    }

    #[test]
    fn the_text_that_is_hashed_is_the_documented_one() {
        // Made with another program: `json.dumps(row, separators=(",", ":"), ensure_ascii=False)` and SHA-256.
        let expected = "29a28b49b23075fa630550809ec4941cf6ae9d99b29a11bfd47e673ff6540b86";
        assert_eq!(link().hash_after(GENESIS, &TenantId::default_tenant()), expected);
    }

    #[test]
    fn every_field_counts() {
        let tenant = TenantId::default_tenant();
        let hash = |link: Link| link.hash_after(GENESIS, &tenant);
        let others = [
            Link { seq: 3, ..link() },
            Link { at: 0, ..link() },
            Link { actor: "engine".to_owned(), ..link() },
            Link { request: Some(String::new()), ..link() },
            Link { person: None, ..link() },
            Link { event: "user.update".to_owned(), ..link() },
            Link { detail: "{}".to_owned(), ..link() },
        ];
        for other in others {
            assert_ne!(hash(other), hash(link()));
        }
        assert_ne!(link().hash_after(&"1".repeat(64), &tenant), hash(link()));
        assert_ne!(link().hash_after(GENESIS, &"other".parse().unwrap()), hash(link()));
    }

    #[test]
    fn a_head_reads_back_as_it_is_written() {
        let head = ChainHead { seq: 17, hash: "0123456789abcdef".repeat(4) };
        assert_eq!(head.to_string().parse(), Ok(head));
        for bad in ["", "17", "17:", "x:0", "-1:00", &format!("17:{}", "g".repeat(64))] {
            assert!(bad.parse::<ChainHead>().is_err(), "{bad:?}");
        }
    }
}
