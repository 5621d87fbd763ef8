//! Deterministic simulation: the whole bridge in one process, and one seed that decides everything: time, chance, the
//! order and fate of every call, what the identity provider asks, what people do by hand, when the machine dies.
//!
//! `SCIM_BRIDGE_SEEDS=FROM..TO cargo test --test it simulation::seeds_by_hand` plays other seeds. Those that were red
//! once are in `red_seeds.txt` and are played every time.

mod faults;
mod judge;
mod network;
mod seed;
mod story;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;

use story::{Trace, play};

/// Lines of a trace that are shown when a seed fails.
const SHOWN: usize = 120;

/// What failed, and what had happened until then.
struct Red {
    seed: u64,
    complaint: String,
    trace: Vec<String>,
}

/// Plays one seed on a runtime of its own; tells its trace.
fn run(seed: u64) -> Result<Vec<String>, Red> {
    let trace = Trace::default();
    let told = trace.clone();
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(seed, trace));
    }));
    let trace = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match played {
        Ok(()) => Ok(trace),
        Err(reason) => {
            let complaint = reason.downcast_ref::<String>().cloned();
            let complaint = complaint.or_else(|| reason.downcast_ref::<&str>().map(ToString::to_string));
            Err(Red { seed, complaint: complaint.unwrap_or_default(), trace })
        }
    }
}

/// Plays many seeds; fails with the trace of the first that is red, and the complaints of all.
fn run_all(seeds: impl IntoIterator<Item = u64>) {
    let red: Vec<Red> = seeds.into_iter().filter_map(|seed| run(seed).err()).collect();
    let Some(first) = red.first() else { return };
    let from = first.trace.len().saturating_sub(SHOWN);
    let complaints: Vec<String> =
        red.iter().map(|red| format!("seed {}: {}", red.seed, red.complaint)).collect();
    panic!(
        "{}\n\nthe trace of seed {}:\n{}",
        complaints.join("\n"),
        first.seed,
        first.trace[from..].join("\n")
    );
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 10_000..10_100 {
        let [first, second] = [(); 2].map(|()| run(seed).unwrap_or_else(|red| red.trace));
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        if let Some(line) = differs.or((first.len() != second.len()).then_some(first.len().min(second.len())))
        {
            let around =
                |trace: &[String]| trace[line.saturating_sub(10)..(line + 2).min(trace.len())].join("\n");
            panic!("seed {seed} gave two traces:\n{}\n\nand\n\n{}", around(&first), around(&second));
        }
    }
}

#[test]
fn invariants_hold_for_the_first_half_of_the_seeds() {
    run_all(0..150);
}

#[test]
fn invariants_hold_for_the_second_half_of_the_seeds() {
    run_all(150..300);
}

#[test]
fn seeds_that_were_red_once_stay_green() {
    let lines = include_str!("red_seeds.txt").lines().filter(|line| !line.starts_with('#'));
    run_all(lines.map(|line| line.trim().parse().unwrap()));
}

#[test]
fn seeds_by_hand() {
    #[expect(clippy::disallowed_methods, reason = "which seeds to play is the caller's word")]
    let Ok(seeds) = std::env::var("SCIM_BRIDGE_SEEDS") else { return };
    let (from, to) = seeds.split_once("..").expect("SCIM_BRIDGE_SEEDS=FROM..TO");
    run_all(from.parse().unwrap()..to.parse().unwrap());
}
