//! The census: reads which API keys and service accounts the projects have, so that it can be told what somebody who
//! left has left behind. It changes nothing upstream, and its endpoints have budgets of their own, so that nothing
//! else waits for it.

use jiff::Timestamp;

use crate::clock::Clock;
use crate::ids::{ProjectId, TenantId};
use crate::model::credential::{Credential, CredentialKind};
use crate::openai::{Client, End, Endpoint, Failure, FailureKind, ProjectKey, ServiceAccount, Walk};
use crate::store::{Store, StoreError};

/// Objects on a page.
const PAGE: u32 = 100;
/// Projects that are looked up at a time.
const CHUNK: i64 = 1000;

/// What a census came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Projects that were read completely.
    pub read: usize,
    /// Projects that could not be read, each with the reason.
    pub unread: Vec<(ProjectId, String)>,
}

/// Reads every project that is known, one after the other. Where the budget of an endpoint is used up, it waits.
pub async fn take_census(
    client: &Client,
    store: &Store,
    clock: &Clock,
    tenant: &TenantId,
) -> Result<Census, StoreError> {
    let mut census = Census::default();
    for project in projects(store, tenant).await? {
        let at = clock.now();
        match read(client, clock, Count::new(project.clone(), at)).await {
            Ok(seen) => {
                keep(store, tenant, &project, seen, at).await?;
                census.read += 1;
            }
            Err(Unread { why, is_key_refused }) => {
                tracing::debug!(%tenant, %project, why, "the keys of a project cannot be read");
                census.unread.push((project, why));
                if is_key_refused {
                    // Every other project would be answered likewise.
                    break;
                }
            }
        }
    }
    Ok(census)
}

async fn projects(store: &Store, tenant: &TenantId) -> Result<Vec<ProjectId>, StoreError> {
    let mut reader = store.reader().await?;
    let mut projects: Vec<ProjectId> = Vec::new();
    loop {
        let chunk = reader.scan_projects(tenant, projects.last(), CHUNK).await?;
        if chunk.is_empty() {
            return Ok(projects);
        }
        projects.extend(chunk.into_iter().map(|project| project.id));
    }
}

/// Why a project was not read.
struct Unread {
    why: String,
    is_key_refused: bool,
}

/// Reads a project, however long its budgets take.
async fn read(client: &Client, clock: &Clock, mut count: Count) -> Result<Vec<Credential>, Unread> {
    loop {
        match count.step(client).await {
            Ok(Counted::More) => {}
            Ok(Counted::All(seen)) => return Ok(seen),
            Ok(Counted::Broken(why)) => return Err(Unread { why: why.to_owned(), is_key_refused: false }),
            Err(Failure { kind: FailureKind::RateLimited { until }, .. }) => clock.sleep_until(until).await,
            Err(failure) => {
                let is_key_refused = failure.kind == FailureKind::KeyRefused;
                return Err(Unread { why: failure.to_string(), is_key_refused });
            }
        }
    }
}

/// The reading of one project, page by page. A failure leaves it where it is.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) project: ProjectId,
    /// What it shows was so since then.
    pub(super) began_at: Timestamp,
    keys: Walk<ProjectKey>,
    accounts: Walk<ServiceAccount>,
}

/// What a page came to.
#[derive(Debug)]
pub(super) enum Counted {
    More,
    All(Vec<Credential>),
    /// The pages contradict each other.
    Broken(&'static str),
}

impl Count {
    pub(super) fn new(project: ProjectId, began_at: Timestamp) -> Self {
        Self { project, began_at, keys: Walk::new(), accounts: Walk::new() }
    }

    /// The endpoint that the next page needs.
    pub(super) fn endpoint(&self) -> Endpoint {
        if self.keys.end().is_none() { Endpoint::ListProjectKeys } else { Endpoint::ListServiceAccounts }
    }

    /// Reads the next page: the keys first, then the service accounts.
    pub(super) async fn step(&mut self, client: &Client) -> Result<Counted, Failure> {
        let id = self.project.as_str();
        let end = if self.keys.end().is_none() {
            let keys = &mut self.keys;
            let end =
                keys.step(|after| async move { client.list_project_keys(id, after.as_deref(), PAGE).await });
            end.await?.filter(|end| *end != End::Complete)
        } else {
            let accounts = &mut self.accounts;
            let end = accounts
                .step(|after| async move { client.list_service_accounts(id, after.as_deref(), PAGE).await });
            end.await?
        };
        Ok(match end {
            None => Counted::More,
            Some(End::Broken(why)) => Counted::Broken(why),
            Some(End::Complete) => {
                let keys = self.keys.items().iter().cloned().map(|key| of_key(&self.project, key));
                let accounts = self.accounts.items().iter().cloned();
                let accounts = accounts.map(|account| of_account(&self.project, account));
                Counted::All(keys.chain(accounts).collect())
            }
        })
    }
}

async fn keep(
    store: &Store,
    tenant: &TenantId,
    project: &ProjectId,
    seen: Vec<Credential>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (tenant, project) = (tenant.clone(), project.clone());
    store
        .write(move |tx| {
            let (tenant, project, seen) = (tenant.clone(), project.clone(), seen.clone());
            Box::pin(async move { tx.observe_credentials(&tenant, &project, &seen, at).await })
        })
        .await
}

fn of_key(project: &ProjectId, key: ProjectKey) -> Credential {
    let (kind, owner) = match (key.owner.user, key.owner.service_account) {
        (_, Some(account)) => (CredentialKind::ServiceKey, Some(account.id)),
        (user, None) => (CredentialKind::UserKey, user.map(|user| user.id)),
    };
    Credential {
        project: project.clone(),
        kind,
        id: key.id,
        name: key.name,
        owner,
        owner_has_access: match key.owner_project_access.as_deref() {
            Some("active") => Some(true),
            Some("inactive") => Some(false),
            _ => None,
        },
        created_at: key.created_at,
        last_used_at: key.last_used_at,
    }
}

fn of_account(project: &ProjectId, account: ServiceAccount) -> Credential {
    Credential {
        project: project.clone(),
        kind: CredentialKind::ServiceAccount,
        id: account.id,
        name: account.name,
        owner: None,
        owner_has_access: None,
        created_at: account.created_at,
        last_used_at: None,
    }
}
