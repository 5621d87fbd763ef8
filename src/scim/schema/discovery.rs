//! The bodies of `/Schemas`, `/ResourceTypes` and `/ServiceProviderConfig` (RFC 7644 §4).
//!
//! They are made of the same documents that drive validation, so that they cannot promise something else.

use serde_json::{Map, Value, json};

use super::features::Features;
use super::{Registry, ResourceType, Schema};
use crate::scim::list::ListResponse;

const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// The body of `/Schemas`. `base_url` is the SCIM base without a slash at its end.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::scim::schema::{Registry, discovery};
///
/// let body = discovery::schemas(Registry::builtin(), "https://scim.example.com/scim/v2");
/// assert_eq!(body["Resources"][0]["id"], "urn:ietf:params:scim:schemas:core:2.0:User");
/// ```
pub fn schemas(registry: &Registry, base_url: &str) -> Value {
    list(offered_schemas(registry).map(|schema| schema_body(schema, base_url)).collect())
}

/// The body of `/Schemas/{urn}`; `None` if no offered resource type has that schema.
pub fn schema(registry: &Registry, urn: &str, base_url: &str) -> Option<Value> {
    let schema = offered_schemas(registry).find(|schema| schema.id.eq_ignore_ascii_case(urn))?;
    Some(schema_body(schema, base_url))
}

/// The body of `/ResourceTypes`.
pub fn resource_types(registry: &Registry, base_url: &str) -> Value {
    list(offered(registry).map(|resource_type| resource_type_body(resource_type, base_url)).collect())
}

/// The body of `/ResourceTypes/{name}`; `None` if no such resource type is offered.
pub fn resource_type(registry: &Registry, name: &str, base_url: &str) -> Option<Value> {
    let found = offered(registry).find(|resource_type| resource_type.name.eq_ignore_ascii_case(name))?;
    Some(resource_type_body(found, base_url))
}

/// The body of `/ServiceProviderConfig`: what is always there and these features.
pub fn service_provider_config(registry: &Registry, base_url: &str, features: &Features) -> Value {
    let mut body = Map::from_iter([("schemas".to_owned(), json!([CONFIG_URN]))]);
    body.extend(registry.service_provider().clone());
    body.extend(features.to_config());
    let location = format!("{base_url}/ServiceProviderConfig");
    body.insert("meta".to_owned(), json!({"resourceType": "ServiceProviderConfig", "location": location}));
    Value::Object(body)
}

fn offered(registry: &Registry) -> impl Iterator<Item = &ResourceType> {
    registry.resource_types().iter().filter(|resource_type| resource_type.offered)
}

/// The schemas of the offered resource types, in the order of the registry.
fn offered_schemas(registry: &Registry) -> impl Iterator<Item = &Schema> {
    registry.schemas().filter(|schema| {
        offered(registry)
            .any(|offered| offered.schema.id == schema.id || offered.extension(&schema.id).is_some())
    })
}

fn list(resources: Vec<Value>) -> Value {
    let total_results = u64::try_from(resources.len()).unwrap_or(u64::MAX);
    ListResponse { total_results, start_index: 1, resources }.into_json()
}

fn schema_body(schema: &Schema, base_url: &str) -> Value {
    json!({
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.attributes,
        "meta": {"resourceType": "Schema", "location": format!("{base_url}/Schemas/{}", schema.id)},
    })
}

fn resource_type_body(resource_type: &ResourceType, base_url: &str) -> Value {
    let extensions = resource_type.extensions.iter();
    let extensions: Vec<_> = extensions
        .map(|extension| json!({"schema": extension.schema.id, "required": extension.required}))
        .collect();
    json!({
        "schemas": [RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "endpoint": resource_type.endpoint,
        "description": resource_type.description,
        "schema": resource_type.schema.id,
        "schemaExtensions": extensions,
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base_url}/ResourceTypes/{}", resource_type.name),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::features::OFFERED;

    const BASE: &str = "https://scim.example.com/scim/v2";

    #[test]
    fn only_what_is_offered_is_shown() {
        let registry = Registry::builtin();
        let types = resource_types(registry, BASE);
        let ids = types["Resources"].as_array().unwrap().iter().map(|each| each["id"].clone());
        assert_eq!(ids.collect::<Vec<_>>(), ["User", "Group", "Role", "Entitlement"]);
        assert_eq!(schemas(registry, BASE)["totalResults"], json!(6));
        assert!(resource_type(registry, "Device", BASE).is_none());
        assert!(schema(registry, "urn:ietf:params:scim:schemas:core:2.0:Device", BASE).is_none());
    }

    #[test]
    fn locations_lead_back() {
        let registry = Registry::builtin();
        let user = schema(registry, "URN:ietf:params:scim:schemas:core:2.0:user", BASE).unwrap();
        assert_eq!(
            user["meta"]["location"],
            "https://scim.example.com/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User"
        );
        let user = resource_type(registry, "user", BASE).unwrap();
        assert_eq!(user["meta"]["location"], "https://scim.example.com/scim/v2/ResourceTypes/User");
        assert_eq!(user["schemaExtensions"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn attributes_are_served_as_the_documents_state_them() {
        let user = schema(Registry::builtin(), "urn:ietf:params:scim:schemas:core:2.0:User", BASE).unwrap();
        let document: Value =
            serde_json::from_str(include_str!("../../../scim-schemas/schemas/user.json")).unwrap();
        assert_eq!(user["attributes"], document["attributes"]);
    }

    #[test]
    fn service_provider_config_states_limits_that_are_kept() {
        let config = service_provider_config(Registry::builtin(), BASE, &OFFERED);
        assert_eq!(config["filter"]["maxResults"], json!(crate::scim::list::MAX_COUNT));
        assert_eq!(config["sort"]["supported"], json!(OFFERED.sort));
        assert_eq!(config["authenticationSchemes"][0]["type"], "oauthbearertoken");
        assert_eq!(config["meta"]["location"], "https://scim.example.com/scim/v2/ServiceProviderConfig");
    }
}
