//! What one seed decides: a stream of choices, and the kind of world they are made in.

use jiff::SignedDuration;
use openai_scim_bridge::model::grant::ProjectRole;
use openai_scim_bridge::model::policy::{
    GroupMode, GroupRule, GroupSelector, OnAddressChange, Policy, RemovalLimits, RuleEffect,
};
use openai_scim_bridge::simulator::{Dialect, EmailsFilter, Fault, Options, PageFault, Rejoin};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// So many seeds, from the first one on, tell a longer story; more short ones find more than fewer long ones.
const LONG_ONES: u64 = 300;

/// The choices of one seed.
#[derive(Debug)]
pub(super) struct Chance(StdRng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Yes, so many times in a hundred.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(super) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..=to)
    }
}

/// In what kind of world a seed plays.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) people: usize,
    pub(super) steps: usize,
    /// How many calls in a hundred something goes wrong with.
    pub(super) fault_percent: u32,
    /// Whether the guard against mass removal can be reached.
    pub(super) guarded: bool,
    /// What else may happen; every third seed has none of it.
    pub(super) extras: Extras,
    pub(super) gifts: Gifts,
    pub(super) policy: Policy,
    pub(super) options: Options,
}

/// What happens beside requests, calls and faults of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each may happen or not, whatever the others do")]
pub(super) struct Extras {
    /// Members and invites that were there before the bridge.
    pub(super) settlers: bool,
    /// The machine stands still for a while, its clock jumps, its disk is full.
    pub(super) weak_machine: bool,
    /// Another tenant asks for things, some of them ours.
    pub(super) neighbour: bool,
    /// In the end an old copy of the database is put back.
    pub(super) restore: bool,
    /// Humans decide about what is held.
    pub(super) humans: bool,
}

impl Extras {
    /// From a stream of choices of its own, so that it changes none of the others.
    fn draw(seed: u64) -> Self {
        if seed % 3 == 2 {
            return Self::default();
        }
        let mut chance = Chance::new(!seed);
        Self {
            settlers: chance.percent(40),
            weak_machine: chance.percent(60),
            neighbour: chance.percent(40),
            restore: chance.percent(30),
            humans: chance.percent(60),
        }
    }
}

/// What the group gives beside the project, and whether an OpenAI group is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Gifts {
    /// A custom role.
    pub(super) role: bool,
    /// An OpenAI group that the bridge did not make.
    pub(super) named_group: bool,
    /// An OpenAI group of its own.
    pub(super) mirror: bool,
}

impl Gifts {
    /// From a stream of choices of its own, so that it changes none of the others; the first seeds have none of it.
    fn draw(seed: u64) -> Self {
        let gives_a_role = seed % 10 == 5;
        if seed < FIRST_WITH_GIFTS || (seed % 2 == 1 && !gives_a_role) {
            return Self::default();
        }
        let mut chance = Chance::new(!seed ^ 2);
        Self {
            role: chance.percent(50) || gives_a_role,
            named_group: chance.percent(40),
            mirror: chance.percent(60),
        }
    }

    /// What is done with OpenAI groups.
    fn groups(self) -> GroupMode {
        match self {
            Self { mirror: true, .. } => GroupMode::Mirror,
            Self { named_group: true, .. } => GroupMode::Rules,
            _ => GroupMode::Off,
        }
    }

    /// What membership of the group gives.
    fn effects(self) -> Vec<RuleEffect> {
        let project = Some((PROJECT.to_owned(), ProjectRole::Member));
        let role = self.role.then(|| ROLE.to_owned());
        let group = self.named_group.then(|| NAMED_GROUP.to_owned());
        let mut effects = vec![RuleEffect { project, ..RuleEffect::default() }];
        effects.extend(role.map(|role| RuleEffect { custom_role: Some(role), ..RuleEffect::default() }));
        effects.extend(group.map(|group| RuleEffect { openai_group: Some(group), ..RuleEffect::default() }));
        effects
    }
}

/// The first seed whose group may give more than a project.
const FIRST_WITH_GIFTS: u64 = 1_000;

/// The name of the group that gives the project.
pub(super) const GROUP: &str = "Engineering";
pub(super) const PROJECT: &str = "Research";
pub(super) const ROLE: &str = "Auditor";
pub(super) const NAMED_GROUP: &str = "Experts";

impl Setting {
    pub(super) fn draw(seed: u64, chance: &mut Chance) -> Self {
        let guarded = chance.percent(25);
        let removals = if guarded {
            RemovalLimits::default()
        } else {
            RemovalLimits {
                max_removals: 1000,
                max_removal_percent: 100_000,
                max_removals_per_day: 1000,
                max_removal_percent_per_day: 100_000,
                ..RemovalLimits::default()
            }
        };
        let gifts = Gifts::draw(seed);
        let rule = |effect: RuleEffect| GroupRule { group: GroupSelector::Name(GROUP.to_owned()), effect };
        let policy = Policy {
            removals,
            on_address_change: chance.of(&[OnAddressChange::Hold, OnAddressChange::Reinvite]),
            max_invites_per_address: 100,
            groups: gifts.groups(),
            group_rules: gifts.effects().into_iter().map(rule).collect(),
            reconcile_interval: SignedDuration::from_mins(chance.of(&[5, 10, 20])),
            ..Policy::default()
        };
        let mut options = Options::default();
        options.limiter.enabled = chance.percent(50);
        options.limiter.requests = chance.of(&[5, 7]);
        options.limiter.dialect = chance.of(&[Dialect::PlainText, Dialect::DelayInText, Dialect::RetryAfter]);
        options.status_lag_ms = chance.of(&[0, 0, 20_000]);
        options.list_lag_ms = chance.of(&[0, 0, 5_000]);
        options.not_found_lag_ms = chance.of(&[0, 0, 3_000]);
        options.emails_filter = chance.of(&[EmailsFilter::Correct, EmailsFilter::AlwaysEmpty]);
        options.rejoin = chance.of(&[Rejoin::SameId, Rejoin::NewId]);
        Self {
            people: 2 + chance.below(5),
            steps: if seed < LONG_ONES || (gifts != Gifts::default() && seed.is_multiple_of(5)) {
                10 + chance.below(16)
            } else {
                5 + chance.below(7)
            },
            fault_percent: chance.of(&[0, 10, 30]),
            guarded,
            extras: Extras::draw(seed),
            gifts,
            policy,
            options,
        }
    }

    /// What goes wrong with a call, if anything does.
    pub(super) fn fault(&self, chance: &mut Chance, method: &str) -> Option<Fault> {
        if !chance.percent(self.fault_percent) {
            return None;
        }
        let of_any = [
            Fault::reset_before(),
            Fault::reset_after(),
            Fault::status(500),
            Fault::status(503),
            Fault::status_after_effect(502),
            Fault::Malformed,
            Fault::RateLimited { dialect: Dialect::DelayInText, milliseconds: 3_000 },
            Fault::RateLimited { dialect: Dialect::RetryAfter, milliseconds: 20_000 },
            Fault::status(401),
        ];
        let of_lists = [
            Fault::Page { page: PageFault::Empty },
            Fault::Page { page: PageFault::Truncated },
            Fault::Page { page: PageFault::Repeated },
        ];
        let of_changes = [Fault::late(u32::try_from(chance.between(1, 45_000)).unwrap())];
        let special: &[Fault] = if method == "GET" { &of_lists } else { &of_changes };
        Some(if chance.percent(35) { chance.of(special) } else { chance.of(&of_any) })
    }
}
