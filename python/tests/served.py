"""A web application under a real server that forks, asked over a socket of its own."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fake_service import TIMEOUT

#: The application. It makes its client when it is imported: in the parent, if the server preloads it.
APPLICATION = """
import json, os, sys, threading, time
import ldclient
from ldclient import Config

ldclient.set_config(Config("sdk-test", diagnostic_opt_out=True, flush_interval=600))
client = ldclient.get()
client.variation("bool", {"key": "importer"}, None)
client.track("imported", {"key": str(os.getpid())})

def application(environ, start_response):
    started = time.monotonic()
    value = client.variation("bool", {"key": "asker"}, None)
    client.track("served", {"key": str(os.getpid())}, environ["QUERY_STRING"])
    took = time.monotonic() - started
    # Long enough for the other workers to get something to do.
    time.sleep(0.02)
    answer = {"process": os.getpid(), "value": value, "took": took}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


class Server:
    """A running server.

    In its command, the path of the socket to listen on takes the place of ``SOCKET``; its files stand in the
    folder it runs in.
    """

    def __init__(self, service, command, files):
        # In a short path: those of sockets are limited.
        self.folder = Path(tempfile.mkdtemp(prefix="served-"))
        for name, text in files.items():
            (self.folder / name).write_text(textwrap.dedent(text))
        self.socket = str(self.folder / "socket")
        self.answers = []
        self._log = open(self.folder / "log", "w+")
        self._process = subprocess.Popen(
            [part.replace("SOCKET", self.socket) for part in command],
            cwd=self.folder,
            env={**os.environ, "FLAGSTAFF_URL": service.url, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._askers = ThreadPoolExecutor(4)
        self._numbers = iter(range(1_000_000))

    def wait_until_it_listens(self):
        deadline = time.monotonic() + TIMEOUT
        while not self._accepts():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.01)

    def _accepts(self):
        with socket.socket(socket.AF_UNIX) as one:
            return one.connect_ex(self.socket) == 0

    def ask(self):
        """One request; each has a number of its own, which is reported by whoever answers."""
        connection = _Connection(self.socket)
        try:
            connection.request("GET", "/?%d" % next(self._numbers))
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, self.log()
            answer = json.loads(body)
        finally:
            connection.close()
        self.answers.append(answer)
        return answer

    def wait_for_values(self, value, processes):
        """Asks until so many processes have this value, and none that was heard of has another."""
        values = {}
        deadline = time.monotonic() + TIMEOUT
        while len(values) < processes or set(values.values()) != {value}:
            assert time.monotonic() < deadline, "%r\n%s" % (values, self.log())
            for answer in self._askers.map(lambda _: self.ask(), range(4)):
                values[answer["process"]] = answer["value"]
        return set(values)

    def stop(self):
        """Has the server end what it is doing and then end itself; gives how long that took."""
        self._askers.shutdown()
        started = time.monotonic()
        fifo = self.folder / "fifo"
        if fifo.exists():
            # uWSGI runs no exit hooks in a worker that a signal finds busy.
            fifo.write_text("q")
        else:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise AssertionError("the server does not end:\n" + self.log()) from None
        return time.monotonic() - started

    def log(self):
        self._log.flush()
        return (self.folder / "log").read_text()

    def close(self):
        self._askers.shutdown()
        if self._process.poll() is None:
            # The server and its workers, which are all there is in its session.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder)


class _Connection(http.client.HTTPConnection):
    """To a socket with a path."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


def check_events(service, server, importers):
    """Whether everything that was done is reported, once.

    :param importers: how many processes have imported the application
    """
    answered = len(server.answers)
    numbers = [event["data"] for event in service.wait_for_events(answered, kind="custom", key="served")]
    assert sorted(numbers, key=int) == [str(number) for number in range(answered)], server.log()
    assert len(service.wait_for_events(importers, kind="custom", key="imported")) == importers, server.log()

    def evaluations():
        summaries = [event for event in service.events() if event["kind"] == "summary"]
        return sum(
            counter["count"] for one in summaries for counter in one["features"]["bool"]["counters"]
        )

    service.wait_for(lambda: evaluations() >= answered + importers)
    assert evaluations() == answered + importers
    check_ids(service)


def check_ids(service):
    """Whether no two requests with events, and no two clients, go by the same name."""
    payloads = [request["headers"]["x-launchdarkly-payload-id"] for request in service.received("POST", "/bulk")]
    assert payloads and len(set(payloads)) == len(payloads)
    instances = [request["headers"]["x-launchdarkly-instance-id"] for request in service.received("GET", "/all")]
    # Each client connects once here, so each has a name of its own.
    assert len(set(instances)) == len(instances)


