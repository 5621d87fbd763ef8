//! Every known deviation of identity providers from the RFCs that is accepted, each named with who sends it.
//!
//! All are accepted from everyone: a deviation is here only if no conforming request can mean something else by it.
//! The list of them, with those that concern answers, is [`Deviation`](super::profile::Deviation).

use serde_json::{Map, Value};

use crate::scim::error::ScimError;
use crate::scim::filter::{Comparand, CompareOp, ResolvedFilter};
use crate::scim::path::{AttributePath, PatchPath};
use crate::scim::schema::{Attribute, ResourceType, Target};

/// **Booleans as texts.** Entra ID sends `"active": "False"` unless told otherwise by `aadOptscim062020`, and writes
/// `roles[primary eq "True"]` in paths and filters. (Microsoft Learn, "Known issues and resolutions with SCIM 2.0
/// protocol compliance".) Taken for anything but false, it would leave a leaver's access in place.
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => boolean_text(text),
        _ => None,
    }
}

/// The text form of [`boolean`].
pub fn boolean_text(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// **Values without quotes in a filter.** Entra ID's documentation shows `externalId eq jyoung` and
/// `id eq 54D382A4-… and manager eq 2819c223-…`. Apostrophes are not taken for quotes: the look-up would find nobody
/// instead of telling why.
pub fn bare_word(word: &str) -> Option<String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@+:/%=~$#&!*".contains(c);
    word.chars().all(is_plain).then(|| word.to_owned())
}

/// **Enterprise attributes without their URN.** Entra ID asks for `manager eq "…"` and patches the path `manager`
/// (Microsoft Learn, "Develop and plan provisioning for a SCIM endpoint"). The extension that is searched for names
/// without a URN which the core schema does not know.
pub fn home_of_bare_name() -> &'static str {
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
}

/// **`email` for `emails`.** An example filter of the `PingFederate` provisioner is `email Co "%s"`.
pub fn attribute_alias(name: &str) -> Option<&'static str> {
    name.eq_ignore_ascii_case("email").then_some("emails")
}

/// **`displayName` for `display` in values of a list.** Entra ID's `AppRoleAssignmentsComplex` sends roles so.
pub fn sub_attribute_alias(name: &str) -> Option<&'static str> {
    name.eq_ignore_ascii_case("displayName").then_some("display")
}

/// **One value where a list belongs.** `"emails": {…}` is taken for a list of one (RFC 7644 §3.5.2.1 has it so in
/// PATCH; clients with hand-written templates do it everywhere).
pub fn lone_value(value: Value) -> Vec<Value> {
    match value {
        Value::String(text) if text.is_empty() => Vec::new(),
        value => vec![value],
    }
}

/// **A list of one where an object belongs.** Entra ID adds a manager as `[{"$ref": …, "value": …}]`; for an empty
/// list the answer is an empty object, which means "no value".
pub fn lone_element(values: Vec<Value>) -> Option<Value> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Some(Map::new().into()),
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => None,
    }
}

/// **A plain text where an object with `value` belongs.** Entra ID sends `"manager": "<id>"` in bodies and patches, and
/// clears it by `""`; some clients list members as plain ids.
///
/// # Errors
///
/// Gives the text back if the attribute has no `value`.
pub fn plain_value(attribute: &Attribute, text: String) -> Result<Map<String, Value>, String> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match attribute.sub_attribute("value") {
        Some(value) => Ok(Map::from_iter([(value.name.clone(), Value::String(text))])),
        None => Err(text),
    }
}

/// **A role as JSON within a text.** Entra ID's `AppRoleAssignmentsComplex` patches
/// `{"value": "{\"id\":\"…\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}`. What is unpacked takes the place of
/// the text; other attributes, and texts that are no such JSON, are left as they are.
pub fn unpack_role(attribute: &Attribute, object: Map<String, Value>) -> Map<String, Value> {
    if attribute.name != "roles" {
        return object;
    }
    let packed =
        any_case(&object, "value").and_then(Value::as_str).filter(|text| text.trim_start().starts_with('{'));
    let Some(Ok(Value::Object(inner))) = packed.map(serde_json::from_str::<Value>) else {
        return object;
    };
    if any_case(&inner, "value").is_none_or(|value| !value.is_string()) {
        return object;
    }
    let is_given_inside = |key: &str| {
        let name = sub_attribute_alias(key).unwrap_or(key);
        inner.keys().any(|inner| sub_attribute_alias(inner).unwrap_or(inner).eq_ignore_ascii_case(name))
    };
    let kept = object.into_iter().filter(|(key, _)| !is_given_inside(key)).collect::<Vec<_>>();
    kept.into_iter().chain(inner).collect()
}

/// **Message keys in any case**, such as `operations` (RFC 7643 §2.1 says so of attributes; clients extend it).
pub fn any_case<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// [`any_case`], taking the value out of the object.
pub fn take_any_case(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = object.get_mut(name) {
        return Some(value.take());
    }
    object.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.take())
}

/// **Messages that do not say what they are**, or name another version: a body is taken for the message of the endpoint
/// it is sent to, unless it names another message of the protocol.
///
/// # Errors
///
/// 400 `invalidSyntax` for a message that belongs to another endpoint.
pub fn check_message(body: &Map<String, Value>, urn: &str) -> Result<(), ScimError> {
    let is_message =
        |given: &str| given.to_ascii_lowercase().starts_with("urn:ietf:params:scim:api:messages:2.0:");
    let named = match any_case(body, "schemas") {
        Some(Value::Array(named)) => named.as_slice(),
        Some(lone) => std::slice::from_ref(lone),
        None => &[],
    };
    let mut messages = named.iter().filter_map(Value::as_str).filter(|given| is_message(given)).peekable();
    match messages.peek() {
        Some(foreign)
            if !named.iter().filter_map(Value::as_str).any(|given| given.eq_ignore_ascii_case(urn)) =>
        {
            Err(ScimError::invalid_syntax(format!(
                "schemas names {foreign:?}, but this endpoint takes {urn}"
            )))
        }
        _ => Ok(()),
    }
}

/// **`op` in any case.** Entra ID sends `Add`, `Replace` and `Remove`. The name in lower case.
pub fn op_name(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// **Paths as keys of a value without a path.** Entra ID with `aadOptscim062020` sends `"name.givenName": …` and
/// `"urn:…:enterprise:2.0:User:department": …`; both are read as operations with that path. Keys that are no path name
/// nothing and are left out, as unknown attributes are.
pub fn expand_keys(value: Map<String, Value>) -> Vec<(PatchPath, Value)> {
    value.into_iter().filter_map(|(key, value)| Some((PatchPath::parse(&key).ok()?, value))).collect()
}

/// **An empty path** is no path.
pub fn given_path(path: Option<&Value>) -> Result<Option<&str>, ScimError> {
    match path {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ScimError::invalid_path("path must be a string")),
    }
}

/// **Remove with a list of values.** Entra ID, authentik and JumpCloud send `{"op": "Remove", "path": "members",
/// "value": [{"value": "<id>"}]}` and mean those alone; a server that ignores the value empties the group.
/// `None` if no value is given, which removes all (RFC 7644 §3.5.2.2).
pub fn listed_values(attribute: &Attribute, value: Option<&Value>) -> Option<Vec<Map<String, Value>>> {
    let listed = match value? {
        Value::Null => return None,
        Value::Array(values) => values.clone(),
        lone => vec![lone.clone()],
    };
    let objects = listed.into_iter().filter_map(|value| match value {
        Value::Object(object) => Some(unpack_role(attribute, object)),
        Value::String(text) => plain_value(attribute, text).ok(),
        _ => None,
    });
    Some(objects.collect())
}

/// **A PUT without `members` leaves the members alone.** By RFC 7644 §3.5.1 a server may read a missing attribute as
/// "no value". A client that renames a group by PUT and does not list the members would empty it; all clients known
/// that mean the members (Okta's wizard, Keycloak's add-ons) list them, and `[]` says that nobody is left. `null` is
/// what serialisers write for what was not set, so it is no order either. Whether `body` gives the attribute.
pub fn gives(resource_type: &ResourceType, body: &Value, attribute: &str) -> bool {
    body.as_object().into_iter().flatten().any(|(key, value)| {
        let path = AttributePath::parse(key).ok();
        match path.and_then(|path| resource_type.resolve(&path)) {
            Some(Target::Attribute(found)) => found.attribute.name == attribute && !value.is_null(),
            _ => false,
        }
    })
}

/// **A value filter that matches nothing describes a new value.** Entra ID adds and replaces
/// `emails[type eq "work"].value` whether or not there is such an e-mail, where RFC 7644 §3.5.2.3 would have 400
/// `noTarget`. The sub-attributes of the new value, or `None` if the filter says more than what is equal to what.
pub fn seed(filter: &ResolvedFilter) -> Option<Map<String, Value>> {
    match filter {
        ResolvedFilter::Compare(field, CompareOp::Eq, comparand) => {
            let value = match comparand {
                Comparand::Text(text) => Value::from(text.as_str()),
                Comparand::Boolean(value) => Value::from(*value),
                Comparand::Number(number) => Value::from(*number),
                Comparand::Instant(instant) => Value::from(instant.to_string()),
            };
            Some(Map::from_iter([(field.name().to_owned(), value)]))
        }
        ResolvedFilter::And(parts) => parts.iter().try_fold(Map::new(), |mut whole, part| {
            for (name, value) in seed(part)? {
                if whole.insert(name, value).is_some() {
                    return None;
                }
            }
            Some(whole)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::{Mode, Registry, validate};

    #[track_caller]
    fn check(body: Value, expected: Value) {
        let user = Registry::builtin().resource_type("User").unwrap();
        let (Value::Object(mut body), Value::Object(mut expected)) = (body, expected) else { panic!() };
        body.insert("userName".into(), "u".into());
        expected.insert("userName".into(), "u".into());
        assert_eq!(Value::from(validate(user, body.into(), Mode::Create).unwrap()), Value::from(expected));
    }

    #[test]
    fn booleans_may_be_texts() {
        for text in ["True", "true", "TRUE"] {
            check(json!({"active": text}), json!({"active": true}));
        }
        check(json!({"active": "False"}), json!({"active": false}));
        assert_eq!(boolean(&json!("yes")), None);
        assert_eq!(boolean(&json!(0)), None);
    }

    #[test]
    fn manager_may_be_a_text_a_list_of_one_or_cleared_by_an_empty_text() {
        let urn = home_of_bare_name();
        check(json!({urn: {"manager": "m1"}}), json!({urn: {"manager": {"value": "m1"}}}));
        check(json!({"manager": "m1"}), json!({urn: {"manager": {"value": "m1"}}}));
        let listed = json!([{"$ref": "http://host/Users/m1", "value": "m1"}]);
        check(
            json!({urn: {"manager": listed}}),
            json!({urn: {"manager": {"$ref": "http://host/Users/m1", "value": "m1"}}}),
        );
        check(json!({urn: {"manager": ""}}), json!({}));
        check(json!({urn: {"manager": []}}), json!({}));
    }

    #[test]
    fn roles_may_be_json_in_texts_or_say_display_name() {
        check(
            json!({"roles": [{"value": "{\"id\":\"06b0\",\"value\":\"Admin\",\"displayName\":\"The admin\"}"}]}),
            json!({"roles": [{"value": "Admin", "display": "The admin"}]}),
        );
        check(
            json!({"roles": [{"primary": false, "type": "T", "displayName": "User", "value": "User"}]}),
            json!({"roles": [{"primary": false, "type": "T", "display": "User", "value": "User"}]}),
        );
        check(json!({"roles": [{"value": "{not json"}]}), json!({"roles": [{"value": "{not json"}]}));
        check(json!({"roles": ["Admin"]}), json!({"roles": [{"value": "Admin"}]}));
    }

    #[test]
    fn a_body_gives_members_only_if_it_lists_them() {
        let group = Registry::builtin().resource_type("Group").unwrap();
        let urn = "urn:ietf:params:scim:schemas:core:2.0:Group";
        for (body, expected) in [
            (json!({"displayName": "g"}), false),
            (json!({"members": null}), false),
            (json!({"members": []}), true),
            (json!({"MEMBERS": [{"value": "a"}]}), true),
            (json!({format!("{urn}:members"): []}), true),
            (json!([]), false),
        ] {
            assert_eq!(gives(group, &body, "members"), expected, "{body}");
        }
    }

    #[test]
    fn one_value_stands_for_a_list_of_one() {
        check(json!({"emails": {"value": "a@b.example"}}), json!({"emails": [{"value": "a@b.example"}]}));
        check(json!({"emails": ""}), json!({}));
    }

    #[test]
    fn bare_words_are_values_and_apostrophes_are_not_quotes() {
        assert_eq!(bare_word("jyoung").as_deref(), Some("jyoung"));
        assert_eq!(bare_word("54D382A4-2050-4C03").as_deref(), Some("54D382A4-2050-4C03"));
        assert_eq!(bare_word("'jyoung'"), None);
    }
}
