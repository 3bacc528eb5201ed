"""The client for asyncio: its surface, and that nothing in it keeps the event loop from running."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from conftest import FLAGS
from fake_service import TIMEOUT, FakeService

import ldclient
from ldclient import Context
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncConfig
from ldclient.hook import AsyncHook, Hook
from ldclient.migrations import Operation, Origin, Stage

USER = Context.create("user-1")


class HeldService(FakeService):
    """Keeps requests for some paths waiting until it is told not to."""

    def __init__(self, *args, held=()):
        self.gates = {path: threading.Event() for path in held}
        super().__init__(*args)

    def keep(self, request):
        super().keep(request)
        gate = self.gates.get(request["path"].split("?")[0])
        assert gate is None or gate.wait(TIMEOUT)


def config_for(service, **settings):
    return AsyncConfig("sdk-test", **{**service.uris(), "diagnostic_opt_out": True, **settings})


def run(main):
    """Runs a coroutine on an event loop of its own, which complains of what is forgotten."""

    async def within_time():
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        result = await asyncio.wait_for(main, TIMEOUT)
        assert problems == []
        return result

    return asyncio.run(within_time())


async def eventually(condition):
    async def until():
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(until(), TIMEOUT)


def test_everything_a_program_does_in_a_day(service):
    async def main():
        async with AsyncLDClient(config_for(service)) as client:
            assert await client.is_initialized() and not client.is_offline()
            assert await client.variation("bool", USER, False) is True
            assert await client.variation("bool", user={"key": 5}, default=False) is True
            detail = await client.variation_detail("off", context=USER, default=None)
            assert (detail.value, detail.variation_index, detail.reason) == ("b", 1, {"kind": "OFF"})
            state = await client.all_flags_state(USER, with_reasons=True)
            assert state.valid and state.get_flag_reason("bool") == {"kind": "FALLTHROUGH"}
            stage, tracker = await client.migration_variation("no-such-flag", USER, Stage.LIVE)
            assert stage is Stage.LIVE
            client.track_migration_op(tracker.operation(Operation.READ).invoked(Origin.NEW))
            client.track("bought", USER, {"price": 320}, 2.5)
            client.identify(USER)
            assert client.get_sdk_key() == "sdk-test" and len(client.secure_mode_hash(USER)) == 64
            assert await client.flush_and_wait(TIMEOUT) is True
            kinds = {event["kind"] for event in service.events()}
            assert kinds == {"index", "custom", "identify", "summary", "migration_op"}
            await client.flush()
        assert service.requests[0]["headers"]["user-agent"] == "PythonAsyncClient/" + ldclient.__version__

    run(main())


def test_the_event_loop_goes_on_while_the_service_takes_its_time():
    service = HeldService(FLAGS, held=("/all", "/bulk"))

    async def main():
        loop = asyncio.get_running_loop()
        client = AsyncLDClient(config_for(service))
        # Only an event loop that runs can have the service answer.
        loop.call_later(0.05, service.gates["/all"].set)
        await client.start(TIMEOUT)
        assert service.gates["/all"].is_set() and await client.variation("bool", USER, False)
        loop.call_later(0.05, service.gates["/bulk"].set)
        assert await client.flush_and_wait(TIMEOUT) is True
        service.gates["/bulk"].clear()
        client.track("last", USER)
        loop.call_later(0.05, service.gates["/bulk"].set)
        await client.close()
        assert service.gates["/bulk"].is_set() and service.wait_for_events(kind="custom")

    run(main())
    service.close()


def test_the_event_loop_is_never_held_up():
    """Ten times what may be, as other programs run on this machine too; `measure_loop.py` prints the figures."""
    script = os.path.join(os.path.dirname(__file__), "measure_loop.py")
    done = subprocess.run([sys.executable, script, "7"], capture_output=True, text=True, timeout=3 * TIMEOUT)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["nothing", "start", "evaluations", "flip", "flush", "close"]
    baseline = float(rows[0][1])
    for phase, late, _, step in rows:
        assert float(late) < 10 * max(1.0, baseline) and float(step) < 10, done.stdout


def test_waiting_for_flags_ends_when_the_time_is_over_or_the_service_refuses():
    refusing = FakeService(FLAGS, status=401)

    async def main():
        loop = asyncio.get_running_loop()
        away = AsyncLDClient(AsyncConfig("k", base_uri="http://127.0.0.1:9", stream_uri="http://127.0.0.1:9",
                                         events_uri="http://127.0.0.1:9", send_events=False))
        begun = loop.time()
        await away.start(0.2)
        assert 0.15 < loop.time() - begun < TIMEOUT and not await away.is_initialized()
        detail = await away.variation_detail("bool", USER, "default")
        assert (detail.value, detail.reason["errorKind"]) == ("default", "CLIENT_NOT_READY")
        assert not (await away.all_flags_state(USER)).valid
        await away.close()
        refused = AsyncLDClient(config_for(refusing))
        await refused.start(10 * TIMEOUT)
        assert not await refused.is_initialized()
        await refused.close()
        assert await refused.variation("bool", USER, "default") == "default"

    run(main())
    refusing.close()


def test_before_start_evaluations_give_defaults_and_what_is_reported_is_kept(service, caplog):
    async def main():
        client = AsyncLDClient(config_for(service))
        seen = []
        client.flag_tracker.add_listener(lambda change: seen.append(change.key))
        user = {"key": "early"}
        client.track("early", user)
        user["key"] = "changed later"
        client.identify(USER)
        for _ in range(2):
            assert await client.variation("bool", USER, "default") == "default"
        assert (await client.variation_detail("bool", USER, 1)).reason["errorKind"] == "CLIENT_NOT_READY"
        assert not await client.is_initialized() and not await client.flush_and_wait(1)
        await asyncio.gather(client.start(), client.start())
        assert await client.variation("bool", USER, "default") is True
        await client.close()
        assert service.wait_for_events(kind="custom")[0]["context"]["key"] == "early"
        assert len(service.received("GET", "/all")) == 1

    run(main())
    assert len([record for record in caplog.records if "before it is started" in record.getMessage()]) == 1


def test_a_client_is_closed_once_whether_or_not_it_was_started(service):
    async def main():
        never = AsyncLDClient(config_for(service))
        await asyncio.gather(never.close(), never.close())
        await never.start()
        assert await never.variation("bool", USER, "default") == "default"
        client = AsyncLDClient(config_for(service))
        await client.start()
        client.track("once", USER)
        await asyncio.gather(client.close(), client.close())
        await client.close()
        # The last flags remain, and what is reported is dropped.
        assert await client.variation("bool", USER, "default") is True
        assert (await client.all_flags_state(USER)).valid
        client.track("late", USER)
        client.identify(USER)
        await client.flush()
        assert await client.flush_and_wait(TIMEOUT) is False
        assert [event["key"] for event in service.wait_for_events(kind="custom")] == ["once"]

    run(main())


def test_a_cancelled_wait_leaves_nothing_behind():
    service = HeldService(FLAGS, held=("/all", "/bulk"))

    async def main():
        client = AsyncLDClient(config_for(service))
        others = asyncio.all_tasks()
        starting = asyncio.create_task(client.start(TIMEOUT))
        await eventually(lambda: service.received("GET", "/all"))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert asyncio.all_tasks() == others
        # The client goes on, and can be started again.
        service.gates["/all"].set()
        await client.start(TIMEOUT)
        assert await client.variation("bool", USER, False) is True
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.flush_and_wait(), 0.05)
        assert await client.flush_and_wait(0.05) is False
        service.gates["/bulk"].set()
        await client.close()
        # Whoever leaves while entering has nothing to close.
        service.gates["/all"].clear()
        entering = AsyncLDClient(config_for(service))
        gone = weakref.ref(entering)
        task = asyncio.create_task(entering.__aenter__())
        await eventually(lambda: len(service.received("GET", "/all")) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del entering, task
        service.gates["/all"].set()
        await eventually(lambda: gc.collect() is not None and gone() is None)

    run(main())
    service.close()


def test_two_event_loops_in_two_threads_work(service):
    shared = AsyncLDClient(config_for(service))
    barrier = threading.Barrier(2)
    failures = []

    def loop(number):
        async def main():
            await shared.start()
            own = AsyncLDClient(config_for(service))
            await own.start()
            for _ in range(200):
                assert await shared.variation("bool", USER, False) is True
                assert await own.variation("bool", USER, False) is True
            own.track("own", USER, number)
            assert await own.flush_and_wait(TIMEOUT) and await shared.flush_and_wait(TIMEOUT)
            await own.close()
            await asyncio.get_running_loop().run_in_executor(None, barrier.wait, TIMEOUT)
            await shared.close()

        try:
            run(main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(2)]
    [thread.start() for thread in threads]
    [thread.join(2 * TIMEOUT) for thread in threads]
    assert failures == []
    assert {event["data"] for event in service.wait_for_events(2, kind="custom")} == {0, 1}


def test_listeners_are_called_on_the_event_loop_and_may_be_coroutines(service):
    async def main():
        async with AsyncLDClient(config_for(service)) as client:
            thread, told = threading.current_thread(), []

            def plain(change):
                assert threading.current_thread() is thread
                told.append(("plain", change.key))

            async def coroutine(change):
                await asyncio.sleep(0)
                assert threading.current_thread() is thread
                told.append(("coroutine", change.key))

            async def value(change):
                told.append((change.key, change.old_value, change.new_value))

            tracker = client.flag_tracker
            tracker.add_listener(plain)
            tracker.add_listener(coroutine)
            listener = await tracker.add_flag_value_change_listener("bool", USER, value)
            service.patch("bool", fallthrough={"variation": 1})
            expected = {("plain", "bool"), ("coroutine", "bool"), ("bool", True, False)}
            await eventually(lambda: set(told) == expected)
            tracker.remove_listener(plain)
            tracker.remove_listener(listener)
            service.patch("bool", fallthrough={"variation": 0})
            await eventually(lambda: len(told) == 4)
            assert told[3] == ("coroutine", "bool")

            provider = client.data_source_status_provider
            states = []
            provider.add_listener(lambda status: states.append(status.state.value))
            assert provider.status.state.value == "valid" == (await provider.get_status()).state.value
            assert client.data_store_status_provider.status.available
            assert not await client.data_store_status_provider.is_monitoring_enabled()
            assert not (await client.big_segment_store_status_provider.get_status()).available
        await eventually(lambda: states == ["off"])

    run(main())


def test_hooks_may_be_coroutines_and_are_run_in_order_whatever_they_do(service, caplog):
    stages = []

    class Plain(Hook):
        def before_evaluation(self, series_context, data):
            stages.append(("plain before", series_context.method))
            return {"from": "plain"}

        def after_evaluation(self, series_context, data, detail):
            stages.append(("plain after", data["from"], detail.value))
            return data

        def after_track(self, series_context):
            stages.append(("plain tracked", series_context.key))

    class Awaited(AsyncHook):
        async def before_evaluation(self, series_context, data):
            await asyncio.sleep(0)
            stages.append(("awaited before", series_context.key))
            return {"from": "awaited"}

        async def after_evaluation(self, series_context, data, detail):
            await asyncio.sleep(0)
            stages.append(("awaited after", data["from"], detail.reason["kind"]))
            return data

        async def after_track(self, series_context):
            stages.append(("awaited tracked", series_context.key))

    class Failing(AsyncHook):
        async def before_evaluation(self, series_context, data):
            raise ValueError("on purpose")

        def after_evaluation(self, series_context, data, detail):
            assert data == {}
            raise ValueError("on purpose")

    async def main():
        async with AsyncLDClient(config_for(service, hooks=[Plain(), Failing()])) as client:
            client.add_hook(Awaited())
            client.add_hook("no hook")
            assert await client.variation("bool", USER, False) is True
            assert stages == [("plain before", "variation"), ("awaited before", "bool"),
                              ("awaited after", "awaited", "FALLTHROUGH"), ("plain after", "plain", True)]
            assert (await client.variation_detail("bool", USER, False)).value is True
            assert (await client.migration_variation("bool", USER, Stage.OFF))[0] is Stage.OFF
            methods = [stage[1] for stage in stages if stage[0] == "plain before"]
            assert methods == ["variation", "variation_detail", "migration_variation"]
            client.track("bought", USER)
            await eventually(lambda: ("awaited tracked", "bought") in stages)
            assert ("plain tracked", "bought") in stages

    run(main())
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "An error occurred in beforeEvaluation of the hook Failing: #on purpose" in said
    assert "An error occurred in afterEvaluation of the hook Failing: #on purpose" in said


def test_an_evaluation_that_is_cancelled_in_a_hook_is_cancelled(service):
    class Slow(AsyncHook):
        async def before_evaluation(self, series_context, data):
            await asyncio.sleep(10 * TIMEOUT)
            return data

    async def main():
        async with AsyncLDClient(config_for(service, hooks=[Slow()])) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.variation("bool", USER, False), 0.05)

    run(main())


def test_wrong_calls_raise_a_type_error():
    async def main():
        client = AsyncLDClient(AsyncConfig("k", offline=True))
        await client.start()
        for call in (
            lambda: client.variation("flag", USER),
            lambda: client.variation_detail("flag", default=1),
            lambda: client.variation("flag", USER, 1, user=USER),
            lambda: client.all_flags_state(),
        ):
            with pytest.raises(TypeError):
                await call()
        for plain in (lambda: client.track("event"), lambda: client.identify()):
            with pytest.raises(TypeError):
                plain()
        await client.close()

    run(main())
    with pytest.raises(TypeError):
        AsyncLDClient("sdk-key")


def test_offline_nothing_is_connected_to(service):
    async def main():
        async with AsyncLDClient(config_for(service, offline=True, defaults={"known": "configured"})) as client:
            assert client.is_offline() and await client.is_initialized()
            assert await client.variation("known", USER, "default") == "configured"
            assert await client.variation("bool", USER, "default") == "default"
            assert not (await client.all_flags_state(USER)).valid
            client.track("dropped", USER)
            await client.flush_and_wait(TIMEOUT)

    run(main())
    assert service.requests == []


def run_program(service, program):
    beginning = """
import asyncio, os, sys
from ldclient import Context
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncConfig
USER = Context.create("user-1")
config = AsyncConfig("sdk-test", diagnostic_opt_out=True, flush_interval=600)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", beginning + textwrap.dedent(program)],
        env={**os.environ, "FLAGSTAFF_URL": service.url},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_a_child_process_uses_the_client_of_its_parent_on_an_event_loop_of_its_own(service):
    printed = run_program(
        service,
        """
        client = AsyncLDClient(config)

        async def parent():
            await client.start()
            assert await client.variation("bool", USER, False) is True

        async def child():
            assert await client.variation("bool", USER, False) is True
            client.track("child", USER)
            assert await client.flush_and_wait(10)
            changed = asyncio.Event()
            client.flag_tracker.add_listener(lambda change: changed.set())
            assert await client.is_initialized()
            await client.close()
            print("child done", flush=True)

        asyncio.run(parent())
        process = os.fork()
        if process == 0:
            asyncio.run(child())
        else:
            assert os.waitpid(process, 0)[1] == 0
            asyncio.run(client.close())
            print("parent done")
        """,
    )
    assert printed == "child done\nparent done\n"
    assert [event["key"] for event in service.events() if event["kind"] == "custom"] == ["child"]


def test_a_program_that_ends_without_closing_still_sends_its_events(service):
    run_program(
        service,
        """
        async def main():
            client = AsyncLDClient(config)
            await client.start()
            client.track("last words", USER)
            global kept
            kept = client

        asyncio.run(main())
        """,
    )
    assert service.wait_for_events(kind="custom")[0]["key"] == "last words"


def test_a_program_that_ends_in_the_middle_of_a_start_ends(service):
    run_program(
        service,
        """
        async def main():
            client = AsyncLDClient(config)
            asyncio.get_running_loop().create_task(client.start())
            await asyncio.sleep(0)

        asyncio.run(main())
        """,
    )


def test_the_client_is_found_in_the_package_and_loaded_only_when_it_is_asked_for():
    program = (
        "import sys, ldclient\n"
        "assert 'ldclient.async_client' not in sys.modules and 'asyncio' not in sys.modules\n"
        "from ldclient import AsyncLDClient\n"
        "assert AsyncLDClient is ldclient.AsyncLDClient is sys.modules['ldclient.async_client'].AsyncLDClient\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
