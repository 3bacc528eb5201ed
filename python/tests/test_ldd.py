"""Daemon mode: flags are read from a store that somebody else writes, and nothing is received."""

import pytest

from ldclient import Config, Context, LDClient
from ldclient.feature_store import CacheConfig, InMemoryFeatureStore
from ldclient.integrations import Redis
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from servers import redis, redis_server
from test_python_stores import OwnStore, flag
from waiting import eventually

USER = Context.create("user-1")


class Stored:
    """A store, and how somebody else writes to it."""

    def __init__(self, store, put):
        self.store = store
        self.put = put


def _own(request):
    store = OwnStore()
    return Stored(store, lambda item: store.upsert(FEATURES, item))


def _memory(request):
    store = InMemoryFeatureStore()
    return Stored(store, lambda item: store.upsert(FEATURES, item))


def _redis(request):
    port = request.getfixturevalue("redis_port")
    url = "redis://127.0.0.1:%d" % port
    prefix = request.node.name
    written = Redis.new_feature_store(url, prefix)
    read = Redis.new_feature_store(url, prefix, caching=CacheConfig.disabled())
    redis(port, "DEL", prefix + ":features")
    return Stored(read, lambda item: written.upsert(FEATURES, item))


@pytest.fixture(params=[_own, _memory, _redis])
def stored(request):
    return request.param(request)


@pytest.fixture
def daemon(stored, service):
    """A client that reads the store."""
    config = Config("sdk-test", feature_store=stored.store, use_ldd=True, diagnostic_opt_out=True, **service.uris())
    with LDClient(config=config) as client:
        yield client


def test_flags_are_those_of_the_store_and_nothing_is_received(daemon, stored, service):
    assert daemon.is_initialized() and not daemon.is_offline()
    assert daemon.variation_detail("f", USER, "d").reason == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}
    stored.put(flag("f"))
    assert daemon.variation("f", USER, "d") == "value"
    assert daemon.variation("f", {"key": "u"}, "d") == "value"
    stored.put(flag("f", "newer", version=2))
    assert daemon.variation("f", USER, "d") == "newer"
    assert daemon.all_flags_state(USER).to_values_map() == {"f": "newer"}
    assert [one for one in service.requests if one["method"] == "GET"] == []


def test_events_are_sent(daemon, stored, service):
    stored.put(flag("f", trackEvents=True))
    daemon.variation("f", USER, "d")
    daemon.track("done", USER)
    daemon.flush()
    assert service.wait_for_events(kind="feature")[0]["key"] == "f"
    assert service.wait_for_events(kind="custom")[0]["key"] == "done"
    assert service.wait_for_events(kind="summary")[0]["features"]["f"]["counters"][0]["value"] == "value"


def test_the_mode_is_logged_and_not_waited_for(caplog, stored):
    caplog.set_level("INFO")
    with LDClient(config=Config("sdk-test", feature_store=stored.store, use_ldd=True, send_events=False)):
        pass
    assert "Started LaunchDarkly Client in LDD mode" in caplog.messages
    assert not [message for message in caplog.messages if "Waiting up to" in message or "Stopping" in message]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_data_source_of_the_program_s_own_is_not_made(stored):
    def make(config, store, ready):
        raise AssertionError("nobody should be asked for flags")

    config = Config("sdk-test", feature_store=stored.store, use_ldd=True, send_events=False,
                    update_processor_class=make)
    with LDClient(config=config) as client:
        stored.put(flag("f"))
        assert client.variation("f", USER, "d") == "value"


def test_the_client_writes_nothing(daemon, stored):
    stored.put(flag("f"))
    assert daemon.variation("f", USER, "d") == "value"
    daemon.close()
    if isinstance(stored.store, OwnStore):
        assert [call[0] for call in stored.store.calls] == ["upsert", "get"]
    if type(stored.store) is not InMemoryFeatureStore:
        assert not stored.store.initialized, "somebody else says when all flags are there"


def test_offline_goes_first(stored):
    stored.put(flag("f"))
    with LDClient(config=Config("sdk-test", feature_store=stored.store, use_ldd=True, offline=True)) as client:
        assert client.variation_detail("f", USER, "d").reason["errorKind"] == "CLIENT_NOT_READY"


def test_a_database_that_goes_and_comes_is_told(service):
    server = redis_server()
    url = "redis://127.0.0.1:%d" % server.port
    store = Redis.new_feature_store(url)
    store.init({FEATURES: {"f": flag("f")}, SEGMENTS: {}})
    read = Redis.new_feature_store(url, caching=CacheConfig.disabled())
    config = Config("sdk-test", feature_store=read, use_ldd=True, send_events=False)
    with LDClient(config=config) as client:
        provider = client.data_store_status_provider
        assert client.variation("f", USER, "d") == "value" and provider.status.available
        server.stop()
        assert client.variation("f", USER, "d") == "value", "what was read last is served"
        assert not provider.status.available
        detail = client.variation_detail("unread", USER, "d")
        assert detail.reason == {"kind": "ERROR", "errorKind": "EXCEPTION"}
        again = redis_server(server.port)
        try:
            store.init({FEATURES: {"f": flag("f", "again")}, SEGMENTS: {}})
            eventually(lambda: provider.status.available)
            eventually(lambda: client.variation("f", USER, "d") == "again")
        finally:
            again.stop()
