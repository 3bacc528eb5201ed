"""What several tests need."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ldclient  # noqa: E402
from fake_service import TIMEOUT, FakeService  # noqa: E402
from ldclient import Config, LDClient  # noqa: E402
from servers import consul_port, dynamodb_port, redis_port  # noqa: E402, F401

FLAGS = {
    "bool": {"version": 7, "on": True, "variations": [True, False], "fallthrough": {"variation": 0}},
    "off": {"version": 2, "on": False, "variations": ["a", "b"], "offVariation": 1},
    "off-without-variation": {"version": 2, "on": False, "variations": ["a"]},
    "broken": {"version": 2, "on": True, "variations": ["a"], "fallthrough": {"variation": 9}},
    "list": {"version": 1, "on": True, "variations": [[1, 1.5, {"deep": [None, "ü"]}]], "fallthrough": {"variation": 0}},
    "tracked": {
        "version": 3, "on": True, "variations": ["x"], "fallthrough": {"variation": 0}, "trackEvents": True,
        "clientSideAvailability": {"usingEnvironmentId": True, "usingMobileKey": True},
    },
    "rule": {
        "version": 4, "on": True, "variations": ["yes", "no"], "fallthrough": {"variation": 1},
        "rules": [{"id": "r1", "variation": 0, "clauses": [
            {"attribute": "groups", "op": "in", "values": ["Google"], "contextKind": "user"}]}],
    },
}


@pytest.fixture
def service():
    service = FakeService(FLAGS)
    yield service
    service.close()


@pytest.fixture
def make_client(service):
    """Makes clients of ``service`` that are closed in the end."""
    clients = []

    def make(start_wait=TIMEOUT, **settings):
        settings = {**service.uris(), "sdk_key": "sdk-test", "diagnostic_opt_out": True, **settings}
        client = LDClient(config=Config(settings.pop("sdk_key"), **settings), start_wait=start_wait)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client):
    client = make_client()
    assert client.is_initialized()
    return client


@pytest.fixture
def singleton():
    """The package as if it had just been imported, before and after."""

    def forget():
        ldclient._reset_client()
        ldclient._singleton.config = None
        ldclient.start_wait = 5

    forget()
    yield ldclient
    forget()
