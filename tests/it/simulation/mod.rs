//! Deterministic simulation: the whole bridge in one process, and one seed that decides everything: time, chance, the
//! order and fate of every call, what the identity provider asks, what people do by hand, when the machine dies, when its
//! clock jumps and when its disk is full.
//!
//! `SCIM_BRIDGE_SEEDS=FROM..TO cargo test --test it simulation::seeds_by_hand` plays other seeds. Those that were red
//! once are in `red_seeds.txt` and are played every time.

mod aside;
mod faults;
mod judge;
mod network;
mod planted;
mod reach;
mod seed;
mod story;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openai_scim_bridge::planted::{Bug, fail_commits, plant};

use reach::Reach;
use story::play;

/// How many seeds every run of the tests plays.
const SEEDS: u64 = 2_000;
/// How many of others are played twice.
const TWICE: u64 = 100;
/// How many are played side by side.
const THREADS: usize = 2;
/// Lines of a trace that are shown when a seed fails.
const SHOWN: usize = 120;

/// What happened in a seed. Outlives one that fails. Clones share it.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Told>>);

#[derive(Debug, Clone, Default)]
struct Told {
    trace: Vec<String>,
    reach: Reach,
}

impl Log {
    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What came of a seed.
struct Outcome {
    seed: u64,
    told: Told,
    /// What is wrong, if something is.
    complaint: Option<String>,
}

/// Plays one seed on a runtime of its own, with a bug in the bridge if one is given.
fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    let log = Log::default();
    let told = log.clone();
    plant(bug);
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(seed, log));
    }));
    plant(None);
    fail_commits(false);
    let complaint = played.err().map(|reason| {
        let complaint = reason.downcast_ref::<String>().cloned();
        let complaint = complaint.or_else(|| reason.downcast_ref::<&str>().map(ToString::to_string));
        complaint.unwrap_or_default()
    });
    Outcome { seed, told: told.with(std::mem::take), complaint }
}

/// Plays many seeds; fails with the last lines of the trace of the first that is red, and the complaints of all. Tells
/// what they came to.
fn run_all(from: u64, to: u64, lines: usize) -> Reach {
    let next = AtomicU64::new(from);
    let all = Mutex::new((Reach::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let outcome = run(seed, None);
                    let mut all = all.lock().unwrap();
                    all.0.add(&outcome.told.reach);
                    all.1.extend(outcome.complaint.is_some().then_some(outcome));
                }
            });
        }
    });
    let (reach, mut red) = all.into_inner().unwrap();
    red.sort_by_key(|outcome: &Outcome| outcome.seed);
    let Some(first) = red.first() else { return reach };
    let shown = first.told.trace.len().saturating_sub(lines);
    let complaints: Vec<String> = red
        .iter()
        .map(|red| format!("seed {}: {}", red.seed, red.complaint.as_deref().unwrap_or_default()))
        .collect();
    panic!(
        "{}\n\nthe trace of seed {}:\n{}",
        complaints.join("\n"),
        first.seed,
        first.told.trace[shown..].join("\n")
    );
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in SEEDS..SEEDS + TWICE {
        let [first, second] = [(); 2].map(|()| run(seed, None).told.trace);
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
fn invariants_hold_for_all_seeds_and_these_come_to_all_that_matters() {
    let reach = run_all(0, SEEDS, SHOWN);
    assert!(reach.missed().is_empty(), "no seed came to {:?}: {reach:?}", reach.missed());
}

#[test]
fn seeds_that_were_red_once_stay_green() {
    for line in include_str!("red_seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed = line.trim().parse().unwrap();
        run_all(seed, seed + 1, SHOWN);
    }
}

#[test]
fn seeds_by_hand() {
    #[expect(clippy::disallowed_methods, reason = "which seeds to play is the caller's word")]
    let Ok(seeds) = std::env::var("SCIM_BRIDGE_SEEDS") else { return };
    let (from, to) = seeds.split_once("..").expect("SCIM_BRIDGE_SEEDS=FROM..TO");
    run_all(from.parse().unwrap(), to.parse().unwrap(), usize::MAX);
}
