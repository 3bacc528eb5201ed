"""Redis, Consul and DynamoDB as stores: the database is native, and a client is given it directly."""

from typing import Any, Dict, Mapping, Optional, Tuple

from ldclient import _native
from ldclient.feature_store import CacheConfig, InMemoryFeatureStore
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import (
    BigSegmentStore,
    BigSegmentStoreMetadata,
    DiagnosticDescription,
    FeatureStore,
    FeatureStoreCore,
)
from ldclient.util import log
from ldclient.versioned_data_kind import VersionedDataKind

_Kind = VersionedDataKind


def as_it_is(item: Any) -> Any:
    """The callback that stores are given."""
    return item


class NativeFeatureStoreCore(DiagnosticDescription, FeatureStoreCore):
    """A database of flags, without cache."""

    def __init__(self, database: _native.FlagDatabase, prefix: str):
        """
        :param database: the database
        :param prefix: what its keys begin with
        """
        self.database = database
        self.prefix = prefix

    def init_internal(self, all_data: Mapping[_Kind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind, in the order in which they are written
        """
        items = [(kind.namespace, key, item) for kind, items in all_data.items() for key, item in items.items()]
        self.database.init(items)
        log.info("Initialized %sFeatureStore with %d items", self.database.name, len(items))

    def get_internal(self, kind: _Kind, key: str) -> Optional[dict]:
        """Gives one item, also if it is deleted; ``None`` if there is none.

        :param kind: flags or segments
        :param key: the item's key
        """
        return self.database.get(kind.namespace, key)

    def get_all_internal(self, kind: _Kind) -> Dict[str, dict]:
        """Gives all items by key, also deleted ones.

        :param kind: flags or segments
        """
        return self.database.all(kind.namespace)

    def upsert_internal(self, kind: _Kind, item: dict) -> Optional[dict]:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        :return: what is stored now
        """
        if self.database.upsert(kind.namespace, item["key"], item):
            return item
        return self.database.get(kind.namespace, item["key"])

    def initialized_internal(self) -> bool:
        """Whether the database has had one full data set."""
        return self.database.is_initialized()

    def is_available(self) -> bool:
        """Whether the database answers."""
        return self.database.is_available()

    def describe_configuration(self, config: Any) -> str:
        """What the client says of the database when it reports on itself.

        :param config: the client's :class:`ldclient.config.Config`
        """
        return self.database.name


class NativeBigSegmentStore(BigSegmentStore):
    """A database of big segments."""

    def __init__(self, database: _native.BigSegmentDatabase):
        """
        :param database: the database
        """
        self.database = database

    def get_metadata(self) -> BigSegmentStoreMetadata:
        """What the store knows of itself."""
        return BigSegmentStoreMetadata(self.database.last_up_to_date())

    def get_membership(self, context_hash: str) -> Optional[Dict[str, bool]]:
        """By segment reference (``segmentKey.g1``), whether the context is included or excluded.

        :param context_hash: base64 of SHA-256 of the context key
        """
        return self.database.membership(context_hash)


def store_of(config: Any) -> Optional[FeatureStore]:
    """The store that a client with this config asks; ``None`` if its own memory is all there is.

    :param config: the :class:`ldclient.config.Config`
    """
    store = config.feature_store
    # What is in a store in memory is in the client's memory.
    return None if store is None or type(store) is InMemoryFeatureStore else store


def database_behind(store: Any) -> Optional[Tuple[_native.FlagDatabase, CacheConfig]]:
    """The database that answers in a store's stead, and how it is cached; ``None`` if the store, or a part
    of it, is the program's own.

    :param store: a store of flags
    """
    if not isinstance(store, CachingStoreWrapper):
        return None
    core = store._core
    if _changed(store, CachingStoreWrapper, ("get", "all", "init", "upsert", "delete")):
        return None
    if not isinstance(core, NativeFeatureStoreCore) or _changed(core, NativeFeatureStoreCore, _CORE_METHODS):
        return None
    return core.database, store._cache_config


_CORE_METHODS = ("get_internal", "get_all_internal", "init_internal", "upsert_internal", "initialized_internal")


def big_segment_database_behind(store: Any) -> Optional[_native.BigSegmentDatabase]:
    """The database that answers in a store's stead; ``None`` if the store is the program's own.

    :param store: a store of big segments
    """
    if not isinstance(store, NativeBigSegmentStore):
        return None
    changed = _changed(store, NativeBigSegmentStore, ("get_metadata", "get_membership"))
    return None if changed else store.database


def _changed(one: Any, known: type, methods: Tuple[str, ...]) -> bool:
    """Whether something has methods other than those of its known type, by inheritance or assignment."""
    own = getattr(one, "__dict__", {})
    return any(name in own or getattr(type(one), name) is not getattr(known, name) for name in methods)
