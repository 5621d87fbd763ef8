//! The mirror of the OpenAI side and the readings that keep it.

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::ids::{InviteId, PersonId, ProjectId, UserId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::grant::{OrgRole, ProjectGrant, ProjectRole};
use openai_scim_bridge::model::mapping::{Mapping, Origin, Status};
use openai_scim_bridge::model::observed::{
    Collection, Invite, InviteStatus, Member, Project, ProjectMember, Role, Sweep,
};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{Bound, Store, StoreError};

use super::{delete, insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    what_was_seen_reads_back
    whoever_was_seen_comes_with_whom_they_stand_for
    a_reading_tells_the_people_concerned
    a_reading_without_news_tells_nobody
    whoever_was_bound_to_what_was_just_withdrawn_is_told
    a_change_seen_in_an_unfinished_reading_is_not_lost
    what_a_reading_did_not_see_is_forgotten
    a_page_fetched_earlier_does_not_bring_back_what_is_gone
    what_was_taken_away_between_readings_is_counted
    a_clock_set_back_does_not_empty_the_mirror
    news_after_the_look_wins
    news_of_a_deactivated_person_is_urgent
    projects_are_read_one_by_one
    only_human_owners_count
    tenants_have_mirrors_of_their_own
    the_catalogue_is_what_the_last_reading_showed
    the_catalogue_makes_nobody_due_and_belongs_to_one_tenant
}

fn member(id: &str, email: &str) -> Member {
    Member {
        id: UserId::from(id),
        email: Some(email.to_owned()),
        name: Some("Somebody".to_owned()),
        role: Some(OrgRole::Reader),
        is_service_account: false,
        is_scim_managed: false,
        is_default: false,
        added_at: "2025-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn invite(id: &str, email: &str) -> Invite {
    Invite {
        id: InviteId::from(id),
        email: email.to_owned(),
        role: Some(OrgRole::Reader),
        status: InviteStatus::Pending,
        projects: vec![ProjectGrant { id: ProjectId::from("proj_a"), role: ProjectRole::Member }],
        created_at: "2025-01-01T00:00:00Z".parse().unwrap(),
        expires_at: None,
    }
}

async fn observe(store: &Store, members: &[Member], seen_at: Timestamp) {
    let members = members.to_vec();
    write!(store, [members], |tx| tx.observe_members(&tenant(), &members, seen_at).await).unwrap();
}

async fn finish(
    store: &Store,
    collection: &Collection,
    started_at: Timestamp,
    now: Timestamp,
    count: i64,
) -> Result<u64, StoreError> {
    let sweep = Sweep { started_at, finished_at: now, count };
    write!(store, [collection], |tx| tx.finish_sweep(&tenant(), &collection, sweep, now).await)
}

/// A whole reading of the members, one second long.
async fn read_members(db: &Database, store: &Store, members: &[Member]) -> u64 {
    let started_at = db.clock.now();
    observe(store, members, started_at).await;
    db.clock.advance(SignedDuration::from_secs(1));
    let count = i64::try_from(members.len()).unwrap();
    let due = finish(store, &Collection::Members, started_at, db.clock.now(), count).await.unwrap();
    db.clock.advance(SignedDuration::from_secs(1));
    due
}

/// Adds a person who waits for nothing.
async fn settled_person(db: &Database, store: &Store, user_name: &str) -> PersonId {
    let person = person(&db.clock, user_name);
    insert(store, &person).await.unwrap();
    tick_off(store, person.id).await;
    person.id
}

async fn tick_off(store: &Store, id: PersonId) {
    let work = store.reader().await.unwrap().load_work(&tenant(), id).await.unwrap().unwrap();
    let mark = work.mark;
    write!(store, [], |tx| tx.schedule(&tenant(), id, mark, None, Lane::Read, 0).await).unwrap();
}

async fn due(db: &Database, store: &Store) -> Vec<PersonId> {
    let mut due = store.reader().await.unwrap().due_people(&tenant(), db.clock.now(), 100).await.unwrap();
    due.sort_unstable();
    due
}

async fn bind(store: &Store, mapping: &Mapping) {
    write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();
}

async fn what_was_seen_reads_back(db: &Database) {
    let store = db.open().await;
    let jane =
        Member { role: None, name: None, is_scim_managed: true, ..member("user-1", "Jane@Example.com") };
    let nobody = Member { email: None, ..member("user-2", "") };
    observe(&store, &[jane.clone(), nobody.clone()], db.clock.now()).await;
    let old = invite("invite-1", "Jane@Example.com");
    let new = Invite {
        created_at: old.created_at + SignedDuration::from_secs(1),
        expires_at: Some(db.clock.now()),
        status: InviteStatus::Expired,
        ..invite("invite-0", "jane@example.com")
    };
    let (invites, now) = (vec![new.clone(), old.clone()], db.clock.now());
    write!(store, [invites], |tx| tx.observe_invites(&tenant(), &invites, now).await).unwrap();

    let mut reader = store.reader().await.unwrap();
    let found = reader.members_by_address(&tenant(), "jane@example.com").await.unwrap();
    assert_eq!(found, std::slice::from_ref(&jane));
    assert_eq!(reader.member(&tenant(), &jane.id).await.unwrap(), Some(jane));
    assert_eq!(reader.member(&tenant(), &nobody.id).await.unwrap(), Some(nobody));
    assert_eq!(reader.invites_by_address(&tenant(), "jane@example.com").await.unwrap(), [old.clone(), new]);
    assert_eq!(reader.invite(&tenant(), &old.id).await.unwrap(), Some(old.clone()));
    drop(reader);
    write!(store, [old], |tx| tx.forget_invite(&tenant(), &old.id).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.invite(&tenant(), &old.id).await.unwrap(), None);
    assert_eq!(reader.invites_by_address(&tenant(), "jane@example.com").await.unwrap().len(), 1);
    assert_eq!(reader.last_sweep(&tenant(), &Collection::Members).await.unwrap(), None);
}

async fn whoever_was_seen_comes_with_whom_they_stand_for(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    let joe = person(&db.clock, "joe@example.com");
    for person in [&jane, &joe] {
        insert(&store, person).await.unwrap();
    }
    let of_jane = Mapping { user_id: Some("user-2".into()), ..Mapping::new(tenant(), jane.id) };
    bind(&store, &Mapping { origin: Origin::Unclaimed, ..of_jane }).await;
    bind(&store, &Mapping { invite_id: Some("invite-1".into()), ..Mapping::new(tenant(), joe.id) }).await;
    delete(&store, &db.clock, &mut jane).await;
    read_members(db, &store, &["user-1", "user-2", "user-3"].map(|id| member(id, "x@example.com"))).await;
    let (invites, now) = (["invite-1", "invite-2"].map(|id| invite(id, "y@example.com")), db.clock.now());
    write!(store, [invites], |tx| tx.observe_invites(&tenant(), &invites, now).await).unwrap();

    let mut reader = store.reader().await.unwrap();
    let bound = |person: &Person, origin| Bound {
        person: person.id,
        user_name: person.user_name.clone(),
        version: person.version,
        origin,
    };
    let members = reader.members_with_person(&tenant(), Some(&"user-1".into()), 10).await.unwrap();
    let members: Vec<_> = members.into_iter().map(|(member, bound)| (member.id, bound)).collect();
    assert_eq!(members, [("user-2".into(), Some(bound(&jane, Origin::Unclaimed))), ("user-3".into(), None)]);
    let invites = reader.open_invites_with_person(&tenant(), None, 10).await.unwrap();
    let invites: Vec<_> = invites.into_iter().map(|(invite, bound)| (invite.id, bound)).collect();
    assert_eq!(invites, [("invite-1".into(), Some(bound(&joe, Origin::Invited))), ("invite-2".into(), None)]);
}

async fn a_reading_tells_the_people_concerned(db: &Database) {
    let store = db.open().await;
    let by_address = settled_person(db, &store, "a@example.com").await;
    let by_member = settled_person(db, &store, "b@example.com").await;
    let by_former = settled_person(db, &store, "c@example.com").await;
    let by_bound_address = settled_person(db, &store, "d@example.com").await;
    settled_person(db, &store, "unconcerned@example.com").await;
    bind(&store, &Mapping { user_id: Some("user-b".into()), ..Mapping::new(tenant(), by_member) }).await;
    bind(&store, &Mapping { former_user_id: Some("user-c".into()), ..Mapping::new(tenant(), by_former) })
        .await;
    let address = Some(Address::parse("old.d@example.com").unwrap());
    bind(&store, &Mapping { address, ..Mapping::new(tenant(), by_bound_address) }).await;

    let members = [
        member("user-a", "A@Example.com"),
        member("user-b", "elsewhere@example.com"),
        member("user-c", "other@example.com"),
        member("user-d", "old.D@example.com"),
        member("user-z", "stranger@example.com"),
    ];
    let started_at = db.clock.now();
    assert_eq!(read_members(db, &store, &members).await, 4);
    let mut expected = vec![by_address, by_member, by_former, by_bound_address];
    expected.sort_unstable();
    assert_eq!(due(db, &store).await, expected);
    let sweep = store.reader().await.unwrap().last_sweep(&tenant(), &Collection::Members).await.unwrap();
    let finished_at = started_at + SignedDuration::from_secs(1);
    assert_eq!(sweep, Some(Sweep { started_at, finished_at, count: 5 }));
}

/// An invite was withdrawn for somebody while it was given to somebody else with the same address.
async fn whoever_was_bound_to_what_was_just_withdrawn_is_told(db: &Database) {
    let store = db.open().await;
    let jane = settled_person(db, &store, "jane@example.com").await;
    let (seen, now) = (vec![invite("invite-1", "jane@example.com")], db.clock.now());
    write!(store, [seen], |tx| tx.observe_invites(&tenant(), &seen, now).await).unwrap();
    assert_eq!(finish(&store, &Collection::Invites, now, now, 1).await.unwrap(), 1);
    tick_off(&store, jane).await;
    write!(store, [], |tx| tx.forget_invite(&tenant(), &"invite-1".into()).await).unwrap();
    bind(&store, &Mapping { invite_id: Some("invite-1".into()), ..Mapping::new(tenant(), jane) }).await;
    db.clock.advance(SignedDuration::from_secs(1));
    let now = db.clock.now();
    assert_eq!(finish(&store, &Collection::Invites, now, now, 0).await.unwrap(), 1);
    assert_eq!(due(db, &store).await, [jane]);
    tick_off(&store, jane).await;
    db.clock.advance(SignedDuration::from_secs(1));
    let now = db.clock.now();
    assert_eq!(finish(&store, &Collection::Invites, now, now, 0).await.unwrap(), 0, "once");
}

async fn a_reading_without_news_tells_nobody(db: &Database) {
    let store = db.open().await;
    let jane = settled_person(db, &store, "jane@example.com").await;
    let mut members = [member("user-1", "jane@example.com")];
    assert_eq!(read_members(db, &store, &members).await, 1);
    tick_off(&store, jane).await;
    assert_eq!(read_members(db, &store, &members).await, 0);
    members[0].name = Some("Jane, now called otherwise".to_owned());
    assert_eq!(read_members(db, &store, &members).await, 0);
    assert_eq!(due(db, &store).await, []);
    members[0].role = Some(OrgRole::Owner);
    assert_eq!(read_members(db, &store, &members).await, 1);
}

async fn a_change_seen_in_an_unfinished_reading_is_not_lost(db: &Database) {
    let store = db.open().await;
    let jane = settled_person(db, &store, "jane@example.com").await;
    observe(&store, &[member("user-1", "jane@example.com")], db.clock.now()).await;
    db.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(due(db, &store).await, []);
    assert_eq!(read_members(db, &store, &[member("user-1", "jane@example.com")]).await, 1);
    assert_eq!(due(db, &store).await, [jane]);
}

async fn what_a_reading_did_not_see_is_forgotten(db: &Database) {
    let store = db.open().await;
    let jane = settled_person(db, &store, "jane@example.com").await;
    let both = [member("user-1", "jane@example.com"), member("user-2", "joe@example.com")];
    read_members(db, &store, &both).await;
    tick_off(&store, jane).await;
    assert_eq!(read_members(db, &store, &both[1..]).await, 1);
    assert_eq!(due(db, &store).await, [jane]);
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.member(&tenant(), &both[0].id).await.unwrap(), None);
    assert_eq!(reader.member(&tenant(), &both[1].id).await.unwrap(), Some(both[1].clone()));
}

async fn a_page_fetched_earlier_does_not_bring_back_what_is_gone(db: &Database) {
    let store = db.open().await;
    let jane = [member("user-1", "jane@example.com")];
    observe(&store, &jane, db.clock.now()).await;
    let fetched_at = db.clock.now();
    db.clock.advance(SignedDuration::from_secs(1));
    write!(store, [jane], |tx| tx.forget_member(&tenant(), &jane[0].id).await).unwrap();
    observe(&store, &jane, fetched_at).await;
    assert_eq!(store.reader().await.unwrap().member(&tenant(), &jane[0].id).await.unwrap(), None);
    db.clock.advance(SignedDuration::from_secs(1));
    observe(&store, &jane, db.clock.now()).await;
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.member(&tenant(), &jane[0].id).await.unwrap().as_ref(), Some(&jane[0]));
}

async fn what_was_taken_away_between_readings_is_counted(db: &Database) {
    let store = db.open().await;
    let members = [member("user-1", "jane@example.com"), member("user-2", "joe@example.com")];
    let read_at = db.clock.now();
    read_members(db, &store, &members).await;
    let gone_at = db.clock.now();
    write!(store, [members], |tx| tx.forget_member(&tenant(), &members[0].id).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    for (collection, since, count) in [
        (Collection::Members, read_at, 1),
        (Collection::Members, gone_at + SignedDuration::from_secs(1), 0),
        (Collection::Invites, read_at, 0),
        (Collection::ProjectMembers(ProjectId::from("proj_a")), read_at, 0),
    ] {
        assert_eq!(reader.count_gone(&tenant(), &collection, since).await.unwrap(), count, "{collection:?}");
    }
}

async fn a_clock_set_back_does_not_empty_the_mirror(db: &Database) {
    let store = db.open().await;
    let members = [member("user-1", "jane@example.com"), member("user-2", "joe@example.com")];
    read_members(db, &store, &members).await;
    let started_at = db.clock.now();
    observe(&store, &members[..1], started_at).await;
    db.clock.set(started_at - SignedDuration::from_mins(10));
    observe(&store, &members[1..], db.clock.now()).await;
    let finished = finish(&store, &Collection::Members, started_at, db.clock.now(), 2).await;
    assert!(matches!(finished, Err(StoreError::Stale)));
    let mut reader = store.reader().await.unwrap();
    for member in &members {
        assert_eq!(reader.member(&tenant(), &member.id).await.unwrap().as_ref(), Some(member));
    }
}

async fn news_after_the_look_wins(db: &Database) {
    let store = db.open().await;
    let jane = settled_person(db, &store, "jane@example.com").await;
    let mark = store.reader().await.unwrap().load_work(&tenant(), jane).await.unwrap().unwrap().mark;
    assert_eq!(read_members(db, &store, &[member("user-1", "jane@example.com")]).await, 1);
    let took = write!(store, [], |tx| tx.schedule(&tenant(), jane, mark, None, Lane::Read, 0).await).unwrap();
    assert!(!took);
    assert_eq!(due(db, &store).await, [jane]);
}

async fn news_of_a_deactivated_person_is_urgent(db: &Database) {
    let store = db.open().await;
    let mut jane = person(&db.clock, "jane@example.com");
    jane.active = false;
    insert(&store, &jane).await.unwrap();
    tick_off(&store, jane.id).await;
    read_members(db, &store, &[member("user-1", "jane@example.com")]).await;
    let depths = store.reader().await.unwrap().lane_depths(&tenant(), db.clock.now()).await.unwrap();
    assert_eq!(depths.iter().map(|depth| depth.lane).collect::<Vec<_>>(), [Lane::Revoke]);
}

async fn projects_are_read_one_by_one(db: &Database) {
    let store = db.open().await;
    let jane = settled_person(db, &store, "jane@example.com").await;
    let user = UserId::from("user-1");
    bind(
        &store,
        &Mapping { user_id: Some(user.clone()), status: Status::Member, ..Mapping::new(tenant(), jane) },
    )
    .await;
    let place = |project: &str, role| ProjectMember { project: project.into(), user: user.clone(), role };
    let places = vec![place("proj_a", Some(ProjectRole::Member)), place("proj_b", None)];
    let started_at = db.clock.now();
    write!(store, [places], |tx| tx.observe_project_members(&tenant(), &places, started_at).await).unwrap();
    let in_a = Collection::ProjectMembers("proj_a".into());
    assert_eq!(finish(&store, &in_a, started_at, started_at, 1).await.unwrap(), 1);
    assert_eq!(due(db, &store).await, [jane]);
    tick_off(&store, jane).await;

    db.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(finish(&store, &in_a, db.clock.now(), db.clock.now(), 0).await.unwrap(), 1);
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.project_memberships(&tenant(), &user).await.unwrap(), places[1..]);
    drop(reader);
    let gone = places[1].clone();
    write!(store, [gone], |tx| tx.forget_project_member(&tenant(), &gone).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.project_memberships(&tenant(), &user).await.unwrap(), []);
}

async fn only_human_owners_count(db: &Database) {
    let store = db.open().await;
    let owner = |id: &str| Member { role: Some(OrgRole::Owner), ..member(id, &format!("{id}@example.com")) };
    let human = owner("user-1");
    let members = [
        human.clone(),
        Member { is_service_account: true, ..owner("user-2") },
        Member { is_default: true, ..owner("user-3") },
        member("user-4", "reader@example.com"),
        owner("user-5"),
    ];
    observe(&store, &members, db.clock.now()).await;
    write!(store, [], |tx| tx.forget_member(&tenant(), &"user-5".into()).await).unwrap();
    assert_eq!(store.reader().await.unwrap().owners(&tenant()).await.unwrap(), [human]);
}

async fn tenants_have_mirrors_of_their_own(db: &Database) {
    let store = db.open().await;
    let jane = member("user-1", "jane@example.com");
    observe(&store, std::slice::from_ref(&jane), db.clock.now()).await;
    let collection = Collection::Members;
    db.clock.advance(SignedDuration::from_secs(1));
    let sweep = Sweep { started_at: db.clock.now(), finished_at: db.clock.now(), count: 0 };
    write!(store, [collection], |tx| tx
        .finish_sweep(&other_tenant(), &collection, sweep, sweep.finished_at)
        .await)
    .unwrap();
    write!(store, [], |tx| tx.forget_member(&other_tenant(), &"user-1".into()).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.member(&tenant(), &jane.id).await.unwrap(), Some(jane.clone()));
    assert_eq!(reader.member(&other_tenant(), &jane.id).await.unwrap(), None);
    assert_eq!(reader.members_by_address(&other_tenant(), "jane@example.com").await.unwrap(), []);
}

fn project(id: &str, name: Option<&str>) -> Project {
    Project { id: ProjectId::from(id), name: name.map(str::to_owned) }
}

fn role(id: &str, description: Option<&str>, is_predefined: bool) -> Role {
    let description = description.map(str::to_owned);
    Role { id: id.into(), name: format!("The {id}"), description, is_predefined }
}

async fn observe_catalogue(store: &Store, projects: &[Project], roles: &[Role], seen_at: Timestamp) {
    let (projects, roles) = (projects.to_vec(), roles.to_vec());
    write!(store, [projects, roles], |tx| {
        tx.observe_projects(&tenant(), &projects, seen_at).await?;
        tx.observe_roles(&tenant(), &roles, seen_at).await
    })
    .unwrap();
}

async fn the_catalogue_is_what_the_last_reading_showed(db: &Database) {
    let store = db.open().await;
    let projects = [project("proj_a", Some("A")), project("proj_b", None), project("proj_c", Some("C"))];
    let roles = [role("role_a", Some("Reads"), false), role("role_b", None, true)];
    observe_catalogue(&store, &projects, &roles, db.clock.now()).await;
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.scan_projects(&tenant(), None, 2).await.unwrap(), projects[..2]);
    assert_eq!(reader.scan_projects(&tenant(), Some(&projects[1].id), 2).await.unwrap(), projects[2..]);
    assert_eq!(reader.project(&tenant(), &projects[1].id).await.unwrap().as_ref(), Some(&projects[1]));
    assert_eq!(reader.roles(&tenant()).await.unwrap(), roles);
    drop(reader);

    db.clock.advance(SignedDuration::from_secs(1));
    let started_at = db.clock.now();
    let renamed = project("proj_a", Some("Another name"));
    observe_catalogue(&store, std::slice::from_ref(&renamed), &roles[..1], started_at).await;
    let stale = finish(&store, &Collection::Projects, started_at, started_at, 2).await;
    assert!(matches!(stale, Err(StoreError::Stale)), "one of two was seen");
    finish(&store, &Collection::Projects, started_at, started_at, 1).await.unwrap();
    finish(&store, &Collection::Roles, started_at, started_at, 1).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.scan_projects(&tenant(), None, 9).await.unwrap(), [renamed]);
    assert_eq!(reader.project(&tenant(), &projects[1].id).await.unwrap(), None);
    assert_eq!(reader.roles(&tenant()).await.unwrap(), roles[..1]);
    let sweep = reader.last_sweep(&tenant(), &Collection::Roles).await.unwrap().unwrap();
    assert_eq!((sweep.started_at, sweep.count), (started_at, 1));
}

async fn the_catalogue_makes_nobody_due_and_belongs_to_one_tenant(db: &Database) {
    let store = db.open().await;
    settled_person(db, &store, "jane@example.com").await;
    let now = db.clock.now();
    observe_catalogue(&store, &[project("proj_a", None)], &[role("role_a", None, false)], now).await;
    for collection in [Collection::Projects, Collection::Roles] {
        assert_eq!(finish(&store, &collection, now, now, 1).await.unwrap(), 0);
    }
    assert_eq!(due(db, &store).await, []);
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.scan_projects(&other_tenant(), None, 9).await.unwrap(), []);
    assert_eq!(reader.project(&other_tenant(), &"proj_a".into()).await.unwrap(), None);
    assert_eq!(reader.roles(&other_tenant()).await.unwrap(), []);
}
