"""Watches which flags there are behind a payload filter, with ours or the official package.

Prints ``flags <JSON list of keys>`` at the start and each time it is another. Environment: FLAGSTAFF_URL, and
DELIVERY, ``stream`` or ``second-generation``.
"""

import json
import os
import signal
import threading

from ldclient import Config, Context, LDClient
from ldclient.datasystem import default

URL = os.environ["FLAGSTAFF_URL"]
DELIVERY = os.environ["DELIVERY"]


def config() -> Config:
    options = {"base_uri": URL, "stream_uri": URL, "events_uri": URL, "payload_filter_key": "shop"}
    if DELIVERY == "second-generation":
        options["datasystem_config"] = default().build()
    return Config("sdk-demo-production", **options)


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = LDClient(config(), start_wait=10)
    user, shown = Context.create("filtered-user"), None
    while not stop.is_set():
        state = client.all_flags_state(user)
        flags = sorted(state.to_values_map()) if state.valid else None
        if flags != shown:
            print("flags", json.dumps(flags), flush=True)
            shown = flags
        stop.wait(0.01)
    client.close()


if __name__ == "__main__":
    main()
