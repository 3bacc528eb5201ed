"""Python ``variation`` on one flag that serves its fallthrough, with one thread and with eight; and the state of
all flags.

Runs against whatever ``ldclient`` the interpreter finds, ours or the official package, newest or 6.x:
``python python_variation.py URL LABEL``. Prints one JSON line. The answer is checked before the clock
starts; the context is built beforehand.
"""

import json
import logging
import statistics
import sys
import threading
import time

logging.disable(logging.WARNING)

import ldclient
from ldclient.config import Config

ROUND_SECONDS = 0.05
ROUNDS = 11


def config(url, events):
    return Config(
        sdk_key="sdk-bench",
        base_uri=url,
        stream_uri=url,
        events_uri=url,
        send_events=events,
        diagnostic_opt_out=True,
    )


def nanoseconds(client, context):
    """Median nanoseconds per call over the rounds."""

    def run(calls):
        variation = client.variation
        start = time.perf_counter()
        for _ in range(calls):
            variation("flag", context, False)
        return time.perf_counter() - start

    calls = 100
    while run(calls) < ROUND_SECONDS / 4:
        calls *= 2
    calls *= 4
    return statistics.median(run(calls) / calls for _ in range(ROUNDS)) * 1e9


def nanoseconds_for_all(client, context):
    """Median nanoseconds for the state of all flags."""
    assert len(client.all_flags_state(context).to_values_map()) > 1, "there are many flags"

    def run():
        start = time.perf_counter()
        client.all_flags_state(context)
        return time.perf_counter() - start

    return statistics.median(run() for _ in range(5 * ROUNDS)) * 1e9


def calls_per_second(client, context, threads, seconds=1.0):
    """Calls of all threads together in one second."""
    counts = [0] * threads
    stop = threading.Event()

    def work(index):
        variation = client.variation
        count = 0
        while not stop.is_set():
            for _ in range(500):
                variation("flag", context, False)
            count += 500
        counts[index] = count

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def contexts():
    """The forms of context that this package takes."""
    attributes = {"email": "ernestina@example.com", "country": "NO", "plan": "pro"}
    has_contexts = hasattr(ldclient, "Context")
    if has_contexts:
        builder = ldclient.Context.builder("aa0ceb")
        for name, value in attributes.items():
            builder.set(name, value)
        yield "Context", builder.build()
    if not has_contexts or hasattr(ldclient, "set_sdk_key"):
        custom = {"country": "NO", "plan": "pro"}
        yield "dict", {"key": "aa0ceb", "email": attributes["email"], "custom": custom}


def main():
    url, label = sys.argv[1:]
    figures = {"label": label, "version": ldclient.__version__, "python": sys.version.split()[0]}
    for events in (False, True):
        start = time.perf_counter()
        client = ldclient.LDClient(config=config(url, events), start_wait=20)
        if "start_ms" not in figures:
            figures["start_ms"] = (time.perf_counter() - start) * 1e3
        for form, context in contexts():
            assert client.variation("flag", context, False) is True, "the flag serves True"
            name = f"{form}, events {'on' if events else 'off'}"
            figures[name] = nanoseconds(client, context)
            if not events:
                figures[f"{form}, all flags"] = nanoseconds_for_all(client, context)
            if events:
                one = calls_per_second(client, context, 1)
                figures[f"{form}, 8 threads to one"] = calls_per_second(client, context, 8) / one
        client.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
