//! Reads the OpenAI side into the mirror: whole collections page by page, and single things.
//!
//! What a reading shows is believed at once. What it does **not** show is believed only when the reading was walked
//! to its end, contradicted itself nowhere, and is not suspiciously short: absence from a list is never an order.

pub(super) mod domain;
mod judge;
mod reading;

use jiff::Timestamp;

use super::context::Context;
use super::pace::later;
use super::plan::{CALL_SETTLE, Read};
use crate::ids::UserId;
use crate::model::grant::Assignment;
use crate::model::observed::{
    Assigned, Collection, Invite, Member, OpenAiGroup, Project, ProjectMember, Role,
};
use crate::openai::{Answer, Endpoint, Failure, FailureKind};
use crate::store::StoreError;

use domain::{invite, is_direct, member, project_member};
pub(super) use judge::Judge;
pub(super) use reading::{Progress, Reading, finish};

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
        Read::Assignment(Assignment::Group { .. }, _) => Endpoint::GetGroupUser,
        Read::Assignment(Assignment::Role { .. }, _) => Endpoint::GetUserRole,
        Read::Assignment(Assignment::ProjectRole { .. }, _) => Endpoint::GetProjectUserRole,
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
        Collection::Groups => Endpoint::ListGroups,
        Collection::GroupMembers(_) => Endpoint::ListGroupUsers,
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
        Read::Assignment(what, user) => {
            if !has(context, what, user).await? {
                forget(context, read).await?;
                return Ok(false);
            }
            let assigned = Assigned { what: what.clone(), user: user.clone() };
            keep(context, Seen::Assignments(vec![assigned]), at).await?;
        }
        Read::Sweep(_) => return Ok(false),
    }
    Ok(true)
}

/// Whether a member has a group or a role, by a grant of their own.
async fn has(context: &Context, what: &Assignment, user: &UserId) -> Result<bool, Failure> {
    let (client, user) = (&context.client, user.as_str());
    let role = match what {
        Assignment::Group { group } => {
            return Ok(found(client.get_group_user(group.as_str(), user).await)?.is_some());
        }
        Assignment::Role { role } => client.get_user_role(user, role.as_str()).await,
        Assignment::ProjectRole { project, role } => {
            client.get_project_user_role(project.as_str(), user, role.as_str()).await
        }
    };
    Ok(found(role)?.is_some_and(|role| is_direct(&role)))
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
    Groups(Vec<OpenAiGroup>),
    Assignments(Vec<Assigned>),
}

/// Keeps what was seen in an answer to what was asked `at`. Where the clock was set back while that was on its way, it
/// would be news until the clock is there again, whatever is learnt meanwhile; then nothing is kept, and a list that
/// ends like that is read anew.
async fn keep(context: &Context, seen: Seen, at: Timestamp) -> Result<(), StoreError> {
    if at > later(context.clock.now(), CALL_SETTLE) {
        return Ok(());
    }
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
                    Seen::Groups(groups) => tx.observe_openai_groups(&tenant, groups, at).await,
                    Seen::Assignments(assigned) => tx.observe_assignments(&tenant, assigned, at).await,
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
                    Read::Assignment(what, user) => {
                        tx.forget_assignment(&tenant, &Assigned { what, user }).await
                    }
                    Read::MemberAt(_) | Read::Sweep(_) => Ok(()),
                }
            })
        })
        .await
}
