//! Where events go in the service: to the disk, to be counted by [`crate::analytics`].

use std::time::Duration;

use axum::http::StatusCode;
use flagstaff_wire::headers::{EVENT_SCHEMA, PAYLOAD_ID, UNSUMMARIZED};
use flagstaff_wire::received::{is_unsummarised, schema};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::analytics::Analytics;
use crate::error::ApiError;
use crate::now_ms;
use crate::serving::{Batch, Events, Report, Taken};
use crate::store::EnvironmentId;
use crate::store::analytics::batch::{NewBatch, PayloadHash};
use crate::store::analytics::instance::SdkInstance;

/// How long a batch may wait to be stored before its sender is asked to come again.
const STORING: Duration = Duration::from_secs(20);

/// No id, name or version of a program is longer.
const LONGEST: usize = 256;

impl Events for Analytics {
    fn take(&self, batch: Batch) -> Taken<'_> {
        Box::pin(async move {
            // A sender that hangs up meanwhile sends the same payload again, and it is stored once.
            match tokio::time::timeout(STORING, self.store_batch(to_store(batch))).await {
                Ok(stored) => stored.map(drop).map_err(ApiError::from),
                Err(_) => {
                    let message = "events arrive faster than they can be stored; send them again";
                    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message))
                }
            }
        })
    }

    /// Kept is which SDK in which version reported last, so that a dashboard can say what is connected. Its
    /// configuration and its figures are not: nothing in the service reads them.
    fn report(&self, report: Report) -> Taken<'_> {
        Box::pin(async move {
            match program(&report.report) {
                Some(program) => Ok(self.note_instance(report.environment.id(), program).await?),
                None => Ok(()),
            }
        })
    }
}

fn to_store(batch: Batch) -> NewBatch {
    let Batch { environment, headers, body, .. } = batch;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    NewBatch {
        environment_id: environment.id().0,
        received_ms: now_ms(),
        unsummarised: is_unsummarised(schema(text(EVENT_SCHEMA)), text(UNSUMMARIZED)),
        payload: headers.get(PAYLOAD_ID).and_then(|id| payload_hash(environment.id(), id.as_bytes())),
        body,
    }
}

/// What tells a payload from others. Senders make their ids themselves, so another environment's are
/// different ones; only a hash is kept, so that a long id costs no more than a short one.
fn payload_hash(environment: EnvironmentId, id: &[u8]) -> Option<PayloadHash> {
    if id.is_empty() {
        return None;
    }
    let digest = Sha256::new().chain_update(environment.0.to_be_bytes()).chain_update(id).finalize();
    digest[..size_of::<PayloadHash>()].try_into().ok()
}

/// The program that reports; none if it does not say which it is.
fn program(report: &Value) -> Option<SdkInstance> {
    let text = |path: &str| {
        let text = report.pointer(path).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|character| *character != '\0').take(LONGEST).collect::<String>()
    };
    let instance_id = text("/id/diagnosticId");
    if instance_id.is_empty() {
        return None;
    }
    let (wrapper, wrapper_version) = (text("/sdk/wrapperName"), text("/sdk/wrapperVersion"));
    let now = now_ms();
    Some(SdkInstance {
        instance_id,
        name: text("/sdk/name"),
        version: text("/sdk/version"),
        wrapper: if wrapper_version.is_empty() { wrapper } else { format!("{wrapper}/{wrapper_version}") },
        first_seen_ms: now,
        last_seen_ms: now,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payload_ids_of_two_environments_are_different() {
        let hash = |environment, id: &str| payload_hash(EnvironmentId(environment), id.as_bytes());
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
        assert_ne!(hash(1, "a"), hash(1, "b"));
        assert_eq!(hash(1, ""), None);
    }

    #[test]
    fn report_names_the_sdk() {
        let report = json!({"kind": "diagnostic-init", "id": {"diagnosticId": "d1", "sdkKeySuffix": "abcdef"},
            "sdk": {"name": "python-server-sdk", "version": "9.1.0", "wrapperName": "w", "wrapperVersion": "2"}});
        let program = program(&report).unwrap();
        assert_eq!(
            (&*program.instance_id, &*program.name, &*program.version, &*program.wrapper),
            ("d1", "python-server-sdk", "9.1.0", "w/2")
        );
    }

    #[test]
    fn report_of_nobody_is_passed_over() {
        assert_eq!(program(&json!({"kind": "diagnostic", "id": 7})), None);
    }
}
