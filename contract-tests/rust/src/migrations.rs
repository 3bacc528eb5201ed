//! Migrations between two endpoints of the harness.

use flagstaff_sdk::migrations::{ExecutionOrder, Migrator, OperationResult, Stage};
use flagstaff_sdk::{Client, Context};
use serde_json::{Value, json};

use crate::callbacks::Caller;
use crate::contexts;
use crate::parameters::{MigrationOperation, MigrationVariation};
use crate::service::Refusal;

pub(crate) fn variation(client: &Client, parameters: MigrationVariation) -> Result<Value, Refusal> {
    let context = context(parameters.context, parameters.user)?;
    // A default that is no stage counts as `off`.
    let default = parameters.default_stage.parse().unwrap_or_default();
    let (stage, _tracker) = client.migration_variation(&parameters.key, &context, default);
    Ok(json!({"result": stage.as_str()}))
}

pub(crate) fn operation(
    client: &Client,
    caller: &Caller,
    parameters: MigrationOperation,
) -> Result<Value, Refusal> {
    let context = context(parameters.context, parameters.user)?;
    let default: Stage = parameters.default_stage.parse().unwrap_or_default();
    let order = match parameters.read_execution_order.as_deref() {
        Some("serial") => ExecutionOrder::Serial,
        Some("random") => ExecutionOrder::Random,
        None | Some("concurrent") => ExecutionOrder::Concurrent,
        Some(other) => return Err(Refusal::Bad(format!("there is no execution order `{other}`"))),
    };
    let call = |endpoint: String| {
        let caller = caller.clone();
        move |payload: &String| ask(&caller, &endpoint, payload)
    };
    let (old, new) = (parameters.old_endpoint, parameters.new_endpoint);
    let mut migrator = Migrator::builder(client)
        .read_execution_order(order)
        .track_latency(parameters.track_latency == Some(true))
        .track_errors(parameters.track_errors == Some(true))
        .write(call(old.clone()), call(new.clone()))
        .read(call(old), call(new));
    if parameters.track_consistency == Some(true) {
        migrator = migrator.compare(|old, new| old == new);
    }
    let migrator = migrator.build();
    let payload = parameters.payload.unwrap_or_default();
    let result = match parameters.operation.as_str() {
        "read" => migrator.read(&parameters.key, &context, default, &payload),
        "write" => migrator.write(&parameters.key, &context, default, &payload).authoritative,
        other => return Err(Refusal::Bad(format!("there is no operation `{other}`"))),
    };
    Ok(json!({"result": told(result)}))
}

/// The value, or what went wrong in its place: that an endpoint fails is no failure of the command.
fn told(result: OperationResult<String, String>) -> String {
    match result.result {
        Ok(value) => value,
        Err(flagstaff_sdk::migrations::Failure::Failed(why)) => why,
        Err(panicked) => panicked.to_string(),
    }
}

fn ask(caller: &Caller, endpoint: &str, payload: &str) -> Result<String, String> {
    let answer = caller.post(endpoint, payload.to_owned())?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("the endpoint answered {status}")),
    }
}

fn context(context: Option<Value>, user: Option<Value>) -> Result<Context, Refusal> {
    contexts::of(context, user)?.ok_or_else(|| Refusal::Bad("that is no context".to_owned()))
}
