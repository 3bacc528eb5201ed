//! Load on a running service, and its figures against the design's marks: `make load`.
//!
//! Everything stays on loopback. The service, its peer and the bare loop are processes of their own, and so
//! is this one, which shares the machine's cores with them: so figures are those of a small machine that does
//! both. Connections come from several loopback addresses, as one has ports for 28,000 only.
//!
//! `flagstaff-load FLAGSTAFF [--edge UNLEASH-EDGE] [--small] [SCENARIO …]`; without a scenario all of them.

mod bare;
mod edge;
mod fan_out;
mod http;
mod ingest;
mod polls;
mod report;
mod service;
mod slow;
mod storm;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;

/// What was asked for on the command line.
#[derive(Debug, Default)]
struct Asked {
    flagstaff: PathBuf,
    edge: Option<PathBuf>,
    small: bool,
    scenarios: Vec<String>,
}

impl Asked {
    /// A size, or a fraction of it in the small form, which only shows that everything works.
    fn size(&self, full: usize) -> usize {
        if self.small { (full / 50).max(1) } else { full }
    }

    fn wants(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|wanted| wanted == scenario)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut asked = Asked::default();
    while let Some(argument) = arguments.next() {
        match &*argument {
            bare::ARGUMENT => return bare::serve(),
            "--edge" => asked.edge = arguments.next().map(PathBuf::from),
            "--small" => asked.small = true,
            _ if asked.flagstaff.as_os_str().is_empty() => asked.flagstaff = argument.into(),
            _ => asked.scenarios.push(argument),
        }
    }
    if asked.flagstaff.as_os_str().is_empty() {
        eprintln!("say which executable to load: flagstaff-load PATH/flagstaff [SCENARIO …]");
        return ExitCode::from(2);
    }
    // Each stream takes a file handle here, too.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("could not raise the limit of open files: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(&asked));
    ExitCode::SUCCESS
}

async fn run(asked: &Asked) {
    if asked.wants("polls") {
        polls::run(asked).await;
    }
    if asked.wants("fan-out") {
        fan_out::run(asked).await;
    }
    if asked.wants("streams") {
        streams::run(asked).await;
    }
    if asked.wants("storm") {
        storm::run(asked).await;
    }
    if asked.wants("slow") {
        slow::run(asked).await;
    }
    if asked.wants("ingest") {
        ingest::run(asked).await;
    }
}
