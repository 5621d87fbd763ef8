//! What is claimed of the core for any input: no panic, no blow-up, and the laws that each target names.
//!
//! The fuzzer drives these functions, and an ordinary test does with the seeds and everything that was ever found.

use serde_json::{Value, json};

use super::scim::bulk::{BulkRequest, Done};
use super::scim::cursor::{Cursor, CursorKey, Direction, Fingerprint};
use super::scim::error::{ScimError, ScimType};
use super::scim::etag::Version;
use super::scim::filter::Filter;
use super::scim::patch::{ChangeSet, PatchRequest};
use super::scim::path::PatchPath;
use super::scim::project::Projection;
use super::scim::resource::Resource;
use super::scim::schema::{Mode, Registry, ResourceType, limits, replace, validate};
use super::scim::search::Query;

/// A function that takes any input.
pub type Target = fn(&[u8]);

/// All targets by their names, which are those of their folders of seeds.
pub const ALL: [(&str, Target); 6] = [
    ("filter", filter),
    ("path", path),
    ("patch", patch),
    ("resource", resource),
    ("cursor", cursor),
    ("bulk", bulk),
];

fn types() -> [(&'static ResourceType, Resource); 2] {
    let of = |name: &str| Registry::builtin().resource_type(name).unwrap();
    let jane = json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "id": "1", "userName": "jane", "active": true, "title": "", "name": {"givenName": "Jane"},
        "emails": [{"type": "work", "value": "a", "primary": true}, {"type": "home", "value": "b"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "2"}},
        "meta": {"lastModified": "2026-03-01T12:00:00Z"}
    });
    let team = json!({"id": "2", "displayName": "team", "members": [{"value": "1", "type": "User"}, {"value": "3"}]});
    [(of("User"), Resource::try_from(jane).unwrap()), (of("Group"), Resource::try_from(team).unwrap())]
}

/// A refusal is the client's fault, and says why.
fn check_refusal(error: &ScimError) {
    assert!((400..500).contains(&error.status) && !error.detail.is_empty(), "{error}");
}

/// A filter prints as one that parses to the same; its negation is the contrary; in a list of many types it means the
/// same for the types that know all of it.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => return check_refusal(&error),
    };
    let printed = filter.to_string();
    if printed.len() <= limits::MAX_FILTER_BYTES {
        assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{printed}");
    }
    let negated = Filter::Not(Box::new(filter.clone()));
    let types = types();
    let among = types.each_ref().map(|(resource_type, _)| *resource_type);
    for (resource_type, resource) in &types {
        if let (Ok(filter), Ok(negated)) = (filter.resolve(resource_type), negated.resolve(resource_type)) {
            assert_ne!(filter.matches(resource), negated.matches(resource));
        }
        let alone = filter.resolve(resource_type);
        let together = filter.resolve_among(resource_type, &among);
        if let Ok(alone) = alone {
            assert_eq!(Ok(alone), together);
        }
    }
    let query = Query::from_parameters([("filter", text), ("cursor", ""), ("sortBy", text)]);
    match query {
        Ok(query) => assert_eq!(query.fingerprint("t", "/Users"), query.clone().fingerprint("t", "/Users")),
        Err(error) => check_refusal(&error),
    }
}

/// A path prints as one that parses to the same.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match PatchPath::parse(text) {
        Err(error) => check_refusal(&error),
        Ok(path) => {
            let printed = path.to_string();
            if printed.len() <= limits::MAX_FILTER_BYTES {
                assert_eq!(PatchPath::parse(&printed).as_ref(), Ok(&path), "{printed}");
            }
            for (resource_type, resource) in types() {
                let projection = Projection::parse(resource_type, Some(text), Some(&printed));
                drop(projection.apply(resource_type, resource));
            }
        }
    }
}

/// A PATCH succeeds as a whole or changes nothing; what it leaves is in canonical form, with one primary value at most.
pub fn patch(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    let request = match PatchRequest::parse(body) {
        Ok(request) => request,
        Err(error) => return check_refusal(&error),
    };
    for (resource_type, before) in types() {
        let mut after = before.clone();
        match request.apply(resource_type, &mut after) {
            Err(error) => {
                check_refusal(&error);
                assert_eq!(before, after);
            }
            Ok(changes) => {
                assert_eq!(changes, ChangeSet::between(&before, &after));
                assert_eq!(after.get("id"), before.get("id"));
                let again = validate(resource_type, after.clone().into(), Mode::Replace).unwrap();
                assert_eq!(replace(resource_type, &after, again).unwrap(), after);
            }
        }
    }
}

/// A body that is accepted is accepted again and stays as it is; a PUT of it leaves what the server owns.
pub fn resource(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    for (resource_type, before) in types() {
        match validate(resource_type, body.clone(), Mode::Create) {
            Err(error) => check_refusal(&error),
            Ok(once) => {
                assert_eq!(validate(resource_type, once.clone().into(), Mode::Create).as_ref(), Ok(&once));
                let after = replace(resource_type, &before, once).unwrap();
                assert_eq!(after.get("id"), before.get("id"));
                assert_eq!(after.get("meta"), before.get("meta"));
                let shown = Projection::default().apply(resource_type, after);
                assert!(shown.get("password").is_none());
            }
        }
    }
    drop(Query::from_body(body));
}

/// No text but one that was made here is a cursor, and that one comes back as it was.
pub fn cursor(data: &[u8]) {
    let (key, query) = (CursorKey::new([1; 32]), Fingerprint::of(["t", "/Users"]));
    let now = jiff::Timestamp::UNIX_EPOCH;
    if let Ok(text) = std::str::from_utf8(data) {
        match Cursor::decode(text, &key, &query, now) {
            Ok(cursor) => assert_eq!(cursor.encode(&key, &query), text),
            Err(error) => {
                assert!(matches!(error.scim_type, Some(ScimType::InvalidCursor | ScimType::ExpiredCursor)));
            }
        }
    }
    let Ok(Value::Array(position)) = serde_json::from_slice::<Value>(data) else { return };
    let expires_at = jiff::Timestamp::from_second(60).unwrap();
    let cursor = Cursor { position, direction: Direction::Forward, expires_at };
    let text = cursor.encode(&key, &query);
    if text.len() <= limits::MAX_CURSOR_BYTES {
        assert_eq!(Cursor::decode(&text, &key, &query, now), Ok(cursor));
        let other = Fingerprint::of(["t/", "Users"]);
        assert!(Cursor::decode(&text, &key, &other, now).is_err());
    }
}

/// Every operation has its turn once, what it needs is there, and the answer names each.
pub fn bulk(data: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    let request = match BulkRequest::parse(body.clone()) {
        Ok(request) => request,
        Err(error) => return check_refusal(&error),
    };
    let operations = body.as_object().unwrap().iter().find(|(key, _)| key.eq_ignore_ascii_case("operations"));
    let count = operations.and_then(|(_, operations)| operations.as_array()).map_or(usize::MAX, Vec::len);
    let mut run = request.start();
    let mut executed = 0;
    loop {
        // Neither always one by one nor all together.
        let batch = run.next_batch(1 + executed % 3);
        if batch.is_empty() {
            break;
        }
        for step in batch {
            executed += 1;
            assert!(executed <= count);
            assert!(step.id.as_ref().is_none_or(|id| !id.starts_with("bulkId:") || id == "bulkId:"));
            let result = match step.data.get("fail") {
                Some(_) => Err(ScimError::conflict("as asked for")),
                None => Ok(Done { status: 200, id: format!("id{executed}"), version: Some(Version(1)) }),
            };
            run.settle(step.ticket, result);
        }
    }
    let answer = run.into_response("https://host");
    let answered = answer["Operations"].as_array().unwrap();
    assert!(answered.len() <= count && executed <= answered.len());
}
