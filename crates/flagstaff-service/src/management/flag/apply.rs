//! Makes a typed change on a draft.

use std::collections::{HashMap, HashSet};

use flagstaff_eval::Value;
use flagstaff_eval::model::{
    Clause, Operator, Prerequisite, Rollout, Target, VariationOrRollout, WeightedVariation,
};

use super::Draft;
use super::change::{Availability, FlagChange, NewClause, NewPrerequisite, NewRule, NewTarget, Serve};
use super::remove_variation::remove_variation;
use crate::management::ChangeError;
use crate::management::rule_edits::{
    add_values, clause_of, filled, remove_values, reorder, rule_index, rule_of,
};
use crate::store::membership::kind_or_user;
use crate::store::targeting::{FlagDefinition, Rule, RuleClause, Targeting, Variation, kind_of};

/// What a change may look at beside the draft.
pub(super) struct Surroundings<'a> {
    /// The environment in which the change is made.
    pub(super) environment_key: Option<&'a str>,
    /// The other flags that the changes speak of.
    pub(super) others: &'a HashMap<String, FlagDefinition>,
}

/// Makes one change. `place` names it in errors: `instructions[2]`.
pub(super) fn apply(
    draft: &mut Draft,
    around: &Surroundings<'_>,
    place: &str,
    change: &FlagChange,
) -> Result<(), ChangeError> {
    if apply_to_definition(draft, place, change)? {
        return Ok(());
    }
    let Some(environment_key) = around.environment_key else {
        return Err(ChangeError::invalid(
            place,
            "this change is made in one environment; name it in `environmentKey`",
        ));
    };
    let definition = draft.definition.clone();
    let targeting = draft.targeting(environment_key)?;
    let edit = Edit { place, definition: &definition, others: around.others };
    edit.apply(targeting, change)
}

/// The changes that are made in all environments; false if it is another.
fn apply_to_definition(draft: &mut Draft, place: &str, change: &FlagChange) -> Result<bool, ChangeError> {
    let definition = &mut draft.definition;
    match change {
        FlagChange::AddVariation { value, name, description } => definition.variations.push(Variation {
            id: uuid::Uuid::new_v4().to_string(),
            value: value.clone(),
            name: name.clone(),
            description: description.clone(),
        }),
        FlagChange::RemoveVariation { variation_id } => {
            let index = variation_index(definition, place, variation_id)?;
            remove_variation(draft, place, index)?;
        }
        FlagChange::UpdateVariation { variation_id, value, name, description } => {
            let index = variation_index(definition, place, variation_id)? as usize;
            let variation = &mut definition.variations[index];
            variation.value = value.clone().unwrap_or_else(|| variation.value.clone());
            variation.name = name.clone().or(variation.name.take());
            variation.description = description.clone().or(variation.description.take());
        }
        FlagChange::UpdateDefaultVariation { on_variation_value, off_variation_value } => {
            if let Some(value) = on_variation_value {
                definition.defaults.on_variation = index_of_value(definition, place, value)?;
            }
            if let Some(value) = off_variation_value {
                definition.defaults.off_variation = index_of_value(definition, place, value)?;
            }
        }
        FlagChange::UpdateName { value } => definition.name.clone_from(value),
        FlagChange::UpdateDescription { value } => definition.description.clone_from(value),
        FlagChange::AddTags { values } => {
            for tag in values {
                if !definition.tags.contains(tag) {
                    definition.tags.push(tag.clone());
                }
            }
        }
        FlagChange::RemoveTags { values } => definition.tags.retain(|tag| !values.contains(tag)),
        FlagChange::MakeFlagTemporary => definition.temporary = true,
        FlagChange::MakeFlagPermanent => definition.temporary = false,
        FlagChange::TurnOnClientSideAvailability { value } => set_availability(definition, *value, true),
        FlagChange::TurnOffClientSideAvailability { value } => set_availability(definition, *value, false),
        FlagChange::UpdateMaintainerMember { value } => definition.maintainer_id = Some(value.clone()),
        FlagChange::RemoveMaintainer => definition.maintainer_id = None,
        _ => return Ok(false),
    }
    Ok(true)
}

fn set_availability(definition: &mut FlagDefinition, family: Availability, available: bool) {
    match family {
        Availability::UsingMobileKey => definition.availability.using_mobile_key = available,
        Availability::UsingEnvironmentId => definition.availability.using_environment_id = available,
    }
}

/// A change in one environment.
struct Edit<'a> {
    place: &'a str,
    definition: &'a FlagDefinition,
    others: &'a HashMap<String, FlagDefinition>,
}

impl Edit<'_> {
    fn apply(&self, targeting: &mut Targeting, change: &FlagChange) -> Result<(), ChangeError> {
        match change {
            FlagChange::TurnFlagOn => targeting.on = true,
            FlagChange::TurnFlagOff => targeting.on = false,
            FlagChange::UpdateOffVariation { variation_id } => {
                targeting.off_variation = Some(self.variation(variation_id)?);
            }
            FlagChange::UpdateFallthroughVariationOrRollout { serve } => {
                targeting.fallthrough = self.serve(serve, targeting.fallthrough.rollout.as_ref())?;
            }
            FlagChange::UpdateTrackEvents { track_events } => targeting.track_events = *track_events,
            FlagChange::UpdateTrackEventsFallthrough { track_events } => {
                targeting.track_events_fallthrough = *track_events;
            }
            FlagChange::AddPrerequisite { .. }
            | FlagChange::UpdatePrerequisite { .. }
            | FlagChange::RemovePrerequisite { .. }
            | FlagChange::ReplacePrerequisites { .. } => self.prerequisites(targeting, change)?,
            FlagChange::AddTargets { .. }
            | FlagChange::RemoveTargets { .. }
            | FlagChange::ReplaceTargets { .. }
            | FlagChange::ClearTargets { .. }
            | FlagChange::AddUserTargets { .. }
            | FlagChange::RemoveUserTargets { .. }
            | FlagChange::ReplaceUserTargets { .. }
            | FlagChange::ClearUserTargets { .. } => self.targets(&mut targeting.targets, change)?,
            _ => self.rules(&mut targeting.rules, change)?,
        }
        Ok(())
    }

    fn targets(&self, targets: &mut Vec<Target>, change: &FlagChange) -> Result<(), ChangeError> {
        match change {
            FlagChange::AddTargets { variation_id, context_kind, values } => {
                self.add_targets(targets, variation_id, context_kind.as_deref(), values)?;
            }
            FlagChange::AddUserTargets { variation_id, values } => {
                self.add_targets(targets, variation_id, None, values)?;
            }
            FlagChange::RemoveTargets { variation_id, context_kind, values } => {
                self.remove_targets(targets, variation_id, context_kind.as_deref(), values)?;
            }
            FlagChange::RemoveUserTargets { variation_id, values } => {
                self.remove_targets(targets, variation_id, None, values)?;
            }
            FlagChange::ReplaceTargets { targets: new } => {
                targets.clear();
                self.add_all(targets, new)?;
            }
            FlagChange::ReplaceUserTargets { targets: new } => {
                targets.retain(|target| kind_of(target) != "user");
                self.add_all(targets, new)?;
            }
            FlagChange::ClearTargets { variation_id } => {
                let variation = self.variation(variation_id)?;
                targets.retain(|target| target.variation != variation);
            }
            FlagChange::ClearUserTargets { variation_id } => {
                let variation = self.variation(variation_id)?;
                targets.retain(|target| target.variation != variation || kind_of(target) != "user");
            }
            _ => {}
        }
        targets.retain(|target| !target.values.is_empty());
        Ok(())
    }

    fn add_all(&self, targets: &mut Vec<Target>, new: &[NewTarget]) -> Result<(), ChangeError> {
        for target in new {
            self.add_targets(targets, &target.variation_id, target.context_kind.as_deref(), &target.values)?;
        }
        Ok(())
    }

    fn add_targets(
        &self,
        targets: &mut Vec<Target>,
        variation_id: &str,
        kind: Option<&str>,
        keys: &[String],
    ) -> Result<(), ChangeError> {
        let variation = self.variation(variation_id)?;
        let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or("user");
        let place =
            targets.iter().position(|target| target.variation == variation && kind_of(target) == kind);
        let place = place.unwrap_or_else(|| {
            targets.push(Target { context_kind: Some(kind.to_owned()), variation, values: Vec::new() });
            targets.len() - 1
        });
        let values = &mut targets[place].values;
        let mut known: HashSet<String> = values.iter().cloned().collect();
        values.extend(keys.iter().filter(|key| known.insert((*key).clone())).cloned());
        Ok(())
    }

    fn remove_targets(
        &self,
        targets: &mut [Target],
        variation_id: &str,
        kind: Option<&str>,
        keys: &[String],
    ) -> Result<(), ChangeError> {
        let variation = self.variation(variation_id)?;
        let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or("user");
        let keys: HashSet<&String> = keys.iter().collect();
        for target in
            targets.iter_mut().filter(|target| target.variation == variation && kind_of(target) == kind)
        {
            target.values.retain(|key| !keys.contains(key));
        }
        Ok(())
    }

    fn rules(&self, rules: &mut Vec<Rule>, change: &FlagChange) -> Result<(), ChangeError> {
        match change {
            FlagChange::AddRule { rule, before_rule_id } => {
                let index = match before_rule_id {
                    Some(id) => rule_index(rules, self.place, id)?,
                    None => rules.len(),
                };
                rules.insert(index, self.new_rule(rule)?);
            }
            FlagChange::RemoveRule { rule_id } => rules.retain(|rule| rule.id != *rule_id),
            FlagChange::ReplaceRules { rules: new } => {
                *rules = new.iter().map(|rule| self.new_rule(rule)).collect::<Result<_, _>>()?;
            }
            FlagChange::ReorderRules { rule_ids } => reorder(rules, self.place, rule_ids)?,
            FlagChange::UpdateRuleVariationOrRollout { rule_id, serve } => {
                let rule = rule_of(rules, self.place, rule_id)?;
                let served = self.serve(serve, rule.rollout.as_ref())?;
                (rule.variation, rule.rollout) = (served.variation, served.rollout);
            }
            FlagChange::UpdateRuleDescription { rule_id, description } => {
                rule_of(rules, self.place, rule_id)?.description = filled(description);
            }
            FlagChange::UpdateRuleTrackEvents { rule_id, track_events } => {
                rule_of(rules, self.place, rule_id)?.track_events = *track_events;
            }
            FlagChange::AddClauses { rule_id, clauses } => {
                rule_of(rules, self.place, rule_id)?.clauses.extend(clauses.iter().map(new_clause));
            }
            FlagChange::RemoveClauses { rule_id, clause_ids } => {
                let rule = rule_of(rules, self.place, rule_id)?;
                rule.clauses.retain(|clause| !clause_ids.contains(&clause.id));
            }
            FlagChange::UpdateClause { rule_id, clause_id, clause } => {
                clause_of(rules, self.place, rule_id, clause_id)?.clause = new_clause(clause).clause;
            }
            FlagChange::AddValuesToClause { rule_id, clause_id, values } => {
                add_values(clause_of(rules, self.place, rule_id, clause_id)?, values);
            }
            FlagChange::RemoveValuesFromClause { rule_id, clause_id, values } => {
                remove_values(clause_of(rules, self.place, rule_id, clause_id)?, values);
            }
            _ => {}
        }
        Ok(())
    }

    fn prerequisites(&self, targeting: &mut Targeting, change: &FlagChange) -> Result<(), ChangeError> {
        let list = &mut targeting.prerequisites;
        match change {
            FlagChange::AddPrerequisite { prerequisite } => list.push(self.prerequisite(prerequisite)?),
            FlagChange::UpdatePrerequisite { prerequisite } => {
                let new = self.prerequisite(prerequisite)?;
                let known = list.iter_mut().find(|known| known.key == new.key).ok_or_else(|| {
                    ChangeError::invalid(self.place, format!("flag `{}` is not a prerequisite", new.key))
                })?;
                *known = new;
            }
            FlagChange::RemovePrerequisite { key } => list.retain(|known| known.key != *key),
            FlagChange::ReplacePrerequisites { prerequisites } => {
                *list = prerequisites.iter().map(|new| self.prerequisite(new)).collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn prerequisite(&self, new: &NewPrerequisite) -> Result<Prerequisite, ChangeError> {
        let other = self.others.get(&new.key).ok_or_else(|| {
            ChangeError::invalid(self.place, format!("there is no flag `{}` in this project", new.key))
        })?;
        let variation = variation_index(other, self.place, &new.variation_id)?;
        Ok(Prerequisite { key: new.key.clone(), variation })
    }

    fn new_rule(&self, new: &NewRule) -> Result<Rule, ChangeError> {
        let served = self.serve(&new.serve, None)?;
        Ok(Rule {
            id: uuid::Uuid::new_v4().to_string(),
            description: new.description.as_deref().and_then(filled),
            clauses: new.clauses.iter().map(new_clause).collect(),
            variation: served.variation,
            rollout: served.rollout,
            track_events: new.track_events,
        })
    }

    /// `before` is the split that is changed, if it is one.
    fn serve(&self, serve: &Serve, before: Option<&Rollout>) -> Result<VariationOrRollout, ChangeError> {
        match (&serve.variation_id, &serve.rollout_weights) {
            (Some(id), None) => Ok(VariationOrRollout::variation(self.variation(id)?)),
            (None, Some(weights)) => {
                // In the order of the variations, so that raising the first share only adds to it.
                let mut variations = weights
                    .iter()
                    .map(|(id, weight)| {
                        Ok(WeightedVariation {
                            variation: self.variation(id)?,
                            weight: *weight,
                            untracked: false,
                        })
                    })
                    .collect::<Result<Vec<_>, ChangeError>>()?;
                variations.sort_by_key(|share| share.variation);
                let bucket_by = serve.rollout_bucket_by.as_deref().and_then(filled);
                let kind = serve.rollout_context_kind.as_deref().and_then(filled);
                let context_kind = kind.or_else(|| Some("user".to_owned()));
                // Other shares of the same contexts: nobody gets another place among them.
                let is_same = |before: &&Rollout| {
                    before.bucket_by == bucket_by
                        && kind_or_user(before.context_kind.as_deref())
                            == kind_or_user(context_kind.as_deref())
                };
                let seed = before.filter(is_same).and_then(|before| before.seed);
                Ok(VariationOrRollout::rollout(Rollout {
                    variations,
                    bucket_by,
                    context_kind,
                    seed,
                    ..Rollout::default()
                }))
            }
            _ => Err(ChangeError::invalid(self.place, "give either `variationId` or `rolloutWeights`")),
        }
    }

    fn variation(&self, id: &str) -> Result<i64, ChangeError> {
        variation_index(self.definition, self.place, id)
    }
}

/// A clause with an id of its own.
pub(in crate::management) fn new_clause(new: &NewClause) -> RuleClause {
    let clause = Clause {
        context_kind: new.context_kind.as_deref().and_then(filled),
        attribute: new.attribute.clone(),
        op: Operator::from(new.op.as_str()),
        values: new.values.clone(),
        negate: new.negate,
    };
    RuleClause { id: uuid::Uuid::new_v4().to_string(), clause }
}

fn variation_index(definition: &FlagDefinition, place: &str, id: &str) -> Result<i64, ChangeError> {
    let index = definition.variations.iter().position(|variation| variation.id == id);
    index.map(|index| index as i64).ok_or_else(|| {
        let known =
            definition.variations.iter().map(|variation| format!("`{}`", variation.id)).collect::<Vec<_>>();
        ChangeError::invalid(
            place,
            format!("there is no variation with id `{id}`; there are {}", known.join(", ")),
        )
    })
}

fn index_of_value(definition: &FlagDefinition, place: &str, value: &Value) -> Result<i64, ChangeError> {
    let index = definition.variations.iter().position(|variation| variation.value == *value);
    index
        .map(|index| index as i64)
        .ok_or_else(|| ChangeError::invalid(place, format!("there is no variation with the value {value}")))
}
