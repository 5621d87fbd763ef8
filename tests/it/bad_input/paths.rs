//! Paths that are none: in PATCH operations, in addresses, and in the parameters of an address.

use serde_json::json;

use super::{Kind, Wall, scim_error};

/// Ways to misspell the path of an attribute.
const MISSPELLINGS: &[&str] = &[
    "{}.",
    ".{}",
    "{}..value",
    "{}[",
    "{}]",
    "{}[]",
    "{}[type eq",
    "{}[type eq \"work\"",
    "{}[type eq \"work\"].",
    "{}[type eq \"work\"]value",
    "{}[type \"work\"]",
    "{}[(type eq \"work\"]",
    "{}[type eq \"work\"][type eq \"home\"]",
    "{}[type eq \"a\" and]",
    "{}[not]",
    "{}[0]",
    "{}/value",
    "{} value",
    "{}\u{0}",
    "{}\u{202e}",
    "{}[type eq \u{201c}work\u{201d}]",
];

#[tokio::test]
async fn no_misspelt_path_is_followed() {
    let mut wall = Wall::new().await;
    let mut findings = Vec::new();
    for kind in Kind::BOTH {
        let (_, path, _) = wall.bodies(kind);
        for (turn, slot) in kind.slots().into_iter().filter(|slot| slot.sub.is_none()).enumerate() {
            for (at, misspelling) in MISSPELLINGS.iter().enumerate() {
                let wrong = misspelling.replace("{}", &slot.path());
                let operation = match (turn + at) % 3 {
                    0 => json!({"op": "add", "path": wrong, "value": "x"}),
                    1 => json!({"op": "replace", "path": wrong, "value": "x"}),
                    _ => json!({"op": "remove", "path": wrong}),
                };
                let answer = wall.patch(&path, json!([operation])).await;
                let error = scim_error(&answer);
                if !matches!(error["scimType"].as_str(), Some("invalidPath" | "invalidFilter")) {
                    findings.push(format!("{operation}: {error}"));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(wall.cases >= 700, "{}", wall.cases);
}

/// What stands where an id belongs.
const IDS: &[&str] = &[
    "0",
    "-1",
    "1e9",
    "null",
    "undefined",
    "me",
    "*",
    "%2a",
    "%00",
    "%0d%0aX-Injected:%201",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..",
    "%ff",
    "%c0%af",
    "%ed%a0%80",
    "%",
    "%zz",
    "'%20OR%20'1'='1",
    "1;DROP%20TABLE%20people",
    "$%7bjndi:ldap://x%7d",
    "%3cscript%3e",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0191e5a0-0000-7000-8000-00000000000",
    "0191e5a0-0000-7000-8000-0000000000000",
    "%7b0191e5a0-0000-7000-8000-000000000000%7d",
    "urn:uuid:0191e5a0-0000-7000-8000-000000000000",
    "0191E5A0-0000-7000-8000-000000000000",
    "0191e5a0000070008000000000000000",
    "%f0%9f%92%a9",
    "%e2%80%ae",
];

#[tokio::test]
async fn nothing_is_found_under_an_id_that_is_none() {
    let mut wall = Wall::new().await;
    let long = "a".repeat(4_000);
    for kind in Kind::BOTH {
        let (_, _, body) = wall.bodies(kind);
        let body = body.to_string();
        let operations =
            json!({"Operations": [{"op": "replace", "value": {"displayName": "X"}}]}).to_string();
        for id in IDS.iter().copied().chain([long.as_str()]) {
            let path = format!("{}/{id}", kind.collection());
            for (method, body) in
                [("GET", None), ("PUT", Some(&body)), ("PATCH", Some(&operations)), ("DELETE", None)]
            {
                let answer = wall.send(method, &path, body.map(String::as_bytes)).await;
                assert!(matches!(answer.status, 400 | 404), "{method} {path}: {answer:?}");
                assert_eq!(answer.header("x-injected"), None);
            }
        }
    }
    assert!(wall.cases >= 250, "{}", wall.cases);
}

#[tokio::test]
async fn no_parameter_of_a_list_breaks_it() {
    let mut wall = Wall::new().await;
    let odd = [
        "",
        "0",
        "-1",
        "1.5",
        "1e3",
        "99999999999999999999",
        "-99999999999999999999",
        "NaN",
        "abc",
        "%00",
        "%ff",
        "1%202",
        "0x10",
        "%EF%BC%91",
        "null",
        "[]",
        "true",
    ];
    let names = [
        "startIndex",
        "count",
        "attributes",
        "excludedAttributes",
        "sortBy",
        "sortOrder",
        "cursor",
        "filter",
    ];
    for kind in Kind::BOTH {
        for name in names {
            for value in odd {
                let answer = wall.send("GET", &format!("{}?{name}={value}", kind.collection()), None).await;
                if answer.status == 200 {
                    let list = answer.json();
                    let shown = list.get("Resources").and_then(|shown| shown.as_array()).map_or(0, Vec::len);
                    assert!(shown <= 200, "{name}={value}");
                }
            }
        }
        let both = format!("{}?startIndex=1&startIndex=2&count=1&COUNT=500", kind.collection());
        wall.send("GET", &both, None).await;
    }
    assert!(wall.cases >= 250, "{}", wall.cases);
}
