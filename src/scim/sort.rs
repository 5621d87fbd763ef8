//! Sorting (RFC 7644 §3.4.2.3): `sortBy` and `sortOrder` to an order of resources.
//!
//! Decided where the RFC leaves room: an unknown attribute is 400 `invalidValue`, as `invalidPath` is for PATCH alone
//! (RFC 7644 §3.12, table 9); a complex attribute stands for its `value`; resources with equal keys are in the order of
//! their ids, and a descending list is the exact reverse of the ascending one, so that a place in it is one comparison.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

use crate::scim::error::ScimError;
use crate::scim::filter::{Field, instant};
use crate::scim::path::AttributePath;
use crate::scim::resource::Resource;
use crate::scim::schema::{AttributeType, ResourceType, Returned, Target};

/// Which end of the order comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// The least first; resources without a value last.
    #[default]
    Ascending,
    /// The greatest first; resources without a value before it.
    Descending,
}

/// `sortBy` and `sortOrder`, before any schema is asked what the name means; prints in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The attribute.
    pub by: AttributePath,
    /// Which end comes first.
    pub order: SortOrder,
}

impl Sort {
    /// Reads `sortBy` and `sortOrder`; an order without an attribute says nothing.
    ///
    /// # Errors
    ///
    /// 400 `invalidValue` for a malformed name or an order that is neither `ascending` nor `descending`.
    pub fn parse(sort_by: Option<&str>, sort_order: Option<&str>) -> Result<Option<Self>, ScimError> {
        let given =
            |text: Option<&'_ str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let order = match given(sort_order) {
            None => SortOrder::Ascending,
            Some(text) if text.eq_ignore_ascii_case("ascending") => SortOrder::Ascending,
            Some(text) if text.eq_ignore_ascii_case("descending") => SortOrder::Descending,
            Some(_) => return Err(ScimError::invalid_value("sortOrder must be ascending or descending")),
        };
        let Some(sort_by) = given(sort_by) else { return Ok(None) };
        let by = AttributePath::parse(&sort_by)
            .map_err(|error| ScimError::invalid_value(format!("sortBy {}", error.describe(&sort_by))))?;
        Ok(Some(Self { by, order }))
    }

    /// Checks the attribute against `resource_type`. In a list of several types, `among` are all of them: what another
    /// of them knows has no value in this one (RFC 7644 §3.4.2.1).
    ///
    /// # Errors
    ///
    /// - 400 `invalidValue`: an unknown attribute, or one that has no order.
    /// - 403 `sensitive`: an attribute that is never shown.
    ///
    /// # Examples
    ///
    /// ```
    /// use openai_scim_bridge::scim::{resource::Resource, schema::Registry, sort::Sort};
    ///
    /// let user = Registry::builtin().resource_type("User").expect("built in");
    /// let sort = Sort::parse(Some("name.familyName"), None)?.expect("given").resolve(user, &[])?;
    /// let resource = |value| Resource::try_from(value);
    /// let mut users = [
    ///     resource(serde_json::json!({"id": "1"}))?,
    ///     resource(serde_json::json!({"id": "2", "name": {"familyName": "b"}}))?,
    ///     resource(serde_json::json!({"id": "3", "name": {"familyName": "A"}}))?,
    /// ];
    /// users.sort_by_cached_key(|user| sort.place(user));
    /// assert_eq!(users.map(|user| user.get_str("id").map(str::to_owned)), ["3", "2", "1"].map(|id| Some(id.to_owned())));
    /// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
    /// ```
    pub fn resolve(
        &self,
        resource_type: &ResourceType,
        among: &[&ResourceType],
    ) -> Result<ResolvedSort, ScimError> {
        let by = &self.by;
        let found = match resource_type.resolve(by) {
            Some(Target::Attribute(found)) => found,
            None if among.iter().any(|other| matches!(other.resolve(by), Some(Target::Attribute(_)))) => {
                return Ok(ResolvedSort { field: None, order: self.order });
            }
            _ => {
                let name = &resource_type.name;
                return Err(ScimError::invalid_value(format!("sortBy: {by} is no attribute of {name}")));
            }
        };
        if found.leaf().returned == Returned::Never {
            return Err(ScimError::sensitive(format!(
                "sortBy: {by} is never shown, so nothing is sorted by it"
            )));
        }
        // RFC 7644 §3.4.2.2 knows no greater or less of binary values either.
        let field = Field::comparable(found).filter(|field| field.kind != AttributeType::Binary);
        let field = field.ok_or_else(|| {
            ScimError::invalid_value(format!("sortBy: {by} has no order; sort by an attribute that has one"))
        })?;
        Ok(ResolvedSort { field: Some(field), order: self.order })
    }
}

impl std::fmt::Display for Sort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let order = match self.order {
            SortOrder::Ascending => "ascending",
            SortOrder::Descending => "descending",
        };
        write!(f, "{} {order}", self.by)
    }
}

/// An order checked against a resource type: ready to compare resources ([`ResolvedSort::place`]) or to be compiled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResolvedSort {
    /// What is compared before the id; `None` if no resource of this type has a value.
    pub field: Option<Field>,
    /// Which end comes first.
    pub order: SortOrder,
}

impl ResolvedSort {
    /// Whether the greatest comes first.
    pub fn is_descending(&self) -> bool {
        self.order == SortOrder::Descending
    }

    /// The place of `resource` in the order. Of a list, the primary value decides, else the first.
    pub fn place(&self, resource: &Resource) -> Place {
        let key = self.field.as_ref().and_then(|field| {
            let value = field.whole(resource.as_map())?;
            let value = match value {
                Value::Array(values) => {
                    let primary =
                        values.iter().find(|value| value.get("primary") == Some(&Value::Bool(true)));
                    primary.or_else(|| values.first())?
                }
                value => value,
            };
            SortKey::of(field, field.leaf_of(value)?)
        });
        self.place_at(key, resource.get_str("id").unwrap_or_default())
    }

    /// The place of a resource with this key and id.
    pub fn place_at(&self, key: Option<SortKey>, id: impl Into<String>) -> Place {
        Place { key, id: id.into(), order: self.order }
    }
}

/// A value that resources are sorted by.
///
/// The order is that of the attribute's type: texts by code points, without regard to case unless the schema says so;
/// instants by time, whatever their offset.
#[derive(Debug, Clone, PartialEq)]
pub enum SortKey {
    /// False before true.
    Boolean(bool),
    /// By magnitude.
    Number(f64),
    /// By time.
    Instant(Timestamp),
    /// In the form in which it is compared ([`Field::key`]).
    Text(String),
}

impl SortKey {
    /// The key of one value; `None` if it is not of the type of `field`, or an empty text, which is no value.
    pub fn of(field: &Field, value: &Value) -> Option<Self> {
        match (field.kind, value) {
            (AttributeType::Boolean, Value::Bool(value)) => Some(Self::Boolean(*value)),
            (AttributeType::Integer | AttributeType::Decimal, Value::Number(number)) => {
                number.as_f64().map(Self::Number)
            }
            (AttributeType::DateTime, Value::String(text)) => instant(text).map(Self::Instant),
            (
                AttributeType::String | AttributeType::Reference | AttributeType::Binary,
                Value::String(text),
            ) => Some(field.key(text).into_owned()).filter(|text| !text.is_empty()).map(Self::Text),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Number(_) => 1,
            Self::Instant(_) => 2,
            Self::Text(_) => 3,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(one), Self::Boolean(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Instant(one), Self::Instant(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            // Types differ where one name means different things in a list of several resource types.
            (one, other) => one.rank().cmp(&other.rank()),
        }
    }
}

/// A place in an order: a total order of resources that differ in their ids.
#[derive(Debug, Clone)]
pub struct Place {
    /// The value that is compared first; resources without one are last in ascending order.
    pub key: Option<SortKey>,
    /// The id, which decides between equal keys.
    pub id: String,
    order: SortOrder,
}

impl Place {
    /// The place as the position of a cursor; [`Place::from_position`] is the inverse.
    pub fn to_position(&self) -> Vec<Value> {
        let key = match &self.key {
            None => Value::Null,
            Some(SortKey::Boolean(value)) => (*value).into(),
            Some(SortKey::Number(number)) => (*number).into(),
            Some(SortKey::Instant(instant)) => serde_json::json!([instant.to_string()]),
            Some(SortKey::Text(text)) => text.as_str().into(),
        };
        vec![key, self.id.as_str().into()]
    }

    /// Reads the position of a cursor back; `None` for what is no place.
    pub fn from_position(position: &[Value], order: SortOrder) -> Option<Self> {
        let [key, Value::String(id)] = position else { return None };
        let key = match key {
            Value::Null => None,
            Value::Bool(value) => Some(SortKey::Boolean(*value)),
            Value::Number(number) => Some(SortKey::Number(number.as_f64()?)),
            Value::String(text) => Some(SortKey::Text(text.clone())),
            Value::Array(texts) => Some(SortKey::Instant(instant(texts.first()?.as_str()?)?)),
            Value::Object(_) => return None,
        };
        Some(Self { key, id: id.clone(), order })
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_key = match (&self.key, &other.key) {
            (Some(one), Some(other)) => one.cmp(other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        };
        let ascending = by_key.then_with(|| self.id.cmp(&other.id));
        match self.order {
            SortOrder::Ascending => ascending,
            SortOrder::Descending => ascending.reverse(),
        }
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::cursor::{Cursor, CursorKey, Direction, Fingerprint};
    use crate::scim::error::ScimType;
    use crate::scim::schema::Registry;
    use crate::scim::schema::limits::MAX_TEXT;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn user() -> &'static ResourceType {
        Registry::builtin().resource_type("User").unwrap()
    }

    fn resolve(by: &str, order: SortOrder) -> Result<ResolvedSort, ScimError> {
        Sort { order, ..Sort::parse(Some(by), None)?.unwrap() }.resolve(user(), &[])
    }

    /// Sorts resources with the ids 0, 1, 2 … and the attributes given.
    #[track_caller]
    fn check<const N: usize>(by: &str, users: [Value; N], ascending: [usize; N]) {
        let resources = users.into_iter().enumerate().map(|(id, mut user)| {
            user["id"] = id.to_string().into();
            Resource::try_from(user).unwrap()
        });
        let resources: Vec<_> = resources.collect();
        for order in [SortOrder::Ascending, SortOrder::Descending] {
            let sort = resolve(by, order).unwrap();
            let mut places: Vec<_> = resources.iter().map(|resource| sort.place(resource)).collect();
            for place in &places {
                assert_eq!(Place::from_position(&place.to_position(), order).as_ref(), Some(place));
            }
            places.sort();
            let mut expected = ascending.map(|id| id.to_string());
            if order == SortOrder::Descending {
                expected.reverse();
            }
            assert_eq!(places.into_iter().map(|place| place.id).collect::<Vec<_>>(), expected, "{order:?}");
        }
    }

    #[test]
    fn texts_are_sorted_by_the_case_rule_of_their_schema() {
        check(
            "userName",
            [
                json!({"userName": "b"}),
                json!({"userName": "A"}),
                json!({"userName": "C"}),
                json!({"userName": "a"}),
            ],
            [1, 3, 0, 2],
        );
        check("externalId", [json!({"externalId": "a"}), json!({"externalId": "B"})], [1, 0]);
        check(
            &format!("{ENTERPRISE}:department"),
            [json!({ENTERPRISE: {"department": "z"}}), json!({})],
            [0, 1],
        );
    }

    #[test]
    fn resources_without_a_value_are_last_when_ascending() {
        check(
            "title",
            [json!({}), json!({"title": "a"}), json!({"title": ""}), json!({"title": "b"})],
            [1, 3, 0, 2],
        );
        check("active", [json!({}), json!({"active": true}), json!({"active": false})], [2, 1, 0]);
    }

    #[test]
    fn instants_are_sorted_by_time_and_not_by_text() {
        let modified = |text: &str| json!({"meta": {"lastModified": text}});
        check(
            "meta.lastModified",
            [
                modified("2026-01-01T10:00:00+09:00"),
                modified("2026-01-01T02:00:00Z"),
                modified("2026-01-01T00:30:00Z"),
            ],
            [2, 0, 1],
        );
    }

    #[test]
    fn of_a_list_the_primary_value_decides_else_the_first() {
        let users = || {
            [
                json!({"emails": [{"value": "c"}, {"value": "a"}]}),
                json!({"emails": [{"value": "z"}, {"value": "b", "primary": true}]}),
                json!({"emails": []}),
            ]
        };
        check("emails.value", users(), [1, 0, 2]);
        check("emails", users(), [1, 0, 2]);
        check("EMAIL", users(), [1, 0, 2]);
    }

    #[test]
    fn names_without_an_order_are_refused() {
        for (by, scim_type) in [
            ("unknown", ScimType::InvalidValue),
            ("name", ScimType::InvalidValue),
            ("x509Certificates", ScimType::InvalidValue),
            ("name..x", ScimType::InvalidValue),
            (ENTERPRISE, ScimType::InvalidValue),
            ("password", ScimType::Sensitive),
        ] {
            assert_eq!(resolve(by, SortOrder::Ascending).unwrap_err().scim_type, Some(scim_type), "{by}");
        }
        assert!(Sort::parse(Some("title"), Some("up")).is_err());
        assert_eq!(Sort::parse(Some(" "), Some("Descending")).unwrap(), None);
    }

    #[test]
    fn the_longest_text_fits_into_a_cursor() {
        let sort = resolve("title", SortOrder::Ascending).unwrap();
        let title = "\u{1}".repeat(MAX_TEXT);
        let user = Resource::try_from(json!({"id": "01890f2e-7b5c-7cc0-98d1-000000000000", "title": title}));
        let cursor = Cursor {
            position: sort.place(&user.unwrap()).to_position(),
            direction: Direction::Forward,
            expires_at: Timestamp::MAX,
        };
        let (key, query) = (CursorKey::new([1; 32]), Fingerprint::of([]));
        let text = cursor.encode(&key, &query);
        assert_eq!(Cursor::decode(&text, &key, &query, Timestamp::MIN).unwrap().position, cursor.position);
    }

    #[test]
    fn what_another_type_of_the_list_knows_has_no_value_here() {
        let group = Registry::builtin().resource_type("Group").unwrap();
        let sort = Sort::parse(Some("userName"), Some("DESCENDING")).unwrap().unwrap();
        assert_eq!(sort.resolve(group, &[user(), group]).unwrap().field, None);
        assert!(sort.resolve(group, &[group]).is_err());
        assert_eq!(sort.to_string(), "userName descending");
    }
}
