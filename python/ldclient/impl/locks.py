"""A lock that a forked child can use."""

import os
import threading
import weakref


class Lock:
    """Not re-entrant. In a process made by ``fork`` nobody holds it: whoever did is a thread of the parent's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_all: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _forked() -> None:
    for lock in list(_all):
        lock._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
