"""Migrations in asynchronous programs: the functions are awaited, the rest is as in `test_migrations`."""

import asyncio
import inspect

import ldclient
import pytest
from fake_service import TIMEOUT, FakeService
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncConfig
from ldclient.migrations import (
    AsyncMigrationConfig,
    AsyncMigrator,
    AsyncMigratorBuilder,
    ExecutionOrder,
    MigrationConfig,
    Result,
    Stage,
)
from test_migrations import CONTEXT, FLAGS, NEW, OLD, PLANS, measurements, names, steps


@pytest.fixture
def service():
    service = FakeService(FLAGS)
    yield service
    service.close()


class Origins:
    """Two systems that are awaited, and say what is done with them."""

    def __init__(self, fail=()):
        self.calls = []
        self.fail = fail

    def function(self, what, origin):
        async def call(payload):
            await asyncio.sleep(0)
            self.calls.append((what, origin, payload))
            if (what, origin) in self.fail:
                return Result.fail("%s failed" % origin.value)
            return Result.success(origin.value)

        return call

    def migrator(self, client, order=ExecutionOrder.PARALLEL, comparison=None):
        builder = AsyncMigratorBuilder(client).read_execution_order(order).track_latency(True).track_errors(True)
        builder.read(self.function("read", OLD), self.function("read", NEW), comparison)
        return builder.write(self.function("write", OLD), self.function("write", NEW)).build()

    def called(self):
        return [origin for _, origin, _ in self.calls]


def run(service, main):
    """Runs ``main(client)`` with a client that is closed in the end."""

    async def program():
        config = AsyncConfig("sdk-test", diagnostic_opt_out=True, **service.uris())
        async with AsyncLDClient(config) as client:
            return await asyncio.wait_for(main(client), TIMEOUT)

    return asyncio.run(program())


@pytest.mark.parametrize("order", ExecutionOrder)
@pytest.mark.parametrize("stage", Stage)
def test_each_stage_reads_what_it_should_and_believes_the_right_one(service, stage, order):
    origins = Origins()
    result = run(service, lambda client: origins.migrator(client, order).read(stage.value, CONTEXT, Stage.OFF, 5))
    read, _ = PLANS[stage]
    if order is ExecutionOrder.SERIAL:
        assert origins.called() == read
    assert sorted(origin.value for origin in origins.called()) == sorted(origin.value for origin in read)
    assert {(what, payload) for what, _, payload in origins.calls} == {("read", 5)}
    assert (result.origin, result.value) == (read[0], read[0].value)
    (step,) = steps(service)
    assert (step["operation"], measurements(step)["invoked"]) == ("read", names(*read))
    assert set(measurements(step)["latency_ms"]) == set(names(*read))


@pytest.mark.parametrize("stage", Stage)
def test_each_stage_writes_what_it_should_the_believed_one_first(service, stage):
    origins = Origins()
    result = run(service, lambda client: origins.migrator(client).write(stage.value, CONTEXT, Stage.OFF, 5))
    _, written = PLANS[stage]
    assert origins.calls == [("write", origin, 5) for origin in written]
    assert result.authoritative.origin is written[0]
    assert (result.nonauthoritative is None) == (len(written) == 1)
    assert measurements(steps(service)[0])["invoked"] == names(*written)


def test_the_second_write_is_left_out_if_the_first_fails(service):
    origins = Origins(fail=[("write", NEW)])
    result = run(service, lambda client: origins.migrator(client).write("live", CONTEXT, Stage.OFF))
    assert (origins.called(), result.authoritative.error, result.nonauthoritative) == ([NEW], "new failed", None)
    assert measurements(steps(service)[0])["error"] == names(NEW)


def test_both_are_read_at_once(service):
    async def main(client):
        here, met = asyncio.Event(), asyncio.Event()

        async def old(payload):
            here.set()
            await met.wait()
            return Result.success("old")

        async def new(payload):
            await here.wait()
            met.set()
            return Result.success("new")

        migrator = AsyncMigratorBuilder(client).read(old, new).write(old, new).build()
        return await migrator.read("shadow", CONTEXT, Stage.OFF)

    assert run(service, main).value == "old"


@pytest.mark.parametrize("order", ExecutionOrder)
def test_a_function_that_raises_or_gives_no_result_has_failed(service, order):
    async def main(client):
        async def raising(payload):
            raise ValueError("too bad")

        async def giving_nothing(payload):
            return None

        builder = AsyncMigratorBuilder(client).read_execution_order(order)
        migrator = builder.read(raising, giving_nothing).write(raising, giving_nothing).build()
        return [
            await migrator.read("shadow", CONTEXT, Stage.OFF),
            (await migrator.write("live", CONTEXT, Stage.OFF)).authoritative,
        ]

    read, written = run(service, main)
    assert (read.error, repr(read.exception)) == ("'old operation raised an exception", "ValueError('too bad')")
    assert (written.error, type(written.exception)) == ("'new operation raised an exception", TypeError)
    assert [measurements(step)["error"] for step in steps(service, 2)] == [names(OLD, NEW), names(NEW)]


def test_the_old_and_the_new_answer_are_compared_in_this_order(service):
    compared = []
    comparison = lambda old, new: compared.append((old, new)) or False  # noqa: E731
    run(service, lambda client: Origins().migrator(client, comparison=comparison).read("live", CONTEXT, Stage.OFF))
    assert compared == [("old", "new")]
    assert measurements(steps(service)[0])["consistent"] is False


def test_what_is_cancelled_is_cancelled_and_not_reported(service):
    async def main(client):
        begun = asyncio.Event()

        async def hang(payload):
            begun.set()
            await asyncio.Event().wait()

        migrator = AsyncMigratorBuilder(client).read(hang, hang).write(hang, hang).build()
        reading = asyncio.ensure_future(migrator.read("shadow", CONTEXT, Stage.OFF))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        client.track("done", CONTEXT)

    run(service, main)
    service.wait_for_events(kind="custom")
    assert [event for event in service.events() if event["kind"] == "migration_op"] == []


def test_a_migrator_lacks_nothing(service):
    async def main(client):
        function = Origins().function("read", OLD)
        assert AsyncMigratorBuilder(client).build() == "read configuration not provided"
        assert AsyncMigratorBuilder(client).read(function, function).build() == "write configuration not provided"
        assert isinstance(Origins().migrator(client), AsyncMigrator)

    run(service, main)


def test_the_signatures_are_those_that_programs_know():
    for method in (AsyncMigrator.read, AsyncMigrator.write):
        assert list(inspect.signature(method).parameters) == ["self", "key", "context", "default_stage", "payload"]
        assert inspect.iscoroutinefunction(method)
    assert list(inspect.signature(AsyncMigratorBuilder.read).parameters) == ["self", "old", "new", "comparison"]
    assert list(inspect.signature(AsyncMigratorBuilder.write).parameters) == ["self", "old", "new"]
    assert isinstance(AsyncMigrationConfig(1, 2, 3), MigrationConfig)
    for name in ("AsyncMigrationConfig", "AsyncMigrator", "AsyncMigratorBuilder", "AsyncMigratorFn"):
        assert getattr(ldclient, name) is getattr(ldclient.migrations, name)
