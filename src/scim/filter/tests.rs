//! Tests of the filter grammar, of resolving and of evaluating.

use serde_json::json;

use super::{Filter, ResolvedFilter};
use crate::scim::error::ScimError;
use crate::scim::resource::Resource;
use crate::scim::schema::{Registry, limits};

fn resolve(text: &str) -> Result<ResolvedFilter, ScimError> {
    Filter::parse(text)?.resolve(Registry::builtin().resource_type("User").unwrap())
}

fn resolve_group(text: &str) -> Result<ResolvedFilter, ScimError> {
    Filter::parse(text)?.resolve(Registry::builtin().resource_type("Group").unwrap())
}

fn jane() -> Resource {
    Resource::try_from(json!({
        "id": "54D382A4-2050-4C03-94D1-E769F1D15682",
        "externalId": "00u6a15d23T9AeHhF5d7",
        "userName": "Jane.O'Neill+it%@Example.com",
        "displayName": "Jäne \"J\" \\ O'Neill",
        "name": {"givenName": "Jane", "familyName": "O'Neill"},
        "active": true,
        "emails": [
            {"type": "work", "value": "jane@example.com", "primary": true},
            {"type": "home", "value": "jane@home.example"}
        ],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "employeeNumber": "701984", "manager": {"value": "2819c223-7f76-453a-919d-413861904646"}
        },
        "meta": {"resourceType": "User", "lastModified": "2026-03-01T12:00:00.000+02:00"}
    }))
    .unwrap()
}

#[track_caller]
fn check(text: &str, expected: bool) {
    assert_eq!(resolve(text).unwrap().matches(&jane()), expected, "{text}");
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = resolve(text).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn filters_that_identity_providers_send_are_understood() {
    check(r#"userName eq "jane.o'neill+it%@example.com""#, true);
    check(r#"username Eq "JANE.O'NEILL+IT%@EXAMPLE.COM""#, true);
    check(r#"id eq "54D382A4-2050-4C03-94D1-E769F1D15682""#, true);
    check(r#"id eq "54d382a4-2050-4c03-94d1-e769f1d15682""#, false);
    check(r#"externalId eq "00u6a15d23T9AeHhF5d7""#, true);
    check(r#"externalId eq "00U6A15D23T9AEHHF5D7""#, false);
    check(r#"emails.value eq "Jane@Home.example""#, true);
    check(r#"emails eq "jane@home.example""#, true);
    check(r#"emails[type eq "work"].value eq "jane@example.com""#, true);
    check(r#"emails[type eq "work"].value eq "jane@home.example""#, false);
    check(r#"email Co "example.com""#, true);
    check(r#"displayName EQ "jäne \"J\" \\ o'neill""#, true);
    check(r#"displayName eq "J\u00E4ne \"J\" \\ O'Neill""#, true);
    let manager = "2819c223-7f76-453a-919d-413861904646";
    let id = "54D382A4-2050-4C03-94D1-E769F1D15682";
    check(&format!(r#"id eq "{id}" and manager eq "{manager}""#), true);
    check(&format!("manager eq {manager} and id eq {id}"), true);
    check(&format!(r#"manager.value eq "{manager}" and id eq "other""#), false);
    check(
        &format!(r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "{manager}""#),
        true,
    );
    check(r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "jane""#, true);
    check(r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "701984""#, true);
    check("employeeNumber eq 701984", true);
    check("externalId eq jyoung", false);
    check("active eq true", true);
    check(r#"active eq "True""#, true);
    check(r#"emails[primary eq "True"].value eq "jane@example.com""#, true);
    check(r#"meta.lastModified gt "2026-01-01T00:00:00Z""#, true);
}

#[test]
fn filters_on_members_are_understood() {
    let group =
        Resource::try_from(json!({"id": "g", "members": [{"value": "u1"}, {"value": "u2"}]})).unwrap();
    for (text, expected) in [
        (r#"members eq "u2""#, true),
        (r#"members.value eq "u2""#, true),
        (r#"members[value eq "u2"]"#, true),
        (r#"id eq "g" and members eq "u1""#, true),
        (r#"id eq "g" and members[value eq "u3"]"#, false),
        (r#"displayName eq "x""#, false),
    ] {
        assert_eq!(resolve_group(text).unwrap().matches(&group), expected, "{text}");
    }
}

#[test]
fn not_binds_before_and_before_or() {
    check(r#"userName eq "x" and active eq true or active eq true"#, true);
    check(r#"userName eq "x" and (active eq true or active eq true)"#, false);
    check(r#"not (userName eq "x") and active eq true"#, true);
    check(r#"not(userName eq "x" or active eq true)"#, false);
    check(r#"active eq true or userName eq "x" and userName eq "y""#, true);
}

#[test]
fn operators_follow_the_type_and_the_case_rule() {
    check(r#"name.familyName co "o'N""#, true);
    check(r#"name.familyName ew "ILL""#, true);
    check(r#"name.familyName sw "neill""#, false);
    check(r#"name.givenName gt "jan""#, true);
    check(r#"name.givenName le "JANE""#, true);
    check(r#"emails.type ne "work""#, true);
    check(r#"emails[type ne "work" and primary eq true]"#, false);
    check(r#"title ne "boss""#, true);
    check(r#"title eq """#, false);
    check(r#"phoneNumbers.value ne "1""#, false);
    check("title pr", false);
    check("name pr and emails pr and name.givenName pr", true);
    check("title eq null", true);
    check("userName ne null", true);
    check("active ne false", true);
}

#[test]
fn instants_are_compared_as_instants() {
    check(r#"meta.lastModified eq "2026-03-01T10:00:00Z""#, true);
    check(r#"meta.lastModified lt "2026-03-01T11:00:00+01:00""#, false);
    check(r#"meta.lastModified ge "2026-03-01T10:00:00.000Z""#, true);
}

#[test]
fn malformed_filters_are_refused_at_their_place() {
    check_refused(
        "",
        "400 invalidFilter: filter at character 1: the text ends where an attribute is expected",
    );
    check_refused(
        r#"userName eq "a" and"#,
        "400 invalidFilter: filter at character 20: the text ends where an attribute is expected",
    );
    check_refused(
        r#"userName eq "a"#,
        "400 invalidFilter: filter at character 13: the closing quote is missing",
    );
    check_refused(
        "userName eq",
        "400 invalidFilter: filter at character 12: the text ends where a value is expected",
    );
    check_refused(
        r#"userName is "a""#,
        "400 invalidFilter: filter at character 10: an operator is expected: eq, ne, co, sw, ew, gt, ge, lt, le or pr",
    );
    check_refused(
        "userName eq 'a'",
        "400 invalidFilter: filter at character 13: a value is expected; texts stand in double quotes",
    );
    check_refused(
        r#"userName eq "a" "b""#,
        "400 invalidFilter: filter at character 17: and, or, or the end is expected",
    );
    check_refused(r#"userName eq "a")"#, "400 invalidFilter: filter at character 16: a ) without its (");
    check_refused(
        r#"(userName eq "a""#,
        "400 invalidFilter: filter at character 17: the text ends where ) is expected",
    );
    check_refused("not userName pr", "400 invalidFilter: filter at character 5: ( after not is expected");
    check_refused(
        r#"äö eq "a""#,
        "400 invalidFilter: filter at character 1: an attribute name cannot begin with 'ä'",
    );
    check_refused(
        r#"emails[type[x eq "a"] eq "b"]"#,
        "400 invalidFilter: filter at character 12: a [ cannot stand within brackets",
    );
    check_refused(
        r#"displayName eq "\ud800""#,
        "400 invalidFilter: filter at character 16: not a JSON string: unexpected end of hex escape",
    );
}

#[test]
fn comparisons_that_mean_nothing_are_refused() {
    check_refused(
        r#"active eq true and nick eq "x""#,
        "400 invalidFilter: filter at character 20: nick: unknown attribute of User",
    );
    check_refused(
        "active gt true",
        "400 invalidFilter: filter at character 1: active: gt cannot be used with a boolean",
    );
    check_refused(
        r#"active eq "maybe""#,
        "400 invalidFilter: filter at character 1: active: is compared with true or false",
    );
    check_refused(
        r#"emails[colour eq "red"]"#,
        "400 invalidFilter: filter at character 8: colour: unknown sub-attribute of emails",
    );
    check_refused(
        r#"name eq "x""#,
        "400 invalidFilter: filter at character 1: name: compare a sub-attribute of name, not name itself",
    );
    check_refused(
        r#"meta.created gt "yesterday""#,
        "400 invalidFilter: filter at character 1: meta.created: is compared with a date and time such as \
         \"2026-01-31T08:00:00Z\"",
    );
    check_refused(
        r#"userName[value eq "x"]"#,
        "400 invalidFilter: filter at character 1: userName: only a complex attribute can be followed by [",
    );
}

#[test]
fn password_in_a_filter_is_sensitive() {
    let error = resolve(r#"password eq "secret""#).unwrap_err();
    assert_eq!((error.status, error.to_json()["scimType"].clone()), (403, json!("sensitive")));
}

#[test]
fn budgets_are_kept() {
    let deep = |levels: usize| format!("{}active eq true{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Filter::parse(&deep(limits::MAX_FILTER_DEPTH)).is_ok());
    assert!(Filter::parse(&deep(limits::MAX_FILTER_DEPTH + 1)).is_err());
    assert!(Filter::parse(&deep(100_000)).is_err());
    let terms = |count: usize| vec!["active pr"; count].join(" or ");
    assert!(Filter::parse(&terms(limits::MAX_FILTER_TERMS)).is_ok());
    assert!(Filter::parse(&terms(limits::MAX_FILTER_TERMS + 1)).is_err());
    assert!(Filter::parse(&" ".repeat(3_000)).is_err());
}

#[test]
fn fields_carry_the_canonical_path() {
    let ResolvedFilter::Compare(field, ..) = resolve(r#"EMAILS eq "x""#).unwrap() else { panic!() };
    assert_eq!((field.path.as_str(), field.case_exact, field.multi_valued), ("emails.value", false, true));
    let ResolvedFilter::Any(field, inner) = resolve(r#"emails[VALUE eq "x"]"#).unwrap() else { panic!() };
    let ResolvedFilter::Compare(inner, ..) = *inner else { panic!() };
    assert_eq!((field.path.as_str(), inner.path.as_str()), ("emails", "emails.value"));
}
