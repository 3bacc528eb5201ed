//! A running service, asked over HTTP: by its REST API with an access token, or as an SDK with an SDK key.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flagstaff_eval::model::FlagData;
use flagstaff_sdk::{Config, describe_http_error, http_client};
use flagstaff_wire::paths;
use flagstaff_wire::sse::SseParser;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::Failure;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 256 << 20;
/// How often a request is sent again when the service asks to be asked later.
const MOST_RETRIES: u32 = 8;
/// How long such a wait may be.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// A semantic patch, as a content type.
pub(crate) const SEMANTIC: &str = "application/json; domain-model=launchdarkly.semanticpatch";

/// Options of commands that ask a running service by its REST API.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// A running service, like https://flags.example
    #[arg(long, env = "FLAGSTAFF_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// An access token of that service; others see command lines, so say it in the environment
    #[arg(long, env = "FLAGSTAFF_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// How other machines are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct Network {
    /// A file with the certificate authorities to trust, as PEM [default: the public ones]
    #[arg(long, env = "FLAGSTAFF_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The HTTP proxy that all requests go through [default: HTTPS_PROXY or HTTP_PROXY of the environment]
    #[arg(long, env = "FLAGSTAFF_PROXY", hide_env_values = true, value_name = "URL")]
    proxy: Option<String>,
}

impl Network {
    /// How a service is asked; what the environment names for SDKs does not matter.
    fn client(&self, base: &str) -> Result<Client, Failure> {
        let mut config = Config::new("").base_uri(base);
        if let Some(file) = &self.ca {
            config = config.ca_file(file);
        }
        if let Some(proxy) = &self.proxy {
            config = config.http_proxy(proxy);
        }
        http_client(config).map_err(|error| flagstaff_service::error::chain(&error))
    }
}

/// The REST API of a service.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    base: String,
    token: HeaderValue,
    patience: Duration,
}

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The status, if there was an answer.
    pub(crate) status: Option<StatusCode>,
    pub(crate) message: Failure,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        refused.message
    }
}

impl Remote {
    /// The service's REST API; both URL and token have to be given.
    pub(crate) fn api(&self) -> Result<Api, Failure> {
        let url =
            self.url.as_deref().ok_or("name the service with --url, like --url http://127.0.0.1:8030")?;
        let token = self.token.as_deref().ok_or_else(|| {
            format!("an access token of `{url}` is needed: give it with --token, or as FLAGSTAFF_TOKEN")
        })?;
        Api::new(url, token, &self.network)
    }
}

impl Api {
    pub(crate) fn new(url: &str, token: &str, network: &Network) -> Result<Self, Failure> {
        let base = checked(url)?;
        let token = credential("access token", token)?;
        Ok(Self { client: network.client(&base)?, base, token, patience: PATIENCE })
    }

    /// The same, where an answer may take longer.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What is at a path, as JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Refused> {
        self.json(self.request(Method::GET, path)).await
    }

    /// What is at a path, byte by byte.
    pub(crate) async fn get_text(&self, path: &str) -> Result<Vec<u8>, Refused> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends JSON and gives the answer.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Value, Refused> {
        self.json(self.request(method, path).header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// Deletes what is at a path.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Refused> {
        self.send(self.request(Method::DELETE, path)).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = paths::join(&self.base, path);
        self.client.request(method, url).header(AUTHORIZATION, &self.token).timeout(self.patience)
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, Refused> {
        let body = self.send(request).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let message = format!("`{}` did not answer as a REST API does: {error}", self.base);
            Refused { status: None, message }
        })
    }

    /// Sends a request, again if the service asks for some patience.
    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Refused> {
        let fail = |message| Refused { status: None, message };
        let mut retries = 0;
        loop {
            let copy = request.try_clone().ok_or_else(|| fail("a request cannot be repeated".to_owned()))?;
            let answer = copy.send().await.map_err(|error| fail(self.unreachable(&error)))?;
            let status = answer.status();
            if status == StatusCode::TOO_MANY_REQUESTS && retries < MOST_RETRIES {
                retries += 1;
                tokio::time::sleep(wait_of(&answer)).await;
                continue;
            }
            let body =
                read(answer).await.map_err(|why| fail(format!("`{}` did not answer: {why}", self.base)))?;
            if status.is_success() {
                return Ok(body);
            }
            return Err(Refused { status: Some(status), message: self.refusal(status, &body) });
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        format!("could not reach `{}`: {}", self.base, describe_http_error(error))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Failure {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = answer["message"].as_str().unwrap_or("it did not say why");
        format!("`{}` answered {}: {}", self.base, status.as_u16(), said.escape_debug())
    }
}

/// How long the service wants to be left alone, by `Retry-After` or by its clock.
fn wait_of(answer: &Response) -> Duration {
    let header = |name: &str| answer.headers().get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let seconds = header(RETRY_AFTER.as_str()).map(Duration::from_secs);
    let until = || {
        let now = u64::try_from(flagstaff_service::now_ms()).unwrap_or(0);
        header("x-ratelimit-reset").map(|at| Duration::from_millis(at.saturating_sub(now)))
    };
    let wait = seconds.or_else(until).unwrap_or(Duration::from_secs(1));
    wait.clamp(Duration::from_millis(100), LONGEST_WAIT)
}

/// Everything an SDK with this key gets: the first message of its stream.
pub(crate) async fn stream_once(url: &str, sdk_key: &str, network: &Network) -> Result<FlagData, Failure> {
    #[derive(Deserialize)]
    struct Put {
        data: FlagData,
    }

    let base = checked(url)?;
    let sdk_key = credential("SDK key", sdk_key)?;
    let request = network.client(&base)?.get(paths::join(&base, paths::STREAM)).timeout(PATIENCE);
    let request = request.header(AUTHORIZATION, sdk_key).header(ACCEPT, "text/event-stream");
    let unreachable = |error| format!("could not reach `{base}`: {}", describe_http_error(&error));
    let mut answer = request.send().await.map_err(unreachable)?;
    match answer.status().as_u16() {
        200 => {}
        401 | 403 => return Err(format!("`{base}` does not know this SDK key")),
        status => return Err(format!("`{base}` answered {status} where its stream should be")),
    }
    let (mut parser, mut events) = (SseParser::with_limit(LONGEST), Vec::new());
    let broken = |error| format!("the stream of `{base}` broke off: {}", describe_http_error(&error));
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        parser.feed(&piece, &mut events).map_err(|error| format!("`{base}`: {error}"))?;
        if let Some(put) = events.drain(..).find(|event| event.name() == "put") {
            let put: Put = serde_json::from_slice(put.data())
                .map_err(|error| format!("what `{base}` sends cannot be understood: {error}"))?;
            return Ok(put.data);
        }
    }
    Err(format!("the stream of `{base}` ended before it said which flags there are"))
}

/// A token or key as it is sent.
fn credential(what: &str, text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        format!(
            "the {what} has a character that no {what} has, like a line break; was something else copied too?"
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The address without what would double a slash.
fn checked(url: &str) -> Result<String, Failure> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(format!("`{}` is not the address of a service, like https://flags.example", url.escape_debug()))
}

async fn read(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| describe_http_error(&error))? {
        if body.len() + piece.len() > LONGEST {
            return Err(format!("its answer is longer than {LONGEST} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// A part of a path, encoded.
pub(crate) fn part(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}
