"""The status of the data source, as the native client tells it."""

from typing import Any, Callable, Optional, Tuple

from ldclient.impl.listeners import Listeners
from ldclient.interfaces import (
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataSourceStatus,
    DataSourceStatusProvider,
)


class NativeDataSourceStatusProvider(DataSourceStatusProvider):
    """Asks the native client."""

    def __init__(self, native: Any):
        """
        :param native: the native client
        """
        self.__native = native
        self.__listeners = Listeners(native, "data_source", _status)

    @property
    def status(self) -> DataSourceStatus:
        """How receiving flags is going."""
        return _status(*self.__native.data_source_status())

    def add_listener(self, listener: Callable[[DataSourceStatus], None]) -> None:
        """Has a callable told of each new state, and of each failure.

        :param listener: called with the status, on a thread of the client
        """
        self.__listeners.add(listener)

    def remove_listener(self, listener: Callable[[DataSourceStatus], None]) -> None:
        """Takes :meth:`add_listener` back.

        :param listener: the callable
        """
        self.__listeners.remove(listener)


def _status(state: str, since: float, failure: Optional[Tuple[str, int, float, str]]) -> DataSourceStatus:
    error = None
    if failure is not None:
        kind, status_code, time, message = failure
        error = DataSourceErrorInfo(DataSourceErrorKind(kind), status_code, time, message)
    return DataSourceStatus(DataSourceState(state), since, error)
