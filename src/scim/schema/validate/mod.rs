//! Checking a body against its schema and putting it into canonical form.
//!
//! Names come in any case and leave in canonical case; unknown names, read-only attributes and the password are
//! dropped; null and empty lists mean "no value" (RFC 7643 §2.5). What is left has the type its schema states.

mod replace;

use std::fmt;

use serde_json::{Map, Value};

use super::limits::{self, MAX_ADDRESS, MAX_BINARY, MAX_DEPTH, MAX_TEXT};
use super::{Attribute, AttributeType, Mutability, ResourceType, Schema, Target};
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::filter::instant;
use crate::scim::path::AttributePath;
use crate::scim::resource::Resource;

pub use replace::replace;

/// What the body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A new resource (POST).
    Create,
    /// A whole resource in place of another (PUT); [`replace()`] tells what stays of the other.
    Replace,
}

/// Checks the body of a POST or PUT and returns it in canonical form, without `schemas`, `id`, `meta` and whatever
/// else the server owns; [`ResourceType::schemas_of`] tells what `schemas` to answer.
///
/// # Errors
///
/// - 400 `invalidSyntax`: no object, nested too deep, too many keys, or of another resource type.
/// - 400 `invalidValue`: a value of the wrong type or too long, a required one missing, two primary ones.
/// - 413: more members than one request may carry.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::schema::{Mode, Registry, validate};
///
/// let user = Registry::builtin().resource_type("User").expect("built in");
/// let body = serde_json::json!({"USERNAME": "jane", "active": "True", "password": "x", "groups": []});
/// let jane = validate(user, body, Mode::Create)?;
/// assert_eq!(serde_json::Value::from(jane), serde_json::json!({"userName": "jane", "active": true}));
///
/// let body = serde_json::json!({"userName": "jane", "emails": [{"primary": 1}]});
/// let error = validate(user, body, Mode::Create).expect_err("1 is no boolean");
/// assert_eq!(error.detail, "emails[0].primary must be true or false");
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
pub fn validate(resource_type: &ResourceType, body: Value, mode: Mode) -> Result<Resource, ScimError> {
    let what = match mode {
        Mode::Create => "new",
        Mode::Replace => "replacing",
    };
    check_shape(&body, limits::max_keys(resource_type))?;
    let Value::Object(body) = body else {
        return Err(ScimError::invalid_syntax(format!(
            "the {what} {} must be a JSON object",
            resource_type.name
        )));
    };
    let mut resource = Resource::new();
    for (key, value) in body {
        if key.eq_ignore_ascii_case("schemas") {
            check_schemas(resource_type, &value)?;
        } else {
            take(resource_type, &mut resource, &key, value)?;
        }
    }
    require(resource_type, &resource)?;
    Ok(resource)
}

/// Puts one top-level key of a body into `resource`, if the schema knows it.
fn take(
    resource_type: &ResourceType,
    resource: &mut Resource,
    key: &str,
    value: Value,
) -> Result<(), ScimError> {
    let Ok(path) = AttributePath::parse(key) else {
        return Ok(());
    };
    match resource_type.resolve(&path) {
        Some(Target::Attribute(found)) if found.sub.is_none() => {
            put(resource.as_map_mut(), found.extension, found.attribute, value)
        }
        Some(Target::Extension(schema)) => match value {
            Value::Null => Ok(()),
            Value::Object(object) => {
                object.into_iter().try_for_each(|(key, value)| match schema.attribute(&key) {
                    Some(attribute) => put(resource.as_map_mut(), Some(schema), attribute, value),
                    None => Ok(()),
                })
            }
            _ => Err(ScimError::invalid_value(format!("{} must be an object", schema.id))),
        },
        _ => Ok(()),
    }
}

fn put(
    root: &mut Map<String, Value>,
    extension: Option<&Schema>,
    attribute: &Attribute,
    value: Value,
) -> Result<(), ScimError> {
    if matches!(attribute.mutability, Mutability::ReadOnly | Mutability::WriteOnly) {
        return Ok(());
    }
    let path = super::AttributeRef { extension, attribute, sub: None }.to_string();
    let Some(value) = coerce(attribute, value, &path)? else {
        return Ok(());
    };
    let object = match extension {
        Some(schema) => root.entry(schema.id.as_str()).or_insert_with(|| Map::new().into()).as_object_mut(),
        None => Some(root),
    };
    if object.and_then(|object| object.insert(attribute.name.clone(), value)).is_some() {
        return Err(ScimError::invalid_syntax(format!("{path} is given more than once")));
    }
    Ok(())
}

/// Refuses a body that says it is of another resource type, such as a group sent to `/Users`.
///
/// A missing list, or one that names the extension alone or foreign schemas, is taken for what the endpoint serves.
fn check_schemas(resource_type: &ResourceType, value: &Value) -> Result<(), ScimError> {
    let urns = match value {
        Value::Null => return Ok(()),
        Value::Array(values) => values.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
        Value::String(urn) => Some(vec![urn.as_str()]),
        _ => None,
    };
    let urns = urns.ok_or_else(|| ScimError::invalid_syntax("schemas must be a list of URIs"))?;
    let is_core = |urn: &str| {
        let urn = urn.to_ascii_lowercase();
        urn.starts_with("urn:ietf:params:scim:schemas:core:")
            || urn.starts_with("urn:ietf:params:scim:api:messages:")
    };
    let core = &resource_type.schema.id;
    match urns.iter().find(|urn| is_core(urn)) {
        Some(foreign) if !urns.iter().any(|urn| urn.eq_ignore_ascii_case(core)) => {
            Err(ScimError::invalid_syntax(format!(
                "schemas names {foreign:?}, but {} takes {core}",
                resource_type.endpoint
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses a resource that lacks what its schema requires. A required flag has a value of its own accord until a client
/// gives it another: whoever says nothing about it means that one.
pub(in crate::scim) fn require(resource_type: &ResourceType, resource: &Resource) -> Result<(), ScimError> {
    let is_empty =
        |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    let is_asked_for = |attribute: &&Attribute| {
        attribute.required && !attribute.is_read_only() && attribute.kind != AttributeType::Boolean
    };
    for attribute in resource_type.attributes().filter(is_asked_for) {
        if resource.as_map().get(&attribute.name).is_none_or(is_empty) {
            let name = &attribute.name;
            return Err(ScimError::invalid_value(format!("{name} is required and must not be empty")));
        }
    }
    for extension in &resource_type.extensions {
        let given = resource.as_map().get(&extension.schema.id).and_then(Value::as_object);
        if extension.required && given.is_none() {
            return Err(ScimError::invalid_value(format!("{} is required", extension.schema.id)));
        }
        let Some(given) = given else { continue };
        for attribute in extension.schema.attributes.iter().filter(|attribute| attribute.required) {
            if given.get(&attribute.name).is_none_or(is_empty) {
                let (urn, name) = (&extension.schema.id, &attribute.name);
                return Err(ScimError::invalid_value(format!(
                    "{urn}:{name} is required and must not be empty"
                )));
            }
        }
    }
    Ok(())
}

/// Refuses JSON that is nested too deep or has too many keys, before anything else looks at it.
pub(in crate::scim) fn check_shape(body: &Value, max_keys: usize) -> Result<(), ScimError> {
    fn walk(value: &Value, depth: usize, keys_left: &mut usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("nested too deep");
        }
        let deeper = depth.saturating_add(1);
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| walk(value, deeper, keys_left)),
            Value::Object(map) => {
                *keys_left = keys_left.checked_sub(map.len()).ok_or("too large: too many keys")?;
                map.values().try_for_each(|value| walk(value, deeper, keys_left))
            }
            _ => Ok(()),
        }
    }
    let mut keys_left = max_keys;
    walk(body, 0, &mut keys_left).map_err(|reason| {
        ScimError::invalid_syntax(format!(
            "the body is {reason}; at most {MAX_DEPTH} levels and {max_keys} keys are accepted"
        ))
    })
}

/// The value of a whole attribute in canonical form; `None` if it means "no value". `path` names it in messages.
pub(in crate::scim) fn coerce(
    attribute: &Attribute,
    value: Value,
    path: &str,
) -> Result<Option<Value>, ScimError> {
    if !attribute.multi_valued {
        return single(attribute, value, At { path, index: None, sub: None });
    }
    let values = match value {
        Value::Null => return Ok(None),
        Value::Array(values) => values,
        lone => dialect::lone_value(lone),
    };
    let most = limits::max_values(attribute);
    if values.len() > most {
        let detail =
            format!("{path} has {} values; at most {most} are accepted in one request", values.len());
        return Err(if limits::is_members(attribute) {
            ScimError::too_large(detail)
        } else {
            ScimError::invalid_value(detail)
        });
    }
    let mut kept = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        if let Some(value) = single(attribute, value, At { path, index: Some(index), sub: None })? {
            complete(attribute, &value, At { path, index: Some(index), sub: None })?;
            kept.push(value);
        }
    }
    single_primary(&kept, path)?;
    Ok(if kept.is_empty() { None } else { Some(Value::Array(kept)) })
}

/// One value of a multi-valued attribute in canonical form; it may lack required sub-attributes.
pub(in crate::scim) fn coerce_element(
    attribute: &Attribute,
    value: Value,
    path: &str,
) -> Result<Option<Value>, ScimError> {
    single(attribute, value, At { path, index: None, sub: None })
}

/// Refuses a list with more than one primary value (RFC 7643 §2.4).
fn single_primary(values: &[Value], path: &str) -> Result<(), ScimError> {
    let is_primary = |value: &&Value| value.get("primary") == Some(&Value::Bool(true));
    if values.iter().filter(is_primary).nth(1).is_some() {
        return Err(ScimError::invalid_value(format!("{path}: primary may be true for one value only")));
    }
    Ok(())
}

/// Where in a body a value stands; prints as `emails[0].primary`.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a str,
    index: Option<usize>,
    sub: Option<&'a str>,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        match self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

fn single(attribute: &Attribute, value: Value, at: At<'_>) -> Result<Option<Value>, ScimError> {
    let expected = match (attribute.kind, value) {
        (_, Value::Null) => return Ok(None),
        (AttributeType::Complex, value) => return complex(attribute, value, at),
        (AttributeType::Boolean, value) => match dialect::boolean(&value) {
            Some(value) => return Ok(Some(Value::Bool(value))),
            None => "true or false",
        },
        (AttributeType::String | AttributeType::Reference | AttributeType::Binary, Value::String(text)) => {
            return self::text(attribute, text, at).map(Some);
        }
        (AttributeType::String, _) => "a string",
        (AttributeType::Reference, _) => "a URI string",
        (AttributeType::Binary, _) => "a Base64 string",
        (AttributeType::DateTime, Value::String(text)) if instant(&text).is_some() => {
            return Ok(Some(Value::String(text)));
        }
        (AttributeType::DateTime, _) => "a date and time such as \"2026-01-31T08:00:00Z\"",
        (AttributeType::Integer, Value::Number(number)) if number.is_i64() => return Ok(Some(number.into())),
        (AttributeType::Integer, _) => "an integer",
        (AttributeType::Decimal, Value::Number(number)) => return Ok(Some(number.into())),
        (AttributeType::Decimal, _) => "a number",
    };
    Err(ScimError::invalid_value(format!("{at} must be {expected}")))
}

fn text(attribute: &Attribute, text: String, at: At<'_>) -> Result<Value, ScimError> {
    let most = match attribute.kind {
        AttributeType::Binary => MAX_BINARY,
        _ if at.path == "userName" || (at.path.starts_with("emails") && attribute.name == "value") => {
            MAX_ADDRESS
        }
        _ => MAX_TEXT,
    };
    // A character is a byte at least: only a text that may be too long is counted.
    if text.len() > most && text.chars().count() > most {
        return Err(ScimError::invalid_value(format!("{at} is longer than {most} characters")));
    }
    if text.contains('\0') {
        return Err(ScimError::invalid_value(format!("{at} must not contain the character U+0000")));
    }
    Ok(Value::String(text))
}

fn complex(attribute: &Attribute, value: Value, at: At<'_>) -> Result<Option<Value>, ScimError> {
    let object = match value {
        Value::Object(object) => object,
        Value::String(text) => match dialect::plain_value(attribute, text) {
            Ok(object) => object,
            Err(_) => return Err(ScimError::invalid_value(format!("{at} must be an object"))),
        },
        Value::Array(values) if at.index.is_none() => match dialect::lone_element(values) {
            Some(Value::Object(object)) => object,
            _ => return Err(ScimError::invalid_value(format!("{at} must be one object"))),
        },
        _ => return Err(ScimError::invalid_value(format!("{at} must be an object"))),
    };
    let object = dialect::unpack_role(attribute, object);
    let mut kept = Map::with_capacity(object.len());
    for (key, value) in object {
        let Some(sub) = sub_attribute(attribute, &key).filter(|sub| !sub.is_read_only()) else {
            continue;
        };
        let at = At { sub: Some(&sub.name), ..at };
        if let Some(value) = single(sub, value, at)?
            && kept.insert(sub.name.clone(), value).is_some()
        {
            return Err(ScimError::invalid_syntax(format!("{at} is given more than once")));
        }
    }
    Ok(if kept.is_empty() { None } else { Some(Value::Object(kept)) })
}

fn sub_attribute<'a>(attribute: &'a Attribute, name: &str) -> Option<&'a Attribute> {
    let known = attribute.sub_attribute(name);
    known.or_else(|| attribute.sub_attribute(dialect::sub_attribute_alias(name)?))
}

fn complete(attribute: &Attribute, value: &Value, at: At<'_>) -> Result<(), ScimError> {
    for sub in attribute.sub_attributes.iter().filter(|sub| sub.required) {
        if value.get(&sub.name).is_none_or(|value| value.as_str().is_some_and(str::is_empty)) {
            let at = At { sub: Some(&sub.name), ..at };
            return Err(ScimError::invalid_value(format!("{at} is required and must not be empty")));
        }
    }
    Ok(())
}

/// Refuses a value of a list that lacks a required sub-attribute.
pub(in crate::scim) fn complete_element(
    attribute: &Attribute,
    value: &Value,
    path: &str,
) -> Result<(), ScimError> {
    complete(attribute, value, At { path, index: None, sub: None })
}

#[cfg(test)]
mod tests;
