"""Our package under LaunchDarkly's provider for OpenFeature, as it comes from PyPI."""

import threading
from datetime import datetime, timezone

import pytest
from conftest import FLAGS
from fake_service import TIMEOUT, FakeService

pytest.importorskip("ld_openfeature", reason="the provider is installed by `make setup-python`")

from ld_openfeature import LaunchDarklyProvider  # noqa: E402
from openfeature import api  # noqa: E402
from openfeature.evaluation_context import EvaluationContext  # noqa: E402
from openfeature.event import ProviderEvent  # noqa: E402
from openfeature.exception import ErrorCode  # noqa: E402
from openfeature.flag_evaluation import Reason  # noqa: E402
from openfeature.provider import ProviderStatus  # noqa: E402
from openfeature.track import TrackingEventDetails  # noqa: E402

from ldclient import Config  # noqa: E402

ADA = EvaluationContext("ada")


def always(value):
    return {"version": 1, "on": True, "variations": [value], "fallthrough": {"variation": 0}}


@pytest.fixture
def service():
    service = FakeService(
        {
            **FLAGS,
            "text": always("text"),
            "whole": always(5),
            "fraction": always(2.5),
            "object": always({"a": [1, {"b": None}]}),
            "of-organizations": {
                "version": 1, "on": True, "variations": ["others", "ours"], "fallthrough": {"variation": 0},
                "rules": [{"id": "our-rule", "variation": 1, "clauses": [
                    {"attribute": "key", "op": "in", "values": ["acme"], "contextKind": "organization"}]}],
            },
            "of-plans": {
                "version": 1, "on": True, "variations": [False, True], "fallthrough": {"variation": 0},
                "rules": [{"id": "r", "variation": 1, "clauses": [
                    {"attribute": "plan", "op": "in", "values": ["gold"]}]}],
            },
        }
    )
    yield service
    service.close()


@pytest.fixture
def provide(service):
    """Makes a provider of ``service`` the one of the program; gives it and a client."""

    def make(**settings):
        config = Config("sdk-test", **{**service.uris(), "diagnostic_opt_out": True, **settings})
        provider = LaunchDarklyProvider(config, TIMEOUT)
        api.set_provider_and_wait(provider)
        return provider, api.get_client()

    return make


@pytest.fixture(autouse=True)
def forget_providers():
    """Closes the provider of the program, and forgets who listens to it."""
    yield
    api.shutdown()
    api.clear_providers()


def told(event):
    """Has the program told of an event of the provider's; gives what to wait for, and the details that come."""
    happened, details = threading.Event(), []

    def handler(found):
        details.append(found)
        happened.set()

    api.add_handler(event, handler)
    return happened, details


@pytest.mark.parametrize(
    "flag, method, default, value",
    [
        ("bool", "boolean", False, True),
        ("text", "string", "default", "text"),
        ("whole", "integer", 0, 5),
        ("fraction", "float", 0.0, 2.5),
        ("whole", "float", 0.0, 5.0),
        ("object", "object", {}, {"a": [1, {"b": None}]}),
        ("list", "object", [], FLAGS["list"]["variations"][0]),
    ],
)
def test_a_flag_of_each_type(provide, flag, method, default, value):
    _, client = provide()
    assert getattr(client, "get_%s_value" % method)(flag, default, ADA) == value


def test_details_say_which_variation_and_why(provide):
    _, client = provide()
    details = client.get_boolean_details("bool", False, ADA)
    assert (details.value, details.reason, details.error_code) == (True, "FALLTHROUGH", None)
    assert details.flag_metadata["variationIndex"] == 0

    context = EvaluationContext("acme", {"kind": "organization"})
    details = client.get_string_details("of-organizations", "default", context)
    assert (details.value, details.flag_metadata["ruleIndex"], details.flag_metadata["ruleId"]) == ("ours", 0, "our-rule")

    assert client.get_string_details("off", "default", ADA).reason == Reason.DISABLED


@pytest.mark.parametrize(
    "flag, context, error",
    [
        ("no-such-flag", ADA, ErrorCode.FLAG_NOT_FOUND),
        ("bool", EvaluationContext(), ErrorCode.TARGETING_KEY_MISSING),
        ("broken", ADA, ErrorCode.PARSE_ERROR),
        ("text", ADA, ErrorCode.TYPE_MISMATCH),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_with_the_default(provide, flag, context, error):
    _, client = provide()
    details = client.get_boolean_details(flag, False, context)
    assert (details.value, details.reason, details.error_code) == (False, Reason.ERROR, error)


@pytest.mark.parametrize(
    "context, value",
    [
        (EvaluationContext("acme"), "others"),
        (EvaluationContext("acme", {"kind": "organization"}), "ours"),
        (EvaluationContext(None, {"key": "acme", "kind": "organization"}), "ours"),
        (
            EvaluationContext(
                None,
                {
                    "kind": "multi",
                    "organization": {"targetingKey": "acme", "name": "Acme"},
                    "user": {"key": "ada", "anonymous": True},
                },
            ),
            "ours",
        ),
    ],
)
def test_contexts_of_every_kind(provide, context, value):
    _, client = provide()
    assert client.get_string_value("of-organizations", "default", context) == value


def test_attributes_reach_the_rules_and_the_events(provide, service):
    _, client = provide()
    attributes = {
        "plan": "gold",
        "name": "Ada",
        "secret": "x",
        "since": datetime(2020, 1, 2, tzinfo=timezone.utc),
        "privateAttributes": ["secret"],
    }
    assert client.get_boolean_value("of-plans", False, EvaluationContext("ada", attributes)) is True
    api.shutdown()
    reported = service.wait_for_events(kind="index")[0]["context"]
    assert (reported["key"], reported["name"], reported["plan"]) == ("ada", "Ada", "gold")
    assert reported["_meta"] == {"redactedAttributes": ["secret"]} and "secret" not in reported
    assert reported["since"].startswith("2020-01-02T00:00:00")


def test_what_is_tracked_arrives(provide, service):
    _, client = provide()
    client.track("purchase", ADA, TrackingEventDetails(19.5, {"currency": "EUR"}))
    api.shutdown()
    event = service.wait_for_events(kind="custom", key="purchase")[0]
    assert (event["context"]["key"], event["metricValue"], event["data"]) == ("ada", 19.5, {"currency": "EUR"})


def test_the_provider_is_ready_and_tells_of_changed_flags(provide, service):
    ready, _ = told(ProviderEvent.PROVIDER_READY)
    changed, details = told(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    _, client = provide()
    assert ready.wait(TIMEOUT)
    assert client.get_provider_status() == ProviderStatus.READY
    service.patch("bool", on=False, offVariation=1)
    assert changed.wait(TIMEOUT)
    assert details[0].flags_changed == ["bool"]
    assert client.get_boolean_value("bool", True, ADA) is False


def test_a_stream_that_drops_makes_the_provider_stale_until_it_is_back(provide, service):
    _, client = provide(initial_reconnect_delay=0.01)
    stale, _ = told(ProviderEvent.PROVIDER_STALE)
    service.status = 503
    service.drop_streams()
    assert stale.wait(TIMEOUT)
    assert client.get_boolean_value("bool", False, ADA) is True
    ready, _ = told(ProviderEvent.PROVIDER_READY)
    service.status = 200
    assert ready.wait(TIMEOUT)


def test_a_provider_without_flags_fails_to_start(service):
    service.status = 503
    failed, _ = told(ProviderEvent.PROVIDER_ERROR)
    config = Config("sdk-test", diagnostic_opt_out=True, **service.uris())
    api.set_provider(LaunchDarklyProvider(config, 0.1))
    assert failed.wait(TIMEOUT)
    details = api.get_client().get_boolean_details("bool", False, ADA)
    assert (details.value, details.error_code) == (False, ErrorCode.PROVIDER_NOT_READY)


def test_shutdown_closes_the_client(provide, service):
    provider, client = provide()
    client.get_boolean_value("bool", False, ADA)
    api.shutdown()
    service.wait_for_events(kind="summary")
    assert provider.client.data_source_status_provider.status.state.name == "OFF"
