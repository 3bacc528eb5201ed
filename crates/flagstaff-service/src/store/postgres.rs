//! PostgreSQL: several nodes on one database.
//!
//! Rules read, check and write, so one of them writes at a time, whichever node it runs on: [`Pools::write`]
//! begins by taking a lock of the database's that ends with the transaction. Changes are made by people, a few
//! milliseconds each; what no rule looks at, such as sessions, does not wait for it.
//!
//! Every wait has an end: for a connection, for a lock, for a statement, and for a node that fell silent in the
//! middle of a transaction. A commit that was answered is on disk: a server set to answer earlier is told not to.

use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Reading, Transaction, in_time};
use super::{StoreError, schema};

/// How many connections there are for flags. One more listens.
const CONNECTIONS: u32 = 8;

/// How long a request waits for a connection, also for one that has to be made.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start waits for a database that is not there yet.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried again meanwhile, and how often listening is.
const RETRY: Duration = Duration::from_secs(1);

/// How often the connection that listens is asked whether it is still there: a broken one says nothing.
const LISTENING_CHECK: Duration = Duration::from_secs(30);

/// What every connection says first.
const SESSION: &str = "
    SET lock_timeout = '10s';
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '20s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// One writer at a time among those that share the tables. The first number is `FLAG`.
const LOCK_WRITING: &str = "SELECT pg_advisory_xact_lock(1179402567, hashtext(current_schema()))";

/// How a transaction begins that reads several times and sees one moment, and how one that writes.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Where commits are told of.
const CHANNEL: &str = "flagstaff_changes";

/// Where a PostgreSQL database is, and as whom to use it: `postgres://user:password@host:5432/name`. Shown
/// without the password.
#[derive(Clone)]
pub struct PostgresUrl(Arc<PgConnectOptions>);

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text may hold a password, so no error repeats it.
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("the address of a database looks like postgres://user:password@host:5432/name; \
                        without one, flags are kept in the data folder"
                .to_owned());
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| {
            format!("the address of the database cannot be read: {}", crate::error::chain(&error))
        })?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("flagstaff"),
        };
        Ok(Self(Arc::new(options)))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0;
        write!(formatter, "postgres://{}@", options.get_username())?;
        match options.get_socket() {
            Some(folder) => write!(formatter, "{}", folder.display())?,
            None => write!(formatter, "{}:{}", options.get_host(), options.get_port())?,
        }
        write!(formatter, "/{}", options.get_database().unwrap_or(options.get_username()))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl PostgresUrl {
    /// One connection outside of any pool, as soon as the database is there.
    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(self.connect_alone().await?.into())
    }

    async fn connect_alone(&self) -> Result<PgConnection, StoreError> {
        let since = Instant::now();
        loop {
            let source = match tokio::time::timeout(ACQUIRE_TIMEOUT, self.0.connect()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            // No certificate becomes a good one by waiting.
            let is_refused =
                matches!(&source, sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData);
            let error = StoreError::Open { database: self.to_string(), source };
            if is_refused || !error.is_unavailable() || since.elapsed() > START_PATIENCE {
                return Err(error);
            }
            tracing::warn!(error = %crate::error::chain(&error), "waiting for the database");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes the database through these steps. Nodes that start at the same time do it one after the other,
    /// however long it takes; after a kill it goes on at the step that was not committed.
    pub(super) async fn migrate(&self, migrator: Migrator) -> Result<(), StoreError> {
        let mut connection = self.connect_alone().await?;
        let done = migrator.run_direct(None, &mut connection, false).await;
        done.map_err(|source| StoreError::Migrate { database: self.to_string(), source })?;
        Ok(connection.close().await?)
    }

    /// A pool of so many connections, none of which is made before it is needed.
    pub(super) fn pool(&self, connections: u32) -> PgPool {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(drop) })
            })
            .connect_lazy_with(PgConnectOptions::clone(&self.0))
    }
}

/// The connections of a node, and the task that listens to the others.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pool: PgPool,
    listening: PgPool,
    closing: CancellationToken,
}

impl Pools {
    /// Reaches the database and brings it up to date. From then on `committed` changes with every commit of
    /// any node.
    pub(super) async fn open(url: &PostgresUrl, committed: watch::Sender<u64>) -> Result<Self, StoreError> {
        url.migrate(schema::postgres()).await?;
        let listening = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(PgConnectOptions::clone(&url.0));
        let pools = Self { pool: url.pool(CONNECTIONS), listening, closing: CancellationToken::new() };
        tokio::spawn(
            pools.closing.clone().run_until_cancelled_owned(listen(pools.listening.clone(), committed)),
        );
        Ok(pools)
    }

    pub(super) async fn read(&self) -> Result<Reading, StoreError> {
        Ok(self.pool.acquire().await?.into())
    }

    pub(super) async fn snapshot(&self) -> Result<Reading, StoreError> {
        Ok(begin(&self.pool, BEGIN_SNAPSHOT).await?.into())
    }

    /// A transaction that writes, after every other one that is under way.
    pub(super) async fn write(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.write_apart().await?;
        transaction.run(LOCK_WRITING).await?;
        Ok(transaction)
    }

    /// A transaction that writes what no rule looks at, beside others.
    pub(super) async fn write_apart(&self) -> Result<Transaction, StoreError> {
        Ok(begin(&self.pool, BEGIN_WRITE).await?.into())
    }

    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.listening.close().await;
        self.pool.close().await;
    }
}

/// In the transaction that is about to commit: wakes the nodes that listen, if it commits.
pub(super) async fn tell_nodes(transaction: &mut Transaction) -> Result<(), sqlx::Error> {
    transaction.run("NOTIFY flagstaff_changes").await
}

/// Begins a transaction in a task of its own: were the caller dropped in the middle, the connection would go
/// back to its pool with a transaction open of which the pool does not know.
pub(super) async fn begin(
    pool: &PgPool,
    statement: &'static str,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, StoreError> {
    let pool = pool.clone();
    let begun = tokio::spawn(in_time(async move { pool.begin_with(statement).await }));
    Ok(begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
}

/// Listens for ever. Whenever listening begins again, something may have been missed meanwhile.
async fn listen(pool: PgPool, committed: watch::Sender<u64>) {
    let mut failures = 0_u32;
    loop {
        let Err(error) = listen_once(&pool, &committed, &mut failures).await;
        failures += 1;
        // Once per outage: flags are looked for every second anyway.
        if failures == 1 {
            let error = crate::error::chain(&error);
            tracing::warn!(
                error,
                "does not hear of other nodes' changes at once; looking for them until it does"
            );
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn listen_once(
    pool: &PgPool,
    committed: &watch::Sender<u64>,
    failures: &mut u32,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    if std::mem::take(failures) > 0 {
        tracing::info!("hears of other nodes' changes again");
    }
    committed.send_modify(|count| *count += 1);
    loop {
        match tokio::time::timeout(LISTENING_CHECK, listener.try_recv()).await {
            Ok(heard) => {
                heard?.ok_or(sqlx::Error::PoolTimedOut)?;
                committed.send_modify(|count| *count += 1);
            }
            Err(_) => {
                let answer = sqlx::query("SELECT 1").execute(&mut listener);
                tokio::time::timeout(ACQUIRE_TIMEOUT, answer)
                    .await
                    .map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let url: PostgresUrl = "postgres://ada:s3cret@db.example:5433/flags?sslmode=require".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://ada@db.example:5433/flags");
        assert_eq!(format!("{url:?}"), "postgres://ada@db.example:5433/flags");
        for wrong in
            ["mysql://ada:s3cret@db/flags", "postgres://ada:s3cret@db:port/flags", "postgres://ada:s3cret@[/"]
        {
            let error = wrong.parse::<PostgresUrl>().expect_err(wrong);
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
