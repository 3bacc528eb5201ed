"""How a client is set up."""

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Iterable, List, Optional, Pattern

from ldclient.hook import Hook
from ldclient.impl.transfers import DataStoreMode
from ldclient.plugin import Plugin
from ldclient.util import log

__all__ = ["BigSegmentsConfig", "Config", "DataSourceBuilder", "DataSystemConfig", "HTTPConfig"]

GET_LATEST_FEATURES_PATH = "/sdk/latest-flags"
STREAM_FLAGS_PATH = "/flags"

DEFAULT_BASE_URI = "https://app.launchdarkly.com"
DEFAULT_EVENTS_URI = "https://events.launchdarkly.com"
DEFAULT_STREAM_URI = "https://stream.launchdarkly.com"

_NOT_GIVEN = object()
_TAG = re.compile(r"\A[A-Za-z0-9._-]*\Z")
_FILTER = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_PRINTABLE = re.compile(r"\A[\x20-\x7e]+\Z")
_LONGEST_SDK_KEY = 8192
#: About the largest number that is a float; what is not smaller is infinite, or no number.
_LARGEST = 1e308


class HTTPConfig:
    """How the client connects: time-outs, proxy and certificates. Never changes."""

    def __init__(
        self,
        connect_timeout: float = 10,
        read_timeout: float = 15,
        http_proxy: Optional[str] = None,
        ca_certs: Optional[str] = None,
        cert_file: Optional[str] = None,
        disable_ssl_verification: bool = False,
    ):
        """
        :param connect_timeout: how long connecting may take, in seconds
        :param read_timeout: how long an answer may take, in seconds; does not apply to the stream
        :param http_proxy: a proxy for all requests; without it the environment decides
        :param ca_certs: path of a file of certificate authorities to trust instead of the usual ones
        :param cert_file: path of a PEM file with a client certificate and its private key
        :param disable_ssl_verification: trust any certificate
        """
        self.__connect_timeout = _number("connect_timeout", connect_timeout, 10, above=0)
        self.__read_timeout = _number("read_timeout", read_timeout, 15, above=0)
        self.__http_proxy = _text("http_proxy", http_proxy)
        self.__ca_certs = _text("ca_certs", ca_certs)
        self.__cert_file = _text("cert_file", cert_file)
        self.__disable_ssl_verification = disable_ssl_verification

    @property
    def connect_timeout(self) -> float:
        """How long connecting may take, in seconds."""
        return self.__connect_timeout

    @property
    def read_timeout(self) -> float:
        """How long an answer may take, in seconds; does not apply to the stream."""
        return self.__read_timeout

    @property
    def http_proxy(self) -> Optional[str]:
        """A proxy for all requests; without it the environment decides."""
        return self.__http_proxy

    @property
    def ca_certs(self) -> Optional[str]:
        """Path of a file of certificate authorities to trust instead of the usual ones."""
        return self.__ca_certs

    @property
    def cert_file(self) -> Optional[str]:
        """Path of a PEM file with a client certificate and its private key."""
        return self.__cert_file

    @property
    def disable_ssl_verification(self) -> bool:
        """Whether any certificate is trusted."""
        return self.__disable_ssl_verification


class BigSegmentsConfig:
    """Where memberships in big segments are looked up, and how long they are remembered. Never changes."""

    def __init__(
        self,
        store: Any = None,
        context_cache_size: Optional[int] = None,
        context_cache_time: Optional[float] = None,
        status_poll_interval: float = 5,
        stale_after: float = 120,
        user_cache_size: Optional[int] = None,
        user_cache_time: Optional[float] = None,
    ):
        """
        :param store: a :class:`ldclient.interfaces.BigSegmentStore`
        :param context_cache_size: how many contexts are remembered; 1000 if not given
        :param context_cache_time: how long, in seconds; 5 if not given
        :param status_poll_interval: how often the store is asked how it is, in seconds
        :param stale_after: how old the store's data may be before it counts as stale, in seconds
        :param user_cache_size: earlier name of ``context_cache_size``
        :param user_cache_time: earlier name of ``context_cache_time``
        """
        self.__store = store
        size = _first_given(context_cache_size, user_cache_size, 1000)
        self.__context_cache_size = _whole("context_cache_size", size, 1000, least=0)
        cache_time = _first_given(context_cache_time, user_cache_time, 5)
        self.__context_cache_time = _number("context_cache_time", cache_time, 5)
        self.__status_poll_interval = _number("status_poll_interval", status_poll_interval, 5, above=0)
        self.__stale_after = _number("stale_after", stale_after, 120)

    @property
    def store(self) -> Any:
        """The store; ``None`` if there is none."""
        return self.__store

    @property
    def context_cache_size(self) -> int:
        """How many contexts are remembered."""
        return self.__context_cache_size

    @property
    def context_cache_time(self) -> float:
        """How long they are remembered, in seconds."""
        return self.__context_cache_time

    #: Earlier names.
    user_cache_size = context_cache_size
    user_cache_time = context_cache_time

    @property
    def status_poll_interval(self) -> float:
        """How often the store is asked how it is, in seconds."""
        return self.__status_poll_interval

    @property
    def stale_after(self) -> float:
        """How old the store's data may be before it counts as stale, in seconds."""
        return self.__stale_after


class DataSourceBuilder:
    """Makes a source of a data system: see :mod:`ldclient.datasystem`."""

    def build(self, config: "Config") -> Any:
        """Makes an :class:`ldclient.interfaces.Initializer` or :class:`ldclient.interfaces.Synchronizer`. Called
        each time that it is the source's turn.

        :param config: the client's config
        """


@dataclass(frozen=True)
class DataSystemConfig:
    """Where flags come from and are kept: see :mod:`ldclient.datasystem`, which makes one."""

    #: Asked once each, in this order, for the first flags.
    initializers: Optional[List[DataSourceBuilder]] = None
    #: Keep flags up to date; one takes over from another, in this order.
    synchronizers: Optional[List[DataSourceBuilder]] = None
    #: Whether the store is written.
    data_store_mode: DataStoreMode = DataStoreMode.READ_WRITE
    #: Where flags are kept besides memory.
    data_store: Any = None
    #: Takes the place of all when the service asks for first-generation delivery.
    fdv1_fallback_synchronizer: Optional[DataSourceBuilder] = None


def _setting(name: str, doc: str) -> property:
    """A read-only property for one setting."""
    return property(lambda self: self._settings[name], doc=doc)


class Config:
    """How a client is set up. Never changes; every parameter is also a property.

    .. code-block:: python

        ldclient.set_config(Config("sdk-key", stream_uri="https://flags.example.com", flush_interval=10))

    Without ``base_uri``, ``events_uri`` and ``stream_uri`` the environment variable ``FLAGSTAFF_URL``
    takes the place of all three.
    """

    #: What requests say the client is.
    _user_agent = "PythonClient"
    #: Set by the client as long as a data source of the program's own lives.
    _data_source_update_sink: Any = None

    def __init__(
        self,
        sdk_key: Optional[str] = _NOT_GIVEN,  # type: ignore[assignment]
        *,
        base_uri: Optional[str] = None,
        events_uri: Optional[str] = None,
        stream_uri: Optional[str] = None,
        connect_timeout: float = 10,
        read_timeout: float = 15,
        verify_ssl: bool = True,
        http_proxy: Optional[str] = None,
        http: Optional[HTTPConfig] = None,
        stream: bool = True,
        initial_reconnect_delay: float = 1,
        poll_interval: float = 30,
        payload_filter_key: Optional[str] = None,
        offline: bool = False,
        use_ldd: bool = False,
        defaults: Optional[dict] = None,
        send_events: Optional[bool] = None,
        events_enabled: bool = True,
        events_max_pending: int = 10000,
        events_upload_max_batch_size: Optional[int] = None,
        flush_interval: float = 5,
        enable_event_compression: bool = False,
        omit_anonymous_contexts: bool = False,
        inline_users_in_events: bool = False,
        all_attributes_private: bool = False,
        private_attributes: Iterable[str] = (),
        private_attribute_names: Iterable[str] = (),
        all_attribute_names: Iterable[str] = (),
        context_keys_capacity: Optional[int] = None,
        context_keys_flush_interval: Optional[float] = None,
        user_keys_capacity: Optional[int] = None,
        user_keys_flush_interval: Optional[float] = None,
        diagnostic_opt_out: bool = False,
        diagnostic_recording_interval: float = 900,
        wrapper_name: Optional[str] = None,
        wrapper_version: Optional[str] = None,
        application: Optional[dict] = None,
        feature_store: Any = None,
        feature_requester_class: Any = None,
        update_processor_class: Any = None,
        event_processor_class: Any = None,
        event_consumer_class: Any = None,
        big_segments: Optional[BigSegmentsConfig] = None,
        datasystem_config: Any = None,
        hooks: Optional[list] = None,
        plugins: Optional[list] = None,
    ):
        """
        :param sdk_key: the secret key of an environment
        :param base_uri: where flags are polled from
        :param events_uri: where events are sent
        :param stream_uri: where flags are streamed from
        :param connect_timeout: see :class:`HTTPConfig`
        :param read_timeout: see :class:`HTTPConfig`
        :param verify_ssl: ``False`` trusts any certificate
        :param http_proxy: see :class:`HTTPConfig`
        :param http: takes the place of the four parameters above
        :param stream: ``False`` polls instead
        :param initial_reconnect_delay: what the wait before the stream's first reconnection is made of,
            in seconds
        :param poll_interval: seconds between polls, at least 30
        :param payload_filter_key: which part of the environment's flags is received
        :param offline: make no connection; every evaluation gives the default
        :param use_ldd: make no connection for flags; read them from a store that somebody else writes
        :param defaults: by flag key, what takes the place of a caller's default
        :param send_events: whether events are sent
        :param events_enabled: earlier name of ``send_events``
        :param events_max_pending: how many events may wait to be sent; more are dropped
        :param events_upload_max_batch_size: how many events go into one request; all if not given
        :param flush_interval: how long events are gathered before they are sent, in seconds
        :param enable_event_compression: compress what is sent
        :param omit_anonymous_contexts: leave anonymous contexts out of index and identify events
        :param inline_users_in_events: accepted; events hold the context where their schema says so
        :param all_attributes_private: remove all attributes from events
        :param private_attributes: names of, or references to, attributes that are removed from events
        :param private_attribute_names: earlier name of ``private_attributes``; the two are joined
        :param all_attribute_names: another name of it that was once documented
        :param context_keys_capacity: how many contexts are remembered as already reported; 1000 if not given
        :param context_keys_flush_interval: how often they are all forgotten, in seconds; 300 if not given
        :param user_keys_capacity: earlier name of ``context_keys_capacity``
        :param user_keys_flush_interval: earlier name of ``context_keys_flush_interval``
        :param diagnostic_opt_out: do not report how the client itself is doing
        :param diagnostic_recording_interval: how often that is reported, in seconds, at least 60
        :param wrapper_name: the name of a library around this one
        :param wrapper_version: its version
        :param application: ``id`` and ``version`` of the program
        :param feature_store: where flags are kept
        :param feature_requester_class: makes what polls for flags: called with the config
        :param update_processor_class: makes what receives flags: called with config, store and an event
        :param event_processor_class: makes what takes events: called with the config
        :param event_consumer_class: accepted, and ignored with a warning unless it is the one for Twisted
        :param big_segments: where memberships in big segments are looked up
        :param datasystem_config: another way to say where flags come from and are kept; takes the place of
            ``feature_store``, ``update_processor_class``, ``stream`` and ``use_ldd``
        :param hooks: called around each evaluation
        :param plugins: called when a client is made
        """
        http = _of_type("http", http, HTTPConfig)
        if http is None:
            http = HTTPConfig(connect_timeout, read_timeout, http_proxy, None, None, not verify_ssl)
        if send_events is None:
            send_events = events_enabled
        names = _names("private_attributes", private_attributes)
        names += _names("private_attribute_names", private_attribute_names)
        names += _names("all_attribute_names", all_attribute_names)

        self._settings = {
            "sdk_key": _sdk_key(sdk_key),
            "raw_sdk_key": None if sdk_key is _NOT_GIVEN else sdk_key,
            "base_uri": _uri("base_uri", base_uri),
            "events_uri": _uri("events_uri", events_uri),
            "stream_uri": _uri("stream_uri", stream_uri),
            "http": http,
            "stream": bool(stream),
            "initial_reconnect_delay": _number("initial_reconnect_delay", initial_reconnect_delay, 1, above=0),
            "poll_interval": _number("poll_interval", poll_interval, 30, least=30),
            "payload_filter_key": _text("payload_filter_key", payload_filter_key, _FILTER),
            "offline": offline,
            "use_ldd": bool(use_ldd),
            "defaults": _first_given(_of_type("defaults", defaults, Mapping), {}),
            "send_events": False if offline is True else bool(send_events),
            # For clients that can be brought online later.
            "wants_events": bool(send_events),
            "events_max_pending": _whole("events_max_pending", events_max_pending, 10000),
            "events_upload_max_batch_size": None
            if events_upload_max_batch_size is None
            else _whole("events_upload_max_batch_size", events_upload_max_batch_size, None),
            "flush_interval": _number("flush_interval", flush_interval, 5, above=0),
            "enable_event_compression": bool(enable_event_compression),
            "omit_anonymous_contexts": bool(omit_anonymous_contexts),
            "inline_users_in_events": bool(inline_users_in_events),
            "all_attributes_private": bool(all_attributes_private),
            "private_attributes": list(dict.fromkeys(names)),
            "context_keys_capacity": _whole(
                "context_keys_capacity", _first_given(context_keys_capacity, user_keys_capacity, 1000), 1000
            ),
            "context_keys_flush_interval": _number(
                "context_keys_flush_interval",
                _first_given(context_keys_flush_interval, user_keys_flush_interval, 300),
                300,
                above=0,
            ),
            "diagnostic_opt_out": bool(diagnostic_opt_out),
            "diagnostic_recording_interval": _number(
                "diagnostic_recording_interval", diagnostic_recording_interval, 900, least=60
            ),
            "wrapper_name": _text("wrapper_name", wrapper_name, _PRINTABLE),
            "wrapper_version": _text("wrapper_version", wrapper_version, _PRINTABLE),
            "application": _application(application),
            "feature_store": feature_store or None,
            "feature_requester_class": feature_requester_class,
            "update_processor_class": update_processor_class,
            "event_processor_class": event_processor_class,
            "event_consumer_class": event_consumer_class,
            "big_segments": _of_type("big_segments", big_segments, BigSegmentsConfig) or BigSegmentsConfig(),
            "datasystem_config": _of_type("datasystem_config", datasystem_config, DataSystemConfig),
            "hooks": [hook for hook in _of_type("hooks", hooks, (list, tuple)) or () if isinstance(hook, Hook)],
            "plugins": [one for one in _of_type("plugins", plugins, (list, tuple)) or () if isinstance(one, Plugin)],
        }
        system = self._settings["datasystem_config"]
        if system is not None:
            self._settings.update(
                stream=True,
                feature_requester_class=None,
                update_processor_class=None,
                feature_store=system.data_store or None,
                use_ldd=bool(system.data_store) and not (system.initializers or system.synchronizers),
            )

    @classmethod
    def default(cls) -> "Config":
        """A config with nothing set."""
        return cls()

    def copy_with_new_sdk_key(self, new_sdk_key: str) -> "Config":
        """The same config with another SDK key.

        :param new_sdk_key: the key
        """
        return self.__copy(sdk_key=_sdk_key(new_sdk_key), raw_sdk_key=new_sdk_key)

    def with_wrapper_information(self, wrapper_name: str, wrapper_version: Optional[str] = None) -> "Config":
        """The same config for a client inside another library.

        :param wrapper_name: the library's name
        :param wrapper_version: its version
        """
        return self.__copy(wrapper_name=wrapper_name, wrapper_version=wrapper_version)

    def __copy(self, **changes) -> "Config":
        other = copy.copy(self)
        other._settings = dict(self._settings, **changes)
        return other

    def get_default(self, key: str, default: Any) -> Any:
        """What an evaluation of a flag gives if it cannot be done.

        :param key: the flag key
        :param default: the caller's default
        """
        return self.defaults.get(key, default)

    sdk_key = _setting("sdk_key", "The secret key of an environment; ``None`` if it was not given.")
    http = _setting("http", "Time-outs, proxy and certificates.")
    stream = _setting("stream", "Whether flags are streamed; if not, they are polled.")
    initial_reconnect_delay = _setting(
        "initial_reconnect_delay", "What the wait before the first reconnection is made of, in seconds."
    )
    poll_interval = _setting("poll_interval", "Seconds between polls.")
    payload_filter_key = _setting("payload_filter_key", "Which part of the flags is received.")
    offline = _setting("offline", "Whether no connection is made at all.")
    use_ldd = _setting("use_ldd", "Whether flags are read from a store that somebody else writes.")
    defaults = _setting("defaults", "By flag key, what takes the place of a caller's default.")
    send_events = _setting("send_events", "Whether events are sent.")
    events_enabled = _setting("send_events", "Earlier name of :attr:`send_events`.")
    events_max_pending = _setting("events_max_pending", "How many events may wait to be sent.")
    events_upload_max_batch_size = _setting(
        "events_upload_max_batch_size", "How many events go into one request; ``None`` for all."
    )
    flush_interval = _setting("flush_interval", "How long events are gathered, in seconds.")
    enable_event_compression = _setting("enable_event_compression", "Whether events are compressed.")
    omit_anonymous_contexts = _setting(
        "omit_anonymous_contexts", "Whether anonymous contexts are left out of index and identify events."
    )
    inline_users_in_events = _setting("inline_users_in_events", "As given; without effect.")
    all_attributes_private = _setting("all_attributes_private", "Whether events hold no attributes.")
    context_keys_capacity = _setting("context_keys_capacity", "How many reported contexts are remembered.")
    context_keys_flush_interval = _setting(
        "context_keys_flush_interval", "How often they are all forgotten, in seconds."
    )
    user_keys_capacity = _setting("context_keys_capacity", "Earlier name of :attr:`context_keys_capacity`.")
    user_keys_flush_interval = _setting(
        "context_keys_flush_interval", "Earlier name of :attr:`context_keys_flush_interval`."
    )
    diagnostic_opt_out = _setting("diagnostic_opt_out", "Whether the client does not report on itself.")
    diagnostic_recording_interval = _setting(
        "diagnostic_recording_interval", "How often the client reports on itself, in seconds."
    )
    wrapper_name = _setting("wrapper_name", "The name of a library around this one.")
    wrapper_version = _setting("wrapper_version", "The version of a library around this one.")
    feature_store = _setting("feature_store", "Where flags are kept; ``None`` for the client's own memory.")
    feature_requester_class = _setting("feature_requester_class", "Makes what polls for flags.")
    update_processor_class = _setting("update_processor_class", "Makes what receives flags.")
    event_processor_class = _setting("event_processor_class", "Makes what takes events.")
    event_consumer_class = _setting("event_consumer_class", "As given; without effect.")
    big_segments = _setting("big_segments", "Where memberships in big segments are looked up.")
    datasystem_config = _setting("datasystem_config", "Where flags come from and are kept.")

    @property
    def base_uri(self) -> str:
        """Where flags are polled from."""
        return self.__effective_uri("base_uri", DEFAULT_BASE_URI)

    @property
    def events_base_uri(self) -> str:
        """Where events are sent."""
        return self.__effective_uri("events_uri", DEFAULT_EVENTS_URI)

    @property
    def events_uri(self) -> str:
        """Where events are sent, with the path."""
        return self.events_base_uri + "/bulk"

    @property
    def stream_base_uri(self) -> str:
        """Where flags are streamed from."""
        return self.__effective_uri("stream_uri", DEFAULT_STREAM_URI)

    @property
    def stream_uri(self) -> str:
        """Where flags are streamed from, with a path that is no longer used."""
        return self.stream_base_uri + STREAM_FLAGS_PATH

    @property
    def get_latest_flags_uri(self) -> str:
        """Where flags alone are polled from."""
        return self.base_uri + GET_LATEST_FEATURES_PATH

    def __effective_uri(self, name: str, default: str) -> str:
        if self._settings[name] is not None:
            return self._settings[name]
        if all(self._settings[one] is None for one in ("base_uri", "events_uri", "stream_uri")):
            # An existing program moves over without a changed line.
            return _strip(os.environ.get("FLAGSTAFF_URL") or default)
        return default

    @property
    def connect_timeout(self) -> float:
        """How long connecting may take, in seconds."""
        return self.http.connect_timeout

    @property
    def read_timeout(self) -> float:
        """How long an answer may take, in seconds; does not apply to the stream."""
        return self.http.read_timeout

    @property
    def verify_ssl(self) -> bool:
        """Whether certificates are checked."""
        return not self.http.disable_ssl_verification

    @property
    def http_proxy(self) -> Optional[str]:
        """A proxy for all requests; without it the environment decides."""
        return self.http.http_proxy

    @property
    def private_attributes(self) -> List[str]:
        """Attributes that are removed from events."""
        return list(self._settings["private_attributes"])

    #: Earlier names.
    private_attribute_names = private_attributes
    all_attribute_names = private_attributes

    @property
    def data_source_update_sink(self) -> Any:
        """What a data source of the program's own may write to, and say how it is doing:
        a :class:`ldclient.interfaces.DataSourceUpdateSink`. ``None`` unless a client has such a source."""
        return self._data_source_update_sink

    @property
    def application(self) -> dict:
        """``id`` and ``version`` of the program; empty texts if they were not given."""
        return dict(self._settings["application"])

    @property
    def hooks(self) -> List[Hook]:
        """What is called around each evaluation."""
        return list(self._settings["hooks"])

    @property
    def plugins(self) -> List[Plugin]:
        """What is called when a client is made."""
        return list(self._settings["plugins"])

    @property
    def _reads_store_only(self) -> bool:
        """Whether the store of a data system is somebody else's to write."""
        system = self.datasystem_config
        return system is not None and system.data_store_mode is DataStoreMode.READ_ONLY

    def _validate(self) -> None:
        if not self.offline and not self.sdk_key:
            log.warning("Missing or blank SDK key")


def _first_given(*values):
    return next((value for value in values if value is not None), None)


def _number(name: str, value: Any, default: Any, *, least: float = 0, above: Optional[float] = None) -> Any:
    """A number of at least ``least``, raised to it if need be; ``default`` in place of what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST:
        log.warning("Config option %s must be a number, not %r; using %s", name, value, default)
        return default
    if above is not None and value <= above:
        log.warning("Config option %s must be greater than %s, not %r; using %s", name, above, value, default)
        return default
    if value < least:
        log.warning("Config option %s must be at least %s, not %r; using %s", name, least, value, least)
        return least
    return value


def _shown(value: Any) -> str:
    """A value as a line in the log may show it: what stands before an ``@`` may be a password."""
    shown = repr(value)
    return shown if "@" not in shown else "'%s" % shown.rpartition("@")[2]


def _of_type(name: str, value: Any, types: Any) -> Any:
    """A value of some type; ``None`` in place of one of another."""
    if value is None or isinstance(value, types):
        return value
    log.warning("Config option %s cannot be %s; ignored", name, _shown(value))
    return None


def _text(name: str, value: Any, pattern: Pattern = re.compile(".*", re.DOTALL)) -> Optional[str]:
    """A text, or a path, that matches the pattern; ``None`` in place of anything else."""
    text = _of_type(name, os.fspath(value) if isinstance(value, os.PathLike) else value, str)
    if not text:
        return None
    if not pattern.match(text):
        log.warning("Config option %s has characters that cannot be in it: %s; ignored", name, _shown(text))
        return None
    return text


def _whole(name: str, value: Any, default: Optional[int], *, least: int = 1) -> Optional[int]:
    """A whole number, positive unless ``least`` is lower; ``default`` in place of what is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        log.warning("Config option %s must be a positive whole number, not %r; using %s", name, value, default)
        return default
    return value


def _names(name: str, names: Any) -> List[str]:
    if isinstance(names, str):
        names = [names]
    try:
        names = list(names or ())
    except TypeError:
        log.warning("Config option %s must be a list of str, not %r; ignored", name, names)
        return []
    wrong = [one for one in names if not isinstance(one, str)]
    if wrong:
        log.warning("Config option %s must be a list of str; %r ignored", name, wrong)
    return [one for one in names if isinstance(one, str)]


def _strip(uri: str) -> str:
    return uri.rstrip("/\\")


def _uri(name: str, uri: Any) -> Optional[str]:
    if uri is None:
        return None
    if not isinstance(uri, str) or not re.match(r"https?://[^/]", uri, re.IGNORECASE):
        log.warning("Config option %s must be an http or https URI, not %s; ignored", name, _shown(uri))
        return None
    return _strip(uri)


def _sdk_key(sdk_key: Any) -> Optional[str]:
    """The key as it is sent: empty in place of one that could not be sent. Keys are never logged."""
    if sdk_key is _NOT_GIVEN:
        return None
    if not isinstance(sdk_key, str):
        return ""
    if len(sdk_key) > _LONGEST_SDK_KEY:
        log.warning("SDK key was longer than %d characters and was discarded", _LONGEST_SDK_KEY)
        return ""
    if not _TAG.match(sdk_key):
        log.warning("SDK key contained invalid characters and was discarded")
        return ""
    return sdk_key


def _application(application: Any) -> dict:
    if application is not None and not isinstance(application, dict):
        log.warning("Config option application must be a dict, not %r; ignored", application)
        application = None
    checked = {}
    for name in ("id", "version"):
        value = (application or {}).get(name) or ""
        if not isinstance(value, str) or not _TAG.match(value):
            log.warning("Value of application[%s] contained invalid characters and was discarded", name)
            value = ""
        elif len(value) > 64:
            log.warning("Value of application[%s] was longer than 64 characters and was discarded", name)
            value = ""
        checked[name] = value
    return checked
