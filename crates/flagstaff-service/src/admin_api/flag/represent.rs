//! A flag as the API shows it.

use serde_json::{Map, Value, json};

use crate::admin_api::access_token::represent_member;
use crate::admin_api::link::{link, part};
use crate::management::flag::FlagState;
use crate::store::environment::Environment;
use crate::store::flag::TargetingRow;
use crate::store::project::Project;
use crate::store::targeting::{FlagDefinition, Rule, Targeting, Variation, split_targets};

/// How much of each environment is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Without prerequisites, targets and rules.
    Summary,
    /// All of it.
    Full,
}

/// A flag with its environments.
pub(super) fn flag(state: &FlagState, detail: Detail) -> Value {
    let (project, flag) = (&state.project, &state.flag);
    let path = format!("/api/v2/flags/{}", part(&project.key));
    let definition = &flag.definition;
    let mut value = json!({
        "_links": {"parent": link(&path), "self": link(format!("{path}/{}", part(&flag.key)))},
        "_id": flag.public_id,
        "key": flag.key,
        "name": definition.name,
        "description": definition.description,
        "kind": kind(definition),
        "_version": flag.version,
        "creationDate": flag.created_at,
        "includeInSnippet": definition.availability.using_environment_id,
        "clientSideAvailability": definition.availability,
        "variations": definition.variations.iter().map(variation).collect::<Vec<_>>(),
        "temporary": definition.temporary,
        "tags": definition.tags,
        "goalIds": [],
        "experiments": {"baselineIdx": 0, "items": []},
        "customProperties": {},
        "archived": false,
        "deprecated": false,
        "defaults": definition.defaults,
    });
    if let Some(id) = &definition.maintainer_id {
        value["maintainerId"] = json!(id);
    }
    if let Some(maintainer) = &state.maintainer {
        value["_maintainer"] = represent_member(maintainer);
    }
    let environments: Map<String, Value> = state
        .environments
        .iter()
        .map(|(environment, row)| {
            let shown = in_environment(project, &flag.key, definition, environment, row, detail);
            (environment.key.clone(), shown)
        })
        .collect();
    if !environments.is_empty() {
        value["environments"] = Value::Object(environments);
    }
    value
}

/// `boolean` if it can serve nothing else.
pub(super) fn kind(definition: &FlagDefinition) -> &'static str {
    if definition.variations.iter().all(|variation| variation.value.is_boolean()) {
        "boolean"
    } else {
        "multivariate"
    }
}

fn variation(variation: &Variation) -> Value {
    let mut value = json!({"_id": variation.id, "value": variation.value});
    if let Some(name) = &variation.name {
        value["name"] = json!(name);
    }
    if let Some(description) = &variation.description {
        value["description"] = json!(description);
    }
    value
}

fn in_environment(
    project: &Project,
    flag_key: &str,
    definition: &FlagDefinition,
    environment: &Environment,
    row: &TargetingRow,
    detail: Detail,
) -> Value {
    let targeting = &row.targeting;
    let site = format!("/ui/{}/{}/flags/{}", part(&project.key), part(&environment.key), part(flag_key));
    let mut value = json!({
        "on": targeting.on,
        "archived": false,
        "salt": targeting.salt,
        // What user-era tools call a second salt; nothing hashes with it any more.
        "sel": "",
        "lastModified": row.changed_at,
        "version": row.version,
        "fallthrough": targeting.fallthrough,
        "_site": {"href": site, "type": "text/html"},
        "_environmentName": environment.name,
        "trackEvents": targeting.track_events,
        "trackEventsFallthrough": targeting.track_events_fallthrough,
        "_summary": summary(definition, targeting),
    });
    if let Some(index) = targeting.off_variation {
        value["offVariation"] = json!(index);
    }
    if let Some(until) = targeting.debug_events_until_date {
        value["_debugEventsUntilDate"] = json!(until);
    }
    if detail == Detail::Full {
        let (targets, context_targets) = split_targets(&targeting.targets);
        value["targets"] = json!(targets);
        value["contextTargets"] = json!(context_targets);
        value["rules"] = targeting.rules.iter().map(rule).collect();
        value["prerequisites"] = json!(targeting.prerequisites);
    }
    value
}

fn rule(rule: &Rule) -> Value {
    let clauses: Vec<Value> = rule
        .clauses
        .iter()
        .map(|clause| {
            let mut value = json!(clause.clause);
            value["_id"] = json!(clause.id);
            value
        })
        .collect();
    let mut value = json!({"_id": rule.id, "clauses": clauses, "trackEvents": rule.track_events});
    if let Some(variation) = rule.variation {
        value["variation"] = json!(variation);
    }
    if let Some(rollout) = &rule.rollout {
        value["rollout"] = json!(rollout);
    }
    if let Some(description) = &rule.description {
        value["description"] = json!(description);
    }
    value
}

/// Where each variation is served.
fn summary(definition: &FlagDefinition, targeting: &Targeting) -> Value {
    let mut variations = Map::new();
    for index in 0..definition.variations.len() as i64 {
        let (users, others): (Vec<_>, Vec<_>) = targeting
            .targets
            .iter()
            .filter(|target| target.variation == index)
            .partition(|target| crate::store::targeting::kind_of(target) == "user");
        let keys = |targets: &[&flagstaff_eval::model::Target]| -> usize {
            targets.iter().map(|target| target.values.len()).sum()
        };
        let mut value = json!({
            "rules": targeting.rules.iter().filter(|rule| rule.variation == Some(index)).count(),
            "nullRules": 0,
            "targets": keys(&users),
            "contextTargets": keys(&others),
        });
        if targeting.fallthrough.variation == Some(index) {
            value["isFallthrough"] = json!(true);
        }
        if targeting.off_variation == Some(index) {
            value["isOff"] = json!(true);
        }
        let share = targeting.fallthrough.rollout.as_ref().map(|rollout| {
            let of_this = rollout.variations.iter().filter(|share| share.variation == index);
            of_this.map(|share| share.weight).sum::<i64>()
        });
        if let Some(weight) = share {
            value["rollout"] = json!(weight);
        }
        variations.insert(index.to_string(), value);
    }
    json!({"variations": variations, "prerequisites": targeting.prerequisites.len()})
}
