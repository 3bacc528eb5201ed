//! Code of the program's that runs around evaluations, and after `track`.
//!
//! `series` is what a hook sees, `registry` keeps a client's hooks, `run` runs their stages. Source of
//! the rules, which stand at [`Hook`]: the protocol's *Hooks*.

#[cfg(feature = "otel")]
mod otel;
mod registry;
mod run;
mod series;

use std::error::Error;
use std::sync::Arc;

use flagstaff_eval::Value;

#[cfg(feature = "otel")]
pub use otel::OtelHook;
pub use series::{EvaluationSeriesContext, SeriesData, TrackSeriesContext};

pub(crate) use registry::Hooks;
pub(crate) use run::{Asked, method};

use crate::config::Config;
use crate::value::VariationDetail;

/// What a stage of a hook gives. Any error will do: it is logged.
pub type HookResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs around evaluations, and after `track`. Implement it freely; every stage does nothing unless
/// it is written.
///
/// ```
/// use std::sync::Arc;
/// use flagstaff_sdk::{Client, Config, Context, EvaluationSeriesContext, Hook, HookResult, SeriesData};
/// use flagstaff_sdk::{Value, VariationDetail};
///
/// struct Printing;
///
/// impl Hook for Printing {
///     fn name(&self) -> &str {
///         "printing"
///     }
///
///     fn after_evaluation(
///         &self,
///         series: &EvaluationSeriesContext<'_>,
///         data: SeriesData,
///         detail: &VariationDetail<&Value>,
///     ) -> HookResult<SeriesData> {
///         println!("{} is {} for {}", series.flag_key(), detail.value, series.context_key());
///         Ok(data)
///     }
/// }
///
/// let client = Client::start(Config::new("").offline(true).hook(Arc::new(Printing)))?;
/// client.variation("checkout-redesign", &Context::from_key("user-1")?, false);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | What | Rule |
/// |---|---|
/// | order | before-stages as the hooks were added: of the configuration, of plugins, by [`Client::add_hook`]; after-stages the other way round; `after_track` as they were added |
/// | where | on the caller's thread, within the call, under no lock: a hook may call the client, and a slow one makes evaluations slow |
/// | when | around `variation`, `variation_detail`, their async twins, `evaluate_with` and migrations, whatever the answer is; not for prerequisites and `all_flags_state` |
/// | data | what a before-stage gives goes to the after-stage of the same hook |
/// | failure | an error or a panic is logged; the evaluation goes on, and that hook's after-stage gets no data |
///
/// Several threads may evaluate at once, and a client that a hook keeps does not end when it is dropped.
///
/// [`Client::add_hook`]: crate::Client::add_hook
pub trait Hook: Send + Sync {
    /// What the hook is called in log lines. Asked for once.
    fn name(&self) -> &str;

    /// Runs before an evaluation. `data` is empty; what is given back goes to
    /// [`Hook::after_evaluation`] of this hook, for this evaluation.
    ///
    /// # Errors
    /// Whatever went wrong, for the log. The evaluation goes on.
    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
    ) -> HookResult<SeriesData> {
        let _ = series;
        Ok(data)
    }

    /// Runs after an evaluation. `detail` is what the caller gets: the flag's value, before it is cut
    /// to a whole number if one was asked for, or the default. What is given back is for stages to come.
    ///
    /// # Errors
    /// Whatever went wrong, for the log. The caller gets the value all the same.
    fn after_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
        detail: &VariationDetail<&Value>,
    ) -> HookResult<SeriesData> {
        let _ = (series, detail);
        Ok(data)
    }

    /// Runs after [`Client::track`](crate::Client::track) has put its event into the queue, also if
    /// events are not sent; not once the client is closed.
    ///
    /// # Errors
    /// Whatever went wrong, for the log.
    fn after_track(&self, series: &TrackSeriesContext<'_>) -> HookResult<()> {
        let _ = series;
        Ok(())
    }
}

impl Config {
    /// Adds a [`Hook`], after those that were added before.
    pub fn hook(mut self, hook: Arc<dyn Hook>) -> Self {
        self.hooks.push(hook);
        self
    }
}
