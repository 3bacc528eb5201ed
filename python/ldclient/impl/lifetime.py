"""Clients that nobody closed are closed when the program ends, so that their last events arrive."""

import atexit
import os
import sys
import threading
import weakref

from ldclient import _native

#: Longer than a flush takes; a program must not hang at its end because of events.
_AT_MOST = 2.0

#: Whose processes end by ``os._exit``, and run no exit hooks but their own; Celery's are billiard's.
_OWN_HOOKS = ("multiprocessing", "billiard")

_clients: weakref.WeakSet = weakref.WeakSet()
#: The process, if its own hooks close the clients too.
_seen_to: set = set()


def closed_at_exit(client) -> None:
    """Has a client closed at the latest when the program ends.

    :param client: the :class:`ldclient.client.LDClient`
    """
    _clients.add(client)
    for package in _OWN_HOOKS:
        process = sys.modules.get(package + ".process")
        # A child that was not made by `fork` from here: no hook of ours has run in it.
        if process is not None and getattr(process.current_process(), "_parent_pid", None) is not None:
            _closed_at_end_of_child(package)


def _closed_at_end_of_child(package: str) -> None:
    util = sys.modules.get(package + ".util")
    here = (os.getpid(), package)
    if util is not None and here not in _seen_to:
        _seen_to.add(here)
        # As late as can be: everything else may still ask for flags.
        util.Finalize(None, _close_all, exitpriority=-1000)
        # Workers of Celery's pools do not get that far.
        signals = sys.modules.get("celery.signals")
        if signals is not None:
            signals.worker_process_shutdown.connect(_at_end_of_worker, weak=False)


def _at_end_of_worker(**_) -> None:
    _close_all()


def _after_fork() -> None:
    """What the child has been given by its parent is forgotten later, so this comes back then."""
    for package in _OWN_HOOKS:
        util = sys.modules.get(package + ".util")
        if util is not None:
            util.register_after_fork(_clients, lambda _, package=package: _closed_at_end_of_child(package))


def _stop_event_processors() -> None:
    sinks = [client._events for client in _clients if client._events is not None]

    def stop():
        for sink in sinks:
            sink.stop()

    if not sinks:
        return
    thread = threading.Thread(target=stop, name="ldclient.events.stop", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # Newer Pythons start no thread any more by now.
        stop()
    else:
        thread.join(_AT_MOST)


def _close_all() -> None:
    _stop_event_processors()
    _native.close_all([client._native for client in _clients], _AT_MOST)
    # After this no thread of ours calls into an interpreter that is being taken down.
    _native.end_visits(_AT_MOST)
    _native.stop_logging()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
