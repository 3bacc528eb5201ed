"""All flags for one context."""

import json
import pickle

import pytest
from ldclient import Context
from ldclient.flags_state import FeatureFlagsState

USER = {"key": "u", "custom": {"groups": "Google"}}


@pytest.mark.parametrize("who", [USER, Context.builder("u").set("groups", "Google").build()], ids=["user", "context"])
def test_values_and_what_else_is_known(client, who):
    state = client.all_flags_state(who)
    assert state.valid
    assert state.get_flag_value("rule") == "yes"
    assert state.get_flag_value("no-such-flag") is None
    assert state.get_flag_value("broken") is None and state.get_flag_value("off-without-variation") is None
    assert state.get_flag_reason("rule") is None
    metadata = state.to_json_dict()["$flagsState"]
    assert metadata["rule"] == {"version": 4, "variation": 0}
    assert metadata["tracked"] == {"version": 3, "variation": 0, "trackEvents": True}
    assert metadata["off-without-variation"] == {"version": 2}


def test_the_same_flags_make_the_same_text(make_client):
    texts = {make_client().all_flags_state(USER).to_json_string() for _ in range(4)}
    assert len(texts) == 1
    keys = list(json.loads(texts.pop()))
    assert keys[:-2] == sorted(keys[:-2]) and keys[-2:] == ["$flagsState", "$valid"]


def test_reasons_if_asked_for(client):
    state = client.all_flags_state(USER, with_reasons=True)
    assert state.get_flag_reason("rule") == {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r1"}
    assert state.get_flag_reason("broken") == {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}


def test_details_only_of_tracked_flags_if_asked_for(client):
    state = client.all_flags_state(USER, with_reasons=True, details_only_for_tracked_flags=True, unknown_option=1)
    metadata = state.to_json_dict()["$flagsState"]
    assert metadata["rule"] == {"variation": 0}
    assert metadata["tracked"] == {
        "version": 3, "variation": 0, "trackEvents": True, "reason": {"kind": "FALLTHROUGH"},
    }


def test_only_flags_that_browsers_may_see_if_asked_for(client):
    assert client.all_flags_state(USER, client_side_only=True).to_values_map() == {"tracked": "x"}


def test_what_is_given_out_is_a_copy(client):
    state = client.all_flags_state(USER)
    state.to_values_map().clear()
    state.to_json_dict()["$flagsState"]["rule"].clear()
    assert state.get_flag_value("rule") == "yes"
    assert state.to_json_dict()["$flagsState"]["rule"] == {"version": 4, "variation": 0}


def test_the_text_form_is_json_and_a_pickle_comes_back(client):
    state = client.all_flags_state(USER)
    assert json.loads(state.to_json_string()) == state.to_json_dict()
    again = pickle.loads(pickle.dumps(state))
    assert again.to_json_dict() == state.to_json_dict() and again.valid
    assert state.__getstate__() == state.to_json_dict()


def test_all_flags_is_the_values_alone(client):
    with pytest.warns(DeprecationWarning):
        assert client.all_flags(USER)["rule"] == "yes"
    with pytest.warns(DeprecationWarning):
        assert client.all_flags(None) is None


def test_bad_users_give_an_empty_state(client, caplog):
    for who in (None, {}, Context.create(""), "u"):
        state = client.all_flags_state(who)
        assert state.to_json_dict() == {"$flagsState": {}, "$valid": False}
    assert "User or user key is None when calling all_flags_state(). Returning empty state." in caplog.messages
    assert (
        "Context was invalid for all_flags_state (context key must not be None or empty); returning default value"
        in caplog.messages
    )


def test_states_can_be_put_together_by_hand():
    state = FeatureFlagsState(True)
    # as since 7.3
    state.add_flag(
        {"key": "a", "value": 1, "variation": 0, "version": 2, "reason": {"kind": "OFF"}, "trackEvents": False,
         "debugEventsUntilDate": None, "prerequisites": ["b"]},
        False, False,
    )
    # as before
    state.add_flag({"key": "b", "version": 3, "trackEvents": True}, "x", None, {"kind": "OFF"}, True)
    state.add_flag({"key": "c", "version": 3}, "y", 1, None, True)
    assert state.to_json_dict() == {
        "a": 1, "b": "x", "c": "y",
        "$flagsState": {
            "a": {"version": 2, "variation": 0, "prerequisites": ["b"]},
            "b": {"version": 3, "reason": {"kind": "OFF"}, "trackEvents": True},
            "c": {"variation": 1},
        },
        "$valid": True,
    }
    with pytest.raises(TypeError):
        state.add_flag({})
