//! `flagstaff serve`: the whole service in one process.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use flagstaff_service::error::chain;
use flagstaff_service::management::demo;
use flagstaff_service::management::setup::FirstStart;
use flagstaff_service::{App, Config};

use crate::process::Signals;
use crate::{Failure, logging, notify, options, print, process};

/// The file in the data folder that holds the first sign-in link, where no terminal shows it.
const FIRST_SIGN_IN: &str = "first-sign-in";

pub(crate) fn run(options: options::Serve) -> Result<(), Failure> {
    let (config, logging) = options.resolve()?;
    logging::start(&logging)?;
    process::run(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let data = config.data.clone();
    let Some(started) = signals.unless_stopped(App::start(config)).await else { return Ok(()) };
    let running = started.map_err(|error| chain(&error))?;
    let base = running.base_url();
    print(&format!("listening on {base}\n"))?;
    if let Some(address) = running.metrics_address() {
        let scheme = base.split(':').next().unwrap_or("http");
        print(&format!("metrics on {scheme}://{address}/metrics\n"))?;
    }
    match running.first_start() {
        FirstStart::Owner { sign_in_path } => hand_over(&data, &format!("{base}{sign_in_path}"))?,
        _ if running.app().settings.demo => print(&demo_lines(&base))?,
        _ => {}
    }
    notify::tell(notify::READY);
    let tls = running.app().serving.clone();
    signals.then(|| tls.look_at_certificate(), || running.stop()).await
}

/// The link goes to whoever sits at the terminal, else into a file that only its owner reads.
fn hand_over(data: &Path, link: &str) -> Result<(), Failure> {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "sign in as the owner, once, within a day: {link}");
        return Ok(());
    }
    let path = data.join(FIRST_SIGN_IN);
    let write = || {
        // Without databases in it, nobody has made it.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
        let mut open = std::fs::OpenOptions::new();
        let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        writeln!(file, "{link}")
    };
    write().map_err(|error| {
        let shown = path.display();
        format!(
            "could not write the sign-in link to `{shown}`: {error}; `flagstaff owner-link` makes another"
        )
    })?;
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
    line("key of relays", demo::RELAY_KEY);
    for environment in demo::ENVIRONMENTS {
        line(&format!("mobile key, {environment}"), &format!("mob-demo-{environment}"));
        line(&format!("client-side ID, {environment}"), &format!("demo-{environment}"));
    }
    text
}
