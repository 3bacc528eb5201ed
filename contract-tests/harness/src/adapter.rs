//! The program under test: starting it, creating clients, giving commands.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client as Http, Method};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::options::Options;

/// No command of a working adapter takes longer; creating a client waits for its start time besides.
const TIMEOUT: Duration = Duration::from_secs(60);
/// For the adapter to be listened on: it may have to load an interpreter and a package.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running contract-test service.
pub(crate) struct Adapter {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) capabilities: BTreeSet<String>,
    http: Http,
    url: String,
    /// If we started it.
    child: Mutex<Option<Child>>,
}

/// What the adapter answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

impl Adapter {
    /// Finds the adapter, or starts it, and asks what it can do.
    pub(crate) async fn start(options: &Options) -> Result<Arc<Self>, String> {
        let http = plain_http()?;
        let (url, child) = match &options.command {
            Some(command) => {
                let (url, child) = launch(command).await?;
                (url, Some(child))
            }
            None => (options.url.clone(), None),
        };
        let url = url.trim_end_matches('/').to_owned();
        let asked = send(&http, Method::GET, &format!("{url}/"), None).await?;
        let about: Value = serde_json::from_str(&asked.body)
            .map_err(|error| format!("{url}/ did not answer with JSON: {error}: {}", asked.body))?;
        let capabilities = about["capabilities"]
            .as_array()
            .ok_or_else(|| format!("{url}/ named no capabilities: {about}"))?
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let text = |name: &str| about[name].as_str().unwrap_or("unknown").to_owned();
        Ok(Arc::new(Self {
            name: text("name"),
            version: text("clientVersion"),
            capabilities,
            http,
            url,
            child: Mutex::new(child),
        }))
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    /// Asks for a client; the reply's location is where it takes commands.
    pub(crate) async fn create(&self, body: &Value) -> Result<Reply, String> {
        send(&self.http, Method::POST, &format!("{}/", self.url), Some(body.to_string())).await
    }

    /// Sends anything to a client.
    pub(crate) async fn tell(&self, client: &str, body: String) -> Result<Reply, String> {
        send(&self.http, Method::POST, client, Some(body)).await
    }

    pub(crate) async fn delete(&self, client: &str) -> Result<Reply, String> {
        send(&self.http, Method::DELETE, client, None).await
    }

    /// Where a `Location` points, which may be relative.
    pub(crate) fn resolve(&self, location: &str) -> String {
        if location.starts_with('/') { format!("{}{location}", self.url) } else { location.to_owned() }
    }

    /// Ends the adapter if we started it.
    pub(crate) async fn quit(&self) {
        let Some(mut child) = self.child.lock().await.take() else { return };
        // Whether it ends when told is part of the interface; that it ends at all is seen to here.
        let told = send(&self.http, Method::DELETE, &format!("{}/", self.url), None).await;
        let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        if told.is_err() || ended.is_err() {
            crate::report::problem("the contract-test service did not quit when it was told to");
            let _ = child.kill().await;
        }
    }
}

/// For what is on this machine, and never behind TLS.
pub(crate) fn plain_http() -> Result<Http, String> {
    static CLIENT: OnceLock<Http> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = Http::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

async fn send(http: &Http, method: Method, url: &str, body: Option<String>) -> Result<Reply, String> {
    let mut request = http.request(method, url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body);
    }
    let failed =
        |error: reqwest::Error| format!("the contract-test service did not answer at {url}: {error:?}");
    let response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let location =
        response.headers().get("location").and_then(|location| location.to_str().ok()).map(str::to_owned);
    let body = response.text().await.map_err(failed)?;
    Ok(Reply { status, location, body })
}

/// Starts the adapter and reads where it listens.
async fn launch(command: &str) -> Result<(String, Child), String> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{command}` could not be started: {error}"))?;
    let Some(stdout) = child.stdout.take() else { return Err("the adapter has no output".to_owned()) };
    let mut lines = BufReader::new(stdout).lines();
    let first = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
    let line = match first {
        Ok(Ok(Some(line))) => line,
        Ok(_) => return Err(format!("`{command}` ended without saying where it listens")),
        Err(_) => return Err(format!("`{command}` did not say where it listens within {START_TIMEOUT:?}")),
    };
    let url = line
        .strip_prefix("listening on ")
        .ok_or_else(|| format!("the first line of `{command}` is `{line}`, not `listening on URL`"))?
        .to_owned();
    // Whatever else it prints is read, so that it never waits for us.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((url, child))
}
