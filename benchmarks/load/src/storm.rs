//! R23: ten thousand come back within five seconds and want two megabytes each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::http::{Connection, connect_from, request};
use crate::service::{SDK_KEY, Service};
use crate::{Asked, report};

/// How long everybody is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Default)]
struct Seen {
    complete: AtomicUsize,
    refused: AtomicUsize,
    broken: AtomicUsize,
    bytes: AtomicUsize,
}

pub async fn run(asked: &Asked) {
    let count = asked.size(10_000);
    let service = Service::start(&asked.flagstaff, &[]);
    service.make_flags(1_000, 800).await;
    let poll = request("GET", "/sdk/latest-all", &[("Authorization", SDK_KEY)], b"");
    let body = Connection::open(service.address).await.ask(&poll, true).await.expect("an answer").body.len();
    let (before, _) = service.memory();
    let seen = Arc::new(Seen::default());
    let started = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (seen, address) = (seen.clone(), service.address);
            // Spread over five seconds.
            let at = started + Duration::from_secs_f64(5.0 * number as f64 / count as f64);
            tokio::spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                if one(number, address, &seen).await.is_none() {
                    seen.broken.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut all = None;
    while started.elapsed() < PATIENCE {
        let done = seen.complete.load(Ordering::Relaxed) + seen.refused.load(Ordering::Relaxed);
        if done + seen.broken.load(Ordering::Relaxed) >= count {
            all = Some(started.elapsed());
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, most) = service.memory();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);

    report::table(
        &format!("{count} streams opened within 5 s, {} to each (R23)", report::size(body)),
        &["What", "figure", "mark"],
    );
    let row = |what: &str, figure: String, mark: &str| report::row(&[what.into(), figure, mark.into()]);
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed).to_string();
    row(
        "until all hold the put",
        all.map_or_else(|| format!("not within {PATIENCE:?}"), report::time),
        "60 s",
    );
    row("hold it", load(&seen.complete), &count.to_string());
    row("refused", load(&seen.refused), "0");
    row("broke off", load(&seen.broken), "0");
    row("bytes read, all together", report::size(seen.bytes.load(Ordering::Relaxed)), "");
    row("resident memory before", report::size(before), "");
    row("at most", report::size(most), "bounded");
}

/// Reads a stream until its put is complete. Then it stays open, as SDKs do.
async fn one(number: usize, address: std::net::SocketAddr, seen: &Seen) -> Option<()> {
    let mut stream = connect_from(number, address).await.ok()?;
    let ask = request("GET", "/all", &[("Authorization", SDK_KEY), ("Accept", "text/event-stream")], b"");
    stream.write_all(&ask).await.ok()?;
    let mut buffer = vec![0; 32 * 1024];
    let (mut is_first, mut end) = (true, [0; 2]);
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        seen.bytes.fetch_add(read, Ordering::Relaxed);
        if std::mem::take(&mut is_first) && !buffer.starts_with(b"HTTP/1.1 200") {
            seen.refused.fetch_add(1, Ordering::Relaxed);
            return Some(());
        }
        // The put ends with an empty line, in a chunk of its own: `}\n\n\r\n`.
        for byte in &buffer[..read] {
            if [end[0], end[1], *byte] == *b"}\n\n" {
                seen.complete.fetch_add(1, Ordering::Relaxed);
                return std::future::pending().await;
            }
            end = [end[1], *byte];
        }
    }
}
