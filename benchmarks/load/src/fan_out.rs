//! A change to thousands of open streams: how long until the last one has it, beside a loop that does
//! nothing but write the same bytes to as many connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Connection, connect_from, request};
use crate::service::{SDK_KEY, Service};
use crate::{Asked, bare, report};

/// What each change has in its stream.
pub const MARK: &[u8] = b"event: patch\n";

/// Streams that are read all the time.
pub struct Streams {
    tasks: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    everyone: watch::Receiver<usize>,
}

struct Shared {
    first_bytes: AtomicUsize,
    broken: AtomicUsize,
    /// For each change, by its place, how many streams have it.
    arrived: Vec<AtomicUsize>,
    /// And when the first one had it.
    first: Vec<OnceLock<Instant>>,
    count: usize,
    complete: watch::Sender<usize>,
}

impl Streams {
    /// Opens so many, a few hundred at a time, and waits until each has had something.
    pub async fn open(to: SocketAddr, count: usize, changes: usize) -> Self {
        let (complete, everyone) = watch::channel(0);
        let shared = Arc::new(Shared {
            first_bytes: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            arrived: (0..changes).map(|_| AtomicUsize::new(0)).collect(),
            first: (0..changes).map(|_| OnceLock::new()).collect(),
            count,
            complete,
        });
        let mut tasks = Vec::with_capacity(count);
        for number in 0..count {
            let stream = connect_from(number, to).await.expect("a connection");
            tasks.push(tokio::spawn(read(stream, shared.clone())));
            while number - shared.first_bytes.load(Ordering::Relaxed).min(number) > 256 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        while shared.first_bytes.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { tasks, shared, everyone }
    }

    /// Waits until everyone has so many changes; none if that takes longer than ten seconds.
    pub async fn all_have(&mut self, changes: usize) -> Option<Instant> {
        let reached = self.everyone.wait_for(|complete| *complete >= changes);
        tokio::time::timeout(Duration::from_secs(10), reached).await.ok()?.ok()?;
        Some(Instant::now())
    }

    /// When the first one had this change.
    pub fn first(&self, change: usize) -> Option<Instant> {
        self.shared.first[change].get().copied()
    }

    /// How many have this change.
    pub fn have(&self, change: usize) -> usize {
        self.shared.arrived[change].load(Ordering::Relaxed)
    }

    /// How many broke off.
    pub fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn note(&self, change: usize) {
        let Some(arrived) = self.arrived.get(change) else { return };
        let before = arrived.fetch_add(1, Ordering::AcqRel);
        if before == 0 {
            // Nobody else was the first.
            let _ = self.first[change].set(Instant::now());
        }
        if before + 1 == self.count {
            self.complete.send_modify(|complete| *complete = (*complete).max(change + 1));
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn read(mut stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let request = request("GET", "/all", &[("Authorization", SDK_KEY), ("Accept", "text/event-stream")], b"");
    let mut is_first = true;
    let mut buffer = vec![0; 4096];
    // The end of what was read before may be the beginning of a mark.
    let (mut kept, mut seen) = (0, 0);
    if stream.write_all(&request).await.is_ok() {
        while let Ok(read @ 1..) = stream.read(&mut buffer[kept..]).await {
            if std::mem::take(&mut is_first) {
                shared.first_bytes.fetch_add(1, Ordering::Relaxed);
            }
            let filled = kept + read;
            for _ in memchr::memmem::find_iter(&buffer[..filled], MARK) {
                shared.note(seen);
                seen += 1;
            }
            kept = filled.min(MARK.len() - 1);
            buffer.copy_within(filled - kept..filled, 0);
            // A mark that was counted must not be counted again: what is kept is shorter than one.
        }
    }
    shared.broken.fetch_add(1, Ordering::Relaxed);
}

/// Turns a flag on and off, at most once a second, and gives how long after each answer, and after each
/// request, everyone had it.
pub async fn flips(
    service: &Service,
    streams: &mut Streams,
    count: usize,
    pace: Duration,
) -> Vec<Option<Flip>> {
    let mut admin = Connection::open(service.address).await;
    let mut times = Vec::new();
    for number in 0..count {
        let started = Instant::now();
        let answer = admin.ask(&service.flip("flag-00000", number % 2 == 0), true).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let saved = Instant::now();
        let everyone = streams.all_have(number + 1).await;
        times.push(everyone.map(|everyone| Flip {
            after_request: everyone - started,
            after_answer: everyone.saturating_duration_since(saved),
            after_first: streams.first(number).map_or(Duration::ZERO, |first| everyone - first),
        }));
        tokio::time::sleep_until((started + pace).into()).await;
    }
    times
}

/// How long until everyone had a change.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    pub after_request: Duration,
    pub after_answer: Duration,
    /// From the first stream that had it to the last.
    pub after_first: Duration,
}

/// 5,000 streams, beside the bare loop.
pub async fn run(asked: &Asked) {
    let count = asked.size(5_000);
    let changes = 21;
    let service = Service::start(&asked.flagstaff, &[]);
    service.make_flags(1, 20).await;
    let mut streams = Streams::open(service.address, count, changes).await;
    let flips = flips(&service, &mut streams, changes, Duration::from_millis(300)).await;
    let broken = streams.broken();
    drop((streams, service));
    let missed = flips.iter().filter(|flip| flip.is_none()).count();
    let all: Vec<Flip> = flips.into_iter().flatten().collect();
    let mut loops = bare::times(count, changes).await;
    let bare = report::percentile(&mut loops, 0.5);

    report::table(
        &format!("A change to {count} open streams, until the last one has it"),
        &["", "middle", "longest", "beside the bare loop", "mark"],
    );
    let row = |what: &str, mut times: Vec<Duration>, mark: &str| {
        let (half, most) = (report::percentile(&mut times, 0.5), report::percentile(&mut times, 1.0));
        let ratio = format!("{:.2}x", half.as_secs_f64() / bare.as_secs_f64());
        report::row(&[what.into(), report::time(half), report::time(most), ratio, mark.into()]);
    };
    row("ours, from the first stream that has it", all.iter().map(|flip| flip.after_first).collect(), "1.5x");
    row(
        "ours, from the request, with the change written to disk",
        all.iter().map(|flip| flip.after_request).collect(),
        "",
    );
    row("a loop that only writes as many bytes", loops.clone(), "");
    println!("\n{missed} changes did not reach everyone within 10 s, {broken} streams broke off.");
}
