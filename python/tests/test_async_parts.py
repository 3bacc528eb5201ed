"""Components written as coroutines: they run on the client's event loop, and never keep it from running."""

import asyncio
import threading

import pytest
from conftest import FLAGS
from fake_service import TIMEOUT
from test_asyncio import config_for, eventually, run

from ldclient import Context
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncBigSegmentsConfig, AsyncConfig, AsyncDataSystemConfig
from ldclient.async_feature_store import AsyncInMemoryFeatureStore
from ldclient.async_feature_store_helpers import AsyncCachingStoreWrapper
from ldclient.config import DataSourceBuilder
from ldclient.feature_store import CacheConfig
from ldclient.integrations import DynamoDB, Redis
from ldclient.integrations.test_data import TestData
from ldclient.interfaces import (
    AsyncBigSegmentStore,
    AsyncEventProcessor,
    AsyncFeatureRequester,
    AsyncFeatureStore,
    AsyncFeatureStoreCore,
    AsyncInitializer,
    AsyncSynchronizer,
    AsyncUpdateProcessor,
    Basis,
    BigSegmentStoreMetadata,
    Change,
    ChangeSet,
    ChangeType,
    DataSourceState,
    FeatureStore,
    IntentCode,
    ObjectKind,
    Selector,
    Update,
)
from ldclient.plugin import AsyncPlugin
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from servers import TABLE, redis, redis_server
from test_stores import dynamodb_opts

USER = Context.create("user-1")


def flag(key, value, version=1, **more):
    return {"key": key, "version": version, "on": True, "variations": [value], "fallthrough": {"variation": 0},
            "salt": "", **more}


class OnOneThread:
    """Notes on which threads its coroutines run."""

    def __init__(self):
        self.threads = set()

    async def here(self):
        self.threads.add(threading.current_thread())
        # Only an event loop that goes on comes back from this.
        await asyncio.sleep(0.001)
        self.threads.add(threading.current_thread())


class Store(OnOneThread, AsyncFeatureStore):
    def __init__(self, *flags):
        super().__init__()
        self.items = {FEATURES: {one["key"]: one for one in flags}, SEGMENTS: {}}
        self.filled = bool(flags)

    async def get(self, kind, key):
        await self.here()
        return self.items[kind].get(key)

    async def all(self, kind):
        await self.here()
        return dict(self.items[kind])

    async def init(self, all_data):
        await self.here()
        self.items = {kind: dict(items) for kind, items in all_data.items()}
        self.filled = True

    async def upsert(self, kind, item):
        await self.here()
        self.items[kind][item["key"]] = item

    async def delete(self, kind, key, version):
        await self.here()
        self.items[kind].pop(key, None)

    async def initialized(self):
        await self.here()
        return self.filled


def test_a_store_is_read_in_daemon_mode_and_many_evaluations_wait_for_it_at_once():
    async def main():
        store = Store(flag("stored", "yes"))
        async with AsyncLDClient(AsyncConfig("k", use_ldd=True, send_events=False, feature_store=store)) as client:
            assert await client.is_initialized()
            answers = [client.variation("stored", USER, "default") for _ in range(100)]
            assert await asyncio.gather(*answers) == ["yes"] * 100
            assert (await client.variation_detail("unknown", USER, 1)).reason["errorKind"] == "FLAG_NOT_FOUND"
            assert (await client.all_flags_state(USER)).to_values_map() == {"stored": "yes"}
        assert store.threads == {threading.current_thread()}

    run(main())


def test_a_store_is_filled_by_the_stream(service):
    async def main():
        store = Store()
        async with AsyncLDClient(config_for(service, feature_store=store)) as client:
            assert await client.variation("bool", USER, "default") is True
            service.patch("bool", variations=["changed"], fallthrough={"variation": 0})
            await eventually(lambda: store.items[FEATURES]["bool"]["version"] == FLAGS["bool"]["version"] + 1)
            await_value = client.variation("bool", USER, "default")
            assert await await_value in (True, "changed")
        assert store.threads == {threading.current_thread()}

    run(main())


def test_a_store_that_fails_gives_defaults(caplog):
    class Broken(Store):
        async def get(self, kind, key):
            raise OSError("on purpose")

    async def main():
        config = AsyncConfig("k", use_ldd=True, send_events=False, feature_store=Broken(flag("stored", "yes")))
        async with AsyncLDClient(config) as client:
            detail = await client.variation_detail("stored", USER, "default")
            assert (detail.value, detail.reason) == ("default", {"kind": "ERROR", "errorKind": "EXCEPTION"})

    run(main())
    assert "on purpose" in caplog.text


def test_a_store_that_cannot_wait_in_a_property_is_asked_by_a_coroutine():
    class Asked(Store):
        initialized = False

        async def is_initialized(self):
            await self.here()
            return True

    async def main():
        store = Asked(flag("stored", "yes"))
        async with AsyncLDClient(AsyncConfig("k", use_ldd=True, send_events=False, feature_store=store)) as client:
            assert await client.variation("stored", USER, "default") == "yes" and await client.is_initialized()

    run(main())


def test_a_store_in_memory_is_the_clients_memory(service):
    async def main():
        store = AsyncInMemoryFeatureStore()
        assert not store.initialized and not await store.is_initialized()
        async with AsyncLDClient(config_for(service, feature_store=store)) as client:
            assert await client.variation("bool", USER, False) is True
            assert store.initialized and await store.is_initialized()
            assert (await store.get(FEATURES, "bool"))["version"] == 7
            await store.upsert(FEATURES, flag("own", "mine"))
            assert await client.variation("own", USER, "default") == "mine"
            assert "own" in await store.all(FEATURES)
            await store.delete(FEATURES, "own", 2)
            assert await store.get(FEATURES, "own") is None

    run(main())


class Core(OnOneThread, AsyncFeatureStoreCore):
    def __init__(self):
        super().__init__()
        self.items = {FEATURES: {"stored": flag("stored", "yes")}, SEGMENTS: {}}
        self.reads = 0

    async def init_internal(self, all_data):
        await self.here()
        self.items = {kind: dict(items) for kind, items in all_data.items()}

    async def get_internal(self, kind, key):
        await self.here()
        self.reads += 1
        return self.items[kind].get(key)

    async def get_all_internal(self, kind):
        await self.here()
        return dict(self.items[kind])

    async def upsert_internal(self, kind, item):
        await self.here()
        self.items[kind][item["key"]] = item
        return item

    async def initialized_internal(self):
        await self.here()
        return True


def test_a_database_is_cached_for_a_client_and_for_the_program():
    async def main():
        core = Core()
        store = AsyncCachingStoreWrapper(core, CacheConfig(expiration=100))
        assert (await store.get(FEATURES, "stored"))["version"] == 1
        assert not store.initialized and await store.is_initialized() and store.initialized
        async with AsyncLDClient(AsyncConfig("k", use_ldd=True, send_events=False, feature_store=store)) as client:
            for _ in range(3):
                assert await client.variation("stored", USER, "default") == "yes"
        assert core.reads == 1 and store._core is core
        assert core.threads == {threading.current_thread()}
        await store.upsert(FEATURES, flag("stored", "no", 2))
        await store.delete(FEATURES, "other", 1)
        assert (await store.get(FEATURES, "stored"))["variations"] == ["no"]
        await store.init({FEATURES: {}, SEGMENTS: {}})
        assert await store.all(FEATURES) == {}

    run(main())


def test_big_segments_are_asked_for(service):
    class BigSegments(OnOneThread, AsyncBigSegmentStore):
        asked = 0
        stopped = False

        async def get_metadata(self):
            await self.here()
            return BigSegmentStoreMetadata(4_000_000_000_000)

        async def get_membership(self, context_hash):
            await self.here()
            self.asked += 1
            return {"big.g1": True}

        async def stop(self):
            self.stopped = True

    service.segments["big"] = {"key": "big", "version": 1, "unbounded": True, "generation": 1, "salt": ""}
    clause = {"attribute": "", "op": "segmentMatch", "values": ["big"]}
    service.flags["in-big"] = {
        **flag("in-big", "out"),
        "variations": ["in", "out"], "fallthrough": {"variation": 1},
        "rules": [{"id": "r", "variation": 0, "clauses": [clause]}],
    }

    async def main():
        store = BigSegments()
        config = config_for(service, big_segments=AsyncBigSegmentsConfig(store))
        async with AsyncLDClient(config) as client:
            detail = await client.variation_detail("in-big", USER, "default")
            assert (detail.value, detail.reason["bigSegmentsStatus"]) == ("in", "HEALTHY")
            await asyncio.gather(*(client.variation("in-big", USER, "default") for _ in range(10)))
            assert (await client.big_segment_store_status_provider.get_status()).available
        assert store.asked == 1 and store.stopped and store.threads == {threading.current_thread()}

    run(main())


class Source(OnOneThread, AsyncUpdateProcessor):
    """Writes what `made` says, and awaits that."""

    def __init__(self, config, store, ready):
        super().__init__()
        self.store, self.ready, self.stopped, self.done = store, ready, False, False
        Source.made = self

    async def start(self):
        await self.here()
        self.task = asyncio.create_task(self.work())

    async def work(self):
        await self.store.init({FEATURES: {"flag": flag("flag", "first")}, SEGMENTS: {}})
        self.done = True
        self.ready.set()

    def initialized(self):
        return self.done

    async def stop(self):
        await self.here()
        self.stopped = True


@pytest.mark.parametrize("store", [None, AsyncInMemoryFeatureStore, Store])
def test_a_data_source_of_coroutines_brings_flags(store):
    async def main():
        more = {} if store is None else {"feature_store": store()}
        config = AsyncConfig("k", update_processor_class=Source, send_events=False, **more)
        async with AsyncLDClient(config) as client:
            assert await client.is_initialized()
            assert await client.variation("flag", USER, "default") == "first"
            await Source.made.store.upsert(FEATURES, flag("flag", "second", 2))
            assert await client.variation("flag", USER, "default") == "second"
        assert Source.made.stopped and Source.made.threads == {threading.current_thread()}

    run(main())


def test_a_data_source_without_coroutines_works_as_ever():
    async def main():
        data = TestData.data_source()
        async with AsyncLDClient(AsyncConfig("k", update_processor_class=data, send_events=False)) as client:
            data.update(data.flag("flag").variation_for_all(True))
            assert await client.variation("flag", USER, False) is True

    run(main())


def test_a_requester_of_coroutines_is_polled():
    class Requester(OnOneThread, AsyncFeatureRequester):
        def __init__(self, config):
            super().__init__()
            Requester.made = self

        async def get_all_data(self):
            await self.here()
            return {FEATURES: {"flag": flag("flag", "polled")}, SEGMENTS: {}}

    async def main():
        config = AsyncConfig("k", stream=False, feature_requester_class=Requester, send_events=False)
        async with AsyncLDClient(config) as client:
            assert await client.variation("flag", USER, "default") == "polled"
        assert Requester.made.threads == {threading.current_thread()}

    run(main())


def test_an_event_processor_of_coroutines_takes_events_in_order(service):
    class Events(OnOneThread, AsyncEventProcessor):
        def __init__(self, config):
            super().__init__()
            self.taken = []
            Events.made = self

        async def send_event(self, event):
            self.taken.append((event["kind"], event.get("key")))
            await self.here()

        async def flush(self):
            await self.here()
            self.taken.append("flush")

        async def stop(self):
            await self.here()
            self.taken.append("stop")

    async def main():
        async with AsyncLDClient(config_for(service, event_processor_class=Events)) as client:
            await client.variation("bool", USER, False)
            client.track("bought", USER)
            client.identify(USER)
            assert await client.flush_and_wait(TIMEOUT)
        kinds = [("feature", "bool"), ("custom", "bought"), ("identify", "user-1"), "flush", "stop"]
        assert Events.made.taken == kinds and Events.made.threads == {threading.current_thread()}

    run(main())
    assert service.received("POST", "/bulk") == []


def test_a_plugin_of_coroutines_is_registered_before_flags_come(service):
    class Plugin(AsyncPlugin):
        async def register(self, client, metadata):
            await asyncio.sleep(0.01)
            self.client, self.was_ready = client, await client.is_initialized()
            self.told = []
            client.flag_tracker.add_listener(lambda change: self.told.append(change.key))

    async def main():
        plugin = Plugin()
        async with AsyncLDClient(config_for(service, plugins=[plugin])) as client:
            assert plugin.client is client and not plugin.was_ready
            await eventually(lambda: "bool" in plugin.told)

    run(main())


def test_sources_of_a_data_system_may_be_coroutines():
    class First(AsyncInitializer):
        async def fetch(self, ss):
            await asyncio.sleep(0.001)
            change = Change(ChangeType.PUT, ObjectKind.FLAG, "flag", 1, flag("flag", "fetched"))
            changes = ChangeSet(IntentCode.TRANSFER_FULL, [change], Selector("state", 1))
            return Basis(change_set=changes, persist=False)

    class Then(AsyncSynchronizer):
        made = None

        def __init__(self):
            Then.made = self
            self.goes_on, self.stopped, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def sync(self, ss):
            try:
                await self.goes_on.wait()
                change = Change(ChangeType.PUT, ObjectKind.FLAG, "flag", 2, flag("flag", "synchronized", 2))
                changes = ChangeSet(IntentCode.TRANSFER_CHANGES, [change], Selector("state", 2))
                yield Update(DataSourceState.VALID, changes)
                await self.stopped.wait()
            finally:
                self.ended.set()

        async def stop(self):
            self.stopped.set()

    class Builder(DataSourceBuilder):
        def __init__(self, make):
            self.make = make

        def build(self, config):
            return self.make()

    async def main():
        system = AsyncDataSystemConfig(initializers=[Builder(First)], synchronizers=[Builder(Then)])
        async with AsyncLDClient(AsyncConfig("k", datasystem_config=system, send_events=False)) as client:
            assert await client.variation("flag", USER, "default") == "fetched"
            await eventually(lambda: Then.made is not None)
            Then.made.goes_on.set()
            while await client.variation("flag", USER, "default") != "synchronized":
                await asyncio.sleep(0.01)
        await asyncio.wait_for(Then.made.ended.wait(), TIMEOUT)

    run(main())


def test_redis_is_read_by_its_stores_for_asyncio(service):
    server = redis_server()
    url = "redis://127.0.0.1:%d" % server.port
    try:

        async def main():
            store = Redis.async_feature_store(url, prefix="asyncio", caching=CacheConfig.disabled())
            async with AsyncLDClient(config_for(service, feature_store=store)) as client:
                assert await client.variation("bool", USER, "default") is True
                await eventually(lambda: redis(server.port, "HGET", "asyncio:features", "bool") is not None)
            reading = Redis.async_feature_store(url, prefix="asyncio")
            assert await reading.is_initialized() and (await reading.get(FEATURES, "bool"))["version"] == 7
            ldd = AsyncConfig("k", use_ldd=True, send_events=False, feature_store=reading)
            async with AsyncLDClient(ldd) as client:
                assert await client.variation("bool", USER, "default") is True
            segments = Redis.async_big_segment_store(url, prefix="asyncio")
            assert (await segments.get_metadata()).last_up_to_date is None
            assert not await segments.get_membership("hash")
            await segments.stop()

        run(main())
    finally:
        server.stop()


def test_dynamodb_is_read_by_its_store_for_asyncio(service, dynamodb_port):
    def store():
        return DynamoDB.async_feature_store(TABLE, "asyncio", dynamodb_opts(dynamodb_port))

    async def main():
        written = store()
        async with AsyncLDClient(config_for(service, feature_store=written)) as client:
            assert await client.variation("bool", USER, "default") is True
        ldd = AsyncConfig("k", use_ldd=True, send_events=False, feature_store=store())
        async with AsyncLDClient(ldd) as client:
            assert await client.variation("bool", USER, "default") is True

    run(main())


def test_coroutines_whose_event_loop_is_gone_give_defaults_and_hold_nobody_up(caplog):
    store = Store(flag("stored", "yes"))
    client = AsyncLDClient(AsyncConfig("k", use_ldd=True, send_events=False, feature_store=store))

    async def first():
        await client.start()
        assert await client.variation("stored", USER, "default") == "yes"

    async def second():
        # Another event loop takes over.
        assert await client.variation("stored", USER, "default") == "yes"
        await client.close()

    asyncio.run(first())
    # Nobody runs coroutines now: the client behind says so.
    assert client._client().variation("stored", USER, "default") == "default"
    assert "does not run any more" in caplog.text
    asyncio.run(second())


class Plain(FeatureStore):
    """Waits, on the thread that calls."""

    initialized = True

    def __init__(self, released):
        self.released = released

    def get(self, kind, key, callback=lambda x: x):
        assert self.released.wait(TIMEOUT)
        return callback(None)


def test_a_store_without_coroutines_does_not_keep_the_event_loop_waiting():
    async def main():
        released = threading.Event()
        config = AsyncConfig("k", use_ldd=True, send_events=False, feature_store=Plain(released))
        async with AsyncLDClient(config) as client:
            asyncio.get_running_loop().call_later(0.05, released.set)
            assert await client.variation("any", USER, "default") == "default" and released.is_set()

    run(main())


def test_what_a_database_said_lately_is_answered_without_another_thread(service):
    server = redis_server()
    url = "redis://127.0.0.1:%d" % server.port
    try:

        async def main():
            async with AsyncLDClient(config_for(service, feature_store=Redis.async_feature_store(url))):
                await eventually(lambda: redis(server.port, "EXISTS", "launchdarkly:$inited") == 1)
            ldd = AsyncConfig("k", use_ldd=True, send_events=False, feature_store=Redis.async_feature_store(url))
            async with AsyncLDClient(ldd) as client:
                native = client._client()._native
                assert native.may_wait and native.may_wait_for("bool")
                assert await client.variation("bool", USER, "default") is True
                assert not native.may_wait_for("bool") and native.may_wait_for("off")
                # A coroutine that waits for nothing is done in one step.
                coroutine = client.variation("bool", USER, "default")
                with pytest.raises(StopIteration) as done:
                    coroutine.send(None)
                assert done.value.value is True

        run(main())
    finally:
        server.stop()
