//! What an SDK reports of itself, server, mobile or browser.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::body::{Limits, receive};
use crate::SharedServing;
use crate::auth::Admission;
use crate::error::ApiError;
use crate::serving::Report;

/// Reports are small; a longer one is none.
const LIMITS: Limits = Limits { sent: 256 * 1024, unpacked: 256 * 1024 };

/// `POST /diagnostic`, and the likes of it, from whoever `E` lets in: hands the report on, then answers 202.
pub(super) async fn diagnostic<E: Admission>(
    State(serving): State<SharedServing>,
    sender: E,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let (body, report) = receive(&headers, body, LIMITS, read).await?;
    let report = Report { environment: sender.live().clone(), audience: E::AUDIENCE, headers, report, body };
    serving.events.report(report).await?;
    Ok(StatusCode::ACCEPTED)
}

fn read(body: &[u8]) -> Result<Value, ApiError> {
    if body.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("the body is empty; send a JSON object"));
    }
    let report: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not a diagnostic event: {error}")))?;
    if !report.is_object() {
        return Err(ApiError::bad_request("the body is not a diagnostic event: it is no JSON object"));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_report_is_refused() {
        assert!(read(b"{\"kind\":\"diagnostic\"}").is_ok());
        for body in ["", " ", "[]", "{", "null"] {
            assert_eq!(read(body.as_bytes()).unwrap_err().status(), StatusCode::BAD_REQUEST, "{body:?}");
        }
    }
}
