//! Measuring two things in one run, turn by turn, so that a drift of the machine's speed hits both.

pub mod upstream;

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one round of one side takes, about.
const ROUND: Duration = Duration::from_millis(10);
/// Rounds of each side; the median is reported.
const ROUNDS: usize = 21;

/// Median nanoseconds per call of ours and of the peer.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Ours.
    pub ours: f64,
    /// The peer's.
    pub peer: f64,
}

/// Runs both in turn and returns the median time of one call of each.
pub fn pair<A, B>(mut ours: impl FnMut() -> A, mut peer: impl FnMut() -> B) -> Pair {
    let mut ours = || drop(black_box(ours()));
    let mut peer = || drop(black_box(peer()));
    let (ours_calls, peer_calls) = (calls_per_round(&mut ours), calls_per_round(&mut peer));
    let mut rounds: Vec<(f64, f64)> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push((time(&mut ours, ours_calls), time(&mut peer, peer_calls)));
    }
    Pair {
        ours: median(rounds.iter().map(|round| round.0).collect()),
        peer: median(rounds.iter().map(|round| round.1).collect()),
    }
}

/// Median nanoseconds per call.
pub fn alone<A>(mut run: impl FnMut() -> A) -> f64 {
    let mut run = || drop(black_box(run()));
    let calls = calls_per_round(&mut run);
    median((0..ROUNDS).map(|_| time(&mut run, calls)).collect())
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn calls_per_round(run: &mut impl FnMut()) -> u32 {
    let mut calls = 1;
    loop {
        let start = Instant::now();
        for _ in 0..calls {
            run();
        }
        let spent = start.elapsed();
        if spent >= ROUND / 4 {
            let per_call = spent.as_secs_f64() / f64::from(calls);
            return ((ROUND.as_secs_f64() / per_call) as u32).max(1);
        }
        calls *= 4;
    }
}

fn time(run: &mut impl FnMut(), calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        run();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

/// One line of the table that `make bench` prints: name, ours, the peer's, ratio, and the mark.
pub fn line(name: &str, pair: Pair, mark: &str) {
    let (ours, peer) = (figure(pair.ours), figure(pair.peer));
    println!("| {name} | {ours} | {peer} | {:.1}x | {mark} |", pair.peer / pair.ours);
}

/// The head of the table.
pub fn head(title: &str, peer: &str) {
    println!("\n### {title}\n\n| Case | ours | {peer} | ratio | mark |\n|---|---|---|---|---|");
}

/// Nanoseconds in a readable unit.
pub fn figure(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1_000.0 => format!("{n:.1} ns"),
        n if n < 1_000_000.0 => format!("{:.2} us", n / 1_000.0),
        n => format!("{:.2} ms", n / 1_000_000.0),
    }
}

/// Resident memory of this process, in MiB.
pub fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux says");
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    // The page size of every machine this is meant for.
    pages * 4096.0 / (1 << 20) as f64
}
