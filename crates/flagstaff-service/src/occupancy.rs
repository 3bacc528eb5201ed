//! Who takes up how much: connections, also by address, and streams, by environment.
//!
//! Every connection takes a file handle, of which there are only so many. When all are taken, the
//! connections that wait longest without asking for anything make room for new ones: whoever opens
//! thousands and says nothing keeps nobody out. If none of them waits, new ones are refused. What an address
//! may have is kept to in the same way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::error::ApiError;
use crate::live_environment::Audience;
use crate::peer::Neighbours;
use crate::store::EnvironmentId;

/// File handles that are left for databases, files and connections that are being refused.
const RESERVED: usize = 160;
/// What is assumed where the system does not say how many file handles there may be.
const UNKNOWN_FILES: u64 = 1024;
/// When room has to be made, one connection of so many is closed at once, so that it need not be made
/// for each new one.
const SHARE_CLOSED: usize = 64;

/// Who takes up how much.
#[derive(Debug)]
pub struct Occupancy {
    limits: Bounds,
    connections: Mutex<Connections>,
    streams: Mutex<HashMap<(EnvironmentId, Group), usize>>,
    started: Instant,
}

/// The limits in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    connections: usize,
    connections_per_address: usize,
    streams_per_environment: usize,
    client_streams_per_environment: usize,
}

/// Whose streams are counted together: the keys of browsers and mobile programs are known to everybody, so
/// that those must not take the place of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Group {
    Servers,
    Clients,
    /// Relays that are told what to serve, of no one environment.
    Relays,
}

/// What stands for an environment where there is none: they are numbered from 1.
const NO_ENVIRONMENT: EnvironmentId = EnvironmentId(0);

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, Arc<Waiting>>,
    by_address: HashMap<Neighbours, usize>,
}

/// Since when a connection waits for a request.
#[derive(Debug)]
struct Waiting {
    /// Whose it is; none if it counts against nobody.
    address: Option<Neighbours>,
    /// In milliseconds since the start, and 1; 0 while a request is answered.
    since: AtomicU64,
    /// Cancelled when it has to make room.
    closed: CancellationToken,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Every one that there may be is in use.
    Full,
    /// This address has as many as it may.
    Address,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    occupancy: Arc<Occupancy>,
    number: u64,
    waiting: Arc<Waiting>,
}

/// While a request is answered its connection does not count as waiting.
#[derive(Debug)]
pub(crate) struct Answering {
    waiting: Arc<Waiting>,
    started: Instant,
}

/// A stream's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    occupancy: Arc<Occupancy>,
    key: (EnvironmentId, Group),
    /// A stream that came through a proxy counts against the address behind it.
    address: Option<Neighbours>,
}

impl Bounds {
    fn of(limits: &Limits, files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let connections = limits.connections.unwrap_or(files.saturating_sub(RESERVED).max(files / 4));
        // The last tenth is left to others.
        let most = connections - connections / 10;
        Self {
            connections,
            connections_per_address: limits.connections_per_address.unwrap_or(most),
            streams_per_environment: limits.streams_per_environment.unwrap_or(most),
            client_streams_per_environment: limits.client_streams_per_environment.unwrap_or(connections / 2),
        }
    }
}

impl Occupancy {
    /// As many as are said, or as there are file handles for.
    pub(crate) fn new(limits: &Limits) -> Self {
        let files = rlimit::Resource::NOFILE.get().map_or(UNKNOWN_FILES, |(soft, _)| soft);
        Self::with(Bounds::of(limits, files))
    }

    fn with(limits: Bounds) -> Self {
        Self { limits, connections: Mutex::default(), streams: Mutex::default(), started: Instant::now() }
    }

    /// How many connections there may be.
    pub fn most_connections(&self) -> usize {
        self.limits.connections
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.lock().open.len()
    }

    /// Takes a connection. Those of a trusted proxy count against no address.
    pub(crate) fn connect(
        self: &Arc<Self>,
        address: IpAddr,
        is_trusted_proxy: bool,
    ) -> Result<Connection, Refusal> {
        let mut connections = self.lock();
        let address = (!is_trusted_proxy).then(|| Neighbours::of(address));
        if address.is_some_and(|address| {
            connections.count_of(address) >= self.limits.connections_per_address
                && connections.make_room(|own| own == Some(address)) == 0
        }) {
            return Err(Refusal::Address);
        }
        if connections.open.len() >= self.limits.connections && connections.make_room(|_| true) == 0 {
            return Err(Refusal::Full);
        }
        Ok(self.enter(connections, address))
    }

    /// Takes a connection in any case: whoever watches has to see when everything is in use.
    pub(crate) fn connect_to_watch(self: &Arc<Self>) -> Connection {
        self.enter(self.lock(), None)
    }

    fn enter(
        self: &Arc<Self>,
        mut connections: MutexGuard<'_, Connections>,
        address: Option<Neighbours>,
    ) -> Connection {
        let number = connections.next;
        connections.next += 1;
        let (since, closed) = (self.now().into(), CancellationToken::new());
        let waiting = Arc::new(Waiting { address, since, closed });
        connections.open.insert(number, waiting.clone());
        if let Some(address) = address {
            *connections.by_address.entry(address).or_default() += 1;
        }
        Connection { occupancy: self.clone(), number, waiting }
    }

    /// Closes some that wait for nothing; says how many.
    pub(crate) fn make_room(&self) -> usize {
        self.lock().make_room(|_| true)
    }

    /// Takes a stream. `behind_proxy` is where it comes from, if a proxy is in between.
    ///
    /// # Errors
    /// 429 if its environment or its address has as many as it may.
    pub(crate) fn open_stream(
        self: &Arc<Self>,
        environment: EnvironmentId,
        audience: Audience,
        behind_proxy: Option<IpAddr>,
    ) -> Result<StreamPlace, ApiError> {
        let (group, limit, option) = match audience {
            Audience::Server => {
                (Group::Servers, self.limits.streams_per_environment, "max-streams-per-environment")
            }
            Audience::Mobile | Audience::Browser => (
                Group::Clients,
                self.limits.client_streams_per_environment,
                "max-client-streams-per-environment",
            ),
        };
        let full = || format!("this environment has the {limit} streams that it may have (--{option})");
        self.open((environment, group), limit, full, behind_proxy)
    }

    /// The same for a relay that is told what to serve. All of them together may have as many as an environment.
    ///
    /// # Errors
    /// 429 if they, or its address, have as many as they may.
    pub(crate) fn open_relay_stream(
        self: &Arc<Self>,
        behind_proxy: Option<IpAddr>,
    ) -> Result<StreamPlace, ApiError> {
        let limit = self.limits.streams_per_environment;
        let full =
            || format!("relays have the {limit} streams that they may have (--max-streams-per-environment)");
        self.open((NO_ENVIRONMENT, Group::Relays), limit, full, behind_proxy)
    }

    fn open(
        self: &Arc<Self>,
        key: (EnvironmentId, Group),
        limit: usize,
        full: impl FnOnce() -> String,
        behind_proxy: Option<IpAddr>,
    ) -> Result<StreamPlace, ApiError> {
        let behind_proxy = behind_proxy.map(Neighbours::of);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.get(&key).is_some_and(|open| *open >= limit) {
            return Err(too_many(format!("{}; try again later", full())));
        }
        if let Some(address) = behind_proxy {
            let mut connections = self.lock();
            let most = self.limits.connections_per_address;
            if connections.count_of(address) >= most {
                return Err(too_many(format!(
                    "your address has the {most} streams that it may have (--max-connections-per-address); \
                     try again later"
                )));
            }
            *connections.by_address.entry(address).or_default() += 1;
        }
        *streams.entry(key).or_default() += 1;
        drop(streams);
        Ok(StreamPlace { occupancy: self.clone(), key, address: behind_proxy })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Streams come and go by the minute; those who are refused should not all come back at once.
fn too_many(message: String) -> ApiError {
    let mut random = [0; 1];
    // Without chance they come back at once, which is borne.
    let _ = getrandom::fill(&mut random);
    ApiError::too_many(message, 20 + u64::from(random[0]) % 40)
}

impl Connections {
    fn count_of(&self, address: Neighbours) -> usize {
        self.by_address.get(&address).copied().unwrap_or_default()
    }

    /// Of those at these addresses, the ones that wait longest go. They are not counted any more from now on.
    fn make_room(&mut self, at: impl Fn(Option<Neighbours>) -> bool) -> usize {
        let mut waiting: Vec<(u64, u64)> = (self.open.iter())
            .filter(|(_, waiting)| at(waiting.address))
            .filter_map(|(number, waiting)| match waiting.since.load(Relaxed) {
                0 => None,
                since => Some((since, *number)),
            })
            .collect();
        let count = (self.open.len() / SHARE_CLOSED).max(1).min(waiting.len());
        if count > 0 {
            waiting.select_nth_unstable(count - 1);
        }
        for (_, number) in &waiting[..count] {
            if let Some(waiting) = self.leave(*number) {
                waiting.closed.cancel();
            }
        }
        count
    }

    /// None if it has left before.
    fn leave(&mut self, number: u64) -> Option<Arc<Waiting>> {
        let left = self.open.remove(&number)?;
        if let Some(address) = left.address {
            self.leave_address(address);
        }
        Some(left)
    }

    fn leave_address(&mut self, address: Neighbours) {
        if let Some(open) = self.by_address.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Connection {
    /// From now on a request is answered, until what is returned is dropped.
    pub(crate) fn answer(&self) -> Answering {
        self.waiting.since.store(0, Relaxed);
        Answering { waiting: self.waiting.clone(), started: self.occupancy.started }
    }

    /// Comes to pass when this connection has to make room.
    pub(crate) async fn has_to_go(&self) {
        self.waiting.closed.cancelled().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.occupancy.lock().leave(self.number);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let now = self.started.elapsed().as_millis();
        self.waiting.since.store(u64::try_from(now).unwrap_or(u64::MAX - 1) + 1, Relaxed);
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.occupancy.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.key) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.key);
            }
        }
        drop(streams);
        if let Some(address) = self.address {
            self.occupancy.lock().leave_address(address);
        }
    }
}

impl Refusal {
    /// How it is answered.
    pub(crate) fn answer(self) -> ApiError {
        match self {
            Self::Full => ApiError::overloaded(
                "every connection that the service may have is in use; try again",
                Duration::from_secs(5),
            ),
            Self::Address => too_many(
                "your address has as many connections as it may have (--max-connections-per-address); \
                 try again later"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn occupancy(connections: usize, per_address: usize) -> Arc<Occupancy> {
        Arc::new(Occupancy::with(Bounds {
            connections,
            connections_per_address: per_address,
            streams_per_environment: 2,
            client_streams_per_environment: 1,
        }))
    }

    #[test]
    fn defaults_leave_room_for_others_and_follow_the_file_limit() {
        let bounds = Bounds::of(&Limits::default(), 20_160);
        assert_eq!(bounds.connections, 20_000);
        assert_eq!((bounds.connections_per_address, bounds.streams_per_environment), (18_000, 18_000));
        assert_eq!(bounds.client_streams_per_environment, 10_000);
        assert_eq!(Bounds::of(&Limits::default(), 256).connections, 96);
        // Databases alone take some thirty.
        assert_eq!(Bounds::of(&Limits::default(), 64).connections, 16);
        let said = Limits { connections: Some(7), streams_per_environment: Some(3), ..Limits::default() };
        assert_eq!(
            (Bounds::of(&said, 1024).connections, Bounds::of(&said, 1024).streams_per_environment),
            (7, 3)
        );
    }

    #[test]
    fn who_waits_longest_makes_room_and_who_is_answered_stays() {
        let occupancy = occupancy(2, 9);
        let first = occupancy.connect(HERE, false).unwrap();
        std::thread::sleep(Duration::from_millis(3));
        let second = occupancy.connect(HERE, false).unwrap();
        let third = occupancy.connect(THERE, false).unwrap();
        assert!(first.waiting.closed.is_cancelled() && !second.waiting.closed.is_cancelled());
        let (busy, other) = (second.answer(), third.answer());
        assert_eq!(occupancy.connect(HERE, false).unwrap_err(), Refusal::Full);
        drop(busy);
        let fourth = occupancy.connect(HERE, false).unwrap();
        assert!(second.waiting.closed.is_cancelled() && !third.waiting.closed.is_cancelled());
        drop((first, second, third, other));
        assert_eq!(occupancy.connections(), 1);
        drop(fourth);
        assert_eq!((occupancy.connections(), occupancy.lock().by_address.len()), (0, 0));
    }

    #[test]
    fn an_address_has_its_share_and_a_trusted_proxy_has_none() {
        let occupancy = occupancy(9, 2);
        let both = [occupancy.connect(HERE, false).unwrap(), occupancy.connect(HERE, false).unwrap()];
        let answered = [both[0].answer(), both[1].answer()];
        assert_eq!(occupancy.connect(HERE, false).unwrap_err(), Refusal::Address);
        let others = [occupancy.connect(THERE, false).unwrap(), occupancy.connect(HERE, true).unwrap()];
        drop(answered);
        let third = occupancy.connect(HERE, false).unwrap();
        assert!(both.iter().any(|connection| connection.waiting.closed.is_cancelled()));
        assert!(others.iter().all(|connection| !connection.waiting.closed.is_cancelled()));
        assert_eq!(occupancy.lock().count_of(Neighbours::of(HERE)), 2);
        drop((both, others, third));
        assert!(occupancy.lock().open.is_empty() && occupancy.lock().by_address.is_empty());
    }

    #[test]
    fn browsers_take_no_places_of_servers_and_an_environment_none_of_another() {
        let occupancy = occupancy(9, 1);
        let open = |environment, audience, address| {
            occupancy.open_stream(EnvironmentId(environment), audience, address)
        };
        let browser = open(1, Audience::Browser, None).unwrap();
        let refused = open(1, Audience::Mobile, None).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "rate_limited"));
        let servers = [open(1, Audience::Server, None).unwrap(), open(1, Audience::Server, None).unwrap()];
        assert!(open(1, Audience::Server, None).is_err() && open(2, Audience::Server, None).is_ok());
        drop((browser, servers));
        let behind = open(1, Audience::Browser, Some(HERE)).unwrap();
        assert!(open(1, Audience::Server, Some(HERE)).unwrap_err().message().contains("your address"));
        assert!(open(1, Audience::Server, Some(THERE)).is_ok());
        drop(behind);
        assert!(open(1, Audience::Server, Some(HERE)).is_ok());
        let relays =
            [occupancy.open_relay_stream(None).unwrap(), occupancy.open_relay_stream(Some(HERE)).unwrap()];
        let refused = occupancy.open_relay_stream(None).unwrap_err();
        assert!(refused.message().starts_with("relays have the 2 streams"), "{}", refused.message());
        drop(relays);
        assert!(occupancy.streams.lock().unwrap().is_empty() && occupancy.lock().by_address.is_empty());
    }
}
