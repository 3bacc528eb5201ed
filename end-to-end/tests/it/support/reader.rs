//! Programs that read from a database what a relay wrote there.

use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use super::dynamodb::DynamoDb;
use super::process::Process;
use super::redis::Redis;
use super::service::Service;
use super::{binaries, root};

/// Where a relay writes, and programs read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database<'d> {
    Redis(&'d Redis),
    DynamoDb(&'d DynamoDb),
}

/// Which program reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    name: &'static str,
    command: fn() -> Command,
}

pub(crate) const PYTHON: Reader =
    Reader { name: "our Python package", command: || python(".venv", "make python-debug") };

pub(crate) const OFFICIAL_PYTHON: Reader =
    Reader { name: "official Python 9", command: || python(".venv-daemon", "make setup-official") };

/// Reads Redis alone.
pub(crate) const OFFICIAL_NODE: Reader = Reader {
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
    let mut readers = vec![OFFICIAL_PYTHON, PYTHON];
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
            Self::DynamoDb(dynamo) => {
                let table = super::dynamodb::TABLE.to_owned();
                vec!["--dynamodb-table".to_owned(), table, "--dynamodb-url".to_owned(), dynamo.url()]
            }
        }
    }
}

/// What a program sees.
#[derive(Debug)]
pub(crate) struct Reading {
    process: Process,
    seen: Vec<Json>,
}

impl Reading {
    /// Reads production, which is under this prefix. `more` is set in its environment.
    pub(crate) fn start(
        reader: Reader,
        database: Database<'_>,
        prefix: &str,
        flags: &str,
        service: &Service,
        more: &[(&str, &str)],
    ) -> Self {
        let mut command = (reader.command)();
        command.env_remove("FLAGSTAFF_URL").env("PREFIX", prefix).env("FLAGS", flags).env("USER_KEY", "ann");
        match database {
            Database::Redis(redis) => command.env("REDIS_URL", redis.url()),
            Database::DynamoDb(dynamo) => command.env("DYNAMODB_URL", dynamo.url()),
        };
        command.envs(more.iter().copied());
        let log = service.file(&format!("{}.log", reader.name));
        Self { process: Process::start(reader.name, &mut command, log), seen: Vec::new() }
    }

    /// Waits until it sees this of a flag: value, kind of reason, and status of big segments. Gives what it saw on
    /// the way, this among it.
    pub(crate) fn until(&mut self, flag: &str, expected: &Json, limit: Duration) -> Vec<Json> {
        let end = std::time::Instant::now() + limit;
        let mut on_the_way = Vec::new();
        if let Some(last) = self.seen.last().filter(|last| last[flag] == *expected) {
            return vec![last.clone()];
        }
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let (_, line) = self.process.line_after("sees ", left);
            let seen: Json = serde_json::from_str(&line).expect("it prints JSON");
            self.seen.push(seen.clone());
            on_the_way.push(seen.clone());
            if seen[flag] == *expected {
                return on_the_way;
            }
        }
    }
}
