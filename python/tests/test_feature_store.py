"""The store in memory."""

import threading

from fake_service import TIMEOUT
from ldclient import Config, LDClient
from ldclient.feature_store import CacheConfig, InMemoryFeatureStore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS


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


def test_an_empty_one_is_what_a_client_has_anyway(caplog):
    LDClient(config=Config(offline=True, feature_store=InMemoryFeatureStore())).close()
    assert caplog.messages == []
    LDClient(config=Config(offline=True, feature_store=filled())).close()
    assert ["feature_store" in message for message in caplog.messages] == [True]


def test_cache_config():
    assert (CacheConfig().expiration, CacheConfig().capacity, CacheConfig().enabled) == (15, 1000, True)
    assert CacheConfig.default().expiration == CacheConfig.DEFAULT_EXPIRATION
    assert not CacheConfig.disabled().enabled
    assert CacheConfig(capacity=5).capacity == CacheConfig(5, 5).expiration
