"""The interpreter's lock, the program's components and the client's threads do not wait for each other."""

import os
import signal
import subprocess
import threading
import time

import pytest
from fake_service import TIMEOUT
from programs import start

#: Components that let others run while they hold a lock of their own, and that use the client in turn.
COMPONENTS = """
import faulthandler, itertools, logging
# Where it hangs, if it does, before the test gives up.
faulthandler.dump_traceback_later(15)
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.hook import Hook, Metadata
from ldclient.util import log

busy = threading.RLock()
calls = {"store": 0, "hook": 0, "listener": 0, "handler": 0}

class Store(InMemoryFeatureStore):
    def get(self, kind, key, callback=lambda item: item):
        # Nobody logs while they hold a lock that a handler may want.
        with busy:
            calls["store"] += 1
            if calls["store"] % 50 == 0:
                time.sleep(0.001)
        if calls["store"] % 50 == 0:
            log.info("asked for %s", key)
        return super().get(kind, key, callback)

    def upsert(self, kind, item):
        with busy:
            time.sleep(0.0005)
        return super().upsert(kind, item)

class Around(Hook):
    @property
    def metadata(self):
        return Metadata("around")

    def before_evaluation(self, series_context, data):
        calls["hook"] += 1
        if "nested" not in series_context.key and calls["hook"] % 20 == 0:
            time.sleep(0.0005)
            ldclient.get().variation("nested", {"key": "hook"}, None)
        return data

class Handler(logging.Handler):
    def emit(self, record):
        calls["handler"] += 1
        if calls["handler"] % 10 == 0 and ldclient._singleton.client is not None:
            ldclient.get().variation("bool", {"key": "handler"}, None)

log.setLevel(logging.DEBUG)
log.propagate = False
log.addHandler(Handler())

def listener(change):
    calls["listener"] += 1
    time.sleep(0.0005)
    ldclient.get().variation_detail("bool", {"key": "listener"}, None)
    ldclient.get().track("heard", {"key": "listener"})

def work(stop, client):
    for number in itertools.count():
        if stop.is_set():
            return
        user = {"key": "u%d" % (number % 50), "custom": {"groups": "Google"}}
        client.variation("rule", user, None)
        client.variation_detail("bool", Context.create("c%d" % number), None)
        if number % 10 == 0:
            client.track("event", user)
            client.all_flags_state(user)
            client.flush()
            client.variation("", {"key": ""}, None)
"""


@pytest.fixture
def flips(service):
    """Changes flags all the time."""
    stop = threading.Event()

    def flip():
        for number in range(1_000_000):
            if stop.is_set():
                return
            service.patch(("bool", "rule", "f%d" % (number % 7))[number % 3], on=number % 2 == 0, offVariation=1)
            time.sleep(0.001)

    thread = threading.Thread(target=flip)
    thread.start()
    yield
    stop.set()
    thread.join(TIMEOUT)


def run_until_done(service, program):
    process = start(service, COMPONENTS + program)
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        # And whatever it has made.
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError("it hangs:\n" + process.communicate()[1]) from None
    assert (process.returncode, err) == (0, "")
    return out


@pytest.mark.parametrize("store", ["Store()", "None"], ids=["store of its own", "no store"])
def test_clients_close_while_eight_threads_evaluate_and_flags_stream_in(service, flips, store):
    out = run_until_done(
        service,
        """
for _ in range(2):
    client = connect(feature_store=%s, hooks=[Around()], flush_interval=0.01)
    client.flag_tracker.add_listener(listener)
    client.data_source_status_provider.add_listener(listener)
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop, client)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert until(lambda: calls["listener"] > 3 and calls["hook"] > 200)
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 10
    # Closed, it answers all the same.
    client.variation("bool", {"key": "u"}, None)
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    ldclient._reset_client()
    calls.update(hook=0, listener=0)
print("done")
"""
        % store,
    )
    assert out == "done\n"


@pytest.mark.parametrize("end", ["pass", "sys.exit()", "ldclient.get().close()"])
def test_programs_end_while_threads_evaluate_and_everything_is_called(service, flips, end):
    run_until_done(
        service,
        """
client = connect(feature_store=Store(), hooks=[Around()], flush_interval=0.01)
client.flag_tracker.add_listener(listener)
for _ in range(8):
    threading.Thread(target=work, args=(threading.Event(), client), daemon=True).start()
assert until(lambda: calls["listener"] > 3 and calls["hook"] > 200)
%s
"""
        % end,
    )


def test_forks_while_everything_is_called(service, flips):
    run_until_done(
        service,
        """
client = connect(feature_store=Store(), hooks=[Around()], flush_interval=0.01)
client.flag_tracker.add_listener(listener)
# A lock of the program's is the program's to renew.
os.register_at_fork(before=busy.acquire, after_in_parent=busy.release, after_in_child=busy.release)
# The children have no such thread, and would wait for it.
faulthandler.cancel_dump_traceback_later()
stop = threading.Event()
threads = [threading.Thread(target=work, args=(stop, client)) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(3):
    child = os.fork()
    if child == 0:
        assert ldclient.get().variation("rule", {"key": "u"}, None) in ("yes", "no")
        ldclient.get().close()
        (os._exit if number % 2 else sys.exit)(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join(10)
    assert not thread.is_alive()
""",
    )


def test_no_evaluation_of_sixteen_threads_is_lost(service, client):
    def evaluate():
        for _ in range(2_500):
            client.variation("bool", {"key": "u"}, None)
            client.variation("bool", {"key": "u"}, None)

    threads = [threading.Thread(target=evaluate) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    client.close()
    summaries = service.wait_for_events(kind="summary")
    counters = [counter for one in summaries for counter in one["features"]["bool"]["counters"]]
    assert sum(counter["count"] for counter in counters) == 80_000
