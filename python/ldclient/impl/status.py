"""The status of the data source, as the native client tells it."""

from typing import Any, Callable

from ldclient.interfaces import (
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataSourceStatus,
    DataSourceStatusProvider,
)
from ldclient.util import log


class NativeDataSourceStatusProvider(DataSourceStatusProvider):
    """Asks the native client."""

    def __init__(self, native: Any):
        """
        :param native: the native client
        """
        self.__native = native

    @property
    def status(self) -> DataSourceStatus:
        """How receiving flags is going."""
        state, since, error = self.__native.data_source_status()
        if error is not None:
            kind, status_code, time, message = error
            error = DataSourceErrorInfo(DataSourceErrorKind(kind), status_code, time, message)
        return DataSourceStatus(DataSourceState(state), since, error)

    def add_listener(self, listener: Callable[[Any], None]) -> None:
        """Has no effect yet, and says so.

        :param listener: what would be told of each new status
        """
        log.warning("This version of ldclient does not tell listeners of the data source's status yet; read it instead")
