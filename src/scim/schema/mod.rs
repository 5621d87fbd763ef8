//! Schemas, attributes and resource types with the characteristics of RFC 7643 §7.

pub mod discovery;
pub mod features;
pub mod limits;
mod registry;
mod validate;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scim::dialect;
use crate::scim::path::AttributePath;
use crate::scim::resource::Resource;

pub use registry::Registry;
pub use validate::{Mode, replace, validate};
pub(in crate::scim) use validate::{check_shape, coerce, coerce_element, complete_element, require};

/// A named set of attributes (RFC 7643 §7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The URN.
    pub id: String,
    /// A short name, such as `User`.
    pub name: String,
    /// What the schema describes.
    pub description: String,
    /// The attributes, in the order in which they are served.
    pub attributes: Vec<Attribute>,
}

impl Schema {
    /// The attribute of that name in any case (RFC 7643 §2.1).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

/// One attribute or sub-attribute (RFC 7643 §7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attribute {
    /// The name in its canonical case.
    pub name: String,
    /// The data type.
    #[serde(rename = "type")]
    pub kind: AttributeType,
    /// Whether the value is a list.
    pub multi_valued: bool,
    /// What the attribute is, for people.
    pub description: String,
    /// Whether every resource must have a value.
    pub required: bool,
    /// The parts of a complex attribute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sub_attributes: Vec<Attribute>,
    /// Whether case matters when texts are compared; present for texts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_exact: Option<bool>,
    /// Suggested values; others are accepted (RFC 7643 §7 leaves that to the server).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canonical_values: Vec<String>,
    /// What a reference may point to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_types: Vec<String>,
    /// Who may change it, and when.
    pub mutability: Mutability,
    /// When it is part of an answer.
    pub returned: Returned,
    /// How far the value is unique.
    pub uniqueness: Uniqueness,
}

impl Attribute {
    /// The sub-attribute of that name in any case.
    pub fn sub_attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.sub_attributes, name)
    }

    /// Whether the value is an object, or a list of objects.
    pub fn is_complex(&self) -> bool {
        self.kind == AttributeType::Complex
    }

    /// Whether texts are compared with regard to case; what is not a text has no case.
    pub fn is_case_exact(&self) -> bool {
        self.case_exact.unwrap_or(true)
    }

    /// Whether a client may not set it: read-only attributes are ignored in bodies and refused as PATCH targets.
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// Data type of an attribute (RFC 7643 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttributeType {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A number with a fraction.
    Decimal,
    /// A whole number.
    Integer,
    /// An instant in the form of RFC 3339.
    DateTime,
    /// Bytes in Base64.
    Binary,
    /// A URI.
    Reference,
    /// An object of sub-attributes.
    Complex,
}

/// Who may change an attribute, and when (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// The server alone.
    ReadOnly,
    /// Anyone, at any time.
    ReadWrite,
    /// The client, once.
    Immutable,
    /// The client, and nobody reads it back.
    WriteOnly,
}

/// When an attribute is part of an answer (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    /// In every answer, whatever the client asks for.
    Always,
    /// Never.
    Never,
    /// Unless the client asks for others only, or excludes it.
    Default,
    /// Only when asked for by name.
    Request,
}

/// How far a value is unique (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    /// Not at all.
    None,
    /// Among the resources of one endpoint, here: of one tenant.
    Server,
    /// Everywhere.
    Global,
}

/// A schema that extends a resource type, as an object under its URN (RFC 7643 §3.3).
#[derive(Debug, Clone)]
pub struct Extension {
    /// The schema.
    pub schema: Arc<Schema>,
    /// Whether every resource must have it.
    pub required: bool,
}

/// What an endpoint serves: a core schema, the common attributes and extensions (RFC 7643 §6).
#[derive(Debug, Clone)]
pub struct ResourceType {
    /// The name, such as `User`.
    pub name: String,
    /// The path under the base URL, such as `/Users`.
    pub endpoint: String,
    /// What the resources are, for people.
    pub description: String,
    /// The core schema.
    pub schema: Arc<Schema>,
    /// The extensions, in the order in which they are served.
    pub extensions: Vec<Extension>,
    /// Whether clients are told of it by the discovery documents.
    pub offered: bool,
    common: Arc<[Attribute]>,
}

impl ResourceType {
    /// The attribute of the core schema, or the common one (RFC 7643 §3.1), of that name in any case.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.schema.attribute(name).or_else(|| find(&self.common, name))
    }

    /// The common and the core attributes.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.common.iter().chain(&self.schema.attributes)
    }

    /// The extension with that URN in any case.
    pub fn extension(&self, urn: &str) -> Option<&Schema> {
        self.extensions
            .iter()
            .map(|extension| &*extension.schema)
            .find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// What `path` names here; `None` if nothing.
    ///
    /// Names and URNs are taken in any case. A name without a URN that the core schema does not know is looked for
    /// where identity providers mean it ([`dialect::home_of_bare_name`], [`dialect::attribute_alias`]).
    pub fn resolve<'a>(&'a self, path: &AttributePath) -> Option<Target<'a>> {
        let Some(urn) = path.urn.as_deref() else {
            let found = self.attribute(&path.attribute).map(|attribute| (None, attribute)).or_else(|| {
                let schema = self.extension(dialect::home_of_bare_name())?;
                Some((Some(schema), schema.attribute(&path.attribute)?))
            });
            let (extension, attribute) = match found {
                Some(found) => found,
                None => (None, self.attribute(dialect::attribute_alias(&path.attribute)?)?),
            };
            return AttributeRef::with_sub(extension, attribute, path.sub.as_deref()).map(Target::Attribute);
        };
        // `urn:…:2.0:User` alone parses as the attribute `User` of `urn:…:2.0`.
        if path.sub.is_none() {
            let whole = format!("{urn}:{}", path.attribute);
            if self.schema.id.eq_ignore_ascii_case(&whole) {
                return Some(Target::Resource);
            }
            if let Some(schema) = self.extension(&whole) {
                return Some(Target::Extension(schema));
            }
        }
        if self.schema.id.eq_ignore_ascii_case(urn) {
            let attribute = self.attribute(&path.attribute)?;
            return AttributeRef::with_sub(None, attribute, path.sub.as_deref()).map(Target::Attribute);
        }
        let schema = self.extension(urn)?;
        let attribute = schema.attribute(&path.attribute)?;
        AttributeRef::with_sub(Some(schema), attribute, path.sub.as_deref()).map(Target::Attribute)
    }

    /// The value of `schemas` for a resource: the core URN and those of the extensions it has data for.
    pub fn schemas_of(&self, resource: &Resource) -> Value {
        let extensions = self.extensions.iter().map(|extension| extension.schema.id.as_str());
        let present = extensions.filter(|urn| resource.as_map().contains_key(*urn));
        std::iter::once(self.schema.id.as_str()).chain(present).map(Value::from).collect()
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'a> {
    /// The resource as a whole, named by its core URN.
    Resource,
    /// An extension as a whole, named by its URN.
    Extension(&'a Schema),
    /// An attribute or a sub-attribute.
    Attribute(AttributeRef<'a>),
}

/// An attribute found in a schema; prints as its canonical path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttributeRef<'a> {
    /// The extension it belongs to; `None` for core and common attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, if one is named.
    pub sub: Option<&'a Attribute>,
}

impl<'a> AttributeRef<'a> {
    fn with_sub(extension: Option<&'a Schema>, attribute: &'a Attribute, sub: Option<&str>) -> Option<Self> {
        let sub = match sub {
            Some(name) => {
                let known = attribute.sub_attribute(name);
                Some(known.or_else(|| attribute.sub_attribute(dialect::sub_attribute_alias(name)?))?)
            }
            None => None,
        };
        Some(Self { extension, attribute, sub })
    }

    /// The sub-attribute if one is named, else the attribute.
    pub fn leaf(&self) -> &'a Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

impl fmt::Display for AttributeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.extension {
            write!(f, "{}:", schema.id)?;
        }
        f.write_str(&self.attribute.name)?;
        match self.sub {
            Some(sub) => write!(f, ".{}", sub.name),
            None => Ok(()),
        }
    }
}
