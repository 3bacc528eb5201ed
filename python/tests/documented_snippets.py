"""The snippets of the original package's two reference pages, as written there, and those of both eras together.

``SERVER`` is the page of the package itself, of early 2020; ``TWISTED`` that of its early client for Twisted. They stand in
the order of the pages. ``SETTINGS`` are the parameters of the table in the former, with a value of the type named there.
"""

import textwrap

SERVER = {
    "install": "pip install launchdarkly-server-sdk",
    "import": "import ldclient",
    "get": """ldclient.set_sdk_key("YOUR_SDK_KEY")

ld_client = ldclient.get()""",
    "decide": """show_feature = ld_client.variation("your.flag.key", {"key": "user@test.com"}, False)

if show_feature:
  # application code to show the feature
else:
  # the code to run if the feature is off""",
    "shut down": """# shut down the client, since we're about to quit
ld_client.close()""",
    "customize": """ldclient.set_config(Config(sdk_key='YOUR_SDK_KEY', connect_timeout=5))""",
    "user": """user = {
  "key": "aa0ceb",
  "firstName": "Ernestina",
  "lastName": "Evans",
  "email": "ernestina@example.com",
  "custom": {
    "groups": ["Google", "Microsoft"]
  }
}""",
    "private": """user = {
  "key": "aa0ceb",
  "email": "test@example.com",
  "privateAttributeNames": ["email"]
}""",
    "anonymous": """user = {"key":"aa0ceb", "anonymous": True}""",
    "variation": """ldclient.get().variation("your.feature.key", user, False)""",
    "track": """ldclient.get().track("your-goal-key", user)""",
    "track data": """ldclient.get().track("Completed purchase", user, {"price": 320})""",
    "identify": """ldclient.get().identify(user)""",
    "all flags": """state = ldclient.get().all_flags_state(user)""",
    "hash": """ldclient.get().secure_mode_hash(user)""",
    "offline": """# Initialization:
ldclient.config = Config(offline = True)

ldclient.sdk_key = "YOUR_SDK_KEY"

ldclient.get().variation("any.feature.flag", user, False) # will always return the default value (false)""",
    "flush": """ldclient.get().flush()""",
    "close": """ldclient.get().close()""",
    "proxy": """export HTTPS_PROXY=https://web-proxy.domain.com:8080""",
    "proxy on Windows": """set HTTPS_PROXY=https://web-proxy.domain.com:8080""",
    "proxy from Python": """os.environ["https_proxy"] = "https://web-proxy.domain.com:8080\"""",
}

SETTINGS = {
    "base_uri": "https://app.launchdarkly.com",
    "events_uri": "https://events.launchdarkly.com",
    "stream_uri": "https://stream.launchdarkly.com/",
    "connect_timeout": 10,
    "read_timeout": 15,
    "events_upload_max_batch_size": 10000,
    "flush_interval": 5,
    "events_max_pending": 10000,
    "stream": True,
    "offline": False,
    "poll_interval": 1,
    "use_ldd": False,
    "feature_store": None,
    "feature_requester_class": None,
    "event_consumer_class": None,
    "update_processor_class": None,
    "all_attributes_private": False,
    "all_attribute_names": [],
    "user_keys_capacity": 1000,
    "user_keys_flush_interval": 300,
    "inline_users_in_events": False,
}

TWISTED = {
    "install": "pip install ldclient-py[twisted]",
    "get": """ld_client = TwistedLDClient("YOUR_SDK_KEY")""",
    "customize": """config = TwistedConfig('https://app.launchdarkly.com', 1, 2)
ld_client = TwistedLDClient("YOUR_SDK_KEY", config)""",
    "user": SERVER["user"],
    "anonymous": SERVER["anonymous"],
    "variation": """ld_client.variation("your.feature.key", user, False)""",
    "track": """ld_client.track("Signed up", user)""",
    "track data": """ld_client.track("Completed purchase", {"price": 320})""",
    "identify": """ld_client.identify(user)""",
    "all flags": """ld_client.all_flags()""",
    "hash": """ld_client.secure_mode_hash(user)""",
    "offline": """config = Config(offline = True)
ld_client = LDClient("YOUR_SDK_KEY", config)
ld_client.variation("any.feature.flag", user, False) # will always return the default value (false)""",
    "flush": """ld_client.flush()""",
    "close": """ld_client.close()""",
}

#: Programs of all eras, one after the other; ``td`` is test data in which `flag-key` is on.
BOTH_ERAS = '''
# v6 singleton with a dict user
import ldclient
from ldclient.config import Config
ldclient.set_config(Config(sdk_key="SDK", connect_timeout=5, update_processor_class=td, send_events=False))
c = ldclient.get()
assert c.variation("flag-key", {"key": 5, "custom": {"groups": ["Google", "Microsoft"]}}, False) is True
assert c.variation("flag-key", user={"key": "u"}, default=False) is True
assert c.variation_detail("nope", {"key": "u"}, "d").reason == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}
assert c.all_flags({"key": "u"}) == {"flag-key": True}
assert c.all_flags_state({"key": "u"}).to_json_dict()["$valid"] is True
c.track("Completed purchase", {"key": "u"}, {"price": 320}); c.identify({"key": "u"}); c.flush()
ldclient.set_sdk_key("OTHER")
assert ldclient.get() is not c and ldclient.get().get_sdk_key() == "OTHER"
ldclient.get().close()

# v6/v7 import paths
from ldclient.flag import EvaluationDetail
from ldclient.flags_state import FeatureFlagsState
from ldclient.redis_feature_store import RedisFeatureStore
from ldclient.file_data_source import FileDataSource

# pre-4.0 assignment style (seed-1, "Offline mode")
ldclient._reset_client()
ldclient.config = Config(offline=True)
ldclient.sdk_key = "SDK"
assert ldclient.get().variation("any.feature.flag", {"key": "u"}, False) is False
assert ldclient.get().is_offline()

# explicit client, key and config together (seed-2, "Offline mode")
from ldclient import LDClient
assert LDClient("SDK", Config(offline=True)).is_offline()

# v8/v9
from ldclient import Context
from ldclient.evaluation import EvaluationDetail as ED
assert ED is EvaluationDetail
ctx = Context.builder("user-key").name("User One").set("plan", "gold").private("plan").build()
with LDClient(Config("SDK", update_processor_class=td, send_events=False), start_wait=1) as c9:
    assert c9.variation("flag-key", ctx, False) is True
    assert c9.variation("flag-key", context=Context.create("org-key", "org"), default=False) is True
    assert c9.data_source_status_provider.status is not None
multi = Context.create_multi(ctx, Context.create("o:1", "org"))
assert multi.fully_qualified_key == "org:o%3A1:user:user-key"
'''

#: The same for Twisted, inside a running reactor.
BOTH_ERAS_TWISTED = '''
from ldclient import TwistedConfig, TwistedLDClient
tw = TwistedLDClient("SDK", TwistedConfig("https://app.launchdarkly.com", 1, 2))
d = tw.variation("your.feature.key", {"key": "aa0ceb"}, False)      # always a Deferred
tw.track("Signed up", {"key": "aa0ceb"}); tw.identify({"key": "aa0ceb"})
tw.flush().addCallback(lambda _: tw.close())
'''


def server_program(user=SERVER["user"]):
    """The first page from its top to its end as one program, which prints what it is told."""

    def said(name):
        return "print(%s)" % SERVER[name]

    decide = SERVER["decide"]
    for comment in ("application code to show the feature", "the code to run if the feature is off"):
        # An `if` needs more than a comment.
        decide = decide.replace("# " + comment, "print(%r)" % comment)
    lines = [
        SERVER["import"],
        "from ldclient import Config",
        SERVER["get"],
        decide,
        SERVER["customize"],
        user,
        said("variation"),
        SERVER["track"],
        SERVER["track data"],
        SERVER["identify"],
        SERVER["all flags"],
        "print(state.valid, state.get_flag_value('your.feature.key'))",
        said("hash"),
        SERVER["flush"],
        SERVER["shut down"],
        SERVER["close"],
    ]
    return "\n".join(lines) + "\n"


#: A program inside a running reactor.
INSIDE_A_REACTOR = """
import ldclient
from ldclient import Config, LDClient, TwistedConfig, TwistedLDClient
from twisted.internet import defer, task

@defer.inlineCallbacks
def main(reactor):
{}

task.react(main)
"""


def inside_a_reactor(*lines):
    """A program of these lines, which may wait for Deferreds."""
    return INSIDE_A_REACTOR.format(textwrap.indent("\n".join(lines), "    "))


def twisted_program(user=TWISTED["user"]):
    """The second page from its top to its end as one program, which prints what it is told."""

    def fired(name):
        return "d = %s; assert isinstance(d, defer.Deferred); print((yield d))" % TWISTED[name]

    return inside_a_reactor(
        TWISTED["get"],
        user,
        fired("variation"),
        TWISTED["track"],
        TWISTED["track data"],
        TWISTED["identify"],
        fired("all flags"),
        "print(%s)" % TWISTED["hash"],
        "d = %s; assert isinstance(d, defer.Deferred); yield d" % TWISTED["flush"],
        "yield " + TWISTED["close"],
    )
