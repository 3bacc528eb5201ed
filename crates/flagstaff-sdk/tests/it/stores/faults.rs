//! What every store must bear: its server gone and back, and a fork.

use std::time::Instant;

use flagstaff_sdk::{ItemKind, PersistentStore, StoredItem};
use flagstaff_testkit::{PATIENCE, eventually};

use super::servers::{Program, Server};

pub(crate) fn flag(key: &str, version: u64) -> StoredItem {
    let json = format!(r#"{{"key":"{key}","version":{version}}}"#);
    StoredItem { kind: ItemKind::Flag, key: key.into(), version, json: json.into() }
}

/// Stops the server while the store has connections to it, and starts it again at the same port, empty.
pub(crate) fn survives_an_outage(
    program: &Program,
    store: impl Fn(u16) -> Box<dyn PersistentStore>,
    prepare: impl Fn(u16),
) {
    let server = program.start();
    prepare(server.port);
    let store = store(server.port);
    store.init(&[flag("f", 1)]).unwrap();
    assert!(store.is_available());

    let port = server.stop();
    let started = Instant::now();
    assert!(!store.is_available());
    for error in [
        store.get(ItemKind::Flag, "f").unwrap_err(),
        store.all(ItemKind::Flag).unwrap_err(),
        store.upsert(&flag("f", 2)).unwrap_err(),
        store.init(&[flag("f", 2)]).unwrap_err(),
        store.is_initialized().unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains(store.name()) && text.contains("refused"), "it says what is wrong: {text}");
    }
    assert!(started.elapsed() < PATIENCE, "the errors came in time: {:?}", started.elapsed());

    let server = program.start_at(port);
    prepare(server.port);
    eventually("the store worked again", || store.is_available().then_some(()));
    assert!(!store.is_initialized().unwrap(), "the database is empty");
    store.init(&[flag("f", 3)]).unwrap();
    assert!(!store.upsert(&flag("f", 3)).unwrap());
    assert_eq!(store.get(ItemKind::Flag, "f").unwrap(), Some(flag("f", 3).json));
}

/// A server that takes connections and says nothing is an error too, in the time that was set.
pub(crate) fn silence_is_an_error_in_time(store: impl Fn(u16) -> Box<dyn PersistentStore>) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = store(silent.local_addr().unwrap().port());
    let started = Instant::now();
    assert!(store.get(ItemKind::Flag, "f").is_err());
    assert!(!store.is_available());
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

/// Parent and child, each with connections of its own, while other threads of the parent are busy.
#[cfg(unix)]
pub(crate) fn survives_a_fork(server: &Server, store: impl Fn(u16) -> Box<dyn PersistentStore>) {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::fork::{in_child, runs_alone};

    if !runs_alone() {
        return;
    }
    let store = store(server.port);
    store.init(&[flag("f", 1)]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(store.get(ItemKind::Flag, "f").unwrap().is_some());
                }
            });
        }
        for round in 0..5 {
            let key = format!("of-child-{round}");
            let status = in_child(|| {
                let seen = store.get(ItemKind::Flag, "f").unwrap() == Some(flag("f", 1).json);
                let written = store.upsert(&flag(&key, 1)).unwrap();
                let read = store.all(ItemKind::Flag).unwrap().len() == round + 2;
                seen && written && read
            });
            assert_eq!(status, 0, "in child {round}");
            assert_eq!(store.get(ItemKind::Flag, &key).unwrap(), Some(flag(&key, 1).json));
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut store = Some(store);
    let status = in_child(|| {
        drop(store.take());
        true
    });
    assert_eq!(status, 0, "a child can drop the store");
    let store = store.expect("the parent still has it");
    assert!(store.is_initialized().unwrap(), "the parent's connections still work");
}
