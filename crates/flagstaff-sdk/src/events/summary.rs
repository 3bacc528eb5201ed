//! Adds the counts up to what is sent.

use std::collections::BTreeSet;

use flagstaff_eval::Value;
use flagstaff_wire::summary::{Counter, FlagSummary, Summary};

use super::Events;
use super::counters::FlagCounts;
use super::loose::LooseFlag;
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
    for FlagCounts { flag, default, kinds, counts } in counted.flags {
        let entry = entry_of(&mut summary, flag.key(), &default, kinds);
        for (variation, count) in counts {
            let value = variation.and_then(|variation| flag.variations().get(variation)).unwrap_or(&default);
            add(entry, variation, Some(flag.version()), value, count);
        }
    }
    for (key, LooseFlag { default, kinds, counts }) in loose {
        let entry = entry_of(&mut summary, &key, &default, kinds);
        for loose in counts {
            add(entry, loose.variation, loose.version, &loose.value, loose.count);
        }
    }
    summary
}

/// What is said of a flag. The first default that was noted counts.
fn entry_of<'s>(
    summary: &'s mut Summary,
    flag_key: &str,
    default: &Value,
    kinds: BTreeSet<String>,
) -> &'s mut FlagSummary {
    let entry = summary
        .features
        .entry(flag_key.to_owned())
        .or_insert_with(|| FlagSummary { default: default.clone(), ..FlagSummary::default() });
    entry.context_kinds.extend(kinds);
    entry
}

/// Adds a count to that of the same variation and version, if there is one: a version that came
/// twice, after the stream was opened again, has counters of its own each time.
fn add(entry: &mut FlagSummary, variation: Option<usize>, version: Option<u64>, value: &Value, count: u64) {
    let same = |known: &&mut Counter| known.variation == variation && known.version == version;
    match entry.counters.iter_mut().find(same) {
        Some(known) => known.count += count,
        None => entry.counters.push(Counter {
            variation,
            version,
            unknown: version.is_none(),
            value: value.clone(),
            count,
        }),
    }
}
