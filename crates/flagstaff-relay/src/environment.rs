//! One environment: received from upstream, served downstream.
//!
//! A client receives it, retries, keeps its snapshot and writes its database; nobody evaluates in there. What it
//! receives becomes the live environment at once, on the client's own thread and in its order.
//!
//! | Upstream | Downstream |
//! |---|---|
//! | nothing yet, and nothing known from before | streams are held, everything else is answered 503 |
//! | nothing yet, a snapshot or a filled database | what it holds is served |
//! | away, or refuses us | what was last known is served |
//! | back, with what is known already | nothing is sent |
//! | back, with newer versions and new items | these are sent |
//! | back, with anything else | everything is sent anew |

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flagstaff_eval::DataSet;
use flagstaff_eval::model::ClientSideAvailability;
use flagstaff_sdk::{
    BigSegments, Client, ConfigError, DataAvailability, DataSourceStatus, DataStoreStatus, DataSystem,
    LogLevel, LogSink, Observer, PersistentStore, PollingSource, StoredItem, StreamingSource, version_in,
};
use flagstaff_service::live_environment::{About, LiveEnvironment, Pages, Received};
use flagstaff_service::now_ms;
use flagstaff_service::store::EnvironmentId;
use flagstaff_service::store::change_log::ItemKind;
use flagstaff_service::store::environment;
use flagstaff_service::store::project::Project;
use flagstaff_wire::diagnostic::{Platform, Sdk};
use flagstaff_wire::stream::ItemKind as WireKind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::big_segments::{BigSegmentState, Copying, Lookup, Source};
use crate::config::{self, Config, Delivery, Upstream};
use crate::database::{self, Described, NoTable};

/// How long a client may take to write its database and snapshot at the end.
const CLOSING: Duration = Duration::from_secs(3);
/// A year. Whoever says more means for ever, and dates have an end.
const LONGEST_TTL_MINUTES: i64 = 365 * 24 * 60;
/// What need not be escaped in the names of files.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// One environment, or the part of it that a payload filter makes.
#[derive(Debug)]
pub struct Environment {
    live: Arc<LiveEnvironment>,
    members: Arc<Lookup>,
    /// The payload filter, if this is a part.
    filter: Option<String>,
    /// Items that were not written to databases, by connections before this one.
    left_out_before: AtomicU64,
    /// Held while it is connected anew or closed, which may take a moment.
    changing: Mutex<()>,
    /// Never held for long: whoever asks how it is going must not wait for that.
    connection: Mutex<Connection>,
}

/// How it is received at present.
#[derive(Debug)]
struct Connection {
    settings: config::Environment,
    client: Client,
    feed: Feed,
    store: Option<Store>,
    database: Option<Described>,
    /// How the database is, and since when.
    database_status: Arc<Mutex<(DataStoreStatus, i64)>>,
    big_segments: Option<Copying>,
    /// What asks upstream about big segments, on behalf of others, once somebody did.
    asked: Option<Arc<Source>>,
}

/// Where it is written to.
struct Store(Arc<dyn PersistentStore>);

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Store").field(&self.0.name()).finish()
    }
}

/// How an environment is doing.
#[derive(Debug)]
#[non_exhaustive]
pub struct State {
    /// What it is relayed by.
    pub settings: config::Environment,
    /// The payload filter, if it is a part.
    pub filter: Option<String>,
    /// How receiving flags goes.
    pub source: DataSourceStatus,
    /// Its database, how that goes, and since when, if it has one.
    pub database: Option<(Described, DataStoreStatus, i64)>,
    /// How its big segments are doing, if it has any and a database for them.
    pub big_segments: Option<BigSegmentState>,
}

/// An environment cannot be relayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// It is not one.
    #[error(transparent)]
    Bad(#[from] config::BadEnvironment),
    /// It cannot be received as it is configured.
    #[error("environment `{name}` cannot be relayed")]
    Client {
        /// The environment.
        name: String,
        /// Why.
        source: ConfigError,
    },
    /// There is no place for it.
    #[error(transparent)]
    Table(#[from] NoTable),
}

impl Environment {
    /// Begins to receive an environment, or a part of it. What a snapshot holds is served from here on.
    ///
    /// # Errors
    /// If it cannot be received as it is configured.
    pub fn start(
        config: &Config,
        settings: config::Environment,
        filter: Option<&str>,
        id: EnvironmentId,
    ) -> Result<Self, EnvironmentError> {
        let about = about(&settings, id, Uuid::new_v4().to_string());
        let members = Arc::new(Lookup::default());
        let live = Arc::new(LiveEnvironment::awaiting(about, filter).with_members(members.clone()));
        let connection = Connection::open(config, settings, filter, &live)?;
        members.ask_through(&connection.client);
        Ok(Self {
            live,
            members,
            filter: filter.map(str::to_owned),
            left_out_before: AtomicU64::default(),
            changing: Mutex::default(),
            connection: Mutex::new(connection),
        })
    }

    /// What is served downstream.
    pub fn live(&self) -> &Arc<LiveEnvironment> {
        &self.live
    }

    /// What it is relayed by.
    pub fn settings(&self) -> config::Environment {
        self.connection().settings.clone()
    }

    /// How it is doing.
    pub fn state(&self) -> State {
        let connection = self.connection();
        let database = connection.database.clone();
        let (status, since) = *connection.database_status.lock().unwrap_or_else(PoisonError::into_inner);
        State {
            settings: connection.settings.clone(),
            filter: self.filter.clone(),
            source: connection.client.data_source_status(),
            database: database.map(|database| (database, status, since)),
            big_segments: connection.big_segments.as_ref().and_then(Copying::state),
        }
    }

    /// How many items were not written to its database, because they are too large for it.
    pub fn items_left_out(&self) -> u64 {
        self.connection().items_left_out() + self.left_out_before.load(Ordering::Relaxed)
    }

    /// Is relayed otherwise from now on. It is connected anew only if it has to be, which may take a moment, and
    /// what was last known is served meanwhile. Gives what is to be said of it downstream.
    ///
    /// # Errors
    /// If it cannot be received as it is configured. What was last known is served on.
    pub fn set(
        &self,
        config: &Config,
        settings: config::Environment,
    ) -> Result<Option<About>, EnvironmentError> {
        let _one_at_a_time = self.changing();
        if !self.goes_on_with(&settings) {
            // First: both keep the same snapshot, and write the same database.
            self.disconnect();
            let opened = Connection::open(config, settings.clone(), self.filter.as_deref(), &self.live)?;
            self.members.ask_through(&opened.client);
            let before = std::mem::replace(&mut *self.connection(), opened);
            self.left_out_before.fetch_add(before.items_left_out(), Ordering::Relaxed);
            drop(before);
        }
        let known = self.live.about();
        let about = about(&settings, self.live.id(), known.environment.lineage.clone());
        Ok((about != *known).then_some(about))
    }

    /// Receives nothing any more. What was not written yet is, which may take a moment.
    pub fn close(&self) {
        let _one_at_a_time = self.changing();
        self.disconnect();
    }

    /// Where it is asked about its big segments, on behalf of others; none if it comes from elsewhere.
    pub(crate) fn upstream(&self, upstream: &Upstream) -> Result<Option<Arc<Source>>, ConfigError> {
        let mut connection = self.connection();
        if connection.settings.source.is_some() {
            return Ok(None);
        }
        if connection.asked.is_none() {
            connection.asked = Some(Arc::new(Source::new(upstream, &connection.settings.sdk_key)?));
        }
        Ok(connection.asked.clone())
    }

    /// Removes what was kept of it, once it is closed for good.
    pub(crate) fn forget(&self, folder: &Path) {
        let settings = self.settings();
        let file = snapshot_file(folder, &settings.name, self.filter.as_deref());
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            let file = file.display();
            tracing::error!(%error, "could not remove `{file}`, which holds flags that are not served any more");
        }
    }

    /// Takes over settings that need no other connection.
    fn goes_on_with(&self, settings: &config::Environment) -> bool {
        let mut connection = self.connection();
        let goes_on = connection.comes_from(settings);
        if goes_on {
            connection.settings = settings.clone();
        }
        goes_on
    }

    fn disconnect(&self) {
        let (client, feed) = {
            let connection = self.connection();
            (connection.client.clone(), connection.feed.clone())
        };
        feed.end();
        client.close();
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn open(
        config: &Config,
        settings: config::Environment,
        filter: Option<&str>,
        live: &Arc<LiveEnvironment>,
    ) -> Result<Self, EnvironmentError> {
        let feed = Feed { live: live.clone(), ended: Arc::default() };
        let mut client = client_config(&config.upstream, &settings.sdk_key)
            .send_events(false)
            .answer_when_closed(true)
            .close_timeout(CLOSING)
            .observer(feed.clone())
            .log_to(Arc::new(Log::new(&settings.name, filter)));
        client = match config.upstream.delivery {
            Delivery::Stream => client.stream(true),
            Delivery::Poll => client.stream(false).poll_interval(config.upstream.poll_interval),
            Delivery::Fdv2 => client.data_system(second_generation(&config.upstream)),
        };
        if let Some(filter) = filter {
            client = client.payload_filter(filter);
        }
        if let Some(source) = &settings.source {
            client = client.data_source(source.clone());
        }
        if let Some(folder) = config.data.as_ref().filter(|_| settings.source.is_none()) {
            client = client.snapshot_file(snapshot_file(folder, &settings.name, filter));
        }
        let (mut store, mut database, mut copy) = (None, None, None);
        if let Some(configured) = &config.database {
            let configured_store = configured.store(&settings, filter)?;
            client = client.data_store(database::written(configured_store.clone()));
            store = Some(configured_store);
            database = Some(configured.describe(&settings, filter));
            copy = configured.big_segments(&settings, filter)?;
        }
        if let Some(copy) = &copy {
            client = client.big_segments(BigSegments::shared(copy.clone()).warns_when_stale(false));
        }
        let failed = |source| EnvironmentError::Client { name: settings.name.clone(), source };
        let client = Client::start(client).map_err(failed)?;
        if let Some(store) = store.as_ref().filter(|_| !live.is_initialized()) {
            feed.begin_with(store.clone(), &settings.name);
        }
        let big_segments = match copy.filter(|_| settings.source.is_none()) {
            None => None,
            Some(copy) => {
                let (upstream, sdk_key, name) = (&config.upstream, &settings.sdk_key, &settings.name);
                Some(Copying::start(upstream, sdk_key, live, &client, copy, name).map_err(failed)?)
            }
        };
        let database_status = Arc::new(Mutex::new((client.data_store_status(), now_ms())));
        let noted = database_status.clone();
        client.data_store_status_provider().add_listener(move |status| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = (*status, now_ms());
        });
        let store = store.map(Store);
        Ok(Self { settings, client, feed, store, database, database_status, big_segments, asked: None })
    }

    fn items_left_out(&self) -> u64 {
        self.store.as_ref().map_or(0, |Store(store)| store.items_left_out())
    }

    /// Whether an environment with these settings comes from where this one does, and goes where it goes.
    fn comes_from(&self, settings: &config::Environment) -> bool {
        let same_source = match (&self.settings.source, &settings.source) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same_source
            && !self.feed.has_ended()
            && self.settings.sdk_key == settings.sdk_key
            && self.settings.prefix == settings.prefix
            && self.settings.table == settings.table
    }
}

/// Hands on what a client receives.
#[derive(Clone, Debug)]
struct Feed {
    live: Arc<LiveEnvironment>,
    ended: Arc<Mutex<bool>>,
}

impl Feed {
    /// Serves what the database holds, if nothing has come from upstream by then.
    fn begin_with(&self, store: Arc<dyn PersistentStore>, name: &str) {
        let (feed, name) = (self.clone(), name.to_owned());
        let read = move || match database::last_known(&*store) {
            Ok(Some((data, items))) => feed.everything(&data, &items, DataAvailability::Cached),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("environment `{name}`: what {} holds cannot be used: {error}", store.name());
            }
        };
        let started = std::thread::Builder::new().name("flagstaff-known".to_owned()).spawn(read);
        if let Err(error) = started {
            tracing::error!(%error, "no thread could be started to read what a database holds");
        }
    }

    fn hand_on(&self, hand_on: impl FnOnce(&LiveEnvironment)) {
        let ended = self.ended();
        if !*ended {
            hand_on(&self.live);
        }
    }

    /// Whoever comes after it says what there is from now on.
    fn end(&self) {
        *self.ended() = true;
    }

    fn has_ended(&self) -> bool {
        *self.ended()
    }

    fn ended(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Feed {
    fn environment(&self, id: &str) {
        self.hand_on(|live| live.is_called(id));
    }

    fn everything(&self, data: &DataSet, items: &[StoredItem], availability: DataAvailability) {
        self.hand_on(|live| {
            // What was known long ago says nothing about what is known by now.
            if availability == DataAvailability::Refreshed || !live.is_initialized() {
                live.receive_everything(data, received(data, items));
            }
        });
    }

    fn changes(&self, data: &DataSet, items: &[StoredItem]) {
        self.hand_on(|live| live.receive(data, received(data, items)));
    }
}

/// Says of which environment a client's log lines are.
struct Log(String);

impl Log {
    fn new(name: &str, filter: Option<&str>) -> Self {
        Self(match filter {
            None => format!("`{}`", name.escape_debug()),
            Some(filter) => format!("`{}`, part `{filter}`", name.escape_debug()),
        })
    }
}

impl LogSink for Log {
    fn enabled(&self, level: LogLevel) -> bool {
        match level {
            LogLevel::Debug => tracing::enabled!(tracing::Level::DEBUG),
            LogLevel::Info => tracing::enabled!(tracing::Level::INFO),
            LogLevel::Warn => tracing::enabled!(tracing::Level::WARN),
            LogLevel::Error => tracing::enabled!(tracing::Level::ERROR),
        }
    }

    fn log(&self, level: LogLevel, line: &str) {
        let Self(of) = self;
        match level {
            LogLevel::Debug => tracing::debug!("environment {of}: {line}"),
            LogLevel::Info => tracing::info!("environment {of}: {line}"),
            LogLevel::Warn => tracing::warn!("environment {of}: {line}"),
            LogLevel::Error => tracing::error!("environment {of}: {line}"),
        }
    }
}

/// Items as they came, without a copy.
fn received(data: &DataSet, items: &[StoredItem]) -> Vec<Received> {
    /// Bytes of a text that others have too.
    struct Text(Arc<str>);
    impl AsRef<[u8]> for Text {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let one = |item: &StoredItem| {
        let (kind, is_live) = match item.kind {
            WireKind::Flag => (ItemKind::Flag, data.flag(&item.key).is_some()),
            WireKind::Segment => (ItemKind::Segment, data.segment(&item.key).is_some()),
        };
        let json = is_live.then(|| Bytes::from_owner(Text(item.json.clone())));
        // In second-generation delivery an item may come under another version than it states itself. What SDKs
        // of the first generation compare is what it states.
        let stated = if is_live { version_in(&item.json).ok() } else { None };
        let version = stated.unwrap_or(item.version);
        Received { kind, key: item.key.clone(), version, json }
    };
    items.iter().map(one).collect()
}

/// A client that reaches this service.
pub(crate) fn client_config(upstream: &Upstream, sdk_key: &str) -> flagstaff_sdk::Config {
    let version = env!("CARGO_PKG_VERSION");
    let sdk = Sdk { name: "flagstaff-relay".to_owned(), version: version.to_owned(), ..Sdk::default() };
    let mut config = flagstaff_sdk::Config::new(sdk_key)
        .stream_uri(&upstream.stream)
        .poll_uri(&upstream.poll)
        .events_uri(&upstream.events)
        .identity(format!("FlagstaffRelay/{version}"), sdk, Platform::default())
        .compress_time(upstream.time_factor);
    if upstream.time_factor > 1 {
        config = config.allow_any_poll_interval();
    }
    if let Some(proxy) = &upstream.proxy {
        config = config.http_proxy(proxy);
    }
    if let Some(file) = &upstream.ca_file {
        config = config.ca_file(file);
    }
    if let Some(file) = &upstream.client_certificate {
        config = config.client_certificate(file);
    }
    config
}

/// A stream, and polls while it does not work.
fn second_generation(upstream: &Upstream) -> DataSystem {
    let poll = PollingSource::new().interval(upstream.poll_interval);
    DataSystem::custom()
        .initializer(poll.clone())
        .synchronizer(StreamingSource::new())
        .synchronizer(poll.clone())
        .fdv1_fallback(poll)
}

fn snapshot_file(folder: &Path, name: &str, filter: Option<&str>) -> PathBuf {
    let name = utf8_percent_encode(name, PLAIN);
    folder.join(match filter {
        None => format!("{name}.json"),
        Some(filter) => format!("{name}~{}.json", utf8_percent_encode(filter, PLAIN)),
    })
}

/// What there is to say of an environment downstream.
pub(crate) fn about(settings: &config::Environment, id: EnvironmentId, lineage: String) -> About {
    let names = &settings.names;
    let availability = ClientSideAvailability { using_environment_id: false, using_mobile_key: true };
    About {
        project: Project {
            id: 0,
            public_id: String::new(),
            key: names.project_key.clone(),
            name: names.project_name.clone(),
            tags: Vec::new(),
            new_flag_availability: availability,
            created_at: 0,
        },
        environment: environment::Environment {
            id,
            project_id: 0,
            key: names.key.clone(),
            name: names.name.clone(),
            colour: String::new(),
            tags: Vec::new(),
            sdk_key: settings.sdk_key.clone(),
            expiring_sdk_key: settings.expiring_sdk_key.clone(),
            mobile_key: settings.mobile_key.clone().unwrap_or_default(),
            client_side_id: settings.client_side_id.clone().unwrap_or_default(),
            default_ttl: settings.ttl_minutes.min(LONGEST_TTL_MINUTES),
            secure_mode: settings.secure_mode,
            default_track_events: false,
            confirm_changes: false,
            require_comments: false,
            critical: false,
            sequence: 0,
            lineage,
            version: 0,
            created_at: 0,
        },
        pages: Pages { origins: settings.allowed_origins.clone(), headers: settings.allowed_headers.clone() },
    }
}
