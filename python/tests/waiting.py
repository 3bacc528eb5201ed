"""Waiting for what comes in its own time."""

import time

from fake_service import TIMEOUT


def eventually(condition):
    """Waits until this is so, and gives what was found."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        assert time.monotonic() < deadline, "that never came to be"
        time.sleep(0.005)
    return found


def wait_for_message(caplog, part):
    """The records with this in them: most lines are carried to ``logging`` by a thread of the package's own."""

    def found():
        return [record for record in caplog.records if part in record.getMessage()]

    return eventually(found)
