//! One source: a poll, a stream, or files; and where its requests go.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_wire::paths;

use super::network::Network;
use super::own::{OwnSource, TransferSource};
use crate::config::Config;
use crate::data_source::FileDataSource;

/// Polls of second-generation delivery, or of first-generation delivery as the FDv1 fallback. What it is
/// not told is as the [`Config`] says.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PollingSource {
    pub(super) base: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) interval: Option<Duration>,
    pub(super) network: Option<Network>,
}

/// A stream of second-generation delivery. What it is not told is as the [`Config`] says.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct StreamingSource {
    pub(super) base: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) initial_delay: Option<Duration>,
    pub(super) network: Option<Network>,
}

/// What is asked once for the first flags.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Initializer {
    /// One poll.
    Polling(PollingSource),
    /// Files. What stands in them is used at once, but is not up to date, so that the next is asked too.
    Files(Arc<FileDataSource>),
    /// A source of the program's own.
    Own(OwnSource),
}

/// What keeps flags up to date.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Synchronizer {
    /// Changes as they are made, over one long answer.
    Streaming(StreamingSource),
    /// What has changed, every so often.
    Polling(PollingSource),
    /// A source of the program's own.
    Own(OwnSource),
}

impl Initializer {
    /// A source of the program's own.
    pub fn own(source: impl TransferSource) -> Self {
        Initializer::Own(OwnSource(Arc::new(source)))
    }
}

impl Synchronizer {
    /// A source of the program's own.
    pub fn own(source: impl TransferSource) -> Self {
        Synchronizer::Own(OwnSource(Arc::new(source)))
    }
}

impl PollingSource {
    /// Polls as the [`Config`] says.
    pub fn new() -> Self {
        Self::default()
    }

    /// Polls another host.
    pub fn base_uri(mut self, uri: impl Into<String>) -> Self {
        self.base = Some(uri.into());
        self
    }

    /// Receives only the flags of this payload filter.
    pub fn payload_filter(mut self, key: impl Into<String>) -> Self {
        self.filter = Some(key.into());
        self
    }

    /// Polls so often. Default and least 30 s. An initializer has no use for it.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Connects as this configuration says: with its time-outs, proxy and certificates. Nothing else of it
    /// counts. Without this, the source is reached as the client is.
    pub fn network(mut self, like: Config) -> Self {
        self.network = Some(Network::new(like));
        self
    }

    pub(super) fn interval_by(&self, config: &Config) -> Duration {
        self.interval.unwrap_or(config.poll_interval)
    }

    /// Where to ask for what has changed since `selector`.
    pub(super) fn url(&self, config: &Config, selector: Option<&str>) -> String {
        url(self.base_by(config), paths::FDV2_POLL, selector, self.filter_by(config))
    }

    /// Where first-generation delivery asks for everything.
    pub(super) fn fdv1_url(&self, config: &Config) -> String {
        url(self.base_by(config), paths::POLL, None, self.filter_by(config))
    }

    fn base_by<'a>(&'a self, config: &'a Config) -> &'a str {
        self.base.as_deref().or(config.poll_base.as_deref()).unwrap_or(paths::DEFAULT_POLL_BASE)
    }

    pub(super) fn filter_by<'a>(&'a self, config: &'a Config) -> Option<&'a str> {
        self.filter.as_deref().or(config.payload_filter.as_deref())
    }
}

impl StreamingSource {
    /// Streams as the [`Config`] says.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream from another host.
    pub fn base_uri(mut self, uri: impl Into<String>) -> Self {
        self.base = Some(uri.into());
        self
    }

    /// Receives only the flags of this payload filter.
    pub fn payload_filter(mut self, key: impl Into<String>) -> Self {
        self.filter = Some(key.into());
        self
    }

    /// The first delay before a broken stream is opened again; it doubles up to 30 s. Default 1 s.
    pub fn initial_reconnect_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = Some(delay);
        self
    }

    /// Connects as this configuration says: with its time-outs, proxy and certificates. Nothing else of it
    /// counts. Without this, the source is reached as the client is.
    pub fn network(mut self, like: Config) -> Self {
        self.network = Some(Network::new(like));
        self
    }

    pub(super) fn initial_delay_by(&self, config: &Config) -> Duration {
        self.initial_delay.unwrap_or(config.initial_reconnect_delay)
    }

    /// Where to open a stream of what has changed since `selector`.
    pub(super) fn url(&self, config: &Config, selector: Option<&str>) -> String {
        let base = self.base.as_deref().or(config.stream_base.as_deref());
        let base = base.unwrap_or(paths::DEFAULT_STREAM_BASE);
        url(base, paths::FDV2_STREAM, selector, self.filter_by(config))
    }

    pub(super) fn filter_by<'a>(&'a self, config: &'a Config) -> Option<&'a str> {
        self.filter.as_deref().or(config.payload_filter.as_deref())
    }
}

impl From<PollingSource> for Initializer {
    fn from(source: PollingSource) -> Self {
        Initializer::Polling(source)
    }
}

impl From<FileDataSource> for Initializer {
    fn from(source: FileDataSource) -> Self {
        Initializer::Files(Arc::new(source))
    }
}

impl From<FileDataSource> for Synchronizer {
    /// The files are read again when they change.
    fn from(source: FileDataSource) -> Self {
        Synchronizer::own(source)
    }
}

impl From<StreamingSource> for Synchronizer {
    fn from(source: StreamingSource) -> Self {
        Synchronizer::Streaming(source)
    }
}

impl From<PollingSource> for Synchronizer {
    fn from(source: PollingSource) -> Self {
        Synchronizer::Polling(source)
    }
}

fn url(base: &str, path: &str, selector: Option<&str>, filter: Option<&str>) -> String {
    let mut url = paths::join(base, path);
    if let Some(selector) = selector {
        paths::add_parameter(&mut url, paths::BASIS, selector);
    }
    if let Some(filter) = filter {
        paths::add_parameter(&mut url, paths::FILTER, filter);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_goes_by_the_configuration_unless_it_is_told_otherwise() {
        let config = Config::new("k").base_uri("http://a/x/").payload_filter("p");
        let poll = PollingSource::new();
        assert_eq!(poll.url(&config, None), "http://a/x/sdk/poll?filter=p");
        assert_eq!(poll.url(&config, Some("(p:1:2)")), "http://a/x/sdk/poll?basis=%28p%3A1%3A2%29&filter=p");
        assert_eq!(poll.fdv1_url(&config), "http://a/x/sdk/latest-all?filter=p");
        let own = StreamingSource::new().base_uri("http://b").payload_filter("q");
        assert_eq!(own.url(&config, Some("s")), "http://b/sdk/stream?basis=s&filter=q");
        assert_eq!(
            StreamingSource::new().url(&Config::new("k"), None),
            "https://stream.launchdarkly.com/sdk/stream"
        );
    }
}
