"""Callables of the program's that are told of changes, on a thread of the client's."""

import os
import traceback
import weakref
from typing import Any, Callable, List, Optional, Tuple

from ldclient import _native
from ldclient.impl.locks import Lock
from ldclient.util import log


class Listeners:
    """The program's listeners of one kind. Only as long as there are any does the native client tell of anything.

    .. code-block:: python

        listeners = Listeners(native, "flags", FlagChange)
        listeners.add(print)
    """

    def __init__(self, native: Any, about: str, make: Callable[..., Any]):
        """
        :param native: the native client
        :param about: what listeners are told of, as ``_native.listen`` knows it
        :param make: makes what they are told, of what the native client tells
        """
        self.__native = native
        self.__about = about
        self.__told = _Told(make)
        self.__listening: Optional[Any] = None
        self.__lock = Lock()

    def add(self, listener: Callable[[Any], Any]) -> None:
        """Has a callable told; twice, if it is added twice.

        :param listener: the callable
        """
        with self.__lock:
            self.__told.listeners += (listener,)
            if self.__listening is None:
                self.__listening = _native.listen(self.__native, self.__about, self.__told)
                _listened_to.add(self)

    def remove(self, listener: Callable[[Any], Any]) -> None:
        """Takes one :meth:`add` back, if there was one.

        :param listener: the callable
        """
        with self.__lock:
            listeners: List[Callable[[Any], Any]] = list(self.__told.listeners)
            if listener not in listeners:
                return
            listeners.remove(listener)
            self.__told.listeners = tuple(listeners)
            if not listeners and self.__listening is not None:
                _native.unlisten(self.__native, self.__listening)
                self.__listening = None
                _listened_to.discard(self)

    def wake(self) -> None:
        """In a process made by ``fork``: has the client begin anew, as somebody waits to be told."""
        self.__native.data_source_status()


class _Told:
    """What the native client calls. It must not hold the client, which holds it."""

    def __init__(self, make: Callable[..., Any]):
        self.make = make
        self.listeners: Tuple[Callable[[Any], Any], ...] = ()

    def all(self, changes: Any) -> None:
        """Tells of flags that have changed, until there are no more.

        :param changes: the native client's end
        """
        while (keys := changes.take()) is not None:
            for key in keys:
                self(key)

    def __call__(self, *parts: Any) -> None:
        value = self.make(*parts)
        for listener in self.listeners:
            # Another one may have removed it meanwhile.
            if listener not in self.listeners:
                continue
            try:
                listener(value)
            except BaseException as error:
                # Not even one that wants the program to exit can have that from this thread.
                _log_failure(value, error)


def _log_failure(value: Any, error: BaseException) -> None:
    try:
        log.exception("Unexpected error in listener for %s: %s", type(value), error)
    except BaseException:
        # A logger that fails keeps no other listener, and nothing later, from being told.
        traceback.print_exc()


_listened_to: "weakref.WeakSet[Listeners]" = weakref.WeakSet()


def _forked() -> None:
    for listeners in list(_listened_to):
        listeners.wake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
