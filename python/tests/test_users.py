"""Users as they were before there were contexts: the rules of versions 6 and 7."""

import pytest
from ldclient import Context


def rule(attribute, value, op="in"):
    clause = {"attribute": attribute, "op": op, "values": [value]}
    return {
        "version": 1, "on": True, "variations": ["yes", "no"], "fallthrough": {"variation": 1},
        "rules": [{"id": "r", "variation": 0, "clauses": [clause]}],
    }


@pytest.fixture
def matches(service, make_client):
    """Whether a rule on an attribute matches a user."""

    def check(user, attribute, value, op="in"):
        service.flags["asked"] = dict(rule(attribute, value, op), key="asked")
        return make_client(send_events=False).variation("asked", user, None) == "yes"

    return check


@pytest.mark.parametrize("key, text", [(5, "5"), (0, "0"), (2.5, "2.5"), (True, "True")])
def test_any_key_is_made_text(matches, key, text):
    assert matches({"key": key}, "key", text)
    assert not matches({"key": key}, "key", key)


def test_built_in_attributes_stand_at_the_top_level_only(matches):
    assert matches({"key": "u", "email": "a@b.example"}, "email", "a@b.example")
    assert not matches({"key": "u", "custom": {"email": "a@b.example"}}, "email", "a@b.example")
    assert matches({"key": "u", "name": 5}, "name", 5)


def test_everything_else_stands_under_custom_only(matches):
    assert matches({"key": "u", "custom": {"plan": "gold"}}, "plan", "gold")
    assert not matches({"key": "u", "plan": "gold"}, "plan", "gold")


def test_anonymous_that_was_not_given_is_not_false(matches):
    assert matches({"key": "u", "anonymous": False}, "anonymous", False)
    assert not matches({"key": "u"}, "anonymous", False)
    assert not matches({"key": "u", "anonymous": None}, "anonymous", False)
    assert matches(Context.create("u"), "anonymous", False)


def test_numbers_and_bools_are_told_apart(matches):
    assert matches({"key": "u", "custom": {"n": 1}}, "n", 1.0)
    assert not matches({"key": "u", "custom": {"n": True}}, "n", 1)


def test_other_types_count_as_their_text_and_are_warned_of_once(matches, caplog):
    import decimal

    assert matches({"key": "u", "custom": {"price": decimal.Decimal("1.50")}}, "price", "1.50")
    assert matches({"key": "u", "custom": {"price": decimal.Decimal("1.50")}}, "price", "1.50")
    said = "Attributes of type Decimal have no JSON form; their str() is used instead"
    assert caplog.messages.count(said) == 1


def test_paths_descend_into_custom_objects(service, make_client):
    service.flags["path"] = dict(rule("/address/city", "Oslo"), key="path")
    service.flags["path"]["rules"][0]["clauses"][0]["contextKind"] = "user"
    client = make_client(send_events=False)
    assert client.variation("path", {"key": "u", "custom": {"address": {"city": "Oslo"}}}, None) == "yes"
    assert client.variation("path", {"key": "u", "custom": {"address": "Oslo"}}, None) == "no"


def test_secondary_takes_part_in_bucketing_of_users(service, make_client):
    service.flags["rollout"] = {
        "key": "rollout", "version": 1, "on": True, "salt": "salt", "variations": list(range(10)),
        "fallthrough": {"rollout": {"variations": [{"variation": v, "weight": 10_000} for v in range(10)]}},
    }
    client = make_client(send_events=False)

    def spread(users):
        return {client.variation("rollout", user, None) for user in users}

    assert len(spread({"key": "u", "secondary": str(n)} for n in range(100))) == 10
    assert len(spread({"key": "u", "secondary": n} for n in range(100))) == 10
    contexts = (Context.builder("u").set("secondary", str(n)).build() for n in range(100))
    assert len(spread(contexts)) == 1


def test_a_blank_key_is_evaluated_and_warned_of_once_per_client(make_client, caplog):
    client = make_client()
    assert client.variation("bool", {"key": ""}, False) is True
    assert client.variation("bool", {"key": ""}, False) is True
    said = "User key is blank. Flag evaluation will proceed, but the user will not be stored in LaunchDarkly."
    assert caplog.messages.count(said) == 1
    make_client().variation("bool", {}, False)
    assert caplog.messages.count(said) == 2


def test_a_user_is_never_changed(client):
    user = {"key": 5, "custom": {"groups": ["Google"]}, "privateAttributeNames": ["groups"]}
    client.variation("rule", user, None)
    client.identify(user)
    client.track("event", user, {"a": 1})
    client.all_flags_state(user)
    assert user == {"key": 5, "custom": {"groups": ["Google"]}, "privateAttributeNames": ["groups"]}


@pytest.mark.parametrize(
    "who, digest",
    [
        ({"key": "Message"}, "aa747c502a898200f9e4fa21bac68136f886a0e27aec70ba06daf2e2a5cb5597"),
        (Context.create("Message"), "aa747c502a898200f9e4fa21bac68136f886a0e27aec70ba06daf2e2a5cb5597"),
        (None, ""),
        ({}, ""),
        (Context.create(""), ""),
    ],
)
def test_secure_mode_hash(make_client, who, digest):
    assert make_client(sdk_key="secret").secure_mode_hash(who) == digest


def test_secure_mode_hash_of_other_keys(make_client):
    client = make_client(sdk_key="secret")
    assert client.secure_mode_hash({"key": 5}) == client.secure_mode_hash({"key": "5"})
    org = Context.create("Message", "org")
    assert client.secure_mode_hash(org) == client.secure_mode_hash({"key": "org:Message"})
