//! Bad input: every answer is a SCIM error that names what is wrong, and the store stays as it was.

use serde_json::{Value, json};

use crate::harness::bridge::{TestBridge, user};

#[tokio::test]
async fn a_malformed_or_wrongly_typed_body_changes_nothing() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let created = okta.create(&user("jane@x.example")).await;
    let path = format!("/Users/{}", created["id"].as_str().unwrap());
    let deep = format!("{{\"userName\":\"a@x.example\",\"name\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let deeper = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let keys = (0..3000).map(|key| format!("\"k{key}\":1")).collect::<Vec<_>>().join(",");
    let many_keys = format!("{{{keys},\"userName\":\"a@x.example\"}}");
    for (body, scim_type, names) in [
        ("", "invalidSyntax", "body"),
        ("{", "invalidSyntax", "JSON"),
        ("{\"userName\": \"a@x.example\",}", "invalidSyntax", "JSON"),
        ("\u{feff}[]", "invalidSyntax", "JSON"),
        ("[]", "invalidSyntax", "object"),
        ("null", "invalidSyntax", "object"),
        ("\"userName\"", "invalidSyntax", "object"),
        (deep.as_str(), "invalidSyntax", ""),
        (deeper.as_str(), "invalidSyntax", ""),
        (many_keys.as_str(), "invalidSyntax", ""),
        ("{}", "invalidValue", "userName"),
        ("{\"userName\": null}", "invalidValue", "userName"),
        ("{\"userName\": \"\"}", "invalidValue", "userName"),
        ("{\"userName\": 7}", "invalidValue", "userName"),
        ("{\"userName\": [\"a@x.example\"]}", "invalidValue", "userName"),
        ("{\"userName\": \"a\\u0000@x.example\"}", "invalidValue", "userName"),
        ("{\"userName\": \"a@x.example\", \"active\": \"yes\"}", "invalidValue", "active"),
        ("{\"userName\": \"a@x.example\", \"active\": 1}", "invalidValue", "active"),
        ("{\"userName\": \"a@x.example\", \"name\": \"A\"}", "invalidValue", "name"),
        ("{\"userName\": \"a@x.example\", \"name\": {\"givenName\": {}}}", "invalidValue", "name.givenName"),
        ("{\"userName\": \"a@x.example\", \"emails\": [7]}", "invalidValue", "emails"),
        ("{\"userName\": \"a@x.example\", \"emails\": [{\"primary\": 1}]}", "invalidValue", "primary"),
        (
            "{\"schemas\": [\"urn:ietf:params:scim:schemas:core:2.0:Group\"], \"userName\": \"a@x.example\"}",
            "invalidSyntax",
            "",
        ),
    ] {
        for (method, target) in [("POST", "/Users"), ("PUT", path.as_str())] {
            let answer = okta.send(method, target, Some(body.as_bytes())).await;
            let shown: String = body.chars().take(80).collect();
            let error = answer.json();
            assert_eq!(
                (answer.status, error["scimType"].as_str()),
                (400, Some(scim_type)),
                "{shown}: {error}"
            );
            let detail = answer.expect_error(400, Some(scim_type));
            assert!(detail.contains(names), "{shown}: {detail}");
        }
    }
    let not_utf8 = okta.send("POST", "/Users", Some(b"{\"userName\": \"\xff@x.example\"}")).await;
    not_utf8.expect_error(400, Some("invalidSyntax"));
    let long = json!({"userName": format!("{}@x.example", "a".repeat(300))});
    okta.post("/Users", &long).await.expect_error(400, Some("invalidValue"));
    let list = okta.get("/Users").await.expect(200);
    assert_eq!((&list["totalResults"], &list["Resources"][0]), (&json!(1), &created));
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_too_large() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let mut body = user("jane@x.example");
    body["title"] = json!("x".repeat(1024 * 1024));
    okta.post("/Users", &body).await.expect_error(413, None);
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 0);
}

#[tokio::test]
async fn a_body_of_another_type_is_not_read() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let body = user("jane@x.example");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml; charset=utf-8"]
    {
        okta.clone().with_content_type(content_type).post("/Users", &body).await.expect_error(415, None);
    }
    okta.clone().with("Content-Encoding", "gzip").post("/Users", &body).await.expect_error(415, None);
    for content_type in ["application/json", "application/scim+json;charset=UTF-8", "Application/SCIM+JSON"] {
        let mut body = body.clone();
        body["userName"] = json!(format!("{}@x.example", content_type.len()));
        body["emails"] = json!([]);
        okta.clone().with_content_type(content_type).post("/Users", &body).await.expect(201);
    }
}

#[tokio::test]
async fn what_is_not_served_says_so_in_scims_words() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    for path in ["/nothing", "/Users/a/b", "/users", "//Users", "/Users/%2e%2e", "/Users/x", "/Users/%00"] {
        okta.get(path).await.expect_error(404, None);
    }
    for (method, path) in [("GET", "/Me"), ("PATCH", "/Me")] {
        let detail = okta.send(method, path, Some(b"{}")).await.expect_error(501, None);
        assert!(detail.contains("not offer"), "{detail}");
    }
    for path in
        ["/", "/users", "/scim", "/scim/v1/Users", "/tenants", "/tenants/acme", "/favicon.ico", "/v1/users"]
    {
        bridge.anonymous().get(path).await.expect_error(404, None);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let id = okta.create_named("jane@x.example").await;
    for (method, path, allowed) in [
        ("DELETE", "/Users".to_owned(), "GET,HEAD,POST"),
        ("PUT", "/Users".to_owned(), "GET,HEAD,POST"),
        ("POST", format!("/Users/{id}"), "GET,HEAD,PUT,PATCH,DELETE"),
        ("POST", "/ServiceProviderConfig".to_owned(), "GET,HEAD"),
        ("POST", "/".to_owned(), "GET,HEAD"),
        ("GET", "/.search".to_owned(), "POST"),
        ("GET", "/Users/.search".to_owned(), "POST"),
        ("DELETE", "/Groups/.search".to_owned(), "POST"),
        ("PUT", "/Roles/.search".to_owned(), "POST"),
        ("PATCH", "/Entitlements/.search".to_owned(), "POST"),
        ("TRACE", "/Users".to_owned(), "GET,HEAD,POST"),
        ("BREW", "/Users".to_owned(), "GET,HEAD,POST"),
    ] {
        let answer = okta.send(method, &path, None).await;
        answer.expect_error(405, None);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    let options = okta.send("OPTIONS", "/Users", None).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD,POST")));
    let head = okta.send("HEAD", &format!("/Users/{id}"), None).await;
    assert_eq!((head.status, head.body.as_str(), head.header("etag")), (200, "", Some("W/\"1\"")));
}

#[tokio::test]
async fn a_condition_that_cannot_be_read_is_no_leave_to_change() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    let path = format!("/Users/{}", okta.create_named("jane@x.example").await);
    for unreadable in ["\u{ff}", "W/\"1", "3", ""] {
        let okta = okta.clone().with("If-Match", unreadable);
        okta.delete(&path).await.expect_error(400, Some("invalidSyntax"));
    }
    // Several lines are one list.
    let stale = okta.clone().with("If-Match", "W/\"7\"").with("If-Match", "\u{ff}");
    stale.delete(&path).await.expect_error(400, Some("invalidSyntax"));
    let stale = okta.clone().with("If-Match", "W/\"7\"").with("If-Match", "W/\"8\"");
    stale.delete(&path).await.expect_error(412, None);
    okta.clone().with("If-Match", "W/\"7\"").with("If-Match", "W/\"1\"").delete(&path).await.expect(204);
}

#[tokio::test]
async fn every_answer_carries_our_request_id_and_is_not_to_be_kept() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta().with("X-Request-Id", "forged");
    let mut ids = Vec::new();
    for answer in [
        okta.get("/Users").await,
        okta.get("/Users/x").await,
        bridge.anonymous().get("/scim/v2/Users").await,
        bridge.anonymous().get("/nothing").await,
        bridge.anonymous().get("/healthz").await,
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        ids.push(answer.header("x-request-id").unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    assert!(!ids.contains(&"forged".to_owned()));
}

#[tokio::test]
async fn the_host_header_goes_nowhere() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta().with("X-Forwarded-Host", "evil.example").with("Forwarded", "host=evil.example");
    let created = okta.create(&user("jane@x.example")).await;
    assert!(
        created["meta"]["location"].as_str().unwrap().starts_with("https://scim.example.com/scim/v2/Users/")
    );
    bridge.okta().with("Host", "evil.example").get("/Users").await.expect_error(400, None);
}

#[tokio::test]
async fn a_head_out_of_all_proportion_is_refused() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    okta.clone().with("X-Long", "x".repeat(17_000)).get("/Users").await.expect_error(431, None);
    let many = (0..70).fold(okta.clone(), |okta, _| okta.with("X-Many", "x"));
    many.get("/Users").await.expect_error(431, None);
    okta.get(&format!("/Users?filter={}", "x".repeat(9_000))).await.expect_error(414, None);
    assert_eq!(okta.clone().with("X-Long", "x".repeat(100_000)).get("/Users").await.status, 431);
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    okta.create_named("jane@x.example").await;
    let answer = okta.clone().with("Accept-Encoding", "gzip,deflate").get("/Users").await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
    assert_eq!(okta.get("/Users").await.header("content-encoding"), None);
}

#[tokio::test]
async fn a_store_that_is_closed_makes_requests_come_back_later() {
    let bridge = TestBridge::start().await;
    let okta = bridge.okta();
    bridge.store.close().await;
    for answer in [okta.post("/Users", &user("jane@x.example")).await, okta.get("/Users").await] {
        answer.expect_error(503, None);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    let ready: Value = bridge.anonymous().get("/readyz").await.expect(503);
    assert_eq!(ready["components"]["database"], "down");
}
