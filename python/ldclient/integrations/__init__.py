"""Databases that keep flags and big segments, in the layouts that other SDKs share; and flags from files.

Their drivers are part of this package: nothing else has to be installed.

.. code-block:: python

    from ldclient.integrations import Redis

    store = Redis.new_feature_store(url="redis://localhost:6379", prefix="production")
    ldclient.set_config(Config("sdk-key", feature_store=store))
"""

from typing import Any, Mapping, Optional

from ldclient import _native
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.impl.async_stores import BigSegmentStoreOverSync, StoreOverSync
from ldclient.impl.native_stores import NativeBigSegmentStore, NativeFeatureStoreCore
from ldclient.impl.store_options import consul_options, dynamodb_options, redis_options, without_password
from ldclient.integrations.files import Files
from ldclient.interfaces import AsyncBigSegmentStore, AsyncFeatureStore, BigSegmentStore
from ldclient.util import log

__all__ = ["Consul", "DynamoDB", "Files", "Redis"]


class Redis:
    """Flags and big segments in Redis."""

    DEFAULT_URL = "redis://localhost:6379/0"
    DEFAULT_PREFIX = "launchdarkly"
    DEFAULT_MAX_CONNECTIONS = 16

    @staticmethod
    def new_feature_store(
        url: str = DEFAULT_URL,
        prefix: Optional[str] = DEFAULT_PREFIX,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        caching: CacheConfig = CacheConfig.default(),
        redis_opts: Mapping[str, Any] = {},
    ) -> CachingStoreWrapper:
        """A store of flags for :attr:`ldclient.config.Config.feature_store`.

        :param url: where Redis is
        :param prefix: what all keys begin with
        :param max_connections: without effect
        :param caching: for how long what was read is not read again
        :param redis_opts: more about connecting, in the words of the package ``redis``
        """
        arguments = _redis("RedisFeatureStore", url, prefix, max_connections, redis_opts)
        return _cached(_native.FlagDatabase.redis(*arguments), arguments[1], caching)

    @staticmethod
    def new_big_segment_store(
        url: str = DEFAULT_URL,
        prefix: Optional[str] = DEFAULT_PREFIX,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        redis_opts: Mapping[str, Any] = {},
    ) -> BigSegmentStore:
        """A store of big segments for :class:`ldclient.config.BigSegmentsConfig`.

        :param url: where Redis is
        :param prefix: what all keys begin with
        :param max_connections: without effect
        :param redis_opts: more about connecting, in the words of the package ``redis``
        """
        arguments = _redis("RedisBigSegmentStore", url, prefix, max_connections, redis_opts)
        return NativeBigSegmentStore(_native.BigSegmentDatabase.redis(*arguments))

    @staticmethod
    def async_feature_store(
        url: str = DEFAULT_URL,
        prefix: Optional[str] = None,
        caching: CacheConfig = CacheConfig.default(),
        redis_opts: Mapping[str, Any] = {},
    ) -> AsyncFeatureStore:
        """As :meth:`new_feature_store`, for :class:`ldclient.async_config.AsyncConfig`.

        :param url: where Redis is
        :param prefix: what all keys begin with
        :param caching: for how long what was read is not read again
        :param redis_opts: more about connecting, in the words of the package ``redis``
        """
        return StoreOverSync(Redis.new_feature_store(url, prefix, caching=caching, redis_opts=redis_opts))

    @staticmethod
    def async_big_segment_store(
        url: str = DEFAULT_URL,
        prefix: Optional[str] = None,
        redis_opts: Mapping[str, Any] = {},
    ) -> AsyncBigSegmentStore:
        """As :meth:`new_big_segment_store`, for :class:`ldclient.async_config.AsyncBigSegmentsConfig`.

        :param url: where Redis is
        :param prefix: what all keys begin with
        :param redis_opts: more about connecting, in the words of the package ``redis``
        """
        return BigSegmentStoreOverSync(Redis.new_big_segment_store(url, prefix, redis_opts=redis_opts))


class Consul:
    """Flags in Consul."""

    DEFAULT_PREFIX = "launchdarkly"

    @staticmethod
    def new_feature_store(
        host: Optional[str] = None,
        port: Optional[int] = None,
        prefix: Optional[str] = None,
        consul_opts: Optional[Mapping[str, Any]] = None,
        caching: CacheConfig = CacheConfig.default(),
    ) -> CachingStoreWrapper:
        """A store of flags for :attr:`ldclient.config.Config.feature_store`.

        :param host: where Consul is; otherwise what the environment says, or this machine
        :param port: its port; 8500 if not given
        :param prefix: what all keys begin with
        :param consul_opts: more about connecting, in the words of the package ``python-consul``
        :param caching: for how long what was read is not read again
        """
        prefix = prefix or Consul.DEFAULT_PREFIX
        options = consul_options(host, port, consul_opts)
        log.info("Started ConsulFeatureStore connected to %s using prefix: %s", options.address, prefix)
        database = _native.FlagDatabase.consul(options.address, prefix, options.token, options.link)
        return _cached(database, prefix, caching)


class DynamoDB:
    """Flags and big segments in DynamoDB. The table must be there, with the partition key ``namespace`` and
    the sort key ``key``, both texts."""

    @staticmethod
    def new_feature_store(
        table_name: str,
        prefix: Optional[str] = None,
        dynamodb_opts: Mapping[str, Any] = {},
        caching: CacheConfig = CacheConfig.default(),
    ) -> CachingStoreWrapper:
        """A store of flags for :attr:`ldclient.config.Config.feature_store`.

        :param table_name: the table
        :param prefix: what all namespaces begin with; nothing if not given
        :param dynamodb_opts: more about connecting, in the words of the package ``boto3``; otherwise what
            the environment says
        :param caching: for how long what was read is not read again
        """
        arguments = _dynamodb("DynamoDBFeatureStore", table_name, prefix, dynamodb_opts)
        return _cached(_native.FlagDatabase.dynamodb(*arguments), prefix or "", caching)

    @staticmethod
    def new_big_segment_store(
        table_name: str,
        prefix: Optional[str] = None,
        dynamodb_opts: Mapping[str, Any] = {},
    ) -> BigSegmentStore:
        """A store of big segments for :class:`ldclient.config.BigSegmentsConfig`.

        :param table_name: the table
        :param prefix: what all namespaces begin with; nothing if not given
        :param dynamodb_opts: more about connecting, in the words of the package ``boto3``; otherwise what
            the environment says
        """
        arguments = _dynamodb("DynamoDBBigSegmentStore", table_name, prefix, dynamodb_opts)
        return NativeBigSegmentStore(_native.BigSegmentDatabase.dynamodb(*arguments))

    @staticmethod
    def async_feature_store(
        table_name: str,
        prefix: Optional[str] = None,
        dynamodb_opts: Mapping[str, Any] = {},
        caching: CacheConfig = CacheConfig.default(),
    ) -> AsyncFeatureStore:
        """As :meth:`new_feature_store`, for :class:`ldclient.async_config.AsyncConfig`.

        :param table_name: the table
        :param prefix: what all namespaces begin with; nothing if not given
        :param dynamodb_opts: more about connecting, in the words of the package ``boto3``; otherwise what
            the environment says
        :param caching: for how long what was read is not read again
        """
        return StoreOverSync(DynamoDB.new_feature_store(table_name, prefix, dynamodb_opts, caching))


def _cached(database: _native.FlagDatabase, prefix: str, caching: Optional[CacheConfig]) -> CachingStoreWrapper:
    return CachingStoreWrapper(NativeFeatureStoreCore(database, prefix), caching or CacheConfig.default())


def _redis(
    name: str, url: str, prefix: Optional[str], max_connections: int, redis_opts: Optional[Mapping[str, Any]]
) -> tuple:
    """The arguments of the native databases."""
    url, prefix = url or Redis.DEFAULT_URL, prefix or Redis.DEFAULT_PREFIX
    if max_connections != Redis.DEFAULT_MAX_CONNECTIONS:
        log.warning("max_connections is not supported and will be ignored: connections are opened as they are needed")
    options = redis_options(url, redis_opts)
    log.info("Started %s connected to URL: %s using prefix: %s", name, without_password(url), prefix)
    return options.url, prefix, options.user, options.password, options.link


def _dynamodb(
    name: str, table_name: str, prefix: Optional[str], dynamodb_opts: Optional[Mapping[str, Any]]
) -> tuple:
    """The arguments of the native databases."""
    options = dynamodb_options(dynamodb_opts)
    log.info("Started %s using table: %s", name, table_name)
    return table_name, prefix or "", options.endpoint, options.region, options.credentials, options.link
