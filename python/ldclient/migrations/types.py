"""The words of a migration: stages, origins, operations, and what comes of them."""

from enum import Enum
from typing import Any, Callable, Optional

__all__ = [
    "ExecutionOrder",
    "MigrationConfig",
    "MigratorCompareFn",
    "MigratorFn",
    "Operation",
    "OperationResult",
    "Origin",
    "Result",
    "Stage",
    "WriteResult",
]


class ExecutionOrder(Enum):
    """In which order two origins are read. Writes have an order of their own: the origin that is believed first."""

    #: One after the other, the one that is believed first.
    SERIAL = "serial"
    #: One after the other, either one first.
    RANDOM = "random"
    #: Both at once: the one that is believed on the caller's thread, the other one on a thread of its own.
    PARALLEL = "parallel"


class Operation(Enum):
    """What is done with an origin."""

    #: Something is read.
    READ = "read"
    #: Something is written.
    WRITE = "write"


class Origin(Enum):
    """The two systems of a migration."""

    #: The one that is left.
    OLD = "old"
    #: The one that is moved to.
    NEW = "new"


class Stage(Enum):
    """How far a migration has come. The values are those of the flag."""

    #: The new system is not touched.
    OFF = "off"
    #: Both are written, the old one is read.
    DUALWRITE = "dualwrite"
    #: Both are written and read, the old one is believed.
    SHADOW = "shadow"
    #: Both are written and read, the new one is believed.
    LIVE = "live"
    #: Both are written, the new one is read.
    RAMPDOWN = "rampdown"
    #: The old system is not touched.
    COMPLETE = "complete"

    @staticmethod
    def from_str(value: str) -> Optional["Stage"]:
        """The stage of a name; ``None`` if it is none.

        :param value: the name, as the flag serves it
        """
        return _STAGES.get(value) if isinstance(value, str) else None


_STAGES = {stage.value: stage for stage in Stage}


class Result:
    """What a function of a migration gave, or why it did not. Made by :meth:`success` and :meth:`fail`."""

    def __init__(self, value: Optional[Any], error: Optional[str], exception: Optional[Exception]):
        """
        :param value: what it gave
        :param error: why it did not; ``None`` if it did
        :param exception: what was raised, if anything was
        """
        self.__value = value
        self.__error = error
        self.__exception = exception

    @staticmethod
    def success(value: Any) -> "Result":
        """What a function gave.

        :param value: any value
        """
        return Result(value, None, None)

    @staticmethod
    def fail(error: str, exception: Optional[Exception] = None) -> "Result":
        """Why a function gave nothing.

        :param error: what went wrong, in words
        :param exception: what was raised, if anything was
        """
        return Result(None, error, exception)

    def is_success(self) -> bool:
        """Whether there is a value."""
        return self.__error is None

    @property
    def value(self) -> Optional[Any]:
        """What the function gave; ``None`` if it failed."""
        return self.__value

    @property
    def error(self) -> Optional[str]:
        """What went wrong, in words; ``None`` if nothing did."""
        return self.__error

    @property
    def exception(self) -> Optional[Exception]:
        """What was raised, if anything was."""
        return self.__exception

    def __repr__(self) -> str:
        if self.is_success():
            return "Result.success(%r)" % (self.__value,)
        return "Result.fail(%r, %r)" % (self.__error, self.__exception)


class OperationResult(Result):
    """What came of calling one origin."""

    def __init__(self, origin: Origin, result: Result):
        """
        :param origin: which one
        :param result: what its function gave
        """
        super().__init__(result.value, result.error, result.exception)
        self.__origin = origin

    @property
    def origin(self) -> Origin:
        """Which one was called."""
        return self.__origin

    def __repr__(self) -> str:
        return "OperationResult(%s, %s)" % (self.__origin, super().__repr__())


class WriteResult:
    """What came of a write."""

    def __init__(self, authoritative: OperationResult, nonauthoritative: Optional[OperationResult] = None):
        """
        :param authoritative: of the origin that is believed
        :param nonauthoritative: of the other one, if it was called
        """
        self.__authoritative = authoritative
        self.__nonauthoritative = nonauthoritative

    @property
    def authoritative(self) -> OperationResult:
        """What came of writing to the origin that is believed."""
        return self.__authoritative

    @property
    def nonauthoritative(self) -> Optional[OperationResult]:
        """What came of writing to the other one; ``None`` if the stage leaves it alone, or the first write failed."""
        return self.__nonauthoritative

    def __repr__(self) -> str:
        return "WriteResult(%r, %r)" % (self.__authoritative, self.__nonauthoritative)


#: Reads from an origin or writes to it: is given the payload, and says what came of it.
MigratorFn = Callable[[Optional[Any]], Result]

#: Whether what the old origin gave, and what the new one gave, is the same.
MigratorCompareFn = Callable[[Any, Any], bool]


class MigrationConfig:
    """The functions that read, or those that write."""

    def __init__(self, old: MigratorFn, new: MigratorFn, comparison: Optional[MigratorCompareFn] = None):
        """
        :param old: the function for the old origin
        :param new: the function for the new origin
        :param comparison: says whether what both gave is the same
        """
        self.__old = old
        self.__new = new
        self.__comparison = comparison

    @property
    def old(self) -> MigratorFn:
        """The function for the old origin."""
        return self.__old

    @property
    def new(self) -> MigratorFn:
        """The function for the new origin."""
        return self.__new

    @property
    def comparison(self) -> Optional[MigratorCompareFn]:
        """Says whether what both gave is the same."""
        return self.__comparison
