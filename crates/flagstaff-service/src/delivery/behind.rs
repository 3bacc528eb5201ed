//! Whoever comes from another node may hold what this one has not heard of yet. Sent what is here, it would go back.
//!
//! So this node looks first. If the database does not know either of what is held, that was lost with an earlier
//! life of the database, and what is here counts. If it cannot be asked, whoever holds more is told to come again, and
//! keeps what it has.

use axum::http::{HeaderMap, StatusCode, header};

use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::{Held, LiveEnvironment, Moment};

/// Catches up with whoever holds what `live` was at that moment, if it is a later one.
///
/// # Errors
/// 503 if that is not possible now.
pub(crate) async fn catch_up_with(
    serving: &SharedServing,
    live: &LiveEnvironment,
    held: Option<Moment>,
) -> Result<(), ApiError> {
    if held.is_none_or(|held| held.sequence <= live.sequence()) || serving.live.look().await {
        return Ok(());
    }
    let message = "this node has not heard yet of changes that you know of; come again";
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "behind", message))
}

/// The moment that a selector of an environment as a whole, or of a part of it, names.
pub(crate) fn of_transfer(held: Held) -> Option<Moment> {
    match held {
        Held::At(moment) => Some(moment),
        Held::Nothing | Held::Other => None,
    }
}

/// The moment that a selector of values names: of whatever question, that says how far the environment was.
pub(crate) fn of_values(live: &LiveEnvironment, basis: Option<&str>) -> Option<Moment> {
    let (payload, moment) = basis?.strip_prefix("(p:")?.strip_suffix(')')?.rsplit_once(':')?;
    payload.strip_prefix(&live.lineage())?.strip_prefix('-')?;
    moment.parse().ok()
}

/// The latest moment that an ETag names of what was polled before.
pub(crate) fn of_poll(live: &LiveEnvironment, headers: &HeaderMap) -> Option<Moment> {
    if !headers.contains_key(header::IF_NONE_MATCH) {
        return None;
    }
    let lineage = live.lineage();
    let texts = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let tags = texts.flat_map(|text| text.split(','));
    let moments = tags.filter_map(|tag| {
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
        tag.strip_prefix(&lineage)?.strip_prefix('-')?.split('-').next()?.parse::<Moment>().ok()
    });
    moments.max_by_key(|moment| moment.sequence)
}
