"""What evaluations answer, and above all what they answer when they cannot."""

import collections
import enum
import threading
import types

import pytest
from fake_service import TIMEOUT, FakeService
from ldclient import Config, Context, LDClient

USER = {"key": "u"}
CONTEXT = Context.create("u")
BOTH = pytest.mark.parametrize("who", [USER, CONTEXT], ids=["user", "context"])


def error(kind):
    return {"kind": "ERROR", "errorKind": kind}


@BOTH
def test_a_flag_gives_its_value_and_why(client, who):
    assert client.variation("bool", who, False) is True
    detail = client.variation_detail("bool", who, False)
    assert (detail.value, detail.variation_index, detail.reason) == (True, 0, {"kind": "FALLTHROUGH"})
    assert client.variation_detail("off", who, "d").reason == {"kind": "OFF"}


@BOTH
def test_both_names_of_the_context_are_accepted(client, who):
    assert client.variation("bool", user=who, default=False) is True
    assert client.variation("bool", context=who, default=False) is True
    assert client.variation(key="bool", context=who, default=False) is True
    assert client.variation_detail("bool", user=who, default=False).value is True
    assert client.all_flags_state(user=who).valid
    assert client.secure_mode_hash(user=who) == client.secure_mode_hash(context=who)


def test_wrong_arguments_are_type_errors(client):
    for call in (
        lambda: client.variation("bool", USER),
        lambda: client.variation("bool", default=1),
        lambda: client.variation("bool", user=USER),
        lambda: client.variation("bool", USER, user=USER, default=1),
        lambda: client.variation(),
        lambda: client.variation_detail("bool", USER),
        lambda: client.track("event"),
        lambda: client.identify(),
        lambda: client.all_flags_state(),
        lambda: client.secure_mode_hash(),
    ):
        with pytest.raises(TypeError):
            call()


@BOTH
@pytest.mark.parametrize("default", [False, 3, 2.5, "plain", {"rows": 20}, [1], None, object()], ids=repr)
def test_the_default_comes_back_as_the_same_object(client, who, default):
    for key in ("no-such-flag", "broken", "off-without-variation", "", None, 5, b"bool", "\ud800"):
        assert client.variation(key, who, default) is default
        assert client.variation_detail(key, who, default).value is default


@BOTH
def test_each_reason_for_a_default_is_told(client, who):
    def reason(key):
        detail = client.variation_detail(key, who, "d")
        assert (detail.value, detail.variation_index) == ("d", None)
        return detail.reason

    assert reason("no-such-flag") == error("FLAG_NOT_FOUND")
    assert reason("broken") == error("MALFORMED_FLAG")
    assert reason("off-without-variation") == {"kind": "OFF"}
    assert reason(17) == error("FLAG_NOT_FOUND")


def test_users_without_key_get_the_default(client):
    for user in (None, {"key": None}, {}, {"email": "a@b.example"}):
        assert client.variation_detail("bool", user, "d").reason == error("USER_NOT_SPECIFIED")
        assert client.variation_detail("no-such-flag", user, "d").reason == error("FLAG_NOT_FOUND")


def test_contexts_that_are_not_valid_get_the_default(client, caplog):
    for context in (Context.create(""), Context.create("a", "kind"), "u", 5, ["u"]):
        assert client.variation_detail("bool", context, "d").reason == error("USER_NOT_SPECIFIED")
        assert client.variation_detail("no-such-flag", context, "d").reason == error("USER_NOT_SPECIFIED")
    assert (
        "Context was invalid for flag evaluation (context key must not be None or empty); returning default value"
        in caplog.messages
    )


@BOTH
def test_values_are_fresh_and_keep_their_types(client, who):
    value = client.variation("list", who, None)
    assert value == [1, 1.5, {"deep": [None, "ü"]}]
    assert [type(one) for one in value] == [int, float, dict]
    value[2]["deep"].append("changed")
    value.clear()
    assert client.variation("list", who, None) == [1, 1.5, {"deep": [None, "ü"]}]


@pytest.mark.parametrize(
    "json_text, value",
    [
        ("1", 1), ("1.0", 1.0), ("-0.5", -0.5), ("1e2", 100.0), ("9007199254740993", 9007199254740993),
        ("18446744073709551615", 18446744073709551615), ("-9223372036854775808", -9223372036854775808),
        ("18446744073709551616", 18446744073709551616.0), ("null", None), ('""', ""), ('"\\u0000"', "\0"),
    ],
)
def test_numbers_and_edges_come_back_as_they_are_written(service, make_client, json_text, value):
    import json

    service.flags["edge"] = {
        "key": "edge", "version": 1, "on": True, "variations": [json.loads(json_text)], "fallthrough": {"variation": 0},
    }
    found = make_client().variation_detail("edge", USER, "default")
    assert found.value == value and type(found.value) is type(value)
    assert found.variation_index == 0


@BOTH
def test_configured_defaults_take_the_place_of_the_callers(make_client, who):
    configured = object()
    client = make_client(defaults={"no-such-flag": configured, "bool": configured})
    assert client.variation("no-such-flag", who, 1) is configured
    assert client.variation("another", who, 1) == 1
    assert client.variation("bool", who, 1) is True


@BOTH
def test_an_offline_client_gives_defaults_silently(who, caplog):
    with LDClient(config=Config(offline=True, defaults={"a": 1})) as client:
        caplog.clear()
        assert client.is_initialized() and client.is_offline()
        assert client.variation_detail("bool", who, "d").reason == error("CLIENT_NOT_READY")
        assert client.variation("a", who, "d") == 1
        assert client.variation_detail("bool", None, "d").reason == error("CLIENT_NOT_READY")
        assert caplog.messages == []
        client.track("event", who)
        client.identify(who)
        client.flush()
        state = client.all_flags_state(who)
        assert not state.valid
        assert state.to_json_dict() == {"$flagsState": {}, "$valid": False}
    assert (
        "all_flags_state() called, but client is in offline mode. Returning empty state" in caplog.messages
    )


@BOTH
def test_a_client_without_flags_gives_defaults_and_says_so(caplog, who):
    service = FakeService(status=503)
    try:
        config = Config("sdk-test", diagnostic_opt_out=True, **service.uris())
        with LDClient(config=config, start_wait=0) as client:
            assert not client.is_initialized()
            assert client.variation_detail("bool", who, "d").reason == error("CLIENT_NOT_READY")
            assert client.variation_detail("bool", None, object()).reason == error("CLIENT_NOT_READY")
            assert not client.all_flags_state(who).valid
    finally:
        service.close()
    said = (
        "Feature Flag evaluation attempted before client has initialized! Feature store unavailable"
        " - returning default: d for feature key: bool"
    )
    assert [message for message in caplog.messages if "Feature Flag evaluation" in message] == [said]
    assert (
        "all_flags_state() called before client has finished initializing! "
        "Feature store unavailable - returning empty state" in caplog.messages
    )


@BOTH
def test_a_closed_client_still_answers_from_memory(client, who):
    client.close()
    client.close()
    assert client.variation("bool", who, False) is True
    client.track("event", who)
    client.identify(who)
    client.flush()


def test_a_change_is_seen(service, client):
    seen = threading.Event()
    service.patch("bool", on=False, offVariation=1)
    for _ in range(TIMEOUT * 100):
        if client.variation("bool", USER, None) is False:
            break
        seen.wait(0.01)
    assert client.variation_detail("bool", USER, None).reason == {"kind": "OFF"}


def test_polling_clients_get_flags_too(service, make_client):
    client = make_client(stream=False)
    assert client.variation("bool", USER, False) is True
    assert service.received("GET", "/sdk/latest-all") and not service.received("GET", "/all")


def test_toggle_is_variation_with_a_warning(client, caplog):
    assert client.toggle("bool", USER, False) is True
    assert "Deprecated method: toggle() called. Use variation() instead." in caplog.messages


def test_any_thread_may_evaluate(client):
    wrong = []

    def evaluate():
        for _ in range(2_000):
            if client.variation("rule", {"key": "u", "custom": {"groups": ["Google"]}}, None) != "yes":
                wrong.append(1)

    threads = [threading.Thread(target=evaluate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not wrong


class Plan(str, enum.Enum):
    GOOGLE = "Google"


@pytest.mark.parametrize(
    "user",
    [
        {"key": "u", "custom": {"groups": "Google"}},
        {"key": "u", "custom": {"groups": ["Microsoft", "Google"]}},
        {"key": "u", "custom": {"groups": ("Google",)}},
        {"key": "u", "custom": {"groups": Plan.GOOGLE}},
        {"key": "u", "custom": types.MappingProxyType({"groups": "Google"})},
        collections.OrderedDict(key="u", custom={"groups": "Google"}),
        collections.UserDict(key="u", custom={"groups": "Google"}),
        collections.ChainMap({"key": "u"}, {"custom": {"groups": "Google"}}),
        {"key": 5, "custom": {"groups": "Google"}},
        {"key": 0, "custom": {"groups": "Google"}},
        {"key": "", "custom": {"groups": "Google"}},
        {"kind": "user", "key": "u", "groups": "Google"},
        {"kind": "multi", "user": {"key": "u", "groups": ["Google"]}, "org": {"key": "o"}},
        Context.builder("u").set("groups", ["Google"]).build(),
        Context.create_multi(Context.create("o", "org"), Context.builder("u").set("groups", "Google").build()),
    ],
    ids=repr,
)
def test_every_form_of_user_is_read(client, user):
    assert client.variation_detail("rule", user, None).reason == {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r1"}


@pytest.mark.parametrize(
    "user",
    [
        {"key": "u", "groups": "Google"},
        {"key": "u", "custom": {"groups": None}},
        {"key": "u", "custom": {"groups": {"Google": True}}},
        {"key": "u", "custom": None},
        {"key": "u", "custom": ["Google"]},
        {"key": "u", "custom": {"groups": [["Google"]]}},
        {"key": "u", "custom": {"groups": float("nan")}},
        {"key": "u", "custom": {"groups": 10**400}},
        {"kind": "org", "key": "u", "groups": "Google"},
    ],
    ids=lambda user: repr(user)[:60],
)
def test_what_does_not_match_does_not(client, user):
    assert client.variation("rule", user, None) == "no"


def test_hostile_objects_harm_nobody(client):
    class Hostile:
        def __str__(self):
            raise RuntimeError("no text")

        def __eq__(self, other):
            raise RuntimeError("no comparison")

        def __hash__(self):
            return hash("groups")

        def __iter__(self):
            raise RuntimeError("no elements")

    circular = []
    circular.append(circular)
    for user in (
        {"key": Hostile()},
        {"key": "u", "custom": {"groups": Hostile(), "circular": circular}},
        {"key": "u", "custom": Hostile()},
        {"key": "u", Hostile(): 1, "custom": {Hostile(): "a"}},
        {"key": "u", "privateAttributeNames": Hostile()},
        {"key": "\ud800", "custom": {"groups": "\udfff"}},
        Hostile(),
    ):
        assert client.variation("rule", user, "d") in ("no", "d")
        assert client.variation("bool", user, Hostile()) is not None
        client.track(Hostile(), user, Hostile(), Hostile())
        client.identify(user)
        client.all_flags_state(user)
        client.secure_mode_hash(user)


def test_alias_has_no_effect_and_says_so_once(service, client, caplog):
    client.alias({"key": "now"}, {"key": "before"})
    client.alias(current_user={"key": "now"}, previous_user={"key": "before"})
    client.close()
    assert [message for message in caplog.messages if "alias()" in message] == [
        "Deprecated method: alias() called. It has no effect; put both in a multi-context instead."
    ]
    assert service.received("POST", "/bulk") == []
