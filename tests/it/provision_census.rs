//! Which keys there are is read while the engine works, at a low rate, and stands in the way of nothing.

use jiff::SignedDuration;
use openai_scim_bridge::model::credential::CredentialKind;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::simulator::{Fault, ProjectRole};

use crate::harness::engine::Bridge;

const KEYS: &str = "/organization/projects/{project_id}/api_keys";
const ACCOUNTS: &str = "/organization/projects/{project_id}/service_accounts";

/// A census every two hours, and few readings of anything else.
fn counting() -> Policy {
    Policy {
        census_interval: Some(SignedDuration::from_hours(2)),
        reconcile_interval: SignedDuration::from_hours(24),
        ..Policy::default()
    }
}

/// How many projects were read, and how many keys are known.
async fn known(bridge: &Bridge) -> (usize, usize) {
    let mut reader = bridge.store.reader().await.unwrap();
    let readings = reader.credential_readings(&bridge.tenant).await.unwrap().len();
    let mut known = reader.credentials(&bridge.tenant).await.unwrap();
    known.retain(|seen| seen.credential.kind == CredentialKind::UserKey);
    (readings, known.len())
}

#[tokio::test]
async fn keys_are_known_without_anybody_asking_and_read_once_in_the_interval() {
    let mut projects = 0;
    let bridge = Bridge::with(
        counting(),
        |_| {},
        |sim| {
            sim.seed_member("jane@example.com", openai_scim_bridge::simulator::OrgRole::Reader);
            for n in 0..30 {
                let project = sim.seed_project(&format!("Project {n}"));
                sim.seed_project_user(&project, "jane@example.com", ProjectRole::Member).unwrap();
                sim.seed_project_key(&project, "jane@example.com", "notebook").unwrap();
            }
            projects = 31;
        },
    )
    .await;
    let mut bridge = bridge;
    bridge.minutes(5).await;
    let reads = bridge.sim.calls("GET", KEYS);
    assert!((5..=20).contains(&reads), "at a third of seven or so a minute: {reads}");
    bridge.minutes(55).await;
    assert_eq!(known(&bridge).await, (projects, 30));
    assert_eq!((bridge.sim.calls("GET", KEYS), bridge.sim.calls("GET", ACCOUNTS)), (projects, projects));
    bridge.stop().await;
    bridge.run();
    bridge.minutes(50).await;
    assert_eq!(bridge.sim.calls("GET", KEYS), projects, "a restart is no reason to read again");
    bridge.minutes(90).await;
    assert_eq!(bridge.sim.calls("GET", KEYS), 2 * projects);
}

#[tokio::test]
async fn nobody_reads_keys_where_the_settings_do_not_say_so() {
    let bridge = Bridge::start().await;
    bridge.minutes(60).await;
    assert_eq!((bridge.sim.calls("GET", KEYS), known(&bridge).await), (0, (0, 0)));
}

#[tokio::test]
async fn a_key_that_may_not_read_keys_is_asked_again_in_a_day_and_no_trouble() {
    let forbidden = |sim: &openai_scim_bridge::simulator::Simulator| {
        sim.fail_next("GET", KEYS, Fault::status(403), 1).unwrap();
    };
    let bridge = Bridge::with(counting(), |_| {}, forbidden).await;
    bridge.minutes(60).await;
    assert_eq!((bridge.sim.calls("GET", KEYS), known(&bridge).await.0), (1, 0));
    let causes = bridge.store.reader().await.unwrap().standing_causes(&bridge.tenant).await.unwrap();
    assert!(causes.is_empty(), "{causes:?}");
    bridge.create("jane").await;
    assert_eq!(bridge.pending("jane").len(), 1);
    bridge.hours(24).await;
    assert_eq!(known(&bridge).await.0, 1);
}

#[tokio::test]
async fn a_project_that_cannot_be_read_is_tried_again_and_hinders_no_other() {
    let bridge = Bridge::with(
        counting(),
        |_| {},
        |sim| {
            for n in 0..3 {
                sim.seed_project(&format!("Project {n}"));
            }
            sim.fail_next("GET", KEYS, Fault::status(404), 1).unwrap();
        },
    )
    .await;
    bridge.minutes(30).await;
    assert_eq!(known(&bridge).await.0, 3);
    bridge.minutes(60).await;
    assert_eq!(known(&bridge).await.0, 4);
}
