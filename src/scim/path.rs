//! Attribute paths, `[URN:]attribute[.sub]` (RFC 7644 §3.10), and PATCH paths, `attribute[filter].sub` (§3.5.2).

use std::fmt;

use crate::scim::error::ScimError;
use crate::scim::filter::{self, Filter};

/// A path as it was written, before any schema is asked what it names
/// ([`ResourceType::resolve`](crate::scim::schema::ResourceType::resolve)).
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::path::AttributePath;
///
/// let path = AttributePath::parse("name.givenName").expect("well-formed");
/// assert_eq!((path.attribute.as_str(), path.sub.as_deref()), ("name", Some("givenName")));
///
/// let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value";
/// assert_eq!(AttributePath::parse(urn).expect("well-formed").to_string(), urn);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    /// The URN before the last colon.
    pub urn: Option<String>,
    /// The attribute.
    pub attribute: String,
    /// The sub-attribute.
    pub sub: Option<String>,
}

/// Where in a text something is wrong, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Bytes before the place.
    pub offset: usize,
    /// What is wrong there.
    pub message: String,
}

impl SyntaxError {
    /// An error at `offset` bytes.
    pub(in crate::scim) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }

    /// The message with the place as people count it: characters, from 1.
    pub fn describe(&self, text: &str) -> String {
        let characters = text.char_indices().take_while(|(offset, _)| *offset < self.offset).count();
        format!("at character {}: {}", characters.saturating_add(1), self.message)
    }
}

impl AttributePath {
    /// A path of an attribute alone.
    pub fn of(attribute: impl Into<String>) -> Self {
        Self { urn: None, attribute: attribute.into(), sub: None }
    }

    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let has_urn = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"));
        let (urn, rest) = match text.rsplit_once(':') {
            Some((urn, rest)) if has_urn => (Some(urn), rest),
            _ => (None, text),
        };
        let start = text.len().saturating_sub(rest.len());
        if let Some(urn) = urn {
            let is_urn = |c: char| c.is_ascii_alphanumeric() || ":.-_+%/#".contains(c);
            if let Some((offset, c)) = urn.char_indices().find(|(_, c)| !is_urn(*c)) {
                return Err(SyntaxError::new(offset, format!("{c:?} cannot be part of a schema URN")));
            }
        }
        let (attribute, sub) = match rest.split_once('.') {
            Some((attribute, sub)) => (attribute, Some(sub)),
            None => (rest, None),
        };
        check_name(attribute, start)?;
        if let Some(sub) = sub {
            check_name(sub, start.saturating_add(attribute.len()).saturating_add(1))?;
        }
        Ok(Self { urn: urn.map(str::to_owned), attribute: attribute.to_owned(), sub: sub.map(str::to_owned) })
    }
}

/// Checks one name by the grammar of RFC 7643 §2.1: a letter, or `$` as in `$ref`, then letters, digits, `-`, `_`, `$`.
pub(in crate::scim) fn check_name(name: &str, offset: usize) -> Result<(), SyntaxError> {
    let mut characters = name.char_indices();
    match characters.next() {
        None => return Err(SyntaxError::new(offset, "an attribute name is missing")),
        Some((_, c)) if !(c.is_ascii_alphabetic() || c == '$') => {
            return Err(SyntaxError::new(offset, format!("an attribute name cannot begin with {c:?}")));
        }
        Some(_) => {}
    }
    match characters.find(|(_, c)| !(c.is_ascii_alphanumeric() || "-_$".contains(*c))) {
        Some((at, c)) => Err(SyntaxError::new(
            offset.saturating_add(at),
            format!("{c:?} cannot be part of an attribute name"),
        )),
        None => Ok(()),
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(urn) = &self.urn {
            write!(f, "{urn}:")?;
        }
        f.write_str(&self.attribute)?;
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

/// The `path` of a PATCH operation (RFC 7644 §3.5.2, figure 7).
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::path::PatchPath;
///
/// let path = PatchPath::parse(r#"emails[type eq "work"].value"#).expect("well-formed");
/// assert_eq!(path.attribute.sub.as_deref(), Some("value"));
/// assert_eq!(path.to_string(), r#"emails[type eq "work"].value"#);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PatchPath {
    /// The attribute, and the sub-attribute if one is named, with or without a filter between.
    pub attribute: AttributePath,
    /// Which values of a multi-valued attribute are meant.
    pub filter: Option<Filter>,
}

impl PatchPath {
    /// Reads a PATCH path.
    ///
    /// # Errors
    ///
    /// 400 `invalidPath` naming the place.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let parsed = filter::parse_patch_path(text);
        parsed.map_err(|error| ScimError::invalid_path(format!("path {}", error.describe(text))))
    }
}

impl fmt::Display for PatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(filter) = &self.filter else {
            return self.attribute.fmt(f);
        };
        let AttributePath { urn, attribute, sub } = &self.attribute;
        if let Some(urn) = urn {
            write!(f, "{urn}:")?;
        }
        write!(f, "{attribute}[{filter}]")?;
        match sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::{Registry, Target};

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = PatchPath::parse(text).map(|path| path.to_string()).map_err(|error| error.detail);
        assert_eq!(parsed.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn paths_print_as_they_were_written() {
        for text in [
            "userName",
            "name.givenName",
            "members.$ref",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "addresses[type eq \"a\" and not (primary eq true)].locality",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            "urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq \"work\"].value",
        ] {
            check(text, Ok(text));
        }
        check("  emails[ type  EQ \"work\" ].value ", Ok("emails[type eq \"work\"].value"));
        check("roles[primary eq \"True\"].value", Ok("roles[primary eq \"True\"].value"));
    }

    #[test]
    fn malformed_paths_are_refused_at_their_place() {
        check("", Err("path at character 1: an attribute name is missing"));
        check("__proto__.isAdmin", Err("path at character 1: an attribute name cannot begin with '_'"));
        check("name..x", Err("path at character 6: an attribute name cannot begin with '.'"));
        check("name.given.x", Err("path at character 11: '.' cannot be part of an attribute name"));
        check("emails[0].value", Err("path at character 8: an attribute name cannot begin with '0'"));
        check("emails[type eq \"work\"", Err("path at character 22: the text ends where ] is expected"));
        check(
            "emails[type eq \"work\"]value",
            Err("path at character 23: .sub-attribute or the end is expected"),
        );
        check(
            "emails.value[type eq \"a\"]",
            Err("path at character 13: only an attribute can be followed by ["),
        );
        check("emails[]", Err("path at character 8: an attribute is expected before ]"));
        check("user name", Err("path at character 6: the path should end here"));
    }

    #[test]
    fn names_resolve_in_any_case_to_their_canonical_path() {
        let user = Registry::builtin().resource_type("User").unwrap();
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (text, expected) in [
            ("USERNAME", "userName"),
            ("Emails.Primary", "emails.primary"),
            ("urn:ietf:params:scim:schemas:CORE:2.0:user:name.GIVENname", "name.givenName"),
            (&format!("{enterprise}:Department"), &format!("{enterprise}:department")),
            ("manager", &format!("{enterprise}:manager")),
            ("meta.lastmodified", "meta.lastModified"),
        ] {
            match user.resolve(&AttributePath::parse(text).unwrap()) {
                Some(Target::Attribute(found)) => assert_eq!(found.to_string(), expected),
                other => panic!("{text} resolved to {other:?}"),
            }
        }
        let resolve = |text: &str| user.resolve(&AttributePath::parse(text).unwrap());
        assert!(matches!(resolve(&enterprise.to_uppercase()), Some(Target::Extension(_))));
        assert_eq!(resolve("urn:ietf:params:scim:schemas:core:2.0:User"), Some(Target::Resource));
        assert_eq!(resolve("urn:example:foreign:2.0:User:x"), None);
        assert_eq!(resolve("name.unknown"), None);
    }
}
