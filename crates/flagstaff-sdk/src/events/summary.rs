//! Adds the counts up to what is sent.

use flagstaff_wire::summary::{Counter, FlagSummary, Summary};

use super::Events;
use crate::clock::now_ms;
use crate::fork;

/// Takes everything that was counted.
pub(super) fn take(events: &Events) -> Summary {
    let (counted, loose) = {
        let _unforked = fork::guard();
        (events.counters.take(), events.loose.take())
    };
    // A count is made after its stamp, so there is a stamp; unless the counts were taken in between,
    // and then the count was made just now.
    let (start_date_ms, end_date_ms) = counted.span.unwrap_or_else(|| (now_ms(), now_ms()));
    let mut summary = Summary { start_date_ms, end_date_ms, ..Summary::default() };
    for flag in counted.flags {
        let entry = summary
            .features
            .entry(flag.flag.key().to_owned())
            .or_insert_with(|| FlagSummary { default: flag.default.clone(), ..FlagSummary::default() });
        entry.context_kinds.extend(flag.kinds);
        entry.counters.extend(flag.counts.into_iter().map(|(variation, count)| {
            Counter {
                variation,
                version: Some(flag.flag.version()),
                unknown: false,
                value: variation
                    .and_then(|variation| flag.flag.variations().get(variation))
                    .unwrap_or(&flag.default)
                    .clone(),
                count,
            }
        }));
    }
    for (key, flag) in loose {
        let entry = summary
            .features
            .entry(key.into())
            .or_insert_with(|| FlagSummary { default: flag.default.clone(), ..FlagSummary::default() });
        entry.context_kinds.extend(flag.kinds);
        entry.counters.extend(flag.counts.into_iter().map(|loose| Counter {
            variation: loose.variation,
            version: loose.version,
            unknown: loose.version.is_none(),
            value: loose.value,
            count: loose.count,
        }));
    }
    summary
}
