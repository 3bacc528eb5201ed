//! Running the stages of all hooks around one call.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use flagstaff_eval::{Context, Detail, Reason, Value};

use super::registry::Registered;
use super::series::Given;
use super::{EvaluationSeriesContext, HookResult, SeriesData, TrackSeriesContext};
use crate::callbacks::said;
use crate::client::Client;
use crate::context::EventContext;
use crate::evaluation::Question;
use crate::log::{Log, LogLevel};
use crate::value::{EventDefault, VariationDetail};

/// What hooks are told that the client's methods are called.
pub(crate) mod method {
    pub(crate) const VARIATION: &str = "variation";
    pub(crate) const VARIATION_DETAIL: &str = "variation_detail";
    pub(crate) const MIGRATION_VARIATION: &str = "migration_variation";
}

/// What the caller of an evaluation gave.
pub(crate) struct Asked<'q, C: ?Sized, D: ?Sized> {
    pub(crate) method: &'static str,
    pub(crate) flag_key: &'q str,
    pub(crate) context: &'q C,
    pub(crate) default: &'q D,
}

impl Client {
    /// Evaluates, with the hooks around it. Without hooks that costs a look whether there are any.
    #[inline]
    pub(crate) fn answer_in_series<C, D, A, R>(
        &self,
        method: &'static str,
        question: &Question<'_, C, D, A>,
        use_detail: impl FnOnce(Detail<'_>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
        A: Fn(&Value) -> bool,
    {
        if self.hooks().is_empty() {
            self.answer(question, use_detail)
        } else {
            self.answer_with_hooks(method, question, use_detail)
        }
    }

    #[cold]
    fn answer_with_hooks<C, D, A, R>(
        &self,
        method: &'static str,
        question: &Question<'_, C, D, A>,
        use_detail: impl FnOnce(Detail<'_>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
        A: Fn(&Value) -> bool,
    {
        let &Question { flag_key, context, default, .. } = question;
        let asked = Asked { method, flag_key, context, default };
        let series = self.begin_series(&asked);
        // A copy: no hook may keep the data set from being replaced.
        let (value, variation_index, reason) = self.answer(question, |detail| {
            (detail.value.cloned(), detail.variation_index, detail.reason.into_owned())
        });
        let reason = match series {
            Some(series) => series.end(value.as_ref(), variation_index, reason),
            None => reason,
        };
        use_detail(Detail { value: value.as_ref(), variation_index, reason })
    }

    /// Runs the hooks that run before an evaluation; none if there are no hooks.
    pub(crate) fn begin_series<'a, C, D>(&'a self, asked: &'a Asked<'a, C, D>) -> Option<Series<'a>>
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        let shared = self.shared();
        if shared.hooks.is_empty() {
            return None;
        }
        let context = EvaluationSeriesContext {
            flag_key: asked.flag_key,
            method: asked.method,
            environment_id: shared.environment_id.get(),
            given: asked,
            context: OnceCell::new(),
            default_value: OnceCell::new(),
        };
        let before = |hook: &'a Registered| {
            let call = || hook.hook.before_evaluation(&context, SeriesData::default());
            stage(&shared.log, hook, "before the evaluation of flag", asked.flag_key, call)
        };
        let running = shared.hooks.iter().map(|hook| (hook, before(hook).unwrap_or_default())).collect();
        Some(Series { log: &shared.log, context, running })
    }

    /// Runs the hooks of an event that is in the queue.
    #[cold]
    pub(crate) fn after_track<C>(&self, key: &str, context: &C, data: &Value, metric_value: Option<f64>)
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        let environment_id = shared.environment_id.get();
        let series = TrackSeriesContext {
            key,
            context: &context.to_context(),
            data,
            metric_value,
            environment_id: environment_id.as_deref(),
        };
        for hook in shared.hooks.iter() {
            stage(&shared.log, hook, "after event", key, || hook.hook.after_track(&series));
        }
    }
}

impl<C: EventContext + ?Sized, D: EventDefault + ?Sized> Given for Asked<'_, C, D> {
    fn canonical_key(&self) -> Cow<'_, str> {
        self.context.canonical_key()
    }

    fn to_context(&self) -> Arc<Context> {
        self.context.to_context()
    }

    fn default_value(&self) -> Value {
        self.default.to_value()
    }
}

/// An evaluation whose before-stages have run.
pub(crate) struct Series<'a> {
    log: &'a Log,
    context: EvaluationSeriesContext<'a>,
    /// The hooks that it began with, and what each hands on.
    running: Vec<(&'a Registered, SeriesData)>,
}

impl Series<'_> {
    /// Runs the hooks that run after the evaluation, and gives the reason back. No value stands for
    /// the default.
    pub(crate) fn end(
        self,
        value: Option<&Value>,
        variation_index: Option<usize>,
        reason: Reason<'static>,
    ) -> Reason<'static> {
        let series = &self.context;
        let value = value.unwrap_or_else(|| series.default_value());
        let detail = VariationDetail { value, variation_index, reason };
        for (hook, data) in self.running.into_iter().rev() {
            let call = || hook.hook.after_evaluation(series, data, &detail);
            stage(self.log, hook, "after the evaluation of flag", series.flag_key, call);
        }
        detail.reason
    }
}

/// Runs one stage of one hook; none if it failed, which is said once.
fn stage<T>(
    log: &Log,
    hook: &Registered,
    when: &str,
    key: &str,
    call: impl FnOnce() -> HookResult<T>,
) -> Option<T> {
    let name = &hook.name;
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => Some(result),
        Ok(Err(error)) => {
            log.once(LogLevel::Error, format_args!("hook `{name}` failed {when} `{key}`: {error}"));
            None
        }
        Err(panic) => {
            let said = said(&*panic);
            log.once(LogLevel::Error, format_args!("hook `{name}` panicked {when} `{key}`: {said}"));
            None
        }
    }
}
