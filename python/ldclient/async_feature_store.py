"""A store of flags for asyncio."""

from typing import Dict, Mapping, Optional

from ldclient.feature_store import InMemoryFeatureStore
from ldclient.impl.async_stores import StoreOverSync
from ldclient.versioned_data_kind import VersionedDataKind

__all__ = ["AsyncInMemoryFeatureStore"]


class AsyncInMemoryFeatureStore(StoreOverSync):
    """Keeps flags and segments in memory. Safe for concurrent use, and never waits."""

    def __init__(self) -> None:
        super().__init__(InMemoryFeatureStore())

    async def get(self, kind: VersionedDataKind, key: str) -> Optional[dict]:
        """Gives one item; ``None`` if it is missing or deleted.

        :param kind: flags or segments
        :param key: the item's key
        """
        return self._sync.get(kind, key)

    async def all(self, kind: VersionedDataKind) -> Dict[str, dict]:
        """Gives all items by key that are not deleted.

        :param kind: flags or segments
        """
        return self._sync.all(kind)

    async def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """
        self._sync.init(all_data)

    async def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        """Writes one item, unless the stored version is the same or newer.

        :param kind: flags or segments
        :param item: the item
        """
        self._sync.upsert(kind, item)

    async def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item, unless the stored version is the same or newer, and remembers that it did.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        self._sync.delete(kind, key, version)

    async def is_initialized(self) -> bool:
        """As :attr:`initialized`."""
        return self.initialized

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set."""
        return self._sync.initialized
