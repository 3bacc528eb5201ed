//! The five requests of the harness, and which client one is for.
//!
//! The SDK's calls may keep their caller waiting (a store, a close), so each runs on a thread for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::callbacks::Caller;
use crate::capabilities::CAPABILITIES;
use crate::commands::Entity;
use crate::configure;
use crate::parameters::{Command, CreateClient};

/// What went wrong, as the harness learns it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request cannot be meant: 400.
    Bad(String),
    /// The SDK did not do it: 500.
    Failed(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Refusal::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, why),
        }
        .into_response()
    }
}

#[derive(Clone)]
struct Service {
    clients: Arc<Mutex<HashMap<u64, Arc<Entity>>>>,
    next: Arc<AtomicU64>,
    caller: Caller,
    quit: Arc<Notify>,
}

impl Service {
    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Entity>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, id: u64) -> Option<Arc<Entity>> {
        self.clients().get(&id).cloned()
    }
}

/// Answers until it is told to quit.
pub(crate) async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let service = Service {
        clients: Arc::default(),
        next: Arc::default(),
        caller: Caller::new().map_err(std::io::Error::other)?,
        quit: Arc::default(),
    };
    let quit = service.quit.clone();
    let router = Router::new()
        .route("/", get(status).post(create).delete(end))
        .route("/clients/{id}", post(command).delete(close))
        .with_state(service);
    axum::serve(listener, router).with_graceful_shutdown(async move { quit.notified().await }).await
}

async fn status() -> Response {
    axum::Json(json!({
        "name": "flagstaff-rust-sdk",
        "clientVersion": env!("CARGO_PKG_VERSION"),
        "capabilities": CAPABILITIES,
    }))
    .into_response()
}

async fn end(State(service): State<Service>) -> StatusCode {
    service.quit.notify_one();
    StatusCode::NO_CONTENT
}

async fn create(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let request: CreateClient = read(&body)?;
    let caller = service.caller.clone();
    let entity = blocking(move || {
        let start = configure::start(&request.configuration, &caller)?;
        Ok(Entity::new(start, caller))
    })
    .await?;
    let id = service.next.fetch_add(1, Ordering::Relaxed) + 1;
    service.clients().insert(id, Arc::new(entity));
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Ok((StatusCode::CREATED, [(LOCATION, format!("http://{host}/clients/{id}"))]).into_response())
}

async fn command(
    State(service): State<Service>,
    Path(id): Path<u64>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Some(entity) = service.client(id) else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let command: Command = read(&body)?;
    let result = blocking(move || entity.run(command)).await?;
    Ok(match result {
        Some(result) => axum::Json(result).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    })
}

async fn close(State(service): State<Service>, Path(id): Path<u64>) -> Result<StatusCode, Refusal> {
    let entity = service.clients().remove(&id);
    let Some(entity) = entity else { return Ok(StatusCode::NOT_FOUND) };
    blocking(move || {
        entity.close();
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Bad(format!("the body cannot be read: {error}")))
}

/// Runs what may wait on a thread that may be kept waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Refusal::Failed(format!("the SDK panicked: {panic}"))),
    }
}
