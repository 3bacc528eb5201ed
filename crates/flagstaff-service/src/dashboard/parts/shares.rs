//! Shares of variations, as a bar and in numbers.

use askama::Template;
use askama::filters::HtmlSafe;

use super::{VariationMark, Variations};
use crate::analytics::EvaluationCounts;
use crate::dashboard::words::{self, number};

/// How many variations a list names; the rest is summed.
const NAMED: usize = 3;

/// A stacked bar. What it shows stands beside it in words.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/bar.html")]
pub(in crate::dashboard) struct Bar {
    pieces: Vec<Piece>,
}

impl HtmlSafe for Bar {}

#[derive(Clone, Debug)]
struct Piece {
    class: String,
    x: String,
    width: String,
}

impl Bar {
    /// A bar of these sizes, which fill it as far as they make up `whole`.
    pub(in crate::dashboard) fn new<'a>(
        sizes: impl IntoIterator<Item = (&'a VariationMark, u64)>,
        whole: u64,
    ) -> Self {
        let mut end = 0_u64;
        let percent = |size: u64| size as f64 * 100.0 / whole.max(1) as f64;
        let piece = |(mark, size): (&VariationMark, u64)| {
            let start = end;
            end += size;
            Piece {
                class: mark.class.clone(),
                x: format!("{:.3}", percent(start)),
                width: format!("{:.3}", percent(size)),
            }
        };
        Self { pieces: sizes.into_iter().filter(|(_, size)| *size > 0).map(piece).collect() }
    }
}

/// How often a flag was evaluated in the last hour, by variation.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/hour.html")]
pub(in crate::dashboard) struct Hour {
    total: u64,
    total_number: String,
    unit: &'static str,
    bar: Bar,
    shares: Vec<(VariationMark, String)>,
    more: Option<String>,
}

impl HtmlSafe for Hour {}

impl Hour {
    /// Of what was counted. With `all`, every variation is named.
    pub(in crate::dashboard) fn new(
        variations: Variations<'_>,
        counts: &EvaluationCounts,
        all: bool,
    ) -> Self {
        let mark = |index: Option<usize>| match index {
            Some(index) => variations.mark_or_missing(index as i64),
            None => VariationMark::default_in_code(),
        };
        let mut counts: Vec<(Option<usize>, u64)> = counts
            .by_variation
            .iter()
            .map(|(index, count)| (*index, *count))
            .filter(|(_, count)| *count > 0)
            .collect();
        // In the order of the variations, the same everywhere; without one last.
        counts.sort_by_key(|(index, _)| index.unwrap_or(usize::MAX));
        let marked: Vec<(VariationMark, u64)> =
            counts.iter().map(|(index, count)| (mark(*index), *count)).collect();
        let total = marked.iter().map(|(_, count)| count).sum();
        let bar = Bar::new(marked.iter().map(|(mark, count)| (mark, *count)), total);
        let named = if all || marked.len() <= NAMED + 1 { marked.len() } else { NAMED };
        let rest: u64 = marked[named..].iter().map(|(_, count)| count).sum();
        let more = (named < marked.len()).then(|| format!("{} more: {}", marked.len() - named, number(rest)));
        let shares =
            marked.into_iter().take(named).map(|(mark, count)| (mark.short(), number(count))).collect();
        let unit = if total == 1 { "evaluation" } else { "evaluations" };
        Self { total, total_number: words::number(total), unit, bar, shares, more }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::targeting::Variation;

    #[test]
    fn counts_stand_in_the_order_of_variations_and_add_up() {
        let all: Vec<Variation> =
            (0..6).map(|n| Variation { value: json!(n), ..Variation::default() }).collect();
        let counted = |counts: &[(Option<usize>, u64)]| EvaluationCounts {
            total: counts.iter().map(|(_, count)| count).sum(),
            by_variation: counts.iter().copied().collect(),
        };
        let some = counted(&[(None, 5), (Some(1), 1_000), (Some(0), 3), (Some(2), 0)]);
        let hour = Hour::new(Variations(&all), &some, false);
        assert_eq!(hour.total_number, "1,008");
        let shares: Vec<_> = hour.shares.iter().map(|(mark, count)| (mark.text(), count.as_str())).collect();
        let expected = [("0", "3"), ("1", "1,000"), ("the default in the code", "5")];
        assert_eq!(shares, expected.map(|(text, count)| (text.to_owned(), count)));
        let many = counted(&(0..6).map(|n| (Some(n), 10)).collect::<Vec<_>>());
        assert_eq!(Hour::new(Variations(&all), &many, false).more.as_deref(), Some("3 more: 30"));
        assert_eq!(Hour::new(Variations(&all), &many, true).more, None);
    }

    #[test]
    fn pieces_of_a_bar_fill_it() {
        let all = [Variation { value: json!(0), ..Variation::default() }];
        let mark = Variations(&all).mark(0).unwrap();
        let bar = Bar::new([(&mark, 1), (&mark, 0), (&mark, 3)], 4);
        let pieces: Vec<_> =
            bar.pieces.iter().map(|piece| (piece.x.as_str(), piece.width.as_str())).collect();
        assert_eq!(pieces, [("0.000", "25.000"), ("25.000", "75.000")]);
    }
}
