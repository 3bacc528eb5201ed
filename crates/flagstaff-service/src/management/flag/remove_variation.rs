//! Removing a variation: the indexes behind it shift, everywhere they are used.

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
    shift(&mut defaults.on_variation, removed);
    shift(&mut defaults.off_variation, removed);
    draft.definition.variations.remove(removed as usize);
    for targeting in draft.environments.values_mut() {
        shift_all(targeting, removed);
    }
    Ok(())
}

/// What serves the variation, in words.
fn user_of(targeting: &Targeting, variation: i64) -> Option<String> {
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

fn shift(index: &mut i64, removed: i64) {
    if *index > removed {
        *index -= 1;
    }
}

fn shift_all(targeting: &mut Targeting, removed: i64) {
    let shift_rollout = |rollout: &mut Option<Rollout>| {
        for share in rollout.iter_mut().flat_map(|rollout| &mut rollout.variations) {
            shift(&mut share.variation, removed);
        }
    };
    targeting.off_variation.iter_mut().for_each(|index| shift(index, removed));
    targeting.fallthrough.variation.iter_mut().for_each(|index| shift(index, removed));
    shift_rollout(&mut targeting.fallthrough.rollout);
    for target in &mut targeting.targets {
        shift(&mut target.variation, removed);
    }
    for rule in &mut targeting.rules {
        rule.variation.iter_mut().for_each(|index| shift(index, removed));
        shift_rollout(&mut rule.rollout);
    }
}
