//! A relay: environments of an upstream service, served on to SDKs near by.
//!
//! Upstream is reached as an SDK would, one client for each environment; downstream is served by the rooms
//! of the service. What stands between is one step: what a client receives becomes the live environment.
//!
//! | File | What it is about |
//! |---|---|
//! | [`config`] | what a relay is started with |
//! | [`auto_config`], [`archive`] | the two ways to be told of environments while it runs: by upstream, by a file |
//! | [`relay`] | how it starts and stops, and which environments it has |
//! | [`environment`] | one environment: received from upstream, served downstream |
//! | [`database`] | the databases that it is written to, for programs in daemon mode |
//! | [`big_segments`] | who is in segments too large to be sent, copied into that database |
//! | [`events`] | what SDKs report, forwarded |
//! | `goals` | what browsers are to report |
//! | [`status`] | `/status` |

pub mod archive;
pub mod auto_config;
pub mod big_segments;
pub mod config;
pub mod database;
pub mod environment;
pub mod events;
mod goals;
pub mod relay;
mod served;
pub mod status;
mod told;

pub use auto_config::AutoConfig;
pub use config::Config;
pub use relay::{Relay, Running, SharedRelay, StartError};
pub use served::Template;
