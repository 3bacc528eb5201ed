"""The lines that programs look for, each at its level, and what must never stand in one."""

import json
import logging
import time
from unittest import mock

import pytest
from fake_service import TIMEOUT, FakeService
from ldclient import Context
from ldclient.config import HTTPConfig
from ldclient.util import log
from waiting import eventually, wait_for_message

SECRETS = ["sdk-very-secret", "proxy-password", "redis-password", "private-value"]


def said(caplog, part):
    """The level and text of the one record with this in it, once it is there."""
    (record,) = wait_for_message(caplog, part)
    return record.levelname, record.getMessage(), record.name


def test_a_stream_that_cannot_be_reached_is_tried_again(make_client, caplog):
    make_client(stream_uri="http://127.0.0.1:1", start_wait=0)
    level, message, _ = said(caplog, "stream connection")
    assert level == "WARNING"
    assert message.startswith("Unexpected error on stream connection: ") and message.endswith(", will retry")


@pytest.mark.parametrize(
    "status, level, words",
    [(503, "WARNING", "will retry"), (401, "ERROR", "giving up permanently"), (403, "ERROR", "giving up permanently")],
)
def test_polls_that_are_refused(service, make_client, caplog, status, level, words):
    service.status = status
    make_client(stream=False, start_wait=0)
    name = str(status) if status == 503 else "%d (invalid SDK key)" % status
    assert said(caplog, "Received HTTP error") == (
        level, "Received HTTP error %s for polling request - %s" % (name, words), "ldclient.util",
    )


def test_events_that_cannot_be_sent(service, make_client, caplog):
    service.events_status = 503
    client = make_client()
    client.identify({"key": "a"})
    client.identify({"key": "b"})
    client.flush()
    assert said(caplog, "some events were dropped") == (
        "ERROR", "Error posting 2 events (some events were dropped): HTTP error 503", "ldclient.util",
    )
    assert said(caplog, "(will retry)")[:2] == ("WARNING", "Error posting 2 events (will retry): HTTP error 503")


def test_events_that_are_refused_for_good_are_told_of_once(service, make_client, caplog):
    service.events_status = 401
    clients = [make_client(), make_client()]
    for client in clients:
        client.identify({"key": "a"})
        client.flush()
    eventually(lambda: len(caplog.messages) == 2)
    for client in clients:
        client.identify({"key": "b"})
        client.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    assert set(caplog.messages) == {
        "Error posting 1 events (giving up permanently): HTTP error 401 (invalid SDK key)"
    }


def test_events_that_are_too_many(make_client, caplog):
    client = make_client(events_max_pending=2, flush_interval=600)
    for number in range(10):
        client.track("event", {"key": "u"})
    assert said(caplog, "Exceeded") == (
        "WARNING", "Exceeded event queue capacity. Increase capacity to avoid dropping events.", "ldclient.util",
    )


def test_a_prerequisite_that_is_missing_is_told_of_once_by_the_evaluator(service, make_client, caplog):
    service.flags["needs"] = {
        "key": "needs", "version": 1, "on": True, "variations": ["a", "b"], "offVariation": 1,
        "fallthrough": {"variation": 0}, "prerequisites": [{"key": "gone", "variation": 0}],
    }
    client = make_client()
    for _ in range(3):
        assert client.variation("needs", {"key": "u"}, None) == "b"
    assert said(caplog, "prereq") == ("WARNING", "Missing prereq flag: gone", "ldclient.flag")


def test_a_flag_that_cannot_be_evaluated_is_told_of_once(client, caplog):
    for _ in range(3):
        client.variation("broken", {"key": "u"}, None)
    level, line, logger = said(caplog, "evaluate")
    assert (level, logger) == ("ERROR", "ldclient.util")
    assert line.startswith('Could not evaluate flag "broken": it contradicts itself. Look for a variation that')


def test_debug_shows_what_is_sent_and_what_polls_bring(make_client, caplog):
    caplog.set_level(logging.DEBUG, "ldclient.util")
    client = make_client(stream=False)
    client.track("event", {"key": "u"}, {"some": "data"})
    client.flush()
    level, message, _ = said(caplog, "Sending events payload: ")
    assert level == "DEBUG"
    sent = json.loads(message.partition(": ")[2])
    assert [event["data"] for event in sent if event["kind"] == "custom"] == [{"some": "data"}]
    level, message, _ = said(caplog, "response status")
    assert level == "DEBUG"
    assert "/sdk/latest-all response status:[200] From cache? [False] ETag:[" in message


def test_debug_may_be_switched_on_later(make_client, caplog):
    client = make_client(flush_interval=0.02)
    client.track("before", {"key": "u"})
    caplog.set_level(logging.DEBUG, "ldclient.util")
    for _ in range(TIMEOUT * 20):
        client.track("after", {"key": "u"})
        if any("Sending events payload" in message for message in caplog.messages):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("nothing was said of payloads")


@pytest.mark.parametrize("how", ["level", "disable"])
def test_debug_costs_nothing_where_it_is_not_wanted(service, make_client, how):
    with mock.patch.object(log, "debug") as debug:
        if how == "disable":
            log.setLevel(logging.DEBUG)
            logging.disable(logging.DEBUG)
        try:
            client = make_client(stream=False, flush_interval=0.02)
            for number in range(3):
                client.track("event", {"key": "u"}, number)
                client.flush()
                service.wait_for_events(number + 1, kind="custom")
                client.variation("bool", {"key": "u"}, None)
            client.close()
        finally:
            logging.disable(logging.NOTSET)
            log.setLevel(logging.NOTSET)
    # Not even called: who formats a payload pays for it.
    assert debug.call_count == 0


def test_lines_of_the_clients_own_thread_go_through_the_methods_too(make_client):
    service = FakeService(status=401)
    said = []
    try:
        with mock.patch.object(log, "error", side_effect=lambda *args: said.append(args)):
            with mock.patch.object(log, "info", side_effect=lambda *args: said.append(args)):
                with make_client(start_wait=1, **service.uris()):
                    pass
    finally:
        service.close()
    texts = [args[0] for args in said]
    assert "Received HTTP error 401 (invalid SDK key) for stream connection - giving up permanently" in texts
    assert "Closing LaunchDarkly client.." in texts


def test_no_secret_is_ever_logged_at_info_or_above(service, make_client, caplog):
    """A session in which much goes wrong."""
    caplog.set_level(logging.INFO)

    def use(client):
        user = {"key": "u", "custom": {"card": "private-value", "odd": object()}, "privateAttributeNames": ["card"]}
        context = Context.builder("c").set("card", "private-value").private("card").build()
        for who in (user, context, {"key": "", "custom": {"card": "private-value"}}, {"custom": {"c": "private-value"}}):
            for flag in ("bool", "rule", "broken", "no-such-flag"):
                client.variation(flag, who, None)
                client.variation_detail(flag, who, None)
            client.all_flags_state(who)
            client.identify(who)
            client.track("event", who, metric_value="no number")
            client.secure_mode_hash(who)
        client.flush()

    settings = {"sdk_key": "sdk-very-secret", "private_attributes": ["card", "//"], "initial_reconnect_delay": 0.01}
    client = make_client(**settings)
    use(client)
    service.events_status = 503
    use(client)
    service.drop_streams()
    service.status = 401
    client.close()
    use(client)
    with_proxy = HTTPConfig(http_proxy="http://name:proxy-password@127.0.0.1:1")
    use(make_client(start_wait=0.2, http=with_proxy, **settings))
    for proxy in ("ftp://name:proxy-password@host", b"http://name:proxy-password@host"):
        use(make_client(start_wait=0, http_proxy=proxy, **settings))
    for uri in ("http://name:proxy-password@127.0.0.1:1", "ftp://name:proxy-password@host", "name:proxy-password@host"):
        use(make_client(start_wait=0, **settings, **{"stream_uri": uri}))
    use(make_client(start_wait=0, **{**settings, "sdk_key": "sdk-very-secret!"}))
    wait_for_message(caplog, "Received HTTP error 401")

    def told():
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]

    eventually(lambda: len(told()) > 20)
    everything = told()
    assert not [message for message in everything for secret in SECRETS if secret in message]
    # What is sent is free of private attributes already.
    assert "private-value" not in caplog.text


def test_the_password_of_a_database_is_never_logged(make_client, caplog):
    from ldclient.integrations import Redis

    caplog.set_level(logging.DEBUG)
    store = Redis.new_feature_store(url="redis://:redis-password@127.0.0.1:1/0", redis_opts={})
    client = make_client(feature_store=store, start_wait=0.2)
    client.variation("bool", {"key": "u"}, None)
    client.close()
    eventually(lambda: [record for record in caplog.records if record.levelno >= logging.WARNING])
    assert "redis-password" not in caplog.text
