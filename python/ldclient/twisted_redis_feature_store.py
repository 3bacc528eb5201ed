"""The store of flags in Redis for Twisted, by its name of old."""

from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations import Redis

__all__ = ["TwistedRedisFeatureStore"]


class TwistedRedisFeatureStore(CachingStoreWrapper):
    """Reads flags from Redis, which somebody else writes: for a config with ``use_ldd``.

    It is the store of :meth:`ldclient.integrations.Redis.new_feature_store`. The client for Twisted reads it
    without keeping the reactor waiting.
    """

    def __init__(
        self,
        url: str = Redis.DEFAULT_URL,
        expiration: float = CacheConfig.DEFAULT_EXPIRATION,
        capacity: int = CacheConfig.DEFAULT_CAPACITY,
        redis_prefix: str = Redis.DEFAULT_PREFIX,
    ):
        """
        :param url: where Redis is
        :param expiration: for how long what was read is not read again, in seconds
        :param capacity: how many items are remembered
        :param redis_prefix: what all keys begin with
        """
        caching = CacheConfig(expiration=expiration, capacity=capacity)
        super().__init__(Redis.new_feature_store(url, redis_prefix)._core, caching)
