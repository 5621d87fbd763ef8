//! A stand-in for the OpenAI organization administration API, for tests and demonstrations.
//!
//! It is written from OpenAI's public API reference and shares no type with the bridge's own client, so that one
//! wrong type cannot agree with itself. It serves every endpoint of invites, users, projects, groups, roles, role
//! assignments, service accounts, keys and the audit log under `/v1`, limits requests as the real API does, and
//! keeps a [ledger](Entry) of every call that no fault touches. Whatever the reference leaves open is a switch in
//! [`Options`].
//!
//! At the start it holds two owners (`owner@example.com`, `second.owner@example.com`), a default project and a
//! service account in it, and accepts the key `sk-admin-simulator`.
//!
//! In a test, start [`Simulator::serve`] on a free port and use the methods of [`Simulator`]. From outside, the same
//! control calls are at hand over HTTP, without a key and without limits, see [`control_http`].
//!
//! A request's way is in [`front`]; the endpoints are in [`endpoints`]; start reading at [`routes`].

mod call;
mod control;
mod control_http;
mod endpoints;
mod faults;
mod front;
mod judge;
mod ledger;
mod limiter;
mod objects;
mod options;
mod organization;
mod paging;
mod routes;
mod serve;
mod table;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::clock::Clock;

pub use control::ControlError;
pub use faults::{Effect, Fault, FaultRule, PageFault};
pub use ledger::Entry;
pub use objects::{Invite, InviteStatus, Member, OrgRole, ProjectRole};
pub use options::{
    CreatedStatus, Dialect, Duplicate, EmailCase, EmailsFilter, Feature, ForbiddenBody, InviteTimestamp,
    LimiterOptions, Options, Policy, Rejoin, RoleIds, UnknownCursor,
};

use front::{Delivery, World};
use organization::Organization;

/// The largest body read.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The stand-in. Clones share one organization.
#[derive(Clone)]
pub struct Simulator(Arc<Inner>);

struct Inner {
    clock: Clock,
    initial: Options,
    /// How far the stand-in's clock is ahead of `clock`.
    offset: watch::Sender<SignedDuration>,
    world: Mutex<World>,
    /// Counts answered calls and control calls, so that [`Simulator::until`] can look again.
    changes: watch::Sender<u64>,
}

/// What the connection has to do instead of sending the response that carries this mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disruption {
    Reset,
    Silence,
}

impl Simulator {
    /// A fresh organization. Time is the clock's plus what [`Simulator::advance`] adds.
    pub fn new(options: Options, clock: Clock) -> Self {
        let organization = Organization::new(options.clone(), seed(&clock), clock.now());
        Self::with(organization, options, clock)
    }

    /// Another stand-in, on a clock of its own with another seed, whose organization begins as this one is: no ledger,
    /// no faults, no full windows.
    #[must_use]
    pub fn fork(&self, clock: Clock) -> Self {
        let organization = self.lock().organization.fork(seed(&clock));
        Self::with(organization, self.0.initial.clone(), clock)
    }

    fn with(organization: Organization, initial: Options, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            initial,
            offset: watch::Sender::new(SignedDuration::ZERO),
            world: Mutex::new(World::new(organization)),
            changes: watch::Sender::new(0),
        }))
    }

    /// Back to a fresh organization with the options given at the start: no ledger, no faults, no full windows.
    /// The clock stays where it is.
    pub fn reset(&self) {
        let seed = seed(&self.0.clock);
        let fresh = Organization::new(self.0.initial.clone(), seed, self.instant());
        *self.lock() = World::new(fresh);
    }

    /// The routes, to be served by anything that serves axum. Connection resets and endless silence need
    /// [`Simulator::serve`]; without it they are answered with an empty 502.
    pub fn router(&self) -> axum::Router {
        control_http::router().fallback(answer).with_state(self.clone())
    }

    /// Waits until `condition` holds, looking again after every call and control call.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.0.changes.subscribe();
        // The sender lives as long as this simulator, so waiting cannot fail.
        while !condition(self) && changes.changed().await.is_ok() {}
    }

    /// The world, moved to the present instant.
    fn lock(&self) -> Guard<'_> {
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        let is_changed = world.settle(self.instant());
        Guard { world, is_changed, changes: &self.0.changes }
    }

    fn instant(&self) -> Timestamp {
        let (now, offset) = (self.0.clock.now(), *self.0.offset.borrow());
        now.checked_add(offset).unwrap_or(now)
    }

    fn shift(&self, by: SignedDuration) {
        self.0.offset.send_modify(|offset| *offset = offset.saturating_add(by));
        self.0.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Waits on the stand-in's clock, which either of its two parts can move.
    async fn sleep(&self, by: SignedDuration) {
        let due = self.instant().checked_add(by).unwrap_or(Timestamp::MAX);
        let mut offset = self.0.offset.subscribe();
        while self.instant() < due {
            let ahead = *offset.borrow_and_update();
            let wake = due.checked_sub(ahead).unwrap_or(due);
            tokio::select! {
                () = self.0.clock.sleep_until(wake) => {}
                _ = offset.changed() => {}
            }
        }
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulator({})", self.0.initial.organization_id)
    }
}

fn seed(clock: &Clock) -> u64 {
    u64::from_le_bytes(clock.random_bytes())
}

/// The locked world; letting go of it after a change tells those who wait in [`Simulator::until`].
struct Guard<'a> {
    world: MutexGuard<'a, World>,
    is_changed: bool,
    changes: &'a watch::Sender<u64>,
}

impl std::ops::Deref for Guard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl std::ops::DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.is_changed = true;
        &mut self.world
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.is_changed {
            self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
    }
}

/// Answers a request to the API.
async fn answer(State(simulator): State<Simulator>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path();
    let request = front::Request {
        method: parts.method,
        path: path.strip_prefix("/v1").unwrap_or(path).to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.to_vec(),
    };
    let delivery = simulator.lock().take(&request);
    match delivery {
        Delivery::Answer(response) => response.map(Body::from),
        Delivery::Slow(wait, response) => {
            simulator.sleep(wait).await;
            response.map(Body::from)
        }
        Delivery::Reset => disrupted(Disruption::Reset),
        Delivery::Silence => disrupted(Disruption::Silence),
    }
}

fn disrupted(disruption: Disruption) -> Response {
    let mut response = StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(disruption);
    response
}
