//! A demo service on a free port, and requests to it, byte by byte.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use flagstaff_service::analytics::{Analytics, EvaluationCounts};
use flagstaff_service::config::Database;
use flagstaff_service::store::EnvironmentId;
use flagstaff_service::store::analytics::instance::SdkInstance;
use flagstaff_service::{App, Config, Running};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::engine;

/// Ten times what the largest bodies are expected to take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder that goes with the test, and a database.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    database: OnceLock<Database>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("flagstaff-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self { path, database: OnceLock::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a service on this data is started with.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new(self.path());
        config.database = self.database();
        config
    }

    /// The same one each time.
    pub(crate) fn database(&self) -> Database {
        self.database.get_or_init(engine::fresh).clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left over harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A running demo service.
#[derive(Debug)]
pub(crate) struct Service {
    running: Running,
    folder: Folder,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Service {
    pub(crate) async fn demo() -> Self {
        Self::start(Folder::new(), |_| {}).await
    }

    /// With other settings.
    pub(crate) async fn demo_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(Folder::new(), change).await
    }

    async fn start(folder: Folder, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = folder.config();
        config.serving.listen = ([127, 0, 0, 1], 0).into();
        config.demo = true;
        change(&mut config);
        Self { running: App::start(config).await.unwrap(), folder }
    }

    /// One more node on the same database.
    pub(crate) async fn another_node(&self) -> Self {
        let folder = Folder::new();
        folder.database.set(self.folder.database()).expect("nobody has asked for it yet");
        Self::start(folder, |_| {}).await
    }

    pub(crate) async fn restart(self) -> Self {
        self.running.stop().await;
        Self::start(self.folder, |_| {}).await
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    /// One that is running already; its data is not ours to remove.
    pub(crate) fn of(running: Running) -> Self {
        Self { running, folder: Folder::new() }
    }

    /// Stops it and leaves its data.
    pub(crate) async fn stop_and_keep(self) -> Folder {
        self.running.stop().await;
        self.folder
    }

    pub(crate) fn app(&self) -> &flagstaff_service::SharedApp {
        self.running.app()
    }

    /// The folder that holds the databases.
    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn base_url(&self) -> String {
        self.running.base_url()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.running.address()
    }

    pub(crate) fn metrics_address(&self) -> std::net::SocketAddr {
        self.running.metrics_address().expect("metrics have an address of their own")
    }

    pub(crate) fn analytics(&self) -> &Analytics {
        &self.running.app().analytics
    }

    /// Waits until every stored batch is counted.
    pub(crate) async fn counted(&self) {
        assert!(self.analytics().wait_until_counted(PATIENCE).await, "batches were not counted in time");
    }

    fn environment(&self, key: &str) -> EnvironmentId {
        let all = self.running.app().live.all();
        all.iter().find(|live| live.about().environment.key == key).unwrap().id()
    }

    pub(crate) async fn evaluations(
        &self,
        environment: &str,
    ) -> std::collections::BTreeMap<String, EvaluationCounts> {
        self.analytics().evaluations_last_hour(self.environment(environment)).await.unwrap()
    }

    pub(crate) async fn sdk_instances(&self, environment: &str) -> Vec<SdkInstance> {
        self.analytics().sdk_instances(self.environment(environment)).await.unwrap()
    }

    /// Sends a request with the length of its body, and reads the answer to its end.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = head(method, path, headers);
        request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        self.exchange(&request).await
    }

    /// Sends a body in chunks of unequal length.
    pub(crate) async fn request_chunked(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = head("POST", path, headers);
        request.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        let (first, rest) = body.split_at(body.len() / 3);
        for chunk in [first, rest, b""] {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        self.exchange(&request).await
    }

    /// Sends these bytes, and reads the answer to its end.
    pub(crate) async fn exchange(&self, request: &[u8]) -> Answer {
        let exchange = async {
            let (mut from, mut to) = TcpStream::connect(self.running.address()).await.unwrap().into_split();
            // A service that refuses a long body answers before it has read all of it.
            let write = async {
                let _ = to.write_all(request).await;
                to
            };
            let read = async {
                let mut answer = Vec::new();
                // After a refusal the connection may end in a reset; what came before counts.
                while let Ok(1..) = from.read_buf(&mut answer).await {
                    // A stream has no end: that it began is the answer. And who said that more would come than
                    // was sent is answered, but the connection goes on waiting for it.
                    if let Some(end) = end_of_answer(&answer) {
                        answer.truncate(end);
                        break;
                    }
                }
                answer
            };
            tokio::join!(write, read).1
        };
        parse(&tokio::time::timeout(PATIENCE, exchange).await.expect("the service did not answer in time"))
    }
}

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

/// Where an answer ends, as far as its headers tell: that of a stream with them.
fn end_of_answer(answer: &[u8]) -> Option<usize> {
    let head = &answer[..answer.len().min(4096)];
    let end = head.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&head[..end]);
    if head.contains("content-type: text/event-stream") {
        return Some(end);
    }
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    (answer.len() >= end + length).then_some(end + length)
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer with headers");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut body = answer[end + 4..].to_vec();
    if headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked")
    {
        body = joined(&body);
    }
    Answer { status: status.expect("a status"), headers, body }
}

fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") {
        let length =
            std::str::from_utf8(&chunks[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let length = length.expect("the length of a chunk");
        body.extend_from_slice(&chunks[end + 2..end + 2 + length]);
        chunks = &chunks[end + 4 + length..];
        if length == 0 {
            break;
        }
    }
    body
}

/// Begins to look at how much memory this process has in use, which other tests have their part in; gives how
/// much that is, in MB.
pub(crate) fn reset_peak_memory() -> u64 {
    // Where that cannot be reset the peak of before goes on to count.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    memory("VmRSS:")
}

/// The most it had in use since, in MB.
pub(crate) fn peak_memory() -> u64 {
    memory("VmHWM:")
}

fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
