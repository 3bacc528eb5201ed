//! `flagstaff export`: flags and segments, and what people called them, in one file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use flagstaff_service::auth::Actor;
use flagstaff_service::error::chain;
use flagstaff_service::management::transfer::document::Items;
use flagstaff_service::management::transfer::{self, Document, Kept, Scope};

use crate::remote::{Remote, part, stream_once};
use crate::{Failure, one_thread, options, print};

/// Options of `flagstaff export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    remote: Remote,
    /// An SDK key instead of an access token: what SDKs read of its environment, and nothing else
    #[arg(long, env = "FLAGSTAFF_SDK_KEY", hide_env_values = true, value_name = "KEY")]
    sdk_key: Option<String>,
    #[command(flatten)]
    kept: options::Kept,
    /// Only this project
    #[arg(long, value_name = "KEY")]
    project: Option<String>,
    /// Only this environment
    #[arg(long, value_name = "KEY")]
    environment: Option<String>,
    /// Put the keys in that SDKs come with: secrets, for a service that takes this one's place
    #[arg(long)]
    keys: bool,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(options: Export) -> Result<(), Failure> {
    let text = one_thread(text(&options))?;
    match &options.output {
        Some(path) => write(path, &text),
        None => print(&text),
    }
}

async fn text(options: &Export) -> Result<String, Failure> {
    let scope = Scope {
        project_key: options.project.as_deref(),
        environment_key: options.environment.as_deref(),
        with_keys: options.keys,
    };
    match (&options.remote.url, options.kept.is_named()) {
        (Some(_), true) => Err(WHERE_FROM.to_owned()),
        (Some(url), false) if options.remote.token.is_none() => match &options.sdk_key {
            Some(_) if scope.project_key.or(scope.environment_key).is_some() || scope.with_keys => {
                Err("an SDK key is of one environment, and sees neither names nor keys; leave --project, \
                     --environment and --keys out, or give an access token with --token"
                    .to_owned())
            }
            Some(sdk_key) => {
                let data = stream_once(url, sdk_key, &options.remote.network).await?;
                let flags = data.flags.into_iter().map(|(_, flag)| flag);
                let items = Items::canonical(flags, data.segments.into_iter().map(|(_, segment)| segment));
                Ok(Document { data: items, section: None }.to_text())
            }
            None => Err(format!(
                "an access token of `{url}` is needed: give it with --token, or an SDK key with --sdk-key"
            )),
        },
        (Some(_), false) => {
            let mut query = format!("/api/v2/export?keys={}", scope.with_keys);
            for (name, value) in [("project", scope.project_key), ("environment", scope.environment_key)] {
                query.extend(value.map(|value| format!("&{name}={}", part(value))));
            }
            let body = options.remote.api()?.get_text(&query).await?;
            String::from_utf8(body).map_err(|_| "the service did not answer with text".to_owned())
        }
        (None, _) => {
            let (config, _) = options.kept.clone().resolve()?;
            let kept = Kept::to_read(&config).await.map_err(|error| chain(&error))?;
            let document = transfer::export(&kept.store, &Actor::system(), scope).await;
            kept.store.close().await;
            Ok(document.map_err(|error| chain(&error))?.to_text())
        }
    }
}

/// Two places at once.
pub(crate) const WHERE_FROM: &str =
    "say either where a service runs, with --url, or where it keeps its flags, with --data or --database-url";

/// Keys may stand in it, so nobody else reads it. Whole or not at all: it may take the place of an older one.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        // What was written of it is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
        format!("could not write `{}`: {error}", path.display())
    })
}
