//! What the harness plays for an SDK: flag services, event sinks, callbacks, a proxy; plain or by TLS.
//!
//! Written on bare sockets, so that a test can cut a connection in the middle of a letter and see
//! whether the SDK hangs up.

mod endpoint;
mod http;
mod relay;
mod tls;

pub(crate) use endpoint::{Answer, Endpoint, Live, Log, excerpt};
pub(crate) use http::Request;
pub(crate) use relay::Relay;
pub(crate) use tls::{Authority, Certificate};
