//! The engine that the suite runs on. As it is, SQLite in the test's folder. With `FLAGSTAFF_TEST_DATABASE_URL`,
//! PostgreSQL: the address of any database of a server, or `start` for a server of the tests' own.

use std::sync::OnceLock;

use flagstaff_service::config::Database;
use flagstaff_testkit::{Postgres, new_database_at};

/// Where to make databases; none where the suite runs on SQLite.
static SERVER: OnceLock<Option<Server>> = OnceLock::new();

#[derive(Debug)]
enum Server {
    Started(Postgres),
    Given(String),
}

fn server() -> Option<&'static Server> {
    let found = || match std::env::var("FLAGSTAFF_TEST_DATABASE_URL") {
        // Without the programs a line says so, and the suite runs on SQLite once more.
        Ok(said) if said == "start" => Postgres::start().map(Server::Started),
        Ok(url) if !url.is_empty() => Some(Server::Given(url)),
        _ => None,
    };
    SERVER.get_or_init(found).as_ref()
}

/// Whether the suite runs on PostgreSQL.
pub(crate) fn is_postgres() -> bool {
    server().is_some()
}

/// An empty PostgreSQL database, whatever the suite runs on; none, with a line that says so, without a server.
pub(crate) fn fresh_postgres() -> Option<Database> {
    static OWN: OnceLock<Option<Postgres>> = OnceLock::new();
    let url = match server() {
        Some(Server::Started(server)) => server.new_database(),
        Some(Server::Given(url)) => new_database_at(url),
        None => OWN.get_or_init(Postgres::start).as_ref()?.new_database(),
    };
    Some(Database::Postgres(url.parse().unwrap()))
}

/// An empty database.
pub(crate) fn fresh() -> Database {
    let url = match server() {
        Some(Server::Started(server)) => server.new_database(),
        Some(Server::Given(url)) => new_database_at(url),
        None => return Database::Sqlite,
    };
    Database::Postgres(url.parse().unwrap())
}
