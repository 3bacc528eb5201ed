"""A data source that reads files."""

import os
import threading
import time
import traceback
from threading import Event
from typing import Any, Dict, List, Optional, Tuple

from ldclient import _native
from ldclient.interfaces import DataSourceErrorInfo, DataSourceErrorKind, DataSourceState, UpdateProcessor
from ldclient.util import log
from ldclient.versioned_data_kind import FEATURES, SEGMENTS, VersionedDataKind

#: A file that changed is read once it has not changed for so many seconds: it may not be complete yet.
_SETTLED = 0.05
#: After so many changes in a row it is read all the same.
_MOST_CHANGES = 100

#: What tells whether a file has changed; ``None`` if it is not there.
_Stamp = Optional[Tuple[int, int, int, int]]


class FileSource(UpdateProcessor):
    """Reads files into a store, and again when one of them changes."""

    def __init__(self, config: Any, store: Any, ready: Event, paths: Any, auto_update: bool, poll_interval: float):
        """
        :param config: the client's config
        :param store: what is written to
        :param ready: is set once the files were read, or could not be
        :param paths: of the files
        :param auto_update: whether they are read again
        :param poll_interval: how often is looked whether one has changed, in seconds
        """
        self.__sink = getattr(config, "data_source_update_sink", None)
        self.__store = store
        self.__ready = ready
        self.__paths: List[str] = [
            os.fspath(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)
        ]
        self.__poll_interval = poll_interval
        self.__auto_update = auto_update
        self.__known = _Files()
        self.__initialized = False
        self.__stopped = Event()

    def start(self) -> None:
        """Reads the files, and starts the thread that watches them."""
        # Taken before the files are read: a change meanwhile is a change.
        stamps = self.__stamps()
        self.__load()
        self.__ready.set()
        if self.__auto_update:
            watch = threading.Thread(target=self.__watch, args=(stamps,), name="ldclient.datasource.files", daemon=True)
            watch.start()

    def stop(self) -> None:
        """Looks for changes no more."""
        self.__stopped.set()

    def initialized(self) -> bool:
        """Whether all files could be read once."""
        return self.__initialized

    def __load(self) -> None:
        path = ""
        try:
            files = _Files()
            for path in self.__paths:
                with open(path, "rb") as file:
                    files.add(file.read())
            files.settle(self.__known)
            self.__store.init({FEATURES: files.flags, SEGMENTS: files.segments})
        except Exception as error:
            log.error('Unable to load flag data from "%s": %r', path, error)
            traceback.print_exc()
            failure = DataSourceErrorInfo(DataSourceErrorKind.INVALID_DATA, 0, time.time(), str(error))
            self.__say(DataSourceState.INTERRUPTED, failure)
            return
        self.__known = files
        self.__initialized = True
        self.__say(DataSourceState.VALID, None)

    def __say(self, state: DataSourceState, error: Optional[DataSourceErrorInfo]) -> None:
        # A config may be shared: its sink need not be that of this client.
        if getattr(self.__sink, "writes_to", lambda store: False)(self.__store):
            self.__sink.update_status(state, error)

    def __watch(self, known: List[_Stamp]) -> None:
        while not self.__stopped.wait(self.__poll_interval):
            now = self.__stamps()
            if now == known:
                continue
            for _ in range(_MOST_CHANGES):
                if self.__stopped.wait(min(_SETTLED, self.__poll_interval)):
                    return
                before, now = now, self.__stamps()
                if now == before:
                    break
            known = now
            self.__load()

    def __stamps(self) -> List[_Stamp]:
        return [_stamp(path) for path in self.__paths]


def _stamp(path: str) -> _Stamp:
    try:
        known = os.stat(path)
    except OSError:
        return None
    return known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns


class _Files:
    """What stands in all files together."""

    def __init__(self) -> None:
        self.flags: Dict[str, dict] = {}
        self.segments: Dict[str, dict] = {}

    def add(self, content: bytes) -> None:
        flags, values, segments = _native.read_flags_file(content)
        for key, value in values:
            flags.append((key, {"on": True, "variations": [value], "fallthrough": {"variation": 0}}))
        self.__add_all(FEATURES, self.flags, flags)
        self.__add_all(SEGMENTS, self.segments, segments)

    def __add_all(self, kind: VersionedDataKind, known: Dict[str, dict], items: List[Tuple[str, dict]]) -> None:
        new: Dict[str, dict] = {}
        for key, item in items:
            if key in known or key in new:
                raise ValueError("key '%s' is in '%s' twice" % (key, kind.namespace))
            if not isinstance(item, dict):
                raise ValueError("'%s' in '%s' is no object" % (key, kind.namespace))
            new[key] = {"key": key, **item}
            if new[key].get("version") is None:
                new[key]["version"] = 1
        for key, problem in _native.unusable_items(kind.namespace, new).items():
            raise ValueError("'%s' in '%s': %s" % (key, kind.namespace, problem))
        known.update(new)

    def settle(self, before: "_Files") -> None:
        """Raises the versions of items that have changed, if whoever wrote the files did not: what is told of
        changes goes by them.

        :param before: what was read before
        """
        for known, items in ((before.flags, self.flags), (before.segments, self.segments)):
            for key, item in items.items():
                old = known.get(key)
                if old is not None:
                    has_changed = dict(item, version=old["version"]) != old
                    item["version"] = max(item["version"], old["version"] + has_changed)
