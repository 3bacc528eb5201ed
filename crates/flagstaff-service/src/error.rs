//! Turns what went wrong in a room into an answer. Only this file knows status codes.
//!
//! Every error answer of the JSON faces is `{"id", "code", "message"}`: `id` is a fresh UUID that also
//! stands in the log where something is logged, `code` is for programs, `message` is one sentence.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::analytics::AnalyticsError;
use crate::auth::Forbidden;
use crate::live_environment::NotInitialized;
use crate::management::ChangeError;
use crate::store::StoreError;
use crate::store::health::Fault;

/// An error as it is answered. Rooms make their own errors; this is made from them at the door.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    /// What the writer has to look at to try again: the current state, after a conflict.
    current: Option<Value>,
    retry_after_seconds: Option<u64>,
    /// The cause, for the log; never answered.
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Serialize)]
struct Body<'a> {
    id: Uuid,
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<&'a Value>,
}

impl ApiError {
    /// An error with this status, code and sentence.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            current: None,
            retry_after_seconds: None,
            cause: None,
        }
    }

    /// 400: the request cannot be understood or breaks a rule.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// 401: nobody we know.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404: no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 405: not by this method.
    pub fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 409: against the state as it is.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 413: larger than this limit in bytes.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than the limit of {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// 429: try again after so many seconds.
    pub fn too_many(message: impl Into<String>, retry_after_seconds: u64) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
        error.retry_after_seconds = Some(retry_after_seconds);
        error
    }

    /// 503: too busy; try again after so long.
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message);
        error.retry_after_seconds = Some(retry_after.as_secs());
        error
    }

    /// 500: our fault. The cause goes to the log, under the id that the answer names.
    pub fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        let message = "the service could not do this; the log says why, under this id";
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_service_error", message);
        error.cause = Some(Box::new(cause));
        error
    }

    /// The same error, showing the state that the writer has to look at.
    #[must_use]
    pub fn with_current(mut self, current: Value) -> Self {
        self.current = Some(current);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// One sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Logs the cause, if it is ours, and gives the id under which it stands there.
    pub fn report(&self) -> Uuid {
        let id = Uuid::new_v4();
        if let Some(cause) = &self.cause {
            tracing::error!(%id, "{}", chain(cause.as_ref()));
        }
        id
    }
}

/// An error with everything behind it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Some libraries repeat the cause in their own words.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let id = self.report();
        let body = Body { id, code: &self.code, message: &self.message, current: self.current.as_ref() };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<NotInitialized> for ApiError {
    fn from(error: NotInitialized) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_initialized", error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if let Some(fault) = error.fault() {
            return fault.into();
        }
        if let StoreError::WrongChecksum { .. } = &error {
            tracing::error!("{}", chain(&error));
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", error.to_string());
        }
        if error.is_about_nul() {
            return Self::bad_request("a NUL character cannot stand in a text; leave it out");
        }
        if error.is_unavailable() {
            tracing::warn!("answering 503: {}", chain(&error));
            let message = "the database does not answer; try again in a moment";
            let mut unavailable = Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", message);
            unavailable.retry_after_seconds = Some(1);
            return unavailable;
        }
        Self::internal(error)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, fault.code(), fault.message())
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::Forbidden(_) => Self::forbidden(message),
            ChangeError::Unknown { .. } => Self::not_found(message),
            ChangeError::Duplicate { .. }
            | ChangeError::InUse { .. }
            | ChangeError::ImportGoesOn { .. }
            | ChangeError::TestFailed { .. } => Self::conflict(message),
            ChangeError::VersionConflict { current, .. } => {
                Self::new(StatusCode::CONFLICT, "optimistic_locking_error", message)
                    .with_current(serde_json::json!({"version": current}))
            }
            ChangeError::Invalid { .. } | ChangeError::CommentRequired { .. } => Self::bad_request(message),
            ChangeError::Store(error) => error.into(),
            ChangeError::Analytics(error) => error.into(),
        }
    }
}

impl From<Forbidden> for ApiError {
    fn from(error: Forbidden) -> Self {
        Self::forbidden(error.to_string())
    }
}

impl From<AnalyticsError> for ApiError {
    fn from(error: AnalyticsError) -> Self {
        let unavailable = |code, message| Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        if let Some(fault) = error.fault() {
            return fault.into();
        }
        match error {
            AnalyticsError::Store(error) => error.into(),
            AnalyticsError::Countries(_) | AnalyticsError::Panicked => Self::internal(error),
            AnalyticsError::NotStored { .. } => {
                unavailable("not_stored", "the events could not be stored; send them again")
            }
            AnalyticsError::Stopped => unavailable("stopping", "the service is stopping; send this again"),
        }
    }
}
