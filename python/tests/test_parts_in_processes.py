"""Data sources, stores and listeners written in Python: forks, and the end of the program."""

import textwrap

from programs import run, start

SOURCE = """
from ldclient import LDClient
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.integrations import Files
from ldclient.integrations.test_data import TestData
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

def flag(value, version=1):
    return {"key": "f", "version": version, "on": True, "variations": [value], "fallthrough": {"variation": 0}}

class Ticking:
    '''Brings a flag whose value is the process, and then higher and higher versions.'''
    made = []
    def __init__(self, config, store, ready):
        self.store, self.ready, self.stopped = store, ready, threading.Event()
        Ticking.made.append(self)
    def start(self):
        threading.Thread(target=self.run, daemon=True).start()
    def run(self):
        self.store.init({FEATURES: {"f": flag(os.getpid())}, SEGMENTS: {}})
        self.ready.set()
        version = 1
        while not self.stopped.wait(0.002):
            version += 1
            self.store.upsert(FEATURES, flag(os.getpid(), version))
    def initialized(self):
        return self.ready.is_set()
    def stop(self):
        self.stopped.set()

def client_of(source, **settings):
    return LDClient(config=Config("sdk-test", update_processor_class=source, send_events=False, **settings))
"""


def program(text):
    return textwrap.dedent(SOURCE) + textwrap.dedent(text)


def test_a_child_gets_a_data_source_of_its_own_at_first_use(service):
    run(
        service,
        program(
            """
            client = client_of(Ticking)
            assert client.variation("f", {"key": "u"}, None) == os.getpid()
            def child():
                # With the flags of the parent, until its own source has some.
                assert client.variation("f", {"key": "u"}, None) is not None
                assert until(lambda: client.variation("f", {"key": "u"}, None) == os.getpid())
                assert len(Ticking.made) == 2 and client.is_initialized()
                client.close()
                assert Ticking.made[1].stopped.is_set() and not Ticking.made[0].stopped.is_set()
            for _ in range(5):
                in_child(child)
            assert client.variation("f", {"key": "u"}, None) == os.getpid() and len(Ticking.made) == 1
            client.close()
            """
        ),
    )


def test_a_child_that_never_uses_the_client_makes_no_data_source(service):
    run(
        service,
        program(
            """
            client = client_of(Ticking)
            def child():
                time.sleep(0.1)
                client.close()
                assert len(Ticking.made) == 1 and not Ticking.made[0].stopped.is_set()
            in_child(child)
            client.close()
            """
        ),
    )


def test_test_data_goes_on_in_a_child(service):
    run(
        service,
        program(
            """
            td = TestData.data_source()
            td.update(td.flag("f").value_for_all("a"))
            client = client_of(td)
            def child():
                td.update(td.flag("f").value_for_all("b"))
                assert client.variation("f", {"key": "u"}, None) == "b"
                td.update(td.flag("f").value_for_all("c"))
                assert until(lambda: client.variation("f", {"key": "u"}, None) == "c")
                client.close()
            in_child(child)
            assert client.variation("f", {"key": "u"}, None) == "a"
            client.close()
            """
        ),
    )


def test_files_are_watched_in_a_child(service, tmp_path):
    path = tmp_path / "flags"
    path.write_text('{"flagValues": {"f": 1}}')
    run(
        service,
        program(
            """
            source = Files.new_data_source(%r, auto_update=True, poll_interval=0.01)
            client = client_of(source)
            def child():
                assert client.variation("f", {"key": "u"}, None) == 1
                with open(%r, "w") as file:
                    file.write('{"flagValues": {"f": 2}}')
                assert until(lambda: client.variation("f", {"key": "u"}, None) == 2)
                client.close()
            in_child(child)
            client.close()
            """
        )
        % (str(path), str(path)),
    )


def test_a_child_knows_its_flags_while_its_own_data_source_is_being_made(service):
    run(
        service,
        program(
            """
            class Slow:
                made, go_on = 0, threading.Event()
                def __init__(self, config, store, ready):
                    Slow.made += 1
                    if Slow.made == 2:
                        Slow.go_on.wait()
                    ready.set()
            store = InMemoryFeatureStore()
            store.init({FEATURES: {"f": flag("a")}})
            client = client_of(Slow, feature_store=store)
            def child():
                assert until(lambda: client.is_initialized() and Slow.made == 2)
                # Nor is a warning said that these are old.
                assert client.variation("f", {"key": "u"}, None) == "a"
                Slow.go_on.set()
                client.close()
            in_child(child)
            client.close()
            """
        ),
    )


def test_a_store_in_memory_can_be_written_in_a_child(service):
    run(
        service,
        program(
            """
            class Idle:
                def __init__(self, config, store, ready):
                    ready.set()
            store = InMemoryFeatureStore()
            store.init({FEATURES: {"f": flag("a")}})
            client = client_of(Idle, feature_store=store)
            stop = threading.Event()
            def write():
                while not stop.is_set():
                    store.get(FEATURES, "f")
            threads = [threading.Thread(target=write) for _ in range(4)]
            for thread in threads:
                thread.start()
            def child():
                # Whoever held its lock is not here.
                store.upsert(FEATURES, flag("b", 2))
                assert client.variation("f", {"key": "u"}, None) == "b"
                client.close()
            for _ in range(20):
                in_child(child)
            stop.set()
            assert client.variation("f", {"key": "u"}, None) == "a"
            client.close()
            """
        ),
    )


def test_a_child_with_listeners_connects_at_once(service):
    process = start(
        service,
        program(
            """
            client = connect()
            def heard(change):
                os.write(1, b"heard %d\\n" % os.getpid())
            client.flag_tracker.add_listener(heard)
            child = os.fork()
            if child == 0:
                print("forked", flush=True)
                # Does nothing but wait: the listener ends it.
                client_listens = threading.Event()
                client.flag_tracker.add_listener(lambda change: client_listens.set())
                assert client_listens.wait(20)
                client.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            client.close()
            """
        ),
    )
    try:
        assert process.stdout.readline() == "forked\n"
        service.wait_for(lambda: len(service.received("GET", "/all")) >= 2)
        changes = 0
        while process.poll() is None and changes < 200:
            changes += 1
            service.patch("bool", on=bool(changes % 2))
            try:
                out, err = process.communicate(timeout=0.1)
                break
            except Exception:
                continue
        assert process.returncode == 0 and err == ""
        assert len(set(out.split("\n")) - {""}) == 2
    finally:
        process.kill()


def test_a_child_connects_for_its_listeners_without_being_used(service):
    run(
        service,
        program(
            """
            client = connect()
            client.flag_tracker.add_listener(print)
            child = os.fork()
            if child == 0:
                time.sleep(60)
            import urllib.request
            print(child, flush=True)
            sys.stdin.close()
            # One thread of its own, which connects.
            assert until(lambda: len(os.listdir("/proc/%d/task" % child)) > 1)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            client.flag_tracker.remove_listener(print)
            client.close()
            """
        ),
    )


def test_a_data_source_is_stopped_when_the_program_ends(service):
    out = run(
        service,
        program(
            """
            class Says(Ticking):
                def stop(self):
                    super().stop()
                    print("stopped", flush=True)
            client = client_of(Says)
            """
        ),
    )
    assert out == "stopped\n"


def test_a_client_that_nobody_holds_stops_its_data_source(service):
    run(
        service,
        program(
            """
            import gc
            for _ in range(5):
                client_of(Ticking).variation("f", {"key": "u"}, None)
            gc.collect()
            assert until(lambda: all(source.stopped.is_set() for source in Ticking.made))
            assert until(lambda: threading.active_count() == 1)
            """
        ),
    )


def test_a_client_with_listeners_that_nobody_holds_ends_by_itself(service):
    run(
        service,
        program(
            """
            import gc, weakref
            client = connect()
            client.flag_tracker.add_listener(print)
            client.flag_tracker.add_flag_value_change_listener("bool", {"key": "u"}, print)
            client.data_source_status_provider.add_listener(lambda status: None)
            gone = weakref.ref(client)
            ldclient._singleton.client = None
            del client
            gc.collect()
            assert gone() is None
            assert until(lambda: len(os.listdir("/proc/self/task")) <= 2), os.listdir("/proc/self/task")
            """
        ),
    )


def test_listeners_that_are_at_work_at_the_end_do_no_harm(service):
    run(
        service,
        program(
            """
            client = connect()
            told = threading.Event()
            def listen(status):
                told.set()
                while True:
                    time.sleep(0.001)
            client.data_source_status_provider.add_listener(listen)
            threading.Thread(target=client.close, daemon=True).start()
            assert told.wait(20)
            """
        ),
    )
