"""Polls by a requester of the program's own: ``feature_requester_class``."""

import threading
import time
from threading import Event
from typing import Any

from ldclient.interfaces import DataSourceErrorInfo, DataSourceErrorKind, DataSourceState, UpdateProcessor
from ldclient.util import UnsuccessfulResponseException, log

#: After a refusal that time alone does not mend, seconds.
_LONG_WAIT = 300.0
_LONGEST_WAIT = 3600.0


class RequesterPolling(UpdateProcessor):
    """Asks the requester for everything, again and again. Goes on whatever it raises."""

    def __init__(self, config: Any, store: Any, ready: Event):
        """
        :param config: the client's config
        :param store: what is written to
        :param ready: is set once there are flags, or waiting for them is of no use
        """
        self.__config = config
        self.__requester = config.feature_requester_class(config)
        self.__store = store
        self.__sink = config.data_source_update_sink
        self.__ready = ready
        self.__stopped = Event()
        self.__initialized = False
        self.__long_wait = _LONG_WAIT
        self.__was_refused = False

    def start(self) -> None:
        """Starts a thread, which asks at once."""
        log.info("Starting PollingUpdateProcessor with request interval: %s", self.__config.poll_interval)
        threading.Thread(target=self.__run, name="ldclient.datasource.polling.repeating", daemon=True).start()

    def stop(self) -> None:
        """Asks no more. A request that is under way is not waited for."""
        self.__stopped.set()

    def initialized(self) -> bool:
        """Whether there was an answer."""
        return self.__initialized

    def __run(self) -> None:
        while not self.__stopped.is_set():
            started = time.monotonic()
            wait = self.__poll()
            self.__stopped.wait(max(0.0, wait - (time.monotonic() - started)))

    def __poll(self) -> float:
        """Asks once; gives how long the next time is from now."""
        try:
            data = self.__requester.get_all_data()
            if data is None and not self.__initialized:
                # It knows of nothing new, and there is nothing yet.
                return self.__config.poll_interval
            if data is not None and not self.__stopped.is_set():
                self.__store.init(data)
        except UnsuccessfulResponseException as error:
            return self.__failed_with_status(error.status)
        except Exception as error:
            log.exception("Error: Exception encountered when updating flags. %s", error)
            self.__failed(DataSourceErrorKind.UNKNOWN, 0, str(error))
            return self.__config.poll_interval
        self.__long_wait, self.__was_refused = _LONG_WAIT, False
        self.__sink.update_status(DataSourceState.VALID, None)
        if not self.__initialized:
            log.info("PollingUpdateProcessor initialized ok")
            self.__initialized = True
            self.__ready.set()
        return self.__config.poll_interval

    def __failed_with_status(self, status: int) -> float:
        said = "%d (invalid SDK key)" % status if status in (401, 403) else str(status)
        self.__failed(DataSourceErrorKind.ERROR_RESPONSE, status, "HTTP error %s" % said)
        if status in (400, 408, 429) or not 400 <= status < 500:
            log.warning("Received HTTP error %s for polling request - will retry", said)
            return self.__config.poll_interval
        if not self.__was_refused:
            # It does go on trying, at long intervals, but that is nothing to repeat itself about.
            log.error("Received HTTP error %s for polling request - giving up permanently", said)
            self.__was_refused = True
        self.__ready.set()
        wait, self.__long_wait = self.__long_wait, min(self.__long_wait * 2, _LONGEST_WAIT)
        return max(wait, self.__config.poll_interval)

    def __failed(self, kind: DataSourceErrorKind, status: int, message: str) -> None:
        error = DataSourceErrorInfo(kind, status, time.time(), message)
        self.__sink.update_status(DataSourceState.INTERRUPTED, error)
