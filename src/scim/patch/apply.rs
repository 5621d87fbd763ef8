//! Applying operations to a copy of the resource, which takes its place when all have succeeded.

use serde_json::{Map, Value};

use super::{ChangeSet, Op, Operation, PatchRequest, at_operation, check_count, list};
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::filter::Filter;
use crate::scim::path::PatchPath;
use crate::scim::resource::Resource;
use crate::scim::schema::{
    Attribute, AttributeRef, Mutability, ResourceType, Schema, Target, coerce, limits, require,
};

impl PatchRequest {
    /// Applies all operations to `resource`, or none.
    ///
    /// # Errors
    ///
    /// - 400 `mutability`: a read-only or immutable attribute, or the removal of a required one.
    /// - 400 `invalidValue`: a value that the schema refuses.
    /// - 400 `noTarget`, `invalidPath`, `invalidFilter`: a path that cannot be followed.
    /// - 413: more operations than the resource type takes.
    pub fn apply(
        &self,
        resource_type: &ResourceType,
        resource: &mut Resource,
    ) -> Result<ChangeSet, ScimError> {
        check_count(self.operations.len(), limits::max_operations(resource_type))?;
        let mut draft = Draft { resource_type, root: resource.as_map().clone() };
        for (index, operation) in self.operations.iter().enumerate() {
            draft.apply(operation).map_err(|error| at_operation(index, error))?;
        }
        let mut changed = Resource::from(draft.root);
        require(resource_type, &changed)?;
        let changes = ChangeSet::between(resource, &changed);
        if !changes.is_empty() {
            if let Some(schemas) = resource_type.schemas_of(&changed).as_array()
                && changed.as_map().contains_key("schemas")
            {
                changed.set("schemas", schemas.clone());
            }
            *resource = changed;
        }
        Ok(changes)
    }
}

/// The copy that is worked on.
struct Draft<'a> {
    resource_type: &'a ResourceType,
    root: Map<String, Value>,
}

/// How the client named an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// By `path`: it is meant.
    Path,
    /// As a key of a value: it may be an echo of what the client read.
    Key,
}

impl Draft<'_> {
    fn apply(&mut self, operation: &Operation) -> Result<(), ScimError> {
        match (&operation.path, &operation.value) {
            (Some(path), value) => self.apply_at(operation.op, path, value.clone(), Naming::Path),
            (None, Some(Value::Object(value))) => self.apply_keys(operation.op, value.clone()),
            // Refused when the request was read.
            (None, _) => Ok(()),
        }
    }

    fn apply_keys(&mut self, op: Op, value: Map<String, Value>) -> Result<(), ScimError> {
        dialect::expand_keys(value)
            .into_iter()
            .try_for_each(|(path, value)| self.apply_at(op, &path, Some(value), Naming::Key))
    }

    fn apply_at(
        &mut self,
        op: Op,
        path: &PatchPath,
        value: Option<Value>,
        naming: Naming,
    ) -> Result<(), ScimError> {
        let target = self.resource_type.resolve(&path.attribute);
        match target {
            None => Ok(()),
            Some(Target::Attribute(found)) => self.apply_to_attribute(op, found, path, value, naming),
            Some(_) if path.filter.is_some() => Err(ScimError::invalid_path(format!(
                "{}: a schema has no values to choose from",
                path.attribute
            ))),
            Some(Target::Resource) => match (op, value) {
                (Op::Add | Op::Replace, Some(Value::Object(value))) => self.apply_keys(op, value),
                (Op::Add | Op::Replace, _) => {
                    Err(ScimError::invalid_value(format!("{} must be an object", path.attribute)))
                }
                (Op::Remove, _) => Err(ScimError::no_target("remove needs the path of an attribute")),
            },
            Some(Target::Extension(schema)) => self.apply_to_extension(op, schema, value),
        }
    }

    fn apply_to_extension(&mut self, op: Op, schema: &Schema, value: Option<Value>) -> Result<(), ScimError> {
        match (op, value) {
            (Op::Remove, _) | (Op::Replace, Some(Value::Null)) => {
                let mut removable = schema.attributes.iter().filter(|attribute| !attribute.is_read_only());
                removable.try_for_each(|attribute| {
                    let whole = AttributeRef { extension: Some(schema), attribute, sub: None };
                    let edit = Edit { op: Op::Remove, whole, sub: None, filter: None, value: None };
                    self.edit(whole, |current| edit.run(current))
                })
            }
            (_, Some(Value::Object(value))) => {
                dialect::expand_keys(value).into_iter().try_for_each(|(mut path, value)| {
                    path.attribute.urn = Some(schema.id.clone());
                    self.apply_at(op, &path, Some(value), Naming::Key)
                })
            }
            (Op::Add, Some(Value::Null)) => Ok(()),
            _ => Err(ScimError::invalid_value(format!("{} must be an object", schema.id))),
        }
    }

    fn apply_to_attribute(
        &mut self,
        op: Op,
        found: AttributeRef<'_>,
        path: &PatchPath,
        value: Option<Value>,
        naming: Naming,
    ) -> Result<(), ScimError> {
        let AttributeRef { attribute, sub, .. } = found;
        if attribute.name == "schemas" || attribute.mutability == Mutability::WriteOnly {
            return Ok(());
        }
        if attribute.is_read_only() || sub.is_some_and(Attribute::is_read_only) {
            let is_other_id =
                attribute.name == "id" && self.root.get("id").is_some_and(|id| value.as_ref() != Some(id));
            return if naming == Naming::Path || is_other_id {
                Err(ScimError::mutability(format!("{found} is set by the server and cannot be changed")))
            } else {
                Ok(())
            };
        }
        let edit =
            Edit { op, whole: AttributeRef { sub: None, ..found }, sub, filter: path.filter.as_ref(), value };
        self.edit(found, |current| edit.run(current))
    }

    /// Takes the value of an attribute out of its object, edits it and puts it back into the same place.
    fn edit(
        &mut self,
        found: AttributeRef<'_>,
        edit: impl FnOnce(Option<Value>) -> Result<Option<Value>, ScimError>,
    ) -> Result<(), ScimError> {
        let name = &found.attribute.name;
        let Some(schema) = found.extension else {
            return edit_in(&mut self.root, name, edit);
        };
        let entry = self.root.entry(schema.id.as_str()).or_insert(Value::Null);
        if !entry.is_object() {
            *entry = Map::new().into();
        }
        if let Some(object) = entry.as_object_mut() {
            edit_in(object, name, edit)?;
            if object.is_empty() {
                self.root.shift_remove(&schema.id);
            }
        }
        Ok(())
    }
}

fn edit_in(
    object: &mut Map<String, Value>,
    name: &str,
    edit: impl FnOnce(Option<Value>) -> Result<Option<Value>, ScimError>,
) -> Result<(), ScimError> {
    let current = object.get_mut(name).map(Value::take).filter(|value| !value.is_null());
    match edit(current)? {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.shift_remove(name),
    };
    Ok(())
}

/// One operation on one attribute.
pub(super) struct Edit<'a> {
    pub(super) op: Op,
    /// The attribute without the sub-attribute.
    pub(super) whole: AttributeRef<'a>,
    pub(super) sub: Option<&'a Attribute>,
    pub(super) filter: Option<&'a Filter>,
    pub(super) value: Option<Value>,
}

impl Edit<'_> {
    /// The value of the attribute after the operation; `None` for no value.
    fn run(self, current: Option<Value>) -> Result<Option<Value>, ScimError> {
        let attribute = self.whole.attribute;
        let path = self.whole.to_string();
        // What came before matters for immutable and required attributes; others are not copied.
        let before =
            (attribute.mutability == Mutability::Immutable || attribute.required).then(|| current.clone());
        let edited = if attribute.multi_valued {
            list::edit(self, &path, current)
        } else if self.filter.is_some() {
            Err(ScimError::invalid_path(format!("{path} has no list of values to choose from")))
        } else if let Some(sub) = self.sub {
            self.edit_sub(sub, &path, current)
        } else if attribute.is_complex() {
            self.edit_complex(&path, current)
        } else {
            self.edit_simple(&path, current)
        };
        match before.flatten() {
            None => edited,
            Some(before) if attribute.mutability == Mutability::Immutable => match edited? {
                Some(after) if after == before => Ok(Some(after)),
                _ => Err(ScimError::mutability(format!("{path} cannot be changed once it is set"))),
            },
            Some(_) => match edited? {
                None if attribute.required => {
                    Err(ScimError::mutability(format!("{path} is required and cannot be removed")))
                }
                after => Ok(after),
            },
        }
    }

    fn edit_simple(self, path: &str, current: Option<Value>) -> Result<Option<Value>, ScimError> {
        match (self.op, self.value) {
            (Op::Remove, _) | (_, None) => Ok(None),
            (Op::Replace, Some(value)) => coerce(self.whole.attribute, value, path),
            (Op::Add, Some(value)) => Ok(coerce(self.whole.attribute, value, path)?.or(current)),
        }
    }

    /// A complex attribute is completed: what the value does not name stays (RFC 7644 §3.5.2.3).
    fn edit_complex(self, path: &str, current: Option<Value>) -> Result<Option<Value>, ScimError> {
        let attribute = self.whole.attribute;
        let (value, is_replace) = match (self.op, self.value) {
            (Op::Remove, _) | (_, None) => return Ok(None),
            (op, Some(value)) => (value, op == Op::Replace),
        };
        let cleared: Vec<String> = match &value {
            Value::Object(object) if is_replace => {
                let nulls = object.iter().filter(|(_, value)| value.is_null());
                nulls.filter_map(|(key, _)| Some(attribute.sub_attribute(key)?.name.clone())).collect()
            }
            _ => Vec::new(),
        };
        let names_parts = value.is_object();
        let given = coerce(attribute, value, path)?;
        if given.is_none() && is_replace && !names_parts {
            return Ok(None);
        }
        let mut object = into_object(current);
        for name in cleared {
            if let Some(sub) = attribute.sub_attribute(&name) {
                unset(&mut object, sub, path)?;
            }
        }
        merge(attribute, &mut object, into_object(given), path)?;
        Ok(non_empty(object))
    }

    fn edit_sub(
        self,
        sub: &Attribute,
        path: &str,
        current: Option<Value>,
    ) -> Result<Option<Value>, ScimError> {
        let mut object = into_object(current);
        let value = match (self.op, self.value) {
            (Op::Remove, _) | (_, None) => None,
            (op, Some(value)) => match coerce(sub, value, &format!("{path}.{}", sub.name))? {
                None if op == Op::Add => return Ok(non_empty(object)),
                value => value,
            },
        };
        match value {
            Some(value) => set(&mut object, sub, value, path)?,
            None => unset(&mut object, sub, path)?,
        }
        Ok(non_empty(object))
    }
}

/// Sets one sub-attribute, unless it is immutable and has another value.
pub(super) fn set(
    object: &mut Map<String, Value>,
    sub: &Attribute,
    value: Value,
    path: &str,
) -> Result<(), ScimError> {
    let is_other = object.get(&sub.name).is_some_and(|current| *current != value);
    if is_other && sub.mutability == Mutability::Immutable {
        return Err(ScimError::mutability(format!("{path}.{} cannot be changed once it is set", sub.name)));
    }
    object.insert(sub.name.clone(), value);
    Ok(())
}

/// Removes one sub-attribute, unless it is immutable or required.
pub(super) fn unset(object: &mut Map<String, Value>, sub: &Attribute, path: &str) -> Result<(), ScimError> {
    if object.contains_key(&sub.name) && (sub.mutability == Mutability::Immutable || sub.required) {
        return Err(ScimError::mutability(format!("{path}.{} cannot be removed", sub.name)));
    }
    object.shift_remove(&sub.name);
    Ok(())
}

/// Sets all sub-attributes that `given` has.
pub(super) fn merge(
    attribute: &Attribute,
    object: &mut Map<String, Value>,
    given: Map<String, Value>,
    path: &str,
) -> Result<(), ScimError> {
    for (name, value) in given {
        if let Some(sub) = attribute.sub_attribute(&name) {
            set(object, sub, value, path)?;
        }
    }
    Ok(())
}

pub(super) fn into_object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn non_empty(object: Map<String, Value>) -> Option<Value> {
    if object.is_empty() { None } else { Some(Value::Object(object)) }
}
