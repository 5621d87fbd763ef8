//! Reads an answer and says what it means. Everything that is known about OpenAI's error dialects is here.
//!
//! Status first, then code, then text: texts are unstable. A 400, 404, 409 or 422 counts as OpenAI's own word only in
//! OpenAI's own format, because a gateway on the way answers with the same numbers, and "not found" from a gateway
//! must not pass for a removal done.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::openai::client::Answer;
use crate::openai::failure::{Failure, FailureKind};
use crate::telemetry::redact;

/// OpenAI's words are cut after this many characters.
const MAX_MESSAGE: usize = 500;
/// Codes and request ids are symbols; longer ones are not theirs.
const MAX_SYMBOL: usize = 100;

/// An answer as it came.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What an error body says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    /// Whether the body has OpenAI's format at all.
    genuine: bool,
    code: Option<String>,
    message: Option<String>,
}

impl Reply {
    /// The upstream request id, made fit for a log.
    pub(super) fn request_id(&self) -> Option<String> {
        let id = self.headers.get("x-request-id")?.to_str().ok()?;
        Some(redact::plain(id, MAX_SYMBOL)).filter(|id| !id.is_empty())
    }

    /// The value, if this is a success that can be read and `ours` recognises as the answer to our question;
    /// otherwise what the failure means. `limited` turns the pause that a 429 asks for into the instant to come back.
    pub(super) fn decode<T: DeserializeOwned>(
        &self,
        now: Timestamp,
        ours: impl Fn(&T) -> bool,
        limited: impl FnOnce(Option<SignedDuration>) -> Timestamp,
    ) -> Result<Answer<T>, Failure> {
        if !self.status.is_success() {
            return Err(self.failure(now, limited));
        }
        match serde_json::from_slice::<T>(&self.body) {
            Ok(value) if ours(&value) => Ok(Answer { value, request_id: self.request_id() }),
            Ok(_) => Err(self.unknown("the answer is about another object than was asked for")),
            Err(error) => {
                // serde_json's text may quote the body, which is somebody's data: say where, not what.
                let (line, column) = (error.line(), error.column());
                Err(self.unknown(&format!("the answer cannot be read (line {line}, column {column})")))
            }
        }
    }

    fn failure(&self, now: Timestamp, limited: impl FnOnce(Option<SignedDuration>) -> Timestamp) -> Failure {
        let words = Words::read(&self.body);
        let kind = match self.status.as_u16() {
            429 => FailureKind::RateLimited { until: limited(self.pause(now, words.message.as_deref())) },
            401 | 403 => FailureKind::KeyRefused,
            404 if words.genuine && !words.is_about_the_url() => FailureKind::NotFound,
            409 if words.genuine => FailureKind::Conflict,
            400 | 422 if words.genuine => FailureKind::Rejected,
            _ => FailureKind::Unknown,
        };
        let message = match self.status.as_u16() {
            300..400 => "a redirect, which is never followed; check OPENAI_BASE_URL".to_owned(),
            404 if kind == FailureKind::Unknown => {
                "this address serves no Admin API; check OPENAI_BASE_URL".to_owned()
            }
            _ => words.message.unwrap_or_else(|| "an answer without words".to_owned()),
        };
        Failure {
            kind,
            status: Some(self.status.as_u16()),
            code: words.code,
            message,
            request_id: self.request_id(),
        }
    }

    fn unknown(&self, message: &str) -> Failure {
        Failure {
            kind: FailureKind::Unknown,
            status: Some(self.status.as_u16()),
            code: None,
            message: message.to_owned(),
            request_id: self.request_id(),
        }
    }

    /// The pause a 429 asks for: `retry-after-ms`, then `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), then
    /// the delay in the text.
    fn pause(&self, now: Timestamp, text: Option<&str>) -> Option<SignedDuration> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        header("retry-after-ms")
            .and_then(|ms| duration(ms, 0.001))
            .or_else(|| {
                let after = header(header::RETRY_AFTER.as_str())?;
                duration(after, 1.0).or_else(|| {
                    // The date is by the other side's clock, which its `Date` header shows.
                    let theirs = header(header::DATE.as_str()).and_then(parse_date).unwrap_or(now);
                    Some(parse_date(after)?.duration_since(theirs))
                })
            })
            .or_else(|| text.and_then(pause_in_text))
    }
}

impl Words {
    /// Reads `{"error": {…}}` and `{"error": "…"}`; anything else is not OpenAI's.
    fn read(body: &[u8]) -> Self {
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let text = |value: Option<&Value>, limit| {
            value
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(|text| redact::plain(text, limit))
        };
        match body.get("error") {
            Some(Value::Object(error)) => Self {
                genuine: true,
                code: text(error.get("code"), MAX_SYMBOL),
                message: text(error.get("message"), MAX_MESSAGE),
            },
            Some(error @ Value::String(_)) => {
                Self { genuine: true, code: None, message: text(Some(error), MAX_MESSAGE) }
            }
            _ => Self::default(),
        }
    }

    /// OpenAI answers an unknown path with 404 as well: the base URL is wrong then, not the object gone.
    fn is_about_the_url(&self) -> bool {
        self.code.as_deref() == Some("unknown_url")
            || self.message.as_deref().is_some_and(|message| message.starts_with("Invalid URL"))
    }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// A decimal number of units of `unit` seconds.
fn duration(number: &str, unit: f64) -> Option<SignedDuration> {
    let is_decimal = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let seconds = number.parse::<f64>().ok().filter(|_| is_decimal)? * unit;
    SignedDuration::try_from_secs_f64(seconds).ok()
}

/// The delay in "please try again after 6.937 seconds", "try again in 1m30s", "try again in 20ms".
fn pause_in_text(text: &str) -> Option<SignedDuration> {
    let (_, after) = text.split_once("try again")?;
    let mut rest = after.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut sum: Option<SignedDuration> = None;
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after_number) = rest.split_at(number_end);
        let after_number = after_number.trim_start();
        let unit_end = after_number.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after_number.len());
        let (unit, after_unit) = after_number.split_at(unit_end);
        let part = duration(number.trim_end_matches('.'), seconds_of(unit)?)?;
        sum = Some(sum.unwrap_or_default().saturating_add(part));
        rest = after_unit.trim_start();
    }
    sum
}

fn seconds_of(unit: &str) -> Option<f64> {
    match unit.to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => Some(0.001),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
                .collect(),
            body: Bytes::from(body.to_owned()),
        }
    }

    fn failure(status: u16, body: &str) -> Failure {
        reply(status, &[], body).failure(now(), |_| now())
    }

    fn pause(headers: &[(&'static str, &str)], body: &str) -> Option<f64> {
        let mut asked = None;
        reply(429, headers, body).failure(now(), |pause| {
            asked = pause;
            now()
        });
        asked.map(|pause| pause.as_secs_f64())
    }

    const ERROR: &str =
        r#"{"error":{"message":"No such thing","type":"invalid_request_error","param":null,"code":"nope"}}"#;

    #[test]
    fn each_status_has_its_meaning() {
        for (status, kind) in [
            (400, FailureKind::Rejected),
            (401, FailureKind::KeyRefused),
            (403, FailureKind::KeyRefused),
            (404, FailureKind::NotFound),
            (408, FailureKind::Unknown),
            (409, FailureKind::Conflict),
            (422, FailureKind::Rejected),
            (429, FailureKind::RateLimited { until: now() }),
            (307, FailureKind::Unknown),
            (405, FailureKind::Unknown),
            (500, FailureKind::Unknown),
            (502, FailureKind::Unknown),
            (503, FailureKind::Unknown),
        ] {
            let failure = failure(status, ERROR);
            assert_eq!((failure.kind, failure.status), (kind, Some(status)));
            assert_eq!(failure.code.as_deref(), Some("nope"));
        }
    }

    #[test]
    fn a_gateway_does_not_speak_for_openai() {
        for body in ["<html>404</html>", "", "{}", r#""not found""#] {
            for status in [400, 404, 409, 422] {
                assert_eq!(failure(status, body).kind, FailureKind::Unknown, "{status} {body}");
            }
        }
        assert_eq!(failure(403, "<html>").kind, FailureKind::KeyRefused);
    }

    #[test]
    fn an_unknown_path_is_not_a_missing_object() {
        let answer = r#"{"error":{"message":"Invalid URL (DELETE /v2/organization/users/user-1)","type":"x","code":null}}"#;
        let failure = failure(404, answer);
        assert_eq!(failure.kind, FailureKind::Unknown);
        assert!(failure.message.contains("OPENAI_BASE_URL"), "{}", failure.message);
    }

    #[test]
    fn both_error_bodies_are_read() {
        let object = failure(403, ERROR);
        assert_eq!((object.code.as_deref(), object.message.as_str()), (Some("nope"), "No such thing"));
        let bare = failure(403, r#"{"error":"Missing scopes: api.management.read."}"#);
        assert_eq!((bare.code, bare.message.as_str()), (None, "Missing scopes: api.management.read."));
    }

    #[test]
    fn words_are_cut_and_cannot_break_a_line() {
        let long = failure(400, &format!(r#"{{"error":{{"message":"a\nb{}"}}}}"#, "x".repeat(9000)));
        assert!(long.message.starts_with("a\\nbxx"), "{}", long.message);
        assert!(long.message.chars().count() < 510);
        assert!(!long.to_string().contains("xx"), "what OpenAI wrote is not for the log: {long}");
    }

    #[test]
    fn the_pause_is_found_in_every_dialect() {
        let text =
            |words: &str| format!(r#"{{"error":{{"message":"{words}","code":"rate_limit_exceeded"}}}}"#);
        let plain = text("You are making too many requests.");
        let date = ("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT");
        assert_eq!(pause(&[("retry-after-ms", "1500"), ("retry-after", "9")], &plain), Some(1.5));
        assert_eq!(pause(&[("retry-after", "12")], &plain), Some(12.0));
        assert_eq!(pause(&[date], &plain), Some(30.0));
        assert_eq!(pause(&[date, ("date", "Sat, 21 Nov 2026 12:00:20 GMT")], &plain), Some(10.0));
        assert_eq!(pause(&[("retry-after", "soon")], &text("Please try again in 20ms.")), Some(0.02));
        assert_eq!(pause(&[], &text("Rate limit, please try again after 6.937 seconds.")), Some(6.937));
        assert_eq!(pause(&[], &text("Please try again in 1m30s.")), Some(90.0));
        assert_eq!(pause(&[], &text("Please try again in 2 minutes.")), Some(120.0));
        assert_eq!(pause(&[], &text("Please try again later.")), None);
        assert_eq!(pause(&[], &plain), None);
        assert_eq!(pause(&[("retry-after", "-5")], &plain), None);
        assert_eq!(pause(&[], "<html>slow down</html>"), None);
    }
}
