//! How often which variation was served.

use std::collections::{BTreeMap, HashMap};

use super::effects::{is_keepable, minute};
use super::{Analytics, AnalyticsError};
use crate::now_ms;
use crate::store::EnvironmentId;
use crate::store::analytics::count::{self, VariationTotal};

const MINUTE_MS: i64 = 60_000;

/// How long a bucket of a chart is. Buckets begin at whole multiples since 1970, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketSize {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

/// Evaluations by variation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationCounts {
    /// All of them.
    pub total: u64,
    /// By variation index, in its order. None stands for no variation: the caller got its default.
    pub by_variation: BTreeMap<Option<usize>, u64>,
}

/// Evaluations in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins, in Unix milliseconds.
    pub start_ms: i64,
    /// What was counted in it.
    pub counts: EvaluationCounts,
}

/// Why a variation was served, and how often that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonCount {
    /// The kind of the reason, and after a colon what it names: `RULE_MATCH:RULE-ID`.
    pub reason: String,
    /// The variation; none stands for no variation.
    pub variation: Option<usize>,
    /// How often.
    pub count: u64,
}

impl BucketSize {
    /// The length in minutes.
    pub fn minutes(self) -> i64 {
        match self {
            BucketSize::Minute => 1,
            BucketSize::Hour => 60,
            BucketSize::Day => 24 * 60,
        }
    }
}

impl EvaluationCounts {
    /// How often this variation was served.
    pub fn of(&self, variation: usize) -> u64 {
        self.by_variation.get(&Some(variation)).copied().unwrap_or(0)
    }

    fn add(&mut self, (variation, count): VariationTotal) {
        self.total = self.total.saturating_add(count);
        let variation = variation.and_then(|index| usize::try_from(index).ok());
        let of_variation = self.by_variation.entry(variation).or_default();
        *of_variation = of_variation.saturating_add(count);
    }
}

impl Analytics {
    /// Why variations of a flag were served in the last 24 hours, the most frequent first: as far as evaluations
    /// say so, which are those that are reported one by one, with their reason.
    pub async fn reasons_last_day(
        &self,
        environment: EnvironmentId,
        flag_key: &str,
    ) -> Result<Vec<ReasonCount>, AnalyticsError> {
        let since = minute(now_ms()) - 24 * 60;
        let rows = count::reasons_since(&mut *self.read().await?, environment.0, flag_key, since).await?;
        let count = |(reason, (variation, count)): (String, VariationTotal)| ReasonCount {
            reason,
            variation: variation.and_then(|index| usize::try_from(index).ok()),
            count,
        };
        Ok(rows.into_iter().map(count).collect())
    }

    /// Evaluations of every flag in the last 60 minutes, the current one included, by flag key. Flags
    /// that were not evaluated are not in it; flags that do not exist but were asked for are: whoever may send
    /// events may have made up any number of them.
    pub async fn evaluations_last_hour(
        &self,
        environment: EnvironmentId,
    ) -> Result<BTreeMap<String, EvaluationCounts>, AnalyticsError> {
        let since = minute(now_ms()) - 59;
        let rows = count::evaluations_since(&mut *self.read().await?, environment.0, since).await?;
        Ok(by_flag(rows))
    }

    /// As [`Analytics::evaluations_last_hour`], of these flags alone.
    pub async fn evaluations_last_hour_of(
        &self,
        environment: EnvironmentId,
        flag_keys: &[&str],
    ) -> Result<BTreeMap<String, EvaluationCounts>, AnalyticsError> {
        let mut keys: Vec<&str> = flag_keys.iter().copied().filter(|key| is_keepable(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        let since = minute(now_ms()) - 59;
        let rows = count::evaluations_of_these(&mut *self.read().await?, environment.0, &keys, since).await?;
        Ok(by_flag(rows))
    }

    /// Evaluations of one flag from the minute of `from_ms` up to that of `to_ms`, which is not included,
    /// in buckets. Every bucket of the range is there, also those in which nothing happened; a range of
    /// more than 10,000 buckets is cut at its end.
    pub async fn evaluations_of(
        &self,
        environment: EnvironmentId,
        flag_key: &str,
        (from_ms, to_ms): (i64, i64),
        size: BucketSize,
    ) -> Result<Vec<Bucket>, AnalyticsError> {
        const MOST: i64 = 10_000;
        let length = size.minutes();
        let (from, to) = (minute(from_ms), minute(to_ms));
        let first = from.div_euclid(length);
        let last = (to - 1).div_euclid(length).min(first.saturating_add(MOST - 1));
        let mut buckets: Vec<Bucket> = (first..=last)
            .map(|index| Bucket { start_ms: index * length * MINUTE_MS, counts: EvaluationCounts::default() })
            .collect();
        let mut connection = self.read().await?;
        let range = (from, to.min((last + 1).saturating_mul(length)));
        for (start, total) in
            count::evaluations_of(&mut connection, environment.0, flag_key, range, length).await?
        {
            let index = usize::try_from(start / length - first).ok();
            if let Some(bucket) = index.and_then(|index| buckets.get_mut(index)) {
                bucket.counts.add(total);
            }
        }
        Ok(buckets)
    }

    /// When each of these flags was last evaluated, to the minute, by flag key. Flags that never were are
    /// not in it.
    pub async fn last_evaluated(
        &self,
        environment: EnvironmentId,
        flag_keys: &[&str],
    ) -> Result<HashMap<String, i64>, AnalyticsError> {
        let mut connection = self.read().await?;
        let mut last = HashMap::new();
        for key in flag_keys.iter().filter(|key| is_keepable(key)) {
            if let Some(minute) = count::last_evaluation(&mut connection, environment.0, key).await? {
                last.insert((*key).to_owned(), minute * MINUTE_MS);
            }
        }
        Ok(last)
    }

    /// How often a custom event happened since the minute of `since_ms`.
    pub async fn custom_events_since(
        &self,
        environment: EnvironmentId,
        event_key: &str,
        since_ms: i64,
    ) -> Result<u64, AnalyticsError> {
        if !is_keepable(event_key) {
            return Ok(0);
        }
        let mut connection = self.read().await?;
        Ok(count::custom_since(&mut connection, environment.0, event_key, minute(since_ms)).await?)
    }
}

fn by_flag(rows: Vec<(String, VariationTotal)>) -> BTreeMap<String, EvaluationCounts> {
    let mut flags: BTreeMap<String, EvaluationCounts> = BTreeMap::new();
    for (flag, total) in rows {
        flags.entry(flag).or_default().add(total);
    }
    flags
}
