//! What was learnt of OpenAI's rate limits.

use jiff::SignedDuration;
use openai_scim_bridge::model::budget::Budget;
use openai_scim_bridge::store::StoreError;

use super::{other_tenant, tenant};
use crate::harness::database::Database;

on_both! {
    a_budget_reads_back_as_it_was_last_written
}

async fn a_budget_reads_back_as_it_was_last_written(db: &Database) {
    let store = db.open().await;
    let now = db.clock.now();
    let of = |endpoint: &str, allowed| Budget {
        endpoint: endpoint.to_owned(),
        allowed,
        changed_at: now,
        paused_until: Some(now + SignedDuration::from_mins(1)),
        used: 3,
        saved_at: now,
    };
    let first = vec![of("create_invite", 7), of("delete_user", 9)];
    write!(store, [first], |tx| tx.save_budgets(&tenant(), &first).await).unwrap();
    let second = vec![Budget { paused_until: None, used: 0, ..of("create_invite", 4) }];
    write!(store, [second], |tx| tx.save_budgets(&tenant(), &second).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.budgets(&tenant()).await.unwrap(), [second[0].clone(), first[1].clone()]);
    assert_eq!(reader.budgets(&other_tenant()).await.unwrap(), []);
}
