//! Bad input, generated from the schemas: each attribute with values of each wrong type, each limit and one to either
//! side of it, each class of Unicode, each way to misspell a path or a filter.
//!
//! Whatever is sent, a [`Wall`] judges what comes of it: no 5xx; a refusal is a SCIM error of the right type, changes
//! nothing in the store and makes no call to OpenAI; what is accepted is read back as it was answered.

mod filters;
mod limits;
mod paths;
mod types;
mod unicode;

use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::scim::schema::{Attribute, Registry, ResourceType};
use openai_scim_bridge::simulator::Simulator;
use serde_json::{Map, Value, json};
use sqlx::AnyConnection;

use crate::harness::bridge::{Actor, user};
use crate::harness::database::Database;
use crate::harness::stage::Stage;
use crate::harness::standin;
use crate::harness::wire::Answer;

/// What the errors of a malformed request may be called.
const SCIM_TYPES: &[&str] = &[
    "invalidSyntax",
    "invalidValue",
    "invalidPath",
    "invalidFilter",
    "noTarget",
    "mutability",
    "uniqueness",
    "invalidCursor",
    "invalidCount",
    "tooMany",
];

/// A bridge with an engine and an organization, of which every commit and every call is seen.
struct Wall {
    stage: Stage,
    actor: Actor,
    watcher: AnyConnection,
    /// SQLite's own count of what others have committed.
    commits: i64,
    calls: usize,
    /// Requests sent.
    cases: usize,
    /// Names given, so that each is new.
    names: usize,
    /// `/Users/…` and `/Groups/…` of one who is there from the start.
    jane: String,
    staff: String,
}

impl Wall {
    async fn new() -> Self {
        let database = Database::sqlite();
        let simulator = Simulator::new(standin::unlimited(), database.clock.clone());
        let stage = Stage::new(database, Policy::default(), simulator).await;
        let watcher = stage.bridge.database.connect().await;
        let actor = stage.bridge.okta();
        let jane = format!("/Users/{}", actor.create_named("jane@x.example").await);
        let staff = actor.post("/Groups", &json!({"displayName": "Staff"})).await.expect(201);
        let staff = format!("/Groups/{}", staff["id"].as_str().unwrap());
        let mut wall = Self { stage, actor, watcher, commits: 0, calls: 0, cases: 0, names: 0, jane, staff };
        wall.rest().await;
        wall
    }

    /// Sends a request, and judges the answer and all that came of it.
    async fn send(&mut self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        self.cases += 1;
        let answer = self.actor.send(method, path, body).await;
        let sent = || {
            let body: String = String::from_utf8_lossy(body.unwrap_or_default()).chars().take(300).collect();
            format!("{method} {} {body}", path.chars().take(300).collect::<String>())
        };
        match answer.status {
            200 | 201 if method == "GET" => assert!(answer.json().is_object()),
            200 | 201 => {
                let resource = answer.json();
                let location = resource["meta"]["location"].as_str().unwrap();
                let (_, path) = location.split_once("/scim/v2").unwrap();
                self.rest().await;
                let read = self.actor.get(path).await.expect(200);
                assert_eq!(settled(read), settled(resource), "{}", sent());
            }
            204 => self.rest().await,
            400..=499 => {
                let error = scim_error(&answer);
                let scim_type = error["scimType"].as_str();
                assert!(!answer.expect_error(answer.status, scim_type).is_empty(), "{}", sent());
                match answer.status {
                    400 | 409 => {
                        assert!(
                            scim_type.is_some_and(|name| SCIM_TYPES.contains(&name)),
                            "{}: {error}",
                            sent()
                        );
                    }
                    403 => assert_eq!(scim_type, Some("sensitive"), "{}", sent()),
                    status => assert!(matches!(status, 404 | 405 | 413 | 414 | 431), "{}: {error}", sent()),
                }
                assert!(error.get("Resources").is_none());
                self.check_untouched(&sent()).await;
            }
            status => panic!("{status} for {}: {}", sent(), answer.body),
        }
        answer
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().as_bytes())).await
    }

    async fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body.to_string().as_bytes())).await
    }

    async fn patch(&mut self, path: &str, operations: Value) -> Answer {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        });
        self.send("PATCH", path, Some(body.to_string().as_bytes())).await
    }

    async fn find(&mut self, collection: &str, filter: &str) -> Answer {
        let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.send("GET", &format!("{collection}?filter={encoded}"), None).await
    }

    /// A user whom nobody knows yet.
    fn stranger(&mut self) -> Value {
        self.names += 1;
        user(&format!("u{}@x.example", self.names))
    }

    /// The same of a resource type, of the path of one that is there, and of what is to be put there.
    fn bodies(&mut self, kind: Kind) -> (Value, String, Value) {
        match kind {
            Kind::User => (self.stranger(), self.jane.clone(), user("jane@x.example")),
            Kind::Group => {
                self.names += 1;
                let group = json!({"displayName": format!("Group {}", self.names)});
                (group, self.staff.clone(), json!({"displayName": "Staff"}))
            }
        }
    }

    /// Lets the engine come to rest, and takes what is there then for what must stay.
    async fn rest(&mut self) {
        self.stage.rest().await;
        self.calls = self.stage.simulator.ledger().len();
        self.commits = self.commits().await;
    }

    async fn check_untouched(&mut self, sent: &str) {
        self.stage.rest().await;
        assert_eq!(self.stage.simulator.ledger().len(), self.calls, "OpenAI was called for {sent}");
        assert_eq!(self.commits().await, self.commits, "{sent} changed the store");
    }

    /// <https://sqlite.org/pragma.html#pragma_data_version>
    async fn commits(&mut self) -> i64 {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.watcher).await.unwrap()
    }
}

/// The body of an answer if it is a JSON object, else null.
fn scim_error(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_default()
}

/// A resource without what the engine tells of its progress, which may go on after the answer.
fn settled(mut resource: Value) -> Value {
    for slot in Kind::User.slots().into_iter().filter(Slot::is_read_only) {
        if let Some(extension) = slot.urn.and_then(|urn| resource.get_mut(urn)).and_then(Value::as_object_mut)
        {
            extension.remove(&slot.attribute.name);
        }
    }
    resource
}

/// What is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::User, Self::Group];

    fn collection(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }

    fn resource_type(self) -> &'static ResourceType {
        let name = if self == Self::User { "User" } else { "Group" };
        Registry::builtin().resource_type(name).unwrap()
    }

    /// Every attribute and sub-attribute that the schemas name, but `schemas`, which is no attribute to be set.
    fn slots(self) -> Vec<Slot> {
        let resource_type = self.resource_type();
        let core = resource_type.attributes().map(|attribute| (None, attribute));
        let extensions = resource_type.extensions.iter().flat_map(|extension| {
            let schema = &*extension.schema;
            schema.attributes.iter().map(|attribute| (Some(schema.id.as_str()), attribute))
        });
        let attributes = core.chain(extensions).filter(|(_, attribute)| attribute.name != "schemas");
        let slots = attributes.flat_map(|(urn, attribute)| {
            let whole = Slot { urn, attribute, sub: None };
            let subs = attribute.sub_attributes.iter();
            std::iter::once(whole).chain(subs.map(move |sub| Slot { urn, attribute, sub: Some(sub) }))
        });
        slots.collect()
    }
}

/// A place in a resource.
#[derive(Debug, Clone, Copy)]
struct Slot {
    urn: Option<&'static str>,
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
}

impl Slot {
    fn leaf(&self) -> &'static Attribute {
        self.sub.unwrap_or(self.attribute)
    }

    fn is_read_only(&self) -> bool {
        self.attribute.is_read_only() || self.leaf().is_read_only()
    }

    fn path(&self) -> String {
        let urn = self.urn.map_or_else(String::new, |urn| format!("{urn}:"));
        let sub = self.sub.map_or_else(String::new, |sub| format!(".{}", sub.name));
        format!("{urn}{}{sub}", self.attribute.name)
    }

    /// Puts a value there, and gives values of lists what else they must have.
    fn put(&self, body: &mut Value, value: Value) {
        let value = match self.sub {
            None => value,
            Some(sub) => {
                let mut object = Map::new();
                for required in self.attribute.sub_attributes.iter().filter(|sub| sub.required) {
                    object.insert(required.name.clone(), "x@x.example".into());
                }
                object.insert(sub.name.clone(), value);
                if self.attribute.multi_valued { json!([object]) } else { object.into() }
            }
        };
        match self.urn {
            None => body[&self.attribute.name] = value,
            Some(urn) => body[urn][&self.attribute.name] = value,
        }
    }
}
