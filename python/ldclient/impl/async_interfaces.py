"""What a program may implement with coroutines: see :mod:`ldclient.interfaces`, where these stand too."""

from typing import Any, AsyncGenerator, Awaitable, Callable, Dict, Mapping, Optional, Union

from ldclient.interfaces import (
    BackgroundOperation,
    BigSegmentStoreMetadata,
    DiagnosticDescription,
    FlagChange,
    FlagValueChange,
    SelectorStore,
    Update,
)
from ldclient.versioned_data_kind import VersionedDataKind

__all__ = [
    "AsyncBackgroundOperation",
    "AsyncBigSegmentStore",
    "AsyncBigSegmentStoreStatusProvider",
    "AsyncDataSourceStatusProvider",
    "AsyncDataStoreStatusProvider",
    "AsyncEventProcessor",
    "AsyncFeatureRequester",
    "AsyncFeatureStore",
    "AsyncFeatureStoreCore",
    "AsyncFlagTracker",
    "AsyncInitializer",
    "AsyncSynchronizer",
    "AsyncUpdateProcessor",
]


class AsyncFeatureStore:
    """Keeps flags and segments. Items are dictionaries with at least ``key`` and ``version``."""

    async def get(self, kind: VersionedDataKind, key: str) -> Optional[dict]:
        """Gives one item; ``None`` if it is missing or deleted.

        :param kind: flags or segments
        :param key: the item's key
        """

    async def all(self, kind: VersionedDataKind) -> Dict[str, dict]:
        """Gives all items by key that are not deleted.

        :param kind: flags or segments
        """
        return {}

    async def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind; what others depend on comes first
        """

    async def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """

    async def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """

    @property
    def initialized(self) -> Union[bool, Awaitable[bool], Callable[[], Any]]:
        """Whether the store has had one full data set. A coroutine will do, as a property or as a method.

        A store that has a coroutine ``is_initialized`` is asked by that instead.
        """
        return False


class AsyncFeatureStoreCore(DiagnosticDescription):
    """A database that keeps flags and segments, without cache; wrapped by
    :class:`ldclient.async_feature_store_helpers.AsyncCachingStoreWrapper`."""

    async def init_internal(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind, in the order in which they should be written
        """

    async def get_internal(self, kind: VersionedDataKind, key: str) -> Optional[dict]:
        """Gives one item, also if it is deleted; ``None`` if there is none.

        :param kind: flags or segments
        :param key: the item's key
        """

    async def get_all_internal(self, kind: VersionedDataKind) -> Dict[str, dict]:
        """Gives all items by key, also deleted ones.

        :param kind: flags or segments
        """
        return {}

    async def upsert_internal(self, kind: VersionedDataKind, item: dict) -> Optional[dict]:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        :return: what is stored now
        """

    async def initialized_internal(self) -> bool:
        """Whether the database has had one full data set."""
        return False


class AsyncBackgroundOperation(BackgroundOperation):
    """Something that is started and stopped with the client."""

    async def start(self) -> None:  # type: ignore[override]
        """Starts; returns once it has begun."""

    async def stop(self) -> None:  # type: ignore[override]
        """Stops for good."""


class AsyncUpdateProcessor(AsyncBackgroundOperation):
    """Receives flags and segments, and writes them to a store, whose methods it awaits."""

    def initialized(self) -> bool:
        """Whether a full data set has been received."""
        return False


class AsyncEventProcessor:
    """Takes events and delivers them."""

    async def send_event(self, event: Any) -> None:
        """Takes an event. Runs soon; nobody waits for it.

        :param event: the event
        """

    async def flush(self) -> None:
        """Delivers what has been gathered."""

    async def stop(self) -> None:
        """Delivers what has been gathered, then stops for good."""


class AsyncFeatureRequester:
    """Asks for flags and segments."""

    async def get_all_data(self) -> Any:
        """Gives items by key, by kind."""


class AsyncBigSegmentStore:
    """Says which big segments a context is in."""

    async def get_metadata(self) -> BigSegmentStoreMetadata:
        """What the store knows of itself."""
        return BigSegmentStoreMetadata(None)

    async def get_membership(self, context_hash: str) -> Optional[dict]:
        """By segment reference (``segmentKey.g1``), whether the context is included or excluded.

        :param context_hash: base64 of SHA-256 of the context key
        """

    async def stop(self) -> None:
        """Closes connections."""


class AsyncInitializer:
    """Is asked once for the first flags."""

    @property
    def name(self) -> str:
        """What it is, for log lines."""
        return type(self).__name__

    async def fetch(self, ss: SelectorStore) -> Any:
        """Gives a :class:`ldclient.interfaces.Basis`, bare or as the ``value`` of a result; raises, or gives a
        failed result or ``None``, if there is none.

        :param ss: knows what the data is called that the client holds
        """


class AsyncSynchronizer:
    """Keeps flags up to date."""

    @property
    def name(self) -> str:
        """What it is, for log lines."""
        return type(self).__name__

    async def sync(self, ss: SelectorStore) -> AsyncGenerator[Update, None]:
        """Gives updates as they come, until :meth:`stop`.

        :param ss: knows what the data is called that the client holds
        """
        for update in ():
            yield update

    async def stop(self) -> None:
        """Has :meth:`sync` end."""


class _AsyncStatusProvider:
    """Tells a status, and whoever listens of its changes."""

    async def get_status(self) -> Any:
        """The status now."""

    def add_listener(self, listener: Callable[[Any], Any]) -> None:
        """Has a callable told of each new status.

        :param listener: called with the status, on the event loop; may be a coroutine
        """

    def remove_listener(self, listener: Callable[[Any], Any]) -> None:
        """Takes :meth:`add_listener` back.

        :param listener: the callable
        """


class AsyncBigSegmentStoreStatusProvider(_AsyncStatusProvider):
    """Tells how the store of big segments is: :class:`ldclient.interfaces.BigSegmentStoreStatus`."""


class AsyncDataSourceStatusProvider(_AsyncStatusProvider):
    """Tells how receiving flags is going: :class:`ldclient.interfaces.DataSourceStatus`."""


class AsyncDataStoreStatusProvider(_AsyncStatusProvider):
    """Tells how the store of flags is: :class:`ldclient.interfaces.DataStoreStatus`."""

    def is_monitoring_enabled(self) -> bool:
        """Whether the store can tell."""
        return False


class AsyncFlagTracker:
    """Tells of changes of flags."""

    def add_listener(self, listener: Callable[[FlagChange], Any]) -> None:
        """Has a callable told of each flag that changes.

        :param listener: called on the event loop; may be a coroutine
        """

    def remove_listener(self, listener: Callable[..., Any]) -> None:
        """Takes :meth:`add_listener` or :meth:`add_flag_value_change_listener` back.

        :param listener: the callable, or what the latter gave
        """

    async def add_flag_value_change_listener(
        self, key: str, context: Any, fn: Callable[[FlagValueChange], Any]
    ) -> Any:
        """Has a callable told when the value of a flag for one context changes.

        :param key: the flag key
        :param context: who or what the flag is evaluated for
        :param fn: called on the event loop; may be a coroutine
        :return: what :meth:`remove_listener` takes
        """
