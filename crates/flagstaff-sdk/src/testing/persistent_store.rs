//! What every database of flags must do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use flagstaff_wire::stream::ItemKind;

use super::fresh_prefix;
use crate::data_store::{PersistentStore, StoredItem, version_in};

const KINDS: [ItemKind; 2] = [ItemKind::Segment, ItemKind::Flag];

/// Keys that are hard to keep apart, to quote or to send.
const ODD_KEYS: &[&str] = &[
    "plain",
    "Plain",
    "with space",
    " lead",
    "trail ",
    "a/b",
    "a//b",
    "/a",
    "a/",
    ".",
    "..",
    "../x",
    "a.b",
    "$",
    "$inited",
    "$deleted",
    "a:b",
    ":",
    "a?b=c",
    "a#b",
    "a%2Fb",
    "%",
    "a+b",
    "a&b",
    "a\\b",
    "\"a\"",
    "'a'",
    "{a}",
    "*",
    "[a]",
    "a\tb",
    "ключ",
    "鍵",
    "🏁",
    "e\u{301}",
    "\u{e9}",
    "features",
    "segments",
];

/// Checks a database of flags: what is written is read, whole and byte for byte, a newer version is
/// never lost, a store for one prefix sees nothing of another's, and several may write at once.
///
/// `open` gives a store over the same database for a prefix. Two for one prefix must see each other's
/// items. The prefixes are new each time; what is written under them stays.
///
/// # Panics
/// If something is not as it must be, in a sentence that says what.
pub fn check_persistent_store<S: PersistentStore>(open: impl Fn(&str) -> S) {
    let prefix = fresh_prefix();
    let store = |name: &str| open(&format!("{prefix}-{name}"));
    an_empty_database_has_nothing(&store("empty"));
    init_is_read_back(&store("init"));
    init_replaces_everything(&store("replace"));
    upsert_writes_what_is_newer(&store("upsert"));
    tombstones_are_items(&store("tombstones"));
    odd_keys_are_kept_apart(&store("keys"));
    many_and_large_items_fit(&store("many"));
    prefixes_do_not_meet(&open, &prefix);
    writers_at_once_leave_the_newest(&store("race"), &store("race"));
    writers_at_once_lose_no_other_item(&store("crowd"), &store("crowd"));
}

fn an_empty_database_has_nothing(store: &impl PersistentStore) {
    assert!(!store.name().is_empty(), "a store has a name");
    assert!(store.is_available(), "a database that answers is available");
    assert!(!initialized(store), "an empty database is not initialized");
    for kind in KINDS {
        assert_eq!(get(store, kind, "k"), None, "there is no item in an empty database");
        assert!(all(store, kind).is_empty(), "there is no item in an empty database");
    }
}

fn init_is_read_back(store: &impl PersistentStore) {
    let items = [
        item(ItemKind::Segment, "same-key", 3),
        item(ItemKind::Flag, "same-key", 7),
        StoredItem {
            json: "{\"key\":\"f\",\n \"version\":2, \"é\":\"🏁\\u0000\", \"unknown\":[1.50, null]}".into(),
            ..item(ItemKind::Flag, "f", 2)
        },
    ];
    init(store, &items);
    assert!(initialized(store), "a database is initialized once it has had everything");
    for item in &items {
        let found = get(store, item.kind, &item.key);
        assert_eq!(found.as_deref(), Some(&*item.json), "an item is read as it was written, byte for byte");
    }
    check_all(store, &items);
}

fn init_replaces_everything(store: &impl PersistentStore) {
    init(
        store,
        &[item(ItemKind::Segment, "s-1", 1), item(ItemKind::Flag, "f-1", 9), item(ItemKind::Flag, "f-2", 1)],
    );
    let second = [item(ItemKind::Segment, "s-2", 1), item(ItemKind::Flag, "f-1", 2)];
    init(store, &second);
    assert_eq!(get(store, ItemKind::Flag, "f-2"), None, "what is not in the new data is gone");
    check_all(store, &second);
    init(store, &[]);
    check_all(store, &[]);
    assert!(initialized(store), "a database with no items can be initialized");
}

fn upsert_writes_what_is_newer(store: &impl PersistentStore) {
    for kind in KINDS {
        for (version, written) in [(5, true), (5, false), (4, false), (6, true), (1 << 52, true), (7, false)]
        {
            let item = item(kind, "k", version);
            assert_eq!(upsert(store, &item), written, "whether version {version} is newer");
        }
        check_version(store, kind, "k", 1 << 52);
    }
    assert!(!initialized(store), "a single item does not make a database initialized");
    init(store, &[item(ItemKind::Flag, "k", 3)]);
    assert!(upsert(store, &item(ItemKind::Flag, "other", 1)), "an item is added");
    check_all(store, &[item(ItemKind::Flag, "k", 3), item(ItemKind::Flag, "other", 1)]);
}

/// In each of the three forms that SDKs write.
fn tombstones_are_items(store: &impl PersistentStore) {
    let forms = [
        r#"{"version":5,"deleted":true}"#,
        r#"{"key":"k","version":5,"deleted":true}"#,
        r#"{"key":"$deleted","version":5,"deleted":true,"on":false,"rules":[],"variations":null}"#,
    ];
    for kind in KINDS {
        for (index, form) in forms.iter().enumerate() {
            let key = format!("k-{index}");
            let tombstone = StoredItem { json: (*form).into(), ..item(kind, &key, 5) };
            init(store, &[item(kind, &key, 4)]);
            assert!(upsert(store, &tombstone), "a tombstone is written");
            assert_eq!(get(store, kind, &key).as_deref(), Some(*form), "a tombstone is read");
            check_all(store, std::slice::from_ref(&tombstone));
            assert!(!upsert(store, &item(kind, &key, 5)), "a late change of a deleted item is not written");
            assert!(upsert(store, &item(kind, &key, 6)), "a deleted item can come back");
            init(store, std::slice::from_ref(&tombstone));
            assert!(!upsert(store, &item(kind, &key, 5)), "a tombstone has a version from the start");
            check_all(store, &[tombstone]);
        }
    }
}

fn odd_keys_are_kept_apart(store: &impl PersistentStore) {
    let items: Vec<_> =
        KINDS.iter().flat_map(|kind| ODD_KEYS.iter().map(|key| item(*kind, key, 1))).collect();
    init(store, &items);
    check_all(store, &items);
    let newer: Vec<_> = items.iter().map(|old| item(old.kind, &old.key, 2)).collect();
    for newer in &newer {
        let (kind, key) = (newer.kind, &newer.key);
        check_version(store, kind, key, 1);
        assert!(upsert(store, newer), "`{key}` is changed");
        check_version(store, kind, key, 2);
        assert_eq!(get(store, kind, &format!("{key}-")), None, "`{key}-` is another key than `{key}`");
    }
    check_all(store, &newer);
    assert!(initialized(store), "no key is mistaken for the mark");
    init(store, &[]);
    check_all(store, &[]);
}

/// More than any database takes at once, and one item that is nearly as large as they may be.
fn many_and_large_items_fit(store: &impl PersistentStore) {
    let mut items: Vec<_> =
        (0..300).map(|index| item(KINDS[index % 2], &format!("item-{index}"), index as u64)).collect();
    let filling = "x".repeat(300_000);
    let json = format!(r#"{{"key":"large","version":1,"filling":"{filling}"}}"#);
    items.push(StoredItem { json: json.into(), ..item(ItemKind::Flag, "large", 1) });
    init(store, &items);
    check_all(store, &items);
    items.truncate(10);
    init(store, &items);
    check_all(store, &items);
}

fn prefixes_do_not_meet<S: PersistentStore>(open: &impl Fn(&str) -> S, prefix: &str) {
    // One begins as the other does, also after each separator that a layout may have.
    let names = ["p", "p2", "p-", "p:q", "p/q", "p/"].map(|name| format!("{prefix}-{name}"));
    let stores: Vec<_> = names.iter().map(|name| open(name)).collect();
    for (index, store) in stores.iter().enumerate() {
        assert!(!initialized(store), "what is written under one prefix is not seen under another");
        init(store, &[item(ItemKind::Flag, "k", index as u64 + 1)]);
    }
    for (index, store) in stores.iter().enumerate() {
        check_all(store, &[item(ItemKind::Flag, "k", index as u64 + 1)]);
    }
    init(&stores[0], &[]);
    for (index, store) in stores.iter().enumerate().skip(1) {
        check_all(store, &[item(ItemKind::Flag, "k", index as u64 + 1)]);
        assert!(initialized(store), "what is removed under one prefix is not removed under another");
    }
}

/// Eight threads, two stores, one item: every version is offered, by half of the threads from the newest
/// to the oldest. Once a version was written, no older one is ever seen again.
fn writers_at_once_leave_the_newest<S: PersistentStore>(one: &S, other: &S) {
    const THREADS: u64 = 8;
    const VERSIONS: u64 = 40;
    let newest_written = AtomicU64::new(0);
    let start = Barrier::new(THREADS as usize);
    let write = &|thread: u64| {
        let store = if thread.is_multiple_of(2) { one } else { other };
        let mut versions: Vec<_> = (1..=VERSIONS).filter(|version| version % THREADS == thread).collect();
        if thread >= THREADS / 2 {
            versions.reverse();
        }
        start.wait();
        for version in versions {
            let before = newest_written.load(Ordering::SeqCst);
            if upsert(store, &item(ItemKind::Flag, "k", version)) {
                assert!(version > before, "version {version} was written after version {before}");
                newest_written.fetch_max(version, Ordering::SeqCst);
            }
            let at_least = newest_written.load(Ordering::SeqCst).max(version);
            let json = get(store, ItemKind::Flag, "k").expect("an item that was written is there");
            let seen = version_in(&json).expect("an item has a version");
            assert!(seen >= at_least, "version {seen} is there after version {at_least}");
        }
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || write(thread))).collect();
        for writer in writers {
            writer.join().expect("versions only rise");
        }
    });
    check_version(other, ItemKind::Flag, "k", VERSIONS);
}

fn writers_at_once_lose_no_other_item<S: PersistentStore>(one: &S, other: &S) {
    let items: Vec<_> = (0..40).map(|index| item(KINDS[index % 2], &format!("k-{index}"), 1)).collect();
    thread::scope(|scope| {
        for (index, items) in items.chunks(10).enumerate() {
            let store = if index % 2 == 0 { one } else { other };
            scope.spawn(move || {
                for item in items {
                    assert!(upsert(store, item), "an item that only one thread writes is written");
                }
            });
        }
    });
    check_all(one, &items);
}

fn item(kind: ItemKind, key: &str, version: u64) -> StoredItem {
    let json = serde_json::json!({ "key": key, "version": version }).to_string();
    StoredItem { kind, key: key.into(), version, json: json.into() }
}

fn check_all(store: &impl PersistentStore, expected: &[StoredItem]) {
    for kind in KINDS {
        let expected: BTreeMap<&str, &str> =
            expected.iter().filter(|item| item.kind == kind).map(|item| (&*item.key, &*item.json)).collect();
        let found = all(store, kind);
        let keys: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(keys, expected.keys().copied().collect::<Vec<_>>(), "the keys of all items ({kind:?})");
        for (key, json) in &found {
            assert_eq!(&**json, expected[key.as_str()], "the item `{key}` ({kind:?})");
        }
    }
}

fn check_version(store: &impl PersistentStore, kind: ItemKind, key: &str, version: u64) {
    let found = get(store, kind, key).map(|json| version_in(&json).expect("an item has a version"));
    assert_eq!(found, Some(version), "the version of `{key}`");
}

fn initialized(store: &impl PersistentStore) -> bool {
    store.is_initialized().expect("the database says whether it is initialized")
}

fn init(store: &impl PersistentStore, items: &[StoredItem]) {
    store.init(items).expect("the database takes all items");
}

fn get(store: &impl PersistentStore, kind: ItemKind, key: &str) -> Option<Arc<str>> {
    store.get(kind, key).expect("the database gives an item")
}

fn all(store: &impl PersistentStore, kind: ItemKind) -> BTreeMap<String, Arc<str>> {
    let all = store.all(kind).expect("the database gives all items");
    let count = all.len();
    let all: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(all.len(), count, "no key is given twice");
    all
}

fn upsert(store: &impl PersistentStore, item: &StoredItem) -> bool {
    store.upsert(item).expect("the database takes an item")
}
