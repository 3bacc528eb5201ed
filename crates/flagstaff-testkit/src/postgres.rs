//! A real PostgreSQL server of a test's own: in a temporary folder, on a free port, gone with the test even if
//! that is killed.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::ports::free_port;

/// How long it may take to be there. Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// The superuser, who needs no password on loopback.
const USER: &str = "flagstaff";

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Whom the server runs as: it refuses to run as root.
    owner: Option<(u32, u32)>,
    running: Option<Running>,
    databases: AtomicU32,
}

/// The server behind a shell that ends it when this process goes, however it goes.
#[derive(Debug)]
struct Running {
    shell: Child,
    /// Closed to end the server.
    stdin: Option<ChildStdin>,
}

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its administrator would: sessions are told, transactions are taken back.
    Fast,
    /// As a crash would.
    Crash,
}

impl Postgres {
    /// Starts one. Where PostgreSQL is not installed there is none, and a line says so; with
    /// `FLAGSTAFF_REQUIRE_STORES=1` that is a failure.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let required = std::env::var_os("FLAGSTAFF_REQUIRE_STORES").is_some_and(|value| value == "1");
            assert!(!required, "PostgreSQL is not installed: run `make setup-stores`");
            eprintln!("skipped: PostgreSQL is not installed (`make setup-stores`)");
            return None;
        };
        let folder =
            std::env::temp_dir().join(format!("flagstaff-postgres-{}-{}", std::process::id(), number()));
        fs::create_dir_all(&folder).expect("a temporary folder can be made");
        let owner = is_root().then(somebody_else);
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group)).expect("root gives a folder away");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        let mut server =
            Self { programs, folder, port: free_port(), owner, running: None, databases: AtomicU32::new(0) };
        let made = server
            .command("initdb")
            .args([
                "--username",
                USER,
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(server.folder.join("data"))
            .output()
            .expect("initdb can be run");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.start_again();
        Some(server)
    }

    /// The address of a database of this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database, and gives its address.
    pub fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.ask("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// What its own client program prints for a statement.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn ask(&self, database: &str, statement: &str) -> String {
        psql(&self.programs, &self.url(database), statement)
    }

    /// Ends the server. Its data stays.
    pub fn stop(&mut self, how: End) {
        let Some(mut running) = self.running.take() else { return };
        let signal = if how == End::Crash { "-QUIT" } else { "-INT" };
        let pid = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args([signal, pid]).status();
        }
        running.shell.wait().expect("the server can be waited for");
    }

    /// Starts the server where it was, with what it had, and waits until it answers.
    pub fn start_again(&mut self) {
        let data = self.folder.join("data");
        // What `cat` waits for ends with this process; then nobody else tidies up.
        let script = r#"exec 3<&0 </dev/null
            "$0" "$@" 3<&- & server=$!
            { cat <&3; : >alone; kill -INT $server; } & watch=$!
            wait $server; kill $watch; if [ -e alone ]; then cd / && rm -rf "$OLDPWD"; fi"#;
        let log = fs::File::create(self.folder.join("log")).expect("the folder is ours");
        let mut shell = Command::new("sh");
        if let Some((user, group)) = self.owner {
            shell.uid(user).gid(group);
        }
        let mut shell = shell
            .args(["-c", script])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &self.port.to_string(), "-k", "", "-h", "127.0.0.1"])
            // Tests end servers, not machines.
            .args(["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300"])
            .args(["-c", "shared_buffers=32MB", "-c", "log_min_messages=warning"])
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("sh can be run");
        let stdin = shell.stdin.take();
        self.running = Some(Running { shell, stdin });
        let since = Instant::now();
        while !self.is_ready() {
            assert!(since.elapsed() < PATIENCE, "PostgreSQL does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = fs::File::open(self.folder.join("log")) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    fn is_ready(&self) -> bool {
        let ready = Command::new(self.programs.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status();
        ready.is_ok_and(|status| status.success())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop(End::Crash);
        // What is left over in a temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stdin.take());
    }
}

/// Makes an empty database on a server that runs anyway, and gives its address. `url` names any database there.
///
/// # Panics
/// If `psql` is not installed, or the server refuses it.
pub fn new_database_at(url: &str) -> String {
    let name = format!("flagstaff_test_{}_{}", std::process::id(), number());
    let programs = programs().unwrap_or_default();
    psql(&programs, url, &format!("CREATE DATABASE {name}"));
    let (server, rest) = url.rsplit_once('/').expect("the address of a database");
    let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
    format!("{server}/{name}{options}")
}

fn psql(programs: &Path, url: &str, statement: &str) -> String {
    let asked = Command::new(programs.join("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement])
        .output()
        .expect("psql comes with PostgreSQL");
    assert!(asked.status.success(), "{statement}: {}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}

/// The folder of the newest installed version.
fn programs() -> Option<PathBuf> {
    if let Some(said) = std::env::var_os("FLAGSTAFF_POSTGRES_PROGRAMS") {
        return Some(said.into());
    }
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    let version = |bin: &PathBuf| -> u32 {
        let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    };
    debian.max_by_key(version).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    })
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A user and group that are not root's.
fn somebody_else() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).unwrap_or((65534, 65534))
}

/// Tells things of one process apart.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_data_over_a_restart_and_leaves_nothing() {
        let Some(mut server) = Postgres::start() else { return };
        let url = server.new_database();
        let name = url.rsplit_once('/').unwrap().1;
        server.ask(name, "CREATE TABLE letter (text TEXT); INSERT INTO letter VALUES ('dear')");
        for how in [End::Fast, End::Crash] {
            server.stop(how);
            assert!(!server.is_ready());
            server.start_again();
            assert_eq!(server.ask(name, "SELECT text FROM letter"), "dear");
        }
        let (folder, port) = (server.folder.clone(), server.port);
        drop(server);
        assert!(!folder.exists());
        assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
