//! What a relay is started with. Reading it from arguments, environment and file is the executable's
//! business.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::DataSource;
use flagstaff_service::ServingConfig;
use flagstaff_service::config::Origin;
use flagstaff_service::store::environment::ExpiringKey;
use flagstaff_wire::headers::is_sdk_key;
use flagstaff_wire::paths::{self, is_filter_key};

use crate::auto_config::AutoConfig;
use crate::database::Database;
use crate::served::Template;

/// Where browsers ask LaunchDarkly.
const CLIENT_SIDE_BASE: &str = "https://clientsdk.launchdarkly.com";

/// What a relay is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How environments are served downstream.
    pub serving: ServingConfig,
    /// Where they come from.
    pub upstream: Upstream,
    /// The environments that are relayed from the start.
    pub environments: Vec<Environment>,
    /// Has upstream say which others are relayed.
    pub auto_config: Option<AutoConfig>,
    /// Serves the environments in a file, without upstream.
    pub offline_archive: Option<OfflineArchive>,
    /// How environments are served that one of these brings.
    pub template: Template,
    /// The folder that keeps what is known of them, to start from while upstream is away; none keeps nothing.
    pub data: Option<PathBuf>,
    /// The database that environments are written to, for programs that read flags there.
    pub database: Option<Database>,
    /// How events are forwarded.
    pub events: Events,
    /// After so long without a word that they are up to date, big segments count as stale in `/status`.
    pub big_segments_stale_after: Duration,
    /// Whether a relay with stale big segments says of itself that it is not well.
    pub big_segments_stale_as_degraded: bool,
    /// For so long an environment counts as connected after its connection was lost.
    pub disconnected_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            serving: ServingConfig::default(),
            upstream: Upstream::default(),
            environments: Vec::new(),
            auto_config: None,
            offline_archive: None,
            template: Template::default(),
            data: None,
            database: None,
            events: Events::default(),
            big_segments_stale_after: Duration::from_secs(300),
            big_segments_stale_as_degraded: false,
            disconnected_after: Duration::from_secs(60),
        }
    }
}

/// A file with environments: see [`crate::archive`].
#[derive(Clone, Debug)]
pub struct OfflineArchive {
    /// The file.
    pub file: PathBuf,
    /// How often it is looked at.
    pub poll: Duration,
}

impl OfflineArchive {
    /// It is looked at every second.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), poll: Duration::from_secs(1) }
    }
}

/// The service that is relayed, and how it is reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upstream {
    /// The base of streams.
    pub stream: String,
    /// The base of polls.
    pub poll: String,
    /// The base of events.
    pub events: String,
    /// The base of what browsers ask for.
    pub client_side: String,
    /// How flags are received.
    pub delivery: Delivery,
    /// How often flags are polled, where they are.
    pub poll_interval: Duration,
    /// The proxy that all requests go through; without one, that of the environment, if it names one.
    pub proxy: Option<String>,
    /// Certificate authorities that are trusted instead of the public ones, as PEM.
    pub ca_file: Option<PathBuf>,
    /// A certificate that is shown to whoever asks for one, with its key, as PEM.
    pub client_certificate: Option<PathBuf>,
    /// For tests: see [`flagstaff_sdk::Config::compress_time`].
    #[doc(hidden)]
    pub time_factor: u32,
}

impl Default for Upstream {
    /// LaunchDarkly.
    fn default() -> Self {
        Self {
            stream: paths::DEFAULT_STREAM_BASE.to_owned(),
            poll: paths::DEFAULT_POLL_BASE.to_owned(),
            events: paths::DEFAULT_EVENTS_BASE.to_owned(),
            client_side: CLIENT_SIDE_BASE.to_owned(),
            delivery: Delivery::Stream,
            poll_interval: Duration::from_secs(30),
            proxy: None,
            ca_file: None,
            client_certificate: None,
            time_factor: 1,
        }
    }
}

impl Upstream {
    /// One service at one address.
    pub fn at(url: &str) -> Self {
        let base = || url.to_owned();
        Self { stream: base(), poll: base(), events: base(), client_side: base(), ..Self::default() }
    }
}

/// How flags are received from upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// By a stream, which any service has.
    #[default]
    Stream,
    /// By polls.
    Poll,
    /// By second-generation delivery: after an interruption only what changed is sent.
    Fdv2,
}

/// How events are forwarded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Events {
    /// What becomes of them.
    pub mode: EventMode,
    /// How many events of one environment may wait to be forwarded.
    pub capacity: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self { mode: EventMode::Forwarded, capacity: 10_000 }
    }
}

/// What becomes of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventMode {
    /// They go upstream.
    Forwarded,
    /// Senders are told 503: they are to send them elsewhere.
    Refused,
    /// They are taken and forgotten: there is no upstream.
    Discarded,
}

/// An environment that is relayed.
#[derive(Clone, Default)]
pub struct Environment {
    /// What it is called here; unique.
    pub name: String,
    /// The secret of server-side SDKs, upstream and downstream.
    pub sdk_key: String,
    /// The secret before it, which counts on for a while.
    pub expiring_sdk_key: Option<ExpiringKey>,
    /// The key of mobile SDKs, if these are served.
    pub mobile_key: Option<String>,
    /// The public id of browser SDKs, if these are served.
    pub client_side_id: Option<String>,
    /// Whether browser SDKs have to prove the user.
    pub secure_mode: bool,
    /// Its name upstream, if that is known.
    pub names: Names,
    /// Minutes that the PHP SDK may cache.
    pub ttl_minutes: i64,
    /// The origins whose pages may read what browsers ask for, if not those of the whole relay.
    pub allowed_origins: Vec<Origin>,
    /// Headers that pages may send, beside those of SDKs.
    pub allowed_headers: Vec<String>,
    /// Payload filters of upstream's that SDKs may ask for.
    pub filters: BTreeSet<String>,
    /// What its keys in the database begin with, if not with the usual.
    pub prefix: Option<String>,
    /// Its table in DynamoDB, if not that of the whole relay.
    pub table: Option<String>,
    /// Where its flags come from, if not from upstream.
    pub source: Option<Arc<dyn DataSource>>,
}

/// What an environment is called upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its stable name.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// Its project's stable name.
    pub project_key: String,
    /// Its project, as people call it.
    pub project_name: String,
}

/// Without secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Environment")
            .field("name", &self.name)
            .field("client_side_id", &self.client_side_id)
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}

/// What is wrong with an environment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEnvironment {
    /// It has no key.
    #[error("environment `{name}` has no SDK key; give the one of the environment upstream")]
    NoSdkKey {
        /// The environment.
        name: String,
    },
    /// It has one that cannot be.
    #[error("the {what} of environment `{name}` has characters that no key has")]
    BadKey {
        /// The environment.
        name: String,
        /// Which key.
        what: &'static str,
    },
    /// A filter that cannot be.
    #[error("`{filter}` of environment `{name}` cannot be the key of a payload filter")]
    BadFilter {
        /// The environment.
        name: String,
        /// The filter.
        filter: String,
    },
    /// Two cannot be told apart.
    #[error("environment `{name}` has the {what} of another; each needs its own")]
    Twice {
        /// The environment.
        name: String,
        /// What they share.
        what: &'static str,
    },
}

impl Environment {
    /// An environment with this SDK key, for servers alone.
    pub fn new(name: impl Into<String>, sdk_key: impl Into<String>) -> Self {
        Self { name: name.into(), sdk_key: sdk_key.into(), ..Self::default() }
    }

    /// Whether it can be relayed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), BadEnvironment> {
        let name = || self.name.clone();
        if self.sdk_key.is_empty() {
            return Err(BadEnvironment::NoSdkKey { name: name() });
        }
        let old_key = self.expiring_sdk_key.as_ref().map(|old| old.key.as_str());
        for (what, key) in [
            ("SDK key", Some(&*self.sdk_key)),
            ("expiring SDK key", old_key),
            ("mobile key", self.mobile_key.as_deref()),
            ("client-side ID", self.client_side_id.as_deref()),
        ] {
            if key.is_some_and(|key| !is_sdk_key(key)) {
                return Err(BadEnvironment::BadKey { name: name(), what });
            }
        }
        match self.filters.iter().find(|filter| !is_filter_key(filter)) {
            Some(filter) => Err(BadEnvironment::BadFilter { name: name(), filter: filter.clone() }),
            None => Ok(()),
        }
    }
}

/// Whether these can be relayed together.
///
/// # Errors
/// What is wrong with the first that cannot.
pub fn check(environments: &[Environment]) -> Result<(), BadEnvironment> {
    let mut known: HashSet<(&'static str, &str)> = HashSet::new();
    for environment in environments {
        environment.check()?;
        for (what, value) in [
            ("name", Some(&*environment.name)),
            ("SDK key", Some(&*environment.sdk_key)),
            ("mobile key", environment.mobile_key.as_deref()),
            ("client-side ID", environment.client_side_id.as_deref()),
        ] {
            if value.is_some_and(|value| !known.insert((what, value))) {
                return Err(BadEnvironment::Twice { name: environment.name.clone(), what });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_that_cannot_be_told_apart_are_refused() {
        let one = Environment::new("one", "sdk-1");
        assert_eq!(check(&[one.clone(), Environment::new("two", "sdk-2")]), Ok(()));
        let said = check(&[one.clone(), Environment::new("two", "sdk-1")]).unwrap_err().to_string();
        assert_eq!(said, "environment `two` has the SDK key of another; each needs its own");
        assert!(check(&[one, Environment::new("one", "sdk-2")]).is_err());
    }

    #[test]
    fn an_environment_that_could_not_be_asked_for_is_refused_without_saying_its_key() {
        let bad = Environment { mobile_key: Some("mob 1".to_owned()), ..Environment::new("one", "sdk-1") };
        let said = bad.check().unwrap_err().to_string();
        assert_eq!(said, "the mobile key of environment `one` has characters that no key has");
        assert!(Environment::new("one", "").check().is_err());
        let filtered = Environment { filters: ["-a".to_owned()].into(), ..Environment::new("one", "sdk-1") };
        assert!(filtered.check().is_err());
        assert!(!format!("{filtered:?}").contains("sdk-1"));
    }
}
