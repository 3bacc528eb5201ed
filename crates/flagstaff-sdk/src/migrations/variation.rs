//! Asks for the stage, and reports what was done at it.

use flagstaff_eval::{Detail, ErrorKind, PreparedFlag, Reason, Value};

use super::tracker::Ratios;
use super::{MigrationOpTracker, Stage};
use crate::big_segments::Gathered;
use crate::client::Client;
use crate::context::EventContext;
use crate::data_store::Unreadable;
use crate::evaluation::Question;
use crate::hooks::Asked;
use crate::hooks::method::MIGRATION_VARIATION;
use crate::log::LogLevel;
use crate::value::VariationDetail;

impl Client {
    /// The stage of a migration for a context, and what takes down what is done at it.
    ///
    /// Never fails: an unknown flag, a client that is not ready, a value that is no
    /// stage all give `default_stage`; [`MigrationOpTracker::detail`] says why. A default that is
    /// text is best read by `text.parse().unwrap_or_default()`: what is no stage becomes `off`.
    pub fn migration_variation<C>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
    ) -> (Stage, MigrationOpTracker)
    where
        C: EventContext + ?Sized,
    {
        self.stage(key, context, default_stage, None, None)
    }

    /// As [`Client::migration_variation`], for asynchronous code: a database that is not in memory is
    /// awaited, on any executor, and no thread waits for it.
    pub async fn migration_variation_async<C>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
    ) -> (Stage, MigrationOpTracker)
    where
        C: EventContext + ?Sized,
    {
        let read = self.read_ahead(key).await;
        let gathered = self.gather_ahead(key, context).await;
        self.stage(key, context, default_stage, Some(read), gathered.as_ref())
    }

    /// `read` and `gathered` are what databases said, if they were asked before.
    fn stage<C>(
        &self,
        key: &str,
        context: &C,
        default_stage: Stage,
        read: Option<Result<(), Unreadable>>,
        gathered: Option<&Gathered>,
    ) -> (Stage, MigrationOpTracker)
    where
        C: EventContext + ?Sized,
    {
        let default = &default_stage.as_str();
        let asked = Asked { method: MIGRATION_VARIATION, flag_key: key, context, default };
        let series = self.begin_series(&asked);
        let (with_reason, accepts) = (false, Value::is_string);
        let question = Question { flag_key: key, context, default, with_reason, accepts, read, gathered };
        let (mut detail, version, ratios) = self.answer_with_flag(&question, &mut |_| {}, |detail, flag| {
            let version = flag.map(PreparedFlag::version);
            let ratios = Ratios {
                sampling: flag.map_or(1, PreparedFlag::sampling_ratio),
                check: flag.map_or(1, PreparedFlag::check_ratio),
            };
            (self.stage_of(key, detail, default_stage), version, ratios)
        });
        if let Some(series) = series {
            let stage = Value::from(detail.value.as_str());
            detail.reason = series.end(Some(&stage), detail.variation_index, detail.reason);
        }
        let context = context.to_context();
        (detail.value, MigrationOpTracker::new(key, version, context, default_stage, detail, ratios))
    }

    /// Reports one step of a migration. What does not add up is logged and not reported.
    pub fn track_migration_op(&self, tracker: MigrationOpTracker) {
        let shared = self.shared();
        let Some(events) = shared.reporting() else { return };
        let flag_key = tracker.flag_key().to_owned();
        match tracker.event() {
            Ok(event) => events.migration_op(event),
            Err(problem) => shared.log.write(
                LogLevel::Error,
                format_args!("a step of the migration `{flag_key}` is not reported: {problem}"),
            ),
        }
    }

    /// What the tracker says of the evaluation: a value that is no stage is of the wrong type.
    fn stage_of(&self, key: &str, detail: Detail<'_>, default_stage: Stage) -> VariationDetail<Stage> {
        let defaulted = |reason| VariationDetail { value: default_stage, variation_index: None, reason };
        // No value: the evaluation failed, or gave no variation, and says why.
        let Some(text) = detail.value.and_then(Value::as_str) else {
            return defaulted(detail.reason.into_owned());
        };
        match text.parse() {
            Ok(value) => VariationDetail {
                value,
                variation_index: detail.variation_index,
                reason: detail.reason.into_owned(),
            },
            Err(problem) => {
                self.shared().log.once(
                    LogLevel::Error,
                    format_args!("flag `{key}` steers a migration: {problem}; its default is served"),
                );
                defaulted(Reason::from(ErrorKind::WrongType))
            }
        }
    }
}
