//! Whole programs side by side: how long until a client has 10,000 flags, and what memory it holds,
//! for Rust, also from a snapshot file with no service there, and Python; and `variation` from Python, for each Python package in its own environment.
//!
//! Takes the Python interpreters from `../.venv` (ours), `../.venv-official-9` and
//! `../.venv-official-6`, as `make bench` sets them up.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use flagstaff_benchmarks::{figure, median, upstream};
use serde_json::Value;

const STARTS: usize = 5;

fn main() {
    let many = upstream::put_of(10_000);
    let megabytes = many.len() as f64 / 1e6;
    let url = upstream::start(many);
    println!("\n### Start with 10,000 flags ({megabytes:.1} MB), median of {STARTS} processes each\n");
    println!("| SDK | time | ratio | resident after 5 s | ratio | mark |\n|---|---|---|---|---|---|");
    let rust = |whose: &str| Program { command: vec![own("start"), whose.into(), url.clone().into()] };
    starts("Rust", [("ours", rust("ours")), ("launchdarkly-server-sdk 3.3.2", rust("peer"))], "2x, half");
    from_snapshot(&url);
    let python = |environment: &str| Program {
        command: vec![interpreter(environment), beside("python_start.py"), url.clone().into()],
    };
    let [ours, nine] = [python(".venv"), python(".venv-official-9")];
    starts("Python", [("ours", ours), ("launchdarkly-server-sdk 9.x", nine)], "8x, a third");

    let url = upstream::start(upstream::put_of(1_000));
    let variation = |environment: &str, label: &str| {
        let script = beside("python_variation.py");
        Program { command: vec![interpreter(environment), script, url.clone().into(), label.into()] }.run()
    };
    let ours = variation(".venv", "ours");
    let nine = variation(".venv-official-9", "9.x");
    let six = variation(".venv-official-6", "6.x");
    println!("\n### Python `variation`, fallthrough, {}\n", ours["python"].as_str().unwrap_or_default());
    println!("Peers: launchdarkly-server-sdk {} and {}.\n", text(&nine, "version"), text(&six, "version"));
    println!("| Case | ours | peer | ratio | mark |\n|---|---|---|---|---|");
    for (events, under) in [("events off", "< 0.5 us"), ("events on", "< 0.7 us")] {
        row(&format!("Context, {events}, beside 9.x"), &ours, &nine, &format!("Context, {events}"), &format!("{under}, 25x"));
        row(&format!("dict, {events}, beside 6.x"), &ours, &six, &format!("dict, {events}"), &format!("{under}, 10x"));
    }
    row("Context, `all_flags_state` of 1,000 flags, beside 9.x", &ours, &nine, "Context, all flags", "10x");
    row("dict, `all_flags_state` of 1,000 flags, beside 6.x", &ours, &six, "dict, all flags", "");
    println!("\n| 8 threads' total as a share of one thread's | ours | 9.x | 6.x | mark |\n|---|---|---|---|---|");
    let share = |figures: &Value, form: &str| {
        figures[format!("{form}, 8 threads to one")].as_f64().map_or("-".to_owned(), |share| format!("{share:.2}"))
    };
    println!("| Context | {} | {} | - | 0.9 |", share(&ours, "Context"), share(&nine, "Context"));
    println!("| dict | {} | - | {} | 0.9 |", share(&ours, "dict"), share(&six, "dict"));
    asyncio(&url);
}

fn asyncio(url: &str) {
    let run = |environment: &str| {
        Program { command: vec![interpreter(environment), beside("python_asyncio.py"), url.into()] }.run()
    };
    let (ours, nine) = (run(".venv"), run(".venv-official-9"));
    println!("\n### Python asyncio, 1,000 flags\n");
    println!("| Case | ours | 9.x | ratio | mark |\n|---|---|---|---|---|");
    row("`await variation`, events on", &ours, &nine, "ns", "");
    println!("\n| The loop was late at worst, ms, while the client | ours | 9.x | mark |\n|---|---|---|---|");
    let ms = |figures: &Value, name: &str| figures[name].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.2}"));
    for (what, name) in [("starts, evaluates, flushes, closes", "pause_ms"), ("is not there: the machine alone", "idle_ms")] {
        let mark = if name == "pause_ms" { "1 more than alone" } else { "" };
        println!("| {what} | {} | {} | {mark} |", ms(&ours, name), ms(&nine, name));
    }
}

struct Program {
    command: Vec<PathBuf>,
}

impl Program {
    /// Runs it to its end and reads the JSON line it prints.
    fn run(&self) -> Value {
        let output = Command::new(&self.command[0]).args(&self.command[1..]).output();
        let output = output.unwrap_or_else(|error| panic!("could not start {:?}: {error}", self.command));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?} failed: {complained}", self.command);
        serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("no JSON in `{said}`: {complained}"))
    }
}

fn starts(language: &str, programs: [(&str, Program); 2], mark: &str) {
    let mut runs: [Vec<Value>; 2] = Default::default();
    for _ in 0..STARTS {
        for (figures, (_, program)) in runs.iter_mut().zip(&programs) {
            figures.push(program.run());
        }
    }
    let middle = |runs: &[Value], name: &str| median(runs.iter().filter_map(|run| run[name].as_f64()).collect());
    let peer = (middle(&runs[1], "ms"), middle(&runs[1], "rss_mib"));
    for (runs, (name, _)) in runs.iter().zip(&programs) {
        let (ms, mib) = (middle(runs, "ms"), middle(runs, "rss_mib"));
        println!(
            "| {language}: {name} | {ms:.0} ms | {:.1}x | {mib:.0} MiB | {:.2} | {} |",
            peer.0 / ms,
            mib / peer.1,
            if *name == "ours" { mark } else { "" }
        );
    }
}

/// Ours alone: the flags are those that a client before it left in a file, and no service is there.
fn from_snapshot(url: &str) {
    let file = std::env::temp_dir().join(format!("flagstaff-benchmark-{}.json", std::process::id()));
    let kept = Command::new(own("start")).args(["keep", url]).arg(&file).status();
    assert!(kept.is_ok_and(|status| status.success()), "a client leaves a snapshot");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let away = format!("http://{}", closed.expect("a free port"));
    let program = Program { command: vec![own("start"), "snapshot".into(), away.into(), file.clone()] };
    let runs: Vec<Value> = (0..STARTS).map(|_| program.run()).collect();
    let middle = |name: &str| median(runs.iter().filter_map(|run| run[name].as_f64()).collect());
    let (ms, mib) = (middle("ms"), middle("rss_mib"));
    println!("| Rust: ours, from a snapshot file | {ms:.0} ms | - | {mib:.0} MiB | - |  |");
    std::fs::remove_file(&file).expect("the snapshot is there");
}

fn row(name: &str, ours: &Value, peer: &Value, figure_name: &str, mark: &str) {
    let (Some(ours), Some(peer)) = (ours[figure_name].as_f64(), peer[figure_name].as_f64()) else {
        println!("| {name} | - | - | - | {mark} |");
        return;
    };
    println!("| {name} | {} | {} | {:.1}x | {mark} |", figure(ours), figure(peer), peer / ours);
}

fn text<'v>(figures: &'v Value, name: &str) -> &'v str {
    figures[name].as_str().unwrap_or("?")
}

/// Another program of this crate.
fn own(name: &str) -> PathBuf {
    std::env::current_exe().expect("a path").with_file_name(name)
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn interpreter(environment: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(environment).join("bin/python");
    assert!(path.exists(), "no {}: run `make bench`, which sets it up", path.display());
    path
}
