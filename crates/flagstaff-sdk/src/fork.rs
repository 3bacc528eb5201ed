//! What happens when the process forks: the child keeps its flags and starts afresh.
//!
//! A fork copies one thread. The client's own thread is gone in the child, and a lock that another
//! thread held at that moment is never given back. Hence two rules: whoever takes a lock of the
//! client's holds a [`guard`] meanwhile, which a fork waits for, and whoever enters the client
//! compares [`generation`] with the one it was started in.
//!
//! The handlers are registered with `pthread_atfork`, so they also run when C code forks (uWSGI).
//! This is the one module of the crate with `unsafe` in it.

#![allow(unsafe_code)]

#[cfg(unix)]
use std::cell::RefCell;
use std::net::SocketAddr;
#[cfg(unix)]
use std::sync::RwLockWriteGuard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError, RwLock, RwLockReadGuard};

/// How often this process is a child of one that used the client.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Held for reading by whoever holds a lock of the client's, for writing while the process forks.
static FORKING: RwLock<()> = RwLock::new(());
/// The connections of clients, by both ends, and the generation of the process that opened them.
static CONNECTIONS: Mutex<Vec<(u64, Connection)>> = Mutex::new(Vec::new());
/// More connections than this are not remembered.
const MOST_CONNECTIONS: usize = 256;

/// One TCP connection of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// Changes in a child process.
#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Keeps the process from forking while a lock is held. Short, and never taken twice.
pub(crate) fn guard() -> RwLockReadGuard<'static, ()> {
    FORKING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a connection, so that a child can close its copy.
pub(crate) fn remember(connection: Connection) {
    let _unforked = guard();
    let mut connections = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let own = (generation(), connection);
    if !connections.contains(&own) {
        if connections.len() == MOST_CONNECTIONS {
            connections.remove(0);
        }
        connections.push(own);
    }
}

/// Has the handlers run from now on. Cheap after the first time.
pub(crate) fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        #[cfg(unix)]
        // SAFETY: the handlers are plain functions that live as long as the program. They touch only
        // what this module owns, and none of them unwinds: poisoning is passed over, and nothing
        // else in them can panic.
        unsafe {
            libc::pthread_atfork(Some(before), Some(after_in_parent), Some(after_in_child));
        }
    });
}

#[cfg(unix)]
thread_local! {
    /// The write lock between the handlers, which one thread runs one after the other.
    static HELD: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

#[cfg(unix)]
extern "C" fn before() {
    let held = FORKING.write().unwrap_or_else(PoisonError::into_inner);
    // A thread that forks while its locals are being destroyed gives the lock back at once.
    let _ = HELD.try_with(|cell| cell.replace(Some(held)));
}

#[cfg(unix)]
extern "C" fn after_in_parent() {
    let _ = HELD.try_with(RefCell::take);
}

#[cfg(unix)]
extern "C" fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let _ = HELD.try_with(RefCell::take);
}

/// Closes this process's copies of the connections that its parent's clients have: as long as a copy
/// is open, the service does not learn that the parent has closed its own.
///
/// Called before a client of this process connects.
pub(crate) fn close_inherited_connections() {
    let inherited: Vec<Connection> = {
        let _unforked = guard();
        let mut connections = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let now = generation();
        connections
            .extract_if(.., |(opened_in, _)| *opened_in != now)
            .map(|(_, connection)| connection)
            .collect()
    };
    #[cfg(target_os = "linux")]
    linux::close_all(&inherited);
    #[cfg(not(target_os = "linux"))]
    drop(inherited);
}

#[cfg(target_os = "linux")]
mod linux {
    //! Finding sockets among the open files. The objects that own them are those of the parent's
    //! runtime, which is leaked, so nothing of this process will use or close them again.

    use std::mem::{MaybeUninit, size_of};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::Connection;

    type Query = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

    pub(super) fn close_all(connections: &[Connection]) {
        if connections.is_empty() {
            return;
        }
        let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
        let open: Vec<libc::c_int> =
            open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        for descriptor in open {
            let ends = address(libc::getsockname, descriptor).zip(address(libc::getpeername, descriptor));
            if ends.is_some_and(|(local, remote)| connections.contains(&Connection { local, remote })) {
                // SAFETY: both ends of a TCP connection name it uniquely, so this is the copy of a
                // connection that a client of the parent opened; its owner was leaked with the
                // parent's runtime and will never use the number again.
                unsafe { libc::close(descriptor) };
            }
        }
    }

    fn address(query: Query, descriptor: libc::c_int) -> Option<SocketAddr> {
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: the pointer is to `length` writable bytes, and a descriptor that is no socket, or
        // closed by now, only makes the call fail.
        let failed = unsafe { query(descriptor, storage.as_mut_ptr().cast(), &mut length) } != 0;
        if failed {
            return None;
        }
        // SAFETY: all-zero bytes are a valid `sockaddr_storage`, and the call wrote one over them.
        let storage = unsafe { storage.assume_init() };
        match i32::from(storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that these bytes are a `sockaddr_in`, which is shorter than
                // the storage and needs no stricter alignment.
                let found = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr));
                Some(SocketAddr::new(ip.into(), u16::from_be(found.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: as above, with `sockaddr_in6`.
                let found = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(found.sin6_addr.s6_addr);
                Some(SocketAddr::new(ip.into(), u16::from_be(found.sin6_port)))
            }
            _ => None,
        }
    }
}
