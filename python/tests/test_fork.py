"""Forks as programs do them themselves. Each program runs in a process of its own."""

import contextlib
import os
import signal
import textwrap

import pytest
from fake_service import TIMEOUT
from programs import PROLOGUE, run, start
from served import check_ids

#: What the children of the programs here do.
CHILDREN = r"""
def flips(who, before=None):
    '''Uses the client from its first moment until a flip comes; reports that it did. Says how it went.'''
    client = ldclient.get()
    if client.variation("bool", {"key": who}, None) is not True:
        return "has no flags"
    if before is not None:
        before()
    if not until(lambda: client.variation("bool", {"key": who}, None) is False):
        return "has not heard"
    client.track("done", {"key": who})
    return "done"

def using(who):
    '''As above, in a program that says first that the child is there.'''
    # In one piece, whoever else writes.
    return flips(who, lambda: os.write(1, b"using\n"))

def close_in_time():
    started = time.monotonic()
    ldclient.get().close()
    assert time.monotonic() - started < 20

def reap(children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""


def run_with_flip(service, program, users, done):
    """Runs a program, flips the flag when so many of its processes use the client, and looks at the reports.

    :param users: how many lines with "using" the program prints before the flip
    :param done: who reports at last that it heard of the flip
    """
    process = start(service, textwrap.dedent(CHILDREN) + textwrap.dedent(program))
    try:
        for _ in range(users):
            assert process.stdout.readline() == "using\n"
        # A stream for each that uses the client, beside its parent's.
        service.wait_for(lambda: len(service.received("GET", "/all")) >= users)
        service.patch("bool", on=False, offVariation=1)
        out, err = process.communicate(timeout=2 * TIMEOUT)
        assert (process.returncode, err) == (0, "")
    finally:
        # And whatever it has made.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    reported = [event["context"]["key"] for event in service.wait_for_events(len(done), kind="custom", key="done")]
    assert sorted(reported) == sorted(done)
    check_ids(service)
    return out


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_children_that_serve_while_their_parent_is_busy(service, end):
    # As prefork pools do: children made one after the other, tasks over pipes, a parent that goes on.
    run_with_flip(
        service,
        """
        client = connect(flush_interval=600)
        busy = threading.Event()
        def evaluate():
            while not busy.is_set():
                client.variation("bool", {"key": "parent"}, None)
        threads = [threading.Thread(target=evaluate) for _ in range(3)]
        for thread in threads:
            thread.start()
        pipes, children = [], []
        for number in range(3):
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(write)
                with os.fdopen(read) as tasks:
                    for task in tasks:
                        assert using(task.strip()) == "done"
                close_in_time()
                %s
            os.close(read)
            pipes.append(os.fdopen(write, "w"))
            children.append(child)
        for number, pipe in enumerate(pipes):
            pipe.write("child %%d\\n" %% number)
            # Forks keep the ends of the pipes made before them.
        for pipe in pipes:
            pipe.flush()
        for pipe in reversed(pipes):
            pipe.close()
        reap(children)
        busy.set()
        for thread in threads:
            thread.join()
        client.close()
        """
        % end,
        users=3,
        done=["child 0", "child 1", "child 2"],
    )


def test_a_fork_of_a_fork(service):
    run_with_flip(
        service,
        """
        client = connect(flush_interval=600)
        child = os.fork()
        if child == 0:
            # Uses the client between, so that it has threads of its own when it forks.
            assert client.variation("bool", {"key": "child"}, None) is True
            grandchild = os.fork()
            who = "child" if grandchild else "grandchild"
            assert using(who) == "done"
            close_in_time()
            if grandchild == 0:
                sys.exit(0)
            reap([grandchild])
            sys.exit(0)
        reap([child])
        """,
        users=2,
        done=["child", "grandchild"],
    )


def test_a_fork_of_a_fork_that_never_used_the_client(service):
    # As daemons do it: the process between ends at once.
    run_with_flip(
        service,
        """
        client = connect(flush_interval=600)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            if os.fork():
                os._exit(0)
            assert using("daemon") == "done"
            os.write(write, b"x")
            sys.exit(0)
        reap([child])
        os.close(write)
        assert os.read(read, 1) == b"x"
        """,
        users=1,
        done=["daemon"],
    )


def test_a_fork_from_another_thread(service):
    run_with_flip(
        service,
        """
        client = connect(flush_interval=600)
        def fork():
            child = os.fork()
            if child == 0:
                assert using("child") == "done"
                close_in_time()
                os._exit(0)
            reap([child])
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        """,
        users=1,
        done=["child"],
    )


def test_forks_while_others_flush_and_log_and_connect(service):
    run(
        service,
        textwrap.dedent(CHILDREN)
        + textwrap.dedent(
            """
            import logging
            log = logging.getLogger("ldclient.util")
            log.setLevel(logging.DEBUG)
            log.addHandler(logging.NullHandler())
            log.propagate = False
            client = connect(flush_interval=0.01)
            stop = threading.Event()
            def flush():
                while not stop.is_set():
                    client.flush()
                    client.track("event", {"key": "u"})
            def again():
                while not stop.is_set():
                    Config("sdk-test", diagnostic_opt_out=True)
                    other = ldclient.LDClient(config=Config("sdk-test", diagnostic_opt_out=True), start_wait=0)
                    other.variation("bool", {"key": ""}, None)
                    other.close()
            threads = [threading.Thread(target=work) for work in (flush, flush, again)]
            for thread in threads:
                thread.start()
            for _ in range(15):
                child = os.fork()
                if child == 0:
                    ok = ldclient.get().variation("bool", {"key": "child"}, None) is True
                    close_in_time()
                    (sys.exit if _ % 2 else os._exit)(0 if ok else 1)
                reap([child])
            stop.set()
            for thread in threads:
                thread.join()
            client.close()
            """
        ),
    )


def test_a_child_gives_up_waiting_for_what_its_parent_waits_for(service):
    """As a task of an event loop does that is cancelled in the child."""
    run(
        service,
        """
        import logging, socket
        # Nobody answers here: there is something to wait for.
        silent = socket.create_server(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % silent.getsockname()[1]
        logging.disable()
        client = ldclient.client.LDClient(
            Config("sdk-test", stream_uri=url, send_events=False, diagnostic_opt_out=True), start_wait=0
        )
        tell = lambda ready: None
        for _ in range(40):
            # Some of them are just being looked at when the process forks.
            waiting = [client._native.when_ready(tell) for _ in range(200)]
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                for one in waiting:
                    one.cancel()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            for one in waiting:
                one.cancel()
        """,
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_and_pools_of_multiprocessing(service, tmp_path, method):
    # `spawn` and `forkserver` import the program anew, so it must be a file.
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            from prologue import *

            ldclient.set_config(Config("sdk-test", diagnostic_opt_out=True, flush_interval=600))

            def process(number):
                assert using("process %d" % number) == "done"

            def task(number):
                ldclient.get().track("task", {"key": "pool"}, number)
                return os.getpid()

            def main(method):
                context = multiprocessing.get_context(method)
                assert ldclient.get().variation("bool", {"key": "parent"}, None) is True
                children = [context.Process(target=process, args=(number,)) for number in range(2)]
                for child in children:
                    child.start()
                for child in children:
                    child.join()
                    assert child.exitcode == 0
                pool = context.Pool(2)
                pool.map(task, range(10), chunksize=1)
                # Workers of a pool that is left early are killed.
                pool.close()
                pool.join()

            if __name__ == "__main__":
                main(sys.argv[1])
            """
        )
    )
    (tmp_path / "prologue.py").write_text(PROLOGUE + CHILDREN)
    program = "sys.path.insert(0, %r); import program, runpy; sys.argv = ['program.py', %r]; " % (str(tmp_path), method)
    program += "runpy.run_path(%r, run_name='__main__')" % str(tmp_path / "program.py")
    run_with_flip(service, program, users=2, done=["process 0", "process 1"])
    # Nobody closes a client here: the processes end by ways of their own.
    assert sorted(event["data"] for event in service.wait_for_events(10, kind="custom", key="task")) == list(range(10))
