//! The way of a request: ledger, route, key, limiter, fault, endpoint, answer.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::{Call, Query, Refusal};
use super::faults::{Effect, Fault, Faults, PageFault, milliseconds};
use super::ledger::{Entry, Ledger};
use super::limiter::Limiter;
use super::objects::Actor;
use super::options::{Dialect, Feature};
use super::organization::Organization;
use super::routes::{self, Endpoint, Found};

/// Everything behind the lock.
#[derive(Debug)]
pub(super) struct World {
    pub(super) organization: Organization,
    pub(super) limiter: Limiter,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    late: Vec<Late>,
}

/// An effect that is still to come.
#[derive(Debug)]
struct Late {
    due: Timestamp,
    entry: u64,
    endpoint: Endpoint,
    call: Call,
}

/// A request with its body read.
pub(super) struct Request {
    pub(super) method: Method,
    /// Relative to `/v1`.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What goes back to the caller.
pub(super) enum Delivery {
    Answer(Response<String>),
    /// The same, after a while.
    Slow(SignedDuration, Response<String>),
    Reset,
    Silence,
}

/// An answer before it becomes an HTTP response.
struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    retry_after: Option<u64>,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string(), retry_after: None }
    }
}

impl World {
    pub(super) fn new(organization: Organization) -> Self {
        Self {
            organization,
            limiter: Limiter::default(),
            faults: Faults::default(),
            ledger: Ledger::default(),
            late: Vec::new(),
        }
    }

    /// Moves to `now`, letting the late effects land that are due by then, each at its own instant. Answers
    /// whether any did.
    pub(super) fn settle(&mut self, now: Timestamp) -> bool {
        self.late.sort_by_key(|late| late.due);
        let still_to_come = self.late.partition_point(|late| late.due <= now);
        let due: Vec<Late> = self.late.drain(..still_to_come).collect();
        let is_changed = !due.is_empty();
        for late in due {
            self.organization.now = late.due;
            let _reply: Reply = self.perform(late.entry, late.endpoint, Ok(late.call));
        }
        self.organization.now = now;
        is_changed
    }

    /// Works a request off.
    pub(super) fn take(&mut self, request: &Request) -> Delivery {
        let request_id = self.organization.new_id("req_");
        let body =
            if request.body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&request.body) };
        let found = routes::find(&request.method, &request.path);
        let template = match &found {
            Found::Endpoint { template, .. } | Found::OtherMethod { template } => Some(*template),
            Found::Nothing => None,
        };
        let separator = if request.query.is_empty() { "" } else { "?" };
        let entry = self.ledger.open(Entry {
            number: 0,
            at: self.organization.now,
            request_id: request_id.clone(),
            key: None,
            method: request.method.to_string(),
            path: format!("{}{separator}{}", request.path, request.query),
            template,
            body: body.as_ref().cloned().unwrap_or_default(),
            fault: None,
            outcome: None,
            effect_at: None,
            due_at: None,
            status: None,
        });
        let made = self.make(request, found, body, entry);
        let (reply, wait) = match made {
            Made::Reset => return Delivery::Reset,
            Made::Silence => return Delivery::Silence,
            Made::Reply(reply, wait) => (reply, wait),
        };
        self.ledger.note(entry, |entry| entry.status = Some(reply.status));
        let response = self.respond(reply, &request_id);
        if wait.is_zero() { Delivery::Answer(response) } else { Delivery::Slow(wait, response) }
    }

    fn make(
        &mut self,
        request: &Request,
        found: Found,
        body: Result<Value, serde_json::Error>,
        entry: u64,
    ) -> Made {
        let (template, path, endpoint) = match found {
            Found::Endpoint { template, path, endpoint } => (template, path, endpoint),
            Found::OtherMethod { .. } => {
                let message = format!(
                    "Not allowed to {} on /v1{}. (HINT: Perhaps you meant to use a different HTTP method?)",
                    request.method, request.path
                );
                return self.refuse(&Refusal::new(405, message).code("method_not_supported"));
            }
            Found::Nothing => {
                let message = format!("Invalid URL ({} /v1{})", request.method, request.path);
                return self.refuse(&Refusal::new(404, message).code("unknown_url"));
            }
        };
        let key = match self.authorise(&request.headers, &request.method) {
            Ok(key) => key,
            Err(refusal) => return self.refuse(&refusal),
        };
        self.ledger.note(entry, |entry| entry.key = Some(key.clone()));
        let now = self.organization.now;
        let limits = &self.organization.options.limiter;
        if let Some(left) = self.limiter.refuse(limits, now, request.method.as_str(), template) {
            return Made::Reply(rate_limited(limits.dialect, left), SignedDuration::ZERO);
        }
        let fault = self.faults.draw(request.method.as_str(), template);
        self.ledger.note(entry, |entry| entry.fault.clone_from(&fault));
        let call = match body {
            Ok(body @ (Value::Null | Value::Object(_))) => {
                Ok(Call { path, query: Query::parse(&request.query), body, actor: Actor::Key(key) })
            }
            Ok(_) | Err(_) => {
                Err(Refusal::bad("We could not parse the body of your request: it must be a JSON object.")
                    .code("invalid_json"))
            }
        };
        self.meet(fault, entry, endpoint, call)
    }

    /// Does the call, in the way that the fault lets it.
    fn meet(
        &mut self,
        fault: Option<Fault>,
        entry: u64,
        endpoint: Endpoint,
        call: Result<Call, Refusal>,
    ) -> Made {
        let at_once = |reply| Made::Reply(reply, SignedDuration::ZERO);
        match fault {
            None => at_once(self.perform(entry, endpoint, call)),
            Some(Fault::Slow { milliseconds: delay }) => {
                Made::Reply(self.perform(entry, endpoint, call), milliseconds(delay))
            }
            Some(Fault::Malformed) => {
                let mut reply = self.perform(entry, endpoint, call);
                let half = reply.body.len() / 2;
                reply.body = reply.body.chars().take(half).collect();
                at_once(reply)
            }
            Some(Fault::Page { page }) => {
                let call = call.map(|call| match page {
                    PageFault::Repeated => Call { query: call.query.without("after"), ..call },
                    PageFault::Truncated | PageFault::Empty | PageFault::HasMoreInverted => call,
                });
                let reply = self.perform(entry, endpoint, call);
                at_once(spoil_page(reply, page))
            }
            Some(Fault::Reset { effect }) => {
                self.take_effect(effect, entry, endpoint, call);
                Made::Reset
            }
            Some(Fault::Silence { effect }) => {
                self.take_effect(effect, entry, endpoint, call);
                Made::Silence
            }
            Some(Fault::Html { status, effect }) => {
                self.take_effect(effect, entry, endpoint, call);
                let body = format!("<html><head><title>{status}</title></head><body>{status}</body></html>");
                at_once(Reply { status, content_type: "text/html", body, retry_after: None })
            }
            Some(Fault::RateLimited { dialect, milliseconds: delay }) => {
                at_once(rate_limited(dialect, milliseconds(delay)))
            }
            Some(Fault::Status { status, code, message, retry_after_seconds, effect }) => {
                self.take_effect(effect, entry, endpoint, call);
                let refusal =
                    Refusal::new(status, message.unwrap_or_else(|| default_message(status).to_owned()));
                let mut body = refusal.body(&self.organization.options);
                if let (Some(code), Some(error)) =
                    (code, body.get_mut("error").and_then(Value::as_object_mut))
                {
                    error.insert("code".to_owned(), json!(code));
                }
                at_once(Reply {
                    retry_after: retry_after_seconds.map(u64::from),
                    ..Reply::json(status, &body)
                })
            }
        }
    }

    fn take_effect(&mut self, effect: Effect, entry: u64, endpoint: Endpoint, call: Result<Call, Refusal>) {
        match effect {
            Effect::Never => {}
            Effect::Now => {
                let _reply: Reply = self.perform(entry, endpoint, call);
            }
            Effect::Late { milliseconds: delay } => {
                let due = self.organization.now.checked_add(milliseconds(delay)).unwrap_or(Timestamp::MAX);
                self.ledger.note(entry, |entry| entry.due_at = Some(due));
                self.late.extend(call.map(|call| Late { due, entry, endpoint, call }).ok());
            }
        }
    }

    /// Calls the endpoint and notes what it did.
    fn perform(&mut self, entry: u64, endpoint: Endpoint, call: Result<Call, Refusal>) -> Reply {
        let events = self.organization.events.len();
        let outcome = call.and_then(|call| endpoint(&mut self.organization, &call));
        let now = self.organization.now;
        let effect_at = (self.organization.events.len() > events).then_some(now);
        let reply = match outcome {
            Ok(answer) => Reply::json(answer.status, &answer.body),
            Err(refusal) => Reply::json(refusal.status, &refusal.body(&self.organization.options)),
        };
        self.ledger.note(entry, |entry| {
            entry.outcome = Some(reply.status);
            entry.effect_at = effect_at;
        });
        reply
    }

    /// The id of the key that came with the request, if it may make it.
    fn authorise(&mut self, headers: &HeaderMap, method: &Method) -> Result<String, Refusal> {
        let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(value) = header.and_then(|header| header.strip_prefix("Bearer ")) else {
            return Err(Refusal::new(401, "You didn't provide an API key in an Authorization header."));
        };
        let organization = &mut self.organization;
        let now = organization.seconds();
        let owners_count = organization.options.keys_of_removed_members == Feature::Off;
        let members = &organization.members;
        let key = organization.admin_keys.values_mut().find(|key| {
            key.value == value
                && key.expires_at.is_none_or(|expires| now < expires)
                && (!owners_count || members.contains(&key.owner))
        });
        let Some(key) = key else {
            if value.starts_with("sk-") && !value.starts_with("sk-admin-") {
                return Err(missing_scope("api.management.read"));
            }
            return Err(Refusal::new(401, "Incorrect API key provided.").code("invalid_api_key"));
        };
        if key.is_read_only && *method != Method::GET {
            return Err(missing_scope("api.management.write"));
        }
        key.last_used_at = Some(now);
        Ok(key.id.clone())
    }

    fn refuse(&self, refusal: &Refusal) -> Made {
        let body = refusal.body(&self.organization.options);
        Made::Reply(Reply::json(refusal.status, &body), SignedDuration::ZERO)
    }

    fn respond(&self, reply: Reply, request_id: &str) -> Response<String> {
        let mut response = Response::new(reply.body);
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
        headers.insert("openai-processing-ms", HeaderValue::from_static("1"));
        for (name, value) in [
            ("x-request-id", request_id),
            ("openai-organization", &self.organization.options.organization_id),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if let Some(seconds) = reply.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What became of a request, before it is noted and sent.
enum Made {
    Reply(Reply, SignedDuration),
    Reset,
    Silence,
}

fn missing_scope(scope: &str) -> Refusal {
    Refusal::new(
        403,
        format!(
            "You have insufficient permissions for this operation. Missing scopes: {scope}. Check that you \
             have the correct role in your organization, and if you're using a restricted API key, that it has the \
             necessary scopes."
        ),
    )
}

fn rate_limited(dialect: Dialect, left: SignedDuration) -> Reply {
    let error = |message: String| {
        json!({"error": {
            "message": message,
            "type": "invalid_request_error",
            "param": null,
            "code": "rate_limit_exceeded",
        }})
    };
    match dialect {
        Dialect::PlainText => Reply {
            status: 429,
            content_type: "text/plain",
            body: "You are making too many requests to this endpoint.".to_owned(),
            retry_after: None,
        },
        Dialect::DelayInText => {
            let (seconds, thousandths) = (left.as_secs(), left.subsec_millis());
            let message =
                format!("Rate limit reached, please try again after {seconds}.{thousandths:03} seconds.");
            Reply::json(429, &error(message))
        }
        Dialect::RetryAfter => {
            let started = u64::from(left.subsec_nanos() > 0);
            let seconds = u64::try_from(left.as_secs()).unwrap_or_default() + started;
            let body = error("Rate limit reached, please try again later.".to_owned());
            Reply { retry_after: Some(seconds.max(1)), ..Reply::json(429, &body) }
        }
    }
}

fn spoil_page(reply: Reply, fault: PageFault) -> Reply {
    let Ok(mut body) = serde_json::from_str::<Value>(&reply.body) else { return reply };
    let Some(members) = body.as_object_mut() else { return reply };
    let Some(mut data) = members.get("data").and_then(Value::as_array).cloned() else { return reply };
    match fault {
        PageFault::Repeated => return reply,
        PageFault::HasMoreInverted => {
            let more = members.get("has_more") == Some(&Value::Bool(true));
            members.insert("has_more".to_owned(), json!(!more));
        }
        PageFault::Truncated | PageFault::Empty => {
            data.truncate(if fault == PageFault::Empty { 0 } else { data.len() / 2 });
            members.insert("has_more".to_owned(), json!(false));
            if members.contains_key("next") {
                members.insert("next".to_owned(), Value::Null);
            }
            if members.contains_key("last_id") {
                let id =
                    |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned().unwrap_or_default();
                members.insert("first_id".to_owned(), id(data.first()));
                members.insert("last_id".to_owned(), id(data.last()));
            }
            members.insert("data".to_owned(), Value::Array(data));
        }
    }
    Reply { body: body.to_string(), ..reply }
}

fn default_message(status: u16) -> &'static str {
    match status {
        400 => "The request was not valid.",
        401 => "Incorrect API key provided.",
        403 => "You have insufficient permissions for this operation.",
        404 => "The object was not found.",
        409 => "The request conflicts with the present state.",
        429 => "You are making too many requests.",
        503 => "The service is overloaded.",
        _ => "The server had an error while processing your request.",
    }
}
