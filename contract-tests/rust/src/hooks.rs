//! Hooks whose stages the harness looks at.

use flagstaff_sdk::{
    EvaluationSeriesContext, Hook, HookResult, SeriesData, TrackSeriesContext, Value, VariationDetail,
};
use serde_json::{Map, json};

use crate::callbacks::Caller;
use crate::parameters::HookConfig;

pub(crate) struct HarnessHook {
    config: HookConfig,
    caller: Caller,
}

impl HarnessHook {
    pub(crate) fn new(config: HookConfig, caller: Caller) -> Self {
        Self { config, caller }
    }

    /// Tells the harness of a stage, unless that is to fail: then it fails.
    fn tell(&self, stage: &str, mut payload: Value) -> HookResult<()> {
        let error = self.config.errors.as_ref().and_then(|errors| errors.get(stage));
        if let Some(message) = error {
            return Err(message.as_str().unwrap_or("no message").into());
        }
        payload["stage"] = json!(stage);
        self.caller.post_json(&self.config.callback_uri, &payload)?;
        Ok(())
    }
}

impl Hook for HarnessHook {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        mut data: SeriesData,
    ) -> HookResult<SeriesData> {
        const STAGE: &str = "beforeEvaluation";
        self.tell(
            STAGE,
            json!({"evaluationSeriesContext": told(series), "evaluationSeriesData": all_of(&data)}),
        )?;
        let added = self.config.data.as_ref().and_then(|data| data.get(STAGE)).and_then(Value::as_object);
        for (name, value) in added.into_iter().flatten() {
            data = data.with(name.clone(), value.clone());
        }
        Ok(data)
    }

    fn after_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
        detail: &VariationDetail<&Value>,
    ) -> HookResult<SeriesData> {
        self.tell(
            "afterEvaluation",
            json!({
                "evaluationSeriesContext": told(series),
                "evaluationSeriesData": all_of(&data),
                "evaluationDetail": {
                    "value": detail.value,
                    "variationIndex": detail.variation_index,
                    "reason": detail.reason,
                },
            }),
        )?;
        Ok(data)
    }

    fn after_track(&self, series: &TrackSeriesContext<'_>) -> HookResult<()> {
        let mut context = json!({"key": series.key, "context": series.context});
        if !series.data.is_null() {
            context["data"] = series.data.clone();
        }
        if let Some(value) = series.metric_value {
            context["metricValue"] = json!(value);
        }
        if let Some(id) = series.environment_id {
            context["environmentId"] = json!(id);
        }
        self.tell("afterTrack", json!({"trackSeriesContext": context}))
    }
}

fn told(series: &EvaluationSeriesContext<'_>) -> Value {
    let mut told = json!({
        "flagKey": series.flag_key(),
        "context": series.context(),
        "defaultValue": series.default_value(),
        "method": series.method(),
    });
    if let Some(id) = series.environment_id() {
        told["environmentId"] = json!(id);
    }
    told
}

/// Everything in it is JSON that a stage above put there.
fn all_of(data: &SeriesData) -> Map<String, Value> {
    data.names()
        .filter_map(|name| data.get::<Value>(name).map(|value| (name.to_owned(), value.clone())))
        .collect()
}
