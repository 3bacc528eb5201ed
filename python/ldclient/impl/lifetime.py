"""Clients that nobody closed are closed when the program ends, so that their last events arrive."""

import atexit
import threading
import weakref

from ldclient import _native

#: Longer than a flush takes; a program must not hang at its end because of events.
_AT_MOST = 2.0

_clients: weakref.WeakSet = weakref.WeakSet()


def closed_at_exit(client) -> None:
    """Has a client closed at the latest when the program ends.

    :param client: the :class:`ldclient.client.LDClient`
    """
    _clients.add(client)


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
    _native.stop_logging()


atexit.register(_close_all)
