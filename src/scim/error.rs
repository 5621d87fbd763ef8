//! `ScimError`: what went wrong, as RFC 7644 §3.12 wants it said to the client.

use std::fmt;

use serde_json::{Value, json};

/// The URN of an error message.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The `scimType` keywords of RFC 7644 §3.12 and RFC 9865.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimType {
    /// The filter is malformed, or compares what cannot be compared.
    InvalidFilter,
    /// The request would concern more resources than the server is willing to handle.
    TooMany,
    /// The value is taken by another resource.
    Uniqueness,
    /// The change is not allowed for a read-only, immutable or required attribute.
    Mutability,
    /// The body is not of the shape the request needs.
    InvalidSyntax,
    /// The path of a PATCH operation is malformed.
    InvalidPath,
    /// The path of a PATCH operation names nothing that can be changed.
    NoTarget,
    /// A value is missing, of the wrong type or out of bounds.
    InvalidValue,
    /// The protocol version asked for is not spoken here.
    InvalidVers,
    /// The request carries in its address what must not be there (RFC 7644 §7.5.2).
    Sensitive,
    /// The cursor is unknown (RFC 9865).
    InvalidCursor,
    /// The cursor was good and is no longer (RFC 9865).
    ExpiredCursor,
    /// The page size is out of bounds (RFC 9865).
    InvalidCount,
}

impl ScimType {
    /// The keyword on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

impl fmt::Display for ScimType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal that a SCIM client can read.
///
/// `detail` is shown to an administrator by the identity provider, so it says what to change.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::error::ScimError;
///
/// let error = ScimError::invalid_value("userName must not be empty");
/// assert_eq!(error.status, 400);
/// assert_eq!(error.to_json()["status"], "400");
/// assert_eq!(error.to_json()["scimType"], "invalidValue");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimError {
    /// The HTTP status code.
    pub status: u16,
    /// The keyword, for the statuses that have one.
    pub scim_type: Option<ScimType>,
    /// What is wrong and what to do about it.
    pub detail: String,
}

impl ScimError {
    /// An error of any status without a keyword.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into() }
    }

    /// 400 with a keyword.
    pub fn bad_request(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self { status: 400, scim_type: Some(scim_type), detail: detail.into() }
    }

    /// 400 `invalidValue`: a value is missing, of the wrong type or out of bounds.
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidValue, detail)
    }

    /// 400 `invalidSyntax`: the body is not of the shape the request needs.
    pub fn invalid_syntax(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidSyntax, detail)
    }

    /// 400 `invalidFilter`.
    pub fn invalid_filter(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidFilter, detail)
    }

    /// 400 `invalidPath`: a malformed PATCH path.
    pub fn invalid_path(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidPath, detail)
    }

    /// 400 `noTarget`: a PATCH operation with nothing to work on.
    pub fn no_target(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::NoTarget, detail)
    }

    /// 400 `mutability`: the attribute may not be changed this way.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::Mutability, detail)
    }

    /// 400 `tooMany`: more resources concerned than the server handles in one request.
    pub fn too_many_results(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::TooMany, detail)
    }

    /// 401: no token, or not a good one.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, detail)
    }

    /// 403: understood and not permitted.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, detail)
    }

    /// 403 `sensitive`: a filter on what must never appear in an address (RFC 7644 §7.5.2).
    pub fn sensitive(detail: impl Into<String>) -> Self {
        Self { status: 403, scim_type: Some(ScimType::Sensitive), detail: detail.into() }
    }

    /// 404: no such resource or endpoint.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    /// 405: the endpoint does not know the method.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(405, detail)
    }

    /// 408: the request did not arrive in time.
    pub fn request_timeout(detail: impl Into<String>) -> Self {
        Self::new(408, detail)
    }

    /// 409: the state of the resource forbids the request.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, detail)
    }

    /// 409 `uniqueness`: the value belongs to another resource.
    pub fn uniqueness(detail: impl Into<String>) -> Self {
        Self { status: 409, scim_type: Some(ScimType::Uniqueness), detail: detail.into() }
    }

    /// 412: the resource is of another version than `If-Match` asks for.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(412, detail)
    }

    /// 413: the body, a list or the number of operations is over the limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, detail)
    }

    /// 415: the body is not JSON by its content type.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(415, detail)
    }

    /// 429: too many requests.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(429, detail)
    }

    /// 500: our fault.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(500, detail)
    }

    /// 501: a part of SCIM that is not offered.
    pub fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(501, detail)
    }

    /// 503: not now; nothing was changed, try again.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, detail)
    }

    /// The error body. `status` is text (RFC 7644 §3.12).
    pub fn to_json(&self) -> Value {
        let mut body = json!({ "schemas": [ERROR_URN], "status": self.status.to_string() });
        if let Value::Object(map) = &mut body {
            if let Some(scim_type) = self.scim_type {
                map.insert("scimType".to_owned(), scim_type.as_str().into());
            }
            map.insert("detail".to_owned(), self.detail.as_str().into());
        }
        body
    }
}

impl fmt::Display for ScimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scim_type {
            Some(scim_type) => write!(f, "{} {scim_type}: {}", self.status, self.detail),
            None => write!(f, "{}: {}", self.status, self.detail),
        }
    }
}

impl std::error::Error for ScimError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_has_status_as_text_and_omits_an_absent_keyword() {
        let body = ScimError::not_found("No user with this id.").to_json();
        assert_eq!(body, json!({"schemas": [ERROR_URN], "status": "404", "detail": "No user with this id."}));
    }

    #[test]
    fn display_names_status_keyword_and_detail() {
        assert_eq!(ScimError::uniqueness("taken").to_string(), "409 uniqueness: taken");
    }
}
