//! R18: a message whose JSON is wrong, or of the wrong shape, restarts the stream, and a poll that is
//! so is asked again; the flags of before stay, whole. R27: nor does JSON that is made to exhaust its
//! reader do more than that.

use std::time::{Duration, Instant};

use flagstaff_sdk::{DataSourceErrorKind, Value};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, flag, user};
use serde_json::json;

use super::{last_error, value, wait_for_value};
use crate::support::{config, service_and_client, started};

/// Sends a message to a client, which drops it and the connection.
fn refused(event: &str, data: &str) {
    let (service, client) =
        service_and_client([flag("f").serving("old"), flag("g").version(2).serving("old")]);
    // The next stream says nothing, so what is there is what was there.
    service.answer_next("/all", Answer::Stream(Vec::new()));
    service.send(format!("event: {event}\ndata: {data}\n\n").as_bytes());
    service.wait_for_requests("/all", 2);
    assert_eq!([value(&client, "f"), value(&client, "g")], ["old", "old"], "{event} {data:.200}");
    assert_eq!(last_error(&client), Some(DataSourceErrorKind::InvalidData), "{event} {data:.200}");
}

/// Sends a message to a client, which goes on reading.
fn taken(event: &str, data: &str) {
    taken_within(PATIENCE, event, data);
}

fn taken_within(patience: Duration, event: &str, data: &str) {
    let (service, client) = service_and_client([flag("f").serving("old")]);
    service.send(format!("event: {event}\ndata: {data}\n\n").as_bytes());
    service.patch(flag("f").version(9).serving("new"));
    let begun = Instant::now();
    while value(&client, "f") != "new" {
        assert!(begun.elapsed() < patience, "not in {patience:?}: {event} {data:.200}");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(service.requests("/all").len(), 1, "{event} {data:.200}");
}

fn as_flag(properties: &str) -> String {
    format!("{{\"path\":\"/flags/f\",\"data\":{{\"version\":5,{properties}}}}}")
}

#[test]
fn messages_that_are_no_json_are_dropped() {
    for event in ["put", "patch", "delete"] {
        for data in
            ["", "{", "}", "nul", "{\"path\":\"/flags/f\"", "[1,]", "{} {}", "\u{1}", "{\"a\":01}", "<html>"]
        {
            refused(event, data);
        }
    }
}

#[test]
fn messages_of_the_wrong_shape_are_dropped() {
    for (event, data) in [
        ("put", "null"),
        ("put", "[]"),
        ("put", "{\"path\":\"/\"}"),
        ("put", "{\"data\":[]}"),
        ("put", "{\"data\":{\"flags\":\"f\"}}"),
        ("put", "{\"data\":{\"flags\":{\"f\":null}}}"),
        ("put", "{\"data\":{\"flags\":{\"f\":[]}}}"),
        ("put", "{\"data\":{\"flags\":{\"a\":{\"version\":1},\"f\":{\"version\":\"2\"}}}}"),
        ("put", "{\"data\":{\"flags\":{},\"segments\":{\"s\":{\"version\":1,\"included\":[1]}}}}"),
        ("patch", "\"/flags/f\""),
        ("patch", "[\"/flags/f\",{\"version\":5}]"),
        ("patch", "{\"path\":7,\"data\":{}}"),
        ("patch", "{\"path\":\"/flags/f\"}"),
        ("patch", "{\"path\":\"/flags/f\",\"data\":null}"),
        ("patch", "{\"path\":\"/flags/f\",\"data\":[]}"),
        ("patch", "{\"path\":\"/segments/s\",\"data\":{\"version\":1,\"rules\":{}}}"),
        ("delete", "{\"path\":\"/flags/f\"}"),
        ("delete", "{\"path\":\"/flags/f\",\"version\":\"7\"}"),
        ("delete", "{\"path\":\"/flags/f\",\"version\":-7}"),
        ("delete", "{\"path\":\"/flags/f\",\"version\":null}"),
        ("delete", "[\"/flags/f\",7]"),
    ] {
        refused(event, data);
    }
    for properties in [
        "\"on\":\"yes\"",
        "\"on\":1",
        "\"version\":1.5",
        "\"rules\":{}",
        "\"rules\":[[]]",
        "\"rules\":[{\"clauses\":[{\"values\":\"x\"}]}]",
        "\"rules\":[{\"clauses\":[{\"negate\":0}]}]",
        "\"targets\":[{\"values\":[1]}]",
        "\"targets\":[7]",
        "\"prerequisites\":[\"g\"]",
        "\"fallthrough\":0",
        "\"fallthrough\":{\"variation\":\"0\"}",
        "\"fallthrough\":{\"rollout\":{\"variations\":[{\"weight\":{}}]}}",
        "\"variations\":true",
        "\"offVariation\":false",
        "\"salt\":5",
        "\"debugEventsUntilDate\":\"soon\"",
        "\"clientSideAvailability\":[]",
    ] {
        refused("patch", &as_flag(properties));
    }
}

#[test]
fn a_poll_of_wrong_json_keeps_the_flags() {
    for body in
        ["", "{", "null", "[]", "{\"flags\":[]}", "{\"flags\":{\"f\":{\"on\":1}}}", "<html></html>", "{} x"]
    {
        let service = FakeService::start([flag("f").serving("old")]);
        let poll = Duration::from_millis(5);
        let client = started(config(&service).stream(false).allow_any_poll_interval().poll_interval(poll));
        service.answer_always("/sdk/latest-all", Answer::Status(200, Vec::new(), body.to_owned()));
        let before = service.requests("/sdk/latest-all").len();
        service.wait_for_requests("/sdk/latest-all", before + 3);
        assert_eq!(value(&client, "f"), "old", "{body:?}");
        assert_eq!(last_error(&client), Some(DataSourceErrorKind::InvalidData), "{body:?}");
        service.answer_as_usual("/sdk/latest-all");
        service.set_flags([flag("f").version(2).serving("new")], None);
        wait_for_value(&client, "f", "new");
    }
}

fn nested(open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(10_000), close.repeat(10_000))
}

/// R27.
#[test]
fn json_that_is_nested_deep_is_dropped_or_passed_over() {
    for deep in [nested("[", "]"), nested("{\"a\":", "}")] {
        refused("patch", &as_flag(&format!("\"variations\":[{deep}]")));
        refused("patch", &as_flag(&format!("\"rules\":[{{\"clauses\":[{{\"values\":[{deep}]}}]}}]")));
        refused(
            "put",
            &format!("{{\"data\":{{\"flags\":{{\"f\":{{\"version\":3,\"variations\":[{deep}]}}}}}}}}"),
        );
        refused("put", &deep);
        // Properties that nobody knows are not descended into.
        taken("patch", &as_flag(&format!("\"unknown\":{deep}")));
        taken("new-thing", &deep);
    }
    refused("put", &"[".repeat(1_000_000));
    refused("patch", &"{\"path\":".repeat(1_000_000));
}

/// R27.
#[test]
fn numbers_names_and_texts_at_their_limits_are_dropped_or_taken() {
    for variation in ["1e400", "-1e999999999", "\"\\ud800\"", "\"\\udc00\\ud800\"", "0x10", "+1", ".5", "1."]
    {
        refused("patch", &as_flag(&format!("\"variations\":[{variation}]")));
    }
    for variation in
        ["1e308", "5e-324", "1e-400", "18446744073709551616", "123456789012345678901234567890", "\"\\u0000\""]
    {
        taken("patch", &as_flag(&format!("\"variations\":[{variation}]")));
    }
    refused("patch", &as_flag("\"on\":true,\"on\":false"));
    taken("put", "{\"data\":{\"flags\":{\"f\":{\"version\":1},\"f\":{\"version\":2}}}}");
    taken("patch", &as_flag("\"unknown\":1,\"unknown\":2"));
    taken("patch", "{\"path\":\"/flags/\",\"data\":{\"version\":1}}");
}

/// R27. As many flags as names, and names as attributes of one context.
#[test]
fn objects_of_very_many_names_are_taken_in_time_that_grows_with_their_size() {
    // Were it to grow with the square of the size, hours would not do.
    let patience = 10 * PATIENCE;
    let many: String = (0..100_000).map(|i| format!("\"k{i}\":{{\"version\":1}},")).collect();
    taken_within(patience, "put", &format!("{{\"data\":{{\"flags\":{{{many}\"f\":{{\"version\":1}}}}}}}}"));
    let unknown: String = (0..1_000_000).map(|i| format!("\"k{i}\":0,")).collect();
    taken_within(patience, "patch", &as_flag(&format!("{unknown}\"on\":true")));
    let values: String = (0..1_000_000).map(|i| format!("\"k{i}\",")).collect();
    taken_within(
        patience,
        "patch",
        &as_flag(&format!("\"targets\":[{{\"values\":[{values}\"u\"],\"variation\":0}}]")),
    );
}

/// R27. A context of a stranger's making goes through evaluation and events like any other.
#[test]
fn a_context_with_very_many_attributes_is_evaluated_and_reported() {
    let (service, client) = service_and_client([flag("f")]);
    let attributes: serde_json::Map<String, Value> =
        (0..100_000).map(|i| (format!("a{i}"), json!(i))).collect();
    let private: Vec<String> = (0..100_000).step_by(2).map(|i| format!("a{i}")).collect();
    let mut context = json!({"kind": "user", "key": "many", "_meta": {"privateAttributes": private}});
    context.as_object_mut().unwrap().extend(attributes);
    let context: flagstaff_sdk::Context = context.to_string().parse().unwrap();
    let start = Instant::now();
    assert!(client.variation("f", &context, false));
    client.identify(&user("other"));
    crate::support::flush(&client);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let index = service.events_of_kind("index").into_iter().find(|event| event["context"]["key"] == "many");
    let reported = index.expect("the context was reported");
    assert_eq!(reported["context"]["_meta"]["redactedAttributes"].as_array().map(Vec::len), Some(50_000));
    assert_eq!(reported["context"].get("a2"), None);
    assert_eq!(reported["context"]["a3"], 3);
}
