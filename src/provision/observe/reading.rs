//! The reading of a whole collection, from its first page to its last.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::domain::{group, group_member, invite, member, project, project_member, role};
use super::{ReadError, Seen, keep};
use crate::ids::{OpenAiGroupId, ProjectId};
use crate::model::observed::{Collection, Sweep};
use crate::openai::{Answer, Client, End, Failure, FailureKind, Item, Page, Walk, wire};
use crate::provision::context::Context;
use crate::store::StoreError;

/// The most objects a page may hold.
const PAGE: u32 = 100;
/// The same for groups and what belongs to them.
const GROUP_PAGE: u32 = 1000;

/// The reading of a whole collection, one page at a time, so that other work comes in between.
#[derive(Debug)]
pub(in crate::provision) struct Reading {
    /// What is read.
    pub(in crate::provision) collection: Collection,
    /// When the first page was asked for.
    pub(in crate::provision) started_at: Timestamp,
    /// When the last page was asked for.
    pub(in crate::provision) last_page_at: Timestamp,
    /// How many pages have come.
    pub(in crate::provision) pages: u32,
    walk: AnyWalk,
}

#[derive(Debug)]
enum AnyWalk {
    Members(Walk<wire::User>),
    Invites(Walk<wire::Invite>),
    ProjectMembers(ProjectId, Walk<wire::ProjectUser>),
    Projects(Walk<wire::Project>),
    Roles(Walk<wire::Role>),
    Groups(Walk<wire::Group>),
    GroupMembers(OpenAiGroupId, Walk<wire::GroupMember>),
}

/// Where a reading stands after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provision) enum Progress {
    /// There are more pages.
    More,
    /// Walked to its end.
    Complete {
        /// The ids of everything it showed.
        ids: BTreeSet<String>,
    },
    /// It contradicts itself; the reason.
    Broken(&'static str),
    /// OpenAI does not offer the list to this organization, or not to this key.
    NotOffered,
    /// What the list belongs to is not there any more.
    Missing,
}

impl Reading {
    /// A reading that begins at `now`.
    pub(in crate::provision) fn new(collection: Collection, now: Timestamp) -> Self {
        let walk = match &collection {
            Collection::Members => AnyWalk::Members(Walk::new()),
            Collection::Invites => AnyWalk::Invites(Walk::new()),
            Collection::ProjectMembers(project) => AnyWalk::ProjectMembers(project.clone(), Walk::new()),
            Collection::Projects => AnyWalk::Projects(Walk::new()),
            Collection::Roles => AnyWalk::Roles(Walk::new()),
            Collection::Groups => AnyWalk::Groups(Walk::new()),
            Collection::GroupMembers(group) => AnyWalk::GroupMembers(group.clone(), Walk::new()),
        };
        Self { collection, started_at: now, last_page_at: now, pages: 0, walk }
    }

    /// Reads one page and keeps what it shows.
    pub(in crate::provision) async fn read_page(
        &mut self,
        context: &Context,
        at: Timestamp,
    ) -> Result<Progress, ReadError> {
        self.last_page_at = at;
        let (end, ids, seen) = match self.walk.page(&context.client).await {
            Ok(page) => page,
            Err(failure) => return self.collection_is_there(failure),
        };
        self.pages = self.pages.saturating_add(1);
        keep(context, seen, at).await?;
        Ok(match end {
            None => Progress::More,
            Some(End::Complete) => Progress::Complete { ids },
            Some(End::Broken(reason)) => Progress::Broken(reason),
        })
    }

    /// Some refusals tell that there is no such list. Nobody is planned for by what there is to give, so a key that may
    /// not read that is no reason to stop everything else.
    fn collection_is_there(&self, failure: Failure) -> Result<Progress, ReadError> {
        match self.collection {
            Collection::Projects | Collection::Roles | Collection::Groups
                if matches!(failure.status, Some(403 | 404)) =>
            {
                Ok(Progress::NotOffered)
            }
            // A project that is archived answers 400.
            Collection::ProjectMembers(_) | Collection::GroupMembers(_)
                if matches!(failure.kind, FailureKind::NotFound | FailureKind::Rejected) =>
            {
                Ok(Progress::Missing)
            }
            _ => Err(failure.into()),
        }
    }
}

impl AnyWalk {
    /// Reads the next page: the end, if it is reached, the ids of all that was shown, and what is new.
    async fn page(&mut self, client: &Client) -> Result<(Option<End>, BTreeSet<String>, Seen), Failure> {
        Ok(match self {
            Self::Members(walk) => {
                let (end, new) =
                    one_page(walk, |after| async move { client.list_users(after.as_deref(), PAGE).await })
                        .await?;
                (end, ids(walk), Seen::Members(new.into_iter().map(member).collect()))
            }
            Self::Invites(walk) => {
                let (end, new) =
                    one_page(walk, |after| async move { client.list_invites(after.as_deref(), PAGE).await })
                        .await?;
                (end, ids(walk), Seen::Invites(new.into_iter().map(invite).collect()))
            }
            Self::ProjectMembers(project, walk) => {
                let id = project.as_str();
                let (end, new) = one_page(walk, |after| async move {
                    client.list_project_users(id, after.as_deref(), PAGE).await
                })
                .await?;
                let members = new.into_iter().map(|user| project_member(project, user)).collect();
                (end, ids(walk), Seen::ProjectMembers(members))
            }
            Self::Projects(walk) => {
                let (end, new) =
                    one_page(walk, |after| async move { client.list_projects(after.as_deref(), PAGE).await })
                        .await?;
                let new = new.into_iter().filter_map(project).collect();
                (
                    end,
                    ids_of(walk.items().iter().filter(|project| !project.is_archived())),
                    Seen::Projects(new),
                )
            }
            Self::Roles(walk) => {
                let (end, new) =
                    one_page(walk, |after| async move { client.list_roles(after.as_deref(), PAGE).await })
                        .await?;
                (end, ids(walk), Seen::Roles(new.into_iter().map(role).collect()))
            }
            Self::Groups(walk) => {
                let (end, new) =
                    one_page(
                        walk,
                        |after| async move { client.list_groups(after.as_deref(), GROUP_PAGE).await },
                    )
                    .await?;
                (end, ids(walk), Seen::Groups(new.into_iter().map(group).collect()))
            }
            Self::GroupMembers(id, walk) => {
                let text = id.as_str();
                let (end, new) = one_page(walk, |after| async move {
                    client.list_group_users(text, after.as_deref(), GROUP_PAGE).await
                })
                .await?;
                let members = new.into_iter().map(|member| group_member(id, member)).collect();
                (end, ids(walk), Seen::Assignments(members))
            }
        })
    }
}

fn ids<T: Item>(walk: &Walk<T>) -> BTreeSet<String> {
    ids_of(walk.items().iter())
}

fn ids_of<'a, T: Item + 'a>(items: impl Iterator<Item = &'a T>) -> BTreeSet<String> {
    items.map(|item| item.id().to_owned()).collect()
}

/// Takes one step of a walk: its end, if that was reached, and what the page brought.
async fn one_page<T, F, Fut>(walk: &mut Walk<T>, fetch: F) -> Result<(Option<End>, Vec<T>), Failure>
where
    T: Item + Clone,
    F: Fn(Option<String>) -> Fut,
    Fut: Future<Output = Result<Answer<Page<T>>, Failure>>,
{
    let before = walk.items().len();
    let mut fetched = false;
    let mut refused = None;
    let end = walk
        .run(|after| {
            let first = !std::mem::replace(&mut fetched, true);
            let page = first.then(|| fetch(after));
            async move {
                match page {
                    Some(page) => page.await,
                    None => Err(pause()),
                }
            }
        })
        .await;
    let end = match end {
        Ok(end) => Some(end),
        Err(failure) if failure == pause() => None,
        Err(failure) => {
            refused = Some(failure);
            None
        }
    };
    match refused {
        Some(failure) => Err(failure),
        // A walk that started over has fewer objects than before; then all of them are new.
        None => Ok((end, walk.items().get(before..).unwrap_or(walk.items()).to_vec())),
    }
}

/// What makes a walk stop after one page: it keeps its place.
fn pause() -> Failure {
    Failure {
        kind: FailureKind::RateLimited { until: Timestamp::MIN },
        status: None,
        code: None,
        message: String::new(),
        request_id: None,
    }
}

/// Ends a complete and plausible reading; returns what it amounts to.
pub(in crate::provision) async fn finish(
    context: &Context,
    reading: &Reading,
    count: usize,
) -> Result<(Sweep, u64), StoreError> {
    let now = context.clock.now();
    let sweep = Sweep {
        started_at: reading.started_at,
        finished_at: now,
        count: i64::try_from(count).unwrap_or(i64::MAX),
    };
    let (tenant, collection) = (context.tenant.clone(), reading.collection.clone());
    let due = context
        .store
        .write(move |tx| {
            let (tenant, collection) = (tenant.clone(), collection.clone());
            Box::pin(async move { tx.finish_sweep(&tenant, &collection, sweep, now).await })
        })
        .await?;
    Ok((sweep, due))
}
