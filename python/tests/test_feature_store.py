"""The store in memory."""

import gc
import threading

import pytest
from fake_service import TIMEOUT
from ldclient import Config, LDClient
from ldclient.feature_store import CacheConfig, InMemoryFeatureStore
from ldclient.interfaces import DataSourceState
from ldclient.versioned_data_kind import FEATURES, SEGMENTS, VersionedDataKind


def filled():
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"a": {"key": "a", "version": 2}}, SEGMENTS: {}})
    return store


def test_a_store_is_initialized_by_a_full_data_set():
    store = InMemoryFeatureStore()
    assert not store.initialized
    assert store.get(FEATURES, "a") is None and store.all(FEATURES) == {}
    store.init({})
    assert store.initialized


def test_items_are_given_to_the_callback():
    store = filled()
    assert store.get(FEATURES, "a") == {"key": "a", "version": 2}
    assert store.get(FEATURES, "a", lambda item: item["version"]) == 2
    assert store.get(FEATURES, "b", lambda item: item is None)
    assert store.all(FEATURES, sorted) == ["a"]
    assert store.all(SEGMENTS) == {}


def test_only_newer_versions_are_written():
    store = filled()
    for version, stored in ((1, 2), (2, 2), (3, 3)):
        store.upsert(FEATURES, {"key": "a", "version": version})
        assert store.get(FEATURES, "a")["version"] == stored


def test_a_deletion_is_remembered():
    store = filled()
    store.delete(FEATURES, "a", 2)
    assert store.get(FEATURES, "a")
    store.delete(FEATURES, "a", 5)
    assert store.get(FEATURES, "a") is None and store.all(FEATURES) == {}
    store.upsert(FEATURES, {"key": "a", "version": 5})
    assert store.get(FEATURES, "a") is None
    store.delete(FEATURES, "new", 1)
    assert store.get(FEATURES, "new") is None


def test_many_threads_leave_the_newest_version():
    store = filled()

    def write(first):
        for version in range(first, 2000, 4):
            store.upsert(FEATURES, {"key": "a", "version": version})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert store.get(FEATURES, "a")["version"] == 1999


def flag(value, version=1, **more):
    return {"key": "f", "version": version, "on": True, "variations": [value], "fallthrough": {"variation": 0}, **more}


class Idle:
    """A data source that brings nothing."""

    def __init__(self, config, store, ready):
        self.ready = ready

    def start(self):
        self.ready.set()

    def stop(self):
        pass

    def is_alive(self):
        return True

    def initialized(self):
        return True


USER = {"key": "u"}


@pytest.fixture
def make(request):
    """Makes clients with a store that nothing but the test writes."""

    def make(store, **settings):
        settings = {"update_processor_class": Idle, "send_events": False, **settings}
        client = LDClient(config=Config("sdk-test", feature_store=store, **settings))
        request.addfinalizer(client.close)
        return client

    return make


def test_a_client_evaluates_what_is_in_it(make):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag("a")}})
    client = make(store)
    assert client.is_initialized() and client.variation("f", USER, None) == "a"
    store.upsert(FEATURES, flag("b", 2))
    assert client.variation("f", USER, None) == "b"
    store.upsert(FEATURES, flag("old", 2))
    assert client.variation("f", USER, None) == "b"
    store.delete(FEATURES, "f", 3)
    assert client.variation_detail("f", USER, 1).reason == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}
    store.init({FEATURES: {"f": flag("c")}, SEGMENTS: {}})
    assert client.all_flags_state(USER).to_values_map() == {"f": "c"}


def test_segments_in_it_count(make):
    store = InMemoryFeatureStore()
    matches = {"attribute": "", "op": "segmentMatch", "values": ["s"]}
    rule = {"id": "r", "variation": 1, "clauses": [matches]}
    two = dict(flag("out"), variations=["out", "in"], rules=[rule])
    store.init({FEATURES: {"f": two}, SEGMENTS: {"s": {"key": "s", "version": 1, "included": ["u"]}}})
    client = make(store)
    assert client.variation("f", USER, None) == "in"
    store.upsert(SEGMENTS, {"key": "s", "version": 2, "included": []})
    assert client.variation("f", USER, None) == "out"


def test_flags_that_are_put_in_one_by_one_count_too(make):
    store = InMemoryFeatureStore()
    store.upsert(FEATURES, flag("a"))
    client = make(store)
    store.upsert(FEATURES, dict(flag("g"), key="g"))
    assert (client.variation("f", USER, None), client.variation("g", USER, None)) == ("a", "g")
    assert not store.initialized


def test_what_is_read_from_it_is_what_was_written(make):
    store = InMemoryFeatureStore()
    odd = flag({"deep": [1, 1.5, None, "ü"]}, fieldOfTomorrow={"x": 1})
    store.init({FEATURES: {"f": odd, "gone": {"key": "gone", "version": 3, "deleted": True}}})
    make(store)
    store.upsert(FEATURES, dict(odd, key="g"))
    assert store.initialized and store.get(FEATURES, "f") == odd
    assert store.get(FEATURES, "f", lambda item: item["version"]) == 1
    assert store.all(FEATURES) == {"f": odd, "g": dict(odd, key="g")}
    assert store.get(FEATURES, "gone") is None and store.get(FEATURES, 5) is None
    store.upsert(FEATURES, flag("too late", 3, key="gone"))
    assert store.get(FEATURES, "gone") is None
    store.get(FEATURES, "f")["on"] = False
    assert store.get(FEATURES, "f")["on"] is True


def test_items_of_other_kinds_and_objects_are_kept(make):
    class Item(dict):
        def to_json_dict(self):
            return dict(self)

    things = VersionedDataKind("things", "/t", "/t/")
    store = InMemoryFeatureStore()
    store.init({things: {"x": {"key": "x", "version": 1}}, FEATURES: {"f": Item(flag("a"))}})
    client = make(store)
    store.upsert(FEATURES, Item(flag("b", 2)))
    assert client.variation("f", USER, None) == "b"
    store.upsert(things, {"key": "y", "version": 1})
    assert sorted(store.all(things)) == ["x", "y"]


def test_what_no_flag_can_be_is_refused_and_changes_nothing(make, caplog):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag("a"), "bad": {"key": "bad", "version": 1, "variations": 5}}})
    client = make(store)
    assert ["The client cannot use bad in 'features'" in message for message in caplog.messages] == [True]
    for write in (
        lambda: store.upsert(FEATURES, flag("b", 2, rules=5)),
        lambda: store.init({FEATURES: {"f": flag("b", 2), "g": {"key": "g", "version": 1, "on": "yes"}}}),
    ):
        with pytest.raises(ValueError, match="flag `[fg]`"):
            write()
        assert client.variation("f", USER, None) == "a" and store.get(FEATURES, "f") == flag("a")


def test_several_clients_share_one(make):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag("a")}})
    first, second = make(store), make(store)
    store.upsert(FEATURES, flag("b", 2))
    assert first.variation("f", USER, None) == second.variation("f", USER, None) == "b"
    second.close()
    store.upsert(FEATURES, flag("c", 3))
    assert first.variation("f", USER, None) == "c" and store.get(FEATURES, "f") == flag("c", 3)
    first.close()
    store.upsert(FEATURES, flag("d", 4))
    assert store.get(FEATURES, "f") == flag("d", 4) and store.initialized
    assert make(store).variation("f", USER, None) == "d"


def test_it_outlives_its_clients(service, make_client):
    store = InMemoryFeatureStore()
    client = make_client(feature_store=store)
    assert store.get(FEATURES, "bool")["variations"] == [True, False]
    client.close()
    del client
    gc.collect()
    assert store.initialized and store.get(FEATURES, "bool")["variations"] == [True, False]
    store.delete(FEATURES, "bool", 100)
    assert store.get(FEATURES, "bool") is None


def test_what_a_client_receives_can_be_read_from_it(service, make_client):
    store = InMemoryFeatureStore()
    assert not store.initialized
    client = make_client(feature_store=store)
    assert store.initialized and sorted(store.all(FEATURES)) == sorted(service.flags)
    assert store.get(FEATURES, "list") == service.flags["list"]
    changed = threading.Event()
    client.flag_tracker.add_listener(lambda change: changed.set())
    service.patch("bool", on=False)
    assert changed.wait(TIMEOUT)
    assert store.get(FEATURES, "bool")["version"] == 8
    store.upsert(FEATURES, dict(service.flags["bool"], version=9, on=True))
    assert client.variation("bool", USER, None) is True


def test_what_is_in_it_before_the_service_answers_is_evaluated_until_then(service, make_client):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag("known"), "bool": {"key": "bool", "version": 99}}})
    service.status = 503
    client = make_client(feature_store=store, start_wait=0.1, initial_reconnect_delay=0.01)
    assert client.is_initialized() and client.variation("f", USER, None) == "known"
    assert client.data_source_status_provider.status.state == DataSourceState.INITIALIZING
    valid = threading.Event()
    client.data_source_status_provider.add_listener(lambda status: status.state == DataSourceState.VALID and valid.set())
    service.status = 200
    assert valid.wait(TIMEOUT)
    # A full data set takes the place of everything.
    assert client.variation("f", USER, None) is None and client.variation("bool", USER, None) is True
    assert store.get(FEATURES, "bool")["version"] == 7


def test_the_constructor_waits_for_the_service_whatever_is_in_it(service, make_client):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"bool": flag("old", 1, key="bool")}})
    assert make_client(feature_store=store).variation("bool", USER, None) is True


def test_daemon_mode_reads_it(make):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag("a")}})
    client = make(store, use_ldd=True, update_processor_class=None)
    assert client.is_initialized() and client.variation("f", USER, None) == "a"
    store.upsert(FEATURES, flag("b", 2))
    assert client.variation("f", USER, None) == "b"


def test_an_offline_client_leaves_it_alone(make):
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag("a")}})
    assert make(store, offline=True).variation("f", USER, "d") == "d"
    assert store.get(FEATURES, "f") == flag("a")


def test_listeners_hear_of_what_is_written(make):
    store = InMemoryFeatureStore()
    client = make(store)
    heard = threading.Event()
    client.flag_tracker.add_flag_value_change_listener("f", USER, lambda change: heard.set())
    store.upsert(FEATURES, flag("a"))
    assert heard.wait(TIMEOUT)


def test_a_subclass_is_asked_at_each_evaluation(make):
    class Own(InMemoryFeatureStore):
        asked = 0

        def get(self, kind, key, callback=lambda x: x):
            Own.asked += 1
            return super().get(kind, key, callback)

    store = Own()
    store.init({FEATURES: {"f": flag("a")}})
    client = make(store)
    assert client.variation("f", USER, None) == "a" and Own.asked > 0


def test_many_threads_write_and_evaluate(make):
    store = InMemoryFeatureStore()
    client = make(store)
    stop = threading.Event()

    def write(first):
        version = first
        while not stop.is_set():
            store.upsert(FEATURES, flag("a", version))
            store.get(FEATURES, "f")
            version += 4

    def read():
        while not stop.is_set():
            assert client.variation("f", USER, None) in (None, "a")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 5)]
    threads += [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.wait(0.3)
    client.close()
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert store.get(FEATURES, "f")["variations"] == ["a"]


def test_cache_config():
    assert (CacheConfig().expiration, CacheConfig().capacity, CacheConfig().enabled) == (15, 1000, True)
    assert CacheConfig.default().expiration == CacheConfig.DEFAULT_EXPIRATION
    assert not CacheConfig.disabled().enabled
    assert CacheConfig(capacity=5).capacity == CacheConfig(5, 5).expiration
