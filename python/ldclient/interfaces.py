"""What a program may implement to plug its own parts in, and what it is told about the client's state.

The abstract classes do not insist on every method, so that a partial stand-in in a test keeps working.
"""

from enum import Enum
from typing import Any, Callable, Dict, Mapping, Optional

from ldclient.impl.transfers import (  # noqa: F401, to be imported from here
    Basis,
    Change,
    ChangeSet,
    ChangeType,
    DataStoreMode,
    Initializer,
    IntentCode,
    ObjectKind,
    Payload,
    ReadOnlyStore,
    Selector,
    SelectorStore,
    ServerIntent,
    Synchronizer,
    Update,
)
from ldclient.versioned_data_kind import VersionedDataKind


class FeatureStore:
    """Keeps flags and segments. Items are dictionaries with at least ``key`` and ``version``."""

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        :param callback: is given the item, or ``None`` if it is missing or deleted; its result is the result
        """

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives all items that are not deleted.

        :param kind: flags or segments
        :param callback: is given a dictionary of keys and items; its result is the result
        """

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind; what others depend on comes first
        """

    def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set."""
        return False


class FeatureStoreCore:
    """A database that keeps flags and segments, without cache; wrapped by ``CachingStoreWrapper``."""

    def init_internal(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind, in the order in which they should be written
        """

    def get_internal(self, kind: VersionedDataKind, key: str) -> Optional[dict]:
        """Gives one item, also if it is deleted; ``None`` if there is none.

        :param kind: flags or segments
        :param key: the item's key
        """

    def get_all_internal(self, kind: VersionedDataKind) -> Dict[str, dict]:
        """Gives all items by key, also deleted ones.

        :param kind: flags or segments
        """
        return {}

    def upsert_internal(self, kind: VersionedDataKind, item: dict) -> Optional[dict]:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        :return: what is stored now
        """

    def initialized_internal(self) -> bool:
        """Whether the database has had one full data set."""
        return False

    def describe_configuration(self, config: Any) -> str:
        """What the client says of the store when it reports on itself.

        :param config: the client's :class:`ldclient.config.Config`
        """
        return "custom"


class BackgroundOperation:
    """Something that is started and stopped with the client."""

    def start(self) -> None:
        """Starts; must not block."""

    def stop(self) -> None:
        """Stops for good."""

    def is_alive(self) -> bool:
        """Whether it is running."""
        return True


class UpdateProcessor(BackgroundOperation):
    """Receives flags and segments, and writes them to a store."""

    def initialized(self) -> bool:
        """Whether a full data set has been received."""
        return False


class EventProcessor:
    """Takes events and delivers them."""

    def send_event(self, event: Any) -> None:
        """Takes an event; must not block.

        :param event: the event
        """

    def flush(self) -> None:
        """Delivers what has been gathered; must not block."""

    def stop(self) -> None:
        """Delivers what has been gathered, then stops for good."""


class FeatureRequester:
    """Asks for flags and segments."""

    def get_all_data(self) -> Any:
        """Gives items by key, by kind."""

    def get_one(self, kind: VersionedDataKind, key: str) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        """


class DiagnosticDescription:
    """Something that says what it is when the client reports on itself."""

    def describe_configuration(self, config: Any) -> str:
        """What it is, in one word.

        :param config: the client's :class:`ldclient.config.Config`
        """
        return "custom"


class _Value:
    """Equal to another of the same type with the same content."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.__dict__.items()))))

    def __repr__(self) -> str:
        content = ", ".join("%s=%r" % (name.rsplit("__", 1)[-1], value) for name, value in self.__dict__.items())
        return "%s(%s)" % (type(self).__name__, content)


class BigSegmentStoreMetadata(_Value):
    """What a store of big segments knows of itself."""

    def __init__(self, last_up_to_date: Optional[int]):
        """
        :param last_up_to_date: when it was last synchronised, in Unix milliseconds; ``None`` if never
        """
        self.__last_up_to_date = last_up_to_date

    @property
    def last_up_to_date(self) -> Optional[int]:
        """When it was last synchronised, in Unix milliseconds; ``None`` if never."""
        return self.__last_up_to_date


class BigSegmentStore:
    """Says which big segments a context is in."""

    def get_metadata(self) -> BigSegmentStoreMetadata:
        """What the store knows of itself."""
        return BigSegmentStoreMetadata(None)

    def get_membership(self, context_hash: str) -> Optional[dict]:
        """By segment reference (``segmentKey.g1``), whether the context is included or excluded.

        :param context_hash: base64 of SHA-256 of the context key
        """

    def stop(self) -> None:
        """Closes connections."""


class BigSegmentStoreStatus(_Value):
    """How a store of big segments is."""

    def __init__(self, available: bool, stale: bool):
        """
        :param available: whether it answers
        :param stale: whether its data has not been synchronised for a while
        """
        self.__available = available
        self.__stale = stale

    @property
    def available(self) -> bool:
        """Whether it answers."""
        return self.__available

    @property
    def stale(self) -> bool:
        """Whether its data has not been synchronised for a while."""
        return self.__stale


class _StatusProvider:
    """Tells a status, and whoever listens of its changes."""

    @property
    def status(self) -> Any:
        """The status now."""

    def add_listener(self, listener: Callable[[Any], None]) -> None:
        """Has a callable told of each new status.

        :param listener: called with the status, on a thread of the client
        """

    def remove_listener(self, listener: Callable[[Any], None]) -> None:
        """Takes :meth:`add_listener` back.

        :param listener: the callable
        """


class BigSegmentStoreStatusProvider(_StatusProvider):
    """Tells how the store of big segments is: :class:`BigSegmentStoreStatus`."""


class DataSourceState(Enum):
    """How receiving flags is going."""

    #: There has been no full data set yet.
    INITIALIZING = "initializing"
    #: All is well.
    VALID = "valid"
    #: Something failed; it is being tried again, and the last known flags are served.
    INTERRUPTED = "interrupted"
    #: The client was closed.
    OFF = "off"


class DataSourceErrorKind(Enum):
    """What failed."""

    UNKNOWN = "unknown"
    #: No connection.
    NETWORK_ERROR = "network_error"
    #: An HTTP response with an error status.
    ERROR_RESPONSE = "error_response"
    #: Data that makes no sense.
    INVALID_DATA = "invalid_data"
    #: The store could not be written.
    STORE_ERROR = "store_error"


class DataSourceErrorInfo(_Value):
    """A failure to receive flags."""

    def __init__(self, kind: DataSourceErrorKind, status_code: int, time: float, message: Optional[str]):
        """
        :param kind: what failed
        :param status_code: the HTTP status; 0 if there was none
        :param time: when, in Unix seconds
        :param message: what was said about it
        """
        self.__kind = kind
        self.__status_code = status_code
        self.__time = time
        self.__message = message

    @property
    def kind(self) -> DataSourceErrorKind:
        """What failed."""
        return self.__kind

    @property
    def status_code(self) -> int:
        """The HTTP status; 0 if there was none."""
        return self.__status_code

    @property
    def time(self) -> float:
        """When, in Unix seconds."""
        return self.__time

    @property
    def message(self) -> Optional[str]:
        """What was said about it."""
        return self.__message


class DataSourceStatus(_Value):
    """How receiving flags is going, and since when."""

    def __init__(self, state: DataSourceState, since: float, error: Optional[DataSourceErrorInfo]):
        """
        :param state: how it is going
        :param since: since when, in Unix seconds
        :param error: the last failure; ``None`` if there was none
        """
        self.__state = state
        self.__since = since
        self.__error = error

    @property
    def state(self) -> DataSourceState:
        """How it is going."""
        return self.__state

    @property
    def since(self) -> float:
        """Since when, in Unix seconds."""
        return self.__since

    @property
    def error(self) -> Optional[DataSourceErrorInfo]:
        """The last failure; ``None`` if there was none."""
        return self.__error


class DataSourceStatusProvider(_StatusProvider):
    """Tells how receiving flags is going: :class:`DataSourceStatus`."""


class DataSourceUpdateSink:
    """What a data source of your own writes to: ``config.data_source_update_sink``."""

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """

    def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        """Writes one item, unless a newer version is there.

        :param kind: flags or segments
        :param item: the item
        """

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless a newer version is there.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """

    def update_status(self, new_state: DataSourceState, new_error: Optional[DataSourceErrorInfo]) -> None:
        """Says how receiving flags is going.

        :param new_state: how it is going
        :param new_error: the failure, if this is about one
        """


class DataStoreStatus(_Value):
    """How the store of flags is."""

    def __init__(self, available: bool, stale: bool):
        """
        :param available: whether it answers
        :param stale: whether it may have missed changes
        """
        self.__available = available
        self.__stale = stale

    @property
    def available(self) -> bool:
        """Whether it answers."""
        return self.__available

    @property
    def stale(self) -> bool:
        """Whether it may have missed changes."""
        return self.__stale


class DataStoreUpdateSink:
    """What a store says of itself."""

    def update_status(self, status: DataStoreStatus) -> None:
        """Says how the store is.

        :param status: how it is
        """


class DataStoreStatusProvider(_StatusProvider):
    """Tells how the store of flags is: :class:`DataStoreStatus`."""

    def is_monitoring_enabled(self) -> bool:
        """Whether the store can tell."""
        return False


class FlagChange(_Value):
    """A flag whose definition changed, or something it depends on."""

    def __init__(self, key: str):
        """
        :param key: the flag key
        """
        self.__key = key

    @property
    def key(self) -> str:
        """The flag key."""
        return self.__key


class FlagValueChange(_Value):
    """A flag whose value for one context changed."""

    def __init__(self, key: str, old_value: Any, new_value: Any):
        """
        :param key: the flag key
        :param old_value: the value before
        :param new_value: the value now
        """
        self.__key = key
        self.__old_value = old_value
        self.__new_value = new_value

    @property
    def key(self) -> str:
        """The flag key."""
        return self.__key

    @property
    def old_value(self) -> Any:
        """The value before."""
        return self.__old_value

    @property
    def new_value(self) -> Any:
        """The value now."""
        return self.__new_value


class FlagTracker:
    """Tells of changes of flags."""

    def add_listener(self, listener: Callable[[FlagChange], None]) -> None:
        """Has a callable told of each flag that changes.

        :param listener: called on a thread of the client
        """

    def remove_listener(self, listener: Callable[..., None]) -> None:
        """Takes :meth:`add_listener` or :meth:`add_flag_value_change_listener` back.

        :param listener: the callable, or what the latter gave
        """

    def add_flag_value_change_listener(self, key: str, context: Any, fn: Callable[[FlagValueChange], None]) -> Any:
        """Has a callable told when the value of a flag for one context changes.

        :param key: the flag key
        :param context: who or what the flag is evaluated for
        :param fn: called on a thread of the client
        :return: what :meth:`remove_listener` takes
        """


# The same with coroutines. They build on what stands above.
from ldclient.impl.async_interfaces import (  # noqa: E402, F401
    AsyncBackgroundOperation,
    AsyncBigSegmentStore,
    AsyncBigSegmentStoreStatusProvider,
    AsyncDataSourceStatusProvider,
    AsyncDataStoreStatusProvider,
    AsyncEventProcessor,
    AsyncFeatureRequester,
    AsyncFeatureStore,
    AsyncFeatureStoreCore,
    AsyncFlagTracker,
    AsyncInitializer,
    AsyncSynchronizer,
    AsyncUpdateProcessor,
)
