//! An engine with a real store and a real HTTP stand-in, on a clock that stands still until it is moved.

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::{GroupId, PersonId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::group::Group;
use openai_scim_bridge::model::hold::{Decision, Hold};
use openai_scim_bridge::model::mapping::{Mapping, Status};
use openai_scim_bridge::model::operation::{Lane, Operation};
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::openai::{Client, Settings};
use openai_scim_bridge::provision::Engine;
use openai_scim_bridge::provision::handle::{Handle, Health, Settlement};
use openai_scim_bridge::simulator::{Options, OrgRole, Simulator};
use openai_scim_bridge::store::{HoldFilter, Store, StoreError};
use openai_scim_bridge::telemetry::metrics::Metrics;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::database::Database;
use super::standin;

/// Path templates that tests count calls of.
pub(crate) const AUDIT_LOG: &str = "/organization/audit_logs";
pub(crate) const INVITES: &str = "/organization/invites";
pub(crate) const INVITE: &str = "/organization/invites/{invite_id}";
pub(crate) const USERS: &str = "/organization/users";
pub(crate) const USER: &str = "/organization/users/{user_id}";
pub(crate) const PROJECTS: &str = "/organization/projects";
pub(crate) const PROJECT_USERS: &str = "/organization/projects/{project_id}/users";
pub(crate) const PROJECT_USER: &str = "/organization/projects/{project_id}/users/{user_id}";

/// One tenant's engine and the organization it drives.
pub(crate) struct Bridge {
    pub(crate) sim: Simulator,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) tenant: TenantId,
    policy: Policy,
    handle: Handle,
    key: String,
    client: Option<Client>,
    health: Option<watch::Receiver<Health>>,
    base_url: Url,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    server: JoinHandle<()>,
    pub(crate) database: Database,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.server.abort();
        if let Some((cancel, _)) = &self.running {
            cancel.cancel();
        }
    }
}

impl Bridge {
    /// An engine with the usual policy and organization.
    pub(crate) async fn start() -> Self {
        Self::with(Policy::default(), |_| {}, |_| {}).await
    }

    /// An engine with this policy.
    pub(crate) async fn with_policy(policy: Policy) -> Self {
        Self::with(policy, |_| {}, |_| {}).await
    }

    /// An engine with this policy and an organization that is prepared before the engine sees it.
    pub(crate) async fn with(
        policy: Policy,
        options: impl FnOnce(&mut Options),
        prepare: impl FnOnce(&Simulator),
    ) -> Self {
        let database = Database::sqlite();
        let clock = database.clock.clone();
        let store = database.open().await;
        let mut chosen = Options::default();
        options(&mut chosen);
        let sim = Simulator::new(chosen, clock.clone());
        prepare(&sim);
        let (address, server) = standin::serve(&sim).await;
        let mut bridge = Self {
            sim,
            store,
            clock,
            metrics: Metrics::new(),
            tenant: TenantId::default_tenant(),
            policy,
            handle: Handle::default(),
            key: "sk-admin-simulator".to_owned(),
            client: None,
            health: None,
            base_url: format!("http://{address}/v1").parse().unwrap(),
            running: None,
            server,
            database,
        };
        bridge.run();
        bridge.quiet().await;
        bridge
    }

    /// Starts an engine on what is stored.
    pub(crate) fn run(&mut self) {
        let (handle, mut inboxes) = Handle::new([self.tenant.clone()]);
        let (_, inbox) = inboxes.pop().unwrap();
        let settings = Settings::new("default", self.base_url.clone(), self.key.clone().into());
        let client = Client::new(settings, self.clock.clone(), self.metrics.clone()).unwrap();
        self.client = Some(client.clone());
        let engine = Engine::new(
            self.tenant.clone(),
            self.policy.clone(),
            self.store.clone(),
            client,
            self.clock.clone(),
            self.metrics.clone(),
            inbox,
        );
        self.health = Some(engine.health());
        let cancel = CancellationToken::new();
        let task = tokio::spawn(engine.run(cancel.clone()));
        self.handle = handle;
        self.running = Some((cancel, task));
    }

    /// Stops the engine as a shutdown does.
    pub(crate) async fn stop(&mut self) {
        let (cancel, task) = self.running.take().unwrap();
        cancel.cancel();
        task.await.unwrap();
    }

    /// Stops the engine in the middle of whatever it does.
    pub(crate) async fn kill(&mut self) {
        let (_, task) = self.running.take().unwrap();
        task.abort();
        let _cancelled = task.await.is_err();
    }

    /// What the engine says of itself.
    pub(crate) fn health(&self) -> Health {
        self.health.as_ref().unwrap().borrow().clone()
    }

    /// Exchanges the admin key while the engine runs.
    pub(crate) async fn exchange_key(&mut self, key: &str) {
        key.clone_into(&mut self.key);
        assert!(self.client.as_ref().unwrap().set_key(&key.into()).unwrap());
        self.handle.key_changed(&self.tenant);
        self.quiet().await;
    }

    /// Another policy from the next start on.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub(crate) async fn write(
        &self,
        work: impl for<'t> Fn(&'t mut openai_scim_bridge::store::Tx) -> BoxFuture<'t, Result<(), StoreError>>
        + Send
        + Sync
        + 'static,
    ) {
        self.store.write(work).await.unwrap();
    }

    /// A new person `name@example.com`, written as the directory writes them, without a nudge.
    pub(crate) async fn insert(&self, name: &str) -> PersonId {
        self.insert_all([name.to_owned()]).await[0]
    }

    /// Many new people, in one transaction.
    pub(crate) async fn insert_all(&self, names: impl IntoIterator<Item = String>) -> Vec<PersonId> {
        let people: Vec<Person> = names.into_iter().map(|name| self.person(&name)).collect();
        let ids = people.iter().map(|person| person.id).collect();
        self.write(move |tx| {
            let people = people.clone();
            Box::pin(async move {
                for person in &people {
                    tx.insert_person(person, Lane::Invite).await?;
                }
                Ok(())
            })
        })
        .await;
        ids
    }

    fn person(&self, name: &str) -> Person {
        let now = self.clock.now();
        Person {
            tenant: self.tenant.clone(),
            id: PersonId::new(&self.clock),
            user_name: format!("{name}@example.com"),
            external_id: Some(name.to_owned()),
            address: Some(Address::parse(&format!("{name}@example.com")).unwrap()),
            active: true,
            deleted_at: None,
            version: 1,
            created_at: now,
            modified_at: now,
            attributes: Map::new(),
        }
    }

    /// A new person, and all that can be done about them now.
    pub(crate) async fn create(&self, name: &str) -> PersonId {
        let id = self.insert(name).await;
        self.handle.nudge(&self.tenant, id);
        self.quiet().await;
        id
    }

    /// Changes a person without a nudge.
    pub(crate) async fn edit(&self, id: PersonId, change: impl FnOnce(&mut Person)) {
        let mut reader = self.store.reader().await.unwrap();
        let mut person = reader.load_work(&self.tenant, id).await.unwrap().unwrap().person;
        drop(reader);
        let previous = person.version;
        change(&mut person);
        person.version += 1;
        person.modified_at = self.clock.now();
        let lane = if person.wants_access() { Lane::Grant } else { Lane::Revoke };
        self.write(move |tx| {
            let person = person.clone();
            Box::pin(async move { tx.update_person(&person, previous, lane).await })
        })
        .await;
    }

    /// Changes a person, and does all that can be done about it now.
    pub(crate) async fn change(&self, id: PersonId, change: impl FnOnce(&mut Person)) {
        self.edit(id, change).await;
        self.handle.nudge(&self.tenant, id);
        self.quiet().await;
    }

    /// Gives a person an attribute, such as the extension with their own grants.
    pub(crate) async fn set(&self, id: PersonId, attribute: &str, value: Value) {
        self.change(id, |person| drop(person.attributes.insert(attribute.to_owned(), value))).await;
    }

    pub(crate) async fn deactivate(&self, id: PersonId) {
        self.change(id, |person| person.active = false).await;
    }

    /// Deactivates many at the same instant.
    pub(crate) async fn deactivate_all(&self, ids: &[PersonId]) {
        for id in ids {
            self.edit(*id, |person| person.active = false).await;
            self.handle.nudge(&self.tenant, *id);
        }
        self.quiet().await;
    }

    pub(crate) async fn activate(&self, id: PersonId) {
        self.change(id, |person| person.active = true).await;
    }

    /// What a SCIM DELETE leaves.
    pub(crate) async fn delete(&self, id: PersonId) {
        let now = self.clock.now();
        self.change(id, |person| {
            person.deleted_at = Some(now);
            person.attributes.clear();
        })
        .await;
    }

    /// A new person who is a member by now; they and their OpenAI id.
    pub(crate) async fn create_member(&self, name: &str) -> (PersonId, String) {
        let person = self.create(name).await;
        self.join(name).await;
        let (user, _) = self.member(name).unwrap();
        (person, user)
    }

    /// A new SCIM group of these people, and all that follows from it now.
    pub(crate) async fn create_group(&self, name: &str, members: &[PersonId]) -> GroupId {
        let now = self.clock.now();
        let group = Group {
            tenant: self.tenant.clone(),
            id: GroupId::new(&self.clock),
            display_name: name.to_owned(),
            external_id: None,
            version: 1,
            created_at: now,
            modified_at: now,
            attributes: Map::new(),
        };
        let id = group.id;
        self.write(move |tx| {
            let group = group.clone();
            Box::pin(async move { tx.insert_group(&group).await })
        })
        .await;
        self.add_to_group(id, members).await;
        id
    }

    /// Deletes a SCIM group of these people, and all that follows from it now.
    pub(crate) async fn delete_group(&self, id: GroupId, members: &[PersonId]) {
        let (tenant, people) = (self.tenant.clone(), members.to_vec());
        self.write(move |tx| {
            let (tenant, people) = (tenant.clone(), people.clone());
            Box::pin(async move {
                tx.delete_group(&tenant, id, 1).await?;
                tx.make_due(&tenant, &people, Lane::Reduce).await
            })
        })
        .await;
        self.notice(members).await;
    }

    /// Puts people into a SCIM group, and all that follows from it now.
    pub(crate) async fn add_to_group(&self, group: GroupId, members: &[PersonId]) {
        let (tenant, people) = (self.tenant.clone(), members.to_vec());
        self.write(move |tx| {
            let (tenant, people) = (tenant.clone(), people.clone());
            Box::pin(async move {
                tx.add_members(&tenant, group, &people.iter().copied().collect()).await?;
                tx.make_due(&tenant, &people, Lane::Grant).await
            })
        })
        .await;
        self.notice(members).await;
    }

    /// Takes people out of a SCIM group, and all that follows from it now.
    pub(crate) async fn take_from_group(&self, group: GroupId, members: &[PersonId]) {
        let (tenant, people) = (self.tenant.clone(), members.to_vec());
        self.write(move |tx| {
            let (tenant, people) = (tenant.clone(), people.clone());
            Box::pin(async move {
                tx.remove_members(&tenant, group, &people.iter().copied().collect()).await?;
                tx.make_due(&tenant, &people, Lane::Reduce).await
            })
        })
        .await;
        self.notice(members).await;
    }

    /// Lets the engine know of a change of groups and of these people.
    pub(crate) async fn notice(&self, people: &[PersonId]) {
        for person in people {
            self.handle.nudge(&self.tenant, *person);
        }
        self.handle.nudge_groups(&self.tenant);
        self.quiet().await;
    }

    /// Waits until nothing can start at the present instant; tells when the next thing can.
    pub(crate) async fn quiet(&self) -> Option<Timestamp> {
        let idle = self.handle.idle(&self.tenant);
        tokio::time::timeout(std::time::Duration::from_mins(1), idle).await.expect("the engine comes to rest")
    }

    /// Lets this much time pass, and everything happen that falls due in it.
    pub(crate) async fn pass(&self, time: SignedDuration) {
        self.pass_in_steps(time, SignedDuration::ZERO).await;
    }

    async fn pass_in_steps(&self, time: SignedDuration, shortest: SignedDuration) {
        let end = self.clock.now().checked_add(time).unwrap();
        while let Some(next) = self.quiet().await {
            let next = next.max(self.clock.now().checked_add(shortest).unwrap());
            if next > end {
                break;
            }
            self.clock.set(next);
        }
        self.clock.set(end);
        self.quiet().await;
    }

    pub(crate) async fn minutes(&self, minutes: i64) {
        self.pass(SignedDuration::from_mins(minutes)).await;
    }

    /// The same on a machine that comes to look every few minutes only, which takes a fraction of the work.
    pub(crate) async fn hours(&self, hours: i64) {
        self.pass_in_steps(SignedDuration::from_hours(hours), SignedDuration::from_mins(5)).await;
    }

    pub(crate) fn nudge(&self, id: PersonId) {
        self.handle.nudge(&self.tenant, id);
    }

    pub(crate) fn sweep(&self) {
        self.handle.sweep(&self.tenant);
    }

    pub(crate) async fn settle(&self, id: PersonId) -> Settlement {
        self.handle.settle(&self.tenant, id).await
    }

    pub(crate) async fn mapping(&self, id: PersonId) -> Mapping {
        let mut reader = self.store.reader().await.unwrap();
        let work = reader.load_work(&self.tenant, id).await.unwrap().unwrap();
        work.mapping.unwrap_or_else(|| Mapping::new(self.tenant.clone(), id))
    }

    pub(crate) async fn status(&self, id: PersonId) -> Status {
        self.mapping(id).await.status
    }

    /// The holds that are not over.
    pub(crate) async fn holds(&self) -> Vec<Hold> {
        let filter = HoldFilter { is_over: Some(false), ..HoldFilter::default() };
        self.store.reader().await.unwrap().list_holds(&self.tenant, &filter, None, 100).await.unwrap()
    }

    /// What an administrator says of a hold, and all that follows from it.
    pub(crate) async fn decide(&self, hold: &Hold, approve: bool) {
        let (hold, at) = (hold.clone(), self.clock.now());
        self.write(move |tx| {
            let hold = hold.clone();
            let decision = Decision { at, by: "ann".into(), why: Some("asked HR".into()) };
            Box::pin(async move {
                assert!(tx.decide_hold(&hold, approve, &decision).await?);
                Ok(())
            })
        })
        .await;
        self.pass(SignedDuration::from_secs(10)).await;
    }

    pub(crate) async fn operations(&self, id: PersonId) -> Vec<Operation> {
        let mut reader = self.store.reader().await.unwrap();
        reader.list_operations(&self.tenant, id, 100).await.unwrap()
    }

    /// The id of the pending invite to `name@example.com`.
    pub(crate) fn pending(&self, name: &str) -> Vec<String> {
        let invites = self.sim.pending_invites(&format!("{name}@example.com"));
        invites.into_iter().map(|invite| invite.id).collect()
    }

    /// The member `name@example.com`.
    pub(crate) fn member(&self, name: &str) -> Option<(String, OrgRole)> {
        let email = format!("{name}@example.com");
        let found = self.sim.members().into_iter().find(|member| member.email.as_deref() == Some(&email));
        found.map(|member| (member.id, member.role))
    }

    /// Accepts the invite to `name@example.com` and lets the bridge find out.
    pub(crate) async fn join(&self, name: &str) {
        self.accept(name);
        self.sweep();
        self.quiet().await;
    }

    /// Accepts the invite to `name@example.com`.
    pub(crate) fn accept(&self, name: &str) {
        let pending = self.pending(name);
        assert_eq!(pending.len(), 1, "one pending invite to {name}");
        self.sim.accept_invite(&pending[0]).unwrap();
    }

    /// Calls that are not reads.
    pub(crate) fn writes(&self) -> usize {
        self.sim.ledger().iter().filter(|entry| entry.method != "GET").count()
    }
}
