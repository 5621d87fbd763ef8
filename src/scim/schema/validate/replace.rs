//! What a PUT leaves of the resource before (RFC 7644 §3.5.1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::scim::error::ScimError;
use crate::scim::filter::fold;
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, AttributeRef, Mutability, ResourceType, Schema};

/// The resource after a PUT of `given`, a body that [`validate`](super::validate) has checked, in place of `before`.
///
/// - What clients may write is as given, and gone if not given.
/// - What only the server writes stays.
/// - What can be written once stays; giving nothing for it is no wish to remove it.
/// - A value of a list is the same as one before if its `value` is: read-only and immutable sub-attributes describe it,
///   and stay. An outdated description, echoed by a client that read it earlier, is no wish to change it.
///
/// # Errors
///
/// 400 `mutability` naming an immutable attribute that has another value.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::{resource::Resource, schema::{Mode, Registry, replace, validate}};
/// use serde_json::{Value, json};
///
/// let user = Registry::builtin().resource_type("User").expect("built in");
/// let before = Resource::try_from(json!({"id": "1", "userName": "jane", "title": "Engineer"}))?;
/// let given = validate(user, json!({"id": "2", "userName": "jane", "active": true}), Mode::Replace)?;
/// let after = replace(user, &before, given)?;
/// assert_eq!(Value::from(after), json!({"id": "1", "userName": "jane", "active": true}));
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
pub fn replace(
    resource_type: &ResourceType,
    before: &Resource,
    mut given: Resource,
) -> Result<Resource, ScimError> {
    let root = given.as_map_mut();
    for attribute in resource_type.attributes() {
        replace_in(root, before.as_map(), None, attribute)?;
    }
    for schema in resource_type.extensions.iter().map(|extension| &*extension.schema) {
        let empty = Map::new();
        let before = before.as_map().get(&schema.id).and_then(Value::as_object).unwrap_or(&empty);
        let mut object = match root.get_mut(&schema.id).map(Value::take) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        for attribute in &schema.attributes {
            replace_in(&mut object, before, Some(schema), attribute)?;
        }
        if object.is_empty() {
            root.shift_remove(&schema.id);
        } else {
            root.insert(schema.id.clone(), Value::Object(object));
        }
    }
    if root.contains_key("schemas") {
        let schemas = resource_type.schemas_of(&given);
        given.set("schemas", schemas);
    }
    Ok(given)
}

fn replace_in(
    given: &mut Map<String, Value>,
    before: &Map<String, Value>,
    extension: Option<&Schema>,
    attribute: &Attribute,
) -> Result<(), ScimError> {
    let name = &attribute.name;
    let Some(before) = before.get(name).filter(|value| !value.is_null()) else { return Ok(()) };
    match (attribute.mutability, given.get_mut(name)) {
        (Mutability::ReadOnly, _) | (Mutability::Immutable, None) => {
            given.insert(name.clone(), before.clone());
        }
        (Mutability::Immutable, Some(value)) => {
            keep_described(attribute, before, value);
            if value != before {
                let path = AttributeRef { extension, attribute, sub: None };
                return Err(ScimError::mutability(format!("{path} cannot be changed once it is set")));
            }
        }
        (Mutability::ReadWrite, Some(value)) => keep_described(attribute, before, value),
        (Mutability::ReadWrite, None) | (Mutability::WriteOnly, _) => {}
    }
    Ok(())
}

/// Puts the sub-attributes that the client cannot write back into the values that are the same as before.
fn keep_described(attribute: &Attribute, before: &Value, given: &mut Value) {
    let is_kept = |sub: &&Attribute| matches!(sub.mutability, Mutability::ReadOnly | Mutability::Immutable);
    let kept: Vec<_> = attribute.sub_attributes.iter().filter(is_kept).map(|sub| sub.name.as_str()).collect();
    if kept.is_empty() {
        return;
    }
    let is_exact = attribute.sub_attribute("value").is_some_and(Attribute::is_case_exact);
    let identity = |value: &Value| {
        let text = value.get("value")?.as_str()?;
        Some(if is_exact { text.to_owned() } else { fold(text).into_owned() })
    };
    let keep = |before: &Value, given: &mut Value| {
        if let (Value::Object(before), Value::Object(given)) = (before, given) {
            let kept = kept.iter().filter_map(|name| Some(((*name).to_owned(), before.get(*name)?.clone())));
            given.extend(kept);
        }
    };
    match (before, given) {
        (Value::Array(before), Value::Array(given)) => {
            let before: BTreeMap<_, _> =
                before.iter().filter_map(|value| Some((identity(value)?, value))).collect();
            for value in given {
                if let Some(before) = identity(value).and_then(|identity| before.get(&identity)) {
                    keep(before, value);
                }
            }
        }
        (before, given) => {
            let is_same = identity(before) == identity(given);
            if is_same {
                keep(before, given);
            }
        }
    }
}
