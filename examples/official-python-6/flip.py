"""Watches one flag with the official Python SDK, version 6, pointed at Flagstaff.

Prints ``value <JSON>`` at the start and each time the value changes, and ``evaluated <count>`` at the end.
Stops after RUN_SECONDS, or at Ctrl-C.
"""

import json
import os
import signal
import sys
import threading
import time

import ldclient
from ldclient.config import Config

URL = os.environ.get("FLAGSTAFF_URL", "http://127.0.0.1:8030")
SDK_KEY = os.environ.get("FLAGSTAFF_SDK_KEY", "sdk-demo-production")
FLAG_KEY = os.environ.get("FLAG_KEY", "checkout-redesign")
RUN_SECONDS = float(os.environ.get("RUN_SECONDS", "inf"))

# Version 6 knows users, plain dictionaries; contexts came with version 8.
USER = {
    "key": "official-python-6-user",
    "email": "official-python-6@example.com",
    "name": "Official Python Six",
}


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    ldclient.set_config(Config(SDK_KEY, base_uri=URL, stream_uri=URL, events_uri=URL))
    client = ldclient.get()
    if not client.is_initialized():
        print(f"no flags from {URL} yet: is the service running? Still trying.", file=sys.stderr)

    ends = time.monotonic() + RUN_SECONDS
    evaluated, shown = 0, None
    while not stop.is_set() and time.monotonic() < ends:
        # Evaluated afresh each time, as a program does on every request.
        value = json.dumps(client.variation(FLAG_KEY, USER, "no value"))
        evaluated += 1
        if value != shown:
            print("value", value, flush=True)
            shown = value
        stop.wait(0.01)

    client.close()  # Sends what has been counted.
    print("evaluated", evaluated, flush=True)


if __name__ == "__main__":
    main()
