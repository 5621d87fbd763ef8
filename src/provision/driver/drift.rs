//! Changes by others: counting what was found, and members who came in without the bridge.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Driver;
use crate::ids::{OpenAiGroupId, UserId};
use crate::model::audit::{Actor, AuditEntry};
use crate::model::observed::Sweep;
use crate::model::policy::OnDrift;
use crate::model::upkeep::DriftClass;
use crate::provision::adopt::show_member;
use crate::store::StoreError;

/// Members shown to identity providers in one write.
const AT_ONCE: i64 = 100;

impl Driver {
    /// Counts a change that somebody else made.
    pub(super) fn tell_drift(&self, class: DriftClass) {
        let reaction = self.context.policy.drift.of(class);
        self.context.metrics.drift(self.context.tenant.as_str(), class.as_str(), reaction.as_str());
    }

    /// Looks over what a reading of all members showed. `known` of them stood for people before it, and `before` is the
    /// reading before it. In an organization that looks like another one everybody is a stranger, and nobody is met.
    pub(super) async fn compare_members(
        &mut self,
        known: i64,
        before: Option<Sweep>,
    ) -> Result<(), StoreError> {
        if self.is_strange(known).await? { Ok(()) } else { self.meet_newcomers(before).await }
    }

    /// Tells of those who came in since the reading before and whom no identity provider speaks of. They are reported,
    /// or shown to identity providers; nothing about them is ever changed.
    async fn meet_newcomers(&mut self, before: Option<Sweep>) -> Result<(), StoreError> {
        let tenant = self.context.tenant.clone();
        let mut reader = self.context.store.reader().await?;
        let count = reader.count_unmanaged(&tenant).await?;
        self.context.metrics.set_unmanaged(tenant.as_str(), u64::try_from(count).unwrap_or_default());
        let has_unmet = reader.has_unmet(&tenant).await?;
        drop(reader);
        let now = self.context.clock.now();
        if has_unmet {
            // Whoever was there at the first reading is no newcomer.
            self.meet(before.is_some(), now).await?;
        }
        if self.context.policy.drift.new_member == OnDrift::Adopt && count > 0 {
            self.show_unmanaged(now).await?;
        }
        Ok(())
    }

    async fn meet(&self, tells: bool, now: Timestamp) -> Result<(), StoreError> {
        let class = DriftClass::NewMember;
        let entry = self.entry("drift.found", now, Value::Null);
        let newcomers = self
            .context
            .store
            .write(move |tx| {
                let entry = entry.clone();
                Box::pin(async move {
                    let mut newcomers = tx.meet_members(&entry.tenant).await?;
                    if !tells {
                        newcomers.clear();
                    }
                    for member in &newcomers {
                        let detail = json!({ "class": class.as_str(), "subject": member.id.as_str() });
                        tx.append_audit(&AuditEntry { detail, ..entry.clone() }).await?;
                    }
                    Ok::<_, StoreError>(newcomers)
                })
            })
            .await?;
        for member in newcomers {
            self.tell_drift(class);
            tracing::info!(
                tenant = %self.context.tenant, drift.class = class.as_str(), upstream.user = %member.id,
                "{} became a member of the organization without the bridge", member.id
            );
        }
        Ok(())
    }

    /// Shows everybody whom no identity provider speaks of to them, a few at a time.
    async fn show_unmanaged(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut after: Option<UserId> = None;
        loop {
            let mut reader = self.context.store.reader().await?;
            let members = reader.unmanaged_members(&self.context.tenant, after.as_ref(), AT_ONCE).await?;
            drop(reader);
            let Some(last) = members.last() else { return Ok(()) };
            after = Some(last.id.clone());
            let entry = self.entry("user.import", now, json!({}));
            let order = Arc::new((self.context.clone(), members, entry));
            self.context
                .store
                .write(move |tx| {
                    let order = Arc::clone(&order);
                    Box::pin(async move {
                        let (context, members, entry) = &*order;
                        for member in members {
                            let (clock, policy) = (&context.clock, &context.policy);
                            let shown =
                                show_member(tx, clock, policy, &context.tenant, member, false).await?;
                            if let (_, Some(person)) = shown {
                                let mut entry = entry.clone();
                                entry.person = Some(person);
                                entry.detail = json!({ "user_id": member.id.as_str() });
                                tx.append_audit(&entry).await?;
                            }
                        }
                        Ok::<_, StoreError>(())
                    })
                })
                .await?;
        }
    }

    /// Somebody deleted groups that rules name. Nobody is in them any more, and what rules give by them is not given.
    pub(super) async fn meet_deleted_groups(&self, deleted: Vec<OpenAiGroupId>) -> Result<(), StoreError> {
        if deleted.is_empty() {
            return Ok(());
        }
        let entries = deleted.iter().map(|group| self.deleted_group(group)).collect::<Vec<_>>();
        let (tenant, work) = (self.context.tenant.clone(), Arc::new((deleted.clone(), entries)));
        self.context
            .store
            .write::<_, StoreError>(move |tx| {
                let (tenant, work) = (tenant.clone(), Arc::clone(&work));
                Box::pin(async move {
                    for (group, entry) in work.0.iter().zip(&work.1) {
                        tx.forget_openai_group(&tenant, group).await?;
                        tx.append_audit(entry).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        self.tell_deleted_groups(&deleted);
        Ok(())
    }

    /// That a group was deleted, for the audit trail.
    pub(super) fn deleted_group(&self, group: &OpenAiGroupId) -> AuditEntry {
        let detail = json!({ "class": DriftClass::GroupDeleted.as_str(), "subject": group.as_str() });
        self.entry("drift.found", self.context.clock.now(), detail)
    }

    /// Counts deleted groups once it is on record that they were found.
    pub(super) fn tell_deleted_groups(&self, deleted: &[OpenAiGroupId]) {
        for group in deleted {
            self.tell_drift(DriftClass::GroupDeleted);
            tracing::warn!(
                tenant = %self.context.tenant, drift.class = DriftClass::GroupDeleted.as_str(), upstream.group = %group,
                "the OpenAI group {group} was deleted outside the bridge"
            );
        }
    }

    fn entry(&self, event: &str, at: Timestamp, detail: Value) -> AuditEntry {
        AuditEntry::by(Actor::Engine, &self.context.tenant, at, event, detail)
    }
}
