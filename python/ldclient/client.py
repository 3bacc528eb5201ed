"""The client: evaluates flags and reports what happened."""

import warnings
from typing import Any, Dict, Optional, Tuple, Union

from ldclient import _native
from ldclient.config import Config
from ldclient.context import Context
from ldclient.evaluation import EvaluationDetail
from ldclient.flags_state import FeatureFlagsState
from ldclient.hook import Hook
from ldclient.interfaces import (
    BigSegmentStoreStatusProvider,
    DataSourceStatusProvider,
    DataStoreStatusProvider,
    FlagTracker,
)
from ldclient.impl.data_source import data_source_of, keeps_items, share_memory
from ldclient.impl.configs import offline, online
from ldclient.impl.events import event_sink
from ldclient.impl.hooks import HookedClient
from ldclient.impl.lifetime import closed_at_exit
from ldclient.impl.plugins import Plugins
from ldclient.impl.status import NativeDataSourceStatusProvider
from ldclient.impl.tracker import NativeFlagTracker
from ldclient.impl.store_status import (
    NativeBigSegmentStoreStatusProvider,
    NativeDataStoreStatusProvider,
    stop_big_segment_store,
)
from ldclient.migrations.tracker import OpTracker
from ldclient.migrations.types import Stage
from ldclient.util import check_uwsgi, log
from ldclient.version import VERSION

__all__ = ["LDClient", "Config"]

_MISSING: Any = object()
_LONG_WAIT = 60


class LDClient:
    """A client of one environment. Safe to share between threads; make one per program.

    .. code-block:: python

        with LDClient(Config("sdk-key")) as client:
            if client.variation("new-checkout", Context.create("user-key"), False):
                ...

    Wherever a context is asked for, a user dictionary (``{"key": "user-key", "custom": {…}}``) will do,
    by the rules of the time when users were dictionaries. It may also be given by the name ``user``.

    A client goes on working in a process made by ``fork``: it connects again when it is first used there.
    """

    #: Until the constructor has come that far.
    _native: Any = None
    _events: Any = None
    _was_told_of_alias = False

    def __init__(
        self,
        sdk_key: Union[str, Config, None] = None,
        config: Optional[Config] = None,
        start_wait: float = 5,
    ):
        """Connects, and waits for flags for a while. Does not raise if there are none by then: the client
        keeps trying, and evaluations give defaults meanwhile.

        :param sdk_key: the secret key of an environment; or a config
        :param config: how the client is set up
        :param start_wait: how long to wait for flags, in seconds; 0 does not wait
        :raises Exception: if there is a key both here and in the config
        """
        config, start_wait = _settled(sdk_key, config, start_wait)
        check_uwsgi()
        config._validate()
        self._config = config
        try:
            self._start(start_wait)
        except BaseException:
            # Interrupted, and nobody has the client who could close it.
            self._stop()
            raise
        closed_at_exit(self)

    def _start(self, start_wait: float, before: Any = None) -> None:
        plugins = Plugins(self._config)
        self._hooks = [*self._config.hooks, *plugins.hooks()]
        self._connect(start_wait, before, plugins)

    def _connect(self, start_wait: float, before: Any = None, plugins: Optional[Plugins] = None) -> None:
        config = self._config
        self._events = event_sink(config)
        self._source = source = data_source_of(config)

        def before_connecting(native: Any) -> None:
            if before is not None:
                _native.remind_of(native, before)
            self._use(native)
            if plugins is not None:
                plugins.register(self)

        native = _native.Client.start(
            config, VERSION, start_wait, before_connecting, self._events, source, keeps_items(config)
        )
        self._use(native)
        share_memory(config, native, source is not None)
        if source is not None:
            source.start(native)
        if config.offline:
            log.info("Started LaunchDarkly Client in offline mode")
            return
        if config.use_ldd:
            log.info("Started LaunchDarkly Client in LDD mode")
            return
        if config.send_events and self._events is None:
            log.info("Starting event processor")
        self._wait_for_flags(start_wait)

    def _wait_for_flags(self, start_wait: float) -> None:
        if start_wait > _LONG_WAIT:
            log.warning(
                "Client was configured to block for up to %s seconds when initializing. "
                "We recommend blocking no longer than %s.",
                start_wait,
                _LONG_WAIT,
            )
        if start_wait > 0:
            log.info("Waiting up to %s seconds for LaunchDarkly client to initialize...", start_wait)
            self._native.wait_until_ready(start_wait)
        self._say_whether_ready()

    def _say_whether_ready(self) -> None:
        if self._native.is_initialized():
            log.info("Started LaunchDarkly Client: OK")
        else:
            log.warning(
                "Initialization timeout exceeded for LaunchDarkly Client or an error occurred. "
                "Feature Flags may not yet be available."
            )

    def _use(self, native: Any) -> None:
        if native is not self._native:
            self._data_source_status_provider = NativeDataSourceStatusProvider(native)
            self._flag_tracker = NativeFlagTracker(self, native)
            self._data_store_status_provider = NativeDataStoreStatusProvider(native, self._config)
            self._big_segment_store_status_provider = NativeBigSegmentStoreStatusProvider(native)
        self._native = native
        # The bound method once and for all: looking it up each time would cost as much as an evaluation.
        self._variation = native.variation
        self._hooked: Optional[HookedClient] = None
        if self._hooks:
            self._use_hooks()

    def _use_hooks(self) -> None:
        self._hooked = HookedClient(self._native, self._hooks)
        self._variation = self._hooked.variation

    def variation(self, key: str, context: Union[Context, dict, None] = _MISSING, default: Any = _MISSING,
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
        return self._variation(key, context, default)

    def variation_detail(self, key: str, context: Union[Context, dict, None] = _MISSING, default: Any = _MISSING,
                         *, user: Union[Context, dict, None] = _MISSING) -> EvaluationDetail:
        """Returns the value of a flag for a context, and why it is that value. Never raises.

        :param key: the flag key, as shown in the dashboard
        :param context: who or what the flag is evaluated for
        :param default: the value returned when the flag cannot be evaluated
        :param user: another name of ``context``
        """
        context = _one_of("variation_detail", context, user)
        _required("variation_detail", "default", default)
        if self._hooked is not None:
            return self._hooked.variation_detail(key, context, default)
        return EvaluationDetail(*self._native.variation_detail(key, context, default))

    def toggle(self, key: str, user: Union[Context, dict, None] = _MISSING, default: Any = False) -> Any:
        """Earlier name of :meth:`variation`.

        :param key: the flag key
        :param user: who or what the flag is evaluated for
        :param default: the value returned when the flag cannot be evaluated
        """
        log.warning("Deprecated method: toggle() called. Use variation() instead.")
        return self.variation(key, user, default)

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
        self._native.track(event_name, context, data, metric_value)
        if self._hooked is not None:
            self._hooked.after_track(event_name, context, data, metric_value)

    def identify(self, context: Union[Context, dict, None] = _MISSING,
                 *, user: Union[Context, dict, None] = _MISSING) -> None:
        """Reports that a context exists. Not needed for contexts that flags are evaluated for. Never raises.

        :param context: who or what exists
        :param user: another name of ``context``
        """
        self._native.identify(_one_of("identify", context, user))

    def all_flags(self, user: Union[Context, dict, None]) -> Optional[Dict[str, Any]]:
        """The values of all flags by key; ``None`` if they cannot be evaluated. Reports nothing.

        .. deprecated:: 6.0
            Use :meth:`all_flags_state`.

        :param user: who or what the flags are evaluated for
        """
        warnings.warn("all_flags() is deprecated, use all_flags_state()", DeprecationWarning, stacklevel=2)
        state = self.all_flags_state(user)
        return state.to_values_map() if state.valid else None

    def all_flags_state(self, context: Union[Context, dict, None] = _MISSING, **kwargs) -> FeatureFlagsState:
        """The values of all flags and what else is known of them. Reports nothing. Never raises.

        :param context: who or what the flags are evaluated for
        :param user: another name of ``context``
        :param client_side_only: only flags that client-side SDKs may see
        :param with_reasons: say why each flag has its value
        :param details_only_for_tracked_flags: leave out version and reason of flags of which no event is made
        :return: a state whose ``valid`` says whether the flags could be evaluated
        """
        context = _one_of("all_flags_state", context, kwargs.get("user", _MISSING))
        state = self._native.all_flags_state(
            context,
            bool(kwargs.get("client_side_only", False)),
            bool(kwargs.get("with_reasons", False)),
            bool(kwargs.get("details_only_for_tracked_flags", False)),
        )
        return FeatureFlagsState(False) if state is None else FeatureFlagsState._of(*state)

    def secure_mode_hash(self, context: Union[Context, dict, None] = _MISSING,
                         *, user: Union[Context, dict, None] = _MISSING) -> str:
        """The text that proves to a client-side SDK's service that a context comes from this server.

        Never raises; empty if the context has no key, or the client no SDK key.

        :param context: who or what the client-side SDK is to be trusted with
        :param user: another name of ``context``
        """
        return self._native.secure_mode_hash(_one_of("secure_mode_hash", context, user))

    def get_sdk_key(self) -> Optional[str]:
        """The SDK key the client was made with."""
        return self._config.sdk_key

    def is_offline(self) -> bool:
        """Whether the client makes no connection."""
        return self._config.offline

    def is_initialized(self) -> bool:
        """Whether flags have been received, so that evaluations give more than defaults."""
        return self._native.is_initialized()

    def alias(self, current_user: Any, previous_user: Any) -> None:
        """Does nothing, and says so: services no longer join users. Was there from 7.1 to 7.6.

        :param current_user: who somebody is now
        :param previous_user: who that was before
        """
        if not self._was_told_of_alias:
            self._was_told_of_alias = True
            log.warning("Deprecated method: alias() called. It has no effect; put both in a multi-context instead.")

    def migration_variation(self, key: str, context: Union[Context, dict, None],
                            default_stage: Stage) -> Tuple[Stage, OpTracker]:
        """Returns the stage of a migration for a context, and what takes down what is done at it. Never raises.

        :param key: the key of the flag that steers the migration
        :param context: who or what the flag is evaluated for
        :param default_stage: the stage if the flag cannot be evaluated, or serves none
        """
        if not isinstance(default_stage, Stage):
            log.error("default stage %s is not a valid stage; using 'off' instead", default_stage)
            default_stage = Stage.OFF
        hooked = self._hooked
        series = None
        if hooked is not None:
            series = hooked.begin("migration_variation", key, context, default_stage.value)
        stage, tracker, detail = self._migration_variation(key, context, default_stage)
        if series is not None:
            series.end(detail)
        return stage, tracker

    def _migration_variation(
        self, key: str, context: Any, default_stage: Stage
    ) -> Tuple[Stage, OpTracker, EvaluationDetail]:
        value, index, reason, flag = _native.migration_variation(self._native, key, context, default_stage.value)
        detail = EvaluationDetail(value, index, reason)
        return Stage(value), OpTracker(key, flag, context, detail, default_stage), detail

    def track_migration_op(self, tracker: OpTracker) -> None:
        """Reports one step of a migration. What does not add up is logged, and not reported. Never raises.

        :param tracker: what was noted of it
        """
        try:
            event = tracker.build()
            if not isinstance(event, str):
                if self._events is not None:
                    self._events.send(event)
                else:
                    _native.report_migration_op(self._native, event)
                return
            problem: Any = event
        except Exception as error:
            problem = error
        log.error("error generating migration op event %s; no event will be emitted", problem)

    def add_hook(self, hook: Hook) -> None:
        """Adds a hook to those of the config and of plugins. An evaluation that has begun goes on without it.

        :param hook: ignored unless it is a :class:`ldclient.hook.Hook`
        """
        if isinstance(hook, Hook):
            self._hooks.append(hook)
            self._use_hooks()

    def flush(self) -> None:
        """Has events sent now, in the background, instead of when the flush interval is over.

        A program that ends should call :meth:`close`, which waits until they are delivered.
        """
        if self._events is not None:
            self._events.flush()
        self._native.flush()

    def close(self) -> None:
        """Delivers events and disconnects. May be called again; evaluations go on with the last flags."""
        log.info("Closing LaunchDarkly client..")
        config = self._config
        was_closed = self._native.is_closed()
        is_own = not config.offline and not config.use_ldd and self._source is None
        if is_own and not was_closed:
            log.info("Stopping %s", "StreamingUpdateProcessor" if config.stream else "PollingUpdateProcessor")
        self._stop()
        if not was_closed:
            stop_big_segment_store(config)

    def postfork(self, start_wait: float = 5) -> None:
        """Makes the client anew in a process made by ``fork``, instead of when it is first used there.

        It has what its config says: components are made again, plugins are registered again; listeners, and
        hooks that were added, are gone. Evaluations go on with the flags that it had until others come.

        :param start_wait: how long to wait for flags, in seconds; 0 does not wait
        """
        before = self._native
        # If it was used here already, there may be something to be sent.
        self._stop()
        self._start(start_wait, before)

    def set_offline(self) -> None:
        """Disconnects: from now on evaluations give defaults, and what is reported is dropped. What was reported
        before is delivered. Without effect on a client that is offline, or closed.

        Hooks go on; listeners are gone, as after :meth:`postfork`.
        """
        if self._config.offline or self._native.is_closed():
            return
        events, native = self._events, self._native
        self._config = offline(self._config)
        self._connect(0)
        _stop(events, native)

    def set_online(self, start_wait: float = 5) -> None:
        """Connects, also if the client was made to be offline, and waits for flags for a while. Without effect on
        a client that is not offline, or that is closed.

        Hooks go on; listeners are gone, as after :meth:`postfork`.

        :param start_wait: how long to wait for flags, in seconds; 0 does not wait
        """
        if not self._config.offline or self._native.is_closed():
            return
        native = self._native
        self._config = online(self._config)
        self._connect(start_wait)
        native.close()

    def _stop(self) -> None:
        _stop(self._events, self._native)

    @property
    def data_source_status_provider(self) -> DataSourceStatusProvider:
        """Tells how receiving flags is going."""
        return self._data_source_status_provider

    @property
    def flag_tracker(self) -> FlagTracker:
        """Tells when flags change, or their values for one context."""
        return self._flag_tracker

    @property
    def data_store_status_provider(self) -> DataStoreStatusProvider:
        """Tells how the store of flags is."""
        return self._data_store_status_provider

    @property
    def big_segment_store_status_provider(self) -> BigSegmentStoreStatusProvider:
        """Tells how the store of big segments is."""
        return self._big_segment_store_status_provider

    def __enter__(self) -> "LDClient":
        return self

    def __exit__(self, exception_type, exception, traceback) -> None:
        self.close()


def _stop(events: Any, native: Any) -> None:
    """Has events delivered, and connections closed."""
    try:
        if events is not None:
            events.stop()
    finally:
        if native is not None:
            native.close()


def _settled(sdk_key: Any, config: Any, start_wait: Any) -> Tuple[Config, float]:
    """What the constructor's arguments amount to, in the order of either era."""
    if isinstance(sdk_key, Config):
        # (config, start_wait), as since 7.0
        if isinstance(config, (int, float)) and not isinstance(config, bool):
            start_wait, config = config, None
        if config is not None:
            raise Exception("LDClient was given two configs")
        sdk_key, config = None, sdk_key
    if config is None:
        return Config(sdk_key) if sdk_key is not None else Config(), start_wait
    if not isinstance(config, Config):
        raise TypeError("config must be a Config, not %s" % type(config).__name__)
    if sdk_key is None:
        return config, start_wait
    if config._settings["raw_sdk_key"]:
        raise Exception("LDClient init received both sdk_key and config with sdk_key. Only one of either is expected")
    return config.copy_with_new_sdk_key(sdk_key), start_wait


def _one_of(method: str, context: Any, user: Any) -> Any:
    """The context, by either of its names."""
    if user is _MISSING:
        _required(method, "context", context)
        return context
    if context is not _MISSING:
        raise TypeError("%s() got values for both 'context' and 'user'" % method)
    return user


def _required(method: str, name: str, value: Any) -> None:
    if value is _MISSING:
        raise TypeError("%s() missing 1 required positional argument: '%s'" % (method, name))
