//! Calls to the harness, which plays the program around the SDK.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::runtime::Handle;

/// The harness is on this machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Posts to the harness and waits for the answer. For threads that may be kept waiting only.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    runtime: Handle,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Caller {
    /// Made within the runtime on which the calls are made.
    pub(crate) fn new() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // Callbacks are plain HTTP: nothing is trusted, as nothing is asked.
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { client, runtime: Handle::current() })
    }

    pub(crate) fn post(&self, url: &str, body: String) -> Result<Answer, String> {
        let request = self.client.post(url).body(body);
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let body = response.text().await.map_err(|error| error.to_string())?;
            Ok(Answer { status, body })
        })
    }

    /// As [`Caller::post`], with JSON; any answer but a success is an error.
    pub(crate) fn post_json(&self, url: &str, body: &Value) -> Result<Value, String> {
        let answer = self.post(url, body.to_string())?;
        match answer.status {
            200..=299 if answer.body.is_empty() => Ok(Value::Null),
            200..=299 => serde_json::from_str(&answer.body).map_err(|error| error.to_string()),
            status => Err(format!("the harness answered {status}: {}", answer.body)),
        }
    }
}
