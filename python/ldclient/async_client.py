"""The client for asyncio: nothing in it keeps the event loop from running.

.. code-block:: python

    async with AsyncLDClient(AsyncConfig("sdk-key")) as client:
        if await client.variation("new-checkout", Context.create("user-key"), False):
            ...
"""

import asyncio
from concurrent.futures import Future
from typing import Any, Callable, List, Optional, Tuple, Union

from ldclient.client import _LONG_WAIT, _MISSING, _one_of, _required
from ldclient.config import Config
from ldclient.context import Context
from ldclient.evaluation import EvaluationDetail
from ldclient.flags_state import FeatureFlagsState
from ldclient.hook import Hook
from ldclient.impl.async_hooks import after_track, in_series
from ldclient.impl.async_listeners import (
    BigSegmentStoreStatusOnLoop,
    DataSourceStatusOnLoop,
    DataStoreStatusOnLoop,
    FlagTrackerOnLoop,
)
from ldclient.impl.async_parts import called_without_awaiting, enter_homes, makes_parts
from ldclient.impl.background import Behind, Resting, Session
from ldclient.impl.configs import changed
from ldclient.impl.coroutines import Home, Waited, has_coroutines, outcome, told_future
from ldclient.impl.plugins import Plugins
from ldclient.interfaces import (
    AsyncBigSegmentStoreStatusProvider,
    AsyncDataSourceStatusProvider,
    AsyncDataStoreStatusProvider,
    AsyncFlagTracker,
)
from ldclient.migrations.tracker import OpTracker
from ldclient.migrations.types import Stage
from ldclient.util import log

__all__ = ["AsyncLDClient"]


class AsyncLDClient:
    """A client of one environment, for programs on asyncio. Make one per program, and start it.

    Evaluations are answered from memory, at once. With a database behind the flags or the big segments they may
    wait for that, on another thread, while the event loop goes on. Components, hooks and plugins may be written as
    coroutines: they run on the event loop that :meth:`start` was awaited on.

    It may be used from several event loops, in as many threads; and from a process made by ``fork``, where it
    connects again when it is first used. Before :meth:`start` evaluations give defaults, and what is reported is
    kept until then.
    """

    def __init__(self, config: Config):
        """Does not connect: see :meth:`start`.

        :param config: how the client is set up: an :class:`ldclient.async_config.AsyncConfig`, or a
            :class:`ldclient.config.Config`
        """
        if not isinstance(config, Config):
            raise TypeError("config must be an AsyncConfig, not %s" % type(config).__name__)
        self._config = config
        self._home = Home()
        self._session = Session(config)
        self._closing: Optional["Future[None]"] = None
        # Answers before there is a client.
        self._resting = Resting(config)
        self._hooks: List[Hook] = config.hooks
        # Whether to take it that coroutines are asked, as long as that is not known.
        self._waits = makes_parts(config)
        # The native method, if an evaluation is no more than that.
        self._evaluate: Optional[Callable[[Any, Any, Any], Any]] = None
        parts = (self._session, self._home, self._resting)
        self._flag_tracker = FlagTrackerOnLoop("flag_tracker", *parts)
        self._data_source_status = DataSourceStatusOnLoop("data_source_status_provider", *parts)
        self._data_store_status = DataStoreStatusOnLoop("data_store_status_provider", *parts)
        self._big_segment_store_status = BigSegmentStoreStatusOnLoop("big_segment_store_status_provider", *parts)
        self._was_warned = False

    async def start(self, start_wait: float = 5.0) -> None:
        """Connects, and waits for flags for a while. Does not raise if there are none by then: the client keeps
        trying, and evaluations give defaults meanwhile. A client that was started goes on if this is cancelled.

        :param start_wait: how long to wait for flags, in seconds; 0 does not wait
        """
        if self._closing is not None:
            log.warning("start() was called, but the client is closed")
            return
        enter_homes(self._config, self._home)
        if not self._session.begun:
            self._begin(start_wait)
        try:
            client = await outcome(self._session.made)
        except Exception:
            # It was logged, and evaluations give defaults.
            return
        self._waits = self._home.is_asked
        self._decide(client)
        if client.is_offline() or self._config.use_ldd:
            return
        if start_wait > 0:
            await self._wait_for_flags(client, start_wait)
        await self._ask(self._in_memory(), client._say_whether_ready)

    def _begin(self, start_wait: float) -> None:
        if start_wait > _LONG_WAIT:
            log.warning(
                "Client was configured to wait for up to %s seconds when starting. "
                "We recommend waiting no longer than %s.",
                start_wait,
                _LONG_WAIT,
            )
        awaited = [Waited(one, self._home) if has_coroutines(one) else one for one in self._config.plugins]
        plugins = Plugins(changed(self._config, plugins=awaited))
        self._hooks = [*self._hooks, *plugins.hooks()]

        def before_connecting(client: Any) -> None:
            self._decide(client)
            plugins.register(self)  # type: ignore[arg-type]

        self._session.begin(called_without_awaiting(self._config, self._home), start_wait, before_connecting)

    async def _wait_for_flags(self, client: Behind, seconds: float) -> None:
        ready, tell = told_future()
        cancel = client.when_ready(tell)
        try:
            await asyncio.wait_for(ready, seconds)
        except asyncio.TimeoutError:
            pass
        finally:
            cancel()

    def _decide(self, client: Any) -> None:
        """Finds out whether evaluations are no more than a call of the native client."""
        plain = not (self._hooks or self._waits or self._home.is_asked or client._native.may_wait)
        self._evaluate = client._native.variation if plain else None

    def _client(self) -> Any:
        """Whoever answers now."""
        client = self._session.client
        if client is not None:
            return client
        if not self._was_warned:
            self._was_warned = True
            log.warning("The client is used before it is started: evaluations give defaults until then")
        return self._resting

    def _in_memory(self, key: Any = None) -> bool:
        """Whether memory has what an evaluation needs; of one flag, or of whatever there is."""
        client = self._session.client
        if client is None:
            return True
        if self._waits or self._home.is_asked:
            return False
        native = client._native
        return not (native.may_wait if key is None else native.may_wait_for(key))

    async def _ask(self, in_memory: bool, call: Callable[..., Any], *args: Any) -> Any:
        """A call's answer; by way of a thread, if it may have to wait."""
        if in_memory:
            return call(*args)
        enter_homes(self._config, self._home)
        return await self._home.off_loop(lambda: call(*args))

    async def _in_series(self, method: str, key: str, context: Any, default: Any, evaluate: Any) -> Any:
        if not self._hooks:
            return (await evaluate())[0]
        self._home.enter()
        native = self._client()._native
        return await in_series(tuple(self._hooks), native, method, key, context, default, evaluate)

    async def variation(self, key: str, context: Union[Context, dict, None] = _MISSING, default: Any = _MISSING,
                        *, user: Union[Context, dict, None] = _MISSING) -> Any:
        """Returns the value of a flag for a context.

        Never raises: an unknown flag, a client that is not ready, or a malformed flag all
        return ``default``. Use :meth:`variation_detail` to learn which.

        :param key: the flag key, as shown in the dashboard
        :param context: who or what the flag is evaluated for
        :param default: the value returned when the flag cannot be evaluated
        :param user: another name of ``context``
        """
        if default is _MISSING or user is not _MISSING or context is _MISSING:
            context = _one_of("variation", context, user)
            _required("variation", "default", default)
        if self._evaluate is not None:
            return self._evaluate(key, context, default)
        return (await self._detail("variation", key, context, default)).value

    async def variation_detail(self, key: str, context: Union[Context, dict, None] = _MISSING,
                               default: Any = _MISSING, *,
                               user: Union[Context, dict, None] = _MISSING) -> EvaluationDetail:
        """Returns the value of a flag for a context, and why it is that value. Never raises.

        :param key: the flag key, as shown in the dashboard
        :param context: who or what the flag is evaluated for
        :param default: the value returned when the flag cannot be evaluated
        :param user: another name of ``context``
        """
        context = _one_of("variation_detail", context, user)
        _required("variation_detail", "default", default)
        return await self._detail("variation_detail", key, context, default)

    async def _detail(self, method: str, key: str, context: Any, default: Any) -> EvaluationDetail:
        native = self._client()._native
        # Reasons are reported only where they are asked for.
        evaluate = native.variation_for_hooks if method == "variation" else native.variation_detail

        async def evaluated() -> Tuple[EvaluationDetail, EvaluationDetail]:
            detail = EvaluationDetail(*await self._ask(self._in_memory(key), evaluate, key, context, default))
            return detail, detail

        return await self._in_series(method, key, context, default, evaluated)

    async def migration_variation(self, key: str, context: Union[Context, dict, None],
                                  default_stage: Stage) -> Tuple[Stage, OpTracker]:
        """Returns the stage of a migration for a context, and what takes down what is done at it. Never raises.

        :param key: the key of the flag that steers the migration
        :param context: who or what the flag is evaluated for
        :param default_stage: the stage if the flag cannot be evaluated, or serves none
        """
        if not isinstance(default_stage, Stage):
            log.error("default stage %s is not a valid stage; using 'off' instead", default_stage)
            default_stage = Stage.OFF
        client = self._client()

        async def evaluated() -> Tuple[Tuple[Stage, OpTracker], EvaluationDetail]:
            ask = client._migration_variation
            stage, tracker, detail = await self._ask(self._in_memory(key), ask, key, context, default_stage)
            return (stage, tracker), detail

        return await self._in_series("migration_variation", key, context, default_stage.value, evaluated)

    async def all_flags_state(self, context: Union[Context, dict, None] = _MISSING,
                              **kwargs: Any) -> FeatureFlagsState:
        """The values of all flags and what else is known of them. Reports nothing. Never raises.

        :param context: who or what the flags are evaluated for
        :param kwargs: see :meth:`ldclient.client.LDClient.all_flags_state`
        """
        client = self._client()
        return await self._ask(self._in_memory(), lambda: client.all_flags_state(context, **kwargs))

    def track(self, event_name: str, context: Union[Context, dict, None] = _MISSING, data: Any = None,
              metric_value: Optional[float] = None, *, user: Union[Context, dict, None] = _MISSING) -> None:
        """Reports that something happened. Never raises.

        :param event_name: what happened; the key of a metric, if it is measured
        :param context: who or what it happened to
        :param data: anything that has a JSON form
        :param metric_value: a number, for metrics that measure one
        :param user: another name of ``context``
        """
        context = _one_of("track", context, user)
        self._session.report("track", event_name, context, data, metric_value)
        if self._hooks:
            native = self._client()._native
            after_track(
                tuple(self._hooks), native, self._home.run_soon, event_name, context, data, metric_value
            )

    def identify(self, context: Union[Context, dict, None] = _MISSING,
                 *, user: Union[Context, dict, None] = _MISSING) -> None:
        """Reports that a context exists. Not needed for contexts that flags are evaluated for. Never raises.

        :param context: who or what exists
        :param user: another name of ``context``
        """
        self._session.report("identify", _one_of("identify", context, user))

    def track_migration_op(self, tracker: OpTracker) -> None:
        """Reports one step of a migration. What does not add up is logged, and not reported. Never raises.

        :param tracker: what was noted of it
        """
        self._session.report("track_migration_op", tracker)

    def secure_mode_hash(self, context: Union[Context, dict, None] = _MISSING,
                         *, user: Union[Context, dict, None] = _MISSING) -> str:
        """The text that proves to a client-side SDK's service that a context comes from this server. Never raises.

        :param context: who or what the client-side SDK is to be trusted with
        :param user: another name of ``context``
        """
        return self._resting.secure_mode_hash(_one_of("secure_mode_hash", context, user))

    def get_sdk_key(self) -> Optional[str]:
        """The SDK key the client was made with."""
        return self._config.sdk_key

    def is_offline(self) -> bool:
        """Whether the client makes no connection."""
        return self._config.offline

    async def is_initialized(self) -> bool:
        """Whether flags have been received, so that evaluations give more than defaults."""
        client = self._session.client
        return client is not None and await self._ask(self._in_memory(), client.is_initialized)

    def add_hook(self, hook: Hook) -> None:
        """Adds a hook to those of the config and of plugins. An evaluation that has begun goes on without it.

        :param hook: ignored unless it is a :class:`ldclient.hook.Hook`
        """
        if isinstance(hook, Hook):
            self._hooks = [*self._hooks, hook]
            self._evaluate = None

    async def flush(self) -> None:
        """Has events sent now, in the background, instead of when the flush interval is over."""
        client = self._session.client
        if client is None or client._events is None:
            self._session.run(lambda client: client.flush())
        else:
            self._home.enter()
            await self._home.off_loop(client.flush)

    async def flush_and_wait(self, timeout: Optional[float] = None) -> bool:
        """Has events sent now, and waits until they are delivered, or given up on.

        :param timeout: how long at most, in seconds; as long as it takes, if not given
        :return: whether they were delivered in time
        """
        if not self._session.begun:
            return False
        self._home.enter()
        flushed, tell = told_future()
        self._session.flush(tell)
        try:
            return await asyncio.wait_for(flushed, timeout)
        except asyncio.TimeoutError:
            return False

    async def close(self) -> None:
        """Delivers events and disconnects. May be called again; evaluations go on with the last flags."""
        await outcome(self._close())

    def _close(self) -> "Future[None]":
        if self._closing is None:
            if self._session.begun:
                self._closing = self._session.end()
            else:
                self._closing = Future()
                self._closing.set_result(None)
        return self._closing

    @property
    def flag_tracker(self) -> AsyncFlagTracker:
        """Tells when flags change, or their values for one context."""
        return self._flag_tracker

    @property
    def data_source_status_provider(self) -> AsyncDataSourceStatusProvider:
        """Tells how receiving flags is going."""
        return self._data_source_status

    @property
    def data_store_status_provider(self) -> AsyncDataStoreStatusProvider:
        """Tells how the store of flags is."""
        return self._data_store_status

    @property
    def big_segment_store_status_provider(self) -> AsyncBigSegmentStoreStatusProvider:
        """Tells how the store of big segments is."""
        return self._big_segment_store_status

    async def __aenter__(self) -> "AsyncLDClient":
        try:
            await self.start()
        except BaseException:
            # Nobody is going to leave what was not entered.
            self._close()
            raise
        return self

    async def __aexit__(self, exception_type: Any, exception: Any, traceback: Any) -> None:
        await self.close()
