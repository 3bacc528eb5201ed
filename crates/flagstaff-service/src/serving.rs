//! What every process needs that serves environments to SDKs: the service, and a relay.
//!
//! [`Serving`] is the state of the handlers in [`crate::delivery`], [`crate::client_side`] and
//! [`crate::ingest`], as [`SharedServing`]. Where the environments come from, and where events go, is the
//! business of whoever made it: the one fills [`Serving::live`], the other is [`Serving::events`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ServingConfig;
use crate::delivery::stay::Stay;
use crate::error::ApiError;
use crate::listen::Whom;
use crate::live_environment::{self, Audience, LiveEnvironment, LiveEnvironments};
use crate::metrics::{Metrics, StreamKind};
use crate::occupancy::Occupancy;
use crate::peer::Peer;
use crate::tls::Tls;
use crate::{listen, metrics, tls};

/// The state of every handler that serves SDKs: `State(serving): State<SharedServing>`.
pub type SharedServing = Arc<Serving>;

/// What every process needs that serves environments to SDKs.
#[derive(Debug)]
pub struct Serving {
    /// How they are served.
    pub config: ServingConfig,
    /// Every environment as it is now.
    pub live: LiveEnvironments,
    /// Where events go.
    pub events: Arc<dyn Events>,
    /// What connections are encrypted with, if they are.
    pub tls: Option<Tls>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Who takes up how much.
    pub occupancy: Arc<Occupancy>,
    /// Cancelled when the process is asked to stop: streams and background work end then.
    pub stopping: CancellationToken,
    /// Background work that is waited for at the end: `serving.tasks.spawn(...)`.
    pub tasks: TaskTracker,
}

/// Where events go.
pub trait Events: std::fmt::Debug + Send + Sync {
    /// Takes a batch. Without an error it may be forgotten here.
    fn take(&self, batch: Batch) -> Taken<'_>;

    /// Takes what an SDK says of itself.
    fn report(&self, report: Report) -> Taken<'_>;
}

/// Whether events were taken, once that is known.
pub type Taken<'a> = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

/// A batch of events: a JSON array of at least one object.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose events they are.
    pub environment: Arc<LiveEnvironment>,
    /// Who sent them.
    pub audience: Audience,
    /// What came with them: the schema, the payload's id, and more.
    pub headers: HeaderMap,
    /// The array, not compressed.
    pub body: Bytes,
    /// How many events are in it.
    pub count: usize,
}

/// What an SDK says of itself: a JSON object.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where it is used.
    pub environment: Arc<LiveEnvironment>,
    /// What kind of SDK it is.
    pub audience: Audience,
    /// What came with it.
    pub headers: HeaderMap,
    /// The object.
    pub report: Value,
    /// The same as it was written, not compressed.
    pub body: Bytes,
}

impl Serving {
    /// No request is taken before [`Listening::start`].
    pub fn new(
        config: ServingConfig,
        tls: Option<Tls>,
        live: LiveEnvironments,
        events: Arc<dyn Events>,
    ) -> Self {
        Self {
            occupancy: Arc::new(Occupancy::new(&config.limits)),
            config,
            live,
            events,
            tls,
            metrics: Metrics::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes a certificate that was replaced over now, which would happen by itself a little later.
    pub fn look_at_certificate(&self) {
        if let Some(tls) = &self.tls {
            tls.look();
        }
    }
}

/// A stream of somebody else's that is passed on here: it counts as one of ours, until it is let go.
pub struct PassedOn(Stay);

impl PassedOn {
    /// Begins to pass on members of big segments to somebody who came with what may be `revoked`.
    ///
    /// # Errors
    /// 429 if there are as many streams as there may be.
    pub fn begin(
        serving: &SharedServing,
        live: &LiveEnvironment,
        revoked: CancellationToken,
        peer: Peer,
    ) -> Result<Self, ApiError> {
        Stay::begin(serving, live, (StreamKind::Members, Audience::Server), revoked, peer).map(Self)
    }

    /// Comes to pass when it is to end.
    pub async fn over(&self) {
        self.0.over().await;
    }
}

/// An address that is ours, where no request is taken yet.
#[derive(Debug)]
pub struct Bound {
    requests: TcpListener,
    /// For `/metrics` alone.
    metrics: Option<TcpListener>,
}

impl Bound {
    /// Takes the address. Before anything is written: one that is taken should leave no trace.
    ///
    /// # Errors
    /// If it is taken, or not ours to take.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { requests: listen::bind(address)?, metrics: None })
    }

    /// Takes another address, for `/metrics` alone.
    ///
    /// # Errors
    /// If it is taken, or not ours to take.
    pub fn with_metrics_at(self, address: SocketAddr) -> io::Result<Self> {
        Ok(Self { metrics: Some(listen::bind(address)?), ..self })
    }
}

/// Requests are taken.
#[derive(Debug)]
pub struct Listening {
    serving: SharedServing,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

impl Listening {
    /// Takes requests from now on.
    pub fn start(serving: SharedServing, bound: Bound, router: Router) -> Self {
        let address = bound.requests.local_addr().unwrap_or(serving.config.listen);
        let metrics_address = bound.metrics.as_ref().and_then(|listener| listener.local_addr().ok());
        serving.tasks.spawn(tls::follow(serving.clone()));
        serving.tasks.spawn(live_environment::expire_keys(serving.clone()));
        let mut accepting =
            vec![tokio::spawn(listen::serve(serving.clone(), bound.requests, router, Whom::Anybody))];
        if let Some(listener) = bound.metrics {
            let router = metrics::router(&serving);
            accepting.push(tokio::spawn(listen::serve(serving.clone(), listener, router, Whom::Watchers)));
        }
        Self { serving, address, metrics_address, accepting }
    }

    /// Where requests are taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics` is answered, if that is elsewhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The base of the addresses.
    pub fn base_url(&self) -> String {
        let scheme = if self.serving.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Stops in order: no new connections, streams closed, requests in flight answered within
    /// [`ServingConfig::drain`].
    pub async fn stop(self) {
        self.serving.stopping.cancel();
        for accepting in self.accepting {
            if let Err(error) = accepting.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        self.serving.tasks.close();
        if tokio::time::timeout(self.serving.config.drain, self.serving.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time and are cut off");
        }
    }
}
