//! What can be said about a relay: see [`crate::options`]. In the file its options stand in a table of their own:
//!
//! ```toml
//! listen = "0.0.0.0:8030"
//!
//! [relay]
//! upstream = "https://flags.example"
//!
//! [relay.environments.production]
//! sdk-key = "sdk-…"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use flagstaff_relay::Config;
use flagstaff_relay::config::{Delivery, Environment, EventMode, Names, Upstream};
use serde::Deserialize;

use super::database::InDatabase;
use super::told::{Told, ToldFile};
use super::variables::{Variables, split};
use crate::Failure;
use crate::options::{Logging, Serving};

const DATA: &str = "./flagstaff-relay-data";

/// Options of `flagstaff relay`.
#[derive(Debug, Args)]
pub(crate) struct Relay {
    #[command(flatten)]
    serving: Serving,
    /// The folder that keeps what is known of each environment, to start from while upstream is away; empty keeps
    /// nothing [default: ./flagstaff-relay-data]
    #[arg(long, env = "FLAGSTAFF_DATA", value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The service to relay, like https://flags.example [default: LaunchDarkly's]
    #[arg(long, env = "FLAGSTAFF_UPSTREAM", value_name = "URL")]
    upstream: Option<String>,
    /// Another address for its streams
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_STREAM", value_name = "URL")]
    upstream_stream: Option<String>,
    /// Another address for its polls
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_POLL", value_name = "URL")]
    upstream_poll: Option<String>,
    /// Another address for events
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_EVENTS", value_name = "URL")]
    upstream_events: Option<String>,
    /// Another address for what browsers are to report
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_CLIENT_SIDE", value_name = "URL")]
    upstream_client_side: Option<String>,
    /// How flags are received: by a stream, by polls, or by second-generation delivery [default: stream]
    #[arg(long, env = "FLAGSTAFF_DELIVERY", value_name = "HOW")]
    delivery: Option<How>,
    /// How often flags are polled, where they are, in seconds; at least 30 [default: 30]
    #[arg(long, env = "FLAGSTAFF_POLL_INTERVAL", value_name = "SECONDS")]
    poll_interval: Option<u64>,
    /// The HTTP proxy that all requests upstream go through [default: HTTPS_PROXY or HTTP_PROXY of the environment]
    #[arg(long, env = "FLAGSTAFF_PROXY", hide_env_values = true, value_name = "URL")]
    proxy: Option<String>,
    /// A file with the certificate authorities to trust upstream, as PEM [default: the public ones]
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_CA", value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// A file with a certificate to show upstream, and its key, as PEM
    #[arg(long, env = "FLAGSTAFF_UPSTREAM_CERTIFICATE", value_name = "FILE")]
    upstream_certificate: Option<PathBuf>,
    /// An environment to relay, as name=NAME,sdk-key=KEY and if need be mobile-key=, client-side-id=,
    /// secure-mode=true, ttl-minutes=, prefix=, table=, project=, filters=A+B; again for more, in the environment
    /// with `;` between. Others see command lines, so say keys in the environment or in the file
    #[arg(
        long = "environment",
        env = "FLAGSTAFF_ENVIRONMENTS",
        hide_env_values = true,
        value_delimiter = ';',
        value_name = "SETTINGS"
    )]
    environments: Option<Vec<String>>,
    #[command(flatten)]
    told: Told,
    /// What becomes of events: forwarded upstream, refused with 503, or discarded [default: forward]
    #[arg(long, env = "FLAGSTAFF_EVENTS", value_name = "WHAT")]
    events: Option<What>,
    /// How many events of one environment may wait to be forwarded [default: 10000]
    #[arg(long, env = "FLAGSTAFF_EVENTS_CAPACITY", value_name = "COUNT")]
    events_capacity: Option<usize>,
    #[command(flatten)]
    database: InDatabase,
    /// For so long an environment counts as connected after its connection was lost, in seconds [default: 60]
    #[arg(long, env = "FLAGSTAFF_DISCONNECTED_AFTER", value_name = "SECONDS")]
    disconnected_after: Option<u64>,
    /// After so long without a word that they are up to date, big segments count as stale in /status, in seconds
    /// [default: 300]
    #[arg(long, env = "FLAGSTAFF_BIG_SEGMENTS_STALE_AFTER", value_name = "SECONDS")]
    big_segments_stale_after: Option<u64>,
    /// A relay with stale big segments says in /status that it is not well
    #[arg(long, env = "FLAGSTAFF_BIG_SEGMENTS_STALE_AS_DEGRADED", num_args = 0..=1, default_missing_value = "true",
        value_name = "TRUTH")]
    big_segments_stale_as_degraded: Option<bool>,
}

/// How flags are received.
#[derive(Clone, Copy, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    Stream,
    Poll,
    Fdv2,
}

/// What becomes of events.
#[derive(Clone, Copy, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Forward,
    Refuse,
    Discard,
}

/// The table `[relay]` of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RelayFile {
    data: Option<PathBuf>,
    upstream: Option<String>,
    upstream_stream: Option<String>,
    upstream_poll: Option<String>,
    upstream_events: Option<String>,
    upstream_client_side: Option<String>,
    delivery: Option<How>,
    poll_interval: Option<u64>,
    proxy: Option<String>,
    upstream_ca: Option<PathBuf>,
    upstream_certificate: Option<PathBuf>,
    events: Option<What>,
    events_capacity: Option<usize>,
    redis_url: Option<String>,
    consul: Option<String>,
    consul_token: Option<String>,
    dynamodb_table: Option<String>,
    dynamodb_url: Option<String>,
    disconnected_after: Option<u64>,
    big_segments_stale_after: Option<u64>,
    big_segments_stale_as_degraded: Option<bool>,
    #[serde(default)]
    environments: BTreeMap<String, EnvironmentInFile>,
    /// Who says what else is served, and how that is served.
    #[serde(default)]
    told: ToldFile,
}

/// An environment in the file: its name is that of its table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EnvironmentInFile {
    sdk_key: String,
    mobile_key: Option<String>,
    client_side_id: Option<String>,
    #[serde(default)]
    secure_mode: bool,
    #[serde(default)]
    ttl_minutes: u32,
    prefix: Option<String>,
    table: Option<String>,
    #[serde(default)]
    project: String,
    #[serde(default)]
    filters: BTreeSet<String>,
    #[serde(default)]
    allowed_origins: Vec<String>,
    #[serde(default)]
    allowed_headers: Vec<String>,
}

impl Relay {
    /// The relay's configuration, what is logged, and which variables of other relays are set that mean nothing
    /// here.
    pub(crate) fn resolve(mut self) -> Result<(Config, Logging, Vec<String>), Failure> {
        // Those that are no text can be nothing of ours.
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        let set = Variables::read(texts)?;
        self.serving.or_else(&set);
        let (serving, logging, file) = self.serving.resolve()?;
        let file = file.relay.unwrap_or_default();
        let mut config = Config::default();
        config.serving = serving;
        config.data = Some(self.data.or(file.data).unwrap_or_else(|| DATA.into()))
            .filter(|folder| !folder.as_os_str().is_empty());

        let is_said = self.upstream.is_some();
        let base = self.upstream.or(file.upstream);
        let mut upstream = base.as_deref().map_or_else(Upstream::default, Upstream::at);
        let of = |said: Option<String>, set: Option<String>, in_file: Option<String>, into: &mut String| {
            // What is said of the whole counts before what is set for a part of it elsewhere.
            if let Some(url) = said.or(set.or(in_file).filter(|_| !is_said)) {
                *into = url;
            }
        };
        of(self.upstream_stream, set.stream, file.upstream_stream, &mut upstream.stream);
        of(self.upstream_poll, set.poll, file.upstream_poll, &mut upstream.poll);
        of(self.upstream_events, set.events, file.upstream_events, &mut upstream.events);
        // Whoever names a service by its parts does not mean another one by what is not named.
        let is_other = upstream.poll != Upstream::default().poll;
        let client_side = file.upstream_client_side.or_else(|| is_other.then(|| upstream.poll.clone()));
        of(self.upstream_client_side, set.client_side, client_side, &mut upstream.client_side);
        upstream.delivery = match self.delivery.or(file.delivery) {
            None | Some(How::Stream) => Delivery::Stream,
            Some(How::Poll) => Delivery::Poll,
            Some(How::Fdv2) => Delivery::Fdv2,
        };
        if let Some(seconds) = self.poll_interval.or(file.poll_interval) {
            upstream.poll_interval = Duration::from_secs(seconds);
        }
        upstream.proxy = self.proxy.or(set.proxy).or(file.proxy);
        upstream.ca_file = self.upstream_ca.or(set.ca_file).or(file.upstream_ca);
        upstream.client_certificate = self.upstream_certificate.or(file.upstream_certificate);
        config.upstream = upstream;

        let said = self.events.map(mode);
        if let Some(mode) = said.or(set.event_mode).or(file.events.map(mode)) {
            config.events.mode = mode;
        }
        let capacity = self.events_capacity.or(set.events_capacity).or(file.events_capacity);
        if let Some(capacity) = capacity {
            if capacity == 0 {
                return Err("events-capacity is 0; give at least 1, or use --events refuse".into());
            }
            config.events.capacity = capacity;
        }
        let said = self.disconnected_after.map(Duration::from_secs).or(set.disconnected_after);
        if let Some(time) = said.or(file.disconnected_after.map(Duration::from_secs)) {
            config.disconnected_after = time;
        }
        let said = self.big_segments_stale_after.map(Duration::from_secs).or(set.big_segments_stale_after);
        if let Some(time) = said.or(file.big_segments_stale_after.map(Duration::from_secs)) {
            config.big_segments_stale_after = time;
        }
        let said = self.big_segments_stale_as_degraded.or(set.big_segments_stale_as_degraded);
        config.big_segments_stale_as_degraded =
            said.or(file.big_segments_stale_as_degraded).unwrap_or(config.big_segments_stale_as_degraded);
        let database_in_file = InDatabase {
            redis_url: file.redis_url,
            consul: file.consul,
            consul_token: file.consul_token,
            dynamodb_table: file.dynamodb_table,
            dynamodb_url: file.dynamodb_url,
        };
        config.database = self.database.resolve(set.database, database_in_file)?;
        let in_file = file.environments.into_iter().map(|(name, environment)| environment.named(name));
        config.environments = match self.environments {
            Some(said) => said.iter().map(|text| environment(text)).collect::<Result<_, _>>()?,
            None if !set.environments.is_empty() => set.environments,
            None => in_file.collect::<Result<_, _>>()?,
        };
        self.told.resolve(set.told, file.told, &mut config)?;
        let is_told = config.auto_config.is_some() || config.offline_archive.is_some();
        if config.environments.is_empty() && !is_told {
            return Err(
                "there is no environment to relay; give auto-config-key or offline-archive, or name one with --environment, in the environment as \
                FLAGSTAFF_ENVIRONMENTS or LD_ENV_NAME, or in the file as [relay.environments.NAME]"
                    .into(),
            );
        }
        Ok((config, logging, set.unused))
    }
}

fn mode(what: What) -> EventMode {
    match what {
        What::Forward => EventMode::Forwarded,
        What::Refuse => EventMode::Refused,
        What::Discard => EventMode::Discarded,
    }
}

impl EnvironmentInFile {
    fn named(self, name: String) -> Result<Environment, Failure> {
        let origins = self.allowed_origins.iter().map(|origin| origin.parse());
        Ok(Environment {
            mobile_key: self.mobile_key,
            client_side_id: self.client_side_id,
            secure_mode: self.secure_mode,
            names: Names { project_key: self.project, ..Names::default() },
            ttl_minutes: self.ttl_minutes.into(),
            allowed_origins: origins.collect::<Result<_, _>>()?,
            allowed_headers: self.allowed_headers,
            filters: self.filters,
            prefix: self.prefix,
            table: self.table,
            ..Environment::new(name, self.sdk_key)
        })
    }
}

/// `name=production,sdk-key=sdk-…,…`. What is wrong is said without the keys.
fn environment(text: &str) -> Result<Environment, Failure> {
    let mut environment = Environment::default();
    for setting in split(text) {
        let (name, value) = setting.split_once('=').ok_or("give settings like name=NAME,sdk-key=KEY")?;
        let value = value.to_owned();
        match name {
            "name" => environment.name = value,
            "sdk-key" => environment.sdk_key = value,
            "mobile-key" => environment.mobile_key = Some(value),
            "client-side-id" => environment.client_side_id = Some(value),
            "secure-mode" => {
                environment.secure_mode = value.parse().map_err(|_| "secure-mode is true or false")?;
            }
            "ttl-minutes" => {
                let minutes: u32 = value.parse().map_err(|_| "ttl-minutes is a whole number")?;
                environment.ttl_minutes = minutes.into();
            }
            "prefix" => environment.prefix = Some(value),
            "table" => environment.table = Some(value),
            "project" => environment.names.project_key = value,
            "filters" => environment.filters = value.split('+').map(str::to_owned).collect(),
            _ => return Err(format!("an environment has no setting `{}`", name.escape_debug())),
        }
    }
    if environment.name.is_empty() {
        return Err("an environment needs a name: name=NAME,sdk-key=KEY".into());
    }
    environment.check().map_err(|error| error.to_string())?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_read_from_its_settings() {
        let read = environment(
            "name=one, sdk-key=sdk-1,mobile-key=mob-1,secure-mode=true,filters=a+b,ttl-minutes=5",
        );
        let read = read.unwrap();
        assert_eq!(
            (&*read.name, &*read.sdk_key, read.mobile_key.as_deref()),
            ("one", "sdk-1", Some("mob-1"))
        );
        assert_eq!((read.secure_mode, read.ttl_minutes, read.filters.len()), (true, 5, 2));
        for (text, wrong) in [
            ("sdk-key=sdk-1", "needs a name"),
            ("name=one", "has no SDK key"),
            ("name=one,sdk-key=s,colour=red", "`colour`"),
            ("name=one,sdk-key=s,secure-mode=maybe", "secure-mode is true or false"),
        ] {
            let said = environment(text).unwrap_err();
            assert!(said.contains(wrong), "{said}");
        }
    }

    #[test]
    fn the_file_has_a_table_of_its_own_for_a_relay() {
        let file: RelayFile = toml::from_str(
            "upstream = 'http://a'\ndelivery = 'fdv2'\n\
             [environments.'my shop']\nsdk-key = 'sdk-1'\nfilters = ['web']\nallowed-origins = ['https://shop.example']\n",
        )
        .unwrap();
        let (name, environment) = file.environments.into_iter().next().unwrap();
        let environment = environment.named(name).unwrap();
        assert_eq!((&*environment.name, environment.allowed_origins.len()), ("my shop", 1));
        assert!(toml::from_str::<RelayFile>("upstraem = 'http://a'").is_err());
    }
}
