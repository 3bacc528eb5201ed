"""What sources of a data system hand over: whole transfers of flags and segments.

Programs import these from :mod:`ldclient.interfaces`.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Generator, List, Optional


class DataStoreMode(Enum):
    """What a client does with a store."""

    #: Reads it, and never writes it: somebody else does.
    READ_ONLY = "read-only"
    #: Reads it until there are fresh flags, and writes those.
    READ_WRITE = "read-write"


class ReadOnlyStore:
    """The part of a store that reads."""

    def get(self, kind: Any, key: str, callback: Any = lambda x: x) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        :param callback: is given the item, or ``None``; its result is the result
        """

    def all(self, kind: Any, callback: Any = lambda x: x) -> Any:
        """Gives all items that are not deleted.

        :param kind: flags or segments
        :param callback: is given a dictionary of keys and items; its result is the result
        """

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set."""
        return False


class IntentCode(str, Enum):
    """What a transfer holds."""

    #: Everything there is.
    TRANSFER_FULL = "xfer-full"
    #: What has changed.
    TRANSFER_CHANGES = "xfer-changes"
    #: Nothing: what is held is up to date.
    TRANSFER_NONE = "none"


class ObjectKind(str, Enum):
    """What an item is."""

    FLAG = "flag"
    SEGMENT = "segment"


class ChangeType(Enum):
    """What becomes of an item."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True)
class Payload:
    """What is about to be transferred."""

    #: Its name.
    id: str
    #: The version that it leads to.
    target: int
    #: What it holds.
    code: IntentCode
    #: Why.
    reason: str = ""

    @staticmethod
    def from_dict(data: Dict[str, Any]) -> "Payload":
        """Reads the JSON form.

        :param data: ``id``, ``target``, ``intentCode`` and ``reason``
        """
        return Payload(
            data.get("id", ""), data.get("target", 0), IntentCode(data["intentCode"]), data.get("reason", "")
        )

    def to_dict(self) -> Dict[str, Any]:
        """The JSON form."""
        return {"id": self.id, "target": self.target, "intentCode": self.code.value, "reason": self.reason}


@dataclass(frozen=True)
class ServerIntent:
    """Says what follows."""

    #: What is about to be transferred.
    payload: Payload

    @staticmethod
    def from_dict(data: Dict[str, Any]) -> "ServerIntent":
        """Reads the JSON form.

        :param data: a list of ``payloads``, of which the first counts
        """
        return ServerIntent(Payload.from_dict(data["payloads"][0]))

    def to_dict(self) -> Dict[str, Any]:
        """The JSON form."""
        return {"payloads": [self.payload.to_dict()]}


@dataclass(frozen=True)
class Selector:
    """What data is called, to ask for what has changed since."""

    #: The name; empty if there is none.
    state: str = ""
    #: The version.
    version: int = 0

    @staticmethod
    def no_selector() -> "Selector":
        """For data that nobody can ask on from."""
        return Selector()

    @staticmethod
    def new_selector(state: str, version: int) -> "Selector":
        """Of a name.

        :param state: the name
        :param version: the version
        """
        return Selector(state, version)

    def is_defined(self) -> bool:
        """Whether there is a name."""
        return self.state != ""


class SelectorStore:
    """Knows what the data is called that the client holds."""

    def selector(self) -> Selector:
        """What it is called."""
        return Selector()


@dataclass(frozen=True)
class Change:
    """What becomes of one item."""

    #: Put or deleted.
    action: ChangeType
    #: Flag or segment.
    kind: ObjectKind
    #: The item's key.
    key: str
    #: The version of the item or of its deletion.
    version: int = 0
    #: The item as JSON; ``None`` if it is deleted.
    object: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class ChangeSet:
    """The items of one transfer, to be put in force at once."""

    #: Whether these are all items, or what has changed.
    intent_code: IntentCode
    #: The items.
    changes: List[Change] = field(default_factory=list)
    #: What the data is called with these changes.
    selector: Selector = field(default_factory=Selector)


@dataclass(frozen=True)
class Basis:
    """What an initializer brings."""

    #: The items.
    change_set: ChangeSet
    #: Whether they may be written to a store. They are once they are known to be up to date.
    persist: bool = False
    #: The id of the environment that they are of.
    environment_id: Optional[str] = None


@dataclass(frozen=True)
class Update:
    """What a synchronizer has to say."""

    #: A :class:`ldclient.interfaces.DataSourceState`: how it is going.
    state: Any
    #: The items, if there are any.
    change_set: Optional[ChangeSet] = None
    #: A :class:`ldclient.interfaces.DataSourceErrorInfo`, if something failed.
    error: Any = None
    #: Whether first-generation delivery is asked for.
    revert_to_fdv1: bool = False
    #: The id of the environment that the items are of.
    environment_id: Optional[str] = None


class Initializer:
    """Is asked once for the first flags."""

    @property
    def name(self) -> str:
        """What it is, for log lines."""
        return type(self).__name__

    def fetch(self, ss: SelectorStore) -> Any:
        """Gives a :class:`Basis`, bare or as the ``value`` of a result; raises, or gives a failed result or
        ``None``, if there is none.

        :param ss: knows what the data is called that the client holds
        """


class Synchronizer:
    """Keeps flags up to date."""

    @property
    def name(self) -> str:
        """What it is, for log lines."""
        return type(self).__name__

    def sync(self, ss: SelectorStore) -> Generator[Update, None, None]:
        """Gives updates as they come, until :meth:`stop`. Runs on a thread of its own.

        :param ss: knows what the data is called that the client holds
        """
        yield from ()

    def stop(self) -> None:
        """Has :meth:`sync` end. Called on another thread."""
