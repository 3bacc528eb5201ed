//! Databases that are filled with big segments.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use flagstaff_sdk::{Applied, BigSegmentCopy};
use flagstaff_wire::big_segments::{Changes, ContextHash, ListChanges, Patch};

fn hash(key: &str) -> String {
    ContextHash::of(key).to_string()
}

fn patch(version: &str, included: [&[&str]; 2], excluded: [&[&str]; 2]) -> Patch {
    let list = |keys: &[&str]| keys.iter().map(|key| hash(key)).collect();
    let changes = |[add, remove]: [&[&str]; 2]| ListChanges { add: list(add), remove: list(remove) };
    Patch {
        environment_id: "e".to_owned(),
        segment_id: "vip.g3".to_owned(),
        version: version.to_owned(),
        previous_version: String::new(),
        changes: Changes { included: changes(included), excluded: changes(excluded) },
    }
}

fn of(store: &impl BigSegmentCopy, key: &str) -> Option<bool> {
    store.membership(&hash(key)).unwrap().and_then(|membership| membership.get("vip.g3"))
}

/// Everything that must hold for a database that a relay fills; this one is empty.
pub(super) fn check_copy(store: &impl BigSegmentCopy) {
    assert_eq!(store.cursor().unwrap(), "");
    assert_eq!(store.last_up_to_date().unwrap(), None);
    let first = patch("1", [&["ann", "bob"], &["nobody"]], [&["bob", "cem"], &[]]);
    assert_eq!(store.apply(&first, "").unwrap(), Applied::Written);
    assert_eq!(store.cursor().unwrap(), "1");
    assert_eq!(
        ["ann", "bob", "cem", "nobody"].map(|key| of(store, key)),
        [Some(true), Some(true), Some(false), None]
    );

    // Written by another relay meanwhile, or by this one before.
    assert_eq!(store.apply(&first, "").unwrap(), Applied::CursorIs("1".to_owned()));
    let second = patch("2", [&["dee"], &["ann", "bob"]], [&[], &["cem"]]);
    assert_eq!(store.apply(&second, "0").unwrap(), Applied::CursorIs("1".to_owned()));
    assert_eq!(of(store, "dee"), None, "nothing of it was written");
    assert_eq!(store.apply(&second, "1").unwrap(), Applied::Written);
    assert_eq!(["ann", "bob", "cem", "dee"].map(|key| of(store, key)), [None, Some(false), None, Some(true)]);

    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    store.set_last_up_to_date(time).unwrap();
    assert_eq!(store.last_up_to_date().unwrap(), Some(time));
    assert_eq!(store.cursor().unwrap(), "2");

    // More than any database writes at once; and nothing at all.
    let many: Vec<String> = (0..500).map(|number| format!("user-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(store.apply(&patch("3", [&many, &[]], [&[], &[]]), "2").unwrap(), Applied::Written);
    assert!(many.iter().all(|key| of(store, key) == Some(true)));
    assert_eq!(store.apply(&patch("4", [&[], &[]], [&[], &[]]), "3").unwrap(), Applied::Written);
    assert_eq!(store.cursor().unwrap(), "4");
    two_at_once(store);
}

/// Two who write the same patches: each is written once, and neither waits for ever.
fn two_at_once(store: &impl BigSegmentCopy) {
    let written = std::thread::scope(|scope| {
        let writer = || {
            let mut written = BTreeSet::new();
            for number in 5..25 {
                let (key, before) = (format!("racer-{number}"), (number - 1).to_string());
                match store.apply(&patch(&number.to_string(), [&[&key], &[]], [&[], &[]]), &before).unwrap() {
                    Applied::Written => assert!(written.insert(number)),
                    Applied::CursorIs(cursor) => assert!(cursor.parse::<u64>().unwrap() >= number),
                }
            }
            written
        };
        let writers = [scope.spawn(writer), scope.spawn(writer)];
        writers.map(|writer| writer.join().unwrap())
    });
    let [one, other] = written;
    assert!(one.is_disjoint(&other), "{one:?} and {other:?}");
    assert_eq!(one.union(&other).count(), 20);
    assert!((5..25).all(|number| of(store, &format!("racer-{number}")) == Some(true)));
}
