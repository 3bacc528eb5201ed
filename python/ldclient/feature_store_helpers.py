"""What turns a database of your own into a store of flags."""

import time
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from ldclient.feature_store import CacheConfig, _FeatureStoreDataSetSorter
from ldclient.interfaces import DiagnosticDescription, FeatureStore, FeatureStoreCore
from ldclient.versioned_data_kind import VersionedDataKind

__all__ = ["CachingStoreWrapper"]

_Kind = VersionedDataKind


class CachingStoreWrapper(DiagnosticDescription, FeatureStore):
    """A store over a database: it remembers for a while what it has read, also that there is nothing.

    Whatever the database raises comes through, and nothing is remembered then.
    """

    __INITIALIZED = ("$inited",)

    def __init__(self, core: FeatureStoreCore, cache_config: CacheConfig):
        """
        :param core: the database
        :param cache_config: for how long it remembers, and how much
        """
        self._core = core
        self._cache: Optional[_Cache] = (
            _Cache(cache_config.capacity, cache_config.expiration) if cache_config.enabled else None
        )
        self._cache_config = cache_config
        self.__initialized = False

    def get(self, kind: _Kind, key: str, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        :param callback: is given the item, or ``None`` if it is missing or deleted; its result is the result
        """
        place = (kind.namespace, key)
        item = self.__remembered(place)
        if item is _ABSENT:
            item = self._core.get_internal(kind, key)
            if item is not None:
                item = kind.decode(item)
            self.__remember(place, item)
        return callback(None if item is None or _is_deleted(item) else item)

    def all(self, kind: _Kind, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives all items that are not deleted.

        :param kind: flags or segments
        :param callback: is given a dictionary of keys and items; its result is the result
        """
        place = (kind.namespace,)
        items = self.__remembered(place)
        if items is _ABSENT:
            items = _live(kind, self._core.get_all_internal(kind))
            self.__remember(place, items)
        return callback(dict(items))

    def init(self, all_data: Mapping[_Kind, Mapping[str, Any]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """
        ordered = _FeatureStoreDataSetSorter.sort_all_collections(all_data)
        self._core.init_internal(
            {kind: {key: kind.encode(item) for key, item in items.items()} for kind, items in ordered.items()}
        )
        if self._cache is not None:
            self._cache.clear()
        for kind, items in ordered.items():
            decoded = {key: kind.decode(item) for key, item in items.items()}
            for key, item in decoded.items():
                self.__remember((kind.namespace, key), item)
            self.__remember((kind.namespace,), _live(kind, decoded))
        self.__initialized = True

    def upsert(self, kind: _Kind, item: Any) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """
        stored = self._core.upsert_internal(kind, kind.encode(item))
        if self._cache is None:
            return
        place = (kind.namespace, item["key"])
        if stored is None:
            # The database does not say what is there now.
            self._cache.forget(place)
        else:
            self.__remember(place, kind.decode(stored))
        self._cache.forget((kind.namespace,))

    def delete(self, kind: _Kind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        self.upsert(kind, {"key": key, "version": version, "deleted": True})

    @property
    def initialized(self) -> bool:
        """Whether the database has had one full data set. Once it has, it is not asked again."""
        if self.__initialized:
            return True
        known = self.__remembered(self.__INITIALIZED)
        if known is _ABSENT:
            known = bool(self._core.initialized_internal())
            self.__remember(self.__INITIALIZED, known)
        self.__initialized = known
        return known

    def is_monitoring_enabled(self) -> bool:
        """Whether the database can tell if it answers."""
        return callable(getattr(self._core, "is_available", None))

    def is_available(self) -> bool:
        """Whether the database answers; false if it cannot tell."""
        return self.is_monitoring_enabled() and bool(self._core.is_available())  # type: ignore[attr-defined]

    def describe_configuration(self, config: Any) -> str:
        """What the client says of the database when it reports on itself.

        :param config: the client's :class:`ldclient.config.Config`
        """
        describe = getattr(self._core, "describe_configuration", None)
        return describe(config) if callable(describe) else "custom"

    def close(self) -> None:
        """Closes the database, if it can be closed."""
        close = getattr(self._core, "close", None)
        if callable(close):
            close()

    def __remembered(self, place: Tuple[str, ...]) -> Any:
        return _ABSENT if self._cache is None else self._cache.get(place)

    def __remember(self, place: Tuple[str, ...], value: Any) -> None:
        if self._cache is not None:
            self._cache.put(place, value)


_ABSENT: Any = object()


class _Cache:
    """Remembers so many things for so many seconds; the oldest goes first.

    There is no lock: each step is one of a dictionary's own, and a thread that loses a race reads the
    database once more. So a forked child finds nothing locked either.
    """

    def __init__(self, capacity: int, seconds: float):
        self.__capacity = capacity
        self.__seconds = seconds
        self.__entries: Dict[Tuple[str, ...], Tuple[float, Any]] = {}

    def get(self, place: Tuple[str, ...]) -> Any:
        until, value = self.__entries.get(place, (0.0, _ABSENT))
        return value if time.monotonic() < until else _ABSENT

    def put(self, place: Tuple[str, ...], value: Any) -> None:
        # Away with what was there: a new entry stands at the end.
        self.__entries.pop(place, None)
        while self.__entries and len(self.__entries) >= self.__capacity:
            try:
                self.__entries.pop(next(iter(self.__entries)), None)
            except (RuntimeError, StopIteration):
                continue  # another thread was at it
        if self.__capacity > 0:
            self.__entries[place] = (time.monotonic() + self.__seconds, value)

    def forget(self, place: Tuple[str, ...]) -> None:
        self.__entries.pop(place, None)

    def clear(self) -> None:
        self.__entries.clear()


def _is_deleted(item: Any) -> bool:
    return bool(item.get("deleted"))


def _live(kind: _Kind, items: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    decoded = {key: kind.decode(item) for key, item in (items or {}).items()}
    return {key: item for key, item in decoded.items() if not _is_deleted(item)}
