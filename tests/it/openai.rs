//! The Admin API client against scripted servers over real TCP.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::openai::wire::{InviteStatus, ProjectGrant};
use openai_scim_bridge::openai::{
    AuditQuery, Client, End, Endpoint, Failure, FailureKind, NewInvite, Settings, SetupError, Walk,
};
use openai_scim_bridge::telemetry::Metrics;
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use crate::harness::scripted::{Scripted, Turn};

const KEY: &str = "sk-admin-0123456789";
const INVITE: &str = r#"{"object":"organization.invite","id":"invite-1","email":"Jane@Example.com","role":"reader",
    "status":"pending","created_at":1800000000,"expires_at":1800604800,"accepted_at":null,"projects":[]}"#;
const ERROR: &str =
    r#"{"error":{"message":"Jane@example.com: no","type":"invalid_request_error","param":null,"code":null}}"#;

fn start() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn client_with(base_url: &Url, change: impl FnOnce(&mut Settings)) -> (Client, Clock, Metrics) {
    let (clock, metrics) = (Clock::manual(start()), Metrics::new());
    let mut settings = Settings::new("acme", base_url.clone(), SecretString::from(KEY));
    change(&mut settings);
    (Client::new(settings, clock.clone(), metrics.clone()).unwrap(), clock, metrics)
}

fn client(server: &Scripted) -> Client {
    client_with(&server.base_url, |_| {}).0
}

fn new_invite() -> NewInvite<'static> {
    NewInvite { email: "jane@example.com", role: "reader", projects: &[] }
}

/// What comes of an invite that is answered like this.
async fn invite_answered(turn: Turn) -> Failure {
    let server = Scripted::start([turn]).await;
    client(&server).create_invite(&new_invite()).await.unwrap_err()
}

#[tokio::test]
async fn an_invite_is_sent_with_its_projects_and_read_back() {
    for status in [200, 201] {
        let id = ("x-request-id", "req_1");
        let server = Scripted::start([Turn::answer(status, &[id], INVITE), Turn::json(200, INVITE)]).await;
        let client = client(&server);
        let projects = [ProjectGrant { id: "proj_1".to_owned(), role: "member".to_owned() }];
        let answer = client.create_invite(&NewInvite { projects: &projects, ..new_invite() }).await.unwrap();
        assert_eq!(answer.request_id.as_deref(), Some("req_1"));
        assert_eq!((answer.value.id.as_str(), answer.value.status), ("invite-1", InviteStatus::Pending));
        client.get_invite("invite-1").await.unwrap();

        let seen = server.seen();
        assert_eq!(seen[0].line, "POST /v1/organization/invites");
        assert_eq!(
            seen[0].body,
            Some(json!({
                "email": "jane@example.com", "role": "reader",
                "projects": [{ "id": "proj_1", "role": "member" }],
            }))
        );
        assert_eq!(seen[0].headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!(seen[0].headers["x-client-request-id"].len(), 36);
        assert_ne!(seen[0].headers["x-client-request-id"], seen[1].headers["x-client-request-id"]);
        assert!(seen[0].headers["user-agent"].starts_with("openai-scim-bridge/"));
        assert_eq!(seen[1].line, "GET /v1/organization/invites/invite-1");
    }
}

#[tokio::test]
async fn an_invite_without_projects_says_so() {
    let server = Scripted::start([Turn::json(201, INVITE)]).await;
    client(&server).create_invite(&new_invite()).await.unwrap();
    assert_eq!(server.seen()[0].body.as_ref().unwrap()["projects"], json!([]));
}

#[tokio::test]
async fn each_status_means_what_the_reference_says() {
    for (status, kind) in [
        (400, FailureKind::Rejected),
        (401, FailureKind::KeyRefused),
        (403, FailureKind::KeyRefused),
        (404, FailureKind::NotFound),
        (409, FailureKind::Conflict),
        (422, FailureKind::Rejected),
        (500, FailureKind::Unknown),
        (502, FailureKind::Unknown),
        (503, FailureKind::Unknown),
        (504, FailureKind::Unknown),
    ] {
        let failure = invite_answered(Turn::json(status, ERROR)).await;
        assert_eq!((failure.kind, failure.status), (kind, Some(status)));
        assert_eq!(failure.message, "Jane@example.com: no");
    }
}

#[tokio::test]
async fn a_403_with_a_bare_string_is_a_refused_key() {
    let failure =
        invite_answered(Turn::json(403, r#"{"error":"Missing scopes: api.management.write."}"#)).await;
    assert_eq!(failure.kind, FailureKind::KeyRefused);
    assert!(failure.message.contains("Missing scopes"));
    assert!(failure.to_string().contains("check that it is live"), "{failure}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_trusted_leaves_the_outcome_unknown() {
    let cut = INVITE.split_at(80).0;
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{cut}", INVITE.len());
    for turn in [
        Turn::answer(200, &[("content-type", "text/html")], "<html>welcome</html>"),
        Turn::answer(502, &[("content-type", "text/html")], "<html>Bad gateway</html>"),
        Turn::answer(400, &[("content-type", "text/html")], "<html>Bad request</html>"),
        Turn::json(200, ""),
        Turn::json(200, "{}"),
        Turn::json(200, cut),
        Turn::Bytes(announced.into_bytes()),
        Turn::json(200, &INVITE.replace("Jane@Example.com", "other@example.com")),
        Turn::json(200, &" ".repeat(5 * 1024 * 1024)),
        Turn::Reset,
    ] {
        let failure = invite_answered(turn.clone()).await;
        assert_eq!(failure.kind, FailureKind::Unknown, "{failure:?}");
        assert!(!failure.had_no_effect());
    }
}

#[tokio::test]
async fn an_answer_about_another_object_is_not_believed() {
    let server = Scripted::start([
        Turn::json(200, r#"{"id":"user-2","email":"x@example.com","role":"reader"}"#),
        Turn::json(200, r#"{"id":"user-2","deleted":true}"#),
        Turn::json(200, r#"{"id":"user-1","deleted":false}"#),
        Turn::json(200, r#"{"id":"user-1","deleted":true}"#),
    ])
    .await;
    let client = client(&server);
    assert_eq!(client.get_user("user-1").await.unwrap_err().kind, FailureKind::Unknown);
    assert_eq!(client.delete_user("user-1").await.unwrap_err().kind, FailureKind::Unknown);
    assert_eq!(client.delete_user("user-1").await.unwrap_err().kind, FailureKind::Unknown);
    assert!(client.delete_user("user-1").await.unwrap().value.deleted);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_with_an_unknown_outcome() {
    let server = Scripted::start([Turn::Silence]).await;
    let (client, _, _) = client_with(&server.base_url, |s| s.timeout = Duration::from_millis(100));
    let failure = client.create_invite(&new_invite()).await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (FailureKind::Unknown, None));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_refused_proves_that_nothing_was_sent() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/v1", free.local_addr().unwrap())).unwrap();
    drop(free);
    let failure = client_with(&url, |_| {}).0.create_invite(&new_invite()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotSent);
    assert!(failure.had_no_effect());
}

#[tokio::test]
async fn a_failed_tls_handshake_proves_that_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/v1", listener.local_addr().unwrap())).unwrap();
    let hang_up = tokio::spawn(async move { listener.accept().await.map(drop) });
    let failure = client_with(&url, |_| {}).0.create_invite(&new_invite()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotSent);
    hang_up.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let location = ("location", "/v1/organization/elsewhere");
        let server = Scripted::start([Turn::answer(status, &[location], ""), Turn::json(200, INVITE)]).await;
        let failure = client(&server).create_invite(&new_invite()).await.unwrap_err();
        assert_eq!((failure.kind, server.seen().len()), (FailureKind::Unknown, 1));
        assert!(failure.message.contains("OPENAI_BASE_URL"), "{}", failure.message);
    }
}

#[tokio::test]
async fn each_429_dialect_gives_its_pause() {
    let text = |words: &str| {
        format!(
            r#"{{"error":{{"message":"{words}","type":"invalid_request_error","code":"rate_limit_exceeded"}}}}"#
        )
    };
    let in_header = Turn::answer(429, &[("retry-after", "40")], &text("Slow down"));
    let in_text = Turn::json(429, &text("Rate limit reached, please try again after 6.937 seconds."));
    let nowhere = Turn::json(429, &text("You are making too many requests"));
    for (turn, pause) in [(in_header, 40_000), (in_text, 6_937), (nowhere, 5_000)] {
        let server = Scripted::start([turn]).await;
        let (client, clock, _) = client_with(&server.base_url, |s| s.requests_per_minute = None);
        let failure = client.create_invite(&new_invite()).await.unwrap_err();
        let until = start() + SignedDuration::from_millis(pause);
        assert_eq!(failure.kind, FailureKind::RateLimited { until });
        assert!(failure.had_no_effect());
        assert_eq!(client.limiter().ready_at(Endpoint::CreateInvite, clock.now()), until);
        assert_eq!(client.limiter().ready_at(Endpoint::ListUsers, clock.now()), start());
    }
}

#[tokio::test]
async fn a_used_up_budget_sends_nothing_until_the_window_has_passed() {
    let server = Scripted::start(vec![Turn::json(200, INVITE); 3]).await;
    let (client, clock, _) = client_with(&server.base_url, |s| s.requests_per_minute = Some(2));
    for _ in 0..2 {
        client.get_invite("invite-1").await.unwrap();
    }
    let failure = client.get_invite("invite-1").await.unwrap_err();
    let FailureKind::RateLimited { until } = failure.kind else { panic!("{failure:?}") };
    assert_eq!((failure.status, server.seen().len()), (None, 2));
    clock.set(until);
    client.get_invite("invite-1").await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_list_is_walked_to_its_end_in_both_paging_schemes() {
    let user = |n: u32| json!({ "id": format!("user-{n}"), "email": format!("p{n}@example.com") });
    let group =
        |n: u32| json!({ "id": format!("group_{n}"), "name": format!("G{n}"), "is_scim_managed": n == 2 });
    let pages = [
        json!({ "data": [user(1), user(2)], "first_id": "user-1", "last_id": "user-2", "has_more": true }),
        json!({ "data": [user(3)], "first_id": "user-3", "last_id": "user-3", "has_more": false }),
        json!({ "data": [group(1)], "has_more": true, "next": "cursor/2" }),
        json!({ "data": [group(2)], "has_more": false, "next": null }),
    ];
    let server = Scripted::start(pages.map(|page| Turn::json(200, &page.to_string()))).await;
    let client = client(&server);

    let mut users = Walk::new();
    let end = users.run(|after| {
        let client = client.clone();
        async move { client.list_users(after.as_deref(), 2).await }
    });
    assert_eq!(end.await.unwrap(), End::Complete);
    assert_eq!(users.items().len(), 3);

    let mut groups = Walk::new();
    let end = groups.run(|after| {
        let client = client.clone();
        async move { client.list_groups(after.as_deref(), 1).await }
    });
    assert_eq!(end.await.unwrap(), End::Complete);
    assert!(groups.into_items()[1].is_scim_managed);

    let lines: Vec<String> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/organization/users?limit=2",
            "GET /v1/organization/users?limit=2&after=user-2",
            "GET /v1/organization/groups?limit=1",
            "GET /v1/organization/groups?limit=1&after=cursor%2F2",
        ]
    );
}

#[tokio::test]
async fn a_user_list_that_ignores_the_filter_gives_only_those_asked_for() {
    let page = json!({ "has_more": false, "data": [
        { "id": "user-1", "email": "JANE@example.com" }, { "id": "user-2", "email": "joe@example.com" },
        { "id": "user-3" },
    ]});
    let server = Scripted::start([Turn::json(200, &page.to_string())]).await;
    let found = client(&server).list_users_by_email(&["jane@example.com"]).await.unwrap().value.data;
    assert_eq!(found.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["user-1"]);
    let line = &server.seen()[0].line;
    assert_eq!(line, "GET /v1/organization/users?limit=100&emails%5B%5D=jane%40example.com");
}

#[tokio::test]
async fn every_call_goes_to_its_place() {
    let user = r#"{"id":"user-1","email":"jane@example.com","role":"owner"}"#;
    let deleted = |id: &str| Turn::json(200, &format!(r#"{{"id":"{id}","deleted":true}}"#));
    let list = r#"{"data":[],"has_more":false}"#;
    let role = r#"{"id":"role_1","name":"r","permissions":[],"resource_type":"api.organization"}"#;
    let server = Scripted::start([
        deleted("invite-1"),
        Turn::json(200, list),
        Turn::json(200, user),
        Turn::json(200, list),
        Turn::json(200, r#"{"id":"proj_1","name":"P","status":"archived"}"#),
        Turn::json(200, list),
        Turn::json(201, user),
        Turn::json(200, user),
        Turn::json(200, user),
        deleted("user-1"),
        Turn::json(200, list),
        Turn::json(200, r#"{"object":"group.user","user_id":"user-1","group_id":"group_1"}"#),
        Turn::json(200, r#"{"object":"group.user.deleted","deleted":true}"#),
        Turn::json(200, list),
        Turn::json(200, list),
        Turn::json(200, &format!(r#"{{"object":"user.role","user":{user},"role":{role}}}"#)),
        Turn::json(200, r#"{"object":"user.role.deleted","deleted":true}"#),
        Turn::json(200, list),
    ])
    .await;
    let client = client(&server);
    client.delete_invite("invite-1").await.unwrap();
    client.list_invites(None, 100).await.unwrap();
    client.set_user_role("user-1", "owner").await.unwrap();
    client.list_projects(None, 100).await.unwrap();
    assert!(client.get_project("proj_1").await.unwrap().value.is_archived());
    client.list_project_users("proj_1", None, 100).await.unwrap();
    client.add_project_user("proj_1", "user-1", "member").await.unwrap();
    client.get_project_user("proj_1", "user-1").await.unwrap();
    client.update_project_user("proj_1", "user-1", "owner").await.unwrap();
    client.remove_project_user("proj_1", "user-1").await.unwrap();
    client.list_group_users("group_1", None, 1000).await.unwrap();
    client.add_group_user("group_1", "user-1").await.unwrap();
    client.remove_group_user("group_1", "user-1").await.unwrap();
    client.list_roles(None, 1000).await.unwrap();
    client.list_user_roles("user-1", None, 1000).await.unwrap();
    client.assign_user_role("user-1", "role_1").await.unwrap();
    client.unassign_user_role("user-1", "role_1").await.unwrap();
    let query = AuditQuery { since: start(), event_types: &["invite.accepted", "user.added"] };
    client.list_audit_logs(query, None, 100).await.unwrap();

    let seen: Vec<String> = server
        .seen()
        .into_iter()
        .map(|seen| seen.body.map_or(seen.line.clone(), |body| format!("{} {body}", seen.line)))
        .collect();
    let expected = [
        "DELETE /v1/organization/invites/invite-1",
        "GET /v1/organization/invites?limit=100",
        r#"POST /v1/organization/users/user-1 {"role":"owner"}"#,
        "GET /v1/organization/projects?limit=100",
        "GET /v1/organization/projects/proj_1",
        "GET /v1/organization/projects/proj_1/users?limit=100",
        r#"POST /v1/organization/projects/proj_1/users {"user_id":"user-1","role":"member"}"#,
        "GET /v1/organization/projects/proj_1/users/user-1",
        r#"POST /v1/organization/projects/proj_1/users/user-1 {"role":"owner"}"#,
        "DELETE /v1/organization/projects/proj_1/users/user-1",
        "GET /v1/organization/groups/group_1/users?limit=1000",
        r#"POST /v1/organization/groups/group_1/users {"user_id":"user-1"}"#,
        "DELETE /v1/organization/groups/group_1/users/user-1",
        "GET /v1/organization/roles?limit=1000",
        "GET /v1/organization/users/user-1/roles?limit=1000",
        r#"POST /v1/organization/users/user-1/roles {"role_id":"role_1"}"#,
        "DELETE /v1/organization/users/user-1/roles/role_1",
        "GET /v1/organization/audit_logs?limit=100&effective_at%5Bgte%5D=1795262400\
         &event_types%5B%5D=invite.accepted&event_types%5B%5D=user.added",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn no_id_reaches_another_path() {
    let id = "user-1/../x?y#z%2e";
    let server = Scripted::start([Turn::json(200, &json!({ "id": id, "deleted": true }).to_string())]).await;
    let client = client(&server);
    client.delete_user(id).await.unwrap();
    assert_eq!(server.seen()[0].line, "DELETE /v1/organization/users/user-1%2F..%2Fx%3Fy%23z%252e");
    for id in ["", ".", ".."] {
        assert_eq!(client.delete_user(id).await.unwrap_err().kind, FailureKind::Rejected);
    }
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_client_is_not_made_from_unusable_settings() {
    let make = |url: &str, key: &str| {
        let settings = Settings::new("acme", Url::parse(url).unwrap(), SecretString::from(key));
        Client::new(settings, Clock::manual(start()), Metrics::new())
    };
    for url in ["ftp://x/v1", "data:x", "https://user:pw@x/v1", "https://x/v1?y=1", "https://x/v1#y"] {
        assert!(matches!(make(url, KEY).unwrap_err(), SetupError::BaseUrl), "{url}");
    }
    assert!(matches!(make("https://x/v1", "").unwrap_err(), SetupError::EmptyKey));
    assert!(matches!(make("https://x/v1", "a\nb").unwrap_err(), SetupError::Key(_)));
    assert!(make("https://api.openai.com/v1", KEY).is_ok());
}

/// A place that log lines go to.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_leaves_one_line_without_key_address_or_words() {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // While a process has one subscriber, a thread that lacks it may switch an event off for all of them; with two
    // alive, all are asked.
    let other_subscriber = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    let guard = tracing::subscriber::set_default(subscriber);
    let server = Scripted::start([
        Turn::answer(400, &[("x-request-id", "req_1")], ERROR),
        Turn::answer(200, &[("x-request-id", "req_2")], r#"{"data":[],"has_more":false}"#),
        Turn::Reset,
    ])
    .await;
    let (client, _, metrics) = client_with(&server.base_url, |_| {});
    client.create_invite(&new_invite()).await.unwrap_err();
    client.list_users_by_email(&["jane@example.com"]).await.unwrap();
    let reset = client.list_users_by_email(&["jane@example.com"]).await.unwrap_err();
    drop((guard, other_subscriber));

    let log = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 3, "{log}");
    for wanted in ["POST /organization/invites: rejected", "upstream.status=400", "req_2", "tenant=\"acme\""]
    {
        assert!(log.contains(wanted), "{wanted} is not in\n{log}");
    }
    let told = format!("{log}{client:?}{reset}{reset:?}").to_lowercase();
    for secret in [KEY, "jane", "example.com", "emails", "bearer"] {
        assert!(!told.contains(secret), "{secret} is in\n{told}");
    }
    let page = metrics.render();
    assert!(page.contains("endpoint=\"create_invite\",outcome=\"rejected\"} 1"), "{page}");
    assert!(page.contains("budget_left{tenant=\"acme\",endpoint=\"list_users\"} 5.0"), "{page}");
}
