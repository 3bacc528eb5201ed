"""Stores for flags and segments, and how they are cached."""

import threading
from collections import defaultdict
from typing import Any, Callable, Dict, Mapping

from ldclient.impl.sorter import FeatureStoreDataSetSorter as _FeatureStoreDataSetSorter  # noqa: F401
from ldclient.interfaces import FeatureStore
from ldclient.util import log
from ldclient.versioned_data_kind import VersionedDataKind

__all__ = ["CacheConfig", "InMemoryFeatureStore"]


class CacheConfig:
    """How a store remembers what it has read from its database. Never changes."""

    DEFAULT_EXPIRATION = 15
    DEFAULT_CAPACITY = 1000

    def __init__(self, expiration: float = DEFAULT_EXPIRATION, capacity: int = DEFAULT_CAPACITY):
        """
        :param expiration: how long it remembers, in seconds; 0 does not remember
        :param capacity: how many items it remembers
        """
        self.__expiration = expiration
        self.__capacity = capacity

    @staticmethod
    def default() -> "CacheConfig":
        """Remembers 1000 items for 15 seconds."""
        return CacheConfig()

    @staticmethod
    def disabled() -> "CacheConfig":
        """Remembers nothing."""
        return CacheConfig(expiration=0)

    @property
    def enabled(self) -> bool:
        """Whether anything is remembered."""
        return self.__expiration > 0

    @property
    def expiration(self) -> float:
        """How long it remembers, in seconds."""
        return self.__expiration

    @property
    def capacity(self) -> int:
        """How many items it remembers."""
        return self.__capacity


class InMemoryFeatureStore(FeatureStore):
    """Keeps flags and segments in memory. Safe for concurrent use.

    A client keeps its own flags in a memory of its own, also when it is configured with one of these.
    """

    def __init__(self):
        self.__lock = threading.Lock()
        self.__initialized = False
        self.__items: Dict[VersionedDataKind, Dict[str, Any]] = defaultdict(dict)

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        :param callback: is given the item, or ``None`` if it is missing or deleted; its result is the result
        """
        with self.__lock:
            item = self.__items[kind].get(key)
        if item is None:
            log.debug("Attempted to get missing key %s in '%s', returning None", key, kind.namespace)
        elif item.get("deleted"):
            log.debug("Attempted to get deleted key %s in '%s', returning None", key, kind.namespace)
            item = None
        return callback(item)

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives all items that are not deleted.

        :param kind: flags or segments
        :param callback: is given a dictionary of keys and items; its result is the result
        """
        with self.__lock:
            items = {key: item for key, item in self.__items[kind].items() if not item.get("deleted")}
        return callback(items)

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, Any]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """
        items: Dict[VersionedDataKind, Dict[str, Any]] = defaultdict(dict)
        for kind, of_kind in all_data.items():
            items[kind] = {key: kind.decode(item) for key, item in of_kind.items()}
        with self.__lock:
            self.__items = items
            self.__initialized = True
        for kind, of_kind in items.items():
            log.debug("Initialized '%s' store with %d items", kind.namespace, len(of_kind))

    def upsert(self, kind: VersionedDataKind, item: Any) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """
        item = kind.decode(item)
        key, version = item["key"], item["version"]
        with self.__lock:
            known = self.__items[kind].get(key)
            if known is not None and known["version"] >= version:
                return
            self.__items[kind][key] = item
        log.debug("Updated %s in '%s' to version %d", key, kind.namespace, version)

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        with self.__lock:
            known = self.__items[kind].get(key)
            if known is None or known["version"] < version:
                self.__items[kind][key] = {"key": key, "version": version, "deleted": True}

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set."""
        return self.__initialized
