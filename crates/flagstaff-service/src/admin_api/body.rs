//! Request bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

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

    /// The object that the body is.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.parse("an object", |first| first == b'{')
    }

    /// The list that the body is.
    pub(super) fn read_list<T: DeserializeOwned>(&self) -> Result<Vec<T>, ApiError> {
        self.parse("a list", |first| first == b'[')
    }

    /// The list or the object that the body is.
    pub(super) fn read_list_or_object<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.parse("a list or an object", |first| matches!(first, b'[' | b'{'))
    }

    /// What it begins with is looked at first: else a list would be taken for an object, its elements for
    /// what the object's properties are.
    fn parse<T: DeserializeOwned>(
        &self,
        wanted: &str,
        begins_so: impl Fn(u8) -> bool,
    ) -> Result<T, ApiError> {
        // What is passed over unread has to be text as well.
        let Ok(text) = std::str::from_utf8(&self.bytes) else {
            return Err(ApiError::bad_request("the body is not JSON: it is not UTF-8"));
        };
        let Some(first) = text.trim_ascii_start().bytes().next() else {
            return Err(ApiError::bad_request("the body is empty; send JSON"));
        };
        if begins_so(first) {
            return serde_json::from_str(text).map_err(|error| refused(&error));
        }
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| refused(&error))?;
        Err(ApiError::bad_request(format!("the body is not what it should be: it has to be {wanted}")))
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

fn refused(error: &serde_json::Error) -> ApiError {
    match error.classify() {
        Category::Data => {
            ApiError::bad_request(format!("the body is not what it should be: {}", in_words_of_json(error)))
        }
        _ => ApiError::bad_request(format!("the body is not JSON: {error}")),
    }
}

/// Without the names that our own types have: who sends JSON knows of objects.
pub(super) fn in_words_of_json(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let Some((before, named)) = said.split_once("struct ") else { return said };
    let after = named.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_');
    format!("{before}an object{after}")
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Required, because a browser lets any page send other types with somebody's cookies.
fn is_json(headers: &HeaderMap) -> bool {
    let media = content_type(headers).split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}
