"""Big segments: asked of Redis, of DynamoDB, and of stores written in Python."""

import base64
import hashlib
import threading
import time

import pytest

from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.integrations import DynamoDB, Redis
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata, BigSegmentStoreStatus
from servers import TABLE, dynamodb, redis
from test_python_stores import OwnStore, flag
from test_stores import dynamodb_opts
from waiting import eventually, wait_for_message

USER = Context.create("user-1")
SEGMENT = {"key": "big", "version": 1, "unbounded": True, "generation": 2}
CLAUSE = {"op": "segmentMatch", "values": ["big"], "attribute": ""}
FLAG = flag("f", True, rules=[{"clauses": [CLAUSE], "variation": 0}], fallthrough={"variation": 1})
FLAG["variations"] = [True, False]


def hash_of(key):
    return base64.b64encode(hashlib.sha256(key.encode()).digest()).decode()


class OwnBigSegments(BigSegmentStore):
    """Answers from memory, and keeps what it was asked for."""

    def __init__(self, members=None):
        self.members = {hash_of(key): of_key for key, of_key in (members or {}).items()}
        self.up_to_date = int(time.time() * 1000)
        self.asked = []
        self.problem = None
        self.threads = set()
        self.stopped = 0
        self.gate = threading.Event()
        self.gate.set()

    def _called(self, what):
        self.asked.append(what)
        self.threads.add(threading.get_ident())
        assert self.gate.wait(TIMEOUT)
        if self.problem is not None:
            raise self.problem

    def get_metadata(self):
        self._called("metadata")
        return BigSegmentStoreMetadata(self.up_to_date)

    def get_membership(self, context_hash):
        self._called(context_hash)
        return self.members.get(context_hash)

    def stop(self):
        self.stopped += 1


@pytest.fixture
def client_of(make_client, service):
    """Makes clients that ask a store of big segments."""
    service.flags["f"] = FLAG
    service.segments["big"] = SEGMENT

    def make(store, **settings):
        big_segments = BigSegmentsConfig(store=store, **settings.pop("big", {}))
        return make_client(big_segments=big_segments, **settings)

    return make


def status_in(client, context=USER):
    detail = client.variation_detail("f", context, None)
    return detail.value, detail.reason.get("bigSegmentsStatus")


def test_a_store_written_in_python_says_who_is_in(client_of):
    store = OwnBigSegments({"user-1": {"big.g2": True}, "user-2": {"big.g2": False, "big.g1": True}, "user-3": {}})
    client = client_of(store)
    assert status_in(client) == (True, "HEALTHY")
    assert status_in(client, {"key": "user-2"}) == (False, "HEALTHY")
    assert status_in(client, {"key": "user-3"}) == (False, "HEALTHY")
    assert status_in(client, {"key": "nobody"}) == (False, "HEALTHY")
    asked = [one for one in store.asked if one != "metadata"]
    assert asked == [hash_of(key) for key in ("user-1", "user-2", "user-3", "nobody")]
    assert threading.get_ident() not in store.threads
    assert client.variation("f", USER, None) is True
    assert client.all_flags_state(USER).get_flag_value("f") is True
    assert [one for one in store.asked if one != "metadata"] == asked, "answers are remembered"


def test_what_was_answered_is_forgotten_in_time(client_of):
    store = OwnBigSegments({"user-1": {"big.g2": True}})
    client = client_of(store, big={"context_cache_time": 0})
    assert status_in(client) == (True, "HEALTHY")
    store.members.clear()
    assert status_in(client) == (False, "HEALTHY")


def test_without_a_store_nobody_is_in(client_of):
    client = client_of(None)
    assert status_in(client) == (False, "NOT_CONFIGURED")
    assert client.big_segment_store_status_provider.status == BigSegmentStoreStatus(False, False)


def test_an_old_store_is_stale(client_of):
    store = OwnBigSegments({"user-1": {"big.g2": True}})
    store.up_to_date -= 60_000
    client = client_of(store, big={"stale_after": 30})
    assert status_in(client) == (True, "STALE")
    assert client.big_segment_store_status_provider.status == BigSegmentStoreStatus(True, True)


@pytest.mark.parametrize("up_to_date", [None, 0])
def test_a_store_that_was_never_up_to_date_is_stale(client_of, up_to_date):
    store = OwnBigSegments()
    store.up_to_date = up_to_date
    assert status_in(client_of(store)) == (False, "STALE")


def test_a_store_that_raises_is_an_error_in_the_reason(client_of, caplog):
    store = OwnBigSegments({"user-1": {"big.g2": True}})
    client = client_of(store)
    store.problem = RuntimeError("out of order")
    assert status_in(client) == (False, "STORE_ERROR")
    wait_for_message(caplog, "RuntimeError('out of order')")
    store.problem = None
    assert status_in(client) == (True, "HEALTHY"), "failures are not remembered"


def test_listeners_are_told_of_each_new_status(client_of):
    store = OwnBigSegments()
    client = client_of(store, big={"status_poll_interval": 0.01})
    provider = client.big_segment_store_status_provider
    assert provider is client.big_segment_store_status_provider
    assert provider.status == BigSegmentStoreStatus(True, False)
    told = []
    provider.add_listener(told.append)
    store.problem = OSError("gone")
    eventually(lambda: told == [BigSegmentStoreStatus(False, False)])
    store.problem, store.up_to_date = None, 1
    eventually(lambda: told[1:] == [BigSegmentStoreStatus(True, True)])
    provider.remove_listener(told.append)


def test_threads_that_evaluate_and_a_store_that_needs_the_interpreter_get_along(client_of):
    store = OwnBigSegments({str(number): {"big.g2": True} for number in range(400)})
    client = client_of(store, big={"context_cache_size": 3})
    wrong = []

    def evaluate(first):
        for number in range(first, 400, 8):
            if status_in(client, {"key": str(number)}) != (True, "HEALTHY"):
                wrong.append(number)

    threads = [threading.Thread(target=evaluate, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert wrong == []


def test_other_threads_run_while_one_waits_for_the_store(client_of):
    store = OwnBigSegments({"user-1": {"big.g2": True}})
    client = client_of(store)
    eventually(lambda: "metadata" in store.asked)
    store.gate.clear()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(status_in(client)))
    thread.start()
    eventually(lambda: hash_of("user-1") in store.asked)
    assert answers == [] and client.variation("bool", USER, "d") is True
    store.gate.set()
    thread.join(TIMEOUT)
    assert answers == [(True, "HEALTHY")]


def test_a_store_of_flags_and_one_of_big_segments_both_in_python_get_along(client_of):
    client = client_of(OwnBigSegments({"user-1": {"big.g2": True}}), feature_store=OwnStore())
    assert status_in(client) == (True, "HEALTHY")
    assert client.all_flags_state(USER).get_flag_value("f") is True


def test_the_store_is_stopped_with_the_client(client_of, caplog):
    class Failing(OwnBigSegments):
        def stop(self):
            super().stop()
            raise RuntimeError("cannot stop")

    store = Failing()
    client = client_of(store)
    client.close()
    client.close()
    assert store.stopped == 1
    wait_for_message(caplog, "cannot stop")


def test_an_offline_client_asks_nobody():
    store = OwnBigSegments()
    with LDClient(config=Config("sdk-a", offline=True, big_segments=BigSegmentsConfig(store=store))) as client:
        assert client.big_segment_store_status_provider.status == BigSegmentStoreStatus(False, False)
    assert store.asked == []


def test_big_segments_in_redis(client_of, redis_port):
    now = int(time.time() * 1000)
    redis(redis_port, "SET", "bigs:big_segments_synchronized_on", now)
    redis(redis_port, "SADD", "bigs:big_segment_include:" + hash_of("user-1"), "big.g2", "both.g1")
    redis(redis_port, "SADD", "bigs:big_segment_exclude:" + hash_of("user-1"), "other.g1", "both.g1")
    store = Redis.new_big_segment_store("redis://127.0.0.1:%d" % redis_port, "bigs")
    assert store.get_metadata() == BigSegmentStoreMetadata(now)
    assert store.get_membership(hash_of("user-1")) == {"big.g2": True, "both.g1": True, "other.g1": False}
    assert store.get_membership(hash_of("nobody")) is None
    client = client_of(store)
    assert status_in(client) == (True, "HEALTHY")
    assert status_in(client, {"key": "nobody"}) == (False, "HEALTHY")
    empty = Redis.new_big_segment_store("redis://127.0.0.1:%d" % redis_port, "no bigs")
    assert empty.get_metadata() == BigSegmentStoreMetadata(None)


def test_big_segments_in_dynamodb(client_of, dynamodb_port):
    now = int(time.time() * 1000)
    dynamodb(dynamodb_port, "PutItem", TableName=TABLE, Item={
        "namespace": {"S": "bigs:big_segments_metadata"}, "key": {"S": "bigs:big_segments_metadata"},
        "synchronizedOn": {"N": str(now)}})
    dynamodb(dynamodb_port, "PutItem", TableName=TABLE, Item={
        "namespace": {"S": "bigs:big_segments_user"}, "key": {"S": hash_of("user-1")},
        "included": {"SS": ["big.g2"]}, "excluded": {"SS": ["other.g1"]}})
    store = DynamoDB.new_big_segment_store(TABLE, "bigs", dynamodb_opts(dynamodb_port))
    assert store.get_metadata() == BigSegmentStoreMetadata(now)
    assert store.get_membership(hash_of("user-1")) == {"big.g2": True, "other.g1": False}
    eventually(lambda: status_in(client_of(store)) == (True, "HEALTHY"))


def test_a_database_that_does_not_answer_is_an_error_in_the_reason(client_of):
    store = Redis.new_big_segment_store("redis://127.0.0.1:1")
    assert status_in(client_of(store)) == (False, "STORE_ERROR")
    with pytest.raises(RuntimeError):
        store.get_metadata()


@pytest.mark.parametrize("name, wrong, default", [
    ("context_cache_size", -1, 1000), ("context_cache_size", "many", 1000), ("context_cache_time", "long", 5),
    ("status_poll_interval", 0, 5), ("stale_after", None, 120),
])
def test_a_setting_that_cannot_be_is_said_and_replaced(caplog, name, wrong, default):
    config = BigSegmentsConfig(store=OwnBigSegments(), **{name: wrong})
    assert getattr(config, name) == default
    assert [name in message for message in caplog.messages] == [True]


def test_a_cache_may_be_empty_under_either_name():
    assert BigSegmentsConfig(context_cache_size=0).user_cache_size == 0
    assert BigSegmentsConfig(user_cache_size=7, user_cache_time=1.5).context_cache_time == 1.5
