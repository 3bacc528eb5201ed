//! Which sources there are: one builder, right as it stands.

use std::collections::BTreeSet;
use std::time::Duration;

use flagstaff_wire::paths;

use super::network::Network;
use super::source::{Initializer, PollingSource, StreamingSource, Synchronizer};
use crate::config::{Config, ConfigError, LONGEST, SHORTEST_POLL_INTERVAL, at_least, check_base_uri};
use crate::data_store::PersistentDataStore;
use crate::log::{Log, LogLevel};

/// Where flags come from with second-generation delivery: see [`Config::data_system`].
///
/// *Initializers* are asked once each, until one has brought data that is up to date. *Synchronizers*
/// then keep it so, one at a time: the next takes over from one that fails for long, and the first comes
/// back once another has worked well for a while. The *FDv1 fallback* takes the place of them all when
/// the service asks for first-generation delivery.
///
/// A synchronizer that the service refuses, as with a wrong key, is given up. Once none is left the state is
/// [`Off`](crate::DataSourceState::Off), and flags stay as they are.
///
/// ```
/// use std::time::Duration;
/// use flagstaff_sdk::{Config, DataSystem, PollingSource, StreamingSource};
///
/// // A poll for the first flags, then a stream, and polls while the stream does not work.
/// let config = Config::new("sdk-demo-production").data_system(DataSystem::default_mode());
///
/// // The same, told in full.
/// let polls = PollingSource::new().interval(Duration::from_secs(60));
/// let system = DataSystem::custom()
///     .initializer(polls.clone())
///     .synchronizer(StreamingSource::new())
///     .synchronizer(polls.clone())
///     .fdv1_fallback(polls);
/// let config = Config::new("sdk-demo-production").data_system(system);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DataSystem {
    pub(super) initializers: Vec<Initializer>,
    pub(super) synchronizers: Vec<Synchronizer>,
    pub(super) fdv1_fallback: Option<PollingSource>,
    store: Option<PersistentDataStore>,
    pub(super) conditions: Conditions,
}

/// When one synchronizer takes over from another.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// One that worked does not for so long: on to the next.
    pub(super) interrupted: Duration,
    /// One has brought nothing for so long: on to the next.
    pub(super) initializing: Duration,
    /// One other than the first works for so long: back to the first.
    pub(super) recovered: Duration,
    /// How often that is looked at.
    pub(super) checked_every: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            interrupted: Duration::from_secs(60),
            initializing: Duration::from_secs(10),
            recovered: Duration::from_secs(300),
            checked_every: Duration::from_secs(10),
        }
    }
}

impl Conditions {
    /// The same in one part in `factor` of the time: see [`Config::compress_time`].
    pub(super) fn compressed(&self, factor: u32) -> Self {
        Self {
            interrupted: self.interrupted / factor,
            initializing: self.initializing / factor,
            recovered: self.recovered / factor,
            checked_every: self.checked_every / factor,
        }
    }
}

impl DataSystem {
    /// A poll for the first flags, then a stream, and polls while the stream does not work.
    pub fn default_mode() -> Self {
        Self::custom()
            .initializer(PollingSource::new())
            .synchronizer(StreamingSource::new())
            .synchronizer(PollingSource::new())
            .fdv1_fallback(PollingSource::new())
    }

    /// A stream, and nothing else unless the service asks for first-generation delivery.
    pub fn streaming() -> Self {
        Self::custom().synchronizer(StreamingSource::new()).fdv1_fallback(PollingSource::new())
    }

    /// Polls, and nothing else unless the service asks for first-generation delivery.
    pub fn polling() -> Self {
        Self::custom().synchronizer(PollingSource::new()).fdv1_fallback(PollingSource::new())
    }

    /// A database alone, which something else writes: nothing is connected to. The same as
    /// [`Config::daemon_mode`].
    pub fn daemon(store: PersistentDataStore) -> Self {
        Self::custom().store(store.read_only())
    }

    /// As [`DataSystem::default_mode`], with a database behind it: see [`DataSystem::store`].
    pub fn persistent_store(store: PersistentDataStore) -> Self {
        Self::default_mode().store(store)
    }

    /// No source yet: what is added counts, in the order in which it is added.
    pub fn custom() -> Self {
        Self {
            initializers: Vec::new(),
            synchronizers: Vec::new(),
            fdv1_fallback: None,
            store: None,
            conditions: Conditions::default(),
        }
    }

    /// Adds a source that is asked once at the start: a [`PollingSource`], a
    /// [`FileDataSource`](crate::FileDataSource), or one of the program's own.
    pub fn initializer(mut self, source: impl Into<Initializer>) -> Self {
        self.initializers.push(source.into());
        self
    }

    /// Adds a source that keeps flags up to date: a [`StreamingSource`], a [`PollingSource`], or one of the
    /// program's own.
    pub fn synchronizer(mut self, source: impl Into<Synchronizer>) -> Self {
        self.synchronizers.push(source.into());
        self
    }

    /// What flags are received with when the service asks for first-generation delivery.
    pub fn fdv1_fallback(mut self, source: PollingSource) -> Self {
        self.fdv1_fallback = Some(source);
        self
    }

    /// Without it, receiving flags ends when the service asks for first-generation delivery.
    pub fn without_fdv1_fallback(mut self) -> Self {
        self.fdv1_fallback = None;
        self
    }

    /// A database behind the flags in memory. It is read until the first full data has come; from then on
    /// memory counts alone, and the database is written, unless it is
    /// [read-only](PersistentDataStore::read_only). Without any source this is
    /// [daemon mode](DataSystem::daemon).
    pub fn store(mut self, store: PersistentDataStore) -> Self {
        self.store = Some(store);
        self
    }

    /// For tests: when one synchronizer takes over from another. `interrupted` for so long, or
    /// `initializing` for so long, means the next; `recovered` for so long, back to the first; looked at
    /// `checked_every` so long.
    #[doc(hidden)]
    pub fn allow_any_conditions(
        mut self,
        interrupted: Duration,
        initializing: Duration,
        recovered: Duration,
        checked_every: Duration,
    ) -> Self {
        self.conditions = Conditions { interrupted, initializing, recovered, checked_every };
        self
    }

    fn polling_sources(&mut self) -> impl Iterator<Item = &mut PollingSource> {
        let initializers = self.initializers.iter_mut().filter_map(|source| match source {
            Initializer::Polling(source) => Some(source),
            Initializer::Files(_) | Initializer::Own(_) => None,
        });
        let synchronizers = self.synchronizers.iter_mut().filter_map(|source| match source {
            Synchronizer::Polling(source) => Some(source),
            Synchronizer::Streaming(_) | Synchronizer::Own(_) => None,
        });
        initializers.chain(synchronizers).chain(&mut self.fdv1_fallback)
    }

    fn streaming_sources(&mut self) -> impl Iterator<Item = &mut StreamingSource> {
        self.synchronizers.iter_mut().filter_map(|source| match source {
            Synchronizer::Streaming(source) => Some(source),
            Synchronizer::Polling(_) | Synchronizer::Own(_) => None,
        })
    }
}

impl Config {
    /// Receives flags by second-generation delivery, from these sources. Without this, flags come by
    /// first-generation delivery, as [`Config::stream`] says.
    pub fn data_system(mut self, mut system: DataSystem) -> Self {
        if let Some(store) = system.store.take() {
            self.daemon_mode = system.initializers.is_empty() && system.synchronizers.is_empty();
            self.data_store = Some(store);
        }
        let is_stream = |source: &Synchronizer| matches!(source, Synchronizer::Streaming(_));
        // What the client reports of itself.
        self.streaming = system.synchronizers.iter().any(is_stream);
        self.data_system = Some(system);
        self
    }

    /// Whether sources ask for what has changed since a selector.
    pub(crate) fn asks_by_selector(&self) -> bool {
        self.data_system.is_some() && self.data_source.is_none()
    }

    /// The payload filters of all sources, for whoever keeps what they bring; none if there is none.
    pub(crate) fn payload_filters(&self) -> Option<String> {
        let Some(system) = self.data_system.as_ref().filter(|_| self.asks_by_selector()) else {
            return self.payload_filter.clone();
        };
        let initializers = system.initializers.iter().filter_map(|source| match source {
            Initializer::Polling(source) => Some(source.filter_by(self)),
            Initializer::Files(_) | Initializer::Own(_) => None,
        });
        let synchronizers = system.synchronizers.iter().map(|source| match source {
            Synchronizer::Streaming(source) => source.filter_by(self),
            Synchronizer::Polling(source) => source.filter_by(self),
            Synchronizer::Own(_) => None,
        });
        let fallback = system.fdv1_fallback.iter().map(|source| source.filter_by(self));
        let sources = initializers.chain(synchronizers).chain(fallback);
        // No filter has a comma in it.
        let filters: BTreeSet<&str> = sources.map(Option::unwrap_or_default).collect();
        let filters = Vec::from_iter(filters).join(",");
        (!filters.is_empty()).then_some(filters)
    }

    /// Refuses what cannot be in the sources of the data system, and leaves out filters that are none.
    pub(crate) fn check_data_system(&mut self) -> Result<(), ConfigError> {
        let Some(mut system) = self.data_system.take() else { return Ok(()) };
        let log = Log::new(self.log_sink.clone());
        let online = !self.offline;
        let check_network = |network: &mut Option<Network>| match network {
            Some(network) if online => network.check(),
            _ => Ok(()),
        };
        let least = if self.any_poll_interval { Duration::from_millis(1) } else { SHORTEST_POLL_INTERVAL };
        for source in system.polling_sources() {
            check_base_uri("poll", source.base.as_deref())?;
            check_network(&mut source.network)?;
            leave_out_bad_filter(&mut source.filter, &log);
            if let Some(interval) = &mut source.interval {
                at_least("the poll interval of a source", *interval, least)?;
                *interval = LONGEST.min(*interval);
            }
        }
        for source in system.streaming_sources() {
            check_base_uri("stream", source.base.as_deref())?;
            check_network(&mut source.network)?;
            leave_out_bad_filter(&mut source.filter, &log);
            if let Some(delay) = &mut source.initial_delay {
                at_least("the initial reconnect delay of a source", *delay, Duration::from_millis(1))?;
                *delay = LONGEST.min(*delay);
            }
        }
        self.data_system = Some(system);
        Ok(())
    }
}

fn leave_out_bad_filter(filter: &mut Option<String>, log: &Log) {
    if let Some(key) = filter.take_if(|key| !paths::is_filter_key(key)) {
        log.write(
            LogLevel::Warn,
            format_args!(
                "payload filter `{key}` of a data source is ignored: it must begin with a letter or digit and \
                 go on with those, `.`, `_` and `-`"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_in_a_source_is_refused() {
        let refused = |system: DataSystem| {
            let mut config = Config::new("k").data_system(system);
            config.check_data_system().map_err(|error| error.to_string())
        };
        assert_eq!(refused(DataSystem::default_mode()), Ok(()));
        let second = Duration::from_secs(1);
        let no_ca = || Config::new("").ca_file("no-such-file");
        let no_time = || Config::new("").read_timeout(Duration::ZERO);
        let late = StreamingSource::new().initial_reconnect_delay(Duration::ZERO);
        for (system, said) in [
            (
                DataSystem::custom().initializer(PollingSource::new().base_uri("ftp://x")),
                "poll URI `ftp://x`",
            ),
            (
                DataSystem::custom().synchronizer(StreamingSource::new().base_uri("http://u:p@x")),
                "stream URI",
            ),
            (DataSystem::custom().fdv1_fallback(PollingSource::new().interval(second)), "is 1s"),
            (DataSystem::custom().synchronizer(late), "reconnect delay of a source is 0ns"),
            (DataSystem::custom().initializer(PollingSource::new().network(no_ca())), "no-such-file"),
            (
                DataSystem::custom().synchronizer(StreamingSource::new().network(no_time())),
                "read time-out of a source is 0ns",
            ),
        ] {
            let error = refused(system).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_left_out() {
        let system = DataSystem::custom().synchronizer(PollingSource::new().payload_filter("-a"));
        let mut config = Config::new("k").base_uri("http://a").data_system(system);
        config.check_data_system().unwrap();
        let mut system = config.data_system.clone().unwrap();
        let urls: Vec<_> = system.polling_sources().map(|source| source.url(&config, None)).collect();
        assert_eq!(urls, ["http://a/sdk/poll"]);
    }
}
