//! PATCH (RFC 7644 §3.5.2): a checked list of operations, applied to a resource all together or not at all.
//!
//! Decided where the RFC leaves room or identity providers differ:
//!
//! - A path that is well-formed but names nothing in the schemas is passed over, as unknown attributes in bodies are;
//!   so are `schemas`, which the server derives, and `password`, which is never kept.
//! - A read-only attribute named by a path is 400 `mutability`; as a key of a value without a path it is an echo of
//!   what the client read before, and is passed over unless it is another `id`.
//! - A value filter that matches nothing creates the value it describes ([`dialect::seed`]). It is 400 `noTarget` if
//!   the filter says more than what is equal to what, if the new value would not satisfy it, or if the value would set
//!   an immutable sub-attribute: nobody becomes a member by a correction of a member's name.
//! - Adding a value that is there already (same `value`, no different `type`) completes it instead of repeating it.
//! - Removing what is not there succeeds.
//! - Where members are kept apart from their group, what a request does to them is told without the list
//!   ([`PatchRequest::split_members`]), by the rules of `members`.

mod apply;
mod change;
mod list;
mod members;

use serde_json::{Map, Value};

use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::path::PatchPath;
use crate::scim::schema::{check_shape, limits};

pub use change::{Change, ChangeKind, ChangeSet};
pub use members::{GROUP_AS_MEMBER, MemberChange, member_ids};

/// The URN of a PATCH message.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The operations of a PATCH, in order.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::{patch::PatchRequest, resource::Resource, schema::Registry};
/// use serde_json::json;
///
/// let user = Registry::builtin().resource_type("User").expect("built in");
/// let mut jane = Resource::try_from(json!({"userName": "jane", "active": true}))?;
/// let request = PatchRequest::parse(json!({
///     "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
///     "Operations": [{"op": "Replace", "path": "active", "value": "False"}]
/// }))?;
/// let changes = request.apply(user, &mut jane)?;
/// assert_eq!(jane.get_bool("active"), Some(false));
/// assert_eq!(changes.paths().collect::<Vec<_>>(), ["active"]);
/// assert!(request.apply(user, &mut jane)?.is_empty());
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PatchRequest {
    /// The operations; never empty.
    pub operations: Vec<Operation>,
}

/// One operation of a PATCH.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What to do.
    pub op: Op,
    /// Where; `None` means that the keys of the value say it.
    pub path: Option<PatchPath>,
    /// With what. `add` and `replace` always have one, which may be null.
    pub value: Option<Value>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Adds values to lists, sets or completes everything else (RFC 7644 §3.5.2.1).
    Add,
    /// Takes values away (RFC 7644 §3.5.2.2).
    Remove,
    /// Puts values in place of others (RFC 7644 §3.5.2.3).
    Replace,
}

impl PatchRequest {
    /// Reads the body of a PATCH. Unknown keys are passed over.
    ///
    /// # Errors
    ///
    /// - 400 `invalidSyntax`: not a PATCH message, or too deep or large.
    /// - 400 `invalidPath`, `noTarget`, `invalidValue`: an operation with a malformed path, a `remove` without a path,
    ///   an `add` or `replace` without a value.
    /// - 413: too many operations.
    pub fn parse(body: Value) -> Result<Self, ScimError> {
        check_shape(&body, limits::MAX_KEYS_WITH_MEMBERS)?;
        let Value::Object(body) = body else {
            return Err(ScimError::invalid_syntax("a PATCH body must be a JSON object"));
        };
        let operations = match dialect::any_case(&body, "Operations") {
            Some(Value::Array(operations)) if !operations.is_empty() => operations,
            Some(Value::Array(_)) => return Err(ScimError::invalid_syntax("Operations must not be empty")),
            Some(_) => return Err(ScimError::invalid_syntax("Operations must be a list")),
            None => return Err(ScimError::invalid_syntax("a PATCH body must have Operations")),
        };
        check_count(operations.len(), limits::MAX_OPERATIONS_WITH_MEMBERS)?;
        let operations = operations.iter().enumerate().map(|(index, operation)| match operation {
            Value::Object(operation) => {
                Operation::parse(operation).map_err(|error| at_operation(index, error))
            }
            _ => Err(ScimError::invalid_syntax(format!("Operations[{index}] must be an object"))),
        });
        Ok(Self { operations: operations.collect::<Result<_, _>>()? })
    }
}

impl Operation {
    fn parse(operation: &Map<String, Value>) -> Result<Self, ScimError> {
        let op =
            match dialect::any_case(operation, "op").and_then(Value::as_str).map(dialect::op_name).as_deref()
            {
                Some("add") => Op::Add,
                Some("remove") => Op::Remove,
                Some("replace") => Op::Replace,
                _ => return Err(ScimError::invalid_syntax("op must be add, remove or replace")),
            };
        let path =
            dialect::given_path(dialect::any_case(operation, "path"))?.map(PatchPath::parse).transpose()?;
        let value = dialect::any_case(operation, "value").cloned();
        match (op, &path, &value) {
            (Op::Remove, None, _) => Err(ScimError::no_target("remove needs a path")),
            (Op::Add | Op::Replace, _, None) => {
                let name = if op == Op::Add { "add" } else { "replace" };
                Err(ScimError::invalid_value(format!("{name} needs a value")))
            }
            (Op::Add | Op::Replace, None, Some(value)) if !value.is_object() => {
                Err(ScimError::invalid_value("the value of an operation without a path must be an object"))
            }
            _ => Ok(Self { op, path, value }),
        }
    }
}

fn check_count(count: usize, most: usize) -> Result<(), ScimError> {
    if count > most {
        return Err(ScimError::too_large(format!(
            "{count} operations; at most {most} are accepted in one PATCH"
        )));
    }
    Ok(())
}

fn at_operation(index: usize, mut error: ScimError) -> ScimError {
    error.detail.insert_str(0, &format!("Operations[{index}]: "));
    error
}

#[cfg(test)]
mod tests;
