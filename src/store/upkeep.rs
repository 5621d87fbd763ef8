//! An administrator's word about one person, and making people due.

use super::agenda::rank;
use super::session::sql;
use super::{StoreError, Tx};
use crate::ids::{PersonId, TenantId};
use crate::model::mapping::Mapping;
use crate::model::operation::Lane;
use crate::model::upkeep::Instruction;

impl Tx {
    /// Keeps what an administrator said about a person in the place of what was said before, and makes the person due.
    pub async fn instruct(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
        instruction: Instruction,
    ) -> Result<(), StoreError> {
        let work = self.load_work(tenant, person).await?;
        let stored = work.and_then(|work| work.mapping);
        let mut mapping = stored.unwrap_or_else(|| Mapping::new(tenant.clone(), person));
        mapping.upkeep.instruction = Some(instruction);
        self.save_mapping(&mapping).await?;
        self.wake(tenant, person, Lane::Invite).await
    }

    /// Has the engine look at a person now. Whoever waits already keeps their place, and the more urgent lane.
    pub async fn wake(&mut self, tenant: &TenantId, person: PersonId, lane: Lane) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE people SET due_at = CASE WHEN due_at <= $3 THEN due_at ELSE $3 END,
                        lane = CASE WHEN due_at IS NOT NULL AND lane < $4 THEN lane ELSE $4 END,
                        attempts = 0, mark = mark + 1
                 WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(person.to_string())
            .bind(now)
            .bind(rank(lane)),
        )
        .await?;
        Ok(())
    }
}
