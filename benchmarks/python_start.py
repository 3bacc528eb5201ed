"""Time until a client of the Python package has all flags, and the memory it holds five seconds later.

``python python_start.py URL``; prints one JSON line.
"""

import json
import logging
import os
import sys
import time

logging.disable(logging.WARNING)

import ldclient
from ldclient.config import Config


def resident_kib():
    """Resident memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main():
    url = sys.argv[1]
    before = resident_kib()
    start = time.perf_counter()
    client = ldclient.LDClient(
        config=Config(sdk_key="sdk-bench", base_uri=url, stream_uri=url, events_uri=url, diagnostic_opt_out=True),
        start_wait=60,
    )
    milliseconds = (time.perf_counter() - start) * 1e3
    assert client.is_initialized(), "the client has the flags"
    time.sleep(5)
    print(json.dumps({"ms": milliseconds, "rss_mib": resident_kib() / 1024, "before_mib": before / 1024}))
    client.close()


if __name__ == "__main__":
    main()
