//! What an SDK reports of itself, server, mobile or browser.
//!
//! Kept is which SDK in which version reported last, so that a dashboard can say what is connected.
//! Its configuration and its figures are not: nothing in the service reads them.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::body::receive;
use crate::auth::Admission;
use crate::error::ApiError;
use crate::store::analytics::instance::SdkInstance;
use crate::{SharedApp, now_ms};

/// Reports are small; a longer one is none.
const LIMIT: usize = 256 * 1024;

/// No id, name or version is longer.
const LONGEST: usize = 256;

/// `POST /diagnostic`, and the likes of it, from whoever `E` lets in: notes the report, then answers 202.
pub(super) async fn diagnostic<E: Admission>(
    State(app): State<SharedApp>,
    sender: E,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let (_, instance) = receive(&headers, body, read).await?;
    if let Some(instance) = instance {
        app.analytics.note_instance(sender.live().id(), instance).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

/// The program that reports; none if it does not say which it is.
fn read(body: &[u8]) -> Result<Option<SdkInstance>, ApiError> {
    if body.len() > LIMIT {
        return Err(ApiError::too_large(LIMIT));
    }
    if body.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("the body is empty; send a JSON object"));
    }
    let report: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not a diagnostic event: {error}")))?;
    if !report.is_object() {
        return Err(ApiError::bad_request("the body is not a diagnostic event: it is no JSON object"));
    }
    let text = |path: &str| {
        let text = report.pointer(path).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|character| *character != '\0').take(LONGEST).collect::<String>()
    };
    let instance_id = text("/id/diagnosticId");
    if instance_id.is_empty() {
        return Ok(None);
    }
    let (wrapper, wrapper_version) = (text("/sdk/wrapperName"), text("/sdk/wrapperVersion"));
    let now = now_ms();
    Ok(Some(SdkInstance {
        instance_id,
        name: text("/sdk/name"),
        version: text("/sdk/version"),
        wrapper: if wrapper_version.is_empty() { wrapper } else { format!("{wrapper}/{wrapper_version}") },
        first_seen_ms: now,
        last_seen_ms: now,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn report_names_the_sdk() {
        let report = json!({"kind": "diagnostic-init", "id": {"diagnosticId": "d1", "sdkKeySuffix": "abcdef"},
            "sdk": {"name": "python-server-sdk", "version": "9.1.0", "wrapperName": "w", "wrapperVersion": "2"}});
        let instance = read(report.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(
            (&*instance.instance_id, &*instance.name, &*instance.version, &*instance.wrapper),
            ("d1", "python-server-sdk", "9.1.0", "w/2")
        );
    }

    #[test]
    fn report_of_nobody_is_passed_over_and_no_report_is_refused() {
        assert_eq!(read(b"{\"kind\":\"diagnostic\",\"id\":7}").unwrap(), None);
        for body in ["", " ", "[]", "{", "null"] {
            assert_eq!(read(body.as_bytes()).unwrap_err().status(), StatusCode::BAD_REQUEST, "{body:?}");
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LIMIT));
        assert_eq!(read(long.as_bytes()).unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
