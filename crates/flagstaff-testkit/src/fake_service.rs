//! Stands in for a flag service.

use std::collections::{HashMap, VecDeque};
use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use flagstaff_eval::Value;
use flagstaff_wire::fdv2::IntentCode;
use flagstaff_wire::stream::{ItemKind, write_delete, write_patch, write_put};
use flagstaff_wire::{paths, sse};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::fdv2::Fdv2Events;
use crate::flags::{FlagBuilder, all_data};
use crate::http::{Request, read_request};
use crate::wait::eventually;

/// What a request is answered, instead of what a service would.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status, further headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// 200 with this body, compressed, whether that was asked for or not.
    Compressed(Vec<u8>),
    /// 200 with this body, a quarter at a time, each after such a pause.
    Slowly(Vec<u8>, Duration),
    /// A stream that begins with these bytes and stays open.
    Stream(Vec<u8>),
    /// The same, with further headers.
    StreamWith(Vec<(&'static str, String)>, Vec<u8>),
    /// The connection is closed without an answer.
    Cut,
    /// Nothing comes for so long; then the connection is closed.
    Silence(Duration),
    /// Nothing comes for so long; then a status.
    Late(Duration, u16),
    /// Nothing comes while somebody holds this for writing; then a status.
    Held(Arc<RwLock<()>>, u16),
}

impl Answer {
    /// A status with nothing else.
    pub fn status(status: u16) -> Self {
        Answer::Status(status, Vec::new(), String::new())
    }
}

/// Stands in for a flag service, on a port of loopback that was free.
///
/// Answers like one: streams and polls give the flags it was told of, events are taken and kept. What
/// it is told to answer instead goes to the next requests for that path, in order. Ends when dropped.
pub struct FakeService {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    data: Value,
    /// Counts what the data has been, for second-generation delivery.
    data_state: u64,
    etag: Option<String>,
    answers: HashMap<String, VecDeque<Answer>>,
    always: HashMap<String, Answer>,
    requests: Vec<Request>,
    connections: Vec<TcpStream>,
    streams: Vec<TcpStream>,
    ended: bool,
}

impl FakeService {
    /// Starts a service with these flags.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(flags: impl IntoIterator<Item = FlagBuilder>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State { data: all_data(flags), ..State::default() }));
        let accepting = state.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if lock(&accepting).ended {
                    return;
                }
                let state = accepting.clone();
                std::thread::spawn(move || serve(connection, &state));
            }
        });
        Self { address, state }
    }

    /// The base URI.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next request for `path` like this.
    pub fn answer_next(&self, path: &str, answer: Answer) {
        self.lock().answers.entry(path.to_owned()).or_default().push_back(answer);
    }

    /// Answers all requests for `path` like this, until [`FakeService::answer_as_usual`].
    pub fn answer_always(&self, path: &str, answer: Answer) {
        self.lock().always.insert(path.to_owned(), answer);
    }

    /// Takes back what was said of `path`.
    pub fn answer_as_usual(&self, path: &str) {
        let mut state = self.lock();
        state.answers.remove(path);
        state.always.remove(path);
    }

    /// Sets what new streams and polls give, and the `ETag` of polls.
    pub fn set_flags(&self, flags: impl IntoIterator<Item = FlagBuilder>, etag: Option<&str>) {
        let mut state = self.lock();
        state.data = all_data(flags);
        state.data_state += 1;
        state.etag = etag.map(str::to_owned);
    }

    /// Sends a flag to all streams.
    pub fn patch(&self, flag: FlagBuilder) {
        let mut bytes = Vec::new();
        let key = flag.key().to_owned();
        write_patch(&mut bytes, ItemKind::Flag, &key, &flag.build()).expect("a flag can be written");
        self.send(&bytes);
    }

    /// Deletes a flag in all streams.
    ///
    /// # Panics
    /// Never in practice.
    pub fn delete(&self, key: &str, version: u64) {
        let mut bytes = Vec::new();
        write_delete(&mut bytes, ItemKind::Flag, key, version).expect("a deletion can be written");
        self.send(&bytes);
    }

    /// Sends bytes to all streams.
    pub fn send(&self, bytes: &[u8]) {
        // A stream that is closed by now is no stream any more.
        self.lock().streams.retain_mut(|stream| stream.write_all(bytes).is_ok());
    }

    /// Breaks all connections, streams included.
    pub fn cut_connections(&self) {
        let mut state = self.lock();
        state.streams.clear();
        for connection in state.connections.drain(..) {
            // It may be gone already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// How many streams were opened and not cut.
    pub fn streams(&self) -> usize {
        self.lock().streams.len()
    }

    /// Every request for `path` so far.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.lock().requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// The requests for `path`, once there are `count` of them.
    ///
    /// # Panics
    /// If they do not come.
    pub fn wait_for_requests(&self, path: &str, count: usize) -> Vec<Request> {
        eventually(&format!("there were {count} requests for {path}"), || {
            let requests = self.requests(path);
            (requests.len() >= count).then_some(requests)
        })
    }

    /// All analytics events so far, of all payloads.
    pub fn events(&self) -> Vec<Value> {
        self.requests(paths::EVENTS)
            .iter()
            .flat_map(|request| match request.json() {
                Value::Array(events) => events,
                other => panic!("a payload is an array, not {other}"),
            })
            .collect()
    }

    /// The analytics events of this kind so far.
    pub fn events_of_kind(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// How often this flag served this value, by all summaries so far.
    pub fn counted(&self, flag_key: &str, value: &Value) -> u64 {
        self.events_of_kind("summary")
            .iter()
            .filter_map(|summary| summary["features"][flag_key]["counters"].as_array())
            .flatten()
            .filter(|counter| counter["value"] == *value)
            .filter_map(|counter| counter["count"].as_u64())
            .sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeService {
    fn drop(&mut self) {
        self.lock().ended = true;
        self.cut_connections();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(connection: TcpStream, state: &Mutex<State>) {
    let (Ok(reading), Ok(mut writing)) = (connection.try_clone(), connection.try_clone()) else { return };
    lock(state).connections.push(connection);
    let mut reading = BufReader::new(reading);
    while let Ok(Some(request)) = read_request(&mut reading) {
        let mut state = lock(state);
        let answer = state.answer(&request);
        state.requests.push(request);
        let goes_on = match answer {
            // Under the lock: whoever knows of the request can send to the stream.
            Answer::Stream(bytes) => state.open_stream(&mut writing, &[], &bytes),
            Answer::StreamWith(headers, bytes) => state.open_stream(&mut writing, &headers, &bytes),
            answer => {
                drop(state);
                give(answer, &mut writing)
            }
        };
        if !goes_on {
            let _ = writing.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Whether the connection stays open.
fn give(answer: Answer, to: &mut TcpStream) -> bool {
    match answer {
        Answer::Status(status, headers, body) => write_answer(to, status, &headers, body.as_bytes()),
        Answer::Compressed(body) => {
            let encoding = [("content-encoding", "gzip".to_owned())];
            write_answer(to, 200, &encoding, &compress(&body))
        }
        Answer::Slowly(body, pause) => write_slowly(to, &body, pause),
        Answer::Stream(_) | Answer::StreamWith(..) => unreachable!("streams are opened under the lock"),
        Answer::Cut => false,
        Answer::Silence(time) => {
            std::thread::sleep(time);
            false
        }
        Answer::Late(time, status) => {
            std::thread::sleep(time);
            write_answer(to, status, &[], b"")
        }
        Answer::Held(gate, status) => {
            drop(gate.read());
            write_answer(to, status, &[], b"")
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        if let Some(answer) = self.answers.get_mut(&request.path).and_then(VecDeque::pop_front) {
            return answer;
        }
        if let Some(answer) = self.always.get(&request.path) {
            return answer.clone();
        }
        match request.path.as_str() {
            paths::STREAM => {
                let mut bytes = Vec::new();
                write_put(&mut bytes, &self.data).expect("JSON can be written");
                Answer::Stream(bytes)
            }
            paths::POLL if self.etag.is_some() && request.header("if-none-match") == self.etag.as_deref() => {
                Answer::status(304)
            }
            paths::POLL => {
                let etag = self.etag.iter().map(|etag| ("etag", etag.clone())).collect();
                Answer::Status(200, etag, self.data.to_string())
            }
            paths::FDV2_STREAM => Answer::Stream(self.fdv2(request).stream()),
            paths::FDV2_POLL => Answer::Status(200, Vec::new(), self.fdv2(request).poll()),
            paths::EVENTS | paths::DIAGNOSTIC => Answer::status(202),
            _ => Answer::status(404),
        }
    }
}

impl State {
    /// The stream ends with its connection, so there is no length to give.
    fn open_stream(&mut self, to: &mut TcpStream, headers: &[(&str, String)], bytes: &[u8]) -> bool {
        let mut head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n".to_owned();
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let Ok(stream) = to.try_clone() else { return false };
        let written = to.write_all(head.as_bytes()).and_then(|()| to.write_all(sse::HEARTBEAT));
        if written.and_then(|()| to.write_all(bytes)).is_err() {
            return false;
        }
        self.streams.push(stream);
        true
    }

    /// Everything, or word that whoever asks has it already: a state of the data is called by its number.
    fn fdv2(&self, request: &Request) -> Fdv2Events {
        let held = request.query.split('&').find_map(|parameter| parameter.strip_prefix("basis="));
        let state = self.data_state.to_string();
        if held == Some(state.as_str()) {
            return Fdv2Events::new().intent(IntentCode::None);
        }
        let mut events = Fdv2Events::new().intent(IntentCode::TransferFull);
        for (kind, name) in [(ItemKind::Segment, "segments"), (ItemKind::Flag, "flags")] {
            for (key, object) in self.data[name].as_object().into_iter().flatten() {
                events = events.put_object(kind, key, object["version"].as_u64().unwrap_or(1), object);
            }
        }
        events.transferred(&state)
    }
}

fn write_answer(to: &mut TcpStream, status: u16, headers: &[(&str, String)], body: &[u8]) -> bool {
    let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    to.write_all(&[head.as_bytes(), b"\r\n", body].concat()).is_ok()
}

fn write_slowly(to: &mut TcpStream, body: &[u8], pause: Duration) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    to.write_all(head.as_bytes()).is_ok()
        && body.chunks(body.len().div_ceil(4).max(1)).all(|quarter| {
            std::thread::sleep(pause);
            to.write_all(quarter).is_ok()
        })
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("memory can be written to")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
