//! Why variations were served, as far as programs report it.

use crate::SharedApp;
use crate::dashboard::answer::Trouble;
use crate::dashboard::parts::{VariationMark, Variations};
use crate::dashboard::place::Place;
use crate::dashboard::words::number;
use crate::store::flag::FlagRow;
use crate::store::targeting::Targeting;

/// How many are shown.
const SHOWN: usize = 8;

/// Why a variation was served, and how often.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) mark: VariationMark,
    pub(super) words: String,
    pub(super) count: String,
}

/// The most frequent ones of the last 24 hours.
pub(super) async fn last_day(
    app: &SharedApp,
    place: &Place,
    flag: &FlagRow,
    targeting: &Targeting,
) -> Result<Vec<Reason>, Trouble> {
    let found = app.analytics.reasons_last_day(place.environment().id, &flag.key).await?;
    let variations = Variations(&flag.definition.variations);
    let reason = |found: crate::analytics::ReasonCount| Reason {
        mark: match found.variation {
            Some(index) => variations.mark_or_missing(index as i64),
            None => VariationMark::default_in_code(),
        },
        words: words(&found.reason, targeting),
        count: number(found.count),
    };
    Ok(found.into_iter().take(SHOWN).map(reason).collect())
}

fn words(reason: &str, targeting: &Targeting) -> String {
    let (kind, names) = reason.split_once(':').unwrap_or((reason, ""));
    match kind {
        "OFF" => "The flag was off".to_owned(),
        "FALLTHROUGH" => "The default rule".to_owned(),
        "TARGET_MATCH" => "An individual target".to_owned(),
        "RULE_MATCH" if names.is_empty() => "A rule".to_owned(),
        "RULE_MATCH" => match targeting.rules.iter().position(|rule| rule.id == names) {
            Some(index) => format!("Rule {}", index + 1),
            None => "A rule that is gone".to_owned(),
        },
        "PREREQUISITE_FAILED" => format!("The prerequisite {names} was off or served something else"),
        _ => "It could not be evaluated".to_owned(),
    }
}
