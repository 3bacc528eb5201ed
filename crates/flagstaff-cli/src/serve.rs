//! `flagstaff serve`: the whole service in one process.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flagstaff_service::error::chain;
use flagstaff_service::management::demo;
use flagstaff_service::management::setup::FirstStart;
use flagstaff_service::{App, Config};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{Failure, options, print};

/// The file in the data folder that holds the first sign-in link, where no terminal shows it.
const FIRST_SIGN_IN: &str = "first-sign-in";

pub(crate) fn run(options: options::Serve) -> Result<(), Failure> {
    let (config, log) = options.resolve()?;
    let filter = EnvFilter::try_new(&log).map_err(|error| format!("`{log}` is not a log filter: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start: {error}"))?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let data = config.data.clone();
    let running = App::start(config).await.map_err(|error| chain(&error))?;
    let base = running.base_url();
    print(&format!("listening on {base}\n"))?;
    match running.first_start() {
        FirstStart::Owner { sign_in_path } => hand_over(&data, &format!("{base}{sign_in_path}"))?,
        _ if running.app().settings.demo => print(&demo_lines(&base))?,
        _ => {}
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; once more stops at once");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| format!("could not listen for signals: {error}"))
}

/// The link goes to whoever sits at the terminal, else into a file that only its owner reads.
fn hand_over(data: &Path, link: &str) -> Result<(), Failure> {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "sign in as the owner, once, within a day: {link}");
        return Ok(());
    }
    let path = data.join(FIRST_SIGN_IN);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{link}"));
    written.map_err(|error| format!("could not write the sign-in link to `{}`: {error}", path.display()))?;
    tracing::info!("the owner's one-time sign-in link is in `{}`", path.display());
    Ok(())
}

fn demo_lines(base: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<26} {value}");
    };
    line("dashboard", &format!("{base}/  sign in as {} with password {}", demo::EMAIL, demo::PASSWORD));
    for environment in demo::ENVIRONMENTS {
        line(&format!("SDK key, {environment}"), &format!("sdk-demo-{environment}"));
    }
    line("REST access token", &format!("{}  at {base}/api/v2", demo::ACCESS_TOKEN));
    for environment in demo::ENVIRONMENTS {
        line(&format!("mobile key, {environment}"), &format!("mob-demo-{environment}"));
        line(&format!("client-side ID, {environment}"), &format!("demo-{environment}"));
    }
    text
}

/// Each connected SDK takes a file handle; the usual soft limit of 1,024 would end at that many.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::info!("up to {limit} files and connections at once"),
        Err(error) => tracing::warn!(%error, "could not raise the limit of open files"),
    }
}
