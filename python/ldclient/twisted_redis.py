"""What reads flags from Redis now and then, by its name of old."""

import threading
from typing import Any

from ldclient.config import Config
from ldclient.feature_store import CacheConfig
from ldclient.integrations import Redis
from ldclient.interfaces import FeatureStore, UpdateProcessor
from ldclient.util import log
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

__all__ = ["create_redis_ldd_processor"]


def create_redis_ldd_processor(
    api_key: Any,
    config: Any,
    store: Any,
    update_delay: float = 15,
    redis_host: str = "localhost",
    redis_port: int = 6379,
    redis_prefix: str = "launchdarkly",
) -> UpdateProcessor:
    """Makes a data source, for ``update_processor_class``, that reads all flags from Redis now and then. They are
    evaluated from memory. Today's way to have flags read from Redis is ``use_ldd`` with a ``feature_store``.

    It may be called with config, store and event, as such factories are today.

    :param api_key: the SDK key; without effect
    :param config: the client's config; without effect
    :param store: what is written to
    :param update_delay: how often Redis is read, in seconds
    :param redis_host: where Redis is
    :param redis_port: its port
    :param redis_prefix: what all keys begin with
    """
    ready = threading.Event()
    if isinstance(api_key, Config):
        store, ready = config, store
    url = "redis://%s:%d/0" % (redis_host, redis_port)
    redis = Redis.new_feature_store(url, redis_prefix, caching=CacheConfig.disabled())
    return _RedisReader(redis, store, ready, update_delay)


class _RedisReader(UpdateProcessor):
    def __init__(self, redis: FeatureStore, store: Any, ready: threading.Event, seconds: float):
        self.__redis = redis
        self.__store = store
        self.__ready = ready
        self.__seconds = seconds
        self.__initialized = False
        self.__stopped = threading.Event()
        self.__thread = threading.Thread(target=self.__run, name="ldclient.datasource.redis", daemon=True)

    def start(self) -> None:
        self.__thread.start()

    def stop(self) -> None:
        self.__stopped.set()

    def is_alive(self) -> bool:
        return self.__thread.is_alive()

    def initialized(self) -> bool:
        return self.__initialized

    def __run(self) -> None:
        while not self.__stopped.is_set():
            try:
                self.__read()
            except Exception as error:
                log.warning("Flags could not be read from Redis, will retry: %r", error)
            self.__stopped.wait(self.__seconds)

    def __read(self) -> None:
        if self.__redis.initialized:
            self.__store.init({kind: self.__redis.all(kind) for kind in (SEGMENTS, FEATURES)})
            self.__initialized = True
            self.__ready.set()
