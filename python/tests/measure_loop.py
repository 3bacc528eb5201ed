"""Prints for how long the client for asyncio keeps an event loop from running, phase by phase.

    python measure_loop.py [rounds]

A heartbeat asks to be called every half millisecond; the worst that it was late counts, of each round, and the
median of these is printed, in milliseconds, then the largest. "nothing" is the machine itself: the same without a
client. The last figure is the median of the longest steps of the event loop in processor time, which does not
depend on what else the machine does, but leaves out what is merely waited for. The service runs in a process of
its own.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

#: How often the heartbeat beats, in seconds.
BEAT = 0.0005
#: How many flags there are.
FLAGS = 1000
ROUNDS = 25


class Steps:
    """Remembers the longest step of any event loop, in processor time."""

    worst = 0.0
    _run = asyncio.Handle._run

    @classmethod
    def run(cls, handle):
        begun = time.thread_time()
        cls._run(handle)
        cls.worst = max(cls.worst, time.thread_time() - begun)


asyncio.Handle._run = lambda handle: Steps.run(handle)


class Heart:
    """Remembers the longest time that the event loop kept it waiting."""

    def __init__(self):
        self.worst = Steps.worst = 0.0
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + BEAT
        self._next = self._loop.call_at(self._due, self._beat)

    def _beat(self):
        now = self._loop.time()
        self.worst = max(self.worst, now - self._due)
        self._due = now + BEAT
        self._next = self._loop.call_at(self._due, self._beat)

    def stop(self):
        # The wait that is not over counts as well.
        self._next.cancel()
        return max(self.worst, self._loop.time() - self._due), Steps.worst


async def measured(doing):
    """Gives the longest time for which this kept the event loop from running, and the longest step."""
    await asyncio.sleep(5 * BEAT)
    heart = Heart()
    await doing
    await asyncio.sleep(5 * BEAT)
    return heart.stop()


async def one_round(url, flip):
    from ldclient import Context
    from ldclient.async_client import AsyncLDClient
    from ldclient.async_config import AsyncConfig

    user = Context.create("user-1")
    uris = {"base_uri": url, "stream_uri": url, "events_uri": url}
    worst = {"nothing": await measured(asyncio.sleep(0.05))}
    client = AsyncLDClient(AsyncConfig("sdk-test", diagnostic_opt_out=True, flush_interval=600, **uris))
    worst["start"] = await measured(client.start())

    async def evaluations():
        for number in range(200):
            await client.variation("flag-%d" % number, user, None)
            client.track("event", user)
            await asyncio.sleep(0)

    worst["evaluations"] = await measured(evaluations())
    changed = asyncio.Event()
    client.flag_tracker.add_listener(lambda change: changed.set())
    flip()
    worst["flip"] = await measured(asyncio.wait_for(changed.wait(), 20))
    worst["flush"] = await measured(client.flush_and_wait(20))
    client.track("last", user)
    worst["close"] = await measured(client.close())
    return worst


def serve():
    from fake_service import FakeService

    flag = {"version": 1, "on": True, "variations": [True, False], "fallthrough": {"variation": 0}}
    service = FakeService({"flag-%d" % number: flag for number in range(FLAGS)})
    print(service.url, flush=True)
    for _ in sys.stdin:
        service.patch("flag-0")
    service.close()


def main(rounds):
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = server.stdout.readline().strip()

    def flip():
        server.stdin.write("flip\n")
        server.stdin.flush()

    try:
        # The first one loads modules.
        asyncio.run(one_round(url, flip))
        all_rounds = [asyncio.run(one_round(url, flip)) for _ in range(rounds)]
    finally:
        server.stdin.close()
        server.wait(20)
    print("%-12s %8s %8s %8s" % ("phase", "median", "worst", "step"))
    for phase in all_rounds[0]:
        late = [1000 * one[phase][0] for one in all_rounds]
        steps = [1000 * one[phase][1] for one in all_rounds]
        print("%-12s %8.3f %8.3f %8.3f" % (phase, statistics.median(late), max(late), statistics.median(steps)))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
