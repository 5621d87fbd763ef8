//! What the README says in figures.

use openai_scim_bridge::scim::list::{DEFAULT_COUNT, MAX_COUNT};
use openai_scim_bridge::scim::schema::features::CURSOR_SECONDS;
use openai_scim_bridge::scim::schema::limits::{
    MAX_ADDRESS, MAX_BINARY, MAX_BODY_BYTES, MAX_BULK_OPERATIONS, MAX_DEPTH, MAX_EXAMINED, MAX_FILTER_BYTES,
    MAX_FILTER_DEPTH, MAX_FILTER_TERMS, MAX_KEYS, MAX_KEYS_WITH_MEMBERS, MAX_MEMBERS, MAX_NAMES,
    MAX_OPERATIONS, MAX_OPERATIONS_WITH_MEMBERS, MAX_TEXT, MAX_VALUES,
};

/// All numbers in a text, whose thousands are set off by commas.
fn numbers(text: &str) -> Vec<u64> {
    let parts = text.split(|c: char| !c.is_ascii_digit() && c != ',');
    let digits = parts.map(|part| part.replace(',', ""));
    digits.filter(|digits| !digits.is_empty()).map(|digits| digits.parse().unwrap()).collect()
}

#[test]
fn a_patch_of_a_group_may_be_as_long_as_a_bulk_request() {
    // authentik cuts its PATCHes of members by bulk.maxOperations (goauthentik/authentik, providers/scim).
    const { assert!(MAX_BULK_OPERATIONS <= MAX_OPERATIONS_WITH_MEMBERS) }
}

#[test]
fn the_limits_are_those_of_the_program() {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Limits")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !numbers(line).is_empty());
    let told: Vec<_> = rows.map(numbers).collect();
    let limits: [&[usize]; 11] = [
        &[MAX_BODY_BYTES, MAX_DEPTH],
        &[MAX_KEYS, MAX_KEYS_WITH_MEMBERS],
        &[MAX_TEXT, MAX_ADDRESS, MAX_BINARY],
        &[MAX_VALUES, MAX_MEMBERS],
        &[MAX_OPERATIONS, MAX_OPERATIONS_WITH_MEMBERS],
        &[MAX_BULK_OPERATIONS, 20],
        &[MAX_FILTER_BYTES, MAX_FILTER_TERMS, MAX_FILTER_DEPTH],
        &[usize::try_from(MAX_COUNT).unwrap(), usize::try_from(DEFAULT_COUNT).unwrap()],
        &[MAX_EXAMINED],
        &[usize::try_from(CURSOR_SECONDS).unwrap()],
        &[MAX_NAMES],
    ];
    let limits = limits.map(|row| row.iter().map(|limit| u64::try_from(*limit).unwrap()).collect::<Vec<_>>());
    assert_eq!(told, limits);
}
