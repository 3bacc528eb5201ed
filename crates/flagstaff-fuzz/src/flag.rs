//! Flags and segments as JSON: whatever can be read can be evaluated, in bounded time, with an
//! answer that holds together and that is the same after being written and read again.

use std::collections::HashMap;
use std::sync::LazyLock;

use flagstaff_eval::model::{Flag, FlagData, Segment};
use flagstaff_eval::{Context, DataSet, Detail, ErrorKind, PreparedFlag, ReasonKind, Value, evaluate};
use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions};
use flagstaff_wire::full_data::{FullData, ItemTexts, read_json};
use flagstaff_wire::stream::ItemKind;
use serde_json::{Map, json};

/// The input is what a poll answers.
pub(crate) fn check(input: &[u8]) {
    let model = read_json::<FlagData>(input);
    let texts = read_json::<ItemTexts>(input);
    let data = match read_json::<FullData>(input) {
        Ok(FullData(data)) => data,
        Err(error) => return assert!(model.is_err(), "one of two readers refuses it: {error}"),
    };
    let model = model.expect("two readers take the same");
    texts_are_the_items(&data, &texts.expect("two readers take the same"));
    all_hold_together(&data);
    let again = written_and_read_again(&model);
    same_answers(&data, &DataSet::from_model(model));
    same_answers(&data, &again);
}

/// Each text is an item, and of those with one key the last is the one in force.
fn texts_are_the_items(data: &DataSet, texts: &ItemTexts<'_>) {
    let mut versions = HashMap::new();
    for text in &texts.0 {
        let json = text.json.get();
        let version = match text.kind {
            ItemKind::Flag => serde_json::from_str::<Flag>(json).map(|flag| flag.version),
            ItemKind::Segment => serde_json::from_str::<Segment>(json).map(|segment| segment.version),
        };
        versions.insert((text.kind, &*text.key), version.expect("the text of an item is one"));
    }
    for ((kind, key), version) in &versions {
        let found = match kind {
            ItemKind::Flag => data.flag_version(key),
            ItemKind::Segment => data.segment_version(key),
        };
        assert_eq!(found, Some(*version), "{kind:?} `{key}`");
    }
    assert_eq!(versions.len(), data.flag_entries().count() + data.segment_entries().count());
}

/// Contexts that reach what flags may look at.
pub(crate) static CONTEXTS: LazyLock<[Context; 4]> = LazyLock::new(|| {
    let read = |json: Value| Context::from_json(&json).expect("the context is valid");
    let legacy =
        json!({"key": 7, "secondary": true, "email": "a@b", "custom": {"a": [1, "x", false], "b": 2.5}});
    [
        read(json!({"kind": "user", "key": "u", "name": "N", "a": "x", "b": {"c": [1, "2-rc"]}, "n": 3})),
        read(json!({"kind": "org", "key": "o", "anonymous": true, "a": "2017-12-06T00:00:00Z", "/b/c": 9})),
        read(json!({"kind": "multi", "user": {"key": "u", "a": 1.0}, "org": {"key": "o", "a": "1.2.3"}})),
        Context::from_legacy_user(&legacy).expect("the user is valid"),
    ]
});

/// Evaluates every flag for every context.
pub(crate) fn all_hold_together(data: &DataSet) {
    for context in CONTEXTS.iter() {
        for flag in data.flags() {
            let detail = evaluate(data, flag, context, &mut |prerequisite| {
                holds_together(prerequisite.flag, &prerequisite.detail);
            });
            holds_together(flag, &detail);
            assert_eq!(evaluate(data, flag, context, &mut |_| {}), detail, "asked again");
            serde_json::to_string(&detail.reason).expect("a reason can be written");
        }
        let all =
            AllFlags::of(data, context, AllFlagsOptions { with_reasons: true, ..Default::default() }, 0);
        assert_eq!(all.flags().len(), data.flags().count());
        serde_json::to_string(&all).expect("all flags can be written");
    }
    for flag in data.flags() {
        assert!(flag.unsupported_patterns().all(|pattern| regex::Regex::new(pattern).is_err()));
    }
}

fn holds_together(flag: &PreparedFlag, detail: &Detail<'_>) {
    assert_eq!(detail.value.is_some(), detail.variation_index.is_some(), "{}: {detail:?}", flag.key());
    match detail.reason.error_kind() {
        Some(kind) => {
            assert_eq!(kind, ErrorKind::MalformedFlag, "{}", flag.key());
            assert!(detail.value.is_none(), "{}: {detail:?}", flag.key());
        }
        // An off flag need not say what it serves, nor one whose prerequisite fails.
        None => {
            let may_serve_nothing =
                matches!(detail.reason.kind, ReasonKind::Off | ReasonKind::PrerequisiteFailed { .. });
            assert!(detail.value.is_some() || may_serve_nothing, "{}: {detail:?}", flag.key());
        }
    }
}

pub(crate) fn written_and_read_again(model: &FlagData) -> DataSet {
    let collection = |items: Vec<(String, Value)>| Value::Object(items.into_iter().collect::<Map<_, _>>());
    let value = |result: Result<Value, serde_json::Error>| result.expect("an item can be written");
    let flags = model.flags.iter().map(|(key, flag)| (key.clone(), value(serde_json::to_value(flag))));
    let segments = model.segments.iter().map(|(key, item)| (key.clone(), value(serde_json::to_value(item))));
    let text =
        json!({"flags": collection(flags.collect()), "segments": collection(segments.collect())}).to_string();
    serde_json::from_str::<FullData>(&text).unwrap_or_else(|error| panic!("{error}: {text}")).0
}

pub(crate) fn same_answers(data: &DataSet, other: &DataSet) {
    assert_eq!(data.flag_entries().count(), other.flag_entries().count());
    assert_eq!(data.segment_entries().count(), other.segment_entries().count());
    for flag in data.flags() {
        let same = other.flag(flag.key()).unwrap_or_else(|| panic!("flag `{}` is lost", flag.key()));
        assert_eq!((flag.version(), flag.availability()), (same.version(), same.availability()));
        for context in CONTEXTS.iter() {
            let detail = evaluate(data, flag, context, &mut |_| {});
            assert_eq!(evaluate(other, same, context, &mut |_| {}), detail, "flag `{}`", flag.key());
        }
    }
}
