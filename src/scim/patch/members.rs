//! What a PATCH does to a member list, told without the list: a set operation, so that a change costs its own size and
//! not that of the group.
//!
//! The same operations have the same meaning as when they are applied to a resource with all its members, except:
//!
//! - Members are selected by their `value` (and `type`) alone: anything else could be told by the list only.
//! - A member is not changed in place, because all its parts are immutable (RFC 7643 §4.2).
//! - `add` to `members[value eq "…"]` adds that member.
//! - A member that is a group is refused: groups within groups are not kept.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Op, Operation, PatchRequest, at_operation, check_count};
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::filter::Filter;
use crate::scim::path::PatchPath;
use crate::scim::schema::{Attribute, AttributeRef, ResourceType, Target, coerce, coerce_element, limits};

/// Who joins and who leaves. Ids are as the client wrote them; none is in both sets.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::{patch::PatchRequest, schema::Registry};
/// use serde_json::json;
///
/// let group = Registry::builtin().resource_type("Group").expect("built in");
/// let request = PatchRequest::parse(json!({"Operations": [
///     {"op": "replace", "path": "displayName", "value": "Staff"},
///     {"op": "Remove", "path": "members", "value": [{"value": "a"}]},
///     {"op": "add", "path": "members", "value": [{"value": "b"}]}
/// ]}))?;
/// let (rest, members) = request.split_members(group)?;
/// assert!(!members.replace);
/// assert_eq!(members.join.into_iter().collect::<Vec<_>>(), ["b"]);
/// assert_eq!(members.leave.into_iter().collect::<Vec<_>>(), ["a"]);
/// assert_eq!(rest.operations[0].value, Some(json!("Staff")));
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberChange {
    /// Whether everybody leaves who does not join.
    pub replace: bool,
    /// Who is a member afterwards.
    pub join: BTreeSet<String>,
    /// Who is no member afterwards; empty if everybody else leaves anyway.
    pub leave: BTreeSet<String>,
}

impl MemberChange {
    /// These and nobody else are to be members.
    pub fn to(members: BTreeSet<String>) -> Self {
        Self { replace: true, join: members, leave: BTreeSet::new() }
    }

    fn add(&mut self, ids: BTreeSet<String>) {
        self.leave.retain(|id| !ids.contains(id));
        self.join.extend(ids);
    }

    fn remove(&mut self, ids: BTreeSet<String>) {
        self.join.retain(|id| !ids.contains(id));
        if !self.replace {
            self.leave.extend(ids);
        }
    }
}

impl PatchRequest {
    /// Takes the operations on `members` out of the request. What is left keeps its place, so that errors number the
    /// operations as the client does.
    ///
    /// # Errors
    ///
    /// - 400 `invalidValue`: a member without `value`, or one that is a group.
    /// - 400 `mutability`: a change of a member in place.
    /// - 400 `invalidPath`: a selection by something else than `value`.
    /// - 413: too many operations or members.
    pub fn split_members(mut self, resource_type: &ResourceType) -> Result<(Self, MemberChange), ScimError> {
        check_count(self.operations.len(), limits::max_operations(resource_type))?;
        let mut split = Split { resource_type, change: MemberChange::default() };
        for (index, operation) in self.operations.iter_mut().enumerate() {
            split.take(operation).map_err(|error| at_operation(index, error))?;
        }
        Ok((self, split.change))
    }
}

/// The ids in a member list in canonical form.
///
/// # Errors
///
/// 400 `invalidValue` for a member that is said to be a group.
pub fn member_ids(members: &[Value]) -> Result<BTreeSet<String>, ScimError> {
    let mut ids = BTreeSet::new();
    for member in members {
        let kind = member.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("Group")) {
            return Err(ScimError::invalid_value(GROUP_AS_MEMBER));
        }
        if let Some(id) = member.get("value").and_then(Value::as_str) {
            ids.insert(id.to_owned());
        }
    }
    Ok(ids)
}

/// Said of a member that is a group.
pub const GROUP_AS_MEMBER: &str =
    "members: a group cannot be a member of a group here; add its users as members instead";

struct Split<'a> {
    resource_type: &'a ResourceType,
    change: MemberChange,
}

impl<'a> Split<'a> {
    fn take(&mut self, operation: &mut Operation) -> Result<(), ScimError> {
        let Operation { op, path, value } = operation;
        match (path, value) {
            (None, Some(Value::Object(object))) => self.take_keys(*op, object),
            (Some(path), value) => match self.resource_type.resolve(&path.attribute) {
                Some(Target::Attribute(found)) if limits::is_members(found.attribute) => {
                    self.change_members(*op, found, path.filter.as_ref(), value.take())?;
                    *operation = Operation { op: Op::Add, path: None, value: Some(Map::new().into()) };
                    Ok(())
                }
                Some(Target::Resource) => match value {
                    Some(Value::Object(object)) => self.take_keys(*op, object),
                    _ => Ok(()),
                },
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Takes what concerns members out of a value without a path.
    fn take_keys(&mut self, op: Op, object: &mut Map<String, Value>) -> Result<(), ScimError> {
        let mut kept = Map::new();
        for (key, mut value) in std::mem::take(object) {
            let path = PatchPath::parse(&key).ok();
            let target = path.as_ref().and_then(|path| self.resource_type.resolve(&path.attribute));
            match (path, target, &mut value) {
                (Some(path), Some(Target::Attribute(found)), _) if limits::is_members(found.attribute) => {
                    self.change_members(op, found, path.filter.as_ref(), Some(value))?;
                    continue;
                }
                (_, Some(Target::Resource), Value::Object(inner)) => self.take_keys(op, inner)?,
                _ => {}
            }
            kept.insert(key, value);
        }
        *object = kept;
        Ok(())
    }

    fn change_members(
        &mut self,
        op: Op,
        members: AttributeRef<'a>,
        filter: Option<&Filter>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        let attribute = members.attribute;
        if let Some(sub) = members.sub {
            return Err(unchangeable(&sub.name));
        }
        let selected = filter.map(|filter| select(members, filter)).transpose()?;
        match (op, selected) {
            (Op::Remove, Some(selected)) => self.change.remove(selected),
            (Op::Remove, None) => match dialect::listed_values(attribute, value.as_ref()) {
                Some(listed) => self.change.remove(listed_ids(attribute, listed)?),
                None => self.change = MemberChange::to(BTreeSet::new()),
            },
            (Op::Add, None) => self.change.add(given_ids(attribute, value)?),
            (Op::Replace, None) => self.change = MemberChange::to(given_ids(attribute, value)?),
            (Op::Add, Some(selected)) => {
                let repeated = dialect::listed_values(attribute, value.as_ref()).unwrap_or_default();
                if !listed_ids(attribute, repeated)?.is_subset(&selected) {
                    return Err(unchangeable("value"));
                }
                self.change.add(selected);
            }
            (Op::Replace, Some(_)) => return Err(unchangeable("value")),
        }
        Ok(())
    }
}

fn unchangeable(sub: &str) -> ScimError {
    ScimError::mutability(format!(
        "members.{sub} cannot be changed; remove the member that is meant and add another"
    ))
}

fn given_ids(attribute: &Attribute, value: Option<Value>) -> Result<BTreeSet<String>, ScimError> {
    match value.map(|value| coerce(attribute, value, &attribute.name)).transpose()?.flatten() {
        Some(Value::Array(members)) => member_ids(&members),
        _ => Ok(BTreeSet::new()),
    }
}

/// Those whom a `remove` lists; what names nobody is passed over.
fn listed_ids(attribute: &Attribute, listed: Vec<Map<String, Value>>) -> Result<BTreeSet<String>, ScimError> {
    let (path, most) = (&attribute.name, limits::max_values(attribute));
    if listed.len() > most {
        return Err(ScimError::too_large(format!(
            "{path}: at most {most} values are accepted in one request"
        )));
    }
    let mut ids = BTreeSet::new();
    for object in listed {
        let member = coerce_element(attribute, object.into(), path)?;
        let id = member.as_ref().and_then(|member| member.get("value")).and_then(Value::as_str);
        ids.extend(id.map(str::to_owned));
    }
    Ok(ids)
}

/// The ids of those whom a value filter selects, provided that it says who.
fn select(members: AttributeRef<'_>, filter: &Filter) -> Result<BTreeSet<String>, ScimError> {
    let resolved = filter.resolve_within(members)?;
    let named = resolved
        .named_values()
        .filter(|_| !resolved.fields().any(|field| !matches!(field.name(), "value" | "type")));
    let named = named.ok_or_else(|| {
        ScimError::invalid_path("members are selected by their id alone, as in members[value eq \"…\"]")
    })?;
    let is_selected = |id: &&str| {
        let member = [("value", *id), ("type", "User")].map(|(name, text)| (name.to_owned(), text.into()));
        resolved.matches_object(&Map::from_iter(member))
    };
    Ok(named.into_iter().filter(is_selected).map(str::to_owned).collect())
}
