//! All values for one context at once.
//!
//! The same question at the same version of the environment, with the same members of big segments, has the
//! same answer, so an ETag is known before anything is evaluated.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use flagstaff_wire::all_flags::AllFlags;

use super::evaluation;
use super::viewer::Viewer;
use crate::SharedServing;
use crate::delivery::behind;
use crate::delivery::poll::{
    WORTH_COMPRESSING, compressed, json, json_compressed, matches, takes_gzip, unchanged,
};
use crate::error::ApiError;

/// `…/evalx/…`: values with all that an SDK has to know.
pub(super) async fn evaluations(
    State(serving): State<SharedServing>,
    headers: HeaderMap,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    answer(&serving, &headers, viewer, |all, version, out| all.write_evaluations(version, out)).await
}

/// `…/eval/…`: values alone, for SDKs of long ago.
pub(super) async fn values(
    State(serving): State<SharedServing>,
    headers: HeaderMap,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    answer(&serving, &headers, viewer, |all, _, out| write_values(all, out)).await
}

async fn answer(
    serving: &SharedServing,
    headers: &HeaderMap,
    viewer: Viewer,
    write: fn(&AllFlags<'_>, u64, &mut Vec<u8>),
) -> Result<Response, ApiError> {
    let live = viewer.live.clone();
    behind::catch_up_with(serving, &live, behind::of_poll(&live, headers)).await?;
    let (moment, data) = live.evaluable()?;
    let members = viewer.members(moment, &data).await;
    let tag = format!("{}-{moment}-{}{}", live.lineage(), viewer.question, members.tag());
    if matches(headers, &tag) {
        return Ok(unchanged(&live, &tag));
    }
    serving.metrics.evaluated_for_client();
    let packs = takes_gzip(headers);
    let work = move || {
        let mut body = Vec::new();
        write(&viewer.see(&data, &members), moment.sequence, &mut body);
        if body.len() < WORTH_COMPRESSING || !packs {
            (body.into(), false)
        } else {
            (compressed(&body), true)
        }
    };
    let (body, is_packed) = evaluation::of_flags(live.flag_count(), work).await?;
    let answer = if is_packed { json_compressed } else { json };
    Ok(answer(&live, &tag, body))
}

fn write_values(all: &AllFlags<'_>, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &all.values())
        .unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
}
