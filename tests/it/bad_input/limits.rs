//! Each limit, one below it and one above it: what is within it is taken, what is beyond it is refused by its name.

use openai_scim_bridge::scim::schema::limits as at_most;
use serde_json::{Value, json};

use super::{Kind, Wall, scim_error};

/// Each attribute that holds text, filled up to its limit and beyond.
#[tokio::test]
async fn text_is_taken_up_to_its_limit_in_each_attribute() {
    use openai_scim_bridge::scim::schema::{AttributeType, Mutability};
    let mut wall = Wall::new().await;
    for kind in Kind::BOTH {
        for slot in kind.slots() {
            let leaf = slot.leaf();
            let is_text = matches!(leaf.kind, AttributeType::String | AttributeType::Reference);
            let is_own = slot.is_read_only() || leaf.mutability == Mutability::WriteOnly;
            // These say what a text must be, beside how long.
            let path = slot.path();
            let is_special =
                ["userName", "emails.value", "members", "roles", "role", "projects", "entitlements"];
            if !is_text || is_own || is_special.iter().any(|special| path.contains(special)) {
                continue;
            }
            for (length, is_taken) in [(-1, true), (0, true), (1, false)] {
                let (_, at, mut body) = wall.bodies(kind);
                let length = at_most::MAX_TEXT.checked_add_signed(length).unwrap();
                // Two bytes a character: characters count.
                slot.put(&mut body, "\u{e9}".repeat(length).into());
                let answer = wall.put(&at, &body).await;
                let error = scim_error(&answer)["scimType"].clone();
                let expected = if is_taken { (200, Value::Null) } else { (400, json!("invalidValue")) };
                assert_eq!((answer.status, error), expected, "{path} of {length}: {}", answer.body);
            }
        }
    }
    assert!(wall.cases >= 90, "{}", wall.cases);
}

/// What is sent for a size, with how many of them are the most.
type Limit =
    (&'static str, usize, fn(&mut Wall, usize) -> (&'static str, String, String), u16, Option<&'static str>);

fn patch_of(operations: &Value) -> String {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
        .to_string()
}

fn query(filter: &str) -> (&'static str, String, String) {
    let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    ("GET", format!("/Users?filter={encoded}"), String::new())
}

const LIMITS: &[Limit] = &[
    (
        "characters of a userName",
        at_most::MAX_ADDRESS,
        |wall, size| {
            let (mut body, _, _) = wall.bodies(Kind::User);
            body["userName"] = "u".repeat(size).into();
            ("PUT", wall.jane.clone(), body.to_string())
        },
        400,
        Some("invalidValue"),
    ),
    (
        "values of a list",
        at_most::MAX_VALUES,
        |wall, size| {
            let (_, path, mut body) = wall.bodies(Kind::User);
            body["phoneNumbers"] = (0..size).map(|number| json!({"value": number.to_string()})).collect();
            ("PUT", path, body.to_string())
        },
        400,
        Some("invalidValue"),
    ),
    (
        "levels of a body",
        at_most::MAX_DEPTH,
        |wall, size| {
            let (_, path, mut body) = wall.bodies(Kind::User);
            let deep = (1..size).fold(json!(1), |inner, _| json!([inner]));
            body["unknownToAll"] = deep;
            ("PUT", path, body.to_string())
        },
        400,
        Some("invalidSyntax"),
    ),
    (
        "keys of a body",
        at_most::MAX_KEYS,
        |wall, size| {
            let (_, path, mut body) = wall.bodies(Kind::User);
            // Six of the body, and five of its parts.
            let given = body.as_object().unwrap().len() + 2 + 3;
            let unknown = (given..size).map(|number| (format!("k{number}"), json!(1)));
            body.as_object_mut().unwrap().extend(unknown);
            ("PUT", path, body.to_string())
        },
        400,
        Some("invalidSyntax"),
    ),
    (
        "operations on a user",
        at_most::MAX_OPERATIONS,
        |wall, size| {
            let operations = vec![json!({"op": "replace", "path": "title", "value": "T"}); size];
            ("PATCH", wall.jane.clone(), patch_of(&operations.into()))
        },
        413,
        None,
    ),
    (
        "operations on a group",
        at_most::MAX_OPERATIONS_WITH_MEMBERS,
        |wall, size| {
            let operations = vec![json!({"op": "replace", "path": "displayName", "value": "Staff"}); size];
            ("PATCH", wall.staff.clone(), patch_of(&operations.into()))
        },
        413,
        None,
    ),
    (
        "bytes of a filter",
        at_most::MAX_FILTER_BYTES,
        |_, size| {
            let around = "title eq \"\"".len();
            query(&format!("title eq \"{}\"", "x".repeat(size - around)))
        },
        400,
        Some("invalidFilter"),
    ),
    (
        "comparisons of a filter",
        at_most::MAX_FILTER_TERMS,
        |_, size| query(&vec!["title pr"; size].join(" and ")),
        400,
        Some("invalidFilter"),
    ),
    (
        "parentheses of a filter",
        at_most::MAX_FILTER_DEPTH,
        |_, size| query(&format!("{}title pr{}", "(".repeat(size), ")".repeat(size))),
        400,
        Some("invalidFilter"),
    ),
    (
        "bytes of a path",
        at_most::MAX_FILTER_BYTES,
        |wall, size| {
            let around = "emails[type eq \"\"].value".len();
            let path = format!("emails[type eq \"{}\"].value", "x".repeat(size - around));
            ("PATCH", wall.jane.clone(), patch_of(&json!([{"op": "remove", "path": path}])))
        },
        400,
        Some("invalidPath"),
    ),
    (
        "bytes of a body",
        1024 * 1024,
        |wall, size| {
            let (_, path, body) = wall.bodies(Kind::User);
            let body = body.to_string();
            ("PUT", path, format!("{}{body}", " ".repeat(size - body.len())))
        },
        413,
        None,
    ),
    (
        "bytes of an address",
        8 * 1024,
        |_, size| {
            let around = "/scim/v2/Users?count=1&x=".len();
            ("GET", format!("/Users?count=1&x={}", "x".repeat(size - around)), String::new())
        },
        414,
        None,
    ),
];

#[tokio::test]
async fn what_is_beyond_a_limit_is_refused_and_what_is_within_it_is_not() {
    let mut wall = Wall::new().await;
    let mut findings = Vec::new();
    for (what, most, request, status, scim_type) in LIMITS {
        for size in [most - 1, *most, most + 1] {
            let (method, path, body) = request(&mut wall, size);
            let body = (!body.is_empty()).then_some(body.as_bytes());
            let answer = wall.send(method, &path, body).await;
            let expected = if size > *most { *status } else { 200 };
            let given = scim_error(&answer)["scimType"].as_str().map(str::to_owned);
            let is_as_told = answer.status == expected && (expected == 200 || given.as_deref() == *scim_type)
                || (answer.status, expected) == (204, 200);
            if !is_as_told {
                let shown: String = answer.body.chars().take(200).collect();
                findings.push(format!("{size} {what}: {} {shown}", answer.status));
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test]
async fn a_group_takes_members_up_to_their_limit() {
    let mut wall = Wall::new().await;
    let somebody = "0191e5a0-0000-7000-8000-000000000000";
    let members = vec![json!({"value": somebody}); at_most::MAX_MEMBERS + 1];
    let body = json!({"displayName": "Too many", "members": members});
    wall.post("/Groups", &body).await.expect_error(413, None);
}
