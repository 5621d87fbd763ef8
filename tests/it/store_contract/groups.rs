//! Groups and memberships: unique names, set operations, and who is made due.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use openai_scim_bridge::ids::{GroupId, PersonId};
use openai_scim_bridge::model::group::{Group, GroupName, Member};
use openai_scim_bridge::model::operation::Lane;
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::store::{Condition, GroupCondition, MemberDelta, Sequence, Spot, Store, StoreError};
use serde_json::json;

use super::{delete, insert, other_tenant, person, tenant};
use crate::harness::database::Database;

on_both! {
    a_group_reads_back_as_written
    a_display_name_is_unique_in_any_case_within_its_tenant
    an_update_or_delete_of_a_stale_version_changes_nothing
    every_condition_finds_its_groups
    members_are_added_and_removed_as_sets
    replacing_writes_the_difference
    a_deleted_person_is_a_member_of_nothing
    deleting_a_group_takes_its_memberships_along
    memberships_are_found_from_both_sides
    members_are_paged_by_id
    who_joins_or_leaves_becomes_due
    tenants_do_not_share_groups
}

fn group(db: &Database, name: &str) -> Group {
    Group {
        tenant: tenant(),
        id: GroupId::new(&db.clock),
        display_name: name.to_owned(),
        external_id: Some(format!("ext-{name}")),
        version: 1,
        created_at: db.clock.now(),
        modified_at: db.clock.now(),
        attributes: json!({"displayName": name, "externalId": format!("ext-{name}")})
            .as_object()
            .unwrap()
            .clone(),
    }
}

async fn insert_group(store: &Store, group: &Group) -> Result<(), StoreError> {
    write!(store, [group], |tx| tx.insert_group(&group).await)
}

/// A group, and people in the order of their ids who are no members yet.
async fn group_and_people(db: &Database, store: &Store, count: usize) -> (Group, Vec<Person>) {
    let staff = group(db, "Staff");
    insert_group(store, &staff).await.unwrap();
    let mut people: Vec<_> =
        (0..count).map(|number| person(&db.clock, &format!("p{number}@example.com"))).collect();
    people.sort_by_key(|person| person.id);
    for person in &people {
        insert(store, person).await.unwrap();
    }
    (staff, people)
}

fn ids(people: &[Person]) -> BTreeSet<PersonId> {
    people.iter().map(|person| person.id).collect()
}

fn listed(people: &[Person]) -> Vec<PersonId> {
    people.iter().map(|person| person.id).collect()
}

async fn add(store: &Store, group: &Group, people: &[Person]) -> Vec<PersonId> {
    let (tenant, group, people) = (group.tenant.clone(), group.id, ids(people));
    write!(store, [tenant, group, people], |tx| tx.add_members(&tenant, group, &people).await).unwrap()
}

async fn remove(store: &Store, group: &Group, people: &[Person]) -> Vec<PersonId> {
    let (tenant, group, people) = (group.tenant.clone(), group.id, ids(people));
    write!(store, [tenant, group, people], |tx| tx.remove_members(&tenant, group, &people).await).unwrap()
}

async fn replace(store: &Store, group: &Group, people: &[Person]) -> MemberDelta {
    let (tenant, group, people) = (group.tenant.clone(), group.id, ids(people));
    write!(store, [tenant, group, people], |tx| tx.replace_members(&tenant, group, &people).await).unwrap()
}

async fn members(store: &Store, group: &Group) -> Vec<PersonId> {
    let mut reader = store.reader().await.unwrap();
    let members = reader.page_members(&group.tenant, group.id, None, 1_000).await.unwrap();
    members.into_iter().map(|member| member.id).collect()
}

async fn a_group_reads_back_as_written(db: &Database) {
    let store = db.open().await;
    let mut staff = group(db, "Stäff \"%_\\' \u{1f600}");
    insert_group(&store, &staff).await.unwrap();
    let load = async || store.reader().await.unwrap().load_group(&tenant(), staff.id).await.unwrap();
    assert_eq!(load().await, Some(staff.clone()));

    "Crew".clone_into(&mut staff.display_name);
    staff.external_id = None;
    staff.version = 2;
    staff.modified_at = db.clock.now() + SignedDuration::from_secs(1);
    staff.attributes.insert("displayName".to_owned(), "Crew".into());
    write!(store, [staff], |tx| tx.update_group(&staff, 1).await).unwrap();
    let loaded = store.reader().await.unwrap().load_group(&tenant(), staff.id).await.unwrap();
    assert_eq!(loaded, Some(staff));
}

async fn a_display_name_is_unique_in_any_case_within_its_tenant(db: &Database) {
    let store = db.open().await;
    let first = group(db, "STRÄSSE");
    insert_group(&store, &first).await.unwrap();
    let mut second = group(db, "strässe");
    assert!(matches!(insert_group(&store, &second).await, Err(StoreError::Taken)));
    second.tenant = other_tenant();
    insert_group(&store, &second).await.unwrap();

    let mut third = group(db, "Third");
    insert_group(&store, &third).await.unwrap();
    "Strässe".clone_into(&mut third.display_name);
    let renamed = write!(store, [third], |tx| tx.update_group(&third, 1).await);
    assert!(matches!(renamed, Err(StoreError::Taken)));

    let id = first.id;
    write!(store, [id], |tx| tx.delete_group(&tenant(), id, 1).await).unwrap();
    write!(store, [third], |tx| tx.update_group(&third, 1).await).unwrap();
}

async fn an_update_or_delete_of_a_stale_version_changes_nothing(db: &Database) {
    let store = db.open().await;
    let staff = group(db, "Staff");
    insert_group(&store, &staff).await.unwrap();
    let updated = write!(store, [staff], |tx| tx.update_group(&staff, 2).await);
    assert!(matches!(updated, Err(StoreError::Stale)));
    let id = staff.id;
    let deleted = write!(store, [id], |tx| tx.delete_group(&tenant(), id, 2).await);
    assert!(matches!(deleted, Err(StoreError::Stale)));
    assert_eq!(store.reader().await.unwrap().load_group(&tenant(), id).await.unwrap(), Some(staff));
}

async fn every_condition_finds_its_groups(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 2).await;
    let crew = group(db, "Crew");
    insert_group(&store, &crew).await.unwrap();
    add(&store, &staff, &people).await;
    add(&store, &crew, &people[..1]).await;
    let mut both = vec![staff.id, crew.id];
    both.sort_unstable();
    let (staff, crew) = (staff.id, crew.id);
    let name = |key: &str| GroupCondition::DisplayNameEq(key.to_owned());
    let member = |index: usize| GroupCondition::MemberEq(people[index].id);
    for (condition, expected) in [
        (GroupCondition::All, both.clone()),
        (GroupCondition::Nothing, vec![]),
        (GroupCondition::And(vec![]), both.clone()),
        (GroupCondition::Or(vec![]), vec![]),
        (name("staff"), vec![staff]),
        (name("Staff"), vec![]),
        (GroupCondition::IdEq(crew), vec![crew]),
        (GroupCondition::ExternalIdEq("ext-Crew".to_owned()), vec![crew]),
        (GroupCondition::ExternalIdEq("EXT-Crew".to_owned()), vec![]),
        (member(0), both.clone()),
        (member(1), vec![staff]),
        (GroupCondition::MemberEq(PersonId::new(&db.clock)), vec![]),
        (GroupCondition::And(vec![GroupCondition::IdEq(crew), member(1)]), vec![]),
        (GroupCondition::And(vec![GroupCondition::IdEq(crew), member(0)]), vec![crew]),
        (GroupCondition::Or(vec![name("crew"), member(1)]), both.clone()),
    ] {
        let mut reader = store.reader().await.unwrap();
        let id = |groups: Vec<Group>| groups.into_iter().map(|group| group.id).collect::<Vec<_>>();
        let count = i64::try_from(expected.len()).unwrap();
        assert_eq!(reader.count_groups(&tenant(), &condition).await.unwrap(), count, "{condition:?}");
        let page = reader.page_groups(&tenant(), &condition, Sequence::default(), 0, 10).await.unwrap();
        assert_eq!(id(page), expected, "{condition:?}");
        let rest = reader.page_groups(&tenant(), &condition, Sequence::default(), 1, 1).await.unwrap();
        assert_eq!(id(rest), expected.get(1..).unwrap_or_default(), "{condition:?}");
        let first = Spot { key: None, id: both[0].to_string() };
        let scanned =
            reader.scan_groups(&tenant(), &condition, Sequence::default(), Some(&first), 10).await.unwrap();
        let after: Vec<_> = expected.into_iter().filter(|id| *id > both[0]).collect();
        assert_eq!(id(scanned), after, "{condition:?}");
    }
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.count_people(&tenant(), &Condition::GroupEq(staff)).await.unwrap(), 2);
    let found =
        reader.page_people(&tenant(), &Condition::GroupEq(crew), Sequence::default(), 0, 10).await.unwrap();
    assert_eq!(found.iter().map(|(person, _)| person.id).collect::<Vec<_>>(), [people[0].id]);
}

async fn members_are_added_and_removed_as_sets(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 4).await;
    assert_eq!(add(&store, &staff, &people[..2]).await, listed(&people[..2]));
    assert_eq!(add(&store, &staff, &people[1..3]).await, listed(&people[2..3]), "who is in stays in");
    assert_eq!(add(&store, &staff, &[]).await, []);
    assert_eq!(members(&store, &staff).await, listed(&people[..3]));
    assert_eq!(remove(&store, &staff, &people[2..]).await, listed(&people[2..3]), "who is out stays out");
    assert_eq!(remove(&store, &staff, &[]).await, []);
    assert_eq!(members(&store, &staff).await, listed(&people[..2]));

    let stranger = person(&db.clock, "stranger@example.com");
    assert_eq!(add(&store, &staff, std::slice::from_ref(&stranger)).await, []);
    let asked = BTreeSet::from([stranger.id, people[3].id]);
    let live = store.reader().await.unwrap().live_people(&tenant(), &asked).await.unwrap();
    assert_eq!(live, BTreeSet::from([people[3].id]));
}

async fn replacing_writes_the_difference(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 5).await;
    let all = replace(&store, &staff, &people[..4]).await;
    assert_eq!(all, MemberDelta { added: listed(&people[..4]), removed: vec![] });
    let shifted = replace(&store, &staff, &people[1..]).await;
    assert_eq!(shifted, MemberDelta { added: listed(&people[4..]), removed: listed(&people[..1]) });
    assert!(replace(&store, &staff, &people[1..]).await.is_empty());
    assert_eq!(replace(&store, &staff, &[]).await.removed, listed(&people[1..]));
    assert_eq!(members(&store, &staff).await, []);
}

async fn a_deleted_person_is_a_member_of_nothing(db: &Database) {
    let store = db.open().await;
    let (staff, mut people) = group_and_people(db, &store, 2).await;
    add(&store, &staff, &people).await;
    delete(&store, &db.clock, &mut people[0]).await;
    let gone = people[0].id;
    // Even before the rows are taken away.
    assert_eq!(members(&store, &staff).await, listed(&people[1..]));
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.count_groups(&tenant(), &GroupCondition::MemberEq(gone)).await.unwrap(), 0);
    assert_eq!(reader.any_members(&tenant(), (staff.id, staff.id)).await.unwrap()[0].1.id, people[1].id);
    assert_eq!(reader.live_people(&tenant(), &ids(&people)).await.unwrap(), ids(&people[1..]));
    drop(reader);

    let later = db.clock.now() + SignedDuration::from_secs(1);
    write!(store, [gone, later], |tx| tx.leave_groups(&tenant(), gone, later).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.groups_of(&tenant(), gone).await.unwrap(), []);
    let staff = reader.load_group(&tenant(), staff.id).await.unwrap().unwrap();
    assert_eq!((staff.version, staff.modified_at), (2, later));
    drop(reader);
    assert_eq!(add(&store, &staff, &people[..1]).await, []);
}

async fn deleting_a_group_takes_its_memberships_along(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 2).await;
    add(&store, &staff, &people).await;
    let id = staff.id;
    write!(store, [id], |tx| tx.delete_group(&tenant(), id, 1).await).unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_group(&tenant(), id).await.unwrap(), None);
    assert_eq!(reader.groups_of(&tenant(), people[0].id).await.unwrap(), []);
    assert!(reader.load_person(&tenant(), people[0].id).await.unwrap().is_some());
    drop(reader);
    assert_eq!(members(&store, &staff).await, []);
}

async fn memberships_are_found_from_both_sides(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 3).await;
    let crew = group(db, "Crew");
    insert_group(&store, &crew).await.unwrap();
    add(&store, &staff, &people[..2]).await;
    add(&store, &crew, &people[1..2]).await;
    let name = |group: &Group| GroupName {
        id: group.id,
        display_name: group.display_name.clone(),
        external_id: group.external_id.clone(),
    };
    let mut both = vec![name(&staff), name(&crew)];
    both.sort_by_key(|group| group.id);

    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.groups_of(&tenant(), people[1].id).await.unwrap(), both);
    assert_eq!(reader.groups_of(&tenant(), people[2].id).await.unwrap(), []);
    let each = reader.groups_of_each(&tenant(), &listed(&people)).await.unwrap();
    assert_eq!(
        each.into_iter().collect::<Vec<_>>(),
        [(people[0].id, vec![name(&staff)]), (people[1].id, both.clone())]
    );
    assert!(reader.groups_of_each(&tenant(), &[]).await.unwrap().is_empty());

    let range = (both[0].id, both[1].id);
    let asked = BTreeSet::from([people[0].id, people[2].id]);
    let member = |person: &Person| Member { id: person.id, user_name: person.user_name.clone() };
    let among = reader.members_among(&tenant(), range, &asked).await.unwrap();
    assert_eq!(among, [(staff.id, member(&people[0]))]);
    let mut any = reader.any_members(&tenant(), range).await.unwrap();
    any.sort_by_key(|(_, member)| member.id);
    assert_eq!(any, [(staff.id, member(&people[0])), (crew.id, member(&people[1]))]);
    let other = reader.members_among(&tenant(), (crew.id, crew.id), &asked).await.unwrap();
    assert_eq!(other, []);
}

async fn members_are_paged_by_id(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 5).await;
    add(&store, &staff, &people).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let mut reader = store.reader().await.unwrap();
        let page = reader.page_members(&tenant(), staff.id, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.into_iter().map(|member| member.id));
    }
    assert_eq!(seen, listed(&people));
}

async fn who_joins_or_leaves_becomes_due(db: &Database) {
    let store = db.open().await;
    let (staff, mut people) = group_and_people(db, &store, 3).await;
    people[2].active = false;
    super::update(&store, &mut people[2], Lane::Revoke).await.unwrap();
    let settle = async || {
        for person in &people {
            let (store, id) = (&store, person.id);
            let mark = store.reader().await.unwrap().load_work(&tenant(), id).await.unwrap().unwrap().mark;
            write!(store, [id, mark], |tx| tx.schedule(&tenant(), id, mark, None, Lane::Read, 0).await)
                .unwrap();
        }
    };
    let due = async || {
        let mut due = store.reader().await.unwrap().due_people(&tenant(), db.clock.now(), 10).await.unwrap();
        due.sort_unstable();
        due
    };
    settle().await;
    assert_eq!(due().await, []);

    let work = store.reader().await.unwrap().load_work(&tenant(), people[0].id).await.unwrap().unwrap();
    let some = listed(&people[..1]);
    write!(store, [some], |tx| tx.make_due(&tenant(), &some, Lane::Reduce).await).unwrap();
    assert_eq!(due().await, some);
    let (id, mark) = (people[0].id, work.mark);
    let ticked = write!(store, [id, mark], |tx| tx.schedule(&tenant(), id, mark, None, Lane::Read, 0).await);
    assert!(!ticked.unwrap(), "what was not seen cannot be ticked off");

    settle().await;
    add(&store, &staff, &people).await;
    let group = staff.id;
    write!(store, [group], |tx| tx.make_members_due(&tenant(), group, Lane::Reduce).await).unwrap();
    assert_eq!(due().await, listed(&people[..2]), "nobody grants or takes anything of the inactive");
}

async fn tenants_do_not_share_groups(db: &Database) {
    let store = db.open().await;
    let (staff, people) = group_and_people(db, &store, 1).await;
    let mut elsewhere = group(db, "Elsewhere");
    elsewhere.tenant = other_tenant();
    insert_group(&store, &elsewhere).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.load_group(&other_tenant(), staff.id).await.unwrap(), None);
    assert_eq!(reader.count_groups(&other_tenant(), &GroupCondition::All).await.unwrap(), 1);
    drop(reader);
    assert_eq!(add(&store, &elsewhere, &people).await, [], "a person of another tenant is a stranger");
    add(&store, &staff, &people).await;
    let mut reader = store.reader().await.unwrap();
    assert_eq!(reader.page_members(&other_tenant(), staff.id, None, 10).await.unwrap(), []);
    assert_eq!(reader.groups_of(&other_tenant(), people[0].id).await.unwrap(), []);
    let of_person = GroupCondition::MemberEq(people[0].id);
    assert_eq!(reader.count_groups(&other_tenant(), &of_person).await.unwrap(), 0);
}
