//! R2: kill -9 at random points while events come in. Every event that was acknowledged is counted, and
//! none twice, not even when its payload was sent again.
//!
//! `FLAGSTAFF_TEST_KILLS` says how often it is killed; 200 for the whole of R2.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flagstaff_service::analytics::{Analytics, Page};
use flagstaff_service::store::{Store, environment, project};

use crate::process::{Folder, Service};

const SENDERS: usize = 4;
const USUAL_KILLS: usize = 12;

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn acknowledged_events_outlive_kills_and_are_counted_once() {
    let kills = std::env::var("FLAGSTAFF_TEST_KILLS").ok().and_then(|kills| kills.parse().ok());
    let folder = Folder::new("killed-while-counting");
    let mut senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    let mut chance = Chance::new();
    let kills = kills.unwrap_or(USUAL_KILLS);
    for _ in 0..kills {
        let mut service = Service::start(&folder, &["--demo"]);
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for sender in &mut senders {
                let (address, killed) = (service.address().parse().unwrap(), &killed);
                scope.spawn(move || sender.send_until(address, killed));
            }
            std::thread::sleep(Duration::from_millis(chance.next(400)));
            service.kill();
            killed.store(true, Ordering::Release);
        });
    }
    let acknowledged: usize = senders.iter().map(|sender| sender.acknowledged).sum();
    assert!(acknowledged > kills, "hardly anything was acknowledged: {acknowledged}");
    let in_doubt = senders.iter().filter(|sender| sender.in_doubt).count();
    let (evaluations, users) = counted(folder.path());
    println!(
        "{kills} kills: {acknowledged} batches acknowledged, {evaluations} counted, {in_doubt} in doubt"
    );

    // A batch in doubt may have been stored just before the kill.
    let possible = acknowledged as u64..=(acknowledged + in_doubt) as u64;
    assert!(possible.contains(&evaluations), "{evaluations} evaluations, but {possible:?} were possible");
    assert_eq!(users, evaluations, "a batch is counted whole or not at all");

    // Sent again under their ids, those in doubt are counted once, too.
    let service = Service::start(&folder, &["--demo"]);
    let address = service.address().parse().unwrap();
    for sender in senders.iter_mut().filter(|sender| sender.in_doubt) {
        assert!(sender.send(address), "a running service takes a batch");
    }
    drop(service);
    let all = (acknowledged + in_doubt) as u64;
    assert_eq!(counted(folder.path()), (all, all));
}

/// What one program sends: a batch after the other, each with one evaluation and one user.
struct Sender {
    name: String,
    acknowledged: usize,
    /// Whether the current batch was sent and not acknowledged.
    in_doubt: bool,
}

impl Sender {
    fn new(number: usize) -> Self {
        Self { name: format!("s{number}"), acknowledged: 0, in_doubt: false }
    }

    fn send_until(&mut self, address: SocketAddr, killed: &AtomicBool) {
        while !killed.load(Ordering::Acquire) && self.send(address) {}
    }

    /// Sends the current batch; true if it was acknowledged, and the next one is due.
    fn send(&mut self, address: SocketAddr) -> bool {
        let id = format!("{}-{}", self.name, self.acknowledged);
        let body = format!(
            r#"[{{"kind":"summary","features":{{"killed":{{"counters":[{{"variation":0,"version":1,"count":1}}]}}}}}},
                {{"kind":"index","context":{{"kind":"user","key":"{id}","name":"Kill Survivor"}}}}]"#
        );
        self.in_doubt = true;
        let answer = post(address, &id, &body).unwrap_or_default();
        if answer.is_empty() {
            return false;
        }
        assert!(answer.starts_with("HTTP/1.1 202 "), "a running service refused a batch: {answer}");
        self.in_doubt = false;
        self.acknowledged += 1;
        true
    }
}

/// The answer's beginning; empty or an error if the service went away meanwhile.
fn post(address: SocketAddr, payload_id: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let request = format!(
        "POST /bulk HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: sdk-demo-production\r\n\
         x-launchdarkly-event-schema: 4\r\nx-launchdarkly-payload-id: {payload_id}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Evaluations and users, read after the process has ended, with what it left uncounted.
fn counted(folder: &Path) -> (u64, u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(folder).await.unwrap();
        let mut connection = store.read().await.unwrap();
        let demo = project::by_key(&mut connection, "demo").await.unwrap().unwrap();
        let production = environment::by_key(&mut connection, demo.id, "production").await.unwrap().unwrap();
        drop(connection);
        let analytics = Analytics::open(folder).await.unwrap();
        assert!(analytics.wait_until_counted(PATIENCE).await, "batches were not counted in time");
        let evaluations = analytics.evaluations_last_hour(production.id).await.unwrap();
        let evaluations = evaluations.get("killed").map_or(0, |counts| counts.total);
        let users = analytics.known_users_count(production.id).await.unwrap();
        let page = Page { offset: 0, limit: usize::MAX };
        let found = analytics.search_users(production.id, "kill surv", None, page).await.unwrap();
        assert_eq!(found.users.len() as u64, users, "every user is found");
        analytics.close().await;
        store.close().await;
        (evaluations, users)
    })
}

/// Numbers to kill at. The seed is printed: the test shows it when it fails.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64) | 1;
        println!("kills at random points from seed {seed}");
        Self(seed)
    }

    /// From 0 up to `end`, that one not included.
    fn next(&mut self, end: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
