//! What is known of each tenant that is being served, for the parts of a program whose tenants come and go while it
//! runs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ids::TenantId;

/// One value for each tenant. Clones share the same list, so that a change is seen by all of them at once.
#[derive(Debug)]
pub struct Roster<T>(Arc<RwLock<BTreeMap<TenantId, T>>>);

impl<T> Roster<T> {
    /// Notes the value of a tenant, in place of an earlier one.
    pub fn insert(&self, tenant: TenantId, value: T) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, value);
    }

    /// Forgets a tenant.
    pub fn remove(&self, tenant: &TenantId) -> Option<T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(tenant)
    }

    /// Whether the tenant is on the list.
    pub fn contains(&self, tenant: &TenantId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(tenant)
    }

    /// The tenants on the list.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl<T: Clone> Roster<T> {
    /// The value of a tenant.
    pub fn get(&self, tenant: &TenantId) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// All tenants with their values.
    pub fn entries(&self) -> Vec<(TenantId, T)> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().map(|(tenant, value)| (tenant.clone(), value.clone())).collect()
    }

    /// The values of all tenants.
    pub fn values(&self) -> Vec<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl<T> Clone for Roster<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> FromIterator<(TenantId, T)> for Roster<T> {
    fn from_iter<I: IntoIterator<Item = (TenantId, T)>>(tenants: I) -> Self {
        Self(Arc::new(RwLock::new(tenants.into_iter().collect())))
    }
}
