"""What is reported, as the service sees it."""

import re

import pytest
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient
from ldclient.version import VERSION

USER = {"key": "u", "email": "u@example.com", "custom": {"plan": "gold"}}


def test_requests_say_who_sends_them(service, make_client):
    client = make_client(
        wrapper_name="wrap", wrapper_version="2", application={"id": "shop", "version": "1.0"}, payload_filter_key="part"
    )
    client.identify(USER)
    client.close()
    stream, events = service.received("GET", "/all")[0], service.received("POST", "/bulk")[0]
    for request in (stream, events):
        headers = request["headers"]
        assert headers["authorization"] == "sdk-test"
        assert headers["user-agent"] == "PythonClient/" + VERSION
        assert headers["x-launchdarkly-wrapper"] == "wrap/2"
        assert headers["x-launchdarkly-tags"] == "application-id/shop application-version/1.0"
        assert re.fullmatch("[0-9a-f-]{36}", headers["x-launchdarkly-instance-id"])
    assert stream["path"] == "/all?filter=part"
    assert events["headers"]["x-launchdarkly-event-schema"] == "4"
    assert re.fullmatch("[0-9a-f-]{36}", events["headers"]["x-launchdarkly-payload-id"])
    assert events["headers"]["content-type"] == "application/json"


def test_evaluations_are_counted_and_users_reported_once(service, client):
    for _ in range(5):
        client.variation("bool", USER, False)
    client.variation("bool", Context.create("other", "org"), False)
    client.variation("no-such-flag", USER, "d")
    client.close()
    index = service.wait_for_events(2, kind="index")
    assert [event["context"] for event in index] == [
        {"kind": "user", "key": "u", "email": "u@example.com", "plan": "gold"},
        {"kind": "org", "key": "other"},
    ]
    (summary,) = service.wait_for_events(kind="summary")
    assert summary["features"]["bool"]["default"] is False
    assert sorted(summary["features"]["bool"]["contextKinds"]) == ["org", "user"]
    assert summary["features"]["bool"]["counters"] == [{"variation": 0, "version": 7, "value": True, "count": 6}]
    assert summary["features"]["no-such-flag"]["counters"] == [{"unknown": True, "value": "d", "count": 1}]
    assert not [event for event in service.events() if event["kind"] == "feature"]


def test_what_users_without_a_key_get_is_counted(service, client):
    for user in (None, {"name": "nobody"}, {"key": None}):
        client.variation("bool", user, "d")
        client.variation("no-such-flag", user, "d")
    client.variation("bool", Context.create(""), "d")
    client.close()
    (summary,) = service.wait_for_events(kind="summary")
    assert summary["features"]["bool"] == {
        "default": "d", "contextKinds": ["user"], "counters": [{"version": 7, "value": "d", "count": 3}]
    }
    assert summary["features"]["no-such-flag"]["counters"] == [{"unknown": True, "value": "d", "count": 3}]
    assert [event["kind"] for event in service.events()] == ["summary"]


def test_tracked_flags_are_reported_in_full(service, client):
    client.variation("tracked", USER, "d")
    client.variation_detail("tracked", USER, {"a": [1]})
    client.close()
    plain, detailed = service.wait_for_events(2, kind="feature")
    assert (plain["key"], plain["value"], plain["variation"], plain["version"], plain["default"]) == ("tracked", "x", 0, 3, "d")
    assert "reason" not in plain
    assert detailed["reason"] == {"kind": "FALLTHROUGH"}
    assert detailed["default"] == {"a": [1]}


def test_custom_events_carry_data_and_metric(service, client):
    client.track("plain", USER)
    client.track("full", Context.create("c"), {"price": 320, "tags": ("a", None)}, 2.5)
    client.track("named", user=USER, data=0, metric_value=3)
    client.close()
    plain, full, named = service.wait_for_events(3, kind="custom")
    assert "data" not in plain and "metricValue" not in plain
    assert (full["data"], full["metricValue"]) == ({"price": 320, "tags": ["a", None]}, 2.5)
    assert (named["data"], named["metricValue"]) == (0, 3)


def test_a_metric_that_is_no_number_is_left_out_and_named(service, client, caplog):
    client.track("odd", USER, None, "many")
    client.close()
    assert "metricValue" not in service.wait_for_events(kind="custom")[0]
    assert "track() was given a metric_value that is no finite number, but a str; it is left out" in caplog.messages


def test_built_in_attributes_of_users_are_reported_as_text(service, client):
    client.identify({"key": 5, "name": 6, "secondary": 7, "ip": None, "unknown": "x", "custom": {"n": 8, "none": None}})
    client.close()
    context = service.wait_for_events(kind="identify")[0]["context"]
    assert (context["key"], context["name"], context["n"]) == ("5", "6", 8)
    assert "ip" not in context and "unknown" not in context and "none" not in context


@pytest.mark.parametrize(
    "settings, redacted",
    [
        ({"private_attribute_names": ["email"]}, ["email"]),
        ({"private_attributes": {"plan"}, "all_attribute_names": ["email"]}, ["email", "plan"]),
        ({"all_attributes_private": True}, ["email", "plan"]),
    ],
)
def test_private_attributes_stay_here(service, make_client, settings, redacted):
    client = make_client(**settings)
    client.variation("bool", USER, False)
    client.identify(Context.builder("u").set("email", "u@example.com").set("plan", "gold").build())
    client.close()
    for event in service.wait_for_events(kind="index") + service.wait_for_events(kind="identify"):
        assert sorted(event["context"]["_meta"]["redactedAttributes"]) == redacted
        assert not set(redacted) & set(event["context"])


def test_anonymous_contexts_can_be_left_out(service, make_client):
    client = make_client(omit_anonymous_contexts=True)
    client.variation("bool", {"key": "nameless", "anonymous": True}, False)
    client.identify(Context.builder("nameless").anonymous(True).build())
    client.identify(USER)
    client.close()
    service.wait_for_events(kind="identify")
    kinds = [(event["kind"], event["context"]["key"]) for event in service.events() if "context" in event]
    assert kinds == [("identify", "u")]


def test_events_can_be_compressed(service, make_client):
    client = make_client(enable_event_compression=True)
    client.identify(USER)
    client.close()
    service.wait_for_events(kind="identify")
    assert service.received("POST", "/bulk")[0]["headers"]["content-encoding"] == "gzip"


def test_flush_sends_now_without_waiting(service, make_client):
    client = make_client(flush_interval=600)
    client.identify(USER)
    client.flush()
    service.wait_for_events(kind="identify")


def test_the_flush_interval_is_kept(service, make_client):
    make_client(flush_interval=0.05).identify(USER)
    service.wait_for_events(kind="identify")


def test_no_events_if_none_are_wanted(service, make_client):
    client = make_client(send_events=False)
    client.variation("bool", USER, False)
    client.track("event", USER)
    client.identify(USER)
    client.close()
    assert service.received("POST", "/bulk") == []


def test_all_flags_report_nothing(service, client):
    client.all_flags_state(USER)
    client.close()
    assert service.received("POST", "/bulk") == []


def test_bad_users_are_not_tracked_but_warned_of(service, client, caplog):
    client.track("event", None)
    client.track("event", {"name": "nobody"})
    client.track("event", Context.create(""))
    client.identify(None)
    client.identify({"key": ""})
    client.identify(Context.create("a", "kind"))
    client.close()
    assert service.received("POST", "/bulk") == []
    # Each once, however often it happens.
    assert caplog.messages == [
        "Missing user or user key when calling track().",
        "Invalid context for track (context key must not be None or empty)",
        "Missing user or user key when calling identify().",
        'Invalid context for identify ("kind" is not a valid context kind)',
    ]


def test_more_events_than_fit_are_warned_of_once(service, make_client, caplog):
    client = make_client(events_max_pending=2, flush_interval=600)
    for number in range(10):
        client.track("event", {"key": "u%d" % number})
    said = "Exceeded event queue capacity. Increase capacity to avoid dropping events."
    assert caplog.messages.count(said) == 1


def test_the_client_reports_on_itself(service):
    config = Config("sdk-test-key", wrapper_name="wrap", stream_uri=service.url, base_uri=service.url, events_uri=service.url)
    LDClient(config=config, start_wait=TIMEOUT).close()
    service.wait_for(lambda: service.received("POST", "/diagnostic"))
    report = service.received("POST", "/diagnostic")[0]["json"]
    assert report["kind"] == "diagnostic-init"
    assert report["id"]["sdkKeySuffix"] == "st-key"
    assert report["sdk"]["name"] == "python-server-sdk" and report["sdk"]["version"] == VERSION
    assert report["sdk"]["wrapperName"] == "wrap"
    assert report["platform"]["name"] == "python" and report["platform"]["pythonVersion"]
    assert report["configuration"]["eventsCapacity"] == 10000
    assert report["configuration"]["startWaitMillis"] == TIMEOUT * 1000
