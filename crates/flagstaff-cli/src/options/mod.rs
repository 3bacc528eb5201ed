//! What can be said on the command line, in the environment as `FLAGSTAFF_<NAME>`, and in a TOML
//! file. The command line comes first, then the environment, then the file, then the default.

mod kept;
mod logs;
mod serving;
mod users;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;
use flagstaff_service::Config;
use flagstaff_service::config::Database;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use self::kept::{Backup, Check, Kept};
pub(crate) use self::logs::{LogFormat, Logging};
pub(crate) use self::serving::Serving;
use self::users::{AvatarSource, Users};
use crate::Failure;
use crate::relay::options::RelayFile;

const LISTEN: &str = "127.0.0.1:8030";
const DATA: &str = "./flagstaff-data";

/// Options of `flagstaff serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    serving: Serving,
    /// The folder that holds the databases [default: ./flagstaff-data]
    #[arg(long, env = "FLAGSTAFF_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Keep flags in PostgreSQL, which several nodes can share: postgres://user:password@host:5432/name; others see
    /// command lines, so say a password in the environment or in the file
    #[arg(long, env = "FLAGSTAFF_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Start with demo flags and well-known keys; only on an empty folder, only on loopback
    #[arg(long, env = "FLAGSTAFF_DEMO", num_args = 0..=1, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    demo: Option<bool>,
    #[command(flatten)]
    users: Users,
}

/// Options of `flagstaff owner-link`.
#[derive(Debug, Args)]
pub(crate) struct OwnerLink {
    /// Where the service takes requests [default: 127.0.0.1:8030]
    #[arg(long, env = "FLAGSTAFF_LISTEN", value_parser = address, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    kept: Kept,
}

/// The TOML file, of whatever command: one file may hold the options of several. A name that is not an option is
/// an error: most likely a misspelt one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    database_url: Option<String>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    demo: Option<bool>,
    allowed_origins: Option<Vec<String>>,
    heartbeat_interval: Option<u64>,
    metrics_listen: Option<SocketAddr>,
    trusted_proxy: Option<Vec<String>>,
    max_client_connection_time: Option<u64>,
    request_timeout: Option<u64>,
    max_connections: Option<usize>,
    max_connections_per_address: Option<usize>,
    max_streams_per_environment: Option<usize>,
    max_client_streams_per_environment: Option<usize>,
    keep_counts_days: Option<u32>,
    keep_users_days: Option<u32>,
    keep_anonymous_days: Option<u32>,
    countries: Option<PathBuf>,
    avatars: Option<AvatarSource>,
    #[serde(alias = "log-level")]
    log: Option<String>,
    log_format: Option<LogFormat>,
    pub(crate) relay: Option<RelayFile>,
}

impl Serve {
    /// The service's configuration, and what is logged.
    pub(crate) fn resolve(self) -> Result<(Config, Logging), Failure> {
        let (serving, logging, file) = self.serving.resolve()?;
        let mut config = Config::new(data(self.data, file.data.clone()));
        config.serving = serving;
        self.users.put_into(&mut config, &file)?;
        config.database = database(self.database_url, file.database_url)?;
        config.demo = self.demo.or(file.demo).unwrap_or(false);
        Ok((config, logging))
    }
}

impl OwnerLink {
    /// Where the service takes requests, and where it keeps flags.
    pub(crate) fn resolve(self) -> Result<(SocketAddr, Config), Failure> {
        let (config, file) = self.kept.resolve()?;
        Ok((listen(self.listen, file.listen), config))
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "give an IP address and a port, like 127.0.0.1:8030 or [::1]:8030")
}

fn listen(said: Option<SocketAddr>, in_file: Option<SocketAddr>) -> SocketAddr {
    said.or(in_file)
        .unwrap_or_else(|| LISTEN.parse().unwrap_or_else(|_| unreachable!("the default is an address")))
}

fn data(said: Option<PathBuf>, in_file: Option<PathBuf>) -> PathBuf {
    said.or(in_file).unwrap_or_else(|| DATA.into())
}

/// An empty address is none: so it can be unset in an environment that others have set.
fn database(said: Option<String>, in_file: Option<String>) -> Result<Database, Failure> {
    match said.or(in_file).filter(|url| !url.is_empty()) {
        Some(url) => Ok(Database::Postgres(url.parse().map_err(|error| format!("database-url: {error}"))?)),
        None => Ok(Database::Sqlite),
    }
}

fn read<T: Default + DeserializeOwned>(path: Option<&Path>) -> Result<T, Failure> {
    let Some(path) = path else {
        return Ok(T::default());
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("could not read the configuration `{shown}`: {error}"))?;
    toml::from_str(&text)
        .map_err(|error| format!("could not understand the configuration `{shown}`: {error}"))
}
