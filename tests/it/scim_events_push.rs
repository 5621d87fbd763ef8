//! Events told to a receiver that is called.

use openai_scim_bridge::events::push::{Courier, Receiver as Address};
use openai_scim_bridge::ids::TenantId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::bridge::TestBridge;
use crate::harness::receiver::{Call, Receiver};
use crate::scim_events::{CREATE, PATCH, verified};

/// A courier at work.
struct AtWork {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl AtWork {
    fn on(bridge: &TestBridge, receiver: &Receiver) -> Self {
        let address = Address { url: receiver.url(), token: Some("receiver-secret".into()) };
        let feed = bridge.feed.clone().unwrap();
        let courier = Courier::new(feed, TenantId::default_tenant(), address).unwrap();
        let stop = CancellationToken::new();
        Self { stop: stop.clone(), task: tokio::spawn(courier.run(stop)) }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn bridge() -> TestBridge {
    TestBridge::builder().feed("default").start().await
}

async fn claims(bridge: &TestBridge, call: &Call) -> Value {
    verified(bridge, &call.body).await
}

#[tokio::test]
async fn events_are_pushed_one_after_the_other_and_signed() {
    let (bridge, receiver) = (bridge().await, Receiver::start().await);
    let courier = AtWork::on(&bridge, &receiver);
    let id = bridge.okta().create_named("jane@x.example").await;
    let path = format!("/Users/{id}");
    let title = json!([{ "op": "add", "path": "title", "value": "Counsel" }]);
    bridge.okta().patch(&path, &title).await.expect(200);

    for uri in [CREATE, PATCH] {
        let call = receiver.next().await;
        assert_eq!(call.line, "POST /events?stream=1 HTTP/1.1");
        assert_eq!(call.headers["content-type"], "application/secevent+jwt");
        assert_eq!(call.headers["accept"], "application/json");
        assert_eq!(call.headers["authorization"], "Bearer receiver-secret");
        let claims = claims(&bridge, &call).await;
        assert_eq!(claims["sub_id"]["uri"], path);
        assert!(claims["events"].get(uri).is_some(), "{claims}");
        call.accept().await;
    }
    courier.end().await;
    // Polling keeps an account of its own.
    let polled = bridge.okta().post("/Events", &json!({})).await.expect(200);
    assert_eq!(polled["sets"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn what_fails_is_pushed_again_and_nothing_overtakes_it() {
    let (bridge, receiver) = (bridge().await, Receiver::start().await);
    for name in ["a@x.example", "b@x.example"] {
        bridge.okta().create_named(name).await;
    }
    let courier = AtWork::on(&bridge, &receiver);
    let first = receiver.next().await;
    let id = claims(&bridge, &first).await["jti"].clone();
    first.answer(503, &[("retry-after", "30")], "").await;
    let elsewhere = format!("{}", receiver.url());
    for (status, headers, body) in [
        (500, vec![], "not JSON"),
        (307, vec![("location", elsewhere.as_str())], ""),
        (401, vec![], "{}"),
        (400, vec![], r#"{"err":"invalid_audience","description":"not for us"}"#),
        (400, vec![], r#"{"err":"authentication_failed"}"#),
        (404, vec![], ""),
    ] {
        let call = receiver.next_in_time(&bridge.clock).await;
        assert_eq!(claims(&bridge, &call).await["jti"], id, "{status}");
        call.answer(status, &headers, body).await;
    }
    let call = receiver.next_in_time(&bridge.clock).await;
    assert_eq!(claims(&bridge, &call).await["jti"], id);
    call.accept().await;
    let second = receiver.next().await;
    assert_ne!(claims(&bridge, &second).await["jti"], id);
    second.accept().await;
    courier.end().await;
}

#[tokio::test]
async fn a_pause_is_kept_as_long_as_the_receiver_asks() {
    let (bridge, receiver) = (bridge().await, Receiver::start().await);
    bridge.okta().create_named("jane@x.example").await;
    let courier = AtWork::on(&bridge, &receiver);
    let start = bridge.clock.now();
    receiver.next().await.answer(429, &[("retry-after", "1800")], "").await;
    receiver.next_in_time(&bridge.clock).await.accept().await;
    assert!(bridge.clock.now().duration_since(start).as_secs() >= 1_800);
    courier.end().await;
}

#[tokio::test]
async fn a_token_that_is_called_malformed_again_and_again_does_not_block_the_others() {
    let (bridge, receiver) = (bridge().await, Receiver::start().await);
    for name in ["a@x.example", "b@x.example"] {
        bridge.okta().create_named(name).await;
    }
    let courier = AtWork::on(&bridge, &receiver);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let call = receiver.next_in_time(&bridge.clock).await;
        seen.push(claims(&bridge, &call).await["jti"].clone());
        call.answer(400, &[], r#"{"err":"invalid_request"}"#).await;
    }
    assert!(seen.iter().all(|id| *id == seen[0]));
    let call = receiver.next().await;
    assert_ne!(claims(&bridge, &call).await["jti"], seen[0]);
    call.accept().await;
    courier.end().await;
}

#[tokio::test]
async fn after_a_restart_it_goes_on_with_what_has_not_arrived() {
    let (bridge, receiver) = (bridge().await, Receiver::start().await);
    for name in ["a@x.example", "b@x.example"] {
        bridge.okta().create_named(name).await;
    }
    let courier = AtWork::on(&bridge, &receiver);
    receiver.next().await.accept().await;
    let call = receiver.next().await;
    let unanswered = claims(&bridge, &call).await;
    courier.end().await;
    drop(call);

    let (database, keys) = bridge.leave().await;
    let bridge = TestBridge::builder().feed("default").start_on(database, keys).await;
    let courier = AtWork::on(&bridge, &receiver);
    let call = receiver.next().await;
    assert_eq!(claims(&bridge, &call).await, unanswered);
    call.accept().await;
    bridge.okta().create_named("c@x.example").await;
    let third = receiver.next().await;
    assert_ne!(claims(&bridge, &third).await["jti"], unanswered["jti"]);
    third.accept().await;
    courier.end().await;
}
