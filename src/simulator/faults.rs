//! Faults that can be scripted or left to seeded chance.

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::options::Dialect;

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An error answer.
    Status {
        /// The HTTP status.
        status: u16,
        /// The error's `code`; null unless given.
        #[serde(default)]
        code: Option<String>,
        /// The error's `message`.
        #[serde(default)]
        message: Option<String>,
        /// Value of `Retry-After`.
        #[serde(default)]
        retry_after_seconds: Option<u32>,
        /// Whether the call took effect all the same.
        #[serde(default)]
        effect: Effect,
    },
    /// A 429 in one of its forms.
    RateLimited {
        /// The form.
        dialect: Dialect,
        /// The delay told.
        milliseconds: u32,
    },
    /// An error page of a gateway.
    Html {
        /// The HTTP status.
        status: u16,
        /// Whether the call took effect all the same.
        #[serde(default)]
        effect: Effect,
    },
    /// The call is done and answered with its true status, but the body breaks off in the middle.
    Malformed,
    /// The connection is reset without an answer.
    Reset {
        /// Whether the call took effect.
        #[serde(default)]
        effect: Effect,
    },
    /// The connection stays open and no answer ever comes.
    Silence {
        /// Whether the call took effect.
        #[serde(default)]
        effect: Effect,
    },
    /// The call is done at once and answered late.
    Slow {
        /// The delay, on the stand-in's clock.
        milliseconds: u32,
    },
    /// A list that is wrong; other answers stay as they are.
    Page {
        /// In what way.
        page: PageFault,
    },
}

/// Whether a call that is not answered properly takes effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It never does.
    #[default]
    Never,
    /// It did before the answer was due.
    Now,
    /// It does some time after the caller has given up.
    Late {
        /// The delay, on the stand-in's clock.
        milliseconds: u32,
    },
}

/// In what way a list is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageFault {
    /// The second half of the page is lost, and it claims to be the last one.
    Truncated,
    /// It is empty and claims to be the last one.
    Empty,
    /// `has_more` says the opposite.
    HasMoreInverted,
    /// The first page comes again instead of the one asked for.
    Repeated,
}

impl Fault {
    /// An error answer to a call that took no effect.
    pub fn status(status: u16) -> Self {
        Self::Status { status, code: None, message: None, retry_after_seconds: None, effect: Effect::Never }
    }

    /// An error answer to a call that took effect.
    pub fn status_after_effect(status: u16) -> Self {
        Self::Status { status, code: None, message: None, retry_after_seconds: None, effect: Effect::Now }
    }

    /// A connection reset before the call took effect.
    pub fn reset_before() -> Self {
        Self::Reset { effect: Effect::Never }
    }

    /// A connection reset after the call took effect.
    pub fn reset_after() -> Self {
        Self::Reset { effect: Effect::Now }
    }

    /// A connection reset at once, and an effect that lands later.
    pub fn late(milliseconds: u32) -> Self {
        Self::Reset { effect: Effect::Late { milliseconds } }
    }
}

/// Which calls a fault meets. Without `times` and `chance` it meets every one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The method, or `*`.
    #[serde(default = "any")]
    pub method: String,
    /// The path template as OpenAI's API description writes it, e.g. `/organization/users/{user_id}`, or `*`.
    #[serde(default = "any")]
    pub template: String,
    /// What goes wrong.
    pub fault: Fault,
    /// How many matching calls pass before the first one is met.
    #[serde(default)]
    pub skip: u32,
    /// How many calls are met before the rule is used up.
    #[serde(default)]
    pub times: Option<u32>,
    /// The probability, 0 to 1, with which a matching call is met.
    #[serde(default)]
    pub chance: Option<f64>,
    /// Seed of the chance.
    #[serde(default)]
    pub seed: u64,
}

fn any() -> String {
    "*".to_owned()
}

impl FaultRule {
    /// A rule that meets the next `times` calls.
    pub fn next(method: &str, template: &str, fault: Fault, times: u32) -> Self {
        let (method, template) = (method.to_owned(), template.to_owned());
        Self { method, template, fault, skip: 0, times: Some(times), chance: None, seed: 0 }
    }

    /// A rule that meets calls with a probability.
    pub fn sometimes(method: &str, template: &str, fault: Fault, chance: f64, seed: u64) -> Self {
        let (method, template) = (method.to_owned(), template.to_owned());
        Self { method, template, fault, skip: 0, times: None, chance: Some(chance), seed }
    }

    fn matches(&self, method: &str, template: &str) -> bool {
        (self.method == "*" || self.method.eq_ignore_ascii_case(method))
            && (self.template == "*" || self.template == template)
    }
}

/// The rules in force, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(FaultRule, StdRng)>);

impl Faults {
    pub(super) fn add(&mut self, rule: FaultRule) {
        let chance = StdRng::seed_from_u64(rule.seed);
        self.0.push((rule, chance));
    }

    pub(super) fn rules(&self) -> Vec<FaultRule> {
        self.0.iter().map(|(rule, _)| rule.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that meets this call, if any: the first rule that applies.
    pub(super) fn draw(&mut self, method: &str, template: &str) -> Option<Fault> {
        let mut met = None;
        for (rule, chance) in self.0.iter_mut().filter(|(rule, _)| rule.matches(method, template)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.chance.is_some_and(|probability| !chance.random_bool(probability.clamp(0.0, 1.0))) {
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times = times.saturating_sub(1);
            }
            met = Some(rule.fault.clone());
            break;
        }
        self.0.retain(|(rule, _)| rule.times != Some(0));
        met
    }
}

pub(super) fn milliseconds(milliseconds: u32) -> SignedDuration {
    SignedDuration::from_millis(milliseconds.into())
}
