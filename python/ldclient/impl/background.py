"""A client for an event loop: made, and closed, on a thread of its own, so that the loop never waits."""

import os
import platform  # noqa: F401, which the native client asks: loaded here rather than on an event loop
from collections import deque
from concurrent.futures import Future
from typing import Any, Callable, Deque, Optional

from ldclient import _native
from ldclient.client import LDClient
from ldclient.config import BigSegmentsConfig, Config
from ldclient.impl.configs import changed, offline
from ldclient.impl.lifetime import closed_at_exit
from ldclient.impl.threads import in_own_thread, in_pool
from ldclient.util import log
from ldclient.version import VERSION

#: What takes part in a client that works, and has no part in one that rests.
_PARTS = {
    "use_ldd": False,
    "hooks": [],
    "plugins": [],
    "feature_store": None,
    "feature_requester_class": None,
    "update_processor_class": None,
    "event_processor_class": None,
    "datasystem_config": None,
    "big_segments": BigSegmentsConfig(),
}


class Resting(LDClient):
    """A client that is not connected, and has nothing to do with anything but its key and its defaults."""

    def __init__(self, config: Config):
        """Takes no time to speak of.

        :param config: what the client is going to be set up by, or was
        """
        self._config = changed(offline(config), **_PARTS)
        self._hooks = []
        self._events = None
        self._source = None
        self._use(_native.Client.start(self._config, VERSION, 0.0, lambda native: None))
        closed_at_exit(self)


class Behind(LDClient):
    """The client behind one for an event loop, which waits for flags in its own way."""

    def __init__(self, config: Config, start_wait: float, before_connecting: Callable[[LDClient], None]):
        """
        :param config: how the client is set up
        :param start_wait: how long somebody will wait for flags, in seconds
        :param before_connecting: called with the client once it can be used
        """
        self.__before_connecting: Optional[Callable[[LDClient], None]] = before_connecting
        super().__init__(config=config, start_wait=start_wait)

    def _use(self, native: Any) -> None:
        super()._use(native)
        before_connecting, self.__before_connecting = self.__before_connecting, None
        if before_connecting is not None:
            before_connecting(self)

    def _wait_for_flags(self, start_wait: float) -> None:
        if start_wait > 0:
            log.info("Waiting up to %s seconds for LaunchDarkly client to initialize...", start_wait)

    def when_ready(self, tell: Callable[[bool], None]) -> Callable[[], None]:
        """Has something told once there are flags, or it makes no sense to wait for them.

        :param tell: called on another thread with whether there are flags; must neither block nor raise
        :return: takes it back
        """
        if self._source is not None:
            return self._source.when_ready(tell)
        return self._native.when_ready(tell).cancel


class Session:
    """The time from connecting to disconnecting: a client that is being made, and what it is told meanwhile."""

    def __init__(self, config: Config):
        """
        :param config: how the client is set up
        """
        #: The client once it can be used.
        self.client: Optional[Behind] = None
        #: The client once it is made; fails if it cannot be made.
        self.made: "Future[Behind]" = Future()
        self.__capacity = config.events_max_pending
        self.__later: Deque[Callable[[LDClient], Any]] = deque()
        self.__begun_in = 0
        self.__overflown = False

    @property
    def begun(self) -> bool:
        """Whether the client is being made, or was."""
        return self.__begun_in != 0

    def begin(
        self, config: Config, start_wait: float, before_connecting: Callable[[LDClient], None] = lambda client: None
    ) -> None:
        """Begins to make the client.

        :param config: how the client is set up
        :param start_wait: how long somebody will wait for flags, in seconds
        :param before_connecting: called on another thread, with the client once it can be used
        """
        self.__begun_in = os.getpid()
        # Whoever gives up waiting for it does not keep it from being made.
        self.made.set_running_or_notify_cancel()

        def usable(client: Behind) -> None:
            self.client = client
            self.__catch_up()
            before_connecting(client)

        def make() -> None:
            try:
                client = Behind(config, start_wait, usable)
            except BaseException as error:
                log.error("The client could not be started, evaluations give defaults: %r", error)
                self.made.set_exception(error)
            else:
                self.made.set_result(client)

        in_own_thread("ldclient.start", make)

    def run(self, call: Callable[[LDClient], Any]) -> None:
        """Calls something with the client; as soon as there is one.

        :param call: what is called
        """
        self.__later.append(call)
        self.__catch_up()

    def report(self, method: str, *args: Any) -> None:
        """Has the client report something; as soon as there is one.

        :param method: the client's method
        :param args: what it is called with
        """
        if self.client is not None:
            getattr(self.client, method)(*args)
        elif len(self.__later) < self.__capacity:
            kept = tuple(_kept(arg) for arg in args)
            self.run(lambda client: getattr(client, method)(*kept))
        elif not self.__overflown:
            self.__overflown = True
            log.warning("Exceeded event queue capacity. Increase capacity to avoid dropping events.")

    def __catch_up(self) -> None:
        # Taking from a deque needs no lock, which a process made by `fork` might find held.
        while self.client is not None and self.__later:
            try:
                call = self.__later.popleft()
            except IndexError:
                break  # another thread was faster
            try:
                call(self.client)
            except Exception as error:
                log.exception("Unexpected error in what was to be done once the client is there: %r", error)

    def flush(self, tell: Callable[[bool], None]) -> None:
        """Has events sent now, once the client is made.

        :param tell: called on another thread when that is done, with whether they were sent
        """

        def made(future: "Future[Behind]") -> None:
            if future.exception() is not None:
                tell(False)
                return
            client = future.result()
            if client._events is None:
                client._native.flush_then(tell)
            else:
                # A program's own event processor, which may take its time.
                in_pool(client.flush).add_done_callback(lambda done: tell(done.exception() is None))

        self.made.add_done_callback(made)

    def end(self) -> "Future[None]":
        """Closes the client, once it is made if need be, on another thread."""
        return in_own_thread("ldclient.close", self.__end)

    def __end(self) -> None:
        # A client that was being made when this process was forked off is never made here.
        if self.made.done() or self.__begun_in == os.getpid():
            if self.made.exception() is None:
                self.made.result().close()


def _kept(arg: Any) -> Any:
    """What a caller may go on changing, as it is now."""
    return dict(arg) if type(arg) is dict else arg
