//! The filter as a tree, and its canonical text.

use std::fmt;

use crate::scim::path::AttributePath;

/// A filter as it was written, before any schema is asked what the names mean.
///
/// `Display` prints canonical text that parses to an equal tree.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::filter::Filter;
///
/// let filter = Filter::parse(r#"USERNAME Eq "a" AND NOT(active eq true)"#).expect("well-formed");
/// assert_eq!(filter.to_string(), r#"USERNAME eq "a" and not (active eq true)"#);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// At least one of them.
    Or(Vec<Filter>),
    /// All of them.
    And(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// `attribute pr`.
    Present(Operand),
    /// `attribute op value`.
    Compare(Operand, CompareOp, Literal),
    /// `attribute[filter]`: one value of the attribute satisfies the whole filter.
    ///
    /// `attribute[filter].sub op value` is read as `attribute[(filter) and sub op value]`.
    Any(Operand, Box<Filter>),
}

/// An attribute in a filter, with its place in the text for messages; the place is no part of its identity.
#[derive(Debug, Clone)]
pub struct Operand {
    /// The attribute.
    pub path: AttributePath,
    /// The place of its first character, from 1; 0 when it was not read from a text.
    pub character: usize,
}

impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl From<AttributePath> for Operand {
    fn from(path: AttributePath) -> Self {
        Self { path, character: 0 }
    }
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

impl CompareOp {
    const ALL: [Self; 9] =
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Ge, Self::Lt, Self::Le];

    /// The operator with that keyword in any case.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(word))
    }

    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    /// Whether it looks for a part of a text.
    pub fn is_substring(self) -> bool {
        matches!(self, Self::Co | Self::Sw | Self::Ew)
    }

    /// Whether it needs values that have an order.
    pub fn is_ordering(self) -> bool {
        matches!(self, Self::Gt | Self::Ge | Self::Lt | Self::Le)
    }
}

/// A value in a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text.
    String(String),
    /// A JSON number as it was written.
    Number(String),
    /// `true` or `false`.
    Boolean(bool),
    /// `null`.
    Null,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => join(f, parts, " or ", |part| matches!(part, Self::Or(_))),
            Self::And(parts) => join(f, parts, " and ", |part| matches!(part, Self::Or(_) | Self::And(_))),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Present(operand) => write!(f, "{} pr", operand.path),
            Self::Compare(operand, op, literal) => write!(f, "{} {} {literal}", operand.path, op.as_str()),
            Self::Any(operand, inner) => write!(f, "{}[{inner}]", operand.path),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    parts: &[Filter],
    keyword: &str,
    needs_parentheses: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(keyword)?;
        }
        if needs_parentheses(part) {
            write!(f, "({part})")?;
        } else {
            write!(f, "{part}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => serde_json::Value::from(text.as_str()).fmt(f),
            Self::Number(text) => f.write_str(text),
            Self::Boolean(value) => value.fmt(f),
            Self::Null => f.write_str("null"),
        }
    }
}
