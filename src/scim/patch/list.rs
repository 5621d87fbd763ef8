//! Operations on multi-valued attributes: the whole list, or the values that a filter selects.
//!
//! Every operation walks the list once, so that a long member list costs its length and not its square.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Op;
use super::apply::{Edit, into_object, merge, unset};
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::filter::{ResolvedFilter, fold};
use crate::scim::schema::{Attribute, Mutability, coerce, coerce_element, complete_element, limits};

/// The list after the operation; `None` for an empty one.
pub(super) fn edit(edit: Edit<'_>, path: &str, current: Option<Value>) -> Result<Option<Value>, ScimError> {
    let values = match current {
        Some(Value::Array(values)) => values,
        Some(lone) => vec![lone],
        None => Vec::new(),
    };
    let attribute = edit.whole.attribute;
    let mut list = List::new(attribute, path, values);
    match (edit.filter, edit.sub) {
        (None, None) => list.edit_whole(edit.op, edit.value)?,
        (filter, sub) => {
            let filter = filter.map(|filter| filter.resolve_within(edit.whole)).transpose()?;
            list.edit_selected(edit.op, filter.as_ref(), sub, edit.value)?;
        }
    }
    let values = list.values;
    if values.len() > limits::MAX_VALUES && !limits::is_members(attribute) {
        let most = limits::MAX_VALUES;
        return Err(ScimError::invalid_value(format!(
            "{path} would have {} values; at most {most}",
            values.len()
        )));
    }
    Ok(if values.is_empty() { None } else { Some(Value::Array(values)) })
}

struct List<'a> {
    attribute: &'a Attribute,
    path: &'a str,
    values: Vec<Value>,
    /// Whether `value` is compared with regard to case.
    value_is_exact: bool,
    /// Whether `value` alone says which element is meant, as in `members`: there it is immutable.
    value_is_identity: bool,
}

impl<'a> List<'a> {
    fn new(attribute: &'a Attribute, path: &'a str, values: Vec<Value>) -> Self {
        let value_is_exact = attribute.sub_attribute("value").is_some_and(Attribute::is_case_exact);
        let value_is_identity = is_immutable(attribute, "value");
        Self { attribute, path, values, value_is_exact, value_is_identity }
    }

    fn edit_whole(&mut self, op: Op, value: Option<Value>) -> Result<(), ScimError> {
        match (op, value) {
            (Op::Remove, value) => {
                if let Some(listed) = dialect::listed_values(self.attribute, value.as_ref()) {
                    self.remove_listed(&listed)
                } else {
                    self.values.clear();
                    Ok(())
                }
            }
            (_, None) => Ok(()),
            (op, Some(value)) => {
                let given = match coerce(self.attribute, value, self.path)? {
                    Some(Value::Array(given)) => given,
                    _ => Vec::new(),
                };
                if op == Op::Replace {
                    self.values = given;
                } else {
                    self.add(given);
                }
                Ok(())
            }
        }
    }

    /// Works on the values that `filter` selects, or on all; on a sub-attribute of them if `sub` is given.
    fn edit_selected(
        &mut self,
        op: Op,
        filter: Option<&ResolvedFilter>,
        sub: Option<&Attribute>,
        value: Option<Value>,
    ) -> Result<(), ScimError> {
        let is_selected = |value: &Value| match (filter, value) {
            (Some(filter), Value::Object(object)) => filter.matches_object(object),
            (filter, _) => filter.is_none(),
        };
        let selected: Vec<usize> = self
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| is_selected(value))
            .map(|(index, _)| index)
            .collect();
        let given = match (value.filter(|_| op != Op::Remove), sub) {
            (None, _) => None,
            (Some(value), Some(sub)) => coerce(sub, value, &format!("{}.{}", self.path, sub.name))?
                .map(|value| Map::from_iter([(sub.name.clone(), value)])),
            (Some(value), None) => {
                coerce_element(self.attribute, value, self.path)?.map(|value| into_object(Some(value)))
            }
        };
        match given {
            None if op == Op::Add => Ok(()),
            None => self.clear(&selected, sub),
            Some(given) if selected.is_empty() => self.create(filter, given),
            Some(given) => {
                self.change(&selected, &given, filter.filter(|_| op == Op::Replace && sub.is_none()))
            }
        }
    }

    /// Removes the selected values, or a sub-attribute of them; a value without any is none.
    fn clear(&mut self, selected: &[usize], sub: Option<&Attribute>) -> Result<(), ScimError> {
        let mut selected = selected.iter().peekable();
        let mut kept = Vec::with_capacity(self.values.len());
        for (index, value) in std::mem::take(&mut self.values).into_iter().enumerate() {
            if selected.next_if(|next| **next == index).is_none() {
                kept.push(value);
            } else if let Some(sub) = sub {
                let mut object = into_object(Some(value));
                unset(&mut object, sub, self.path)?;
                if !object.is_empty() {
                    kept.push(Value::Object(object));
                }
            }
        }
        self.values = kept;
        Ok(())
    }

    /// Sets sub-attributes of the selected values; with `record`, the filter that selected them, whole values are
    /// replaced and go on satisfying it.
    fn change(
        &mut self,
        selected: &[usize],
        given: &Map<String, Value>,
        record: Option<&ResolvedFilter>,
    ) -> Result<(), ScimError> {
        for index in selected {
            let Some(value) = self.values.get_mut(*index) else { continue };
            let mut object = into_object(Some(value.take()));
            if let Some(filter) = record {
                let seed = dialect::seed(filter).unwrap_or_default();
                object.retain(|name, _| seed.contains_key(name) || is_immutable(self.attribute, name));
            }
            merge(self.attribute, &mut object, given.clone(), self.path)?;
            *value = Value::Object(object);
            complete_element(self.attribute, value, self.path)?;
        }
        match selected {
            _ if given.get("primary") != Some(&Value::Bool(true)) => {}
            [winner] => self.keep_primary(*winner),
            _ => {
                let (path, count) = (self.path, selected.len());
                return Err(ScimError::invalid_value(format!(
                    "{path}: primary may be true for one value only, and {count} are selected"
                )));
            }
        }
        Ok(())
    }

    /// Makes the value that the filter describes; it must satisfy the filter with what is given.
    fn create(
        &mut self,
        filter: Option<&ResolvedFilter>,
        given: Map<String, Value>,
    ) -> Result<(), ScimError> {
        let path = self.path;
        let no_target =
            || ScimError::no_target(format!("{path}: no value matches, and none can be made of the filter"));
        let mut object = filter.map_or_else(|| Some(Map::new()), dialect::seed).ok_or_else(no_target)?;
        object.extend(given);
        let Some(value) = coerce_element(self.attribute, Value::Object(object), path)? else {
            return Ok(());
        };
        let object = value.as_object().ok_or_else(no_target)?;
        if filter.is_some_and(|filter| !filter.matches_object(object))
            || object.keys().any(|name| is_immutable(self.attribute, name))
        {
            return Err(no_target());
        }
        complete_element(self.attribute, &value, path)?;
        self.add(vec![value]);
        Ok(())
    }

    /// Appends values; one that is there already is completed instead.
    fn add(&mut self, given: Vec<Value>) {
        let mut waiting: BTreeMap<String, Vec<(usize, Value)>> = BTreeMap::new();
        let mut fresh: Vec<(usize, Value)> = Vec::new();
        for (order, value) in given.into_iter().enumerate() {
            match self.key(&value).map(Cow::into_owned) {
                Some(key) => {
                    let same_key = waiting.entry(key).or_default();
                    match same_key.iter_mut().find(|(_, other)| self.is_same(other, &value)) {
                        Some((_, other)) => complete_with(self.attribute, other, value),
                        None => same_key.push((order, value)),
                    }
                }
                None if self.values.contains(&value) => {}
                None => fresh.push((order, value)),
            }
        }
        let mut winner = None;
        let mut values = std::mem::take(&mut self.values);
        for (index, current) in values.iter_mut().enumerate() {
            let Some(same_key) = self.key(current).and_then(|key| waiting.get_mut(&*key)) else { continue };
            while let Some(found) = same_key.iter().position(|(_, value)| self.is_same(current, value)) {
                let (_, value) = same_key.swap_remove(found);
                if is_primary(&value) {
                    winner = Some(index);
                }
                complete_with(self.attribute, current, value);
            }
        }
        fresh.extend(waiting.into_values().flatten());
        fresh.sort_by_key(|(order, _)| *order);
        for (_, value) in fresh {
            if is_primary(&value) {
                winner = Some(values.len());
            }
            values.push(value);
        }
        self.values = values;
        if let Some(winner) = winner {
            self.keep_primary(winner);
        }
    }

    /// Removes the values that are listed, by their `value` and, where both sides tell it, their `type`.
    fn remove_listed(&mut self, listed: &[Map<String, Value>]) -> Result<(), ScimError> {
        let most = limits::max_values(self.attribute);
        if listed.len() > most {
            let path = self.path;
            return Err(ScimError::too_large(format!(
                "{path}: at most {most} values are accepted in one request"
            )));
        }
        let mut keyed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut others = Vec::new();
        for object in listed {
            let Some(wanted) = coerce_element(self.attribute, Value::Object(object.clone()), self.path)?
            else {
                continue;
            };
            match self.key(&wanted).map(Cow::into_owned) {
                Some(key) => keyed.entry(key).or_default().push(wanted),
                None if self.value_is_identity => {}
                None => others.push(wanted),
            }
        }
        let is_listed = |value: &Value| {
            let by_key = self.key(value).and_then(|key| keyed.get(&*key));
            by_key.is_some_and(|same_key| same_key.iter().any(|wanted| self.is_same(value, wanted)))
                || others.iter().any(|wanted| self.has_parts(value, wanted))
        };
        let kept = self.values.iter().map(|value| !is_listed(value)).collect::<Vec<_>>();
        let mut kept = kept.into_iter();
        self.values.retain(|_| kept.next().unwrap_or(true));
        Ok(())
    }

    /// Makes the value at `winner` the only primary one (RFC 7644 §3.5.2).
    fn keep_primary(&mut self, winner: usize) {
        for (index, value) in self.values.iter_mut().enumerate() {
            if index != winner
                && let Some(primary) = value.get_mut("primary")
                && *primary == Value::Bool(true)
            {
                *primary = Value::Bool(false);
            }
        }
    }

    /// The text of `value` in the form in which it is compared.
    fn key<'v>(&self, value: &'v Value) -> Option<Cow<'v, str>> {
        let text = value.get("value")?.as_str()?;
        Some(if self.value_is_exact { Cow::Borrowed(text) } else { fold(text) })
    }

    /// Whether two values with the same key are the same: they are not of different types, or `value` is identity.
    fn is_same(&self, one: &Value, other: &Value) -> bool {
        self.value_is_identity
            || match (one.get("type").and_then(Value::as_str), other.get("type").and_then(Value::as_str)) {
                (Some(one), Some(other)) => fold(one) == fold(other),
                _ => true,
            }
    }

    /// Whether `value` has all sub-attributes of `wanted`.
    fn has_parts(&self, value: &Value, wanted: &Value) -> bool {
        let Value::Object(wanted) = wanted else {
            return value == wanted;
        };
        wanted.iter().all(|(name, wanted)| match (value.get(name), wanted) {
            (Some(Value::String(text)), Value::String(wanted)) => {
                let is_exact = self.attribute.sub_attribute(name).is_some_and(Attribute::is_case_exact);
                if is_exact { text == wanted } else { fold(text) == fold(wanted) }
            }
            (value, wanted) => value == Some(wanted),
        })
    }
}

/// Adds what `given` knows to a value that is there; what is immutable and set stays.
fn complete_with(attribute: &Attribute, value: &mut Value, given: Value) {
    if let (Value::Object(object), Value::Object(given)) = (value, given) {
        for (name, value) in given {
            if !(object.contains_key(&name) && is_immutable(attribute, &name)) {
                object.insert(name, value);
            }
        }
    }
}

fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

fn is_immutable(attribute: &Attribute, name: &str) -> bool {
    attribute.sub_attribute(name).is_some_and(|sub| sub.mutability == Mutability::Immutable)
}
