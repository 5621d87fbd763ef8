//! Bulk (RFC 7644 §3.7): many requests in one, each in its turn, with ids that are not known yet.
//!
//! An operation refers to a resource that another one creates by `bulkId:` and its id: as a whole text anywhere in its
//! data, at the end of a `$ref`, or in its path. [`Run`] hands out the operations in the order of the request, moving
//! one forward only for the sake of one that refers to it, and as many at a time as need no result of each other. It
//! takes their results and makes the answer; executing is the caller's. All work is linear in the size of the request.
//!
//! Decided where the RFC leaves room: an operation that cannot be read, or refers to nothing, fails alone, as if it had
//! been executed; operations that refer to each other in a circle are 409 (§3.7.1); one that refers to an operation
//! that failed is not executed.

mod order;
mod reference;

use std::collections::BTreeMap;
use std::iter::Peekable;

use serde_json::{Map, Value, json};

use crate::scim::dialect;
use crate::scim::error::{ScimError, ScimType};
use crate::scim::etag::{Condition, Version};
use crate::scim::schema::check_shape;
use crate::scim::schema::limits::{MAX_BULK_OPERATIONS, MAX_KEYS_WITH_MEMBERS};

use order::Turn;

/// The URN of a bulk request.
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The URN of the answer.
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// The operations of a bulk request, in order.
#[derive(Debug)]
pub struct BulkRequest {
    /// After how many errors to stop; never 0.
    fail_on_errors: Option<u64>,
    operations: Vec<Entry>,
}

/// One operation as the answer names it, and what it is if it could be read.
#[derive(Debug)]
struct Entry {
    method: String,
    path: String,
    bulk_id: Option<String>,
    operation: Result<Operation, ScimError>,
}

/// An operation that can be executed once its references are known.
#[derive(Debug)]
struct Operation {
    method: Method,
    /// The endpoint of the resource type, such as `/Users`.
    endpoint: String,
    /// The resource; none for POST.
    id: Option<String>,
    version: Option<Condition>,
    data: Value,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Creates a resource.
    Post,
    /// Replaces one.
    Put,
    /// Changes one.
    Patch,
    /// Deletes one.
    Delete,
}

impl Method {
    fn parse(text: &str) -> Option<Self> {
        let all =
            [("POST", Self::Post), ("PUT", Self::Put), ("PATCH", Self::Patch), ("DELETE", Self::Delete)];
        all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, method)| method)
    }
}

impl BulkRequest {
    /// Reads the body of a bulk request. That it is no longer than
    /// [`MAX_BODY_BYTES`](crate::scim::schema::limits::MAX_BODY_BYTES) is checked before it is JSON.
    ///
    /// # Errors
    ///
    /// - 400 `invalidSyntax`: no bulk message, or nested too deep.
    /// - 400 `invalidValue`: a `failOnErrors` that is no number of errors.
    /// - 413: too many operations.
    pub fn parse(body: Value) -> Result<Self, ScimError> {
        check_shape(&body, MAX_KEYS_WITH_MEMBERS)?;
        let Value::Object(mut body) = body else {
            return Err(ScimError::invalid_syntax("a bulk request must be a JSON object"));
        };
        dialect::check_message(&body, BULK_REQUEST_URN)?;
        let fail_on_errors = match dialect::any_case(&body, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_u64() {
                Some(count) => Some(count.max(1)),
                None => {
                    return Err(ScimError::invalid_value(
                        "failOnErrors must be a number of errors, 1 or more",
                    ));
                }
            },
        };
        let Some(Value::Array(operations)) = dialect::take_any_case(&mut body, "Operations") else {
            return Err(ScimError::invalid_syntax("a bulk request must have a list of Operations"));
        };
        if operations.len() > MAX_BULK_OPERATIONS {
            return Err(ScimError::too_large(format!(
                "{} operations; at most {MAX_BULK_OPERATIONS} (maxOperations) are accepted in one bulk request",
                operations.len()
            )));
        }
        let operations = operations.into_iter().map(|operation| match operation {
            Value::Object(operation) => Entry::read(operation),
            _ => Entry::unreadable(),
        });
        let mut request = Self { fail_on_errors, operations: operations.collect() };
        request.refuse_repeated_ids();
        Ok(request)
    }

    /// Refuses to create two resources under one bulkId, which would make every reference to it a guess.
    fn refuse_repeated_ids(&mut self) {
        let mut count = BTreeMap::<String, usize>::new();
        for id in self.operations.iter().filter_map(Entry::created_id) {
            let count = count.entry(id.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        for entry in &mut self.operations {
            if let Some(id) = entry.created_id().filter(|id| count.get(*id).is_some_and(|count| *count > 1)) {
                let detail = format!("bulkId {id:?} is given to more than one POST; each needs its own");
                entry.operation = Err(ScimError::invalid_value(detail));
            }
        }
    }

    /// Begins to hand out the operations.
    pub fn start(self) -> Run {
        let created = |(index, entry): (usize, &Entry)| Some((entry.created_id()?.to_owned(), index));
        let creators: BTreeMap<_, _> = self.operations.iter().enumerate().filter_map(created).collect();
        let turns = order::turns(&self.operations, &creators);
        let results = self.operations.iter().map(|_| None).collect();
        Run { request: self, creators, turns: turns.into_iter().peekable(), results, errors: 0 }
    }
}

impl Entry {
    fn unreadable() -> Self {
        let error = ScimError::invalid_syntax("an operation must be an object");
        Self { method: String::new(), path: String::new(), bulk_id: None, operation: Err(error) }
    }

    fn read(mut given: Map<String, Value>) -> Self {
        let text = |name: &str| dialect::any_case(&given, name).and_then(Value::as_str).map(str::to_owned);
        let (method, path) = (text("method").unwrap_or_default(), text("path").unwrap_or_default());
        let bulk_id = text("bulkId").filter(|id| !id.is_empty());
        let version = text("version").filter(|version| !version.is_empty());
        let data = dialect::take_any_case(&mut given, "data").unwrap_or_default();
        let operation = Operation::read(&method, &path, bulk_id.as_deref(), version.as_deref(), data);
        Self { method: method.to_ascii_uppercase(), path, bulk_id, operation }
    }

    /// The id under which others may refer to what this operation creates.
    fn created_id(&self) -> Option<&str> {
        (self.method == "POST").then_some(self.bulk_id.as_deref()).flatten()
    }
}

impl Operation {
    fn read(
        method: &str,
        path: &str,
        bulk_id: Option<&str>,
        version: Option<&str>,
        data: Value,
    ) -> Result<Self, ScimError> {
        let method = Method::parse(method)
            .ok_or_else(|| ScimError::invalid_syntax("method must be POST, PUT, PATCH or DELETE"))?;
        let is_plain =
            |part: &str| !part.is_empty() && !part.contains(['?', '#', '\\']) && !part.starts_with('.');
        let parts: Vec<_> = path.trim_matches('/').splitn(3, '/').collect();
        let (endpoint, id) = match (method, parts.as_slice()) {
            (Method::Post, [endpoint]) if is_plain(endpoint) => (endpoint, None),
            (Method::Post, _) => {
                return Err(ScimError::invalid_value(
                    "the path of POST must be that of an endpoint, such as /Users",
                ));
            }
            (_, [endpoint, id]) if is_plain(endpoint) && is_plain(id) => (endpoint, Some((*id).to_owned())),
            _ => {
                return Err(ScimError::invalid_value("path must be that of a resource, such as /Users/{id}"));
            }
        };
        if method == Method::Post && bulk_id.is_none() {
            return Err(ScimError::invalid_value("POST needs a bulkId"));
        }
        if method != Method::Delete && !data.is_object() {
            return Err(ScimError::invalid_value("data must be the body of the operation, an object"));
        }
        let version = version.filter(|_| method != Method::Post).map(Condition::parse).transpose()?;
        Ok(Self { method, endpoint: format!("/{endpoint}"), id, version, data })
    }
}

/// A bulk request on its way.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::bulk::{BulkRequest, Done};
///
/// let request = BulkRequest::parse(serde_json::json!({"Operations": [
///     {"method": "POST", "path": "/Groups", "bulkId": "g",
///      "data": {"displayName": "Team", "members": [{"value": "bulkId:jane"}]}},
///     {"method": "POST", "path": "/Users", "bulkId": "jane", "data": {"userName": "jane"}}
/// ]}))?;
/// let mut run = request.start();
/// let user = run.next_batch(10).pop().expect("the user comes first and alone, for the group refers to it");
/// assert_eq!(user.endpoint, "/Users");
/// run.settle(user.ticket, Ok(Done { status: 201, id: "u1".to_owned(), version: None }));
/// let group = run.next_batch(10).pop().expect("the group is left");
/// assert_eq!(group.data["members"][0]["value"], "u1");
/// run.settle(group.ticket, Ok(Done { status: 201, id: "g1".to_owned(), version: None }));
/// assert!(run.next_batch(10).is_empty());
/// let answer = run.into_response("https://scim.example.com/scim/v2");
/// assert_eq!(answer["Operations"][0]["location"], "https://scim.example.com/scim/v2/Groups/g1");
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug)]
pub struct Run {
    request: BulkRequest,
    /// Which operation creates what is referred to by an id.
    creators: BTreeMap<String, usize>,
    turns: Peekable<std::vec::IntoIter<Turn>>,
    /// What has come of each operation.
    results: Vec<Option<Result<Done, ScimError>>>,
    errors: u64,
}

/// An operation to execute now.
#[derive(Debug)]
pub struct Step {
    /// To be given back with the result.
    pub ticket: Ticket,
    /// What to do.
    pub method: Method,
    /// The endpoint of the resource type, such as `/Users`; it may be unknown.
    pub endpoint: String,
    /// The resource as it is named in the path; `None` for POST, and for it alone.
    pub id: Option<String>,
    /// What the version has to be, as `If-Match` says it.
    pub version: Option<Condition>,
    /// The body, with all references in place; null for DELETE.
    pub data: Value,
}

/// Which operation a result belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(usize);

/// What has come of an operation that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The HTTP status it would have been answered with.
    pub status: u16,
    /// The id of the resource.
    pub id: String,
    /// The version the resource has now; none if it is gone.
    pub version: Option<Version>,
}

impl Run {
    /// The next operations to execute, in this order, `most` of them at most: none needs the result of another, and as
    /// many errors as they could bring are accepted. Empty when all are done, or as many have failed as the client
    /// accepts.
    ///
    /// Their results are due before more is asked for: an operation that has none counts as failed.
    pub fn next_batch(&mut self, most: usize) -> Vec<Step> {
        let mut batch = Vec::new();
        while batch.len() < most
            && self.errors_left().is_none_or(|left| batch.len() < left)
            && let Some(turn) = self.turns.next_if(|turn| turn.in_circle || is_settled(&self.results, turn))
        {
            match self.prepare(&turn) {
                Ok(step) => batch.push(step),
                Err(error) => self.settle(Ticket(turn.index), Err(error)),
            }
        }
        batch
    }

    /// How many further errors the client accepts, the last of which ends the run.
    fn errors_left(&self) -> Option<usize> {
        let left = self.request.fail_on_errors?.saturating_sub(self.errors);
        Some(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Puts the references of an operation in place.
    fn prepare(&mut self, turn: &Turn) -> Result<Step, ScimError> {
        let Self { request, creators, results, .. } = self;
        let entry = request.operations.get_mut(turn.index);
        let entry = entry.ok_or_else(|| ScimError::internal("there is no such operation"))?;
        let operation = entry.operation.as_mut().map_err(|error| error.clone())?;
        if turn.in_circle {
            return Err(ScimError {
                scim_type: Some(ScimType::InvalidValue),
                ..ScimError::conflict(
                    "the bulkIds refer to each other in a circle; leave out one of the references and add it by a \
                     PATCH",
                )
            });
        }
        let lookup = |id: &str| resolve(creators, results, id);
        if let Some(id) = &mut operation.id {
            reference::replace_segment(id, &lookup)?;
        }
        let mut data = operation.data.take();
        reference::replace(&mut data, &lookup)?;
        Ok(Step {
            ticket: Ticket(turn.index),
            method: operation.method,
            endpoint: operation.endpoint.clone(),
            id: operation.id.clone(),
            version: operation.version.take(),
            data,
        })
    }

    /// Takes the result of an operation.
    pub fn settle(&mut self, ticket: Ticket, result: Result<Done, ScimError>) {
        if result.is_err() {
            self.errors = self.errors.saturating_add(1);
        }
        if let Some(slot) = self.results.get_mut(ticket.0) {
            *slot = Some(result);
        }
    }

    /// The answer: the operations that had their turn, in the order of the request. `base_url` is the SCIM base without
    /// a slash at its end.
    pub fn into_response(self, base_url: &str) -> Value {
        let answered = self.request.operations.iter().zip(self.results);
        let answered = answered.filter_map(|(entry, result)| Some(entry.answer(result?, base_url)));
        json!({ "schemas": [BULK_RESPONSE_URN], "Operations": answered.collect::<Vec<_>>() })
    }
}

impl Entry {
    fn answer(&self, result: Result<Done, ScimError>, base_url: &str) -> Value {
        let mut answer = Map::new();
        let mut put = |name: &str, value: Value| answer.insert(name.to_owned(), value);
        let location = match (&self.operation, &result) {
            (Ok(operation), Ok(done)) => Some(format!("{base_url}{}/{}", operation.endpoint, done.id)),
            // RFC 7644 §3.7: a POST that failed has no location, all others have.
            _ if self.method == "POST" || self.path.is_empty() => None,
            (Ok(Operation { endpoint, id: Some(id), .. }), Err(_)) => {
                Some(format!("{base_url}{endpoint}/{id}"))
            }
            _ => Some(format!("{base_url}/{}", self.path.trim_start_matches('/'))),
        };
        if let Some(location) = location {
            put("location", location.into());
        }
        put("method", self.method.as_str().into());
        if let Some(id) = &self.bulk_id {
            put("bulkId", id.as_str().into());
        }
        match result {
            Ok(done) => {
                if let Some(version) = done.version {
                    put("version", version.to_string().into());
                }
                put("status", done.status.to_string().into());
            }
            Err(error) => {
                put("status", error.status.to_string().into());
                put("response", error.to_json());
            }
        }
        Value::Object(answer)
    }
}

/// Whether all that the operation refers to has had its turn.
fn is_settled(results: &[Option<Result<Done, ScimError>>], turn: &Turn) -> bool {
    turn.needs.iter().all(|need| matches!(results.get(*need), Some(Some(_))))
}

/// The id of what the operation with this `bulkId` has created.
fn resolve<'a>(
    creators: &BTreeMap<String, usize>,
    results: &'a [Option<Result<Done, ScimError>>],
    id: &str,
) -> Result<&'a str, ScimError> {
    let Some(creator) = creators.get(id) else {
        return Err(ScimError::invalid_value(format!("no POST of this request has the bulkId {id:?}")));
    };
    match results.get(*creator).and_then(Option::as_ref) {
        Some(Ok(done)) => Ok(&done.id),
        // What is wrong for a while with the one is so with the other, and worth another try.
        Some(Err(error)) if error.status == 429 || error.status >= 500 => Err(ScimError::new(
            error.status,
            format!("the operation with the bulkId {id:?} failed: {}", error.detail),
        )),
        _ => Err(ScimError::invalid_value(format!("the operation with the bulkId {id:?} failed"))),
    }
}

#[cfg(test)]
mod tests;
