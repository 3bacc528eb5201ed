"""Stores for flags and segments, and how they are cached."""

from collections import defaultdict
from typing import Any, Callable, Dict, List, Mapping, Tuple

from ldclient import _native
from ldclient.impl.locks import Lock
from ldclient.impl.sorter import FeatureStoreDataSetSorter as _FeatureStoreDataSetSorter  # noqa: F401
from ldclient.interfaces import DiagnosticDescription, FeatureStore
from ldclient.util import log
from ldclient.versioned_data_kind import FEATURES, SEGMENTS, VersionedDataKind

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


class InMemoryFeatureStore(DiagnosticDescription, FeatureStore):
    """Keeps flags and segments in memory. Safe for concurrent use.

    A client that is configured with one evaluates what is in it: what is written here counts from the next
    evaluation on, and what the client receives can be read here. Items come back as fresh dictionaries then.
    Of several clients with the same store, the one that was made last is read from, all are written to.

    A subclass is a store like any other: its ``get`` is called for each evaluation.
    """

    def __init__(self) -> None:
        self.__lock = Lock()
        self.__initialized = False
        #: Items by key, by the namespace of their kind; what clients have in their memory is not here.
        self.__items: Dict[str, Dict[str, Any]] = defaultdict(dict)
        #: The ways into the memory of clients, the last one of which is read from.
        self.__clients: List[Any] = []

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        :param callback: is given the item, or ``None`` if it is missing or deleted; its result is the result
        """
        with self.__lock:
            item = self.__item(kind, key)
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
            known = self.__all(kind.namespace)
            items = {key: item for key, item in known.items() if not item.get("deleted")}
        return callback(items)

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, Any]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        :raises ValueError: if a client has this store, and cannot read an item as what it is to be; nothing
            is changed then
        """
        items: Dict[str, Dict[str, Any]] = defaultdict(dict)
        for kind, of_kind in all_data.items():
            items[kind.namespace] = {key: kind.decode(item) for key, item in of_kind.items()}
        counts = {namespace: len(of_kind) for namespace, of_kind in items.items()}
        with self.__lock:
            if self.__memory() is not None:
                flags, segments = (_plain(items.pop(namespace, {})) for namespace in _IN_CLIENTS)
                for client in self.__clients:
                    client.put_in(flags, segments)
            self.__items = items
            self.__initialized = True
        for namespace, count in counts.items():
            log.debug("Initialized '%s' store with %d items", namespace, count)

    def upsert(self, kind: VersionedDataKind, item: Any) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        :raises ValueError: if a client has this store, and cannot read the item as what it is to be
        """
        item = kind.decode(item)
        key, version = item["key"], item["version"]
        if self.__write(kind, key, version, item):
            log.debug("Updated %s in '%s' to version %d", key, kind.namespace, version)

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        self.__write(kind, key, version, {"key": key, "version": version, "deleted": True})

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set."""
        with self.__lock:
            memory = self.__memory()
            return self.__initialized if memory is None else memory.has_everything()

    def describe_configuration(self, config: Any) -> str:
        """What the client says of the store when it reports on itself.

        :param config: the client's config
        """
        return "memory"

    def _attach(self, client: Any, is_source: bool) -> None:
        """Has a client evaluate what is in here.

        :param client: the way into its memory
        :param is_source: whether nothing else brings the client flags, so that there are none to wait for
        """
        unusable: List[Tuple[str, str, str]] = []
        with self.__lock:
            flags, segments = (_plain(self.__all(namespace)) for namespace in _IN_CLIENTS)
            memory = self.__memory()
            if self.__initialized if memory is None else memory.has_everything():
                put_in = client.put_in if is_source else client.remind_of
                try:
                    put_in(flags, segments)
                except ValueError:
                    unusable = _without_unusable(flags, segments)
                    put_in(flags, segments)
            else:
                unusable = _without_unusable(flags, segments)
                for namespace, items in zip(_IN_CLIENTS, (flags, segments)):
                    for key, item in items.items():
                        client.upsert(namespace, key, item)
            self.__clients.append(client)
            for namespace in _IN_CLIENTS:
                self.__items.pop(namespace, None)
        # Not under the lock: whoever handles log lines may evaluate flags.
        for namespace, key, problem in unusable:
            log.error("The client cannot use %s in '%s': %s", key, namespace, problem)

    def __memory(self) -> Any:
        """The client that is read from, if any of them is left. The lock is held, here and below."""
        live = [client for client in self.__clients if not client.is_closed()]
        if self.__clients and not live:
            # What the last one knew stays known.
            last = self.__clients[-1]
            for namespace in _IN_CLIENTS:
                self.__items[namespace] = last.items(namespace)
                self.__initialized = self.__initialized or bool(self.__items[namespace])
        self.__clients = live
        return live[-1] if live else None

    def __item(self, kind: VersionedDataKind, key: str) -> Any:
        memory = self.__memory()
        if memory is None or kind.namespace not in _IN_CLIENTS or not isinstance(key, str):
            return self.__items[kind.namespace].get(key)
        return memory.item(kind.namespace, key)

    def __all(self, namespace: str) -> Dict[str, Any]:
        memory = self.__memory()
        if memory is None or namespace not in _IN_CLIENTS:
            return self.__items[namespace]
        return memory.items(namespace)

    def __write(self, kind: VersionedDataKind, key: str, version: int, item: Any) -> bool:
        with self.__lock:
            known = self.__item(kind, key)
            if known is not None and known["version"] >= version:
                return False
            if self.__memory() is None or kind.namespace not in _IN_CLIENTS:
                self.__items[kind.namespace][key] = item
            else:
                for client in self.__clients:
                    client.upsert(kind.namespace, key, kind.encode(item))
        return True


#: The namespaces of what clients have in their memory.
_IN_CLIENTS = (FEATURES.namespace, SEGMENTS.namespace)


def _without_unusable(flags: Dict[str, Any], segments: Dict[str, Any]) -> List[Tuple[str, str, str]]:
    """Leaves out what a client cannot read as what it is to be; gives namespace, key and problem of each."""
    left_out = []
    for namespace, items in zip(_IN_CLIENTS, (flags, segments)):
        for key, problem in _native.unusable_items(namespace, items).items():
            del items[key]
            left_out.append((namespace, key, problem))
    return left_out


def _plain(items: Mapping[str, Any]) -> Dict[str, Any]:
    """Items as dictionaries."""
    return {key: FEATURES.encode(item) for key, item in items.items()}
