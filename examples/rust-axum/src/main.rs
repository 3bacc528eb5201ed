//! A web service on axum that asks Flagstaff's Rust SDK on each request.
//!
//! | Path | What it answers |
//! |---|---|
//! | `GET /` | the shop for whoever asks: see [`visitor`] for the headers |
//! | `GET /health` | how receiving flags is going; 503 as long as there are none |
//!
//! Ends at Ctrl-C or SIGTERM, once open requests are answered and what was counted is sent. The
//! service of flags is named by FLAGSTAFF_URL, its key by FLAGSTAFF_SDK_KEY, where to listen by SHOP_LISTEN.

use std::error::Error;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use flagstaff_sdk::{Client, Config, Context, ContextError, DataAvailability};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // The SDK says in the log what it cannot do; without a subscriber nobody would hear it.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let config = Config::new(setting("FLAGSTAFF_SDK_KEY", "sdk-demo-production"))
        .base_uri(setting("FLAGSTAFF_URL", "http://127.0.0.1:8030"))
        .application_id("shop");

    // One client for the whole process. Requests are taken at once; until flags come they get defaults,
    // but a short wait spares most of them that.
    let client = Client::start(config)?;
    if !timeout(Duration::from_secs(5), client.ready()).await.unwrap_or(false) {
        eprintln!("no flags yet: requests get defaults until they come");
    }

    let service =
        Router::new().route("/", get(shop)).route("/health", get(health)).with_state(client.clone());
    let listener = TcpListener::bind(setting("SHOP_LISTEN", "127.0.0.1:8040")).await?;
    let stop = told_to_end()?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;

    // Sends the last events, within the time-out of the configuration. Nothing else runs any more, so
    // that it may keep this thread.
    client.close();
    Ok(())
}

/// What the shop looks like for whoever asks.
async fn shop(State(client): State<Client>, headers: HeaderMap) -> Result<Json<Value>, (StatusCode, String)> {
    let visitor = visitor(&headers).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(Json(json!({
        "checkout": if client.variation("checkout-redesign", &visitor, false) { "new" } else { "old" },
        "banner": client.variation("shipping-banner", &visitor, "none"),
        "wishLists": client.variation("wish-lists", &visitor, false),
    })))
}

/// Who asks: `x-user-key` with `x-user-plan` and `x-user-email`, as a proxy in front of the service
/// sets them for whoever signed in; without a key, an anonymous visitor.
fn visitor(headers: &HeaderMap) -> Result<Context, ContextError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(key) = header("x-user-key") else {
        return Context::builder("visitor").anonymous(true).build();
    };
    let mut user = Context::builder(key).private("email");
    for attribute in ["plan", "email"] {
        if let Some(value) = header(&format!("x-user-{attribute}")) {
            user = user.set(attribute, value);
        }
    }
    user.build()
}

/// Whether this process has flags, for whoever decides if it gets requests.
///
/// An outage of the service of flags is no reason to stop: the flags last known are served.
async fn health(State(client): State<Client>) -> (StatusCode, Json<Value>) {
    let status = client.data_source_status();
    let code = match status.data_availability {
        DataAvailability::Defaults => StatusCode::SERVICE_UNAVAILABLE,
        DataAvailability::Cached | DataAvailability::Refreshed => StatusCode::OK,
    };
    let seconds = status.state_since.elapsed().unwrap_or_default().as_secs();
    let body = json!({
        "state": status.state.as_str(),
        "forSeconds": seconds,
        "flags": match status.data_availability {
            DataAvailability::Defaults => "none",
            DataAvailability::Cached => "from before",
            DataAvailability::Refreshed => "received",
        },
        "lastError": status.last_error.map(|error| error.message),
    });
    (code, Json(body))
}

/// Until the process is told to end.
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
