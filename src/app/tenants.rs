//! Which tenants are to be served: those of the settings and those of the database, side by side.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use crate::config::{Config, TenantConfig, check_apart};
use crate::http::{Condition, Readiness};
use crate::ids::TenantId;
use crate::model::tenant::TenantRecord;
use crate::seal::MasterKey;
use crate::store::Store;

/// What tells whether the tenants in the database have changed.
pub(crate) type Revisions = Vec<(TenantId, i64)>;

/// The tenants to be served.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) tenants: BTreeMap<TenantId, TenantConfig>,
    pub(super) revisions: Revisions,
    /// Tenants of the database whose settings cannot be used, and why.
    pub(crate) unusable: Vec<(TenantId, anyhow::Error)>,
}

impl Wanted {
    /// Tells of those that cannot be served.
    pub(super) fn report(&self, readiness: &Readiness) {
        for (tenant, error) in &self.unusable {
            readiness.set(&format!("tenant:{tenant}"), Condition::Degraded);
            tracing::error!(%tenant, "tenant {tenant} cannot be served: {error:#}");
        }
    }
}

/// Reads which tenants are to be served. A tenant of the database whose settings cannot be used keeps no other out.
pub(crate) async fn wanted(config: &Config, store: &Store) -> anyhow::Result<Wanted> {
    let records = store.reader().await?.list_tenants().await?;
    let revisions = records.iter().map(|record| (record.tenant.clone(), record.revision)).collect();
    let mut tenants = config.tenants.clone();
    if !records.is_empty() && !config.wants_default() {
        tenants.remove(&TenantId::default_tenant());
    }
    let mut unusable = Vec::new();
    for record in records.into_iter().filter(|record| record.disabled_at.is_none()) {
        let id = record.tenant.clone();
        let read = if tenants.contains_key(&id) {
            Err(anyhow::anyhow!(
                "it is in the settings files as well, and those count; remove one of the two"
            ))
        } else {
            settings_of(config, &record)
        };
        match read {
            Ok(tenant) => {
                tenants.insert(id.clone(), tenant);
                if let Err(error) = check_apart(&tenants) {
                    tenants.remove(&id);
                    unusable.push((id, error.into()));
                }
            }
            Err(error) => unusable.push((id, error)),
        }
    }
    Ok(Wanted { tenants, revisions, unusable })
}

/// The settings of a tenant that is set up in the database, with its admin key.
pub fn settings_of(config: &Config, record: &TenantRecord) -> anyhow::Result<TenantConfig> {
    let key = match (&record.admin_key, &config.master_key) {
        (None, _) => None,
        (Some(_), None) => bail!(
            "its admin key is encrypted; give the bridge the key that it was encrypted with, as SCIM_BRIDGE_MASTER_KEY \
             or in the file that SCIM_BRIDGE_MASTER_KEY_FILE names"
        ),
        (Some(sealed), Some(master)) => {
            let master = MasterKey::parse(&master.value).with_context(|| master.origin.to_string())?;
            Some(master.open(&record.tenant, sealed)?)
        }
    };
    let tenant = config.read_stored(&record.tenant, &record.settings, key)?;
    tenant.require_admin_key()?;
    Ok(tenant)
}
