"""Threads that call the program's own code for the native client: listeners, data sources."""

import threading

from ldclient import _native
from ldclient.util import log


def start() -> bool:
    """Starts a thread. False if Python starts none any more."""
    try:
        threading.Thread(target=_work, name="ldclient.callbacks", daemon=True).start()
    except RuntimeError:
        return False
    return True


def _work() -> None:
    while True:
        call = _native.next_call()
        if call is None:
            return
        try:
            call.what(*call.with_)
        except BaseException as error:
            # Ordinary ones are contained nearer to where they belong. Others cannot end the program from here.
            log.exception("Unexpected error in a callback: %r", error)
        finally:
            call.done()
