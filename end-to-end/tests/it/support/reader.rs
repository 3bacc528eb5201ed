//! Programs that read from a database what a relay wrote there.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flagstaff_sdk::{
    BigSegmentStore, BigSegments, Caching, Client, Config, Context, DynamoDb as DynamoDbStore,
    PersistentDataStore, PersistentStore, Redis as RedisStore, VariationDetail,
};
use serde_json::{Map, Value as Json, json};

use super::consul::Consul;
use super::dynamodb::{DynamoDb, TABLE};
use super::process::Process;
use super::redis::Redis;
use super::service::Service;
use super::{binaries, eventually, root};

/// Where a relay writes, and programs read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database<'d> {
    Redis(&'d Redis),
    Consul(&'d Consul),
    DynamoDb(&'d DynamoDb),
}

/// Which program reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// A program of its own.
    Program { name: &'static str, command: fn() -> Command },
    /// Our Rust SDK, in this process.
    OurRust,
}

pub(crate) const PYTHON: Reader =
    Reader::Program { name: "our Python package", command: || python(".venv", "make python-debug") };

pub(crate) const OFFICIAL_PYTHON: Reader =
    Reader::Program { name: "official Python 9", command: || python(".venv-daemon", "make setup-official") };

/// Reads Redis alone.
pub(crate) const OFFICIAL_NODE: Reader = Reader::Program {
    name: "official Node.js",
    command: || {
        let folder = root().join("end-to-end/daemon");
        binaries::needed(folder.join("node_modules/.ready"), "make setup-official");
        let mut command = Command::new("node");
        command.arg(folder.join("reader.js"));
        command
    },
};

/// Those that read this database.
pub(crate) fn readers_of(database: Database<'_>) -> Vec<Reader> {
    let mut readers = vec![OFFICIAL_PYTHON, PYTHON, Reader::OurRust];
    if matches!(database, Database::Redis(_)) {
        readers.push(OFFICIAL_NODE);
    }
    readers
}

fn python(environment: &str, set_up_by: &str) -> Command {
    let mut command = Command::new(binaries::python(environment, set_up_by));
    command.arg(root().join("end-to-end/daemon/reader.py"));
    command
}

impl Database<'_> {
    /// Has a relay write there.
    pub(crate) fn for_relay(self) -> Vec<String> {
        match self {
            Self::Redis(redis) => vec!["--redis-url".to_owned(), redis.url()],
            Self::Consul(consul) => vec!["--consul".to_owned(), consul.address()],
            Self::DynamoDb(dynamo) => {
                let table = TABLE.to_owned();
                vec!["--dynamodb-table".to_owned(), table, "--dynamodb-url".to_owned(), dynamo.url()]
            }
        }
    }

    /// The flags there, and the big segments, which Consul has no place for.
    fn for_client(self, prefix: &str) -> (Arc<dyn PersistentStore>, Option<Arc<dyn BigSegmentStore>>) {
        match self {
            Self::Redis(redis) => {
                let store = || Arc::new(RedisStore::new(redis.url()).prefix(prefix));
                (store(), Some(store()))
            }
            Self::Consul(consul) => {
                (Arc::new(flagstaff_sdk::Consul::new(consul.address()).prefix(prefix)), None)
            }
            Self::DynamoDb(dynamo) => {
                let store = || {
                    let store = DynamoDbStore::new(TABLE).endpoint(dynamo.url()).region("us-east-1");
                    Arc::new(store.credentials("dummy", "dummy").prefix(prefix))
                };
                (store(), Some(store()))
            }
        }
    }
}

/// What a program sees.
#[derive(Debug)]
pub(crate) enum Reading {
    OfProgram { process: Process, last: Json },
    OfClient { client: Client, flags: Vec<String> },
}

/// After so long big segments are stale, unless a journey is about that: never in its time.
pub(crate) const FRESH: Duration = Duration::from_secs(120);

/// Whom flags are asked for.
const USER: &str = "ann";

impl Reading {
    /// Reads production, which is under this prefix: in daemon mode, or with flags from `upstream` and big segments
    /// alone from the database, which are stale after so long.
    pub(crate) fn start(
        reader: Reader,
        database: Database<'_>,
        flags: &[&str],
        service: &Service,
        upstream: Option<&str>,
        stale_after: Duration,
    ) -> Self {
        let prefix = "production";
        let Reader::Program { name, command } = reader else {
            let client = client(database, prefix, upstream, stale_after);
            return Self::OfClient { client, flags: flags.iter().map(|&flag| flag.to_owned()).collect() };
        };
        let mut command = command();
        command.env_remove("FLAGSTAFF_URL").env("PREFIX", prefix).env("FLAGS", flags.join(","));
        command.env("USER_KEY", USER).env("STALE_AFTER", stale_after.as_secs_f64().to_string());
        command.envs(upstream.map(|url| ("FLAGSTAFF_URL", url)));
        match database {
            Database::Redis(redis) => command.env("REDIS_URL", redis.url()),
            Database::Consul(consul) => command.env("CONSUL_ADDRESS", consul.address()),
            Database::DynamoDb(dynamo) => command.env("DYNAMODB_URL", dynamo.url()),
        };
        let process = Process::start(name, &mut command, service.file(&format!("{name}.log")));
        Self::OfProgram { process, last: Json::Null }
    }

    /// Waits until it sees this of a flag: value, kind of reason, and status of big segments; or, of `status`,
    /// whether the database of big segments is available and stale.
    pub(crate) fn until(&mut self, flag: &str, expected: &Json, limit: Duration) {
        match self {
            Self::OfProgram { process, last } => {
                let end = Instant::now() + limit;
                while last[flag] != *expected {
                    let left = end.saturating_duration_since(Instant::now());
                    let (_, line) = process.line_after("sees ", left);
                    *last = serde_json::from_str(&line).expect("it prints JSON");
                }
            }
            Self::OfClient { client, flags } => eventually(limit, || {
                let seen = seen(client, flags);
                if seen[flag] == *expected { Ok(()) } else { Err(format!("our Rust SDK sees {seen}")) }
            }),
        }
    }
}

fn client(database: Database<'_>, prefix: &str, upstream: Option<&str>, stale_after: Duration) -> Client {
    let (flags, members) = database.for_client(prefix);
    let mut config = Config::new("sdk-demo-production").send_events(false).diagnostic_opt_out(true);
    config = match upstream {
        Some(url) => config.base_uri(url),
        None => config.daemon_mode(true).data_store(PersistentDataStore::shared(flags).caching(Caching::Off)),
    };
    if let Some(members) = members {
        let big_segments = BigSegments::shared(members).context_cache_time(Duration::from_millis(50));
        let big_segments = big_segments.status_poll_interval(Duration::from_millis(100));
        config = config.big_segments(big_segments.stale_after(stale_after));
    }
    Client::start(config).expect("the configuration is right")
}

/// By flag, as the programs print it.
fn seen(client: &Client, flags: &[String]) -> Json {
    let user = Context::builder(USER).build().expect("a user");
    let mut everything = Map::new();
    for key in flags {
        let VariationDetail { value, reason, .. } = client.variation_detail(key, &user, Json::Null);
        let reason = serde_json::to_value(reason).expect("a reason is JSON");
        let kind = if reason["errorKind"].is_null() { &reason["kind"] } else { &reason["errorKind"] };
        everything.insert(key.clone(), json!([value, kind, reason["bigSegmentsStatus"]]));
    }
    let status = client.big_segment_store_status();
    everything.insert("status".to_owned(), json!([status.available, status.stale]));
    Json::Object(everything)
}
