//! A relay in this process, and requests to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flagstaff_relay::config::{Environment, Upstream};
use flagstaff_relay::{Config, Relay, Running};
use flagstaff_sdk::http_client;
use flagstaff_testkit::{FakeService, PATIENCE};
use flagstaff_wire::sse::{SseEvent, SseParser};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

pub(crate) const SDK_KEY: &str = "sdk-0000-1111";
pub(crate) const MOBILE_KEY: &str = "mob-0000-1111";
pub(crate) const CLIENT_SIDE_ID: &str = "id-0000-1111";

/// How long it is watched that nothing happens.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// An environment for SDKs of every kind.
pub(crate) fn environment() -> Environment {
    Environment {
        mobile_key: Some(MOBILE_KEY.to_owned()),
        client_side_id: Some(CLIENT_SIDE_ID.to_owned()),
        ..Environment::new("one", SDK_KEY)
    }
}

/// One environment of this service, on a free port. What is waited for by rules of the SDK's own takes a
/// hundredth of the time.
pub(crate) fn config(service: &FakeService) -> Config {
    config_at(&service.url())
}

pub(crate) fn config_at(url: &str) -> Config {
    let mut config = Config::default();
    config.serving.listen = ([127, 0, 0, 1], 0).into();
    config.upstream = Upstream::at(url);
    config.upstream.time_factor = 100;
    config.environments = vec![environment()];
    config
}

pub(crate) async fn relay(config: Config) -> Running {
    Relay::start(config).await.unwrap()
}

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("flagstaff-relay-{}-{number}", std::process::id())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left over harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Asks a relay.
pub(crate) struct Asker {
    client: Client,
    base: String,
}

impl Asker {
    pub(crate) fn new(running: &Running) -> Self {
        Self { client: http_client(flagstaff_sdk::Config::new("")).unwrap(), base: running.base_url() }
    }

    pub(crate) fn get(&self, path: &str, key: &str) -> RequestBuilder {
        self.request(Method::GET, path, key)
    }

    /// By any method, with a key if there is one.
    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if key.is_empty() { request } else { request.header("authorization", key) }
    }

    pub(crate) fn post(&self, path: &str, key: &str) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.base))
            .header("authorization", key)
            .header("content-type", "application/json")
    }

    pub(crate) async fn status(&self, path: &str, key: &str) -> u16 {
        self.get(path, key).send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn json(&self, path: &str, key: &str) -> Value {
        serde_json::from_slice(&self.get(path, key).send().await.unwrap().bytes().await.unwrap()).unwrap()
    }

    pub(crate) async fn open(&self, path: &str, key: &str) -> Stream {
        let response = self.get(path, key).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        Stream { response, parser: SseParser::default(), read: Vec::new() }
    }

    /// Asks until it is so.
    pub(crate) async fn until(&self, path: &str, key: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let answer = self.json(path, key).await;
                if is_so(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} is never so"))
    }
}

/// A stream.
pub(crate) struct Stream {
    response: Response,
    parser: SseParser,
    read: Vec<SseEvent>,
}

impl Stream {
    /// The next event's name and data; none at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let next = async {
            while self.read.is_empty() {
                let piece = self.response.chunk().await.ok().flatten()?;
                self.parser.feed(&piece, &mut self.read).unwrap();
            }
            Some(self.read.remove(0))
        };
        let event = tokio::time::timeout(PATIENCE, next).await.expect("something comes")?;
        Some((event.name().to_owned(), serde_json::from_slice(event.data()).unwrap()))
    }

    pub(crate) async fn expect(&mut self, name: &str) -> Value {
        let (found, data) = self.next().await.expect("the stream goes on");
        assert_eq!(found, name, "{data}");
        data
    }

    /// Nothing comes for a while.
    pub(crate) async fn is_quiet(&mut self) {
        if let Ok(event) = tokio::time::timeout(QUIET, self.next()).await {
            panic!("{event:?} came");
        }
    }
}
