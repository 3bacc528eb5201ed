"""Every parameter of either era is accepted, and wrong values are named."""

import copy
from unittest import mock

import ldclient.config
import pytest
from ldclient import Config, LDClient
from ldclient.config import BigSegmentsConfig, DataSystemConfig, HTTPConfig
from ldclient.hook import Hook
from ldclient.plugin import Plugin

A_HOOK = Hook()
A_PLUGIN = Plugin()

#: Parameter: (default, a value that may be given, what its property says then).
SYSTEM = DataSystemConfig()

PARAMETERS = {
    "sdk_key": (None, "sdk-a", "sdk-a"),
    "base_uri": ("https://app.launchdarkly.com", "http://a/", "http://a"),
    "events_uri": ("https://events.launchdarkly.com/bulk", "http://a", "http://a/bulk"),
    "stream_uri": ("https://stream.launchdarkly.com/flags", "http://a\\", "http://a/flags"),
    "connect_timeout": (10, 2, 2),
    "read_timeout": (15, 3.5, 3.5),
    "verify_ssl": (True, False, False),
    "http_proxy": (None, "http://proxy", "http://proxy"),
    "events_max_pending": (10000, 5, 5),
    "flush_interval": (5, 0.5, 0.5),
    "stream": (True, False, False),
    "initial_reconnect_delay": (1, 2, 2),
    "defaults": ({}, {"a": 1}, {"a": 1}),
    "send_events": (True, False, False),
    "events_enabled": (True, False, False),
    "poll_interval": (30, 60, 60),
    "use_ldd": (False, True, True),
    "feature_requester_class": (None, print, print),
    "update_processor_class": (None, print, print),
    "event_processor_class": (None, print, print),
    "event_consumer_class": (None, print, print),
    "feature_store": (None, print, print),
    "datasystem_config": (None, SYSTEM, SYSTEM),
    "private_attribute_names": ([], ("a", "b"), ["a", "b"]),
    "private_attributes": ([], {"/a/b"}, ["/a/b"]),
    "all_attribute_names": ([], ["a"], ["a"]),
    "all_attributes_private": (False, True, True),
    "offline": (False, True, True),
    "user_keys_capacity": (1000, 5, 5),
    "user_keys_flush_interval": (300, 7, 7),
    "context_keys_capacity": (1000, 5, 5),
    "context_keys_flush_interval": (300, 7, 7),
    "inline_users_in_events": (False, True, True),
    "diagnostic_opt_out": (False, True, True),
    "diagnostic_recording_interval": (900, 60, 60),
    "wrapper_name": (None, "w", "w"),
    "wrapper_version": (None, "1", "1"),
    "application": ({"id": "", "version": ""}, {"id": "shop"}, {"id": "shop", "version": ""}),
    "hooks": ([], [A_HOOK, print], [A_HOOK]),
    "plugins": ([], [A_PLUGIN, print], [A_PLUGIN]),
    "enable_event_compression": (False, True, True),
    "omit_anonymous_contexts": (False, True, True),
    "payload_filter_key": (None, "a", "a"),
    "events_upload_max_batch_size": (None, 100, 100),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_a_read_only_property(monkeypatch, name):
    monkeypatch.delenv("FLAGSTAFF_URL", raising=False)
    default, given, says = PARAMETERS[name]
    assert getattr(Config(), name) == default
    config = Config(**{name: given})
    assert getattr(config, name) == says
    with pytest.raises(AttributeError):
        setattr(config, name, given)
    assert getattr(copy.copy(config), name) == says
    if name != "sdk_key":
        assert getattr(config.copy_with_new_sdk_key("sdk-b"), name) == says


def test_unknown_parameters_are_type_errors():
    with pytest.raises(TypeError):
        Config(sdk_kee="a")


@pytest.mark.parametrize(
    "given, said",
    [
        ({"flush_interval": "often"}, "Config option flush_interval must be a number, not 'often'; using 5"),
        ({"flush_interval": 0}, "Config option flush_interval must be greater than 0, not 0; using 5"),
        ({"poll_interval": 1}, "Config option poll_interval must be at least 30, not 1; using 30"),
        ({"diagnostic_recording_interval": 1},
         "Config option diagnostic_recording_interval must be at least 60, not 1; using 60"),
        ({"events_max_pending": -1},
         "Config option events_max_pending must be a positive whole number, not -1; using 10000"),
        ({"base_uri": "flags.example"},
         "Config option base_uri must be an http or https URI, not 'flags.example'; ignored"),
        ({"private_attribute_names": ["a", 5]}, "Config option private_attribute_names must be a list of str; [5] ignored"),
        ({"application": {"id": "a b"}}, "Value of application[id] contained invalid characters and was discarded"),
        ({"flush_interval": float("inf")}, "Config option flush_interval must be a number, not inf; using 5"),
        ({"flush_interval": float("nan")}, "Config option flush_interval must be a number, not nan; using 5"),
        ({"poll_interval": 10**400}, "Config option poll_interval must be a number, not %d; using 30" % 10**400),
        ({"payload_filter_key": "a b"},
         "Config option payload_filter_key has characters that cannot be in it: 'a b'; ignored"),
        ({"wrapper_name": "a\nb"}, "Config option wrapper_name has characters that cannot be in it: 'a\\nb'; ignored"),
        ({"wrapper_name": 5}, "Config option wrapper_name cannot be 5; ignored"),
        ({"http": 5}, "Config option http cannot be 5; ignored"),
        ({"defaults": [1]}, "Config option defaults cannot be [1]; ignored"),
        ({"hooks": 5}, "Config option hooks cannot be 5; ignored"),
        ({"big_segments": 5}, "Config option big_segments cannot be 5; ignored"),
        ({"http_proxy": 5}, "Config option http_proxy cannot be 5; ignored"),
        ({"sdk_key": "a b"}, "SDK key contained invalid characters and was discarded"),
        ({"sdk_key": "a" * 8193}, "SDK key was longer than 8192 characters and was discarded"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_values_are_named_once_and_replaced(caplog, given, said):
    config = Config(**given)
    assert caplog.messages == [said]
    name = next(iter(given))
    assert getattr(config, name) != given[name]


def test_daemon_mode_without_a_store_knows_no_flags():
    with LDClient(config=Config("sdk-a", use_ldd=True, send_events=False)) as client:
        assert client.is_initialized() and not client.is_offline()
        detail = client.variation_detail("bool", {"key": "u"}, "d")
        assert (detail.value, detail.reason) == ("d", {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"})


def test_a_key_that_was_not_given_is_none_and_one_that_cannot_be_is_empty():
    assert Config().sdk_key is None
    assert Config(None).sdk_key == "" and Config(5).sdk_key == ""


def test_a_missing_key_is_warned_of_unless_offline(caplog):
    Config(offline=True)._validate()
    assert caplog.messages == []
    Config()._validate()
    assert caplog.messages == ["Missing or blank SDK key"]


def test_the_service_of_the_environment_is_used_if_no_uri_is_given(monkeypatch):
    monkeypatch.setenv("FLAGSTAFF_URL", "http://127.0.0.1:8030/")
    config = Config("sdk")
    assert (config.base_uri, config.stream_base_uri, config.events_base_uri) == ("http://127.0.0.1:8030",) * 3
    config = Config("sdk", base_uri="http://a")
    assert (config.base_uri, config.stream_base_uri, config.events_base_uri) == (
        "http://a", "https://stream.launchdarkly.com", "https://events.launchdarkly.com",
    )
    assert config.get_latest_flags_uri == "http://a/sdk/latest-flags"


def test_private_attributes_of_all_names_are_joined():
    config = Config(private_attributes=["a"], private_attribute_names=["b", "a"], all_attribute_names=["c"])
    assert config.private_attributes == config.private_attribute_names == ["a", "b", "c"]


def test_http_takes_the_place_of_the_single_options():
    http = HTTPConfig(connect_timeout=1, read_timeout=2, http_proxy="http://p", disable_ssl_verification=True)
    config = Config(connect_timeout=9, http=http)
    assert (config.connect_timeout, config.read_timeout, config.http_proxy, config.verify_ssl) == (1, 2, "http://p", False)
    assert (http.ca_certs, http.cert_file) == (None, None)


def test_paths_may_be_path_objects():
    import pathlib

    assert HTTPConfig(ca_certs=pathlib.Path("/a/b.pem")).ca_certs == "/a/b.pem"


def test_very_long_times_are_as_good_as_for_ever(make_client):
    client = make_client(flush_interval=1e300, connect_timeout=10**12, context_keys_flush_interval=1e18)
    assert client.variation("bool", {"key": "u"}, None) is True


def test_offline_switches_events_off():
    assert Config(offline=True).send_events is False
    assert Config(send_events=False, events_enabled=True).send_events is False


def test_other_copies():
    config = Config("sdk-a", flush_interval=9)
    wrapped = config.with_wrapper_information("w", "2")
    assert (wrapped.wrapper_name, wrapped.wrapper_version, wrapped.flush_interval) == ("w", "2", 9)
    assert config.wrapper_name is None
    assert Config.default().sdk_key is None
    assert Config(defaults={"a": 1}).get_default("a", 2) == 1
    assert config.get_default("a", 2) == 2


def test_big_segments_config_knows_both_spellings():
    config = BigSegmentsConfig(user_cache_size=5, context_cache_time=7)
    assert (config.context_cache_size, config.user_cache_size) == (5, 5)
    assert (config.context_cache_time, config.user_cache_time) == (7, 7)
    assert (config.store, config.status_poll_interval, config.stale_after) == (None, 5, 120)


def test_the_poll_interval_can_be_shrunk_in_tests(service, make_client):
    with mock.patch.object(Config, "poll_interval", new_callable=mock.PropertyMock, return_value=0.05):
        make_client(stream=False)
        service.wait_for(lambda: len(service.received("GET", "/sdk/latest-all")) >= 3)


@pytest.mark.parametrize(
    "arguments, key",
    [
        (("sdk-a",), "sdk-a"),
        ((Config("sdk-a", offline=True),), "sdk-a"),
        ((Config("sdk-a", offline=True), 0), "sdk-a"),
        (("sdk-a", Config(offline=True)), "sdk-a"),
        ((None, Config("sdk-a", offline=True), 0), "sdk-a"),
        ((None, Config(offline=True)), None),
    ],
)
def test_key_and_config_combine(arguments, key):
    with mock.patch.object(ldclient.client, "_native"):
        assert LDClient(*arguments).get_sdk_key() == key


def test_two_keys_are_refused():
    with pytest.raises(Exception, match="both"):
        LDClient("sdk-a", Config("sdk-b", offline=True))
    with pytest.raises(TypeError):
        LDClient(config={"sdk_key": "a"})


def test_a_setup_that_cannot_work_gives_defaults(caplog):
    http = HTTPConfig(ca_certs="/no/such/file.pem")
    with LDClient(config=Config("sdk-a", http=http), start_wait=1) as client:
        assert not client.is_initialized()
        assert client.variation("bool", {"key": "u"}, "d") == "d"
        assert client.variation_detail("bool", {"key": "u"}, "d").reason["errorKind"] == "CLIENT_NOT_READY"
    assert any("/no/such/file.pem" in message for message in caplog.messages)
