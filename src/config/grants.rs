//! Turns the tables about grants into what plans use: group rules, aliases, names of groups, default projects.

use toml::Spanned;

use crate::config::file::{Alias, Field, GroupRule, Project, Source};
use crate::config::origin::ConfigError;
use crate::config::tenant::{parse, word};
use crate::ids::{ProjectId, RoleId};
use crate::model::grant::{CatalogueId, OrgRole, ProjectGrant, ProjectRole};
use crate::model::policy::{
    Alias as Meaning, GroupMode, GroupNaming, GroupRule as Rule, GroupSelector, Policy, RuleEffect,
};

/// The tables about grants.
pub(super) struct Grants {
    pub(super) groups: Field<String>,
    pub(super) group_names: Field<String>,
    pub(super) group_rules: Vec<Spanned<GroupRule>>,
    pub(super) aliases: Vec<Spanned<Alias>>,
}

/// Reads the tables into an otherwise default policy.
pub(super) fn read(tables: Grants, allow_owner_grants: bool, source: &Source) -> Result<Policy, ConfigError> {
    let Grants { groups, group_names, group_rules, aliases } = tables;
    let words = [("off", GroupMode::Off), ("rules", GroupMode::Rules), ("mirror", GroupMode::Mirror)];
    let groups = word(groups, source, &words)?;
    let rule = |rule| group_rule(rule, groups, allow_owner_grants);
    let alias = |table| alias(table, groups);
    Ok(Policy {
        groups,
        group_naming: match group_names {
            Some(pattern) => Some(source.setting(pattern).try_map(|pattern| group_naming(&pattern))?.value),
            None => None,
        },
        group_rules: group_rules
            .into_iter()
            .map(|table| Ok(source.setting(table).try_map(rule)?.value))
            .collect::<Result<_, ConfigError>>()?,
        aliases: aliases
            .into_iter()
            .map(|table| Ok(source.setting(table).try_map(alias)?.value))
            .collect::<Result<_, ConfigError>>()?,
        ..Policy::default()
    })
}

/// The projects that everybody gets.
pub(super) fn default_projects(
    projects: Vec<Spanned<Project>>,
    source: &Source,
) -> Result<Vec<ProjectGrant>, ConfigError> {
    let mut grants: Vec<ProjectGrant> = Vec::new();
    for project in projects {
        let grant = source.setting(project).try_map(|project| {
            if project.id.trim().is_empty() {
                return Err("a project's id is empty; it looks like proj_abc".to_owned());
            }
            let id = ProjectId::from(project.id);
            let grant = ProjectGrant { id, role: parse(&project.role)? };
            if grants.iter().any(|earlier| earlier.id == grant.id) {
                return Err(format!("project {} is listed twice", grant.id));
            }
            Ok(grant)
        })?;
        grants.push(grant.value);
    }
    Ok(grants)
}

fn group_rule(rule: GroupRule, groups: GroupMode, allow_owner_grants: bool) -> Result<Rule, String> {
    let GroupRule {
        group,
        group_id,
        external_id,
        org_role,
        project,
        role,
        project_role,
        custom_role,
        openai_group,
    } = rule;
    let group = match (group, group_id, external_id) {
        (Some(name), None, None) => GroupSelector::Name(named("group", name)?),
        (None, Some(id), None) => GroupSelector::Id(named("group_id", id)?),
        (None, None, Some(id)) => GroupSelector::ExternalId(named("external_id", id)?),
        _ => return Err("a group rule needs exactly one of group, group_id and external_id".to_owned()),
    };
    let effect = effect(Effect { org_role, project, role, project_role, custom_role, openai_group }, groups)?;
    if effect.org_role == Some(OrgRole::Owner) {
        // Whoever can rename a group could otherwise make himself an owner.
        if matches!(group, GroupSelector::Name(_)) {
            return Err(
                "org_role = \"owner\" needs group_id or external_id: a display name can be given to any group, an id \
                 cannot"
                    .to_owned(),
            );
        }
        if !allow_owner_grants {
            return Err("org_role = \"owner\" needs allow_owner_grants = true under [safety]".to_owned());
        }
    }
    Ok(Rule { group, effect })
}

fn alias(alias: Alias, groups: GroupMode) -> Result<Meaning, String> {
    let Alias { value, org_role, project, role, project_role, custom_role, openai_group } = alias;
    let value = value.ok_or("an alias needs value: the value of roles or entitlements that it explains")?;
    let value = named("value", value)?;
    if CatalogueId::read(&value).is_some() {
        return Err(format!(
            "`{value}` means something already: the catalogue that /Roles and /Entitlements list"
        ));
    }
    let effect = effect(Effect { org_role, project, role, project_role, custom_role, openai_group }, groups)?;
    if effect.org_role == Some(OrgRole::Owner) {
        return Err(
            "no attribute makes anybody an owner; use a group rule that names the group by group_id or external_id"
                .to_owned(),
        );
    }
    Ok(Meaning { value, effect })
}

/// What a rule or an alias gives, as it is written.
struct Effect {
    org_role: Option<String>,
    project: Option<String>,
    role: Option<String>,
    project_role: Option<String>,
    custom_role: Option<String>,
    openai_group: Option<String>,
}

fn effect(effect: Effect, groups: GroupMode) -> Result<RuleEffect, String> {
    let Effect { org_role, project, role, project_role, custom_role, openai_group } = effect;
    let project = match (project, role) {
        (Some(project), Some(role)) => Some((named("project", project)?, parse::<ProjectRole>(&role)?)),
        (None, None) => None,
        (Some(_), None) => return Err("project needs role = \"member\" or \"owner\" beside it".to_owned()),
        (None, Some(_)) => {
            return Err(
                "role is the role in a project and needs project beside it; for the organization write org_role"
                    .to_owned(),
            );
        }
    };
    if project_role.is_some() && project.is_none() {
        return Err(
            "project_role is a custom role in a project and needs project and role beside it".to_owned()
        );
    }
    if openai_group.is_some() && groups == GroupMode::Off {
        return Err("openai_group has no effect with groups = \"off\"; write groups = \"rules\"".to_owned());
    }
    let effect = RuleEffect {
        org_role: org_role.as_deref().map(parse::<OrgRole>).transpose()?,
        project,
        project_role: project_role.map(|role| named("project_role", role)).transpose()?.map(RoleId::from),
        custom_role: custom_role.map(|role| named("custom_role", role)).transpose()?,
        openai_group: openai_group.map(|group| named("openai_group", group)).transpose()?,
    };
    if effect == RuleEffect::default() {
        return Err(
            "nothing is given: write org_role, project and role, custom_role or openai_group".to_owned()
        );
    }
    Ok(effect)
}

/// Reads `OpenAI:<project>:<role>`.
fn group_naming(pattern: &str) -> Result<GroupNaming, String> {
    let wrong = || {
        format!(
            "`{pattern}` is no pattern for names of groups; write text with <project> and, behind it and something \
             between, <role>, e.g. OpenAI:<project>:<role>"
        )
    };
    let (prefix, rest) = pattern.split_once("<project>").ok_or_else(wrong)?;
    let (separator, suffix) = rest.split_once("<role>").ok_or_else(wrong)?;
    let is_plain = |part: &str| !part.contains(['<', '>']);
    // Without anything before it, every group could be meant.
    if prefix.is_empty() || separator.is_empty() || ![prefix, separator, suffix].into_iter().all(is_plain) {
        return Err(wrong());
    }
    let own = str::to_owned;
    Ok(GroupNaming { prefix: own(prefix), separator: own(separator), suffix: own(suffix) })
}

fn named(key: &str, text: String) -> Result<String, String> {
    if text.trim().is_empty() { Err(format!("{key} is empty")) } else { Ok(text) }
}
