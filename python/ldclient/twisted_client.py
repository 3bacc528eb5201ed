"""The client for programs on Twisted: every answer that may take a while is a Deferred.

.. code-block:: python

    from ldclient import TwistedConfig, TwistedLDClient

    ld_client = TwistedLDClient("sdk-key", TwistedConfig(flush_interval=10))
    ld_client.variation("new-checkout", {"key": "user-key"}, False).addCallback(show_checkout)

Needs Twisted: ``pip install flagstaff-ldclient[twisted]``.
"""

from concurrent.futures import Future
from typing import Any, Callable, List, Optional, Union

from ldclient.client import _MISSING, _one_of, _required, _settled
from ldclient.config import Config
from ldclient.context import Context
from ldclient.flags_state import FeatureFlagsState
from ldclient.hook import Hook
from ldclient.impl.background import Resting, Session
from ldclient.impl.configs import changed, online
from ldclient.impl.threads import in_pool
from ldclient.util import log

try:
    from twisted.internet.defer import Deferred, succeed
except ImportError as error:
    raise ImportError(
        "The client for Twisted needs Twisted, which is not installed: pip install 'flagstaff-ldclient[twisted]'"
    ) from error

__all__ = ["TwistedConfig", "TwistedLDClient"]


class TwistedConfig(Config):
    """How a client for Twisted is set up: a :class:`ldclient.config.Config` with another beginning.

    .. code-block:: python

        TwistedConfig("https://app.launchdarkly.com", 1, 2)
    """

    def __init__(self, base_uri: Optional[str] = None, *timeouts: Any, **settings: Any):
        """
        :param base_uri: where flags are polled from
        :param timeouts: how long connecting, and then an answer, may take, in seconds: ``connect_timeout`` and
            ``read_timeout``, which may also be given by name. Before them may stand ``events_uri``.
        :param settings: whatever else :class:`ldclient.config.Config` takes
        """
        names = ["connect_timeout", "read_timeout"]
        if timeouts and isinstance(timeouts[0], str):
            names.insert(0, "events_uri")
        if len(timeouts) > len(names):
            raise TypeError("TwistedConfig takes at most %d positional arguments" % (len(names) + 1))
        for name, value in zip(names, timeouts):
            if name in settings:
                raise TypeError("TwistedConfig got multiple values for argument '%s'" % name)
            settings[name] = value
        super().__init__(base_uri=base_uri, **settings)


class TwistedLDClient:
    """A client of one environment, for programs on Twisted. Make one per program.

    Nothing here keeps the reactor from running. Deferreds fire on the reactor's thread; whatever goes wrong with
    an evaluation, they fire with the default, and never with a failure.

    It can be made before the reactor runs. Evaluations that are asked for before there are flags wait for them,
    as long as ``start_wait`` says; :attr:`ready` tells when that is over.
    """

    def __init__(
        self,
        sdk_key: Union[str, Config, None] = None,
        config: Optional[Config] = None,
        start_wait: float = 5,
        *,
        reactor: Any = None,
    ):
        """Connects in the background.

        :param sdk_key: the secret key of an environment; or a config
        :param config: how the client is set up: a :class:`TwistedConfig`, or a :class:`ldclient.config.Config`
        :param start_wait: how long evaluations wait for the first flags, in seconds; 0 does not wait
        :param reactor: Twisted's, if it is not the usual one
        :raises Exception: if there is a key both here and in the config
        """
        if reactor is None:
            from twisted.internet import reactor
        self.__reactor = reactor
        self._config, self.__start_wait = _settled(sdk_key, config, start_wait)
        # Answers while there is no connection.
        self.__resting = Resting(self._config)
        #: None while the client is offline.
        self.__session: Optional[Session] = None
        #: What is told when the wait for flags is over; none once it is.
        self.__waiting: Optional[List[Callable[[bool], None]]] = None
        self.__deadline: Any = None
        #: Whatever is still being closed.
        self.__ending: List["Future[None]"] = []
        self.__closed: Optional["Future[None]"] = None
        if self._config.offline:
            log.info("Started LaunchDarkly Client in offline mode")
        else:
            self.__connect()

    def __connect(self) -> None:
        session = self.__session = Session(self._config)
        session.begin(self._config, self.__start_wait)
        self.__waiting = []
        session.made.add_done_callback(
            lambda made: self.__reactor.callFromThread(self.__made, session)
        )
        if self.__start_wait > 0:
            # There may be no reactor's thread yet.
            self.__reactor.callFromThread(self.__limit_wait, session)

    def __limit_wait(self, session: Session) -> None:
        if session is self.__session and self.__waiting is not None:
            self.__deadline = self.__reactor.callLater(self.__start_wait, self.__ready, session)

    def __made(self, session: Session) -> None:
        if session.client is None or self.__start_wait <= 0:
            self.__ready(session)
        else:
            session.client.when_ready(lambda ready: self.__reactor.callFromThread(self.__ready, session))

    def __ready(self, session: Session) -> None:
        if session is self.__session and self.__waiting is not None:
            if session.client is not None and not self._config.use_ldd:
                session.client._say_whether_ready()
            self.__end_wait()

    def __end_wait(self) -> None:
        """Nobody waits for flags any more, whether or not there are any."""
        waiting, self.__waiting = self.__waiting or [], None
        if self.__deadline is not None and self.__deadline.active():
            self.__deadline.cancel()
        self.__deadline = None
        ready = self.is_initialized()
        for tell in waiting:
            tell(ready)

    @property
    def ready(self) -> "Deferred[bool]":
        """A Deferred of one's own that fires with whether there are flags: once they are there, or the service
        refuses the client, or ``start_wait`` is over. The client goes on trying in any case."""
        if self.__waiting is None:
            return succeed(self.is_initialized())
        deferred: "Deferred[bool]" = Deferred()
        self.__waiting.append(lambda ready: None if deferred.called else deferred.callback(ready))
        return deferred

    def __client(self) -> Any:
        """Whoever answers now."""
        client = self.__session.client if self.__session is not None else None
        return self.__resting if client is None else client

    def __ask(self, method: str, *args: Any, **options: Any) -> "Deferred[Any]":
        """A method's answer; by way of a thread if it may take a while."""
        if self.__waiting is not None:
            return self.ready.addCallback(lambda _: self.__ask(method, *args, **options))
        client = self.__client()
        ask, native = getattr(client, method), client._native
        # Of one flag it can be told whether memory has what it needs.
        is_of_one = method in ("variation", "variation_detail")
        may_wait = native.may_wait_for(args[0]) if is_of_one else native.may_wait
        if not may_wait:
            return succeed(ask(*args, **options))
        return self.__fired_by(in_pool(lambda: ask(*args, **options)))

    def __fired_by(self, future: "Future[Any]") -> "Deferred[Any]":
        deferred: "Deferred[Any]" = Deferred()

        def fire() -> None:
            # Somebody may have cancelled it.
            if not deferred.called:
                error = future.exception()
                if error is None:
                    deferred.callback(future.result())
                else:
                    deferred.errback(error)

        future.add_done_callback(lambda _: self.__reactor.callFromThread(fire))
        return deferred

    def variation(self, key: str, user: Union[Context, dict, None] = _MISSING, default: Any = _MISSING,
                  *, context: Union[Context, dict, None] = _MISSING) -> "Deferred[Any]":
        """A Deferred of the value of a flag: see :meth:`ldclient.client.LDClient.variation`.

        :param key: the flag key, as shown in the dashboard
        :param user: who or what the flag is evaluated for
        :param default: what it fires with if the flag cannot be evaluated
        :param context: another name of ``user``
        """
        user = _one_of("variation", user, context)
        _required("variation", "default", default)
        return self.__ask("variation", key, user, default)

    def variation_detail(self, key: str, user: Union[Context, dict, None] = _MISSING, default: Any = _MISSING,
                         *, context: Union[Context, dict, None] = _MISSING) -> "Deferred[Any]":
        """A Deferred of an :class:`ldclient.evaluation.EvaluationDetail`: the value of a flag, and why it is that.

        :param key: the flag key, as shown in the dashboard
        :param user: who or what the flag is evaluated for
        :param default: the value if the flag cannot be evaluated
        :param context: another name of ``user``
        """
        user = _one_of("variation_detail", user, context)
        _required("variation_detail", "default", default)
        return self.__ask("variation_detail", key, user, default)

    def toggle(self, key: str, user: Union[Context, dict, None] = _MISSING, default: Any = False) -> "Deferred[Any]":
        """Earlier name of :meth:`variation`.

        :param key: the flag key
        :param user: who or what the flag is evaluated for
        :param default: what it fires with if the flag cannot be evaluated
        """
        log.warning("Deprecated method: toggle() called. Use variation() instead.")
        return self.variation(key, user, default)

    def all_flags(self, user: Union[Context, dict, None] = None) -> "Deferred[Optional[dict]]":
        """A Deferred of the values of all flags by key; of ``None`` if they cannot be evaluated. Reports nothing.

        :param user: who or what the flags are evaluated for
        """

        def values(state: FeatureFlagsState) -> Optional[dict]:
            return state.to_values_map() if state.valid else None

        return self.all_flags_state(user).addCallback(values)

    def all_flags_state(self, user: Union[Context, dict, None] = _MISSING, *,
                        context: Union[Context, dict, None] = _MISSING,
                        **options: Any) -> "Deferred[FeatureFlagsState]":
        """A Deferred of the values of all flags and what else is known of them. Reports nothing.

        :param user: who or what the flags are evaluated for
        :param context: another name of ``user``
        :param options: see :meth:`ldclient.client.LDClient.all_flags_state`
        """
        return self.__ask("all_flags_state", _one_of("all_flags_state", user, context), **options)

    def track(self, event_name: str, user: Union[Context, dict, None] = _MISSING, data: Any = None,
              metric_value: Optional[float] = None, *, context: Union[Context, dict, None] = _MISSING) -> None:
        """Reports that something happened. Never raises.

        :param event_name: what happened; the key of a metric, if it is measured
        :param user: who or what it happened to
        :param data: anything that has a JSON form
        :param metric_value: a number, for metrics that measure one
        :param context: another name of ``user``
        """
        self.__report("track", event_name, _one_of("track", user, context), data, metric_value)

    def identify(self, user: Union[Context, dict, None] = _MISSING,
                 *, context: Union[Context, dict, None] = _MISSING) -> None:
        """Reports that a user exists. Not needed for users that flags are evaluated for. Never raises.

        :param user: who or what exists
        :param context: another name of ``user``
        """
        self.__report("identify", _one_of("identify", user, context))

    def __report(self, method: str, *args: Any) -> None:
        if self.__session is None:
            getattr(self.__resting, method)(*args)
        else:
            self.__session.report(method, *args)

    def add_hook(self, hook: Hook) -> None:
        """Adds a hook to those of the config.

        :param hook: ignored unless it is a :class:`ldclient.hook.Hook`
        """
        if isinstance(hook, Hook):
            self._config = changed(self._config, hooks=[*self._config.hooks, hook])
            if self.__session is not None:
                self.__session.run(lambda client: client.add_hook(hook))

    def secure_mode_hash(self, user: Union[Context, dict, None] = _MISSING,
                         *, context: Union[Context, dict, None] = _MISSING) -> str:
        """The text that proves to a client-side SDK's service that a user comes from this server. Never raises.

        :param user: who or what the client-side SDK is to be trusted with
        :param context: another name of ``user``
        """
        return self.__resting.secure_mode_hash(_one_of("secure_mode_hash", user, context))

    def get_sdk_key(self) -> Optional[str]:
        """The SDK key the client was made with."""
        return self._config.sdk_key

    def is_offline(self) -> bool:
        """Whether the client makes no connection."""
        return self.__session is None

    def is_initialized(self) -> bool:
        """Whether evaluations give more than defaults because flags have been received; or never will, because
        the client is offline."""
        if self.__session is None:
            return True
        client = self.__session.client
        return client is not None and client.is_initialized()

    def set_offline(self) -> "Deferred[None]":
        """Disconnects: from now on evaluations give defaults, and what is reported is dropped. What was reported
        before is delivered; the Deferred fires when that is done.
        """
        if self.__session is None or self.__closed is not None:
            return succeed(None)
        session, self.__session = self.__session, None
        self.__end_wait()
        return self.__fired_by(self.__end(session))

    def set_online(self) -> "Deferred[bool]":
        """Connects, also if the client was made to be offline. The Deferred fires when :attr:`ready` does, and
        with the same.
        """
        if self.__closed is not None:
            log.warning("set_online() was called, but the client is closed")
        elif self.__session is None:
            self._config = online(self._config)
            self.__connect()
        return self.ready

    def flush(self) -> "Deferred[bool]":
        """Has events sent now. The Deferred fires once they are delivered, or given up on, with whether they
        were; with ``True`` at once if the client is offline.
        """
        session = self.__session
        if session is None:
            return succeed(True)
        deferred: "Deferred[bool]" = Deferred()

        def flushed(sent: bool) -> None:
            if not deferred.called:
                deferred.callback(sent)

        session.flush(lambda sent: self.__reactor.callFromThread(flushed, sent))
        return deferred

    def __end(self, session: Session) -> "Future[None]":
        ended = session.end()
        self.__ending = [other for other in self.__ending if not other.done()] + [ended]
        return ended

    def close(self) -> "Deferred[None]":
        """Delivers events and disconnects; the Deferred fires when that is done. May be called again; evaluations
        go on with the last flags.
        """
        if self.__closed is None:
            if self.__session is not None:
                self.__end(self.__session)
            self.__end_wait()
            self.__closed = _all_of(self.__ending)
        if self.__closed.done():
            return succeed(None)
        return self.__fired_by(self.__closed)


def _all_of(futures: List["Future[None]"]) -> "Future[None]":
    """Done when all are."""
    left = list(futures)
    done: "Future[None]" = Future()
    done.set_running_or_notify_cancel()

    def next_one(_: Any = None) -> None:
        if left:
            left.pop().add_done_callback(next_one)
        else:
            done.set_result(None)

    next_one()
    return done
