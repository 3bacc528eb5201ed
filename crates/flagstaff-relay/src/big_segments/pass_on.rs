//! Relays behind this one: what they ask about big segments is asked upstream, under the environment's own key.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flagstaff_sdk::describe_http_error;
use flagstaff_service::auth::{Lasting, SdkEnvironment};
use flagstaff_service::error::ApiError;
use flagstaff_service::peer::Peer;
use flagstaff_service::serving::{PassedOn, SharedServing};
use flagstaff_wire::paths;

use crate::SharedRelay;

/// The paths of relays that synchronise big segments.
pub(crate) fn router(relay: &SharedRelay) -> Router {
    Router::new()
        .route(paths::BIG_SEGMENT_REVISIONS, get(pass_on))
        .route(paths::BIG_SEGMENT_STREAM, get(pass_on))
        .layer(Extension(relay.clone()))
        .with_state(relay.serving.clone())
}

async fn pass_on(
    State(serving): State<SharedServing>,
    Extension(relay): Extension<SharedRelay>,
    Lasting(SdkEnvironment(live), revoked): Lasting<SdkEnvironment>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let environments = relay.environments_now();
    let environment = environments.iter().find(|one| one.live().id() == live.id());
    let source = environment.map(|one| one.upstream(&relay.config.upstream)).transpose();
    let Some(source) = source.map_err(ApiError::internal)?.flatten() else {
        return Err(ApiError::not_found(
            "this environment has no upstream that could be asked for big segments",
        ));
    };
    let is_stream = uri.path() == paths::BIG_SEGMENT_STREAM;
    let stay = is_stream.then(|| PassedOn::begin(&serving, &live, revoked, peer)).transpose()?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let answer = source.pass_on(uri.path(), uri.query(), accept).await.map_err(|why| away(&why))?;
    let status = answer.status();
    if !status.is_success() {
        // Whoever asks is let in here: what upstream thinks of this relay is not about them.
        return Err(away(&format!("it answered {}", status.as_u16())));
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
    let answer = Answer { answer, stay };
    let body = Body::from_stream(futures_util::stream::unfold(answer, |mut answer| async move {
        Some((answer.next().await?, answer))
    }));
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

/// Upstream's answer, as long as it may be listened to.
struct Answer {
    answer: reqwest::Response,
    /// Of a stream. A page ends by itself.
    stay: Option<PassedOn>,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Bytes, Infallible>> {
        let over = async {
            match &self.stay {
                Some(stay) => stay.over().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = over => None,
            // An answer that breaks off is one that ended: it is seen in what came, and asked for again.
            piece = self.answer.chunk() => match piece {
                Ok(piece) => piece.map(Ok),
                Err(error) => {
                    let error = describe_http_error(&error);
                    tracing::info!(error, "what upstream said about big segments broke off");
                    None
                }
            },
        }
    }
}

fn away(why: &str) -> ApiError {
    let message = format!("upstream cannot be asked for big segments: {why}; try again later");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable", message)
}
