"""What turns a database of your own, asked by coroutines, into a store of flags."""

from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.impl.async_stores import StoreOverSync
from ldclient.impl.coroutines import Home, Waited
from ldclient.interfaces import AsyncFeatureStoreCore

__all__ = ["AsyncCachingStoreWrapper"]


class AsyncCachingStoreWrapper(StoreOverSync):
    """A store over a database: it remembers for a while what it has read, also that there is nothing.

    Whatever the database raises comes through, and nothing is remembered then.
    """

    def __init__(self, core: AsyncFeatureStoreCore, cache_config: CacheConfig):
        """
        :param core: the database
        :param cache_config: for how long it remembers, and how much
        """
        home = Home()
        super().__init__(CachingStoreWrapper(Waited(core, home), cache_config), home)  # type: ignore[arg-type]
        self._core = core
