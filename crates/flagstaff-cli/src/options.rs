//! What can be said on the command line, in the environment as `FLAGSTAFF_<NAME>`, and in a TOML
//! file. The command line comes first, then the environment, then the file, then the default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use flagstaff_service::config::{Database, Origin};
use flagstaff_service::tls::TlsFiles;
use flagstaff_service::{Config, ServingConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Failure;

const LISTEN: &str = "127.0.0.1:8030";
const DATA: &str = "./flagstaff-data";
const LOG: &str = "info";

/// Options of whatever serves SDKs: `flagstaff serve` and `flagstaff relay`.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// Where to take requests; port 0 picks a free one [default: 127.0.0.1:8030]
    #[arg(long, env = "FLAGSTAFF_LISTEN", value_parser = address, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// A file with the certificate to encrypt connections with, and those that vouch for it, as PEM; it is read
    /// again when it changes
    #[arg(long, env = "FLAGSTAFF_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// A file with the certificate's private key, as PEM
    #[arg(long, env = "FLAGSTAFF_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The origins whose pages may read what browsers ask for, like https://shop.example [default: any]
    #[arg(long, env = "FLAGSTAFF_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,...")]
    allowed_origins: Option<Vec<Origin>>,
    /// How often an idle stream gets a comment line, in seconds; 0 turns it off [default: 180]
    #[arg(long, env = "FLAGSTAFF_HEARTBEAT_INTERVAL", value_name = "SECONDS")]
    heartbeat_interval: Option<u64>,
    /// What is logged: error, warn, info, debug, or by module [default: info]
    #[arg(long, env = "FLAGSTAFF_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// A TOML file with these options by name: listen = "127.0.0.1:8030"
    #[arg(long, env = "FLAGSTAFF_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

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
}

/// Options of `flagstaff owner-link`.
#[derive(Debug, Args)]
pub(crate) struct OwnerLink {
    /// Where the service takes requests [default: 127.0.0.1:8030]
    #[arg(long, env = "FLAGSTAFF_LISTEN", value_parser = address, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The service's data folder [default: ./flagstaff-data]
    #[arg(long, env = "FLAGSTAFF_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The service's PostgreSQL database, if it uses one
    #[arg(long, env = "FLAGSTAFF_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// The TOML file the service was started with
    #[arg(long, env = "FLAGSTAFF_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
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
    log: Option<String>,
}

impl Serving {
    /// How SDKs are served, and what is logged; and the file, for the rest.
    pub(crate) fn resolve(self) -> Result<(ServingConfig, String, File), Failure> {
        let mut file: File = read(self.config.as_deref())?;
        let mut serving = ServingConfig::default();
        serving.listen = listen(self.listen, file.listen);
        serving.tls = match (
            self.tls_certificate.or(file.tls_certificate.take()),
            self.tls_key.or(file.tls_key.take()),
        ) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => return Err("give both tls-certificate and tls-key, or neither".into()),
        };
        let in_file = file.allowed_origins.take().unwrap_or_default();
        serving.allowed_origins = match self.allowed_origins {
            Some(said) => said,
            None => in_file.iter().map(|origin| origin.parse::<Origin>()).collect::<Result<_, _>>()?,
        };
        if let Some(seconds) = self.heartbeat_interval.or(file.heartbeat_interval) {
            serving.heartbeat_interval = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        let log = self.log.or(file.log.take()).unwrap_or_else(|| LOG.to_owned());
        Ok((serving, log, file))
    }
}

impl Serve {
    /// The service's configuration, and what is logged.
    pub(crate) fn resolve(self) -> Result<(Config, String), Failure> {
        let (serving, log, file) = self.serving.resolve()?;
        let mut config = Config::new(data(self.data, file.data));
        config.serving = serving;
        config.database = database(self.database_url, file.database_url)?;
        config.demo = self.demo.or(file.demo).unwrap_or(false);
        Ok((config, log))
    }
}

impl OwnerLink {
    /// Where the service takes requests, and where it keeps flags.
    pub(crate) fn resolve(self) -> Result<(SocketAddr, Config), Failure> {
        let file: File = read(self.config.as_deref())?;
        let mut config = Config::new(data(self.data, file.data));
        config.database = database(self.database_url, file.database_url)?;
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
