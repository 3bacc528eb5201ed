"""What turns a database of the program's own into a store: ``CachingStoreWrapper`` over a ``FeatureStoreCore``."""

import threading

import pytest

from fake_service import TIMEOUT
from ldclient import Context
from ldclient.feature_store import CacheConfig, _FeatureStoreDataSetSorter
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import FeatureStoreCore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS, VersionedDataKind
from test_python_stores import flag
from waiting import eventually

USER = Context.create("user-1")


class Core(FeatureStoreCore):
    """A database in memory that keeps what it was asked."""

    def __init__(self):
        self.items = {FEATURES: {}, SEGMENTS: {}}
        self.asked = []
        self.filled = False
        self.problem = None

    def _asked(self, *what):
        self.asked.append(what)
        if self.problem is not None:
            raise self.problem

    def init_internal(self, all_data):
        self._asked("init")
        self.items = {kind: dict(items) for kind, items in all_data.items()}
        self.filled = True

    def get_internal(self, kind, key):
        self._asked("get", key)
        return self.items[kind].get(key)

    def get_all_internal(self, kind):
        self._asked("all")
        return self.items[kind]

    def upsert_internal(self, kind, item):
        self._asked("upsert", item["key"])
        known = self.items[kind].get(item["key"])
        if known is not None and known["version"] >= item["version"]:
            return known
        self.items[kind][item["key"]] = item
        return item

    def initialized_internal(self):
        self._asked("initialized")
        return self.filled


@pytest.fixture
def core():
    return Core()


@pytest.fixture
def cached(core):
    return CachingStoreWrapper(core, CacheConfig(expiration=600))


@pytest.fixture
def uncached(core):
    return CachingStoreWrapper(core, CacheConfig.disabled())


def test_items_are_read_once_present_or_not(core, cached):
    core.items[FEATURES]["f"] = flag("f")
    for _ in range(3):
        assert cached.get(FEATURES, "f") == flag("f")
        assert cached.get(FEATURES, "f", lambda item: item["version"]) == 1
        assert cached.get(FEATURES, "missing", lambda item: item is None)
        assert set(cached.all(FEATURES)) == {"f"}
    assert core.asked == [("get", "f"), ("get", "missing"), ("all",)]
    cached.all(FEATURES).clear()
    assert set(cached.all(FEATURES, lambda items: items)) == {"f"}, "callers get copies"


def test_without_a_cache_everything_is_read_each_time(core, uncached):
    for _ in range(2):
        assert uncached.get(FEATURES, "f") is None and uncached.all(FEATURES) == {}
    assert core.asked == [("get", "f"), ("all",)] * 2


def test_deleted_items_are_not_given(core, cached):
    core.items[FEATURES]["f"] = {"key": "f", "version": 2, "deleted": True}
    assert cached.get(FEATURES, "f") is None and cached.all(FEATURES) == {}


def test_what_is_written_is_read_from_the_cache_and_all_items_anew(core, cached):
    core.items[FEATURES]["f"] = flag("f")
    cached.all(FEATURES)
    cached.upsert(FEATURES, flag("f", version=2))
    assert cached.get(FEATURES, "f")["version"] == 2
    assert cached.all(FEATURES)["f"]["version"] == 2
    assert core.asked == [("all",), ("upsert", "f"), ("all",)]
    cached.delete(FEATURES, "f", 3)
    assert cached.get(FEATURES, "f") is None and cached.all(FEATURES) == {}
    assert core.items[FEATURES]["f"] == {"key": "f", "version": 3, "deleted": True}


def test_an_older_item_that_is_refused_leaves_the_newer_one_in_the_cache(core, cached):
    core.items[FEATURES]["f"] = flag("f", version=5)
    cached.upsert(FEATURES, flag("f", version=4))
    assert cached.get(FEATURES, "f")["version"] == 5
    assert core.asked == [("upsert", "f")]


def test_a_full_data_set_is_cached_and_in_order(core, cached):
    first = flag("a", prerequisites=[{"key": "b", "variation": 0}])
    cached.init({FEATURES: {"a": first, "b": flag("b")}, SEGMENTS: {"s": {"key": "s", "version": 1}}})
    assert list(core.items) == [SEGMENTS, FEATURES] and list(core.items[FEATURES]) == ["b", "a"]
    assert cached.get(FEATURES, "a") == first and set(cached.all(FEATURES)) == {"a", "b"} and cached.initialized
    assert core.asked == [("init",)]


def test_whether_it_is_initialized_is_asked_until_it_is(core, cached, uncached):
    assert not cached.initialized and not cached.initialized
    assert not uncached.initialized and not uncached.initialized
    assert core.asked == [("initialized",)] * 3
    core.filled = True
    assert uncached.initialized and uncached.initialized
    assert not cached.initialized, "the answer is cached for a while, too"
    assert core.asked == [("initialized",)] * 4


def test_what_the_database_raises_comes_through_and_nothing_is_kept(core, cached):
    core.problem = OSError("gone")
    for attempt in (
        lambda: cached.get(FEATURES, "f"),
        lambda: cached.all(FEATURES),
        lambda: cached.init({FEATURES: {}}),
        lambda: cached.upsert(FEATURES, flag("f")),
        lambda: cached.delete(FEATURES, "f", 1),
        lambda: cached.initialized,
    ):
        with pytest.raises(OSError):
            attempt()
    core.problem = None
    core.items[FEATURES]["f"] = flag("f")
    assert cached.get(FEATURES, "f") == flag("f") and set(cached.all(FEATURES)) == {"f"}


def test_the_cache_forgets_in_time(core):
    cached = CachingStoreWrapper(core, CacheConfig(expiration=0.05))
    core.items[FEATURES]["f"] = flag("f")
    cached.get(FEATURES, "f")
    core.items[FEATURES]["f"] = flag("f", version=2)
    eventually(lambda: cached.get(FEATURES, "f")["version"] == 2)


def test_the_cache_keeps_no_more_than_it_may(core):
    cached = CachingStoreWrapper(core, CacheConfig(expiration=600, capacity=2))
    for key in ("a", "b", "c", "b", "c", "a"):
        cached.get(FEATURES, key)
    assert core.asked == [("get", key) for key in ("a", "b", "c", "a")], "the oldest goes first"
    nothing = CachingStoreWrapper(core, CacheConfig(expiration=600, capacity=0))
    nothing.get(FEATURES, "z"), nothing.get(FEATURES, "z")
    assert core.asked[-2:] == [("get", "z")] * 2


def test_the_cache_bears_many_threads(core):
    cached = CachingStoreWrapper(core, CacheConfig(expiration=600, capacity=5))
    core.items[FEATURES].update({str(number): flag(str(number)) for number in range(20)})
    wrong = []

    def use(first):
        for number in range(2_000):
            key = str((first + number) % 20)
            if cached.get(FEATURES, key)["key"] != key:
                wrong.append(key)

    threads = [threading.Thread(target=use, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert wrong == []


def test_kinds_that_decode_get_their_own_items(core):
    class Model(dict):
        def to_json_dict(self):
            return dict(self)

    kind = VersionedDataKind("features", "", "", decoder=Model)
    core.items[kind] = {"f": flag("f")}
    cached = CachingStoreWrapper(core, CacheConfig(expiration=600))
    assert type(cached.get(kind, "f")) is Model and type(cached.all(kind)["f"]) is Model
    cached.upsert(kind, Model(flag("f", version=2)))
    assert type(core.items[kind]["f"]) is dict and type(cached.get(kind, "f")) is Model


def test_whether_it_can_be_monitored_depends_on_the_core(core, cached):
    assert not cached.is_monitoring_enabled() and not cached.is_available() and cached._core is core
    core.is_available = lambda: False
    assert cached.is_monitoring_enabled() and not cached.is_available()
    core.is_available = lambda: True
    assert cached.is_available()
    core.close = lambda: core.asked.append(("close",))
    cached.close()
    assert core.asked == [("close",)]


def test_the_core_says_what_it_is(core, cached):
    assert cached.describe_configuration(None) == "custom"
    core.describe_configuration = lambda config: "Redis"
    assert cached.describe_configuration(None) == "Redis"


def test_a_client_uses_a_wrapped_core(core, make_client, service):
    client = make_client(feature_store=CachingStoreWrapper(core, CacheConfig(expiration=600)))
    assert client.variation("bool", USER, "d") is True
    assert core.items[FEATURES]["bool"]["version"] == 7
    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: client.variation("bool", USER, "d") is False)
    assert [asked for asked in core.asked if asked[0] == "get"] == [], "the cache knows what was written"


def test_flags_stand_after_what_they_need():
    def needing(key, *needed):
        return flag(key, prerequisites=[{"key": other, "variation": 0} for other in needed])

    flags = [needing("a", "b", "c"), needing("b", "d"), needing("c", "d", "missing"), needing("d"),
             needing("x", "y"), needing("y", "x")]
    deep = {str(number): needing(str(number), str(number + 1)) for number in range(5_000)}
    ordered = _FeatureStoreDataSetSorter.sort_all_collections(
        {FEATURES: {**{one["key"]: one for one in flags}, **deep}, SEGMENTS: {"s": {"key": "s", "version": 1}}}
    )
    assert list(ordered) == [SEGMENTS, FEATURES]
    places = {key: place for place, key in enumerate(ordered[FEATURES])}
    assert len(places) == 5_006
    assert places["d"] < places["b"] < places["a"] and places["d"] < places["c"] < places["a"]
    assert places["4999"] < places["4998"] < places["0"]
