//! Ports for servers that cannot be asked which one they got, or that come back to where they were.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below those that systems give to whoever asks for any: nobody gets one of these by chance, neither while a
/// server is starting nor while it is down.
const OURS: Range<u16> = 10_000..32_000;

/// A port of loopback that nobody listens on. This process gets none twice, and other tests get it as good
/// as never.
///
/// # Panics
/// If all are taken.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    // The standard library's one source of chance.
    let chance = RandomState::new();
    let any = |attempt: u32| {
        let offset = chance.hash_one(attempt) % u64::from(OURS.end - OURS.start);
        OURS.start + u16::try_from(offset).expect("an offset in the range")
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (0..10_000).map(any).find(|port| !given.contains(port) && is_free(port));
    let port = port.expect("a port is free");
    given.insert(port);
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_each_can_be_listened_on() {
        let ports: Vec<u16> = (0..200).map(|_| free_port()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        let listening: Vec<_> = ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port))).collect();
        assert!(ports.iter().all(|port| OURS.contains(port)));
        // Another test run may have taken one or two meanwhile.
        assert!(listening.iter().filter(|listener| listener.is_ok()).count() > 190);
    }
}
