"""Sources of a data system: those that the client has itself, and those that a program writes."""

import json
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from ldclient.config import Config, DataSourceBuilder, HTTPConfig, _number, _of_type, _uri
from ldclient.impl.transfers import ChangeSet, ChangeType, IntentCode, Selector, SelectorStore, Update
from ldclient.interfaces import DataSourceState
from ldclient.util import log

#: How long a synchronizer that raised something is left alone, in seconds; doubled each time.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class NativeSource(NamedTuple):
    """A source that the client has itself; what is not said here is as the client's config says."""

    #: ``polling``, ``streaming``, ``fdv1`` or ``files``.
    kind: str
    base_uri: Optional[str] = None
    #: The poll interval, or the first delay before a stream is opened again.
    seconds: Optional[float] = None
    paths: Tuple[str, ...] = ()
    http: Optional[HTTPConfig] = None


class NativeBuilder(DataSourceBuilder):
    """Makes a source that the client has itself."""

    _kind = ""

    def __init__(self) -> None:
        self._base_uri: Optional[str] = None
        self._seconds: Optional[float] = None
        self._paths: Tuple[str, ...] = ()
        self._http: Optional[HTTPConfig] = None

    def build(self, config: Config) -> NativeSource:
        """The source; the client does the rest.

        :param config: the client's config
        """
        return NativeSource(self._kind, self._base_uri, self._seconds, self._paths, self._http)


class _RemoteBuilder(NativeBuilder):
    def base_uri(self, uri: str) -> Any:
        """Asks another host.

        :param uri: its URI
        """
        self._base_uri = _uri("base_uri of a data source", uri)
        return self

    def http_options(self, http_options: HTTPConfig) -> Any:
        """Connects in another way than the client does otherwise.

        :param http_options: the way
        """
        self._http = _of_type("http_options", http_options, HTTPConfig)
        return self


class PollingDataSourceBuilder(_RemoteBuilder):
    """Makes a source that polls."""

    _kind = "polling"

    def poll_interval(self, poll_interval: float) -> "PollingDataSourceBuilder":
        """How often it polls; an initializer polls once.

        :param poll_interval: in seconds, at least 30
        """
        self._seconds = _number("poll_interval of a data source", poll_interval, None, least=30)
        return self


class FallbackToFDv1DataSourceBuilder(PollingDataSourceBuilder):
    """Makes a source that polls by first-generation delivery."""

    _kind = "fdv1"


class StreamingDataSourceBuilder(_RemoteBuilder):
    """Makes a source that streams."""

    _kind = "streaming"

    def initial_reconnect_delay(self, initial_reconnect_delay: float) -> "StreamingDataSourceBuilder":
        """What the wait before the first reconnection is made of.

        :param initial_reconnect_delay: in seconds
        """
        name = "initial_reconnect_delay of a data source"
        self._seconds = _number(name, initial_reconnect_delay, None, above=0)
        return self


class FileDataSourceBuilder(NativeBuilder):
    """Makes a source that reads files; as a synchronizer it reads them again when they change."""

    _kind = "files"

    def __init__(self, paths: Union[str, "os.PathLike[str]", Iterable[Any]], poll_interval: float = 1):
        """
        :param paths: of the files
        :param poll_interval: how often it looks whether they have changed, in seconds
        """
        super().__init__()
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        self._paths = tuple(os.fspath(path) for path in paths)
        self._seconds = _number("poll_interval of a file data source", poll_interval, 1, above=0)


class OwnSource:
    """A source that the program has written, in its place in the order. It is built anew each time that it is
    its turn, so that it starts afresh, also in a process made by ``fork``. Its methods are called by the native
    client, on threads of the source's own."""

    def __init__(self, builder: Any, config: Config):
        """
        :param builder: makes the source
        :param config: the client's config
        """
        self.__builder = builder
        self.__config = config
        self.__source: Any = None

    @property
    def name(self) -> str:
        """What it is, for log lines."""
        name = getattr(self.__source, "name", None)
        return name if isinstance(name, str) else type(self.__builder).__name__

    def initialize(self, transfers: Any) -> None:
        """Asks for the first flags.

        :param transfers: the native client's end
        """
        try:
            self.__source = self.__builder.build(self.__config)
            basis = _successful(self.__source.fetch(_Selectors(transfers)))
            transfers.take_json(_messages(basis.change_set))
        except Exception as error:
            log.error("Unexpected error in the initializer %s: %r", self.name, error)
            transfers.interrupted("UNKNOWN", repr(error))

    def synchronize(self, transfers: Any) -> None:
        """Hands on updates until it is stopped, or has no more.

        :param transfers: the native client's end
        """
        pause = _FIRST_PAUSE
        while not transfers.is_stopped():
            try:
                self.__source = self.__builder.build(self.__config)
                for update in self.__source.sync(_Selectors(transfers)):
                    if not _hand_on(update, transfers):
                        return
                    pause = _FIRST_PAUSE
                return
            except Exception as error:
                log.error("Unexpected error in the synchronizer %s: %r", self.name, error)
                transfers.interrupted("UNKNOWN", repr(error))
            transfers.wait_until_stopped(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def stop(self) -> None:
        """Stops it."""
        stop = getattr(self.__source, "stop", None)
        if stop is None:
            return
        try:
            stop()
        except Exception as error:
            log.error("Unexpected error when the source %s was stopped: %r", self.name, error)


class _Selectors(SelectorStore):
    def __init__(self, transfers: Any):
        self.__transfers = transfers

    def selector(self) -> Selector:
        return Selector(self.__transfers.selector() or "")


def sources(config: Config) -> Tuple[List[Any], List[Any], Optional[NativeSource]]:
    """The initializers, synchronizers and the source for first-generation delivery of a config's data system:
    each a :class:`NativeSource` or an :class:`OwnSource`. Called by the native client.

    :param config: the client's config
    """
    system = config.datasystem_config
    initializers = [_source(builder, config) for builder in system.initializers or ()]
    synchronizers = [_source(builder, config) for builder in system.synchronizers or ()]
    fallback = system.fdv1_fallback_synchronizer
    if fallback is not None and not isinstance(fallback, PollingDataSourceBuilder):
        log.warning("The synchronizer for first-generation delivery must come from fdv1_fallback_ds_builder(); ignored")
        fallback = None
    return initializers, synchronizers, None if fallback is None else fallback.build(config)


def _source(builder: Any, config: Config) -> Any:
    return builder.build(config) if isinstance(builder, NativeBuilder) else OwnSource(builder, config)


def _successful(result: Any) -> Any:
    """What an initializer brought, out of a result if it is in one."""
    if hasattr(result, "is_success"):
        if not result.is_success():
            raise ValueError(result.error)
        result = result.value
    if result is None:
        raise ValueError("it brought nothing")
    return result


def _hand_on(update: Update, transfers: Any) -> bool:
    """Hands on what a synchronizer says; whether it may go on."""
    if transfers.is_stopped():
        return False
    if update.change_set is not None:
        transfers.take_json(_messages(update.change_set))
    elif update.state == DataSourceState.VALID:
        transfers.take_json(_messages(ChangeSet(IntentCode.TRANSFER_NONE)))
    if update.revert_to_fdv1:
        transfers.fall_back()
        return False
    error = update.error
    kind = error.kind.name if error is not None else "UNKNOWN"
    message = error.message if error is not None and error.message else "it does not say why"
    if update.state == DataSourceState.OFF:
        transfers.off(kind, message)
        return False
    if update.state == DataSourceState.INTERRUPTED:
        transfers.interrupted(kind, message)
    return True


def _messages(change_set: ChangeSet) -> str:
    """A change set in the words of second-generation delivery."""
    code = IntentCode(change_set.intent_code)
    selector = change_set.selector or Selector()
    payload = {"id": "own", "target": selector.version, "intentCode": code.value, "reason": "own source"}
    events: List[Dict[str, Any]] = [{"event": "server-intent", "data": {"payloads": [payload]}}]
    if code is not IntentCode.TRANSFER_NONE:
        events += [_message(change) for change in change_set.changes]
        transferred = {"state": selector.state, "version": selector.version}
        events.append({"event": "payload-transferred", "data": transferred})
    return json.dumps({"events": events}, default=lambda item: item.to_json_dict())


def _message(change: Any) -> Dict[str, Any]:
    data = {"version": change.version, "kind": getattr(change.kind, "value", change.kind), "key": change.key}
    if ChangeType(change.action) is ChangeType.DELETE:
        return {"event": "delete-object", "data": data}
    return {"event": "put-object", "data": dict(data, object=change.object)}
