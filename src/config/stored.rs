//! A tenant's settings as a text of their own: in a file of a folder, or in the database. It holds what stands below
//! `[tenants.NAME]` in the settings file.

use std::fs;
use std::path::Path;

use secrecy::SecretString;
use toml::{Table, Value};

use super::file::{Source, Tables};
use super::origin::{ConfigError, Origin, Setting};
use super::tenant::{self, TenantConfig};
use super::{Config, Sources};
use crate::ids::TenantId;

/// What tenants have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) sources: Sources,
    pub(super) base_url: Setting<String>,
}

impl Common {
    pub(super) fn read(&self, tenant: TenantId, source: &Source) -> Result<TenantConfig, ConfigError> {
        let mut tables: Tables = source.parse()?;
        let own_url = tables.upstream.base_url.take().map(|field| source.setting(field));
        let url = own_url.unwrap_or_else(|| self.base_url.clone());
        tenant::read(tenant, tables, url, &self.sources, source)
    }

    /// The tenants of a folder: `NAME.toml` each.
    pub(super) fn read_folder(
        &self,
        folder: &Setting<std::path::PathBuf>,
    ) -> Result<Vec<TenantConfig>, ConfigError> {
        let unreadable = |path: &Path| {
            let (named_by, path) = (folder.origin.clone(), path.to_owned());
            |source| ConfigError::Unreadable { named_by, path, source }
        };
        let entries = fs::read_dir(&folder.value).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<_> =
            entries.map_err(unreadable(&folder.value))?.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let tenants = paths.iter().map(|path| {
            let text = fs::read_to_string(path).map_err(unreadable(path))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let origin = Origin::File { path: path.clone(), line: 1 };
            let id = Setting { value: name, origin }.try_map(|name| tenant_name(&name))?;
            self.read(id.value, &Source::new(path, text))
        });
        tenants.collect()
    }
}

/// The name of a tenant other than `default`.
pub(super) fn tenant_name(name: &str) -> Result<TenantId, String> {
    match name.parse::<TenantId>() {
        Ok(id) if id == TenantId::default_tenant() => {
            Err("the tenant `default` is set up by the tables at the top level of the settings file"
                .to_owned())
        }
        Ok(id) => Ok(id),
        Err(_) => Err(format!(
            "`{name}` is no tenant name; use 1 to 63 lower-case letters, digits and hyphens, a letter first"
        )),
    }
}

impl Config {
    /// Reads a tenant whose settings are in the database, with the admin key that was kept there.
    ///
    /// # Errors
    /// As for the settings file; lines are those of the text.
    pub fn read_stored(
        &self,
        tenant: &TenantId,
        settings: &str,
        admin_key: Option<SecretString>,
    ) -> Result<TenantConfig, ConfigError> {
        let place = format!("stored settings of tenant {tenant}");
        let mut config =
            self.common.read(tenant.clone(), &Source::new(place.as_ref(), settings.to_owned()))?;
        if let Some(value) = admin_key {
            let origin = Origin::Database;
            config.admin_key = Some(Setting { value, origin });
        }
        Ok(config)
    }
}

/// Sets `key` (`safety.min_owners`) in a tenant's text, or takes it out. What is no TOML value is taken for a text.
///
/// # Errors
/// [`ConfigError::Invalid`] if the text is no TOML, or the key leads through a value that is no table.
pub fn edit(settings: &str, key: &str, value: Option<&str>) -> Result<String, ConfigError> {
    let refuse = |message: String| Origin::Flag("setting").refuses(message);
    let mut root: Table =
        settings.parse().map_err(|error: toml::de::Error| refuse(error.message().to_owned()))?;
    let (tables, name) = match key.rsplit_once('.') {
        Some((tables, name)) => (tables.split('.').collect(), name),
        None => (Vec::new(), key),
    };
    let mut table = &mut root;
    for step in tables {
        let next = table.entry(step).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = next else {
            return Err(refuse(format!("`{key}`: `{step}` is no table")));
        };
        table = inner;
    }
    match value {
        Some(text) => {
            let read = format!("x = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("x"));
            table.insert(name.to_owned(), read.unwrap_or_else(|| Value::String(text.to_owned())));
        }
        None if table.remove(name).is_none() => {
            return Err(refuse(format!("`{key}` is not set")));
        }
        None => {}
    }
    toml::to_string(&root).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_set_changed_and_taken_out() {
        let text = edit("", "profile", Some("okta")).unwrap();
        let text = edit(&text, "safety.min_owners", Some("3")).unwrap();
        let text = edit(&text, "invites.allowed_domains", Some("['a.example']")).unwrap();
        assert_eq!(
            text,
            "profile = \"okta\"\n\n[invites]\nallowed_domains = [\"a.example\"]\n\n[safety]\nmin_owners = 3\n"
        );
        let text = edit(&text, "safety.min_owners", None).unwrap();
        assert!(!text.contains("min_owners"), "{text}");
        assert!(edit(&text, "safety.min_owners", None).is_err());
        assert!(edit(&text, "profile.x", Some("1")).unwrap_err().to_string().contains("no table"));
    }
}
