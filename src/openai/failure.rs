//! What can go wrong with a call, sorted by the only question that matters: can it have taken effect?

use std::fmt;

use jiff::Timestamp;

/// A call that brought no usable answer.
///
/// `Display` is fit for a log: it holds nothing that OpenAI wrote, since that may quote an address. OpenAI's own
/// words are in `message`, for the administrator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// The HTTP status, if an answer came at all.
    pub status: Option<u16>,
    /// OpenAI's error code, such as `project_not_found`.
    pub code: Option<String>,
    /// OpenAI's words, or ours if it said none; control characters escaped, at most 500 characters.
    pub message: String,
    /// The `x-request-id` of the answer.
    pub request_id: Option<String>,
}

/// What a failure means for whoever planned the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Not executed: the budget is used up, here or there. Try again at `until`.
    RateLimited {
        /// The earliest instant at which the endpoint may be called again.
        until: Timestamp,
    },
    /// Not executed: no connection could be made.
    NotSent,
    /// May have taken effect: timeout, reset, 5xx, or an answer that cannot be trusted. Look before repeating.
    /// For a read: nothing was learnt.
    Unknown,
    /// 404: the object is not there; for the groups and roles lists, the organization lacks the feature.
    NotFound,
    /// 409: the state forbids it, often because it is so already.
    Conflict,
    /// 400 or 422: OpenAI refuses this for this object.
    Rejected,
    /// 401 or 403: OpenAI refuses the key; no call for this organization will go through.
    KeyRefused,
}

impl FailureKind {
    /// The word for metrics, logs and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::KeyRefused => "key_refused",
        }
    }
}

impl Failure {
    /// A failure without an answer: nothing was sent, or nothing came back.
    pub(super) fn unanswered(kind: FailureKind, message: String) -> Self {
        Self { kind, status: None, code: None, message, request_id: None }
    }

    /// Whether the call certainly did nothing.
    pub fn had_no_effect(&self) -> bool {
        self.kind != FailureKind::Unknown
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FailureKind::RateLimited { until } => {
                write!(f, "the call budget of this endpoint is used up until {until}")?;
            }
            FailureKind::NotSent => f.write_str("OpenAI could not be reached, nothing was sent")?,
            FailureKind::Unknown => f.write_str("no trustworthy answer from OpenAI, the outcome is unknown")?,
            FailureKind::NotFound => f.write_str("OpenAI knows no such object")?,
            FailureKind::Conflict => f.write_str("OpenAI reports a conflict with the present state")?,
            FailureKind::Rejected => f.write_str("OpenAI rejected the request")?,
            FailureKind::KeyRefused => f.write_str(
                "OpenAI refused the admin key; check that it is live and has the scopes api.management.read and \
                 api.management.write",
            )?,
        }
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " ({status} {code})"),
            (Some(status), None) => write!(f, " ({status})"),
            (None, _) => write!(f, ": {}", self.message),
        }
    }
}
