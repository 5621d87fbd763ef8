//! Projects of a member. Only projects that some grant speaks of are ever changed.

use std::collections::BTreeSet;

use super::{Change, Flow, Planner, Read};
use crate::ids::ProjectId;
use crate::model::grant::{OrgRole, ProjectGrant};
use crate::model::mapping::Origin;
use crate::model::observed::{Collection, Member};
use crate::model::operation::{Action, Lane, Operation, OperationState};
use crate::model::upkeep::{Drift, DriftClass};
use crate::provision::desired::managed_projects;

impl Planner<'_> {
    /// Makes the member's projects what the grants say: what is too much goes first.
    pub(super) fn arrange_projects(&mut self, member: &Member) -> Flow {
        if member.role == Some(OrgRole::Owner) || self.desired.invited_role() == OrgRole::Owner {
            // Owners own every project without being in it.
            self.note_effective(member, Vec::new());
            return Flow::Continue;
        }
        let before: BTreeSet<ProjectId> =
            self.mapping.effective_projects.iter().map(|grant| grant.id.clone()).collect();
        let mut concerned = before.clone();
        concerned.extend(self.desired.projects.keys().cloned());
        concerned.extend(self.projects_given_lately(member));
        // Nobody can do anything in an archived project, nor can anybody be taken out of it.
        concerned.retain(|project| self.facts.inventory.may_have(project));
        // Nothing was noted of somebody who has just come in.
        let carried = if self.mapping.effective_role.is_none() { concerned.clone() } else { BTreeSet::new() };
        self.note_effective(member, self.seen_projects(member, &concerned));
        if self.mapping.origin == Origin::Invited {
            concerned.extend(managed_projects(self.policy, &self.facts.inventory));
        }
        let taken = self.take_projects(member, &concerned, &before, &carried);
        let given = self.give_projects(member, &before);
        if [taken, given].contains(&Flow::Stop) { Flow::Stop } else { Flow::Continue }
    }

    /// `before` are the projects that were noted as seen; `carried` those of which the mirror may not know yet.
    fn take_projects(
        &mut self,
        member: &Member,
        concerned: &BTreeSet<ProjectId>,
        before: &BTreeSet<ProjectId>,
        carried: &BTreeSet<ProjectId>,
    ) -> Flow {
        let mut flow = Flow::Continue;
        if self.desired.awaits_projects {
            return flow;
        }
        let doubtful = &self.desired.doubtful_projects;
        for project in concerned.iter().filter(|project| !doubtful.contains(project)) {
            let wished = self.desired.projects.get(project).map(|granted| granted.role);
            let Some(held) = self.project_member(project, &member.id) else {
                if wished.is_none() && carried.contains(project) && !self.is_known(project, member) {
                    let look = Read::ProjectMember(project.clone(), member.id.clone());
                    flow = self.read(look, "the invite carried a project that no grant gives any more");
                }
                continue;
            };
            let (project, user) = (project.clone(), member.id.clone());
            flow = match (held.role, wished) {
                (_, None) => match self.meet_added_project(member, &project, before) {
                    Some(Flow::Continue) => continue,
                    Some(Flow::Stop) => Flow::Stop,
                    None => {
                        let remove = Action::RemoveFromProject { project, user };
                        self.insist(remove, Lane::Reduce, "no grant gives this project any more")
                    }
                },
                (Some(held), Some(role)) if held > role => {
                    let lower = Action::SetProjectRole { project, user, role, lowers: true };
                    self.insist(lower, Lane::Reduce, "no grant gives the stronger role any more")
                }
                _ => continue,
            };
        }
        flow
    }

    fn give_projects(&mut self, member: &Member, before: &BTreeSet<ProjectId>) -> Flow {
        let mut flow = Flow::Continue;
        for (project, granted) in &self.desired.projects {
            if !self.is_known(project, member) {
                self.keep_drift(Drift { class: DriftClass::ProjectRemoved, subject: project.to_string() });
                let look = Read::ProjectMember(project.clone(), member.id.clone());
                let why = format!("{project} is granted by {}; see what the member has", granted.why());
                flow = self.read(look, why);
                continue;
            }
            let (project, user, role) = (project.clone(), member.id.clone(), granted.role);
            let why = format!("{project} as {role} is granted by {}", granted.why());
            let action = match self.project_member(&project, &user).map(|held| held.role) {
                None => {
                    match self.meet_removed_project(member, &project, before) {
                        Some(Flow::Continue) => continue,
                        Some(Flow::Stop) => {
                            flow = Flow::Stop;
                            continue;
                        }
                        None => {}
                    }
                    Action::AddToProject { project, user, role }
                }
                Some(Some(held)) if held < role => {
                    Action::SetProjectRole { project, user, role, lowers: false }
                }
                Some(_) => continue,
            };
            flow = self.grant(action, &why);
        }
        flow
    }

    /// Whether it was seen, since the member came in, if they are in the project.
    fn is_known(&self, project: &ProjectId, member: &Member) -> bool {
        let look = Read::ProjectMember(project.clone(), member.id.clone());
        let was_read = self.swept_at(&Collection::ProjectMembers(project.clone()));
        self.project_member(project, &member.id).is_some()
            || self.looked_at(&look).is_some()
            || was_read >= Some(member.added_at)
    }

    /// Projects that the latest operations gave, by an invite or afterwards, and did not take away since: a wish may
    /// have gone before it was noted that it had come true.
    fn projects_given_lately(&self, member: &Member) -> BTreeSet<ProjectId> {
        let (mut given, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for operation in &self.observed.open {
            if let Action::AddToProject { project, user, .. } = &operation.action
                && *user == member.id
            {
                given.insert(project.clone());
            }
        }
        let done = |operation: &&Operation| operation.state == OperationState::Done;
        for operation in self.observed.recent.iter().filter(done) {
            match &operation.action {
                Action::DeleteUser { .. } => break,
                Action::RemoveFromProject { project, user } if *user == member.id => {
                    taken.insert(project.clone());
                }
                Action::AddToProject { project, user, .. } if *user == member.id => {
                    given.extend(Some(project.clone()).filter(|project| !taken.contains(project)));
                }
                Action::CreateInvite { projects, .. } => {
                    let carried = projects.iter().map(|grant| grant.id.clone());
                    given.extend(carried.filter(|project| !taken.contains(project)));
                }
                _ => {}
            }
        }
        given
    }

    /// The memberships of those projects that the mirror shows.
    fn seen_projects(&self, member: &Member, concerned: &BTreeSet<ProjectId>) -> Vec<ProjectGrant> {
        let seen = concerned.iter().filter_map(|project| {
            let role = self.project_member(project, &member.id)?.role?;
            Some(ProjectGrant { id: project.clone(), role })
        });
        seen.collect()
    }

    fn note_effective(&mut self, member: &Member, projects: Vec<ProjectGrant>) {
        if self.mapping.effective_role == member.role && self.mapping.effective_projects == projects {
            return;
        }
        self.record(Change::Effective { role: member.role, projects }, "seen upstream");
    }
}
