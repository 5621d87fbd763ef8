//! What was learnt of how many calls an endpoint lets through, as it is kept.

use jiff::Timestamp;

/// The budget of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The endpoint's name, as in the metrics.
    pub endpoint: String,
    /// Calls allowed in any minute.
    pub allowed: u32,
    /// When that last changed.
    pub changed_at: Timestamp,
    /// Until when OpenAI asked for a pause, if it was not over.
    pub paused_until: Option<Timestamp>,
    /// Calls that had started within the last minute.
    pub used: u32,
    /// When all that was so.
    pub saved_at: Timestamp,
}
