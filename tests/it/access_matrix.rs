//! Every route under every base path, with every kind of credential: who gets in, and how far.
//!
//! The routes come from the router. One that has no row here fails [`every_route_has_a_row`]; a row is one line.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openai_scim_bridge::access::{client, token};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::http;
use openai_scim_bridge::model::scope::{Scope, Scopes};
use openai_scim_bridge::model::token::TokenRecord;
use openai_scim_bridge::model::trust::Trust;
use openai_scim_bridge::store::StoreError;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::harness::bridge::{Actor, PUBLIC_URL, STATIC_TOKEN, TestBridge, user};
use crate::harness::issuer::{TestIssuer, TestKey, forged};

/// What a caller needs beside a good credential: all of it.
type Need = &'static [Scope];

/// Behind the door: method, path below a base path, what is needed, and the answer to who has it. `{id}` stands for an
/// id that nobody has, and bodies are empty objects, so that no row changes anything. No tenant has an event feed. `*`
/// is every method.
const ROWS: &[(&str, &str, Need, u16)] = &[
    ("GET", "/Users", &[Scope::UsersRead], 200),
    ("POST", "/Users", &[Scope::UsersWrite], 400),
    ("GET", "/Users/{id}", &[Scope::UsersRead], 404),
    ("PUT", "/Users/{id}", &[Scope::UsersWrite], 400),
    ("PATCH", "/Users/{id}", &[Scope::UsersWrite], 400),
    ("DELETE", "/Users/{id}", &[Scope::UsersWrite], 404),
    ("GET", "/Groups", &[Scope::GroupsRead], 200),
    ("POST", "/Groups", &[Scope::GroupsWrite], 400),
    ("GET", "/Groups/{id}", &[Scope::GroupsRead], 404),
    ("PUT", "/Groups/{id}", &[Scope::GroupsWrite], 400),
    ("PATCH", "/Groups/{id}", &[Scope::GroupsWrite], 400),
    ("DELETE", "/Groups/{id}", &[Scope::GroupsWrite], 404),
    ("GET", "/Roles", &[Scope::UsersRead], 200),
    ("GET", "/Roles/{id}", &[Scope::UsersRead], 404),
    ("GET", "/Entitlements", &[Scope::UsersRead], 200),
    ("GET", "/Entitlements/{id}", &[Scope::UsersRead], 404),
    ("GET", "/ServiceProviderConfig", &[], 200),
    ("GET", "/ResourceTypes", &[], 200),
    ("GET", "/ResourceTypes/{name}", &[], 404),
    ("GET", "/Schemas", &[], 200),
    ("GET", "/Schemas/{urn}", &[], 404),
    ("POST", "/Events", &[Scope::EventsRead], 501),
    // The request that is asked about decides what is needed.
    ("GET", "/Transactions/{txn}", &[], 501),
    // What each operation of a bulk request needs, is asked for each of them.
    ("POST", "/Bulk", &[], 400),
    ("*", "/Me", &[], 501),
    ("GET", "/", &[Scope::UsersRead, Scope::GroupsRead], 200),
    ("POST", "/.search", &[Scope::UsersRead, Scope::GroupsRead], 200),
    ("POST", "/Users/.search", &[Scope::UsersRead], 200),
    ("POST", "/Groups/.search", &[Scope::GroupsRead], 200),
    ("POST", "/Roles/.search", &[Scope::UsersRead], 200),
    ("POST", "/Entitlements/.search", &[Scope::UsersRead], 200),
];

/// Open to all: method, path, and the answer, which is the same with every credential.
const OPEN: &[(&str, &str, u16)] = &[
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/metrics", 200),
    ("GET", "/.well-known/jwks.json", 200),
    ("GET", "/.well-known/oauth-authorization-server", 200),
    // Clients prove themselves in the form, which is not there.
    ("POST", "/oauth/token", 400),
    ("POST", "/oauth/revoke", 400),
];

/// The base paths, with the tenant that each is of.
const BASES: [(&str, &str); 3] =
    [("/scim/v2", "default"), ("/v1/scim/v2", "default"), ("/tenants/{tenant}/scim/v2", "acme")];

/// An id that nobody has.
const NOBODY: &str = "0191e5a0-0000-7000-8000-000000000000";

/// A kind of credential, and what its holder may do; `None` is somebody who is nobody.
struct Principal {
    name: &'static str,
    client: Actor,
    query: String,
    scopes: Option<Scopes>,
}

impl Principal {
    fn new(name: &'static str, client: Actor, scopes: Option<Scopes>) -> Self {
        Self { name, client, query: String::new(), scopes }
    }
}

fn concrete(path: &str) -> String {
    ["{id}", "{name}", "{urn}", "{txn}"].iter().fold(path.to_owned(), |path, name| path.replace(name, NOBODY))
}

fn scopes(text: &str) -> Scopes {
    text.parse().unwrap()
}

async fn start(issuer: &TestIssuer) -> TestBridge {
    let mut builder = TestBridge::builder().tenant("acme");
    for tenant in ["default", "acme"] {
        let trust = Trust { oauth: true, issuers: vec![issuer.rules(tenant)], ..Trust::default() };
        builder = builder.trust(tenant, trust);
    }
    builder.start().await
}

async fn keep_token(bridge: &TestBridge, record: TokenRecord) {
    let kept: Result<(), StoreError> = bridge
        .store
        .write(move |tx| {
            let record = record.clone();
            Box::pin(async move { tx.insert_token(&record).await })
        })
        .await;
    kept.unwrap();
}

/// An access token of a new client.
async fn access_token(bridge: &TestBridge, tenant: &str, scopes: &str) -> (String, String, String) {
    let scopes = self::scopes(scopes);
    let (secret, record) =
        client::with_secret(&bridge.clock, tenant.parse().unwrap(), "matrix".to_owned(), scopes);
    let (id, stored) = (record.id.clone(), record);
    let kept: Result<(), StoreError> = bridge
        .store
        .write(move |tx| {
            let record = stored.clone();
            Box::pin(async move { tx.insert_client(&record).await })
        })
        .await;
    kept.unwrap();
    let secret = secret.expose_secret().to_owned();
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let client = bridge.anonymous().with_content_type("application/x-www-form-urlencoded");
    let answer = client.send("POST", "/oauth/token", Some(form.as_bytes())).await.expect(200);
    (answer["access_token"].as_str().unwrap().to_owned(), id, secret)
}

/// Every kind of credential that somebody may show to `tenant`.
async fn principals(bridge: &TestBridge, issuer: &TestIssuer, tenant: &str) -> Vec<Principal> {
    let mut all = welcome(bridge, issuer, tenant).await;
    all.extend(strangers(bridge, tenant).await);
    let forgeries = forgeries(issuer, tenant, &bridge.clock).into_iter();
    all.extend(forgeries.map(|(name, token)| Principal::new(name, bearer(bridge, &token), None)));
    all
}

fn bearer(bridge: &TestBridge, token: &str) -> Actor {
    bridge.anonymous().with_authorization(format!("Bearer {token}"))
}

/// Makes a token of a tenant that may do everything, changed by `change` before it is kept.
async fn kept(
    bridge: &TestBridge,
    tenant: &str,
    change: impl FnOnce(TokenRecord) -> TokenRecord,
) -> (String, TokenRecord) {
    let tenant = tenant.parse().unwrap();
    let (text, record) = token::mint(&bridge.clock, tenant, "matrix".to_owned(), Scopes::admin(), None);
    let record = change(record);
    keep_token(bridge, record.clone()).await;
    (text.expose_secret().to_owned(), record)
}

/// Those who may come in.
async fn welcome(bridge: &TestBridge, issuer: &TestIssuer, tenant: &str) -> Vec<Principal> {
    let mut all = Vec::new();
    for (name, words) in [
        ("admin", "admin"),
        ("provisioning", "users:read users:write groups:read groups:write"),
        ("users only", "users:read users:write"),
        ("groups only", "groups:read groups:write"),
        ("read only", "users:read groups:read"),
        ("write only", "users:write groups:write"),
        ("events only", "events:read"),
    ] {
        let (text, record) =
            kept(bridge, tenant, |record| TokenRecord { scopes: scopes(words), ..record }).await;
        all.push(Principal::new(name, bearer(bridge, &text), Some(record.scopes)));
    }
    let mut add = |name, client, scopes| all.push(Principal::new(name, client, Some(scopes)));
    let (old, record) = kept(bridge, tenant, |record| record).await;
    let (new, _) = kept(bridge, tenant, |new| TokenRecord { replaces: Some(record.id.clone()), ..new }).await;
    add("being exchanged, the old one", bearer(bridge, &old), Scopes::admin());
    add("being exchanged, the new one", bearer(bridge, &new), Scopes::admin());
    add("bare", bridge.anonymous().with_authorization(&new), Scopes::admin());
    let signed = issuer.key.sign(&issuer.claims(tenant, &bridge.clock));
    add("JWT", bearer(bridge, &signed), Scopes::provisioning());
    let (access, ..) = access_token(bridge, tenant, "users:read").await;
    add("access token", bearer(bridge, &access), scopes("users:read"));
    all
}

/// Those who may not, with credentials that are not signed by somebody else.
async fn strangers(bridge: &TestBridge, tenant: &str) -> Vec<Principal> {
    let other = other_than(tenant);
    let now = bridge.clock.now();
    let nobody = bridge.anonymous();
    let (good, _) = kept(bridge, tenant, |record| record).await;
    let (unknown, _) =
        token::mint(&bridge.clock, tenant.parse().unwrap(), "matrix".to_owned(), Scopes::admin(), None);
    let (changed, _) = kept(bridge, tenant, |record| TokenRecord { secret_hash: [7; 32], ..record }).await;
    let (expired, _) = kept(bridge, tenant, |record| TokenRecord { expires_at: Some(now), ..record }).await;
    let (revoked, _) = kept(bridge, tenant, |record| TokenRecord { revoked_at: Some(now), ..record }).await;
    let (foreign, _) = kept(bridge, other, |record| record).await;
    let (foreign_access, ..) = access_token(bridge, other, "admin").await;
    let (revoked_access, client_id, client_secret) = access_token(bridge, tenant, "admin").await;
    let form = format!("token={revoked_access}&client_id={client_id}&client_secret={client_secret}");
    let client = nobody.clone().with_content_type("application/x-www-form-urlencoded");
    client.send("POST", "/oauth/revoke", Some(form.as_bytes())).await.expect(200);

    let with = |name, value: &str| nobody.clone().with(name, value);
    let authorization = |value: &str| with("Authorization", value);
    let basic = format!("Basic {}", STANDARD.encode(format!("idp:{good}")));
    let twice = bearer(bridge, &good).with("Authorization", format!("Bearer {good}"));
    let mut all: Vec<_> = [
        ("none", nobody.clone()),
        ("empty", authorization("")),
        ("empty bearer", authorization("Bearer ")),
        ("malformed", bearer(bridge, "letmein")),
        ("unknown", bearer(bridge, unknown.expose_secret())),
        ("another secret", bearer(bridge, &changed)),
        ("expired", bearer(bridge, &expired)),
        ("revoked", bearer(bridge, &revoked)),
        ("of another tenant", bearer(bridge, &foreign)),
        ("cut short", bearer(bridge, cut(&good, 1))),
        ("Basic where it is not allowed", authorization(&basic)),
        ("another scheme", authorization(&format!("Token {good}"))),
        ("two headers", twice),
        ("in another header", with("X-Api-Key", &good)),
        ("in a cookie", with("Cookie", &format!("access_token={good}"))),
        ("a client's secret", bearer(bridge, &client_secret)),
        ("a client's name", bearer(bridge, &client_id)),
        ("access token of another tenant", bearer(bridge, &foreign_access)),
        ("access token that was revoked", bearer(bridge, &revoked_access)),
    ]
    .into_iter()
    .map(|(name, client)| Principal::new(name, client, None))
    .collect();
    if tenant != "default" {
        all.push(Principal::new("of the settings of another tenant", bearer(bridge, STATIC_TOKEN), None));
    }
    let query = format!("?access_token={good}");
    all.push(Principal { query, ..Principal::new("in the query", nobody, None) });
    all
}

/// Signed tokens that are not what they should be.
fn forgeries(issuer: &TestIssuer, tenant: &str, clock: &Clock) -> Vec<(&'static str, String)> {
    let key = &issuer.key;
    let good = issuer.claims(tenant, clock);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.sign(&claims)
    };
    let header = |change: &dyn Fn(&mut Header)| {
        let mut header = key.header();
        change(&mut header);
        key.sign_with(&header, &good)
    };
    let hmac = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
    let public = key.public().to_string();
    let hmac = jsonwebtoken::encode(&hmac, &good, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let now = clock.now().as_second();
    vec![
        ("JWT of another tenant", key.sign(&issuer.claims(other_than(tenant), clock))),
        ("JWT with none", forged(&json!({ "alg": "none", "typ": "JWT" }), &good, b"")),
        ("JWT by HMAC with the public key", hmac),
        ("JWT by another key", TestKey::new(&key.id).sign(&good)),
        ("JWT by an unknown key", TestKey::new("stranger").sign(&good)),
        ("JWT cut short", cut(&key.sign(&good), 2).to_owned()),
        ("JWT that expired", with("exp", json!(now - 61))),
        ("JWT of the future", with("nbf", json!(now + 120))),
        ("JWT without exp", with("exp", Value::Null)),
        ("JWT with exp as a text", with("exp", json!((now + 60).to_string()))),
        ("JWT for another audience", with("aud", json!("somebody"))),
        ("JWT of another issuer", with("iss", json!("https://idp.example.com"))),
        ("JWT of another client", with("appid", json!("somebody"))),
        ("JWT that is an event", header(&|header| header.typ = Some("secevent+jwt".to_owned()))),
        ("JWT with jku", header(&|header| header.jku = Some(format!("{}/keys", issuer.url)))),
        ("JWT with crit", header(&|header| header.crit = Some(vec!["b64".to_owned()]))),
        ("JWT that claims to be ours", with("iss", json!(PUBLIC_URL))),
    ]
}

fn other_than(tenant: &str) -> &'static str {
    if tenant == "default" { "acme" } else { "default" }
}

/// An ASCII text without its last characters.
fn cut(text: &str, characters: usize) -> &str {
    text.get(..text.len() - characters).unwrap()
}

/// Which methods a path serves, as the router says: `Allow` of the answer to a method that nobody serves, or `*`.
async fn methods(client: &Actor, path: &str) -> BTreeSet<String> {
    let answer = client.send("BREW", path, None).await;
    if answer.status != 405 {
        return BTreeSet::from(["*".to_owned()]);
    }
    answer.header("allow").unwrap().split(',').map(|method| method.trim().to_owned()).collect()
}

#[tokio::test]
async fn every_route_has_a_row() {
    let issuer = TestIssuer::start().await;
    let bridge = start(&issuer).await;
    let (_, token) = bridge.mint("acme", None).await;
    let acme = bridge.anonymous().with_authorization(format!("Bearer {token}"));
    let mut served = BTreeSet::new();
    for path in http::paths() {
        let concrete = concrete(&path.replace("{tenant}", "acme"));
        let client = if path.starts_with("/tenants") { acme.clone() } else { bridge.okta().at("") };
        for method in methods(&client, &concrete).await {
            // What GET serves, HEAD serves without the body.
            if method != "HEAD" {
                served.insert((method, path.clone()));
            }
        }
    }
    let behind = ROWS.iter().flat_map(|(method, path, ..)| {
        BASES.iter().map(move |(base, _)| ((*method).to_owned(), format!("{base}{path}")))
    });
    let open = OPEN.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    let rows: BTreeSet<_> = behind.chain(open).collect();
    let (without, stale): (Vec<_>, Vec<_>) =
        (served.difference(&rows).collect(), rows.difference(&served).collect());
    assert!(without.is_empty(), "routes without a row: {without:#?}");
    assert!(stale.is_empty(), "rows without a route: {stale:#?}");
}

#[tokio::test]
async fn every_credential_gets_exactly_as_far_as_it_should_on_every_route() {
    let issuer = TestIssuer::start().await;
    let bridge = start(&issuer).await;
    let mut kinds = BTreeMap::new();
    for tenant in ["default", "acme"] {
        kinds.insert(tenant, principals(&bridge, &issuer, tenant).await);
    }
    // The last second in which a record may be remembered as it was passes.
    bridge.clock.advance(SignedDuration::from_secs(1));
    let mut cells = 0;
    for (base, tenant) in BASES {
        let base = base.replace("{tenant}", tenant);
        // An alias leads to the same door; a few show that it does.
        let is_alias = base.starts_with("/v1");
        let few = ["admin", "read only", "none", "unknown", "of another tenant", "JWT with none"];
        for principal in kinds[tenant].iter().filter(|kind| !is_alias || few.contains(&kind.name)) {
            let client = principal.client.clone().at(&base);
            let mut asked = Vec::new();
            for (method, path, need, granted) in ROWS {
                let methods: &[&str] = match *method {
                    "*" => &["GET", "POST", "PUT", "PATCH", "DELETE"],
                    "GET" => &["GET", "HEAD"],
                    _ => &[*method],
                };
                let expected = match &principal.scopes {
                    None => 401,
                    Some(scopes) if !need.iter().all(|need| scopes.allow(*need)) => 403,
                    Some(_) => *granted,
                };
                asked.extend(methods.iter().map(|method| (*method, path, expected)));
            }
            cells += asked.len();
            let answers = join_all(asked.iter().map(|(method, path, _)| {
                let path = format!("{}{}", concrete(path), principal.query);
                let body: Option<&[u8]> = matches!(*method, "POST" | "PUT" | "PATCH").then_some(b"{}");
                let client = &client;
                async move { client.send(method, &path, body).await }
            }))
            .await;
            let mut refusals = BTreeSet::new();
            for ((method, path, expected), answer) in asked.iter().zip(answers) {
                let cell = format!("{method} {base}{path} with a credential that is {}", principal.name);
                assert_eq!(answer.status, *expected, "{cell}: {}", answer.body);
                if *expected == 401 {
                    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"SCIM\""), "{cell}");
                    refusals.extend((*method != "HEAD").then_some(answer.body));
                }
            }
            assert!(refusals.len() <= 1, "{} tells routes apart: {refusals:#?}", principal.name);
        }
    }
    for (method, path, expected) in OPEN {
        for principal in &kinds["default"] {
            let answer = principal.client.clone().at("").send(method, path, None).await;
            assert_eq!(answer.status, *expected, "{method} {path} with {}", principal.name);
            cells += 1;
        }
    }
    assert!(cells >= 4_800, "{cells} cells");
}

/// Requests that name somebody: method, path, body. `{user}` and `{group}` stand for ids.
fn probes() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let patch = |operations: Value| {
        Some(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        }))
    };
    let bulk = |method: &str, path: &str, data: &Value| {
        Some(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [{ "method": method, "path": path, "bulkId": "1", "data": data }],
        }))
    };
    let search = |filter: &str| {
        Some(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": filter,
        }))
    };
    let members = json!([{ "value": "{user}" }]);
    let deactivate = json!({ "op": "replace", "value": { "active": false } });
    let add = json!({ "op": "add", "path": "members", "value": members });
    let group = |members: Value| {
        Some(json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": "Probe",
            "members": members,
        }))
    };
    let mut probes = Vec::new();
    for id in ["/Users/{user}", "/Users/{group}", "/Groups/{group}", "/Groups/{user}"] {
        probes.push(("GET", id, None));
        probes.push(("DELETE", id, None));
        probes.push(("PUT", id, Some(user("probe@x.example"))));
        probes.push(("PUT", id, group(json!([]))));
        probes.push(("PATCH", id, patch(json!([deactivate]))));
        probes.push(("PATCH", id, patch(json!([{ "op": "replace", "value": { "displayName": "X" } }]))));
        probes.push(("PATCH", id, patch(json!([add]))));
    }
    probes.extend([
        ("PUT", "/Groups/{group}", group(members.clone())),
        (
            "PATCH",
            "/Groups/{group}",
            patch(json!([{ "op": "remove", "path": "members[value eq \"{user}\"]" }])),
        ),
        ("PATCH", "/Groups/{group}", patch(json!([{ "op": "remove", "path": "members" }]))),
        ("GET", "/Users?filter=id%20eq%20%22{user}%22", None),
        ("GET", "/Users?filter=id%20eq%20%22{user}%22%20or%20id%20eq%20%22{group}%22", None),
        ("GET", "/Users?filter=groups.value%20eq%20%22{group}%22", None),
        ("GET", "/Groups?filter=id%20eq%20%22{group}%22", None),
        ("GET", "/Groups?filter=members.value%20eq%20%22{user}%22", None),
        ("GET", "/Groups?filter=members[value%20eq%20%22{user}%22]", None),
        ("GET", "/Transactions/{user}", None),
        ("POST", "/Bulk", bulk("DELETE", "/Users/{user}", &Value::Null)),
        ("POST", "/Bulk", bulk("DELETE", "/Groups/{group}", &Value::Null)),
        ("POST", "/Bulk", bulk("PUT", "/Users/{user}", &user("probe@x.example"))),
        ("POST", "/Bulk", bulk("PATCH", "/Users/{user}", &patch(json!([deactivate])).unwrap())),
        ("POST", "/Bulk", bulk("PATCH", "/Groups/{group}", &patch(json!([add])).unwrap())),
        ("POST", "/Bulk", bulk("PUT", "/Groups/{group}", &group(members.clone()).unwrap())),
        ("POST", "/Bulk", bulk("POST", "/Groups", &group(members.clone()).unwrap())),
        ("POST", "/.search", search("id eq \"{user}\" or id eq \"{group}\"")),
        ("POST", "/Users/.search", search("groups.value eq \"{group}\"")),
        ("POST", "/Groups/.search", search("members[value eq \"{user}\"]")),
        ("GET", "/?filter=id%20eq%20%22{user}%22", None),
        ("GET", "/Users/{user}/", None),
        ("GET", "/Users/{user}?attributes=userName", None),
        ("GET", "/Groups/{group}?excludedAttributes=members", None),
    ]);
    probes
}

/// The text with ids put in, or taken out.
fn fill(text: &str, user: &str, group: &str) -> String {
    text.replace("{user}", user).replace("{group}", group)
}

#[tokio::test]
async fn somebody_elses_ids_are_like_ids_that_nobody_has() {
    const NO_GROUP: &str = "0191e5a0-0000-7000-8000-000000000001";
    let bridge = TestBridge::builder().tenant("acme").feed("default").feed("acme").start().await;
    let clients = [bridge.client_of("default").await, bridge.client_of("acme").await];
    let mut owned = Vec::new();
    for client in &clients {
        let user_id = client.create_named("jane@x.example").await;
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": "Research",
            "members": [{ "value": user_id }],
        });
        let group = client.post("/Groups", &body).await.expect(201);
        owned.push((user_id, group["id"].as_str().unwrap().to_owned()));
    }
    let mut count = 0;
    for (client, (user_id, group_id)) in [(&clients[0], &owned[1]), (&clients[1], &owned[0])] {
        for if_match in [None, Some("*"), Some("W/\"1\"")] {
            for (method, path, body) in probes() {
                let client = match if_match {
                    Some(value) => client.clone().with("If-Match", value),
                    None => client.clone(),
                };
                let ask = async |user: &str, group: &str| {
                    let body = body.as_ref().map(|body| fill(&body.to_string(), user, group));
                    let path = fill(path, user, group);
                    let answer = client.send(method, &path, body.as_deref().map(str::as_bytes)).await;
                    (answer.status, answer.body.replace(user, "{user}").replace(group, "{group}"))
                };
                let foreign = ask(user_id, group_id).await;
                let unknown = ask(NOBODY, NO_GROUP).await;
                assert_eq!(foreign, unknown, "{method} {path} {body:?} {if_match:?}");
                assert!(
                    foreign.0 == 404 || foreign.0 == 400 || foreign.0 == 200,
                    "{method} {path}: {foreign:?}"
                );
                count += 1;
            }
        }
    }
    for (client, (user_id, group_id)) in clients.iter().zip(&owned) {
        let shown = client.get(&format!("/Users/{user_id}")).await.expect(200);
        assert_eq!((&shown["active"], &shown["meta"]["version"]), (&json!(true), &json!("W/\"1\"")));
        let group = client.get(&format!("/Groups/{group_id}")).await.expect(200);
        assert_eq!(group["members"][0]["value"], json!(user_id));
        assert_eq!(group["meta"]["version"], "W/\"1\"");
    }
    assert!(count >= 300, "{count} probes");
}
