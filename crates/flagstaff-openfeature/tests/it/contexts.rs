//! What becomes of an evaluation context: read from the events that tell the service of it.

use std::sync::Arc;

use flagstaff_testkit::{PATIENCE, flag};
use open_feature::provider::FeatureProvider;
use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationErrorCode, EvaluationReason, StructValue, Value,
};
use serde_json::json;
use time::OffsetDateTime;

use crate::support::{run, service_and_provider, user};

/// Asserts which context the service is told of.
fn check(context: &EvaluationContext, expected: serde_json::Value) {
    let (service, provider) = service_and_provider([flag("f")]);
    run(provider.resolve_bool_value("f", context)).unwrap();
    assert!(provider.client().flush_and_wait(PATIENCE));
    assert_eq!(service.events_of_kind("index")[0]["context"], expected);
}

fn check_error(context: &EvaluationContext, code: EvaluationErrorCode, part: &str) {
    let (service, provider) = service_and_provider([flag("f")]);
    let error = run(provider.resolve_bool_value("f", context)).unwrap_err();
    assert_eq!(error.code, code, "{error:?}");
    assert!(error.message.as_deref().is_some_and(|message| message.contains(part)), "{error:?}");
    provider.client().close();
    assert!(service.events().is_empty(), "nothing was evaluated");
}

fn structure<T: Send + Sync + 'static>(value: T) -> EvaluationContextFieldValue {
    EvaluationContextFieldValue::new_struct(value)
}

#[test]
fn the_targeting_key_is_the_key_and_the_field_key_stands_in_for_it() {
    check(&user("u"), json!({"kind": "user", "key": "u"}));
    check(&EvaluationContext::default().with_custom_field("key", "k"), json!({"kind": "user", "key": "k"}));
    check(&user("u").with_custom_field("key", "k"), json!({"kind": "user", "key": "u"}));
    check(&user("o").with_custom_field("kind", "org"), json!({"kind": "org", "key": "o"}));
}

#[test]
fn without_a_key_there_is_no_answer_but_an_error_that_says_so() {
    let missing = EvaluationErrorCode::TargetingKeyMissing;
    check_error(&EvaluationContext::default(), missing.clone(), "neither a targeting key nor a field `key`");
    check_error(&user(""), missing.clone(), "of kind `user`");
    let keyless = StructValue::default().with_field("plan", "gold");
    let several = EvaluationContext::default()
        .with_custom_field("kind", "multi")
        .with_custom_field("org", structure(keyless));
    check_error(&several, missing, "of kind `org`");
}

#[test]
fn fields_are_attributes_of_their_own_types() {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_999_999).unwrap();
    let before_1970 = OffsetDateTime::from_unix_timestamp_nanos(-1).unwrap();
    let context = user("u")
        .with_custom_field("name", "Ann")
        .with_custom_field("anonymous", true)
        .with_custom_field("paid", false)
        .with_custom_field("age", 41)
        .with_custom_field("score", 2.5)
        .with_custom_field("not a number", f64::NAN)
        .with_custom_field("since", moment)
        .with_custom_field("before", before_1970);
    check(
        &context,
        json!({"kind": "user", "key": "u", "name": "Ann", "anonymous": true, "paid": false, "age": 41,
               "score": 2.5, "since": 1_700_000_000_123_i64, "before": -1}),
    );
}

#[test]
fn dates_can_be_compared() {
    let rule = json!([{"variation": 1, "clauses": [{"contextKind": "user", "attribute": "since",
        "op": "before", "values": ["2024-01-01T00:00:00Z"]}]}]);
    let (_service, provider) = service_and_provider([flag("f").with("rules", rule)]);
    let at =
        |seconds| user("u").with_custom_field("since", OffsetDateTime::from_unix_timestamp(seconds).unwrap());
    assert!(!run(provider.resolve_bool_value("f", &at(1_700_000_000))).unwrap().value);
    assert!(run(provider.resolve_bool_value("f", &at(1_800_000_000))).unwrap().value);
}

#[test]
fn structures_are_objects_and_lists() {
    let address = StructValue::default().with_field("city", "Oslo").with_field("floor", 2.5);
    let groups = Value::Array(vec!["a".into(), 1.into(), true.into()]);
    let nested = EvaluationContext::default().with_custom_field("deep", structure(address.clone()));
    let context = user("u")
        .with_custom_field("address", structure(address))
        .with_custom_field("groups", structure(groups))
        .with_custom_field("texts", Arc::new(vec!["x".to_owned(), "y".to_owned()]))
        .with_custom_field("json", structure(json!({"a": [1, null]})))
        .with_custom_field("nested", structure(nested));
    check(
        &context,
        json!({"kind": "user", "key": "u", "address": {"city": "Oslo", "floor": 2.5}, "groups": ["a", 1, true],
               "texts": ["x", "y"], "json": {"a": [1, null]}, "nested": {"deep": {"city": "Oslo", "floor": 2.5}}}),
    );
    let unknown = user("u").with_custom_field("what", structure(EvaluationReason::Cached));
    check_error(&unknown, EvaluationErrorCode::InvalidContext, "`what`");
}

#[test]
fn private_attributes_are_evaluated_but_not_reported() {
    let rule = json!([{"variation": 1, "clauses": [
        {"contextKind": "user", "attribute": "email", "op": "in", "values": ["u@example.com"]}]}]);
    let (service, provider) = service_and_provider([flag("f").with("rules", rule)]);
    let context = user("u")
        .with_custom_field("email", "u@example.com")
        .with_custom_field("plan", "gold")
        .with_custom_field("privateAttributes", structure(vec!["email".to_owned()]));
    assert!(!run(provider.resolve_bool_value("f", &context)).unwrap().value, "the rule matches");
    assert!(provider.client().flush_and_wait(PATIENCE));
    assert_eq!(
        service.events_of_kind("index")[0]["context"],
        json!({"kind": "user", "key": "u", "plan": "gold", "_meta": {"redactedAttributes": ["email"]}})
    );
}

#[test]
fn structures_of_a_multi_context_are_its_members() {
    let member = StructValue::default()
        .with_field("key", "o")
        .with_field("kind", "ignored")
        .with_field("plan", "gold");
    let context = user("passed over")
        .with_custom_field("kind", "multi")
        .with_custom_field("region", "passed over")
        .with_custom_field("org", structure(member))
        .with_custom_field("user", structure(user("u").with_custom_field("name", "Ann")));
    check(
        &context,
        json!({"kind": "multi", "org": {"key": "o", "plan": "gold"}, "user": {"key": "u", "name": "Ann"}}),
    );
}

#[test]
fn what_no_context_can_be_is_refused_and_named() {
    let invalid = |context: EvaluationContext, part: &str| {
        check_error(&context, EvaluationErrorCode::InvalidContext, part);
    };
    invalid(user("u").with_custom_field("kind", 1), "`kind`");
    invalid(user("u").with_custom_field("kind", "a b"), "the context is not valid");
    invalid(user("u").with_custom_field("kind", "multi"), "at least one kind");
    invalid(user("u").with_custom_field("name", 1), "`name`");
    invalid(user("u").with_custom_field("anonymous", "yes"), "`anonymous`");
    invalid(user("u").with_custom_field("", "x"), "``");
    invalid(user("u").with_custom_field("privateAttributes", "email"), "`privateAttributes`");
    let reference = structure(vec!["//".to_owned()]);
    invalid(user("u").with_custom_field("privateAttributes", reference), "`//`");
    invalid(EvaluationContext::default().with_custom_field("key", 5), "no text");
}
