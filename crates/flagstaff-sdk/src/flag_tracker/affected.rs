//! Which flags a change of the data set is a change of.

use flagstaff_eval::{DataSet, ItemKey};
use foldhash::HashSet;

/// The keys of all flags that may serve something else than before: those that were added or removed
/// or whose version changed, and those that depend on one of them, or on a segment that changed.
/// In no particular order, each once.
pub(super) fn affected_flags(before: &DataSet, after: &DataSet) -> HashSet<String> {
    after.flags_affected_by(changed(before, after)).into_iter().map(str::to_owned).collect()
}

fn changed<'d>(before: &'d DataSet, after: &'d DataSet) -> Vec<ItemKey<'d>> {
    let flags = after
        .flags()
        .filter(|flag| before.flag(flag.key()).is_none_or(|old| old.version() != flag.version()))
        .map(|flag| ItemKey::Flag(flag.key()));
    let gone_flags =
        before.flags().filter(|flag| after.flag(flag.key()).is_none()).map(|flag| ItemKey::Flag(flag.key()));
    let segments = after
        .segments()
        .filter(|segment| before.segment(segment.key()).is_none_or(|old| old.version() != segment.version()))
        .map(|segment| ItemKey::Segment(segment.key()));
    let gone_segments = before
        .segments()
        .filter(|segment| after.segment(segment.key()).is_none())
        .map(|segment| ItemKey::Segment(segment.key()));
    flags.chain(gone_flags).chain(segments).chain(gone_segments).collect()
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::FlagData;
    use serde_json::{Value, json};

    use super::*;

    fn in_segments(keys: &[&str]) -> Value {
        json!([{"variation": 0, "clauses": [{"attribute": "", "op": "segmentMatch", "values": keys}]}])
    }

    /// `other` is a flag alone; `top` needs `middle`, which needs `bottom`; `asks` names segment
    /// `outer`, which names `inner`, and `behind` needs `asks`; `loop-a` and `loop-b` need each other.
    fn data(change: impl FnOnce(&mut Value)) -> DataSet {
        let needs = |key: &str| json!([{"key": key, "variation": 0}]);
        let mut data = json!({
            "flags": {
                "other": {"key": "other", "version": 1},
                "bottom": {"key": "bottom", "version": 1},
                "middle": {"key": "middle", "version": 1, "prerequisites": needs("bottom")},
                "top": {"key": "top", "version": 1, "prerequisites": needs("middle")},
                "asks": {"key": "asks", "version": 1, "rules": in_segments(&["outer"])},
                "behind": {"key": "behind", "version": 1, "prerequisites": needs("asks")},
                "loop-a": {"key": "loop-a", "version": 1, "prerequisites": needs("loop-b")},
                "loop-b": {"key": "loop-b", "version": 1, "prerequisites": needs("loop-a")},
                "needs-missing": {"key": "needs-missing", "version": 1, "prerequisites": needs("missing")},
                "dead": {"key": "dead", "version": 1, "deleted": true},
            },
            "segments": {
                "outer": {"key": "outer", "version": 1, "rules": in_segments(&["inner"])},
                "inner": {"key": "inner", "version": 1},
                "alone": {"key": "alone", "version": 1},
            },
        });
        change(&mut data);
        DataSet::from_model(serde_json::from_value::<FlagData>(data).unwrap())
    }

    fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
        let (before, after) = (data(|_| {}), data(change));
        let sorted = |keys: HashSet<String>| {
            let mut keys: Vec<String> = keys.into_iter().collect();
            keys.sort();
            keys
        };
        assert_eq!(sorted(affected_flags(&before, &after)), expected);
        assert_eq!(sorted(affected_flags(&after, &after)), [""; 0], "nothing changed");
    }

    fn raise(kind: &str, key: &str) -> impl FnOnce(&mut Value) {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        move |data| data[kind][key]["version"] = 2.into()
    }

    #[test]
    fn a_flag_alone_is_a_change_of_itself() {
        check(|_| {}, &[]);
        check(raise("flags", "other"), &["other"]);
        check(raise("flags", "top"), &["top"]);
    }

    #[test]
    fn what_needs_a_changed_flag_changes_with_it_however_far_away() {
        check(raise("flags", "bottom"), &["bottom", "middle", "top"]);
        check(raise("flags", "loop-a"), &["loop-a", "loop-b"]);
    }

    #[test]
    fn what_asks_for_a_changed_segment_changes_with_it_however_far_away() {
        check(raise("segments", "outer"), &["asks", "behind"]);
        check(raise("segments", "inner"), &["asks", "behind"]);
        check(raise("segments", "alone"), &[]);
    }

    #[test]
    fn added_and_removed_items_count_for_what_needs_them() {
        check(
            |data| data["flags"]["missing"] = json!({"key": "missing", "version": 1}),
            &["missing", "needs-missing"],
        );
        check(
            |data| drop(data["flags"].as_object_mut().unwrap().remove("bottom")),
            &["bottom", "middle", "top"],
        );
        let deleted = json!({"key": "bottom", "version": 2, "deleted": true});
        check(|data| data["flags"]["bottom"] = deleted, &["bottom", "middle", "top"]);
        check(
            |data| data["segments"]["inner"] = json!({"key": "inner", "version": 2, "deleted": true}),
            &["asks", "behind"],
        );
    }

    #[test]
    fn a_tombstone_for_what_was_not_there_is_no_change() {
        check(|data| data["flags"]["dead"]["version"] = 2.into(), &[]);
        check(|data| data["flags"]["never"] = json!({"version": 1, "deleted": true}), &[]);
    }
}
