//! What a flag must hold to, whatever changed it.

use std::collections::{HashMap, HashSet};

use flagstaff_eval::model::{Clause, Operator, Rollout, Target, VariationOrRollout};
use flagstaff_eval::{AttributeRef, PreparedFlag};

use crate::management::{ChangeError, name};
use crate::store::targeting::{FlagDefinition, Targeting, kind_of, sdk_flag};

/// All weights of a rollout together: thousandths of a percent.
const WHOLE: i64 = 100_000;

/// Checks what all environments share.
pub(in crate::management) fn check_definition(definition: &FlagDefinition) -> Result<(), ChangeError> {
    name::check_name("name", &definition.name)?;
    name::check_text("description", &definition.description)?;
    name::check_tags(&definition.tags)?;
    let count = definition.variations.len();
    if count == 0 {
        return Err(ChangeError::invalid("variations", "a flag needs at least one variation"));
    }
    let mut ids = HashSet::new();
    for (place, variation) in definition.variations.iter().enumerate() {
        let place = format!("variations[{place}]");
        if !ids.insert(variation.id.as_str()) {
            return Err(ChangeError::invalid(place, format!("the id `{}` is there twice", variation.id)));
        }
        name::check_value(&format!("{place}.value"), &variation.value)?;
        for text in [&variation.name, &variation.description].into_iter().flatten() {
            name::check_text(&place, text)?;
        }
    }
    check_index("defaults.onVariation", definition.defaults.on_variation, count)?;
    check_index("defaults.offVariation", definition.defaults.off_variation, count)
}

/// Checks the targeting in one environment, but for [its patterns](check_patterns). `place` names it in errors:
/// `environments.production`.
pub(in crate::management) fn check_targeting(
    place: &str,
    definition: &FlagDefinition,
    targeting: &Targeting,
) -> Result<(), ChangeError> {
    let count = definition.variations.len();
    if let Some(index) = targeting.off_variation {
        check_index(&format!("{place}.offVariation"), index, count)?;
    }
    check_serve(&format!("{place}.fallthrough"), &targeting.fallthrough, count)?;
    check_targets(place, &targeting.targets, count)?;
    let mut ids = HashSet::new();
    for (index, rule) in targeting.rules.iter().enumerate() {
        let place = format!("{place}.rules[{index}]");
        if !ids.insert(rule.id.as_str()) {
            return Err(ChangeError::invalid(place, format!("the id `{}` is there twice", rule.id)));
        }
        name::check_text(&format!("{place}.description"), rule.description.as_deref().unwrap_or_default())?;
        let serve = VariationOrRollout { variation: rule.variation, rollout: rule.rollout.clone() };
        check_serve(&place, &serve, count)?;
        if rule.clauses.is_empty() {
            let problem = "a rule without clauses would match everybody; add one, or change the default rule";
            return Err(ChangeError::invalid(place, problem));
        }
        for (index, clause) in rule.clauses.iter().enumerate() {
            check_clause(&format!("{place}.clauses[{index}]"), &clause.clause)?;
        }
    }
    Ok(())
}

fn check_index(place: &str, index: i64, count: usize) -> Result<(), ChangeError> {
    if usize::try_from(index).is_ok_and(|index| index < count) {
        return Ok(());
    }
    Err(ChangeError::invalid(
        place,
        format!("there is no variation {index}; the flag has {count}, counted from 0"),
    ))
}

fn check_serve(place: &str, serve: &VariationOrRollout, count: usize) -> Result<(), ChangeError> {
    match (serve.variation, &serve.rollout) {
        (Some(index), None) => check_index(&format!("{place}.variation"), index, count),
        (None, Some(rollout)) => check_rollout(&format!("{place}.rollout"), rollout, count),
        (Some(_), Some(_)) => Err(ChangeError::invalid(place, "give a variation or a rollout, not both")),
        (None, None) => Err(ChangeError::invalid(place, "a variation or a rollout is needed")),
    }
}

fn check_rollout(place: &str, rollout: &Rollout, count: usize) -> Result<(), ChangeError> {
    for (index, share) in rollout.variations.iter().enumerate() {
        let place = format!("{place}.variations[{index}]");
        check_index(&format!("{place}.variation"), share.variation, count)?;
        if !(0..=WHOLE).contains(&share.weight) {
            let problem =
                format!("a weight is from 0 to {WHOLE} thousandths of a percent, not {}", share.weight);
            return Err(ChangeError::invalid(format!("{place}.weight"), problem));
        }
    }
    let sum: i64 = rollout.variations.iter().map(|share| share.weight).sum();
    if sum != WHOLE {
        let problem =
            format!("the weights add up to {sum}; they have to add up to {WHOLE}, thousandths of a percent");
        return Err(ChangeError::invalid(place, problem));
    }
    if let Some(kind) = &rollout.context_kind {
        name::check_context_kind(&format!("{place}.contextKind"), kind)?;
    }
    check_attribute(
        &format!("{place}.bucketBy"),
        rollout.context_kind.is_some(),
        rollout.bucket_by.as_deref(),
    )
}

fn check_targets(place: &str, targets: &[Target], count: usize) -> Result<(), ChangeError> {
    let mut served: HashMap<(&str, &str), i64> = HashMap::new();
    for (index, target) in targets.iter().enumerate() {
        let place = format!("{place}.targets[{index}]");
        check_index(&format!("{place}.variation"), target.variation, count)?;
        name::check_context_kind(&format!("{place}.contextKind"), kind_of(target))?;
        for key in &target.values {
            if key.is_empty() {
                return Err(ChangeError::invalid(format!("{place}.values"), "a key cannot be empty"));
            }
            let other = served.insert((kind_of(target), key), target.variation);
            if let Some(other) = other.filter(|other| *other != target.variation) {
                let shown = key.escape_debug();
                let problem = format!(
                    "`{shown}` is a target of variation {other} and of {}; take one away",
                    target.variation
                );
                return Err(ChangeError::invalid(format!("{place}.values"), problem));
            }
        }
    }
    Ok(())
}

/// Checks one test of one attribute.
pub(in crate::management) fn check_clause(place: &str, clause: &Clause) -> Result<(), ChangeError> {
    if let Operator::Unknown(spelling) = &clause.op {
        let shown = spelling.escape_debug();
        return Err(ChangeError::invalid(format!("{place}.op"), format!("there is no operator `{shown}`")));
    }
    if let Some(kind) = &clause.context_kind {
        name::check_context_kind(&format!("{place}.contextKind"), kind)?;
    }
    if clause.values.is_empty() {
        return Err(ChangeError::invalid(format!("{place}.values"), "at least one value is needed"));
    }
    for (index, value) in clause.values.iter().enumerate() {
        name::check_value(&format!("{place}.values[{index}]"), value)?;
    }
    if clause.op == Operator::SegmentMatch {
        return Ok(());
    }
    if clause.attribute.is_empty() {
        return Err(ChangeError::invalid(format!("{place}.attribute"), "an attribute is needed"));
    }
    check_attribute(&format!("{place}.attribute"), clause.context_kind.is_some(), Some(&clause.attribute))
}

/// A reference beside a kind has to be one; a plain name may be anything.
pub(in crate::management) fn check_attribute(
    place: &str,
    beside_kind: bool,
    attribute: Option<&str>,
) -> Result<(), ChangeError> {
    let Some(attribute) = attribute.filter(|attribute| beside_kind && !attribute.is_empty()) else {
        return Ok(());
    };
    if AttributeRef::new(attribute).is_valid() {
        return Ok(());
    }
    let shown = attribute.escape_debug();
    Err(ChangeError::invalid(
        place,
        format!("`{shown}` is not an attribute reference, like `country` or `/address/city`"),
    ))
}

/// Checks that SDKs understand every regular expression.
pub(in crate::management) fn check_patterns(
    place: &str,
    key: &str,
    definition: &FlagDefinition,
    targeting: &Targeting,
) -> Result<(), ChangeError> {
    let prepared = PreparedFlag::new(key, sdk_flag(key, definition, targeting, 1));
    match prepared.unsupported_patterns().next() {
        None => Ok(()),
        Some(pattern) => {
            let shown = pattern.escape_debug();
            let problem =
                format!("`{shown}` is not a regular expression that SDKs understand; it would never match");
            Err(ChangeError::invalid(format!("{place}.rules"), problem))
        }
    }
}

/// Checks the prerequisites of one flag against all flags of the environment: they exist, have the
/// variation, and do not lead back.
pub(in crate::management) fn check_prerequisites(
    place: &str,
    key: &str,
    targeting: &Targeting,
    others: &HashMap<String, (usize, Vec<String>)>,
) -> Result<(), ChangeError> {
    let mut seen = HashSet::new();
    for (index, prerequisite) in targeting.prerequisites.iter().enumerate() {
        let place = format!("{place}.prerequisites[{index}]");
        if prerequisite.key == key {
            return Err(ChangeError::invalid(place, "a flag cannot be its own prerequisite"));
        }
        if !seen.insert(prerequisite.key.as_str()) {
            return Err(ChangeError::invalid(place, format!("flag `{}` is there twice", prerequisite.key)));
        }
        let Some((count, _)) = others.get(&prerequisite.key) else {
            let shown = prerequisite.key.escape_debug();
            return Err(ChangeError::invalid(place, format!("there is no flag `{shown}` in this project")));
        };
        check_index(&format!("{place}.variation"), prerequisite.variation, *count)?;
        if leads_to(&prerequisite.key, key, others) {
            let problem =
                format!("flag `{}` has `{key}` as a prerequisite itself, directly or not", prerequisite.key);
            return Err(ChangeError::invalid(place, problem));
        }
    }
    Ok(())
}

fn leads_to(from: &str, to: &str, others: &HashMap<String, (usize, Vec<String>)>) -> bool {
    let mut open = vec![from];
    let mut seen = HashSet::new();
    while let Some(key) = open.pop() {
        if key == to {
            return true;
        }
        if seen.insert(key) {
            open.extend(others.get(key).into_iter().flat_map(|(_, next)| next.iter().map(String::as_str)));
        }
    }
    false
}
