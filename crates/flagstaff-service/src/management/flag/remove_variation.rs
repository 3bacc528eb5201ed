//! Variations that get another place: the indexes change everywhere they are used.

use flagstaff_eval::model::Rollout;

use super::Draft;
use crate::management::ChangeError;
use crate::store::targeting::Targeting;

/// Removes the variation from the definition and shifts every index behind it; refused while it is
/// used.
pub(super) fn remove_variation(draft: &mut Draft, place: &str, removed: i64) -> Result<(), ChangeError> {
    for (environment_key, targeting) in &draft.environments {
        if let Some(user) = user_of(targeting, removed) {
            let problem =
                format!("the variation is still served by {user} in `{environment_key}`; change that first");
            return Err(ChangeError::invalid(place, problem));
        }
    }
    let defaults = &mut draft.definition.defaults;
    if defaults.on_variation == removed || defaults.off_variation == removed {
        let problem = "the variation is a default of new environments; change that first";
        return Err(ChangeError::invalid(place, problem));
    }
    let shifted = |index: i64| if index > removed { index - 1 } else { index };
    defaults.on_variation = shifted(defaults.on_variation);
    defaults.off_variation = shifted(defaults.off_variation);
    draft.definition.variations.remove(removed as usize);
    for targeting in draft.environments.values_mut() {
        renumber(targeting, shifted);
    }
    Ok(())
}

/// What serves the variation, in words.
pub(in crate::management) fn user_of(targeting: &Targeting, variation: i64) -> Option<String> {
    let splits = |rollout: &Option<Rollout>| {
        rollout
            .as_ref()
            .is_some_and(|rollout| rollout.variations.iter().any(|share| share.variation == variation))
    };
    if targeting.off_variation == Some(variation) {
        return Some("the off variation".to_owned());
    }
    if targeting.fallthrough.variation == Some(variation) || splits(&targeting.fallthrough.rollout) {
        return Some("the default rule".to_owned());
    }
    if targeting.targets.iter().any(|target| target.variation == variation) {
        return Some("individual targets".to_owned());
    }
    let rule =
        targeting.rules.iter().position(|rule| rule.variation == Some(variation) || splits(&rule.rollout))?;
    Some(format!("rule {}", rule + 1))
}

/// Has targeting name the variations by other indexes.
pub(in crate::management) fn renumber(targeting: &mut Targeting, new: impl Fn(i64) -> i64) {
    let renumber_rollout = |rollout: &mut Option<Rollout>| {
        for share in rollout.iter_mut().flat_map(|rollout| &mut rollout.variations) {
            share.variation = new(share.variation);
        }
    };
    targeting.off_variation = targeting.off_variation.map(&new);
    targeting.fallthrough.variation = targeting.fallthrough.variation.map(&new);
    renumber_rollout(&mut targeting.fallthrough.rollout);
    for target in &mut targeting.targets {
        target.variation = new(target.variation);
    }
    for rule in &mut targeting.rules {
        rule.variation = rule.variation.map(&new);
        renumber_rollout(&mut rule.rollout);
    }
}
