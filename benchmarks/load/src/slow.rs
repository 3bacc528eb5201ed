//! R20, R21: those who read a byte a second, and those who never finish a request, beside everybody else.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use crate::http::{connect_from, rate, request};
use crate::service::{SDK_KEY, Service};
use crate::{Asked, report};

pub async fn run(asked: &Asked) {
    let readers = asked.size(1_000);
    let askers = asked.size(5_000);
    let during = Duration::from_secs_f64(if asked.small { 0.5 } else { 10.0 });
    let service = Service::start(&asked.flagstaff, &[]);
    // Large enough that a reader of one byte a second has not even its first put.
    service.make_flags(500, 800).await;
    let poll = request("GET", "/sdk/latest-flags/flag-00000", &[("Authorization", SDK_KEY)], b"");
    let measure = async || rate(service.address, &poll, 200, 8, during).await;

    let before = measure().await;
    let slow = open(readers, service.address, read_slowly).await;
    let with_readers = measure().await;
    let (memory, _) = service.memory();
    stop(slow);
    let slow = open(askers, service.address, ask_slowly).await;
    let with_askers = measure().await;
    // Requests have thirty seconds for their head.
    let wait = if asked.small { Duration::ZERO } else { Duration::from_secs(40) };
    tokio::time::sleep(wait).await;
    let left = slow.iter().filter(|task| !task.is_finished()).count();
    stop(slow);

    report::table(
        "Slow peers, and one small poll for everybody else (R20, R21)",
        &["", "polls/s", "middle", "99 %", "mark"],
    );
    for (what, rate, mark) in [
        ("nobody slow".to_owned(), before, ""),
        (format!("{readers} streams that are read a byte a second"), with_readers, "within 10 %"),
        (format!("{askers} requests that never end"), with_askers, ""),
    ] {
        let per_second = format!("{:.0}", rate.per_second);
        report::row(&[what, per_second, report::time(rate.half), report::time(rate.nearly_all), mark.into()]);
    }
    println!(
        "\n{} resident with the slow readers; {left} of the endless requests are open after 40 s.",
        report::size(memory)
    );
}

async fn open<F: Future<Output = ()> + Send + 'static>(
    count: usize,
    to: SocketAddr,
    behave: fn(tokio::net::TcpStream) -> F,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for number in 0..count {
        let stream = connect_from(number, to).await.expect("connections are taken all the same");
        tasks.push(tokio::spawn(behave(stream)));
    }
    tasks
}

fn stop(tasks: Vec<JoinHandle<()>>) {
    tasks.iter().for_each(JoinHandle::abort);
}

async fn read_slowly(mut stream: tokio::net::TcpStream) {
    let ask = request("GET", "/all", &[("Authorization", SDK_KEY)], b"");
    if stream.write_all(&ask).await.is_err() {
        return;
    }
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn ask_slowly(mut stream: tokio::net::TcpStream) {
    let (mut reading, mut writing) = stream.split();
    let write = async {
        let _ = writing.write_all(b"GET /all HTTP/1.1\r\nHost: load\r\n").await;
        for number in 0_u64.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writing.write_all(format!("X-{number}: a\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let mut buffer = [0; 1024];
    let end = async { while let Ok(1..) = reading.read(&mut buffer).await {} };
    tokio::select! { () = write => {}, () = end => {} }
}
