//! Projects of a member. Only projects that some grant speaks of are ever changed.

use std::collections::BTreeSet;

use super::{Change, Flow, Planner, Read};
use crate::ids::ProjectId;
use crate::model::grant::{OrgRole, ProjectGrant};
use crate::model::mapping::Origin;
use crate::model::observed::{Collection, Member};
use crate::model::operation::{Action, Lane};
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
        self.note_effective(member, self.seen_projects(member, &concerned));
        if self.mapping.origin == Origin::Invited {
            concerned.extend(managed_projects(self.policy));
        }
        let taken = self.take_projects(member, &concerned, &before);
        let given = self.give_projects(member, &before);
        if [taken, given].contains(&Flow::Stop) { Flow::Stop } else { Flow::Continue }
    }

    fn take_projects(
        &mut self,
        member: &Member,
        concerned: &BTreeSet<ProjectId>,
        before: &BTreeSet<ProjectId>,
    ) -> Flow {
        let mut flow = Flow::Continue;
        for project in concerned {
            let Some(held) = self.project_member(project, &member.id) else { continue };
            let (project, user) = (project.clone(), member.id.clone());
            let wished = self.desired.projects.get(&project).map(|granted| granted.role);
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
            let look = Read::ProjectMember(project.clone(), member.id.clone());
            let was_read = self.facts.swept_at(&Collection::ProjectMembers(project.clone()));
            let is_known = self.project_member(project, &member.id).is_some()
                || self.looked_at(&look).is_some()
                || was_read >= Some(member.added_at);
            if !is_known {
                self.keep_drift(Drift { class: DriftClass::ProjectRemoved, subject: project.to_string() });
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
