//! The registry: the documents of `scim-schemas/`, loaded once and cross-checked.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Attribute, AttributeType, Extension, ResourceType, Schema};
use crate::scim::profile::{Deviation, Profile};

const COMMON: &str = include_str!("../../../scim-schemas/common-attributes.json");
const SERVICE_PROVIDER: &str = include_str!("../../../scim-schemas/service-provider.json");
const SCHEMAS: &[&str] = &[
    include_str!("../../../scim-schemas/schemas/user.json"),
    include_str!("../../../scim-schemas/schemas/group.json"),
    include_str!("../../../scim-schemas/schemas/enterprise-user.json"),
    include_str!("../../../scim-schemas/schemas/openai-user.json"),
    include_str!("../../../scim-schemas/schemas/role.json"),
    include_str!("../../../scim-schemas/schemas/entitlement.json"),
    include_str!("../../../scim-schemas/schemas/okta-role.json"),
    include_str!("../../../scim-schemas/schemas/okta-entitlement.json"),
];
const USER: &str = include_str!("../../../scim-schemas/resource-types/user.json");
const GROUP: &str = include_str!("../../../scim-schemas/resource-types/group.json");
const ROLE: &str = include_str!("../../../scim-schemas/resource-types/role.json");
const ENTITLEMENT: &str = include_str!("../../../scim-schemas/resource-types/entitlement.json");
const OKTA_ROLE: &str = include_str!("../../../scim-schemas/resource-types/okta-role.json");
const OKTA_ENTITLEMENT: &str = include_str!("../../../scim-schemas/resource-types/okta-entitlement.json");

/// The resource types that have an endpoint; the core can handle the others, and discovery keeps quiet about them.
const OFFERED: &[&str] = &["User", "Group", "Role", "Entitlement"];

/// All schemas and resource types known.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::schema::Registry;
///
/// let user = Registry::builtin().resource_type("user").expect("names are taken in any case");
/// assert_eq!(user.endpoint, "/Users");
/// assert_eq!(user.attribute("USERNAME").expect("known").name, "userName");
/// ```
#[derive(Debug)]
pub struct Registry {
    schemas: Vec<Arc<Schema>>,
    resource_types: Vec<ResourceType>,
    service_provider: Map<String, Value>,
}

/// A resource type as RFC 7643 §6 writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceTypeDocument {
    #[serde(rename = "id")]
    _id: String,
    name: String,
    endpoint: String,
    description: String,
    schema: String,
    schema_extensions: Vec<ExtensionDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtensionDocument {
    schema: String,
    required: bool,
}

impl Registry {
    /// The registry of the embedded documents, as it is for [`Profile::Generic`].
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Registry> =
            LazyLock::new(|| Registry::embedded(&[USER, GROUP, ROLE, ENTITLEMENT]));
        &BUILTIN
    }

    /// The registry for a profile: some have their own schemas of roles and entitlements
    /// ([`Deviation::OktaCatalogue`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use openai_scim_bridge::scim::profile::Profile;
    /// use openai_scim_bridge::scim::schema::Registry;
    ///
    /// let schema_of_roles = |profile| {
    ///     let roles = Registry::of(profile).resource_type("Role").expect("all have roles");
    ///     roles.schema.id.as_str()
    /// };
    /// assert_eq!(schema_of_roles(Profile::Generic), "urn:ietf:params:scim:schemas:core:2.0:Role");
    /// assert_eq!(schema_of_roles(Profile::Okta), "urn:okta:scim:schemas:core:1.0:Role");
    /// ```
    pub fn of(profile: Profile) -> &'static Self {
        static OKTA: LazyLock<Registry> =
            LazyLock::new(|| Registry::embedded(&[USER, GROUP, OKTA_ROLE, OKTA_ENTITLEMENT]));
        if profile.has(Deviation::OktaCatalogue) { &OKTA } else { Self::builtin() }
    }

    fn embedded(resource_types: &[&str]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the documents are part of the program, and a test loads them"
        )]
        Self::load(resource_types).expect("embedded SCIM schemas")
    }

    fn load(resource_types: &[&str]) -> Result<Self, String> {
        let schemas = SCHEMAS
            .iter()
            .map(|text| serde_json::from_str::<Schema>(text).map(Arc::new).map_err(|error| error.to_string()))
            .collect::<Result<Vec<_>, _>>()?;
        let common: Vec<Attribute> = serde_json::from_str(COMMON).map_err(|error| error.to_string())?;
        let common: Arc<[Attribute]> = common.into();
        let by_urn = |urn: &str| {
            schemas.iter().find(|schema| schema.id == urn).cloned().ok_or_else(|| format!("no schema {urn}"))
        };
        let resource_types = resource_types
            .iter()
            .map(|text| {
                let document: ResourceTypeDocument =
                    serde_json::from_str(text).map_err(|error| error.to_string())?;
                let extensions = document
                    .schema_extensions
                    .iter()
                    .map(|extension| {
                        Ok(Extension { schema: by_urn(&extension.schema)?, required: extension.required })
                    })
                    .collect::<Result<Vec<_>, String>>()?;
                Ok(ResourceType {
                    schema: by_urn(&document.schema)?,
                    offered: OFFERED.contains(&document.name.as_str()),
                    name: document.name,
                    endpoint: document.endpoint,
                    description: document.description,
                    extensions,
                    common: Arc::clone(&common),
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        let service_provider = serde_json::from_str(SERVICE_PROVIDER).map_err(|error| error.to_string())?;
        for attribute in common.iter().chain(schemas.iter().flat_map(|schema| &schema.attributes)) {
            check(attribute, false)?;
        }
        Ok(Self { schemas, resource_types, service_provider })
    }

    /// All schemas, also those of resource types that are not offered.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.iter().map(|schema| &**schema)
    }

    /// The schema with that URN in any case.
    pub fn schema(&self, urn: &str) -> Option<&Schema> {
        self.schemas().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// All resource types known; [`ResourceType::offered`] says whether clients may use them.
    pub fn resource_types(&self) -> &[ResourceType] {
        &self.resource_types
    }

    /// The resource type of that name in any case.
    pub fn resource_type(&self, name: &str) -> Option<&ResourceType> {
        self.resource_types.iter().find(|resource_type| resource_type.name.eq_ignore_ascii_case(name))
    }

    /// What the server can always do, as `scim-schemas/service-provider.json` states it (RFC 7643 §5);
    /// [`Features`](super::features::Features) tell the rest.
    pub fn service_provider(&self) -> &Map<String, Value> {
        &self.service_provider
    }
}

/// What RFC 7643 §7 and §2.3.8 demand of an attribute beyond its JSON shape.
fn check(attribute: &Attribute, nested: bool) -> Result<(), String> {
    let name = &attribute.name;
    let is_text =
        matches!(attribute.kind, AttributeType::String | AttributeType::Reference | AttributeType::Binary);
    if attribute.is_complex() == attribute.sub_attributes.is_empty() {
        return Err(format!("{name}: complex attributes, and they alone, have sub-attributes"));
    }
    if nested && (attribute.is_complex() || attribute.multi_valued) {
        return Err(format!("{name}: a sub-attribute is neither complex nor multi-valued"));
    }
    if is_text != attribute.case_exact.is_some() {
        return Err(format!("{name}: texts, and they alone, have caseExact"));
    }
    if (attribute.kind == AttributeType::Reference) == attribute.reference_types.is_empty() {
        return Err(format!("{name}: references, and they alone, have referenceTypes"));
    }
    attribute.sub_attributes.iter().try_for_each(|sub| check(sub, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::{Mutability, Returned};

    #[test]
    fn embedded_documents_load_and_agree_with_each_other() {
        for profile in Profile::ALL {
            assert!(Registry::of(*profile).resource_types().iter().all(|each| each.offered));
        }
    }

    #[test]
    fn characteristics_are_those_of_rfc_7643() {
        let user = Registry::builtin().resource_type("User").unwrap();
        let attribute = |name: &str| user.attribute(name).unwrap();
        assert!(attribute("userName").required && !attribute("userName").is_case_exact());
        assert!(attribute("externalId").is_case_exact() && attribute("id").is_case_exact());
        assert_eq!(attribute("password").mutability, Mutability::WriteOnly);
        assert_eq!(attribute("password").returned, Returned::Never);
        assert_eq!(attribute("id").returned, Returned::Always);
        assert!(attribute("groups").is_read_only() && attribute("meta").is_read_only());
        assert!(!attribute("emails").sub_attribute("value").unwrap().is_case_exact());
    }

    #[test]
    fn schemas_are_found_by_urn_in_any_case() {
        let registry = Registry::builtin();
        let urn = "URN:IETF:params:scim:schemas:extension:OPENAI:2.0:user";
        assert_eq!(registry.schema(urn).unwrap().name, "OpenAIUser");
        assert!(registry.schema("urn:example:none").is_none());
    }

    #[test]
    fn only_types_with_an_endpoint_are_offered() {
        let offered = Registry::builtin().resource_types().iter().filter(|each| each.offered);
        assert_eq!(
            offered.map(|each| each.name.as_str()).collect::<Vec<_>>(),
            ["User", "Group", "Role", "Entitlement"]
        );
    }
}
