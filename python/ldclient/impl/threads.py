"""Work that may take a while, done off an event loop's thread."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Optional

#: How many evaluations may wait for a database at the same time; others wait for their turn.
_MOST_AT_ONCE = 32


class _Pool:
    """Threads that are kept, of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executor: Optional[ThreadPoolExecutor] = None

    def submit(self, work: Callable[..., Any], *args: Any) -> "Future[Any]":
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(_MOST_AT_ONCE, "ldclient.waiting")
            return self.executor.submit(work, *args)


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    # The threads are the parent's, and somebody may have held the lock.
    os.register_at_fork(after_in_child=_pool.__init__)


def in_pool(work: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Has something done by a thread that is kept for such work.

    :param work: what is called
    :param args: what it is called with
    """
    return _pool.submit(work, *args)


def in_own_thread(name: str, work: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Has something done by a thread of its own, which nothing else can keep waiting.

    :param name: what the thread is called
    :param work: what is called
    :param args: what it is called with
    """
    future: "Future[Any]" = Future()
    # Whoever gives up waiting does not take the work back.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work(*args)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name).start()
    return future
