//! Queries on generated directories, on both databases: what the database decides of a filter and what is evaluated
//! in memory are the same, and pages lose and repeat nobody whatever happens between them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use openai_scim_bridge::directory::{OPENAI_USER, group_type, user_type};
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::mapping::{Mapping, Status};
use openai_scim_bridge::scim::filter::Filter;
use openai_scim_bridge::scim::resource::Resource;
use openai_scim_bridge::scim::schema::ResourceType;
use openai_scim_bridge::store::StoreError;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge};
use crate::harness::database::Database;

/// Generated directories for each database.
const DIRECTORIES: usize = 5;
/// Filters tried on each directory and type.
const FILTERS: usize = 60;
/// Lists walked through while they change, for each database.
const WALKS: usize = 24;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const NAMES: [&str; 14] = [
    "ann@x.example",
    "Anna@x.example",
    "bob@x.example",
    "BORIS@y.example",
    "änn@x.example",
    "ÉMILE@x.example",
    "a_b@x.example",
    "a%b@x.example",
    "zoë@x.example",
    "p1@x.example",
    "p2@y.example",
    "straße@x.example",
    "İsa@x.example",
    "𝕏@x.example",
];
const WORDS: [&str; 10] = ["ann", "Ann", "ANN", "bob", "é", "É", "a%", "_", "x", "ß"];

/// The same draws in every run.
struct Dice(TestRunner);

impl Dice {
    fn new() -> Self {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        Self(TestRunner::new_with_rng(Config::default(), rng))
    }

    fn draw<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        strategy.new_tree(&mut self.0).unwrap().current()
    }
}

fn word() -> impl Strategy<Value = String> {
    select(&WORDS[..]).prop_map(str::to_owned)
}

/// What a person has beside a name.
fn attributes() -> impl Strategy<Value = Value> {
    let email = (option::of(select(&["work", "home"][..])), select(&NAMES[..])).prop_map(|(kind, value)| {
        let mut email = json!({"value": value});
        if let Some(kind) = kind {
            email["type"] = kind.into();
        }
        email
    });
    let texts = (option::of(word()), option::of(word()), option::of(word()), option::of(word()));
    (texts, vec(email, 0..3), any::<bool>(), option::of(select(&["1", "2"][..]))).prop_map(
        |((display, title, external, family), emails, active, number)| {
            let mut user = json!({"active": active, "emails": emails});
            for (name, value) in [("displayName", display), ("title", title), ("externalId", external)] {
                if let Some(value) = value {
                    user[name] = value.into();
                }
            }
            if let Some(family) = family {
                user["name"] = json!({"familyName": family});
            }
            if let Some(number) = number {
                user[ENTERPRISE] = json!({"employeeNumber": number, "manager": {"value": number}});
            }
            user
        },
    )
}

/// Adds the name and the address that an invite needs, which is the name itself where there is no other e-mail.
fn named(mut body: Value, name: &str, number: usize) -> Value {
    body["userName"] = name.into();
    if let Some(external) = body["externalId"].as_str() {
        body["externalId"] = format!("{external}{number}").into();
    }
    let emails = body["emails"].as_array_mut().unwrap();
    if !emails.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@.".contains(&byte)) {
        let kind = ["work", "other"][number % 2];
        emails.push(json!({"value": format!("Address{number}@x.example"), "type": kind, "primary": true}));
    }
    body
}

/// A directory of generated people and groups; some are gone again.
async fn populate(bridge: &TestBridge, dice: &mut Dice) -> (Actor, Vec<String>, Vec<String>) {
    let okta = bridge.okta();
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for name in dice.draw(&subsequence(&NAMES[..], 8..NAMES.len())) {
        let body = named(dice.draw(&attributes()), name, users.len());
        users.push(okta.create(&body).await["id"].as_str().unwrap().to_owned());
        let steps = dice.draw(&select(&[0, 1, 1_000, 1_000_000][..]));
        bridge.clock.advance(SignedDuration::from_micros(steps));
    }
    for name in dice.draw(&subsequence(&["Ann", "Bob", "Éa", "a%", "_"][..], 2..5)) {
        let members = dice.draw(&subsequence(users.clone(), 0..users.len()));
        let members: Vec<_> = members.into_iter().map(|id| json!({"value": id})).collect();
        let mut body = json!({"displayName": name, "members": members});
        if let Some(external) = dice.draw(&option::of(word())) {
            body["externalId"] = external.into();
        }
        groups.push(okta.post("/Groups", &body).await.expect(201)["id"].as_str().unwrap().to_owned());
        bridge.clock.advance(SignedDuration::from_micros(7));
    }
    for (number, id) in users.iter().enumerate() {
        let mapping = (select(&Status::ALL[..]), any::<bool>(), any::<bool>());
        if let Some((status, is_member, is_invited)) = dice.draw(&option::of(mapping)) {
            let mapping = Mapping {
                status,
                user_id: is_member.then(|| format!("user-{number}").as_str().into()),
                invite_id: is_invited.then(|| format!("invite-{number}").as_str().into()),
                ..Mapping::new(TenantId::default_tenant(), id.parse().unwrap())
            };
            let save = bridge.store.write::<_, StoreError>(move |tx| {
                let mapping = mapping.clone();
                Box::pin(async move { tx.save_mapping(&mapping).await })
            });
            save.await.unwrap();
        }
    }
    for id in dice.draw(&subsequence(users.clone(), 0..3)) {
        assert_eq!(okta.delete(&format!("/Users/{id}")).await.status, 204);
    }
    (okta, users, groups)
}

fn texts(values: &[&str]) -> BoxedStrategy<String> {
    select(values.iter().map(|value| Value::from(*value).to_string()).collect::<Vec<_>>()).boxed()
}

/// An attribute of users, and values that it may be compared with. `users` and `groups` are ids.
fn user_operand(users: &[String], groups: &[String]) -> BoxedStrategy<(String, String)> {
    let ids = |ids: &[String]| texts(&ids.iter().map(String::as_str).chain(["nobody"]).collect::<Vec<_>>());
    let times = texts(&[
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000001Z",
        "2026-01-01T00:00:00.001Z",
        "2026-01-01T00:00:00.0010005Z",
        "2026-01-01T01:00:01+01:00",
    ]);
    let own = |name: &str| format!("{OPENAI_USER}:{name}");
    let of = |path: &str, values: BoxedStrategy<String>| (Just(path.to_owned()), values).boxed();
    let (words, names) = (texts(&WORDS), texts(&NAMES));
    let truth = select(&["true", "false", "\"True\""][..]).prop_map(str::to_owned).boxed();
    let statuses = texts(&Status::ALL.map(Status::as_str));
    let paths = vec![
        of("userName", names.clone()),
        of("userName", words.clone()),
        of("urn:ietf:params:scim:schemas:core:2.0:User:USERNAME", names.clone()),
        of("id", ids(users)),
        of("externalId", texts(&["ann0", "Ann1", "ann1", "É2", "x3", "a", "_4"])),
        of("displayName", words.clone()),
        of("title", words.clone()),
        of("name.familyName", words),
        of("active", truth.clone()),
        of("emails", names.clone()),
        of("emails.value", names),
        of("emails.type", texts(&["work", "HOME"])),
        of("emails.primary", truth),
        of("groups", ids(groups)),
        of("groups.value", ids(groups)),
        of("groups.display", texts(&["ann", "éa"])),
        of("meta.created", times.clone()),
        of("meta.lastModified", times),
        of("meta.resourceType", texts(&["User", "Group", "user"])),
        of("meta.version", texts(&["W/\"1\""])),
        of(&format!("{ENTERPRISE}:employeeNumber"), texts(&["1", "2"])),
        of("manager.value", texts(&["1", "2"])),
        of(&own("status"), statuses),
        of(&own("userId"), texts(&["user-1", "user-2", "user-3"])),
        of(&own("inviteId"), texts(&["invite-1", "invite-2"])),
        of("nickName", texts(&[""])),
    ];
    proptest::strategy::Union::new(paths).boxed()
}

fn group_operand(users: &[String], groups: &[String]) -> BoxedStrategy<(String, String)> {
    let ids = |ids: &[String]| texts(&ids.iter().map(String::as_str).chain(["nobody"]).collect::<Vec<_>>());
    let of = |path: &str, values: BoxedStrategy<String>| (Just(path.to_owned()), values).boxed();
    let paths = vec![
        of("displayName", texts(&WORDS)),
        of("externalId", texts(&WORDS)),
        of("id", ids(groups)),
        of("members", ids(users)),
        of("members.value", ids(users)),
        of("urn:ietf:params:scim:schemas:core:2.0:Group:members.value", ids(users)),
        of("meta.resourceType", texts(&["User", "Group"])),
        of("meta.lastModified", texts(&["2026-01-01T00:00:01Z", "2026-01-01T00:00:00.003Z"])),
    ];
    proptest::strategy::Union::new(paths).boxed()
}

/// A filter of these operands; `within` are whole value filters.
fn filter(operand: BoxedStrategy<(String, String)>, within: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let op = select(&["eq", "eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"][..]);
    let term = prop_oneof![
        6 => (operand.clone(), op).prop_map(|((path, value), op)| format!("{path} {op} {value}")),
        1 => operand.clone().prop_map(|(path, _)| format!("{path} pr")),
        1 => operand.prop_map(|(path, _)| format!("{path} eq null")),
        2 => within,
    ];
    term.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{one} and {other}")),
            3 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} or {other})")),
            2 => inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
    .boxed()
}

fn value_filter(groups: &[String]) -> BoxedStrategy<String> {
    let email =
        (select(&NAMES[..]), select(&["and", "or"][..]), select(&["eq", "ne", "sw"][..]), any::<bool>())
            .prop_map(|(name, word, op, is_negated)| {
                let inner = format!("type {op} \"work\" {word} value eq {}", Value::from(name));
                if is_negated { format!("emails[not ({inner})]") } else { format!("emails[{inner}]") }
            });
    let by_path = select(&NAMES[..]).prop_map(|name| {
        format!("emails[primary eq true].value sw {}", Value::from(name.trim_end_matches("example")))
    });
    let group =
        select(groups.to_vec()).prop_map(|id| format!("groups[value eq \"{id}\" or display eq \"Ann\"]"));
    prop_oneof![3 => email, 1 => by_path, 2 => group].boxed()
}

fn member_filter(users: &[String]) -> BoxedStrategy<String> {
    let one = select(users.to_vec());
    (one.clone(), one, select(&["sw \"a\"", "pr", "ew \"y.example\""][..]))
        .prop_map(|(one, other, display)| {
            format!("members[value eq \"{one}\" or value eq \"{other}\" and display {display}]")
        })
        .boxed()
}

fn ids(list: &Value) -> Vec<String> {
    let resources = list["Resources"].as_array().unwrap();
    resources.iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect()
}

/// Asks for a filter in every way, and evaluates it on what an unfiltered list shows. `false` if it was refused.
async fn check(okta: &Actor, path: &str, resource_type: &ResourceType, all: &Value, filter: &str) -> bool {
    let answer = okta.find_in(&format!("{path}?attributes=id&count=200"), filter).await;
    let resolved = Filter::parse(filter).and_then(|filter| filter.resolve(resource_type));
    let resolved = match (answer.status, resolved) {
        (200, Ok(resolved)) => resolved,
        (status, Err(error)) if status == error.status => return false,
        (400, Ok(_)) if answer.body.contains("groups are found by members only") => return false,
        (status, resolved) => panic!("{filter}: {status} {} {resolved:?}", answer.body),
    };
    let matches = |resource: &&Value| resolved.matches(&Resource::try_from((*resource).clone()).unwrap());
    let expected: Vec<_> = all["Resources"].as_array().unwrap().iter().filter(matches).collect();
    let expected: Vec<_> = expected.iter().map(|found| found["id"].as_str().unwrap().to_owned()).collect();
    let list = answer.json();
    assert_eq!((ids(&list), &list["totalResults"]), (expected.clone(), &json!(expected.len())), "{filter}");
    let body =
        json!({"filter": filter, "cursor": "", "count": 200, "sortBy": "id", "sortOrder": "descending"});
    let mut backward = ids(&okta.post(&format!("{path}/.search"), &body).await.expect(200));
    backward.reverse();
    assert_eq!(backward, expected, "{filter}");
    true
}

async fn filters_mean_the_same(database: impl AsyncFn() -> Database) {
    let mut dice = Dice::new();
    let mut understood = 0;
    for _ in 0..DIRECTORIES {
        let bridge = TestBridge::builder().on(database().await).start().await;
        let (okta, users, groups) = populate(&bridge, &mut dice).await;
        let about_users = filter(user_operand(&users, &groups), value_filter(&groups));
        let about_groups = filter(group_operand(&users, &groups), member_filter(&users));
        for (path, resource_type, filters) in
            [("/Users", user_type(), about_users), ("/Groups", group_type(), about_groups)]
        {
            let all = okta.get(&format!("{path}?count=200")).await.expect(200);
            for _ in 0..FILTERS {
                let filter = dice.draw(&filters);
                understood += usize::from(check(&okta, path, resource_type, &all, &filter).await);
            }
        }
    }
    assert!(understood > DIRECTORIES * FILTERS, "only {understood} of the filters made sense");
}

#[tokio::test]
async fn a_filter_means_the_same_in_sql_and_in_memory_on_sqlite() {
    filters_mean_the_same(async || Database::sqlite()).await;
}

#[tokio::test]
async fn a_filter_means_the_same_in_sql_and_in_memory_on_postgres() {
    if Database::postgres().await.is_some() {
        filters_mean_the_same(async || Database::postgres().await.unwrap()).await;
    }
}

/// What happens to a list between two of its pages.
#[derive(Debug, Clone)]
enum Act {
    Create(Value),
    Delete(Index),
    /// Changes what no list is sorted or filtered by.
    Touch(Index),
    /// Changes what lists are sorted and filtered by.
    Move(Index, Value),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => attributes().prop_map(Act::Create),
        3 => any::<Index>().prop_map(Act::Delete),
        2 => any::<Index>().prop_map(Act::Touch),
        1 => (any::<Index>(), attributes()).prop_map(|(index, value)| Act::Move(index, value)),
    ]
}

/// The list under change, and what is known of its people.
struct Stage<'a> {
    bridge: &'a TestBridge,
    okta: Actor,
    living: Vec<String>,
    moved: BTreeSet<String>,
    number: usize,
    /// Whether whoever is touched changes place.
    by_time: bool,
}

impl Stage<'_> {
    async fn create(&mut self, body: Value) {
        // Two servers give their ids in any order within a millisecond; here all are in order.
        self.bridge.clock.advance(SignedDuration::from_millis(1));
        self.number += 1;
        let name = format!("{}{}@x.example", WORDS[self.number % WORDS.len()], self.number);
        let body = named(body, &name, self.number);
        self.living.push(self.okta.create(&body).await["id"].as_str().unwrap().to_owned());
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Create(body) => self.create(body).await,
            Act::Delete(index) if !self.living.is_empty() => {
                let id = self.living.swap_remove(index.index(self.living.len()));
                assert_eq!(self.okta.delete(&format!("/Users/{id}")).await.status, 204);
            }
            Act::Touch(index) if !self.living.is_empty() => {
                let id = index.get(&self.living).clone();
                self.patch(&id, json!({"nickName": format!("n{}", self.number)})).await;
                if self.by_time {
                    self.moved.insert(id);
                }
            }
            Act::Move(index, value) if !self.living.is_empty() => {
                let id = index.get(&self.living).clone();
                self.number += 1;
                let name = format!("{}{}@x.example", WORDS[self.number % WORDS.len()], self.number);
                let value = named(value, &name, self.number);
                self.patch(&id, value).await;
                self.moved.insert(id);
            }
            Act::Delete(_) | Act::Touch(_) | Act::Move(..) => {}
        }
    }

    async fn patch(&mut self, id: &str, value: Value) {
        self.number += 1;
        self.bridge.clock.advance(SignedDuration::from_millis(1));
        let operations = json!([{"op": "replace", "value": value}]);
        self.okta.patch(&format!("/Users/{id}"), &operations).await.expect(200);
    }
}

/// Counts how often each id was seen.
fn tally(seen: &[String]) -> BTreeMap<&str, usize> {
    let mut tally = BTreeMap::new();
    for id in seen {
        *tally.entry(id.as_str()).or_default() += 1;
    }
    tally
}

/// A question for people and where it is put, to be asked page by page.
fn question(dice: &mut Dice, by_index: bool) -> (String, Value) {
    const CONDITIONS: [&str; 4] =
        ["id pr", "active eq true", "title co \"n\"", "userName sw \"a\" or emails.type eq \"work\""];
    const ORDERS: [&str; 9] = [
        "",
        "userName",
        "displayName",
        "externalId",
        "title",
        "emails",
        "active",
        "meta.created",
        "meta.lastModified",
    ];
    let (filter, sort) = (dice.draw(&select(&CONDITIONS[..])), dice.draw(&select(&ORDERS[..])));
    let order = dice.draw(&select(&["ascending", "descending"][..]));
    let path = dice.draw(&select(&["/Users", "/Users", ""][..]));
    let people = if path.is_empty() {
        format!("meta.resourceType eq \"User\" and ({filter})")
    } else {
        filter.to_owned()
    };
    let mut ask = json!({"filter": people, "attributes": ["id"], "count": dice.draw(&(1_usize..6))});
    if by_index {
        ask["startIndex"] = 1.into();
    } else {
        ask["cursor"] = "".into();
        ask["sortBy"] = sort.into();
        ask["sortOrder"] = order.into();
    }
    (format!("{path}/.search"), ask)
}

async fn pages_lose_nobody(database: impl AsyncFn() -> Database) {
    let mut dice = Dice::new();
    let bridge = TestBridge::builder().on(database().await).start().await;
    let mut stage = Stage {
        okta: bridge.okta(),
        bridge: &bridge,
        living: Vec::new(),
        moved: BTreeSet::new(),
        number: 0,
        by_time: false,
    };
    for walk in 0..WALKS {
        while stage.living.len() < 20 {
            let body = dice.draw(&attributes());
            stage.create(body).await;
        }
        // Every fourth list is turned by index in the order of making, which no one leaves and all join at the end.
        let by_index = walk % 4 == 3;
        let (search, mut ask) = question(&mut dice, by_index);
        stage.moved.clear();
        stage.by_time = ask["sortBy"] == "meta.lastModified";
        let whole = {
            let mut ask = ask.clone();
            for name in ["cursor", "startIndex"] {
                ask.as_object_mut().unwrap().remove(name);
            }
            ask["count"] = 200.into();
            ids(&stage.okta.post(&search, &ask).await.expect(200))
        };
        let told = ask.to_string();
        let mut seen = Vec::new();
        loop {
            let page = stage.okta.post(&search, &ask).await.expect(200);
            seen.extend(ids(&page));
            if by_index {
                if ids(&page).is_empty() {
                    break;
                }
                ask["startIndex"] = (seen.len() + 1).into();
            } else {
                let Some(next) = page.get("nextCursor") else { break };
                ask["cursor"] = next.clone();
            }
            for act in dice.draw(&vec(act(), 0..4)) {
                // Pages by index promise nothing when something before them goes; and a list that grows with each
                // page never ends.
                let is_fair = match act {
                    Act::Delete(_) | Act::Move(..) => !by_index,
                    Act::Create(_) => stage.living.len() < 40,
                    Act::Touch(_) => true,
                };
                if is_fair {
                    stage.act(act).await;
                }
            }
            assert!(seen.len() < 500, "{told} never ends");
        }
        let seen = tally(&seen);
        for id in &whole {
            if stage.living.contains(id) && !stage.moved.contains(id) {
                assert_eq!(seen.get(id.as_str()), Some(&1), "{told}: {id}");
            }
        }
        for (id, times) in seen {
            assert!(times == 1 || stage.moved.contains(id), "{told}: {id} was shown {times} times");
        }
    }
}

#[tokio::test]
async fn pages_of_a_list_that_changes_lose_and_repeat_nobody_on_sqlite() {
    pages_lose_nobody(async || Database::sqlite()).await;
}

#[tokio::test]
async fn pages_of_a_list_that_changes_lose_and_repeat_nobody_on_postgres() {
    if Database::postgres().await.is_some() {
        pages_lose_nobody(async || Database::postgres().await.unwrap()).await;
    }
}
