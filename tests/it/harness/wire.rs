//! A plain HTTP/1.1 client: it sends exactly the bytes it is told to, as identity providers' odd requests need.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::secrets;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; two of one name are a failure of the test.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is sent more than once");
        value
    }

    /// The JSON body.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status and returns the JSON body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that this is a SCIM error (RFC 7644 §3.12) of that status and type, and returns its detail.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, scim_type: Option<&str>) -> String {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/scim+json; charset=utf-8"), "{self:?}");
        assert_eq!(body["schemas"], serde_json::json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(body["status"], status.to_string());
        assert_eq!(body.get("scimType").and_then(Value::as_str), scim_type, "{body}");
        body["detail"].as_str().expect("an error says what is wrong").to_owned()
    }
}

/// Sends bytes on a connection of their own and reads until the other side closes it. `None` if nothing came back.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("the listener listens");
    // The other side may answer and close before it has read everything.
    let _cut = stream.write_all(bytes).await.is_err();
    let mut read = Vec::new();
    let _reset = stream.read_to_end(&mut read).await.is_err();
    secrets::must_not_be_in("an answer", &read, &secrets::presented(bytes));
    (!read.is_empty()).then(|| parse(&read))
}

/// Takes one answer apart.
pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a complete head");
    let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let status = status.parse().expect("a status");
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_vec() };
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// The content of a body that was sent in parts, the last of which is empty (RFC 9112 §7.1).
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").expect("the size of a part");
        let size = std::str::from_utf8(&bytes[..end]).expect("a size in ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return content;
        }
        let start = end + 2;
        content.extend_from_slice(&bytes[start..start + size]);
        bytes = &bytes[start + size + 2..];
    }
}
