//! The handle by which others reach a tenant's engine: to nudge it and to wait for it.
//!
//! A nudge carries no data. What to do is always worked out from stored state, so a lost nudge costs time, never
//! correctness.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::ids::{PersonId, TenantId};
use crate::roster::Roster;

/// What a waiting request learns about the person it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Everything that could be done at once is done; the store shows the result.
    Settled,
    /// The work waits for its budget or its turn: answer now, the status says `pending` or `removing`.
    Queued,
    /// OpenAI refused this person for good, with these words.
    Refused(String),
}

/// How a tenant's OpenAI organization looks from its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upstream {
    /// Calls are answered.
    #[default]
    Ok,
    /// OpenAI refuses the admin key: nothing is changed until a read goes through again.
    KeyRefused,
    /// OpenAI gave no trustworthy answer several times in a row: only removals are still tried.
    Unreachable,
}

/// How a tenant's engine does, for those who look after it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Health {
    /// How the organization looks.
    pub upstream: Upstream,
    /// What is wrong with the admin key, in OpenAI's words.
    pub key_trouble: Option<String>,
    /// Why no change is made, if none may be.
    pub standstill: Option<String>,
    /// How many holds wait for a decision.
    pub open_holds: i64,
    /// Since when the oldest removal that is not done waits.
    pub oldest_removal: Option<Timestamp>,
    /// How many calls wait, and what the budgets are.
    pub backlog: Backlog,
}

/// What waits for the budgets of endpoints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backlog {
    /// By the name of the endpoint: those that were called, and those that calls wait for.
    pub queues: BTreeMap<&'static str, Queue>,
    /// When the last of the calls that are known of can start, if nothing else comes up. More can follow from what they
    /// bring.
    pub last_start: Option<Timestamp>,
}

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Queue {
    /// Calls that it lets through in a minute, as far as was learnt.
    pub per_minute: u32,
    /// Calls that may start now.
    pub left: f64,
    /// Calls that wait for it.
    pub waiting: u64,
}

/// How an engine rests that can do nothing before something comes in or the clock moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// How many calls it waits for.
    pub under_way: usize,
    /// For how many people a request waits.
    pub waiting: usize,
    /// When the next thing is due.
    pub wake_at: Option<Timestamp>,
}

/// What the engine of a tenant is told.
#[derive(Debug)]
pub enum Message {
    /// Look at this person soon.
    Nudge(PersonId),
    /// Look at this person now and say when they are settled, or at once when that would take a wait.
    Settle(PersonId, oneshot::Sender<Settlement>),
    /// Say when nothing is under way and nothing can start at the present time, and when the next thing is due.
    Idle(oneshot::Sender<Option<Timestamp>>),
    /// Read the whole upstream side soon.
    Sweep,
    /// The admin key was exchanged: see whether it is accepted, and whose it is.
    KeyChanged,
    /// Look at the groups soon.
    Groups,
}

/// Reaches the engines of all tenants. Clones reach the same ones.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    engines: Roster<mpsc::UnboundedSender<Message>>,
}

impl Handle {
    /// A handle for these engines, and the receiving ends for them, in the order of the tenants.
    pub fn new(
        tenants: impl IntoIterator<Item = TenantId>,
    ) -> (Self, Vec<(TenantId, mpsc::UnboundedReceiver<Message>)>) {
        let handle = Self::default();
        let inboxes = tenants.into_iter().map(|tenant| {
            let inbox = handle.open(tenant.clone());
            (tenant, inbox)
        });
        let inboxes = inboxes.collect();
        (handle, inboxes)
    }

    /// Makes the engine of one more tenant reachable, in place of an earlier one, and returns the receiving end for it.
    pub fn open(&self, tenant: TenantId) -> mpsc::UnboundedReceiver<Message> {
        let (sender, inbox) = mpsc::unbounded_channel();
        self.engines.insert(tenant, sender);
        inbox
    }

    /// Forgets the engine of a tenant. What it is asked from now on is in the store for a later one.
    pub fn close(&self, tenant: &TenantId) {
        self.engines.remove(tenant);
    }

    /// Asks the engine to look at a person soon.
    pub fn nudge(&self, tenant: &TenantId, person: PersonId) {
        self.tell(tenant, Message::Nudge(person));
    }

    /// Asks the engine to look at the groups soon.
    pub fn nudge_groups(&self, tenant: &TenantId) {
        self.tell(tenant, Message::Groups);
    }

    /// Asks the engine to read the whole upstream side soon.
    pub fn sweep(&self, tenant: &TenantId) {
        self.tell(tenant, Message::Sweep);
    }

    /// Tells the engine that its client has another admin key.
    pub fn key_changed(&self, tenant: &TenantId) {
        self.tell(tenant, Message::KeyChanged);
    }

    /// Nudges and waits until the person is settled, or until it is clear that this takes longer than a request
    /// should wait. The caller sets the limit. An engine that is shutting down answers `Queued`: the work is stored.
    pub async fn settle(&self, tenant: &TenantId, person: PersonId) -> Settlement {
        let (reply, settled) = oneshot::channel();
        self.tell(tenant, Message::Settle(person, reply));
        settled.await.unwrap_or(Settlement::Queued)
    }

    /// Waits until the engine has nothing under way and can start nothing at the present time; tells when the next
    /// thing is due.
    pub async fn idle(&self, tenant: &TenantId) -> Option<Timestamp> {
        let (reply, idle) = oneshot::channel();
        self.tell(tenant, Message::Idle(reply));
        idle.await.unwrap_or(None)
    }

    fn tell(&self, tenant: &TenantId, message: Message) {
        if let Some(engine) = self.engines.get(tenant) {
            // An engine that has stopped finds the work in the store at its next start.
            let _stopped = engine.send(message).is_err();
        }
    }
}
