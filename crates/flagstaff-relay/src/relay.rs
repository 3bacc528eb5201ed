//! How a relay starts and stops, and which environments it has.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use flagstaff_sdk::ConfigError;
use flagstaff_service::error::chain;
use flagstaff_service::live_environment::{About, LiveEnvironment, LiveEnvironments};
use flagstaff_service::metrics::{Figures, Page};
use flagstaff_service::router::{finish, sdk_paths};
use flagstaff_service::serving::{Bound, Listening, Serving, SharedServing};
use flagstaff_service::store::EnvironmentId;
use flagstaff_service::tls::{Tls, TlsError};

use crate::archive::ArchiveError;
use crate::auto_config::ConfigurationStatus;
use crate::big_segments::pass_on;
use crate::config::{self, Config, EventMode};
use crate::environment::{Environment, EnvironmentError};
use crate::events::Forwarder;
use crate::goals::Asking;
use crate::status;
use crate::told::Told;

/// A relay, as handlers and whoever keeps it up to date have it.
pub type SharedRelay = Arc<Relay>;

/// A relay.
#[derive(Debug)]
pub struct Relay {
    /// What serves downstream.
    pub serving: SharedServing,
    /// What it was started with.
    pub config: Config,
    /// What forwards events.
    pub forwarder: Arc<Forwarder>,
    /// How being told goes, if upstream says what to serve.
    pub configuration: Option<ConfigurationStatus>,
    /// By name, each with its parts by payload filter. Never held for long: who is served is asked all the time.
    environments: Mutex<Environments>,
    /// Items that were not written to databases, of environments that are gone.
    left_out_before: AtomicU64,
    /// Held while these are changed, which may take a moment: how many there ever were. Each has a number of its
    /// own.
    numbered: Mutex<i64>,
}

type Environments = BTreeMap<String, Relayed>;

#[derive(Clone, Debug)]
struct Relayed {
    whole: Arc<Environment>,
    parts: BTreeMap<String, Arc<Environment>>,
}

/// Why a relay did not start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The folder cannot be made.
    #[error("could not use the data folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate.
    #[error("could not start with TLS")]
    Tls(#[from] TlsError),
    /// What keeps events.
    #[error("could not start the thread that keeps events on disk")]
    Events(#[source] io::Error),
    /// Upstream cannot be reached as it is configured.
    #[error("could not set up the way upstream")]
    Upstream(#[from] ConfigError),
    /// An environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The offline archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// A relay that takes requests.
#[derive(Debug)]
pub struct Running {
    relay: SharedRelay,
    listening: Listening,
}

impl Relay {
    /// Begins to receive and to serve. Upstream need not be there.
    ///
    /// # Errors
    /// If something is not as it must be on this side.
    pub async fn start(mut config: Config) -> Result<Running, StartError> {
        if config.offline_archive.is_some() {
            // There is nobody to forward them to.
            config.events.mode = EventMode::Discarded;
        }
        let listen = |address| move |source| StartError::Listen { address, source };
        let address = config.serving.listen;
        let mut bound = Bound::to(address).map_err(listen(address))?;
        if let Some(address) = config.serving.metrics_listen {
            bound = bound.with_metrics_at(address).map_err(listen(address))?;
        }
        let tls = config.serving.tls.as_ref().map(Tls::load).transpose()?;
        if let Some(folder) = &config.data {
            make_folder(folder).map_err(|source| StartError::Folder { path: folder.clone(), source })?;
        }
        let forwarder = Arc::new(Forwarder::start(&config)?);
        let serving =
            Serving::new(config.serving.clone(), tls, LiveEnvironments::default(), forwarder.clone());
        serving.metrics.include(forwarder.clone());
        let goals = Asking::new(&config.upstream)?;
        let (told, configuration) = Told::open(&config)?;
        serving.live.expect_more(configuration.is_some());
        let relay = Arc::new(Self {
            serving: Arc::new(serving),
            config,
            forwarder,
            configuration,
            environments: Mutex::default(),
            left_out_before: AtomicU64::default(),
            numbered: Mutex::default(),
        });
        relay.set_environments(relay.beside(told.environments())).await?;
        if relay.configuration.is_none() {
            relay.forwarder.knows_all();
        }
        let paths = status::router(&relay).merge(sdk_paths(&relay.serving)).merge(pass_on::router(&relay));
        let router = finish(paths, &relay.serving);
        let listening = Listening::start(relay.serving.clone(), bound, router);
        told.follow(&relay);
        relay.serving.tasks.spawn(goals.follow(relay.clone()));
        relay.serving.metrics.include(Arc::new(InDatabases(Arc::downgrade(&relay))));
        Ok(Running { relay, listening })
    }

    /// From now on these are relayed, beside those that it was started with. What stands in the way of that is
    /// said in the log: there is nobody to tell.
    pub(crate) async fn serve(self: &Arc<Self>, told: Vec<config::Environment>) {
        if let Err(error) = self.set_environments(self.beside(told)).await {
            tracing::error!(error = %chain(&error), "not everything can be served that is to be");
        }
    }

    /// These, beside those that it was started with, which come first.
    fn beside(&self, told: Vec<config::Environment>) -> Vec<config::Environment> {
        let mut all = self.config.environments.clone();
        let own = all.clone();
        let is_other = |one: &config::Environment| {
            let clashes = own.iter().any(|own| {
                own.name == one.name
                    || own.sdk_key == one.sdk_key
                    || (own.mobile_key.is_some() && own.mobile_key == one.mobile_key)
                    || (own.client_side_id.is_some() && own.client_side_id == one.client_side_id)
            });
            if clashes {
                tracing::warn!(
                    "the environment `{}` is configured here, what is said of it elsewhere does not count",
                    one.name
                );
            }
            !clashes
        };
        all.extend(told.into_iter().filter(is_other));
        all
    }

    /// From now on these are relayed, and no others. One that is known by its name goes on, also under other
    /// keys: what was last known of it is served until upstream says otherwise. Whoever came by a key that does
    /// not count any more is sent away.
    ///
    /// # Errors
    /// If one of them cannot be relayed. Nothing is changed if that is seen in what it is relayed by; else the
    /// others are relayed all the same, and that one as before.
    pub async fn set_environments(
        self: &Arc<Self>,
        wanted: Vec<config::Environment>,
    ) -> Result<(), EnvironmentError> {
        config::check(&wanted)?;
        // Snapshots are read, and written where an environment is connected anew.
        let relay = self.clone();
        let set = tokio::task::spawn_blocking(move || relay.set_environments_waiting(&wanted));
        match set.await {
            Ok(set) => set,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    fn set_environments_waiting(&self, wanted: &[config::Environment]) -> Result<(), EnvironmentError> {
        let mut numbered = self.numbered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.environments().clone();
        let mut steps = Vec::new();
        for settings in wanted {
            let known = before.get(&settings.name);
            let parts = settings.filters.iter().map(|filter| Some(&**filter));
            for filter in std::iter::once(None).chain(parts) {
                let known = known.and_then(|known| known.of(filter)).cloned();
                if known.is_none() {
                    *numbered += 1;
                }
                steps.push(Step { settings, filter, known, id: EnvironmentId(*numbered) });
            }
        }
        let (mut described, mut failed, mut next) = (Vec::new(), None, Environments::new());
        for (step, (environment, done)) in
            steps.iter().zip(side_by_side(&steps, |step| step.take(&self.config)))
        {
            match done {
                Ok(about) => described
                    .extend(about.zip(environment.as_ref()).map(|(about, of)| (of.live().clone(), about))),
                Err(error) => failed = Some(error),
            }
            let Some(environment) = environment else { continue };
            let name = step.settings.name.clone();
            match (step.filter, next.get_mut(&name)) {
                (None, _) => _ = next.insert(name, Relayed { whole: environment, parts: BTreeMap::new() }),
                (Some(filter), Some(relayed)) => _ = relayed.parts.insert(filter.to_owned(), environment),
                // A part of what could not be relayed.
                (Some(_), None) => environment.close(),
            }
        }
        let live: Vec<_> = next.values().map(|relayed| relayed.whole.live().clone()).collect();
        *self.environments() = next.clone();
        self.forwarder.serves(next.iter().map(|(name, relayed)| relayed.with_events(name)).collect());
        self.serving.live.replace(live, described);
        for (name, relayed) in &next {
            let served = before.get(name).map(|before| &before.parts);
            for (filter, part) in &relayed.parts {
                // Whoever is served another one is sent away.
                let served = served.and_then(|served| served.get(filter));
                if served.is_none_or(|served| !Arc::ptr_eq(served, part)) {
                    relayed.whole.live().serve_filtered(filter, Some(part.live().clone()));
                }
            }
            let gone = served.into_iter().flat_map(BTreeMap::keys);
            for filter in gone.filter(|filter| !relayed.parts.contains_key(*filter)) {
                relayed.whole.live().serve_filtered(filter, None);
            }
        }
        let still: Vec<_> = next.values().flat_map(Relayed::all).collect();
        let is_gone = |one: &&Arc<Environment>| !still.iter().any(|it| Arc::ptr_eq(it, one));
        let gone: Vec<_> = before.values().flat_map(Relayed::all).filter(is_gone).collect();
        side_by_side(&gone, |environment| {
            environment.close();
            self.left_out_before.fetch_add(environment.items_left_out(), Ordering::Relaxed);
            if let Some(folder) = &self.config.data {
                environment.forget(folder);
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Every environment that is relayed, and its parts, in the order of their names.
    pub fn environments_now(&self) -> Vec<Arc<Environment>> {
        self.environments().values().flat_map(Relayed::all).cloned().collect()
    }

    fn environments(&self) -> MutexGuard<'_, Environments> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One environment, or a part of one, that is to be relayed.
struct Step<'a> {
    settings: &'a config::Environment,
    filter: Option<&'a str>,
    known: Option<Arc<Environment>>,
    /// Its number, if it is new.
    id: EnvironmentId,
}

impl Step<'_> {
    /// Gives the environment as far as there is one, and what is to be said of it downstream.
    fn take(&self, config: &Config) -> (Option<Arc<Environment>>, Result<Option<About>, EnvironmentError>) {
        let settings = self.settings.clone();
        match &self.known {
            Some(known) => (Some(known.clone()), known.set(config, settings)),
            None => match Environment::start(config, settings, self.filter, self.id) {
                Ok(started) => (Some(Arc::new(started)), Ok(None)),
                Err(error) => (None, Err(error)),
            },
        }
    }
}

/// Does this with each, several at a time: one that takes long holds up few. On a thread of a runtime's.
fn side_by_side<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let runtime = tokio::runtime::Handle::current();
    let mut done = Vec::with_capacity(all.len());
    for some in all.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let begun: Vec<_> = (some.iter())
                .map(|one| {
                    scope.spawn(|| {
                        let _on_runtime = runtime.enter();
                        work(one)
                    })
                })
                .collect();
            let ended =
                begun.into_iter().map(|work| work.join().unwrap_or_else(|panic| resume_unwind(panic)));
            done.extend(ended);
        });
    }
    done
}

/// What became of databases.
#[derive(Debug)]
struct InDatabases(Weak<Relay>);

impl Figures for InDatabases {
    fn write(&self, page: &mut Page) {
        let Some(relay) = self.0.upgrade() else { return };
        let now: u64 = relay.environments_now().iter().map(|environment| environment.items_left_out()).sum();
        let help =
            "Flags and segments that were not written to the database, because they are too large for it.";
        let all = now + relay.left_out_before.load(Ordering::Relaxed);
        page.counter("flagstaff_relay_database_items_left_out_total", help, all);
    }
}

impl Relayed {
    /// The whole, or a part.
    fn of(&self, filter: Option<&str>) -> Option<&Arc<Environment>> {
        match filter {
            None => Some(&self.whole),
            Some(filter) => self.parts.get(filter),
        }
    }

    /// By which numbers its events come.
    fn with_events(&self, name: &str) -> (String, Arc<LiveEnvironment>, Vec<EnvironmentId>) {
        let numbers = self.all().map(|environment| environment.live().id());
        (name.to_owned(), self.whole.live().clone(), numbers.collect())
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Environment>> {
        std::iter::once(&self.whole).chain(self.parts.values())
    }
}

impl Running {
    /// Where requests are taken.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The base of its addresses.
    pub fn base_url(&self) -> String {
        self.listening.base_url()
    }

    /// The relay.
    pub fn relay(&self) -> &SharedRelay {
        &self.relay
    }

    /// Stops in order: see [`Listening::stop`]; then the events that wait are sent, as far as there is time
    /// for it within the same limit, and databases and snapshots are written.
    pub async fn stop(self) {
        let (began, limit) = (Instant::now(), self.relay.config.serving.drain);
        let environments = self.relay.environments_now();
        let closed = tokio::task::spawn_blocking(move || {
            side_by_side(&environments, |environment| environment.close());
        });
        self.listening.stop().await;
        self.relay.forwarder.finish(limit.saturating_sub(began.elapsed()).max(LEAST)).await;
        if let Err(error) = closed.await {
            tracing::error!(%error, "the environments were not closed in order");
        }
    }
}

/// So many environments are connected or closed at a time.
const AT_ONCE: usize = 32;
/// There is always so much time for the events that wait.
const LEAST: Duration = Duration::from_millis(500);

/// Nobody else's business: it holds rules, and who is in segments.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
