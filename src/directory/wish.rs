//! What a user resource wishes for: the parts of it that the bridge acts on, read out of the validated attributes.

use serde_json::{Map, Value};

use crate::model::address::Address;
use crate::model::grant::{CatalogueId, OrgRole, ProjectRole};
use crate::scim::error::ScimError;

/// What to do instead of asking for the role owner.
const NO_OWNER: &str =
    "`owner` is not given by an attribute; use a group rule that names the group by its id";

/// Our extension of the user schema.
pub const OPENAI_USER: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

/// A user resource as the identity provider wants it to be.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) user_name: String,
    pub(super) external_id: Option<String>,
    /// `None` when the client did not say.
    pub(super) active: Option<bool>,
    /// Where an invite would go, or why that cannot be told.
    pub(super) address: Result<Address, ScimError>,
    /// Everything that is kept, in canonical spelling.
    pub(super) attributes: Map<String, Value>,
}

impl Wish {
    /// Reads validated attributes. `schemas`, `id`, `meta` and `groups` are the server's to say, and a password is of
    /// no use here: none of them is kept.
    pub(super) fn read(mut attributes: Map<String, Value>) -> Result<Self, ScimError> {
        for dropped in ["schemas", "id", "meta", "groups", "password"] {
            attributes.shift_remove(dropped);
        }
        let user_name = text(&attributes, "userName")
            .ok_or_else(|| ScimError::invalid_value("userName is required and must not be empty"))?
            .to_owned();
        check_grants(attributes.get(OPENAI_USER))?;
        for attribute in ["roles", "entitlements"] {
            check_values(attribute, attributes.get(attribute))?;
        }
        Ok(Self {
            external_id: text(&attributes, "externalId").map(str::to_owned),
            active: attributes.get("active").and_then(Value::as_bool),
            address: choose_address(&user_name, attributes.get("emails")),
            user_name,
            attributes,
        })
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The address to invite: the primary work e-mail, else the primary one, else the only work one, else the only one,
/// else `userName`.
fn choose_address(user_name: &str, emails: Option<&Value>) -> Result<Address, ScimError> {
    let emails: Vec<_> = emails
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter_map(|email| Some((email, text(email, "value")?)))
        .collect();
    let is_primary = |email: &Map<_, _>| email.get("primary").and_then(Value::as_bool).unwrap_or(false);
    let is_work =
        |email: &Map<_, _>| text(email, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("work"));
    let the_only = |wanted: &dyn Fn(&Map<_, _>) -> bool| {
        let mut found = emails.iter().filter(|(email, _)| wanted(email));
        found.next().filter(|_| found.next().is_none())
    };
    let chosen = emails
        .iter()
        .find(|(email, _)| is_primary(email) && is_work(email))
        .or_else(|| emails.iter().find(|(email, _)| is_primary(email)))
        .or_else(|| the_only(&is_work))
        .or_else(|| the_only(&|_| true));
    match chosen {
        Some((_, value)) => Address::parse(value).map_err(|_malformed| {
            ScimError::invalid_value(
                "emails.value must be one plain e-mail address, such as jane@example.com, because the invite goes there",
            )
        }),
        None => Address::parse(user_name).map_err(|_malformed| {
            ScimError::invalid_value(
                "emails must hold the address for the invite: mark one as primary, or send one alone, or make userName \
                 an e-mail address",
            )
        }),
    }
}

/// Refuses roles that are not understood or not to be had this way: what is acknowledged is also given.
fn check_grants(extension: Option<&Value>) -> Result<(), ScimError> {
    let Some(extension) = extension.and_then(Value::as_object) else { return Ok(()) };
    let refuse = |attribute: &str, words: &dyn std::fmt::Display| {
        ScimError::invalid_value(format!("{OPENAI_USER}:{attribute}: {words}"))
    };
    if let Some(role) = text(extension, "role") {
        match role.parse() {
            Ok(OrgRole::Reader) => {}
            Ok(OrgRole::Owner) => return Err(refuse("role", &NO_OWNER)),
            Err(_) => {
                let words = format!("`{role}` is not a role that an attribute can give; use reader");
                return Err(refuse("role", &words));
            }
        }
    }
    let projects = extension.get("projects").and_then(Value::as_array).into_iter().flatten();
    for project in projects.filter_map(Value::as_object) {
        if text(project, "value").is_none() {
            return Err(refuse("projects.value", &"must be the id or the name of a project"));
        }
        if let Some(role) = text(project, "role") {
            let _known: ProjectRole = role.parse().map_err(|error| refuse("projects.role", &error))?;
        }
    }
    Ok(())
}

/// Refuses what looks like a name of the catalogue and is none that can be given. Any other value may be explained by
/// an alias, or be no business of ours; the engine tells which.
fn check_values(attribute: &str, values: Option<&Value>) -> Result<(), ScimError> {
    for value in values.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
        let Some(value) = text(value, "value") else { continue };
        match CatalogueId::read(value) {
            Some(Err(malformed)) => {
                return Err(ScimError::invalid_value(format!("{attribute}.value: {malformed}")));
            }
            Some(Ok(CatalogueId::Organization(OrgRole::Owner))) => {
                return Err(ScimError::invalid_value(format!("{attribute}.value: {NO_OWNER}")));
            }
            Some(Ok(_)) | None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Wish, ScimError> {
        let Value::Object(attributes) = body else { panic!("an object") };
        Wish::read(attributes)
    }

    fn address(body: Value) -> Result<String, String> {
        read(body).unwrap().address.map(|address| address.to_string()).map_err(|error| error.detail)
    }

    #[test]
    fn the_address_is_chosen_in_order() {
        let work_primary = json!({"userName": "u@x.io", "emails": [
            {"value": "p@x.io", "primary": true}, {"value": "w@x.io", "type": "Work", "primary": true}]});
        let primary = json!({"userName": "u@x.io", "emails": [
            {"value": "w@x.io", "type": "work"}, {"value": "p@x.io", "type": "home", "primary": true}]});
        let only_work = json!({"userName": "u@x.io", "emails": [
            {"value": "h@x.io", "type": "home"}, {"value": "w@x.io", "type": "work"}]});
        let only = json!({"userName": "u@x.io", "emails": [{"value": "h@x.io", "type": "home"}]});
        let several = json!({"userName": "u@x.io", "emails": [{"value": "a@x.io"}, {"value": "b@x.io"}]});
        let none = json!({"userName": "u@x.io", "emails": []});
        for (body, expected) in [
            (work_primary, "w@x.io"),
            (primary, "p@x.io"),
            (only_work, "w@x.io"),
            (only, "h@x.io"),
            (several, "u@x.io"),
            (none, "u@x.io"),
        ] {
            assert_eq!(address(body.clone()).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_told_names_the_attribute() {
        for body in [
            json!({"userName": "jane"}),
            json!({"userName": "u@x.io", "emails": [{"value": "a@x.io,b@x.io"}]}),
            json!({"userName": "u@x.io", "emails": [{"value": "Jane <a@x.io>", "primary": true}]}),
        ] {
            assert!(address(body.clone()).unwrap_err().starts_with("emails"), "{body}");
        }
    }

    #[test]
    fn what_is_not_ours_to_keep_is_dropped() {
        let wish =
            read(json!({"id": "x", "meta": {}, "groups": [], "password": "s3cret", "userName": "u@x.io"}))
                .unwrap();
        assert_eq!(Value::Object(wish.attributes), json!({"userName": "u@x.io"}));
    }

    #[test]
    fn names_of_the_catalogue_are_checked_and_other_values_are_kept() {
        for (attribute, value) in
            [("roles", "org:owner"), ("roles", "org:billing"), ("entitlements", "project:proj_1:boss")]
        {
            let error = read(json!({"userName": "u@x.io", attribute: [{"value": value}]})).unwrap_err();
            assert_eq!((error.status, error.detail.starts_with(attribute)), (400, true), "{value}");
        }
        let fine = json!([{"value": "Admin"}, {"value": "org:reader"}, {"display": "no value"}]);
        assert!(read(json!({"userName": "u@x.io", "roles": fine.clone(), "entitlements": fine})).is_ok());
    }

    #[test]
    fn roles_that_cannot_be_given_are_refused() {
        for extension in [
            json!({"role": "billing"}),
            json!({"role": "owner"}),
            json!({"role": "Admin"}),
            json!({"projects": [{"value": "proj_1", "role": "boss"}]}),
            json!({"projects": [{"role": "member"}]}),
        ] {
            let error = read(json!({"userName": "u@x.io", OPENAI_USER: extension})).unwrap_err();
            assert_eq!((error.status, error.detail.starts_with(OPENAI_USER)), (400, true), "{extension}");
        }
        let fine = json!({"role": "Reader", "projects": [{"value": "proj_1"}, {"value": "proj_2", "role": "owner"}]});
        assert!(read(json!({"userName": "u@x.io", OPENAI_USER: fine})).is_ok());
    }
}
