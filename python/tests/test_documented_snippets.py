"""The snippets of the original package's reference page run as written.

Only ``FLAGSTAFF_URL`` is set, and the flags exist that the snippets ask for. Each runs in a process of its own.
"""

import os
import subprocess
import sys
import textwrap

import pytest
from fake_service import TIMEOUT, FakeService

USERS = {
    "user": 'user = {"key": "aa0ceb", "firstName": "Ernestina", "lastName": "Evans",'
    ' "email": "ernestina@example.com", "custom": {"groups": ["Google", "Microsoft"]}}',
    "context": 'user = ldclient.Context.builder("aa0ceb").set("email", "ernestina@example.com")'
    '.set("groups", ["Google", "Microsoft"]).build()',
}
BOOLEAN = {"version": 1, "on": True, "variations": [True, False], "fallthrough": {"variation": 0}}


@pytest.fixture
def service():
    service = FakeService({"your.flag.key": BOOLEAN, "your.feature.key": BOOLEAN, "any.feature.flag": BOOLEAN})
    yield service
    service.close()


def run(service, snippet, **environment):
    """Runs a program; gives what it prints."""
    program = "import ldclient\nfrom ldclient import Config\n" + textwrap.dedent(snippet)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "FLAGSTAFF_URL": service.url, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_getting_started(service):
    printed = run(
        service,
        """
        ldclient.set_sdk_key("YOUR_SDK_KEY")

        ld_client = ldclient.get()

        show_feature = ld_client.variation("your.flag.key", {"key": "user@test.com"}, False)

        if show_feature:
            print("the code to show the feature")
        else:
            print("the code to run if the feature is off")

        ld_client.close()
        """,
    )
    assert printed == "the code to show the feature\n"
    assert service.received("GET", "/all")[0]["headers"]["authorization"] == "YOUR_SDK_KEY"
    assert [event["context"]["key"] for event in service.events() if event["kind"] == "index"] == ["user@test.com"]


def test_customizing_the_client(service):
    printed = run(
        service,
        """
        ldclient.set_config(Config(sdk_key='YOUR_SDK_KEY', connect_timeout=5))
        print(ldclient.get().is_initialized())
        """,
    )
    assert printed == "True\n"


@pytest.mark.parametrize("user", USERS.values(), ids=USERS.keys())
def test_every_call_on_a_user(service, user):
    printed = run(
        service,
        """
        ldclient.set_sdk_key("YOUR_SDK_KEY")
        %s
        print(ldclient.get().variation("your.feature.key", user, False))
        ldclient.get().track("your-goal-key", user)
        ldclient.get().track("Completed purchase", user, {"price": 320})
        ldclient.get().identify(user)
        state = ldclient.get().all_flags_state(user)
        print(state.valid, sorted(state.to_values_map()))
        print(ldclient.get().secure_mode_hash(user))
        ldclient.get().flush()
        ldclient.get().close()
        """
        % user,
    )
    # printf aa0ceb | openssl dgst -sha256 -hmac YOUR_SDK_KEY
    digest = "fe8c37f6484ca8906c344af027d299bde492d3b343057e89b1ca2452e732b14e"
    flags = "['any.feature.flag', 'your.feature.key', 'your.flag.key']"
    assert printed == "True\nTrue %s\n%s\n" % (flags, digest)
    custom = service.wait_for_events(2, kind="custom")
    assert [(event["key"], event.get("data")) for event in custom] == [
        ("your-goal-key", None),
        ("Completed purchase", {"price": 320}),
    ]
    identified = service.wait_for_events(kind="identify")[0]["context"]
    assert (identified["key"], identified["groups"]) == ("aa0ceb", ["Google", "Microsoft"])


def test_private_attributes_of_a_user(service):
    run(
        service,
        """
        user = {
         "key": "aa0ceb",
         "email": "test@example.com",
         "privateAttributeNames": ["email"]
        }
        ldclient.set_sdk_key("YOUR_SDK_KEY")
        ldclient.get().identify(user)
        ldclient.get().close()
        """,
    )
    assert service.wait_for_events(kind="identify")[0]["context"] == {
        "kind": "user",
        "key": "aa0ceb",
        "_meta": {"redactedAttributes": ["email"]},
    }


def test_anonymous_users(service):
    run(
        service,
        """
        user = {"key":"aa0ceb", "anonymous": True}
        ldclient.set_sdk_key("YOUR_SDK_KEY")
        ldclient.get().identify(user)
        ldclient.get().close()
        """,
    )
    assert service.wait_for_events(kind="identify")[0]["context"]["anonymous"] is True


@pytest.mark.parametrize("user", USERS.values(), ids=USERS.keys())
def test_offline_mode(service, user):
    printed = run(
        service,
        """
        %s
        # Initialization:
        ldclient.config = Config(offline = True)

        ldclient.sdk_key = "YOUR_SDK_KEY"

        print(ldclient.get().variation("any.feature.flag", user, False)) # will always return the default value (false)
        print(ldclient.get().is_offline(), ldclient.get().get_sdk_key(), ldclient.config.Config is Config)
        """
        % user,
    )
    assert printed == "False\nTrue YOUR_SDK_KEY True\n"
    assert service.requests == []


def test_a_proxy_in_the_environment_is_used(service):
    # The proxy is the service itself, which is asked for another host then.
    printed = run(
        service,
        """
        import os
        os.environ["http_proxy"] = os.environ.pop("FLAGSTAFF_URL")
        uris = {name: "http://flags.invalid" for name in ("base_uri", "stream_uri", "events_uri")}
        ldclient.set_config(Config("YOUR_SDK_KEY", stream=False, **uris))
        print(ldclient.get().is_initialized())
        """,
        no_proxy="",
    )
    assert printed == "False\n"
    polls = service.received("GET", "http://flags.invalid/sdk/latest-all")
    assert polls and polls[0]["headers"]["host"] == "flags.invalid"
