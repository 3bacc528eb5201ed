//! Starts that fail or take long, and signals: what a process says, and how it ends.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flagstaff_testkit::free_port;

use crate::process::{Folder, Service, flagstaff};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a process a signal by its name.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status();
    assert!(sent.unwrap().success(), "{name}");
}

/// Waits for `done`, which is asked again and again.
pub(crate) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "{what} never came to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How a process ended; it has to end by itself.
fn exit_code(process: &mut Child) -> Option<i32> {
    until("the end", || process.try_wait().unwrap()).code()
}

pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_start_that_waits_for_its_database_ends_when_it_is_asked_to() {
    let folder = Folder::new("stopped-start");
    let log = folder.path().join("log");
    // Nobody listens there, and nobody will.
    let nowhere = format!("postgres://nobody@127.0.0.1:{}/nothing", free_port());
    let mut starting = flagstaff(&["serve", "--listen", "127.0.0.1:0", "--database-url", &nowhere])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    until("waiting", || text(&log).contains("waiting for the database").then_some(()));
    let began = Instant::now();
    signal(starting.id(), "-TERM");
    assert_eq!(exit_code(&mut starting), Some(0));
    // Waiting for the database goes on for half a minute.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(text(&log).contains("stopped before the start was done"), "{}", text(&log));
}

#[test]
fn a_service_whose_log_nobody_reads_any_more_goes_on() {
    let folder = Folder::new("log-gone");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut service =
        Service::start_with(&folder, &["--demo", "--log", "info,flagstaff_service=debug"], |command| {
            command.stderr(Stdio::from(OwnedFd::from(writer)))
        });
    drop(reader);
    // Each is logged at this level.
    for _ in 0..20 {
        assert_eq!(service.request("GET", "/status", "", "").map(|(status, _)| status), Some(200));
    }
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_service_whose_log_has_no_room_on_its_disk_goes_on() {
    let folder = Folder::new("log-full");
    let mut service =
        Service::start_with(&folder, &["--demo", "--log", "info,flagstaff_service=debug"], |command| {
            // Every write to it fails as on a full disk.
            command.stderr(std::fs::File::options().write(true).open("/dev/full").unwrap())
        });
    for _ in 0..20 {
        assert_eq!(service.request("GET", "/status", "", "").map(|(status, _)| status), Some(200));
    }
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_hang_up_has_the_certificate_looked_at_and_ends_nothing() {
    let folder = Folder::new("hang-up");
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flagstaff-sdk/tests/it/tls");
    std::fs::copy(made.join("localhost.pem"), &certificate).unwrap();
    std::fs::copy(made.join("localhost.key"), &key).unwrap();
    let log = folder.path().join("log");
    let began = Instant::now();
    let mut service = flagstaff(&["serve", "--demo", "--listen", "127.0.0.1:0"])
        .env("FLAGSTAFF_DATA", folder.path().join("data"))
        .env("FLAGSTAFF_TLS_CERTIFICATE", &certificate)
        .env("FLAGSTAFF_TLS_KEY", &key)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut first = [0; 28];
    service.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"listening on https://127.0.0");
    let in_force = || text(&log).matches("is in force").count();
    assert_eq!(in_force(), 1);
    std::fs::copy(made.join("other-host.pem"), &certificate).unwrap();
    signal(service.id(), "-HUP");
    until("the other certificate", || (in_force() == 2).then_some(()));
    // By itself it would be looked at after half a minute.
    assert!(began.elapsed() < Duration::from_secs(28), "{:?}", began.elapsed());
    assert!(service.try_wait().unwrap().is_none());
    signal(service.id(), "-TERM");
    assert_eq!(exit_code(&mut service), Some(0));
}

/// Runs `serve` with these in its environment, on a folder of its own, until it serves or gives up: what it said.
fn start_with(environment: &[(&str, &str)]) -> Result<(), String> {
    let folder = Folder::new(&format!("start-{}", environment.first().map_or("", |(name, _)| name)));
    let mut command = flagstaff(&["serve", "--demo"]);
    command.env("FLAGSTAFF_LISTEN", "127.0.0.1:0").env("FLAGSTAFF_DATA", folder.path());
    command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut first = [0; 12];
    if process.stdout.as_mut().unwrap().read_exact(&mut first).is_ok() {
        signal(process.id(), "-TERM");
        assert_eq!(exit_code(&mut process), Some(0));
        return Ok(());
    }
    let output = process.wait_with_output().unwrap();
    assert!(output.status.code().is_some_and(|code| code == 1 || code == 2), "{output:?}");
    Err(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_variable_that_is_empty_is_as_good_as_none() {
    let help = String::from_utf8(flagstaff(&["serve", "--help"]).output().unwrap().stdout).unwrap();
    let names: Vec<&str> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| rest.split(['=', ']']).next())
        // Without these the test would leave its own folder.
        .filter(|name| !["FLAGSTAFF_LISTEN", "FLAGSTAFF_DATA"].contains(name))
        .collect();
    assert!(names.len() > 15, "{names:?}");
    let empty: Vec<(&str, &str)> = names.into_iter().map(|name| (name, "")).collect();
    assert_eq!(start_with(&empty), Ok(()));
}

#[test]
fn what_would_be_taken_for_something_else_is_refused() {
    for (environment, said) in [
        (&[("FLAGSTAFF_LOG", "infoo")][..], "`infoo` is not a level of the log"),
        (&[("FLAGSTAFF_KEEP_COUNTS_DAYS", "0")], "0 is not in 1.."),
    ] {
        let refused = start_with(environment).expect_err(said);
        assert!(refused.contains(said), "{refused}");
    }
    let folder = Folder::new("zero-days");
    let file = folder.path().join("flagstaff.toml");
    for name in ["keep-counts-days", "keep-anonymous-days"] {
        std::fs::write(&file, format!("{name} = 0\n")).unwrap();
        let refused = start_with(&[("FLAGSTAFF_CONFIG", file.to_str().unwrap())]).expect_err(name);
        assert!(refused.contains(&format!("{name} is 0; give at least 1 day")), "{refused}");
    }
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let folder = Folder::new("no-database");
    let file = folder.path().join("flagstaff.db");
    let words = "something else that somebody needs".repeat(100);
    std::fs::write(&file, &words).unwrap();
    let data = folder.path().to_str().unwrap();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["owner-link"]] {
        let output = flagstaff(command).args(["--data", data]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("flagstaff.db` is no database; name another folder"), "{said}");
        assert_eq!(text(&file), words);
    }
}

#[test]
fn a_newer_database_asks_for_the_newer_version() {
    let folder = Folder::new("newer-database");
    let mut service = Service::start(&folder, &["--demo", "--log", "off"]);
    assert_eq!(service.terminate(), Some(0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("flagstaff.db"));
        let mut connection = options.connect().await.unwrap();
        let later = "INSERT INTO _sqlx_migrations SELECT version + 1000, description, installed_on, success,
            checksum, execution_time FROM _sqlx_migrations LIMIT 1";
        sqlx::query(later).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let data = folder.path().to_str().unwrap();
    for command in [&["serve", "--demo", "--listen", "127.0.0.1:0"][..], &["owner-link"], &["migrate"]] {
        let output = flagstaff(command).args(["--data", data]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("was written by a newer version of flagstaff than this one"), "{said}");
    }
}
