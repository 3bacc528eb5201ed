//! Values of each type, reasons, metadata and errors.

use std::collections::HashMap;

use flagstaff_sdk::Client;
use flagstaff_testkit::{Answer, FakeService, PATIENCE, all_data, flag};
use open_feature::provider::{FeatureProvider, ResolutionDetails};
use open_feature::{
    EvaluationContext, EvaluationErrorCode, EvaluationReason, FlagMetadataValue, OpenFeature, StructValue,
    Value,
};
use serde_json::json;

use flagstaff_openfeature::FlagstaffProvider;

use crate::support::{config, run, service_and_provider, user};

#[test]
fn each_type_gets_its_values_and_no_others() {
    let values = [
        ("bool", json!(true)),
        ("text", json!("blue")),
        ("whole", json!(7)),
        ("part", json!(-2.9)),
        ("object", json!({"a": 1})),
        ("list", json!([1])),
        ("null", json!(null)),
    ];
    let (_service, provider) =
        service_and_provider(values.iter().map(|(key, value)| flag(key).serving(value.clone())));
    let user = user("u");
    let code = |error: open_feature::EvaluationError| error.code;
    run(async {
        for (key, value) in &values {
            let mismatch = EvaluationErrorCode::TypeMismatch;
            let got =
                provider.resolve_bool_value(key, &user).await.map(|details| details.value).map_err(code);
            assert_eq!(got, value.as_bool().ok_or(mismatch.clone()), "{key}");
            let got =
                provider.resolve_string_value(key, &user).await.map(|details| details.value).map_err(code);
            assert_eq!(got.as_deref(), value.as_str().ok_or(mismatch.clone()).as_deref(), "{key}");
            let got =
                provider.resolve_float_value(key, &user).await.map(|details| details.value).map_err(code);
            assert_eq!(got, value.as_f64().ok_or(mismatch.clone()), "{key}");
            let got = provider.resolve_int_value(key, &user).await.map(|details| details.value).map_err(code);
            assert_eq!(got, value.as_f64().map(|number| number as i64).ok_or(mismatch.clone()), "{key}");
            let got =
                provider.resolve_struct_value(key, &user).await.map(|details| details.value).map_err(code);
            let structure = StructValue::default().with_field("a", 1);
            assert_eq!(got, value.is_object().then_some(structure).ok_or(mismatch), "{key}");
        }
    });
}

#[test]
fn structures_come_whole_but_for_null() {
    let value = json!({"a": {"b": [1, 2.5, "c", true, {"d": []}]}, "none": null, "large": u64::MAX});
    let (_service, provider) =
        service_and_provider([flag("f").serving(value), flag("holed").serving(json!({"a": [null]}))]);
    let inner = StructValue::default().with_field("d", Value::Array(Vec::new()));
    let list = vec![1.into(), 2.5.into(), "c".into(), true.into(), Value::Struct(inner)];
    let outer = StructValue::default().with_field("b", Value::Array(list));
    let expected =
        StructValue::default().with_field("a", Value::Struct(outer)).with_field("large", u64::MAX as f64);
    run(async {
        assert_eq!(provider.resolve_struct_value("f", &user("u")).await.unwrap().value, expected);
        let error = provider.resolve_struct_value("holed", &user("u")).await.unwrap_err();
        assert_eq!(error.code, EvaluationErrorCode::TypeMismatch);
        assert_eq!(
            error.message.as_deref(),
            Some("flag `holed` has a value that is no structure of OpenFeature's")
        );
    });
}

fn metadata(details: &ResolutionDetails<bool>) -> HashMap<String, FlagMetadataValue> {
    details.flag_metadata.clone().expect("there is metadata").values
}

fn expected<const N: usize>(values: [(&str, FlagMetadataValue); N]) -> HashMap<String, FlagMetadataValue> {
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[test]
fn reasons_and_what_else_is_known_are_told() {
    let rule = json!([{"id": "r1", "variation": 1, "clauses": [
        {"contextKind": "user", "attribute": "key", "op": "in", "values": ["u"]}]}]);
    let experiment = json!({"rollout": {"kind": "experiment",
        "variations": [{"variation": 0, "weight": 100_000}]}});
    let (_service, provider) = service_and_provider([
        flag("on"),
        flag("off").off(),
        flag("rule").with("rules", rule),
        flag("target").with("targets", json!([{"variation": 1, "values": ["u"]}])),
        flag("needs").with("prerequisites", json!([{"key": "off", "variation": 0}])),
        flag("experiment").with("fallthrough", experiment),
    ]);
    let resolve = |key: &str, value: bool, reason: EvaluationReason| {
        let details = run(provider.resolve_bool_value(key, &user("u"))).unwrap();
        assert_eq!((details.value, details.reason.clone()), (value, Some(reason)), "{key}");
        let index = i64::from(!value);
        assert_eq!(details.variant, Some(index.to_string()), "{key}");
        let mut metadata = metadata(&details);
        assert_eq!(metadata.remove("variationIndex"), Some(index.into()), "{key}");
        assert_eq!(metadata.remove("contextId"), Some("u".into()), "{key}");
        metadata
    };
    assert_eq!(
        resolve("on", true, EvaluationReason::Default),
        expected([("reasonKind", "FALLTHROUGH".into())])
    );
    assert_eq!(resolve("off", false, EvaluationReason::Disabled), expected([("reasonKind", "OFF".into())]));
    assert_eq!(
        resolve("rule", false, EvaluationReason::TargetingMatch),
        expected([("reasonKind", "RULE_MATCH".into()), ("ruleIndex", 0.into()), ("ruleId", "r1".into())])
    );
    assert_eq!(
        resolve("target", false, EvaluationReason::TargetingMatch),
        expected([("reasonKind", "TARGET_MATCH".into())])
    );
    assert_eq!(
        resolve("needs", false, EvaluationReason::Other("PREREQUISITE_FAILED".to_owned())),
        expected([("reasonKind", "PREREQUISITE_FAILED".into()), ("prerequisiteKey", "off".into())])
    );
    assert_eq!(
        resolve("experiment", true, EvaluationReason::Split),
        expected([("reasonKind", "FALLTHROUGH".into()), ("inExperiment", true.into())])
    );
}

#[test]
fn the_environment_is_named_as_the_flag_set() {
    let service = FakeService::start([]);
    let headers = vec![("X-LD-EnvID", "env-1".to_owned())];
    service.answer_next("/sdk/latest-all", Answer::Status(200, headers, all_data([flag("f")]).to_string()));
    let client = Client::start(config(&service).stream(false)).unwrap();
    assert!(client.wait_until_ready(PATIENCE));
    let provider = FlagstaffProvider::new(client);
    let details = run(provider.resolve_bool_value("f", &user("u"))).unwrap();
    assert_eq!(metadata(&details)["flagSetId"], "env-1".into());
}

#[test]
fn errors_have_openfeatures_codes_and_name_the_flag() {
    let (_service, provider) = service_and_provider([
        flag("text").serving("blue"),
        flag("bad").with("variations", json!([])),
        flag("nothing").off().with("offVariation", json!(null)),
    ]);
    let check = |key: &str, context: &EvaluationContext, code: EvaluationErrorCode, message: &str| {
        let error = run(provider.resolve_bool_value(key, context)).unwrap_err();
        assert_eq!((error.code, error.message.as_deref()), (code, Some(message)), "{key}");
    };
    let general = EvaluationErrorCode::General("GENERAL".to_owned());
    check("nope", &user("u"), EvaluationErrorCode::FlagNotFound, "flag `nope` does not exist: ERROR");
    check("bad", &user("u"), EvaluationErrorCode::ParseError, "flag `bad` contradicts itself: ERROR");
    check(
        "text",
        &user("u"),
        EvaluationErrorCode::TypeMismatch,
        "flag `text` has a value of another type: ERROR",
    );
    check("nothing", &user("u"), general, "flag `nothing` serves no variation: OFF");
    provider.client().close();
    let message = "flag `text` cannot be evaluated yet, or any more: ERROR";
    check("text", &user("u"), EvaluationErrorCode::ProviderNotReady, message);
}

#[test]
fn openfeatures_own_client_gets_values_and_counts_are_reported() {
    let (service, provider) = service_and_provider([flag("f"), flag("text").serving("blue")]);
    let flagstaff = provider.client().clone();
    run(async {
        let mut api = OpenFeature::default();
        api.set_provider(provider).await;
        let client = api.create_client();
        let context = user("u");
        assert_eq!(client.get_bool_value("f", Some(&context), None).await, Ok(true));
        let details = client.get_string_details("text", Some(&context), None).await.unwrap();
        assert_eq!((details.value.as_str(), details.variant.as_deref()), ("blue", Some("0")));
        assert!(client.get_int_value("nope", Some(&context), None).await.is_err());
    });
    assert!(flagstaff.flush_and_wait(PATIENCE));
    assert_eq!((service.counted("f", &json!(true)), service.counted("text", &json!("blue"))), (1, 1));
    let features = &service.events_of_kind("summary")[0]["features"];
    assert_eq!(features["f"]["default"], json!(null), "the provider is not told the default");
    flagstaff.close();
}
