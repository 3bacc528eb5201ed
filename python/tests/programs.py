"""Programs that use the client, each in a process of its own."""

import os
import subprocess
import sys
import textwrap

from fake_service import TIMEOUT

#: What stands at the top of each.
PROLOGUE = """
import os, sys, time, signal, threading, multiprocessing
import ldclient
from ldclient import Config, Context
def connect(**settings):
    ldclient.set_config(Config("sdk-test", diagnostic_opt_out=True, **settings))
    return ldclient.get()
def until(condition):
    for _ in range(2000):
        if condition():
            return True
        time.sleep(0.01)
    return False
def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)
            work()
            sys.stdout.flush()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
"""


def start(service, program, *options):
    """Starts a program that connects to ``service``.

    :param options: what else the interpreter is told
    """
    return subprocess.Popen(
        # Python 3.12 and later warn of any fork with a second thread about, which is what is tested here.
        [sys.executable, *options, "-W", "ignore:This process", "-c", PROLOGUE + textwrap.dedent(program)],
        env={**os.environ, "FLAGSTAFF_URL": service.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(service, program, *options):
    """Runs a program to its end, which is a good one; gives what it printed."""
    process = start(service, program, *options)
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert err == "", err
    return out
