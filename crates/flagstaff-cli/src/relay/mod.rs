//! `flagstaff relay`: environments of another service, served on.

mod database;
pub(crate) mod options;
mod told;
mod variables;

use flagstaff_relay::Config;
use flagstaff_service::error::chain;

pub(crate) use self::options::Relay as Options;
pub(crate) use self::variables::Variables;
use crate::process::Signals;
use crate::{Failure, logging, notify, print, process};

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let (config, logs, unused) = options.resolve()?;
    logging::start(&logs)?;
    if !unused.is_empty() {
        tracing::info!("set, but without a meaning here: {}", unused.join(", "));
    }
    process::run(relay(config))
}

async fn relay(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let Some(started) = signals.unless_stopped(flagstaff_relay::Relay::start(config)).await else {
        return Ok(());
    };
    let running = started.map_err(|error| chain(&error))?;
    print(&format!("listening on {}\n", running.base_url()))?;
    notify::tell(notify::READY);
    let tls = running.relay().serving.clone();
    signals.then(|| tls.look_at_certificate(), || running.stop()).await
}
