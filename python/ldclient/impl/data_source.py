"""Data sources of the program's own: made by its factory, started, asked and stopped; what they do wrong is contained.

They write to a store, which is the client's memory unless the program configured another.
"""

import inspect
import time
from threading import Event
from typing import Any, Callable, Mapping, Optional

from ldclient import _native
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.impl.native_stores import database_behind
from ldclient.impl.polling import RequesterPolling
from ldclient.impl.ready import Ready
from ldclient.impl.sorter import FeatureStoreDataSetSorter
from ldclient.interfaces import (
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataSourceUpdateSink,
    FeatureStore,
)
from ldclient.util import log
from ldclient.versioned_data_kind import VersionedDataKind


def data_source_of(config: Any) -> Optional["ProgramDataSource"]:
    """The data source that a config has; ``None`` if the client's own is used.

    :param config: the :class:`ldclient.config.Config`
    """
    if config.offline or config.datasystem_config is not None:
        return None
    if config.use_ldd:
        # Whatever there is to read is in a store, and nobody is connected to.
        return ProgramDataSource(config, _Nothing) if keeps_items(config) else None
    factory = config.update_processor_class
    if factory:
        log.info("Using user-specified update processor: %s", factory)
        return ProgramDataSource(config, factory)
    if config.feature_requester_class and not config.stream:
        return ProgramDataSource(config, RequesterPolling)
    return None


def keeps_items(config: Any) -> bool:
    """Whether the client's memory is the store, so that items must be there to be read back.

    :param config: the :class:`ldclient.config.Config`
    """
    store = config.feature_store
    if config.datasystem_config is not None:
        return False
    if type(store) is InMemoryFeatureStore:
        return True
    has_source = bool(config.update_processor_class or config.feature_requester_class)
    if store is None:
        return has_source or bool(config.use_ldd)
    # The client writes its memory to the database.
    return has_source and not config.use_ldd and database_behind(store) is not None


def share_memory(config: Any, native: Any, has_source: bool) -> None:
    """Has a client evaluate what is in the store that its config has, if that is one in memory.

    :param config: the :class:`ldclient.config.Config`
    :param native: the native client
    :param has_source: whether nothing but a source of the program's own brings the client flags
    """
    store = config.feature_store
    if type(store) is InMemoryFeatureStore and keeps_items(config) and not config.offline:
        store._attach(_native.data_source_updates(native), has_source)


class ProgramDataSource:
    """A data source for one client. It does not hold the client, which holds it."""

    def __init__(self, config: Any, factory: Callable[..., Any]):
        """
        :param config: the client's config
        :param factory: what makes the data source
        """
        self.__config = config
        self.__factory = factory
        self.__source: Any = None
        self.__ready = Ready()
        self.__store: Any = None
        self.__sink: Optional[_Sink] = None
        self.__was_said = False

    def start(self, native: Any) -> None:
        """Makes the data source, and starts it.

        :param native: the native client
        """
        updates = _native.data_source_updates(native)
        self.__store = self.__store_of(native, updates)
        self.__sink = _Sink(updates, self.__store)
        self.__begin()

    def __store_of(self, native: Any, updates: Any) -> Any:
        store = self.__config.feature_store
        is_database = database_behind(store) is not None
        if store is not None and not is_database and type(store) is not InMemoryFeatureStore:
            return _SortingStore(store)
        if store is None or is_database:
            store = InMemoryFeatureStore()
            store._attach(updates, is_source=True)
        return store

    def start_in_child(self) -> None:
        """In a process made by ``fork``, where the threads of the data source are not: makes another."""
        self.__begin()

    def __begin(self) -> None:
        ready = Ready()
        self.__config._data_source_update_sink = self.__sink
        try:
            source = make_source(self.__factory, self.__config, self.__store, ready)
            # In a child the parent's counts until there is another: flags that were known stay known.
            self.__source, self.__ready = source, ready
            start = getattr(source, "start", None)
            if start is not None:
                start()
        except Exception as error:
            log.exception("Unexpected error in data source: %r", error)
            self.__sink.failed(DataSourceErrorKind.UNKNOWN, error)
            self.__ready.set()

    def wait(self, seconds: float) -> bool:
        """Waits until the data source says that it is done, or hopeless.

        :param seconds: for how long at most
        """
        return self.__ready.wait(seconds)

    def when_ready(self, tell: Callable[[bool], None]) -> Callable[[], None]:
        """As :meth:`wait`, without a thread that waits.

        :param tell: called with whether there are flags; must neither block nor raise
        :return: takes it back
        """
        return self.__ready.when_set(lambda: tell(self.initialized()))

    def initialized(self) -> bool:
        """Whether the data source says that it has received a full data set."""
        source = self.__source
        said = getattr(source, "initialized", None)
        if said is None:
            return source is not None and self.__ready.is_set()
        try:
            return bool(said() if callable(said) else said)
        except Exception as error:
            # Asked again and again.
            if not self.__was_said:
                self.__was_said = True
                log.exception("Unexpected error in data source: %r", error)
            return False

    def stop(self) -> None:
        """Stops the data source. Called once, when the client is closed."""
        if getattr(self.__config, "data_source_update_sink", None) is self.__sink:
            self.__config._data_source_update_sink = None
        stop = getattr(self.__source, "stop", None)
        if stop is None:
            return
        try:
            stop()
        except Exception as error:
            log.exception("Unexpected error in data source: %r", error)


def make_source(factory: Callable[..., Any], config: Any, store: Any, ready: Event) -> Any:
    """Calls a factory, whichever era it is of.

    :param factory: takes config, store and event; before 6.0 also a requester, before 4.0 the SDK key first
    :param config: the client's config
    :param store: what is written to
    :param ready: is set once the data source is done, or hopeless
    """
    count = _taken_by(factory)
    if count == 3:
        return factory(config, store, ready)
    requester = config.feature_requester_class(config) if config.feature_requester_class else None
    if count == 4:
        return factory(config, requester, store, ready)
    return factory(config.sdk_key, config, requester, store, ready)


def _taken_by(factory: Callable[..., Any]) -> int:
    """How many arguments a factory takes: 3 if it can, or does not say."""
    try:
        signature = inspect.signature(factory)
    except Exception:
        # It has none; or what its annotations name is not there, since Python 3.14.
        return 3
    for count in (3, 4, 5):
        try:
            signature.bind(*range(count))
            return count
        except TypeError:
            continue
    return 3


class _Nothing:
    """Receives nothing: somebody else fills the store."""

    def __init__(self, config: Any, store: Any, ready: Event):
        ready.set()

    def initialized(self) -> bool:
        return True


class _SortingStore(FeatureStore):
    """A store of the program's own, as data sources write it: what others depend on comes first."""

    def __init__(self, store: Any):
        self.__store = store

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        self.__store.init(FeatureStoreDataSetSorter.sort_all_collections(all_data))

    def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        self.__store.upsert(kind, item)

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        self.__store.delete(kind, key, version)

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        return self.__store.get(kind, key, callback)

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        return self.__store.all(kind, callback)

    @property
    def initialized(self) -> bool:
        return self.__store.initialized

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__store, name)


class _Sink(DataSourceUpdateSink):
    """``config.data_source_update_sink``: the same store, and the client's status."""

    def __init__(self, updates: Any, store: Any):
        self.__updates = updates
        self.__store = store

    def writes_to(self, store: Any) -> bool:
        """Whether what is written here goes to this store."""
        return self.__store is store

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict]]) -> None:
        self.__write(lambda: self.__store.init(all_data))

    def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        self.__write(lambda: self.__store.upsert(kind, item))

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        self.__write(lambda: self.__store.delete(kind, key, version))

    def update_status(self, new_state: DataSourceState, new_error: Optional[DataSourceErrorInfo]) -> None:
        error = None
        if new_error is not None:
            error = (new_error.kind.value, new_error.status_code or 0, new_error.message or "", new_error.time)
        self.__updates.update_status(new_state.value, error)

    def failed(self, kind: DataSourceErrorKind, error: Exception) -> None:
        """Something went wrong, and may be all right again."""
        info = DataSourceErrorInfo(kind, 0, time.time(), str(error))
        self.update_status(DataSourceState.INTERRUPTED, info)

    def __write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            self.failed(DataSourceErrorKind.STORE_ERROR, error)
            raise
