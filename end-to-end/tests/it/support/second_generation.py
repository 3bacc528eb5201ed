"""Watches one flag by second-generation delivery, with ours or the official package.

As the programs in `examples`: prints ``value <JSON>`` at the start and each time the value changes, and
``evaluated <count>`` at the end.
"""

import json
import os
import signal
import threading

from ldclient import Config, Context, LDClient
from ldclient.datasystem import default

URL = os.environ["FLAGSTAFF_URL"]


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    config = Config(
        "sdk-demo-production", base_uri=URL, stream_uri=URL, events_uri=URL, datasystem_config=default().build()
    )
    client = LDClient(config, start_wait=10)
    user = Context.builder("second-generation-user").set("email", "second-generation@example.com").build()
    evaluated, shown = 0, None
    while not stop.is_set():
        value = json.dumps(client.variation("checkout-redesign", user, "no value"))
        evaluated += 1
        if value != shown:
            print("value", value, flush=True)
            shown = value
        stop.wait(0.01)
    client.close()
    print("evaluated", evaluated, flush=True)


if __name__ == "__main__":
    main()
