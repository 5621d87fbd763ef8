//! The listener itself: slow clients, many clients, odd bytes, and the end.

use std::time::Duration;

use openai_scim_bridge::http::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::bridge::{STATIC_TOKEN, TestBridge, user};
use crate::harness::wire::{exchange, parse};

/// Short enough for a test that has to see a limit take effect.
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let limits = Limits { header_read: SHORT, ..Limits::default() };
    let bridge = TestBridge::builder().limits(limits).start().await;
    for start in ["", "GET /scim/v2/Users HTTP/1.1\r\nHost: b\r\n"] {
        let mut stream = TcpStream::connect(bridge.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _reset = stream.read_to_end(&mut rest).await.is_err();
        assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    }
    bridge.anonymous().get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_connection_between_two_requests_is_closed_after_the_idle_limit() {
    let limits = Limits { idle: SHORT, ..Limits::default() };
    let bridge = TestBridge::builder().limits(limits).start().await;
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(parse(&read).status, 200);
}

#[tokio::test]
async fn one_connection_serves_many_requests_with_raw_quotation_marks() {
    let bridge = TestBridge::start().await;
    bridge.okta().create_named("jane@x.example").await;
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    let head = format!("HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {STATIC_TOKEN}\r\n");
    let find = format!(
        "GET /scim/v2/Users?filter=userName+eq+\"jane@x.example\"&attributes=id {head}If-None-Match: W/\"9\"\r\n\r\n"
    );
    let body = json!({"userName": "jane@x.example", "title": "\"quoted\""}).to_string();
    let post = format!("POST /scim/v2/Users {head}Content-Length: {}\r\n\r\n{body}", body.len());
    for (request, status) in [(&find, 200), (&post, 409), (&find, 200), (&find, 200)] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!(parse(&answer).status, status, "{request}");
        assert!(status != 200 || String::from_utf8_lossy(&answer).contains("\"totalResults\":1"));
    }
}

/// Reads one answer with a `Content-Length` and leaves the connection open.
async fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert_ne!(count, 0, "the connection was closed: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..count]);
        if !read.windows(4).any(|window| window == b"\r\n\r\n") {
            continue;
        }
        let answer = parse(&read);
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        if answer.body.len() == length {
            return read;
        }
    }
}

#[tokio::test]
async fn bytes_after_an_unread_body_are_no_second_request() {
    let bridge = TestBridge::start().await;
    let hidden = "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n";
    let request = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: {}\r\n\r\n\"\"\"{hidden}",
        hidden.len() + 3
    );
    let answer = exchange(bridge.address, request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 401);
    assert!(!answer.body.contains("HTTP/1.1"));
}

#[tokio::test]
async fn contradictory_framing_gets_one_answer_at_most() {
    let bridge = TestBridge::start().await;
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let request = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nConnection: close\r\n{headers}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n"
        );
        if let Some(answer) = exchange(bridge.address, request.as_bytes()).await {
            assert!(matches!(answer.status, 400 | 401), "{headers}: {answer:?}");
            assert!(!answer.body.contains("HTTP/1.1"), "{headers}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = Limits { connections: 1, header_read: SHORT, ..Limits::default() };
    let bridge = TestBridge::builder().limits(limits).start().await;
    let _stuck = TcpStream::connect(bridge.address).await.unwrap();
    bridge.anonymous().get("/healthz").await.expect(200);
}

#[tokio::test]
async fn the_end_takes_no_more_connections_and_finishes_answers() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let answers = (0..8).map(|number| {
        let okta = okta.clone();
        tokio::spawn(async move { okta.post("/Users", &user(&format!("u{number}@x.example"))).await.status })
    });
    let answers: Vec<_> = answers.collect();
    for answer in answers {
        assert_eq!(answer.await.unwrap(), 201);
    }
    let idle = TcpStream::connect(bridge.address).await.unwrap();
    bridge.stop.cancel();
    bridge.served.await.unwrap();
    drop(idle);
    assert!(TcpStream::connect(bridge.address).await.is_err());
}
