"""What is said in Python's ``logging``, and that saying it never harms."""

import logging
import threading
import time
from unittest import mock

import pytest
from fake_service import TIMEOUT, FakeService
from ldclient import Config, Context, LDClient
from ldclient.util import check_uwsgi, log
from waiting import wait_for_message


@pytest.fixture
def at_info(caplog):
    with caplog.at_level(logging.INFO, "ldclient.util"):
        yield caplog


def test_a_good_start_is_told_in_the_familiar_words(service, make_client, at_info):
    make_client(start_wait=5)
    wait_for_message(at_info, "initialized ok")
    # Two threads say this, in an order of their own.
    wait_for_message(at_info, "Started LaunchDarkly Client")
    assert sorted(at_info.messages) == sorted([
        "Starting event processor",
        "Waiting up to 5 seconds for LaunchDarkly client to initialize...",
        "Starting StreamingUpdateProcessor connecting to uri: %s/all" % service.url,
        "StreamingUpdateProcessor initialized ok.",
        "Started LaunchDarkly Client: OK",
    ])
    assert {record.name for record in at_info.records} == {"ldclient.util"}


def test_the_end_is_told_once(client, at_info):
    client.close()
    client.close()
    # What was said of the start may come late.
    assert [message for message in at_info.messages if "initialized ok" not in message] == [
        "Closing LaunchDarkly client..",
        "Stopping StreamingUpdateProcessor",
        "Closing LaunchDarkly client..",
    ]


def test_polling_is_told_too(service, make_client, at_info):
    make_client(stream=False)
    assert "Starting PollingUpdateProcessor with request interval: 30" in at_info.messages
    wait_for_message(at_info, "PollingUpdateProcessor initialized ok")


def test_a_refused_key_ends_the_wait_at_once_and_is_told_once(at_info):
    service = FakeService(status=401)
    try:
        started = time.monotonic()
        with LDClient(config=Config("sdk-wrong", diagnostic_opt_out=True, **service.uris()), start_wait=60) as client:
            assert time.monotonic() - started < 30
            assert not client.is_initialized()
            status = client.data_source_status_provider.status
            assert (status.state.name, status.error.kind.name, status.error.status_code) == (
                "INITIALIZING", "ERROR_RESPONSE", 401,
            )
        said = "Received HTTP error 401 (invalid SDK key) for stream connection - giving up permanently"
        (record,) = wait_for_message(at_info, "HTTP error 401")
        assert (record.getMessage(), record.levelname) == (said, "ERROR")
        wait_for_message(
            at_info,
            "Initialization timeout exceeded for LaunchDarkly Client or an error occurred. "
            "Feature Flags may not yet be available.",
        )
    finally:
        service.close()


def test_trouble_that_may_pass_is_a_warning(caplog):
    service = FakeService(status=503)
    try:
        config = Config("sdk-test", diagnostic_opt_out=True, **service.uris())
        with LDClient(config=config, start_wait=0):
            records = wait_for_message(caplog, "Received HTTP error 503 for stream connection - will retry")
            assert records[0].levelname == "WARNING"
    finally:
        service.close()


def test_lines_go_through_the_methods_named_like_their_level(client):
    with mock.patch.object(log, "warning") as warning:
        client.variation("bool", {"key": ""}, False)
    assert "User key is blank" in warning.call_args.args[0]


def test_a_logger_that_fails_is_none_of_the_programs_business(client, monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", seen.append)
    with mock.patch.object(log, "warning", side_effect=RuntimeError("disk full")):
        assert client.variation("bool", {"key": ""}, False) is True
    assert [str(one.exc_value) for one in seen] == ["disk full"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_a_signal_handler_raises_inside_a_logger_or_an_object_is_raised(client, raised):
    class Interrupted:
        def __str__(self):
            raise raised

    with mock.patch.object(log, "warning", side_effect=raised):
        with pytest.raises(raised):
            client.variation("bool", {"key": ""}, False)
    for call in (
        lambda: client.variation("bool", {"key": Interrupted()}, False),
        lambda: client.variation_detail("bool", {"key": Interrupted()}, False),
        lambda: client.track("event", {"key": Interrupted()}),
        lambda: client.identify({"key": Interrupted()}),
        lambda: client.all_flags_state({"key": Interrupted()}),
        lambda: client.secure_mode_hash({"key": Interrupted()}),
        lambda: Context.create(Interrupted()),
        lambda: Context.builder(Interrupted()),
        lambda: Context.builder("a").set("x", Interrupted()),
        lambda: Context.from_dict({"kind": "user", "key": "a", "x": Interrupted()}),
    ):
        with pytest.raises(raised):
            call()
    assert client.variation("bool", {"key": "u"}, False) is True


def test_a_handler_may_use_the_client(service, make_client):
    answers = []

    class Handler(logging.Handler):
        def emit(self, record):
            answers.append(client.variation("bool", {"key": "u"}, None))

    client = make_client()
    handler = Handler()
    log.addHandler(handler)
    try:
        client.variation("bool", {"key": ""}, None)
    finally:
        log.removeHandler(handler)
    assert answers == [True]


def test_the_client_does_not_wait_for_a_handler_that_hangs():
    # The first line of the client's own thread meets a handler that does not come back.
    service = FakeService(status=503)
    held, release = threading.Event(), threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            if threading.current_thread() is not threading.main_thread():
                held.set()
                release.wait(TIMEOUT)

    handler = Handler()
    log.addHandler(handler)
    try:
        config = Config("sdk-test", diagnostic_opt_out=True, initial_reconnect_delay=0.01, **service.uris())
        client = LDClient(config=config, start_wait=0)
        assert held.wait(TIMEOUT)
        count = len(service.received("GET", "/all"))
        # The client goes on connecting while its lines wait.
        service.wait_for(lambda: len(service.received("GET", "/all")) > count + 2)
    finally:
        release.set()
        log.removeHandler(handler)
        client.close()
        service.close()


@pytest.mark.parametrize(
    "options, complains",
    [
        ({}, True),
        ({"threads": "1"}, True),
        ({"threads": "4"}, False),
        ({b"threads": b"2"}, False),
        ({"enable-threads": True}, False),
        ({b"enable-threads": b"1"}, False),
        ({"enable-threads": "0", "threads": "many"}, True),
        (None, False),
    ],
)
def test_uwsgi_without_threads_is_an_error(monkeypatch, caplog, options, complains):
    import sys
    import types

    uwsgi = types.ModuleType("uwsgi")
    if options is not None:
        uwsgi.opt = options
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    check_uwsgi()
    assert [record.levelname for record in caplog.records] == ["ERROR"] * complains
