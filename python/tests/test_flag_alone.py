"""Flags evaluated without a client."""

import pytest
from ldclient import Context
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.flag import EvalResult, error_reason, evaluate
from ldclient.operators import ops
from ldclient.versioned_data_kind import FEATURES, SEGMENTS


def flag(key, **properties):
    return {
        "key": key, "version": 3, "on": True, "variations": ["a", "b"], "fallthrough": {"variation": 0},
        "offVariation": 1, **properties,
    }


def rule(op, attribute, *values):
    return {"id": "r", "variation": 1, "clauses": [{"attribute": attribute, "op": op, "values": list(values)}]}


@pytest.fixture
def store():
    store = InMemoryFeatureStore()
    inner = {"key": "inner", "version": 1, "included": ["ada"]}
    outer = {"key": "outer", "version": 1, "rules": [rule("segmentMatch", "", "inner")]}
    base = flag("base", trackEvents=True)
    store.init({FEATURES: {"base": base}, SEGMENTS: {"inner": inner, "outer": outer}})
    return store


def test_a_flag_is_evaluated_without_a_client(store):
    detail, events = evaluate(flag("plain"), {"key": "ada"}, store)
    assert (detail.value, detail.variation_index, detail.reason) == ("a", 0, {"kind": "FALLTHROUGH"})
    assert events == []
    assert evaluate(flag("plain", on=False), Context.create("ada"), store, None).detail.reason == {"kind": "OFF"}
    assert error_reason("FLAG_NOT_FOUND") == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}


def test_segments_are_looked_up_in_the_store_however_deep(store):
    found = flag("by-segment", rules=[rule("segmentMatch", "", "outer")])
    assert evaluate(found, {"key": "ada"}, store).detail.value == "b"
    assert evaluate(found, {"key": "bob"}, store).detail.value == "a"


def test_prerequisites_are_looked_up_and_told(store):
    user = {"key": "ada"}
    result = evaluate(flag("top", prerequisites=[{"key": "base", "variation": 0}]), user, store)
    assert isinstance(result, EvalResult)
    assert result.detail.value == "a"
    assert result.events == [
        {
            "kind": "feature", "key": "base", "user": user, "value": "a", "variation": 0, "default": None,
            "version": 3, "prereqOf": "top", "trackEvents": True,
        }
    ]
    missing = evaluate(flag("top", prerequisites=[{"key": "gone", "variation": 0}]), user, store)
    assert missing.detail.reason == {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "gone"}


def test_flags_that_ask_for_each_other_end(store):
    store.upsert(FEATURES, flag("base", version=4, prerequisites=[{"key": "top", "variation": 0}]))
    top = flag("top", prerequisites=[{"key": "base", "variation": 0}])
    assert evaluate(top, {"key": "ada"}, store).detail.reason == error_reason("MALFORMED_FLAG")


def test_bad_users_and_bad_flags_are_told(store):
    assert evaluate(flag("plain"), {"key": None}, store).detail.reason == error_reason("USER_NOT_SPECIFIED")
    assert evaluate(flag("plain"), Context.create(""), store).detail.reason == error_reason("USER_NOT_SPECIFIED")
    with pytest.raises(ValueError):
        evaluate(flag("plain", variations=5), {"key": "ada"}, store)


@pytest.mark.parametrize(
    "name, matching, other",
    [
        ("in", (5, 5), (5, "5")),
        ("endsWith", ("xyz", "yz"), ("xyz", "xy")),
        ("startsWith", ("xyz", "xy"), ("xyz", "yz")),
        ("matches", ("xyz", "^x.z$"), ("xyz", "^y")),
        ("contains", ("xyz", "y"), ("xyz", "a")),
        ("lessThan", (1, 1.5), (1, 1)),
        ("lessThanOrEqual", (1, 1), (2, 1)),
        ("greaterThan", (2, 1), (1, 1)),
        ("greaterThanOrEqual", (1, 1), (1, 2)),
        ("before", (1000, "1970-01-01T00:00:02Z"), (3000, "1970-01-01T00:00:02Z")),
        ("after", ("1970-01-01T00:00:02Z", 1000), (1000, 1000)),
        ("semVerEqual", ("2.0", "2.0.0"), ("2.0", "2.0.1")),
        ("semVerLessThan", ("2.0.0-rc.1", "2.0.0"), ("2.0.0", "2.0.0")),
        ("semVerGreaterThan", ("2.1.0", "2.0.0"), ("2.1.0", "two")),
    ],
)
def test_operators_match_as_in_an_evaluation(name, matching, other):
    assert ops[name](*matching) is True
    assert ops[name](*other) is False
    assert ops[name](None, matching[1]) is False
    assert ops[name](["nothing", matching[0]], matching[1]) is True


def test_every_operator_is_tried():
    cases = next(mark for mark in test_operators_match_as_in_an_evaluation.pytestmark).args[1]
    assert sorted(ops) == sorted(case[0] for case in cases)
