"""User dictionaries are read in place and let go of; whatever stands in them, nothing is raised."""

import collections
import gc
import random
import sys
import threading
import time
import weakref

import pytest
from fake_service import TIMEOUT
from ldclient import Context


class Kept(dict):
    """A dictionary that can be watched."""


class Hostile:
    """Raises whatever is done with it."""

    def __refuse(self, *_):
        raise RuntimeError("on purpose")

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __refuse
    __index__ = __float__ = __int__ = __refuse

    def __hash__(self):
        return hash("groups")


class HostileMapping(collections.abc.Mapping):
    """A mapping that raises when it is read."""

    def __getitem__(self, key):
        raise RuntimeError("on purpose")

    def __iter__(self):
        raise KeyError("on purpose")

    def __len__(self):
        raise ValueError("on purpose")


class HostileDict(dict):
    """A dictionary whose own methods raise."""

    def __getitem__(self, key):
        raise RuntimeError("on purpose")

    get = keys = items = copy = __iter__ = __contains__ = __getitem__


def nested(depth, kind):
    value = "Google"
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def circular():
    value = {"key": "u"}
    value["custom"] = {"groups": [value], "self": value}
    return value


def doubled(depth):
    """Little to write down, endless to spell out."""
    value = "Google"
    for _ in range(depth):
        value = [value, value]
    return value


def use(client, user):
    """Everything that takes a user; nothing may be raised."""
    for flag in ("bool", "rule", "list", "broken", "no-such-flag"):
        client.variation(flag, user, "d")
        detail = client.variation_detail(flag, user, "d")
        assert isinstance(detail.reason, dict)
    client.track("event", user, user)
    client.identify(user)
    client.all_flags_state(user, with_reasons=True)
    client.secure_mode_hash(user)


@pytest.mark.parametrize("send_events", [False, True], ids=["without events", "with events"])
def test_nothing_of_a_user_is_kept(make_client, send_events):
    client = make_client(send_events=send_events)
    use(client, {"key": "warm"})
    groups, custom, key = ["Microsoft", "Google"], Kept(plan="gold"), "a key of its own %d" % random.getrandbits(64)
    custom["groups"] = groups
    user = Kept(key=key, custom=custom)
    held = [user, custom, groups, key]
    before = [sys.getrefcount(one) for one in held]
    for _ in range(100):
        client.variation("rule", user, None)
        client.variation_detail("rule", user, None)
        client.all_flags_state(user)
    client.track("event", user, groups)
    client.identify(user)
    assert [sys.getrefcount(one) for one in held] == before
    gone = weakref.ref(user)
    del user, held
    # Not even the collector is needed.
    assert gone() is None
    del custom
    gc.collect()


@pytest.mark.parametrize(
    "user",
    [
        Hostile(),
        HostileMapping(),
        HostileDict(key="u", custom={"groups": "Google"}),
        {"key": Hostile()},
        {"key": "u", "custom": Hostile()},
        {"key": "u", "custom": HostileMapping()},
        {"key": "u", "custom": HostileDict(groups="Google")},
        {"key": "u", "custom": {"groups": Hostile()}},
        {"key": "u", "custom": {"groups": [Hostile(), HostileMapping()]}},
        {"key": "u", "custom": {Hostile(): "a"}},
        {Hostile(): "a", "key": "u"},
        {"key": "u", "anonymous": Hostile(), "name": Hostile(), "secondary": Hostile()},
        {"key": "u", "privateAttributeNames": Hostile()},
        {"key": "u", "privateAttributeNames": [Hostile(), "\ud800", None, 5]},
        {"kind": Hostile(), "key": "u"},
        {"kind": "user", "key": Hostile(), "groups": Hostile()},
        {"kind": "multi", "user": Hostile()},
        {"key": 10**5000},
        {"key": "u", "custom": {"groups": 10**5000, "n": -(10**400), "m": 2**64, "o": float("nan"), "p": float("-inf")}},
        {"key": "\ud800\udfff\x00", "custom": {"\udfff": "\ud800", "groups": "\ud83d"}},
        {"key": "u", "custom": {"groups": nested(10_000, list)}},
        {"key": "u", "custom": nested(10_000, dict)},
        {"kind": "user", "key": "u", "groups": nested(10_000, list)},
        circular(),
        {"key": "u", "custom": {"groups": doubled(60)}},
        {"key": b"bytes", "custom": {b"bytes": b"\xff"}},
        {"key": type, "custom": {"groups": {1, 2}, "f": len, "g": (n for n in range(3))}},
    ],
    ids=lambda _: "",
)
def test_no_user_makes_a_call_raise(client, user):
    use(client, user)
    # Nor is anything left behind for the next one.
    assert client.variation("rule", {"key": "u", "custom": {"groups": ["Google"]}}, None) == "yes"


def test_random_users_make_no_call_raise(client):
    rng = random.Random(20240229)
    leaves = [None, True, 0, -1.5, 10**400, float("nan"), "", "Google", "\ud800", b"x", Hostile(), HostileMapping(), object()]
    names = ["key", "kind", "custom", "name", "anonymous", "secondary", "groups", "privateAttributeNames", "_meta", "", 5, None]

    def value(depth):
        roll = rng.random()
        if depth == 0 or roll < 0.5:
            return rng.choice(leaves)
        if roll < 0.7:
            return [value(depth - 1) for _ in range(rng.randrange(4))]
        if roll < 0.75:
            return tuple(value(depth - 1) for _ in range(2))
        return {rng.choice(names): value(depth - 1) for _ in range(rng.randrange(6))}

    for _ in range(400):
        user = value(4)
        if rng.random() < 0.7:
            user = {"key": rng.choice(leaves), "custom": value(3), **(user if isinstance(user, dict) else {})}
        use(client, user)
        context = Context.from_dict(user) if isinstance(user, dict) else Context.create(user)
        use(client, context)


def test_a_user_that_another_thread_changes_is_read_right(client):
    user = {"key": "u", "custom": {"groups": ["Google"]}}
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            number += 1
            user["custom"] = {"groups": ["Microsoft", "Google"], str(number): number}
            user["custom"]["groups"].append("more")
            user["n%d" % (number % 100)] = number
            user.pop("n%d" % ((number - 50) % 100), None)
            user["custom"].pop(str(number), None)

    threads = [threading.Thread(target=change) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + min(1, TIMEOUT)
        while time.monotonic() < deadline:
            # Every state that the dictionary ever has holds the group.
            assert client.variation("rule", user, None) == "yes"
            client.identify(user)
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
