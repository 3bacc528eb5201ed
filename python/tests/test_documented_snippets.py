"""The snippets of the original package's reference pages run as written, and so do those of both eras together.

Only ``FLAGSTAFF_URL`` is set, and the flags exist that the snippets ask for. Each runs in a process of its own.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from documented_snippets import (
    BOTH_ERAS,
    BOTH_ERAS_TWISTED,
    SERVER,
    SETTINGS,
    TWISTED,
    inside_a_reactor,
    server_program,
    twisted_program,
)
from fake_service import TIMEOUT, FakeService
from ldclient import Config

#: Where the pages lie, beside the project and not in it.
SHARED = Path(os.environ.get("FLAGSTAFF_SEEDS") or Path(__file__).parents[3] / "shared")

USERS = {
    "user": SERVER["user"],
    "context": 'user = ldclient.Context.builder("aa0ceb").set("email", "ernestina@example.com")'
    '.set("groups", ["Google", "Microsoft"]).build()',
}
#: printf aa0ceb | openssl dgst -sha256 -hmac YOUR_SDK_KEY
DIGEST = "fe8c37f6484ca8906c344af027d299bde492d3b343057e89b1ca2452e732b14e"
BOOLEAN = {"version": 1, "on": True, "variations": [True, False], "fallthrough": {"variation": 0}}


@pytest.fixture
def service():
    service = FakeService({"your.flag.key": BOOLEAN, "your.feature.key": BOOLEAN, "any.feature.flag": BOOLEAN})
    yield service
    service.close()


def run(service, program, *options, **environment):
    """Runs a program; gives what it prints, and what it logs."""
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        env={**os.environ, "FLAGSTAFF_URL": service.url, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def run_here(service, snippet, **environment):
    """Runs what goes on after the page's beginning; gives what it prints. Warnings are errors."""
    program = "import ldclient, os\nfrom ldclient import Config\n" + textwrap.dedent(snippet)
    return run(service, program, "-W", "error", **environment)[0]


@pytest.mark.parametrize("user", USERS.values(), ids=USERS.keys())
def test_the_whole_page_is_one_program(service, user):
    printed, logged = run(service, server_program(user), "-W", "error")
    assert printed == "application code to show the feature\nTrue\nTrue True\n%s\n" % DIGEST
    assert logged == ""
    assert {request["headers"]["authorization"] for request in service.received("GET", "/all")} == {"YOUR_SDK_KEY"}
    custom = service.wait_for_events(2, kind="custom")
    assert [(event["key"], event.get("data")) for event in custom] == [
        ("your-goal-key", None),
        ("Completed purchase", {"price": 320}),
    ]
    identified = service.wait_for_events(kind="identify")[0]["context"]
    assert (identified["key"], identified["groups"]) == ("aa0ceb", ["Google", "Microsoft"])
    # "The variation call will automatically create a user"; all_flags_state does not.
    created = [event["context"]["key"] for event in service.events() if event["kind"] == "index"]
    assert created[0] == "user@test.com" and set(created) == {"user@test.com", "aa0ceb"}
    counted = [event["features"] for event in service.events() if event["kind"] == "summary"]
    assert sorted(key for features in counted for key in features) == ["your.feature.key", "your.flag.key"]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_row_of_the_table_of_settings_is_accepted(name, caplog):
    assert hasattr(Config("YOUR_SDK_KEY", **{name: SETTINGS[name]}), name)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    # The minimum has been 30 for as long as anybody remembers.
    assert len(warned) == (name == "poll_interval"), warned


def test_attributes_of_all_users_can_be_private(service):
    run_here(
        service,
        SERVER["user"]
        + """
for private in ({"all_attributes_private": True}, {"private_attribute_names": ["email", "groups"]}):
    with ldclient.LDClient(config=Config("YOUR_SDK_KEY", **private)) as client:
        client.identify(user)
""",
    )
    for event in service.wait_for_events(2, kind="identify"):
        assert not {"email", "groups"} & set(event["context"])
        assert {"email", "groups"} <= set(event["context"]["_meta"]["redactedAttributes"])


def test_private_attributes_of_a_user(service):
    run_here(service, "\n".join([SERVER["get"], SERVER["private"], SERVER["identify"], SERVER["close"]]))
    assert service.wait_for_events(kind="identify")[0]["context"] == {
        "kind": "user",
        "key": "aa0ceb",
        "_meta": {"redactedAttributes": ["email"]},
    }


def test_anonymous_users(service):
    run_here(service, "\n".join([SERVER["get"], SERVER["anonymous"], SERVER["identify"], SERVER["close"]]))
    assert service.wait_for_events(kind="identify")[0]["context"]["anonymous"] is True


def test_a_user_without_a_key_gets_the_default(service):
    snippet = SERVER["variation"].replace("user", '{"email": "ernestina@example.com"}')
    assert run_here(service, "%s\nprint(%s)" % (SERVER["get"], snippet)) == "False\n"


@pytest.mark.parametrize("user", USERS.values(), ids=USERS.keys())
def test_offline_mode(service, user):
    printed = run_here(
        service,
        user
        + "\n"
        + SERVER["offline"].replace("ldclient.get()", "value = ldclient.get()")
        + "\nprint(value, ldclient.get().is_offline(), ldclient.get().get_sdk_key(), ldclient.config.Config is Config)",
    )
    assert printed == "False True YOUR_SDK_KEY True\n"
    assert service.requests == []


@pytest.mark.parametrize("how", ["proxy", "proxy from Python"])
def test_a_proxy_is_used(service, how):
    # The proxy is asked for a tunnel to each host.
    name, uri = re.search(r"(https_proxy)\W+(https://\S+?)\"?$", SERVER[how], re.IGNORECASE).groups()
    uris = {one: "https://flags.invalid" for one in ("base_uri", "stream_uri", "events_uri")}
    snippet = "" if how == "proxy" else SERVER[how].replace(uri, service.url)
    environment = {name: service.url} if how == "proxy" else {}
    run_here(
        service,
        "%s\nimport logging; logging.disable()\nldclient.start_wait = 0.5\n"
        "ldclient.set_config(Config('YOUR_SDK_KEY', stream=False, **%r))\nldclient.get()" % (snippet, uris),
        no_proxy="",
        **environment,
    )
    assert service.received("CONNECT", "flags.invalid:443")


def test_loggers_are_namespaced(service):
    service.status = 503
    program = "import ldclient, logging\nlogging.basicConfig(format='%(name)s')\nldclient.start_wait = 0.1\n"
    assert set(run(service, program + SERVER["get"])[1].split("\n")) == {"ldclient.util", ""}


def test_both_eras_run_side_by_side(service):
    program = (
        "from ldclient.integrations.test_data import TestData\n"
        "td = TestData.data_source()\n"
        "td.update(td.flag('flag-key').variation_for_all(True))\n"
    )
    run(service, program + BOTH_ERAS)


@pytest.mark.parametrize("user", ["user", "anonymous"])
def test_the_whole_page_of_twisted(service, user):
    printed, logged = run(service, twisted_program(TWISTED[user]))
    assert printed == "True\nNone\n%s\n" % DIGEST
    # The data stands in the place of the user there, and no user was given for all flags.
    assert logged.count("\n") == 2 and "track" in logged and "all_flags_state" in logged, logged
    assert [event["key"] for event in service.wait_for_events(kind="custom")] == ["Signed up"]
    assert service.wait_for_events(kind="identify")[0]["context"]["key"] == "aa0ceb"


def run_twisted(service, *lines):
    """Runs this inside a running reactor; whatever asks for other hosts asks the service as a proxy."""
    return run(service, inside_a_reactor(*lines), https_proxy=service.url, no_proxy="127.0.0.1")


def test_a_twisted_client_can_be_customized(service):
    printed, _ = run_twisted(
        service,
        TWISTED["customize"],
        "print(config.base_uri, config.connect_timeout, config.read_timeout, ld_client.get_sdk_key())",
        "yield ld_client.close()",
    )
    assert printed == "https://app.launchdarkly.com 1 2 YOUR_SDK_KEY\n"


def test_offline_mode_of_the_twisted_page(service):
    printed, _ = run_twisted(
        service,
        TWISTED["user"],
        TWISTED["offline"].replace("ld_client.variation", "value = ld_client.variation"),
        "print(value)",
        # "You can bring LaunchDarkly back online by calling set_online."
        "client = TwistedLDClient('YOUR_SDK_KEY', config)",
        "print((yield client.variation('any.feature.flag', user, False)))",
        "yield client.set_online()",
        "print((yield client.variation('any.feature.flag', user, False)))",
        "yield client.close()",
    )
    assert printed == "False\nFalse\nTrue\n"


def test_twisted_of_both_eras(service):
    run_twisted(service, BOTH_ERAS_TWISTED, "yield tw.close()", "print((yield d))")


def without_space(text):
    return re.sub(r"\s", "", text)


def test_the_snippets_are_those_of_the_pages():
    pages = sorted((SHARED / "seeds").glob("*.txt"))
    if not pages:
        pytest.skip("the pages are not here: FLAGSTAFF_SEEDS says where")
    server, twisted = (page.read_text() for page in pages)

    # On the first page each line of a snippet has a number.
    numbered = [line for line in server.split("\n") if re.match(r"\d+\D", line)]
    begins = [line for line in numbered if line.startswith("1")]
    assert len(begins) == len(SERVER)
    for name, snippet in SERVER.items():
        lines = enumerate(snippet.split("\n"), 1)
        assert without_space("".join("%d%s" % line for line in lines)) in without_space(server), name
    table = server[server.index("ParameterType") : server.index("\nUsers\n")].split("\n")
    rows = [max((name for name in SETTINGS if line.startswith(name)), key=len, default=None) for line in table]
    assert list(filter(None, rows)) == list(SETTINGS)

    snippets = [json.loads('"%s"' % one) for one in re.findall(r'"code": "((?:[^"\\]|\\.)*)"', twisted)]
    assert list(map(without_space, snippets)) == list(map(without_space, TWISTED.values()))

    reference = (SHARED / "reference" / "python-api.md").read_text()
    for snippet in (BOTH_ERAS, BOTH_ERAS_TWISTED):
        assert snippet.strip() in reference
