"""Data sources that the program brings: made by its factory, and what becomes of what they do."""

import threading
import time

import ldclient
import pytest
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient
from ldclient.interfaces import (
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataSourceUpdateSink,
    FeatureRequester,
    UpdateProcessor,
)
from ldclient.util import UnsuccessfulResponseException
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from waiting import eventually, wait_for_message

USER = {"key": "u"}


def flag(value="a", version=1, **more):
    return {"key": "f", "version": version, "on": True, "variations": [value], "fallthrough": {"variation": 0}, **more}


def data(*flags):
    return {FEATURES: {one["key"]: one for one in flags}, SEGMENTS: {}}


class Source(UpdateProcessor):
    """Brings a flag at once."""

    def __init__(self, config, store, ready):
        self.config, self.store, self.ready = config, store, ready
        self.sink = config.data_source_update_sink
        self.calls = []
        self.has_flags = False
        made.append(self)

    def start(self):
        self.calls.append("start")
        self.store.init(data(flag()))
        self.has_flags = True
        self.ready.set()

    def stop(self):
        self.calls.append("stop")

    def initialized(self):
        return self.has_flags


made = []


@pytest.fixture(autouse=True)
def nothing_made():
    made.clear()
    requesters.clear()


@pytest.fixture
def make(request):
    """Makes clients with a data source."""

    def make(source=Source, start_wait=TIMEOUT, **settings):
        settings = {"update_processor_class": source, "send_events": False, **settings}
        client = LDClient(config=Config("sdk-test", **settings), start_wait=start_wait)
        request.addfinalizer(client.close)
        return client

    return make


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_flags_of_a_source_are_evaluated(make):
    client = make()
    assert client.is_initialized() and client.variation("f", USER, None) == "a"
    assert client.variation("f", Context.create("c"), None) == "a"
    assert client.all_flags_state(USER).to_values_map() == {"f": "a"}
    store = made[0].store
    store.upsert(FEATURES, flag("b", 2))
    assert client.variation("f", USER, None) == "b"
    store.upsert(FEATURES, flag("old", 1))
    assert client.variation("f", USER, None) == "b"
    store.delete(FEATURES, "f", 3)
    assert client.variation_detail("f", USER, None).reason["errorKind"] == "FLAG_NOT_FOUND"


def test_a_source_is_started_once_and_stopped_once(make):
    client = make()
    assert made[0].config.update_processor_class is Source
    assert made[0].calls == ["start"]
    client.close()
    client.close()
    assert made[0].calls == ["start", "stop"]
    assert client.variation("f", USER, None) == "a"


def test_what_a_source_wrote_can_be_read_back(make):
    make()
    store = made[0].store
    assert store.initialized
    assert store.get(FEATURES, "f") == flag() and store.get(FEATURES, "f", lambda item: item["version"]) == 1
    assert store.all(FEATURES) == {"f": flag()} and store.all(SEGMENTS) == {}
    store.delete(FEATURES, "f", 2)
    assert store.get(FEATURES, "f") is None and store.all(FEATURES) == {}
    store.upsert(SEGMENTS, {"key": "s", "version": 1, "included": ["u"]})
    assert store.get(SEGMENTS, "s")["included"] == ["u"]


def test_factories_of_every_kind_are_called(make):
    def function(config, store, ready):
        return Source(config, store, ready)

    class Callable:
        def __call__(self, config, store, ready):
            return Source(config, store, ready)

    for factory in (function, lambda *args: Source(*args), Callable(), Callable().__call__):
        assert make(factory).variation("f", USER, None) == "a"


def test_factories_of_older_eras_are_told_apart_by_their_arguments(make):
    class Requester:
        def __init__(self, config):
            pass

    def fifth(config, requester, store, ready):
        assert type(requester) is Requester
        return Source(config, store, ready)

    def third(sdk_key, config, requester, store, ready):
        assert sdk_key == "sdk-test"
        return Source(config, store, ready)

    for factory in (fifth, third):
        assert make(factory, feature_requester_class=Requester).variation("f", USER, None) == "a"


def test_stand_ins_with_few_methods_will_do(make):
    class Bare:
        def __init__(self, config, store, ready):
            ready.set()

    client = make(Bare)
    assert client.is_initialized()
    client.close()

    class Property:
        initialized = True

        def __init__(self, config, store, ready):
            ready.set()

    assert make(Property).is_initialized()


@pytest.mark.parametrize("says", [True, False])
def test_is_initialized_is_what_the_source_says(make, says):
    class Says(Source):
        def start(self):
            self.has_flags = says
            self.ready.set()

    client = make(Says)
    assert client.is_initialized() is says
    error = "FLAG_NOT_FOUND" if says else "CLIENT_NOT_READY"
    assert client.variation_detail("f", USER, 1).reason == {"kind": "ERROR", "errorKind": error}
    assert client.variation_detail("f", None, 1).reason == {"kind": "ERROR", "errorKind": error}
    state = client.all_flags_state(USER)
    assert state.valid is says and state.to_values_map() == {}
    made[0].has_flags = not says
    assert client.is_initialized() is not says


def test_flags_that_are_there_count_whatever_the_source_says(make):
    class Silent(Source):
        def start(self):
            super().start()
            self.has_flags = False

    client = make(Silent)
    assert client.is_initialized() and client.variation("f", USER, None) == "a"


def test_the_constructor_waits_until_the_source_is_ready(make):
    class Slow(Source):
        def start(self):
            threading.Timer(0.2, super().start).start()

    assert make(Slow).variation("f", USER, None) == "a"

    class Never(Source):
        def start(self):
            pass

    started = time.monotonic()
    client = make(Never, start_wait=0.2)
    assert 0.2 <= time.monotonic() - started < TIMEOUT and not client.is_initialized()
    started = time.monotonic()
    make(Never, start_wait=0)
    assert time.monotonic() - started < TIMEOUT


def test_one_that_cannot_be_made_or_started_is_logged_and_contained(make, caplog):
    def broken(config, store, ready):
        raise ValueError("on purpose")

    class CannotStart(Source):
        def start(self):
            raise ValueError("on purpose")

    class WritesNonsense(Source):
        def start(self):
            self.store.init({FEATURES: {"f": {"key": "f", "version": 1, "variations": 5}}, SEGMENTS: {}})

    for factory, said in (
        (broken, "ValueError('on purpose')"),
        (CannotStart, "ValueError('on purpose')"),
        (WritesNonsense, "flag `f`"),
        (5, "not callable"),
    ):
        caplog.clear()
        client = make(factory)
        assert len(errors(caplog)) == 1 and said in errors(caplog)[0]
        assert not client.is_initialized() and client.variation("f", USER, "d") == "d"
        status = client.data_source_status_provider.status
        assert (status.state, status.error.kind) == (DataSourceState.INITIALIZING, DataSourceErrorKind.UNKNOWN)
        client.close()


def test_what_one_raises_later_is_logged_and_contained(make, caplog):
    class Broken(Source):
        def start(self):
            self.ready.set()

        def initialized(self):
            raise ValueError("asked")

        def stop(self):
            raise ValueError("stopped")

    client = make(Broken)
    assert not client.is_initialized() and not client.is_initialized()
    assert client.variation("f", USER, "d") == "d"
    client.close()
    assert errors(caplog) == [
        "Unexpected error in data source: ValueError('asked')",
        "Unexpected error in data source: ValueError('stopped')",
    ]


def test_closing_waits_for_a_source_that_takes_a_moment_to_stop(make):
    class Slow(Source):
        def stop(self):
            time.sleep(0.1)
            super().stop()

    client = make(Slow)
    client.close()
    assert made[0].calls == ["start", "stop"]


def test_without_the_sink_the_status_stays_as_it_is(make):
    client = make()
    status = client.data_source_status_provider.status
    assert (status.state, status.error) == (DataSourceState.INITIALIZING, None)


def test_the_sink_writes_and_says_how_it_is_going(make):
    client = make()
    sink = made[0].sink
    assert isinstance(sink, DataSourceUpdateSink)
    provider = client.data_source_status_provider
    heard = []
    told = threading.Condition()

    def listen(status):
        with told:
            heard.append(status.state)
            told.notify_all()

    provider.add_listener(listen)
    sink.update_status(DataSourceState.INTERRUPTED, None)
    assert provider.status.state == DataSourceState.INITIALIZING
    sink.update_status(DataSourceState.VALID, None)
    assert provider.status.state == DataSourceState.VALID
    error = DataSourceErrorInfo(DataSourceErrorKind.NETWORK_ERROR, 0, 1700000000.5, "gone")
    sink.update_status(DataSourceState.INTERRUPTED, error)
    assert (provider.status.state, provider.status.error) == (DataSourceState.INTERRUPTED, error)
    sink.upsert(FEATURES, flag("b", 2))
    assert client.variation("f", USER, None) == "b"
    sink.delete(FEATURES, "f", 3)
    assert client.variation("f", USER, None) is None
    sink.init(data(flag("c")))
    assert client.variation("f", USER, None) == "c"
    sink.update_status(DataSourceState.OFF, None)
    expected = [DataSourceState.VALID, DataSourceState.INTERRUPTED, DataSourceState.OFF]
    with told:
        assert told.wait_for(lambda: heard == expected, TIMEOUT), heard


def test_the_sink_is_there_as_long_as_the_source_lives(make):
    client = make()
    config = made[0].config
    assert config.data_source_update_sink is made[0].sink is not None
    client.close()
    assert config.data_source_update_sink is None
    assert Config("sdk-test").data_source_update_sink is None


def test_what_comes_after_closing_is_nobodys_harm(make):
    client = make()
    client.close()
    made[0].sink.upsert(FEATURES, flag("b", 2))
    made[0].sink.update_status(DataSourceState.VALID, None)
    assert client.data_source_status_provider.status.state == DataSourceState.OFF


def test_listeners_hear_of_flags_that_a_source_brings(make):
    client = make()
    heard = threading.Event()
    client.flag_tracker.add_flag_value_change_listener("f", USER, lambda change: heard.set())
    made[0].store.upsert(FEATURES, flag("b", 2))
    assert heard.wait(TIMEOUT)


def test_a_source_of_the_programs_is_not_started_offline_or_in_daemon_mode(make):
    assert make(offline=True).is_offline()
    assert make(use_ldd=True).is_initialized()
    assert made == []


def test_a_store_of_the_programs_is_written_in_order(make):
    class Store:
        initialized = False

        def __init__(self):
            self.order = []

        def init(self, all_data):
            self.order = [(kind.namespace, list(items)) for kind, items in all_data.items()]
            self.data = {kind.namespace: items for kind, items in all_data.items()}
            self.initialized = True

        def get(self, kind, key, callback):
            return callback(self.data[kind.namespace].get(key))

        def all(self, kind, callback):
            return callback(self.data[kind.namespace])

    class Nested(Source):
        def start(self):
            needy = flag("n", prerequisites=[{"key": "f", "variation": 0}])
            self.store.init({FEATURES: {"n": dict(needy, key="n"), "f": flag()}, SEGMENTS: {}})
            self.has_flags = True
            self.ready.set()

    store = Store()
    client = make(Nested, feature_store=store)
    assert store.order == [("segments", []), ("features", ["f", "n"])]
    assert client.variation("n", USER, None) == "n"


def test_many_threads_evaluate_while_a_source_writes_and_the_client_closes(make):
    client = make()
    store = made[0].store
    stop = threading.Event()

    def write():
        version = 1
        while not stop.is_set():
            version += 1
            store.upsert(FEATURES, flag("b", version))
            store.init(data(flag("c", version)))

    def read():
        while not stop.is_set():
            assert client.variation("f", USER, None) in ("a", "b", "c")

    threads = [threading.Thread(target=one) for one in [read] * 6 + [write] * 2]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    client.close()
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


class Requester(FeatureRequester):
    """Answers what the test says."""

    answers = []

    def __init__(self, config):
        self.asked = threading.Semaphore(0)
        requesters.append(self)

    def get_all_data(self):
        answer = type(self).answers.pop(0) if len(type(self).answers) > 1 else type(self).answers[0]
        self.asked.release()
        if isinstance(answer, Exception):
            raise answer
        return answer


requesters = []


@pytest.fixture
def poll(request, monkeypatch):
    monkeypatch.setattr(Config, "poll_interval", property(lambda config: 0.02))

    def poll(*answers, start_wait=TIMEOUT):
        cls = type("ItsRequester", (Requester,), {"answers": list(answers)})
        config = Config("sdk-test", feature_requester_class=cls, stream=False, send_events=False)
        client = LDClient(config=config, start_wait=start_wait)
        request.addfinalizer(client.close)
        return client

    return poll


def test_a_requester_is_asked_again_and_again(poll, caplog):
    caplog.set_level("INFO")
    client = poll(data(flag()), data(flag("b", 2)))
    assert client.is_initialized()
    eventually(lambda: client.variation("f", USER, None) == "b")
    assert client.data_source_status_provider.status.state == DataSourceState.VALID
    wait_for_message(caplog, "PollingUpdateProcessor initialized ok")
    client.close()
    while requesters[0].asked.acquire(blocking=False):
        pass
    assert not requesters[0].asked.acquire(timeout=0.1)


def test_a_requester_that_raises_is_asked_again(poll, caplog):
    client = poll(ValueError("on purpose"), UnsuccessfulResponseException(503), None, data(flag()))
    assert client.variation("f", USER, None) == "a"
    wait_for_message(caplog, "Received HTTP error 503 for polling request - will retry")
    wait_for_message(caplog, "on purpose")
    error = client.data_source_status_provider.status.error
    assert (error.kind, error.status_code) == (DataSourceErrorKind.ERROR_RESPONSE, 503)


def test_a_refusal_releases_the_constructor_and_is_told_once(poll, caplog, monkeypatch):
    monkeypatch.setattr("ldclient.impl.polling._LONG_WAIT", 0.05)
    started = time.monotonic()
    client = poll(UnsuccessfulResponseException(401))
    assert time.monotonic() - started < TIMEOUT / 2 and not client.is_initialized()
    for _ in range(3):
        assert requesters[0].asked.acquire(timeout=TIMEOUT)
    assert errors(caplog) == [
        "Received HTTP error 401 (invalid SDK key) for polling request - giving up permanently"
    ]
    type(requesters[0]).answers[:] = [data(flag())]
    eventually(client.is_initialized)


def test_a_requester_has_no_part_in_streaming(service, make_client):
    client = make_client(feature_requester_class=Requester)
    assert client.variation("bool", USER, None) is True and requesters == []


def test_one_config_may_serve_several_clients(singleton):
    config = Config("sdk-test", update_processor_class=Source, send_events=False)
    first, second = LDClient(config=config), LDClient(config=config)
    made[0].store.upsert(FEATURES, flag("b", 2))
    assert (first.variation("f", USER, None), second.variation("f", USER, None)) == ("b", "a")
    first.close()
    assert config.data_source_update_sink is made[1].sink
    second.close()
    ldclient.set_config(config)
    assert ldclient.get().variation("f", USER, None) == "a"
