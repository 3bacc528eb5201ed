//! `flagstaff archive`: what a service has, in a file that relays serve without one.

use std::path::PathBuf;

use clap::Args;
use flagstaff_relay::archive::{fetch, write};
use flagstaff_relay::config::Upstream;
use flagstaff_relay::{AutoConfig, archive};
use flagstaff_service::error::chain;

use crate::{Failure, print, process};

/// Options of `flagstaff archive`.
#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// The file to write: a .tar, or compressed, a .tar.gz. It holds SDK keys, so only its owner may read it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The service, like https://flags.example [default: LaunchDarkly's]
    #[arg(long, env = "FLAGSTAFF_UPSTREAM", value_name = "URL")]
    upstream: Option<String>,
    /// The key of a relay configuration there, which says which environments. Others see command lines, so say it
    /// in the environment
    #[arg(long, env = "FLAGSTAFF_AUTO_CONFIG_KEY", hide_env_values = true, value_name = "KEY")]
    auto_config_key: String,
    /// The HTTP proxy that all requests go through [default: HTTPS_PROXY or HTTP_PROXY of the environment]
    #[arg(long, env = "FLAGSTAFF_PROXY", hide_env_values = true, value_name = "URL")]
    proxy: Option<String>,
    /// A file with the certificate authorities to trust, as PEM [default: the public ones]
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_CA", value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
}

pub(crate) fn run(options: Archive) -> Result<(), Failure> {
    let mut upstream = options.upstream.as_deref().map_or_else(Upstream::default, Upstream::at);
    upstream.proxy = options.proxy;
    upstream.ca_file = options.upstream_ca;
    let auto = AutoConfig { key: options.auto_config_key };
    let file = options.file;
    process::run(async move {
        let contents = fetch(&upstream, &auto).await.map_err(|error| chain(&error))?;
        write(&file, &contents).map_err(|error| chain(&error))?;
        print(&said(&contents))
    })
}

fn said(contents: &archive::Contents) -> String {
    let mut text = String::new();
    for (id, archived) in contents {
        let environment = &archived.environment;
        text.push_str(&format!("{} {} {id}\n", environment.project_key, environment.key));
    }
    text
}
