//! Which part of an environment is asked for.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::Uri;
use serde::Deserialize;

use crate::error::ApiError;
use crate::live_environment::LiveEnvironment;

#[derive(Deserialize)]
struct Asked {
    filter: Option<String>,
}

/// The key of the payload filter in the query.
pub(crate) fn asked_filter(uri: &Uri) -> Result<Option<String>, ApiError> {
    let Query(asked) = Query::<Asked>::try_from_uri(uri)
        .map_err(|error| ApiError::bad_request(format!("the query cannot be read: {error}")))?;
    Ok(asked.filter.filter(|key| !key.is_empty()))
}

/// The part of the environment that the payload filter in the query makes of it; all of it without one.
/// 404 if there is no such filter.
pub(crate) fn filtered(live: Arc<LiveEnvironment>, uri: &Uri) -> Result<Arc<LiveEnvironment>, ApiError> {
    match asked_filter(uri)? {
        None => Ok(live),
        Some(key) => live.filtered(&key).ok_or_else(|| {
            let shown = key.escape_debug();
            ApiError::not_found(format!("there is no payload filter `{shown}` in this environment"))
        }),
    }
}
