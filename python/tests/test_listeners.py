"""Who is told when flags change, or how receiving them is going."""

import queue
import threading
import time

import pytest
from fake_service import TIMEOUT
from ldclient.interfaces import (
    DataSourceErrorKind,
    DataSourceState,
    FlagChange,
    FlagValueChange,
)
from ldclient.util import log


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.queue = queue.Queue()

    def __call__(self, value):
        self.queue.put((value, threading.current_thread()))

    def next(self):
        return self.queue.get(timeout=TIMEOUT)[0]

    def is_silent(self):
        return self.queue.empty()


def told_of(heard, key):
    while heard.next() != FlagChange(key):
        pass


def test_each_flag_that_changes_is_told_of_on_a_thread_of_the_clients(client, service):
    heard = Heard()
    client.flag_tracker.add_listener(heard)
    service.patch("bool", on=False)
    value, thread = heard.queue.get(timeout=TIMEOUT)
    assert value == FlagChange("bool") and value.key == "bool"
    assert thread is not threading.current_thread()


def test_flags_that_depend_on_the_one_that_changes_are_told_of(client, service):
    service.patch("dependent", prerequisites=[{"key": "bool", "variation": 0}], on=True, variations=[1])
    heard = Heard()
    client.flag_tracker.add_listener(heard)
    service.patch("bool", on=False)
    keys = set()
    while keys != {"bool", "dependent"}:
        keys.add(heard.next().key)


def test_a_value_is_told_of_only_if_it_changed(client, service):
    heard, everything = Heard(), Heard()
    client.flag_tracker.add_listener(everything)
    listener = client.flag_tracker.add_flag_value_change_listener("bool", {"key": "u"}, heard)
    service.patch("bool", trackEvents=False)
    told_of(everything, "bool")
    service.patch("bool", on=False, offVariation=1)
    assert heard.next() == FlagValueChange("bool", True, False)
    told_of(everything, "bool")
    assert heard.is_silent()
    client.flag_tracker.remove_listener(listener)
    service.patch("bool", on=True)
    told_of(everything, "bool")
    service.patch("off", on=True)
    told_of(everything, "off")
    assert heard.is_silent()


def test_values_that_are_listened_for_are_evaluated_like_any_other(client, service):
    client.flag_tracker.add_flag_value_change_listener("tracked", {"key": "listener"}, Heard())
    client.flush()
    event = service.wait_for_events(kind="feature", key="tracked")[0]
    assert event["context"]["key"] == "listener" and event["default"] is None


def test_a_flag_that_is_not_there_has_the_value_none(client, service):
    heard = Heard()
    client.flag_tracker.add_flag_value_change_listener("new", {"key": "u"}, heard)
    service.patch("new", on=True, variations=["n"], fallthrough={"variation": 0})
    assert heard.next() == FlagValueChange("new", None, "n")


def test_a_listener_that_was_added_twice_is_called_twice_and_removed_once(client, service):
    heard = Heard()
    tracker = client.flag_tracker
    tracker.add_listener(heard)
    tracker.add_listener(heard)
    service.patch("bool", on=False)
    assert heard.next() == heard.next() == FlagChange("bool")
    tracker.remove_listener(heard)
    service.patch("off", on=True)
    assert heard.next() == FlagChange("off")
    tracker.remove_listener(heard)
    tracker.remove_listener(heard)
    tracker.remove_listener(print)
    last = Heard()
    tracker.add_listener(last)
    service.patch("bool", on=True)
    told_of(last, "bool")
    assert heard.is_silent()


def test_bound_methods_can_be_removed(client, service):
    class Listener:
        def __init__(self):
            self.count = 0

        def hear(self, change):
            self.count += 1

    listener, last = Listener(), Heard()
    client.flag_tracker.add_listener(listener.hear)
    client.flag_tracker.remove_listener(listener.hear)
    client.flag_tracker.add_listener(last)
    service.patch("bool", on=False)
    told_of(last, "bool")
    assert listener.count == 0


def test_one_that_raises_is_logged_and_the_next_is_told(client, service, caplog):
    heard = Heard()

    def bad(change):
        raise ValueError("on purpose")

    client.flag_tracker.add_listener(bad)
    client.flag_tracker.add_listener(heard)
    service.patch("bool", on=False)
    told_of(heard, "bool")
    record = next(record for record in caplog.records if "listener" in record.getMessage())
    assert record.getMessage() == "Unexpected error in listener for %s: on purpose" % FlagChange
    assert (record.levelname, record.name) == ("ERROR", "ldclient.util")


def test_a_logger_that_fails_keeps_nobody_from_being_told(client, service, capsys):
    heard = Heard()

    def bad(change):
        raise ValueError("on purpose")

    def refuse(record):
        if record.exc_info:
            raise OSError("no room for tracebacks")
        return True

    client.flag_tracker.add_listener(bad)
    client.flag_tracker.add_listener(heard)
    log.addFilter(refuse)
    try:
        service.patch("bool", on=False)
        told_of(heard, "bool")
        service.patch("rule", on=False)
        told_of(heard, "rule")
    finally:
        log.removeFilter(refuse)
    assert "on purpose" in capsys.readouterr().err


def test_one_that_wants_the_program_to_exit_is_told_of_the_next_change(client, service):
    heard = Heard()

    def leave(change):
        heard(change)
        raise SystemExit

    client.flag_tracker.add_listener(leave)
    for key in ("bool", "off", "bool"):
        service.patch(key, on=False)
        assert heard.next() == FlagChange(key)


def test_all_flags_of_a_full_data_set_are_told_of(make_client, service):
    service.status = 503
    client = make_client(start_wait=0, initial_reconnect_delay=0.01)
    service.flags.update({"f%d" % number: {"key": "f%d" % number, "version": 1} for number in range(2000)})
    heard = Heard()
    client.flag_tracker.add_listener(heard)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            pass

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    service.status = 200
    keys = {heard.next().key for _ in range(len(service.flags))}
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert keys == set(service.flags)


def test_a_listener_may_use_the_client_and_other_listeners(client, service):
    heard, values = Heard(), queue.Queue()

    def busy(change):
        value = client.variation("bool", {"key": "u"}, None)
        client.flag_tracker.remove_listener(busy)
        client.flag_tracker.add_listener(heard)
        client.flush()
        values.put(value)

    client.flag_tracker.add_listener(busy)
    service.patch("bool", on=False, offVariation=1)
    assert values.get(timeout=TIMEOUT) is False
    service.patch("off", on=True)
    told_of(heard, "off")
    assert values.empty()


def test_a_listener_may_close_the_client(client, service):
    closed = threading.Event()

    def close(change):
        client.close()
        closed.set()

    client.flag_tracker.add_listener(close)
    service.patch("bool", on=False)
    assert closed.wait(TIMEOUT)
    assert client.data_source_status_provider.status.state == DataSourceState.OFF


def test_the_status_is_told_of_until_the_client_is_closed(make_client, service):
    service.status = 503
    client = make_client(start_wait=0, initial_reconnect_delay=0.01)
    heard = Heard()
    client.data_source_status_provider.add_listener(heard)
    status = heard.next()
    assert status.state == DataSourceState.INITIALIZING
    assert (status.error.kind, status.error.status_code) == (DataSourceErrorKind.ERROR_RESPONSE, 503)
    assert abs(status.error.time - time.time()) < TIMEOUT
    service.status = 200
    while heard.next().state != DataSourceState.VALID:
        pass
    client.close()
    assert heard.next().state == DataSourceState.OFF
    assert heard.is_silent()


def test_the_same_provider_is_given_each_time(client):
    assert client.flag_tracker is client.flag_tracker
    assert client.data_source_status_provider is client.data_source_status_provider


def test_listeners_of_a_closed_or_offline_client_are_never_called(client, make_client):
    client.close()
    for one in (client, make_client(offline=True)):
        one.flag_tracker.add_listener(pytest.fail)
        one.flag_tracker.remove_listener(pytest.fail)
        one.data_source_status_provider.add_listener(pytest.fail)
        one.data_source_status_provider.remove_listener(pytest.fail)


def test_listening_on_many_threads_while_flags_change(client, service):
    stop = threading.Event()

    def listen():
        while not stop.is_set():
            heard = Heard()
            client.flag_tracker.add_listener(heard)
            client.variation("bool", {"key": "u"}, None)
            client.flag_tracker.remove_listener(heard)

    threads = [threading.Thread(target=listen) for _ in range(8)]
    for thread in threads:
        thread.start()
    last = Heard()
    client.flag_tracker.add_listener(last)
    for number in range(20):
        service.patch("bool", on=bool(number % 2))
        told_of(last, "bool")
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
