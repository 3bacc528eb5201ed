//! Events, each batch on disk before its 202: how many a second, how far counting is behind at the end, and
//! what a flag change costs meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Connection, request};
use crate::service::{SDK_KEY, Service, processor_time_of};
use crate::{Asked, report};

const CONNECTIONS: usize = 16;
const BATCH: usize = 100;

pub async fn run(asked: &Asked) {
    let during = Duration::from_secs_f64(if asked.small { 0.5 } else { 60.0 });
    let service = Arc::new(Service::start(&asked.flagstaff, &[]));
    service.make_flags(20, 20).await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let end = Instant::now() + during;
    let started = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|sender| {
            let (address, accepted) = (service.address, accepted.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await;
                let mut number = 0;
                while Instant::now() < end {
                    let batch = batch(sender, number);
                    let answer = connection.ask(&batch, false).await.expect("an answer");
                    assert_eq!(answer.status, 202);
                    accepted.fetch_add(BATCH, Ordering::Relaxed);
                    number += 1;
                }
            })
        })
        .collect();
    let writer = tokio::spawn(write_flags(service.clone(), is_over.clone()));
    let watcher = tokio::spawn(watch(service.clone(), is_over.clone()));
    for sender in senders {
        sender.await.expect("no panic");
    }
    let (spent, last) = (started.elapsed(), Instant::now());
    is_over.store(true, Ordering::Relaxed);
    // From the last 202 on: who writes flags is waited for afterwards.
    let at_the_end = watched(&service).await;
    let lag = until_counted(&service, last).await;
    let mut writes = writer.await.expect("no panic");
    let watched = watcher.await.expect("no panic");
    let events = accepted.load(Ordering::Relaxed);

    report::table(
        &format!(
            "Events in batches of {BATCH} over {CONNECTIONS} connections for {during:.0?}, durable before the 202"
        ),
        &["What", "figure", "mark"],
    );
    let row = |what: &str, figure: String, mark: &str| report::row(&[what.into(), figure, mark.into()]);
    row("events per second", format!("{:.0}", events as f64 / spent.as_secs_f64()), "50000");
    row(
        "batches that waited to be counted: at most, at the end",
        format!("{:.0}, {:.0}", watched.batches, at_the_end.batches),
        "",
    );
    row("how long the oldest of them had waited, at most", report::time(watched.lag), "5 s");
    row("until all were counted, after the last 202", report::time(lag), "5 s");
    row("flag writes meanwhile", writes.len().to_string(), "");
    let (half, nearly_all) = (report::percentile(&mut writes, 0.5), report::percentile(&mut writes, 0.99));
    row("middle", report::time(half), "");
    row("99 % within", report::time(nearly_all), "50 ms");
    row("processor time of the service", report::time(processor_time_of(service.process_id())), "");
    row("resident memory at most", report::size(service.memory().1), "");
}

/// What an SDK of a busy program sends: some contexts seen, some evaluations reported one by one, a summary.
fn batch(sender: usize, number: usize) -> Vec<u8> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
            as u64;
    let context = |place: usize| {
        let key = format!("user-{sender}-{}", (number * 7 + place) % 5_000);
        json!({"kind": "user", "key": key, "name": "Ada Lovelace", "email": format!("{key}@example.com"), "plan": "pro"})
    };
    let mut events: Vec<_> = (0..BATCH - 1)
        .map(|place| match place % 3 {
            0 => json!({"kind": "index", "creationDate": now, "context": context(place)}),
            1 => json!({"kind": "feature", "creationDate": now, "key": format!("flag-{:05}", place % 20), "version": 1,
                "value": true, "variation": 0, "default": false, "context": context(place)}),
            _ => json!({"kind": "custom", "creationDate": now, "key": "bought", "metricValue": 12.5, "context": context(place)}),
        })
        .collect();
    let counters = json!([{"variation": 0, "version": 1, "value": true, "count": 400}, {"variation": 1, "version": 1, "value": false, "count": 600}]);
    let features: serde_json::Map<_, _> = (0..20)
        .map(|flag| {
            (
                format!("flag-{flag:05}"),
                json!({"default": false, "contextKinds": ["user"], "counters": counters}),
            )
        })
        .collect();
    events.push(json!({"kind": "summary", "startDate": now, "endDate": now + 5_000, "features": features}));
    let id = format!("{sender:08x}-0000-4000-8000-{number:012x}");
    let headers = [
        ("Authorization", SDK_KEY),
        ("Content-Type", "application/json"),
        ("X-LaunchDarkly-Event-Schema", "4"),
        ("X-LaunchDarkly-Payload-ID", &*id),
    ];
    request("POST", "/bulk", &headers, json!(events).to_string().as_bytes())
}

/// Flips a flag ten times a second.
async fn write_flags(service: Arc<Service>, is_over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut connection = Connection::open(service.address).await;
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let started = Instant::now();
        let answer =
            connection.ask(&service.flip("flag-00000", times.len() % 2 == 0), true).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    times
}

/// What the service says about counting.
#[derive(Clone, Copy, Default)]
struct Counting {
    /// Batches that are stored and not counted.
    batches: f64,
    /// How long the oldest of them has waited.
    lag: Duration,
}

async fn watched(service: &Service) -> Counting {
    let mut connection = Connection::open(service.address).await;
    asked(&mut connection).await
}

async fn asked(connection: &mut Connection) -> Counting {
    let answer = connection.ask(&request("GET", "/metrics", &[], b""), true).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer.body);
    let figure = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("the figure").trim().parse().expect("a number")
    };
    Counting {
        batches: figure("flagstaff_event_batches_waiting"),
        lag: Duration::from_secs_f64(figure("flagstaff_event_lag_seconds")),
    }
}

/// The most that there was of either, looked at twenty times a second.
async fn watch(service: Arc<Service>, is_over: Arc<AtomicBool>) -> Counting {
    let mut connection = Connection::open(service.address).await;
    let mut most = Counting::default();
    while !is_over.load(Ordering::Relaxed) {
        let now = asked(&mut connection).await;
        most = Counting { batches: most.batches.max(now.batches), lag: most.lag.max(now.lag) };
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    most
}

/// How long after `since` everything was counted.
async fn until_counted(service: &Service, since: Instant) -> Duration {
    let mut connection = Connection::open(service.address).await;
    while asked(&mut connection).await.batches > 0.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    since.elapsed()
}
