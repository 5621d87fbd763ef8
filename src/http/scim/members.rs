//! Writing lists, and groups with their members, which may be many: a long body is made while it is sent, with one page
//! of members in memory at a time. Where members are not wanted, they are not read.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::directory::{Caller, Directory, DirectoryError, ShownGroup, chain, group_type};
use crate::http::State;
use crate::http::reply::{self, Failure};
use crate::ids::{GroupId, PersonId};
use crate::scim::project::Projection;
use crate::scim::resource::Resource;

/// Bytes of a body after which a part of it is sent.
const PART_BYTES: usize = 64 * 1024;

/// A resource of a list, as far as it is asked for.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) resource: Resource,
    /// The group whose members are missing.
    pub(super) group: Option<GroupId>,
}

/// Writes groups as their client wants to see them.
#[derive(Debug)]
pub(super) struct Writer {
    directory: Directory,
    caller: Caller,
    projection: Projection,
}

/// A part of a body.
#[derive(Debug)]
enum Piece {
    Text(String),
    /// The members of a group after this one, separated by commas; begun with a comma unless they are the first.
    Members(GroupId, Option<PersonId>),
}

impl Writer {
    pub(super) fn new(state: &State, caller: &Caller, projection: Projection) -> Self {
        Self { directory: state.directory.clone(), caller: caller.clone(), projection }
    }

    /// An answer with one group.
    pub(super) async fn group(self, status: StatusCode, group: ShownGroup) -> Result<Response, Failure> {
        let mut pieces = VecDeque::new();
        let resource = self.projection.apply(group_type(), group.shown.resource);
        self.add(&mut pieces, Item { resource, group: Some(group.id) });
        self.answer(status, pieces).await
    }

    /// An answer with a page of a list; `message` has null in place of each resource.
    pub(super) async fn list(self, message: &Value, items: Vec<Item>) -> Result<Response, Failure> {
        let mut pieces = VecDeque::from([Piece::Text(opened(message, "Resources"))]);
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                pieces.push_back(Piece::Text(",".to_owned()));
            }
            self.add(&mut pieces, item);
        }
        pieces.push_back(Piece::Text("]}".to_owned()));
        self.answer(StatusCode::OK, pieces).await
    }

    fn add(&self, pieces: &mut VecDeque<Piece>, Item { resource, group }: Item) {
        let resource = Value::from(resource);
        match group.filter(|_| self.projection.wants(group_type(), "members")) {
            Some(group) => {
                pieces.push_back(Piece::Text(opened(&resource, "members")));
                pieces.push_back(Piece::Members(group, None));
                pieces.push_back(Piece::Text("]}".to_owned()));
            }
            None => pieces.push_back(Piece::Text(resource.to_string())),
        }
    }

    async fn answer(self, status: StatusCode, mut pieces: VecDeque<Piece>) -> Result<Response, Failure> {
        // A store that cannot be read is an answer of its own, as long as nothing is sent.
        let first = self.next(&mut pieces).await?;
        if pieces.is_empty() {
            return Ok((status, [(CONTENT_TYPE, reply::SCIM_JSON)], first).into_response());
        }
        let rest = stream::try_unfold((self, pieces), async |(writer, mut pieces)| {
            if pieces.is_empty() {
                return Ok(None);
            }
            match writer.next(&mut pieces).await {
                Ok(text) => Ok(Some((Bytes::from(text), (writer, pieces)))),
                Err(error) => {
                    // All that is left is to break off, so that nobody takes a part for the whole.
                    tracing::warn!(error = chain(&error), "an answer broke off: the store could not be read");
                    Err(error)
                }
            }
        });
        let body = stream::once(async { Ok(Bytes::from(first)) }).chain(rest);
        Ok((status, [(CONTENT_TYPE, reply::SCIM_JSON)], Body::from_stream(body)).into_response())
    }

    /// The next part of the body as text. It is the last one if it leaves no pieces.
    async fn next(&self, pieces: &mut VecDeque<Piece>) -> Result<String, DirectoryError> {
        let mut text = String::new();
        while text.len() < PART_BYTES
            && let Some(piece) = pieces.pop_front()
        {
            match piece {
                Piece::Text(part) => text.push_str(&part),
                Piece::Members(group, after) => {
                    let (members, next) = self.directory.page_members(&self.caller, group, after).await?;
                    let mut separator = if after.is_some() { "," } else { "" };
                    for member in self.narrowed(members) {
                        text.push_str(separator);
                        text.push_str(&member.to_string());
                        separator = ",";
                    }
                    if next.is_some() {
                        pieces.push_front(Piece::Members(group, next));
                    }
                }
            }
        }
        Ok(text)
    }

    /// The part of each member that is wanted.
    fn narrowed(&self, members: Vec<Value>) -> Vec<Value> {
        let mut group = Resource::new();
        group.set("members", members);
        match self.projection.apply(group_type(), group).remove("members") {
            Some(Value::Array(members)) => members,
            _ => Vec::new(),
        }
    }
}

/// The text of an object up to the first element of its last key, which is `list`.
fn opened(object: &Value, list: &str) -> String {
    let mut map = object.as_object().cloned().unwrap_or_default();
    map.shift_remove(list);
    let is_empty = map.is_empty();
    let mut text = Value::Object(map).to_string();
    text.pop();
    let comma = if is_empty { "" } else { "," };
    format!("{text}{comma}\"{list}\":[")
}
