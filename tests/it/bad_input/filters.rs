//! Filters that are none, or that compare what cannot be compared: refused, and never taken for "everybody".

use super::{Kind, Wall};
use openai_scim_bridge::scim::schema::AttributeType;

/// Ways to misspell a comparison of an attribute.
const MISSPELLINGS: &[&str] = &[
    "{}",
    "{} eq",
    "eq {}",
    "{} == \"a\"",
    "{} = \"a\"",
    "{} like \"a\"",
    "{} eq \"a",
    "{} eq \"a\" and",
    "{} eq \"a\" or",
    "and {} eq \"a\"",
    "{} eq \"a\" {} eq \"b\"",
    "{} eq \"a\" xor {} eq \"b\"",
    "({} eq \"a\"",
    "{} eq \"a\")",
    "not {} eq \"a\"",
    "not ({} eq \"a\"",
    "{} pr \"a\"",
    "{} eq \"a\\\"",
    "{} eq \"\\x41\"",
    "{} eq \"\\ud800\"",
    "{} eq [1]",
    "{} eq {\"a\":1}",
    "{}[type eq \"a\"",
    "{} eq \"a\"; DROP TABLE people",
    "{} eq \"a\"\u{0}",
    "{} eq \u{201c}a\u{201d}",
    "{}.{}.{} eq \"a\"",
    "{}[{}[type eq \"a\"] eq \"a\"]",
];

#[tokio::test]
async fn no_misspelt_filter_lists_anybody() {
    let mut wall = Wall::new().await;
    let mut findings = Vec::new();
    for kind in Kind::BOTH {
        for slot in kind.slots() {
            for misspelling in MISSPELLINGS {
                let wrong = misspelling.replace("{}", &slot.path());
                let answer = wall.find(kind.collection(), &wrong).await;
                let error = answer.json();
                if answer.status != 403 && error["scimType"] != "invalidFilter" {
                    findings.push(format!("{wrong}: {error}"));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(wall.cases >= 2_000, "{}", wall.cases);
}

#[tokio::test]
async fn no_attribute_equals_a_value_of_another_type() {
    let mut wall = Wall::new().await;
    for kind in Kind::BOTH {
        for slot in kind.slots() {
            for literal in ["7", "-1.5", "1e999", "\"a\"", "\"\"", "\"2026-13-45T00:00:00Z\"", "[]", "{}"] {
                for operator in ["eq", "co", "gt"] {
                    let filter = format!("{} {operator} {literal}", slot.path());
                    let answer = wall.find(kind.collection(), &filter).await;
                    let is_ordered =
                        matches!(slot.leaf().kind, AttributeType::Boolean | AttributeType::Complex);
                    if operator == "gt" && is_ordered && slot.attribute.sub_attributes.is_empty() {
                        answer.expect_error(400, Some("invalidFilter"));
                    } else if operator == "eq" && answer.status == 200 {
                        assert_eq!(answer.json()["totalResults"], 0, "{filter}");
                    }
                }
            }
        }
    }
    assert!(wall.cases >= 1_500, "{}", wall.cases);
}
