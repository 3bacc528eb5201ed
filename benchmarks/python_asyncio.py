"""The asyncio client of a Python package: what an awaited ``variation`` costs, and how long the loop stands still.

Runs against whatever ``ldclient`` the interpreter finds: ``python python_asyncio.py URL``. Prints one JSON
line. A task that wakes every millisecond measures by how much it was late while the client starts, evaluates
now and then, flushes and closes; the same without a client says what the machine itself does.
"""

import asyncio
import json
import logging
import statistics
import sys
import time

logging.disable(logging.WARNING)

from ldclient import Context
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncConfig

ROUNDS = 11
CALLS = 2_000
BEAT = 0.001


def config(url):
    return AsyncConfig(sdk_key="sdk-bench", base_uri=url, stream_uri=url, events_uri=url, diagnostic_opt_out=True)


async def nanoseconds(client, context):
    """Median nanoseconds per awaited call over the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            await client.variation("flag", context, False)
        rounds.append((time.perf_counter() - start) / CALLS)
    return statistics.median(rounds) * 1e9


async def longest_pause(what):
    """By how many milliseconds the loop was late at worst while ``what`` ran."""
    worst, done = 0.0, False

    async def beat():
        nonlocal worst
        while not done:
            start = time.perf_counter()
            await asyncio.sleep(BEAT)
            worst = max(worst, time.perf_counter() - start - BEAT)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.1)
    await what()
    await asyncio.sleep(0.1)
    done = True
    await beating
    return worst * 1e3


async def main():
    url = sys.argv[1]
    context = Context.builder("aa0ceb").set("email", "ernestina@example.com").set("country", "NO").build()

    async def whole_life():
        client = AsyncLDClient(config(url))
        await client.start(start_wait=20)
        assert await client.variation("flag", context, False) is True, "the flag serves True"
        for _ in range(20):
            await client.variation("flag", context, False)
            client.track("bought", context)
            await asyncio.sleep(0.005)
        await client.flush()
        await client.close()

    async def nothing():
        await asyncio.sleep(0.5)

    figures = {
        "pause_ms": statistics.median([await longest_pause(whole_life) for _ in range(5)]),
        "idle_ms": statistics.median([await longest_pause(nothing) for _ in range(5)]),
    }
    client = AsyncLDClient(config(url))
    await client.start(start_wait=20)
    assert await client.variation("flag", context, False) is True, "the flag serves True"
    figures["ns"] = await nanoseconds(client, context)
    await client.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
