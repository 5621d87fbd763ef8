//! A yes or no for a resource in memory.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::ast::CompareOp;
use super::resolve::{Comparand, Field, ResolvedFilter, instant};
use crate::scim::resource::Resource;

impl ResolvedFilter {
    /// Whether `resource` satisfies the filter.
    ///
    /// An attribute without a value differs from every value: `ne` holds, all other comparisons do not. Of a list,
    /// one value has to satisfy the comparison (RFC 7644 §3.4.2.2), so an empty list satisfies none, not even `ne`.
    pub fn matches(&self, resource: &Resource) -> bool {
        self.matches_object(resource.as_map())
    }

    /// Whether an object satisfies the filter: a resource, or inside brackets one value of an attribute.
    pub(in crate::scim) fn matches_object(&self, object: &Map<String, Value>) -> bool {
        match self {
            Self::Or(parts) => parts.iter().any(|part| part.matches_object(object)),
            Self::And(parts) => parts.iter().all(|part| part.matches_object(object)),
            Self::Not(inner) => !inner.matches_object(object),
            Self::Present(field) => any(field, object, |value| value.is_some_and(is_present)),
            Self::Compare(field, op, comparand) => any(field, object, |value| match value {
                Some(value) => compare(field, value, *op, comparand),
                None => *op == CompareOp::Ne,
            }),
            Self::Any(field, inner) => any(field, object, |value| {
                value.and_then(Value::as_object).is_some_and(|value| inner.matches_object(value))
            }),
        }
    }
}

/// Whether one value of the field satisfies `test`; a field without a list and without a value is tested as `None`.
fn any(field: &Field, object: &Map<String, Value>, test: impl Fn(Option<&Value>) -> bool) -> bool {
    let leaf = |value: &Value| test(field.leaf_of(value));
    match field.whole(object) {
        Some(Value::Array(values)) => values.iter().any(leaf),
        Some(value) => leaf(value),
        None => !field.multi_valued && test(None),
    }
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(field: &Field, value: &Value, op: CompareOp, comparand: &Comparand) -> bool {
    let ordering = match (comparand, value) {
        (Comparand::Text(wanted), Value::String(value)) => {
            let (value, wanted) = (field.key(value), field.key(wanted));
            match op {
                CompareOp::Co => return value.contains(&*wanted),
                CompareOp::Sw => return value.starts_with(&*wanted),
                CompareOp::Ew => return value.ends_with(&*wanted),
                _ => Some(value.cmp(&wanted)),
            }
        }
        (Comparand::Boolean(wanted), Value::Bool(value)) => Some(value.cmp(wanted)),
        (Comparand::Number(wanted), Value::Number(value)) => {
            value.as_f64().and_then(|value| value.partial_cmp(wanted))
        }
        (Comparand::Instant(wanted), Value::String(value)) => instant(value).map(|value| value.cmp(wanted)),
        _ => None,
    };
    match (op, ordering) {
        (CompareOp::Ne, ordering) => ordering != Some(Ordering::Equal),
        (CompareOp::Eq, Some(ordering)) => ordering.is_eq(),
        (CompareOp::Gt, Some(ordering)) => ordering.is_gt(),
        (CompareOp::Ge, Some(ordering)) => ordering.is_ge(),
        (CompareOp::Lt, Some(ordering)) => ordering.is_lt(),
        (CompareOp::Le, Some(ordering)) => ordering.is_le(),
        (CompareOp::Co | CompareOp::Sw | CompareOp::Ew, _) | (_, None) => false,
    }
}
