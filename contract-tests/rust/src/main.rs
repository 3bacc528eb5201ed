//! Puts the Rust SDK behind the HTTP interface of the cross-SDK contract tests.
//!
//! Started as `contract-test-service-rust [PORT]` (or with the environment variable `PORT`; 0 picks a
//! free one); the first line on stdout is `listening on http://HOST:PORT`. The interface is section 8
//! of the protocol reference; every capability a server-side SDK can have is claimed.
//!
//! | Room | What stands there |
//! |---|---|
//! | `service` | the five requests, and which client one is for |
//! | `capabilities` | what is claimed |
//! | `parameters` | what the harness sends, as types |
//! | `configure` | a configuration of the SDK from the harness's |
//! | `commands` | what a client is asked to do |
//! | `contexts` | contexts built, converted and compared |
//! | `callbacks` | calls to the harness, which plays the program around the SDK |
//! | `hooks`, `listeners`, `migrations`, `big_segments` | what makes those calls |
//! | `stores`, `data_system` | databases, and second-generation delivery |

mod big_segments;
mod callbacks;
mod capabilities;
mod commands;
mod configure;
mod contexts;
mod data_system;
mod hooks;
mod listeners;
mod migrations;
mod parameters;
mod service;
mod stores;

use std::io::Write as _;

use tracing_subscriber::EnvFilter;

const DEFAULT_PORT: u16 = 9000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off")))
        .with_writer(std::io::stderr)
        .init();
    let port = match std::env::args().nth(1).or_else(|| std::env::var("PORT").ok()) {
        Some(port) => port.parse().map_err(|_| format!("`{port}` is not a port from 0 to 65535"))?,
        None => DEFAULT_PORT,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "listening on http://{address}")?;
        stdout.flush()?;
        service::serve(listener).await
    })?;
    // Calls of clients that were never closed may hang in a thread: they are not waited for.
    runtime.shutdown_background();
    Ok(())
}
