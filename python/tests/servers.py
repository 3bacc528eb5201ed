"""Real databases for tests, each started once for all tests.

Where a server is not installed its tests are skipped, unless ``FLAGSTAFF_REQUIRE_STORES=1``.
"""

import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fake_service import TIMEOUT

#: The table of DynamoDB Local.
TABLE = "flags"

#: Where ``make setup-stores`` puts what Debian does not have.
TOOLS = Path(__file__).parents[2] / ".tools"

#: Ends the server when its standard input ends: when the tests are over, however they end.
_SUPERVISOR = '"$@" >log 2>&1 </dev/null & server=$!; read -r _; kill -9 $server; wait $server 2>/dev/null'


class Server:
    """A server in a folder of its own, at a free port."""

    def __init__(self, command, answers, port=None):
        """
        :param command: called with the port; gives the command line
        :param answers: called with the port; whether the server answers there
        :param port: the port, if it is not to be any that is free
        """
        self.folder = tempfile.mkdtemp(prefix="flagstaff-store-")
        self.port = port or free_port()
        self._supervisor = subprocess.Popen(
            ["sh", "-c", _SUPERVISOR, "sh", *command(self.port)], cwd=self.folder, stdin=subprocess.PIPE
        )
        deadline = time.monotonic() + 3 * TIMEOUT
        while not answers(self.port):
            if time.monotonic() > deadline or self._supervisor.poll() is not None:
                log = (Path(self.folder) / "log").read_text(errors="replace")
                self.stop()
                raise AssertionError("no answer from %s: %s" % (command(self.port)[0], log))
            time.sleep(0.02)

    def stop(self):
        """Ends it at once, as a crash would."""
        self._supervisor.stdin.close()
        self._supervisor.wait(TIMEOUT)
        shutil.rmtree(self.folder, ignore_errors=True)


#: Ports given out before: they may be between two servers.
_GIVEN = set()


def free_port():
    """A port that nobody listens on, below those that systems give to whoever asks for any: nobody gets it by
    chance, neither while a server is starting nor while it is down."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def find(what, variable, *places):
    """The file or folder that a variable names, or the first of these places that exists."""
    named = os.environ.get(variable)
    found = Path(named) if named else next((Path(place) for place in places if place and Path(place).exists()), None)
    if found is None:
        missing = "%s is not installed (`make setup-stores`, or %s)" % (what, variable)
        if os.environ.get("FLAGSTAFF_REQUIRE_STORES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def redis_server(port=None, *options):
    file = find("redis-server", "FLAGSTAFF_REDIS_SERVER", shutil.which("redis-server"))

    def command(port):
        return [str(file), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", str(port), *options]

    def answers(port):
        try:
            return redis(port, "PING") == "PONG"
        except OSError:
            return False

    return Server(command, answers, port)


def dynamodb_server():
    folder = find("DynamoDB Local", "FLAGSTAFF_DYNAMODB_LOCAL", TOOLS / "dynamodb-local").resolve()
    java = find("java", "FLAGSTAFF_JAVA", shutil.which("java"))

    def command(port):
        return [str(java), "-Djava.library.path=%s" % folder, "-Xmx256m", "-XX:TieredStopAtLevel=1",
                "-cp", "%s/*" % folder, "software.amazon.dynamodb.services.local.main.ServerRunner",
                "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]

    return Server(command, lambda port: _http_answers("http://127.0.0.1:%d/" % port))


def dynamodb(port, operation, **request):
    """Asks DynamoDB Local something in its own protocol; it does not check signatures."""
    url = "http://127.0.0.1:%d/" % port
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810." + operation,
        "Authorization": "AWS4-HMAC-SHA256 Credential=dummy/20200101/us-east-1/dynamodb/aws4_request, "
                         "SignedHeaders=host, Signature=0",
    }
    asked = urllib.request.Request(url, json.dumps(request).encode(), headers)
    with urllib.request.urlopen(asked, timeout=3 * TIMEOUT) as answer:
        return json.load(answer)


def consul_server():
    file = find("consul", "FLAGSTAFF_CONSUL", shutil.which("consul"), TOOLS / "consul" / "consul")

    def command(port):
        command = [str(file), "agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "warn"]
        for name in ("dns", "grpc", "grpc-tls", "serf-wan"):
            command += ["-%s-port" % name, "-1"]
        for name, at in (("http", port), ("server", free_port()), ("serf-lan", free_port())):
            command += ["-%s-port" % name, str(at)]
        return command

    def answers(port):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/v1/status/leader" % port, timeout=1) as answer:
                return b"127.0.0.1" in answer.read()
        except OSError:
            return False

    return Server(command, answers)


def _http_answers(url):
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def redis(port, *command, database=0):
    """Asks Redis something in its own protocol. Errors come back as exceptions."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection, connection.makefile("rb") as answers:
        def ask(*parts):
            parts = [str(part).encode() for part in parts]
            request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            connection.sendall(request)
            return _redis_answer(answers)

        if database:
            ask("SELECT", database)
        return ask(*command)


def _redis_answer(answers):
    kind, line = (lambda line: (line[:1], line[1:-2].decode()))(answers.readline())
    if kind == b"":
        raise OSError("Redis hung up")
    if kind == b"-":
        raise RuntimeError(line)
    if kind == b":":
        return int(line)
    if kind == b"$":
        return None if line == "-1" else answers.read(int(line) + 2)[:-2].decode()
    if kind == b"*":
        return [_redis_answer(answers) for _ in range(int(line))]
    return line


def consul(port, path):
    """What Consul has under a path of its HTTP interface."""
    with urllib.request.urlopen("http://127.0.0.1:%d/v1/%s" % (port, path), timeout=TIMEOUT) as answer:
        return json.load(answer)


@pytest.fixture(scope="session")
def redis_port():
    server = redis_server()
    yield server.port
    server.stop()


@pytest.fixture(scope="session")
def consul_port():
    server = consul_server()
    yield server.port
    server.stop()


@pytest.fixture(scope="session")
def dynamodb_port():
    server = dynamodb_server()
    names = ("namespace", "key")
    dynamodb(server.port, "CreateTable", TableName=TABLE, BillingMode="PAY_PER_REQUEST",
             AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
             KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"))])
    yield server.port
    server.stop()
