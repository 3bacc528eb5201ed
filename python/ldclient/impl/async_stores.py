"""Stores as coroutines over stores that wait: the waiting is done on another thread."""

import asyncio
from typing import Any, Dict, Mapping, Optional

from ldclient.impl.coroutines import Home
from ldclient.impl.threads import in_pool
from ldclient.interfaces import AsyncBigSegmentStore, AsyncFeatureStore, BigSegmentStoreMetadata
from ldclient.versioned_data_kind import VersionedDataKind


class StoreOverSync(AsyncFeatureStore):
    """A store of flags. A client is given the one behind it."""

    def __init__(self, sync: Any, home: Optional[Home] = None):
        """
        :param sync: a :class:`ldclient.interfaces.FeatureStore`
        :param home: where coroutines run that the store behind waits for
        """
        self._sync = sync
        self._home = home or Home()
        self.__was_initialized = False

    async def get(self, kind: VersionedDataKind, key: str) -> Optional[dict]:
        """Gives one item; ``None`` if it is missing or deleted.

        :param kind: flags or segments
        :param key: the item's key
        """
        return await self._home.off_loop(lambda: self._sync.get(kind, key))

    async def all(self, kind: VersionedDataKind) -> Dict[str, dict]:
        """Gives all items by key that are not deleted.

        :param kind: flags or segments
        """
        return await self._home.off_loop(lambda: self._sync.all(kind))

    async def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """
        await self._home.off_loop(lambda: self._sync.init(all_data))
        self.__was_initialized = True

    async def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """
        await self._home.off_loop(lambda: self._sync.upsert(kind, item))

    async def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        await self._home.off_loop(lambda: self._sync.delete(kind, key, version))

    async def is_initialized(self) -> bool:
        """Whether the store has had one full data set."""
        self.__was_initialized = await self._home.off_loop(lambda: self._sync.initialized)
        return self.__was_initialized

    @property
    def initialized(self) -> bool:
        """What :meth:`is_initialized` found last: a property cannot wait for a database."""
        return self.__was_initialized


class BigSegmentStoreOverSync(AsyncBigSegmentStore):
    """A store of big segments. A client is given the one behind it."""

    def __init__(self, sync: Any):
        """
        :param sync: a :class:`ldclient.interfaces.BigSegmentStore`
        """
        self._sync = sync
        self._home = Home()

    async def get_metadata(self) -> BigSegmentStoreMetadata:
        """What the store knows of itself."""
        return await self._home.off_loop(self._sync.get_metadata)

    async def get_membership(self, context_hash: str) -> Optional[dict]:
        """By segment reference (``segmentKey.g1``), whether the context is included or excluded.

        :param context_hash: base64 of SHA-256 of the context key
        """
        return await self._home.off_loop(lambda: self._sync.get_membership(context_hash))

    async def stop(self) -> None:
        """Closes connections."""
        await self._home.off_loop(self._sync.stop)


class StoreForSource:
    """The store that a data source of the program's writes: a data source with coroutines may await what its
    methods give, on its event loop; another one finds it written when they return."""

    def __init__(self, store: Any):
        """
        :param store: a :class:`ldclient.interfaces.FeatureStore`
        """
        self.__store = store
        #: Whether the data source has coroutines.
        self.awaited = True

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> Any:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """
        return self.__done(self.__store.init, all_data)

    def upsert(self, kind: VersionedDataKind, item: dict) -> Any:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """
        return self.__done(self.__store.upsert, kind, item)

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> Any:
        """Deletes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        return self.__done(self.__store.delete, kind, key, version)

    def get(self, *args: Any) -> Any:
        """Gives one item.

        :param args: as :meth:`ldclient.interfaces.FeatureStore.get` takes them
        """
        return self.__done(self.__store.get, *args)

    def all(self, *args: Any) -> Any:
        """Gives all items that are not deleted.

        :param args: as :meth:`ldclient.interfaces.FeatureStore.all` takes them
        """
        return self.__done(self.__store.all, *args)

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set."""
        return self.__store.initialized

    def __done(self, method: Any, *args: Any) -> Any:
        if self.awaited:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                pass
            else:
                return asyncio.wrap_future(in_pool(method, *args))
        return method(*args)
