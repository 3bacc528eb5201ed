//! A batch of events, from whoever has an environment's key or ID.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use flagstaff_wire::headers::{EVENT_SCHEMA, PAYLOAD_ID, UNSUMMARIZED};
use flagstaff_wire::received::{check_batch, is_unsummarised, schema};
use sha2::{Digest, Sha256};

use super::body::receive;
use crate::auth::Admission;
use crate::error::ApiError;
use crate::live_environment::LiveEnvironment;
use crate::store::EnvironmentId;
use crate::store::analytics::batch::{NewBatch, PayloadHash};
use crate::{SharedApp, now_ms};

/// How long a batch may wait to be stored before its sender is asked to come again.
const STORING: Duration = Duration::from_secs(20);

/// `POST /bulk`, and the likes of it: from whoever `E` lets in.
pub(super) async fn bulk<E: Admission>(
    State(app): State<SharedApp>,
    sender: E,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    take(&app, sender.live(), &headers, body).await
}

/// Stores the batch, then answers 202.
pub(super) async fn take(
    app: &SharedApp,
    environment: &LiveEnvironment,
    headers: &HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let (body, count) = receive(headers, body, check).await?;
    if count == 0 {
        return Ok(StatusCode::ACCEPTED);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let batch = NewBatch {
        environment_id: environment.id().0,
        received_ms: now_ms(),
        unsummarised: is_unsummarised(schema(text(EVENT_SCHEMA)), text(UNSUMMARIZED)),
        payload: headers.get(PAYLOAD_ID).and_then(|id| payload_hash(environment.id(), id.as_bytes())),
        body,
    };
    // A sender that hangs up meanwhile sends the same payload again, and it is stored once.
    match tokio::time::timeout(STORING, app.analytics.store_batch(batch)).await {
        Ok(stored) => stored.map(|_| StatusCode::ACCEPTED).map_err(ApiError::from),
        Err(_) => {
            let message = "events arrive faster than they can be stored; send them again";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message))
        }
    }
}

fn check(body: &[u8]) -> Result<usize, ApiError> {
    check_batch(body).map_err(|error| ApiError::bad_request(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_ids_of_two_environments_are_different() {
        let hash = |environment, id: &str| payload_hash(EnvironmentId(environment), id.as_bytes());
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
        assert_ne!(hash(1, "a"), hash(1, "b"));
        assert_eq!(hash(1, ""), None);
    }
}
