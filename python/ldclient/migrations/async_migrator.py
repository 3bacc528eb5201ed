"""Reads and writes two systems by the stage of a flag, in asynchronous programs."""

from typing import TYPE_CHECKING, Any, Awaitable, Callable, List, Optional, Union

from ldclient.context import Context
from ldclient.migrations.migrator import READS, WRITES, Call, MigratorBuilder, Notes, one_by_one
from ldclient.migrations.types import (
    ExecutionOrder,
    MigrationConfig,
    MigratorCompareFn,
    Operation,
    OperationResult,
    Result,
    Stage,
    WriteResult,
)

if TYPE_CHECKING:
    from ldclient.async_client import AsyncLDClient

__all__ = ["AsyncMigrationConfig", "AsyncMigrator", "AsyncMigratorBuilder", "AsyncMigratorFn"]

#: Reads from an origin or writes to it: is given the payload, and is awaited for what came of it.
AsyncMigratorFn = Callable[[Optional[Any]], Awaitable[Result]]


class AsyncMigrationConfig(MigrationConfig):
    """The functions that read, or those that write; they are awaited."""


class AsyncMigrator:
    """Reads and writes two systems by the stage of a flag. Made by :class:`AsyncMigratorBuilder`."""

    async def read(
        self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None
    ) -> OperationResult:
        """As :meth:`ldclient.migrations.Migrator.read`. If it is cancelled, nothing is reported.

        :param key: the key of the flag that steers the migration
        :param context: for whom
        :param default_stage: the stage if the flag cannot be evaluated
        :param payload: what the functions are given
        """
        raise NotImplementedError

    async def write(
        self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None
    ) -> WriteResult:
        """As :meth:`ldclient.migrations.Migrator.write`. If it is cancelled, nothing is reported.

        :param key: the key of the flag that steers the migration
        :param context: for whom
        :param default_stage: the stage if the flag cannot be evaluated
        :param payload: what the functions are given
        """
        raise NotImplementedError


class AsyncMigratorBuilder(MigratorBuilder):
    """Puts an :class:`AsyncMigrator` together; its functions are awaited."""

    def __init__(self, client: "AsyncLDClient"):
        """
        :param client: is asked for the stage, and reports
        """
        super().__init__(client)  # type: ignore[arg-type]

    def read(  # type: ignore[override]
        self, old: AsyncMigratorFn, new: AsyncMigratorFn, comparison: Optional[MigratorCompareFn] = None
    ) -> "AsyncMigratorBuilder":
        super().read(old, new, comparison)  # type: ignore[arg-type]
        return self

    def write(self, old: AsyncMigratorFn, new: AsyncMigratorFn) -> "AsyncMigratorBuilder":  # type: ignore[override]
        super().write(old, new)  # type: ignore[arg-type]
        return self

    def build(self) -> Union[AsyncMigrator, str]:  # type: ignore[override]
        """The migrator; or what is missing."""
        return super().build()  # type: ignore[return-value]

    def _make(self, *parts: Any) -> AsyncMigrator:
        return AsyncMigratorImpl(*parts)


class AsyncMigratorImpl(AsyncMigrator):
    """What :class:`AsyncMigratorBuilder` makes."""

    def __init__(
        self,
        client: "AsyncLDClient",
        order: ExecutionOrder,
        reads: MigrationConfig,
        writes: MigrationConfig,
        notes: Notes,
    ):
        """
        :param client: is asked for the stage, and reports
        :param order: in which order two origins are read
        :param reads: the functions that read
        :param writes: the functions that write
        :param notes: what is noted of them
        """
        self.__client = client
        self.__order = order
        self.__reads = reads
        self.__writes = writes
        self.__notes = notes

    async def read(
        self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None
    ) -> OperationResult:
        stage, tracker = await self.__client.migration_variation(key, context, default_stage)
        tracker.operation(Operation.READ)
        calls = [Call(origin, self.__reads, payload) for origin in READS[stage]]
        if len(calls) == 1:
            await calls[0].run_async()
        elif self.__order is ExecutionOrder.PARALLEL:
            # A program that is not asynchronous imports this file too, and need not wait for that one.
            import asyncio

            await asyncio.gather(*(call.run_async() for call in calls))
        else:
            for call in one_by_one(self.__order, *calls):
                await call.run_async()
        self.__notes.note_reads(tracker, calls, self.__reads.comparison)
        self.__client.track_migration_op(tracker)
        return calls[0].result

    async def write(
        self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None
    ) -> WriteResult:
        stage, tracker = await self.__client.migration_variation(key, context, default_stage)
        tracker.operation(Operation.WRITE)
        results: List[OperationResult] = []
        for origin in WRITES[stage]:
            call = Call(origin, self.__writes, payload)
            await call.run_async()
            self.__notes.note(tracker, call)
            results.append(call.result)
            if not call.result.is_success():
                break
        self.__client.track_migration_op(tracker)
        return WriteResult(*results)
