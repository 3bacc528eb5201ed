"""Forks, the end of the program, and interrupts: each in a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from fake_service import TIMEOUT, FakeService
from programs import run, start


def test_events_are_delivered_at_the_end_without_close(service):
    run(service, 'connect(flush_interval=600).identify({"key": "u"})')
    service.wait_for_events(kind="identify")


def test_the_end_does_not_wait_long_for_a_service_that_is_gone():
    class Slow(FakeService):
        def keep(self, request):
            super().keep(request)
            if request["path"] == "/bulk":
                time.sleep(TIMEOUT)

    service = Slow({})
    try:
        started = time.monotonic()
        run(service, 'connect(flush_interval=600).identify({"key": "u"})')
        assert time.monotonic() - started < TIMEOUT / 2
    finally:
        service.close()


def test_a_program_that_never_connects_ends_quietly():
    service = FakeService(status=503)
    try:
        run(service, "import logging; logging.disable(); ldclient.start_wait = 0.1; connect()")
    finally:
        service.close()


def test_a_forked_child_answers_and_hears_of_changes_and_reports(service):
    process = start(
        service,
        """
        client = connect(flush_interval=600)
        assert client.variation("bool", {"key": "parent"}, None) is True
        child = os.fork()
        who = "parent" if child else "child"
        assert client.variation("bool", {"key": who}, None) is True
        if child == 0:
            print("forked", flush=True)
        assert until(lambda: client.variation("bool", {"key": who}, None) is False), who
        client.track("seen", {"key": who})
        client.close()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
    )
    try:
        assert process.stdout.readline() == "forked\n"
        # Both have a stream of their own.
        service.wait_for(lambda: len(service.received("GET", "/all")) >= 2)
        time.sleep(0.2)
        service.patch("bool", on=False, offVariation=1)
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
    assert {event["context"]["key"] for event in service.wait_for_events(2, kind="custom")} == {"parent", "child"}
    instances = {request["headers"]["x-launchdarkly-instance-id"] for request in service.received("GET", "/all")}
    assert len(instances) == 2


def test_what_the_parent_has_gathered_is_not_sent_twice(service):
    run(
        service,
        """
        client = connect(flush_interval=600)
        client.track("once", {"key": "parent"})
        child = os.fork()
        if child == 0:
            client.variation("bool", {"key": "child"}, None)
            client.close()
            os._exit(0)
        os.waitpid(child, 0)
        client.close()
        """,
    )
    assert len(service.wait_for_events(kind="custom")) == 1
    time.sleep(0.2)
    assert len([event for event in service.events() if event["kind"] == "custom"]) == 1


def test_children_may_end_like_any_program(service):
    # Each runs the exit hooks that it has inherited, whether it used the client or not.
    out = run(
        service,
        """
        client = connect(flush_interval=600)
        client.variation("bool", {"key": "parent"}, None)
        for uses_it in (False, True):
            child = os.fork()
            if child == 0:
                if uses_it:
                    client.identify({"key": "child"})
                sys.exit(0)
            started = time.monotonic()
            assert os.waitpid(child, 0)[1] == 0
            assert time.monotonic() - started < 5
        print(client.variation("bool", {"key": "parent"}, None))
        """,
    )
    assert out == "True\n"
    assert service.wait_for_events(kind="identify")[0]["context"]["key"] == "child"
    assert len(service.wait_for_events(kind="summary")) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_work(service, tmp_path, method):
    # `spawn` and `forkserver` import the program anew, so it must be a file.
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys
            import ldclient
            from ldclient import Config

            def client():
                ldclient.set_config(Config("sdk-test", diagnostic_opt_out=True)) if ldclient._singleton.config is None else None
                return ldclient.get()

            def ask(number):
                return client().variation("bool", {"key": "u%d" % number}, None)

            if __name__ == "__main__":
                assert ask(-1) is True
                with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                    print(pool.map(ask, range(20)) == [True] * 20)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process", str(program), method],
        env={**os.environ, "FLAGSTAFF_URL": service.url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_forking_while_threads_evaluate_and_log_is_safe(service):
    run(
        service,
        """
        import logging
        logging.getLogger("ldclient.util").addHandler(logging.NullHandler())
        logging.getLogger("ldclient.util").propagate = False
        client = connect(flush_interval=0.01)
        stop = threading.Event()
        def work(number):
            while not stop.is_set():
                client.variation("bool", {"key": "u%d" % number}, None)
                client.track("event", {"key": ""})
                client.variation("bool", {"key": ""}, None)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                ok = client.variation("bool", {"key": "child"}, None) is True
                client.variation("bool", {"key": ""}, None)
                client.close()
                os._exit(0 if ok else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        client.close()
        """,
    )


def test_postfork_makes_the_client_anew_in_place(service):
    run(
        service,
        """
        client = connect()
        child = os.fork()
        if child == 0:
            client.postfork(start_wait=5)
            ok = client.is_initialized() and client.variation("bool", {"key": "child"}, None) is True
            client.close()
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert client.variation("bool", {"key": "parent"}, None) is True
        """,
    )


def test_an_interrupt_ends_the_wait_for_flags(service):
    service.status = 503
    process = start(
        service,
        """
        import logging; logging.disable()
        # Whoever runs the tests in the background of a shell has it ignored, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ldclient.start_wait = 60
        print("waiting", flush=True)
        try:
            connect()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    )
    try:
        assert process.stdout.readline() == "waiting\n"
        service.wait_for(lambda: service.received("GET", "/all"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        assert (out, err) == ("interrupted\n", "")
    finally:
        process.kill()


def test_others_run_while_one_waits(service):
    service.status = 503
    out = run(
        service,
        """
        import logging; logging.disable()
        ldclient.start_wait = 1
        ticks = []
        def tick():
            while not ticks or ticks[-1] is not None:
                ticks.append(time.monotonic())
                time.sleep(0.01)
        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        connect()
        print(len(ticks) > 20)
        """,
    )
    assert out == "True\n"


def test_a_client_that_nobody_holds_ends_by_itself(service):
    run(
        service,
        """
        import gc
        for _ in range(20):
            ldclient.LDClient(config=Config("sdk-test", diagnostic_opt_out=True), start_wait=5)
        gc.collect()
        assert until(lambda: threading.active_count() == 1)
        assert until(lambda: len(os.listdir("/proc/self/task")) <= 3), os.listdir("/proc/self/task")
        """
        if os.path.isdir("/proc/self/task")
        else "pass",
    )
