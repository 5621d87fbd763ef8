//! The whole catalogue of metrics. Every name starts with `scim_bridge_`.
//!
//! Labels come from small closed sets (route templates, endpoints, our own words, tenant names from the settings),
//! so that no caller can make the number of series grow.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds in seconds: an answer from the store takes about a millisecond, one that waits for OpenAI up to two seconds.
const ANSWER_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Bounds in seconds: an upstream call takes from tens of milliseconds up to its deadline of 15 seconds.
const CALL_SECONDS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// The program's metrics. Clones share the same numbers.
#[derive(Clone)]
pub struct Metrics(Arc<Catalogue>);

struct Catalogue {
    registry: Registry,
    requests: Family<Request, Counter>,
    answer_time: Family<Route, Histogram>,
    tokens_refused: Family<Reason, Counter>,
    tokens_expiring: Family<Tenant, Gauge>,
    token_time_left: Family<Tenant, Gauge>,
    certificate_end: Family<Origin, Gauge>,
    upstream_calls: Family<Call, Counter>,
    upstream_time: Family<CallTime, Histogram>,
    budget_left: Family<CallTime, FloatGauge>,
    operations: Family<Operation, Counter>,
    lane_depth: Family<Lane, Gauge>,
    lane_age: Family<Lane, FloatGauge>,
    people: Family<People, Gauge>,
    drift: Family<Drift, Counter>,
    unmanaged: Family<Tenant, Gauge>,
    holds: Family<Holds, Gauge>,
}

type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Origin {
    origin: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    tenant: String,
    endpoint: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallTime {
    tenant: String,
    endpoint: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    tenant: String,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lane {
    tenant: String,
    lane: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct People {
    tenant: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Drift {
    tenant: String,
    class: &'static str,
    reaction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Holds {
    tenant: String,
    guard: &'static str,
}

impl Metrics {
    /// An empty catalogue.
    pub fn new() -> Self {
        let answer_histogram: fn() -> Histogram = || Histogram::new(ANSWER_SECONDS);
        let call_histogram: fn() -> Histogram = || Histogram::new(CALL_SECONDS);
        let mut catalogue = Catalogue {
            registry: Registry::with_prefix("scim_bridge"),
            requests: Family::default(),
            answer_time: Family::new_with_constructor(answer_histogram),
            tokens_refused: Family::default(),
            tokens_expiring: Family::default(),
            token_time_left: Family::default(),
            certificate_end: Family::default(),
            upstream_calls: Family::default(),
            upstream_time: Family::new_with_constructor(call_histogram),
            budget_left: Family::default(),
            operations: Family::default(),
            lane_depth: Family::default(),
            lane_age: Family::default(),
            people: Family::default(),
            drift: Family::default(),
            unmanaged: Family::default(),
            holds: Family::default(),
        };
        catalogue.register();
        Self(Arc::new(catalogue))
    }

    /// An inbound request was answered. `route` is the route's template (`/scim/v2/Users/{id}`), never the path.
    pub fn request(&self, method: &str, route: &str, status: u16, seconds: f64) {
        let method = known_method(method);
        let labels = Request { method, route: route.to_owned(), status };
        self.0.requests.get_or_create(&labels).inc();
        self.0.answer_time.get_or_create(&Route { method, route: route.to_owned() }).observe(seconds);
    }

    /// A bearer token was refused; `reason` is a word of the authenticating room (`missing`, `unknown`, `expired`…).
    pub fn token_refused(&self, reason: &'static str) {
        self.0.tokens_refused.get_or_create(&Reason { reason }).inc();
    }

    /// How many working tokens of a tenant stop working soon, and in how many seconds the first of all does.
    pub fn set_tokens_expiring(&self, tenant: &str, count: usize, first_end_seconds: Option<i64>) {
        let labels = Tenant { tenant: tenant.to_owned() };
        self.0.tokens_expiring.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        match first_end_seconds {
            Some(seconds) => {
                self.0.token_time_left.get_or_create(&labels).set(seconds);
            }
            None => {
                self.0.token_time_left.remove(&labels);
            }
        }
    }

    /// When the certificate in service ends, in seconds since 1970; `origin` is `files` or `acme`.
    pub fn set_certificate_end(&self, origin: &'static str, seconds: i64) {
        self.0.certificate_end.get_or_create(&Origin { origin }).set(seconds);
    }

    /// A call to the Admin API ended, one way or another.
    pub fn upstream_call(&self, tenant: &str, endpoint: &'static str, outcome: &'static str, seconds: f64) {
        let labels = Call { tenant: tenant.to_owned(), endpoint, outcome };
        self.0.upstream_calls.get_or_create(&labels).inc();
        self.0
            .upstream_time
            .get_or_create(&CallTime { tenant: tenant.to_owned(), endpoint })
            .observe(seconds);
    }

    /// Calls that an endpoint's budget lets through at this moment.
    pub fn set_budget_left(&self, tenant: &str, endpoint: &'static str, left: f64) {
        self.0.budget_left.get_or_create(&CallTime { tenant: tenant.to_owned(), endpoint }).set(left);
    }

    /// An operation was settled.
    pub fn operation(&self, tenant: &str, kind: &'static str, outcome: &'static str) {
        let labels = Operation { tenant: tenant.to_owned(), kind, outcome };
        self.0.operations.get_or_create(&labels).inc();
    }

    /// How many operations wait in a lane, and for how long the oldest has.
    pub fn set_lane(&self, tenant: &str, lane: &'static str, depth: u64, oldest_age_seconds: f64) {
        let labels = Lane { tenant: tenant.to_owned(), lane };
        self.0.lane_depth.get_or_create(&labels).set(whole(depth));
        self.0.lane_age.get_or_create(&labels).set(oldest_age_seconds);
    }

    /// How many people of a tenant stand where in their life.
    pub fn set_people(&self, tenant: &str, status: &'static str, count: u64) {
        self.0.people.get_or_create(&People { tenant: tenant.to_owned(), status }).set(whole(count));
    }

    /// Somebody else changed something upstream; `reaction` is what the settings say to that.
    pub fn drift(&self, tenant: &str, class: &'static str, reaction: &'static str) {
        let labels = Drift { tenant: tenant.to_owned(), class, reaction };
        self.0.drift.get_or_create(&labels).inc();
    }

    /// How many members of an organization no identity provider speaks of.
    pub fn set_unmanaged(&self, tenant: &str, count: u64) {
        self.0.unmanaged.get_or_create(&Tenant { tenant: tenant.to_owned() }).set(whole(count));
    }

    /// How many holds of a guard wait for a decision.
    pub fn set_holds(&self, tenant: &str, guard: &'static str, count: u64) {
        self.0.holds.get_or_create(&Holds { tenant: tenant.to_owned(), guard }).set(whole(count));
    }

    /// Everything, in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        let mut page = String::with_capacity(8 * 1024);
        // Writing to a String cannot fail.
        let _written = text::encode(&mut page, &self.0.registry).is_ok();
        page
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Catalogue {
    /// Names and explains every metric: this is the catalogue that people read.
    fn register(&mut self) {
        let r = &mut self.registry;
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The version that runs", build);
        r.register("requests", "Requests answered, by route and status", self.requests.clone());
        r.register_with_unit(
            "request",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.answer_time.clone(),
        );
        r.register("tokens_refused", "Bearer tokens refused, by reason", self.tokens_refused.clone());
        r.register(
            "tokens_expiring",
            "Working bearer tokens that stop working within 30 days",
            self.tokens_expiring.clone(),
        );
        r.register_with_unit(
            "token_time_left",
            "Time until the first working bearer token of a tenant stops working",
            Unit::Seconds,
            self.token_time_left.clone(),
        );
        r.register_with_unit(
            "certificate_end_timestamp",
            "When the certificate in service ends, since 1970",
            Unit::Seconds,
            self.certificate_end.clone(),
        );
        r.register(
            "upstream_calls",
            "Calls to the Admin API, by endpoint and outcome",
            self.upstream_calls.clone(),
        );
        r.register_with_unit(
            "upstream_call",
            "Time a call to the Admin API takes",
            Unit::Seconds,
            self.upstream_time.clone(),
        );
        r.register(
            "upstream_budget_left",
            "Calls that an endpoint's budget lets through now",
            self.budget_left.clone(),
        );
        r.register("operations", "Operations settled, by kind and outcome", self.operations.clone());
        r.register("lane_depth", "Operations that wait in a lane", self.lane_depth.clone());
        r.register_with_unit(
            "lane_oldest_age",
            "Age of the oldest operation that waits in a lane",
            Unit::Seconds,
            self.lane_age.clone(),
        );
        r.register("people", "People of the directory, by status", self.people.clone());
        r.register("drift", "Changes that somebody else made upstream, by class", self.drift.clone());
        r.register(
            "unmanaged_members",
            "Members whom no identity provider speaks of",
            self.unmanaged.clone(),
        );
        r.register("holds", "Holds that wait for a decision, by guard", self.holds.clone());
    }
}

/// The request's method, or `other`: a client may send any word there.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_shows_under_its_name() {
        let metrics = Metrics::new();
        metrics.request("GET", "/scim/v2/Users/{id}", 200, 0.004);
        metrics.request("BREW", "/scim/v2/Users/{id}", 405, 0.004);
        metrics.token_refused("expired");
        metrics.set_tokens_expiring("default", 1, Some(86_400));
        metrics.set_certificate_end("files", 1_800_000_000);
        metrics.upstream_call("default", "create_invite", "ok", 0.2);
        metrics.set_budget_left("default", "create_invite", 6.0);
        metrics.operation("default", "create_invite", "done");
        metrics.set_lane("default", "revoke", 2, 1.5);
        metrics.set_people("default", "member", 12);
        metrics.drift("default", "role_changed", "report");
        metrics.set_unmanaged("default", 3);
        metrics.set_holds("default", "mass-removal", 7);
        let page = metrics.render();
        for line in [
            "scim_bridge_requests_total{method=\"GET\",route=\"/scim/v2/Users/{id}\",status=\"200\"} 1",
            "scim_bridge_requests_total{method=\"other\",route=\"/scim/v2/Users/{id}\",status=\"405\"} 1",
            "scim_bridge_request_seconds_bucket{le=\"0.005\",method=\"GET\",route=\"/scim/v2/Users/{id}\"} 1",
            "scim_bridge_tokens_refused_total{reason=\"expired\"} 1",
            "scim_bridge_tokens_expiring{tenant=\"default\"} 1",
            "scim_bridge_token_time_left_seconds{tenant=\"default\"} 86400",
            "scim_bridge_certificate_end_timestamp_seconds{origin=\"files\"} 1800000000",
            "scim_bridge_upstream_calls_total{tenant=\"default\",endpoint=\"create_invite\",outcome=\"ok\"} 1",
            "scim_bridge_upstream_call_seconds_count{tenant=\"default\",endpoint=\"create_invite\"} 1",
            "scim_bridge_upstream_budget_left{tenant=\"default\",endpoint=\"create_invite\"} 6.0",
            "scim_bridge_operations_total{tenant=\"default\",kind=\"create_invite\",outcome=\"done\"} 1",
            "scim_bridge_lane_depth{tenant=\"default\",lane=\"revoke\"} 2",
            "scim_bridge_lane_oldest_age_seconds{tenant=\"default\",lane=\"revoke\"} 1.5",
            "scim_bridge_holds{tenant=\"default\",guard=\"mass-removal\"} 7",
            "scim_bridge_people{tenant=\"default\",status=\"member\"} 12",
            "scim_bridge_drift_total{tenant=\"default\",class=\"role_changed\",reaction=\"report\"} 1",
            "scim_bridge_unmanaged_members{tenant=\"default\"} 3",
            "# EOF",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
