"""The client for Twisted. A reactor runs once in a process, so that each program here has its own."""

import os
import subprocess
import sys
import textwrap

import pytest
from conftest import FLAGS
from fake_service import TIMEOUT, FakeService
from servers import redis_server

pytest.importorskip("twisted")

BEGINNING = """
import logging, sys, threading, time
from twisted.internet import defer, reactor
from ldclient import TwistedConfig, TwistedLDClient

USER = {"key": "aa0ceb"}
URL = "%(url)s"

def made(start_wait=%(timeout)d, key="YOUR_SDK_KEY", **settings):
    uris = dict(events_uri=URL, stream_uri=URL)
    return TwistedLDClient(key, TwistedConfig(URL, **{**uris, "diagnostic_opt_out": True, **settings}), start_wait)

def run(main):
    @defer.inlineCallbacks
    def all_of_it():
        try:
            yield from main()
        except BaseException:
            import traceback
            traceback.print_exc()
        reactor.stop()
    reactor.callWhenRunning(all_of_it)
    reactor.callLater(%(timeout)d, reactor.stop)
    reactor.run()
"""


@pytest.fixture
def service():
    service = FakeService({**FLAGS, "your.feature.key": FLAGS["bool"], "any.feature.flag": FLAGS["bool"]})
    yield service
    service.close()


def run(service, program, **environment):
    """Runs a program; gives the lines that it prints."""
    beginning = BEGINNING % {"url": service.url, "timeout": TIMEOUT}
    done = subprocess.run(
        [sys.executable, "-c", beginning + textwrap.dedent(program)],
        env={**os.environ, "FLAGSTAFF_URL": service.url, **environment},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def test_every_snippet_of_the_reference_page_runs_as_written(service):
    printed = run(
        service,
        """
        config = TwistedConfig('https://app.launchdarkly.com', 1, 2)
        assert (config.base_uri, config.connect_timeout, config.read_timeout) == \\
            ('https://app.launchdarkly.com', 1, 2)

        def main():
            ld_client = TwistedLDClient("YOUR_SDK_KEY")
            user = {
              "key": "aa0ceb",
              "firstName": "Ernestina",
              "lastName": "Evans",
              "email": "ernestina@example.com",
              "custom": {
                "groups": ["Google", "Microsoft"]
              }
            }
            print((yield ld_client.variation("your.feature.key", user, False)))
            ld_client.track("Signed up", user)
            ld_client.track("Completed purchase", {"price": 320})
            ld_client.identify(user)
            print((yield ld_client.all_flags()))
            print(sorted((yield ld_client.all_flags(user)))[:2])
            print(ld_client.secure_mode_hash(user))
            print((yield ld_client.flush()))
            print((yield ld_client.close()))

        run(main)
        """,
    )
    # printf aa0ceb | openssl dgst -sha256 -hmac YOUR_SDK_KEY
    digest = "fe8c37f6484ca8906c344af027d299bde492d3b343057e89b1ca2452e732b14e"
    assert printed == ["True", "None", "['any.feature.flag', 'bool']", digest, "True", "None"]
    assert [event["key"] for event in service.events() if event["kind"] == "custom"] == ["Signed up"]
    assert service.wait_for_events(kind="identify")[0]["context"]["groups"] == ["Google", "Microsoft"]


def test_the_offline_snippet_of_the_reference_page_runs_as_written_and_comes_back_online(service):
    printed = run(
        service,
        """
        from ldclient import Config
        LDClient = TwistedLDClient

        def main():
            user = {"key": "aa0ceb"}
            config = Config(offline = True)
            ld_client = LDClient("YOUR_SDK_KEY", config)
            print((yield ld_client.variation("any.feature.flag", user, False))) # will always return the default
            print(ld_client.is_offline(), ld_client.is_initialized(), (yield ld_client.ready), (yield ld_client.flush()))
            print((yield ld_client.set_online()), ld_client.is_offline())
            print((yield ld_client.variation("any.feature.flag", user, False)))
            yield ld_client.close()

        run(main)
        """,
    )
    assert printed == ["False", "True True True True", "True False", "True"]
    assert service.received("GET", "/all")[0]["headers"]["authorization"] == "YOUR_SDK_KEY"
    # Events too come back.
    assert service.wait_for_events(kind="summary")


def test_a_client_made_before_the_reactor_runs_keeps_what_it_is_told_and_answers_with_flags(service):
    printed = run(
        service,
        """
        client = made()
        user = dict(USER)
        client.track("early", user, {"n": 1}, 2.5)
        user["key"] = "changed"
        answers = [client.variation("bool", USER, False), client.variation_detail("off", USER, None)]
        print(client.get_sdk_key())

        def main():
            print((yield answers[0]), (yield answers[1]).reason, client.is_initialized())
            yield client.flush().addCallback(lambda _: client.close())

        run(main)
        """,
    )
    assert printed == ["YOUR_SDK_KEY", "True {'kind': 'OFF'} True"]
    event = service.wait_for_events(kind="custom")[0]
    assert (event["key"], event["data"], event["metricValue"]) == ("early", {"n": 1}, 2.5)
    assert event["context"]["key"] == "aa0ceb"


def test_every_answer_is_a_deferred_that_fires_on_the_reactors_thread(service):
    printed = run(
        service,
        """
        from ldclient.interfaces import FeatureStore

        class Store(FeatureStore):
            initialized = True

            def get(self, kind, key, callback=lambda x: x):
                threads.add(threading.current_thread() is threading.main_thread())
                item = {"key": key, "version": 1, "on": True, "variations": ["stored"],
                        "fallthrough": {"variation": 0}, "salt": ""}
                return callback(item if key == "stored" and kind.namespace == "features" else None)

            def all(self, kind, callback=lambda x: x):
                return callback({})

        threads = set()

        def fired(answer):
            assert threading.current_thread() is threading.main_thread()
            return answer

        def main():
            for client in (made(), made(offline=True), made(use_ldd=True, feature_store=Store())):
                for asked in (
                    lambda: client.variation("stored", USER, "default"),
                    lambda: client.variation("unknown", USER, "default"),
                    lambda: client.variation("stored", None, "default"),
                    lambda: client.variation_detail("stored", context=USER, default="default"),
                    lambda: client.toggle("stored", USER, "default"),
                    lambda: client.all_flags(USER).addCallback(lambda flags: None if flags is None else len(flags)),
                    lambda: client.all_flags_state(USER, with_reasons=True),
                    lambda: client.flush(),
                    lambda: client.set_offline(),
                    lambda: client.variation("stored", USER, "default"),
                    lambda: client.close(),
                    lambda: client.close(),
                    lambda: client.flush(),
                    lambda: client.variation("stored", USER, "default"),
                ):
                    deferred = asked()
                    assert isinstance(deferred, defer.Deferred), deferred
                    answer = yield deferred.addCallback(fired)
                    print(getattr(answer, "value", answer) if not hasattr(answer, "valid") else answer.valid, end=" ")
                print()
            assert threads == {False}, threads

        run(main)
        """,
    )
    default = "default default default default default "
    rest = " True True None default None None True default "
    assert printed == [
        "%s%d%s" % (default, len(service.flags), rest),
        default + "None False True None default None None True default ",
        "stored default default stored stored 0" + rest,
    ]


def test_the_reactor_goes_on_while_an_evaluation_waits_for_a_store(service):
    run(
        service,
        """
        from ldclient.interfaces import FeatureStore

        class Held(FeatureStore):
            initialized = True

            def get(self, kind, key, callback=lambda x: x):
                assert released.wait(%d)
                return callback(None)

        released = threading.Event()

        def main():
            client = made(use_ldd=True, feature_store=Held())
            answer = client.variation("any", USER, "default")
            # Only a reactor that runs can release it.
            reactor.callLater(0.1, released.set)
            assert (yield answer) == "default" and released.is_set()
            yield client.close()

        run(main)
        """
        % TIMEOUT,
    )


def test_offline_delivers_what_was_reported_before_drops_what_is_reported_then_and_is_undone(service):
    printed = run(
        service,
        """
        def main():
            client = made()
            yield client.ready
            client.track("before", USER)
            yield client.set_offline()
            client.track("while offline", USER)
            client.identify(USER)
            print(client.is_offline(), (yield client.variation("bool", USER, "default")), (yield client.set_offline()))
            print((yield client.set_online()), client.is_offline(), (yield client.variation("bool", USER, "default")))
            client.track("after", USER)
            yield client.close()
            print((yield client.set_online()), (yield client.set_offline()), (yield client.variation("bool", USER, 1)))

        run(main)
        """,
    )
    assert printed == ["True default None", "True False True", "True None True"]
    assert [event["key"] for event in service.events() if event["kind"] == "custom"] == ["before", "after"]
    assert not [event for event in service.events() if event["kind"] == "identify"]
    assert len(service.received("GET", "/all")) == 2


def test_a_service_that_is_away_or_refuses_never_fails_an_answer():
    with_status = FakeService(FLAGS, status=401)
    try:
        printed = run(
            with_status,
            """
            def main():
                # Refused: nobody waits for longer than that takes.
                client = made(start_wait=%d)
                print((yield client.ready), (yield client.variation("bool", USER, "default")))
                yield client.close()
                # Nobody is there: as long as start_wait says.
                away = made(start_wait=0.3, stream_uri="http://127.0.0.1:9")
                begun = time.monotonic()
                print((yield away.variation("bool", USER, "default")), time.monotonic() - begun >= 0.3)
                print((yield away.variation_detail("bool", USER, "default")).reason, away.is_initialized())
                yield away.close()
                # And no longer than that, whatever comes of it.
                hasty = made(start_wait=0, stream_uri="http://127.0.0.1:9")
                print((yield hasty.variation("bool", USER, "default")), (yield hasty.ready))
                yield hasty.close()

            run(main)
            """
            % (10 * TIMEOUT),
        )
    finally:
        with_status.close()
    not_ready = "{'kind': 'ERROR', 'errorKind': 'CLIENT_NOT_READY'} False"
    assert printed == ["False default", "default True", not_ready, "default False"]


def test_closing_or_going_offline_at_once_answers_whoever_waits(service):
    printed = run(
        service,
        """
        def main():
            for method in ("close", "set_offline"):
                client = made(stream_uri="http://127.0.0.1:9")
                answers = [client.variation("bool", USER, "default"), client.ready]
                client.track("kept", USER)
                yield getattr(client, method)()
                print((yield answers[0]), (yield answers[1]))
                yield client.close()
            cancelled = made(stream_uri="http://127.0.0.1:9")
            waiting = cancelled.variation("bool", USER, "default")
            waiting.cancel()
            try:
                yield waiting
            except defer.CancelledError:
                print("cancelled")
            yield cancelled.close()
            assert not reactor.getDelayedCalls()[1:], reactor.getDelayedCalls()

        run(main)
        """,
    )
    assert printed == ["default False", "default True", "cancelled"]
    assert len(service.wait_for_events(2, kind="custom")) == 2


def test_a_hook_added_at_run_time_outlives_a_time_offline(service):
    printed = run(
        service,
        """
        from ldclient.hook import Hook

        class Counting(Hook):
            def before_evaluation(self, series_context, data):
                seen.append(series_context.key)
                return data

        seen = []

        def main():
            client = made()
            client.add_hook(Counting())
            yield client.variation("bool", USER, False)
            yield client.set_offline()
            yield client.set_online()
            yield client.variation("off", USER, False)
            yield client.close()
            print(seen)

        run(main)
        """,
    )
    assert printed == ["['bool', 'off']"]


def test_the_client_is_found_at_every_place_it_ever_had():
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, ldclient\n"
            "assert 'twisted' not in sys.modules\n"
            "import ldclient.twisted, ldclient.twisted_impls, ldclient.twisted_client\n"
            "modules = ldclient, ldclient.twisted, ldclient.twisted_impls, ldclient.twisted_client\n"
            "assert len({m.TwistedLDClient for m in modules} | {m.TwistedConfig for m in modules}) == 2\n"
            "import twisted.internet.defer\n"
            "assert issubclass(ldclient.TwistedConfig, ldclient.Config)\n",
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert found.returncode == 0, found.stderr


def test_without_twisted_the_error_says_what_to_install():
    program = (
        "import sys\n"
        "sys.modules['twisted'] = sys.modules['twisted.internet'] = sys.modules['twisted.internet.defer'] = None\n"
        "import ldclient\n"
        "for load in (lambda: ldclient.TwistedLDClient, lambda: __import__('ldclient.twisted')):\n"
        "    try:\n"
        "        load()\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout.count("pip install 'flagstaff-ldclient[twisted]'") == 2, done.stderr


def test_a_config_takes_its_time_outs_by_place_in_either_order():
    from ldclient import TwistedConfig

    def read(config):
        return (config.base_uri, config.events_base_uri, config.connect_timeout, config.read_timeout)

    default = "https://events.launchdarkly.com"
    assert read(TwistedConfig("http://a", 1, 2)) == ("http://a", default, 1, 2)
    assert read(TwistedConfig("http://a", "http://e", 1, 2)) == ("http://a", "http://e", 1, 2)
    assert read(TwistedConfig("http://a", 1, read_timeout=3)) == ("http://a", default, 1, 3)
    assert read(TwistedConfig(base_uri="http://a", events_uri="http://e")) == ("http://a", "http://e", 10, 15)
    assert TwistedConfig("http://a", sdk_key="k", poll_interval=60).poll_interval == 60
    with pytest.raises(TypeError):
        TwistedConfig("http://a", 1, 2, 3)
    with pytest.raises(TypeError):
        TwistedConfig("http://a", 1, connect_timeout=1)


def test_wrong_calls_raise_at_once():
    from ldclient import Config, TwistedLDClient

    with pytest.raises(Exception, match="both"):
        TwistedLDClient("key", Config("another", offline=True))
    client = TwistedLDClient("key", Config(offline=True))
    for call in (
        lambda: client.variation("flag", {"key": "u"}),
        lambda: client.variation_detail("flag", default=1),
        lambda: client.variation("flag", {"key": "u"}, 1, context={"key": "u"}),
        lambda: client.track("event"),
        lambda: client.identify(),
    ):
        with pytest.raises(TypeError):
            call()


def test_flags_that_somebody_else_wrote_to_redis_are_read_through_the_store_of_old(service):
    server = redis_server()
    try:
        printed = run(
            service,
            """
            from ldclient import LDClient, Config
            from ldclient.integrations import Redis
            import functools
            from ldclient.twisted_event_consumer import TwistedEventConsumer
            from ldclient.twisted_redis import create_redis_ldd_processor
            from ldclient.twisted_redis_feature_store import TwistedRedisFeatureStore

            url = "redis://127.0.0.1:%d"
            writer = LDClient(Config("k", feature_store=Redis.new_feature_store(url, prefix="old")))
            while not Redis.new_feature_store(url, prefix="old").initialized:
                time.sleep(0.01)
            writer.close()

            def main():
                store = TwistedRedisFeatureStore(url, expiration=0, redis_prefix="old")
                config = Config("k", use_ldd=True, feature_store=store, event_consumer_class=TwistedEventConsumer)
                client = TwistedLDClient(config=config)
                print((yield client.variation("bool", USER, "default")), (yield client.variation("no", USER, "default")))
                print((yield client.flush()))
                yield client.close()
                create = functools.partial(
                    create_redis_ldd_processor, update_delay=0.01, redis_port=%d, redis_prefix="old"
                )
                client = TwistedLDClient(config=Config("k", update_processor_class=create, send_events=False))
                print((yield client.variation("bool", USER, "default")), client.is_initialized())
                yield client.close()

            run(main)
            """
            % (server.port, server.port),
        )
    finally:
        server.stop()
    assert printed == ["True default", "True", "True True"]
    assert {event["kind"] for event in service.events()} == {"index", "summary"}


def test_the_event_consumer_of_old_is_a_name_only(caplog):
    from ldclient import Config, LDClient
    from ldclient.twisted_event_consumer import TwistedEventConsumer

    LDClient(Config("k", offline=True, event_consumer_class=TwistedEventConsumer)).close()
    assert "event_consumer_class" not in caplog.text
    LDClient(Config("k", offline=True, event_consumer_class=object)).close()
    assert "event_consumer_class is ignored" in caplog.text
    with pytest.raises(TypeError):
        TwistedEventConsumer(None, None)


def test_a_program_whose_reactor_stops_without_closing_still_sends_its_events(service):
    run(
        service,
        """
        def main():
            global kept
            kept = made(flush_interval=600)
            yield kept.ready
            kept.track("last words", USER)

        run(main)
        """,
    )
    assert service.wait_for_events(kind="custom")[0]["key"] == "last words"


def test_a_program_without_a_reactor_that_runs_reports_and_ends(service):
    run(
        service,
        """
        client = made(flush_interval=600)
        client.track("never ran", USER)
        while client._TwistedLDClient__session.client is None:
            time.sleep(0.001)
        """,
    )
    assert service.wait_for_events(kind="custom")[0]["key"] == "never ran"
