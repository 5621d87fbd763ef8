//! Calls about groups by which more people would lose something than may without a human: held, decided, and over.

use openai_scim_bridge::ids::{GroupId, PersonId};
use openai_scim_bridge::model::grant::ProjectRole;
use openai_scim_bridge::model::hold::{About, Guard, Hold, HoldState};
use openai_scim_bridge::model::policy::{
    DriftPolicy, GroupMode, GroupRule, GroupSelector, OnDrift, Policy, RuleEffect,
};
use openai_scim_bridge::simulator::{Fault, Simulator};
use openai_scim_bridge::store::HoldFilter;

use crate::harness::engine::Bridge;
use crate::harness::trail::{Told, trail};

const PROJECT_GROUP: &str = "/organization/projects/{project_id}/groups/{group_id}";
const NAMES: [&str; 3] = ["Research", "Sales", "Support"];

/// A SCIM group whose members have projects by their OpenAI group alone.
struct Scene {
    bridge: Bridge,
    projects: Vec<String>,
    staff: GroupId,
    openai_group: String,
    people: Vec<PersonId>,
}

/// Whoever is taken out of a project by hand stays out of it, and in the group.
fn policy(projects: usize) -> Policy {
    let rules = NAMES.iter().take(projects).map(|name| GroupRule {
        group: GroupSelector::Name("Staff".to_owned()),
        effect: RuleEffect {
            project: Some(((*name).to_owned(), ProjectRole::Member)),
            ..RuleEffect::default()
        },
    });
    let drift = DriftPolicy { project_removed: OnDrift::Adopt, ..DriftPolicy::default() };
    Policy { groups: GroupMode::Mirror, group_rules: rules.collect(), drift, ..Policy::default() }
}

impl Scene {
    async fn new(people: usize, projects: usize) -> Self {
        let mut seeded = Vec::new();
        let prepare =
            |sim: &Simulator| seeded.extend(NAMES.iter().take(projects).map(|name| sim.seed_project(name)));
        let bridge = Bridge::with(policy(projects), |_| {}, prepare).await;
        let mut members = Vec::new();
        for number in 0..people {
            members.push(bridge.create_member(&format!("m{number}")).await);
        }
        let people: Vec<PersonId> = members.iter().map(|(id, _)| *id).collect();
        let staff = bridge.create_group("Staff", &people).await;
        bridge.minutes(20).await;
        for project in &seeded {
            for (_, user) in &members {
                bridge.sim.remove_project_user(project, user).unwrap();
            }
        }
        bridge.minutes(20).await;
        let openai_group = bridge.sim.groups().remove(0).0;
        let scene = Self { bridge, projects: seeded, staff, openai_group, people };
        assert_eq!(scene.projects_of_the_group(), projects);
        scene
    }

    /// Lets rules give the group only so many of the projects.
    async fn grant(&mut self, projects: usize) {
        self.bridge.stop().await;
        self.bridge.set_policy(policy(projects));
        self.bridge.run();
        self.bridge.minutes(20).await;
    }

    fn projects_of_the_group(&self) -> usize {
        self.projects.iter().filter(|project| !self.bridge.sim.project_groups(project).is_empty()).count()
    }

    /// The one hold that stands.
    async fn hold(&self) -> Hold {
        let mut holds = self.bridge.holds().await;
        assert_eq!(holds.len(), 1, "{holds:?}");
        holds.remove(0)
    }

    /// How the holds that are over ended.
    async fn ends(&self) -> Vec<HoldState> {
        let filter = HoldFilter { is_over: Some(true), ..HoldFilter::default() };
        let mut reader = self.bridge.store.reader().await.unwrap();
        let over = reader.list_holds(&self.bridge.tenant, &filter, None, 100).await.unwrap();
        over.iter().map(|hold| hold.state).collect()
    }

    /// How often the trail tells of this.
    async fn told(&self, event: &str) -> usize {
        let trail = trail(&self.bridge.store, &self.bridge.tenant).await;
        let is_meant = |told: &&Told| told.event == event && told.detail["group"] == self.staff.to_string();
        trail.iter().filter(is_meant).count()
    }

    fn expulsions(&self) -> usize {
        self.bridge.sim.calls("DELETE", PROJECT_GROUP)
    }
}

#[tokio::test]
async fn a_project_that_many_would_lose_with_a_group_is_lost_when_a_human_approves_and_once() {
    let mut scene = Scene::new(5, 1).await;
    scene.grant(0).await;
    let held = scene.hold().await;
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (1, 0));
    assert_eq!((held.guard, held.state), (Guard::MassRemoval, HoldState::Open));
    assert_eq!(held.about, About::Group { id: scene.staff, losers: 5 });
    let words = format!("remove_group_from_project {} from {}", scene.openai_group, scene.projects[0]);
    assert_eq!(held.subject, words);
    assert!(held.reason.contains("3 removals") && held.reason.contains("safety.max_removals"), "{held:?}");

    // There would be room again, and still nobody said so.
    scene.bridge.hours(26).await;
    assert_eq!(scene.hold().await.state, HoldState::Open);
    assert_eq!(scene.told("hold.open").await, 1);
    scene.bridge.decide(&scene.hold().await, true).await;
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (0, 1));
    assert_eq!(scene.ends().await, [HoldState::Used]);
    assert_eq!(scene.bridge.holds().await, []);

    // The approval is used: the next time a human is asked again.
    scene.grant(1).await;
    assert_eq!(scene.projects_of_the_group(), 1);
    scene.grant(0).await;
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (1, 1));
    assert_ne!(scene.hold().await.id, held.id);
}

#[tokio::test]
async fn what_was_rejected_stays_held_over_restarts_until_the_group_may_keep_it() {
    let mut scene = Scene::new(5, 1).await;
    scene.grant(0).await;
    scene.bridge.decide(&scene.hold().await, false).await;
    for _ in 0..2 {
        scene.bridge.hours(26).await;
        let held = scene.hold().await;
        assert_eq!((held.state, held.decision.unwrap().by.as_str()), (HoldState::Rejected, "ann"));
        assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (1, 0));
        scene.grant(0).await;
    }
    // Somebody else who joined is no reason to ask again.
    let (kim, user) = scene.bridge.create_member("kim").await;
    scene.bridge.add_to_group(scene.staff, &[kim]).await;
    scene.bridge.minutes(90).await;
    assert!(scene.bridge.sim.group_members(&scene.openai_group).contains(&user));
    let held = scene.hold().await;
    assert_eq!((held.state, held.about), (HoldState::Rejected, About::Group { id: scene.staff, losers: 6 }));
    scene.grant(1).await;
    assert_eq!((scene.bridge.holds().await, scene.ends().await), (vec![], vec![HoldState::Lapsed]));
    assert_eq!((scene.told("hold.open").await, scene.told("hold.lapsed").await), (1, 1));
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (1, 0));
}

#[tokio::test]
async fn a_hold_ends_with_its_group() {
    let mut scene = Scene::new(5, 1).await;
    scene.grant(0).await;
    assert_eq!(scene.hold().await.about.group(), Some(scene.staff));
    scene.bridge.delete_group(scene.staff, &scene.people).await;
    scene.bridge.minutes(2).await;
    let about_groups = scene.bridge.holds().await.iter().any(|hold| hold.about.group().is_some());
    assert!(!about_groups, "its members leave it one by one, and each of them is judged");
    assert_eq!(scene.told("hold.lapsed").await, 1);
}

#[tokio::test]
async fn a_hold_ends_where_groups_are_not_kept_any_more() {
    let mut scene = Scene::new(5, 1).await;
    scene.grant(0).await;
    scene.hold().await;
    scene.bridge.stop().await;
    scene.bridge.set_policy(Policy { groups: GroupMode::Rules, ..policy(0) });
    scene.bridge.run();
    scene.bridge.minutes(2).await;
    assert_eq!((scene.bridge.holds().await, scene.ends().await), (vec![], vec![HoldState::Lapsed]));
}

#[tokio::test]
async fn an_approval_is_for_no_more_people_than_were_shown() {
    let mut scene = Scene::new(5, 1).await;
    scene.grant(0).await;
    let shown = scene.hold().await;
    let (kim, user) = scene.bridge.create_member("kim").await;
    scene.bridge.add_to_group(scene.staff, &[kim]).await;
    scene.bridge.minutes(6).await;
    assert!(scene.bridge.sim.group_members(&scene.openai_group).contains(&user));
    assert_eq!(scene.hold().await.about, shown.about, "judged anew from time to time");
    scene.bridge.decide(&shown, true).await;
    let again = scene.hold().await;
    assert_eq!((again.id, again.state, again.decision), (shown.id, HoldState::Open, None));
    assert_eq!(again.about, About::Group { id: scene.staff, losers: 6 });
    assert_eq!((scene.expulsions(), scene.told("hold.open").await), (0, 2));
    scene.bridge.decide(&scene.hold().await, true).await;
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (0, 1));
}

#[tokio::test]
async fn approvals_let_exactly_their_own_calls_happen() {
    let mut scene = Scene::new(5, 3).await;
    scene.grant(0).await;
    let holds = scene.bridge.holds().await;
    assert_eq!(holds.len(), 3);
    scene.bridge.decide(&holds[0], true).await;
    scene.bridge.decide(&holds[2], true).await;
    scene.bridge.hours(26).await;
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (1, 2));
    let left = scene.hold().await;
    assert_eq!((left.id, left.state), (holds[1].id, HoldState::Open));
}

#[tokio::test]
async fn an_approval_whose_call_was_in_vain_is_used_by_the_next_one() {
    let statuses = [400, 404, 429, 500].map(Fault::status);
    for fault in [Fault::reset_before()].into_iter().chain(statuses) {
        let mut scene = Scene::new(5, 1).await;
        scene.grant(0).await;
        scene.bridge.sim.fail_next("DELETE", PROJECT_GROUP, fault.clone(), 1).unwrap();
        scene.bridge.decide(&scene.hold().await, true).await;
        scene.bridge.minutes(70).await;
        assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (0, 2), "{fault:?}");
        assert_eq!(scene.ends().await, [HoldState::Used], "{fault:?}");
    }
}

#[tokio::test]
async fn a_crash_during_an_approved_call_neither_loses_nor_doubles_it() {
    for fault in [Fault::reset_before(), Fault::reset_after()] {
        let mut scene = Scene::new(5, 1).await;
        scene.grant(0).await;
        scene.bridge.sim.fail_next("DELETE", PROJECT_GROUP, fault.clone(), 1).unwrap();
        scene.bridge.decide(&scene.hold().await, true).await;
        scene.bridge.kill().await;
        scene.bridge.run();
        scene.bridge.minutes(70).await;
        let effects = scene.bridge.sim.effects("DELETE", PROJECT_GROUP);
        assert_eq!((scene.projects_of_the_group(), effects), (0, 1), "{fault:?}");
        assert_eq!(scene.ends().await, [HoldState::Used], "{fault:?}");
    }
}

#[tokio::test]
async fn losses_by_a_call_about_a_group_that_was_in_vain_are_not_counted() {
    let mut scene = Scene::new(2, 1).await;
    scene.bridge.sim.fail_next("DELETE", PROJECT_GROUP, Fault::reset_before(), 3).unwrap();
    scene.grant(0).await;
    scene.bridge.minutes(40).await;
    assert_eq!((scene.projects_of_the_group(), scene.expulsions()), (0, 4));
    assert_eq!(scene.bridge.holds().await, []);
}

#[tokio::test]
async fn what_nobody_would_lose_any_more_needs_no_human() {
    let mut scene = Scene::new(5, 1).await;
    scene.grant(0).await;
    scene.hold().await;
    for person in scene.people.clone() {
        scene.bridge.take_from_group(scene.staff, &[person]).await;
        // Each of them is judged by themselves.
        scene.bridge.hours(13).await;
    }
    for hold in scene.bridge.holds().await.iter().filter(|hold| hold.about.person().is_some()) {
        scene.bridge.decide(hold, true).await;
    }
    scene.bridge.minutes(90).await;
    assert_eq!((scene.projects_of_the_group(), scene.bridge.holds().await), (0, vec![]));
}

#[tokio::test]
async fn what_is_held_of_a_group_is_counted_and_told_like_that_of_people() {
    let mut scene = Scene::new(5, 2).await;
    scene.grant(0).await;
    let told = async |scene: &Scene| {
        scene.bridge.minutes(1).await;
        let mut reader = scene.bridge.store.reader().await.unwrap();
        let standing = reader.standing_causes(&scene.bridge.tenant).await.unwrap();
        let causes: Vec<_> = standing.into_iter().map(|(cause, told)| (cause, told.size)).collect();
        let rendered = scene.bridge.metrics.render();
        let open = rendered.lines().find_map(|line| {
            line.strip_prefix("scim_bridge_holds{tenant=\"default\",guard=\"mass-removal\"} ")
        });
        (causes, scene.bridge.health().open_holds, open.unwrap().to_owned())
    };
    let held = ("held.mass-removal".to_owned(), 2);
    assert_eq!(told(&scene).await, (vec![held], 2, "2".to_owned()));
    for hold in scene.bridge.holds().await {
        scene.bridge.decide(&hold, false).await;
    }
    assert_eq!(told(&scene).await, (vec![], 0, "0".to_owned()));
}
