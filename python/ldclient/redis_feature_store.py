"""Earlier place of the store of flags in Redis."""

import warnings

from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations import Redis

__all__ = ["RedisFeatureStore"]


class RedisFeatureStore(CachingStoreWrapper):
    """Keeps flags in Redis.

    .. deprecated:: 6.7
        Use :meth:`ldclient.integrations.Redis.new_feature_store`.
    """

    def __init__(
        self,
        url: str = Redis.DEFAULT_URL,
        prefix: str = Redis.DEFAULT_PREFIX,
        max_connections: int = Redis.DEFAULT_MAX_CONNECTIONS,
        expiration: float = CacheConfig.DEFAULT_EXPIRATION,
        capacity: int = CacheConfig.DEFAULT_CAPACITY,
    ):
        """
        :param url: where Redis is
        :param prefix: what all keys begin with
        :param max_connections: without effect
        :param expiration: for how long what was read is not read again, in seconds
        :param capacity: how many items are remembered
        """
        warnings.warn(
            "RedisFeatureStore is deprecated, use ldclient.integrations.Redis.new_feature_store()",
            DeprecationWarning,
            stacklevel=2,
        )
        caching = CacheConfig(expiration=expiration, capacity=capacity)
        super().__init__(Redis.new_feature_store(url, prefix, max_connections)._core, caching)

    @property
    def core(self):
        """The database, without cache."""
        return self._core
