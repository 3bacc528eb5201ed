//! What is served in the end: one variation, or a split.

use askama::Template;
use askama::filters::HtmlSafe;
use flagstaff_eval::model::{Rollout, RolloutKind};

use crate::dashboard::parts::{Bar, Piece, Sentence, VariationMark, Variations};
use crate::dashboard::words::percentage;

/// Every context, in thousandths of a percent.
const EVERYONE: i64 = 100_000;

/// What is served in the end.
#[derive(Clone, Debug, Template)]
#[template(path = "flags/serves.html")]
pub(in crate::dashboard) struct Serves {
    sentence: Sentence,
    split: Option<Split>,
}

impl HtmlSafe for Serves {}

#[derive(Clone, Debug)]
struct Split {
    bar: Bar,
    shares: Vec<Share>,
}

#[derive(Clone, Debug)]
struct Share {
    percentage: String,
    mark: VariationMark,
    /// Left out of the experiment.
    untracked: bool,
}

impl Serves {
    /// What a rule or the default rule serves: a variation wins over a rollout.
    pub(in crate::dashboard) fn new(
        variations: Variations<'_>,
        variation: Option<i64>,
        rollout: Option<&Rollout>,
    ) -> Self {
        match (variation, rollout) {
            (Some(index), _) => Self::one(variations.mark_or_missing(index)),
            (None, Some(rollout)) if !rollout.variations.is_empty() => Self::split(variations, rollout),
            (None, _) => {
                let words =
                    "serve nothing: no variation is set here, so callers get the default in their code";
                Self { sentence: Sentence::default().words(words), split: None }
            }
        }
    }

    fn one(mark: VariationMark) -> Self {
        Self { sentence: Sentence::default().words("serve ").with(Piece::Variation(mark)), split: None }
    }

    fn split(variations: Variations<'_>, rollout: &Rollout) -> Self {
        let measured = rollout.kind == RolloutKind::Experiment;
        let kind = rollout.context_kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("user");
        // Experiments always hash the key.
        let attribute =
            rollout.bucket_by.as_deref().filter(|name| !name.is_empty() && !measured).unwrap_or("key");
        let mut sentence = Sentence::default().words(if measured {
            "run an experiment, split by the "
        } else {
            "serve a split by the "
        });
        sentence = sentence.words(format!("{kind}’s ")).with(Piece::Name(attribute.to_owned()));
        let shares: Vec<(VariationMark, i64, bool)> = exact_shares(rollout)
            .into_iter()
            .zip(&rollout.variations)
            .map(|(size, share)| (variations.mark_or_missing(share.variation), size, share.untracked))
            .collect();
        let bar = Bar::new(
            shares.iter().map(|(mark, size, _)| (mark, size.unsigned_abs())),
            EVERYONE.unsigned_abs(),
        );
        let shares = shares
            .into_iter()
            .map(|(mark, size, untracked)| Share {
                percentage: percentage(size),
                mark,
                untracked: measured && untracked,
            })
            .collect();
        Self { sentence, split: Some(Split { bar, shares }) }
    }

    /// As plain text, in one line.
    pub(in crate::dashboard) fn text(&self) -> String {
        match &self.split {
            None => self.sentence.text(),
            Some(split) => {
                let shares: Vec<String> = split
                    .shares
                    .iter()
                    .map(|share| format!("{} {}", share.percentage, share.mark.text()))
                    .collect();
                format!("{}: {}", self.sentence.text(), shares.join(", "))
            }
        }
    }
}

/// What each share really gets, in thousandths of a percent. A share ends where the sum of weights
/// so far is; what is left over goes to the last, and what is beyond everyone to nobody.
fn exact_shares(rollout: &Rollout) -> Vec<i64> {
    let (mut sum, mut reached) = (0_i64, 0_i64);
    let mut shares: Vec<i64> = rollout
        .variations
        .iter()
        .map(|share| {
            sum = sum.saturating_add(share.weight);
            let end = sum.clamp(reached, EVERYONE);
            let size = end - reached;
            reached = end;
            size
        })
        .collect();
    if let Some(last) = shares.last_mut() {
        *last += EVERYONE - reached;
    }
    shares
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::WeightedVariation;
    use serde_json::json;

    use super::*;
    use crate::store::targeting::Variation;

    fn check(weights: &[i64], expected: &[i64]) {
        let share = |weight: &i64| WeightedVariation { weight: *weight, ..WeightedVariation::default() };
        let rollout = Rollout { variations: weights.iter().map(share).collect(), ..Rollout::default() };
        assert_eq!(exact_shares(&rollout), expected, "{weights:?}");
    }

    #[test]
    fn shares_are_what_the_evaluator_gives() {
        check(&[60_000, 40_000], &[60_000, 40_000]);
        check(&[60_000, 30_000], &[60_000, 40_000]);
        check(&[80_000, 80_000], &[80_000, 20_000]);
        check(&[0, 0], &[0, 100_000]);
        check(&[50_000, -20_000, 70_000], &[50_000, 0, 50_000]);
        check(&[200_000], &[100_000]);
        check(&[], &[]);
    }

    #[test]
    fn split_reads_as_a_sentence() {
        let all = [json!("blue"), json!("green")].map(|value| Variation { value, ..Variation::default() });
        let rollout = |json| serde_json::from_value::<Rollout>(json).unwrap();
        let text = |rollout: &Rollout| Serves::new(Variations(&all), None, Some(rollout)).text();
        let plain = rollout(
            json!({"variations": [{"variation": 0, "weight": 33_333}, {"variation": 1, "weight": 66_667}]}),
        );
        assert_eq!(text(&plain), "serve a split by the user’s key: 33.333 % blue, 66.667 % green");
        let by = rollout(
            json!({"contextKind": "org", "bucketBy": "plan", "variations": [{"variation": 1, "weight": 100_000}]}),
        );
        assert_eq!(text(&by), "serve a split by the org’s plan: 100 % green");
        let experiment = rollout(
            json!({"kind": "experiment", "bucketBy": "plan", "variations": [{"variation": 0, "weight": 100_000}]}),
        );
        assert_eq!(text(&experiment), "run an experiment, split by the user’s key: 100 % blue");
        assert_eq!(Serves::new(Variations(&all), Some(1), Some(&plain)).text(), "serve green");
        assert!(Serves::new(Variations(&all), None, None).text().starts_with("serve nothing"));
        assert!(Serves::new(Variations(&all), Some(7), None).text().contains("does not exist"));
    }
}
