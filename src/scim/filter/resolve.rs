//! Names to schema attributes, literals to typed values; what cannot be compared is refused here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::ast::{CompareOp, Filter, Literal, Operand};
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::path::AttributePath;
use crate::scim::schema::{Attribute, AttributeRef, AttributeType, ResourceType, Returned, Target};

/// A filter whose names and values are checked against a resource type: ready to be evaluated
/// ([`ResolvedFilter::matches`]) or compiled.
#[derive(Debug, Clone, PartialEq)]
pub enum ResolvedFilter {
    /// At least one of them; of none: never.
    Or(Vec<ResolvedFilter>),
    /// All of them; of none: always.
    And(Vec<ResolvedFilter>),
    /// Not this.
    Not(Box<ResolvedFilter>),
    /// The attribute has a value.
    Present(Field),
    /// The attribute compares so with the value; for a multi-valued attribute: one of its values does.
    Compare(Field, CompareOp, Comparand),
    /// One value of the attribute satisfies the whole inner filter, whose fields are sub-attributes of that value.
    Any(Field, Box<ResolvedFilter>),
}

impl ResolvedFilter {
    /// The attributes that the filter looks at, as often as it does.
    pub fn fields(&self) -> Box<dyn Iterator<Item = &Field> + '_> {
        match self {
            Self::Or(parts) | Self::And(parts) => Box::new(parts.iter().flat_map(Self::fields)),
            Self::Not(inner) => inner.fields(),
            Self::Present(field) | Self::Compare(field, ..) => Box::new(std::iter::once(field)),
            Self::Any(field, inner) => Box::new(std::iter::once(field).chain(inner.fields())),
        }
    }

    /// Whether the filter looks at a top-level attribute, or at a part of it.
    pub fn looks_at(&self, attribute: &str) -> bool {
        self.fields().any(|field| field.is_of(attribute))
    }

    /// Inside brackets: the texts of which `value` has to be one for the filter to hold; `None` if it may hold for
    /// others.
    pub fn named_values(&self) -> Option<BTreeSet<&str>> {
        match self {
            Self::Compare(field, CompareOp::Eq, Comparand::Text(text)) if field.name() == "value" => {
                Some(BTreeSet::from([text.as_str()]))
            }
            Self::And(parts) => parts.iter().find_map(Self::named_values),
            Self::Or(parts) => parts
                .iter()
                .map(Self::named_values)
                .try_fold(BTreeSet::new(), |all, part| Some(all.into_iter().chain(part?).collect())),
            _ => None,
        }
    }
}

/// An attribute that a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The full canonical path, such as `userName`, `emails.value`, `meta.lastModified` or
    /// `urn:…:enterprise:2.0:User:manager.value`; the same inside and outside of brackets.
    pub path: String,
    /// The data type of the leaf.
    pub kind: AttributeType,
    /// Whether texts are compared with regard to case.
    pub case_exact: bool,
    /// Whether the attribute is a list.
    pub multi_valued: bool,
    /// The way to the value from the object the field is looked up in: extension URN, attribute, sub-attribute.
    steps: (Option<String>, String, Option<String>),
}

impl Field {
    /// The field to compare for `found`: a complex attribute stands for its `value`, if it has one.
    pub(in crate::scim) fn comparable(mut found: AttributeRef<'_>) -> Option<Self> {
        if found.leaf().is_complex() {
            found.sub = Some(found.attribute.sub_attribute("value")?);
        }
        Some(Self::new(found))
    }

    fn new(found: AttributeRef<'_>) -> Self {
        let leaf = found.leaf();
        Self {
            path: found.to_string(),
            kind: leaf.kind,
            case_exact: leaf.is_case_exact(),
            multi_valued: found.attribute.multi_valued,
            steps: (
                found.extension.map(|schema| schema.id.clone()),
                found.attribute.name.clone(),
                found.sub.map(|sub| sub.name.clone()),
            ),
        }
    }

    /// A sub-attribute as it is looked up in one value of its attribute.
    fn within(parent: AttributeRef<'_>, sub: &Attribute) -> Self {
        let whole = Self::new(AttributeRef { sub: Some(sub), ..parent });
        Self { multi_valued: false, steps: (None, sub.name.clone(), None), ..whole }
    }

    /// The name of the leaf, such as `value`.
    pub fn name(&self) -> &str {
        self.steps.2.as_deref().unwrap_or(&self.steps.1)
    }

    /// The value of the attribute in the object the field is looked up in; a list as a whole.
    pub(in crate::scim) fn whole<'a>(&self, object: &'a Map<String, Value>) -> Option<&'a Value> {
        let (extension, attribute, _) = &self.steps;
        let object = match extension {
            Some(urn) => object.get(urn)?.as_object()?,
            None => object,
        };
        object.get(attribute).filter(|value| !value.is_null())
    }

    /// The leaf of one value of the attribute.
    pub(in crate::scim) fn leaf_of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match &self.steps.2 {
            Some(sub) => value.get(sub.as_str()).filter(|value| !value.is_null()),
            None => Some(value),
        }
    }

    /// Whether this is the top-level core attribute of that name, or a part of it.
    pub fn is_of(&self, attribute: &str) -> bool {
        self.path.strip_prefix(attribute).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The form in which a text of this field is compared: lower case unless the field is case-exact.
    pub fn key<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.case_exact { Cow::Borrowed(text) } else { fold(text) }
    }
}

/// Lower case, without a copy where the text is plain lower case already.
pub(in crate::scim) fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

/// A value of the type of the field it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparand {
    /// A text as it was written; [`Field::key`] gives the form to compare.
    Text(String),
    /// True or false; compared by `eq` and `ne` alone.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// An instant.
    Instant(Timestamp),
}

impl Filter {
    /// Checks the filter against `resource_type`.
    ///
    /// # Errors
    ///
    /// - 400 `invalidFilter`: an unknown attribute, or a comparison that its type does not know.
    /// - 403 `sensitive`: an attribute that is never shown, such as `password` (RFC 7644 §7.5.2).
    ///
    /// # Examples
    ///
    /// ```
    /// use openai_scim_bridge::scim::{filter::Filter, resource::Resource, schema::Registry};
    ///
    /// let user = Registry::builtin().resource_type("User").expect("built in");
    /// let filter = Filter::parse(r#"emails[type eq "work"].value sw "JANE""#)?.resolve(user)?;
    /// let jane = Resource::try_from(serde_json::json!({
    ///     "userName": "jane", "emails": [{"type": "work", "value": "jane@example.com"}]
    /// }))?;
    /// assert!(filter.matches(&jane));
    /// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
    /// ```
    pub fn resolve(&self, resource_type: &ResourceType) -> Result<ResolvedFilter, ScimError> {
        self.resolve_among(resource_type, &[])
    }

    /// Checks the filter against one type of a list that has resources of all types in `among`: an attribute that only
    /// another of them knows has no value in this one (RFC 7644 §3.4.2.1).
    ///
    /// # Errors
    ///
    /// Those of [`Filter::resolve`].
    pub fn resolve_among(
        &self,
        resource_type: &ResourceType,
        among: &[&ResourceType],
    ) -> Result<ResolvedFilter, ScimError> {
        resolve(self, &Scope::Resource(resource_type, among))
    }

    /// Checks a value filter: its names are sub-attributes of `parent`.
    pub(in crate::scim) fn resolve_within(
        &self,
        parent: AttributeRef<'_>,
    ) -> Result<ResolvedFilter, ScimError> {
        resolve(self, &Scope::Value(parent))
    }
}

/// Where names are looked up.
enum Scope<'a> {
    /// A resource type, in a list of the types that follow.
    Resource(&'a ResourceType, &'a [&'a ResourceType]),
    Value(AttributeRef<'a>),
}

fn resolve(filter: &Filter, scope: &Scope<'_>) -> Result<ResolvedFilter, ScimError> {
    if let Some(outcome) = scope.without_value(filter) {
        return Ok(outcome);
    }
    let all = |parts: &[Filter]| parts.iter().map(|part| resolve(part, scope)).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::Or(parts) => ResolvedFilter::Or(all(parts)?),
        Filter::And(parts) => ResolvedFilter::And(all(parts)?),
        Filter::Not(inner) => ResolvedFilter::Not(Box::new(resolve(inner, scope)?)),
        Filter::Present(operand) => ResolvedFilter::Present(scope.field(operand, false)?),
        Filter::Compare(operand, op, Literal::Null) => {
            let field = scope.field(operand, false)?;
            match op {
                CompareOp::Eq => ResolvedFilter::Not(Box::new(ResolvedFilter::Present(field))),
                CompareOp::Ne => ResolvedFilter::Present(field),
                _ => return Err(refusal(operand, "null is compared by eq and ne alone")),
            }
        }
        Filter::Compare(operand, op, literal) => {
            let field = scope.field(operand, true)?;
            let comparand = comparand(&field, *op, literal).map_err(|reason| refusal(operand, &reason))?;
            ResolvedFilter::Compare(field, *op, comparand)
        }
        Filter::Any(operand, inner) => {
            let Scope::Resource(resource_type, _) = scope else {
                return Err(refusal(operand, "brackets cannot stand within brackets"));
            };
            let parent = find(resource_type, operand)?;
            if !parent.leaf().is_complex() {
                return Err(refusal(operand, "only a complex attribute can be followed by ["));
            }
            let inner = resolve(inner, &Scope::Value(parent))?;
            ResolvedFilter::Any(Field::new(parent), Box::new(inner))
        }
    })
}

impl Scope<'_> {
    /// What a comparison comes to if this type does not know its attribute and another type of the list does.
    fn without_value(&self, filter: &Filter) -> Option<ResolvedFilter> {
        let Self::Resource(resource_type, among) = self else { return None };
        let (Filter::Present(operand) | Filter::Compare(operand, ..) | Filter::Any(operand, _)) = filter
        else {
            return None;
        };
        if resource_type.resolve(&operand.path).is_some() {
            return None;
        }
        let is_list = among.iter().find_map(|other| match other.resolve(&operand.path)? {
            Target::Attribute(found) => Some(found.attribute.multi_valued),
            _ => None,
        })?;
        let holds = match filter {
            Filter::Compare(_, op, Literal::Null) => *op == CompareOp::Eq,
            Filter::Compare(_, op, _) => *op == CompareOp::Ne && !is_list,
            _ => false,
        };
        Some(if holds { ResolvedFilter::And(Vec::new()) } else { ResolvedFilter::Or(Vec::new()) })
    }

    /// The field that `operand` names; with `comparable`, a complex attribute stands for its `value`.
    fn field(&self, operand: &Operand, comparable: bool) -> Result<Field, ScimError> {
        match self {
            Self::Resource(resource_type, _) => {
                let found = find(resource_type, operand)?;
                if !comparable {
                    return Ok(Field::new(found));
                }
                Field::comparable(found).ok_or_else(|| {
                    let name = &found.attribute.name;
                    refusal(operand, &format!("compare a sub-attribute of {name}, not {name} itself"))
                })
            }
            Self::Value(parent) => {
                let AttributePath { urn, attribute, sub } = &operand.path;
                let known = parent.attribute.sub_attribute(attribute);
                let known = known
                    .or_else(|| parent.attribute.sub_attribute(dialect::sub_attribute_alias(attribute)?));
                match known {
                    Some(known) if urn.is_none() && sub.is_none() => Ok(Field::within(*parent, known)),
                    _ => {
                        Err(refusal(operand, &format!("unknown sub-attribute of {}", parent.attribute.name)))
                    }
                }
            }
        }
    }
}

fn find<'a>(resource_type: &'a ResourceType, operand: &Operand) -> Result<AttributeRef<'a>, ScimError> {
    match resource_type.resolve(&operand.path) {
        Some(Target::Attribute(found)) if found.leaf().returned == Returned::Never => {
            Err(ScimError::sensitive(format!(
                "{} is never shown, so nobody can be looked up by it; remove it from the filter",
                found.leaf().name
            )))
        }
        Some(Target::Attribute(found)) => Ok(found),
        _ => Err(refusal(operand, &format!("unknown attribute of {}", resource_type.name))),
    }
}

fn refusal(operand: &Operand, reason: &str) -> ScimError {
    let Operand { path, character } = operand;
    if *character == 0 {
        ScimError::invalid_filter(format!("filter: {path}: {reason}"))
    } else {
        ScimError::invalid_filter(format!("filter at character {character}: {path}: {reason}"))
    }
}

fn comparand(field: &Field, op: CompareOp, literal: &Literal) -> Result<Comparand, String> {
    let unknown_to = |what: &str| format!("{} cannot be used with {what}", op.as_str());
    match field.kind {
        AttributeType::Boolean if op.is_substring() || op.is_ordering() => Err(unknown_to("a boolean")),
        AttributeType::Boolean => match literal {
            Literal::Boolean(value) => Some(*value),
            Literal::String(text) => dialect::boolean_text(text),
            Literal::Number(_) | Literal::Null => None,
        }
        .map(Comparand::Boolean)
        .ok_or_else(|| "is compared with true or false".to_owned()),
        AttributeType::Binary if op.is_ordering() => Err(unknown_to("a binary value")),
        AttributeType::String | AttributeType::Reference | AttributeType::Binary => match literal {
            Literal::String(text) | Literal::Number(text) => Ok(Comparand::Text(text.clone())),
            Literal::Boolean(value) => Ok(Comparand::Text(value.to_string())),
            Literal::Null => Err("is compared with a text".to_owned()),
        },
        AttributeType::DateTime if op.is_substring() => Err(unknown_to("a date and time")),
        AttributeType::DateTime => match literal {
            Literal::String(text) => instant(text).map(Comparand::Instant),
            _ => None,
        }
        .ok_or_else(|| "is compared with a date and time such as \"2026-01-31T08:00:00Z\"".to_owned()),
        AttributeType::Integer | AttributeType::Decimal if op.is_substring() => Err(unknown_to("a number")),
        AttributeType::Integer | AttributeType::Decimal => match literal {
            Literal::Number(text) => text.parse().ok().map(Comparand::Number),
            _ => None,
        }
        .ok_or_else(|| "is compared with a number".to_owned()),
        AttributeType::Complex => Err("compare one of its sub-attributes".to_owned()),
    }
}

/// An instant of RFC 3339, with any offset.
pub(in crate::scim) fn instant(text: &str) -> Option<Timestamp> {
    const LONGEST: usize = 64;
    if text.len() > LONGEST || !text.contains(['T', 't']) { None } else { text.parse().ok() }
}
