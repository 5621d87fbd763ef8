//! Versions as weak entity tags, and the conditions a client puts on them (RFC 7644 §3.14, RFC 9110 §13).

use std::fmt;

use crate::scim::error::ScimError;

/// The version of a resource; prints as `W/"3"`, the form of `meta.version` and of the `ETag` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W/\"{}\"", self.0)
    }
}

/// The value of `If-Match` or `If-None-Match`.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::etag::{Condition, Version};
///
/// let condition = Condition::parse(r#"W/"2", "3""#)?;
/// assert!(condition.names(Version(3)));
/// assert!(!condition.names(Version(4)));
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `*`: whatever the version.
    Any,
    /// One of these tags, without `W/` and quotes: versions are compared weakly (RFC 9110 §8.8.3.2).
    OneOf(Vec<String>),
}

impl Condition {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// 400 `invalidSyntax` for what is neither `*` nor a list of entity tags.
    pub fn parse(header: &str) -> Result<Self, ScimError> {
        let mut rest = header.trim();
        if rest == "*" {
            return Ok(Self::Any);
        }
        let malformed =
            || ScimError::invalid_syntax("If-Match and If-None-Match take * or versions such as W/\"3\"");
        let mut tags = Vec::new();
        loop {
            let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"').ok_or_else(malformed)?;
            let (tag, after) = quoted.split_once('"').ok_or_else(malformed)?;
            tags.push(tag.to_owned());
            rest = after.trim_start();
            if rest.is_empty() {
                return Ok(Self::OneOf(tags));
            }
            rest = rest.strip_prefix(',').ok_or_else(malformed)?.trim_start();
        }
    }

    /// Whether the condition names `version`.
    pub fn names(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => {
                let current = version.0.to_string();
                tags.contains(&current)
            }
        }
    }

    /// Checks `If-Match` before a change.
    ///
    /// # Errors
    ///
    /// 412 if the resource is of another version.
    pub fn require(&self, version: Version) -> Result<(), ScimError> {
        if self.names(version) {
            Ok(())
        } else {
            Err(ScimError::precondition_failed(format!(
                "the resource is of version {version} by now; read it again and repeat the change"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<bool>) {
        assert_eq!(
            Condition::parse(header).ok().map(|condition| condition.names(Version(3))),
            expected,
            "{header}"
        );
    }

    #[test]
    fn tags_are_compared_weakly() {
        check("*", Some(true));
        check("W/\"3\"", Some(true));
        check("\"3\"", Some(true));
        check(" W/\"2\" ,\"x,3,y\",W/\"3\" ", Some(true));
        check("W/\"33\"", Some(false));
        check("\"x,3,y\"", Some(false));
        check("3", None);
        check("", None);
        check("W/\"3", None);
        check("\"3\" \"4\"", None);
    }

    #[test]
    fn another_version_fails_the_precondition() {
        let error = Condition::parse("W/\"2\"").unwrap().require(Version(3)).unwrap_err();
        assert_eq!((error.status, error.scim_type), (412, None));
        assert!(error.detail.contains("W/\"3\""));
    }
}
