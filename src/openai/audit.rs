//! The organization's audit log: off until an owner switches it on, and of unknown delay. It can tell of something
//! sooner, never that nothing happened.

use jiff::Timestamp;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::AuditEvent;

/// Which entries to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditQuery<'a> {
    /// Entries from this instant on.
    pub since: Timestamp,
    /// Entries of these types, such as `invite.accepted`; empty means all.
    pub event_types: &'a [&'a str],
}

impl Client {
    /// One page of audit entries; `limit` is 1 to 100.
    pub async fn list_audit_logs(
        &self,
        query: AuditQuery<'_>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<AuditEvent>>, Failure> {
        let mut call = Call::new(Endpoint::ListAuditLogs, &[]).with_page(after, limit);
        call.query.push(("effective_at[gte]", query.since.as_second().to_string()));
        call.query.extend(query.event_types.iter().map(|kind| ("event_types[]", (*kind).to_owned())));
        self.send(call, |_| true).await
    }
}
