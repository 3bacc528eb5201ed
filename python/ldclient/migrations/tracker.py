"""What is noted of one step of a migration, until it is reported."""

import time
from datetime import timedelta
from random import SystemRandom
from typing import Any, Callable, Dict, Mapping, Optional, Set, Union

from ldclient import _native
from ldclient.context import Context
from ldclient.evaluation import EvaluationDetail
from ldclient.migrations.types import Operation, Origin, Stage
from ldclient.util import log

__all__ = ["MigrationOpEvent", "OpTracker"]

#: Of the operating system: a generator of our own would repeat itself in processes made by ``fork``.
_random = SystemRandom()


class MigrationOpEvent:
    """The report of one step of a migration."""

    __slots__ = (
        "timestamp", "context", "key", "flag", "operation", "default_stage", "detail", "invoked", "consistent",
        "consistent_ratio", "errors", "latencies", "sampling_ratio",
    )

    def __init__(
        self,
        timestamp: int,
        context: Context,
        key: str,
        flag: Optional[Mapping[str, Any]],
        operation: Operation,
        default_stage: Stage,
        detail: EvaluationDetail,
        invoked: Set[Origin],
        consistent: Optional[bool],
        consistent_ratio: Optional[int],
        errors: Set[Origin],
        latencies: Dict[Origin, timedelta],
    ):
        """
        :param timestamp: when, in Unix milliseconds
        :param context: for whom
        :param key: the key of the flag that steers the migration
        :param flag: what is known of the flag; ``None`` if there is no such flag
        :param operation: what was done
        :param default_stage: the caller's default
        :param detail: the stage that was in force, and why
        :param invoked: which origins were called
        :param consistent: whether both gave the same; ``None`` if that was not looked at
        :param consistent_ratio: one in so many reads is looked at; ``None`` if this one was not
        :param errors: which origins failed
        :param latencies: how long origins took, if that was measured
        """
        self.timestamp = timestamp
        self.context = context
        self.key = key
        self.flag = flag
        self.operation = operation
        self.default_stage = default_stage
        self.detail = detail
        self.invoked = invoked
        self.consistent = consistent
        self.consistent_ratio = consistent_ratio
        self.errors = errors
        self.latencies = latencies
        #: One in so many reports is sent.
        self.sampling_ratio = _sampling_ratio(flag)

    def __repr__(self) -> str:
        content = ", ".join("%s=%r" % (name, getattr(self, name)) for name in self.__slots__)
        return "MigrationOpEvent(%s)" % content


class OpTracker:
    """Takes down what a program does at a stage of a migration. Comes from
    :meth:`ldclient.client.LDClient.migration_variation`, and goes to
    :meth:`ldclient.client.LDClient.track_migration_op`.

    .. code-block:: python

        stage, tracker = client.migration_variation("orders-to-database", context, Stage.OFF)
        tracker.operation(Operation.READ)
        if stage is Stage.OFF:
            order = read_file()
            tracker.invoked(Origin.OLD)
        client.track_migration_op(tracker)
    """

    def __init__(
        self,
        key: str,
        flag: Optional[Mapping[str, Any]],
        context: Union[Context, dict],
        detail: EvaluationDetail,
        default_stage: Stage,
    ):
        """
        :param key: the key of the flag that steers the migration
        :param flag: what is known of the flag; ``None`` if there is no such flag
        :param context: for whom
        :param detail: the stage that is in force, and why
        :param default_stage: the caller's default
        """
        self.__key = key
        self.__flag = flag
        self.__context = _native.context_of(context)
        self.__detail = detail
        self.__default_stage = default_stage
        self.__operation: Optional[Operation] = None
        self.__invoked: Set[Origin] = set()
        self.__consistent: Optional[bool] = None
        self.__errors: Set[Origin] = set()
        self.__latencies: Dict[Origin, timedelta] = {}

    def operation(self, op: Operation) -> "OpTracker":
        """Notes what is done.

        :param op: ignored unless it is an :class:`Operation`
        """
        if isinstance(op, Operation):
            self.__operation = op
        return self

    def invoked(self, origin: Origin) -> "OpTracker":
        """Notes that an origin was called.

        :param origin: ignored unless it is an :class:`Origin`
        """
        if isinstance(origin, Origin):
            self.__invoked.add(origin)
        return self

    def consistent(self, is_consistent: Callable[[], bool]) -> "OpTracker":
        """Notes whether both origins gave the same. Of the reads of a migration the flag says how many are looked
        at: the callable is called for those alone.

        :param is_consistent: whether they did
        """
        if _drawn(_check_ratio(self.__flag)):
            try:
                self.__consistent = bool(is_consistent())
            except Exception as error:
                log.error("exception raised during consistency check %r; failed to record measurement", error)
        return self

    def error(self, origin: Origin) -> "OpTracker":
        """Notes that an origin failed.

        :param origin: ignored unless it is an :class:`Origin`
        """
        if isinstance(origin, Origin):
            self.__errors.add(origin)
        return self

    def latency(self, origin: Origin, duration: timedelta) -> "OpTracker":
        """Notes how long an origin took, whether it failed or not.

        :param origin: ignored unless it is an :class:`Origin`
        :param duration: ignored unless it is a :class:`datetime.timedelta`
        """
        if isinstance(origin, Origin) and isinstance(duration, timedelta):
            self.__latencies[origin] = max(duration, timedelta(0))
        return self

    def build(self) -> Union[MigrationOpEvent, str]:
        """The report; or, if what was noted does not add up, why there is none."""
        if self.__operation is None:
            return "operation not provided"
        if not self.__key:
            return "migration operation cannot contain an empty key"
        if not self.__invoked:
            return "no origins were invoked"
        if not self.__context.valid:
            return "provided context was invalid"
        for origin in Origin:
            if origin in self.__invoked:
                continue
            if origin in self.__latencies:
                return "provided latency for origin '%s' without recording invocation" % origin.value
            if origin in self.__errors:
                return "provided error for origin '%s' without recording invocation" % origin.value
            if self.__consistent is not None:
                return "provided consistency without recording both invocations"
        return MigrationOpEvent(
            time.time_ns() // 1_000_000,
            self.__context,
            self.__key,
            self.__flag,
            self.__operation,
            self.__default_stage,
            self.__detail,
            set(self.__invoked),
            self.__consistent,
            None if self.__consistent is None else _check_ratio(self.__flag),
            set(self.__errors),
            dict(self.__latencies),
        )


def _sampling_ratio(flag: Optional[Mapping[str, Any]]) -> int:
    return _ratio(flag, "samplingRatio")


def _check_ratio(flag: Optional[Mapping[str, Any]]) -> int:
    return _ratio(flag.get("migration") if flag else None, "checkRatio")


def _ratio(properties: Optional[Mapping[str, Any]], name: str) -> int:
    ratio = properties.get(name) if properties else None
    return 1 if ratio is None else ratio


def _drawn(ratio: int) -> bool:
    """True once in so many times; never if that is 0 or less."""
    return ratio == 1 or (ratio > 1 and _random.randrange(ratio) == 0)
