//! `attributes` and `excludedAttributes`: which part of a resource is answered (RFC 7644 §3.9, RFC 7643 §7 `returned`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::scim::path::AttributePath;
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, AttributeRef, ResourceType, Returned, Schema, Target};

/// The part of a resource that a client asks for.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::{project::Projection, resource::Resource, schema::Registry};
/// use serde_json::{Value, json};
///
/// let user = Registry::builtin().resource_type("User").expect("built in");
/// let jane = Resource::try_from(json!({"schemas": [], "id": "1", "userName": "jane", "name": {"givenName": "J"}}))?;
/// let projection = Projection::parse(user, Some("NAME.givenname"), None);
/// let answer = projection.apply(user, jane);
/// assert_eq!(Value::from(answer), json!({"schemas": [], "id": "1", "name": {"givenName": "J"}}));
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// Canonical paths asked for; `None` if the client did not say.
    included: Option<BTreeSet<String>>,
    /// Canonical paths not wanted.
    excluded: BTreeSet<String>,
}

impl Projection {
    /// Reads both parameters: names separated by commas. Empty means not given, unknown names are passed over, and with
    /// both given the exclusion applies to what is included.
    pub fn parse(
        resource_type: &ResourceType,
        attributes: Option<&str>,
        excluded_attributes: Option<&str>,
    ) -> Self {
        let named = |list: &str| {
            let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            names
                .filter_map(|name| match resource_type.resolve(&AttributePath::parse(name).ok()?)? {
                    Target::Resource => Some(resource_type.schema.id.clone()),
                    Target::Extension(schema) => Some(schema.id.clone()),
                    Target::Attribute(found) => Some(found.to_string()),
                })
                .collect::<BTreeSet<_>>()
        };
        let is_given = |list: &&str| !list.split(',').all(|name| name.trim().is_empty());
        Self {
            included: attributes.filter(is_given).map(named),
            excluded: excluded_attributes.map(named).unwrap_or_default(),
        }
    }

    /// Whether a top-level attribute or an extension will be part of the answer, so that a costly one need not be
    /// loaded.
    pub fn wants(&self, resource_type: &ResourceType, name: &str) -> bool {
        if let Some(attribute) = resource_type.attribute(name) {
            return self.shows(resource_type, AttributeRef { extension: None, attribute, sub: None });
        }
        resource_type.extension(name).is_some_and(|schema| {
            let mut attributes = schema.attributes.iter();
            attributes.any(|attribute| {
                self.shows(resource_type, AttributeRef { extension: Some(schema), attribute, sub: None })
            })
        })
    }

    /// The part of `resource` to answer. What the schema does not know is left out.
    pub fn apply(&self, resource_type: &ResourceType, resource: Resource) -> Resource {
        let mut answer = Map::new();
        for (key, value) in resource.into_map() {
            if let Some(attribute) = resource_type.attribute(&key) {
                if let Some(value) = self.part_of(resource_type, None, attribute, value) {
                    answer.insert(key, value);
                }
            } else if let (Some(schema), Value::Object(object)) = (resource_type.extension(&key), value) {
                let mut kept = Map::new();
                for (key, value) in object {
                    if let Some(attribute) = schema.attribute(&key)
                        && let Some(value) = self.part_of(resource_type, Some(schema), attribute, value)
                    {
                        kept.insert(key, value);
                    }
                }
                if !kept.is_empty() {
                    answer.insert(key, Value::Object(kept));
                }
            }
        }
        Resource::from(answer)
    }

    fn part_of(
        &self,
        resource_type: &ResourceType,
        extension: Option<&Schema>,
        attribute: &Attribute,
        value: Value,
    ) -> Option<Value> {
        let whole = AttributeRef { extension, attribute, sub: None };
        if !self.shows(resource_type, whole) {
            return None;
        }
        if !attribute.is_complex() {
            return Some(value);
        }
        let shown = attribute.sub_attributes.iter().filter(|sub| {
            let found = AttributeRef { sub: Some(sub), ..whole };
            self.shows(resource_type, found)
        });
        let shown = shown.map(|sub| sub.name.as_str()).collect::<BTreeSet<_>>();
        let narrow = |value: Value| match value {
            Value::Object(object) => {
                Value::Object(object.into_iter().filter(|(key, _)| shown.contains(key.as_str())).collect())
            }
            other => other,
        };
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        match value {
            Value::Array(values) => {
                let kept: Vec<_> = values.into_iter().map(narrow).filter(|value| !is_empty(value)).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            value => Some(narrow(value)).filter(|value| !is_empty(value)),
        }
    }

    fn shows(&self, resource_type: &ResourceType, found: AttributeRef<'_>) -> bool {
        let whole = AttributeRef { sub: None, ..found };
        match found.leaf().returned {
            Returned::Always => return true,
            Returned::Never => return false,
            Returned::Default | Returned::Request => {}
        }
        let schema = found.extension.map_or(resource_type.schema.id.as_str(), |schema| schema.id.as_str());
        let (path, parent) = (found.to_string(), whole.to_string());
        let names =
            |set: &BTreeSet<String>| set.contains(&path) || set.contains(&parent) || set.contains(schema);
        if names(&self.excluded) {
            return false;
        }
        match &self.included {
            None => found.leaf().returned == Returned::Default,
            Some(included) if found.sub.is_none() => {
                // An attribute is shown, too, for the sake of one of its sub-attributes.
                let inner = format!("{path}.");
                names(included) || included.iter().any(|name| name.starts_with(&inner))
            }
            Some(included) => names(included),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::Registry;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn user() -> &'static ResourceType {
        Registry::builtin().resource_type("User").unwrap()
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "checks read best with literals given by value")]
    fn check(attributes: Option<&str>, excluded: Option<&str>, expected: Value) {
        let jane = Resource::try_from(json!({
            "schemas": ["s"], "id": "1", "userName": "jane", "password": "x",
            "name": {"givenName": "Jane", "familyName": "Smith"},
            "emails": [{"value": "a", "type": "work"}, {"type": "home"}],
            ENTERPRISE: {"department": "Retail", "manager": {"value": "m", "displayName": "M"}}
        }))
        .unwrap();
        let answer = Projection::parse(user(), attributes, excluded).apply(user(), jane);
        assert_eq!(Value::from(answer), expected);
    }

    #[test]
    fn included_attributes_come_with_id_and_schemas() {
        check(Some("userName"), None, json!({"schemas": ["s"], "id": "1", "userName": "jane"}));
        check(Some("id"), None, json!({"schemas": ["s"], "id": "1"}));
        check(
            Some(" NAME.familyname , emails.value"),
            None,
            json!({"schemas": ["s"], "id": "1", "name": {"familyName": "Smith"}, "emails": [{"value": "a"}]}),
        );
        check(
            Some(&format!("{ENTERPRISE}:manager.value")),
            None,
            json!({"schemas": ["s"], "id": "1", ENTERPRISE: {"manager": {"value": "m"}}}),
        );
        check(
            Some(ENTERPRISE),
            Some("manager"),
            json!({"schemas": ["s"], "id": "1", ENTERPRISE: {"department": "Retail"}}),
        );
        check(Some("unknown"), None, json!({"schemas": ["s"], "id": "1"}));
        check(Some("password"), None, json!({"schemas": ["s"], "id": "1"}));
    }

    #[test]
    fn excluded_attributes_are_left_out_but_never_id_and_schemas() {
        check(
            None,
            Some(&format!("id,schemas,Emails,name.givenName,{ENTERPRISE}")),
            json!({"schemas": ["s"], "id": "1", "userName": "jane", "name": {"familyName": "Smith"}}),
        );
        check(
            None,
            Some("urn:ietf:params:scim:schemas:core:2.0:User:emails,name,userName,manager"),
            json!({"schemas": ["s"], "id": "1", ENTERPRISE: {"department": "Retail"}}),
        );
    }

    #[test]
    fn empty_parameters_are_not_given() {
        let all = json!({
            "schemas": ["s"], "id": "1", "userName": "jane",
            "name": {"givenName": "Jane", "familyName": "Smith"},
            "emails": [{"value": "a", "type": "work"}, {"type": "home"}],
            ENTERPRISE: {"department": "Retail", "manager": {"value": "m", "displayName": "M"}}
        });
        check(Some(""), Some(" , "), all.clone());
        check(None, None, all);
    }

    #[test]
    fn costly_attributes_need_not_be_loaded_when_unwanted() {
        let group = Registry::builtin().resource_type("Group").unwrap();
        assert!(!Projection::parse(group, None, Some("members")).wants(group, "members"));
        assert!(!Projection::parse(group, Some("id"), None).wants(group, "members"));
        assert!(Projection::parse(group, Some("members.value"), None).wants(group, "members"));
        assert!(Projection::parse(group, None, None).wants(group, "members"));
        assert!(!Projection::parse(user(), Some("userName"), None).wants(user(), ENTERPRISE));
        assert!(Projection::parse(user(), Some("manager"), None).wants(user(), ENTERPRISE));
    }
}
