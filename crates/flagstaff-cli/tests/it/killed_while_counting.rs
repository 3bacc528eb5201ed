//! R2: kill -9 at random points while events come in. Every event that was acknowledged is counted, and
//! none twice, not even when its payload is sent again.
//!
//! `FLAGSTAFF_KILLS=200 cargo test -p flagstaff-cli --test it killed_while_counting -- --nocapture` is the
//! whole of it; `FLAGSTAFF_SEED` repeats a run.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flagstaff_service::store::connection::sql;

use crate::kills::{Chance, crashes, kills};
use crate::place::{Place, Sessions};
use crate::process::Folder;

const SENDERS: usize = 4;

/// The kill comes within so long after senders have begun.
const SENDING: Duration = Duration::from_millis(400);

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn acknowledged_events_outlive_kills_and_are_counted_once() {
    run(&Place::sqlite("killed-while-counting"));
}

#[test]
fn acknowledged_events_outlive_kills_and_are_counted_once_on_postgres() {
    if let Some(place) = Place::postgres("killed-while-counting") {
        run(&place);
    }
}

/// One of two nodes is killed again and again. What it took is counted by the other, to which its senders turn
/// with what is in doubt.
#[test]
fn events_of_a_killed_node_are_counted_once_by_the_other_on_postgres() {
    let Some(place) = Place::postgres("killed-beside-another") else { return };
    let mut chance = Chance::new("killed_beside_another");
    let mut senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    let folder = Folder::new("beside-another");
    let other = place.start_another(&folder, &["--demo", "--log", "off"]);
    let there = other.address().parse().unwrap();
    let mut killed = Sessions::default();
    for round in 0..kills() as usize {
        let mut service = place.start(&["--demo", "--log", "off"]);
        let here = service.address().parse().unwrap();
        let is_killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (number, sender) in senders.iter_mut().enumerate() {
                let is_killed = &is_killed;
                let address = if (round + number) % 2 == 0 { here } else { there };
                scope.spawn(move || sender.send_until(address, is_killed));
            }
            std::thread::sleep(chance.pause(SENDING));
            service.kill();
            is_killed.store(true, Ordering::Release);
        });
        killed = place.sessions();
    }
    place.wait_until_ended(&killed);
    conclude(&place, &mut senders, there, &format!("R2 postgres: one of two nodes killed {} times", kills()));
}

#[test]
fn acknowledged_events_outlive_crashes_of_postgres_and_are_counted_once() {
    let Some(mut place) = Place::postgres("crash-while-counting") else { return };
    let mut chance = Chance::new("crash_while_counting");
    let mut senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    let service = place.start(&["--demo", "--log", "off"]);
    let address = service.address().parse().unwrap();
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for sender in &mut senders {
            let (stop, acknowledged) = (&stop, &acknowledged);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Again under the same id, as long as there is no database.
                    let taken = sender.send(address) && sender.repeat(address);
                    acknowledged.fetch_add(u64::from(taken), Ordering::Relaxed);
                }
            });
        }
        place.crash_database(crashes(), &mut chance, || acknowledged.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
    });
    conclude(&place, &mut senders, address, &format!("R2 postgres: {} crashes of the server", crashes()));
}

fn run(place: &Place) {
    let mut chance = Chance::new("killed_while_counting");
    let mut senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    let kills = kills();
    let mut killed = Sessions::default();
    for _ in 0..kills {
        let mut service = place.start(&["--demo", "--log", "off"]);
        let is_killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for sender in &mut senders {
                let (address, is_killed) = (service.address().parse().unwrap(), &is_killed);
                scope.spawn(move || sender.send_until(address, is_killed));
            }
            std::thread::sleep(chance.pause(SENDING));
            service.kill();
            is_killed.store(true, Ordering::Release);
        });
        killed = place.sessions();
    }

    let service = place.start(&["--demo", "--log", "off"]);
    place.wait_until_ended(&killed);
    let address = service.address().parse().unwrap();
    conclude(place, &mut senders, address, &format!("R2 {}: {kills} kills", place.engine()));
}

/// Prints what came of it, and fails if that is not what must be. Batches in doubt may have been stored.
fn conclude(place: &Place, senders: &mut [Sender], address: SocketAddr, what: &str) {
    let counted = Counted::read(place);
    let acknowledged: BTreeSet<String> = senders.iter().flat_map(Sender::acknowledged).collect();
    let in_doubt: BTreeSet<String> = senders.iter().flat_map(Sender::in_doubt).collect();
    let possible = acknowledged.union(&in_doubt).cloned().collect();
    let lost = acknowledged.difference(&counted.users).count();
    let doubled = counted.evaluations - counted.users.len() as i64;
    println!(
        "{what}, {} batches acknowledged, {} in doubt, {} counted, {lost} lost, {doubled} doubled; \
         {} sent once more",
        acknowledged.len(),
        in_doubt.len(),
        counted.evaluations,
        senders.iter().map(|sender| sender.repeated).sum::<usize>(),
    );
    assert!(acknowledged.len() as u64 > kills(), "the kills fell into sending");
    assert_eq!((lost, doubled), (0, 0));
    let unknown: Vec<&String> = counted.users.difference(&possible).collect();
    assert!(unknown.is_empty(), "nobody sent {unknown:?}");
    counted.check_whole();

    // Sent again under their ids, those in doubt are counted once, too, and so are the others.
    for sender in &mut *senders {
        assert!(sender.repeat(address) && sender.send(address), "a running service takes a batch");
    }
    let counted = Counted::read(place);
    counted.check_whole();
    let all: BTreeSet<String> = senders.iter().flat_map(Sender::acknowledged).collect();
    assert_eq!(counted.users, all);
}

/// What one program sends: a batch after the other, each with one evaluation, one custom event and one user
/// of its own.
struct Sender {
    name: String,
    acknowledged: usize,
    /// Whether the current batch was sent and not acknowledged.
    is_in_doubt: bool,
    /// How many batches were sent once more although they had been acknowledged.
    repeated: usize,
}

impl Sender {
    fn new(number: usize) -> Self {
        Self { name: format!("s{number}"), acknowledged: 0, is_in_doubt: false, repeated: 0 }
    }

    fn acknowledged(&self) -> impl Iterator<Item = String> {
        (0..self.acknowledged).map(|number| self.payload(number))
    }

    fn in_doubt(&self) -> Option<String> {
        self.is_in_doubt.then(|| self.payload(self.acknowledged))
    }

    fn payload(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// Begins with what was in doubt, under the same id, and with the last one that was not.
    fn send_until(&mut self, address: SocketAddr, is_killed: &AtomicBool) {
        if !self.repeat(address) {
            return;
        }
        while !is_killed.load(Ordering::Acquire) && self.send(address) {}
    }

    /// Sends the current batch; true if it was acknowledged, and the next one is due.
    fn send(&mut self, address: SocketAddr) -> bool {
        self.is_in_doubt = true;
        if !post(address, &self.payload(self.acknowledged)) {
            return false;
        }
        self.is_in_doubt = false;
        self.acknowledged += 1;
        true
    }

    /// Sends the last acknowledged batch once more, as a sender does that missed the answer.
    fn repeat(&mut self, address: SocketAddr) -> bool {
        if self.acknowledged == 0 {
            return true;
        }
        let taken = post(address, &self.payload(self.acknowledged - 1));
        self.repeated += usize::from(taken);
        taken
    }
}

/// True if the batch was acknowledged; false if the service, or its database, went away meanwhile.
fn post(address: SocketAddr, payload_id: &str) -> bool {
    let body = format!(
        r#"[{{"kind":"summary","features":{{"killed":{{"counters":[{{"variation":0,"version":1,"count":1}}]}}}}}},
            {{"kind":"custom","key":"survived","contextKeys":{{"user":"{payload_id}"}}}},
            {{"kind":"index","context":{{"kind":"user","key":"{payload_id}","name":"Kill Survivor"}}}}]"#
    );
    let length = body.len();
    let request = format!(
        "POST /bulk HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: sdk-demo-production\r\n\
         x-launchdarkly-event-schema: 4\r\nx-launchdarkly-payload-id: {payload_id}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = answer().unwrap_or_default();
    // A running service refuses a batch only while it has no database, and says that this will pass.
    let is_known = ["", "HTTP/1.1 202 ", "HTTP/1.1 503 "].iter().any(|known| match *known {
        "" => answer.is_empty(),
        known => answer.starts_with(known),
    });
    assert!(is_known, "a running service answered {answer}");
    answer.starts_with("HTTP/1.1 202 ")
}

/// What the batches add up to.
struct Counted {
    evaluations: i64,
    custom_events: i64,
    users: BTreeSet<String>,
    found_by_name: i64,
    set_aside: i64,
}

impl Counted {
    /// Waits until a running service has counted everything.
    fn read(place: &Place) -> Self {
        place.block_on(async {
            let store = place.events().await;
            let started = Instant::now();
            loop {
                let mut connection = store.snapshot().await.unwrap();
                let waiting: i64 =
                    sql("SELECT count(*) FROM batch").fetch_scalar(&mut connection).await.unwrap();
                if waiting > 0 {
                    assert!(started.elapsed() < PATIENCE, "{waiting} batches were not counted in time");
                    drop(connection);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                let mut number = async |text| sql(text).fetch_scalar(&mut connection).await.unwrap();
                let counted = Self {
                    evaluations: number(
                        "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM evaluation_count WHERE flag_key = 'killed'",
                    )
                    .await,
                    custom_events: number(
                        "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM custom_count WHERE event_key = 'survived'",
                    )
                    .await,
                    found_by_name: number("SELECT count(*) FROM context_term WHERE term = 'survivor'").await,
                    set_aside: number("SELECT count(*) FROM set_aside_batch").await,
                    users: {
                        let keys = sql("SELECT key FROM context WHERE kind = 'user'");
                        keys.fetch_scalars(&mut connection).await.unwrap().into_iter().collect()
                    },
                };
                drop(connection);
                store.close().await;
                return counted;
            }
        })
    }

    /// A batch is counted whole or not at all.
    fn check_whole(&self) {
        let users = self.users.len() as i64;
        let counts = [self.evaluations, self.custom_events, self.found_by_name, self.set_aside];
        assert_eq!(counts, [users, users, users, 0], "evaluations, custom events, users by name, set aside");
    }
}
