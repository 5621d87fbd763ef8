//! What an identity provider may do: each SCIM operation is one transaction on the store, then a nudge to the engine.
//!
//! Nothing here calls OpenAI, and nothing here knows HTTP. The parts:
//!
//! - `caller`: who asks, and what they may do.
//! - `wish`: what a user resource asks for.
//! - `write`: the transactions.
//! - `rules`: who may be created, changed and removed.
//! - `settle`: the wait for the engine after a write, and undoing a create that OpenAI refuses.
//! - `list`, `compile`: what satisfies a query, in an order and by pages.
//! - `feed`: what other systems are told, and requests that are answered later.
//! - `render`: a person as a SCIM resource.
//! - `groups`: the same for groups, whose members are rows.
//! - `catalogue`: what access there is to give.

mod caller;
mod catalogue;
mod compile;
mod error;
mod feed;
mod groups;
mod list;
mod render;
mod rules;
mod settle;
mod wish;
mod write;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::events::Feed;
use crate::ids::{PersonId, TenantId};
use crate::model::policy::Policy;
use crate::provision::handle::Handle;
use crate::roster::Roster;
use crate::scim::cursor::CursorKey;
use crate::scim::error::ScimError;
use crate::scim::profile::Profile;
use crate::scim::schema::{Registry, ResourceType};
use crate::store::Store;

pub(crate) use crate::telemetry::chain;
pub use caller::{Caller, Rights};
pub use catalogue::Catalogue;
pub use error::DirectoryError;
pub use feed::{Accepted, EVENTS, Progress, Reply, TRANSACTIONS};
pub use groups::ShownGroup;
pub use list::{Entry, Kind, Listing, Turn};
pub use render::Shown;
pub use wish::OPENAI_USER;

/// The directory of all tenants. Clones share everything.
#[derive(Debug, Clone)]
pub struct Directory {
    store: Store,
    engine: Handle,
    clock: Clock,
    policies: Roster<Arc<Policy>>,
    profiles: Roster<Profile>,
    public_url: Arc<str>,
    answer_wait: Duration,
    feed: Option<Feed>,
    cursor_key: CursorKey,
}

/// How long an answer waits at most for the engine to settle the person it is about.
pub const ANSWER_WAIT: Duration = Duration::from_secs(2);

impl Directory {
    /// A directory of the tenants that have a policy.
    ///
    /// `public_url` is where clients reach the program, such as `https://scim.example.com`; every `meta.location`
    /// begins with it. Its cursors are good as long as this directory and its clones are there
    /// ([`Directory::with_lasting_cursors`]).
    pub fn new(
        store: Store,
        engine: Handle,
        clock: Clock,
        policies: impl IntoIterator<Item = (TenantId, Policy)>,
        public_url: &str,
    ) -> Self {
        let policies = policies.into_iter().map(|(tenant, policy)| (tenant, Arc::new(policy))).collect();
        let cursor_key = CursorKey::new(clock.random_bytes());
        Self {
            store,
            engine,
            clock,
            policies,
            profiles: Roster::default(),
            public_url: public_url.trim_end_matches('/').into(),
            answer_wait: ANSWER_WAIT,
            feed: None,
            cursor_key,
        }
    }

    /// The same directory with another limit to how long answers wait.
    #[must_use]
    pub fn with_answer_wait(self, answer_wait: Duration) -> Self {
        Self { answer_wait, ..self }
    }

    /// The same directory for tenants with these profiles; all others are [`Profile::Generic`].
    #[must_use]
    pub fn with_profiles(self, profiles: impl IntoIterator<Item = (TenantId, Profile)>) -> Self {
        Self { profiles: profiles.into_iter().collect(), ..self }
    }

    /// Serves one more tenant, or the same one by other rules.
    pub fn take_on(&self, tenant: TenantId, policy: Policy, profile: Profile) {
        self.profiles.insert(tenant.clone(), profile);
        self.policies.insert(tenant, Arc::new(policy));
    }

    /// Serves a tenant no longer. What is stored of it stays.
    pub fn let_go(&self, tenant: &TenantId) {
        self.policies.remove(tenant);
        self.profiles.remove(tenant);
    }

    /// The identity provider that the tenant is set up for.
    pub fn profile(&self, tenant: &TenantId) -> Profile {
        self.profiles.get(tenant).unwrap_or_default()
    }

    /// Whether the settings know the tenant.
    pub fn serves(&self, tenant: &TenantId) -> bool {
        self.policies.contains(tenant)
    }

    /// The SCIM base URL of a tenant; the paths of resources are appended to it.
    pub fn base_url(&self, tenant: &TenantId) -> String {
        if *tenant == TenantId::default_tenant() {
            format!("{}/scim/v2", self.public_url)
        } else {
            format!("{}/tenants/{tenant}/scim/v2", self.public_url)
        }
    }

    /// Whether clients reach the program by HTTPS.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Whether the store can be read and written at the moment.
    pub async fn check_store(&self) -> Result<(), DirectoryError> {
        Ok(self.store.health().await?)
    }

    /// How many writes may be begun at once that have to be made in the order in which they were begun. None of them
    /// waits for anything before it asks the store.
    pub fn writes_at_once(&self) -> usize {
        self.store.writes_at_once()
    }

    fn policy(&self, caller: &Caller) -> Result<Arc<Policy>, DirectoryError> {
        let policy = self.policies.get(&caller.tenant);
        policy.ok_or_else(|| ScimError::forbidden("this tenant is not in the settings of the bridge").into())
    }
}

/// The resource type that stands for people.
pub fn user_type() -> &'static ResourceType {
    #[expect(clippy::expect_used, reason = "the schemas are part of the program, and a test loads them")]
    Registry::builtin().resource_type("User").expect("the user resource type is built in")
}

/// The resource type that stands for groups.
pub fn group_type() -> &'static ResourceType {
    #[expect(clippy::expect_used, reason = "the schemas are part of the program, and a test loads them")]
    Registry::builtin().resource_type("Group").expect("the group resource type is built in")
}

/// The id in a URL; what is no id of ours names nobody.
fn parse_id(id: &str) -> Result<PersonId, DirectoryError> {
    id.parse().map_err(|_malformed| no_such_user())
}

fn no_such_user() -> DirectoryError {
    ScimError::not_found("no user has this id").into()
}
