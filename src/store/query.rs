//! Statements that are put together at run time: the only place, and from fixed pieces only. What comes from outside
//! is always a parameter.

use std::fmt::Write as _;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::session::Statement;
use crate::ids::{GroupId, InviteId, PersonId, TenantId, UserId};
use crate::model::mapping::Status;

/// A condition on live people that the database can decide; made from a SCIM filter.
///
/// Whoever makes it from a filter also says whether it is exact. If it is not, it must hold for every person the
/// filter holds for (and maybe for more), and the filter is evaluated on the candidates. There is no negation, because
/// it would turn "maybe more" into "maybe fewer".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Everybody.
    All,
    /// Nobody.
    Nobody,
    /// All of these; everybody if there are none.
    And(Vec<Condition>),
    /// Any of these; nobody if there are none.
    Or(Vec<Condition>),
    /// The SCIM id is this. Exact.
    IdEq(PersonId),
    /// The key of `userName` is this. Exact.
    UserNameEq(String),
    /// The key of `userName` begins with this. Exact.
    UserNameStartsWith(String),
    /// The key of `userName` contains this. Exact; reads every live person's row.
    UserNameContains(String),
    /// `externalId` is this, with regard to case. Exact.
    ExternalIdEq(String),
    /// The key of some e-mail value is this. Not exact: it also holds for an address that was taken from `userName`.
    EmailEq(String),
    /// The key of `displayName` is this. Exact.
    DisplayNameEq(String),
    /// `active` is this. Exact.
    Active(bool),
    /// `meta.created` compares so with this instant. Exact.
    Created(Order, Timestamp),
    /// `meta.lastModified` compares so with this instant. Exact.
    Modified(Order, Timestamp),
    /// The person is shown to stand so upstream ([`Status::shown`]). Exact; reads every live person's row.
    StatusEq(Status),
    /// The member that stands for the person is this. Exact.
    UserIdEq(UserId),
    /// The invite that stands for the person is this. Exact.
    InviteIdEq(InviteId),
    /// The person is a member of this group. Exact.
    GroupEq(GroupId),
}

/// A condition on groups that the database can decide; the same rules hold as for [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupCondition {
    /// Every group.
    All,
    /// No group.
    Nothing,
    /// All of these; every group if there are none.
    And(Vec<GroupCondition>),
    /// Any of these; no group if there are none.
    Or(Vec<GroupCondition>),
    /// The SCIM id is this. Exact.
    IdEq(GroupId),
    /// The key of `displayName` is this. Exact.
    DisplayNameEq(String),
    /// `externalId` is this, with regard to case. Exact.
    ExternalIdEq(String),
    /// This person is a member. Exact.
    MemberEq(PersonId),
}

/// [`Status::shown`] of the row `people AS p`.
const STATUS: &str = "COALESCE((SELECT CASE \
    WHEN p.active = 1 AND x.status IN ('parked', 'removing') THEN 'pending' \
    WHEN p.active = 1 OR x.status IN ('held', 'removing') THEN x.status \
    WHEN x.user_id IS NULL AND x.invite_id IS NULL THEN 'parked' \
    WHEN x.status = 'refused' THEN 'refused' \
    ELSE 'removing' END \
    FROM mappings AS x WHERE x.tenant = p.tenant AND x.person = p.id), \
    CASE WHEN p.active = 1 THEN 'pending' ELSE 'parked' END)";

/// A question for ids, split where the tenant and the value belong.
type LookUp = (&'static str, &'static str);

impl Condition {
    /// Whether those it holds for are found in an index.
    pub(crate) fn is_looked_up(&self) -> bool {
        match self {
            Self::Nobody => true,
            Self::And(parts) => parts.iter().any(Self::is_looked_up),
            Self::Or(parts) => parts.iter().all(Self::is_looked_up),
            alone => !alone.look_ups().is_empty(),
        }
    }

    /// The look-ups whose findings together meet the condition; none if it is not a matter of looking up.
    fn look_ups(&self) -> Vec<(LookUp, String)> {
        const PEOPLE: &str = "SELECT id FROM people WHERE tenant = ";
        const LIVE: &str = "SELECT id FROM people WHERE deleted_at IS NULL AND tenant = ";
        const EMAILS: &str = "SELECT person FROM person_emails WHERE tenant = ";
        const MEMBERS: &str = "SELECT member FROM memberships WHERE tenant = ";
        const MAPPINGS: &str = "SELECT person FROM mappings WHERE tenant = ";
        match self {
            Self::IdEq(id) => vec![((PEOPLE, " AND id = "), id.to_string())],
            Self::UserNameEq(key) => vec![((LIVE, " AND user_name_key = "), key.clone())],
            Self::ExternalIdEq(id) => vec![((PEOPLE, " AND external_id = "), id.clone())],
            Self::EmailEq(key) => vec![
                ((PEOPLE, " AND address_key = "), key.clone()),
                ((EMAILS, " AND email_key = "), key.clone()),
            ],
            Self::DisplayNameEq(key) => vec![((PEOPLE, " AND display_name_key = "), key.clone())],
            Self::UserIdEq(id) => vec![((MAPPINGS, " AND user_id = "), id.as_str().to_owned())],
            Self::InviteIdEq(id) => vec![((MAPPINGS, " AND invite_id = "), id.as_str().to_owned())],
            Self::GroupEq(id) => vec![((MEMBERS, " AND group_id = "), id.to_string())],
            _ => Vec::new(),
        }
    }
}

/// How an instant compares with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `lt`
    Before,
    /// `le`
    UpTo,
    /// `eq`
    At,
    /// `ge`
    From,
    /// `gt`
    After,
}

impl Order {
    fn as_sql(self) -> &'static str {
        match self {
            Self::Before => " < ",
            Self::UpTo => " <= ",
            Self::At => " = ",
            Self::From => " >= ",
            Self::After => " > ",
        }
    }
}

/// A statement in the making: fixed text and numbered parameters.
#[derive(Debug)]
pub(super) struct Sql {
    text: String,
    parameters: Vec<Parameter>,
}

#[derive(Debug)]
enum Parameter {
    Text(Option<String>),
    Int(i64),
}

impl Sql {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), parameters: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub(super) fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.parameter(Parameter::Text(Some(value.into())))
    }

    pub(super) fn optional_text(&mut self, value: Option<String>) -> &mut Self {
        self.parameter(Parameter::Text(value))
    }

    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        self.parameter(Parameter::Int(value))
    }

    fn parameter(&mut self, parameter: Parameter) -> &mut Self {
        self.parameters.push(parameter);
        let number = self.parameters.len();
        // Writing to a string cannot fail.
        let _written = write!(self.text, "${number}").is_ok();
        self
    }

    pub(super) fn statement(self) -> Statement<'static> {
        let statement = sqlx::query(AssertSqlSafe(self.text));
        self.parameters.into_iter().fold(statement, |statement, parameter| match parameter {
            Parameter::Text(text) => statement.bind(text),
            Parameter::Int(int) => statement.bind(int),
        })
    }

    /// The same statement, asking how it would be run.
    #[cfg(test)]
    pub(super) fn explained(mut self) -> Statement<'static> {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        self.statement()
    }

    /// Appends the condition on the row `people AS p`.
    pub(super) fn condition(&mut self, tenant: &TenantId, condition: &Condition) -> &mut Self {
        match condition {
            Condition::All => self.push("1 = 1"),
            Condition::Nobody => self.push("1 = 0"),
            Condition::And(parts) => {
                self.joined(parts, " AND ", "1 = 1", |sql, part| sql.condition(tenant, part))
            }
            Condition::Or(parts)
                if !parts.is_empty() && parts.iter().all(|part| !part.look_ups().is_empty()) =>
            {
                self.any_look_up(tenant, parts)
            }
            Condition::Or(parts) => {
                self.joined(parts, " OR ", "1 = 0", |sql, part| sql.condition(tenant, part))
            }
            Condition::IdEq(_)
            | Condition::UserNameEq(_)
            | Condition::ExternalIdEq(_)
            | Condition::EmailEq(_)
            | Condition::DisplayNameEq(_)
            | Condition::UserIdEq(_)
            | Condition::InviteIdEq(_)
            | Condition::GroupEq(_) => self.any_look_up(tenant, std::slice::from_ref(condition)),
            Condition::UserNameStartsWith(prefix) => {
                self.push("(p.user_name_key >= ").text(prefix);
                if let Some(end) = end_of_prefix(prefix) {
                    self.push(" AND p.user_name_key < ").text(end);
                }
                self.push(")")
            }
            Condition::UserNameContains(part) => {
                self.push("p.user_name_key LIKE ").text(like_pattern(part)).push(" ESCAPE '\\'")
            }
            Condition::Active(active) => self.push("p.active = ").int(i64::from(*active)),
            Condition::Created(order, at) => {
                self.push("p.created_at").push(order.as_sql()).int(at.as_microsecond())
            }
            Condition::Modified(order, at) => {
                self.push("p.modified_at").push(order.as_sql()).int(at.as_microsecond())
            }
            Condition::StatusEq(status) => self.push(STATUS).push(" = ").text(status.as_str()),
        }
    }

    /// Appends the condition on the row `groups AS g`.
    pub(super) fn group_condition(&mut self, tenant: &TenantId, condition: &GroupCondition) -> &mut Self {
        match condition {
            GroupCondition::All => self.push("1 = 1"),
            GroupCondition::Nothing => self.push("1 = 0"),
            GroupCondition::And(parts) => {
                self.joined(parts, " AND ", "1 = 1", |sql, part| sql.group_condition(tenant, part))
            }
            GroupCondition::Or(parts) => {
                self.joined(parts, " OR ", "1 = 0", |sql, part| sql.group_condition(tenant, part))
            }
            GroupCondition::IdEq(id) => self.push("g.id = ").text(id.to_string()),
            GroupCondition::DisplayNameEq(key) => self.push("g.display_name_key = ").text(key),
            GroupCondition::ExternalIdEq(id) => self.push("g.external_id = ").text(id),
            GroupCondition::MemberEq(id) => self
                .push("g.id IN (SELECT m.group_id FROM memberships AS m JOIN people AS p")
                .push(
                    " ON p.tenant = m.tenant AND p.id = m.member AND p.deleted_at IS NULL WHERE m.tenant = ",
                )
                .text(tenant.as_str())
                .push(" AND m.member = ")
                .text(id.to_string())
                .push(")"),
        }
    }

    /// Whoever is found by any of these look-ups, each in its own index.
    fn any_look_up(&mut self, tenant: &TenantId, conditions: &[Condition]) -> &mut Self {
        self.push("p.id IN (");
        for (index, (select, value)) in conditions.iter().flat_map(Condition::look_ups).enumerate() {
            self.push(if index == 0 { "" } else { " UNION " });
            self.push(select.0).text(tenant.as_str()).push(select.1).text(value);
        }
        self.push(")")
    }

    fn joined<C>(
        &mut self,
        parts: &[C],
        word: &'static str,
        none: &'static str,
        each: impl for<'s> Fn(&'s mut Self, &C) -> &'s mut Self,
    ) -> &mut Self {
        if parts.is_empty() {
            return self.push(none);
        }
        self.push("(");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(word);
            }
            each(self, part);
        }
        self.push(")")
    }
}

/// The first text after all that begin with `prefix`, in the order of code points.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The step over the surrogates, which are no characters, is `char`'s own.
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// The LIKE pattern for texts that contain `part`, with `\` as the escape character.
fn like_pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_text_of_its_length() {
        assert_eq!(end_of_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(end_of_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(end_of_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of_prefix("\u{10ffff}"), None);
        assert_eq!(end_of_prefix(""), None);
    }

    #[test]
    fn what_comes_from_outside_is_a_parameter() {
        let tenant = TenantId::default_tenant();
        let condition = Condition::And(vec![
            Condition::UserNameEq("' OR 1=1 --".to_owned()),
            Condition::Or(vec![Condition::UserNameContains("50%_\\".to_owned()), Condition::Active(false)]),
        ]);
        let mut sql = Sql::new("");
        sql.condition(&tenant, &condition);
        assert_eq!(
            sql.text,
            "(p.id IN (SELECT id FROM people WHERE deleted_at IS NULL AND tenant = $1 AND user_name_key = $2) \
             AND (p.user_name_key LIKE $3 ESCAPE '\\' OR p.active = $4))"
        );
        assert!(matches!(&sql.parameters[2], Parameter::Text(Some(text)) if text == "%50\\%\\_\\\\%"));
    }
}
