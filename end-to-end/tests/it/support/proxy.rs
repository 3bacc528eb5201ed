//! What stands between a program and the service on a bad day.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

/// Passes connections on, and cuts all of them every so often.
#[derive(Debug)]
pub(crate) struct CuttingProxy {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl CuttingProxy {
    pub(crate) fn start(service_url: &str, every: Duration) -> Self {
        let upstream = host_of(service_url);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (cuts, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (counted, over, connections) = (cuts.clone(), ended.clone(), open.clone());
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                thread::sleep(every);
                for connection in connections.lock().unwrap().drain(..) {
                    // It may have ended by itself.
                    let _ = connection.shutdown(Shutdown::Both);
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let over = ended.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (connection, TcpStream::connect(&upstream)) else { continue };
                open.lock().unwrap().push(client.try_clone().expect("a socket can be shared"));
                copy_both_ways(client, server);
            }
        });
        Self { address, cuts, ended }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn copy_both_ways(client: TcpStream, server: TcpStream) {
    let share = |socket: &TcpStream| socket.try_clone().expect("a socket can be shared");
    for (mut from, mut to) in [(share(&client), share(&server)), (server, client)] {
        thread::spawn(move || {
            // Either end may break off: that is what this is for.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
}

/// Takes events, and passes them on unless the sink is down: then it answers 503, and keeps account.
#[derive(Debug)]
pub(crate) struct EventSink {
    address: SocketAddr,
    state: Arc<SinkState>,
}

#[derive(Debug, Default)]
struct SinkState {
    is_down: AtomicBool,
    ended: AtomicBool,
    account: Mutex<Account>,
}

/// What became of each payload.
#[derive(Debug, Default)]
struct Account {
    delivered: BTreeSet<String>,
    /// Evaluations in payloads that were refused, by payload.
    refused: BTreeMap<String, u64>,
    attempts: usize,
}

impl EventSink {
    pub(crate) fn start(service_url: &str) -> Self {
        let upstream = host_of(service_url);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let state: Arc<SinkState> = Arc::default();
        let serving = state.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let (state, upstream) = (serving.clone(), upstream.clone());
                thread::spawn(move || {
                    while let Some(request) = Request::read(&connection) {
                        if state.answer(&request, &connection, &upstream).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Evaluations in payloads that were given up: refused, and never delivered.
    pub(crate) fn lost(&self) -> u64 {
        let account = self.state.account.lock().unwrap();
        let lost = account.refused.iter().filter(|(id, _)| !account.delivered.contains(*id));
        lost.map(|(_, evaluations)| evaluations).sum()
    }

    /// How many times a payload was to be sent, and how many payloads that were.
    pub(crate) fn attempts(&self) -> (usize, usize) {
        let account = self.state.account.lock().unwrap();
        let ids: BTreeSet<_> = account.refused.keys().chain(&account.delivered).collect();
        (account.attempts, ids.len())
    }
}

impl Drop for EventSink {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl SinkState {
    fn answer(&self, request: &Request, connection: &TcpStream, upstream: &str) -> std::io::Result<()> {
        let id = request.header("x-launchdarkly-payload-id").unwrap_or_default();
        let is_batch = request.head.starts_with("POST /bulk");
        let mut connection = connection;
        if self.is_down.load(Ordering::SeqCst) {
            if is_batch {
                let mut account = self.account.lock().unwrap();
                account.attempts += 1;
                account.refused.insert(id, evaluations(&request.body));
            }
            return connection.write_all(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n");
        }
        let mut server = TcpStream::connect(upstream)?;
        let head = request.head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        server.write_all(head.as_bytes())?;
        server.write_all(&request.body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        if is_batch {
            assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
            let mut account = self.account.lock().unwrap();
            account.attempts += 1;
            account.delivered.insert(id);
        }
        connection.write_all(&answer)?;
        // The service said that it closes, and so says this.
        connection.shutdown(Shutdown::Both)?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    }
}

/// A request, head and body.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn read(connection: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(connection);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut request = Self { head, body: Vec::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// How many evaluations the summaries in a batch count.
fn evaluations(batch: &[u8]) -> u64 {
    let events: Vec<Json> = serde_json::from_slice(batch).expect("a batch is an array");
    let summaries = events.iter().filter(|event| event["kind"] == "summary");
    let flags =
        summaries.filter_map(|summary| summary["features"].as_object()).flat_map(|flags| flags.values());
    let counters = flags.filter_map(|flag| flag["counters"].as_array()).flatten();
    counters.filter_map(|counter| counter["count"].as_u64()).sum()
}

fn host_of(url: &str) -> String {
    url.strip_prefix("http://").expect("the URL is http").trim_end_matches('/').to_owned()
}
