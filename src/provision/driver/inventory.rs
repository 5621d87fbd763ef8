//! Keeping up with what there is to give access to, and with what OpenAI does not offer to the organization.

use jiff::SignedDuration;

use super::Driver;
use crate::ids::OpenAiGroupId;
use crate::model::inventory::{Inventory, Listing};
use crate::model::observed::Collection;
use crate::model::policy::Policy;
use crate::provision::desired::named_groups;
use crate::provision::inventory::load_inventory;
use crate::store::StoreError;

/// How often a list is asked for again that OpenAI does not offer.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

impl Driver {
    /// OpenAI does not offer this list, by the organization's plan or by the key's scopes: what grants say of it waits,
    /// without a word to anybody in particular.
    pub(super) async fn note_not_offered(&mut self, collection: &Collection) -> Result<(), StoreError> {
        let is_news = self.not_offered.send_if_modified(|known| known.insert(collection.clone()));
        self.sweeps.failed(collection, self.context.clock.now(), |_| ASK_AGAIN);
        if !is_news {
            return Ok(());
        }
        tracing::warn!(
            tenant = %self.context.tenant, ?collection,
            "OpenAI does not offer this list to the organization, or the admin key lacks the scope for it; grants that \
             need it wait. It is asked for again once an hour"
        );
        self.renew_inventory().await
    }

    /// This list was read: OpenAI offers it.
    pub(super) async fn note_offered(&mut self, collection: &Collection) -> Result<(), StoreError> {
        if !matches!(collection, Collection::Projects | Collection::Roles | Collection::Groups) {
            return Ok(());
        }
        if self.not_offered.send_if_modified(|known| known.remove(collection)) {
            tracing::info!(tenant = %self.context.tenant, ?collection, "OpenAI offers this list now");
        }
        self.renew_inventory().await
    }

    /// Loads the inventory anew. If there is something else to give than before, everybody's grants are looked at
    /// again.
    pub(super) async fn renew_inventory(&mut self) -> Result<(), StoreError> {
        let not_offered = self.not_offered.borrow().clone();
        let mut reader = self.context.store.reader().await?;
        let inventory =
            load_inventory(&self.context.tenant, &self.context.policy, &mut reader, &not_offered).await?;
        drop(reader);
        let Some(facts) = &mut self.facts else { return Ok(()) };
        // Where only groups that the bridge keeps came or went, their members are due already.
        let former = Inventory { mirrored: inventory.mirrored.clone(), ..facts.inventory.clone() };
        if inventory == former {
            facts.inventory = inventory;
            self.refill_at = self.context.clock.now();
            return Ok(());
        }
        let deleted = deleted_groups(&self.context.policy, &former, &inventory);
        self.meet_deleted_groups(deleted).await?;
        let tenant = self.context.tenant.clone();
        self.context
            .store
            .write(move |tx| {
                let tenant = tenant.clone();
                Box::pin(async move { tx.make_everybody_due(&tenant).await })
            })
            .await?;
        if let Some(facts) = &mut self.facts {
            facts.inventory = inventory;
        }
        self.groups.look();
        self.agenda.refresh_everybody();
        self.refill_at = self.context.clock.now();
        Ok(())
    }
}

/// The groups that the policy named and that are there no more, whatever they were called.
fn deleted_groups(policy: &Policy, former: &Inventory, inventory: &Inventory) -> Vec<OpenAiGroupId> {
    let Listing::Read(groups) = &inventory.groups else { return Vec::new() };
    let is_there = |named: &OpenAiGroupId| groups.iter().any(|group| group.id == *named);
    named_groups(policy, former).into_iter().filter(|named| !is_there(named)).collect()
}
