"""Watches one flag with Flagstaff's Python SDK.

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

# Where all clients of this program connect that are not told otherwise.
URL = os.environ.setdefault("FLAGSTAFF_URL", "http://127.0.0.1:8030")
SDK_KEY = os.environ.get("FLAGSTAFF_SDK_KEY", "sdk-demo-production")
FLAG_KEY = os.environ.get("FLAG_KEY", "checkout-redesign")
RUN_SECONDS = float(os.environ.get("RUN_SECONDS", "inf"))

USER = {"key": "python-sdk-user", "email": "python-sdk@example.com", "name": "Python Example"}


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    ldclient.set_sdk_key(SDK_KEY)
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
