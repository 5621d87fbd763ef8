//! Paging by index (RFC 7644 §3.4.2.4) and by cursor (RFC 9865), and the list message of each.

use serde_json::{Value, json};

use crate::scim::error::{ScimError, ScimType};

/// The URN of a list message.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// Resources on a page when the client does not say.
pub const DEFAULT_COUNT: u64 = 100;
/// Resources on a page at most; a larger `count` is cut to it.
pub const MAX_COUNT: u64 = 200;
/// The largest index; fits into a signed 64-bit column.
const MAX_INDEX: u64 = i64::MAX.unsigned_abs();

/// The page asked for.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::list::Page;
///
/// let page = Page::parse(Some("101"), Some("1000000"))?;
/// assert_eq!((page.start_index, page.count, page.offset()), (101, 200, 100));
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The index of the first resource wanted, from 1 to `i64::MAX`.
    pub start_index: u64,
    /// How many resources are wanted, from 0 to [`MAX_COUNT`].
    pub count: u64,
}

impl Default for Page {
    fn default() -> Self {
        Self { start_index: 1, count: DEFAULT_COUNT }
    }
}

impl Page {
    /// Reads `startIndex` and `count`; empty means not given, below the least means the least, any size of number is
    /// taken.
    ///
    /// # Errors
    ///
    /// 400 `invalidValue` for what is no whole number.
    pub fn parse(start_index: Option<&str>, count: Option<&str>) -> Result<Self, ScimError> {
        Ok(Self {
            start_index: whole_number("startIndex", start_index)?.unwrap_or(1).clamp(1, MAX_INDEX),
            count: whole_number("count", count)?.unwrap_or(DEFAULT_COUNT).min(MAX_COUNT),
        })
    }

    /// How many resources to skip; fits into a signed 64-bit column.
    pub fn offset(&self) -> u64 {
        self.start_index.saturating_sub(1)
    }
}

/// Reads the `count` of a query that pages by cursor, which has to be positive; one beyond [`MAX_COUNT`] is cut to it.
///
/// # Errors
///
/// 400 `invalidCount` (RFC 9865 §2.1).
pub fn parse_cursor_count(count: Option<&str>) -> Result<u64, ScimError> {
    match whole_number("count", count) {
        Ok(Some(0)) | Err(_) => Err(ScimError::bad_request(
            ScimType::InvalidCount,
            format!("count must be a whole number from 1 to {MAX_COUNT}"),
        )),
        Ok(count) => Ok(count.unwrap_or(DEFAULT_COUNT).min(MAX_COUNT)),
    }
}

/// A number of any length, negative ones as 0.
fn whole_number(name: &str, text: Option<&str>) -> Result<Option<u64>, ScimError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ScimError::invalid_value(format!("{name} must be a whole number")));
    }
    // Digits alone fail to parse only by being too many.
    Ok(Some(if text.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX) }))
}

/// A page of resources as it is sent.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::list::ListResponse;
///
/// let body = ListResponse { total_results: 0, start_index: 1, resources: Vec::new() }.into_json();
/// assert_eq!(body["itemsPerPage"], 0);
/// assert!(body["Resources"].is_array());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ListResponse {
    /// How many resources satisfy the request on all pages.
    pub total_results: u64,
    /// The index of the first resource of this page.
    pub start_index: u64,
    /// The resources of this page.
    pub resources: Vec<Value>,
}

impl ListResponse {
    /// The message. `itemsPerPage` is the number of resources in it, and `Resources` is there even when empty.
    pub fn into_json(self) -> Value {
        json!({
            "schemas": [LIST_URN],
            "totalResults": self.total_results,
            "startIndex": self.start_index,
            "itemsPerPage": self.resources.len(),
            "Resources": self.resources,
        })
    }
}

/// A page of a query that pages by cursor, as it is sent (RFC 9865 §2).
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::list::CursorResponse;
///
/// let last = CursorResponse { total_results: Some(7), resources: Vec::new(), next_cursor: None, previous_cursor: None };
/// let body = last.into_json();
/// assert_eq!((&body["totalResults"], body.get("nextCursor"), body.get("startIndex")), (&7.into(), None, None));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CursorResponse {
    /// How many resources satisfy the request on all pages; `None` if that is not known.
    pub total_results: Option<u64>,
    /// The resources of this page.
    pub resources: Vec<Value>,
    /// Where the next page begins; `None` on the last page, and only there.
    pub next_cursor: Option<String>,
    /// Where the page before lies.
    pub previous_cursor: Option<String>,
}

impl CursorResponse {
    /// The message.
    pub fn into_json(self) -> Value {
        let mut body = json!({ "schemas": [LIST_URN] });
        if let Value::Object(map) = &mut body {
            map.extend(self.total_results.map(|total| ("totalResults".to_owned(), total.into())));
            map.insert("itemsPerPage".to_owned(), self.resources.len().into());
            map.extend(self.next_cursor.map(|cursor| ("nextCursor".to_owned(), cursor.into())));
            map.extend(self.previous_cursor.map(|cursor| ("previousCursor".to_owned(), cursor.into())));
            map.insert("Resources".to_owned(), self.resources.into());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(start_index: &str, count: &str, expected: (u64, u64)) {
        let page = Page::parse(Some(start_index), Some(count)).unwrap();
        assert_eq!((page.start_index, page.count), expected);
    }

    #[test]
    fn numbers_far_outside_are_brought_within() {
        check("", "", (1, 100));
        check("1", "2", (1, 2));
        check("0", "0", (1, 0));
        check("-5", "-1", (1, 0));
        check("999999999999999999999999999", "999999999999999999999999999", (MAX_INDEX, 200));
        check("-999999999999999999999999999", "201", (1, 200));
        check(" 7 ", "+3", (7, 3));
        assert_eq!(Page::parse(None, None).unwrap(), Page::default());
    }

    #[test]
    fn the_count_of_a_cursor_is_positive_and_cut_to_the_most() {
        assert_eq!(parse_cursor_count(None).unwrap(), DEFAULT_COUNT);
        assert_eq!(parse_cursor_count(Some("7")).unwrap(), 7);
        assert_eq!(parse_cursor_count(Some("100000")).unwrap(), MAX_COUNT);
        for text in ["0", "-1", "x"] {
            assert_eq!(parse_cursor_count(Some(text)).unwrap_err().scim_type, Some(ScimType::InvalidCount));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["x", "1.5", "1e3", "-", "0x10", "٣"] {
            let error = Page::parse(Some(text), None).unwrap_err();
            assert_eq!(error.to_string(), "400 invalidValue: startIndex must be a whole number");
        }
        assert_eq!(Page::parse(None, Some("many")).unwrap_err().detail, "count must be a whole number");
    }
}
