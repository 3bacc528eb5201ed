//! What all rooms share, and how the service starts and stops.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::analytics::{Analytics, AnalyticsError};
use crate::avatars::{Avatars, AvatarsError};
use crate::big_segments::{self, BigSegments};
use crate::config::{Config, Database};
use crate::live_environment::{Follower, LiveEnvironments};
use crate::management::setup::{self, FirstStart};
use crate::serving::{Bound, Listening, Serving, SharedServing};
use crate::store::analytics::EVENTS_FILE;
use crate::store::{DATABASE_FILE, Store, StoreError};
use crate::tls::{Tls, TlsError};
use crate::{auth, router};

/// The state of every handler: `State(app): State<SharedApp>`.
pub type SharedApp = Arc<App>;

/// What all rooms share. What rooms that serve SDKs share is part of it, and used as if it were its own:
/// `app.live`.
#[derive(Debug)]
pub struct App {
    /// What rooms that serve SDKs share.
    pub serving: SharedServing,
    /// What the service was started with.
    pub settings: Config,
    /// The database of flags.
    pub store: Store,
    /// Keeps the live environments up to date.
    pub follower: Follower,
    /// Who is in big segments.
    pub big_segments: Arc<BigSegments>,
    /// What the events add up to.
    pub analytics: Arc<Analytics>,
    /// Pictures of users, if the owner wants them to be asked for.
    pub avatars: Option<Avatars>,
    /// How often sign-in was tried.
    pub sign_in_limit: auth::limit::SignInLimit,
    /// Holds the data folder for this process, where it is used; let go by the system even after a kill.
    _lock: Option<File>,
}

/// Why the service did not start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be made or locked.
    #[error("could not use the data folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the data folder `{}` is in use by another `flagstaff serve`; stop that one or name another with --data", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A demo would be open to everyone.
    #[error(
        "a demo has well-known keys and passwords, so it listens only on loopback, not on {address}; use --listen 127.0.0.1:PORT, or start without --demo"
    )]
    DemoBeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The database is some other program's.
    #[error(
        "the database `{database}` is not one of Flagstaff's; name another with --data or --database-url"
    )]
    Foreign {
        /// The file, or the address without the password.
        database: String,
    },
    /// The file holds something else, or its beginning is damaged.
    #[error(
        "the file `{file}` is no database; name another folder with --data, or restore a backup to one if the file was Flagstaff's and is damaged"
    )]
    NotADatabase {
        /// The file.
        file: String,
    },
    /// The database holds something else.
    #[error(
        "the database in `{database}` is not a demo; start without --demo, or name an empty one with --data or --database-url"
    )]
    NotADemo {
        /// The folder, or the address without the password.
        database: String,
    },
    /// There is nothing to read or to write to.
    #[error("there is no database in `{}`; name the service's data folder with --data, or start a service there first", path.display())]
    NoDatabase {
        /// The folder.
        path: PathBuf,
    },
    /// The database holds a demo.
    #[error(
        "the database in `{database}` is a demo, with well-known keys and passwords; start with --demo, or name another with --data or --database-url"
    )]
    IsADemo {
        /// The folder, or the address without the password.
        database: String,
    },
    /// The first project could not be made.
    #[error("could not fill the empty database")]
    Seed {
        /// Why.
        source: Box<crate::management::ChangeError>,
    },
    /// Pictures of users.
    #[error("could not start with avatars")]
    Avatars(#[from] AvatarsError),
    /// The certificate.
    #[error("could not start with TLS")]
    Tls(#[from] TlsError),
    /// The database of flags.
    #[error("could not start on the database of flags")]
    Store(#[from] StoreError),
    /// The database of events.
    #[error("could not start on the database of events")]
    Analytics(#[from] AnalyticsError),
}

/// A service that takes requests.
#[derive(Debug)]
pub struct Running {
    app: SharedApp,
    first_start: FirstStart,
    listening: Listening,
}

impl Deref for App {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.serving
    }
}

impl App {
    /// Opens everything and takes requests from then on.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let address = config.serving.listen;
        if config.demo && !address.ip().is_loopback() {
            return Err(StartError::DemoBeyondLoopback { address });
        }
        let lock = match config.database {
            Database::Sqlite => Some(lock_folder(&config)?),
            Database::Postgres(_) => None,
        };
        // Before anything is written: an address that is taken should leave no trace.
        let mut bound = Bound::to(address).map_err(|source| StartError::Listen { address, source })?;
        if let Some(address) = config.serving.metrics_listen {
            bound =
                bound.with_metrics_at(address).map_err(|source| StartError::Listen { address, source })?;
        }
        let (app, first_start) = Self::open(config, lock).await?;
        app.tasks.spawn(crate::live_environment::follow(app.clone()));
        app.tasks.spawn(big_segments::follow(app.clone()));
        app.tasks.spawn(big_segments::keep_clear(app.clone()));
        let listening = Listening::start(app.serving.clone(), bound, router::router(app.clone()));
        Ok(Running { app, first_start, listening })
    }

    async fn open(config: Config, lock: Option<File>) -> Result<(SharedApp, FirstStart), StartError> {
        let avatars = config.avatars.as_deref().map(Avatars::new).transpose()?;
        let tls = config.serving.tls.as_ref().map(Tls::load).transpose()?;
        setup::check_kind(&config).await?;
        if lock.is_some() {
            make_private(&config)?;
        }
        let store = Store::of(&config).await?;
        store.examine().await?;
        let first_start = setup::first_start(&store, &config).await?;
        let live = LiveEnvironments::default();
        let big_segments = BigSegments::new(&store);
        let follower = Follower::new(&store, &big_segments);
        follower.catch_up(&live).await?;
        let analytics = Arc::new(Analytics::of(&config).await?);
        let serving = Serving::new(config.serving.clone(), tls, live, analytics.clone());
        serving.metrics.include(analytics.clone());
        serving.metrics.include(Arc::new(store.clone()));
        let app = App {
            serving: Arc::new(serving),
            settings: config,
            store,
            follower,
            big_segments,
            analytics,
            avatars,
            sign_in_limit: auth::limit::SignInLimit::default(),
            _lock: lock,
        };
        Ok((Arc::new(app), first_start))
    }

    /// Has the live environments take over everything that was committed before the call. Whoever wrote calls
    /// it, so that they read afterwards what they wrote.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        self.follower.catch_up(&self.live).await
    }
}

impl Running {
    /// Where requests are taken.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Where `/metrics` is answered, if that is elsewhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listening.metrics_address()
    }

    /// The base of the service's addresses.
    pub fn base_url(&self) -> String {
        self.listening.base_url()
    }

    /// What the start made, if it was the first.
    pub fn first_start(&self) -> &FirstStart {
        &self.first_start
    }

    /// What all rooms share; for tests.
    pub fn app(&self) -> &SharedApp {
        &self.app
    }

    /// Stops in order: see [`Listening::stop`]; then what is counted is written, then the databases are closed.
    pub async fn stop(self) {
        self.listening.stop().await;
        self.app.analytics.close().await;
        self.app.store.close().await;
    }
}

/// Makes the databases, still empty, readable for nobody else, since the folder may be open to others;
/// the files that the engine puts beside them follow suit. Those that are there stay as they are.
pub(crate) fn make_private(config: &Config) -> Result<(), StartError> {
    for file in [DATABASE_FILE, EVENTS_FILE] {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(config.data.join(file)) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StartError::Folder { path: config.data.clone(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Keeps every other process off the data folder, which is made if it is not there.
pub(crate) fn lock_folder(config: &Config) -> Result<File, StartError> {
    let folder_error = |source| StartError::Folder { path: config.data.clone(), source };
    // SDK keys have to stay readable in there: nobody else's business.
    DirBuilder::new().recursive(true).mode(0o700).create(&config.data).map_err(folder_error)?;
    let lock = File::create(config.data.join("lock")).map_err(folder_error)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse { path: config.data.clone() }),
        Err(std::fs::TryLockError::Error(source)) => Err(folder_error(source)),
    }
}
