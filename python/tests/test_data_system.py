"""``ldclient.datasystem``: sources that take over from one another, and stores beside them."""

import queue
import threading
from unittest import mock

import pytest
from fake_service import TIMEOUT, FakeService
from ldclient import Config, LDClient, datasystem
from ldclient.config import DataSourceBuilder, DataSystemConfig, HTTPConfig
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.interfaces import (
    Basis,
    Change,
    ChangeSet,
    ChangeType,
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataStoreMode,
    FeatureStore,
    Initializer,
    IntentCode,
    ObjectKind,
    Payload,
    Selector,
    ServerIntent,
    Synchronizer,
    Update,
)
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from waiting import eventually

USER = {"key": "u"}
STREAM, POLL, FDV1 = "/sdk/stream", "/sdk/poll", "/sdk/latest-all"


def flag(value, version=1):
    return {"key": "own", "version": version, "on": True, "variations": [value], "fallthrough": {"variation": 0}}


def transfer(value, version=1, state="", code=IntentCode.TRANSFER_FULL):
    change = Change(ChangeType.PUT, ObjectKind.FLAG, "own", version, flag(value, version))
    return ChangeSet(code, [change], Selector(state, version))


def asked(service, *paths):
    return [len(service.received("GET", path)) for path in paths]


@pytest.fixture
def system_client(make_client):
    """Makes clients with a data system."""
    return lambda builder, **settings: make_client(datasystem_config=builder.build(), **settings)


def test_the_default_is_a_poll_and_then_a_stream(service, system_client):
    client = system_client(datasystem.default())
    assert client.is_initialized()
    assert client.variation("tracked", USER, "d") == "x"
    stream = service.wait_for(lambda: service.received("GET", STREAM))[0]
    assert stream["path"] == "/sdk/stream?basis=%28p%3A0%29"
    assert asked(service, POLL, STREAM, FDV1, "/all") == [1, 1, 0, 0]
    service.patch("bool", variations=["changed"])
    eventually(lambda: client.variation("bool", USER, "d") == "changed")
    assert client.data_source_status_provider.status.state == DataSourceState.VALID


def test_a_stream_alone_asks_for_no_poll(service, system_client):
    client = system_client(datasystem.streaming())
    assert client.variation("bool", USER, False) is True
    assert asked(service, POLL, STREAM, FDV1, "/all") == [0, 1, 0, 0]


def test_polls_alone_go_on(service, system_client):
    with mock.patch.object(Config, "poll_interval", new_callable=mock.PropertyMock, return_value=0.05):
        client = system_client(datasystem.polling())
    assert client.variation("bool", USER, False) is True
    service.patch("bool", variations=["changed"])
    eventually(lambda: client.variation("bool", USER, "d") == "changed")
    assert asked(service, STREAM, FDV1, "/all") == [0, 0, 0]


def test_sources_may_ask_other_hosts_each(system_client):
    poll, stream = FakeService({"bool": flag(True)}), FakeService({"bool": flag("streamed")})
    stream._changes = 1
    first = datasystem.polling_ds_builder().base_uri(poll.url + "/").poll_interval(60)
    builder = datasystem.custom().initializers([first])
    builder.synchronizers(datasystem.streaming_ds_builder().base_uri(stream.url).initial_reconnect_delay(0.01))
    client = system_client(builder)
    eventually(lambda: client.variation("bool", USER, "d") == "streamed")
    assert asked(poll, POLL, STREAM) == [1, 0] and asked(stream, POLL, STREAM) == [0, 1]
    stream.drop_streams()
    stream.wait_for(lambda: asked(stream, STREAM) == [2])
    client.close()
    poll.close()
    stream.close()


def test_a_source_may_be_reached_in_a_way_of_its_own(service, system_client):
    proxy = FakeService()
    reached = HTTPConfig(http_proxy=proxy.url, connect_timeout=TIMEOUT)
    builder = datasystem.custom().initializers([datasystem.polling_ds_builder().http_options(reached)])
    client = system_client(builder.synchronizers(datasystem.streaming_ds_builder()))
    assert client.variation("bool", USER, False) is True
    assert [one["path"] for one in proxy.requests] == [service.url + POLL]
    assert asked(service, POLL, STREAM) == [0, 1]
    client.close()
    proxy.close()


def test_a_source_that_the_service_refuses_is_followed_by_the_next(service, system_client):
    service.statuses[STREAM] = 403
    builder = datasystem.custom()
    builder.synchronizers(datasystem.streaming_ds_builder(), datasystem.polling_ds_builder())
    client = system_client(builder)
    assert client.variation("bool", USER, False) is True
    assert asked(service, STREAM, POLL) == [1, 1]


def test_first_generation_delivery_is_used_when_the_service_asks_for_it(service, system_client):
    service.fallback = True
    service.statuses.update({STREAM: 200, POLL: 200})
    client = system_client(datasystem.default())
    assert client.variation("bool", USER, False) is True
    service.wait_for(lambda: asked(service, FDV1) == [1])
    assert asked(service, POLL, STREAM, "/all") == [1, 0, 0]


def test_without_a_fallback_it_ends(service, system_client):
    service.fallback = True
    client = system_client(datasystem.custom().synchronizers(datasystem.streaming_ds_builder()))
    eventually(lambda: client.data_source_status_provider.status.state == DataSourceState.OFF)
    assert asked(service, FDV1) == [0]


def test_what_cannot_be_in_its_place_is_ignored_with_a_warning(service, system_client, caplog):
    builder = datasystem.custom().initializers([datasystem.streaming_ds_builder()])
    builder.synchronizers(datasystem.fdv1_fallback_ds_builder(), datasystem.streaming_ds_builder())
    builder.fdv1_compatible_synchronizer(datasystem.streaming_ds_builder())
    client = system_client(builder)
    assert client.variation("bool", USER, False) is True
    said = [one for one in caplog.messages if "ignored" in one]
    assert len(said) == 3
    assert "The synchronizer for first-generation delivery must come from fdv1_fallback_ds_builder(); ignored" in said


@pytest.mark.parametrize(
    "make",
    [
        lambda: datasystem.polling_ds_builder().base_uri("nonsense"),
        lambda: datasystem.polling_ds_builder().poll_interval(1),
        lambda: datasystem.streaming_ds_builder().initial_reconnect_delay(0),
    ],
)
def test_settings_of_sources_that_cannot_be_are_warned_of(service, make_client, make, caplog):
    builder = datasystem.custom().initializers([datasystem.polling_ds_builder()])
    synchronizer = make()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    client = make_client(datasystem_config=builder.synchronizers(synchronizer).build())
    assert client.variation("bool", USER, False) is True


def test_synchronizers_cannot_be_none_at_all():
    with pytest.raises(ValueError):
        datasystem.custom().synchronizers()


def test_a_config_says_what_it_was_built_of():
    first, second = datasystem.polling_ds_builder(), datasystem.streaming_ds_builder()
    fallback, store = datasystem.fdv1_fallback_ds_builder(), InMemoryFeatureStore()
    config = (
        datasystem.custom().initializers([first]).synchronizers(second, first).fdv1_compatible_synchronizer(fallback)
        .data_store(store, DataStoreMode.READ_WRITE).build()
    )
    assert config == DataSystemConfig([first], [second, first], DataStoreMode.READ_WRITE, store, fallback)
    assert datasystem.daemon(store).build() == DataSystemConfig(None, None, DataStoreMode.READ_ONLY, store, None)
    persistent = datasystem.persistent_store(store).build()
    assert (persistent.data_store, persistent.data_store_mode) == (store, DataStoreMode.READ_WRITE)
    assert len(persistent.initializers) == 1 and len(persistent.synchronizers) == 2


def test_a_data_system_takes_the_place_of_other_settings(service, make_client):
    system = datasystem.streaming().build()
    client = make_client(
        datasystem_config=system, update_processor_class=lambda *arguments: None, stream=False, use_ldd=True
    )
    assert client.variation("bool", USER, False) is True
    assert asked(service, STREAM, POLL, FDV1) == [1, 0, 0]
    assert client._config.datasystem_config is system


def test_what_is_no_data_system_is_warned_of(service, make_client, caplog):
    client = make_client(datasystem_config=datasystem.default())
    assert "Config option datasystem_config cannot be" in caplog.text
    assert client.variation("bool", USER, False) is True
    assert asked(service, "/all") == [1]


def test_files_are_used_until_flags_come_that_are_up_to_date(service, system_client, tmp_path):
    path = tmp_path / "flags.json"
    path.write_text('{"flagValues": {"only-in-the-file": "file", "bool": "file"}}')
    service.statuses[STREAM] = 503
    builder = datasystem.custom().initializers([datasystem.file_ds_builder([str(path)])])
    builder.synchronizers(datasystem.streaming_ds_builder().initial_reconnect_delay(0.01))
    client = system_client(builder, start_wait=0)
    eventually(lambda: client.variation("only-in-the-file", USER, "d") == "file")
    service.statuses.clear()
    eventually(lambda: client.variation("bool", USER, "d") is True)
    assert client.variation("only-in-the-file", USER, "d") == "d"


def test_files_are_read_again_by_a_synchronizer(service, system_client, tmp_path):
    path = tmp_path / "flags.json"
    path.write_text('{"flagValues": {"own": "one"}}')
    builder = datasystem.file_ds_builder(path)
    builder._seconds = 0.01
    client = system_client(datasystem.custom().synchronizers(builder))
    assert client.variation("own", USER, "d") == "one"
    path.write_text('{"flagValues": {"own": "the second"}}')
    eventually(lambda: client.variation("own", USER, "d") == "the second")


class Brings(Initializer):
    """Brings one thing, or raises it."""

    def __init__(self, what):
        self.what = what
        self.asked_with = []

    def build(self, config):
        self.config = config
        return self

    def fetch(self, ss):
        self.asked_with.append(ss.selector())
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


class Says(Synchronizer):
    """Says what is put into its queue, until it is stopped."""

    def __init__(self, *updates):
        self.updates = queue.Queue()
        self.stopped = threading.Event()
        self.built = 0
        for update in updates:
            self.updates.put(update)

    def build(self, config):
        self.built += 1
        return self

    def sync(self, ss):
        self.selectors = ss
        while (update := self.updates.get(timeout=TIMEOUT)) is not None:
            if isinstance(update, Exception):
                raise update
            yield update

    def stop(self):
        self.stopped.set()
        self.updates.put(None)


class Result:
    def __init__(self, value=None, error=None):
        self.value, self.error = value, error

    def is_success(self):
        return self.error is None


@pytest.mark.parametrize("wrap", [lambda basis: basis, Result])
def test_an_initializer_written_in_python_brings_the_first_flags(service, system_client, wrap):
    initializer = Brings(wrap(Basis(transfer("own", state=service.selector), persist=True)))
    builder = datasystem.custom().initializers([initializer]).synchronizers(datasystem.streaming_ds_builder())
    client = system_client(builder)
    assert client.variation("own", USER, "d") == "own"
    assert initializer.asked_with == [Selector.no_selector()] and isinstance(initializer.config, Config)
    service.wait_for(lambda: service.received("GET", STREAM))
    assert service.received("GET", STREAM)[0]["path"].endswith("?basis=%28p%3A0%29")


@pytest.mark.parametrize("what", [ValueError("away"), None, Result(error="away"), "nonsense"])
def test_an_initializer_that_fails_is_followed_by_the_next(service, system_client, what, caplog):
    builder = datasystem.custom().initializers([Brings(what), datasystem.polling_ds_builder()])
    client = system_client(builder.synchronizers(datasystem.streaming_ds_builder()))
    assert client.variation("bool", USER, False) is True
    assert asked(service, POLL) == [1]
    assert "Unexpected error in the initializer Brings: " in caplog.text


def test_a_synchronizer_written_in_python_keeps_flags_up_to_date(system_client):
    synchronizer = Says(Update(DataSourceState.VALID, transfer("one", 1, "s1")))
    client = system_client(datasystem.custom().synchronizers(synchronizer))
    assert client.variation("own", USER, "d") == "one"
    eventually(lambda: synchronizer.selectors.selector().state == "s1")
    second = Change(ChangeType.PUT, ObjectKind.FLAG, "second", 2, dict(flag("two", 2), key="second"))
    gone = Change(ChangeType.DELETE, ObjectKind.FLAG, "own", 3)
    changes = ChangeSet(IntentCode.TRANSFER_CHANGES, [second, gone], Selector.new_selector("s2", 2))
    synchronizer.updates.put(Update(DataSourceState.VALID, changes))
    eventually(lambda: client.variation("second", USER, "d") == "two")
    assert client.variation("own", USER, "d") == "d"
    client.close()
    assert synchronizer.stopped.is_set() and synchronizer.built == 1


def test_a_synchronizer_says_how_it_is_doing(system_client):
    synchronizer = Says(Update(DataSourceState.VALID, transfer("one", 1, "s1")))
    client = system_client(datasystem.custom().synchronizers(synchronizer))
    provider = client.data_source_status_provider
    error = DataSourceErrorInfo(DataSourceErrorKind.NETWORK_ERROR, 0, 0.0, "no answer")
    synchronizer.updates.put(Update(DataSourceState.INTERRUPTED, error=error))
    eventually(lambda: provider.status.state == DataSourceState.INTERRUPTED)
    said = provider.status.error
    assert (said.kind, said.message) == (DataSourceErrorKind.NETWORK_ERROR, "no answer")
    synchronizer.updates.put(Update(DataSourceState.VALID))
    eventually(lambda: provider.status.state == DataSourceState.VALID)
    synchronizer.updates.put(Update(DataSourceState.OFF, error=error))
    eventually(lambda: provider.status.state == DataSourceState.OFF)
    assert client.variation("own", USER, "d") == "one"


def test_a_synchronizer_may_ask_for_first_generation_delivery(service, system_client):
    builder = datasystem.custom().synchronizers(Says(Update(DataSourceState.OFF, revert_to_fdv1=True)))
    client = system_client(builder.fdv1_compatible_synchronizer(datasystem.fdv1_fallback_ds_builder()))
    assert client.variation("bool", USER, False) is True
    assert asked(service, FDV1) == [1]


def test_a_synchronizer_that_raises_is_built_anew(system_client, caplog):
    synchronizer = Says(ValueError("away"), Update(DataSourceState.VALID, transfer("own", 1, "s1")))
    with mock.patch("ldclient.impl.system_sources._FIRST_PAUSE", 0.01):
        client = system_client(datasystem.custom().synchronizers(synchronizer))
        assert client.variation("own", USER, "d") == "own"
    assert synchronizer.built == 2
    assert "Unexpected error in the synchronizer Says: ValueError('away')" in caplog.messages


def test_a_synchronizer_that_has_nothing_more_to_say_is_followed_by_the_next(service, system_client):
    builder = datasystem.custom().synchronizers(Says(None), datasystem.streaming_ds_builder())
    assert system_client(builder).variation("bool", USER, False) is True


def test_a_change_set_that_makes_no_sense_changes_nothing(system_client):
    bad = ChangeSet(IntentCode.TRANSFER_FULL, [Change(ChangeType.PUT, ObjectKind.FLAG, "own", 1, {"variations": 5})])
    synchronizer = Says(Update(DataSourceState.VALID, transfer("one", 1, "s1")), Update(DataSourceState.VALID, bad))
    with mock.patch("ldclient.impl.system_sources._FIRST_PAUSE", 0.01):
        client = system_client(datasystem.custom().synchronizers(synchronizer))
        eventually(lambda: client.data_source_status_provider.status.state == DataSourceState.INTERRUPTED)
    assert client.variation("own", USER, "d") == "one"


def test_a_stop_that_raises_harms_nobody(system_client, caplog):
    synchronizer = Says(Update(DataSourceState.VALID, transfer("one", 1, "s1")))

    def fail():
        synchronizer.updates.put(None)
        raise ValueError("stuck")

    synchronizer.stop = fail
    system_client(datasystem.custom().synchronizers(synchronizer)).close()
    eventually(lambda: "Unexpected error when the source Says was stopped: ValueError('stuck')" in caplog.messages)


class KeepsAll(FeatureStore):
    """Keeps everything; counts what is read."""

    def __init__(self):
        self.items = {FEATURES: {}, SEGMENTS: {}}
        self.has_all = False
        self.written = threading.Event()
        self.reads = 0

    def get(self, kind, key, callback=lambda x: x):
        self.reads += 1
        return callback(self.items[kind].get(key))

    def all(self, kind, callback=lambda x: x):
        self.reads += 1
        return callback(dict(self.items[kind]))

    def init(self, all_data):
        self.items = {kind: dict(items) for kind, items in all_data.items()}
        self.has_all = True
        self.written.set()

    def upsert(self, kind, item):
        self.items[kind][item["key"]] = item
        self.written.set()

    @property
    def initialized(self):
        return self.has_all


def test_a_store_is_read_until_there_are_fresh_flags_and_then_written(service, system_client):
    store = KeepsAll()
    store.init({FEATURES: {"own": flag("stored")}, SEGMENTS: {}})
    store.written.clear()
    service.statuses.update({STREAM: 503, POLL: 503})
    client = system_client(datasystem.persistent_store(store), start_wait=0)
    assert client.variation("own", USER, "d") == "stored"
    service.statuses.clear()
    client.close()
    client = system_client(datasystem.persistent_store(store))
    assert client.variation("bool", USER, "d") is True
    assert store.written.wait(TIMEOUT)
    eventually(lambda: "bool" in store.items[FEATURES] and "own" not in store.items[FEATURES])
    reads = store.reads
    assert client.variation("own", USER, "d") == "d" and client.variation("off", USER, "d") == "b"
    assert store.reads == reads


def test_a_store_that_is_somebody_elses_is_not_written(service, system_client):
    store = KeepsAll()
    store.init({FEATURES: {"own": flag("stored")}, SEGMENTS: {}})
    store.written.clear()
    client = system_client(datasystem.default().data_store(store, DataStoreMode.READ_ONLY))
    assert client.variation("bool", USER, "d") is True
    service.patch("bool", variations=["changed"])
    eventually(lambda: client.variation("bool", USER, "d") == "changed")
    client.close()
    assert not store.written.is_set()


def test_a_daemon_reads_its_store_alone(service, system_client):
    store = KeepsAll()
    store.init({FEATURES: {"own": flag("stored")}, SEGMENTS: {}})
    client = system_client(datasystem.daemon(store))
    assert client.is_initialized()
    assert client.variation("own", USER, "d") == "stored"
    store.upsert(FEATURES, flag("changed", 2))
    eventually(lambda: client.variation("own", USER, "d") == "changed")
    assert asked(service, POLL, STREAM, FDV1, "/all") == [0, 0, 0, 0]


def test_an_offline_client_has_no_data_system(service):
    config = Config("sdk-test", offline=True, datasystem_config=datasystem.default().build(), **service.uris())
    with LDClient(config=config) as client:
        assert client.variation("bool", USER, "d") == "d"
    assert service.requests == []


def test_messages_of_the_service_are_read_and_written():
    data = {"payloads": [{"id": "p", "target": 3, "intentCode": "xfer-changes", "reason": "stale"}]}
    intent = ServerIntent.from_dict(data)
    assert intent == ServerIntent(Payload("p", 3, IntentCode.TRANSFER_CHANGES, "stale"))
    assert intent.to_dict() == data
    assert not Selector().is_defined() and Selector.new_selector("s", 1).is_defined()


def test_a_builder_of_a_programs_own_is_asked_each_time_that_it_is_its_turn(system_client):
    configs = []

    class Builder(DataSourceBuilder):
        def build(self, config):
            configs.append(config)
            return Says(Update(DataSourceState.VALID, transfer("own", 1, "s1")))

    client = system_client(datasystem.custom().synchronizers(Builder()))
    assert client.variation("own", USER, "d") == "own"
    assert configs == [client._config]
