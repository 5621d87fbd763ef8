//! The ledger: every call with what became of it. No fault touches it, so that it can judge the caller.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::faults::Fault;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Place in the ledger, from 0.
    pub number: u64,
    /// When it came.
    pub at: Timestamp,
    /// The `x-request-id` of its answer.
    pub request_id: String,
    /// Id of the admin key used, if it was a known one.
    pub key: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query as sent, relative to `/v1`.
    pub path: String,
    /// The path template, if the path is one of the API's.
    pub template: Option<&'static str>,
    /// The JSON body; null when there was none or it was broken.
    pub body: Value,
    /// The fault that met it.
    pub fault: Option<Fault>,
    /// The status that the call itself came to; none if it was refused before (key, limiter, fault) or is due.
    pub outcome: Option<u16>,
    /// When it changed something; none if it has not.
    pub effect_at: Option<Timestamp>,
    /// When a late effect is due.
    pub due_at: Option<Timestamp>,
    /// The status that the caller was sent; none if no answer was.
    pub status: Option<u16>,
}

/// All calls since the start or the last clearing.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    next: u64,
}

impl Ledger {
    /// Opens an entry, whose number is set here.
    pub(super) fn open(&mut self, mut entry: Entry) -> u64 {
        let number = self.next;
        entry.number = number;
        self.next += 1;
        self.entries.push(entry);
        number
    }

    /// Notes something on an entry; one that was cleared meanwhile is gone.
    pub(super) fn note(&mut self, number: u64, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.number == number) {
            note(entry);
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
