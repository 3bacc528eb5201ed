//! Which members of big segments changed, told to whoever copies them: a relay.
//!
//! Source: the protocol's *Big segment synchronisation*. A place in the changes is called
//! `LINEAGE:REVISION`; whoever says another, or none, is told everything from the beginning. As each member
//! carries the revision of its last change, and those who were taken out are told as well, this brings any copy
//! up to date, however old it is. The first patch follows whatever place was named, so that it is taken.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use flagstaff_wire::big_segments::{Changes, ListChanges, Patch, reference};
use flagstaff_wire::paths;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use crate::auth::{Lasting, SdkEnvironment};
use crate::delivery::event_stream;
use crate::delivery::stay::Stay;
use crate::delivery::stream::until;
use crate::error::ApiError;
use crate::extract::Asked;
use crate::live_environment::{Audience, LiveEnvironment, MembersChanged};
use crate::metrics::StreamKind;
use crate::peer::Peer;
use crate::store::StoreError;
use crate::store::big_segment::member::List;
use crate::store::big_segment::revision::{self, Revision};
use crate::{SharedApp, SharedServing};

/// A page has about so many members at most, about three quarters of a megabyte.
const MEMBERS_PER_PAGE: usize = 10_000;
/// When a stream looks again for changes that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// The paths of this room.
pub(crate) fn router(app: &SharedApp) -> Router {
    Router::new()
        .route(paths::BIG_SEGMENT_REVISIONS, get(revisions))
        .route(paths::BIG_SEGMENT_STREAM, get(stream))
        .layer(Extension(app.clone()))
        .with_state(app.serving.clone())
}

#[derive(Debug, Deserialize)]
struct Query {
    #[serde(default)]
    after: Option<String>,
}

/// `GET /sdk/big-segments/revisions`: the changes after some place, a page of them; none at the end.
async fn revisions(
    Extension(app): Extension<SharedApp>,
    SdkEnvironment(live): SdkEnvironment,
    Asked(query): Asked<Query>,
) -> Result<Json<Vec<Patch>>, ApiError> {
    let mut place = Place::named(&app, live, query.after.unwrap_or_default()).await?;
    Ok(Json(place.next_page(&app).await?))
}

/// `GET /big-segments`: the changes from now on, or after some place.
async fn stream(
    State(serving): State<SharedServing>,
    Extension(app): Extension<SharedApp>,
    Lasting(SdkEnvironment(live), revoked): Lasting<SdkEnvironment>,
    peer: Peer,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    let stay = Stay::begin(&serving, &live, (StreamKind::Members, Audience::Server), revoked, peer)?;
    // Before anything is read: what changes after this is heard of.
    let changes = live.members_changes();
    let place = match query.after {
        Some(named) => Place::named(&app, live.clone(), named).await?,
        None => Place::now(&app, live.clone()).await?,
    };
    Ok(event_stream::answer(&live, Copier { app, changes, place, stay, step: Step::Greeting }))
}

/// Up to where somebody has the changes of an environment.
struct Place {
    live: Arc<LiveEnvironment>,
    revision: i64,
    /// As it was last named, by them or by us.
    name: String,
}

impl Place {
    /// The place that somebody names; the beginning, if there is no such place.
    async fn named(app: &SharedApp, live: Arc<LiveEnvironment>, name: String) -> Result<Self, StoreError> {
        let head = revision::head(&mut *app.store.read().await?, live.id()).await?;
        let known = name.rsplit_once(':').filter(|(lineage, _)| *lineage == live.about().environment.lineage);
        let known = known.and_then(|(_, revision)| revision.parse().ok());
        let revision = known.filter(|revision| (0..=head).contains(revision)).unwrap_or(0);
        Ok(Self { live, revision, name })
    }

    /// The last one.
    async fn now(app: &SharedApp, live: Arc<LiveEnvironment>) -> Result<Self, StoreError> {
        let revision = revision::head(&mut *app.store.read().await?, live.id()).await?;
        let name = if revision > 0 { name(&live, revision) } else { String::new() };
        Ok(Self { live, revision, name })
    }

    /// The changes after it, with which it moves on.
    async fn next_page(&mut self, app: &SharedApp) -> Result<Vec<Patch>, StoreError> {
        let mut snapshot = app.store.snapshot().await?;
        let page = revision::since(&mut snapshot, self.live.id(), self.revision, MEMBERS_PER_PAGE).await?;
        drop(snapshot);
        Ok(page.into_iter().map(|revision| self.patch(revision)).collect())
    }

    fn patch(&mut self, revision: Revision) -> Patch {
        self.revision = revision.revision;
        let version = name(&self.live, revision.revision);
        Patch {
            environment_id: self.live.about().environment.client_side_id.clone(),
            segment_id: reference(&revision.key, revision.generation),
            previous_version: std::mem::replace(&mut self.name, version.clone()),
            version,
            changes: Changes {
                included: changes(&revision, List::Included),
                excluded: changes(&revision, List::Excluded),
            },
        }
    }
}

fn name(live: &LiveEnvironment, revision: i64) -> String {
    format!("{}:{revision}", live.about().environment.lineage)
}

/// Who is on a list, and who is not any more.
fn changes(revision: &Revision, list: List) -> ListChanges {
    let mut changes = ListChanges::default();
    for (context, state) in &revision.members {
        if state.is_in(list) {
            changes.add.push(context.to_string());
        } else if state.was_in(list) {
            changes.remove.push(context.to_string());
        }
    }
    changes
}

/// Somebody who copies.
struct Copier {
    app: SharedApp,
    changes: Receiver<MembersChanged>,
    place: Place,
    stay: Stay,
    step: Step,
}

enum Step {
    /// So that the other side knows that it is connected.
    Greeting,
    Live,
    Over,
}

impl event_stream::Subscriber for Copier {
    async fn next(&mut self) -> Option<Bytes> {
        match self.step {
            Step::Greeting => {
                self.step = Step::Live;
                return Some(Bytes::from_static(b":\n\n"));
            }
            Step::Live => {}
            Step::Over => return None,
        }
        let heartbeat = self.app.serving.config.heartbeat_interval.map(|interval| Instant::now() + interval);
        loop {
            let retry = match self.place.next_page(&self.app).await {
                Ok(page) if !page.is_empty() => return Some(event(&page)),
                Ok(_) => None,
                Err(error) => {
                    let error = crate::error::chain(&error);
                    tracing::error!(
                        error,
                        "could not read changes of big segments for a relay; trying again"
                    );
                    Some(Instant::now() + RETRY)
                }
            };
            tokio::select! {
                biased;
                end = self.stay.over() => {
                    self.step = Step::Over;
                    return self.stay.farewell(end);
                }
                // Also after some were missed: the changes themselves are read anyway.
                _ = self.changes.recv() => {}
                () = until(retry) => {}
                () = until(heartbeat) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }
}

fn event(page: &[Patch]) -> Bytes {
    let mut out = b"event: patch\ndata: ".to_vec();
    serde_json::to_writer(&mut out, page).unwrap_or_else(|error| unreachable!("a page is JSON: {error}"));
    out.extend_from_slice(b"\n\n");
    out.into()
}
