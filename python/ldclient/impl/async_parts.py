"""The components of a client for asyncio, as the client behind it calls them."""

import inspect
from dataclasses import replace
from typing import Any, Callable, Optional

from ldclient.config import BigSegmentsConfig, Config, DataSourceBuilder, DataSystemConfig
from ldclient.impl.async_stores import BigSegmentStoreOverSync, StoreForSource, StoreOverSync
from ldclient.impl.configs import changed
from ldclient.impl.coroutines import Home, Waited, WaitedStore, has_coroutines
from ldclient.impl.system_sources import NativeBuilder
from ldclient.interfaces import FeatureStore


def called_without_awaiting(config: Config, home: Home) -> Config:
    """A config whose components have no coroutines; without hooks and plugins, which are run elsewhere.

    :param config: the client's
    :param home: where coroutines run
    """
    return changed(
        config,
        hooks=[],
        plugins=[],
        feature_store=_store(config.feature_store, home),
        big_segments=_big_segments(config.big_segments, home),
        update_processor_class=_factory(config.update_processor_class, home),
        feature_requester_class=_factory(config.feature_requester_class, home),
        event_processor_class=_factory(config.event_processor_class, home, is_asked=False),
        datasystem_config=_data_system(config.datasystem_config, home),
    )


def enter_homes(config: Config, home: Home) -> None:
    """Has coroutines of a client's components run on the caller's event loop, if they have no other one.

    :param config: the client's
    :param home: the client's
    """
    home.enter()
    for part in (config.feature_store, config.big_segments.store):
        if isinstance(part, (StoreOverSync, BigSegmentStoreOverSync)):
            part._home.enter()


def makes_parts(config: Config) -> bool:
    """Whether there are components which are made only when the client is, and which evaluations may ask.

    :param config: the client's
    """
    return any((config.update_processor_class, config.feature_requester_class, config.datasystem_config))


def _store(store: Any, home: Home) -> Any:
    if isinstance(store, StoreOverSync):
        return store._sync
    if not has_coroutines(store):
        return store
    home.is_asked = True
    return WaitedStore(store, home)


def _big_segments(config: BigSegmentsConfig, home: Home) -> BigSegmentsConfig:
    store = config.store
    if isinstance(store, BigSegmentStoreOverSync):
        store = store._sync
    elif has_coroutines(store):
        home.is_asked = True
        store = Waited(store, home)
    return BigSegmentsConfig(
        store, config.context_cache_size, config.context_cache_time, config.status_poll_interval, config.stale_after
    )


def _data_system(system: Optional[DataSystemConfig], home: Home) -> Optional[DataSystemConfig]:
    if system is None:
        return None
    return replace(
        system,
        initializers=[_builder(builder, home) for builder in system.initializers or ()],
        synchronizers=[_builder(builder, home) for builder in system.synchronizers or ()],
        data_store=_store(system.data_store, home),
    )


def _builder(builder: Any, home: Home) -> Any:
    return builder if isinstance(builder, NativeBuilder) else _Builder(builder, home)


class _Builder(DataSourceBuilder):
    """A builder of sources that may have coroutines."""

    def __init__(self, builder: DataSourceBuilder, home: Home):
        # They bring flags, and nobody asks them for any.
        self.__build = _Factory(builder.build, home, is_asked=False)

    def build(self, config: Config) -> Any:
        return self.__build(config)


def _factory(factory: Any, home: Home, is_asked: bool = True) -> Any:
    return _Factory(factory, home, is_asked) if factory else factory


class _Factory:
    """A factory of components that may have coroutines. Takes what the one behind it takes."""

    def __init__(self, factory: Callable[..., Any], home: Home, is_asked: bool):
        self.__wrapped__ = factory
        self.__home = home
        self.__is_asked = is_asked

    def __call__(self, *args: Any) -> Any:
        stores = [StoreForSource(arg) if isinstance(arg, FeatureStore) else None for arg in args]
        made = self.__wrapped__(*(store or arg for store, arg in zip(stores, args)))
        if inspect.isawaitable(made):
            made = self.__home.wait(made)
        if has_coroutines(made):
            self.__home.is_asked |= self.__is_asked
            return Waited(made, self.__home)
        for store in stores:
            if store is not None:
                store.awaited = False
        return made

    def __str__(self) -> str:
        return str(self.__wrapped__)
