"""Plugins: what they bring, and what they see of a client that is being made."""

import inspect
import logging
import queue
import threading

import ldclient
import pytest
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient
from ldclient.hook import Hook
from ldclient.interfaces import DataSourceState
from ldclient.plugin import ApplicationMetadata, EnvironmentMetadata, Plugin, PluginMetadata, SdkMetadata
from ldclient.version import VERSION
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

CONTEXT = Context.create("u")


class Recording(Plugin):
    """Writes down what it is called with, in a list that may be shared; brings hooks."""

    def __init__(self, name="recording", calls=None, hooks=(), on_register=None):
        self.name = name
        self.calls = [] if calls is None else calls
        self.hooks = hooks
        self.on_register = on_register

    @property
    def metadata(self):
        return PluginMetadata(self.name)

    def get_hooks(self, metadata):
        self.calls.append(("get_hooks", self.name, metadata))
        return self.hooks

    def register(self, client, metadata):
        self.calls.append(("register", self.name, metadata))
        if self.on_register is not None:
            self.on_register(client)


class Named(Hook):
    def __init__(self, name, order):
        self.name, self.order = name, order

    def before_evaluation(self, series_context, data):
        self.order.append(self.name)
        return data


def adding(hook):
    """Has the hook added when the plugin is registered."""
    return lambda client: client.add_hook(hook)


def offline(*plugins, **settings):
    return LDClient(config=Config(offline=True, plugins=list(plugins), **settings))


def test_all_are_asked_for_hooks_before_any_is_registered():
    calls = []
    offline(Recording("a", calls), Recording("b", calls))
    assert [call[:2] for call in calls] == [
        ("get_hooks", "a"), ("get_hooks", "b"), ("register", "a"), ("register", "b"),
    ]


def test_hooks_of_the_config_come_first_then_those_of_plugins_then_those_that_are_added(caplog):
    order = []
    client = offline(
        Recording("a", hooks=[Named("of a", order), print], on_register=adding(Named("late", order))),
        Recording("b", hooks=(Named("of b", order),)),
        hooks=[Named("config", order)],
    )
    client.variation("flag", CONTEXT, None)
    assert order == ["config", "of a", "of b", "late"]
    # What is no hook is left out.
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_plugins_are_told_where_they_are():
    plugin = Recording()
    LDClient(
        config=Config(
            "sdk-a", offline=True, plugins=[plugin], wrapper_name="wrap", wrapper_version="2",
            application={"id": "shop", "version": "1.0"},
        )
    )
    told = EnvironmentMetadata(
        SdkMetadata("python-server-sdk", VERSION, "wrap", "2"), "sdk-a", ApplicationMetadata("shop", "1.0")
    )
    assert [metadata for _, _, metadata in plugin.calls] == [told, told]


def test_a_client_can_be_used_while_a_plugin_is_registered_but_is_not_connected(service, make_client):
    def use(client):
        seen.append((client.is_initialized(), client.variation("bool", CONTEXT, "d"), client.get_sdk_key()))
        client.track("from-plugin", CONTEXT)
        requests.append(len(service.requests))

    seen, requests = [], []
    client = make_client(plugins=[Recording(on_register=use)])
    assert (seen, requests) == ([(False, "d", "sdk-test")], [0])
    assert client.is_initialized() and client.variation("bool", CONTEXT, "d") is True
    client.close()
    assert service.wait_for_events(kind="custom")[0]["key"] == "from-plugin"


@pytest.mark.parametrize(
    "method, said",
    [("get_hooks", "Error getting hooks from plugin bad: 5"), ("register", "Error registering plugin bad: 5")],
)
def test_what_a_plugin_raises_is_logged_and_the_client_is_made(make_client, caplog, method, said):
    class Bad(Recording):
        def call(self, *arguments):
            raise ValueError(5)

    setattr(Bad, method, Bad.call)
    other = Recording()
    client = make_client(plugins=[Bad("bad"), other])
    assert client.variation("bool", CONTEXT, None) is True
    assert len(other.calls) == 2
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (record.message, record.levelname, record.name) == (said, "ERROR", "ldclient.util")


def test_a_plugin_without_a_name_goes_by_its_type(caplog):
    class Nameless(Plugin):
        metadata = property(lambda self: 1 / 0)

        def register(self, client, metadata):
            raise ValueError("too bad")

    offline(Nameless())
    assert "Error registering plugin Nameless: too bad" in caplog.messages


def test_a_plugin_that_writes_nothing_does_nothing(caplog):
    offline(Plugin(), print, Recording(hooks=None)).close()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_an_interrupt_while_a_plugin_is_registered_ends_the_client(service):
    def interrupt(client):
        made.append(client)
        raise KeyboardInterrupt

    class Processor:
        def __init__(self, config):
            self.is_stopped = False
            processors.append(self)

        def stop(self):
            self.is_stopped = True

    made, processors = [], []
    settings = {**service.uris(), "event_processor_class": Processor, "diagnostic_opt_out": True}
    with pytest.raises(KeyboardInterrupt):
        LDClient(config=Config("sdk-a", plugins=[Recording(on_register=interrupt)], **settings), start_wait=TIMEOUT)
    assert made[0]._native.is_closed() and processors[0].is_stopped
    assert made[0].variation("bool", CONTEXT, "d") == "d"


def test_a_plugin_that_asks_for_the_one_client_is_told_that_it_is_being_made(singleton, caplog):
    singleton.set_config(Config(offline=True, plugins=[Recording(on_register=lambda client: ldclient.get())]))
    client = singleton.get()
    assert client.is_offline()
    said = "Error registering plugin recording: ldclient.get() was called by something that the client needs to be made"
    assert said in caplog.messages


def test_a_plugin_may_keep_the_client_and_ask_from_a_thread_of_its_own(make_client):
    def begin(client):
        thread.append(threading.Thread(target=lambda: answers.append(client.variation("bool", CONTEXT, "d"))))

    thread, answers = [], []
    make_client(plugins=[Recording(on_register=begin)])
    thread[0].start()
    thread[0].join(TIMEOUT)
    assert answers == [True]


def test_a_client_that_cannot_be_started_has_its_plugins_all_the_same(caplog):
    plugin = Recording()
    client = LDClient(config=Config("sdk-a", plugins=[plugin], http_proxy="not a proxy"), start_wait=0)
    assert [call[0] for call in plugin.calls] == ["get_hooks", "register"]
    assert any(message.startswith("The client could not be started") for message in caplog.messages)
    assert client.variation("bool", CONTEXT, "d") == "d"


def test_plugins_are_registered_again_when_the_client_is_made_anew(make_client):
    order = []
    plugin = Recording(hooks=[Named("brought", order)], on_register=adding(Named("added", order)))
    client = make_client(plugins=[plugin])
    client.postfork(start_wait=TIMEOUT)
    assert [call[0] for call in plugin.calls] == ["get_hooks", "register"] * 2
    assert client.variation("bool", CONTEXT, None) is True
    assert order == ["brought", "added"]


def test_the_signatures_are_those_that_programs_know():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(Plugin.get_hooks) == ["self", "metadata"]
    assert names(Plugin.register) == ["self", "client", "metadata"]
    assert names(PluginMetadata) == ["name"]
    assert names(EnvironmentMetadata) == ["sdk", "sdk_key", "application"]
    assert names(SdkMetadata) == ["name", "version", "wrapper_name", "wrapper_version"]
    assert names(ApplicationMetadata) == ["id", "version"]
    assert EnvironmentMetadata(SdkMetadata("a", "1")) == EnvironmentMetadata(SdkMetadata("a", "1"), None, None)


@pytest.mark.parametrize("own_source", [False, True])
def test_a_plugin_that_listens_misses_nothing(service, make_client, own_source):
    class Source:
        def __init__(self, config, store, ready):
            self.config, self.ready = config, ready

        def start(self):
            self.config.data_source_update_sink.init({FEATURES: dict(service.flags), SEGMENTS: {}})
            self.config.data_source_update_sink.update_status(DataSourceState.VALID, None)
            self.ready.set()

        def initialized(self):
            return True

    def listen(client):
        client.flag_tracker.add_listener(lambda change: heard.put(change.key))
        client.data_source_status_provider.add_listener(lambda status: heard.put(status.state))

    heard = queue.Queue()
    settings = {"update_processor_class": Source} if own_source else {}
    make_client(plugins=[Recording(on_register=listen)], **settings)
    expected = {*service.flags, DataSourceState.VALID}
    assert {heard.get(timeout=TIMEOUT) for _ in expected} == expected
