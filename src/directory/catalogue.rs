//! The catalogue: what access there is to give, as roles and entitlements that identity providers can list.
//!
//! Roles are those of the organization, the two that each has and the custom ones. Entitlements are the roles in each
//! project that is not archived. All of it is made of the mirror and can only be read. An id never changes and is also
//! the value for `roles` and `entitlements` of a user, which is how an attribute asks for it.
//!
//! Two schemas can tell of it, that of draft-ietf-scim-roles-entitlements and Okta's own; the tenant's profile chooses.
//! The draft's `RolesAndEntitlements` in `/ServiceProviderConfig` is left out: RFC 7643 §5 has no such attribute, and
//! clients that read that document strictly refuse it; `/ResourceTypes` tells as much.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::list::{CHUNK, Entry, Found, Start, Window};
use super::{Caller, Directory, DirectoryError};
use crate::ids::ProjectId;
use crate::model::grant::{CatalogueId, OrgRole, ProjectRole};
use crate::model::observed::{Project, Role};
use crate::model::scope::Scope;
use crate::scim::error::ScimError;
use crate::scim::profile::Deviation;
use crate::scim::resource::Resource;
use crate::scim::schema::{Registry, ResourceType};
use crate::scim::search::ResolvedQuery;

/// What has to be escaped in a segment of a path (RFC 3986 §3.3), and a little more.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b':');

/// The two lists of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalogue {
    /// Roles in the organization.
    Roles,
    /// Roles in projects.
    Entitlements,
}

/// One role or entitlement.
#[derive(Debug, Clone)]
struct Item {
    /// The id, and the value for users.
    value: String,
    display: String,
    description: Option<String>,
    kind: &'static str,
    /// Whether an attribute can give it.
    supported: bool,
    contains: Option<String>,
    contained_by: Option<String>,
}

impl Directory {
    /// The resource type of a list, as the caller's identity provider knows it.
    pub fn catalogue_type(&self, caller: &Caller, catalogue: Catalogue) -> &'static ResourceType {
        let name = match catalogue {
            Catalogue::Roles => "Role",
            Catalogue::Entitlements => "Entitlement",
        };
        #[expect(clippy::expect_used, reason = "the schemas are part of the program, and a test loads them")]
        Registry::of(self.profile(&caller.tenant))
            .resource_type(name)
            .expect("the catalogue's types are built in")
    }

    /// A stretch of what satisfies the query. There is little of it, so all is read for each.
    pub(super) async fn seek_catalogue(
        &self,
        caller: &Caller,
        catalogue: Catalogue,
        query: &ResolvedQuery,
        start: &Start,
        limit: usize,
    ) -> Result<Found, DirectoryError> {
        let shape = self.shape(caller, catalogue);
        let (mut window, mut after) = (Window::new(start, limit), None);
        loop {
            let (items, last) = self.catalogue_chunk(caller, catalogue, after.as_ref()).await?;
            for item in items.iter().filter(|item| shape.shows(item)) {
                let resource = shape.render(item);
                if query.filter.as_ref().is_none_or(|filter| filter.matches(&resource)) {
                    window.add(query.sort.place(&resource), resource);
                }
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
        let total = Some(window.total);
        let entry = |resource| Entry { resource_type: shape.resource_type, resource, group: None };
        let hits = window.into_hits().into_iter().map(|(place, resource)| (place, entry(resource)));
        Ok(Found { hits: hits.collect(), total, reached: None })
    }

    /// What has this id.
    pub async fn get_from_catalogue(
        &self,
        caller: &Caller,
        catalogue: Catalogue,
        id: &str,
    ) -> Result<Resource, DirectoryError> {
        caller.require(Scope::UsersRead)?;
        let mut reader = self.store.reader().await?;
        let items = match catalogue {
            Catalogue::Roles => roles(reader.roles(&caller.tenant).await?),
            Catalogue::Entitlements => {
                let project = id.strip_prefix("project:").and_then(|rest| rest.rsplit_once(':'));
                let project = project.map(|(project, _)| ProjectId::from(project));
                let found = match &project {
                    Some(project) => reader.project(&caller.tenant, project).await?,
                    None => None,
                };
                found.iter().flat_map(entitlements).collect()
            }
        };
        let shape = self.shape(caller, catalogue);
        let found = items.iter().find(|item| item.value == id && shape.shows(item));
        found
            .map(|item| shape.render(item))
            .ok_or_else(|| ScimError::not_found("nothing in the catalogue has this id").into())
    }

    /// The part of a list that follows `after`, and where the next part begins, if there is one.
    async fn catalogue_chunk(
        &self,
        caller: &Caller,
        catalogue: Catalogue,
        after: Option<&ProjectId>,
    ) -> Result<(Vec<Item>, Option<ProjectId>), DirectoryError> {
        let mut reader = self.store.reader().await?;
        if catalogue == Catalogue::Roles {
            return Ok((roles(reader.roles(&caller.tenant).await?), None));
        }
        let projects =
            reader.scan_projects(&caller.tenant, after, i64::try_from(CHUNK).unwrap_or(i64::MAX)).await?;
        let last = projects.last().map(|project| project.id.clone());
        Ok((projects.iter().flat_map(entitlements).collect(), last))
    }

    fn shape(&self, caller: &Caller, catalogue: Catalogue) -> Shape {
        let resource_type = self.catalogue_type(caller, catalogue);
        Shape {
            resource_type,
            endpoint: format!("{}{}", self.base_url(&caller.tenant), resource_type.endpoint),
            is_okta: self.profile(&caller.tenant).has(Deviation::OktaCatalogue),
        }
    }
}

/// The roles that each organization has, and the custom ones.
fn roles(custom: Vec<Role>) -> Vec<Item> {
    let value = |role: OrgRole| CatalogueId::Organization(role).to_string();
    let reader = Item {
        value: value(OrgRole::Reader),
        display: "Reader".to_owned(),
        description: Some("Ordinary member of the organization".to_owned()),
        kind: "organization",
        supported: true,
        contains: None,
        contained_by: Some(value(OrgRole::Owner)),
    };
    let owner = Item {
        value: value(OrgRole::Owner),
        display: "Owner".to_owned(),
        description: Some("May change everything, and owns every project".to_owned()),
        // By group rules alone, never by an attribute.
        supported: false,
        contains: Some(value(OrgRole::Reader)),
        contained_by: None,
        ..reader.clone()
    };
    let custom = custom.into_iter().filter(|role| !role.is_predefined).map(|role| Item {
        value: CatalogueId::Role(role.id).to_string(),
        display: role.name,
        description: role.description,
        kind: "custom",
        supported: true,
        contains: None,
        contained_by: None,
    });
    [reader, owner].into_iter().chain(custom).collect()
}

/// The roles in a project.
fn entitlements(project: &Project) -> [Item; 2] {
    let value = |role: ProjectRole| CatalogueId::Project(project.id.clone(), role).to_string();
    let name = project.name.as_deref().unwrap_or(project.id.as_str());
    let member = Item {
        value: value(ProjectRole::Member),
        display: format!("{name}: member"),
        description: Some(format!("Use of the project {}", project.id)),
        kind: "project",
        supported: true,
        contains: None,
        contained_by: Some(value(ProjectRole::Owner)),
    };
    let owner = Item {
        value: value(ProjectRole::Owner),
        display: format!("{name}: owner"),
        description: Some(format!("Use and administration of the project {}", project.id)),
        contains: Some(value(ProjectRole::Member)),
        contained_by: None,
        ..member.clone()
    };
    [member, owner]
}

/// How the items of a list look to one caller.
struct Shape {
    resource_type: &'static ResourceType,
    endpoint: String,
    is_okta: bool,
}

impl Shape {
    /// Whether the item is shown. Okta's schema cannot say of an item that it is not to be had.
    fn shows(&self, item: &Item) -> bool {
        item.supported || !self.is_okta
    }

    fn render(&self, item: &Item) -> Resource {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("schemas", json!([self.resource_type.schema.id]));
        put("id", item.value.as_str().into());
        if self.is_okta {
            if self.resource_type.attribute("type").is_some() {
                put("type", self.resource_type.name.as_str().into());
            }
            put("displayName", item.display.as_str().into());
            if let Some(description) = &item.description {
                put("description", description.as_str().into());
            }
        } else {
            put("value", item.value.as_str().into());
            put("display", item.display.as_str().into());
            put("type", item.kind.into());
            put("supported", item.supported.into());
            put("limitedAssignmentsPermitted", false.into());
            for (name, other) in [("contains", &item.contains), ("containedBy", &item.contained_by)] {
                if let Some(other) = other {
                    put(name, json!([other]));
                }
            }
        }
        let location = format!("{}/{}", self.endpoint, utf8_percent_encode(&item.value, SEGMENT));
        put("meta", json!({"resourceType": self.resource_type.name, "location": location}));
        Resource::from(map)
    }
}
