//! Targeting as sentences, in the order in which it is evaluated.

use std::collections::HashMap;

use askama::Template;
use askama::filters::HtmlSafe;
use flagstaff_eval::model::Target;

use super::Serves;
use super::clause::clause_sentence;
use crate::dashboard::parts::{Piece, Sentence, VariationMark, Variations};
use crate::dashboard::place::Place;
use crate::dashboard::words::{count, number, segment};
use crate::store::flag::FlagRow;
use crate::store::targeting::{Rule, Targeting, kind_of};

/// How many keys of a target list are shown.
const SHOWN_KEYS: usize = 60;

/// Targeting as sentences, in the order in which it is evaluated.
#[derive(Clone, Debug, Template)]
#[template(path = "flags/targeting.html")]
pub(in crate::dashboard) struct TargetingView {
    on: bool,
    off: Sentence,
    prerequisites: Vec<Sentence>,
    targets: Vec<TargetView>,
    rules: Vec<RuleView>,
    otherwise: Serves,
}

impl HtmlSafe for TargetingView {}

#[derive(Clone, Debug)]
struct TargetView {
    kind: String,
    mark: VariationMark,
    count: String,
    keys: Vec<(String, Option<String>)>,
    more: Option<String>,
}

#[derive(Clone, Debug)]
struct RuleView {
    number: usize,
    description: Option<String>,
    sentence: Sentence,
    serves: Serves,
    notes: Vec<&'static str>,
}

/// Names of what the sentences speak of.
pub(in crate::dashboard) struct Names {
    /// Names of segments by key.
    pub(in crate::dashboard) segments: HashMap<String, String>,
    /// Prerequisites by key.
    pub(in crate::dashboard) flags: HashMap<String, FlagRow>,
}

impl TargetingView {
    /// The targeting of a flag in words.
    pub(in crate::dashboard) fn new(
        place: &Place,
        flag: &FlagRow,
        targeting: &Targeting,
        names: &Names,
    ) -> Self {
        let variations = Variations(&flag.definition.variations);
        Self {
            on: targeting.on,
            off: off_sentence(variations, targeting),
            prerequisites: targeting
                .prerequisites
                .iter()
                .map(|needed| prerequisite(place, names, &needed.key, needed.variation))
                .collect(),
            targets: targeting
                .targets
                .iter()
                .filter(|target| !target.values.is_empty())
                .map(|target| TargetView::new(place, variations, target))
                .collect(),
            rules: targeting
                .rules
                .iter()
                .enumerate()
                .map(|(place, rule)| RuleView::new(variations, place + 1, rule, names))
                .collect(),
            otherwise: Serves::new(
                variations,
                targeting.fallthrough.variation,
                targeting.fallthrough.rollout.as_ref(),
            ),
        }
    }
}

/// `everyone gets …`: what an off flag serves.
pub(in crate::dashboard) fn off_sentence(variations: Variations<'_>, targeting: &Targeting) -> Sentence {
    let mark = match targeting.off_variation {
        Some(index) => variations.mark_or_missing(index),
        None => VariationMark::default_in_code(),
    };
    Sentence::default().words("everyone gets ").with(Piece::Variation(mark))
}

/// The conditions of a rule in words: `If country is NO and plan is pro`.
pub(in crate::dashboard) fn rule_sentence(rule: &Rule, segments: &HashMap<String, String>) -> Sentence {
    if rule.clauses.is_empty() {
        return Sentence::default().words("For everyone, as this rule has no conditions");
    }
    let segment_name = |key: &str| segments.get(key).cloned();
    let mut sentence = Sentence::default();
    for (place, clause) in rule.clauses.iter().enumerate() {
        let before = if place == 0 { "If " } else { " and " };
        sentence = sentence.words(before).then(clause_sentence(&clause.clause, &segment_name));
    }
    sentence
}

/// The page of a flag.
pub(in crate::dashboard) fn flag_path(place: &Place, key: &str) -> String {
    format!("{}/flags/{}", place.base(), segment(key))
}

fn prerequisite(place: &Place, names: &Names, key: &str, variation: i64) -> Sentence {
    let Some(flag) = names.flags.get(key) else {
        let words = " must serve something, but there is no such flag: it never does";
        return Sentence::default().with(Piece::Name(key.to_owned())).words(words);
    };
    let mark = Variations(&flag.definition.variations).mark_or_missing(variation);
    let link = Piece::Link { text: flag.definition.name.clone(), url: flag_path(place, key) };
    Sentence::default().with(link).words(" must be on and serve ").with(Piece::Variation(mark))
}

impl TargetView {
    fn new(place: &Place, variations: Variations<'_>, target: &Target) -> Self {
        let kind = kind_of(target);
        let of_user =
            |key: &String| (kind == "user").then(|| format!("{}/users/{}", place.base(), segment(key)));
        let shown = target.values.iter().take(SHOWN_KEYS);
        let rest = target.values.len().saturating_sub(SHOWN_KEYS);
        Self {
            kind: kind.to_owned(),
            mark: variations.mark_or_missing(target.variation),
            count: count(target.values.len() as u64, "key", "keys"),
            keys: shown.map(|key| (key.clone(), of_user(key))).collect(),
            more: (rest > 0).then(|| format!("and {} more", number(rest as u64))),
        }
    }
}

impl RuleView {
    fn new(variations: Variations<'_>, number: usize, rule: &Rule, names: &Names) -> Self {
        let mut notes = Vec::new();
        if rule.clauses.iter().any(|clause| clause.clause.negate && !clause.clause.attribute.is_empty()) {
            notes.push("A context without the attribute does not match.");
        }
        if rule.track_events {
            notes.push("Each evaluation that ends here is reported.");
        }
        Self {
            number,
            description: rule.description.clone().filter(|text| !text.trim().is_empty()),
            sentence: rule_sentence(rule, &names.segments),
            serves: Serves::new(variations, rule.variation, rule.rollout.as_ref()),
            notes,
        }
    }
}
