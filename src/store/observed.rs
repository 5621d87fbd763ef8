//! The mirror: what was last seen of the OpenAI side.

use jiff::Timestamp;

use super::{Reader, StoreError, Tx};
use crate::ids::{InviteId, TenantId, UserId};
use crate::model::observed::{Collection, Invite, Member, ProjectMember, Sweep};

impl Reader {
    /// The last finished reading of a collection.
    pub async fn last_sweep(&mut self, _: &TenantId, _: &Collection) -> Result<Option<Sweep>, StoreError> {
        unimplemented!()
    }

    /// Members with this address key.
    pub async fn members_by_address(&mut self, _: &TenantId, _key: &str) -> Result<Vec<Member>, StoreError> {
        unimplemented!()
    }

    /// The member with this id.
    pub async fn member(&mut self, _: &TenantId, _: &UserId) -> Result<Option<Member>, StoreError> {
        unimplemented!()
    }

    /// Invites to this address key, whatever their status, oldest first.
    pub async fn invites_by_address(&mut self, _: &TenantId, _key: &str) -> Result<Vec<Invite>, StoreError> {
        unimplemented!()
    }

    /// The invite with this id.
    pub async fn invite(&mut self, _: &TenantId, _: &InviteId) -> Result<Option<Invite>, StoreError> {
        unimplemented!()
    }

    /// Human members with the role `owner`: neither service accounts nor the default user.
    pub async fn owners(&mut self, _: &TenantId) -> Result<Vec<Member>, StoreError> {
        unimplemented!()
    }

    /// Where a member is in the mirrored projects.
    pub async fn project_memberships(
        &mut self,
        _: &TenantId,
        _: &UserId,
    ) -> Result<Vec<ProjectMember>, StoreError> {
        unimplemented!()
    }

    /// How many bound people wait for acceptance of a pending invite.
    pub async fn count_invited(&mut self, _: &TenantId) -> Result<i64, StoreError> {
        unimplemented!()
    }
}

impl Tx {
    /// Notes members as seen at `seen_at`. What is seen is true even if the reading it belongs to never ends.
    pub async fn observe_members(
        &mut self,
        _: &TenantId,
        _: &[Member],
        _seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes invites as seen at `seen_at`.
    pub async fn observe_invites(
        &mut self,
        _: &TenantId,
        _: &[Invite],
        _seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes memberships of projects as seen at `seen_at`.
    pub async fn observe_project_members(
        &mut self,
        _: &TenantId,
        _: &[ProjectMember],
        _seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes that a member is gone: a removal was confirmed, or a point read answered 404.
    pub async fn forget_member(&mut self, _: &TenantId, _: &UserId) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes that an invite is gone.
    pub async fn forget_invite(&mut self, _: &TenantId, _: &InviteId) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes that a member is no longer in a project.
    pub async fn forget_project_member(&mut self, _: &TenantId, _: &ProjectMember) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Ends a complete and plausible reading: forgets what was not seen since it began, and makes everybody due at
    /// `now` whose invite, member or project membership appeared, changed or vanished in it. Returns how many became due.
    pub async fn finish_sweep(
        &mut self,
        _: &TenantId,
        _: &Collection,
        _: Sweep,
        _now: Timestamp,
    ) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
