//! An answer that goes on and on: server-sent events for one subscriber.

use std::convert::Infallible;
use std::future::Future;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::environment_id;
use crate::live_environment::LiveEnvironment;

/// Whoever has a stream.
pub(crate) trait Subscriber: Send + 'static {
    /// What is sent next; none at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// The answer that sends a subscriber what there is for it.
pub(crate) fn answer(live: &LiveEnvironment, subscriber: impl Subscriber) -> Response {
    let mut answer = of_no_environment(subscriber);
    answer.headers_mut().extend(environment_id(live));
    answer
}

/// The same where there is no one environment.
pub(crate) fn of_no_environment(subscriber: impl Subscriber) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
        // Some proxies hold back what they are not told to pass on at once.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let body = futures_util::stream::unfold(subscriber, |mut subscriber| async move {
        let chunk = subscriber.next().await?;
        Some((Ok::<_, Infallible>(chunk), subscriber))
    });
    (headers, Body::from_stream(body)).into_response()
}
