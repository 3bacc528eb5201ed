//! Values, reasons, and what happens when there is no value.

use std::sync::Arc;
use std::time::Duration;

use flagstaff_sdk::{
    AllFlagsOptions, Client, Config, Context, ErrorKind, NoDefault, Reason, ReasonKind, Value,
};
use flagstaff_testkit::{FakeService, FlagBuilder, flag, user};
use serde_json::json;

use crate::support::{Lines, config, flush, service_and_client, started};

#[test]
fn each_type_gets_its_values_and_no_others() {
    let values = [
        ("bool", json!(true)),
        ("text", json!("blue")),
        ("whole", json!(7)),
        ("part", json!(2.9)),
        ("object", json!({"a": [1, null]})),
        ("null", json!(null)),
    ];
    let (_service, client) =
        service_and_client(values.iter().map(|(key, value)| flag(key).serving(value.clone())));
    let user = user("u");
    for (key, value) in &values {
        assert_eq!(client.variation(key, &user, json!("default")), *value, "{key}");
        assert_eq!(client.variation(key, &user, false), value.as_bool().unwrap_or(false), "{key}");
        assert_eq!(client.variation(key, &user, "default"), value.as_str().unwrap_or("default"), "{key}");
        assert_eq!(client.variation(key, &user, -1.5), value.as_f64().unwrap_or(-1.5), "{key}");
        let whole = value.as_f64().map_or(-1, |number| number as i64);
        assert_eq!(client.variation(key, &user, -1), whole, "{key}");
    }
}

#[test]
fn a_value_of_another_type_is_the_default_and_says_so() {
    let lines = Lines::default();
    let service = FakeService::start([flag("text").version(4).serving("blue")]);
    let client = started(config(&service).log_to(Arc::new(lines.clone())));
    for _ in 0..3 {
        let detail = client.variation_detail("text", &user("u"), true);
        assert_eq!((detail.value, detail.variation_index), (true, None));
        assert_eq!(detail.reason.error_kind(), Some(ErrorKind::WrongType));
    }
    assert_eq!(lines.with("another type").len(), 1, "one line, not one for each call");
    flush(&client);
    let summary = &service.events_of_kind("summary")[0];
    assert_eq!(
        summary["features"]["text"],
        json!({"default": true, "contextKinds": ["user"], "counters": [{"version": 4, "value": true, "count": 3}]})
    );
}

#[test]
fn whoever_has_no_default_learns_whether_there_is_a_value_and_reports_none() {
    let (service, client) = service_and_client([flag("text").serving("blue")]);
    let detail = client.variation_detail("text", &user("u"), NoDefault::<String>::new());
    assert_eq!((detail.value.as_str(), detail.is_default()), ("blue", false));
    let detail = client.variation_detail("text", &user("u"), NoDefault::<i64>::new());
    assert!(detail.is_default());
    assert_eq!(detail.reason.error_kind(), Some(ErrorKind::WrongType));
    assert!(client.variation_detail("nope", &user("u"), NoDefault::<Value>::new()).is_default());
    flush(&client);
    let features = &service.events_of_kind("summary")[0]["features"];
    for key in ["text", "nope"] {
        assert!(features[key]["default"].is_null(), "{features}");
    }
}

#[test]
fn details_say_which_variation_and_why() {
    let rule = json!([{"id": "r1", "variation": 1, "clauses": [
        {"contextKind": "user", "attribute": "email", "op": "endsWith", "values": ["@example.com"]}]}]);
    let (_service, client) =
        service_and_client([flag("on"), flag("off").off(), flag("rules").with("rules", rule)]);
    let context = Context::builder("u").set("email", "u@example.com").build().unwrap();
    let check = |key: &str, value: bool, index: usize, kind: ReasonKind<'static>| {
        let detail = client.variation_detail(key, &context, !value);
        assert_eq!(
            (detail.value, detail.variation_index, detail.is_default()),
            (value, Some(index), false),
            "{key}"
        );
        assert_eq!(detail.reason, Reason::from(kind), "{key}");
    };
    check("on", true, 0, ReasonKind::Fallthrough);
    check("off", false, 1, ReasonKind::Off);
    check("rules", false, 1, ReasonKind::RuleMatch { index: 0, id: "r1".into() });
}

#[test]
fn an_off_flag_without_off_variation_keeps_its_reason_and_gives_the_default() {
    let (_service, client) = service_and_client([flag("f").off().with("offVariation", Value::Null)]);
    let detail = client.variation_detail("f", &user("u"), "default");
    assert_eq!((detail.value.as_str(), detail.variation_index), ("default", None));
    assert_eq!(detail.reason, Reason::from(ReasonKind::Off));
}

/// What a client answers that cannot answer.
fn check_default(client: &Client, key: &str, kind: ErrorKind) {
    let detail = client.variation_detail(key, &user("u"), 42);
    assert_eq!((detail.value, detail.variation_index), (42_i64, None));
    assert_eq!(detail.reason, Reason::from(kind));
    assert_eq!(client.variation(key, &user("u"), "default"), "default");
}

#[test]
fn whoever_cannot_answer_gives_the_default_a_reason_and_one_line() {
    let lines = Lines::default();
    let service = FakeService::start([flag("f"), flag("bad").with("variations", json!([]))]);
    let nowhere = Config::new("sdk-key").base_uri("http://127.0.0.1:9").log_to(Arc::new(lines.clone()));
    let unconnected = Client::start(nowhere).unwrap();
    check_default(&unconnected, "f", ErrorKind::ClientNotReady);
    assert_eq!(lines.with("before any have come").len(), 1, "{}", lines.text());

    let client = started(config(&service).log_to(Arc::new(lines.clone())));
    check_default(&client, "nope", ErrorKind::FlagNotFound);
    check_default(&client, "", ErrorKind::FlagNotFound);
    check_default(&client, "bad", ErrorKind::MalformedFlag);
    assert_eq!(lines.with("`nope`").len(), 1, "{}", lines.text());
    assert_eq!(lines.with("`bad` contradicts itself").len(), 1, "{}", lines.text());

    client.close();
    check_default(&client, "f", ErrorKind::ClientNotReady);
    assert_eq!(lines.with("the client is closed").len(), 1, "{}", lines.text());
}

#[test]
fn an_offline_client_serves_defaults_and_connects_to_nothing() {
    let service = FakeService::start([flag("f")]);
    let client = Client::start(Config::new("").base_uri(service.url()).offline(true)).unwrap();
    assert!(!client.wait_until_ready(Duration::from_secs(60)), "there is nothing to wait for");
    check_default(&client, "f", ErrorKind::ClientNotReady);
    client.track("bought", &user("u"), Value::Null, None);
    client.identify(&user("u"));
    assert!(!client.all_flags_state(&user("u"), AllFlagsOptions::default()).is_valid());
    client.flush();
    client.close();
    assert!(service.requests("/all").is_empty() && service.requests("/bulk").is_empty());
}

#[test]
fn a_closed_client_may_be_told_to_go_on_answering() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).answer_when_closed(true));
    client.close();
    assert!(client.variation("f", &user("u"), false));
    assert!(service.events().is_empty(), "what happens after the end is not reported");
}

#[test]
fn a_result_can_be_read_in_place() {
    let (_service, client) = service_and_client([flag("f").serving(json!({"colour": "blue"}))]);
    let user = user("u");
    let colour = client.evaluate_with("f", &user, &Value::Null, false, |detail| {
        // The closure may call the client.
        assert!(client.variation("nope", &user, true));
        detail.value.and_then(|value| value["colour"].as_str()).map(str::len)
    });
    assert_eq!(colour, Some(4));
}

#[test]
fn the_state_of_all_flags_reports_nothing() {
    let (service, client) = service_and_client([flag("a").tracked(), flag("b").serving(3)]);
    let options = AllFlagsOptions { with_reasons: true, ..AllFlagsOptions::default() };
    let state = client.all_flags_state(&user("u"), options);
    assert_eq!(
        serde_json::to_value(&state).unwrap(),
        json!({"a": true, "b": 3, "$valid": true, "$flagsState": {
            "a": {"variation": 0, "version": 1, "trackEvents": true, "reason": {"kind": "FALLTHROUGH"}},
            "b": {"variation": 0, "version": 1, "reason": {"kind": "FALLTHROUGH"}}}})
    );
    client.close();
    assert!(service.events().is_empty());
}

#[test]
fn secure_mode_hashes_are_those_of_the_protocol() {
    let client = |key: &str| Client::start(Config::new(key).offline(true)).unwrap();
    let hash = |key: &str, context: &Context| client(key).secure_mode_hash(context);
    assert_eq!(
        hash("sdk-01234567-89ab-cdef-0123-456789abcdef", &user("user-key-123")),
        "73df666a13f2c474e50aa34ca5a761e89abb737fb139ff65fdde7fa85c9dcacd"
    );
    let other = Context::builder("user-key-123").kind("other").build().unwrap();
    assert_eq!(
        hash("sdk-01234567-89ab-cdef-0123-456789abcdef", &other),
        "98a933ca26d2951547fc021981ebcdeda95fbca2ac3f767ae67f7042d5458f72"
    );
    assert_eq!(
        hash("secret", &user("Message")),
        "aa747c502a898200f9e4fa21bac68136f886a0e27aec70ba06daf2e2a5cb5597"
    );
}

#[test]
fn thousands_of_flags_arrive_whole() {
    let flags: Vec<FlagBuilder> =
        (0..5_000).map(|index| flag(&format!("flag-{index}")).serving(json!({"index": index}))).collect();
    let (_service, client) = service_and_client(flags);
    for index in [0, 1, 2_500, 4_999] {
        assert_eq!(
            client.variation(&format!("flag-{index}"), &user("u"), Value::Null),
            json!({"index": index})
        );
    }
    assert_eq!(client.data_set().flags().count(), 5_000);
}
