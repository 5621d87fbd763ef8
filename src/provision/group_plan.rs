//! What to do about the OpenAI group that stands for a SCIM group. Pure, like the plan for a person.
//!
//! The bridge keeps groups that it made itself, and no others: where OpenAI has a group of the same name already, that
//! is told and left alone. A group whose SCIM group is gone is deleted when a reading shows that nobody is in it any
//! more: its members leave it one by one, past the guard, and whoever was put into it by hand keeps it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::desired::GroupWish;
use super::plan::{CALL_SETTLE, may_be_of};
use crate::ids::OpenAiGroupId;
use crate::model::group_link::{GroupCall, GroupLink, Refusal};
use crate::model::hold::{Hold, HoldState};
use crate::model::inventory::Inventory;
use crate::model::observed::{Collection, OpenAiGroup, Sweep};
use crate::model::person::key_of;
use crate::model::policy::OnDrift;

/// The longest name of an OpenAI group, in characters.
const MAX_NAME: usize = 255;
/// A reading as young as this shows who is in a group.
const FRESH: SignedDuration = SignedDuration::from_mins(1);
/// How often a call that waits for a human is judged anew.
const JUDGE_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// What is known while planning.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The present time.
    pub now: Timestamp,
    /// How long something that was just made may be missing from a reading.
    pub settle_time: SignedDuration,
    /// All OpenAI groups of the last reading.
    pub groups: &'a [OpenAiGroup],
    /// Those that stand for a SCIM group.
    pub linked: &'a BTreeSet<OpenAiGroupId>,
    /// The last complete and plausible readings.
    pub sweeps: &'a BTreeMap<Collection, Sweep>,
    /// What there is to give.
    pub inventory: &'a Inventory,
    /// When a kept group was last looked for by itself, and whether it was there.
    pub looks: &'a BTreeMap<OpenAiGroupId, (Timestamp, bool)>,
    /// What to do where somebody deleted a group that the bridge keeps.
    pub on_deleted: OnDrift,
    /// What waits for a human, of all groups.
    pub holds: &'a [Hold],
}

/// What to do next about one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Make this call.
    Call(GroupCall, &'static str),
    /// Look whether this call took effect.
    LookBack(GroupCall),
    /// Read this, then plan again.
    Read(Collection),
    /// Plan again then.
    Wait(Timestamp),
    /// Forget the link: neither group is there any more.
    Forget,
}

/// Plans for one link: the row as it should be stored now, and what to do next, if anything.
pub fn plan_group(
    link: &GroupLink,
    wish: Option<&GroupWish>,
    scene: &Scene<'_>,
) -> (GroupLink, Option<Next>) {
    let mut link = link.clone();
    if let Some(next) = scene.settle(&mut link) {
        return (link, Some(next));
    }
    if let Some(next) = scene.note_gone(&mut link) {
        return (link, Some(next));
    }
    link.refusals
        .retain(|refused| refused.retry_at > scene.now || matches!(refused.call, GroupCall::Create { .. }));
    let next = match (wish, link.openai_id.clone()) {
        (None, None) => Some(Next::Forget),
        (None, Some(group)) => scene.end(&mut link, group),
        (Some(wish), None) => scene.make(&mut link, wish),
        (Some(wish), Some(group)) => scene.keep(&link, &group, wish),
    };
    let retries = link.refusals.iter().map(|refused| refused.retry_at);
    let judgements = scene.holds_of(&link).filter_map(Scene::judge_again_at);
    let again_at = retries.chain(judgements).filter(|at| *at > scene.now).min();
    (link, next.or(again_at.map(Next::Wait)))
}

/// The holds of a group that are over, because the call that waits is not wished any more.
pub fn over_holds_of<'a>(link: &GroupLink, wish: Option<&GroupWish>, scene: &Scene<'a>) -> Vec<&'a Hold> {
    // What is open or in doubt may be wished again when it is known.
    if link.open.is_some() || wish.is_some_and(|wish| wish.is_doubtful) {
        return Vec::new();
    }
    let wished: BTreeSet<String> = match (wish, &link.openai_id) {
        (Some(wish), Some(group)) => scene.surplus(link, group, wish).map(|call| call.to_string()).collect(),
        _ => BTreeSet::new(),
    };
    scene.holds_of(link).filter(|hold| !wished.contains(&hold.subject)).collect()
}

impl<'a> Scene<'a> {
    fn holds_of(&self, link: &GroupLink) -> impl Iterator<Item = &'a Hold> {
        let (holds, group) = (self.holds, link.group);
        holds.iter().filter(move |hold| hold.about.group() == Some(group))
    }

    /// When a call that waits for a human is judged anew, because perhaps nobody would lose anything any more.
    fn judge_again_at(hold: &Hold) -> Option<Timestamp> {
        (hold.state != HoldState::Approved).then(|| Self::later(hold.judged_at, JUDGE_AGAIN))
    }

    fn swept_at(&self, collection: &Collection) -> Option<Timestamp> {
        self.sweeps.get(collection).map(|sweep| sweep.started_at)
    }

    fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
        instant.checked_add(by).unwrap_or(Timestamp::MAX)
    }

    /// Finds out what came of an open call, or says what must be known for that.
    fn settle(&self, link: &mut GroupLink) -> Option<Next> {
        let (call, sent_at) = (link.open.clone()?, link.sent_at.unwrap_or(self.now));
        let sent_until = link.unanswered_at.unwrap_or(sent_at);
        if matches!(call, GroupCall::Admit { .. } | GroupCall::Expel { .. }) {
            let readable_at = Self::later(sent_until, CALL_SETTLE);
            return Some(if self.now < readable_at { Next::Wait(readable_at) } else { Next::LookBack(call) });
        }
        let readable_at = Self::later(sent_until, self.settle_time);
        if self.now < readable_at {
            return Some(Next::Wait(readable_at));
        }
        if self.swept_at(&Collection::Groups) < Some(readable_at) {
            return Some(Next::Read(Collection::Groups));
        }
        let group = |id: &OpenAiGroupId| self.groups.iter().find(|group| group.id == *id);
        let made = match &call {
            GroupCall::Create { name } => self.made(name, sent_at, sent_until),
            GroupCall::Rename { group: id, name } => {
                group(id).filter(|group| group.name == *name).map(|group| group.id.clone())
            }
            GroupCall::Delete { group: id } if group(id).is_none() => Some(id.clone()),
            _ => None,
        };
        match made {
            Some(made) => link.conclude(&call, Some(made), self.now),
            None if matches!(call, GroupCall::Create { .. }) => return self.miss(link),
            None => link.drop_open(),
        }
        None
    }

    /// A list may leave out the group that a call made, or lag behind, and a second one would stay beside it: two lists
    /// must do so, some time apart.
    fn miss(&self, link: &mut GroupLink) -> Option<Next> {
        let swept_at = self.swept_at(&Collection::Groups)?;
        let again_at = Self::later(*link.missed_at.get_or_insert(swept_at), self.settle_time / 2);
        if swept_at >= again_at {
            link.drop_open();
            return None;
        }
        Some(if self.now < again_at { Next::Wait(again_at) } else { Next::Read(Collection::Groups) })
    }

    /// The group that a call made which was under way between these two instants.
    fn made(&self, name: &str, sent_at: Timestamp, sent_until: Timestamp) -> Option<OpenAiGroupId> {
        let is_made = |group: &&OpenAiGroup| {
            group.name == name
                && !group.is_scim_managed
                && !self.linked.contains(&group.id)
                && may_be_of(group.created_at, sent_at, sent_until)
        };
        self.groups.iter().find(is_made).map(|group| group.id.clone())
    }

    /// Notes that somebody deleted the group. A list that leaves it out is no proof of that: it is looked for.
    fn note_gone(&self, link: &mut GroupLink) -> Option<Next> {
        let (group, bound_at) = (link.openai_id.as_ref()?, link.bound_at?);
        let listed_at = Self::later(bound_at, self.settle_time);
        let swept_at = self.swept_at(&Collection::Groups).filter(|at| *at >= listed_at)?;
        if self.groups.iter().any(|known| known.id == *group) {
            return None;
        }
        match self.looks.get(group) {
            Some((at, is_there)) if *at >= swept_at => {
                if !is_there {
                    link.lose();
                }
                None
            }
            _ => Some(Next::LookBack(GroupCall::Delete { group: group.clone() })),
        }
    }

    fn may(&self, link: &GroupLink, call: &GroupCall) -> bool {
        let is_refused = |refused: &Refusal| refused.call == *call && refused.retry_at > self.now;
        let is_held = |hold: &Hold| {
            Self::judge_again_at(hold).is_some_and(|at| at > self.now) && hold.subject == call.to_string()
        };
        !link.refusals.iter().any(is_refused) && !self.holds_of(link).any(is_held)
    }

    /// What is to be taken from the group.
    fn surplus<'w>(
        &self,
        link: &'w GroupLink,
        group: &'w OpenAiGroupId,
        wish: &'w GroupWish,
    ) -> impl Iterator<Item = GroupCall> + use<'w, 'a> {
        let inventory = self.inventory;
        link.projects.iter().filter_map(move |(project, role)| {
            let is_wished = wish.is_doubtful || wish.projects.get(project) == Some(role);
            let call = GroupCall::Expel { group: group.clone(), project: project.clone() };
            (!is_wished && inventory.may_have(project)).then_some(call)
        })
    }

    fn make(&self, link: &mut GroupLink, wish: &GroupWish) -> Option<Next> {
        let call = GroupCall::Create { name: wish.name.clone() };
        let is_taken = |group: &OpenAiGroup| {
            key_of(&group.name) == key_of(&wish.name) && !self.linked.contains(&group.id)
        };
        let hindrance = if link.lost.is_some() && self.on_deleted != OnDrift::Revert {
            link.refusals.retain(|refused| !matches!(refused.call, GroupCall::Create { .. }));
            if self.on_deleted == OnDrift::Adopt {
                return None;
            }
            "its OpenAI group was deleted outside the bridge; it is left so (drift.group_deleted)".to_owned()
        } else if wish.name.chars().count() > MAX_NAME {
            format!("its name is longer than the {MAX_NAME} characters that OpenAI allows for a group")
        } else if self.groups.iter().any(is_taken) {
            "OpenAI has a group of this name that the bridge did not make; rename one of the two, or name it in a rule \
             (openai_group) instead"
                .to_owned()
        } else {
            return self
                .may(link, &call)
                .then_some(Next::Call(call, "the SCIM group has no OpenAI group yet"));
        };
        if link.refusal() != Some(hindrance.as_str()) {
            link.refuse(call, hindrance, self.now);
        }
        None
    }

    fn keep(&self, link: &GroupLink, group: &OpenAiGroupId, wish: &GroupWish) -> Option<Next> {
        let seen = self.groups.iter().find(|known| known.id == *group)?;
        let rename = GroupCall::Rename { group: group.clone(), name: wish.name.clone() };
        let is_named = seen.name == wish.name || wish.name.chars().count() > MAX_NAME;
        if !is_named && self.may(link, &rename) {
            return Some(Next::Call(rename, "the SCIM group has another name"));
        }
        if let Some(call) = self.surplus(link, group, wish).find(|call| self.may(link, call)) {
            return Some(Next::Call(
                call,
                "no rule gives the SCIM group this project with this role any more",
            ));
        }
        let missing = wish.projects.iter().find_map(|(project, role)| {
            let (group, project) = (group.clone(), project.clone());
            let is_in = link.projects.contains_key(&project);
            let call = GroupCall::Admit { group, project, role: *role };
            (!is_in && self.may(link, &call)).then_some(call)
        });
        missing.map(|call| Next::Call(call, "a rule gives the SCIM group this project"))
    }

    fn end(&self, link: &mut GroupLink, group: OpenAiGroupId) -> Option<Next> {
        let members = Collection::GroupMembers(group.clone());
        // Until then the bridge may have put people into it.
        let ended_at = *link.ended_at.get_or_insert(self.now);
        let since = self.now.checked_sub(FRESH).unwrap_or(Timestamp::MIN).max(ended_at);
        match self.sweeps.get(&members).filter(|sweep| sweep.started_at >= since) {
            None => Some(Next::Read(members)),
            // Somebody is on their way out, or was put in by hand.
            Some(sweep) if sweep.count > 0 => None,
            Some(_) => {
                let call = GroupCall::Delete { group };
                let why = "the SCIM group is gone, and nobody is in the OpenAI group any more";
                self.may(link, &call).then_some(Next::Call(call, why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::ids::{HoldId, OperationId, TenantId};
    use crate::model::grant::ProjectRole;
    use crate::model::hold::{About, Guard};
    use crate::model::inventory::Listing;
    use crate::model::observed::Project;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn group(id: &str, name: &str, made: i64) -> OpenAiGroup {
        OpenAiGroup { id: id.into(), name: name.into(), is_scim_managed: false, created_at: at(made) }
    }

    fn link() -> GroupLink {
        let group = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        GroupLink::new(TenantId::default_tenant(), group)
    }

    fn bound() -> GroupLink {
        GroupLink { openai_id: Some("group-1".into()), bound_at: Some(at(0)), ..link() }
    }

    fn wish(name: &str, projects: &[(&str, ProjectRole)]) -> GroupWish {
        let projects = projects.iter().map(|(id, role)| ((*id).into(), *role)).collect();
        GroupWish { name: name.into(), projects, is_doubtful: false }
    }

    /// Plans at second 1000 with these groups, readings (collection, second, count) and linked groups.
    fn plan(
        link: &GroupLink,
        wish: Option<&GroupWish>,
        groups: &[OpenAiGroup],
        sweeps: &[(Collection, i64, i64)],
    ) -> (GroupLink, Option<Next>) {
        plan_where(OnDrift::Revert, link, wish, groups, sweeps, None)
    }

    fn plan_where(
        on_deleted: OnDrift,
        link: &GroupLink,
        wish: Option<&GroupWish>,
        groups: &[OpenAiGroup],
        sweeps: &[(Collection, i64, i64)],
        looked: Option<(i64, bool)>,
    ) -> (GroupLink, Option<Next>) {
        let sweep = |second, count| Sweep { started_at: at(second), finished_at: at(second), count };
        let projects = vec![Project { id: "proj_a".into(), name: None }];
        let scene = Scene {
            now: at(1000),
            settle_time: SignedDuration::from_mins(1),
            groups,
            linked: &link.openai_id.iter().cloned().collect(),
            sweeps: &sweeps
                .iter()
                .map(|(what, second, count)| (what.clone(), sweep(*second, *count)))
                .collect(),
            inventory: &Inventory { projects: Listing::Read(projects), ..Inventory::default() },
            looks: &looked
                .map(|(second, there)| ("group-1".into(), (at(second), there)))
                .into_iter()
                .collect(),
            on_deleted,
            holds: &[],
        };
        plan_group(link, wish, &scene)
    }

    fn call(next: Option<Next>) -> String {
        match next {
            Some(Next::Call(call, _)) => call.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_group_is_made_once_and_only_if_its_name_is_free() {
        let staff = wish("Staff", &[]);
        let (_, next) = plan(&link(), Some(&staff), &[], &[]);
        assert_eq!(call(next), "create_group `Staff`");
        let (refused, next) = plan(&link(), Some(&staff), &[group("group-9", "staff", 0)], &[]);
        assert!(refused.refusal().unwrap().contains("did not make"));
        assert_eq!(next, None);
        let (again, _) = plan(&refused, Some(&staff), &[group("group-9", "staff", 0)], &[]);
        assert_eq!(again, refused);
        let (_, next) = plan(&refused, Some(&staff), &[], &[]);
        assert_eq!(call(next), "create_group `Staff`", "the other group is gone");
        let (refused, next) = plan(&link(), Some(&wish(&"x".repeat(256), &[])), &[], &[]);
        assert_eq!((refused.refusal().is_some(), next), (true, None));
    }

    #[test]
    fn an_unanswered_creation_is_found_or_tried_again_and_never_doubled() {
        let (mut open, operation) = (link(), OperationId::new(&Clock::manual(at(0))));
        open.begin(GroupCall::Create { name: "Staff".into() }, operation, at(970));
        let staff = wish("Staff", &[]);
        let (_, next) = plan(&open, Some(&staff), &[], &[(Collection::Groups, 999, 0)]);
        assert_eq!(next, Some(Next::Wait(at(1030))));
        open.begin(GroupCall::Create { name: "Staff".into() }, operation, at(900));
        let (_, next) = plan(&open, Some(&staff), &[], &[(Collection::Groups, 959, 0)]);
        assert_eq!(next, Some(Next::Read(Collection::Groups)));
        let read = [(Collection::Groups, 970, 1)];
        let (found, next) = plan(&open, Some(&staff), &[group("group-1", "Staff", 901)], &read);
        assert_eq!((found.openai_id, found.open, next), (Some("group-1".into()), None, None));
        let (missed, next) = plan(&open, Some(&staff), &[], &read);
        assert_eq!(next, Some(Next::Read(Collection::Groups)), "one list may leave it out");
        assert_eq!(plan(&missed, Some(&staff), &[], &read).1, next, "the same list says nothing more");
        let again = [(Collection::Groups, 1000, 1)];
        let (old, next) = plan(&missed, Some(&staff), &[group("group-1", "Staff", 0)], &again);
        assert_eq!((old.openai_id.clone(), next), (None, None), "an older group is somebody else's");
        assert!(old.refusal().is_some());
        let (_, next) = plan(&missed, Some(&staff), &[], &again);
        assert_eq!(call(next), "create_group `Staff`");
    }

    #[test]
    fn a_kept_group_has_the_name_and_the_projects_of_the_wish() {
        let groups = [group("group-1", "Staff", 0)];
        let (_, next) = plan(&bound(), Some(&wish("Crew", &[])), &groups, &[]);
        assert_eq!(call(next), "rename_group group-1 to `Crew`");
        let wished = wish("Staff", &[("proj_a", ProjectRole::Owner)]);
        let (_, next) = plan(&bound(), Some(&wished), &groups, &[]);
        assert_eq!(call(next), "add_group_to_project group-1 to proj_a as owner");
        let mut inside = bound();
        inside.projects.insert("proj_a".into(), ProjectRole::Member);
        let (_, next) = plan(&inside, Some(&wished), &groups, &[]);
        assert_eq!(call(next), "remove_group_from_project group-1 from proj_a", "then in again as owner");
        let doubtful = GroupWish { is_doubtful: true, ..wish("Staff", &[]) };
        assert_eq!(plan(&inside, Some(&doubtful), &groups, &[]).1, None);
        inside.projects.insert("proj_old".into(), ProjectRole::Member);
        let (_, next) = plan(&inside, Some(&wish("Staff", &[("proj_a", ProjectRole::Member)])), &groups, &[]);
        assert_eq!(next, None, "an archived project is left alone");
    }

    #[test]
    fn what_was_refused_blocks_nothing_else_and_is_tried_again_later() {
        let groups = [group("group-1", "Staff", 0)];
        let wished = wish("Staff", &[("proj_a", ProjectRole::Member), ("proj_b", ProjectRole::Member)]);
        let mut refused = bound();
        let admit =
            GroupCall::Admit { group: "group-1".into(), project: "proj_a".into(), role: ProjectRole::Member };
        refused.refuse(admit, "archived".into(), at(1500));
        let (_, next) = plan(&refused, Some(&wished), &groups, &[]);
        assert_eq!(call(next), "add_group_to_project group-1 to proj_b as member");
        refused.projects.insert("proj_b".into(), ProjectRole::Member);
        assert_eq!(plan(&refused, Some(&wished), &groups, &[]).1, Some(Next::Wait(at(1500))));
    }

    #[test]
    fn what_waits_for_a_human_waits_as_long_as_it_is_wished() {
        let (groups, projects) = (
            [group("group-1", "Staff", 0)],
            vec![Project { id: "proj_a".into(), name: None }, Project { id: "proj_b".into(), name: None }],
        );
        let inventory = Inventory { projects: Listing::Read(projects), ..Inventory::default() };
        let mut link = bound();
        for project in ["proj_a", "proj_b"] {
            link.projects.insert(project.into(), ProjectRole::Member);
        }
        let hold = |state| {
            let subject = "remove_group_from_project group-1 from proj_a".to_owned();
            let about = About::Group { id: link.group, losers: 5 };
            let id = HoldId::new(&Clock::manual(at(0)));
            let made =
                Hold::new(link.tenant.clone(), id, about, Guard::MassRemoval, subject, String::new(), at(0));
            Hold { state, ..made }
        };
        let plan = |now, link: &GroupLink, wish: Option<&GroupWish>, holds: &[Hold]| {
            let (linked, sweeps) = ([OpenAiGroupId::from("group-1")].into(), BTreeMap::new());
            let scene = Scene {
                now: at(now),
                settle_time: SignedDuration::from_mins(1),
                groups: &groups,
                linked: &linked,
                sweeps: &sweeps,
                inventory: &inventory,
                looks: &BTreeMap::new(),
                on_deleted: OnDrift::Revert,
                holds,
            };
            (call(plan_group(link, wish, &scene).1), over_holds_of(link, wish, &scene).len())
        };
        let nothing = wish("Staff", &[]);
        let (of_a, of_b) = ("remove_group_from_project group-1 from proj_a", "proj_b");
        for state in [HoldState::Open, HoldState::Rejected] {
            let (other, over) = plan(1000, &link, Some(&nothing), &[hold(state)]);
            assert!(other.ends_with(of_b) && over == 0, "it blocks nothing else: {other}");
            assert_eq!(plan(3600, &link, Some(&nothing), &[hold(state)]).0, of_a, "judged anew");
        }
        assert_eq!(plan(1000, &link, Some(&nothing), &[hold(HoldState::Approved)]), (of_a.to_owned(), 0));
        let open = [hold(HoldState::Open)];
        let all = wish("Staff", &[("proj_a", ProjectRole::Member), ("proj_b", ProjectRole::Member)]);
        assert_eq!(plan(1000, &link, Some(&all), &open), (format!("{:?}", Some(Next::Wait(at(3600)))), 1));
        assert_eq!(plan(1000, &link, None, &open).1, 1, "the SCIM group is gone");
        let doubtful = GroupWish { is_doubtful: true, ..nothing.clone() };
        assert_eq!(plan(1000, &link, Some(&doubtful), &open).1, 0);
        let mut asked = link.clone();
        let delete = GroupCall::Rename { group: "group-1".into(), name: "Crew".into() };
        asked.begin(delete, OperationId::new(&Clock::manual(at(0))), at(999));
        assert_eq!(plan(1000, &asked, Some(&all), &open).1, 0, "it is not known what came of a call");
        link.unbind();
        assert_eq!(plan(1000, &link, Some(&nothing), &open).1, 1, "the OpenAI group is gone");
    }

    #[test]
    fn a_group_that_somebody_deleted_is_met_as_the_policy_says() {
        let staff = wish("Staff", &[]);
        let (_, next) = plan(&bound(), Some(&staff), &[], &[(Collection::Groups, 59, 0)]);
        assert_eq!(next, None, "it may be missing from a reading for a while");
        let read = [(Collection::Groups, 60, 0)];
        let look = Next::LookBack(GroupCall::Delete { group: "group-1".into() });
        assert_eq!(plan(&bound(), Some(&staff), &[], &read).1, Some(look.clone()));
        let looked = |second, there| {
            plan_where(OnDrift::Revert, &bound(), Some(&staff), &[], &read, Some((second, there)))
        };
        assert_eq!(looked(59, false).1, Some(look), "it may have been made since");
        assert_eq!(looked(60, true), (bound(), None), "the list was wrong");
        let (unbound, next) = looked(60, false);
        assert_eq!((&unbound.openai_id, call(next)), (&None, "create_group `Staff`".into()));
        assert_eq!(unbound.lost, Some("group-1".into()));
        let (reported, next) = plan_where(OnDrift::Report, &unbound, Some(&staff), &[], &[], None);
        assert!(next.is_none() && reported.refusal().unwrap().contains("drift.group_deleted"));
        let again = plan_where(OnDrift::Report, &reported, Some(&staff), &[], &[], None);
        assert_eq!(again, (reported.clone(), None));
        let (adopted, next) = plan_where(OnDrift::Adopt, &reported, Some(&staff), &[], &[], None);
        assert_eq!((adopted.refusal(), next), (None, None));
        let (_, next) = plan(&reported, Some(&staff), &[], &[]);
        assert_eq!(call(next), "create_group `Staff`", "the policy was changed");
    }

    #[test]
    fn without_its_scim_group_it_is_deleted_once_a_reading_shows_nobody_in_it() {
        let groups = [group("group-1", "Staff", 0)];
        let members = Collection::GroupMembers("group-1".into());
        let gone = GroupLink { ended_at: Some(at(985)), ..bound() };
        for (reading, expected) in [
            (None, Some(Next::Read(members.clone()))),
            (Some((900, 0)), Some(Next::Read(members.clone()))),
            (Some((990, 1)), None),
        ] {
            let read: Vec<_> = reading.iter().map(|(at, count)| (members.clone(), *at, *count)).collect();
            assert_eq!(plan(&gone, None, &groups, &read).1, expected);
        }
        let (ended, next) = plan(&bound(), None, &groups, &[(members.clone(), 990, 0)]);
        assert_eq!((ended.ended_at, next), (Some(at(1000)), Some(Next::Read(members.clone()))));
        let (_, next) = plan(&gone, None, &groups, &[(members, 990, 0)]);
        assert_eq!(call(next), "delete_group group-1");
        assert_eq!(plan(&link(), None, &[], &[]).1, Some(Next::Forget));
    }
}
