//! What each schema looked like, and what strangers may send.

use serde_json::json;

use super::*;

#[test]
fn batch_that_is_no_array_of_objects_is_refused() {
    for (body, said) in [
        ("", "empty"),
        (" \n", "empty"),
        ("{}", "invalid type: map, expected an array of events"),
        ("null", "expected an array of events"),
        ("[1]", "event 0 is not a JSON object"),
        ("[{},[]]", "event 1 is not a JSON object"),
        ("[{}", "EOF"),
        ("[{}]x", "trailing characters"),
        ("[{\"a\":}]", "expected value"),
    ] {
        let error = check_batch(body.as_bytes()).expect_err(body).to_string();
        assert!(error.contains(said), "{body} gave {error}");
    }
    assert!(check_batch(b"[{\"a\":\"\xff\"}]").is_err(), "not UTF-8");
}

#[test]
fn batch_is_checked_without_limit_on_its_length() {
    assert_eq!(check_batch(b" [ ] ").unwrap(), 0);
    let body = format!("[{}]", vec!["{\"kind\":\"index\"}"; 10_000].join(","));
    assert_eq!(check_batch(body.as_bytes()).unwrap(), 10_000);
}

#[test]
fn nesting_beyond_the_limit_is_refused_by_place() {
    let nested = |levels: usize| format!("[{{}},{{\"data\":{}{}}}]", "[".repeat(levels), "]".repeat(levels));
    assert!(check_batch(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
    let error = check_batch(nested(MAX_DEPTH).as_bytes()).unwrap_err();
    assert!(matches!(error, BatchError::TooDeep { index: 1 }), "{error}");
    assert!(check_batch(nested(1_000_000).as_bytes()).is_err());
    let in_text = format!("[{{\"key\":\"\\\"{}\"}}]", "[".repeat(1000));
    assert!(check_batch(in_text.as_bytes()).is_ok(), "brackets in text are no nesting");
}

#[test]
fn schema_header_is_read_tolerantly() {
    for (header, expected) in [(None, 1), (Some("4"), 4), (Some(" 3 "), 3), (Some("x"), 1), (Some("0"), 1)] {
        assert_eq!(schema(header), expected, "{header:?}");
    }
    assert!(is_unsummarised(2, None) && is_unsummarised(4, Some("true")) && is_unsummarised(4, Some("True")));
    assert!(!is_unsummarised(3, None) && !is_unsummarised(4, Some("false")));
}

#[test]
fn summary_gives_its_counts() {
    let body = json!([{"kind": "summary", "startDate": 1_700_000_000_000.0, "endDate": 1_700_000_005_000_i64, "features": {
        "flag-a": {"default": "x", "contextKinds": ["user"], "counters": [
            {"variation": 0, "version": 11, "value": "a", "count": 3},
            {"version": 11.0, "variation": null, "value": {"deep": [1]}, "count": 1.0}]},
        "nope": {"default": 1, "counters": [{"unknown": true, "value": 1, "count": 2}]},
    }}])
    .to_string();
    let events = read(&body);
    let event = events[0].as_ref().unwrap();
    let count = |flag: &'static str, variation, version, count| ReceivedCount {
        flag: flag.into(),
        variation,
        version,
        count,
    };
    assert_eq!(
        event.counts,
        [
            count("flag-a", Some(0), Some(11), 3),
            count("flag-a", None, Some(11), 1),
            count("nope", None, None, 2)
        ]
    );
    assert_eq!((event.start_ms, event.end_ms), (Some(1_700_000_000_000), Some(1_700_000_005_000)));
}

#[test]
fn wrong_parts_of_a_summary_do_not_spoil_the_rest() {
    let body = json!([{"kind": "summary", "startDate": "yesterday", "features": {
        "bad": 7, "worse": {"counters": "none"},
        "good": {"counters": [null, 3, {"count": -5}, {"count": 0}, {"count": 4, "variation": "a"}, {"count": u64::MAX}]},
    }}, {"kind": "summary", "features": []}, {"kind": "summary"}])
    .to_string();
    let events = read(&body);
    let counts: Vec<(&str, u64)> =
        events[0].as_ref().unwrap().counts.iter().map(|count| (&*count.flag, count.count)).collect();
    assert_eq!(counts, [("good", 4), ("good", 1 << 40)]);
    assert_eq!(events[0].as_ref().unwrap().start_ms, None);
    assert!(events[1].as_ref().unwrap().counts.is_empty() && events[2].as_ref().unwrap().counts.is_empty());
}

#[test]
fn every_kind_of_both_eras_is_known() {
    for (kind, expected) in [
        ("feature", ReceivedKind::Feature),
        ("debug", ReceivedKind::Debug),
        ("index", ReceivedKind::Index),
        ("identify", ReceivedKind::Identify),
        ("custom", ReceivedKind::Custom),
        ("summary", ReceivedKind::Summary),
        ("click", ReceivedKind::Goal),
        ("pageview", ReceivedKind::Goal),
        ("click_pageview", ReceivedKind::Goal),
        ("migration_op", ReceivedKind::MigrationOperation),
        ("alias", ReceivedKind::Alias),
        ("of the future", ReceivedKind::Unknown),
    ] {
        let body =
            json!([{"kind": kind, "creationDate": 5.9, "newProperty": {"a": [1, {"b": null}]}}]).to_string();
        let event = read(&body).remove(0).unwrap();
        assert_eq!((event.kind, event.created_at_ms), (expected, Some(5)), "{kind}");
    }
    assert_eq!(read("[{\"kind\":7}]").remove(0).unwrap().kind, ReceivedKind::Unknown);
}

#[test]
fn event_that_cannot_be_read_leaves_the_others() {
    let events = read(
        r#"[{"kind":"index"},{"kind":"index","kind":"index"},{"kind":"custom","key":"\ud800"},{"kind":"custom","key":"k"}]"#,
    );
    let read: Vec<bool> = events.iter().map(Result::is_ok).collect();
    assert_eq!(read, [true, false, false, true]);
}

#[test]
fn user_era_feature_event_names_its_user() {
    let body = r#"[{"kind":"feature","creationDate":1,"key":"f","userKey":"u","version":11,"variation":null,"prereqOf":null,"value":"b","default":"x"},
        {"kind":"feature","key":"f","userKey":"a","contextKind":"anonymousUser"},
        {"kind":"custom","key":"k","userKey":12},
        {"kind":"custom","key":"k","contextKeys":{"user":"u","org":"o","bad":[]}},
        {"kind":"feature","key":"f","user":{"key":"u"}},
        {"kind":"index","context":{"kind":"user","key":"u"}}]"#;
    let events: Vec<_> = read(body).into_iter().map(Result::unwrap).collect();
    let event = &events[0];
    assert_eq!((event.key.as_deref(), event.version, event.variation), (Some("f"), Some(11), None));
    let keys = |event: &ReceivedEvent| match &event.about {
        About::Keys(keys) => {
            keys.iter().map(|(kind, key)| format!("{kind}:{key}")).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    };
    assert_eq!(keys(&events[0]), "user:u");
    assert_eq!(keys(&events[1]), "Nobody");
    assert_eq!(keys(&events[2]), "user:12");
    assert_eq!(keys(&events[3]), "user:u org:o");
    assert!(matches!(events[4].about, About::User(_)));
    assert!(matches!(events[5].about, About::Context(_)));
}

#[test]
fn members_of_a_context_are_read_in_one_form() {
    check_context(
        json!({"kind": "org", "key": "o", "name": "Acme", "tier": null, "a": {"b": 1}, "_meta": {"redactedAttributes": ["email", "/a/c"]}}),
        json!([["org", "o", false, {"name": "Acme", "a": {"b": 1}}, ["email", "/a/c"]]]),
    );
    check_context(
        json!({"kind": "multi", "user": {"key": "u", "anonymous": true}, "org": {"key": "o"}, "bad": {"key": ""}, "worse": 3}),
        json!([["org", "o", false, {}, []], ["user", "u", true, {}, []]]),
    );
    check_context(json!({"key": "u", "custom": {"x": 1}}), json!([["user", "u", false, {"x": 1}, []]]));
    for nobody in [
        json!(3),
        json!({"kind": "user"}),
        json!({"kind": null, "key": "u"}),
        json!({"kind": "user", "key": ""}),
    ] {
        check_context(nobody, json!([]));
    }
}

#[test]
fn what_is_private_does_not_come_in_even_when_sent() {
    check_context(
        json!({"kind": "user", "key": "u", "email": "e", "a": {"b": 1, "c": 2}, "_meta": {"privateAttributes": ["/email", "/a/b", "none", "//"]}}),
        json!([["user", "u", false, {"a": {"c": 2}}, ["/email", "/a/b"]]]),
    );
    check_user(
        json!({"key": "u", "name": "N", "email": "e", "custom": {"x": 1, "/y": 2}, "privateAttributeNames": ["email", "/y"], "privateAttrs": ["x", "ip"]}),
        json!(["user", "u", false, {"name": "N"}, ["x", "ip", "email", "/y"]]),
    );
}

#[test]
fn user_becomes_a_member_of_kind_user() {
    check_user(
        json!({"key": 7, "secondary": "s", "firstName": "F", "lastName": null, "anonymous": false, "junk": 1,
               "custom": {"email": "custom wins", "key": "skipped", "groups": ["a"], "gone": null}, "email": "e"}),
        json!(["user", "7", false, {"secondary": "s", "firstName": "F", "email": "custom wins", "groups": ["a"]}, []]),
    );
    check_user(json!({"key": "u", "anonymous": true}), json!(["user", "u", true, {}, []]));
    assert!(ReceivedMember::of_user(&raw(&json!({"name": "no key"}))).is_none());
}

fn read(body: &str) -> Vec<Result<ReceivedEvent<'_>, serde_json::Error>> {
    let mut events = Vec::new();
    read_batch(body.as_bytes(), |event| events.push(event)).unwrap();
    events
}

fn raw(json: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(json).unwrap()
}

fn shown(member: &ReceivedMember) -> serde_json::Value {
    json!([member.kind, member.key, member.anonymous, member.attributes, member.redacted])
}

fn check_context(context: serde_json::Value, expected: serde_json::Value) {
    let members = ReceivedMember::of_context(&raw(&context));
    assert_eq!(serde_json::Value::from(members.iter().map(shown).collect::<Vec<_>>()), expected);
}

fn check_user(user: serde_json::Value, expected: serde_json::Value) {
    assert_eq!(ReceivedMember::of_user(&raw(&user)).as_ref().map(shown), Some(expected));
}

#[test]
fn first_events_of_a_batch_are_those_that_fit() {
    let texts = |body: &'static str, most| {
        first_events(body.as_bytes(), most).into_iter().map(RawValue::get).collect::<Vec<_>>()
    };
    let three = r#" [ {"a":1} , {"b":22},{"c":3}]"#;
    assert_eq!(texts(three, 100), [r#"{"a":1}"#, r#"{"b":22}"#, r#"{"c":3}"#]);
    assert_eq!(texts(three, 15), [r#"{"a":1}"#, r#"{"b":22}"#]);
    assert_eq!(texts(three, 14), [r#"{"a":1}"#]);
    assert_eq!((texts(three, 6).len(), texts("[]", 6).len(), texts("no batch", 6).len()), (0, 0, 0));
    // What comes after it is not looked at.
    assert_eq!(texts(r#"[{"a":1},{"b":22}, and so on"#, 7), [r#"{"a":1}"#]);
}
