"""The logger, and small helpers that programs import from here."""

import logging
import sys
from threading import Event

__all__ = ["log", "check_uwsgi", "Event", "UnsuccessfulResponseException"]

#: Everything this package has to say is said here.
log = logging.getLogger("ldclient.util")


class UnsuccessfulResponseException(Exception):
    """An HTTP response with an unexpected status; raised by components of your own."""

    def __init__(self, status: int):
        super().__init__("HTTP error %d" % status)
        self._status = status

    @property
    def status(self) -> int:
        """The status code."""
        return self._status


def check_uwsgi() -> None:
    """Logs an error if this runs in uWSGI without threads: callbacks into Python need them."""
    uwsgi = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if options is None:
        return

    def option(name):
        value = options.get(name, options.get(name.encode()))
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    enabled = option("enable-threads")
    if enabled is not None and str(enabled).lower() not in ("", "0", "false", "none"):
        return
    try:
        if int(option("threads") or 0) > 1:
            return
    except (TypeError, ValueError):
        pass
    log.error(
        "The LaunchDarkly client requires the 'enable-threads' or 'threads' option be passed to uWSGI. "
        "To learn more, read https://docs.launchdarkly.com/sdk/server-side/python#configuring-uwsgi"
    )
