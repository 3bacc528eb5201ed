"""Watches flags that a relay wrote to a database, with ours or the official package.

Prints ``sees <JSON>`` at the start and each time it is another: by flag, the value, the kind of the reason and the
status of big segments; and as ``status`` whether the database of big segments is available and stale.

Environment: REDIS_URL, CONSUL_ADDRESS or DYNAMODB_URL, PREFIX, FLAGS (with commas), USER_KEY; FLAGSTAFF_URL to have the flags from a
service and only big segments from the database, otherwise daemon mode; STALE_AFTER in seconds.
"""

import json
import os
import signal
import threading

from ldclient import Config, Context, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.feature_store import CacheConfig
from ldclient.integrations import Consul, DynamoDB, Redis

TABLE = "flags"
PREFIX = os.environ["PREFIX"]


def databases():
    """The flags, and the big segments, which Consul has no place for."""
    caching = CacheConfig.disabled()
    if url := os.environ.get("REDIS_URL"):
        return (
            Redis.new_feature_store(url, prefix=PREFIX, caching=caching),
            Redis.new_big_segment_store(url, prefix=PREFIX),
        )
    if address := os.environ.get("CONSUL_ADDRESS"):
        host, port = address.split(":")
        return Consul.new_feature_store(host, int(port), prefix=PREFIX, caching=caching), None
    options = {
        "endpoint_url": os.environ["DYNAMODB_URL"],
        "region_name": "us-east-1",
        "aws_access_key_id": "dummy",
        "aws_secret_access_key": "dummy",
    }
    return (
        DynamoDB.new_feature_store(TABLE, prefix=PREFIX, dynamodb_opts=options, caching=caching),
        DynamoDB.new_big_segment_store(TABLE, prefix=PREFIX, dynamodb_opts=options),
    )


def config() -> Config:
    flags, members = databases()
    big_segments = BigSegmentsConfig(
        store=members,
        context_cache_time=0.05,
        status_poll_interval=0.1,
        stale_after=float(os.environ.get("STALE_AFTER", "120")),
    )
    options = {"big_segments": big_segments, "send_events": False}
    if url := os.environ.get("FLAGSTAFF_URL"):
        return Config("sdk-demo-production", base_uri=url, stream_uri=url, events_uri=url, **options)
    return Config("sdk-demo-production", feature_store=flags, use_ldd=True, **options)


def seen(client: LDClient, user: Context) -> dict:
    everything = {}
    for key in os.environ["FLAGS"].split(","):
        detail = client.variation_detail(key, user, None)
        reason = detail.reason
        everything[key] = [detail.value, reason.get("errorKind", reason["kind"]), reason.get("bigSegmentsStatus")]
    status = client.big_segment_store_status_provider.status
    everything["status"] = [status.available, status.stale]
    return everything


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = LDClient(config(), start_wait=10)
    user, shown = Context.create(os.environ["USER_KEY"]), None
    while not stop.is_set():
        sees = seen(client, user)
        if sees != shown:
            print("sees", json.dumps(sees), flush=True)
            shown = sees
        stop.wait(0.02)
    client.close()


if __name__ == "__main__":
    main()
