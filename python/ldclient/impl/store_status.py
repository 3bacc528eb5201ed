"""How the stores of flags and of big segments are, as the native client tells it."""

from typing import Any, Callable

from ldclient.impl.listeners import Listeners
from ldclient.impl.native_stores import store_of
from ldclient.interfaces import (
    BigSegmentStoreStatus,
    BigSegmentStoreStatusProvider,
    DataStoreStatus,
    DataStoreStatusProvider,
)
from ldclient.util import log


class NativeDataStoreStatusProvider(DataStoreStatusProvider):
    """Asks the native client."""

    def __init__(self, native: Any, config: Any):
        """
        :param native: the native client
        :param config: the client's :class:`ldclient.config.Config`
        """
        self.__native = native
        self.__config = config
        self.__listeners = Listeners(native, "data_store", DataStoreStatus)

    @property
    def status(self) -> DataStoreStatus:
        """How the store of flags is; without one, all is well."""
        return DataStoreStatus(*self.__native.data_store_status())

    def is_monitoring_enabled(self) -> bool:
        """Whether the store can tell if it answers."""
        store = None if self.__config.offline else store_of(self.__config)
        enabled = getattr(store, "is_monitoring_enabled", None)
        if not callable(enabled) or not callable(getattr(store, "is_available", None)):
            return False
        try:
            return bool(enabled())
        except Exception as error:
            log.error("Unexpected error while asking the feature store whether it can be monitored: %r", error)
            return False

    def add_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        """Has a callable told of each new status.

        :param listener: called with the status, on a thread of the client
        """
        self.__listeners.add(listener)

    def remove_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        """Takes :meth:`add_listener` back.

        :param listener: the callable
        """
        self.__listeners.remove(listener)


class NativeBigSegmentStoreStatusProvider(BigSegmentStoreStatusProvider):
    """Asks the native client."""

    def __init__(self, native: Any):
        """
        :param native: the native client
        """
        self.__native = native
        self.__listeners = Listeners(native, "big_segment_store", BigSegmentStoreStatus)

    @property
    def status(self) -> BigSegmentStoreStatus:
        """How the store of big segments is. Asks it, and waits for it, if it was never asked before."""
        return BigSegmentStoreStatus(*self.__native.big_segment_store_status())

    def add_listener(self, listener: Callable[[BigSegmentStoreStatus], None]) -> None:
        """Has a callable told of each new status.

        :param listener: called with the status, on a thread of the client
        """
        self.__listeners.add(listener)

    def remove_listener(self, listener: Callable[[BigSegmentStoreStatus], None]) -> None:
        """Takes :meth:`add_listener` back.

        :param listener: the callable
        """
        self.__listeners.remove(listener)


def stop_big_segment_store(config: Any) -> None:
    """Tells the store of big segments that the client is done with it.

    :param config: the client's :class:`ldclient.config.Config`
    """
    stop = getattr(config.big_segments.store, "stop", None)
    if not callable(stop):
        return
    try:
        stop()
    except Exception as error:
        log.error("Unexpected error while stopping the big segment store: %r", error)
