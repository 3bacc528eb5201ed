//! A batch of events, from whoever has an environment's key or ID.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use flagstaff_wire::received::check_batch;

use super::body::{BODY_LIMIT, INFLATED_LIMIT, Limits, receive};
use crate::SharedServing;
use crate::auth::Admission;
use crate::error::ApiError;
use crate::live_environment::{Audience, LiveEnvironment};
use crate::serving::Batch;

const LIMITS: Limits = Limits { sent: BODY_LIMIT, unpacked: INFLATED_LIMIT };

/// `POST /bulk`, and the likes of it: from whoever `E` lets in.
pub(super) async fn bulk<E: Admission>(
    State(serving): State<SharedServing>,
    sender: E,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    take(&serving, sender.live(), E::AUDIENCE, headers, body).await
}

/// Hands the batch on, then answers 202.
pub(super) async fn take(
    serving: &SharedServing,
    environment: &Arc<LiveEnvironment>,
    audience: Audience,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let (body, count) = receive(&headers, body, LIMITS, check).await?;
    if count > 0 {
        let batch = Batch { environment: environment.clone(), audience, headers, body, count };
        serving.events.take(batch).await?;
        serving.metrics.events_taken(count);
    }
    Ok(StatusCode::ACCEPTED)
}

fn check(body: &[u8]) -> Result<usize, ApiError> {
    check_batch(body).map_err(|error| ApiError::bad_request(error.to_string()))
}
