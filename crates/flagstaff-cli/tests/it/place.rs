//! Where a service keeps its data: in a folder, or on a PostgreSQL server of the test's own.

use std::future::Future;
use std::time::{Duration, Instant};

use flagstaff_service::Config;
use flagstaff_service::config::Database;
use flagstaff_service::store::Store;
use flagstaff_service::store::analytics::EventStore;
use flagstaff_testkit::{End, Postgres};
use tokio::runtime::Runtime;

use crate::kills::Chance;
use crate::process::{Folder, Service};

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place for the data of one service.
#[derive(Debug)]
pub(crate) struct Place {
    folder: Folder,
    server: Option<Postgres>,
    /// The name and address of the database on the server.
    database: Option<(String, String)>,
    runtime: Runtime,
}

/// Sessions on a database server, by their process ids.
#[derive(Debug, Default)]
pub(crate) struct Sessions(String);

impl Place {
    /// Everything in files.
    pub(crate) fn sqlite(name: &str) -> Self {
        Self { folder: Folder::new(name), server: None, database: None, runtime: Runtime::new().unwrap() }
    }

    /// An empty database on a server; none where PostgreSQL is not installed.
    pub(crate) fn postgres(name: &str) -> Option<Self> {
        let server = Postgres::start()?;
        let url = server.new_database();
        let database = url.rsplit_once('/').expect("an address has a name").1.to_owned();
        Some(Self {
            folder: Folder::new(&format!("{name}-postgres")),
            server: Some(server),
            database: Some((database, url)),
            runtime: Runtime::new().unwrap(),
        })
    }

    /// For what tests print.
    pub(crate) fn engine(&self) -> &'static str {
        if self.server.is_some() { "postgres" } else { "sqlite" }
    }

    /// A service on this data.
    pub(crate) fn start(&self, arguments: &[&str]) -> Service {
        let url = self.database.as_ref().map(|(_, url)| url.clone());
        start_on(&self.folder, url, arguments)
    }

    /// One more node on the database, with a folder of its own.
    pub(crate) fn start_another(&self, folder: &Folder, arguments: &[&str]) -> Service {
        let (_, url) = self.database.as_ref().expect("the data is on a server");
        start_on(folder, Some(format!("{url}?application_name=another")), arguments)
    }

    /// The database of flags, beside the service.
    pub(crate) async fn store(&self) -> Store {
        Store::of(&self.config()).await.unwrap()
    }

    /// The database of events, beside the service.
    pub(crate) async fn events(&self) -> EventStore {
        EventStore::of(&self.config()).await.unwrap()
    }

    /// Ends the database server as a crash would, again and again, each time after work has gone on for a
    /// while: `done` says how much of it is done.
    pub(crate) fn crash_database(&mut self, times: u64, chance: &mut Chance, done: impl Fn() -> u64) {
        let server = self.server.as_mut().expect("the data is on a server");
        for crash in 0..=times {
            let (before, started) = (done(), Instant::now());
            while done() < before + 5 {
                assert!(started.elapsed() < PATIENCE, "work does not go on after {crash} crashes");
                std::thread::sleep(Duration::from_millis(2));
            }
            if crash < times {
                std::thread::sleep(chance.pause(Duration::from_millis(100)));
                server.stop(End::Crash);
                std::thread::sleep(chance.pause(Duration::from_millis(300)));
                server.start_again();
            }
        }
    }

    /// Ends the database server, as its administrator would.
    pub(crate) fn stop_database(&mut self) {
        self.server.as_mut().expect("the data is on a server").stop(End::Fast);
    }

    /// Starts it again, with what it had.
    pub(crate) fn start_database(&mut self) {
        self.server.as_mut().expect("the data is on a server").start_again();
    }

    /// What the database server is doing for a service that was just killed, or is there: it goes on for a
    /// moment with what it was last told.
    pub(crate) fn sessions(&self) -> Sessions {
        Sessions(self.ask("coalesce(string_agg(CAST(pid AS TEXT), ','), '')"))
    }

    /// Waits until the server has ended them.
    pub(crate) fn wait_until_ended(&self, Sessions(sessions): &Sessions) {
        let started = Instant::now();
        while !sessions.is_empty() && self.ask(&format!("count(*) FILTER (WHERE pid IN ({sessions}))")) != "0"
        {
            assert!(started.elapsed() < PATIENCE, "sessions of a killed process do not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ask(&self, what: &str) -> String {
        let (Some(server), Some((database, _))) = (&self.server, &self.database) else {
            return String::new();
        };
        let from = "pg_stat_activity WHERE application_name = 'flagstaff'";
        server.ask("postgres", &format!("SELECT {what} FROM {from} AND datname = '{database}'"))
    }

    /// Runs a test's own work on a database.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.folder.path());
        if let Some((_, url)) = &self.database {
            config.database = Database::Postgres(url.parse().unwrap());
        }
        config
    }
}

fn start_on(folder: &Folder, url: Option<String>, arguments: &[&str]) -> Service {
    let database = url.iter().flat_map(|url| ["--database-url", url]);
    let arguments: Vec<&str> = arguments.iter().copied().chain(database).collect();
    Service::start(folder, &arguments)
}
