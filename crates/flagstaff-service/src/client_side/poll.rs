//! All values for one context at once.
//!
//! The same question at the same version of the environment has the same answer, so an ETag is known
//! before anything is evaluated.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use flagstaff_wire::all_flags::AllFlags;

use super::viewer::Viewer;
use crate::SharedApp;
use crate::delivery::poll::{
    WORTH_COMPRESSING, compressed, json, json_compressed, matches, takes_gzip, unchanged,
};

/// `…/evalx/…`: values with all that an SDK has to know.
pub(super) async fn evaluations(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    viewer: Viewer,
) -> Response {
    answer(&app, &headers, &viewer, |all, version| serde_json::to_vec(&all.evaluations(version)))
}

/// `…/eval/…`: values alone, for SDKs of long ago.
pub(super) async fn values(State(app): State<SharedApp>, headers: HeaderMap, viewer: Viewer) -> Response {
    answer(&app, &headers, &viewer, |all, _| serde_json::to_vec(&all.values()))
}

fn answer(
    app: &SharedApp,
    headers: &HeaderMap,
    viewer: &Viewer,
    write: impl FnOnce(&AllFlags<'_>, u64) -> serde_json::Result<Vec<u8>>,
) -> Response {
    let (version, data) = viewer.live.evaluable();
    let tag = format!("{}-{version}-{}", viewer.live.about().environment.lineage, viewer.question);
    if matches(headers, &tag) {
        return unchanged(&viewer.live, &tag);
    }
    let body = write(&viewer.see(&data), version);
    let body = body.unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
    app.metrics.evaluated_for_client();
    if body.len() < WORTH_COMPRESSING || !takes_gzip(headers) {
        return json(&viewer.live, &tag, body.into());
    }
    json_compressed(&viewer.live, &tag, compressed(&body))
}
