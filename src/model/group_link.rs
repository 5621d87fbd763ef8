//! The OpenAI group that the bridge keeps for a SCIM group, and the calls that are about such a group and no person.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupId, OpenAiGroupId, OperationId, ProjectId, TenantId};
use crate::model::grant::ProjectRole;

/// A call about a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum GroupCall {
    /// `POST /organization/groups`
    Create {
        /// The name.
        name: String,
    },
    /// `POST /organization/groups/{id}`
    Rename {
        /// The group.
        group: OpenAiGroupId,
        /// The new name.
        name: String,
    },
    /// `DELETE /organization/groups/{id}`
    Delete {
        /// The group.
        group: OpenAiGroupId,
    },
    /// `POST /organization/projects/{id}/groups`: the group's members get into the project.
    Admit {
        /// The group.
        group: OpenAiGroupId,
        /// The project.
        project: ProjectId,
        /// The role there.
        role: ProjectRole,
    },
    /// `DELETE /organization/projects/{id}/groups/{id}`
    Expel {
        /// The group.
        group: OpenAiGroupId,
        /// The project.
        project: ProjectId,
    },
}

impl GroupCall {
    /// The word used in metrics, logs and the audit trail.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create_group",
            Self::Rename { .. } => "rename_group",
            Self::Delete { .. } => "delete_group",
            Self::Admit { .. } => "add_group_to_project",
            Self::Expel { .. } => "remove_group_from_project",
        }
    }

    /// Whether it takes something away, so that it is done already when there is nothing to take.
    pub fn takes_away(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Expel { .. })
    }
}

impl fmt::Display for GroupCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Create { name } => write!(f, "{kind} `{name}`"),
            Self::Rename { group, name } => write!(f, "{kind} {group} to `{name}`"),
            Self::Delete { group } => write!(f, "{kind} {group}"),
            Self::Admit { group, project, role } => write!(f, "{kind} {group} to {project} as {role}"),
            Self::Expel { group, project } => write!(f, "{kind} {group} from {project}"),
        }
    }
}

/// Why a call is not made at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The call.
    pub call: GroupCall,
    /// Why, for administrators.
    pub words: String,
    /// When it may be tried again.
    pub retry_at: Timestamp,
}

/// The tie between a SCIM group and the OpenAI group that the bridge keeps for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLink {
    /// The tenant.
    pub tenant: TenantId,
    /// The SCIM group; it may be gone already.
    pub group: GroupId,
    /// The OpenAI group, once there is one.
    pub openai_id: Option<OpenAiGroupId>,
    /// Since when.
    pub bound_at: Option<Timestamp>,
    /// Since when the SCIM group is known to be gone.
    pub ended_at: Option<Timestamp>,
    /// The OpenAI group that somebody else deleted, until there is another one.
    pub lost: Option<OpenAiGroupId>,
    /// A call whose outcome is not known.
    pub open: Option<GroupCall>,
    /// Its id, by which guards know it.
    pub operation: Option<OperationId>,
    /// When that was sent.
    pub sent_at: Option<Timestamp>,
    /// When waiting for its answer ended without one.
    pub unanswered_at: Option<Timestamp>,
    /// The first reading that did not show the group it would have made.
    pub missed_at: Option<Timestamp>,
    /// Calls that are not made at present.
    pub refusals: Vec<Refusal>,
    /// The projects into which the bridge let the OpenAI group, with the role there.
    pub projects: BTreeMap<ProjectId, ProjectRole>,
}

impl GroupLink {
    /// A SCIM group for which there is no OpenAI group yet.
    pub fn new(tenant: TenantId, group: GroupId) -> Self {
        Self {
            tenant,
            group,
            openai_id: None,
            bound_at: None,
            ended_at: None,
            lost: None,
            open: None,
            operation: None,
            sent_at: None,
            unanswered_at: None,
            missed_at: None,
            refusals: Vec::new(),
            projects: BTreeMap::new(),
        }
    }

    /// Why there is no OpenAI group, if the reason is known.
    pub fn refusal(&self) -> Option<&str> {
        let refused = self.refusals.iter().find(|refused| matches!(refused.call, GroupCall::Create { .. }));
        refused.filter(|_| self.openai_id.is_none()).map(|refused| refused.words.as_str())
    }

    /// Notes that a call is sent now.
    pub fn begin(&mut self, call: GroupCall, operation: OperationId, sent_at: Timestamp) {
        self.open = Some(call);
        self.operation = Some(operation);
        self.sent_at = Some(sent_at);
    }

    /// The open call had no effect.
    pub fn drop_open(&mut self) {
        self.open = None;
        self.operation = None;
        self.sent_at = None;
        self.unanswered_at = None;
        self.missed_at = None;
    }

    /// The open call had no effect, and is not made again before `retry_at`.
    pub fn refuse(&mut self, call: GroupCall, words: String, retry_at: Timestamp) {
        self.drop_open();
        self.refusals.retain(|refused| refused.call != call && refused.call.kind() != "create_group");
        self.refusals.push(Refusal { call, words, retry_at });
    }

    /// OpenAI knows nothing of what the open call takes away, which is no proof that it is gone. The call stays open until
    /// that is seen, and is not made again before `retry_at` if it is not so.
    pub fn doubt(&mut self, call: GroupCall, words: String, retry_at: Timestamp) {
        let (operation, sent_at) = (self.operation, self.sent_at);
        self.refuse(call.clone(), words, retry_at);
        (self.open, self.operation, self.sent_at) = (Some(call), operation, sent_at);
    }

    /// The call took effect at `at`; `made` is the group that it made, if it made one.
    pub fn conclude(&mut self, call: &GroupCall, made: Option<OpenAiGroupId>, at: Timestamp) {
        self.drop_open();
        self.refusals.retain(|refused| refused.call != *call);
        match call {
            GroupCall::Create { .. } => {
                self.openai_id = made;
                self.bound_at = Some(at);
                self.lost = None;
                self.refusals.clear();
            }
            GroupCall::Rename { .. } => {}
            GroupCall::Delete { .. } => self.unbind(),
            GroupCall::Admit { project, role, .. } => drop(self.projects.insert(project.clone(), *role)),
            GroupCall::Expel { project, .. } => drop(self.projects.remove(project)),
        }
    }

    /// Somebody else deleted the OpenAI group.
    pub fn lose(&mut self) {
        self.lost = self.openai_id.clone();
        self.unbind();
    }

    /// The OpenAI group is gone, and with it what it had.
    pub fn unbind(&mut self) {
        self.openai_id = None;
        self.bound_at = None;
        self.projects.clear();
        self.refusals.clear();
    }
}
