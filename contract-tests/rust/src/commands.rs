//! What a client is asked to do.

use std::time::Duration;

use flagstaff_sdk::{AllFlagsOptions, Client, Context, VariationDefault, VariationDetail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::callbacks::Caller;
use crate::listeners::Listeners;
use crate::parameters::{Command, ContextBuild, CustomEvent, Evaluate, EvaluateAll, OfContext};
use crate::service::Refusal;
use crate::{contexts, migrations};

/// How long a flush may take: the harness has long given up by then.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// One client of the SDK, and what the harness hung on it.
pub(crate) struct Entity {
    client: Client,
    caller: Caller,
    listeners: Listeners,
}

impl Entity {
    pub(crate) fn new(client: Client, caller: Caller) -> Self {
        Self { client, caller, listeners: Listeners::default() }
    }

    /// Does what is asked for; none if there is nothing to say about it.
    pub(crate) fn run(&self, command: Command) -> Result<Option<Value>, Refusal> {
        let Command { command: name, mut parameters } = command;
        let parameters = parameters.remove(&name).unwrap_or_else(|| json!({}));
        match name.as_str() {
            "evaluate" => self.evaluate(read(parameters)?).map(Some),
            "evaluateAll" => self.evaluate_all(read(parameters)?).map(Some),
            "identifyEvent" => self.identify(read(parameters)?),
            "customEvent" => self.track(read(parameters)?),
            "flushEvents" => {
                // That the service does not answer is no failure of the command.
                self.client.flush_and_wait(FLUSH_TIMEOUT);
                Ok(None)
            }
            "contextBuild" => contexts::build(read::<ContextBuild>(parameters)?).map(Some),
            "contextConvert" => Ok(Some(contexts::convert(&read(parameters)?))),
            "contextComparison" => {
                let pair: crate::parameters::ContextComparison = read(parameters)?;
                contexts::compare(pair.context1, pair.context2).map(Some)
            }
            "secureModeHash" => self.secure_mode_hash(read(parameters)?).map(Some),
            "getBigSegmentStoreStatus" => {
                let status = self.client.big_segment_store_status();
                Ok(Some(json!({"available": status.available, "stale": status.stale})))
            }
            "migrationVariation" => migrations::variation(&self.client, read(parameters)?).map(Some),
            "migrationOperation" => {
                migrations::operation(&self.client, &self.caller, read(parameters)?).map(Some)
            }
            "registerFlagChangeListener" => {
                self.listeners.add(&self.client, &self.caller, read(parameters)?);
                Ok(None)
            }
            "registerFlagValueChangeListener" => {
                self.listeners.add_for_value(&self.client, &self.caller, read(parameters)?)?;
                Ok(None)
            }
            "unregisterListener" => {
                self.listeners.remove(&self.client, &read(parameters)?)?;
                Ok(None)
            }
            unknown => Err(Refusal::Bad(format!("there is no command `{unknown}`"))),
        }
    }

    pub(crate) fn close(&self) {
        self.client.close();
    }

    fn evaluate(&self, parameters: Evaluate) -> Result<Value, Refusal> {
        let Some(context) = contexts::of(parameters.context, parameters.user)? else {
            // What a program does that holds no context: the SDK is not asked.
            let mut answer = json!({"value": parameters.default_value});
            if parameters.detail == Some(true) {
                answer["reason"] = json!({"kind": "ERROR", "errorKind": "USER_NOT_SPECIFIED"});
            }
            return Ok(answer);
        };
        let ask = Ask {
            client: &self.client,
            key: &parameters.flag_key,
            context: &context,
            detail: parameters.detail == Some(true),
        };
        let default = parameters.default_value;
        let mistyped = |default: &Value| Refusal::Bad(format!("`{default}` is no default of that type"));
        Ok(match parameters.value_type.as_deref().unwrap_or("any") {
            "bool" => ask.with(default.as_bool().ok_or_else(|| mistyped(&default))?),
            "int" => {
                let whole = default.as_i64().or_else(|| default.as_f64().map(|number| number as i64));
                ask.with(whole.ok_or_else(|| mistyped(&default))?)
            }
            "double" => ask.with(default.as_f64().ok_or_else(|| mistyped(&default))?),
            "string" => ask.with(default.as_str().ok_or_else(|| mistyped(&default))?),
            "any" => ask.with(default),
            other => return Err(Refusal::Bad(format!("there is no type `{other}`"))),
        })
    }

    fn evaluate_all(&self, parameters: EvaluateAll) -> Result<Value, Refusal> {
        let Some(context) = contexts::of(parameters.context, parameters.user)? else {
            return Ok(json!({"state": {"$flagsState": {}, "$valid": false}}));
        };
        let options = AllFlagsOptions {
            with_reasons: parameters.with_reasons == Some(true),
            client_side_only: parameters.client_side_only == Some(true),
            details_only_for_tracked_flags: parameters.details_only_for_tracked_flags == Some(true),
        };
        Ok(json!({"state": self.client.all_flags_state(&context, options)}))
    }

    fn identify(&self, parameters: OfContext) -> Result<Option<Value>, Refusal> {
        if let Some(context) = contexts::of(parameters.context, parameters.user)? {
            self.client.identify(&context);
        }
        Ok(None)
    }

    /// The SDK takes null data for none, so whether to omit it is no question.
    fn track(&self, parameters: CustomEvent) -> Result<Option<Value>, Refusal> {
        if let Some(context) = contexts::of(parameters.context, parameters.user)? {
            self.client.track(&parameters.event_key, &context, parameters.data, parameters.metric_value);
        }
        Ok(None)
    }

    fn secure_mode_hash(&self, parameters: OfContext) -> Result<Value, Refusal> {
        match contexts::of(parameters.context, parameters.user)? {
            Some(context) => Ok(json!({"result": self.client.secure_mode_hash(&context)})),
            None => Err(Refusal::Bad("that is no context".to_owned())),
        }
    }
}

/// An evaluation, but for the default and so the type.
struct Ask<'a> {
    client: &'a Client,
    key: &'a str,
    context: &'a Context,
    detail: bool,
}

impl Ask<'_> {
    fn with<D>(&self, default: D) -> Value
    where
        D: VariationDefault,
        Value: From<D::Output>,
    {
        if !self.detail {
            return json!({"value": Value::from(self.client.variation(self.key, self.context, default))});
        }
        let VariationDetail { value, variation_index, reason, .. } =
            self.client.variation_detail(self.key, self.context, default);
        let mut answer = json!({"value": Value::from(value), "reason": reason});
        if let Some(index) = variation_index {
            answer["variationIndex"] = json!(index);
        }
        answer
    }
}

fn read<T: DeserializeOwned>(parameters: Value) -> Result<T, Refusal> {
    serde_json::from_value(parameters)
        .map_err(|error| Refusal::Bad(format!("the parameters cannot be read: {error}")))
}
