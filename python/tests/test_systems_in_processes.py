"""Event processors and data systems written in Python: forks, and the end of the program."""

import textwrap

from programs import run

SOURCE = """
from ldclient import LDClient, datasystem
from ldclient.interfaces import (
    Change, ChangeSet, ChangeType, DataSourceState, IntentCode, ObjectKind, Selector, Synchronizer, Update
)

class Recorder:
    made = []
    def __init__(self, config):
        self.events, self.is_stopped, self.process = [], False, os.getpid()
        Recorder.made.append(self)
    def send_event(self, event):
        self.events.append(event)
    def flush(self):
        pass
    def stop(self):
        self.is_stopped = True

class Ticking(Synchronizer):
    '''Brings a flag whose value is the process, and then higher and higher versions.'''
    made = []
    def __init__(self):
        self.stopped = threading.Event()
        Ticking.made.append(self)
    def sync(self, ss):
        version = 1
        while True:
            flag = {"key": "f", "version": version, "on": True, "variations": [os.getpid()]}
            flag["fallthrough"] = {"variation": 0}
            changes = [Change(ChangeType.PUT, ObjectKind.FLAG, "f", version, flag)]
            yield Update(DataSourceState.VALID, ChangeSet(IntentCode.TRANSFER_FULL, changes, Selector("s", version)))
            if self.stopped.wait(0.002):
                return
            version += 1
    def stop(self):
        self.stopped.set()

class Builder:
    def __init__(self, make):
        self.make = make
    def build(self, config):
        return self.make()

def client_of(make, **settings):
    system = datasystem.custom().synchronizers(Builder(make)).build()
    return LDClient(config=Config("sdk-test", datasystem_config=system, send_events=False, **settings))
"""


def program(text):
    return textwrap.dedent(SOURCE) + textwrap.dedent(text)


def test_a_child_gets_a_synchronizer_of_its_own_at_first_use(service):
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
                assert len(Ticking.made) == 2
                client.close()
                assert Ticking.made[1].stopped.is_set() and not Ticking.made[0].stopped.is_set()
            for _ in range(5):
                in_child(child)
            assert client.variation("f", {"key": "u"}, None) == os.getpid() and len(Ticking.made) == 1
            client.close()
            assert Ticking.made[0].stopped.is_set()
            """
        ),
    )


def test_a_child_gets_an_event_processor_of_its_own_at_first_use(service):
    run(
        service,
        program(
            """
            client = connect(event_processor_class=Recorder)
            client.variation("bool", {"key": "u"}, None)
            def unused():
                client.close()
                assert len(Recorder.made) == 1 and not Recorder.made[0].is_stopped
            in_child(unused)
            def child():
                threads = [threading.Thread(target=client.identify, args=({"key": "u"},)) for _ in range(8)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                client.variation("bool", {"key": "u"}, None)
                parent, own = Recorder.made
                assert own.process == os.getpid() and own.events[-1]["key"] == "bool"
                client.close()
                assert own.is_stopped and len(parent.events) == 1 and not parent.is_stopped
            for _ in range(5):
                in_child(child)
            assert len(Recorder.made) == 1
            """
        ),
    )


def test_postfork_makes_an_event_processor_and_sources_anew(service):
    run(
        service,
        program(
            """
            client = client_of(Ticking)
            def child():
                client.postfork()
                assert client.variation("f", {"key": "u"}, None) == os.getpid() and len(Ticking.made) == 2
                client.close()
            in_child(child)
            client.close()
            client = connect(event_processor_class=Recorder)
            def child():
                client.postfork()
                client.identify({"key": "u"})
                assert [len(one.events) for one in Recorder.made] == [0, 1]
            in_child(child)
            """
        ),
    )


def test_an_event_processor_is_stopped_when_the_program_ends(service):
    out = run(
        service,
        program(
            """
            class Says(Recorder):
                def stop(self):
                    print("stopped with", len(self.events), flush=True)
            client = connect(event_processor_class=Says)
            client.identify({"key": "u"})
            """
        ),
    )
    assert out == "stopped with 1\n"


def test_an_event_processor_that_does_not_stop_holds_nobody_up(service):
    run(
        service,
        program(
            """
            from ldclient.impl import lifetime
            lifetime._AT_MOST = 0.2
            class Stuck(Recorder):
                def stop(self):
                    threading.Event().wait()
            client = connect(event_processor_class=Stuck)
            client.identify({"key": "u"})
            """
        ),
    )


def test_a_synchronizer_is_stopped_when_the_program_ends(service):
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


def test_a_synchronizer_that_does_not_stop_holds_nobody_up(service):
    run(
        service,
        program(
            """
            from ldclient.impl import lifetime
            lifetime._AT_MOST = 0.2
            class Stuck(Ticking):
                def stop(self):
                    while True:
                        time.sleep(0.001)
            client = client_of(Stuck)
            assert client.variation("f", {"key": "u"}, None) == os.getpid()
            """
        ),
    )


def test_a_client_that_nobody_holds_stops_its_synchronizer(service):
    run(
        service,
        program(
            """
            import gc
            for _ in range(3):
                client_of(Ticking).variation("f", {"key": "u"}, None)
            gc.collect()
            assert until(lambda: all(source.stopped.is_set() for source in Ticking.made))
            """
        ),
    )


def test_flags_stream_from_python_while_threads_evaluate_and_the_client_closes(service):
    run(
        service,
        program(
            """
            client = client_of(Ticking)
            going = True
            def ask():
                while going:
                    client.variation("f", {"key": "u"}, None)
            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads: thread.start()
            time.sleep(0.2)
            client.close()
            going = False
            for thread in threads: thread.join(20)
            assert not any(thread.is_alive() for thread in threads)
            """
        ),
    )
