//! The fault matrix: every operation, killed at every point, under every outcome that the call to the organization can
//! have. Each cell is played to its end, and the judge of the simulation reads the invariants off the stand-in. What
//! cannot happen says why.
//!
//! `SCIM_BRIDGE_FAULTS=table cargo test --test it faults -- --nocapture` prints the table;
//! `SCIM_BRIDGE_FAULTS="delete/after send/503"` plays only cells whose name holds this text.

mod cell;
mod disk;
mod life;
mod scene;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Log;

/// What somebody wants: the table, or only cells whose name holds this text.
const WANTED: &str = "SCIM_BRIDGE_FAULTS";
const TABLE: &str = "table";
/// How many cells are played at a time.
const THREADS: usize = 2;
/// Lines of a trace that are shown when a cell fails.
const SHOWN: usize = 80;

macro_rules! axis {
    ($(#[$what:meta])* $axis:ident { $($value:ident = $word:literal,)* }) => {
        $(#[$what])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum $axis {
            $($value,)*
        }

        impl $axis {
            pub(super) const ALL: &[Self] = &[$(Self::$value),*];
        }

        impl fmt::Display for $axis {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$value => $word,)*
                })
            }
        }
    };
}

axis! {
    /// What is asked for.
    Operation {
        CreateNew = "create new",
        CreateExisting = "create existing",
        DeactivateMember = "deactivate member",
        DeactivateInvited = "deactivate invited",
        Reactivate = "reactivate",
        Delete = "delete",
        ReplaceRole = "replace role",
        Rename = "rename",
        GroupCreate = "group create",
        AddMember = "add member",
        RemoveMember = "remove member",
        ReplaceMembers = "replace members",
        DeleteGroup = "delete group",
        RoleByGroup = "role by group",
        FullPass = "full pass",
        GuardRelease = "guard release",
        GroupRelease = "group release",
    }
}

axis! {
    /// Where the program dies.
    Point {
        BeforeCommit = "before commit",
        InsideCommit = "inside commit",
        AfterCommit = "after commit",
        AfterAnswer = "after answer",
        AfterLease = "after lease",
        BeforeFirstByte = "before first byte",
        MidSend = "mid send",
        AfterSend = "after send",
        BeforeConfirm = "before confirm",
        InsideConfirm = "inside confirm",
        BetweenSteps = "between steps",
        InSettleWait = "in settle wait",
        BetweenListPages = "between list pages",
        InDrain = "in drain",
        InMigration = "in migration",
    }
}

axis! {
    /// What becomes of the call.
    Outcome {
        Done = "200",
        DoneLate = "200 after the client gave up",
        ConnectionRefused = "connection refused",
        ResetBefore = "reset before",
        ResetAfter = "reset after",
        BadRequest = "400",
        KeyRefused = "401",
        Forbidden = "403",
        NotFound = "404",
        Conflict = "409",
        LimitedWithPause = "429 with retry-after",
        Limited = "429 without retry-after",
        ServerError = "500",
        Unavailable = "503",
        Malformed = "malformed 200",
        HalfOpen = "half-open",
        PageLost = "page lost or repeated",
    }
}

impl Point {
    /// Whether the organization has seen nothing by then.
    fn is_before_any_call(self) -> bool {
        self < Self::MidSend || self == Self::InMigration
    }
}

impl Outcome {
    /// Whether the answer leaves open what became of the call.
    fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::DoneLate
                | Self::ResetBefore
                | Self::ResetAfter
                | Self::ServerError
                | Self::Unavailable
                | Self::Malformed
                | Self::HalfOpen
        )
    }

    /// Whether it is a definite no to what was asked, which is not asked again unasked.
    fn is_refusal(self) -> bool {
        matches!(self, Self::BadRequest | Self::NotFound | Self::Conflict)
    }

    /// Whether a call to a list brings something to be written down.
    fn brings_page(self) -> bool {
        matches!(self, Self::Done | Self::PageLost)
    }
}

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    operation: Operation,
    point: Point,
    outcome: Outcome,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.operation, self.point, self.outcome)
    }
}

impl Cell {
    fn all() -> impl Iterator<Item = Self> {
        Operation::ALL.iter().flat_map(|operation| {
            Point::ALL.iter().flat_map(move |point| {
                let outcomes = Outcome::ALL.iter();
                outcomes.map(|outcome| Self { operation: *operation, point: *point, outcome: *outcome })
            })
        })
    }

    /// Why this cannot happen, if it cannot.
    fn impossible(self) -> Option<&'static str> {
        let Self { operation, point, outcome } = self;
        let is_pass = operation == Operation::FullPass;
        if is_pass && point <= Point::AfterAnswer {
            Some("a pass stands in no database before it reads, and nobody waits for its answer")
        } else if point.is_before_any_call() && outcome != Outcome::Done {
            Some("nothing was called yet, so no outcome can matter; 200 stands for all")
        } else if outcome == Outcome::PageLost && !is_pass && point != Point::BetweenListPages {
            Some("what changes something is answered without pages")
        } else if outcome == Outcome::ConnectionRefused && matches!(point, Point::MidSend | Point::AfterSend)
        {
            Some("nothing is sent without a connection")
        } else if is_pass && point == Point::InSettleWait {
            Some("a reading that fails is just made again")
        } else if point == Point::InSettleWait && !outcome.is_unknown() {
            Some("the answer says what became of the call, so there is nothing to wait for")
        } else if is_pass && point == Point::BetweenSteps {
            Some("the steps of a pass are its pages: see between list pages")
        } else if is_pass && point == Point::InsideConfirm && !outcome.brings_page() {
            Some("nothing is written down of a page that did not come")
        } else {
            None
        }
    }
}

/// What came of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Held,
    Impossible(&'static str),
    Red { complaint: String, trace: Vec<String> },
}

/// Plays one cell on a runtime of its own.
fn play(cell: Cell) -> Verdict {
    let log = Log::default();
    let told = log.clone();
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(cell::play(cell, log));
    }));
    let Err(reason) = played else { return Verdict::Held };
    let complaint = reason.downcast_ref::<String>().cloned();
    let complaint = complaint.or_else(|| reason.downcast_ref::<&str>().map(ToString::to_string));
    let trace = told.with(|told| std::mem::take(&mut told.trace));
    Verdict::Red { complaint: complaint.unwrap_or_default(), trace }
}

/// Plays all of these that can happen.
fn play_all(cells: &[Cell]) -> BTreeMap<Cell, Verdict> {
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = cell.impossible().map_or_else(|| play(*cell), Verdict::Impossible);
                    verdicts.lock().unwrap().insert(*cell, verdict);
                }
            });
        }
    });
    verdicts.into_inner().unwrap()
}

/// For each operation and point: how many outcomes held, and how many failed.
fn table(verdicts: &BTreeMap<Cell, Verdict>) -> String {
    let mut lines =
        vec![format!("{:18} {:20} {:>5} {:>5} {:>12}", "operation", "killed", "held", "red", "impossible")];
    for operation in Operation::ALL {
        for point in Point::ALL {
            let row = || verdicts.iter().filter(|(at, _)| at.operation == *operation && at.point == *point);
            let held = row().filter(|(_, verdict)| **verdict == Verdict::Held).count();
            let red = row().filter(|(_, verdict)| matches!(verdict, Verdict::Red { .. })).count();
            let impossible = row().count() - held - red;
            lines.push(format!("{operation:18} {point:20} {held:5} {red:5} {impossible:12}"));
        }
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in verdicts.values() {
        let reason = match verdict {
            Verdict::Held => "held",
            Verdict::Red { .. } => "RED",
            Verdict::Impossible(reason) => reason,
        };
        *reasons.entry(reason).or_default() += 1;
    }
    lines.extend(reasons.into_iter().map(|(reason, cells)| format!("{cells:5} {reason}")));
    lines.join("\n")
}

fn tell(text: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{text}").unwrap();
}

#[test]
fn every_cell_ends_as_wished() {
    let cells: Vec<Cell> = Cell::all().collect();
    assert_eq!(cells.len(), 17 * 15 * 17);
    #[expect(clippy::disallowed_methods, reason = "what to show is the caller's word")]
    let wanted = std::env::var(WANTED).ok();
    let some: Vec<Cell> = match &wanted {
        Some(text) if text != TABLE => {
            cells.iter().copied().filter(|cell| cell.to_string().contains(text)).collect()
        }
        _ => cells.clone(),
    };
    let verdicts = play_all(&some);
    if wanted.as_deref() == Some(TABLE) {
        tell(&table(&verdicts));
    }
    let untested: Vec<&Cell> = some.iter().filter(|cell| !verdicts.contains_key(cell)).collect();
    assert!(untested.is_empty(), "nobody looked at {untested:?}");
    let mut complaints = Vec::new();
    let mut first = None;
    for (cell, verdict) in &verdicts {
        if let Verdict::Red { complaint, trace } = verdict {
            complaints.push(format!("{cell}: {complaint}"));
            first = first.or(Some((cell, trace)));
        }
    }
    let Some((cell, trace)) = first else { return };
    let from = trace.len().saturating_sub(SHOWN);
    panic!("{}\n\nthe trace of {cell}:\n{}", complaints.join("\n"), trace[from..].join("\n"));
}

#[test]
fn most_cells_can_happen_and_no_operation_is_left_out() {
    for operation in Operation::ALL {
        let cells = || Cell::all().filter(|cell| cell.operation == *operation && cell.impossible().is_none());
        let least = if *operation == Operation::FullPass { 80 } else { 120 };
        assert!(cells().count() >= least, "{operation}: {}", cells().count());
        for outcome in Outcome::ALL {
            assert!(cells().any(|cell| cell.outcome == *outcome), "{operation} never ends with {outcome}");
        }
    }
}
