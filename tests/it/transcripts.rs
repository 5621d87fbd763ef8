//! Replays what identity providers say, word for word, and checks all three sides after each step: the answer, what is
//! stored, and what OpenAI is asked to change.
//!
//! The transcripts are data, in `tests/fixtures/<identity provider>/*.json`. A `${name}` stands for a value that an
//! earlier answer gave. A step that names no change upstream must bring none about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use openai_scim_bridge::ids::{GroupId, PersonId, TenantId};
use openai_scim_bridge::model::policy::{GroupRule, GroupSelector, Policy, RemovalLimits, RuleEffect};
use openai_scim_bridge::simulator::{Entry, Simulator};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::harness::bridge::STATIC_TOKEN;
use crate::harness::database::Database;
use crate::harness::python::tell;
use crate::harness::stage::Stage;
use crate::harness::standin;
use crate::harness::wire::{Answer, exchange};

const MEDIA_TYPE: &str = "application/scim+json; charset=utf-8";

/// One transcript.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    /// What happens, and where it is documented or was seen.
    about: String,
    /// What every request carries. A `Content-Type` goes with a body only.
    headers: BTreeMap<String, String>,
    /// Projects of the organization, by name.
    #[serde(default)]
    projects: Vec<String>,
    /// Group rules: the group's name, the project's name, the role.
    #[serde(default)]
    group_rules: Vec<(String, String, String)>,
    steps: Vec<Step>,
}

/// A request with all that comes of it, or something that happens at OpenAI.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Why this is done.
    note: Option<String>,
    request: Option<Request>,
    /// The address of somebody who accepts the invite.
    accept: Option<String>,
    #[serde(default)]
    expect: Expected,
    /// Names for values of the answer, by JSON pointer.
    #[serde(default)]
    capture: BTreeMap<String, String>,
    /// What is stored of people and groups by now, by id: `null` for nothing, else the properties that matter.
    #[serde(default)]
    stored: Map<String, Value>,
    #[serde(default)]
    upstream: Upstream,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    /// Below `/scim/v2`, sent as it is.
    path: String,
    /// Besides those of the transcript, or in place of them.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Of an object, the named members; of an array, every element; `"*"` is anything but null.
    body: Option<Value>,
    /// JSON pointers that must lead nowhere.
    #[serde(default)]
    absent: Vec<String>,
}

/// The far side of the bridge.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Upstream {
    /// Every call that changes something, with how often it is made: `POST /organization/invites`.
    #[serde(default)]
    calls: BTreeMap<String, usize>,
    /// The bodies of those calls, in order.
    bodies: Option<Value>,
    /// Addresses with a pending invite.
    invited: Option<BTreeSet<String>>,
    /// Addresses of members, without those that the organization starts with.
    members: Option<BTreeSet<String>>,
    /// Addresses of members by project.
    #[serde(default)]
    projects: BTreeMap<String, BTreeSet<String>>,
}

macro_rules! transcripts_of {
    ($($provider:ident),+) => {
        /// The folders that are replayed.
        const PROVIDERS: &[&str] = &[$(stringify!($provider)),+];

        $(#[tokio::test]
        async fn $provider() {
            replay_all(stringify!($provider)).await;
        })+
    };
}

transcripts_of!(
    auth0, authentik, entra, everyone, gateway, google, jumpcloud, keycloak, okta, onelogin, pingone
);

#[test]
fn every_folder_of_transcripts_is_replayed() {
    let folders = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    for folder in folders.map(|entry| entry.file_name().into_string().unwrap()) {
        assert!(PROVIDERS.contains(&folder.as_str()), "{folder} is not replayed");
    }
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))
}

async fn replay_all(provider: &str) {
    let mut files: Vec<_> =
        fs::read_dir(fixtures().join(provider)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut requests = 0;
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let transcript: Transcript =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        requests += transcript.steps.iter().filter(|step| step.request.is_some()).count();
        Player::new(transcript, file.display().to_string()).await.play().await;
    }
    tell(&format!("transcripts of {provider}: {}, with {requests} exchanges", files.len()));
}

struct Player {
    stage: Stage,
    transcript: Transcript,
    names: BTreeMap<String, String>,
    projects: BTreeMap<String, String>,
    /// Members that the organization starts with.
    at_start: BTreeSet<String>,
    /// The step that is played, for messages.
    place: String,
}

impl Player {
    async fn new(transcript: Transcript, place: String) -> Self {
        let database = Database::sqlite();
        let simulator = Simulator::new(standin::unlimited(), database.clock.clone());
        let projects: BTreeMap<_, _> =
            transcript.projects.iter().map(|name| (name.clone(), simulator.seed_project(name))).collect();
        let rules = transcript.group_rules.iter().map(|(group, project, role)| GroupRule {
            group: GroupSelector::Name(group.clone()),
            effect: RuleEffect {
                project: Some((projects[project].as_str().into(), role.parse().unwrap())),
                ..RuleEffect::default()
            },
        });
        // A transcript does with few people in a minute what others do in weeks.
        let policy = Policy {
            group_rules: rules.collect(),
            removals: RemovalLimits {
                max_removal_percent: 1_000,
                max_removal_percent_per_day: 1_000,
                ..RemovalLimits::default()
            },
            max_invites_per_address: 100,
            ..Policy::default()
        };
        let mut names = projects.clone();
        names.insert("token".to_owned(), STATIC_TOKEN.to_owned());
        let at_start = simulator.members().into_iter().map(|member| member.id).collect();
        let stage = Stage::new(database, policy, simulator).await;
        Self { stage, transcript, names, projects, at_start, place }
    }

    async fn play(mut self) {
        let file = format!("{} ({})", self.place, self.transcript.about);
        let steps = std::mem::take(&mut self.transcript.steps);
        for (number, step) in steps.into_iter().enumerate() {
            let note = step.note.as_deref().unwrap_or_default();
            self.place = format!("{file}, step {}: {note}", number + 1);
            if let Some(request) = &step.request {
                let answer = self.send(request).await;
                self.check_answer(&answer, &step.expect);
                for (name, pointer) in &step.capture {
                    let value = answer.json().pointer(pointer).and_then(Value::as_str).map(str::to_owned);
                    let value = value.unwrap_or_else(|| panic!("{}: no {pointer} in {answer:?}", self.place));
                    self.names.insert(name.clone(), value);
                }
            }
            if let Some(address) = &step.accept {
                self.stage.accept(address);
            }
            let calls = self.stage.settle().await;
            self.check_upstream(&calls, &step.upstream);
            self.check_stored(&step.stored).await;
        }
    }

    async fn send(&self, request: &Request) -> Answer {
        let body = request.body.as_ref().map(|body| self.filled_in(body).to_string());
        let path = self.fill_in(&request.path);
        let mut headers = self.transcript.headers.clone();
        headers.extend(request.headers.clone());
        headers.retain(|name, _| body.is_some() || name != "Content-Type");
        let head = headers.iter().map(|(name, value)| format!("{name}: {}\r\n", self.fill_in(value)));
        let head = head.collect::<Vec<_>>().concat();
        let length =
            body.as_ref().map_or(String::new(), |body| format!("Content-Length: {}\r\n", body.len()));
        let text = format!(
            "{} /scim/v2{path} HTTP/1.1\r\nHost: scim.example.com\r\nConnection: close\r\n{head}{length}\r\n{}",
            request.method,
            body.unwrap_or_default()
        );
        let address: SocketAddr = self.stage.bridge.address;
        exchange(address, text.as_bytes()).await.unwrap_or_else(|| panic!("{}: no answer", self.place))
    }

    fn check_answer(&self, answer: &Answer, expected: &Expected) {
        let place = &self.place;
        assert_eq!(Some(answer.status), expected.status, "{place}: {answer:?}");
        for (name, value) in &expected.headers {
            assert_eq!(
                answer.header(name),
                Some(self.fill_in(value).as_str()),
                "{place}: {name} in {answer:?}"
            );
        }
        if answer.body.is_empty() {
            assert!(matches!(answer.status, 204 | 304), "{place}: no body: {answer:?}");
            assert!(expected.body.is_none(), "{place}: no body: {answer:?}");
            return;
        }
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE), "{place}");
        assert!(!answer.body.contains("password"), "{place}: {answer:?}");
        let body = answer.json();
        if answer.status == 201 {
            assert_eq!(answer.header("location"), body["meta"]["location"].as_str(), "{place}");
        }
        if let Some(expected) = &expected.body {
            self.check_value("", &body, &self.filled_in(expected));
        }
        for pointer in &expected.absent {
            assert_eq!(body.pointer(pointer), None, "{place}: {pointer} in {body}");
        }
    }

    /// Checks that `value` is as `expected` says, which may say less.
    fn check_value(&self, at: &str, value: &Value, expected: &Value) {
        let place = &self.place;
        match (value, expected) {
            (Value::Null, Value::String(any)) if any == "*" => panic!("{place}: nothing at {at}"),
            (_, Value::String(any)) if any == "*" => {}
            (Value::Object(object), Value::Object(expected)) => {
                for (name, expected) in expected {
                    let value =
                        object.get(name).unwrap_or_else(|| panic!("{place}: no {at}/{name} in {value}"));
                    self.check_value(&format!("{at}/{name}"), value, expected);
                }
            }
            (Value::Array(values), Value::Array(expected)) => {
                assert_eq!(values.len(), expected.len(), "{place}: at {at}: {value}");
                for (index, (value, expected)) in values.iter().zip(expected).enumerate() {
                    self.check_value(&format!("{at}/{index}"), value, expected);
                }
            }
            _ => assert_eq!(value, expected, "{place}: at {at}"),
        }
    }

    fn check_upstream(&self, calls: &[Entry], expected: &Upstream) {
        let (place, simulator) = (&self.place, &self.stage.simulator);
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for call in calls {
            *counted
                .entry(format!("{} {}", call.method, call.template.unwrap_or(&call.path)))
                .or_default() += 1;
        }
        assert_eq!(counted, expected.calls, "{place}: what OpenAI was asked: {calls:#?}");
        if let Some(expected) = &expected.bodies {
            let bodies = calls.iter().map(|call| call.body.clone()).collect();
            self.check_value("", &bodies, &self.filled_in(expected));
        }
        let members = simulator.members();
        if let Some(expected) = &expected.invited {
            let pending = simulator.invites().into_iter().map(|invite| invite.email);
            let pending: BTreeSet<_> =
                pending.filter(|email| !simulator.pending_invites(email).is_empty()).collect();
            assert_eq!(&pending, expected, "{place}: who is invited");
        }
        if let Some(expected) = &expected.members {
            let joined = members.iter().filter(|member| !self.at_start.contains(&member.id));
            let joined: BTreeSet<_> = joined.filter_map(|member| member.email.clone()).collect();
            assert_eq!(&joined, expected, "{place}: who is a member");
        }
        for (project, expected) in &expected.projects {
            let users = simulator.project_users(&self.projects[project]);
            let email = |id: &str| members.iter().find(|member| member.id == id)?.email.clone();
            let users: BTreeSet<_> = users.iter().filter_map(|(id, _)| email(id)).collect();
            assert_eq!(&users, expected, "{place}: who is in {project}");
        }
    }

    async fn check_stored(&self, expected: &Map<String, Value>) {
        for (name, expected) in expected {
            let id = self.fill_in(name).parse();
            let id = id.unwrap_or_else(|error| panic!("{}: {name} names no resource: {error}", self.place));
            let stored = self.stored(id).await;
            self.check_value(&format!("/{name}"), &stored, &self.filled_in(expected));
        }
    }

    /// What is stored of a person or a group, as JSON; null for nothing.
    async fn stored(&self, id: uuid::Uuid) -> Value {
        let mut reader = self.stage.bridge.store.reader().await.unwrap();
        let tenant = TenantId::default_tenant();
        let (person, group): (PersonId, GroupId) =
            (id.to_string().parse().unwrap(), id.to_string().parse().unwrap());
        if let Some((person, mapping)) = reader.load_person_and_mapping(&tenant, person).await.unwrap() {
            let groups = reader.groups_of(&tenant, person.id).await.unwrap();
            return json!({
                "userName": person.user_name,
                "externalId": person.external_id,
                "address": person.address.map(|address| address.to_string()),
                "active": person.active,
                "version": person.version,
                "status": mapping.map(|mapping| mapping.status.as_str()),
                "groups": groups.iter().map(|group| &group.display_name).collect::<Vec<_>>(),
                "attributes": person.attributes,
            });
        }
        let Some(found) = reader.load_group(&tenant, group).await.unwrap() else { return Value::Null };
        let members = reader.page_members(&tenant, group, None, 1000).await.unwrap();
        json!({
            "displayName": found.display_name,
            "externalId": found.external_id,
            "version": found.version,
            "members": members.iter().map(|member| &member.user_name).collect::<BTreeSet<_>>(),
        })
    }

    /// Puts values in the place of their names, in every text.
    fn filled_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill_in(text).into(),
            Value::Array(values) => values.iter().map(|value| self.filled_in(value)).collect(),
            Value::Object(object) => {
                object.iter().map(|(name, value)| (self.fill_in(name), self.filled_in(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn fill_in(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }
}
