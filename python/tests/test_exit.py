"""How programs end with events to send: these arrive, and nothing hangs or complains."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from fake_service import TIMEOUT
from programs import PROLOGUE, run, start

#: Everything that Python can warn of is an error.
STRICT = ["-X", "dev", "-W", "error"]


def end(service, program, status, *options):
    """Runs a program that ends like this; gives what it printed where."""
    process = start(service, program, *options)
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == status, err
    return out, err


@pytest.mark.parametrize(
    "how, status",
    [("pass", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("raise SystemExit('said')", 1), ("1 / 0", 1)],
)
def test_events_arrive_however_the_program_ends(service, how, status):
    program = 'client = connect(flush_interval=600)\nclient.track("last", {"key": "u"})\n' + how
    out, err = end(service, program, status, *STRICT)
    # What the program has to say for itself, and nothing of ours.
    said = {"raise SystemExit('said')": "said\n", "1 / 0": "ZeroDivisionError: division by zero\n"}.get(how, "")
    assert out == "" and err.endswith(said) and bool(err) == bool(said) and "ldclient" not in err
    service.wait_for_events(kind="custom", key="last")


def test_a_client_that_was_closed_leaves_nothing_open(service):
    run(
        service,
        """
        import gc
        with connect(flush_interval=600) as client:
            client.variation("bool", {"key": "u"}, None)
            client.all_flags_state({"key": "u"})
        del client
        ldclient._reset_client()
        gc.collect()
        """,
        *STRICT,
    )


def test_daemon_threads_may_go_on_evaluating(service):
    out = run(
        service,
        """
        import logging; logging.getLogger("ldclient.util").setLevel(logging.CRITICAL)
        client = connect(flush_interval=600)
        client.track("last", {"key": "u"})
        def work():
            while True:
                client.variation("bool", {"key": "u"}, None)
                client.variation_detail("bool", {"key": ""}, None)
                client.track("more", {"key": "u"})
                client.flush()
                client.all_flags_state({"key": "u"})
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)
        print("end")
        """,
    )
    assert out == "end\n"
    service.wait_for_events(kind="custom", key="last")


#: What of the program's own is called by a client, how that is set up, and what calls it.
CALLED = {
    "store": ("feature_store=Store()", "client.all_flags_state(user), client.is_initialized()"),
    "event processor": (
        "event_processor_class=Processor",
        "client.track('x', user), client.identify(user), client.variation('bool', {'key': None}, 1)",
    ),
    "data source": (
        "update_processor_class=Source",
        "client.variation('bool', user, 1), client.is_initialized(), client.all_flags_state(user)",
    ),
    "defaults": ("defaults=Defaults(a=1)", "client.variation('none', user, 1)"),
}


@pytest.mark.parametrize("settings, calls", CALLED.values(), ids=CALLED)
def test_the_end_does_not_catch_daemon_threads_inside_code_of_the_programs(service, settings, calls):
    run(
        service,
        """
        import logging, types
        from ldclient.feature_store import InMemoryFeatureStore
        logging.disable()
        #: Lets other threads run, not least the one that ends the program.
        pause = lambda: time.sleep(0.0005)
        class Store(InMemoryFeatureStore):
            def all(self, *args):
                pause()
                return super().all(*args)
            @property
            def initialized(self):
                pause()
                return super().initialized
        class Processor:
            def __init__(self, config): pass
            def send_event(self, event): pause()
            def flush(self): pass
            def stop(self): pass
        class Source:
            def __init__(self, config, store, ready): ready.set()
            def start(self): pass
            def stop(self): pass
            def initialized(self): pause()
        class Defaults(dict):
            def get(self, key, default):
                pause()
                return default
        client = connect(%s)
        user = {"key": "u"}
        begun = threading.Barrier(9)
        def call():
            begun.wait()
            while True:
                %s
        for _ in range(8):
            threading.Thread(target=call, daemon=True).start()
        begun.wait()
        class Late:
            def __del__(self):
                # The interpreter is ending.
                time.sleep(0.05)
        sys.modules["late"] = types.ModuleType("late")
        sys.modules["late"].late = Late()
        """
        % (settings, calls),
    )


def test_exit_hooks_may_use_the_client(service):
    # Hooks run in reverse order: one that was there before the import finds the client closed.
    out = run(
        service,
        """
        import atexit
        client = connect(flush_interval=600)
        def later():
            print(client.variation("bool", {"key": "u"}, None))
            client.track("in hook", {"key": "u"})
        atexit.register(later)
        """,
    )
    assert out == "True\n"
    service.wait_for_events(kind="custom", key="in hook")


def test_exit_hooks_that_run_after_ours_still_get_answers(service):
    program = """
    import atexit, sys
    def last():
        client = sys.modules["ldclient"].get()
        print(client.variation("bool", {"key": "u"}, None))
        client.track("too late", {"key": "u"})
        client.flush()
        client.close()
    atexit.register(last)
    """
    process = subprocess.run(
        [sys.executable, *STRICT, "-c", textwrap.dedent(program) + PROLOGUE + "connect().identify({'key': 'u'})"],
        env={**os.environ, "FLAGSTAFF_URL": service.url}, capture_output=True, text=True, timeout=TIMEOUT,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "True\n", "")
    service.wait_for_events(kind="identify")


def test_a_signal_that_ends_the_program_ends_it(service):
    process = start(
        service,
        """
        client = connect(flush_interval=600)
        client.track("last", {"key": "u"})
        print("running", flush=True)
        time.sleep(600)
        """,
    )
    try:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, out, err) == (-signal.SIGTERM, "", "")
    finally:
        process.kill()


def test_a_signal_handler_that_exits_has_events_sent(service):
    process = start(
        service,
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        client = connect(flush_interval=600)
        client.track("last", {"key": "u"})
        print("running", flush=True)
        time.sleep(600)
        """,
    )
    try:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, out, err) == (7, "", "")
    finally:
        process.kill()
    service.wait_for_events(kind="custom", key="last")
