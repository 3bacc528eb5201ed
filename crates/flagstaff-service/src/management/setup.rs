//! The first start: what stands in an empty database, and which database a start refuses.

use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::project::{self, NewProject};
use super::{ChangeError, demo};
use crate::app::StartError;
use crate::auth::{Actor, Role, session};
use crate::config::{Config, Database};
use crate::now_ms;
use crate::store::analytics::EVENTS_FILE;
use crate::store::connection::{Connection, sql};
use crate::store::health::Fault;
use crate::store::member::{self, Member};
use crate::store::{DATABASE_FILE, Store, StoreError, new_public_id, setting};

/// What the start made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstStart {
    /// Nothing: the database was there.
    Continued,
    /// The demo.
    Demo,
    /// A first project, and an owner who signs in by this path.
    Owner {
        /// The one-time link's path.
        sign_in_path: String,
    },
}

/// Refuses a demo where there is something else, the other way round, and what is not ours at all, before
/// anything is written.
///
/// A database without a word on what it is was being made when the process was killed: it is empty.
pub async fn check_kind(config: &Config) -> Result<(), StartError> {
    match (look_into(config).await?, config.demo) {
        (Kind::Service, true) => Err(StartError::NotADemo { database: config.database_name() }),
        (Kind::Demo, false) => Err(StartError::IsADemo { database: config.database_name() }),
        _ => Ok(()),
    }
}

/// Refuses what is not ours at all, before anything is written.
pub async fn check_ours(config: &Config) -> Result<(), StartError> {
    look_into(config).await.map(drop)
}

/// Looks without writing.
async fn look_into(config: &Config) -> Result<Kind, StartError> {
    let (mut connection, database) = match &config.database {
        Database::Sqlite => {
            let path = config.data.join(DATABASE_FILE);
            if !path.exists() {
                return Ok(Kind::Empty);
            }
            let database = path.display().to_string();
            let size = |file: &Path| file.metadata().map_or(0, |about| about.len());
            // Events are kept only once there are flags.
            if size(&path) == 0 && size(&config.data.join(EVENTS_FILE)) > 0 {
                let finding = "it is empty, though there are events".to_owned();
                return Err(StoreError::Unsound { database, finding }.into());
            }
            let opened = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await;
            let opened = opened.map_err(|source| StoreError::Open { database: database.clone(), source })?;
            (Connection::from(opened), database)
        }
        Database::Postgres(url) => (url.connect().await?, url.to_string()),
    };
    let kind = match is_text(&mut connection).await {
        Ok(true) => kind(&mut connection).await,
        Ok(false) => {
            connection.close().await.map_err(StoreError::from)?;
            let finding = "what it says of its tables is no text".to_owned();
            return Err(StoreError::Unsound { database, finding }.into());
        }
        Err(error) => Err(error),
    };
    connection.close().await.map_err(StoreError::from)?;
    match kind {
        Err(error) if is_no_database(&error) => Err(StartError::NotADatabase { file: database }),
        Err(StoreError::Statement(error)) if Fault::of(&error) == Some(Fault::Damaged) => {
            Err(StoreError::Unsound { database, finding: error.to_string() }.into())
        }
        kind => kind?.ok_or(StartError::Foreign { database }),
    }
}

/// Whether what a file says of its tables is text: the driver takes that for granted, and panics if it is not.
async fn is_text(connection: &mut Connection) -> Result<bool, StoreError> {
    if connection.is_postgres() {
        return Ok(true);
    }
    let said: Vec<Option<Vec<u8>>> =
        sql("SELECT CAST(sql AS BLOB) FROM sqlite_master").fetch_scalars(connection).await?;
    Ok(said.iter().flatten().all(|said| std::str::from_utf8(said).is_ok()))
}

/// Whether the file is none of SQLite's at all.
fn is_no_database(error: &StoreError) -> bool {
    const SQLITE_NOT_A_DATABASE: &str = "26";
    let StoreError::Statement(sqlx::Error::Database(error)) = error else { return false };
    error.code().is_some_and(|code| code == SQLITE_NOT_A_DATABASE)
}

/// What a database holds.
enum Kind {
    Empty,
    Demo,
    Service,
}

/// None if it is some other program's.
async fn kind(connection: &mut Connection) -> Result<Option<Kind>, StoreError> {
    // Lists of steps are made just before the first step.
    let tables = if connection.is_postgres() {
        sql("SELECT CAST(table_name AS TEXT) FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'")
    } else {
        sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    };
    let mut tables: Vec<String> = tables.fetch_scalars(connection).await?;
    tables.retain(|name| !name.starts_with("_sqlx_"));
    if tables.is_empty() {
        return Ok(Some(Kind::Empty));
    }
    if !tables.iter().any(|name| name == "setting") {
        return Ok(None);
    }
    Ok(Some(match setting::get(connection, setting::DEMO).await?.as_deref() {
        None => Kind::Empty,
        Some("true") => Kind::Demo,
        Some(_) => Kind::Service,
    }))
}

/// Seeds a database that has nothing yet, in one transaction.
pub async fn first_start(store: &Store, config: &Config) -> Result<FirstStart, StartError> {
    if setting::get(&mut *store.read().await?, setting::DEMO).await?.is_some() {
        return Ok(FirstStart::Continued);
    }
    let mut write = store.write().await?;
    // Another node may have been first.
    if setting::get(&mut write, setting::DEMO).await?.is_some() {
        return Ok(FirstStart::Continued);
    }
    // The word and the first project are written together.
    if !crate::store::project::list(&mut write).await?.is_empty() {
        let finding = "it does not say any more what it is".to_owned();
        return Err(StoreError::Unsound { database: config.database_name(), finding }.into());
    }
    let seeded = if config.demo { demo::seed(&mut write).await } else { seed(&mut write).await };
    let first_start = seeded.map_err(|error| StartError::Seed { source: Box::new(error) })?;
    setting::set(&mut write, setting::DEMO, if config.demo { "true" } else { "false" }).await?;
    write.commit().await?;
    Ok(first_start)
}

/// A first project, and an owner who has yet to choose a password.
async fn seed(connection: &mut Connection) -> Result<FirstStart, ChangeError> {
    let new = NewProject { key: "default".to_owned(), name: "Default".to_owned(), ..NewProject::default() };
    project::insert(connection, &Actor::system(), &new).await?;
    let owner = Member {
        id: 0,
        public_id: new_public_id(),
        email: "owner".to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        role: Role::Owner,
        password_hash: None,
        created_at: now_ms(),
    };
    let owner_id = member::insert(connection, &owner).await?;
    Ok(FirstStart::Owner { sign_in_path: session::make_link(connection, owner_id).await? })
}

/// Makes a new one-time sign-in link for the first owner and gives its path; the earlier ones stop
/// working. Also while the service runs.
pub async fn owner_link(store: &Store) -> Result<Option<String>, StoreError> {
    let mut write = store.write().await?;
    let members = member::list(&mut write).await?;
    let Some(owner) = members.into_iter().find(|member| member.role == Role::Owner) else {
        return Ok(None);
    };
    let path = session::make_link(&mut write, owner.id).await?;
    write.commit().await?;
    Ok(Some(path))
}
