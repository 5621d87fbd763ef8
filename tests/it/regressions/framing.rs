//! How requests are cut out of bytes, and what they may cost.

use std::time::{Duration, Instant};

use openai_scim_bridge::http::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::bridge::{STATIC_TOKEN, TestBridge, user};

/// Far longer than an honest refusal takes, far shorter than a runaway one.
const SOON: Duration = Duration::from_secs(3);

/// Everything that comes back for these bytes.
async fn told(bridge: &TestBridge, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    // The other side may answer and close before it has read everything.
    let _cut = stream.write_all(bytes).await.is_err();
    let mut read = Vec::new();
    let _reset = stream.read_to_end(&mut read).await.is_err();
    String::from_utf8_lossy(&read).into_owned()
}

/// R48, the model of `SCIMple` (§8.7): nesting used up the stack.
#[tokio::test]
async fn what_is_nested_without_end_is_refused_at_once() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    let started = Instant::now();
    let many = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let body = format!("{{\"userName\":{}1{}}}", open.repeat(many), close.repeat(many));
        okta.send("POST", "/Users", Some(body.as_bytes())).await.expect_error(400, Some("invalidSyntax"));
    }
    for (open, close) in [("(", ")"), ("emails[", "]"), ("not (", ")")] {
        let deep = format!("{}title pr{}", open.repeat(500), close.repeat(500));
        okta.find(&deep).await.expect_error(400, Some("invalidFilter"));
        let deep = format!("{}title pr{}", open.repeat(many), close.repeat(many));
        let operations = json!([{"op": "remove", "path": format!("emails[{deep}]")}]);
        let answer = okta.patch(&path, &operations).await;
        assert!(matches!(answer.status, 400 | 413), "{}", answer.body);
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// R49, RUSTSEC-2022-0055 (axum-core): a body had no limit.
#[tokio::test]
async fn a_body_of_twenty_megabytes_is_not_read() {
    let bridge = TestBridge::start().await;
    let head = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nConnection: close\r\nAuthorization: Bearer {STATIC_TOKEN}\r\n\
         Content-Type: application/scim+json\r\n"
    );
    let large = vec![b' '; 20 * 1024 * 1024];
    let told_length = [format!("{head}Content-Length: {}\r\n\r\n", large.len()).as_bytes(), &large].concat();
    let started = Instant::now();
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    // What is not read cannot be sent: the write ends early, or never goes far.
    let (mut answer, mut first) = (String::new(), [0; 1024]);
    tokio::select! {
        _sent = writing.write_all(&told_length) => {}
        read = reading.read(&mut first) => {
            answer = String::from_utf8_lossy(&first[..read.unwrap_or(0)]).into_owned();
        }
    }
    if answer.is_empty() {
        let read = reading.read(&mut first).await.unwrap_or(0);
        answer = String::from_utf8_lossy(&first[..read]).into_owned();
    }
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let chunk = format!("{:x}\r\n{}\r\n", 1024 * 1024, " ".repeat(1024 * 1024)).repeat(3);
    let chunked =
        told(&bridge, format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n").as_bytes()).await;
    assert!(chunked.is_empty() || chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    assert!(started.elapsed() < 2 * SOON);
    assert_eq!(bridge.okta().get("/Users").await.expect(200)["totalResults"], 0);
}

/// R50, axum 2741 and vouch 1127: a limit on slow heads was set and never took effect.
#[tokio::test]
async fn what_drips_in_is_cut_off() {
    let short = Duration::from_millis(200);
    let limits = Limits { header_read: short, idle: short, ..Limits::default() };
    let bridge = TestBridge::builder().limits(limits).start().await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n").await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while writing.write_all(b"X-Drip: 1\r\n").await.is_ok() {
            beat.tick().await;
        }
    });
    let mut read = Vec::new();
    let _reset = reading.read_to_end(&mut read).await.is_err();
    dripping.await.unwrap();
    assert!(!String::from_utf8_lossy(&read).contains(" 200 "));
    let mut idle = TcpStream::connect(bridge.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await.unwrap();
    read.clear();
    idle.read_to_end(&mut read).await.unwrap();
    assert!(String::from_utf8_lossy(&read).starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// R51, RUSTSEC-2020-0008, 2021-0020, 2021-0078, 2021-0079 (hyper): a request was hidden in the body of another.
#[tokio::test]
async fn a_request_in_a_body_stays_hidden_and_unanswered() {
    let bridge = TestBridge::start().await;
    let hidden = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {STATIC_TOKEN}\r\nContent-Length: 27\r\n\r\n\
         {{\"userName\":\"a@x.example\"}}\n"
    );
    let lengths = hidden.len();
    let framings = [
        format!("Content-Length: {lengths}\r\nTransfer-Encoding: chunked\r\n"),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n".to_owned(),
        "Transfer-Encoding: identity, chunked\r\nContent-Length: 5\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        " Transfer-Encoding: chunked\r\n".to_owned(),
        "Content-Length: 0, 5\r\n".to_owned(),
        format!("Content-Length: 0\r\nContent-Length: {lengths}\r\n"),
        format!("Content-Length: +{lengths}\r\n"),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x0\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
        "Content-Length : 0\r\n".to_owned(),
    ];
    let bodies =
        ["0\r\n\r\n", "FFFFFFFFFFFFFFFF0\r\n", "+0\r\n\r\n", "0x0\r\n\r\n", "-1\r\n\r\n", "0;\n\r\n\r\n"];
    for method in ["POST", "GET"] {
        let head = format!("{method} /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer wrong\r\n");
        for framing in &framings {
            let bytes = format!("{head}{framing}\r\n0\r\n\r\n{hidden}");
            let answers = cut(&told(&bridge, bytes.as_bytes()).await);
            assert!(answers <= 1, "{framing}: {answers} answers");
        }
        for body in &bodies[1..] {
            let bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}{hidden}");
            assert!(cut(&told(&bridge, bytes.as_bytes()).await) <= 1, "{body}");
        }
    }
    assert_eq!(bridge.okta().get("/Users").await.expect(200)["totalResults"], 0);
}

fn cut(told: &str) -> usize {
    told.matches("HTTP/1.1 ").count()
}

/// R52, RUSTSEC-2024-0003, 2024-0332, 2026-0258 (h2): floods of frames used up memory. HTTP/2 is not spoken.
#[tokio::test]
async fn http_2_is_not_spoken() {
    let bridge = TestBridge::start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let answer = told(&bridge, preface).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    let upgrade = told(
        &bridge,
        b"GET /healthz HTTP/1.1\r\nHost: b\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
          HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    )
    .await;
    assert!(upgrade.starts_with("HTTP/1.1 200") && upgrade.matches("HTTP/").count() == 1, "{upgrade}");
}

/// R53, RUSTSEC-2024-0363 (sqlx), 2026-0009 (time), 2024-0421 (idna): lengths that overflow, dates that nest,
/// addresses that are others in disguise.
#[tokio::test]
async fn lengths_dates_and_disguised_domains_are_refused() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let mut large = user("jane@x.example");
    large["title"] = "x".repeat(4 * 1024 * 1024).into();
    okta.post("/Users", &large).await.expect_error(413, None);
    for date in ["(".repeat(300), "2026-01-01T00:00:00Z(".repeat(15), "9".repeat(300)] {
        let answer = okta.find(&format!("meta.created gt \"{date}\"")).await;
        answer.expect_error(400, Some("invalidFilter"));
    }
    // `xn--` labels that decode to plain ASCII are another name for another domain.
    for address in ["jane@xn--example-.com", "jane@xn--x-.example", "jane@xn--.example"] {
        okta.post("/Users", &user(address)).await.expect_error(400, Some("invalidValue"));
    }
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 0);
}
