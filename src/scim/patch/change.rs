//! What a change of a resource changed: paths without values, fit for an audit log.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::scim::resource::Resource;

/// The attributes in which two states of a resource differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    changes: Vec<Change>,
}

/// One attribute that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its canonical path, such as `active`, `name.givenName`, `emails` or `urn:…:enterprise:2.0:User:department`.
    pub path: String,
    /// Whether there was a value before, and is one now.
    pub kind: ChangeKind,
}

/// How an attribute changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It had no value and has one.
    Added,
    /// It has another value.
    Replaced,
    /// It had a value and has none.
    Removed,
}

impl ChangeSet {
    /// Compares two states of a resource, leaving out `schemas` and `meta`, which the server derives.
    ///
    /// # Examples
    ///
    /// ```
    /// use openai_scim_bridge::scim::{patch::ChangeSet, resource::Resource};
    /// use serde_json::json;
    ///
    /// let before = Resource::try_from(json!({"userName": "jane", "name": {"givenName": "Jane"}}))?;
    /// let after = Resource::try_from(json!({"userName": "jane", "name": {"givenName": "Janet"}}))?;
    /// assert_eq!(ChangeSet::between(&before, &after).paths().collect::<Vec<_>>(), ["name.givenName"]);
    /// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
    /// ```
    pub fn between(before: &Resource, after: &Resource) -> Self {
        let mut changes = Vec::new();
        compare(before.as_map(), after.as_map(), "", "", &mut changes);
        changes.retain(|change: &Change| {
            let top = change.path.split('.').next().unwrap_or_default();
            top != "schemas" && top != "meta"
        });
        Self { changes }
    }

    /// Whether nothing changed: no new version, nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, those of the state before first.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// The paths that changed.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().map(|change| change.path.as_str())
    }

    /// Whether `path`, or a part of it, changed.
    pub fn touches(&self, path: &str) -> bool {
        self.paths().any(|changed| {
            changed.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':']))
        })
    }
}

/// Compares two objects; objects within are compared part by part, joined by `:` below an extension, else by `.`.
fn compare(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    parent: &str,
    joint: &str,
    changes: &mut Vec<Change>,
) {
    let known: BTreeSet<_> = before.keys().collect();
    let names = before.keys().chain(after.keys().filter(|name| !known.contains(name)));
    for name in names {
        let path = format!("{parent}{joint}{name}");
        let kind = match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                let joint = if name.contains(':') { ":" } else { "." };
                compare(before, after, &path, joint, changes);
                continue;
            }
            (Some(_), Some(_)) => ChangeKind::Replaced,
            (Some(_), None) => ChangeKind::Removed,
            (None, _) => ChangeKind::Added,
        };
        changes.push(Change { path, kind });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_path_and_kind() {
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let before = json!({
            "schemas": [], "userName": "a", "title": "t", "emails": [{"value": "x"}],
            "name": {"givenName": "G", "familyName": "F"}, urn: {"department": "D"}, "meta": {"version": "1"}
        });
        let after = json!({
            "userName": "a", "emails": [{"value": "y"}], "active": true,
            "name": {"familyName": "F2", "formatted": "X"}, urn: {"department": "E"}, "meta": {"version": "2"}
        });
        let resource = |value: Value| Resource::try_from(value).unwrap();
        let changes = ChangeSet::between(&resource(before.clone()), &resource(after));
        let described: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
        let department = format!("{urn}:department");
        assert_eq!(
            described,
            [
                ("title", ChangeKind::Removed),
                ("emails", ChangeKind::Replaced),
                ("name.givenName", ChangeKind::Removed),
                ("name.familyName", ChangeKind::Replaced),
                ("name.formatted", ChangeKind::Added),
                (&department, ChangeKind::Replaced),
                ("active", ChangeKind::Added),
            ]
        );
        assert!(changes.touches("name") && changes.touches("name.formatted") && changes.touches(urn));
        assert!(!changes.touches("nam") && !changes.touches("userName"));
        assert!(ChangeSet::between(&resource(before.clone()), &resource(before)).is_empty());
    }
}
