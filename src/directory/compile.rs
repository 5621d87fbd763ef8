//! From a filter to a condition that the database decides.

use jiff::Timestamp;

use super::wish::OPENAI_USER;
use crate::ids::{GroupId, InviteId, PersonId, UserId};
use crate::scim::filter::{Comparand, CompareOp, Field, ResolvedFilter};
use crate::store::{Condition, Order};

/// What filters on one type of resource are compiled to.
pub(super) trait Compiled: PartialEq + Sized {
    /// Holds for every resource.
    const ALL: Self;

    /// Holds for no resource.
    const NOTHING: Self;

    /// Holds where all parts hold.
    fn and(parts: Vec<Self>) -> Self;

    /// Holds where any part holds.
    fn or(parts: Vec<Self>) -> Self;

    /// How many comparisons the database makes on every resource to decide it; none where it finds them by an index.
    fn scans(&self) -> usize {
        0
    }

    /// Whether every resource has a value there.
    fn is_always_present(field: &Field) -> bool;

    /// The comparison, and whether it holds for no more resources than the filter; `None` for what the database cannot
    /// narrow down.
    fn compare(field: &Field, op: CompareOp, comparand: &Comparand) -> Option<(Self, bool)>;
}

/// A condition that holds for everything of the type `name` that the filter holds for, and whether it holds for
/// nothing else.
pub(super) fn compile<C: Compiled>(name: &str, filter: &ResolvedFilter) -> (C, bool) {
    match filter {
        ResolvedFilter::And(parts) => {
            let (conditions, exact) = compile_all(name, parts);
            if conditions.contains(&C::NOTHING) {
                return (C::NOTHING, true);
            }
            let narrowing: Vec<_> = conditions.into_iter().filter(|part| *part != C::ALL).collect();
            (if narrowing.is_empty() { C::ALL } else { C::and(narrowing) }, exact)
        }
        ResolvedFilter::Or(parts) => {
            let (conditions, exact) = compile_all(name, parts);
            if conditions.contains(&C::ALL) {
                return (C::ALL, exact);
            }
            let widening: Vec<_> = conditions.into_iter().filter(|part| *part != C::NOTHING).collect();
            (if widening.is_empty() { C::NOTHING } else { C::or(widening) }, exact)
        }
        ResolvedFilter::Present(field) => (C::ALL, C::is_always_present(field)),
        ResolvedFilter::Compare(field, op, Comparand::Text(text)) if field.path == RESOURCE_TYPE => {
            let is_meant = field.key(text) == field.key(name);
            match op {
                CompareOp::Eq => (if is_meant { C::ALL } else { C::NOTHING }, true),
                CompareOp::Ne => (if is_meant { C::NOTHING } else { C::ALL }, true),
                _ => (C::ALL, false),
            }
        }
        ResolvedFilter::Compare(field, op, comparand) => {
            C::compare(field, *op, comparand).unwrap_or((C::ALL, false))
        }
        ResolvedFilter::Any(_, inner) => compile_value_filter(inner),
        // What a condition says of "maybe more" resources, its negation would say of "maybe fewer".
        ResolvedFilter::Not(_) => (C::ALL, false),
    }
}

fn compile_all<C: Compiled>(name: &str, parts: &[ResolvedFilter]) -> (Vec<C>, bool) {
    let compiled: Vec<(C, bool)> = parts.iter().map(|part| compile(name, part)).collect();
    let exact = compiled.iter().all(|(_, exact)| *exact);
    (compiled.into_iter().map(|(condition, _)| condition).collect(), exact)
}

/// Inside the brackets of one value: a comparison alone means the same as without brackets; of a conjunction, one
/// comparison that narrows is enough.
fn compile_value_filter<C: Compiled>(inner: &ResolvedFilter) -> (C, bool) {
    match inner {
        ResolvedFilter::Compare(field, op, comparand) if *op != CompareOp::Ne => {
            C::compare(field, *op, comparand).unwrap_or((C::ALL, false))
        }
        ResolvedFilter::And(parts) => {
            let narrowing = parts.iter().map(|part| compile_value_filter(part).0);
            (narrowing.into_iter().find(|part| *part != C::ALL).unwrap_or(C::ALL), false)
        }
        _ => (C::ALL, false),
    }
}

/// The path of the attribute that tells the types of a list apart.
const RESOURCE_TYPE: &str = "meta.resourceType";

impl Compiled for Condition {
    const ALL: Self = Self::All;
    const NOTHING: Self = Self::Nobody;

    fn and(parts: Vec<Self>) -> Self {
        Self::And(parts)
    }

    fn or(parts: Vec<Self>) -> Self {
        Self::Or(parts)
    }

    fn scans(&self) -> usize {
        match self {
            Self::All => 0,
            few if few.is_looked_up() => 0,
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::scans).sum(),
            _ => 1,
        }
    }

    fn is_always_present(field: &Field) -> bool {
        matches!(field.path.as_str(), "id" | "userName" | "active")
    }

    fn compare(field: &Field, op: CompareOp, comparand: &Comparand) -> Option<(Self, bool)> {
        match comparand {
            Comparand::Text(text) => compile_text(field, op, text),
            Comparand::Boolean(value) if field.path == "active" => match op {
                CompareOp::Eq => Some((Self::Active(*value), true)),
                CompareOp::Ne => Some((Self::Active(!value), true)),
                _ => None,
            },
            Comparand::Instant(instant) => compile_instant(field, op, *instant),
            Comparand::Boolean(_) | Comparand::Number(_) => None,
        }
    }
}

fn compile_text(field: &Field, op: CompareOp, text: &str) -> Option<(Condition, bool)> {
    let key = || field.key(text).into_owned();
    let exact = |condition| Some((condition, true));
    let own = field.path.strip_prefix(OPENAI_USER).and_then(|rest| rest.strip_prefix(':'));
    match (own.unwrap_or(&field.path), op) {
        ("userName", CompareOp::Eq) => exact(Condition::UserNameEq(key())),
        ("userName", CompareOp::Sw) => exact(Condition::UserNameStartsWith(key())),
        ("userName", CompareOp::Co) => exact(Condition::UserNameContains(key())),
        ("id", CompareOp::Eq) => exact(text.parse::<PersonId>().map_or(Condition::Nobody, Condition::IdEq)),
        ("externalId", CompareOp::Eq) => exact(Condition::ExternalIdEq(text.to_owned())),
        ("displayName", CompareOp::Eq) => exact(Condition::DisplayNameEq(key())),
        ("groups.value", CompareOp::Eq) => {
            exact(text.parse::<GroupId>().map_or(Condition::Nobody, Condition::GroupEq))
        }
        ("emails.value", CompareOp::Eq) => Some((Condition::EmailEq(key()), false)),
        ("userId", CompareOp::Eq) if own.is_some() => exact(Condition::UserIdEq(UserId::from(text))),
        ("inviteId", CompareOp::Eq) if own.is_some() => exact(Condition::InviteIdEq(InviteId::from(text))),
        ("status", CompareOp::Eq) if own.is_some() => match text.parse() {
            Ok(status) => exact(Condition::StatusEq(status)),
            Err(_) => exact(Condition::Nobody),
        },
        _ => None,
    }
}

fn compile_instant(field: &Field, op: CompareOp, instant: Timestamp) -> Option<(Condition, bool)> {
    let order = match op {
        CompareOp::Eq => Order::At,
        CompareOp::Lt => Order::Before,
        CompareOp::Le => Order::UpTo,
        CompareOp::Gt => Order::After,
        CompareOp::Ge => Order::From,
        _ => return None,
    };
    // The store keeps microseconds; between two of them it would compare with the wrong one.
    if instant.subsec_nanosecond() % 1_000 != 0 {
        return None;
    }
    match field.path.as_str() {
        "meta.created" => Some((Condition::Created(order, instant), true)),
        "meta.lastModified" => Some((Condition::Modified(order, instant), true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::user_type;
    use crate::model::mapping::Status;
    use crate::scim::filter::Filter;

    #[track_caller]
    fn check(filter: &str, condition: Condition, exact: bool) {
        let resolved = Filter::parse(filter).unwrap().resolve(user_type()).unwrap();
        assert_eq!(compile("User", &resolved), (condition, exact), "{filter}");
    }

    fn name(key: &str) -> Condition {
        Condition::UserNameEq(key.to_owned())
    }

    #[test]
    fn what_the_database_decides_is_exact() {
        check(r#"USERNAME Eq "Jane@X.io""#, name("jane@x.io"), true);
        check(r#"externalId eq "00U""#, Condition::ExternalIdEq("00U".to_owned()), true);
        check(r#"id eq "no id of ours""#, Condition::Nobody, true);
        check("active ne true", Condition::Active(false), true);
        check("userName pr", Condition::All, true);
        check(
            "meta.resourceType eq \"User\" and active eq true",
            Condition::And(vec![Condition::Active(true)]),
            true,
        );
        check("meta.resourceType eq \"Group\" and title pr", Condition::Nobody, true);
        check("meta.resourceType ne \"User\" or userName eq \"a\"", Condition::Or(vec![name("a")]), true);
        let group: GroupId = "00000000-0000-7000-8000-000000000000".parse().unwrap();
        check(&format!("groups.value eq \"{group}\""), Condition::GroupEq(group), true);
        check(&format!("groups[value eq \"{group}\"]"), Condition::GroupEq(group), true);
        check(r#"groups eq "Staff""#, Condition::Nobody, true);
        check(r#"userName eq "a" or userName eq "b""#, Condition::Or(vec![name("a"), name("b")]), true);
        let new_year: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        check(
            r#"meta.lastModified gt "2026-01-01T00:00:00Z""#,
            Condition::Modified(Order::After, new_year),
            true,
        );
    }

    #[test]
    fn what_it_cannot_decide_is_narrowed_as_far_as_it_goes() {
        let email = Condition::EmailEq("a@x.io".to_owned());
        check(r#"emails eq "A@x.io""#, email.clone(), false);
        check(r#"emails[type eq "work"].value eq "A@x.io""#, email.clone(), false);
        check(r#"userName eq "a" and title eq "b""#, Condition::And(vec![name("a")]), false);
        check(r#"userName eq "a" or title eq "b""#, Condition::All, false);
        check(r#"not (userName eq "a")"#, Condition::All, false);
        check(r#"not (emails eq "a@x.io")"#, Condition::All, false);
        check(r#"userName ew "a""#, Condition::All, false);
        check(r#"meta.lastModified gt "2026-01-01T00:00:00.0000005Z""#, Condition::All, false);
        check(r#"emails[type eq "work" or value eq "a@x.io"]"#, Condition::All, false);
    }

    #[test]
    fn what_is_compared_on_everybody_is_counted() {
        for (filter, scans) in [
            ("userName pr", 0),
            ("userName co \"a\"", 1),
            ("userName co \"a\" or userName co \"b\" or userName eq \"c\"", 2),
            ("userName eq \"a\" and (userName co \"b\" or active eq true)", 0),
            ("active eq true and meta.created gt \"2026-01-01T00:00:00Z\"", 2),
        ] {
            let resolved = Filter::parse(filter).unwrap().resolve(user_type()).unwrap();
            assert_eq!(compile::<Condition>("User", &resolved).0.scans(), scans, "{filter}");
        }
    }

    #[test]
    fn a_status_is_one_of_the_words_that_are_shown() {
        let status = |word: &str| format!("{OPENAI_USER}:status eq \"{word}\"");
        check(&status("member"), Condition::StatusEq(Status::Member), true);
        check(&status("sleeping"), Condition::Nobody, true);
    }
}
