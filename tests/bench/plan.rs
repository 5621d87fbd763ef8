//! How long planning takes for a directory of 100,000 people: nothing to do for most, something for every tenth.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::{PersonId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::grant::{OrgRole, ProjectGrant, ProjectRole};
use openai_scim_bridge::model::mapping::{Mapping, Status};
use openai_scim_bridge::model::observed::{Collection, Member, ProjectMember, Sweep};
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::provision::desired::{Desired, desired};
use openai_scim_bridge::provision::plan::{Facts, Observed, plan};
use serde_json::Map;

const PEOPLE: usize = 100_000;

fn policy() -> Policy {
    let grant = ProjectGrant { id: "proj_all".into(), role: ProjectRole::Member };
    Policy { default_projects: vec![grant], ..Policy::default() }
}

/// Members in step, but of ten people one is new and one has left.
fn person(clock: &Clock, number: usize) -> (Person, Observed) {
    let (tenant, id, now) = (TenantId::default_tenant(), PersonId::new(clock), clock.now());
    let email = format!("p{number}@example.com");
    let address = Address::parse(&email).ok();
    let tenth = number % 10;
    let (is_new, has_left) = (tenth == 0, tenth == 1);
    let person = Person {
        tenant: tenant.clone(),
        id,
        user_name: email.clone(),
        external_id: None,
        address: address.clone(),
        active: !has_left,
        deleted_at: None,
        version: 1,
        created_at: now,
        modified_at: now,
        attributes: Map::new(),
    };
    let mut observed = Observed::nothing_of(&person);
    if !is_new {
        let user = format!("user-{number}");
        let mut mapping = Mapping::new(tenant, id);
        mapping.address = address;
        mapping.user_id = Some(user.as_str().into());
        mapping.status = Status::Member;
        mapping.effective_role = Some(OrgRole::Reader);
        mapping.effective_projects = policy().default_projects;
        observed.mapping = Some(mapping);
        observed.members.push(Member {
            id: user.as_str().into(),
            email: Some(email),
            name: None,
            role: Some(OrgRole::Reader),
            is_service_account: false,
            is_scim_managed: false,
            is_default: false,
            added_at: Timestamp::UNIX_EPOCH,
        });
        let membership =
            ProjectMember { project: "proj_all".into(), user: user.into(), role: Some(ProjectRole::Member) };
        observed.projects.push(membership);
    }
    (person, observed)
}

fn bench(criterion: &mut Criterion) {
    let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH));
    let (now, policy) = (clock.now(), policy());
    let people: Vec<(Person, Observed)> = (0..PEOPLE).map(|number| person(&clock, number)).collect();
    let sweep = Sweep { started_at: now - SignedDuration::from_mins(1), finished_at: now, count: 90_000 };
    let collections =
        [Collection::Members, Collection::Invites, Collection::ProjectMembers("proj_all".into())];
    let sweeps = collections.into_iter().map(|collection| (collection, sweep)).collect();
    let facts = Facts { sweeps, ..Facts::default() };
    criterion.bench_function("plan for 100,000 people", |bencher| {
        bencher.iter(|| {
            let wishes: Vec<Desired> =
                people.iter().map(|(person, _)| desired(person, &[], &policy, &facts.inventory)).collect();
            let people = wishes.iter().zip(people.iter().map(|(_, observed)| observed));
            black_box(plan(now, people, &facts, &policy)).len()
        });
    });
}

criterion_group! { name = plans; config = Criterion::default().sample_size(10); targets = bench }
criterion_main!(plans);
