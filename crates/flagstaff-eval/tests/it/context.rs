//! What makes a context, and how it reads, writes and compares.

use flagstaff_eval::{Context, ContextError, ContextRead, Value};
use serde_json::json;

fn read(json: Value) -> Result<Context, ContextError> {
    Context::from_json(&json)
}

fn check_converted(json: Value, expected: Value) {
    let context = read(json.clone()).expect("a context");
    assert_eq!(serde_json::to_value(&context).unwrap(), expected, "{json}");
}

fn check_refused(json: Value, message: &str) {
    let refused = read(json.clone()).expect_err(&json.to_string());
    assert_eq!(refused.to_string(), message, "{json}");
}

#[test]
fn contexts_are_written_canonically() {
    check_converted(
        json!({"kind": "org", "key": "o", "anonymous": false, "name": null, "tier": "gold", "none": null, "_meta": {"privateAttributes": [], "secondary": 1}}),
        json!({"kind": "org", "key": "o", "tier": "gold"}),
    );
    check_converted(
        json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o", "anonymous": true, "_meta": {"privateAttributes": ["/a/b", "c"]}}}),
        json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o", "anonymous": true, "_meta": {"privateAttributes": ["/a/b", "c"]}}}),
    );
    check_converted(json!({"kind": "multi", "org": {"key": "o"}}), json!({"kind": "org", "key": "o"}));
}

#[test]
fn legacy_users_are_converted() {
    check_converted(
        json!({"key": "a", "firstName": "b", "custom": {"x": 1, "kind": "no", "key": "no", "gone": null}, "privateAttributeNames": ["/x"], "secondary": "s", "odd": 1}),
        json!({"kind": "user", "key": "a", "firstName": "b", "x": 1, "_meta": {"privateAttributes": ["/~1x"]}}),
    );
    check_converted(json!({"key": "", "anonymous": null}), json!({"kind": "user", "key": ""}));
    check_converted(
        json!({"key": "a", "email": "built-in", "custom": {"email": "own"}}),
        json!({"kind": "user", "key": "a", "email": "own"}),
    );
}

#[test]
fn contexts_that_break_a_rule_are_refused() {
    let key = "context key must not be None or empty";
    check_refused(json!({"kind": "user", "key": ""}), key);
    check_refused(json!({"kind": "user"}), key);
    check_refused(json!({"name": "x"}), key);
    check_refused(json!({"kind": "user", "key": 5}), "invalid data type for \"key\"");
    check_refused(json!({"key": 5}), "invalid data type for \"key\"");
    check_refused(json!({"key": "u", "secondary": 5}), "invalid data type for \"secondary\"");
    check_refused(json!({"kind": null, "key": "u"}), "invalid data type for \"kind\"");
    check_refused(json!({"kind": "", "key": "u"}), "context kind must not be empty");
    check_refused(json!({"kind": "kind", "key": "u"}), "\"kind\" is not a valid context kind");
    check_refused(json!({"kind": "ö", "key": "u"}), "context kind contains disallowed characters");
    check_refused(json!({"kind": "user", "key": "u", "name": 5}), "invalid data type for \"name\"");
    check_refused(
        json!({"kind": "user", "key": "u", "anonymous": null}),
        "invalid data type for \"anonymous\"",
    );
    check_refused(json!({"kind": "user", "key": "u", "_meta": 5}), "invalid data type for \"_meta\"");
    check_refused(
        json!({"kind": "user", "key": "u", "_meta": {"privateAttributes": [1]}}),
        "invalid data type for \"privateAttributes\"",
    );
    check_refused(json!({"kind": "multi"}), "multi-context must contain at least one kind");
    check_refused(json!({"kind": "multi", "user": 5}), "invalid data type for \"user\"");
    check_refused(
        json!({"kind": "multi", "multi": {"key": "x"}, "org": {}}),
        &format!("context of kind \"multi\" must be created with create_multi or multi_builder, {key}"),
    );
    check_refused(json!({"key": "u", "custom": 5}), "invalid data type for \"custom\"");
    check_refused(json!([]), "context is not a JSON object: found an array");
    let two = Context::multi_builder()
        .add(Context::from_key("a").unwrap())
        .add(Context::from_key("b").unwrap())
        .build();
    assert_eq!(two.unwrap_err(), ContextError::DuplicateKind);
    let named_multi = Context::builder("k").kind("multi").build();
    assert_eq!(named_multi.unwrap_err(), ContextError::KindNamedMulti);
}

#[test]
fn legacy_users_keep_keys_that_are_no_text() {
    let key = |json: Value| Context::from_legacy_user(&json).map(|user| user.canonical_key().to_owned());
    assert_eq!(key(json!({"key": 5})).as_deref(), Ok("5"));
    assert_eq!(key(json!({"key": true})).as_deref(), Ok("True"));
    assert_eq!(key(json!({"key": ""})).as_deref(), Ok(""));
    assert_eq!(key(json!({"key": null})), Err(ContextError::EmptyKey));
    let secondary = |json: Value| {
        let user = Context::from_legacy_user(&json)?;
        Ok::<_, ContextError>(ContextRead::secondary(&user).map(str::to_owned))
    };
    assert_eq!(secondary(json!({"key": "u", "secondary": 5})), Ok(Some("5".to_owned())));
    assert!(secondary(json!({"key": "u", "secondary": []})).is_err());
}

#[test]
fn canonical_keys_tell_contexts_apart() {
    let key = |json| read(json).unwrap().canonical_key().to_owned();
    assert_eq!(key(json!({"kind": "user", "key": "a:b"})), "a:b");
    assert_eq!(key(json!({"kind": "org", "key": "a:b%"})), "org:a%3Ab%25");
    assert_eq!(
        key(json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o:1"}})),
        "org:o%3A1:user:u"
    );
}

#[test]
fn equality_does_not_go_by_order() {
    let equal = |a: Value, b: Value| read(a).unwrap() == read(b).unwrap();
    assert!(equal(
        json!({"kind": "user", "key": "u", "a": 1, "b": {"c": [1.0]}}),
        json!({"kind": "user", "key": "u", "b": {"c": [1]}, "a": 1.0})
    ));
    let private = |names: Value| json!({"kind": "user", "key": "u", "_meta": {"privateAttributes": names}});
    assert!(equal(private(json!(["a", "/b", "a"])), private(json!(["b", "/a"]))));
    assert!(!equal(private(json!(["a"])), private(json!(["a", "b"]))));
    assert!(!equal(json!({"kind": "user", "key": "u"}), json!({"kind": "org", "key": "u"})));
    assert!(!equal(
        json!({"kind": "user", "key": "u", "a": 1}),
        json!({"kind": "user", "key": "u", "a": "1"})
    ));
    assert!(!equal(
        json!({"kind": "user", "key": "u"}),
        json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o"}})
    ));
}

#[test]
fn builders_refuse_wrong_types_and_can_be_used_again() {
    let mut builder = Context::builder("u");
    assert!(builder.try_set("plan", "gold") && builder.try_set("age", 7) && builder.try_set("name", "Una"));
    assert!(!builder.try_set("name", 7) && !builder.try_set("", 1) && !builder.try_set("_meta", 1));
    assert!(!builder.try_set("anonymous", Value::Null) && !builder.try_set("key", 7));
    let first = builder.build().unwrap();
    builder.try_set("plan", Value::Null);
    let second = builder.private("/age").build().unwrap();
    assert_eq!(first.to_string(), r#"{"kind":"user","key":"u","name":"Una","age":7,"plan":"gold"}"#);
    assert_eq!(
        second.to_string(),
        r#"{"kind":"user","key":"u","name":"Una","age":7,"_meta":{"privateAttributes":["age"]}}"#
    );
}

#[test]
fn multi_contexts_are_flattened_and_shrink_without_their_anonymous_members() {
    let user = Context::builder("u").anonymous(true).build().unwrap();
    let org = Context::builder("o").kind("org").build().unwrap();
    let car = Context::builder("c").kind("car").build().unwrap();
    let two = Context::multi_builder().add(user.clone()).add(org.clone()).build().unwrap();
    let three = Context::multi_builder().add(two.clone()).add(car).build().unwrap();
    assert_eq!(
        three.members().iter().map(|member| member.kind()).collect::<Vec<_>>(),
        ["car", "org", "user"]
    );
    assert_eq!(two.without_anonymous(), Some(org));
    assert_eq!(user.without_anonymous(), None);
}

#[test]
fn a_document_with_a_great_many_attributes_is_read_in_a_moment() {
    let many: serde_json::Map<String, Value> = (0..200_000).map(|i| (format!("a{i}"), json!(i))).collect();
    let mut properties = json!({"kind": "user", "key": "u"});
    properties.as_object_mut().unwrap().extend(many);
    let start = std::time::Instant::now();
    let context = read(properties).unwrap();
    assert_eq!(context.members()[0].attribute("a123456"), Some(&json!(123456)));
    assert!(context == context.clone());
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}
