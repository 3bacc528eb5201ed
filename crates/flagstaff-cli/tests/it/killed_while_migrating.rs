//! R3: kill -9 while the schema is brought up to date. The next start goes on from a whole number of steps, with
//! all rows; there is no third state.
//!
//! A large database is made by the first step alone, as the first release left it, and `flagstaff migrate` is
//! killed while it takes the others: once when it is known to be inside a step, then at random.
//! `FLAGSTAFF_KILLS=200 cargo test -p flagstaff-cli --test it killed_while_migrating -- --nocapture` is the whole
//! of it; `FLAGSTAFF_SEED` repeats a run.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use flagstaff_testkit::{Postgres, eventually};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

use crate::kills::{Chance, kills};
use crate::process::{Folder, flagstaff};

/// Segments in the database: enough for the step that writes each of them to take a while.
const SEGMENTS: i64 = 20_000;

/// What the database looks like: which steps are noted, and every column and index there is.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    flags: Vec<i64>,
    events: Vec<i64>,
    parts: BTreeSet<String>,
}

/// One of the engines, with the large database and copies of it.
trait Engine {
    const NAME: &str;

    /// A copy of the large database, in place of the one before.
    fn copy(&mut self);
    /// The arguments that name the copy.
    fn arguments(&self) -> Vec<String>;
    /// Whether something is inside the step that writes every segment.
    fn is_inside(&self) -> bool;
    /// Returns once nothing of a killed process goes on.
    fn settle(&self);
    fn shape(&self) -> Shape;
    /// How many segments there are, and how many of them were brought up to date.
    fn segments(&self) -> (i64, i64);
    /// A database that was taken through so many steps of flags, and of events.
    fn reference(&mut self, flags: &[i64], events: &[i64]) -> Shape;
}

#[test]
fn killed_migration_leaves_whole_steps_and_the_next_start_goes_on() {
    run(Sqlite::new());
}

#[test]
fn killed_migration_leaves_whole_steps_and_the_next_start_goes_on_on_postgres() {
    if let Some(server) = Postgres::start() {
        run(OnServer::new(server));
    }
}

fn run<E: Engine>(mut engine: E) {
    let mut chance = Chance::new("killed_while_migrating");
    // The quickest, so that kills do not come late.
    let whole = (0..3).map(|_| {
        engine.copy();
        let started = Instant::now();
        assert!(migrate(&engine).wait().unwrap().success());
        started.elapsed()
    });
    let whole = whole.min().unwrap();
    let newest = engine.shape();
    assert_eq!(newest, engine.reference(&newest.flags, &newest.events));
    assert_eq!(engine.segments(), (SEGMENTS, SEGMENTS));

    let kills = kills();
    let mut inside = 0;
    let (mut untouched, mut between, mut complete, mut third) = (0, 0, 0, Vec::new());
    let mut references: HashMap<(Vec<i64>, Vec<i64>), Shape> = HashMap::new();
    for _ in 0..kills {
        engine.copy();
        let mut process = migrate(&engine);
        let mut is_inside = false;
        if inside == 0 {
            while !is_inside && process.try_wait().unwrap().is_none() {
                is_inside = engine.is_inside();
                std::thread::sleep(Duration::from_millis(1));
            }
        } else {
            std::thread::sleep(chance.pause(whole));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        engine.settle();
        let left = engine.shape();
        // Unless it was quicker than the kill.
        inside += u64::from(is_inside && left.flags == [1]);
        match (left.flags.len(), left == newest) {
            (1, _) => untouched += 1,
            (_, true) => complete += 1,
            (_, false) => between += 1,
        }
        let (segments, up_to_date) =
            if left.flags.contains(&2) { engine.segments() } else { (SEGMENTS, SEGMENTS) };
        let noted = (left.flags.clone(), left.events.clone());
        let reference =
            references.entry(noted).or_insert_with(|| engine.reference(&left.flags, &left.events));
        if left != *reference || (segments, up_to_date) != (SEGMENTS, SEGMENTS) {
            third.push(format!("{left:?}, {up_to_date} of {segments} segments"));
        }
        let next = migrate(&engine).wait().unwrap();
        assert!(next.success(), "the next start failed after {left:?}");
        assert_eq!(engine.shape(), newest);
        assert_eq!(engine.segments(), (SEGMENTS, SEGMENTS));
    }
    println!(
        "R3 {}: {kills} kills while migrating, {untouched} rolled back to the first step, {between} between two \
         steps, {complete} complete, {} third states; every next start completed",
        E::NAME,
        third.len(),
    );
    assert!(third.is_empty(), "{third:#?}");
    assert!(inside > 0, "no kill is known to have come inside a step");
}

fn migrate(engine: &impl Engine) -> Child {
    let arguments = engine.arguments();
    let mut command = flagstaff(&["migrate"]);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// The steps of the schema, as they stand in the project.
fn steps(runtime: &Runtime, folder: &str) -> Migrator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flagstaff-service/migrations").join(folder);
    runtime.block_on(Migrator::new(path)).unwrap()
}

/// The rows of the large database. Both engines read this.
fn rows() -> [String; 3] {
    let filling = "x".repeat(300);
    [
        "INSERT INTO project (public_id, key, name, tags, using_environment_id, using_mobile_key, created_at)
         VALUES ('p', 'p', 'P', '[]', 0, 0, 1)"
            .to_owned(),
        "INSERT INTO environment (project_id, key, name, colour, tags, sdk_key, sdk_key_hash, mobile_key,
            mobile_key_hash, client_side_id, default_ttl, secure_mode, default_track_events, confirm_changes,
            require_comments, critical, sequence, lineage, version, created_at)
         VALUES (1, 'e', 'E', '000000', '[]', 's', 's', 'm', 'm', 'c', 0, 0, 0, 0, 0, 0, 0, 'l', 1, 1)"
            .to_owned(),
        format!(
            "INSERT INTO segment (public_id, environment_id, key, version, name, description, tags, segment, created_at)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {SEGMENTS})
             SELECT 's' || n, 1, 'segment-' || n, 1, 'Segment', '{filling}', '[]', '{{}}', 1000 + n FROM numbers"
        ),
    ]
}

const COUNT: &str = "SELECT count(*), count(CASE WHEN changed_at = created_at THEN 1 END) FROM segment";

/// Files in a folder.
struct Sqlite {
    large: Folder,
    copy: Folder,
    runtime: Runtime,
}

const FILES: [(&str, &str); 2] = [("flagstaff.db", "sqlite"), ("events.sqlite", "sqlite-events")];

impl Sqlite {
    fn new() -> Self {
        let engine = Self {
            large: Folder::new("migrating-large"),
            copy: Folder::new("migrating"),
            runtime: Runtime::new().unwrap(),
        };
        for (file, folder) in FILES {
            engine.take_steps(&engine.large.path().join(file), folder, 1);
        }
        engine.runtime.block_on(async {
            let mut connection = open(&engine.large.path().join(FILES[0].0)).await;
            for statement in rows() {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        });
        engine
    }

    fn take_steps(&self, file: &Path, folder: &str, newest: i64) {
        let steps = steps(&self.runtime, folder);
        self.runtime.block_on(async {
            let mut connection = open(file).await;
            steps.run_direct(Some(newest), &mut connection, false).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    fn look(&self, file: &Path) -> (Vec<i64>, BTreeSet<String>) {
        self.runtime.block_on(async {
            let mut connection = open(file).await;
            let noted =
                sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version");
            let noted = noted.fetch_all(&mut connection).await.unwrap();
            let parts = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master";
            let parts: Vec<String> = sqlx::query_scalar(parts).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            (noted, parts.into_iter().collect())
        })
    }

    fn files(&self) -> [PathBuf; 2] {
        FILES.map(|(file, _)| self.copy.path().join(file))
    }
}

/// As the service opens it: a hot journal of a killed process is replayed, or taken back.
async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).connect().await.unwrap()
}

impl Engine for Sqlite {
    const NAME: &str = "sqlite";

    fn copy(&mut self) {
        std::fs::remove_dir_all(self.copy.path()).unwrap();
        std::fs::create_dir(self.copy.path()).unwrap();
        for (file, _) in FILES {
            std::fs::copy(self.large.path().join(file), self.copy.path().join(file)).unwrap();
        }
    }

    fn arguments(&self) -> Vec<String> {
        vec!["--data".to_owned(), self.copy.path().to_str().unwrap().to_owned()]
    }

    /// What a large transaction has written stands in the log long before it is committed.
    fn is_inside(&self) -> bool {
        let log = self.copy.path().join("flagstaff.db-wal");
        std::fs::metadata(log).is_ok_and(|log| log.len() > 1024 * 1024)
    }

    fn settle(&self) {}

    fn shape(&self) -> Shape {
        let [(flags, mut parts), (events, more)] = self.files().map(|file| self.look(&file));
        parts.extend(more);
        Shape { flags, events, parts }
    }

    fn segments(&self) -> (i64, i64) {
        self.runtime.block_on(async {
            let mut connection = open(&self.files()[0]).await;
            let counts = sqlx::query_as(COUNT).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            counts
        })
    }

    fn reference(&mut self, flags: &[i64], events: &[i64]) -> Shape {
        let folder = Folder::new("migrating-reference");
        let looked = [(FILES[0], flags), (FILES[1], events)].map(|((file, steps), noted)| {
            let file = folder.path().join(file);
            self.take_steps(&file, steps, noted.last().copied().unwrap_or(0));
            self.look(&file)
        });
        let [(flags, mut parts), (events, more)] = looked;
        parts.extend(more);
        Shape { flags, events, parts }
    }
}

/// Databases of a server.
struct OnServer {
    server: Postgres,
    runtime: Runtime,
}

impl OnServer {
    fn new(server: Postgres) -> Self {
        let engine = Self { server, runtime: Runtime::new().unwrap() };
        engine.make("large", 1, 1);
        for statement in rows() {
            engine.server.ask("large", &statement);
        }
        engine
    }

    /// A database that was taken through so many steps.
    fn make(&self, name: &str, flags: i64, events: i64) {
        self.server.ask("postgres", &format!("CREATE DATABASE {name}"));
        let flag_steps = steps(&self.runtime, "postgres");
        let mut event_steps = steps(&self.runtime, "postgres-events");
        event_steps.dangerous_set_table_name("_sqlx_event_migrations");
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.server.url(name)).await.unwrap();
            flag_steps.run_direct(Some(flags), &mut connection, false).await.unwrap();
            event_steps.run_direct(Some(events), &mut connection, false).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    fn look(&self, name: &str) -> Shape {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.server.url(name)).await.unwrap();
            let mut noted = Vec::new();
            for table in ["_sqlx_migrations", "_sqlx_event_migrations"] {
                let text = format!("SELECT version FROM {table} WHERE success ORDER BY version");
                noted.push(sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap());
            }
            let parts = "SELECT format('%s.%s %s %s', table_name, column_name, data_type, column_default)
                         FROM information_schema.columns WHERE table_schema = 'public'
                         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'";
            let parts: Vec<String> = sqlx::query_scalar(parts).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            let events = noted.pop().unwrap_or_default();
            let flags = noted.pop().unwrap_or_default();
            Shape { flags, events, parts: parts.into_iter().collect() }
        })
    }

    fn remove(&self, name: &str) {
        self.server.ask("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
}

impl Engine for OnServer {
    const NAME: &str = "postgres";

    fn copy(&mut self) {
        self.remove("copied");
        self.server.ask("postgres", "CREATE DATABASE copied TEMPLATE large");
    }

    fn arguments(&self) -> Vec<String> {
        vec!["--database-url".to_owned(), self.server.url("copied")]
    }

    fn is_inside(&self) -> bool {
        let busy = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = 'copied' AND state = 'active' AND query LIKE '%UPDATE segment SET changed_at%'";
        self.server.ask("postgres", busy) != "0"
    }

    fn settle(&self) {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'copied'";
        eventually("the server ends the session", || {
            (self.server.ask("postgres", busy) == "0").then_some(())
        });
    }

    fn shape(&self) -> Shape {
        self.look("copied")
    }

    fn segments(&self) -> (i64, i64) {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.server.url("copied")).await.unwrap();
            let counts = sqlx::query_as(COUNT).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            counts
        })
    }

    fn reference(&mut self, flags: &[i64], events: &[i64]) -> Shape {
        let newest = |noted: &[i64]| noted.last().copied().unwrap_or(0);
        self.make("reference", newest(flags), newest(events));
        let shape = self.look("reference");
        self.remove("reference");
        shape
    }
}
