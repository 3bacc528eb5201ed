"""Reads and writes two systems by the stage of a flag."""

import contextvars
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from ldclient.context import Context
from ldclient.migrations.tracker import OpTracker
from ldclient.migrations.types import (
    ExecutionOrder,
    MigrationConfig,
    MigratorCompareFn,
    MigratorFn,
    Operation,
    OperationResult,
    Origin,
    Result,
    Stage,
    WriteResult,
)
from ldclient.util import log

if TYPE_CHECKING:
    from ldclient.client import LDClient

__all__ = ["Migrator", "MigratorBuilder"]

_OLD, _NEW = Origin.OLD, Origin.NEW

#: Which origins are read at a stage; the first is believed.
READS: Dict[Stage, Tuple[Origin, ...]] = {
    Stage.OFF: (_OLD,),
    Stage.DUALWRITE: (_OLD,),
    Stage.SHADOW: (_OLD, _NEW),
    Stage.LIVE: (_NEW, _OLD),
    Stage.RAMPDOWN: (_NEW,),
    Stage.COMPLETE: (_NEW,),
}

#: Which origins are written at a stage, in this order; the first is believed.
WRITES: Dict[Stage, Tuple[Origin, ...]] = {
    Stage.OFF: (_OLD,),
    Stage.DUALWRITE: (_OLD, _NEW),
    Stage.SHADOW: (_OLD, _NEW),
    Stage.LIVE: (_NEW, _OLD),
    Stage.RAMPDOWN: (_NEW, _OLD),
    Stage.COMPLETE: (_NEW,),
}

#: Of the operating system: a generator of our own would repeat itself in processes made by ``fork``.
_random = SystemRandom()


class Migrator:
    """Reads and writes two systems by the stage of a flag. Made by :class:`MigratorBuilder`; may be shared between
    threads."""

    def read(
        self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None
    ) -> OperationResult:
        """Reads what the stage says, and gives what the origin gave that is believed. Both are read even if one
        fails. A function that raises has failed.

        :param key: the key of the flag that steers the migration
        :param context: for whom
        :param default_stage: the stage if the flag cannot be evaluated
        :param payload: what the functions are given
        """
        raise NotImplementedError

    def write(self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None) -> WriteResult:
        """Writes what the stage says: first to the origin that is believed, and then, if that went well, to the
        other. A function that raises has failed.

        :param key: the key of the flag that steers the migration
        :param context: for whom
        :param default_stage: the stage if the flag cannot be evaluated
        :param payload: what the functions are given
        """
        raise NotImplementedError


class MigratorBuilder:
    """Puts a :class:`Migrator` together."""

    def __init__(self, client: "LDClient"):
        """
        :param client: is asked for the stage, and reports
        """
        self.__client = client
        self.__order = ExecutionOrder.PARALLEL
        self.__track_latency = True
        self.__track_errors = True
        self.__reads: Optional[MigrationConfig] = None
        self.__writes: Optional[MigrationConfig] = None

    def read_execution_order(self, order: ExecutionOrder) -> "MigratorBuilder":
        """In which order two origins are read. Default: both at once.

        :param order: the order
        """
        try:
            self.__order = ExecutionOrder(order)
        except ValueError:
            log.error("%r is not an execution order; using '%s'", order, self.__order.value)
        return self

    def track_latency(self, enabled: bool) -> "MigratorBuilder":
        """Whether it is reported how long the origins take. Default true.

        :param enabled: whether it is
        """
        self.__track_latency = enabled
        return self

    def track_errors(self, enabled: bool) -> "MigratorBuilder":
        """Whether it is reported which origins fail. Default true.

        :param enabled: whether it is
        """
        self.__track_errors = enabled
        return self

    def read(
        self, old: MigratorFn, new: MigratorFn, comparison: Optional[MigratorCompareFn] = None
    ) -> "MigratorBuilder":
        """The functions that read. Both are given the same payload: what is to be read.

        :param old: reads from the old origin
        :param new: reads from the new origin
        :param comparison: is given what the old and what the new origin gave, when both were read: whether it is
            the same. How many reads are compared is the flag's to say
        """
        self.__reads = MigrationConfig(old, new, comparison)
        return self

    def write(self, old: MigratorFn, new: MigratorFn) -> "MigratorBuilder":
        """The functions that write. Both are given the same payload: what is to be written.

        :param old: writes to the old origin
        :param new: writes to the new origin
        """
        self.__writes = MigrationConfig(old, new)
        return self

    def build(self) -> Union[Migrator, str]:
        """The migrator; or what is missing."""
        if self.__reads is None:
            return "read configuration not provided"
        if self.__writes is None:
            return "write configuration not provided"
        notes = Notes(self.__track_latency, self.__track_errors)
        return self._make(self.__client, self.__order, self.__reads, self.__writes, notes)

    def _make(self, *parts: Any) -> Any:
        return MigratorImpl(*parts)


class MigratorImpl(Migrator):
    """What :class:`MigratorBuilder` makes."""

    def __init__(
        self,
        client: "LDClient",
        order: ExecutionOrder,
        reads: MigrationConfig,
        writes: MigrationConfig,
        notes: "Notes",
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

    def read(
        self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None
    ) -> OperationResult:
        stage, tracker = self.__client.migration_variation(key, context, default_stage)
        tracker.operation(Operation.READ)
        calls = [Call(origin, self.__reads, payload) for origin in READS[stage]]
        if len(calls) == 1:
            calls[0].run()
        else:
            self.__run_both(*calls)
        self.__notes.note_reads(tracker, calls, self.__reads.comparison)
        self.__client.track_migration_op(tracker)
        return calls[0].result

    def __run_both(self, believed: "Call", other: "Call") -> None:
        if self.__order is ExecutionOrder.PARALLEL:
            _run_at_once(believed.run, other.run)
        else:
            for call in one_by_one(self.__order, believed, other):
                call.run()

    def write(self, key: str, context: Context, default_stage: Stage, payload: Optional[Any] = None) -> WriteResult:
        stage, tracker = self.__client.migration_variation(key, context, default_stage)
        tracker.operation(Operation.WRITE)
        results: List[OperationResult] = []
        for origin in WRITES[stage]:
            call = Call(origin, self.__writes, payload)
            call.run()
            self.__notes.note(tracker, call)
            results.append(call.result)
            if not call.result.is_success():
                break
        self.__client.track_migration_op(tracker)
        return WriteResult(*results)


class Call:
    """One call of an origin's function, and what came of it."""

    result: OperationResult
    latency: timedelta

    def __init__(self, origin: Origin, functions: MigrationConfig, payload: Any):
        """
        :param origin: which one
        :param functions: those that read, or those that write
        :param payload: what the function is given
        """
        self.origin = origin
        self.__function = functions.old if origin is _OLD else functions.new
        self.__payload = payload

    def run(self) -> None:
        """Calls a function that gives a result."""
        with self.__measured():
            self.__has_given(self.__function(self.__payload))

    async def run_async(self) -> None:
        """Calls a function whose result is awaited."""
        with self.__measured():
            self.__has_given(await self.__function(self.__payload))

    @contextmanager
    def __measured(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except Exception as error:
            # The quotation mark is the original's, whose text programs may look for.
            self.__has_given(Result.fail("'%s operation raised an exception" % self.origin.value, error))
        self.latency = timedelta(seconds=time.perf_counter() - started)

    def __has_given(self, result: Any) -> None:
        if not isinstance(result, Result):
            raise TypeError("the function gave no Result, but a %s" % type(result).__name__)
        self.result = OperationResult(self.origin, result)


def one_by_one(order: ExecutionOrder, believed: Call, other: Call) -> Tuple[Call, Call]:
    """Two calls in the order in which they are to be made.

    :param order: not both at once
    :param believed: the call of the origin that is believed
    :param other: the call of the other one
    """
    if order is ExecutionOrder.RANDOM and _random.getrandbits(1):
        return other, believed
    return believed, other


class Notes:
    """What a migrator notes of its calls."""

    def __init__(self, latency: bool, errors: bool):
        """
        :param latency: whether it notes how long they take
        :param errors: whether it notes which fail
        """
        self.__latency = latency
        self.__errors = errors

    def note(self, tracker: OpTracker, call: Call) -> None:
        """Notes one call.

        :param tracker: where it is noted
        :param call: one that was made
        """
        tracker.invoked(call.origin)
        if self.__latency:
            tracker.latency(call.origin, call.latency)
        if self.__errors and not call.result.is_success():
            tracker.error(call.origin)

    def note_reads(self, tracker: OpTracker, calls: List[Call], comparison: Optional[MigratorCompareFn]) -> None:
        """Notes reads, and whether two gave the same, if both gave anything.

        :param tracker: where it is noted
        :param calls: one or two that were made
        :param comparison: says whether they gave the same
        """
        for call in calls:
            self.note(tracker, call)
        if comparison is None or len(calls) < 2 or not all(call.result.is_success() for call in calls):
            return
        values = {call.origin: call.result.value for call in calls}
        tracker.consistent(lambda: comparison(values[_OLD], values[_NEW]))


def _run_at_once(here: Callable[[], None], there: Callable[[], None]) -> None:
    """Runs two functions at once, one of them on a thread of its own; raises what either raises.

    :param here: runs on this thread
    :param there: runs on the other one, in a copy of this thread's :mod:`contextvars`
    """
    raised: List[BaseException] = []

    def run() -> None:
        try:
            context.run(there)
        except BaseException as error:
            raised.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=run, name="ldclient.migration", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        log.warning("No thread to read both origins of a migration at once, one is read after the other: %s", error)
        here()
        there()
        return
    here()
    thread.join()
    if raised:
        raise raised[0]
