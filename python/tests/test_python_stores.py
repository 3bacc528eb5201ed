"""Stores of flags that are written in Python: evaluations ask them, and the client writes to them."""

import threading
import time

import pytest

from conftest import FLAGS
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.interfaces import DataStoreStatus, FeatureStore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from waiting import eventually, wait_for_message

USER = Context.create("user-1")


class OwnStore(FeatureStore):
    """Keeps items in dictionaries, and what it was called for."""

    def __init__(self, flags=None, segments=None, initialized=False):
        self.items = {FEATURES: dict(flags or {}), SEGMENTS: dict(segments or {})}
        self.calls = []
        self.threads = set()
        self._initialized = initialized
        self.problem = None

    def _called(self, *call):
        self.calls.append(call)
        self.threads.add(threading.get_ident())
        if self.problem is not None:
            raise self.problem

    def get(self, kind, key, callback=lambda x: x):
        self._called("get", kind.namespace, key)
        item = self.items[kind].get(key)
        return callback(None if item is None or item.get("deleted") else item)

    def all(self, kind, callback=lambda x: x):
        self._called("all", kind.namespace)
        return callback({key: item for key, item in self.items[kind].items() if not item.get("deleted")})

    def init(self, all_data):
        self._called("init", [kind.namespace for kind in all_data], [list(items) for items in all_data.values()])
        self.items = {kind: dict(items) for kind, items in all_data.items()}
        self._initialized = True

    def upsert(self, kind, item):
        self._called("upsert", kind.namespace, item["key"], item["version"])
        self.items[kind][item["key"]] = item

    def delete(self, kind, key, version):
        self._called("delete", kind.namespace, key, version)
        self.items[kind][key] = {"key": key, "version": version, "deleted": True}

    @property
    def initialized(self):
        return self._initialized


def flag(key, value="value", version=1, **more):
    """A flag that serves one value."""
    return {"key": key, "version": version, "on": True, "variations": [value, "other"],
            "fallthrough": {"variation": 0}, "offVariation": 1, **more}


@pytest.fixture
def daemon(service):
    """Makes clients in daemon mode, which only read their store."""
    clients = []

    def make(store, **settings):
        config = Config("sdk-test", feature_store=store, use_ldd=True, diagnostic_opt_out=True,
                        **{**service.uris(), **settings})
        clients.append(LDClient(config=config))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_what_is_received_is_in_the_store_once_the_client_is_ready(make_client, service):
    service.segments["s"] = {"key": "s", "version": 1}
    service.flags["a"] = flag("a", prerequisites=[{"key": "bool", "variation": 0}])
    store = OwnStore()
    client = make_client(feature_store=store)
    assert client.is_initialized()
    first = store.calls[0]
    assert first[:2] == ("init", ["segments", "features"])
    assert first[2][0] == ["s"] and set(first[2][1]) == set(service.flags)
    assert first[2][1].index("bool") < first[2][1].index("a"), "what others need comes first"
    assert store.items[FEATURES]["list"]["variations"] == FLAGS["list"]["variations"]
    assert store.initialized and threading.get_ident() not in store.threads


def test_changes_are_written_one_by_one(make_client, service):
    store = OwnStore()
    client = make_client(feature_store=store)
    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: ("upsert", "features", "bool", 8) in store.calls)
    assert client.variation("bool", USER, "d") is False
    service._send("delete", {"path": "/flags/bool", "version": 9})
    eventually(lambda: ("delete", "features", "bool", 9) in store.calls)
    assert client.variation("bool", USER, "d") == "d"


def test_every_evaluation_asks_the_store_on_the_thread_of_whoever_evaluates(make_client):
    store = OwnStore()
    client = make_client(feature_store=store)
    store.calls.clear()
    store.threads.clear()
    for _ in range(3):
        assert client.variation("bool", USER, "d") is True
    assert store.calls == [("get", "features", "bool")] * 3
    assert store.threads == {threading.get_ident()}


def test_an_override_in_get_counts(make_client):
    class Override(InMemoryFeatureStore):
        def get(self, kind, key, callback=lambda x: x):
            item = super().get(kind, key)
            if key == "bool":
                item = dict(item, fallthrough={"variation": override[0]})
            return callback(item)

    override = [1]
    client = make_client(feature_store=Override())
    assert client.variation("bool", USER, "d") is False
    override[0] = 0
    assert client.variation("bool", USER, "d") is True, "at once, although the version is the same"
    assert client.variation("tracked", USER, "d") == "x"


def test_an_item_that_is_changed_in_place_is_read_anew(daemon):
    item = flag("f", {"deep": [1, 2.5, None, True, "ü"]})
    client = daemon(OwnStore({"f": item}))
    assert client.variation("f", USER, "d") == {"deep": [1, 2.5, None, True, "ü"]}
    for number, changed in enumerate([1.0, False, None, "u", 2**63, -1, {"deep": 1}, []]):
        item["variations"][0]["deep"][0] = changed
        value = client.variation("f", USER, "d")["deep"][0]
        assert (value, type(value)) == (changed, type(changed)), number


def test_prerequisites_and_segments_are_read_from_the_store(daemon):
    clause = {"op": "segmentMatch", "values": ["outer"], "attribute": ""}
    store = OwnStore(
        {
            "f": flag("f", prerequisites=[{"key": "needed", "variation": 0}], fallthrough={"variation": 1},
                      rules=[{"clauses": [clause], "variation": 0}]),
            "needed": flag("needed"),
        },
        {
            "outer": {"key": "outer", "version": 1,
                      "rules": [{"clauses": [{"op": "segmentMatch", "values": ["inner"], "attribute": ""}]}]},
            "inner": {"key": "inner", "version": 1, "included": ["user-1"]},
        },
    )
    client = daemon(store)
    assert client.variation("f", USER, "d") == "value"
    assert set(store.calls) == {("get", "features", "f"), ("get", "features", "needed"),
                                ("get", "segments", "outer"), ("get", "segments", "inner")}
    store.items[SEGMENTS]["inner"] = {"key": "inner", "version": 1, "included": []}
    assert client.variation("f", USER, "d") == "other"
    store.items[FEATURES]["needed"]["on"] = False
    assert client.variation_detail("f", USER, "d").reason["kind"] == "PREREQUISITE_FAILED"
    del store.items[FEATURES]["needed"]
    assert client.variation_detail("f", USER, "d").reason["kind"] == "PREREQUISITE_FAILED"


def test_a_flag_that_is_off_has_nothing_else_read(daemon):
    store = OwnStore({"f": flag("f", on=False, prerequisites=[{"key": "needed", "variation": 0}])})
    assert daemon(store).variation("f", USER, "d") == "other"
    assert store.calls == [("get", "features", "f")]


class Item:
    """An item as other libraries model it."""

    def __init__(self, data):
        self.data = data

    def get(self, name, default=None):
        return self.data.get(name, default)

    def to_json_dict(self):
        return self.data


def test_items_may_be_objects_that_give_a_dictionary(daemon):
    client = daemon(OwnStore({"f": Item(flag("f"))}))
    assert client.variation("f", USER, "d") == "value"
    assert client.all_flags_state(USER).to_values_map() == {"f": "value"}


def test_stores_need_not_be_of_a_known_class(daemon):
    class Duck:
        def get(self, kind, key, callback):
            return callback(flag(key)) if kind is FEATURES and key == "f" else callback(None)

        def initialized(self):
            return True

    client = daemon(Duck())
    assert client.variation("f", USER, "d") == "value"
    assert client.variation_detail("g", USER, "d").reason == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}


def test_a_stand_in_of_the_mock_library_will_do(make_client):
    from unittest.mock import MagicMock

    store = MagicMock()
    store.get.side_effect = lambda kind, key, callback: callback(flag(key))
    client = make_client(feature_store=store)
    assert client.variation("anything", USER, "d") == "value"
    store.init.assert_called_once()


def test_a_store_that_raises_gives_the_default_and_says_why(daemon, service, caplog):
    store = OwnStore({"f": flag("f")})
    client = daemon(store)
    store.problem = RuntimeError("out of order")
    detail = client.variation_detail("f", USER, "d")
    assert (detail.value, detail.reason) == ("d", {"kind": "ERROR", "errorKind": "EXCEPTION"})
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["""Unexpected error while retrieving feature flag "f": RuntimeError('out of order')"""]
    caplog.clear()
    state = client.all_flags_state(USER)
    assert not state.valid and state.to_json_dict() == {"$flagsState": {}, "$valid": False}
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["Unable to read flags for all_flag_state: RuntimeError('out of order')"]
    client.flush()
    summary = service.wait_for_events(kind="summary")[0]
    assert summary["features"]["f"]["counters"] == [{"count": 1, "value": "d", "unknown": True}]


def test_an_item_that_makes_no_sense_is_an_error_of_its_own_evaluations(daemon, caplog):
    client = daemon(OwnStore({"bad": flag("bad", rules="none"), "f": flag("f")}))
    assert client.variation_detail("bad", USER, "d").reason == {"kind": "ERROR", "errorKind": "EXCEPTION"}
    assert any('feature flag "bad"' in message for message in caplog.messages)
    assert client.variation("f", USER, "d") == "value"


def test_interrupts_out_of_a_store_reach_the_program(daemon):
    store = OwnStore({"f": flag("f")})
    client = daemon(store)
    store.problem = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        client.variation("f", USER, "d")


def test_all_flags_are_those_of_the_store(make_client):
    store = OwnStore()
    client = make_client(feature_store=store)
    known = client.all_flags_state(USER, with_reasons=True)
    assert set(known.to_values_map()) == set(FLAGS)
    del store.items[FEATURES]["list"]
    store.items[FEATURES]["new"] = flag("new", 5)
    values = client.all_flags_state(USER).to_values_map()
    assert "list" not in values and values["new"] == 5
    assert store.calls[-1] == ("all", "features")


def test_events_are_made_as_of_any_evaluation(make_client, service):
    store = OwnStore()
    client = make_client(feature_store=store)
    client.variation("tracked", USER, "d")
    client.variation("bool", USER, "d")
    client.flush()
    assert service.wait_for_events(kind="feature")[0]["key"] == "tracked"
    features = service.wait_for_events(kind="summary")[0]["features"]
    assert features["bool"]["counters"] == [{"count": 1, "value": True, "variation": 0, "version": 7}]


def test_a_client_without_connection_goes_by_what_the_store_has(make_client, service, caplog):
    service.status = 503
    empty = make_client(start_wait=0, feature_store=OwnStore({"f": flag("f")}))
    assert not empty.is_initialized()
    assert empty.variation_detail("f", USER, "d").reason["errorKind"] == "CLIENT_NOT_READY"
    assert not empty.all_flags_state(USER).valid

    caplog.clear()
    filled = make_client(start_wait=0, feature_store=OwnStore({"f": flag("f")}, initialized=True))
    assert filled.is_initialized()
    assert filled.variation("f", USER, "d") == "value"
    assert filled.variation("f", USER, "d") == "value"
    known = [message for message in caplog.messages if "using last known values from feature store" in message]
    assert known == [
        "Feature Flag evaluation attempted before client has initialized - using last known values "
        "from feature store for feature key: f. This message is logged once."
    ]
    assert filled.all_flags_state(USER).to_values_map() == {"f": "value"}


@pytest.mark.parametrize("context", [USER, {"key": "user-1"}])
def test_an_offline_client_does_not_ask_its_store(context):
    store = OwnStore({"bool": flag("bool")}, initialized=True)
    with LDClient(config=Config("sdk-test", offline=True, feature_store=store)) as client:
        assert client.variation("bool", context, "d") == "d"
        assert not client.all_flags_state(context).valid
    assert store.calls == []


def test_listeners_find_in_the_store_what_they_are_told_of(make_client, service):
    class SlowStore(OwnStore):
        def upsert(self, kind, item):
            time.sleep(0.1)
            super().upsert(kind, item)

    store = SlowStore()
    client = make_client(feature_store=store)
    changes, values = [], []
    client.flag_tracker.add_listener(lambda change: changes.append((change.key, store.items[FEATURES]["bool"]["version"])))
    client.flag_tracker.add_flag_value_change_listener("bool", USER, lambda change: values.append(change.new_value))
    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: changes and values)
    service.patch("bool", on=True)
    eventually(lambda: len(values) > 1)
    assert (changes, values) == ([("bool", 8), ("bool", 9)], [False, True])


class MonitoredStore(OwnStore):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.asked = threading.Event()

    def is_monitoring_enabled(self):
        return True

    def is_available(self):
        self.asked.set()
        return self.problem is None


def test_a_store_that_failed_is_filled_again_when_it_recovers(make_client, service, caplog):
    caplog.set_level("INFO")
    store = MonitoredStore()
    client = make_client(feature_store=store)
    provider = client.data_store_status_provider
    assert provider.is_monitoring_enabled() and provider.status == DataStoreStatus(True, False)
    statuses = []
    provider.add_listener(statuses.append)

    store.problem = OSError("gone")
    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: statuses)
    assert statuses[0].available is False and provider.status.available is False
    assert store.asked.wait(TIMEOUT)
    store.calls.clear()
    store.problem = None
    eventually(lambda: len(statuses) > 1)
    assert statuses[-1] == DataStoreStatus(True, False)
    assert any(call[0] == "init" for call in store.calls), "everything is written again"
    wait_for_message(caplog, "MonitoredStore answers again")
    said = [record.message for record in caplog.records if "MonitoredStore" in record.message]
    assert said == ["MonitoredStore does not answer: could not write an item: OSError('gone')",
                    "MonitoredStore answers again"]
    assert client.variation("bool", USER, "d") is False
    provider.remove_listener(statuses.append)


def test_a_read_that_fails_is_an_outage_of_a_store_that_can_tell(daemon):
    store = MonitoredStore({"f": flag("f")}, initialized=True)
    client = daemon(store)
    store.problem = OSError("gone")
    assert client.variation("f", USER, "d") == "d"
    assert client.data_store_status_provider.status.available is False
    store.problem = None
    eventually(lambda: client.data_store_status_provider.status.available)
    assert client.variation("f", USER, "d") == "value"


def test_a_store_that_cannot_tell_is_tried_again(make_client, service):
    store = OwnStore()
    client = make_client(feature_store=store)
    assert not client.data_store_status_provider.is_monitoring_enabled()
    store.problem = OSError("gone")
    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: ("upsert", "features", "bool", 8) in store.calls)
    store.problem = None
    eventually(lambda: store.items[FEATURES]["bool"]["version"] == 8)
    assert client.variation("bool", USER, "d") is False


@pytest.mark.parametrize("base, expected", [(InMemoryFeatureStore, "memory"), (OwnStore, "custom")])
def test_the_report_names_the_kind_of_store(make_client, service, base, expected):
    class Store(base):
        pass

    make_client(feature_store=Store(), diagnostic_opt_out=False)
    service.wait_for(lambda: service.received("POST", "/diagnostic"))
    report = service.received("POST", "/diagnostic")[0]["json"]
    assert report["configuration"]["dataStoreType"] == expected


def test_threads_that_evaluate_at_the_same_time_each_get_what_the_store_says(daemon):
    store = OwnStore({str(number): flag(str(number), number) for number in range(8)})
    client = daemon(store)
    wrong = []

    def evaluate(number):
        for _ in range(300):
            if client.variation(str(number), USER, None) != number:
                wrong.append(number)

    threads = [threading.Thread(target=evaluate, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert wrong == []
