//! Who gets in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openai_scim_bridge::access::token;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::model::trust::Trust;
use serde_json::json;

use super::two_tenants;
use crate::harness::bridge::{STATIC_TOKEN, TestBridge};
use crate::harness::issuer::TestIssuer;
use crate::harness::program::{Running, fail, serving};

/// Everything that is served below a base path.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/Users"),
    ("POST", "/Users"),
    ("GET", "/Users/1"),
    ("PUT", "/Users/1"),
    ("PATCH", "/Users/1"),
    ("DELETE", "/Users/1"),
    ("POST", "/Users/.search"),
    ("GET", "/Groups"),
    ("POST", "/Groups"),
    ("GET", "/Groups/1"),
    ("PUT", "/Groups/1"),
    ("PATCH", "/Groups/1"),
    ("DELETE", "/Groups/1"),
    ("POST", "/Groups/.search"),
    ("GET", "/Roles"),
    ("GET", "/Roles/1"),
    ("GET", "/Entitlements"),
    ("GET", "/Entitlements/1"),
    ("GET", "/ServiceProviderConfig"),
    ("GET", "/ResourceTypes"),
    ("GET", "/ResourceTypes/User"),
    ("GET", "/Schemas"),
    ("GET", "/Schemas/1"),
    ("POST", "/Bulk"),
    ("GET", "/Me"),
    ("POST", "/.search"),
    ("GET", "/nothing"),
];

/// The paths under which the default tenant may be reached.
const BASES: &[&str] = &["/scim/v2", "/v1/scim/v2", "/tenants/default/scim/v2"];

/// R3, CVE-2026-32130 (ZITADEL): an encoded path went past authentication.
#[tokio::test]
async fn an_oddly_written_path_is_not_let_in_without_a_token() {
    let bridge = TestBridge::start().await;
    let id = bridge.okta().create_named("jane@x.example").await;
    let paths = [
        "/%55sers",
        "//Users",
        "/./Users",
        "/Users%2f",
        "/Users;x=1",
        "/Users/",
        "\\Users",
        "/Users%00",
        "/ServiceProviderConfig/..%2fUsers",
        "/ServiceProviderConfig/../Users",
    ];
    let paths =
        paths.map(str::to_owned).into_iter().chain([format!("/Users%2F{id}"), format!("/users/{id}")]);
    for path in paths {
        for base in BASES.iter().chain(&["", "//scim/v2", "/SCIM/v2", "/scim%2fv2", "/healthz/..%2fscim/v2"])
        {
            let answer = bridge.anonymous().at(base).get(&path).await;
            assert!(matches!(answer.status, 400 | 401 | 404), "{base}{path}: {answer:?}");
            assert!(!answer.body.contains("jane"), "{base}{path}");
        }
    }
}

/// R4, CVE-2025-4210 (Casdoor): the SCIM endpoints asked nobody for anything.
#[tokio::test]
async fn every_route_asks_for_a_token() {
    let bridge = TestBridge::start().await;
    for (method, path) in ROUTES {
        let answer = bridge.anonymous().at("/scim/v2").send(method, path, Some(b"{}")).await;
        answer.expect_error(401, None);
        assert!(answer.header("www-authenticate").is_some());
    }
}

/// R46, `MedTrack` 1484: the same routes under a second path had no guard.
#[tokio::test]
async fn every_alias_of_every_route_asks_for_a_token() {
    let bridge = two_tenants().await;
    for base in BASES.iter().chain(&["/tenants/acme/scim/v2", "/tenants/nobody/scim/v2"]) {
        for (method, path) in ROUTES {
            bridge.anonymous().at(base).send(method, path, Some(b"{}")).await.expect_error(401, None);
        }
    }
}

/// R5, `ToolJet` 16217: an empty token was equal to a secret that was never set.
#[tokio::test]
async fn an_empty_token_starts_nothing_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let told = fail(serving(folder.path(), nowhere).env("SCIM_BRIDGE_TOKEN", ""), 1);
    assert!(told.contains("SCIM_BRIDGE_TOKEN"), "{told}");

    // Without any token one is made, and nothing else opens.
    let mut command = serving(folder.path(), nowhere);
    let (running, address) = Running::serve(command.env_remove("SCIM_BRIDGE_TOKEN")).await;
    let ask = async |authorization: &str| {
        let request = format!(
            "GET /scim/v2/Users HTTP/1.1\r\nHost: b\r\nConnection: close\r\nAuthorization:{authorization}\r\n\r\n"
        );
        crate::harness::wire::exchange(address, request.as_bytes()).await.unwrap().status
    };
    for authorization in ["", " Bearer", " Bearer ", " Basic Og==", " Bearer null", " Bearer undefined"] {
        assert_eq!(ask(authorization).await, 401, "{authorization:?}");
    }
    let printed = crate::harness::program::PATIENCE;
    let token = tokio::time::timeout(printed, async {
        loop {
            if let Some((_, rest)) = running.stdout().split_once("Bearer token") {
                break rest.split_whitespace().next().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(ask(&format!(" Bearer {}", token.await.unwrap())).await, 200);
}

/// R6, WSO2-2020-0864: a fresh installation had a known password.
#[tokio::test]
async fn no_credential_that_somebody_could_know_opens_a_fresh_installation() {
    let bridge = TestBridge::start().await;
    let words = [
        "admin",
        "password",
        "changeme",
        "secret",
        "token",
        "test",
        "static",
        "default",
        "sk-admin-simulator",
    ];
    for word in words {
        let basic = STANDARD.encode(format!("admin:{word}"));
        for authorization in [format!("Bearer {word}"), word.to_owned(), format!("Basic {basic}")] {
            let actor = bridge.anonymous().at("/scim/v2").with_authorization(authorization);
            actor.get("/Users").await.expect_error(401, None);
        }
    }
}

/// R8, CVE-2026-45339: a second header was looked at for the token, and its limits were not.
#[tokio::test]
async fn a_token_is_looked_for_in_one_place_alone() {
    let bridge = TestBridge::start().await;
    let nobody = bridge.anonymous().at("/scim/v2");
    let names = [
        "X-Api-Key",
        "Api-Key",
        "X-Auth-Token",
        "Proxy-Authorization",
        "X-Authorization",
        "X-Forwarded-Authorization",
    ];
    for name in names {
        for value in [STATIC_TOKEN.to_owned(), format!("Bearer {STATIC_TOKEN}")] {
            nobody.clone().with(name, value).get("/Users").await.expect_error(401, None);
        }
    }
    for name in ["access_token", "token", "Authorization"] {
        let cookie = nobody.clone().with("Cookie", format!("{name}={STATIC_TOKEN}"));
        cookie.get("/Users").await.expect_error(401, None);
        nobody.get(&format!("/Users?{name}={STATIC_TOKEN}")).await.expect_error(401, None);
    }
    let form = format!("access_token={STATIC_TOKEN}");
    nobody.send("POST", "/Users", Some(form.as_bytes())).await.expect_error(401, None);
    let twice = bridge.okta().with("Authorization", format!("Bearer {STATIC_TOKEN}"));
    twice.get("/Users").await.expect_error(401, None);
}

/// R11, CVE-2026-35030 (LiteLLM): what was remembered of a token was its beginning.
#[tokio::test]
async fn a_token_counts_to_its_last_character() {
    let bridge = TestBridge::start().await;
    let (_, minted) = bridge.mint("default", None).await;
    for token in [STATIC_TOKEN, minted.as_str()] {
        let with =
            |text: String| bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {text}"));
        for keep in [8, 20, token.len() - 1] {
            with(token.to_owned()).get("/Users").await.expect(200);
            let start: String = token.chars().take(keep).collect();
            let same_start = format!("{start}{}x", "0".repeat(token.len() - keep - 1));
            for wrong in [start, same_start, format!("{token}0")] {
                with(wrong).get("/Users").await.expect_error(401, None);
            }
        }
    }
}

/// R12, CVE-2026-25537: a time of the wrong type was taken for one that is not there.
#[tokio::test]
async fn a_signed_token_with_a_time_that_is_a_text_is_refused() {
    let issuer = TestIssuer::start().await;
    let trust = Trust { issuers: vec![issuer.rules("scim")], ..Trust::default() };
    let bridge = TestBridge::builder().trust("default", trust).start().await;
    let good = issuer.claims("scim", &bridge.clock);
    let ask = async |claims: &serde_json::Value| {
        let token = issuer.key.sign(claims);
        let client = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
        client.get("/Users").await
    };
    ask(&good).await.expect(200);
    for name in ["exp", "nbf", "iat"] {
        let mut claims = good.clone();
        claims[name] = json!(good[name].to_string());
        ask(&claims).await.expect_error(401, None);
    }
}

/// R14, vouch 310 and 317: whose token it was, was thrown away.
#[tokio::test]
async fn a_token_of_one_tenant_finds_nothing_of_another() {
    let bridge = two_tenants().await;
    let (okta, acme) = (bridge.okta(), bridge.client_of("acme").await);
    let user = format!("/Users/{}", okta.create_named("jane@x.example").await);
    let group = okta.post("/Groups", &json!({"displayName": "Staff"})).await.expect(201);
    let group = super::path_of("/Groups", &group);
    for (path, body) in
        [(&user, json!({"userName": "jane@x.example"})), (&group, json!({"displayName": "Staff"}))]
    {
        let before = okta.get(path).await.expect(200);
        acme.get(path).await.expect_error(404, None);
        acme.put(path, &body).await.expect_error(404, None);
        acme.patch(path, &json!([{"op": "replace", "value": {"displayName": "X"}}]))
            .await
            .expect_error(404, None);
        acme.delete(path).await.expect_error(404, None);
        assert_eq!(okta.get(path).await.expect(200), before);
    }
    // The same token under the other's address, and the other way round.
    okta.clone().at("/tenants/acme/scim/v2").get("/Users").await.expect_error(401, None);
    acme.at("/scim/v2").get("/Users").await.expect_error(401, None);
}

/// R47, idenplane 946 and SAP scimono 192: blanks took a pattern matcher minutes; random bytes were not evenly so.
#[tokio::test]
async fn blanks_cost_nothing_and_tokens_are_evenly_random() {
    let bridge = TestBridge::start().await;
    let started = std::time::Instant::now();
    let blanks = "+".repeat(3_000);
    for filter in [
        format!("userName{blanks}eq+%22a%22"),
        format!("userName+eq+%22a%22{blanks}!"),
        format!("{blanks}userName+eq"),
    ] {
        let answer = bridge.okta().get(&format!("/Users?filter={filter}")).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    }
    // Generous: other tests run beside this one. A matcher that tries again at each blank takes far longer.
    assert!(started.elapsed() < std::time::Duration::from_secs(3));

    // 256 tokens of 64 hexadecimal digits. With 15 degrees of freedom 50 is passed once in 100,000 runs.
    let clock = openai_scim_bridge::clock::Clock::system();
    let mut digits = [0_u32; 16];
    for _ in 0..256 {
        let tenant = "default".parse().unwrap();
        let (text, _) = token::mint(&clock, tenant, String::new(), Scopes::admin(), None);
        let secret = secrecy::ExposeSecret::expose_secret(&text).split('_').nth(2).unwrap().to_owned();
        for digit in secret.chars() {
            digits[usize::try_from(digit.to_digit(16).unwrap()).unwrap()] += 1;
        }
    }
    let expected = f64::from(digits.iter().sum::<u32>()) / 16.0;
    let chi: f64 = digits.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    assert!(chi < 50.0, "{chi} of {digits:?}");
}

/// R9, CVE-2025-10149 (WSO2): the same user name in two directories was one user.
#[tokio::test]
async fn the_same_name_in_two_tenants_is_two_people() {
    let bridge = two_tenants().await;
    let (okta, acme) = (bridge.okta(), bridge.client_of("acme").await);
    let ours = okta.create_named("jane@x.example").await;
    let theirs = acme.create_named("jane@x.example").await;
    assert_ne!(ours, theirs);
    acme.get(&format!("/Users/{ours}")).await.expect_error(404, None);
    acme.delete(&format!("/Users/{theirs}")).await.expect(204);
    okta.get(&format!("/Users/{ours}")).await.expect(200);
    assert_eq!(acme.find("userName eq \"jane@x.example\"").await.expect(200)["totalResults"], 0);
}

/// R18, Cogtrix 303: a conflict told who else had the name.
#[tokio::test]
async fn nobody_learns_of_another_tenants_names_by_a_conflict() {
    let bridge = two_tenants().await;
    let mut jane = crate::harness::bridge::user("jane@x.example");
    jane["externalId"] = json!("00u1");
    bridge.okta().create(&jane).await;
    bridge.okta().post("/Groups", &json!({"displayName": "Staff"})).await.expect(201);
    let acme = bridge.client_of("acme").await;
    acme.create(&jane).await;
    acme.post("/Groups", &json!({"displayName": "Staff"})).await.expect(201);
    acme.post("/Users", &jane).await.expect_error(409, Some("uniqueness"));
}

/// R24, Keycloak 50985 and 50986: a filter told of members that the caller may not see.
#[tokio::test]
async fn a_filter_by_anothers_ids_finds_nobody() {
    let bridge = two_tenants().await;
    let (okta, acme) = (bridge.okta(), bridge.client_of("acme").await);
    let jane = okta.create_named("jane@x.example").await;
    let staff = okta.post("/Groups", &json!({"displayName": "Staff", "members": [{"value": jane}]})).await;
    let staff = staff.expect(201)["id"].as_str().unwrap().to_owned();
    acme.create_named("john@x.example").await;
    acme.post("/Groups", &json!({"displayName": "Crew"})).await.expect(201);
    for (path, filter) in [
        ("/Groups", format!("members.value eq \"{jane}\"")),
        ("/Groups", format!("members[value eq \"{jane}\"]")),
        ("/Groups", format!("id eq \"{staff}\"")),
        ("/Users", format!("groups.value eq \"{staff}\"")),
        ("/Users", format!("groups[value eq \"{staff}\"]")),
        ("/Users", format!("id eq \"{jane}\"")),
    ] {
        let answer = acme.find_in(path, &filter).await;
        let shown = if answer.status == 200 { answer.json()["totalResults"].clone() } else { json!(0) };
        assert_eq!(shown, 0, "{filter}: {answer:?}");
    }
    acme.post("/Groups", &json!({"displayName": "Mixed", "members": [{"value": jane}]}))
        .await
        .expect_error(400, Some("invalidValue"));
}
