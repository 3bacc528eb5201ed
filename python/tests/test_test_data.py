"""Flags that a test sets itself."""

import threading

import pytest
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient, datasystem
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.integrations import test_data, test_datav2
from ldclient.integrations.test_data import FALSE_VARIATION_INDEX, TRUE_VARIATION_INDEX, FlagBuilder, TestData
from ldclient.integrations.test_datav2 import FlagBuilderV2, FlagRuleBuilderV2, TestDataV2
from ldclient.interfaces import DataSourceState
from ldclient.versioned_data_kind import FEATURES

USER = {"key": "u"}


@pytest.fixture
def td():
    return TestData.data_source()


@pytest.fixture
def client(td, request):
    return client_of(td, request)


def client_of(td, request, **settings):
    client = LDClient(config=Config("sdk-test", update_processor_class=td, send_events=False, **settings))
    request.addfinalizer(client.close)
    return client


def built(build):
    """What a builder makes of a new flag."""
    return build(FlagBuilder("f"))._build(1)


def clause(kind, attribute, values, negate):
    return {"contextKind": kind, "attribute": attribute, "op": "in", "values": values, "negate": negate}


def test_a_new_flag_is_true_for_everybody_and_false_when_off(td, client):
    td.update(td.flag("f"))
    assert client.is_initialized() and client.variation("f", USER, None) is True
    td.update(td.flag("f").on(False))
    assert client.variation("f", USER, None) is False


def test_the_json_of_a_flag():
    assert built(lambda flag: flag) == {
        "key": "f",
        "version": 1,
        "on": True,
        "variations": [True, False],
        "prerequisites": [],
        "salt": "",
        "offVariation": FALSE_VARIATION_INDEX,
        "fallthrough": {"variation": TRUE_VARIATION_INDEX},
        "targets": [],
        "contextTargets": [],
        "rules": [],
    }


@pytest.mark.parametrize(
    ["build", "expected"],
    [
        (lambda flag: flag.on(False), {"on": False}),
        (lambda flag: flag.fallthrough_variation(False), {"fallthrough": {"variation": 1}}),
        (lambda flag: flag.off_variation(True), {"offVariation": 0}),
        (
            lambda flag: flag.variations("a", "b", "c").fallthrough_variation(2).off_variation(0),
            {"variations": ["a", "b", "c"], "fallthrough": {"variation": 2}, "offVariation": 0},
        ),
        (
            lambda flag: flag.variations("a", "b").fallthrough_variation(1).boolean_flag(),
            {"variations": [True, False], "fallthrough": {"variation": 0}, "offVariation": 1},
        ),
        (lambda flag: flag.variations(1, 0).boolean_flag(), {"variations": [True, False]}),
        (
            lambda flag: flag.fallthrough_variation(False).boolean_flag(),
            {"variations": [True, False], "fallthrough": {"variation": 1}},
        ),
        (
            lambda flag: flag.on(False).variation_for_user("u", False).if_match("a", 1).then_return(0)
            .variation_for_all(False),
            {"on": True, "targets": [], "contextTargets": [], "rules": [], "fallthrough": {"variation": 1}},
        ),
        (lambda flag: flag.variation_for_all_users(1), {"fallthrough": {"variation": 1}}),
        (lambda flag: flag.value_for_all({"a": 1}), {"variations": [{"a": 1}], "fallthrough": {"variation": 0}}),
        (lambda flag: flag.value_for_all_users("v"), {"variations": ["v"]}),
        (
            lambda flag: flag.variation_for_user("a", False).variation_for_user("b", True),
            {
                "targets": [{"variation": 0, "values": ["b"]}, {"variation": 1, "values": ["a"]}],
                "contextTargets": [
                    {"contextKind": "user", "variation": 0, "values": []},
                    {"contextKind": "user", "variation": 1, "values": []},
                ],
            },
        ),
        (
            lambda flag: flag.variation_for_user("a", False).variation_for_user("a", True),
            {"targets": [{"variation": 0, "values": ["a"]}]},
        ),
        (
            lambda flag: flag.variation_for_key("org", "o", 1),
            {"targets": [], "contextTargets": [{"contextKind": "org", "variation": 1, "values": ["o"]}]},
        ),
        (lambda flag: flag.variation_for_user("a", True).clear_targets(), {"targets": [], "contextTargets": []}),
        (
            lambda flag: flag.if_match("name", "Ada", "Grace").and_not_match("country", "gb").then_return(False)
            .if_not_match_context("org", "plan", "free").and_match_context("org", "size", 5)
            .and_not_match_context("org", "x", 1).and_match("y", 2).then_return(True),
            {
                "rules": [
                    {
                        "id": "rule0",
                        "variation": 1,
                        "clauses": [
                            clause("user", "name", ["Ada", "Grace"], False),
                            clause("user", "country", ["gb"], True),
                        ],
                    },
                    {
                        "id": "rule1",
                        "variation": 0,
                        "clauses": [
                            clause("org", "plan", ["free"], True),
                            clause("org", "size", [5], False),
                            clause("org", "x", [1], True),
                            clause("user", "y", [2], False),
                        ],
                    },
                ]
            },
        ),
        (lambda flag: flag.if_match("a", 1).then_return(0).clear_rules(), {"rules": []}),
    ],
)
def test_builders_make_the_json_that_they_say(build, expected):
    made = built(build)
    assert {name: made[name] for name in expected} == expected


def test_targets_and_rules_are_evaluated(td, client):
    td.update(
        td.flag("f")
        .fallthrough_variation(False)
        .variation_for_user("ada", True)
        .variation_for_key("org", "o", True)
        .if_match("country", "gb").and_not_match("name", "Bob").then_return(True)
        .if_not_match_context("device", "os", "ios").then_return(True)
    )

    def value(context):
        return client.variation("f", context, None)

    assert value({"key": "ada"}) is True and value({"key": "bob"}) is False
    assert value(Context.create("o", "org")) is True
    assert value({"key": "x", "country": "gb", "name": "Al"}) is True
    assert value({"key": "x", "country": "gb", "name": "Bob"}) is False
    assert value(Context.builder("d").kind("device").set("os", "android").build()) is True
    assert value(Context.builder("d").kind("device").set("os", "ios").build()) is False


def test_a_flag_comes_back_as_it_was_last_and_changes_only_by_update(td, client):
    td.update(td.flag("f").variations("a", "b").fallthrough_variation(1))
    builder = td.flag("f").fallthrough_variation(0)
    assert client.variation("f", USER, None) == "b"
    assert td.update(builder) is td
    assert client.variation("f", USER, None) == "a"
    builder.fallthrough_variation(1)
    assert td.flag("f")._build(1)["fallthrough"] == {"variation": 0}


def test_versions_rise(td):
    store = InMemoryFeatureStore()
    source = td(Config("sdk-test"), store, ready := threading.Event())
    td.update(td.flag("f"))
    source.start()
    assert ready.is_set() and source.initialized()
    assert store.get(FEATURES, "f")["version"] == 1
    td.update(td.flag("f"))
    assert store.get(FEATURES, "f")["version"] == 2
    source.stop()
    td.update(td.flag("f"))
    assert store.get(FEATURES, "f")["version"] == 2


def test_several_clients_are_told(td, request):
    clients = [client_of(td, request) for _ in range(3)]
    td.update(td.flag("f").value_for_all("a"))
    assert [client.variation("f", USER, None) for client in clients] == ["a"] * 3
    clients[0].close()
    td.update(td.flag("f").value_for_all("b"))
    assert [client.variation("f", USER, None) for client in clients] == ["a", "b", "b"]
    assert client_of(td, request).variation("f", USER, None) == "b"


def test_the_status_is_valid_and_listeners_are_told(td, client):
    assert client.data_source_status_provider.status.state == DataSourceState.VALID
    heard = threading.Event()
    client.flag_tracker.add_listener(lambda change: heard.set())
    td.update(td.flag("f"))
    assert heard.wait(TIMEOUT)


def test_a_store_of_ones_own_is_written(td, request):
    store = InMemoryFeatureStore()
    td.update(td.flag("f"))
    client = client_of(td, request, feature_store=store)
    td.update(td.flag("g").value_for_all(5))
    assert sorted(store.all(FEATURES)) == ["f", "g"]
    assert client.variation("g", USER, None) == 5


def test_pytest_does_not_take_them_for_tests():
    assert TestData.__test__ is False and TestDataV2.__test__ is False
    assert not [name for name in vars(test_data) if name.startswith("test_")]
    assert not [name for name in vars(test_datav2) if name.startswith("test_")]


def test_the_second_generation_is_a_source_of_a_data_system(request):
    td = TestDataV2.data_source()
    flag = td.flag("f")
    assert type(flag) is FlagBuilderV2
    rule = flag.if_match("name", "Ada")
    assert type(rule) is FlagRuleBuilderV2
    td.update(rule.then_return(True).fallthrough_variation(False))
    assert td.async_builder is not None
    system = datasystem.custom().initializers([td.builder]).synchronizers(td.builder).build()
    clients = []
    for _ in range(2):
        clients.append(LDClient(config=Config("sdk-test", datasystem_config=system, send_events=False)))
        request.addfinalizer(clients[-1].close)
        assert clients[-1].is_initialized()
        assert clients[-1].variation("f", {"key": "a", "name": "Ada"}, None) is True
        assert clients[-1].variation("f", USER, None) is False
    heard = threading.Semaphore(0)
    for client in clients:
        client.flag_tracker.add_listener(lambda change: heard.release())
    td.update(td.flag("f").value_for_all("new"))
    for client in clients:
        assert heard.acquire(timeout=TIMEOUT)
    assert [client.variation("f", USER, None) for client in clients] == ["new", "new"]
