"""Event processors of the program's own: what they are told of, and what becomes of their failures."""

import json
import os
import threading
import time

import pytest
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient
from ldclient.interfaces import DataSourceState, EventProcessor

USER = {"key": "u", "custom": {"plan": "gold"}}
CONTEXT = Context.builder("c").kind("org").set("plan", "gold").build()

PARENT = {
    "version": 5, "on": True, "variations": ["yes", "no"], "offVariation": 1, "fallthrough": {"variation": 0},
    "prerequisites": [{"key": "bool", "variation": 0}],
}
GRANDPARENT = dict(PARENT, version=6, prerequisites=[{"key": "parent", "variation": 0}])
EXPERIMENT = {
    "version": 8, "on": True, "variations": ["x"], "fallthrough": {"variation": 0}, "trackEventsFallthrough": True,
    "samplingRatio": 3, "excludeFromSummaries": True,
}
DEBUGGED = {"version": 9, "on": False, "variations": ["x"], "debugEventsUntilDate": 4102444800000}


class Recorder(EventProcessor):
    """Keeps everything."""

    def __init__(self, config):
        self.config = config
        self.calls = []

    @property
    def events(self):
        return [event for name, event in self.calls if name == "send_event"]

    def send_event(self, event):
        self.calls.append(("send_event", event))

    def flush(self):
        self.calls.append(("flush", None))

    def stop(self):
        self.calls.append(("stop", None))


@pytest.fixture
def recorded(service, make_client):
    """A client, and its event processor."""
    service.flags.update(
        {
            key: dict(flag, key=key)
            for key, flag in {
                "parent": PARENT, "grandparent": GRANDPARENT, "experiment": EXPERIMENT, "debugged": DEBUGGED,
            }.items()
        }
    )
    made = []

    def make(**settings):
        client = make_client(event_processor_class=lambda config: made.append(Recorder(config)) or made[-1], **settings)
        return client, made[-1]

    return make


def test_each_evaluation_is_told_by_the_names_of_both_eras(recorded, service):
    client, processor = recorded()
    before = int(time.time() * 1000)
    assert client.variation("bool", USER, False) is True
    assert client.variation("bool", USER, False) is True
    assert len(processor.events) == 2
    event = processor.events[0]
    assert event == {
        "kind": "feature", "key": "bool", "user": USER, "value": True, "variation": 0, "default": False, "version": 7,
    }
    assert event["user"] is USER
    assert event.context == Context.builder("u").set("plan", "gold").build()
    assert (event.key, event.value, event.variation, event.default_value) == ("bool", True, 0, False)
    assert (event.reason, event.prereq_of, event.track_events) == (None, None, False)
    assert (event.sampling_ratio, event.exclude_from_summaries) == (1, False)
    assert (event.flag.version, event.flag["version"], event.flag.key) == (7, 7, "bool")
    assert before <= event.timestamp <= int(time.time() * 1000)
    client.close()
    assert service.received("POST", "/bulk") == []


def test_a_context_is_told_as_it_was_given(recorded):
    client, processor = recorded()
    client.variation("bool", CONTEXT, False)
    (event,) = processor.events
    assert event.context is CONTEXT and event["user"] is CONTEXT
    assert event["user"]["key"] == "c"


def test_a_context_in_its_json_form_is_told_as_both(recorded):
    client, processor = recorded()
    given = {"kind": "org", "key": "c", "plan": "gold"}
    client.variation("bool", given, False)
    (event,) = processor.events
    assert event["user"] is given and event.context == CONTEXT


def test_prerequisites_are_told_before_what_asked_for_them(recorded):
    client, processor = recorded()
    assert client.variation("grandparent", USER, "d") == "yes"
    assert [(event["key"], event.get("prereqOf"), event["value"]) for event in processor.events] == [
        ("bool", "parent", True),
        ("parent", "grandparent", "yes"),
        ("grandparent", None, "yes"),
    ]
    prerequisite = processor.events[0]
    assert prerequisite.prereq_of == "parent"
    assert prerequisite["default"] is None and prerequisite["version"] == 7
    assert "prereqOf" not in processor.events[2]


def test_reasons_are_told_if_they_were_asked_for_and_of_experiments(recorded):
    client, processor = recorded()
    client.variation("parent", USER, "d")
    client.variation_detail("parent", USER, "d")
    client.variation("experiment", USER, "d")
    plain = processor.events[:2]
    assert all("reason" not in event and event.reason is None for event in plain)
    detailed = processor.events[2:4]
    assert all(event["reason"] == event.reason == {"kind": "FALLTHROUGH"} for event in detailed)
    experiment = processor.events[4]
    assert experiment["reason"] == {"kind": "FALLTHROUGH"}
    assert experiment["trackEvents"] is True and experiment.track_events is True
    assert (experiment.sampling_ratio, experiment.exclude_from_summaries) == (3, True)


def test_tracked_and_debugged_flags_are_told_as_such(recorded):
    client, processor = recorded()
    client.variation("tracked", USER, "d")
    client.variation("debugged", USER, "d")
    client.variation("bool", USER, "d")
    tracked, debugged, plain = processor.events
    assert tracked["trackEvents"] is True and tracked.track_events is True
    assert debugged["debugEventsUntilDate"] == debugged.flag.debug_events_until_date == 4102444800000
    assert (debugged["value"], debugged["variation"], debugged["version"]) == ("d", None, 9)
    assert "trackEvents" not in plain and "debugEventsUntilDate" not in plain


def test_defaults_are_told_as_the_very_object(recorded):
    default = object()
    client, processor = recorded(defaults={"no-such-flag": default})
    assert client.variation("no-such-flag", USER, None) is default
    (event,) = processor.events
    assert event["default"] is default and event["value"] is default and event.default_value is default


@pytest.mark.parametrize(
    "key, user, error, version",
    [
        ("no-such-flag", USER, "FLAG_NOT_FOUND", None),
        ("no-such-flag", CONTEXT, "FLAG_NOT_FOUND", None),
        ("broken", USER, "MALFORMED_FLAG", 2),
        ("bool", None, "USER_NOT_SPECIFIED", 7),
        ("bool", {"name": "nobody"}, "USER_NOT_SPECIFIED", 7),
        ("no-such-flag", None, "FLAG_NOT_FOUND", None),
        (5, USER, "FLAG_NOT_FOUND", None),
    ],
)
def test_what_cannot_be_evaluated_is_told(recorded, key, user, error, version):
    client, processor = recorded()
    client.variation_detail(key, user, "d")
    (event,) = processor.events
    assert event == {
        "kind": "feature", "key": key, "user": user, "value": "d", "variation": None, "default": "d",
        "version": version, "reason": {"kind": "ERROR", "errorKind": error},
    }
    if user is not USER and user is not CONTEXT:
        assert event.context is None
    assert (event.flag is None) == (version is None)


@pytest.mark.parametrize("context", [Context.create(""), "text", 5])
def test_what_is_no_context_is_not_told(recorded, context):
    client, processor = recorded()
    assert client.variation("bool", context, "d") == "d"
    client.identify(context)
    client.track("event", context)
    assert processor.calls == []


@pytest.mark.parametrize("user", [USER, CONTEXT, None, Context.create("")])
def test_evaluations_before_the_first_flags_are_told(service, recorded, user):
    service.status = 503
    client, processor = recorded(start_wait=0)
    assert client.variation("bool", user, "d") == "d"
    (event,) = processor.events
    assert (event["key"], event["value"], event["version"], event.flag) == ("bool", "d", None, None)


def test_identify_and_track_are_told(recorded):
    client, processor = recorded()
    data = {"price": object()}
    client.identify(USER)
    client.identify(CONTEXT)
    client.track("bought", USER, data, 2.5)
    client.track("plain", CONTEXT)
    user, context, bought, plain = processor.events
    assert user == {"kind": "identify", "key": "u", "user": USER}
    assert user.context.key == "u" and user.timestamp
    assert context["key"] == "org:c" and context.context is CONTEXT
    assert bought == {"kind": "custom", "key": "bought", "user": USER, "data": data, "metricValue": 2.5}
    assert bought.data is data and bought.metric_value == 2.5 and bought.key == "bought"
    assert plain == {"kind": "custom", "key": "plain", "user": CONTEXT}
    assert plain.data is None and plain.metric_value is None and plain.timestamp


def test_events_of_dictionary_users_have_a_json_form(recorded):
    client, processor = recorded()
    client.variation_detail("experiment", USER, "d")
    assert json.loads(json.dumps(processor.events[0]))["reason"] == {"kind": "FALLTHROUGH"}


def test_all_flags_are_not_told(recorded):
    client, processor = recorded()
    assert client.all_flags_state(USER).valid
    assert processor.calls == []


def test_the_event_processor_is_called_on_the_callers_thread(recorded):
    client, processor = recorded()
    threads = []
    processor.send_event = lambda event: threads.append(threading.current_thread())
    client.variation("bool", USER, False)
    assert threads == [threading.current_thread()]


def test_flush_and_close_are_passed_on_and_nothing_comes_afterwards(recorded):
    client, processor = recorded()
    client.flush()
    client.close()
    client.close()
    assert client.variation("bool", USER, False) is True
    client.flush()
    client.identify(USER)
    assert [name for name, _ in processor.calls] == ["flush", "stop"]


@pytest.mark.parametrize("settings", [{"offline": True}, {"offline": 1}, {"send_events": False}])
def test_no_event_processor_is_made_if_nobody_wants_events(service, settings):
    made = []
    config = Config("sdk-test", event_processor_class=made.append, **service.uris(), **settings)
    with LDClient(config=config, start_wait=TIMEOUT) as client:
        client.variation("bool", USER, False)
        client.identify(USER)
        client.flush()
    assert made == []


def test_what_an_event_processor_raises_harms_nobody_and_is_told_once(recorded, caplog):
    client, processor = recorded()

    def fail(event):
        raise ValueError("full")

    processor.send_event = fail
    for _ in range(3):
        assert client.variation("parent", USER, "d") == "yes"
    client.track("event", USER)
    said = [record for record in caplog.records if "Unhandled exception in event processor" in record.getMessage()]
    assert len(said) == 1 and said[0].levelname == "WARNING" and "full" in str(said[0].exc_info[1])
    processor.send_event = lambda event: None
    client.identify(USER)
    processor.flush = processor.stop = lambda: fail(None)
    client.flush()
    client.close()
    assert sum("Unhandled exception in event processor" in one for one in caplog.messages) == 2


def test_what_is_meant_for_the_program_reaches_it(recorded):
    client, processor = recorded()

    def interrupt(event):
        raise KeyboardInterrupt

    processor.send_event = interrupt
    with pytest.raises(KeyboardInterrupt):
        client.variation("bool", USER, False)
    with pytest.raises(KeyboardInterrupt):
        client.identify(USER)
    processor.send_event = lambda event: None
    assert client.variation("bool", USER, False) is True
    processor.stop = lambda: interrupt(None)
    with pytest.raises(KeyboardInterrupt):
        client.close()
    assert client.data_source_status_provider.status.state == DataSourceState.OFF


def test_an_event_processor_that_cannot_be_made_costs_the_events_only(service, make_client, caplog):
    def fail(config):
        raise ValueError("no")

    client = make_client(event_processor_class=fail)
    assert client.variation("bool", USER, False) is True
    client.close()
    assert "The event processor could not be made; events are dropped" in caplog.messages
    assert service.received("POST", "/bulk") == []


def test_a_stand_in_with_a_part_of_the_methods_will_do(make_client, caplog):
    client = make_client(event_processor_class=lambda config: object())
    assert client.variation("bool", USER, False) is True
    client.identify(USER)
    client.flush()
    client.close()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_an_event_processor_may_use_the_client(recorded):
    client, processor = recorded()
    answers = []

    def ask(event):
        if event["key"] == "bool":
            answers.append(client.variation("tracked", USER, "d"))

    processor.send_event = ask
    assert client.variation("bool", USER, False) is True
    assert answers == ["x"]


def test_a_forked_process_has_an_event_processor_of_its_own(recorded):
    client, processor = recorded()
    client.variation("bool", USER, False)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.variation("tracked", USER, "d")
            os.write(write, str(len(processor.calls)).encode())
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 10) == b"1", "the parent's event processor was used in the child"
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    client.variation("bool", USER, False)
    assert len(processor.calls) == 2


def test_events_are_uploaded_in_batches_of_the_size_that_was_asked_for(service, make_client):
    client = make_client(events_upload_max_batch_size=3, flush_interval=600)
    for number in range(7):
        client.identify({"key": "u%d" % number})
    client.close()
    service.wait_for(lambda: len(service.events()) == 7)
    assert [len(batch["json"]) for batch in service.received("POST", "/bulk")] == [3, 3, 1]


def test_an_event_consumer_is_ignored_with_a_warning(service, make_client, caplog):
    client = make_client(event_consumer_class=lambda queue, config: None)
    client.identify(USER)
    client.close()
    service.wait_for_events(kind="identify")
    assert "Config option event_consumer_class is ignored: use event_processor_class to take events" in caplog.messages


def test_the_event_consumer_that_stands_for_the_client_itself_draws_no_warning(make_client, caplog):
    class Consumer:
        served_by_the_client = True

    make_client(event_consumer_class=Consumer)
    assert not [one for one in caplog.messages if "event_consumer_class" in one]
