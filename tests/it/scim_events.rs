//! Events of what was written, told to receivers that poll, and requests that are answered later.

use jiff::SignedDuration;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::provision::handle::{Handle, Message, Settlement};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::harness::bridge::{AUDIENCE, Actor, TestBridge, user};
use crate::harness::wire::Answer;

pub(crate) const CREATE: &str = "urn:ietf:params:scim:event:prov:create:notice";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:event:prov:patch:notice";
const PUT: &str = "urn:ietf:params:scim:event:prov:put:notice";
const ACTIVATE: &str = "urn:ietf:params:scim:event:prov:activate";
const DEACTIVATE: &str = "urn:ietf:params:scim:event:prov:deactivate";
const DELETE: &str = "urn:ietf:params:scim:event:prov:delete";
const ASYNC: &str = "urn:ietf:params:scim:event:misc:asyncresp";

async fn bridge() -> TestBridge {
    TestBridge::builder().feed("default").start().await
}

/// A bridge whose engine is the test.
async fn bridge_with_engine() -> (TestBridge, mpsc::UnboundedReceiver<Message>) {
    let (handle, mut inboxes) = Handle::new([TenantId::default_tenant()]);
    let bridge = TestBridge::builder().feed("default").engine(handle).start().await;
    (bridge, inboxes.pop().unwrap().1)
}

async fn asked_to_settle(
    inbox: &mut mpsc::UnboundedReceiver<Message>,
) -> (PersonId, oneshot::Sender<Settlement>) {
    loop {
        if let Message::Settle(person, reply) = inbox.recv().await.unwrap() {
            return (person, reply);
        }
    }
}

/// The claims of a token, checked with the published key.
pub(crate) async fn verified(bridge: &TestBridge, token: &str) -> Value {
    let keys = bridge.anonymous().get("/.well-known/jwks.json").await;
    assert_eq!(keys.header("content-type"), Some("application/jwk-set+json"));
    let keys: JwkSet = serde_json::from_value(keys.expect(200)).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("secevent+jwt"));
    let key = keys.find(&header.kid.unwrap()).expect("the key is published");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[AUDIENCE]);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    jsonwebtoken::decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

/// The claims of what a poll brings.
async fn poll(bridge: &TestBridge, actor: &Actor, body: &Value) -> Vec<Value> {
    let answer = actor.post("/Events", body).await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let mut events = Vec::new();
    for (id, token) in answer.expect(200)["sets"].as_object().unwrap() {
        let claims = verified(bridge, token.as_str().unwrap()).await;
        assert_eq!(&claims["jti"], id);
        events.push(claims);
    }
    events
}

/// What is there now.
async fn events(bridge: &TestBridge) -> Vec<Value> {
    poll(bridge, &bridge.okta(), &json!({ "returnImmediately": true })).await
}

/// The URIs of an event.
fn uris(claims: &Value) -> Vec<&str> {
    claims["events"].as_object().unwrap().keys().map(String::as_str).collect()
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["jti"].as_str().unwrap()).collect()
}

/// Somebody who would rather be answered later.
fn patient(bridge: &TestBridge) -> Actor {
    bridge.okta().with("Prefer", "respond-async")
}

/// Checks that the answer comes later, and tells where.
#[track_caller]
fn deferred(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body, "");
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let txn = answer.header("set-txn").expect("a transaction");
    assert_eq!(answer.header("x-request-id"), Some(txn));
    let location = answer.header("location").unwrap();
    assert_eq!(location, format!("https://scim.example.com/scim/v2/Transactions/{txn}"));
    format!("/Transactions/{txn}")
}

/// The outcome, once it is there.
async fn outcome(actor: &Actor, path: &str) -> Value {
    loop {
        let answer = actor.get(path).await;
        if answer.status != 202 {
            return answer.expect(200);
        }
        assert_eq!((answer.header("retry-after"), &*answer.body), (Some("5"), ""));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_feed_nothing_is_offered_and_every_answer_is_at_once() {
    let bridge = TestBridge::builder().tenant("acme").feed("acme").start().await;
    let config = bridge.okta().get("/ServiceProviderConfig").await.expect(200);
    assert_eq!(config.get("securityEvents"), None);
    let answer = patient(&bridge).post("/Users", &user("jane@x.example")).await;
    assert_eq!(answer.header("set-txn"), None);
    answer.expect(201);
    assert!(bridge.okta().post("/Events", &json!({})).await.expect_error(501, None).contains("[events]"));
    bridge.okta().get("/Transactions/1").await.expect_error(501, None);

    let bridge = TestBridge::start().await;
    bridge.anonymous().get("/.well-known/jwks.json").await.expect_error(404, None);
}

#[tokio::test]
async fn the_service_provider_config_names_what_is_told() {
    let bridge = bridge().await;
    let config = bridge.okta().get("/ServiceProviderConfig").await.expect(200);
    let uris = [CREATE, PATCH, PUT, DELETE, ACTIVATE, DEACTIVATE, ASYNC];
    assert_eq!(config["securityEvents"], json!({ "asyncRequest": "request", "eventUris": uris }));
}

#[tokio::test]
async fn a_life_is_told_in_order_and_without_anything_personal() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    let mut body = user("jane@x.example");
    body["externalId"] = "jane.roe".into();
    body["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] = json!({ "department": "Legal" });
    let id = okta.create(&body).await["id"].as_str().unwrap().to_owned();
    let path = format!("/Users/{id}");
    okta.patch(&path, &json!([{ "op": "replace", "path": "name.familyName", "value": "Roe" }]))
        .await
        .expect(200);
    okta.patch(&path, &json!([{ "op": "replace", "value": { "active": false } }])).await.expect(200);
    body["title"] = "Counsel".into();
    body["name"]["familyName"] = "Roe".into();
    okta.put(&path, &body).await.expect(200);
    okta.delete(&path).await.expect(204);

    let told = events(&bridge).await;
    let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
    let expected = [
        json!({ CREATE: {
            "attributes": ["id", "userName", "name", "emails", "active", "externalId", department],
            "version": "W/\"1\"",
        } }),
        json!({ PATCH: { "attributes": ["name.familyName"], "version": "W/\"2\"" } }),
        json!({ PATCH: { "attributes": ["active"], "version": "W/\"3\"" }, DEACTIVATE: {} }),
        json!({ PUT: { "attributes": ["active", "title"], "version": "W/\"4\"" }, ACTIVATE: {} }),
        json!({ DELETE: {} }),
    ];
    for (event, expected) in told.iter().zip(&expected) {
        let mut expected = expected.clone();
        if let Some(payload) = expected.get_mut(CREATE) {
            // The order of the names is the order of the request's own.
            payload["attributes"] = event["events"][CREATE]["attributes"].clone();
            let mut names: Vec<_> = payload["attributes"].as_array().unwrap().clone();
            names.sort_by_key(ToString::to_string);
            let all = json!(["active", "emails", "externalId", "id", "name", department, "userName"]);
            assert_eq!(Value::from(names), all);
        }
        assert_eq!(event["events"], expected);
        assert_eq!(event["sub_id"], json!({ "format": "scim", "uri": path }));
        assert_eq!(event["iss"], "https://scim.example.com/scim/v2");
        assert_eq!(event["iat"], bridge.clock.now().as_second());
        let text = event.to_string().to_lowercase();
        for personal in ["jane", "roe", "x.example", "legal", "counsel"] {
            assert!(!text.contains(personal), "{personal} is in {text}");
        }
    }
    assert_eq!(told.len(), expected.len());
}

#[tokio::test]
async fn a_group_is_told_of_like_a_user_and_names_no_member() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    let jane = okta.create_named("jane@x.example").await;
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Layoffs",
        "members": [{ "value": jane }],
    });
    let id = okta.post("/Groups", &group).await.expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/Groups/{id}");
    let leave = json!([{ "op": "remove", "path": format!("members[value eq \"{jane}\"]") }]);
    okta.patch(&path, &leave).await;
    okta.patch(&path, &leave).await;
    let mut renamed = group.clone();
    renamed["displayName"] = "Restructuring".into();
    okta.put(&path, &renamed).await.expect(200);
    okta.delete(&path).await.expect(204);

    let told = events(&bridge).await.split_off(1);
    let expected = [
        json!({ CREATE: { "attributes": ["id", "displayName", "members"], "version": "W/\"1\"" } }),
        json!({ PATCH: { "attributes": ["members"], "version": "W/\"2\"" } }),
        json!({ PUT: { "attributes": ["displayName", "members"], "version": "W/\"3\"" } }),
        json!({ DELETE: {} }),
    ];
    assert_eq!(told.iter().map(|event| event["events"].clone()).collect::<Vec<_>>(), expected);
    for event in &told {
        assert_eq!(event["sub_id"]["uri"], path);
        assert!(!event.to_string().contains(&jane) && !event.to_string().contains("Layoffs"));
    }
}

#[tokio::test]
async fn what_changes_nothing_and_what_is_refused_is_not_told() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    let before = events(&bridge).await;
    okta.patch(&path, &json!([{ "op": "replace", "path": "active", "value": true }])).await.expect(200);
    okta.post("/Users", &user("jane@x.example")).await.expect_error(409, Some("uniqueness"));
    okta.patch(&path, &json!([{ "op": "replace", "path": "userName", "value": "" }])).await.expect(400);
    okta.delete("/Users/nobody").await.expect_error(404, None);
    let stale = okta.with("If-Match", "W/\"9\"");
    stale.delete(&path).await.expect_error(412, None);
    assert_eq!(ids(&events(&bridge).await), ids(&before));
    assert_eq!(before.len(), 1);
}

#[tokio::test]
async fn whoever_is_parked_and_created_again_is_told_of_as_changed_and_activated() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    let id = okta.create_named("jane@x.example").await;
    okta.patch(&format!("/Users/{id}"), &json!([{ "op": "replace", "path": "active", "value": false }]))
        .await
        .expect(200);
    okta.create_named("jane@x.example").await;
    let told = events(&bridge).await;
    assert_eq!(
        told.iter().map(uris).collect::<Vec<_>>(),
        [vec![CREATE], vec![PATCH, DEACTIVATE], vec![PUT, ACTIVATE]]
    );
    assert_eq!(told[2]["sub_id"]["uri"], format!("/Users/{id}"));
}

#[tokio::test]
async fn events_come_again_until_they_are_acknowledged() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    for name in ["a@x.example", "b@x.example", "c@x.example"] {
        okta.create_named(name).await;
    }
    let all = events(&bridge).await;
    let all = ids(&all);
    let first = okta.post("/Events", &json!({ "maxEvents": 2 })).await.expect(200);
    assert_eq!(first["sets"].as_object().unwrap().keys().collect::<Vec<_>>(), all[..2]);
    assert_eq!(first["moreAvailable"], true);
    // Not a word about them: they come again.
    assert_eq!(ids(&events(&bridge).await), all);

    // The second one out of turn; what is acknowledged twice, or is no event, does no harm.
    let only_acknowledge = json!({ "ack": [all[1], "who", all[1]], "maxEvents": 0 });
    assert_eq!(okta.post("/Events", &only_acknowledge).await.expect(200), json!({ "sets": {} }));
    assert_eq!(ids(&events(&bridge).await), [all[0], all[2]]);

    let refuse = json!({
        "setErrs": { all[0]: { "err": "invalid_audience", "description": "not for us" } },
        "returnImmediately": true,
    });
    assert_eq!(ids(&poll(&bridge, &okta, &refuse).await), [all[2]]);
    let rest = json!({ "ack": [all[2]], "returnImmediately": true });
    assert_eq!(okta.post("/Events", &rest).await.expect(200), json!({ "sets": {} }));
}

#[tokio::test]
async fn a_receiver_that_waits_is_woken_by_the_next_event_and_let_go_in_time() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    let waiting = tokio::spawn({
        let okta = okta.clone();
        async move { okta.post("/Events", &json!({})).await.expect(200) }
    });
    let id = okta.create_named("jane@x.example").await;
    let sets = waiting.await.unwrap();
    let token = sets["sets"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    let event = verified(&bridge, &token).await;
    assert_eq!(event["sub_id"]["uri"], format!("/Users/{id}"));

    let mut waiting = tokio::spawn({
        let (okta, body) = (okta.clone(), json!({ "ack": [event["jti"]] }));
        async move { okta.post("/Events", &body).await.expect(200) }
    });
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut waiting => break answer.unwrap(),
            () = tokio::task::yield_now() => bridge.clock.advance(SignedDuration::from_secs(1)),
        }
    };
    assert_eq!(answer, json!({ "sets": {} }));
}

#[tokio::test]
async fn a_malformed_poll_is_refused_and_nothing_is_acknowledged() {
    let bridge = bridge().await;
    let okta = bridge.okta();
    okta.create_named("jane@x.example").await;
    let told = events(&bridge).await;
    for body in [json!([]), json!({ "ack": ids(&told), "maxEvents": "1" }), json!({ "setErrs": { "x": 1 } })]
    {
        assert_eq!(okta.post("/Events", &body).await.status, 400, "{body}");
    }
    assert_eq!(ids(&events(&bridge).await), ids(&told));
    okta.get("/Events").await.expect_error(405, None);
    bridge.anonymous().post("/scim/v2/Events", &json!({})).await.expect_error(401, None);
}

#[tokio::test]
async fn a_tenant_gets_its_own_events_and_outcomes_alone() {
    let bridge = TestBridge::builder().tenant("acme").feed("default").feed("acme").start().await;
    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().at("/tenants/acme/scim/v2").with_authorization(token);
    bridge.okta().create_named("jane@x.example").await;
    let id = acme.create_named("jane@x.example").await;
    let ours = events(&bridge).await;
    let body = json!({ "ack": ids(&ours), "returnImmediately": true });
    let theirs = poll(&bridge, &acme, &body).await;
    assert_eq!((ours.len(), theirs.len()), (1, 1));
    assert_eq!(theirs[0]["sub_id"]["uri"], format!("/Users/{id}"));
    assert_eq!(theirs[0]["iss"], "https://scim.example.com/tenants/acme/scim/v2");
    // Acme's acknowledgement of our event did nothing.
    assert_eq!(ids(&events(&bridge).await), ids(&ours));

    let path = deferred(&patient(&bridge).post("/Users", &user("joe@x.example")).await);
    outcome(&bridge.okta(), &path).await;
    acme.get(&path).await.expect_error(404, None);
    bridge.anonymous().get(&format!("/scim/v2{path}")).await.expect_error(401, None);
}

#[tokio::test]
async fn a_create_is_answered_at_once_and_its_outcome_when_openai_has_spoken() {
    let (bridge, mut inbox) = bridge_with_engine().await;
    let path = deferred(&patient(&bridge).post("/Users", &user("jane@x.example")).await);
    let (person, reply) = asked_to_settle(&mut inbox).await;
    // It is stored, and the outcome is open.
    bridge.okta().get(&format!("/Users/{person}")).await.expect(200);
    assert_eq!(bridge.okta().get(&path).await.status, 202);
    assert_eq!(events(&bridge).await.iter().map(uris).collect::<Vec<_>>(), [[CREATE]]);

    reply.send(Settlement::Settled).unwrap();
    let operation = outcome(&bridge.okta(), &path).await;
    let location = format!("https://scim.example.com/scim/v2/Users/{person}");
    let expected = json!({ "method": "POST", "location": location, "version": "W/\"1\"", "status": "201" });
    assert_eq!(operation, expected);
    let told = events(&bridge).await;
    assert_eq!(told.iter().map(uris).collect::<Vec<_>>(), [[CREATE], [ASYNC]]);
    assert_eq!(told[1]["events"][ASYNC], expected);
    assert_eq!(told[0]["txn"], told[1]["txn"]);
    assert_eq!(path, format!("/Transactions/{}", told[1]["txn"].as_str().unwrap()));

    // The token itself, for a client that does not insist on JSON.
    let token = bridge.entra().get(&path).await;
    assert_eq!(token.header("content-type"), Some("application/secevent+jwt"));
    assert_eq!(verified(&bridge, &token.body).await, told[1]);
}

#[tokio::test]
async fn a_create_that_openai_refuses_is_undone_and_its_outcome_says_why_to_the_client_alone() {
    let (bridge, mut inbox) = bridge_with_engine().await;
    let path = deferred(&patient(&bridge).post("/Users", &user("jane@x.example")).await);
    let (person, reply) = asked_to_settle(&mut inbox).await;
    reply.send(Settlement::Refused("jane@x.example is banned".to_owned())).unwrap();
    let operation = outcome(&bridge.okta(), &path).await;
    assert_eq!((&operation["method"], &operation["status"]), (&json!("POST"), &json!("400")));
    assert_eq!(operation["response"]["scimType"], "invalidValue");
    assert!(operation["response"]["detail"].as_str().unwrap().contains("jane@x.example is banned"));
    bridge.okta().get(&format!("/Users/{person}")).await.expect_error(404, None);

    let told = events(&bridge).await;
    let mut all: Vec<_> = told.iter().flat_map(uris).collect();
    all.sort_unstable();
    let mut expected = [CREATE, DELETE, ASYNC];
    expected.sort_unstable();
    assert_eq!(all, expected);
    assert_eq!(uris(&told[0]), [CREATE]);
    let answer = told.iter().find(|event| uris(event) == [ASYNC]).unwrap();
    assert_eq!(answer["events"][ASYNC]["response"]["status"], "400");
    assert!(!told.iter().any(|event| event.to_string().contains("jane")), "{told:?}");
}

#[tokio::test]
async fn changes_and_deletions_are_answered_later_too() {
    let bridge = bridge().await;
    let (okta, patient) = (bridge.okta(), patient(&bridge));
    let id = okta.create_named("jane@x.example").await;
    let path = format!("/Users/{id}");
    let location = format!("https://scim.example.com/scim/v2{path}");
    let mut body = user("jane@x.example");
    body["title"] = "Counsel".into();

    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "title", "value": "Clerk" }],
    });
    for (method, body, version) in [
        ("PATCH", &patch, "W/\"2\""),
        // Nothing changes, and the client wants to know all the same.
        ("PATCH", &patch, "W/\"2\""),
        ("PUT", &body, "W/\"3\""),
    ] {
        let answer = patient.send(method, &path, Some(body.to_string().as_bytes())).await;
        let operation = outcome(&okta, &deferred(&answer)).await;
        let expected = json!({ "method": method, "location": location, "version": version, "status": "200" });
        assert_eq!(operation, expected);
    }
    let operation = outcome(&okta, &deferred(&patient.delete(&path).await)).await;
    assert_eq!(operation, json!({ "method": "DELETE", "status": "204" }));
    okta.get(&path).await.expect_error(404, None);
    let told = events(&bridge).await;
    let all: Vec<_> = told.iter().flat_map(uris).collect();
    assert_eq!(all, [CREATE, PATCH, ASYNC, ASYNC, PUT, ASYNC, DELETE, ASYNC]);
}

#[tokio::test]
async fn writes_of_groups_are_answered_later_too() {
    let bridge = bridge().await;
    let (okta, patient) = (bridge.okta(), patient(&bridge));
    let jane = okta.create_named("jane@x.example").await;
    let group = json!({ "displayName": "Staff", "members": [{ "value": jane }] });
    let created = outcome(&okta, &deferred(&patient.post("/Groups", &group).await)).await;
    let location = created["location"].as_str().unwrap().to_owned();
    let path = location.strip_prefix("https://scim.example.com/scim/v2").unwrap();
    let outcome_of = |method: &str, version: &str, status: &str| json!({ "method": method, "location": location, "version": version, "status": status });
    assert_eq!(created, outcome_of("POST", "W/\"1\"", "201"));
    assert_eq!(okta.get(path).await.expect(200)["members"][0]["value"], jane);

    let leave = json!([{ "op": "remove", "path": "members" }]);
    for _ in 0..2 {
        let answer = outcome(&okta, &deferred(&patient.patch(path, &leave).await)).await;
        assert_eq!(answer, outcome_of("PATCH", "W/\"2\"", "200"));
    }
    let answer = outcome(&okta, &deferred(&patient.put(path, &group).await)).await;
    assert_eq!(answer, outcome_of("PUT", "W/\"3\"", "200"));
    patient.post("/Groups", &group).await.expect_error(409, Some("uniqueness"));
    let answer = outcome(&okta, &deferred(&patient.delete(path).await)).await;
    assert_eq!(answer, json!({ "method": "DELETE", "status": "204" }));
    okta.get(path).await.expect_error(404, None);
    let told = events(&bridge).await.split_off(1);
    let all: Vec<_> = told.iter().flat_map(uris).collect();
    assert_eq!(all, [CREATE, ASYNC, PATCH, ASYNC, ASYNC, PUT, ASYNC, DELETE, ASYNC]);
    assert!(told.iter().all(|event| event["sub_id"]["uri"] == path));
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_at_once_however_patient_the_client() {
    let bridge = bridge().await;
    let patient = patient(&bridge);
    let id = bridge.okta().create_named("jane@x.example").await;
    patient.post("/Users", &json!({})).await.expect(400);
    patient.post("/Users", &user("jane@x.example")).await.expect_error(409, Some("uniqueness"));
    patient.patch("/Users/nobody", &json!([{ "op": "add", "value": { "title": "x" } }])).await.expect(404);
    patient.with("If-Match", "W/\"9\"").delete(&format!("/Users/{id}")).await.expect_error(412, None);
    assert_eq!(events(&bridge).await.len(), 1);
}

#[tokio::test]
async fn a_client_that_would_wait_a_little_is_answered_if_that_is_enough() {
    let (bridge, mut inbox) = bridge_with_engine().await;
    let client = bridge.okta().with("Prefer", "respond-async, wait=2");
    let asked = tokio::spawn(async move { client.post("/Users", &user("jane@x.example")).await });
    let (_, reply) = asked_to_settle(&mut inbox).await;
    reply.send(Settlement::Settled).unwrap();
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.header("set-txn")), (201, None));
    let txn = answer.header("x-request-id").unwrap();
    bridge.okta().get(&format!("/Transactions/{txn}")).await.expect_error(404, None);
    assert_eq!(events(&bridge).await.iter().map(uris).collect::<Vec<_>>(), [[CREATE]]);
}

#[tokio::test]
async fn events_and_open_outcomes_survive_a_restart() {
    let (bridge, mut inbox) = bridge_with_engine().await;
    let path = deferred(&patient(&bridge).post("/Users", &user("jane@x.example")).await);
    let (person, reply) = asked_to_settle(&mut inbox).await;
    let before = events(&bridge).await;
    let (database, keys) = bridge.leave().await;
    // Whoever waited for the engine has gone with the process.
    let bridge = TestBridge::builder().feed("default").start_on(database, keys).await;
    assert_eq!(events(&bridge).await, before);
    assert_eq!(bridge.okta().get(&path).await.status, 202);

    let stop = CancellationToken::new();
    bridge.clock.advance(SignedDuration::from_secs(61));
    let tending = tokio::spawn(bridge.directory.clone().tend_feeds(stop.clone()));
    let operation = outcome(&bridge.okta(), &path).await;
    let location = format!("https://scim.example.com/scim/v2/Users/{person}");
    let expected = json!({ "method": "POST", "location": location, "version": "W/\"1\"", "status": "201" });
    assert_eq!(operation, expected);
    stop.cancel();
    tending.await.unwrap();
    assert_eq!(events(&bridge).await.len(), 2);
    drop(reply);
}

#[tokio::test]
async fn what_nobody_fetches_is_forgotten_after_a_week() {
    let bridge = bridge().await;
    let path = deferred(&patient(&bridge).post("/Users", &user("jane@x.example")).await);
    outcome(&bridge.okta(), &path).await;
    let tenant = TenantId::default_tenant();
    let feed = bridge.feed.clone().unwrap();
    bridge.clock.advance(SignedDuration::from_hours(7 * 24));
    feed.forget_old(&tenant).await.unwrap();
    assert_eq!(events(&bridge).await.len(), 2);
    bridge.clock.advance(SignedDuration::from_secs(1));
    bridge.okta().create_named("joe@x.example").await;
    feed.forget_old(&tenant).await.unwrap();
    assert_eq!(events(&bridge).await.len(), 1);
    bridge.okta().get(&path).await.expect_error(404, None);
}
