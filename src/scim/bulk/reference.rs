//! References of the form `bulkId:qwerty` in the data and the path of an operation.

use serde_json::Value;

use crate::scim::error::ScimError;

const PREFIX: &str = "bulkId:";

/// The id that a text refers to, and what stands before the reference.
fn parse<'a>(key: Option<&str>, text: &'a str) -> Option<(&'a str, &'a str)> {
    let (before, last) = match key {
        // An address ends with the id of what it leads to.
        Some("$ref") => text.split_at(text.rfind('/').map_or(0, |slash| slash.saturating_add(1))),
        _ => ("", text),
    };
    last.strip_prefix(PREFIX).filter(|id| !id.is_empty()).map(|id| (before, id))
}

/// Shows every id that `value` refers to.
pub(super) fn visit<'a>(value: &'a Value, visitor: &mut impl FnMut(&'a str)) {
    fn walk<'a>(key: Option<&str>, value: &'a Value, visitor: &mut impl FnMut(&'a str)) {
        match value {
            Value::String(text) => parse(key, text).into_iter().for_each(|(_, id)| visitor(id)),
            Value::Array(values) => values.iter().for_each(|value| walk(key, value, visitor)),
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(Some(key), value, visitor)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    walk(None, value, visitor);
}

/// Shows the id that a segment of a path refers to.
pub(super) fn visit_segment<'a>(segment: Option<&'a str>, visitor: &mut impl FnMut(&'a str)) {
    segment.and_then(|segment| segment.strip_prefix(PREFIX)).into_iter().for_each(visitor);
}

/// Puts the ids that `lookup` knows in the place of all references.
pub(super) fn replace<'a>(
    value: &mut Value,
    lookup: &impl Fn(&str) -> Result<&'a str, ScimError>,
) -> Result<(), ScimError> {
    fn walk<'a>(
        key: Option<&str>,
        value: &mut Value,
        lookup: &impl Fn(&str) -> Result<&'a str, ScimError>,
    ) -> Result<(), ScimError> {
        match value {
            Value::String(text) => {
                if let Some((before, id)) = parse(key, text) {
                    *text = format!("{before}{}", lookup(id)?);
                }
                Ok(())
            }
            Value::Array(values) => values.iter_mut().try_for_each(|value| walk(key, value, lookup)),
            Value::Object(map) => map.iter_mut().try_for_each(|(key, value)| walk(Some(key), value, lookup)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    walk(None, value, lookup)
}

/// Puts the id that `lookup` knows in the place of a reference in a segment of a path.
pub(super) fn replace_segment<'a>(
    segment: &mut String,
    lookup: &impl Fn(&str) -> Result<&'a str, ScimError>,
) -> Result<(), ScimError> {
    if let Some(id) = segment.strip_prefix(PREFIX) {
        *segment = lookup(id)?.to_owned();
    }
    Ok(())
}
