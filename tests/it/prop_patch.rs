//! PATCH of any JSON: no panic, all or nothing, and repeating a request changes nothing more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openai_scim_bridge::scim::error::ScimType;
use openai_scim_bridge::scim::patch::{ChangeSet, PatchRequest};
use openai_scim_bridge::scim::resource::Resource;
use openai_scim_bridge::scim::schema::{Mode, Registry, ResourceType, validate};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(7_644), ..ProptestConfig::default() }
}

fn user() -> &'static ResourceType {
    Registry::builtin().resource_type("User").unwrap()
}

fn json_value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "op",
            "path",
            "value",
            "Operations",
            "schemas",
            "userName",
            "emails",
            "name",
            "type",
            "primary",
            "active",
            "manager",
            "roles",
            "id",
            "name.givenName",
            "__proto__",
            "$ref",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            "urn:ietf:params:scim:schemas:core:2.0:User",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "add",
            "Remove",
            "replace",
            "work",
            "True",
            "emails[type eq \"work\"].value",
            ""
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A value of one of few texts, so that operations meet each other's results.
fn word() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["a", "A", "b", "work", "home", "true", ""]).prop_map(Value::from)
}

fn email() -> impl Strategy<Value = Value> {
    (prop::option::of(word()), prop::option::of(word()), prop::option::of(any::<bool>())).prop_map(
        |(value, kind, primary)| {
            let mut email = json!({});
            for (name, part) in [("value", value), ("type", kind), ("primary", primary.map(Value::from))] {
                if let Some(part) = part {
                    email[name] = part;
                }
            }
            email
        },
    )
}

/// An operation that may succeed.
fn operation() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["add", "replace", "Remove"]);
    let path = prop::sample::select(vec![
        "title",
        "userName",
        "active",
        "name",
        "name.givenName",
        "emails",
        "emails.value",
        "emails.primary",
        "emails[type eq \"work\"]",
        "emails[type eq \"work\"].value",
        "emails[value eq \"a\"].primary",
        "emails[primary eq \"True\"].type",
        "emails[type eq \"home\" and value eq \"b\"].display",
        "emails[not (type pr)].value",
        "roles",
        "manager",
        "manager.value",
        "id",
        "unknown",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User:projects",
        "urn:ietf:params:scim:schemas:extension:openai:2.0:User:projects[value eq \"a\"].role",
    ]);
    let value = prop_oneof![
        4 => word(),
        3 => email(),
        3 => prop::collection::vec(email(), 0..3).prop_map(Value::from),
        2 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => word().prop_map(|word| json!({"givenName": word, "department": word, "role": word})),
        1 => json_value(),
    ];
    prop_oneof![
        6 => (op, path, value.clone()).prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value})),
        1 => (word(), prop::collection::vec(email(), 0..2), value).prop_map(|(word, emails, value)| {
            json!({"op": "add", "value": {"title": word, "emails": emails, "name.givenName": word, "x": value}})
        }),
    ]
}

fn request(operations: impl IntoIterator<Item = Value>) -> Value {
    json!({"Operations": operations.into_iter().collect::<Vec<_>>()})
}

fn jane() -> Resource {
    Resource::try_from(json!({
        "userName": "jane", "emails": [{"value": "a", "type": "work", "primary": true}, {"value": "b", "type": "home"}]
    }))
    .unwrap()
}

fn primaries(resource: &Resource) -> usize {
    resource.values("emails").iter().filter(|email| email["primary"] == json!(true)).count()
}

/// An operation on members, or on the rest of a group, that means the same with and without the list.
fn group_operation() -> impl Strategy<Value = Value> {
    let id = prop::sample::select(vec!["a", "b", "c", "d"]);
    let ids = prop::collection::vec(id.clone(), 0..4);
    let list = ids.prop_flat_map(|ids| {
        let objects: Vec<_> = ids.iter().map(|id| json!({"value": id})).collect();
        let mut shapes = vec![Value::from(objects), json!(ids)];
        shapes.extend(ids.first().map(|id| json!({"value": id})));
        shapes.extend(ids.first().map(|id| json!(id)));
        prop::sample::select(shapes)
    });
    let op = prop::sample::select(vec!["add", "Remove", "replace"]);
    let path = prop::sample::select(vec![
        "members",
        "Members",
        "urn:ietf:params:scim:schemas:core:2.0:Group:members",
    ]);
    let filter = prop_oneof![
        id.clone().prop_map(|id| format!("value eq \"{id}\"")),
        (id.clone(), id.clone()).prop_map(|(a, b)| format!("value eq \"{a}\" or value eq \"{b}\"")),
        (id.clone(), id).prop_map(|(a, b)| format!("value eq \"{a}\" and not (value eq \"{b}\")")),
    ];
    prop_oneof![
        6 => (op, path, list.clone()).prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value})),
        2 => (any::<bool>(), list).prop_map(|(add, value)| {
            json!({"op": if add { "add" } else { "replace" }, "value": {"displayName": "new", "members": value}})
        }),
        3 => filter.prop_map(|filter| json!({"op": "remove", "path": format!("members[{filter}]")})),
        1 => Just(json!({"op": "remove", "path": "members"})),
        1 => word().prop_map(|word| json!({"op": "replace", "path": "externalId", "value": word})),
    ]
}

fn members(resource: &Resource) -> BTreeSet<String> {
    resource.strings("members.value").map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_change_of_members_means_the_same_without_the_list(operations in prop::collection::vec(group_operation(), 1..8)) {
        let group = Registry::builtin().resource_type("Group").unwrap();
        let request = PatchRequest::parse(request(operations)).unwrap();
        let mut whole = Resource::try_from(json!({
            "displayName": "g", "members": [{"value": "a"}, {"value": "b"}]
        })).unwrap();
        let before = members(&whole);
        let mut rest = Resource::try_from(json!({"displayName": "g"})).unwrap();

        request.apply(group, &mut whole).unwrap();
        let (request, change) = request.split_members(group).unwrap();
        request.apply(group, &mut rest).unwrap();

        prop_assert!(change.join.is_disjoint(&change.leave));
        let stay = before.into_iter().filter(|id| !change.replace && !change.leave.contains(id));
        prop_assert_eq!(stay.chain(change.join).collect::<BTreeSet<_>>(), members(&whole));
        whole.remove("members");
        prop_assert_eq!(rest, whole);
    }

    #[test]
    fn any_json_is_patched_or_refused_as_a_whole(body in json_value(), operations in prop::collection::vec(json_value(), 0..4)) {
        for body in [body, request(operations)] {
            let mut resource = jane();
            if let Ok(request) = PatchRequest::parse(body)
                && request.apply(user(), &mut resource).is_err()
            {
                prop_assert_eq!(resource, jane());
            }
        }
    }

    #[test]
    fn a_patch_succeeds_as_a_whole_or_changes_nothing(operations in prop::collection::vec(operation(), 1..8)) {
        let mut resource = jane();
        let Ok(request) = PatchRequest::parse(request(operations)) else { return Ok(()) };
        match request.apply(user(), &mut resource) {
            Ok(changes) => {
                prop_assert_eq!(changes, ChangeSet::between(&jane(), &resource));
                prop_assert!(primaries(&resource) <= 1);
                let again = validate(user(), resource.clone().into(), Mode::Replace).unwrap();
                prop_assert_eq!(again, resource, "what PATCH leaves is in canonical form");
            }
            Err(error) => {
                prop_assert!(matches!(error.status, 400 | 413), "{}", error);
                prop_assert_eq!(resource, jane());
            }
        }
    }

    #[test]
    fn one_operation_repeated_changes_nothing_more(operation in operation()) {
        let mut once = jane();
        let Ok(request) = PatchRequest::parse(request([operation])) else { return Ok(()) };
        if request.apply(user(), &mut once).is_ok() {
            let mut twice = once.clone();
            match request.apply(user(), &mut twice) {
                Ok(changes) => prop_assert!(changes.is_empty(), "{:?} then {:?}", once, twice),
                // The first time changed what the filter looks for.
                Err(error) => prop_assert_eq!(error.scim_type, Some(ScimType::NoTarget)),
            }
        }
    }

    #[test]
    fn validation_of_any_json_never_panics_and_is_stable(body in json_value()) {
        let mut body = body;
        if let Value::Object(map) = &mut body {
            map.insert("userName".to_owned(), "jane".into());
        }
        if let Ok(once) = validate(user(), body, Mode::Create) {
            let twice = validate(user(), once.clone().into(), Mode::Create).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}

/// Twenty times as many members take about twenty times as long; were they compared with each other, it would be four
/// hundred.
#[test]
fn many_members_are_added_and_removed_in_linear_time() {
    let shortest = |count| (0..3).map(|_| change_members(count)).min().unwrap();
    let (few, many) = (shortest(500), shortest(10_000));
    assert!(many < few * 150, "{few:?} for five hundred, {many:?} for ten thousand");
}

/// The time it takes to add and remove so many members, at once and one by one.
fn change_members(count: usize) -> Duration {
    let group = Registry::builtin().resource_type("Group").unwrap();
    let members =
        |range: std::ops::Range<usize>| range.map(|n| json!({"value": format!("u{n}")})).collect::<Vec<_>>();
    let mut resource = Resource::try_from(json!({"displayName": "g", "members": members(0..count)})).unwrap();
    let half = count / 2;
    let all_at_once = ["add", "remove"]
        .map(|op| request([json!({"op": op, "path": "members", "value": members(half..half + count)})]));
    let one = |n: usize| {
        json!({"op": if n.is_multiple_of(2) { "add" } else { "remove" }, "path": "members",
                                "value": [{"value": format!("v{n}")}]})
    };
    let one_by_one = request((0..count / 10).map(one));
    let started = Instant::now();
    for body in all_at_once {
        PatchRequest::parse(body).unwrap().apply(group, &mut resource).unwrap();
    }
    assert_eq!(resource.values("members").len(), half);
    PatchRequest::parse(one_by_one).unwrap().apply(group, &mut resource).unwrap();
    assert_eq!(resource.values("members").len(), half + count / 20);
    started.elapsed()
}
