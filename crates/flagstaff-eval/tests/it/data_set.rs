//! Versions decide, tombstones stay, and readers keep what they have.

use flagstaff_eval::model::{Flag, FlagData};
use flagstaff_eval::{DataSet, Entry, PreparedFlag, SharedDataSet};
use serde_json::json;

fn flag(key: &str, version: u64) -> Entry<PreparedFlag> {
    Entry::flag(key, Flag { key: key.into(), version, ..Flag::default() })
}

#[test]
fn only_a_greater_version_is_put_in() {
    let data = SharedDataSet::new(DataSet::new([flag("f", 5)], []));
    assert!(!data.upsert_flag(flag("f", 5)));
    assert!(!data.upsert_flag(flag("f", 4)));
    assert!(data.upsert_flag(Entry::tombstone("f", 6)));
    assert!(data.load().flag("f").is_none());
    assert!(!data.upsert_flag(flag("f", 6)));
    assert_eq!(data.load().flag_version("f"), Some(6));
    assert!(data.upsert_flag(flag("f", 7)));
    assert_eq!(data.load().flag("f").unwrap().version(), 7);
    assert!(data.upsert_flag(Entry::tombstone("unknown", 1)));
    assert_eq!((data.load().flags().count(), data.load().flag_entries().count()), (1, 2));
}

#[test]
fn replacing_does_not_look_at_versions() {
    let data = SharedDataSet::new(DataSet::new([flag("f", 5), flag("g", 5)], []));
    data.replace(DataSet::new([flag("f", 1)], []));
    assert_eq!(data.load().flag("f").unwrap().version(), 1);
    assert!(data.load().flag("g").is_none());
}

#[test]
fn changes_in_their_right_order_do_not_look_at_versions_and_leave_the_rest_alone() {
    let many = (0..500).map(|index| flag(&format!("f{index}"), 9));
    let before = DataSet::new(many, []);
    let changes = (0..500).step_by(3).map(|index| flag(&format!("f{index}"), 1));
    let last = [Entry::tombstone("f1", 1), flag("f2", 2), flag("f2", 3), flag("new", 1)];
    let after = before.with_all(changes.chain(last), [Entry::tombstone("s", 4)]);
    assert_eq!((before.flags().count(), after.flags().count()), (500, 500));
    assert!(before.flags().all(|flag| flag.version() == 9));
    assert!(after.flag("f1").is_none());
    assert_eq!(after.segment_version("s"), Some(4));
    for (key, version) in [("f0", 1), ("f498", 1), ("f1", 1), ("f2", 3), ("new", 1), ("f4", 9), ("f499", 9)] {
        assert_eq!(after.flag_version(key), Some(version), "{key}");
    }
    // What did not change is shared, not made again.
    assert!(std::sync::Arc::ptr_eq(before.flag("f499").unwrap(), after.flag("f499").unwrap()));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let data = SharedDataSet::new(DataSet::new([flag("f", 1)], []));
    let before = data.snapshot();
    data.upsert_flag(flag("f", 2));
    assert_eq!(before.flag("f").unwrap().version(), 1);
    assert_eq!(data.load().flag("f").unwrap().version(), 2);
}

#[test]
fn a_data_set_that_nobody_reads_is_freed_by_the_next_change() {
    let data = SharedDataSet::new(DataSet::new([flag("f", 1)], []));
    let read = data.snapshot();
    let (old, old_flag) =
        (std::sync::Arc::downgrade(&read), std::sync::Arc::downgrade(read.flag("f").unwrap()));
    data.upsert_flag(flag("f", 2));
    drop(read);
    assert!(old.upgrade().is_some(), "a reader never frees");
    data.upsert_flag(flag("f", 3));
    assert!(old.upgrade().is_none() && old_flag.upgrade().is_none());
}

#[test]
fn every_shape_of_tombstone_is_read_and_the_outer_key_counts() {
    let data: FlagData = serde_json::from_value(json!({
        "flags": {
            "a": {"version": 5, "deleted": true},
            "b": {"key": "b", "version": 6, "deleted": true},
            "c": {"key": "$deleted", "version": 7, "deleted": true, "on": false, "variations": []},
            "d": {"key": "other", "version": 8.0}
        },
        "segments": null,
        "unknown": 1
    }))
    .unwrap();
    let data = DataSet::from_model(data);
    assert_eq!(["a", "b", "c", "d"].map(|key| data.flag_version(key)), [Some(5), Some(6), Some(7), Some(8)]);
    assert_eq!(data.flags().map(|flag| flag.key().to_owned()).collect::<Vec<_>>(), ["d"]);
    assert!(data.flag("$deleted").is_none() && data.flag("other").is_none());
}

#[test]
fn a_wrong_type_is_an_error_and_a_missing_property_is_not() {
    let read = |flag: serde_json::Value| serde_json::from_value::<Flag>(flag).map(|_| ());
    assert!(read(json!({})).is_ok());
    assert!(
        read(
            json!({"key": null, "rules": null, "fallthrough": null, "variations": null, "junk": {"a": [1]}})
        )
        .is_ok()
    );
    for wrong in [
        json!({"on": "yes"}),
        json!({"version": "1"}),
        json!({"version": 1.5}),
        json!({"version": -1}),
        json!({"rules": {}}),
        json!({"targets": [{"values": [1]}]}),
        json!({"salt": 1}),
        json!("flag"),
        json!({"fallthrough": {"rollout": 1}}),
        json!({"clientSideAvailability": true}),
        json!({"rules": [{"clauses": [{"op": 1}]}]}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn flags_are_written_as_every_reader_accepts_them() {
    let flag: Flag = serde_json::from_value(json!({
        "key": "f", "version": 2, "variations": [1, 1.5, null, {"b": 1, "a": [true]}],
        "rules": [{"id": "r", "clauses": [{"attribute": "a", "op": "isNew", "values": [1]}], "variation": 1}],
        "fallthrough": {"rollout": {"kind": "experiment", "variations": [{"variation": 0, "weight": 100000}]}},
        "targets": [{"variation": 0, "values": ["u"]}]
    }))
    .unwrap();
    assert_eq!(
        serde_json::to_value(&flag).unwrap(),
        json!({
            "key": "f", "version": 2, "on": false, "prerequisites": [], "contextTargets": [], "offVariation": null,
            "targets": [{"variation": 0, "values": ["u"]}],
            "rules": [{"id": "r", "clauses": [{"attribute": "a", "op": "isNew", "values": [1], "negate": false}], "variation": 1, "trackEvents": false}],
            "fallthrough": {"rollout": {"kind": "experiment", "variations": [{"variation": 0, "weight": 100000}]}},
            "variations": [1, 1.5, null, {"a": [true], "b": 1}], "clientSide": false,
            "clientSideAvailability": {"usingEnvironmentId": false, "usingMobileKey": true}, "salt": "",
            "trackEvents": false, "trackEventsFallthrough": false, "debugEventsUntilDate": null, "deleted": false
        })
    );
}

#[test]
fn segments_and_patterns_of_a_flag_can_be_asked_for() {
    let flag: Flag = serde_json::from_value(json!({
        "prerequisites": [{"key": "p", "variation": 0}],
        "rules": [{"clauses": [
            {"op": "segmentMatch", "values": ["s", "t"]},
            {"attribute": "a", "op": "matches", "values": ["fine", "(?=look)"]}]}]
    }))
    .unwrap();
    let flag = PreparedFlag::new("f", flag);
    assert_eq!(flag.prerequisites().collect::<Vec<_>>(), ["p"]);
    assert_eq!(flag.segments().collect::<Vec<_>>(), ["s", "t"]);
    assert_eq!(flag.unsupported_patterns().collect::<Vec<_>>(), ["(?=look)"]);
}

#[test]
fn a_time_may_have_a_fraction() {
    let until = |text: &str| {
        let json = format!(r#"{{"key": "f", "version": 1, "debugEventsUntilDate": {text}}}"#);
        serde_json::from_str::<Flag>(&json).map(|flag| flag.debug_events_until_date)
    };
    assert_eq!(until("1700000000000.75").unwrap(), Some(1_700_000_000_000));
    assert_eq!(until("1.7e12").unwrap(), Some(1_700_000_000_000));
    assert_eq!(until("1700000000000").unwrap(), Some(1_700_000_000_000));
    assert_eq!(until("null").unwrap(), None);
    assert!(until("\"soon\"").is_err());
}

#[test]
fn a_trusted_change_is_taken_whole_whatever_the_versions() {
    let before = DataSet::new([flag("f", 5), flag("g", 5), flag("kept", 5)], []);
    let after = before.with_all([flag("f", 1), Entry::tombstone("g", 2), flag("new", 1)], []);
    let versions = ["f", "g", "kept", "new"].map(|key| after.flag_version(key));
    assert_eq!(versions, [Some(1), Some(2), Some(5), Some(1)]);
    assert!(after.flag("g").is_none());
    assert_eq!(before.flag("f").map(|flag| flag.version()), Some(5), "the old data set stays what it was");
}
