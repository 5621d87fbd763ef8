//! Bugs planted in the bridge, one at a time: the seeds that every run plays must find each.
//!
//! `SCIM_BRIDGE_PLANTED=table cargo test --test it simulation::planted -- --nocapture` searches from the first seed on and
//! prints after how many each is found, and by which invariant.

use openai_scim_bridge::planted::Bug;

use super::{SEEDS, run};

/// The first seed that finds each of these. Where a change of the story moved it, the search goes through the others.
const FOUND_BY: &[(Bug, u64)] = &[
    (Bug::AckBeforeCommit, 1),
    (Bug::NoListBeforeInvite, 0),
    (Bug::AbsenceDeactivates, 4),
    (Bug::AddReplaces, 1),
    (Bug::PatchNotAtomic, 1),
    (Bug::TombstoneDroppedEarly, 5),
    (Bug::OmittedProjects, 0),
    (Bug::AuditAfterCall, 0),
    (Bug::PauseIgnored, 2),
    (Bug::KeyRefusalIgnored, 4),
    (Bug::StopIgnored, 1),
    (Bug::TenantFromPath, 6),
];

/// The invariant that the bridge is found to break with a bug planted.
fn broken(bug: Bug, seed: u64) -> Option<String> {
    let complaint = run(seed, Some(bug)).complaint?;
    let is_invariant = |word: &&str| {
        word.strip_prefix('I')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut words = complaint.split(|c: char| !c.is_ascii_alphanumeric());
    words.find(is_invariant).map(str::to_owned)
}

/// The first of all seeds that finds a bug, and what it finds broken.
fn search(bug: Bug) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| broken(bug, seed).map(|invariant| (seed, invariant)))
}

#[test]
fn every_planted_bug_is_found() {
    let is_missed = |(bug, seed): &&(Bug, u64)| broken(*bug, *seed).is_none() && search(*bug).is_none();
    assert!(FOUND_BY.iter().map(|(bug, _)| bug).eq(Bug::ALL), "one line for each bug, in their order");
    let missed: Vec<_> = FOUND_BY.iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "{missed:?} not found within {SEEDS} seeds");
}

#[test]
fn only_tests_ask_for_planted_bugs() {
    let manifest: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let others = features.iter().filter(|(name, _)| *name != "planted-bugs");
    assert!(others.into_iter().all(|(_, needs)| !needs.to_string().contains("planted-bugs")), "{features}");
    assert!(!manifest["dependencies"].to_string().contains("planted-bugs"));
}

#[test]
fn table_by_hand() {
    #[expect(clippy::disallowed_methods, reason = "whether to search is the caller's word")]
    let Ok(asked) = std::env::var("SCIM_BRIDGE_PLANTED") else { return };
    for bug in Bug::ALL.iter().filter(|bug| asked == "table" || asked == format!("{bug:?}")) {
        match search(*bug) {
            #[expect(clippy::print_stdout, reason = "the table is what is asked for")]
            Some((seed, invariant)) => println!("| `{bug:?}` | {} | {invariant} |", seed + 1),
            None => panic!("{bug:?} is not found within {SEEDS} seeds"),
        }
    }
}
