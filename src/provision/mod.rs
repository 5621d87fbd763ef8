//! The engine: drives the OpenAI organization to what the directory wishes.
//!
//! **One code path.** A create, a deactivation, a repaired drift, an adopted member and a dry run are the same thing
//! here: [`desired`](mod@desired) says what a person should have, the mirror in the store says what was last seen,
//! [`plan`](mod@plan) says what to do about the difference, and the driver carries that out, one call at a time per
//! person, planning anew after each. There is no second place that decides, so there is no second opinion.
//!
//! **No input but the key.** The driver is told *whom* to look at, never *what* to do: that comes from stored state
//! each time. A nudge that is lost costs time, a nudge that is doubled costs nothing, five changes in a row are one
//! plan. What is remembered is what is wished, not which calls failed; who has to be looked at, and when, stands in
//! the store, so a restart goes on where the last run was stopped.
//!
//! **Plan before act.** A plan is plain data with a reason in every step: it can be printed, compared and counted
//! before anything happens. It is made by a pure function, without store, client or clock, and leaves no choices to
//! whoever carries it out. Every removal and demotion passes the [`guard`] while it is planned; a guard turns a call
//! into a hold and never loses the wish.
//!
//! **Record, call, settle.** An operation is on record as `sending`, committed, before its first byte leaves. If no
//! definite answer comes, by a lost connection or a crash, it is `unknown`, and what happened is read back before
//! anything is repeated: an invite by complete readings once it had time to appear, everything else by a look at the
//! thing itself. An idempotency key does not exist on the other side; this takes its place.
//!
//! **Absence is not an order.** What a reading shows is believed; what it does not show is believed only after a walk
//! to its end that contradicted itself nowhere and was not suspiciously short. And even then somebody who is missing
//! is looked up by name before it counts, and a missing member is reported, not invited again.
//!
//! **Taking away goes first.** Lanes are served in order, one of the few places for calls in flight is kept for
//! removals, and their retries have no end. Only the endpoint's own budget and a refused key can make them wait.
//!
//! Reading order: [`desired`](mod@desired), [`plan`](mod@plan), [`guard`] and [`status`](mod@status) decide and are
//! pure, and so is [`group_plan`] for the groups that are kept for SCIM groups; `load`, `observe`, `execute` and
//! `group_call` read and act; `pace` and `sweeps` say how fast; `agenda` and `driver` say
//! who is next; [`handle`] is the door for others.

mod admit;
pub mod adopt;
mod agenda;
mod budgets;
mod census;
mod context;
pub mod desired;
mod driver;
mod execute;
mod group_call;
pub mod group_plan;
pub mod guard;
pub mod handle;
mod inventory;
mod load;
mod observe;
mod pace;
pub mod plan;
pub mod preview;
pub mod status;
mod sweeps;

pub use census::{Census, take_census};
pub use driver::Engine;
