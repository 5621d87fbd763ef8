//! Certificates by themselves: the settings in, and how it stands out to whoever asks.

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::certificate::{Kept, Surroundings};
use crate::clock::Clock;
use crate::config::{Acme, Setting};
use crate::http::{Condition, Readiness};
use crate::telemetry::Metrics;
use crate::tls::acme::{self, Keeper, Settings, Status};
use crate::tls::server::ServerTls;

/// Where the board tells of it.
const COMPONENT: &str = "certificate";

/// Checks what can be checked beforehand.
pub(super) fn check(acme: &Setting<Acme>) -> anyhow::Result<()> {
    Ok(acme::check(&settings(acme))?)
}

/// Serves what was kept, and gets certificates from now on.
pub(super) fn open(acme: &Setting<Acme>, surroundings: &Surroundings<'_>) -> anyhow::Result<ServerTls> {
    let Surroundings { clock, metrics, readiness, tasks, stop } = *surroundings;
    let (keeper, tls) = Keeper::open(&settings(acme), clock.clone())?;
    let (status, clock, stop) = (keeper.status(), clock.clone(), stop.clone());
    tasks.spawn(report(status, clock, readiness.clone(), metrics.clone()));
    tasks.spawn(keeper.run(stop));
    Ok(tls)
}

/// The certificate that was kept.
pub(super) fn kept(acme: &Setting<Acme>) -> anyhow::Result<Option<Kept>> {
    let kept = acme::kept(&settings(acme))?;
    Ok(kept.map(|validity| Kept { ends: validity.ends, renewal: validity.renewal() }))
}

fn settings(acme: &Setting<Acme>) -> Settings {
    let Acme { domains, contact, folder, directory, roots } = acme.value.clone();
    Settings { domains, contact, folder, directory, roots }
}

/// Keeps the board of `/readyz` true until the keeper has ended.
async fn report(mut status: watch::Receiver<Status>, clock: Clock, readiness: Readiness, metrics: Metrics) {
    loop {
        let Status { certificate, failures, next } = *status.borrow_and_update();
        let ends = certificate.map(|validity| validity.ends);
        let is_good = ends.is_some_and(|ends| clock.now() < ends);
        // Never down: who takes the program out of service for that keeps the authority from reaching it.
        let condition = if is_good && failures == 0 { Condition::Ok } else { Condition::Degraded };
        readiness.set(COMPONENT, condition);
        readiness.explain(COMPONENT, json!({ "ends": ends, "failures": failures, "next": next }));
        if let Some(ends) = ends {
            metrics.set_certificate_end("acme", ends.as_second());
        }
        let end = if is_good { ends.unwrap_or(Timestamp::MAX) } else { Timestamp::MAX };
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = clock.sleep_until(end) => {}
        }
    }
}
