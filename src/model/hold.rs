//! Holds: what waits for a human, why, and what the human said.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::ids::{GroupId, HoldId, OperationId, PersonId, TenantId};
use crate::model::mapping::WordError;

/// What stands between a wish and its execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// More access would be taken away in a short time than is plausible.
    MassRemoval,
    /// Fewer owners would remain than the settings want.
    MinOwners,
    /// No owner at all would remain.
    LastOwner,
    /// The owner of the admin key in use would lose access, and the key with them.
    KeyOwner,
    /// The account is protected, or belongs to somebody else: a service account, OpenAI's own directory sync.
    Untouchable,
    /// The organization has as many people as the settings allow.
    SeatLimit,
    /// The address was invited as often as the settings allow.
    InviteBudget,
    /// The address is outside the domains that may be invited.
    AllowedDomains,
    /// Somebody with this address is in the organization already.
    ExistingMember,
    /// The address of a member changed.
    AddressChange,
    /// Everything else that an administrator has to look at.
    Review,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 11] = [
        Self::MassRemoval,
        Self::MinOwners,
        Self::LastOwner,
        Self::KeyOwner,
        Self::Untouchable,
        Self::SeatLimit,
        Self::InviteBudget,
        Self::AllowedDomains,
        Self::ExistingMember,
        Self::AddressChange,
        Self::Review,
    ];

    /// The word used in the store, at the command line and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MassRemoval => "mass-removal",
            Self::MinOwners => "min-owners",
            Self::LastOwner => "last-owner",
            Self::KeyOwner => "key-owner",
            Self::Untouchable => "untouchable",
            Self::SeatLimit => "seat-limit",
            Self::InviteBudget => "invite-budget",
            Self::AllowedDomains => "allowed-domains",
            Self::ExistingMember => "existing-member",
            Self::AddressChange => "address-change",
            Self::Review => "review",
        }
    }

    /// Whether an administrator's word is enough. Otherwise the reason of the hold says what has to change.
    pub fn can_be_approved(self) -> bool {
        match self {
            Self::MassRemoval
            | Self::MinOwners
            | Self::SeatLimit
            | Self::InviteBudget
            | Self::AllowedDomains
            | Self::ExistingMember
            | Self::AddressChange => true,
            Self::LastOwner | Self::KeyOwner | Self::Untouchable | Self::Review => false,
        }
    }

    /// Whether a call is judged when it is about to be made, because that takes a count that other calls change.
    pub fn judges_calls(self) -> bool {
        matches!(self, Self::MassRemoval | Self::SeatLimit | Self::InviteBudget)
    }

    /// Whether a hold stays until a human decides, even if there is room again by then.
    pub fn insists_on_a_human(self) -> bool {
        self == Self::MassRemoval
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Guard {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        Self::ALL.into_iter().find(|guard| guard.as_str() == word).ok_or_else(|| WordError(word.to_owned()))
    }
}

/// How far a hold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// Waits for a decision.
    Open,
    /// May be done, once.
    Approved,
    /// Is not done; the wish stays.
    Rejected,
    /// Was approved and is done.
    Used,
    /// Is over without a decision: the wish or the world changed.
    Lapsed,
}

impl HoldState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Open, Self::Approved, Self::Rejected, Self::Used, Self::Lapsed];

    /// The word used in the store and at the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Used => "used",
            Self::Lapsed => "lapsed",
        }
    }
}

impl FromStr for HoldState {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| WordError(word.to_owned()))
    }
}

/// What an administrator said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why, if they said so.
    pub why: Option<String>,
}

/// Whose wish waits, and as of when a human is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A person's, with the version of their resource that asked for it. A decision is about this version and no other.
    Person {
        /// The person.
        id: PersonId,
        /// The version.
        version: i64,
    },
    /// A SCIM group's. An approval is for the loss of that many people and no more; a rejection is for good.
    Group {
        /// The SCIM group; it may be gone already.
        id: GroupId,
        /// How many people would lose something with it.
        losers: i64,
    },
}

impl About {
    /// The person, if it is one's.
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Self::Person { id, .. } => Some(*id),
            Self::Group { .. } => None,
        }
    }

    /// The group, if it is one's.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Person { .. } => None,
            Self::Group { id, .. } => Some(*id),
        }
    }

    /// Whether a human who approved `told` approved this as well.
    pub fn is_within(&self, told: &Self) -> bool {
        match (self, told) {
            (Self::Group { id, losers }, Self::Group { id: told, losers: most }) => {
                id == told && losers <= most
            }
            _ => self == told,
        }
    }
}

/// Something that waits for a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The tenant.
    pub tenant: TenantId,
    /// Its id, ordered by time.
    pub id: HoldId,
    /// Whose wish waits.
    pub about: About,
    /// What made it wait.
    pub guard: Guard,
    /// What would be done, in a few words; the same words mean the same thing.
    pub subject: String,
    /// Why it waits, in a sentence for administrators.
    pub reason: String,
    /// How far it is.
    pub state: HoldState,
    /// Since when it waits.
    pub made_at: Timestamp,
    /// When it was last judged.
    pub judged_at: Timestamp,
    /// What an administrator said, if they did.
    pub decision: Option<Decision>,
    /// The call that used the approval.
    pub operation: Option<OperationId>,
}

impl Hold {
    /// A hold that was made just now.
    pub fn new(
        tenant: TenantId,
        id: HoldId,
        about: About,
        guard: Guard,
        subject: String,
        reason: String,
        now: Timestamp,
    ) -> Self {
        Self {
            tenant,
            id,
            about,
            guard,
            subject,
            reason,
            state: HoldState::Open,
            made_at: now,
            judged_at: now,
            decision: None,
            operation: None,
        }
    }

    /// Whether it is approved, and the approval is about this.
    pub fn is_approved_for(&self, about: &About) -> bool {
        self.state == HoldState::Approved && about.is_within(&self.about) && self.guard.can_be_approved()
    }

    /// What an administrator said against it, if that is about exactly this.
    pub fn rejection_for(&self, about: &About) -> Option<&Decision> {
        let rejected = self.state == HoldState::Rejected && self.about == *about;
        self.decision.as_ref().filter(|_| rejected)
    }
}

/// Why a tenant's engine makes no changes upstream at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// What put it on.
    pub cause: BrakeCause,
    /// In words, for administrators.
    pub reason: String,
    /// Who put it on.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What puts the brake on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrakeCause {
    /// An administrator.
    Stop,
    /// The database is older than what was seen of it before.
    Restored,
    /// The key belongs to another organization than the database knows.
    Organization,
}

impl BrakeCause {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Restored => "restored",
            Self::Organization => "organization",
        }
    }
}

impl FromStr for BrakeCause {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        let all = [Self::Stop, Self::Restored, Self::Organization];
        all.into_iter().find(|cause| cause.as_str() == word).ok_or_else(|| WordError(word.to_owned()))
    }
}
