//! OpenAI groups, custom roles, and the groups that are kept for SCIM groups.

use jiff::SignedDuration;
use openai_scim_bridge::ids::{GroupId, OperationId};
use openai_scim_bridge::model::grant::{Assignment, OrgRole, ProjectGrant, ProjectRole};
use openai_scim_bridge::model::group_link::{GroupCall, GroupLink};
use openai_scim_bridge::model::mapping::Mapping;
use openai_scim_bridge::model::observed::{Assigned, Collection, OpenAiGroup, ProjectMember, Sweep};
use openai_scim_bridge::model::upkeep::{Drift, DriftClass};
use openai_scim_bridge::store::StoreError;

use super::{insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    a_kept_group_reads_back_and_belongs_to_one_scim_group
    what_members_have_reads_back_until_it_is_gone
    a_reading_of_a_group_forgets_whom_it_does_not_show
    everybody_with_access_becomes_due_and_those_who_pause_stay_so
    projects_are_granted_while_somebody_has_them_or_lost_them_to_others
    who_has_a_project_by_a_group_alone_loses_it_with_the_group
}

fn group(id: &str, db: &Database) -> OpenAiGroup {
    OpenAiGroup {
        id: id.into(),
        name: format!("The {id}"),
        is_scim_managed: false,
        created_at: db.clock.now(),
    }
}

fn in_group(group: &str, user: &str) -> Assigned {
    Assigned { what: Assignment::Group { group: group.into() }, user: user.into() }
}

async fn a_kept_group_reads_back_and_belongs_to_one_scim_group(db: &Database) {
    let store = db.open().await;
    let now = db.clock.now();
    let mut link = GroupLink::new(tenant(), GroupId::new(&db.clock));
    link.begin(GroupCall::Create { name: "Staff".into() }, OperationId::new(&db.clock), now);
    write!(store, [link], |tx| tx.save_group_link(&link).await).unwrap();
    let read = async || store.reader().await.unwrap().group_links(&tenant()).await.unwrap();
    assert_eq!(read().await, std::slice::from_ref(&link));
    link.conclude(&GroupCall::Create { name: "Staff".into() }, Some("group-1".into()), now);
    link.projects.insert("proj_a".into(), ProjectRole::Owner);
    let delete = GroupCall::Delete { group: "group-1".into() };
    link.refuse(delete, "not now".into(), now);
    link.ended_at = Some(now);
    link.lost = Some("group-0".into());
    write!(store, [link], |tx| tx.save_group_link(&link).await).unwrap();
    assert_eq!(read().await, std::slice::from_ref(&link));
    let second =
        GroupLink { openai_id: link.openai_id.clone(), ..GroupLink::new(tenant(), GroupId::new(&db.clock)) };
    let taken = write!(store, [second], |tx| tx.save_group_link(&second).await);
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    assert!(store.reader().await.unwrap().group_links(&other_tenant()).await.unwrap().is_empty());
    let id = link.group;
    write!(store, [id], |tx| tx.forget_group_link(&tenant(), id).await).unwrap();
    assert!(read().await.is_empty());
}

async fn what_members_have_reads_back_until_it_is_gone(db: &Database) {
    let store = db.open().await;
    let now = db.clock.now();
    let role = Assignment::Role { role: "role_1".into() };
    let tester = Assignment::ProjectRole { project: "proj_a".into(), role: "role_1".into() };
    let has = |what: &Assignment| Assigned { what: what.clone(), user: "user-1".into() };
    let all = vec![in_group("group-1", "user-1"), has(&tester), has(&role)];
    let groups = vec![group("group-1", db)];
    write!(store, [all, groups], |tx| {
        tx.observe_openai_groups(&tenant(), &groups, now).await?;
        tx.observe_assignments(&tenant(), &all, now).await
    })
    .unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.openai_groups(&tenant()).await.unwrap(), groups);
    let found = reader.assignments_of(&tenant(), &"user-1".into()).await.unwrap();
    assert_eq!((found.len(), all.iter().all(|one| found.contains(one))), (3, true));
    assert!(reader.assignments_of(&other_tenant(), &"user-1".into()).await.unwrap().is_empty());
    drop(reader);
    db.clock.advance(SignedDuration::from_secs(1));
    let gone = has(&role);
    write!(store, [gone], |tx| tx.forget_assignment(&tenant(), &gone).await).unwrap();
    // What was seen before it went says nothing.
    write!(store, [gone], |tx| tx.observe_assignments(&tenant(), std::slice::from_ref(&gone), now).await)
        .unwrap();
    write!(store, [], |tx| tx.forget_openai_group(&tenant(), &"group-1".into()).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.assignments_of(&tenant(), &"user-1".into()).await.unwrap(), [has(&tester)]);
    assert!(reader.openai_groups(&tenant()).await.unwrap().is_empty());
    drop(reader);
    write!(store, [], |tx| tx.forget_member(&tenant(), &"user-1".into()).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert!(reader.assignments_of(&tenant(), &"user-1".into()).await.unwrap().is_empty());
}

async fn a_reading_of_a_group_forgets_whom_it_does_not_show(db: &Database) {
    let store = db.open().await;
    let now = db.clock.now();
    let before =
        vec![in_group("group-1", "user-1"), in_group("group-1", "user-2"), in_group("group-2", "user-1")];
    write!(store, [before], |tx| tx.observe_assignments(&tenant(), &before, now).await).unwrap();
    db.clock.advance(SignedDuration::from_secs(1));
    let again = db.clock.now();
    let seen = vec![in_group("group-1", "user-2")];
    let sweep = Sweep { started_at: again, finished_at: again, count: 1 };
    let collection = Collection::GroupMembers("group-1".into());
    write!(store, [seen, collection], |tx| {
        tx.observe_assignments(&tenant(), &seen, again).await?;
        tx.finish_sweep(&tenant(), &collection, sweep, again).await.map(drop)
    })
    .unwrap();
    let mut reader = store.reader().await.unwrap();
    let found = reader.assignments_of(&tenant(), &"user-1".into()).await.unwrap();
    assert_eq!(found, [in_group("group-2", "user-1")]);
    assert_eq!(reader.assignments_of(&tenant(), &"user-2".into()).await.unwrap(), seen);
}

async fn everybody_with_access_becomes_due_and_those_who_pause_stay_so(db: &Database) {
    let store = db.open().await;
    let people = [person(&db.clock, "jane@example.com"), person(&db.clock, "kim@example.com")];
    for person in &people {
        insert(&store, person).await.unwrap();
    }
    let now = db.clock.now();
    let later = now.checked_add(SignedDuration::from_mins(5)).unwrap();
    for (person, attempts) in people.iter().zip([0, 2]) {
        let id = person.id;
        let work = store.reader().await.unwrap().load_work(&tenant(), id).await.unwrap().unwrap();
        let mark = work.mark;
        let lane = openai_scim_bridge::model::operation::Lane::Grant;
        write!(store, [], |tx| tx.schedule(&tenant(), id, mark, Some(later), lane, attempts).await).unwrap();
    }
    write!(store, [], |tx| tx.make_everybody_due(&tenant()).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.due_people(&tenant(), now, 9).await.unwrap(), [people[0].id]);
}

async fn projects_are_granted_while_somebody_has_them_or_lost_them_to_others(db: &Database) {
    let store = db.open().await;
    let jane = person(&db.clock, "jane@x.example");
    insert(&store, &jane).await.unwrap();
    let mut mapping = Mapping::new(tenant(), jane.id);
    let save = async |mapping: &Mapping| {
        write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();
    };
    let granted = async || store.reader().await.unwrap().granted_projects(&tenant()).await.unwrap();
    save(&mapping).await;
    assert!(granted().await.is_empty());
    mapping.effective_projects = vec![ProjectGrant { id: "proj_a".into(), role: ProjectRole::Member }];
    save(&mapping).await;
    assert_eq!(granted().await, ["proj_a".into()].into());
    mapping.effective_projects.clear();
    for (class, subject) in [(DriftClass::ProjectRemoved, "proj_b"), (DriftClass::ProjectAdded, "proj_c")] {
        mapping.upkeep.drift.insert(Drift { class, subject: subject.to_owned() });
    }
    save(&mapping).await;
    assert_eq!(granted().await, ["proj_b".into()].into());
    assert!(store.reader().await.unwrap().granted_projects(&other_tenant()).await.unwrap().is_empty());
}

async fn who_has_a_project_by_a_group_alone_loses_it_with_the_group(db: &Database) {
    let store = db.open().await;
    let now = db.clock.now();
    let mut people = Vec::new();
    for n in 1..=3 {
        let somebody = person(&db.clock, &format!("m{n}@x.example"));
        insert(&store, &somebody).await.unwrap();
        let mut mapping = Mapping::new(tenant(), somebody.id);
        mapping.user_id = Some(format!("user-{n}").as_str().into());
        mapping.effective_role = Some(if n == 3 { OrgRole::Owner } else { OrgRole::Reader });
        write!(store, [mapping], |tx| tx.save_mapping(&mapping).await).unwrap();
        people.push(somebody.id);
    }
    let inside: Vec<_> = (1..=4).map(|n| in_group("group-1", &format!("user-{n}"))).collect();
    let own = vec![ProjectMember { project: "proj_a".into(), user: "user-1".into(), role: None }];
    write!(store, [inside, own], |tx| {
        tx.observe_assignments(&tenant(), &inside, now).await?;
        tx.observe_project_members(&tenant(), &own, now).await
    })
    .unwrap();
    let mut reader = store.reader().await.unwrap();
    let losers = reader.losers_of_expulsion(&tenant(), &"group-1".into(), &"proj_a".into()).await.unwrap();
    assert_eq!(losers, [people[1]], "the first is in it by themselves, the third owns everything");
    drop(reader);
    let losses = async || {
        let since = now - SignedDuration::from_mins(1);
        store.reader().await.unwrap().losses(&tenant(), since).await.unwrap().count
    };
    let all = [losers, vec![people[0]]].concat();
    let (call, approved) = (OperationId::new(&db.clock), OperationId::new(&db.clock));
    write!(store, [all], |tx| {
        tx.tally_group_losses(&tenant(), call, &all, now, false).await?;
        tx.tally_group_losses(&tenant(), approved, &all, now, true).await
    })
    .unwrap();
    assert_eq!(losses().await, 2, "each of them, and not what was approved");
    write!(store, [], |tx| tx.give_back(&tenant(), call).await).unwrap();
    assert_eq!(losses().await, 0, "the call had no effect");
}
