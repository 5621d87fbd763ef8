//! Reads the OpenAI side into the mirror: whole collections page by page, and single things.
//!
//! What a reading shows is believed at once. What it does **not** show is believed only when the reading was walked
//! to its end, contradicted itself nowhere, and is not suspiciously short: absence from a list is never an order.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::context::Context;
use super::plan::Read;
use crate::ids::{InviteId, ProjectId, RoleId, UserId};
use crate::model::grant::{OrgRole, ProjectGrant, ProjectRole};
use crate::model::observed::{Collection, Invite, InviteStatus, Member, Project, ProjectMember, Role, Sweep};
use crate::openai::{Answer, End, Endpoint, Failure, FailureKind, Item, Page, Walk, wire};
use crate::store::StoreError;

/// The most objects a page may hold.
const PAGE: u32 = 100;
/// A reading with fewer than this many percent of the former one's objects is not believed at once.
const PLAUSIBLE_PERCENT: i64 = 90;
/// So many short readings in a row that show the very same objects are believed after all.
const READINGS_TO_BELIEVE: u32 = 3;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("OpenAI could not be read")]
    Upstream(#[from] Failure),
    #[error("the mirror could not be kept")]
    Store(#[from] StoreError),
}

/// The endpoint that a read needs.
pub(super) fn endpoint_of(read: &Read) -> Endpoint {
    match read {
        Read::Sweep(collection) => list_endpoint(collection),
        Read::Member(_) => Endpoint::GetUser,
        Read::Invite(_) => Endpoint::GetInvite,
        Read::MemberAt(_) => Endpoint::ListUsers,
        Read::ProjectMember(..) => Endpoint::GetProjectUser,
    }
}

/// The endpoint that lists a collection.
pub(super) fn list_endpoint(collection: &Collection) -> Endpoint {
    match collection {
        Collection::Members => Endpoint::ListUsers,
        Collection::Invites => Endpoint::ListInvites,
        Collection::ProjectMembers(_) => Endpoint::ListProjectUsers,
        Collection::Projects => Endpoint::ListProjects,
        Collection::Roles => Endpoint::ListRoles,
    }
}

/// Looks one thing up, keeps what is seen in the mirror, and tells whether it is there.
pub(super) async fn look(context: &Context, read: &Read, at: Timestamp) -> Result<bool, ReadError> {
    let client = &context.client;
    match read {
        Read::Member(user) => {
            let Some(found) = found(client.get_user(user.as_str()).await)? else {
                forget(context, read).await?;
                return Ok(false);
            };
            keep(context, Seen::Members(vec![member(found)]), at).await?;
        }
        Read::Invite(id) => {
            let Some(found) = found(client.get_invite(id.as_str()).await)? else {
                forget(context, read).await?;
                return Ok(false);
            };
            keep(context, Seen::Invites(vec![invite(found)]), at).await?;
        }
        Read::MemberAt(key) => {
            let page = client.list_users_by_email(&[key]).await?.value;
            let members: Vec<Member> = page.data.into_iter().map(member).collect();
            if members.is_empty() {
                return Ok(false);
            }
            keep(context, Seen::Members(members), at).await?;
        }
        Read::ProjectMember(project, user) => {
            let answer = client.get_project_user(project.as_str(), user.as_str()).await;
            // A project that is archived, or not there, has no members either.
            let rejected = matches!(&answer, Err(failure) if failure.kind == FailureKind::Rejected);
            let Some(found) = (if rejected { None } else { found(answer)? }) else {
                forget(context, read).await?;
                return Ok(false);
            };
            keep(context, Seen::ProjectMembers(vec![project_member(project, found)]), at).await?;
        }
        Read::Sweep(_) => return Ok(false),
    }
    Ok(true)
}

/// A 404 is an answer: the thing is not there.
fn found<T>(answer: Result<Answer<T>, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer.value)),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Objects that were seen.
#[derive(Debug, Clone)]
enum Seen {
    Members(Vec<Member>),
    Invites(Vec<Invite>),
    ProjectMembers(Vec<ProjectMember>),
    Projects(Vec<Project>),
    Roles(Vec<Role>),
}

async fn keep(context: &Context, seen: Seen, at: Timestamp) -> Result<(), StoreError> {
    let tenant = context.tenant.clone();
    context
        .store
        .write(move |tx| {
            let (tenant, seen) = (tenant.clone(), seen.clone());
            Box::pin(async move {
                match &seen {
                    Seen::Members(members) => tx.observe_members(&tenant, members, at).await,
                    Seen::Invites(invites) => tx.observe_invites(&tenant, invites, at).await,
                    Seen::ProjectMembers(members) => tx.observe_project_members(&tenant, members, at).await,
                    Seen::Projects(projects) => tx.observe_projects(&tenant, projects, at).await,
                    Seen::Roles(roles) => tx.observe_roles(&tenant, roles, at).await,
                }
            })
        })
        .await
}

async fn forget(context: &Context, read: &Read) -> Result<(), StoreError> {
    let (tenant, read) = (context.tenant.clone(), read.clone());
    context
        .store
        .write(move |tx| {
            let (tenant, read) = (tenant.clone(), read.clone());
            Box::pin(async move {
                match read {
                    Read::Member(user) => tx.forget_member(&tenant, &user).await,
                    Read::Invite(invite) => tx.forget_invite(&tenant, &invite).await,
                    Read::ProjectMember(project, user) => {
                        tx.forget_project_member(&tenant, &ProjectMember { project, user, role: None }).await
                    }
                    Read::MemberAt(_) | Read::Sweep(_) => Ok(()),
                }
            })
        })
        .await
}

/// The reading of a whole collection, one page at a time, so that other work comes in between.
#[derive(Debug)]
pub(super) struct Reading {
    /// What is read.
    pub(super) collection: Collection,
    /// When the first page was asked for.
    pub(super) started_at: Timestamp,
    /// When the last page was asked for.
    pub(super) last_page_at: Timestamp,
    /// How many pages have come.
    pub(super) pages: u32,
    walk: AnyWalk,
}

#[derive(Debug)]
enum AnyWalk {
    Members(Walk<wire::User>),
    Invites(Walk<wire::Invite>),
    ProjectMembers(ProjectId, Walk<wire::ProjectUser>),
    Projects(Walk<wire::Project>),
    Roles(Walk<wire::Role>),
}

/// Where a reading stands after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// There are more pages.
    More,
    /// Walked to its end.
    Complete {
        /// The ids of everything it showed.
        ids: BTreeSet<String>,
    },
    /// It contradicts itself; the reason.
    Broken(&'static str),
}

impl Reading {
    /// A reading that begins at `now`.
    pub(super) fn new(collection: Collection, now: Timestamp) -> Self {
        let walk = match &collection {
            Collection::Members => AnyWalk::Members(Walk::new()),
            Collection::Invites => AnyWalk::Invites(Walk::new()),
            Collection::ProjectMembers(project) => AnyWalk::ProjectMembers(project.clone(), Walk::new()),
            Collection::Projects => AnyWalk::Projects(Walk::new()),
            Collection::Roles => AnyWalk::Roles(Walk::new()),
        };
        Self { collection, started_at: now, last_page_at: now, pages: 0, walk }
    }

    /// Reads one page and keeps what it shows.
    pub(super) async fn read_page(
        &mut self,
        context: &Context,
        at: Timestamp,
    ) -> Result<Progress, ReadError> {
        let client = &context.client;
        self.last_page_at = at;
        let (end, ids, seen) = match &mut self.walk {
            AnyWalk::Members(walk) => {
                let (end, new) =
                    one_page(walk, |after| async move { client.list_users(after.as_deref(), PAGE).await })
                        .await?;
                (end, ids(walk), Seen::Members(new.into_iter().map(member).collect()))
            }
            AnyWalk::Invites(walk) => {
                let (end, new) =
                    one_page(walk, |after| async move { client.list_invites(after.as_deref(), PAGE).await })
                        .await?;
                (end, ids(walk), Seen::Invites(new.into_iter().map(invite).collect()))
            }
            AnyWalk::ProjectMembers(project, walk) => {
                let id = project.as_str();
                let (end, new) = one_page(walk, |after| async move {
                    client.list_project_users(id, after.as_deref(), PAGE).await
                })
                .await?;
                let members = new.into_iter().map(|user| project_member(project, user)).collect();
                (end, ids(walk), Seen::ProjectMembers(members))
            }
            AnyWalk::Projects(walk) => {
                let page =
                    one_page(walk, |after| async move { client.list_projects(after.as_deref(), PAGE).await });
                let (end, new) = offered(context, Collection::Projects, page.await).await?;
                let new = new.into_iter().filter_map(project).collect();
                (
                    end,
                    ids_of(walk.items().iter().filter(|project| !project.is_archived())),
                    Seen::Projects(new),
                )
            }
            AnyWalk::Roles(walk) => {
                let page =
                    one_page(walk, |after| async move { client.list_roles(after.as_deref(), PAGE).await });
                let (end, new) = offered(context, Collection::Roles, page.await).await?;
                (end, ids(walk), Seen::Roles(new.into_iter().map(role).collect()))
            }
        };
        self.pages = self.pages.saturating_add(1);
        keep(context, seen, at).await?;
        Ok(match end {
            None => Progress::More,
            Some(End::Complete) => Progress::Complete { ids },
            Some(End::Broken(reason)) => Progress::Broken(reason),
        })
    }
}

fn ids<T: Item>(walk: &Walk<T>) -> BTreeSet<String> {
    ids_of(walk.items().iter())
}

fn ids_of<'a, T: Item + 'a>(items: impl Iterator<Item = &'a T>) -> BTreeSet<String> {
    items.map(|item| item.id().to_owned()).collect()
}

/// What is not offered to this organization, or not to this key, is an empty list: nobody can be given any of it.
///
/// Nobody is planned for by it, so a key that may not read it is no reason to stop everything else.
async fn offered<T>(
    context: &Context,
    collection: Collection,
    page: Result<(Option<End>, Vec<T>), Failure>,
) -> Result<(Option<End>, Vec<T>), ReadError> {
    let failure = match page {
        Err(failure) if matches!(failure.status, Some(403 | 404)) => failure,
        page => return Ok(page?),
    };
    let last = context.store.reader().await?.last_sweep(&context.tenant, &collection).await?;
    if last.is_none_or(|last| last.count > 0) {
        tracing::info!(
            tenant = %context.tenant, ?collection, %failure,
            "OpenAI does not offer this list, so nothing of it is shown to identity providers"
        );
    }
    Ok((Some(End::Complete), Vec::new()))
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

/// Judges whole readings of one collection against the ones before.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Objects that the bridge itself took away since the last believed reading began.
    removed: i64,
    removed_before_start: i64,
    short: Option<(BTreeSet<String>, u32)>,
}

impl Judge {
    /// Notes that the bridge took an object away, or that one is about to change its place by itself.
    pub(super) fn note_removal(&mut self) {
        self.removed = self.removed.saturating_add(1);
    }

    /// Notes what was taken away before the program was started anew.
    pub(super) fn note_removals(&mut self, count: i64) {
        self.removed = self.removed.saturating_add(count);
    }

    /// Notes that a reading begins.
    pub(super) fn note_start(&mut self) {
        self.removed_before_start = self.removed;
    }

    /// Whether what this complete reading does not show may be believed to be gone.
    pub(super) fn believes(
        &mut self,
        ids: &BTreeSet<String>,
        last: Option<&Sweep>,
        may_be_empty: bool,
    ) -> bool {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let expected = last.map_or(0, |last| last.count.saturating_sub(self.removed).max(0));
        let is_short = count.saturating_mul(100) < expected.saturating_mul(PLAUSIBLE_PERCENT);
        let believed = if !is_short {
            true
        } else if count == 0 && !may_be_empty {
            false
        } else {
            let seen = match self.short.take() {
                Some((same, seen)) if same == *ids => seen.saturating_add(1),
                _ => 1,
            };
            self.short = Some((ids.clone(), seen));
            seen >= READINGS_TO_BELIEVE
        };
        if believed {
            self.short = None;
            self.removed = self.removed.saturating_sub(self.removed_before_start);
            self.removed_before_start = 0;
        }
        believed
    }
}

/// Ends a complete and plausible reading; returns what it amounts to.
pub(super) async fn finish(
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

/// An invite as the domain knows it. A status that is not known is taken for `pending`: nothing is concluded from it.
pub(super) fn invite(wire: wire::Invite) -> Invite {
    let grant = |grant: &wire::ProjectGrant| {
        Some(ProjectGrant { id: ProjectId::from(grant.id.as_str()), role: grant.role.parse().ok()? })
    };
    Invite {
        id: InviteId::from(wire.id),
        role: org_role(&wire.role),
        status: match wire.status {
            wire::InviteStatus::Pending | wire::InviteStatus::Other(_) => InviteStatus::Pending,
            wire::InviteStatus::Accepted => InviteStatus::Accepted,
            wire::InviteStatus::Expired => InviteStatus::Expired,
        },
        projects: wire.projects.iter().filter_map(grant).collect(),
        email: wire.email,
        created_at: wire.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
        expires_at: wire.expires_at,
    }
}

/// A member as the domain knows it.
pub(super) fn member(wire: wire::User) -> Member {
    Member {
        id: UserId::from(wire.id),
        email: wire.email,
        name: wire.name,
        role: wire.role.as_deref().and_then(org_role),
        is_service_account: wire.is_service_account,
        is_scim_managed: wire.is_scim_managed,
        is_default: wire.is_default,
        added_at: wire.added_at.unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// A membership of a project as the domain knows it.
pub(super) fn project_member(project: &ProjectId, wire: wire::ProjectUser) -> ProjectMember {
    let role = [ProjectRole::Member, ProjectRole::Owner].into_iter().find(|role| role.as_str() == wire.role);
    ProjectMember { project: project.clone(), user: UserId::from(wire.id), role }
}

/// A project as the domain knows it, unless it is archived: nobody can be given access to those.
pub(super) fn project(wire: wire::Project) -> Option<Project> {
    (!wire.is_archived()).then(|| Project { id: ProjectId::from(wire.id), name: wire.name })
}

/// A role as the domain knows it.
pub(super) fn role(wire: wire::Role) -> Role {
    Role {
        id: RoleId::from(wire.id),
        name: wire.name,
        description: wire.description,
        is_predefined: wire.predefined_role,
    }
}

/// Only the two words of the API, not the wider set that administrators may use.
fn org_role(word: &str) -> Option<OrgRole> {
    [OrgRole::Reader, OrgRole::Owner].into_iter().find(|role| role.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> BTreeSet<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    fn last(count: i64) -> Sweep {
        Sweep { started_at: Timestamp::UNIX_EPOCH, finished_at: Timestamp::UNIX_EPOCH, count }
    }

    #[test]
    fn a_short_reading_is_believed_when_it_comes_three_times() {
        let mut judge = Judge::default();
        assert!(judge.believes(&ids(90), Some(&last(100)), false));
        assert!(!judge.believes(&ids(89), Some(&last(100)), false));
        assert!(!judge.believes(&ids(88), Some(&last(100)), false));
        assert!(!judge.believes(&ids(88), Some(&last(100)), false));
        assert!(judge.believes(&ids(88), Some(&last(100)), false));
    }

    #[test]
    fn no_members_at_all_are_never_believed() {
        let mut judge = Judge::default();
        for _ in 0..5 {
            assert!(!judge.believes(&ids(0), Some(&last(1)), false));
        }
    }

    #[test]
    fn our_own_removals_explain_a_shorter_reading() {
        let mut judge = Judge::default();
        for _ in 0..5 {
            judge.note_removal();
        }
        judge.note_start();
        judge.note_removal();
        assert!(judge.believes(&ids(4), Some(&last(10)), false));
        // The removal during the reading may still have been shown by it.
        judge.note_start();
        assert!(judge.believes(&ids(3), Some(&last(4)), false));
        judge.note_start();
        assert!(!judge.believes(&ids(2), Some(&last(3)), false));
    }
}
