//! A program with a stream vanishes behind a network that drops everything (R24): nobody says goodbye. The service
//! notices by its heartbeat, which nobody acknowledges, within twice the heartbeat's interval.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Row as _};

use crate::support::folder::Folder;
use crate::support::network::Network;
use crate::support::process::Process;
use crate::support::{binaries, eventually, http, say};

const INTERVAL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(100);

#[test]
fn a_stream_whose_reader_vanished_is_closed_within_twice_the_heartbeat() {
    let Some(network) = Network::make() else { return };
    let folder = Folder::new();
    let mut command = Command::new(binaries::flagstaff());
    command
        .args(["serve", "--listen", &format!("{}:0", network.near), "--log", "debug"])
        .args(["--heartbeat-interval", &INTERVAL.as_secs().to_string(), "--data"])
        .arg(folder.path().join("data"));
    let mut service = Process::start("flagstaff", &mut command, folder.path().join("log"));
    let (_, url) = service.line_after("listening on ", PATIENCE);
    let key = sdk_key(&folder);
    let streams = || {
        let text = http::request("GET", &format!("{url}/metrics"), &[], "").expect("figures").body;
        let open = text.lines().find_map(|line| line.strip_prefix("flagstaff_streams_open{kind=\"flags\"} "));
        open.expect("how many streams are open").to_owned()
    };

    let (host, port) = url.strip_prefix("http://").unwrap().rsplit_once(':').unwrap();
    let read = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET /all HTTP/1.0\\r\\nauthorization: {key}\\r\\n\\r\\n' >&3; exec cat <&3"
    );
    let mut reader = Command::new("ip")
        .args(["netns", "exec", &network.name, "bash", "-c", &read])
        // Whoever waits for the end of the tests' output is not to wait for it.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a reader in the network");
    eventually(PATIENCE, || if streams() == "1" { Ok(()) } else { Err("no stream".to_owned()) });

    network.set_cut_off(true);
    let cut_off = Instant::now();
    eventually(
        PATIENCE,
        || if streams() == "0" { Ok(()) } else { Err("the stream is still open".to_owned()) },
    );
    let noticed = cut_off.elapsed();
    say(&format!("a reader that vanished was noticed after {noticed:?}, with a heartbeat each {INTERVAL:?}"));
    // A second more for how often the system looks.
    assert!(noticed <= 2 * INTERVAL + Duration::from_secs(2), "{noticed:?}");
    reader.kill().expect("the reader is still there, and knows nothing of it");
    reader.wait().expect("the reader ends");
}

/// Of the environment that every service begins with.
fn sdk_key(folder: &Folder) -> String {
    let path = folder.path().join("data/flagstaff.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let row = sqlx::query("SELECT sdk_key FROM environment WHERE key = 'production'");
        row.fetch_one(&mut connection).await.unwrap().get(0)
    })
}
