//! `POST /Bulk` (RFC 7644 §3.7): many writes in one request, each as it would be on its own.
//!
//! Every operation is one transaction, and is durable before it is told as done. What it brings about at OpenAI is not
//! waited for; the resource shows that later.

use std::time::Duration;

use axum::extract::State as Given;
use axum::response::Response;
use futures_util::future::join_all;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::no_such_endpoint;
use crate::directory::{Caller, Directory, Reply};
use crate::http::State;
use crate::http::extract::{Admitted, Body};
use crate::http::reply::{self, Failure};
use crate::scim::bulk::{BulkRequest, Done, Method, Step};
use crate::scim::error::ScimError;
use crate::scim::etag::Version;

/// How long operations are begun, so that the answer comes within the limit on every request.
const BEGUN_FOR: SignedDuration = SignedDuration::from_secs(20);
/// How long an operation waits for the engine.
const WAIT: Option<Duration> = Some(Duration::ZERO);

/// `POST /Bulk`.
pub(super) async fn run(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Body(body): Body,
) -> Result<Response, Failure> {
    // One answer tells of all operations, so none of them can be answered later.
    let caller = Caller { prefers_async: false, ..caller };
    let end = state.clock.now().checked_add(BEGUN_FOR).unwrap_or(Timestamp::MAX);
    let mut run = BulkRequest::parse(body)?.start();
    loop {
        let batch = run.next_batch(state.directory.writes_at_once());
        if batch.is_empty() {
            break;
        }
        let results = batch.into_iter().map(async |step| {
            let ticket = step.ticket;
            let result = if state.clock.now() > end {
                Err(too_late().into())
            } else {
                execute(&state.directory, &caller, step).await
            };
            (ticket, result.map_err(Failure::tell))
        });
        for (ticket, result) in join_all(results).await {
            run.settle(ticket, result);
        }
    }
    let base_url = state.directory.base_url(&caller.tenant);
    Ok(reply::json(StatusCode::OK, &run.into_response(&base_url)))
}

/// Does what the request would do on its own.
async fn execute(directory: &Directory, caller: &Caller, step: Step) -> Result<Done, Failure> {
    let Step { method, endpoint, id, version, data, .. } = step;
    let id = id.unwrap_or_default();
    let shown = match (endpoint.as_str(), method) {
        ("/Users", Method::Post) => now(directory.create_user(caller, data, WAIT).await?)?,
        ("/Users", Method::Put) => now(directory.replace_user(caller, &id, data, version, WAIT).await?)?,
        ("/Users", Method::Patch) => now(directory.patch_user(caller, &id, data, version, WAIT).await?)?,
        ("/Users", Method::Delete) => {
            now(directory.delete_user(caller, &id, version).await?)?;
            return Ok(Done { status: 204, id, version: None });
        }
        ("/Groups", Method::Post) => now(directory.create_group(caller, data).await?)?.shown,
        ("/Groups", Method::Put) => now(directory.replace_group(caller, &id, data, version).await?)?.shown,
        ("/Groups", Method::Patch) => now(directory.patch_group(caller, &id, data, version).await?)?.shown,
        ("/Groups", Method::Delete) => {
            now(directory.delete_group(caller, &id, version).await?)?;
            return Ok(Done { status: 204, id, version: None });
        }
        ("/Roles" | "/Entitlements", _) => {
            return Err(ScimError::method_not_allowed(format!("{endpoint} can only be read")).into());
        }
        ("/Bulk", _) => {
            return Err(ScimError::invalid_value("a bulk request cannot hold another one").into());
        }
        _ => return Err(no_such_endpoint().into()),
    };
    let status = if method == Method::Post { 201 } else { 200 };
    let id = shown.resource.get_str("id").unwrap_or(&id).to_owned();
    Ok(Done { status, id, version: Some(Version(shown.version)) })
}

/// The answer of a caller who is not answered later.
fn now<T>(reply: Reply<T>) -> Result<T, Failure> {
    match reply {
        Reply::Now(answer) => Ok(answer),
        Reply::Later(_) => Err(ScimError::internal("an operation of a bulk request was put off").into()),
    }
}

fn too_late() -> ScimError {
    ScimError::unavailable("the operations before this one took too long; send this one again")
}
