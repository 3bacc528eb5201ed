//! The self-hosted service: flags are changed here, served from here, and counted here.
//!
//! The rooms stand in the order in which a change walks through them.
//!
//! | Room | What stands there |
//! |---|---|
//! | [`router`] | every path in one table, pointing at handlers |
//! | [`auth`] | who asks: SDK key, access token, session; what they may |
//! | [`admin_api`] | the JSON face, `/api/v2` |
//! | [`dashboard`] | the HTML face, `/ui/` |
//! | [`avatars`] | pictures of users for it, asked for on the browser's behalf |
//! | [`management`] | the rules for changing flags; both faces call it, nothing else changes one |
//! | [`store`] | all SQL of flags, one file per entity |
//! | [`live_environment`] | one environment as it is now: its data set and its subscribers |
//! | [`big_segments`] | who is in segments too large to be sent: for evaluations here, and for relays |
//! | [`delivery`] | streams and polls to SDKs, `/status` |
//! | [`client_side`] | values to browsers and mobile programs, evaluated here |
//! | [`ingest`] | event batches in |
//! | [`analytics`] | what the events add up to |
//! | [`metrics`] | how much of everything, for monitoring |
//! | [`occupancy`], [`peer`] | who takes up how much room; who is at the other end |
//! | [`tls`] | certificates, replaced while the service runs |
//!
//! [`app::App`] holds what all rooms share and is every handler's state, as [`SharedApp`]. Each room
//! with handlers has a `router()` that [`router`] merges.

pub mod admin_api;
pub mod analytics;
pub mod app;
mod arriving;
pub mod auth;
pub mod avatars;
pub mod big_segments;
pub mod client_side;
mod clock;
pub mod config;
pub mod dashboard;
pub mod delivery;
pub mod error;
mod extract;
pub mod ingest;
mod listen;
pub mod live_environment;
pub mod management;
pub mod metrics;
pub mod occupancy;
pub mod peer;
pub mod router;
pub mod serving;
pub mod store;
pub mod tls;

pub use app::{App, Running, SharedApp, StartError};
pub use clock::now_ms;
pub use config::{Config, ServingConfig};
pub use serving::{Serving, SharedServing};
