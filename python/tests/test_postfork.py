"""`postfork`: the client made anew in place, in a child process or where nothing was forked."""

import threading
import time

import pytest
from conftest import FLAGS
from fake_service import TIMEOUT
from ldclient import Context
from ldclient.versioned_data_kind import FEATURES
from programs import run

CONTEXT = Context.create("u")


def test_the_client_goes_on_with_the_flags_that_it_had(service, make_client):
    client = make_client()
    service.status = 503
    client.postfork(start_wait=0)
    assert client.variation("bool", CONTEXT, None) is True
    assert client.is_initialized()
    assert client.data_source_status_provider.status.state.value == "initializing"


def test_it_waits_for_new_flags_although_it_has_some(service, make_client):
    client = make_client()
    service.status = 503
    started = time.monotonic()
    client.postfork(start_wait=0.5)
    assert time.monotonic() - started >= 0.5
    service.status = 200
    client.postfork(start_wait=TIMEOUT)
    assert client.data_source_status_provider.status.state.value == "valid"
    assert time.monotonic() - started < TIMEOUT


def test_a_client_without_flags_has_none_afterwards(service, make_client):
    service.status = 503
    client = make_client(start_wait=0)
    client.postfork(start_wait=0)
    assert not client.is_initialized()
    assert client.variation("bool", CONTEXT, "d") == "d"


def test_what_was_gathered_is_sent_and_new_flags_come(service, make_client):
    client = make_client(flush_interval=600)
    client.track("before", CONTEXT)
    client.postfork(start_wait=TIMEOUT)
    assert service.wait_for_events(kind="custom")[0]["key"] == "before"
    service.patch("bool", on=False, offVariation=1)
    deadline = time.monotonic() + TIMEOUT
    while client.variation("bool", CONTEXT, None) is not False:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_listeners_are_gone(service, make_client):
    def heard_of(change):
        heard.append(change.key)
        changed.set()

    heard, changed = [], threading.Event()
    client = make_client()
    client.flag_tracker.add_listener(lambda change: heard.append("by the one before"))
    client.postfork(start_wait=TIMEOUT)
    client.flag_tracker.add_listener(heard_of)
    service.patch("bool", on=False)
    assert changed.wait(TIMEOUT)
    assert heard == ["bool"]


def test_a_closed_client_begins_again(make_client):
    client = make_client()
    client.close()
    client.postfork(start_wait=TIMEOUT)
    assert client.variation("bool", CONTEXT, None) is True
    assert client.data_source_status_provider.status.state.value == "valid"


def test_components_are_made_again(make_client):
    class Processor:
        def __init__(self, config):
            self.said = []
            made.append(self)

        def send_event(self, event):
            self.said.append(event["kind"])

        def flush(self):
            pass

        def stop(self):
            self.said.append("stopped")

    made = []
    client = make_client(event_processor_class=Processor)
    client.track("before", CONTEXT)
    client.postfork(start_wait=TIMEOUT)
    client.track("after", CONTEXT)
    assert [one.said for one in made] == [["custom", "stopped"], ["custom"]]


def test_what_is_evaluated_meanwhile_has_an_answer(make_client):
    def evaluate():
        while not done.is_set():
            answers.add(client.variation("bool", CONTEXT, None))

    client = make_client()
    done, answers = threading.Event(), set()
    thread = threading.Thread(target=evaluate)
    thread.start()
    for _ in range(5):
        client.postfork(start_wait=TIMEOUT)
    done.set()
    thread.join(TIMEOUT)
    assert answers == {True}


@pytest.mark.parametrize("used", [False, True], ids=["untouched", "used before"])
def test_a_child_begins_with_its_parents_flags_and_sends_its_own_events_once(service, used):
    run(
        service,
        """
        client = connect(flush_interval=600)
        client.variation("bool", {"key": "parent"}, None)
        child = os.fork()
        if child == 0:
            if %r:
                client.track("before", {"key": "child"})
            client.postfork(start_wait=0)
            ok = client.variation("bool", {"key": "child"}, None) is True
            client.track("after", {"key": "child"})
            client.close()
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        client.close()
        """
        % used,
    )
    expected = ["after", "before"] if used else ["after"]
    service.wait_for_events(len(expected), kind="custom")
    assert sorted(event["key"] for event in service.events() if event["kind"] == "custom") == expected
    counts = [
        counter["count"]
        for event in service.wait_for_events(2, kind="summary")
        for counter in event["features"]["bool"]["counters"]
    ]
    assert counts == [1, 1]


def test_flags_of_a_data_source_of_the_programs_are_kept_until_it_brings_others(make_client):
    class Source:
        def __init__(self, config, store, ready):
            self.store, self.ready = store, ready
            sources.append(self)

        def start(self):
            if len(sources) == 1:
                self.store.init({FEATURES: {"flag": dict(FLAGS["bool"], key="flag")}})
            self.ready.set()

        def initialized(self):
            return self.store.initialized

    sources = []
    client = make_client(update_processor_class=Source)
    client.postfork(start_wait=TIMEOUT)
    assert len(sources) == 2
    assert client.variation("flag", CONTEXT, None) is True
    assert sources[1].store.get(FEATURES, "flag")["version"] == 7
