//! The least work there can be: a process that writes the same bytes to every connection, and nothing else.

use std::io::BufRead as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::fan_out::Streams;

/// What makes this executable be that process.
pub const ARGUMENT: &str = "--bare-loop";

/// As long as a change of a flag of the demo's size.
fn change() -> Vec<u8> {
    let data = "x".repeat(300 - b"event: patch\ndata: \n\n".len());
    format!("event: patch\ndata: {data}\n\n").into_bytes()
}

/// How long until so many connections had each of so many changes.
pub async fn times(connections: usize, changes: usize) -> Vec<Duration> {
    let own = std::env::current_exe().expect("this executable");
    let mut process = Command::new(own)
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(process.stdout.take().expect("piped"));
    out.read_line(&mut line).expect("where it listens");
    let mut streams = Streams::open(line.trim().parse().expect("an address"), connections, changes).await;
    let mut go = process.stdin.take().expect("piped");
    let mut times = Vec::new();
    for number in 0..changes {
        let started = Instant::now();
        std::io::Write::write_all(&mut go, b"\n").expect("it listens");
        if let Some(everyone) = streams.all_have(number + 1).await {
            times.push(everyone - started);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drop(go);
    process.wait().expect("it ends by itself");
    times
}

/// The process: a change for every line of the input.
pub fn serve() -> ExitCode {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("could not raise the limit of open files: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("it is bound"));
        let (changes, _) = tokio::sync::broadcast::channel::<()>(16);
        let accepting = changes.clone();
        tokio::spawn(async move {
            let change = change();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut changes, change) = (accepting.subscribe(), change.clone());
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    let _ = stream.set_nodelay(true);
                    let _ = stream.read(&mut request).await;
                    let mut alive = stream.write_all(b":\n\n").await.is_ok();
                    while alive && changes.recv().await.is_ok() {
                        alive = stream.write_all(&change).await.is_ok();
                    }
                });
            }
        });
        let (lines, mut told) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for _ in std::io::stdin().lock().lines() {
                // Nobody listens any more at the end.
                let _ = lines.send(());
            }
        });
        while told.recv().await.is_some() {
            let _ = changes.send(());
        }
    });
    ExitCode::SUCCESS
}
