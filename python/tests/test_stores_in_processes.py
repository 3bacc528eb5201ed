"""Stores in processes that fork, and at the end of programs."""

import time

import pytest

from conftest import FLAGS
from fake_service import TIMEOUT
from programs import run, start
from servers import redis
from test_big_segments import FLAG, SEGMENT

#: Stores that are written in Python, and count on the interpreter.
STORES = """
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata
from ldclient.config import BigSegmentsConfig
from ldclient.versioned_data_kind import FEATURES
class Own(InMemoryFeatureStore):
    pass
class Big(BigSegmentStore):
    def get_metadata(self):
        return BigSegmentStoreMetadata(int(time.time() * 1000))
    def get_membership(self, context_hash):
        time.sleep(0.001)
        return {"big.g2": True}
"""


@pytest.fixture
def big_service(service):
    service.flags["f"] = FLAG
    service.segments["big"] = SEGMENT
    return service


def test_a_child_reads_and_writes_a_store_of_the_program_s_own(service):
    program = STORES + """
store = Own()
client = connect(feature_store=store)
assert client.variation("bool", {"key": "u"}, None) is True
def work():
    assert client.variation("bool", {"key": "u"}, None) is True
    print("evaluated")
    sys.stdout.flush()
    assert until(lambda: (store.get(FEATURES, "bool") or {}).get("version", 0) > 7), "nobody writes here"
    print(client.variation("bool", {"key": "u"}, None))
in_child(work)
client.close()
"""
    process = start(service, program)
    try:
        assert process.stdout.readline() == "evaluated\n"
        # The child connects for itself, and is told of this, sooner or later.
        service.patch("bool", on=False, offVariation=1)
        out, err = process.communicate(timeout=2 * TIMEOUT)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "False\n", "")


def test_a_child_asks_big_segments_of_the_program_s_own(big_service):
    program = STORES + """
client = connect(big_segments=BigSegmentsConfig(store=Big(), context_cache_size=0))
def ask():
    detail = client.variation_detail("f", {"key": "u"}, None)
    assert (detail.value, detail.reason["bigSegmentsStatus"]) == (True, "HEALTHY"), detail
ask()
in_child(ask)
in_child(lambda: in_child(ask))
ask()
client.close()
print("done")
"""
    assert run(big_service, program) == "done\n"


def test_forks_among_threads_that_evaluate_with_stores_do_not_deadlock(big_service):
    program = STORES + """
client = connect(feature_store=Own(), big_segments=BigSegmentsConfig(store=Big(), context_cache_size=0))
stop = []
def evaluate(name):
    while not stop:
        assert client.variation("f", {"key": name}, None) is True
threads = [threading.Thread(target=evaluate, args=("u%d" % n,)) for n in range(6)]
for thread in threads:
    thread.start()
def work():
    assert client.variation("bool", {"key": "u"}, None) is True
    assert client.variation("f", {"key": "u"}, None) is True
for _ in range(15):
    in_child(work)
stop.append(True)
for thread in threads:
    thread.join(30)
    assert not thread.is_alive()
client.close()
print("done")
"""
    assert run(big_service, program) == "done\n"


def test_a_child_has_connections_to_redis_of_its_own(service, redis_port):
    program = STORES + """
from ldclient.integrations import Redis
from ldclient.feature_store import CacheConfig
url = "redis://127.0.0.1:%(port)d"
store = Redis.new_feature_store(url, "forked", caching=CacheConfig.disabled())
client = connect(feature_store=store)
assert client.variation("bool", {"key": "u"}, None) is True
def work():
    for _ in range(20):
        assert client.variation("bool", {"key": "u"}, None) is True
        assert store.get(FEATURES, "bool")["version"] == 7
in_child(work)
work()
client.close()
print("done")
""" % {"port": redis_port}
    assert run(service, program) == "done\n"
    assert redis(redis_port, "HLEN", "forked:features") == len(FLAGS)


def test_a_program_ends_while_a_store_of_big_segments_hangs(big_service):
    program = STORES + """
entered = threading.Event()
def hang(self, *_):
    entered.set()
    time.sleep(%d)
Big.get_membership = hang
client = connect(big_segments=BigSegmentsConfig(store=Big()))
threading.Thread(target=client.variation, args=("f", {"key": "u"}, None), daemon=True).start()
assert entered.wait(30)
print("over")
""" % (10 * TIMEOUT)
    started = time.monotonic()
    assert run(big_service, program) == "over\n"
    assert time.monotonic() - started < TIMEOUT


def test_a_program_ends_while_its_store_of_flags_hangs(service):
    program = STORES + """
entered = threading.Event()
class Hanging(Own):
    def upsert(self, kind, item):
        entered.set()
        time.sleep(%d)
client = connect(feature_store=Hanging())
print("ready", flush=True)
assert entered.wait(30)
print("over")
""" % (10 * TIMEOUT)
    process = start(service, program)
    try:
        assert process.stdout.readline() == "ready\n"
        service.patch("bool", on=False, offVariation=1)
        started = time.monotonic()
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "over\n", "")
    assert time.monotonic() - started < TIMEOUT
