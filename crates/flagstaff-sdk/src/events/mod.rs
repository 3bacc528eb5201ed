//! What is reported, and how little of it happens on the caller's thread.
//!
//! | File | What it does | On whose thread |
//! |---|---|---|
//! | `counters` | counts of one version of a flag, kept with the flag | the caller's: one addition |
//! | `loose` | counts of what has no flag to keep them with | the caller's, under a lock |
//! | `context_filter` | which contexts were reported lately | the caller's: one look |
//! | `queue` | new contexts and full events, bounded | the caller's, under a short lock |
//! | `summary` | adds the counts up | the client's |
//! | `processor` | decides when to send | the client's |
//! | `sender` | delivers a payload, once more if need be | the client's |
//! | `diagnostics` | reports of the client itself | the client's |
//!
//! Counters belong to [`Events`], not to the data set: a flag that is replaced keeps its counts until
//! they are sent.

mod context_filter;
mod counters;
mod diagnostics;
mod loose;
mod processor;
mod queue;
mod sender;
mod summary;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use flagstaff_eval::{Context, Detail, PreparedFlag, PrerequisiteResult, Value};
use flagstaff_wire::event::{CustomEvent, Event, FeatureEvent};
use flagstaff_wire::migration::MigrationOpEvent;

pub(crate) use diagnostics::Diagnostics;
pub(crate) use processor::run;

use crate::clock::now_ms;
use crate::config::Config;
use crate::context::EventContext;
use crate::fork;
use crate::log::{Log, LogLevel};
use crate::value::EventDefault;
use context_filter::ContextFilter;
use counters::{Counters, shard};
use loose::LooseCounts;
use queue::Queue;

/// Everything that waits to be reported.
pub(crate) struct Events {
    counters: Counters,
    loose: LooseCounts,
    seen: ContextFilter,
    queue: Queue,
    omit_anonymous_contexts: bool,
    /// The service's time when it last took events, Unix milliseconds: debugging ends by its clock too.
    server_time_ms: AtomicI64,
    /// Events that were not delivered, or not even queued, since the last diagnostic report.
    dropped: AtomicU64,
    pub(crate) diagnostics: Diagnostics,
    log: Log,
}

/// One evaluation, for whom, and what was asked.
pub(crate) struct Evaluated<'e, C: ?Sized, D: ?Sized> {
    pub(crate) context: &'e C,
    pub(crate) default: &'e D,
    pub(crate) with_reason: bool,
    pub(crate) now_ms: u64,
}

impl Events {
    pub(crate) fn new(config: &Config, log: Log) -> Self {
        Self {
            counters: Counters::new(),
            loose: LooseCounts::default(),
            seen: ContextFilter::new(config.context_keys_capacity),
            queue: Queue::new(config.events_capacity),
            omit_anonymous_contexts: config.omit_anonymous_contexts,
            server_time_ms: AtomicI64::new(0),
            dropped: AtomicU64::new(0),
            diagnostics: Diagnostics::new(&config.sdk_key),
            log,
        }
    }

    /// Reports an evaluation of a flag. `shared` finds the flag as the data set holds it.
    #[inline]
    pub(crate) fn evaluated<'a, C, D>(
        &self,
        flag: &'a PreparedFlag,
        shared: impl FnOnce() -> Option<&'a Arc<PreparedFlag>>,
        detail: &Detail<'a>,
        of: &Evaluated<'_, C, D>,
    ) where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        let shard = shard();
        self.meet(of.context, of.now_ms, shard);
        if !flag.exclude_from_summaries() {
            self.count(flag, shared, detail, of, shard);
        }
        if flag.track_events()
            || flag.debug_events_until_date().is_some()
            || flag.is_experiment(&detail.reason)
        {
            self.in_full(flag, detail, of, None);
        }
    }

    /// Reports the evaluation of a prerequisite on the way to another flag's value.
    #[cold]
    pub(crate) fn prerequisite<'a, C: EventContext + ?Sized>(
        &self,
        result: &PrerequisiteResult<'a>,
        shared: impl FnOnce() -> Option<&'a Arc<PreparedFlag>>,
        of: &Evaluated<'_, C, ()>,
    ) {
        let flag = result.flag;
        if !flag.exclude_from_summaries() {
            self.count(flag, shared, &result.detail, of, shard());
        }
        self.in_full(flag, &result.detail, of, Some(result.prerequisite_of.key()));
    }

    /// Reports an evaluation of a flag that does not exist, or was not there yet.
    #[cold]
    pub(crate) fn unknown<C, D>(&self, flag_key: &str, of: &Evaluated<'_, C, D>)
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        let shard = shard();
        self.meet(of.context, of.now_ms, shard);
        self.counters.stamp(shard, of.now_ms);
        let default = of.default.to_value();
        let kinds = kinds_of(of.context);
        let _unforked = fork::guard();
        self.loose.count(flag_key, None, None, &default, &default, kinds);
    }

    /// Counts a default that was served to a user without a key. The flag need not exist.
    #[cold]
    pub(crate) fn nobody<D: EventDefault + ?Sized>(&self, flag_key: &str, version: Option<u64>, default: &D) {
        self.counters.stamp(shard(), now_ms());
        let default = default.to_value();
        let _unforked = fork::guard();
        self.loose.count(flag_key, version, None, &default, &default, vec!["user".to_owned()]);
    }

    /// Reports a context, if it was not reported lately.
    #[inline]
    fn meet<C: EventContext + ?Sized>(&self, context: &C, now_ms: u64, shard: usize) {
        if self.omit_anonymous_contexts {
            return self.meet_without_anonymous(context, now_ms, shard);
        }
        if self.seen.contains(&context.canonical_key()) {
            self.counters.deduplicated(shard);
        } else {
            self.introduce(context, now_ms);
        }
    }

    #[cold]
    fn introduce<C: EventContext + ?Sized>(&self, context: &C, now_ms: u64) {
        if self.seen.insert(&context.canonical_key()) {
            self.push(Event::Index { creation_date_ms: now_ms, context: context.to_context() });
        }
    }

    #[cold]
    fn meet_without_anonymous<C: EventContext + ?Sized>(&self, context: &C, now_ms: u64, shard: usize) {
        let Some(context) = self.named(context.to_context()) else { return };
        if self.seen.insert(context.canonical_key()) {
            self.push(Event::Index { creation_date_ms: now_ms, context });
        } else {
            self.counters.deduplicated(shard);
        }
    }

    /// The context without its anonymous members, if those are to be left out.
    fn named(&self, context: Arc<Context>) -> Option<Arc<Context>> {
        let has_anonymous = || context.members().iter().any(|member| member.is_anonymous());
        if self.omit_anonymous_contexts && has_anonymous() {
            return context.without_anonymous().map(Arc::new);
        }
        Some(context)
    }

    #[inline]
    fn count<'a, C, D>(
        &self,
        flag: &'a PreparedFlag,
        shared: impl FnOnce() -> Option<&'a Arc<PreparedFlag>>,
        detail: &Detail<'a>,
        of: &Evaluated<'_, C, D>,
        shard: usize,
    ) where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        self.counters.stamp(shard, of.now_ms);
        let kinds = counters::kinds_mask(of.context);
        if !self.counters.count(flag, detail.variation_index, kinds, shard) {
            self.count_slowly(flag, shared, detail, of, kinds, shard);
        }
    }

    /// The first count of this version of the flag, or since its counts were sent, or with a new kind.
    #[cold]
    fn count_slowly<'a, C, D>(
        &self,
        flag: &'a PreparedFlag,
        shared: impl FnOnce() -> Option<&'a Arc<PreparedFlag>>,
        detail: &Detail<'a>,
        of: &Evaluated<'_, C, D>,
        kinds: u64,
        shard: usize,
    ) where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        // Made before anything is locked: it may call into another language.
        let default = of.default.to_value();
        let names = kinds_of(of.context);
        let _unforked = fork::guard();
        let counted = shared().is_some_and(|shared| {
            let more_kinds: &[String] = if counters::has_more_kinds(kinds) { &names } else { &[] };
            self.counters.note_and_count(shared, detail.variation_index, &default, kinds, more_kinds, shard)
        });
        if !counted {
            // The flag's counters are another client's: both were given the very same flag.
            let value = detail.variation_index.and(detail.value).unwrap_or(&default);
            let (version, index) = (Some(flag.version()), detail.variation_index);
            self.loose.count(flag.key(), version, index, value, &default, names);
        }
    }

    /// A full event, and one for debugging, each if it is due and drawn.
    #[cold]
    fn in_full<C, D>(
        &self,
        flag: &PreparedFlag,
        detail: &Detail<'_>,
        of: &Evaluated<'_, C, D>,
        prerequisite_of: Option<&str>,
    ) where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        let is_experiment = flag.is_experiment(&detail.reason);
        let tracked = (flag.track_events() || is_experiment) && drawn(flag.sampling_ratio());
        let debugged = flag.debug_events_until_date().is_some_and(|until| {
            until > of.now_ms as i64 && until > self.server_time_ms.load(Ordering::Relaxed)
        }) && drawn(flag.sampling_ratio());
        if !tracked && !debugged {
            return;
        }
        let default = of.default.to_value();
        let event = FeatureEvent {
            creation_date_ms: of.now_ms,
            key: flag.key().to_owned(),
            version: Some(flag.version()),
            variation: detail.variation_index,
            value: detail.variation_index.and(detail.value).unwrap_or(&default).clone(),
            default,
            reason: (of.with_reason || is_experiment).then(|| detail.reason.clone().into_owned()),
            prerequisite_of: prerequisite_of.map(str::to_owned),
            sampling_ratio: flag.sampling_ratio(),
            context: of.context.to_context(),
        };
        if debugged {
            self.push(Event::Debug(event.clone()));
        }
        if tracked {
            self.push(Event::Feature(event));
        }
    }

    /// Reports that the program declared a context.
    pub(crate) fn identify(&self, context: Arc<Context>) {
        let Some(context) = self.named(context) else { return };
        self.seen.insert(context.canonical_key());
        self.push(Event::Identify { creation_date_ms: now_ms(), context });
    }

    /// Reports something that happened in the program.
    pub(crate) fn track<C: EventContext + ?Sized>(
        &self,
        key: &str,
        context: &C,
        data: Value,
        metric_value: Option<f64>,
    ) {
        let creation_date_ms = now_ms();
        self.meet(context, creation_date_ms, shard());
        let context = context.to_context();
        self.push(Event::Custom(CustomEvent {
            creation_date_ms,
            key: key.to_owned(),
            data,
            // JSON has no other numbers.
            metric_value: metric_value.filter(|value| value.is_finite()),
            context,
        }));
    }

    /// Reports one step of a migration, if it is drawn. Its context was introduced by the evaluation.
    pub(crate) fn migration_op(&self, event: MigrationOpEvent) {
        if drawn(event.sampling_ratio) {
            self.push(Event::MigrationOp(event));
        }
    }

    fn push(&self, event: Event) {
        let first_lost = {
            let _unforked = fork::guard();
            self.queue.push(event).is_err_and(|first| {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                first
            })
        };
        if first_lost {
            let capacity = self.queue.capacity();
            self.log.write(
                LogLevel::Warn,
                format_args!(
                    "more than {capacity} events wait to be sent; new ones are lost until there is room"
                ),
            );
        }
    }

    /// In a child process: what waited is the parent's to send. The caller holds a fork guard.
    pub(crate) fn forget(&self) {
        self.queue.take();
        self.counters.take();
        self.loose.take();
        self.seen.clear();
        self.dropped.store(0, Ordering::Relaxed);
        self.diagnostics.forget();
    }
}

/// The kinds of all members.
fn kinds_of<C: EventContext + ?Sized>(context: &C) -> Vec<String> {
    let mut kinds = Vec::new();
    context.any_kind(&mut |kind| {
        kinds.push(kind.to_owned());
        false
    });
    kinds
}

/// Whether one in `ratio` is this one.
pub(crate) fn drawn(ratio: i64) -> bool {
    match u64::try_from(ratio) {
        Ok(0) | Err(_) => false,
        Ok(1) => true,
        // Without randomness nothing is left out.
        Ok(ratio) => getrandom::u64().unwrap_or(0).is_multiple_of(ratio),
    }
}
