//! One way to run a statement on either engine.
//!
//! Every statement text exists once: numbered `$1`, `$2`, in the part of SQL that both engines read
//! alike. Underneath are two typed drivers, which prepare each text once per connection. The calls are
//! those of `sqlx`: `sql("SELECT …").bind(value).fetch_all(connection)`.
//!
//! Columns hold whole numbers (BIGINT), text and bytes; a truth value is the number 0 or 1.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, ColumnIndex, Decode, Encode, Error, Postgres, Row as _, SqlSafeStr as _,
    SqlStr, Sqlite, Type,
};

use super::error::NulInText;
use super::health::Health;
use super::integrity::checksum;
use super::{StoreError, figures};

/// A connection to the database, perhaps inside a transaction. Functions that read or write take
/// `&mut Connection`.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    /// Who is told of errors of the disk, where that is a matter of this process.
    health: Option<Health>,
}

#[derive(Debug)]
enum Link {
    Sqlite(PoolConnection<Sqlite>),
    SqliteAlone(SqliteConnection),
    SqliteTransaction(sqlx::Transaction<'static, Sqlite>),
    Postgres(PoolConnection<Postgres>),
    PostgresAlone(PgConnection),
    PostgresTransaction(sqlx::Transaction<'static, Postgres>),
}

/// Whose connection it is.
enum Engine<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Connection {
    /// Whether the engine is PostgreSQL, for the few things that only one of the two has.
    pub fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_) | Link::PostgresAlone(_) | Link::PostgresTransaction(_))
    }

    /// Closes a connection that belongs to no pool, in good order; any other goes back to its pool.
    pub async fn close(self) -> Result<(), Error> {
        match self.link {
            Link::SqliteAlone(connection) => sqlx::Connection::close(connection).await,
            Link::PostgresAlone(connection) => sqlx::Connection::close(connection).await,
            _ => Ok(()),
        }
    }

    /// From now on errors of the disk are noted there.
    pub(super) fn watched_by(mut self, health: &Health) -> Self {
        self.health = Some(health.clone());
        self
    }

    /// Notes what this says of the disk.
    fn noted<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if let (Err(error), Some(health)) = (&done, &self.health) {
            health.note(error);
        }
        done
    }

    fn engine(&mut self) -> Engine<'_> {
        match &mut self.link {
            Link::Sqlite(connection) => Engine::Sqlite(connection),
            Link::SqliteAlone(connection) => Engine::Sqlite(connection),
            Link::SqliteTransaction(transaction) => Engine::Sqlite(transaction),
            Link::Postgres(connection) => Engine::Postgres(connection),
            Link::PostgresAlone(connection) => Engine::Postgres(connection),
            Link::PostgresTransaction(transaction) => Engine::Postgres(transaction),
        }
    }
}

impl From<Link> for Connection {
    fn from(link: Link) -> Self {
        Self { link, health: None }
    }
}

impl From<PoolConnection<Sqlite>> for Connection {
    fn from(connection: PoolConnection<Sqlite>) -> Self {
        Link::Sqlite(connection).into()
    }
}

impl From<SqliteConnection> for Connection {
    fn from(connection: SqliteConnection) -> Self {
        Link::SqliteAlone(connection).into()
    }
}

impl From<sqlx::Transaction<'static, Sqlite>> for Connection {
    fn from(transaction: sqlx::Transaction<'static, Sqlite>) -> Self {
        Link::SqliteTransaction(transaction).into()
    }
}

impl From<PgConnection> for Connection {
    fn from(connection: PgConnection) -> Self {
        Link::PostgresAlone(connection).into()
    }
}

impl From<PoolConnection<Postgres>> for Connection {
    fn from(connection: PoolConnection<Postgres>) -> Self {
        Link::Postgres(connection).into()
    }
}

impl From<sqlx::Transaction<'static, Postgres>> for Connection {
    fn from(transaction: sqlx::Transaction<'static, Postgres>) -> Self {
        Link::PostgresTransaction(transaction).into()
    }
}

/// A connection to read with, for as long as this is held.
#[derive(Debug)]
pub struct Reading(Connection);

impl Reading {
    /// From now on errors of the disk are noted there.
    pub(super) fn watched_by(self, health: &Health) -> Self {
        Self(self.0.watched_by(health))
    }
}

impl<T: Into<Connection>> From<T> for Reading {
    fn from(connection: T) -> Self {
        Self(connection.into())
    }
}

impl std::ops::Deref for Reading {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A connection in a transaction that writes; dropped without [`Transaction::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Transaction(Connection);

impl Transaction {
    /// Keeps what was written.
    ///
    /// # Errors
    /// If it may not be kept; also if the disk is known to have failed since it was begun.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Connection { link, health } = self.0;
        if let Some(health) = &health {
            health.check()?;
        }
        let done = match link {
            Link::SqliteTransaction(transaction) => figures::commit(transaction.commit()).await,
            Link::PostgresTransaction(transaction) => figures::commit(in_time(transaction.commit())).await,
            _ => unreachable!("made of a transaction alone"),
        };
        if let Some(health) = &health {
            match &done {
                Ok(()) => health.committed(),
                Err(error) => health.note(error),
            }
        }
        Ok(done?)
    }

    /// From now on errors of the disk are noted there.
    pub(super) fn watched_by(self, health: &Health) -> Self {
        Self(self.0.watched_by(health))
    }

    /// Runs statements that have no values, or say only what the session does: they are not prepared.
    pub(super) async fn run(&mut self, text: &'static str) -> Result<(), Error> {
        match self.0.engine() {
            Engine::Sqlite(connection) => sqlx::raw_sql(text).execute(connection).await.map(drop),
            Engine::Postgres(connection) => in_time(sqlx::raw_sql(text).execute(connection)).await.map(drop),
        }
    }
}

impl From<sqlx::Transaction<'static, Sqlite>> for Transaction {
    fn from(transaction: sqlx::Transaction<'static, Sqlite>) -> Self {
        Self(transaction.into())
    }
}

impl From<sqlx::Transaction<'static, Postgres>> for Transaction {
    fn from(transaction: sqlx::Transaction<'static, Postgres>) -> Self {
        Self(transaction.into())
    }
}

impl std::ops::Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A statement while its values are bound.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is executed or fetched"]
pub struct Statement<'q> {
    text: Cow<'static, str>,
    values: Vec<Value<'q>>,
}

/// A statement of this text.
pub fn sql<'q>(text: &'static str) -> Statement<'q> {
    Statement { text: Cow::Borrowed(text), values: Vec::new() }
}

/// A statement whose text was put together, of parts of ours alone: no value is ever part of it.
pub fn composed_sql<'q>(text: String) -> Statement<'q> {
    Statement { text: Cow::Owned(text), values: Vec::new() }
}

impl<'q> Statement<'q> {
    /// The next value: the first is `$1`.
    pub fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The next values, the columns of a row that carries a checksum; after them that.
    pub(super) fn bind_checked<const N: usize>(mut self, columns: [Value<'q>; N]) -> Self {
        let checksum = checksum::of(&columns);
        self.values.extend(columns);
        self.bind(checksum)
    }

    /// Runs it and says how many rows it touched.
    pub async fn execute(self, connection: &mut Connection) -> Result<Executed, Error> {
        let done = figures::statement(async {
            Ok(match connection.engine() {
                Engine::Sqlite(connection) => self.for_sqlite()?.execute(connection).await?.rows_affected(),
                Engine::Postgres(connection) => {
                    in_time(self.for_postgres()?.execute(connection)).await?.rows_affected()
                }
            })
        })
        .await;
        Ok(Executed { rows_affected: connection.noted(done)? })
    }

    /// All rows.
    pub async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, Error> {
        let done = figures::statement(async {
            match connection.engine() {
                Engine::Sqlite(connection) => {
                    self.for_sqlite()?.fetch(connection).map_ok(Row::from).try_collect().await
                }
                Engine::Postgres(connection) => {
                    in_time(self.for_postgres()?.fetch(connection).map_ok(Row::from).try_collect()).await
                }
            }
        })
        .await;
        connection.noted(done)
    }

    /// The first row, if there is one.
    pub async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>, Error> {
        let done = figures::statement(async {
            Ok(match connection.engine() {
                Engine::Sqlite(connection) => {
                    self.for_sqlite()?.fetch_optional(connection).await?.map(Row::from)
                }
                Engine::Postgres(connection) => {
                    in_time(self.for_postgres()?.fetch_optional(connection)).await?.map(Row::from)
                }
            })
        })
        .await;
        connection.noted(done)
    }

    /// The first row; `RowNotFound` if there is none.
    pub async fn fetch_one(self, connection: &mut Connection) -> Result<Row, Error> {
        self.fetch_optional(connection).await?.ok_or(Error::RowNotFound)
    }

    /// The first column of the first row; `RowNotFound` if there is none.
    pub async fn fetch_scalar<T>(self, connection: &mut Connection) -> Result<T, Error>
    where
        T: for<'r> FromColumn<'r>,
    {
        self.fetch_one(connection).await?.try_get(0)
    }

    /// The first column of the first row, if there is one.
    pub async fn fetch_optional_scalar<T>(self, connection: &mut Connection) -> Result<Option<T>, Error>
    where
        T: for<'r> FromColumn<'r>,
    {
        self.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()
    }

    /// The first column of all rows.
    pub async fn fetch_scalars<T>(self, connection: &mut Connection) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromColumn<'r>,
    {
        self.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
    }

    /// The rows one by one: whoever stops early has not read the rest.
    pub fn fetch<'e>(self, connection: &'e mut Connection) -> BoxStream<'e, Result<Row, Error>>
    where
        'q: 'e,
    {
        let failed = |error| futures_util::stream::once(std::future::ready(Err(error))).boxed();
        let health = connection.health.clone();
        let rows: BoxStream<'e, _> = match connection.engine() {
            Engine::Sqlite(connection) => match self.for_sqlite() {
                Ok(query) => query.fetch(connection).map_ok(Row::from).boxed(),
                Err(error) => failed(error),
            },
            Engine::Postgres(connection) => match self.for_postgres() {
                Ok(query) => query.fetch(connection).map_ok(Row::from).boxed(),
                Err(error) => failed(error),
            },
        };
        match health {
            Some(health) => rows.inspect_err(move |error| health.note(error)).boxed(),
            None => rows,
        }
    }

    fn for_sqlite<'e>(self) -> Result<sqlx::query::Query<'e, Sqlite, SqliteArguments>, Error> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            value.add_to(&mut arguments)?;
        }
        Ok(sqlx::query_with(safe(self.text), arguments))
    }

    fn for_postgres<'e>(self) -> Result<sqlx::query::Query<'e, Postgres, PgArguments>, Error> {
        let mut arguments = PgArguments::default();
        let size = self.values.iter().map(Value::size).sum();
        arguments.reserve(self.values.len(), size);
        for value in self.values {
            if value.has_nul() {
                return Err(Error::Encode(Box::new(NulInText)));
            }
            value.add_to(&mut arguments)?;
        }
        Ok(sqlx::query_with(safe(self.text), arguments))
    }
}

/// The server gives a statement up before this; a connection that broke in silence would never say so.
pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    const LONGEST: Duration = Duration::from_secs(40);
    let too_late = |_| Err(Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(LONGEST, answer).await.unwrap_or_else(too_late)
}

/// The texts are constants, or put together of constants: see [`sql`] and [`composed_sql`].
fn safe(text: Cow<'static, str>) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

/// What a statement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    rows_affected: u64,
}

impl Executed {
    /// How many rows were inserted, updated or deleted.
    pub fn rows_affected(self) -> u64 {
        self.rows_affected
    }
}

/// A value on its way into a statement. None is NULL, of its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'q> {
    /// A whole number, or a truth value as 0 or 1.
    Integer(Option<i64>),
    /// Text.
    Text(Option<Cow<'q, str>>),
    /// Bytes.
    Bytes(Option<Cow<'q, [u8]>>),
}

impl<'q> Value<'q> {
    fn add_to<A: sqlx::Arguments>(self, arguments: &mut A) -> Result<(), Error>
    where
        Option<i64>: Encode<'q, A::Database> + Type<A::Database>,
        Option<&'q str>: Encode<'q, A::Database> + Type<A::Database>,
        Option<&'q [u8]>: Encode<'q, A::Database> + Type<A::Database>,
        String: Encode<'q, A::Database> + Type<A::Database>,
        Vec<u8>: Encode<'q, A::Database> + Type<A::Database>,
    {
        match self {
            Value::Integer(number) => arguments.add(number),
            Value::Text(Some(Cow::Owned(text))) => arguments.add(text),
            Value::Text(Some(Cow::Borrowed(text))) => arguments.add(Some(text)),
            Value::Text(None) => arguments.add(None::<&str>),
            Value::Bytes(Some(Cow::Owned(bytes))) => arguments.add(bytes),
            Value::Bytes(Some(Cow::Borrowed(bytes))) => arguments.add(Some(bytes)),
            Value::Bytes(None) => arguments.add(None::<&[u8]>),
        }
        .map_err(Error::Encode)
    }

    /// Whether it is a text that PostgreSQL does not take.
    fn has_nul(&self) -> bool {
        matches!(self, Value::Text(Some(text)) if text.contains('\0'))
    }

    /// How many bytes it takes on the wire, about.
    fn size(&self) -> usize {
        match self {
            Value::Integer(_) => 8,
            Value::Text(text) => text.as_ref().map_or(0, |text| text.len()),
            Value::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len()),
        }
    }
}

macro_rules! value_from {
    ($($type:ty: $value:ident => $made:expr;)*) => {$(
        impl<'q> From<$type> for Value<'q> {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

value_from! {
    i64: number => Value::Integer(Some(number));
    &i64: number => Value::Integer(Some(*number));
    Option<i64>: number => Value::Integer(number);
    &Option<i64>: number => Value::Integer(*number);
    bool: truth => Value::Integer(Some(i64::from(truth)));
    &'q str: text => Value::Text(Some(Cow::Borrowed(text)));
    &'q String: text => Value::Text(Some(Cow::Borrowed(text)));
    String: text => Value::Text(Some(Cow::Owned(text)));
    Option<&'q str>: text => Value::Text(text.map(Cow::Borrowed));
    Option<String>: text => Value::Text(text.map(Cow::Owned));
    &'q Option<String>: text => Value::Text(text.as_deref().map(Cow::Borrowed));
    &'q [u8]: bytes => Value::Bytes(Some(Cow::Borrowed(bytes)));
    &'q Vec<u8>: bytes => Value::Bytes(Some(Cow::Borrowed(bytes)));
    Vec<u8>: bytes => Value::Bytes(Some(Cow::Owned(bytes)));
    Option<Vec<u8>>: bytes => Value::Bytes(bytes.map(Cow::Owned));
}

/// A row that was read.
#[derive(Debug)]
pub struct Row(Columns);

#[derive(Debug)]
enum Columns {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(Columns::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Columns::Postgres(row))
    }
}

impl Row {
    /// The value of a column, by name or by place from 0.
    ///
    /// # Panics
    /// If there is no such column, or it holds something else: statement and code do not agree.
    pub fn get<'r, T: FromColumn<'r>, P: Place>(&'r self, place: P) -> T {
        match self.try_get(place) {
            Ok(value) => value,
            Err(error) => panic!("a statement and the code that reads its rows do not agree: {error}"),
        }
    }

    /// The value of a column, by name or by place from 0.
    ///
    /// # Errors
    /// If there is no such column, or it holds something else.
    pub fn try_get<'r, T: FromColumn<'r>, P: Place>(&'r self, place: P) -> Result<T, Error> {
        T::from_column(self, place)
    }

    fn decode<'r, T, P: Place>(&'r self, place: P) -> Result<T, Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            Columns::Sqlite(row) => row.try_get(place),
            Columns::Postgres(row) => row.try_get(place),
        }
    }
}

/// What a column is found by: its name, or its place from 0.
pub trait Place: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}

impl Place for &str {}
impl Place for usize {}

/// What a column can be read as.
pub trait FromColumn<'r>: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// If there is no such column, or it holds something else.
    fn from_column<P: Place>(row: &'r Row, place: P) -> Result<Self, Error>;
}

macro_rules! from_column {
    ($($type:ty),*) => {$(
        impl<'r> FromColumn<'r> for $type {
            fn from_column<P: Place>(row: &'r Row, place: P) -> Result<Self, Error> {
                row.decode(place)
            }
        }
    )*};
}

from_column!(i64, Option<i64>, String, Option<String>, &'r str, Option<&'r str>);
from_column!(Vec<u8>, Option<Vec<u8>>, &'r [u8]);

impl<'r> FromColumn<'r> for bool {
    fn from_column<P: Place>(row: &'r Row, place: P) -> Result<Self, Error> {
        Ok(i64::from_column(row, place)? != 0)
    }
}
