//! Request bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::SharedApp;
use crate::error::ApiError;
use crate::extract::whole_body;

/// A JSON body with the headers it came with. Whatever is wrong with it is said in one sentence.
#[derive(Debug)]
pub(super) struct JsonBody {
    pub(super) headers: HeaderMap,
    bytes: Bytes,
}

impl FromRequest<SharedApp> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        Self::up_to(app.config.body_limit, request).await
    }
}

impl JsonBody {
    /// The body of a request, of at most so many bytes.
    pub(super) async fn up_to(limit: usize, request: Request) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let message = "the body has to be JSON; send `Content-Type: application/json`";
            return Err(ApiError::new(
                axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
            ));
        }
        let bytes = whole_body(&parts.headers, body, limit).await?;
        Ok(Self { headers: parts.headers, bytes })
    }

    /// What the body says.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.bytes.is_empty() {
            return Err(ApiError::bad_request("the body is empty; send JSON"));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                ApiError::bad_request(format!("the body is not what it should be: {error}"))
            }
            _ => ApiError::bad_request(format!("the body is not JSON: {error}")),
        })
    }

    /// Whether the content type has this parameter, `domain-model=...`.
    pub(super) fn has_domain_model(&self, model: &str) -> bool {
        content_type(&self.headers)
            .split(';')
            .skip(1)
            .filter_map(|parameter| parameter.trim().split_once('='))
            .any(|(name, value)| {
                name.eq_ignore_ascii_case("domain-model") && value.trim_matches('"') == model
            })
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Required, because a browser lets any page send other types with somebody's cookies.
fn is_json(headers: &HeaderMap) -> bool {
    let media = content_type(headers).split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}
