//! Queries: the parameters of a GET on a list and the body of `POST …/.search` (RFC 7644 §3.4.2, §3.4.3), as one value.

use serde_json::Value;

use crate::scim::cursor::Fingerprint;
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::filter::{Filter, ResolvedFilter};
use crate::scim::list::{self, Page};
use crate::scim::project::Projection;
use crate::scim::schema::limits::MAX_NAMES;
use crate::scim::schema::{ResourceType, check_shape, limits};
use crate::scim::sort::{ResolvedSort, Sort};

/// The URN of a search message.
pub const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What a client asks of a list.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::search::{Paging, Query};
///
/// let get = Query::from_parameters([("filter", "active eq true"), ("cursor", ""), ("count", "10")])?;
/// let post = Query::from_body(serde_json::json!({"filter": "ACTIVE EQ true", "cursor": "", "count": 10}))?;
/// assert_eq!(get.paging, Paging::Cursor { cursor: None, count: 10 });
/// assert_eq!(get.paging, post.paging);
/// # Ok::<(), openai_scim_bridge::scim::error::ScimError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// Which resources.
    pub filter: Option<Filter>,
    /// In which order; that of the server if not given.
    pub sort: Option<Sort>,
    /// Which page of them.
    pub paging: Paging,
    attributes: Option<String>,
    excluded_attributes: Option<String>,
}

/// How the client turns pages. Who names neither way gets pages by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paging {
    /// By `startIndex`.
    Index(Page),
    /// By cursor (RFC 9865).
    Cursor {
        /// The cursor as it was sent; `None` for the first page.
        cursor: Option<String>,
        /// How many resources are wanted, from 1 to [`list::MAX_COUNT`].
        count: u64,
    },
}

impl Default for Paging {
    fn default() -> Self {
        Self::Index(Page::default())
    }
}

/// A query checked against one resource type.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedQuery {
    /// Which resources.
    pub filter: Option<ResolvedFilter>,
    /// In which order; by id if not given.
    pub sort: ResolvedSort,
    /// Which part of each.
    pub projection: Projection,
}

impl ResolvedQuery {
    /// Whether filter or order look at a top-level attribute, or at a part of it.
    pub fn looks_at(&self, attribute: &str) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.looks_at(attribute))
            || self.sort.field.as_ref().is_some_and(|field| field.is_of(attribute))
    }
}

/// The parameters as texts, whichever way they came.
#[derive(Default)]
struct Parameters {
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    cursor: Option<String>,
    attributes: Option<String>,
    excluded_attributes: Option<String>,
}

impl Parameters {
    /// Puts a value where it belongs; a name that no query has is passed over (RFC 7644 §3.4.2).
    fn put(
        &mut self,
        name: &str,
        value: impl FnOnce() -> Result<Option<String>, ScimError>,
    ) -> Result<(), ScimError> {
        let slots = [
            ("filter", &mut self.filter),
            ("sortBy", &mut self.sort_by),
            ("sortOrder", &mut self.sort_order),
            ("startIndex", &mut self.start_index),
            ("count", &mut self.count),
            ("cursor", &mut self.cursor),
            ("attributes", &mut self.attributes),
            ("excludedAttributes", &mut self.excluded_attributes),
        ];
        let Some((name, slot)) = slots.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Ok(());
        };
        if let Some(value) = value()?
            && slot.replace(value).is_some()
        {
            return Err(ScimError::invalid_value(format!("{name} is given more than once")));
        }
        Ok(())
    }
}

impl Query {
    /// Reads the parameters of an address, names and values without escapes. Names come in any case.
    ///
    /// # Errors
    ///
    /// - 400 `invalidFilter`: a malformed or empty filter; it is never passed over.
    /// - 400 `invalidValue`: a parameter given twice, a malformed number, order or name of an attribute to sort by, or
    ///   both ways of paging.
    /// - 400 `invalidCount`: a `count` that cannot go with a cursor.
    pub fn from_parameters<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ScimError> {
        let mut given = Parameters::default();
        for (name, value) in parameters {
            given.put(name, || Ok(Some(value.to_owned())))?;
        }
        Self::new(given)
    }

    /// Reads the body of a search.
    ///
    /// # Errors
    ///
    /// Those of [`Query::from_parameters`], and 400 `invalidSyntax` for a body that is no search message or has a value
    /// of the wrong type.
    pub fn from_body(body: Value) -> Result<Self, ScimError> {
        check_shape(&body, limits::MAX_KEYS)?;
        let Value::Object(body) = body else {
            return Err(ScimError::invalid_syntax("a search must be a JSON object"));
        };
        dialect::check_message(&body, SEARCH_URN)?;
        let mut given = Parameters::default();
        for (name, value) in body {
            let is_list = name.to_ascii_lowercase().ends_with("attributes");
            given.put(&name, || match value {
                Value::Null => Ok(None),
                Value::String(text) => Ok(Some(text)),
                Value::Number(number) => Ok(Some(number.to_string())),
                Value::Array(names) if is_list => {
                    let names = names.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                    let names = names.map(|names| names.join(","));
                    names
                        .map(Some)
                        .ok_or_else(|| ScimError::invalid_syntax(format!("{name} must be a list of names")))
                }
                _ => Err(ScimError::invalid_syntax(format!("{name} has a value of the wrong type"))),
            })?;
        }
        Self::new(given)
    }

    fn new(given: Parameters) -> Result<Self, ScimError> {
        for (name, list) in
            [("attributes", &given.attributes), ("excludedAttributes", &given.excluded_attributes)]
        {
            if list.as_ref().is_some_and(|list| list.split(',').nth(MAX_NAMES).is_some()) {
                return Err(ScimError::invalid_value(format!("{name} has more than {MAX_NAMES} names")));
            }
        }
        let page = Page::parse(given.start_index.as_deref(), None)?;
        let count = given.count.as_deref();
        let paging = match given.cursor {
            None => Paging::Index(Page { count: Page::parse(None, count)?.count, ..page }),
            Some(_) if page.start_index > 1 => {
                return Err(ScimError::invalid_value(
                    "cursor and startIndex exclude each other; leave one out",
                ));
            }
            Some(cursor) => Paging::Cursor {
                cursor: Some(cursor).filter(|cursor| !cursor.is_empty()),
                count: list::parse_cursor_count(count)?,
            },
        };
        Ok(Self {
            filter: given.filter.as_deref().map(Filter::parse).transpose()?,
            sort: Sort::parse(given.sort_by.as_deref(), given.sort_order.as_deref())?,
            paging,
            attributes: given.attributes,
            excluded_attributes: given.excluded_attributes,
        })
    }

    /// Checks the query against `resource_type`. In a list of several types, `among` are all of them: what another of
    /// them knows has no value in this one (RFC 7644 §3.4.2.1).
    ///
    /// # Errors
    ///
    /// Those of [`Filter::resolve`] and [`Sort::resolve`].
    pub fn resolve(
        &self,
        resource_type: &ResourceType,
        among: &[&ResourceType],
    ) -> Result<ResolvedQuery, ScimError> {
        let filter = self.filter.as_ref().map(|filter| filter.resolve_among(resource_type, among));
        let sort = self.sort.as_ref().map(|sort| sort.resolve(resource_type, among));
        Ok(ResolvedQuery {
            filter: filter.transpose()?,
            sort: sort.transpose()?.unwrap_or_default(),
            projection: self.projection(resource_type),
        })
    }

    /// Which part of each resource of `resource_type` is answered.
    pub fn projection(&self, resource_type: &ResourceType) -> Projection {
        Projection::parse(resource_type, self.attributes.as_deref(), self.excluded_attributes.as_deref())
    }

    /// What the cursors of this query at one endpoint of one tenant belong to. The number and the part of the resources
    /// may change from page to page: they say nothing of the place.
    pub fn fingerprint(&self, tenant: &str, endpoint: &str) -> Fingerprint {
        let filter = self.filter.as_ref().map(ToString::to_string).unwrap_or_default();
        let sort = self.sort.as_ref().map(ToString::to_string).unwrap_or_default();
        Fingerprint::of([tenant, endpoint, &filter, &sort])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::error::ScimType;
    use crate::scim::resource::Resource;
    use crate::scim::schema::Registry;
    use crate::scim::sort::SortOrder;

    /// Both ways must lead to the same query.
    #[track_caller]
    fn query(parameters: &[(&str, &str)], body: Value) -> Query {
        let get = Query::from_parameters(parameters.iter().copied()).unwrap();
        assert_eq!(get, Query::from_body(body).unwrap());
        get
    }

    #[track_caller]
    fn check_refused(parameters: &[(&str, &str)], body: Value, scim_type: ScimType) {
        for refused in [Query::from_parameters(parameters.iter().copied()), Query::from_body(body)] {
            assert_eq!(refused.unwrap_err().scim_type, Some(scim_type));
        }
    }

    #[test]
    fn parameters_and_body_are_one_query() {
        let asked = query(
            &[
                ("FILTER", "title pr"),
                ("sortby", "userName"),
                ("sortOrder", "descending"),
                ("startIndex", "11"),
                ("count", "5"),
                ("attributes", "id,userName"),
                ("unknown", "x"),
            ],
            json!({
                "schemas": [SEARCH_URN], "filter": "title pr", "sortBy": "userName", "sortOrder": "descending",
                "StartIndex": 11, "count": "5", "attributes": ["id", "userName"], "excludedAttributes": null, "x": []
            }),
        );
        assert_eq!(asked.paging, Paging::Index(Page { start_index: 11, count: 5 }));
        assert_eq!(asked.sort.unwrap().order, SortOrder::Descending);
        assert_eq!(query(&[], json!({})), Query::default());
    }

    #[test]
    fn a_cursor_and_even_an_empty_one_asks_for_pages_by_cursor() {
        let first = query(&[("cursor", ""), ("startIndex", "1")], json!({"cursor": "", "startIndex": 1}));
        assert_eq!(first.paging, Paging::Cursor { cursor: None, count: list::DEFAULT_COUNT });
        let next = query(&[("cursor", "abc"), ("count", "1000")], json!({"cursor": "abc", "count": 1_000}));
        assert_eq!(next.paging, Paging::Cursor { cursor: Some("abc".to_owned()), count: list::MAX_COUNT });
        check_refused(
            &[("cursor", ""), ("count", "0")],
            json!({"cursor": "", "count": 0}),
            ScimType::InvalidCount,
        );
        check_refused(
            &[("cursor", "a"), ("startIndex", "2")],
            json!({"cursor": "a", "startIndex": 2}),
            ScimType::InvalidValue,
        );
    }

    #[test]
    fn no_filter_is_passed_over() {
        check_refused(&[("filter", "")], json!({"filter": ""}), ScimType::InvalidFilter);
        check_refused(
            &[("filter", "title pr"), ("Filter", "id pr")],
            json!({"filter": "title pr", "Filter": "id pr"}),
            ScimType::InvalidValue,
        );
        let error = Query::from_body(json!({"filter": {"title": "x"}})).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidSyntax));
    }

    #[test]
    fn what_is_no_search_is_refused() {
        for body in [json!([]), json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]})] {
            assert_eq!(Query::from_body(body).unwrap_err().scim_type, Some(ScimType::InvalidSyntax));
        }
        let names = vec!["id"; MAX_NAMES + 1];
        check_refused(
            &[("attributes", &names.join(","))],
            json!({"attributes": names}),
            ScimType::InvalidValue,
        );
    }

    #[test]
    fn a_cursor_belongs_to_filter_and_order_and_not_to_the_size_of_the_page() {
        let of = |parameters: &[(&str, &str)]| {
            Query::from_parameters(parameters.iter().copied()).unwrap().fingerprint("default", "/Users")
        };
        let plain = of(&[("filter", "active eq true")]);
        assert_eq!(plain, of(&[("filter", " active  EQ true"), ("count", "7"), ("attributes", "id")]));
        assert_ne!(plain, of(&[("filter", "active eq false")]));
        assert_ne!(plain, of(&[("filter", "active eq true"), ("sortBy", "id")]));
        assert_ne!(plain, Query::default().fingerprint("default", "/Users"));
        assert_ne!(
            Query::default().fingerprint("default", "/Users"),
            Query::default().fingerprint("other", "/Users")
        );
    }

    #[test]
    fn across_types_what_only_another_type_knows_has_no_value() {
        let registry = Registry::builtin();
        let (user, group) =
            (registry.resource_type("User").unwrap(), registry.resource_type("Group").unwrap());
        let jane = Resource::try_from(json!({"id": "1", "userName": "jane", "displayName": "x"})).unwrap();
        let team = Resource::try_from(json!({"id": "2", "displayName": "x"})).unwrap();
        for (filter, of_jane, of_team) in [
            ("displayName eq \"x\"", true, true),
            ("userName eq \"jane\"", true, false),
            ("userName pr", true, false),
            ("userName ne \"jane\"", false, true),
            ("userName eq null", false, true),
            ("not (members pr)", true, true),
            ("emails ne \"x\"", false, false),
            ("emails[type eq \"work\"] or displayName pr", true, true),
        ] {
            let query = Query::from_parameters([("filter", filter)]).unwrap();
            let matches = |resource_type, resource| {
                let resolved = query.resolve(resource_type, &[user, group]).unwrap();
                resolved.filter.unwrap().matches(resource)
            };
            assert_eq!((matches(user, &jane), matches(group, &team)), (of_jane, of_team), "{filter}");
        }
        let query = Query::from_parameters([("filter", "unknown pr")]).unwrap();
        assert!(query.resolve(group, &[user, group]).is_err());
        let query = Query::from_parameters([("filter", "userName pr")]).unwrap();
        assert!(query.resolve(group, &[]).is_err());
    }
}
