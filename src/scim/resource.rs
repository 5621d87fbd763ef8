//! `Resource`: a SCIM document in canonical form, an ordered JSON object with typed access.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::scim::error::ScimError;

/// A SCIM resource whose names are in canonical case.
///
/// Paths are canonical too: `userName`, `name.givenName`, `urn:…:enterprise:2.0:User:department`, or the URN of an
/// extension for the extension as a whole.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::resource::Resource;
///
/// let user = Resource::try_from(serde_json::json!({
///     "userName": "jane", "active": true, "name": {"givenName": "Jane"},
///     "emails": [{"value": "jane@example.com"}]
/// }))?;
/// assert_eq!(user.get_str("name.givenName"), Some("Jane"));
/// assert_eq!(user.get_bool("active"), Some(true));
/// assert_eq!(user.strings("emails.value").collect::<Vec<_>>(), ["jane@example.com"]);
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resource(Map<String, Value>);

impl Resource {
    /// An empty resource.
    pub fn new() -> Self {
        Self::default()
    }

    /// The JSON object.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The JSON object, to be changed; names must stay canonical.
    pub fn as_map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// The JSON object.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// The value at `path`. A list is returned as a whole; a sub-attribute of a list has no single value.
    pub fn get(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let (value, sub) = self.attribute(path)?;
        match sub {
            Some(sub) => value.get(sub),
            None => Some(value),
        }
    }

    /// The text at `path`.
    pub fn get_str(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// The boolean at `path`.
    pub fn get_bool(&self, path: &str) -> Option<bool> {
        self.get(path)?.as_bool()
    }

    /// The elements of the list at `path`; none if there is no list.
    pub fn values(&self, path: &str) -> &[Value] {
        self.get(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// All texts at `path`, through lists.
    pub fn strings<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.attribute(path);
        let sub = found.and_then(|(_, sub)| sub);
        let elements = match found {
            Some((Value::Array(values), _)) => values.as_slice(),
            Some((value, _)) => std::slice::from_ref(value),
            None => &[],
        };
        elements.iter().filter_map(move |value| match sub {
            Some(sub) => value.get(sub)?.as_str(),
            None => value.as_str(),
        })
    }

    /// Sets a top-level attribute or a whole extension.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a top-level attribute or a whole extension, keeping the order of the others.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    fn attribute<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Value, Option<&'p str>)> {
        let (object, rest) = match path.rsplit_once(':') {
            Some((urn, rest)) => (self.0.get(urn)?.as_object()?, rest),
            None => (&self.0, path),
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        Some((object.get(name)?, sub))
    }
}

impl From<Map<String, Value>> for Resource {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

impl TryFrom<Value> for Resource {
    type Error = ScimError;

    /// Takes an object whose names are canonical already, such as one read back from storage.
    fn try_from(value: Value) -> Result<Self, ScimError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(ScimError::invalid_syntax("a resource is a JSON object")),
        }
    }
}

impl From<Resource> for Value {
    fn from(resource: Resource) -> Self {
        Value::Object(resource.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_reach_attributes_extensions_and_lists() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let user = Resource::try_from(json!({
            "userName": "jane", "emails": [{"value": "a"}, {"display": "b"}, {"value": "c"}],
            enterprise: {"department": "Retail", "manager": {"value": "m"}}
        }))
        .unwrap();
        assert_eq!(user.get_str(&format!("{enterprise}:department")), Some("Retail"));
        assert_eq!(user.get_str(&format!("{enterprise}:manager.value")), Some("m"));
        assert!(user.get(enterprise).is_some_and(Value::is_object));
        assert_eq!(user.strings("emails.value").collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(user.values("emails").len(), 3);
        assert_eq!(
            (user.get_str("active"), user.get_bool("userName"), user.get("emails.value")),
            (None, None, None)
        );
    }
}
