//! What stands before the door besides a token: addresses, proxies, and how much may be asked.

use jiff::SignedDuration;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::config::{NetworkRules, Rate};
use openai_scim_bridge::http::{Gate, Limits};
use openai_scim_bridge::ids::TenantId;
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::bridge::{Actor, STATIC_TOKEN, TestBridge, user};
use crate::harness::database::Database;
use crate::harness::trail::trail_of_default;
use crate::harness::wire::parse;

/// A bridge whose default tenant has these rules, behind these proxies.
async fn behind(rules: NetworkRules, proxies: &[&str], failed_logins: u32) -> TestBridge {
    let database = Database::sqlite();
    let gate = gate(database.clock.clone(), &rules, proxies, failed_logins);
    TestBridge::builder().tenant("acme").gate(gate).on(database).start().await
}

fn gate(clock: Clock, rules: &NetworkRules, proxies: &[&str], failed_logins: u32) -> Gate {
    let proxies = proxies.iter().map(|proxy| proxy.parse::<IpAddr>().unwrap().into()).collect();
    let gate = Gate::new(clock, proxies, failed_logins);
    gate.take_on(TenantId::default_tenant(), rules).unwrap();
    gate
}

fn only_from(network: &str) -> NetworkRules {
    NetworkRules { allow_from: vec![network.parse().unwrap()], ..NetworkRules::default() }
}

fn through(actor: &Actor, forwarded: &str) -> Actor {
    actor.clone().with("X-Forwarded-For", forwarded)
}

#[tokio::test]
async fn a_good_token_from_elsewhere_is_refused_like_a_bad_one() {
    let bridge = behind(only_from("203.0.113.0/24"), &[], 1_000).await;
    let refused = bridge.okta().get("/Users").await;
    let detail = refused.expect_error(401, None);
    let stranger = bridge.okta().with_authorization("Bearer nothing-that-was-ever-made").get("/Users").await;
    assert_eq!(stranger.expect_error(401, None), detail, "nobody learns that the token was good");
    assert_eq!(refused.header("www-authenticate"), stranger.header("www-authenticate"));
    bridge.client_of("acme").await.get("/Users").await.expect(200);
    let near = behind(only_from("127.0.0.0/8"), &[], 1_000).await;
    near.okta().get("/Users").await.expect(200);
}

#[tokio::test]
async fn what_a_client_says_of_its_address_counts_only_from_a_trusted_proxy() {
    let rules = only_from("203.0.113.0/24");
    let direct = behind(rules.clone(), &[], 1_000).await;
    through(&direct.okta(), "203.0.113.7").get("/Users").await.expect_error(401, None);

    let bridge = behind(rules, &["127.0.0.1"], 1_000).await;
    let okta = bridge.okta();
    through(&okta, "203.0.113.7").get("/Users").await.expect(200);
    through(&okta, "198.51.100.1").get("/Users").await.expect_error(401, None);
    // The client wrote the left part itself.
    through(&okta, "203.0.113.7, 198.51.100.1").get("/Users").await.expect_error(401, None);
    through(&okta, "198.51.100.1, 203.0.113.7").get("/Users").await.expect(200);
    okta.get("/Users").await.expect_error(401, None);
}

#[tokio::test]
async fn one_token_too_busy_is_told_when_to_come_back_and_hinders_no_other() {
    let per_token = Rate { per_second: 1, burst: 5 };
    let bridge = behind(NetworkRules { per_token, ..NetworkRules::default() }, &[], 1_000).await;
    let (okta, other) = (bridge.okta(), bridge.client_of("default").await);
    for _ in 0..5 {
        okta.get("/Users").await.expect(200);
    }
    let refused = okta.post("/Users", &user("jane@x.example")).await;
    refused.expect_error(429, None);
    let wait: i64 = refused.header("retry-after").unwrap().parse().expect("whole seconds");
    other.get("/Users").await.expect(200);
    assert_eq!(
        other.find("userName pr").await.expect(200)["totalResults"],
        0,
        "what was refused changed nothing"
    );
    bridge.clock.advance(SignedDuration::from_secs(wait));
    okta.post("/Users", &user("jane@x.example")).await.expect(201);
}

#[tokio::test]
async fn what_the_gate_refuses_is_in_the_trail() {
    let per_token = Rate { per_second: 1, burst: 1 };
    let rules = NetworkRules { per_token, ..only_from("203.0.113.0/24") };
    let bridge = behind(rules, &["127.0.0.1"], 1_000).await;
    bridge.okta().get("/Users").await.expect_error(401, None);
    let near = through(&bridge.okta(), "203.0.113.7");
    near.get("/Users").await.expect(200);
    near.get("/Users").await.expect_error(429, None);
    bridge.door.refusals().settle(true).await;
    let trail = trail_of_default(&bridge.store).await;
    let refused = trail.iter().filter(|told| told.event == "access.refused");
    let reasons: Vec<_> = refused.map(|told| told.detail["reason"].clone()).collect();
    assert_eq!(reasons, ["address", "too many"]);
}

#[tokio::test]
async fn all_tokens_of_a_tenant_share_its_limit() {
    let per_tenant = Rate { per_second: 1, burst: 3 };
    let bridge = behind(NetworkRules { per_tenant, ..NetworkRules::default() }, &[], 1_000).await;
    let (okta, other) = (bridge.okta(), bridge.client_of("default").await);
    for actor in [&okta, &other, &okta] {
        actor.get("/Users").await.expect(200);
    }
    other.get("/Users").await.expect_error(429, None);
    bridge.client_of("acme").await.get("/Users").await.expect(200);
}

#[tokio::test]
async fn who_guesses_tokens_is_slowed_down_and_whoever_has_one_is_not() {
    let bridge = behind(NetworkRules::default(), &["127.0.0.1"], 3).await;
    let stranger = through(&bridge.okta().with_authorization("Bearer guess"), "198.51.100.1");
    for _ in 0..3 {
        stranger.get("/Users").await.expect_error(401, None);
    }
    let refused = stranger.get("/Users").await;
    let told = refused.expect_error(429, None);
    assert!(told.contains("check the token"), "{told}");
    assert_eq!(refused.header("retry-after"), Some("21"));
    through(&bridge.okta(), "198.51.100.1").get("/Users").await.expect(200);
    let another = through(&bridge.okta().with_authorization("Bearer guess"), "198.51.100.2");
    another.get("/Users").await.expect_error(401, None);
}

#[tokio::test]
async fn every_answer_forbids_what_no_client_needs() {
    let bridge = TestBridge::start().await;
    let cases = [
        bridge.okta().get("/Users").await,
        bridge.anonymous().get("/scim/v2/Users").await,
        bridge.anonymous().get("/healthz").await,
        bridge.anonymous().get("/nothing").await,
    ];
    for answer in cases {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        assert!(answer.header("x-request-id").is_some());
        assert_eq!(answer.header("server"), None);
    }
}

#[tokio::test]
async fn locations_come_from_the_settings_whatever_host_a_request_names() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta().with("X-Forwarded-Host", "evil.example").with("Forwarded", "host=evil.example");
    let created = okta.post("/Users", &user("jane@x.example")).await;
    assert!(created.header("location").unwrap().starts_with("https://scim.example.com/scim/v2/Users/"));
    let location = created.expect(201)["meta"]["location"].as_str().unwrap().to_owned();
    assert!(location.starts_with("https://scim.example.com/scim/v2/Users/"), "{location}");
}

/// A connection on which this was sent, and nothing more will be.
async fn stuck(bridge: &TestBridge, start: &str) -> TcpStream {
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    stream.write_all(start.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut() {
    let limits = Limits { body_read: Duration::from_millis(50), ..Limits::default() };
    let bridge = TestBridge::builder().limits(limits).start().await;
    let mut slow = stuck(
        &bridge,
        &format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {STATIC_TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
        ),
    )
    .await;
    let mut read = Vec::new();
    slow.read_to_end(&mut read).await.unwrap();
    assert_eq!(parse(&read).status, 400);
}

#[tokio::test]
async fn a_stranger_is_answered_and_cut_without_their_body_being_waited_for() {
    let bridge = TestBridge::start().await;
    let mut slow =
        stuck(&bridge, "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nContent-Length: 1000000\r\n\r\n{").await;
    let mut read = Vec::new();
    slow.read_to_end(&mut read).await.unwrap();
    assert_eq!(parse(&read).status, 401);
}

#[tokio::test]
async fn stuck_connections_and_a_flood_of_bad_tokens_keep_nobody_else_out() {
    let bridge = TestBridge::start().await;
    let body = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {STATIC_TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
    );
    let idle = "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n";
    let starts = ["", "GET /scim/v2/Us", "GET /healthz HTTP/1.1\r\nHost: b\r\nX: ", &*body, idle];
    let mut connections = Vec::new();
    for number in 0..200 {
        connections.push(stuck(&bridge, starts[number % starts.len()]).await);
    }
    let stranger = bridge.okta().with_authorization("Bearer guess");
    let flood = (0..100).map(|_| {
        let stranger = stranger.clone();
        tokio::spawn(async move { stranger.post("/Users", &json!({})).await.status })
    });
    let flood: Vec<_> = flood.collect();
    for number in 0..10 {
        bridge.okta().create_named(&format!("u{number}@x.example")).await;
    }
    for answer in flood {
        assert_eq!(answer.await.unwrap(), 401);
    }
    drop(connections);
}

#[tokio::test]
async fn whoever_guesses_is_kept_waiting_and_does_not_take_up_all_connections() {
    let database = Database::sqlite();
    // Nobody who waits is answered before the test is over.
    let gate = Gate::new(database.clock.clone(), Vec::new(), 1).with_pause(Duration::from_hours(1));
    let limits = Limits { connections: 200, ..Limits::default() };
    let bridge = TestBridge::builder().gate(gate).limits(limits).on(database).start().await;
    let stranger = bridge.okta().with_authorization("Bearer guess");
    stranger.get("/Users").await.expect_error(401, None);
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let stranger = stranger.clone();
        flood.spawn(async move { stranger.get("/Users").await.status });
    }
    for _ in 0..172 {
        assert_eq!(flood.join_next().await.unwrap().unwrap(), 429);
    }
    bridge.okta().create_named("jane@x.example").await;
    assert!(flood.try_join_next().is_none(), "128 wait");
}
