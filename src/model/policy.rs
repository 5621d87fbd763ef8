//! A tenant's policy: the settings that plans depend on.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::ids::RoleId;
use crate::model::grant::{OrgRole, ProjectGrant, ProjectRole};
use crate::model::upkeep::DriftClass;

/// What to do with a wished person whose address is already an organization member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExistingMember {
    /// Bind the member, record it, send no invite, change nothing by the binding itself.
    #[default]
    Link,
    /// Wait for an administrator.
    Hold,
    /// Refuse the create with 409.
    Conflict,
}

/// What to do about an invite that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resend {
    /// Delete the old one and send a new one.
    #[default]
    Auto,
    /// Leave it; the status shows `expired`.
    Never,
}

/// What to do when the address of somebody who is a member already changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAddressChange {
    /// The directory changes; the move waits for an administrator.
    #[default]
    Hold,
    /// Invite the new address, keep the old membership until that is accepted, then remove the old.
    Reinvite,
    /// Refuse the request (400 mutability).
    Refuse,
}

/// What to do about a change that somebody else made upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// Leave it and say so.
    Report,
    /// Make it what the directory and the grants say.
    Revert,
    /// Take it as it is.
    Adopt,
}

impl OnDrift {
    /// The word used in settings and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Revert => "revert",
            Self::Adopt => "adopt",
        }
    }
}

/// What to do about changes by others, for each class. Only what is managed is ever changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftPolicy {
    /// A member was removed: report, or invite again.
    pub member_removed: OnDrift,
    /// A pending invite was withdrawn: report, or invite again.
    pub invite_withdrawn: OnDrift,
    /// A member's organization role was changed.
    pub role_changed: OnDrift,
    /// A member whom the bridge brought in was put into a managed project.
    pub project_added: OnDrift,
    /// A member was taken out of a project that a grant gives.
    pub project_removed: OnDrift,
    /// Somebody became a member whom no identity provider speaks of: report, or show them to identity providers.
    pub new_member: OnDrift,
    /// An OpenAI group that the bridge keeps for a SCIM group was deleted: report, make it anew, or do without it. One that
    /// only a rule names is reported whatever this says, because the bridge did not make it.
    pub group_deleted: OnDrift,
}

impl DriftPolicy {
    /// What to do about this class.
    pub fn of(&self, class: DriftClass) -> OnDrift {
        match class {
            DriftClass::MemberRemoved => self.member_removed,
            DriftClass::InviteWithdrawn => self.invite_withdrawn,
            DriftClass::RoleChanged => self.role_changed,
            DriftClass::ProjectAdded => self.project_added,
            DriftClass::ProjectRemoved => self.project_removed,
            DriftClass::NewMember => self.new_member,
            DriftClass::GroupDeleted => self.group_deleted,
        }
    }
}

impl Default for DriftPolicy {
    fn default() -> Self {
        Self {
            member_removed: OnDrift::Report,
            invite_withdrawn: OnDrift::Report,
            role_changed: OnDrift::Report,
            project_added: OnDrift::Revert,
            project_removed: OnDrift::Revert,
            new_member: OnDrift::Report,
            group_deleted: OnDrift::Revert,
        }
    }
}

/// Why the settings let an engine plan and not act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// `mode = "observe"`
    Observe,
    /// `[safety] stop = true`
    Stop,
}

impl Standstill {
    /// In words, for administrators.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe-only mode (mode = \"observe\" in the settings)",
            Self::Stop => "stopped by the settings (safety.stop)",
        }
    }
}

/// Which SCIM group a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupSelector {
    /// `displayName`, in which `*` stands for any text.
    Name(String),
    /// The SCIM id.
    Id(String),
    /// The identity provider's `externalId`.
    ExternalId(String),
}

/// What a rule or an alias gives. Projects, roles and groups are named by id, or by name if that is unmistakable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleEffect {
    /// An organization role.
    pub org_role: Option<OrgRole>,
    /// A project and the role in it.
    pub project: Option<(String, ProjectRole)>,
    /// A custom role in that project, by id.
    pub project_role: Option<RoleId>,
    /// A custom role in the organization.
    pub custom_role: Option<String>,
    /// An OpenAI group.
    pub openai_group: Option<String>,
}

/// Membership of the selected group gives the effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRule {
    /// Which group.
    pub group: GroupSelector,
    /// What it gives.
    pub effect: RuleEffect,
}

/// What a value of `roles` or `entitlements` gives to a user who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The value, or what it is called; compared without regard to case.
    pub value: String,
    /// What it gives.
    pub effect: RuleEffect,
}

/// How the name of a SCIM group says by itself which project it gives: `OpenAI:<project>:<role>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNaming {
    /// What stands before the project.
    pub prefix: String,
    /// What stands between the project and the role.
    pub separator: String,
    /// What stands behind the role.
    pub suffix: String,
}

impl GroupNaming {
    /// The project and the role that the name of a group speaks of, if it follows the convention.
    pub fn read<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let start = name.get(..self.prefix.len()).filter(|start| start.eq_ignore_ascii_case(&self.prefix))?;
        let rest = name.get(start.len()..)?.strip_suffix(self.suffix.as_str())?;
        // A project's name may hold the separator, a role does not.
        let (project, role) = rest.rsplit_once(self.separator.as_str())?;
        Some((project.trim(), role.trim())).filter(|(project, role)| !project.is_empty() && !role.is_empty())
    }
}

/// What is done with OpenAI groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupMode {
    /// Nothing.
    Off,
    /// People are put into those that rules name.
    #[default]
    Rules,
    /// That, and every SCIM group has an OpenAI group of the same name and with the same members.
    Mirror,
}

/// What to do when the role or the projects of somebody change who is invited and has not accepted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoleChange {
    /// Give what is missing once they are a member. An invite that says too much is replaced all the same.
    #[default]
    AfterAcceptance,
    /// Withdraw the invite and send another one.
    Reinvite,
}

/// Everything a plan for one tenant depends on besides the two states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Addresses (as keys) that are never changed, demoted or removed.
    pub protected: BTreeSet<String>,
    /// Human owners that must remain; at least 1.
    pub min_owners: usize,
    /// Whether `owner` may be granted at all.
    pub allow_owner_grants: bool,
    /// Domains that may be invited; empty means any.
    pub allowed_domains: BTreeSet<String>,
    /// What an existing member with the wished address means.
    pub on_existing_member: OnExistingMember,
    /// What a changed address of a member means.
    pub on_address_change: OnAddressChange,
    /// What an expired invite means.
    pub resend: Resend,
    /// How many more invites are sent after the first one ran out, until an administrator asks or the person is
    /// activated anew.
    pub max_resends: u32,
    /// How long to wait between the end of one invite and the next.
    pub resend_pause: SignedDuration,
    /// What changes by others mean.
    pub drift: DriftPolicy,
    /// How much access may be taken away before a human is asked.
    pub removals: RemovalLimits,
    /// How many people the organization may have, invited ones among them; `None` for any number.
    pub seat_limit: Option<u32>,
    /// How often one address may be invited within 24 hours.
    pub max_invites_per_address: u32,
    /// Why no change is made upstream whatever is planned, if the settings say so.
    pub standstill: Option<Standstill>,
    /// How long a removal may wait before an alarm is raised.
    pub late_removal: SignedDuration,
    /// Projects that everybody gets.
    pub default_projects: Vec<ProjectGrant>,
    /// What groups give.
    pub group_rules: Vec<GroupRule>,
    /// What values of `roles` and `entitlements` give.
    pub aliases: Vec<Alias>,
    /// How names of groups say what they give, if they do.
    pub group_naming: Option<GroupNaming>,
    /// What is done with OpenAI groups.
    pub groups: GroupMode,
    /// What a change of grants means for a pending invite.
    pub role_change: RoleChange,
    /// How often the whole upstream side is read.
    pub reconcile_interval: SignedDuration,
    /// Whether the organization's audit log is followed, so that acceptances and removals are noticed sooner.
    pub follow_audit_log: bool,
    /// How often it is read which keys each project has; `None`: only when somebody asks.
    pub census_interval: Option<SignedDuration>,
    /// How long an invite whose sending brought no answer may still appear: twice the time limit of a call and half a
    /// minute, unless the settings say otherwise. Only a reading that began later shows that it was never made. After
    /// an acceptance the new member may be missing from the list of members for half as long.
    pub settle_time: SignedDuration,
}

impl Policy {
    /// Whether it matters to anybody's access which SCIM groups they are in.
    pub fn heeds_groups(&self) -> bool {
        !self.group_rules.is_empty() || self.group_naming.is_some() || self.groups == GroupMode::Mirror
    }

    /// Everything that rules and aliases can give.
    pub fn effects(&self) -> impl Iterator<Item = &RuleEffect> {
        let rules = self.group_rules.iter().map(|rule| &rule.effect);
        rules.chain(self.aliases.iter().map(|alias| &alias.effect))
    }

    /// Whether anybody is ever put into an OpenAI group.
    pub fn uses_openai_groups(&self) -> bool {
        match self.groups {
            GroupMode::Off => false,
            GroupMode::Rules => self.effects().any(|effect| effect.openai_group.is_some()),
            GroupMode::Mirror => true,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            protected: BTreeSet::new(),
            min_owners: 2,
            allow_owner_grants: false,
            allowed_domains: BTreeSet::new(),
            on_existing_member: OnExistingMember::default(),
            on_address_change: OnAddressChange::default(),
            resend: Resend::default(),
            max_resends: 3,
            resend_pause: SignedDuration::ZERO,
            drift: DriftPolicy::default(),
            removals: RemovalLimits::default(),
            seat_limit: None,
            max_invites_per_address: 5,
            standstill: None,
            late_removal: SignedDuration::from_mins(2),
            default_projects: Vec::new(),
            group_rules: Vec::new(),
            aliases: Vec::new(),
            group_naming: None,
            groups: GroupMode::default(),
            role_change: RoleChange::default(),
            reconcile_interval: SignedDuration::from_secs(300),
            follow_audit_log: false,
            census_interval: None,
            settle_time: SignedDuration::from_secs(60),
        }
    }
}

/// How much access may be taken away before a human is asked. Of a number and a percentage the stricter holds, but
/// the first few removals (3 in a window, 5 in a day) always pass, so that a small organization can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalLimits {
    /// Removals within one window.
    pub max_removals: u32,
    /// Removals within one window, in percent of the managed members.
    pub max_removal_percent: u32,
    /// The length of the window.
    pub window: SignedDuration,
    /// Removals within 24 hours.
    pub max_removals_per_day: u32,
    /// Removals within 24 hours, in percent of the managed members.
    pub max_removal_percent_per_day: u32,
}

impl Default for RemovalLimits {
    fn default() -> Self {
        Self {
            max_removals: 100,
            max_removal_percent: 10,
            window: SignedDuration::from_hours(1),
            max_removals_per_day: 200,
            max_removal_percent_per_day: 20,
        }
    }
}
