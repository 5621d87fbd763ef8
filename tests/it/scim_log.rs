//! The log: one line for each request that reads alone, and nothing in it that is secret or personal.

use std::cell::RefCell;
use std::io::{self, Write};

use serde_json::json;
use tracing_subscriber::util::SubscriberInitExt;

use crate::harness::bridge::{STATIC_TOKEN, TestBridge, user};

thread_local! {
    /// What was logged on this thread. A test's runtime has one thread, so the log of its bridge is all here, and
    /// that of other tests is not.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_one_line_without_query_body_address_or_token() {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).without_time();
    subscriber.with_writer(|| Log).finish().init();
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let mut jane = user("jane.secret@x.example");
    jane["password"] = json!("1mz050nq");
    let created = okta.create(&jane).await;
    let id = created["id"].as_str().unwrap().to_owned();
    let read = okta.get(&format!("/Users/{id}?attributes=userName")).await;
    okta.find("userName eq \"jane.secret@x.example\"").await.expect(200);
    okta.post("/Users", &jane).await.expect_error(409, Some("uniqueness"));
    bridge
        .anonymous()
        .with_authorization("Bearer wr0ng-t0ken")
        .get("/scim/v2/Users")
        .await
        .expect_error(401, None);

    let log = String::from_utf8(LOG.take()).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("http.route")).collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for part in [
        "GET /scim/v2/Users/{id} answered 200",
        read.header("x-request-id").unwrap(),
        "http.status=200",
        "tenant=\"default\"",
        "token.id=\"static\"",
        "duration_ms=",
    ] {
        assert!(lines[1].contains(part), "{part} is not in {}", lines[1]);
    }
    for line in log.lines() {
        for hidden in ["secret", "x.example", "1mz050nq", STATIC_TOKEN, "wr0ng", "filter", "attributes", &id]
        {
            assert!(!line.contains(hidden), "{hidden} is in {line}");
        }
    }
}
